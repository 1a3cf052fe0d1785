/* SPDX-License-Identifier: MIT */
/* ancillary.h - receives messages and prints all that comes with them */
#ifndef BEHAVIOURS_ANCILLARY_H
#define BEHAVIOURS_ANCILLARY_H

#include "behave.h"

#include <linux/errqueue.h>

enum { ROOM = 2048, CONTROL_ROOM = 512 };

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

/* Receives one message, and prints all of it. @room: for the payload, ROOM at most; @control_room:
 * for what is ancillary */
static void show_message(int fd, size_t room, size_t control_room, int flags)
{
	union {
		struct cmsghdr align;
		char bytes[CONTROL_ROOM];
	} control;
	union address a = {0};
	char data[ROOM] = "";
	struct iovec iov = {data, room};
	struct msghdr msg = {.msg_name = &a,
			     .msg_namelen = sizeof(a),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = control_room};
	ssize_t n;

	if (!(flags & MSG_ERRQUEUE))
		wait_in(fd);
	n = recvmsg(fd, &msg, flags | MSG_DONTWAIT);
	if (n < 0) {
		printf("recvmsg: %s\n", err_name(errno));
		return;
	}
	printf("recvmsg: %zd bytes \"%.5s\" flags %x, %zu bytes of control, %s\n", n, data,
	       (unsigned int)msg.msg_flags, msg.msg_controllen, address_text(&a, msg.msg_namelen));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		show_item(c);
}

#endif
