/* SPDX-License-Identifier: MIT */
/* outer_internal.h - one outer socket, shared by outer.c (open, receive) and outer_tx.c (transmit)
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

/**
 * struct outer_socket - one family's socket
 * @watch:	fd -1: the host has no such family
 * @handshakes:	Receives what is no transport data; fd -1: that comes to @watch, too
 * @rest:	Until when @handshakes is not looked at
 * @family:	AF_INET or AF_INET6
 * @rx_large:	What came last was GRO's
 * @gso:	The kernel knows UDP_SEGMENT
 * @gso_off:	Segmentation is not tried for @gso_off_to with strides of @gso_off_stride and more
 *		until @gso_off_until. Stride 0: not at all, to anybody
 * @bad_source:	A source address that the kernel refused; not used until a datagram comes to it
 */
struct outer_socket {
	struct wgw_watch watch, handshakes;
	struct wgw_timer rest;
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

/* Sends what waits. Called when the socket is writable. */
void outer_backlog_send(struct outer_socket *s);

#endif
