/* SPDX-License-Identifier: MIT */
/*
 * test_stack_train.c - segments that leave as several packets (stack/train.c)
 *
 * On a path that is fast enough one segment holds up to sixteen packets' worth. Whatever happens to
 * the packets, each is checked by parse_segment, and its bytes here against what was written.
 */
#include "stack_harness.h"

#include <malloc.h>

enum {
	MSS = 1380,
	RTT_NS = 100 * 1000,
	PORT = 80,
	STREAM = 4000 * MSS,
	WINDOW_SCALE = 7, /* of usual_options */
	WINDOW_MAX = 0xffff,
	ROUNDS_MAX = 20000,
	SEEDS = 20,
};

/**
 * struct fast - a connection on a fast path, and what its peer has
 * @written: Of the stream
 * @base: Sequence number of the stream's first byte
 */
static struct fast {
	struct peer p;
	struct seen s;
	size_t written;
	uint32_t base;
	unsigned int packets, fins;
	size_t largest;
	bool has[STREAM + 1];
	size_t in_order;
} fast;

static uint8_t data[STREAM];

static void fill(void)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 251 + i / 65536);
}

/* Looks at what was sent since; @lose packets of 1,000 are lost. Returns how many there were. */
static unsigned int take(unsigned int lose)
{
	unsigned int n = 0;

	while (h.n_taken < h.n_sent) {
		struct segment g = wire_segment();
		size_t at = g.seq - fast.base;
		uint32_t dice;

		n++;
		h_random(NULL, &dice, sizeof(dice));
		if (dice % 1000 < lose)
			continue;
		ck_assert_uint_le(at + g.len, fast.written);
		ck_assert_mem_eq(g.data, data + at, g.len);
		fast.largest = g.len > fast.largest ? g.len : fast.largest;
		if (g.flags & FIN) {
			ck_assert_uint_eq(at + g.len, fast.written);
			fast.fins++;
		}
		memset(fast.has + at, true, g.len);
		while (fast.has[fast.in_order])
			fast.in_order++;
	}
	fast.packets += n;
	h_recycle();
	return n;
}

static void acknowledge(void)
{
	fast.p.ack = fast.base + (uint32_t)fast.in_order;
	peer_send(&fast.p, ACK, NULL, 0);
}

/* With the blocks that a receiver would report, the last four */
static void acknowledge_selectively(void)
{
	uint8_t options[4 + 32] = {1, 1, 5};
	size_t at, edges[8];
	unsigned int n = 0, i;

	fast.p.ack = fast.base + (uint32_t)fast.in_order;
	for (at = fast.written; at > fast.in_order && n < 8;) {
		while (at > fast.in_order && !fast.has[at - 1])
			at--;
		if (at == fast.in_order)
			break;
		edges[n + 1] = at;
		while (at > fast.in_order && fast.has[at - 1])
			at--;
		edges[n] = at;
		n += 2;
	}
	options[3] = (uint8_t)(2 + 4 * n);
	for (i = 0; i < n; i++)
		put_be32(options + 4 + 4 * i, fast.base + (uint32_t)edges[i]);
	peer_raw(&fast.p, ACK, fast.p.seq, fast.p.ack, options, n ? 4 + 4 * (size_t)n : 0, NULL, 0);
}

static size_t write_more(size_t len)
{
	if (len > STREAM - fast.written)
		len = STREAM - fast.written;
	len = flow_write(fast.s.flow, data + fast.written, len);
	fast.written += len;
	return len;
}

static void pass_ns(uint64_t ns)
{
	h.now += ns;
	h_settle();
}

/* A connection that has sent enough to know that its path is fast */
static void connect_fast(const char *them)
{
	int i;

	fill();
	memset(&fast, 0, sizeof(fast));
	peer_accept(&fast.p, them, PORT, &fast.s);
	wire_forget();
	fast.base = fast.p.ack;
	for (i = 0; i < 40; i++) {
		fast.written += flow_write(fast.s.flow, data + fast.written, 30 * MSS);
		/* the bytes are known to be sent as they are written */
		pass_ns(RTT_NS);
		take(0);
		acknowledge();
	}
	while (fast.in_order < fast.written) {
		pass_ns(RTT_NS);
		take(0);
		acknowledge();
	}
	ck_assert_uint_eq(flow_unacked(fast.s.flow), 0);
	fast.packets = fast.fins = 0;
	fast.largest = 0;
}

/* Closes the peer's window, so that what is written waits. It is told with what is acknowledged: an
 * ACK that says nothing new and less is an old one. */
static void close_window(void)
{
	write_more(1);
	take(0);
	fast.p.window = 0;
	acknowledge();
	ck_assert_uint_eq(flow_unacked(fast.s.flow), 0);
}

static void open_window(unsigned int bytes)
{
	fast.p.window = bytes >> WINDOW_SCALE;
	acknowledge();
}

/* Until all has come; @step: in virtual time */
static void finish(uint64_t step_ns)
{
	int round;

	for (round = 0; fast.in_order < fast.written && round < ROUNDS_MAX; round++) {
		take(0);
		acknowledge();
		pass_ns(step_ns);
	}
	ck_assert_uint_eq(fast.in_order, fast.written);
	ck_assert_uint_eq(flow_unacked(fast.s.flow), 0);
}

START_TEST(many_packets_are_one_segment)
{
	enum { PACKETS = 22, RECORD_BYTES = 256 };
	size_t before, record;

	connect_fast(PEER4);
	close_window();
	stack_trim(h.stack);
	before = mallinfo2().uordblks;
	ck_assert_uint_eq(write_more(PACKETS * MSS), PACKETS * MSS);
	stack_trim(h.stack);
	/* and the block that they refer to; a sanitizer's malloc does not count */
	record = mallinfo2().uordblks - before;
	ck_assert_uint_lt(record, 65536 + PACKETS / 4 * RECORD_BYTES);
	open_window(WINDOW_MAX << WINDOW_SCALE);
	finish(RTT_NS);
	ck_assert_uint_ge(fast.packets, PACKETS);
	ck_assert_uint_eq(fast.largest, MSS);
}
END_TEST

START_TEST(over_ipv6_too)
{
	connect_fast(PEER6);
	ck_assert_uint_gt(write_more(64 * MSS), 20 * MSS);
	finish(RTT_NS);
	ck_assert_uint_eq(fast.largest, MSS - 20);
}
END_TEST

START_TEST(to_ourselves_too)
{
	static struct seen server;
	struct seen client = {0};
	struct stack_addr to = addr(US4B, PORT);
	size_t written = 0;
	int err, round;

	fill();
	memset(&server, 0, sizeof(server));
	server.listener = flow_listen(h.stack, &to, false, 8, &seen_listener_ops, &server, &err);
	ck_assert_ptr_nonnull(server.listener);
	client.flow = flow_connect(h.stack, NULL, &to, NULL, &seen_ops, &client, &err);
	for (round = 0; server.len < STREAM / 4 && round < ROUNDS_MAX; round++) {
		if (client.connected && written < STREAM / 4)
			written += flow_write(client.flow, data + written, STREAM / 4 - written);
		h.now += RTT_NS;
		stack_tick(h.stack);
		h_settle();
	}
	ck_assert_uint_eq(server.len, STREAM / 4);
	ck_assert_mem_eq(server.data, data, STREAM / 4);
	free(server.data);
}
END_TEST

START_TEST(what_is_lost_of_a_train_leaves_again_alone)
{
	struct stack_stats before, after;
	const size_t lost = 5, lost_too = 9;
	size_t first;
	unsigned int i;

	connect_fast(PEER4);
	first = fast.written;
	stack_stats(h.stack, &before);
	ck_assert_uint_eq(write_more(20 * MSS), 20 * MSS);
	pass_ns(0);
	ck_assert_uint_eq(take(0), 20);
	memset(fast.has + first + lost * MSS, false, MSS);
	memset(fast.has + first + lost_too * MSS, false, MSS);
	fast.in_order = first + lost * MSS;
	pass_ns(RTT_NS);
	for (i = 0; i < 4; i++)
		acknowledge_selectively();
	pass_ns(RTT_NS);
	ck_assert_uint_eq(take(0), 2);
	ck_assert_uint_eq(fast.in_order, fast.written);
	acknowledge();
	ck_assert_uint_eq(flow_unacked(fast.s.flow), 0);
	stack_stats(h.stack, &after);
	ck_assert_uint_eq(after.tcp_retransmits - before.tcp_retransmits, 2);
}
END_TEST

/* A peer may acknowledge any byte; what it has need not leave again, and counts no more. */
START_TEST(what_is_acknowledged_within_a_packet_stays_so)
{
	enum { ACKED = 3 * MSS + 100 };
	size_t first, taken, at, lowest = SIZE_MAX;

	connect_fast(PEER4);
	first = fast.written;
	ck_assert_uint_eq(write_more(20 * MSS), 20 * MSS);
	pass_ns(0);
	take(0);
	memset(fast.has + first + ACKED, false, 20 * MSS - ACKED);
	fast.in_order = first + ACKED;
	acknowledge();
	ck_assert_uint_eq(flow_unacked(fast.s.flow), 20 * MSS - ACKED);
	/* all of the rest is lost: the timeout sends it again, from there on */
	h_pass_ms(1000);
	for (taken = h.n_taken; h.n_taken < h.n_sent;) {
		at = wire_segment().seq - fast.base;
		lowest = at < lowest ? at : lowest;
	}
	ck_assert_uint_eq(lowest, first + ACKED);
	h.n_taken = taken;
	finish(RTT_NS);
}
END_TEST

START_TEST(a_window_smaller_than_the_train_gets_what_fits)
{
	connect_fast(PEER4);
	close_window();
	ck_assert_uint_eq(write_more(20 * MSS), 20 * MSS);
	take(0);
	open_window(3 * MSS + MSS / 2);
	ck_assert_uint_eq(take(0), 3);
	ck_assert_uint_eq(fast.largest, MSS);
	open_window(7 * MSS + MSS / 2);
	ck_assert_uint_eq(take(0), 7);
	open_window(WINDOW_MAX << WINDOW_SCALE);
	finish(RTT_NS);
}
END_TEST

START_TEST(the_congestion_window_gets_no_whole_train_beyond_it)
{
	struct flow_info info;
	int i;

	connect_fast(PEER4);
	for (i = 0; i < 100; i++) {
		while (write_more(60000) > 0)
			;
		pass_ns(RTT_NS / 2);
		flow_info(fast.s.flow, &info);
		ck_assert_uint_le(info.inflight, info.cwnd);
	}
	ck_assert_uint_gt(info.inflight + MSS, info.cwnd);
	finish(RTT_NS);
}
END_TEST

/* RFC 9293 3.8.6.2.1: nothing in flight, and less than a packet of window */
START_TEST(a_window_smaller_than_a_packet_gets_a_part)
{
	connect_fast(PEER4);
	close_window();
	ck_assert_uint_eq(write_more(20 * MSS), 20 * MSS);
	open_window(4 << WINDOW_SCALE);
	finish(100 * 1000 * 1000);
	ck_assert_uint_le(fast.largest, 4 << WINDOW_SCALE);
}
END_TEST

/* What says that bytes have come leaves with the train, not beside it. */
START_TEST(a_train_carries_the_acknowledgement)
{
	uint32_t acked = 0;
	int i;

	connect_fast(PEER4);
	close_window();
	ck_assert_uint_eq(write_more(20 * MSS), 20 * MSS);
	h.in_batch = true;
	for (i = 0; i < 2; i++) { /* two that are not merged: an ACK is due and waits */
		peer_send(&fast.p, ACK, data, MSS);
		peer_send(&fast.p, ACK, NULL, 0);
	}
	fast.p.window = WINDOW_MAX;
	peer_send(&fast.p, ACK, data, MSS);
	h.in_batch = false;
	stack_input_done(h.stack);
	h_settle();
	for (i = 0; h.n_taken < h.n_sent; i++) {
		struct segment g = wire_segment();

		ck_assert_uint_gt(g.len, 0);
		acked = g.ack;
	}
	ck_assert_int_ge(i, 16);
	ck_assert_uint_eq(acked, fast.p.seq);
}
END_TEST

static void too_big(const uint8_t *packet, unsigned int mtu)
{
	struct stack_addr router = addr("10.1.1.1", 0);
	uint8_t icmp[8 + 40] = {3, 4}, out[100];

	put_be32(icmp + 4, mtu);
	memcpy(icmp + 8, packet, 40);
	wire_input(out, wire_ip(out, &router, &fast.p.us, IPPROTO_ICMP, icmp, sizeof(icmp), 2));
}

START_TEST(a_smaller_path_mtu_cuts_trains_anew)
{
	enum { MTU = 1000, ACKED = 2 * MSS + 700 };
	uint8_t packet[40];
	size_t first;

	connect_fast(PEER4);
	first = fast.written;
	ck_assert_uint_eq(write_more(20 * MSS), 20 * MSS);
	ck_assert_uint_gt(h.n_sent, h.n_taken);
	memcpy(packet, h.sent[h.n_sent - 1].data, sizeof(packet));
	/* the first ones got through: the path has changed */
	wire_forget();
	fast.in_order = first + ACKED;
	memset(fast.has + first, true, ACKED);
	acknowledge();
	too_big(packet, MTU);
	fast.largest = 0;
	finish(RTT_NS);
	ck_assert_uint_eq(fast.largest, MTU - 40);
	write_more(40 * MSS);
	finish(RTT_NS);
	ck_assert_uint_eq(fast.largest, MTU - 40);
}
END_TEST

/* The same of what was copied, also when it has to be cut anew: what lies below the ACK would never
 * be acknowledged again. */
START_TEST(what_is_acknowledged_within_a_copied_segment_stays_so)
{
	enum { ACKED = 1001, MTU = 600 };
	uint8_t packet[40];
	size_t first;

	connect_fast(PEER4);
	first = fast.written;
	ck_assert_uint_eq(write_more(MSS), MSS);
	pass_ns(0);
	ck_assert_uint_eq(h.n_sent - h.n_taken, 1);
	memcpy(packet, h.sent[h.n_taken].data, sizeof(packet));
	wire_forget();
	memset(fast.has + first, true, ACKED);
	fast.in_order = first + ACKED;
	acknowledge();
	ck_assert_uint_eq(flow_unacked(fast.s.flow), MSS - ACKED);
	put_be32(packet + 24, fast.p.ack);
	too_big(packet, MTU);
	ck_assert_uint_eq(h.n_sent - h.n_taken, 1);
	ck_assert_uint_eq(wire_segment().seq, fast.p.ack);
	h.n_taken--;
	finish(RTT_NS);
}
END_TEST

START_TEST(a_window_between_two_path_mtus_gets_a_packet)
{
	enum { MTU = 1000, WINDOW = 1024 };
	uint8_t packet[40];

	connect_fast(PEER4);
	write_more(1);
	memcpy(packet, h.sent[h.n_taken].data, sizeof(packet));
	take(0);
	acknowledge();
	close_window();
	ck_assert_uint_eq(write_more(MSS), MSS);
	open_window(WINDOW);
	put_be32(packet + 24, fast.p.ack);
	put_be16(packet + 2, 40 + WINDOW); /* a length that such an MTU does not take */
	too_big(packet, MTU);
	fast.largest = 0;
	finish(100 * 1000 * 1000);
	ck_assert_uint_eq(fast.largest, MTU - 40);
}
END_TEST

/* What has left since, up to the returned sequence number */
static uint32_t forget_sent(uint32_t end)
{
	while (h.n_taken < h.n_sent) {
		struct segment g = wire_segment();

		if ((int32_t)(g.seq + g.len - end) > 0)
			end = g.seq + g.len;
	}
	h_recycle();
	return end;
}

/* A peer with a tiny MSS on whose path a long queue of trains leaves packet by packet: lwIP's count
 * of them has 16 bits. */
START_TEST(trains_that_are_taken_apart_are_bounded)
{
	enum { TINY = 88, FLIGHT = 4500 * 1000, STEPS = 40000, STEP_NS = 440 };
	static const uint8_t options[] = {2, 4, 0, TINY, 1, 3, 3, 14, 1, 1, 4, 2};
	const struct flow_options cubic = {.congestion = FLOW_CUBIC};
	struct peer *p = &fast.p;
	struct flow_info info;
	uint32_t end;
	int i, err;

	memset(&fast, 0, sizeof(fast));
	p->them = addr(PEER4, PORT);
	p->window = WINDOW_MAX;
	fast.s.flow = flow_connect(h.stack, NULL, &p->them, &cubic, &seen_ops, &fast.s, &err);
	ck_assert_ptr_nonnull(fast.s.flow);
	h.now += 100 * 1000 * 1000;
	p->us = parse_segment(&h.sent[0]).from;
	end = p->ack = wire_segment().seq + 1;
	peer_raw(p, SYN | ACK, p->seq, p->ack, options, sizeof(options), NULL, 0);
	p->seq++;
	do { /* until much may be in flight */
		for (i = 0; i < 50; i++) {
			flow_write(fast.s.flow, data, FLIGHT / 2);
			pass_ns(2 * 1000 * 1000);
			end = forget_sent(end);
		}
		p->ack = end;
		peer_send(p, ACK, NULL, 0);
		flow_info(fast.s.flow, &info);
	} while (info.cwnd < FLIGHT);
	pass_ns(100 * 1000 * 1000);
	p->ack = end = forget_sent(end);
	p->window = 0;
	peer_send(p, ACK, NULL, 0);
	ck_assert_uint_eq(flow_write(fast.s.flow, data, FLIGHT), FLIGHT);
	p->window = WINDOW_MAX;
	for (i = 0; i < STEPS; i++) { /* whatever comes is an occasion to send a packet */
		peer_send(p, ACK, data, 1);
		pass_ns(STEP_NS);
		end = forget_sent(end);
	}
	p->ack = end;
	peer_send(p, ACK, NULL, 0);
	h_pass_ms(1000);
	ck_assert_int_eq(fast.s.closed, 0);
	ck_assert_uint_gt(h.n_sent, 0);
	free(fast.s.data);
}
END_TEST

START_TEST(a_fin_is_in_the_last_packet_and_leaves_again_alone)
{
	connect_fast(PEER4);
	close_window();
	ck_assert_uint_eq(write_more(20 * MSS), 20 * MSS);
	flow_shutdown(fast.s.flow);
	open_window(WINDOW_MAX << WINDOW_SCALE);
	pass_ns(RTT_NS);
	take(0);
	ck_assert_uint_eq(fast.in_order, fast.written);
	ck_assert_uint_eq(fast.fins, 1);
	acknowledge(); /* of the bytes, not of the FIN */
	ck_assert_uint_eq(flow_unacked(fast.s.flow), 1);
	h_pass_ms(1000);
	ck_assert_uint_ge(take(0), 1);
	ck_assert_uint_ge(fast.fins, 2);
	fast.p.ack = fast.base + (uint32_t)fast.written + 1;
	peer_send(&fast.p, ACK, NULL, 0);
	ck_assert_uint_eq(flow_unacked(fast.s.flow), 0);
}
END_TEST

START_TEST(a_lost_connection_gives_everything_back)
{
	int i;

	for (i = 0; i < 20; i++) {
		connect_fast(PEER4);
		write_more(20 * MSS);
		if (i % 2)
			take(0);
		flow_abort(fast.s.flow);
		wire_forget();
		h_recycle();
	}
}
END_TEST

static uint32_t roll(uint32_t n)
{
	uint32_t r;

	h_random(NULL, &r, sizeof(r));
	return r % n;
}

/* Loss, windows of every size, acknowledgements of any byte, path MTUs, in any order */
static void torment(unsigned int seed)
{
	unsigned int mtu = 1420;
	int round;

	connect_fast(seed % 2 ? PEER4 : PEER6);
	h.random = seed;
	for (round = 0; fast.in_order < STREAM && round < ROUNDS_MAX; round++) {
		write_more(1 + roll(60000));
		if (seed % 2 && h.n_sent > h.n_taken && roll(200) == 0 && mtu > 700) {
			mtu -= roll(300);
			too_big(h.sent[h.n_taken].data, mtu);
		}
		take(roll(3) ? 0 : roll(300));
		fast.p.window = roll(20) ? WINDOW_MAX : roll(200);
		if (roll(4))
			acknowledge_selectively();
		else
			acknowledge();
		pass_ns(roll(4) ? RTT_NS : RTT_NS * roll(20));
		if (roll(50) == 0)
			h_pass_ms(300);
	}
	fast.p.window = WINDOW_MAX;
	finish(10 * 1000 * 1000);
	ck_assert_uint_eq(fast.in_order, STREAM);
}

START_TEST(whatever_happens_the_bytes_arrive)
{
	torment((unsigned int)_i + 1);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, many_packets_are_one_segment);
	tcase_add_test(tc, over_ipv6_too);
	tcase_add_test(tc, to_ourselves_too);
	tcase_add_test(tc, what_is_lost_of_a_train_leaves_again_alone);
	tcase_add_test(tc, what_is_acknowledged_within_a_packet_stays_so);
	tcase_add_test(tc, a_window_smaller_than_the_train_gets_what_fits);
	tcase_add_test(tc, the_congestion_window_gets_no_whole_train_beyond_it);
	tcase_add_test(tc, a_window_smaller_than_a_packet_gets_a_part);
	tcase_add_test(tc, a_smaller_path_mtu_cuts_trains_anew);
	tcase_add_test(tc, what_is_acknowledged_within_a_copied_segment_stays_so);
	tcase_add_test(tc, a_window_between_two_path_mtus_gets_a_packet);
	tcase_add_test(tc, trains_that_are_taken_apart_are_bounded);
	tcase_add_test(tc, a_fin_is_in_the_last_packet_and_leaves_again_alone);
	tcase_add_test(tc, a_train_carries_the_acknowledgement);
	tcase_add_test(tc, a_lost_connection_gives_everything_back);
	tcase_add_loop_test(tc, whatever_happens_the_bytes_arrive, 0, SEEDS);
}

int main(void)
{
	return h_run("stack train", add);
}
