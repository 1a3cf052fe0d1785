/* SPDX-License-Identifier: MIT */
/*
 * hash.h - BLAKE2s as WireGuard uses it: plain, keyed, inside HMAC, and as key derivation
 *
 * BLAKE2s itself is libb2's. The functions cannot fail: sizes are within what libb2 accepts.
 */
#ifndef WG_HASH_H
#define WG_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "wg/messages.h"

/** struct wg_bytes - a piece of input, borrowed */
struct wg_bytes {
	const void *data;
	size_t len;
};

/* HASH of the concatenation of @count pieces (5.4). @out may be part of the input. */
void wg_hash(uint8_t out[WG_HASH_BYTES], const struct wg_bytes *in, size_t count);
/* MAC: keyed BLAKE2s with 16 bytes of output; @key has 1 to 32 bytes. */
void wg_mac(uint8_t out[WG_MAC_BYTES], const void *key, size_t key_len, const struct wg_bytes *in,
	    size_t count);
/* HMAC (RFC 2104) over BLAKE2s. */
void wg_hmac(uint8_t out[WG_HASH_BYTES], const void *key, size_t key_len, const void *in,
	     size_t len);
/* KDF_n: @count (1 to 3) outputs of 32 bytes. An output may be @key or @in itself. */
void wg_kdf(uint8_t *const out[], size_t count, const uint8_t key[WG_HASH_BYTES], const void *in,
	    size_t len);

#endif
