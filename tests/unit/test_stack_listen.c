/* SPDX-License-Identifier: MIT */
/* test_stack_listen.c - listeners: which one is asked, what it accepts, what its end drops */
#include "tests/unit/stack_harness.h"

/* A connection from @them to port 80 of @us; the handshake is complete at the end. */
static void dial(struct peer *p, const char *them, uint16_t port, const char *us)
{
	struct segment g;

	memset(p, 0, sizeof(*p));
	p->them = addr(them, port);
	p->us = addr(us, 80);
	p->window = 0xffff;
	p->seq = 900;
	peer_raw(p, SYN, p->seq++, 0, usual_options, sizeof(usual_options), NULL, 0);
	g = wire_segment();
	ck_assert_uint_eq(g.flags, SYN | ACK);
	ck_assert_uint_eq(g.ack, p->seq);
	ck_assert_uint_eq(g.scale, 9);
	p->ack = g.seq + 1;
	peer_send(p, ACK, NULL, 0);
}

static struct flow_listener *listen_on(const char *ip, bool v6only, struct seen *s)
{
	struct stack_addr local = addr(ip, 80);
	int err;
	struct flow_listener *l =
		flow_listen(h.stack, &local, v6only, 4, &seen_listener_ops, s, &err);

	ck_assert_ptr_nonnull(l);
	return l;
}

START_TEST(a_listener_accepts_and_data_follows)
{
	struct stack_addr local, remote;
	struct seen s = {0};
	struct peer p;

	listen_on("::", false, &s);
	dial(&p, PEER4, 5000, US4B); /* IPv4 on a dual-stack wildcard */
	ck_assert_ptr_nonnull(s.flow);
	flow_addrs(s.flow, &local, &remote);
	ck_assert(stack_addr_equal(&local, &p.us));
	ck_assert(stack_addr_equal(&remote, &p.them));
	peer_send(&p, ACK, "question", 8);
	ck_assert_uint_eq(s.len, 8);
	wire_forget(); /* the first window that is scaled is told at once */
	flow_write(s.flow, "answer", 6);
	ck_assert_uint_eq(wire_segment().len, 6);
	free(s.data);
}
END_TEST

START_TEST(data_in_the_handshakes_last_segment_is_kept)
{
	struct seen s = {0};
	struct peer p;

	listen_on(US6, false, &s);
	memset(&p, 0, sizeof(p));
	p.them = addr(PEER6, 5000);
	p.us = addr(US6, 80);
	peer_raw(&p, SYN, p.seq++, 0, NULL, 0, NULL, 0);
	p.ack = wire_segment().seq + 1;
	peer_send(&p, ACK | FIN, "all at once", 11);
	ck_assert_ptr_nonnull(s.flow);
	ck_assert_uint_eq(s.len, 11);
	ck_assert(s.fin);
	free(s.data);
}
END_TEST

START_TEST(wildcards_of_both_families_are_separate_if_v6only)
{
	struct seen any = {0}, six = {0};
	struct stack_addr local = addr("0.0.0.0", 80);
	struct peer p;
	int err;

	listen_on("0.0.0.0", false, &any);
	listen_on("::", true, &six);
	ck_assert_ptr_null(flow_listen(h.stack, &local, false, 1, &seen_listener_ops, &any, &err));
	ck_assert_int_eq(err, EADDRINUSE);
	dial(&p, PEER4, 5000, US4);
	ck_assert_ptr_nonnull(any.flow);
	dial(&p, PEER6, 5000, US6);
	ck_assert_ptr_nonnull(six.flow);
	ck_assert_ptr_ne(any.flow, six.flow);
}
END_TEST

START_TEST(listeners_that_overlap_the_nearest_is_asked)
{
	struct seen six = {0}, four = {0}, one = {0};
	struct peer p;

	listen_on("::", false, &six);
	listen_on("0.0.0.0", false, &four);
	listen_on(US4B, false, &one);
	dial(&p, PEER4, 5000, US4B);
	ck_assert_ptr_nonnull(one.flow);
	ck_assert_ptr_null(four.flow);
	dial(&p, PEER4, 5001, US4);
	ck_assert_ptr_nonnull(four.flow);
	ck_assert_ptr_null(six.flow);
	dial(&p, PEER6, 5000, US6);
	ck_assert_ptr_nonnull(six.flow);
}
END_TEST

static bool never(struct flow_listener *l, void *arg)
{
	(void)l, (void)arg;
	return false;
}

START_TEST(a_syn_finds_no_listener_that_is_not_alive)
{
	static const struct flow_listener_ops dead = {seen_accept, never};
	struct stack_addr local = addr(US4, 80);
	struct stack_stats stats;
	struct seen s = {0}, one = {0};
	struct peer p = {.them = addr(PEER4, 5000), .us = addr(US4, 80)};
	int err;

	ck_assert_ptr_nonnull(flow_listen(h.stack, &local, false, 4, &dead, &one, &err));
	peer_raw(&p, SYN, 1, 0, NULL, 0, NULL, 0);
	ck_assert_uint_eq(wire_segment().flags & RST, RST);
	stack_stats(h.stack, &stats);
	ck_assert_uint_eq(stats.tcp_flows, 0);
	listen_on("0.0.0.0", false, &s); /* the next that fits */
	dial(&p, PEER4, 5001, US4);
	ck_assert_ptr_nonnull(s.flow);
	ck_assert_ptr_null(one.flow);
}
END_TEST

/* As a port scan leaves them */
START_TEST(half_open_ones_that_are_reset_make_room)
{
	struct seen s = {0};
	struct peer p;

	listen_on(US4, false, &s);
	for (unsigned int i = 0; i < 20; i++) { /* the backlog is 4 */
		p = (struct peer){.us = addr(US4, 80),
				  .them = addr(PEER4, (uint16_t)(4000 + i)),
				  .seq = 100,
				  .window = 0xffff};
		peer_raw(&p, SYN, p.seq++, 0, NULL, 0, NULL, 0);
		ck_assert_uint_eq(wire_segment().flags, SYN | ACK);
		peer_raw(&p, RST, p.seq, 0, NULL, 0, NULL, 0);
		h_recycle();
	}
}
END_TEST

START_TEST(closing_a_listener_drops_the_half_open)
{
	struct stack_stats stats;
	struct seen s = {0};
	struct flow_listener *l = listen_on(US4, false, &s);
	struct peer p;

	dial(&p, PEER4, 5000, US4);
	memset(&p, 0, sizeof(p));
	p.them = addr(PEER4, 5001);
	p.us = addr(US4, 80);
	peer_raw(&p, SYN, p.seq++, 0, NULL, 0, NULL, 0);
	stack_stats(h.stack, &stats);
	ck_assert_uint_eq(stats.tcp_flows, 2);
	flow_listener_close(l);
	stack_stats(h.stack, &stats);
	ck_assert_uint_eq(stats.tcp_flows, 1); /* the accepted one stays */
	ck_assert_uint_eq(stats.tcp_listeners, 0);
	wire_forget();
	p.them.port = 5002;
	peer_raw(&p, SYN, 1, 0, NULL, 0, NULL, 0);
	ck_assert_uint_eq(wire_segment().flags & RST, RST);
}
END_TEST

START_TEST(a_new_syn_ends_time_wait)
{
	struct seen s = {0};
	struct peer p;

	listen_on(US4, false, &s);
	dial(&p, PEER4, 5000, US4);
	flow_shutdown(s.flow);
	ck_assert_uint_eq(wire_segment().flags, FIN | ACK);
	p.ack++;
	peer_send(&p, FIN | ACK, NULL, 0);
	ck_assert_int_eq(s.closed, 1);
	wire_forget();
	p.seq += 1000;
	peer_raw(&p, SYN, p.seq++, 0, NULL, 0, NULL, 0);
	p.ack = wire_segment().seq + 1;
	peer_send(&p, ACK, NULL, 0);
	ck_assert_ptr_nonnull(s.flow);
	peer_send(&p, ACK, "again", 5);
	ck_assert_uint_eq(s.len, 5);
	free(s.data);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, a_listener_accepts_and_data_follows);
	tcase_add_test(tc, data_in_the_handshakes_last_segment_is_kept);
	tcase_add_test(tc, wildcards_of_both_families_are_separate_if_v6only);
	tcase_add_test(tc, listeners_that_overlap_the_nearest_is_asked);
	tcase_add_test(tc, a_syn_finds_no_listener_that_is_not_alive);
	tcase_add_test(tc, half_open_ones_that_are_reset_make_room);
	tcase_add_test(tc, closing_a_listener_drops_the_half_open);
	tcase_add_test(tc, a_new_syn_ends_time_wait);
}

int main(void)
{
	return h_run("stack listen", add);
}
