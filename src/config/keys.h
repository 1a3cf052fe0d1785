/* SPDX-License-Identifier: MIT */
/*
 * keys.h - the keys a file may hold
 */
#ifndef SRC_CONFIG_KEYS_H
#define SRC_CONFIG_KEYS_H

#include <stdbool.h>

struct wgw_parser;

/* Sections, as bits: a key may belong to several. */
enum wgw_section {
	WGW_NO_SECTION = 0,
	WGW_INTERFACE = 1,
	WGW_PEER = 2,
	WGW_OTHER_SECTION = 4, /* unknown: its keys are skipped */
};

/* How a key may be written, as bits. */
enum wgw_spelling {
	WGW_BARE = 1,	   /* Key = value */
	WGW_PRAGMA = 2,	   /* #@wgwrap:Key = value */
	WGW_PRAGMA_WS = 4, /* #@ws:Key = value */
};

/* What a value looks like, as bits. */
enum wgw_shape {
	WGW_LIST = 1,	 /* comma-separated: the setter gets one element at a time */
	WGW_SPACES = 2,	 /* white space inside counts */
	WGW_EMPTY = 4,	 /* may be empty */
	WGW_UNREAD = 8,	 /* a command or password that is not used: its value is not looked at */
	WGW_SECRET = 16, /* a key that must not be shown */
};

/**
 * struct wgw_key - one key
 * @name:	As wg(8), wg-quick(8) and their relatives write it; case does not count
 * @sections:	Where it may stand
 * @spellings:	How it may be written
 * @shape:	Bits of enum wgw_shape
 * @set:	Takes one value (of a list: one element). Says what is wrong with it.
 * @remark:	For keys that are taken note of only: what @set says
 */
struct wgw_key {
	const char *name;
	unsigned int sections;
	unsigned int spellings;
	unsigned int shape;
	void (*set)(struct wgw_parser *p, const struct wgw_key *key, const char *value);
	const char *remark;
};

/* The key that is written @name (without pragma prefix) in @spelling in @section, or NULL. */
const struct wgw_key *wgw_key_find(const char *name, enum wgw_section section,
				   enum wgw_spelling spelling);
/* Keys of @section in @spelling that mean something, for hints; NULL-terminated, in @buf of
 * WGW_KEYS_MAX + 1 pointers. Returns @buf. */
enum { WGW_KEYS_MAX = 80 };
const char *const *wgw_key_names(enum wgw_section section, enum wgw_spelling spelling,
				 const char **buf);
/* What precedes a key in the file, for messages; and in the lines handed to inih. */
const char *wgw_spelling_prefix(enum wgw_spelling spelling);
const char *wgw_spelling_tag(enum wgw_spelling spelling);

#endif
