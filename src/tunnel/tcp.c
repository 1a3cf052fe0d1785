/* SPDX-License-Identifier: MIT */
/*
 * tcp.c - how an application's TCP connect begins, is decided and is abandoned
 *
 * Theory of operation
 *
 *   HELLO	accepted; 'F' and the application's own descriptor are awaited (1 s)
 *   RECORD	the connect record is awaited, then peeked: it stays in the queue (1 s)
 *   PENDING	the far side connects; the application's socket is not writable
 *   DECIDED	the outcome is known, but the application may still be filling its socket: only when
 *		WGW_TAG_FILLED is set (no event tells; a timer looks) is the record whole
 *   OPEN	outcome set; the far side's pump runs
 *
 * Setting the outcome: a sealed label is bound to the application's socket through the duplicate
 * that it sent us. Success then raises SO_SNDBUF, which gives exactly one EPOLLOUT edge, because
 * the record is left where it is. Failure closes our end with the record unread: ERR|HUP in one
 * event.
 *
 * While the duplicate is open the kernel tells nobody that the application closed the socket: see
 * abandoned.c.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/repr/cmsg.h"
#include "src/tunnel/end.h"
#include "src/tunnel/keep.h"
#include "src/tunnel/listen.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/tcp.h"

/* ---- life ---- */

static void conn_free(struct wgw_conn *c)
{
	free(c->tail);
	free(c->stash[0]);
	free(c->stash[1]);
	free(c);
}

void wgw_conn_kick(struct wgw_conn *c)
{
	wgw_job_queue(c->sockets, &c->job);
}

static void app_ready(struct wgw_watch *w, uint32_t events)
{
	struct wgw_conn *c = wgw_container(w, struct wgw_conn, app.watch);

	wgw_end_event(&c->app, events);
	wgw_conn_kick(c);
}

static void conn_run(struct wgw_job *j);
static void conn_due(struct wgw_timer *timer);

struct wgw_conn *wgw_conn_new(struct wgw_sockets *s)
{
	struct wgw_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->sock.role = WGW_ROLE_CONN;
	c->sockets = s;
	c->job.run = conn_run;
	c->timer.due = conn_due;
	c->dup = -1;
	wgw_end_init(&c->app, -1, true, app_ready);
	wgw_end_init(&c->far_end, -1, false, NULL);
	c->started = wgw_loop_now(s->t->loop);
	wgw_list_append(&s->conns, &c->link);
	return c;
}

int wgw_conn_attach(struct wgw_conn *c, int fd)
{
	int err;

	wgw_end_init(&c->app, fd, true, app_ready);
	err = wgw_end_watch(c->sockets->t->loop, &c->app, false);
	if (err < 0)
		c->app.watch.fd = -1;
	return err;
}

int wgw_conn_enter(struct wgw_conn *c, struct wgw_quota *q)
{
	if (!wgw_quota_take(q, &q->conns, WGW_CONNS_MAX))
		return ENOBUFS;
	c->sock.quota = q;
	c->sock.counted = &q->conns;
	c->sockets->open++;
	return 0;
}

void wgw_conn_drop(struct wgw_conn *c)
{
	struct wgw_sockets *s = c->sockets;

	if (c->state == WGW_CONN_DEAD)
		return;
	wgw_timer_cancel(s->t->loop, &c->timer);
	wgw_list_remove(&c->link);
	wgw_list_remove(&c->pending);
	wgw_list_remove(&c->by_port);
	wgw_listen_waiting_over(c);
	wgw_flow_unsent_over(c, 0);
	wgw_end_close(s->t->loop, &c->app, c->err != 0); /* an application sees its keeper */
	wgw_end_close(s->t->loop, &c->far_end, c->err != 0);
	if (c->dup >= 0)
		close(c->dup);
	if (c->sock.quota) {
		wgw_sock_remove(s, &c->sock);
		c->sock.quota->tail_bytes -= c->tail_len;
		if (c->connect_err)
			wgw_kept_again(s, &c->sock);
		wgw_options_free(&c->sock);
		s->open--;
		wgw_quota_give(s, c->sock.quota, c->sock.counted);
	} else {
		wgw_unknown_give(s, c->uid);
	}
	c->state = WGW_CONN_DEAD;
	wgw_conn_kick(c);
}

void wgw_conn_abort(struct wgw_conn *c)
{
	if (c->far && !c->far_over)
		c->far->abort(c);
	wgw_conn_drop(c);
}

void wgw_conn_options(struct wgw_conn *c)
{
	const struct wgw_option *o = wgw_option_get(&c->sock, SOL_SOCKET, SO_LINGER);
	struct linger linger;

	if (o && o->len >= sizeof(linger)) {
		memcpy(&linger, o->value, sizeof(linger));
		c->flags &= ~(uint32_t)WGW_CONNECT_LINGER;
		c->flags |= linger.l_onoff ? WGW_CONNECT_LINGER : 0;
		/* the kernel reads it as an unsigned number */
		c->linger_s = (uint16_t)((unsigned int)linger.l_linger < UINT16_MAX
						 ? (unsigned int)linger.l_linger
						 : UINT16_MAX);
	}
	if (c->far)
		c->far->options(c);
}

bool wgw_conn_app_reset(const struct wgw_conn *c)
{
	return c->app.events & EPOLLERR ||
	       (c->app.events & EPOLLHUP && c->flags & WGW_CONNECT_LINGER && c->linger_s == 0);
}

/* ---- the outcome ---- */

int wgw_label_bind(int fd, const uint8_t *key, const struct wgw_label *label)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	uint8_t nonce[WGW_LABEL_NONCE_BYTES];

	randombytes_buf(nonce, sizeof(nonce));
	wgw_label_seal(key, nonce, label, (uint8_t *)sun.sun_path);
	if (bind(fd, (struct sockaddr *)&sun,
		 offsetof(struct sockaddr_un, sun_path) + WGW_LABEL_NAME_BYTES) < 0)
		return -errno;
	return 0;
}

void wgw_label_fill(struct wgw_label *label, enum wgw_outcome outcome, int err,
		    const struct stack_addr *local, const struct stack_addr *remote)
{
	*label = (struct wgw_label){
		.outcome = (uint8_t)outcome,
		.err = (uint8_t)err,
		.local_port = local->port,
		.remote_port = remote->port,
	};
	memcpy(label->local_ip, local->ip, 16);
	memcpy(label->remote_ip, remote->ip, 16);
}

static bool is_filled(const struct wgw_conn *c)
{
	uint64_t tag = 0;
	socklen_t len = sizeof(tag);

	if (getsockopt(c->dup, SOL_SOCKET, SO_MAX_PACING_RATE, &tag, &len) < 0)
		return false;
	return len == sizeof(tag) && wgw_tag_is_ours(tag) && tag & WGW_TAG_FILLED;
}

/* Room for the application to write, the record (which stays queued) included. */
static void open_application(struct wgw_conn *c)
{
	int want = wgw_option_int(&c->sock, SOL_SOCKET, SO_SNDBUF, WGW_APP_SNDBUF_BYTES);
	int queued = 0;

	if (ioctl(c->app.watch.fd, FIONREAD, &queued) == 0 && queued > 0)
		c->app.stale = (size_t)queued;
	want = want < WGW_APP_SNDBUF_MIN_BYTES ? WGW_APP_SNDBUF_MIN_BYTES : want;
	want /= 2; /* the kernel doubles it */
	setsockopt(c->dup, SOL_SOCKET, SO_SNDBUF, &want, sizeof(want));
}

/* Sets the timer: @first_ns, then twice as long as the time before, up to @last_ns. */
static void wait_longer(struct wgw_conn *c, uint64_t first_ns, uint64_t last_ns)
{
	c->wait_ns = c->wait_ns ? c->wait_ns * 2 : first_ns;
	if (c->wait_ns > last_ns)
		c->wait_ns = last_ns;
	wgw_timer_set(c->sockets->t->loop, &c->timer, wgw_clock_ns() + c->wait_ns);
}

/* Tells the application what became of its connect, when it is ready to be told. */
static void settle(struct wgw_conn *c)
{
	const uint8_t *key = wgw_session_label_key(c->sock.quota->session);
	struct wgw_label label;

	if (!is_filled(c)) {
		wait_longer(c, WGW_FILLED_FIRST_US * 1000, WGW_FILLED_LAST_MS * WGW_MS_NS);
		return;
	}
	wgw_label_fill(&label, c->connect_err ? WGW_OUTCOME_FAILED : WGW_OUTCOME_CONNECTED,
		       c->connect_err, &c->local, &c->remote);
	wgw_label_bind(c->dup, key, &label);
	if (c->connect_err) {
		wgw_conn_drop(c);
		return;
	}
	open_application(c);
	close(c->dup);
	c->dup = -1;
	wgw_list_remove(&c->pending);
	c->state = WGW_CONN_OPEN;
	c->far->pump(c);
}

void wgw_conn_outcome(struct wgw_conn *c, int err)
{
	c->connect_err = err;
	c->state = WGW_CONN_DECIDED;
	c->wait_ns = 0;
	wgw_conn_kick(c);
}

/* ---- the far side ---- */

/* This machine's own addresses: a listener of the session (loopback) or of any session. It comes
 * from where bind() said. */
static int start_local(struct wgw_conn *c, const struct stack_addr *to)
{
	struct wgw_sockets *s = c->sockets;
	struct stack_addr from = *to;
	int fd, err;

	from.port = c->local.port;
	if (!stack_addr_is_any(&c->local) && stack_addr_is_v4(&c->local) == stack_addr_is_v4(to))
		memcpy(from.ip, c->local.ip, sizeof(from.ip));
	err = from.port ? 0 : wgw_port_choose(s, &from, 0);
	if (err)
		return -err;
	err = wgw_listen_local(s, c->sock.quota->session, to, &from, &fd, &c->gives_out);
	if (err)
		return err;
	c->local = from;
	err = wgw_relay_own(c, fd, true);
	if (!err)
		wgw_conn_outcome(c, 0);
	return err;
}

static void wait_backlog(struct wgw_conn *c)
{
	wait_longer(c, WGW_BACKLOG_RETRY_MS * WGW_MS_NS, WGW_SYN_RETRY_MS * WGW_MS_NS);
	c->retry_at = c->timer.deadline;
}

/* The address to come from when bind() chose one. 0 or errno. */
static int check_bound(const struct stack_addr *bound, const struct stack_addr *to, bool direct)
{
	if (stack_addr_is_any(bound))
		return 0;
	if (stack_addr_is_v4(bound) != stack_addr_is_v4(to))
		return EAFNOSUPPORT;
	return stack_addr_is_loopback(bound) && !direct ? EINVAL : 0;
}

/* The listener's backlog was full: looks again, as SYNs would be sent again. */
static void retry_local(struct wgw_conn *c)
{
	uint64_t now = wgw_clock_ns();
	int err;

	if (now < c->retry_at)
		return;
	err = now - c->started > WGW_BACKLOG_MS * WGW_MS_NS ? ETIMEDOUT
							    : start_local(c, &c->local_to);
	if (err == EAGAIN)
		wait_backlog(c);
	else if (err)
		wgw_conn_outcome(c, err == ENOENT ? ECONNREFUSED : err);
}

/* @bound_fd: a kernel socket that is bound there; -1 when it was used. 0 or errno. */
static int start_far(struct wgw_conn *c, const struct stack_addr *bound, int *bound_fd)
{
	struct wgw_tunnel *t = c->sockets->t;
	struct stack_addr to = c->remote, from = {0};
	enum wgw_route route;
	int err, fd = *bound_fd;

	if (stack_addr_is_any(&to)) /* Linux: this host */
		to.ip[15] = 1, to.ip[12] = stack_addr_is_v4(&c->remote) ? 127 : 0;
	if (stack_addr_is_loopback(&to) || stack_is_local(t->stack, &to)) {
		err = start_local(c, &to);
		if (err == EAGAIN) {
			c->local_to = to;
			wait_backlog(c);
			return 0;
		}
		if (err != ENOENT)
			return err;
		if (!stack_addr_is_loopback(&to))
			return ECONNREFUSED;
	}
	route = c->flags & WGW_CONNECT_OUTSIDE && wgw_session_has_apps(c->sock.quota->session)
			? WGW_ROUTE_DIRECT
			: wgw_session_route(c->sock.quota->session, &to, IPPROTO_TCP);
	if (route == WGW_ROUTE_REFUSED)
		return ENETUNREACH;
	err = bound ? check_bound(bound, &to, route == WGW_ROUTE_DIRECT) : 0;
	if (err)
		return err;
	if (route == WGW_ROUTE_DIRECT) {
		*bound_fd = -1;
		return wgw_relay_start(c, fd, &to);
	}
	if (bound) {
		from = *bound;
		if (stack_addr_is_any(bound) && stack_addr_is_v4(&to))
			memcpy(from.ip, stack_v4_prefix, 12);
	}
	return wgw_flow_start(c, bound ? &from : NULL, &to);
}

/* ---- the request ---- */

/* Takes 'F' and the descriptor. False: not there yet, or dropped. */
static bool take_descriptor(struct wgw_conn *c)
{
	union wgw_fd_control control;
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t r = recvmsg(c->app.watch.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (r < 0 && errno == EAGAIN)
		return false;
	if (r >= 0)
		wgw_cmsg_take(&msg, &c->dup, 1);
	if (c->dup < 0 || byte != WGW_FD_BYTE) {
		wgw_conn_drop(c);
		return false;
	}
	c->state = WGW_CONN_RECORD;
	return true;
}

/* The descriptor must be an AF_UNIX stream socket with the cookie that the record names. */
static bool check_descriptor(struct wgw_conn *c, const struct wgw_connect *record)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	return getsockopt(c->dup, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
	       getsockopt(c->dup, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
	       wgw_fd_identity(c->dup, &c->sock.cookie, &c->sock.inode) == 0 &&
	       c->sock.cookie == record->cookie;
}

static void options_from_record(struct wgw_conn *c, const struct wgw_connect *record)
{
	const int one = 1;

	c->flags = record->flags;
	c->linger_s = record->linger_s;
	if (record->flags & WGW_CONNECT_NODELAY)
		wgw_option_set(&c->sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (record->flags & WGW_CONNECT_KEEPALIVE)
		wgw_option_set(&c->sock, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
}

/* Enters the connection into the session's books, with what was kept for the socket so far. */
static bool enter(struct wgw_conn *c, const struct wgw_connect *record, struct wgw_kept **kept)
{
	struct wgw_sockets *s = c->sockets;
	struct wgw_session *session = wgw_session_by_token(s->t, record->token);
	struct wgw_quota *q = session ? wgw_quota_of(s, session) : NULL;
	struct wgw_sock *old;

	if (!q || !check_descriptor(c, record))
		return false;
	old = wgw_sock_find(s, session, c->sock.cookie);
	if (old && old->role != WGW_ROLE_KEPT)
		return false;
	if (wgw_conn_enter(c, q) != 0)
		return false;
	wgw_unknown_give(s, c->uid);
	*kept = old ? wgw_container(old, struct wgw_kept, sock) : NULL;
	return true;
}

static void take_record(struct wgw_conn *c)
{
	struct wgw_sockets *s = c->sockets;
	struct wgw_connect record;
	struct wgw_kept *kept;
	struct stack_addr bound = {0};
	bool is_bound = false;
	int bound_fd = -1, err;
	ssize_t r = recv(c->app.watch.fd, &record, sizeof(record), MSG_PEEK | MSG_DONTWAIT);

	if (r < 0 ? errno == EAGAIN : r > 0 && (size_t)r < sizeof(record))
		return;
	if ((size_t)r == sizeof(record) && record.magic == WGW_WIRE_MAGIC &&
	    record.version != WGW_WIRE_VERSION)
		wgw_session_say_version(s->t, record.token, record.version);
	if ((size_t)r != sizeof(record) || record.magic != WGW_WIRE_MAGIC ||
	    record.version != WGW_WIRE_VERSION || !enter(c, &record, &kept)) {
		wgw_conn_drop(c);
		return;
	}
	wgw_timer_cancel(s->t->loop, &c->timer);
	options_from_record(c, &record);
	if (kept) { /* its options were told later than the record was made */
		is_bound = kept->bound;
		bound = kept->local;
		bound_fd = kept->fd;
		kept->fd = -1;
		c->bind_flags = kept->flags;
		wgw_kept_become(s, kept, &c->sock);
	}
	wgw_sock_insert(s, &c->sock);
	wgw_conn_options(c);
	memcpy(c->remote.ip, record.to.ip, 16);
	c->remote.port = record.to.port;
	c->local = bound;
	if (is_bound && bound_fd < 0)
		wgw_list_append(&s->connected_ports[bound.port % WGW_PORT_BUCKETS], &c->by_port);
	c->state = WGW_CONN_PENDING;
	c->started = wgw_loop_now(s->t->loop);
	wgw_list_append(&s->pending, &c->pending);
	wgw_abandoned_watch(s, WGW_ABANDONED_AFTER_MS);
	err = start_far(c, is_bound ? &bound : NULL, &bound_fd);
	if (bound_fd >= 0)
		close(bound_fd);
	if (err)
		wgw_conn_outcome(c, err);
}

static void conn_run(struct wgw_job *j)
{
	struct wgw_conn *c = wgw_container(j, struct wgw_conn, job);

	if (c->state == WGW_CONN_HELLO && !take_descriptor(c) && c->state != WGW_CONN_DEAD)
		return;
	if (c->state == WGW_CONN_RECORD)
		take_record(c);
	if (c->state == WGW_CONN_PENDING && c->app.events & EPOLLHUP)
		wgw_conn_abort(c); /* shut down both ways while connecting */
	if (c->state == WGW_CONN_PENDING && !c->far)
		retry_local(c);
	if (c->state == WGW_CONN_DECIDED) {
		settle(c);
	} else if (c->state == WGW_CONN_OPEN) {
		c->far->pump(c);
	} else if (c->state == WGW_CONN_DELIVER && c->far_over) {
		wgw_conn_drop(c); /* reset before the application could accept it */
	}
	if (c->state == WGW_CONN_DEAD && !c->job.queued)
		conn_free(c);
}

static void conn_due(struct wgw_timer *timer)
{
	struct wgw_conn *c = wgw_container(timer, struct wgw_conn, timer);

	if (c->state == WGW_CONN_HELLO || c->state == WGW_CONN_RECORD)
		wgw_conn_drop(c);
	else
		wgw_conn_kick(c);
}

void wgw_tcp_accepted(struct wgw_sockets *s, int fd, const struct ucred *cred)
{
	struct wgw_conn *c = wgw_conn_new(s);

	if (!c) {
		close(fd);
		wgw_unknown_give(s, cred->uid);
		return;
	}
	c->uid = cred->uid;
	c->pid = cred->pid;
	if (wgw_conn_attach(c, fd) < 0) {
		close(fd);
		wgw_conn_drop(c);
		return;
	}
	wgw_timer_set(s->t->loop, &c->timer, wgw_clock_ns() + WGW_FIRST_MESSAGE_MS * WGW_MS_NS);
	wgw_conn_kick(c);
}

void wgw_tcp_session_over(struct wgw_sockets *s, struct wgw_session *session)
{
	struct wgw_link *l = s->conns.next;

	while (l != &s->conns) {
		struct wgw_conn *c = wgw_container(l, struct wgw_conn, link);
		bool own = c->sock.quota && c->sock.quota->session == session;
		/* A proxy's client goes with its proxy, an application's connection does not. */
		bool client = c->state == WGW_CONN_OPEN && c->lent && c->app.watch.fd >= 0;

		l = l->next;
		if (own && client)
			c->err = ECONNRESET;
		if (own && (client || c->dup >= 0))
			wgw_conn_abort(c);
	}
}

void wgw_tcp_init(struct wgw_sockets *s)
{
	wgw_list_init(&s->conns);
	wgw_list_init(&s->pending);
}
