/* SPDX-License-Identifier: MIT */
/*
 * policy.c - sockets that are not ours
 *
 * An IP socket can come from outside: inherited (closed at the start unless --keep-fd names it) or
 * received in a message. It may talk to this machine, no further.
 *
 * What the kernel is asked to carry out after we have looked (WGW_CALL_CONTINUE) can be changed by
 * another thread of the program in between. That is a hole for a program that wants to escape, not
 * for one that does not know that it is captured.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "src/capture/call.h"
#include "src/repr/delegates.h"

static bool is_loopback(const void *address, socklen_t len)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	sa_family_t family;

	memcpy(&family, address, sizeof(family));
	if (family == AF_INET && len >= sizeof(in)) {
		memcpy(&in, address, sizeof(in));
		return ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	}
	if (family == AF_INET6 && len >= sizeof(in6)) {
		memcpy(&in6, address, sizeof(in6));
		return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
	}
	return false;
}

int wgw_outside_connect(const struct wgw_call *c, const void *address, socklen_t len)
{
	sa_family_t family;

	if (len < sizeof(family))
		return 0; /* the kernel knows what is wrong */
	if (c->what == WGW_SOCKET_IP)
		return is_loopback(address, len) ? 0 : -EACCES;
	return wgw_is_delegate(address, len) ? -ECONNREFUSED : 0;
}
