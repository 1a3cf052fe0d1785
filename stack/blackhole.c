/* SPDX-License-Identifier: MIT */
/*
 * blackhole.c - paths that drop large packets and do not say so
 *
 * Routers that tell nobody, and firewalls that drop what they tell, make connections that open and
 * then stand still (RFC 2923 2.1). Only the sender can find that out, by timeouts (RFC 4821 7.7,
 * RFC 8899 4.3):
 *
 *   large ones time out again and again -> smaller ones are tried
 *   all that was in flight is acknowledged -> large ones again
 *   they time out, none of them has arrived -> smaller ones at once
 *   the first of these is acknowledged -> the path takes no more than that
 *
 * An outage that ends while smaller ones are tried looks the same up to the second line, and costs
 * no more than a flight in small packets: the next large one that arrives says that they get
 * through. When that meets another outage the smaller ones time out, too, and all begins anew.
 *
 * While smaller ones are tried the congestion window is that of a timeout; when a black hole is
 * found it is what it was, because nothing was lost to congestion. What is found holds for the
 * destination, as if ICMP had said it (paths.c).
 */
#include "stack/internal.h"

#include "lwip/priv/tcp_priv.h"

/* Timeouts before smaller ones are tried, the present one not counted, with nothing acknowledged in
 * between. Who has never had a large one through is likely to be in front of a black hole, who has,
 * in an outage: what comes a second late should find the scoreboard as it was (recovery_undo). */
enum { PATIENCE_NEVER = 1, PATIENCE = 3, PATIENCE_SMALLER = 2 };

static uint32_t headers(const struct flow *f)
{
	return TCP_HEADER_BYTES +
	       (stack_addr_is_v4(&f->remote) ? IP4_HEADER_BYTES : IP6_HEADER_BYTES);
}

/* The next smaller MSS to be tried: what every link of IPv6 takes (RFC 8200 5), and then what
 * nearly every one takes; 0: there is none. */
static uint32_t smaller(const struct flow *f)
{
	static const uint32_t mtus[] = {IP6_MTU_MIN_BYTES, PATH_MTU4_MIN_BYTES};
	unsigned int i, n = stack_addr_is_v4(&f->remote) ? 2 : 1;

	for (i = 0; i < n; i++)
		if (mtus[i] - headers(f) < f->pcb->mss)
			return mtus[i] - headers(f);
	return 0;
}

/* Bytes of data in the packet that timed out; 0: the peer has it */
static uint32_t timed_out(const struct flow *f)
{
	const struct tx_seg *e = board_at(&f->tx, f->tx.head);
	uint32_t data_end = lwip_ntohl(e->seg->tcphdr->seqno) + e->seg->len; /* without FIN */

	if (e->state == TX_SACKED || !seq_before(e->seq, data_end))
		return 0;
	return (seq_before(data_end, e->end) ? data_end : e->end) - e->seq;
}

/* Smaller ones were delivered, and nothing of @len bytes since. */
static bool only_smaller(const struct trial *r, uint32_t len)
{
	return r->mss != 0 && r->whole == 0 && len > r->mss && len > r->largest;
}

/* What timed out before was not congestion either. */
static void undo(struct flow *f)
{
	f->tx.phase = TX_OPEN; /* else its end takes for congestion what is undone here */
	f->tx.cc->undo(f);
}

static void learn(struct flow *f, uint32_t mss)
{
	paths_learn(f->stack, &f->remote, mss + headers(f));
	f->path_mtu = (uint16_t)(mss + headers(f));
	f->tx.trial = (struct trial){0};
}

bool blackhole_known(struct flow *f)
{
	uint32_t known = paths_mtu(f->stack, &f->remote) - headers(f), len = timed_out(f);
	struct trial *r = &f->tx.trial;

	r->suspected = only_smaller(r, len);
	if (len > known) {
		flow_resegment(f, known);
		learn(f, known);
		return true;
	}
	if (r->suspected)
		undo(f);
	return false;
}

static void try(struct flow *f, uint32_t mss)
{
	struct trial *r = &f->tx.trial;

	if (r->whole == 0)
		r->whole = f->pcb->mss;
	r->mss = (uint16_t)mss;
	r->largest = 0;
	r->timeouts = 0;
	flow_resegment(f, mss);
}

bool blackhole_try(struct flow *f)
{
	struct trial *r = &f->tx.trial;
	unsigned int patience = PATIENCE;
	uint32_t mss = smaller(f), len = timed_out(f);

	if (r->suspected) {
		try(f, r->mss);
		f->tx.cwnd = r->mss; /* one packet at a time: blackhole_acked */
		return true;
	}
	r->timeouts = f->tx.stalled ? r->timeouts + 1 : 0;
	if (mss == 0 || len <= mss)
		return false;
	if (r->whole != 0)
		patience = PATIENCE_SMALLER;
	else if (len > r->largest)
		patience = PATIENCE_NEVER;
	if (r->timeouts < patience)
		return false;
	try(f, mss);
	return true;
}

/* Who suspects a black hole has one small packet in flight: if no more is acknowledged, it was that
 * one, and no large one late. */
void blackhole_acked(struct flow *f, uint32_t ack)
{
	struct sender *t = &f->tx;
	struct trial *r = &t->trial;

	if (r->whole == 0)
		return;
	if (seq_before(board_at(t, t->tail - 1)->end, ack)) {
		r->largest = r->whole;
		r->suspected = false;
	}
	if (r->suspected && ack != f->pcb->lastack) {
		undo(f);
		learn(f, r->mss);
		t->backoff = 0;
	}
}

void blackhole_recovered(struct flow *f)
{
	struct trial *r = &f->tx.trial;

	if (r->whole == 0)
		return;
	f->pcb->mss = r->whole;
	r->whole = 0;
}

void blackhole_told(struct flow *f)
{
	struct trial *r = &f->tx.trial;

	if (r->whole != 0)
		f->pcb->mss = r->whole;
	*r = (struct trial){0};
}
