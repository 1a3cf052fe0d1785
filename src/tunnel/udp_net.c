/* SPDX-License-Identifier: MIT */
/*
 * udp_net.c - datagram sockets of applications: the network's side
 *
 * Theory of operation
 *
 * Each datagram goes where policy sends its destination: through the stack; to a kernel socket
 * (direct destinations; loopback); or to another socket of this machine that is bound to the port
 * in the tunnel. Ways are made when they are first needed. A destination that policy refuses is
 * answered with ENETUNREACH.
 *
 * Port 53 of the host's resolvers stands for a name server in the tunnel: the datagram goes there
 * and the answer comes back with the address that the program asked (struct udp_alias).
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/tunnel/udp.h"

enum {
	ICMP_ID_AT = 4, /* identifier in an echo header, RFC 792 */
	ICMP_HEADER_BYTES = 8,
	HEADERS_V4_BYTES = 28, /* IP and UDP */
	HEADERS_V6_BYTES = 48,
};

static uint8_t buffer[UDP_MAX_BYTES];

static struct wgw_link *bucket(struct wgw_sockets *s, uint16_t port)
{
	return &s->dgram_ports[port % WGW_PORT_BUCKETS];
}

/* ---- from the stack ---- */

/* The address by which the program knows @from. */
static const struct stack_addr *known_as(const struct wgw_dgram_sock *u,
					 const struct stack_addr *from)
{
	for (unsigned int i = 0; i < u->n_alias; i++) {
		if (stack_addr_equal(&u->alias[i].real, from))
			return &u->alias[i].asked;
	}
	return from;
}

static void header_from(struct wgw_dgram *h, const struct stack_addr *from,
			const struct stack_addr *to, uint8_t ttl, uint8_t tos)
{
	*h = (struct wgw_dgram){.port = from->port, .ttl = ttl, .tos = tos};
	memcpy(h->ip, from->ip, 16);
	memcpy(h->local_ip, to->ip, 16);
}

static void on_received(struct flow_udp *f, void *arg, const struct iovec *iov, int n, size_t len,
			const struct stack_addr *from, const struct stack_addr *to, uint8_t ttl,
			uint8_t tos)
{
	struct wgw_dgram_sock *u = arg;
	struct wgw_dgram h;

	(void)f;
	header_from(&h, known_as(u, from), to, ttl, tos);
	udp_deliver(u, &h, iov, n, len);
}

static void on_error(struct flow_udp *f, void *arg, const struct stack_addr *to, int err,
		     uint32_t info)
{
	struct wgw_dgram_sock *u = arg;

	(void)f;
	udp_error(u, known_as(u, to), err, info);
}

static const struct flow_udp_ops udp_ops = {on_received, on_error};

static void on_ping(struct flow_ping *p, void *arg, const uint8_t *icmp, size_t len,
		    const struct stack_addr *from, const struct stack_addr *to, uint8_t ttl,
		    uint8_t tos, int err)
{
	struct wgw_dgram_sock *u = arg;
	struct iovec iov = {(void *)icmp, len};
	struct wgw_dgram h;

	(void)p;
	if (err) {
		udp_error(u, from, err, 0);
		return;
	}
	if (u->connected && memcmp(from->ip, u->remote.ip, 16) != 0)
		return;
	header_from(&h, from, to, ttl, tos);
	h.port = 0;
	udp_deliver(u, &h, &iov, 1, len);
}

static const struct flow_ping_ops ping_ops = {on_ping};

/* ---- ways, made when needed ---- */

static int need_flow(struct wgw_dgram_sock *u)
{
	struct wgw_sockets *s = u->sockets;
	struct stack_addr any;
	int err = ENOBUFS;

	if (u->kind == WGW_KIND_PING) {
		if (!u->ping)
			u->ping = flow_ping_new(s->t->stack, u->v6, &ping_ops, u);
		if (!u->ping)
			return -ENOBUFS;
		u->local.port = flow_ping_id(u->ping);
		return 0;
	}
	if (u->flow)
		return 0;
	if (u->bound && stack_addr_is_loopback(&u->local))
		return -EINVAL;
	any = stack_addr_wildcard(!u->v6);
	u->flow = flow_udp_new(s->t->stack, u->bound ? &u->local : &any, u->v6only, u->reuse,
			       &udp_ops, u, &err);
	if (!u->flow)
		return err < 0 ? err : -err;
	flow_udp_local(u->flow, &u->local);
	wgw_list_append(bucket(s, u->local.port), &u->by_port);
	return 0;
}

static void kernel_ready(struct wgw_watch *w, uint32_t events);

/* A kernel socket of the family of @like. */
static struct udp_kernel *need_kernel(struct wgw_dgram_sock *u, const struct stack_addr *like)
{
	bool v6 = !stack_addr_is_v4(like);
	struct udp_kernel *k = &u->kernel[v6];
	int protocol = u->kind == WGW_KIND_UDP ? 0 : v6 ? (int)IPPROTO_ICMPV6 : (int)IPPROTO_ICMP;
	int fd;

	if (k->watch.fd >= 0)
		return k;
	fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return NULL;
	k->owner = u;
	k->watch = (struct wgw_watch){fd, kernel_ready};
	if (wgw_loop_add(u->sockets->t->loop, &k->watch, EPOLLIN) < 0) {
		close(fd);
		k->watch.fd = -1;
		return NULL;
	}
	return k;
}

static void kernel_error(struct wgw_dgram_sock *u, int err)
{
	if (err != EAGAIN && err != EINTR && u->connected)
		udp_error(u, &u->remote, err, 0);
}

static void kernel_ready(struct wgw_watch *w, uint32_t events)
{
	struct udp_kernel *k = wgw_container(w, struct udp_kernel, watch);
	struct wgw_dgram_sock *u = k->owner;

	(void)events;
	for (int i = 0; i < UDP_PER_TURN && w->fd >= 0; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		ssize_t r = recvfrom(w->fd, buffer, sizeof(buffer), MSG_DONTWAIT,
				     (struct sockaddr *)&ss, &len);
		struct iovec iov = {buffer, (size_t)r};
		struct stack_addr from;
		struct wgw_dgram h;

		if (r < 0) {
			kernel_error(u, errno);
			return;
		}
		wgw_sockaddr_to(&ss, &from);
		header_from(&h, &from, &from, 64, 0); /* on loopback both addresses are alike */
		if (u->kind == WGW_KIND_PING && r >= ICMP_HEADER_BYTES) {
			uint16_t id = htons(u->local.port);

			memcpy(buffer + ICMP_ID_AT, &id, sizeof(id));
			h.port = 0;
		}
		udp_deliver(u, &h, &iov, 1, (size_t)r);
	}
}

/* ---- sockets of this machine ---- */

/* The socket that a datagram to @to reaches without leaving this machine, or NULL. */
static struct wgw_dgram_sock *local_target(struct wgw_dgram_sock *u, const struct stack_addr *to)
{
	struct wgw_link *head = bucket(u->sockets, to->port);
	bool loopback = stack_addr_is_loopback(to);

	for (struct wgw_link *at = head->next; at != head; at = at->next) {
		struct wgw_dgram_sock *o = wgw_container(at, struct wgw_dgram_sock, by_port);

		if (wgw_addrs_overlap(to, 0, &o->local, o->v6only ? WGW_BIND_V6ONLY : 0) &&
		    (!loopback || o->sock.quota->session == u->sock.quota->session))
			return o;
	}
	return NULL;
}

static void send_local(struct wgw_dgram_sock *u, struct wgw_dgram_sock *o,
		       const struct stack_addr *to, const uint8_t *payload, size_t len)
{
	struct iovec iov = {(void *)payload, len};
	struct stack_addr from = *to; /* it comes from the address it goes to, as on loopback */
	struct wgw_dgram h;

	if (need_flow(u) < 0)
		return;
	from.port = u->local.port;
	if (o->connected && !stack_addr_equal(&o->remote, &from))
		return;
	header_from(&h, &from, to, 64, 0);
	udp_deliver(o, &h, &iov, 1, len);
}

/* ---- to the network ---- */

static void add_alias(struct wgw_dgram_sock *u, const struct stack_addr *asked,
		      const struct stack_addr *real)
{
	unsigned int i;

	for (i = 0; i < u->n_alias; i++) {
		if (stack_addr_equal(&u->alias[i].real, real))
			break;
	}
	if (i == UDP_ALIASES)
		i = 0;
	else if (i == u->n_alias)
		u->n_alias++;
	u->alias[i] = (struct udp_alias){*asked, *real};
}

/* Policy's decision for @to, remembered for the next datagram to it. */
static enum wgw_route route(struct wgw_dgram_sock *u, const struct stack_addr *to,
			    struct stack_addr *real)
{
	const unsigned int changes = u->sockets->t->changes;

	if (!u->routed || u->route_changes != changes || !stack_addr_equal(to, &u->route_to)) {
		u->routed = true;
		u->route_changes = changes;
		u->route_to = u->route_real = *to;
		u->route = u->outside ? WGW_ROUTE_DIRECT
				      : wgw_session_route(u->sock.quota->session, &u->route_real,
							  u->kind == WGW_KIND_PING ? IPPROTO_ICMP
										   : IPPROTO_UDP);
		if (!stack_addr_equal(to, &u->route_real))
			add_alias(u, to, &u->route_real);
	}
	*real = u->route_real;
	return u->route;
}

static void this_host(struct stack_addr *to)
{
	if (!stack_addr_is_any(to))
		return;
	to->ip[12] = stack_addr_is_v4(to) ? 127 : 0;
	to->ip[15] = 1;
}

static void send_kernel(struct wgw_dgram_sock *u, const struct stack_addr *to,
			const uint8_t *payload, size_t len)
{
	struct udp_kernel *k = need_kernel(u, to);
	struct sockaddr_storage ss;
	socklen_t ss_len = wgw_sockaddr_from(to, &ss);

	if (!k) { /* ping: net.ipv4.ping_group_range */
		udp_error(u, to, errno, UINT32_MAX);
		return;
	}
	if (u->kind == WGW_KIND_PING)
		need_flow(u); /* its identifier is the socket's "port" */
	if (sendto(k->watch.fd, payload, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&ss,
		   ss_len) < 0)
		kernel_error(u, errno);
}

static void send_tunnel(struct wgw_dgram_sock *u, const struct stack_addr *to,
			const struct wgw_dgram *h, const uint8_t *payload, size_t len)
{
	struct iovec iov = {(void *)payload, len};
	uint8_t ttl = h->ttl ? h->ttl : u->ttl, tos = h->tos ? h->tos : u->tos;
	size_t packet = len + (stack_addr_is_v4(to) ? HEADERS_V4_BYTES : HEADERS_V6_BYTES);
	int err = need_flow(u);

	ttl = ttl ? ttl : 64;
	if (h->info && packet > u->sockets->t->boot->mtu)
		err = -EMSGSIZE;
	if (!err && u->ping)
		err = flow_ping_send(u->ping, to, payload, len, ttl, tos);
	else if (!err)
		err = flow_udp_send(u->flow, to, &iov, 1, ttl, tos);
	if (err == -EMSGSIZE || err == -ENETUNREACH)
		udp_error(u, to, -err, UINT32_MAX);
}

void udp_net_send(struct wgw_dgram_sock *u, const struct wgw_dgram *header, const uint8_t *payload,
		  size_t len)
{
	struct stack_addr to = {.port = header->port}, real;
	struct wgw_dgram_sock *other;
	bool here;

	memcpy(to.ip, header->ip, 16);
	this_host(&to);
	here = stack_addr_is_loopback(&to) || stack_is_local(u->sockets->t->stack, &to);
	if (here && u->kind == WGW_KIND_UDP) {
		other = local_target(u, &to);
		if (other) {
			send_local(u, other, &to, payload, len);
			return;
		}
		if (!stack_addr_is_loopback(&to)) {
			udp_error(u, &to, ECONNREFUSED, 0);
			return;
		}
	}
	switch (route(u, &to, &real)) {
	case WGW_ROUTE_TUNNEL:
		send_tunnel(u, &real, header, payload, len);
		break;
	case WGW_ROUTE_DIRECT:
		send_kernel(u, &real, payload, len);
		break;
	case WGW_ROUTE_REFUSED:
		udp_error(u, &to, ENETUNREACH, UINT32_MAX);
	}
}

/* ---- bind, connect ---- */

static int bind_kernel(struct wgw_dgram_sock *u, const struct stack_addr *local)
{
	static const int one = 1;
	struct udp_kernel *k = need_kernel(u, local);
	struct sockaddr_storage ss;
	socklen_t len = wgw_sockaddr_from(local, &ss);

	if (!k)
		return -errno;
	if (u->reuse)
		setsockopt(k->watch.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(k->watch.fd, (struct sockaddr *)&ss, len) < 0)
		return -errno;
	len = sizeof(ss);
	if (getsockname(k->watch.fd, (struct sockaddr *)&ss, &len) == 0)
		wgw_sockaddr_to(&ss, &u->local);
	return 0;
}

int udp_net_bind(struct wgw_dgram_sock *u, const struct stack_addr *local, uint32_t flags)
{
	int err;

	if (u->bound || u->flow)
		return -EINVAL;
	u->reuse = (flags & (WGW_BIND_REUSEADDR | WGW_BIND_REUSEPORT)) != 0;
	u->v6only = u->v6only || (flags & WGW_BIND_V6ONLY);
	if (!u->outside && !stack_addr_is_any(local) && !stack_addr_is_loopback(local) &&
	    !stack_is_local(u->sockets->t->stack, local))
		return -EADDRNOTAVAIL;
	u->local = *local;
	u->bound = true;
	if ((u->outside || stack_addr_is_loopback(local)) && u->kind == WGW_KIND_UDP)
		err = bind_kernel(u, local);
	else
		err = need_flow(u);
	if (err) {
		u->bound = false;
		u->local = stack_addr_wildcard(!u->v6);
	}
	return err;
}

static void disconnect(struct wgw_dgram_sock *u)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};

	for (int i = 0; i < 2 && u->connected; i++) { /* else it would give its port up */
		if (u->kernel[i].watch.fd >= 0)
			connect(u->kernel[i].watch.fd, &none, sizeof(none));
	}
	if (u->flow)
		flow_udp_connect(u->flow, NULL);
	u->connected = false;
	memset(&u->remote, 0, sizeof(u->remote));
}

static int connect_kernel(struct wgw_dgram_sock *u, const struct stack_addr *to)
{
	struct udp_kernel *k = need_kernel(u, to);
	struct sockaddr_storage ss;
	socklen_t len = wgw_sockaddr_from(to, &ss);

	if (!k || connect(k->watch.fd, (struct sockaddr *)&ss, len) < 0)
		return -errno;
	len = sizeof(ss);
	if (u->kind == WGW_KIND_UDP && getsockname(k->watch.fd, (struct sockaddr *)&ss, &len) == 0)
		wgw_sockaddr_to(&ss, &u->local);
	return 0;
}

static int connect_tunnel(struct wgw_dgram_sock *u, const struct stack_addr *to, bool here)
{
	int err = need_flow(u);
	struct stack_addr from;
	uint16_t port = u->local.port;

	if (err)
		return err;
	if (here)
		from = *to;
	else if (!stack_source_for(u->sockets->t->stack, to, &from))
		return -ENETUNREACH;
	if (!u->bound || stack_addr_is_any(&u->local)) {
		u->local = from;
		u->local.port = port;
	}
	if (u->flow && !here)
		flow_udp_connect(u->flow, to);
	return 0;
}

int udp_net_connect(struct wgw_dgram_sock *u, const struct stack_addr *remote)
{
	const struct stack_addr old = u->remote;
	const bool was_connected = u->connected;
	struct stack_addr to, real;
	enum wgw_route r;
	bool here;
	int err;

	if (!remote) {
		disconnect(u);
		if (u->flow && !u->bound) { /* Linux gives a port up that nobody asked for */
			flow_udp_free(u->flow);
			u->flow = NULL;
			wgw_list_remove(&u->by_port);
			u->local = stack_addr_wildcard(!u->v6);
		} else if (u->flow) {
			flow_udp_local(u->flow, &u->local);
		}
		return 0;
	}
	to = *remote;
	this_host(&to);
	here = u->kind == WGW_KIND_UDP &&
	       (stack_addr_is_loopback(&to) || stack_is_local(u->sockets->t->stack, &to)) &&
	       local_target(u, &to);
	r = here ? WGW_ROUTE_TUNNEL : route(u, &to, &real);
	if (r == WGW_ROUTE_REFUSED)
		return -ENETUNREACH;
	if (here)
		real = to;
	disconnect(u);
	err = r == WGW_ROUTE_DIRECT ? connect_kernel(u, &real) : connect_tunnel(u, &real, here);
	if (err) { /* Linux has not begun to change anything */
		if (was_connected)
			udp_net_connect(u, &old);
		return err;
	}
	u->remote = *remote;
	this_host(&u->remote);
	u->connected = true;
	return 0;
}

void udp_net_close(struct wgw_dgram_sock *u)
{
	if (u->flow)
		flow_udp_free(u->flow);
	if (u->ping)
		flow_ping_free(u->ping);
	u->flow = NULL;
	u->ping = NULL;
	for (int i = 0; i < 2; i++) {
		if (u->kernel[i].watch.fd < 0)
			continue;
		wgw_loop_del(u->sockets->t->loop, &u->kernel[i].watch);
		close(u->kernel[i].watch.fd);
		u->kernel[i].watch.fd = -1;
	}
}
