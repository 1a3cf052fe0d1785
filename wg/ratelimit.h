/* SPDX-License-Identifier: MIT */
/*
 * ratelimit.h - how many handshakes one source may have while we are under load
 */
#ifndef WG_RATELIMIT_H
#define WG_RATELIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

enum {
	WG_RATELIMIT_PER_S = 20,	 /* handshakes of one source */
	WG_RATELIMIT_BURST = 5,		 /* of these at once */
	WG_RATELIMIT_SOURCES_MAX = 8192, /* remembered; further ones are refused */
	WG_RATELIMIT_BUCKETS = 1024,
};

/**
 * struct wg_ratelimit_source - an IPv4 address or an IPv6 /64
 * @next:	Of the bucket or of the free list, as number + 1; 0: end
 * @is_proven:	Of messages with a right mac2; others cannot use up what these have
 */
struct wg_ratelimit_source {
	uint64_t prefix;
	uint64_t last;	 /* ns */
	uint64_t credit; /* ns; a handshake costs 1 s / WG_RATELIMIT_PER_S */
	uint32_t next;
	bool is_ipv6, is_proven;
};

/**
 * struct wg_ratelimit - token buckets by source
 * @sources:	NULL until the first load, and again when all sources are forgotten
 * @buckets, @free_list: Number + 1 of the first source; 0: none
 * @untouched:	From this number on no source was ever used, so that their memory is not either
 * @hash_key:	Keeps bucket choice unpredictable
 */
struct wg_ratelimit {
	struct wg_ratelimit_source *sources;
	uint32_t *buckets;
	uint32_t free_list, untouched;
	uint32_t used;
	uint8_t hash_key[16];
};

/** struct wg_budget - a token bucket for all sources together */
struct wg_budget {
	uint64_t spent_until; /* ns */
};

/* Whether one more of what may happen @per_s times a second, @burst at once, would be allowed. */
static inline bool wg_budget_has(const struct wg_budget *budget, unsigned int per_s,
				 unsigned int burst, uint64_t now)
{
	return budget->spent_until < now + (burst - 1) * (uint64_t)(1000000000 / per_s) + 1;
}

/* Takes it, if there is one. */
static inline bool wg_budget_take(struct wg_budget *budget, unsigned int per_s, unsigned int burst,
				  uint64_t now)
{
	if (!wg_budget_has(budget, per_s, burst, now))
		return false;
	if (budget->spent_until < now)
		budget->spent_until = now;
	budget->spent_until += 1000000000 / per_s;
	return true;
}

/* @hash_key: 16 random bytes. */
void wg_ratelimit_init(struct wg_ratelimit *limit, const uint8_t hash_key[16]);
void wg_ratelimit_free(struct wg_ratelimit *limit);
/* Whether a handshake from @source (AF_INET or AF_INET6) may be worked on; takes one token.
 * @is_proven: mac2 shows that the sender owns the address. A full table and lack of memory
 *		refuse. */
bool wg_ratelimit_allow(struct wg_ratelimit *limit, const struct sockaddr *source, bool is_proven,
			uint64_t now);
/* Forgets sources that were quiet for a second. */
void wg_ratelimit_collect(struct wg_ratelimit *limit, uint64_t now);

#endif
