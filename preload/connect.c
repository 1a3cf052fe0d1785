/* SPDX-License-Identifier: MIT */
/*
 * connect.c - connect(2), and the local services that would resolve names around the tunnel
 *
 * nscd and systemd-resolved answer over AF_UNIX, from outside the tunnel. libc's own attempts do not
 * come through here; those of libraries and programs do, and are told that nobody listens.
 */
#include "preload/pre.h"

#include <string.h>

static bool is_resolver_service(const struct sockaddr *addr, socklen_t len)
{
	static const char *const paths[] = {
		"/var/run/nscd/socket",
		"/run/nscd/socket",
		"/run/systemd/resolve/io.systemd.Resolve",
		"/var/run/systemd/resolve/io.systemd.Resolve",
		"/run/systemd/resolve/io.systemd.Resolve.Monitor",
	};
	struct sockaddr_un un = {0};

	if (!addr || len <= offsetof(struct sockaddr_un, sun_path) || len > sizeof(un))
		return false;
	memcpy(&un, addr, len);
	if (un.sun_family != AF_UNIX)
		return false;
	un.sun_path[sizeof(un.sun_path) - 1] = '\0';
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		if (strcmp(un.sun_path, paths[i]) == 0)
			return true;
	}
	return false;
}

PRE_EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	uint64_t tag;

	if (pre_ours(fd, &tag)) {
		if (!addr)
			return (int)pre_result(-EFAULT);
		return (int)pre_result(wgw_repr_connect(&pre_session, fd, tag, addr, len));
	}
	if (is_resolver_service(addr, len))
		return (int)pre_result(-ECONNREFUSED);
	return pre_next.connect(fd, addr, len);
}

PRE_EXPORT int shutdown(int fd, int how)
{
	uint64_t tag;

	if (!pre_ours(fd, &tag))
		return pre_next.shutdown(fd, how);
	return (int)pre_result(wgw_repr_shutdown(&pre_session, fd, tag, how));
}
