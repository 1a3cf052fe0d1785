/* SPDX-License-Identifier: MIT */
/*
 * ratelimit.c - token buckets by source address
 *
 * Who owns one IPv6 address usually owns its /64, so that is what counts. What came with a cookie
 * and what came without counts apart: anybody can send the latter in another's name. Sources live
 * in one array of fixed size, threaded into hash chains and a free list by numbers; the array
 * exists only while there are sources. A flood from more sources than it holds gets refused instead
 * of remembered.
 */
#include "wg/ratelimit.h"

#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "wg/bytes.h"
#include "wg/messages.h"

#define COST_NS	      (WG_NS_PER_S / WG_RATELIMIT_PER_S)
#define CREDIT_MAX_NS (COST_NS * WG_RATELIMIT_BURST)
#define IDLE_NS	      WG_NS_PER_S

static_assert(crypto_shorthash_KEYBYTES == 16, "key size in the header");

void wg_ratelimit_init(struct wg_ratelimit *limit, const uint8_t hash_key[16])
{
	memset(limit, 0, sizeof(*limit));
	memcpy(limit->hash_key, hash_key, sizeof(limit->hash_key));
}

void wg_ratelimit_free(struct wg_ratelimit *limit)
{
	free(limit->sources);
	free(limit->buckets);
	limit->sources = NULL;
	limit->buckets = NULL;
	limit->used = 0;
}

static bool allocate(struct wg_ratelimit *limit)
{
	limit->sources = calloc(WG_RATELIMIT_SOURCES_MAX, sizeof(*limit->sources));
	limit->buckets = calloc(WG_RATELIMIT_BUCKETS, sizeof(*limit->buckets));
	if (!limit->sources || !limit->buckets) {
		wg_ratelimit_free(limit);
		return false;
	}
	limit->free_list = 0;
	limit->untouched = 0;
	return true;
}

static uint32_t *bucket_of(struct wg_ratelimit *limit, uint64_t prefix, bool is_ipv6)
{
	uint8_t in[9], out[crypto_shorthash_BYTES];

	memcpy(in, &prefix, sizeof(prefix));
	in[8] = is_ipv6;
	crypto_shorthash(out, in, sizeof(in), limit->hash_key);
	return &limit->buckets[wg_get_le32(out) % WG_RATELIMIT_BUCKETS];
}

/* Returns the number + 1 of a source that is not in use, 0: all are. */
static uint32_t take_source(struct wg_ratelimit *limit)
{
	uint32_t i = limit->free_list;

	if (i)
		limit->free_list = limit->sources[i - 1].next;
	else if (limit->untouched < WG_RATELIMIT_SOURCES_MAX)
		i = ++limit->untouched;
	limit->used += i != 0;
	return i;
}

static bool take_token(struct wg_ratelimit_source *source, uint64_t now)
{
	uint64_t gained = now > source->last ? now - source->last : 0;

	if (gained > CREDIT_MAX_NS - source->credit)
		gained = CREDIT_MAX_NS - source->credit;
	source->credit += gained;
	source->last = now;
	if (source->credit < COST_NS)
		return false;
	source->credit -= COST_NS;
	return true;
}

bool wg_ratelimit_allow(struct wg_ratelimit *limit, const struct sockaddr *source, bool is_proven,
			uint64_t now)
{
	bool is_ipv6 = source->sa_family == AF_INET6;
	struct wg_ratelimit_source *s;
	uint64_t prefix = 0;
	uint32_t *bucket, i;

	if (is_ipv6)
		memcpy(&prefix, &((const struct sockaddr_in6 *)source)->sin6_addr, 8);
	else
		memcpy(&prefix, &((const struct sockaddr_in *)source)->sin_addr, 4);

	if (!limit->sources && !allocate(limit))
		return false;
	bucket = bucket_of(limit, prefix, is_ipv6);
	for (i = *bucket; i; i = s->next) {
		s = &limit->sources[i - 1];
		if (s->prefix == prefix && s->is_ipv6 == is_ipv6 && s->is_proven == is_proven)
			return take_token(s, now);
	}
	i = take_source(limit);
	if (!i)
		return false;
	limit->sources[i - 1] = (struct wg_ratelimit_source){.prefix = prefix,
							     .is_ipv6 = is_ipv6,
							     .is_proven = is_proven,
							     .last = now,
							     .credit = CREDIT_MAX_NS - COST_NS,
							     .next = *bucket};
	*bucket = i;
	return true;
}

void wg_ratelimit_collect(struct wg_ratelimit *limit, uint64_t now)
{
	if (!limit->sources)
		return;
	for (size_t b = 0; b < WG_RATELIMIT_BUCKETS; b++) {
		uint32_t *place = &limit->buckets[b];

		while (*place) {
			uint32_t i = *place;
			struct wg_ratelimit_source *s = &limit->sources[i - 1];

			if (!wg_has_expired(s->last, IDLE_NS, now)) {
				place = &s->next;
				continue;
			}
			*place = s->next;
			s->next = limit->free_list;
			limit->free_list = i;
			limit->used--;
		}
	}
	if (limit->used == 0)
		wg_ratelimit_free(limit);
}
