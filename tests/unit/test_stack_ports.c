/* SPDX-License-Identifier: MIT */
/* test_stack_ports.c - how long ephemeral ports last, and what TIME_WAIT holds */
#include "tests/unit/stack_harness.h"

enum {
	PORTS = 60999 - 32768 + 1, /* Linux's default range */
	TIME_WAITS = 4096,	   /* limits.h: TIME_WAIT_MAX */
	CYCLE_NS = 200 * 1000,	   /* 5,000 connections a second */
};

static struct stack_stats stats(void)
{
	struct stack_stats s;

	stack_stats(h.stack, &s);
	return s;
}

static int connect_to(const char *them, uint16_t port, struct seen *s)
{
	struct stack_addr to = addr(them, port);
	int err = 0;

	s->flow = flow_connect(h.stack, NULL, &to, NULL, &seen_ops, s, &err);
	wire_forget();
	h_recycle();
	return s->flow ? 0 : err;
}

START_TEST(each_destination_has_all_ports)
{
	static struct seen s[PORTS + 4];
	static bool used[65536];

	for (int i = 0; i < PORTS; i++) {
		struct stack_addr local;

		ck_assert_int_eq(connect_to(PEER4, 80, &s[i]), 0);
		flow_addrs(s[i].flow, &local, NULL);
		ck_assert(!used[local.port]);
		used[local.port] = true;
	}
	ck_assert_int_eq(connect_to(PEER4, 80, &s[PORTS]), EADDRNOTAVAIL);
	ck_assert_int_eq(connect_to(PEER4, 81, &s[PORTS]), 0);
	ck_assert_int_eq(connect_to(PEER6, 80, &s[PORTS + 1]), 0);
	flow_abort(s[0].flow);
	ck_assert_int_eq(connect_to(PEER4, 80, &s[PORTS + 2]), 0);
}
END_TEST

START_TEST(a_port_that_is_bound_is_nobodys_ephemeral_one)
{
	struct stack_addr local, to = addr(PEER4, 80), from = addr(US4, 50000);
	static struct seen s[3];
	int err = 0;

	h_unbound_port = 40001;
	ck_assert_int_eq(connect_to(PEER4, 80, &s[0]), 0);
	flow_addrs(s[0].flow, &local, NULL);
	ck_assert_uint_eq(local.port, h_unbound_port);
	ck_assert_int_eq(connect_to(PEER4, 80, &s[1]), EADDRNOTAVAIL);
	/* who has bound it connects from it */
	s[2].flow = flow_connect(h.stack, &from, &to, NULL, &seen_ops, &s[2], &err);
	ck_assert_ptr_nonnull(s[2].flow);
	h_unbound_port = 0;
}
END_TEST

/* Connects, closes first and so goes through TIME_WAIT. Returns our port. */
static uint16_t cycle(uint16_t port, uint32_t *isn, uint32_t *end)
{
	struct seen s = {0};
	struct peer p;

	peer_accept(&p, PEER4, port, &s);
	*isn = p.ack - 1;
	flow_close(s.flow);
	p.ack++;
	*end = p.ack;
	peer_send(&p, FIN | ACK, NULL, 0);
	ck_assert_int_eq(s.closed, 1);
	wire_forget();
	h_recycle();
	h.now += CYCLE_NS;
	return p.us.port;
}

/* A port that waits is not taken; one whose wait was cut short has a later sequence number, which
 * the other end takes for a new connection even if it waits itself (RFC 1122 4.2.2.13). */
START_TEST(connections_that_come_and_go_do_not_run_out_of_ports)
{
	static uint32_t ends[65536];
	static int last[65536];

	for (int i = 1; i <= 2 * PORTS; i++) {
		uint32_t isn, end;
		uint16_t port = cycle(80, &isn, &end);

		if (last[port]) {
			ck_assert_int_gt(i - last[port], TIME_WAITS);
			ck_assert_int_gt((int32_t)(isn - ends[port]), 0);
		}
		last[port] = i;
		ends[port] = end;
		ck_assert_uint_eq(stats().tcp_flows, 0);
	}
}
END_TEST

START_TEST(a_port_has_flows_until_time_wait_is_over)
{
	struct seen s = {0};
	struct stack_addr local;
	uint32_t isn, end;
	uint16_t waiting;

	ck_assert_int_eq(connect_to(PEER4, 80, &s), 0);
	flow_addrs(s.flow, &local, NULL);
	ck_assert(stack_port_has_flows(h.stack, local.port));
	flow_abort(s.flow);
	ck_assert(!stack_port_has_flows(h.stack, local.port));
	waiting = cycle(80, &isn, &end);
	ck_assert(stack_port_has_flows(h.stack, waiting));
	h_pass_ms(61000);
	stack_tick(h.stack); /* nothing wakes anybody for the end of the wait */
	ck_assert(!stack_port_has_flows(h.stack, waiting));
}
END_TEST

/* Nobody else does it where nothing else happens. */
START_TEST(trimming_ends_what_has_waited_long_enough_and_says_when_to_come_again)
{
	uint32_t isn, end;
	uint16_t waiting;

	ck_assert_uint_eq(stack_trim(h.stack), 0);
	waiting = cycle(80, &isn, &end);
	h_pass_ms(5000);
	ck_assert_uint_eq(stack_trim(h.stack), 60000);
	ck_assert(stack_port_has_flows(h.stack, waiting));
	h_pass_ms(60000);
	ck_assert_uint_eq(stack_trim(h.stack), 0);
	ck_assert(!stack_port_has_flows(h.stack, waiting));
}
END_TEST

/* As Linux, which has timestamps to tell the connections apart (tcp_twsk_unique()). */
START_TEST(who_asks_for_a_waiting_port_gets_it_when_sequence_numbers_have_moved_on)
{
	struct stack_addr from = addr(US4, 0), to = addr(PEER4, 80);
	struct seen s = {0};
	uint32_t isn, end;
	int err = 0;

	from.port = cycle(80, &isn, &end);
	h.now -= CYCLE_NS;
	ck_assert_ptr_null(flow_connect(h.stack, &from, &to, NULL, &seen_ops, &s, &err));
	ck_assert_int_eq(err, EADDRNOTAVAIL);
	h.now += CYCLE_NS;
	s.flow = flow_connect(h.stack, &from, &to, NULL, &seen_ops, &s, &err);
	ck_assert_ptr_nonnull(s.flow);
	ck_assert_int_gt((int32_t)(wire_segment().seq - end), 0);
	ck_assert_ptr_null(flow_connect(h.stack, &from, &to, NULL, &seen_ops, &s, &err));
	ck_assert_int_eq(err, EADDRNOTAVAIL);
}
END_TEST

START_TEST(time_wait_lasts_a_minute)
{
	uint32_t isn, end;
	struct peer late = {.us = addr(US4, 0), .them = addr(PEER4, 80), .window = 0xffff};

	late.us.port = cycle(80, &isn, &end);
	late.ack = end;
	late.seq = 5000; /* peer_accept's SYN */
	h_pass_ms(59000);
	peer_raw(&late, FIN | ACK, late.seq + 1, late.ack, NULL, 0, NULL, 0);
	ck_assert_uint_eq(wire_segment().flags, ACK); /* again: the last one may have been lost */
	/* lwIP starts the wait anew (RFC 9293 3.10.7.4); ours ends after the first minute */
	h_pass_ms(2000);
	peer_raw(&late, FIN | ACK, late.seq + 1, late.ack, NULL, 0, NULL, 0);
	wire_forget();
	peer_raw(&late, FIN | ACK, late.seq + 1, late.ack, NULL, 0, NULL, 0);
	ck_assert_uint_eq(wire_segment().flags & RST, RST);
}
END_TEST

static void tests(TCase *tc)
{
	tcase_set_timeout(tc, 180);
	tcase_add_test(tc, each_destination_has_all_ports);
	tcase_add_test(tc, a_port_that_is_bound_is_nobodys_ephemeral_one);
	tcase_add_test(tc, connections_that_come_and_go_do_not_run_out_of_ports);
	tcase_add_test(tc, a_port_has_flows_until_time_wait_is_over);
	tcase_add_test(tc, trimming_ends_what_has_waited_long_enough_and_says_when_to_come_again);
	tcase_add_test(tc, who_asks_for_a_waiting_port_gets_it_when_sequence_numbers_have_moved_on);
	tcase_add_test(tc, time_wait_lasts_a_minute);
}

int main(void)
{
	return h_run("stack ports", tests);
}
