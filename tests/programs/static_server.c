/* SPDX-License-Identifier: MIT */
/*
 * static_server.c - an echo server; built statically
 *
 * usage: static_server ADDRESS PORT COUNT [plain|poll|fork]
 * Prints "ready", then for COUNT connections the address they came from and the one they came to.
 * plain: accept without an address, which the kernel does by itself. poll: never waits in accept.
 * fork: two processes accept.
 */
#include <stdbool.h>
#include <sys/wait.h>

#include "common.h"

static const char *text_of(const union address *a)
{
	static char text[2][64];
	static int turn;
	char *to = text[turn = !turn];

	if (a->any.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->in.sin_addr, to, sizeof(text[0]));
	else if (a->any.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &a->in6.sin6_addr, to, sizeof(text[0]));
	else
		snprintf(to, sizeof(text[0]), "family %d", a->any.sa_family);
	return to;
}

static int take(int listener, const char *how, union address *from)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};
	socklen_t len = sizeof(*from);
	int fd;

	if (strcmp(how, "plain") != 0) {
		if (strcmp(how, "poll") == 0)
			poll(&p, 1, -1);
		return accept4(listener, &from->any, &len, SOCK_CLOEXEC);
	}
	fd = accept(listener, NULL, NULL);
	if (fd >= 0 && getpeername(fd, &from->any, &len))
		die("getpeername");
	return fd;
}

static void serve(int listener, const char *how)
{
	union address from, here;
	socklen_t len = sizeof(here);
	char data[4096];
	int fd = take(listener, how, &from), on = 1;
	ssize_t n;

	if (fd < 0)
		die("accept");
	if (getsockname(fd, &here.any, &len))
		die("getsockname");
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		die("TCP_NODELAY");
	printf("%s to %s\n", text_of(&from), text_of(&here));
	while ((n = read(fd, data, sizeof(data))) > 0) {
		if (write(fd, data, (size_t)n) != n)
			die("write");
	}
	if (n)
		die("read");
	close(fd);
}

int main(int argc, char **argv)
{
	const char *how = argc > 4 ? argv[4] : "";
	bool forks = strcmp(how, "fork") == 0;
	union address at;
	int listener, on = 1;
	socklen_t len;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 4)
		return 2;
	len = parse_address(&at, argv[1], argv[2]);
	listener = socket(at.any.sa_family, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (listener < 0 || bind(listener, &at.any, len) || listen(listener, 16))
		die("listen");
	printf("ready\n");
	if (forks)
		fork();
	for (int i = 0; i < atoi(argv[3]); i++)
		serve(listener, how);
	return 0;
}
