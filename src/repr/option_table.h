/* SPDX-License-Identifier: MIT */
/*
 * option_table.h - where each socket option lives
 *
 * In one of four places: on the AF_UNIX socket, where the kernel keeps it with Linux's own
 * semantics (most of SOL_SOCKET); in the tag; at the tunnel process under the socket's cookie; or
 * nowhere, when accepting it is all that a program can observe. What is in no table is
 * ENOPROTOOPT.
 */
#ifndef SRC_REPR_OPTION_TABLE_H
#define SRC_REPR_OPTION_TABLE_H

#include <stdint.h>

enum wgw_repr_option_place {
	WGW_REPR_OPTION_TAG,	 /* a bit of the tag */
	WGW_REPR_OPTION_KEPT,	 /* an int at the tunnel process, by cookie */
	/* any value, up to @max if set, else of @min bytes or more, is taken, the initial one read */
	WGW_REPR_OPTION_IGNORED,
	WGW_REPR_OPTION_SPECIAL, /* option_get.c computes it */
	WGW_REPR_OPTION_REFUSED, /* setting is errno @refusal; EINVAL of less than @min bytes */
};

enum {
	WGW_REPR_CONGESTION_NAME_MAX_BYTES = 16,
	WGW_REPR_DEVICE_NAME_MAX_BYTES = 16,
};

#define WGW_REPR_CONGESTION_INITIAL "cubic"

/* which sockets have the option */
enum {
	WGW_REPR_OPTION_ON_TCP = 1 << 0,
	WGW_REPR_OPTION_ON_DATAGRAM = 1 << 1,
	WGW_REPR_OPTION_ON_V6_ONLY = 1 << 2,   /* AF_INET6 sockets only */
	WGW_REPR_OPTION_MINUS_RESETS = 1 << 3, /* -1 means the initial value */
	WGW_REPR_OPTION_ON_UDP = 1 << 4,
	WGW_REPR_OPTION_BOOL = 1 << 5, /* any value but 0 means 1 */
	WGW_REPR_OPTION_OCTET =
		1 << 6, /* the low byte of any value; of TCP without the two ECN bits */
	WGW_REPR_OPTION_CLAMPED = 1 << 7, /* more than @max means @max */
	WGW_REPR_OPTION_OFF = 1 << 8,	  /* WGW_REPR_OPTION_REFUSED: but 0 is taken */
	WGW_REPR_OPTION_ON_ANY = WGW_REPR_OPTION_ON_TCP | WGW_REPR_OPTION_ON_DATAGRAM,
};

struct wgw_repr_option {
	int level, name;
	enum wgw_repr_option_place place;
	unsigned int flags;
	int initial;  /* what an untouched socket returns, or -errno */
	int min, max; /* WGW_REPR_OPTION_KEPT; see the others */
	uint64_t bit; /* WGW_REPR_OPTION_TAG; one WGW_TAG_DONTFRAG4 or 6 of a datagram socket */
	int refusal;  /* WGW_REPR_OPTION_REFUSED; else of a value out of range, 0: EINVAL */
};

struct wgw_repr_session;

/* option_get.c: the value of an option that the tunnel process keeps. 0, or -EMFILE: it cannot be
 * asked, and *@value is the initial one. */
int wgw_repr_option_kept(const struct wgw_repr_session *s, int fd, uint64_t tag,
			 const struct wgw_repr_option *option, int *value);

/* The entry for a socket with @tag, or NULL. */
const struct wgw_repr_option *wgw_repr_option_find(uint64_t tag, int level, int name);

#endif
