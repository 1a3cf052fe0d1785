/* SPDX-License-Identifier: MIT */
/*
 * sim_wg.c - WireGuard devices through hours of trouble, in virtual time, by seed
 *
 * usage: sim_wg [SEEDS [FIRST]]
 *
 * Each seed is one history; all of it follows from the seed. Without FIRST, one pair of devices
 * then goes through 10,000 sessions in one history.
 *
 * Nodes 0 and 1 talk to each other. Node 2 is a peer of node 0, too, and lies about its inner
 * address. The link loses, repeats, delays and shuffles datagrams; somebody on it records them and
 * sends them again, changed or not, from elsewhere. Nodes sleep, are restarted, get other
 * addresses, preshared keys and wall clocks. Between such times the link is good for a while.
 *
 * Watched at every step:
 *
 * NONCE	under one key the counters that leave a node are 0, 1, 2, ...
 * AGE		nothing is sent or delivered under keys of 180 s or more, seen from that side
 * ORIGIN	what is delivered was sent, by whom its inner source says, is unchanged, comes once
 * SLOTS	a keypair is known by its index if a slot points to it, and all zeros otherwise;
 *		540 s after the last one was derived there is none
 * RECOVERY	RECOVERY_S after the link became good, packets arrive both ways; SETTLED_S after
 *		it, nothing is lost any more
 *
 * Born is, on the responder's side, when its response leaves, and on the initiator's side when its
 * first datagram for the new index leaves, which the protocol says is at once.
 *
 * After a seed that fails, its number is printed; `sim_wg 1 SEED` repeats it.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/flight.h"
#include "wg/bytes.h"
#include "wg/device.h"
#include "wg/messages.h"
#include "wg/peer.h"
#include "wg/wg.h"

#define S  WG_NS_PER_S
#define MS WG_NS_PER_MS

#if defined(__SANITIZE_ADDRESS__)
enum { SEEDS_DEFAULT = 100 };
#else
enum { SEEDS_DEFAULT = 1000 };
#endif

enum {
	NODES = 3,
	MTU = 1420,
	PACKETS_MAX = 1 << 20, /* of one seed */
	INDICES_MAX = 1 << 15, /* hash table */
	RECORDED_MAX = 256,    /* what the attacker remembers */
	LATE_S = 10, /* so long after a storm its datagrams still arrive, and prove who has died
			alive */
	/* 15 s of silence, then the limiter's 5 s, then a retry after 5 s, each with its jitter */
	RECOVERY_S = LATE_S + 26,
	SETTLED_S = RECOVERY_S + 5,
	CALM_S = SETTLED_S + 30,
	STORM_MIN_S = 60,
	STORM_MAX_S = 540,
	STORMS = 3,
	MARATHON_REKEYS = 10000,
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

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "seed %llu, at %.3f s: %s\n", (unsigned long long)w.seed,
		(double)w.now / (double)S, what);
	exit(1);
}

static void check(bool ok, const char *what)
{
	if (!ok)
		fail(what);
}

/* ---- dice ---- */

/* splitmix64 */
static uint64_t dice(void)
{
	uint64_t z = w.random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static uint64_t below(uint64_t n)
{
	return n ? dice() % n : 0;
}

static uint64_t between(uint64_t low, uint64_t high)
{
	return low + below(high - low + 1);
}

static bool chance(unsigned int per_mille)
{
	return below(1000) < per_mille;
}

/* ---- inner packets ---- */

static void make_packet(uint8_t *p, uint32_t number)
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
static void send_packet(int from, int to, int claimed, size_t len)
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

static struct index_info *index_of(uint32_t value)
{
	uint32_t i = value % INDICES_MAX;

	while (w.indices[i].used && w.indices[i].value != value)
		i = (i + 1) % INDICES_MAX;
	return &w.indices[i];
}

static void saw_response(const struct node *node, const uint8_t *message)
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
static void saw_data(const struct node *node, const uint8_t *message)
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

static void send_off(struct datagram *d)
{
	check(flight_put(&w.flight, d), "a storm of datagrams");
}

static struct wg_endpoint some_address(uint32_t host, bool is_ipv6)
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

static bool same_address(const struct wg_endpoint *a, const struct wg_endpoint *b)
{
	return memcmp(&a->to, &b->to, sizeof(a->to)) == 0;
}

static uint64_t travel_time(void)
{
	const struct link *link = &w.link;

	return link->delay + below(link->jitter) + (chance(link->late) ? below(link->late_max) : 0);
}

/* Records a datagram in the place of another, which may be sent again. */
static void attack(const struct datagram *d)
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

static void onto_link(struct datagram *d)
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

/* ---- what the engine needs ---- */

static uint64_t op_now(void *ctx)
{
	(void)ctx;
	return w.now;
}

static void op_realtime(void *ctx, struct timespec *ts)
{
	const struct node *node = ctx;

	ts->tv_sec = (time_t)(1700000000 + (int64_t)(w.now / S) + node->wall_offset);
	ts->tv_nsec = (long)(w.now % S);
}

static void op_random(void *ctx, void *buf, size_t len)
{
	uint8_t *p = buf;

	(void)ctx;
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)dice();
}

static void op_transmit(void *ctx, const struct wg_endpoint *to, const uint8_t *buf, size_t stride,
			size_t count, size_t last, uint8_t tos)
{
	const struct node *node = ctx;

	check(count >= 1 && count <= WG_SEGMENTS_MAX && last >= 1 && last <= stride &&
		      (count - 1) * stride + last <= WG_SEGMENTS_BYTES_MAX,
	      "a transmit that no UDP_SEGMENT can do");
	for (size_t i = 0; i < count; i++, buf += stride) {
		size_t len = i + 1 < count ? stride : last;
		struct datagram *d = malloc(sizeof(*d) + len);

		check(d != NULL, "no memory");
		*d = (struct datagram){.from = node->address, .to = *to, .len = len, .tos = tos};
		memcpy(d->bytes, buf, len);
		total.datagrams++;
		if (buf[0] == WG_MESSAGE_RESPONSE)
			saw_response(node, buf);
		if (buf[0] == WG_MESSAGE_DATA)
			saw_data(node, buf);
		onto_link(d);
	}
}

/* ORIGIN, and AGE on the way in */
static void op_deliver(void *ctx, struct wg_peer *from, uint8_t *bytes, size_t len)
{
	const struct node *node = ctx;
	uint8_t key[WG_KEY_BYTES], expected[MTU];
	const struct wg_message_data *header = (const void *)w.receiving->bytes;
	const struct index_info *info = index_of(wg_get_le32(header->receiver));
	struct packet *packet;
	uint32_t number;

	check(len >= 24, "ORIGIN: a packet that nobody sent");
	number = wg_get_le32(bytes + 20);
	check(number < w.n_packets, "ORIGIN: a packet that nobody sent");
	packet = &packets[number];
	make_packet(expected, number);
	check(packet->len == len && memcmp(bytes, expected, len) == 0,
	      "ORIGIN: a packet was changed");
	check(packet->to == node->number, "ORIGIN: a packet for another");
	check(packet->claimed == packet->from, "ORIGIN: a lie about the source was believed");
	wg_peer_public_key(from, key);
	check(memcmp(key, w.nodes[packet->from].public_key, sizeof(key)) == 0,
	      "ORIGIN: a packet from a wrong peer");
	check(!packet->arrived, "ORIGIN: a packet came twice");
	packet->arrived = true;
	check(info->used && info->owner == node->number, "delivered under an unknown index");
	check(w.now - info->owner_born < WG_REJECT_AFTER_TIME_NS, "AGE: taken under an old key");
	if (w.calm_since && packet->sent >= w.calm_since && packet->from < 2)
		w.heard[node->number] = true;
	total.delivered++;
}

/* Looks the peer's address up, as one would a name, when it does not answer. */
static void op_event(void *ctx, struct wg_peer *peer, enum wg_event event)
{
	uint8_t key[WG_KEY_BYTES];

	(void)ctx;
	if (event != WG_EVENT_HANDSHAKE_RETRY)
		return;
	wg_peer_public_key(peer, key);
	for (int i = 0; i < NODES; i++)
		if (memcmp(key, w.nodes[i].public_key, sizeof(key)) == 0)
			wg_peer_set_endpoint(peer, &w.nodes[i].address);
}

static const struct wg_ops ops = {
	.now = op_now,
	.realtime = op_realtime,
	.random = op_random,
	.transmit = op_transmit,
	.deliver = op_deliver,
	.event = op_event,
};

/* ---- nodes ---- */

static void add_peer(struct node *node, const struct node *other)
{
	struct wg_peer *peer = wg_peer_add(node->dev, other->public_key);
	const uint8_t inner[4] = {10, 0, 0, (uint8_t)(other->number + 1)};

	check(peer && wg_peer_add_allowed_ip(peer, AF_INET, inner, 32) == 0, "no memory");
	wg_peer_set_endpoint(peer, &other->address);
	if (node->number < 2 && other->number < 2)
		wg_peer_set_preshared_key(peer, w.psk);
	if (w.seed % 3 == 0)
		wg_peer_set_keepalive(peer, 25);
}

static void start(struct node *node)
{
	node->dev = wg_device_new(&ops, node, node->private_key, MTU);
	check(node->dev != NULL, "no device");
	for (int i = 0; i < NODES; i++)
		if (i != node->number && (i == 0 || node->number == 0))
			add_peer(node, &w.nodes[i]);
}

static bool is_awake(const struct node *node)
{
	return w.now >= node->asleep_until;
}

/* SLOTS */
static void check_slots(struct node *node)
{
	static const struct wg_keypair unused;

	for (struct wg_peer *peer = wg_peer_next(node->dev, NULL); peer;
	     peer = wg_peer_next(node->dev, peer)) {
		struct wg_keypairs *all = &peer->keypairs;
		uint64_t last_born = 0;

		check(!all->next || !all->previous, "SLOTS: next and previous at once");
		for (int i = 0; i < WG_KEYPAIR_SLOTS; i++) {
			struct wg_keypair *kp = &all->slots[i];
			bool linked = kp == all->current || kp == all->previous || kp == all->next;

			if (!linked) {
				check(memcmp(kp, &unused, sizeof(*kp)) == 0,
				      "SLOTS: keys outlive their session");
				continue;
			}
			check(wg_index_find(node->dev, kp->index.value) == &kp->index &&
				      kp->index.kind == WG_INDEX_KEYPAIR && kp->index.peer == peer,
			      "SLOTS: a session that is not found by its index");
			if (kp->born > last_born)
				last_born = kp->born;
		}
		check(!last_born || w.now - last_born <= WG_ZERO_KEYS_AFTER_NS,
		      "SLOTS: keys of 540 s");
	}
}

static void after_step(struct node *node)
{
	wg_device_flush(node->dev);
	if (wg_device_next_deadline(node->dev) <= w.now)
		wg_device_tick(node->dev);
	check_slots(node);
}

static void arrive(struct datagram *d)
{
	for (int i = 0; i < NODES; i++) {
		struct node *node = &w.nodes[i];
		bool is_stale =
			w.calm_since && d->sent < w.calm_since && w.now > w.calm_since + LATE_S * S;

		if (is_stale || !is_awake(node) || !same_address(&d->to, &node->address))
			continue;
		w.receiving = d;
		wg_device_receive(node->dev, &d->from, d->bytes, d->len, d->len, d->tos);
		w.receiving = NULL;
		after_step(node);
	}
	free(d);
}

/* Lets everything happen that happens by itself until @end. */
static void run_until(uint64_t end)
{
	for (;;) {
		const struct datagram *first = flight_first(&w.flight);
		uint64_t next = first && first->due < end ? first->due : end, due;

		for (int i = 0; i < NODES; i++) {
			due = wg_device_next_deadline(w.nodes[i].dev);
			if (due < w.nodes[i].asleep_until)
				due = w.nodes[i].asleep_until;
			if (due < next)
				next = due;
		}
		if (next > w.now)
			w.now = next;
		for (int i = 0; i < NODES; i++)
			if (is_awake(&w.nodes[i]) &&
			    wg_device_next_deadline(w.nodes[i].dev) <= w.now)
				after_step(&w.nodes[i]);
		while ((first = flight_first(&w.flight)) && first->due <= w.now)
			arrive(flight_take(&w.flight));
		if (next >= end)
			return;
	}
}

/* ---- what goes wrong ---- */

static void change_link(void)
{
	w.link = (struct link){
		.lost = (unsigned int)below(chance(200) ? 1000 : 300),
		.repeated = (unsigned int)below(200),
		.late = (unsigned int)below(100),
		.attacked = (unsigned int)below(300),
		.delay = below(200 * MS),
		.jitter = below(300 * MS),
		.late_max = between(1, 240) * S,
	};
}

static void move(struct node *node)
{
	node->address = some_address((uint32_t)between(1, 199), chance(500));
	total.roams++;
}

static void fall_asleep(struct node *node)
{
	node->asleep_until = w.now + (chance(100) ? between(600, 7200) : between(1, 200)) * S;
	total.sleeps++;
}

/* All that was remembered is lost. */
static void restart(struct node *node)
{
	if (w.careful && node->wall_offset < node->wall_offset_max)
		node->wall_offset = node->wall_offset_max;
	else if (!w.careful && node->number == 0)
		return;
	wg_device_free(node->dev);
	node->life++;
	start(node);
	total.restarts++;
}

/* Minutes or days, forward or back */
static void set_clock(struct node *node)
{
	int64_t by = (int64_t)(chance(500) ? below(600) : below(86400 * 30));

	node->wall_offset += chance(500) ? by : -by;
	if (node->wall_offset > node->wall_offset_max)
		node->wall_offset_max = node->wall_offset;
}

/* Thousands of packets at once; the link shuffles them. */
static void burst(struct node *node)
{
	uint64_t n = chance(30) ? between(9000, 12000) : between(20, 200);

	w.link.jitter = between(10, 2000) * MS;
	for (uint64_t i = 0; i < n; i++)
		send_packet(node->number, !node->number, node->number, 24 + below(200));
}

static void change_psk(void)
{
	op_random(NULL, w.psk, sizeof(w.psk));
	for (int i = 0; i < 2; i++) {
		for (struct wg_peer *p = wg_peer_next(w.nodes[i].dev, NULL); p;
		     p = wg_peer_next(w.nodes[i].dev, p)) {
			uint8_t key[WG_KEY_BYTES];

			wg_peer_public_key(p, key);
			if (memcmp(key, w.nodes[!i].public_key, sizeof(key)) == 0)
				wg_peer_set_preshared_key(p, w.psk);
		}
	}
}

static void trouble(void)
{
	struct node *node = &w.nodes[below(2)];

	switch (below(9)) {
	case 0:
	case 1:
		change_link();
		break;
	case 2:
		move(node);
		break;
	case 3:
		fall_asleep(node);
		break;
	case 4:
		restart(node);
		break;
	case 5:
		set_clock(node);
		break;
	case 6:
		if (is_awake(node))
			burst(node);
		break;
	case 7:
		change_psk();
		break;
	default:
		if (is_awake(node))
			wg_peer_handshake(wg_peer_next(node->dev, NULL));
		break;
	}
}

/* Each of the nodes that is awake says something now and then. */
static void chatter(unsigned int per_mille)
{
	for (int i = 0; i < 2; i++)
		if (is_awake(&w.nodes[i]) && chance(per_mille)) {
			send_packet(i, !i, i, 24 + below(MTU - 24));
			after_step(&w.nodes[i]);
		}
	if (chance(50)) {
		send_packet(2, 0, chance(500) ? 1 : 2, 100);
		after_step(&w.nodes[2]);
	}
}

static void storm(void)
{
	uint64_t end = w.now + between(STORM_MIN_S, STORM_MAX_S) * S;
	unsigned int talkative = (unsigned int)between(20, 1000);
	uint64_t next_trouble = w.now;

	w.calm_since = 0;
	while (w.now < end) {
		if (w.now >= next_trouble) {
			trouble();
			next_trouble = w.now + between(1, 60) * S;
		}
		chatter(talkative);
		run_until(w.now + S / 2 + below(S));
	}
}

static void talk_until(uint64_t end)
{
	while (w.now < end) {
		chatter(1000);
		run_until(w.now + S);
	}
}

/* RECOVERY */
static void calm(void)
{
	uint32_t settled_from;

	w.link = (struct link){.delay = 20 * MS};
	for (int i = 0; i < 2; i++)
		w.nodes[i].asleep_until = 0;
	w.calm_since = w.now;
	w.heard[0] = w.heard[1] = false;
	talk_until(w.calm_since + RECOVERY_S * S);
	check(w.heard[0] && w.heard[1], "RECOVERY: nothing arrives");
	talk_until(w.calm_since + SETTLED_S * S);
	settled_from = w.n_packets;
	talk_until(w.calm_since + CALM_S * S);
	for (uint32_t i = settled_from; i < w.n_packets; i++)
		check(packets[i].arrived || packets[i].from == 2,
		      "RECOVERY: packets are still lost");
}

/* Nobody has anything to say, long enough for keys to go. */
static void silence(void)
{
	run_until(w.now + between(500, 1500) * S);
	for (int i = 0; i < NODES; i++)
		check_slots(&w.nodes[i]);
}

/* ---- seeds ---- */

static void clear(void)
{
	for (int i = 0; i < NODES; i++)
		wg_device_free(w.nodes[i].dev);
	while (flight_first(&w.flight))
		free(flight_take(&w.flight));
	for (int i = 0; i < RECORDED_MAX; i++)
		free(w.recorded[i]);
}

static void set_up(uint64_t seed)
{
	memset(&w, 0, sizeof(w));
	w.seed = w.random = seed;
	w.now = between(1, 1000000) * S;
	w.careful = chance(500);
	w.link.delay = 20 * MS;
	for (int i = 0; i < NODES; i++) {
		struct node *node = &w.nodes[i];

		node->number = i;
		node->address = some_address((uint32_t)between(1, 199), chance(500));
		op_random(NULL, node->private_key, sizeof(node->private_key));
		crypto_scalarmult_curve25519_base(node->public_key, node->private_key);
	}
	for (int i = 0; i < NODES; i++)
		start(&w.nodes[i]);
}

static void run_seed(uint64_t seed)
{
	set_up(seed);
	for (int i = 0; i < STORMS; i++) {
		storm();
		calm();
		if (chance(250))
			silence();
	}
	clear();
}

/* One pair of devices through thousands of renewals; every tenth datagram is lost. */
static void run_marathon(uint64_t seed)
{
	uint64_t goal = total.sessions + MARATHON_REKEYS;

	set_up(seed);
	w.link.lost = 100;
	while (total.sessions < goal) {
		send_packet(0, 1, 0, 100);
		send_packet(1, 0, 1, 100);
		after_step(&w.nodes[0]);
		after_step(&w.nodes[1]);
		run_until(w.now + 31 * S);
	}
	clear();
}

static void report(uint64_t seeds)
{
	printf("%" PRIu64 " seeds, %" PRIu64 " sessions, %" PRIu64 " of %" PRIu64
	       " packets, %" PRIu64 " datagrams, %" PRIu64 " replayed or changed, %" PRIu64
	       " moves, %" PRIu64 " restarts, %" PRIu64 " sleeps\n",
	       seeds, total.sessions, total.delivered, total.sent, total.datagrams, total.attacks,
	       total.roams, total.restarts, total.sleeps);
}

static void run_seeds(uint64_t seeds, uint64_t first)
{
	for (uint64_t i = 0; i < seeds; i++)
		run_seed(first + i);
	report(seeds);
}

int main(int argc, char **argv)
{
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : SEEDS_DEFAULT;
	int status = 1;
	pid_t other;

	if (sodium_init() < 0)
		return 1;
	if (argc > 2) {
		run_seeds(seeds, strtoull(argv[2], NULL, 10));
		return 0;
	}
	/* two halves at once */
	other = fork();
	if (other < 0)
		return 1;
	if (other == 0) {
		run_seeds(seeds / 2, 1 + seeds - seeds / 2);
		return 0;
	}
	run_seeds(seeds - seeds / 2, 1);
	run_marathon(1);
	printf("and %d sessions in one history\n", MARATHON_REKEYS);
	return waitpid(other, &status, 0) == other && status == 0 ? 0 : 1;
}
