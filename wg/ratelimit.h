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

/** struct wg_ratelimit_source - an IPv4 address or an IPv6 /64 */
struct wg_ratelimit_source {
	uint64_t prefix;
	uint64_t last;	 /* ns */
	uint64_t credit; /* ns; a handshake costs 1 s / WG_RATELIMIT_PER_S */
	int32_t next;	 /* of the bucket or of the free list; -1: end */
	bool is_ipv6;
};

/**
 * struct wg_ratelimit - token buckets by source
 * @sources:	NULL until the first load, and again when all sources are forgotten
 * @hash_key:	Keeps bucket choice unpredictable
 */
struct wg_ratelimit {
	struct wg_ratelimit_source *sources;
	int32_t *buckets;
	int32_t free_list;
	uint32_t used;
	uint8_t hash_key[16];
};

/* @hash_key: 16 random bytes. */
void wg_ratelimit_init(struct wg_ratelimit *limit, const uint8_t hash_key[16]);
void wg_ratelimit_free(struct wg_ratelimit *limit);
/* Whether a handshake from @source (AF_INET or AF_INET6) may be worked on; takes one token. A
 * full table and lack of memory refuse. */
bool wg_ratelimit_allow(struct wg_ratelimit *limit, const struct sockaddr *source, uint64_t now);
/* Forgets sources that were quiet for a second. */
void wg_ratelimit_collect(struct wg_ratelimit *limit, uint64_t now);

#endif
