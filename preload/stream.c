/* SPDX-License-Identifier: MIT */
/*
 * stream.c - read(2), write(2), readv(2), writev(2)
 *
 * On connections they are the kernel's, with one system call each: only errors are looked at, for the AF_UNIX
 * socket names some of them otherwise. Datagrams may have a header, so they go the way of recv and send.
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
	if (errno == EPIPE && !(flags & MSG_NOSIGNAL))
		raise(SIGPIPE);
	return n;
}

static ssize_t datagram_read(int fd, uint64_t tag, const struct iovec *iov, size_t n)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n};
	int old = pre_wait_begin();
	ssize_t got = wgw_repr_recvmsg(&pre_session, fd, tag, &msg, 0);

	pre_wait_end(old);
	return pre_result(got);
}

static ssize_t datagram_write(int fd, uint64_t tag, const struct iovec *iov, size_t n)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n};

	return pre_result(wgw_repr_sendmsg(&pre_session, fd, tag, &msg, 0));
}

/* Whether @fd is a datagram socket of ours now. */
static bool is_datagram(int fd, uint64_t *tag)
{
	if (pre_ours(fd, tag))
		return wgw_tag_kind(*tag) != WGW_KIND_TCP;
	pre_kind_set(fd, PRE_KIND_OTHER);
	return false;
}

PRE_EXPORT ssize_t read(int fd, void *data, size_t len)
{
	uint64_t tag;

	if (!pre_started())
		return pre_result(wgw_raw_read(fd, data, len));
	switch (pre_kind(fd)) {
	case PRE_KIND_STREAM:
		return len ? pre_stream_read_end(fd, pre_next.read(fd, data, len))
			   : pre_next.read(fd, data, len);
	case PRE_KIND_DATAGRAM:
		if (is_datagram(fd, &tag))
			return datagram_read(fd, tag, &(struct iovec){data, len}, 1);
		break;
	default:
		break;
	}
	return pre_next.read(fd, data, len);
}

PRE_EXPORT ssize_t readv(int fd, const struct iovec *iov, int n)
{
	uint64_t tag;

	if (!pre_started())
		return pre_result(wgw_raw_call(SYS_readv, fd, (long)iov, n, 0, 0, 0));
	switch (pre_kind(fd)) {
	case PRE_KIND_STREAM:
		return pre_stream_read_end(fd, pre_next.readv(fd, iov, n));
	case PRE_KIND_DATAGRAM:
		if (n >= 0 && n <= IOV_MAX && is_datagram(fd, &tag))
			return datagram_read(fd, tag, iov, (size_t)n);
		break;
	default:
		break;
	}
	return pre_next.readv(fd, iov, n);
}

/* As send: a reset is an errno without a signal, the end of the connection is both. */
static ssize_t stream_write(int fd, const void *data, size_t len)
{
	ssize_t n = pre_next.send(fd, data, len, MSG_NOSIGNAL);

	if (n < 0 && errno == ENOTSOCK) { /* the number is something else's now */
		pre_kind_set(fd, PRE_KIND_OTHER);
		return pre_next.write(fd, data, len);
	}
	return pre_stream_write_end(fd, n, 0);
}

PRE_EXPORT ssize_t write(int fd, const void *data, size_t len)
{
	uint64_t tag;

	if (!pre_started())
		return pre_result(wgw_raw_call(SYS_write, fd, (long)data, (long)len, 0, 0, 0));
	switch (pre_kind(fd)) {
	case PRE_KIND_STREAM:
		if (len)
			return stream_write(fd, data, len);
		break;
	case PRE_KIND_DATAGRAM:
		if (is_datagram(fd, &tag))
			return datagram_write(fd, tag, &(struct iovec){(void *)data, len}, 1);
		break;
	default:
		break;
	}
	return pre_next.write(fd, data, len);
}

/* The supervised filter reports sendmsg, so this one takes the kernel's signal as it comes. */
PRE_EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
	uint64_t tag;
	ssize_t done;

	if (!pre_started())
		return pre_result(wgw_raw_call(SYS_writev, fd, (long)iov, n, 0, 0, 0));
	switch (pre_kind(fd)) {
	case PRE_KIND_STREAM:
		done = pre_next.writev(fd, iov, n);
		return done < 0 ? true_error(fd) : done;
	case PRE_KIND_DATAGRAM:
		if (n >= 0 && n <= IOV_MAX && is_datagram(fd, &tag))
			return datagram_write(fd, tag, iov, (size_t)n);
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
