/* SPDX-License-Identifier: MIT */
/*
 * fragments.c - datagrams in pieces, put together for both families
 *
 * A datagram is one buffer of the largest size seen so far plus a list of the ranges that are
 * there. Overlapping ranges end the whole datagram (RFC 5722 for IPv6; Linux does so for IPv4 too),
 * an exact repetition is ignored. There are at most FRAGMENT_SETS_MAX datagrams, of at most
 * FRAGMENT_PIECES_MAX pieces each; the oldest gives way. No source has more than half of them: then
 * its own oldest does. Nothing wakes up to expire one: a late fragment finds its datagram too old,
 * and the limits bound the memory until then, or until memory is given back (stack_trim).
 */
#include "stack/internal.h"

#include <stdlib.h>

enum { OFFSET_MAX = 65535 };

struct range {
	uint32_t from, to;
};

/**
 * struct fragment_set - a datagram that is not whole
 * @header:	IP header of the first fragment, extension headers left out
 * @total:	Payload length, known from the last fragment; 0: not yet
 */
struct fragment_set {
	struct fragment_set *next;
	struct stack_addr from, to;
	uint32_t id;
	uint8_t proto;
	bool v6, have_header;
	uint64_t started_ns;
	uint8_t header[IP6_HEADER_BYTES];
	uint32_t total, got;
	unsigned int n;
	struct range ranges[FRAGMENT_PIECES_MAX];
	uint8_t *data;
	size_t cap;
};

struct piece {
	uint32_t id, offset, len;
	uint8_t proto;
	bool more;
	const uint8_t *data;
};

static bool describe(const struct ip_packet *p, struct piece *f)
{
	if (p->v6) {
		uint16_t field = get16(p->payload + 2);

		f->proto = p->payload[0];
		f->offset = field & 0xfff8;
		f->more = field & 1;
		f->id = get32(p->payload + 4);
		f->data = p->payload + IP6_FRAGMENT_BYTES;
		f->len = (uint32_t)p->payload_len - IP6_FRAGMENT_BYTES;
	} else {
		uint16_t field = get16(p->start + 6);

		f->proto = p->proto;
		f->offset = (field & (uint32_t)IP4_FRAGMENT_OFFSET) * 8;
		f->more = field & IP4_MORE_FRAGMENTS;
		f->id = get16(p->start + 4);
		f->data = p->payload;
		f->len = (uint32_t)p->payload_len;
	}
	if (f->len == 0 || (f->more && f->len % 8 != 0))
		return false;
	return f->offset + f->len <= OFFSET_MAX - IP4_HEADER_BYTES;
}

static void free_set(struct stack *s, struct fragment_set **at)
{
	struct fragment_set *set = *at;

	*at = set->next;
	s->n_fragment_sets--;
	free(set->data);
	free(set);
}

static bool is_old(const struct stack *s, const struct fragment_set *set)
{
	return s->now_ns - set->started_ns > FRAGMENT_TIMEOUT_S * NS_PER_S;
}

/* The datagram's set, made if need be, or NULL. The list is in order of age, youngest first. */
static struct fragment_set **find(struct stack *s, const struct ip_packet *p, const struct piece *f)
{
	struct fragment_set **at = &s->fragments, **oldest = NULL, **own = NULL, *set;
	unsigned int n_own = 0;

	while (*at) {
		set = *at;
		if (is_old(s, set)) {
			free_set(s, at);
			continue;
		}
		if (set->id == f->id && set->v6 == p->v6 && set->proto == f->proto &&
		    stack_addr_equal(&set->from, &p->from) && stack_addr_equal(&set->to, &p->to))
			return at;
		if (stack_addr_equal(&set->from, &p->from)) {
			own = at;
			n_own++;
		}
		oldest = at;
		at = &set->next;
	}
	if (n_own >= FRAGMENT_SETS_MAX / 2)
		free_set(s, own);
	else if (s->n_fragment_sets >= FRAGMENT_SETS_MAX)
		free_set(s, oldest);
	set = calloc(1, sizeof(*set));
	if (!set)
		return NULL;
	set->from = p->from;
	set->to = p->to;
	set->id = f->id;
	set->proto = f->proto;
	set->v6 = p->v6;
	set->started_ns = s->now_ns;
	set->next = s->fragments;
	s->fragments = set;
	s->n_fragment_sets++;
	return &s->fragments;
}

enum verdict { TAKEN, REPEATED, POISONED };

static enum verdict check(struct fragment_set *set, const struct piece *f)
{
	uint32_t to = f->offset + f->len;
	unsigned int i;

	for (i = 0; i < set->n; i++) {
		const struct range *r = &set->ranges[i];

		if (r->from == f->offset && r->to == to)
			return REPEATED;
		if (r->from < to && f->offset < r->to)
			return POISONED;
		if (!f->more && r->to > to)
			return POISONED;
	}
	if (set->n == FRAGMENT_PIECES_MAX)
		return POISONED;
	if (set->total != 0 && (to > set->total || !f->more))
		return POISONED;
	return TAKEN;
}

static bool store(struct fragment_set *set, const struct ip_packet *p, const struct piece *f)
{
	uint32_t to = f->offset + f->len;

	if (to > set->cap) {
		uint8_t *data = realloc(set->data, to);

		if (!data)
			return false;
		set->data = data;
		set->cap = to;
	}
	memcpy(set->data + f->offset, f->data, f->len);
	set->ranges[set->n].from = f->offset;
	set->ranges[set->n++].to = to;
	set->got += f->len;
	if (!f->more)
		set->total = to;
	if (f->offset == 0) {
		memcpy(set->header, p->start, p->v6 ? IP6_HEADER_BYTES : IP4_HEADER_BYTES);
		set->have_header = true;
	}
	return true;
}

/* The whole packet, as if it had never been in pieces. */
static uint8_t *assemble(const struct fragment_set *set, size_t *len)
{
	size_t header = set->v6 ? IP6_HEADER_BYTES : IP4_HEADER_BYTES;
	uint8_t *all = malloc(header + set->total);

	if (!all)
		return NULL;
	memcpy(all, set->header, header);
	memcpy(all + header, set->data, set->total);
	*len = header + set->total;
	if (set->v6) {
		put16(all + 4, set->total);
		all[6] = set->proto;
	} else {
		put16(all + 2, (uint32_t)*len);
		put16(all + 6, 0);
		egress_checksum4(all);
	}
	return all;
}

/* RFC 6946: the only fragment of its datagram has nothing to do with others. */
static uint8_t *alone(const struct ip_packet *p, const struct piece *f, size_t *len)
{
	struct fragment_set set = {.proto = f->proto, .v6 = p->v6, .total = f->len};

	memcpy(set.header, p->start, p->v6 ? IP6_HEADER_BYTES : IP4_HEADER_BYTES);
	set.data = (uint8_t *)(uintptr_t)f->data;
	return assemble(&set, len);
}

bool fragments_add(struct stack *s, const struct ip_packet *p, uint8_t **whole, size_t *whole_len)
{
	struct fragment_set **at, *set;
	struct piece f;

	if (!describe(p, &f))
		return false;
	if (f.offset == 0 && !f.more) {
		*whole = alone(p, &f, whole_len);
		return *whole != NULL;
	}
	at = find(s, p, &f);
	if (!at)
		return false;
	set = *at;
	switch (check(set, &f)) {
	case REPEATED:
		return false;
	case POISONED:
		free_set(s, at);
		return false;
	case TAKEN:
		break;
	}
	if (!store(set, p, &f)) {
		free_set(s, at);
		return false;
	}
	if (set->total == 0 || set->got != set->total || !set->have_header)
		return false;
	*whole = assemble(set, whole_len);
	free_set(s, at);
	return *whole != NULL;
}

void fragments_release(uint8_t *whole)
{
	free(whole);
}

void fragments_trim(struct stack *s)
{
	struct fragment_set **at = &s->fragments;

	while (*at) {
		if (is_old(s, *at))
			free_set(s, at);
		else
			at = &(*at)->next;
	}
}

void fragments_free(struct stack *s)
{
	while (s->fragments)
		free_set(s, &s->fragments);
}
