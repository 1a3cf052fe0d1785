/* SPDX-License-Identifier: MIT */
/*
 * aead.h - ChaCha20-Poly1305 for transport data, many packets at a time
 *
 * One table of functions per library that can do it (aead_<library>.c). libsodium's is the
 * reference and always there. Packets are sealed and opened in place, without additional data,
 * under the nonce of section 5.4.6: four zero bytes, then the counter, little-endian.
 *
 * Libraries are loaded when a device is made, while files can be opened. The first packets are the
 * reference's: to make another one ready and to check it takes as long as to seal a thousand of
 * them, which a start need not wait for.
 */
#ifndef WG_AEAD_H
#define WG_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wg/bytes.h"
#include "wg/messages.h"

enum {
	WG_AEAD_NONCE_BYTES = 12,
	WG_AEAD_TEXT_MAX_BYTES = UINT16_MAX, /* no datagram is longer */
	WG_AEAD_FIRST_PACKETS = 64,	     /* are the reference's */
};

/**
 * struct wg_aead_job - one packet
 * @data:	@len bytes of text, then WG_TAG_BYTES of tag (written by seal, read by open)
 * @len:	Bytes, without the tag: 0 to WG_AEAD_TEXT_MAX_BYTES
 * @counter:	Nonce
 * @ok:		Set by open: the tag is right. Else the text is undefined.
 */
struct wg_aead_job {
	uint8_t *data;
	size_t len;
	uint64_t counter;
	bool ok;
};

/**
 * struct wg_aead_provider - how a library does it
 * @name:	As wg_aead_provider_name() returns it
 * @load:	Loads the library; false: it is not there, or not for this processor
 * @create:	The same and working memory for one thread; NULL: not usable, or no memory
 * @destroy:	Frees and wipes it
 * @seal:	Encrypts @count jobs with @key
 * @open:	Decrypts them and says in each whether it is authentic
 */
struct wg_aead_provider {
	const char *name;
	bool (*load)(void);
	void *(*create)(void);
	void (*destroy)(void *ctx);
	void (*seal)(void *ctx, const uint8_t key[WG_SYMMETRIC_KEY_BYTES], struct wg_aead_job *jobs,
		     size_t count);
	void (*open)(void *ctx, const uint8_t key[WG_SYMMETRIC_KEY_BYTES], struct wg_aead_job *jobs,
		     size_t count);
};

/**
 * struct wg_aead - a provider with its working memory
 * @packets:	How many were sealed and opened, up to WG_AEAD_FIRST_PACKETS
 */
struct wg_aead {
	const struct wg_aead_provider *provider;
	void *ctx;
	size_t packets;
};

/* All that are compiled in, fastest first; NULL at the end. */
extern const struct wg_aead_provider *const wg_aead_providers[];
extern const struct wg_aead_provider wg_aead_sodium;
#ifdef WG_HAVE_OPENSSL
extern const struct wg_aead_provider wg_aead_openssl;
#endif
#ifdef WG_HAVE_IPSECMB
extern const struct wg_aead_provider wg_aead_ipsecmb; /* its AVX-512 code */
extern const struct wg_aead_provider
	wg_aead_ipsecmb_avx2; /* the same library on other processors */
#endif

/* Whether @provider is usable here and gets the known answers right. */
bool wg_aead_check(const struct wg_aead_provider *provider);
/* Loads the library that this process uses; false: not even the reference is usable. */
bool wg_aead_init(struct wg_aead *aead);
void wg_aead_free(struct wg_aead *aead);
/* The provider's functions of these names; from WG_AEAD_FIRST_PACKETS on that of the provider chosen
 * for this process. */
void wg_aead_seal(struct wg_aead *aead, const uint8_t key[WG_SYMMETRIC_KEY_BYTES],
		  struct wg_aead_job *jobs, size_t count);
void wg_aead_open(struct wg_aead *aead, const uint8_t key[WG_SYMMETRIC_KEY_BYTES],
		  struct wg_aead_job *jobs, size_t count);

static inline void wg_aead_nonce(uint8_t nonce[WG_AEAD_NONCE_BYTES], uint64_t counter)
{
	wg_put_le32(nonce, 0);
	wg_put_le64(nonce + 4, counter);
}

#endif
