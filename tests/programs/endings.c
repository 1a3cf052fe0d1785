/* SPDX-License-Identifier: MIT */
/*
 * endings.c - how a connection ends, as the program sees it
 *
 * usage: endings read|show|write|halfclose|afterfin HOST PORT
 *
 * read, show: until the end; write: until an error; halfclose: write, shut down, read the answer;
 * afterfin: read to the end, then write 100,000 bytes and shut down.
 */
#include "common.h"

/* Where a peer resets at once, connect() says so to whom it finds still waiting: not what is asked
 * here. */
static int dial(const char *host, const char *port)
{
	enum { TRIES = 100 };
	union address a;
	socklen_t len = parse_address(&a, host, port);

	for (int i = 0; i < TRIES; i++) {
		int fd = socket(a.any.sa_family, SOCK_STREAM, 0);

		if (fd >= 0 && connect(fd, &a.any, len) == 0)
			return fd;
		if (fd < 0 || errno != ECONNRESET)
			break;
		close(fd);
	}
	die("connect");
}

static void read_all(int fd, int show)
{
	char buffer[4096];
	size_t total = 0;
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		if (show)
			printf("read: %.*s\n", (int)n, buffer);
		total += (size_t)n;
	}
	printf("%zu bytes, then %s\n", total, n ? err_name(errno) : "end of file");
	printf("SO_ERROR: %s\n", err_name(so_error(fd)));
	n = read(fd, buffer, sizeof(buffer));
	printf("once more: %s\n", n ? err_name(errno) : "end of file");
}

static void write_all(int fd)
{
	char buffer[4096] = {0};
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	while (send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL) > 0)
		;
	printf("send: %s\n", err_name(errno));
	printf("send once more: %s\n", err_name(send(fd, buffer, 1, MSG_NOSIGNAL) < 0 ? errno : 0));
	/* AF_UNIX hangs up first and frees the queue, hence OUT, in the next moment: see
	 * preload/README.md's ledger */
	poll(&p, 1, 60000);
	for (int i = 0; i < 3000 && !(p.revents & POLLOUT); i++) {
		usleep(10000);
		poll(&p, 1, 0);
	}
	printf("poll: %s\n", poll_events(p.revents));
}

static void send_counted(int fd, size_t count)
{
	char buffer[1000];

	memset(buffer, 'x', sizeof(buffer));
	for (size_t sent = 0; sent < count; sent += sizeof(buffer))
		if (send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL) != sizeof(buffer))
			die("send");
	if (shutdown(fd, SHUT_WR))
		die("shutdown");
	printf("sent %zu bytes\n", count);
	printf("send after shutdown: %s\n",
	       err_name(send(fd, "x", 1, MSG_NOSIGNAL) < 0 ? errno : 0));
}

int main(int argc, char **argv)
{
	int fd;

	if (argc < 4)
		return 2;
	fd = dial(argv[2], argv[3]);
	if (!strcmp(argv[1], "read") || !strcmp(argv[1], "show")) {
		read_all(fd, !strcmp(argv[1], "show"));
	} else if (!strcmp(argv[1], "write")) {
		write_all(fd);
	} else if (!strcmp(argv[1], "halfclose")) {
		send_counted(fd, 1000000);
		read_all(fd, 1);
	} else if (!strcmp(argv[1], "afterfin")) {
		read_all(fd, 0);
		send_counted(fd, 100000);
	}
	close(fd);
	return 0;
}
