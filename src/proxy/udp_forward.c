/* SPDX-License-Identifier: MIT */
/*
 * udp_forward.c - datagrams between one socket and one destination, both ways (-L and -R)
 *
 * Each sender gets a socket of its own towards the destination, so answers find their way back. It
 * is forgotten after idle_s without a datagram, or when there are PROXY_UDP_SENDERS_MAX others that
 * were active later. For -L the senders are on the host and their sockets in the tunnel; for -R the
 * other way round.
 *
 * The destination is resolved when the forward starts, and when it is used: every RESOLVE_AGAIN_S
 * if it is a name, and every RETRY_S while no address of it is known that has a route (a reload may
 * bring one); datagrams are lost then. When it has another address than before, all senders are
 * forgotten, as their sockets lead to the old one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/sockaddr.h"
#include "src/proxy/internal.h"

enum {
	DATAGRAM_MAX_BYTES = 65536,
	PER_TURN = 64,
	BUCKETS = 256,
	RESOLVE_AGAIN_S = 60,
	RETRY_S = 2,
};

/**
 * struct sender - one who sends
 * @by_age:	In the forward's list, the longest idle first
 * @flow:	-L: its socket in the tunnel
 * @watch:	-R: its socket on the host, fd -1: none
 */
struct sender {
	struct wgw_link by_age;
	struct sender *hash_next;
	struct proxy_udp_forward *forward;
	struct stack_addr addr;
	uint64_t last;
	struct flow_udp *flow;
	struct wgw_watch watch;
};

/**
 * struct proxy_udp_forward - a forward
 * @service:	NULL: it is stopped, and waits for the resolver's answer only
 * @to:		The destination; @known: it is valid, since @resolved_at
 * @flow:	-R: its socket in the tunnel
 */
struct proxy_udp_forward {
	struct proxy_service *service;
	struct wgw_timer sweep;
	struct stack_addr to;
	bool known, resolving;
	uint64_t resolved_at;
	struct flow_udp *flow;
	struct wgw_link senders;
	struct sender *table[BUCKETS];
	unsigned int n;
};

static uint8_t buffer[DATAGRAM_MAX_BYTES];

static struct wgw_loop *loop_of(const struct proxy_udp_forward *f)
{
	return f->service->proxy->t->loop;
}

/* ---- senders ---- */

static size_t bucket_of(const struct stack_addr *a)
{
	uint32_t h = a->port;

	for (size_t i = 0; i < sizeof(a->ip); i++)
		h = h * 31 + a->ip[i];
	return (h ^ h >> 8 ^ h >> 16) % BUCKETS;
}

static void sender_free(struct sender *s)
{
	struct proxy_udp_forward *f = s->forward;
	struct sender **at = &f->table[bucket_of(&s->addr)];

	while (*at && *at != s)
		at = &(*at)->hash_next;
	if (*at)
		*at = s->hash_next;
	wgw_list_remove(&s->by_age);
	f->n--;
	if (s->flow)
		flow_udp_free(s->flow);
	if (s->watch.fd >= 0) {
		wgw_loop_del(loop_of(f), &s->watch);
		close(s->watch.fd);
	}
	free(s);
}

static void forget_senders(struct proxy_udp_forward *f)
{
	while (f->senders.next != &f->senders)
		sender_free(wgw_container(f->senders.next, struct sender, by_age));
}

/* The timer runs while there are senders, to when the oldest may be forgotten. */
static void arm(struct proxy_udp_forward *f)
{
	uint64_t idle = f->service->idle_s * WGW_SEC_NS;
	const struct sender *oldest = wgw_container(f->senders.next, struct sender, by_age);

	if (idle && f->senders.next != &f->senders && !f->sweep.slot)
		wgw_timer_set(loop_of(f), &f->sweep, oldest->last + idle);
}

static void touch(struct sender *s)
{
	s->last = wgw_loop_now(loop_of(s->forward));
	wgw_list_remove(&s->by_age);
	wgw_list_append(&s->forward->senders, &s->by_age);
	arm(s->forward);
}

/* From the tunnel to a sender on the host. */
static void on_answer(struct flow_udp *u, void *arg, const struct stack_datagram *d)
{
	struct sender *s = arg;
	struct sockaddr_storage ss;
	socklen_t ss_len = wgw_sockaddr_from(&s->addr, &ss);

	(void)u;
	touch(s);
	(void)!sendto(s->forward->service->watch.fd, d->data, d->len, MSG_DONTWAIT | MSG_NOSIGNAL,
		      (const struct sockaddr *)&ss, ss_len);
}

/* From the host to a sender in the tunnel. */
static void on_host_answer(struct wgw_watch *w, uint32_t events)
{
	struct sender *s = wgw_container(w, struct sender, watch);

	(void)events;
	for (int i = 0; i < PER_TURN; i++) {
		ssize_t n = recv(w->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		const struct iovec iov = {buffer, n > 0 ? (size_t)n : 0};

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			continue; /* refused: the destination does not listen now */
		touch(s);
		flow_udp_send(s->forward->flow, &s->addr, &iov, 1, 0, 0);
	}
}

/* Its socket towards the destination. False: there is none to be had. */
static bool sender_open(struct sender *s)
{
	static const struct flow_udp_ops ops = {.received = on_answer};
	struct proxy_udp_forward *f = s->forward;
	struct sockaddr_storage ss;
	struct stack_addr any;
	socklen_t len;
	int err;

	if (!f->flow) {
		any = stack_addr_wildcard(stack_addr_is_v4(&f->to));
		s->flow = flow_udp_new(f->service->proxy->t->stack, &any, false, false, &ops, s,
				       &err);
		if (s->flow)
			flow_udp_connect(s->flow, &f->to);
		return s->flow;
	}
	len = wgw_sockaddr_from(&f->to, &ss);
	s->watch.fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	s->watch.ready = on_host_answer;
	if (s->watch.fd >= 0 && connect(s->watch.fd, (struct sockaddr *)&ss, len) == 0 &&
	    wgw_loop_add(loop_of(f), &s->watch, EPOLLIN) == 0)
		return true;
	if (s->watch.fd >= 0)
		close(s->watch.fd);
	s->watch.fd = -1;
	return false;
}

static struct sender *sender_get(struct proxy_udp_forward *f, const struct stack_addr *addr)
{
	size_t bucket = bucket_of(addr);
	struct sender *s = f->table[bucket];

	while (s && !stack_addr_equal(&s->addr, addr))
		s = s->hash_next;
	if (s) {
		touch(s);
		return s;
	}
	if (f->n >= PROXY_UDP_SENDERS_MAX)
		sender_free(wgw_container(f->senders.next, struct sender, by_age));
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->forward = f;
	s->addr = *addr;
	s->watch.fd = -1;
	f->n++;
	s->hash_next = f->table[bucket];
	f->table[bucket] = s;
	touch(s);
	if (sender_open(s))
		return s;
	sender_free(s);
	return NULL;
}

/* ---- the destination ---- */

/* PROXY_OK, or why datagrams cannot go to @to. @quiet as in proxy_route. */
static enum proxy_result route(const struct proxy_udp_forward *f, struct stack_addr *to, bool quiet)
{
	struct proxy_service *v = f->service;
	enum proxy_result r = PROXY_OK;
	bool direct = false;

	if (!v->dial.host)
		r = proxy_route(v->session, to, IPPROTO_UDP, quiet, &direct);
	return direct ? PROXY_NO_ROUTE : r;
}

static void take_address(struct proxy_udp_forward *f, int eai, const uint8_t (*ip)[16], uint32_t n)
{
	enum proxy_result r = proxy_result_of_eai(eai);
	struct stack_addr first;
	bool found = false;

	f->resolving = false;
	if (!f->service) {
		free(f);
		return;
	}
	for (uint32_t i = 0; eai == 0 && i < n; i++) {
		struct stack_addr to = {.port = f->service->target.addr.port};

		memcpy(to.ip, ip[i], 16);
		r = route(f, &to, found || i + 1 < n);
		if (r != PROXY_OK)
			continue;
		if (f->known && stack_addr_equal(&to, &f->to))
			return; /* wherever in the list it is now */
		if (!found)
			first = to;
		found = true;
	}
	if (!found) {
		proxy_say_result(f->service, "datagrams", &f->service->target, r);
		return;
	}
	forget_senders(f);
	f->to = first;
	f->known = true;
}

static void on_resolved(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n,
			const char *canonical, uint32_t ttl_s)
{
	(void)canonical, (void)ttl_s;
	take_address(arg, eai, ip, n);
}

static void on_host_resolved(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n)
{
	take_address(arg, eai, ip, n);
}

static void resolve(struct proxy_udp_forward *f)
{
	struct proxy_service *v = f->service;
	const struct proxy_target *t = &v->target;

	if (f->resolving)
		return;
	f->resolving = true;
	f->resolved_at = wgw_clock_ns();
	if (!t->is_name)
		take_address(f, 0, (const uint8_t(*)[16])t->addr.ip, 1);
	else if (v->dial.host)
		wgw_session_host_resolve(v->session, t->name, v->dial.family, on_host_resolved, f);
	else
		wgw_resolve(v->proxy->t->resolver, v->session,
			    &(struct wgw_query){.name = t->name,
						.search = !t->absolute,
						.family = v->dial.family},
			    on_resolved, f);
}

/* ---- datagrams of senders ---- */

/* The sender of a datagram that can be sent on now, or NULL. */
static struct sender *sender_for(struct proxy_udp_forward *f, const struct stack_addr *from)
{
	uint64_t again = (f->known ? RESOLVE_AGAIN_S : RETRY_S) * WGW_SEC_NS;
	bool may_change = f->service->target.is_name || !f->known;

	if (may_change && wgw_clock_ns() - f->resolved_at > again)
		resolve(f);
	return f->known ? sender_get(f, from) : NULL;
}

static void on_listener(struct wgw_watch *w, uint32_t events)
{
	struct proxy_service *v = wgw_container(w, struct proxy_service, watch);

	(void)events;
	for (int i = 0; i < PER_TURN; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		ssize_t n = recvfrom(w->fd, buffer, sizeof(buffer), MSG_DONTWAIT,
				     (struct sockaddr *)&ss, &len);
		const struct iovec iov = {buffer, n > 0 ? (size_t)n : 0};
		struct stack_addr from;
		struct sender *s;

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			continue;
		wgw_sockaddr_to(&ss, &from);
		s = sender_for(v->forward, &from);
		if (s)
			flow_udp_send(s->flow, &v->forward->to, &iov, 1, 0, 0);
	}
}

static void on_received(struct flow_udp *u, void *arg, const struct stack_datagram *d)
{
	struct sender *s = sender_for(arg, d->from);

	(void)u;
	if (s)
		(void)!send(s->watch.fd, d->data, d->len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- life ---- */

static void on_sweep(struct wgw_timer *timer)
{
	struct proxy_udp_forward *f = wgw_container(timer, struct proxy_udp_forward, sweep);
	uint64_t now = wgw_loop_now(loop_of(f)), idle = f->service->idle_s * WGW_SEC_NS;

	while (f->senders.next != &f->senders) {
		struct sender *s = wgw_container(f->senders.next, struct sender, by_age);

		if (now - s->last < idle)
			break;
		sender_free(s);
	}
	arm(f);
}

int proxy_udp_start(struct proxy_service *v, const struct stack_addr *at)
{
	static const struct flow_udp_ops ops = {.received = on_received};
	struct proxy_udp_forward *f = calloc(1, sizeof(*f));
	int err = 0;

	if (!f)
		return ENOMEM;
	f->service = v;
	f->sweep.due = on_sweep;
	wgw_list_init(&f->senders);
	if (at) {
		f->flow = flow_udp_new(v->proxy->t->stack, at, false, false, &ops, f, &err);
		err = f->flow ? 0 : err < 0 ? -err : err;
	} else {
		v->watch.ready = on_listener;
		err = -wgw_loop_add(v->proxy->t->loop, &v->watch, EPOLLIN);
	}
	if (err) {
		free(f);
		return err;
	}
	v->forward = f;
	resolve(f);
	return 0;
}

void proxy_udp_stop(struct proxy_service *v)
{
	struct proxy_udp_forward *f = v->forward;

	if (!f)
		return;
	v->forward = NULL;
	wgw_timer_cancel(loop_of(f), &f->sweep);
	forget_senders(f);
	if (f->flow)
		flow_udp_free(f->flow);
	f->service = NULL;
	if (!f->resolving)
		free(f);
}
