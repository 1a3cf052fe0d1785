/* SPDX-License-Identifier: MIT */
/*
 * loop.h - one thread's event loop: descriptors, timers, work before sleeping
 *
 * Time is CLOCK_BOOTTIME in ns. Nothing wakes the loop but descriptors and due timers.
 */
#ifndef SRC_BASE_LOOP_H
#define SRC_BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wgw_loop;

/**
 * struct wgw_watch - interest in a descriptor; embed it in the object it belongs to
 * @fd:		The descriptor, not owned
 * @ready:	Called with EPOLL* bits. May delete any watch, its own included.
 */
struct wgw_watch {
	int fd;
	void (*ready)(struct wgw_watch *w, uint32_t events);
};

/**
 * struct wgw_timer - one deadline; zero-initialised: not set
 * @due:	Called once when the time has come; may set the timer again or free its object
 * @deadline, @slot: the loop's own
 */
struct wgw_timer {
	void (*due)(struct wgw_timer *t);
	uint64_t deadline;
	size_t slot;
};

/** struct wgw_before - called before every wait, in order of addition: flush what was batched.
 * When @run returns true the loop does not sleep this time. */
struct wgw_before {
	bool (*run)(struct wgw_before *b);
	struct wgw_before *next;
};

/* NULL and errno. */
struct wgw_loop *wgw_loop_new(void);
/* Watches and timers are their owners', and must not be used with @loop any more. */
void wgw_loop_free(struct wgw_loop *loop);

/* @events as epoll_ctl takes them (EPOLLET too). Return 0 or -errno. */
int wgw_loop_add(struct wgw_loop *loop, struct wgw_watch *w, uint32_t events);
int wgw_loop_mod(struct wgw_loop *loop, struct wgw_watch *w, uint32_t events);
/* Before the descriptor is closed. No event of this turn reaches @w any more. */
void wgw_loop_del(struct wgw_loop *loop, struct wgw_watch *w);

/* @t is due at @deadline_ns, or no longer when it was before. Ends the process when there is no
 * memory: a lost timer would be a connection that hangs for ever. */
void wgw_timer_set(struct wgw_loop *loop, struct wgw_timer *t, uint64_t deadline_ns);
void wgw_timer_cancel(struct wgw_loop *loop, struct wgw_timer *t);
/* Adds @b, the caller's, behind those that are there; it stays as long as the loop. */
void wgw_loop_before(struct wgw_loop *loop, struct wgw_before *b);

/* The next wait, unless it is for less, begins with @ns of sleep: what comes meanwhile comes in one
 * turn. */
void wgw_loop_rest(struct wgw_loop *loop, uint64_t ns);

/* Time at the start of this turn, and the clock itself. */
uint64_t wgw_loop_now(const struct wgw_loop *loop);
uint64_t wgw_clock_ns(void);

/* Runs until wgw_loop_stop. */
void wgw_loop_run(struct wgw_loop *loop);
void wgw_loop_stop(struct wgw_loop *loop);

#define WGW_MS_NS  UINT64_C(1000000)
#define WGW_SEC_NS UINT64_C(1000000000)

/* The object that contains member @member at @ptr */
#define wgw_container(ptr, type, member) ((type *)(((char *)(ptr)) - offsetof(type, member)))

#endif
