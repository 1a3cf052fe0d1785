/* SPDX-License-Identifier: MIT */
/*
 * aead_openssl.c - ChaCha20-Poly1305 by OpenSSL's libcrypto
 *
 * libcrypto's ChaCha20 and its Poly1305, put together as RFC 8439 2.8 says, instead of the cipher
 * that is both: that one makes the MAC's key and what is left of the last block in calls of a block
 * each, which cost as much as 300 bytes in a row, and passes more parameters per packet. Of a full
 * packet it is a quarter.
 *
 * A packet is therefore copied to behind a block of zeros, whose key stream is the MAC's key, and
 * is encrypted together with it, in whole blocks. The MAC's padding and lengths are put behind it.
 * Nothing but text and tag of the packet itself is touched where it lies.
 *
 * Keys are set once a batch. The library is loaded when it is asked for, in the version whose
 * headers were there at build time.
 */
#ifdef WG_HAVE_OPENSSL

#include "wg/aead.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "wg/library.h"

#define NAME_OF(x)    #x
#define SONAME(major) "libcrypto.so." NAME_OF(major)

enum {
	BLOCK_BYTES = 64,   /* of ChaCha20; the first one is the MAC's key and not used otherwise */
	IV_BYTES = 16,	    /* the first block's number, 32 bits, and the nonce */
	MAC_KEY_BYTES = 32, /* the beginning of the first block */
	MAC_BLOCK_BYTES = 16,
	LENGTHS_BYTES = 16,
	LINE_BYTES = BLOCK_BYTES + WG_AEAD_TEXT_MAX_BYTES + BLOCK_BYTES,
	STACK_BYTES = 2048, /* twice what libcrypto's functions use; the vector code spills keys */
};

static_assert(LENGTHS_BYTES + MAC_BLOCK_BYTES <= BLOCK_BYTES, "a line holds what is behind a text");

/* libcrypto's functions, and whether they were found */
static struct {
	bool found;
	__typeof__(EVP_CIPHER_CTX_new) *ctx_new;
	__typeof__(EVP_CIPHER_CTX_free) *ctx_free;
	__typeof__(EVP_chacha20) *chacha20;
	__typeof__(EVP_CipherInit_ex) *init;
	__typeof__(EVP_CipherUpdate) *update;
	__typeof__(EVP_MAC_fetch) *mac_fetch;
	__typeof__(EVP_MAC_free) *mac_free;
	__typeof__(EVP_MAC_CTX_new) *mac_ctx_new;
	__typeof__(EVP_MAC_CTX_free) *mac_ctx_free;
	__typeof__(EVP_MAC_init) *mac_init;
	__typeof__(EVP_MAC_update) *mac_update;
	__typeof__(EVP_MAC_final) *mac_final;
} crypto;

static void load_once(void)
{
	const struct wg_symbol symbols[] = {
		{"EVP_CIPHER_CTX_new", &crypto.ctx_new},
		{"EVP_CIPHER_CTX_free", &crypto.ctx_free},
		{"EVP_chacha20", &crypto.chacha20},
		{"EVP_CipherInit_ex", &crypto.init},
		{"EVP_CipherUpdate", &crypto.update},
		{"EVP_MAC_fetch", &crypto.mac_fetch},
		{"EVP_MAC_free", &crypto.mac_free},
		{"EVP_MAC_CTX_new", &crypto.mac_ctx_new},
		{"EVP_MAC_CTX_free", &crypto.mac_ctx_free},
		{"EVP_MAC_init", &crypto.mac_init},
		{"EVP_MAC_update", &crypto.mac_update},
		{"EVP_MAC_final", &crypto.mac_final},
		{NULL, NULL},
	};

	crypto.found = wg_library_load(SONAME(OPENSSL_VERSION_MAJOR), symbols);
}

static bool load(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load_once);
	return crypto.found;
}

/** struct openssl_ctx - @line: a block of zeros and a packet's text; @opened: the same, decrypted */
struct openssl_ctx {
	EVP_CIPHER_CTX *cipher;
	EVP_MAC_CTX *mac;
	uint8_t line[LINE_BYTES], opened[LINE_BYTES];
};

static void destroy(void *ctx)
{
	struct openssl_ctx *o = ctx;

	crypto.mac_ctx_free(o->mac);
	crypto.ctx_free(o->cipher);
	sodium_memzero(o, sizeof(*o));
	free(o);
}

static void *create(void)
{
	struct openssl_ctx *o = load() ? calloc(1, sizeof(*o)) : NULL;
	EVP_MAC *mac;

	if (!o)
		return NULL;
	o->cipher = crypto.ctx_new();
	mac = crypto.mac_fetch(NULL, "POLY1305", NULL);
	if (mac)
		o->mac = crypto.mac_ctx_new(mac);
	crypto.mac_free(mac);
	if (!o->cipher || !o->mac ||
	    crypto.init(o->cipher, crypto.chacha20(), NULL, NULL, NULL, 1) != 1) {
		destroy(o);
		return NULL;
	}
	return o;
}

/* Encrypts a block of zeros and the @len bytes behind it to @to, which o->line may be. */
static bool encrypt(struct openssl_ctx *o, uint8_t *to, size_t len, uint64_t counter)
{
	const size_t whole = (BLOCK_BYTES + len + BLOCK_BYTES - 1) & ~(size_t)(BLOCK_BYTES - 1);
	uint8_t iv[IV_BYTES] = {0};
	int n;

	wg_aead_nonce(iv + IV_BYTES - WG_AEAD_NONCE_BYTES, counter);
	memset(o->line, 0, BLOCK_BYTES);
	return crypto.init(o->cipher, NULL, NULL, NULL, iv, 1) == 1 &&
	       crypto.update(o->cipher, to, &n, o->line, (int)whole) == 1;
}

/* The tag of the @len bytes behind the first block of o->line. */
static bool authenticate(struct openssl_ctx *o, const uint8_t *mac_key, size_t len,
			 uint8_t tag[WG_TAG_BYTES])
{
	const size_t padded = (len + MAC_BLOCK_BYTES - 1) & ~(size_t)(MAC_BLOCK_BYTES - 1);
	uint8_t *text = o->line + BLOCK_BYTES, *lengths = text + padded;
	size_t n;

	memset(text + len, 0, padded - len);
	wg_put_le64(lengths, 0); /* of additional data */
	wg_put_le64(lengths + sizeof(uint64_t), len);
	return crypto.mac_init(o->mac, mac_key, MAC_KEY_BYTES, NULL) == 1 &&
	       crypto.mac_update(o->mac, text, padded + LENGTHS_BYTES) == 1 &&
	       crypto.mac_final(o->mac, tag, &n, WG_TAG_BYTES) == 1;
}

static bool seal_one(struct openssl_ctx *o, struct wg_aead_job *job)
{
	if (job->len > WG_AEAD_TEXT_MAX_BYTES)
		return false;
	memcpy(o->line + BLOCK_BYTES, job->data, job->len);
	if (!encrypt(o, o->line, job->len, job->counter) ||
	    !authenticate(o, o->line, job->len, job->data + job->len))
		return false;
	memcpy(job->data, o->line + BLOCK_BYTES, job->len);
	return true;
}

static bool open_one(struct openssl_ctx *o, struct wg_aead_job *job)
{
	uint8_t tag[WG_TAG_BYTES];

	if (job->len > WG_AEAD_TEXT_MAX_BYTES)
		return false;
	memcpy(o->line + BLOCK_BYTES, job->data, job->len);
	if (!encrypt(o, o->opened, job->len, job->counter) ||
	    !authenticate(o, o->opened, job->len, tag) ||
	    crypto_verify_16(tag, job->data + job->len) != 0)
		return false;
	memcpy(job->data, o->opened + BLOCK_BYTES, job->len);
	return true;
}

static bool set_key(struct openssl_ctx *o, const uint8_t key[WG_SYMMETRIC_KEY_BYTES])
{
	return crypto.init(o->cipher, NULL, NULL, key, NULL, 1) == 1;
}

/* The session may end before this context is used again; its keys must not stay here, nor on the
 * stack. A MAC's context is wiped when it gives the tag. */
static void forget_keys(struct openssl_ctx *o)
{
	static const uint8_t zeros[WG_SYMMETRIC_KEY_BYTES];

	set_key(o, zeros);
	sodium_memzero(o->line, BLOCK_BYTES);
	sodium_memzero(o->opened, BLOCK_BYTES);
	sodium_stackzero(STACK_BYTES);
}

static void seal(void *ctx, const uint8_t key[WG_SYMMETRIC_KEY_BYTES], struct wg_aead_job *jobs,
		 size_t count)
{
	struct openssl_ctx *o = ctx;
	bool ok = set_key(o, key);

	for (struct wg_aead_job *job = jobs; job < jobs + count; job++) {
		/* Cannot happen after the known answers passed, but plain text must never leave. */
		if (!ok || !seal_one(o, job))
			sodium_memzero(job->data, job->len + WG_TAG_BYTES);
	}
	forget_keys(o);
}

static void open_jobs(void *ctx, const uint8_t key[WG_SYMMETRIC_KEY_BYTES],
		      struct wg_aead_job *jobs, size_t count)
{
	struct openssl_ctx *o = ctx;
	bool ok = set_key(o, key);

	for (struct wg_aead_job *job = jobs; job < jobs + count; job++)
		job->ok = ok && open_one(o, job);
	forget_keys(o);
}

const struct wg_aead_provider wg_aead_openssl = {
	.name = "openssl",
	.load = load,
	.create = create,
	.destroy = destroy,
	.seal = seal,
	.open = open_jobs,
};

#endif
