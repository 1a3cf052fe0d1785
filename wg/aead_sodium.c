/* SPDX-License-Identifier: MIT */
/*
 * aead_sodium.c - ChaCha20-Poly1305 by libsodium: the reference, one packet after the other
 */
#include "wg/aead.h"

#include <sodium.h>

static_assert(crypto_aead_chacha20poly1305_IETF_NPUBBYTES == WG_AEAD_NONCE_BYTES, "nonce size");

/* The vector code and the portable one spill the key into their frames, 2.2 KiB at the most. */
enum { STACK_BYTES = 4096 };

/* libsodium needs no working memory; any address says that it is usable. */
static uint8_t no_context;

static bool load(void)
{
	return sodium_init() >= 0;
}

static void *create(void)
{
	return load() ? &no_context : NULL;
}

static void destroy(void *ctx)
{
	(void)ctx;
}

static void seal(void *ctx, const uint8_t key[WG_SYMMETRIC_KEY_BYTES], struct wg_aead_job *jobs,
		 size_t count)
{
	uint8_t nonce[WG_AEAD_NONCE_BYTES];

	(void)ctx;
	for (struct wg_aead_job *job = jobs; job < jobs + count; job++) {
		wg_aead_nonce(nonce, job->counter);
		crypto_aead_chacha20poly1305_ietf_encrypt_detached(job->data, job->data + job->len,
								   NULL, job->data, job->len, NULL,
								   0, NULL, nonce, key);
	}
	sodium_stackzero(STACK_BYTES);
}

static void open_jobs(void *ctx, const uint8_t key[WG_SYMMETRIC_KEY_BYTES],
		      struct wg_aead_job *jobs, size_t count)
{
	uint8_t nonce[WG_AEAD_NONCE_BYTES];

	(void)ctx;
	for (struct wg_aead_job *job = jobs; job < jobs + count; job++) {
		wg_aead_nonce(nonce, job->counter);
		job->ok = crypto_aead_chacha20poly1305_ietf_decrypt_detached(
				  job->data, NULL, job->data, job->len, job->data + job->len, NULL,
				  0, nonce, key) == 0;
	}
	sodium_stackzero(STACK_BYTES);
}

const struct wg_aead_provider wg_aead_sodium = {
	.name = "libsodium",
	.load = load,
	.create = create,
	.destroy = destroy,
	.seal = seal,
	.open = open_jobs,
};
