/* SPDX-License-Identifier: MIT */
/*
 * accepted.c - connections that came in, once the program has accepted them
 *
 * The shim sends the accepted socket's own descriptor: from then on operations can name it, and what
 * the program had set on it by then counts. Until then the program need not tell us what its tag
 * says (repr/wire.h): a server that sets TCP_NODELAY on each connection asks us nothing.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/tunnel/end.h"
#include "src/tunnel/keep.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/tcp.h"

/* Marks the program's socket @fd as known, then reads what it had to say until now. */
static void read_tag(struct wgw_conn *c, int fd)
{
	static const int least = 0; /* the kernel makes it its minimum */
	uint64_t tag = 0;
	socklen_t len = sizeof(tag);
	int on;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));
	atomic_thread_fence(memory_order_seq_cst);
	if (getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &tag, &len) < 0 || len != sizeof(tag) ||
	    !wgw_tag_is_ours(tag))
		return;
	on = (tag & WGW_TAG_NODELAY) != 0;
	if (on != wgw_option_int(&c->sock, IPPROTO_TCP, TCP_NODELAY, 0))
		wgw_option_set(&c->sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void wgw_accepted_identify(struct wgw_conn *c)
{
	struct wgw_sockets *s = c->sockets;
	int fd = c->app.hello_fd;
	struct wgw_sock *old;

	c->app.hello_fd = -1;
	if (c->sock.cookie == 0 && wgw_fd_identity(fd, &c->sock.cookie, &c->sock.inode) == 0) {
		old = wgw_sock_find(s, c->sock.quota->session, c->sock.cookie);
		if (old && old->role == WGW_ROLE_KEPT)
			wgw_kept_become(s, wgw_container(old, struct wgw_kept, sock), &c->sock);
		read_tag(c, fd);
		if (wgw_sock_insert(s, &c->sock) < 0)
			c->sock.cookie = 0;
		else if (c->sock.options)
			wgw_conn_options(c);
	}
	close(fd);
}

void wgw_accepted_poke(struct wgw_sockets *s)
{
	for (struct wgw_link *at = s->conns.next; at != &s->conns; at = at->next) {
		struct wgw_conn *c = wgw_container(at, struct wgw_conn, link);

		if (c->state != WGW_CONN_OPEN || !c->app.hello)
			continue;
		wgw_end_pending(&c->app);
		if (c->app.hello_fd >= 0)
			wgw_accepted_identify(c);
	}
}
