/* SPDX-License-Identifier: MIT */
/*
 * messages.h - the WireGuard protocol: constants and layouts, and nothing else
 *
 * Section numbers are those of the WireGuard whitepaper. All integers on the wire are
 * little-endian; the structs hold them as bytes, as they lie on the wire (wg_get_le32 and others in
 * bytes.h), and have no padding. Times are nanoseconds where the name ends in _NS.
 */
#ifndef WG_MESSAGES_H
#define WG_MESSAGES_H

#include <assert.h>
#include <stdint.h>

enum {
	WG_PUBLIC_KEY_BYTES = 32,
	WG_HASH_BYTES = 32, /* BLAKE2s output */
	WG_MAC_BYTES = 16,  /* keyed BLAKE2s output for mac1, mac2 and the cookie */
	WG_TAG_BYTES = 16,  /* Poly1305 */
	WG_SYMMETRIC_KEY_BYTES = 32,
	WG_TIMESTAMP_BYTES = 12, /* TAI64N */
	WG_COOKIE_BYTES = 16,
	WG_COOKIE_NONCE_BYTES = 24,
	WG_PADDING_BYTES = 16, /* data is zero padded to a multiple of this (5.4.6) */
};

/* Section 6.1, and the limits that the reference implementation adds */
#define WG_NS_PER_S		1000000000ULL
#define WG_NS_PER_MS		1000000ULL
#define WG_REKEY_AFTER_MESSAGES (1ULL << 60)
#define WG_REKEY_AFTER_TIME_NS	(120 * WG_NS_PER_S)
#define WG_REJECT_AFTER_TIME_NS (180 * WG_NS_PER_S)
#define WG_REKEY_TIMEOUT_NS	(5 * WG_NS_PER_S)
/* Not of the protocol: an answer takes no longer than this, besides the keepalive timeout. */
#define WG_SILENCE_MARGIN_NS	    (2 * WG_NS_PER_S)
#define WG_KEEPALIVE_TIMEOUT_NS	    (10 * WG_NS_PER_S)
#define WG_ZERO_KEYS_AFTER_NS	    (3 * WG_REJECT_AFTER_TIME_NS)
#define WG_COOKIE_SECRET_MAX_AGE_NS (120 * WG_NS_PER_S)
#define WG_COOKIE_LATENCY_NS	    (5 * WG_NS_PER_S)

enum {
	WG_REKEY_ATTEMPT_MAX = 90 / 5, /* retries before the last one; 20 initiations in all */
	WG_TIMER_JITTER_MS = 333,      /* added to retransmissions, uniformly from 0 */
	WG_INITIATIONS_PER_S = 50,     /* consumed per peer */
	WG_STAGED_PACKETS_MAX = 128,   /* per peer, the oldest is dropped */
	WG_COUNTER_BITS_TOTAL = 8192,  /* of the replay bitmap (RFC 6479) */
	WG_COUNTER_WINDOW = WG_COUNTER_BITS_TOTAL - 64, /* of these usable at any time */
	WG_HANDSHAKE_TOS = 0x88,			/* DSCP AF41, ECN not capable */
	WG_ECN_MASK = 0x03,
};
#define WG_REJECT_AFTER_MESSAGES (UINT64_MAX - WG_COUNTER_WINDOW - 1)

/** enum wg_message_type - first byte of a message; the three bytes after it are zero */
enum wg_message_type {
	WG_MESSAGE_INVALID = 0, /* not on the wire */
	WG_MESSAGE_INITIATION = 1,
	WG_MESSAGE_RESPONSE = 2,
	WG_MESSAGE_COOKIE = 3,
	WG_MESSAGE_DATA = 4,
};

/* The last bytes of initiation and response (5.4.4) */
struct wg_message_macs {
	uint8_t mac1[WG_MAC_BYTES];
	uint8_t mac2[WG_MAC_BYTES];
};

/* First message: initiator to responder (5.4.2) */
struct wg_message_initiation {
	uint8_t type[4];
	uint8_t sender[4];
	uint8_t ephemeral[WG_PUBLIC_KEY_BYTES];
	uint8_t encrypted_static[WG_PUBLIC_KEY_BYTES + WG_TAG_BYTES];
	uint8_t encrypted_timestamp[WG_TIMESTAMP_BYTES + WG_TAG_BYTES];
	struct wg_message_macs macs;
};

/* Second message: responder to initiator (5.4.3) */
struct wg_message_response {
	uint8_t type[4];
	uint8_t sender[4];
	uint8_t receiver[4];
	uint8_t ephemeral[WG_PUBLIC_KEY_BYTES];
	uint8_t encrypted_nothing[WG_TAG_BYTES];
	struct wg_message_macs macs;
};

/* Under load: come again with this cookie (5.4.7) */
struct wg_message_cookie {
	uint8_t type[4];
	uint8_t receiver[4];
	uint8_t nonce[WG_COOKIE_NONCE_BYTES];
	uint8_t encrypted_cookie[WG_COOKIE_BYTES + WG_TAG_BYTES];
};

/* Transport data (5.4.6): followed by ciphertext and tag */
struct wg_message_data {
	uint8_t type[4];
	uint8_t receiver[4];
	uint8_t counter[8];
};

enum {
	WG_DATA_OVERHEAD_BYTES = sizeof(struct wg_message_data) + WG_TAG_BYTES,
	WG_HANDSHAKE_BYTES_MAX = sizeof(struct wg_message_initiation),
};

static_assert(sizeof(struct wg_message_initiation) == 148, "initiation layout");
static_assert(sizeof(struct wg_message_response) == 92, "response layout");
static_assert(sizeof(struct wg_message_cookie) == 64, "cookie reply layout");
static_assert(sizeof(struct wg_message_data) == 16, "data header layout");

#endif
