/* SPDX-License-Identifier: MIT */
/*
 * threads.c - who listens, who works, who is spared
 *
 * One thread listens: since Linux 6.6 a notification wakes all that do, and each that wakes for
 * nothing costs as much as a call. It answers the call itself and listens again, which is a matter
 * of microseconds for most calls, and no other thread is woken for them. Before a call waits for
 * the network, or the tunnel process is asked, another thread is made to listen; so it is when a
 * second call is there already. What else may hold a thread up is not foreseen (memory of the
 * program's that another process has to provide): the watch sees that nobody listens. It sleeps
 * while somebody does.
 */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "src/capture/call.h"
#include "src/repr/raw.h"

enum {
	SPARE_MAX = 3,
	STACK_BYTES = 256 * 1024, /* changing a datagram socket's peer takes 64 KiB of it */
	WATCH_MS = 10,		  /* nobody listens so long at least before the watch acts */
	NS_PER_MS = 1000000,
};

static bool start(void *(*run)(void *), struct wgw_capture *k)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	err = pthread_create(&thread, &attr, run, k);
	pthread_attr_destroy(&attr);
	if (err)
		errno = err;
	return err == 0;
}

bool wgw_threads_start(struct wgw_capture *k)
{
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->needed, NULL);
	pthread_cond_init(&k->watched, NULL);
	k->threads = k->listening = 1;
	return start(wgw_listener_serve, k);
}

bool wgw_threads_listen(struct wgw_capture *k)
{
	bool create = false, wake = false, any;

	pthread_mutex_lock(&k->lock);
	if (k->listening == 0 && k->spare > 0) {
		k->spare--;
		k->called++;
		wake = true;
	} else if (k->listening == 0 && k->threads < k->threads_max) {
		k->threads++;
		create = true;
	}
	k->listening += wake || create;
	any = k->listening > 0;
	pthread_mutex_unlock(&k->lock);
	if (wake)
		pthread_cond_signal(&k->needed);
	if (!create || start(wgw_listener_serve, k))
		return any;
	pthread_mutex_lock(&k->lock);
	k->threads--;
	k->listening--;
	any = k->listening > 0;
	pthread_mutex_unlock(&k->lock);
	return any;
}

/** watch() - sees to it that somebody listens when the one who did is held up */
static void *watch(void *arg)
{
	const struct timespec while_ = {0, WATCH_MS * NS_PER_MS};
	struct wgw_capture *k = arg;
	unsigned int turns;
	bool held_up;

	for (;;) {
		pthread_mutex_lock(&k->lock);
		while (k->listening > 0) {
			k->watching = false;
			pthread_cond_wait(&k->watched, &k->lock);
		}
		turns = k->turns;
		pthread_mutex_unlock(&k->lock);
		nanosleep(&while_, NULL);
		pthread_mutex_lock(&k->lock);
		held_up = k->listening == 0 && k->turns == turns;
		pthread_mutex_unlock(&k->lock);
		if (held_up)
			wgw_threads_listen(k);
	}
	return NULL;
}

/** need_watch() - wakes the watch; false: there is none, and none can be had */
static bool need_watch(struct wgw_capture *k, bool asleep)
{
	bool create;

	if (!asleep)
		return true;
	pthread_mutex_lock(&k->lock);
	create = !k->has_watch;
	k->has_watch = true;
	pthread_mutex_unlock(&k->lock);
	if (!create) {
		pthread_cond_signal(&k->watched);
		return true;
	}
	if (start(watch, k))
		return true;
	pthread_mutex_lock(&k->lock);
	k->has_watch = k->watching = false;
	pthread_mutex_unlock(&k->lock);
	return false;
}

void wgw_threads_take(struct wgw_capture *k)
{
	struct pollfd p = {.fd = k->listener, .events = POLLIN};
	bool asleep, alone;

	pthread_mutex_lock(&k->lock);
	k->listening--;
	alone = k->listening == 0;
	asleep = alone && !k->watching;
	k->watching |= alone;
	pthread_mutex_unlock(&k->lock);
	if (!alone)
		return;
	if (!need_watch(k, asleep) || (k->parallel && wgw_raw_poll(&p, 1, 0) == 1))
		wgw_threads_listen(k);
}

bool wgw_threads_again(struct wgw_capture *k)
{
	bool stay = true;

	pthread_mutex_lock(&k->lock);
	k->turns++;
	if (k->listening == 0) {
		k->listening++;
	} else if (k->spare < SPARE_MAX) {
		k->spare++;
		while (k->called == 0)
			pthread_cond_wait(&k->needed, &k->lock);
		k->called--; /* counted as listening by who called */
	} else {
		k->threads--;
		stay = false;
	}
	pthread_mutex_unlock(&k->lock);
	return stay;
}
