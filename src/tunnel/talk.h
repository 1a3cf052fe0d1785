/* SPDX-License-Identifier: MIT */
/*
 * talk.h - one conversation with an application, shared by the files that answer operations (op.c)
 *
 * Errors in replies are those of the application's call, positive.
 */
#ifndef SRC_TUNNEL_TALK_H
#define SRC_TUNNEL_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "src/tunnel/sockets.h"

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

static inline void talk_addr_from_wire(const struct wgw_wire_addr *w, struct stack_addr *a)
{
	memcpy(a->ip, w->ip, 16);
	a->port = w->port;
}

static inline void talk_addr_to_wire(const struct stack_addr *a, struct wgw_wire_addr *w)
{
	memset(w, 0, sizeof(*w));
	memcpy(w->ip, a->ip, 16);
	w->port = a->port;
}

/* ---- op.c ---- */

/* The socket that the request names by its cookie, or NULL. */
struct wgw_sock *talk_sock(struct talk *k);
/* Ends the conversation; @keep_fd: the descriptor has a new owner. */
void talk_end(struct talk *k, bool keep_fd);
/* Sends the reply (k->op) with @err and @n more bytes in the same message. */
void talk_reply_with(struct talk *k, int err, const void *more, size_t n);
/* The same without more bytes; the conversation ends. */
void talk_reply(struct talk *k, int err);
/* The answer to a question has come: false when nobody waits for it any more. */
bool talk_answered(struct talk *k);

/* ---- op_names.c ---- */

/* RESOLVE, REVERSE, DNS_QUERY: replies when the resolver has answered. */
void talk_ask_resolver(struct talk *k);
/* IFADDRS: replies with the tunnel's addresses and MTU. */
void talk_reply_ifaddrs(struct talk *k);

/* ---- op_socket.c ---- */

/* Writes the socket's names into the reply. 0, or ENOENT: it has none. */
int talk_fill_names(struct talk *k);
/* Replies with @err and the socket's names. */
void talk_reply_name(struct talk *k, int err);
/* BIND: replies, perhaps after sockets in the way were looked at. */
void talk_bind(struct talk *k);
/* SETOPT: 0 or errno. */
int talk_set_option(struct talk *k);
/* GETOPT: replies. */
void talk_reply_option(struct talk *k);
/* TOO_LARGE: 0 or errno. */
int talk_too_large(struct talk *k);
/* ROUTE, whether a datagram may be sent: 0 or errno, and the MTUs in the reply. */
int talk_route(struct talk *k);
/* SHUTDOWN: 0 or errno. */
int talk_shutdown(struct talk *k);

#endif
