/* SPDX-License-Identifier: MIT */
/*
 * dial.c - from a destination to a connection
 *
 * Theory of operation
 *
 * A name is resolved as the session resolves names. Its addresses are filtered (what may be reached
 * at all: proxy_route), ordered (the resolver's RFC 6724 order with the families interleaved, the
 * address that worked last time first) and tried as RFC 8305 says: the next attempt starts when the
 * one before has failed or PROXY_STAGGER_MS have passed; the first connection wins and the other
 * attempts are aborted. The error is that of the attempt which came furthest.
 *
 * A dial is freed in its job only: when it has told the result, or after proxy_dial_cancel. An
 * answer of the resolver cannot be called off, so a cancelled dial waits for it.
 */
#include <errno.h>
#include <netdb.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "src/proxy/internal.h"

/** struct candidate - an address to try; @direct: by a kernel socket; @far: the attempt, or NULL */
struct candidate {
	struct stack_addr to;
	bool direct;
	struct proxy_far *far;
};

/**
 * struct proxy_dial - a connect under way
 * @resolving:	An answer of the resolver is awaited
 * @decided:	@result was found without any attempt, or time is up
 * @next:	Of @at: the first that was not tried
 */
struct proxy_dial {
	struct wgw_session *session;
	struct wgw_job job;
	struct wgw_timer stagger, deadline;
	struct proxy_dial_options options;
	struct proxy_target target;
	void (*done)(void *arg, enum proxy_result r, struct proxy_far *far);
	void *arg;
	bool resolving, decided, cancelled, start_next;
	enum proxy_result result;
	struct candidate at[PROXY_CANDIDATES_MAX];
	size_t n, next;
};

const char *proxy_result_text(enum proxy_result r)
{
	static const char *const texts[PROXY_RESULTS] = {
		[PROXY_OK] = "connected",
		[PROXY_REFUSED] = "connection refused",
		[PROXY_RESET] = "connection reset",
		[PROXY_TIMEOUT] = "no answer in time",
		[PROXY_DOWN] = "the tunnel is down: no peer answers",
		[PROXY_NO_HOST] = "host unreachable",
		[PROXY_NO_ROUTE] =
			"no route: no AllowedIPs hold it, or no tunnel address is of its family",
		[PROXY_FORBIDDEN] = "loopback, link-local and multicast addresses are not proxied",
		[PROXY_NO_NAME] = "the name has no address",
		[PROXY_NO_DNS] = "the name servers do not answer",
		[PROXY_LIMIT] = "out of resources",
	};

	return texts[r];
}

static bool any_peer_up(const struct wgw_tunnel *t)
{
	struct wgw_channel_msg msg = {0};

	wgw_peers_state(wgw_core_of((struct wgw_tunnel *)(uintptr_t)t)->peers, &msg);
	return msg.u.state.peers_up > 0;
}

enum proxy_result proxy_result_of(const struct wgw_tunnel *t, int err)
{
	switch (err) {
	case 0:
		return PROXY_OK;
	case ECONNREFUSED:
		return PROXY_REFUSED;
	case ECONNRESET:
	case EPIPE:
		return PROXY_RESET;
	case ETIMEDOUT:
		return any_peer_up(t) ? PROXY_TIMEOUT : PROXY_DOWN;
	case EHOSTUNREACH:
	case EHOSTDOWN: /* what ICMP says of a host in other ways */
	case ENONET:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case EPROTO:
		return PROXY_NO_HOST;
	case ENETUNREACH:
	case EADDRNOTAVAIL:
		return PROXY_NO_ROUTE;
	case EACCES:
	case EPERM:
		return PROXY_FORBIDDEN;
	default:
		return PROXY_LIMIT;
	}
}

enum proxy_result proxy_result_of_eai(int eai)
{
	return eai == 0 || eai == EAI_NONAME || eai == EAI_NODATA ? PROXY_NO_NAME : PROXY_NO_DNS;
}

/* ---- what may be reached ---- */

/* Addresses that mean something on one host or one link only. */
static bool is_local_scope(const struct stack_addr *a)
{
	const uint8_t *ip = a->ip;

	if (stack_addr_is_any(a) || stack_addr_is_loopback(a))
		return true;
	if (stack_addr_is_v4(a))
		return ip[12] == 0 || ip[12] >= 224 || (ip[12] == 169 && ip[13] == 254);
	return ip[0] == 0xff || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
}

enum proxy_result proxy_route(struct wgw_session *session, struct stack_addr *to, uint8_t protocol,
			      bool quiet, bool *direct)
{
	struct wgw_tunnel *t = session->t;
	enum wgw_route route;

	*direct = false;
	if (is_local_scope(to))
		return PROXY_FORBIDDEN;
	if (stack_is_local(t->stack, to)) /* programs in the same tunnel; proxy_own */
		return protocol == IPPROTO_TCP ? PROXY_OK : PROXY_REFUSED;
	route = quiet ? wgw_session_route_quiet(session, to, protocol)
		      : wgw_session_route(session, to, protocol);
	*direct = route == WGW_ROUTE_DIRECT;
	if (*direct && is_local_scope(to)) /* --direct does not open the host's loopback */
		return PROXY_FORBIDDEN;
	return route == WGW_ROUTE_REFUSED ? PROXY_NO_ROUTE : PROXY_OK;
}

/* ---- names that worked ---- */

static struct proxy_remembered *remembered(struct proxy_dial *d, uint64_t *hash)
{
	struct wgw_proxy *p = d->session->t->proxy;

	crypto_shorthash((uint8_t *)hash, (const uint8_t *)d->target.name, strlen(d->target.name),
			 p->hash_key);
	*hash ^= (uint64_t)d->options.first; /* who prefers another family has other winners */
	return &p->winners[*hash % PROXY_WINNERS];
}

static void remember(struct proxy_dial *d, const struct stack_addr *winner)
{
	struct proxy_remembered *r;

	if (!d->target.is_name || d->options.host)
		return;
	r = remembered(d, &(uint64_t){0});
	remembered(d, &r->name);
	memcpy(r->ip, winner->ip, 16);
}

/* ---- candidates ---- */

static void swap(struct candidate *a, struct candidate *b)
{
	struct candidate c = *a;

	*a = *b;
	*b = c;
}

/* RFC 8305 section 4: the families take turns, the first one's order being kept. */
static void interleave(struct candidate *at, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		size_t j = i;

		while (j < n && stack_addr_is_v4(&at[j].to) == stack_addr_is_v4(&at[i - 1].to))
			j++;
		if (j == n)
			return;
		for (; j > i; j--)
			swap(&at[j], &at[j - 1]);
	}
}

/* What the user prefers comes first; interleave() lets the other family take its turn behind. */
static void put_family_first(struct proxy_dial *d)
{
	size_t i = 0;

	while (i < d->n && (d->options.first == AF_INET) != stack_addr_is_v4(&d->at[i].to))
		i++;
	for (; i > 0 && i < d->n; i--)
		swap(&d->at[i], &d->at[i - 1]);
}

static void put_winner_first(struct proxy_dial *d)
{
	uint64_t hash;
	const struct proxy_remembered *r = remembered(d, &hash);

	for (size_t i = 1; i < d->n && r->name == hash; i++) {
		if (memcmp(d->at[i].to.ip, r->ip, 16) != 0)
			continue;
		for (; i > 0; i--)
			swap(&d->at[i], &d->at[i - 1]);
		return;
	}
}

static bool family_wanted(const struct proxy_dial *d, const struct stack_addr *a)
{
	return d->options.family == AF_UNSPEC ||
	       (d->options.family == AF_INET) == stack_addr_is_v4(a);
}

static void add_candidate(struct proxy_dial *d, const struct stack_addr *to, bool quiet)
{
	struct candidate c = {.to = *to, .direct = d->options.host};
	enum proxy_result r = PROXY_OK;

	if (!d->options.host)
		r = proxy_route(d->session, &c.to, IPPROTO_TCP, quiet, &c.direct);
	if (r == PROXY_OK && d->n < PROXY_CANDIDATES_MAX)
		d->at[d->n++] = c;
	else if (r != PROXY_OK && d->result == PROXY_OK)
		d->result = r;
}

static void on_resolved(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n,
			const char *canonical, uint32_t ttl_s)
{
	struct proxy_dial *d = arg;
	struct stack_addr first = {0};
	bool any = false;

	(void)canonical, (void)ttl_s;
	d->resolving = false;
	for (uint32_t i = 0; eai == 0 && !d->cancelled && i < n; i++) {
		struct stack_addr a = {.port = d->target.addr.port};

		memcpy(a.ip, ip[i], 16);
		if (!family_wanted(d, &a))
			continue;
		if (!any)
			first = a;
		any = true;
		add_candidate(d, &a, true);
	}
	if (any && d->n == 0) /* nothing is reachable: the user is told about one of them */
		add_candidate(d, &first, false);
	else if (!any && !d->cancelled)
		d->result = proxy_result_of_eai(eai);
	d->decided = d->n == 0;
	if (d->n > 0) {
		d->result = PROXY_OK;
		if (d->options.first != AF_UNSPEC)
			put_family_first(d);
		interleave(d->at, d->n);
		put_winner_first(d);
	}
	d->start_next = true;
	wgw_job_queue(d->session->t->sockets, &d->job);
}

/* The family that is asked for, or the only one that the session can use; else AF_UNSPEC. */
static int only_family(const struct proxy_dial *d)
{
	const struct stack_addr v6 = {.ip = {0x20, 1}};
	const struct stack_addr v4 = {.ip = {[10] = 0xff, 0xff, 192, 0, 2, 1}};
	struct stack_addr from;
	struct wgw_session *s = d->session;
	bool has4, has6;

	if (d->options.family != AF_UNSPEC)
		return d->options.family;
	has4 = stack_source_for(s->t->stack, &v4, &from);
	has6 = stack_source_for(s->t->stack, &v6, &from);
	/* Of --direct destinations the host has its own addresses; two are always there. */
	if (has4 == has6 || s->policy.direct.n > 2)
		return AF_UNSPEC;
	return has4 ? AF_INET : AF_INET6;
}

/* ---- attempts ---- */

static void on_changed(void *arg)
{
	struct proxy_dial *d = arg;

	wgw_job_queue(d->session->t->sockets, &d->job);
}

static void on_stagger(struct wgw_timer *timer)
{
	struct proxy_dial *d = wgw_container(timer, struct proxy_dial, stagger);

	d->start_next = true;
	wgw_job_queue(d->session->t->sockets, &d->job);
}

static void on_deadline(struct wgw_timer *timer)
{
	struct proxy_dial *d = wgw_container(timer, struct proxy_dial, deadline);

	d->decided = true;
	d->result = d->resolving ? PROXY_NO_DNS : proxy_result_of(d->session->t, ETIMEDOUT);
	wgw_job_queue(d->session->t->sockets, &d->job);
}

/* How far an attempt came: a refusal says more than silence, silence more than no route. */
static int weight(enum proxy_result r)
{
	static const int weights[PROXY_RESULTS] = {
		[PROXY_REFUSED] = 6, [PROXY_RESET] = 7,	   [PROXY_TIMEOUT] = 5, [PROXY_DOWN] = 5,
		[PROXY_NO_HOST] = 4, [PROXY_NO_ROUTE] = 3, [PROXY_LIMIT] = 2,
	};

	return weights[r];
}

static void note_failure(struct proxy_dial *d, int err)
{
	enum proxy_result r = proxy_result_of(d->session->t, err);

	if (weight(r) > weight(d->result))
		d->result = r;
}

/* Starts attempts until one is under way. */
static void start_next(struct proxy_dial *d)
{
	struct wgw_loop *loop = d->session->t->loop;

	while (d->next < d->n) {
		struct candidate *c = &d->at[d->next++];
		int err = 0;

		c->far = proxy_far_connect(d->session, &c->to, c->direct, d->options.connect_ms,
					   on_changed, d, &err);
		if (c->far) {
			wgw_timer_set(loop, &d->stagger,
				      wgw_clock_ns() + PROXY_STAGGER_MS * WGW_MS_NS);
			return;
		}
		note_failure(d, err);
	}
	wgw_timer_cancel(loop, &d->stagger);
}

/* The first that is open, if any; failed ones are put away. *@pending: how many are under way. */
static struct proxy_far *look_at_attempts(struct proxy_dial *d, size_t *pending)
{
	*pending = 0;
	for (size_t i = 0; i < d->next; i++) {
		struct proxy_far *far = d->at[i].far;

		if (!far)
			continue;
		if (far->state == PROXY_FAR_OPEN) {
			d->at[i].far = NULL;
			remember(d, &d->at[i].to);
			return far;
		}
		if (far->state == PROXY_FAR_OVER) {
			note_failure(d, far->err ? far->err : ECONNRESET);
			proxy_far_free(far, true);
			d->at[i].far = NULL;
			d->start_next = true;
		} else {
			(*pending)++;
		}
	}
	return NULL;
}

static void dial_free(struct proxy_dial *d)
{
	struct wgw_session *session = d->session;

	wgw_timer_cancel(session->t->loop, &d->stagger);
	wgw_timer_cancel(session->t->loop, &d->deadline);
	for (size_t i = 0; i < d->n; i++)
		proxy_far_free(d->at[i].far, true);
	free(d);
	wgw_session_put(session);
}

static void dial_run(struct wgw_job *j)
{
	struct proxy_dial *d = wgw_container(j, struct proxy_dial, job);
	struct proxy_far *far = NULL;
	size_t pending = 0;

	if (!d->cancelled && !d->decided) {
		far = look_at_attempts(d, &pending);
		if (!far && d->start_next && !d->resolving) {
			d->start_next = false;
			start_next(d);
			far = look_at_attempts(d, &pending);
		}
		d->decided = far || (!d->resolving && !pending && d->next == d->n);
	}
	if (d->decided && !d->cancelled) {
		d->cancelled = true;
		d->done(d->arg, far ? PROXY_OK : d->result ? d->result : PROXY_LIMIT, far);
	}
	if (d->cancelled && !d->resolving)
		dial_free(d);
}

void proxy_dial_cancel(struct proxy_dial *d)
{
	d->cancelled = true;
	wgw_job_queue(d->session->t->sockets, &d->job);
}

static void host_resolved(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n)
{
	on_resolved(arg, eai, ip, n, NULL, 0);
}

static void resolve(struct proxy_dial *d)
{
	struct wgw_tunnel *t = d->session->t;

	d->resolving = true;
	if (d->options.host)
		wgw_session_host_resolve(d->session, d->target.name, d->options.family,
					 host_resolved, d);
	else
		wgw_resolve(t->resolver, d->session,
			    &(struct wgw_query){.name = d->target.name,
						.search = !d->target.absolute,
						.family = only_family(d)},
			    on_resolved, d);
}

struct proxy_dial *proxy_dial(struct wgw_session *session, const struct proxy_target *to,
			      const struct proxy_dial_options *options,
			      void (*done)(void *arg, enum proxy_result r, struct proxy_far *far),
			      void *arg)
{
	struct proxy_dial *d = calloc(1, sizeof(*d));
	uint32_t ms = options->connect_ms ? options->connect_ms : PROXY_CONNECT_MS;

	if (!d)
		return NULL;
	wgw_session_get(session);
	d->session = session;
	d->options = *options;
	d->options.connect_ms = ms;
	d->target = *to;
	d->done = done;
	d->arg = arg;
	d->job.run = dial_run;
	d->stagger.due = on_stagger;
	d->deadline.due = on_deadline;
	wgw_timer_set(session->t->loop, &d->deadline, wgw_clock_ns() + ms * WGW_MS_NS);
	if (to->is_name) {
		resolve(d);
		return d;
	}
	add_candidate(d, &to->addr, false);
	d->decided = d->n == 0;
	d->start_next = true;
	wgw_job_queue(session->t->sockets, &d->job);
	return d;
}
