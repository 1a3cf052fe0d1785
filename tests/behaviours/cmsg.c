/* SPDX-License-Identifier: MIT */
/* cmsg.c - ancillary data of datagrams, and the error queue */
#include "ancillary.h"

/* @room: for what is ancillary */
static void receive(int fd, size_t room, int flags)
{
	show_message(fd, ROOM, room, flags);
}

static long send_to(int fd, const char *text, int port, const char *data)
{
	union address a;
	socklen_t len = make_address(&a, text, port);

	return sendto(fd, data, strlen(data), 0, &a.any, len);
}

/* An echo with one receive option on. */
static void echo_with(bool v6, int level, int name, int connected)
{
	int fd = udp_socket(v6);

	if (connected)
		did("connect", connect_to(fd, host(v6), ECHO_UDP_PORT));
	did("set", set_int(fd, level, name, 1));
	printf("get %d\n", get_int(fd, level, name));
	said("sendto",
	     connected ? send(fd, "hello", 5, 0) : send_to(fd, host(v6), ECHO_UDP_PORT, "hello"));
	receive(fd, 512, 0);
	did("unset", set_int(fd, level, name, 0));
	said("sendto", send_to(fd, host(v6), ECHO_UDP_PORT, "hello"));
	receive(fd, 512, 0);
}

CASE(pktinfo)
{
	echo_with(false, IPPROTO_IP, IP_PKTINFO, 0);
	echo_with(true, IPPROTO_IPV6, IPV6_RECVPKTINFO, 0);
}

CASE(pktinfo_connected)
{
	echo_with(false, IPPROTO_IP, IP_PKTINFO, 1);
}

CASE(pktinfo_interface)
{
	union {
		struct cmsghdr align;
		char bytes[128];
	} control;
	char data[16];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control)};
	struct in_pktinfo info;
	int fd = udp_socket(false);

	set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	send_to(fd, host(false), ECHO_UDP_PORT, "hello");
	wait_in(fd);
	said("recvmsg", recvmsg(fd, &msg, 0));
	memcpy(&info, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(info));
	printf("an interface is named: %d\n", info.ipi_ifindex > 0);
}

CASE(ttl)
{
	echo_with(false, IPPROTO_IP, IP_RECVTTL, 0);
	echo_with(true, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 0);
	echo_with(true, IPPROTO_IPV6, IPV6_2292HOPLIMIT, 0); /* tracepath asks this way */
}

CASE(tos)
{
	echo_with(false, IPPROTO_IP, IP_RECVTOS, 0);
	echo_with(true, IPPROTO_IPV6, IPV6_RECVTCLASS, 0);
}

CASE(timestamp)
{
	echo_with(false, SOL_SOCKET, SO_TIMESTAMP, 0);
	echo_with(false, SOL_SOCKET, SO_TIMESTAMPNS, 1);
}

CASE(all_together)
{
	int fd = udp_socket(false);

	set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	set_int(fd, IPPROTO_IP, IP_RECVTTL, 1);
	set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
	send_to(fd, host(false), ECHO_UDP_PORT, "all");
	receive(fd, 512, 0);
	send_to(fd, host(false), ECHO_UDP_PORT, "little room");
	receive(fd, CMSG_SPACE(sizeof(struct in_pktinfo)), 0);
	send_to(fd, host(false), ECHO_UDP_PORT, "no room");
	receive(fd, 0, 0);
}

CASE(mapped)
{
	int fd = udp_socket(true);

	set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	set_int(fd, IPPROTO_IP, IP_RECVTTL, 1);
	send_to(fd, "::ffff:10.77.0.1", ECHO_UDP_PORT, "mapped");
	receive(fd, 512, 0);
}

/* ---- sending with ancillary data ---- */

static void send_with(const char *what, bool v6, int level, int type, const void *data, size_t len)
{
	union {
		struct cmsghdr align;
		char bytes[128];
	} control = {0};
	union address a;
	struct iovec iov = {(void *)"hello", 5};
	struct msghdr msg = {.msg_name = &a,
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = CMSG_SPACE(len)};
	int fd = udp_socket(v6);

	msg.msg_namelen = make_address(&a, host(v6), ECHO_UDP_PORT);
	control.align.cmsg_level = level;
	control.align.cmsg_type = type;
	control.align.cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(&control.align), data, len);
	if (said(what, sendmsg(fd, &msg, 0)) > 0)
		receive(fd, 512, 0);
	close(fd);
}

CASE(send_options)
{
	int value = 17;
	uint8_t byte = 8;
	struct in_pktinfo info = {.ipi_spec_dst.s_addr = inet_addr(self(false))};
	struct in6_pktinfo info6 = {0};

	send_with("ttl", false, IPPROTO_IP, IP_TTL, &value, sizeof(value));
	send_with("tos", false, IPPROTO_IP, IP_TOS, &byte, 1);
	send_with("pktinfo", false, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	send_with("hop limit", true, IPPROTO_IPV6, IPV6_HOPLIMIT, &value, sizeof(value));
	send_with("tclass", true, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof(value));
	inet_pton(AF_INET6, self(true), &info6.ipi6_addr);
	send_with("pktinfo6", true, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6));
	value = 300;
	send_with("bad ttl", false, IPPROTO_IP, IP_TTL, &value, sizeof(value));
	send_with("unknown type", false, IPPROTO_IP, 99, &value, sizeof(value));
	send_with("v6 item on v4", false, IPPROTO_IPV6, IPV6_HOPLIMIT, &value, sizeof(value));
}

CASE(send_from_a_foreign_address)
{
	struct in_pktinfo info = {.ipi_spec_dst.s_addr = inet_addr("192.0.2.77")};

	send_with("pktinfo", false, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
}

CASE(rights_on_udp)
{
	int fd = 1;

	send_with("rights", false, SOL_SOCKET, SCM_RIGHTS, &fd, sizeof(fd));
}

/* ---- errors ---- */

static void show_error(int fd, int flags)
{
	show_message(fd, ROOM, CONTROL_ROOM, flags);
}

CASE(error_queue)
{
	for (int connected = 0; connected < 2; connected++) {
		int fd = udp_socket(false);
		char data[8];

		did("set", set_int(fd, IPPROTO_IP, IP_RECVERR, 1));
		printf("get %d\n", get_int(fd, IPPROTO_IP, IP_RECVERR));
		show_error(fd, MSG_ERRQUEUE);
		if (connected)
			did("connect", connect_to(fd, host(false), CLOSED_PORT));
		said("sendto", send_to(fd, host(false), CLOSED_PORT, "x"));
		nap_ms(200);
		printf("poll says something: %d\n", strcmp(polled(fd, 0), "OUT ") != 0);
		show_error(fd, MSG_ERRQUEUE);
		show_error(fd, MSG_ERRQUEUE);
		said("recv", recv(fd, data, sizeof(data), MSG_DONTWAIT));
		said("sendto", send_to(fd, host(false), CLOSED_PORT, "x"));
		nap_ms(200);
		said("recv", recv(fd, data, sizeof(data), MSG_DONTWAIT));
		show_error(fd, MSG_ERRQUEUE);
		said("sendto", send_to(fd, host(false), ECHO_UDP_PORT, "fine"));
		receive(fd, 512, 0);
		close(fd);
	}
}

CASE(error_queue_wakes_poll)
{
	int fd = udp_socket(false);
	struct pollfd p = {.fd = fd, .events = 0};

	set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
	send_to(fd, host(false), CLOSED_PORT, "x");
	said("poll for nothing but errors", poll(&p, 1, 300));
	printf("%s\n", events_text((unsigned short)p.revents));
}

CASE(error_queue_v6)
{
	int fd = udp_socket(true);

	did("set", set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1));
	did("connect", connect_to(fd, host(true), CLOSED_PORT));
	said("send", send(fd, "x", 1, 0));
	nap_ms(200);
	show_error(fd, MSG_ERRQUEUE);
}

CASE(ping)
{
	uint8_t request[16] = {8, 0, 0, 0, 0, 0, 0, 7, 'p', 'i', 'n', 'g'}, reply[64];
	int fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	union address a;
	socklen_t len;

	did("socket", fd);
	did("connect", connect_to(fd, host(false), 0));
	said("send", send(fd, request, sizeof(request), 0));
	wait_in(fd);
	len = sizeof(a);
	said("recv", recvfrom(fd, reply, sizeof(reply), MSG_DONTWAIT, &a.any, &len));
	printf("type %d code %d sequence %d from %s, \"%.4s\"\n", reply[0], reply[1], reply[7],
	       address_text(&a, len), reply + 8);
	said("too short", send(fd, request, 4, 0));
	request[0] = 3;
	said("not an echo request", send(fd, request, sizeof(request), 0));
}

CASE(ping_identifier)
{
	uint8_t request[16] = {8, 0, 0, 0, 0, 0, 0, 7, 'p', 'i', 'n', 'g'}, reply[64] = {0};
	union address a;
	socklen_t len = sizeof(a);
	int fd[3], n;

	for (n = 0; n < 3; n++)
		fd[n] = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	did("bind", bind_to(fd[0], self(false), 0x1234));
	show_names(fd[0]);
	did("bind again", bind_to(fd[0], self(false), 0x1235));
	did("the same by another", bind_to(fd[1], "0.0.0.0", 0x1234));
	did("connect", connect_to(fd[0], host(false), 0));
	said("send", send(fd[0], request, sizeof(request), 0));
	wait_in(fd[1]);
	said("who sent gets", recv(fd[0], reply, sizeof(reply), MSG_DONTWAIT));
	said("the newest gets", recvfrom(fd[1], reply, sizeof(reply), MSG_DONTWAIT, &a.any, &len));
	printf("identifier %02x%02x\n", reply[4], reply[5]);
	did("connect", connect_to(fd[2], host(false), 0));
	did("bind after it", bind_to(fd[2], self(false), 0x1236));
}

CASE(items_of_other_protocols_are_ignored)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_level = IPPROTO_TCP,
			      .cmsg_type = 1,
			      .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct iovec iov = {"hello", 5};
	union address to;
	struct msghdr msg = {.msg_name = &to,
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	char data[8];
	int fd = udp_socket(false);

	msg.msg_namelen = make_address(&to, host(false), ECHO_UDP_PORT);
	said("sendmsg", sendmsg(fd, &msg, 0));
	said("answer", recvfrom(fd, data, sizeof(data), 0, &to.any, &msg.msg_namelen));
}
