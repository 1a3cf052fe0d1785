/* SPDX-License-Identifier: MIT */
/*
 * window.c - how much a peer may send
 *
 * The receive window is rx_space minus what is not consumed. rx_space starts at
 * RX_SPACE_START_BYTES and grows fourfold, up to TCP_WND, each time the owner has consumed a
 * quarter of it and keeps less than a quarter unread: a big window costs memory only when the
 * owner does not read, and then it never grew. A sender that doubles each round trip stays below
 * it, with a round trip to spare for what is lost.
 *
 * While a hole is open nothing can be consumed, but the sender goes on: rx_space also doubles when
 * what waits behind the hole reaches its middle. On a path that loses a percent, several losses of
 * one segment in a row are usual, and each takes one more product of rate and round trip.
 *
 * What waits, in order or not, counts for the stack's budget (limits.h), a small segment out of
 * order for the memory that it takes.
 */
#include "stack/internal.h"

#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"

#include "stack/lwip_hooks.h"

/* First window, at the end of the handshake. */
void window_open(struct flow *f)
{
	struct tcp_pcb *pcb = f->pcb;

	f->rx_space = LWIP_MIN(pcb->rcv_wnd, (tcpwnd_size_t)RX_SPACE_START_BYTES);
	if (f->stack->rx_bytes >= RX_TOTAL_BYTES)
		f->rx_space = LWIP_MIN(f->rx_space, UINT16_MAX);
	pcb->rcv_wnd = pcb->rcv_ann_wnd = (tcpwnd_size_t)f->rx_space;
	/* a SYN's window is not scaled, but lwIP counts all of it as announced */
	if (TCP_SEQ_GT(pcb->rcv_ann_right_edge, pcb->rcv_nxt + UINT16_MAX))
		pcb->rcv_ann_right_edge = pcb->rcv_nxt + UINT16_MAX;
}

static void grow(struct flow *f, unsigned int times)
{
	size_t most = f->pcb->flags & TF_WND_SCALE ? TCP_WND : UINT16_MAX;

	f->rx_epoch = 0;
	if (f->rx_bytes < f->rx_space / 4 && f->stack->rx_bytes < RX_TOTAL_BYTES)
		f->rx_space = LWIP_MIN(f->rx_space * times, most);
}

/* Raises rcv_wnd to what rx_space allows. Return: by how many bytes the peer would learn of it */
static u32_t raise_window(struct flow *f)
{
	struct tcp_pcb *pcb = f->pcb;
	size_t space = f->rx_space;

	if (f->stack->rx_bytes >= RX_TOTAL_BYTES)
		space = LWIP_MIN(space, UINT16_MAX);
	if (space > f->rx_bytes && space - f->rx_bytes > pcb->rcv_wnd)
		pcb->rcv_wnd = (tcpwnd_size_t)(space - f->rx_bytes);
	return tcp_update_rcv_ann_wnd(pcb);
}

/* The owner has consumed @len bytes: says so at once if that helps a waiting peer. */
void window_consumed(struct flow *f, size_t len)
{
	struct tcp_pcb *pcb = f->pcb;
	u32_t gained, worth;

	f->rx_epoch += len;
	if (f->rx_epoch >= f->rx_space / 4)
		grow(f, 4);
	gained = raise_window(f);
	worth = LWIP_MAX((u32_t)(f->rx_space / 4), 2u * pcb->mss);
	if (gained >= worth || (gained > 0 && pcb->rcv_ann_right_edge - pcb->rcv_nxt < pcb->mss) ||
	    acks_at_once(f)) {
		tcp_ack_now(pcb);
		tcp_output(pcb);
	}
}

/* Bytes from the first hole to the end of what waits behind it */
static size_t reach(const struct tcp_pcb *pcb)
{
	return pcb->ooseq_tail->tcphdr->seqno + pcb->ooseq_tail->len - pcb->rcv_nxt;
}

/* lwIP has been at work for the connection: more or less may wait out of order. */
void window_settle(struct flow *f)
{
	struct tcp_pcb *pcb = f->pcb;
	u32_t bytes =
		pcb->ooseq ? LWIP_MAX(pcb->ooseq_bytes, (u32_t)pcb->ooseq_count * OOSEQ_LEAST_BYTES)
			   : 0;

	f->stack->rx_bytes += bytes;
	f->stack->rx_bytes -= f->ooseq_bytes;
	f->ooseq_bytes = bytes;
	if (bytes > 0 && f->state == FLOW_OPEN && !f->rx_fin && reach(pcb) > f->rx_space / 2) {
		grow(f, 2);
		raise_window(f); /* the ACK for the next segment says so */
	}
}

/* The connection's lwIP side is gone, and what it kept. */
void window_closed(struct flow *f)
{
	f->stack->rx_bytes -= f->ooseq_bytes;
	f->ooseq_bytes = 0;
}

u32_t stack_ooseq_max(const struct tcp_pcb *pcb)
{
	const struct flow *f = pcb->callback_arg;

	return f && f->stack->rx_bytes < RX_DROP_BYTES ? OOSEQ_PBUFS_MAX : 0;
}
