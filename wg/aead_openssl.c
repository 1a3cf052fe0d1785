/* SPDX-License-Identifier: MIT */
/*
 * aead_openssl.c - ChaCha20-Poly1305 by OpenSSL's libcrypto
 *
 * The cipher is looked up once and the key is set once a batch; a packet then costs one change of
 * nonce. libcrypto interleaves cipher and MAC, which makes it about twice as fast as libsodium.
 */
#ifdef WG_HAVE_OPENSSL

#include "wg/aead.h"

#include <limits.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>

enum { SEAL = 1, OPEN = 0 }; /* as EVP_CipherInit_ex() counts */

/** struct openssl_ctx - a cipher context per direction */
struct openssl_ctx {
	EVP_CIPHER_CTX *direction[2];
};

static void destroy(void *ctx)
{
	struct openssl_ctx *o = ctx;

	/* wipes the key */
	EVP_CIPHER_CTX_free(o->direction[OPEN]);
	EVP_CIPHER_CTX_free(o->direction[SEAL]);
	free(o);
}

static void *create(void)
{
	struct openssl_ctx *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	for (int i = 0; i < 2; i++) {
		o->direction[i] = EVP_CIPHER_CTX_new();
		if (!o->direction[i] || EVP_CipherInit_ex(o->direction[i], EVP_chacha20_poly1305(),
							  NULL, NULL, NULL, i) != 1) {
			destroy(o);
			return NULL;
		}
	}
	return o;
}

static bool seal_one(EVP_CIPHER_CTX *c, struct wg_aead_job *job)
{
	uint8_t nonce[WG_AEAD_NONCE_BYTES];
	int len;

	wg_aead_nonce(nonce, job->counter);
	return job->len <= INT_MAX && EVP_EncryptInit_ex(c, NULL, NULL, NULL, nonce) == 1 &&
	       EVP_EncryptUpdate(c, job->data, &len, job->data, (int)job->len) == 1 &&
	       EVP_EncryptFinal_ex(c, job->data + job->len, &len) == 1 &&
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, WG_TAG_BYTES, job->data + job->len) ==
		       1;
}

static bool open_one(EVP_CIPHER_CTX *c, struct wg_aead_job *job)
{
	uint8_t nonce[WG_AEAD_NONCE_BYTES];
	int len;

	wg_aead_nonce(nonce, job->counter);
	return job->len <= INT_MAX && EVP_DecryptInit_ex(c, NULL, NULL, NULL, nonce) == 1 &&
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, WG_TAG_BYTES, job->data + job->len) ==
		       1 &&
	       EVP_DecryptUpdate(c, job->data, &len, job->data, (int)job->len) == 1 &&
	       EVP_DecryptFinal_ex(c, job->data + job->len, &len) == 1;
}

/* The session may end before this context is used again; its key must not stay here. */
static void forget_key(EVP_CIPHER_CTX *c)
{
	static const uint8_t zeros[WG_SYMMETRIC_KEY_BYTES];

	EVP_CipherInit_ex(c, NULL, NULL, zeros, NULL, -1);
}

static void seal(void *ctx, const uint8_t key[WG_SYMMETRIC_KEY_BYTES], struct wg_aead_job *jobs,
		 size_t count)
{
	EVP_CIPHER_CTX *c = ((struct openssl_ctx *)ctx)->direction[SEAL];
	bool ok = EVP_EncryptInit_ex(c, NULL, NULL, key, NULL) == 1;

	for (struct wg_aead_job *job = jobs; job < jobs + count; job++) {
		/* Cannot happen after the known answers passed, but plain text must never leave. */
		if (!ok || !seal_one(c, job))
			sodium_memzero(job->data, job->len + WG_TAG_BYTES);
	}
	forget_key(c);
}

static void open_jobs(void *ctx, const uint8_t key[WG_SYMMETRIC_KEY_BYTES],
		      struct wg_aead_job *jobs, size_t count)
{
	EVP_CIPHER_CTX *c = ((struct openssl_ctx *)ctx)->direction[OPEN];
	bool ok = EVP_DecryptInit_ex(c, NULL, NULL, key, NULL) == 1;

	for (struct wg_aead_job *job = jobs; job < jobs + count; job++)
		job->ok = ok && open_one(c, job);
	forget_key(c);
}

const struct wg_aead_provider wg_aead_openssl = {
	.name = "openssl",
	.create = create,
	.destroy = destroy,
	.seal = seal,
	.open = open_jobs,
};

#endif
