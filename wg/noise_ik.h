/* SPDX-License-Identifier: MIT */
/*
 * noise_ik.h - the cryptographic transcript of Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s
 *
 * Both messages of the pattern, written and read, over explicit prologue, keys and payload; no
 * WireGuard message layout, no peers, no state machine. WireGuard is this with the prologue
 * "WireGuard v1 zx2c4 Jason@zx2c4.com", the timestamp as first payload and an empty second one
 * (5.4.1 to 5.4.5). The separation lets the general Noise vectors check the order of operations.
 *
 * All functions return false when a tag is wrong or a Diffie-Hellman result is all zeros. Then the
 * state is no longer usable and the caller wipes it.
 */
#ifndef WG_NOISE_IK_H
#define WG_NOISE_IK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wg/messages.h"

/**
 * struct wg_noise_transcript - Noise's symmetric state without the cipher key
 * @hash:		h: digest of all that was sent
 * @chaining_key:	ck: what all Diffie-Hellman results were mixed into
 */
struct wg_noise_transcript {
	uint8_t hash[WG_HASH_BYTES];
	uint8_t chaining_key[WG_HASH_BYTES];
};

/* Where the parts of the first message lie */
struct wg_noise_first {
	uint8_t *ephemeral;	    /* WG_PUBLIC_KEY_BYTES */
	uint8_t *encrypted_static;  /* WG_PUBLIC_KEY_BYTES + WG_TAG_BYTES */
	uint8_t *encrypted_payload; /* payload_len + WG_TAG_BYTES */
	size_t payload_len;
};

/* Where the parts of the second message lie */
struct wg_noise_second {
	uint8_t *ephemeral;	    /* WG_PUBLIC_KEY_BYTES */
	uint8_t *encrypted_payload; /* payload_len + WG_TAG_BYTES */
	size_t payload_len;
};

/* Makes any 32 bytes a private key of X25519 (RFC 7748, section 5). */
static inline void wg_noise_clamp(uint8_t key[WG_PUBLIC_KEY_BYTES])
{
	key[0] &= 248;
	key[31] = (uint8_t)((key[31] & 127) | 64);
}

/* X25519 that refuses an all-zero result; @out is wiped then. */
bool wg_noise_dh(uint8_t out[WG_PUBLIC_KEY_BYTES], const uint8_t private_key[WG_PUBLIC_KEY_BYTES],
		 const uint8_t public_key[WG_PUBLIC_KEY_BYTES]);

/* Starts a transcript with @prologue towards the responder with @responder_public. */
void wg_noise_transcript_init(struct wg_noise_transcript *t, const void *prologue, size_t len,
			      const uint8_t responder_public[WG_PUBLIC_KEY_BYTES]);

/* First message, initiator. @static_static: Diffie-Hellman of both static keys, all zeros is
 * refused. */
bool wg_noise_write_first(struct wg_noise_transcript *t, const struct wg_noise_first *msg,
			  const uint8_t ephemeral_private[WG_PUBLIC_KEY_BYTES],
			  const uint8_t own_public[WG_PUBLIC_KEY_BYTES],
			  const uint8_t remote_public[WG_PUBLIC_KEY_BYTES],
			  const uint8_t static_static[WG_PUBLIC_KEY_BYTES], const void *payload);

/* First message, responder, up to the initiator's static key; @key is for the other half. */
bool wg_noise_read_first_static(struct wg_noise_transcript *t, const struct wg_noise_first *msg,
				const uint8_t own_private[WG_PUBLIC_KEY_BYTES],
				uint8_t initiator_public[WG_PUBLIC_KEY_BYTES],
				uint8_t key[WG_SYMMETRIC_KEY_BYTES]);
/* The rest of it, once @static_static of that initiator is known. Wipes @key. */
bool wg_noise_read_first_payload(struct wg_noise_transcript *t, const struct wg_noise_first *msg,
				 const uint8_t static_static[WG_PUBLIC_KEY_BYTES],
				 uint8_t key[WG_SYMMETRIC_KEY_BYTES], void *payload);

/* Second message, responder. */
bool wg_noise_write_second(struct wg_noise_transcript *t, const struct wg_noise_second *msg,
			   const uint8_t ephemeral_private[WG_PUBLIC_KEY_BYTES],
			   const uint8_t remote_ephemeral[WG_PUBLIC_KEY_BYTES],
			   const uint8_t remote_public[WG_PUBLIC_KEY_BYTES],
			   const uint8_t psk[WG_SYMMETRIC_KEY_BYTES], const void *payload);
/* Second message, initiator. */
bool wg_noise_read_second(struct wg_noise_transcript *t, const struct wg_noise_second *msg,
			  const uint8_t ephemeral_private[WG_PUBLIC_KEY_BYTES],
			  const uint8_t own_private[WG_PUBLIC_KEY_BYTES],
			  const uint8_t psk[WG_SYMMETRIC_KEY_BYTES], void *payload);

/* Keys of the session: initiator to responder, and back. */
void wg_noise_split(const struct wg_noise_transcript *t,
		    uint8_t initiator_sends[WG_SYMMETRIC_KEY_BYTES],
		    uint8_t responder_sends[WG_SYMMETRIC_KEY_BYTES]);

#endif
