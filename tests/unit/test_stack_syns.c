/* SPDX-License-Identifier: MIT */
/* test_stack_syns.c - many connections that begin at once: when their SYNs and the repeats leave */
#include "stack/limits.h"
#include "tests/unit/stack_harness.h"

enum { MANY = 5000, PER_MS = 1000 * 1000 / SYN_GAP_NS, PORTS = 65536 };

/* A full bucket's worth of repeats */
enum {
	REPEATS_AT_ONCE = (SYNS_AT_ONCE - 1) * SYN_GAP_NS / SYN_REPEAT_GAP_NS + 1,
	REPEATS_PER_MS = 1000 * 1000 / SYN_REPEAT_GAP_NS + 1
};

static struct seen none;
static uint64_t
	left_ms[PORTS]; /* by the SYN's port, when it last left, counted from h.now at h_watch() */
static unsigned int order[PORTS];

static struct flow *start_one_of(uint32_t owner, const char *to, uint16_t port)
{
	const struct flow_options options = {.owner = owner};
	struct stack_addr a = addr(to, port);
	struct flow *f;
	int err;

	f = flow_connect(h.stack, NULL, &a, &options, &seen_ops, &none, &err);
	ck_assert_ptr_nonnull(f);
	return f;
}

static struct flow *start_one(const char *to, uint16_t port)
{
	return start_one_of(0, to, port);
}

/* Lets @ms pass; no millisecond may see more than @most SYNs. Returns how many have left. */
static unsigned int pass(unsigned int ms, unsigned int most)
{
	unsigned int all = 0;

	for (unsigned int i = 0; i < ms; i++) {
		unsigned int n = 0;

		h_pass_ms(1);
		while (h.n_taken < h.n_sent) {
			struct segment g = wire_segment();

			ck_assert_uint_eq(g.flags, SYN);
			left_ms[g.to.port] = h.now / 1000000;
			order[all + n++] = g.to.port;
		}
		ck_assert_uint_le(n, most);
		all += n;
		h_recycle();
	}
	return all;
}

START_TEST(a_burst_of_connects_leaves_in_order_at_a_bounded_rate)
{
	for (unsigned int i = 0; i < MANY; i++)
		start_one(PEER4, (uint16_t)(1 + i));
	ck_assert_uint_eq(h.n_sent, SYNS_AT_ONCE);
	/* what left at once is counted with the first millisecond */
	ck_assert_uint_eq(pass(1, SYNS_AT_ONCE + PER_MS), SYNS_AT_ONCE + PER_MS);
	for (unsigned int i = 0; i < SYNS_AT_ONCE + PER_MS; i++)
		ck_assert_uint_eq(order[i], 1 + i);
	ck_assert_uint_eq(pass(MANY / PER_MS, PER_MS), MANY - SYNS_AT_ONCE - PER_MS);
	for (unsigned int i = 0; i < MANY - SYNS_AT_ONCE - PER_MS; i++)
		ck_assert_uint_eq(order[i], 1 + SYNS_AT_ONCE + PER_MS + i);
}
END_TEST

START_TEST(who_connects_beside_anothers_burst_does_not_wait_behind_it)
{
	unsigned int left;

	for (unsigned int i = 0; i < MANY; i++)
		start_one_of(1, PEER4, (uint16_t)(1 + i));
	left = pass(10, SYNS_AT_ONCE + PER_MS);
	for (unsigned int i = 0; i < 10; i++) {
		start_one_of(2, PEER6, (uint16_t)(60000 + i));
		left += pass(1, PER_MS);
		ck_assert_uint_eq(left_ms[60000 + i], h.now / 1000000);
	}
	/* the burst has the rest of the rate */
	ck_assert_uint_eq(left, SYNS_AT_ONCE + 20 * PER_MS);
	ck_assert_uint_eq(pass(MANY / PER_MS, PER_MS), MANY + 10 - left);
}
END_TEST

START_TEST(owners_take_turns_and_each_ones_leave_in_order)
{
	enum { OWNERS = 3, EACH = 400, FEW = 8 };
	unsigned int n = 0, last[OWNERS] = {0}, had[OWNERS] = {0};

	for (unsigned int i = 0; i < SYNS_AT_ONCE; i++)
		start_one_of(9, PEER4, 60000);
	wire_forget();
	/* one after the other; of the last owner a few */
	for (unsigned int o = 0; o < OWNERS; o++)
		for (unsigned int i = 0; i < (o == OWNERS - 1 ? FEW : EACH); i++)
			start_one_of(o, PEER4, (uint16_t)(1 + o * EACH + i));
	n = pass(2 * EACH / PER_MS + FEW, PER_MS);
	ck_assert_uint_eq(n, 2 * EACH + FEW);
	for (unsigned int i = 0; i < n; i++) {
		unsigned int o = (order[i] - 1) / EACH;

		ck_assert_uint_gt(order[i], last[o]);
		last[o] = order[i];
		had[o]++;
		if (i < OWNERS * FEW)
			ck_assert_uint_eq(o, i % OWNERS);
		else
			ck_assert_uint_eq(o, (i - OWNERS * FEW) % (OWNERS - 1));
	}
	ck_assert_uint_eq(had[0], EACH);
	ck_assert_uint_eq(had[1], EACH);
	ck_assert_uint_eq(had[2], FEW);
}
END_TEST

START_TEST(more_owners_than_lines_all_leave_each_once_and_in_order)
{
	enum { OWNERS = 10 * SYN_LINES + 7, EACH = 5 };
	static unsigned int had[OWNERS];

	memset(had, 0, sizeof(had));
	for (unsigned int i = 0; i < EACH; i++)
		for (unsigned int o = 0; o < OWNERS; o++)
			start_one_of(o + 100000, PEER4, (uint16_t)(1 + o * EACH + i));
	ck_assert_uint_eq(pass(OWNERS * EACH / PER_MS, SYNS_AT_ONCE + PER_MS), OWNERS * EACH);
	for (unsigned int i = 0; i < OWNERS * EACH; i++)
		ck_assert_uint_eq((order[i] - 1) % EACH, had[(order[i] - 1) / EACH]++);
}
END_TEST

START_TEST(lines_that_end_while_waiting_leave_the_turns_to_the_others)
{
	enum { OWNERS = SYN_LINES, EACH = 20 };
	static struct flow *f[OWNERS][EACH];

	for (unsigned int i = 0; i < SYNS_AT_ONCE; i++)
		start_one_of(0, PEER4, 60000);
	wire_forget();
	for (unsigned int o = 0; o < OWNERS; o++)
		for (unsigned int i = 0; i < EACH; i++)
			f[o][i] = start_one_of(o, PEER4, (uint16_t)(1 + o * EACH + i));
	/* the one whose turn it is, the last, and every other one between */
	for (unsigned int o = 0; o < OWNERS; o++) {
		for (unsigned int i = 0; o % 2 == 0 || o == OWNERS - 1 ? i < EACH : false; i++)
			flow_abort(f[o][i]);
	}
	ck_assert_uint_eq(pass(OWNERS * EACH / PER_MS, PER_MS), (OWNERS / 2 - 1) * EACH);
	for (unsigned int i = 0; i < (OWNERS / 2 - 1) * EACH; i++)
		ck_assert_uint_eq((order[i] - 1) / EACH, 1 + 2 * (i % (OWNERS / 2 - 1)));
}
END_TEST

START_TEST(the_repeat_of_one_does_not_wait_behind_anothers_repeats)
{
	for (unsigned int i = 0; i < MANY; i++)
		start_one_of(1, PEER4, (uint16_t)(1 + i));
	ck_assert_uint_eq(pass(900, SYNS_AT_ONCE + PER_MS), MANY);
	start_one_of(2, PEER6, 60000);
	/* 1 s later it is due, and most of the others still wait */
	pass(1010, REPEATS_AT_ONCE + REPEATS_PER_MS);
	ck_assert_uint_ge(left_ms[60000], h.now / 1000000 - 20);
	ck_assert_uint_lt(left_ms[MANY], h.now / 1000000 - 1000);
}
END_TEST

START_TEST(a_late_wake_up_does_not_make_a_burst)
{
	for (unsigned int i = 0; i < MANY; i++)
		start_one(PEER4, (uint16_t)(1 + i));
	wire_forget();
	for (int i = 0; i < 5; i++) { /* off the processor for 100 ms each time */
		size_t before = h.n_sent;

		h.now += 100 * 1000 * 1000;
		h_settle();
		ck_assert_uint_eq(h.n_sent - before, SYNS_AT_ONCE);
	}
}
END_TEST

START_TEST(repeats_are_spread_and_never_early)
{
	enum { N = 4000 };
	static uint64_t first_ms[PORTS];

	for (unsigned int i = 0; i < N; i++)
		start_one(PEER4, (uint16_t)(1 + i));
	ck_assert_uint_eq(pass(900, SYNS_AT_ONCE + PER_MS), N);
	memcpy(first_ms, left_ms, sizeof(first_ms));
	ck_assert_uint_eq(pass(1900, REPEATS_AT_ONCE + REPEATS_PER_MS), N);
	for (unsigned int i = 1; i <= N; i++) {
		ck_assert_uint_ge(left_ms[i], first_ms[i] + 990);
		ck_assert_uint_le(left_ms[i], first_ms[i] + 1000 + N * SYN_REPEAT_GAP_NS / 1000000);
	}
	memcpy(first_ms, left_ms, sizeof(first_ms));
	/* the next ones count from when those have left */
	ck_assert_uint_eq(pass(2200, REPEATS_AT_ONCE + REPEATS_PER_MS), N);
	for (unsigned int i = 1; i <= N; i++)
		ck_assert_uint_ge(left_ms[i], first_ms[i] + 1990);
}
END_TEST

START_TEST(thousands_of_connects_per_second_wait_for_nothing)
{
	uint64_t start = h.now;

	for (unsigned int i = 0; h.now < start + 900 * 1000 * 1000; i++) {
		start_one(PEER4, (uint16_t)(1 + i));
		ck_assert_uint_eq(h.n_sent, 1);
		wire_forget();
		h_recycle();
		h.now += 1000 * 1000 * 1000 / MANY;
		/* and nobody is woken before the first repeat */
		ck_assert_uint_ge(stack_next_deadline(h.stack), start + 990 * 1000 * 1000);
	}
}
END_TEST

START_TEST(who_is_answered_at_once_waits_for_nothing)
{
	struct seen s[2] = {0};
	struct peer p, closed = {.them = addr(PEER6, 81), .window = 0xffff};
	struct segment g;

	for (unsigned int i = 0; i < MANY; i++) { /* in no time at all */
		s[0].connected = 0;
		flow_abort(peer_accept(&p, PEER4, 80, &s[0]));
		start_one(PEER6, 81);
		wire_forget();
		h.n_taken--;
		g = wire_segment();
		ck_assert_uint_eq(g.flags, SYN);
		closed.us = g.from;
		peer_raw(&closed, RST | ACK, 0, g.seq + 1, NULL, 0, NULL, 0);
		h_recycle();
	}
	ck_assert_int_eq(none.closed, MANY);
}
END_TEST

START_TEST(who_connects_beside_repeats_does_not_wait_behind_them)
{
	for (unsigned int i = 0; i < MANY; i++)
		start_one(PEER4, (uint16_t)(1 + i));
	ck_assert_uint_eq(pass(900, SYNS_AT_ONCE + PER_MS), MANY);
	h.now += 1000 * 1000 * 1000; /* all repeats are due */
	h_settle();
	ck_assert_uint_eq(h.n_sent, REPEATS_AT_ONCE);
	for (int i = 0; i < 100; i++) {
		start_one(PEER6, (uint16_t)(60000 + i));
		pass(1, REPEATS_AT_ONCE + PER_MS);
		ck_assert_uint_eq(left_ms[60000 + i], h.now / 1000000);
	}
}
END_TEST

START_TEST(who_gives_up_while_waiting_leaves_its_turn_to_the_next)
{
	static struct flow *f[MANY];

	for (unsigned int i = 0; i < MANY; i++)
		f[i] = start_one(PEER4, (uint16_t)(1 + i));
	for (unsigned int i = 0; i < MANY - 1; i++) {
		if (i % 2)
			flow_abort(f[i]);
		else
			flow_close(f[i]);
	}
	ck_assert_uint_eq(pass(1, SYNS_AT_ONCE + PER_MS), SYNS_AT_ONCE + 1);
	ck_assert_uint_eq(order[SYNS_AT_ONCE], MANY);
	flow_abort(f[MANY - 1]);
	ck_assert_uint_eq(stack_next_deadline(h.stack), UINT64_MAX);
}
END_TEST

START_TEST(the_answer_to_the_first_syn_takes_back_its_waiting_repeat)
{
	struct seen s = {0};
	struct peer p = {.them = addr(PEER6, 80), .window = 0xffff, .seq = 5000};
	struct segment g;
	int err;

	for (unsigned int i = 0; i < MANY; i++)
		start_one(PEER4, (uint16_t)(1 + i));
	pass(900, SYNS_AT_ONCE + PER_MS);
	s.flow = flow_connect(h.stack, NULL, &p.them, NULL, &seen_ops, &s, &err);
	ck_assert_ptr_nonnull(s.flow);
	g = wire_segment();
	p.us = g.from;
	p.ack = g.seq + 1;
	h.now += 2000 * 1000 * 1000ull; /* all repeats are due, its own last */
	h_settle();
	wire_forget();
	peer_raw(&p, SYN | ACK, p.seq, p.ack, usual_options, sizeof(usual_options), NULL, 0);
	p.seq++;
	ck_assert_int_eq(s.connected, 1);
	ck_assert_uint_eq(wire_segment().flags, ACK);
	/* the others' leave; the last are due 2 s after theirs */
	ck_assert_uint_eq(pass(1950, REPEATS_PER_MS), 1950 * 1000 / (SYN_REPEAT_GAP_NS / 1000));
	for (unsigned int i = 0; i < REPEATS_PER_MS; i++)
		ck_assert_uint_ne(order[i], 80);
	ck_assert_uint_eq(flow_write(s.flow, "x", 1), 1);
	ck_assert_uint_eq(wire_segment().len, 1);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, a_burst_of_connects_leaves_in_order_at_a_bounded_rate);
	tcase_add_test(tc, who_connects_beside_anothers_burst_does_not_wait_behind_it);
	tcase_add_test(tc, owners_take_turns_and_each_ones_leave_in_order);
	tcase_add_test(tc, more_owners_than_lines_all_leave_each_once_and_in_order);
	tcase_add_test(tc, lines_that_end_while_waiting_leave_the_turns_to_the_others);
	tcase_add_test(tc, the_repeat_of_one_does_not_wait_behind_anothers_repeats);
	tcase_add_test(tc, a_late_wake_up_does_not_make_a_burst);
	tcase_add_test(tc, repeats_are_spread_and_never_early);
	tcase_add_test(tc, thousands_of_connects_per_second_wait_for_nothing);
	tcase_add_test(tc, who_is_answered_at_once_waits_for_nothing);
	tcase_add_test(tc, who_connects_beside_repeats_does_not_wait_behind_them);
	tcase_add_test(tc, who_gives_up_while_waiting_leaves_its_turn_to_the_next);
	tcase_add_test(tc, the_answer_to_the_first_syn_takes_back_its_waiting_repeat);
}

int main(void)
{
	return h_run("stack syns", add);
}
