/* SPDX-License-Identifier: MIT */
/*
 * dgram_in.c - receiving datagrams, with and without headers
 *
 * A message says itself whether it starts with struct wgw_dgram (wire.h). What the tag says is
 * where the header is expected: in a buffer of its own before the program's, or nowhere. A message
 * of the other form came because another process, or thread, has changed the socket while this one
 * was on its way here or waited; then the bytes are moved. For that, a spare buffer lies behind
 * the program's.
 *
 * wgw_repr_recv_unasked() does not even look at the tag. What lies at the number may then be any
 * descriptor at all, so there is no spare buffer: of a stream it would take bytes that the program
 * has not asked for. It makes one call, which takes from a descriptor what read(2) does. A datagram
 * that was cut for the lack of it is dropped, as datagrams may be.
 */
#include "src/repr/dgram.h"

#include <errno.h>
#include <limits.h>
#include <stdalign.h>
#include <string.h>

#include "src/repr/cmsg.h"
#include "src/repr/peer_cache.h"
#include "src/repr/raw.h"
#include "src/repr/scatter.h"

enum { CONTROL_BYTES = 256 }; /* a timestamp, and a descriptor as an error mark */

static_assert(sizeof(struct wgw_dgram) <= WGW_SCATTER_MAX_BYTES, "a header can be moved");

/* Where our own buffer lies among the program's. */
enum spare {
	SPARE_NONE,
	SPARE_FRONT,
	SPARE_BEHIND,
};

/**
 * struct incoming - one message as it came from the AF_UNIX socket
 * @head:	Its header
 * @len:	Payload bytes, more than the buffers held only with MSG_TRUNC
 * @flags:	MSG_TRUNC or 0
 * @headed:	It had a header
 * @marked:	It carried a descriptor: an error, see wire.h
 * @named:	Its sender has a name: the tunnel process's end has one, the end of file has none
 * @cut:	Of a message with a header some is missing that the program had room for
 */
struct incoming {
	struct wgw_dgram head;
	ssize_t len;
	int flags;
	bool headed, marked, named, cut;
	alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES];
	size_t control_len;
};

/* Receives one message into the program's buffers and @in->head. The bytes it had, or -errno. */
static ssize_t take(int fd, enum spare spare, const struct msghdr *msg, int flags,
		    struct incoming *in)
{
	size_t front = spare == SPARE_FRONT ? 1 : 0;
	struct iovec iov[msg->msg_iovlen + 1];
	sa_family_t sender;
	struct msghdr from = {.msg_name = &sender,
			      .msg_namelen = sizeof(sender),
			      .msg_iov = iov,
			      .msg_iovlen = msg->msg_iovlen + (spare != SPARE_NONE),
			      .msg_control = in->control,
			      .msg_controllen = sizeof(in->control)};
	ssize_t n;

	if (msg->msg_iovlen)
		memcpy(iov + front, msg->msg_iov, msg->msg_iovlen * sizeof(*iov));
	iov[front ? 0 : msg->msg_iovlen] = (struct iovec){&in->head, sizeof(in->head)};
	n = wgw_raw_recvmsg(fd, &from, flags | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return n;
	in->control_len = from.msg_controllen;
	in->marked = wgw_cmsg_drop(&from);
	in->named = from.msg_namelen != 0;
	in->flags = from.msg_flags & MSG_TRUNC;
	return n;
}

/* Payload lies where the header was expected: puts it before the rest. */
static void move_back(const struct msghdr *msg, size_t n, struct incoming *in)
{
	struct wgw_dgram first = in->head;
	size_t by = n < sizeof(first) ? n : sizeof(first);

	wgw_scatter_push(msg->msg_iov, msg->msg_iovlen, n - by, &first, by);
}

/* The header lies in the program's buffers, and the end of the payload perhaps in the spare one. */
static void move_up(const struct msghdr *msg, enum spare spare, size_t n, struct incoming *in)
{
	struct iovec iov[msg->msg_iovlen + 1];
	size_t count = msg->msg_iovlen;
	struct wgw_dgram head, end = in->head;

	if (count)
		memcpy(iov, msg->msg_iov, count * sizeof(*iov));
	if (spare == SPARE_BEHIND)
		iov[count++] = (struct iovec){&end, sizeof(end)};
	memset(&head, 0, sizeof(head));
	wgw_scatter_peek(iov, count, &head, sizeof(head));
	wgw_scatter_cut(iov, count, n, sizeof(head));
	in->head = head;
}

static bool begins(const struct wgw_repr_session *s, const struct msghdr *msg, enum spare spare,
		   size_t n, const struct incoming *in)
{
	uint8_t first[WGW_PREAMBLE_BYTES];
	size_t have;

	if (n < sizeof(first))
		return false;
	if (spare == SPARE_FRONT)
		return wgw_preamble_begins(s->preambles.to_app, &in->head, n);
	have = wgw_scatter_peek(msg->msg_iov, msg->msg_iovlen, first, sizeof(first));
	if (have < sizeof(first) && spare == SPARE_BEHIND)
		memcpy(first + have, &in->head, sizeof(first) - have);
	else if (have < sizeof(first))
		return false;
	return wgw_preamble_begins(s->preambles.to_app, first, sizeof(first));
}

/* Completes @in and puts payload where it belongs. @n: as take() returned it; @flags: as it was
 * asked. */
static void sort(const struct wgw_repr_session *s, const struct msghdr *msg, enum spare spare,
		 int flags, size_t n, struct incoming *in)
{
	size_t room = wgw_scatter_room(msg->msg_iov, msg->msg_iovlen);
	size_t held = room + (spare == SPARE_NONE ? 0 : sizeof(in->head));
	size_t here = n < held ? n : held;

	in->len = (ssize_t)n;
	in->headed = begins(s, msg, spare, here, in);
	in->cut = in->headed && spare == SPARE_NONE && in->flags;
	if (in->headed) {
		in->len -= (ssize_t)sizeof(in->head);
		if (spare != SPARE_FRONT)
			move_up(msg, spare, here, in);
		return;
	}
	if (spare == SPARE_FRONT)
		move_back(msg, here, in);
	if (n > room) {
		in->flags = MSG_TRUNC;
		in->len = (ssize_t)(flags & MSG_TRUNC ? n : room);
	}
}

enum {
	NOTHING_MORE = 1,
	DROPPED = 2,
};

/* The end of a datagram socket: its shutdown, as __skb_wait_for_more_packets() in
 * net/core/datagram.c tells it, or the tunnel process is gone. NOTHING_MORE or -errno. */
static int end_of(const struct wgw_repr_session *s, int fd, uint64_t tag, int flags)
{
	int err;

	if (!wgw_dgram_is_shut(fd, WGW_TAG_SHUT_RD))
		return -ENETDOWN;
	err = wgw_repr_so_error(s, fd, tag);
	if (err)
		return -err;
	return flags & MSG_DONTWAIT || wgw_repr_nonblocking(fd) ? -EAGAIN : NOTHING_MORE;
}

/* What an error means to this program: -errno, or DROPPED when Linux would not tell. */
static int error_of(const struct wgw_repr_session *s, int fd, uint64_t tag,
		    const struct incoming *in)
{
	int err = 0;

	/* The error queue may have told of it meanwhile, or SO_ERROR */
	if (in->marked || (tag & WGW_TAG_RECVERR))
		err = wgw_repr_so_error(s, fd, tag);
	else if (tag & WGW_TAG_CONNECTED || in->head.err == ENOBUFS) /* it has no room for us */
		err = (int)in->head.err;
	if (err == EMSGSIZE)
		wgw_repr_mtus_forget();
	return err ? -err : DROPPED;
}

/* What a message is to the program: 0, a datagram; NOTHING_MORE, DROPPED or -errno. */
static int judge(const struct wgw_repr_session *s, int fd, uint64_t *tag, int flags,
		 const struct incoming *in)
{
	if (in->len == 0 && !in->headed && !in->named)
		return end_of(s, fd, *tag, flags);
	if (in->headed == !!(*tag & WGW_TAG_RAW)) /* it has changed since */
		wgw_repr_tag(fd, tag);
	if (in->marked)
		return error_of(s, fd, *tag, in);
	if (!in->headed) /* without a peer nobody could say where it came from, should one want to know */
		return *tag & (WGW_TAG_CONNECTED | WGW_TAG_RAW) ? 0 : DROPPED;
	if (in->len < 0 || in->cut)
		return DROPPED;
	return in->head.err ? error_of(s, fd, *tag, in) : 0;
}

/* A message that the program is not to see was only looked at: takes it out of the queue. */
static void drop_message(int fd)
{
	char byte;

	wgw_raw_recv(fd, &byte, 1, MSG_DONTWAIT);
}

int wgw_repr_pending_error(const struct wgw_repr_session *s, int fd, wgw_repr_ask *ask)
{
	struct wgw_dgram head;
	struct iovec iov = {&head, sizeof(head)};
	const struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct incoming in;
	ssize_t n = take(fd, SPARE_NONE, &msg, MSG_PEEK | MSG_DONTWAIT, &in);
	uint64_t tag;
	int err;

	if (n < 0)
		return 0;
	if (!in.marked && !(n == (ssize_t)sizeof(head) &&
			    begins(s, &msg, SPARE_NONE, (size_t)n, &in) && head.err))
		return 0;
	if (!ask(fd, &tag) || wgw_tag_kind(tag) != WGW_KIND_UDP || (tag & WGW_TAG_RECVERR) ||
	    !(tag & WGW_TAG_CONNECTED))
		return 0;
	/* first: while the tunnel process is asked, another thread may come to what is behind it */
	drop_message(fd);
	err = wgw_repr_so_error(s, fd, tag);
	return err > 0 ? -err : 0;
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
	if (in->headed)
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

	/* another thread may have changed the socket back since it was asked who sends */
	if (!msg->msg_name || !(in->headed || tag & WGW_TAG_CONNECTED)) {
		msg->msg_namelen = 0;
		return 0;
	}
	memcpy(from.ip, in->head.ip, sizeof(from.ip));
	if (!in->headed) {
		rc = wgw_repr_peer(s, fd, tag, &from);
		if (rc < 0)
			return rc;
	}
	rc = wgw_repr_addr_write(tag, &from, msg->msg_name, &len);
	if (rc == 0)
		msg->msg_namelen = len;
	return rc;
}

ssize_t wgw_dgram_recv(const struct wgw_repr_session *s, int fd, uint64_t tag, struct msghdr *msg,
		       int flags)
{
	enum spare spare;
	struct incoming in;
	ssize_t n;
	int rc;

	flags &= ~(MSG_OOB | MSG_CMSG_CLOEXEC);
	if (msg->msg_iovlen > IOV_MAX)
		return -EMSGSIZE;
	if (msg->msg_name && (tag & (WGW_TAG_RAW | WGW_TAG_CONNECTED)) == WGW_TAG_RAW) {
		rc = wgw_repr_udp_unraw(s, fd, &tag);
		if (rc < 0 && rc != -EALREADY) /* another does it just now */
			return rc;
	}
	do {
		spare = tag & WGW_TAG_RAW ? SPARE_BEHIND : SPARE_FRONT;
		n = take(fd, spare, msg, flags, &in);
		if (n < 0)
			return n == -ECONNRESET ? -ENETDOWN : n;
		sort(s, msg, spare, flags, (size_t)n, &in);
		rc = judge(s, fd, &tag, flags, &in);
		if (flags & MSG_PEEK && rc && rc != NOTHING_MORE)
			drop_message(fd);
	} while (rc == DROPPED);
	if (rc == NOTHING_MORE) {
		msg->msg_namelen = 0;
		msg->msg_controllen = 0;
		msg->msg_flags = 0;
		return 0;
	}
	if (rc == 0)
		rc = write_name(s, fd, tag, &in, msg);
	if (rc < 0)
		return rc;
	write_control(tag, &in, msg);
	return in.len;
}

ssize_t wgw_repr_recv_unasked(const struct wgw_repr_session *s, int fd, const struct iovec *iov,
			      size_t n_iov, int flags, wgw_repr_ask *ask)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n_iov};
	struct incoming in;
	ssize_t n = take(fd, SPARE_NONE, &msg, flags, &in);
	uint64_t tag;
	int rc;

	if (n == -EAGAIN || n == -EINTR)
		return n;
	if (n >= 0 && !in.marked && (n || in.named) && !begins(s, &msg, SPARE_NONE, (size_t)n, &in))
		return n;
	if (!ask(fd, &tag)) /* another's */
		return n;
	if (wgw_tag_kind(tag) == WGW_KIND_TCP)
		return wgw_repr_tcp_read_end(s, fd, tag, n);
	if (n < 0)
		return n == -ECONNRESET ? -ENETDOWN : n;
	sort(s, &msg, SPARE_NONE, flags, (size_t)n, &in);
	rc = judge(s, fd, &tag, flags, &in);
	if (rc == DROPPED)
		return wgw_repr_recvmsg(s, fd, tag, &msg, flags);
	return rc == NOTHING_MORE ? 0 : rc < 0 ? rc : in.len;
}
