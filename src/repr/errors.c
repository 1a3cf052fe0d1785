/* SPDX-License-Identifier: MIT */
/*
 * errors.c - the error queue of datagram sockets with IP_RECVERR or IPV6_RECVERR
 *
 * The tunnel process keeps the ICMP errors; each is asked for by WGW_OP_GETOPT of IP_RECVERR. What
 * it has sent into the socket to wake the program is taken out again.
 */
#include "src/repr/repr.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <linux/errqueue.h>

#include "src/repr/cmsg.h"
#include "src/repr/raw.h"
#include "src/repr/scatter.h"

enum {
	NS_PER_S = 1000000000,
	NS_PER_US = 1000,
	NOTICES_MAX = 256, /* several times what the error queue holds */
};

/* An error, and behind it the address of who said so, as ip_recv_error() lays it out. */
struct told {
	struct sock_extended_err error;
	union {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} offender;
};

static void describe(const struct wgw_error *e, uint64_t tag, struct told *told, size_t *len)
{
	struct stack_addr from = {0};
	socklen_t from_len = sizeof(told->offender);

	memset(told, 0, sizeof(*told));
	told->error.ee_errno = e->head.err;
	told->error.ee_origin = e->origin;
	told->error.ee_type = e->type;
	told->error.ee_code = e->code;
	told->error.ee_info = e->head.info;
	memcpy(from.ip, e->offender, sizeof(from.ip));
	if (e->origin == SO_EE_ORIGIN_LOCAL)
		from_len =
			tag & WGW_TAG_V6 ? sizeof(told->offender.in6) : sizeof(told->offender.in);
	else
		wgw_repr_addr_write(tag, &from, &told->offender, &from_len);
	*len = sizeof(told->error) + from_len;
}

static bool is_on(int fd, int name)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return wgw_raw_getsockopt(fd, SOL_SOCKET, name, &on, &len) == 0 && on;
}

/* When the error came, if the program asked for that. */
static void write_time(struct wgw_cmsg_out *out, int fd, int64_t ns)
{
	const struct timespec at = {ns / NS_PER_S, ns % NS_PER_S};
	const struct timeval coarse = {at.tv_sec, at.tv_nsec / NS_PER_US};

	if (is_on(fd, SO_TIMESTAMPNS))
		wgw_cmsg_put(out, SOL_SOCKET, SCM_TIMESTAMPNS, &at, sizeof(at));
	else if (is_on(fd, SO_TIMESTAMP))
		wgw_cmsg_put(out, SOL_SOCKET, SCM_TIMESTAMP, &coarse, sizeof(coarse));
}

static void write_control(int fd, uint64_t tag, const struct wgw_error *e, struct msghdr *msg)
{
	const bool v6 = tag & WGW_TAG_V6;
	struct wgw_cmsg_out out = {msg->msg_control, msg->msg_control ? msg->msg_controllen : 0,
				   false};
	struct told told;
	size_t size;

	describe(e, tag, &told, &size);
	write_time(&out, fd, e->time_ns);
	if (e->origin != SO_EE_ORIGIN_LOCAL)
		wgw_cmsg_write(&out, tag, &e->head);
	wgw_cmsg_put(&out, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &told,
		     size);
	msg->msg_controllen = msg->msg_control ? (size_t)(out.at - (uint8_t *)msg->msg_control) : 0;
	msg->msg_flags = MSG_ERRQUEUE | (out.truncated ? MSG_CTRUNC : 0);
}

bool wgw_repr_error_is_next(const struct wgw_repr_session *s, int fd, uint64_t tag)
{
	struct wgw_dgram head;
	ssize_t n;

	if (tag & WGW_TAG_RAW)
		return false; /* a mark; reading it asks for SO_ERROR, which is cleared */
	n = wgw_raw_recv(fd, &head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
	return n == (ssize_t)sizeof(head) &&
	       wgw_preamble_begins(s->preambles.to_app, &head, sizeof(head)) && head.err;
}

/* Takes the messages out that said "an error came", up to the first datagram. */
static void drop_notices(const struct wgw_repr_session *s, int fd, uint64_t tag)
{
	struct wgw_dgram head;

	for (int i = 0; i < NOTICES_MAX && wgw_repr_error_is_next(s, fd, tag); i++)
		wgw_raw_recv(fd, &head, sizeof(head), MSG_DONTWAIT);
}

/* Asks for the oldest error. The bytes that it quotes, or -errno. */
static ssize_t ask(const struct wgw_repr_session *s, int fd, uint64_t tag, struct wgw_error *e,
		   uint8_t quoted[WGW_QUOTED_MAX_BYTES])
{
	struct wgw_op op;
	ssize_t n;

	wgw_repr_op_init(s, &op, WGW_OP_GETOPT, fd, tag);
	op.u.option.level = IPPROTO_IP;
	op.u.option.name = IP_RECVERR;
	n = wgw_repr_op_ask(s, &op, quoted, WGW_QUOTED_MAX_BYTES);
	if (n < 0 || op.err || op.u.option.len != sizeof(*e))
		return n == -EMFILE ? n : -EAGAIN;
	memcpy(e, op.u.option.value, sizeof(*e));
	if (e->head.err == EMSGSIZE && e->origin != SO_EE_ORIGIN_LOCAL)
		wgw_repr_mtus_forget();
	return n < WGW_QUOTED_MAX_BYTES ? n : WGW_QUOTED_MAX_BYTES;
}

ssize_t wgw_repr_error_queue(const struct wgw_repr_session *s, int fd, uint64_t tag,
			     struct msghdr *msg)
{
	uint8_t quoted[WGW_QUOTED_MAX_BYTES];
	struct stack_addr to = {0};
	struct wgw_error e;
	socklen_t len;
	size_t room;
	ssize_t n;

	if (!(tag & WGW_TAG_RECVERR))
		return -EAGAIN;
	/* first: when any are left the tunnel process then says so again, once */
	drop_notices(s, fd, tag);
	n = ask(s, fd, tag, &e, quoted);
	if (n < 0)
		return n;
	memcpy(to.ip, e.head.ip, sizeof(to.ip));
	to.port = e.head.port;
	if (msg->msg_name) {
		len = msg->msg_namelen;
		wgw_repr_addr_write(tag, &to, msg->msg_name, &len);
		msg->msg_namelen = len;
	}
	write_control(fd, tag, &e, msg);
	room = wgw_scatter_room(msg->msg_iov, msg->msg_iovlen);
	if ((size_t)n > room) {
		msg->msg_flags |= MSG_TRUNC;
		n = (ssize_t)room;
	}
	wgw_scatter_put(msg->msg_iov, msg->msg_iovlen, quoted, (size_t)n);
	return n;
}

void wgw_repr_too_large(const struct wgw_repr_session *s, int fd, uint64_t tag,
			const struct stack_addr *to, size_t mtu)
{
	struct wgw_op op;

	if (!(tag & WGW_TAG_RECVERR))
		return;
	wgw_repr_op_init(s, &op, WGW_OP_TOO_LARGE, fd, tag);
	op.u.bind.addr = wgw_repr_wire_addr(to);
	op.u.bind.flags = (uint32_t)mtu;
	wgw_repr_op_call(s, &op);
}
