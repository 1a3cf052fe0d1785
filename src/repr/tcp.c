/* SPDX-License-Identifier: MIT */
/*
 * tcp.c - creation of sockets, and the in-place TCP connect
 *
 * Theory of operation
 *
 * A TCP socket is an unconnected AF_UNIX stream, which polls as an unconnected TCP socket does. To
 * connect, the same open file description is connected to the tunnel process with the smallest send
 * buffer, and filled until it takes no more: it is not writable, as a TCP socket in SYN_SENT. What
 * fills it is the connect record. The tunnel process binds the outcome to the socket as a label,
 * then raises the send buffer (success: one EPOLLOUT edge) or closes (failure: IN|OUT|ERR|HUP).
 *
 * The state of a socket is derived from the kernel on each call:
 *
 *	own name is a label	outcome known
 *	no peer			new
 *	peer, hung up, no label	lost: the tunnel process died
 *	peer			connecting
 *
 * WGW_TAG_REPORTED is the rest of Linux's state machine: the first connect() after a success
 * returns 0 and the next EISCONN; an error is told once. When connect() told it the socket is as
 * new (WGW_TAG_DISSOLVED); otherwise the next connect() says ECONNABORTED first.
 */
#include "src/repr/repr.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "src/repr/raw.h"

enum {
	RENDEZVOUS_WAIT_MS = 2000, /* for room in the tunnel process's backlog */
	RENDEZVOUS_NAP_MS = 5,
	SMALLEST_BUFFER_BYTES = 1, /* the kernel makes it its minimum */
	DATAGRAM_BUFFER_BYTES = 1 << 20,
	FILL_BYTES = 4096,
	FILL_ROUNDS_MAX = 64,
	KERNEL_SIGNALS = 64,
	IPPROTO_CEILING = 263, /* protocols from here on are EINVAL: after IPPROTO_MPTCP */
};

/* ---- creation ---- */

/* Which kind of socket the program asks for. -errno as Linux's inet_create() gives it. */
static int kind_of(int domain, int type, int protocol)
{
	bool v6 = domain == AF_INET6;

	if (protocol < 0 || protocol >= IPPROTO_CEILING)
		return -EINVAL;
	switch (type) {
	case SOCK_STREAM:
		return protocol == 0 || protocol == IPPROTO_TCP ? (int)WGW_KIND_TCP
								: -EPROTONOSUPPORT;
	case SOCK_DGRAM:
		if (protocol == 0 || protocol == IPPROTO_UDP)
			return WGW_KIND_UDP;
		if (protocol == (v6 ? (int)IPPROTO_ICMPV6 : (int)IPPROTO_ICMP))
			return WGW_KIND_PING;
		return -EPROTONOSUPPORT;
	case SOCK_RAW:
		return -EPERM;
	default:
		return -ESOCKTNOSUPPORT;
	}
}

static int open_stream(uint64_t tag, int flags)
{
	int fd = wgw_raw_socket(AF_UNIX, SOCK_STREAM | flags, 0);
	int rc;

	if (fd < 0)
		return fd;
	rc = wgw_repr_tag_put(fd, tag);
	if (rc < 0) {
		wgw_raw_close(fd);
		return rc;
	}
	return fd;
}

/* Connects to the sequenced rendezvous and introduces the socket. Waits for room, for a bounded
 * time: O_NONBLOCK comes later. */
static int introduce(const struct wgw_repr_session *s, int fd, uint64_t tag)
{
	struct timeval limit = {RENDEZVOUS_WAIT_MS / 1000, RENDEZVOUS_WAIT_MS % 1000 * 1000};
	const struct timeval none = {0};
	int buffer = DATAGRAM_BUFFER_BYTES;
	struct wgw_op op;
	int rc;

	wgw_raw_setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	do
		rc = wgw_repr_rendezvous(s, fd, 'q');
	while (rc == -EINTR);
	if (rc < 0)
		return rc == -EAGAIN ? -ENOBUFS : rc;
	wgw_raw_setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	wgw_raw_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	rc = wgw_repr_tag_put(fd, tag);
	if (rc < 0)
		return rc;
	wgw_repr_op_init(s, &op, WGW_OP_UDP_OPEN, fd, tag);
	op.u.open.flags = (tag & WGW_TAG_V6 ? WGW_BIND_V6 : 0) |
			  (tag & WGW_TAG_OUTSIDE ? WGW_BIND_OUTSIDE : 0) |
			  (tag & WGW_TAG_RAW ? WGW_BIND_RAW : 0);
	return wgw_repr_op_send(fd, &op, NULL, 0, -1);
}

static int open_datagram(const struct wgw_repr_session *s, uint64_t tag, int flags)
{
	int fd = wgw_raw_socket(AF_UNIX, SOCK_SEQPACKET | (flags & SOCK_CLOEXEC), 0);
	int rc;

	if (fd < 0)
		return fd;
	rc = introduce(s, fd, tag);
	if (rc == 0 && (flags & SOCK_NONBLOCK))
		rc = wgw_raw_fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	if (rc < 0) {
		wgw_raw_close(fd);
		return rc;
	}
	return fd;
}

int wgw_repr_socket(const struct wgw_repr_session *s, int domain, int type, int protocol)
{
	int flags = type & (SOCK_NONBLOCK | SOCK_CLOEXEC);
	uint64_t tag = WGW_TAG_MAGIC | wgw_tag_mark(s->label_key);
	int kind;

	if (type & ~(0xf | SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	kind = kind_of(domain, type & 0xf, protocol);
	if (kind < 0)
		return kind;
	tag |= (uint64_t)kind << WGW_TAG_KIND_SHIFT;
	if (domain == AF_INET6)
		tag |= WGW_TAG_V6;
	if (s->outside)
		tag |= WGW_TAG_OUTSIDE;
	if (s->bare && kind != WGW_KIND_TCP)
		tag |= WGW_TAG_RAW;
	return kind == WGW_KIND_TCP ? open_stream(tag, flags) : open_datagram(s, tag, flags);
}

/* ---- state ---- */

enum wgw_repr_tcp_state wgw_repr_tcp_state(const struct wgw_repr_session *s, int fd, uint64_t tag,
					   struct wgw_label *label)
{
	struct sockaddr_un un;
	socklen_t len = sizeof(un);
	bool labelled, over;

	if (tag & WGW_TAG_LISTENING)
		return WGW_REPR_LISTENING;
	if (tag & WGW_TAG_ACCEPTED)
		return wgw_repr_label(s, fd, true, label) ? WGW_REPR_CONNECTED : WGW_REPR_LOST;
	/* There is no label before the record is whole, and it does not go away */
	labelled = wgw_repr_label(s, fd, false, label);
	if (!labelled && !(tag & WGW_TAG_FILLED) && wgw_raw_getpeername(fd, &un, &len) < 0)
		return WGW_REPR_NEW;
	/* The label comes before the hang-up: look in the other order. */
	over = !labelled && wgw_repr_hung_up(fd);
	if (labelled || (over && wgw_repr_label(s, fd, false, label)))
		return label->outcome == WGW_OUTCOME_FAILED ? WGW_REPR_FAILED : WGW_REPR_CONNECTED;
	return over ? WGW_REPR_LOST : WGW_REPR_CONNECTING;
}

/* The errno of a connect that came to nothing. */
static int failure_of(enum wgw_repr_tcp_state state, const struct wgw_label *label)
{
	if (state == WGW_REPR_FAILED && label->err)
		return label->err;
	return ENETDOWN;
}

static void clear_kernel_error(int fd)
{
	int err;
	socklen_t len = sizeof(err);

	wgw_raw_getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
}

int wgw_repr_connect_result(const struct wgw_repr_session *s, int fd, uint64_t tag)
{
	struct wgw_label label;
	enum wgw_repr_tcp_state state = wgw_repr_tcp_state(s, fd, tag, &label);

	switch (state) {
	case WGW_REPR_NEW:
		return -ENOTCONN;
	case WGW_REPR_LISTENING:
		return -EISCONN;
	case WGW_REPR_CONNECTING:
		return -EALREADY;
	case WGW_REPR_CONNECTED:
		if (tag & (WGW_TAG_REPORTED | WGW_TAG_ACCEPTED))
			return -EISCONN;
		wgw_repr_tag_put(fd, tag | WGW_TAG_REPORTED);
		return 0;
	default:
		if (tag & WGW_TAG_REPORTED)
			return -ECONNABORTED;
		wgw_repr_tag_change(fd, WGW_TAG_REPORTED | WGW_TAG_DISSOLVED, 0);
		clear_kernel_error(fd);
		return -failure_of(state, &label);
	}
}

/* ICMP errors are at the tunnel process; unconnected sockets are told of them only on request. */
static int datagram_error(const struct wgw_repr_session *s, int fd, uint64_t tag, int err)
{
	struct wgw_op op;

	if (err || !(tag & (WGW_TAG_CONNECTED | WGW_TAG_RECVERR)))
		return err;
	wgw_repr_op_init(s, &op, WGW_OP_GETOPT, fd, tag);
	op.u.option.level = SOL_SOCKET;
	op.u.option.name = SO_ERROR;
	if (wgw_repr_op_call(s, &op) == 0 && op.u.option.len == sizeof(err))
		memcpy(&err, op.u.option.value, sizeof(err));
	if (err == EMSGSIZE)
		wgw_repr_mtus_forget();
	return err;
}

int wgw_repr_so_error(const struct wgw_repr_session *s, int fd, uint64_t tag)
{
	struct wgw_label label;
	enum wgw_repr_tcp_state state;
	int err = 0;
	socklen_t len = sizeof(err);

	wgw_raw_getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (wgw_tag_kind(tag) != WGW_KIND_TCP)
		return datagram_error(s, fd, tag, err);
	state = wgw_repr_tcp_state(s, fd, tag, &label);
	if (state != WGW_REPR_FAILED && state != WGW_REPR_LOST)
		return err;
	if (tag & WGW_TAG_REPORTED)
		return 0;
	wgw_repr_tag_change(fd, WGW_TAG_REPORTED, 0);
	return failure_of(state, &label);
}

/* ---- connect ---- */

/* Connects @fd to the stream rendezvous; a full backlog is waited for, but not for ever. */
static int reach_tunnel(const struct wgw_repr_session *s, int fd)
{
	int64_t until = 0;
	int rc;

	for (;;) {
		rc = wgw_repr_rendezvous(s, fd, 's');
		if (rc != -EAGAIN)
			return rc;
		if (!until)
			until = wgw_raw_now_ms() + RENDEZVOUS_WAIT_MS;
		if (wgw_raw_now_ms() >= until)
			return -ENOBUFS;
		/* a signal ends no connect that does not block, and one that does waits above */
		wgw_raw_poll(NULL, 0, RENDEZVOUS_NAP_MS);
	}
}

static void make_record(const struct wgw_repr_session *s, int fd, uint64_t tag,
			const struct stack_addr *to, struct wgw_connect *record)
{
	struct linger linger = {0};
	socklen_t len = sizeof(linger);
	int on = 0;

	memset(record, 0, sizeof(*record));
	record->magic = WGW_WIRE_MAGIC;
	record->version = WGW_WIRE_VERSION;
	memcpy(record->token, s->token, sizeof(record->token));
	record->cookie = wgw_repr_cookie(fd);
	record->pid = wgw_raw_getpid();
	memcpy(record->to.ip, to->ip, 16);
	record->to.port = to->port;
	if (tag & WGW_TAG_NODELAY)
		record->flags |= WGW_CONNECT_NODELAY;
	if (tag & WGW_TAG_BOUND)
		record->flags |= WGW_CONNECT_BOUND;
	if (tag & WGW_TAG_OPTIONS)
		record->flags |= WGW_CONNECT_OPTIONS;
	if (tag & WGW_TAG_V6)
		record->flags |= WGW_CONNECT_V6;
	if (tag & WGW_TAG_OUTSIDE)
		record->flags |= WGW_CONNECT_OUTSIDE;
	if (!(tag & WGW_TAG_INHERITED)) /* both are as they are at first */
		return;
	if (wgw_raw_getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 && linger.l_onoff) {
		record->flags |= WGW_CONNECT_LINGER;
		record->linger_s = (uint16_t)(linger.l_linger > (int)UINT16_MAX ? (int)UINT16_MAX
										: linger.l_linger);
	}
	len = sizeof(on);
	if (wgw_raw_getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len) == 0 && on)
		record->flags |= WGW_CONNECT_KEEPALIVE;
}

/*
 * Sends the record, then zeros until the socket takes no more. The record is a message of its own:
 * when the tunnel process takes the descriptor that was sent first, the rest must still be too much
 * for the buffer, or a program that writes early would write into the record.
 */
static int fill(int fd, const struct wgw_connect *record)
{
	static const char zeros[FILL_BYTES];
	ssize_t n = wgw_raw_send(fd, record, sizeof(*record), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n != (ssize_t)sizeof(*record))
		return n == -EPIPE || n == -ECONNRESET ? -ENETDOWN : -ENOBUFS;
	for (int round = 0; round < FILL_ROUNDS_MAX; round++) {
		n = wgw_raw_send(fd, zeros, sizeof(zeros), MSG_DONTWAIT | MSG_NOSIGNAL);
		/* a part: the rest met EAGAIN */
		if (n == -EAGAIN || (n >= 0 && n < FILL_BYTES))
			return 0;
		if (n < 0)
			return -ENETDOWN;
	}
	return -ENOBUFS;
}

/* Starts a TCP connect: -EINPROGRESS when it is under way. */
static int connect_start(const struct wgw_repr_session *s, int fd, uint64_t tag,
			 const struct stack_addr *to)
{
	int buffer = SMALLEST_BUFFER_BYTES;
	struct wgw_connect record;
	int rc;

	make_record(s, fd, tag, to, &record);
	rc = wgw_raw_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	if (rc == 0)
		rc = reach_tunnel(s, fd);
	if (rc < 0)
		return rc;
	rc = wgw_repr_pass_self(fd);
	if (rc == 0)
		rc = fill(fd, &record);
	if (rc < 0) {
		/* Half of a record is no connect: the tunnel process sees the end and drops it. */
		wgw_raw_shutdown(fd, SHUT_RDWR);
		wgw_repr_tag_change(fd, WGW_TAG_REPORTED | WGW_TAG_DISSOLVED, 0);
		return rc;
	}
	rc = wgw_repr_tag_change(fd, WGW_TAG_FILLED, 0);
	return rc < 0 ? rc : -EINPROGRESS;
}

/* ---- waiting ---- */

/* The kernel's own struct sigaction, for rt_sigaction(2). */
struct kernel_sigaction {
	void (*handler)(int);
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

/* Faults of the thread itself: none comes while it waits. */
static bool is_fault(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE ||
	       sig == SIGTRAP || sig == SIGSYS;
}

/*
 * Whether every handler the program has installed asks for SA_RESTART. poll(2) is never restarted
 * but connect(2) without a time limit is: this tells which one the program would have seen.
 */
static bool handlers_restart(void)
{
	for (int sig = 1; sig <= KERNEL_SIGNALS; sig++) {
		struct kernel_sigaction act = {0};

		if (is_fault(sig) ||
		    wgw_raw_call(SYS_rt_sigaction, sig, 0, (long)&act, sizeof(act.mask), 0, 0) < 0)
			continue;
		if (act.handler == SIG_DFL || act.handler == SIG_IGN)
			continue;
		if (!(act.flags & SA_RESTART))
			return false;
	}
	return true;
}

/* Waits for the outcome as a blocking connect does. @pending: what it says when time is up */
static int wait_for_outcome(const struct wgw_repr_session *s, int fd, uint64_t tag, int pending)
{
	int limit_ms = tag & WGW_TAG_INHERITED ? wgw_repr_limit_ms(fd, SO_SNDTIMEO) : -1;
	int64_t until = limit_ms < 0 ? 0 : wgw_raw_now_ms() + limit_ms;
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int left_ms = limit_ms;
	int rc;

	for (;;) {
		rc = wgw_raw_poll(&p, 1, left_ms);
		if (rc == -EINTR && (limit_ms >= 0 || !handlers_restart()))
			return -EINTR;
		if (!wgw_repr_tag(fd, &tag))
			return -EBADF;
		rc = wgw_repr_connect_result(s, fd, tag);
		if (rc != -EALREADY)
			return rc;
		if (limit_ms >= 0)
			left_ms = (int)(until - wgw_raw_now_ms());
		if (limit_ms >= 0 && left_ms <= 0)
			return pending;
	}
}

/* Reads a destination. The wildcard is this host. */
static int read_destination(uint64_t tag, const void *sa, socklen_t len, struct stack_addr *to)
{
	int rc = wgw_repr_addr_read(tag, sa, len, to);

	if (rc == 0 && stack_addr_is_any(to)) {
		if (stack_addr_is_v4(to))
			to->ip[12] = 127;
		to->ip[15] = 1;
	}
	return rc;
}

/* The state comes before the address, as in inet_stream_connect(). */
static int tcp_connect(const struct wgw_repr_session *s, int fd, uint64_t tag, const void *sa,
		       socklen_t len)
{
	const uint64_t not_new = WGW_TAG_FILLED | WGW_TAG_REPORTED | WGW_TAG_ACCEPTED |
				 WGW_TAG_LISTENING | WGW_TAG_DISSOLVED | WGW_TAG_DISCONNECTED;
	struct stack_addr to;
	/* Before the record is whole there can be another thread's connect only: EISCONN below */
	int rc = tag & not_new ? wgw_repr_connect_result(s, fd, tag) : -ENOTCONN;

	if (tag & WGW_TAG_WAS_LISTENER)
		return -ECONNABORTED;
	if (rc == -ENOTCONN) {
		rc = read_destination(tag, sa, len, &to);
		if (rc == 0)
			rc = connect_start(s, fd, tag, &to);
	}
	return rc == -EISCONN && !(tag & not_new) ? -EALREADY : rc;
}

/*
 * connect(AF_UNSPEC): dissolves the association, with a reset. What remains cannot be used again:
 * the caller puts a fresh socket in its place, as after a failure.
 */
static int disconnect(const struct wgw_repr_session *s, int fd, uint64_t tag)
{
	const struct linger now = {1, 0};
	struct wgw_label label;

	if (wgw_tag_kind(tag) != WGW_KIND_TCP)
		return wgw_repr_udp_connect(s, fd, tag, NULL);
	switch (wgw_repr_tcp_state(s, fd, tag, &label)) {
	case WGW_REPR_NEW:
		return 0;
	case WGW_REPR_LISTENING:
		return -EOPNOTSUPP;
	case WGW_REPR_CONNECTED:
		wgw_repr_setsockopt(s, fd, tag, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		break;
	default:
		break;
	}
	wgw_raw_shutdown(fd, SHUT_RDWR);
	wgw_repr_tag_change(fd, WGW_TAG_REPORTED | WGW_TAG_DISCONNECTED, 0);
	return -ECONNABORTED;
}

int wgw_repr_connect_begin(const struct wgw_repr_session *s, int fd, uint64_t tag, const void *sa,
			   socklen_t len)
{
	struct stack_addr to;
	sa_family_t family;
	int rc;

	if (len < sizeof(family) || len > sizeof(struct sockaddr_storage))
		return -EINVAL;
	memcpy(&family, sa, sizeof(family));
	if (family == AF_UNSPEC)
		return disconnect(s, fd, tag);
	if (wgw_tag_kind(tag) == WGW_KIND_TCP)
		return tcp_connect(s, fd, tag, sa, len);
	rc = read_destination(tag, sa, len, &to);
	return rc < 0 ? rc : wgw_repr_udp_connect(s, fd, tag, &to);
}

int wgw_repr_connect(const struct wgw_repr_session *s, int fd, uint64_t tag, const void *sa,
		     socklen_t len)
{
	int rc = wgw_repr_connect_begin(s, fd, tag, sa, len);

	if ((rc == -EINPROGRESS || rc == -EALREADY) && wgw_tag_kind(tag) == WGW_KIND_TCP &&
	    !wgw_repr_nonblocking(fd))
		rc = wait_for_outcome(s, fd, tag, rc);
	return rc;
}
