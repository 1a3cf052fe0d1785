/* SPDX-License-Identifier: MIT */
/*
 * outer_tx.c - the UDP sockets towards the peers: transmitting
 *
 * A batch lies in memory as datagrams of equal stride, which is what UDP_SEGMENT takes: one message
 * carries up to 64 of them, one sendmmsg carries several messages.
 *
 * The kernel may refuse a segmented message that would pass as single datagrams: EMSGSIZE (EINVAL
 * before 6.14) when the stride exceeds the route's MTU, EIO when the device cannot checksum. It may
 * refuse a source address that has vanished (EINVAL, EADDRNOTAVAIL, ENETUNREACH). Both refusals are
 * met by a ladder: as is, then unsegmented, then without a source. What helped is remembered:
 * segmentation for a while (a route's MTU may rise again soon), the source until a datagram arrives
 * at it.
 *
 * When the socket buffer is full the rest of a batch is copied to the backlog, which is sent at
 * EPOLLOUT. While it is not empty everything goes through it, so order is kept. It is bounded;
 * what does not fit is dropped like by any full queue.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "src/tunnel/outer_internal.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
	GSO_SEGMENTS_MAX = 64, /* UDP_MAX_SEGMENTS before 6.9 */
	GSO_BYTES_MAX = 65507, /* largest UDP payload over IPv4 */
	TX_MESSAGES = 32,      /* per sendmmsg */
	BACKLOG_BYTES = 1 << 20,
	CONTROL_BYTES = 128,
};

#define GSO_RETRY_NS	   (60 * WGW_SEC_NS)
#define GSO_ROUTE_RETRY_NS WGW_SEC_NS

/** struct tx_how - the rung of the ladder */
struct tx_how {
	bool gso, source;
};

static size_t datagram_len(const struct outer_batch *b, size_t i)
{
	return i + 1 == b->count ? b->last : b->stride;
}

/* ---- one system call ---- */

static size_t add_control(uint8_t *at, int level, int type, const void *data, size_t len)
{
	struct cmsghdr c = {.cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type};

	memcpy(at, &c, sizeof(c));
	memcpy(at + CMSG_LEN(0), data, len);
	return CMSG_SPACE(len);
}

/* Source address and traffic class. Returns the length. */
static size_t common_control(const struct outer_batch *b, bool source, uint8_t *control)
{
	bool v4 = b->to.to.sa.sa_family == AF_INET;
	int tos = b->tos;
	size_t len = 0;

	if (source && v4) {
		struct in_pktinfo info = {.ipi_spec_dst = b->to.from4};

		len += add_control(control, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else if (source) {
		struct in6_pktinfo info = {.ipi6_addr = b->to.from6};

		if (IN6_IS_ADDR_LINKLOCAL(&b->to.from6))
			info.ipi6_ifindex = b->to.ifindex;
		len += add_control(control, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
	if (tos)
		len += add_control(control + len, v4 ? IPPROTO_IP : IPPROTO_IPV6,
				   v4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof(tos));
	return len;
}

/* Sends datagrams from number *@next on, as many as one call takes, and advances *@next over those
 * that were sent. Returns 0, or -errno of the message at *@next. */
static int send_some(struct outer_socket *s, const struct outer_batch *b, struct tx_how how,
		     size_t *next)
{
	struct mmsghdr m[TX_MESSAGES];
	struct iovec iov[TX_MESSAGES];
	union {
		struct cmsghdr align;
		uint8_t bytes[CONTROL_BYTES];
	} control;
	uint16_t stride = (uint16_t)b->stride;
	size_t common = common_control(b, how.source, control.bytes);
	size_t whole = common + add_control(control.bytes + common, IPPROTO_UDP, UDP_SEGMENT,
					    &stride, sizeof(stride));
	size_t per = how.gso ? GSO_BYTES_MAX / b->stride : 1;
	size_t i = *next;
	unsigned int n;
	int sent;

	if (per > GSO_SEGMENTS_MAX)
		per = GSO_SEGMENTS_MAX;
	if (per == 0)
		per = 1;
	for (n = 0; n < TX_MESSAGES && i < b->count; n++) {
		size_t take = b->count - i < per ? b->count - i : per;

		iov[n].iov_base = (void *)(uintptr_t)(b->buf + i * b->stride);
		iov[n].iov_len = (take - 1) * b->stride + datagram_len(b, i + take - 1);
		m[n].msg_hdr = (struct msghdr){
			.msg_name = (void *)(uintptr_t)&b->to.to,
			.msg_namelen = s->family == AF_INET ? sizeof(struct sockaddr_in)
							    : sizeof(struct sockaddr_in6),
			.msg_iov = &iov[n],
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = take > 1 ? whole : common,
		};
		i += take;
	}
	s->outer->stats.tx_calls++;
	sent = sendmmsg(s->watch.fd, m, n, MSG_DONTWAIT);
	if (sent < 0)
		return -errno;
	for (int k = 0; k < sent; k++) {
		size_t left = b->count - *next;

		*next += left < per ? left : per;
	}
	return 0;
}

/* ---- what was refused before ---- */

static bool same_address(const struct wg_endpoint *a, const struct wg_endpoint *b)
{
	if (a->to.sa.sa_family != b->to.sa.sa_family)
		return false;
	if (a->to.sa.sa_family == AF_INET)
		return a->to.in.sin_addr.s_addr == b->to.in.sin_addr.s_addr;
	return memcmp(&a->to.in6.sin6_addr, &b->to.in6.sin6_addr, 16) == 0;
}

static bool may_segment(struct outer_socket *s, const struct outer_batch *b)
{
	if (!s->gso || b->count < 2)
		return false;
	if (!s->gso_off.until)
		return true;
	if (wgw_loop_now(s->outer->loop) >= s->gso_off.until) {
		s->gso_off.until = 0;
		return true;
	}
	if (s->gso_off.stride == 0)
		return false;
	return b->stride < s->gso_off.stride || !same_address(&b->to, &s->gso_off.to);
}

static void remember_unsegmentable(struct outer_socket *s, const struct outer_batch *b, int err)
{
	bool route = err == -EMSGSIZE || err == -EINVAL;

	s->outer->stats.gso_refused++;
	s->gso_off.to = b->to;
	s->gso_off.stride = route ? b->stride : 0;
	s->gso_off.until =
		wgw_loop_now(s->outer->loop) + (route ? GSO_ROUTE_RETRY_NS : GSO_RETRY_NS);
}

static bool has_source(const struct outer_batch *b)
{
	static const struct in6_addr zero;

	return b->to.to.sa.sa_family == AF_INET ? b->to.from4.s_addr != 0
						: memcmp(&b->to.from6, &zero, sizeof(zero)) != 0;
}

/* The first 4 or all 16 bytes of the union of source addresses, the rest zero. */
static struct in6_addr source_key(const struct outer_batch *b)
{
	struct in6_addr key = {0};

	if (b->to.to.sa.sa_family == AF_INET)
		memcpy(&key, &b->to.from4, sizeof(b->to.from4));
	else
		key = b->to.from6;
	return key;
}

static bool may_use_source(const struct outer_socket *s, const struct outer_batch *b)
{
	struct in6_addr key = source_key(b);

	if (!has_source(b))
		return false;
	return !s->has_bad_source || memcmp(&key, &s->bad_source, sizeof(key)) != 0;
}

static bool is_gso_refusal(int err)
{
	return err == -EMSGSIZE || err == -EINVAL || err == -EIO || err == -EOPNOTSUPP ||
	       err == -ENOPROTOOPT;
}

static bool is_source_refusal(int err)
{
	return err == -EINVAL || err == -EADDRNOTAVAIL || err == -ENETUNREACH ||
	       err == -EHOSTUNREACH || err == -ENODEV || err == -ENETDOWN;
}

/* ---- a batch ---- */

/* Sends from datagram *@next on. Returns 0, -EAGAIN with *@next at the first unsent datagram, or
 * another -errno: the rest cannot be sent. */
static int send_batch(struct outer_socket *s, const struct outer_batch *b, size_t *next)
{
	struct tx_how how = {may_segment(s, b), may_use_source(s, b)};
	int refused = 0; /* why segmentation was given up */

	while (*next < b->count) {
		size_t before = *next;
		int err = send_some(s, b, how, next);

		s->outer->stats.tx_datagrams += *next - before;
		if (err == 0) {
			if (refused)
				remember_unsegmentable(s, b, refused);
			refused = 0;
		} else if (err == -EINTR) {
			continue;
		} else if (err == -EAGAIN) {
			return err;
		} else if (how.gso && is_gso_refusal(err)) {
			how.gso = false;
			refused = err;
		} else if (how.source && is_source_refusal(err)) {
			/* It was the source, then, not the segmentation. */
			s->bad_source = source_key(b);
			s->has_bad_source = true;
			how.source = false;
			how.gso = may_segment(s, b);
			refused = 0;
		} else {
			return err;
		}
	}
	return 0;
}

/* ---- backlog ---- */

/** struct backlog_record - precedes its @count datagrams; records are 8-byte aligned */
struct backlog_record {
	struct wg_endpoint to;
	size_t stride, count, last;
	uint8_t tos;
};

static size_t record_bytes(size_t stride, size_t count, size_t last)
{
	return (sizeof(struct backlog_record) + (count - 1) * stride + last + 7) & ~(size_t)7;
}

static void backlog_put(struct outer_socket *s, const struct outer_batch *b, size_t first)
{
	struct outer_backlog *q = &s->backlog;
	size_t count = b->count - first;
	size_t need = record_bytes(b->stride, count, b->last);
	struct backlog_record r = {b->to, b->stride, count, b->last, b->tos};

	if (!q->bytes) {
		q->bytes = malloc(BACKLOG_BYTES);
		q->head = q->tail = 0;
		if (q->bytes)
			wgw_loop_mod(s->outer->loop, &s->watch, EPOLLIN | EPOLLOUT);
	}
	if (q->bytes && q->tail + need > BACKLOG_BYTES) {
		memmove(q->bytes, q->bytes + q->head, q->tail - q->head);
		q->tail -= q->head;
		q->head = 0;
	}
	if (!q->bytes || q->tail + need > BACKLOG_BYTES) {
		s->outer->stats.tx_dropped += count;
		return;
	}
	memcpy(q->bytes + q->tail, &r, sizeof(r));
	memcpy(q->bytes + q->tail + sizeof(r), b->buf + first * b->stride,
	       (count - 1) * b->stride + b->last);
	q->tail += need;
}

/* Tells the owner about the datagrams from @next on that cannot be sent. */
static void drop(struct outer_socket *s, const struct outer_batch *b, size_t next, int err)
{
	struct wgw_outer *o = s->outer;

	o->stats.tx_dropped += b->count - next;
	o->ops->failed(o->ctx, &b->to, -err);
}

void outer_backlog_send(struct outer_socket *s)
{
	struct outer_backlog *q = &s->backlog;

	while (q->bytes && q->head < q->tail) {
		struct backlog_record r;
		struct outer_batch b;
		size_t next = 0, size;
		int err;

		memcpy(&r, q->bytes + q->head, sizeof(r));
		size = record_bytes(r.stride, r.count, r.last);
		b = (struct outer_batch){
			r.to, q->bytes + q->head + sizeof(r), r.stride, r.count, r.last, r.tos};
		err = send_batch(s, &b, &next);
		if (err == -EAGAIN) {
			/* The record shrinks from its front; those behind it move up. */
			size_t shrunk = record_bytes(r.stride, r.count - next, r.last);

			r.count -= next;
			memmove(q->bytes + q->head + sizeof(r), b.buf + next * r.stride,
				(r.count - 1) * r.stride + r.last);
			memcpy(q->bytes + q->head, &r, sizeof(r));
			memmove(q->bytes + q->head + shrunk, q->bytes + q->head + size,
				q->tail - q->head - size);
			q->tail -= size - shrunk;
			return;
		}
		q->head += size;
		if (err < 0)
			drop(s, &b, next, err);
	}
	free(q->bytes);
	q->bytes = NULL;
	wgw_loop_mod(s->outer->loop, &s->watch, EPOLLIN);
}

void wgw_outer_transmit(struct wgw_outer *o, const struct wg_endpoint *to, const uint8_t *buf,
			size_t stride, size_t count, size_t last, uint8_t tos)
{
	struct outer_socket *s = to->to.sa.sa_family == AF_INET ? &o->v4 : &o->v6;
	struct outer_batch b = {*to, buf, stride, count, last, tos};
	size_t next = 0;
	int err;

	if (count == 0)
		return;
	if (s->watch.fd < 0 || to->to.sa.sa_family != s->family) {
		drop(s, &b, 0, -EAFNOSUPPORT);
		return;
	}
	if (s->backlog.bytes) {
		backlog_put(s, &b, 0);
		return;
	}
	err = send_batch(s, &b, &next);
	if (err == -EAGAIN)
		backlog_put(s, &b, next);
	else if (err < 0)
		drop(s, &b, next, err);
}
