/* SPDX-License-Identifier: MIT */
/*
 * message.c - sendto(2), sendmsg(2), sendmmsg(2), recvfrom(2), recvmsg(2), recvmmsg(2)
 *
 * Datagrams with an address are carried over here: copied, sent or received without waiting, and
 * waited for as the program's own call would wait. What was sent or received for a call that was
 * interrupted is kept for the next one (busy.c). Connections
 * are left to the kernel whenever that comes to the same: their bytes may be read by calls
 * that are not reported.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "src/capture/call.h"
#include "src/repr/raw.h"

enum {
	DATAGRAM_MAX_BYTES = 65536,
	STREAM_PIECE_BYTES = 256 * 1024, /* a stream may take less than was offered */
	CONTROL_MAX_BYTES = 4096,
	FEW = 4,   /* buffers of a message, whose list needs no memory of its own */
	HEADS = 8, /* of a call's messages that are looked at together */
};

/**
 * struct message - one message, here and at the program
 * @head:	As the program gave it: its own pointers
 * @there:	Its buffers, @n of them: @few, or malloc'ed
 * @data, @len:	Our buffer (malloc'ed)
 * @msg, @iov:	The same for src/repr, with our pointers
 * @kept:	It had been received for a call that was interrupted
 * @near:	What was beside @head
 * @name, @control: Copies
 */
struct message {
	struct msghdr head;
	struct iovec *there;
	size_t n;
	uint8_t *data;
	size_t len;
	struct msghdr msg;
	struct iovec iov;
	bool kept;
	struct iovec few[FEW];
	struct wgw_near near;
	struct sockaddr_storage name;
	uint8_t control[CONTROL_MAX_BYTES];
};

/** clear() - all but the copies, which are many bytes */
static void clear(struct message *m)
{
	memset(m, 0, offsetof(struct message, few));
	m->near.len = 0;
}

static void release(struct message *m)
{
	if (m->there != m->few)
		free(m->there);
	free(m->data);
}

/** make_buffer() - ours, of @m->len bytes, which src/repr is to use. 0 or -ENOMEM */
static long make_buffer(struct message *m)
{
	m->data = malloc(m->len + 1);
	if (!m->data)
		return -ENOMEM;
	m->iov = (struct iovec){m->data, m->len};
	m->msg.msg_iov = &m->iov;
	m->msg.msg_iovlen = 1;
	return 0;
}

/** begin_list() - has @in copy the program's list of buffers into @m->there, if it is not there yet.
 * 0 or -errno */
static long begin_list(struct message *m, struct wgw_pieces *in)
{
	m->n = m->head.msg_iovlen;
	if (m->n > IOV_MAX)
		return -EMSGSIZE;
	if (m->there)
		return 0;
	m->there = m->n <= FEW ? m->few : calloc(m->n, sizeof(*m->there));
	if (!m->there)
		return -ENOMEM;
	wgw_pieces_add(in, (uintptr_t)m->head.msg_iov, m->there, m->n * sizeof(*m->there));
	return 0;
}

/** end_list() - copies what @in has, and makes a buffer of ours as large as all of the program's, up
 * to @max. 0 or -errno */
static long end_list(struct message *m, struct wgw_pieces *in, size_t max)
{
	size_t total = 0;

	if (wgw_pieces_copy(in))
		return -EFAULT;
	for (size_t i = 0; i < m->n; i++) {
		if (m->there[i].iov_len > (size_t)SSIZE_MAX - total)
			return -EINVAL;
		total += m->there[i].iov_len;
	}
	m->len = total < max ? total : max;
	return make_buffer(m);
}

/** check_head() - what the program says of itself in @m->head, as __copy_msghdr() in net/socket.c */
static long check_head(struct message *m)
{
	if (!m->head.msg_name)
		m->head.msg_namelen = 0;
	if ((int)m->head.msg_namelen < 0)
		return -EINVAL;
	if (m->head.msg_namelen > sizeof(m->name))
		m->head.msg_namelen = sizeof(m->name);
	return 0;
}

/** take_head() - the struct msghdr at @at */
static long take_head(const struct wgw_call *c, uint64_t at, struct message *m)
{
	clear(m);
	if (wgw_target_read_near(c, at, &m->head, sizeof(m->head), &m->near))
		return -EFAULT;
	return check_head(m);
}

/** make_message() - for a call that has one buffer, @len bytes at @data, and no struct msghdr; ours
 * is of @max at the most. 0 or -ENOMEM; to be released in any case */
static long make_message(struct message *m, uint64_t data, uint64_t len, size_t max)
{
	clear(m);
	m->there = m->few;
	m->there[0] = (struct iovec){(void *)(uintptr_t)data, len};
	m->n = 1;
	m->len = len < max ? len : max;
	return make_buffer(m);
}

/* ---- several messages of one call ---- */

static uint64_t message_at(const struct wgw_call *c, unsigned int i)
{
	return c->args[1] + i * sizeof(struct mmsghdr);
}

static unsigned int message_count(const struct wgw_call *c)
{
	unsigned int n = (unsigned int)c->args[2];

	return n > IOV_MAX ? IOV_MAX : n; /* as the kernel */
}

/**
 * struct heads - messages of a call, as the program describes them
 * @first, @n:	Which of them; @n may be 0
 * @has_lists:	@list is valid, for those that have one buffer
 */
struct heads {
	unsigned int first, n;
	bool has_lists;
	struct mmsghdr head[HEADS];
	struct iovec list[HEADS];
};

/** look_ahead() - from message @i of @n on; @h->n is 0 when the program's memory does not hold all
 * that it should, of which each message is told in its turn */
static void look_ahead(const struct wgw_call *c, struct heads *h, unsigned int i, unsigned int n)
{
	struct wgw_pieces in;

	h->first = i;
	h->n = n - i < HEADS ? n - i : HEADS;
	if (wgw_target_read(c, message_at(c, i), h->head, h->n * sizeof(h->head[0])))
		h->n = 0;
	wgw_pieces_begin(&in, c, false);
	for (unsigned int k = 0; k < h->n; k++) {
		const struct msghdr *head = &h->head[k].msg_hdr;

		if (head->msg_iovlen == 1)
			wgw_pieces_add(&in, (uintptr_t)head->msg_iov, &h->list[k],
				       sizeof(h->list[k]));
	}
	h->has_lists = wgw_pieces_copy(&in) == 0;
}

/** take_one() - message @i of the call's */
static long take_one(const struct wgw_call *c, struct heads *h, unsigned int i, struct message *m)
{
	unsigned int n = message_count(c), k;

	if (i - h->first >= h->n)
		look_ahead(c, h, i, n);
	k = i - h->first;
	if (k >= h->n)
		return take_head(c, message_at(c, i), m);
	clear(m);
	m->head = h->head[k].msg_hdr;
	if (h->has_lists && m->head.msg_iovlen == 1) {
		m->few[0] = h->list[k];
		m->there = m->few;
	}
	return check_head(m);
}

/* ---- out ---- */

static size_t most_of(const struct wgw_call *c)
{
	/* one more than a datagram may have, so that it is seen to be too long */
	return wgw_tag_kind(c->tag) == WGW_KIND_TCP ? STREAM_PIECE_BYTES : DATAGRAM_MAX_BYTES;
}

/** add_buffers() - the first @len bytes of the program's buffers, and of ours */
static void add_buffers(struct wgw_pieces *p, const struct message *m, size_t len)
{
	size_t done = 0;

	for (size_t i = 0; i < m->n && done < len; i++) {
		size_t part = m->there[i].iov_len < len - done ? m->there[i].iov_len : len - done;

		wgw_pieces_add(p, (uintptr_t)m->there[i].iov_base, m->data + done, part);
		done += part;
	}
}

/** add_name() - the destination */
static long add_name(struct wgw_pieces *in, struct message *m, uint64_t at, socklen_t len)
{
	if (!at || !len)
		return 0;
	if (len > sizeof(m->name))
		return -EINVAL;
	m->msg.msg_name = &m->name;
	m->msg.msg_namelen = len;
	wgw_pieces_add(in, at, &m->name, len);
	return 0;
}

static long add_control(struct wgw_pieces *in, struct message *m)
{
	if (!m->head.msg_control || !m->head.msg_controllen)
		return 0;
	if (m->head.msg_controllen > sizeof(m->control))
		return -ENOBUFS;
	m->msg.msg_control = m->control;
	m->msg.msg_controllen = m->head.msg_controllen;
	wgw_pieces_add(in, (uintptr_t)m->head.msg_control, m->control, m->head.msg_controllen);
	return 0;
}

/** fast_open() - MSG_FASTOPEN: without a cookie, which we never have, it connects first */
static long fast_open(struct wgw_call *c, const struct message *m, int flags)
{
	if (wgw_tag_kind(c->tag) != WGW_KIND_TCP)
		return 0;
	if (!m->msg.msg_name)
		return -EINVAL;
	return wgw_call_connect_to(c, m->msg.msg_name, m->msg.msg_namelen, !(flags & MSG_DONTWAIT));
}

/** send_message() - waits for room as the program's call would. What @m holds has been read from who
 * still waited */
static long send_message(struct wgw_call *c, const struct message *m, int flags)
{
	int64_t until = 0;
	bool waited = false;

	for (;;) {
		ssize_t n;
		long rc;

		if (flags & MSG_FASTOPEN) {
			rc = fast_open(c, m, flags);
			if (rc < 0)
				return rc;
			flags &= ~MSG_FASTOPEN;
		}
		n = wgw_repr_sendmsg(&c->capture->session, c->fd, c->tag, &m->msg,
				     flags | MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == -EPIPE && !(flags & MSG_NOSIGNAL) && wgw_tag_kind(c->tag) == WGW_KIND_TCP)
			c->broken_pipe = true;
		if (n != -EAGAIN || flags & MSG_DONTWAIT ||
		    (!waited && wgw_repr_nonblocking(c->fd)))
			return n;
		if (!waited)
			until = wgw_call_until(c, SO_SNDTIMEO);
		waited = true;
		rc = wgw_call_wait(c, POLLOUT, until);
		if (rc <= 0)
			return rc == 0 ? -EAGAIN : rc;
		if (!wgw_repr_tag(c->fd, &c->tag))
			return -EBADF;
	}
}

static uint64_t mix(uint64_t digest, const void *data, size_t len)
{
	const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
	const uint8_t *at = data;
	uint64_t word = len;

	for (;; at += sizeof(word), len -= sizeof(word)) {
		digest = (digest ^ word) * odd;
		digest ^= digest >> 32;
		if (len < sizeof(word))
			break;
		memcpy(&word, at, sizeof(word));
	}
	word = 0;
	memcpy(&word, at, len);
	return (digest ^ word) * odd;
}

/** ask() - what @c asks for: to send @m, and before it what @digest stands for. Returns the digest
 * of all that */
static uint64_t ask(struct wgw_call *c, const struct message *m, uint64_t digest)
{
	digest = mix(digest, m->data, m->len);
	digest = mix(digest, &m->name, m->msg.msg_namelen);
	digest = mix(digest, m->control, m->msg.msg_controllen);
	c->asked.len = sizeof(digest);
	memcpy(&c->asked.value, &digest, sizeof(digest));
	return digest;
}

/** send_once() - what was sent for a call that was interrupted is not sent again */
static long send_once(struct wgw_call *c, const struct message *m, int flags)
{
	long n;

	ask(c, m, (uint64_t)flags);
	if (wgw_busy_may_be_done(c) >= 0 && wgw_busy_take_done(c)) {
		n = c->asked.result;
	} else {
		if (!wgw_call_valid(c))
			return WGW_CALL_GONE;
		n = send_message(c, m, flags);
		c->asked.result = n;
	}
	if (n >= 0) /* also when it was found again: this call, too, may be interrupted */
		c->undo = wgw_busy_keep_done;
	return n;
}

/** outside() - a message on a socket that is not ours */
static long outside(const struct wgw_call *c, uint64_t name, socklen_t len)
{
	struct sockaddr_storage address;
	int rc;

	if (c->what == WGW_SOCKET_UNKNOWN)
		return -EPERM;
	if (c->what != WGW_SOCKET_IP || !name || len > sizeof(address))
		return WGW_CALL_CONTINUE;
	if (wgw_target_read(c, name, &address, len))
		return -EFAULT;
	rc = wgw_outside_connect(c, &address, len);
	return rc ? rc : WGW_CALL_CONTINUE;
}

long wgw_call_sendto(struct wgw_call *c)
{
	struct wgw_pieces in;
	struct message m;
	long rc;

	if (c->what != WGW_SOCKET_OURS)
		return outside(c, c->args[4], (socklen_t)c->args[5]);
	if ((int)c->args[5] < 0)
		return -EINVAL;
	rc = make_message(&m, c->args[1], c->args[2], most_of(c));
	wgw_pieces_begin(&in, c, false);
	if (rc == 0)
		rc = add_name(&in, &m, c->args[4], (socklen_t)c->args[5]);
	if (rc == 0) {
		add_buffers(&in, &m, m.len);
		rc = wgw_pieces_copy(&in);
	}
	if (rc == 0)
		rc = send_once(c, &m, (int)c->args[3]);
	release(&m);
	return rc;
}

/** is_plain() - whether the kernel may send it as it is */
static bool is_plain(const struct wgw_call *c, const struct message *m)
{
	if (m->head.msg_namelen || m->head.msg_controllen)
		return false;
	return wgw_tag_kind(c->tag) == WGW_KIND_TCP ||
	       ((c->tag & WGW_TAG_RAW) && (c->tag & WGW_TAG_CONNECTED));
}

/** take_whole() - what @m->head describes; to be released in any case */
static long take_whole(const struct wgw_call *c, struct message *m)
{
	struct wgw_pieces in;
	long rc;

	wgw_pieces_begin(&in, c, false);
	in.near = &m->near;
	rc = begin_list(m, &in);
	if (rc == 0)
		rc = add_name(&in, m, (uintptr_t)m->head.msg_name, m->head.msg_namelen);
	if (rc == 0)
		rc = add_control(&in, m);
	if (rc == 0)
		rc = end_list(m, &in, most_of(c));
	if (rc)
		return rc;
	add_buffers(&in, m, m->len);
	return wgw_pieces_copy(&in);
}

long wgw_call_sendmsg(struct wgw_call *c)
{
	struct message m;
	long rc;

	if (c->what == WGW_SOCKET_OTHER)
		return WGW_CALL_CONTINUE;
	rc = c->what == WGW_SOCKET_UNKNOWN ? -EPERM : take_head(c, c->args[1], &m);
	if (rc)
		return rc;
	if (c->what == WGW_SOCKET_IP)
		return outside(c, (uintptr_t)m.head.msg_name, m.head.msg_namelen);
	if (is_plain(c, &m) && !((int)c->args[2] & (MSG_FASTOPEN | MSG_OOB)))
		return WGW_CALL_CONTINUE;
	rc = take_whole(c, &m);
	if (rc == 0)
		rc = send_once(c, &m, (int)c->args[2]);
	release(&m);
	return rc;
}

static int write_length(const struct wgw_call *c, unsigned int i, long n)
{
	unsigned int len = (unsigned int)n;

	return wgw_target_write(c, message_at(c, i) + offsetof(struct mmsghdr, msg_len), &len,
				sizeof(len));
}

/** send_one_of() - message @i. *@digest: of those before it, then of it, too */
static long send_one_of(struct wgw_call *c, struct heads *h, unsigned int i, int flags,
			bool is_sent, uint64_t *digest)
{
	struct message m;
	long rc = take_one(c, h, i, &m);

	if (rc)
		return rc;
	rc = take_whole(c, &m);
	if (rc == 0 && !wgw_call_valid(c))
		rc = WGW_CALL_GONE;
	if (rc == 0)
		rc = is_sent ? (long)m.len : send_message(c, &m, flags);
	if (rc >= 0) {
		*digest = ask(c, &m, *digest);
		c->asked.result = (long)i + 1;
	}
	if (rc >= 0 && !is_sent)
		wgw_busy_keep_done(c); /* before the next one is waited for */
	release(&m);
	return rc < 0 ? rc : write_length(c, i, rc);
}

/** sent_before() - how many of @n messages an interrupted call has sent that @c repeats. *@digest:
 * of those */
static unsigned int sent_before(struct wgw_call *c, struct heads *h, unsigned int n,
				uint64_t *digest)
{
	const uint64_t none = *digest;
	long done = wgw_busy_may_be_done(c), i = 0;

	while (i < done && i < (long)n && send_one_of(c, h, (unsigned int)i, 0, true, digest) == 0)
		i++;
	if (done > 0 && i == done && wgw_busy_take_done(c))
		return (unsigned int)done;
	*digest = none;
	return 0;
}

long wgw_call_sendmmsg(struct wgw_call *c)
{
	unsigned int n = message_count(c), i;
	int flags = (int)c->args[3];
	uint64_t digest = (uint64_t)flags;
	struct heads h = {.n = 0};
	long rc = 0;

	if (c->what == WGW_SOCKET_IP || c->what == WGW_SOCKET_UNKNOWN)
		return -EPERM;
	if (c->what == WGW_SOCKET_OTHER || wgw_tag_kind(c->tag) == WGW_KIND_TCP)
		return WGW_CALL_CONTINUE;
	i = sent_before(c, &h, n, &digest);
	if (i) {
		wgw_busy_keep_done(c); /* this one, too, may be interrupted */
		flags |= MSG_DONTWAIT; /* as the kernel, which ends such a wait with what it has */
	}
	for (; i < n; i++) {
		rc = send_one_of(c, &h, i, flags, false, &digest);
		if (rc == WGW_CALL_GONE)
			return rc;
		if (rc < 0)
			break;
	}
	return i ? (long)i : rc;
}

/* ---- in ---- */

/** take_kept() - the oldest datagram that was received for a call that was interrupted. Its length,
 * or -EAGAIN */
static long take_kept(struct wgw_call *c, struct message *m, int flags)
{
	const struct wgw_datagram *got;
	size_t room = m->msg.msg_control ? m->msg.msg_controllen : 0;

	got = flags & MSG_ERRQUEUE ? NULL : wgw_busy_take_got(c, flags & MSG_PEEK);
	if (!got)
		return -EAGAIN;
	m->kept = true;
	memcpy(m->data, got->data, got->len < m->len ? got->len : m->len);
	memcpy(&m->name, &got->name, got->name_len);
	m->msg.msg_namelen = got->name_len;
	m->msg.msg_flags = got->flags | (got->len > m->len ? MSG_TRUNC : 0);
	/* ancillary data is whole or not there */
	m->msg.msg_controllen = got->control_len <= room ? got->control_len : 0;
	if (m->msg.msg_controllen)
		memcpy(m->control, got->control, got->control_len);
	return flags & MSG_TRUNC ? got->size : (long)(got->len < m->len ? got->len : m->len);
}

/** keep_datagram() - should the program not get it: what @m holds, of which recvmsg said @n bytes.
 * Our buffer goes with it */
static void keep_datagram(struct wgw_call *c, struct message *m, long n, int flags)
{
	struct wgw_datagram kept, *got = &kept;
	uint8_t *less;

	if (flags & (MSG_PEEK | MSG_ERRQUEUE) || m->kept)
		return;
	*got = (struct wgw_datagram){
		.data = m->data,
		.len = (size_t)n < m->len ? (size_t)n : m->len,
		.name_len = m->msg.msg_namelen,
		.flags = m->msg.msg_flags,
		.size = n,
	};
	m->data = NULL;
	less = realloc(got->data, got->len + 1);
	if (less)
		got->data = less;
	if (got->name_len > sizeof(got->name))
		got->name_len = 0;
	memcpy(&got->name, &m->name, got->name_len);
	if (m->msg.msg_control && m->msg.msg_controllen)
		got->control = malloc(m->msg.msg_controllen);
	if (got->control) {
		got->control_len = m->msg.msg_controllen;
		memcpy(got->control, m->control, got->control_len);
	}
	wgw_busy_keep_got(c, got);
}

/** receive_message() - waits for one as the program's call would. Its length or -errno */
static long receive_message(struct wgw_call *c, struct message *m, int flags)
{
	bool waited = false;
	int64_t until = 0;

	for (;;) {
		struct msghdr msg = m->msg;
		ssize_t n;
		long rc;

		if (!wgw_call_valid(c))
			return WGW_CALL_GONE;
		n = take_kept(c, m, flags);
		if (n >= 0)
			return n;
		n = wgw_repr_recvmsg(&c->capture->session, c->fd, c->tag, &msg,
				     flags | MSG_DONTWAIT);
		if (n >= 0)
			m->msg = msg;
		if (n != -EAGAIN || flags & (MSG_ERRQUEUE | MSG_DONTWAIT) ||
		    (!waited && wgw_repr_nonblocking(c->fd)))
			return n;
		if (wgw_tag_kind(c->tag) != WGW_KIND_TCP && (c->tag & WGW_TAG_SHUT_RD)) {
			/* nothing more comes; a poll would say so at once, each time */
			m->msg.msg_namelen = 0;
			m->msg.msg_controllen = 0;
			return 0;
		}
		if (!waited)
			until = wgw_call_until(c, SO_RCVTIMEO);
		waited = true;
		rc = wgw_call_wait(c, POLLIN, until);
		if (rc <= 0)
			return rc == 0 ? -EAGAIN : rc;
		if (!wgw_repr_tag(c->fd, &c->tag))
			return -EBADF;
	}
}

/** deliver() - what recvmsg(2) leaves with the program: @n bytes in its buffers, and in the struct
 * msghdr at @at. @many: that is of a struct mmsghdr, which is told how many. 0 or -EFAULT */
static long deliver(const struct wgw_call *c, const struct message *m, uint64_t at, long n,
		    bool many)
{
	socklen_t room = m->head.msg_name ? m->head.msg_namelen : 0;
	size_t name = room < m->msg.msg_namelen ? room : m->msg.msg_namelen;
	unsigned int len = (unsigned int)n;
	struct msghdr after = m->head;
	struct wgw_pieces out;

	after.msg_namelen = m->head.msg_name ? m->msg.msg_namelen : 0;
	after.msg_controllen = m->msg.msg_controllen;
	after.msg_flags = m->msg.msg_flags;
	wgw_pieces_begin(&out, c, true);
	add_buffers(&out, m, (size_t)n < m->len ? (size_t)n : m->len);
	wgw_pieces_add(&out, (uintptr_t)m->head.msg_name, &m->name, name);
	wgw_pieces_add(&out, (uintptr_t)m->head.msg_control, m->control, m->msg.msg_controllen);
	wgw_pieces_add(&out, at, &after, sizeof(after));
	if (many)
		wgw_pieces_add(&out, at + offsetof(struct mmsghdr, msg_len), &len, sizeof(len));
	return wgw_pieces_copy(&out);
}

/** receive_head() - receives into what the struct msghdr at @at, of which @m has a copy,
 * describes. @many: as in deliver(). *@kept: that had been received for a call that was interrupted.
 */
static long receive_head(struct wgw_call *c, struct message *m, uint64_t at, int flags, bool many,
			 bool *kept)
{
	struct wgw_pieces in;
	long rc, n = 0;

	wgw_pieces_begin(&in, c, false);
	in.near = &m->near;
	rc = begin_list(m, &in);
	if (rc == 0)
		rc = end_list(m, &in, DATAGRAM_MAX_BYTES);
	if (rc == 0) {
		m->msg.msg_name = m->head.msg_name ? &m->name : NULL;
		m->msg.msg_namelen = sizeof(m->name);
		m->msg.msg_control = m->head.msg_control ? m->control : NULL;
		m->msg.msg_controllen = m->head.msg_controllen < sizeof(m->control)
						? m->head.msg_controllen
						: sizeof(m->control);
		n = rc = receive_message(c, m, flags);
	}
	if (n >= 0 && rc >= 0) {
		rc = deliver(c, m, at, n, many);
		keep_datagram(c, m, n, flags);
	}
	*kept = m->kept;
	release(m);
	return rc ? rc : n;
}

/** received_by_kernel() - calls that mean the same on the AF_UNIX socket, or have nothing to
 * receive: WGW_CALL_CONTINUE or -errno. 0: it is for us */
static long received_by_kernel(const struct wgw_call *c, int flags)
{
	if (c->what != WGW_SOCKET_OURS)
		return WGW_CALL_CONTINUE;
	if (wgw_tag_kind(c->tag) != WGW_KIND_TCP)
		return 0;
	if (flags & MSG_ERRQUEUE)
		return -EAGAIN;
	return flags & MSG_OOB ? -EINVAL : WGW_CALL_CONTINUE;
}

/** deliver_from() - what recvfrom(2) leaves with the program: @n bytes, and who sent them. 0 or -errno */
static long deliver_from(const struct wgw_call *c, const struct message *m, long n)
{
	struct wgw_pieces out;
	long rc = 0, copied;

	wgw_pieces_begin(&out, c, true);
	add_buffers(&out, m, (size_t)n < m->len ? (size_t)n : m->len);
	if (c->args[4])
		rc = wgw_pieces_add_address(&out, c->args[4], c->args[5], &m->name,
					    &m->msg.msg_namelen);
	copied = wgw_pieces_copy(&out);
	return copied ? copied : rc;
}

long wgw_call_recvfrom(struct wgw_call *c)
{
	struct message m;
	long rc = received_by_kernel(c, (int)c->args[3]), n;

	if (rc)
		return rc;
	n = make_message(&m, c->args[1], c->args[2], DATAGRAM_MAX_BYTES);
	m.msg.msg_name = c->args[4] ? &m.name : NULL;
	m.msg.msg_namelen = sizeof(m.name);
	if (n == 0)
		n = receive_message(c, &m, (int)c->args[3]);
	if (n >= 0) {
		rc = deliver_from(c, &m, n);
		keep_datagram(c, &m, n, (int)c->args[3]);
	}
	release(&m);
	return rc ? rc : n;
}

long wgw_call_recvmsg(struct wgw_call *c)
{
	int flags = (int)c->args[2];
	long rc = received_by_kernel(c, flags);
	struct message m;
	bool kept = false;

	if (rc)
		return rc;
	rc = take_head(c, c->args[1], &m);
	return rc ? rc : receive_head(c, &m, c->args[1], flags, false, &kept);
}

long wgw_call_recvmmsg(struct wgw_call *c)
{
	unsigned int n = message_count(c), i;
	int flags = (int)c->args[3];
	struct heads h = {.n = 0};
	struct timespec limit;
	struct message m;
	int64_t end = -1;
	long rc = received_by_kernel(c, flags);
	bool kept = false;

	if (rc)
		return rc;
	if (c->args[4]) {
		if (wgw_target_read(c, c->args[4], &limit, sizeof(limit)))
			return -EFAULT;
		if (limit.tv_sec < 0 || limit.tv_nsec < 0 || limit.tv_nsec >= 1000000000)
			return -EINVAL;
		if (limit.tv_sec < INT64_MAX / 2000)
			end = wgw_raw_now_ms() + limit.tv_sec * 1000 + limit.tv_nsec / 1000000;
	}
	for (i = 0; i < n; i++) {
		rc = take_one(c, &h, i, &m);
		if (rc == 0)
			rc = receive_head(c, &m, message_at(c, i), flags & ~MSG_WAITFORONE, true,
					  &kept);
		if (rc == WGW_CALL_GONE)
			return rc;
		if (rc < 0)
			break;
		/* a signal ends the kernel's wait for more, too */
		if (flags & MSG_WAITFORONE || kept)
			flags |= MSG_DONTWAIT;
		/* as the kernel: looked at only after each message */
		if (end >= 0 && wgw_raw_now_ms() >= end)
			return (long)i + 1;
	}
	return i ? (long)i : rc;
}
