/* SPDX-License-Identifier: MIT */
/*
 * scoreboard.c - the segments in flight
 *
 * A ring in sequence order, so that a SACK block is found by binary search and a cumulative ACK
 * removes from the front. Two lists run through it: segments in flight in the order in which they
 * last left (RACK looks at the oldest), and lost ones. Indices count from 1 and never repeat.
 *
 * A peer repeats its SACK blocks in every ACK; runs of sacked segments are skipped by the index in
 * each that leads out of the run, shortened on the way, so a repeated block costs next to nothing
 * and no peer can make an ACK cost more than the segments it newly covers, give or take.
 *
 * Who has nothing in flight keeps a ring of RING_KEPT at most. The largest one given back is spare,
 * for the next to need one: whose flight is acknowledged as a whole does not grow its ring anew.
 */
#include "stack/internal.h"

#include <assert.h>
#include <stdlib.h>

enum { RING_AT_FIRST = 4, RING_KEPT = 16 };

/* One for all, as there is one stack (stack_the) */
static struct {
	struct tx_seg *ring;
	uint64_t cap;
} spare;

bool board_reserve(struct sender *t, uint64_t n)
{
	uint64_t cap = t->cap ? t->cap : RING_AT_FIRST, i;
	struct tx_seg *ring;

	if (t->tail - t->head + n <= t->cap)
		return true;
	while (t->tail - t->head + n > cap)
		cap *= 2;
	if (cap > RING_KEPT && cap <= spare.cap) {
		ring = spare.ring;
		cap = spare.cap;
		spare.ring = NULL;
		spare.cap = 0;
	} else {
		ring = malloc(cap * sizeof(*ring));
	}
	if (!ring)
		return false;
	if (t->cap == 0)
		t->head = t->tail = 1;
	for (i = t->head; i < t->tail; i++)
		ring[i & (cap - 1)] = *board_at(t, i);
	free(t->ring);
	t->ring = ring;
	t->cap = cap;
	return true;
}

static void append(struct sender *t, struct tx_list *list, uint64_t index)
{
	struct tx_seg *e = board_at(t, index);

	e->prev = list->last;
	e->next = 0;
	if (list->last)
		board_at(t, list->last)->next = index;
	else
		list->first = index;
	list->last = index;
}

static void prepend(struct sender *t, struct tx_list *list, uint64_t index)
{
	struct tx_seg *e = board_at(t, index);

	e->prev = 0;
	e->next = list->first;
	if (list->first)
		board_at(t, list->first)->prev = index;
	else
		list->last = index;
	list->first = index;
}

static void unlink_from(struct sender *t, struct tx_list *list, struct tx_seg *e)
{
	if (e->prev)
		board_at(t, e->prev)->next = e->next;
	else
		list->first = e->next;
	if (e->next)
		board_at(t, e->next)->prev = e->prev;
	else
		list->last = e->prev;
}

/* Out of what its state says it is in. */
static void withdraw(struct sender *t, struct tx_seg *e)
{
	switch (e->state) {
	case TX_OUT:
		unlink_from(t, &t->by_time, e);
		t->inflight -= tx_len(e);
		break;
	case TX_LOST:
		unlink_from(t, &t->lost_list, e);
		break;
	default:
		t->sacked -= tx_len(e);
		t->sacked_segs--;
		break;
	}
}

struct tx_seg *board_push(struct sender *t, struct tcp_seg *seg, uint32_t seq, uint32_t end)
{
	struct tx_seg *e;

	assert(t->tail - t->head < t->cap);
	e = board_at(t, t->tail++);
	*e = (struct tx_seg){.seg = seg, .seq = seq, .end = end, .state = TX_LOST};
	append(t, &t->lost_list, t->tail - 1);
	return e;
}

void board_sent(struct sender *t, uint64_t index, uint64_t now_ns)
{
	struct tx_seg *e = board_at(t, index);

	withdraw(t, e);
	if (t->inflight == 0)
		t->first_sent_ns = t->delivered_ns = now_ns;
	e->state = TX_OUT;
	append(t, &t->by_time, index);
	t->inflight += tx_len(e);
	e->sent_ns = now_ns;
	e->first_sent_ns = t->first_sent_ns;
	e->delivered_ns = t->delivered_ns;
	e->delivered = t->delivered;
	e->lost = t->lost;
	e->inflight = t->inflight;
	e->app_limited = t->app_limited != 0;
}

void board_lose(struct sender *t, uint64_t index)
{
	struct tx_seg *e = board_at(t, index);

	withdraw(t, e);
	e->state = TX_LOST;
	append(t, &t->lost_list, index);
	t->lost += tx_len(e);
}

void board_relist(struct sender *t, uint64_t index)
{
	append(t, &t->lost_list, index);
}

void board_trim(void)
{
	free(spare.ring);
	spare.ring = NULL;
	spare.cap = 0;
}

static void give_back(struct sender *t)
{
	if (t->cap > spare.cap && t->cap > RING_KEPT) {
		free(spare.ring);
		spare.ring = t->ring;
		spare.cap = t->cap;
	} else {
		free(t->ring);
	}
	t->ring = NULL;
	t->cap = 0;
}

void board_clear(struct sender *t)
{
	t->head = t->tail;
	t->by_time = t->lost_list = (struct tx_list){0, 0};
	t->inflight = t->sacked = t->sacked_segs = t->doubted = 0;
	if (t->cap > RING_KEPT)
		give_back(t);
}

void board_free(struct sender *t)
{
	board_clear(t);
	give_back(t);
}

bool board_ack(struct flow *f, uint32_t ack, board_delivered *delivered, struct rate_sample *rs)
{
	struct sender *t = &f->tx;
	bool again = false;

	while (t->head < t->tail) {
		struct tx_seg *e = board_at(t, t->head);

		if (seq_before(ack, e->end))
			return again;
		again |= e->again;
		withdraw(t, e);
		t->head++;
		if (e->state != TX_SACKED)
			delivered(f, e, rs);
	}
	board_clear(t);
	return again;
}

/* The first index whose segment starts at or after @seq */
static uint64_t find(const struct sender *t, uint32_t seq)
{
	uint64_t low = t->head, high = t->tail;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (seq_before(board_at(t, middle)->seq, seq))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The first index from @at on that is not sacked */
static uint64_t skip_sacked(struct sender *t, uint64_t at)
{
	uint64_t end = at, next;

	while (end < t->tail && board_at(t, end)->state == TX_SACKED)
		end = board_at(t, end)->skip;
	while (at < end) {
		next = board_at(t, at)->skip;
		board_at(t, at)->skip = end;
		at = next;
	}
	return end;
}

void board_sack(struct flow *f, const struct sack_block *b, board_delivered *delivered,
		struct rate_sample *rs)
{
	struct sender *t = &f->tx;
	uint64_t at;

	if (t->head == t->tail)
		return;
	at = find(t, b->left);
	while ((at = skip_sacked(t, at)) < t->tail) {
		struct tx_seg *e = board_at(t, at);

		if (seq_before(b->right, e->end))
			break;
		withdraw(t, e);
		delivered(f, e, rs);
		e->state = TX_SACKED;
		e->skip = at + 1;
		t->sacked += tx_len(e);
		t->sacked_segs++;
	}
}

void board_unsack(struct sender *t)
{
	uint64_t i;

	t->reneged = UINT64_MAX;
	for (i = t->head; i < t->tail; i++) {
		struct tx_seg *e = board_at(t, i);

		if (e->state != TX_SACKED)
			continue;
		board_lose(t, i);
		e->again = true; /* it was delivered once */
	}
}

/* Such segments left in sequence order, and before everything that was sent again. */
void board_unlose(struct sender *t)
{
	uint64_t i;

	for (i = t->tail; i-- > t->head;) {
		struct tx_seg *e = board_at(t, i);

		if (e->state != TX_LOST || e->again)
			continue;
		withdraw(t, e);
		e->state = TX_OUT;
		prepend(t, &t->by_time, i);
		t->inflight += tx_len(e);
		e->lost = t->lost;
	}
}
