/* SPDX-License-Identifier: MIT */
/*
 * wg_world.h - what sim_wg knows: packets, indices, dice, and the link with the attacker on it
 *
 * One program has one world, w. NONCE, and AGE on the way out, are watched here.
 */
#ifndef TEST_SIM_WG_WORLD_H
#define TEST_SIM_WG_WORLD_H

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/flight.h"
#include "wg/bytes.h"
#include "wg/messages.h"
#include "wg/wg.h"

#define S  WG_NS_PER_S
#define MS WG_NS_PER_MS

enum {
	NODES = 3,
	MTU = 1420,
	PACKETS_MAX = 1 << 20, /* of one seed */
	INDICES_MAX = 1 << 15, /* hash table */
	RECORDED_MAX = 256,    /* what the attacker remembers */
	LATE_S = 10, /* so long after a storm its datagrams still arrive, and prove who has died
			alive */
};

/** struct packet - an inner packet; its content follows from its number */
struct packet {
	uint8_t from, to, claimed;
	uint16_t len;
	bool arrived;
	uint64_t sent;
};

/**
 * struct index_info - what was seen of one receiver index
 * @owner:	Who receives under it
 * @sender:	Who sends to it
 * @pair:	The index of the other direction
 * @sender_life: The sender's node.life when it got them
 * @sender_born, @owner_born: when either side derived the keys
 * @counter:	The next one that may be sent to it
 */
struct index_info {
	bool used, sender_has_keys;
	uint32_t value, pair;
	int owner, sender;
	unsigned int sender_life;
	uint64_t sender_born, owner_born, counter;
};

/** struct link - what it does to a datagram, in per mille, and how long it takes */
struct link {
	unsigned int lost, repeated, late, attacked;
	uint64_t delay, jitter, late_max;
};

/**
 * struct node - one side
 * @life:		Counts restarts
 * @wall_offset:	Of its wall clock, seconds; @wall_offset_max: the greatest so far
 * @asleep_until:	ns; nothing arrives and nothing happens before
 */
struct node {
	int number;
	unsigned int life;
	struct wg_device *dev;
	uint8_t private_key[WG_KEY_BYTES], public_key[WG_KEY_BYTES];
	struct wg_endpoint address;
	int64_t wall_offset, wall_offset_max;
	uint64_t asleep_until;
};

static struct {
	uint64_t seed, random, now;
	struct node nodes[NODES];
	struct link link;
	bool careful; /* no node is restarted with a clock behind what it has said */
	uint8_t psk[WG_KEY_BYTES];
	uint64_t calm_since; /* 0: storm */
	struct flight flight;
	struct datagram *recorded[RECORDED_MAX];
	uint32_t n_packets;
	struct index_info indices[INDICES_MAX];
	const struct datagram *receiving; /* by whoever is called now */
	bool heard[NODES];		  /* a packet of this calm from the other one */
} w;

/* Those sent so far, n_packets of them */
static struct packet packets[PACKETS_MAX];

/* Over all seeds */
static struct {
	uint64_t sessions, delivered, sent, datagrams, attacks, roams, restarts, sleeps;
} total;

static inline _Noreturn void fail(const char *what)
{
	fprintf(stderr, "seed %llu, at %.3f s: %s\n", (unsigned long long)w.seed,
		(double)w.now / (double)S, what);
	exit(1);
}

static inline void check(bool ok, const char *what)
{
	if (!ok)
		fail(what);
}

/* ---- dice ---- */

/* splitmix64 */
static inline uint64_t dice(void)
{
	uint64_t z = w.random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline uint64_t below(uint64_t n)
{
	return n ? dice() % n : 0;
}

static inline uint64_t between(uint64_t low, uint64_t high)
{
	return low + below(high - low + 1);
}

static inline bool chance(unsigned int per_mille)
{
	return below(1000) < per_mille;
}

/* ---- inner packets ---- */

static inline void make_packet(uint8_t *p, uint32_t number)
{
	const struct packet *packet = &packets[number];

	memset(p, (int)(number * 37 + 11), packet->len);
	memset(p, 0, 20);
	p[0] = 0x45;
	wg_put_be16(p + 2, packet->len);
	p[12] = p[16] = 10;
	p[15] = (uint8_t)(packet->claimed + 1);
	p[19] = (uint8_t)(packet->to + 1);
	wg_put_le32(p + 20, number);
}

/* @claimed: whose inner address it carries */
static inline void send_packet(int from, int to, int claimed, size_t len)
{
	struct wg_device *dev = w.nodes[from].dev;
	uint32_t number = w.n_packets;

	check(number < PACKETS_MAX, "too many packets for the table");
	packets[number] = (struct packet){.from = (uint8_t)from,
					  .to = (uint8_t)to,
					  .claimed = (uint8_t)claimed,
					  .len = (uint16_t)len,
					  .sent = w.now};
	make_packet(wg_device_tx_buffer(dev, len), number);
	check(wg_device_tx_commit(dev, len) == 0, "a packet was refused");
	w.n_packets++;
	total.sent++;
}

/* ---- indices and keys, as they show on the wire ---- */

static inline struct index_info *index_of(uint32_t value)
{
	uint32_t i = value % INDICES_MAX;

	while (w.indices[i].used && w.indices[i].value != value)
		i = (i + 1) % INDICES_MAX;
	return &w.indices[i];
}

static inline void saw_response(const struct node *node, const uint8_t *message)
{
	const struct wg_message_response *response = (const void *)message;
	uint32_t mine = wg_get_le32(response->sender), theirs = wg_get_le32(response->receiver);
	struct index_info *info = index_of(mine);

	check(!info->used, "an index was used twice");
	*info = (struct index_info){.used = true,
				    .value = mine,
				    .pair = theirs,
				    .owner = node->number,
				    .sender = -1,
				    .owner_born = w.now};
	info = index_of(theirs);
	/* Whoever was restarted takes an old one for new. Nothing can come of that if it led to a
	 * session before. */
	check(!info->used || info->sender_life != node->life, "an initiation was answered twice");
	if (info->counter)
		return;
	*info = (struct index_info){.used = true,
				    .value = theirs,
				    .pair = mine,
				    .owner = -1,
				    .sender = node->number,
				    .sender_has_keys = true,
				    .sender_life = node->life,
				    .sender_born = w.now};
}

/* NONCE and AGE, on the way out */
static inline void saw_data(const struct node *node, const uint8_t *message)
{
	const struct wg_message_data *header = (const void *)message;
	struct index_info *info = index_of(wg_get_le32(header->receiver));
	struct index_info *pair;

	check(info->used, "data for an index that nobody gave out");
	if (!info->sender_has_keys) { /* the initiator's first */
		info->sender_has_keys = true;
		info->sender = node->number;
		info->sender_born = w.now;
		pair = index_of(info->pair);
		pair->owner = node->number;
		pair->owner_born = w.now;
		total.sessions++;
	}
	check(info->sender == node->number, "two nodes send under one key");
	check(wg_get_le64(header->counter) == info->counter, "NONCE: a counter came out of order");
	info->counter++;
	check(w.now - info->sender_born < WG_REJECT_AFTER_TIME_NS, "AGE: sent under an old key");
}

/* ---- the link ---- */

static inline void send_off(struct datagram *d)
{
	check(flight_put(&w.flight, d), "a storm of datagrams");
}

static inline struct wg_endpoint some_address(uint32_t host, bool is_ipv6)
{
	struct wg_endpoint e = {0};

	if (is_ipv6) {
		e.to.in6.sin6_family = AF_INET6;
		e.to.in6.sin6_port = htons((uint16_t)between(1024, 65535));
		e.to.in6.sin6_addr.s6_addr[0] = 0xfd;
		wg_put_le32(e.to.in6.sin6_addr.s6_addr + 12, host);
	} else {
		e.to.in.sin_family = AF_INET;
		e.to.in.sin_port = htons((uint16_t)between(1024, 65535));
		e.to.in.sin_addr.s_addr = htonl(0xc6120000u + host);
	}
	return e;
}

static inline bool same_address(const struct wg_endpoint *a, const struct wg_endpoint *b)
{
	return memcmp(&a->to, &b->to, sizeof(a->to)) == 0;
}

static inline uint64_t travel_time(void)
{
	const struct link *link = &w.link;

	return link->delay + below(link->jitter) + (chance(link->late) ? below(link->late_max) : 0);
}

/* Records a datagram in the place of another, which may be sent again. */
static inline void attack(const struct datagram *d)
{
	struct datagram **place = &w.recorded[below(RECORDED_MAX)];
	struct datagram *old = *place;

	*place = flight_copy(d);
	if (!old)
		return;
	if (!chance(w.link.attacked)) {
		free(old);
		return;
	}
	total.attacks++;
	if (chance(300))
		old->bytes[below(old->len)] ^= (uint8_t)(1 << below(8));
	if (chance(500))
		old->from = some_address(200, chance(500));
	old->due = w.now + travel_time();
	old->sent = w.now;
	send_off(old);
}

static inline void onto_link(struct datagram *d)
{
	d->sent = w.now;
	attack(d);
	if (chance(w.link.lost)) {
		free(d);
		return;
	}
	if (chance(w.link.repeated)) {
		struct datagram *again = flight_copy(d);

		again->due = w.now + travel_time();
		send_off(again);
	}
	d->due = w.now + travel_time();
	send_off(d);
}

#endif
