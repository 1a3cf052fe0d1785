/* SPDX-License-Identifier: MIT */
/*
 * join.c - hands a client and its destination over to the pump of application sockets
 *
 * A proxy's client is, from here on, what an application is: tcp_flow.c (or relay.c, for a direct
 * destination) moves the bytes, passes on FIN and RST, and counts what is not delivered. The
 * client's end is a kernel socket without the keeper rule.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/proxy/internal.h"
#include "src/tunnel/keep.h"
#include "src/tunnel/listen.h"
#include "src/tunnel/tcp.h"

/* An empty connection under the session. NULL and *err. */
static struct wgw_conn *conn_for(struct wgw_session *session, int *err)
{
	struct wgw_sockets *s = session->t->sockets;
	struct wgw_quota *q = wgw_quota_of(s, session);
	struct wgw_conn *c = q && wgw_unknown_take(s, s->own_uid) ? wgw_conn_new(s) : NULL;

	*err = ENOBUFS;
	if (!c)
		return NULL;
	c->uid = s->own_uid;
	c->state = WGW_CONN_OPEN;
	*err = wgw_conn_enter(c, q);
	if (*err) {
		wgw_conn_drop(c);
		return NULL;
	}
	wgw_unknown_give(s, c->uid);
	return c;
}

/* Takes the connection out of @far. 0 or errno. */
static int own_far(struct wgw_conn *c, struct proxy_far *far)
{
	int fd = far->watch.fd;

	c->local = far->local;
	c->remote = far->remote;
	if (far->flow) {
		wgw_flow_own(c, far->flow);
		far->flow = NULL;
		return 0;
	}
	wgw_loop_del(far->t->loop, &far->watch);
	far->watch.fd = -1;
	return wgw_relay_own(c, fd, false);
}

/* The pump sends it before it reads anything. */
static int put_early(struct wgw_conn *c, const void *early, size_t len)
{
	if (len == 0)
		return 0;
	c->stash[0] = malloc(len);
	if (!c->stash[0])
		return ENOMEM;
	memcpy(c->stash[0], early, len);
	c->stash_len[0] = len;
	return 0;
}

/* The listener's end follows the keeper rule, as any program's does: only the pump knows it. So
 * there is a pump between it and a socket that far.c can use like another. */
int proxy_own(struct wgw_session *session, const struct stack_addr *to, struct stack_addr *local,
	      int *fd)
{
	struct wgw_sockets *s = session->t->sockets;
	int pair[2], listener = -1, err;
	struct wgw_conn *c = conn_for(session, &err);

	if (!c)
		return err;
	*local = c->remote = *to;
	local->port = 0;
	err = -wgw_port_choose(s, local, 0);
	c->local = *local;
	if (!err && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		err = errno;
	if (err) {
		wgw_conn_abort(c);
		return err;
	}
	err = wgw_listen_local(s, session, to, local, &listener, &c->gives_out);
	if (!err)
		err = wgw_relay_own(c, listener, true);
	if (!err)
		err = -wgw_conn_attach(c, pair[0]);
	if (err) {
		close(pair[0]);
		close(pair[1]);
		wgw_conn_abort(c);
		return err == ENOENT ? ECONNREFUSED : err == EAGAIN ? ETIMEDOUT : err;
	}
	c->app.keeps = false;
	c->lent = true;
	wgw_conn_kick(c);
	*fd = pair[1];
	return 0;
}

int proxy_join(struct wgw_session *session, const struct proxy_near *near, struct proxy_far *far,
	       const void *early, size_t early_len)
{
	struct wgw_conn *c = NULL;
	int err = far->state == PROXY_FAR_OPEN ? 0 : ECONNRESET;

	if (!err)
		c = conn_for(session, &err);
	if (!err)
		err = own_far(c, far);
	proxy_far_free(far, true);
	if (!err)
		err = put_early(c, early, early_len);
	if (!err)
		err = -wgw_conn_attach(c, near->fd);
	if (err) {
		close(near->fd);
		if (c) {
			c->err = err;
			wgw_conn_abort(c);
		}
		return err;
	}
	c->lent = near->lent;
	c->app.keeps = near->keeps;
	c->app.stale = near->stale;
	wgw_conn_kick(c);
	return 0;
}
