/* SPDX-License-Identifier: MIT */
/*
 * test_stack_yield.c - stack/yield.c alone: what a connection takes for its rate and for its share
 *
 * Rates are in bytes per microsecond, which are Mbyte/s.
 */
#include <check.h>
#include <stdlib.h>

#include "stack/internal.h"
#include "tests/unit/run_suite.h"

enum { US = 1000, ROUND_US = 50000 };

static struct stack stack;
static struct flow flow;

static struct bbr *fresh(void)
{
	stack = (struct stack){.now_ns = NS_PER_S};
	flow = (struct flow){.stack = &stack};
	flow.tx.bbr.state = BBR_CRUISE;
	yield_init(&flow);
	yield_round_ends(&flow);
	flow.tx.bbr.spell_rounds = 0;
	return &flow.tx.bbr;
}

static void rounds(int n, unsigned int rate)
{
	while (n-- > 0) {
		stack.now_ns += ROUND_US * (uint64_t)US;
		flow.tx.bbr.round_delivered = (uint64_t)rate * ROUND_US;
		yield_round_ends(&flow);
	}
}

/* @rate of the data sent in a probe arrives as @arrives, a round trip later. */
static void probe(unsigned int rate, unsigned int arrives)
{
	struct rate_sample rs = {.any = true, .prior_delivered = flow.tx.delivered};

	flow.tx.bbr.state = BBR_UP;
	yield_probe_begins(&flow);
	stack.now_ns += ROUND_US * (uint64_t)US;
	flow.tx.sent += (uint64_t)rate * ROUND_US;
	flow.tx.delivered += (uint64_t)arrives * ROUND_US;
	yield_probe_ends(&flow);
	yield_measure(&flow, &rs); /* the first packet of the probe */
	rs.prior_delivered = flow.tx.delivered;
	stack.now_ns += ROUND_US * (uint64_t)US;
	flow.tx.delivered += (uint64_t)arrives * ROUND_US;
	yield_measure(&flow, &rs); /* the first one behind it */
	yield_round_ends(&flow);
	flow.tx.bbr.state = BBR_CRUISE;
}

/* Of a path of 12 we have 4, or 6, and send 2 more: 12 * 6 / 14 and 12 * 8 / 14 arrive. All times
 * 7. */
START_TEST(a_probe_tells_who_has_half)
{
	struct bbr *b = fresh();

	rounds(20, 4 * 7);
	probe(6 * 7, 36);
	ck_assert(!b->has_half);
	rounds(20, 6 * 7 + 1);
	probe(8 * 7, 48);
	ck_assert(b->has_half);
}
END_TEST

START_TEST(a_pause_is_not_part_of_a_round)
{
	struct bbr *b = fresh();

	rounds(20, 10);
	yield_restart(&flow);
	stack.now_ns += 10 * NS_PER_S;
	rounds(20, 10);
	yield_probe_begins(&flow);
	ck_assert(b->probe.before > 0.0099 && b->probe.before < 0.0101);
}
END_TEST

/* The shortest round trip was looked for instead: the probe never ends. */
START_TEST(what_came_before_a_probe_that_was_broken_off_is_forgotten)
{
	struct bbr *b = fresh();

	rounds(40, 40);
	yield_probe_begins(&flow);
	rounds(20, 10);
	yield_probe_begins(&flow);
	ck_assert(b->probe.before > 0.0099 && b->probe.before < 0.0101);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stack yield");
	TCase *tc = tcase_create("stack yield");

	suite_add_tcase(s, tc);
	tcase_add_test(tc, a_probe_tells_who_has_half);
	tcase_add_test(tc, a_pause_is_not_part_of_a_round);
	tcase_add_test(tc, what_came_before_a_probe_that_was_broken_off_is_forgotten);
	return run_suite(s);
}
