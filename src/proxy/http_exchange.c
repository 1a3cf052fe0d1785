/* SPDX-License-Identifier: MIT */
/* http_exchange.c - the bytes of a request and its response, rewritten and passed on */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/proxy/http_server.h"

/* ---- heads ---- */

static void put(FILE *out, const struct http_text *t)
{
	fwrite(t->at, 1, t->len, out);
}

static void put_field(FILE *out, const struct http_header *field)
{
	put(out, &field->name);
	fputs(": ", out);
	put(out, &field->value);
	fputs("\r\n", out);
}

/* Path and query, without a fragment. "*" and "/" where there is none. */
static void put_path(FILE *out, const struct http_text *path, unsigned int method)
{
	const char *hash = memchr(path->at, '#', path->len);
	struct http_text p = {path->at, hash ? (size_t)(hash - path->at) : path->len};

	if (p.len == 0 && method == HTTP_OPTIONS)
		fputc('*', out);
	else if (p.len == 0 || *p.at == '?')
		fputc('/', out);
	put(out, &p);
}

char *http_write_request(const struct http *h, const struct http_text *authority,
			 const struct http_text *path, size_t *len)
{
	const struct http_text *upgrade = h->upgrade ? http_head_get(&h->head, "Upgrade") : NULL;
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	fprintf(out, "%s ", http_lib.http_method_str((enum http_method)h->head.parser.method));
	put_path(out, path, h->head.parser.method);
	fputs(" HTTP/1.1\r\nHost: ", out);
	put(out, authority);
	fputs("\r\n", out);
	for (size_t i = 0; i < h->head.n; i++) {
		const struct http_header *f = &h->head.at[i];

		if (!http_head_is_hop(&h->head, f) && !http_text_is(&f->name, "Host"))
			put_field(out, f);
	}
	if (upgrade) {
		fputs("Connection: Upgrade\r\nUpgrade: ", out);
		put(out, upgrade);
		fputs("\r\n", out);
	}
	fputs("\r\n", out);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* The response's head as the client gets it. */
static char *write_response(const struct http *h, const char *raw, size_t *len)
{
	const struct http_text *upgrade = http_head_get(&h->reply, "Upgrade");
	bool switching = h->reply.parser.status_code == 101;
	const char *line = memchr(raw, ' ', PROXY_HEAD_MAX_BYTES);
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	fprintf(out, "HTTP/1.1%.*s\r\n", (int)strcspn(line, "\r"), line);
	for (size_t i = 0; i < h->reply.n; i++) {
		const struct http_header *f = &h->reply.at[i];

		if (!http_head_is_hop(&h->reply, f) &&
		    !(h->contents_only && http_text_is(&f->name, "Transfer-Encoding")))
			put_field(out, f);
	}
	if (switching && upgrade) {
		fputs("Connection: Upgrade\r\nUpgrade: ", out);
		put(out, upgrade);
		fputs("\r\n", out);
	} else if (h->reply.parser.status_code >= 200) {
		fprintf(out, "Connection: %s\r\n", h->keep ? "keep-alive" : "close");
	}
	fputs("\r\n", out);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* ---- client to host ---- */

int http_send_request(struct proxy_client *c, struct http *h)
{
	while (h->far->state == PROXY_FAR_OPEN) {
		size_t n;

		if (h->request_at < h->request_len) {
			n = proxy_far_write(h->far, h->request + h->request_at,
					    h->request_len - h->request_at);
			h->request_at += n;
			if (n == 0)
				return 0;
			continue;
		}
		if (h->request_ready == 0) {
			ssize_t took;

			if (h->head.complete || c->in_len == 0)
				return 0;
			took = http_body_take(&h->head, (char *)c->in, c->in_len, NULL);
			if (took <= 0)
				return took < 0 ? -EPROTO : 0;
			h->request_ready = (size_t)took;
		}
		n = proxy_far_write(h->far, c->in, h->request_ready);
		proxy_client_consume(c, n);
		h->request_ready -= n;
		if (n == 0)
			return 0;
		proxy_client_kick(c); /* there is room for more input */
	}
	return 0;
}

/* ---- host to client ---- */

/* Reads more of the response. False: nothing came. */
static bool read_more(struct http *h, bool *fin)
{
	size_t n;

	if (!h->reply_in)
		h->reply_in = malloc(PROXY_HEAD_MAX_BYTES);
	if (!h->reply_in)
		return false;
	n = proxy_far_read(h->far, h->reply_in + h->reply_len, PROXY_HEAD_MAX_BYTES - h->reply_len,
			   fin);
	h->reply_len += n;
	return n > 0;
}

static void drop_input(struct http *h, size_t n)
{
	h->reply_len -= n;
	memmove(h->reply_in, h->reply_in + n, h->reply_len);
}

/* Parses a head when it is there. 1: done, 0: more is needed, -EPROTO. */
static int take_head(struct http *h)
{
	ssize_t n = http_head_length(h->reply_in, h->reply_len, &h->reply_line);
	unsigned int status;

	if (n == 0)
		return h->reply_len == PROXY_HEAD_MAX_BYTES ? -EPROTO : 0;
	if (n < 0 || http_head_parse(&h->reply, HTTP_RESPONSE, h->is_head, h->reply_in, (size_t)n))
		return -EPROTO;
	status = h->reply.parser.status_code;
	h->reply_parsed = true;
	h->reply_line = 0;
	h->contents_only = h->is_10 && h->reply.parser.flags & F_CHUNKED;
	h->until_end = status >= 200 && !h->reply.complete &&
		       !(h->reply.parser.flags & F_CHUNKED) &&
		       h->reply.parser.content_length == ULLONG_MAX;
	if (h->until_end || h->contents_only)
		h->keep = false;
	if (status < 200 && status != 101 && h->is_10) { /* HTTP/1.0 knows none of these */
		h->response_len = 0;
	} else {
		h->response = write_response(h, h->reply_in, &h->response_len);
		if (!h->response)
			return -EPROTO;
	}
	h->response_at = 0;
	drop_input(h, (size_t)n);
	return 1;
}

/* An interim response was written: the next head follows. */
static void next_head(struct http *h)
{
	free(h->response);
	h->response = NULL;
	h->reply_parsed = false;
}

/* Takes body bytes out of the input. False: none, or @*wrong. */
static bool take_body(struct http *h, bool *wrong)
{
	size_t contents;
	ssize_t n;

	*wrong = false;
	if (h->reply.complete || h->reply_len == 0)
		return false;
	n = http_body_take(&h->reply, h->reply_in, h->reply_len,
			   h->contents_only ? &contents : NULL);
	*wrong = n < 0;
	if (n <= 0)
		return false;
	h->parsed = (size_t)n;
	h->ready = h->contents_only ? contents : h->parsed;
	h->body_at = 0;
	return true;
}

/* Writes what is ready. False: the client has no room. */
static bool write_ready(struct proxy_client *c, struct http *h)
{
	while (h->response && h->response_at < h->response_len) {
		size_t n = proxy_client_write(c, h->response + h->response_at,
					      h->response_len - h->response_at);

		if (n == 0)
			return false;
		h->responded = true;
		h->response_at += n;
	}
	while (h->body_at < h->ready) {
		size_t n = proxy_client_write(c, h->reply_in + h->body_at, h->ready - h->body_at);

		if (n == 0)
			return false;
		h->body_at += n;
	}
	if (h->parsed > 0)
		drop_input(h, h->parsed);
	h->parsed = h->ready = h->body_at = 0;
	return true;
}

/* Everything of the response so far is written. */
static enum http_progress after_head(struct http *h)
{
	unsigned int status = h->reply.parser.status_code;

	if (status == 101 && h->reply_len > 0) { /* what came with it is no HTTP */
		h->parsed = h->ready = h->reply_len;
		return HTTP_PROGRESS_WAIT;
	}
	if (status == 101)
		return HTTP_PROGRESS_TUNNEL;
	if (status < 200) {
		next_head(h);
		return HTTP_PROGRESS_WAIT;
	}
	return h->reply.complete ? HTTP_PROGRESS_DONE : HTTP_PROGRESS_WAIT;
}

enum http_progress http_pass_response(struct proxy_client *c, struct http *h)
{
	for (;;) {
		enum http_progress p;
		bool fin = false, wrong = false;
		int head = 0;

		if (!write_ready(c, h))
			return HTTP_PROGRESS_WAIT;
		p = h->reply_parsed ? after_head(h) : HTTP_PROGRESS_WAIT;
		if (h->ready > 0)
			continue;
		if (p != HTTP_PROGRESS_WAIT)
			return p;
		if (!h->reply_parsed && h->reply_len > 0)
			head = take_head(h);
		if (head < 0)
			return HTTP_PROGRESS_FAILED;
		if (head > 0 || (h->reply_parsed && take_body(h, &wrong)))
			continue;
		if (wrong)
			return HTTP_PROGRESS_FAILED;
		if (read_more(h, &fin))
			continue;
		if (fin && h->reply_parsed && h->until_end) {
			h->reply.complete = true;
			return HTTP_PROGRESS_DONE;
		}
		return fin || h->far->state == PROXY_FAR_OVER ? HTTP_PROGRESS_FAILED
							      : HTTP_PROGRESS_WAIT;
	}
}
