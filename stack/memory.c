/* SPDX-License-Identifier: MIT */
/*
 * memory.c - lwIP's memory: malloc's, with short lists of free blocks
 *
 * Segments come and go by the hundred thousand a second, in bursts: each is a small record and a
 * block of one size, which is just above what malloc keeps cheap. Freed ones are kept, as many of
 * each kind as there are segments in MEMORY_KEPT_BYTES, until stack_trim.
 */
#include "stack/internal.h"

#include <malloc.h>
#include <stdlib.h>

#include "lwip/opt.h"

enum { SMALL_BYTES = 56 }; /* struct tcp_seg; a size that malloc does not round up */

struct block {
	struct block *next;
};

/**
 * struct kept - free blocks of one kind
 * @size: Of each; requests from @least on are served with it
 */
struct kept {
	struct block *first;
	unsigned int n;
	size_t size, least;
};

/* lwIP's allocator has no context; there is one stack (stack_the). */
static struct kept segments, records = {.size = SMALL_BYTES};
static unsigned int kept_max;

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
	memory_trim();
	segments.size = size;
	segments.least = size / 2;
	kept_max = (unsigned int)(MEMORY_KEPT_BYTES / size);
}

void memory_trim(void)
{
	trim(&segments);
	trim(&records);
}

void *stack_lwip_malloc(size_t size)
{
	struct kept *k = size <= records.size ? &records : &segments;
	struct block *b = k->first;

	if (size > k->size || size < k->least)
		return malloc(size);
	if (!b)
		return malloc(k->size);
	k->first = b->next;
	k->n--;
	return b;
}

void stack_lwip_free(void *p)
{
	size_t size = malloc_usable_size(p);
	struct kept *k = size < segments.size ? &records : &segments;
	struct block *b = p;

	if (k->n >= kept_max || size < k->size || size > 2 * k->size) {
		free(p);
		return;
	}
	b->next = k->first;
	k->first = b;
	k->n++;
}
