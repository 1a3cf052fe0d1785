/* SPDX-License-Identifier: MIT */
/* socket.c - socket(2) */
#include "preload/pre.h"

PRE_EXPORT int socket(int domain, int type, int protocol)
{
	pre_enter();
	if (domain != AF_INET && domain != AF_INET6)
		return pre_next.socket(domain, type, protocol);
	/* Without a session there is no tunnel, and nothing else may take its place. */
	if (!pre_have_session())
		return (int)pre_result(-ENETDOWN);
	return (int)pre_result(wgw_repr_socket(&pre_session, domain, type, protocol));
}
