/* SPDX-License-Identifier: MIT */
/*
 * resolver_order.c - destination address selection, RFC 6724 with glibc's table
 *
 * The table is what getaddrinfo(3) of glibc uses without a gai.conf(5), the one of RFC 3484 with a
 * label for fc00::/7: the addresses of one's own network by IPv6 come before IPv4, where RFC 6724
 * has it the other way. Programs find here what they find without a tunnel. The host's gai.conf is
 * not read.
 *
 * Rules 1 (unusable destinations last), 2 (scope), 5 (label), 6 (precedence) and 8 (smaller scope)
 * are decided from the address and the tunnel address that would be its source; the others need
 * what a tunnel does not have (deprecated or home addresses), rule 9 is left out on purpose, since
 * it defeats the round robin of name servers. Equal ones keep the server's order (rule 10).
 */
#include <string.h>

#include "src/tunnel/resolver.h"

/** struct policy - a line of the default table */
struct policy {
	uint8_t prefix[16];
	uint8_t bits, precedence, label;
};

static const struct policy table[] = {
	{{[15] = 1}, 128, 50, 0},  {{[10] = 0xff, [11] = 0xff}, 96, 10, 4},
	{{0x20, 0x02}, 16, 30, 2}, {{0x20, 0x01}, 32, 40, 7},
	{{0xfc}, 7, 40, 6},	   {{0}, 96, 20, 3},
	{{0xfe, 0xc0}, 10, 40, 5}, {{0}, 0, 40, 1},
};

static bool in_prefix(const uint8_t *ip, const struct policy *p)
{
	unsigned int bytes = p->bits / 8, rest = p->bits % 8;

	return memcmp(ip, p->prefix, bytes) == 0 &&
	       (rest == 0 || (ip[bytes] ^ p->prefix[bytes]) >> (8 - rest) == 0);
}

/* The table is in order of length but for the wildcard lines: the longest match wins. */
static const struct policy *policy_of(const uint8_t *ip)
{
	const struct policy *best = NULL;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (in_prefix(ip, &table[i]) && (!best || table[i].bits > best->bits))
			best = &table[i];
	}
	return best;
}

/* RFC 6724 section 3.1: link-local 2, site-local 5, global 14; IPv4 by section 3.2. */
static int scope_of(const uint8_t *ip)
{
	if (stack_ip_is_v4(ip))
		return ip[12] == 127 || (ip[12] == 169 && ip[13] == 254) ? 2 : 14;
	if (ip[0] == 0xff)
		return ip[1] & 0xf;
	if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80)
		return 2;
	if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0xc0)
		return 5;
	return ip[15] == 1 && policy_of(ip)->label == 0 ? 2 : 14;
}

/** struct rank - compared field by field, greater first */
struct rank {
	bool usable, same_scope, same_label;
	int precedence, small_scope;
};

static struct rank rank_of(const struct stack *stack, const uint8_t *ip)
{
	struct stack_addr to = {.port = 0}, from;
	struct rank r = {.precedence = policy_of(ip)->precedence, .small_scope = -scope_of(ip)};

	memcpy(to.ip, ip, 16);
	r.usable = stack_source_for(stack, &to, &from);
	if (r.usable) {
		r.same_scope = scope_of(ip) == scope_of(from.ip);
		r.same_label = policy_of(ip)->label == policy_of(from.ip)->label;
	}
	return r;
}

static bool is_before(const struct rank *a, const struct rank *b)
{
	if (a->usable != b->usable)
		return a->usable;
	if (a->same_scope != b->same_scope)
		return a->same_scope;
	if (a->same_label != b->same_label)
		return a->same_label;
	if (a->precedence != b->precedence)
		return a->precedence > b->precedence;
	return a->small_scope > b->small_scope;
}

/* Insertion sort: stable, and 64 addresses at most. */
void dns_order(const struct stack *stack, struct dns_answer *answer)
{
	struct rank ranks[WGW_RESOLVED_MAX];

	for (uint32_t i = 0; i < answer->n; i++) {
		struct rank r = rank_of(stack, answer->ip[i]);
		uint8_t ip[16];
		uint32_t at = i;

		memcpy(ip, answer->ip[i], 16);
		for (; at > 0 && is_before(&r, &ranks[at - 1]); at--) {
			ranks[at] = ranks[at - 1];
			memcpy(answer->ip[at], answer->ip[at - 1], 16);
		}
		ranks[at] = r;
		memcpy(answer->ip[at], ip, 16);
	}
}
