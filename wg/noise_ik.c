/* SPDX-License-Identifier: MIT */
/*
 * noise_ik.c - the cryptographic transcript of Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s
 *
 *   <- s                       the responder's static key is known beforehand
 *   -> e, es, s, ss            first message: initiator's ephemeral and static keys
 *   <- e, ee, se, psk          second message
 *
 * The helpers below are Noise's own words: MixHash, MixKey, EncryptAndHash, DecryptAndHash. The
 * cipher key lives in the function that uses it, not in the transcript, because each key encrypts
 * one piece only (nonce 0); so nothing but the two digests has to survive between messages.
 *
 * Lengths are small constants of the caller. Every function wipes its keys on every way out.
 */
#include "wg/noise_ik.h"

#include <sodium.h>
#include <string.h>

#include "wg/hash.h"

enum { STACK_BYTES = 4096 }; /* more than libsodium's frames, which keep words of the key */

static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
static const uint8_t zero_nonce[crypto_aead_chacha20poly1305_IETF_NPUBBYTES];

static_assert(crypto_aead_chacha20poly1305_IETF_KEYBYTES == WG_SYMMETRIC_KEY_BYTES, "key size");
static_assert(crypto_aead_chacha20poly1305_IETF_ABYTES == WG_TAG_BYTES, "tag size");
static_assert(crypto_scalarmult_curve25519_BYTES == WG_PUBLIC_KEY_BYTES, "point size");

bool wg_noise_dh(uint8_t out[WG_PUBLIC_KEY_BYTES], const uint8_t private_key[WG_PUBLIC_KEY_BYTES],
		 const uint8_t public_key[WG_PUBLIC_KEY_BYTES])
{
	/* libsodium fails exactly when the result is all zeros. */
	if (crypto_scalarmult_curve25519(out, private_key, public_key) == 0)
		return true;
	sodium_memzero(out, WG_PUBLIC_KEY_BYTES);
	return false;
}

static void mix_hash(struct wg_noise_transcript *t, const void *data, size_t len)
{
	const struct wg_bytes in[] = {{t->hash, WG_HASH_BYTES}, {data, len}};

	wg_hash(t->hash, in, 2);
}

/* MixKey; @key may be NULL when the next piece does not use it. */
static void mix_key(struct wg_noise_transcript *t, uint8_t *key, const uint8_t *data)
{
	uint8_t *const out[] = {t->chaining_key, key};

	wg_kdf(out, key ? 2 : 1, t->chaining_key, data, WG_PUBLIC_KEY_BYTES);
}

static bool mix_dh(struct wg_noise_transcript *t, uint8_t *key, const uint8_t *private_key,
		   const uint8_t *public_key)
{
	uint8_t shared[WG_PUBLIC_KEY_BYTES];
	bool ok = wg_noise_dh(shared, private_key, public_key);

	if (ok)
		mix_key(t, key, shared);
	sodium_memzero(shared, sizeof(shared));
	return ok;
}

static bool mix_static_static(struct wg_noise_transcript *t, uint8_t *key, const uint8_t *shared)
{
	if (sodium_is_zero(shared, WG_PUBLIC_KEY_BYTES))
		return false;
	mix_key(t, key, shared);
	return true;
}

/* MixKeyAndHash */
static void mix_psk(struct wg_noise_transcript *t, uint8_t *key, const uint8_t *psk)
{
	uint8_t hashed[WG_HASH_BYTES];
	uint8_t *const out[] = {t->chaining_key, hashed, key};

	wg_kdf(out, 3, t->chaining_key, psk, WG_SYMMETRIC_KEY_BYTES);
	mix_hash(t, hashed, sizeof(hashed));
	sodium_memzero(hashed, sizeof(hashed));
}

/* A public ephemeral key enters the hash, and because of the psk the chaining key too. */
static void mix_ephemeral(struct wg_noise_transcript *t, const uint8_t *ephemeral)
{
	mix_hash(t, ephemeral, WG_PUBLIC_KEY_BYTES);
	mix_key(t, NULL, ephemeral);
}

static void encrypt_and_hash(struct wg_noise_transcript *t, uint8_t *out, const void *plain,
			     size_t len, const uint8_t *key)
{
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, t->hash, WG_HASH_BYTES,
						  NULL, zero_nonce, key);
	sodium_stackzero(STACK_BYTES);
	mix_hash(t, out, len + WG_TAG_BYTES);
}

/* @len: of the plain text */
static bool decrypt_and_hash(struct wg_noise_transcript *t, void *out, const uint8_t *cipher,
			     size_t len, const uint8_t *key)
{
	bool ok = crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, cipher,
							    len + WG_TAG_BYTES, t->hash,
							    WG_HASH_BYTES, zero_nonce, key) == 0;

	sodium_stackzero(STACK_BYTES);
	if (ok)
		mix_hash(t, cipher, len + WG_TAG_BYTES);
	return ok;
}

void wg_noise_transcript_init(struct wg_noise_transcript *t, const void *prologue, size_t len,
			      const uint8_t responder_public[WG_PUBLIC_KEY_BYTES])
{
	wg_hash(t->hash, &(struct wg_bytes){construction, sizeof(construction) - 1}, 1);
	memcpy(t->chaining_key, t->hash, WG_HASH_BYTES);
	mix_hash(t, prologue, len);
	mix_hash(t, responder_public, WG_PUBLIC_KEY_BYTES);
}

bool wg_noise_write_first(struct wg_noise_transcript *t, const struct wg_noise_first *msg,
			  const uint8_t ephemeral_private[WG_PUBLIC_KEY_BYTES],
			  const uint8_t own_public[WG_PUBLIC_KEY_BYTES],
			  const uint8_t remote_public[WG_PUBLIC_KEY_BYTES],
			  const uint8_t static_static[WG_PUBLIC_KEY_BYTES], const void *payload)
{
	uint8_t key[WG_SYMMETRIC_KEY_BYTES];
	bool ok = false;

	crypto_scalarmult_curve25519_base(msg->ephemeral, ephemeral_private);
	mix_ephemeral(t, msg->ephemeral);
	if (!mix_dh(t, key, ephemeral_private, remote_public))
		goto out;
	encrypt_and_hash(t, msg->encrypted_static, own_public, WG_PUBLIC_KEY_BYTES, key);
	if (!mix_static_static(t, key, static_static))
		goto out;
	encrypt_and_hash(t, msg->encrypted_payload, payload, msg->payload_len, key);
	ok = true;
out:
	sodium_memzero(key, sizeof(key));
	return ok;
}

bool wg_noise_read_first_static(struct wg_noise_transcript *t, const struct wg_noise_first *msg,
				const uint8_t own_private[WG_PUBLIC_KEY_BYTES],
				uint8_t initiator_public[WG_PUBLIC_KEY_BYTES],
				uint8_t key[WG_SYMMETRIC_KEY_BYTES])
{
	mix_ephemeral(t, msg->ephemeral);
	return mix_dh(t, key, own_private, msg->ephemeral) &&
	       decrypt_and_hash(t, initiator_public, msg->encrypted_static, WG_PUBLIC_KEY_BYTES,
				key);
}

bool wg_noise_read_first_payload(struct wg_noise_transcript *t, const struct wg_noise_first *msg,
				 const uint8_t static_static[WG_PUBLIC_KEY_BYTES],
				 uint8_t key[WG_SYMMETRIC_KEY_BYTES], void *payload)
{
	bool ok = mix_static_static(t, key, static_static) &&
		  decrypt_and_hash(t, payload, msg->encrypted_payload, msg->payload_len, key);

	sodium_memzero(key, WG_SYMMETRIC_KEY_BYTES);
	return ok;
}

bool wg_noise_write_second(struct wg_noise_transcript *t, const struct wg_noise_second *msg,
			   const uint8_t ephemeral_private[WG_PUBLIC_KEY_BYTES],
			   const uint8_t remote_ephemeral[WG_PUBLIC_KEY_BYTES],
			   const uint8_t remote_public[WG_PUBLIC_KEY_BYTES],
			   const uint8_t psk[WG_SYMMETRIC_KEY_BYTES], const void *payload)
{
	uint8_t key[WG_SYMMETRIC_KEY_BYTES];
	bool ok = false;

	crypto_scalarmult_curve25519_base(msg->ephemeral, ephemeral_private);
	mix_ephemeral(t, msg->ephemeral);
	if (!mix_dh(t, NULL, ephemeral_private, remote_ephemeral) ||
	    !mix_dh(t, NULL, ephemeral_private, remote_public))
		goto out;
	mix_psk(t, key, psk);
	encrypt_and_hash(t, msg->encrypted_payload, payload, msg->payload_len, key);
	ok = true;
out:
	sodium_memzero(key, sizeof(key));
	return ok;
}

bool wg_noise_read_second(struct wg_noise_transcript *t, const struct wg_noise_second *msg,
			  const uint8_t ephemeral_private[WG_PUBLIC_KEY_BYTES],
			  const uint8_t own_private[WG_PUBLIC_KEY_BYTES],
			  const uint8_t psk[WG_SYMMETRIC_KEY_BYTES], void *payload)
{
	uint8_t key[WG_SYMMETRIC_KEY_BYTES];
	bool ok = false;

	mix_ephemeral(t, msg->ephemeral);
	if (!mix_dh(t, NULL, ephemeral_private, msg->ephemeral) ||
	    !mix_dh(t, NULL, own_private, msg->ephemeral))
		goto out;
	mix_psk(t, key, psk);
	ok = decrypt_and_hash(t, payload, msg->encrypted_payload, msg->payload_len, key);
out:
	sodium_memzero(key, sizeof(key));
	return ok;
}

void wg_noise_split(const struct wg_noise_transcript *t,
		    uint8_t initiator_sends[WG_SYMMETRIC_KEY_BYTES],
		    uint8_t responder_sends[WG_SYMMETRIC_KEY_BYTES])
{
	uint8_t *const out[] = {initiator_sends, responder_sends};

	wg_kdf(out, 2, t->chaining_key, NULL, 0);
}
