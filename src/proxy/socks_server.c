/* SPDX-License-Identifier: MIT */
/*
 * socks_server.c - SOCKS 5, 4 and 4a on a client's connection
 *
 * Messages may come one byte at a time, or all at once before any was answered; each state uses up
 * exactly its message and the next one begins with what is left. Replies about a destination come
 * when its outcome is known, never before.
 */
#include <stdlib.h>
#include <string.h>

#include "src/proxy/internal.h"
#include "src/proxy/socks.h"

enum socks_state {
	SOCKS_GREETING,
	SOCKS_CREDENTIALS,
	SOCKS_DELAY, /* a wrong password is not answered at once */
	SOCKS_REQUEST,
	SOCKS_DIALLING,
	SOCKS_ASSOCIATED,
	SOCKS_BOUND, /* waits for a connection */
};

/**
 * struct socks - a client's state
 * @assoc:	Of UDP ASSOCIATE
 * @listener, @far: of BIND: where it listens, what came
 */
struct socks {
	enum socks_state state;
	uint8_t version;
	struct proxy_assoc *assoc;
	struct flow_listener *listener;
	struct proxy_far *far;
	struct proxy_client *client;
};

static const enum socks5_code socks5_codes[PROXY_RESULTS] = {
	[PROXY_OK] = SOCKS5_OK,
	[PROXY_REFUSED] = SOCKS5_REFUSED,
	[PROXY_RESET] = SOCKS5_FAILED,
	[PROXY_TIMEOUT] = SOCKS5_HOST_UNREACHABLE,
	[PROXY_DOWN] = SOCKS5_HOST_UNREACHABLE,
	[PROXY_NO_HOST] = SOCKS5_HOST_UNREACHABLE,
	[PROXY_NO_ROUTE] = SOCKS5_NET_UNREACHABLE,
	[PROXY_FORBIDDEN] = SOCKS5_NOT_ALLOWED,
	[PROXY_NO_NAME] = SOCKS5_HOST_UNREACHABLE,
	[PROXY_NO_DNS] = SOCKS5_HOST_UNREACHABLE,
	[PROXY_LIMIT] = SOCKS5_FAILED,
};

static void reply(struct proxy_client *c, enum socks5_code code, const struct stack_addr *bound)
{
	const struct socks *s = c->state;
	uint8_t out[SOCKS5_REPLY_MAX_BYTES];
	size_t n;

	if (s->version == SOCKS4_VERSION)
		n = socks4_put_reply(out, code == SOCKS5_OK ? SOCKS4_GRANTED : SOCKS4_FAILED,
				     bound);
	else
		n = socks5_put_reply(out, code, bound);
	proxy_client_reply(c, out, n);
	if (code != SOCKS5_OK)
		proxy_client_finish(c);
}

/* These return whether there may be more to do. */

static bool take_greeting(struct proxy_client *c, struct socks *s)
{
	bool with_users = c->service->users.n > 0;
	uint32_t methods;
	ssize_t n = socks5_parse_greeting(c->in, c->in_len, &methods);
	uint8_t out[2] = {SOCKS5_VERSION, with_users ? SOCKS5_USER_PASS : SOCKS5_NO_AUTH};

	if (n == 0)
		return false;
	if (n < 0) {
		proxy_client_drop(c, false);
		return false;
	}
	proxy_client_consume(c, (size_t)n);
	if (!(methods & UINT32_C(1) << out[1]))
		out[1] = SOCKS5_NO_METHOD;
	proxy_client_reply(c, out, sizeof(out));
	if (out[1] == SOCKS5_NO_METHOD) {
		proxy_client_finish(c);
		return false;
	}
	s->state = with_users ? SOCKS_CREDENTIALS : SOCKS_REQUEST;
	return true;
}

static bool take_credentials(struct proxy_client *c, struct socks *s)
{
	static const uint8_t good[2] = {1, 0};
	struct socks5_credentials given;
	ssize_t n = socks5_parse_credentials(c->in, c->in_len, &given);
	bool ok;

	if (n == 0)
		return false;
	if (n < 0) {
		proxy_client_drop(c, false);
		return false;
	}
	ok = proxy_users_check(&c->service->users, given.name, given.name_len, given.password,
			       given.password_len);
	proxy_client_consume(c, (size_t)n);
	if (!ok) {
		s->state = SOCKS_DELAY;
		proxy_client_delay(c, PROXY_BAD_USER_MS);
		return false;
	}
	proxy_client_reply(c, good, sizeof(good));
	s->state = SOCKS_REQUEST;
	return true;
}

static void refuse_credentials(struct proxy_client *c)
{
	static const uint8_t bad[2] = {1, 1};

	proxy_client_wrong_user(c);
	proxy_client_reply(c, bad, sizeof(bad));
	proxy_client_finish(c);
}

/* ---- UDP ASSOCIATE ---- */

static void start_assoc(struct proxy_client *c, struct socks *s)
{
	struct stack_addr bound;
	int err;

	/* On a unix socket nothing says from which address the client sends: another user could be
	 * first, unless the client has named the port it holds. Over TLS, datagrams alone would not
	 * be encrypted. */
	if (c->tls || (c->unix_peer && c->target.addr.port == 0)) {
		reply(c, SOCKS5_NOT_ALLOWED, NULL);
		return;
	}
	s->assoc = proxy_assoc_new(c, &c->target.addr, &bound, &err);
	if (!s->assoc) {
		reply(c, SOCKS5_FAILED, NULL);
		return;
	}
	proxy_client_known(c);
	s->state = SOCKS_ASSOCIATED;
	reply(c, SOCKS5_OK, &bound);
}

/* ---- BIND ---- */

static void on_far(void *arg)
{
	proxy_client_kick(arg);
}

static void on_accept(struct flow_listener *l, struct flow *f, void *arg)
{
	struct socks *s = arg;
	struct proxy_client *c = s->client;
	struct stack_addr from;

	(void)l;
	flow_addrs(f, NULL, &from);
	/* One connection, from the host that was named. */
	if (s->far || (!c->target.is_name && !stack_addr_is_any(&c->target.addr) &&
		       memcmp(from.ip, c->target.addr.ip, 16) != 0)) {
		flow_abort(f);
		return;
	}
	s->far = proxy_far_accepted(c->service->proxy->t, f, on_far, c);
	proxy_client_kick(c);
}

static void start_bind(struct proxy_client *c, struct socks *s)
{
	static const struct flow_listener_ops ops = {.accept = on_accept};
	struct wgw_tunnel *t = c->service->proxy->t;
	struct stack_addr to = {.ip = {[10] = 0xff, 0xff, 10}}, at;
	int err;

	/* The address towards the host that was named, else one that the tunnel has. */
	if (!c->target.is_name && !stack_addr_is_any(&c->target.addr))
		to = c->target.addr;
	if (!stack_source_for(t->stack, &to, &at) &&
	    !stack_source_for(t->stack, &(struct stack_addr){.ip = {0x20}}, &at)) {
		reply(c, SOCKS5_NET_UNREACHABLE, NULL);
		return;
	}
	at.port = 0;
	s->listener = flow_listen(t->stack, &at, false, 1, &ops, s, &err);
	if (!s->listener) {
		reply(c, SOCKS5_FAILED, NULL);
		return;
	}
	proxy_client_known(c);
	at.port = flow_listener_port(s->listener);
	s->state = SOCKS_BOUND;
	proxy_client_delay(c, PROXY_BIND_MS);
	reply(c, SOCKS5_OK, &at);
}

static void run_bind(struct proxy_client *c, struct socks *s)
{
	struct proxy_far *far = s->far;

	if (!far && c->late)
		reply(c, SOCKS5_TTL_EXPIRED, NULL);
	if (!far || c->closing)
		return;
	flow_listener_close(s->listener);
	s->listener = NULL;
	s->far = NULL;
	reply(c, SOCKS5_OK, &far->remote);
	if (!c->dead)
		proxy_client_join(c, far);
	else
		proxy_far_free(far, true);
}

/* ---- the protocol ---- */

static bool take_request(struct proxy_client *c, struct socks *s)
{
	struct socks_request request;
	ssize_t n = s->version == SOCKS4_VERSION ? socks4_parse_request(c->in, c->in_len, &request)
						 : socks5_parse_request(c->in, c->in_len, &request);

	if (n == 0)
		return false;
	if (n < 0) {
		proxy_client_drop(c, false);
		return false;
	}
	proxy_client_consume(c, (size_t)n);
	c->target = request.target;
	s->state = SOCKS_DIALLING;
	if (request.code)
		reply(c, request.code, NULL);
	else if (request.command == SOCKS_CONNECT)
		proxy_client_dial(c);
	else if (request.command == SOCKS_BIND)
		start_bind(c, s);
	else
		start_assoc(c, s);
	return false;
}

static bool step(struct proxy_client *c, struct socks *s)
{
	switch (s->state) {
	case SOCKS_GREETING:
		return take_greeting(c, s);
	case SOCKS_CREDENTIALS:
		return take_credentials(c, s);
	case SOCKS_DELAY:
		return false;
	case SOCKS_REQUEST:
		return take_request(c, s);
	case SOCKS_ASSOCIATED:
		proxy_client_consume(c, c->in_len); /* it only has to stay open */
		return false;
	case SOCKS_DIALLING:
	case SOCKS_BOUND:
		return false;
	}
	return false;
}

/* The first byte decides. */
static struct socks *socks_new(struct proxy_client *c)
{
	struct socks *s;

	if (c->in_len == 0) {
		if (c->in_end)
			proxy_client_drop(c, false);
		return NULL;
	}
	/* SOCKS 4 has no password: not where there are users. */
	if (c->in[0] != SOCKS5_VERSION && (c->in[0] != SOCKS4_VERSION || c->service->users.n > 0)) {
		proxy_client_drop(c, false);
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		proxy_client_drop(c, true);
		return NULL;
	}
	s->version = c->in[0];
	s->state = s->version == SOCKS4_VERSION ? SOCKS_REQUEST : SOCKS_GREETING;
	s->client = c;
	c->state = s;
	return s;
}

static void socks_run(struct proxy_client *c)
{
	struct socks *s = c->state ? c->state : socks_new(c);

	if (!s)
		return;
	if (s->state == SOCKS_DELAY && c->late) {
		refuse_credentials(c);
		return;
	}
	while (!c->dead && !c->closing && step(c, s))
		;
	if (s->state == SOCKS_BOUND && !c->dead)
		run_bind(c, s);
	if (c->in_end && (s->assoc || s->listener) && !c->dead)
		proxy_client_drop(c, false);
	if (c->in_end && !c->known && !c->dead && !c->closing && s->state != SOCKS_DELAY)
		proxy_client_drop(c, false); /* in the middle of a message */
}

static void socks_dialled(struct proxy_client *c, enum proxy_result r, struct proxy_far *far)
{
	reply(c, socks5_codes[r], far ? &far->local : NULL);
	if (far && !c->dead)
		proxy_client_join(c, far);
	else if (far)
		proxy_far_free(far, true);
}

static void socks_free(struct proxy_client *c)
{
	struct socks *s = c->state;

	if (!s)
		return;
	if (s->assoc)
		proxy_assoc_free(s->assoc);
	if (s->listener)
		flow_listener_close(s->listener);
	proxy_far_free(s->far, true);
	free(s);
}

const struct proxy_protocol proxy_socks = {socks_run, socks_dialled, socks_free};
