/* SPDX-License-Identifier: MIT */
/* test_stack_tcp_close.c - every way in which a connection ends */
#include "tests/unit/stack_harness.h"

START_TEST(reset_is_reported_after_the_data)
{
	struct seen s = {.keep = true};
	struct peer p;

	peer_accept(&p, PEER4, 80, &s);
	peer_send(&p, ACK, "data", 4);
	peer_send(&p, RST | ACK, NULL, 0);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ECONNRESET);
	ck_assert_uint_eq(s.len, 4); /* read within closed() */
	free(s.data);
}
END_TEST

START_TEST(close_in_order_waits_for_the_reader)
{
	struct seen s = {.keep = true};
	struct segment g;
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	flow_shutdown(f);
	g = wire_segment();
	ck_assert_uint_eq(g.flags, FIN | ACK);
	ck_assert_uint_eq(flow_unacked(f), 1);
	p.ack++;
	peer_send(&p, ACK, NULL, 0);
	ck_assert_uint_eq(flow_unacked(f), 0);
	peer_send(&p, ACK, "late", 4);
	peer_send(&p, FIN | ACK, NULL, 0);
	h_pass_ms(100);
	ck_assert_int_eq(s.closed, 0);
	seen_read(f, &s);
	h_settle();
	ck_assert_uint_eq(s.len, 4);
	ck_assert(s.fin);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, 0);
	wire_forget();
	peer_raw(&p, FIN | ACK, p.seq - 1, p.ack, NULL, 0, NULL, 0); /* our last ACK was lost */
	ck_assert_uint_eq(wire_segment().ack, p.seq);
	free(s.data);
}
END_TEST

START_TEST(close_with_unread_bytes_resets)
{
	struct seen s = {.keep = true};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	peer_send(&p, ACK, "unread", 6);
	flow_close(f);
	ck_assert_uint_eq(wire_segment().flags & RST, RST);
	h_settle();
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ECONNRESET);
}
END_TEST

START_TEST(data_after_close_is_answered_with_reset)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	flow_close(f);
	ck_assert_uint_eq(wire_segment().flags, FIN | ACK);
	p.ack++;
	peer_send(&p, ACK, "more", 4);
	ck_assert_uint_eq(wire_segment().flags & RST, RST);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ECONNRESET);
}
END_TEST

START_TEST(a_closed_flow_does_not_wait_for_ever)
{
	struct seen s = {0};
	struct peer p;

	flow_close(peer_accept(&p, PEER4, 80, &s));
	p.ack++;
	peer_send(&p, ACK, NULL, 0);
	h_pass_ms(59000);
	ck_assert_int_eq(s.closed, 0);
	h_pass_ms(2000);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, 0);
}
END_TEST

START_TEST(a_flow_that_is_closed_in_fin_wait_2_does_not_either)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	flow_shutdown(f);
	p.ack++;
	peer_send(&p, ACK, NULL, 0);
	h_pass_ms(600000); /* half closed as long as its owner likes */
	ck_assert_int_eq(s.closed, 0);
	flow_close(f);
	h_pass_ms(59000);
	ck_assert_int_eq(s.closed, 0);
	h_pass_ms(2000);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, 0);
}
END_TEST

/* @p answers what the stack sends for @s seconds with @bytes acknowledged each time. */
static void answer_for(struct peer *p, unsigned int s, unsigned int bytes)
{
	uint64_t end = h.now + s * UINT64_C(1000000000);

	while (h.now < end) {
		h_pass_ms(10);
		if (h.n_taken == h.n_sent)
			continue;
		wire_forget();
		h_recycle();
		p->ack += bytes;
		peer_send(p, ACK, NULL, 0);
	}
}

static struct flow *before_a_closed_window(struct peer *p, struct seen *s)
{
	struct flow *f = peer_accept(p, PEER4, 80, s);

	p->window = 0;
	peer_send(p, ACK, NULL, 0);
	flow_write(f, "data", 4);
	return f;
}

START_TEST(an_orphan_before_a_closed_window_is_given_up)
{
	struct seen s = {0};
	struct peer p;

	flow_close(before_a_closed_window(&p, &s));
	answer_for(&p, 320, 0);
	ck_assert_int_eq(s.closed, 0);
	answer_for(&p, 10, 0);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ETIMEDOUT);
}
END_TEST

START_TEST(who_became_an_orphan_late_has_the_same_time)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = before_a_closed_window(&p, &s);

	answer_for(&p, 3600, 0);
	ck_assert_int_eq(s.closed, 0);
	flow_orphan(f); /* there was more to write */
	answer_for(&p, 320, 0);
	flow_close(f);
	ck_assert_int_eq(s.closed, 0);
	answer_for(&p, 10, 0);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ETIMEDOUT);
}
END_TEST

START_TEST(an_orphan_that_nobody_acknowledges_is_given_up)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	flow_write(f, "data", 4);
	h_pass_ms(300000);
	flow_close(f);
	h_pass_ms(101000);
	ck_assert_int_eq(s.closed, 0);
	h_pass_ms(2000);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ETIMEDOUT);
}
END_TEST

START_TEST(an_orphan_lives_as_long_as_something_is_acknowledged)
{
	enum { BYTES = 60 };
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	p.window = 0;
	peer_send(&p, ACK, NULL, 0);
	for (int i = 0; i < BYTES; i++)
		flow_write(f, "x", 1);
	flow_close(f);
	answer_for(&p, 3600, 1); /* a byte with each probe */
	ck_assert_int_eq(s.closed, 0);
	ck_assert_uint_lt(flow_unacked(f), BYTES);
}
END_TEST

START_TEST(the_user_timeout_of_an_orphan_makes_it_end_sooner_only)
{
	static const uint32_t user_s[] = {50, 1000};

	for (int i = 0; i < 2; i++) {
		struct flow_options o = {.user_timeout_ms = user_s[i] * 1000};
		struct seen s = {0};
		struct peer p;
		struct flow *f = before_a_closed_window(&p, &s);

		flow_set_options(f, &o);
		flow_close(f);
		answer_for(&p, i ? 320 : 48, 0);
		ck_assert_int_eq(s.closed, 0);
		answer_for(&p, 10, 0);
		ck_assert_int_eq(s.closed, 1);
	}
}
END_TEST

START_TEST(a_shutdown_while_connecting_sends_fin_when_connected)
{
	struct peer p = {.them = addr(PEER4, 80), .window = 0xffff, .seq = 1};
	struct seen s = {0};
	struct segment g;
	int err;

	s.flow = flow_connect(h.stack, NULL, &p.them, NULL, &seen_ops, &s, &err);
	flow_shutdown(s.flow);
	g = wire_segment();
	ck_assert_uint_eq(g.flags, SYN);
	p.us = g.from;
	p.ack = g.seq + 1;
	peer_send(&p, SYN | ACK, NULL, 0);
	ck_assert_int_eq(s.connected, 1);
	g = wire_segment();
	if (!(g.flags & FIN))
		g = wire_segment();
	ck_assert_uint_eq(g.flags, FIN | ACK);
	ck_assert_uint_eq(flow_unacked(s.flow), 1);
}
END_TEST

START_TEST(a_fin_behind_data_leaves_nothing_unsent)
{
	struct seen s = {0};
	struct flow_info info;
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	p.window = 0;
	peer_send(&p, ACK, NULL, 0);
	flow_write(f, "data", 4);
	flow_shutdown(f);
	flow_info(f, &info);
	ck_assert_uint_eq(info.not_sent, 4);
	p.window = 0xffff;
	peer_send(&p, ACK, NULL, 0);
	ck_assert_uint_eq(wire_segment().flags & FIN, FIN);
	flow_info(f, &info);
	ck_assert_uint_eq(info.not_sent, 0);
	ck_assert_uint_eq(flow_unacked(f), 5);
}
END_TEST

/* Linux delays its ACK by 40 ms while the program there keeps its end open. */
START_TEST(a_lone_fin_is_sent_again_before_its_delayed_ack)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	wire_forget();
	flow_shutdown(f);
	ck_assert_uint_eq(wire_segment().flags, FIN | ACK);
	h_pass_ms(24);
	ck_assert_ptr_null(wire_next());
	h_pass_ms(3);
	ck_assert_uint_eq(wire_segment().flags, FIN | ACK);
	h_pass_ms(100);
	ck_assert_ptr_null(wire_next());
}
END_TEST

START_TEST(passive_close_ends_with_the_last_ack)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	peer_send(&p, FIN | ACK, NULL, 0);
	ck_assert(s.fin);
	ck_assert_uint_eq(wire_segment().ack, p.seq);
	flow_write(f, "bye", 3);
	ck_assert_uint_eq(wire_segment().len, 3);
	flow_close(f);
	ck_assert_uint_eq(wire_segment().flags, FIN | ACK);
	ck_assert_int_eq(s.closed, 0);
	p.ack += 4;
	peer_send(&p, ACK, NULL, 0);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, 0);
}
END_TEST

START_TEST(abort_says_nothing_more)
{
	struct stack_stats stats;
	struct seen s = {0};
	struct peer p;

	flow_abort(peer_accept(&p, PEER4, 80, &s));
	ck_assert_uint_eq(wire_segment().flags & RST, RST);
	h_pass_ms(1000);
	ck_assert_int_eq(s.closed, 0);
	stack_stats(h.stack, &stats);
	ck_assert_uint_eq(stats.tcp_flows, 0);
	peer_send(&p, ACK, "x", 1); /* nobody is there */
	ck_assert_uint_eq(wire_segment().flags & RST, RST);
}
END_TEST

static void abort_it(struct flow *f, void *arg)
{
	((struct seen *)arg)->readable++;
	flow_abort(f);
}

START_TEST(a_callback_may_abort_its_own_flow)
{
	static const struct flow_ops ops = {.readable = abort_it, .closed = seen_closed};
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	flow_set_ops(f, &ops, &s);
	peer_send(&p, FIN | ACK, "x", 1);
	ck_assert_int_eq(s.readable, 1);
	ck_assert_int_eq(s.closed, 0);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, reset_is_reported_after_the_data);
	tcase_add_test(tc, close_in_order_waits_for_the_reader);
	tcase_add_test(tc, close_with_unread_bytes_resets);
	tcase_add_test(tc, data_after_close_is_answered_with_reset);
	tcase_add_test(tc, a_closed_flow_does_not_wait_for_ever);
	tcase_add_test(tc, a_flow_that_is_closed_in_fin_wait_2_does_not_either);
	tcase_add_test(tc, an_orphan_before_a_closed_window_is_given_up);
	tcase_add_test(tc, who_became_an_orphan_late_has_the_same_time);
	tcase_add_test(tc, an_orphan_that_nobody_acknowledges_is_given_up);
	tcase_add_test(tc, an_orphan_lives_as_long_as_something_is_acknowledged);
	tcase_add_test(tc, the_user_timeout_of_an_orphan_makes_it_end_sooner_only);
	tcase_add_test(tc, a_shutdown_while_connecting_sends_fin_when_connected);
	tcase_add_test(tc, a_fin_behind_data_leaves_nothing_unsent);
	tcase_add_test(tc, a_lone_fin_is_sent_again_before_its_delayed_ack);
	tcase_add_test(tc, passive_close_ends_with_the_last_ack);
	tcase_add_test(tc, abort_says_nothing_more);
	tcase_add_test(tc, a_callback_may_abort_its_own_flow);
}

int main(void)
{
	return h_run("stack tcp close", add);
}
