/* SPDX-License-Identifier: MIT */
/*
 * test_wg_sim.h - a world of WireGuard devices with an injected clock and an in-memory network
 *
 * Datagrams are copied to one queue when a device transmits and reach the node whose address they
 * were sent to when sim_settle() runs. Nothing happens by itself; sim_advance() moves the clock
 * from deadline to deadline. All randomness comes from one seeded generator.
 */
#ifndef TEST_WG_SIM_H
#define TEST_WG_SIM_H

#include <arpa/inet.h>
#include <check.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/run_suite.h"
#include "wg/bytes.h"
#include "wg/messages.h"
#include "wg/wg.h"

enum { SIM_NODES = 4, SIM_PORT = 51820, SIM_EVENTS = 8, SIM_MTU = 1420, SIM_DATAGRAMS_MAX = 20000 };
#define SIM_S  WG_NS_PER_S
#define SIM_MS WG_NS_PER_MS

struct sim;

struct sim_datagram {
	struct sim_datagram *next;
	struct wg_endpoint to, from;
	size_t len;
	uint8_t tos;
	uint8_t bytes[];
};

struct sim_node {
	struct sim *sim;
	struct wg_device *dev;
	uint8_t private_key[32], public_key[32];
	struct wg_endpoint address;
	/* what came out of it */
	unsigned int sent[5];	 /* by message type */
	unsigned int transmits;	 /* calls of wg_ops.transmit */
	size_t largest_transmit; /* datagrams in one of them */
	unsigned int sent_keepalives;
	unsigned int delivered;
	uint8_t last[2048];
	size_t last_len;
	struct wg_peer *last_from;
	unsigned int events[SIM_EVENTS];
	bool echo; /* answers each packet from within deliver */
};

struct sim {
	uint64_t now;
	struct timespec wall;
	uint64_t random;
	struct sim_node nodes[SIM_NODES];
	struct sim_datagram *queue, **end;
	unsigned int n_datagrams;
	/* Decides over each datagram before it is queued: false loses it. May change it. */
	bool (*filter)(struct sim *sim, struct sim_node *from, struct sim_datagram *d);
	void *filter_arg;
	struct sim_datagram *kept; /* a copy that a filter made, sim_keep() */
};

static inline uint64_t sim_now(void *ctx)
{
	return ((struct sim_node *)ctx)->sim->now;
}

static inline void sim_realtime(void *ctx, struct timespec *ts)
{
	struct sim *sim = ((struct sim_node *)ctx)->sim;

	*ts = sim->wall;
	ts->tv_sec += (time_t)(sim->now / SIM_S);
	ts->tv_nsec = (long)(sim->now % SIM_S);
}

/* splitmix64 */
static inline void sim_random(void *ctx, void *buf, size_t len)
{
	struct sim *sim = ((struct sim_node *)ctx)->sim;
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i++) {
		uint64_t z = sim->random += 0x9e3779b97f4a7c15ULL;

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
		p[i] = (uint8_t)(z >> 56);
	}
}

static inline struct sim_datagram *sim_copy(const struct sim_datagram *d)
{
	struct sim_datagram *copy = malloc(sizeof(*copy) + d->len);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, d, sizeof(*d) + d->len);
	copy->next = NULL;
	return copy;
}

/* Keeps a copy of @d in sim->kept, instead of an older one. */
static inline void sim_keep(struct sim *sim, const struct sim_datagram *d)
{
	free(sim->kept);
	sim->kept = sim_copy(d);
}

static inline void sim_queue(struct sim *sim, struct sim_datagram *d)
{
	ck_assert_uint_lt(sim->n_datagrams++, SIM_DATAGRAMS_MAX); /* a storm is a failure */
	*sim->end = d;
	sim->end = &d->next;
}

static inline void sim_transmit(void *ctx, const struct wg_endpoint *to, const uint8_t *buf,
				size_t stride, size_t count, size_t last, uint8_t tos)
{
	struct sim_node *node = ctx;

	ck_assert_uint_ge(count, 1);
	ck_assert_uint_ge(last, 1);
	ck_assert_uint_le(last, stride);
	node->transmits++;
	if (count > node->largest_transmit)
		node->largest_transmit = count;
	for (size_t i = 0; i < count; i++, buf += stride) {
		size_t len = i + 1 < count ? stride : last;
		struct sim_datagram *d = calloc(1, sizeof(*d) + len);

		ck_assert_ptr_nonnull(d);
		d->to = *to;
		d->from = node->address;
		d->len = len;
		d->tos = tos;
		memcpy(d->bytes, buf, len);
		node->sent[buf[0] < 5 ? buf[0] : 0]++;
		node->sent_keepalives += buf[0] == WG_MESSAGE_DATA && len == WG_OVERHEAD_BYTES;
		if (node->sim->filter && !node->sim->filter(node->sim, node, d)) {
			free(d);
			continue;
		}
		sim_queue(node->sim, d);
	}
}

static inline void sim_deliver(void *ctx, struct wg_peer *from, uint8_t *packet, size_t len)
{
	struct sim_node *node = ctx;

	node->delivered++;
	node->last_from = from;
	node->last_len = len < sizeof(node->last) ? len : sizeof(node->last);
	memcpy(node->last, packet, node->last_len);
	if (node->echo && (packet[0] >> 4) == 4) {
		uint8_t *out = wg_device_tx_buffer(node->dev, len);

		memcpy(out, packet, len);
		memcpy(out + 12, packet + 16, 4);
		memcpy(out + 16, packet + 12, 4);
		ck_assert_int_eq(wg_device_tx_commit(node->dev, len), 0);
	}
}

static inline void sim_event(void *ctx, struct wg_peer *peer, enum wg_event event)
{
	(void)peer;
	((struct sim_node *)ctx)->events[event]++;
}

static const struct wg_ops sim_ops = {
	.now = sim_now,
	.realtime = sim_realtime,
	.random = sim_random,
	.transmit = sim_transmit,
	.deliver = sim_deliver,
	.event = sim_event,
};

static inline struct wg_endpoint sim_address(int node)
{
	struct wg_endpoint e = {0};

	e.to.in.sin_family = AF_INET;
	e.to.in.sin_port = htons(SIM_PORT);
	e.to.in.sin_addr.s_addr = htonl(0xc0000200u + (uint32_t)node + 1); /* 192.0.2.0/24 */
	return e;
}

static inline void sim_boot(struct sim *sim, int i)
{
	struct sim_node *node = &sim->nodes[i];

	node->sim = sim;
	node->address = sim_address(i);
	node->dev = wg_device_new(&sim_ops, node, node->private_key, SIM_MTU);
	ck_assert_ptr_nonnull(node->dev);
	wg_device_public_key(node->dev, node->public_key);
}

static inline struct sim *sim_new(void)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	ck_assert_ptr_nonnull(sim);
	ck_assert_int_ge(sodium_init(), 0);
	sim->now = 1000 * SIM_S;
	sim->wall.tv_sec = 1700000000;
	sim->random = 1;
	sim->end = &sim->queue;
	for (int i = 0; i < SIM_NODES; i++) {
		sim->nodes[i].sim = sim;
		sim_random(&sim->nodes[i], sim->nodes[i].private_key, 32);
		sim_boot(sim, i);
	}
	return sim;
}

static inline void sim_drop_all(struct sim *sim)
{
	while (sim->queue) {
		struct sim_datagram *d = sim->queue;

		sim->queue = d->next;
		free(d);
	}
	sim->end = &sim->queue;
}

static inline void sim_free(struct sim *sim)
{
	for (int i = 0; i < SIM_NODES; i++)
		wg_device_free(sim->nodes[i].dev);
	sim_drop_all(sim);
	free(sim->kept);
	free(sim);
}

/* Tells @from about @to, whose inner address is 10.0.0.(to+1)/32. */
static inline struct wg_peer *sim_add_peer(struct sim *sim, int from, int to, bool with_endpoint)
{
	struct wg_peer *peer = wg_peer_add(sim->nodes[from].dev, sim->nodes[to].public_key);
	struct in_addr inner = {.s_addr = htonl(0x0a000001u + (uint32_t)to)};

	ck_assert_ptr_nonnull(peer);
	ck_assert_int_eq(wg_peer_add_allowed_ip(peer, AF_INET, &inner, 32), 0);
	if (with_endpoint)
		wg_peer_set_endpoint(peer, &sim->nodes[to].address);
	return peer;
}

/* An IPv4 packet of @len bytes from the inner address of @from to that of @to */
static inline void sim_packet(uint8_t *p, size_t len, int from, int to, uint8_t fill)
{
	uint32_t sum = 0;

	memset(p, fill, len);
	memset(p, 0, 20);
	p[0] = 0x45;
	wg_put_be16(p + 2, (uint16_t)len);
	p[8] = 64;
	p[9] = 17;
	p[12] = p[16] = 10;
	p[15] = (uint8_t)(from + 1);
	p[19] = (uint8_t)(to + 1);
	for (int i = 0; i < 20; i += 2)
		sum += wg_get_be16(p + i);
	sum = (sum & 0xffff) + (sum >> 16);
	wg_put_be16(p + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
}

static inline int sim_commit(struct sim *sim, int from, int to, size_t len, uint8_t fill)
{
	struct wg_device *dev = sim->nodes[from].dev;

	sim_packet(wg_device_tx_buffer(dev, len), len, from, to, fill);
	return wg_device_tx_commit(dev, len);
}

/* Delivers all datagrams, and those that come of it. */
static inline void sim_settle(struct sim *sim)
{
	do {
		struct sim_datagram *d = sim->queue;

		sim->queue = NULL;
		sim->end = &sim->queue;
		while (d) {
			struct sim_datagram *next = d->next;

			for (int i = 0; i < SIM_NODES; i++) {
				struct sim_node *node = &sim->nodes[i];

				if (node->dev && memcmp(&d->to.to.in.sin_addr,
							&node->address.to.in.sin_addr, 4) == 0)
					wg_device_receive(node->dev, &d->from, d->bytes, d->len,
							  d->len, d->tos);
			}
			free(d);
			d = next;
		}
		for (int i = 0; i < SIM_NODES; i++)
			if (sim->nodes[i].dev)
				wg_device_flush(sim->nodes[i].dev);
	} while (sim->queue);
}

/* Sends one packet of 100 bytes and lets everything happen that follows at once. */
static inline void sim_send(struct sim *sim, int from, int to)
{
	ck_assert_int_eq(sim_commit(sim, from, to, 100, 0x5a), 0);
	sim_settle(sim);
}

/* Moves the clock by @ns, stopping at every deadline. */
static inline void sim_advance(struct sim *sim, uint64_t ns)
{
	uint64_t end = sim->now + ns;

	for (;;) {
		uint64_t next = end;

		for (int i = 0; i < SIM_NODES; i++) {
			uint64_t due = sim->nodes[i].dev
					       ? wg_device_next_deadline(sim->nodes[i].dev)
					       : UINT64_MAX;

			if (due < next)
				next = due;
		}
		if (next > sim->now)
			sim->now = next;
		for (int i = 0; i < SIM_NODES; i++)
			if (sim->nodes[i].dev &&
			    wg_device_next_deadline(sim->nodes[i].dev) <= sim->now)
				wg_device_tick(sim->nodes[i].dev);
		sim_settle(sim);
		if (next >= end)
			return;
	}
}

/* ---- filters ---- */

static inline bool sim_lose_all(struct sim *sim, struct sim_node *from, struct sim_datagram *d)
{
	(void)sim;
	(void)from;
	(void)d;
	return false;
}

/* Loses what the node at filter_arg sends. */
static inline bool sim_lose_from(struct sim *sim, struct sim_node *from, struct sim_datagram *d)
{
	(void)d;
	return from != sim->filter_arg;
}

/* Loses its initiations only. */
static inline bool sim_lose_initiations(struct sim *sim, struct sim_node *from,
					struct sim_datagram *d)
{
	return from != sim->filter_arg || d->bytes[0] != WG_MESSAGE_INITIATION;
}

/* ---- single datagrams ---- */

/* A copy of @d arrives at @node from @from. */
static inline void sim_give(struct sim_node *node, const struct wg_endpoint *from,
			    const struct sim_datagram *d)
{
	struct sim_datagram *copy = sim_copy(d); /* it is decrypted in place */

	wg_device_receive(node->dev, from, copy->bytes, copy->len, copy->len, copy->tos);
	free(copy);
}

/* The only datagram under way; the caller frees it. */
static inline struct sim_datagram *sim_catch(struct sim *sim)
{
	struct sim_datagram *d = sim->queue;

	ck_assert_ptr_nonnull(d);
	ck_assert_ptr_null(d->next);
	sim->queue = NULL;
	sim->end = &sim->queue;
	return d;
}

/* A data packet from @from to @to that is caught on its way. */
static inline struct sim_datagram *sim_catch_data(struct sim *sim, int from, int to)
{
	ck_assert_int_eq(sim_commit(sim, from, to, 100, 0x11), 0);
	wg_device_flush(sim->nodes[from].dev);
	return sim_catch(sim);
}

static inline struct sim_datagram *sim_catch_initiation(struct sim *sim, int from)
{
	wg_peer_handshake(wg_peer_next(sim->nodes[from].dev, NULL));
	return sim_catch(sim);
}

/* Whether the peer is thought to be at @there. */
static inline bool sim_is_at(const struct wg_peer *peer, const struct wg_endpoint *there)
{
	struct wg_peer_stats stats;

	wg_peer_stats(peer, &stats);
	return stats.endpoint.to.in.sin_addr.s_addr == there->to.in.sin_addr.s_addr &&
	       stats.endpoint.to.in.sin_port == there->to.in.sin_port;
}

/* Nodes 0 and 1 know each other; only 0 has an endpoint. */
static inline struct sim *sim_new_pair(struct wg_peer **peer0, struct wg_peer **peer1)
{
	struct sim *sim = sim_new();
	struct wg_peer *p0 = sim_add_peer(sim, 0, 1, true);
	struct wg_peer *p1 = sim_add_peer(sim, 1, 0, false);

	if (peer0)
		*peer0 = p0;
	if (peer1)
		*peer1 = p1;
	return sim;
}

#endif
