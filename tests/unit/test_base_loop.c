/* SPDX-License-Identifier: MIT */
/* test_base_loop.c - the event loop: order of timers, deletion in mid-dispatch, sleeping */
#include <check.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/loop.h"
#include "tests/unit/run_suite.h"

static struct wgw_loop *loop;

static void setup(void)
{
	loop = wgw_loop_new();
	ck_assert_ptr_nonnull(loop);
}

static void teardown(void)
{
	wgw_loop_free(loop);
}

/* ---- timers ---- */

enum { MANY = 1000 };

static struct test_timer {
	struct wgw_timer t;
	uint64_t wanted;
	unsigned int runs;
} timers[MANY];
static uint64_t last_deadline;
static unsigned int timers_run, timers_expected;

static void in_order(struct wgw_timer *t)
{
	struct test_timer *x = wgw_container(t, struct test_timer, t);

	ck_assert_uint_ge(x->wanted, last_deadline);
	ck_assert_uint_le(x->wanted, wgw_loop_now(loop));
	last_deadline = x->wanted;
	x->runs++;
	if (++timers_run == timers_expected)
		wgw_loop_stop(loop);
}

START_TEST(timers_run_in_order_of_deadline_whatever_is_moved_or_cancelled)
{
	uint64_t now = wgw_clock_ns();

	srandom(7);
	for (size_t i = 0; i < MANY; i++) {
		timers[i].t.due = in_order;
		wgw_timer_set(loop, &timers[i].t, now + (uint64_t)random() % (50 * WGW_MS_NS));
	}
	timers_expected = MANY;
	for (size_t i = 0; i < MANY; i++) {
		if (i % 3 == 0) {
			wgw_timer_cancel(loop, &timers[i].t);
			timers_expected--;
		} else if (i % 3 == 1) {
			wgw_timer_set(loop, &timers[i].t,
				      now + (uint64_t)random() % (50 * WGW_MS_NS));
		}
		timers[i].wanted = timers[i].t.deadline;
	}
	wgw_loop_run(loop);
	for (size_t i = 0; i < MANY; i++)
		ck_assert_uint_eq(timers[i].runs, i % 3 == 0 ? 0 : 1);
}
END_TEST

static unsigned int again_runs;

static void set_again_for_the_past(struct wgw_timer *t)
{
	if (++again_runs < 3)
		wgw_timer_set(loop, t, 0);
	else
		wgw_loop_stop(loop);
}

static unsigned int turns;

static bool count_turns(struct wgw_before *b)
{
	(void)b;
	turns++;
	return false;
}

START_TEST(timer_set_again_for_the_past_lets_others_run_between)
{
	struct wgw_timer t = {.due = set_again_for_the_past};
	struct wgw_before b = {.run = count_turns};

	wgw_loop_before(loop, &b);
	wgw_timer_set(loop, &t, 0);
	wgw_loop_run(loop);
	ck_assert_uint_eq(again_runs, 3);
	ck_assert_uint_eq(turns, 3);
}
END_TEST

static void cancel_other(struct wgw_timer *t)
{
	/* The other one is due, too. */
	wgw_timer_cancel(loop, t == &timers[0].t ? &timers[1].t : &timers[0].t);
	timers_run++;
}

static void stop(struct wgw_timer *t)
{
	(void)t;
	wgw_loop_stop(loop);
}

START_TEST(due_timer_cancelled_by_another_does_not_run)
{
	struct wgw_timer end = {.due = stop};

	timers[0].t.due = timers[1].t.due = cancel_other;
	wgw_timer_set(loop, &timers[0].t, 1);
	wgw_timer_set(loop, &timers[1].t, 1);
	wgw_timer_set(loop, &end, 2);
	wgw_loop_run(loop);
	ck_assert_uint_eq(timers_run, 1);
}
END_TEST

START_TEST(timer_that_is_not_set_may_be_cancelled)
{
	struct wgw_timer t = {.due = stop};

	wgw_timer_cancel(loop, &t);
	wgw_timer_set(loop, &t, 0);
	wgw_loop_run(loop);
	wgw_timer_cancel(loop, &t);
}
END_TEST

/* Longer than what epoll's own timeout is used for. */
START_TEST(long_sleep_ends_at_the_deadline_without_waking_in_between)
{
	struct wgw_timer t = {.due = stop};
	struct wgw_before b = {.run = count_turns};
	uint64_t deadline = wgw_clock_ns() + WGW_SEC_NS + WGW_SEC_NS / 10;

	wgw_loop_before(loop, &b);
	wgw_timer_set(loop, &t, deadline);
	wgw_loop_run(loop);
	ck_assert_uint_ge(wgw_clock_ns(), deadline);
	ck_assert_uint_ge(wgw_loop_now(loop), deadline);
	ck_assert_uint_le(turns, 3);
}
END_TEST

START_TEST(short_sleep_does_not_end_before_the_deadline)
{
	for (int i = 0; i < 20; i++) {
		struct wgw_timer t = {.due = stop};
		uint64_t deadline = wgw_clock_ns() + 300000 + (uint64_t)i * 777;

		wgw_timer_set(loop, &t, deadline);
		wgw_loop_run(loop);
		ck_assert_uint_ge(wgw_clock_ns(), deadline);
	}
}
END_TEST

/* ---- watches ---- */

struct test_watch {
	struct wgw_watch w;
	struct test_watch *victim;
	unsigned int runs;
	uint32_t events;
};

static struct test_watch *watch_new(void (*ready)(struct wgw_watch *, uint32_t))
{
	struct test_watch *x = calloc(1, sizeof(*x));

	ck_assert_ptr_nonnull(x);
	x->w.fd = eventfd(1, EFD_NONBLOCK);
	x->w.ready = ready;
	ck_assert_int_eq(wgw_loop_add(loop, &x->w, EPOLLIN), 0);
	return x;
}

static void watch_free(struct test_watch *x)
{
	wgw_loop_del(loop, &x->w);
	close(x->w.fd);
	free(x);
}

static unsigned int watches_run;

/* Deletes and frees the other watch, which is ready in the same turn, and itself. */
static void free_victim_and_self(struct wgw_watch *w, uint32_t events)
{
	struct test_watch *x = wgw_container(w, struct test_watch, w);

	(void)events;
	watches_run++;
	watch_free(x->victim);
	watch_free(x);
	wgw_loop_stop(loop);
}

START_TEST(deleted_watch_gets_no_more_events_of_the_turn)
{
	struct test_watch *a = watch_new(free_victim_and_self);
	struct test_watch *b = watch_new(free_victim_and_self);

	a->victim = b;
	b->victim = a;
	wgw_loop_run(loop);
	ck_assert_uint_eq(watches_run, 1);
}
END_TEST

static void delete_victim_and_add_again(struct wgw_watch *w, uint32_t events)
{
	struct test_watch *x = wgw_container(w, struct test_watch, w);
	uint64_t value;

	(void)events;
	x->runs++;
	ck_assert_int_eq(read(x->w.fd, &value, sizeof(value)), sizeof(value));
	if (x->victim) {
		wgw_loop_del(loop, &x->victim->w);
		ck_assert_int_eq(wgw_loop_add(loop, &x->victim->w, EPOLLIN), 0);
		x->victim->victim = NULL;
		x->victim = NULL;
	} else {
		wgw_loop_stop(loop);
	}
}

/* The new registration is served in the next turn, once. */
START_TEST(watch_deleted_and_added_again_is_served_once)
{
	struct test_watch *a = watch_new(delete_victim_and_add_again);
	struct test_watch *b = watch_new(delete_victim_and_add_again);
	struct wgw_before count = {.run = count_turns};

	a->victim = b;
	b->victim = a;
	wgw_loop_before(loop, &count);
	wgw_loop_run(loop);
	ck_assert_uint_eq(a->runs, 1);
	ck_assert_uint_eq(b->runs, 1);
	ck_assert_uint_eq(turns, 2);
	watch_free(a);
	watch_free(b);
}
END_TEST

static void record(struct wgw_watch *w, uint32_t events)
{
	struct test_watch *x = wgw_container(w, struct test_watch, w);

	x->runs++;
	x->events |= events;
}

START_TEST(edge_triggered_watch_is_called_once_per_edge)
{
	struct test_watch *x = watch_new(record);
	struct wgw_timer end = {.due = stop};
	const uint64_t one = 1;

	ck_assert_int_eq(wgw_loop_mod(loop, &x->w, EPOLLIN | EPOLLET), 0);
	for (unsigned int edges = 1; edges <= 2; edges++) {
		wgw_timer_set(loop, &end, wgw_clock_ns() + 5 * WGW_MS_NS);
		wgw_loop_run(loop);
		ck_assert_uint_eq(x->runs, edges);
		ck_assert_int_eq(write(x->w.fd, &one, sizeof(one)), sizeof(one));
	}
	watch_free(x);
}
END_TEST

START_TEST(descriptor_that_epoll_refuses_is_reported)
{
	struct wgw_watch w = {.fd = -1, .ready = record};

	ck_assert_int_eq(wgw_loop_add(loop, &w, EPOLLIN), -9 /* EBADF */);
	wgw_loop_del(loop, &w);
}
END_TEST

static void read_and_stop(struct wgw_watch *w, uint32_t events)
{
	record(w, events);
	wgw_loop_stop(loop);
}

/* What is ready waits for the end of the rest, which is for one wait. */
START_TEST(a_rest_comes_before_descriptors_and_once)
{
	struct test_watch *x = watch_new(read_and_stop);
	uint64_t began = wgw_clock_ns(), rested;

	wgw_loop_rest(loop, 20 * WGW_MS_NS);
	wgw_loop_run(loop);
	rested = wgw_clock_ns() - began;
	ck_assert_uint_ge(rested, 20 * WGW_MS_NS);
	ck_assert_uint_eq(x->runs, 1);
	wgw_loop_rest(loop, 3600 * WGW_SEC_NS);
	wgw_loop_rest(loop, 0);
	wgw_loop_run(loop);
	ck_assert_uint_eq(x->runs, 2);
	watch_free(x);
}
END_TEST

static bool never_sleep(struct wgw_before *b)
{
	(void)b;
	return true;
}

START_TEST(a_rest_ends_with_a_deadline_and_is_none_while_there_is_work)
{
	struct wgw_timer end = {.due = stop};
	struct wgw_before busy = {.run = never_sleep};

	wgw_timer_set(loop, &end, wgw_clock_ns() + 5 * WGW_MS_NS);
	wgw_loop_rest(loop, 3600 * WGW_SEC_NS);
	wgw_loop_run(loop);
	wgw_loop_before(loop, &busy);
	wgw_timer_set(loop, &end, wgw_clock_ns() + 5 * WGW_MS_NS);
	wgw_loop_rest(loop, 3600 * WGW_SEC_NS);
	wgw_loop_run(loop);
}
END_TEST

/* ---- before hooks ---- */

static char hook_order[8];
static size_t hooks_run;

static bool hook_a(struct wgw_before *b)
{
	(void)b;
	hook_order[hooks_run++ % sizeof(hook_order)] = 'a';
	return hooks_run < 4;
}

static bool hook_b(struct wgw_before *b)
{
	(void)b;
	hook_order[hooks_run++ % sizeof(hook_order)] = 'b';
	if (hooks_run == 4)
		wgw_loop_stop(loop);
	return false;
}

START_TEST(hooks_run_in_order_and_one_that_has_more_to_do_prevents_sleep)
{
	struct wgw_before a = {.run = hook_a}, b = {.run = hook_b};

	wgw_loop_before(loop, &a);
	wgw_loop_before(loop, &b);
	/* Without the return value of the first hook this would sleep for ever. */
	wgw_loop_run(loop);
	ck_assert_mem_eq(hook_order, "abab", 4);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base_loop");
	TCase *c = tcase_create("loop");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 180);
	tcase_add_test(c, timers_run_in_order_of_deadline_whatever_is_moved_or_cancelled);
	tcase_add_test(c, timer_set_again_for_the_past_lets_others_run_between);
	tcase_add_test(c, due_timer_cancelled_by_another_does_not_run);
	tcase_add_test(c, timer_that_is_not_set_may_be_cancelled);
	tcase_add_test(c, long_sleep_ends_at_the_deadline_without_waking_in_between);
	tcase_add_test(c, short_sleep_does_not_end_before_the_deadline);
	tcase_add_test(c, deleted_watch_gets_no_more_events_of_the_turn);
	tcase_add_test(c, watch_deleted_and_added_again_is_served_once);
	tcase_add_test(c, edge_triggered_watch_is_called_once_per_edge);
	tcase_add_test(c, descriptor_that_epoll_refuses_is_reported);
	tcase_add_test(c, a_rest_comes_before_descriptors_and_once);
	tcase_add_test(c, a_rest_ends_with_a_deadline_and_is_none_while_there_is_work);
	tcase_add_test(c, hooks_run_in_order_and_one_that_has_more_to_do_prevents_sleep);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
