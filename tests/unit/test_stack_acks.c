/* SPDX-License-Identifier: MIT */
/* test_stack_acks.c - which acknowledgements leave: one of a batch, few behind a hole, and none
 * that is missed */
#include "tests/unit/stack_harness.h"

enum {
	PIECE = 1000,
	RTT_MS = 40,
	DUPACKS = 3,
	WITHIN_RTT_US = 100,
	LATEST_US = 1000,
	ACK_DELAY_MS = 50, /* DELAYED_ACK_TICKS and one */
	MSS_BYTES = 4,
	MSS = 0x564,	    /* that of the options */
	FIRST_SEQ = -20000, /* the numbers go round in the middle */
};

static uint8_t piece[PIECE], full[MSS];

/* The peer's SYN: MSS, SACK permitted, window scale */
static const uint8_t options[] = {2, 4, MSS >> 8, MSS & 0xff, 1, 1, 4, 2, 1, 3, 3, 7};

/* A connection to a peer that is a round trip away and sends the first @n bytes of the options */
static void begin_with(struct peer *p, struct seen *s, size_t n)
{
	struct segment g;
	int err;

	*p = (struct peer){.them = addr(PEER4, 80), .window = 0xffff, .seq = (uint32_t)FIRST_SEQ};
	s->flow = flow_connect(h.stack, NULL, &p->them, NULL, &seen_ops, s, &err);
	g = wire_segment();
	p->us = g.from;
	p->ack = g.seq + 1;
	h_pass_ms(RTT_MS);
	peer_raw(p, SYN | ACK, p->seq++, p->ack, options, n, NULL, 0);
	wire_forget();
}

static void begin(struct peer *p, struct seen *s)
{
	begin_with(p, s, sizeof(options));
}

static void pass_us(uint64_t us)
{
	h.now += us * 1000;
	while (stack_next_deadline(h.stack) <= h.now)
		stack_tick(h.stack);
}

static void batch_end(void)
{
	h.in_batch = false;
	stack_input_done(h.stack);
	h_settle();
}

static void arrive(const struct peer *p, unsigned int at)
{
	peer_raw(p, ACK, p->seq + at * PIECE, p->ack, NULL, 0, piece, PIECE);
}

static unsigned int n_sent(void)
{
	return (unsigned int)(h.n_sent - h.n_taken);
}

/* Takes what was sent; marks in @known the pieces that it acknowledges. */
static void learn(const struct peer *p, bool *known, unsigned int n)
{
	while (n_sent() > 0) {
		struct segment g = wire_segment();

		for (unsigned int i = 0; i < n; i++) {
			uint32_t left = p->seq + i * PIECE, right = left + PIECE;

			known[i] |= (int32_t)(g.ack - right) >= 0;
			for (unsigned int k = 0; k < g.n_sack; k += 2)
				known[i] |= (int32_t)(left - g.sack[k]) >= 0 &&
					    (int32_t)(right - g.sack[k + 1]) <= 0;
		}
	}
}

START_TEST(a_batch_behind_holes_is_answered_once_a_block)
{
	bool known[30] = {false};
	struct seen s = {0};
	struct peer p;

	begin(&p, &s);
	h.in_batch = true;
	for (unsigned int i = 1; i < 30; i += i % 7 ? 1 : 6) /* not all merge before lwIP */
		arrive(&p, i);
	batch_end();
	pass_us(LATEST_US);
	ck_assert_uint_eq(n_sent(), 4); /* blocks */
	learn(&p, known, 30);
	ck_assert(known[1] && known[7] && known[13] && known[28] && !known[0] && !known[8]);
	free(s.data);
}
END_TEST

/* An ACK has room for four blocks. Each is in four ACKs, because the path may lose some. */
START_TEST(blocks_are_repeated_when_a_batch_has_many_holes)
{
	bool known[41] = {false};
	struct seen s = {0};
	struct peer p;

	begin(&p, &s);
	h.in_batch = true;
	for (unsigned int i = 1; i < 41; i += 2)
		arrive(&p, i);
	batch_end();
	pass_us(LATEST_US);
	ck_assert_uint_eq(n_sent(), 20);
	learn(&p, known, 41);
	for (unsigned int i = 0; i < 41; i++)
		ck_assert_msg(known[i] == (i % 2 == 1), "piece %u", i);
	/* some of the holes are filled, in another order, and new ones open */
	h.in_batch = true;
	for (unsigned int i = 20; i > 2; i -= 6)
		arrive(&p, i);
	batch_end();
	pass_us(LATEST_US);
	learn(&p, known, 41);
	ck_assert(known[20] && known[14] && known[8] && !known[0] && !known[4]);
	h.in_batch = true;
	arrive(&p, 40);
	arrive(&p, 0);
	arrive(&p, 38);
	arrive(&p, 2);
	batch_end();
	pass_us(LATEST_US);
	learn(&p, known, 41);
	ck_assert(known[40] && known[0] && known[38] && known[2]);
	free(s.data);
}
END_TEST

START_TEST(behind_a_hole_one_ack_a_millisecond_is_enough)
{
	bool known[202] = {false};
	struct seen s = {0};
	struct peer p;
	unsigned int sent;

	begin(&p, &s);
	for (unsigned int i = 1; i <= DUPACKS; i++) {
		arrive(&p, i);
		ck_assert_uint_eq(n_sent(), i); /* a sender that counts has enough now */
	}
	wire_forget();
	for (unsigned int i = DUPACKS + 1; i <= 200; i++) { /* in 20 ms */
		arrive(&p, i);
		pass_us(WITHIN_RTT_US);
	}
	pass_us(LATEST_US);
	sent = n_sent();
	ck_assert_uint_ge(sent, 17);
	ck_assert_uint_le(sent, 21);
	learn(&p, known, 202);
	for (unsigned int i = 1; i < 202; i++)
		ck_assert_msg(known[i] == (i < 201), "piece %u", i);
	/* a filled hole is said at once, and what is alone is not kept for long */
	arrive(&p, 202);
	arrive(&p, 0);
	ck_assert_uint_eq(n_sent(), 1);
	wire_forget();
	pass_us(LATEST_US);
	ck_assert_uint_eq(n_sent(), 0);
	for (unsigned int i = 203; i <= 206; i++)
		arrive(&p, i);
	wire_forget();
	pass_us(LATEST_US);
	ck_assert_uint_eq(n_sent(), 1);
	ck_assert_uint_eq(wire_segment().sack[1], p.seq + 207 * PIECE);
	free(s.data);
}
END_TEST

static void expect_one_ack(uint32_t number)
{
	ck_assert_uint_eq(n_sent(), 1);
	ck_assert_uint_eq(wire_segment().ack, number);
}

/* RFC 5681 4.2; each segment arrives alone, and none comes that would call for an ACK */
START_TEST(what_fills_a_hole_is_acknowledged_at_once)
{
	static uint8_t both[2 * PIECE];
	struct seen s = {0};
	struct peer p;

	begin(&p, &s);
	arrive(&p, 1);
	wire_forget();
	arrive(&p, 0);
	expect_one_ack(p.seq + 2 * PIECE);
	/* a segment that covers what waits behind the hole as well */
	arrive(&p, 3);
	wire_forget();
	peer_raw(&p, ACK, p.seq + 2 * PIECE, p.ack, NULL, 0, both, sizeof(both));
	expect_one_ack(p.seq + 4 * PIECE);
	/* what comes in order may wait for more again */
	arrive(&p, 4);
	ck_assert_uint_eq(n_sent(), 0);
	free(s.data);
}
END_TEST

START_TEST(a_part_of_a_hole_is_acknowledged_at_once_without_sack)
{
	struct seen s = {0};
	struct peer p;

	begin_with(&p, &s, MSS_BYTES);
	arrive(&p, 2);
	wire_forget();
	arrive(&p, 0);
	expect_one_ack(p.seq + PIECE);
	arrive(&p, 1);
	expect_one_ack(p.seq + 3 * PIECE);
	free(s.data);
}
END_TEST

/* What was held back does not leave after the connection has. */
START_TEST(a_held_ack_goes_with_its_connection)
{
	struct seen s = {0};
	struct peer p;

	begin(&p, &s);
	for (unsigned int i = 1; i <= DUPACKS + 1; i++)
		arrive(&p, i);
	wire_forget();
	flow_abort(s.flow);
	h_pass_ms(100);
	while (n_sent() > 1)
		wire_segment();
	ck_assert_uint_eq(wire_segment().flags & RST, RST);
	free(s.data);
}
END_TEST

static uint64_t state;

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % below;
}

/* RFC 2018 8: whatever comes again, whole or in part, alone or with its neighbours. What was never
 * reported is sent at last, and that must do. */
START_TEST(what_was_reported_is_kept)
{
	enum { PIECES = 60, ARRIVALS = 150, LONGEST = 5 };
	static uint8_t pieces[LONGEST * PIECE];
	bool known[PIECES] = {false};
	struct seen s = {0};
	struct peer p;

	state = (uint64_t)_i;
	begin(&p, &s);
	for (unsigned int i = 0; i < ARRIVALS; i++) {
		unsigned int n = 1 + draw(LONGEST), first = 1 + draw(PIECES - n);
		unsigned int cut = draw(2) * draw(PIECE);

		h.in_batch = draw(2);
		peer_raw(&p, ACK, p.seq + first * PIECE + cut, p.ack, NULL, 0, pieces,
			 n * PIECE - cut);
	}
	batch_end();
	pass_us(LATEST_US);
	learn(&p, known, PIECES);
	for (unsigned int i = 0; i < PIECES; i++)
		if (!known[i])
			arrive(&p, i);
	pass_us(LATEST_US);
	learn(&p, known, PIECES);
	ck_assert_uint_eq(s.len, PIECES * PIECE);
	free(s.data);
}
END_TEST

/* The last segment of @before pieces, and where its FIN is: alone, or behind the last piece */
static void fin_arrives(const struct peer *p, unsigned int before, bool alone)
{
	unsigned int at = alone ? before : before - 1;

	peer_raw(p, ACK | FIN, p->seq + at * PIECE, p->ack, NULL, 0, piece, alone ? 0 : PIECE);
}

/* @again: behind what came again (RFC 2883) */
static void expect_first_block(uint32_t left, uint32_t right, bool again)
{
	unsigned int at = again ? 2 : 0;
	struct segment g = {0};

	h_pass_ms(10);
	while (n_sent() > 0)
		g = wire_segment();
	ck_assert_uint_ge(g.n_sack, at + 2);
	ck_assert_uint_eq(g.sack[at], left);
	ck_assert_uint_eq(g.sack[at + 1], right);
}

START_TEST(a_fin_behind_a_hole_is_reported)
{
	enum { PIECES = 4 };

	for (unsigned int got = 0; got < 1 << (PIECES - 1); got++) {
		bool alone = _i & 1, fin_first = _i & 2;
		unsigned int left = alone ? PIECES : PIECES - 1;
		struct seen s = {0};
		struct peer p;

		if (!alone && !fin_first && got & 1u << (PIECES - 2))
			continue; /* the piece is there, so its repetition is not kept */
		begin(&p, &s);
		if (fin_first)
			fin_arrives(&p, PIECES, alone);
		for (unsigned int i = 1; i < PIECES; i++)
			if (got & 1u << (i - 1))
				arrive(&p, i);
		wire_forget();
		while (left > 1 && got & 1u << (left - 2))
			left--;
		fin_arrives(&p, PIECES, alone); /* again, if it was first */
		expect_first_block(p.seq + left * PIECE, p.seq + PIECES * PIECE + 1, fin_first);
		for (unsigned int i = 0; i < PIECES; i++)
			arrive(&p, i);
		ck_assert_uint_eq(s.len, PIECES * PIECE);
		ck_assert(s.fin);
		h_pass_ms(100);
		while (n_sent() > 1)
			wire_segment();
		ck_assert_uint_eq(wire_segment().ack, p.seq + PIECES * PIECE + 1);
		free(s.data);
		flow_abort(s.flow);
		wire_forget();
	}
}
END_TEST

START_TEST(what_was_reported_outlives_a_pause)
{
	const struct flow_options watched = {
		.keepalive = true, .keep_idle_s = 10, .keep_interval_s = 10, .keep_count = 9};
	struct seen s = {0};
	struct peer p;

	begin(&p, &s);
	flow_set_options(s.flow, &watched);
	arrive(&p, 1);
	h_pass_ms(15000);
	wire_forget();
	arrive(&p, 0);
	expect_one_ack(p.seq + 2 * PIECE);
	free(s.data);
}
END_TEST

/* A small message behind which its sender waits: Nagle's algorithm keeps the next one back. */
static void message(struct peer *p)
{
	wire_forget();
	peer_send(p, ACK | PSH, "m", 1);
}

/* Ours; it carries the acknowledgement. */
static void answer(struct peer *p, struct seen *s)
{
	wire_forget();
	ck_assert_uint_eq(flow_write(s->flow, "a", 1), 1);
	expect_one_ack(p->seq);
	p->ack++;
}

static void expect_a_late_ack(const struct peer *p)
{
	ck_assert_uint_eq(n_sent(), 0);
	h_pass_ms(ACK_DELAY_MS);
	expect_one_ack(p->seq);
}

START_TEST(a_message_that_nothing_answers_is_acknowledged_when_read)
{
	struct seen s = {0};
	struct peer p;

	begin(&p, &s);
	for (unsigned int i = 0; i < 3; i++) {
		message(&p);
		expect_one_ack(p.seq);
		h_pass_ms(ACK_DELAY_MS);
	}
	s.keep = true;
	peer_send(&p, ACK | PSH, "mm", 2);
	flow_recv_consume(s.flow, 1);
	ck_assert_uint_eq(n_sent(), 0);
	seen_read(s.flow, &s);
	expect_one_ack(p.seq);
	ck_assert_uint_eq(s.len, 4);
	free(s.data);
}
END_TEST

START_TEST(a_full_segment_waits_for_the_next_one)
{
	struct seen s = {0};
	struct peer p;

	begin(&p, &s);
	wire_forget();
	peer_send(&p, ACK | PSH, full, sizeof(full));
	expect_a_late_ack(&p);
	peer_send(&p, ACK | PSH, full, sizeof(full) - 1);
	expect_one_ack(p.seq);
	free(s.data);
}
END_TEST

START_TEST(an_ack_waits_where_answers_are_usual)
{
	struct seen s = {0};
	struct peer p;

	begin(&p, &s);
	message(&p);
	expect_one_ack(p.seq);
	answer(&p, &s);
	for (unsigned int i = 0; i < 3; i++) {
		message(&p);
		ck_assert_uint_eq(n_sent(), 0);
		answer(&p, &s);
	}
	/* the first one in vain is the last one */
	message(&p);
	expect_a_late_ack(&p);
	message(&p);
	expect_one_ack(p.seq);
	/* what is sent later than the ACK could have waited is no answer */
	h_pass_ms(ACK_DELAY_MS);
	answer(&p, &s);
	message(&p);
	expect_one_ack(p.seq);
	free(s.data);
}
END_TEST

START_TEST(who_asks_first_expects_an_answer_to_answer)
{
	struct seen s = {0};
	struct peer p;

	begin(&p, &s);
	answer(&p, &s);
	message(&p);
	expect_a_late_ack(&p);
	free(s.data);
}
END_TEST

/* The next ACK: its number and blocks, in pieces from p->seq on; as many as @n_edges says */
static void expect_blocks(const struct peer *p, unsigned int number, const unsigned int *edges,
			  unsigned int n_edges)
{
	struct segment g = wire_segment();

	ck_assert_uint_eq(g.ack, p->seq + number * PIECE);
	ck_assert_uint_eq(g.n_sack, n_edges);
	for (unsigned int i = 0; i < n_edges; i++)
		ck_assert_msg(g.sack[i] == p->seq + edges[i] * PIECE, "edge %u is %d", i,
			      (int)(g.sack[i] - p->seq));
}

#define EXPECT_ACK(p, number) expect_blocks(p, number, NULL, 0)
#define EXPECT_BLOCKS(p, number, ...)                                                              \
	expect_blocks(p, number, (const unsigned int[]){__VA_ARGS__},                              \
		      sizeof((const unsigned int[]){__VA_ARGS__}) / sizeof(unsigned int))

/* RFC 2883 4.1 */
START_TEST(what_comes_again_is_told_once)
{
	struct seen s = {0};
	struct peer p;

	begin(&p, &s);
	arrive(&p, 0);
	arrive(&p, 1);
	arrive(&p, 2);
	wire_forget();
	arrive(&p, 1);
	EXPECT_BLOCKS(&p, 3, 1, 2);
	ck_assert_uint_eq(n_sent(), 0);
	arrive(&p, 4);
	EXPECT_BLOCKS(&p, 3, 4, 5);
	free(s.data);
}
END_TEST

/* RFC 2883 4.1.3, 4.2.2: within a block, in front of which it is told; and as one of more than an
 * option has room for */
START_TEST(what_comes_again_beyond_a_hole_is_told_before_its_block)
{
	struct seen s = {0};
	struct peer p;

	begin(&p, &s);
	for (unsigned int i = 1; i <= 3; i++)
		arrive(&p, i);
	wire_forget();
	arrive(&p, 2);
	pass_us(LATEST_US);
	EXPECT_BLOCKS(&p, 0, 2, 3, 1, 4);
	for (unsigned int i = 5; i <= 9; i += 2)
		arrive(&p, i);
	pass_us(LATEST_US);
	wire_forget();
	arrive(&p, 7);
	pass_us(LATEST_US);
	EXPECT_BLOCKS(&p, 0, 7, 8, 7, 8, 9, 10, 5, 6);
	ck_assert_uint_eq(n_sent(), 0);
	free(s.data);
}
END_TEST

/* RFC 2883 4.2.1: of a segment the part that is here, in front of and beyond what is awaited */
START_TEST(what_comes_again_in_part_is_told_in_part)
{
	static uint8_t both[2 * PIECE];
	struct seen s = {0};
	struct peer p;

	begin(&p, &s);
	arrive(&p, 0);
	wire_forget();
	peer_raw(&p, ACK, p.seq, p.ack, NULL, 0, both, sizeof(both));
	EXPECT_BLOCKS(&p, 2, 0, 1);
	arrive(&p, 3);
	wire_forget();
	peer_raw(&p, ACK, p.seq + 2 * PIECE, p.ack, NULL, 0, both, sizeof(both));
	EXPECT_BLOCKS(&p, 4, 3, 4);
	free(s.data);
}
END_TEST

/* An ACK of the batch's end says neither of the two */
START_TEST(all_that_comes_again_in_a_batch_is_told)
{
	struct seen s = {0};
	struct peer p;

	begin(&p, &s);
	for (unsigned int i = 0; i < 4; i++)
		arrive(&p, i);
	wire_forget();
	h.in_batch = true;
	arrive(&p, 0);
	arrive(&p, 2);
	arrive(&p, 4);
	arrive(&p, 5);
	batch_end();
	EXPECT_BLOCKS(&p, 4, 0, 1);
	EXPECT_BLOCKS(&p, 4, 2, 3);
	EXPECT_ACK(&p, 6);
	free(s.data);
}
END_TEST

START_TEST(what_comes_again_is_not_told_to_who_knows_no_sack)
{
	struct seen s = {0};
	struct peer p;

	begin_with(&p, &s, MSS_BYTES);
	arrive(&p, 0);
	wire_forget();
	arrive(&p, 0);
	EXPECT_ACK(&p, 1);
	free(s.data);
}
END_TEST

static void tests(TCase *tc)
{
	tcase_add_test(tc, a_batch_behind_holes_is_answered_once_a_block);
	tcase_add_test(tc, blocks_are_repeated_when_a_batch_has_many_holes);
	tcase_add_test(tc, behind_a_hole_one_ack_a_millisecond_is_enough);
	tcase_add_test(tc, what_fills_a_hole_is_acknowledged_at_once);
	tcase_add_test(tc, a_part_of_a_hole_is_acknowledged_at_once_without_sack);
	tcase_add_test(tc, a_held_ack_goes_with_its_connection);
	tcase_add_loop_test(tc, what_was_reported_is_kept, 0, 20);
	tcase_add_loop_test(tc, a_fin_behind_a_hole_is_reported, 0, 4);
	tcase_add_test(tc, what_was_reported_outlives_a_pause);
	tcase_add_test(tc, a_message_that_nothing_answers_is_acknowledged_when_read);
	tcase_add_test(tc, a_full_segment_waits_for_the_next_one);
	tcase_add_test(tc, an_ack_waits_where_answers_are_usual);
	tcase_add_test(tc, who_asks_first_expects_an_answer_to_answer);
	tcase_add_test(tc, what_comes_again_is_told_once);
	tcase_add_test(tc, what_comes_again_beyond_a_hole_is_told_before_its_block);
	tcase_add_test(tc, what_comes_again_in_part_is_told_in_part);
	tcase_add_test(tc, all_that_comes_again_in_a_batch_is_told);
	tcase_add_test(tc, what_comes_again_is_not_told_to_who_knows_no_sack);
}

int main(void)
{
	return h_run("stack acks", tests);
}
