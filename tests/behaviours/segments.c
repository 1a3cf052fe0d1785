/* SPDX-License-Identifier: MIT */
/* segments.c - several datagrams in one call (UDP_SEGMENT, UDP_GRO), and datagrams that do not
 * fit */
#include "behave.h"

#include <netinet/udp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	FIT4_BYTES = 1420 - 28, /* the interface's MTU without headers */
	FIT6_BYTES = 1420 - 48,
	BIG_BYTES = 65536,
};

static char big[BIG_BYTES];

/* sendmsg of @len bytes, of which each datagram gets @size (-1: no ancillary data). */
static ssize_t send_split(int fd, const union address *to, socklen_t to_len, size_t len, int size)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control = {0};
	struct iovec iov = {big, len};
	uint16_t value = (uint16_t)size;
	struct msghdr msg = {
		.msg_name = (void *)to, .msg_namelen = to_len, .msg_iov = &iov, .msg_iovlen = 1};

	for (size_t i = 0; i < len; i++)
		big[i] = (char)('a' + i % 26);
	if (size >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		control.align.cmsg_level = IPPROTO_UDP;
		control.align.cmsg_type = UDP_SEGMENT;
		control.align.cmsg_len = CMSG_LEN(sizeof(value));
		memcpy(CMSG_DATA(&control.align), &value, sizeof(value));
	}
	return sendmsg(fd, &msg, 0);
}

/* What came back, datagram by datagram. */
static void show_answers(int fd, int n)
{
	static char data[BIG_BYTES];

	for (int i = 0; i < n; i++) {
		ssize_t got;

		wait_in(fd);
		got = recv(fd, data, sizeof(data), MSG_DONTWAIT);
		printf("answer: %zd bytes from '%c' to '%c'\n", got, got > 0 ? data[0] : '-',
		       got > 0 ? data[got - 1] : '-');
		if (got < 0)
			return;
	}
	nap_ms(100);
	said("more", recv(fd, data, sizeof(data), MSG_DONTWAIT));
}

static void by_cmsg(bool v6, bool connected)
{
	union address to;
	socklen_t len = make_address(&to, host(v6), ECHO_UDP_PORT);
	int fd = udp_socket(v6);

	if (connected) {
		did("connect", connect(fd, &to.any, len));
		len = 0;
	}
	said("3 of 1000 and a rest", send_split(fd, len ? &to : NULL, len, 3100, 1000));
	show_answers(fd, 4);
	said("one that is smaller", send_split(fd, len ? &to : NULL, len, 500, 1000));
	show_answers(fd, 1);
	said("size 0", send_split(fd, len ? &to : NULL, len, 700, 0));
	show_answers(fd, 1);
	said("nothing", send_split(fd, len ? &to : NULL, len, 0, 1000));
	show_answers(fd, 1);
}

CASE(by_cmsg_unconnected)
{
	by_cmsg(false, false);
	by_cmsg(true, false);
}

CASE(by_cmsg_connected)
{
	by_cmsg(false, true);
	by_cmsg(true, true);
}

CASE(by_option)
{
	int fd = udp_socket(false);

	printf("initial %d\n", get_int(fd, IPPROTO_UDP, UDP_SEGMENT));
	did("set", set_int(fd, IPPROTO_UDP, UDP_SEGMENT, 900));
	printf("read back %d\n", get_int(fd, IPPROTO_UDP, UDP_SEGMENT));
	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	for (size_t i = 0; i < 2000; i++)
		big[i] = (char)('a' + i % 26);
	said("send", send(fd, big, 2000, 0));
	show_answers(fd, 3);
	said("write", write(fd, big, 1800));
	show_answers(fd, 2);
	said("cmsg wins", send_split(fd, NULL, 0, 1200, 1000));
	show_answers(fd, 2);
	said("cmsg 0 is none", send_split(fd, NULL, 0, 1200, 0));
	show_answers(fd, 1);
	did("unset", set_int(fd, IPPROTO_UDP, UDP_SEGMENT, 0));
	said("send", send(fd, big, 1300, 0));
	show_answers(fd, 1);
}

CASE(option_values)
{
	int fd = udp_socket(false);

	did("largest", set_int(fd, IPPROTO_UDP, UDP_SEGMENT, 65535));
	did("too large", set_int(fd, IPPROTO_UDP, UDP_SEGMENT, 65536));
	did("negative", set_int(fd, IPPROTO_UDP, UDP_SEGMENT, -1));
	did("short", setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, big, 2));
	did("GRO", set_int(fd, IPPROTO_UDP, UDP_GRO, 7));
	printf("GRO is %d\n", get_int(fd, IPPROTO_UDP, UDP_GRO));
	did("GRO off", set_int(fd, IPPROTO_UDP, UDP_GRO, 0));
	printf("GRO is %d\n", get_int(fd, IPPROTO_UDP, UDP_GRO));
	did("unknown", set_int(fd, IPPROTO_UDP, 999, 1));
	did("of TCP", set_int(tcp_socket(false, 0), IPPROTO_UDP, UDP_SEGMENT, 1000));
}

/* Kernels disagree whether this is EINVAL or EMSGSIZE. */
static void refused(const char *what, ssize_t n)
{
	printf("%s: %s\n", what,
	       n >= 0				      ? "sent"
	       : errno == EINVAL || errno == EMSGSIZE ? "refused"
						      : err_name(errno));
}

CASE(too_much)
{
	int fd = udp_socket(false);

	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	refused("a segment larger than the path", send_split(fd, NULL, 0, 8000, FIT4_BYTES + 1));
	refused("more than 128", send_split(fd, NULL, 0, 1290, 10));
	said("a segment as large", send_split(fd, NULL, 0, FIT4_BYTES + 10, FIT4_BYTES));
	show_answers(fd, 2);
	said("more than an IP packet", send_split(fd, NULL, 0, 65536, 1200));
}

CASE(too_large_by_option)
{
	int fd = udp_socket(false);

	did("set", set_int(fd, IPPROTO_UDP, UDP_SEGMENT, FIT4_BYTES + 1));
	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	refused("send", send(fd, big, 8000, 0));
	nap_ms(100);
	refused("recv", recv(fd, big, sizeof(big), MSG_DONTWAIT));
}

/* Whether datagrams come together is the device's choice (ours does not merge); that all of them
 * come is not. */
static void receive_all(int fd, size_t expected)
{
	static char data[BIG_BYTES];
	size_t total = 0;
	ssize_t n;

	while (total < expected) {
		wait_in(fd);
		n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
		if (n <= 0)
			break;
		total += (size_t)n;
	}
	printf("%zu bytes in all\n", total);
}

CASE(merging_on_request)
{
	int fd = udp_socket(false);

	did("GRO", set_int(fd, IPPROTO_UDP, UDP_GRO, 1));
	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	said("send", send_split(fd, NULL, 0, 6000, 1000));
	receive_all(fd, 6000);
}

/* ---- without fragments ---- */

static void probe(int fd, bool v6, size_t fit)
{
	union address to;
	socklen_t len = make_address(&to, host(v6), ECHO_UDP_PORT);

	said("fits", sendto(fd, big, fit, 0, &to.any, len));
	show_answers(fd, 1);
	said("does not", sendto(fd, big, fit + 1, 0, &to.any, len));
}

static void connected_probe(int fd, bool v6, size_t fit)
{
	did("connect", connect_to(fd, host(v6), ECHO_UDP_PORT));
	said("fits", send(fd, big, fit, 0));
	show_answers(fd, 1);
	said("does not", send(fd, big, fit + 1, 0));
	said("write", write(fd, big, fit + 1));
}

CASE(dont_fragment)
{
	for (int how = IP_PMTUDISC_DO; how <= IP_PMTUDISC_PROBE; how++) {
		int fd = udp_socket(false);

		did("set", set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, how));
		probe(fd, false, FIT4_BYTES);
		connected_probe(fd, false, FIT4_BYTES);
		did("unset", set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT));
		said("in fragments", send(fd, big, FIT4_BYTES + 1, 0));
		show_answers(fd, 1);
		close(fd);
	}
}

CASE(dont_fragment_v6)
{
	int fd = udp_socket(true);

	did("set", set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO));
	probe(fd, true, FIT6_BYTES);
	connected_probe(fd, true, FIT6_BYTES);
	did("unset", set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_WANT));
	said("in fragments", send(fd, big, FIT6_BYTES + 1, 0));
	show_answers(fd, 1);
}
