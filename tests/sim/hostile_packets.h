/* SPDX-License-Identifier: MIT */
/*
 * hostile_packets.h - packets on their way to hostile.h's stack: as they are, in fragments, behind
 * extension headers, cut short, or with a bit turned over
 */
#ifndef TESTS_SIM_HOSTILE_PACKETS_H
#define TESTS_SIM_HOSTILE_PACKETS_H

#include "tests/sim/hostile_own.h"

static uint64_t given; /* packets in */

static void give(const uint8_t *packet, size_t len)
{
	given++;
	wire_input(packet, len);
}

/* Bytes [@from, @to) of the payload of @packet as a fragment */
static void give_fragment(const uint8_t *packet, size_t from, size_t to, bool more, uint32_t id)
{
	static uint8_t out[70100];
	size_t head = packet[0] >> 4 == 4 ? 20 : 40, at = head == 20 ? 20 : 48;

	memcpy(out, packet, head);
	if (head == 20) {
		put_be16(out + 2, (unsigned int)(at + to - from));
		put_be16(out + 4, id & 0xffff);
		put_be16(out + 6, (unsigned int)(from / 8) | (more ? 0x2000 : 0));
		put_be16(out + 10, 0);
		put_be16(out + 10, ~sum16(0, out, 20) & 0xffff);
	} else {
		put_be16(out + 4, (unsigned int)(8 + to - from));
		out[40] = packet[6];
		out[41] = 0;
		put_be16(out + 42, (unsigned int)from | more);
		put_be32(out + 44, id);
		out[6] = 44;
	}
	memcpy(out + at, packet + head + from, to - from);
	give(out, at + to - from);
}

static void give_in_fragments(const uint8_t *packet, size_t len)
{
	size_t head = packet[0] >> 4 == 4 ? 20 : 40, size = len - head, from = 0, to;
	uint32_t id = roll(1000);

	for (; from < size; from = to) {
		to = from + 8 * (1 + roll(once_in(4) ? 4 : 200));
		if (to > size)
			to = size;
		if (once_in(20) && from >= 8) /* overlaps */
			from -= 8;
		if (!once_in(20)) /* lost */
			give_fragment(packet, from, to, to < size, id);
	}
}

/* A header that says little between IPv6's and the rest: routers' or destination's options, a
 * route with nothing left of it, or what is none (ingress.c) */
static size_t extend(uint8_t *packet, size_t len)
{
	static const uint8_t types[] = {0, 43, 60, 51};
	uint8_t *at = packet + IP6_HEADER_BYTES;

	memmove(at + 8, at, len - IP6_HEADER_BYTES);
	memset(at, 0, 8);
	at[0] = packet[6];
	at[1] = once_in(8) ? (uint8_t)roll(256) : 0;
	at[3] = once_in(8) ? 1 : 0;
	packet[6] = types[roll(sizeof(types))];
	put_be16(packet + 4, (unsigned int)(len + 8 - IP6_HEADER_BYTES));
	return len + 8;
}

/* As it is, mostly; there is room for more behind it */
static void give_somehow(uint8_t *packet, size_t len)
{
	while (packet[0] >> 4 == 6 && once_in(40) && len < WRITE_MAX)
		len = extend(packet, len);
	if (once_in(40))
		give_in_fragments(packet, len);
	else if (once_in(40))
		give(packet, roll((uint32_t)len + 1));
	else if (once_in(40))
		packet[roll((uint32_t)len)] ^= (uint8_t)(1 << roll(8)), give(packet, len);
	else
		give(packet, len);
}

#endif
