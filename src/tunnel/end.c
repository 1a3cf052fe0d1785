/* SPDX-License-Identifier: MIT */
/*
 * end.c - our end of an application's stream socket
 *
 * Theory of operation
 *
 * A plain close of our end is a clean end of file to the application: a download cut short by a
 * reset, or by the death of this process, would look complete. The kernel turns a close into
 * ECONNRESET when our receive queue is not empty. Therefore
 *
 *   Keeper: from the first byte an application wrote to the moment its FIN is handed over, our
 * receive queue holds at least one byte. The bytes at its head that were forwarded already are
 * `stale`: at first the whole connect record, later one byte.
 *
 * Reading takes the stale bytes and all but the last of the new ones in one recvmsg, then peeks the
 * last: at no instant in between is the queue empty. Who leaves new bytes behind needs no such
 * care, and as long as many are known to wait FIONREAD need not be asked again.
 *
 * Descriptors are registered edge-triggered, as the keeper keeps them readable for ever. FIONREAD
 * says what is new; what comes later makes an event, so who has read all of a small message need
 * not ask again. A stream is asked again, as a turn should move much. An end of file is known from
 * EPOLLRDHUP. EPOLLOUT is asked for only by who found no room: else a prompt reader would wake us
 * each time it has read.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/repr/cmsg.h"
#include "src/tunnel/end.h"

enum {
	ENOUGH_BYTES = 64 * 1024, /* nobody reads more at once */
	SMALL_BYTES = 4096,	  /* a message, rather than a piece of a stream */
	SKIP_BYTES = 8192,	  /* read and thrown away in one piece; a record has up to 4,608 */
	IOV_MAX_PIECES = 16,
	IDLE_ROOM_MAX = 4,
	DISCARDS_MAX = 256, /* reads of SKIP_BYTES; more than a send buffer holds */
};

static uint8_t skipped[SKIP_BYTES];

void wgw_end_init(struct wgw_end *e, int fd, bool keeps,
		  void (*ready)(struct wgw_watch *, uint32_t))
{
	*e = (struct wgw_end){.watch = {.fd = fd, .ready = ready}, .hello_fd = -1, .keeps = keeps};
}

static uint32_t interest(const struct wgw_end *e)
{
	return EPOLLIN | EPOLLRDHUP | EPOLLET | (e->for_room ? EPOLLOUT : 0);
}

static void watch_room(struct wgw_end *e, bool on)
{
	e->idle_room = 0;
	if (e->for_room == on || !e->loop)
		return;
	e->for_room = on;
	wgw_loop_mod(e->loop, &e->watch, interest(e));
}

int wgw_end_watch(struct wgw_loop *loop, struct wgw_end *e, bool for_room)
{
	e->loop = loop;
	e->for_room = for_room;
	return wgw_loop_add(loop, &e->watch, interest(e));
}

void wgw_end_event(struct wgw_end *e, uint32_t events)
{
	e->events |= events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	if (events & EPOLLIN)
		e->drained = false;
	if (!(events & EPOLLOUT))
		return;
	if (!e->full && ++e->idle_room >= IDLE_ROOM_MAX)
		watch_room(e, false);
	else if (e->full)
		e->idle_room = 0;
	e->full = false;
}

/* The shim's 'F' with the descriptor of an accepted socket, if that is what comes first. */
static void take_hello(struct wgw_end *e)
{
	union wgw_fd_control control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t r;

	/* Peeking without room for descriptors says by MSG_CTRUNC that there are some */
	r = recvmsg(e->watch.fd, &msg, MSG_PEEK | MSG_DONTWAIT);
	if (r < 0 && errno == ECONNRESET) /* told once: not by the event any more */
		e->events |= EPOLLERR;
	if (r != 1)
		return;
	e->hello = false;
	if (byte != WGW_FD_BYTE || !(msg.msg_flags & MSG_CTRUNC))
		return;
	msg.msg_control = &control;
	msg.msg_controllen = sizeof(control);
	if (recvmsg(e->watch.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1)
		return;
	e->keeper_due = true;
	wgw_cmsg_take(&msg, &e->hello_fd, 1);
}

size_t wgw_end_pending(struct wgw_end *e)
{
	int n;

	if (e->watch.fd < 0)
		return 0;
	if (e->hello)
		take_hello(e);
	/* Not there yet: what arrives from now on is looked at next time, for it may be that. */
	if (e->hello)
		return 0;
	e->waiting = 0;
	if (ioctl(e->watch.fd, FIONREAD, &n) < 0 || n <= 0)
		return 0;
	if (e->keeper_due) {
		e->keeper_due = false;
		e->stale = 1;
	}
	if ((size_t)n > e->stale)
		e->waiting = (size_t)n - e->stale;
	return e->waiting;
}

size_t wgw_end_ready(struct wgw_end *e)
{
	size_t n = e->waiting;

	if (n < ENOUGH_BYTES)
		n = e->drained ? 0 : wgw_end_pending(e);
	e->drained = n == 0;
	return n;
}

/* Pieces of @iov from byte @at on, @len bytes at most. Returns their number. */
static int slice(const struct iovec *iov, int n, size_t at, size_t len, struct iovec *out)
{
	int pieces = 0;

	for (int i = 0; i < n && len > 0 && pieces < IOV_MAX_PIECES; i++) {
		size_t take = iov[i].iov_len;

		if (at >= take) {
			at -= take;
			continue;
		}
		take -= at;
		take = take < len ? take : len;
		out[pieces].iov_base = (uint8_t *)iov[i].iov_base + at;
		out[pieces++].iov_len = take;
		at = 0;
		len -= take;
	}
	return pieces;
}

/* Takes the stale bytes and @len new ones off the queue. Returns how many new ones, or -errno. */
static ssize_t take(struct wgw_end *e, const struct iovec *iov, int n, size_t len)
{
	size_t got = 0;

	while (e->stale > 0 || got < len) {
		struct iovec pieces[IOV_MAX_PIECES + 1];
		size_t skip = e->stale < SKIP_BYTES ? e->stale : SKIP_BYTES;
		struct msghdr msg = {.msg_iov = pieces};
		ssize_t r;

		pieces[0] = (struct iovec){skipped, skip};
		msg.msg_iovlen = skip > 0;
		if (skip == e->stale)
			msg.msg_iovlen +=
				(size_t)slice(iov, n, got, len - got, pieces + msg.msg_iovlen);
		r = recvmsg(e->watch.fd, &msg, MSG_DONTWAIT);
		if (r <= 0)
			return got > 0 ? (ssize_t)got : r < 0 ? -errno : -EPIPE;
		if ((size_t)r <= e->stale) {
			e->stale -= (size_t)r;
		} else {
			/* the skipped piece is full when anything follows it */
			got += (size_t)r - skip;
			e->stale = 0;
		}
	}
	return (ssize_t)got;
}

ssize_t wgw_end_read(struct wgw_end *e, const struct iovec *iov, int n, size_t max)
{
	struct iovec last[1];
	bool leaves = max < e->waiting;
	ssize_t got;

	if (leaves || !e->keeps || e->fin_sent) {
		got = take(e, iov, n, max);
		e->waiting = leaves && got > 0 ? e->waiting - (size_t)got : 0;
		return got;
	}
	e->waiting = 0;
	got = take(e, iov, n, max - 1);
	if (got < 0 || (size_t)got < max - 1)
		return got;
	if (slice(iov, n, (size_t)got, 1, last) != 1)
		return got;
	if (recv(e->watch.fd, last[0].iov_base, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
		return got;
	e->stale = 1;
	e->drained = max <= SMALL_BYTES;
	return got + 1;
}

/* What a write to @e returned. */
static ssize_t written(struct wgw_end *e, ssize_t r)
{
	if (r >= 0)
		return r;
	if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS) {
		e->full = true;
		watch_room(e, true);
		return 0;
	}
	return -errno;
}

ssize_t wgw_end_write(struct wgw_end *e, const struct iovec *iov, int n)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};

	if (e->watch.fd < 0)
		return -EPIPE;
	return written(e, sendmsg(e->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL));
}

ssize_t wgw_end_to_pipe(struct wgw_end *e, int pipe, size_t max)
{
	ssize_t r = splice(e->watch.fd, NULL, pipe, NULL, max, SPLICE_F_NONBLOCK);

	if (r < 0)
		return -errno;
	e->waiting -= (size_t)r < e->waiting ? (size_t)r : e->waiting;
	return r;
}

ssize_t wgw_end_from_pipe(struct wgw_end *e, int pipe, size_t len)
{
	if (e->watch.fd < 0)
		return -EPIPE;
	return written(e, splice(pipe, NULL, e->watch.fd, NULL, len, SPLICE_F_NONBLOCK));
}

bool wgw_end_keeper_comes(struct wgw_end *e)
{
	if (!e->keeps || e->fin_sent || e->watch.fd < 0 || e->events & EPOLLHUP)
		return false;
	(void)wgw_end_pending(e);
	if (e->hello_fd >= 0) /* held, it would hide the hang-up */
		close(e->hello_fd);
	e->hello_fd = -1;
	return e->hello || e->keeper_due;
}

void wgw_end_finish(struct wgw_end *e)
{
	if (e->fin_sent || e->watch.fd < 0)
		return;
	e->fin_sent = true;
	(void)take(e, NULL, 0, 0);
	shutdown(e->watch.fd, SHUT_WR);
}

/* Who had its FIN learns of a reset as of EPIPE (tcp_reset() in CLOSE_WAIT), so nothing unread may
 * turn the close into ECONNRESET. */
static void discard(const struct wgw_end *e)
{
	for (int i = 0; i < DISCARDS_MAX; i++) {
		if (recv(e->watch.fd, skipped, sizeof(skipped), MSG_DONTWAIT) <= 0)
			break;
	}
}

void wgw_end_close(struct wgw_loop *loop, struct wgw_end *e, bool reset)
{
	static const struct linger now = {.l_onoff = 1};

	if (e->watch.fd < 0)
		return;
	wgw_loop_del(loop, &e->watch);
	/* The application has closed or shut down both ways: no reset to be seen in that */
	if (e->events & EPOLLHUP)
		(void)take(e, NULL, 0, 0);
	if (e->keeps && e->fin_sent)
		discard(e);
	if (reset && !e->keeps)
		setsockopt(e->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(e->watch.fd);
	e->watch.fd = -1;
	if (e->hello_fd >= 0)
		close(e->hello_fd);
	e->hello_fd = -1;
}
