/* SPDX-License-Identifier: MIT */
/*
 * test_stack_sender.c - what is sent again, when, and how fast
 *
 * The peer is written by hand, so that each ACK says exactly what the test wants; the round trip is
 * 40 ms of virtual time. Goodput over whole paths is tests/sim/sim_stack.c's.
 */
#include "stack_round_trip.h"

static uint8_t data[400 * MSS];

START_TEST(sack_repairs_the_holes_and_nothing_else)
{
	struct stack_stats stats;
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack;

	flow_write(f, data, 10 * MSS);
	wire_forget();
	h_pass_ms(RTT_MS);
	peer_sack(&p, base, (int[]){2, 3}, 2);
	peer_sack(&p, base, (int[]){2, 4}, 2);
	ck_assert_int_eq(next_sent(base), -1); /* two might be reordering */
	peer_sack(&p, base, (int[]){7, 10, 2, 5}, 4);
	ck_assert_int_eq(next_sent(base), 0);
	ck_assert_int_eq(next_sent(base), 1);
	ck_assert_int_eq(next_sent(base), 5);
	ck_assert_int_eq(next_sent(base), 6);
	ck_assert_int_eq(next_sent(base), -1);
	h_pass_ms(RTT_MS);
	p.ack = base + 10 * MSS;
	peer_send(&p, ACK, NULL, 0);
	ck_assert_uint_eq(flow_unacked(f), 0);
	stack_stats(h.stack, &stats);
	ck_assert_uint_eq(stats.tcp_retransmits, 4);
	ck_assert_uint_eq(stack_next_deadline(h.stack), UINT64_MAX);
}
END_TEST

START_TEST(what_is_measured_can_be_asked_for)
{
	enum { NS_PER_MS = 1000000 };
	struct flow_info info;
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack;

	flow_write(f, data, 20 * MSS);
	flow_info(f, &info);
	ck_assert_uint_eq(info.inflight, 10 * MSS);
	ck_assert_uint_eq(info.not_sent, 10 * MSS);
	ck_assert_uint_eq(info.cwnd, 10 * MSS);
	h_pass_ms(RTT_MS);
	peer_sack(&p, base, (int[]){1, 10}, 2);
	flow_info(f, &info);
	ck_assert_uint_eq(info.state, 1);
	ck_assert_uint_eq(info.mss, MSS);
	ck_assert_uint_eq(info.sacked, 9 * MSS);
	ck_assert_uint_eq(info.acked, 0);
	ck_assert_uint_eq(info.loss, 1);
	ck_assert_uint_eq(info.resent, MSS);
	ck_assert_uint_eq(info.resent_segments, 1);
	ck_assert(info.sack);
	p.ack = base + 10 * MSS;
	peer_send(&p, ACK, "hello", 5);
	flow_info(f, &info);
	ck_assert_uint_eq(info.acked, 10 * MSS);
	ck_assert_uint_eq(info.received, 5);
	ck_assert_uint_eq(info.lost, 0);
	ck_assert_uint_ge(info.srtt_ns, RTT_MS * NS_PER_MS);
	ck_assert_uint_le(info.srtt_ns, (RTT_MS + 20) * NS_PER_MS);
	ck_assert_uint_eq(info.min_rtt_ns, RTT_MS * NS_PER_MS);
	ck_assert_uint_gt(info.rto_ns, info.srtt_ns);
	free(s.data);
}
END_TEST

/* Not even if the peer takes back that it has some of it (RFC 2018 8). */
START_TEST(what_is_acknowledged_counts_once)
{
	enum { FLIGHT = 5 };
	struct flow_info info;
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack;

	flow_write(f, data, FLIGHT * MSS);
	h_pass_ms(RTT_MS);
	peer_sack(&p, base, (int[]){0, FLIGHT}, 2);
	h_pass_ms(1000);
	p.ack = base + FLIGHT * MSS;
	peer_send(&p, ACK, NULL, 0);
	flow_info(f, &info);
	ck_assert_uint_eq(info.acked, FLIGHT * MSS);
}
END_TEST

START_TEST(a_retransmission_that_is_lost_is_found)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack;

	flow_write(f, data, 20 * MSS);
	h_pass_ms(5);
	wire_forget();
	h_pass_ms(RTT_MS - 5);
	peer_sack(&p, base, (int[]){1, 8}, 2);
	ck_assert_int_eq(next_sent(base), 0);
	while (next_sent(base) >= 0) /* new data; then a round trip in which only that arrives */
		;
	h_pass_ms(RTT_MS);
	wire_forget();
	peer_sack(&p, base, (int[]){1, 14}, 2);
	ck_assert_int_eq(next_sent(base), 0);
}
END_TEST

START_TEST(the_last_segment_is_probed_before_the_timeout)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack;

	flow_write(f, data, 4 * MSS);
	wire_forget();
	h_pass_ms(RTT_MS);
	p.ack = base + 2 * MSS;
	peer_send(&p, ACK, NULL, 0);
	h_pass_ms(2 * RTT_MS - 10);
	ck_assert_int_eq(next_sent(base), -1);
	h_pass_ms(20);
	ck_assert_int_eq(next_sent(base), 3); /* RFC 8985 7.3: the last one */
	h_pass_ms(RTT_MS);
	peer_sack(&p, base, (int[]){3, 4}, 2);
	ck_assert_int_eq(next_sent(base), 2); /* the probe's answer shows the hole */
	ck_assert_int_eq(next_sent(base), -1);
}
END_TEST

/* An answer that takes as long as an ACK may be delayed is no loss. */
START_TEST(a_lone_segment_is_probed_when_no_delayed_ack_can_come)
{
	enum { DELAYED_ACK_MS = 50 };
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack;

	flow_write(f, data, MSS);
	wire_forget();
	h_pass_ms(2 * RTT_MS + DELAYED_ACK_MS - 1);
	ck_assert_int_eq(next_sent(base), -1);
	h_pass_ms(2);
	ck_assert_int_eq(next_sent(base), 0);
}
END_TEST

/* The peer thought about a lone segment, and then had it twice: nothing was out of order. */
START_TEST(a_needless_probe_makes_no_patience_with_reordering)
{
	for (unsigned int round_trips = 4; round_trips <= 5; round_trips++) {
		struct seen s = {0};
		struct peer p;
		struct flow *f = peer_connect(&p, &s, NULL);
		uint32_t base = p.ack;

		flow_write(f, data, MSS);
		wire_forget();
		h_pass_ms(round_trips * RTT_MS); /* before and after the probe can be answered */
		ck_assert_int_eq(next_sent(base), 0);
		p.ack = base + MSS;
		peer_sack(&p, base, (int[]){0, 1}, 2);
		flow_write(f, data, 5 * MSS);
		wire_forget();
		h_pass_ms(RTT_MS);
		peer_sack(&p, base, (int[]){2, 5}, 2);
		ck_assert_int_eq(next_sent(base), 1);
		wire_forget();
	}
}
END_TEST

START_TEST(a_lost_flight_is_sent_again_in_order_after_the_timeout)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack;
	int i;

	flow_write(f, data, 6 * MSS);
	wire_forget();
	h_pass_ms(2 * RTT_MS + 30);
	ck_assert_int_eq(next_sent(base), 5); /* the probe */
	h_pass_ms(RTT_MS + 210);
	ck_assert_int_eq(next_sent(base), 0);
	ck_assert_int_eq(next_sent(base), -1); /* one segment until something is heard */
	for (i = 1; i < 6; i++) {
		h_pass_ms(RTT_MS);
		p.ack = base + (uint32_t)i * MSS;
		peer_send(&p, ACK, NULL, 0);
		if (i == 1)
			ck_assert_int_eq(next_sent(base), 1);
	}
	p.ack = base + 6 * MSS;
	peer_send(&p, ACK, NULL, 0);
	ck_assert_uint_eq(flow_unacked(f), 0);
}
END_TEST

/* The path has become longer: answers come to what the timeout took for lost (RFC 5682). */
static void a_late_flight_is_not_sent_again(enum flow_congestion congestion)
{
	enum { LATE_MS = 600, FLIGHT = 10 };
	struct flow_options options = {.congestion = congestion};
	struct flow_info info;
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, &options);
	uint32_t base = p.ack;
	int i;

	flow_write(f, data, FLIGHT * MSS);
	h_pass_ms(LATE_MS);
	wire_forget(); /* the flight, a probe, and the head once or twice */
	for (i = 2; i <= FLIGHT; i += 2) {
		p.ack = base + (uint32_t)i * MSS;
		peer_send(&p, ACK, NULL, 0);
		h_pass_ms(1);
	}
	i = next_sent(base); /* but the one that was the probe */
	ck_assert(i == -1 || i == FLIGHT - 1);
	ck_assert_int_eq(next_sent(base), -1);
	flow_info(f, &info);
	ck_assert_uint_ge(info.cwnd, FLIGHT * MSS);
	ck_assert_uint_ge(info.srtt_ns, LATE_MS / 8 * (uint64_t)1000000);
}

START_TEST(a_late_flight_is_not_sent_again_by_bbr)
{
	a_late_flight_is_not_sent_again(FLOW_BBR);
}
END_TEST

START_TEST(a_late_flight_is_not_sent_again_by_cubic)
{
	a_late_flight_is_not_sent_again(FLOW_CUBIC);
}
END_TEST

/* The first timeout is needless, as is heard when a segment behind the head arrives. What follows
 * does not repeat it. */
START_TEST(a_timeout_after_a_needless_one_counts)
{
	enum { LATE_MS = 600, FLIGHT = 10 };
	struct flow_options options = {.congestion = FLOW_CUBIC};
	static const int edges[] = {3, 4};
	struct flow_info info;
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, &options);
	uint32_t base = p.ack;

	flow_write(f, data, FLIGHT * MSS);
	h_pass_ms(LATE_MS);
	peer_sack(&p, base, edges, 2);
	flow_info(f, &info);
	ck_assert_uint_gt(info.cwnd, MSS);
	h_pass_ms(5000);
	flow_info(f, &info);
	ck_assert_uint_eq(info.cwnd, MSS);
}
END_TEST

/* A flight whose head has just left again after a timeout, while its answers are on their way; how
 * long that took, in ms */
static unsigned int late_flight(struct flow *f, uint32_t base, int segments)
{
	enum { TIMEOUT_MAX_MS = 1000 };
	unsigned int ms = 0;

	flow_write(f, data, (size_t)segments * MSS);
	wire_forget();
	while (next_sent(base) != 0) {
		h_pass_ms(1);
		ck_assert_uint_lt(++ms, TIMEOUT_MAX_MS);
	}
	h_pass_ms(1);
	return ms + 1;
}

/* When the head left first is not known any more: that it has left again a moment ago says nothing
 * about the rate at which the others were delivered. */
START_TEST(a_late_answer_to_what_left_again_hides_no_rate)
{
	enum { FLIGHT = 10, ANSWERED = 6 };
	struct flow_info info;
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	unsigned int ms = late_flight(f, p.ack, FLIGHT);

	p.ack += ANSWERED * MSS;
	peer_send(&p, ACK, NULL, 0);
	flow_info(f, &info);
	ck_assert_uint_eq(info.delivery_rate, ANSWERED * MSS * 1000u / ms);
}
END_TEST

START_TEST(cubic_has_the_same_threshold_after_a_needless_timeout)
{
	enum { FLIGHT = 10 };
	struct flow_options options = {.congestion = FLOW_CUBIC};
	struct flow_info before, at, after;
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, &options);

	flow_info(f, &before);
	late_flight(f, p.ack, FLIGHT);
	flow_info(f, &at);
	ck_assert_uint_lt(at.ssthresh, before.ssthresh);
	p.ack += 2 * MSS;
	peer_send(&p, ACK, NULL, 0);
	flow_info(f, &after);
	ck_assert_uint_eq(after.ssthresh, before.ssthresh);
}
END_TEST

/* What was taken back from the lost left before the head did again, and in its order: of that, too,
 * is lost what others have overtaken. */
START_TEST(losses_among_a_late_flight_are_found)
{
	enum { FLIGHT = 10, LOST = 2 };
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack;
	bool found = false;
	int sent;

	late_flight(f, base, FLIGHT);
	peer_sack(&p, base, (int[]){1, 2}, 2);
	peer_sack(&p, base, (int[]){LOST + 1, LOST + 3, 1, 2}, 4);
	h_pass_ms(RTT_MS / 2);
	while ((sent = next_sent(base)) >= 0)
		found |= sent == LOST;
	ck_assert_msg(found, "segment %d was not sent again", LOST);
}
END_TEST

/* A peer without SACK has all but the first segment, and says so when that comes again. When the
 * others left says nothing: a timeout that is measured so is longer each time. */
START_TEST(what_waited_behind_a_hole_does_not_tell_the_round_trip)
{
	enum { NS_PER_MS = 1000000, HOLES = 8, SEGMENTS = 3 };
	static const uint8_t no_sack[] = {2, 4, 5, 100, 1, 3, 3, 7};
	struct flow_info info;
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect_with(&p, &s, NULL, no_sack, sizeof(no_sack));

	for (int i = 0; i < HOLES; i++) {
		flow_write(f, data, SEGMENTS * MSS);
		h_pass_ms(5);
		wire_forget();
		while (h.n_sent == h.n_taken)
			h_pass_ms(1);
		wire_forget();
		h_pass_ms(RTT_MS);
		p.ack += SEGMENTS * MSS;
		peer_send(&p, ACK, NULL, 0);
		ck_assert_uint_eq(flow_unacked(f), 0);
		flow_info(f, &info);
		ck_assert_uint_le(info.srtt_ns, (RTT_MS + 20) * NS_PER_MS);
	}
}
END_TEST

/* What was sent again tells no round trip, so only a timeout that stays longer lets one be measured
 * (RFC 6298 5.7). */
START_TEST(a_path_that_has_become_slower_than_the_timeout_is_measured)
{
	enum { NOW_MS = 1000, WRITES = 3, LEN = 1000 }; /* a segment, also when the MSS is tried */
	struct flow_info info;
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base;

	for (int i = 0; i < WRITES; i++) {
		base = p.ack;
		flow_write(f, data, LEN);
		ck_assert_int_eq(next_sent(base), 0);
		h_pass_ms(NOW_MS);
		if (i < WRITES - 1)
			wire_forget();
		p.ack += LEN;
		peer_send(&p, ACK, NULL, 0);
	}
	ck_assert_int_eq(next_sent(base), -1); /* the last one was not sent again */
	flow_info(f, &info);
	ck_assert_uint_ge(info.srtt_ns, 2 * RTT_MS * (uint64_t)1000000);
}
END_TEST

START_TEST(a_late_segment_widens_the_patience_with_reordering)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack;

	flow_write(f, data, 10 * MSS);
	wire_forget();
	h_pass_ms(RTT_MS);
	peer_sack(&p, base, (int[]){1, 4}, 2);
	ck_assert_int_eq(next_sent(base), 0);
	h_pass_ms(
		3); /* the first transmission arrives, and is acknowledged too soon for the second */
	p.ack = base + 4 * MSS;
	peer_send(&p, ACK, NULL, 0);
	h_pass_ms(1);
	wire_forget();
	peer_sack(&p, base, (int[]){5, 9}, 2); /* the same again: now it waits */
	ck_assert_int_eq(next_sent(base), -1);
	p.ack = base + 10 * MSS;
	peer_send(&p, ACK, NULL, 0);
	ck_assert_int_eq(next_sent(base), -1);
}
END_TEST

START_TEST(a_peer_that_takes_back_its_sacks_gets_everything_again)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack, done = 0;
	int i, got;

	flow_write(f, data, 5 * MSS);
	wire_forget();
	h_pass_ms(RTT_MS);
	peer_sack(&p, base, (int[]){0, 5}, 2); /* all of it, and yet the ACK does not move */
	for (i = 0; i < 50 && done < 5; i++) {
		h_pass_ms(RTT_MS);
		while ((got = next_sent(base)) >= 0)
			done += (uint32_t)got == done;
		p.ack = base + done * MSS;
		peer_send(&p, ACK, NULL, 0);
	}
	ck_assert_uint_eq(done, 5);
	ck_assert_uint_eq(flow_unacked(f), 0);
}
END_TEST

/* That it has them after all was known before the timeout. */
START_TEST(sacks_that_were_taken_back_do_not_make_a_timeout_needless)
{
	enum { FLIGHT = 5, NS_PER_MS = 1000000 };
	struct flow_options options = {.congestion = FLOW_CUBIC};
	struct flow_info info;
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, &options);
	uint32_t base = p.ack;

	flow_write(f, data, FLIGHT * MSS);
	wire_forget();
	h_pass_ms(RTT_MS);
	peer_sack(&p, base, (int[]){0, FLIGHT}, 2);
	h_pass_ms(RTT_MS + 230);
	ck_assert_int_eq(next_sent(base), 0);
	peer_sack(&p, base, (int[]){2, 3}, 2);
	flow_info(f, &info);
	ck_assert_uint_le(info.cwnd, 2 * MSS);
	ck_assert_uint_le(info.srtt_ns, (RTT_MS + 1) * (uint64_t)NS_PER_MS);
}
END_TEST

enum { GONE_BACK_ROUNDS = 6 };

/* Reports all that is sent, but the ACK does not move: until the first one is sent again. Returns how
 * many segments there were, and in @before what was known of the path. */
static int sack_all_and_go_back(struct flow *f, struct peer *p, struct flow_info *before)
{
	uint32_t base = p->ack;
	int i, got, top = 0;

	flow_write(f, data, sizeof(data));
	for (i = 0; i < GONE_BACK_ROUNDS; i++) {
		h_pass_ms(RTT_MS);
		while ((got = next_sent(base)) >= 0)
			top = got >= top ? got + 1 : top;
		peer_sack(p, base, (int[]){0, top}, 2);
	}
	flow_info(f, before);
	for (i = 0; i < 20 && next_sent(base) != 0; i++)
		h_pass_ms(RTT_MS);
	ck_assert_int_lt(i, 20);
	return top;
}

/* What it reports again was delivered once, and in more time than the repeat of the first one takes. */
START_TEST(sacks_that_were_taken_back_tell_no_rate)
{
	struct flow_info before, after;
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack;
	int top = sack_all_and_go_back(f, &p, &before);

	h_pass_ms(RTT_MS);
	p.ack = base + MSS;
	peer_sack(&p, base, (int[]){1, top - 1}, 2);
	flow_info(f, &after);
	ck_assert_uint_le(after.delivery_rate, before.delivery_rate);
	ck_assert_uint_le(after.pacing_rate, before.pacing_rate);
}
END_TEST

/* The peer had it all: one ACK for what had left in many round trips comes within one. */
START_TEST(an_ack_of_all_that_was_taken_back_tells_no_rate)
{
	struct flow_info before, after;
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack;
	int top = sack_all_and_go_back(f, &p, &before);

	h_pass_ms(RTT_MS);
	p.ack = base + (uint32_t)top * MSS;
	peer_send(&p, ACK, NULL, 0);
	flow_info(f, &after);
	ck_assert_uint_le(after.delivery_rate, before.delivery_rate);
	ck_assert_uint_le(after.pacing_rate, before.pacing_rate);
}
END_TEST

START_TEST(sacks_of_what_was_never_sent_mean_nothing)
{
	static const int bad[][4] = {
		{10, 20, 12, 30}, {-5, -1, -9, -7}, {3, 3, 4, 2}, {0, 11, 9, 400}, {5, 4, 8, 1}};
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack;
	size_t i;

	flow_write(f, data, 10 * MSS);
	wire_forget();
	h_pass_ms(RTT_MS);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		peer_sack(&p, base, bad[i], 4);
	h_pass_ms(1);
	ck_assert_int_eq(next_sent(base), 0); /* they are duplicate ACKs, no more */
	ck_assert_int_eq(next_sent(base), -1);
	ck_assert_uint_eq(flow_unacked(f), 10 * MSS);
	p.ack = base + 10 * MSS;
	peer_send(&p, ACK, NULL, 0);
	ck_assert_uint_eq(flow_unacked(f), 0);
}
END_TEST

/* Answers everything after a round trip for @rounds; returns the most segments sent at one
 * instant. */
static size_t serve_rounds(struct peer *p, struct flow *f, int rounds, size_t *per_round)
{
	size_t burst = 0;
	int round, ms;

	for (round = 0; round < rounds; round++) {
		*per_round = 0;
		flow_write(f, data, sizeof(data));
		for (ms = 0; ms < RTT_MS; ms++) {
			size_t before = h.n_sent;

			h_pass_ms(1);
			flow_write(f, data, sizeof(data));
			burst = h.n_sent - before > burst ? h.n_sent - before : burst;
		}
		while (h.n_taken < h.n_sent) {
			struct segment g = wire_segment();

			if (g.len > 0 && (int32_t)(g.seq + g.len - p->ack) > 0) {
				p->ack = g.seq + g.len;
				++*per_round;
			}
		}
		peer_send(p, ACK, NULL, 0);
		h_recycle();
	}
	return burst;
}

START_TEST(data_is_spread_over_the_round_trip)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	size_t per_round, burst;

	serve_rounds(&p, f, 1, &per_round);
	ck_assert_uint_ge(per_round, 10); /* the initial window leaves at once (RFC 6928) */
	burst = serve_rounds(&p, f, 8, &per_round);
	ck_assert_uint_gt(per_round, 40);
	ck_assert_uint_lt(burst, per_round / 2);
}
END_TEST

/* Else it would be cold in the cache when its turn comes, and old when the network is slow. */
START_TEST(what_cannot_leave_yet_waits_with_its_owner)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	struct iovec iov[2];
	size_t written, left = 0;
	int round;

	written = flow_write(f, data, sizeof(data));
	while (h.n_taken < h.n_sent)
		left += wire_segment().len;
	ck_assert_uint_gt(left, 0);
	ck_assert_uint_le(written - left, 64 << 10); /* TX_AHEAD_BYTES */
	ck_assert_int_eq(flow_send_iov(f, iov), 0);
	ck_assert_int_eq(s.writable, 0);
	for (round = 0; round < 3; round++) {
		p.ack += (uint32_t)left;
		h_pass_ms(RTT_MS);
		peer_send(&p, ACK, NULL, 0);
		h_pass_ms(RTT_MS);
		for (left = 0; h.n_taken < h.n_sent;)
			left += wire_segment().len;
	}
	ck_assert_int_ge(s.writable, 1);
	ck_assert_int_gt(flow_send_iov(f, iov), 0);
}
END_TEST

START_TEST(cubic_halves_its_flight_no_more_than_it_must)
{
	const struct flow_options options = {.congestion = FLOW_CUBIC};
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, &options);
	size_t before, after;
	uint32_t hole;

	serve_rounds(&p, f, 4, &before);
	ck_assert_uint_gt(before, 40);
	flow_write(f, data, sizeof(data));
	h_pass_ms(RTT_MS);
	hole = p.ack;
	wire_forget();
	peer_sack(&p, hole, (int[]){1, 9}, 2);
	ck_assert_int_eq(next_sent(hole), 0);
	h_pass_ms(RTT_MS);
	while (h.n_taken < h.n_sent) {
		struct segment g = wire_segment();

		if ((int32_t)(g.seq + g.len - p.ack) > 0)
			p.ack = g.seq + g.len;
	}
	peer_send(&p, ACK, NULL, 0);
	serve_rounds(&p, f, 2, &after);
	ck_assert_uint_gt(after, before / 2);
	ck_assert_uint_lt(after, 2 * before);
}
END_TEST

START_TEST(duplicate_acks_in_a_batch_count_singly)
{
	static uint8_t packet[100], segment[20];
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_connect(&p, &s, NULL);
	uint32_t base = p.ack;
	size_t len;
	int i;

	flow_write(f, data, 8 * MSS);
	wire_forget();
	h_pass_ms(RTT_MS);
	put_be16(segment, p.them.port);
	put_be16(segment + 2, p.us.port);
	put_be32(segment + 4, p.seq);
	put_be32(segment + 8, p.ack);
	segment[12] = 0x50;
	segment[13] = ACK;
	put_be16(segment + 14, p.window);
	len = wire_ip(packet, &p.them, &p.us, IPPROTO_TCP, segment, sizeof(segment), 16);
	for (i = 0; i < 4; i++)
		stack_input(h.stack, packet, len);
	stack_input_done(h.stack);
	ck_assert_int_eq(next_sent(base), 0);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, what_cannot_leave_yet_waits_with_its_owner);
	tcase_add_test(tc, sack_repairs_the_holes_and_nothing_else);
	tcase_add_test(tc, what_is_measured_can_be_asked_for);
	tcase_add_test(tc, what_is_acknowledged_counts_once);
	tcase_add_test(tc, a_retransmission_that_is_lost_is_found);
	tcase_add_test(tc, the_last_segment_is_probed_before_the_timeout);
	tcase_add_test(tc, a_lone_segment_is_probed_when_no_delayed_ack_can_come);
	tcase_add_test(tc, a_needless_probe_makes_no_patience_with_reordering);
	tcase_add_test(tc, a_lost_flight_is_sent_again_in_order_after_the_timeout);
	tcase_add_test(tc, what_waited_behind_a_hole_does_not_tell_the_round_trip);
	tcase_add_test(tc, a_late_flight_is_not_sent_again_by_bbr);
	tcase_add_test(tc, a_late_flight_is_not_sent_again_by_cubic);
	tcase_add_test(tc, a_timeout_after_a_needless_one_counts);
	tcase_add_test(tc, a_late_answer_to_what_left_again_hides_no_rate);
	tcase_add_test(tc, cubic_has_the_same_threshold_after_a_needless_timeout);
	tcase_add_test(tc, losses_among_a_late_flight_are_found);
	tcase_add_test(tc, a_path_that_has_become_slower_than_the_timeout_is_measured);
	tcase_add_test(tc, a_late_segment_widens_the_patience_with_reordering);
	tcase_add_test(tc, a_peer_that_takes_back_its_sacks_gets_everything_again);
	tcase_add_test(tc, sacks_that_were_taken_back_do_not_make_a_timeout_needless);
	tcase_add_test(tc, sacks_that_were_taken_back_tell_no_rate);
	tcase_add_test(tc, an_ack_of_all_that_was_taken_back_tells_no_rate);
	tcase_add_test(tc, sacks_of_what_was_never_sent_mean_nothing);
	tcase_add_test(tc, data_is_spread_over_the_round_trip);
	tcase_add_test(tc, cubic_halves_its_flight_no_more_than_it_must);
	tcase_add_test(tc, duplicate_acks_in_a_batch_count_singly);
}

int main(void)
{
	return h_run("stack sender", add);
}
