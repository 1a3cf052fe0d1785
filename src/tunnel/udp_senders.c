/* SPDX-License-Identifier: MIT */
/*
 * udp_senders.c - who sent the bare payload that lies unread at an application's socket without a peer
 *
 * A program without the shared object may read with calls that nobody sees, so no header may come with
 * what it reads. Should it ask later who sends, what is unread then is returned (WGW_OP_REQUEUE), and
 * that is the last that was sent: messages are read in their order. So a ring of the last senders is
 * enough, with as many places as the socket holds messages.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "src/tunnel/udp.h"

/* What an empty message takes of a send buffer at the least: a struct sk_buff, and its data with
 * struct skb_shared_info. */
enum { MESSAGE_BYTES = 512 };

/** struct udp_senders - @n of all time, of which the last @room are there */
struct udp_senders {
	size_t n, room;
	struct wgw_dgram of[];
};

bool udp_senders_begin(struct wgw_dgram_sock *u)
{
	int buffer = UDP_SNDBUF_BYTES;
	socklen_t len = sizeof(buffer);
	size_t room;

	if (u->senders)
		return true;
	getsockopt(u->watch.fd, SOL_SOCKET, SO_SNDBUF, &buffer, &len);
	room = (size_t)buffer / MESSAGE_BYTES + 1; /* the last one may exceed it */
	u->senders = malloc(sizeof(*u->senders) + room * sizeof(u->senders->of[0]));
	if (!u->senders)
		return false;
	u->senders->n = 0;
	u->senders->room = room;
	return true;
}

void udp_senders_add(struct wgw_dgram_sock *u, const struct wgw_dgram *header)
{
	struct udp_senders *s = u->senders;

	s->of[s->n++ % s->room] = *header;
}

bool udp_senders_find(const struct wgw_dgram_sock *u, unsigned int back, struct wgw_dgram *header)
{
	const struct udp_senders *s = u->senders;

	if (!s || back > s->n || back > s->room)
		return false;
	*header = s->of[(s->n - back) % s->room];
	return true;
}

void udp_senders_drop(struct wgw_dgram_sock *u)
{
	free(u->senders);
	u->senders = NULL;
}
