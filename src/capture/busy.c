/* SPDX-License-Identifier: MIT */
/*
 * busy.c - one call at a time on each socket
 *
 * A call that a signal interrupted is made again while the first is still being worked on, and
 * threads share sockets. Operations look at a socket's state and then change it, so they must
 * take turns; calls that wait for the network do not hold the lock.
 *
 * An entry exists while a call is in progress on its socket, or while something is kept of a call
 * which was interrupted: a connection that it accepted, which the next accept gets; that it bound,
 * which a second bind would deny.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/capture/call.h"
#include "src/repr/raw.h"

enum {
	KEPT_MAX = 16,
	KEPT_MS = 10000, /* nobody has accepted since: the listener is gone, or forgotten */
};

/**
 * struct wgw_busy - a socket in use
 * @cookie:	SO_COOKIE
 * @users:	Calls that hold or want @turn; guarded by the capture's lock
 * @kept, @n_kept: Accepted connections; guarded by @turn
 * @bound_by, @bound_args: The thread whose bind has succeeded without its knowing, or 0, and what it
 *		asked for; guarded by @turn
 * @kept_since:	When the last of these came
 */
struct wgw_busy {
	struct wgw_busy *next;
	uint64_t cookie;
	unsigned int users;
	pthread_mutex_t turn;
	int kept[KEPT_MAX];
	unsigned int n_kept;
	pid_t bound_by;
	uint64_t bound_args[2];
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
	pthread_mutex_init(&b->turn, NULL);
	b->next = k->busy;
	k->busy = b;
	return b;
}

static void forget(struct wgw_capture *k, struct wgw_busy *b)
{
	struct wgw_busy **at = &k->busy;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	while (b->n_kept > 0)
		close(b->kept[--b->n_kept]);
	pthread_mutex_destroy(&b->turn);
	free(b);
}

/** forget_old() - what nobody came for */
static void forget_old(struct wgw_capture *k)
{
	int64_t old = wgw_raw_now_ms() - KEPT_MS;
	struct wgw_busy *b, *next;

	for (b = k->busy; b; b = next) {
		next = b->next;
		if (b->users == 0 && b->kept_since < old)
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
	c->busy = NULL;
	pthread_mutex_lock(&k->lock);
	pthread_mutex_unlock(&b->turn);
	if (--b->users == 0 && b->n_kept == 0 && !b->bound_by)
		forget(k, b);
	pthread_mutex_unlock(&k->lock);
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

void wgw_busy_keep_bound(struct wgw_call *c)
{
	struct wgw_busy *b = c->busy;

	b->kept_since = wgw_raw_now_ms();
	b->bound_by = c->tid;
	memcpy(b->bound_args, c->args + 1, sizeof(b->bound_args));
}

bool wgw_busy_take_bound(struct wgw_call *c)
{
	struct wgw_busy *b = c->busy;
	bool again = b->bound_by == c->tid &&
		     memcmp(b->bound_args, c->args + 1, sizeof(b->bound_args)) == 0;

	if (again)
		b->bound_by = 0;
	return again;
}
