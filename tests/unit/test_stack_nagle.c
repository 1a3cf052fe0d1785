/* SPDX-License-Identifier: MIT */
/*
 * test_stack_nagle.c - when a segment shorter than the MSS leaves while others are in flight
 *
 * Without TCP_NODELAY, as Linux does it (tcp_minshall_check, patch 18): at most one short segment
 * is unacknowledged. A peer delays the ACK of a lone full segment, so that whoever waits for it with
 * the rest of a request waits for a timer.
 */
#include "tests/unit/stack_datagrams.h"

enum { MSS = WIRE_MTU - 40, SHORT = 300 };

static uint8_t data[20 * MSS];

/* Takes what was sent: as many segments, the last one with @last bytes; moves the peer on, who
 * does not acknowledge. */
static void expect(struct peer *p, unsigned int segments, unsigned int last)
{
	for (unsigned int i = 1; i <= segments; i++) {
		struct segment g = wire_segment();

		ck_assert_uint_eq(g.seq, p->ack);
		ck_assert_uint_eq(g.len, i < segments ? MSS : last);
		p->ack += g.len;
	}
	ck_assert_ptr_null(wire_next());
}

static struct flow *accepted(struct peer *p, struct seen *s)
{
	struct flow *f = peer_accept(p, PEER4, 80, s);

	wire_forget();
	return f;
}

START_TEST(the_short_end_of_a_write_leaves_with_it)
{
	static const unsigned int full[] = {1, 2, 3, 8};
	struct seen s = {0};
	struct peer p;
	struct flow *f = accepted(&p, &s);

	for (size_t i = 0; i < sizeof(full) / sizeof(*full); i++) {
		size_t len = full[i] * MSS + SHORT;

		ck_assert_uint_eq(flow_write(f, data, len), len);
		expect(&p, full[i] + 1, SHORT);
		peer_send(&p, ACK, NULL, 0);
	}
}
END_TEST

START_TEST(a_short_write_behind_full_segments_leaves)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = accepted(&p, &s);

	flow_write(f, data, MSS);
	expect(&p, 1, MSS);
	flow_write(f, data, SHORT);
	expect(&p, 1, SHORT);
}
END_TEST

START_TEST(small_writes_wait_while_a_short_segment_is_in_flight)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = accepted(&p, &s);

	flow_write(f, data, SHORT);
	expect(&p, 1, SHORT);
	flow_write(f, data, SHORT);
	flow_write(f, data, SHORT);
	ck_assert_ptr_null(wire_next());
	peer_send(&p, ACK, NULL, 0);
	expect(&p, 1, 2 * SHORT);
}
END_TEST

/* The short one is the last that counts: what follows it in full does not free it. */
START_TEST(full_segments_pass_a_short_one_and_their_short_end_waits)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = accepted(&p, &s);

	flow_write(f, data, SHORT);
	expect(&p, 1, SHORT);
	peer_send(&p, ACK, NULL, 0);
	flow_write(f, data, MSS + SHORT);
	expect(&p, 2, SHORT);
	flow_write(f, data, MSS + SHORT);
	expect(&p, 1, MSS);
	p.ack -= MSS; /* the short one is acknowledged, the full one behind it is not */
	peer_send(&p, ACK, NULL, 0);
	p.ack += MSS;
	expect(&p, 1, SHORT);
}
END_TEST

/* Whoever streams writes as much as there is room for: its pieces are not ends. */
START_TEST(what_goes_on_waits_for_a_full_segment)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = accepted(&p, &s);
	struct iovec iov[2];

	flow_write(f, data, MSS);
	expect(&p, 1, MSS);
	ck_assert_int_gt(flow_send_iov(f, iov), 0);
	memcpy(iov[0].iov_base, data, SHORT);
	flow_send_commit(f, SHORT, true);
	ck_assert_ptr_null(wire_next());
	flow_write(f, data, SHORT);
	expect(&p, 1, 2 * SHORT);
}
END_TEST

/* As its sender knew it when that was new: a full segment. */
START_TEST(what_is_sent_again_in_short_pieces_holds_nothing_back)
{
	enum { PATH_MTU = 1300, PATH_MSS = PATH_MTU - 40 };
	struct seen s = {0};
	struct peer p;
	struct flow *f = accepted(&p, &s);

	flow_write(f, data, MSS);
	icmp_error(wire_next(), 3, 4, PATH_MTU);
	ck_assert_uint_eq(wire_segment().len, PATH_MSS);
	ck_assert_uint_eq(wire_segment().len, MSS - PATH_MSS);
	p.ack += MSS;
	flow_write(f, data, SHORT);
	expect(&p, 1, SHORT);
}
END_TEST

/* A program that asks in two writes waits for the answer, whose sender for the second one: the ACK of
 * the first has nothing to go with, and is delayed. */
START_TEST(what_is_held_leaves_when_the_ack_is_late)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = accepted(&p, &s);

	for (unsigned int late_ms = 0; late_ms <= 20; late_ms += 10) {
		flow_write(f, data, SHORT);
		expect(&p, 1, SHORT);
		h_pass_ms(late_ms);
		ck_assert_ptr_null(wire_next());
		flow_write(f, data, SHORT);
		h_pass_ms(2);
		expect(&p, 1, SHORT);
		flow_write(f, data, SHORT); /* one a round trip */
		h_pass_ms(50);
		ck_assert_ptr_null(wire_next());
		peer_send(&p, ACK, NULL, 0);
		expect(&p, 1, SHORT);
		peer_send(&p, ACK, NULL, 0);
	}
}
END_TEST

/* It cannot be the probe: the ACK is waited for as long as it may be delayed. */
START_TEST(what_is_held_beyond_the_window_does_not_hurry_the_probe)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = accepted(&p, &s);

	p.window = 3; /* times 128 */
	peer_send(&p, ACK, NULL, 0);
	flow_write(f, data, SHORT);
	expect(&p, 1, SHORT);
	flow_write(f, data, SHORT);
	h_pass_ms(45);
	ck_assert_ptr_null(wire_next());
	p.window = 0xffff;
	peer_send(&p, ACK, NULL, 0);
	expect(&p, 1, SHORT);
}
END_TEST

START_TEST(what_is_held_waits_for_two_round_trips)
{
	enum { RTT_MS = 50 };
	struct peer p = {.them = addr(PEER4, 80), .window = 0xffff, .seq = 5000};
	struct seen s = {0};
	struct segment g;
	int err;

	s.flow = flow_connect(h.stack, NULL, &p.them, NULL, &seen_ops, &s, &err);
	g = wire_segment();
	p.us = g.from;
	p.ack = g.seq + 1;
	h_pass_ms(RTT_MS);
	peer_raw(&p, SYN | ACK, p.seq, p.ack, usual_options, sizeof(usual_options), NULL, 0);
	p.seq++;
	wire_forget();
	flow_write(s.flow, data, SHORT);
	expect(&p, 1, SHORT);
	flow_write(s.flow, data, SHORT);
	h_pass_ms(2 * RTT_MS - 2);
	ck_assert_ptr_null(wire_next());
	h_pass_ms(3);
	expect(&p, 1, SHORT);
}
END_TEST

START_TEST(without_delay_short_segments_leave_at_once)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = accepted(&p, &s);

	flow_set_options(f, &(struct flow_options){.nodelay = true});
	for (int i = 0; i < 5; i++) {
		flow_write(f, data, SHORT);
		expect(&p, 1, SHORT);
	}
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, the_short_end_of_a_write_leaves_with_it);
	tcase_add_test(tc, a_short_write_behind_full_segments_leaves);
	tcase_add_test(tc, small_writes_wait_while_a_short_segment_is_in_flight);
	tcase_add_test(tc, full_segments_pass_a_short_one_and_their_short_end_waits);
	tcase_add_test(tc, what_goes_on_waits_for_a_full_segment);
	tcase_add_test(tc, what_is_sent_again_in_short_pieces_holds_nothing_back);
	tcase_add_test(tc, what_is_held_leaves_when_the_ack_is_late);
	tcase_add_test(tc, what_is_held_waits_for_two_round_trips);
	tcase_add_test(tc, what_is_held_beyond_the_window_does_not_hurry_the_probe);
	tcase_add_test(tc, without_delay_short_segments_leave_at_once);
}

int main(void)
{
	return h_run("stack nagle", add);
}
