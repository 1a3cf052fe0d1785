/* SPDX-License-Identifier: MIT */
/* socket.c - socket(2), and what is done once to a socket: bind, listen, accept, shutdown */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "src/capture/call.h"
#include "src/repr/raw.h"

long wgw_call_socket(struct wgw_call *c)
{
	struct wgw_repr_session session = c->capture->session;
	int type = (int)c->args[1];
	int fd;

	session.outside = wgw_target_is_outside(c);
	fd = wgw_repr_socket(&session, (int)c->args[0], type | SOCK_CLOEXEC, (int)c->args[2]);
	if (fd < 0)
		return fd;
	c->give = fd;
	c->give_flags = type & SOCK_CLOEXEC ? O_CLOEXEC : 0;
	return WGW_CALL_GIVE;
}

static long bind_ours(const struct wgw_call *c)
{
	return wgw_repr_bind(&c->capture->session, c->fd, c->tag, &c->asked.value, c->asked.len);
}

long wgw_call_bind(struct wgw_call *c)
{
	int len = (int)c->args[2];
	long rc;

	if (c->what != WGW_SOCKET_OURS)
		return c->what == WGW_SOCKET_IP ? -EACCES : WGW_CALL_CONTINUE;
	if (len < 0 || len > (int)sizeof(c->asked.value))
		return -EINVAL;
	c->asked.len = (socklen_t)len;
	if (wgw_target_read(c, c->args[1], &c->asked.value, (size_t)len))
		return -EFAULT;
	if (!wgw_call_valid(c))
		return WGW_CALL_GONE;
	rc = wgw_busy_take_done(c) ? 0 : bind_ours(c);
	if (rc == -EADDRINUSE) {
		wgw_call_settle(c);
		rc = bind_ours(c);
	}
	c->asked.result = rc;
	if (rc == 0)
		c->undo = wgw_busy_keep_done;
	return rc;
}

/** listen_ours() - on another socket when this one was a listener that is shut down */
static long listen_ours(struct wgw_call *c)
{
	long rc = wgw_repr_listen(&c->capture->session, c->fd, c->tag, (int)c->args[1]);

	if (rc != -ECONNABORTED)
		return rc;
	rc = wgw_call_again(c);
	return rc ? rc : wgw_repr_listen(&c->capture->session, c->fd, c->tag, (int)c->args[1]);
}

long wgw_call_listen(struct wgw_call *c)
{
	switch (c->what) {
	case WGW_SOCKET_OURS:
		return listen_ours(c);
	case WGW_SOCKET_OTHER:
		return WGW_CALL_CONTINUE;
	default:
		return -EACCES;
	}
}

long wgw_call_shutdown(struct wgw_call *c)
{
	int how = (int)c->args[1];
	long rc;

	if (c->what != WGW_SOCKET_OURS)
		return WGW_CALL_CONTINUE;
	c->asked.len = sizeof(how);
	memcpy(&c->asked.value, &how, sizeof(how));
	rc = wgw_busy_take_done(c) ? 0
				   : wgw_repr_shutdown(&c->capture->session, c->fd, c->tag, how);
	if (rc == 0)
		c->undo = wgw_busy_keep_done;
	return rc;
}

/* ---- accept ---- */

static void keep_accepted(struct wgw_call *c)
{
	wgw_busy_keep(c, c->give);
	c->give = -1;
}

/** take_kept() - connection @fd, which an interrupted call has accepted */
static long take_kept(const struct wgw_call *c, int fd, int flags, struct stack_addr *peer)
{
	struct wgw_label label;

	if (!wgw_repr_label(&c->capture->session, fd, true, &label)) {
		close(fd);
		return -ECONNABORTED;
	}
	memcpy(peer->ip, label.remote_ip, sizeof(peer->ip));
	peer->port = label.remote_port;
	wgw_raw_fcntl(fd, F_SETFL, O_RDWR | (flags & SOCK_NONBLOCK ? O_NONBLOCK : 0));
	return fd;
}

/** accept_one() - a connection, waiting as the program's own call would. Descriptor, -errno or
 * WGW_CALL_GONE */
static long accept_one(struct wgw_call *c, int flags, struct stack_addr *peer)
{
	int64_t until = wgw_call_until(c, SO_RCVTIMEO);
	bool wait = !wgw_repr_nonblocking(c->fd);

	for (;;) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		int fd = wgw_busy_take(c);
		long rc;

		if (fd >= 0)
			return take_kept(c, fd, flags, peer);
		/* accept(2) itself cannot be told not to wait: the flag is the program's */
		if (wgw_raw_poll(&p, 1, 0) == 1) {
			fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | (flags & SOCK_NONBLOCK));
			if (fd < 0)
				return -errno;
			rc = wgw_repr_accepted(&c->capture->session, fd, c->tag, peer);
			if (rc == 0) {
				if (c->tag & WGW_TAG_INHERITED)
					wgw_repr_copy_native(c->fd, fd);
				return fd;
			}
			close(fd); /* not from the tunnel process: it never happened */
			continue;
		}
		if (!wait)
			return -EAGAIN;
		rc = wgw_call_wait(c, POLLIN, until);
		if (rc <= 0)
			return rc == 0 ? -EAGAIN : rc;
	}
}

static long take_connection(struct wgw_call *c, int flags)
{
	struct sockaddr_storage address;
	struct stack_addr peer;
	socklen_t len = sizeof(address);
	long fd;
	int rc;

	if (c->what == WGW_SOCKET_UNKNOWN || c->what == WGW_SOCKET_IP)
		return -EACCES;
	if (c->what != WGW_SOCKET_OURS)
		return WGW_CALL_CONTINUE;
	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	if (wgw_tag_kind(c->tag) != WGW_KIND_TCP)
		return -EOPNOTSUPP;
	if (!(c->tag & WGW_TAG_LISTENING))
		return -EINVAL;
	fd = accept_one(c, flags, &peer);
	if (fd < 0)
		return fd;
	c->give = (int)fd;
	c->give_flags = flags & SOCK_CLOEXEC ? O_CLOEXEC : 0;
	c->undo = keep_accepted;
	rc = wgw_repr_addr_write(c->tag, &peer, &address, &len);
	if (rc == 0 && c->args[1])
		rc = wgw_target_write_address(c, c->args[1], c->args[2], &address, len);
	return rc ? rc : WGW_CALL_GIVE;
}

long wgw_call_accept(struct wgw_call *c)
{
	return take_connection(c, 0);
}

long wgw_call_accept4(struct wgw_call *c)
{
	return take_connection(c, (int)c->args[3]);
}
