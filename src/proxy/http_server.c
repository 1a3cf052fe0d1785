/* SPDX-License-Identifier: MIT */
/* http_server.c - HTTP on a client's connection: CONNECT */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/proxy/http_head.h"
#include "src/proxy/internal.h"

enum { CREDENTIALS_BYTES = 1024 };

/** struct http - a client's state */
struct http {
	struct http_head head;
	size_t head_len;
	bool dialling;
};

static const struct {
	int status;
	const char *reason;
} answers[PROXY_RESULTS] = {
	[PROXY_OK] = {200, "Connection established"},
	[PROXY_REFUSED] = {502, "Bad Gateway"},
	[PROXY_RESET] = {502, "Bad Gateway"},
	[PROXY_TIMEOUT] = {504, "Gateway Timeout"},
	[PROXY_DOWN] = {503, "Service Unavailable"},
	[PROXY_NO_HOST] = {502, "Bad Gateway"},
	[PROXY_NO_ROUTE] = {502, "Bad Gateway"},
	[PROXY_FORBIDDEN] = {403, "Forbidden"},
	[PROXY_NO_NAME] = {502, "Bad Gateway"},
	[PROXY_NO_DNS] = {502, "Bad Gateway"},
	[PROXY_LIMIT] = {503, "Service Unavailable"},
};

static void answer(struct proxy_client *c, int status, const char *reason, const char *header,
		   const char *text, bool keep)
{
	char out[PROXY_OUT_BYTES];
	int n = snprintf(out, sizeof(out),
			 "HTTP/1.1 %d %s\r\n%sContent-Type: text/plain\r\nContent-Length: %zu\r\n"
			 "Connection: %s\r\n\r\nwgwrap: %s\n",
			 status, reason, header, strlen(text) + strlen("wgwrap: \n"),
			 keep ? "keep-alive" : "close", text);

	proxy_client_reply(c, out, (size_t)n);
	if (!keep)
		proxy_client_finish(c);
}

static void refuse_user(struct proxy_client *c)
{
	answer(c, 407, "Proxy Authentication Required",
	       "Proxy-Authenticate: Basic realm=\"wgwrap\", charset=\"UTF-8\"\r\n",
	       "a user name and a password are needed", true);
}

/* Whether the request may go on; else it has been answered. */
static bool check_user(struct proxy_client *c, struct http *h)
{
	struct http_text name, password;
	char buf[CREDENTIALS_BYTES];
	bool ok = false;
	int r;

	if (c->service->users.n == 0)
		return true;
	r = http_head_credentials(&h->head, buf, sizeof(buf), &name, &password);
	if (r > 0)
		ok = proxy_users_check(&c->service->users, name.at, name.len, password.at,
				       password.len);
	sodium_memzero(buf, sizeof(buf));
	if (ok)
		return true;
	proxy_client_consume(c, h->head_len);
	if (r == 0)
		refuse_user(c);
	else
		proxy_client_delay(c, PROXY_BAD_USER_MS);
	return false;
}

static void take_head(struct proxy_client *c, struct http *h)
{
	ssize_t n = http_head_length((const char *)c->in, c->in_len);

	if (n == 0 && c->in_len == PROXY_HEAD_MAX_BYTES)
		answer(c, 431, "Request Header Fields Too Large", "", "the request's head is too long",
		       false);
	if (n == 0)
		return;
	if (n < 0 || http_head_parse(&h->head, HTTP_REQUEST, (const char *)c->in, (size_t)n) < 0) {
		answer(c, 400, "Bad Request", "", n < 0 ? "malformed head" : h->head.bad, false);
		return;
	}
	h->head_len = (size_t)n;
	if (!check_user(c, h))
		return;
	if (h->head.parser.method != HTTP_CONNECT ||
	    proxy_target_parse(&c->target, h->head.url.at, h->head.url.len, 0) < 0) {
		answer(c, 400, "Bad Request", "", "not a request for a proxy", false);
		return;
	}
	proxy_client_consume(c, h->head_len);
	h->dialling = true;
	proxy_client_dial(c);
}

static void http_run(struct proxy_client *c)
{
	struct http *h = c->state;

	if (!h) {
		h = c->state = calloc(1, sizeof(*h));
		if (!h) {
			proxy_client_drop(c, true);
			return;
		}
	}
	if (c->delayed && c->late) {
		c->delayed = c->late = false;
		refuse_user(c);
	}
	if (!h->dialling && !c->delayed)
		take_head(c, h);
	if (c->in_end && !h->dialling && !c->closing && !c->delayed && !c->dead)
		proxy_client_drop(c, false);
}

static void http_dialled(struct proxy_client *c, enum proxy_result r, struct proxy_far *far)
{
	static const char ok[] = "HTTP/1.1 200 Connection established\r\n\r\n";

	if (r != PROXY_OK) {
		answer(c, answers[r].status, answers[r].reason, "", proxy_result_text(r), false);
		return;
	}
	proxy_client_reply(c, ok, sizeof(ok) - 1);
	if (!c->dead)
		proxy_client_join(c, far);
	else
		proxy_far_free(far, true);
}

static void http_free(struct proxy_client *c)
{
	free(c->state);
}

const struct proxy_protocol proxy_http = {http_run, http_dialled, http_free};
