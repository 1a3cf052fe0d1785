/* SPDX-License-Identifier: MIT */
/*
 * recovery.c - which segments are lost: RACK (RFC 8985), and the retransmission timeout (RFC 6298)
 *
 * RACK: a segment is lost if one that left later was delivered and the time that reordering may
 * take has passed since. It works for retransmissions as for anything else, because it goes by the
 * time of the last transmission, not by sequence number.
 */
#include "stack/internal.h"

#include "lwip/priv/tcp_priv.h"

enum {
	MIN_RTT_WINDOW_S = 300,
	REORDER_MULT_MAX = 8,
	REORDER_PERSIST = 16,  /* recoveries */
	LATE_MARGIN_PARTS = 8, /* what is late varies */
};

void recovery_rtt(struct sender *t, uint64_t rtt, uint64_t now)
{
	uint64_t difference;

	if (rtt == 0)
		rtt = 1;
	if (t->min_rtt_ns == 0 || rtt <= t->min_rtt_ns ||
	    now - t->min_rtt_at_ns > MIN_RTT_WINDOW_S * NS_PER_S) {
		t->min_rtt_ns = rtt;
		t->min_rtt_at_ns = now;
	}
	if (t->srtt_ns == 0) {
		t->srtt_ns = rtt;
		t->rttvar_ns = rtt / 2;
		return;
	}
	difference = rtt > t->srtt_ns ? rtt - t->srtt_ns : t->srtt_ns - rtt;
	t->rttvar_ns = t->rttvar_ns - t->rttvar_ns / 4 + difference / 4;
	t->srtt_ns = t->srtt_ns - t->srtt_ns / 8 + rtt / 8;
}

/* As Linux: the variance counts as 200 ms at least, because a peer may delay its ACKs that long. */
uint64_t recovery_rto(const struct sender *t)
{
	uint64_t rto = SYN_RTO_TICKS * (uint64_t)TICK_NS, most = RTO_MAX_TICKS * (uint64_t)TICK_NS;
	uint64_t variance = 4 * t->rttvar_ns;

	if (variance < RTO_MIN_TICKS * (uint64_t)TICK_NS)
		variance = RTO_MIN_TICKS * (uint64_t)TICK_NS;
	if (t->srtt_ns != 0)
		rto = t->srtt_ns + variance;
	return least(rto << (t->backoff < 12 ? t->backoff : 12), most);
}

/* RFC 8985 6.2 step 4: the window widens at most once in a round trip. */
void recovery_spurious(struct flow *f)
{
	struct sender *t = &f->tx;

	t->reordering_seen = true;
	t->reorder_persist = REORDER_PERSIST;
	if (t->spurious_ns != 0 && f->stack->now_ns - t->spurious_ns < t->srtt_ns)
		return;
	t->spurious_ns = f->stack->now_ns;
	if (t->reorder_mult < REORDER_MULT_MAX)
		t->reorder_mult++;
}

/* Whether what is told of as had twice, @b with all before it, is no more than was sent again. Else the
 * path makes two of a packet, also of one that was sent again for a loss (as Linux's tcp_dsack_seen()
 * in net/ipv4/tcp_input.c). */
static bool is_ours(struct flow *f, const struct sack_block *b)
{
	uint64_t len = b->right - b->left, mss = f->pcb->mss;

	f->tx.duplicates += (len + mss - 1) / mss;
	return f->tx.duplicates <= f->tx.resent_segs;
}

/* RFC 2883: all that was sent again for nothing is told so, if the reports get through. */
void recovery_duplicate(struct flow *f, const struct sack_block *b, struct rate_sample *rs)
{
	struct sender *t = &f->tx;
	unsigned int i = 0;

	if (!is_ours(f, b))
		return;
	recovery_spurious(f);
	while (i < t->n_unsure) {
		if (seq_before(t->unsure[i].left, b->left) ||
		    seq_before(b->right, t->unsure[i].right)) {
			i++;
			continue;
		}
		t->unsure[i] = t->unsure[--t->n_unsure];
		rs->settled = true;
	}
}

/* RFC 4015 for what RACK took for lost: all of it had arrived. */
static void undo_recovery(struct flow *f, const struct rate_sample *rs)
{
	struct sender *t = &f->tx;

	if (!rs->settled || t->doubted > 0 || t->n_unsure > 0 || t->refuted || !t->sack_seen)
		return;
	t->refuted = true; /* once */
	t->phase = TX_OPEN;
	t->cc->undo(f);
}

/* RFC 5682 3: the answers were late. RACK finds what of the flight was lost all the same. Whoever
 * agreed to SACK and never sends any may just have had what lay behind a hole: he is believed
 * once. */
static void undo_timeout(struct flow *f, struct rate_sample *rs)
{
	struct sender *t = &f->tx;

	if (!rs->needless || t->reno || (t->undone && !t->sack_seen))
		return;
	t->undone = true;
	board_unlose(t);
	rs->prior_lost = t->lost;
	t->phase = TX_OPEN;
	t->cc->undo(f);
}

void recovery_undo(struct flow *f, struct rate_sample *rs)
{
	undo_recovery(f, rs);
	undo_timeout(f, rs);
}

/* The segment that a tail loss probe has sent again, because an answer was late */
static bool was_probed(const struct sender *t, const struct tx_seg *e)
{
	return t->probing && t->probe_again && e->end == t->probe_end;
}

/* What has become of @e, which was taken for lost. It had arrived if it was not sent again, or is
 * acknowledged too soon after that (RFC 3522). What an ACK covers behind its first segment may have
 * arrived long ago, and does not tell how late that was. */
static void settle(struct flow *f, struct tx_seg *e, struct rate_sample *rs)
{
	struct sender *t = &f->tx;
	uint64_t now = f->stack->now_ns, first_ns = e->again ? e->before_ns : e->sent_ns;

	rs->settled = true;
	t->doubted--;
	e->doubted = false;
	if (e->again && (now - e->sent_ns >= t->min_rtt_ns || was_probed(t, e))) {
		if (t->n_unsure < UNSURE_MAX)
			t->unsure[t->n_unsure++] = (struct sack_block){e->seq, e->end};
		else
			t->refuted = true;
		return;
	}
	if (e->seq == rs->first || !seq_before(e->seq, rs->ack)) {
		recovery_spurious(f);
		t->late_ns = most(t->late_ns, now - first_ns);
	}
}

/* RFC 8985 6.2 steps 2 and 3 */
void recovery_delivered(struct flow *f, struct tx_seg *e, struct rate_sample *rs)
{
	struct sender *t = &f->tx;
	uint64_t rtt = f->stack->now_ns - e->sent_ns;

	if (e->doubted)
		settle(f, e, rs);
	if (!e->again && seq_before(e->end, t->reorder_mark))
		t->reordering_seen = true;
	if (seq_before(t->fack, e->end))
		t->fack = e->end;
	if (e->again && rtt < t->min_rtt_ns) {
		if (!was_probed(t, e))
			recovery_spurious(f); /* the first transmission was late, not lost */
		return;
	}
	t->rack_rtt_ns = rtt;
	if (e->sent_ns > t->rack_sent_ns ||
	    (e->sent_ns == t->rack_sent_ns && seq_before(t->rack_end, e->end))) {
		t->rack_sent_ns = e->sent_ns;
		t->rack_end = e->end;
	}
}

/*
 * RFC 8985 6.2 step 4. There the window grows by a quarter of the least round trip in a round, and
 * should end at SRTT, which does not grow with what is late: an answer after a retransmission is no
 * sample (Karn). So what is known to have been late is waited for, one and a half SRTT at most.
 */
static uint64_t reorder_window(const struct sender *t)
{
	uint64_t late;

	if (!t->reordering_seen && (t->phase != TX_OPEN || t->sacked_segs >= DUPACKS))
		return 0;
	late = t->late_ns > t->min_rtt_ns ? t->late_ns - t->min_rtt_ns : 0;
	late = least(late + late / LATE_MARGIN_PARTS, t->srtt_ns + t->srtt_ns / 2);
	return most(least((t->reorder_mult + 1) * t->min_rtt_ns / 4, t->srtt_ns), late);
}

void recovery_mark(struct flow *f, uint64_t index)
{
	struct sender *t = &f->tx;
	struct tx_seg *e = board_at(t, index);

	board_lose(t, index);
	if (t->phase == TX_OPEN) {
		t->phase = TX_RECOVERY;
		t->recover = t->high_sent;
		t->refuted |= t->doubted == 0 || t->n_unsure > 0;
		t->cc->congestion(f);
		t->refuted = false;
		t->n_unsure = 0;
		if (t->reorder_persist > 0 && --t->reorder_persist == 0) {
			t->reorder_mult = 0;
			t->late_ns = 0;
		}
	}
	if (e->again) {
		t->refuted = true; /* no answer tells which of the others has arrived */
	} else if (!e->doubted) {
		e->doubted = true;
		t->doubted++;
	}
	t->cc->lost(f, e);
}

void recovery_detect(struct flow *f)
{
	struct sender *t = &f->tx;
	uint64_t patience = t->rack_rtt_ns + reorder_window(t), now = f->stack->now_ns, i, next;

	t->reorder_ns = 0;
	for (i = t->by_time.first; i != 0; i = next) {
		const struct tx_seg *e = board_at(t, i);

		next = e->next;
		if (e->sent_ns > t->rack_sent_ns ||
		    (e->sent_ns == t->rack_sent_ns && !seq_before(e->end, t->rack_end)))
			break;
		if (e->sent_ns + patience > now) {
			/* a little later, so that one look finds several */
			t->reorder_ns = e->sent_ns + patience + t->min_rtt_ns / 32;
			break;
		}
		recovery_mark(f, i);
	}
}
