/* SPDX-License-Identifier: MIT */
/*
 * op.c - operations: short SEQPACKET conversations with applications
 *
 * Theory of operation
 *
 * One connection carries one request and its reply. The first message tells what the connection is:
 * a session's channel (handed to session.c unread), a datagram socket (handed to udp.c), or an
 * operation. Requests that wait for something (names) keep the conversation; when the application
 * goes away meanwhile, the answer is thrown away on arrival.
 *
 * Two conversations are longer. WGW_OP_UDP_CONNECT: the reply says that we stopped sending, then
 * come the messages to put back and WGW_OP_GO. However it ends, sending goes on. WGW_OP_LISTEN: who
 * was told that it may listen does, or the conversation ends.
 *
 * What the operations do is in op_names.c (look-ups) and op_socket.c (one socket); talk.h is what the
 * three share.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/repr/cmsg.h"
#include "src/session/channel.h"
#include "src/tunnel/keep.h"
#include "src/tunnel/listen.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/talk.h"
#include "src/tunnel/tcp.h"
#include "src/tunnel/udp.h"

enum { MESSAGE_BYTES = sizeof(struct wgw_op) + sizeof(struct wgw_dgram) + 65536 };

static _Alignas(struct wgw_op) uint8_t message[MESSAGE_BYTES];

/* ---- life ---- */

struct wgw_sock *talk_sock(struct talk *k)
{
	return wgw_sock_find(k->sockets, k->quota->session, k->op.cookie);
}

void talk_end(struct talk *k, bool keep_fd)
{
	struct wgw_sockets *s = k->sockets;
	struct wgw_sock *sock;

	if (k->state == TALK_DEAD)
		return;
	if (k->state == TALK_CONNECT && (sock = talk_sock(k)) && sock->role == WGW_ROLE_DGRAM)
		wgw_udp_go(sock, -1);
	if (k->state == TALK_LISTEN)
		wgw_kept_withdrawn(s, k->quota->session, k->op.cookie);
	k->state = TALK_DEAD;
	wgw_timer_cancel(s->t->loop, &k->timer);
	wgw_list_remove(&k->link);
	wgw_loop_del(s->t->loop, &k->watch);
	if (!keep_fd)
		close(k->watch.fd);
	if (k->path >= 0)
		close(k->path);
	if (k->quota)
		wgw_quota_give(s, k->quota, &k->quota->ops);
	else
		wgw_unknown_give(s, k->uid);
	wgw_job_queue(s, &k->job);
}

void talk_reply_with(struct talk *k, int err, const void *more, size_t n)
{
	struct iovec iov[2] = {{&k->op, sizeof(k->op)}, {(void *)more, n}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n ? 2 : 1};

	k->op.err = err;
	sodium_memzero(k->op.token, sizeof(k->op.token));
	(void)!sendmsg(k->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void talk_reply(struct talk *k, int err)
{
	talk_reply_with(k, err, NULL, 0);
	talk_end(k, false);
}

bool talk_answered(struct talk *k)
{
	k->asked = false;
	if (k->state == TALK_WAITING)
		return true;
	wgw_job_queue(k->sockets, &k->job);
	return false;
}

/* ---- LISTEN ---- */

/* Whether a program may have us connect to @path. O_PATH asks for no right to the file, and ours to it
 * may be more than those of a program that has changed its uid: such a one names sockets of its own. */
static bool may_name(const struct talk *k, int path)
{
	struct stat st;

	return k->uid == k->sockets->own_uid || (fstat(path, &st) == 0 && st.st_uid == k->uid);
}

static void do_listen(struct talk *k)
{
	int path = k->path, err;

	if (path >= 0 && !may_name(k, path)) {
		talk_reply(k, EACCES);
		return;
	}
	k->path = -1;
	err = k->lost_path ? -ENFILE : wgw_listen_op(k->sockets, k->quota, &k->op, path);
	if (err || path >= 0) {
		talk_reply_name(k, -err);
		return;
	}
	k->state = TALK_LISTEN;
	talk_reply_with(k, talk_fill_names(k), NULL, 0);
	/* it may have ended already: one edge for that and for its question */
	wgw_job_queue(k->sockets, &k->job);
}

/* ---- UDP_CONNECT ---- */

static void do_udp_connect(struct talk *k)
{
	struct wgw_sock *sock = talk_sock(k);
	struct stack_addr remote, local = {0};
	int err;

	if (!sock || sock->role != WGW_ROLE_DGRAM) {
		talk_reply(k, ENOTSOCK);
		return;
	}
	talk_addr_from_wire(&k->op.u.bind.addr, &remote);
	err = wgw_udp_connect(sock, &remote);
	if (err) {
		talk_reply(k, -err);
		return;
	}
	k->state = TALK_CONNECT;
	wgw_udp_names(sock, &local, &remote);
	memset(&k->op.u, 0, sizeof(k->op.u));
	talk_addr_to_wire(&local, &k->op.u.name.local);
	talk_addr_to_wire(&remote, &k->op.u.name.remote);
	talk_reply_with(k, 0, NULL, 0);
	/* an application that stops here may not keep its socket silent for ever */
	wgw_timer_set(k->sockets->t->loop, &k->timer,
		      wgw_clock_ns() + WGW_UDP_CONNECT_MS * WGW_MS_NS);
}

static void udp_connect_more(struct talk *k)
{
	for (int i = 0; i < UDP_PER_TURN; i++) {
		ssize_t r = recv(k->watch.fd, message, sizeof(message), MSG_DONTWAIT);
		const struct wgw_op *op = (const struct wgw_op *)message;
		struct wgw_sock *sock = talk_sock(k);

		if (r < 0 && errno == EAGAIN)
			return;
		if (!sock || r < (ssize_t)sizeof(*op) || op->code != WGW_OP_REQUEUE) {
			if (sock && r >= (ssize_t)sizeof(*op) && op->code == WGW_OP_GO) {
				k->state = TALK_WAITING;
				wgw_udp_go(sock, (op->u.open.flags & WGW_BIND_RAW) != 0);
			}
			talk_end(k, false);
			return;
		}
		wgw_udp_requeue(sock, message + sizeof(*op), (size_t)r - sizeof(*op));
	}
	wgw_job_queue(k->sockets, &k->job);
}

/* ---- the first message ---- */

static void perform(struct talk *k)
{
	switch (k->op.code) {
	case WGW_OP_BIND:
		talk_bind(k);
		break;
	case WGW_OP_LISTEN:
		do_listen(k);
		break;
	case WGW_OP_UDP_CONNECT:
		do_udp_connect(k);
		break;
	case WGW_OP_NAME:
		talk_reply_name(k, 0);
		break;
	case WGW_OP_SETOPT:
		talk_reply(k, talk_set_option(k));
		break;
	case WGW_OP_GETOPT:
		talk_reply_option(k);
		break;
	case WGW_OP_TOO_LARGE:
		talk_reply(k, talk_too_large(k));
		break;
	case WGW_OP_SHUTDOWN:
		talk_reply(k, talk_shutdown(k));
		break;
	case WGW_OP_RESOLVE:
	case WGW_OP_REVERSE:
	case WGW_OP_DNS_QUERY:
		talk_ask_resolver(k);
		break;
	case WGW_OP_IFADDRS:
		talk_reply_ifaddrs(k);
		break;
	case WGW_OP_ROUTE:
		talk_reply(k, talk_route(k));
		break;
	default:
		talk_reply(k, ENOSYS);
	}
}

/* Looks at all connections that wait for their first message. */
static void poke(struct wgw_sockets *s);

static void enter(struct talk *k, struct wgw_quota *q)
{
	struct wgw_sockets *s = k->sockets;

	if (k->op.code == WGW_OP_UDP_OPEN) {
		int fd = k->watch.fd;

		talk_end(k, true);
		wgw_udp_open(s, q, &k->op, fd);
		return;
	}
	if (!wgw_quota_take(q, &q->ops, WGW_OPS_MAX)) {
		talk_reply(k, ENOBUFS);
		return;
	}
	wgw_unknown_give(s, k->uid);
	k->quota = q;
	k->state = TALK_WAITING;
	wgw_list_remove(&k->link);
	wgw_timer_cancel(s->t->loop, &k->timer);
	/* the socket's opening message may have been sent before this, on another connection */
	if (k->op.cookie && !talk_sock(k))
		poke(s);
	if (k->op.cookie && k->op.kind == WGW_KIND_TCP && !talk_sock(k))
		wgw_accepted_poke(s);
	perform(k);
}

/* Reads the request with the descriptor that may come with it. Returns what recvmsg does. */
static ssize_t take_request(struct talk *k)
{
	union wgw_fd_control control;
	struct iovec iov = {&k->op, sizeof(k->op)};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t r = recvmsg(k->watch.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (r >= 0)
		wgw_cmsg_take(&msg, &k->path, 1);
	k->lost_path = r >= 0 && k->path < 0 && msg.msg_flags & MSG_CTRUNC;
	return r;
}

static void first(struct talk *k)
{
	struct wgw_sockets *s = k->sockets;
	struct wgw_session *session = NULL;
	struct wgw_quota *q;
	ssize_t r = recv(k->watch.fd, &k->op, sizeof(k->op), MSG_PEEK | MSG_DONTWAIT);

	if (r < 0 && errno == EAGAIN)
		return;
	if (r >= (ssize_t)offsetof(struct wgw_op, err) && k->op.magic == WGW_WIRE_MAGIC &&
	    k->op.code >= WGW_CH_OPEN) {
		int fd = k->watch.fd;

		talk_end(k, true);
		wgw_session_adopt(s->t, fd);
		return;
	}
	r = r < 0 ? r : take_request(k);
	if (r == sizeof(k->op) && k->op.magic == WGW_WIRE_MAGIC &&
	    k->op.version == WGW_WIRE_VERSION)
		session = wgw_session_by_token(s->t, k->op.token);
	else if (r >= (ssize_t)(offsetof(struct wgw_op, token) + WGW_TOKEN_BYTES) &&
		 k->op.magic == WGW_WIRE_MAGIC && k->op.version != WGW_WIRE_VERSION)
		wgw_session_say_version(s->t, k->op.token, k->op.version);
	q = session ? wgw_quota_of(s, session) : NULL;
	if (q)
		enter(k, q);
	else
		talk_end(k, false);
}

/* Who was told that it may listen does so now, or has ended. */
static void listen_more(struct talk *k)
{
	uint64_t cookie = k->op.cookie;
	ssize_t r = take_request(k);
	bool does = r == sizeof(k->op) && k->op.code == WGW_OP_LISTEN && k->op.cookie == cookie &&
		    (k->path >= 0 || k->lost_path);

	if (r < 0 && errno == EAGAIN)
		return;
	k->op.cookie = cookie;
	if (does)
		do_listen(k);
	else
		talk_end(k, false);
}

static void talk_step(struct talk *k)
{
	char byte;

	switch (k->state) {
	case TALK_FIRST:
		first(k);
		break;
	case TALK_CONNECT:
		udp_connect_more(k);
		break;
	case TALK_LISTEN:
		listen_more(k);
		break;
	case TALK_WAITING: /* nothing more is expected: the application has gone */
		if (recv(k->watch.fd, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN)
			talk_end(k, false);
		break;
	case TALK_DEAD:
		break;
	}
}

static void talk_run(struct wgw_job *j)
{
	struct talk *k = wgw_container(j, struct talk, job);

	if (k->state != TALK_DEAD)
		talk_step(k);
	else if (!k->asked)
		free(k);
}

static void talk_ready(struct wgw_watch *w, uint32_t events)
{
	struct talk *k = wgw_container(w, struct talk, watch);

	(void)events;
	wgw_job_queue(k->sockets, &k->job);
}

static void talk_due(struct wgw_timer *timer)
{
	talk_end(wgw_container(timer, struct talk, timer), false);
}

static void poke(struct wgw_sockets *s)
{
	struct wgw_link *l = s->ops.next;

	while (l != &s->ops) {
		struct talk *k = wgw_container(l, struct talk, link);
		uint16_t code = 0;

		l = l->next;
		/* only what cannot poke in turn */
		if (recv(k->watch.fd, &k->op, sizeof(k->op), MSG_PEEK | MSG_DONTWAIT) ==
		    sizeof(k->op))
			code = k->op.code;
		if (code == WGW_OP_UDP_OPEN)
			first(k);
	}
}

void wgw_op_accepted(struct wgw_sockets *s, int fd, uint32_t uid)
{
	struct talk *k = calloc(1, sizeof(*k));

	if (k) {
		k->watch = (struct wgw_watch){fd, talk_ready};
		if (wgw_loop_add(s->t->loop, &k->watch, EPOLLIN | EPOLLRDHUP | EPOLLET) < 0) {
			free(k);
			k = NULL;
		}
	}
	if (!k) {
		close(fd);
		wgw_unknown_give(s, uid);
		return;
	}
	k->job.run = talk_run;
	k->timer.due = talk_due;
	k->sockets = s;
	k->uid = uid;
	k->path = -1;
	wgw_list_append(&s->ops, &k->link);
	wgw_timer_set(s->t->loop, &k->timer, wgw_clock_ns() + WGW_FIRST_MESSAGE_MS * WGW_MS_NS);
	wgw_job_queue(s, &k->job);
}
