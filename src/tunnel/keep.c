/* SPDX-License-Identifier: MIT */
/*
 * keep.c - addresses and options of sockets that are not connected yet, by cookie
 *
 * The kernel has room for a tag of 64 bits on an application's socket; bind() and setsockopt() say
 * more than that. It is kept here, bounded per session, until the socket connects or listens and
 * takes it over, or until no process holds the socket (abandoned.c).
 *
 * TCP ports of the tunnel's addresses are ours to give out: a bind on the wildcard or a tunnel
 * address is checked against what is bound and what listens, as Linux does it. A bind on the host's
 * loopback takes a kernel socket at once, so the kernel decides.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/sockaddr.h"
#include "src/tunnel/keep.h"
#include "src/tunnel/listen.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/tcp.h"

/* as Linux's ip_local_port_range */
enum {
	EPHEMERAL_FIRST = 32768,
	EPHEMERAL_LAST = 60999,
};

/* ---- options ---- */

const struct wgw_option *wgw_option_get(const struct wgw_sock *sock, int32_t level, int32_t name)
{
	for (const struct wgw_option *o = sock->options; o; o = o->next) {
		if (o->level == level && o->name == name)
			return o;
	}
	return NULL;
}

int wgw_option_set(struct wgw_sock *sock, int32_t level, int32_t name, const void *value,
		   uint32_t len)
{
	struct wgw_option *o = (struct wgw_option *)wgw_option_get(sock, level, name);
	unsigned int n = 0;

	if (len > WGW_KEPT_OPTION_BYTES)
		return -EINVAL;
	if (!o) {
		for (o = sock->options; o; o = o->next)
			n++;
		if (n >= WGW_KEPT_OPTIONS_MAX)
			return -ENOBUFS;
		o = calloc(1, sizeof(*o));
		if (!o)
			return -ENOMEM;
		o->level = level;
		o->name = name;
		o->next = sock->options;
		sock->options = o;
	}
	memset(o->value, 0, sizeof(o->value));
	memcpy(o->value, value, len);
	o->len = len;
	return 0;
}

int wgw_option_int(const struct wgw_sock *sock, int32_t level, int32_t name, int otherwise)
{
	const struct wgw_option *o = wgw_option_get(sock, level, name);
	int value;

	if (!o || o->len < sizeof(value))
		return otherwise;
	memcpy(&value, o->value, sizeof(value));
	return value;
}

void wgw_options_free(struct wgw_sock *sock)
{
	while (sock->options) {
		struct wgw_option *o = sock->options;

		sock->options = o->next;
		free(o);
	}
}

static uint32_t positive(const struct wgw_sock *sock, int32_t name)
{
	int v = wgw_option_int(sock, IPPROTO_TCP, name, 0);

	return v > 0 ? (uint32_t)v : 0;
}

/* How long TCP_SYNCNT lets a connect wait, as Linux: each SYN waits twice as long as the one before
 * (RFC 6298), 120 s at most. 0: the option is not set. */
static uint32_t connect_timeout_ms(const struct wgw_sock *sock)
{
	enum { FIRST_RTO_MS = 1000, RTO_MAX_MS = 120 * 1000, RETRIES_MAX = 127 };
	uint32_t retries = positive(sock, TCP_SYNCNT), rto = FIRST_RTO_MS, total = FIRST_RTO_MS;

	if (retries == 0)
		return 0;
	for (uint32_t i = 0; i < retries && i < RETRIES_MAX; i++) {
		rto = rto * 2 < RTO_MAX_MS ? rto * 2 : RTO_MAX_MS;
		total += rto;
	}
	return total;
}

void wgw_options_for_flow(const struct wgw_sock *sock, struct flow_options *out)
{
	int tos = wgw_option_int(sock, IPPROTO_IP, IP_TOS, -1);
	int ttl = wgw_option_int(sock, IPPROTO_IP, IP_TTL, -1);

	if (tos < 0)
		tos = wgw_option_int(sock, IPPROTO_IPV6, IPV6_TCLASS, 0);
	if (ttl <= 0)
		ttl = wgw_option_int(sock, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 0);
	*out = (struct flow_options){
		.nodelay = wgw_option_int(sock, IPPROTO_TCP, TCP_NODELAY, 0) != 0,
		.keepalive = wgw_option_int(sock, SOL_SOCKET, SO_KEEPALIVE, 0) != 0,
		.keep_idle_s = positive(sock, TCP_KEEPIDLE),
		.keep_interval_s = positive(sock, TCP_KEEPINTVL),
		.keep_count = positive(sock, TCP_KEEPCNT),
		.user_timeout_ms = positive(sock, TCP_USER_TIMEOUT),
		.connect_timeout_ms = connect_timeout_ms(sock),
		.tos = (uint8_t)(tos > 0 ? tos : 0),
		.ttl = (uint8_t)(ttl > 0 && ttl < 256 ? ttl : 0),
	};
}

/* ---- what is kept ---- */

struct wgw_kept *wgw_kept_get(struct wgw_sockets *s, struct wgw_quota *q, uint64_t cookie,
			      uint64_t inode)
{
	struct wgw_sock *sock = wgw_sock_find(s, q->session, cookie);
	struct wgw_kept *k;

	if (sock)
		return sock->role == WGW_ROLE_KEPT ? wgw_container(sock, struct wgw_kept, sock)
						   : NULL;
	if (cookie == 0 || !(k = calloc(1, sizeof(*k))))
		return NULL;
	k->sock = (struct wgw_sock){.role = WGW_ROLE_KEPT, .cookie = cookie, .inode = inode};
	k->fd = -1;
	if (wgw_sock_insert(s, &k->sock) < 0) { /* another session's */
		free(k);
		return NULL;
	}
	if (!wgw_quota_take(q, &q->kept, WGW_KEPT_MAX)) {
		wgw_sock_remove(s, &k->sock);
		free(k);
		return NULL;
	}
	k->sock.quota = q;
	k->sock.counted = &q->kept;
	wgw_list_append(&s->kept, &k->link);
	wgw_abandoned_watch(s, WGW_KEPT_SCAN_MS);
	return k;
}

void wgw_kept_free(struct wgw_sockets *s, struct wgw_kept *k)
{
	if (k->fd >= 0)
		close(k->fd);
	wgw_options_free(&k->sock);
	wgw_list_remove(&k->link);
	wgw_list_remove(&k->by_port);
	wgw_sock_remove(s, &k->sock);
	wgw_quota_give(s, k->sock.quota, k->sock.counted);
	free(k);
}

/* As Linux: a port bound with SO_REUSEPORT may be shared as long as who did it has it. */
bool wgw_kept_reuse(struct wgw_kept *k, int32_t name, const void *value)
{
	int on;

	if (name != SO_REUSEADDR && name != SO_REUSEPORT)
		return false;
	memcpy(&on, value, sizeof(on));
	if (on)
		k->flags |= name == SO_REUSEADDR ? WGW_BIND_REUSEADDR : WGW_BIND_REUSEPORT;
	else if (name == SO_REUSEADDR)
		k->flags &= ~(uint32_t)WGW_BIND_REUSEADDR;
	else if (!k->shared)
		k->flags &= ~(uint32_t)WGW_BIND_REUSEPORT;
	if (k->fd >= 0)
		setsockopt(k->fd, SOL_SOCKET, name, &on, sizeof(on));
	return true;
}

void wgw_kept_become(struct wgw_sockets *s, struct wgw_kept *k, struct wgw_sock *to)
{
	for (const struct wgw_option *o = k->sock.options; o; o = o->next)
		wgw_option_set(to, o->level, o->name, o->value, o->len);
	wgw_kept_free(s, k);
}

/** is_only_here() - what is in the socket's tag, or on the AF_UNIX socket, needs no keeping */
static bool is_only_here(const struct wgw_option *o)
{
	return !(o->level == IPPROTO_TCP && o->name == TCP_NODELAY) &&
	       !(o->level == SOL_SOCKET && o->name == SO_KEEPALIVE);
}

void wgw_kept_again(struct wgw_sockets *s, struct wgw_sock *sock)
{
	const struct wgw_option *o = sock->options;
	struct wgw_kept *k;

	while (o && !is_only_here(o))
		o = o->next;
	/* the other half is for sockets that are bound */
	if (!o || sock->quota->kept >= WGW_KEPT_MAX / 2)
		return;
	k = wgw_kept_get(s, sock->quota, sock->cookie, sock->inode);
	if (!k || k->sock.options)
		return;
	k->sock.options = sock->options;
	sock->options = NULL;
}

void wgw_keep_session_over(struct wgw_sockets *s, struct wgw_session *session)
{
	struct wgw_link *l = s->kept.next;

	while (l != &s->kept) {
		struct wgw_kept *k = wgw_container(l, struct wgw_kept, link);

		l = l->next;
		if (k->sock.quota->session == session)
			wgw_kept_free(s, k);
	}
}

/* ---- addresses ---- */

bool wgw_addrs_overlap(const struct stack_addr *a, uint32_t a_flags, const struct stack_addr *b,
		       uint32_t b_flags)
{
	bool a4 = stack_addr_is_v4(a), b4 = stack_addr_is_v4(b);

	if (a->port != b->port)
		return false;
	if (a4 == b4)
		return stack_addr_is_any(a) || stack_addr_is_any(b) ||
		       memcmp(a->ip, b->ip, 16) == 0;
	/* a dual-stack wildcard holds the IPv4 addresses too */
	if (!a4 && stack_addr_is_any(a))
		return !(a_flags & WGW_BIND_V6ONLY);
	return !b4 && stack_addr_is_any(b) && !(b_flags & WGW_BIND_V6ONLY);
}

bool wgw_bind_is_kernels(const struct wgw_session *session, const struct stack_addr *local,
			 uint32_t flags)
{
	return stack_addr_is_loopback(local) ||
	       (flags & WGW_BIND_OUTSIDE && wgw_session_has_apps(session));
}

struct wgw_kept *wgw_kept_conflict(struct wgw_sockets *s, const struct stack_addr *local,
				   uint32_t flags, bool kernels)
{
	for (struct wgw_link *l = s->kept.next; l != &s->kept; l = l->next) {
		struct wgw_kept *k = wgw_container(l, struct wgw_kept, link);
		uint32_t both = flags & k->flags;

		if (k->bound && (k->fd >= 0) == kernels &&
		    !(both & (WGW_BIND_REUSEADDR | WGW_BIND_REUSEPORT)) &&
		    wgw_addrs_overlap(local, flags, &k->local, k->flags))
			return k;
	}
	return NULL;
}

bool wgw_port_is_bound(struct wgw_sockets *s, const struct stack_addr *local)
{
	struct wgw_link *head = &s->bound_ports[local->port % WGW_PORT_BUCKETS];

	for (struct wgw_link *l = head->next; l != head; l = l->next) {
		if (wgw_container(l, struct wgw_kept, by_port)->local.port == local->port)
			return true;
	}
	return false;
}

/* Whether a socket that is connected was bound there, and is still open: of one that connects
 * nobody would tell us that it was closed. */
static bool connected_conflict(const struct wgw_sockets *s, const struct stack_addr *local,
			       uint32_t flags)
{
	const struct wgw_link *head = &s->connected_ports[local->port % WGW_PORT_BUCKETS];

	for (const struct wgw_link *l = head->next; l != head; l = l->next) {
		const struct wgw_conn *c = wgw_container(l, const struct wgw_conn, by_port);

		if (c->state == WGW_CONN_OPEN && !(c->app.events & EPOLLHUP) &&
		    !(flags & c->bind_flags & (WGW_BIND_REUSEADDR | WGW_BIND_REUSEPORT)) &&
		    wgw_addrs_overlap(local, flags, &c->local, c->bind_flags))
			return true;
	}
	return false;
}

static bool is_taken(struct wgw_sockets *s, const struct stack_addr *local, uint32_t flags)
{
	return wgw_kept_conflict(s, local, flags, false) || wgw_listen_conflict(s, local, flags) ||
	       connected_conflict(s, local, flags);
}

/* As Linux, a port is free that no connection has either: who binds before it connects has no
 * second choice then. With connections at all of them, any that nobody has bound. */
int wgw_port_choose(struct wgw_sockets *s, struct stack_addr *local, uint32_t flags)
{
	uint32_t n = EPHEMERAL_LAST - EPHEMERAL_FIRST + 1;
	uint32_t at = randombytes_uniform(n);

	if (local->port != 0)
		return is_taken(s, local, flags) ? -EADDRINUSE : 0;
	flags &= ~(uint32_t)(WGW_BIND_REUSEADDR | WGW_BIND_REUSEPORT);
	for (uint32_t i = 0; i < 2 * n; i++) {
		local->port = (uint16_t)(EPHEMERAL_FIRST + (at + i) % n);
		if (i < n && stack_port_has_flows(s->t->stack, local->port))
			continue;
		if (!is_taken(s, local, flags))
			return 0;
	}
	local->port = 0;
	return -EADDRINUSE;
}

/* The host's loopback is the kernel's. */
static int bind_kernel(struct wgw_kept *k, struct stack_addr *local, uint32_t flags)
{
	const int one = 1;
	struct sockaddr_storage ss;
	socklen_t len = wgw_sockaddr_from(local, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (flags & WGW_BIND_REUSEADDR)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (flags & WGW_BIND_REUSEPORT)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&ss, len) < 0 ||
	    (len = sizeof(ss), getsockname(fd, (struct sockaddr *)&ss, &len)) < 0)
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	wgw_sockaddr_to(&ss, local);
	k->fd = fd;
	return 0;
}

int wgw_kept_bind(struct wgw_sockets *s, struct wgw_kept *k, struct stack_addr *local,
		  uint32_t flags)
{
	int err;

	if (k->bound)
		return -EINVAL;
	if (wgw_bind_is_kernels(k->sock.quota->session, local, flags)) {
		err = bind_kernel(k, local, flags);
		if (err == -EADDRINUSE && wgw_listen_reap(s, local->port))
			err = bind_kernel(k, local, flags);
	} else if (!stack_addr_is_any(local) && !stack_is_local(s->t->stack, local)) {
		err = -EADDRNOTAVAIL;
	} else {
		err = wgw_port_choose(s, local, flags);
	}
	if (err)
		return err;
	k->local = *local;
	k->flags = flags;
	k->shared = (flags & WGW_BIND_REUSEPORT) != 0;
	k->bound = true;
	if (k->fd < 0)
		wgw_list_append(&s->bound_ports[local->port % WGW_PORT_BUCKETS], &k->by_port);
	return 0;
}

bool wgw_kept_is_promised(struct wgw_sockets *s, const struct wgw_kept *kept)
{
	struct wgw_link *head = &s->bound_ports[kept->local.port % WGW_PORT_BUCKETS];

	for (struct wgw_link *at = head->next; at != head; at = at->next) {
		const struct wgw_kept *k = wgw_container(at, struct wgw_kept, by_port);

		if (k != kept && k->promises > 0 &&
		    !(k->flags & kept->flags & WGW_BIND_REUSEPORT) &&
		    wgw_addrs_overlap(&kept->local, kept->flags, &k->local, k->flags))
			return true;
	}
	return false;
}

static void looked_at(void *arg, bool gone)
{
	(void)arg, (void)gone;
}

/* tcp_disconnect(): a listener that is shut down is as it was before, but a port that the kernel
 * has chosen is its own again, and taken again here. */
static void listen_no_more(const struct wgw_kept *k)
{
	struct sockaddr_storage ss;
	socklen_t len = wgw_sockaddr_from(&k->local, &ss);

	if (shutdown(k->fd, SHUT_RDWR) == 0)
		(void)!bind(k->fd, (struct sockaddr *)&ss, len);
}

/* The program may have ended, and its socket with it: for what is kept there is no other sign.
 * Another process may have the socket still. */
void wgw_kept_withdrawn(struct wgw_sockets *s, struct wgw_session *session, uint64_t cookie)
{
	struct wgw_sock *sock = wgw_sock_find(s, session, cookie);
	struct wgw_kept *kept;

	if (!sock || sock->role != WGW_ROLE_KEPT)
		return;
	kept = wgw_container(sock, struct wgw_kept, sock);
	if (kept->promises > 0)
		kept->promises--;
	if (kept->promises == 0 && kept->fd >= 0)
		listen_no_more(kept);
	wgw_kept_recheck(s, kept, looked_at, NULL);
}
