/* SPDX-License-Identifier: MIT */
/* errors.c - what the error queue says of a datagram; ancillary data on the host's loopback */
#include "ancillary.h"

/* @room: for the payload */
static void show(int fd, size_t room, int flags)
{
	show_message(fd, room, CONTROL_ROOM, flags);
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
