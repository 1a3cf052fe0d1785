/* SPDX-License-Identifier: MIT */
/*
 * memory.c - lwIP's memory: malloc's, with short lists of free blocks
 *
 * Segments come and go by the hundred thousand a second, in bursts: each is a small record and a
 * block of one size, which is just above what malloc keeps cheap. So do the blocks of gro.c. Freed
 * ones are kept until stack_trim, those that were freed last, hence are in the cache, serve next.
 *
 * What is kept has its kind's size exactly. A piece of something larger, were it kept, would hold
 * the hole around it, too small for a block: the heap would grow by a block for each.
 */
#include "stack/internal.h"

#include <malloc.h>
#include <stdlib.h>

#include "lwip/opt.h"

enum {
	SMALL_BYTES = 56,	/* struct tcp_seg; a size that malloc does not round up */
	BLOCK_EXTRA_BYTES = 64, /* of gro.c's blocks: struct pbuf */
	ROUNDED_BYTES = 32,	/* what malloc may give more than asked for */
	KINDS = 3,
};

struct block {
	struct block *next;
};

/**
 * struct kept - free blocks of one kind
 * @size: Of each; requests from @least on are served with it
 * @max:  How many are kept
 */
struct kept {
	struct block *first;
	unsigned int n, max;
	size_t size, least;
};

/* By size. lwIP's allocator has no context; there is one stack (stack_the). */
static struct kept kinds[KINDS];

static void trim(struct kept *k)
{
	while (k->first) {
		struct block *b = k->first;

		k->first = b->next;
		free(b);
	}
	k->n = 0;
}

/** memory_init() - @size: of a full segment with all that lwIP puts around it */
void memory_init(size_t size)
{
	const unsigned int segments = (unsigned int)(MEMORY_KEPT_BYTES / size);

	memory_trim();
	kinds[0] = (struct kept){.max = segments, .size = SMALL_BYTES};
	kinds[1] = (struct kept){.max = segments, .size = size, .least = size / 2};
	kinds[2] = (struct kept){.max = GRO_KEPT_BYTES / GRO_BLOCK_BYTES,
				 .size = GRO_BLOCK_BYTES + BLOCK_EXTRA_BYTES,
				 .least = GRO_BLOCK_BYTES};
}

void memory_trim(void)
{
	for (int i = 0; i < KINDS; i++)
		trim(&kinds[i]);
}

void *stack_lwip_malloc(size_t size)
{
	for (struct kept *k = kinds; k < kinds + KINDS; k++) {
		struct block *b = k->first;

		if (size > k->size)
			continue;
		if (size < k->least)
			break;
		if (!b)
			return malloc(k->size);
		k->first = b->next;
		k->n--;
		return b;
	}
	return malloc(size);
}

void stack_lwip_free(void *p)
{
	size_t size = malloc_usable_size(p);
	struct block *b = p;

	for (struct kept *k = kinds; k < kinds + KINDS; k++) {
		if (size < k->size || size > k->size + ROUNDED_BYTES || k->n >= k->max)
			continue;
		b->next = k->first;
		k->first = b;
		k->n++;
		return;
	}
	free(p);
}
