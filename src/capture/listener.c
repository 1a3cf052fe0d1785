/* SPDX-License-Identifier: MIT */
/*
 * listener.c - takes notifications and answers them
 *
 * The operations of src/repr wait: for the tunnel process's reply, or as the program's own call
 * waits. So each call in progress has a thread for as long as the program's thread waits for it,
 * and no notification is handed from one thread to another: who takes it answers it, and before
 * that takes long another thread listens (threads.c). A call that waits for the network can be one
 * of many; when there are too many, the next one fails with ENOBUFS instead of stopping everybody.
 */
#include <assert.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "src/capture/call.h"
#include "src/repr/raw.h"

enum {
	THREADS_MAX = 1024,
	BRIEF_MAX = 64, /* threads whose calls end by themselves; the others may wait */
	WAITING_MAX = THREADS_MAX - BRIEF_MAX,
	WAITING_DESCRIPTORS = 2, /* of a call that waits: wgw_call's pidfd and fd */
	BRIEF_DESCRIPTORS = 5,	 /* a socket that is made, and a conversation about it */
	LOOK_FIRST_MS = 20,	 /* how soon a waiting call looks whether it is still wanted, */
	LOOK_LAST_MS = 1000,	 /* and how rarely in the end */
	SETTLE_MS = 1000,
	SETTLE_NAP_MS = 1,
	WAKE_SIGNAL = SIGURG,
	/* on fewer, the program and the tunnel process have no processor left for a second thread */
	PARALLEL_MIN_PROCESSORS = 3,
};

#define CALL(name)                                                                                 \
	{                                                                                          \
		SYS_##name, wgw_call_##name, #name                                                 \
	}

static const struct {
	int nr;
	wgw_call_handler *handle;
	const char *name;
} calls[] = {
	CALL(socket),	  CALL(connect),     CALL(bind),	CALL(listen),
#ifdef SYS_accept
	CALL(accept),
#endif
	CALL(accept4),	  CALL(getsockname), CALL(getpeername), CALL(shutdown),
	CALL(getsockopt), CALL(setsockopt),  CALL(sendto),	CALL(sendmsg),
	CALL(sendmmsg),	  CALL(recvfrom),    CALL(recvmsg),	CALL(recvmmsg),
};

/* ---- what handlers need ---- */

bool wgw_call_valid(const struct wgw_call *c)
{
	return ioctl(c->capture->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &c->id) == 0;
}

int64_t wgw_call_until(struct wgw_call *c, int option)
{
	struct timeval tv = {0};
	socklen_t len = sizeof(tv);

	if (wgw_raw_getsockopt(c->fd, SOL_SOCKET, option, &tv, &len) < 0 ||
	    (tv.tv_sec == 0 && tv.tv_usec == 0) || tv.tv_sec > INT64_MAX / 2000)
		return -1;
	return wgw_busy_until(c, wgw_raw_now_ms() + (int64_t)tv.tv_sec * 1000 +
					 (tv.tv_usec + 999) / 1000);
}

/* ---- calls in progress ---- */

static struct wgw_call **bucket(struct wgw_capture *k, pid_t tid)
{
	return &k->calls[(unsigned int)tid % WGW_CALL_BUCKETS];
}

/** wake() - the thread that works on @c looks whether it is still wanted, if it waits; under the
 * capture's lock */
static void wake(const struct wgw_call *c)
{
	if (c->asleep)
		pthread_kill(c->worker, WAKE_SIGNAL);
}

/** enroll() - a thread of the program makes one call at a time: one that it made before is over */
static void enroll(struct wgw_call *c)
{
	struct wgw_capture *k = c->capture;
	struct wgw_call **head = bucket(k, c->tid);

	c->worker = pthread_self();
	pthread_mutex_lock(&k->lock);
	for (const struct wgw_call *other = *head; other; other = other->next) {
		if (other->tid == c->tid)
			wake(other);
	}
	c->next = *head;
	*head = c;
	pthread_mutex_unlock(&k->lock);
}

static void leave(struct wgw_call *c)
{
	struct wgw_capture *k = c->capture;
	struct wgw_call **at = bucket(k, c->tid);

	pthread_mutex_lock(&k->lock);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	pthread_mutex_unlock(&k->lock);
}

void wgw_call_wake_waiting(const struct wgw_call *c)
{
	struct wgw_capture *k = c->capture;

	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < WGW_CALL_BUCKETS; i++) {
		for (struct wgw_call *other = k->calls[i]; other; other = other->next) {
			if (other == c || other->busy != c->busy)
				continue;
			other->poked = true;
			wake(other);
		}
	}
	pthread_mutex_unlock(&k->lock);
}

/** wake_those_over() - but @c, and those that want its socket's lock. Whether there are any */
static bool wake_those_over(const struct wgw_call *c)
{
	struct wgw_capture *k = c->capture;
	bool any = false;

	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < WGW_CALL_BUCKETS; i++) {
		for (const struct wgw_call *other = k->calls[i]; other; other = other->next) {
			if (other == c || (c->busy && other->busy == c->busy) ||
			    wgw_call_valid(other))
				continue;
			any = true;
			wake(other);
		}
	}
	pthread_mutex_unlock(&k->lock);
	return any;
}

void wgw_call_settle(const struct wgw_call *c)
{
	int64_t until_ms = wgw_raw_now_ms() + SETTLE_MS;

	wgw_threads_listen(c->capture);
	while (wake_those_over(c) && wgw_raw_now_ms() < until_ms)
		wgw_raw_poll(NULL, 0, SETTLE_NAP_MS);
	if (c->capture->copies)
		wgw_copies_sweep(c->capture->copies);
}

/* ---- waiting ---- */

/** begin_wait() - an eighth of the places is for calls that send or connect: those end some day */
static bool begin_wait(struct wgw_call *c, short events)
{
	struct wgw_capture *k = c->capture;
	unsigned int max = k->waiting_max - (events & POLLOUT ? 0 : k->waiting_max / 8);
	bool room;

	if (!wgw_threads_listen(k))
		return false;
	pthread_mutex_lock(&k->lock);
	room = k->waiting < max;
	k->waiting += room;
	c->asleep = room;
	pthread_mutex_unlock(&k->lock);
	return room;
}

static void end_wait(struct wgw_call *c)
{
	struct wgw_capture *k = c->capture;

	pthread_mutex_lock(&k->lock);
	k->waiting--;
	c->asleep = false;
	pthread_mutex_unlock(&k->lock);
}

/** poll_or_wake() - as poll(2), but WAKE_SIGNAL ends it, too; 0 then */
static int poll_or_wake(struct pollfd *p, nfds_t n, int64_t ms)
{
	struct timespec limit = {ms / 1000, ms % 1000 * 1000000};
	sigset_t blocked;
	int rc;

	sigfillset(&blocked);
	sigdelset(&blocked, WAKE_SIGNAL);
	rc = ppoll(p, n, &limit, &blocked);
	if (rc >= 0 || errno != EINTR)
		return rc;
	for (nfds_t i = 0; i < n; i++)
		p[i].revents = 0;
	return 0;
}

/** wait_unlocked() - an interrupted call makes no event, so it is looked for, less and less often,
 * as most calls that wait long wait for ever; until its thread makes another one (enroll). The end
 * of the program is an event. */
static long wait_unlocked(struct wgw_call *c, short events, int64_t until_ms)
{
	struct pollfd p[] = {{.fd = c->fd, .events = events}, {.fd = c->pidfd, .events = POLLIN}};
	int64_t look_ms = LOOK_FIRST_MS;

	for (;;) {
		int64_t left_ms = until_ms < 0 ? look_ms : until_ms - wgw_raw_now_ms();

		if (left_ms > look_ms)
			left_ms = look_ms;
		if (poll_or_wake(p, 2, left_ms < 0 ? 0 : left_ms) < 0)
			return -ENOBUFS;
		if (!wgw_call_valid(c))
			return WGW_CALL_GONE;
		if (p[0].revents || atomic_exchange(&c->poked, false))
			return 1;
		if (until_ms >= 0 && wgw_raw_now_ms() >= until_ms)
			return 0;
		look_ms = 2 * look_ms > LOOK_LAST_MS ? LOOK_LAST_MS : 2 * look_ms;
	}
}

long wgw_call_wait(struct wgw_call *c, short events, int64_t until_ms)
{
	long rc;

	if (!begin_wait(c, events))
		return -ENOBUFS;
	wgw_busy_sleep(c);
	rc = wait_unlocked(c, events, until_ms);
	wgw_busy_wake(c);
	end_wait(c);
	return rc;
}

int wgw_call_replace(struct wgw_call *c, int fd)
{
	struct seccomp_notif_addfd add = {.id = c->id,
					  .flags = SECCOMP_ADDFD_FLAG_SETFD,
					  .srcfd = (uint32_t)fd,
					  .newfd = (uint32_t)c->args[0],
					  .newfd_flags = (uint32_t)c->give_flags};

	return ioctl(c->capture->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 ? -errno : 0;
}

/* ---- answers ---- */

/** send_value() - the result of the call. false: nobody waits */
static bool send_value(const struct wgw_call *c, long result)
{
	struct seccomp_notif_resp resp = {.id = c->id};

	if (result == WGW_CALL_CONTINUE)
		resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else if (result < 0)
		resp.error = (int)result;
	else
		resp.val = result;
	while (ioctl(c->capture->listener, SECCOMP_IOCTL_NOTIF_SEND, &resp)) {
		if (errno != EINTR)
			return false;
	}
	return true;
}

/** send_fd() - puts @c->give into the program's table and answers with its number, in one step */
static bool send_fd(struct wgw_call *c)
{
	struct seccomp_notif_addfd add = {.id = c->id,
					  .flags = SECCOMP_ADDFD_FLAG_SEND,
					  .srcfd = (uint32_t)c->give,
					  .newfd_flags = (uint32_t)c->give_flags};

	if (ioctl(c->capture->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0)
		return true;
	/* ENOENT: interrupted. Else its table is full: that is its result. */
	if (errno != ENOENT)
		send_value(c, -errno);
	return false;
}

static bool takes_descriptor(int nr)
{
	return nr != SYS_socket;
}

/** carries_message() - the calls that look for themselves whether the program still waits: before
 * each message, when they have read what the program gives them for it (message.c) */
static bool carries_message(int nr)
{
	return nr == SYS_sendto || nr == SYS_sendmsg || nr == SYS_sendmmsg || nr == SYS_recvfrom ||
	       nr == SYS_recvmsg || nr == SYS_recvmmsg;
}

static_assert(sizeof(calls) / sizeof(*calls) <= WGW_CALL_KINDS_MAX, "a counter for each");

static long handle(struct wgw_call *c)
{
	int rc;

	if (takes_descriptor(c->nr)) {
		rc = wgw_target_open(c);
		if (!carries_message(c->nr) && !wgw_call_valid(c))
			return WGW_CALL_GONE;
		if (rc)
			return rc;
	}
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		if (calls[i].nr != c->nr)
			continue;
		atomic_fetch_add_explicit(&c->capture->count[i], 1, memory_order_relaxed);
		return calls[i].handle(c);
	}
	return -ENOSYS;
}

static void serve_call(struct wgw_capture *k, const struct seccomp_notif *n)
{
	struct wgw_call c = {.capture = k,
			     .id = n->id,
			     .tid = (pid_t)n->pid,
			     .nr = n->data.nr,
			     .pidfd = -1,
			     .fd = -1,
			     .what = WGW_SOCKET_OTHER,
			     .give = -1};
	bool sent = true;
	long result;

	for (size_t i = 0; i < 6; i++)
		c.args[i] = n->data.args[i];
	enroll(&c);
	result = handle(&c);
	if (c.fd >= 0 && !c.undo_uses_fd) {
		close(c.fd);
		c.fd = -1;
	}
	if (result == WGW_CALL_GIVE && k->copies)
		wgw_copies_add(k->copies, c.give);
	if (result == WGW_CALL_GIVE)
		sent = send_fd(&c);
	else if (result != WGW_CALL_GONE)
		sent = send_value(&c, result);
	if (result == WGW_CALL_GIVE && k->copies)
		wgw_copies_given(k->copies, c.give);
	if (!sent && c.undo)
		c.undo(&c);
	/* not before: it would interrupt the call */
	if (sent && c.broken_pipe)
		syscall(SYS_pidfd_send_signal, c.pidfd, SIGPIPE, NULL, 0);
	if (c.give >= 0)
		close(c.give);
	wgw_busy_over(&c, sent && result != WGW_CALL_GONE);
	wgw_busy_unlock(&c);
	wgw_target_close(&c);
	leave(&c);
}

/* ---- notifications ---- */

/* Linux 6.6, and newer than some headers. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

void wgw_listener_wake_here(int listener)
{
	(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
}

/** receive() - the next notification; false: there will be none */
static bool receive(const struct wgw_capture *k, struct seccomp_notif *n, size_t size)
{
	for (;;) {
		memset(n, 0, size);
		if (!ioctl(k->listener, SECCOMP_IOCTL_NOTIF_RECV, n))
			return true;
		/* ENOENT: it was interrupted before it came here, or nobody is left */
		if (errno == ENOENT) {
			struct pollfd p = {.fd = k->listener};

			if (wgw_raw_poll(&p, 1, 0) == 1)
				return false;
		} else if (errno != EINTR) {
			return false;
		}
	}
}

void *wgw_listener_serve(void *arg)
{
	struct wgw_capture *k = arg;
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes))
		return NULL;

	/* on the stack: malloc would make an arena for this thread. The kernel's structure may grow */
	struct seccomp_notif n[1 + sizes.seccomp_notif / sizeof(struct seccomp_notif)];

	do {
		if (!receive(k, n, sizeof(n)))
			break;
		wgw_threads_take(k);
		serve_call(k, n);
	} while (wgw_threads_again(k));
	return NULL;
}

/** before_asking() - the tunnel process's reply may take its time */
static void before_asking(void *capture)
{
	wgw_threads_listen(capture);
}

static rlim_t between(rlim_t min, rlim_t n, rlim_t max)
{
	return n < min ? min : n > max ? max : n;
}

/** size_for_descriptors() - raises their limit; where it is low all the same, there are fewer
 * threads, but one of each kind */
static void size_for_descriptors(struct wgw_capture *k)
{
	struct rlimit limit;
	rlim_t brief = BRIEF_MAX, waiting = WAITING_MAX, used, left;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
		brief = between(1, limit.rlim_cur / 2 / BRIEF_DESCRIPTORS, brief);
		used = brief * BRIEF_DESCRIPTORS + WGW_PIDFDS_MAX;
		left = limit.rlim_cur > used ? limit.rlim_cur - used : 0;
		waiting = between(1, left / WAITING_DESCRIPTORS, waiting);
	}
	k->waiting_max = (unsigned int)waiting;
	k->threads_max = (unsigned int)(waiting + brief);
}

/** processors() - that the session may use; 0: not known */
static int processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
}

static void on_wake(int number)
{
	(void)number; /* ends ppoll(2) */
}

struct wgw_capture *wgw_capture_start(const struct wgw_capture_options *options)
{
	struct wgw_capture *k = calloc(1, sizeof(*k));
	const struct sigaction act = {.sa_handler = on_wake};

	if (!k)
		return NULL;
	sigaction(WAKE_SIGNAL, &act, NULL);
	k->listener = options->listener;
	wgw_listener_wake_here(k->listener);
	if (!wgw_repr_session_parse(&k->session, options->session)) {
		errno = EINVAL;
		goto fail;
	}
	k->session.before_asking = before_asking;
	k->session.asker = k;
	/* calls without an address are not reported: messages are sent and read as they are */
	k->session.bare = true;
	k->kept = calloc(options->n_kept + 1, sizeof(*k->kept));
	if (!k->kept)
		goto fail;
	k->apps = options->apps ? strdup(options->apps) : NULL;
	if (options->apps && !k->apps)
		goto fail;
	if (options->n_kept)
		memcpy(k->kept, options->kept, options->n_kept * sizeof(*k->kept));
	k->n_kept = options->n_kept;
	if (options->without_getfd) {
		k->copies = wgw_copies_start(options->scan);
		if (!k->copies)
			goto fail;
	}
	size_for_descriptors(k);
	k->parallel = processors() >= PARALLEL_MIN_PROCESSORS;
	if (wgw_threads_start(k))
		return k;
fail:
	free(k->apps);
	free(k->kept);
	free(k);
	return NULL;
}

void wgw_capture_describe(const struct wgw_capture *k, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls) && used < size; i++) {
		unsigned int n = atomic_load_explicit(&k->count[i], memory_order_relaxed);

		if (n)
			used += (size_t)snprintf(text + used, size - used, "%s%s %u",
						 used ? ", " : "", calls[i].name, n);
	}
}
