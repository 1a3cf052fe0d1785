/* SPDX-License-Identifier: MIT */
/*
 * notify.c - tells systemd how the service is: the protocol of sd_notify(3)
 *
 * One datagram of lines to the socket that NOTIFY_SOCKET names; "@" begins an abstract name.
 * Without the variable nothing is told.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/config/values.h"
#include "src/session/notify.h"

void wgw_notify(const char *lines)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (len == 0 || len >= sizeof(sun.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(sun.sun_path, path, len);
	if (*path == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (const struct sockaddr *)&sun,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

uint64_t wgw_notify_watchdog_ns(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	size_t digits = usec ? strspn(usec, "0123456789") : 0;
	uint32_t us, for_pid;

	if (digits == 0 || usec[digits])
		return 0;
	/* more than an hour: it may be told more often than it asks for */
	if (wgw_number_parse(usec, 0, UINT32_MAX, &us) < 0)
		us = UINT32_MAX;
	if (pid &&
	    (wgw_number_parse(pid, 1, INT32_MAX, &for_pid) < 0 || (pid_t)for_pid != getpid()))
		return 0;
	return us * UINT64_C(1000) / 2;
}
