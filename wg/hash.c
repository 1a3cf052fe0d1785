/* SPDX-License-Identifier: MIT */
/*
 * hash.c - BLAKE2s, HMAC and key derivation
 *
 * libb2 chooses its implementation through function pointers that it sets at the first call; the
 * store is idempotent, so threads may race to it. Its states hold key-derived material and are
 * wiped here; so is the stack after keys were derived, where libb2 leaves the last digest.
 */
#include "wg/hash.h"

#include <blake2.h>
#include <sodium.h>
#include <string.h>

enum {
	HMAC_BLOCK_BYTES = 64,
	STACK_BYTES = 2048, /* twice what libb2's functions use */
};

static_assert((int)BLAKE2S_OUTBYTES == (int)WG_HASH_BYTES, "libb2 and we agree on the digest");
static_assert((int)BLAKE2S_BLOCKBYTES == (int)HMAC_BLOCK_BYTES, "libb2 and we agree on the block");

static void update(blake2s_state *state, const struct wg_bytes *in, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (in[i].len)
			blake2s_update(state, in[i].data, in[i].len);
}

void wg_hash(uint8_t out[WG_HASH_BYTES], const struct wg_bytes *in, size_t count)
{
	blake2s_state state;

	blake2s_init(&state, WG_HASH_BYTES);
	update(&state, in, count);
	blake2s_final(&state, out, WG_HASH_BYTES);
	sodium_memzero(&state, sizeof(state));
}

void wg_mac(uint8_t out[WG_MAC_BYTES], const void *key, size_t key_len, const struct wg_bytes *in,
	    size_t count)
{
	blake2s_state state;

	blake2s_init_key(&state, WG_MAC_BYTES, key, key_len);
	update(&state, in, count);
	blake2s_final(&state, out, WG_MAC_BYTES);
	sodium_memzero(&state, sizeof(state));
}

void wg_hmac(uint8_t out[WG_HASH_BYTES], const void *key, size_t key_len, const void *in,
	     size_t len)
{
	uint8_t inner_pad[HMAC_BLOCK_BYTES] = {0}, outer_pad[HMAC_BLOCK_BYTES];
	uint8_t inner[WG_HASH_BYTES];

	if (key_len > HMAC_BLOCK_BYTES)
		wg_hash(inner_pad, &(struct wg_bytes){key, key_len}, 1);
	else if (key_len)
		memcpy(inner_pad, key, key_len);
	for (size_t i = 0; i < HMAC_BLOCK_BYTES; i++) {
		outer_pad[i] = inner_pad[i] ^ 0x5c;
		inner_pad[i] ^= 0x36;
	}
	wg_hash(inner, (const struct wg_bytes[]){{inner_pad, sizeof(inner_pad)}, {in, len}}, 2);
	wg_hash(out,
		(const struct wg_bytes[]){{outer_pad, sizeof(outer_pad)}, {inner, sizeof(inner)}},
		2);
	sodium_memzero(inner_pad, sizeof(inner_pad));
	sodium_memzero(outer_pad, sizeof(outer_pad));
	sodium_memzero(inner, sizeof(inner));
}

void wg_kdf(uint8_t *const out[], size_t count, const uint8_t key[WG_HASH_BYTES], const void *in,
	    size_t len)
{
	uint8_t secret[WG_HASH_BYTES], block[WG_HASH_BYTES + 1];
	size_t block_len = 0;

	wg_hmac(secret, key, WG_HASH_BYTES, in, len);
	for (size_t i = 0; i < count; i++) {
		block[block_len] = (uint8_t)(i + 1);
		wg_hmac(block, secret, sizeof(secret), block, block_len + 1);
		block_len = WG_HASH_BYTES;
		memcpy(out[i], block, WG_HASH_BYTES);
	}
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(block, sizeof(block));
	sodium_stackzero(STACK_BYTES);
}
