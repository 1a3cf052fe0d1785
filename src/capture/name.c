/* SPDX-License-Identifier: MIT */
/* name.c - getsockname(2), getpeername(2) */
#include <errno.h>

#include "src/capture/call.h"

typedef int name_operation(const struct wgw_repr_session *s, int fd, uint64_t tag, void *sa,
			   socklen_t *len);

static long tell_name(struct wgw_call *c, name_operation *operation)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int rc;

	if (c->what != WGW_SOCKET_OURS)
		return WGW_CALL_CONTINUE;
	rc = operation(&c->capture->session, c->fd, c->tag, &address, &len);
	if (rc)
		return rc;
	if (!wgw_call_valid(c))
		return WGW_CALL_GONE;
	return wgw_target_write_address(c, c->args[1], c->args[2], &address, len);
}

long wgw_call_getsockname(struct wgw_call *c)
{
	return tell_name(c, wgw_repr_getsockname);
}

long wgw_call_getpeername(struct wgw_call *c)
{
	return tell_name(c, wgw_repr_getpeername);
}
