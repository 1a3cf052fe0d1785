/* SPDX-License-Identifier: MIT */
/*
 * test_capture_threads.c - somebody listens for reported calls, and no more than one thread does
 *
 * The test's own thread is the one that listened and has a call. A pipe stands for the listener: who
 * asks it for a notification gets none, and ends.
 */
#include <check.h>
#include <unistd.h>

#include "src/capture/call.h"
#include "tests/unit/run_suite.h"

enum { PATIENCE_MS = 60000 };

static struct wgw_capture k;
static int ends[2];

static void set_up(void)
{
	ck_assert_int_eq(pipe(ends), 0);
	k = (struct wgw_capture){.listener = ends[0], .threads_max = 8, .parallel = true};
	ck_assert(wgw_threads_start(&k));
}

static unsigned int listening(void)
{
	unsigned int n;

	pthread_mutex_lock(&k.lock);
	n = k.listening;
	pthread_mutex_unlock(&k.lock);
	return n;
}

START_TEST(a_call_that_is_held_up_does_not_hold_up_others)
{
	int ms = 0;

	wgw_threads_take(&k);
	while (listening() == 0 && ms++ < PATIENCE_MS)
		usleep(1000);
	ck_assert_uint_eq(listening(), 1);
	ck_assert_uint_eq(k.threads, 2);
}
END_TEST

START_TEST(of_two_calls_at_once_the_second_does_not_wait_for_the_first)
{
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	wgw_threads_take(&k);
	ck_assert_uint_eq(listening(), 1);
	ck_assert_uint_eq(k.threads, 2);
}
END_TEST

START_TEST(on_few_processors_the_second_waits)
{
	k.parallel = false;
	k.has_watch = k.watching = true; /* one that never comes, however long this takes */
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	wgw_threads_take(&k);
	ck_assert_uint_eq(listening(), 0);
	ck_assert(wgw_threads_again(&k));
	ck_assert_uint_eq(listening(), 1);
	ck_assert_uint_eq(k.threads, 1);
}
END_TEST

START_TEST(no_thread_is_started_while_one_listens)
{
	for (int i = 0; i < 3; i++)
		ck_assert(wgw_threads_listen(&k));
	ck_assert_uint_eq(listening(), 1);
	ck_assert_uint_eq(k.threads, 1);
}
END_TEST

START_TEST(who_cannot_have_a_thread_is_told)
{
	k.threads_max = 1;
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	wgw_threads_take(&k);
	ck_assert(!wgw_threads_listen(&k));
	ck_assert(wgw_threads_again(&k));
	ck_assert_uint_eq(listening(), 1);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("threads");
	Suite *s = suite_create("capture-threads");

	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_set_timeout(t, 180);
	tcase_add_test(t, a_call_that_is_held_up_does_not_hold_up_others);
	tcase_add_test(t, of_two_calls_at_once_the_second_does_not_wait_for_the_first);
	tcase_add_test(t, on_few_processors_the_second_waits);
	tcase_add_test(t, no_thread_is_started_while_one_listens);
	tcase_add_test(t, who_cannot_have_a_thread_is_told);
	suite_add_tcase(s, t);
	return run_suite(s);
}
