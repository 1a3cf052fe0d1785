/* SPDX-License-Identifier: MIT */
/*
 * connect.c - connect(2)
 *
 * Starting a connect and asking for its outcome can both be repeated, because the state is derived
 * from the socket. So when a signal interrupts the program's call, the next one finds what the
 * first has done; only "the outcome was told" has to be taken back.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "src/capture/call.h"
#include "src/repr/raw.h"

/** untell() - the outcome did not reach the program */
static void untell(struct wgw_call *c)
{
	wgw_repr_tag_change(c->fd, 0, (WGW_TAG_REPORTED | WGW_TAG_DISSOLVED) & ~c->tag);
}

/** is_close_on_exec() - of the program's descriptor @number */
static bool is_close_on_exec(const struct wgw_call *c, int number)
{
	char path[64], text[256];
	unsigned int flags = 0;
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)c->tid, number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return sscanf(text, "pos: %*s flags: %o", &flags) != 1 || (flags & O_CLOEXEC);
}

/** put_in_place() - of the program's socket; unless another thread has closed that number, or has
 * something else there: then it is used for the rest of the call, as the kernel would the old one.
 * 0 or -errno */
static int put_in_place(struct wgw_call *c, int again)
{
	struct wgw_copies *copies = c->capture->copies;
	int rc;

	if (!wgw_target_is_there(c))
		return 0;
	c->give_flags = is_close_on_exec(c, (int)c->args[0]) ? O_CLOEXEC : 0;
	if (copies)
		wgw_copies_add(copies, again);
	rc = wgw_call_replace(c, again);
	if (copies)
		wgw_copies_given(copies, again);
	return rc;
}

long wgw_call_again(struct wgw_call *c)
{
	int again = wgw_busy_take_again(c);
	int rc;

	if (again < 0)
		again = wgw_repr_again(&c->capture->session, c->fd, c->tag);
	if (again < 0)
		return again;
	rc = put_in_place(c, again);
	if (rc == -ENOENT) {
		wgw_busy_keep_again(c, again);
		return WGW_CALL_GONE;
	}
	if (rc) {
		close(again);
		return -ECONNABORTED;
	}
	wgw_busy_over(c, true);
	wgw_busy_unlock(c);
	close(c->fd);
	c->fd = again;
	wgw_busy_lock(c);
	return wgw_repr_tag(c->fd, &c->tag) ? 0 : -ECONNABORTED;
}

/** begin_again() - connects a fresh socket in place of one whose connect has failed */
static long begin_again(struct wgw_call *c, const void *address, socklen_t len)
{
	long rc = wgw_call_again(c);

	if (rc)
		return rc;
	return wgw_repr_connect_begin(&c->capture->session, c->fd, c->tag, address, len);
}

/** wait_for_outcome() - @pending: what it says when time is up */
static long wait_for_outcome(struct wgw_call *c, long pending)
{
	int64_t until = wgw_call_until(c, SO_SNDTIMEO);

	for (;;) {
		long rc = wgw_call_wait(c, POLLOUT, until);

		if (rc == 0)
			return pending;
		if (rc != 1)
			return rc;
		if (!wgw_repr_tag(c->fd, &c->tag))
			return -EBADF;
		rc = wgw_repr_connect_result(&c->capture->session, c->fd, c->tag);
		if (rc != -EALREADY)
			return rc;
	}
}

long wgw_call_connect_to(struct wgw_call *c, const void *address, socklen_t len, bool wait)
{
	long rc = wgw_repr_connect_begin(&c->capture->session, c->fd, c->tag, address, len);

	if (rc == -ECONNABORTED)
		rc = begin_again(c, address, len);
	if (wgw_tag_kind(c->tag) != WGW_KIND_TCP)
		return rc;
	c->undo = untell;
	c->undo_uses_fd = true;
	if ((rc == -EINPROGRESS || rc == -EALREADY) && wait && !wgw_repr_nonblocking(c->fd))
		rc = wait_for_outcome(c, rc);
	return rc;
}

long wgw_call_connect(struct wgw_call *c)
{
	struct sockaddr_storage address;
	int len = (int)c->args[2];
	long rc;

	if (len < 0 || len > (int)sizeof(address))
		return c->what == WGW_SOCKET_OURS ? -EINVAL : WGW_CALL_CONTINUE;
	if (c->what == WGW_SOCKET_UNKNOWN)
		return -EPERM;
	if (wgw_target_read(c, c->args[1], &address, (size_t)len))
		return c->what == WGW_SOCKET_OTHER ? WGW_CALL_CONTINUE : -EFAULT;
	if (!wgw_call_valid(c))
		return WGW_CALL_GONE;
	if (c->what != WGW_SOCKET_OURS) {
		rc = wgw_outside_connect(c, &address, (socklen_t)len);
		return rc ? rc : WGW_CALL_CONTINUE;
	}
	return wgw_call_connect_to(c, &address, (socklen_t)len, true);
}
