/* SPDX-License-Identifier: MIT */
/*
 * udp_net.c - datagram sockets of applications: the network's side
 *
 * Theory of operation
 *
 * Each datagram goes where policy sends its destination: through the stack; to a kernel socket
 * (udp_kernel.c); or to another socket of this machine (udp_local.c). Ways are made when they are
 * first needed. A destination that policy refuses is answered with ENETUNREACH.
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

#include "src/tunnel/keep.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/udp.h"

enum {
	HEADERS_V4_BYTES = 28, /* IP and UDP */
	HEADERS_V6_BYTES = 48,
};

/* ---- from the stack ---- */

const struct stack_addr *udp_net_known_as(const struct wgw_dgram_sock *u,
					  const struct stack_addr *real)
{
	for (unsigned int i = 0; i < u->n_alias; i++) {
		if (stack_addr_equal(&u->alias[i].real, real))
			return &u->alias[i].asked;
	}
	return real;
}

bool udp_net_is_foreign(const struct wgw_dgram_sock *u, const struct stack_addr *from)
{
	return u->connected && (memcmp(from->ip, u->remote.ip, sizeof(from->ip)) != 0 ||
				(u->kind == WGW_KIND_UDP && from->port != u->remote.port));
}

/* @d came from @from, as the program knows it. */
static void deliver(struct wgw_dgram_sock *u, const struct stack_addr *from,
		    const struct stack_datagram *d)
{
	struct wgw_dgram h = {.port = from->port, .ttl = d->ttl, .tos = d->tos};
	const struct iovec iov = {(void *)(uintptr_t)d->data, d->len};

	if (udp_net_is_foreign(u, from))
		return;
	memcpy(h.ip, from->ip, 16);
	memcpy(h.local_ip, d->to->ip, 16);
	udp_deliver(u, &h, &iov, 1, d->len);
}

static void on_received(struct flow_udp *f, void *arg, const struct stack_datagram *d)
{
	(void)f;
	deliver(arg, udp_net_known_as(arg, d->from), d);
}

static void on_error(struct flow_udp *f, void *arg, const struct stack_addr *to,
		     const struct stack_error *error)
{
	struct wgw_dgram_sock *u = arg;

	(void)f;
	udp_error(u, udp_net_known_as(u, to), error);
}

static const struct flow_udp_ops udp_ops = {on_received, on_error};

static void on_ping(struct flow_ping *p, void *arg, const struct stack_datagram *d)
{
	(void)p;
	deliver(arg, d->from, d);
}

static void on_ping_error(struct flow_ping *p, void *arg, const struct stack_addr *to,
			  const struct stack_error *error)
{
	(void)p;
	udp_error(arg, to, error);
}

static const struct flow_ping_ops ping_ops = {on_ping, on_ping_error};

/* ---- ways, made when needed ---- */

/* As ip_sk_use_pmtu(), ip_sk_ignore_df() and ip_sk_accept_pmtu() of include/net/ip.h have it; the
 * numbers of IPv6's option are the same. But IP_PMTUDISC_WANT, the default, leaves routers free. */
static uint8_t fragments_of(int discover)
{
	static const uint8_t as[] = {
		[IP_PMTUDISC_DO] = FLOW_DF | FLOW_WHOLE,
		[IP_PMTUDISC_PROBE] = FLOW_DF | FLOW_WHOLE | FLOW_INTERFACE_MTU,
		[IP_PMTUDISC_INTERFACE] = FLOW_WHOLE | FLOW_INTERFACE_MTU | FLOW_MTU_UNHEARD,
		[IP_PMTUDISC_OMIT] = FLOW_INTERFACE_MTU | FLOW_MTU_UNHEARD,
	};

	return discover >= 0 && discover <= IP_PMTUDISC_OMIT ? as[discover] : 0;
}

static void apply_fragments(struct wgw_dgram_sock *u)
{
	if (u->flow)
		flow_udp_fragments(u->flow, u->fragments4, u->fragments6);
	if (u->ping)
		flow_ping_fragments(u->ping, u->v6 ? u->fragments6 : u->fragments4);
}

/* What the shared object tells of a socket that is bound */
static void apply_reuse(struct wgw_dgram_sock *u)
{
	static const struct {
		int name;
		uint32_t flag;
	} ways[] = {{SO_REUSEADDR, WGW_BIND_REUSEADDR}, {SO_REUSEPORT, WGW_BIND_REUSEPORT}};
	uint32_t reuse = 0;

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		bool is_set = (u->reuse & ways[i].flag) != 0;

		if (wgw_option_int(&u->sock, SOL_SOCKET, ways[i].name, is_set))
			reuse |= ways[i].flag;
	}
	if (reuse == u->reuse)
		return;
	u->reuse = reuse;
	if (u->flow)
		flow_udp_reuse(u->flow, reuse != 0);
	udp_kernel_reuse(u);
}

void udp_net_options(struct wgw_dgram_sock *u)
{
	const struct wgw_sock *s = &u->sock;

	u->fragments4 =
		fragments_of(wgw_option_int(s, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT));
	u->fragments6 = fragments_of(
		wgw_option_int(s, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_WANT));
	if (wgw_option_int(s, IPPROTO_IPV6, IPV6_DONTFRAG, 0))
		u->fragments6 |= FLOW_WHOLE;
	apply_fragments(u);
	apply_reuse(u);
	udp_kernel_options(u);
}

/* The largest packet to @to that does not become fragments. */
static uint32_t mtu_towards(const struct wgw_dgram_sock *u, const struct stack_addr *to)
{
	const uint8_t fragments = stack_addr_is_v4(to) ? u->fragments4 : u->fragments6;

	return fragments & FLOW_INTERFACE_MTU ? u->sockets->t->boot->mtu
					      : stack_path_mtu(u->sockets->t->stack, to);
}

static int need_flow(struct wgw_dgram_sock *u)
{
	struct wgw_sockets *s = u->sockets;
	struct stack_addr any;
	int err = ENOBUFS;

	if (u->kind == WGW_KIND_PING) {
		if (!u->ping)
			u->ping = flow_ping_new(s->t->stack, u->v6, u->bound ? u->local.port : 0,
						&ping_ops, u);
		if (!u->ping)
			return -ENOBUFS;
		apply_fragments(u);
		u->local.port = flow_ping_id(u->ping);
		return 0;
	}
	if (u->flow)
		return 0;
	if (udp_local_is_at_home(u))
		return -EINVAL;
	any = stack_addr_wildcard(!u->v6);
	any.port = u->local.port; /* the host's choice for what was sent directly */
	u->flow = flow_udp_new(s->t->stack, u->bound ? &u->local : &any, u->v6only, u->reuse != 0,
			       &udp_ops, u, &err);
	if (!u->flow && !u->bound && any.port) {
		any.port = 0;
		u->flow = flow_udp_new(s->t->stack, &any, u->v6only, u->reuse != 0, &udp_ops, u,
				       &err);
	}
	if (!u->flow)
		return err < 0 ? err : -err;
	apply_fragments(u);
	if (!u->connected) /* else its name is what the peer sees */
		flow_udp_local(u->flow, &u->local);
	udp_local_enter(u);
	return 0;
}

/* A port of this machine, for what does not leave it */
static int need_port(struct wgw_dgram_sock *u)
{
	if (u->local.port)
		return 0;
	return udp_local_is_at_home(u) ? udp_kernel_bind(u, &u->local) : need_flow(u);
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

static void send_tunnel(struct wgw_dgram_sock *u, const struct stack_addr *to,
			const struct wgw_dgram *h, const uint8_t *payload, size_t len)
{
	struct iovec iov = {(void *)payload, len};
	uint8_t ttl = h->ttl ? h->ttl : u->ttl, tos = h->tos ? h->tos : u->tos;
	size_t packet = len + (stack_addr_is_v4(to) ? HEADERS_V4_BYTES : HEADERS_V6_BYTES);
	int err = need_flow(u);

	ttl = ttl ? ttl : UDP_TTL;
	if (h->info && packet > mtu_towards(u, to))
		err = -EMSGSIZE;
	if (!err && u->ping)
		err = flow_ping_send(u->ping, to, payload, len, ttl, tos);
	else if (!err)
		err = flow_udp_send(u->flow, to, &iov, 1, ttl, tos);
	if (err == -EMSGSIZE || err == -ENETUNREACH || err == -EINVAL)
		udp_refused(u, to, -err, err == -EMSGSIZE ? mtu_towards(u, to) : 0);
}

/* Whether a socket of this machine has got the datagram. */
static bool send_here(struct wgw_dgram_sock *u, const struct stack_addr *to,
		      const struct wgw_dgram *header, const uint8_t *payload, size_t len)
{
	struct wgw_dgram_sock *other;
	struct stack_addr from;

	udp_local_source(u, to, header->local_ip, &from);
	other = udp_local_target(u, &from, to);
	if (!other)
		return false;
	if (need_port(u) < 0)
		return true;
	from.port = u->local.port;
	udp_local_send(u, other, &from, to, header, payload, len);
	return true;
}

void udp_net_send(struct wgw_dgram_sock *u, const struct wgw_dgram *header, const uint8_t *payload,
		  size_t len)
{
	struct stack_addr to = {.port = header->port}, real;

	memcpy(to.ip, header->ip, 16);
	this_host(&to);
	if (udp_local_is_here(u, &to)) {
		if (send_here(u, &to, header, payload, len))
			return;
		if (!stack_addr_is_loopback(&to)) {
			udp_nobody_there(u, &to, payload, len);
			return;
		}
	}
	switch (route(u, &to, &real)) {
	case WGW_ROUTE_TUNNEL:
		send_tunnel(u, &real, header, payload, len);
		break;
	case WGW_ROUTE_DIRECT:
		if (u->kind == WGW_KIND_PING)
			need_flow(u); /* its identifier is the socket's "port" */
		else if (u->connected && stack_addr_equal(&to, &u->remote))
			udp_kernel_follow(u, &real);
		udp_kernel_send(u, &real, header, payload, len);
		break;
	case WGW_ROUTE_REFUSED:
		udp_refused(u, &to, ENETUNREACH, 0);
	}
}

/* ---- bind, connect ---- */

/* Whether a socket of the kernel is bound to @local, and none of the stack */
static bool is_kernels(const struct wgw_dgram_sock *u, const struct stack_addr *local)
{
	return (u->outside || stack_addr_is_loopback(local)) && u->kind == WGW_KIND_UDP;
}

int udp_net_bind(struct wgw_dgram_sock *u, const struct stack_addr *local, uint32_t flags)
{
	int err;

	if (u->flow || u->ping || u->local.port) /* chosen by sending, too */
		return -EINVAL;
	u->reuse = flags & (WGW_BIND_REUSEADDR | WGW_BIND_REUSEPORT);
	u->v6only = u->v6only || (flags & WGW_BIND_V6ONLY);
	if (!u->outside && !stack_addr_is_any(local) && !stack_addr_is_loopback(local) &&
	    !stack_is_local(u->sockets->t->stack, local))
		return -EADDRNOTAVAIL;
	if (local->port && u->kind == WGW_KIND_UDP) {
		udp_local_reap(u->sockets, local->port);
		if (udp_local_is_taken(u, local))
			return -EADDRINUSE;
	}
	u->local = *local;
	u->bound = true;
	u->named_ip = !stack_addr_is_any(local);
	u->named_port = local->port != 0;
	if (is_kernels(u, local))
		err = udp_kernel_bind(u, local);
	else
		err = need_flow(u);
	if (err) {
		u->bound = false;
		u->local = stack_addr_wildcard(!u->v6);
	}
	udp_local_enter(u);
	return err;
}

/* @next: where the kernel's socket goes next, or NULL */
static void disconnect(struct wgw_dgram_sock *u, const struct stack_addr *next)
{
	if (u->connected) /* else it would give its port up */
		udp_kernel_disconnect(u, next);
	if (u->flow)
		flow_udp_connect(u->flow, NULL);
	u->connected = false;
	memset(&u->remote, 0, sizeof(u->remote));
}

/* As Linux does with one that nobody asked for: __udp_disconnect(). A socket of the kernel that has the
 * program's address has done so; others were told their port, or have it from sending, and kept it. */
static void give_port_up(struct wgw_dgram_sock *u)
{
	if (u->flow)
		flow_udp_free(u->flow);
	u->flow = NULL;
	u->bound = u->bound && u->named_ip;
	if (!u->bound)
		u->local = stack_addr_wildcard(!u->v6);
	u->local.port = 0;
	if (!u->bound || !is_kernels(u, &u->local))
		udp_kernel_close(u);
}

static int connect_tunnel(struct wgw_dgram_sock *u, const struct stack_addr *to, bool here)
{
	int err = here ? need_port(u) : need_flow(u);
	struct stack_addr from;
	uint16_t port;

	if (err)
		return err;
	port = u->local.port;
	if (here)
		udp_local_source(u, to, NULL, &from);
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

/* Whether what is sent to @to passes neither the stack nor the kernel. To whom the kernel has given
 * the port, it tells who has gone. */
static bool stays_here(struct wgw_dgram_sock *u, const struct stack_addr *to)
{
	const bool kernels = u->outside || udp_local_is_at_home(u);
	struct stack_addr from;

	if (!udp_local_is_here(u, to))
		return false;
	if (kernels && stack_addr_is_loopback(to))
		return false;
	udp_local_source(u, to, NULL, &from);
	return udp_local_is_at_home(u) || udp_local_target(u, &from, to);
}

int udp_net_connect(struct wgw_dgram_sock *u, const struct stack_addr *remote)
{
	const struct stack_addr old = u->remote;
	const bool was_connected = u->connected;
	struct stack_addr to, real;
	enum wgw_route r;
	bool here;
	int err;

	udp_kernel_drain(u); /* what came before is not the new peer's, and stays */
	if (!remote) {
		disconnect(u, NULL);
		if (!(u->bound && u->named_port) && u->kind == WGW_KIND_UDP)
			give_port_up(u);
		else if (u->flow)
			flow_udp_local(u->flow, &u->local);
		udp_local_enter(u);
		return 0;
	}
	to = *remote;
	this_host(&to);
	here = stays_here(u, &to);
	r = here ? WGW_ROUTE_TUNNEL : route(u, &to, &real);
	if (r == WGW_ROUTE_REFUSED)
		return -ENETUNREACH;
	if (here)
		real = to;
	disconnect(u, r == WGW_ROUTE_DIRECT ? &real : NULL);
	err = r == WGW_ROUTE_DIRECT ? udp_kernel_connect(u, &real) : connect_tunnel(u, &real, here);
	if (err) { /* Linux has not begun to change anything */
		if (was_connected)
			udp_net_connect(u, &old);
		return err;
	}
	u->remote = to;
	u->connected = true;
	udp_local_enter(u);
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
	udp_kernel_close(u);
}
