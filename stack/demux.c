/* SPDX-License-Identifier: MIT */
/*
 * demux.c - one connection at a time for lwIP; the only toucher of its privates
 *
 * lwIP keeps connections in global linked lists and walks them for every segment, timer and close.
 * Here they are in our hash table instead, and lwIP never sees more than one: demux_enter makes
 * its lists hold this connection's pcb alone, demux_leave looks in which list it is afterwards
 * (active, TIME_WAIT or none) and empties them. So every walk has length one, whatever lwIP does,
 * and no lwIP code had to change for it.
 *
 * For the same reason its timers are exact and cost nothing when nothing is due: the slow timer
 * counts ticks in the pcb (rtime, persist_cnt), and demux_enter adds the ticks that have passed
 * since this connection was last entered, so tcp_slowtmr is called for a connection only at the
 * tick at which it would do something (schedule()).
 *
 * Invariants:
 *  - between calls all of lwIP's lists are empty; a pcb has one flow, its callback_arg;
 *  - lwIP's callbacks only note what happened in the flow (flow.c); nobody else runs inside
 *    lwIP, so enter and leave never nest.
 */
#include "stack/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sodium.h>

#include "lwip/ip.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"

#include "stack/lwip_port.h"
#include "stack/demux.h"
#include "stack/lwip_hooks.h"

static_assert(TCP_SLOW_INTERVAL == 10, "TICK_NS is lwIP's slow tick");
static_assert(TCP_WND <= (0xFFFFU << TCP_RCV_SCALE), "window fits its scale");

/* lwIP's timers skip a pcb whose last_timer equals their own 8-bit call counter, which is static;
 * this is that counter, and every pcb is given a value that cannot be equal. */
static uint8_t timer_calls;

uint64_t demux_tick_of(const struct stack *s)
{
	return s->now_ns / TICK_NS + 1;
}

static size_t bucket_of(const struct stack *s, const struct stack_addr *local,
			const struct stack_addr *remote)
{
	uint8_t tuple[36];
	uint64_t hash;

	memcpy(tuple, local->ip, 16);
	memcpy(tuple + 16, remote->ip, 16);
	put16(tuple + 32, local->port);
	put16(tuple + 34, remote->port);
	crypto_shorthash((unsigned char *)&hash, tuple, sizeof(tuple), s->hash_key);
	return hash & (s->n_buckets - 1);
}

struct flow *demux_find(struct stack *s, const struct stack_addr *local,
			const struct stack_addr *remote)
{
	struct flow *f = s->last_found;

	if (f && stack_addr_equal(&f->local, local) && stack_addr_equal(&f->remote, remote))
		return f;
	f = s->buckets[bucket_of(s, local, remote)];
	while (f && !(stack_addr_equal(&f->local, local) && stack_addr_equal(&f->remote, remote)))
		f = f->hash_next;
	s->last_found = f;
	return f;
}

/* Doubles the table; without memory the chains just get longer. */
static void grow(struct stack *s)
{
	struct flow **old = s->buckets;
	size_t n_old = s->n_buckets, i;

	s->buckets = calloc(n_old * 2, sizeof(*old));
	if (!s->buckets) {
		s->buckets = old;
		return;
	}
	s->n_buckets = n_old * 2;
	for (i = 0; i < n_old; i++) {
		struct flow *f = old[i], *next;

		for (; f; f = next) {
			struct flow **b = &s->buckets[bucket_of(s, &f->local, &f->remote)];

			next = f->hash_next;
			f->hash_next = *b;
			*b = f;
		}
	}
	free(old);
}

/** demux_insert() - a connection with both addresses set. Return: 0 or -ENOBUFS */
int demux_insert(struct stack *s, struct flow *f)
{
	struct flow **b;

	if (s->n_flows >= FLOWS_MAX)
		return -ENOBUFS;
	if (s->n_flows + 2 > s->heap_cap) {
		size_t cap = s->heap_cap ? s->heap_cap * 2 : 64;
		struct flow **heap = realloc(s->heap, cap * sizeof(*heap));

		if (!heap)
			return -ENOBUFS;
		s->heap = heap;
		s->heap_cap = cap;
	}
	if (s->n_flows > s->n_buckets)
		grow(s);
	b = &s->buckets[bucket_of(s, &f->local, &f->remote)];
	f->hash_next = *b;
	*b = f;
	s->n_flows++;
	s->flows_at[f->local.port]++;
	return 0;
}

static void demux_remove(struct stack *s, struct flow *f)
{
	struct flow **b = &s->buckets[bucket_of(s, &f->local, &f->remote)];

	while (*b != f)
		b = &(*b)->hash_next;
	*b = f->hash_next;
	if (s->last_found == f)
		s->last_found = NULL;
	s->n_flows--;
	s->flows_at[f->local.port]--;
}

void demux_begin(struct flow *f)
{
	f->tick = f->stack->tick;
	tcp_ticks = (u32_t)f->tick;
	f->stack->current = f;
}

/* Brings the pcb's tick counts up to @tick. */
static void advance(struct flow *f, uint64_t tick)
{
	struct tcp_pcb *pcb = f->pcb;
	uint64_t passed = tick - f->tick;

	if (passed > INT16_MAX)
		passed = INT16_MAX;
	if (pcb->rtime >= 0 && pcb->persist_backoff == 0)
		pcb->rtime = (s16_t)LWIP_MIN((uint64_t)pcb->rtime + passed, INT16_MAX);
	f->tick = tick;
	tcp_ticks = (u32_t)tick;
}

void demux_enter(struct flow *f)
{
	assert(!tcp_active_pcbs && !tcp_tw_pcbs && !tcp_listen_pcbs.pcbs);
	advance(f, f->stack->tick);
	f->stack->current = f;
	f->pcb->next = NULL;
	if (f->state == FLOW_TIME_WAIT)
		tcp_tw_pcbs = f->pcb;
	else
		tcp_active_pcbs = f->pcb;
}

/* The pcb's inactivity timer, as a tick of ours */
static uint64_t last_heard(const struct flow *f)
{
	return f->tick - (u32_t)((u32_t)f->tick - f->pcb->tmr);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* lwIP's timers, in ticks */
static uint64_t lwip_due(const struct flow *f)
{
	const struct tcp_pcb *pcb = f->pcb;
	uint64_t due = UINT64_MAX;

	if (pcb->flags & TF_CLOSEPEND)
		return f->tick + 1;
	if (pcb->persist_backoff == 0 && pcb->rtime >= 0)
		due = f->tick + (uint64_t)LWIP_MAX(pcb->rto - pcb->rtime, 1);
	else if (pcb->persist_backoff == 0 && pcb->unsent && !pcb->unacked && !f->syn_line)
		due = f->tick + RTO_MIN_TICKS;
	if (pcb->state == SYN_RCVD)
		return earlier(due, last_heard(f) + TCP_SYN_RCVD_TIMEOUT / TCP_SLOW_INTERVAL + 1);
	if (pcb->state == LAST_ACK)
		return earlier(due, last_heard(f) + 2 * TCP_MSL / TCP_SLOW_INTERVAL + 1);
	return due;
}

static uint64_t keepalive_due(const struct flow *f)
{
	const struct tcp_pcb *pcb = f->pcb;
	uint64_t idle_ms = pcb->keep_idle + (uint64_t)pcb->keep_cnt_sent * pcb->keep_intvl;

	if (!(pcb->so_options & SOF_KEEPALIVE) ||
	    (pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT))
		return UINT64_MAX;
	return last_heard(f) + idle_ms / TCP_SLOW_INTERVAL + 1;
}

/* 0 means: not running. */
static uint64_t if_set(uint64_t due)
{
	return due ? due : UINT64_MAX;
}

/* Window probes: from the least RTO, doubling to RTO_MAX_TICKS, as Linux's. lwIP's own table is in
 * ticks and much too fast with ours. */
static void persist(struct flow *f)
{
	struct tcp_pcb *pcb = f->pcb;

	if (!pcb->unsent) /* the last byte was acknowledged as a probe; lwIP would go on */
		pcb->persist_backoff = 0;
	pcb->persist_cnt = 0;
	if (pcb->persist_backoff == 0) {
		f->persist_due = 0;
		f->persist_shift = 0;
	} else if (f->persist_due == 0) {
		f->persist_due = f->tick + LWIP_MIN((uint64_t)RTO_MIN_TICKS << f->persist_shift,
						    RTO_MAX_TICKS);
		if (f->persist_shift < 10)
			f->persist_shift++;
	}
}

/* RFC 6298 with Linux's bounds. lwIP has no lower bound, doubles what is below it, and does not
 * double a SYN's. */
static s16_t timeout_of(const struct tcp_pcb *pcb)
{
	int rto = LWIP_MAX((pcb->sa >> 3) + pcb->sv, RTO_MIN_TICKS);

	if (pcb->state == SYN_SENT)
		rto = SYN_RTO_TICKS;
	if (pcb->flags & TF_RTO) /* fast retransmissions do not back off */
		rto <<= LWIP_MIN(pcb->nrtx, 10);
	return (s16_t)LWIP_MIN(rto, RTO_MAX_TICKS);
}

/* When a tick begins */
static uint64_t ns_of(uint64_t tick)
{
	return tick == UINT64_MAX ? tick : (tick - 1) * TICK_NS;
}

/* Corrects what lwIP computes and notes when the connection has to be looked at again. */
static void schedule(struct flow *f)
{
	struct tcp_pcb *pcb = f->pcb;
	uint64_t due;

	pcb->rto = timeout_of(pcb);
	if (f->tx.on)
		pcb->rtime = -1; /* sender.c has its own */
	if (!(pcb->flags & TF_ACK_DELAY))
		f->ack_due = 0;
	else if (f->ack_due == 0)
		f->ack_due = f->tick + DELAYED_ACK_TICKS;
	persist(f);
	flow_timeouts(f);
	flow_room_made(f);
	due = earlier(lwip_due(f), keepalive_due(f));
	due = earlier(due, earlier(if_set(f->ack_due), if_set(f->persist_due)));
	due = earlier(due, earlier(if_set(f->give_up), if_set(f->stall_due)));
	f->tick_due = due <= f->tick ? f->tick + 1 : due;
	due = earlier(ns_of(f->tick_due), earlier(sender_due(f), if_set(f->held_due_ns)));
	if (due == UINT64_MAX)
		timers_cancel(f->stack, f);
	else
		timers_set(f->stack, f, due <= f->stack->now_ns ? f->stack->now_ns + 1 : due);
}

static void begin_time_wait(struct flow *f)
{
	struct stack *s = f->stack;

	f->state = FLOW_TIME_WAIT;
	timers_cancel(s, f);
	sender_stop(f);
	f->wait_until = f->tick + 2 * TCP_MSL / TCP_SLOW_INTERVAL;
	f->wait_next = NULL;
	*s->waiting_tail = f;
	s->waiting_tail = &f->wait_next;
	s->n_waiting++;
	s->stats.tcp_flows--;
	flow_finished(f, 0);
}

void demux_leave(struct flow *f)
{
	struct tcp_pcb *active = tcp_active_pcbs, *waiting = tcp_tw_pcbs;

	tcp_active_pcbs = tcp_tw_pcbs = NULL;
	tcp_listen_pcbs.pcbs = NULL;
	f->stack->current = NULL;
	if (!f->pcb) { /* lwIP has called flow.c's error callback */
		assert(!active && !waiting);
		return;
	}
	assert(active == f->pcb || waiting == f->pcb);
	window_settle(f);
	if (waiting) {
		if (f->state != FLOW_TIME_WAIT)
			begin_time_wait(f);
		return;
	}
	if (f->reset_due) {
		demux_drop(f, true);
		demux_end(f, ECONNRESET);
		return;
	}
	schedule(f);
}

/* The connection's lwIP side is gone. */
void demux_gone(struct flow *f)
{
	timers_cancel(f->stack, f);
	syns_forget(f);
	demux_remove(f->stack, f);
	sender_stop(f);
	gro_drop(f);
	flow_tx_dropped(f);
	window_closed(f);
	if (f->state == FLOW_HALF_OPEN && f->listener) /* listener_forget() comes when it is over */
		f->listener->half_open--;
	f->pcb = NULL;
	f->held_len = 0;
	f->held_due_ns = 0;
	if (f->state != FLOW_TIME_WAIT)
		f->stack->stats.tcp_flows--;
}

void demux_drop(struct flow *f, bool reset)
{
	struct tcp_pcb *pcb = f->pcb;

	if (!pcb)
		return;
	acks_flush(f);
	demux_enter(f);
	tcp_err(pcb, NULL);
	tcp_clear_flags(pcb, TF_ACK_DELAY | TF_ACK_NOW); /* lwIP would send it before the RST */
	tcp_abandon(pcb, reset && f->state != FLOW_TIME_WAIT);
	tcp_active_pcbs = tcp_tw_pcbs = NULL;
	f->stack->current = NULL;
	demux_gone(f);
	f->state = FLOW_OVER;
}

void demux_end(struct flow *f, int err)
{
	f->state = FLOW_OVER;
	flow_finished(f, err);
}

void demux_abandon(struct flow *f)
{
	if (f->pcb) {
		tcp_err(f->pcb, NULL);
		tcp_abandon(f->pcb, 0);
	}
	tcp_active_pcbs = tcp_tw_pcbs = NULL;
	f->stack->current = NULL;
	demux_gone(f);
}

/* TIME_WAITs whose time is over, or the oldest if there are too many. No timer of the
 * stack's wakes anybody for this: it happens when there is something else to do, or in stack_trim. */
void demux_wait_expire(struct stack *s, bool all)
{
	while (s->waiting &&
	       (all || s->n_waiting > TIME_WAIT_MAX || s->waiting->wait_until <= s->tick)) {
		struct flow *f = s->waiting;

		s->waiting = f->wait_next;
		if (!s->waiting)
			s->waiting_tail = &s->waiting;
		s->n_waiting--;
		demux_drop(f, false);
		if (!f->ops && f->events == 0) /* closed() has been called */
			flow_free(f);
	}
}

/* One tick of lwIP's slow timer for the entered connection. */
static void slow_tick(struct flow *f)
{
	struct tcp_pcb *pcb = f->pcb;

	if (f->persist_due && f->persist_due <= f->tick) {
		f->persist_due = 0;
		pcb->persist_cnt = UINT8_MAX;
	}
	/* tcp_slowtmr counts this tick itself */
	if (pcb->rtime > 0 && pcb->persist_backoff == 0)
		pcb->rtime--;
	tcp_ticks = (u32_t)f->tick - 1;
	pcb->last_timer = timer_calls++;
	tcp_slowtmr();
}

/* The flow's turn in the heap: our timeouts, then lwIP's timers. */
void demux_timer(struct flow *f)
{
	int err;

	if (flow_overdue(f, &err)) {
		demux_drop(f, false);
		demux_end(f, err);
		return;
	}
	if (f->held_due_ns && f->held_due_ns <= f->stack->now_ns)
		acks_flush(f);
	demux_enter(f);
	if (f->ack_due && f->ack_due <= f->tick) {
		acks_unanswered(f);
		tcp_ack_now(f->pcb);
		tcp_output(f->pcb);
		tcp_clear_flags(f->pcb, TF_ACK_DELAY | TF_ACK_NOW);
	}
	if (f->pcb->flags & TF_CLOSEPEND) {
		f->pcb->last_timer = timer_calls++;
		tcp_fasttmr();
	}
	sender_timer(f);
	if (f->tick_due <= f->tick)
		slow_tick(f);
	demux_leave(f);
}

void stack_path_restored(struct stack *s, bool (*via)(void *ctx, const struct stack_addr *remote),
			 void *ctx)
{
	for (struct flow *f = s->flows; f; f = f->all_next) {
		bool syn =
			f->pcb && f->state == FLOW_CONNECTING && f->pcb->nrtx > 0 && !f->syn_line;

		if (!f->pcb || (!syn && !f->tx.stalled) || !via(ctx, &f->remote))
			continue;
		demux_enter(f);
		if (syn) /* the next tick finds it due */
			f->pcb->rtime = f->pcb->rto;
		else
			sender_hurry(f);
		demux_leave(f);
	}
}

void demux_segment(struct pbuf *p, const struct stack_addr *from, const struct stack_addr *to)
{
	lwip_port_current(from, to);
	tcp_input(p, ip_current_input_netif());
}

static void segment_alone(const struct ip_packet *p)
{
	struct pbuf *buf = pbuf_alloc(PBUF_RAW, (u16_t)p->payload_len, PBUF_RAM);

	if (!buf)
		return;
	memcpy(buf->payload, p->payload, p->payload_len);
	demux_segment(buf, &p->from, &p->to);
}

static bool is_syn(const struct ip_packet *p)
{
	return (p->payload[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

/* In TIME_WAIT, and its owner has let go of it */
static bool only_waits(const struct flow *f)
{
	return f->state == FLOW_TIME_WAIT && !f->ops && f->events == 0;
}

/* RFC 1122 4.2.2.13: a new SYN above the old connection's window ends its TIME_WAIT. */
static bool reopens(const struct flow *f, const struct ip_packet *p)
{
	uint32_t seq = get32(p->payload + 4);

	return only_waits(f) && is_syn(p) && TCP_SEQ_GT(seq, f->pcb->rcv_nxt);
}

static void forget_waiting(struct stack *s, struct flow *f)
{
	struct flow **at = &s->waiting;

	while (*at != f)
		at = &(*at)->wait_next;
	*at = f->wait_next;
	if (!*at)
		s->waiting_tail = at;
	s->n_waiting--;
	demux_drop(f, false);
	flow_free(f);
}

bool demux_give_way(struct stack *s, struct flow *f)
{
	const struct tcp_pcb *pcb = f->pcb;
	uint32_t isn;

	if (!only_waits(f))
		return false;
	isn = stack_tcp_isn(&pcb->local_ip, pcb->local_port, &pcb->remote_ip, pcb->remote_port);
	if (!TCP_SEQ_GT(isn, pcb->snd_nxt))
		return false;
	forget_waiting(s, f);
	return true;
}

void demux_touch(struct flow *f)
{
	struct stack *s = f->stack;

	if (f->touched_prev)
		return;
	f->touched_next = s->touched;
	f->touched_prev = &s->touched;
	if (s->touched)
		s->touched->touched_prev = &f->touched_next;
	s->touched = f;
}

void demux_untouch(struct flow *f)
{
	if (!f->touched_prev)
		return;
	*f->touched_prev = f->touched_next;
	if (f->touched_next)
		f->touched_next->touched_prev = f->touched_prev;
	f->touched_prev = NULL;
}

void demux_flush(struct stack *s)
{
	struct flow *f, *next;

	for (f = s->touched; f; f = next) {
		next = f->touched_next;
		gro_flush(f);
	}
}

static void acknowledge(struct flow *f)
{
	f->ack_wanted = false;
	if (!f->pcb || f->state == FLOW_TIME_WAIT || !(f->pcb->flags & TF_ACK_DELAY))
		return;
	demux_enter(f);
	tcp_ack_now(f->pcb);
	tcp_output(f->pcb);
	demux_leave(f);
}

/** demux_batch_end() - what was held back for the batch leaves */
void demux_batch_end(struct stack *s)
{
	struct flow *f;

	for (f = s->touched; f; f = f->touched_next)
		if (f->ack_wanted)
			acknowledge(f);
	s->in_batch = false;
	while ((f = s->touched) != NULL) {
		demux_untouch(f);
		acks_settle(f);
	}
}

/** demux_input() - a TCP segment that passed the fence */
void demux_input(struct stack *s, const struct ip_packet *p)
{
	struct stack_addr local = p->to, remote = p->from;
	struct flow_listener *l;
	struct flow *f;

	remote.port = get16(p->payload);
	local.port = get16(p->payload + 2);
	f = demux_find(s, &local, &remote);
	l = !f || reopens(f, p) ? listener_find(s, &local, is_syn(p)) : NULL;
	if (f && l) {
		forget_waiting(s, f);
		f = NULL;
	}
	if (f) {
		if (!(p->payload[TCP_FLAGS_AT] & (TCP_ACK | TCP_SYN | TCP_RST)))
			return; /* RFC 9293 3.10.7.4, fifth; lwIP would take its data */
		if (s->rx_bytes >= RX_DROP_BYTES && f->rx_bytes > 0 &&
		    p->payload_len > tcp_header_len(p->payload))
			return;
		demux_touch(f);
		f->rx_segs++;
		if (gro_take(f, p))
			return;
		if (!f->pcb)
			return; /* what had waited ended the connection */
		sender_note_options(f, p->payload + TCP_HEADER_BYTES,
				    p->payload + tcp_header_len(p->payload));
		demux_enter(f);
		segment_alone(p);
		demux_leave(f);
	} else if (l) {
		listener_input(l, p);
	} else {
		segment_alone(p); /* lwIP finds nothing and answers with RST */
	}
}

/* The pcb that lwIP made for a listener's SYN, or NULL; lwIP's lists are empty again. */
struct tcp_pcb *demux_listen(struct tcp_pcb_listen *l, const struct ip_packet *p)
{
	struct tcp_pcb *made;

	tcp_ticks = (u32_t)stack_the->tick;
	l->next = NULL;
	tcp_listen_pcbs.listen_pcbs = l;
	segment_alone(p);
	made = tcp_active_pcbs;
	tcp_active_pcbs = NULL;
	tcp_listen_pcbs.pcbs = NULL;
	return made;
}

void demux_discard(struct tcp_pcb *pcb)
{
	pcb->next = NULL;
	tcp_active_pcbs = pcb;
	tcp_abandon(pcb, 0);
	demux_clear();
}

void demux_listener_free(struct tcp_pcb_listen *l)
{
	l->next = NULL;
	tcp_listen_pcbs.listen_pcbs = l;
	tcp_close((struct tcp_pcb *)l);
	demux_clear();
}

void demux_clear(void)
{
	tcp_active_pcbs = tcp_tw_pcbs = tcp_bound_pcbs = NULL;
	tcp_listen_pcbs.pcbs = NULL;
}
