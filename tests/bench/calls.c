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
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 2000, SLOW_ROUNDS = 400 };

static struct sockaddr_in to = {.sin_family = AF_INET};
static int tcp, udp, pair[2];

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

static const struct {
	void (*call)(void);
	int rounds;
} measures[] = {
	{plain, ROUNDS},  {data, ROUNDS},	{name, ROUNDS},	    {option, ROUNDS},
	{create, ROUNDS}, {cycle, SLOW_ROUNDS}, {datagram, ROUNDS},
};

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
	for (size_t i = 0; i < sizeof(measures) / sizeof(*measures); i++) {
		for (int n = 0; n < measures[i].rounds; n++) {
			double began = now_us();

			measures[i].call();
			us[n] = now_us() - began;
		}
		qsort(us, (size_t)measures[i].rounds, sizeof(*us), by_value);
		printf("%.2f ", us[measures[i].rounds / 2]);
	}
	printf("\n");
	return 0;
}
