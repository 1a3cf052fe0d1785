/* SPDX-License-Identifier: MIT */
/*
 * outer_internal.h - one outer socket, shared by outer.c (open, receive), outer_handshakes.c (the
 * sockets for what is no data) and outer_tx.c (transmit)
 */
#ifndef SRC_TUNNEL_OUTER_INTERNAL_H
#define SRC_TUNNEL_OUTER_INTERNAL_H

#include "src/tunnel/outer.h"

/**
 * struct outer_batch - datagrams to one destination, @stride bytes apart, the last @last long
 */
struct outer_batch {
	struct wg_endpoint to;
	const uint8_t *buf;
	size_t stride, count, last;
	uint8_t tos;
};

/**
 * struct outer_backlog - batches the kernel had no room for, in order
 * @bytes:	Allocated while something waits, else NULL
 * @head, @tail: the part in use; it holds records, see outer_tx.c
 */
struct outer_backlog {
	uint8_t *bytes;
	size_t head, tail;
};

enum {
	OUTER_RECEIVE_MAX = 64, /* messages of one outer_receive() */
	INITIATION_SOCKETS_LOG = 3,
	/* that the sources of initiations are divided among */
	OUTER_INITIATION_SOCKETS = 1 << INITIATION_SOCKETS_LOG,
};

/**
 * struct outer_handshakes - the sockets of one family for what is no transport data
 * @watch:	An epoll instance that watches all of them; fd -1: there are none
 * @rest:	Until when they are not looked at
 * @other:	For what is no initiation
 * @initiations: For those, divided by their source's address
 * @credit, @credited_at: Processor time that may be spent on them, ns, and when it was counted
 */
struct outer_handshakes {
	struct wgw_watch watch;
	struct wgw_timer rest;
	int other, initiations[OUTER_INITIATION_SOCKETS];
	int64_t credit;
	uint64_t credited_at;
};

/**
 * struct outer_socket - one family's socket
 * @watch:	fd -1: the host has no such family
 * @handshakes:	Without them all comes to @watch
 * @family:	AF_INET or AF_INET6
 * @rx_large:	What came last was GRO's
 * @gso:	The kernel knows UDP_SEGMENT
 * @gso_off:	Until when segmentation is not tried, and for which destination with strides of how
 *		many bytes and more. Stride 0: not at all, to anybody
 * @bad_source:	A source address that the kernel refused; not used until a datagram comes to it
 */
struct outer_socket {
	struct wgw_watch watch;
	struct outer_handshakes handshakes;
	struct wgw_outer *outer;
	int family;
	bool gso, rx_large;
	struct {
		struct wg_endpoint to;
		size_t stride;
		uint64_t until;
	} gso_off;
	struct in6_addr bad_source;
	bool has_bad_source;
	struct outer_backlog backlog;
};

struct wgw_outer {
	struct wgw_loop *loop;
	const struct wgw_outer_ops *ops;
	void *ctx;
	struct outer_socket v4, v6;
	uint16_t port;
	uint8_t *rx; /* where datagrams are received to */
	struct wgw_outer_stats stats;
};

/* Sets a socket option; a refusal is for the caller to find out. */
void outer_set_int(int fd, int level, int name, int value);
/* Those that all sockets of the family have. */
void outer_set_options(struct outer_socket *s, int fd);
/* Binds to @*port of any address, which is updated when it was 0. Returns 0 or -errno. */
int outer_bind(int fd, int family, uint16_t *port);
/* Receives at most @max messages of @bytes each and hands them to the owner. Returns how many
 * came. */
unsigned int outer_receive(struct outer_socket *s, int fd, unsigned int max, size_t bytes);

/* No handshake sockets yet. */
void outer_handshakes_init(struct outer_socket *s);
/* Opens the sockets beside s->watch.fd, where the kernel can tell what each is for. */
void outer_handshakes_open(struct outer_socket *s, uint16_t port);
void outer_handshakes_close(struct outer_socket *s);

/* Sends what waits. Called when the socket is writable. */
void outer_backlog_send(struct outer_socket *s);

#endif
