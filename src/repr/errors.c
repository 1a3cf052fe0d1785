/* SPDX-License-Identifier: MIT */
/*
 * errors.c - the error queue of datagram sockets with IP_RECVERR or IPV6_RECVERR
 *
 * The tunnel process keeps the ICMP errors; each is asked for by WGW_OP_GETOPT of IP_RECVERR. What
 * it has sent into the socket to wake the program is taken out again.
 */
#include "src/repr/repr.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>

#include "src/repr/cmsg.h"
#include "src/repr/raw.h"

/* RFC 792, RFC 4443 */
enum {
	ICMP_UNREACHABLE = 3,
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
};

struct icmp_error {
	int err;
	uint8_t type, code;
};

/* Back from the errno to what ICMP said */
static const struct icmp_error v4_errors[] = {
	{ECONNREFUSED, ICMP_UNREACHABLE, 3},
	{EHOSTUNREACH, ICMP_UNREACHABLE, 1},
	{ENETUNREACH, ICMP_UNREACHABLE, 0},
	{EMSGSIZE, ICMP_UNREACHABLE, 4},
};
static const struct icmp_error v6_errors[] = {
	{ECONNREFUSED, ICMP6_UNREACHABLE, 4},
	{EHOSTUNREACH, ICMP6_UNREACHABLE, 3},
	{ENETUNREACH, ICMP6_UNREACHABLE, 0},
	{EMSGSIZE, ICMP6_TOO_BIG, 0},
};
enum { ERRORS = sizeof(v4_errors) / sizeof(*v4_errors) };

/* An error, and behind it the address of who said so, as ip_recv_error() lays it out. */
struct told {
	struct sock_extended_err error;
	union {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} offender;
};

static void describe(const struct wgw_dgram *head, bool v4, struct told *told, size_t *len)
{
	const struct icmp_error *table = v4 ? v4_errors : v6_errors;
	struct stack_addr from = {0};
	socklen_t from_len = sizeof(told->offender);

	memset(told, 0, sizeof(*told));
	told->error.ee_errno = head->err;
	told->error.ee_origin = v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6;
	told->error.ee_info = head->info;
	for (int i = 0; i < ERRORS; i++) {
		if ((uint32_t)table[i].err != head->err)
			continue;
		told->error.ee_type = table[i].type;
		told->error.ee_code = table[i].code;
	}
	memcpy(from.ip, head->ip, sizeof(from.ip));
	wgw_repr_addr_write(v4 ? 0 : WGW_TAG_V6, &from, &told->offender, &from_len);
	*len = sizeof(told->error) + from_len;
}

/* Takes the message out that said "an error came", if it is the next one. */
static void drop_notice(const struct wgw_repr_session *s, int fd, uint64_t tag)
{
	struct wgw_dgram head;
	ssize_t n;

	if (tag & WGW_TAG_RAW)
		return; /* a mark; reading it asks for SO_ERROR, which is cleared */
	n = wgw_raw_recv(fd, &head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
	if (n == (ssize_t)sizeof(head) &&
	    wgw_preamble_begins(s->preambles.to_app, &head, sizeof(head)) && head.err)
		wgw_raw_recv(fd, &head, sizeof(head), MSG_DONTWAIT);
}

ssize_t wgw_repr_error_queue(const struct wgw_repr_session *s, int fd, uint64_t tag,
			     struct msghdr *msg)
{
	struct wgw_cmsg_out out = {msg->msg_control, msg->msg_control ? msg->msg_controllen : 0,
				   false};
	struct stack_addr to = {0};
	struct wgw_dgram head;
	struct told told;
	struct wgw_op op;
	socklen_t len;
	size_t size;
	bool v4;

	if (!(tag & WGW_TAG_RECVERR))
		return -EAGAIN;
	wgw_repr_op_init(s, &op, WGW_OP_GETOPT, fd, tag);
	op.u.option.level = IPPROTO_IP;
	op.u.option.name = IP_RECVERR;
	if (wgw_repr_op_call(s, &op, -1) < 0 || op.u.option.len != sizeof(head))
		return -EAGAIN;
	memcpy(&head, op.u.option.value, sizeof(head));
	drop_notice(s, fd, tag);
	memcpy(to.ip, head.ip, sizeof(to.ip));
	to.port = head.port;
	v4 = stack_addr_is_v4(&to);
	describe(&head, v4, &told, &size);
	wgw_cmsg_put(&out, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, &told,
		     size);
	if (msg->msg_name) {
		len = msg->msg_namelen;
		wgw_repr_addr_write(tag, &to, msg->msg_name, &len);
		msg->msg_namelen = len;
	}
	msg->msg_controllen = msg->msg_control ? (size_t)(out.at - (uint8_t *)msg->msg_control) : 0;
	msg->msg_flags = MSG_ERRQUEUE | (out.truncated ? MSG_CTRUNC : 0);
	return 0;
}
