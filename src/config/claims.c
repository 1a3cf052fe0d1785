/* SPDX-License-Identifier: MIT */
/*
 * claims.c - which peer gets which allowed IP
 *
 * A prefix belongs to one peer. As in the kernel, the last one in the file that names it has it.
 * That is rarely what was meant, so it is said, with both peers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/config/parser.h"

enum { PEER_LABEL_BYTES = WGW_CONFIG_NAME_MAX_BYTES + 48 };

int wgw_claims_add(struct wgw_claims *claims, const struct wgw_claim *claim)
{
	/* room doubles whenever the count reaches a power of two */
	if ((claims->n & (claims->n - 1)) == 0) {
		size_t room = claims->n ? 2 * claims->n : 1;
		struct wgw_claim *at = reallocarray(claims->at, room, sizeof(*at));

		if (!at)
			return -ENOMEM;
		claims->at = at;
	}
	claims->at[claims->n] = *claim;
	claims->at[claims->n].order = claims->n;
	claims->n++;
	return 0;
}

/** compare_prefixes() - any total order */
static int compare_prefixes(const struct wgw_prefix *a, const struct wgw_prefix *b)
{
	int r = memcmp(a->addr.ip, b->addr.ip, sizeof(a->addr.ip));

	return r ? r : (int)a->bits - (int)b->bits;
}

/** by_prefix() - prefixes together, each in file order */
static int by_prefix(const void *one, const void *other)
{
	const struct wgw_claim *a = one, *b = other;
	int r = compare_prefixes(&a->prefix, &b->prefix);

	return r ? r : (a->order > b->order) - (a->order < b->order);
}

static int by_order(const void *one, const void *other)
{
	const struct wgw_claim *a = one, *b = other;

	return (a->order > b->order) - (a->order < b->order);
}

/** peer_label() - how a peer is called in a message */
static const char *peer_label(const struct wgw_peer_config *peer, char *buf)
{
	snprintf(buf, PEER_LABEL_BYTES, "the [Peer] of line %u%s%s%s", peer->line,
		 peer->name ? " (" : "", peer->name ? peer->name : "", peer->name ? ")" : "");
	return buf;
}

/** warn() - @loser's prefix goes to @winner's peer */
static void warn(const struct wgw_claim *loser, const struct wgw_claim *winner,
		 const struct wgw_config *config, struct wgw_diag *diag)
{
	char lost[PEER_LABEL_BYTES], won[PEER_LABEL_BYTES], text[WGW_ADDR_TEXT_BYTES];

	wgw_diag_say(diag, WGW_WARNING,
		     "%s:%u: AllowedIPs: %s is also in line %u: %s gets it, %s does not",
		     config->source, winner->line, wgw_prefix_text(&winner->prefix, text),
		     loser->line, peer_label(&config->peers[winner->peer], won),
		     peer_label(&config->peers[loser->peer], lost));
}

/** settle_one() - decides for @n claims of one prefix, in file order. Return: the winner's index,
 * or @n when nobody has it in the end */
static size_t settle_one(const struct wgw_claim *same, size_t n, const struct wgw_config *config,
			 struct wgw_diag *diag)
{
	size_t holder = n;

	for (size_t i = 0; i < n; i++) {
		if (same[i].removes) {
			if (holder < n && same[holder].peer == same[i].peer)
				holder = n;
			continue;
		}
		if (holder < n && same[holder].peer != same[i].peer)
			warn(&same[holder], &same[i], config, diag);
		holder = i;
	}
	return holder;
}

int wgw_claims_settle(struct wgw_claims *claims, struct wgw_config *config, struct wgw_diag *diag)
{
	size_t kept = 0, n;

	if (claims->n == 0)
		return 0;
	qsort(claims->at, claims->n, sizeof(*claims->at), by_prefix);
	for (size_t i = 0; i < claims->n; i += n) {
		size_t winner;

		for (n = 1; i + n < claims->n; n++) {
			if (compare_prefixes(&claims->at[i].prefix, &claims->at[i + n].prefix) != 0)
				break;
		}
		winner = settle_one(&claims->at[i], n, config, diag);
		if (winner < n)
			claims->at[kept++] = claims->at[i + winner];
	}
	qsort(claims->at, kept, sizeof(*claims->at), by_order);
	for (size_t i = 0; i < kept; i++) {
		struct wgw_peer_config *peer = &config->peers[claims->at[i].peer];

		if (wgw_prefixes_add(&peer->allowed_ips, &claims->at[i].prefix) < 0)
			return -ENOMEM;
	}
	return 0;
}
