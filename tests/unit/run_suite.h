/* SPDX-License-Identifier: MIT */
/* run_suite.h - the main() of every unit test: `return run_suite(suite);` */
#ifndef TESTS_UNIT_RUN_SUITE_H
#define TESTS_UNIT_RUN_SUITE_H

#include <check.h>

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
