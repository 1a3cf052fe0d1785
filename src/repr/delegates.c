/* SPDX-License-Identifier: MIT */
/* delegates.c - local services that use the network for whoever asks them */
#include "src/repr/delegates.h"

#include <stddef.h>
#include <string.h>
#include <sys/un.h>

/* Each with and without /var: it is a link, and both are in use. libc comes to the last one by nss-mdns. */
static const char *const paths[] = {
	"/run/nscd/socket",
	"/run/systemd/resolve/io.systemd.Resolve",
	"/run/systemd/resolve/io.systemd.Resolve.Monitor",
	"/run/avahi-daemon/socket",
};
#define VAR "/var"

bool wgw_is_delegate(const void *address, socklen_t len)
{
	struct sockaddr_un un = {0};
	const char *path = un.sun_path;

	if (len <= offsetof(struct sockaddr_un, sun_path) || len > sizeof(un))
		return false;
	memcpy(&un, address, len);
	if (un.sun_family != AF_UNIX)
		return false;
	un.sun_path[sizeof(un.sun_path) - 1] = '\0';
	if (strncmp(path, VAR "/", sizeof(VAR)) == 0)
		path += sizeof(VAR) - 1;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		if (strcmp(path, paths[i]) == 0)
			return true;
	}
	return false;
}
