/* SPDX-License-Identifier: MIT */
/*
 * resolver_io.c - sockets for c-ares that are flows of our own stack
 *
 * Theory of operation
 *
 * c-ares calls our functions instead of socket(2) and its kin. The descriptors it sees are numbers
 * of our own. A name server in the tunnel is a flow; one that policy calls direct is a kernel
 * socket. The callbacks of the stack only store what came and mark the channel; c-ares works before
 * the loop sleeps, so it is never entered while it is at work.
 *
 * The process is sandboxed from /dev/urandom, without which c-ares makes predictable query IDs.
 * Each UDP socket therefore has a random mask that is XORed into the ID on the way out and back;
 * together with the stack's random ports this is what RFC 5452 asks for.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/sockaddr.h"
#include "src/tunnel/resolver.h"

enum {
	FIRST_NUMBER = 1 << 20,
	READS_PER_TURN = 64,
	ID_BYTES = 2,
};

/** struct packet - a received datagram */
struct packet {
	struct packet *next;
	size_t len;
	uint8_t bytes[];
};

/**
 * struct dns_socket - one socket as c-ares sees it
 * @fd:		Its number
 * @tcp:	SOCK_STREAM
 * @udp_flow, @tcp_flow, @kernel: what carries it; @kernel.fd -1: none
 * @remote:	The server
 * @mask:	XORed into the query ID
 * @want_read, @want_write: c-ares's interest
 * @readable, @writable: there is something to do
 * @err:	The flow has ended; @over
 */
struct dns_socket {
	struct dns_socket *next;
	struct dns_channel *channel;
	ares_socket_t fd;
	bool tcp, want_read, want_write, readable, writable, over;
	int err;
	struct flow_udp *udp_flow;
	struct flow *tcp_flow;
	struct wgw_watch kernel;
	struct stack_addr remote;
	uint8_t mask[ID_BYTES];
	struct packet *head, **tail;
	unsigned int queued;
};

static struct dns_socket *find(struct dns_channel *ch, ares_socket_t fd)
{
	struct dns_socket *d = ch->sockets;

	while (d && d->fd != fd)
		d = d->next;
	return d;
}

static void mark(struct dns_socket *d, bool readable, bool writable)
{
	d->readable |= readable;
	d->writable |= writable;
	dns_channel_dirty(d->channel);
}

/* ---- callbacks of the stack and the loop ---- */

static void on_datagram(struct flow_udp *u, void *arg, const struct stack_datagram *datagram)
{
	struct dns_socket *d = arg;
	struct packet *p;

	(void)u;
	if (!stack_addr_equal(datagram->from, &d->remote) || datagram->len < ID_BYTES ||
	    d->queued >= DNS_QUEUED_MAX || !(p = malloc(sizeof(*p) + datagram->len)))
		return;
	p->next = NULL;
	p->len = datagram->len;
	memcpy(p->bytes, datagram->data, datagram->len);
	*d->tail = p;
	d->tail = &p->next;
	d->queued++;
	mark(d, true, false);
}

static void on_icmp(struct flow_udp *u, void *arg, const struct stack_addr *to,
		    const struct stack_error *error)
{
	struct dns_socket *d = arg;

	(void)u, (void)to;
	d->err = error->err;
	mark(d, true, false);
}

static void on_connected(struct flow *f, void *arg)
{
	(void)f;
	mark(arg, false, true);
}

static void on_readable(struct flow *f, void *arg)
{
	(void)f;
	mark(arg, true, false);
}

static void on_closed(struct flow *f, void *arg, int err)
{
	struct dns_socket *d = arg;

	(void)f;
	d->tcp_flow = NULL;
	d->over = true;
	d->err = err ? err : ECONNRESET;
	mark(d, true, true);
}

static const struct flow_udp_ops udp_ops = {on_datagram, on_icmp};
static const struct flow_ops tcp_ops = {on_connected, on_readable, on_connected, on_closed};

static void on_kernel(struct wgw_watch *w, uint32_t events)
{
	mark(wgw_container(w, struct dns_socket, kernel),
	     (events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0,
	     (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0);
}

/* ---- what c-ares calls ---- */

static ares_socket_t dns_open(int domain, int type, int protocol, void *arg)
{
	struct dns_channel *ch = arg;
	struct dns_socket *d;
	ares_socket_t fd = FIRST_NUMBER;

	(void)domain, (void)protocol;
	if (ch->n_sockets >= DNS_SOCKETS_MAX || !(d = calloc(1, sizeof(*d)))) {
		errno = ENOBUFS;
		return ARES_SOCKET_BAD;
	}
	while (find(ch, fd))
		fd++;
	d->fd = fd;
	d->channel = ch;
	d->tcp = (type & 0xf) == SOCK_STREAM;
	d->kernel.fd = -1;
	d->tail = &d->head;
	randombytes_buf(d->mask, sizeof(d->mask));
	d->next = ch->sockets;
	ch->sockets = d;
	ch->n_sockets++;
	return fd;
}

static int dns_close(ares_socket_t fd, void *arg)
{
	struct dns_channel *ch = arg;
	struct dns_socket **at = &ch->sockets, *d;

	while (*at && (*at)->fd != fd)
		at = &(*at)->next;
	d = *at;
	if (!d)
		return -1;
	*at = d->next;
	ch->n_sockets--;
	if (d->udp_flow)
		flow_udp_free(d->udp_flow);
	if (d->tcp_flow)
		flow_abort(d->tcp_flow); /* all answers are in: nothing is lost by it */
	if (d->kernel.fd >= 0) {
		wgw_loop_del(ch->resolver->t->loop, &d->kernel);
		close(d->kernel.fd);
	}
	while (d->head) {
		struct packet *p = d->head;

		d->head = p->next;
		free(p);
	}
	free(d);
	return 0;
}

static int connect_kernel(struct dns_socket *d, const struct stack_addr *to)
{
	struct wgw_loop *loop = d->channel->resolver->t->loop;
	struct sockaddr_storage ss;
	socklen_t len = wgw_sockaddr_from(to, &ss);
	int type = d->tcp ? SOCK_STREAM : SOCK_DGRAM;
	int fd = socket(ss.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err = 0;

	if (fd < 0)
		return errno;
	if (connect(fd, (struct sockaddr *)&ss, len) < 0)
		err = errno;
	d->kernel = (struct wgw_watch){fd, on_kernel};
	if ((err && err != EINPROGRESS) ||
	    wgw_loop_add(loop, &d->kernel, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0) {
		close(fd);
		d->kernel.fd = -1;
		return err ? err : ENOBUFS;
	}
	return err;
}

static int connect_tunnel(struct dns_socket *d, const struct stack_addr *to)
{
	struct stack *stack = d->channel->resolver->t->stack;
	static const struct flow_options options = {.nodelay = true};
	struct stack_addr any = stack_addr_wildcard(stack_addr_is_v4(to));
	int err = ENOBUFS;

	if (d->tcp) {
		d->tcp_flow = flow_connect(stack, NULL, to, &options, &tcp_ops, d, &err);
		return d->tcp_flow ? EINPROGRESS : err < 0 ? -err : err;
	}
	d->udp_flow = flow_udp_new(stack, &any, false, false, &udp_ops, d, &err);
	if (!d->udp_flow)
		return err < 0 ? -err : err;
	flow_udp_connect(d->udp_flow, to);
	return 0;
}

static int dns_connect(ares_socket_t fd, const struct sockaddr *addr, ares_socklen_t len, void *arg)
{
	struct dns_channel *ch = arg;
	struct dns_socket *d = find(ch, fd);
	struct sockaddr_storage ss = {0};
	struct stack_addr to;
	int err = ENETUNREACH;

	if (!d || len > sizeof(ss))
		return -1;
	memcpy(&ss, addr, len);
	wgw_sockaddr_to(&ss, &to);
	d->remote = to;
	switch (wgw_session_route(ch->session, &to, d->tcp ? IPPROTO_TCP : IPPROTO_UDP)) {
	case WGW_ROUTE_TUNNEL:
		d->remote = to;
		err = connect_tunnel(d, &to);
		break;
	case WGW_ROUTE_DIRECT:
		err = connect_kernel(d, &to);
		break;
	case WGW_ROUTE_REFUSED:
		break;
	}
	errno = err;
	return err ? -1 : 0;
}

static ares_ssize_t recv_tcp(struct dns_socket *d, uint8_t *buf, size_t len)
{
	size_t got = 0;
	bool fin = false;

	while (d->tcp_flow && got < len) {
		struct iovec iov;
		size_t take;

		if (flow_recv_iov(d->tcp_flow, &iov, 1, &fin) == 0)
			break;
		take = iov.iov_len < len - got ? iov.iov_len : len - got;
		memcpy(buf + got, iov.iov_base, take);
		got += take;
		flow_recv_consume(d->tcp_flow, take);
	}
	if (got > 0 || fin)
		return (ares_ssize_t)got;
	errno = d->over ? d->err : EAGAIN;
	return -1;
}

static ares_ssize_t recv_udp(struct dns_socket *d, uint8_t *buf, size_t len)
{
	struct packet *p = d->head;
	size_t take;

	if (!p) {
		errno = d->err ? d->err : EAGAIN;
		d->err = 0;
		return -1;
	}
	d->head = p->next;
	if (!d->head)
		d->tail = &d->head;
	d->queued--;
	take = p->len < len ? p->len : len;
	memcpy(buf, p->bytes, take);
	free(p);
	return (ares_ssize_t)take;
}

static void unmask(const struct dns_socket *d, uint8_t *message, ares_ssize_t len)
{
	for (ares_ssize_t i = 0; !d->tcp && i < ID_BYTES && i < len; i++)
		message[i] ^= d->mask[i];
}

static ares_ssize_t dns_recv(ares_socket_t fd, void *buf, size_t len, int flags,
			     struct sockaddr *from, ares_socklen_t *from_len, void *arg)
{
	struct dns_socket *d = find(arg, fd);
	ares_ssize_t r;

	(void)flags;
	if (!d) {
		errno = EBADF;
		return -1;
	}
	if (d->kernel.fd >= 0)
		r = recv(d->kernel.fd, buf, len, MSG_DONTWAIT);
	else
		r = d->tcp ? recv_tcp(d, buf, len) : recv_udp(d, buf, len);
	if (r < 0 && errno == EAGAIN)
		d->readable = false;
	unmask(d, buf, r);
	if (r >= 0 && from && from_len) {
		struct sockaddr_storage ss;
		uint32_t ss_len = wgw_sockaddr_from(&d->remote, &ss);

		if (*from_len >= ss_len) {
			memcpy(from, &ss, ss_len);
			*from_len = ss_len;
		}
	}
	return r;
}

static ares_ssize_t send_tcp(struct dns_socket *d, const uint8_t *bytes, size_t len)
{
	size_t put = 0;

	while (d->tcp_flow && put < len) {
		struct iovec iov[2];
		size_t take;

		if (flow_send_iov(d->tcp_flow, iov) == 0)
			break;
		take = iov[0].iov_len < len - put ? iov[0].iov_len : len - put;
		memcpy(iov[0].iov_base, bytes + put, take);
		put += take;
		flow_send_commit(d->tcp_flow, take, put < len);
	}
	if (put > 0)
		return (ares_ssize_t)put;
	errno = d->over ? d->err : EAGAIN;
	return -1;
}

/* One piece: c-ares sends a message of UDP, or what waits of TCP, whole. */
static ares_ssize_t send_piece(struct dns_socket *d, const uint8_t *bytes, size_t len)
{
	uint8_t id[ID_BYTES];
	struct iovec iov[2] = {{id, ID_BYTES}, {(void *)(bytes + ID_BYTES), len - ID_BYTES}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	int err;

	if (d->tcp)
		return d->kernel.fd >= 0 ? send(d->kernel.fd, bytes, len, MSG_NOSIGNAL)
					 : send_tcp(d, bytes, len);
	if (len < ID_BYTES) {
		errno = EINVAL;
		return -1;
	}
	memcpy(id, bytes, ID_BYTES);
	unmask(d, id, ID_BYTES);
	if (d->kernel.fd >= 0)
		return sendmsg(d->kernel.fd, &msg, MSG_NOSIGNAL);
	err = d->udp_flow ? flow_udp_send(d->udp_flow, &d->remote, iov, 2, 64, 0) : -ENOTCONN;
	errno = -err;
	return err ? -1 : (ares_ssize_t)len;
}

static ares_ssize_t dns_send(ares_socket_t fd, const struct iovec *iov, int n, void *arg)
{
	struct dns_socket *d = find(arg, fd);
	ares_ssize_t sent = 0;

	if (!d) {
		errno = EBADF;
		return -1;
	}
	for (int i = 0; i < n; i++) {
		ares_ssize_t r = send_piece(d, iov[i].iov_base, iov[i].iov_len);

		if (r < 0)
			return sent > 0 ? sent : -1;
		sent += r;
		if ((size_t)r < iov[i].iov_len)
			break;
	}
	return sent;
}

const struct ares_socket_functions dns_socket_functions = {
	.asocket = dns_open,
	.aclose = dns_close,
	.aconnect = dns_connect,
	.arecvfrom = dns_recv,
	.asendv = dns_send,
};

void dns_socket_interest(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns_socket *d = find(arg, fd);

	if (!d)
		return;
	d->want_read = readable;
	d->want_write = writable;
	if (writable || readable)
		dns_channel_dirty(d->channel);
}

/* ---- letting c-ares work ---- */

/* What is ready of the socket: a flow of TCP is writable while it has room. */
static bool has_room(struct dns_socket *d)
{
	struct iovec iov[2];

	if (!d->writable || !d->tcp_flow)
		return d->writable;
	d->writable = flow_send_iov(d->tcp_flow, iov) > 0;
	return d->writable;
}

void dns_channel_process(struct dns_channel *ch)
{
	ares_socket_t fds[DNS_SOCKETS_MAX];
	unsigned int n = 0;

	for (struct dns_socket *d = ch->sockets; d && n < DNS_SOCKETS_MAX; d = d->next)
		fds[n++] = d->fd;
	for (unsigned int i = 0; i < n; i++) {
		struct dns_socket *d = find(ch, fds[i]);

		if (d && d->want_write && has_room(d))
			cares.ares_process_fd(ch->ares, ARES_SOCKET_BAD, fds[i]);
		/* c-ares takes one piece of a TCP message at a time */
		for (int turn = 0; turn < READS_PER_TURN; turn++) {
			d = find(ch, fds[i]);
			if (!d || !d->want_read || !d->readable)
				break;
			cares.ares_process_fd(ch->ares, fds[i], ARES_SOCKET_BAD);
		}
		if (d && d->want_read && d->readable)
			dns_channel_dirty(ch);
	}
}
