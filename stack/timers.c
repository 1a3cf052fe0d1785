/* SPDX-License-Identifier: MIT */
/*
 * timers.c - connections by deadline: a binary heap
 *
 * An acknowledgement moves a connection's retransmission deadline away, thousands of times a
 * second, so a deadline that moves away stays in the heap as it is; when it comes up, the
 * connection says what is really due (demux_timer). Only one that comes nearer, or the end of all
 * deadlines of a connection, costs O(log n).
 * Heap places count from 1; 0 means not in the heap.
 */
#include "stack/internal.h"

#include <stdlib.h>

static void put(struct stack *s, size_t place, struct flow *f)
{
	s->heap[place] = f;
	f->heap = place;
}

static void up(struct stack *s, size_t place, struct flow *f)
{
	while (place > 1 && s->heap[place / 2]->due > f->due) {
		put(s, place, s->heap[place / 2]);
		place /= 2;
	}
	put(s, place, f);
}

static void down(struct stack *s, size_t place, struct flow *f)
{
	size_t child;

	while ((child = place * 2) <= s->heap_len) {
		if (child < s->heap_len && s->heap[child + 1]->due < s->heap[child]->due)
			child++;
		if (s->heap[child]->due >= f->due)
			break;
		put(s, place, s->heap[child]);
		place = child;
	}
	put(s, place, f);
}

/** timers_set() - @f is due at @due, in ns, or, if it is in the heap already, earlier */
void timers_set(struct stack *s, struct flow *f, uint64_t due)
{
	if (f->heap != 0) {
		if (due < f->due) {
			f->due = due;
			up(s, f->heap, f);
		}
		return;
	}
	/* demux_insert made room for every connection */
	f->due = due;
	s->heap_len++;
	up(s, s->heap_len, f);
}

void timers_cancel(struct stack *s, struct flow *f)
{
	size_t place = f->heap;
	struct flow *last;

	if (place == 0)
		return;
	f->heap = 0;
	last = s->heap[s->heap_len--];
	if (last == f)
		return;
	if (place > 1 && s->heap[place / 2]->due > last->due)
		up(s, place, last);
	else
		down(s, place, last);
}

/** timers_next() - the earliest deadline in ns; UINT64_MAX: none */
uint64_t timers_next(const struct stack *s)
{
	return s->heap_len > 0 ? s->heap[1]->due : UINT64_MAX;
}

void timers_run(struct stack *s)
{
	while (s->heap_len > 0 && s->heap[1]->due <= s->now_ns) {
		struct flow *f = s->heap[1];

		timers_cancel(s, f);
		demux_timer(f);
	}
}
