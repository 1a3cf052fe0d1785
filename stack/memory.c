/* SPDX-License-Identifier: MIT */
/*
 * memory.c - lwIP's memory: malloc's, with short lists of free blocks
 *
 * Segments come and go by the hundred thousand a second, in bursts: most are blocks of one size,
 * which is just above what malloc keeps cheap. So do the blocks of gro.c. Freed ones are kept until
 * stack_trim, those that were freed last, hence are in the cache, serve next.
 *
 * A head before each block says what kind it is. What costs time is neither that nor malloc, but
 * the cache lines that nobody has touched for a round trip. So a block that is kept begins on a
 * line; a segment's first three hold the head, struct pbuf, struct tcp_seg (patch 10), what refers
 * to the data (patch 11) and the headers.
 */
#include "stack/internal.h"

#include <assert.h>
#include <stdlib.h>

#include "lwip/opt.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"

enum {
	CACHE_LINE_BYTES = 64,
	SMALL_BYTES = 48,	/* struct tcp_seg of a received segment */
	BLOCK_EXTRA_BYTES = 64, /* of gro.c's blocks: struct pbuf */
	HEADERS_BYTES =
		112, /* struct pbuf, struct tcp_seg, struct pbuf, IP and TCP header, options */
	HEADERS_MOST_BYTES = 176,
	KINDS = 4,
	PREFETCH_AHEAD = 4,
};

static_assert(sizeof(struct tcp_seg) + sizeof(struct pbuf) <= PBUF_LINK_HLEN,
	      "patches 10 and 11 put them there");

/**
 * struct head - precedes what lwIP gets
 * @kept:	Its kind, NULL: none
 */
struct head {
	_Alignas(MEM_ALIGNMENT) struct kept *kept;
};

/**
 * struct kept - free blocks of one kind
 * @size: Of each with its head; requests from @least on are served with it
 * @free: The @n that are kept, of @max; a list through them would be a walk through cold memory
 */
struct kept {
	struct head **free;
	unsigned int n, max;
	size_t size, least;
};

/* By size. lwIP's allocator has no context; there is one stack (stack_the). */
static struct kept kinds[KINDS];

static void trim(struct kept *k)
{
	while (k->n > 0)
		free(k->free[--k->n]);
	free(k->free);
	k->free = NULL;
}

static struct kept kind(size_t least, size_t most, size_t max)
{
	size_t size = sizeof(struct head) + most + CACHE_LINE_BYTES - 1;

	return (struct kept){
		.least = least, .size = size - size % CACHE_LINE_BYTES, .max = (unsigned int)max};
}

/** memory_init() - @size: of a full segment with all that lwIP puts around it */
void memory_init(size_t size)
{
	const size_t segments = MEMORY_KEPT_BYTES / size;

	memory_trim();
	kinds[0] = kind(0, SMALL_BYTES, segments);
	kinds[1] = kind(HEADERS_BYTES, HEADERS_MOST_BYTES, segments);
	kinds[2] = kind(size / 2, size, segments);
	kinds[3] = kind(GRO_BLOCK_BYTES, GRO_BLOCK_BYTES + BLOCK_EXTRA_BYTES,
			GRO_KEPT_BYTES / GRO_BLOCK_BYTES);
}

void memory_trim(void)
{
	for (int i = 0; i < KINDS; i++)
		trim(&kinds[i]);
}

static struct kept *kind_of(size_t size)
{
	for (struct kept *k = kinds; k < kinds + KINDS; k++)
		if (size >= k->least && sizeof(struct head) + size <= k->size)
			return k;
	return NULL;
}

/* Those that will be wanted in a moment */
static void prefetch(const struct kept *k)
{
	const uint8_t *at;

	if (k->n < PREFETCH_AHEAD)
		return;
	at = (const uint8_t *)k->free[k->n - PREFETCH_AHEAD];
	__builtin_prefetch(at, 1);
	__builtin_prefetch(at + CACHE_LINE_BYTES, 1);
	__builtin_prefetch(at + 2 * CACHE_LINE_BYTES, 1);
}

void *stack_lwip_malloc(size_t size)
{
	struct kept *k = kind_of(size);
	struct head *h;

	if (k && k->n > 0) {
		h = k->free[--k->n];
		prefetch(k);
		return h + 1;
	}
	h = k ? aligned_alloc(CACHE_LINE_BYTES, k->size) : malloc(sizeof(*h) + size);
	if (!h)
		return NULL;
	h->kept = k;
	return h + 1;
}

void stack_lwip_free(void *p)
{
	struct head *h = (struct head *)p - 1;
	struct kept *k = h->kept;

	if (k && !k->free)
		k->free = malloc(k->max * sizeof(*k->free));
	if (k && k->free && k->n < k->max)
		k->free[k->n++] = h;
	else
		free(h);
}
