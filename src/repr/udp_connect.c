/* SPDX-License-Identifier: MIT */
/*
 * udp_connect.c - changing the peer of a datagram socket while datagrams are under way
 *
 * Bare payload is the present peer's, so none of the old one may stay behind. The tunnel process
 * stops sending to the socket before it replies; what is still queued is read here and given back
 * on the same conversation, which the tunnel process then sends in the new form. Datagrams
 * therefore keep their order and none is lost. When one of them is not from the new peer the
 * socket keeps headers, which tell where each came from. Another thread or process that reads at
 * the same moment may take one in the old form: it sees by the message which form that is, and
 * takes the peer of before or after for its sender, as with any race between connect and recv.
 *
 * Without a peer, too, messages may be bare, as long as nobody has asked who sends them
 * (wgw_repr_session.bare). They are returned without a sender: the tunnel process knows that of the
 * last ones that it sent, and those are unread. Another thread that reads at the same moment, past us,
 * takes one from among them: then those before it are taken for what was sent after them.
 */
#include "src/repr/repr.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>
#include <sys/mman.h>

#include "src/repr/cmsg.h"
#include "src/repr/raw.h"

enum {
	MESSAGE_MAX_BYTES = 65536 + 2 * (int)sizeof(struct wgw_dgram),
	CONTROL_BYTES = 256, /* a timestamp, and a descriptor */
};

struct change {
	const struct wgw_repr_session *s;
	int fd;
	int conversation;
	uint64_t tag;		    /* as it was */
	struct stack_addr old_peer; /* with WGW_TAG_RAW; zero: there was none */
};

enum { SKIP = -2 };

/* Takes the next message out of the queue into @message, with its header or one made up. Its
 * length, SKIP, or -1: there is none. */
static ssize_t take_back(const struct change *c, char message[MESSAGE_MAX_BYTES])
{
	struct wgw_dgram head = {.port = c->old_peer.port};
	struct iovec iov = {message + sizeof(head), MESSAGE_MAX_BYTES - sizeof(head)};
	alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES];
	sa_family_t sender;
	struct msghdr msg = {.msg_name = &sender,
			     .msg_namelen = sizeof(sender),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	ssize_t n = wgw_raw_recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return n == -EINTR ? SKIP : -1;
	if (wgw_cmsg_drop(&msg)) /* an error, which connect() forgets */
		return SKIP;
	if (n == 0 && msg.msg_namelen == 0)
		return -1;
	if (wgw_preamble_begins(c->s->preambles.to_app, iov.iov_base, (size_t)n)) {
		memmove(message, iov.iov_base, (size_t)n);
		return (size_t)n < sizeof(head) ? SKIP : n;
	}
	if (!(c->tag & WGW_TAG_RAW))
		return SKIP;
	memcpy(head.ip, c->old_peer.ip, sizeof(head.ip));
	memcpy(message, &head, sizeof(head));
	return n + (ssize_t)sizeof(head);
}

/* Returns every queued message to the tunnel process, through @message. @to: the new peer or NULL.
 * *@foreign: some are from elsewhere. */
static int requeue_through(const struct change *c, char message[MESSAGE_MAX_BYTES],
			   const struct stack_addr *to, bool *foreign)
{
	struct wgw_dgram head;
	struct wgw_op op;
	ssize_t n;
	int rc;

	wgw_repr_op_init(c->s, &op, WGW_OP_REQUEUE, c->fd, c->tag);
	while ((n = take_back(c, message)) != -1) {
		if (n == SKIP)
			continue;
		memcpy(&head, message, sizeof(head));
		if (to && (memcmp(head.ip, to->ip, sizeof(head.ip)) || head.port != to->port)) {
			if (!c->s->bare)
				*foreign = true;
			else if (!wgw_dgram_is_nameless(&head))
				continue;
		}
		rc = wgw_repr_op_send(c->conversation, &op, message, (size_t)n, -1);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* There may be little stack and no heap: the buffer is mapped, and only when something is
 * queued. */
static int requeue_all(const struct change *c, const struct stack_addr *to, bool *foreign)
{
	char byte;
	long at;
	int rc;

	if (wgw_raw_recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
		return 0;
	at = wgw_raw_call(SYS_mmap, 0, MESSAGE_MAX_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at < 0 && at > -4096)
		return (int)at;
	/* An address, which no pointer of ours leads to */
	rc = requeue_through(c, (char *)at, to, foreign);
	wgw_raw_call(SYS_munmap, at, MESSAGE_MAX_BYTES, 0, 0, 0, 0);
	return rc;
}

/* The tunnel process closes the conversation when it has changed over. What the program writes from
 * now on is read in the new form. */
static void wait_for_end(int conversation)
{
	char byte;

	while (wgw_raw_recv(conversation, &byte, 1, 0) == -EINTR)
		;
}

static int change_peer(struct change *c, const struct stack_addr *to, bool raw)
{
	uint64_t generation =
		(c->tag + (UINT64_C(1) << WGW_TAG_GENERATION_SHIFT)) & WGW_TAG_GENERATION_MASK;
	bool foreign = false;
	struct wgw_op op;
	int rc;

	wgw_repr_op_init(c->s, &op, WGW_OP_UDP_CONNECT, c->fd, c->tag);
	if (to)
		op.u.bind.addr = wgw_repr_wire_addr(to);
	rc = wgw_repr_op_send(c->conversation, &op, NULL, 0, -1);
	if (rc == 0)
		rc = (int)wgw_repr_op_recv(c->conversation, &op, NULL, 0);
	if (rc < 0)
		return rc;
	if (op.err == ENOTSOCK)
		return wgw_repr_dgram_lost(c->s, c->fd);
	if (op.err)
		return op.err > 0 ? -op.err : -EPROTO;
	rc = requeue_all(c, to, &foreign);
	if (rc < 0)
		return rc;
	raw = raw && !foreign;
	rc = wgw_repr_tag_change(
		c->fd, generation | (to ? WGW_TAG_CONNECTED : 0) | (raw ? WGW_TAG_RAW : 0),
		WGW_TAG_CONNECTED | WGW_TAG_RAW | WGW_TAG_GENERATION_MASK);
	if (rc < 0)
		return rc;
	wgw_repr_op_init(c->s, &op, WGW_OP_GO, c->fd, c->tag);
	op.u.open.flags = raw ? WGW_BIND_RAW : 0;
	rc = wgw_repr_op_send(c->conversation, &op, NULL, 0, -1);
	if (rc == 0)
		wait_for_end(c->conversation);
	return rc;
}

static int run_change(struct change *c, const struct stack_addr *to, bool raw)
{
	int rc;

	c->conversation = wgw_repr_op_open(c->s);
	if (c->conversation < 0)
		return c->conversation;
	rc = change_peer(c, to, raw);
	wgw_raw_close(c->conversation);
	return rc;
}

int wgw_repr_udp_connect(const struct wgw_repr_session *s, int fd, uint64_t tag,
			 const struct stack_addr *to)
{
	struct change c = {.s = s, .fd = fd, .tag = tag};
	bool headed = (tag & (WGW_TAG_ANCILLARY | WGW_TAG_RECVERR)) && !(s->bare && to);
	int rc;

	if (!to && !(tag & WGW_TAG_CONNECTED))
		return 0;
	if ((tag & WGW_TAG_RAW) && (tag & WGW_TAG_CONNECTED)) {
		rc = wgw_repr_name_op(s, fd, tag, NULL, &c.old_peer);
		if (rc < 0)
			return rc;
	}
	return run_change(&c, to, (to || s->bare) && !headed);
}

int wgw_repr_udp_unraw(const struct wgw_repr_session *s, int fd, uint64_t *tag)
{
	struct change c = {.s = s, .fd = fd};
	bool connected;
	int rc = 0;

	if (!wgw_repr_tag(fd, tag))
		return -EBADF;
	connected = *tag & WGW_TAG_CONNECTED;
	if (!(*tag & WGW_TAG_RAW) || (connected && s->bare))
		return 0;
	c.tag = *tag;
	if (connected)
		rc = wgw_repr_name_op(s, fd, *tag, NULL, &c.old_peer);
	if (rc == 0)
		rc = run_change(&c, connected ? &c.old_peer : NULL, false);
	if (rc == 0 && !wgw_repr_tag(fd, tag))
		rc = -EBADF;
	return rc;
}
