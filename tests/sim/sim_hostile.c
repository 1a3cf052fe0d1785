/* SPDX-License-Identifier: MIT */
/*
 * sim_hostile.c - a stack whose peers send whatever they like, by seed: what that is, and what must
 * hold, says hostile.h
 *
 * usage: sim_hostile [SEEDS [FIRST]] (by_seed.h)
 */
#include "tests/sim/by_seed.h"
#include "tests/sim/hostile_datagrams.h"

enum { SEEDS = 40, STEPS = 4000 };

static enum act choose(const struct target *t)
{
	if (!t->used || once_in(150) || (!t->flow && once_in(10)))
		return ACT_BEGIN;
	if (t->flow && once_in(8))
		return ACT_OWNER;
	if (once_in(16))
		return ACT_PASS;
	if (once_in(16))
		return ACT_ERROR;
	if (once_in(16))
		return ACT_FORGE;
	if (once_in(h.in_batch ? 8 : 16))
		return ACT_BATCH;
	if (once_in(100))
		return ACT_OBEY;
	if (once_in(40))
		return (enum act)roll(ACTS);
	return ACT_ATTACK;
}

static void run(unsigned int seed)
{
	static const uint16_t mtus[] = {1420, 1420, 9000, 576};
	size_t before;

	(void)seed;
	h_setup_mtu(WIRE_MTU, 1);
	h_teardown();
	before = memory_used();
	begin_acts(mtus[roll(4)], draw());
	for (int i = 0; i < STEPS; i++) {
		struct target *t = &targets[roll(TARGETS)];

		act(choose(t), t);
		if (i % 100 == 0)
			ck_assert_uint_lt(memory_used(), before + MEMORY_MAX_BYTES);
	}
	end_acts();
	ck_assert_uint_eq(memory_used(), before);
}

int main(int argc, char **argv)
{
	return by_seed_main(argc, argv, SEEDS, run);
}
