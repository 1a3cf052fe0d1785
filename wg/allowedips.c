/* SPDX-License-Identifier: MIT */
/*
 * allowedips.c - longest-prefix match from inner addresses to peers
 *
 * A binary prefix tree with path compression (Patricia), one per family. Each node stands for a
 * prefix; its children are longer prefixes that begin with it and differ in the bit behind it.
 * Nodes without a peer exist only where two branches part, so
 *
 *	every node without a peer has two children                             (invariant BRANCH)
 *
 * and there are at most 2n-1 nodes for n prefixes. Nodes with a peer are also in that peer's list,
 * which makes removal and listing cost what the peer has, not what the table has.
 *
 * Addresses are kept as 16 bytes in network order with the bits behind the prefix cleared; IPv4
 * uses the first four.
 */
#include "wg/allowedips.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wg/peer.h"

/**
 * struct wg_allowedips_node - a prefix
 * @child:	Longer prefixes, by the bit at position @prefix_len
 * @parent:	NULL at the root
 * @peer:	Owner, NULL: only a branch
 * @next:	In the peer's list
 * @link:	What points to this node in the peer's list
 * @addr:	Network order, masked
 * @prefix_len:	Bits
 * @is_ipv6:	Which of the two trees
 */
struct wg_allowedips_node {
	struct wg_allowedips_node *child[2];
	struct wg_allowedips_node *parent;
	struct wg_peer *peer;
	struct wg_allowedips_node *next, **link;
	uint8_t addr[16];
	uint8_t prefix_len;
	bool is_ipv6;
};

static unsigned int bit_at(const uint8_t *addr, unsigned int position)
{
	return addr[position / 8] >> (7 - position % 8) & 1;
}

/* How many leading bits, at most @limit, are equal. */
static unsigned int common_bits(const uint8_t *a, const uint8_t *b, unsigned int limit)
{
	unsigned int bits = 0;

	while (bits < limit) {
		uint8_t differ = a[bits / 8] ^ b[bits / 8];

		if (differ) {
			bits += (unsigned int)__builtin_clz(differ) - 24;
			break;
		}
		bits += 8;
	}
	return bits < limit ? bits : limit;
}

static bool holds(const struct wg_allowedips_node *node, const uint8_t *addr)
{
	return common_bits(node->addr, addr, node->prefix_len) == node->prefix_len;
}

struct wg_peer *wg_allowedips_find(const struct wg_allowedips *table, int family, const void *addr)
{
	const struct wg_allowedips_node *node = family == AF_INET6 ? table->root6 : table->root4;
	unsigned int bits = family == AF_INET6 ? 128 : 32;
	struct wg_peer *found = NULL;

	while (node && holds(node, addr)) {
		if (node->peer)
			found = node->peer;
		if (node->prefix_len == bits)
			break;
		node = node->child[bit_at(addr, node->prefix_len)];
	}
	return found;
}

static void list_remove(struct wg_allowedips_node *node)
{
	*node->link = node->next;
	if (node->next)
		node->next->link = node->link;
	node->peer = NULL;
}

/* Gives the prefix to @peer. */
static void assign(struct wg_allowedips_node *node, struct wg_peer *peer)
{
	if (node->peer)
		list_remove(node);
	node->peer = peer;
	node->next = peer->allowed_ips;
	node->link = &peer->allowed_ips;
	if (node->next)
		node->next->link = &node->next;
	peer->allowed_ips = node;
}

static struct wg_allowedips_node *node_new(const uint8_t *addr, unsigned int prefix_len,
					   bool is_ipv6)
{
	struct wg_allowedips_node *node = calloc(1, sizeof(*node));
	unsigned int whole = prefix_len / 8, rest = prefix_len % 8;

	if (!node)
		return NULL;
	memcpy(node->addr, addr, whole);
	if (rest)
		node->addr[whole] = (uint8_t)(addr[whole] & 0xff00 >> rest);
	node->prefix_len = (uint8_t)prefix_len;
	node->is_ipv6 = is_ipv6;
	return node;
}

static struct wg_allowedips_node **place_of(struct wg_allowedips *table,
					    const struct wg_allowedips_node *node)
{
	if (node->parent)
		return &node->parent->child[bit_at(node->addr, node->parent->prefix_len)];
	return node->is_ipv6 ? &table->root6 : &table->root4;
}

static void attach(struct wg_allowedips_node *parent, struct wg_allowedips_node *child)
{
	parent->child[bit_at(child->addr, parent->prefix_len)] = child;
	child->parent = parent;
}

/* Puts @fresh where @old is, and @old below it: directly, or beside it under a new branch. */
static int insert_above(struct wg_allowedips *table, struct wg_allowedips_node *fresh,
			struct wg_allowedips_node *old)
{
	struct wg_allowedips_node **place = place_of(table, old), *top = fresh;
	unsigned int common = common_bits(fresh->addr, old->addr, fresh->prefix_len);

	if (common > old->prefix_len)
		common = old->prefix_len;
	if (common < fresh->prefix_len) {
		top = node_new(fresh->addr, common, fresh->is_ipv6);
		if (!top)
			return -ENOMEM;
	}
	top->parent = old->parent;
	*place = top;
	attach(top, old);
	if (top != fresh)
		attach(top, fresh);
	return 0;
}

int wg_allowedips_insert(struct wg_allowedips *table, int family, const void *addr,
			 uint8_t prefix_len, struct wg_peer *peer)
{
	struct wg_allowedips_node **place, *parent = NULL, *fresh;
	bool is_ipv6 = family == AF_INET6;

	if ((family != AF_INET && !is_ipv6) || prefix_len > (is_ipv6 ? 128 : 32))
		return -EINVAL;
	place = is_ipv6 ? &table->root6 : &table->root4;

	while (*place && (*place)->prefix_len < prefix_len && holds(*place, addr)) {
		parent = *place;
		place = &parent->child[bit_at(addr, parent->prefix_len)];
	}
	if (*place && (*place)->prefix_len == prefix_len && holds(*place, addr)) {
		assign(*place, peer);
		return 0;
	}

	fresh = node_new(addr, prefix_len, is_ipv6);
	if (!fresh)
		return -ENOMEM;
	if (!*place) {
		*place = fresh;
		fresh->parent = parent;
	} else if (insert_above(table, fresh, *place)) {
		free(fresh);
		return -ENOMEM;
	}
	assign(fresh, peer);
	return 0;
}

/* Restores BRANCH for a node that has lost its peer or a child. */
static void prune(struct wg_allowedips *table, struct wg_allowedips_node *node)
{
	while (node && !node->peer && !(node->child[0] && node->child[1])) {
		struct wg_allowedips_node *parent = node->parent;
		struct wg_allowedips_node *only = node->child[0] ? node->child[0] : node->child[1];

		*place_of(table, node) = only;
		if (only)
			only->parent = parent;
		free(node);
		node = only ? NULL : parent;
	}
}

void wg_allowedips_remove_peer(struct wg_allowedips *table, struct wg_peer *peer)
{
	while (peer->allowed_ips) {
		struct wg_allowedips_node *node = peer->allowed_ips;

		list_remove(node);
		prune(table, node);
	}
}

static void free_tree(struct wg_allowedips_node *node)
{
	if (!node)
		return;
	if (node->peer)
		list_remove(node);
	/* at most 128 deep */
	free_tree(node->child[0]);
	free_tree(node->child[1]);
	free(node);
}

void wg_allowedips_free(struct wg_allowedips *table)
{
	free_tree(table->root4);
	free_tree(table->root6);
	table->root4 = table->root6 = NULL;
}
