/* SPDX-License-Identifier: MIT */
/*
 * sender.c - sending: what lwIP leaves to us (patch 09)
 *
 * lwIP queues and builds segments and takes acknowledged ones off its queues; when a segment may
 * leave, which ones are lost and when they leave again is decided here. From the end of the
 * handshake on lwIP's own congestion window, duplicate ACK count and retransmission timer are not
 * used.
 *
 *   an ACK: stack_sender_ack -> scoreboard (what is delivered) -> recovery.c (what is lost)
 *	     -> congestion controller (cwnd, pacing rate)
 *   sending: tcp_output -> stack_sender_output (lost segments first) -> for each new segment
 *	     stack_sender_may_send, stack_sender_sent
 *   timers: one for the tail loss probe or the timeout, one for reordering, one for pacing
 *
 * Pacing: pace_ns is when all that was sent has left at the pacing rate. Nothing leaves before it;
 * when it is waited for, the timer is set a little after it, so that one wake-up sends a quantum.
 * What could not leave because the process was woken late is owed: for the next round trip packets
 * take less time than they would at the pacing rate, until that is made up for.
 */
#include "stack/internal.h"

#include <assert.h>

#include "lwip/priv/tcp_priv.h"

#include "stack/lwip_hooks.h"

enum {
	PROBE_MIN_NS = 10 * NS_PER_MS,
	/* RFC 8985 7.2: a lone segment's ACK may be delayed, by Linux 40 ms and what a tick is */
	PROBE_ACK_DELAY_NS = 50 * NS_PER_MS,
	/* a FIN's, too, until the program there closes; a command's end waits for it */
	PROBE_FIN_NS = 25 * NS_PER_MS,
	HELD_MIN_NS = NS_PER_MS,
	QUANTUM_MAX_BYTES = 256 * 1024,
	QUANTUM_NS = NS_PER_MS,
	OWED_MAX_NS = 20 * NS_PER_MS,
	OWED_RTT_PARTS = 2,
	MAKE_UP_TIMES = 3, /* the pacing rate; at once, it overflows queues and sleepers' sockets */
	PARTIAL_ACKS_MAX = 4,
	TRAINS_PER_QUANTUM = 4,
	TRAIN_MAX_PACKETS = 16,
	TRAIN_MAX_BYTES = 32 * 1024,
};

/* ---- pacing ---- */

uint32_t sender_quantum(const struct flow *f)
{
	uint64_t quantum = f->tx.pacing_rate / (NS_PER_S / QUANTUM_NS);

	if (quantum > QUANTUM_MAX_BYTES)
		return QUANTUM_MAX_BYTES;
	return (uint32_t)LWIP_MAX(quantum, 2u * f->pcb->mss);
}

static uint64_t time_for(const struct sender *t, uint64_t bytes)
{
	return bytes * NS_PER_S / (t->pacing_rate ? t->pacing_rate : 1);
}

/* The initial window leaves as a whole, as on Linux. */
static bool paced(const struct flow *f)
{
	return f->tx.pacing_rate != 0 && f->tx.sent >= (uint64_t)INITIAL_SEGMENTS * f->pcb->mss;
}

/* What leaves now counts from then: pace_ns, unless that is longer ago than two quanta. */
static uint64_t pace_start(const struct flow *f)
{
	const struct sender *t = &f->tx;
	uint64_t now = f->stack->now_ns, slack = 2 * time_for(t, sender_quantum(f));

	return t->pace_ns + slack < now ? now - slack : t->pace_ns;
}

/* The time up to @start was not used. */
static void owe(struct flow *f, uint64_t start)
{
	struct sender *t = &f->tx;
	uint64_t now = f->stack->now_ns, all = start - t->pace_ns;

	if (now < t->owed_until_ns)
		all += t->owed_ns;
	t->owed_ns = least(all, least(t->min_rtt_ns / OWED_RTT_PARTS, OWED_MAX_NS));
	t->owed_until_ns = now + t->srtt_ns;
}

static void transmitted(struct flow *f, uint32_t len)
{
	struct sender *t = &f->tx;
	uint64_t start, cost, made_up;

	t->sent += len;
	if (!paced(f))
		return;
	start = pace_start(f);
	cost = time_for(t, len);
	if (t->late && start > t->pace_ns)
		owe(f, start);
	if (f->stack->now_ns >= t->owed_until_ns)
		t->owed_ns = 0;
	made_up = least(cost - cost / MAKE_UP_TIMES, t->owed_ns);
	t->owed_ns -= made_up;
	t->pace_ns = start + cost - made_up;
}

/* ---- sending ---- */

static bool may_send(struct flow *f, uint32_t len)
{
	struct sender *t = &f->tx;

	if (!board_reserve(t, 1))
		return false;
	if (t->forced)
		return true;
	if (t->inflight > 0 && t->inflight + len > t->cwnd)
		return false;
	if (paced(f) && t->pace_ns > f->stack->now_ns) {
		t->pace_due_ns = t->pace_ns + time_for(t, sender_quantum(f));
		return false;
	}
	return true;
}

/* A quantum is several trains, so that a wake-up sends about a quantum. */
u32_t stack_sender_train_max(struct tcp_pcb *pcb)
{
	const struct flow *f = pcb->callback_arg;
	uint32_t packets, mss = pcb->mss;

	if (!f->tx.on || !paced(f))
		return mss;
	packets = LWIP_MIN(sender_quantum(f) / TRAINS_PER_QUANTUM, (uint32_t)TRAIN_MAX_BYTES) / mss;
	return LWIP_MAX(LWIP_MIN(packets, (uint32_t)TRAIN_MAX_PACKETS), 1) * mss;
}

/* No more than would leave if each asked may_send */
u32_t stack_sender_train_part(struct tcp_pcb *pcb, u32_t len)
{
	struct flow *f = pcb->callback_arg;
	struct sender *t = &f->tx;
	uint64_t mss = pcb->mss, now = f->stack->now_ns, part = len;

	if (!t->on)
		return (u32_t)LWIP_MIN(part, mss);
	if (t->inflight + part > t->cwnd)
		part = t->cwnd > t->inflight ? t->cwnd - t->inflight : 0;
	if (paced(f)) {
		uint64_t late = now - LWIP_MIN(pace_start(f), now);

		part = LWIP_MIN(part, (late * t->pacing_rate / NS_PER_S / mss + 1) * mss);
	}
	part = LWIP_MAX(part, mss);
	if (!board_reserve(t, part / mss + 1))
		part = mss;
	return (u32_t)LWIP_MIN(part, (uint64_t)len);
}

uint32_t sender_may_leave(const struct flow *f)
{
	const struct sender *t = &f->tx;

	if (t->inflight >= t->cwnd || (paced(f) && t->pace_ns > f->stack->now_ns))
		return 0;
	return t->cwnd - t->inflight;
}

/* The peer's window has room for what is to be sent next, or for a packet of it. */
static bool next_fits(const struct tcp_pcb *pcb)
{
	const struct tcp_seg *next = pcb->unsent;

	return next && TCP_SEQ_LEQ(lwip_ntohl(next->tcphdr->seqno) + LWIP_MIN(next->len, pcb->mss),
				   pcb->lastack + pcb->snd_wnd);
}

/* Nothing but Nagle's algorithm keeps what is to be sent, for the ACK of a lone short segment. */
static bool is_held(const struct flow *f)
{
	return f->tx.tail - f->tx.head == 1 && !tcp_do_output_nagle(f->pcb) && next_fits(f->pcb);
}

/* Who asks in two writes and waits for the answer waits for that ACK, too, and the peer for the rest
 * of the question before it answers. When two round trips have not brought the ACK, it is delayed or
 * something is lost, and what is held leaves as the probe: it is new, so never sent needlessly. That is
 * a packet in two round trips, where the algorithm itself admits two. */
static uint64_t probe_timeout(const struct flow *f)
{
	const struct sender *t = &f->tx;
	uint64_t pto = 2 * t->srtt_ns;

	if (t->srtt_ns == 0)
		return recovery_rto(t);
	if (is_held(f))
		return LWIP_MAX(pto, (uint64_t)HELD_MIN_NS);
	if (t->tail - t->head == 1)
		pto += board_at(t, t->head)->seg->len > 0 ? PROBE_ACK_DELAY_NS : PROBE_FIN_NS;
	return LWIP_MAX(pto, (uint64_t)PROBE_MIN_NS);
}

/* RFC 8985 7.2: a probe where losses would otherwise wait for the timeout */
static void set_timer(struct flow *f)
{
	struct sender *t = &f->tx;
	uint64_t now = f->stack->now_ns, probe;

	t->timer_is_probe = false;
	if (t->head == t->tail) {
		t->timer_ns = 0;
		return;
	}
	t->timer_ns = t->progress_ns + recovery_rto(t);
	if (t->phase != TX_OPEN || t->probing || t->sacked > 0 || t->backoff > 0 || t->reno)
		return;
	probe = now + probe_timeout(f);
	if (probe < t->timer_ns) {
		t->timer_ns = probe;
		t->timer_is_probe = true;
	}
}

/* Something may be held only now that its segment has left. */
static void hurry_held(struct flow *f)
{
	struct sender *t = &f->tx;

	if (t->timer_is_probe && is_held(f))
		t->timer_ns = least(t->timer_ns, board_at(t, t->head)->sent_ns + probe_timeout(f));
}

static void note_sent(struct flow *f, uint64_t index)
{
	struct sender *t = &f->tx;
	bool first = t->inflight == 0 && t->lost_list.first == t->lost_list.last;

	if (first) {
		if (t->phase == TX_OPEN)
			t->cc->restart(f);
		t->progress_ns = f->stack->now_ns;
	}
	board_sent(t, index, f->stack->now_ns);
	if (board_at(t, index)->again) {
		t->resent += tx_len(board_at(t, index));
		t->resent_segs++;
	}
	transmitted(f, tx_len(board_at(t, index)));
}

/* @e leaves again, from where it is in lwIP's queue; what of it is acknowledged does not. */
static bool resend(struct flow *f, uint64_t index)
{
	struct tx_seg *e = board_at(&f->tx, index);
	uint32_t from = lwip_ntohl(e->seg->tcphdr->seqno), end = from + e->seg->len;

	from = seq_before(from, e->seq) ? e->seq : from;
	end = seq_before(e->end, end) ? e->end : end; /* a FIN is no data */
	if (tcp_resend(f->pcb, e->seg, from, (u16_t)(end - from)) != ERR_OK)
		return false;
	e->again = true;
	e->before_ns = e->sent_ns;
	note_sent(f, index);
	if (index == f->tx.head) {
		/* its answer is a round trip away, however long the last one was */
		f->tx.progress_ns = f->stack->now_ns;
		set_timer(f);
	}
	return true;
}

static bool within_window(const struct flow *f, const struct tx_seg *e)
{
	return e->end - f->pcb->lastack <= f->pcb->snd_wnd;
}

void stack_sender_output(struct tcp_pcb *pcb)
{
	struct flow *f = pcb->callback_arg;
	struct sender *t = f ? &f->tx : NULL;

	if (!t || !t->on)
		return;
	/* whoever waited for pacing and was woken late makes up for it; else the estimate would
	 * sink */
	t->late = t->pace_due_ns != 0;
	t->pace_due_ns = 0;
	hurry_held(f);
	while (t->lost_list.first) {
		uint64_t index = t->lost_list.first;
		const struct tx_seg *e = board_at(t, index);

		if (!(t->forced || index == t->head || within_window(f, e)) ||
		    !may_send(f, tx_len(e)) || !resend(f, index))
			return;
		t->forced = false;
	}
}

/* lwIP will walk the segments from one to the next, each cold since it was sent: here their
 * addresses are known without walking, so that all are fetched at once. The pbuf lies before and
 * the TCP header behind (patches 10 and 11). */
static void prefetch(const struct tcp_seg *seg)
{
	const uint8_t *p = (const uint8_t *)seg;

	__builtin_prefetch(p, 1);
	__builtin_prefetch(p + 64);
	__builtin_prefetch(p + 128);
}

/* While one leaves the next ones are fetched, which are cold when they have waited. */
static void prefetch_next(const struct tcp_seg *seg)
{
	const struct tcp_seg *next = seg->next;
	const uint8_t *data;

	if (!next)
		return;
	data = next->p->next ? next->p->next->payload : next->p->payload;
	__builtin_prefetch(data);
	__builtin_prefetch(data + 64);
	__builtin_prefetch(data + 128);
	__builtin_prefetch(data + 192);
	if (next->next)
		prefetch(next->next);
}

int stack_sender_may_send(struct tcp_pcb *pcb, u32_t len)
{
	struct flow *f = pcb->callback_arg;

	if (!f)
		return 1;
	if (!f->tx.on)
		return pcb->state != SYN_SENT || syns_may_send(f);
	if (f->tx.lost_list.first)
		return 0;
	prefetch_next(pcb->unsent);
	return may_send(f, len);
}

void stack_sender_sent(struct tcp_pcb *pcb, struct tcp_seg *seg)
{
	struct flow *f = pcb->callback_arg;
	struct sender *t = f ? &f->tx : NULL;
	uint32_t seq = lwip_ntohl(seg->tcphdr->seqno), end = seq + TCP_TCPLEN(seg);
	uint32_t data_end = seq + seg->len, next;
	struct tx_seg *e;

	if (!t || !t->on || seq == end)
		return;
	for (; seq != end; seq = next) {
		/* cut as train.c does; a FIN is in the last packet */
		next = data_end - seq > pcb->mss ? seq + pcb->mss : end;
		e = board_push(t, seg, seq, next);
		e->again = TCP_SEQ_LT(seq, t->high_sent);
		if (TCP_SEQ_LT(t->high_sent, next))
			t->high_sent = next;
		note_sent(f, t->tail - 1);
	}
	t->forced = false;
	set_timer(f);
}

/* ---- acknowledgements ---- */

void sender_note_options(struct flow *f, const uint8_t *o, const uint8_t *end)
{
	struct sender *t = &f->tx;
	int i;

	t->n_sacks = 0;
	while (o < end && *o != TCP_OPTION_END) { /* ingress.c has checked the lengths */
		if (*o == TCP_OPTION_NOP) {
			o++;
			continue;
		}
		for (i = 2; *o == TCP_OPTION_SACK && i + 8 <= o[1] && t->n_sacks < SACK_BLOCKS_MAX;
		     i += 8)
			t->sacks[t->n_sacks++] =
				(struct sack_block){get32(o + i), get32(o + i + 4)};
		o += o[1];
	}
}

bool sacks_tell_duplicate(const struct sack_block *b, unsigned int n, uint32_t ack)
{
	if (n == 0)
		return false;
	if (TCP_SEQ_LEQ(b[0].right, ack))
		return true;
	return n > 1 && TCP_SEQ_GEQ(b[0].left, b[1].left) && TCP_SEQ_LEQ(b[0].right, b[1].right);
}

static void delivered(struct flow *f, struct tx_seg *e, struct rate_sample *rs)
{
	struct sender *t = &f->tx;
	uint64_t now = f->stack->now_ns;

	prefetch(e->seg);
	t->delivered += tx_len(e);
	t->delivered_ns = now;
	if (!e->again && (rs->rtt_ns == 0 || now - e->sent_ns < rs->rtt_ns))
		rs->rtt_ns = LWIP_MAX(now - e->sent_ns, 1u);
	rs->needless |= t->phase == TX_TIMEOUT && e->state == TX_LOST && !e->again;
	blackhole_delivered(t, e);
	recovery_delivered(f, e, rs);
	if (e->again && now - e->sent_ns < t->min_rtt_ns)
		return; /* the first transmission's answer: when that left is not known any more */
	if (rs->any && (e->sent_ns < rs->sent_ns ||
			(e->sent_ns == rs->sent_ns && TCP_SEQ_LT(e->end, rs->end))))
		return;
	rs->any = true;
	rs->sent_ns = e->sent_ns;
	rs->end = e->end;
	rs->prior_delivered = e->delivered;
	rs->prior_lost = e->lost;
	rs->prior_ns = e->delivered_ns;
	rs->send_ns = e->sent_ns - e->first_sent_ns;
	rs->inflight = e->inflight;
	rs->app_limited = e->app_limited;
	t->first_sent_ns = e->sent_ns;
}

static void take_sacks(struct flow *f, uint32_t ack, struct rate_sample *rs)
{
	struct sender *t = &f->tx;
	unsigned int i, k;

	/* from below: a gap in the reports is no reordering */
	for (i = 1; i < t->n_sacks; i++) {
		for (k = i; k > 0 && TCP_SEQ_LT(t->sacks[k].left, t->sacks[k - 1].left); k--) {
			struct sack_block b = t->sacks[k];

			t->sacks[k] = t->sacks[k - 1];
			t->sacks[k - 1] = b;
		}
	}
	for (i = 0; i < t->n_sacks; i++) {
		const struct sack_block *b = &t->sacks[i];

		if (TCP_SEQ_LT(b->left, b->right) && TCP_SEQ_GT(b->right, ack) &&
		    TCP_SEQ_LEQ(b->right, t->high_sent)) {
			t->sack_seen = true;
			board_sack(f, b, delivered, rs);
		}
	}
}

static void finish_sample(struct sender *t, struct rate_sample *rs, uint64_t now)
{
	uint64_t interval;

	if (!rs->any)
		return;
	interval = LWIP_MAX(rs->send_ns, now - rs->prior_ns);
	rs->delivered = t->delivered - rs->prior_delivered;
	rs->lost = t->lost - rs->prior_lost;
	if (interval > 0 && interval >= t->min_rtt_ns && rs->prior_delivered >= t->reneged)
		rs->rate = rs->delivered * NS_PER_S / interval;
	if (rs->rate) {
		t->rate = rs->rate;
		t->rate_app_limited = rs->app_limited;
	}
}

/* A peer without SACK, or one that does not use it: RFC 6582. One hole per round trip takes for
 * ever if there are many, so from the fourth on everything is sent again. */
static void count_duplicates(struct flow *f, bool advanced, bool duplicate)
{
	struct sender *t = &f->tx;
	uint64_t i;

	if (advanced)
		t->dupacks = 0;
	else if (duplicate)
		t->dupacks++;
	if (t->head == t->tail || board_at(t, t->head)->state != TX_OUT)
		return;
	if (t->phase == TX_OPEN && t->dupacks >= DUPACKS) {
		t->partial_acks = 0;
		recovery_mark(f, t->head);
	} else if (t->phase == TX_RECOVERY && advanced) {
		recovery_mark(f, t->head);
		if (++t->partial_acks < PARTIAL_ACKS_MAX)
			return;
		for (i = t->head; i < t->tail; i++)
			if (board_at(t, i)->state == TX_OUT)
				recovery_mark(f, i);
	}
}

/* RFC 8985 7.4: the answer to a tail loss probe */
static void probe_answered(struct flow *f, uint32_t ack, bool duplicate)
{
	struct sender *t = &f->tx;

	if (!t->probing || TCP_SEQ_LT(ack, t->probe_end))
		return;
	t->probing = false;
	/* no duplicate was reported: the probe has repaired a loss, and nothing else has said so */
	if (t->probe_again && !duplicate && t->phase == TX_OPEN) {
		t->cc->congestion(f);
		t->cc->recovered(f);
	}
}

static void end_recovery(struct flow *f, uint32_t ack)
{
	struct sender *t = &f->tx;

	if (TCP_SEQ_LT(ack, t->recover))
		return;
	if (t->reneged == UINT64_MAX)
		t->reneged = t->delivered;
	if (t->phase == TX_OPEN)
		return;
	t->phase = TX_OPEN;
	t->cc->recovered(f);
	blackhole_recovered(f);
}

/* Who waits for room has more, and so has who waited and has not been told yet that there is some
 * (flow.c). */
static bool more_to_come(const struct flow *f)
{
	return f->want_write || (f->events & FLOW_EVENT_WRITABLE);
}

/* Nothing waits, and what is in flight is less than might be (draft-cheng-iccrg-delivery-rate-
 * estimation 3.4). */
static void note_if_idle(struct flow *f)
{
	struct sender *t = &f->tx;

	if (!f->pcb->unsent && !t->lost_list.first && t->inflight < t->cwnd)
		t->app_limited = t->delivered + LWIP_MAX(t->inflight, 1u);
}

/* The acknowledgements may not have told: if each comes just when something waits for pacing, none
 * of them sees that there was nothing before. Before pace_ns nothing could have left. */
void sender_was_idle(struct flow *f)
{
	if (f->tx.on && f->tx.inflight > 0 && f->tx.pace_ns < f->stack->now_ns)
		note_if_idle(f);
}

/* Whether a tail loss probe has made this duplicate: it tells of a late answer, not of reordering,
 * since RACK did not send it. */
static bool was_probes(const struct sender *t, const struct sack_block *duplicate)
{
	return t->probe_again && duplicate->right == t->probe_end;
}

/* Nothing is in flight, but a duplicate may be told of after the last ACK that changes something. */
static void take_late_report(struct flow *f, uint32_t ack)
{
	struct sender *t = &f->tx;
	struct rate_sample rs = {.rate = 0};

	if (!sacks_tell_duplicate(t->sacks, t->n_sacks, ack) || was_probes(t, &t->sacks[0]))
		return;
	recovery_duplicate(f, &t->sacks[0], &rs);
	recovery_undo(f, &rs);
}

/* While something is in flight */
static void take_ack(struct flow *f, uint32_t ack, bool empty)
{
	struct sender *t = &f->tx;
	const uint64_t delivered_before = t->delivered, lost_before = t->lost;
	const bool advanced = ack != f->pcb->lastack;
	const bool duplicate = sacks_tell_duplicate(t->sacks, t->n_sacks, ack);
	const struct sack_block first_block = t->sacks[0]; /* they will be sorted */
	struct rate_sample rs = {
		.prior_inflight = t->inflight, .first = f->pcb->lastack, .ack = ack};

	t->reorder_mark = t->fack;
	blackhole_acked(f, ack);
	if (advanced) {
		t->stalled = false;
		t->progress_ns = f->stack->now_ns;
		/* RFC 6298 3: when such an ACK comes says when the hole was filled, also of what
		 * had waited behind it */
		if (board_ack(f, ack, delivered, &rs))
			rs.rtt_ns = 0;
	}
	take_sacks(f, ack, &rs);
	rs.acked = (uint32_t)(t->delivered - delivered_before);
	if (t->app_limited && t->delivered > t->app_limited)
		t->app_limited = 0;
	if (rs.rtt_ns) {
		t->backoff = 0; /* RFC 6298 5.7: until then the timeout may have been too short */
		recovery_rtt(t, rs.rtt_ns, f->stack->now_ns);
	}
	if (duplicate && !was_probes(t, &first_block))
		recovery_duplicate(f, &first_block, &rs);
	recovery_undo(f, &rs);
	probe_answered(f, ack, duplicate);
	end_recovery(f, ack);
	if (t->sack_seen)
		recovery_detect(f);
	else
		count_duplicates(f, advanced, empty && !advanced);
	finish_sample(t, &rs, f->stack->now_ns);
	rs.newly_lost = (uint32_t)(t->lost - lost_before);
	if (!more_to_come(f))
		note_if_idle(f);
	if (rs.acked > 0 || rs.newly_lost > 0)
		t->cc->acked(f, &rs);
	if (rs.acked > 0 || t->head == t->tail)
		set_timer(f);
}

void stack_sender_ack(struct tcp_pcb *pcb, u32_t ack, int empty)
{
	struct flow *f = pcb->callback_arg;
	struct sender *t = f ? &f->tx : NULL;

	if (!t || !t->on || TCP_SEQ_LT(ack, pcb->lastack) || TCP_SEQ_GT(ack, t->high_sent))
		return;
	if (t->head != t->tail)
		take_ack(f, ack, empty);
	else if (t->n_sacks > 0)
		take_late_report(f, ack);
}

/* ---- timers ---- */

static void probe(struct flow *f)
{
	struct sender *t = &f->tx;

	t->probing = true;
	t->probe_again = true;
	t->forced = true;
	if (next_fits(f->pcb)) {
		t->probe_again = false;
		tcp_set_flags(f->pcb, TF_INFR); /* past Nagle's algorithm */
		tcp_output(f->pcb);
		tcp_clear_flags(f->pcb, TF_INFR);
	}
	if (t->forced) { /* nothing new has left */
		t->probe_again = true;
		resend(f, t->tail - 1);
	}
	t->forced = false;
	t->probe_end = t->high_sent;
	t->progress_ns = f->stack->now_ns;
	set_timer(f);
}

/* What is in flight is lost, and is sent again in sequence order. */
static void lose_all(struct sender *t)
{
	uint64_t i;

	for (i = t->head; i < t->tail; i++)
		if (board_at(t, i)->state == TX_OUT)
			board_lose(t, i);
	t->lost_list.first = t->lost_list.last = 0;
	for (i = t->head; i < t->tail; i++)
		if (board_at(t, i)->state == TX_LOST)
			board_relist(t, i);
}

static void timeout(struct flow *f)
{
	struct sender *t = &f->tx;

	if (blackhole_known(f)) {
		sender_restart(f);
		t->backoff = 0;
		tcp_output(f->pcb);
		return;
	}
	if (board_at(t, t->head)->state == TX_SACKED)
		board_unsack(t); /* RFC 2018 8 */
	/* a repetition of the last one, which was not undone, says nothing new */
	if (!t->stalled || t->phase != TX_TIMEOUT)
		t->cc->timeout(f);
	t->phase = TX_TIMEOUT;
	t->refuted = true;
	t->recover = t->high_sent;
	t->probing = false;
	if (blackhole_try(f))
		board_clear(t);
	else
		lose_all(t);
	t->stalled = true;
	t->backoff++;
	t->reorder_ns = 0;
	t->pace_ns = f->stack->now_ns;
	t->progress_ns = f->stack->now_ns;
	t->forced = true;
	tcp_output(f->pcb);
	t->forced = false;
	set_timer(f);
}

void sender_timer(struct flow *f)
{
	struct sender *t = &f->tx;
	uint64_t now = f->stack->now_ns;

	if (!t->on)
		return;
	if (t->reorder_ns && t->reorder_ns <= now) {
		recovery_detect(f);
		tcp_output(f->pcb);
	}
	if (t->timer_ns && t->timer_ns <= now && t->head != t->tail) {
		if (t->timer_is_probe)
			probe(f);
		else
			timeout(f);
	}
	if (t->pace_due_ns && t->pace_due_ns <= now)
		tcp_output(f->pcb);
}

void sender_hurry(struct flow *f)
{
	struct sender *t = &f->tx;

	if (t->on && t->stalled && t->timer_ns && !t->timer_is_probe)
		t->timer_ns = f->stack->now_ns;
}

uint64_t sender_due(const struct flow *f)
{
	const struct sender *t = &f->tx;
	uint64_t due = UINT64_MAX;

	if (!t->on)
		return due;
	if (t->timer_ns)
		due = t->timer_ns;
	if (t->reorder_ns && t->reorder_ns < due)
		due = t->reorder_ns;
	if (t->pace_due_ns && t->pace_due_ns < due)
		due = t->pace_due_ns;
	return due;
}

/* ---- life ---- */

void sender_start(struct flow *f)
{
	struct sender *t = &f->tx;
	struct tcp_pcb *pcb = f->pcb;

	t->on = true;
	t->reno = !(pcb->flags & TF_SACK);
	t->high_sent = pcb->snd_nxt;
	t->fack = pcb->snd_nxt;
	t->cwnd = (uint32_t)INITIAL_SEGMENTS * pcb->mss;
	t->cc = f->options.congestion == FLOW_CUBIC ? &cc_cubic : &cc_bbr;
	t->cc->init(f);
}

void sender_stop(struct flow *f)
{
	board_free(&f->tx);
	f->tx.on = false;
	f->tx.timer_ns = f->tx.reorder_ns = f->tx.pace_due_ns = 0;
}

void sender_restart(struct flow *f)
{
	board_clear(&f->tx);
	f->tx.timer_ns = f->tx.reorder_ns = 0;
	f->tx.probing = false;
	f->tx.refuted = true;
	if (f->tx.phase != TX_OPEN) {
		f->tx.phase = TX_OPEN;
		f->tx.cc->recovered(f);
	}
}
