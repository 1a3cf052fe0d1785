/* SPDX-License-Identifier: MIT */
/*
 * written.c - the memory into which owners write what is to be sent
 *
 * The stack lends one block to whoever writes. When that was much, segments refer to it (patch 11)
 * and it becomes the connection's, else it is copied into segments and the block is lent again. A
 * connection's blocks are in the order of the stream, and what is acknowledged frees them from the
 * front. So bytes are copied once between their owner and the packet, the blocks that are used next
 * are those that were used last, and a connection that has nothing in flight has none.
 */
#include "stack/internal.h"

#include <stdlib.h>

/**
 * struct written - a block
 * @next: In a connection, or of the free ones
 * @end:  Of the connection's bytes, where those in here end
 */
struct written {
	struct written *next;
	uint64_t end;
	uint8_t data[SEND_PIECE_BYTES];
};

static void keep_spare(struct stack *s, struct written *b)
{
	b->next = s->spare;
	s->spare = b;
	s->n_spare++;
}

/** written_init() - the first block; false: no memory */
bool written_init(struct stack *s)
{
	s->lent = malloc(sizeof(*s->lent));
	return s->lent;
}

/** written_ready() - whether written_keep may be called: there is a block that is lent next */
bool written_ready(struct stack *s)
{
	struct written *b;

	if (s->spare)
		return true;
	b = malloc(sizeof(*b));
	if (b)
		keep_spare(s, b);
	return b;
}

/** written_lent() - SEND_PIECE_BYTES for whoever writes next, the same ones until written_keep */
uint8_t *written_lent(struct stack *s)
{
	return s->lent->data;
}

/** written_keep() - what is lent is @f's until it is acknowledged up to @end */
void written_keep(struct flow *f, uint64_t end)
{
	struct stack *s = f->stack;
	struct written *b = s->lent;

	s->lent = s->spare;
	s->spare = s->spare->next;
	s->n_spare--;
	s->n_written++;
	b->next = NULL;
	b->end = end;
	if (f->written)
		f->written_last->next = b;
	else
		f->written = b;
	f->written_last = b;
}

/** written_acked() - no segment refers to any of @f's bytes before @end */
void written_acked(struct flow *f, uint64_t end)
{
	struct stack *s = f->stack;

	while (f->written && f->written->end <= end) {
		struct written *b = f->written;

		f->written = b->next;
		s->n_written--;
		if (s->n_spare < SEND_KEPT_BYTES / sizeof(*b))
			keep_spare(s, b);
		else
			free(b);
	}
}

/** written_trim() - frees what is kept for later */
void written_trim(struct stack *s)
{
	while (s->spare) {
		struct written *b = s->spare;

		s->spare = b->next;
		s->n_spare--;
		free(b);
	}
}

void written_free(struct stack *s)
{
	written_trim(s);
	free(s->lent);
}
