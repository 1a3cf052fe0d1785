/* SPDX-License-Identifier: MIT */
/*
 * udp_errors.c - datagrams: sizes, truncation, addresses, ICMP errors
 *
 * usage: udp_errors HOST ECHO-PORT CLOSED-PORT
 */
#include "common.h"

static int dial(const char *host, const char *port)
{
	union address a;
	socklen_t len = parse_address(&a, host, port);
	int fd = socket(a.any.sa_family, SOCK_DGRAM, 0);
	struct timeval patience = {.tv_sec = 60};

	if (fd < 0 || connect(fd, &a.any, len))
		die("connect");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void echo(int fd, size_t size)
{
	static char out[65507], in[65536];
	ssize_t n;

	memset(out, 'e', size);
	n = send(fd, out, size, 0);
	printf("send %zu: %zd %s\n", size, n, n < 0 ? err_name(errno) : "");
	if (n < 0)
		return;
	n = recv(fd, in, sizeof(in), 0);
	printf("recv: %zd %s\n", n,
	       n < 0		       ? err_name(errno)
	       : memcmp(in, out, size) ? "differs"
				       : "same");
}

static void truncation(int fd)
{
	char in[4];
	ssize_t n;

	send(fd, "0123456789", 10, 0);
	n = recv(fd, in, sizeof(in), MSG_PEEK);
	printf("peek 4 of 10: %zd\n", n);
	n = recv(fd, in, sizeof(in), MSG_TRUNC);
	printf("recv 4 of 10 with MSG_TRUNC: %zd\n", n);
	n = recv(fd, in, sizeof(in), MSG_DONTWAIT);
	printf("recv when empty: %s\n", n < 0 ? err_name(errno) : "something");
}

static void unconnected(const char *host, const char *port)
{
	union address a, from;
	socklen_t len = parse_address(&a, host, port), from_len = sizeof(from);
	int fd = socket(a.any.sa_family, SOCK_DGRAM, 0);
	struct timeval patience = {.tv_sec = 60};
	char in[16];

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	printf("send without address: %s\n", err_name(send(fd, "x", 1, 0) < 0 ? errno : 0));
	printf("sendto: %zd\n", sendto(fd, "abc", 3, 0, &a.any, len));
	printf("recvfrom: %zd\n", recvfrom(fd, in, sizeof(in), 0, &from.any, &from_len));
	printf("from the address asked: %d, length %u\n",
	       a.any.sa_family == AF_INET ? from.in.sin_addr.s_addr == a.in.sin_addr.s_addr &&
						    from.in.sin_port == a.in.sin_port
					  : !memcmp(&from.in6.sin6_addr, &a.in6.sin6_addr, 16) &&
						    from.in6.sin6_port == a.in6.sin6_port,
	       from_len);
	close(fd);
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {0, 1, 1200, 1392, 1393, 5000, 60000};
	struct pollfd p;
	char in[16];
	int fd;

	if (argc < 4)
		return 2;
	fd = dial(argv[1], argv[2]);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		echo(fd, sizes[i]);
	truncation(fd);
	close(fd);
	unconnected(argv[1], argv[2]);

	fd = dial(argv[1], argv[3]);
	printf("send to a closed port: %zd\n", send(fd, "x", 1, 0));
	p = (struct pollfd){.fd = fd, .events = POLLIN};
	printf("poll: %d %s\n", poll(&p, 1, 60000), poll_events(p.revents));
	printf("recv: %s\n", err_name(recv(fd, in, sizeof(in), MSG_DONTWAIT) < 0 ? errno : 0));
	printf("recv again: %s\n",
	       err_name(recv(fd, in, sizeof(in), MSG_DONTWAIT) < 0 ? errno : 0));
	close(fd);
	return 0;
}
