/* SPDX-License-Identifier: MIT */
/* option.c - getsockopt(2), setsockopt(2) */
#include "preload/pre.h"

#include <netinet/in.h>
#include <sys/syscall.h>

PRE_EXPORT int getsockopt(int fd, int level, int name, void *restrict value,
			  socklen_t *restrict len)
{
	uint64_t tag;

	if (!pre_ours(fd, &tag))
		return pre_next.getsockopt(fd, level, name, value, len);
	if (!value || !len)
		return (int)pre_result(-EFAULT);
	return (int)pre_result(
		pre_spare(wgw_repr_getsockopt(&pre_session, fd, tag, level, name, value, len),
			  SYS_getsockopt, fd, level, name, (long)value, (long)len, 0));
}

PRE_EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	uint64_t tag;
	int rc;

	if (!pre_ours(fd, &tag))
		return pre_next.setsockopt(fd, level, name, value, len);
	if (!value && len)
		return (int)pre_result(-EFAULT);
	rc = (int)pre_spare(wgw_repr_setsockopt(&pre_session, fd, tag, level, name, value, len),
			    SYS_setsockopt, fd, level, name, (long)value, (long)len, 0);
	if (rc == 0 && ((level == IPPROTO_IP && name == IP_RECVERR) ||
			(level == IPPROTO_IPV6 && name == IPV6_RECVERR)))
		pre_poll_errors();
	if (tag & WGW_TAG_RAW)
		pre_kind_changed(fd, tag);
	return (int)pre_result(rc);
}
