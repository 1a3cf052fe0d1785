/* SPDX-License-Identifier: MIT */
/*
 * path_mtus.c - sockets towards a host behind a link that takes less than the first one
 *
 * usage: path_mtus HOST ECHO-PORT LARGE: datagrams and connections are echoed; a datagram of LARGE
 * bytes fits the first link and not the other
 */
#include "common.h"

#include <stdbool.h>

#include <linux/errqueue.h>

enum { PATIENCE_MS = 30000 };

static union address to;
static socklen_t to_len;
static bool v6;
static uint8_t bytes[65536], got[65536];

static int get(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) < 0 ? -errno : value;
}

static void show_mtu(int fd)
{
	int mtu = v6 ? get(fd, IPPROTO_IPV6, IPV6_MTU) : get(fd, IPPROTO_IP, IP_MTU);

	printf("  MTU %s %d\n", mtu < 0 ? err_name(-mtu) : "", mtu < 0 ? 0 : mtu);
}

static void set(int fd, int v4_name, int v6_name, int value)
{
	if (v6 ? setsockopt(fd, IPPROTO_IPV6, v6_name, &value, sizeof(value))
	       : setsockopt(fd, IPPROTO_IP, v4_name, &value, sizeof(value)))
		die("setsockopt");
}

static int open_udp(int discover, bool connected, bool errors)
{
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	int fd = socket(to.any.sa_family, SOCK_DGRAM, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	set(fd, IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, discover);
	if (errors)
		set(fd, IP_RECVERR, IPV6_RECVERR, 1);
	if (connected && connect(fd, &to.any, to_len))
		die("connect");
	return fd;
}

static void give(int fd, bool connected, size_t len)
{
	ssize_t n =
		connected ? send(fd, bytes, len, 0) : sendto(fd, bytes, len, 0, &to.any, to_len);

	printf("  send %zu: %s\n", len, n < 0 ? err_name(errno) : n == (ssize_t)len ? "0" : "less");
}

static void show_echo(int fd)
{
	ssize_t n = recv(fd, got, sizeof(got), 0);

	printf("  echo %zd%s\n", n, n < 0 ? err_name(errno) : "");
}

/* The next item of the error queue, which may be on its way */
static void show_error(int fd, bool wait)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct sock_extended_err e;
	uint8_t control[512];
	struct iovec iov = {got, sizeof(got)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};

	if (wait && poll(&p, 1, PATIENCE_MS) != 1)
		printf("  nothing came\n");
	if (recvmsg(fd, &msg, MSG_ERRQUEUE) < 0) {
		printf("  no error: %s\n", err_name(errno));
		return;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_type != (v6 ? IPV6_RECVERR : IP_RECVERR))
			continue;
		memcpy(&e, CMSG_DATA(c), sizeof(e));
		printf("  error %s origin %d type %d code %d info %u\n", err_name((int)e.ee_errno),
		       e.ee_origin, e.ee_type, e.ee_code, e.ee_info);
	}
}

static void learning(size_t large)
{
	int fd = open_udp(IP_PMTUDISC_DO, true, true);

	printf("whole datagrams\n");
	show_mtu(fd);
	give(fd, true, large);
	show_error(fd, true);
	show_mtu(fd);
	give(fd, true, large);
	show_error(fd, false);
	show_error(fd, false);
	printf("  SO_ERROR %s\n", err_name(so_error(fd)));
	give(fd, true, 1200);
	show_echo(fd);
	close(fd);
}

static void knowing(size_t large)
{
	static const struct {
		const char *name;
		int discover;
	} modes[] = {
		{"DO", IP_PMTUDISC_DO}, {"WANT", IP_PMTUDISC_WANT}, {"DONT", IP_PMTUDISC_DONT}};

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		for (int connected = 0; connected < 2; connected++) {
			int fd = open_udp(modes[i].discover, connected, false);

			printf("%s%s\n", modes[i].name, connected ? ", connected" : "");
			show_mtu(fd);
			give(fd, connected, large);
			if (modes[i].discover != IP_PMTUDISC_DO)
				show_echo(fd);
			give(fd, connected, 1200);
			show_echo(fd);
			close(fd);
		}
	}
}

static void probing(size_t large)
{
	int fd = open_udp(IP_PMTUDISC_PROBE, true, true);

	printf("PROBE\n");
	show_mtu(fd);
	give(fd, true, large);
	show_error(fd, true);
	give(fd, true, large);
	show_error(fd, true);
	give(fd, true, large + 100);
	show_error(fd, false);
	close(fd);
	fd = open_udp(IP_PMTUDISC_INTERFACE, true, true);
	printf("INTERFACE\n");
	give(fd, true, large);
	give(fd, true, large + 100);
	show_error(fd, false);
	close(fd);
}

static void one_segment(size_t large)
{
	int fd = open_udp(IP_PMTUDISC_WANT, true, false);

	printf("IPV6_DONTFRAG\n");
	set(fd, 0, IPV6_DONTFRAG, 1);
	give(fd, true, large);
	give(fd, true, 1200);
	show_echo(fd);
	close(fd);
}

static void connection(void)
{
	int fd = socket(to.any.sa_family, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, &to.any, to_len))
		die("connect");
	printf("a connection\n");
	show_mtu(fd);
	close(fd);
}

int main(int argc, char **argv)
{
	size_t large;

	if (argc != 4)
		return 2;
	to_len = parse_address(&to, argv[1], argv[2]);
	v6 = to.any.sa_family == AF_INET6;
	large = (size_t)atoi(argv[3]);
	learning(large);
	knowing(large);
	probing(large);
	if (v6)
		one_segment(large);
	connection();
	return 0;
}
