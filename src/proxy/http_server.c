/* SPDX-License-Identifier: MIT */
/*
 * http_server.c - HTTP/1 on a client's connection: CONNECT, and requests in absolute form
 *
 * Theory of operation
 *
 * CONNECT ends in a join: bytes are pumped elsewhere. All other requests are exchanges: one
 * request, one response, then the next request of the client's connection, which may be for another
 * host.
 *
 *   HEAD		the request's head is awaited, checked (users, form, ambiguity)
 *   DIALLING	no connection to the request's host is at hand
 *   EXCHANGE	request and response pass at the same time, so that a server may answer early and
 *			"100 Continue" works
 *
 * Heads are rewritten: origin form, Host from the request's target (RFC 9112 3.2.2), without what
 * is the proxy's or the hop's. Bodies are framed by http-parser and passed on as they are, chunks
 * included; only a client of HTTP/1.0 gets the contents of chunks. Nothing is read from one side
 * that the other has no room for, beyond one buffer each way.
 *
 * The connection to the host is kept for the client's next request when both sides allow it. If it
 * turns out to have been closed before the first byte of a response, an idempotent request without
 * a body is sent once more on a new one (RFC 9112 9.3.1). A response that is cut short ends in a
 * reset: it must not look complete.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/proxy/http_server.h"

static const struct {
	int status;
	const char *reason;
} answers[PROXY_RESULTS] = {
	[PROXY_OK] = {200, "Connection established"}, [PROXY_REFUSED] = {502, "Bad Gateway"},
	[PROXY_RESET] = {502, "Bad Gateway"},	      [PROXY_TIMEOUT] = {504, "Gateway Timeout"},
	[PROXY_DOWN] = {503, "Service Unavailable"},  [PROXY_NO_HOST] = {502, "Bad Gateway"},
	[PROXY_NO_ROUTE] = {502, "Bad Gateway"},      [PROXY_FORBIDDEN] = {403, "Forbidden"},
	[PROXY_NO_NAME] = {502, "Bad Gateway"},	      [PROXY_NO_DNS] = {502, "Bad Gateway"},
	[PROXY_LIMIT] = {503, "Service Unavailable"},
};

/* An answer of our own. @keep: the next request may follow. */
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

/* The request is over, by an answer of our own if there was one: ready for the next. */
static void http_next(struct http *h)
{
	free(h->request);
	free(h->response);
	h->request = h->response = NULL;
	h->request_len = h->request_at = h->request_ready = 0;
	h->response_len = h->response_at = h->parsed = h->ready = h->body_at = 0;
	h->reply_len = h->reply_line = 0;
	h->responded = h->reused = h->retried = h->upgrade = h->contents_only = h->until_end =
		false;
	h->reply_parsed = false;
	h->state = HTTP_ST_HEAD;
}

/* ---- users ---- */

static void refuse_user(struct proxy_client *c)
{
	const struct http *h = c->state;

	answer(c, 407, "Proxy Authentication Required",
	       "Proxy-Authenticate: Basic realm=\"wgwrap\", charset=\"UTF-8\"\r\n",
	       "a user name and a password are needed", h->head.complete);
}

/* Whether the request may go on; else it has been answered, or will be. */
static bool check_user(struct proxy_client *c, struct http *h)
{
	struct http_text name, password;
	char buf[HTTP_CREDENTIALS_BYTES];
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
	if (r == 0)
		refuse_user(c);
	else
		proxy_client_delay(c, PROXY_BAD_USER_MS);
	return false;
}

/* ---- the request's head ---- */

static bool same_target(const struct proxy_target *a, const struct proxy_target *b)
{
	return a->addr.port == b->addr.port && a->is_name == b->is_name &&
	       strcmp(a->name, b->name) == 0;
}

static void drop_far(struct http *h, bool reset)
{
	proxy_far_free(h->far, reset);
	h->far = NULL;
}

/* Between requests: a host that has closed, or says something unasked, is not kept. */
static void look_at_idle_far(struct http *h)
{
	bool fin = false;
	char byte;

	if (!h->far)
		return;
	if (proxy_far_read(h->far, &byte, 1, &fin) > 0 || fin || h->far->state != PROXY_FAR_OPEN)
		drop_far(h, false);
}

/* Starts the exchange: on the connection that is at hand, or a new one. */
static void start(struct proxy_client *c, struct http *h)
{
	if (h->far && !(h->far->state == PROXY_FAR_OPEN && same_target(&c->target, &h->far_target)))
		drop_far(h, false);
	h->reused = h->far != NULL;
	if (h->far) {
		h->state = HTTP_ST_EXCHANGE;
		return;
	}
	h->state = HTTP_ST_DIALLING;
	proxy_client_dial(c);
}

static void take_absolute(struct proxy_client *c, struct http *h, size_t head_len)
{
	struct http_text authority, path;

	if (http_target_absolute(&h->head.url, &c->target, &authority, &path) < 0) {
		answer(c, 400, "Bad Request", "",
		       "this is a proxy: it takes CONNECT host:port and http:// URLs", false);
		return;
	}
	h->keep = http_head_keeps(&h->head);
	h->is_10 = h->head.parser.http_minor == 0;
	h->is_head = h->head.parser.method == HTTP_HEAD;
	h->has_body = !h->head.complete;
	h->upgrade = h->head.complete && !h->is_10 && http_head_get(&h->head, "Upgrade") &&
		     http_head_has(&h->head, "Connection", "Upgrade");
	h->request = http_write_request(h, &authority, &path, &h->request_len);
	proxy_client_consume(c, head_len);
	if (h->request)
		start(c, h);
	else
		proxy_client_drop(c, true);
}

static void take_connect(struct proxy_client *c, struct http *h, size_t head_len)
{
	if (proxy_target_parse(&c->target, h->head.url.at, h->head.url.len, 0) < 0) {
		answer(c, 400, "Bad Request", "", "CONNECT needs host:port", false);
		return;
	}
	proxy_client_consume(c, head_len);
	drop_far(h, false);
	h->connect = true;
	h->state = HTTP_ST_DIALLING;
	proxy_client_dial(c);
}

/* False: nothing more can be done now. */
static bool take_head(struct proxy_client *c, struct http *h)
{
	const char *in = (const char *)c->in;
	size_t empty = 0;
	ssize_t n;

	while (c->in_len >= empty + 2 && in[empty] == '\r' && in[empty + 1] == '\n')
		empty += 2; /* RFC 9112 2.2 */
	if (empty > 0) {
		proxy_client_consume(c, empty);
		proxy_client_kick(c); /* there is room for more input */
	}
	n = http_head_length(in, c->in_len, &h->line);
	if (n == 0 && c->in_len == PROXY_HEAD_MAX_BYTES)
		answer(c, 431, "Request Header Fields Too Large", "", "the head is too long",
		       false);
	if (n == 0)
		return false;
	if (n < 0 || http_head_parse(&h->head, HTTP_REQUEST, false, in, (size_t)n) < 0) {
		answer(c, 400, "Bad Request", "",
		       n < 0 ? "a bare line feed or a folded line" : h->head.bad, false);
		return false;
	}
	h->line = 0;
	if (!check_user(c, h)) {
		proxy_client_consume(c, (size_t)n);
		return !c->delayed && !c->closing;
	}
	if (h->head.parser.method == HTTP_CONNECT)
		take_connect(c, h, (size_t)n);
	else
		take_absolute(c, h, (size_t)n);
	return h->state == HTTP_ST_EXCHANGE;
}

/* ---- the exchange ---- */

static bool is_idempotent(unsigned int method)
{
	return method == HTTP_GET || method == HTTP_HEAD || method == HTTP_OPTIONS ||
	       method == HTTP_PUT || method == HTTP_DELETE || method == HTTP_TRACE ||
	       method == HTTP_PROPFIND;
}

/* The connection to the host is over before the response was whole. */
static void far_failed(struct proxy_client *c, struct http *h)
{
	enum proxy_result r =
		proxy_result_of(c->service->proxy->t, h->far->err ? h->far->err : ECONNRESET);
	/* what has gone of a body is not here any more */
	bool again = h->reused && !h->retried && h->reply_len == 0 && !h->has_body &&
		     is_idempotent(h->head.parser.method);

	drop_far(h, true);
	if (h->responded || h->response) {
		proxy_client_drop(c, true);
	} else if (again) {
		h->retried = true;
		h->request_at = 0;
		h->reused = false;
		h->state = HTTP_ST_DIALLING;
		proxy_client_dial(c);
	} else {
		answer(c, 502, "Bad Gateway", "", proxy_result_text(r), false);
	}
}

/* The response is whole and written. */
static void exchange_over(struct proxy_client *c, struct http *h)
{
	bool all_sent = h->head.complete && h->request_at == h->request_len && !h->request_ready;

	/* bytes behind the response are nobody's */
	if (!all_sent || !http_head_keeps(&h->reply) || h->reply_len > 0)
		drop_far(h, !all_sent);
	else
		h->far_target = c->target;
	if (!all_sent || !h->keep) {
		proxy_client_finish(c);
		return;
	}
	http_next(h);
	proxy_client_kick(c);
}

static void run_exchange(struct proxy_client *c, struct http *h)
{
	enum http_progress p;

	if (http_send_request(c, h) < 0) {
		proxy_client_drop(c, true); /* a body that is none */
		return;
	}
	if (c->in_end && !h->head.complete) {
		proxy_client_drop(c, true); /* in the middle of its request */
		return;
	}
	p = http_pass_response(c, h);
	if (p == HTTP_PROGRESS_FAILED)
		far_failed(c, h);
	else if (p == HTTP_PROGRESS_DONE)
		exchange_over(c, h);
	else if (p == HTTP_PROGRESS_TUNNEL)
		h->state = HTTP_ST_TUNNEL;
}

/* Everything that came with "101 Switching Protocols" is written: bytes from here on. */
static void run_tunnel(struct proxy_client *c, struct http *h)
{
	struct proxy_far *far = h->far;

	h->far = NULL;
	proxy_client_join(c, far);
}

/* ---- the protocol ---- */

static void http_run(struct proxy_client *c)
{
	struct http *h = c->state;

	if (!h)
		h = c->state = calloc(1, sizeof(*h));
	if (!h) {
		proxy_client_drop(c, true);
		return;
	}
	if (c->delayed && c->late) {
		proxy_client_undelay(c);
		proxy_client_wrong_user(c);
		refuse_user(c);
	}
	if (h->state == HTTP_ST_HEAD)
		look_at_idle_far(h);
	while (h->state == HTTP_ST_HEAD && !c->delayed && !c->closing && !c->dead &&
	       take_head(c, h))
		;
	if (h->state == HTTP_ST_EXCHANGE)
		run_exchange(c, h);
	if (h->state == HTTP_ST_TUNNEL && !c->dead)
		run_tunnel(c, h);
	if (h->state == HTTP_ST_HEAD && c->in_end && !c->closing && !c->delayed && !c->dead)
		proxy_client_drop(c, false);
}

static void on_far(void *arg)
{
	proxy_client_kick(arg);
}

static void http_dialled(struct proxy_client *c, enum proxy_result r, struct proxy_far *far)
{
	static const char ok[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	struct http *h = c->state;

	if (r != PROXY_OK) {
		answer(c, answers[r].status, answers[r].reason, "", proxy_result_text(r),
		       !h->connect && h->keep && h->head.complete);
		http_next(h);
		proxy_client_kick(c);
		return;
	}
	if (h->connect) {
		proxy_client_reply(c, ok, sizeof(ok) - 1);
		if (!c->dead)
			proxy_client_join(c, far);
		else
			proxy_far_free(far, true);
		return;
	}
	proxy_far_set_owner(far, on_far, c);
	h->far = far;
	h->far_target = c->target;
	h->state = HTTP_ST_EXCHANGE;
	proxy_client_kick(c);
}

static void http_free(struct proxy_client *c)
{
	struct http *h = c->state;

	if (!h)
		return;
	http_next(h);
	drop_far(h, true);
	free(h->reply_in);
	free(h);
}

const struct proxy_protocol proxy_http = {http_run, http_dialled, http_free};
