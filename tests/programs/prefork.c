/* SPDX-License-Identifier: MIT */
/*
 * prefork.c - a server whose workers share one listener
 *
 * usage: prefork PORT WORKERS
 *
 * Each worker accepts, sends its number and the client's address, and serves the next one when that
 * client has closed. Prints "ready" when it listens.
 */
#include <sys/prctl.h>

#include "common.h"

static void work(int listener, int number)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		union address peer;
		socklen_t len = sizeof(peer);
		char host[INET6_ADDRSTRLEN], line[128];
		int fd = accept(listener, &peer.any, &len);

		if (fd < 0)
			_exit(1);
		inet_ntop(AF_INET6, &peer.in6.sin6_addr, host, sizeof(host));
		snprintf(line, sizeof(line), "%d %s\n", number, host);
		send(fd, line, strlen(line), MSG_NOSIGNAL);
		while (recv(fd, line, sizeof(line), 0) > 0)
			;
		close(fd);
	}
}

int main(int argc, char **argv)
{
	union address a;
	socklen_t len;
	int fd;

	if (argc < 3)
		return 2;
	len = parse_address(&a, "::", argv[1]);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, &a.any, len) || listen(fd, 64))
		die("listen");
	for (int i = 0; i < atoi(argv[2]); i++)
		if (fork() == 0)
			work(fd, i);
	printf("ready\n");
	fflush(stdout);
	pause();
	return 0;
}
