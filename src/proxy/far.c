/* SPDX-License-Identifier: MIT */
/*
 * far.c - a connection to a destination: of the stack, or a kernel socket where --direct allows it
 * and towards programs in the same tunnel
 *
 * What reads and writes it is a protocol (HTTP); a connection that is only pumped goes to join.c,
 * which takes flow or descriptor out.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/sockaddr.h"
#include "src/proxy/internal.h"

enum { READ_PIECES = 8 };

#define FAR_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static void tell(struct proxy_far *far)
{
	if (far->changed)
		far->changed(far->arg);
}

/* ---- over the stack ---- */

static void on_connected(struct flow *f, void *arg)
{
	struct proxy_far *far = arg;

	flow_addrs(f, &far->local, &far->remote);
	far->state = PROXY_FAR_OPEN;
	tell(far);
}

static void on_ready(struct flow *f, void *arg)
{
	(void)f;
	tell(arg);
}

/* Copies what nobody has read, as it goes with the flow. */
static void save_tail(struct proxy_far *far)
{
	struct iovec iov[READ_PIECES];
	bool fin;
	int n;

	while ((n = flow_recv_iov(far->flow, iov, READ_PIECES, &fin)) > 0) {
		size_t len = 0, at = far->tail_len;
		uint8_t *tail;

		for (int i = 0; i < n; i++)
			len += iov[i].iov_len;
		tail = at + len <= PROXY_TAIL_MAX_BYTES ? realloc(far->tail, at + len) : NULL;
		if (!tail) {
			far->err = far->err ? far->err : ECONNRESET; /* it is seen to be short */
			return;
		}
		far->tail = tail;
		for (int i = 0; i < n; i++) {
			memcpy(tail + at, iov[i].iov_base, iov[i].iov_len);
			at += iov[i].iov_len;
		}
		far->tail_len = at;
		flow_recv_consume(far->flow, len);
	}
}

static void on_closed(struct flow *f, void *arg, int err)
{
	struct proxy_far *far = arg;

	(void)f;
	far->err = err;
	if (far->state == PROXY_FAR_OPEN)
		save_tail(far);
	else if (!err)
		far->err = ECONNRESET;
	far->flow = NULL;
	far->state = PROXY_FAR_OVER;
	tell(far);
}

static const struct flow_ops flow_ops = {on_connected, on_ready, on_ready, on_closed};

/* ---- by a kernel socket ---- */

static void on_event(struct wgw_watch *w, uint32_t events)
{
	struct proxy_far *far = wgw_container(w, struct proxy_far, watch);

	if (far->state == PROXY_FAR_CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(far->err);

		if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &far->err, &len) < 0)
			far->err = errno;
		len = sizeof(ss);
		if (!far->err && getsockname(w->fd, (struct sockaddr *)&ss, &len) == 0 &&
		    ss.ss_family != AF_UNIX)
			wgw_sockaddr_to(&ss, &far->local);
		far->state = far->err ? PROXY_FAR_OVER : PROXY_FAR_OPEN;
	}
	if (events & EPOLLOUT)
		far->full = false;
	tell(far);
}

/* 0 or errno. */
static int connect_kernel(struct proxy_far *far)
{
	static const int one = 1;
	struct sockaddr_storage ss;
	socklen_t len = wgw_sockaddr_from(&far->remote, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	far->watch.fd = fd;
	far->watch.ready = on_event;
	if (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
		return errno;
	return -wgw_loop_add(far->t->loop, &far->watch, FAR_EVENTS);
}

/* 0 or errno. */
static int connect_own(struct proxy_far *far, struct wgw_session *session)
{
	int err = proxy_own(session, &far->remote, &far->local, &far->watch.fd);

	if (err)
		return err;
	far->watch.ready = on_event;
	return -wgw_loop_add(far->t->loop, &far->watch, FAR_EVENTS);
}

/* ---- both ---- */

static struct proxy_far *far_new(struct wgw_tunnel *t, void (*changed)(void *arg), void *arg)
{
	struct proxy_far *far = calloc(1, sizeof(*far));

	if (!far)
		return NULL;
	far->t = t;
	far->watch.fd = -1;
	far->changed = changed;
	far->arg = arg;
	return far;
}

struct proxy_far *proxy_far_connect(struct wgw_session *session, const struct stack_addr *to,
				    bool direct, uint32_t timeout_ms, void (*changed)(void *arg),
				    void *arg, int *err)
{
	const struct flow_options options = {
		.nodelay = true, .connect_timeout_ms = timeout_ms, .owner = (uint32_t)session->pid};
	struct wgw_tunnel *t = session->t;
	struct proxy_far *far = far_new(t, changed, arg);

	if (!far) {
		*err = ENOMEM;
		return NULL;
	}
	far->remote = *to;
	if (direct) {
		*err = connect_kernel(far);
	} else if (stack_is_local(t->stack, to)) {
		*err = connect_own(far, session);
	} else {
		far->flow = flow_connect(t->stack, NULL, to, &options, &flow_ops, far, err);
		*err = far->flow ? 0 : *err < 0 ? -*err : *err;
	}
	if (*err) {
		proxy_far_free(far, true);
		return NULL;
	}
	return far;
}

struct proxy_far *proxy_far_accepted(struct wgw_tunnel *t, struct flow *f,
				     void (*changed)(void *arg), void *arg)
{
	const struct flow_options options = {.nodelay = true};
	struct proxy_far *far = far_new(t, changed, arg);

	if (!far) {
		flow_abort(f);
		return NULL;
	}
	far->flow = f;
	far->state = PROXY_FAR_OPEN;
	flow_addrs(f, &far->local, &far->remote);
	flow_set_ops(f, &flow_ops, far);
	flow_set_options(f, &options);
	return far;
}

void proxy_far_set_owner(struct proxy_far *far, void (*changed)(void *arg), void *arg)
{
	far->changed = changed;
	far->arg = arg;
}

static size_t read_flow(struct proxy_far *far, uint8_t *buf, size_t max, bool *fin)
{
	size_t got = 0;

	while (got < max) {
		struct iovec iov;
		size_t n;

		if (flow_recv_iov(far->flow, &iov, 1, fin) == 0)
			break;
		*fin = false;
		n = iov.iov_len < max - got ? iov.iov_len : max - got;
		memcpy(buf + got, iov.iov_base, n);
		flow_recv_consume(far->flow, n);
		got += n;
	}
	*fin = *fin && got == 0;
	return got;
}

static size_t read_kernel(struct proxy_far *far, uint8_t *buf, size_t max, bool *fin)
{
	ssize_t r = recv(far->watch.fd, buf, max, MSG_DONTWAIT);

	if (r > 0)
		return (size_t)r;
	*fin = r == 0;
	if (r < 0 && errno != EAGAIN && errno != EINTR) {
		far->err = errno;
		far->state = PROXY_FAR_OVER;
	}
	return 0;
}

size_t proxy_far_read(struct proxy_far *far, void *buf, size_t max, bool *fin)
{
	size_t n = far->tail_len - far->tail_at;

	*fin = false;
	if (max == 0)
		return 0;
	if (n > 0) {
		n = n < max ? n : max;
		memcpy(buf, far->tail + far->tail_at, n);
		far->tail_at += n;
		return n;
	}
	if (far->state == PROXY_FAR_OVER) {
		*fin = far->err == 0;
		return 0;
	}
	return far->flow ? read_flow(far, buf, max, fin) : read_kernel(far, buf, max, fin);
}

static size_t write_flow(struct proxy_far *far, const uint8_t *buf, size_t len)
{
	size_t put = 0;

	while (put < len) {
		struct iovec iov[2];
		int n = flow_send_iov(far->flow, iov);
		size_t took = 0;

		for (int i = 0; i < n && put + took < len; i++) {
			size_t piece = iov[i].iov_len;

			piece = piece < len - put - took ? piece : len - put - took;
			memcpy(iov[i].iov_base, buf + put + took, piece);
			took += piece;
		}
		if (took == 0)
			break;
		put += took;
		flow_send_commit(far->flow, took, put < len);
	}
	return put;
}

size_t proxy_far_write(struct proxy_far *far, const void *buf, size_t len)
{
	ssize_t r;

	if (far->state != PROXY_FAR_OPEN)
		return 0;
	if (far->flow)
		return write_flow(far, buf, len);
	r = send(far->watch.fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (r >= 0)
		return (size_t)r;
	far->full = true;
	if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
		far->err = errno;
		far->state = PROXY_FAR_OVER;
		tell(far);
	}
	return 0;
}

int proxy_far_release(struct proxy_far *far)
{
	int fd = far->watch.fd;

	if (fd >= 0)
		wgw_loop_del(far->t->loop, &far->watch);
	far->watch.fd = -1;
	proxy_far_free(far, true);
	return fd;
}

void proxy_far_free(struct proxy_far *far, bool reset)
{
	static const struct flow_ops nobody;
	static const struct linger now = {.l_onoff = 1};

	if (!far)
		return;
	if (far->flow && (reset || far->state == PROXY_FAR_CONNECTING)) {
		flow_abort(far->flow);
	} else if (far->flow) {
		flow_set_ops(far->flow, &nobody, NULL);
		flow_close(far->flow);
	}
	if (far->watch.fd >= 0) {
		wgw_loop_del(far->t->loop, &far->watch);
		if (reset)
			setsockopt(far->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(far->watch.fd);
	}
	free(far->tail);
	free(far);
}
