/* SPDX-License-Identifier: MIT */
/*
 * loop.c - the event loop: epoll, a binary heap of timers, hooks before sleeping
 *
 * A turn: run the before hooks, wait, dispatch what is ready, run the timers that are due.
 * epoll's own timeout counts CLOCK_MONOTONIC, which stands still during suspend, while deadlines
 * are CLOCK_BOOTTIME. Long sleeps therefore end by a timerfd on CLOCK_BOOTTIME; short ones, which
 * are frequent, by epoll's timeout, which costs no extra system call.
 *
 * Invariants:
 *  - heap[1..n_timers] is a min-heap by deadline; a timer's slot is its index, 0: not set.
 *  - events[at..n_events) is what this turn has still to dispatch; wgw_loop_del blanks the entries
 *    of the watch it removes, so a freed watch is never called.
 *  - a timer set for a time that has passed runs in the next turn at the latest, never in the same
 *    dispatch again, so that timers cannot starve descriptors.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "src/base/loop.h"

enum {
	EVENTS_MAX = 256,
	HEAP_MIN = 64,
};

/* Sleeps from this length on go through the timerfd. */
#define LONG_SLEEP_NS WGW_SEC_NS

struct wgw_loop {
	int epoll;
	int alarm;	   /* timerfd */
	uint64_t alarm_at; /* what it is set to, 0: unset */
	uint64_t now;
	uint64_t rest; /* ns to sleep before the next wait */
	bool stop;
	struct wgw_before *before;
	struct wgw_timer **heap;
	size_t n_timers, heap_room;
	int n_events, at;
	struct epoll_event events[EVENTS_MAX];
};

uint64_t wgw_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * WGW_SEC_NS + (uint64_t)ts.tv_nsec;
}

uint64_t wgw_loop_now(const struct wgw_loop *loop)
{
	return loop->now;
}

struct wgw_loop *wgw_loop_new(void)
{
	struct wgw_loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event ev = {.events = EPOLLIN};

	if (!loop)
		return NULL;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->alarm = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	loop->heap_room = HEAP_MIN;
	loop->heap = calloc(loop->heap_room, sizeof(*loop->heap));
	/* data.ptr NULL: the alarm */
	if (loop->epoll < 0 || loop->alarm < 0 || !loop->heap ||
	    epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->alarm, &ev) < 0) {
		int err = errno;

		wgw_loop_free(loop);
		errno = err;
		return NULL;
	}
	loop->now = wgw_clock_ns();
	return loop;
}

void wgw_loop_free(struct wgw_loop *loop)
{
	if (!loop)
		return;
	if (loop->epoll >= 0)
		close(loop->epoll);
	if (loop->alarm >= 0)
		close(loop->alarm);
	free(loop->heap);
	free(loop);
}

/* ---- watches ---- */

static int watch_ctl(struct wgw_loop *loop, int op, struct wgw_watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	return epoll_ctl(loop->epoll, op, w->fd, &ev) < 0 ? -errno : 0;
}

int wgw_loop_add(struct wgw_loop *loop, struct wgw_watch *w, uint32_t events)
{
	return watch_ctl(loop, EPOLL_CTL_ADD, w, events);
}

int wgw_loop_mod(struct wgw_loop *loop, struct wgw_watch *w, uint32_t events)
{
	return watch_ctl(loop, EPOLL_CTL_MOD, w, events);
}

void wgw_loop_del(struct wgw_loop *loop, struct wgw_watch *w)
{
	watch_ctl(loop, EPOLL_CTL_DEL, w, 0);
	for (int i = loop->at; i < loop->n_events; i++)
		if (loop->events[i].data.ptr == w)
			loop->events[i].data.ptr = NULL;
}

static void dispatch(struct wgw_loop *loop)
{
	for (loop->at = 0; loop->at < loop->n_events;) {
		const struct epoll_event *ev = &loop->events[loop->at++];
		struct wgw_watch *w = ev->data.ptr;

		if (w)
			w->ready(w, ev->events);
	}
	loop->n_events = 0;
}

/* ---- timers ---- */

static void heap_put(struct wgw_loop *loop, size_t slot, struct wgw_timer *t)
{
	loop->heap[slot] = t;
	t->slot = slot;
}

static void sift_up(struct wgw_loop *loop, struct wgw_timer *t, size_t slot)
{
	while (slot > 1 && loop->heap[slot / 2]->deadline > t->deadline) {
		heap_put(loop, slot, loop->heap[slot / 2]);
		slot /= 2;
	}
	heap_put(loop, slot, t);
}

static void sift_down(struct wgw_loop *loop, struct wgw_timer *t, size_t slot)
{
	for (;;) {
		size_t child = 2 * slot;

		if (child > loop->n_timers)
			break;
		if (child < loop->n_timers &&
		    loop->heap[child + 1]->deadline < loop->heap[child]->deadline)
			child++;
		if (loop->heap[child]->deadline >= t->deadline)
			break;
		heap_put(loop, slot, loop->heap[child]);
		slot = child;
	}
	heap_put(loop, slot, t);
}

/* Moves @t, whose deadline has changed, to where it belongs. */
static void sift(struct wgw_loop *loop, struct wgw_timer *t, size_t slot)
{
	if (slot > 1 && loop->heap[slot / 2]->deadline > t->deadline)
		sift_up(loop, t, slot);
	else
		sift_down(loop, t, slot);
}

void wgw_timer_set(struct wgw_loop *loop, struct wgw_timer *t, uint64_t deadline_ns)
{
	if (t->slot) {
		if (t->deadline == deadline_ns)
			return;
		t->deadline = deadline_ns;
		sift(loop, t, t->slot);
		return;
	}
	if (loop->n_timers + 2 > loop->heap_room) {
		size_t room = loop->heap_room * 2;
		struct wgw_timer **heap = reallocarray(loop->heap, room, sizeof(*heap));

		if (!heap)
			abort();
		loop->heap = heap;
		loop->heap_room = room;
	}
	t->deadline = deadline_ns;
	loop->n_timers++;
	sift_up(loop, t, loop->n_timers);
}

void wgw_timer_cancel(struct wgw_loop *loop, struct wgw_timer *t)
{
	size_t slot = t->slot;
	struct wgw_timer *last;

	if (!slot)
		return;
	t->slot = 0;
	last = loop->heap[loop->n_timers--];
	if (last != t)
		sift(loop, last, slot);
}

static void run_timers(struct wgw_loop *loop)
{
	/* Those set again by the ones that run are left for the next turn. */
	size_t budget = loop->n_timers;

	while (budget-- && loop->n_timers && loop->heap[1]->deadline <= loop->now) {
		struct wgw_timer *t = loop->heap[1];

		wgw_timer_cancel(loop, t);
		t->due(t);
	}
}

/* ---- the turn ---- */

void wgw_loop_before(struct wgw_loop *loop, struct wgw_before *b)
{
	struct wgw_before **end = &loop->before;

	while (*end)
		end = &(*end)->next;
	b->next = NULL;
	*end = b;
}

static bool run_before(struct wgw_loop *loop)
{
	bool again = false;

	for (struct wgw_before *b = loop->before; b; b = b->next)
		again |= b->run(b);
	return again;
}

static void set_alarm(struct wgw_loop *loop, uint64_t at)
{
	const struct itimerspec spec = {.it_value = {
						.tv_sec = (time_t)(at / WGW_SEC_NS),
						.tv_nsec = (long)(at % WGW_SEC_NS),
					}};

	if (loop->alarm_at == at)
		return;
	loop->alarm_at = at;
	timerfd_settime(loop->alarm, TFD_TIMER_ABSTIME, &spec, NULL);
}

static int wait_ns(struct wgw_loop *loop, uint64_t ns)
{
	const struct timespec ts = {.tv_nsec = (long)ns};
	static bool no_pwait2; /* before Linux 5.11 */

	if (ns && !no_pwait2) {
		int n = epoll_pwait2(loop->epoll, loop->events, EVENTS_MAX, &ts, NULL);

		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return n;
		no_pwait2 = true;
	}
	/* Rounded up: waking before the deadline would spin. */
	return epoll_wait(loop->epoll, loop->events, EVENTS_MAX,
			  (int)((ns + WGW_MS_NS - 1) / WGW_MS_NS));
}

void wgw_loop_rest(struct wgw_loop *loop, uint64_t ns)
{
	loop->rest = ns;
}

/* Sleeps as wgw_loop_rest wants it, but not beyond @deadline. */
static void rest(struct wgw_loop *loop, uint64_t deadline)
{
	uint64_t now = wgw_clock_ns(), ns = loop->rest;
	struct timespec ts;

	ns = deadline <= now ? 0 : deadline - now < ns ? deadline - now : ns;
	ts.tv_sec = (time_t)(ns / WGW_SEC_NS);
	ts.tv_nsec = (long)(ns % WGW_SEC_NS);
	if (ns)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

/* Waits for events or the first deadline. Leaves n_events. */
static void wait_events(struct wgw_loop *loop, bool poll_only)
{
	uint64_t deadline = loop->n_timers ? loop->heap[1]->deadline : UINT64_MAX;
	uint64_t now;
	int n;

	if (loop->rest && !poll_only)
		rest(loop, deadline);
	loop->rest = 0;
	if (poll_only) {
		n = wait_ns(loop, 0);
	} else if (deadline == UINT64_MAX) {
		n = epoll_wait(loop->epoll, loop->events, EVENTS_MAX, -1);
	} else {
		now = wgw_clock_ns();
		if (deadline <= now) {
			n = wait_ns(loop, 0);
		} else if (deadline - now < LONG_SLEEP_NS) {
			n = wait_ns(loop, deadline - now);
		} else {
			set_alarm(loop, deadline);
			n = epoll_wait(loop->epoll, loop->events, EVENTS_MAX, -1);
		}
	}
	loop->now = wgw_clock_ns();
	loop->n_events = n < 0 ? 0 : n;
	if (loop->alarm_at && loop->alarm_at <= loop->now) {
		uint64_t expirations;

		if (read(loop->alarm, &expirations, sizeof(expirations)) >= 0)
			loop->alarm_at = 0;
	}
}

void wgw_loop_run(struct wgw_loop *loop)
{
	loop->stop = false;
	loop->now = wgw_clock_ns();
	while (!loop->stop) {
		bool again = run_before(loop);

		if (loop->stop)
			break;
		wait_events(loop, again);
		dispatch(loop);
		run_timers(loop);
	}
}

void wgw_loop_stop(struct wgw_loop *loop)
{
	loop->stop = true;
}
