/* SPDX-License-Identifier: MIT */
/*
 * aead_openssl.c - ChaCha20-Poly1305 by OpenSSL's libcrypto
 *
 * The cipher is looked up once and the key is set once a batch; a packet then costs one change of
 * nonce. libcrypto interleaves cipher and MAC, which makes it about twice as fast as libsodium.
 * It is loaded when it is asked for, in the version whose headers were there at build time.
 */
#ifdef WG_HAVE_OPENSSL

#include "wg/aead.h"

#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "wg/library.h"

#define NAME_OF(x)    #x
#define SONAME(major) "libcrypto.so." NAME_OF(major)

/* libcrypto's functions, and whether they were found */
static struct {
	bool found;
	__typeof__(EVP_CIPHER_CTX_new) *ctx_new;
	__typeof__(EVP_CIPHER_CTX_free) *ctx_free;
	__typeof__(EVP_CIPHER_CTX_ctrl) *ctx_ctrl;
	__typeof__(EVP_chacha20_poly1305) *chacha20_poly1305;
	__typeof__(EVP_CipherInit_ex) *init;
	__typeof__(EVP_CipherUpdate) *update;
	__typeof__(EVP_CipherFinal_ex) *final;
} crypto;

static void load(void)
{
	const struct wg_symbol symbols[] = {
		{"EVP_CIPHER_CTX_new", &crypto.ctx_new},
		{"EVP_CIPHER_CTX_free", &crypto.ctx_free},
		{"EVP_CIPHER_CTX_ctrl", &crypto.ctx_ctrl},
		{"EVP_chacha20_poly1305", &crypto.chacha20_poly1305},
		{"EVP_CipherInit_ex", &crypto.init},
		{"EVP_CipherUpdate", &crypto.update},
		{"EVP_CipherFinal_ex", &crypto.final},
		{NULL, NULL},
	};

	crypto.found = wg_library_load(SONAME(OPENSSL_VERSION_MAJOR), symbols);
}

enum { SEAL = 1, OPEN = 0 }; /* as EVP_CipherInit_ex() has them */

/** struct openssl_ctx - a cipher context per direction */
struct openssl_ctx {
	EVP_CIPHER_CTX *direction[2];
};

static void destroy(void *ctx)
{
	struct openssl_ctx *o = ctx;

	/* wipes the key */
	crypto.ctx_free(o->direction[OPEN]);
	crypto.ctx_free(o->direction[SEAL]);
	free(o);
}

static void *create(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct openssl_ctx *o;

	pthread_once(&once, load);
	o = crypto.found ? calloc(1, sizeof(*o)) : NULL;
	if (!o)
		return NULL;
	for (int i = 0; i < 2; i++) {
		o->direction[i] = crypto.ctx_new();
		if (!o->direction[i] || crypto.init(o->direction[i], crypto.chacha20_poly1305(),
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
	return job->len <= INT_MAX && crypto.init(c, NULL, NULL, NULL, nonce, SEAL) == 1 &&
	       crypto.update(c, job->data, &len, job->data, (int)job->len) == 1 &&
	       crypto.final(c, job->data + job->len, &len) == 1 &&
	       crypto.ctx_ctrl(c, EVP_CTRL_AEAD_GET_TAG, WG_TAG_BYTES, job->data + job->len) == 1;
}

static bool open_one(EVP_CIPHER_CTX *c, struct wg_aead_job *job)
{
	uint8_t nonce[WG_AEAD_NONCE_BYTES];
	int len;

	wg_aead_nonce(nonce, job->counter);
	return job->len <= INT_MAX && crypto.init(c, NULL, NULL, NULL, nonce, OPEN) == 1 &&
	       crypto.ctx_ctrl(c, EVP_CTRL_AEAD_SET_TAG, WG_TAG_BYTES, job->data + job->len) == 1 &&
	       crypto.update(c, job->data, &len, job->data, (int)job->len) == 1 &&
	       crypto.final(c, job->data + job->len, &len) == 1;
}

/* The session may end before this context is used again; its key must not stay here. */
static void forget_key(EVP_CIPHER_CTX *c)
{
	static const uint8_t zeros[WG_SYMMETRIC_KEY_BYTES];

	crypto.init(c, NULL, NULL, zeros, NULL, -1);
}

static void seal(void *ctx, const uint8_t key[WG_SYMMETRIC_KEY_BYTES], struct wg_aead_job *jobs,
		 size_t count)
{
	EVP_CIPHER_CTX *c = ((struct openssl_ctx *)ctx)->direction[SEAL];
	bool ok = crypto.init(c, NULL, NULL, key, NULL, SEAL) == 1;

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
	bool ok = crypto.init(c, NULL, NULL, key, NULL, OPEN) == 1;

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
