/* SPDX-License-Identifier: MIT */
/*
 * static_signals.c - calls that wait, under signals and time limits; built statically
 *
 * usage: static_signals ECHO-ADDRESS ECHO-PORT BLACKHOLE-ADDRESS
 */
#include <signal.h>
#include <stdbool.h>
#include <sys/time.h>

#include "common.h"

/* Not more often: where the machine is busy no call would end between two signals */
enum { CONNECTS = 300, PERIOD_MS = 20 };

/* In ms, and 64 bits, that is not half a second */
#define AGES_S (UINT64_MAX / 1000 + 1)

static volatile sig_atomic_t caught;

static void catch (int number)
{
	(void)number;
	caught++;
}

static void handle(int flags)
{
	struct sigaction act = {.sa_handler = catch, .sa_flags = flags};

	sigaction(SIGALRM, &act, NULL);
	caught = 0;
}

static void alarm_in(unsigned int ms, unsigned int again_ms)
{
	struct itimerval t = {{again_ms / 1000, (int)(again_ms % 1000) * 1000},
			      {ms / 1000, (int)(ms % 1000) * 1000}};

	setitimer(ITIMER_REAL, &t, NULL);
}

/* A signal, again and again: the first may come before the call that it is to end. */
static void alarms(unsigned int every_ms)
{
	alarm_in(every_ms, every_ms);
}

static int listener(void)
{
	union address any;
	socklen_t len = parse_address(&any, "0.0.0.0", "0");
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, &any.any, len) || listen(fd, 4))
		die("listen");
	return fd;
}

static void interrupted(const union address *nowhere, socklen_t len)
{
	union address from;
	socklen_t from_len = sizeof(from);
	int fd = socket(AF_INET, SOCK_STREAM, 0), ready = listener(), udp;
	char byte;

	handle(0);
	alarms(200);
	printf("connect: %s\n", connect(fd, &nowhere->any, len) ? err_name(errno) : "0");
	alarms(0);
	printf("again: %s\n", fcntl(fd, F_SETFL, O_NONBLOCK) || connect(fd, &nowhere->any, len)
				      ? err_name(errno)
				      : "0");
	alarms(200);
	printf("accept: %s\n",
	       accept(ready, &from.any, &from_len) < 0 ? err_name(errno) : "a connection");
	alarms(0);
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	bind(udp, &(struct sockaddr){.sa_family = AF_INET}, sizeof(struct sockaddr));
	alarms(200);
	printf("recvfrom: %s\n", recvfrom(udp, &byte, 1, 0, &from.any, &from_len) < 0
					 ? err_name(errno)
					 : "a datagram");
	alarms(0);
	printf("%s signals\n", caught < 3 ? "too few" : "three or more");
	close(fd);
	close(ready);
	close(udp);
}

static void limited(const union address *nowhere, socklen_t len)
{
	struct timeval limit = {0, 300000};
	union address from;
	socklen_t from_len = sizeof(from);
	int fd = socket(AF_INET, SOCK_STREAM, 0), ready = listener(), udp;
	char byte;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	printf("connect: %s\n", connect(fd, &nowhere->any, len) ? err_name(errno) : "0");
	setsockopt(ready, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	printf("accept: %s\n",
	       accept(ready, &from.any, &from_len) < 0 ? err_name(errno) : "a connection");
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	bind(udp, &(struct sockaddr){.sa_family = AF_INET}, sizeof(struct sockaddr));
	setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	printf("recvfrom: %s\n", recvfrom(udp, &byte, 1, 0, &from.any, &from_len) < 0
					 ? err_name(errno)
					 : "a datagram");
	handle(0);
	limit = (struct timeval){AGES_S, 0};
	setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	alarms(800);
	printf("for ages: %s\n", recvfrom(udp, &byte, 1, 0, &from.any, &from_len) < 0
					 ? err_name(errno)
					 : "a datagram");
	alarms(0);
	close(fd);
	close(ready);
	close(udp);
}

/* A tight loop of connects under a timer: with SA_RESTART nothing may be noticed. */
static void under_fire(const union address *echo, socklen_t len)
{
	int wrong = 0, first = 0;
	char byte;

	handle(SA_RESTART);
	alarm_in(10, PERIOD_MS);
	for (int i = 0; i < CONNECTS; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		bool good = fd >= 0 && !connect(fd, &echo->any, len) && write(fd, "x", 1) == 1 &&
			    read(fd, &byte, 1) == 1 && byte == 'x';

		if (!good && !first)
			first = errno;
		wrong += !good;
		close(fd);
	}
	alarm_in(0, 0);
	printf("under fire: %d of %d wrong, %s\n", wrong, CONNECTS, err_name(first));
}

int main(int argc, char **argv)
{
	union address echo, nowhere;
	socklen_t len;

	if (argc != 4)
		return 2;
	len = parse_address(&echo, argv[1], argv[2]);
	parse_address(&nowhere, argv[3], argv[2]);
	interrupted(&nowhere, len);
	limited(&nowhere, len);
	under_fire(&echo, len);
	return 0;
}
