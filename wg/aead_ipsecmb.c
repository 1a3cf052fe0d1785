/* SPDX-License-Identifier: MIT */
/*
 * aead_ipsecmb.c - ChaCha20-Poly1305 by Intel's ipsec-mb
 *
 * Two providers, as it is the fastest where its AVX-512 code runs, but not where its AVX2 code does,
 * whose Poly1305 is scalar; on older processors it is not usable. Jobs may complete later than they
 * are handed in and in any order; all have completed when the batch ends. The library is loaded when
 * it is asked for.
 */
#ifdef WG_HAVE_IPSECMB

#include "wg/aead.h"

#include <intel-ipsec-mb.h>
#include <pthread.h>
#include <sodium.h>

#include "wg/library.h"

/* Asked before the library is loaded. Who cannot tell loads it, and it says itself. */
#if __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
#define HAS(feature) CPU_FEATURE_ACTIVE(feature)
#else
#define HAS(feature) true
#endif

enum { BATCH_MAX = 64 };

/* The library's functions, and whether they were found; the others are pointers in its manager. */
static struct {
	bool found;
	__typeof__(alloc_mb_mgr) *alloc;
	__typeof__(free_mb_mgr) *free;
	__typeof__(init_mb_mgr_auto) *init;
	__typeof__(imb_get_errno) *get_errno;
} mb;

static void load_once(void)
{
	const struct wg_symbol symbols[] = {
		{"alloc_mb_mgr", &mb.alloc},
		{"free_mb_mgr", &mb.free},
		{"init_mb_mgr_auto", &mb.init},
		{"imb_get_errno", &mb.get_errno},
		{NULL, NULL},
	};

	mb.found = wg_library_load(SONAME_IPSec_MB, symbols);
}

static bool load(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load_once);
	return mb.found;
}

static bool load_avx512(void)
{
	return HAS(AVX512F) && HAS(AVX512DQ) && HAS(AVX512CD) && HAS(AVX512BW) && HAS(AVX512VL) &&
	       load();
}

static bool load_avx2(void)
{
	return HAS(AVX2) && load();
}

/* For processors of @at_least and below @below. */
static void *create_for(IMB_ARCH at_least, IMB_ARCH below)
{
	IMB_MGR *mgr = mb.alloc(0);
	IMB_ARCH arch;

	if (!mgr)
		return NULL;
	mb.init(mgr, &arch);
	if (mb.get_errno(mgr) != 0 || arch < at_least || arch >= below) {
		mb.free(mgr);
		return NULL;
	}
	return mgr;
}

static void *create_avx512(void)
{
	return load_avx512() ? create_for(IMB_ARCH_AVX512, IMB_ARCH_NUM) : NULL;
}

static void *create_avx2(void)
{
	return load_avx2() ? create_for(IMB_ARCH_AVX2, IMB_ARCH_AVX512) : NULL;
}

static void destroy(void *ctx)
{
	mb.free(ctx);
}

/* Hands in @job, whose tag goes to @tag, and marks those that have completed. @nonce and @tag stay
 * in use until the batch ends. */
static void submit(IMB_MGR *mgr, IMB_CIPHER_DIRECTION direction, const uint8_t *key,
		   struct wg_aead_job *job, uint8_t *nonce, uint8_t *tag)
{
	IMB_JOB *j = IMB_GET_NEXT_JOB(mgr);

	wg_aead_nonce(nonce, job->counter);
	job->ok = false;
	j->cipher_direction = direction;
	j->chain_order =
		direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	j->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	j->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	j->enc_keys = key;
	j->dec_keys = key;
	j->key_len_in_bytes = WG_SYMMETRIC_KEY_BYTES;
	j->src = job->data;
	j->dst = job->data;
	j->cipher_start_src_offset_in_bytes = 0;
	j->msg_len_to_cipher_in_bytes = job->len;
	j->hash_start_src_offset_in_bytes = 0;
	j->msg_len_to_hash_in_bytes = job->len;
	j->iv = nonce;
	j->iv_len_in_bytes = WG_AEAD_NONCE_BYTES;
	j->u.CHACHA20_POLY1305.aad = NULL;
	j->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
	j->auth_tag_output = tag;
	j->auth_tag_output_len_in_bytes = WG_TAG_BYTES;
	j->user_data = job;
	for (j = IMB_SUBMIT_JOB_NOCHECK(mgr); j; j = IMB_GET_COMPLETED_JOB(mgr))
		((struct wg_aead_job *)j->user_data)->ok = j->status == IMB_STATUS_COMPLETED;
}

static void flush(IMB_MGR *mgr)
{
	for (IMB_JOB *j = IMB_FLUSH_JOB(mgr); j; j = IMB_FLUSH_JOB(mgr))
		((struct wg_aead_job *)j->user_data)->ok = j->status == IMB_STATUS_COMPLETED;
}

static void seal_some(IMB_MGR *mgr, const uint8_t *key, struct wg_aead_job *jobs, size_t count)
{
	uint8_t nonces[BATCH_MAX][WG_AEAD_NONCE_BYTES];

	for (size_t i = 0; i < count; i++)
		submit(mgr, IMB_DIR_ENCRYPT, key, &jobs[i], nonces[i], jobs[i].data + jobs[i].len);
	flush(mgr);
	for (size_t i = 0; i < count; i++) {
		/* Cannot happen after the known answers passed, but plain text must never leave. */
		if (!jobs[i].ok)
			sodium_memzero(jobs[i].data, jobs[i].len + WG_TAG_BYTES);
	}
}

static void open_some(IMB_MGR *mgr, const uint8_t *key, struct wg_aead_job *jobs, size_t count)
{
	uint8_t nonces[BATCH_MAX][WG_AEAD_NONCE_BYTES], tags[BATCH_MAX][WG_TAG_BYTES];

	for (size_t i = 0; i < count; i++)
		submit(mgr, IMB_DIR_DECRYPT, key, &jobs[i], nonces[i], tags[i]);
	flush(mgr);
	for (size_t i = 0; i < count; i++)
		jobs[i].ok =
			jobs[i].ok && crypto_verify_16(tags[i], jobs[i].data + jobs[i].len) == 0;
}

static void seal(void *ctx, const uint8_t key[WG_SYMMETRIC_KEY_BYTES], struct wg_aead_job *jobs,
		 size_t count)
{
	for (size_t n; count; jobs += n, count -= n) {
		n = count < BATCH_MAX ? count : BATCH_MAX;
		seal_some(ctx, key, jobs, n);
	}
}

static void open_jobs(void *ctx, const uint8_t key[WG_SYMMETRIC_KEY_BYTES],
		      struct wg_aead_job *jobs, size_t count)
{
	for (size_t n; count; jobs += n, count -= n) {
		n = count < BATCH_MAX ? count : BATCH_MAX;
		open_some(ctx, key, jobs, n);
	}
}

const struct wg_aead_provider wg_aead_ipsecmb = {
	.name = "ipsec-mb",
	.load = load_avx512,
	.create = create_avx512,
	.destroy = destroy,
	.seal = seal,
	.open = open_jobs,
};

const struct wg_aead_provider wg_aead_ipsecmb_avx2 = {
	.name = "ipsec-mb",
	.load = load_avx2,
	.create = create_avx2,
	.destroy = destroy,
	.seal = seal,
	.open = open_jobs,
};

#endif
