/* SPDX-License-Identifier: MIT */
/*
 * paths.c - paths that take less than the tunnel does
 *
 * What ICMP says of a packet that was too large holds for its destination (RFC 1191 3, RFC 8201 4): for
 * datagrams, for new connections, and ten minutes. Nothing makes a path's MTU larger before that, and
 * nothing makes it smaller than what every host takes.
 *
 * Whom to believe: who quotes a packet. Of a connection the quoted sequence number must be in flight
 * (flow.c), a datagram of a connected socket must have gone to its peer. A socket without a peer
 * sends to anybody, and who knows its port could name any destination: there a datagram that could
 * have been too large must have left before, which is noted by a hash.
 *
 * Both tables are of fixed size and hashed with a key. In the first an address has a set of places,
 * of which the one whose time ends soonest gives way. While nothing is known, which is nearly
 * always, a look-up is one comparison.
 */
#include "stack/internal.h"

#include <sodium.h>

static uint16_t floor_of(const struct stack_addr *to)
{
	return stack_addr_is_v4(to) ? PATH_MTU4_MIN_BYTES : IP6_MTU_MIN_BYTES;
}

/* Who only sends leaves the stack's own clock behind. */
static uint64_t clock_ns(const struct stack *s)
{
	return s->ops->now(s->ctx);
}

static struct path *set_of(struct stack *s, const struct stack_addr *to)
{
	uint64_t hash;

	crypto_shorthash((unsigned char *)&hash, to->ip, sizeof(to->ip), s->hash_key);
	return s->paths[hash % PATH_SETS];
}

static bool is_of(const struct path *p, const struct stack_addr *to)
{
	return memcmp(p->ip, to->ip, sizeof(p->ip)) == 0;
}

uint16_t paths_mtu(struct stack *s, const struct stack_addr *to)
{
	const struct path *set;
	uint64_t now;

	if (s->paths_until == 0)
		return s->mtu;
	now = clock_ns(s);
	if (now >= s->paths_until) {
		s->paths_until = 0;
		return s->mtu;
	}
	set = set_of(s, to);
	for (int i = 0; i < PATH_WAYS; i++)
		if (is_of(&set[i], to) && set[i].until_ns > now)
			return set[i].mtu;
	return s->mtu;
}

void paths_learn(struct stack *s, const struct stack_addr *to, uint32_t mtu)
{
	uint64_t now = clock_ns(s);
	struct path *set = set_of(s, to), *place = set;

	if (mtu < floor_of(to))
		mtu = floor_of(to);
	if (mtu >= s->mtu)
		return;
	for (int i = 0; i < PATH_WAYS; i++) {
		if (is_of(&set[i], to)) {
			place = &set[i];
			break;
		}
		if (set[i].until_ns < place->until_ns)
			place = &set[i];
	}
	if (is_of(place, to) && place->until_ns > now && place->mtu < mtu)
		return;
	memcpy(place->ip, to->ip, sizeof(place->ip));
	place->mtu = (uint16_t)mtu;
	place->until_ns = s->paths_until = now + PATH_MTU_LIFE_S * NS_PER_S;
}

static uint32_t *note_of(struct stack *s, const struct stack_addr *to, uint16_t port,
			 uint32_t *mark)
{
	uint8_t about[16 + 2 + 2];
	uint64_t hash;

	memcpy(about, to->ip, 16);
	memcpy(about + 16, &to->port, 2);
	memcpy(about + 18, &port, 2);
	crypto_shorthash((unsigned char *)&hash, about, sizeof(about), s->hash_key);
	*mark = (uint32_t)(hash >> 32) | 1; /* 0: nothing */
	return &s->paths_sent[hash % PATH_NOTES];
}

void paths_note(struct stack *s, const struct stack_addr *to, uint16_t port, size_t len)
{
	uint32_t mark, *note;

	if (len + (stack_addr_is_v4(to) ? IP4_HEADER_BYTES : IP6_HEADER_BYTES) <= floor_of(to))
		return;
	note = note_of(s, to, port, &mark);
	*note = mark;
}

bool paths_noted(struct stack *s, const struct stack_addr *to, uint16_t port)
{
	uint32_t mark;

	return *note_of(s, to, port, &mark) == mark;
}
