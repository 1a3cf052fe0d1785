/* SPDX-License-Identifier: MIT */
/*
 * by_seed.h - one test, run once per seed, each time in a process of its own
 *
 * usage: PROGRAM [SEEDS [FIRST]]
 *
 * Says which seeds failed and why; PROGRAM 1 SEED repeats one, and with CK_FORK=no in the process
 * itself, for a debugger. What never ends is ended by how much it computes, not by the clock.
 */
#ifndef TESTS_SIM_BY_SEED_H
#define TESTS_SIM_BY_SEED_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/sim/memory_used.h"

enum { SEED_CPU_S = 120 }; /* a hundred times what one takes, with sanitizers */

static uint64_t dice;

static inline uint32_t draw(void)
{
	dice = dice * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(dice >> 33);
}

/* A number below @n; 0 if @n is */
static inline uint32_t roll(uint32_t n)
{
	return n ? draw() % n : 0;
}

/* Once in @n times */
static inline bool once_in(uint32_t n)
{
	return roll(n) == 0;
}

/* Any sequence number */
static inline uint32_t roll_all(void)
{
	return draw() << 1 ^ draw();
}

static inline void dice_seed(unsigned int seed)
{
	dice = seed * 0x9E3779B97F4A7C15u + 7;
	draw();
	draw();
}

static void (*by_seed_run)(unsigned int seed);

START_TEST(one_seed)
{
	const struct rlimit limit = {SEED_CPU_S, SEED_CPU_S};

	setrlimit(RLIMIT_CPU, &limit);
	dice_seed((unsigned int)_i);
	by_seed_run((unsigned int)_i);
}
END_TEST

/* Whether @run holds for @seed; says if not */
static inline bool by_seed_holds(const char *program, unsigned int seed)
{
	Suite *suite = suite_create("by seed");
	TCase *tc = tcase_create("by seed");
	SRunner *runner = srunner_create(suite);
	bool good;

	tcase_set_timeout(tc, 0);
	tcase_add_loop_test(tc, one_seed, (int)seed, (int)seed + 1);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_SILENT);
	good = srunner_ntests_failed(runner) == 0;
	if (!good) {
		TestResult **failures = srunner_failures(runner);

		printf("seed %u: %s:%d: %s\n\tagain: %s 1 %u\n", seed, tr_lfile(*failures),
		       tr_lno(*failures), tr_msg(*failures), program, seed);
		free(failures);
	}
	srunner_free(runner);
	return good;
}

static inline void count_exactly(char **argv)
{
	if (!getenv("GLIBC_TUNABLES") && setenv("GLIBC_TUNABLES", KEEP_NOTHING, 0) == 0)
		execv("/proc/self/exe", argv);
}

/* main() of such a program; @seeds: how many without arguments */
static inline int by_seed_main(int argc, char **argv, unsigned int seeds,
			       void (*run)(unsigned int seed))
{
	unsigned int first = 1, bad = 0;

	count_exactly(argv);
	if (argc > 1)
		seeds = (unsigned int)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		first = (unsigned int)strtoul(argv[2], NULL, 10);
	by_seed_run = run;
	unsetenv("CK_TAP_LOG_FILE_NAME"); /* of tests/run: a seed is no test of its own */
	for (unsigned int i = 0; i < seeds; i++)
		bad += !by_seed_holds(argv[0], first + i);
	printf("%u seeds from %u, %u failed\n", seeds, first, bad);
	return seeds == 0 || bad > 0;
}

#endif
