/* SPDX-License-Identifier: MIT */
/*
 * dropped.c - gives up root, or moves its root, then uses the network; needs root
 *
 * usage: dropped setuid|chroot|listen DIR HOST PORT
 *
 * Changes to uid and gid 65534 (with chroot and listen: into DIR before that), connects and prints
 * the first line it gets; or listens, and prints what listen says.
 */
#include <grp.h>

#include "common.h"

int main(int argc, char **argv)
{
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	char buffer[256];
	union address a;
	socklen_t len;
	int fd;

	if (argc < 5)
		return 2;
	len = parse_address(&a, argv[3], argv[4]);
	if (strcmp(argv[1], "setuid") && (chroot(argv[2]) || chdir("/")))
		die("chroot");
	if (setgroups(0, NULL) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		die("setresuid");
	fd = socket(a.any.sa_family, SOCK_STREAM, 0);
	if (!strcmp(argv[1], "listen")) {
		printf("%s\n", listen(fd, 5) ? strerrorname_np(errno) : "listens");
		return 0;
	}
	if (fd < 0 || connect(fd, &a.any, len))
		die("connect");
	if (write(fd, request, sizeof(request) - 1) < 0)
		die("write");
	if (read(fd, buffer, sizeof(buffer)) < 15)
		die("read");
	printf("%.15s\n", buffer);
	return 0;
}
