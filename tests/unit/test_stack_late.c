/* SPDX-License-Identifier: MIT */
/*
 * test_stack_late.c - what was late and was taken for lost: how long the next such is waited for, and
 * what becomes of the congestion window
 */
#include "stack/internal.h"
#include "stack_round_trip.h"

enum { FLIGHT = 10 };

static const struct flow_options cubic = {.congestion = FLOW_CUBIC};
static uint8_t data[40 * MSS];

static uint32_t ssthresh(const struct flow *f)
{
	struct flow_info info;

	flow_info(f, &info);
	return info.ssthresh;
}

/* A flight of which @edges are SACKed a round trip later; the rest of it leaves again. */
static void flight(struct flow *f, struct peer *p, int segments, const int *edges, int n)
{
	flow_write(f, data, (size_t)segments * MSS);
	h_pass_ms(RTT_MS);
	wire_forget();
	peer_sack(p, p->ack, edges, n);
}

/* All of it is acknowledged, @ms later. */
static void acknowledge(struct peer *p, int segments, uint64_t ms)
{
	h_pass_ms(ms);
	wire_forget();
	p->ack += (uint32_t)segments * MSS;
	peer_send(p, ACK, NULL, 0);
}

/* What was sent again 3 ms ago cannot have been answered yet. */
START_TEST(what_was_late_leaves_the_window_as_it_was)
{
	struct flow_info before, after;
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, &cubic);
	uint32_t base = p.ack;

	flow_info(f, &before);
	flight(f, &p, FLIGHT, (int[]){1, 4}, 2);
	ck_assert_int_eq(next_sent(base), 0);
	ck_assert_uint_lt(ssthresh(f), before.ssthresh);
	acknowledge(&p, 4, 3);
	flow_info(f, &after);
	ck_assert_uint_eq(after.ssthresh, before.ssthresh);
	ck_assert_uint_ge(after.cwnd, before.cwnd);
	ck_assert_uint_eq(after.loss, 0);
}
END_TEST

/* Two are taken for lost, and of one it is not known: it may have been. */
START_TEST(one_loss_among_late_ones_counts)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, &cubic);
	uint32_t before = ssthresh(f);

	flight(f, &p, FLIGHT, (int[]){1, 4, 5, 9}, 4);
	acknowledge(&p, 4, 3);
	ck_assert_uint_lt(ssthresh(f), before);
	acknowledge(&p, 6, RTT_MS);
	ck_assert_uint_lt(ssthresh(f), before);
}
END_TEST

/* Nothing is in flight any more when the peer says which segments it had twice. */
START_TEST(a_report_after_the_last_ack_counts)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, &cubic);
	uint32_t base = p.ack, before = ssthresh(f);

	flight(f, &p, FLIGHT, (int[]){1, 4, 5, FLIGHT}, 4);
	acknowledge(&p, FLIGHT, RTT_MS + 1);
	ck_assert_uint_lt(ssthresh(f), before);
	peer_sack(&p, base, (int[]){4, 5}, 2); /* of the first one it says nothing */
	ck_assert_uint_lt(ssthresh(f), before);
	peer_sack(&p, base, (int[]){0, 1}, 2);
	ck_assert_uint_eq(ssthresh(f), before);
}
END_TEST

/* What was never sent again came twice: then what was says nothing either. */
START_TEST(a_path_that_makes_two_of_a_packet_is_not_believed)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, &cubic);
	uint32_t base = p.ack, before = ssthresh(f), lost;

	flow_write(f, data, MSS);
	acknowledge(&p, 1, RTT_MS);
	peer_sack(&p, base, (int[]){0, 1}, 2);
	base = p.ack;
	flight(f, &p, FLIGHT, (int[]){1, FLIGHT}, 2);
	acknowledge(&p, FLIGHT, RTT_MS + 1);
	lost = ssthresh(f);
	ck_assert_uint_lt(lost, before);
	peer_sack(&p, base, (int[]){0, 1}, 2);
	ck_assert_uint_eq(ssthresh(f), lost);
}
END_TEST

/* The round trip is 40 ms, that of the late segment 85. */
START_TEST(as_late_a_segment_is_waited_for)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base;

	flight(f, &p, FLIGHT, (int[]){1, 3}, 2);
	h_pass_ms(15); /* two SACKed ones: patience of a quarter */
	ck_assert_int_eq(next_sent(p.ack), 0);
	acknowledge(&p, FLIGHT, 30);
	h_pass_ms(1);
	base = p.ack;
	flight(f, &p, 5, (int[]){1, 5}, 2);
	h_pass_ms(45);
	ck_assert_int_eq(next_sent(base), -1);
	h_pass_ms(15); /* but not for ever */
	ck_assert_int_eq(next_sent(base), 0);
}
END_TEST

/* Six losses end it: BBRHandleSpuriousLossDetection of the draft */
START_TEST(what_was_late_does_not_end_the_start)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	const struct rate_sample rs = {.any = true, .acked = MSS, .rate = 1000000};
	const struct bbr *b = &f->tx.bbr;

	f->tx.refuted = true;
	f->tx.cc->congestion(f);
	for (uint32_t i = 1; i <= 6; i++) {
		const struct tx_seg e = {.seq = 2 * i * MSS, .end = (2 * i + 1) * MSS};

		f->tx.cc->lost(f, &e);
	}
	f->tx.cc->acked(f, &rs);
	ck_assert_int_ne(b->state, BBR_STARTUP);
	ck_assert_uint_ne(b->inflight_high, UINT64_MAX);
	f->tx.cc->undo(f);
	ck_assert_int_eq(b->state, BBR_STARTUP);
	ck_assert(!b->full_bw_reached);
	ck_assert_uint_eq(b->inflight_high, UINT64_MAX);
	f->tx.cc->acked(f, &rs);
	ck_assert_int_eq(b->state, BBR_STARTUP);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, what_was_late_leaves_the_window_as_it_was);
	tcase_add_test(tc, one_loss_among_late_ones_counts);
	tcase_add_test(tc, a_report_after_the_last_ack_counts);
	tcase_add_test(tc, a_path_that_makes_two_of_a_packet_is_not_believed);
	tcase_add_test(tc, as_late_a_segment_is_waited_for);
	tcase_add_test(tc, what_was_late_does_not_end_the_start);
}

int main(void)
{
	return h_run("stack late", add);
}
