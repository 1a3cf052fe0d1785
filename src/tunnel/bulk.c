/* SPDX-License-Identifier: MIT */
/*
 * bulk.c - when the loop rests between two turns, so that the next one moves more
 *
 * While data streams in, the kernel would wake us for every few dozen datagrams, and we the reader
 * and, with an ACK, the sender. So the loop rests between turns, as network cards put off
 * interrupts. Whoever writes, requests perhaps, is not kept waiting.
 *
 * While several connections stream out, each program that has written wakes us, and each turn takes
 * a little from each: with eight of them a rest saves a third of the wake-ups and 2 to 9 % of the
 * time. One connection alone gains nothing: its turns are as large as its program's socket, and its
 * program waits while we rest. Who writes little, requests perhaps, ends the rests.
 */
#include "src/tunnel/bulk.h"

#include <stdbool.h>

static bool is_much(uint64_t bytes)
{
	return bytes >= WGW_BULK_MIN_BYTES;
}

/* A turn as of a bulk transfer; whether there were enough of them, and it is worth a rest */
static bool count(unsigned int *turns, uint64_t bytes)
{
	if (*turns < WGW_BULK_TURNS)
		++*turns;
	return *turns == WGW_BULK_TURNS && bytes < WGW_BULK_MAX_BYTES;
}

uint64_t wgw_bulk_rest_ns(struct wgw_bulk *b, const struct wgw_moved *moved)
{
	uint64_t received = moved->received - b->before.received;
	uint64_t written = moved->written - b->before.written;
	bool several = moved->writers != b->before.writers, rests = false;

	b->before = *moved;
	if (written > 0) {
		b->receiving = 0;
		if (!is_much(written))
			b->writing = 0;
		else if (several)
			rests = count(&b->writing, written);
	} else if (is_much(received)) {
		rests = count(&b->receiving, received);
	}
	return rests ? WGW_BULK_REST_US * UINT64_C(1000) : 0;
}
