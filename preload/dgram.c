/* SPDX-License-Identifier: MIT */
/*
 * dgram.c - send*(2), recv*(2) and the names _FORTIFY_SOURCE gives them
 *
 * TCP needs these only for names, flags and errors; its plain read and write are not hooked. A
 * datagram socket needs them whenever its messages carry a header.
 */
#include "preload/pre.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "src/repr/raw.h"
#include "src/repr/scatter.h"

enum { NS_PER_S = 1000000000, SENDMMSG_MAX = 1024 /* __sys_sendmmsg() */ };

/* ---- errors told by send ---- */

enum { LOOKED = 1024, FD_BITS = 20 };

/* When a datagram was last sent by a number, and by which; 0: something was received. */
static _Atomic uint64_t looked[LOOKED];

/*
 * On Linux an ICMP error is told by the next call. Here it waits in the receive queue, and to look
 * there before each send would cost a call: it is done once in a tick of the coarse clock (1 to 4
 * ms), and only by who has sent and not received since. Who receives looks itself.
 */
static bool is_due(int fd)
{
	_Atomic uint64_t *slot = &looked[fd % LOOKED];
	const uint64_t number = (uint64_t)fd & ((1 << FD_BITS) - 1);
	struct timespec now;
	uint64_t old, tick;

	if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now) < 0)
		return false;
	tick = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
	tick = tick >> FD_BITS << FD_BITS | number; /* of 1 ms */
	old = atomic_load_explicit(slot, memory_order_relaxed);
	if (old == tick)
		return false;
	atomic_store_explicit(slot, tick, memory_order_relaxed);
	return (old & ((1 << FD_BITS) - 1)) == number && old;
}

static void was_received(int fd)
{
	if (fd >= 0)
		atomic_store_explicit(&looked[fd % LOOKED], 0, memory_order_relaxed);
}

static int pending_error(int fd)
{
	return fd >= 0 && is_due(fd) ? wgw_repr_pending_error(&pre_session, fd, pre_ask) : 0;
}

int pre_send_error(int fd, uint64_t tag)
{
	return wgw_tag_kind(tag) == WGW_KIND_UDP && (tag & WGW_TAG_CONNECTED) ? pending_error(fd)
									      : 0;
}

static ssize_t pre_sendmsg(int fd, uint64_t tag, const struct msghdr *msg, int flags)
{
	ssize_t n = pre_send_error(fd, tag);
	int old;

	if (n < 0)
		return pre_result(n);
	old = pre_wait_begin();
	n = pre_spare(wgw_repr_sendmsg(&pre_session, fd, tag, msg, flags), SYS_sendmsg, fd,
		      (long)msg, flags, 0, 0, 0);
	pre_wait_end(old);
	if (n == -EPIPE && !(flags & MSG_NOSIGNAL) && wgw_tag_kind(tag) == WGW_KIND_TCP)
		raise(SIGPIPE);
	return pre_result(n);
}

static ssize_t pre_sendto(int fd, uint64_t tag, const void *data, size_t len, int flags,
			  const struct sockaddr *addr, socklen_t addr_len)
{
	struct iovec iov = {(void *)data, len};
	struct msghdr msg = {.msg_name = (void *)addr,
			     .msg_namelen = addr ? addr_len : 0,
			     .msg_iov = &iov,
			     .msg_iovlen = 1};

	if (msg.msg_namelen > sizeof(struct sockaddr_storage)) /* move_addr_to_kernel() */
		return pre_result(-EINVAL);
	return pre_sendmsg(fd, tag, &msg, flags);
}

static ssize_t pre_recvfrom(int fd, uint64_t tag, void *data, size_t len, int flags,
			    struct sockaddr *addr, socklen_t *addr_len)
{
	struct iovec iov = {data, len};
	struct msghdr msg = {.msg_name = addr,
			     .msg_namelen = addr && addr_len ? *addr_len : 0,
			     .msg_iov = &iov,
			     .msg_iovlen = 1};
	ssize_t n;
	int old;

	if (addr && !addr_len)
		return pre_result(-EFAULT);
	old = pre_wait_begin();
	n = wgw_repr_recvmsg(&pre_session, fd, tag, &msg, flags);
	pre_wait_end(old);
	was_received(fd);
	if (n >= 0 && addr)
		*addr_len = msg.msg_namelen;
	return pre_result(n);
}

/* On a connection, without flags that TCP understands in its own way, the kernel does it all. The
 * descriptor may be another's meanwhile: that makes no difference here. */
static bool is_plain(int fd, int flags)
{
	const int plain = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_PEEK | MSG_WAITALL | MSG_MORE;

	return !(flags & ~plain) && pre_started() && pre_kind(fd) == PRE_KIND_STREAM;
}

/* On what was a connection, a message of whose parts it would look at the data only. */
static bool is_bare(int fd, const struct msghdr *msg)
{
	return pre_started() && pre_kind_is_bare(fd, true) && !msg->msg_name && !msg->msg_control;
}

bool pre_connected_recv(int fd, const struct iovec *iov, size_t n, int flags, ssize_t *result)
{
	int old;

	if (pre_kind(fd) < PRE_KIND_CONNECTED || wgw_scatter_room(iov, n) < WGW_PREAMBLE_BYTES)
		return false;
	old = pre_wait_begin();
	*result = wgw_repr_recv_unasked(&pre_session, fd, iov, n, flags, pre_ask);
	pre_wait_end(old);
	was_received(fd);
	return true;
}

bool pre_connected_send(int fd, const struct iovec *iov, size_t n, int flags, ssize_t *result)
{
	enum pre_kind kind = pre_kind(fd);

	if (kind < PRE_KIND_CONNECTED ||
	    !wgw_repr_is_sent_unasked(&pre_session, iov, n, kind == PRE_KIND_CONNECTED_DONTFRAG))
		return false;
	*result = pending_error(fd);
	if (*result < 0)
		return true;
	*result = wgw_repr_send_unasked(&pre_session, fd, iov, n, flags, pre_ask);
	/* of a datagram socket there is no signal */
	if (*result == -EPIPE && !(flags & MSG_NOSIGNAL) && pre_kind(fd) < PRE_KIND_DATAGRAM)
		raise(SIGPIPE);
	return true;
}

PRE_EXPORT ssize_t send(int fd, const void *data, size_t len, int flags)
{
	uint64_t tag;
	ssize_t n;

	if (pre_started() && pre_kind_is_bare(fd, false))
		return pre_next.send(fd, data, len, flags);
	if (is_plain(fd, flags))
		return pre_stream_write_end(fd, pre_next.send(fd, data, len, flags | MSG_NOSIGNAL),
					    flags);
	if (!(flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL)) && pre_started() &&
	    pre_connected_send(fd, &(struct iovec){(void *)data, len}, 1, flags, &n))
		return pre_result(n);
	if (!pre_ours(fd, &tag))
		return pre_next.send(fd, data, len, flags);
	return pre_sendto(fd, tag, data, len, flags, NULL, 0);
}

PRE_EXPORT ssize_t sendto(int fd, const void *data, size_t len, int flags,
			  const struct sockaddr *addr, socklen_t addr_len)
{
	uint64_t tag;

	if (!addr)
		return send(fd, data, len, flags);
	if (!pre_ours(fd, &tag))
		return pre_next.sendto(fd, data, len, flags, addr, addr_len);
	return pre_sendto(fd, tag, data, len, flags, addr, addr_len);
}

PRE_EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	uint64_t tag;
	ssize_t n;
	int old;

	if (is_bare(fd, msg)) {
		old = pre_wait_begin();
		n = wgw_raw_sendmsg(fd, msg, flags);
		pre_wait_end(old);
		return pre_result(n);
	}
	if (!pre_ours(fd, &tag))
		return pre_next.sendmsg(fd, msg, flags);
	return pre_sendmsg(fd, tag, msg, flags);
}

PRE_EXPORT int sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	uint64_t tag;

	if (!pre_ours(fd, &tag))
		return pre_next.sendmmsg(fd, msgs, n, flags);
	if (n > SENDMMSG_MAX)
		n = SENDMMSG_MAX;
	for (unsigned int i = 0; i < n; i++) {
		ssize_t sent = pre_sendmsg(fd, tag, &msgs[i].msg_hdr, flags);

		if (sent < 0)
			return i ? (int)i : -1;
		msgs[i].msg_len = (unsigned int)sent;
	}
	return (int)n;
}

PRE_EXPORT ssize_t recv(int fd, void *data, size_t len, int flags)
{
	uint64_t tag;
	ssize_t n;

	if (pre_started() && pre_kind_is_bare(fd, false))
		return pre_next.recv(fd, data, len, flags);
	if (len && is_plain(fd, flags))
		return pre_stream_read_end(fd, pre_next.recv(fd, data, len, flags));
	if (!(flags & ~MSG_DONTWAIT) && pre_started() &&
	    pre_connected_recv(fd, &(struct iovec){data, len}, 1, flags, &n))
		return pre_result(n);
	if (!pre_ours(fd, &tag))
		return pre_next.recv(fd, data, len, flags);
	return pre_recvfrom(fd, tag, data, len, flags, NULL, NULL);
}

PRE_EXPORT ssize_t recvfrom(int fd, void *restrict data, size_t len, int flags,
			    struct sockaddr *restrict addr, socklen_t *restrict addr_len)
{
	uint64_t tag;

	if (!addr)
		return recv(fd, data, len, flags);
	if (!pre_ours(fd, &tag))
		return pre_next.recvfrom(fd, data, len, flags, addr, addr_len);
	return pre_recvfrom(fd, tag, data, len, flags, addr, addr_len);
}

PRE_EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	uint64_t tag;
	ssize_t n;
	int old;

	if (is_bare(fd, msg)) {
		old = pre_wait_begin();
		n = wgw_raw_recvmsg(fd, msg, flags);
		pre_wait_end(old);
		return pre_result(n);
	}
	if (!pre_ours(fd, &tag)) {
		n = pre_next.recvmsg(fd, msg, flags);
		if (n >= 0)
			pre_kind_received(msg);
		return n;
	}
	old = pre_wait_begin();
	n = pre_spare(wgw_repr_recvmsg(&pre_session, fd, tag, msg, flags), SYS_recvmsg, fd,
		      (long)msg, flags, 0, 0, 0);
	pre_wait_end(old);
	was_received(fd);
	return pre_result(n);
}

/* @limit less @ms, but not less than nothing. */
static void shorten(struct timespec *limit, int64_t ms)
{
	limit->tv_sec -= ms / 1000;
	limit->tv_nsec -= ms % 1000 * 1000000;
	if (limit->tv_nsec < 0) {
		limit->tv_nsec += NS_PER_S;
		limit->tv_sec--;
	}
	if (limit->tv_sec < 0)
		*limit = (struct timespec){0};
}

/* What follows a message is waited for by poll: a signal ends recvmmsg when it has something, while
 * a recvmsg that waits would be made again under SA_RESTART. */
static ssize_t receive_another(int fd, uint64_t tag, struct msghdr *msg, int flags)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t got;
	int rc;

	for (;;) {
		got = wgw_repr_recvmsg(&pre_session, fd, tag, msg, flags | MSG_DONTWAIT);
		if (got != -EAGAIN || (flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) ||
		    wgw_repr_nonblocking(fd))
			return got;
		rc = wgw_raw_poll(&p, 1, wgw_repr_limit_ms(fd, SO_RCVTIMEO));
		if (rc <= 0)
			return rc < 0 ? rc : -EAGAIN;
	}
}

/* As the kernel: the time limit is looked at only after each message, and what is left of it is
 * told with them. */
static int receive_several(int fd, uint64_t tag, struct mmsghdr *msgs, unsigned int n, int flags,
			   struct timespec *limit)
{
	int64_t began = limit ? wgw_raw_now_ms() : 0;
	int each = flags & ~MSG_WAITFORONE;
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct msghdr *msg = &msgs[i].msg_hdr;
		ssize_t got = i ? receive_another(fd, tag, msg, each)
				: wgw_repr_recvmsg(&pre_session, fd, tag, msg, each);
		int64_t ms;

		if (got < 0)
			return i ? (int)i : (int)got;
		msgs[i].msg_len = (unsigned int)got;
		if (flags & MSG_WAITFORONE)
			each |= MSG_DONTWAIT;
		if (!limit)
			continue;
		ms = wgw_raw_now_ms();
		shorten(limit, ms - began);
		began = ms;
		if (!limit->tv_sec && !limit->tv_nsec)
			return (int)i + 1;
	}
	return (int)n;
}

PRE_EXPORT int recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
			struct timespec *limit)
{
	uint64_t tag;
	int got, old;

	if (!pre_ours(fd, &tag)) {
		got = pre_next.recvmmsg(fd, msgs, n, flags, limit);
		for (int k = 0; k < got; k++)
			pre_kind_received(&msgs[k].msg_hdr);
		return got;
	}
	if (limit && (limit->tv_sec < 0 || limit->tv_nsec < 0 || limit->tv_nsec >= NS_PER_S))
		return (int)pre_result(-EINVAL);
	old = pre_wait_begin();
	got = receive_several(fd, tag, msgs, n, flags, limit);
	pre_wait_end(old);
	was_received(fd);
	return (int)pre_result(got);
}

/* ---- _FORTIFY_SOURCE ---- */

PRE_EXPORT ssize_t __recv_chk(int fd, void *data, size_t len, size_t size, int flags);
PRE_EXPORT ssize_t __recvfrom_chk(int fd, void *restrict data, size_t len, size_t size, int flags,
				  struct sockaddr *restrict addr, socklen_t *restrict addr_len);

ssize_t __recv_chk(int fd, void *data, size_t len, size_t size, int flags)
{
	if (len > size)
		abort();
	return recv(fd, data, len, flags);
}

ssize_t __recvfrom_chk(int fd, void *restrict data, size_t len, size_t size, int flags,
		       struct sockaddr *restrict addr, socklen_t *restrict addr_len)
{
	if (len > size)
		abort();
	return recvfrom(fd, data, len, flags, addr, addr_len);
}
