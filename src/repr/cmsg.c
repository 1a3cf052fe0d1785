/* SPDX-License-Identifier: MIT */
/* cmsg.c - ancillary data: descriptors; of datagrams, between programs and struct wgw_dgram */
#include "src/repr/cmsg.h"

#include <errno.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#include "src/repr/raw.h"
#include "src/repr/repr.h"
#include "stack/addr.h"

/* Newer than some libc headers. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
	IN_FLIGHT_WAIT_MS = 2000,
	IN_FLIGHT_NAP_MS = 5,
};

void wgw_cmsg_attach(struct msghdr *msg, union wgw_fd_control *control, int fd)
{
	memset(control, 0, sizeof(*control));
	control->head.cmsg_level = SOL_SOCKET;
	control->head.cmsg_type = SCM_RIGHTS;
	control->head.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&control->head), &fd, sizeof(fd));
	msg->msg_control = control;
	msg->msg_controllen = sizeof(*control);
}

bool wgw_cmsg_nap(int64_t *until)
{
	if (!*until)
		*until = wgw_raw_now_ms() + IN_FLIGHT_WAIT_MS;
	if (wgw_raw_now_ms() >= *until)
		return false;
	wgw_raw_poll(NULL, 0, IN_FLIGHT_NAP_MS);
	return true;
}

ssize_t wgw_cmsg_send(int fd, const struct msghdr *msg, int flags)
{
	int64_t until = 0;
	ssize_t n;

	do
		n = wgw_raw_sendmsg(fd, msg, flags);
	while (n == -EINTR || (n == -ETOOMANYREFS && wgw_cmsg_nap(&until)));
	return n == -ETOOMANYREFS ? -ENOBUFS : n;
}

int wgw_cmsg_take(struct msghdr *msg, int *fds, int room)
{
	int n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, (const uint8_t *)c + at, sizeof(fd));
			if (n < room)
				fds[n++] = fd;
			else
				wgw_raw_close(fd);
		}
	}
	return n;
}

bool wgw_cmsg_drop(struct msghdr *msg)
{
	int fd;

	if (wgw_cmsg_take(msg, &fd, 1) == 0)
		return msg->msg_flags & MSG_CTRUNC;
	wgw_raw_close(fd);
	return true;
}

/* An int or, as IP_TOS may be, one byte. 0..255, or -1. */
static int read_octet(const struct cmsghdr *c)
{
	size_t len = c->cmsg_len - CMSG_LEN(0);
	uint8_t byte;
	int value;

	if (len == 1) {
		memcpy(&byte, CMSG_DATA(c), 1);
		return byte;
	}
	if (len != sizeof(value))
		return -1;
	memcpy(&value, CMSG_DATA(c), sizeof(value));
	return value >= 0 && value <= 255 ? value : -1;
}

static int read_ip(const struct cmsghdr *c, struct wgw_dgram *head)
{
	struct in_pktinfo info;
	int value;

	switch (c->cmsg_type) {
	case IP_PKTINFO:
		if (c->cmsg_len != CMSG_LEN(sizeof(info)))
			return -EINVAL;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		if (info.ipi_spec_dst.s_addr)
			stack_ip_set_v4(head->local_ip, &info.ipi_spec_dst);
		return 0;
	case IP_TTL:
		value = read_octet(c);
		if (value < 1)
			return -EINVAL;
		head->ttl = (uint8_t)value;
		return 0;
	case IP_TOS:
		value = read_octet(c);
		if (value < 0)
			return -EINVAL;
		head->tos = (uint8_t)value;
		return 0;
	default:
		return -EINVAL;
	}
}

static int read_ip6(const struct cmsghdr *c, struct wgw_dgram *head)
{
	struct in6_pktinfo info;
	int value;

	switch (c->cmsg_type) {
	case IPV6_PKTINFO:
		if (c->cmsg_len < CMSG_LEN(sizeof(info)))
			return -EINVAL;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		memcpy(head->local_ip, &info.ipi6_addr, 16);
		return 0;
	case IPV6_HOPLIMIT:
	case IPV6_TCLASS:
		if (c->cmsg_len != CMSG_LEN(sizeof(value)))
			return -EINVAL;
		memcpy(&value, CMSG_DATA(c), sizeof(value));
		if (value < -1 || value > 255)
			return -EINVAL;
		if (value < 0)
			return 0; /* the socket's own */
		if (c->cmsg_type == IPV6_HOPLIMIT)
			head->ttl = (uint8_t)value;
		else
			head->tos = (uint8_t)value;
		return 0;
	default:
		return -EINVAL;
	}
}

/* As __sock_cmsg_send(): nobody here may mark packets; the rest has no meaning in the tunnel. */
static int read_socket(const struct cmsghdr *c)
{
	const uint32_t stamps = SOF_TIMESTAMPING_TX_HARDWARE | SOF_TIMESTAMPING_TX_SOFTWARE |
				SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_ACK;
	const int priority_max = 6; /* beyond, only with a capability */
	uint32_t value;

	if (c->cmsg_type == SCM_RIGHTS || c->cmsg_type == SCM_CREDENTIALS)
		return 0;
	if (c->cmsg_type == SO_MARK)
		return -EPERM;
	if (c->cmsg_len != CMSG_LEN(sizeof(value)))
		return -EINVAL;
	memcpy(&value, CMSG_DATA(c), sizeof(value));
	switch (c->cmsg_type) {
	case SO_PRIORITY:
		return value <= (uint32_t)priority_max ? 0 : -EPERM;
	case SO_TIMESTAMPING:
		return value & ~stamps ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

/* CMSG_OK() of the kernel: the item is within the buffer. */
static bool is_whole(const struct msghdr *msg, const struct cmsghdr *c)
{
	size_t at = (size_t)((const uint8_t *)c - (const uint8_t *)msg->msg_control);

	return c->cmsg_len >= sizeof(*c) && c->cmsg_len <= msg->msg_controllen - at;
}

int wgw_cmsg_check_stream(const struct msghdr *msg)
{
	struct msghdr copy = *msg;
	int rc = 0;

	if (!msg->msg_control || !msg->msg_controllen)
		return 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c && rc == 0; c = CMSG_NXTHDR(&copy, c)) {
		if (!is_whole(msg, c))
			return -EINVAL;
		if (c->cmsg_level == SOL_SOCKET)
			rc = read_socket(c);
	}
	return rc;
}

/* Of level SOL_UDP there is one item. */
static int read_udp(uint64_t tag, const struct cmsghdr *c, struct wgw_dgram *head)
{
	uint16_t size;

	if (wgw_tag_kind(tag) != WGW_KIND_UDP || c->cmsg_type != UDP_SEGMENT ||
	    c->cmsg_len != CMSG_LEN(sizeof(size)))
		return -EINVAL;
	memcpy(&size, CMSG_DATA(c), sizeof(size));
	head->info = size ? size : (uint32_t)WGW_DGRAM_WHOLE;
	return 0;
}

int wgw_cmsg_read(uint64_t tag, const struct msghdr *msg, struct wgw_dgram *head, bool *any)
{
	struct msghdr copy = *msg;
	int rc = 0;

	*any = false;
	if (!msg->msg_control || !msg->msg_controllen)
		return 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c && rc == 0; c = CMSG_NXTHDR(&copy, c)) {
		if (!is_whole(msg, c))
			return -EINVAL;
		if (c->cmsg_level == SOL_SOCKET) {
			rc = read_socket(c);
			continue;
		}
		if (c->cmsg_level == IPPROTO_IPV6 && !(tag & WGW_TAG_V6))
			continue;
		if (c->cmsg_level == IPPROTO_IP)
			rc = read_ip(c, head);
		else if (c->cmsg_level == IPPROTO_IPV6)
			rc = read_ip6(c, head);
		else
			rc = c->cmsg_level == IPPROTO_UDP ? read_udp(tag, c, head) : 0;
		*any = true;
	}
	return rc;
}

void wgw_cmsg_put(struct wgw_cmsg_out *out, int level, int type, const void *data, size_t len)
{
	struct cmsghdr head = {.cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type};
	size_t used;

	if (out->left < sizeof(head)) {
		out->truncated = true;
		return;
	}
	if (out->left < head.cmsg_len) {
		out->truncated = true;
		head.cmsg_len = out->left;
	}
	memcpy(out->at, &head, sizeof(head));
	memcpy(out->at + CMSG_LEN(0), data, head.cmsg_len - CMSG_LEN(0));
	used = CMSG_ALIGN(head.cmsg_len);
	if (used > out->left)
		used = out->left;
	out->at += used;
	out->left -= used;
}

/* Which of the two interfaces a datagram came in by. */
static int interface_of(const uint8_t local_ip[16])
{
	struct stack_addr local = {0};

	memcpy(local.ip, local_ip, 16);
	return stack_addr_is_loopback(&local) ? WGW_REPR_LOOPBACK_INDEX : WGW_REPR_INTERFACE_INDEX;
}

static void write_ip(struct wgw_cmsg_out *out, uint64_t tag, const struct wgw_dgram *head)
{
	struct in_pktinfo info = {0};
	int ttl = head->ttl;

	if (tag & WGW_TAG_IP_PKTINFO) {
		info.ipi_ifindex = interface_of(head->local_ip);
		memcpy(&info.ipi_addr, head->local_ip + 12, 4);
		info.ipi_spec_dst = info.ipi_addr;
		wgw_cmsg_put(out, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	}
	if (tag & WGW_TAG_IP_TTL)
		wgw_cmsg_put(out, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
	if (tag & WGW_TAG_IP_TOS)
		wgw_cmsg_put(out, IPPROTO_IP, IP_TOS, &head->tos, 1);
}

void wgw_cmsg_write(struct wgw_cmsg_out *out, uint64_t tag, const struct wgw_dgram *head)
{
	struct in6_pktinfo info = {0};
	int ttl = head->ttl, tos = head->tos;

	if ((tag & WGW_TAG_V6) && (tag & WGW_TAG_IP6_PKTINFO)) { /* IPv4 appears mapped */
		info.ipi6_ifindex = (unsigned int)interface_of(head->local_ip);
		memcpy(&info.ipi6_addr, head->local_ip, 16);
		wgw_cmsg_put(out, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
	if (stack_ip_is_v4(head->ip)) {
		write_ip(out, tag, head);
		return;
	}
	if (tag & WGW_TAG_IP6_HOPLIMIT)
		wgw_cmsg_put(out, IPPROTO_IPV6, IPV6_HOPLIMIT, &ttl, sizeof(ttl));
	if (tag & WGW_TAG_IP6_TCLASS)
		wgw_cmsg_put(out, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	if (tag & WGW_TAG_IP6_2292HOPLIMIT)
		wgw_cmsg_put(out, IPPROTO_IPV6, IPV6_2292HOPLIMIT, &ttl, sizeof(ttl));
}
