/* SPDX-License-Identifier: MIT */
/* name.c - getsockname(2), getpeername(2) */
#include "preload/pre.h"

#include <sys/syscall.h>

PRE_EXPORT int getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	uint64_t tag;

	if (!pre_ours(fd, &tag))
		return pre_next.getsockname(fd, addr, len);
	if (!addr || !len)
		return (int)pre_result(-EFAULT);
	return (int)pre_result(pre_spare(wgw_repr_getsockname(&pre_session, fd, tag, addr, len),
					 SYS_getsockname, fd, (long)addr, (long)len, 0, 0, 0));
}

PRE_EXPORT int getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	uint64_t tag;

	if (!pre_ours(fd, &tag))
		return pre_next.getpeername(fd, addr, len);
	if (!addr || !len)
		return (int)pre_result(-EFAULT);
	return (int)pre_result(pre_spare(wgw_repr_getpeername(&pre_session, fd, tag, addr, len),
					 SYS_getpeername, fd, (long)addr, (long)len, 0, 0, 0));
}
