/* SPDX-License-Identifier: MIT */
/*
 * keypair.h - the keys of one session, and which sessions a peer has
 */
#ifndef WG_KEYPAIR_H
#define WG_KEYPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wg/bytes.h"
#include "wg/index.h"
#include "wg/messages.h"
#include "wg/replay.h"

/**
 * struct wg_keypair - one session
 * @index:		Our index, under which the peer sends
 * @remote_index:	The peer's, under which we send
 * @born:		When the keys were derived, ns
 * @send_key:		Valid while @can_send
 * @receive_key:	Valid while the keypair is linked
 * @can_send:		Cleared when our private key was changed
 * @is_initiator:	We began the handshake; only the initiator renews by age
 * @send_counter:	Next nonce
 * @replay:		Received counters
 * @received:		How many
 */
struct wg_keypair {
	struct wg_index index;
	uint32_t remote_index;
	uint64_t born;
	uint8_t send_key[WG_SYMMETRIC_KEY_BYTES];
	uint8_t receive_key[WG_SYMMETRIC_KEY_BYTES];
	bool can_send;
	bool is_initiator;
	uint64_t send_counter;
	struct wg_replay replay;
	uint64_t received;
};

enum { WG_KEYPAIR_SLOTS = 4 }; /* one more than are in use at any time */

/**
 * struct wg_keypairs - sessions of a peer
 * @current:	The one to send with
 * @previous:	Still received with, because packets may be under way
 * @next:	As responder: derived, but not confirmed by a packet of the initiator; not sent with
 * @slots:	Where they live; what is not pointed to is all zero
 */
struct wg_keypairs {
	struct wg_keypair *current, *previous, *next;
	struct wg_keypair slots[WG_KEYPAIR_SLOTS];
};

/* A free slot, all zero, for a session that wg_keypairs_add() will take. */
struct wg_keypair *wg_keypairs_free_slot(struct wg_keypairs *keypairs);
/* Takes @kp into @keypairs of the device: as current (initiator) or as next (responder). */
void wg_keypairs_add(struct wg_device *dev, struct wg_keypairs *keypairs, struct wg_keypair *kp);
/* An authenticated packet came with @kp. True if that confirmed it: next became current. */
bool wg_keypairs_confirm(struct wg_keypairs *keypairs, const struct wg_keypair *kp);
/* Drops all. */
void wg_keypairs_clear(struct wg_device *dev, struct wg_keypairs *keypairs);
/* Stops sending with any of them; receiving goes on. */
void wg_keypairs_stop_sending(struct wg_keypairs *keypairs);

/* The keypair that @index, of kind WG_INDEX_KEYPAIR, is embedded in. */
static inline struct wg_keypair *wg_keypair_of_index(struct wg_index *index)
{
	static_assert(offsetof(struct wg_keypair, index) == 0, "the cast below");
	return (struct wg_keypair *)index;
}

/* Whether a packet may be sent with @kp, which may be NULL. */
static inline bool wg_keypair_may_send(const struct wg_keypair *kp, uint64_t now)
{
	return kp && kp->can_send && !wg_has_expired(kp->born, WG_REJECT_AFTER_TIME_NS, now) &&
	       kp->send_counter < WG_REJECT_AFTER_MESSAGES;
}

/* Whether packets of @kp may be accepted, before the counter is looked at. */
static inline bool wg_keypair_may_receive(const struct wg_keypair *kp, uint64_t now)
{
	return !wg_has_expired(kp->born, WG_REJECT_AFTER_TIME_NS, now);
}

#endif
