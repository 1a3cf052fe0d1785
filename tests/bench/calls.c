/* SPDX-License-Identifier: MIT */
/*
 * calls.c - what system calls on sockets cost, in microseconds: the median of many
 *
 * usage: calls ADDRESS PORT, of a server that takes connections. One line: values in the order of
 * `measures`
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 2000, SLOW_ROUNDS = 400 };

static struct sockaddr_in to = {.sin_family = AF_INET};
static int tcp, udp, near, far, pair[2];

static void plain(void)
{
	syscall(SYS_getppid);
}

static void data(void)
{
	char byte = 'x';

	if (write(pair[0], &byte, 1) != 1 || read(pair[1], &byte, 1) != 1)
		exit(1);
}

static void name(void)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);

	getpeername(tcp, (struct sockaddr *)&at, &len);
}

static void option(void)
{
	int value;
	socklen_t len = sizeof(value);

	getsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, &value, &len);
}

static void create(void)
{
	close(socket(AF_INET, SOCK_STREAM, 0));
}

static void cycle(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		exit(1);
	close(fd);
}

static void datagram(void)
{
	sendto(udp, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
}

static void write_datagram(void)
{
	if (write(near, "sixteen bytes it", 16) != 16)
		exit(1);
}

static void read_datagram(void)
{
	char bytes[64];

	if (read(near, bytes, sizeof(bytes)) != 16)
		exit(1);
}

static void have_datagram(void)
{
	struct pollfd p = {.fd = near, .events = POLLIN};

	if (write(far, "sixteen bytes it", 16) != 16 || poll(&p, 1, 5000) != 1)
		exit(1);
}

static const struct {
	void (*call)(void);
	int rounds;
	void (*before)(void);
} measures[] = {
	{plain, ROUNDS, NULL},		{data, ROUNDS, NULL},
	{name, ROUNDS, NULL},		{option, ROUNDS, NULL},
	{create, ROUNDS, NULL},		{cycle, SLOW_ROUNDS, NULL},
	{datagram, ROUNDS, NULL},	{read_datagram, ROUNDS, have_datagram},
	{write_datagram, ROUNDS, NULL},
};

/* Two UDP sockets on the loopback, connected to each other. */
static void connect_pair(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET}, b = a;
	socklen_t len = sizeof(a);

	near = socket(AF_INET, SOCK_DGRAM, 0);
	far = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(near, (struct sockaddr *)&a, len) ||
	    getsockname(near, (struct sockaddr *)&a, &len) ||
	    bind(far, (struct sockaddr *)&b, len) || getsockname(far, (struct sockaddr *)&b, &len))
		exit(1);
	a.sin_addr.s_addr = b.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(near, (struct sockaddr *)&b, len) || connect(far, (struct sockaddr *)&a, len)) {
		perror("calls");
		exit(1);
	}
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
	static double us[ROUNDS];

	if (argc != 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons((unsigned short)atoi(argv[2]));
	tcp = socket(AF_INET, SOCK_STREAM, 0);
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	if (tcp < 0 || udp < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
	    connect(tcp, (struct sockaddr *)&to, sizeof(to))) {
		perror("calls");
		return 1;
	}
	connect_pair();
	for (size_t i = 0; i < sizeof(measures) / sizeof(*measures); i++) {
		for (int n = 0; n < measures[i].rounds; n++) {
			double began;

			if (measures[i].before)
				measures[i].before();
			began = now_us();
			measures[i].call();
			us[n] = now_us() - began;
		}
		qsort(us, (size_t)measures[i].rounds, sizeof(*us), by_value);
		printf("%.2f ", us[measures[i].rounds / 2]);
	}
	printf("\n");
	return 0;
}
