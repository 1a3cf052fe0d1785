/* SPDX-License-Identifier: MIT */
/*
 * handshake.h - WireGuard's handshake messages, and how they become a session (5.4.1 to 5.4.5)
 */
#ifndef WG_HANDSHAKE_H
#define WG_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "wg/index.h"
#include "wg/messages.h"
#include "wg/noise_ik.h"

struct wg_device;
struct wg_peer;

enum wg_handshake_state {
	WG_HANDSHAKE_ZEROED,
	WG_HANDSHAKE_CREATED_INITIATION,
	WG_HANDSHAKE_CONSUMED_INITIATION,
	WG_HANDSHAKE_CREATED_RESPONSE,
	WG_HANDSHAKE_CONSUMED_RESPONSE,
};

/**
 * struct wg_handshake - the handshake under way, and the keys that all of a peer's share
 * @state:		What happened last; every step requires the one before it
 * @index:		Ours, in the device's table while a message of the peer may name it
 * @remote_index:	The peer's
 * @transcript:		Wiped when the handshake ends
 * @ephemeral_private:	Ours as initiator; likewise
 * @remote_ephemeral:	The initiator's, as responder; likewise
 * @remote_static:	The peer's public key
 * @static_static:	Diffie-Hellman of both static keys; all zeros: the peer's key is no good
 * @psk:		All zeros: none
 * @latest_timestamp:	Greatest received; older and equal ones are replays
 * @consume_allowed_at:	ns; limits the initiations worked on per peer
 * @sent_timestamp:	Greatest sent
 */
struct wg_handshake {
	enum wg_handshake_state state;
	struct wg_index index;
	uint32_t remote_index;
	struct wg_noise_transcript transcript;
	uint8_t ephemeral_private[WG_PUBLIC_KEY_BYTES];
	uint8_t remote_ephemeral[WG_PUBLIC_KEY_BYTES];
	uint8_t remote_static[WG_PUBLIC_KEY_BYTES];
	uint8_t static_static[WG_PUBLIC_KEY_BYTES];
	uint8_t psk[WG_SYMMETRIC_KEY_BYTES];
	uint8_t latest_timestamp[WG_TIMESTAMP_BYTES];
	uint64_t consume_allowed_at;
	uint8_t sent_timestamp[WG_TIMESTAMP_BYTES];
};

/* Computes static_static anew. Call it when either static key was set. */
void wg_handshake_precompute(struct wg_handshake *hs,
			     const uint8_t own_private[WG_PUBLIC_KEY_BYTES]);
/* Forgets the handshake under way; keys and timestamps stay. */
void wg_handshake_clear(struct wg_handshake *hs, struct wg_device *dev);

/* The macs are left to wg_cookie_add_macs(). False: the peer's key is no good. */
bool wg_handshake_create_initiation(struct wg_peer *peer, struct wg_message_initiation *msg);
/* Returns who sent it, or NULL: unknown, forged, a replay, or too many. */
struct wg_peer *wg_handshake_consume_initiation(struct wg_device *dev,
						struct wg_message_initiation *msg);
bool wg_handshake_create_response(struct wg_peer *peer, struct wg_message_response *msg);
/* Returns who sent it, or NULL: no such handshake, or forged. */
struct wg_peer *wg_handshake_consume_response(struct wg_device *dev,
					      struct wg_message_response *msg);
/* Turns a finished handshake into a keypair of the peer. False: it is not finished. */
bool wg_handshake_begin_session(struct wg_peer *peer);

/* TAI64N of @ts, coarse enough not to give the clock away (section 5.1). */
void wg_handshake_timestamp(uint8_t out[WG_TIMESTAMP_BYTES], const struct timespec *ts);

#endif
