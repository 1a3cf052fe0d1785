/* SPDX-License-Identifier: MIT */
/*
 * poll.c - poll(2): POLLERR of sockets with an error queue
 *
 * AF_UNIX sockets have no such state: a message in the receive queue says that there is an error, and
 * the socket is readable. Who has asked for an error queue looks for POLLERR to read it. So in a
 * process that has set IP_RECVERR on a socket, and in no other, what is readable because of such a
 * message is reported as Linux does. The wait itself is the kernel's; select, where an error is
 * readable on Linux, too, and epoll are not touched.
 */
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "preload/pre.h"

static atomic_bool errors_wanted;

void pre_poll_errors(void)
{
	atomic_store_explicit(&errors_wanted, true, memory_order_relaxed);
}

/* Of what was found readable, tells the errors from the data. */
static int tell_errors(struct pollfd *fds, nfds_t n, int found)
{
	const int saved = errno;
	uint64_t tag;

	for (nfds_t i = 0; found > 0 && i < n; i++) {
		if (!(fds[i].revents & (POLLIN | POLLRDNORM)) || !pre_ours(fds[i].fd, &tag) ||
		    !(tag & WGW_TAG_RECVERR) || wgw_tag_kind(tag) == WGW_KIND_TCP ||
		    !wgw_repr_error_is_next(&pre_session, fds[i].fd, tag))
			continue;
		fds[i].revents &= (short)~(POLLIN | POLLRDNORM);
		fds[i].revents |= POLLERR;
	}
	errno = saved;
	return found;
}

static bool is_plain(void)
{
	return !atomic_load_explicit(&errors_wanted, memory_order_relaxed);
}

PRE_EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	pre_enter();
	if (is_plain())
		return pre_next.poll(fds, n, timeout);
	return tell_errors(fds, n, pre_next.poll(fds, n, timeout));
}

PRE_EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		     const sigset_t *mask)
{
	pre_enter();
	if (is_plain())
		return pre_next.ppoll(fds, n, timeout, mask);
	return tell_errors(fds, n, pre_next.ppoll(fds, n, timeout, mask));
}

/* ---- _FORTIFY_SOURCE ---- */

PRE_EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);
PRE_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
			   const sigset_t *mask, size_t size);

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size)
{
	if (size / sizeof(*fds) < n)
		abort();
	return poll(fds, n, timeout);
}

int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
		size_t size)
{
	if (size / sizeof(*fds) < n)
		abort();
	return ppoll(fds, n, timeout, mask);
}
