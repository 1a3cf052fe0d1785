/* SPDX-License-Identifier: MIT */
/*
 * reserved.c - a program whose allocator keeps all addresses below 4 GB for itself, as Chromium's does
 *
 * usage: reserved HOST ECHO-PORT CLOSED-PORT
 *
 * It does so before any constructor runs, where the kernel lets it choose: an address that is taken
 * already is not taken away.
 */
#include "common.h"

#include <sys/mman.h>

static void reserve(void)
{
	const size_t lowest = 65536, size = (size_t)1 << 32;

	mmap((void *)lowest, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

__attribute__((section(".preinit_array"),
	       used)) static void (*const before_constructors)(void) = reserve;

static void datagrams(const char *host, const char *port)
{
	union address to, from;
	socklen_t len = parse_address(&to, host, port), from_len = sizeof(from);
	struct timeval patience = {.tv_sec = 60};
	char in[16];
	int fd = socket(to.any.sa_family, SOCK_DGRAM, 0);
	ssize_t n;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		die("socket");
	n = sendto(fd, "unconnected", 11, 0, &to.any, len);
	printf("sendto: %zd %s\n", n, n < 0 ? err_name(errno) : "");
	n = n < 0 ? 0 : recvfrom(fd, in, sizeof(in), 0, &from.any, &from_len);
	printf("recvfrom: %zd, the sender %s\n", n,
	       from_len == len && memcmp(&from, &to, len) == 0 ? "as asked" : "another");
	if (connect(fd, &to.any, len))
		die("connect");
	n = send(fd, "connected", 9, 0);
	n = n < 0 ? 0 : recv(fd, in, sizeof(in), 0);
	printf("recv: %zd\n", n);
	close(fd);
}

int main(int argc, char **argv)
{
	union address a;
	socklen_t len;
	int fd;

	if (argc != 4)
		return 2;
	datagrams(argv[1], argv[2]);
	len = parse_address(&a, argv[1], argv[3]);
	fd = socket(a.any.sa_family, SOCK_STREAM, 0);
	printf("connect: %s\n", connect(fd, &a.any, len) ? err_name(errno) : "0");
	return 0;
}
