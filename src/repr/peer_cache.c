/* SPDX-License-Identifier: MIT */
/*
 * peer_cache.c - the peers of connected datagram sockets, so that not every recvfrom asks for them
 *
 * A cache and not a table: an entry is named by SO_COOKIE, unique until the machine restarts, and
 * by the generation in the tag, which changes with every connect, in whatever process. An entry
 * that matches is true, unless the peer has changed a multiple of 4096 times since without one
 * look here; one that was overwritten costs a conversation. So nothing must be purged when
 * descriptors are closed, duplicated or inherited.
 *
 * Each slot is a sequence lock: odd while it is written. Readers and writers never wait, and a slot
 * that a fork caught in mid-write is odd in the child for good, which only makes it useless.
 */
#include "src/repr/peer_cache.h"

#include <stdatomic.h>
#include <string.h>

enum { SLOTS = 64, WORDS = 5 };

struct slot {
	_Atomic uint32_t sequence;
	_Atomic uint64_t word[WORDS]; /* cookie, generation, address, address, port */
};

static struct slot slots[SLOTS];

static bool look_up(struct slot *slot, uint64_t cookie, uint64_t generation,
		    struct stack_addr *peer)
{
	uint32_t before = atomic_load_explicit(&slot->sequence, memory_order_acquire);
	uint64_t word[WORDS];

	for (int i = 0; i < WORDS; i++)
		word[i] = atomic_load_explicit(&slot->word[i], memory_order_acquire);
	if ((before & 1) || word[0] != cookie || word[1] != generation ||
	    atomic_load_explicit(&slot->sequence, memory_order_acquire) != before)
		return false;
	memcpy(peer->ip, &word[2], 16);
	peer->port = (uint16_t)word[4];
	return true;
}

static void store(struct slot *slot, uint64_t cookie, uint64_t generation,
		  const struct stack_addr *peer)
{
	uint32_t before = atomic_load_explicit(&slot->sequence, memory_order_relaxed);
	uint64_t word[WORDS] = {cookie, generation, 0, 0, peer->port};

	memcpy(&word[2], peer->ip, 16);
	if ((before & 1) || !atomic_compare_exchange_strong(&slot->sequence, &before, before + 1))
		return;
	for (int i = 0; i < WORDS; i++)
		atomic_store_explicit(&slot->word[i], word[i], memory_order_release);
	atomic_store_explicit(&slot->sequence, before + 2, memory_order_release);
}

int wgw_repr_peer(const struct wgw_repr_session *s, int fd, uint64_t tag, struct stack_addr *peer)
{
	/* Never 0, so that an empty slot matches no socket. */
	uint64_t generation = (tag & WGW_TAG_GENERATION_MASK) | WGW_TAG_CONNECTED;
	uint64_t cookie = wgw_repr_cookie(fd);
	struct slot *slot = &slots[cookie % SLOTS];
	int rc;

	if (look_up(slot, cookie, generation, peer))
		return 0;
	rc = wgw_repr_name_op(s, fd, tag, NULL, peer);
	if (rc == 0)
		store(slot, cookie, generation, peer);
	return rc;
}
