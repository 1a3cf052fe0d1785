/* SPDX-License-Identifier: MIT */
/* http_server.h - what http_server.c (requests) and http_exchange.c (bytes) share */
#ifndef SRC_PROXY_HTTP_SERVER_H
#define SRC_PROXY_HTTP_SERVER_H

#include "src/proxy/http_head.h"
#include "src/proxy/internal.h"

enum { HTTP_CREDENTIALS_BYTES = 1024 };

enum http_state {
	HTTP_ST_HEAD,
	HTTP_ST_DIALLING,
	HTTP_ST_EXCHANGE,
	HTTP_ST_TUNNEL,
};

/**
 * struct http - a client's state
 * @head:	The request's; @line: as http_head_length has it
 * @connect, @is_10, @is_head, @has_body, @keep, @upgrade: what it asks for
 * @far:	Connection to @far_target, or NULL; @reused: not made for this request, @retried:
 *		made anew for it
 * @request:	The rewritten head, @request_len bytes, written up to @request_at
 * @request_ready: Bytes at the head of the client's input that belong to the body
 * @reply_in:	Bytes of the response, @reply_len of them
 * @reply:	The response's head; @reply_parsed: it is valid; @reply_line: as @line
 * @response:	Its rewritten head
 * @responded:	A byte of the response was written to the client
 * @contents_only: Chunks are taken apart; @until_end: only the end of the connection ends it
 * @parsed:	Of @reply_in: bytes that belong to the body, @ready of them to be written, @body_at
 *		written
 */
struct http {
	enum http_state state;
	struct http_head head;
	size_t line;
	bool connect, is_10, is_head, has_body, keep, upgrade, reused, retried;
	struct proxy_far *far;
	struct proxy_target far_target;
	char *request;
	size_t request_len, request_at, request_ready;
	char *reply_in;
	size_t reply_len, reply_line;
	struct http_head reply;
	bool reply_parsed, responded, contents_only, until_end;
	char *response;
	size_t response_len, response_at;
	size_t parsed, ready, body_at;
};

enum http_progress {
	HTTP_PROGRESS_WAIT,
	HTTP_PROGRESS_DONE,   /* the response is whole and written */
	HTTP_PROGRESS_TUNNEL, /* the same of 101: both sides speak something else now */
	HTTP_PROGRESS_FAILED, /* the far side has ended before, or speaks no HTTP */
};

/* The request's head as the origin gets it, malloc'ed. NULL: no memory. */
char *http_write_request(const struct http *h, const struct http_text *authority,
			 const struct http_text *path, size_t *len);
/* Passes on what the client has sent of its request. 0 or -EPROTO. */
int http_send_request(struct proxy_client *c, struct http *h);
/* Passes on what has come of the response. */
enum http_progress http_pass_response(struct proxy_client *c, struct http *h);

#endif
