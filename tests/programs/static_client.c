/* SPDX-License-Identifier: MIT */
/*
 * static_client.c - a TCP client that asks the kernel itself; built statically, so nothing can be
 * preloaded into it
 *
 * usage: static_client ADDRESS PORT TEXT; sends TEXT, closes its half, copies the answer to
 * standard output
 */
#include <sys/syscall.h>

#include "common.h"

int main(int argc, char **argv)
{
	union address to, name;
	socklen_t len, name_len = sizeof(name);
	char text[4096];
	long fd, n;

	if (argc != 4)
		return 2;
	len = parse_address(&to, argv[1], argv[2]);
	fd = syscall(SYS_socket, to.any.sa_family, SOCK_STREAM, 0);
	if (fd < 0)
		die("socket");
	if (syscall(SYS_connect, fd, &to, len) < 0)
		die("connect");
	if (syscall(SYS_getpeername, fd, &name, &name_len) < 0)
		die("getpeername");
	if (name_len != len || memcmp(&name, &to, 8) != 0)
		printf("the peer has another name\n");
	if (syscall(SYS_sendto, fd, argv[3], strlen(argv[3]), 0, NULL, 0) != (long)strlen(argv[3]))
		die("send");
	if (syscall(SYS_shutdown, fd, SHUT_WR) < 0)
		die("shutdown");
	while ((n = syscall(SYS_recvfrom, fd, text, sizeof(text), 0, NULL, NULL)) > 0)
		fwrite(text, 1, (size_t)n, stdout);
	if (n < 0)
		die("recv");
	return 0;
}
