/* SPDX-License-Identifier: MIT */
/*
 * replay.h - sliding window over received counters (RFC 6479)
 */
#ifndef WG_REPLAY_H
#define WG_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "wg/messages.h"

/**
 * struct wg_replay - which counters were seen
 * @next:	Greatest counter seen, plus one; 0: none yet
 * @bitmap:	Ring of bits, one a counter; all zero at first
 */
struct wg_replay {
	uint64_t next;
	uint64_t bitmap[WG_COUNTER_BITS_TOTAL / 64];
};

/* Whether @counter is fresh: inside the window, not seen before, below
 * WG_REJECT_AFTER_MESSAGES. Marks it as seen. Call it after authentication only. */
bool wg_replay_accept(struct wg_replay *replay, uint64_t counter);

#endif
