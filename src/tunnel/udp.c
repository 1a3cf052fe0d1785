/* SPDX-License-Identifier: MIT */
/*
 * udp.c - datagram sockets of applications: the application's side
 *
 * Theory of operation
 *
 * One SEQPACKET connection per socket; a message is a datagram, with struct wgw_dgram in front or
 * without: the application's say so by their preamble, ours have it unless the socket is RAW. The
 * mode changes by WGW_OP_UDP_CONNECT on another connection: first everything the socket has queued
 * is sent in the old mode; then nothing is sent to the application until WGW_OP_GO, so that it can
 * take back what is queued with the wrong shape. What it returns goes before what came meanwhile.
 *
 * An application that nobody sees reading is RAW without a peer, too, until it asks who sends to it.
 *
 * Datagrams that the application does not read in time are dropped, as the kernel does. An end of
 * file and an empty datagram both read as 0: SO_PASSCRED is on, and only a datagram has
 * credentials.
 *
 * shutdown(2) is told here, and each side shuts its own end for reading: the application so that
 * its waits end, we so that its sends fail. Then the events of our end no longer tell when the
 * application closes; with both directions shut none do, and abandoned.c finds out.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/repr/cmsg.h"
#include "src/tunnel/keep.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/udp.h"

/* Newer than some libc headers. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { RECEIVE_MAX = 8 }; /* messages of one system call */

/* Of those that are small only the first pages are ever touched. */
static uint8_t buffers[RECEIVE_MAX][sizeof(struct wgw_dgram) + UDP_MAX_BYTES];

/* ---- queues ---- */

static void queue_init(struct udp_queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

static struct udp_kept *queue_take(struct udp_queue *q)
{
	struct udp_kept *k = q->head;

	if (!k)
		return NULL;
	q->head = k->next;
	if (!q->head)
		q->tail = &q->head;
	return k;
}

/* NULL: it is dropped. */
static struct udp_kept *keep(struct wgw_dgram_sock *u, struct udp_queue *q,
			     const struct wgw_dgram *header, const struct iovec *iov, int n,
			     size_t len)
{
	struct udp_kept *k;
	size_t at = 0;

	if (u->kept_bytes + sizeof(*k) + len > UDP_HELD_MAX_BYTES)
		return NULL;
	k = malloc(sizeof(*k) + len);
	if (!k)
		return NULL;
	u->kept_bytes += sizeof(*k) + len;
	k->next = NULL;
	k->nth = 0;
	k->len = len;
	k->header = *header;
	for (int i = 0; i < n; i++) {
		memcpy(k->payload + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	*q->tail = k;
	q->tail = &k->next;
	return k;
}

static void queue_drop(struct udp_queue *q)
{
	struct udp_kept *k;

	while ((k = queue_take(q)))
		free(k);
}

/* ---- to the application ---- */

static bool is_from_remote(const struct wgw_dgram_sock *u, const struct wgw_dgram *h)
{
	return memcmp(h->ip, u->remote.ip, 16) == 0 &&
	       (h->port == u->remote.port || u->kind == WGW_KIND_PING);
}

/* Whether payload looks like a message with a header. */
static bool looks_headed(const struct wgw_dgram_sock *u, const struct iovec *iov, int n)
{
	uint8_t first[WGW_PREAMBLE_BYTES];
	size_t at = 0;

	if (n && iov[0].iov_len >= sizeof(first))
		return wgw_preamble_begins(u->preambles->to_app, iov[0].iov_base, sizeof(first));
	for (int i = 0; i < n && at < sizeof(first); i++) {
		size_t len =
			iov[i].iov_len < sizeof(first) - at ? iov[i].iov_len : sizeof(first) - at;

		memcpy(first + at, iov[i].iov_base, len);
		at += len;
	}
	return wgw_preamble_begins(u->preambles->to_app, first, at);
}

void udp_send_mark(struct wgw_dgram_sock *u)
{
	union wgw_fd_control control;
	struct msghdr msg = {0};

	if (!u->connected) /* who reads would take it for an empty datagram */
		return;
	udp_out_flush(u);
	wgw_cmsg_attach(&msg, &control, u->sockets->probe);
	(void)!sendmsg(u->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void udp_deliver(struct wgw_dgram_sock *u, const struct wgw_dgram *header, const struct iovec *iov,
		 int n, size_t len)
{
	enum { PIECES = 16 };
	struct wgw_dgram head = *header;
	struct iovec pieces[PIECES + 1] = {{&head, sizeof(head)}};
	bool nameless = u->raw && !u->connected;

	if (u->dead || u->shut_rd || n > PIECES)
		return;
	if (u->held) {
		keep(u, &u->arrived, header, iov, n, len);
		return;
	}
	memcpy(head.preamble, u->preambles->to_app, sizeof(head.preamble));
	if (u->raw && header->err) { /* it was kept: its error may have been told */
		udp_send_mark(u);
		return;
	}
	for (int i = 0; i < n; i++)
		pieces[i + 1] = iov[i];
	if (u->raw && u->connected && !is_from_remote(u, header))
		return;
	if (!u->raw || looks_headed(u, iov, n))
		udp_out_put(u, pieces, (size_t)n + 1, NULL);
	else if (!nameless || udp_senders_begin(u))
		udp_out_put(u, pieces + 1, (size_t)n, nameless ? header : NULL);
	if (head.err) /* who asked for the error before it finds this one when it is answered */
		udp_out_flush(u);
}

/* ---- from the application ---- */

/** union udp_control - what may come with a message: a descriptor, and the sender's credentials */
union udp_control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

/* Closes descriptors, which are a program's own, sent past the hooks. False: @m is no message. */
static bool is_message(struct mmsghdr *m)
{
	struct msghdr *h = &m->msg_hdr;
	bool has_sender = false;

	wgw_cmsg_take(h, NULL, 0);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
		has_sender |= c->cmsg_type == SCM_CREDENTIALS;
	return m->msg_len > 0 || has_sender;
}

/* Fills buffers[]. Returns how many messages came, @len of each; fewer than RECEIVE_MAX: no more
 * are waiting. At the end of file the kernel fills every slot with nothing. */
static unsigned int receive(struct wgw_dgram_sock *u, size_t len[RECEIVE_MAX])
{
	union udp_control control[RECEIVE_MAX];
	struct iovec iov[RECEIVE_MAX];
	struct mmsghdr m[RECEIVE_MAX];
	int got, n;

	for (int i = 0; i < RECEIVE_MAX; i++) {
		iov[i] = (struct iovec){buffers[i], sizeof(buffers[i])};
		m[i].msg_hdr = (struct msghdr){
			.msg_iov = &iov[i],
			.msg_iovlen = 1,
			.msg_control = control[i].buf,
			.msg_controllen = sizeof(control[i].buf),
		};
	}
	do /* ECONNRESET, once: the application has left something unread, and is gone */
		got = recvmmsg(u->watch.fd, m, RECEIVE_MAX, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	while (got < 0 && errno == ECONNRESET);
	for (n = 0; n < got && is_message(&m[n]); n++)
		len[n] = m[n].msg_len;
	return (unsigned int)n;
}

/* As one datagram, or as several of which all but the last have the size that the message or the
 * socket says: the program has one call for them, and so have we. */
static void send_segments(struct wgw_dgram_sock *u, struct wgw_dgram *header,
			  const uint8_t *payload, size_t len)
{
	struct stack_addr to = {.port = header->port};

	if (header->info == 0)
		header->info = u->segment;
	if (header->info == (uint32_t)WGW_DGRAM_WHOLE)
		header->info = 0;
	if (header->info && len > (size_t)header->info * WGW_SEGMENTS_MAX) {
		memcpy(to.ip, header->ip, sizeof(to.ip));
		udp_refused(u, &to, EINVAL, 0);
		return;
	}
	while (header->info && len > header->info) {
		udp_net_send(u, header, payload, header->info);
		payload += header->info;
		len -= header->info;
	}
	udp_net_send(u, header, payload, len);
}

static void send_on(struct wgw_dgram_sock *u, const uint8_t *message, size_t len)
{
	struct wgw_dgram header = {.port = u->remote.port};
	bool headed =
		len >= sizeof(header) && wgw_preamble_begins(u->preambles->to_tunnel, message, len);
	size_t skip = headed ? sizeof(header) : 0;

	if (u->shut_wr || (!headed && !u->connected)) /* a plain write on an unconnected socket */
		return;
	memcpy(header.ip, u->remote.ip, 16);
	if (headed)
		memcpy(&header, message, sizeof(header));
	send_segments(u, &header, message + skip, len - skip);
}

static void udp_close(struct wgw_dgram_sock *u)
{
	struct wgw_sockets *s = u->sockets;

	if (u->dead)
		return;
	u->dead = true;
	udp_out_flush(u);
	udp_net_close(u);
	queue_drop(&u->requeued);
	queue_drop(&u->arrived);
	udp_senders_drop(u);
	udp_errors_drop(u);
	wgw_loop_del(s->t->loop, &u->watch);
	close(u->watch.fd);
	wgw_list_remove(&u->link);
	wgw_list_remove(&u->mute);
	wgw_list_remove(&u->by_port);
	wgw_options_free(&u->sock);
	wgw_sock_remove(s, &u->sock);
	s->open--;
	wgw_quota_give(s, u->sock.quota, u->sock.counted);
	wgw_job_queue(s, &u->job);
}

/* Sends on what is queued, @max datagrams. False: there may be more. */
static bool drain(struct wgw_dgram_sock *u, unsigned int max)
{
	size_t len[RECEIVE_MAX];

	/* What comes now may be in the new mode: it waits for WGW_OP_GO */
	for (unsigned int i = 0; i < max && !u->held; i += RECEIVE_MAX) {
		unsigned int n = receive(u, len);

		for (unsigned int k = 0; k < n; k++)
			send_on(u, buffers[k], len[k]);
		if (n < RECEIVE_MAX)
			return true;
	}
	return u->held;
}

/* Whether the application has closed its end. What our shutdowns look like does not count. */
static bool is_closed(const struct wgw_dgram_sock *u)
{
	if (u->shut_rd && u->shut_wr)
		return false;
	return u->events & (u->shut_wr ? EPOLLHUP : EPOLLHUP | EPOLLRDHUP);
}

void udp_look(struct wgw_dgram_sock *u)
{
	struct pollfd p = {.fd = u->watch.fd, .events = POLLRDHUP};

	if (u->dead || u->held || poll(&p, 1, 0) <= 0)
		return;
	u->events |= (uint16_t)p.revents; /* epoll's bits are poll's */
	if (is_closed(u) && drain(u, UDP_DRAIN_MAX))
		udp_close(u);
}

void wgw_udp_abandoned(struct wgw_sock *sock)
{
	udp_close(wgw_container(sock, struct wgw_dgram_sock, sock));
}

void wgw_udp_session_over(struct wgw_sockets *s, struct wgw_session *session)
{
	struct wgw_link *l = s->mute.next;

	while (l != &s->mute) {
		struct wgw_dgram_sock *u = wgw_container(l, struct wgw_dgram_sock, mute);

		l = l->next;
		if (u->sock.quota->session == session)
			udp_close(u);
	}
}

static void udp_run(struct wgw_job *j)
{
	struct wgw_dgram_sock *u = wgw_container(j, struct wgw_dgram_sock, job);

	if (u->dead)
		free(u);
	else if (!drain(u, UDP_PER_TURN))
		wgw_job_queue(u->sockets, j);
	else if (is_closed(u) && !u->held)
		udp_close(u);
}

static void udp_ready(struct wgw_watch *w, uint32_t events)
{
	struct wgw_dgram_sock *u = wgw_container(w, struct wgw_dgram_sock, watch);

	u->events |= events;
	wgw_job_queue(u->sockets, &u->job);
}

/* ---- opening ---- */

static struct wgw_dgram_sock *udp_new(struct wgw_sockets *s, struct wgw_quota *q,
				      const struct wgw_op *op, int fd)
{
	static const int on = 1, room = UDP_SNDBUF_BYTES;
	struct wgw_dgram_sock *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->sock.role = WGW_ROLE_DGRAM;
	u->sock.cookie = op->cookie;
	u->sock.inode = op->inode;
	u->sockets = s;
	u->preambles = wgw_session_preambles(q->session);
	u->kind = op->kind == WGW_KIND_PING ? WGW_KIND_PING : WGW_KIND_UDP;
	u->v6 = (op->u.open.flags & WGW_BIND_V6) != 0;
	u->v6only = (op->u.open.flags & WGW_BIND_V6ONLY) != 0;
	u->raw = (op->u.open.flags & WGW_BIND_RAW) != 0;
	u->outside = op->u.open.flags & WGW_BIND_OUTSIDE && wgw_session_has_apps(q->session);
	u->watch = (struct wgw_watch){fd, udp_ready};
	u->job.run = udp_run;
	u->kernel[0].watch.fd = u->kernel[1].watch.fd = -1;
	queue_init(&u->requeued);
	queue_init(&u->arrived);
	setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (u->sock.cookie == 0 || wgw_sock_insert(s, &u->sock) < 0 ||
	    !wgw_quota_take(q, &q->dgrams, WGW_DGRAMS_MAX)) {
		wgw_sock_remove(s, &u->sock);
		free(u);
		return NULL;
	}
	u->sock.quota = q;
	u->sock.counted = &q->dgrams;
	wgw_list_append(&s->dgrams, &u->link);
	s->open++;
	return u;
}

/* There is no room for the socket, whose program has asked nothing yet: whatever it does next finds
 * this. What is unread would be a reset, which is told before any message. */
static void refuse(struct wgw_session *session, int fd)
{
	struct wgw_dgram header = {.err = ENOBUFS};

	memcpy(header.preamble, wgw_session_preambles(session)->to_app, sizeof(header.preamble));
	for (unsigned int i = 0; i < UDP_DRAIN_MAX; i++) {
		if (recv(fd, buffers[0], sizeof(buffers[0]), MSG_DONTWAIT) <= 0)
			break;
	}
	(void)!send(fd, &header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

void wgw_udp_open(struct wgw_sockets *s, struct wgw_quota *q, const struct wgw_op *op, int fd)
{
	struct wgw_dgram_sock *u = wgw_sockets_starved(s, q) ? NULL : udp_new(s, q, op, fd);

	if (!u) {
		refuse(q->session, fd);
		return;
	}
	if (wgw_loop_add(s->t->loop, &u->watch, EPOLLIN | EPOLLRDHUP | EPOLLET) < 0)
		udp_close(u);
	else
		wgw_job_queue(s, &u->job);
}

/* ---- operations ---- */

static struct wgw_dgram_sock *of(const struct wgw_sock *sock)
{
	return wgw_container(sock, struct wgw_dgram_sock, sock);
}

int wgw_udp_bind(struct wgw_sock *sock, const struct stack_addr *local, uint32_t flags)
{
	return udp_net_bind(of(sock), local, flags);
}

int wgw_udp_connect(struct wgw_sock *sock, const struct stack_addr *remote)
{
	static const struct stack_addr none;
	struct wgw_dgram_sock *u = of(sock);
	bool disconnect = memcmp(remote->ip, none.ip, 16) == 0 && remote->port == 0;
	int err;

	drain(u, UDP_DRAIN_MAX);
	if (u->held)
		return -EALREADY;
	udp_out_flush(u); /* the program takes back what it finds */
	if (disconnect && !u->connected) {
		u->held = true;
		return 0;
	}
	err = udp_net_connect(u, disconnect ? NULL : remote);
	if (!err) {
		udp_out_flush(u); /* that has emptied kernel sockets */
		u->held = true;
		u->so_error = 0;
	}
	return err;
}

void wgw_udp_requeue(struct wgw_sock *sock, const uint8_t *message, size_t len)
{
	struct wgw_dgram_sock *u = of(sock);
	struct udp_kept *k;
	struct wgw_dgram header;
	struct iovec iov;

	if (!u->held || len < sizeof(header))
		return;
	memcpy(&header, message, sizeof(header));
	iov = (struct iovec){(void *)(message + sizeof(header)), len - sizeof(header)};
	k = keep(u, &u->requeued, &header, &iov, 1, iov.iov_len);
	if (!wgw_dgram_is_nameless(&header))
		return;
	u->nameless++;
	if (k)
		k->nth = u->nameless;
}

/* What was returned is the last that was sent. */
static void name_returned(struct wgw_dgram_sock *u)
{
	for (struct udp_kept *k = u->requeued.head; k; k = k->next) {
		if (k->nth && udp_senders_find(u, u->nameless - k->nth + 1, &k->header))
			k->nth = 0;
	}
	u->nameless = 0;
	udp_senders_drop(u);
}

static void send_kept(struct wgw_dgram_sock *u, struct udp_queue *q)
{
	struct udp_kept *k;

	while ((k = queue_take(q))) {
		struct iovec iov = {k->payload, k->len};

		if (!k->nth)
			udp_deliver(u, &k->header, &iov, 1, k->len);
		free(k);
	}
}

void wgw_udp_go(struct wgw_sock *sock, int raw)
{
	struct wgw_dgram_sock *u = of(sock);

	if (!u->held)
		return;
	u->held = false;
	if (raw >= 0)
		u->raw = raw;
	name_returned(u);
	send_kept(u, &u->requeued);
	send_kept(u, &u->arrived);
	udp_out_flush(u); /* connect() returns when the conversation ends, and recv finds them */
	u->kept_bytes = 0;
	wgw_job_queue(u->sockets, &u->job);
}

int wgw_udp_shutdown(struct wgw_sock *sock, int how)
{
	struct wgw_dgram_sock *u = of(sock);

	drain(u, UDP_DRAIN_MAX);
	udp_out_flush(u);
	u->shut_rd |= how == SHUT_RD || how == SHUT_RDWR;
	if (how != SHUT_RD && !u->shut_wr) {
		u->shut_wr = true;
		shutdown(u->watch.fd, SHUT_RD);
	}
	if (u->shut_rd && u->shut_wr && !u->mute.next) {
		wgw_list_append(&u->sockets->mute, &u->mute);
		wgw_abandoned_watch(u->sockets, WGW_KEPT_SCAN_MS);
	}
	return u->connected ? 0 : -ENOTCONN;
}

void wgw_udp_names(struct wgw_sock *sock, struct stack_addr *local, struct stack_addr *remote)
{
	struct wgw_dgram_sock *u = of(sock);

	if (u->local.port == 0) /* what was sent gives it one, and may not have been looked at */
		drain(u, UDP_DRAIN_MAX);
	*local = u->local;
	*remote = (struct stack_addr){0};
	if (u->connected)
		*remote = u->remote;
}

void wgw_udp_options(struct wgw_sock *sock)
{
	struct wgw_dgram_sock *u = of(sock);
	struct flow_options options;

	drain(u, UDP_DRAIN_MAX); /* an option holds for what is sent after it */
	wgw_options_for_flow(sock, &options);
	u->ttl = options.ttl;
	u->tos = options.tos;
	u->segment = (uint16_t)wgw_option_int(sock, IPPROTO_UDP, UDP_SEGMENT, 0);
	if (!udp_wants_errors(u)) /* do_ip_setsockopt() purges it */
		udp_errors_drop(u);
	udp_net_options(u);
}
