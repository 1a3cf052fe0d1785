/* SPDX-License-Identifier: MIT */
/*
 * dgram.c - sending and receiving with addresses, headers and ancillary data
 *
 * With WGW_TAG_RAW a message is the payload and read(2) and write(2) need no help. Otherwise struct
 * wgw_dgram comes first, as one more iovec, so the payload is never copied here. On a socket with
 * WGW_TAG_RAW a single message can have a header all the same: a descriptor attached to it, which
 * no plain write can forge, says so. From the tunnel process such a message says that an error
 * came.
 *
 * TCP comes through here too when a program uses the calls with addresses: names and ancillary data
 * mean nothing there, and must not reach the AF_UNIX socket (SCM_RIGHTS would).
 */
#include "src/repr/repr.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <string.h>

#include "src/repr/cmsg.h"
#include "src/repr/peer_cache.h"
#include "src/repr/raw.h"

enum {
	ICMP_ECHO_REQUEST = 8,
	ICMPV6_ECHO_REQUEST = 128,
	ICMP_HEADER_BYTES = 8,
	PAYLOAD_V4_MAX_BYTES = 65507,
	PAYLOAD_V6_MAX_BYTES = 65527,
	HEADERS_V4_BYTES = 28, /* IP and UDP, or ICMP echo */
	HEADERS_V6_BYTES = 48,
	UNFRAGMENTED_BYTES = 1280 - HEADERS_V6_BYTES, /* fits into every tunnel's MTU */
	CONTROL_BYTES = 256, /* a timestamp, and a descriptor as an error mark */
};

/* ---- TCP ---- */

ssize_t wgw_repr_tcp_error(const struct wgw_repr_session *s, int fd, uint64_t tag, ssize_t n)
{
	struct wgw_label label;
	int err;

	if (n != -ECONNRESET && n != -EPIPE && n != -ENOTCONN && n != -EINVAL)
		return n;
	switch (wgw_repr_tcp_state(s, fd, tag, &label)) {
	case WGW_REPR_NEW:
	case WGW_REPR_LISTENING: /* an AF_UNIX stream says EINVAL to recv, ENOTCONN to send */
		return n == -EINVAL ? -ENOTCONN : n == -ENOTCONN ? -EPIPE : n;
	case WGW_REPR_CONNECTED:
		/* The kernel would tell of a reset to the next recv; TCP tells whoever comes first */
		if (n != -EPIPE)
			return n;
		break;
	case WGW_REPR_CONNECTING:
		return n;
	default:
		break;
	}
	err = wgw_repr_so_error(s, fd, tag);
	return err ? -err : n;
}

/* MSG_FASTOPEN: without a cookie, which we never have, it connects first. */
static int fast_open(const struct wgw_repr_session *s, int fd, uint64_t tag,
		     const struct msghdr *msg, int flags)
{
	if (!msg->msg_name)
		return -EINVAL;
	return flags & MSG_DONTWAIT
		       ? wgw_repr_connect_begin(s, fd, tag, msg->msg_name, msg->msg_namelen)
		       : wgw_repr_connect(s, fd, tag, msg->msg_name, msg->msg_namelen);
}

static ssize_t tcp_sendmsg(const struct wgw_repr_session *s, int fd, uint64_t tag,
			   const struct msghdr *msg, int flags)
{
	struct msghdr plain = {.msg_iov = msg->msg_iov, .msg_iovlen = msg->msg_iovlen};
	ssize_t n;

	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	n = wgw_cmsg_check_stream(msg);
	if (n < 0)
		return n;
	if (flags & MSG_FASTOPEN) {
		n = fast_open(s, fd, tag, msg, flags);
		if (n < 0)
			return n;
	}
	n = wgw_raw_sendmsg(fd, &plain, (flags & ~MSG_FASTOPEN) | MSG_NOSIGNAL);
	return wgw_repr_tcp_error(s, fd, tag, n);
}

static ssize_t tcp_recvmsg(const struct wgw_repr_session *s, int fd, uint64_t tag,
			   struct msghdr *msg, int flags)
{
	struct msghdr plain = {.msg_iov = msg->msg_iov, .msg_iovlen = msg->msg_iovlen};
	ssize_t n;

	if (flags & MSG_ERRQUEUE)
		return -EAGAIN;
	if (flags & MSG_OOB)
		return -EINVAL;
	n = wgw_raw_recvmsg(fd, &plain, flags & ~MSG_TRUNC);
	if (n < 0)
		return wgw_repr_tcp_error(s, fd, tag, n);
	if (n == 0 && (tag & WGW_TAG_DISSOLVED))
		return -ENOTCONN;
	msg->msg_namelen = 0;
	msg->msg_controllen = 0;
	msg->msg_flags = 0;
	return n;
}

/* ---- datagrams out ---- */

static ssize_t total_length(const struct msghdr *msg)
{
	size_t total = 0;

	if (msg->msg_iovlen > IOV_MAX)
		return -EMSGSIZE;
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		if (msg->msg_iov[i].iov_len > SSIZE_MAX - total)
			return -EINVAL;
		total += msg->msg_iov[i].iov_len;
	}
	return (ssize_t)total;
}

/* Whether the program has shut this direction, or else the tunnel process is gone. The tag is read
 * again: the shutdown may have come while we waited. */
static bool is_shut(int fd, uint64_t direction)
{
	uint64_t tag;

	return wgw_repr_tag(fd, &tag) && (tag & direction);
}

/* Sends the program's buffers after @head (NULL: bare), marked with a descriptor if @mark. */
static ssize_t send_message(int fd, const struct wgw_dgram *head, bool mark,
			    const struct msghdr *msg, int flags)
{
	size_t skip = head ? 1 : 0;
	struct iovec iov[msg->msg_iovlen + 1];
	struct msghdr out = {.msg_iov = iov, .msg_iovlen = msg->msg_iovlen + skip};
	union wgw_fd_control control;
	ssize_t n;

	if (mark)
		wgw_cmsg_attach(&out, &control, fd);

	if (head)
		iov[0] = (struct iovec){(void *)head, sizeof(*head)};
	if (msg->msg_iovlen)
		memcpy(iov + skip, msg->msg_iov, msg->msg_iovlen * sizeof(*iov));
	n = wgw_raw_sendmsg(fd, &out, flags | MSG_NOSIGNAL);
	if (n == -EPIPE || n == -ECONNRESET || n == -ENOTCONN)
		return is_shut(fd, WGW_TAG_SHUT_WR) ? -EPIPE : -ENETDOWN;
	if (n < 0 || !head)
		return n;
	return n - (ssize_t)sizeof(*head);
}

/* Where the program sends to, with Linux's checks. 1: an address was given, 0: none. */
static int read_destination(uint64_t tag, const struct msghdr *msg, struct stack_addr *to)
{
	struct sockaddr_storage copy = {0};
	int rc;

	if (!msg->msg_name || !msg->msg_namelen)
		return 0;
	if (msg->msg_namelen < sizeof(sa_family_t) || msg->msg_namelen > sizeof(copy))
		return -EINVAL;
	memcpy(&copy, msg->msg_name, msg->msg_namelen);
	if (copy.ss_family == AF_UNSPEC) {
		if (tag & WGW_TAG_V6)
			return 0;
		copy.ss_family = AF_INET;
	}
	rc = wgw_repr_addr_read(tag, &copy, msg->msg_namelen, to);
	if (rc < 0)
		return rc;
	if (to->port == 0 && wgw_tag_kind(tag) == WGW_KIND_UDP)
		return -EINVAL;
	if (stack_addr_is_any(to)) { /* this host */
		if (stack_addr_is_v4(to))
			to->ip[12] = 127;
		to->ip[15] = 1;
	}
	return 1;
}

enum form {
	FORM_BARE,
	FORM_HEADED,
	FORM_MARKED, /* headed, on a socket with WGW_TAG_RAW */
};

/* What Linux checks before it sends @total bytes by a path with @mtu: udp_send_skb() and
 * __ip_append_data(). */
static int check_size(uint64_t tag, const struct stack_addr *to, const struct wgw_dgram *head,
		      size_t total, size_t mtu)
{
	bool v4 = stack_addr_is_v4(to);
	bool split = head->info && head->info != (uint32_t)WGW_DGRAM_WHOLE;
	size_t largest = mtu - (v4 ? HEADERS_V4_BYTES : HEADERS_V6_BYTES);

	if (split && (head->info < total ? head->info : total) > largest)
		return -EMSGSIZE;
	if (split && total > (size_t)head->info * WGW_SEGMENTS_MAX)
		return -EINVAL;
	if (!split && total > largest && (tag & (v4 ? WGW_TAG_DONTFRAG4 : WGW_TAG_DONTFRAG6)))
		return -EMSGSIZE;
	return 0;
}

/* Decides how to send @total bytes, and completes the header. enum form or -errno. */
static int prepare_header(const struct wgw_repr_session *s, int fd, uint64_t tag,
			  const struct msghdr *msg, size_t total, struct wgw_dgram *head)
{
	bool fits = total <= UNFRAGMENTED_BYTES || !(tag & (WGW_TAG_DONTFRAG4 | WGW_TAG_DONTFRAG6));
	struct stack_addr to, peer;
	bool ancillary, bare = false;
	int given = read_destination(tag, msg, &to);
	int rc;

	if (given < 0)
		return given;
	if (!given && !(tag & WGW_TAG_CONNECTED))
		return -EDESTADDRREQ;
	rc = wgw_cmsg_read(tag, msg, head, &ancillary);
	if (rc < 0)
		return rc;
	if ((tag & WGW_TAG_RAW) && !ancillary && !given && fits)
		return FORM_BARE;
	if (tag & WGW_TAG_CONNECTED) {
		rc = wgw_repr_peer(s, fd, tag, &peer);
		if (rc < 0)
			return rc;
		if (!given)
			to = peer;
		bare = (tag & WGW_TAG_RAW) && !ancillary && stack_addr_equal(&to, &peer);
		if (bare && fits)
			return FORM_BARE;
	}
	rc = wgw_repr_may_send(s, fd, tag, &to, head->local_ip);
	if (rc > 0)
		rc = check_size(tag, &to, head, total, (size_t)rc);
	if (rc < 0)
		return rc;
	if (bare)
		return FORM_BARE;
	memcpy(head->ip, to.ip, sizeof(head->ip));
	head->port = to.port;
	return tag & WGW_TAG_RAW ? FORM_MARKED : FORM_HEADED;
}

/* A ping socket sends nothing else: ping_supported() in net/ipv4/ping.c. */
static bool is_echo_request(uint64_t tag, const struct msghdr *msg, size_t total)
{
	const uint8_t request = tag & WGW_TAG_V6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO_REQUEST;
	uint8_t head[2];
	size_t at = 0;

	if (total < ICMP_HEADER_BYTES)
		return false;
	for (size_t i = 0; i < msg->msg_iovlen && at < sizeof(head); i++) {
		const uint8_t *piece = msg->msg_iov[i].iov_base;

		for (size_t j = 0; j < msg->msg_iov[i].iov_len && at < sizeof(head); j++)
			head[at++] = piece[j];
	}
	return head[0] == request && head[1] == 0;
}

ssize_t wgw_repr_sendmsg(const struct wgw_repr_session *s, int fd, uint64_t tag,
			 const struct msghdr *msg, int flags)
{
	struct wgw_dgram head = {.magic = WGW_WIRE_MAGIC};
	ssize_t total;
	int form;

	if (wgw_tag_kind(tag) == WGW_KIND_TCP)
		return tcp_sendmsg(s, fd, tag, msg, flags);
	if (flags & (MSG_OOB | MSG_MORE)) /* a part of a datagram has no form here: see UDP_CORK */
		return -EOPNOTSUPP;
	total = total_length(msg);
	if (total < 0)
		return total;
	if (wgw_tag_kind(tag) == WGW_KIND_PING && !is_echo_request(tag, msg, (size_t)total))
		return -EINVAL;
	form = prepare_header(s, fd, tag, msg, (size_t)total, &head);
	if (form < 0)
		return form;
	if (total > (tag & WGW_TAG_V6 ? PAYLOAD_V6_MAX_BYTES : PAYLOAD_V4_MAX_BYTES))
		return -EMSGSIZE;
	return send_message(fd, form == FORM_BARE ? NULL : &head, form == FORM_MARKED, msg,
			    flags & (MSG_DONTWAIT | MSG_NOSIGNAL));
}

/* ---- datagrams in ---- */

/**
 * struct incoming - one message as it came from the AF_UNIX socket
 * @head:	Its header; for bare payload the peer and nothing else
 * @len:	Payload bytes, more than the buffers held only with MSG_TRUNC
 * @flags:	MSG_TRUNC or 0
 * @marked:	It carried a descriptor: an error, see wire.h
 */
struct incoming {
	struct wgw_dgram head;
	ssize_t len;
	int flags;
	bool marked;
	alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES];
	size_t control_len;
};

/* Closes descriptors that came along. */
static void take_descriptors(struct incoming *in, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		in->marked = true;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, (const uint8_t *)c + at, sizeof(fd));
			wgw_raw_close(fd);
		}
	}
}

enum { NOTHING_MORE = 1 };

/* The end of a datagram socket: its shutdown, as __skb_wait_for_more_packets() in net/core/datagram.c
 * tells it, or the tunnel process is gone. NOTHING_MORE or -errno. */
static int end_of(const struct wgw_repr_session *s, int fd, uint64_t tag, int flags)
{
	int err;

	if (!is_shut(fd, WGW_TAG_SHUT_RD))
		return -ENETDOWN;
	err = wgw_repr_so_error(s, fd, tag);
	if (err)
		return -err;
	return flags & MSG_DONTWAIT || wgw_repr_nonblocking(fd) ? -EAGAIN : NOTHING_MORE;
}

/* Receives one message. Returns 0, NOTHING_MORE or -errno. */
static int receive(const struct wgw_repr_session *s, int fd, uint64_t tag, const struct msghdr *msg,
		   int flags, struct incoming *in)
{
	size_t skip = tag & WGW_TAG_RAW ? 0 : 1;
	struct iovec iov[msg->msg_iovlen + 1];
	sa_family_t sender; /* the tunnel process's end has a name; the end of file has none */
	struct msghdr from = {.msg_name = &sender,
			      .msg_namelen = sizeof(sender),
			      .msg_iov = iov,
			      .msg_iovlen = msg->msg_iovlen + skip,
			      .msg_control = in->control,
			      .msg_controllen = sizeof(in->control)};
	ssize_t n;

	if (skip)
		iov[0] = (struct iovec){&in->head, sizeof(in->head)};
	if (msg->msg_iovlen)
		memcpy(iov + skip, msg->msg_iov, msg->msg_iovlen * sizeof(*iov));
	n = wgw_raw_recvmsg(fd, &from, flags | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return n == -ECONNRESET ? -ENETDOWN : (int)n;
	in->marked = false;
	in->control_len = from.msg_controllen;
	take_descriptors(in, &from);
	in->flags = from.msg_flags & MSG_TRUNC;
	in->len = n - (ssize_t)(skip * sizeof(in->head));
	return n == 0 && from.msg_namelen == 0 ? end_of(s, fd, tag, flags) : 0;
}

/* An error message was only looked at: take it out of the queue. */
static void drop_message(int fd)
{
	char byte;

	wgw_raw_recv(fd, &byte, 1, MSG_DONTWAIT);
}

/* What an error mark means to this program: -errno, or 0 when Linux would not tell. */
static int error_of(const struct wgw_repr_session *s, int fd, uint64_t tag,
		    const struct incoming *in)
{
	/* The error queue may have told of it meanwhile, or SO_ERROR */
	if (tag & (WGW_TAG_RAW | WGW_TAG_RECVERR))
		return -wgw_repr_so_error(s, fd, tag);
	return tag & WGW_TAG_CONNECTED ? -(int)in->head.err : 0;
}

static void write_control(uint64_t tag, struct incoming *in, struct msghdr *msg)
{
	struct wgw_cmsg_out out = {msg->msg_control, msg->msg_control ? msg->msg_controllen : 0,
				   false};
	struct msghdr from = {.msg_control = in->control, .msg_controllen = in->control_len};

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&from); c; c = CMSG_NXTHDR(&from, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type != SCM_RIGHTS)
			wgw_cmsg_put(&out, c->cmsg_level, c->cmsg_type, CMSG_DATA(c),
				     c->cmsg_len - CMSG_LEN(0));
	}
	if (!(tag & WGW_TAG_RAW))
		wgw_cmsg_write(&out, tag, &in->head);
	msg->msg_controllen = msg->msg_control ? (size_t)(out.at - (uint8_t *)msg->msg_control) : 0;
	msg->msg_flags = in->flags | (out.truncated ? MSG_CTRUNC : 0);
}

static int write_name(const struct wgw_repr_session *s, int fd, uint64_t tag,
		      const struct incoming *in, struct msghdr *msg)
{
	struct stack_addr from = {.port = in->head.port};
	socklen_t len = msg->msg_namelen;
	int rc;

	if (!msg->msg_name) {
		msg->msg_namelen = 0;
		return 0;
	}
	memcpy(from.ip, in->head.ip, sizeof(from.ip));
	if (tag & WGW_TAG_RAW) {
		rc = wgw_repr_peer(s, fd, tag, &from);
		if (rc < 0)
			return rc;
	}
	rc = wgw_repr_addr_write(tag, &from, msg->msg_name, &len);
	if (rc == 0)
		msg->msg_namelen = len;
	return rc;
}

ssize_t wgw_repr_recvmsg(const struct wgw_repr_session *s, int fd, uint64_t tag, struct msghdr *msg,
			 int flags)
{
	struct incoming in = {.len = 0};
	bool error;
	int rc;

	if (wgw_tag_kind(tag) == WGW_KIND_TCP)
		return tcp_recvmsg(s, fd, tag, msg, flags);
	if (flags & MSG_ERRQUEUE)
		return wgw_repr_error_queue(s, fd, tag, msg);
	flags &= ~MSG_OOB;
	if (msg->msg_iovlen > IOV_MAX)
		return -EMSGSIZE;
	for (;;) {
		rc = receive(s, fd, tag, msg, flags & ~MSG_CMSG_CLOEXEC, &in);
		if (rc == NOTHING_MORE) {
			msg->msg_namelen = 0;
			msg->msg_controllen = 0;
			msg->msg_flags = 0;
			return 0;
		}
		if (rc < 0)
			return rc;
		error = tag & WGW_TAG_RAW ? in.marked : in.len < 0 || in.head.err;
		if (!error)
			break;
		if (flags & MSG_PEEK)
			drop_message(fd);
		rc = in.len < 0 ? 0 : error_of(s, fd, tag, &in);
		if (rc < 0)
			return rc;
	}
	rc = write_name(s, fd, tag, &in, msg);
	if (rc < 0)
		return rc;
	write_control(tag, &in, msg);
	return in.len;
}

/* As inet_shutdown(): without a peer it is ENOTCONN, and done. */
static int dgram_shutdown(const struct wgw_repr_session *s, int fd, uint64_t tag, int how)
{
	uint64_t shut =
		(how != SHUT_WR ? WGW_TAG_SHUT_RD : 0) | (how != SHUT_RD ? WGW_TAG_SHUT_WR : 0);
	struct wgw_op op;
	int rc;

	wgw_repr_op_init(s, &op, WGW_OP_SHUTDOWN, fd, tag);
	op.u.option.len = sizeof(how);
	memcpy(op.u.option.value, &how, sizeof(how));
	rc = wgw_repr_op_call(s, &op, -1);
	if (rc < 0 && rc != -ENOTCONN)
		return rc;
	wgw_repr_tag_change(fd, shut, 0);
	if (how != SHUT_WR)
		wgw_raw_shutdown(fd, SHUT_RD);
	return rc;
}

/* As inet_shutdown() of a listener, which disconnects it. An AF_UNIX listener that was shut down does not
 * listen again, so listen() and connect() take another socket: wgw_repr_again(). */
static int listener_shutdown(const struct wgw_repr_session *s, int fd, uint64_t tag, int how)
{
	struct wgw_op op;
	int rc;

	if (how == SHUT_WR)
		return 0;
	wgw_repr_op_init(s, &op, WGW_OP_SHUTDOWN, fd, tag);
	op.u.option.len = sizeof(how);
	memcpy(op.u.option.value, &how, sizeof(how));
	rc = wgw_repr_op_call(s, &op, -1);
	if (rc == 0)
		rc = wgw_repr_tag_change(fd, WGW_TAG_WAS_LISTENER, WGW_TAG_LISTENING);
	return rc < 0 ? rc : wgw_raw_shutdown(fd, SHUT_RDWR);
}

int wgw_repr_shutdown(const struct wgw_repr_session *s, int fd, uint64_t tag, int how)
{
	struct wgw_label label;

	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	if (wgw_tag_kind(tag) == WGW_KIND_TCP) {
		enum wgw_repr_tcp_state state = wgw_repr_tcp_state(s, fd, tag, &label);

		if (state == WGW_REPR_NEW || state == WGW_REPR_FAILED || state == WGW_REPR_LOST)
			return -ENOTCONN;
		if (state == WGW_REPR_LISTENING)
			return listener_shutdown(s, fd, tag, how);
		return wgw_raw_shutdown(fd, how);
	}
	return dgram_shutdown(s, fd, tag, how);
}
