/* SPDX-License-Identifier: MIT */
/* expect.h - what the tests of kernel behaviour share: no library, one line per failure */
#ifndef TESTS_PLATFORM_EXPECT_H
#define TESTS_PLATFORM_EXPECT_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition,  \
				errno);                                                            \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* A listener on an abstract name of its own, and its address. */
static inline int listener(int type, int backlog, struct sockaddr_un *un, socklen_t *len)
{
	int fd = socket(AF_UNIX, type, 0);

	EXPECT(fd >= 0);
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	/* autobind: the kernel chooses */
	EXPECT(bind(fd, (struct sockaddr *)un, sizeof(sa_family_t)) == 0);
	*len = sizeof(*un);
	EXPECT(getsockname(fd, (struct sockaddr *)un, len) == 0);
	EXPECT(listen(fd, backlog) == 0);
	return fd;
}

/* Watches @fd edge-triggered. */
static inline int watch(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	int ep = epoll_create1(EPOLL_CLOEXEC);

	EXPECT(ep >= 0);
	EXPECT(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0);
	return ep;
}

/* The events since the last call; 0: none. */
static inline uint32_t events(int ep)
{
	struct epoll_event ev = {0};

	return epoll_wait(ep, &ev, 1, 0) == 1 ? ev.events : 0;
}

/* Fills an AF_UNIX stream as a connect does: a small message first. Returns the bytes it took. */
static inline size_t fill(int fd)
{
	char block[4096] = {0};
	size_t total = 64;
	ssize_t n;

	EXPECT(send(fd, block, total, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)total);
	while ((n = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		total += (size_t)n;
	EXPECT(n == -1 && errno == EAGAIN);
	return total;
}

static inline void set_sndbuf(int fd, int bytes)
{
	EXPECT(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) == 0);
}

#endif
