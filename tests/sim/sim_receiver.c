/* SPDX-License-Identifier: MIT */
/*
 * sim_receiver.c - what our sender does for a receiver that obeys TCP and is no easier than that,
 * by seed
 *
 * usage: sim_receiver [SEEDS [FIRST]] (by_seed.h)
 *
 * One connection, in IPv4 or IPv6, through an MTU and to an MSS and a window scale that the seed
 * chooses, as it does how the path and the receiver are: segments are lost, or arrive in part;
 * acknowledgements come late, with SACK blocks that are true or, from some receivers, not, with
 * windows that close and open, with data; others repeat old ones, or acknowledge what was never
 * sent; the path's MTU shrinks; sequence numbers pass 2^32. The owner writes a little or much, and
 * finishes somewhere.
 *
 * What must hold for each packet: its bytes are those that were written there; it ends within the
 * largest window that was told, and is no longer than the MSS; a FIN is at the end. And in the end,
 * when nothing more is lost, everything arrives and is known to have, what came back was read, and
 * all memory is free.
 */
#define WIRE_MAX (1 << 16)
#include "tests/unit/stack_harness.h"
#include "tests/sim/by_seed.h"

enum {
	SEEDS = 40,
	STREAM = 3000000,
	CHUNK_MAX = 66000,
	WARM_ROUNDS = 40,
	ROUNDS_MAX = 4000, /* of trouble */
	CALM_ROUNDS_MAX = 40000,
	LOCAL_PORT = 40000,
	US_NS = 1000,
	PERMILLE = 1000,
};

/**
 * struct traits - what the seed has chosen
 * @rtt_us:	How long a round takes, mostly
 * @lost, @cut:	Segments in a thousand that are lost, that arrive in part
 * @wrong_acks:	Some acknowledge what is old or was never sent
 * @lies:	Some SACK blocks are of what did not arrive
 * @small_writes, @shrinks: A little is written at times; the path's MTU shrinks
 * @window, @low: What is told of the window, before scaling; and how much at bad times, 0: none
 * @goal:	The trouble ends when so much has arrived; @shut_at: the stream, if that is less
 */
struct traits {
	uint32_t rtt_us, lost, cut, window, low;
	bool wrong_acks, lies, small_writes, shrinks;
	size_t goal, shut_at;
};

static struct {
	struct traits traits;
	struct peer p;
	struct flow *flow;
	size_t written, in_order, top; /* of the stream: written, arrived, left */
	uint64_t window_end;	       /* the furthest that was told */
	uint32_t base;		       /* number of the stream's first byte */
	unsigned int mss, scale, mtu;
	bool sack, v6, shut, fin_arrived, connected;
	size_t came, read; /* the other way */
	bool arrived[STREAM + 2];
} r;

static uint8_t stream[STREAM + CHUNK_MAX];

/* ---- our end ---- */

static void on_connected(struct flow *f, void *arg)
{
	(void)f;
	(void)arg;
	r.connected = true;
}

static void on_readable(struct flow *f, void *arg)
{
	struct iovec iov;
	bool fin;

	(void)arg;
	while (flow_recv_iov(f, &iov, 1, &fin) > 0) {
		r.read += iov.iov_len;
		flow_recv_consume(f, iov.iov_len);
	}
}

static void on_closed(struct flow *f, void *arg, int err)
{
	(void)f;
	(void)arg;
	ck_abort_msg("the connection is over: %s", strerror(err));
}

static const struct flow_ops ops = {
	.connected = on_connected, .readable = on_readable, .closed = on_closed};

static void put(size_t len)
{
	if (len > STREAM - r.written)
		len = STREAM - r.written;
	if (len > 0 && !r.shut)
		r.written += flow_write(r.flow, stream + r.written, len);
}

static void finish(void)
{
	if (!r.shut)
		flow_shutdown(r.flow);
	r.shut = true;
}

/* ---- the receiver ---- */

static void arrive(const struct segment *g, size_t at)
{
	size_t len = g->len, part;

	if (roll(PERMILLE) < r.traits.lost)
		return;
	if (len > 1 && roll(PERMILLE) < r.traits.cut) {
		part = 1 + roll((uint32_t)len - 1);
		if (once_in(2)) {
			at += part;
			len -= part;
		} else {
			len = part;
		}
	}
	memset(r.arrived + at, true, len);
	while (r.in_order < r.written && r.arrived[r.in_order])
		r.in_order++;
	if ((g->flags & FIN) && at + len == r.written && r.in_order == r.written)
		r.fin_arrived = true;
}

static void judge(const struct segment *g, size_t at)
{
	ck_assert_uint_le(at + g->len, r.written);
	ck_assert_mem_eq(g->data, stream + at, g->len);
	ck_assert_uint_le(at + g->len, r.window_end + 1); /* a probe is one byte beyond */
	ck_assert_uint_le(g->len, r.mss);
	if (g->flags & FIN)
		ck_assert(r.shut && at + g->len == r.written);
}

/* All that has left */
static void take(void)
{
	while (h.n_taken < h.n_sent) {
		struct segment g = wire_segment();
		size_t at = g.seq - r.base;

		ck_assert(!(g.flags & RST));
		if (g.len == 0 && !(g.flags & FIN))
			continue;
		judge(&g, at);
		if (at + g.len > r.top)
			r.top = at + g.len;
		arrive(&g, at);
	}
	h_recycle();
}

/* What arrived without a hole, and the FIN behind it */
static uint32_t due(void)
{
	return (uint32_t)r.in_order + (r.fin_arrived && r.in_order == r.written);
}

static void tell_window(void)
{
	uint64_t end = due() + ((uint64_t)r.p.window << r.scale);

	r.p.ack = r.base + due();
	if (end > r.window_end)
		r.window_end = end;
}

static void acknowledge(void)
{
	size_t len = once_in(6) ? roll(1000) % r.mss : 0;

	tell_window();
	r.came += len;
	peer_send(&r.p, ACK, stream, len);
}

/* The edges of up to four true blocks, the last ones */
static unsigned int true_blocks(uint32_t edges[8])
{
	unsigned int n = 0;
	size_t at = r.top;

	while (n < 8) {
		while (at > r.in_order && !r.arrived[at - 1])
			at--;
		if (at <= r.in_order)
			break;
		edges[n + 1] = (uint32_t)at;
		while (at > r.in_order && r.arrived[at - 1])
			at--;
		edges[n] = (uint32_t)at;
		n += 2;
	}
	return n;
}

static unsigned int false_blocks(uint32_t edges[8])
{
	unsigned int n = 2 * (1 + roll(4));

	for (unsigned int i = 0; i < n; i++)
		edges[i] = once_in(8) ? roll_all()
				      : (uint32_t)(r.in_order - 1000 +
						   roll((uint32_t)(r.top - r.in_order) + 3000));
	return n;
}

static void acknowledge_with_sack(bool truly)
{
	uint8_t o[4 + 32] = {1, 1, 5};
	uint32_t edges[8];
	unsigned int n = truly ? true_blocks(edges) : false_blocks(edges);

	tell_window();
	o[3] = (uint8_t)(2 + 4 * n);
	for (unsigned int i = 0; i < n; i++)
		put_be32(o + 4 + 4 * i, r.base + edges[i]);
	peer_raw(&r.p, ACK, r.p.seq, r.p.ack, o, n ? 4 + 4 * (size_t)n : 0, NULL, 0);
}

/* Old, or of what was never sent; never of what was sent but has not arrived */
static void acknowledge_wrongly(void)
{
	uint32_t off = (uint32_t)r.in_order - roll(70000);

	if (once_in(3))
		off = (uint32_t)r.top + 1 + r.shut + roll(100000);
	else if (once_in(2))
		off = roll_all();
	if (off > r.in_order && off <= r.top + 1)
		return;
	peer_raw(&r.p, ACK, r.p.seq, r.base + off, NULL, 0, NULL, 0);
}

static void answer(void)
{
	if (r.traits.wrong_acks && once_in(10))
		acknowledge_wrongly();
	if (r.sack && !once_in(4))
		acknowledge_with_sack(!r.traits.lies || !once_in(4));
	else
		acknowledge();
}

/* ---- the path ---- */

static void shrink(void)
{
	struct stack_addr router = addr(r.v6 ? "fd00:1::1" : "10.1.1.1", 0);
	uint32_t quoted = roll((uint32_t)(h.n_sent - h.n_taken));
	const struct wire_packet *w = &h.sent[h.n_taken + quoted];
	uint8_t icmp[8 + 60] = {3, 4}, packet[200];

	r.mtu -= roll(r.mtu / 4);
	if (r.v6)
		icmp[0] = 2, icmp[1] = 0;
	put_be32(icmp + 4, r.mtu);
	memcpy(icmp + 8, w->data, r.v6 ? 60 : 40);
	wire_input(packet, wire_ip(packet, &router, &r.p.us,
				   r.v6 ? IPPROTO_ICMPV6 : (unsigned int)IPPROTO_ICMP, icmp,
				   r.v6 ? 68 : 48, 2));
}

static void pass_us(uint64_t us)
{
	h.now += us * US_NS;
	h_settle();
}

/* ---- a seed ---- */

static void choose_traits(void)
{
	struct traits *t = &r.traits;

	t->rtt_us = once_in(3) ? 1 + roll(20000) : 100;
	t->lost = once_in(3) ? 0 : 3 * roll(100);
	t->cut = once_in(3) ? roll(300) : 0;
	t->wrong_acks = once_in(2);
	t->lies = once_in(3);
	t->small_writes = once_in(3);
	t->shrinks = once_in(2);
	t->window = once_in(3) ? 1 + roll(0xffff) : 0xffff;
	t->low = once_in(3) ? 200 : once_in(2) ? 3000 : 0;
	t->shut_at = once_in(3) ? roll(STREAM) : STREAM;
}

/* The number that our next SYN to the same address would have */
static uint32_t next_isn(const struct stack_addr *local)
{
	int err;
	struct flow *f = flow_connect(h.stack, local, &r.p.them, NULL, &ops, NULL, &err);
	uint32_t seq;

	ck_assert_ptr_nonnull(f);
	seq = wire_segment().seq;
	flow_abort(f);
	wire_forget();
	h_recycle();
	return seq;
}

static void connect_it(void)
{
	static const unsigned int msss[] = {1, 88, 100, 200, 536, 1220, 1380, 1460, 8940};
	struct stack_addr local = addr(r.v6 ? US6 : US4, LOCAL_PORT);
	struct flow_options o = {.congestion = once_in(2) ? FLOW_CUBIC : FLOW_BBR,
				 .nodelay = once_in(2)};
	uint8_t syn[12] = {2, 4, 0, 0, 1, 3, 3, 0, 1, 1, 4, 2};
	uint32_t isn = next_isn(&local), wanted = -(roll(STREAM) + 1);
	struct flow_info info;
	int err;

	if (once_in(2)) /* they count 4 us (RFC 6528) */
		pass_us(4 * (uint64_t)(wanted - isn));
	r.flow = flow_connect(h.stack, &local, &r.p.them, &o, &ops, NULL, &err);
	ck_assert_ptr_nonnull(r.flow);
	r.p.us = local;
	r.p.ack = r.base = wire_segment().seq + 1;
	r.p.seq = roll_all();
	r.p.window = 0xffff;
	put_be16(syn + 2, once_in(3) ? msss[roll(9)] : 65000);
	syn[7] = (uint8_t)r.scale;
	peer_raw(&r.p, SYN | ACK, r.p.seq++, r.p.ack, syn, r.sack ? 12 : 8, NULL, 0);
	ck_assert(r.connected);
	flow_info(r.flow, &info);
	r.mss = info.mss;
	r.window_end = (uint64_t)0xffff << r.scale;
}

static void warm_up(void)
{
	const struct traits traits = r.traits;

	r.traits.lost = r.traits.cut = 0;
	r.traits.lies = false;
	for (int i = 0; i < WARM_ROUNDS; i++) {
		put(30 * r.mss < CHUNK_MAX ? 30 * r.mss : CHUNK_MAX);
		pass_us(r.traits.rtt_us);
		take();
		if (r.sack)
			acknowledge_with_sack(true);
		else
			acknowledge();
	}
	r.traits = traits;
	r.traits.goal = r.written + (r.mss < 300 ? 100000 : 500000);
	if (r.traits.shut_at < STREAM)
		r.traits.shut_at = r.written + roll((uint32_t)(r.traits.goal - r.written));
}

static unsigned int window_now(void)
{
	const struct traits *t = &r.traits;

	if (t->low && once_in(20))
		return roll(t->low) >> (r.scale > 7 ? r.scale - 7 : 0);
	return t->low && once_in(100) ? 0 : t->window;
}

static void trouble(void)
{
	const struct traits *t = &r.traits;

	for (int i = 0; i < ROUNDS_MAX && r.in_order < t->goal && !r.fin_arrived; i++) {
		struct flow_info info;

		put(1 + roll(t->small_writes && once_in(3) ? 3 * r.mss : CHUNK_MAX));
		if (r.written >= t->shut_at)
			finish();
		if (t->shrinks && h.n_sent > h.n_taken && once_in(100) && r.mtu > 560)
			shrink();
		take();
		r.p.window = window_now();
		answer();
		pass_us(t->rtt_us * (uint64_t)(once_in(4) ? roll(20) : 1));
		if (once_in(50))
			h_pass_ms(once_in(4) ? roll(3000) : 300);
		flow_info(r.flow, &info);
		ck_assert_uint_le(flow_unacked(r.flow), r.written + 1);
		ck_assert_uint_le(info.not_sent, r.written + 1);
	}
}

/* Nothing is lost any more: the rest arrives. */
static void calm_down(void)
{
	r.traits.lost = r.traits.cut = 0;
	r.p.window = 0xffff;
	finish();
	for (int i = 0; i < CALM_ROUNDS_MAX && !r.fin_arrived; i++) {
		take();
		acknowledge();
		pass_us(10000);
		if (i % 10 == 0)
			h_pass_ms(400);
	}
	ck_assert_msg(r.fin_arrived, "stuck: %zu written, %zu arrived", r.written, r.in_order);
	acknowledge();
	ck_assert_uint_eq(flow_unacked(r.flow), 0);
	ck_assert_uint_eq(r.read, r.came);
}

static void run(unsigned int seed)
{
	static const uint16_t mtus[] = {1420, 1420, 1280, 576, 3000, 9000, 65495};
	size_t before;

	(void)seed;
	for (size_t i = 0; i < sizeof(stream); i++)
		stream[i] = (uint8_t)(i * 7 + i / 251 + i / 65536);
	h_setup();
	h_teardown();
	before = memory_used();
	r.mtu = mtus[roll(7)];
	r.v6 = r.mtu >= 1280 && once_in(2);
	r.sack = !once_in(4);
	r.scale = once_in(3) ? roll(15) : 7;
	r.p.them = addr(r.v6 ? PEER6 : PEER4, 80);
	h_setup_mtu((uint16_t)r.mtu, draw());
	choose_traits();
	connect_it();
	warm_up();
	trouble();
	calm_down();
	flow_abort(r.flow);
	h_teardown();
	ck_assert_uint_eq(memory_used(), before);
}

int main(int argc, char **argv)
{
	return by_seed_main(argc, argv, SEEDS, run);
}
