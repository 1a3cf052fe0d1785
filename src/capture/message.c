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
};

/**
 * struct message - one message, here and at the program
 * @head:	As the program gave it: its own pointers
 * @there:	Its buffers, @n of them
 * @data, @len:	Our buffer (malloc'ed)
 * @name, @control: Copies
 * @msg, @iov:	The same for src/repr, with our pointers
 * @kept:	It had been received for a call that was interrupted
 */
struct message {
	struct msghdr head;
	struct iovec *there;
	size_t n;
	uint8_t *data;
	size_t len;
	struct sockaddr_storage name;
	uint8_t control[CONTROL_MAX_BYTES];
	struct msghdr msg;
	struct iovec iov;
	bool kept;
};

static void release(struct message *m)
{
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

/** take_buffers() - the list in @m->head, and a buffer of ours as large as all of them, up to
 * @max. 0 or -errno */
static long take_buffers(const struct wgw_call *c, struct message *m, size_t max)
{
	size_t total = 0;

	m->n = m->head.msg_iovlen;
	if (m->n > IOV_MAX)
		return -EMSGSIZE;
	m->there = calloc(m->n + 1, sizeof(*m->there));
	if (!m->there)
		return -ENOMEM;
	if (wgw_target_read(c, (uintptr_t)m->head.msg_iov, m->there, m->n * sizeof(*m->there)))
		return -EFAULT;
	for (size_t i = 0; i < m->n; i++) {
		if (m->there[i].iov_len > (size_t)SSIZE_MAX - total)
			return -EINVAL;
		total += m->there[i].iov_len;
	}
	m->len = total < max ? total : max;
	return make_buffer(m);
}

/** take_head() - the struct msghdr at @at */
static long take_head(const struct wgw_call *c, uint64_t at, struct message *m)
{
	memset(m, 0, sizeof(*m));
	if (wgw_target_read(c, at, &m->head, sizeof(m->head)))
		return -EFAULT;
	if (!m->head.msg_name)
		m->head.msg_namelen = 0;
	if ((int)m->head.msg_namelen < 0)
		return -EINVAL;
	return 0;
}

/** make_message() - for a call that has one buffer, @len bytes at @data, and no struct msghdr; ours
 * is of @max at the most. 0 or -ENOMEM; to be released in any case */
static long make_message(struct message *m, uint64_t data, uint64_t len, size_t max)
{
	memset(m, 0, sizeof(*m));
	m->there = malloc(sizeof(*m->there));
	if (!m->there)
		return -ENOMEM;
	m->there[0] = (struct iovec){(void *)(uintptr_t)data, len};
	m->n = 1;
	m->len = len < max ? len : max;
	return make_buffer(m);
}

/* ---- out ---- */

static size_t most_of(const struct wgw_call *c)
{
	/* one more than a datagram may have, so that it is seen to be too long */
	return wgw_tag_kind(c->tag) == WGW_KIND_TCP ? STREAM_PIECE_BYTES : DATAGRAM_MAX_BYTES;
}

/** gather() - fills our buffer from the program's */
static long gather(const struct wgw_call *c, struct message *m)
{
	size_t done = 0;

	for (size_t i = 0; i < m->n && done < m->len; i++) {
		size_t len = m->there[i].iov_len;

		if (len > m->len - done)
			len = m->len - done;
		if (wgw_target_read(c, (uintptr_t)m->there[i].iov_base, m->data + done, len))
			return -EFAULT;
		done += len;
	}
	return 0;
}

/** take_name() - the destination */
static long take_name(const struct wgw_call *c, struct message *m, uint64_t at, socklen_t len)
{
	if (!at || !len)
		return 0;
	if (len > sizeof(m->name))
		return -EINVAL;
	m->msg.msg_name = &m->name;
	m->msg.msg_namelen = len;
	return wgw_target_read(c, at, &m->name, len);
}

static long take_control(const struct wgw_call *c, struct message *m)
{
	if (!m->head.msg_control || !m->head.msg_controllen)
		return 0;
	if (m->head.msg_controllen > sizeof(m->control))
		return -ENOBUFS;
	m->msg.msg_control = m->control;
	m->msg.msg_controllen = m->head.msg_controllen;
	return wgw_target_read(c, (uintptr_t)m->head.msg_control, m->control,
			       m->head.msg_controllen);
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

/** send_message() - waits for room as the program's call would */
static long send_message(struct wgw_call *c, const struct message *m, int flags)
{
	int64_t until = wgw_call_until(c, SO_SNDTIMEO);
	bool wait = !(flags & MSG_DONTWAIT) && !wgw_repr_nonblocking(c->fd);

	for (;;) {
		ssize_t n;
		long rc;

		if (!wgw_call_valid(c))
			return WGW_CALL_GONE;
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
		if (n != -EAGAIN || !wait)
			return n;
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
	struct message m;
	long rc;

	if (c->what != WGW_SOCKET_OURS)
		return outside(c, c->args[4], (socklen_t)c->args[5]);
	if ((int)c->args[5] < 0)
		return -EINVAL;
	rc = make_message(&m, c->args[1], c->args[2], most_of(c));
	if (rc == 0)
		rc = gather(c, &m);
	if (rc == 0)
		rc = take_name(c, &m, c->args[4], (socklen_t)c->args[5]);
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
	return wgw_tag_kind(c->tag) == WGW_KIND_TCP || (c->tag & WGW_TAG_RAW);
}

/** take_whole() - what @m->head describes; to be released in any case */
static long take_whole(const struct wgw_call *c, struct message *m)
{
	long rc = take_buffers(c, m, most_of(c));

	if (rc == 0)
		rc = gather(c, m);
	if (rc == 0)
		rc = take_name(c, m, (uintptr_t)m->head.msg_name, m->head.msg_namelen);
	if (rc == 0)
		rc = take_control(c, m);
	return rc;
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

static uint64_t message_at(const struct wgw_call *c, unsigned int i)
{
	return c->args[1] + i * sizeof(struct mmsghdr);
}

static int write_length(const struct wgw_call *c, unsigned int i, long n)
{
	unsigned int len = (unsigned int)n;

	return wgw_target_write(c, message_at(c, i) + offsetof(struct mmsghdr, msg_len), &len,
				sizeof(len));
}

static unsigned int message_count(const struct wgw_call *c)
{
	unsigned int n = (unsigned int)c->args[2];

	return n > IOV_MAX ? IOV_MAX : n; /* as the kernel */
}

/** send_one_of() - message @i. *@digest: of those before it, then of it, too */
static long send_one_of(struct wgw_call *c, unsigned int i, int flags, bool is_sent,
			uint64_t *digest)
{
	struct message m;
	long rc = take_head(c, message_at(c, i), &m);

	if (rc)
		return rc;
	rc = take_whole(c, &m);
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
static unsigned int sent_before(struct wgw_call *c, unsigned int n, uint64_t *digest)
{
	const uint64_t none = *digest;
	long done = wgw_busy_may_be_done(c), i = 0;

	while (i < done && i < (long)n && send_one_of(c, (unsigned int)i, 0, true, digest) == 0)
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
	long rc = 0;

	if (c->what == WGW_SOCKET_IP || c->what == WGW_SOCKET_UNKNOWN)
		return -EPERM;
	if (c->what == WGW_SOCKET_OTHER || wgw_tag_kind(c->tag) == WGW_KIND_TCP)
		return WGW_CALL_CONTINUE;
	i = sent_before(c, n, &digest);
	if (i) {
		wgw_busy_keep_done(c); /* this one, too, may be interrupted */
		flags |= MSG_DONTWAIT; /* as the kernel, which ends such a wait with what it has */
	}
	for (; i < n; i++) {
		rc = send_one_of(c, i, flags, false, &digest);
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
static long receive_message(struct wgw_call *c, struct message *m, int flags, int64_t until)
{
	bool wait = !(flags & MSG_DONTWAIT) && !wgw_repr_nonblocking(c->fd);

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
		if (n == -EAGAIN && wait && wgw_tag_kind(c->tag) != WGW_KIND_TCP &&
		    (c->tag & WGW_TAG_SHUT_RD) && !(flags & MSG_ERRQUEUE)) {
			/* nothing more comes; a poll would say so at once, each time */
			m->msg.msg_namelen = 0;
			m->msg.msg_controllen = 0;
			return 0;
		}
		if (n != -EAGAIN || !wait || (flags & MSG_ERRQUEUE))
			return n;
		rc = wgw_call_wait(c, POLLIN, until);
		if (rc <= 0)
			return rc == 0 ? -EAGAIN : rc;
		if (!wgw_repr_tag(c->fd, &c->tag))
			return -EBADF;
	}
}

/** scatter() - @n bytes into the program's buffers */
static long scatter(const struct wgw_call *c, const struct message *m, size_t n)
{
	size_t done = 0;

	if (n > m->len)
		n = m->len;
	for (size_t i = 0; i < m->n && done < n; i++) {
		size_t len = m->there[i].iov_len < n - done ? m->there[i].iov_len : n - done;

		if (wgw_target_write(c, (uintptr_t)m->there[i].iov_base, m->data + done, len))
			return -EFAULT;
		done += len;
	}
	return 0;
}

/** write_back() - what recvmsg(2) leaves in the struct msghdr at @at */
static long write_back(const struct wgw_call *c, const struct message *m, uint64_t at)
{
	socklen_t room = m->head.msg_name ? m->head.msg_namelen : 0;
	size_t name = room < m->msg.msg_namelen ? room : m->msg.msg_namelen;
	struct msghdr after = m->head;
	int rc;

	after.msg_namelen = m->head.msg_name ? m->msg.msg_namelen : 0;
	after.msg_controllen = m->msg.msg_controllen;
	after.msg_flags = m->msg.msg_flags;
	rc = wgw_target_write(c, (uintptr_t)m->head.msg_name, &m->name, name);
	if (rc == 0)
		rc = wgw_target_write(c, (uintptr_t)m->head.msg_control, m->control,
				      m->msg.msg_controllen);
	return rc ? rc : wgw_target_write(c, at, &after, sizeof(after));
}

/** receive_head() - receives into what the struct msghdr at @at describes. *@kept: that had been
 * received for a call that was interrupted */
static long receive_head(struct wgw_call *c, uint64_t at, int flags, int64_t until, bool *kept)
{
	struct message m;
	long rc = take_head(c, at, &m), n = 0;
	bool got = false;

	if (rc)
		return rc;
	rc = take_buffers(c, &m, DATAGRAM_MAX_BYTES);
	if (rc == 0) {
		m.msg.msg_name = m.head.msg_name ? &m.name : NULL;
		m.msg.msg_namelen = sizeof(m.name);
		m.msg.msg_control = m.head.msg_control ? m.control : NULL;
		m.msg.msg_controllen = m.head.msg_controllen < sizeof(m.control)
					       ? m.head.msg_controllen
					       : sizeof(m.control);
		n = rc = receive_message(c, &m, flags, until);
		got = n >= 0;
	}
	if (got)
		rc = scatter(c, &m, (size_t)n);
	if (rc == 0)
		rc = write_back(c, &m, at);
	if (got)
		keep_datagram(c, &m, n, flags);
	*kept = m.kept;
	release(&m);
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

long wgw_call_recvfrom(struct wgw_call *c)
{
	struct message m;
	long rc = received_by_kernel(c, (int)c->args[3]), n;

	if (rc)
		return rc;
	n = make_message(&m, c->args[1], c->args[2], DATAGRAM_MAX_BYTES);
	m.msg.msg_name = &m.name;
	m.msg.msg_namelen = sizeof(m.name);
	if (n == 0)
		n = receive_message(c, &m, (int)c->args[3], wgw_call_until(c, SO_RCVTIMEO));
	rc = n < 0 ? n : scatter(c, &m, (size_t)n);
	if (rc == 0 && c->args[4])
		rc = wgw_target_write_address(c, c->args[4], c->args[5], &m.name,
					      m.msg.msg_namelen);
	if (n >= 0)
		keep_datagram(c, &m, n, (int)c->args[3]);
	release(&m);
	return rc ? rc : n;
}

long wgw_call_recvmsg(struct wgw_call *c)
{
	int flags = (int)c->args[2];
	long rc = received_by_kernel(c, flags);
	bool kept = false;

	if (rc)
		return rc;
	return receive_head(c, c->args[1], flags, wgw_call_until(c, SO_RCVTIMEO), &kept);
}

long wgw_call_recvmmsg(struct wgw_call *c)
{
	unsigned int n = message_count(c), i;
	int flags = (int)c->args[3];
	struct timespec limit;
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
		rc = receive_head(c, message_at(c, i), flags & ~MSG_WAITFORONE,
				  wgw_call_until(c, SO_RCVTIMEO), &kept);
		if (rc == WGW_CALL_GONE)
			return rc;
		if (rc >= 0)
			rc = write_length(c, i, rc);
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
