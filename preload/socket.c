/* SPDX-License-Identifier: MIT */
/* socket.c - socket(2) */
#include "preload/pre.h"

enum { PRE_TYPE_MASK = 0xf }; /* without SOCK_NONBLOCK and SOCK_CLOEXEC */

PRE_EXPORT int socket(int domain, int type, int protocol)
{
	int fd;

	pre_enter();
	if (domain != AF_INET && domain != AF_INET6)
		return pre_next.socket(domain, type, protocol);
	/* Without a session there is no tunnel, and nothing else may take its place. */
	if (!pre_have_session())
		return (int)pre_result(-ENETDOWN);
	if (pre_is_aside())
		return pre_next.socket(domain, type, protocol);
	fd = wgw_repr_socket(&pre_session, domain, type, protocol);
	if (fd == -EDESTADDRREQ) { /* pre.h says who says that */
		pre_step_aside();
		return pre_next.socket(domain, type, protocol);
	}
	fd = (int)pre_result(fd);
	if (fd >= 0)
		pre_kind_set(fd, (type & PRE_TYPE_MASK) == SOCK_STREAM ? PRE_KIND_STREAM
								       : PRE_KIND_DATAGRAM);
	return fd;
}
