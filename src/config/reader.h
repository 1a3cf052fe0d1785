/* SPDX-License-Identifier: MIT */
/*
 * reader.h - hands a wg-quick file to inih, line by line, in a form it can take
 */
#ifndef SRC_CONFIG_READER_H
#define SRC_CONFIG_READER_H

#include "src/config/config.h"
#include "src/config/keys.h"

/* Key lines of the reader's own: a section has begun; a peer's name from a comment. */
#define WGW_READER_BEGIN "@begin"
#define WGW_READER_NAME	 "@name"

/**
 * struct wgw_reader - where the reader is
 * @source, @diag:	For messages
 * @lenient:		Unknown sections are warnings
 * @line:		Number of the line of the file that was handed out last
 * @section:		Kind of the section that line is in
 * @more:		What was handed out is not the end of its value: the next line is the rest
 * @torn_key:		A secret key was too short: the next line may be the rest of it
 * @at, @end:		What is still to be read
 * @sections:		Sections so far
 * @announce:		The section was handed out, its WGW_READER_BEGIN not yet
 * @work:		The current line, cleaned; as long as the file
 * @key:		Its key as handed out, in @work or constant; NULL: line done
 * @value:		What of its value is still to be handed out
 * @is_list:		The value is handed out element by element
 * @single:		It has no commas, so that what is handed out is all of it
 */
struct wgw_reader {
	const char *source;
	struct wgw_diag *diag;
	bool lenient;
	unsigned int line;
	enum wgw_section section;
	bool more;
	bool torn_key;
	const char *at, *end;
	unsigned int sections;
	bool announce;
	char *work;
	size_t work_bytes;
	const char *key;
	char *value;
	bool is_list, single;
};

/* Starts reading @len bytes of @text, which must stay. Returns 0, or -ENOMEM. */
int wgw_reader_init(struct wgw_reader *r, const char *source, const char *text, size_t len,
		    bool lenient, struct wgw_diag *diag);
/* Wipes. */
void wgw_reader_done(struct wgw_reader *r);
/* @text for a message as wgw_quoted() does it, and not at all when it may be part of a key. */
char *wgw_reader_quoted(const struct wgw_reader *r, const char *text, char *buf);
/* The function for ini_parse_stream; @reader is a struct wgw_reader. */
char *wgw_reader_line(char *buf, int size, void *reader);

#endif
