/* SPDX-License-Identifier: MIT */
/*
 * flight.h - datagrams on their way, in the order of their arrival
 */
#ifndef TEST_SIM_FLIGHT_H
#define TEST_SIM_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wg/wg.h"

enum { FLIGHT_MAX = 1 << 16 };

/**
 * struct datagram - on its way
 * @due:	When it arrives, ns; @sent: when it left
 * @order:	Among those that arrive at the same time
 */
struct datagram {
	uint64_t due, sent, order;
	struct wg_endpoint from, to;
	size_t len;
	uint8_t tos;
	uint8_t bytes[];
};

/** struct flight - a heap */
struct flight {
	struct datagram *heap[FLIGHT_MAX];
	size_t count;
	uint64_t order;
};

static inline struct datagram *flight_copy(const struct datagram *d)
{
	struct datagram *copy = malloc(sizeof(*copy) + d->len);

	if (!copy)
		abort();
	memcpy(copy, d, sizeof(*d) + d->len);
	return copy;
}

static inline bool flight_before(const struct datagram *a, const struct datagram *b)
{
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

/* False: there is no room. */
static inline bool flight_put(struct flight *f, struct datagram *d)
{
	size_t i = f->count;

	if (i == FLIGHT_MAX)
		return false;
	f->count++;
	d->order = f->order++;
	for (; i && flight_before(d, f->heap[(i - 1) / 2]); i = (i - 1) / 2)
		f->heap[i] = f->heap[(i - 1) / 2];
	f->heap[i] = d;
	return true;
}

/* The next to arrive, NULL: none. */
static inline struct datagram *flight_first(const struct flight *f)
{
	return f->count ? f->heap[0] : NULL;
}

/* Takes it out; there must be one. */
static inline struct datagram *flight_take(struct flight *f)
{
	struct datagram *first = f->heap[0], *last = f->heap[--f->count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < f->count) {
		if (child + 1 < f->count && flight_before(f->heap[child + 1], f->heap[child]))
			child++;
		if (!flight_before(f->heap[child], last))
			break;
		f->heap[i] = f->heap[child];
		i = child;
	}
	f->heap[i] = last;
	return first;
}

#endif
