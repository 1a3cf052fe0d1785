/* SPDX-License-Identifier: MIT */
/*
 * wg_nodes.h - the devices of sim_wg, what the engine asks of them, and how time passes
 *
 * ORIGIN, SLOTS, and AGE on the way in, are watched here.
 */
#ifndef TEST_SIM_WG_NODES_H
#define TEST_SIM_WG_NODES_H

#include <stdlib.h>
#include <string.h>

#include "tests/sim/wg_world.h"
#include "wg/device.h"
#include "wg/peer.h"

/* ---- what the engine needs ---- */

static inline uint64_t op_now(void *ctx)
{
	(void)ctx;
	return w.now;
}

static inline void op_realtime(void *ctx, struct timespec *ts)
{
	const struct node *node = ctx;

	ts->tv_sec = (time_t)(1700000000 + (int64_t)(w.now / S) + node->wall_offset);
	ts->tv_nsec = (long)(w.now % S);
}

static inline void op_random(void *ctx, void *buf, size_t len)
{
	uint8_t *p = buf;

	(void)ctx;
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)dice();
}

static inline void op_transmit(void *ctx, const struct wg_endpoint *to, const uint8_t *buf,
			       size_t stride, size_t count, size_t last, uint8_t tos)
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
static inline void op_deliver(void *ctx, struct wg_peer *from, uint8_t *bytes, size_t len)
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
static inline void op_event(void *ctx, struct wg_peer *peer, enum wg_event event)
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

static inline void add_peer(struct node *node, const struct node *other)
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

static inline void start(struct node *node)
{
	node->dev = wg_device_new(&ops, node, node->private_key, MTU);
	check(node->dev != NULL, "no device");
	for (int i = 0; i < NODES; i++)
		if (i != node->number && (i == 0 || node->number == 0))
			add_peer(node, &w.nodes[i]);
}

static inline bool is_awake(const struct node *node)
{
	return w.now >= node->asleep_until;
}

/* SLOTS */
static inline void check_slots(struct node *node)
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

static inline void after_step(struct node *node)
{
	wg_device_flush(node->dev);
	if (wg_device_next_deadline(node->dev) <= w.now)
		wg_device_tick(node->dev);
	check_slots(node);
}

static inline void arrive(struct datagram *d)
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
static inline void run_until(uint64_t end)
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

#endif
