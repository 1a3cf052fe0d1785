/* SPDX-License-Identifier: MIT */
/*
 * listen.c - listening sockets of applications
 *
 * Theory of operation
 *
 * An application's listener is a native AF_UNIX listener whose path was unlinked at once; we hold
 * an O_PATH descriptor of it and connect through /proc/self/fd. Each inbound connection is one
 * native connect from a socket that was first labelled with the peer's address, so accept, poll and
 * backlog are the kernel's. A full backlog answers EAGAIN: the connection then waits, as in a SYN
 * queue, for a bounded time and in bounded number.
 *
 * On the wildcard or a tunnel address the port is one of the stack; with SO_REUSEPORT several
 * listeners share it (struct port) and take turns. On the host's loopback it is a kernel listener
 * whose connections are relayed. A connect of the same session to loopback finds its wildcard
 * listeners first, and a connect to the tunnel's own address any listener there: both are relayed
 * here.
 *
 * The kernel does not say that an application closed its listener. But a connect of the wrong type
 * tells, without the application noticing: EPROTOTYPE: it is there, ECONNREFUSED: it is gone. That
 * is asked at each SYN, on every conflict, and of all listeners from time to time: each second while
 * one is on the host's loopback, where the kernel answers SYNs, or when one has just come or gone;
 * else less and less often, so that an idle server wakes nobody.
 *
 * Nor would an application notice that its listener is known to nobody any more, when this process
 * has died and another came. So the session's supervisor keeps a copy of each O_PATH descriptor
 * with its address, and gives them to our successor (wgw_sockets_listen_again).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/base/sockaddr.h"
#include "src/session/channel.h"
#include "src/tunnel/keep.h"
#include "src/tunnel/listen.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/tcp.h"

enum { KERNEL_ACCEPTS = 64 }; /* of one listener in a turn */

/** struct port - a port of the stack; @listeners take turns, the first is next */
struct port {
	struct flow_listener *flow;
	struct wgw_sockets *sockets;
	struct wgw_link listeners;
};

/**
 * struct wgw_listener - one listening socket
 * @link:	In wgw_sockets.listeners; @turn: in its port's list
 * @path:	O_PATH descriptor of the unix listener
 * @local, @flags: what it is bound to
 * @port:	In the tunnel, or NULL: @kernel is a listener of the host
 * @waiting:	Connections in state DELIVER, @n_waiting of them, oldest first
 * @retry, @wait_ms: when the application's backlog is tried again
 * @kernel_paused: @kernel is not watched until then
 * @kept:	The supervisor was given it
 * @gone:	The application has closed it; @job does the rest
 */
struct wgw_listener {
	struct wgw_sock sock;
	struct wgw_sockets *sockets;
	struct wgw_link link, turn;
	int path;
	struct stack_addr local;
	uint32_t flags;
	struct port *port;
	struct wgw_watch kernel;
	struct wgw_link waiting;
	unsigned int n_waiting;
	struct wgw_job job;
	struct wgw_timer retry;
	uint32_t wait_ms;
	bool kernel_paused, kept, gone, dead;
};

static struct wgw_link *bucket(struct wgw_sockets *s, uint16_t port)
{
	return &s->listeners[port % WGW_PORT_BUCKETS];
}

/* ---- reaching the application ---- */

static socklen_t path_of(const struct wgw_listener *l, struct sockaddr_un *sun)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	snprintf(sun->sun_path, sizeof(sun->sun_path), "/proc/self/fd/%d", l->path);
	return sizeof(*sun);
}

static bool is_alive(const struct wgw_listener *l)
{
	struct sockaddr_un sun;
	socklen_t len = path_of(l, &sun);

	return connect(l->sockets->probe, (struct sockaddr *)&sun, len) == 0 ||
	       errno != ECONNREFUSED;
}

/* A stream with the label, connected to the application's listener. *fd, or errno. */
static int reach(const struct wgw_listener *l, const struct stack_addr *local,
		 const struct stack_addr *remote, int *fd)
{
	const uint8_t *key = wgw_session_label_key(l->sock.quota->session);
	struct wgw_label label;
	struct sockaddr_un sun;
	socklen_t len = path_of(l, &sun);
	int err = 0;

	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return errno;
	wgw_label_fill(&label, WGW_OUTCOME_ACCEPTED, 0, local, remote);
	label.v6 = (l->flags & WGW_BIND_V6) != 0;
	err = -wgw_label_bind(*fd, key, &label);
	if (!err && connect(*fd, (struct sockaddr *)&sun, len) < 0)
		err = errno;
	if (err)
		close(*fd);
	return err;
}

/* ---- what the supervisor keeps ---- */

static void give_to_supervisor(struct wgw_listener *l, unsigned int backlog)
{
	struct wgw_ch_listener what = {
		.cookie = l->sock.cookie,
		.inode = l->sock.inode,
		.local.port = l->local.port,
		.flags = l->flags,
		.backlog = backlog,
	};

	memcpy(what.local.ip, l->local.ip, sizeof(what.local.ip));
	wgw_session_listener(l->sock.quota->session, &what, l->path);
	l->kept = true;
}

static void take_from_supervisor(struct wgw_listener *l)
{
	const struct wgw_ch_listener what = {.cookie = l->sock.cookie};

	if (l->kept)
		wgw_session_listener(l->sock.quota->session, &what, -1);
	l->kept = false;
}

/* ---- ends ---- */

static void listener_close(struct wgw_listener *l)
{
	struct wgw_sockets *s = l->sockets;

	if (l->dead)
		return;
	l->dead = true;
	take_from_supervisor(l);
	wgw_timer_cancel(s->t->loop, &l->retry);
	while (l->waiting.next != &l->waiting)
		wgw_conn_abort(wgw_container(l->waiting.next, struct wgw_conn, waiting));
	wgw_list_remove(&l->link);
	wgw_list_remove(&l->turn);
	if (l->port && l->port->listeners.next == &l->port->listeners) {
		flow_listener_close(l->port->flow);
		free(l->port);
	}
	if (l->kernel.fd >= 0) {
		wgw_loop_del(s->t->loop, &l->kernel);
		close(l->kernel.fd);
	}
	close(l->path);
	wgw_options_free(&l->sock);
	wgw_sock_remove(s, &l->sock);
	s->open--;
	wgw_quota_give(s, l->sock.quota, l->sock.counted);
	wgw_job_queue(s, &l->job);
}

static void look_again(struct wgw_sockets *s, uint32_t wait_ms)
{
	uint64_t due = wgw_clock_ns() + wait_ms * WGW_MS_NS;

	s->listener_wait_ms = wait_ms;
	if (!s->listener_timer.slot || s->listener_timer.deadline > due)
		wgw_timer_set(s->t->loop, &s->listener_timer, due);
}

void wgw_listen_look(struct wgw_sockets *s)
{
	uint32_t wait_ms = s->listener_wait_ms * 2;
	bool any = false, soon = false;

	for (size_t i = 0; i < WGW_PORT_BUCKETS; i++) {
		struct wgw_link *at = s->listeners[i].next;

		while (at != &s->listeners[i]) {
			struct wgw_listener *l = wgw_container(at, struct wgw_listener, link);

			at = at->next;
			if (is_alive(l)) {
				any = true;
				soon = soon || !l->port;
			} else {
				listener_close(l);
				soon = true;
			}
		}
	}
	if (soon)
		wait_ms = WGW_LISTENER_PROBE_MS;
	else if (wait_ms > WGW_LISTENER_PROBE_LAST_MS)
		wait_ms = WGW_LISTENER_PROBE_LAST_MS;
	wgw_timer_cancel(s->t->loop, &s->listener_timer);
	if (any)
		look_again(s, wait_ms);
}

static void probe_due(struct wgw_timer *timer)
{
	wgw_listen_look(wgw_container(timer, struct wgw_sockets, listener_timer));
}

void wgw_listen_session_over(struct wgw_sockets *s, struct wgw_session *session)
{
	for (size_t i = 0; i < WGW_PORT_BUCKETS; i++) {
		struct wgw_link *at = s->listeners[i].next;

		while (at != &s->listeners[i]) {
			struct wgw_listener *l = wgw_container(at, struct wgw_listener, link);

			at = at->next;
			if (l->sock.quota->session == session)
				listener_close(l);
		}
	}
}

/* ---- inbound connections ---- */

void wgw_listen_waiting_over(struct wgw_conn *c)
{
	if (!c->waiting.next)
		return;
	wgw_list_remove(&c->waiting);
	c->listener->n_waiting--;
}

/* Connects @c to the application. 0, or errno: EAGAIN: the backlog is full, it goes on waiting. */
static int deliver(struct wgw_listener *l, struct wgw_conn *c)
{
	int fd, err = reach(l, &c->local, &c->remote, &fd);

	if (!err && wgw_conn_attach(c, fd) < 0) {
		close(fd);
		err = ENOBUFS;
	}
	if (err == EAGAIN && wgw_clock_ns() - c->started < WGW_BACKLOG_MS * WGW_MS_NS)
		return err;
	wgw_listen_waiting_over(c);
	c->listener = NULL;
	if (err) {
		wgw_conn_abort(c);
		return err == EAGAIN ? ETIMEDOUT : err;
	}
	c->app.hello = true;
	c->gives_out = l->sock.cookie;
	c->state = WGW_CONN_OPEN;
	wgw_conn_kick(c);
	return 0;
}

/* Delivers what waits, oldest first, until the backlog is full. */
static void serve_waiting(struct wgw_listener *l)
{
	struct wgw_loop *loop = l->sockets->t->loop;
	int err = 0;

	while (l->waiting.next != &l->waiting) {
		err = deliver(l, wgw_container(l->waiting.next, struct wgw_conn, waiting));
		if (err == EAGAIN || err == ECONNREFUSED)
			break;
		l->wait_ms = 0;
		if (err)
			wgw_session_say(l->sock.quota->session, 1,
					"cannot hand a connection to the listening program: %s",
					strerror(err));
	}
	if (err == ECONNREFUSED) {
		listener_close(l);
	} else if (err == EAGAIN) {
		l->wait_ms = l->wait_ms ? l->wait_ms * 2 : WGW_BACKLOG_RETRY_MS;
		if (l->wait_ms > WGW_BACKLOG_RETRY_LAST_MS)
			l->wait_ms = WGW_BACKLOG_RETRY_LAST_MS;
		wgw_timer_set(loop, &l->retry, wgw_clock_ns() + l->wait_ms * WGW_MS_NS);
	} else if (l->kernel.fd >= 0 && l->kernel_paused) {
		l->kernel_paused = false;
		wgw_loop_mod(loop, &l->kernel, EPOLLIN);
	}
}

static void retry_due(struct wgw_timer *timer)
{
	serve_waiting(wgw_container(timer, struct wgw_listener, retry));
}

static void listener_run(struct wgw_job *j)
{
	struct wgw_listener *l = wgw_container(j, struct wgw_listener, job);

	if (l->dead)
		free(l);
	else if (l->gone)
		listener_close(l);
	else
		serve_waiting(l);
}

static struct wgw_conn *inbound(struct wgw_listener *l)
{
	struct wgw_conn *c = NULL;

	if (l->n_waiting < WGW_BACKLOG_WAITING_MAX)
		c = wgw_conn_new(l->sockets);
	if (!c)
		return NULL;
	if (wgw_conn_enter(c, l->sock.quota) != 0) {
		wgw_list_remove(&c->link);
		free(c);
		return NULL;
	}
	for (const struct wgw_option *o = l->sock.options; o; o = o->next)
		wgw_option_set(&c->sock, o->level, o->name, o->value, o->len);
	c->listener = l;
	c->state = WGW_CONN_DELIVER;
	c->started = wgw_clock_ns();
	l->n_waiting++;
	wgw_list_append(&l->waiting, &c->waiting);
	return c;
}

static void on_accept(struct flow_listener *f, struct flow *flow, void *arg)
{
	struct port *p = arg;
	struct wgw_listener *l;
	struct wgw_conn *c;

	(void)f;
	l = wgw_container(p->listeners.next, struct wgw_listener, turn);
	wgw_list_remove(&l->turn);
	wgw_list_append(&p->listeners, &l->turn);
	c = inbound(l);
	if (!c) {
		flow_abort(flow);
		return;
	}
	flow_addrs(flow, &c->local, &c->remote);
	wgw_flow_own(c, flow);
	if (c->sock.options)
		wgw_conn_options(c);
	/* not inside the stack's callback: the listener may turn out to be gone */
	wgw_job_queue(l->sockets, &l->job);
}

/* A port without a program that listens is closed, as of its last close(2). */
static bool on_syn(struct flow_listener *f, void *arg)
{
	const struct port *p = arg;

	(void)f;
	for (struct wgw_link *at = p->listeners.next; at != &p->listeners; at = at->next) {
		struct wgw_listener *l = wgw_container(at, struct wgw_listener, turn);

		if (is_alive(l))
			return true;
		l->gone = true; /* not closed inside the stack's callback */
		wgw_job_queue(l->sockets, &l->job);
	}
	return false;
}

static void kernel_pause(struct wgw_listener *l)
{
	l->kernel_paused = true;
	wgw_loop_mod(l->sockets->t->loop, &l->kernel, 0);
}

/* While connections wait for the application, others wait in the kernel's backlog; and while there
 * are no descriptors for them. */
static void kernel_accept(struct wgw_watch *w, uint32_t events)
{
	struct wgw_listener *l = wgw_container(w, struct wgw_listener, kernel);
	bool starved = false;

	(void)events;
	if (l->n_waiting > 0) {
		kernel_pause(l);
		return;
	}
	for (int i = 0; i < KERNEL_ACCEPTS && !l->dead; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		int fd = accept4(w->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct wgw_conn *c;

		if (fd < 0) {
			starved = errno != EAGAIN && errno != ECONNABORTED && errno != EINTR;
			break;
		}
		c = inbound(l);
		if (!c) {
			close(fd);
			continue;
		}
		wgw_sockaddr_to(&ss, &c->remote);
		len = sizeof(ss);
		c->local = l->local;
		if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
			wgw_sockaddr_to(&ss, &c->local);
		if (wgw_relay_own(c, fd, false) != 0)
			wgw_conn_drop(c);
		else if (c->sock.options)
			wgw_conn_options(c);
	}
	serve_waiting(l);
	if (!starved || l->dead)
		return;
	kernel_pause(l);
	if (!l->retry.slot)
		wgw_timer_set(l->sockets->t->loop, &l->retry,
			      wgw_clock_ns() + WGW_ACCEPT_PAUSE_MS * WGW_MS_NS);
}

/* ---- conflicts, and listeners of this machine ---- */

bool wgw_listen_conflict(struct wgw_sockets *s, const struct stack_addr *local, uint32_t flags)
{
	struct wgw_link *head = bucket(s, local->port), *at = head->next;

	while (at != head) {
		struct wgw_listener *l = wgw_container(at, struct wgw_listener, link);

		at = at->next;
		if (!l->port || !wgw_addrs_overlap(local, flags, &l->local, l->flags))
			continue;
		if (!is_alive(l))
			listener_close(l);
		else if (!(flags & l->flags & WGW_BIND_REUSEPORT))
			return true;
	}
	return false;
}

bool wgw_listen_reap(struct wgw_sockets *s, uint16_t port)
{
	struct wgw_link *head = bucket(s, port), *at = head->next;
	bool any = false;

	while (at != head) {
		struct wgw_listener *l = wgw_container(at, struct wgw_listener, link);

		at = at->next;
		if (l->port || l->local.port != port || is_alive(l))
			continue;
		listener_close(l);
		any = true;
	}
	return any;
}

int wgw_listen_local(struct wgw_sockets *s, struct wgw_session *session,
		     const struct stack_addr *to, const struct stack_addr *from, int *fd,
		     uint64_t *gives_out)
{
	struct wgw_link *head = bucket(s, to->port), *at = head->next;
	bool loopback = stack_addr_is_loopback(to);
	int err = ENOENT;

	while (at != head) {
		struct wgw_listener *l = wgw_container(at, struct wgw_listener, link);

		at = at->next;
		if (!l->port || !wgw_addrs_overlap(to, 0, &l->local, l->flags) ||
		    (loopback && l->sock.quota->session != session))
			continue;
		err = reach(l, to, from, fd);
		*gives_out = l->sock.cookie;
		if (err != ECONNREFUSED)
			return err;
		listener_close(l);
		err = ENOENT;
	}
	return err;
}

/* ---- listen(2) ---- */

static const struct flow_listener_ops listener_ops = {on_accept, on_syn};

/* The port of a live listener that shares it by SO_REUSEPORT. */
static struct port *shared_port(struct wgw_sockets *s, const struct stack_addr *local,
				uint32_t flags)
{
	struct wgw_link *head = bucket(s, local->port);

	for (struct wgw_link *at = head->next; at != head; at = at->next) {
		struct wgw_listener *l = wgw_container(at, struct wgw_listener, link);

		if (l->port && l->flags & flags & WGW_BIND_REUSEPORT &&
		    stack_addr_equal(&l->local, local))
			return l->port;
	}
	return NULL;
}

static int listen_tunnel(struct wgw_listener *l, unsigned int backlog)
{
	struct wgw_sockets *s = l->sockets;
	struct port *p;
	int err = 0;

	if (wgw_listen_conflict(s, &l->local, l->flags))
		return -EADDRINUSE;
	p = shared_port(s, &l->local, l->flags);
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->sockets = s;
		wgw_list_init(&p->listeners);
		p->flow = flow_listen(s->t->stack, &l->local, (l->flags & WGW_BIND_V6ONLY) != 0,
				      backlog, &listener_ops, p, &err);
		if (!p->flow) {
			free(p);
			return err > 0 ? -err : err ? err : -ENOBUFS;
		}
		l->local.port = flow_listener_port(p->flow);
	}
	l->port = p;
	wgw_list_append(&p->listeners, &l->turn);
	return 0;
}

static int listen_kernel(struct wgw_listener *l, int fd, int backlog)
{
	struct wgw_loop *loop = l->sockets->t->loop;

	if (listen(fd, backlog) < 0)
		return -errno;
	l->kernel = (struct wgw_watch){fd, kernel_accept};
	return wgw_loop_add(loop, &l->kernel, EPOLLIN);
}

static struct wgw_listener *listener_new(struct wgw_sockets *s, struct wgw_kept *kept, int path)
{
	struct wgw_quota *q = kept->sock.quota;
	struct wgw_listener *l = calloc(1, sizeof(*l));

	if (!l || !wgw_quota_take(q, &q->listeners, WGW_LISTENERS_MAX)) {
		free(l);
		return NULL;
	}
	l->sock = (struct wgw_sock){
		.role = WGW_ROLE_LISTENER,
		.cookie = kept->sock.cookie,
		.inode = kept->sock.inode,
		.quota = q,
		.counted = &q->listeners,
	};
	l->sockets = s;
	l->path = path;
	l->local = kept->local;
	l->flags = kept->flags;
	l->kernel.fd = -1;
	l->job.run = listener_run;
	l->retry.due = retry_due;
	wgw_list_init(&l->waiting);
	s->open++;
	return l;
}

/* listen() without bind(): the wildcard and a chosen port. */
static int bind_first(struct wgw_sockets *s, struct wgw_kept *kept, const struct wgw_op *op)
{
	struct stack_addr local;

	if (kept->bound)
		return 0;
	memcpy(local.ip, op->u.listen.addr.ip, 16);
	local.port = op->u.listen.addr.port;
	return wgw_kept_bind(s, kept, &local, op->u.listen.flags);
}

static unsigned int backlog_of(const struct wgw_op *op)
{
	return op->u.listen.backlog > SOMAXCONN ? SOMAXCONN : op->u.listen.backlog;
}

static int start(struct wgw_sockets *s, struct wgw_kept *kept, const struct wgw_op *op, int path)
{
	unsigned int backlog = backlog_of(op);
	struct wgw_listener *l = listener_new(s, kept, path);
	int fd = kept->fd, err;

	if (!l) {
		close(path);
		return -ENOBUFS;
	}
	kept->fd = -1;
	kept->bound = false; /* no conflict with itself */
	err = fd >= 0 ? listen_kernel(l, fd, (int)backlog)
		      : listen_tunnel(l, backlog ? backlog : 1);
	if (err) {
		kept->fd = fd;
		kept->bound = true;
		l->kernel.fd = -1;
		l->sock.cookie = 0; /* not in the table */
		listener_close(l);
		return err;
	}
	wgw_kept_become(s, kept, &l->sock);
	wgw_sock_insert(s, &l->sock);
	wgw_list_append(bucket(s, l->local.port), &l->link);
	give_to_supervisor(l, op->u.listen.backlog);
	look_again(s, WGW_LISTENER_PROBE_MS);
	return 0;
}

/* What start() would say. A kernel socket listens from now on: connections wait. */
static int promise(struct wgw_sockets *s, struct wgw_kept *kept, const struct wgw_op *op)
{
	int backlog = (int)backlog_of(op), err;

	if (kept->sock.quota->listeners >= WGW_LISTENERS_MAX)
		return -ENOBUFS;
	if (kept->fd >= 0) {
		err = listen(kept->fd, backlog) < 0 ? -errno : 0;
		if (err == -EADDRINUSE && wgw_listen_reap(s, kept->local.port))
			err = listen(kept->fd, backlog) < 0 ? -errno : 0;
		return err;
	}
	if (wgw_listen_conflict(s, &kept->local, kept->flags) || wgw_kept_is_promised(s, kept) ||
	    (!shared_port(s, &kept->local, kept->flags) &&
	     flow_listens_at(s->t->stack, &kept->local)))
		return -EADDRINUSE;
	return 0;
}

int wgw_listen_op(struct wgw_sockets *s, struct wgw_quota *q, const struct wgw_op *op, int path_fd)
{
	struct wgw_sock *old = wgw_sock_find(s, q->session, op->cookie);
	struct wgw_kept *kept = NULL;
	int err = 0;

	/* listen again: the kernel's listener has the new backlog */
	if (!old || old->role != WGW_ROLE_LISTENER) {
		kept = wgw_kept_get(s, q, op->cookie, op->inode);
		err = kept ? bind_first(s, kept, op) : old ? -EINVAL : -ENOBUFS;
	}
	if (kept && err == 0 && path_fd >= 0)
		return start(s, kept, op, path_fd);
	if (kept && err == 0) {
		err = promise(s, kept, op);
		kept->promises += err == 0;
		return err;
	}
	if (path_fd >= 0)
		close(path_fd);
	return err;
}

void wgw_sockets_listen_again(struct wgw_tunnel *t, struct wgw_session *session,
			      const struct wgw_ch_listener *l, int path)
{
	struct wgw_quota *q = wgw_quota_of(t->sockets, session);
	struct wgw_op op = {.cookie = l->cookie, .inode = l->inode};
	int err;

	op.u.listen.addr = l->local;
	op.u.listen.flags = l->flags;
	op.u.listen.backlog = l->backlog;
	if (!q) {
		close(path);
		return;
	}
	err = wgw_listen_op(t->sockets, q, &op, path);
	if (err)
		wgw_session_say(session, 1, "cannot listen on port %u again: %s", l->local.port,
				strerror(-err));
}

/* Whether @c is in the backlog of @l: who accepts has not said hello. */
static bool is_unaccepted(struct wgw_conn *c, const struct wgw_listener *l)
{
	struct wgw_end *accepted = c->far_end.keeps ? &c->far_end : &c->app;

	if (c->gives_out != l->sock.cookie)
		return false;
	(void)wgw_end_pending(accepted); /* that may have come */
	return accepted->hello;
}

static void abort_unaccepted(const struct wgw_listener *l)
{
	struct wgw_sockets *s = l->sockets;
	struct wgw_link *at = s->conns.next;

	wgw_accepted_poke(s);
	while (at != &s->conns) {
		struct wgw_conn *c = wgw_container(at, struct wgw_conn, link);

		at = at->next;
		if (is_unaccepted(c, l))
			wgw_conn_abort(c);
	}
}

void wgw_listen_shutdown(struct wgw_sock *sock)
{
	struct wgw_listener *l = wgw_container(sock, struct wgw_listener, sock);
	struct wgw_sock left = {.options = sock->options};
	struct wgw_quota *q = sock->quota;
	struct wgw_sockets *s = l->sockets;
	struct stack_addr local = l->local;
	uint64_t cookie = sock->cookie, inode = sock->inode;
	uint32_t flags = l->flags;
	struct wgw_kept *kept;

	abort_unaccepted(l);
	sock->options = NULL;
	listener_close(l);
	kept = wgw_kept_get(s, q, cookie, inode);
	if (!kept) {
		wgw_options_free(&left);
		return;
	}
	kept->sock.options = left.options;
	(void)!wgw_kept_bind(s, kept, &local, flags);
}

void wgw_listen_name(const struct wgw_sock *sock, struct stack_addr *local)
{
	*local = wgw_container(sock, const struct wgw_listener, sock)->local;
}

bool wgw_listen_is_direct(const struct wgw_sock *sock)
{
	return !wgw_container(sock, const struct wgw_listener, sock)->port;
}

void wgw_listen_init(struct wgw_sockets *s)
{
	for (size_t i = 0; i < WGW_PORT_BUCKETS; i++)
		wgw_list_init(&s->listeners[i]);
	s->listener_timer.due = probe_due;
	s->probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}
