/* SPDX-License-Identifier: MIT */
/*
 * retries.c - which sources have sent a handshake message about five seconds ago
 *
 * In a flood from made-up addresses there is no telling who is real by one message, and not all can
 * be sent a cookie. But who is real and gets no answer tries again from the same address and port
 * after REKEY_TIMEOUT and a jitter, and made-up sources hardly repeat themselves. So sources are
 * remembered as long as that takes: in one Bloom filter for each 360 ms, of which a retry is looked
 * for in two. The eight bits of a source lie in two cache lines next to each other.
 *
 * At 350,000 sources a second one in 250 is taken for another, so what follows from being
 * recognised must be limited in rate as well (receive.c). Beyond that the filters would tell nobody
 * apart any more. Therefore a slice that is full takes no more: then as large a part of those who
 * are real is recognised as was noted.
 *
 * Whoever repeats made-up sources at the right time gains nothing but his share of that rate.
 */
#include "wg/retries.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "wg/bytes.h"
#include "wg/messages.h"

enum {
	BLOCK_BYTES = 128,
	BLOCK_BITS = BLOCK_BYTES * 8,
	BLOCKS = WG_RETRIES_SLICE_BYTES / BLOCK_BYTES,
	PROBES = 8,
};

#define SLICE_NS    (WG_RETRIES_SLICE_MS * WG_NS_PER_MS)
#define EARLIEST_NS (WG_REKEY_TIMEOUT_NS + (WG_TIMER_JITTER_MS + 50) * WG_NS_PER_MS)
#define LATEST_NS   (WG_REKEY_TIMEOUT_NS - 20 * WG_NS_PER_MS)

static_assert(EARLIEST_NS <= (WG_RETRIES_SLICES - 1) * SLICE_NS, "kept long enough");

void wg_retries_init(struct wg_retries *retries, const uint8_t hash_key[16])
{
	memset(retries, 0, sizeof(*retries));
	memcpy(retries->hash_key, hash_key, sizeof(retries->hash_key));
}

void wg_retries_free(struct wg_retries *retries)
{
	free(retries->bits);
	retries->bits = NULL;
}

static uint64_t hash_of(const struct wg_retries *retries, const struct sockaddr *source)
{
	uint8_t in[18], out[crypto_shorthash_BYTES];
	size_t len;

	if (source->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)source;

		memcpy(in, &in6->sin6_addr, 16);
		memcpy(in + 16, &in6->sin6_port, 2);
		len = 18;
	} else {
		const struct sockaddr_in *in4 = (const struct sockaddr_in *)source;

		memcpy(in, &in4->sin_addr, 4);
		memcpy(in + 4, &in4->sin_port, 2);
		len = 6;
	}
	crypto_shorthash(out, in, len, retries->hash_key);
	return wg_get_le64(out);
}

/* The part of the filter for slice @number that @hash belongs to */
static uint8_t *block_of(const struct wg_retries *retries, uint64_t number, uint64_t hash)
{
	return retries->bits + number % WG_RETRIES_SLICES * WG_RETRIES_SLICE_BYTES +
	       (size_t)(((hash >> 32) * BLOCKS) >> 32) * BLOCK_BYTES;
}

/* Bits of the block are drawn from other bits of the hash than the block itself. */
static uint64_t probes_of(uint64_t hash)
{
	return hash * 0x9e3779b97f4a7c15ULL ^ hash >> 29;
}

static uint64_t next_probe(uint64_t probes)
{
	return probes >> 8 | probes << 56;
}

static bool has(const uint8_t *block, uint64_t probes)
{
	for (int i = 0; i < PROBES; i++, probes = next_probe(probes))
		if (!(block[probes % BLOCK_BITS / 8] >> probes % 8 & 1))
			return false;
	return true;
}

static void add(uint8_t *block, uint64_t probes)
{
	for (int i = 0; i < PROBES; i++, probes = next_probe(probes))
		block[probes % BLOCK_BITS / 8] |= (uint8_t)(1 << probes % 8);
}

/* Empties the filter that slice @number is to use, if that has just begun. */
static void begin_slice(struct wg_retries *retries, uint64_t number)
{
	size_t i = number % WG_RETRIES_SLICES;

	if (retries->number[i] == number)
		return;
	retries->number[i] = number;
	retries->count = 0;
	memset(retries->bits + i * WG_RETRIES_SLICE_BYTES, 0, WG_RETRIES_SLICE_BYTES);
}

bool wg_retries_note(struct wg_retries *retries, const struct sockaddr *source, uint64_t now)
{
	uint64_t hash, probes, number = now / SLICE_NS;
	bool found = false;

	if (!retries->bits) {
		retries->bits = calloc(WG_RETRIES_SLICES, WG_RETRIES_SLICE_BYTES);
		if (!retries->bits)
			return false;
		memset(retries->number, 0, sizeof(retries->number));
	}
	hash = hash_of(retries, source);
	probes = probes_of(hash);
	for (uint64_t n = (now - EARLIEST_NS) / SLICE_NS; n <= (now - LATEST_NS) / SLICE_NS; n++)
		if (retries->number[n % WG_RETRIES_SLICES] == n)
			found |= has(block_of(retries, n, hash), probes);
	begin_slice(retries, number);
	if (retries->count < WG_RETRIES_PER_SLICE) {
		retries->count++;
		add(block_of(retries, number, hash), probes);
	}
	retries->noted = now;
	return found;
}

bool wg_retries_collect(struct wg_retries *retries, uint64_t now)
{
	if (retries->bits && wg_has_expired(retries->noted, WG_RETRIES_SLICES * SLICE_NS, now))
		wg_retries_free(retries);
	return retries->bits;
}
