/* SPDX-License-Identifier: MIT */
/*
 * tcp_flow.c - pumps between an application's stream and a connection of the stack
 *
 * Theory of operation
 *
 * Bytes go straight from the AF_UNIX queue into the flow's send buffer and from its receive pieces
 * into the AF_UNIX queue; nothing is held here. Back pressure is the two buffers: when the flow is
 * full we stop reading (flow_ops.writable goes on), when the application's queue is full we stop
 * consuming (EPOLLOUT goes on), so the window closes.
 *
 *   application		stack
 *   shutdown(WR)		flow_shutdown; the keeper stays: the other direction is open
 *   close			flow_close; flow_orphan, while not all fits
 *   close, data unread		what there is room for, then flow_abort (RST), as Linux does; SO_LINGER
 *				with 0 s too
 *   shutdown(RD)		what comes is consumed and dropped
 *   end of file		FIN
 *   ECONNRESET after data	RST, or any other end: closed with the keeper unread
 *
 * A flow ends by closed(). What it had received by then and the application has not yet read is
 * copied to the connection's tail and delivered before the end is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "src/tunnel/end.h"
#include "src/tunnel/keep.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/tcp.h"

enum {
	RECV_PIECES = 16,
	UNSENT_EVERY_MS = 20,
	UNSENT_MANY = 512, /* from so many on the timer is slower */
	HURRY_MIN_MS = 1,
	HURRY_PARTS = 8,
};

/* ---- FLUSH: who has unacknowledged bytes ---- */

/* When to look again. A command's end waits for that an eighth longer than for its peers, at most. */
static uint64_t unsent_wait_ns(const struct wgw_sockets *s, unsigned int left, uint64_t now)
{
	const uint64_t usual = UNSENT_EVERY_MS * WGW_MS_NS;
	uint64_t hurried = (now - s->hurry_ns) / HURRY_PARTS;

	if (left > UNSENT_MANY)
		return 10 * usual;
	hurried = hurried < HURRY_MIN_MS * WGW_MS_NS ? HURRY_MIN_MS * WGW_MS_NS : hurried;
	return hurried < usual ? hurried : usual;
}

static void unsent_begin(struct wgw_conn *c)
{
	struct wgw_sockets *s = c->sockets;
	uint64_t now;

	if (c->counted_unsent)
		return;
	c->counted_unsent = true;
	wgw_list_append(&s->unsent, &c->unsent);
	wgw_session_unsent_begin(c->sock.quota->session);
	if (!s->unsent_timer.slot) {
		now = wgw_clock_ns();
		wgw_timer_set(s->t->loop, &s->unsent_timer, now + unsent_wait_ns(s, 1, now));
	}
}

void wgw_flow_unsent_over(struct wgw_conn *c, uint64_t lost_bytes)
{
	if (!c->counted_unsent)
		return;
	c->counted_unsent = false;
	wgw_list_remove(&c->unsent);
	wgw_session_unsent_end(c->sock.quota->session, lost_bytes);
}

/* What waits for room in the flow. */
static size_t unsent_bytes(struct wgw_conn *c)
{
	return c->stash_len[0] - c->stash_at[0] + wgw_end_pending(&c->app);
}

void wgw_sockets_hurry(struct wgw_tunnel *t)
{
	struct wgw_sockets *s = t->sockets;
	uint64_t due;

	s->hurry_ns = wgw_clock_ns();
	due = s->hurry_ns + HURRY_MIN_MS * WGW_MS_NS;
	if (s->unsent_timer.slot && due < s->unsent_timer.deadline)
		wgw_timer_set(t->loop, &s->unsent_timer, due);
}

static void unsent_due(struct wgw_timer *timer)
{
	struct wgw_sockets *s = wgw_container(timer, struct wgw_sockets, unsent_timer);
	struct wgw_link *l = s->unsent.next;
	uint64_t now = wgw_clock_ns();
	unsigned int left = 0;

	while (l != &s->unsent) {
		struct wgw_conn *c = wgw_container(l, struct wgw_conn, unsent);

		l = l->next;
		if (!c->flow || (flow_unacked(c->flow) == 0 && unsent_bytes(c) == 0))
			wgw_flow_unsent_over(c, 0);
		else
			left++;
	}
	if (left > 0)
		wgw_timer_set(s->t->loop, timer, now + unsent_wait_ns(s, left, now));
}

/* ---- application to stack ---- */

static size_t total(const struct iovec *iov, int n)
{
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

/* What was read before the connection was there (src/proxy/join.c). False: the flow is full. */
static bool flush_early(struct wgw_conn *c)
{
	while (c->stash[0] && !c->far_over) {
		size_t left = c->stash_len[0] - c->stash_at[0];
		struct iovec iov[2];

		unsent_begin(c);
		if (left == 0) {
			free(c->stash[0]);
			c->stash[0] = NULL;
			c->stash_at[0] = c->stash_len[0] = 0;
			break;
		}
		if (flow_send_iov(c->flow, iov) == 0 || iov[0].iov_len == 0)
			return false;
		left = left < iov[0].iov_len ? left : iov[0].iov_len;
		memcpy(iov[0].iov_base, c->stash[0] + c->stash_at[0], left);
		c->stash_at[0] += left;
		flow_send_commit(c->flow, left, c->stash_at[0] < c->stash_len[0]);
	}
	return true;
}

/* Moves what waits. False: the flow is full, or the turn's share is used up. The last piece is not
 * cut to that share: what the flow offers leaves as one message. */
static bool pump_out(struct wgw_conn *c)
{
	size_t budget = WGW_PUMP_BYTES;

	if (!flush_early(c))
		return false;
	while (!c->far_over) {
		size_t waiting = wgw_end_ready(&c->app), room;
		struct iovec iov[2];
		ssize_t got;
		int n;

		if (waiting == 0)
			return true;
		unsent_begin(c);
		n = flow_send_iov(c->flow, iov);
		room = total(iov, n);
		if (room == 0)
			return false;
		if (budget == 0) {
			wgw_conn_kick(c);
			return false;
		}
		room = room < waiting ? room : waiting;
		got = wgw_end_read(&c->app, iov, n, room);
		if (got <= 0)
			return true;
		budget = (size_t)got < budget ? budget - (size_t)got : 0;
		c->moved[0] += (size_t)got;
		flow_send_commit(c->flow, (size_t)got, (size_t)got < waiting);
	}
	return true;
}

/* The application's FIN or close, after all it wrote. */
static void pass_fin(struct wgw_conn *c)
{
	if (c->app.events & EPOLLHUP) {
		unsent_begin(c);
		c->out_fin = true;
		wgw_end_close(c->sockets->t->loop, &c->app, false);
		flow_close(c->flow);
	} else if (c->app.events & EPOLLRDHUP && !c->out_fin) {
		unsent_begin(c);
		c->out_fin = true;
		flow_shutdown(c->flow);
	}
}

/* ---- stack to application ---- */

static void pump_in(struct wgw_conn *c)
{
	size_t budget = WGW_PUMP_BYTES;
	bool fin = false;

	while (!c->far_over && c->app.watch.fd >= 0 && !c->app.fin_sent) {
		struct iovec iov[RECV_PIECES];
		int n = flow_recv_iov(c->flow, iov, RECV_PIECES, &fin);
		ssize_t r;

		if (n == 0)
			break;
		if (c->app.full)
			return;
		if (budget == 0) {
			wgw_conn_kick(c);
			return;
		}
		r = wgw_end_write(&c->app, iov, n);
		if (r < 0) { /* shut down for reading, or closed: then EPOLLHUP says so */
			c->discarded[1] = true;
			r = (ssize_t)total(iov, n);
		}
		if (r == 0)
			return;
		budget = (size_t)r < budget ? budget - (size_t)r : 0;
		c->moved[1] += (size_t)r;
		flow_recv_consume(c->flow, (size_t)r);
	}
	if (fin && !c->far_over)
		wgw_end_finish(&c->app);
}

/* ---- the end ---- */

/* Keeps what the flow received and the application has not taken. */
static void save_tail(struct wgw_conn *c)
{
	struct iovec iov[RECV_PIECES];
	bool fin = false;
	int n;

	while ((n = flow_recv_iov(c->flow, iov, RECV_PIECES, &fin)) > 0) {
		size_t len = total(iov, n);
		uint8_t *tail;

		if (c->tail_len + len > WGW_TAIL_MAX_BYTES ||
		    c->sock.quota->tail_bytes + len > WGW_TAILS_MAX_BYTES ||
		    !(tail = realloc(c->tail, c->tail_len + len))) {
			c->err = c->err ? c->err : ECONNRESET; /* short, and seen to be short */
			return;
		}
		c->tail = tail;
		for (int i = 0; i < n; i++) {
			memcpy(tail + c->tail_len, iov[i].iov_base, iov[i].iov_len);
			c->tail_len += iov[i].iov_len;
		}
		c->sock.quota->tail_bytes += len;
		flow_recv_consume(c->flow, len);
	}
}

/* The flow is gone: delivers the tail, then the end. */
static void run_out(struct wgw_conn *c)
{
	while (c->tail_at < c->tail_len && c->app.watch.fd >= 0) {
		struct iovec iov = {c->tail + c->tail_at, c->tail_len - c->tail_at};
		ssize_t r = c->app.full ? 0 : wgw_end_write(&c->app, &iov, 1);

		if (r == 0 && !(c->app.events & EPOLLHUP))
			return;
		if (r <= 0)
			break;
		c->tail_at += (size_t)r;
	}
	if (!c->err)
		wgw_end_finish(&c->app);
	else if (wgw_end_keeper_comes(&c->app))
		return; /* reset before it was accepted */
	wgw_conn_drop(c);
}

/* The application closed so that TCP sends RST; also when it will not read what has come. */
static bool app_resets(const struct wgw_conn *c)
{
	return wgw_conn_app_reset(c) || (c->app.events & EPOLLHUP && c->discarded[1]);
}

static void flow_pump(struct wgw_conn *c)
{
	bool drained;

	if (c->far_over) {
		run_out(c);
		return;
	}
	if (app_resets(c)) {
		if (c->app.watch.fd >= 0) /* Linux had sent it when write returned */
			pump_out(c);
		wgw_conn_abort(c);
		return;
	}
	if (c->app.watch.fd < 0)
		return; /* flow_close was called; closed() comes */
	drained = pump_out(c);
	pump_in(c);
	if (app_resets(c)) { /* what came with the close: an end would say that it was read */
		wgw_conn_abort(c);
		return;
	}
	if (c->app.hello_fd >= 0)
		wgw_accepted_identify(c);
	if (drained && !c->far_over)
		pass_fin(c);
	else if (c->app.events & EPOLLHUP && !c->far_over)
		flow_orphan(c->flow);
	if (c->far_over)
		wgw_conn_kick(c);
}

static void flow_far_abort(struct wgw_conn *c)
{
	struct flow *f = c->flow;

	c->flow = NULL;
	c->far_over = true;
	flow_abort(f);
}

static void flow_far_options(struct wgw_conn *c)
{
	struct flow_options options;

	if (!c->flow)
		return;
	wgw_options_for_flow(&c->sock, &options);
	flow_set_options(c->flow, &options);
}

static const struct wgw_far flow_far = {flow_pump, flow_far_abort, flow_far_options};

/* ---- callbacks of the stack: note and queue ---- */

static void on_connected(struct flow *f, void *arg)
{
	struct wgw_conn *c = arg;

	flow_addrs(f, &c->local, &(struct stack_addr){0});
	wgw_conn_outcome(c, 0);
}

static void on_ready(struct flow *f, void *arg)
{
	(void)f;
	wgw_conn_kick(arg);
}

/* What was written and will not arrive. Who resets a connection, on either side, throws that away;
 * Linux says nothing of it, either, and it may be the last alert of TLS. */
static uint64_t lost_bytes(struct wgw_conn *c, const struct flow *f, int err)
{
	return err && err != ECONNRESET ? flow_unacked(f) + unsent_bytes(c) : 0;
}

static void on_closed(struct flow *f, void *arg, int err)
{
	struct wgw_conn *c = arg;

	if (c->state == WGW_CONN_PENDING) {
		c->flow = NULL;
		c->far_over = true;
		wgw_conn_outcome(c, err ? err : ECONNRESET);
		return;
	}
	c->err = err;
	if (c->app.watch.fd >= 0)
		save_tail(c);
	wgw_flow_unsent_over(c, lost_bytes(c, f, err));
	c->flow = NULL;
	c->far_over = true;
	wgw_conn_kick(c);
}

static const struct flow_ops flow_ops = {on_connected, on_ready, on_ready, on_closed};

int wgw_flow_start(struct wgw_conn *c, const struct stack_addr *local, const struct stack_addr *to)
{
	struct flow_options options;
	int err = ENOBUFS;

	wgw_options_for_flow(&c->sock, &options);
	options.owner = (uint32_t)c->pid;
	c->flow = flow_connect(c->sockets->t->stack, local, to, &options, &flow_ops, c, &err);
	if (!c->flow)
		return err < 0 ? -err : err;
	c->far = &flow_far;
	flow_addrs(c->flow, &c->local, &(struct stack_addr){0});
	return 0;
}

void wgw_flow_own(struct wgw_conn *c, struct flow *f)
{
	c->flow = f;
	c->far = &flow_far;
	flow_set_ops(f, &flow_ops, c);
}

bool wgw_flow_carries(const struct wgw_conn *c)
{
	return c->far == &flow_far;
}

void wgw_flow_init(struct wgw_sockets *s)
{
	wgw_list_init(&s->unsent);
	s->unsent_timer.due = unsent_due;
}
