/* SPDX-License-Identifier: MIT */
/*
 * values.c - options by number: what an untouched socket says, which values are taken, what is read
 * then
 *
 * Numbers that kernels know since 4.x; newer ones only where the kernel has them. Those that are
 * missing are in the ledger, or print what differs between machines (times, sysctls).
 */
#include <sys/utsname.h>

#include "behave.h"

enum { IP_LOCAL_PORT_RANGE_NUMBER = 51 }; /* newer than some libc headers */

static const int values[] = {1, 0, -1, 2, 300, 70000};

static bool kernel_has(int major, int minor)
{
	struct utsname name;
	int here[2] = {0};

	uname(&name);
	sscanf(name.release, "%d.%d", &here[0], &here[1]);
	return here[0] > major || (here[0] == major && here[1] >= minor);
}

static void print_value(const char *what, int value)
{
	if (value < 0 && value != -1)
		printf(" %s %s", what, err_name(-value));
	else
		printf(" %s %d", what, value);
}

/* All @values on fresh sockets, one after another. */
static void try_number(bool v6, int type, int level, int number)
{
	int fd = socket(v6 ? AF_INET6 : AF_INET, type, 0);

	printf("%s %s %d/%d:", v6 ? "v6" : "v4", type == SOCK_STREAM ? "tcp" : "udp", level,
	       number);
	print_value("is", get_int(fd, level, number));
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		int err = set_int(fd, level, number, values[i]) ? errno : 0;

		printf(", %d %s", values[i], err_name(err));
		print_value("gives", get_int(fd, level, number));
	}
	printf("\n");
	close(fd);
}

static void try_all(int type, int level, const int *numbers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (level != IPPROTO_IPV6)
			try_number(false, type, level, numbers[i]);
		try_number(true, type, level, numbers[i]);
	}
}

#define TRY_ALL(type, level, list) try_all(type, level, list, sizeof(list) / sizeof(*(list)))

CASE(ip)
{
	static const int numbers[] = {
		IP_TOS,
		IP_TTL,
		IP_HDRINCL,
		IP_ROUTER_ALERT,
		IP_RECVOPTS,
		IP_RETOPTS,
		IP_PKTINFO,
		IP_MTU_DISCOVER,
		IP_RECVERR,
		IP_RECVTTL,
		IP_RECVTOS,
		IP_FREEBIND,
		IP_PASSSEC,
		IP_TRANSPARENT,
		IP_RECVORIGDSTADDR,
		IP_MINTTL,
		IP_NODEFRAG,
		IP_CHECKSUM,
		IP_RECVFRAGSIZE,
		IP_BIND_ADDRESS_NO_PORT,
		IP_XFRM_POLICY,
		IP_MULTICAST_TTL,
		IP_MULTICAST_LOOP,
		IP_MULTICAST_ALL,
		IP_UNICAST_IF,
		IP_ADD_MEMBERSHIP,
		IP_DROP_MEMBERSHIP,
		MCAST_JOIN_GROUP,
	};

	TRY_ALL(SOCK_STREAM, IPPROTO_IP, numbers);
	TRY_ALL(SOCK_DGRAM, IPPROTO_IP, numbers);
}

CASE(ipv6)
{
	static const int numbers[] = {
		IPV6_UNICAST_HOPS, IPV6_MULTICAST_IF, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP,
		IPV6_JOIN_GROUP,   IPV6_LEAVE_GROUP,  IPV6_ROUTER_ALERT,   IPV6_MTU_DISCOVER,
		IPV6_RECVERR,	   IPV6_V6ONLY,	      IPV6_RECVPKTINFO,	   IPV6_RECVHOPLIMIT,
		IPV6_RECVHOPOPTS,  IPV6_RECVRTHDR,    IPV6_RECVDSTOPTS,	   IPV6_RECVPATHMTU,
		IPV6_DONTFRAG,	   IPV6_RECVTCLASS,   IPV6_TCLASS,	   IPV6_AUTOFLOWLABEL,
		IPV6_MINHOPCOUNT,  IPV6_ORIGDSTADDR,  IPV6_TRANSPARENT,	   IPV6_UNICAST_IF,
		IPV6_RECVFRAGSIZE, IPV6_FREEBIND,     IPV6_XFRM_POLICY,
	};

	TRY_ALL(SOCK_STREAM, IPPROTO_IPV6, numbers);
	TRY_ALL(SOCK_DGRAM, IPPROTO_IPV6, numbers);
}

CASE(tcp)
{
	static const int numbers[] = {
		TCP_NODELAY,
		TCP_MAXSEG,
		TCP_CORK,
		TCP_KEEPIDLE,
		TCP_KEEPINTVL,
		TCP_KEEPCNT,
		TCP_SYNCNT,
		TCP_DEFER_ACCEPT,
		TCP_WINDOW_CLAMP,
		TCP_QUICKACK,
		TCP_THIN_LINEAR_TIMEOUTS,
		TCP_THIN_DUPACK,
		TCP_USER_TIMEOUT,
		TCP_REPAIR,
		TCP_NOTSENT_LOWAT,
		TCP_FASTOPEN_CONNECT,
	};

	TRY_ALL(SOCK_STREAM, IPPROTO_TCP, numbers);
}

/* As an option its address is the source of nothing; its interface, 0 here, may choose the route. */
CASE(source_as_an_option)
{
	struct in6_pktinfo info = {0};
	socklen_t len = sizeof(info);
	int fd = udp_socket(true);
	char byte;

	inet_pton(AF_INET6, "fd99::1", &info.ipi6_addr);
	did("set", setsockopt(fd, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info)));
	did("short", setsockopt(fd, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info) - 1));
	did("get", getsockopt(fd, IPPROTO_IPV6, IPV6_PKTINFO, &info, &len));
	did("TCP",
	    setsockopt(tcp_socket(true, 0), IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info)));
	did("IPv4", setsockopt(udp_socket(false), IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info)));
	did("connect", connect_to(fd, host(true), ECHO_UDP_PORT));
	show_names(fd);
	said("send", send(fd, "x", 1, 0));
	wait_in(fd);
	said("recv", recv(fd, &byte, 1, 0));
}

/* Two ports: the first in the low half. */
CASE(local_port_range)
{
	int fd = tcp_socket(false, 0);

	if (!kernel_has(6, 3))
		return;
	did("range", set_int(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE_NUMBER, 40000 | 41000 << 16));
	printf("%d\n",
	       get_int(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE_NUMBER) == (40000 | 41000 << 16));
	did("backwards", set_int(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE_NUMBER, 41000 | 40000 << 16));
	did("none", set_int(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE_NUMBER, 0));
}

/* What AF_UNIX would tell of its other end. */
CASE(peers)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	int fd = udp_socket(false);
	struct {
		int number;
		const char *name;
	} of[] = {{SO_PEERGROUPS, "groups"}, {SO_PEERSEC, "sec"}};

	did("name", getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &sa, &len));
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		len = sizeof(sa);
		did(of[i].name, getsockopt(fd, SOL_SOCKET, of[i].number, &sa, &len));
	}
	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	len = sizeof(sa);
	did("name", getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &sa, &len));
	printf("%s\n", address_text((union address *)&sa, len));
}

static void send_item(int fd, const char *what, int type, int value, size_t size)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)"x", 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = CMSG_SPACE(size)};

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = type;
	control.head.cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(&control.head), &value, sizeof(value));
	said(what, sendmsg(fd, &msg, 0));
}

/* Ancillary data of the socket's own level. */
CASE(items)
{
	int fds[] = {udp_socket(false), udp_socket(true), server(false, "echo")};

	did("connect", connect_to(fds[0], host(false), ECHO_UDP_PORT));
	did("connect", connect_to(fds[1], host(true), ECHO_UDP_PORT));
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (i < 2) { /* of TCP it is EINVAL on older kernels */
			send_item(fds[i], "mark", SO_MARK, 1, sizeof(int));
			send_item(fds[i], "long mark", SO_MARK, 1, 2 * sizeof(int));
		}
		send_item(fds[i], "stamps", SO_TIMESTAMPING, 2, sizeof(int));
		send_item(fds[i], "other stamps", SO_TIMESTAMPING, 4, sizeof(int));
		send_item(fds[i], "unknown", 4711, 1, sizeof(int));
		send_item(fds[i], "rights", SCM_RIGHTS, 0, sizeof(int));
	}
}

/* The bytes of the header, as far as the other end's echo goes: no error at least. */
CASE(type_of_service_of_a_connection)
{
	int fd = tcp_socket(false, 0);

	did("tos", set_int(fd, IPPROTO_IP, IP_TOS, 0x1b9));
	did("connect", connect_to(fd, host(false), HELLO_PORT));
	printf("tos %d\n", get_int(fd, IPPROTO_IP, IP_TOS));
	did("tos", set_int(fd, IPPROTO_IP, IP_TOS, 0x13));
	printf("tos %d\n", get_int(fd, IPPROTO_IP, IP_TOS));
	read_out(fd);
}
