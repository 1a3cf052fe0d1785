/* SPDX-License-Identifier: MIT */
/*
 * stack_harness.h - a stack on a virtual clock, and the wire it is attached to
 *
 * What the stack sends to other hosts is recorded; packets from other hosts are made by hand
 * (wire_tcp and friends), so a test decides every byte. Traffic between two of the stack's own
 * addresses goes through the stack's loop.
 */
#ifndef TESTS_STACK_HARNESS_H
#define TESTS_STACK_HARNESS_H

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack/stack.h"
#ifdef NO_SUITE /* of a fuzzer, say */
#include "tests/unit/assertions.h"
#else
#include "tests/unit/run_suite.h"
#endif

/* Packets that are recorded before h_recycle; who needs more says so first */
#ifndef WIRE_MAX
#define WIRE_MAX 16384
#endif
enum { WIRE_MTU = 1420, WIRE_PACKET_MAX = 65535 };

struct wire_packet {
	size_t len;
	uint8_t *data;
};

static struct {
	struct stack *stack;
	uint64_t now;
	unsigned int looks; /* how often the stack has read the clock */
	uint64_t random;
	struct wire_packet sent[WIRE_MAX];
	size_t n_sent, n_taken, mtu;
	bool in_batch;				     /* the test says when the input is done */
	bool refuses;				     /* the embedder has no room for packets */
	void (*leaves)(const struct wire_packet *p); /* NULL: nobody wants to know at once */
} h;

static uint64_t h_now(void *ctx)
{
	(void)ctx;
	h.looks++;
	return h.now;
}

static void h_random(void *ctx, void *buf, size_t len)
{
	uint8_t *p = buf;

	(void)ctx;
	while (len-- > 0) {
		h.random = h.random * 6364136223846793005u + 1442695040888963407u;
		*p++ = (uint8_t)(h.random >> 33);
	}
}

static int h_output(void *ctx, const struct iovec *iov, int n, size_t len)
{
	struct wire_packet *p = &h.sent[h.n_sent];
	size_t at = 0;
	int i;

	(void)ctx;
	ck_assert_uint_lt(h.n_sent, WIRE_MAX);
	p->data = malloc(len);
	p->len = len;
	for (i = 0; i < n; i++) {
		memcpy(p->data + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	ck_assert_uint_eq(at, len);
	if (h.leaves)
		h.leaves(p);
	if (h.refuses) {
		free(p->data);
		return -ENOBUFS;
	}
	h.n_sent++;
	return 0;
}

static uint8_t h_packet[WIRE_PACKET_MAX];

static uint8_t *h_room(void *ctx, size_t len)
{
	(void)ctx;
	ck_assert_uint_le(len, h.mtu);
	return h_packet;
}

static int h_written(void *ctx, uint8_t *packet, size_t len)
{
	const struct iovec iov = {packet, len};

	ck_assert_ptr_eq(packet, h_packet);
	return h_output(ctx, &iov, 1, len);
}

/* 0: no port is bound; else all others are. */
static uint16_t h_unbound_port;

static bool h_port_is_bound(void *ctx, const struct stack_addr *local)
{
	(void)ctx;
	return h_unbound_port && local->port != h_unbound_port;
}

static const struct stack_ops h_ops = {.now = h_now,
				       .random = h_random,
				       .output = h_output,
				       .room = h_room,
				       .written = h_written,
				       .port_is_bound = h_port_is_bound};

static struct stack_addr addr(const char *text, uint16_t port)
{
	struct stack_addr a = {.port = port};

	if (strchr(text, ':')) {
		ck_assert_int_eq(inet_pton(AF_INET6, text, a.ip), 1);
	} else {
		memcpy(a.ip, stack_v4_prefix, sizeof(stack_v4_prefix));
		ck_assert_int_eq(inet_pton(AF_INET, text, a.ip + 12), 1);
	}
	return a;
}

#define US4   "10.0.0.2"
#define US4B  "10.0.0.3"
#define PEER4 "10.9.9.9"
#define US6   "fd00::2"
#define PEER6 "fd00:9::9"

/* @mtu below 1280: without IPv6 */
static inline void h_setup_mtu(uint16_t mtu, uint64_t random)
{
	struct stack_config c = {.n_addrs = mtu < 1280 ? 2 : 3, .mtu = mtu};

	memset(&h, 0, sizeof(h));
	h.now = 1000000000;
	h.random = random;
	h.mtu = mtu;
	c.addrs[0] = addr(US4, 0);
	c.addrs[1] = addr(US4B, 0);
	c.addrs[2] = addr(US6, 0);
	h.stack = stack_new(&c, &h_ops, NULL);
	ck_assert_ptr_nonnull(h.stack);
}

static inline void h_setup(void)
{
	h_setup_mtu(WIRE_MTU, 1);
}

static inline void h_teardown(void)
{
	size_t i;

	stack_free(h.stack);
	for (i = 0; i < h.n_sent; i++)
		free(h.sent[i].data);
}

/* Lets due work happen until nothing is due now. */
static inline void h_settle(void)
{
	int i;

	for (i = 0; i < 10000 && stack_next_deadline(h.stack) <= h.now; i++)
		stack_tick(h.stack);
	ck_assert_int_lt(i, 10000);
}

/* Virtual time passes, deadline by deadline. Returns the number of wake-ups. */
static inline unsigned int h_pass_ms(uint64_t ms)
{
	uint64_t end = h.now + ms * 1000000;
	unsigned int wakes = 0;

	for (;;) {
		uint64_t due = stack_next_deadline(h.stack);

		if (due > end)
			break;
		if (due > h.now)
			h.now = due;
		stack_tick(h.stack);
		ck_assert_uint_lt(++wakes, 1000000);
	}
	h.now = end;
	return wakes;
}

/* The next packet the stack has sent, or NULL. */
static inline const struct wire_packet *wire_next(void)
{
	return h.n_taken < h.n_sent ? &h.sent[h.n_taken++] : NULL;
}

/* Frees what was taken, for long tests. */
static inline void h_recycle(void)
{
	size_t i;

	for (i = 0; i < h.n_taken; i++)
		free(h.sent[i].data);
	memmove(h.sent, h.sent + h.n_taken, (h.n_sent - h.n_taken) * sizeof(*h.sent));
	h.n_sent -= h.n_taken;
	h.n_taken = 0;
}

static inline void wire_forget(void)
{
	h.n_taken = h.n_sent;
}

static inline void put_be16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v & 0xffff);
}

static inline unsigned int be16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static inline uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

/* The plain definition, to check the stack's against. */
static inline uint32_t sum16(uint32_t sum, const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += be16(p + i);
	if (len % 2)
		sum += (uint32_t)p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static inline uint32_t pseudo_sum(const uint8_t *packet, unsigned int proto, size_t len)
{
	uint32_t sum = (uint32_t)(proto + (len >> 16) + (len & 0xffff));

	return packet[0] >> 4 == 4 ? sum16(sum, packet + 12, 8) : sum16(sum, packet + 8, 32);
}

/* Puts an IP header in front of @payload (with a zero checksum at @check_at, or -1) and returns
 * the length of the packet in @packet. */
static inline size_t wire_ip(uint8_t *packet, const struct stack_addr *from,
			     const struct stack_addr *to, unsigned int proto,
			     const uint8_t *payload, size_t len, int check_at)
{
	size_t header = stack_addr_is_v4(from) ? 20 : 40;
	uint32_t sum;

	memset(packet, 0, header);
	if (header == 20) {
		packet[0] = 0x45;
		put_be16(packet + 2, (unsigned int)(20 + len));
		packet[8] = 60;
		packet[9] = (uint8_t)proto;
		memcpy(packet + 12, from->ip + 12, 4);
		memcpy(packet + 16, to->ip + 12, 4);
		put_be16(packet + 10, ~sum16(0, packet, 20) & 0xffff);
	} else {
		packet[0] = 0x60;
		put_be16(packet + 4, (unsigned int)len);
		packet[6] = (uint8_t)proto;
		packet[7] = 60;
		memcpy(packet + 8, from->ip, 16);
		memcpy(packet + 24, to->ip, 16);
	}
	memcpy(packet + header, payload, len);
	if (check_at >= 0) {
		sum = proto == IPPROTO_ICMP ? 0 : pseudo_sum(packet, proto, len);
		put_be16(packet + header + check_at, ~sum16(sum, payload, len) & 0xffff);
	}
	return header + len;
}

static inline void wire_input(const uint8_t *packet, size_t len)
{
	uint8_t *exact = malloc(len); /* so that a sanitizer sees an overread */

	memcpy(exact, packet, len);
	stack_input(h.stack, exact, len);
	free(exact);
	if (h.in_batch)
		return;
	stack_input_done(h.stack);
	h_settle();
}

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

/* A TCP segment as parsed from what the stack sent */
struct segment {
	struct stack_addr from, to;
	uint32_t seq, ack;
	unsigned int flags, window, mss, scale, len;
	bool sack_permitted;
	uint32_t sack[8];
	unsigned int n_sack;
	const uint8_t *data;
};

static inline void parse_options(const uint8_t *o, const uint8_t *end, struct segment *g)
{
	unsigned int i;

	while (o < end && *o != 0) {
		if (*o == 1) {
			o++;
			continue;
		}
		ck_assert(end - o >= 2 && o[1] >= 2 && o[1] <= end - o);
		if (*o == 2)
			g->mss = be16(o + 2);
		else if (*o == 3)
			g->scale = o[2];
		else if (*o == 4)
			g->sack_permitted = true;
		else if (*o == 5)
			for (i = 2; i < o[1]; i += 4)
				g->sack[g->n_sack++] = be32(o + i);
		o += o[1];
	}
}

/* Parses and verifies a packet that must be TCP. */
static inline struct segment parse_segment(const struct wire_packet *p)
{
	size_t header = p->data[0] >> 4 == 4 ? 20 : 40, offset;
	const uint8_t *t = p->data + header;
	struct segment g;

	memset(&g, 0, sizeof(g));
	ck_assert_uint_eq(p->data[header == 20 ? 9 : 6], IPPROTO_TCP);
	if (header == 20) {
		ck_assert_uint_eq(be16(p->data + 2), p->len);
		ck_assert_uint_eq(sum16(0, p->data, 20), 0xffff);
		memcpy(g.from.ip, stack_v4_prefix, 12);
		memcpy(g.to.ip, stack_v4_prefix, 12);
		memcpy(g.from.ip + 12, p->data + 12, 4);
		memcpy(g.to.ip + 12, p->data + 16, 4);
	} else {
		ck_assert_uint_eq(be16(p->data + 4) + 40u, p->len);
		memcpy(g.from.ip, p->data + 8, 16);
		memcpy(g.to.ip, p->data + 24, 16);
	}
	ck_assert_uint_eq(
		sum16(pseudo_sum(p->data, IPPROTO_TCP, p->len - header), t, p->len - header),
		0xffff);
	ck_assert_uint_le(p->len, h.mtu);
	g.from.port = (uint16_t)be16(t);
	g.to.port = (uint16_t)be16(t + 2);
	g.seq = be32(t + 4);
	g.ack = be32(t + 8);
	g.flags = t[13];
	g.window = be16(t + 14);
	offset = (size_t)(t[12] >> 4) * 4;
	parse_options(t + 20, t + offset, &g);
	g.data = t + offset;
	g.len = (unsigned int)(p->len - header - offset);
	return g;
}

/* The next packet sent; it must be there and be TCP. */
static inline struct segment wire_segment(void)
{
	const struct wire_packet *p = wire_next();

	ck_assert_msg(p != NULL, "nothing was sent");
	return parse_segment(p);
}

/**
 * struct peer - the other end of a TCP connection, by hand
 * @us, @them:	@us is the stack
 * @seq, @ack:	What the peer sends next, and expects next
 * @our_options: Of the stack's socket, for peer_accept_with(); NULL: the defaults
 */
struct peer {
	struct stack_addr us, them;
	uint32_t seq, ack;
	unsigned int window;
	const struct flow_options *our_options;
};

/* Writes such a segment's packet into @packet; returns its length. */
static inline size_t peer_packet(uint8_t *packet, const struct peer *p, unsigned int flags,
				 uint32_t seq, uint32_t ack, const uint8_t *options,
				 size_t options_len, const void *data, size_t len)
{
	static uint8_t segment[70000];
	size_t head = 20 + options_len;

	memset(segment, 0, head);
	put_be16(segment, p->them.port);
	put_be16(segment + 2, p->us.port);
	put_be32(segment + 4, seq);
	put_be32(segment + 8, ack);
	segment[12] = (uint8_t)(head / 4 << 4);
	segment[13] = (uint8_t)flags;
	put_be16(segment + 14, p->window);
	if (options_len)
		memcpy(segment + 20, options, options_len);
	if (len)
		memcpy(segment + head, data, len);
	return wire_ip(packet, &p->them, &p->us, IPPROTO_TCP, segment, head + len, 16);
}

static inline void peer_raw(const struct peer *p, unsigned int flags, uint32_t seq, uint32_t ack,
			    const uint8_t *options, size_t options_len, const void *data,
			    size_t len)
{
	static uint8_t packet[70100];

	wire_input(packet,
		   peer_packet(packet, p, flags, seq, ack, options, options_len, data, len));
}

/* A segment at the peer's present place; moves on by what it occupies. */
static inline void peer_send(struct peer *p, unsigned int flags, const void *data, size_t len)
{
	peer_raw(p, flags, p->seq, p->ack, NULL, 0, data, len);
	p->seq += (uint32_t)len + ((flags & (SYN | FIN)) != 0);
}

/* ---- what a connection's owner saw ---- */

struct seen {
	int connected, readable, writable, closed, err;
	bool fin;
	struct flow *flow;
	struct flow_listener *listener;
	uint8_t *data;
	size_t len, room, lost;
	bool keep; /* do not read */
};

static inline void seen_read(struct flow *f, struct seen *s)
{
	struct iovec iov[4];
	bool fin;
	int n, i;

	while ((n = flow_recv_iov(f, iov, 4, &fin)) > 0) {
		size_t len = 0;

		for (i = 0; i < n; i++) {
			/* doubled: sanitizers' realloc always copies */
			while (s->room < s->len + iov[i].iov_len)
				s->data = realloc(s->data, s->room = s->room ? 2 * s->room : 4096);
			memcpy(s->data + s->len, iov[i].iov_base, iov[i].iov_len);
			s->len += iov[i].iov_len;
			len += iov[i].iov_len;
		}
		flow_recv_consume(f, len);
	}
	s->fin = fin;
}

static inline void seen_connected(struct flow *f, void *arg)
{
	(void)f;
	((struct seen *)arg)->connected++;
}

static inline void seen_readable(struct flow *f, void *arg)
{
	struct seen *s = arg;

	s->readable++;
	if (!s->keep)
		seen_read(f, s);
}

static inline void seen_writable(struct flow *f, void *arg)
{
	(void)f;
	((struct seen *)arg)->writable++;
}

static inline void seen_closed(struct flow *f, void *arg, int err)
{
	struct seen *s = arg;

	s->closed++;
	s->err = err;
	s->lost = flow_unacked(f);
	seen_read(f, s);
	s->flow = NULL;
}

static const struct flow_ops seen_ops = {
	.connected = seen_connected,
	.readable = seen_readable,
	.writable = seen_writable,
	.closed = seen_closed,
};

static inline void seen_accept(struct flow_listener *l, struct flow *f, void *arg)
{
	struct seen *s = arg;

	s->listener = l;
	s->flow = f;
	flow_set_ops(f, &seen_ops, s);
}

static const struct flow_listener_ops seen_listener_ops = {.accept = seen_accept};

/* Writes as much of @data as there is room for; returns how much. */
static inline size_t flow_write(struct flow *f, const void *data, size_t len)
{
	struct iovec iov[2];
	size_t done = 0;

	while (done < len) {
		size_t room;

		if (flow_send_iov(f, iov) == 0)
			break;
		room = iov[0].iov_len < len - done ? iov[0].iov_len : len - done;
		memcpy(iov[0].iov_base, (const uint8_t *)data + done, room);
		done += room;
		flow_send_commit(f, room, done < len);
	}
	return done;
}

static const uint8_t usual_options[] = {2, 4, 5, 100, 1, 3, 3, 7, 1, 1, 4, 2}; /* MSS 1380 */

/* The stack connects to @p->them, which answers with @options; ends established. */
static inline struct flow *peer_accept_with(struct peer *p, struct seen *s, const uint8_t *options,
					    size_t len)
{
	struct segment g;
	int err;

	s->flow = flow_connect(h.stack, NULL, &p->them, p->our_options, &seen_ops, s, &err);
	ck_assert_ptr_nonnull(s->flow);
	g = wire_segment();
	ck_assert_uint_eq(g.flags, SYN);
	p->us = g.from;
	p->ack = g.seq + 1;
	peer_raw(p, SYN | ACK, p->seq, p->ack, options, len, NULL, 0);
	p->seq++;
	ck_assert_int_eq(s->connected, 1);
	g = wire_segment();
	ck_assert_uint_eq(g.flags, ACK);
	ck_assert_uint_eq(g.ack, p->seq);
	return s->flow;
}

static inline struct flow *peer_accept(struct peer *p, const char *them, uint16_t port,
				       struct seen *s)
{
	*p = (struct peer){.them = addr(them, port), .window = 0xffff, .seq = 5000};
	return peer_accept_with(p, s, usual_options, sizeof(usual_options));
}

#ifndef NO_SUITE
static inline int h_run(const char *name, void (*add)(TCase *))
{
	Suite *suite = suite_create(name);
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, h_setup, h_teardown);
	tcase_set_timeout(tc, 180);
	add(tc);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
#endif

#endif
