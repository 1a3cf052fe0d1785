/* SPDX-License-Identifier: MIT */
/* test_stack_tcp.c - connections: opening, data both ways, every way to end */
#include "tests/unit/stack_harness.h"

/* ---- both ends in the stack, through its loop ---- */

static void loop_pair(const char *ip, struct seen *client, struct seen *server)
{
	struct stack_addr to = addr(ip, 0);
	int err;

	memset(client, 0, sizeof(*client));
	memset(server, 0, sizeof(*server));
	server->listener = flow_listen(h.stack, &to, false, 8, &seen_listener_ops, server, &err);
	ck_assert_ptr_nonnull(server->listener);
	to.port = flow_listener_port(server->listener);
	client->flow = flow_connect(h.stack, NULL, &to, NULL, &seen_ops, client, &err);
	ck_assert_ptr_nonnull(client->flow);
	h_settle();
	ck_assert_int_eq(client->connected, 1);
	ck_assert_ptr_nonnull(server->flow);
}

static void loop_bytes(const char *ip)
{
	enum { BYTES = 3 * 1000 * 1000 };
	struct seen client, server;
	uint8_t *data = malloc(BYTES);
	size_t sent = 0, i;

	for (i = 0; i < BYTES; i++)
		data[i] = (uint8_t)(i * 7 + i / 1000);
	loop_pair(ip, &client, &server);
	for (i = 0; i < 10000 && sent < BYTES; i++) {
		sent += flow_write(client.flow, data + sent, BYTES - sent);
		h_pass_ms(1);
	}
	ck_assert_uint_eq(sent, BYTES);
	h_pass_ms(1000);
	ck_assert_uint_eq(server.len, BYTES);
	ck_assert_mem_eq(server.data, data, BYTES);
	ck_assert_uint_eq(flow_unacked(client.flow), 0);

	flow_shutdown(client.flow);
	h_pass_ms(1000);
	ck_assert(server.fin);
	ck_assert_int_eq(client.closed, 0);
	ck_assert_uint_eq(flow_write(server.flow, "answer", 6), 6); /* half closed */
	flow_shutdown(server.flow);
	h_pass_ms(1000);
	ck_assert_uint_eq(client.len, 6);
	ck_assert(client.fin);
	ck_assert_int_eq(client.closed, 1);
	ck_assert_int_eq(client.err, 0);
	ck_assert_int_eq(server.closed, 1);
	ck_assert_int_eq(server.err, 0);
	ck_assert_uint_eq(h.n_sent, 0);
	free(client.data);
	free(server.data);
	free(data);
}

START_TEST(bytes_arrive_in_order_over_ipv4)
{
	loop_bytes(US4);
}
END_TEST

START_TEST(bytes_arrive_in_order_over_ipv6)
{
	loop_bytes(US6);
}
END_TEST

/* ---- opening, against a hand-made peer ---- */

START_TEST(syn_carries_the_options_of_the_interface)
{
	struct stack_addr to = addr(PEER4, 80), to6 = addr(PEER6, 80);
	struct seen s = {0};
	struct segment g;
	int err;

	ck_assert_ptr_nonnull(flow_connect(h.stack, NULL, &to, NULL, &seen_ops, &s, &err));
	g = wire_segment();
	ck_assert_uint_eq(g.flags, SYN);
	ck_assert_uint_eq(g.mss, WIRE_MTU - 40);
	ck_assert_uint_eq(g.scale, 7);
	ck_assert(g.sack_permitted);
	ck_assert_ptr_nonnull(flow_connect(h.stack, NULL, &to6, NULL, &seen_ops, &s, &err));
	ck_assert_uint_eq(wire_segment().mss, WIRE_MTU - 60);
}
END_TEST

START_TEST(refused_by_rst)
{
	struct peer p = {.them = addr(PEER4, 81)};
	struct seen s = {0};
	struct segment g;
	int err;

	flow_connect(h.stack, NULL, &p.them, NULL, &seen_ops, &s, &err);
	g = wire_segment();
	p.us = g.from;
	peer_raw(&p, RST | ACK, 0, g.seq, NULL, 0, NULL, 0); /* does not acknowledge the SYN */
	ck_assert_int_eq(s.closed, 0);
	peer_raw(&p, RST | ACK, 0, g.seq + 1, NULL, 0, NULL, 0);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ECONNREFUSED);
	ck_assert_int_eq(s.connected, 0);
}
END_TEST

START_TEST(unanswered_syn_backs_off_and_times_out_as_linux)
{
	struct stack_addr to = addr(PEER4, 80);
	struct seen s = {0};
	int err;

	flow_connect(h.stack, NULL, &to, NULL, &seen_ops, &s, &err);
	h_pass_ms(126000);
	ck_assert_uint_eq(h.n_sent, 7); /* at 0, 1, 3, 7, 15, 31, 63 s */
	ck_assert_int_eq(s.closed, 0);
	h_pass_ms(2000);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ETIMEDOUT);
	ck_assert_uint_eq(h.n_sent, 7);
	ck_assert_uint_eq(stack_next_deadline(h.stack), UINT64_MAX);
}
END_TEST

START_TEST(connect_timeout_is_the_callers)
{
	struct flow_options o = {.connect_timeout_ms = 500};
	struct stack_addr to = addr(PEER4, 80);
	struct seen s = {0};
	int err;

	flow_connect(h.stack, NULL, &to, &o, &seen_ops, &s, &err);
	h_pass_ms(490);
	ck_assert_int_eq(s.closed, 0);
	h_pass_ms(30);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ETIMEDOUT);
}
END_TEST

START_TEST(local_end_is_as_asked)
{
	struct stack_addr to = addr(PEER4, 80), local = addr(US4B, 5555), got, bad = addr("1.2.3.4", 0);
	struct stack_addr only6 = addr(PEER6, 80);
	struct seen s = {0};
	int err;

	struct flow *f = flow_connect(h.stack, &local, &to, NULL, &seen_ops, &s, &err);

	ck_assert_ptr_nonnull(f);
	flow_addrs(f, &got, NULL);
	ck_assert(stack_addr_equal(&got, &local));
	ck_assert_ptr_null(flow_connect(h.stack, &local, &to, NULL, &seen_ops, &s, &err));
	ck_assert_int_eq(err, EADDRNOTAVAIL); /* the same four-tuple */
	ck_assert_ptr_null(flow_connect(h.stack, &bad, &to, NULL, &seen_ops, &s, &err));
	ck_assert_int_eq(err, EADDRNOTAVAIL);
	ck_assert_ptr_null(flow_connect(h.stack, &local, &only6, NULL, &seen_ops, &s, &err));
	ck_assert_int_eq(err, EADDRNOTAVAIL);
}
END_TEST

/* ---- data ---- */

START_TEST(received_bytes_are_acknowledged_within_40_ms)
{
	struct seen s = {0};
	struct segment g;
	struct peer p;

	peer_accept(&p, PEER4, 80, &s);
	peer_send(&p, ACK | PSH, "hello", 5);
	ck_assert_uint_eq(s.len, 5);
	ck_assert_mem_eq(s.data, "hello", 5);
	ck_assert_ptr_null(wire_next());
	h_pass_ms(50);
	g = wire_segment();
	ck_assert_uint_eq(g.flags, ACK);
	ck_assert_uint_eq(g.ack, p.seq);
	ck_assert_uint_eq(stack_next_deadline(h.stack), UINT64_MAX);
	free(s.data);
}
END_TEST

START_TEST(a_lost_segment_is_sent_again_until_the_limit)
{
	struct seen s = {0};
	struct segment g;
	struct peer p;
	struct flow *f;
	int n = 0;

	f = peer_accept(&p, PEER6, 80, &s);
	ck_assert_uint_eq(flow_write(f, "x", 1), 1);
	g = wire_segment();
	ck_assert_uint_eq(g.len, 1);
	ck_assert_uint_eq(flow_unacked(f), 1);
	h_pass_ms(920000);
	ck_assert_int_eq(s.closed, 0);
	while (h.n_taken < h.n_sent) {
		struct segment again = wire_segment();

		ck_assert_uint_eq(again.seq, g.seq);
		ck_assert_uint_eq(again.len, 1);
		n++;
	}
	ck_assert_int_ge(n, 8);
	ck_assert_int_le(n, 60);
	h_pass_ms(10000);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ETIMEDOUT);
}
END_TEST

START_TEST(user_timeout_is_obeyed)
{
	struct flow_options o = {.user_timeout_ms = 3000};
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	flow_set_options(f, &o);
	h_pass_ms(60000); /* idle time does not count */
	flow_write(f, "x", 1);
	h_pass_ms(2900);
	ck_assert_int_eq(s.closed, 0);
	h_pass_ms(200);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ETIMEDOUT);
}
END_TEST

START_TEST(retransmission_after_an_idle_start_is_prompt)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	h_pass_ms(300000);
	flow_write(f, "x", 1);
	ck_assert_uint_eq(wire_segment().len, 1);
	h_pass_ms(1500);
	ck_assert_ptr_nonnull(wire_next()); /* lwIP alone: after 340 s */
}
END_TEST

START_TEST(an_idle_connection_wakes_nobody)
{
	struct seen s = {0};
	struct peer p;

	peer_accept(&p, PEER4, 80, &s);
	h_pass_ms(2000);
	ck_assert_uint_eq(h_pass_ms(86400000), 0);
	ck_assert_ptr_null(wire_next());
	ck_assert_int_eq(s.closed, 0);
}
END_TEST

START_TEST(keepalive_probes_then_gives_up)
{
	struct flow_options o = {.keepalive = true, .keep_idle_s = 10, .keep_interval_s = 2,
				 .keep_count = 3};
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	flow_set_options(f, &o);
	h_pass_ms(9900);
	ck_assert_ptr_null(wire_next());
	h_pass_ms(200);
	ck_assert_uint_eq(wire_segment().seq, p.ack - 1);
	peer_send(&p, ACK, NULL, 0); /* answered: counts from the start */
	h_pass_ms(9900);
	ck_assert_ptr_null(wire_next());
	h_pass_ms(6000);
	ck_assert_uint_eq(h.n_sent - h.n_taken, 3);
	ck_assert_int_eq(s.closed, 0);
	h_pass_ms(1000);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ETIMEDOUT);
}
END_TEST

/* ---- ending ---- */

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
	tcase_add_test(tc, bytes_arrive_in_order_over_ipv4);
	tcase_add_test(tc, bytes_arrive_in_order_over_ipv6);
	tcase_add_test(tc, syn_carries_the_options_of_the_interface);
	tcase_add_test(tc, refused_by_rst);
	tcase_add_test(tc, unanswered_syn_backs_off_and_times_out_as_linux);
	tcase_add_test(tc, connect_timeout_is_the_callers);
	tcase_add_test(tc, local_end_is_as_asked);
	tcase_add_test(tc, received_bytes_are_acknowledged_within_40_ms);
	tcase_add_test(tc, a_lost_segment_is_sent_again_until_the_limit);
	tcase_add_test(tc, user_timeout_is_obeyed);
	tcase_add_test(tc, retransmission_after_an_idle_start_is_prompt);
	tcase_add_test(tc, an_idle_connection_wakes_nobody);
	tcase_add_test(tc, keepalive_probes_then_gives_up);
	tcase_add_test(tc, reset_is_reported_after_the_data);
	tcase_add_test(tc, close_in_order_waits_for_the_reader);
	tcase_add_test(tc, close_with_unread_bytes_resets);
	tcase_add_test(tc, data_after_close_is_answered_with_reset);
	tcase_add_test(tc, a_closed_flow_does_not_wait_for_ever);
	tcase_add_test(tc, passive_close_ends_with_the_last_ack);
	tcase_add_test(tc, abort_says_nothing_more);
	tcase_add_test(tc, a_callback_may_abort_its_own_flow);
}

int main(void)
{
	return h_run("stack tcp", add);
}
