/* SPDX-License-Identifier: MIT */
/*
 * stream.c - read(2), write(2), readv(2), writev(2)
 *
 * On connections they are the kernel's, with one system call each: only errors are looked at, for
 * the AF_UNIX socket names some of them otherwise. So they are on connected UDP sockets
 * (pre_connected_*, dgram.c). Other datagrams have a header, so they go the way of recvfrom and
 * sendto.
 *
 * These are called before anything else, by allocators that have not started for example: until
 * the constructor has run they are bare system calls.
 */
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "preload/pre.h"
#include "src/repr/raw.h"
#include "src/repr/scatter.h"

/* A failed call on what was a connection: the errno that TCP has for it. */
static ssize_t true_error(int fd)
{
	int err = errno;
	uint64_t tag;

	if (pre_ours(fd, &tag) && wgw_tag_kind(tag) == WGW_KIND_TCP)
		err = (int)-wgw_repr_tcp_error(&pre_session, fd, tag, -err);
	errno = err;
	return -1;
}

ssize_t pre_stream_read_end(int fd, ssize_t n)
{
	uint64_t tag;

	if (n < 0)
		return true_error(fd);
	/* The end; but not of a connection that never was */
	if (n == 0 && pre_ours(fd, &tag) && (tag & WGW_TAG_DISSOLVED))
		return pre_result(-ENOTCONN);
	return n;
}

ssize_t pre_stream_write_end(int fd, ssize_t n, int flags)
{
	if (n >= 0)
		return n;
	n = true_error(fd);
	if (errno != EPIPE || (flags & MSG_NOSIGNAL))
		return n;
	raise(SIGPIPE);
	return pre_result(-EPIPE); /* whatever a handler has left in errno */
}

bool pre_ask(int fd, uint64_t *tag)
{
	unsigned before = pre_kind_entry(fd);

	if (pre_ours(fd, tag))
		return true;
	pre_kind_is_other(fd, before);
	return false;
}

/* Reads from what was a datagram socket of ours. False: it is none now. */
static bool datagram_read(int fd, const struct iovec *iov, size_t n, ssize_t *got)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n};
	uint64_t tag;
	int old;

	if (pre_connected_recv(fd, iov, n, 0, got))
		return *got != -ENOTSOCK;
	if (!pre_ask(fd, &tag) || wgw_tag_kind(tag) == WGW_KIND_TCP)
		return false;
	old = pre_wait_begin();
	*got = wgw_repr_recvmsg(&pre_session, fd, tag, &msg, 0);
	pre_wait_end(old);
	return true;
}

static bool datagram_write(int fd, const struct iovec *iov, size_t n, ssize_t *sent)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n};
	uint64_t tag;

	if (pre_connected_send(fd, iov, n, 0, sent))
		return *sent != -ENOTSOCK;
	if (!pre_ask(fd, &tag) || wgw_tag_kind(tag) == WGW_KIND_TCP)
		return false;
	*sent = pre_send_error(fd, tag);
	if (*sent == 0)
		*sent = wgw_repr_sendmsg(&pre_session, fd, tag, &msg, 0);
	return true;
}

PRE_EXPORT ssize_t read(int fd, void *data, size_t len)
{
	ssize_t done;

	if (!pre_started())
		return pre_result(wgw_raw_read(fd, data, len));
	switch (pre_kind(fd)) {
	case PRE_KIND_STREAM:
		return len ? pre_stream_read_end(fd, pre_next.read(fd, data, len))
			   : pre_next.read(fd, data, len);
	case PRE_KIND_DATAGRAM:
	case PRE_KIND_CONNECTED:
	case PRE_KIND_CONNECTED_DONTFRAG:
		if (len && datagram_read(fd, &(struct iovec){data, len}, 1, &done))
			return pre_result(done);
		break;
	default:
		break;
	}
	return pre_next.read(fd, data, len);
}

/* Vectors of nothing have no effect, whatever the descriptor is; the kernel knows which are
 * errors, too. */
static bool is_something(const struct iovec *iov, int n)
{
	return n > 0 && n <= IOV_MAX && wgw_scatter_room(iov, (size_t)n) > 0;
}

PRE_EXPORT ssize_t readv(int fd, const struct iovec *iov, int n)
{
	ssize_t done;

	if (!pre_started())
		return pre_result(wgw_raw_call(SYS_readv, fd, (long)iov, n, 0, 0, 0));
	switch (pre_kind(fd)) {
	case PRE_KIND_STREAM:
		return pre_stream_read_end(fd, pre_next.readv(fd, iov, n));
	case PRE_KIND_DATAGRAM:
	case PRE_KIND_CONNECTED:
	case PRE_KIND_CONNECTED_DONTFRAG:
		if (is_something(iov, n) && datagram_read(fd, iov, (size_t)n, &done))
			return pre_result(done);
		break;
	default:
		break;
	}
	return pre_next.readv(fd, iov, n);
}

/* As send: a reset is an errno without a signal, the end of the connection is both. */
static ssize_t stream_write(int fd, const void *data, size_t len)
{
	unsigned before = pre_kind_entry(fd);
	ssize_t n = pre_next.send(fd, data, len, MSG_NOSIGNAL);

	if (n < 0 && errno == ENOTSOCK) { /* the number is something else's now */
		pre_kind_is_other(fd, before);
		return pre_next.write(fd, data, len);
	}
	return pre_stream_write_end(fd, n, 0);
}

PRE_EXPORT ssize_t write(int fd, const void *data, size_t len)
{
	ssize_t done;

	if (!pre_started())
		return pre_result(wgw_raw_call(SYS_write, fd, (long)data, (long)len, 0, 0, 0));
	switch (pre_kind(fd)) {
	case PRE_KIND_STREAM:
		if (len)
			return stream_write(fd, data, len);
		break;
	case PRE_KIND_DATAGRAM:
	case PRE_KIND_CONNECTED:
	case PRE_KIND_CONNECTED_DONTFRAG:
		if (datagram_write(fd, &(struct iovec){(void *)data, len}, 1, &done))
			return pre_result(done);
		break;
	default:
		break;
	}
	return pre_next.write(fd, data, len);
}

/* The supervised filter reports sendmsg, so this one takes the kernel's signal as it comes. */
PRE_EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
	ssize_t done;

	if (!pre_started())
		return pre_result(wgw_raw_call(SYS_writev, fd, (long)iov, n, 0, 0, 0));
	switch (pre_kind(fd)) {
	case PRE_KIND_STREAM:
		done = pre_next.writev(fd, iov, n);
		return done < 0 ? true_error(fd) : done;
	case PRE_KIND_DATAGRAM:
	case PRE_KIND_CONNECTED:
	case PRE_KIND_CONNECTED_DONTFRAG:
		if (is_something(iov, n) && datagram_write(fd, iov, (size_t)n, &done))
			return pre_result(done);
		break;
	default:
		break;
	}
	return pre_next.writev(fd, iov, n);
}

/* ---- other names of the same ---- */

PRE_EXPORT ssize_t __read_chk(int fd, void *data, size_t len, size_t size);
PRE_EXPORT ssize_t __read(int fd, void *data, size_t len);
PRE_EXPORT ssize_t __write(int fd, const void *data, size_t len);

ssize_t __read_chk(int fd, void *data, size_t len, size_t size)
{
	if (len > size)
		abort();
	return read(fd, data, len);
}

ssize_t __read(int fd, void *data, size_t len)
{
	return read(fd, data, len);
}

ssize_t __write(int fd, const void *data, size_t len)
{
	return write(fd, data, len);
}
