/* SPDX-License-Identifier: MIT */
/* run_suite.h - the main() of every unit test: `return run_suite(suite);` */
#ifndef TESTS_UNIT_RUN_SUITE_H
#define TESTS_UNIT_RUN_SUITE_H

#include <check.h>
#include <stdlib.h>

/* Check's own patience with a test, 4 s, ends on a busy machine. It is read when a test case is
 * made. */
__attribute__((constructor)) static void have_patience(void)
{
	setenv("CK_DEFAULT_TIMEOUT", "180", 0);
}

/* Runs @suite, which is freed, as the environment says (CK_VERBOSITY, CK_RUN_CASE ...). Returns
 * main()'s status. */
static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}

#endif
