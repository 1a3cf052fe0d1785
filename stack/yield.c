/* SPDX-License-Identifier: MIT */
/*
 * yield.c - when BBR does not heed loss
 *
 * Who yields to a flow that does not heed loss (BBR's version 1, which Linux calls bbr) starves.
 * Such a flow overflows the queue as often as it probes, once in eight round trips
 * (draft-cardwell-iccrg-bbr-congestion-control-00 4.3.4); one that has halved its window first
 * grows for half as many rounds as it had segments (RFC 5681 3.1). So who loses too much in one
 * round of eight between two probes yields in vain, and does not heed loss for 5 to 10 s, until
 * rounds that do are fewer, or until a probe finds that he has half of the path. What has half of
 * it always yields.
 */
#include "stack/internal.h"

#include "lwip/priv/tcp_priv.h"

enum {
	VAIN_ROUNDS = 8, /* loss in one of so many: somebody does not heed it */
	ROUNDS_MIN = 16,
	EXCESS_PERCENT = 5, /* a probe that sends no more than this above says nothing */
	HOLD_OUT_S = 5,
	LOSS_SEGMENTS_MIN = 3,
};

bool lost_more_than(const struct flow *f, uint64_t lost, uint64_t inflight, unsigned int parts)
{
	return lost > inflight / parts && lost >= (uint64_t)LOSS_SEGMENTS_MIN * f->pcb->mss;
}

bool yield_holds_out(const struct flow *f)
{
	return f->tx.bbr.hold_out_ns > f->stack->now_ns;
}

void yield_init(struct flow *f)
{
	f->tx.bbr.probe.from = UINT64_MAX;
}

/* The round has a pause in it. */
void yield_restart(struct flow *f)
{
	f->tx.bbr.round_began_ns = 0;
}

void yield_round_ends(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;
	uint64_t now = f->stack->now_ns, all = b->round_delivered + b->round_lost;

	if (b->state == BBR_CRUISE || (b->state == BBR_DOWN && yield_holds_out(f))) {
		b->spell_rounds++;
		b->spell_lossy += lost_more_than(f, b->round_lost, all, LOSS_PARTS);
		if (b->round_began_ns != 0) {
			b->spell_delivered += b->round_delivered;
			b->spell_lost += b->round_lost;
			b->spell_ns += now - b->round_began_ns;
		}
	}
	b->round_began_ns = now;
}

void yield_probe_begins(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;

	b->has_half = false; /* until this probe says so */
	b->probe = (struct bbr_probe){.from = f->tx.delivered,
				      .to = UINT64_MAX,
				      .sent = f->tx.sent,
				      .sent_ns = f->stack->now_ns};
	if (b->spell_ns > 0 && b->spell_delivered > 0) {
		b->probe.before = (double)b->spell_delivered / (double)b->spell_ns;
		b->probe.lost_before =
			(double)b->spell_lost / (double)(b->spell_lost + b->spell_delivered);
	}
	b->spell_delivered = b->spell_ns = b->spell_lost = 0;
}

void yield_probe_ends(struct flow *f)
{
	struct bbr_probe *p = &f->tx.bbr.probe;

	if (f->stack->now_ns == p->sent_ns)
		return;
	p->to = f->tx.delivered;
	p->rate = (double)(f->tx.sent - p->sent) / (double)(f->stack->now_ns - p->sent_ns);
}

/*
 * A full queue's packets leave in proportion to those that arrive. Between probes our rate was r,
 * that of all together the path's, c; sending s > r in a probe brings d = c s / (c - r + s). So
 * our share r / c is r (s - d) / (d (s - r)).
 */
bool yield_measure(struct flow *f, const struct rate_sample *rs)
{
	struct bbr *b = &f->tx.bbr;
	struct bbr_probe *p = &b->probe;
	uint64_t now = f->stack->now_ns;
	double r = p->before, s = p->rate, d;

	if (!rs->any || rs->prior_delivered < p->from)
		return false;
	if (p->got_ns == 0) { /* the first of the probe's packets has arrived */
		p->got = f->tx.delivered;
		p->got_ns = now;
	}
	if (rs->prior_delivered < p->to)
		return false;
	p->from = UINT64_MAX;
	if (r <= 0 || now == p->got_ns)
		return false;
	d = (double)(f->tx.delivered - p->got) / (double)(now - p->got_ns);
	if (s > r * (100 + EXCESS_PERCENT) / 100)
		b->has_half = 2 * r * (s - d) >= d * (s - r);
	if (b->has_half && yield_holds_out(f))
		b->hold_out_ns = now;
	return true;
}

void yield_judge(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;
	bool in_vain = b->spell_lossy * VAIN_ROUNDS >= b->spell_rounds && !b->has_half;
	uint32_t r;

	if (b->spell_rounds < ROUNDS_MIN)
		return;
	b->spell_lossy = b->spell_rounds = 0;
	if (in_vain && yield_holds_out(f))
		return;
	if (!in_vain || b->hold_out_ns != 0) { /* just over: part of this loss is our own */
		b->hold_out_ns = 0;
		return;
	}
	f->stack->ops->random(f->stack->ctx, &r, sizeof(r));
	b->hold_out_ns = f->stack->now_ns + HOLD_OUT_S * (NS_PER_S + (uint64_t)r % NS_PER_S);
	b->inflight_high = UINT64_MAX;
}
