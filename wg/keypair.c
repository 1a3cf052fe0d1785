/* SPDX-License-Identifier: MIT */
/*
 * keypair.c - rotation of sessions
 *
 * Three slots (section 6.3). The initiator knows after the response that both sides have the keys
 * and sends with them at once: the new keypair becomes current. The responder cannot know whether
 * its response arrived: the new keypair waits in next, unused for sending, until the first
 * authenticated packet comes with it. A stranger who replays initiations can therefore never push
 * out the current session.
 *
 * While there is a next, previous is empty: packets that old have had their time. (invariant NEXT)
 *
 * A dropped keypair leaves the index table and loses its keys at once. Only handshakes and timers
 * drop one, never the packets that are received with it.
 */
#include "wg/keypair.h"

#include <sodium.h>

#include "wg/device.h"

struct wg_keypair *wg_keypairs_free_slot(struct wg_keypairs *keypairs)
{
	struct wg_keypair *kp = keypairs->slots;

	while (kp == keypairs->current || kp == keypairs->previous || kp == keypairs->next)
		kp++;
	return kp;
}

/* Empties a slot: the peer's index is gone, the keys are wiped. */
static void drop(struct wg_device *dev, struct wg_keypair **slot)
{
	struct wg_keypair *kp = *slot;

	*slot = NULL;
	if (!kp)
		return;
	wg_index_remove(dev, &kp->index);
	sodium_memzero(kp, sizeof(*kp));
}

void wg_keypairs_add(struct wg_device *dev, struct wg_keypairs *keypairs, struct wg_keypair *kp)
{
	drop(dev, &keypairs->previous);
	if (!kp->is_initiator) {
		drop(dev, &keypairs->next);
		keypairs->next = kp;
		return;
	}
	if (keypairs->next) {
		/* The peer may already send with it, while current has been given up. */
		keypairs->previous = keypairs->next;
		keypairs->next = NULL;
		drop(dev, &keypairs->current);
	} else {
		keypairs->previous = keypairs->current;
	}
	keypairs->current = kp;
}

bool wg_keypairs_confirm(struct wg_keypairs *keypairs, const struct wg_keypair *kp)
{
	if (kp != keypairs->next)
		return false;
	keypairs->previous = keypairs->current;
	keypairs->current = keypairs->next;
	keypairs->next = NULL;
	return true;
}

void wg_keypairs_clear(struct wg_device *dev, struct wg_keypairs *keypairs)
{
	drop(dev, &keypairs->next);
	drop(dev, &keypairs->current);
	drop(dev, &keypairs->previous);
}

void wg_keypairs_stop_sending(struct wg_keypairs *keypairs)
{
	struct wg_keypair *const all[] = {keypairs->current, keypairs->next, keypairs->previous};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i])
			all[i]->can_send = false;
}
