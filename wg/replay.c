/* SPDX-License-Identifier: MIT */
/*
 * replay.c - sliding window over received counters
 *
 * The bitmap is a ring of 64-bit blocks, addressed by the counter's own bits. Advancing clears
 * whole blocks, so one block's worth of the ring is not usable as window (RFC 6479): of 8192 bits,
 * 8128 are. Counters are kept plus one, so that zero means "none seen".
 */
#include "wg/replay.h"

enum { BLOCKS = WG_COUNTER_BITS_TOTAL / 64 };

static_assert((BLOCKS & (BLOCKS - 1)) == 0, "blocks are addressed by masking");

/* Moves the window so that @place is its greatest. */
static void advance(struct wg_replay *replay, uint64_t place)
{
	uint64_t old_block = replay->next / 64, new_block = place / 64;
	uint64_t stale = new_block - old_block;

	if (stale > BLOCKS)
		stale = BLOCKS;
	for (uint64_t i = 1; i <= stale; i++)
		replay->bitmap[(old_block + i) % BLOCKS] = 0;
	replay->next = place;
}

bool wg_replay_accept(struct wg_replay *replay, uint64_t counter)
{
	uint64_t place = counter + 1, bit, *block;

	if (counter >= WG_REJECT_AFTER_MESSAGES || replay->next > WG_REJECT_AFTER_MESSAGES)
		return false;
	if (place > replay->next)
		advance(replay, place);
	else if (replay->next - place > WG_COUNTER_WINDOW)
		return false;

	block = &replay->bitmap[place / 64 % BLOCKS];
	bit = 1ULL << (place % 64);
	if (*block & bit)
		return false;
	*block |= bit;
	return true;
}
