/* SPDX-License-Identifier: MIT */
/*
 * resolver_cache.c - answers, as long as their TTL says
 *
 * A table of fixed size in which a new answer takes the place of what hashes alike: bounded without
 * bookkeeping. Only addresses that were found are kept; failures are asked again, as a program's
 * retry expects. The hash is keyed, so that nobody can choose names that collide.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/tunnel/resolver.h"

/** struct key - what an answer depends on; compared as bytes, so without padding */
struct key {
	uint64_t set;
	int32_t family;
	uint32_t search;
	char name[WGW_NAME_MAX_BYTES];
};

struct entry {
	struct key key;
	uint64_t expires_ns;
	struct dns_answer answer;
};

struct dns_cache {
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
	struct entry *slots[DNS_CACHE_SLOTS];
};

struct dns_cache *dns_cache_new(void)
{
	struct dns_cache *c = calloc(1, sizeof(*c));

	if (c)
		randombytes_buf(c->hash_key, sizeof(c->hash_key));
	return c;
}

static bool key_fill(struct key *k, uint64_t set, const struct wgw_query *query)
{
	const char *name = query->name;
	size_t len = strlen(name);

	if (len >= sizeof(k->name))
		return false;
	memset(k, 0, sizeof(*k));
	k->set = set;
	k->family = query->family;
	k->search = query->search;
	for (size_t i = 0; i < len; i++) /* names are compared without case, RFC 4343 */
		k->name[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
	return true;
}

static struct entry **slot_of(struct dns_cache *c, const struct key *k)
{
	uint64_t hash;

	crypto_shorthash((unsigned char *)&hash, (const unsigned char *)k, sizeof(*k), c->hash_key);
	return &c->slots[hash % DNS_CACHE_SLOTS];
}

const struct dns_answer *dns_cache_get(struct dns_cache *c, uint64_t set,
				       const struct wgw_query *query, uint64_t now_ns,
				       uint32_t *ttl_s)
{
	struct key k;
	struct entry *e;

	if (!key_fill(&k, set, query))
		return NULL;
	e = *slot_of(c, &k);
	if (!e || memcmp(&e->key, &k, sizeof(k)) != 0 || now_ns >= e->expires_ns)
		return NULL;
	*ttl_s = (uint32_t)((e->expires_ns - now_ns) / WGW_SEC_NS);
	return &e->answer;
}

void dns_cache_put(struct dns_cache *c, uint64_t set, const struct wgw_query *query,
		   uint64_t now_ns, const struct dns_answer *answer)
{
	uint32_t ttl_s = answer->ttl_s;
	struct entry **slot;
	struct key k;

	ttl_s = ttl_s < DNS_CACHE_TTL_MAX_S ? ttl_s : DNS_CACHE_TTL_MAX_S;
	if (answer->n == 0 || ttl_s == 0 || !key_fill(&k, set, query))
		return;
	slot = slot_of(c, &k);
	if (!*slot && !(*slot = malloc(sizeof(**slot))))
		return;
	(*slot)->key = k;
	(*slot)->expires_ns = now_ns + ttl_s * WGW_SEC_NS;
	(*slot)->answer = *answer;
}
