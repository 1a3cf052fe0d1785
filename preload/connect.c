/* SPDX-License-Identifier: MIT */
/*
 * connect.c - connect(2), and the local services that would resolve names around the tunnel
 *
 * nscd, systemd-resolved and avahi-daemon answer over AF_UNIX, from outside the tunnel. libc's own attempts do
 * not come through here; those of libraries and programs do, and are told that nobody listens.
 */
#include "preload/pre.h"

#include <fcntl.h>

#include "src/repr/delegates.h"
#include "src/repr/raw.h"

/* Only here the descriptor gets another socket; its duplicates stay with the old one. */
int pre_again(int fd, uint64_t *tag)
{
	int flags = wgw_raw_fcntl(fd, F_GETFD, 0);
	int again = wgw_repr_again(&pre_session, fd, *tag);
	struct pre_watches watches;
	int rc;

	if (again < 0)
		return again;
	pre_watches_take(fd, &watches);
	rc = (int)wgw_raw_call(SYS_dup3, again, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0, 0, 0, 0);
	pre_watches_give(fd, &watches);
	wgw_raw_close(again);
	return rc < 0 || !wgw_repr_tag(fd, tag) ? -ECONNABORTED : 0;
}

/* Another connect on a socket whose connect has failed, as retry loops do, or that is
 * disconnected. */
static int connect_again(int fd, uint64_t tag, const struct sockaddr *addr, socklen_t len)
{
	int rc = pre_again(fd, &tag);

	if (rc < 0)
		return rc;
	return wgw_repr_connect(&pre_session, fd, tag, addr, len);
}

static int pre_connect(int fd, uint64_t tag, const struct sockaddr *addr, socklen_t len)
{
	int old, rc;

	if (!addr)
		return -EFAULT;
	old = pre_wait_begin();
	rc = wgw_repr_connect(&pre_session, fd, tag, addr, len);
	if (rc == -ECONNABORTED)
		rc = connect_again(fd, tag, addr, len);
	rc = (int)pre_spare(rc, SYS_connect, fd, (long)addr, (long)len, 0, 0, 0);
	pre_wait_end(old);
	return rc;
}

PRE_EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	uint64_t tag;
	int rc;

	if (pre_ours(fd, &tag)) {
		rc = pre_connect(fd, tag, addr, len);
		pre_kind_changed(fd, tag);
		return (int)pre_result(rc);
	}
	if (addr && wgw_is_delegate(addr, len))
		return (int)pre_result(-ECONNREFUSED);
	return pre_next.connect(fd, addr, len);
}

PRE_EXPORT int shutdown(int fd, int how)
{
	uint64_t tag;

	if (!pre_ours(fd, &tag))
		return pre_next.shutdown(fd, how);
	return (int)pre_result(pre_spare(wgw_repr_shutdown(&pre_session, fd, tag, how),
					 SYS_shutdown, fd, how, 0, 0, 0, 0));
}
