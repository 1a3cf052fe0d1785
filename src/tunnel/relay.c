/* SPDX-License-Identifier: MIT */
/*
 * relay.c - TCP connections that do not go through the tunnel
 *
 * Theory of operation
 *
 * The far side is a descriptor: a kernel TCP socket to a direct destination (loopback, --direct),
 * or a stream that is connected to the listener of another application of the session, which
 * keeps a byte as every application's end does. Both directions are the same code: read what
 * waits into one shared buffer, write it on, keep what did not fit in the connection's stash and
 * read no more before that is gone. What comes from a kernel socket in large pieces goes through
 * a pipe instead, which saves both copies. Ends travel as they are: FIN as FIN, a reset as a
 * reset (SO_LINGER with 0 s towards TCP, the keeper towards an application).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/sockaddr.h"
#include "src/tunnel/end.h"
#include "src/tunnel/keep.h"
#include "src/tunnel/listen.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/tcp.h"

enum {
	RELAY_BYTES = 64 * 1024,
	SPLICED_MIN_BYTES = 16 * 1024, /* less is cheaper to copy */
	ORPHAN_MS = 325 * 1000,	       /* when Linux gives one up in front of a closed window */
};

static uint8_t buffer[RELAY_BYTES];

enum direction { OUT, IN };

/* What goes to @to will not be read. An error other than that is told once: a socket that was reset
 * looks to epoll as if it had ended. */
static void discard(struct wgw_conn *c, enum direction d, struct wgw_end *to, ssize_t err)
{
	c->discarded[d] = true;
	if (err != -EPIPE)
		to->events |= EPOLLERR;
}

/* Writes the stash on. False: it still holds something. */
static bool flush_stash(struct wgw_conn *c, enum direction d, struct wgw_end *to)
{
	while (c->stash_at[d] < c->stash_len[d]) {
		struct iovec iov = {c->stash[d] + c->stash_at[d], c->stash_len[d] - c->stash_at[d]};
		ssize_t r = to->full ? 0 : wgw_end_write(to, &iov, 1);

		if (r == 0)
			return false;
		if (r < 0) {
			discard(c, d, to, r);
			break;
		}
		c->stash_at[d] += (size_t)r;
	}
	free(c->stash[d]);
	c->stash[d] = NULL;
	c->stash_at[d] = c->stash_len[d] = 0;
	return true;
}

static bool stash(struct wgw_conn *c, enum direction d, const uint8_t *bytes, size_t len)
{
	c->stash[d] = malloc(len);
	if (!c->stash[d])
		return false;
	memcpy(c->stash[d], bytes, len);
	c->stash_at[d] = 0;
	c->stash_len[d] = len;
	return true;
}

/* ---- without copies ---- */

/* One pipe for all connections: it is empty whenever nothing is being moved. */
static int pipe_fds[2] = {-1, -1};
static bool no_splice;

static void pipe_close(void)
{
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	pipe_fds[0] = pipe_fds[1] = -1;
}

static bool can_splice(const struct wgw_end *from, const struct wgw_end *to, size_t waiting)
{
	if (from->keeps || to->full || no_splice || waiting < SPLICED_MIN_BYTES)
		return false;
	if (pipe_fds[0] >= 0)
		return true;
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	/* best effort: one page's room for each page that is touched, and they may be touched in
	 * part */
	fcntl(pipe_fds[1], F_SETPIPE_SZ, 4 * RELAY_BYTES);
	return true;
}

/* What @to had no room for, or could not be spliced, out of the pipe. */
static bool stash_pipe(struct wgw_conn *c, enum direction d, size_t len)
{
	ssize_t r;

	c->stash[d] = malloc(len);
	if (!c->stash[d])
		return false;
	c->stash_at[d] = c->stash_len[d] = 0;
	while (c->stash_len[d] < len) {
		r = read(pipe_fds[0], c->stash[d] + c->stash_len[d], len - c->stash_len[d]);
		if (r <= 0)
			return false;
		c->stash_len[d] += (size_t)r;
	}
	return true;
}

/* Reads @len bytes, at most RELAY_BYTES, and writes them on. How much was read, or -errno. */
static ssize_t move_copied(struct wgw_conn *c, enum direction d, struct wgw_end *from,
			   struct wgw_end *to, size_t len)
{
	struct iovec iov = {buffer, sizeof(buffer)};
	ssize_t got, put;

	got = wgw_end_read(from, &iov, 1, len);
	if (got <= 0)
		return got;
	iov.iov_len = (size_t)got;
	put = to->full ? 0 : wgw_end_write(to, &iov, 1);
	if (put < 0)
		discard(c, d, to, put);
	else if (put < got && !stash(c, d, buffer + put, (size_t)(got - put)))
		return -ENOMEM;
	return got;
}

/* The same by splice(2), if the kernel can. */
static ssize_t move_spliced(struct wgw_conn *c, enum direction d, struct wgw_end *from,
			    struct wgw_end *to, size_t len)
{
	ssize_t got = wgw_end_to_pipe(from, pipe_fds[1], len), put = 0, r = 0;

	if (got <= 0) {
		no_splice = got == -EINVAL;
		return move_copied(c, d, from, to, len);
	}
	while (put < got) {
		r = wgw_end_from_pipe(to, pipe_fds[0], (size_t)(got - put));
		if (r <= 0)
			break;
		put += r;
	}
	no_splice = r == -EINVAL;
	if (r < 0 && r != -EINVAL)
		discard(c, d, to, r);
	else if (put < got && !stash_pipe(c, d, (size_t)(got - put)))
		got = -ENOMEM;
	if (c->discarded[d] || got < 0)
		pipe_close(); /* with what is in it */
	return got;
}

/* Moves what waits one way. 0: all moved, 1: more to come when @to has room, -errno: over. */
static int pump(struct wgw_conn *c, enum direction d, struct wgw_end *from, struct wgw_end *to)
{
	size_t budget = WGW_PUMP_BYTES;

	for (;;) {
		size_t waiting;
		ssize_t got;

		if (!flush_stash(c, d, to))
			return 1;
		waiting = wgw_end_ready(from);
		if (waiting == 0)
			return 0;
		if (budget == 0) {
			wgw_conn_kick(c);
			return 1;
		}
		waiting = waiting < RELAY_BYTES ? waiting : RELAY_BYTES;
		got = can_splice(from, to, waiting) ? move_spliced(c, d, from, to, waiting)
						    : move_copied(c, d, from, to, waiting);
		if (got <= 0)
			return got < 0 && got != -EAGAIN ? (int)got : 0;
		budget -= (size_t)got < budget ? (size_t)got : budget;
		c->moved[d] += (size_t)got;
	}
}

/* One direction and its FIN. False: the connection is over with c->err. */
static bool one_way(struct wgw_conn *c, enum direction d, struct wgw_end *from, struct wgw_end *to)
{
	int r = pump(c, d, from, to);

	if (r < 0) {
		c->err = -r;
		return false;
	}
	if (r == 0 && from->events & (EPOLLRDHUP | EPOLLHUP) && !(from->events & EPOLLERR))
		wgw_end_finish(to);
	return true;
}

/* An end is closed while the other still sends to it, @d: TCP answers that with RST. */
static bool is_deserted(struct wgw_conn *c, enum direction d)
{
	const struct wgw_end *to = d == OUT ? &c->far_end : &c->app;
	struct wgw_end *from = d == OUT ? &c->app : &c->far_end;

	return to->events & EPOLLHUP &&
	       (c->discarded[d] || (!to->fin_sent && wgw_end_pending(from) > 0));
}

/*
 * Both ends have had their FIN; or one is closed and the other has its FIN, if the far one is a
 * kernel's TCP socket: the kernel does the rest of its life when we close it. With a program at
 * either end we stay, for TCP takes a write after the peer's close and answers it with RST.
 */
static bool is_over(const struct wgw_conn *c)
{
	const struct wgw_end *app = &c->app, *far = &c->far_end;

	if (app->fin_sent && far->fin_sent)
		return true;
	return !far->keeps && ((app->events & EPOLLHUP && far->fin_sent) ||
			       (far->events & EPOLLHUP && app->fin_sent));
}

/* The program at the far end has closed it with SO_LINGER and 0 s. */
static bool far_lingered(struct wgw_conn *c)
{
	const struct wgw_sock *sock;
	const struct wgw_option *o;
	struct linger linger;

	if (!(c->far_end.events & EPOLLHUP))
		return false;
	sock = wgw_sock_of_any(c->sockets, c->far_cookie);
	o = sock ? wgw_option_get(sock, SOL_SOCKET, SO_LINGER) : NULL;
	if (!o || o->len < sizeof(linger))
		return false;
	memcpy(&linger, o->value, sizeof(linger));
	return linger.l_onoff && linger.l_linger == 0;
}

/* The program is gone and the kernel does not know it, as we have not closed. It would give up a
 * connection whose peer takes nothing (tcp_orphan_retries). */
static void orphan(struct wgw_conn *c)
{
	int own_ms = wgw_option_int(&c->sock, IPPROTO_TCP, TCP_USER_TIMEOUT, 0), ms = ORPHAN_MS;

	if (c->far_end.keeps || c->orphan)
		return;
	c->orphan = true;
	if (own_ms <= 0 || own_ms > ms)
		setsockopt(c->far_end.watch.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

static void relay_pump(struct wgw_conn *c)
{
	struct wgw_end *app = &c->app, *far = &c->far_end;
	uint64_t inode;
	bool reset = c->err || wgw_conn_app_reset(c) || is_deserted(c, IN);

	if (far_lingered(c))
		far->events |= EPOLLERR;
	if (reset && !far->fin_sent)
		pump(c, OUT, app, far); /* Linux had sent it when write returned */
	else if (!far->fin_sent)
		reset = !one_way(c, OUT, app, far);
	if (!reset && !app->fin_sent)
		reset = !one_way(c, IN, far, app);
	if (app->hello_fd >= 0)
		wgw_accepted_identify(c);
	if (far->hello_fd >= 0) { /* held, it would hide the hang-up */
		wgw_fd_identity(far->hello_fd, &c->far_cookie, &inode);
		close(far->hello_fd);
		far->hello_fd = -1;
	}
	if (!reset && !c->stash[IN] && wgw_end_pending(far) == 0)
		/* after the data that came before it */
		reset = far->events & EPOLLERR || (far->keeps && is_deserted(c, OUT));
	if (reset)
		c->err = c->err ? c->err : ECONNRESET;
	if (reset && (wgw_end_keeper_comes(app) || wgw_end_keeper_comes(far)))
		return; /* before it was accepted */
	if (reset || is_over(c))
		wgw_conn_drop(c);
	else if (app->events & EPOLLHUP)
		orphan(c);
}

static void relay_abort(struct wgw_conn *c)
{
	c->err = c->err ? c->err : ECONNRESET;
	c->far_over = true;
	wgw_end_close(c->sockets->t->loop, &c->far_end, true);
}

static void relay_options(struct wgw_conn *c)
{
	static const struct {
		int level, name;
	} same[] = {
		{IPPROTO_TCP, TCP_NODELAY},  {SOL_SOCKET, SO_KEEPALIVE},
		{IPPROTO_TCP, TCP_KEEPIDLE}, {IPPROTO_TCP, TCP_KEEPINTVL},
		{IPPROTO_TCP, TCP_KEEPCNT},  {IPPROTO_TCP, TCP_USER_TIMEOUT},
	};

	for (size_t i = 0; !c->far_end.keeps && i < sizeof(same) / sizeof(same[0]); i++) {
		const struct wgw_option *o = wgw_option_get(&c->sock, same[i].level, same[i].name);

		if (o)
			setsockopt(c->far_end.watch.fd, o->level, o->name, o->value, o->len);
	}
}

static const struct wgw_far relay_far = {relay_pump, relay_abort, relay_options};

/* ---- beginning ---- */

static void local_name(struct wgw_conn *c)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getsockname(c->far_end.watch.fd, (struct sockaddr *)&ss, &len) == 0)
		wgw_sockaddr_to(&ss, &c->local);
}

static void far_ready(struct wgw_watch *w, uint32_t events)
{
	struct wgw_conn *c = wgw_container(w, struct wgw_conn, far_end.watch);

	if (c->state == WGW_CONN_PENDING) {
		int err = 0;
		socklen_t len = sizeof(err);

		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return;
		if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
			err = errno;
		if (!err && events & EPOLLHUP && !(events & EPOLLOUT))
			return; /* not connected yet */
		local_name(c);
		wgw_conn_outcome(c, err);
		if (err)
			return;
		events &= ~(uint32_t)EPOLLERR;
	}
	wgw_end_event(&c->far_end, events);
	wgw_conn_kick(c);
}

int wgw_relay_own(struct wgw_conn *c, int fd, bool keeps)
{
	const int one = 1;
	int err;

	/* urgent bytes come in their place, as from the stack: FIONREAD stops before one that does not */
	if (!keeps)
		setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	wgw_end_init(&c->far_end, fd, keeps, far_ready);
	c->far_end.hello = keeps;
	c->far = &relay_far;
	err = -wgw_end_watch(c->sockets->t->loop, &c->far_end, true);
	if (err) {
		close(fd);
		c->far_end.watch.fd = -1;
	}
	return err;
}

/* The port that bind() chose in the tunnel, if the host has not given it to somebody else. */
static void keep_port(const struct wgw_conn *c, int fd, const struct stack_addr *to)
{
	struct stack_addr from = stack_addr_wildcard(stack_addr_is_v4(to));
	struct sockaddr_storage ss;
	int reuse = 0;
	socklen_t len = sizeof(reuse);

	from.port = c->local.port;
	if (from.port == 0)
		return;
	if (getsockopt(c->dup, SOL_SOCKET, SO_REUSEADDR, &reuse, &len) == 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
	len = wgw_sockaddr_from(&from, &ss);
	(void)!bind(fd, (struct sockaddr *)&ss, len);
}

int wgw_relay_start(struct wgw_conn *c, int fd, const struct stack_addr *to)
{
	struct sockaddr_storage ss;
	socklen_t len = wgw_sockaddr_from(to, &ss);
	int err;

	if (stack_addr_is_loopback(to)) /* not a listener whose program has closed it */
		wgw_listen_reap(c->sockets, to->port);
	if (fd < 0) {
		fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return errno;
		keep_port(c, fd, to);
	}
	c->far_end.watch.fd = fd; /* for relay_options */
	relay_options(c);
	if (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS) {
		err = errno;
		close(fd);
		c->far_end.watch.fd = -1;
		return err;
	}
	err = wgw_relay_own(c, fd, false);
	if (!err)
		local_name(c);
	return err;
}
