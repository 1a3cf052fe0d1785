/* SPDX-License-Identifier: MIT */
/*
 * udp_kernel.c - datagram sockets of applications: what does not go through the tunnel
 *
 * Theory of operation
 *
 * Direct destinations (loopback, --direct, programs outside of the tunnel) are reached by kernel
 * sockets, one of each family, made when first needed. What belongs to a datagram travels along:
 * TTL, TOS and our address are ancillary data, both ways. The options that decide which errors the
 * kernel tells are set on its sockets, too, and its error queue is emptied into the application's.
 */
#include <errno.h>
#include <time.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/sockaddr.h"
#include "src/repr/cmsg.h"
#include "src/tunnel/keep.h"
#include "src/tunnel/udp.h"

enum {
	ICMP_ID_AT = 4, /* identifier in an echo header, RFC 792 */
	ICMP_HEADER_BYTES = 8,
	CONTROL_BYTES = 512,
	BIND_TRIES = 16,
};

static uint8_t buffer[UDP_MAX_BYTES];

static const int one = 1;

static void copy_option(const struct wgw_dgram_sock *u, int fd, int level, int name, int initial)
{
	int value = wgw_option_int(&u->sock, level, name, initial);

	setsockopt(fd, level, name, &value, sizeof(value));
}

static void set_options(const struct wgw_dgram_sock *u, int fd, bool v6)
{
	int wanted = udp_wants_errors(u);

	copy_option(u, fd, SOL_SOCKET, SO_BROADCAST, 0);
	setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &wanted,
		   sizeof(wanted));
	if (v6)
		copy_option(u, fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_WANT);
	else
		copy_option(u, fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT);
}

void udp_kernel_options(struct wgw_dgram_sock *u)
{
	for (int v6 = 0; v6 < 2; v6++) {
		if (u->kernel[v6].watch.fd >= 0)
			set_options(u, u->kernel[v6].watch.fd, v6);
	}
}

void udp_kernel_reuse(const struct wgw_dgram_sock *u)
{
	const int reuse = u->reuse != 0;

	for (int v6 = 0; v6 < 2; v6++) {
		if (u->kernel[v6].watch.fd >= 0)
			setsockopt(u->kernel[v6].watch.fd, SOL_SOCKET, SO_REUSEADDR, &reuse,
				   sizeof(reuse));
	}
}

static void ask_for_ancillary(int fd, bool v6)
{
	static const int v4_names[] = {IP_PKTINFO, IP_RECVTTL, IP_RECVTOS};
	static const int v6_names[] = {IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS};

	for (int i = 0; i < 3; i++)
		setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? v6_names[i] : v4_names[i], &one,
			   sizeof(one));
}

static void kernel_ready(struct wgw_watch *w, uint32_t events);

/* The port that it has in the tunnel, if the host has not given it to somebody else. */
static void keep_port(const struct wgw_dgram_sock *u, int fd, bool v6)
{
	struct stack_addr from = stack_addr_wildcard(!v6);
	struct sockaddr_storage ss;
	socklen_t len;

	if (u->reuse)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (u->kind != WGW_KIND_UDP || u->local.port == 0)
		return;
	from.port = u->local.port;
	len = wgw_sockaddr_from(&from, &ss);
	if (v6) /* there is one of each family */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	(void)!bind(fd, (struct sockaddr *)&ss, len);
}

static void close_kernel(struct udp_kernel *k)
{
	if (k->watch.fd < 0)
		return;
	wgw_loop_del(k->owner->sockets->t->loop, &k->watch);
	close(k->watch.fd);
	k->watch.fd = -1;
}

/* A kernel socket of the family of @like, without a port. There is none yet. */
static struct udp_kernel *open_kernel(struct wgw_dgram_sock *u, const struct stack_addr *like)
{
	bool v6 = !stack_addr_is_v4(like);
	struct udp_kernel *k = &u->kernel[v6];
	int protocol = u->kind == WGW_KIND_UDP ? 0 : v6 ? (int)IPPROTO_ICMPV6 : (int)IPPROTO_ICMP;
	int fd;

	fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return NULL;
	ask_for_ancillary(fd, v6);
	set_options(u, fd, v6);
	k->owner = u;
	k->watch = (struct wgw_watch){fd, kernel_ready};
	k->connected = k->groups = false;
	if (wgw_loop_add(u->sockets->t->loop, &k->watch, EPOLLIN) < 0) {
		close(fd);
		k->watch.fd = -1;
		return NULL;
	}
	return k;
}

/* The kernel socket of the family of @like. */
static struct udp_kernel *need_kernel(struct wgw_dgram_sock *u, const struct stack_addr *like)
{
	const bool v6 = !stack_addr_is_v4(like);
	struct udp_kernel *k = &u->kernel[v6];

	if (k->watch.fd >= 0)
		return k;
	k = open_kernel(u, like);
	if (k)
		keep_port(u, k->watch.fd, v6);
	return k;
}

/* ---- from the kernel ---- */

/* What came with a message: TTL and TOS, and the address of ours that it came to. */
static void read_ancillary(struct msghdr *msg, struct wgw_dgram *h)
{
	struct in6_pktinfo info6;
	struct in_pktinfo info;
	int value;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		const bool v4 = c->cmsg_level == IPPROTO_IP;

		if (v4 && c->cmsg_type == IP_PKTINFO) {
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			stack_ip_set_v4(h->local_ip, &info.ipi_addr);
		} else if (v4 && c->cmsg_type == IP_TTL) {
			memcpy(&value, CMSG_DATA(c), sizeof(value));
			h->ttl = (uint8_t)value;
		} else if (v4 && c->cmsg_type == IP_TOS) {
			h->tos = *CMSG_DATA(c);
		} else if (c->cmsg_level != IPPROTO_IPV6) {
			continue;
		} else if (c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&info6, CMSG_DATA(c), sizeof(info6));
			memcpy(h->local_ip, &info6.ipi6_addr, sizeof(h->local_ip));
		} else if (c->cmsg_type == IPV6_HOPLIMIT || c->cmsg_type == IPV6_TCLASS) {
			memcpy(&value, CMSG_DATA(c), sizeof(value));
			*(c->cmsg_type == IPV6_HOPLIMIT ? &h->ttl : &h->tos) = (uint8_t)value;
		}
	}
}

/* An echo header has the identifier that the program knows. */
static void put_identifier(const struct wgw_dgram_sock *u, size_t len)
{
	const uint16_t id = htons(u->local.port);

	if (u->kind == WGW_KIND_PING && len >= ICMP_HEADER_BYTES)
		memcpy(buffer + ICMP_ID_AT, &id, sizeof(id));
}

static bool read_error(struct msghdr *msg, struct sock_extended_err *error,
		       struct sockaddr_storage *offender)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		const bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
		const size_t size = v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

		if (!v4 && !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
			continue;
		if (c->cmsg_len < CMSG_LEN(sizeof(*error) + size))
			return false;
		memcpy(error, CMSG_DATA(c), sizeof(*error));
		memcpy(offender, CMSG_DATA(c) + sizeof(*error), size);
		return true;
	}
	return false;
}

/** struct message - one from the kernel: its bytes are in the buffer, and @head points to the rest */
struct message {
	_Alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES];
	struct sockaddr_storage name;
	struct iovec iov;
	struct msghdr head;
};

/* recvmsg(2) into @m, without waiting. */
static ssize_t take(int fd, struct message *m, int flags)
{
	m->name = (struct sockaddr_storage){0};
	m->iov = (struct iovec){buffer, sizeof(buffer)};
	m->head = (struct msghdr){.msg_name = &m->name,
				  .msg_namelen = sizeof(m->name),
				  .msg_iov = &m->iov,
				  .msg_iovlen = 1,
				  .msg_control = m->control,
				  .msg_controllen = sizeof(m->control)};
	return recvmsg(fd, &m->head, flags | MSG_DONTWAIT);
}

/* Tells the application the next error in the kernel's queue. False: there is none. */
static bool pass_error(struct wgw_dgram_sock *u, int fd)
{
	struct message m;
	ssize_t r = take(fd, &m, MSG_ERRQUEUE);
	struct sockaddr_storage offender = {0};
	struct sock_extended_err said;
	struct stack_error e = {.quoted = buffer, .fatal = true};
	struct stack_addr to;
	struct wgw_dgram h = {0};

	if (r < 0)
		return false;
	if (!read_error(&m.head, &said, &offender))
		return true;
	wgw_sockaddr_to(&m.name, &to);
	to = *udp_net_known_as(u, &to);
	if (said.ee_origin == SO_EE_ORIGIN_LOCAL) {
		udp_refused(u, &to, (int)said.ee_errno, said.ee_info);
		return true;
	}
	read_ancillary(&m.head, &h);
	put_identifier(u, (size_t)r);
	wgw_sockaddr_to(&offender, &e.from);
	memcpy(e.to.ip, h.local_ip, sizeof(e.to.ip));
	e.err = (int)said.ee_errno;
	e.type = said.ee_type;
	e.code = said.ee_code;
	e.info = said.ee_info;
	e.ttl = h.ttl;
	e.tos = h.tos;
	e.len = (size_t)r;
	udp_error(u, &to, &e);
	return true;
}

/* A call on the kernel socket of a connected one failed: of who wants errors, the queue tells it. */
static void call_failed(struct wgw_dgram_sock *u, int err)
{
	const struct stack_error e = {.err = err, .fatal = true};

	if (err != EAGAIN && err != EINTR && u->connected && !udp_wants_errors(u))
		udp_error(u, &u->remote, &e);
}

/* Whether a datagram from @from may come past the tunnel: the way back of what policy sends
 * directly. The kernel's sockets are bound on all of the host's addresses. */
static bool is_direct(const struct udp_kernel *k, const struct stack_addr *from)
{
	const struct wgw_dgram_sock *u = k->owner;
	struct stack_addr to = *from;

	return u->outside || k->groups || stack_addr_is_loopback(from) ||
	       wgw_session_route_quiet(u->sock.quota->session, &to,
				       u->kind == WGW_KIND_PING ? IPPROTO_ICMP : IPPROTO_UDP) ==
		       WGW_ROUTE_DIRECT;
}

static bool is_group(const struct stack_addr *to)
{
	enum { CLASS_D = 224, V6_MULTICAST = 0xff };

	return stack_addr_is_v4(to) ? to->ip[12] >= CLASS_D : to->ip[0] == V6_MULTICAST;
}

/* False: nothing waits. */
static bool receive(struct udp_kernel *k)
{
	struct wgw_dgram_sock *u = k->owner;
	struct message m;
	ssize_t r = take(k->watch.fd, &m, 0);
	struct wgw_dgram h = {0};
	struct stack_addr from;
	int err = errno;

	if (r < 0) {
		call_failed(u, err);
		return err != EAGAIN; /* an error may lie in front of datagrams */
	}
	wgw_sockaddr_to(&m.name, &from);
	if (!is_direct(k, &from))
		return true;
	from = *udp_net_known_as(u, &from);
	if (udp_net_is_foreign(u, &from))
		return true;
	read_ancillary(&m.head, &h);
	memcpy(h.ip, from.ip, sizeof(h.ip));
	h.port = u->kind == WGW_KIND_PING ? 0 : from.port;
	put_identifier(u, (size_t)r);
	m.iov.iov_len = (size_t)r;
	udp_deliver(u, &h, &m.iov, 1, (size_t)r);
	return true;
}

static void receive_all(struct udp_kernel *k, int max)
{
	for (int i = 0; i < max && k->watch.fd >= 0; i++) {
		if (!receive(k))
			break;
	}
}

static void kernel_ready(struct wgw_watch *w, uint32_t events)
{
	struct udp_kernel *k = wgw_container(w, struct udp_kernel, watch);
	struct wgw_dgram_sock *u = k->owner;

	for (int i = 0; events & EPOLLERR && i < UDP_ERRORS_MAX && w->fd >= 0; i++) {
		if (!pass_error(u, w->fd))
			break;
	}
	receive_all(k, UDP_PER_TURN);
}

void udp_kernel_drain(struct wgw_dgram_sock *u)
{
	for (int v6 = 0; v6 < 2; v6++)
		receive_all(&u->kernel[v6], UDP_DRAIN_MAX);
}

/* ---- to the kernel ---- */

/* The source address that a header asks for, if it can be one of the host's. */
static bool has_source(const struct wgw_dgram_sock *u, const struct wgw_dgram *h)
{
	struct stack_addr local = {0};

	memcpy(local.ip, h->local_ip, sizeof(local.ip));
	return !stack_addr_is_any(&local) && (u->outside || stack_addr_is_loopback(&local));
}

static void put_int(struct wgw_cmsg_out *out, int level, int type, int value)
{
	if (value)
		wgw_cmsg_put(out, level, type, &value, sizeof(value));
}

static void write_ancillary(struct wgw_cmsg_out *out, const struct wgw_dgram_sock *u,
			    const struct wgw_dgram *h, bool v4)
{
	const uint8_t ttl = h->ttl ? h->ttl : u->ttl, tos = h->tos ? h->tos : u->tos;
	struct in6_pktinfo info6 = {0};
	struct in_pktinfo info = {0};

	put_int(out, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_HOPLIMIT, ttl);
	put_int(out, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, tos);
	if (!has_source(u, h) || stack_ip_is_v4(h->local_ip) != v4)
		return;
	if (v4) {
		memcpy(&info.ipi_spec_dst, h->local_ip + 12, sizeof(info.ipi_spec_dst));
		wgw_cmsg_put(out, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else {
		memcpy(&info6.ipi6_addr, h->local_ip, sizeof(info6.ipi6_addr));
		wgw_cmsg_put(out, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6));
	}
}

/* A socket without a port has the one that sending gave it: need_flow() asks the stack for it. */
static void learn_port(struct wgw_dgram_sock *u, const struct udp_kernel *k)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct stack_addr local;

	if (u->kind != WGW_KIND_UDP || u->local.port != 0 ||
	    getsockname(k->watch.fd, (struct sockaddr *)&ss, &len) < 0)
		return;
	wgw_sockaddr_to(&ss, &local);
	u->local.port = local.port;
	udp_local_enter(u);
}

void udp_kernel_send(struct wgw_dgram_sock *u, const struct stack_addr *to,
		     const struct wgw_dgram *h, const uint8_t *payload, size_t len)
{
	_Alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES] = {0};
	struct udp_kernel *k = need_kernel(u, to);
	struct wgw_cmsg_out out = {control, sizeof(control), false};
	struct iovec iov = {(void *)payload, len};
	struct sockaddr_storage ss;
	struct msghdr msg = {.msg_name = &ss,
			     .msg_namelen = wgw_sockaddr_from(to, &ss),
			     .msg_iov = &iov,
			     .msg_iovlen = 1};
	const bool queued = udp_wants_errors(u);
	socklen_t size = sizeof(int);
	int err = 0;

	if (!k) { /* ping: net.ipv4.ping_group_range */
		udp_refused(u, to, errno, 0);
		return;
	}
	k->groups |= is_group(to);
	write_ancillary(&out, u, h, stack_addr_is_v4(to));
	if (out.at != control) {
		msg.msg_control = control;
		msg.msg_controllen = (size_t)(out.at - control);
	}
	if (queued) /* what the queue tells of earlier ones: then EMSGSIZE is about this one */
		getsockopt(k->watch.fd, SOL_SOCKET, SO_ERROR, &err, &size);
	/* the first failure may be about an earlier datagram */
	for (int tries = 0; tries < 2; tries++) {
		if (sendmsg(k->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
			learn_port(u, k);
			return;
		}
		err = errno;
		if (queued && err == EMSGSIZE)
			return; /* ip_local_error() has put it there */
		call_failed(u, err);
	}
	if (!u->connected && err != EAGAIN && err != EINTR && err != ENOBUFS)
		udp_refused(u, udp_net_known_as(u, to), err, 0);
}

/* ---- bind, connect ---- */

/* A kernel socket at @local, whose port may be 0. 0 or -errno: then there is none. */
static int bind_kernel(struct wgw_dgram_sock *u, const struct stack_addr *local)
{
	const bool v6 = !stack_addr_is_v4(local);
	struct udp_kernel *k = &u->kernel[v6];
	struct sockaddr_storage ss;
	const socklen_t len = wgw_sockaddr_from(local, &ss);
	int err;

	close_kernel(k); /* one that was made for a peer before, or to send, and has no port */
	k = open_kernel(u, local);
	if (!k)
		return -errno;
	if (u->reuse)
		setsockopt(k->watch.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (v6) /* there is one of each family */
		setsockopt(k->watch.fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(k->watch.fd, (struct sockaddr *)&ss, len) < 0) {
		err = -errno;
		close_kernel(k);
		return err;
	}
	return 0;
}

/* Binds the socket of the family of @local; for IPv6's wildcard, which is IPv4's, too, both, as far as
 * the host has them. */
static int bind_kernels(struct wgw_dgram_sock *u, const struct stack_addr *local)
{
	struct udp_kernel *k = &u->kernel[!stack_addr_is_v4(local)];
	struct stack_addr other = stack_addr_wildcard(true);
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int err = bind_kernel(u, local);

	if (err)
		return err;
	u->local = *local;
	if (getsockname(k->watch.fd, (struct sockaddr *)&ss, &len) == 0)
		wgw_sockaddr_to(&ss, &u->local);
	if (stack_addr_is_v4(local) || !stack_addr_is_any(local) || u->v6only)
		return 0;
	other.port = u->local.port;
	err = bind_kernel(u, &other);
	if (!err || err == -EAFNOSUPPORT)
		return 0;
	close_kernel(k);
	return err;
}

int udp_kernel_bind(struct wgw_dgram_sock *u, const struct stack_addr *local)
{
	int err;

	/* the port that the host chose for one family may be another's in the other */
	for (int tries = 0; tries < BIND_TRIES; tries++) {
		err = bind_kernels(u, local);
		if (err != -EADDRINUSE || local->port)
			break;
	}
	return err;
}

static int connect_kernel(struct udp_kernel *k, const struct stack_addr *to)
{
	struct sockaddr_storage ss;
	const socklen_t len = wgw_sockaddr_from(to, &ss);

	if (connect(k->watch.fd, (struct sockaddr *)&ss, len) < 0)
		return -errno;
	k->connected = true;
	return 0;
}

int udp_kernel_connect(struct wgw_dgram_sock *u, const struct stack_addr *to)
{
	struct udp_kernel *k = need_kernel(u, to);
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int err = k ? connect_kernel(k, to) : -errno;

	if (!err && u->kind == WGW_KIND_UDP &&
	    getsockname(k->watch.fd, (struct sockaddr *)&ss, &len) == 0)
		wgw_sockaddr_to(&ss, &u->local);
	return err;
}

void udp_kernel_follow(struct wgw_dgram_sock *u, const struct stack_addr *to)
{
	struct udp_kernel *k = need_kernel(u, to);

	if (k && !k->connected)
		connect_kernel(k, to);
}

void udp_kernel_disconnect(struct wgw_dgram_sock *u, const struct stack_addr *next)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};

	for (int v6 = 0; v6 < 2; v6++) {
		struct udp_kernel *k = &u->kernel[v6];

		if (k->watch.fd < 0 || !k->connected || (next && v6 == !stack_addr_is_v4(next)))
			continue;
		k->connected = false;
		connect(k->watch.fd, &none, sizeof(none));
	}
}

void udp_kernel_close(struct wgw_dgram_sock *u)
{
	for (int i = 0; i < 2; i++)
		close_kernel(&u->kernel[i]);
}
