/* SPDX-License-Identifier: MIT */
/*
 * tcp_info.c - TCP_INFO and SIOCOUTQ of an application's connection
 *
 * A connection in the tunnel is measured by our own stack, one to a direct destination by the
 * kernel. Only this file includes linux/tcp.h, whose struct tcp_info is longer than libc's of the
 * same name.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "src/tunnel/end.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/tcp.h"

enum {
	NS_PER_US = 1000,
	INFINITE_SSTHRESH = INT32_MAX, /* TCP_INFINITE_SSTHRESH */
	REORDERING = 3,		       /* net.ipv4.tcp_reordering */
	DELAYED_ACK_US = 40000,
};

static_assert(sizeof(struct tcp_info) <= WGW_OPTION_MAX_BYTES, "fits into an operation");

static uint32_t us(uint64_t ns)
{
	uint64_t value = ns / NS_PER_US;

	if (ns && !value)
		return 1;
	return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

/* Linux counts segments where we count bytes. */
static uint32_t segments(uint64_t bytes, uint32_t mss)
{
	return mss ? (uint32_t)((bytes + mss - 1) / mss) : 0;
}

static void fill_sending(const struct flow_info *in, struct tcp_info *out)
{
	uint32_t lost = segments(in->lost, in->mss), sacked = segments(in->sacked, in->mss);

	out->tcpi_snd_mss = in->mss;
	out->tcpi_unacked = segments(in->inflight, in->mss) + lost + sacked;
	out->tcpi_sacked = sacked;
	out->tcpi_lost = lost;
	out->tcpi_snd_cwnd = segments(in->cwnd, in->mss);
	out->tcpi_snd_ssthresh =
		in->ssthresh == UINT32_MAX ? INFINITE_SSTHRESH : segments(in->ssthresh, in->mss);
	out->tcpi_total_retrans = in->resent_segments;
	out->tcpi_pacing_rate = in->pacing_rate ? in->pacing_rate : UINT64_MAX;
	out->tcpi_max_pacing_rate = UINT64_MAX;
	out->tcpi_bytes_acked = in->acked;
	out->tcpi_bytes_sent = in->sent;
	out->tcpi_bytes_retrans = in->resent;
	out->tcpi_notsent_bytes = in->not_sent;
	out->tcpi_delivered = segments(in->acked + in->sacked, in->mss);
	out->tcpi_delivery_rate = in->delivery_rate;
	out->tcpi_delivery_rate_app_limited = in->app_limited;
	out->tcpi_data_segs_out = segments(in->sent, in->mss);
	out->tcpi_snd_wnd = in->peer_window;
}

static void fill(const struct flow_info *in, struct tcp_info *out)
{
	enum { OPEN = 0, RECOVERY = 3, LOSS = 4 }; /* enum tcp_ca_state */

	*out = (struct tcp_info){.tcpi_state = in->state};
	out->tcpi_ca_state = in->loss == 0 ? OPEN : in->loss == 1 ? RECOVERY : LOSS;
	out->tcpi_retransmits = out->tcpi_backoff = in->backoff;
	out->tcpi_options =
		(uint8_t)((in->sack ? TCPI_OPT_SACK : 0) | (in->scaling ? TCPI_OPT_WSCALE : 0));
	out->tcpi_snd_wscale = in->send_scale & 15u;
	out->tcpi_rcv_wscale = in->receive_scale & 15u;
	out->tcpi_rto = us(in->rto_ns);
	out->tcpi_ato = DELAYED_ACK_US;
	out->tcpi_rtt = us(in->srtt_ns);
	out->tcpi_rttvar = us(in->rttvar_ns);
	out->tcpi_min_rtt = in->min_rtt_ns ? us(in->min_rtt_ns) : UINT32_MAX; /* as tcp_min_rtt() */
	out->tcpi_pmtu = in->mtu;
	out->tcpi_rcv_mss = out->tcpi_advmss = in->mss;
	out->tcpi_reordering = REORDERING;
	out->tcpi_rcv_space = out->tcpi_rcv_ssthresh = in->window;
	out->tcpi_bytes_received = in->received;
	out->tcpi_data_segs_in = segments(in->received, in->mss);
	out->tcpi_segs_in = in->segments_in;
	out->tcpi_segs_out = in->segments_out;
	fill_sending(in, out);
}

/* To another of this machine's sockets there is neither. */
static bool by_kernel(const struct wgw_conn *c)
{
	return !c->flow && c->far_end.watch.fd >= 0 && !c->far_end.keeps;
}

int wgw_conn_tcp_info(struct wgw_conn *c, uint8_t *value, uint32_t *len)
{
	struct flow_info known;
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	if (c->flow) {
		flow_info(c->flow, &known);
		fill(&known, &info);
	} else if (!by_kernel(c) ||
		   getsockopt(c->far_end.watch.fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0) {
		return ENOPROTOOPT;
	}
	memcpy(value, &info, sizeof(info));
	*len = sizeof(info);
	return 0;
}

static int clamped(size_t n)
{
	return n < INT32_MAX ? (int)n : INT32_MAX;
}

struct wgw_conn *wgw_conn_of_far(struct wgw_sockets *s, uint64_t cookie)
{
	for (struct wgw_link *l = s->conns.next; cookie && l != &s->conns; l = l->next) {
		struct wgw_conn *c = wgw_container(l, struct wgw_conn, link);

		if (c->far_cookie == cookie)
			return c;
	}
	return NULL;
}

void wgw_conn_unacked(struct wgw_conn *c, bool far, int bytes[2])
{
	size_t waiting = wgw_end_pending(far ? &c->far_end : &c->app);
	struct flow_info info;

	waiting += c->stash_len[far] - c->stash_at[far];
	bytes[0] = bytes[1] = clamped(waiting);
	if (!c->flow)
		return;
	flow_info(c->flow, &info);
	bytes[0] = clamped(waiting + flow_unacked(c->flow));
	bytes[1] = clamped(waiting + info.not_sent);
}
