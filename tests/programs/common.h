/* SPDX-License-Identifier: MIT */
/*
 * common.h - what the test programs share
 *
 * Each program prints what it observed, one line a step, errno by name and no addresses of its own:
 * run on the kernel's stack and wrapped, the outputs must be equal.
 */
#ifndef TESTS_PROGRAMS_COMMON_H
#define TESTS_PROGRAMS_COMMON_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage storage;
};

static inline const char *err_name(int err)
{
	const char *name = strerrorname_np(err);

	return err ? (name ? name : "unknown") : "0";
}

__attribute__((noreturn)) static inline void die(const char *what)
{
	printf("%s: %s\n", what, err_name(errno));
	exit(1);
}

/* A numeric address and port; returns the length for connect(). */
static inline socklen_t parse_address(union address *a, const char *host, const char *port)
{
	uint16_t p = htons((uint16_t)atoi(port));

	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, host, &a->in.sin_addr) == 1) {
		a->in.sin_family = AF_INET;
		a->in.sin_port = p;
		return sizeof(a->in);
	}
	if (inet_pton(AF_INET6, host, &a->in6.sin6_addr) == 1) {
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = p;
		return sizeof(a->in6);
	}
	printf("%s is no address\n", host);
	exit(2);
}

static inline int so_error(int fd)
{
	int err = -1;
	socklen_t len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len))
		return errno;
	return err;
}

static inline int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline void sleep_ms(unsigned int ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

/* As many descriptors as the hard limit allows. */
static inline rlim_t raise_nofile(void)
{
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	return r.rlim_cur;
}

static inline const char *poll_events(short events)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s%s%s%s%s", events & POLLIN ? "IN " : "",
		 events & POLLOUT ? "OUT " : "", events & POLLERR ? "ERR " : "",
		 events & POLLHUP ? "HUP " : "", events & POLLRDHUP ? "RDHUP " : "");
	return text;
}

#endif
