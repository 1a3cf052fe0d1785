/* SPDX-License-Identifier: MIT */
/*
 * busy.c - one call at a time on each socket, and what is kept of calls that were interrupted
 *
 * A call that a signal interrupted is made again while the first is still being worked on, and
 * threads share sockets. Operations look at a socket's state and then change it, so they must
 * take turns; calls that wait for the network do not hold the lock.
 *
 * An entry exists while a call is in progress on its socket, or while something is kept of a call
 * which was interrupted:
 *
 *  - for its thread, which makes it again (struct attempt): that it bound, shut or sent, which a second
 *    call would deny or do twice; until when it was to wait, since the one that the kernel makes
 *    again in its place would begin anew, for ever where signals come often;
 *  - for whoever comes next, as the kernel's queue would: connections that were accepted, datagrams
 *    that were received, the socket that was to take this one's place and has its address already.
 *
 * That a waiting call was interrupted is noticed up to a second later, and its like may be here
 * before. So what a call received, and what sendmmsg has sent, is the attempt's before it waits; it
 * is dropped with the answer. A thread makes one call at a time, so its attempt is over when it
 * makes another; whether another thread's is over, the notification says.
 *
 * What nobody came for is dropped by a thread that runs as long as anything is kept.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/capture/call.h"
#include "src/repr/raw.h"

enum {
	KEPT_MAX = 16,
	GOT_MAX = IOV_MAX, /* what one recvmmsg may receive; of a socket */
	ATTEMPTS_MAX = 1024,
	KEPT_MS = 10000, /* nobody has accepted since: the listener is gone, or forgotten */
	/* A call that sends or has a limit and is made so long after its like was interrupted is
	 * another. That a bind or shutdown succeeds twice misleads nobody: KEPT_MS does. */
	AGAIN_MS = 1000,
	SWEEP_S = 1,
	SWEEPER_STACK_BYTES = 128 * 1024,
};

/** struct datagrams - a queue, oldest first */
struct datagrams {
	struct wgw_datagram *first, *last;
};

/**
 * struct attempt - a call of a thread on a socket, in progress or interrupted
 * @id:		Of its notification
 * @tid, @nr:	No other attempt of the socket has the same
 * @until_ms:	When its wait ends, -1: not limited
 * @over_ms:	When it was seen to be interrupted; 0: not yet
 * @done:	It has succeeded: @asked
 * @got:	What it received
 */
struct attempt {
	struct attempt *next;
	uint64_t id;
	pid_t tid;
	int nr;
	uint64_t args[6];
	int64_t until_ms, over_ms;
	bool done;
	struct wgw_asked asked;
	struct datagrams got;
};

/**
 * struct wgw_busy - a socket in use; what is not guarded by the capture's lock is by @turn
 * @cookie:	SO_COOKIE
 * @users:	Calls that hold or want @turn; guarded by the capture's lock
 * @sleepers:	Calls that wait for the network, without @turn; guarded by the capture's lock
 * @attempts, @n_attempts: Newest first
 * @left:	Datagrams of attempts that are over; @n_got: with those of all attempts, which are
 *		numbered in the order of arrival
 * @kept, @n_kept: Accepted connections
 * @again:	The socket that was made to take this one's place, -1: none
 * @kept_since:	When the last of these came
 */
struct wgw_busy {
	struct wgw_busy *next;
	uint64_t cookie;
	unsigned int users, sleepers;
	pthread_mutex_t turn;
	struct attempt *attempts;
	unsigned int n_attempts, n_got;
	uint64_t next_number;
	struct datagrams left;
	int kept[KEPT_MAX];
	unsigned int n_kept;
	int again;
	int64_t kept_since;
};

/* ---- datagrams ---- */

static void append(struct datagrams *to, struct wgw_datagram *got)
{
	got->next = NULL;
	*(to->first ? &to->last->next : &to->first) = got;
	to->last = got;
}

static struct wgw_datagram *take_first(struct datagrams *from)
{
	struct wgw_datagram *got = from->first;

	if (got)
		from->first = got->next;
	return got;
}

static void drop_datagrams(struct wgw_busy *b, struct datagrams *all)
{
	struct wgw_datagram *got;

	while ((got = take_first(all))) {
		b->n_got--;
		free(got->data);
		free(got->control);
		free(got);
	}
}

/** leave_datagrams() - what @a received is for whoever comes next, in the order of arrival */
static void leave_datagrams(struct wgw_busy *b, struct attempt *a)
{
	struct datagrams left = b->left, merged = {0};

	if (!a->got.first)
		return;
	while (left.first || a->got.first) {
		bool older =
			left.first && (!a->got.first || left.first->number < a->got.first->number);

		append(&merged, take_first(older ? &left : &a->got));
	}
	b->left = merged;
	b->kept_since = wgw_raw_now_ms();
}

/* ---- attempts ---- */

/** is_in_progress() - whether @a, perhaps @c itself, is being worked on, or waits */
static bool is_in_progress(const struct wgw_call *c, const struct attempt *a)
{
	struct wgw_call other = {.capture = c->capture, .id = a->id};

	return a->id == c->id || wgw_call_valid(&other);
}

static void drop_attempt(struct wgw_busy *b, struct attempt **at)
{
	struct attempt *a = *at;

	*at = a->next;
	b->n_attempts--;
	drop_datagrams(b, &a->got);
	free(a);
}

/** drop_oldest() - of the attempts that are over */
static void drop_oldest(struct wgw_busy *b)
{
	struct attempt **oldest = NULL;

	for (struct attempt **at = &b->attempts; *at; at = &(*at)->next) {
		if ((*at)->over_ms)
			oldest = at;
	}
	if (oldest)
		drop_attempt(b, oldest);
}

/** find_attempt() - @c's, or the one that @c may repeat; NULL: there is none */
static struct attempt *find_attempt(const struct wgw_call *c)
{
	struct attempt *a = c->busy->attempts;

	while (a && (a->tid != c->tid || a->nr != c->nr))
		a = a->next;
	return a;
}

/** own_attempt() - @c's from here on, made if there is none. What an older call did is no longer kept:
 * who repeats that has asked before (wgw_busy_take_done, wgw_busy_until) */
static struct attempt *own_attempt(const struct wgw_call *c)
{
	struct wgw_busy *b = c->busy;
	struct attempt *a = find_attempt(c);

	if (!a) {
		if (b->n_attempts >= ATTEMPTS_MAX)
			drop_oldest(b);
		a = calloc(1, sizeof(*a));
		if (!a)
			abort(); /* programs then get ENOSYS: nothing leaks */
		a->tid = c->tid;
		a->nr = c->nr;
		a->until_ms = -1;
		a->next = b->attempts;
		b->attempts = a;
		b->n_attempts++;
	} else if (a->id != c->id) {
		leave_datagrams(b, a);
		a->done = false;
		a->until_ms = -1;
	}
	a->id = c->id;
	a->over_ms = 0;
	return a;
}

static bool is_recent(const struct attempt *a)
{
	return !a->over_ms || wgw_raw_now_ms() - a->over_ms <= AGAIN_MS;
}

void wgw_busy_keep_done(struct wgw_call *c)
{
	struct attempt *a = own_attempt(c);

	a->done = true;
	a->asked = c->asked;
}

bool wgw_busy_take_done(struct wgw_call *c)
{
	struct attempt *a = find_attempt(c);
	bool again = a && a->done && a->asked.len == c->asked.len &&
		     memcmp(&a->asked.value, &c->asked.value, a->asked.len) == 0;

	if (a)
		a->done = false; /* who asks for something else is told what the socket is */
	if (again)
		c->asked.result = a->asked.result;
	return again;
}

long wgw_busy_may_be_done(const struct wgw_call *c)
{
	const struct attempt *a = find_attempt(c);

	return a && a->done && is_recent(a) ? a->asked.result : -1;
}

int64_t wgw_busy_until(struct wgw_call *c, int64_t until_ms)
{
	struct attempt *a = find_attempt(c);

	if (a && a->id != c->id && a->until_ms >= 0 && a->until_ms < until_ms && is_recent(a) &&
	    memcmp(a->args, c->args, sizeof(a->args)) == 0)
		until_ms = a->until_ms;
	a = own_attempt(c);
	a->until_ms = until_ms;
	memcpy(a->args, c->args, sizeof(a->args));
	return until_ms;
}

void wgw_busy_keep_got(struct wgw_call *c, const struct wgw_datagram *got)
{
	struct wgw_busy *b = c->busy;
	struct wgw_datagram *copy = b->n_got < GOT_MAX ? malloc(sizeof(*copy)) : NULL;

	if (!copy) {
		free(got->data);
		free(got->control);
		return;
	}
	*copy = *got;
	copy->number = b->next_number++;
	append(&own_attempt(c)->got, copy);
	b->n_got++;
}

const struct wgw_datagram *wgw_busy_take_got(struct wgw_call *c, bool peek)
{
	struct wgw_busy *b = c->busy;
	struct wgw_datagram *got;

	if (b->n_got == 0)
		return NULL;
	for (struct attempt *a = b->attempts; a; a = a->next) {
		if (a->got.first && !is_in_progress(c, a))
			leave_datagrams(b, a);
	}
	if (peek || !b->left.first)
		return b->left.first;
	got = take_first(&b->left);
	append(&own_attempt(c)->got, got);
	return got;
}

/* ---- connections, and a socket in place of this one ---- */

void wgw_busy_keep(struct wgw_call *c, int fd)
{
	struct wgw_busy *b = c->busy;

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

void wgw_busy_keep_again(struct wgw_call *c, int fd)
{
	c->busy->again = fd;
}

int wgw_busy_take_again(struct wgw_call *c)
{
	int fd = c->busy->again;

	c->busy->again = -1;
	return fd;
}

/* ---- entries ---- */

static struct wgw_busy **bucket(struct wgw_capture *k, uint64_t cookie)
{
	return &k->busy[cookie % WGW_CALL_BUCKETS];
}

/** find() - the entry of @cookie, made if there is none */
static struct wgw_busy *find(struct wgw_capture *k, uint64_t cookie)
{
	struct wgw_busy **head = bucket(k, cookie), *b = *head;

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
	b->next = *head;
	*head = b;
	return b;
}

/** drop_kept() - all that is kept of calls that are over */
static void drop_kept(struct wgw_busy *b)
{
	struct attempt **at = &b->attempts;

	while (b->n_kept > 0)
		close(b->kept[--b->n_kept]);
	if (b->again >= 0)
		close(b->again);
	b->again = -1;
	drop_datagrams(b, &b->left);
	while (*at) {
		if ((*at)->over_ms)
			drop_attempt(b, at);
		else
			at = &(*at)->next;
	}
}

/** keeps() - whether anything is kept of calls that are over; without @turn if nobody has it */
static bool keeps(const struct wgw_busy *b)
{
	const struct attempt *a = b->attempts;

	while (a && !a->over_ms)
		a = a->next;
	return a || b->n_kept > 0 || b->again >= 0 || b->left.first;
}

/** forget() - the entry at *@at, of which nothing is kept */
static void forget(struct wgw_busy **at)
{
	struct wgw_busy *b = *at;

	*at = b->next;
	while (b->attempts)
		drop_attempt(b, &b->attempts);
	pthread_mutex_destroy(&b->turn);
	free(b);
}

/** sweep_bucket() - what nobody came for. Whether something is left that may be swept later; under
 * the capture's lock */
static bool sweep_bucket(struct wgw_busy **at, int64_t old_ms)
{
	bool more = false;

	while (*at) {
		struct wgw_busy *b = *at;

		if (b->users == 0 && b->kept_since < old_ms)
			drop_kept(b);
		more = more || b->users > 0 || keeps(b);
		if (b->users > 0 || b->sleepers > 0 || keeps(b)) {
			at = &b->next;
		} else {
			forget(at);
		}
	}
	return more;
}

static void *sweep(void *arg)
{
	const struct timespec pause = {SWEEP_S, 0};
	struct wgw_capture *k = arg;
	bool more;

	do {
		nanosleep(&pause, NULL);
		more = false;
		pthread_mutex_lock(&k->lock);
		for (size_t i = 0; i < WGW_CALL_BUCKETS; i++)
			more = sweep_bucket(&k->busy[i], wgw_raw_now_ms() - KEPT_MS) || more;
		k->sweeping = more;
		pthread_mutex_unlock(&k->lock);
	} while (more);
	return NULL;
}

/** ensure_sweeper() - when there can be none, the next call tries again; under the capture's lock */
static void ensure_sweeper(struct wgw_capture *k)
{
	pthread_attr_t attr;
	pthread_t thread;

	if (k->sweeping)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, SWEEPER_STACK_BYTES);
	k->sweeping = pthread_create(&thread, &attr, sweep, k) == 0;
	pthread_attr_destroy(&attr);
}

/* ---- turns ---- */

void wgw_busy_lock(struct wgw_call *c)
{
	struct wgw_capture *k = c->capture;
	uint64_t cookie = wgw_repr_cookie(c->fd);

	pthread_mutex_lock(&k->lock);
	c->busy = find(k, cookie);
	c->busy->users++;
	pthread_mutex_unlock(&k->lock);
	pthread_mutex_lock(&c->busy->turn);
}

void wgw_busy_unlock(struct wgw_call *c)
{
	struct wgw_capture *k = c->capture;
	struct wgw_busy *b = c->busy;
	struct wgw_busy **at;
	bool kept;

	if (!b)
		return;
	kept = keeps(b);
	pthread_mutex_lock(&k->lock);
	c->busy = NULL;
	pthread_mutex_unlock(&b->turn);
	if (kept)
		ensure_sweeper(k);
	if (--b->users == 0 && b->sleepers == 0 && !kept) {
		at = bucket(k, b->cookie);
		while (*at != b)
			at = &(*at)->next;
		forget(at);
	}
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

void wgw_busy_over(struct wgw_call *c, bool answered)
{
	struct wgw_busy *b = c->busy;
	struct attempt **at;

	if (!b)
		return;
	for (at = &b->attempts; *at && (*at)->id != c->id; at = &(*at)->next)
		;
	if (*at && answered) {
		drop_attempt(b, at);
	} else if (*at) {
		(*at)->over_ms = wgw_raw_now_ms();
		leave_datagrams(b, *at);
	}
	if (answered)
		return;
	b->kept_since = wgw_raw_now_ms();
	if (b->n_kept > 0 || b->left.first)
		wgw_call_wake_waiting(c);
}
