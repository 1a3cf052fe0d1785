/* SPDX-License-Identifier: MIT */
/*
 * trips.c - moves data in every plain way, so that its system calls can be counted
 *
 * usage: trips ADDRESS PORT ROUNDS [udp]
 *
 * Connects to an echo server. Between two getppid() it makes ROUNDS round trips in each of the ways
 * below, one call for each step, and after the second getppid() it opens and closes ROUNDS
 * connections (with udp: connected sockets), ended by a third.
 */
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/uio.h>

#include "common.h"

enum { SIZE = 16 };

static const char question[SIZE] = "0123456789abcde";

static void expect(ssize_t n, const char *what)
{
	if (n != SIZE)
		die(what);
}

static void with_poll(int fd)
{
	char answer[SIZE];

	expect(write(fd, question, SIZE), "write");
	poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
	expect(read(fd, answer, SIZE), "read");
}

static void with_select(int fd)
{
	char answer[SIZE];
	fd_set set;

	expect(send(fd, question, SIZE, MSG_NOSIGNAL), "send");
	FD_ZERO(&set);
	FD_SET(fd, &set);
	select(fd + 1, &set, NULL, NULL, NULL);
	expect(recv(fd, answer, SIZE, MSG_DONTWAIT), "recv");
}

static void with_epoll(int fd, int set)
{
	char answer[SIZE];
	struct iovec out[2] = {{(void *)question, SIZE / 2},
			       {(void *)(question + SIZE / 2), SIZE / 2}};
	struct iovec in[2] = {{answer, SIZE / 2}, {answer + SIZE / 2, SIZE / 2}};
	struct epoll_event event;

	expect(writev(fd, out, 2), "writev");
	epoll_wait(set, &event, 1, -1);
	expect(readv(fd, in, 2), "readv");
}

static int type = SOCK_STREAM;

static int open_one(const union address *a, socklen_t len)
{
	int fd = socket(a->any.sa_family, type, 0);

	if (fd < 0 || connect(fd, &a->any, len))
		die("connect");
	return fd;
}

int main(int argc, char **argv)
{
	struct epoll_event event = {.events = EPOLLIN};
	union address a;
	socklen_t len;
	int fd, set, rounds;

	if (argc < 4)
		return 2;
	len = parse_address(&a, argv[1], argv[2]);
	rounds = atoi(argv[3]);
	if (argc > 4)
		type = SOCK_DGRAM;
	fd = open_one(&a, len);
	set = epoll_create1(0);
	if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &event))
		die("epoll");
	if (type == SOCK_STREAM)
		with_poll(fd); /* the first call of each kind may look at the descriptor */
	getppid();
	for (int i = 0; i < rounds; i++) {
		with_poll(fd);
		with_select(fd);
		with_epoll(fd, set);
	}
	getppid();
	for (int i = 0; i < rounds; i++)
		close(open_one(&a, len));
	getppid();
	printf("%d trips\n", 3 * rounds);
	return 0;
}
