/* SPDX-License-Identifier: MIT */
/* test_capture_probe.c - a machine on which nothing can be tried is not taken for one that lacks
 * it */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/capture/capture.h"
#include "tests/unit/run_suite.h"

enum { SOME_USER = 54321 }; /* who has no other process */

/** limited() - what the probe returns in a process whose limit @which is @value */
static int limited(__rlimit_resource_t which, rlim_t value)
{
	struct wgw_capture_probe probe;
	struct rlimit limit = {value, value};
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		/* root may have any number of processes */
		if (geteuid() == 0 && setresuid(SOME_USER, SOME_USER, SOME_USER))
			_exit(255);
		if (setrlimit(which, &limit))
			_exit(254);
		_exit(-wgw_capture_probe(&probe));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

START_TEST(without_a_process_nothing_is_said_about_the_kernel)
{
	ck_assert_int_eq(limited(RLIMIT_NPROC, 0), -EAGAIN);
}
END_TEST

START_TEST(without_a_descriptor_nothing_is_said_about_the_kernel)
{
	ck_assert_int_eq(limited(RLIMIT_NOFILE, 3), -EMFILE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("capture-probe");
	TCase *t = tcase_create("limits");

	tcase_add_test(t, without_a_process_nothing_is_said_about_the_kernel);
	tcase_add_test(t, without_a_descriptor_nothing_is_said_about_the_kernel);
	suite_add_tcase(s, t);
	return run_suite(s);
}
