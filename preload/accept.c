/* SPDX-License-Identifier: MIT */
/* accept.c - bind(2), listen(2), accept(2) */
#include "preload/pre.h"

#include <fcntl.h>

#include "src/repr/raw.h"

PRE_EXPORT int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	uint64_t tag;

	if (!pre_ours(fd, &tag))
		return pre_next.bind(fd, addr, len);
	if (!addr)
		return (int)pre_result(-EFAULT);
	return (int)pre_result(pre_spare(wgw_repr_bind(&pre_session, fd, tag, addr, len), SYS_bind,
					 fd, (long)addr, (long)len, 0, 0, 0));
}

PRE_EXPORT int listen(int fd, int backlog)
{
	uint64_t tag;
	int rc;

	if (!pre_ours(fd, &tag))
		return pre_next.listen(fd, backlog);
	rc = wgw_repr_listen(&pre_session, fd, tag, backlog);
	if (rc == -ECONNABORTED) {
		rc = pre_again(fd, &tag);
		if (rc == 0)
			rc = wgw_repr_listen(&pre_session, fd, tag, backlog);
	}
	return (int)pre_result(pre_spare_listen(rc, fd, backlog));
}

/* accept4 on one of our listeners. The wait is libc's own: it is a cancellation point. */
static int pre_accept(int fd, uint64_t tag, struct sockaddr *addr, socklen_t *len, int flags)
{
	struct stack_addr peer;
	int accepted, rc;

	if (wgw_tag_kind(tag) != WGW_KIND_TCP)
		return (int)pre_result(-EOPNOTSUPP);
	if (tag & WGW_TAG_WAS_LISTENER) /* of what waits there nobody is to know */
		return (int)pre_result(-EINVAL);
	do {
		accepted = pre_next.accept4(fd, NULL, NULL, flags);
		if (accepted < 0)
			return accepted;
		rc = wgw_repr_accepted(&pre_session, accepted, tag, &peer);
		if (rc < 0)
			wgw_raw_close(accepted);
	} while (rc == -ECONNABORTED); /* not from the tunnel process: it never happened */
	if (rc == 0) {
		pre_kind_set(accepted, PRE_KIND_STREAM);
		if (tag & WGW_TAG_INHERITED)
			wgw_repr_copy_native(fd, accepted);
	}
	if (rc == 0 && addr) {
		rc = len ? wgw_repr_addr_write(tag, &peer, addr, len) : -EFAULT;
		if (rc < 0)
			wgw_raw_close(accepted);
	}
	return rc < 0 ? (int)pre_result(rc) : accepted;
}

PRE_EXPORT int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	uint64_t tag;

	if (!pre_ours(fd, &tag))
		return pre_next.accept(fd, addr, len);
	return pre_accept(fd, tag, addr, len, 0);
}

PRE_EXPORT int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	uint64_t tag;

	if (!pre_ours(fd, &tag))
		return pre_next.accept4(fd, addr, len, flags);
	return pre_accept(fd, tag, addr, len, flags);
}
