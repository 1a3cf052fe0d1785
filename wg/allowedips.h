/* SPDX-License-Identifier: MIT */
/*
 * allowedips.h - which peer an inner address belongs to (cryptokey routing, section 2)
 */
#ifndef WG_ALLOWEDIPS_H
#define WG_ALLOWEDIPS_H

#include <stdint.h>

struct wg_peer;
struct wg_allowedips_node;

/** struct wg_allowedips - a prefix tree per address family; all zero is empty */
struct wg_allowedips {
	struct wg_allowedips_node *root4;
	struct wg_allowedips_node *root6;
};

/* Maps a prefix to @peer and takes it from the peer that had it. Bits behind @prefix_len are
 * ignored. Returns 0, -EINVAL or -ENOMEM. */
int wg_allowedips_insert(struct wg_allowedips *table, int family, const void *addr,
			 uint8_t prefix_len, struct wg_peer *peer);
/* Longest prefix that holds @addr; NULL: none. */
struct wg_peer *wg_allowedips_find(const struct wg_allowedips *table, int family, const void *addr);
void wg_allowedips_remove_peer(struct wg_allowedips *table, struct wg_peer *peer);
void wg_allowedips_free(struct wg_allowedips *table);

#endif
