/* SPDX-License-Identifier: MIT */
/* test_capture_probe.c - a machine on which nothing can be tried is not taken for one that lacks
 * it; who may not share memory with the child finds the same */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/capture/capture.h"
#include "tests/unit/run_suite.h"

enum { SOME_USER = 54321 }; /* who has no other process */
enum { FAILED = 100, CHANGED = 101 };

/** limited() - what the probe returns in a process whose limit @which is @value */
static int limited(__rlimit_resource_t which, rlim_t value)
{
	struct wgw_capture_probe probe;
	struct wgw_capture_trial trial = {0};
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
		_exit(-wgw_capture_probe(&trial, &probe));
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

/** level_when_dumpable() - what a process finds that is @dumpable, or is not; FAILED, or CHANGED:
 * it is not what it was */
static int level_when_dumpable(int dumpable)
{
	struct wgw_capture_probe probe;
	struct wgw_capture_trial trial = {0};
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0) || wgw_capture_probe(&trial, &probe))
			_exit(FAILED);
		if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != dumpable)
			_exit(CHANGED);
		_exit((int)probe.level);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(memory_that_must_not_be_read_stays_so_and_the_answer_is_the_same)
{
	int level = level_when_dumpable(1);

	ck_assert_int_lt(level, FAILED);
	ck_assert_int_eq(level_when_dumpable(0), level);
}
END_TEST

/* The child may be on its way out still. */
START_TEST(memory_that_is_closed_after_the_answer_stays_closed)
{
	enum { ROUNDS = 20 };
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	for (int i = 0; pid == 0 && i < ROUNDS; i++) {
		struct wgw_capture_probe probe;
		struct wgw_capture_trial trial;

		if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
			_exit(FAILED);
		wgw_capture_probe_begin(&trial);
		if (wgw_capture_probe(&trial, &probe) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
			_exit(FAILED);
		wgw_capture_probe_end(&trial);
		if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
			_exit(CHANGED);
	}
	if (pid == 0)
		_exit(waitpid(-1, NULL, WNOHANG) == -1 ? 0 : FAILED); /* none is left */
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("capture-probe");
	TCase *t = tcase_create("limits");

	tcase_add_test(t, without_a_process_nothing_is_said_about_the_kernel);
	tcase_add_test(t, without_a_descriptor_nothing_is_said_about_the_kernel);
	suite_add_tcase(s, t);
	t = tcase_create("memory");
	tcase_add_test(t, memory_that_must_not_be_read_stays_so_and_the_answer_is_the_same);
	tcase_add_test(t, memory_that_is_closed_after_the_answer_stays_closed);
	suite_add_tcase(s, t);
	return run_suite(s);
}
