/* SPDX-License-Identifier: MIT */
/*
 * index.c - receiver indices
 *
 * Each handshake takes a random index that is unique among all handshakes and keypairs of the
 * device; the keypair that comes out of it inherits the index, because the peer goes on using it.
 * Random values keep the number of peers and of handshakes from showing on the wire, and make the
 * low bits a good hash as they are.
 */
#include "wg/index.h"

#include "wg/device.h"

static_assert((WG_INDEX_BUCKETS & (WG_INDEX_BUCKETS - 1)) == 0, "buckets are found by masking");

static struct wg_index **bucket_of(struct wg_device *dev, uint32_t value)
{
	return &dev->indices.buckets[value & (WG_INDEX_BUCKETS - 1)];
}

static void link_in(struct wg_device *dev, struct wg_index *index)
{
	struct wg_index **bucket = bucket_of(dev, index->value);

	index->next = *bucket;
	*bucket = index;
}

struct wg_index *wg_index_find(struct wg_device *dev, uint32_t value)
{
	struct wg_index *index = *bucket_of(dev, value);

	while (index && index->value != value)
		index = index->next;
	return index;
}

void wg_index_insert(struct wg_device *dev, struct wg_index *index, struct wg_peer *peer,
		     enum wg_index_kind kind)
{
	wg_index_remove(dev, index);
	do
		dev->ops->random(dev->ops_ctx, &index->value, sizeof(index->value));
	while (wg_index_find(dev, index->value));
	index->peer = peer;
	index->kind = kind;
	link_in(dev, index);
}

void wg_index_replace(struct wg_device *dev, struct wg_index *from, struct wg_index *to,
		      enum wg_index_kind kind)
{
	wg_index_remove(dev, to);
	to->value = from->value;
	to->peer = from->peer;
	to->kind = kind;
	wg_index_remove(dev, from);
	link_in(dev, to);
}

void wg_index_remove(struct wg_device *dev, struct wg_index *index)
{
	struct wg_index **place;

	if (index->kind == WG_INDEX_UNUSED)
		return;
	for (place = bucket_of(dev, index->value); *place != index; place = &(*place)->next)
		;
	*place = index->next;
	index->next = NULL;
	index->kind = WG_INDEX_UNUSED;
}
