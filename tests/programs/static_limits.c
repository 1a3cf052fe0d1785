/* SPDX-License-Identifier: MIT */
/*
 * static_limits.c - more calls that wait than the supervisor has threads, and a process that nobody
 * may look into
 *
 * usage: static_limits ADDRESS PORT waiting|hidden
 *	waiting	THREADS threads wait for a datagram; the main thread still talks to the echo server there
 *	hidden	not dumpable: what its calls return
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/un.h>

#include "common.h"

enum { THREADS = 1100, STACK_BYTES = 32 * 1024, SETTLE_MS = 200, SETTLE_MAX_MS = 20000 };

static int shared;
static _Atomic int refused, others;

static void *wait_for_datagram(void *unused)
{
	union address from;
	socklen_t len = sizeof(from);
	char byte;

	(void)unused;
	recvfrom(shared, &byte, 1, 0, &from.any, &len);
	if (errno == ENOBUFS)
		refused++;
	else
		others++;
	return NULL;
}

/* Until nothing happens any more. */
static void settle(void)
{
	int64_t until = now_ms() + SETTLE_MAX_MS;
	int last;

	do {
		last = refused + others;
		usleep(SETTLE_MS * 1000);
	} while (now_ms() < until && (refused == 0 || last != refused + others));
}

static int exchange(const union address *to, socklen_t len)
{
	int fd = socket(to->any.sa_family, SOCK_STREAM, 0);
	char text[4];

	if (fd < 0 || connect(fd, &to->any, len) || write(fd, "echo", 4) != 4)
		return errno;
	return read(fd, text, 4) == 4 ? 0 : errno;
}

static void waiting(const union address *to, socklen_t len)
{
	union address any;
	pthread_attr_t attr;
	pthread_t thread;

	parse_address(&any, "0.0.0.0", "0");
	shared = socket(AF_INET, SOCK_DGRAM, 0);
	if (shared < 0 || bind(shared, &any.any, sizeof(any.in)))
		die("bind");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&thread, &attr, wait_for_datagram, NULL))
			die("pthread_create");
	}
	settle();
	printf("refused: %s, other errors: %d\n", refused ? "some" : "none", (int)others);
	for (int i = 0; i < 20; i++) {
		int err = exchange(to, len);

		if (err)
			printf("exchange: %s\n", err_name(err));
	}
	printf("done\n");
	fflush(stdout);
	_exit(0); /* with threads that wait */
}

static void hidden(const union address *to, socklen_t len)
{
	struct sockaddr_un own;
	socklen_t own_len = sizeof(own);
	int fd, pair[2];

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		die("prctl");
	fd = socket(to->any.sa_family, SOCK_STREAM, 0);
	printf("socket: %s\n", err_name(fd < 0 ? errno : 0));
	printf("connect: %s\n", err_name(connect(fd, &to->any, len) ? errno : 0));
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	printf("sendto: %s\n", err_name(sendto(fd, "x", 1, 0, &to->any, len) < 0 ? errno : 0));
	printf("pair: %s\n", err_name(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ? errno : 0));
	printf("its name: %s\n",
	       err_name(getsockname(pair[0], (struct sockaddr *)&own, &own_len) ? errno : 0));
}

int main(int argc, char **argv)
{
	union address to;
	socklen_t len;

	if (argc != 4)
		return 2;
	len = parse_address(&to, argv[1], argv[2]);
	if (strcmp(argv[3], "waiting") == 0)
		waiting(&to, len);
	else
		hidden(&to, len);
	return 0;
}
