/* SPDX-License-Identifier: MIT */
/*
 * connect_errors.c - what connect() says, blocking and not, and what the socket says afterwards
 *
 * usage: connect_errors HOST PORT [syncnt N]
 *
 * "syncnt N" bounds the attempt where nobody answers (TCP_SYNCNT; Linux: ETIMEDOUT after N
 * retries).
 */
#include "common.h"

static int syncnt, brief;

static int open_socket(const union address *a, int flags)
{
	int fd = socket(a->any.sa_family, SOCK_STREAM | flags, 0);

	if (fd < 0)
		die("socket");
	if (syncnt && setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &syncnt, sizeof(syncnt)))
		die("TCP_SYNCNT");
	return fd;
}

static void afterwards(int fd)
{
	union address peer;
	socklen_t len = sizeof(peer);

	if (brief) {
		close(fd);
		return;
	}
	printf("  getpeername: %s\n", err_name(getpeername(fd, &peer.any, &len) ? errno : 0));
	printf("  SO_ERROR: %s\n", err_name(so_error(fd)));
	printf("  send: %s\n", err_name(send(fd, "x", 1, MSG_NOSIGNAL) < 0 ? errno : 0));
	close(fd);
}

static void blocking(const union address *a, socklen_t len)
{
	int fd = open_socket(a, 0);

	printf("blocking connect: %s\n", err_name(connect(fd, &a->any, len) ? errno : 0));
	afterwards(fd);
}

static void nonblocking(const union address *a, socklen_t len)
{
	int fd = open_socket(a, SOCK_NONBLOCK);
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
	int err = connect(fd, &a->any, len) ? errno : 0;

	/* At once or later: Linux may do either. */
	if (err == EINPROGRESS) {
		if (poll(&p, 1, 30000) != 1)
			die("poll");
		/* room to write may follow the hang-up a moment later (the ledger) */
		for (int i = 0; i < 3000 && p.revents & POLLHUP && !(p.revents & POLLOUT); i++) {
			usleep(10000);
			if (poll(&p, 1, 0) != 1)
				die("poll");
		}
		err = so_error(fd);
		printf("non-blocking connect: %s, poll: %s\n", err_name(err),
		       brief ? "" : poll_events(p.revents));
	} else {
		printf("non-blocking connect: %s at once\n", err_name(err));
	}
	afterwards(fd);
}

static void again(const union address *a, socklen_t len)
{
	int fd = open_socket(a, 0);
	int first = connect(fd, &a->any, len) ? errno : 0;
	int second = connect(fd, &a->any, len) ? errno : 0;

	printf("connect twice: %s, %s\n", err_name(first), err_name(second));
	close(fd);
}

int main(int argc, char **argv)
{
	union address a;
	socklen_t len;

	if (argc < 3)
		return 2;
	len = parse_address(&a, argv[1], argv[2]);
	brief = argc == 4;
	if (argc > 4)
		syncnt = atoi(argv[4]);
	blocking(&a, len);
	nonblocking(&a, len);
	if (!syncnt)
		again(&a, len);
	return 0;
}
