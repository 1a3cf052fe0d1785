/* SPDX-License-Identifier: MIT */
/*
 * aead.c - which library encrypts transport data
 *
 * The choice is made once a process: the first of the list that gets the known answers right, or
 * the one that the environment variable WGWRAP_AEAD names. A name that is not compiled in or not
 * usable here counts as not set. A race between threads is harmless: both choose the same.
 */
#include "wg/aead.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "wg/wg.h"

const struct wg_aead_provider *const wg_aead_providers[] = {
#ifdef WG_HAVE_IPSECMB
	&wg_aead_ipsecmb,
#endif
#ifdef WG_HAVE_OPENSSL
	&wg_aead_openssl,
#endif
#ifdef WG_HAVE_IPSECMB
	&wg_aead_ipsecmb_avx2,
#endif
	&wg_aead_sodium,       NULL,
};

/*
 * The fifth message of the Noise vector for IKpsk2_25519_ChaChaPoly_BLAKE2s that the Cacophony
 * library published, whose keys and nonces are made as WireGuard's.
 */
static bool knows_answer(const struct wg_aead_provider *provider, void *ctx)
{
	static const uint8_t key[WG_SYMMETRIC_KEY_BYTES] = {
		0x7a, 0x74, 0xd0, 0xad, 0xaa, 0x18, 0x82, 0x49, 0x2a, 0x8e, 0xdd,
		0xc1, 0x52, 0x72, 0xb5, 0xa5, 0xa2, 0x30, 0xe1, 0x11, 0xd8, 0x6d,
		0x43, 0x0a, 0x59, 0x88, 0x59, 0x6f, 0x2c, 0x42, 0x38, 0xae,
	};
	static const uint8_t sealed[] = {
		0x6a, 0xb1, 0x46, 0x7c, 0x04, 0x48, 0xcc, 0x78, 0x39, 0x44, 0x94,
		0xab, 0xaa, 0xf2, 0x3a, 0xfc, 0xe0, 0xe2, 0x34, 0x31, 0x5d, 0x6e,
		0x26, 0x24, 0xdc, 0xbf, 0xa8, 0xa2, 0x1c, 0x1c, 0x4d, 0x07, 0x3d,
	};
	uint8_t buf[sizeof(sealed)] = "Jean-Baptiste Say";
	struct wg_aead_job job = {.data = buf, .len = sizeof(sealed) - WG_TAG_BYTES, .counter = 1};

	provider->seal(ctx, key, &job, 1);
	return memcmp(buf, sealed, sizeof(sealed)) == 0;
}

/* Lengths around the block sizes of the vector code, and a batch longer than any provider's own */
enum { CHECK_JOBS = 70, CHECK_BYTES_MAX = 1500 };

static size_t check_len(size_t i)
{
	static const size_t few[] = {0, 1, 16, 63, 64, 65, 255, 256, 257, 1420, 1452, 1500};
	const size_t n = sizeof(few) / sizeof(few[0]);

	return i < n ? few[i] : i * 16 % CHECK_BYTES_MAX;
}

static void lay_out(struct wg_aead_job *jobs, uint8_t *memory)
{
	for (size_t i = 0; i < CHECK_JOBS; i++) {
		jobs[i].data = memory;
		jobs[i].len = check_len(i);
		jobs[i].counter = i << 29; /* also beyond 32 bits */
		for (size_t k = 0; k < jobs[i].len; k++)
			jobs[i].data[k] = (uint8_t)(i + k);
		memory += jobs[i].len + WG_TAG_BYTES;
	}
}

/* What @provider seals is what the reference seals; it opens that, and refuses it changed. */
static bool agrees(const struct wg_aead_provider *provider, void *ctx, uint8_t *mine,
		   uint8_t *reference, size_t size)
{
	uint8_t key[WG_SYMMETRIC_KEY_BYTES];
	struct wg_aead_job jobs[CHECK_JOBS];

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(0x80 + i);
	lay_out(jobs, reference);
	wg_aead_sodium.seal(NULL, key, jobs, CHECK_JOBS);
	lay_out(jobs, mine);
	provider->seal(ctx, key, jobs, CHECK_JOBS);
	if (memcmp(mine, reference, size) != 0)
		return false;

	for (size_t i = 0; i < CHECK_JOBS; i += 2)
		jobs[i].data[jobs[i].len] ^= 0x80;
	provider->open(ctx, key, jobs, CHECK_JOBS);
	for (size_t i = 0; i < CHECK_JOBS; i++) {
		if (jobs[i].ok != (i % 2 == 1))
			return false;
		for (size_t k = 0; jobs[i].ok && k < jobs[i].len; k++)
			if (jobs[i].data[k] != (uint8_t)(i + k))
				return false;
	}
	return true;
}

bool wg_aead_check(const struct wg_aead_provider *provider)
{
	const size_t size = CHECK_JOBS * (CHECK_BYTES_MAX + WG_TAG_BYTES);
	uint8_t *mine, *reference;
	bool ok = false;
	void *ctx;

	if (sodium_init() < 0)
		return false;
	ctx = provider->create();
	if (!ctx)
		return false;
	mine = calloc(1, size);
	reference = calloc(1, size);
	if (mine && reference)
		ok = knows_answer(provider, ctx) && agrees(provider, ctx, mine, reference, size);
	free(mine);
	free(reference);
	provider->destroy(ctx);
	return ok;
}

static bool loads(const struct wg_aead_provider *provider)
{
	return provider->load();
}

/* The one that is asked for, or the first, of which @is_fit says so; NULL: none */
static const struct wg_aead_provider *
choose(bool (*is_fit)(const struct wg_aead_provider *provider))
{
	const char *wanted = getenv("WGWRAP_AEAD");

	for (size_t i = 0; wanted && wg_aead_providers[i]; i++)
		if (strcmp(wg_aead_providers[i]->name, wanted) == 0 && is_fit(wg_aead_providers[i]))
			return wg_aead_providers[i];
	for (size_t i = 0; wg_aead_providers[i]; i++)
		if (is_fit(wg_aead_providers[i]))
			return wg_aead_providers[i];
	return NULL;
}

static const struct wg_aead_provider *chosen(void)
{
	static _Atomic(const struct wg_aead_provider *) cached;
	const struct wg_aead_provider *provider = atomic_load(&cached);

	if (!provider) {
		provider = choose(wg_aead_check);
		atomic_store(&cached, provider);
	}
	return provider;
}

bool wg_aead_init(struct wg_aead *aead)
{
	choose(loads);
	*aead = (struct wg_aead){.provider = &wg_aead_sodium, .ctx = wg_aead_sodium.create()};
	return aead->ctx;
}

void wg_aead_free(struct wg_aead *aead)
{
	if (aead->ctx)
		aead->provider->destroy(aead->ctx);
	aead->ctx = NULL;
}

/* Without memory for another provider it stays the reference. */
static void count_packets(struct wg_aead *aead, size_t count)
{
	struct wg_aead other = {.packets = aead->packets + count};

	if (aead->packets >= WG_AEAD_FIRST_PACKETS)
		return;
	aead->packets = other.packets;
	if (aead->packets < WG_AEAD_FIRST_PACKETS)
		return;
	other.provider = chosen();
	other.ctx = other.provider ? other.provider->create() : NULL;
	if (!other.ctx)
		return;
	wg_aead_free(aead);
	*aead = other;
}

void wg_aead_seal(struct wg_aead *aead, const uint8_t key[WG_SYMMETRIC_KEY_BYTES],
		  struct wg_aead_job *jobs, size_t count)
{
	count_packets(aead, count);
	aead->provider->seal(aead->ctx, key, jobs, count);
}

void wg_aead_open(struct wg_aead *aead, const uint8_t key[WG_SYMMETRIC_KEY_BYTES],
		  struct wg_aead_job *jobs, size_t count)
{
	count_packets(aead, count);
	aead->provider->open(aead->ctx, key, jobs, count);
}

const char *wg_aead_provider_name(void)
{
	const struct wg_aead_provider *provider = chosen();

	return provider ? provider->name : "none";
}
