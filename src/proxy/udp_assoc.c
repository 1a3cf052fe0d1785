/* SPDX-License-Identifier: MIT */
/*
 * udp_assoc.c - SOCKS 5 UDP ASSOCIATE
 *
 * Theory of operation
 *
 * An association has two sockets. The relay is a kernel socket at the address the client has
 * reached us at; it takes datagrams from the client only: from the address of its control
 * connection, and from one port, which is that of the request or of the first datagram. The other
 * is one socket of the stack for all destinations, so its port is the same towards everybody and
 * everybody may answer: mapping and filtering are endpoint-independent (RFC 4787 REQ-1, REQ-8).
 *
 * Datagrams to a name wait, a bounded number of them, until it is resolved; the resolver remembers.
 * Fragments (FRAG not 0) are dropped, as RFC 1928 allows, and so is what has no route.
 *
 * It ends with its control connection, or after PROXY_UDP_IDLE_S without a datagram.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/sockaddr.h"
#include "src/proxy/internal.h"
#include "src/proxy/socks.h"

enum {
	DATAGRAM_MAX_BYTES = 65536,
	PER_TURN = 64, /* datagrams of a client before others have their turn */
};

/** struct waiting - a datagram whose destination is being resolved */
struct waiting {
	struct wgw_link link;
	struct proxy_assoc *assoc; /* NULL: it has gone */
	uint16_t port;
	size_t len;
	uint8_t payload[];
};

/**
 * struct proxy_assoc - an association
 * @watch:	The relay
 * @client:	Who may use it; port 0: not yet known
 * @asked, @real: a name server that stands for another (struct wgw_session's policy)
 * @used:	A datagram has passed since the timer ran
 */
struct proxy_assoc {
	struct proxy_client *control;
	struct wgw_session *session;
	struct wgw_quota *quota;
	struct wgw_watch watch;
	struct wgw_timer idle;
	struct stack_addr client;
	struct flow_udp *flow;
	struct wgw_link waiting;
	unsigned int n_waiting;
	struct stack_addr asked, real;
	bool used;
};

static uint8_t buffer[DATAGRAM_MAX_BYTES];
static const struct stack_addr loopback = {.ip = {[10] = 0xff, 0xff, 127, 0, 0, 1}};

/* ---- from the tunnel ---- */

static void on_received(struct flow_udp *u, void *arg, const struct stack_datagram *d)
{
	struct proxy_assoc *a = arg;
	const struct stack_addr *from = stack_addr_equal(d->from, &a->real) ? &a->asked : d->from;
	uint8_t header[SOCKS5_UDP_HEADER_MAX_BYTES];
	struct iovec pieces[2] = {[1] = {(void *)(uintptr_t)d->data, d->len}};
	struct sockaddr_storage ss;
	struct msghdr msg = {.msg_name = &ss, .msg_iov = pieces, .msg_iovlen = 2};

	(void)u;
	if (a->client.port == 0)
		return;
	a->used = true;
	pieces[0] = (struct iovec){header, socks5_put_udp(header, from)};
	msg.msg_namelen = wgw_sockaddr_from(&a->client, &ss);
	/* no room, or too long for a datagram of the kernel: lost, as datagrams are */
	(void)!sendmsg(a->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static const struct flow_udp_ops udp_ops = {.received = on_received};

/* ---- to the tunnel ---- */

static void send_to(struct proxy_assoc *a, const struct stack_addr *asked, const uint8_t *payload,
		    size_t len)
{
	const struct iovec iov = {(void *)(uintptr_t)payload, len};
	struct stack_addr to = *asked;
	bool direct;

	if (proxy_route(a->session, &to, IPPROTO_UDP, false, &direct) != PROXY_OK || direct)
		return;
	if (!stack_addr_equal(&to, asked)) {
		a->asked = *asked;
		a->real = to;
	}
	flow_udp_send(a->flow, &to, &iov, 1, 0, 0);
}

static void on_resolved(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n,
			const char *canonical, uint32_t ttl_s)
{
	struct waiting *w = arg;
	struct stack_addr to = {.port = w->port};
	bool direct;

	(void)canonical, (void)ttl_s;
	if (w->assoc) {
		wgw_list_remove(&w->link);
		w->assoc->n_waiting--;
	}
	for (uint32_t i = 0; w->assoc && eai == 0 && i < n; i++) {
		memcpy(to.ip, ip[i], 16);
		if (proxy_route(w->assoc->session, &to, IPPROTO_UDP, true, &direct) != PROXY_OK ||
		    direct)
			continue;
		send_to(w->assoc, &to, w->payload, w->len);
		break;
	}
	free(w);
}

static void resolve(struct proxy_assoc *a, const struct proxy_target *to, const uint8_t *payload,
		    size_t len)
{
	struct waiting *w = a->n_waiting < PROXY_UDP_WAITING_MAX ? malloc(sizeof(*w) + len) : NULL;

	if (!w)
		return;
	*w = (struct waiting){.assoc = a, .port = to->addr.port, .len = len};
	memcpy(w->payload, payload, len);
	wgw_list_append(&a->waiting, &w->link);
	a->n_waiting++;
	wgw_resolve(
		a->session->t->resolver, a->session,
		&(struct wgw_query){.name = to->name, .search = !to->absolute, .family = AF_UNSPEC},
		on_resolved, w);
}

static void take_datagram(struct proxy_assoc *a, const struct stack_addr *from, size_t len)
{
	struct proxy_target to;
	uint8_t fragment;
	ssize_t n;

	if (memcmp(from->ip, a->client.ip, 16) != 0 ||
	    (a->client.port && from->port != a->client.port))
		return;
	n = socks5_parse_udp(buffer, len, &to, &fragment);
	if (n < 0 || fragment != 0)
		return;
	a->client.port = from->port;
	a->used = true;
	if (to.is_name)
		resolve(a, &to, buffer + n, len - (size_t)n);
	else
		send_to(a, &to.addr, buffer + n, len - (size_t)n);
}

/* Level-triggered: what is left comes in the next turn. */
static void on_relay(struct wgw_watch *w, uint32_t events)
{
	struct proxy_assoc *a = wgw_container(w, struct proxy_assoc, watch);

	(void)events;
	for (int i = 0; i < PER_TURN; i++) {
		struct sockaddr_storage ss;
		socklen_t ss_len = sizeof(ss);
		struct stack_addr from;
		ssize_t n = recvfrom(w->fd, buffer, sizeof(buffer), MSG_DONTWAIT,
				     (struct sockaddr *)&ss, &ss_len);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			continue; /* ICMP about what we sent to the client */
		wgw_sockaddr_to(&ss, &from);
		take_datagram(a, &from, (size_t)n);
	}
}

static void on_idle(struct wgw_timer *timer)
{
	struct proxy_assoc *a = wgw_container(timer, struct proxy_assoc, idle);

	if (!a->used) {
		proxy_client_drop(a->control, false);
		return;
	}
	a->used = false;
	wgw_timer_set(a->session->t->loop, timer, wgw_clock_ns() + PROXY_UDP_IDLE_S * WGW_SEC_NS);
}

/* ---- life ---- */

/* The relay at the address at which the client has reached us. 0 or errno. */
static int open_relay(struct proxy_assoc *a, struct stack_addr *bound)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	struct stack_addr at = loopback;

	if (!a->control->unix_peer) {
		if (getsockname(a->control->end.watch.fd, (struct sockaddr *)&ss, &len) < 0)
			return errno;
		wgw_sockaddr_to(&ss, &at);
		/* of a socket that takes both families IPv4 comes as IPv4-mapped */
		at.port = 0;
	}
	len = wgw_sockaddr_from(&at, &ss);
	a->watch.fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->watch.fd < 0 || bind(a->watch.fd, (struct sockaddr *)&ss, len) < 0)
		return errno;
	len = sizeof(ss);
	if (getsockname(a->watch.fd, (struct sockaddr *)&ss, &len) < 0)
		return errno;
	wgw_sockaddr_to(&ss, bound);
	return -wgw_loop_add(a->session->t->loop, &a->watch, EPOLLIN);
}

struct proxy_assoc *proxy_assoc_new(struct proxy_client *c, const struct stack_addr *from,
				    struct stack_addr *bound, int *err)
{
	struct wgw_session *s = c->service->session;
	struct wgw_quota *q = wgw_quota_of(s->t->sockets, s);
	const struct stack_addr any = {0};
	struct proxy_assoc *a = q ? calloc(1, sizeof(*a)) : NULL;

	*err = ENOBUFS;
	if (!a || !wgw_quota_take(q, &q->dgrams, WGW_DGRAMS_MAX)) {
		free(a);
		return NULL;
	}
	a->control = c;
	a->session = s;
	a->quota = q;
	a->watch = (struct wgw_watch){-1, on_relay};
	a->idle.due = on_idle;
	wgw_list_init(&a->waiting);
	a->client = c->unix_peer ? loopback : c->peer;
	a->client.port = from->port;
	*err = open_relay(a, bound);
	if (!*err) {
		a->flow = flow_udp_new(s->t->stack, &any, false, false, &udp_ops, a, err);
		*err = a->flow ? 0 : *err < 0 ? -*err : *err;
	}
	if (*err) {
		proxy_assoc_free(a);
		return NULL;
	}
	wgw_timer_set(s->t->loop, &a->idle, wgw_clock_ns() + PROXY_UDP_IDLE_S * WGW_SEC_NS);
	return a;
}

void proxy_assoc_free(struct proxy_assoc *a)
{
	struct wgw_tunnel *t = a->session->t;

	for (struct wgw_link *l = a->waiting.next; l != &a->waiting; l = l->next)
		wgw_container(l, struct waiting, link)->assoc = NULL;
	wgw_timer_cancel(t->loop, &a->idle);
	if (a->flow)
		flow_udp_free(a->flow);
	if (a->watch.fd >= 0) {
		wgw_loop_del(t->loop, &a->watch);
		close(a->watch.fd);
	}
	wgw_quota_give(t->sockets, a->quota, &a->quota->dgrams);
	free(a);
}
