/* SPDX-License-Identifier: MIT */
/*
 * http_head.h - heads of HTTP/1 messages: where they end, what is in them, how a proxy writes them
 * on
 *
 * http-parser (Debian's libhttp-parser, also used by libgit2, ocserv, sssd) parses and frames.
 * Around it stand the checks that keep two readers of one message from seeing two messages (request
 * smuggling): no bare LF, no folded lines, no blank before a colon, one length only.
 */
#ifndef SRC_PROXY_HTTP_HEAD_H
#define SRC_PROXY_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "src/base/http.h"
#include "src/proxy/target.h"

enum { HTTP_HEADERS_MAX = 200 };

struct http_text {
	const char *at;
	size_t len;
};

struct http_header {
	struct http_text name, value;
};

/**
 * struct http_head - a head; texts point into the bytes that were parsed
 * @parser:	Goes on with the body
 * @url:	Of a request
 * @n:		Of the fields @at
 * @no_body:	A response to HEAD
 * @complete:	The message has no more bytes; the parser is paused then
 * @body:	Where http_body_take puts a chunked body's contents, NULL: nowhere
 * @bad:	Why it is refused, or NULL
 */
struct http_head {
	http_parser parser;
	struct http_text url;
	size_t n;
	bool value_seen, no_body, complete;
	char *body;
	const char *bad;
	struct http_header at[HTTP_HEADERS_MAX];
};

/* Length of the head at @b with its empty line, 0: not whole yet, -EPROTO: it will never be one (a
 * bare LF, a folded line). *@line, 0 at first, is where the line begins that is not whole: what is
 * before it is looked at once, however the bytes come. */
ssize_t http_head_length(const char *b, size_t len, size_t *line);
/* Parses @len bytes, which http_head_length has measured. 0, or -EPROTO with h->bad set. */
int http_head_parse(struct http_head *h, enum http_parser_type type, bool no_body, const char *b,
		    size_t len);
/* Whether another message may come behind this one on its connection (RFC 9112 9.3, 6.1). */
bool http_head_keeps(const struct http_head *h);
/* Goes on with the message's body: how many of @len bytes at @b belong to it, or -EPROTO. With
 * @contents the contents of chunks are moved together at @b, *@contents bytes. */
ssize_t http_body_take(struct http_head *h, char *b, size_t len, size_t *contents);
/* Whether the field must not be passed on: hop-by-hop (RFC 9110 7.6.1), or a proxy's own. */
bool http_head_is_hop(const struct http_head *h, const struct http_header *field);
bool http_text_is(const struct http_text *t, const char *word);
/* The first header of that name, or NULL. */
const struct http_text *http_head_get(const struct http_head *h, const char *name);
/* Whether a header's comma-separated values have @token. */
bool http_head_has(const struct http_head *h, const char *name, const char *token);
/* User and password of Proxy-Authorization: Basic. Returns 1, 0: there is none, -EINVAL: malformed.
 * @buf keeps the texts. */
int http_head_credentials(const struct http_head *h, char *buf, size_t size, struct http_text *name,
			  struct http_text *password);

/* Splits an absolute-form target "http://authority/path?query". *path points into @url (empty:
 * "/"). 0, or -EINVAL: another scheme or form. */
int http_target_absolute(const struct http_text *url, struct proxy_target *to,
			 struct http_text *authority, struct http_text *path);

#endif
