/* SPDX-License-Identifier: MIT */
/*
 * uapi.c - WireGuard's cross-platform UAPI on a stream socket of the user's runtime directory
 *
 * An operation is a line get=1 or set=1, lines key=value, and an empty line; the answer ends with
 * errno=N and an empty line (negative numbers, as wireguard-go has them). A connection may carry
 * any number of operations, one after the other. What is not answered yet is bounded: nothing is
 * read while an answer waits to be taken.
 *
 * Only processes of our own uid are served, and no answer holds a private or preshared key.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/tunnel/core.h"
#include "src/tunnel/sockets.h"

enum {
	CONNECTIONS_MAX = 32,
	OPERATION_MAX_BYTES = 4 << 20, /* some thousand peers */
	READ_BYTES = 16384,
};

#define IDLE_NS (60 * WGW_SEC_NS)

struct talk;

/** struct change - a set operation that waits for leave; @talk NULL: the connection has gone */
struct change {
	struct talk *talk;
	struct wgw_core *core;
	char *operation;
};

/** struct talk - one connection. @in: what has come; @out: what is being written */
struct talk {
	struct wgw_link link;
	struct change *change;
	struct wgw_watch watch;
	struct wgw_timer idle;
	struct wgw_uapi *owner;
	char *in, *out;
	size_t in_len, in_room, out_at, out_len;
	bool over, advancing;
};

/** struct wgw_uapi - the listener. @paused: set while there are no descriptors for connections */
struct wgw_uapi {
	struct wgw_watch watch;
	struct wgw_timer paused;
	struct wgw_core *core;
	struct wgw_link talks;
	unsigned int n;
};

static void talk_free(struct talk *k)
{
	struct wgw_loop *loop = k->owner->core->t.loop;

	wgw_loop_del(loop, &k->watch);
	wgw_timer_cancel(loop, &k->idle);
	close(k->watch.fd);
	if (k->in)
		sodium_memzero(k->in, k->in_room);
	free(k->in);
	free(k->out);
	if (k->change)
		k->change->talk = NULL;
	wgw_list_remove(&k->link);
	k->owner->n--;
	free(k);
}

static void on_idle(struct wgw_timer *t)
{
	talk_free(wgw_container(t, struct talk, idle));
}

/* ---- operations ---- */

static void advance(struct talk *k);

static void set_out(struct talk *k, char *text)
{
	k->out = text;
	k->out_at = 0;
	k->out_len = text ? strlen(text) : 0;
}

/* The inquiry is over: 0, or an errno that means no. May run inside of begin_change. */
static void on_authorised(void *arg, int err)
{
	struct change *h = arg;
	struct talk *k = h->talk;
	unsigned int line;
	char *text;

	/* wg(8) and others know EPERM */
	err = err ? -EPERM : wgw_configure(h->core, h->operation, false, &line);
	sodium_memzero(h->operation, strlen(h->operation));
	free(h->operation);
	free(h);
	if (!k)
		return;
	k->change = NULL;
	set_out(k, asprintf(&text, "errno=%d\n\n", err) < 0 ? NULL : text);
	if (!k->advancing)
		advance(k);
}

static bool begin_change(struct talk *k, const char *operation)
{
	struct change *h = calloc(1, sizeof(*h));
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);

	if (!h)
		return false;
	h->talk = k;
	h->core = k->owner->core;
	h->operation = strdup(operation);
	if (!h->operation) {
		free(h);
		return false;
	}
	getsockopt(k->watch.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	k->change = h;
	wgw_control_authorise(h->core, cred.pid, on_authorised, h);
	return true;
}

/* The length of the first whole operation in @k->in, 0: there is none yet. */
static size_t whole_operation(const struct talk *k)
{
	const char *end = k->in_len ? memmem(k->in, k->in_len, "\n\n", 2) : NULL;

	return end ? (size_t)(end - k->in) + 2 : 0;
}

/* Answers @operation, now or later. False: no memory, or it is none. */
static bool answer(struct talk *k, const char *operation)
{
	char *text = NULL, *state;

	if (strncmp(operation, "set=1\n", 6) == 0)
		return begin_change(k, operation + 6) && (k->change || k->out);
	if (strcmp(operation, "get=1\n\n") != 0)
		return false;
	state = wgw_report_state(k->owner->core);
	if (!state || asprintf(&text, "%serrno=0\n\n", state) < 0)
		text = NULL;
	free(state);
	set_out(k, text);
	return text != NULL;
}

/* Takes the first operation out of @k->in and makes its answer. False: it is none. */
static bool perform(struct talk *k, size_t len)
{
	/* what is behind a NUL byte would be passed over, and an errno=0 be told of it */
	char *operation = memchr(k->in, '\0', len) ? NULL : strndup(k->in, len);
	bool ok = false;

	if (operation) {
		ok = answer(k, operation);
		sodium_memzero(operation, strlen(operation));
	}
	free(operation);
	sodium_memzero(k->in, len);
	memmove(k->in, k->in + len, k->in_len - len);
	k->in_len -= len;
	return ok;
}

/* ---- bytes ---- */

/* Returns false at the end of the connection. */
static bool receive(struct talk *k)
{
	ssize_t n;

	if (k->in_len + READ_BYTES > k->in_room) {
		/* by hand: realloc would leave a copy of a key behind */
		size_t room = k->in_room ? k->in_room * 2 : 2 * READ_BYTES;
		char *bigger = room <= OPERATION_MAX_BYTES ? malloc(room) : NULL;

		if (!bigger)
			return false;
		if (k->in) {
			memcpy(bigger, k->in, k->in_len);
			sodium_memzero(k->in, k->in_room);
		}
		free(k->in);
		k->in = bigger;
		k->in_room = room;
	}
	n = recv(k->watch.fd, k->in + k->in_len, READ_BYTES, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	k->in_len += (size_t)n;
	k->over = n == 0;
	return true;
}

/* Returns false when nobody takes the answer. */
static bool send_out(struct talk *k)
{
	while (k->out_at < k->out_len) {
		ssize_t n = send(k->watch.fd, k->out + k->out_at, k->out_len - k->out_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		k->out_at += (size_t)n;
	}
	free(k->out);
	k->out = NULL;
	return true;
}

/* Does what can be done with what has come: operations and their answers, one after the other. */
static void advance(struct talk *k)
{
	struct wgw_loop *loop = k->owner->core->t.loop;
	bool ok = true;
	size_t len;

	k->advancing = true;
	while (ok) {
		if (k->out)
			ok = send_out(k);
		if (k->out || k->change || !ok)
			break;
		len = whole_operation(k);
		if (len == 0)
			break;
		ok = perform(k, len);
	}
	k->advancing = false;
	if (!ok || (k->over && !k->out && !k->change)) {
		talk_free(k);
		return;
	}
	wgw_loop_mod(loop, &k->watch, k->change ? 0 : k->out ? EPOLLOUT : EPOLLIN);
	wgw_timer_set(loop, &k->idle, wgw_loop_now(loop) + IDLE_NS);
}

static void on_talk(struct wgw_watch *w, uint32_t events)
{
	struct talk *k = wgw_container(w, struct talk, watch);

	/* a hang-up is told even while nothing is asked for */
	if ((k->change && (events & (EPOLLHUP | EPOLLERR))) ||
	    (!k->change && !k->out && !receive(k)))
		talk_free(k);
	else
		advance(k);
}

/* ---- connections ---- */

static bool own_uid(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.uid == geteuid();
}

static void on_pause_over(struct wgw_timer *t)
{
	struct wgw_uapi *u = wgw_container(t, struct wgw_uapi, paused);

	wgw_loop_mod(u->core->t.loop, &u->watch, EPOLLIN);
}

static void on_connection(struct wgw_watch *w, uint32_t events)
{
	struct wgw_uapi *u = wgw_container(w, struct wgw_uapi, watch);
	struct wgw_loop *loop = u->core->t.loop;
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct talk *k;

	(void)events;
	if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
		wgw_loop_mod(loop, w, 0);
		wgw_timer_set(loop, &u->paused, wgw_clock_ns() + WGW_ACCEPT_PAUSE_MS * WGW_MS_NS);
	}
	if (fd < 0)
		return;
	k = own_uid(fd) && u->n < CONNECTIONS_MAX ? calloc(1, sizeof(*k)) : NULL;
	if (!k) {
		close(fd);
		return;
	}
	k->owner = u;
	k->watch.fd = fd;
	k->watch.ready = on_talk;
	k->idle.due = on_idle;
	if (wgw_loop_add(loop, &k->watch, EPOLLIN) < 0) {
		close(fd);
		free(k);
		return;
	}
	wgw_list_append(&u->talks, &k->link);
	u->n++;
	wgw_timer_set(loop, &k->idle, wgw_loop_now(loop) + IDLE_NS);
}

int wgw_uapi_init(struct wgw_core *core, int fd)
{
	struct wgw_uapi *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->core = core;
	u->watch.fd = fd;
	u->watch.ready = on_connection;
	u->paused.due = on_pause_over;
	wgw_list_init(&u->talks);
	err = wgw_loop_add(core->t.loop, &u->watch, EPOLLIN);
	if (err)
		free(u);
	else
		core->uapi = u;
	return err;
}

void wgw_uapi_free(struct wgw_core *core)
{
	struct wgw_uapi *u = core->uapi;

	core->uapi = NULL;
	if (!u)
		return;
	while (u->talks.next != &u->talks)
		talk_free(wgw_container(u->talks.next, struct talk, link));
	wgw_timer_cancel(core->t.loop, &u->paused);
	wgw_loop_del(core->t.loop, &u->watch);
	close(u->watch.fd);
	free(u);
}
