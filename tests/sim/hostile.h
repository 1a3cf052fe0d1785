/* SPDX-License-Identifier: MIT */
/*
 * hostile.h - a stack whose peers send whatever they like, act by act
 *
 * Six connections at a time, opened from either end. Their peers answer as TCP does, or with
 * numbers, windows, options and lengths around the right ones, or with any; in fragments that are
 * whole, overlap or are too few; with a bit turned over; with ICMP errors about what has left and
 * about what never has. Others forge segments of theirs. Meanwhile the owners write, read or do not,
 * finish, close and abort, also from within callbacks.
 *
 * What must hold: the process lives (lwIP's assertions, sanitizers); what is read is what the peer
 * sent at that place of the stream; what leaves is well-formed (parse_segment), no longer than the
 * MTU, and what the owner wrote at that place; no more ACKs and RSTs leave than there are packets
 * and calls that may cause one; memory has a bound, and all of it comes back; once peers are silent
 * and owners have closed, every connection ends, and says so once.
 *
 * Who includes it decides by roll(), once_in() and roll_all() what happens (by_seed.h's, or a
 * fuzzer's bytes), and which act comes next.
 */
#ifndef TESTS_SIM_HOSTILE_H
#define TESTS_SIM_HOSTILE_H

#define WIRE_MAX (1 << 16)
#include "tests/sim/hostile_own.h"

enum {
	TARGETS = 6,
	FAR_PORT = 1000,  /* the peers' first */
	FAR_PORTS = 3,	  /* of a peer, one at a time */
	SYNS = 64,	  /* kept of those that a target has sent */
	SILENCE_S = 7200, /* ends what waits for a peer */
	OBEY_ROUNDS_MAX = 40,
	NEAR_BYTES = 1 << 25,	     /* more than can be in flight */
	WINDOW_MAX_BYTES = 1 << 30,  /* RFC 7323 2.3 */
	MEMORY_MAX_BYTES = 96 << 20, /* limits.h's two budgets, and blocks around them */
};

/**
 * struct target - a connection, and the peer that attacks it
 * @syns:	Numbers of the SYNs it has sent, one of which the stream began with: those that fit
 *		what has been read are set in @fitting
 * @top:	The end of what has left to it; unlike @p.ack, other connections do not change it
 * @read:	Bytes so far
 * @idle:	Its owner does not read
 * @isn:	Where what we send began: to PORT or not, in IPv4 or not, by far port
 * @wrote:	Bytes so far; @shut: and no more
 */
struct target {
	struct peer p;
	struct flow *flow;
	uint32_t syns[SYNS];
	unsigned int n_syns;
	uint64_t fitting;
	uint32_t top, read, isn[2][2][FAR_PORTS];
	uint64_t wrote;
	bool used, idle, shut;
	unsigned int closed;
};

static struct target targets[TARGETS];
static uint64_t given, answers; /* packets in, ACKs and RSTs out */
static struct wire_packet last; /* that has left */
static struct flow_listener *listener;

/* ---- owners ---- */

/* What every peer sends at @seq */
static uint8_t byte_at(uint32_t seq)
{
	return (uint8_t)(seq * 2654435761u >> 24);
}

static bool fits(uint32_t seq, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] != byte_at(seq + (uint32_t)i))
			return false;
	}
	return true;
}

static void judge(struct target *t, const uint8_t *data, size_t len)
{
	for (unsigned int i = 0; i < SYNS; i++) {
		if ((t->fitting & 1ull << i) && !fits(t->syns[i] + 1 + t->read, data, len))
			t->fitting &= ~(1ull << i);
	}
	ck_assert_msg(t->fitting, "%zu bytes behind %u were never sent there", len, t->read);
	t->read += (uint32_t)len;
}

static void read_all(struct flow *f, struct target *t)
{
	struct iovec iov[4];
	bool fin;
	int n;

	while ((n = flow_recv_iov(f, iov, 4, &fin)) > 0) {
		size_t len = 0;

		for (int i = 0; i < n; i++) {
			judge(t, iov[i].iov_base, iov[i].iov_len);
			len += iov[i].iov_len;
		}
		called++;
		flow_recv_consume(f, len);
	}
}

static void owner_writes(struct target *t)
{
	const uint64_t start = t->wrote;
	const size_t len = roll(once_in(4) ? WRITE_MAX : 3000);

	t->wrote += len; /* it leaves at once */
	t->wrote = start + flow_write(t->flow, written(start), len);
}

static void owner_ends(struct target *t)
{
	static void (*const ways[])(struct flow *) = {flow_orphan, flow_shutdown, flow_close};
	uint32_t way = roll(3);

	t->shut |= way > 0;
	ways[way](t->flow);
}

static void owner_aborts(struct target *t)
{
	struct flow *f = t->flow;

	t->flow = NULL;
	if (f)
		flow_abort(f);
}

/* From within a callback: whatever is allowed there */
static void owner_turns(struct target *t)
{
	called++;
	if (once_in(4))
		owner_writes(t);
	else if (once_in(60))
		owner_ends(t);
	else if (once_in(60))
		owner_aborts(t);
}

static void on_connected(struct flow *f, void *arg)
{
	if (((struct target *)arg)->flow == f)
		owner_turns(arg);
}

static void on_readable(struct flow *f, void *arg)
{
	struct target *t = arg;

	if (!t->idle)
		read_all(f, t);
	owner_turns(t);
}

static void on_closed(struct flow *f, void *arg, int err)
{
	struct target *t = arg;

	(void)err;
	read_all(f, t);
	t->closed++;
	t->flow = NULL;
}

static const struct flow_ops ops = {.connected = on_connected,
				    .readable = on_readable,
				    .writable = on_connected,
				    .closed = on_closed};

static void adopt(struct target *t, struct flow *f)
{
	t->flow = f;
	t->fitting = t->n_syns < SYNS ? (1ull << t->n_syns) - 1 : UINT64_MAX;
	t->read = t->closed = 0;
	t->wrote = 0;
	t->shut = false;
}

static void on_accept(struct flow_listener *l, struct flow *f, void *arg)
{
	struct stack_addr remote;
	struct target *t;

	(void)l;
	(void)arg;
	flow_addrs(f, NULL, &remote);
	if (stack_is_local(h.stack, &remote)) {
		own_accept(f);
		return;
	}
	t = &targets[(remote.port - FAR_PORT) % TARGETS];
	if (t->used && !t->flow && stack_addr_equal(&t->p.them, &remote)) {
		adopt(t, f);
		flow_set_ops(f, &ops, t);
	} else {
		called++;
		flow_abort(f);
	}
}

static const struct flow_listener_ops listener_ops = {.accept = on_accept};

/* ---- the wire ---- */

/* Whether the connection that has an owner is at our address @us, if any has */
static bool is_at(const struct target *t, const struct stack_addr *us)
{
	struct stack_addr local;

	if (!t->flow)
		return true;
	flow_addrs(t->flow, &local, NULL);
	return stack_addr_equal(&local, us);
}

/* Somebody who has none of the connections */
#define STRANGER4 "10.9.9.8"
#define STRANGER6 "fd00:9::8"

static bool is_stranger(const struct stack_addr *a)
{
	struct stack_addr stranger = addr(stack_addr_is_v4(a) ? STRANGER4 : STRANGER6, a->port);

	return stack_addr_equal(a, &stranger);
}

/* What leaves is what its owner has ordered, of the connection that has one now. */
static void judge_leaving(const struct wire_packet *w)
{
	struct segment g = parse_segment(w);
	struct target *t = &targets[(g.to.port - FAR_PORT) % TARGETS];
	uint32_t *isn = &t->isn[g.from.port == PORT][stack_addr_is_v4(&g.to)]
			       [(g.to.port - FAR_PORT) / TARGETS % FAR_PORTS],
		 at;
	bool theirs = stack_addr_equal(&t->p.them, &g.to);

	if ((g.flags & RST) || is_stranger(&g.to))
		return;
	if (g.flags & SYN)
		*isn = g.seq;
	if (g.len == 0 && !(g.flags & FIN))
		return;
	ck_assert_msg(theirs && t->flow && is_at(t, &g.from),
		      "data or a FIN of a connection that nobody has");
	at = g.seq - *isn - 1;
	ck_assert_msg(at + g.len <= t->wrote, "%u bytes at %u, of %ju", g.len, at,
		      (uintmax_t)t->wrote);
	ck_assert_uint_le(g.len, WRITE_MAX);
	ck_assert_msg(memcmp(g.data, written(at), g.len) == 0, "other bytes than written");
	ck_assert(!(g.flags & FIN) || (t->shut && at + g.len == t->wrote));
}

/* The protocol of a packet, of which @w may be a fragment */
static unsigned int protocol(const struct wire_packet *w)
{
	if (w->data[0] >> 4 == 4)
		return w->data[9];
	return w->data[6] == PROTO_FRAGMENT ? w->data[IP6_HEADER_BYTES] : w->data[6];
}

static void judge_datagram(const struct wire_packet *w); /* hostile_datagrams.h */

static void leaves(const struct wire_packet *w)
{
	if (protocol(w) == IPPROTO_TCP)
		judge_leaving(w);
	else
		judge_datagram(w);
}

static void notice(const struct segment *g)
{
	struct target *t = &targets[(g->to.port - FAR_PORT) % TARGETS];
	uint32_t end = g->seq + g->len + ((g->flags & (SYN | FIN)) != 0);

	answers += g->len == 0 && !(g->flags & (SYN | FIN));
	if (!t->used || (g->flags & RST) || !stack_addr_equal(&t->p.them, &g->to))
		return;
	t->p.us = g->from;
	if (is_at(t, &g->from) && ((g->flags & SYN) || end - t->top < NEAR_BYTES))
		t->top = end;
	if ((int32_t)(end - t->p.ack) > 0 || (g->flags & SYN))
		t->p.ack = end;
	if (g->flags & ACK)
		t->p.seq = g->ack;
}

/* Takes what has left. */
static void absorb(void)
{
	while (h.n_taken < h.n_sent) {
		const struct wire_packet *w = wire_next();
		struct segment g;

		free(last.data);
		last.data = malloc(w->len);
		memcpy(last.data, w->data, last.len = w->len);
		if (protocol(w) != IPPROTO_TCP)
			continue;
		g = parse_segment(w);
		notice(&g);
	}
	h_recycle();
	ck_assert_msg(answers <= given + called, "%ju answers to %ju packets and %ju calls",
		      (uintmax_t)answers, (uintmax_t)given, (uintmax_t)called);
}

static void give(const uint8_t *packet, size_t len)
{
	given++;
	wire_input(packet, len);
}

/* Bytes [@from, @to) of the payload of @packet as a fragment */
static void give_fragment(const uint8_t *packet, size_t from, size_t to, bool more, uint32_t id)
{
	static uint8_t out[70100];
	size_t head = packet[0] >> 4 == 4 ? 20 : 40, at = head == 20 ? 20 : 48;

	memcpy(out, packet, head);
	if (head == 20) {
		put_be16(out + 2, (unsigned int)(at + to - from));
		put_be16(out + 4, id & 0xffff);
		put_be16(out + 6, (unsigned int)(from / 8) | (more ? 0x2000 : 0));
		put_be16(out + 10, 0);
		put_be16(out + 10, ~sum16(0, out, 20) & 0xffff);
	} else {
		put_be16(out + 4, (unsigned int)(8 + to - from));
		out[40] = packet[6];
		out[41] = 0;
		put_be16(out + 42, (unsigned int)from | more);
		put_be32(out + 44, id);
		out[6] = 44;
	}
	memcpy(out + at, packet + head + from, to - from);
	give(out, at + to - from);
}

static void give_in_fragments(const uint8_t *packet, size_t len)
{
	size_t head = packet[0] >> 4 == 4 ? 20 : 40, size = len - head, from = 0, to;
	uint32_t id = roll(1000);

	for (; from < size; from = to) {
		to = from + 8 * (1 + roll(once_in(4) ? 4 : 200));
		if (to > size)
			to = size;
		if (once_in(20) && from >= 8) /* overlaps */
			from -= 8;
		if (!once_in(20)) /* lost */
			give_fragment(packet, from, to, to < size, id);
	}
}

/* A header that says little between IPv6's and the rest: routers' or destination's options, a
 * route with nothing left of it, or what is none (ingress.c) */
static size_t extend(uint8_t *packet, size_t len)
{
	static const uint8_t types[] = {0, 43, 60, 51};
	uint8_t *at = packet + IP6_HEADER_BYTES;

	memmove(at + 8, at, len - IP6_HEADER_BYTES);
	memset(at, 0, 8);
	at[0] = packet[6];
	at[1] = once_in(8) ? (uint8_t)roll(256) : 0;
	at[3] = once_in(8) ? 1 : 0;
	packet[6] = types[roll(sizeof(types))];
	put_be16(packet + 4, (unsigned int)(len + 8 - IP6_HEADER_BYTES));
	return len + 8;
}

/* As it is, mostly; there is room for more behind it */
static void give_somehow(uint8_t *packet, size_t len)
{
	while (packet[0] >> 4 == 6 && once_in(40) && len < WRITE_MAX)
		len = extend(packet, len);
	if (once_in(40))
		give_in_fragments(packet, len);
	else if (once_in(40))
		give(packet, roll((uint32_t)len + 1));
	else if (once_in(40))
		packet[roll((uint32_t)len)] ^= (uint8_t)(1 << roll(8)), give(packet, len);
	else
		give(packet, len);
}

static uint8_t *bytes_at(uint32_t seq, size_t len, uint8_t lie)
{
	static uint8_t data[70000];

	for (size_t i = 0; i < len; i++)
		data[i] = byte_at(seq + (uint32_t)i) ^ lie;
	return data;
}

static void send_segment(struct target *t, unsigned int flags, uint32_t seq, uint32_t ack,
			 const uint8_t *options, size_t options_len, size_t len)
{
	const uint8_t *data = bytes_at(seq + ((flags & SYN) != 0), len, 0);
	static uint8_t packet[70100];

	if (flags & SYN) {
		t->syns[t->n_syns % SYNS] = seq;
		if (t->flow)
			t->fitting |= 1ull << t->n_syns % SYNS;
		t->n_syns++;
	}
	give_somehow(packet,
		     peer_packet(packet, &t->p, flags, seq, ack, options, options_len, data, len));
}

/* ---- attacks ---- */

static uint32_t around(uint32_t n)
{
	switch (roll(8)) {
	case 0:
		return n - roll(3000);
	case 1:
		return n + roll(3000);
	case 2:
		return n + roll(600000);
	case 3:
		return n - roll(600000);
	case 4:
		return n + 0x7fffffff - roll(3);
	case 5:
		return roll_all();
	case 6:
		return n + 1;
	default:
		return n;
	}
}

static unsigned int some_window(void)
{
	return once_in(3) ? roll(10) : roll(once_in(3) ? 3000 : 0x10000);
}

static size_t some_options(const struct target *t, uint8_t o[40])
{
	unsigned int blocks = 1 + roll(4);
	size_t len = 4 * (1 + (size_t)roll(9)), i;

	if (once_in(3)) { /* SACK */
		o[0] = o[1] = 1;
		o[2] = 5;
		o[3] = (uint8_t)(2 + 8 * blocks);
		for (i = 0; i < 2 * blocks; i++)
			put_be32(o + 4 + 4 * i, around(t->p.ack - roll(200000)));
		return 4 + 8 * blocks;
	}
	if (!once_in(6))
		return 0;
	for (i = 0; i < len; i++)
		o[i] = (uint8_t)roll(once_in(2) ? 9 : 256);
	return len;
}

static unsigned int some_flags(void)
{
	unsigned int flags = once_in(12) ? roll(256) : ACK;

	flags |= once_in(15) ? FIN : 0;
	flags |= once_in(25) ? SYN : 0;
	flags |= once_in(60) ? RST : 0;
	return flags;
}

static void attack(struct target *t)
{
	uint32_t seq = t->p.seq, ack = t->p.ack;
	uint8_t options[40];
	size_t n = some_options(t, options), len = 0;

	if (once_in(6))
		t->p.window = some_window();
	if (once_in(2))
		len = roll(once_in(20) ? 65000 : 1400);
	if (once_in(4))
		seq = around(seq);
	else if (once_in(3))
		seq += 1400 * roll(30);
	if (once_in(4))
		ack = around(ack);
	else if (once_in(3))
		ack -= roll(100000);
	send_segment(t, some_flags(), seq, ack, options, n, len);
}

/* Somebody else, who has guessed what comes next but not what is acknowledged: other bytes, of
 * which none may be taken (RFC 5961 5), not even with the peer's that follow. */
static void forge(struct target *t)
{
	static uint8_t packet[70100];
	uint32_t off = WINDOW_MAX_BYTES + NEAR_BYTES + roll(1 << 29), seq = t->p.seq;
	size_t len = 1 + roll(1400);

	if (!is_at(t, &t->p.us))
		return;
	if (t->p.ack - t->top + NEAR_BYTES > 2 * NEAR_BYTES) /* one is another connection's */
		return;
	for (unsigned int n = roll(6); n > 0; n--, seq += 100)
		send_segment(t, ACK, seq, t->p.ack, NULL, 0, 100);
	give(packet, peer_packet(packet, &t->p, ACK, seq, t->top + (once_in(2) ? off : -off), NULL,
				 0, bytes_at(seq, len, 0xff), len));
	if (once_in(2))
		send_segment(t, ACK, seq + (uint32_t)len, t->p.ack, NULL, 0, 1 + roll(1400));
}

/* What has left, or looks as if it had */
static size_t quote(const struct target *t, uint8_t *out)
{
	uint8_t tcp[40] = {0};
	size_t len = last.len < 100 ? last.len : 100;

	if (last.data && once_in(3)) {
		memcpy(out, last.data, len);
		return len;
	}
	put_be16(tcp, t->p.us.port);
	put_be16(tcp + 2, t->p.them.port);
	put_be32(tcp + 4, around(t->p.ack - roll(3000)));
	len = wire_ip(out, &t->p.us, &t->p.them, once_in(10) ? roll(256) : IPPROTO_TCP, tcp,
		      20 + roll(20), -1);
	if (once_in(5))
		out[roll((uint32_t)len)] = (uint8_t)roll(256);
	return len;
}

static void send_error(const struct target *t)
{
	uint8_t icmp[8 + 120] = {0}, packet[400];
	size_t len = quote(t, icmp + 8);
	bool v4 = icmp[8] >> 4 == 4;
	struct stack_addr router = addr(v4 ? "10.1.1.1" : "fd00:1::1", 0), us = {0};

	if (v4)
		stack_ip_set_v4(us.ip, icmp + 8 + 12);
	else
		memcpy(us.ip, icmp + 8 + 8, 16);
	if (once_in(8))
		len = roll((uint32_t)len + 1);
	icmp[0] = (uint8_t)(once_in(4) ? roll(256) : v4 ? 3 : 1 + roll(4));
	icmp[1] = (uint8_t)(once_in(2) ? roll(16) : v4 ? 4 : 0);
	put_be32(icmp + 4, once_in(4) ? roll_all() : roll(2000));
	give_somehow(packet,
		     wire_ip(packet, &router, &us, v4 ? (unsigned int)IPPROTO_ICMP : IPPROTO_ICMPV6,
			     icmp, 8 + len, 2));
}

/* ---- connections ---- */

static size_t opening_options(uint8_t o[12], unsigned int mss, unsigned int scale)
{
	static const uint8_t like[12] = {2, 4, 0, 0, 1, 3, 3, 0, 1, 1, 4, 2};

	memcpy(o, like, sizeof(like));
	put_be16(o + 2, mss);
	o[7] = (uint8_t)scale;
	return once_in(2) ? sizeof(like) : 8;
}

static struct flow_options some_flow_options(void)
{
	return (struct flow_options){.nodelay = once_in(2),
				     .keepalive = once_in(2),
				     .keep_idle_s = roll(100),
				     .keep_interval_s = roll(20),
				     .keep_count = roll(5),
				     .user_timeout_ms = once_in(2) ? roll(60000) : 0,
				     .tos = (uint8_t)roll(256),
				     .ttl = (uint8_t)roll(256),
				     .congestion = once_in(2) ? FLOW_CUBIC : FLOW_BBR,
				     .owner = roll(3)};
}

/* We connect, and mostly they answer. */
static void open_to(struct target *t)
{
	struct flow_options options = some_flow_options();
	uint8_t o[12];
	size_t n;
	int err;

	adopt(t, flow_connect(h.stack, NULL, &t->p.them, &options, &ops, t, &err));
	called++;
	if (!t->flow) { /* the port waits */
		ck_assert_int_eq(err, EADDRNOTAVAIL);
		t->used = false;
		return;
	}
	absorb();
	if (once_in(8))
		return;
	n = opening_options(o, once_in(2) ? roll(0x10000) : 1380, roll(20));
	send_segment(t, SYN | ACK, roll_all(), t->p.ack, o, n, 0);
}

/* They connect, and mostly go on. */
static void open_from(struct target *t)
{
	uint32_t seq = roll_all();
	uint8_t o[12];
	size_t n = opening_options(o, 1380, 7);

	send_segment(t, SYN, seq, 0, o, n, 0);
	if (!h.in_batch)
		absorb();
	if (!once_in(6))
		send_segment(t, ACK, seq + 1, t->p.ack, NULL, 0, 0);
}

static void begin(struct target *t)
{
	size_t i = (size_t)(t - targets);
	bool v6 = h.mtu >= 1280 && once_in(2);

	called++;
	absorb();
	owner_aborts(t);
	t->used = true;
	t->idle = once_in(3);
	t->p = (struct peer){.us = addr(v6 ? US6 : US4, PORT),
			     .them = addr(v6 ? PEER6 : PEER4,
					  (uint16_t)(FAR_PORT + i + TARGETS * roll(FAR_PORTS))),
			     .window = some_window()};
	if (once_in(2))
		open_to(t);
	else
		open_from(t);
}

static void owner_acts(struct target *t)
{
	struct flow_options options;
	struct flow_info info;

	called++;
	if (once_in(4)) {
		read_all(t->flow, t);
	} else if (once_in(20)) {
		owner_ends(t);
	} else if (once_in(20)) {
		options = some_flow_options();
		flow_set_options(t->flow, &options);
	} else {
		owner_writes(t);
		flow_info(t->flow, &info);
		ck_assert_uint_le(info.acked, t->wrote + t->shut); /* the FIN */
	}
}

static void end_batch(void)
{
	h.in_batch = false;
	stack_input_done(h.stack);
	h_settle();
}

/* The peer goes on as TCP does, for a while, on a path that loses something or not: the owner's
 * bytes leave and are acknowledged. */
static void obey(struct target *t)
{
	unsigned int rounds = roll(OBEY_ROUNDS_MAX), ms = 1 + roll(100);
	uint32_t acked = t->p.ack;
	bool lossy = once_in(2);
	uint8_t sack[12] = {1, 1, 5, 10};

	end_batch();
	t->p.window = 0xffff;
	for (; rounds > 0 && t->flow && is_at(t, &t->p.us); rounds--) {
		called++;
		owner_writes(t);
		h_pass_ms(ms);
		called += ms; /* windows that timers open */
		absorb();
		if (lossy && once_in(4) && t->p.ack - acked > 3000) {
			put_be32(sack + 4, t->p.ack - 1400);
			put_be32(sack + 8, t->p.ack);
			send_segment(t, ACK, t->p.seq, acked, sack, sizeof(sack), 0);
		} else {
			acked = t->p.ack;
			send_segment(t, ACK, t->p.seq, acked, NULL, 0, roll(3) * 500);
		}
		absorb();
	}
}

static void listen_on_port(void)
{
	struct stack_addr any = {.port = PORT};
	int err;

	listener = flow_listen(h.stack, &any, false, 8, &listener_ops, NULL, &err);
	ck_assert_ptr_nonnull(listener);
}

static bool every_path(void *ctx, const struct stack_addr *remote)
{
	(void)ctx, (void)remote;
	return true;
}

/* What the embedder does to a stack now and then */
static void embedder_acts(void)
{
	switch (roll(4)) {
	case 0:
		stack_trim(h.stack);
		break;
	case 1:
		called += TARGETS;
		stack_path_restored(h.stack, every_path, NULL);
		break;
	case 2:
		called += TARGETS; /* half-open connections are reset */
		flow_listener_close(listener);
		listen_on_port();
		break;
	default:
		h.refuses = !h.refuses && once_in(2);
	}
}

/* ---- from the beginning to the end ---- */

static void begin_all(uint16_t mtu, uint64_t random)
{
	memset(targets, 0, sizeof(targets));
	memset(owns, 0, sizeof(owns));
	given = called = answers = 0;
	last = (struct wire_packet){0};
	h_setup_mtu(mtu, random);
	h.leaves = leaves;
	listen_on_port();
}

/* What the stack counts is there no more. */
static void all_is_given_back(void)
{
	struct stack_stats stats;

	stack_tick(h.stack);
	stack_trim(h.stack);
	stack_stats(h.stack, &stats);
	ck_assert_uint_eq(stats.tcp_flows, 0);
	ck_assert_uint_eq(stack_next_deadline(h.stack), UINT64_MAX);
	ck_assert_uint_eq(h.stack->n_flows, 0);
	ck_assert_ptr_null(h.stack->flows);
	ck_assert_uint_eq(h.stack->rx_bytes, 0);
	ck_assert_uint_eq(h.stack->tx_bytes, 0);
	ck_assert_uint_eq(h.stack->n_written, 0);
	ck_assert_uint_eq(h.stack->n_fragment_sets, 0);
	ck_assert_uint_eq(h.stack->loop_len, 0);
	for (unsigned int port = 0; port <= UINT16_MAX; port++)
		ck_assert_uint_eq(h.stack->flows_at[port], 0);
}

/* Everybody is silent, owners close. */
static void end_all(void)
{
	h.refuses = false;
	end_batch();
	for (struct target *t = targets; t < targets + TARGETS; t++) {
		t->shut = true;
		if (t->flow)
			flow_close(t->flow);
	}
	for (struct own *o = owns; o < owns + OWN_MAX; o++) {
		if (o->flow)
			flow_close(o->flow);
	}
	for (unsigned int s = 0; s < SILENCE_S; s += 60) {
		called += 60; /* windows that timers open, keepalives */
		h_pass_ms(60000);
		absorb();
	}
	for (struct target *t = targets; t < targets + TARGETS; t++)
		ck_assert_msg(!t->flow && t->closed <= 1,
			      "a connection is there after two hours, or ended twice");
	for (struct own *o = owns; o < owns + OWN_MAX; o++)
		ck_assert_ptr_null(o->flow);
	all_is_given_back();
	h_teardown();
	free(last.data);
}

#endif
