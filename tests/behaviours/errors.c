/* SPDX-License-Identifier: MIT */
/* errors.c - what the error queue says of a datagram; ancillary data on the host's loopback */
#include "behave.h"

#include <linux/errqueue.h>

enum { ROOM = 2048 };

static const char *ip_text(int family, const void *ip)
{
	static char text[INET6_ADDRSTRLEN];

	return inet_ntop(family, ip, text, sizeof(text)) ? text : "none";
}

static void show_said(const struct cmsghdr *c)
{
	struct sock_extended_err error;
	union address by = {0};

	memcpy(&error, CMSG_DATA(c), sizeof(error));
	memcpy(&by, CMSG_DATA(c) + sizeof(error), c->cmsg_len - CMSG_LEN(sizeof(error)));
	printf("  %s origin %d type %d code %d info %u from %s\n", err_name((int)error.ee_errno),
	       error.ee_origin, error.ee_type, error.ee_code, error.ee_info,
	       by.any.sa_family == AF_INET    ? ip_text(AF_INET, &by.in.sin_addr)
	       : by.any.sa_family == AF_INET6 ? ip_text(AF_INET6, &by.in6.sin6_addr)
					      : "nobody");
}

static void show_item(const struct cmsghdr *c)
{
	struct in6_pktinfo info6;
	struct in_pktinfo info;
	int value = 0;

	printf("level %d type %d length %zu\n", c->cmsg_level, c->cmsg_type, c->cmsg_len);
	if (c->cmsg_level == SOL_SOCKET)
		return;
	if (c->cmsg_type == (c->cmsg_level == IPPROTO_IP ? IP_RECVERR : IPV6_RECVERR)) {
		show_said(c);
	} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		printf("  to %s\n", ip_text(AF_INET, &info.ipi_addr));
	} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
		memcpy(&info6, CMSG_DATA(c), sizeof(info6));
		printf("  to %s\n", ip_text(AF_INET6, &info6.ipi6_addr));
	} else {
		memcpy(&value, CMSG_DATA(c), c->cmsg_len == CMSG_LEN(1) ? 1 : sizeof(value));
		printf("  %d\n", value);
	}
}

/* Receives one message, and prints all of it. @room: for the payload */
static void show(int fd, size_t room, int flags)
{
	union {
		struct cmsghdr align;
		char bytes[512];
	} control;
	union address a = {0};
	char data[ROOM] = "";
	struct iovec iov = {data, room};
	struct msghdr msg = {.msg_name = &a,
			     .msg_namelen = sizeof(a),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control)};
	ssize_t n;

	if (!(flags & MSG_ERRQUEUE))
		wait_in(fd);
	n = recvmsg(fd, &msg, flags | MSG_DONTWAIT);
	if (n < 0) {
		printf("recvmsg: %s\n", err_name(errno));
		return;
	}
	printf("recvmsg: %zd bytes \"%.5s\" flags %x, %s\n", n, data, (unsigned int)msg.msg_flags,
	       address_text(&a, msg.msg_namelen));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		show_item(c);
}

static void send_bytes(int fd, const char *to, int port, size_t n)
{
	static char data[ROOM] = "hello";
	union address a;
	socklen_t len = make_address(&a, to, port);

	said("sendto", sendto(fd, data, n, 0, &a.any, len));
}

/* What closed ports say of @n bytes is in the queue then. */
static void provoke(int fd, const char *to, size_t n)
{
	send_bytes(fd, to, CLOSED_PORT, n);
	nap_ms(200);
}

static int asking_socket(bool v6)
{
	int fd = udp_socket(v6);

	did("IP_RECVERR", v6 ? set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1)
			     : set_int(fd, IPPROTO_IP, IP_RECVERR, 1));
	return fd;
}

CASE(payload)
{
	static const size_t sizes[] = {0, 5, 500, 600, 1300};

	for (int v6 = 0; v6 < 2; v6++) {
		int fd = asking_socket(v6);

		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			provoke(fd, host(v6), sizes[i]);
			show(fd, ROOM, MSG_ERRQUEUE);
		}
		provoke(fd, host(v6), 5);
		show(fd, 3, MSG_ERRQUEUE);
		close(fd);
	}
}

CASE(ancillary_data)
{
	int fd = asking_socket(false);

	set_int(fd, SOL_SOCKET, SO_TIMESTAMP, 1);
	set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	set_int(fd, IPPROTO_IP, IP_RECVTTL, 1);
	set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
	provoke(fd, host(false), 5);
	show(fd, ROOM, MSG_ERRQUEUE);
}

CASE(ancillary_data_v6)
{
	int fd = asking_socket(true);

	set_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
	provoke(fd, host(true), 5);
	show(fd, ROOM, MSG_ERRQUEUE);
}

CASE(mapped)
{
	int fd = asking_socket(true);

	set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
	provoke(fd, "::ffff:10.77.0.1", 5);
	show(fd, ROOM, MSG_ERRQUEUE);
}

CASE(several)
{
	int fd = asking_socket(false);

	provoke(fd, host(false), 5);
	printf("SO_ERROR %s\n", so_error(fd));
	printf("SO_ERROR %s\n", so_error(fd));
	provoke(fd, host(false), 6);
	show(fd, ROOM, MSG_ERRQUEUE);
	printf("SO_ERROR %s\n", so_error(fd));
	show(fd, ROOM, MSG_ERRQUEUE);
	printf("SO_ERROR %s\n", so_error(fd));
	show(fd, ROOM, MSG_ERRQUEUE);
}

CASE(each_error_wakes)
{
	int fd = asking_socket(false);
	char data[8];

	provoke(fd, host(false), 5);
	printf("SO_ERROR %s\n", so_error(fd));
	provoke(fd, host(false), 6);
	for (int left = 2; left >= 0; left--) {
		printf("poll says something: %d\n", strcmp(polled(fd, 0), "OUT ") != 0);
		said("recv", recv(fd, data, sizeof(data), MSG_DONTWAIT));
		show(fd, ROOM, MSG_ERRQUEUE);
	}
}

CASE(poll_says_error)
{
	int fd = asking_socket(false);

	provoke(fd, host(false), 5);
	printf("%s\n", polled(fd, 0));
	show(fd, ROOM, MSG_ERRQUEUE);
	printf("%s\n", polled(fd, 0));
	send_bytes(fd, host(false), ECHO_UDP_PORT, 5);
	wait_in(fd);
	printf("%s\n", polled(fd, 0));
	show(fd, ROOM, 0);
	for (int i = 0; i < 4; i++) {
		provoke(fd, host(false), 5);
		printf("SO_ERROR %s\n", so_error(fd));
	}
	for (int i = 0; i < 4; i++) {
		printf("%s\n", polled(fd, 0));
		show(fd, ROOM, MSG_ERRQUEUE);
	}
	printf("%s\n", polled(fd, 0));
}

CASE(too_large)
{
	for (int v6 = 0; v6 < 2; v6++) {
		int fd = asking_socket(v6);
		char data[8];

		did("IP_MTU_DISCOVER",
		    v6 ? set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO)
		       : set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO));
		send_bytes(fd, host(v6), ECHO_UDP_PORT, 1500);
		printf("SO_ERROR %s\n", so_error(fd));
		said("recv", recv(fd, data, sizeof(data), MSG_DONTWAIT));
		show(fd, ROOM, MSG_ERRQUEUE);
		show(fd, ROOM, MSG_ERRQUEUE);
		send_bytes(fd, host(v6), ECHO_UDP_PORT, 5);
		wait_in(fd);
		said("recv is more than nothing", recv(fd, data, sizeof(data), 0) > 0);
		close(fd);
	}
}

/* ---- the host's loopback ---- */

static const char *loopback(bool v6)
{
	return v6 ? "::1" : "127.0.0.1";
}

static void ask_for_all(int fd, bool v6)
{
	if (v6) {
		set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
		set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
		set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	} else {
		set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
		set_int(fd, IPPROTO_IP, IP_RECVTTL, 1);
		set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
	}
}

/* A datagram with options of the sender's socket, and one with ancillary data. */
static void exchange(const char *bound_to, const char *to, bool v6)
{
	const int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
	int receiver = udp_socket(v6), sender = udp_socket(v6), value = 3;
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_level = level,
			      .cmsg_type = v6 ? IPV6_HOPLIMIT : IP_TTL,
			      .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct iovec iov = {"again", 5};
	union address a;
	struct msghdr msg = {.msg_name = &a,
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};

	ask_for_all(receiver, v6);
	did("bind", bind_to(receiver, bound_to, 0));
	send_bytes(sender, to, local_port(receiver), 5);
	show(receiver, ROOM, 0);
	set_int(sender, level, v6 ? IPV6_UNICAST_HOPS : IP_TTL, 7);
	set_int(sender, level, v6 ? IPV6_TCLASS : IP_TOS, 0x48);
	send_bytes(sender, to, local_port(receiver), 5);
	show(receiver, ROOM, 0);
	msg.msg_namelen = make_address(&a, to, local_port(receiver));
	memcpy(CMSG_DATA(&control.head), &value, sizeof(value));
	said("sendmsg", sendmsg(sender, &msg, 0));
	show(receiver, ROOM, 0);
	close(receiver);
	close(sender);
}

CASE(loopback_ancillary_data)
{
	exchange("127.0.0.1", "127.0.0.1", false);
	exchange("127.0.0.7", "127.0.0.7", false);
	exchange("::1", "::1", true);
}

CASE(ancillary_data_between_own_sockets)
{
	exchange("0.0.0.0", "127.0.0.1", false);
	exchange("0.0.0.0", self(false), false);
	exchange("::", "::1", true);
}

CASE(loopback_source)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control = {.head = {.cmsg_level = IPPROTO_IP,
			      .cmsg_type = IP_PKTINFO,
			      .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo))}};
	struct in_pktinfo info = {.ipi_spec_dst.s_addr = inet_addr("127.0.0.9")};
	struct iovec iov = {"hello", 5};
	int receiver = udp_socket(false), sender = udp_socket(false);
	union address a;
	struct msghdr msg = {.msg_name = &a,
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};

	bind_to(receiver, "127.0.0.1", 0);
	msg.msg_namelen = make_address(&a, "127.0.0.1", local_port(receiver));
	memcpy(CMSG_DATA(&control.head), &info, sizeof(info));
	said("sendmsg", sendmsg(sender, &msg, 0));
	show(receiver, ROOM, 0);
}

CASE(loopback_error_queue)
{
	for (int v6 = 0; v6 < 2; v6++) {
		int fd = asking_socket(v6);

		ask_for_all(fd, v6);
		provoke(fd, loopback(v6), 5);
		show(fd, ROOM, MSG_ERRQUEUE);
		show(fd, ROOM, MSG_ERRQUEUE);
		did("connect", connect_to(fd, loopback(v6), CLOSED_PORT));
		said("send", send(fd, "again", 5, 0));
		nap_ms(200);
		show(fd, ROOM, MSG_ERRQUEUE);
		printf("SO_ERROR %s\n", so_error(fd));
		close(fd);
	}
}

CASE(own_address_error_queue)
{
	static const size_t sizes[] = {5, 520, 521, 1300};

	for (int v6 = 0; v6 < 2; v6++) {
		int fd = asking_socket(v6);

		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			provoke(fd, self(v6), sizes[i]);
			show(fd, ROOM, MSG_ERRQUEUE);
		}
		close(fd);
	}
}
