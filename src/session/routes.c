/* SPDX-License-Identifier: MIT */
/*
 * routes.c - --exit-node and --route: which peer gets what, besides what the file says
 *
 * The engine keeps one rule, cryptokey routing (WireGuard whitepaper, section 2): a prefix belongs
 * to one peer, the longest one that holds the destination decides where a packet goes, and a packet
 * from a peer is taken only if the same table leads its source to that peer. So a prefix that is
 * routed to a peer becomes one of its allowed IPs and is taken from the peer that had it; nothing
 * else of what a peer may send changes, and longer prefixes stay where they are. An exit node gets
 * both default routes, whole and in halves. Routes with a protocol are not prefixes:
 * src/tunnel/routes.c.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "src/config/values.h"
#include "src/session/launch.h"
#include "src/session/run.h"
#include "src/session/say.h"

enum { LABEL_BYTES = WGW_CONFIG_NAME_MAX_BYTES + 64, LIST_BYTES = 512 };

/** label() - how a peer is called in a message. @buf: LABEL_BYTES */
static const char *label(const struct wgw_peer_config *peer, char *buf)
{
	char key[WGW_KEY_TEXT_LEN + 1];

	snprintf(buf, LABEL_BYTES, "%s",
		 peer->name ? peer->name : wgw_key_text(peer->public_key, key));
	return buf;
}

/** say_unknown() - @option: with its value */
static void say_unknown(const struct wgw_config *config, const char *option, const char *peer)
{
	char list[LIST_BYTES] = "", one[LABEL_BYTES];
	size_t len = 0;

	for (size_t i = 0; i < config->n_peers; i++) {
		if (len + LABEL_BYTES + 8 > sizeof(list)) {
			snprintf(list + len, sizeof(list) - len, ", ...");
			break;
		}
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
					label(&config->peers[i], one));
	}
	wgw_say(WGW_SAY_ERROR,
		"%s: %s has no peer '%.80s' (a public key, a \"# Name =\", or an address among its "
		"AllowedIPs); it has: %s",
		option, config->source, peer, list);
}

/** by_name() - the peer called so; *n: how many are */
static struct wgw_peer_config *by_name(const struct wgw_config *config, const char *name, size_t *n)
{
	struct wgw_peer_config *found = NULL;

	*n = 0;
	for (size_t i = 0; i < config->n_peers; i++) {
		if (!config->peers[i].name || strcmp(config->peers[i].name, name) != 0)
			continue;
		found = &config->peers[i];
		++*n;
	}
	return found;
}

/** by_address() - the peer that @addr belongs to by longest prefix */
static struct wgw_peer_config *by_address(const struct wgw_config *config,
					  const struct stack_addr *addr)
{
	struct wgw_peer_config *found = NULL;
	int longest = -1;

	for (size_t i = 0; i < config->n_peers; i++) {
		int bits = wgw_prefixes_longest(&config->peers[i].allowed_ips, addr);

		if (bits <= longest)
			continue;
		longest = bits;
		found = &config->peers[i];
	}
	return found;
}

/** find_peer() - NULL after an error was said */
static struct wgw_peer_config *find_peer(const struct wgw_config *config, const char *option,
					 const char *peer)
{
	uint8_t key[WG_KEY_BYTES];
	struct wgw_prefix address;
	struct wgw_peer_config *found;
	size_t n;

	if (wgw_key_parse(peer, key) == 0) {
		for (size_t i = 0; i < config->n_peers; i++) {
			if (memcmp(config->peers[i].public_key, key, sizeof(key)) == 0)
				return &config->peers[i];
		}
	}
	found = by_name(config, peer, &n);
	if (n > 1) {
		wgw_say(WGW_SAY_ERROR,
			"%s: %s has %zu peers called '%.80s'; name it by its public key", option,
			config->source, n, peer);
		return NULL;
	}
	if (!found && !strchr(peer, '/') && wgw_address_parse(peer, &address) == 0)
		found = by_address(config, &address.addr);
	if (!found)
		say_unknown(config, option, peer);
	return found;
}

/** give() - @prefix becomes @peer's. 0 or -ENOMEM */
static int give(struct wgw_config *config, struct wgw_peer_config *peer,
		const struct wgw_prefix *prefix)
{
	for (size_t i = 0; i < config->n_peers; i++)
		wgw_prefixes_remove(&config->peers[i].allowed_ips, prefix);
	return wgw_prefixes_add(&peer->allowed_ips, prefix);
}

/** give_default_routes() - and the halves that others hold would be longer. 0 or -ENOMEM */
static int give_default_routes(struct wgw_config *config, struct wgw_peer_config *peer)
{
	const struct wgw_prefix all4 = {.addr = stack_addr_wildcard(true)};
	const struct wgw_prefix all6 = {.addr = stack_addr_wildcard(false)};
	int err;

	for (size_t i = 0; i < config->n_peers; i++) {
		struct wgw_prefixes *list = &config->peers[i].allowed_ips;

		for (size_t k = list->n; &config->peers[i] != peer && k-- > 0;) {
			struct wgw_prefix half = list->at[k];

			if (half.bits > WGW_HALF_BITS)
				continue;
			wgw_prefixes_remove(list, &half);
		}
	}
	err = give(config, peer, &all4);
	return err ? err : give(config, peer, &all6);
}

/** say_longer() - what of @to stays with others than @peer, because their prefixes are longer */
static void say_longer(const struct wgw_config *config, const struct wgw_peer_config *peer,
		       const struct wgw_prefix *to, const char *option)
{
	char one[LABEL_BYTES], text[WGW_ADDR_TEXT_BYTES];

	for (size_t i = 0; i < config->n_peers; i++) {
		const struct wgw_peer_config *other = &config->peers[i];

		for (size_t k = 0; other != peer && k < other->allowed_ips.n; k++) {
			const struct wgw_prefix *theirs = &other->allowed_ips.at[k];

			if (theirs->bits > to->bits && wgw_prefix_contains(to, &theirs->addr))
				wgw_say(WGW_SAY_INFO,
					"%s: %s stays with peer %s: the longer prefix counts",
					option, wgw_prefix_text(theirs, text), label(other, one));
		}
	}
}

static int no_memory(int err)
{
	if (err)
		wgw_say(WGW_SAY_ERROR, "out of memory");
	return err ? -1 : 0;
}

/** apply_route() - "ROUTE=PEER". -1 after an error was said */
static int apply_route(struct wgw_config *config, const char *text)
{
	char option[LABEL_BYTES], words[WGW_ROUTE_TEXT_BYTES];
	size_t len = strcspn(text, "=");
	struct wgw_peer_config *peer;
	struct wgw_peer_route route;
	const char *wrong = "the peer is missing, as in 10.0.0.0/8=PEER";

	snprintf(option, sizeof(option), "--route %.80s", text);
	snprintf(words, sizeof(words), "%.*s", (int)len, text);
	if (text[len] == '=')
		wrong = len < sizeof(words) ? wgw_route_parse(words, &route) : "too long";
	if (wrong) {
		wgw_say(WGW_SAY_ERROR, "%s: %s", option, wrong);
		return -1;
	}
	peer = find_peer(config, option, text + len + 1);
	if (!peer)
		return -1;
	if (!wgw_route_is_prefix(&route))
		return no_memory(wgw_routes_add(&peer->routes, &route));
	if (no_memory(give(config, peer, &route.to)))
		return -1;
	say_longer(config, peer, &route.to, option);
	return 0;
}

int wgw_routes_apply(const struct wgw_run_options *options, struct wgw_config *config)
{
	if (options->exit_node) {
		struct wgw_peer_config *peer;
		char option[LABEL_BYTES];

		snprintf(option, sizeof(option), "--exit-node %.80s", options->exit_node);
		peer = find_peer(config, option, options->exit_node);
		if (!peer || no_memory(give_default_routes(config, peer)))
			return -1;
	}
	for (unsigned int i = 0; i < options->n_routes; i++) {
		if (apply_route(config, options->routes[i]))
			return -1;
	}
	return 0;
}
