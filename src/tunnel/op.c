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
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
#include "src/tunnel/tcp.h"
#include "src/tunnel/udp.h"

enum {
	BIND_RECHECKS_MAX = 8, /* sockets in the way of one bind that are looked at */
	MESSAGE_BYTES = sizeof(struct wgw_op) + sizeof(struct wgw_dgram) + 65536,
};

enum talk_state {
	TALK_FIRST,   /* its first message is awaited */
	TALK_WAITING, /* the answer is being worked on */
	TALK_CONNECT, /* UDP_CONNECT: REQUEUE or GO is awaited */
	TALK_LISTEN,  /* the LISTEN with the descriptor is awaited */
	TALK_DEAD,
};

/**
 * struct talk - one conversation
 * @asked:	An answer will be called for: the object stays until then
 * @path:	Descriptor that came with the request, or -1; @lost_path: there was no room for it
 * @tries:	BIND: how many sockets in the way may still be looked at
 */
struct talk {
	struct wgw_watch watch;
	struct wgw_job job;
	struct wgw_timer timer;
	struct wgw_link link;
	struct wgw_sockets *sockets;
	struct wgw_quota *quota;
	enum talk_state state;
	uint32_t uid;
	bool asked, lost_path;
	unsigned int tries;
	int path;
	struct wgw_op op;
};

static _Alignas(struct wgw_op) uint8_t message[MESSAGE_BYTES];

/* ---- life ---- */

static struct wgw_sock *talk_sock(struct talk *k)
{
	return wgw_sock_find(k->sockets, k->quota->session, k->op.cookie);
}

/* Ends the conversation; @keep_fd: the descriptor has a new owner. */
static void talk_end(struct talk *k, bool keep_fd)
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

/* Sends the reply (k->op) and @n more bytes in the same message. */
static void reply_with(struct talk *k, int err, const void *more, size_t n)
{
	struct iovec iov[2] = {{&k->op, sizeof(k->op)}, {(void *)more, n}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n ? 2 : 1};

	k->op.err = err;
	sodium_memzero(k->op.token, sizeof(k->op.token));
	(void)!sendmsg(k->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void reply(struct talk *k, int err)
{
	reply_with(k, err, NULL, 0);
	talk_end(k, false);
}

/* The answer to a question: false when nobody waits for it any more. */
static bool answered(struct talk *k)
{
	k->asked = false;
	if (k->state == TALK_WAITING)
		return true;
	wgw_job_queue(k->sockets, &k->job);
	return false;
}

/* ---- names ---- */

static void resolved(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n, const char *canonical,
		     uint32_t ttl_s)
{
	struct talk *k = arg;

	if (!answered(k))
		return;
	memset(&k->op.u, 0, sizeof(k->op.u));
	if (eai == 0) {
		n = n < WGW_RESOLVED_MAX ? n : WGW_RESOLVED_MAX;
		if (n > 0)
			memcpy(k->op.u.resolved.ip, ip, n * sizeof(*ip));
		k->op.u.resolved.n = n;
		k->op.u.resolved.ttl = ttl_s;
		if (canonical)
			strncpy(k->op.u.resolved.canonical, canonical, WGW_NAME_MAX_BYTES - 1);
	}
	reply(k, eai);
}

static void reversed(void *arg, int eai, const char *name)
{
	resolved(arg, eai, NULL, 0, name, 0);
}

static void queried(void *arg, int eai, const uint8_t *response, size_t len)
{
	struct talk *k = arg;

	if (!answered(k))
		return;
	reply_with(k, eai, response, eai ? 0 : len);
	talk_end(k, false);
}

static void addr_from_wire(const struct wgw_wire_addr *w, struct stack_addr *a)
{
	memcpy(a->ip, w->ip, 16);
	a->port = w->port;
}

static void addr_to_wire(const struct stack_addr *a, struct wgw_wire_addr *w)
{
	memset(w, 0, sizeof(*w));
	memcpy(w->ip, a->ip, 16);
	w->port = a->port;
}

static void ask_resolver(struct talk *k)
{
	struct wgw_tunnel *t = k->sockets->t;
	struct wgw_session *session = k->quota->session;
	struct stack_addr addr;
	struct wgw_op op = k->op; /* the answer may come at once and overwrites k->op */

	k->state = TALK_WAITING;
	k->asked = true;
	switch (op.code) {
	case WGW_OP_RESOLVE:
		op.u.resolve.name[WGW_NAME_MAX_BYTES - 1] = '\0';
		wgw_resolve(t->resolver, session, op.u.resolve.name, op.u.resolve.family,
			    !(op.u.resolve.flags & WGW_RESOLVE_NO_SEARCH), resolved, k);
		break;
	case WGW_OP_REVERSE:
		addr_from_wire(&op.u.bind.addr, &addr);
		wgw_resolve_reverse(t->resolver, session, &addr, reversed, k);
		break;
	default:
		op.u.dns_query.name[WGW_NAME_MAX_BYTES - 1] = '\0';
		wgw_resolve_raw(t->resolver, session, op.u.dns_query.name,
				!(op.u.dns_query.flags & WGW_RESOLVE_NO_SEARCH),
				op.u.dns_query.class_, op.u.dns_query.type, queried, k);
	}
}

static void reply_ifaddrs(struct talk *k)
{
	const struct wgw_tunnel_boot *boot = k->sockets->t->boot;
	const struct wgw_prefixes *list = &boot->config->addresses;
	uint32_t n = (uint32_t)(list->n < WGW_RESOLVED_MAX ? list->n : WGW_RESOLVED_MAX);

	memset(&k->op.u, 0, sizeof(k->op.u));
	for (uint32_t i = 0; i < n; i++) {
		memcpy(k->op.u.resolved.ip[i], list->at[i].addr.ip, 16);
		k->op.u.resolved.canonical[i] = (char)list->at[i].bits;
	}
	k->op.u.resolved.n = n;
	k->op.u.resolved.ttl = boot->mtu;
	reply(k, 0);
}

/* ---- addresses and options of sockets ---- */

/* The socket's names into the reply. Return: 0, or ENOENT: it has none */
static int fill_names(struct talk *k)
{
	struct wgw_sock *sock = talk_sock(k);
	struct stack_addr local = {0}, remote = {0};

	if (sock && sock->role == WGW_ROLE_DGRAM)
		wgw_udp_names(sock, &local, &remote);
	else if (sock && sock->role == WGW_ROLE_LISTENER)
		wgw_listen_name(sock, &local);
	else if (sock && sock->role == WGW_ROLE_KEPT)
		local = wgw_container(sock, struct wgw_kept, sock)->local;
	else if (sock) {
		local = wgw_container(sock, struct wgw_conn, sock)->local;
		remote = wgw_container(sock, struct wgw_conn, sock)->remote;
	}
	memset(&k->op.u, 0, sizeof(k->op.u));
	addr_to_wire(&local, &k->op.u.name.local);
	addr_to_wire(&remote, &k->op.u.name.remote);
	return sock ? 0 : ENOENT;
}

static void reply_name(struct talk *k, int err)
{
	int none = fill_names(k);

	reply(k, err ? err : none);
}

/* 0 or errno. */
static int do_bind(struct talk *k)
{
	struct wgw_sock *sock = talk_sock(k);
	struct wgw_kept *kept;
	struct stack_addr local;

	addr_from_wire(&k->op.u.bind.addr, &local);
	if (k->op.kind != WGW_KIND_TCP)
		return sock && sock->role == WGW_ROLE_DGRAM
			       ? -wgw_udp_bind(sock, &local, k->op.u.bind.flags)
			       : ENOTSOCK;
	if (sock && sock->role != WGW_ROLE_KEPT)
		return EINVAL;
	kept = wgw_kept_get(k->sockets, k->quota, k->op.cookie, k->op.inode);
	return kept ? -wgw_kept_bind(k->sockets, kept, &local, k->op.u.bind.flags) : ENOBUFS;
}

/* What a changed option means at once; others matter when the socket connects. */
static void apply_options(struct wgw_sock *sock)
{
	if (sock->role == WGW_ROLE_CONN)
		wgw_conn_options(wgw_container(sock, struct wgw_conn, sock));
	else if (sock->role == WGW_ROLE_DGRAM)
		wgw_udp_options(sock);
}

static void answer_bind(struct talk *k, unsigned int tries);

static void bind_rechecked(void *arg, bool gone)
{
	struct talk *k = arg;

	if (!answered(k))
		return;
	if (gone)
		answer_bind(k, k->tries - 1);
	else
		reply_name(k, EADDRINUSE);
}

/* An address that is taken by a socket that was closed is free on Linux at once; nobody tells us of
 * the close, so this is when we look. @tries: how many such sockets at most */
static void answer_bind(struct talk *k, unsigned int tries)
{
	struct wgw_kept *other = NULL;
	struct stack_addr local;
	int err = do_bind(k);

	if (err == EADDRINUSE && k->op.kind == WGW_KIND_TCP && tries > 0) {
		addr_from_wire(&k->op.u.bind.addr, &local);
		other = wgw_kept_conflict(
			k->sockets, &local, k->op.u.bind.flags,
			wgw_bind_is_kernels(k->quota->session, &local, k->op.u.bind.flags));
	}
	if (!other) {
		reply_name(k, err);
		return;
	}
	k->tries = tries;
	k->state = TALK_WAITING;
	k->asked = true;
	wgw_kept_recheck(k->sockets, other, bind_rechecked, k);
}

static int do_setopt(struct talk *k)
{
	struct wgw_sock *sock = talk_sock(k);
	int err;

	if (k->op.u.option.len > WGW_OPTION_MAX_BYTES)
		return EINVAL;
	if (!sock) {
		struct wgw_kept *kept =
			k->op.kind == WGW_KIND_TCP
				? wgw_kept_get(k->sockets, k->quota, k->op.cookie, k->op.inode)
				: NULL;

		if (!kept)
			return ENOBUFS;
		sock = &kept->sock;
	}
	if (sock->role == WGW_ROLE_KEPT && k->op.u.option.level == SOL_SOCKET &&
	    wgw_kept_reuse(wgw_container(sock, struct wgw_kept, sock), k->op.u.option.name,
			   k->op.u.option.value))
		return 0;
	err = -wgw_option_set(sock, k->op.u.option.level, k->op.u.option.name, k->op.u.option.value,
			      k->op.u.option.len);
	if (!err)
		apply_options(sock);
	return err;
}

static void put_option(struct talk *k, const void *value, size_t len)
{
	memcpy(k->op.u.option.value, value, len);
	k->op.u.option.len = (uint32_t)len;
}

static bool asks_for(const struct talk *k, int level, int name)
{
	return k->op.u.option.level == level && k->op.u.option.name == name;
}

/* @c: the socket's connection, or NULL: it may be the accepted end of another socket's. */
static int get_unacked(struct talk *k, struct wgw_conn *c)
{
	struct wgw_conn *of_far = c ? NULL : wgw_conn_of_far(k->sockets, k->op.cookie);
	int bytes[2];

	if (!c && !of_far)
		return ENOPROTOOPT;
	wgw_conn_unacked(c ? c : of_far, !c, bytes);
	put_option(k, bytes, sizeof(bytes));
	return 0;
}

/* What was set, but for options that say how the socket is. */
static int do_getopt(struct talk *k)
{
	struct wgw_sock *sock = talk_sock(k);
	bool dgram = sock && sock->role == WGW_ROLE_DGRAM;
	struct wgw_conn *c = sock && sock->role == WGW_ROLE_CONN
				     ? wgw_container(sock, struct wgw_conn, sock)
				     : NULL;
	const struct wgw_option *o;

	if (dgram && asks_for(k, SOL_SOCKET, SO_ERROR)) {
		int err = wgw_udp_error(sock);

		put_option(k, &err, sizeof(err));
	} else if (c && asks_for(k, IPPROTO_TCP, TCP_INFO)) {
		return wgw_conn_tcp_info(c, k->op.u.option.value, &k->op.u.option.len);
	} else if (asks_for(k, IPPROTO_TCP, WGW_OPTION_UNACKED)) {
		return get_unacked(k, c);
	} else {
		o = sock ? wgw_option_get(sock, k->op.u.option.level, k->op.u.option.name) : NULL;
		if (!o)
			return ENOPROTOOPT;
		put_option(k, o->value, o->len);
	}
	return 0;
}

static void reply_option(struct talk *k)
{
	struct wgw_sock *sock = talk_sock(k);
	struct udp_error *e;

	if (!sock || sock->role != WGW_ROLE_DGRAM || !asks_for(k, IPPROTO_IP, IP_RECVERR)) {
		reply(k, do_getopt(k));
		return;
	}
	e = wgw_udp_next_error(sock);
	if (!e) {
		reply(k, EAGAIN);
		return;
	}
	put_option(k, &e->told, sizeof(e->told));
	reply_with(k, 0, e->quoted, e->len);
	free(e);
	talk_end(k, false);
}

static int do_too_large(struct talk *k)
{
	struct wgw_sock *sock = talk_sock(k);
	struct stack_addr to;

	if (!sock || sock->role != WGW_ROLE_DGRAM)
		return ENOTSOCK;
	addr_from_wire(&k->op.u.bind.addr, &to);
	wgw_udp_too_large(sock, &to, k->op.u.bind.flags);
	return 0;
}

/* Whether a datagram may be sent: 0 or errno, and the MTUs. */
static int do_route(struct talk *k)
{
	/* without a socket it is asked whether an address can be reached at all */
	static const uint8_t protocols[] = {
		[WGW_KIND_UDP] = IPPROTO_UDP, [WGW_KIND_PING] = IPPROTO_ICMP};
	struct stack_addr local, remote;
	enum wgw_route route;

	addr_from_wire(&k->op.u.name.local, &local);
	addr_from_wire(&k->op.u.name.remote, &remote);
	route = wgw_session_route(k->quota->session, &remote,
				  k->op.kind < sizeof(protocols) ? protocols[k->op.kind] : 0);
	if (route == WGW_ROUTE_REFUSED)
		return ENETUNREACH;
	if (!stack_addr_is_any(&local) && !stack_addr_is_loopback(&local) &&
	    !stack_is_local(k->sockets->t->stack, &local))
		return ENETUNREACH;
	/* of direct ones the kernel knows; it drops what is too large */
	k->op.u.name.remote.port = k->op.u.name.remote.reserved = UINT16_MAX;
	if (route == WGW_ROUTE_TUNNEL) {
		k->op.u.name.remote.port = k->sockets->t->boot->mtu;
		k->op.u.name.remote.reserved = stack_path_mtu(k->sockets->t->stack, &remote);
	}
	return 0;
}

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
		reply(k, EACCES);
		return;
	}
	k->path = -1;
	err = k->lost_path ? -ENFILE : wgw_listen_op(k->sockets, k->quota, &k->op, path);
	if (err || path >= 0) {
		reply_name(k, -err);
		return;
	}
	k->state = TALK_LISTEN;
	reply_with(k, fill_names(k), NULL, 0);
	/* it may have ended already: one edge for that and for its question */
	wgw_job_queue(k->sockets, &k->job);
}

/* ---- UDP connect ---- */

static void do_udp_connect(struct talk *k)
{
	struct wgw_sock *sock = talk_sock(k);
	struct stack_addr remote, local = {0};
	int err;

	if (!sock || sock->role != WGW_ROLE_DGRAM) {
		reply(k, ENOTSOCK);
		return;
	}
	addr_from_wire(&k->op.u.bind.addr, &remote);
	err = wgw_udp_connect(sock, &remote);
	if (err) {
		reply(k, -err);
		return;
	}
	k->state = TALK_CONNECT;
	wgw_udp_names(sock, &local, &remote);
	memset(&k->op.u, 0, sizeof(k->op.u));
	addr_to_wire(&local, &k->op.u.name.local);
	addr_to_wire(&remote, &k->op.u.name.remote);
	reply_with(k, 0, NULL, 0);
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

static int do_shutdown(struct talk *k)
{
	struct wgw_sock *sock = talk_sock(k);
	int how;

	if (!sock)
		return k->op.kind == WGW_KIND_TCP ? 0 : ENOTSOCK;
	memcpy(&how, k->op.u.option.value, sizeof(how));
	switch (sock->role) {
	case WGW_ROLE_DGRAM:
		return -wgw_udp_shutdown(sock, how);
	case WGW_ROLE_LISTENER:
		wgw_listen_shutdown(sock);
		return 0;
	case WGW_ROLE_KEPT:
		wgw_kept_free(k->sockets, wgw_container(sock, struct wgw_kept, sock));
		return 0;
	default:
		return EINVAL;
	}
}

static void perform(struct talk *k)
{
	switch (k->op.code) {
	case WGW_OP_BIND:
		answer_bind(k, BIND_RECHECKS_MAX);
		break;
	case WGW_OP_LISTEN:
		do_listen(k);
		break;
	case WGW_OP_UDP_CONNECT:
		do_udp_connect(k);
		break;
	case WGW_OP_NAME:
		reply_name(k, 0);
		break;
	case WGW_OP_SETOPT:
		reply(k, do_setopt(k));
		break;
	case WGW_OP_GETOPT:
		reply_option(k);
		break;
	case WGW_OP_TOO_LARGE:
		reply(k, do_too_large(k));
		break;
	case WGW_OP_SHUTDOWN:
		reply(k, do_shutdown(k));
		break;
	case WGW_OP_RESOLVE:
	case WGW_OP_REVERSE:
	case WGW_OP_DNS_QUERY:
		ask_resolver(k);
		break;
	case WGW_OP_IFADDRS:
		reply_ifaddrs(k);
		break;
	case WGW_OP_ROUTE:
		reply(k, do_route(k));
		break;
	default:
		reply(k, ENOSYS);
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
		reply(k, ENOBUFS);
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
