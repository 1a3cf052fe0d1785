/* SPDX-License-Identifier: MIT */
/*
 * busy.c - one call at a time on each socket
 *
 * A call that a signal interrupted is made again while the first is still being worked on, and
 * threads share sockets. Operations look at a socket's state and then change it, so they must
 * take turns; calls that wait for the network do not hold the lock.
 *
 * An entry exists while a call is in progress on its socket, or while something is kept of a call
 * which was interrupted: a connection that it accepted, which the next accept gets; that it bound
 * or shut, which a second call would deny; that it sent, which would be sent twice; datagrams that
 * it received; the socket that was to take this one's place, and has its
 * address already; until when it was to wait, since the one that the kernel makes again in its
 * place would begin anew, for ever where signals come often.
 *
 * That a waiting call was interrupted is noticed up to a second later, and its like may be here
 * before. So what a call received, and what sendmmsg has sent, is kept before it waits, with the
 * call's id: while that is valid nobody else gets it, and the answer drops it.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/capture/call.h"
#include "src/repr/raw.h"

enum {
	KEPT_MAX = 16,
	GOT_MAX = IOV_MAX, /* what one recvmmsg may receive */
	WAITS_MAX =
		8, /* threads that wait on one socket for a limited time; further ones begin anew */
	KEPT_MS = 10000, /* nobody has accepted since: the listener is gone, or forgotten */
	/* A call that sends or has a limit and is made so long after its like was interrupted is
	 * another. That a bind or shutdown succeeds twice misleads nobody: KEPT_MS does. */
	AGAIN_MS = 1000,
};

#define IN_PROGRESS INT64_MAX

/**
 * struct wait - a call that waits for a limited time, or did when it was interrupted
 * @id:		Of its notification; 0: this place is free
 * @over_ms:	When it was seen to be interrupted; 0: not yet
 */
struct wait {
	uint64_t id;
	pid_t tid;
	int nr;
	uint64_t args[6];
	int64_t until_ms, over_ms;
};

/**
 * struct wgw_busy - a socket in use
 * @cookie:	SO_COOKIE
 * @users:	Calls that hold or want @turn; guarded by the capture's lock
 * @sleepers:	Calls that wait for the network, without @turn; guarded by the capture's lock
 * @kept, @n_kept: Accepted connections; guarded by @turn
 * @done_by, @done_id, @done_nr, @done, @done_ms: The thread whose call has succeeded without its
 *		knowing, or 0, the call, what it asked for, and when it was seen to be interrupted,
 *		IN_PROGRESS before; guarded by @turn
 * @got, @n_got: Datagrams, oldest first; guarded by @turn
 * @again:	The socket that was made to take this one's place, -1: none; guarded by @turn
 * @waits, @n_waits: Guarded by the capture's lock; how many places are taken
 * @kept_since:	When the last of these came
 */
struct wgw_busy {
	struct wgw_busy *next;
	uint64_t cookie;
	unsigned int users, sleepers;
	pthread_mutex_t turn;
	int kept[KEPT_MAX];
	unsigned int n_kept;
	pid_t done_by;
	uint64_t done_id;
	int done_nr;
	int64_t done_ms;
	struct wgw_asked done;
	struct wgw_datagram *got;
	unsigned int n_got;
	int again;
	struct wait waits[WAITS_MAX];
	unsigned int n_waits;
	int64_t kept_since;
};

/** find() - the entry of @cookie, made if there is none */
static struct wgw_busy *find(struct wgw_capture *k, uint64_t cookie)
{
	struct wgw_busy *b = k->busy;

	while (b && b->cookie != cookie)
		b = b->next;
	if (b)
		return b;
	b = calloc(1, sizeof(*b));
	if (!b)
		abort(); /* programs then get ENOSYS: nothing leaks */
	b->cookie = cookie;
	b->again = -1;
	pthread_mutex_init(&b->turn, NULL);
	b->next = k->busy;
	k->busy = b;
	return b;
}

static void close_kept(struct wgw_busy *b)
{
	while (b->n_kept > 0)
		close(b->kept[--b->n_kept]);
	if (b->again >= 0)
		close(b->again);
	b->again = -1;
}

/** drop_got() - the datagram at *@at */
static void drop_got(struct wgw_busy *b, struct wgw_datagram **at)
{
	struct wgw_datagram *got = *at;

	*at = got->next;
	b->n_got--;
	free(got->data);
	free(got->control);
	free(got);
}

static void forget(struct wgw_capture *k, struct wgw_busy *b)
{
	struct wgw_busy **at = &k->busy;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	close_kept(b);
	while (b->got)
		drop_got(b, &b->got);
	pthread_mutex_destroy(&b->turn);
	free(b);
}

/** forget_old() - what nobody came for; what may be a sleeper's stays */
static void forget_old(struct wgw_capture *k)
{
	int64_t old = wgw_raw_now_ms() - KEPT_MS;
	struct wgw_busy *b, *next;

	for (b = k->busy; b; b = next) {
		next = b->next;
		if (b->users > 0 || b->kept_since >= old)
			continue;
		if (b->sleepers > 0)
			close_kept(b);
		else
			forget(k, b);
	}
}

void wgw_busy_lock(struct wgw_call *c)
{
	struct wgw_capture *k = c->capture;
	uint64_t cookie = wgw_repr_cookie(c->fd);

	pthread_mutex_lock(&k->lock);
	forget_old(k);
	c->busy = find(k, cookie);
	c->busy->users++;
	pthread_mutex_unlock(&k->lock);
	pthread_mutex_lock(&c->busy->turn);
}

void wgw_busy_unlock(struct wgw_call *c)
{
	struct wgw_capture *k = c->capture;
	struct wgw_busy *b = c->busy;

	if (!b)
		return;
	pthread_mutex_lock(&k->lock);
	c->busy = NULL;
	pthread_mutex_unlock(&b->turn);
	if (--b->users == 0 && b->sleepers == 0 && b->n_kept == 0 && !b->done_by && b->again < 0 &&
	    b->n_waits == 0 && b->n_got == 0)
		forget(k, b);
	pthread_mutex_unlock(&k->lock);
}

void wgw_busy_sleep(struct wgw_call *c)
{
	struct wgw_capture *k = c->capture;

	pthread_mutex_lock(&k->lock);
	pthread_mutex_unlock(&c->busy->turn);
	c->busy->users--;
	c->busy->sleepers++;
	pthread_mutex_unlock(&k->lock);
}

void wgw_busy_wake(struct wgw_call *c)
{
	struct wgw_capture *k = c->capture;

	pthread_mutex_lock(&k->lock);
	c->busy->users++;
	c->busy->sleepers--;
	pthread_mutex_unlock(&k->lock);
	pthread_mutex_lock(&c->busy->turn);
}

void wgw_busy_keep(struct wgw_call *c, int fd)
{
	struct wgw_busy *b = c->busy;

	b->kept_since = wgw_raw_now_ms();
	if (b->n_kept < KEPT_MAX)
		b->kept[b->n_kept++] = fd;
	else
		close(fd); /* the peer sees a reset, as from a full backlog */
}

int wgw_busy_take(struct wgw_call *c)
{
	struct wgw_busy *b = c->busy;
	int fd;

	if (b->n_kept == 0)
		return -1;
	fd = b->kept[0];
	b->n_kept--;
	memmove(b->kept, b->kept + 1, b->n_kept * sizeof(b->kept[0]));
	return fd;
}

void wgw_busy_keep_done(struct wgw_call *c)
{
	struct wgw_busy *b = c->busy;

	b->kept_since = wgw_raw_now_ms();
	b->done_by = c->tid;
	b->done_id = c->id;
	b->done_nr = c->nr;
	b->done_ms = IN_PROGRESS;
	b->done = c->asked;
}

bool wgw_busy_take_done(struct wgw_call *c)
{
	struct wgw_busy *b = c->busy;
	bool again = b->done_by == c->tid && b->done_nr == c->nr && b->done.len == c->asked.len &&
		     memcmp(&b->done.value, &c->asked.value, b->done.len) == 0;

	b->done_by = 0; /* who asks for something else is told what the socket is */
	if (again)
		c->asked.result = b->done.result;
	return again;
}

long wgw_busy_may_be_done(const struct wgw_call *c)
{
	const struct wgw_busy *b = c->busy;

	if (b->done_by != c->tid || b->done_nr != c->nr ||
	    (b->done_ms != IN_PROGRESS && wgw_raw_now_ms() - b->done_ms > AGAIN_MS))
		return -1;
	return b->done.result;
}

void wgw_busy_keep_got(struct wgw_call *c, const struct wgw_datagram *got)
{
	struct wgw_busy *b = c->busy;
	struct wgw_datagram *copy = b->n_got < GOT_MAX ? malloc(sizeof(*copy)) : NULL;
	struct wgw_datagram **at = &b->got;

	if (!copy) {
		free(got->data);
		free(got->control);
		return;
	}
	*copy = *got;
	copy->id = c->id;
	copy->next = NULL;
	while (*at)
		at = &(*at)->next;
	*at = copy;
	b->n_got++;
	b->kept_since = wgw_raw_now_ms();
}

/** is_in_progress() - whether the call with notification @id, perhaps @c itself, is being worked
 * on, or waits */
static bool is_in_progress(const struct wgw_call *c, uint64_t id)
{
	struct wgw_call other = {.capture = c->capture, .id = id};

	return id == c->id || wgw_call_valid(&other);
}

const struct wgw_datagram *wgw_busy_take_got(struct wgw_call *c, bool peek)
{
	struct wgw_datagram *got = c->busy->got;

	while (got && is_in_progress(c, got->id))
		got = got->next;
	if (got && !peek)
		got->id = c->id;
	return got;
}

void wgw_busy_keep_again(struct wgw_call *c, int fd)
{
	c->busy->kept_since = wgw_raw_now_ms();
	c->busy->again = fd;
}

int wgw_busy_take_again(struct wgw_call *c)
{
	int fd = c->busy->again;

	c->busy->again = -1;
	return fd;
}

/* ---- waiting for a limited time ---- */

static bool is_made_again(const struct wait *w, const struct wgw_call *c)
{
	return w->id && w->tid == c->tid && w->nr == c->nr &&
	       memcmp(w->args, c->args, sizeof(w->args)) == 0;
}

/** place_for() - the call that @c repeats, or a place for it, or NULL */
static struct wait *place_for(struct wgw_busy *b, const struct wgw_call *c, int64_t now)
{
	struct wait *found = NULL;

	for (size_t i = 0; i < WAITS_MAX; i++) {
		struct wait *w = &b->waits[i];

		if (w->id && w->over_ms && w->over_ms + AGAIN_MS < now) {
			w->id = 0;
			b->n_waits--;
		}
		if (is_made_again(w, c))
			return w;
		if (!w->id && !found)
			found = w;
	}
	return found;
}

int64_t wgw_busy_until(struct wgw_call *c, int64_t until_ms)
{
	struct wgw_capture *k = c->capture;
	struct wgw_busy *b = c->busy;
	int64_t now = wgw_raw_now_ms();
	struct wait *w;

	pthread_mutex_lock(&k->lock);
	w = place_for(b, c, now);
	if (w) {
		b->n_waits += w->id == 0;
		if (w->id && w->id != c->id && w->until_ms < until_ms)
			until_ms = w->until_ms;
		*w = (struct wait){.id = c->id, .tid = c->tid, .nr = c->nr, .until_ms = until_ms};
		memcpy(w->args, c->args, sizeof(w->args));
	}
	pthread_mutex_unlock(&k->lock);
	return until_ms;
}

/** drop_or_leave() - what is kept of @c, which is over */
static void drop_or_leave(const struct wgw_call *c, bool answered)
{
	struct wgw_busy *b = c->busy;
	struct wgw_datagram **at = &b->got;

	if (b->done_id == c->id && b->done_by) {
		b->done_ms = wgw_raw_now_ms();
		if (answered)
			b->done_by = 0;
	}
	while (*at && answered) {
		if ((*at)->id == c->id)
			drop_got(b, at);
		else
			at = &(*at)->next;
	}
	if (!answered)
		b->kept_since = wgw_raw_now_ms();
}

void wgw_busy_over(struct wgw_call *c, bool answered)
{
	struct wgw_capture *k = c->capture;
	struct wgw_busy *b = c->busy;

	if (!b)
		return;
	drop_or_leave(c, answered);
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < WAITS_MAX; i++) {
		struct wait *w = &b->waits[i];

		if (w->id != c->id || !w->id)
			continue;
		w->over_ms = wgw_raw_now_ms();
		if (answered) {
			w->id = 0;
			b->n_waits--;
		}
	}
	pthread_mutex_unlock(&k->lock);
}
