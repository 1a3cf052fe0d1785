/* SPDX-License-Identifier: MIT */
/*
 * index.h - the 32-bit receiver indices under which peers address our handshakes and keypairs
 */
#ifndef WG_INDEX_H
#define WG_INDEX_H

#include <stdint.h>

struct wg_device;
struct wg_peer;

enum wg_index_kind {
	WG_INDEX_UNUSED = 0,
	WG_INDEX_HANDSHAKE, /* embedded in a struct wg_handshake */
	WG_INDEX_KEYPAIR,   /* embedded in a struct wg_keypair */
};

/**
 * struct wg_index - one index in use, embedded in what it addresses
 * @next:	Of the same bucket
 * @peer:	Owner
 * @value:	The index
 * @kind:	What it is embedded in; WG_INDEX_UNUSED: not in the table
 */
struct wg_index {
	struct wg_index *next;
	struct wg_peer *peer;
	uint32_t value;
	enum wg_index_kind kind;
};

enum { WG_INDEX_BUCKETS = 2048 };

struct wg_index_table {
	struct wg_index *buckets[WG_INDEX_BUCKETS];
};

/* Gives @index a random value that no other has and puts it into the device's table; one that is
 * in the table already gets a new value. */
void wg_index_insert(struct wg_device *dev, struct wg_index *index, struct wg_peer *peer,
		     enum wg_index_kind kind);
/* Hands value and place of @from on to @to, which becomes @kind. @from is unused afterwards. */
void wg_index_replace(struct wg_device *dev, struct wg_index *from, struct wg_index *to,
		      enum wg_index_kind kind);
/* Harmless when it is not in the table. */
void wg_index_remove(struct wg_device *dev, struct wg_index *index);
/* NULL: nobody's. */
struct wg_index *wg_index_find(struct wg_device *dev, uint32_t value);

#endif
