/* SPDX-License-Identifier: MIT */
/*
 * dgram.c - sending with addresses, headers and ancillary data; both ways of TCP
 *
 * To the peer of a connected socket a message is the payload and nothing else, unless it says more
 * than that. Otherwise struct wgw_dgram comes first, as one more iovec, so the payload is never
 * copied here. dgram_in.c receives.
 *
 * TCP comes through here too when a program uses the calls with addresses: names and ancillary data
 * mean nothing there, and must not reach the AF_UNIX socket (SCM_RIGHTS would).
 */
#include "src/repr/dgram.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>

#include "src/repr/cmsg.h"
#include "src/repr/peer_cache.h"
#include "src/repr/raw.h"
#include "src/repr/scatter.h"

enum {
	ICMP_ECHO_REQUEST = 8,
	ICMPV6_ECHO_REQUEST = 128,
	ICMP_HEADER_BYTES = 8,
	PAYLOAD_V4_MAX_BYTES = 65507,
	PAYLOAD_V6_MAX_BYTES = 65527,
	HEADERS_V4_BYTES = 28, /* IP and UDP, or ICMP echo */
	HEADERS_V6_BYTES = 48,
	UNFRAGMENTED_BYTES = 1280 - HEADERS_V6_BYTES, /* fits into every tunnel's MTU */
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
		/* The kernel would tell of a reset to the next recv; TCP tells whoever comes
		 * first */
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

ssize_t wgw_repr_tcp_read_end(const struct wgw_repr_session *s, int fd, uint64_t tag, ssize_t n)
{
	if (n < 0)
		return wgw_repr_tcp_error(s, fd, tag, n);
	return n == 0 && (tag & WGW_TAG_DISSOLVED) ? -ENOTCONN : n;
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
	n = wgw_repr_tcp_read_end(s, fd, tag, wgw_raw_recvmsg(fd, &plain, flags & ~MSG_TRUNC));
	if (n < 0)
		return n;
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

bool wgw_dgram_is_shut(int fd, uint64_t direction)
{
	uint64_t tag;

	return wgw_repr_tag(fd, &tag) && (tag & direction);
}

int wgw_repr_dgram_lost(const struct wgw_repr_session *s, int fd)
{
	struct wgw_dgram head;
	ssize_t n = wgw_raw_recv(fd, &head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);

	return n == (ssize_t)sizeof(head) && head.err == ENOBUFS &&
			       wgw_preamble_begins(s->preambles.to_app, &head, sizeof(head))
		       ? -ENOBUFS
		       : -ENETDOWN;
}

/* The errno of a send that the kernel has answered with @n. */
static ssize_t send_error(const struct wgw_repr_session *s, int fd, ssize_t n)
{
	if (n == -EPIPE || n == -ECONNRESET || n == -ENOTCONN)
		return wgw_dgram_is_shut(fd, WGW_TAG_SHUT_WR) ? -EPIPE : wgw_repr_dgram_lost(s, fd);
	return n;
}

/* Sends the program's buffers after @head (NULL: bare). */
static ssize_t send_message(const struct wgw_repr_session *s, int fd, const struct wgw_dgram *head,
			    const struct msghdr *msg, int flags)
{
	size_t skip = head ? 1 : 0;
	struct iovec iov[msg->msg_iovlen + 1];
	struct msghdr out = {.msg_iov = iov, .msg_iovlen = msg->msg_iovlen + skip};
	ssize_t n;

	if (head)
		iov[0] = (struct iovec){(void *)head, sizeof(*head)};
	if (msg->msg_iovlen)
		memcpy(iov + skip, msg->msg_iov, msg->msg_iovlen * sizeof(*iov));
	n = wgw_raw_sendmsg(fd, &out, flags | MSG_NOSIGNAL);
	if (n < 0)
		return send_error(s, fd, n);
	return head ? n - (ssize_t)sizeof(*head) : n;
}

/* Where the program sends to, with Linux's checks. 1: an address was given, 0: none. */
static int read_destination(uint64_t tag, const struct msghdr *msg, struct stack_addr *to)
{
	struct sockaddr_storage copy = {0};
	socklen_t len = msg->msg_namelen;
	int rc;

	if (!msg->msg_name || !len)
		return 0;
	if (len < sizeof(sa_family_t) || (int)len < 0)
		return -EINVAL;
	if (len > sizeof(copy)) /* as __copy_msghdr(); sendto(2) refuses it */
		len = sizeof(copy);
	memcpy(&copy, msg->msg_name, len);
	if (copy.ss_family == AF_UNSPEC) {
		if (tag & WGW_TAG_V6)
			return 0;
		copy.ss_family = AF_INET;
	}
	rc = wgw_repr_addr_read(tag, &copy, len, to);
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
};

/* Whether payload would be taken for a message with a header. */
static bool looks_headed(const struct wgw_repr_session *s, const struct iovec *iov, size_t n)
{
	uint8_t first[WGW_PREAMBLE_BYTES];

	return wgw_preamble_begins(s->preambles.to_tunnel, first,
				   wgw_scatter_peek(iov, n, first, sizeof(first)));
}

/* What the socket goes by. */
static size_t mtu_of(uint64_t tag, const struct stack_addr *to, const struct wgw_repr_mtus *mtus)
{
	const uint64_t probes = stack_addr_is_v4(to) ? WGW_TAG_PROBE4 : WGW_TAG_PROBE6;

	return tag & probes ? mtus->tunnel : mtus->path;
}

/* Whether it leaves as several datagrams. */
static bool is_split(const struct wgw_dgram *head)
{
	return head->info && head->info != (uint32_t)WGW_DGRAM_WHOLE;
}

/* What Linux checks before it sends @total bytes by a path with @mtu: udp_send_skb() and
 * __ip_append_data(). */
static int check_size(uint64_t tag, const struct stack_addr *to, const struct wgw_dgram *head,
		      size_t total, size_t mtu)
{
	bool v4 = stack_addr_is_v4(to);
	bool split = is_split(head);
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
	struct wgw_repr_mtus mtus;
	bool plain, ancillary, measured, bare = false;
	int given = read_destination(tag, msg, &to);
	int rc;

	if (given < 0)
		return given;
	if (!given && !(tag & WGW_TAG_CONNECTED))
		return -EDESTADDRREQ;
	rc = wgw_cmsg_read(tag, msg, head, &ancillary);
	if (rc < 0)
		return rc;
	plain = !ancillary && !looks_headed(s, msg->msg_iov, msg->msg_iovlen);
	if (plain && !given && fits)
		return FORM_BARE;
	if (tag & WGW_TAG_CONNECTED) {
		rc = wgw_repr_peer(s, fd, tag, &peer);
		if (rc < 0)
			return rc;
		if (!given)
			to = peer;
		bare = plain && stack_addr_equal(&to, &peer);
		if (bare && fits)
			return FORM_BARE;
	}
	measured = !fits || is_split(head);
	rc = wgw_repr_may_send(s, fd, tag, &to, head->local_ip, measured ? &mtus : NULL);
	if (rc < 0)
		return rc;
	rc = measured ? check_size(tag, &to, head, total, mtu_of(tag, &to, &mtus)) : 0;
	if (rc == -EMSGSIZE && !is_split(head)) {
		size_t mtu = mtu_of(tag, &to, &mtus);

		if (stack_addr_is_v4(&to)) /* __ip_append_data() names the peer's port */
			to.port = tag & WGW_TAG_CONNECTED ? peer.port : 0;
		wgw_repr_too_large(s, fd, tag, &to, mtu);
	}
	if (rc < 0)
		return rc;
	if (bare)
		return FORM_BARE;
	memcpy(head->ip, to.ip, sizeof(head->ip));
	head->port = to.port;
	memcpy(head->preamble, s->preambles.to_tunnel, sizeof(head->preamble));
	return FORM_HEADED;
}

/* A ping socket sends nothing else: ping_supported() in net/ipv4/ping.c. */
static bool is_echo_request(uint64_t tag, const struct msghdr *msg, size_t total)
{
	const uint8_t request = tag & WGW_TAG_V6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO_REQUEST;
	uint8_t head[2];

	return total >= ICMP_HEADER_BYTES &&
	       wgw_scatter_peek(msg->msg_iov, msg->msg_iovlen, head, sizeof(head)) ==
		       sizeof(head) &&
	       head[0] == request && head[1] == 0;
}

ssize_t wgw_repr_sendmsg(const struct wgw_repr_session *s, int fd, uint64_t tag,
			 const struct msghdr *msg, int flags)
{
	struct wgw_dgram head = {0};
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
	return send_message(s, fd, form == FORM_BARE ? NULL : &head, msg,
			    flags & (MSG_DONTWAIT | MSG_NOSIGNAL));
}

bool wgw_repr_is_sent_unasked(const struct wgw_repr_session *s, const struct iovec *iov, size_t n,
			      bool dontfrag)
{
	const struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n};
	ssize_t total = total_length(&msg);

	return total >= 0 && total <= (dontfrag ? UNFRAGMENTED_BYTES : PAYLOAD_V4_MAX_BYTES) &&
	       !looks_headed(s, iov, n);
}

ssize_t wgw_repr_send_unasked(const struct wgw_repr_session *s, int fd, const struct iovec *iov,
			      size_t n_iov, int flags, wgw_repr_ask *ask)
{
	const struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n_iov};
	ssize_t n = n_iov == 1 ? wgw_raw_send(fd, iov->iov_base, iov->iov_len, flags | MSG_NOSIGNAL)
			       : wgw_raw_sendmsg(fd, &msg, flags | MSG_NOSIGNAL);
	uint64_t tag;

	if (n >= 0 || n == -EAGAIN || n == -EINTR || !ask(fd, &tag))
		return n;
	return wgw_tag_kind(tag) == WGW_KIND_TCP ? wgw_repr_tcp_error(s, fd, tag, n)
						 : send_error(s, fd, n);
}

ssize_t wgw_repr_recvmsg(const struct wgw_repr_session *s, int fd, uint64_t tag, struct msghdr *msg,
			 int flags)
{
	if (wgw_tag_kind(tag) == WGW_KIND_TCP)
		return tcp_recvmsg(s, fd, tag, msg, flags);
	if (flags & MSG_ERRQUEUE)
		return wgw_repr_error_queue(s, fd, tag, msg);
	return wgw_dgram_recv(s, fd, tag, msg, flags);
}

/* ---- shutdown ---- */

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
	rc = wgw_repr_op_about(s, &op, fd);
	if (rc < 0 && rc != -ENOTCONN)
		return rc;
	wgw_repr_tag_change(fd, shut, 0);
	if (how != SHUT_WR)
		wgw_raw_shutdown(fd, SHUT_RD);
	return rc;
}

/* As inet_shutdown() of a listener, which disconnects it. An AF_UNIX listener that was shut down
 * does not listen again, so listen() and connect() take another socket: wgw_repr_again(). */
static int listener_shutdown(const struct wgw_repr_session *s, int fd, uint64_t tag, int how)
{
	struct wgw_op op;
	int rc;

	if (how == SHUT_WR)
		return 0;
	wgw_repr_op_init(s, &op, WGW_OP_SHUTDOWN, fd, tag);
	op.u.option.len = sizeof(how);
	memcpy(op.u.option.value, &how, sizeof(how));
	rc = wgw_repr_op_call(s, &op);
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
