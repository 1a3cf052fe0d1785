/* SPDX-License-Identifier: MIT */
/*
 * sim_hostile.c - a stack whose peers send whatever they like, by seed
 *
 * usage: sim_hostile [SEEDS [FIRST]] (by_seed.h)
 *
 * Six connections at a time, opened from either end. Their peers answer as TCP does, or with
 * numbers, windows, options and lengths around the right ones, or with any; in fragments that are
 * whole, overlap or are too few; with a bit turned over; with ICMP errors about what has left and
 * about what never has. Others forge segments of theirs. Meanwhile the owners write, read or do not,
 * finish, close and abort.
 *
 * What must hold: the process lives (lwIP's assertions, sanitizers); what is read is what the peer
 * sent at that place of the stream; what leaves is well-formed (parse_segment); no more ACKs and
 * RSTs leave than there are packets and calls that may cause one; memory has a bound, and all of it
 * comes back; once peers are silent and owners have closed, every connection ends, and says so
 * once.
 */
#define WIRE_MAX (1 << 16)
#include "tests/unit/stack_harness.h"
#include "tests/sim/by_seed.h"

enum {
	SEEDS = 40,
	STEPS = 4000,
	TARGETS = 6,
	PORT = 80,	  /* where we listen */
	FAR_PORT = 1000,  /* the peers' first */
	SYNS = 64,	  /* kept of those that a target has sent */
	SILENCE_S = 7200, /* ends what waits for a peer */
	WRITE_MAX = 65000,
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
 */
struct target {
	struct peer p;
	struct flow *flow;
	uint32_t syns[SYNS];
	unsigned int n_syns;
	uint64_t fitting;
	uint32_t top, read;
	bool used, idle;
	unsigned int closed;
};

static struct target targets[TARGETS];
static uint8_t written[WRITE_MAX];
static uint64_t given, called, answers; /* packets in, calls of owners, ACKs and RSTs out */
static struct wire_packet last;		/* that has left */

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

static void on_readable(struct flow *f, void *arg)
{
	struct target *t = arg;

	if (!t->idle)
		read_all(f, t);
}

static void on_closed(struct flow *f, void *arg, int err)
{
	struct target *t = arg;

	(void)err;
	read_all(f, t);
	t->closed++;
	t->flow = NULL;
}

static const struct flow_ops ops = {.readable = on_readable, .closed = on_closed};

static void adopt(struct target *t, struct flow *f)
{
	t->flow = f;
	t->fitting = t->n_syns < SYNS ? (1ull << t->n_syns) - 1 : UINT64_MAX;
	t->read = t->closed = 0;
}

static void on_accept(struct flow_listener *l, struct flow *f, void *arg)
{
	struct stack_addr remote;
	struct target *t;

	(void)l;
	(void)arg;
	flow_addrs(f, NULL, &remote);
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

/* Takes what has left, and checks it. */
static void absorb(void)
{
	while (h.n_taken < h.n_sent) {
		const struct wire_packet *w = wire_next();
		bool v4 = w->data[0] >> 4 == 4;
		struct segment g;

		if (w->data[v4 ? 9 : 6] != IPPROTO_TCP)
			continue;
		g = parse_segment(w);
		notice(&g);
		free(last.data);
		last.data = malloc(w->len);
		memcpy(last.data, w->data, last.len = w->len);
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

/* As it is, mostly */
static void give_somehow(uint8_t *packet, size_t len)
{
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
	return once_in(8) ? roll((uint32_t)len + 1) : len;
}

static void send_error(const struct target *t)
{
	bool v4 = stack_addr_is_v4(&t->p.us);
	struct stack_addr router = addr(v4 ? "10.1.1.1" : "fd00:1::1", 0);
	uint8_t icmp[8 + 120] = {0}, packet[200];
	size_t len = quote(t, icmp + 8);

	icmp[0] = (uint8_t)(once_in(4) ? roll(256) : v4 ? 3 : 1 + roll(4));
	icmp[1] = (uint8_t)(once_in(2) ? roll(16) : v4 ? 4 : 0);
	put_be32(icmp + 4, once_in(4) ? roll_all() : roll(2000));
	give_somehow(packet,
		     wire_ip(packet, &router, &t->p.us,
			     v4 ? (unsigned int)IPPROTO_ICMP : IPPROTO_ICMPV6, icmp, 8 + len, 2));
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

/* We connect, and mostly they answer. */
static void open_to(struct target *t)
{
	struct flow_options options = {.congestion = once_in(2) ? FLOW_CUBIC : FLOW_BBR,
				       .nodelay = once_in(2)};
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
	if (t->flow)
		flow_abort(t->flow);
	t->flow = NULL;
	t->used = true;
	t->idle = once_in(3);
	t->p = (struct peer){
		.us = addr(v6 ? US6 : US4, PORT),
		.them = addr(v6 ? PEER6 : PEER4, (uint16_t)(FAR_PORT + i + TARGETS * roll(3))),
		.window = some_window()};
	if (once_in(2))
		open_to(t);
	else
		open_from(t);
}

static void owner_acts(struct target *t)
{
	called++;
	if (once_in(4))
		read_all(t->flow, t);
	else if (once_in(20))
		flow_shutdown(t->flow);
	else if (once_in(40))
		flow_close(t->flow);
	else
		flow_write(t->flow, written, roll(WRITE_MAX));
}

static void end_batch(void)
{
	h.in_batch = false;
	stack_input_done(h.stack);
	h_settle();
}

static void step(void)
{
	struct target *t = &targets[roll(TARGETS)];

	if (!t->used || once_in(150) || (!t->flow && once_in(10)))
		begin(t);
	else if (t->flow && once_in(8))
		owner_acts(t);
	else if (once_in(16))
		h_pass_ms(1u << roll(once_in(10) ? 16 : 9));
	else if (once_in(16))
		send_error(t);
	else if (once_in(16))
		forge(t);
	else if (!h.in_batch && once_in(16))
		h.in_batch = true;
	else if (h.in_batch && once_in(8))
		end_batch();
	else
		attack(t);
	if (!h.in_batch)
		absorb();
}

/* ---- a seed ---- */

/* Everybody is silent, owners close. */
static void end_all(void)
{
	struct stack_stats stats;

	end_batch();
	for (struct target *t = targets; t < targets + TARGETS; t++) {
		if (t->flow)
			flow_close(t->flow);
	}
	for (unsigned int s = 0; s < SILENCE_S; s += 60) {
		called += 60; /* windows that timers open, keepalives */
		h_pass_ms(60000);
		absorb();
	}
	for (struct target *t = targets; t < targets + TARGETS; t++)
		ck_assert_msg(!t->flow && t->closed <= 1,
			      "a connection is there after two hours, or ended twice");
	stack_stats(h.stack, &stats);
	ck_assert_uint_eq(stats.tcp_flows, 0);
	ck_assert_uint_eq(stack_next_deadline(h.stack), UINT64_MAX);
}

static void run(unsigned int seed)
{
	static const uint16_t mtus[] = {1420, 1420, 9000, 576};
	struct stack_addr any = {.port = PORT};
	size_t before;
	int err;

	(void)seed;
	h_setup_mtu(WIRE_MTU, 1);
	h_teardown();
	before = memory_used();
	h_setup_mtu(mtus[roll(4)], draw());
	ck_assert_ptr_nonnull(flow_listen(h.stack, &any, false, 8, &listener_ops, NULL, &err));
	for (int i = 0; i < STEPS; i++) {
		step();
		if (i % 100 == 0)
			ck_assert_uint_lt(memory_used(), before + MEMORY_MAX_BYTES);
	}
	end_all();
	h_teardown();
	free(last.data);
	ck_assert_uint_eq(memory_used(), before);
}

int main(int argc, char **argv)
{
	return by_seed_main(argc, argv, SEEDS, run);
}
