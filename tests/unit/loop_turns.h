/* SPDX-License-Identifier: MIT */
/* loop_turns.h - counts the turns of a loop: one that is busy without work makes thousands */
#ifndef TESTS_UNIT_LOOP_TURNS_H
#define TESTS_UNIT_LOOP_TURNS_H

#include <stdbool.h>

#include "src/base/loop.h"

/** struct turns - how often the loop was about to sleep */
struct turns {
	struct wgw_before before;
	unsigned int n;
};

static inline bool count_turn(struct wgw_before *b)
{
	wgw_container(b, struct turns, before)->n++;
	return false;
}

#endif
