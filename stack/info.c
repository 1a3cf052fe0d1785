/* SPDX-License-Identifier: MIT */
/* info.c - what is known about a connection, for TCP_INFO and the like */
#include "stack/internal.h"

#include "lwip/priv/tcp_priv.h"

/* include/net/tcp_states.h */
enum {
	LINUX_ESTABLISHED = 1,
	LINUX_SYN_SENT,
	LINUX_SYN_RECV,
	LINUX_FIN_WAIT1,
	LINUX_FIN_WAIT2,
	LINUX_TIME_WAIT,
	LINUX_CLOSE,
	LINUX_CLOSE_WAIT,
	LINUX_LAST_ACK,
	LINUX_LISTEN,
	LINUX_CLOSING,
};

static const uint8_t states[] = {
	[CLOSED] = LINUX_CLOSE,
	[LISTEN] = LINUX_LISTEN,
	[SYN_SENT] = LINUX_SYN_SENT,
	[SYN_RCVD] = LINUX_SYN_RECV,
	[ESTABLISHED] = LINUX_ESTABLISHED,
	[FIN_WAIT_1] = LINUX_FIN_WAIT1,
	[FIN_WAIT_2] = LINUX_FIN_WAIT2,
	[CLOSE_WAIT] = LINUX_CLOSE_WAIT,
	[CLOSING] = LINUX_CLOSING,
	[LAST_ACK] = LINUX_LAST_ACK,
	[TIME_WAIT] = LINUX_TIME_WAIT,
};

/* What the pcb knows. */
static void from_pcb(const struct flow *f, struct flow_info *out)
{
	const struct tcp_pcb *pcb = f->pcb;

	out->state = states[pcb->state];
	out->mss = pcb->mss;
	out->mtu = f->path_mtu ? f->path_mtu : f->stack->mtu;
	if (f->state == FLOW_TIME_WAIT)
		return;
	out->scaling = (pcb->flags & TF_WND_SCALE) != 0;
	out->send_scale = pcb->snd_scale;
	out->receive_scale = pcb->rcv_scale;
	out->peer_window = pcb->snd_wnd;
	out->window = pcb->rcv_wnd;
	/* a FIN that has left in a segment with data is in one of them only */
	if (TCP_SEQ_GT(pcb->snd_lbb, pcb->snd_nxt))
		out->not_sent = pcb->snd_lbb - pcb->snd_nxt;
}

/* The congestion controller's; BBR has no slow start threshold. */
static uint32_t threshold(const struct sender *t)
{
	return t->cc == &cc_cubic ? t->cubic.ssthresh : UINT32_MAX;
}

static uint32_t lost_bytes(const struct sender *t)
{
	uint32_t lost = 0;

	for (uint64_t i = t->lost_list.first; i; i = board_at(t, i)->next)
		lost += tx_len(board_at(t, i));
	return lost;
}

void flow_info(const struct flow *f, struct flow_info *out)
{
	const struct sender *t = &f->tx;

	*out = (struct flow_info){.state = LINUX_CLOSE, .ssthresh = UINT32_MAX};
	if (f->pcb)
		from_pcb(f, out);
	out->received = f->rx_total;
	out->segments_in = f->rx_segs;
	out->segments_out = f->tx_segs;
	out->rto_ns = recovery_rto(t);
	if (!t->on)
		return;
	out->loss = t->phase == TX_OPEN ? 0 : t->phase == TX_RECOVERY ? 1 : 2;
	out->backoff = (uint8_t)LWIP_MIN(t->backoff, UINT8_MAX);
	out->sack = t->sack_seen;
	out->app_limited = t->rate_app_limited;
	out->cwnd = t->cwnd;
	out->ssthresh = threshold(t);
	out->inflight = t->inflight;
	out->sacked = t->sacked;
	out->lost = lost_bytes(t);
	out->reordering = t->reorder_mult;
	out->srtt_ns = t->srtt_ns;
	out->rttvar_ns = t->rttvar_ns;
	out->min_rtt_ns = t->min_rtt_ns;
	out->pacing_rate = t->pacing_rate;
	out->delivery_rate = t->rate;
	out->sent = t->sent;
	out->resent = t->resent;
	out->resent_segments = t->resent_segs;
	out->acked = f->tx_total - f->unacked;
}
