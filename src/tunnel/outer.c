/* SPDX-License-Identifier: MIT */
/*
 * outer.c - the UDP sockets towards the peers: opening and receiving
 *
 * Two sockets on one port, one per family, neither connected: peers roam, and a peer may be known
 * by addresses of both families. Datagrams arrive in batches: recvmmsg takes several messages, and
 * with UDP_GRO each message holds up to 64 datagrams of one sender back to back.
 *
 * IP_PKTINFO tells which of our addresses a datagram came to; answers leave from it (hosts with
 * several addresses; design of the WireGuard kernel driver). The traffic class is received and
 * sent, so that ECN works through the tunnel (RFC 6040). The don't-fragment bit is left off as the
 * kernel driver does: an outer path narrower than expected costs fragments, not the connection.
 *
 * The first socket is bound alone, so that a port in use is noticed. More sockets then share its
 * port and take what is no transport data (outer_handshakes.c). Without a kernel that can divide
 * so, everything comes to the first.
 *
 * ICMP errors are not asked for (no IP_RECVERR), so they never end a receive; whatever error
 * recvmmsg returns all the same is drained and ignored.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "src/tunnel/outer_internal.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	RX_MESSAGES = 16,
	RX_MESSAGE_BYTES = 65536,
	RX_LARGE_BYTES = 16384, /* of messages that are this long on average */
	RX_LARGE_MESSAGES = 4,	/* so many are received, and opened while they are in the cache */
	RX_ROUNDS = 4,		/* recvmmsg calls per turn, so that others get their share */
	KERNEL_BUFFER_BYTES = 7 << 20, /* asked for; the kernel grants net.core.?mem_max */
	PORT_TRIES = 100,
	CONTROL_BYTES = 256,
};

/* ---- opening ---- */

void outer_set_int(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value));
}

/* UDP_GRO before 5.12 may hand over wrong segment sizes. */
static bool kernel_has_gro(void)
{
	struct utsname u;
	unsigned int major = 0, minor = 0;

	return uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 5 || (major == 5 && minor >= 12));
}

void outer_set_options(struct outer_socket *s, int fd)
{
	if (s->family == AF_INET) {
		outer_set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	} else {
		outer_set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
		outer_set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	}
}

/* For the one that sends, and receives data */
static void set_data_options(struct outer_socket *s, int fd)
{
	if (s->family == AF_INET) {
		outer_set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
		outer_set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	} else {
		outer_set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
		outer_set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
	}
	if (kernel_has_gro())
		outer_set_int(fd, IPPROTO_UDP, UDP_GRO, 1);
	/* The second is for those who may go past the limit. */
	outer_set_int(fd, SOL_SOCKET, SO_RCVBUF, KERNEL_BUFFER_BYTES);
	outer_set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, KERNEL_BUFFER_BYTES);
	outer_set_int(fd, SOL_SOCKET, SO_SNDBUF, KERNEL_BUFFER_BYTES);
	outer_set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, KERNEL_BUFFER_BYTES);
}

int outer_bind(int fd, int family, uint16_t *port)
{
	struct sockaddr_storage ss = {.ss_family = (sa_family_t)family};
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	socklen_t len = family == AF_INET ? sizeof(*in) : sizeof(struct sockaddr_in6);

	/* The port is at the same place in both. */
	in->sin_port = htons(*port);
	if (bind(fd, (struct sockaddr *)&ss, len) < 0)
		return -errno;
	if (*port != 0)
		return 0;
	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	*port = ntohs(in->sin_port);
	return 0;
}

/* Returns a bound socket or -errno. *@port is updated when it was 0. */
static int open_socket(struct outer_socket *s, uint16_t *port, uint32_t fwmark, bool *mark_refused)
{
	int fd = socket(s->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
	int err, probe = 0;

	if (fd < 0)
		return -errno;
	outer_set_options(s, fd);
	set_data_options(s, fd);
	s->gso = setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &probe, sizeof(probe)) == 0;
	if (fwmark && setsockopt(fd, SOL_SOCKET, SO_MARK, &fwmark, sizeof(fwmark)) < 0)
		*mark_refused = true;
	err = outer_bind(fd, s->family, port);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static bool family_missing(int err)
{
	return err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL || err == -EPROTONOSUPPORT ||
	       err == -EACCES || err == -EPERM;
}

/* Opens both sockets on one port. Returns 0 or -errno. */
static int open_pair(struct wgw_outer *o, uint16_t port, uint32_t fwmark, bool *mark_refused)
{
	for (int tries = 0;; tries++) {
		uint16_t p = port;
		int v4 = open_socket(&o->v4, &p, fwmark, mark_refused);
		int v6;

		if (v4 < 0 && !family_missing(v4))
			return v4;
		v6 = open_socket(&o->v6, &p, fwmark, mark_refused);
		if (v6 < 0 && (v4 < 0 || !family_missing(v6))) {
			if (v4 >= 0)
				close(v4);
			/* A free port of one family may be taken in the other. */
			if (v6 == -EADDRINUSE && port == 0 && tries < PORT_TRIES)
				continue;
			return v6;
		}
		o->v4.watch.fd = v4 < 0 ? -1 : v4;
		o->v6.watch.fd = v6 < 0 ? -1 : v6;
		outer_handshakes_open(&o->v4, p);
		outer_handshakes_open(&o->v6, p);
		o->port = p;
		return 0;
	}
}

/* ---- receiving ---- */

/**
 * struct rx_message - what is needed to receive one message
 */
struct rx_message {
	struct wg_endpoint from;
	struct iovec iov;
	union {
		struct cmsghdr align;
		uint8_t bytes[CONTROL_BYTES];
	} control;
};

static void read_control(struct outer_socket *s, struct msghdr *h, struct wg_endpoint *from,
			 size_t *stride, uint8_t *tos)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		const uint8_t *data = CMSG_DATA(c);

		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, data, sizeof(info));
			from->from4 = info.ipi_spec_dst;
			from->ifindex = (uint32_t)info.ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, data, sizeof(info));
			from->from6 = info.ipi6_addr;
			from->ifindex = info.ipi6_ifindex;
		} else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) ||
			   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)) {
			int v = 0;

			/* One byte for IPv4, an int for IPv6. */
			if (c->cmsg_len >= CMSG_LEN(sizeof(v)))
				memcpy(&v, data, sizeof(v));
			else
				v = data[0];
			*tos = (uint8_t)v;
		} else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			int v;

			memcpy(&v, data, sizeof(v));
			if (v > 0)
				*stride = (size_t)v;
		}
	}
	/* The address works (again). */
	if (s->has_bad_source && memcmp(&from->from6, &s->bad_source, sizeof(s->bad_source)) == 0)
		s->has_bad_source = false;
}

static void deliver(struct outer_socket *s, struct mmsghdr *m, struct rx_message *rx)
{
	struct wgw_outer *o = s->outer;
	size_t len = m->msg_len, stride = len;
	uint8_t tos = 0;

	if (len == 0 || (m->msg_hdr.msg_flags & MSG_TRUNC) || rx->from.to.sa.sa_family != s->family)
		return;
	read_control(s, &m->msg_hdr, &rx->from, &stride, &tos);
	o->stats.rx_datagrams += (len + stride - 1) / stride;
	o->stats.rx_bytes += len;
	o->ops->received(o->ctx, &rx->from, rx->iov.iov_base, len, stride, tos);
}

unsigned int outer_receive(struct outer_socket *s, int fd, unsigned int max, size_t bytes)
{
	struct wgw_outer *o = s->outer;
	struct rx_message rx[OUTER_RECEIVE_MAX];
	struct mmsghdr m[OUTER_RECEIVE_MAX];
	int n;

	for (size_t i = 0; i < max; i++) {
		memset(&rx[i].from, 0, sizeof(rx[i].from));
		rx[i].iov.iov_base = o->rx + i * bytes;
		rx[i].iov.iov_len = bytes;
		m[i].msg_hdr = (struct msghdr){
			.msg_name = &rx[i].from.to,
			.msg_namelen = sizeof(rx[i].from.to),
			.msg_iov = &rx[i].iov,
			.msg_iovlen = 1,
			.msg_control = rx[i].control.bytes,
			.msg_controllen = sizeof(rx[i].control.bytes),
		};
	}
	o->stats.rx_calls++;
	n = recvmmsg(fd, m, max, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		deliver(s, &m[i], &rx[i]);
	return n < 0 ? 0 : (unsigned int)n;
}

/* Whether there may be more */
static bool receive_data(struct outer_socket *s)
{
	const uint64_t *bytes = &s->outer->stats.rx_bytes, before = *bytes;
	unsigned int max = s->rx_large ? RX_LARGE_MESSAGES : RX_MESSAGES;
	unsigned int n = outer_receive(s, s->watch.fd, max, RX_MESSAGE_BYTES);

	s->rx_large = *bytes - before > (uint64_t)n * RX_LARGE_BYTES;
	return n == max;
}

static void on_ready(struct wgw_watch *w, uint32_t events)
{
	struct outer_socket *s = wgw_container(w, struct outer_socket, watch);
	int err;
	socklen_t len = sizeof(err);

	if (events & EPOLLOUT)
		outer_backlog_send(s);
	/* Taken so that it does not come back; the datagram it is about is lost anyway. */
	if (events & EPOLLERR)
		getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	for (int i = 0; i < RX_ROUNDS && receive_data(s); i++) {
	}
}

/* ---- object ---- */

static void init_socket(struct wgw_outer *o, struct outer_socket *s, int family)
{
	s->outer = o;
	s->family = family;
	s->watch.fd = -1;
	s->watch.ready = on_ready;
	outer_handshakes_init(s);
}

static int watch(struct wgw_outer *o, struct outer_socket *s)
{
	int err = s->watch.fd < 0 ? 0 : wgw_loop_add(o->loop, &s->watch, EPOLLIN);

	if (err == 0 && s->handshakes.watch.fd >= 0)
		err = wgw_loop_add(o->loop, &s->handshakes.watch, EPOLLIN);
	return err;
}

struct wgw_outer *wgw_outer_new(struct wgw_loop *loop, uint16_t port, uint32_t fwmark,
				const struct wgw_outer_ops *ops, void *ctx, int *err,
				const char **warning)
{
	struct wgw_outer *o = calloc(1, sizeof(*o));
	bool mark_refused = false;
	int rc = -ENOMEM;

	*warning = NULL;
	if (!o)
		goto out;
	o->loop = loop;
	o->ops = ops;
	o->ctx = ctx;
	init_socket(o, &o->v4, AF_INET);
	init_socket(o, &o->v6, AF_INET6);
	/* mmap: pages that no batch has reached yet cost nothing. */
	o->rx = mmap(NULL, (size_t)RX_MESSAGES * RX_MESSAGE_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (o->rx == MAP_FAILED) {
		o->rx = NULL;
		goto out;
	}
	rc = open_pair(o, port, fwmark, &mark_refused);
	if (rc == 0)
		rc = watch(o, &o->v4);
	if (rc == 0)
		rc = watch(o, &o->v6);
	if (mark_refused)
		*warning = "FwMark needs CAP_NET_ADMIN and is not set";
out:
	if (rc < 0) {
		wgw_outer_free(o);
		*err = -rc;
		return NULL;
	}
	return o;
}

static void free_socket(struct outer_socket *s)
{
	if (s->watch.fd >= 0) {
		wgw_loop_del(s->outer->loop, &s->watch);
		close(s->watch.fd);
	}
	outer_handshakes_close(s);
	free(s->backlog.bytes);
}

void wgw_outer_free(struct wgw_outer *o)
{
	if (!o)
		return;
	free_socket(&o->v4);
	free_socket(&o->v6);
	if (o->rx)
		munmap(o->rx, (size_t)RX_MESSAGES * RX_MESSAGE_BYTES);
	free(o);
}

void wgw_outer_trim(struct wgw_outer *o)
{
	madvise(o->rx, (size_t)RX_MESSAGES * RX_MESSAGE_BYTES, MADV_DONTNEED);
}

uint16_t wgw_outer_port(const struct wgw_outer *o)
{
	return o->port;
}

void wgw_outer_stats(const struct wgw_outer *o, struct wgw_outer_stats *out)
{
	*out = o->stats;
}
