/* SPDX-License-Identifier: MIT */
/*
 * reader.c - hands a wg-quick file to inih, line by line, in a form it can take
 *
 * inih takes lines below 200 bytes, keeps no line numbers for its handler, cannot tell two
 * sections of one name apart and treats comments in its own way. wg-quick files have lists of any
 * length, any number of [Peer] sections, '#' comments anywhere, and settings inside comments. So
 * the reader gives inih this instead:
 *
 *	[Peer]                               [2 2]             kind (enum wgw_section) and number
 *	                                     @begin=           so that an empty section is seen
 *	# Name = office                      @name=office
 *	AllowedIPs = 10.0.0.0/8, fd00::/8    AllowedIPs=10.0.0.0/8
 *	                                     AllowedIPs=fd00::/8
 *	#@wgwrap:Direct = 192.0.2.0/24       @wgwrap.Direct=192.0.2.0/24
 *
 * A value that is still too long goes out as a line and indented lines, which inih hands on as
 * further values of the same key; @more says that there is more to come. inih reads one line, calls
 * its handler, and reads the next: therefore @line, @section and @more are right when the handler
 * looks at them.
 */
#include "src/config/reader.h"

#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/config/diag.h"
#include "src/config/values.h"

enum {
	KEY_BYTES = 48, /* inih keeps 50 with the NUL; no key is as long as that */
	LINE_ROOM = 3,	/* '=' or the indent, '\n', NUL */
	TAG_BYTES = 16, /* longest "@wgwrap." */
};

int wgw_reader_init(struct wgw_reader *r, const char *source, const char *text, size_t len,
		    bool lenient, struct wgw_diag *diag)
{
	*r = (struct wgw_reader){
		.source = source,
		.diag = diag,
		.lenient = lenient,
		.at = text,
		.end = text + len,
		.work_bytes = len + TAG_BYTES + 2,
	};
	r->work = calloc(1, r->work_bytes);
	return r->work ? 0 : -ENOMEM;
}

void wgw_reader_done(struct wgw_reader *r)
{
	if (r->work)
		sodium_memzero(r->work, r->work_bytes);
	free(r->work);
	*r = (struct wgw_reader){0};
}

/** trim() - without white space at both ends, in place */
static char *trim(char *text)
{
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	for (len = strlen(text); len > 0 && isspace((unsigned char)text[len - 1]); len--)
		text[len - 1] = '\0';
	return text;
}

/** squeeze() - drops white space, all of it or only that before a ';', which inih would take for
 * the start of a comment */
static void squeeze(char *text, bool all)
{
	char *to = text;

	for (const char *c = text; *c; c++) {
		if (*c == ';') {
			while (to > text && isspace((unsigned char)to[-1]))
				to--;
		}
		if (!isspace((unsigned char)*c))
			*to++ = *c;
		else if (!all)
			*to++ = ' ';
	}
	*to = '\0';
}

/** take() - puts the current line's key and value up for handing out. @key: with its tag, in
 * @work. */
static void take(struct wgw_reader *r, const char *key, char *value, unsigned int shape)
{
	r->key = key;
	r->value = value;
	r->is_list = shape & WGW_LIST;
	if (shape & WGW_UNREAD)
		*value = '\0';
	squeeze(value, !(shape & WGW_SPACES));
	r->single = strchr(value, ',') == NULL;
}

char *wgw_reader_quoted(const struct wgw_reader *r, const char *text, char *buf)
{
	if (!r->torn_key)
		return wgw_quoted(text, buf);
	snprintf(buf, WGW_QUOTED_BYTES, "(%zu characters, not shown)", strlen(text));
	return buf;
}

/**
 * read_setting() - a line "Key = value"
 * @text:	The line without comment and pragma prefix; there are TAG_BYTES free before it
 */
static void read_setting(struct wgw_reader *r, char *text, enum wgw_spelling spelling)
{
	const char *tag = wgw_spelling_tag(spelling);
	char *equals = strchr(text, '=');
	const struct wgw_key *key;
	char quoted[WGW_QUOTED_BYTES];
	char *name;

	if (!equals) {
		wgw_diag_say(r->diag, WGW_ERROR, "%s:%u: %s has no '=': expected KEY = VALUE",
			     r->source, r->line, wgw_reader_quoted(r, text, quoted));
		return;
	}
	*equals = '\0';
	squeeze(text, true);
	if (*text == '\0') {
		wgw_diag_say(r->diag, WGW_ERROR, "%s:%u: there is no key before the '='", r->source,
			     r->line);
		return;
	}
	if (strlen(text) > KEY_BYTES || strpbrk(text, ":;[]@")) {
		wgw_diag_say(r->diag, r->lenient ? WGW_WARNING : WGW_ERROR,
			     "%s:%u: %s: unknown key", r->source, r->line,
			     wgw_reader_quoted(r, text, quoted));
		return;
	}
	key = wgw_key_find(text, r->section, spelling);
	name = text - strlen(tag);
	memcpy(name, tag, strlen(tag));
	take(r, name, trim(equals + 1), key ? key->shape : 0);
	if (key)
		r->torn_key = key->shape & WGW_SECRET && strlen(r->value) < WGW_KEY_TEXT_LEN;
}

/** read_section() - a line that begins with '[' */
static void read_section(struct wgw_reader *r, char *text)
{
	static const char *const known[] = {"[Interface]", "[Peer]", NULL};
	char quoted[WGW_QUOTED_BYTES];
	const char *meant;

	squeeze(text, true);
	r->sections++;
	r->announce = true;
	if (strcasecmp(text, "[Interface]") == 0) {
		r->section = WGW_INTERFACE;
	} else if (strcasecmp(text, "[Peer]") == 0) {
		r->section = WGW_PEER;
	} else {
		r->section = WGW_OTHER_SECTION;
		r->announce = false;
		meant = wgw_did_you_mean(text, known);
		wgw_diag_say(r->diag, r->lenient ? WGW_WARNING : WGW_ERROR,
			     "%s:%u: unknown section %s%s%s%s", r->source, r->line,
			     wgw_quoted(text, quoted), meant ? "; did you mean " : "",
			     meant ? meant : "", meant ? "?" : "");
	}
}

/** starts_with() - ignoring case. Return: what follows, or NULL */
static char *starts_with(char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncasecmp(text, prefix, len) == 0 ? text + len : NULL;
}

/** read_comment() - a line that begins with '#': a pragma, the name of a peer, or nothing */
static void read_comment(struct wgw_reader *r, char *text)
{
	static const enum wgw_spelling pragmas[] = {WGW_PRAGMA, WGW_PRAGMA_WS};
	static char name_key[] = WGW_READER_NAME;
	char *rest, *equals;

	for (size_t i = 0; i < sizeof(pragmas) / sizeof(*pragmas); i++) {
		rest = starts_with(text, wgw_spelling_prefix(pragmas[i]));
		if (rest) {
			rest[strcspn(rest, "#")] = '\0';
			read_setting(r, trim(rest), pragmas[i]);
			return;
		}
	}
	equals = strchr(text, '=');
	if (r->section != WGW_PEER || !equals)
		return;
	*equals = '\0';
	rest = trim(text + 1);
	if (strcasecmp(rest, "Name") == 0 || strcasecmp(rest, "friendly_name") == 0)
		take(r, name_key, trim(equals + 1), WGW_SPACES);
}

/** read_line() - takes the next line of the file. Return: whether there was one */
static bool read_line(struct wgw_reader *r)
{
	const char *eol;
	size_t len;
	char *text;

	if (r->at == r->end)
		return false;
	eol = memchr(r->at, '\n', (size_t)(r->end - r->at));
	len = (size_t)((eol ? eol : r->end) - r->at);
	/* the room before the text is for the tag of a pragma */
	memcpy(r->work + TAG_BYTES, r->at, len);
	r->work[TAG_BYTES + len] = '\0';
	r->at += eol ? len + 1 : len;
	r->line++;

	text = trim(r->work + TAG_BYTES);
	if (*text == '#') {
		if (r->section != WGW_OTHER_SECTION)
			read_comment(r, text);
		return true;
	}
	text[strcspn(text, "#")] = '\0';
	text = trim(text);
	if (*text == ';')
		wgw_diag_say(r->diag, WGW_ERROR, "%s:%u: ';' begins no comment, '#' does",
			     r->source, r->line);
	else if (*text == '[')
		read_section(r, text);
	else if (*text && r->section != WGW_OTHER_SECTION)
		read_setting(r, text, WGW_BARE);
	return true;
}

/** may_cut() - whether a value may be cut before @at: inih strips white space at both ends of a
 * part, and takes an indented line that begins with ';' for a comment */
static bool may_cut(const char *at)
{
	return at[0] != ';' && at[0] != ' ' && at[-1] != ' ';
}

/** put_value() - one line with the value, its next element, or its next part */
static void put_value(struct wgw_reader *r, char *buf, size_t size)
{
	const char *key = r->more ? " " : r->key;
	size_t len = r->is_list ? strcspn(r->value, ",") : strlen(r->value);
	size_t room = size - strlen(key) - LINE_ROOM;
	size_t part = len < room ? len : room;

	while (part < len && part > 1 && !may_cut(r->value + part))
		part--;
	snprintf(buf, size, "%s%s%.*s\n", key, r->more ? "" : "=", (int)part, r->value);
	r->value += part;
	r->more = part < len;
	if (r->more)
		return;
	if (*r->value == ',' && r->is_list)
		r->value++;
	else
		r->key = NULL;
}

char *wgw_reader_line(char *buf, int size, void *reader)
{
	struct wgw_reader *r = reader;
	unsigned int sections = r->sections;

	if (r->announce) {
		snprintf(buf, (size_t)size, "%s=\n", WGW_READER_BEGIN);
		r->announce = false;
		return buf;
	}
	while (!r->key && r->sections == sections) {
		if (!read_line(r))
			return NULL;
	}
	if (r->key)
		put_value(r, buf, (size_t)size);
	else
		snprintf(buf, (size_t)size, "[%d %u]\n", (int)r->section, r->sections);
	return buf;
}
