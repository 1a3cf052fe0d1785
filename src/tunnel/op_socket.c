/* SPDX-License-Identifier: MIT */
/* op_socket.c - operations on one socket: its names, options, routes, bind, shutdown (op.c) */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "src/tunnel/keep.h"
#include "src/tunnel/listen.h"
#include "src/tunnel/talk.h"
#include "src/tunnel/tcp.h"
#include "src/tunnel/udp.h"

enum { BIND_RECHECKS_MAX = 8 }; /* sockets in the way of one bind that are looked at */

/* Of a socket without state. A datagram socket that is not known had no room, or was another tunnel process's. */
static int unknown(const struct talk *k, int of_stream)
{
	return k->op.kind == WGW_KIND_TCP ? of_stream : ENOTSOCK;
}

int talk_fill_names(struct talk *k)
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
	talk_addr_to_wire(&local, &k->op.u.name.local);
	talk_addr_to_wire(&remote, &k->op.u.name.remote);
	return sock ? 0 : unknown(k, ENOENT);
}

void talk_reply_name(struct talk *k, int err)
{
	int none = talk_fill_names(k);

	talk_reply(k, err ? err : none);
}

/* 0 or errno. */
static int do_bind(struct talk *k)
{
	struct wgw_sock *sock = talk_sock(k);
	struct wgw_kept *kept;
	struct stack_addr local;

	talk_addr_from_wire(&k->op.u.bind.addr, &local);
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

	if (!talk_answered(k))
		return;
	if (gone)
		answer_bind(k, k->tries - 1);
	else
		talk_reply_name(k, EADDRINUSE);
}

static void closed_freed(void *arg, bool gone)
{
	struct talk *k = arg;

	(void)gone;
	if (talk_answered(k))
		talk_reply_name(k, 0);
}

/* What is in the way of a bind that gave @err, or may be later: a port of the tunnel's wildcard is to
 * stay the socket's when it connects to the host's loopback. NULL: nothing. */
static struct wgw_kept *in_the_way(const struct talk *k, int err)
{
	const uint32_t flags = k->op.u.bind.flags;
	struct stack_addr local;
	bool kernels;

	if (k->op.kind != WGW_KIND_TCP || (err && err != EADDRINUSE))
		return NULL;
	talk_addr_from_wire(&k->op.u.bind.addr, &local);
	kernels = wgw_bind_is_kernels(k->quota->session, &local, flags);
	if (!err && (kernels || local.port == 0 || !stack_addr_is_any(&local)))
		return NULL;
	return wgw_kept_conflict(k->sockets, &local, flags, kernels || !err);
}

/* An address that is taken by a socket that was closed is free on Linux at once; nobody tells us of
 * the close, so this is when we look. @tries: how many such sockets at most */
static void answer_bind(struct talk *k, unsigned int tries)
{
	int err = do_bind(k);
	struct wgw_kept *other = tries > 0 ? in_the_way(k, err) : NULL;

	if (!other) {
		talk_reply_name(k, err);
		return;
	}
	k->tries = tries;
	k->state = TALK_WAITING;
	k->asked = true;
	wgw_kept_recheck(k->sockets, other, err ? bind_rechecked : closed_freed, k);
}

void talk_bind(struct talk *k)
{
	answer_bind(k, BIND_RECHECKS_MAX);
}

int talk_set_option(struct talk *k)
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
			return unknown(k, ENOBUFS);
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

void talk_reply_option(struct talk *k)
{
	struct wgw_sock *sock = talk_sock(k);
	struct udp_error *e;

	if (!sock || sock->role != WGW_ROLE_DGRAM || !asks_for(k, IPPROTO_IP, IP_RECVERR)) {
		talk_reply(k, do_getopt(k));
		return;
	}
	e = wgw_udp_next_error(sock);
	if (!e) {
		talk_reply(k, EAGAIN);
		return;
	}
	put_option(k, &e->told, sizeof(e->told));
	talk_reply_with(k, 0, e->quoted, e->len);
	free(e);
	talk_end(k, false);
}

int talk_too_large(struct talk *k)
{
	struct wgw_sock *sock = talk_sock(k);
	struct stack_addr to;

	if (!sock || sock->role != WGW_ROLE_DGRAM)
		return ENOTSOCK;
	talk_addr_from_wire(&k->op.u.bind.addr, &to);
	wgw_udp_too_large(sock, &to, k->op.u.bind.flags);
	return 0;
}

int talk_route(struct talk *k)
{
	/* without a socket it is asked whether an address can be reached at all */
	static const uint8_t protocols[] = {
		[WGW_KIND_UDP] = IPPROTO_UDP, [WGW_KIND_PING] = IPPROTO_ICMP};
	struct stack_addr local, remote;
	enum wgw_route route;

	talk_addr_from_wire(&k->op.u.name.local, &local);
	talk_addr_from_wire(&k->op.u.name.remote, &remote);
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

int talk_shutdown(struct talk *k)
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
