/* SPDX-License-Identifier: MIT */
/* http_head.c - heads of HTTP/1 messages */
#include <errno.h>
#include <sodium.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "src/proxy/http_head.h"

ssize_t http_head_length(const char *b, size_t len, size_t *line)
{
	const char *at = b + *line, *end = b + len;

	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));

		if (at != b && (*at == ' ' || *at == '\t'))
			return -EPROTO;
		if (!lf)
			break;
		if (lf == at || lf[-1] != '\r')
			return -EPROTO;
		if (lf - at == 1) /* an empty line before a request is skipped by the caller */
			return at == b ? -EPROTO : lf + 1 - b;
		at = lf + 1;
	}
	*line = (size_t)(at - b);
	return 0;
}

/* ---- http-parser's callbacks: all bytes are there, so each text comes in one piece ---- */

static int on_url(http_parser *p, const char *at, size_t len)
{
	struct http_head *h = p->data;

	if (!h->url.at)
		h->url.at = at;
	h->url.len = (size_t)(at + len - h->url.at);
	return 0;
}

static int on_field(http_parser *p, const char *at, size_t len)
{
	struct http_head *h = p->data;

	if (p->flags & F_TRAILING) /* of the body, which comes in any pieces */
		return 0;
	if (h->n == 0 || h->value_seen) {
		if (h->n == HTTP_HEADERS_MAX) {
			h->bad = "too many header fields";
			return -1;
		}
		h->at[h->n++] = (struct http_header){.name = {at, 0}, .value = {"", 0}};
		h->value_seen = false;
	}
	h->at[h->n - 1].name.len = (size_t)(at + len - h->at[h->n - 1].name.at);
	return 0;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
	struct http_head *h = p->data;
	struct http_text *value;

	if (p->flags & F_TRAILING)
		return 0;
	value = &h->at[h->n - 1].value;
	if (!h->value_seen)
		value->at = at;
	h->value_seen = true;
	value->len = (size_t)(at + len - value->at);
	while (value->len > 0 && strchr(" \t", value->at[value->len - 1]))
		value->len--;
	return 0;
}

static int on_headers_complete(http_parser *p)
{
	const struct http_head *h = p->data;

	/* An upgrade begins with the response that grants it. */
	if (p->type == HTTP_REQUEST && p->method != HTTP_CONNECT)
		p->upgrade = 0;
	return h->no_body;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
	struct http_head *h = p->data;

	if (h->body) {
		memmove(h->body, at, len);
		h->body += len;
	}
	return 0;
}

static int on_complete(http_parser *p)
{
	struct http_head *h = p->data;

	h->complete = true;
	http_lib.http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_complete,
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
};

bool http_text_is(const struct http_text *t, const char *word)
{
	return t->len == strlen(word) && strncasecmp(t->at, word, t->len) == 0;
}

/* A field's name is a token (RFC 9110 5.6.2): no blank before the colon, nothing odd. */
static bool is_token(const struct http_text *t)
{
	for (size_t i = 0; i < t->len; i++) {
		unsigned char c = (unsigned char)t->at[i];

		if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
		    (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return t->len > 0;
}

/* What one reader may take for one message and another for two. */
static const char *ambiguity(const struct http_head *h)
{
	unsigned int lengths = 0, codings = 0, hosts = 0;

	for (size_t i = 0; i < h->n; i++) {
		const struct http_header *f = &h->at[i];
		bool coding = http_text_is(&f->name, "Transfer-Encoding");

		if (!is_token(&f->name))
			return "a header field's name has a blank or another odd character";
		if (coding && !http_text_is(&f->value, "chunked"))
			return "a transfer coding other than chunked";
		lengths += http_text_is(&f->name, "Content-Length");
		codings += coding;
		hosts += http_text_is(&f->name, "Host");
	}
	if (lengths > 0 && codings > 0)
		return "both Content-Length and Transfer-Encoding";
	if (lengths > 1 || codings > 1)
		return "the message's length is given twice";
	if (hosts > 1)
		return "more than one Host";
	/* RFC 9112 6.1; a server's is heeded, and its connection not used again: http_head_keeps */
	if (codings > 0 && h->parser.type == HTTP_REQUEST && h->parser.http_minor == 0)
		return "a transfer coding in HTTP/1.0";
	return NULL;
}

int http_head_parse(struct http_head *h, enum http_parser_type type, bool no_body, const char *b,
		    size_t len)
{
	size_t used;

	memset(h, 0, offsetof(struct http_head, at));
	h->no_body = no_body;
	http_lib.http_parser_init(&h->parser, type);
	h->parser.data = h;
	used = http_lib.http_parser_execute(&h->parser, &settings, b, len);
	if (HTTP_PARSER_ERRNO(&h->parser) != HPE_OK && !h->complete) {
		if (!h->bad)
			h->bad = http_lib.http_errno_description(HTTP_PARSER_ERRNO(&h->parser));
		return -EPROTO;
	}
	if (used != len)
		h->bad = "bytes behind the head";
	else if (h->parser.http_major != 1)
		h->bad = "not HTTP/1";
	else
		h->bad = ambiguity(h);
	return h->bad ? -EPROTO : 0;
}

bool http_head_keeps(const struct http_head *h)
{
	return http_lib.http_should_keep_alive(&h->parser) &&
	       !(h->parser.http_minor == 0 && h->parser.flags & F_CHUNKED);
}

ssize_t http_body_take(struct http_head *h, char *b, size_t len, size_t *contents)
{
	size_t used;

	h->body = contents ? b : NULL;
	used = http_lib.http_parser_execute(&h->parser, &settings, b, len);
	if (contents)
		*contents = (size_t)(h->body - b);
	h->body = NULL;
	if (HTTP_PARSER_ERRNO(&h->parser) != HPE_OK && !h->complete)
		return -EPROTO;
	return (ssize_t)used;
}

const struct http_text *http_head_get(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->n; i++)
		if (http_text_is(&h->at[i].name, name))
			return &h->at[i].value;
	return NULL;
}

static bool same(const struct http_text *a, const struct http_text *b)
{
	return a->len == b->len && strncasecmp(a->at, b->at, a->len) == 0;
}

static bool list_has(const struct http_text *list, const struct http_text *token)
{
	const char *at = list->at, *end = list->at + list->len;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		struct http_text one = {at, (size_t)((comma ? comma : end) - at)};

		while (one.len > 0 && strchr(" \t", *one.at))
			one.at++, one.len--;
		while (one.len > 0 && strchr(" \t", one.at[one.len - 1]))
			one.len--;
		if (same(&one, token))
			return true;
		at = comma ? comma + 1 : end;
	}
	return false;
}

static bool has(const struct http_head *h, const char *name, const struct http_text *token)
{
	for (size_t i = 0; i < h->n; i++)
		if (http_text_is(&h->at[i].name, name) && list_has(&h->at[i].value, token))
			return true;
	return false;
}

bool http_head_has(const struct http_head *h, const char *name, const char *token)
{
	return has(h, name, &(struct http_text){token, strlen(token)});
}

bool http_head_is_hop(const struct http_head *h, const struct http_header *field)
{
	static const char *const names[] = {
		"Connection", "Keep-Alive",	  "TE",
		"Upgrade",    "Proxy-Connection", "Proxy-Authorization"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (http_text_is(&field->name, names[i]))
			return true;
	/* Framing stays whatever Connection says. */
	if (http_text_is(&field->name, "Transfer-Encoding") ||
	    http_text_is(&field->name, "Content-Length"))
		return false;
	return has(h, "Connection", &field->name) || has(h, "Proxy-Connection", &field->name);
}

int http_head_credentials(const struct http_head *h, char *buf, size_t size, struct http_text *name,
			  struct http_text *password)
{
	const struct http_text *value = http_head_get(h, "Proxy-Authorization");
	const char *at, *end, *colon;
	size_t len;

	if (!value)
		return 0;
	if (value->len < 6 || strncasecmp(value->at, "Basic ", 6) != 0)
		return -EINVAL;
	at = value->at + 6;
	end = value->at + value->len;
	while (at < end && *at == ' ')
		at++;
	if (sodium_base642bin((uint8_t *)buf, size, at, (size_t)(end - at), NULL, &len, NULL,
			      sodium_base64_VARIANT_ORIGINAL) < 0)
		return -EINVAL;
	colon = memchr(buf, ':', len);
	if (!colon)
		return -EINVAL;
	*name = (struct http_text){buf, (size_t)(colon - buf)};
	*password = (struct http_text){colon + 1, len - name->len - 1};
	return 1;
}

int http_target_absolute(const struct http_text *url, struct proxy_target *to,
			 struct http_text *authority, struct http_text *path)
{
	static const char scheme[] = "http://";
	const size_t n = sizeof(scheme) - 1;
	size_t len = 0;

	if (url->len <= n || strncasecmp(url->at, scheme, n) != 0)
		return -EINVAL;
	while (n + len < url->len && !strchr("/?#", url->at[n + len]))
		len++;
	*authority = (struct http_text){url->at + n, len};
	*path = (struct http_text){url->at + n + len, url->len - n - len};
	if (memchr(authority->at, '@', len)) /* credentials in a URL are never sent on */
		return -EINVAL;
	return proxy_target_parse(to, authority->at, len, 80);
}
