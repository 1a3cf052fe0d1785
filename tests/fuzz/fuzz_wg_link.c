/* SPDX-License-Identifier: MIT */
/*
 * fuzz_wg_link.c - two WireGuard devices and a hostile link between them
 *
 * The input is a list of steps: packets are sent, datagrams are delivered, changed, cut, repeated,
 * joined as UDP_GRO would, lost or made up, time passes. Whatever happens,
 *
 *  - what is delivered was sent by the other side, is unchanged, and comes once;
 *  - afterwards, over a link that works, both sides reach each other again.
 *
 * With libFuzzer's main (make fuzz), or with that of replay.h.
 */
#include <arpa/inet.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wg/wg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MTU = 1420, QUEUE_MAX = 64, PACKETS_MAX = 4096, STEPS_MAX = 400 };
#define S 1000000000ULL

enum step {
	STEP_SEND,
	STEP_DELIVER,
	STEP_CHANGE,
	STEP_CUT,
	STEP_REPEAT,
	STEP_JOIN,
	STEP_LOSE,
	STEP_INVENT,
	STEP_WAIT,
	STEP_HANDSHAKE,
	STEP_COUNT,
};

struct datagram {
	int to;
	size_t len;
	uint8_t bytes[MTU + WG_OVERHEAD_BYTES];
};

struct side {
	int number;
	struct wg_device *dev;
	struct wg_peer *peer;
	uint8_t private_key[WG_KEY_BYTES], public_key[WG_KEY_BYTES];
	unsigned int delivered;
};

static struct {
	uint64_t now, random;
	struct side sides[2];
	struct datagram queue[QUEUE_MAX];
	size_t first, count;
	/* what was sent, by serial number */
	uint32_t n_sent;
	struct {
		int from;
		size_t len;
		bool arrived;
	} sent[PACKETS_MAX];
} world;

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

/* ---- packets ---- */

/* The packet with number @serial: everything in it follows from that. */
static void make_packet(uint8_t *p, uint32_t serial)
{
	size_t len = world.sent[serial].len;

	memset(p, (int)(serial * 37), len);
	memset(p, 0, 20);
	p[0] = 0x45;
	p[2] = (uint8_t)(len >> 8);
	p[3] = (uint8_t)len;
	memcpy(p + 4, &serial, 2);
	p[12] = p[16] = 10;
	p[15] = (uint8_t)world.sent[serial].from;
	p[19] = (uint8_t)!world.sent[serial].from;
}

static void send_packet(int from, size_t len)
{
	struct side *side = &world.sides[from];

	if (world.n_sent == PACKETS_MAX)
		return;
	world.sent[world.n_sent].from = from;
	world.sent[world.n_sent].len = len;
	world.sent[world.n_sent].arrived = false;
	make_packet(wg_device_tx_buffer(side->dev, len), world.n_sent);
	if (wg_device_tx_commit(side->dev, len) == 0)
		world.n_sent++;
}

static void deliver(void *ctx, struct wg_peer *from, uint8_t *packet, size_t len)
{
	struct side *side = ctx;
	uint8_t expected[MTU];
	uint16_t serial;

	memcpy(&serial, packet + 4, sizeof(serial));
	if (from != side->peer || serial >= world.n_sent ||
	    world.sent[serial].from == side->number || world.sent[serial].len != len)
		fail("a packet that was not sent");
	make_packet(expected, serial);
	if (memcmp(packet, expected, len) != 0)
		fail("a changed packet");
	if (world.sent[serial].arrived)
		fail("a packet twice");
	world.sent[serial].arrived = true;
	side->delivered++;
}

/* ---- what the engine needs ---- */

static uint64_t now(void *ctx)
{
	(void)ctx;
	return world.now;
}

static void realtime(void *ctx, struct timespec *ts)
{
	(void)ctx;
	*ts = (struct timespec){.tv_sec = (time_t)(1700000000 + world.now / S),
				.tv_nsec = (long)(world.now % S)};
}

static void random_bytes(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	for (size_t i = 0; i < len; i++) {
		world.random = world.random * 6364136223846793005ULL + 1442695040888963407ULL;
		((uint8_t *)buf)[i] = (uint8_t)(world.random >> 56);
	}
}

static void transmit(void *ctx, const struct wg_endpoint *to, const uint8_t *buf, size_t stride,
		     size_t count, size_t last, uint8_t tos)
{
	(void)ctx;
	(void)tos;
	for (size_t i = 0; i < count && world.count < QUEUE_MAX; i++) {
		struct datagram *d = &world.queue[(world.first + world.count++) % QUEUE_MAX];

		d->to = to->to.in.sin_port == htons(1);
		d->len = i + 1 < count ? stride : last;
		memcpy(d->bytes, buf + i * stride, d->len);
	}
}

static const struct wg_ops ops = {.now = now,
				  .realtime = realtime,
				  .random = random_bytes,
				  .transmit = transmit,
				  .deliver = deliver};

static struct wg_endpoint address(int side)
{
	struct wg_endpoint e = {0};

	e.to.in.sin_family = AF_INET;
	e.to.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	e.to.in.sin_port = htons((uint16_t)side);
	return e;
}

/* ---- the link ---- */

static void receive(int to, uint8_t *buf, size_t len, size_t stride)
{
	struct wg_endpoint from = address(!to);

	if (!len)
		return;
	wg_device_receive(world.sides[to].dev, &from, buf, len, stride, 0);
	wg_device_flush(world.sides[to].dev);
}

static struct datagram take(void)
{
	struct datagram d = world.queue[world.first];

	world.first = (world.first + 1) % QUEUE_MAX;
	world.count--;
	return d;
}

static void wait_for(uint64_t ns)
{
	world.now += ns;
	for (int i = 0; i < 2; i++) {
		wg_device_flush(world.sides[i].dev);
		if (wg_device_next_deadline(world.sides[i].dev) <= world.now)
			wg_device_tick(world.sides[i].dev);
	}
}

/* The next three datagrams to one side in one buffer, if they were all as long as the first */
static void join(void)
{
	uint8_t buf[3 * sizeof(((struct datagram *)0)->bytes)];
	struct datagram d = take();
	size_t len = d.len, stride = d.len;

	memcpy(buf, d.bytes, d.len);
	for (int i = 0; i < 2 && world.count && world.queue[world.first].to == d.to; i++) {
		struct datagram next = take();

		memcpy(buf + len, next.bytes, next.len);
		len += next.len;
	}
	receive(d.to, buf, len, stride);
}

static void tamper(enum step step, uint8_t a, uint8_t b)
{
	struct datagram d;

	if (!world.count)
		return;
	if (step == STEP_JOIN) {
		join();
		return;
	}
	d = step == STEP_REPEAT ? world.queue[world.first] : take();
	if (step == STEP_CHANGE)
		d.bytes[(a * 256U + b) % d.len] ^= (uint8_t)(1U << b % 8);
	if (step == STEP_CUT)
		d.len -= a % d.len;
	if (step != STEP_LOSE)
		receive(d.to, d.bytes, d.len, d.len);
}

static void run(const uint8_t *data, size_t size)
{
	for (int n = 0; n < STEPS_MAX && size >= 3; n++) {
		enum step step = (enum step)(data[0] % STEP_COUNT);
		int side = data[0] >= 128;
		uint8_t a = data[1], b = data[2], made_up[256];

		data += 3;
		size -= 3;
		switch (step) {
		case STEP_SEND:
			send_packet(side, 20 + (a * 256U + b) % (MTU - 19));
			if (a % 2)
				wg_device_flush(world.sides[side].dev);
			break;
		case STEP_INVENT:
			if (a > size)
				a = (uint8_t)size;
			memcpy(made_up, data, a);
			data += a;
			size -= a;
			receive(side, made_up, a, b ? b : a);
			break;
		case STEP_WAIT:
			wait_for(a * (uint64_t)b * (S / 100));
			break;
		case STEP_HANDSHAKE:
			wg_peer_handshake(world.sides[side].peer);
			break;
		default:
			tamper(step, a, b);
			break;
		}
	}
}

/* Nothing is lost any more: within some handshakes both are heard again. */
static void recover(void)
{
	unsigned int before[2] = {world.sides[0].delivered, world.sides[1].delivered};

	for (int i = 0; i < 100; i++) {
		for (int side = 0; side < 2; side++)
			send_packet(side, 100);
		for (int k = 0; k < 10; k++) {
			wait_for(S / 5);
			while (world.count) {
				struct datagram d = take();

				receive(d.to, d.bytes, d.len, d.len);
			}
		}
		if (world.sides[0].delivered > before[0] && world.sides[1].delivered > before[1])
			return;
	}
	fail("no way back");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t ten[4] = {10};

	memset(&world, 0, sizeof(world));
	world.now = 1000 * S;
	/* libsodium is all code that the sanitisers see */
	setenv("WGWRAP_AEAD", "libsodium", 1);
	if (sodium_init() < 0)
		return 0;
	for (int i = 0; i < 2; i++) {
		struct side *side = &world.sides[i];

		side->number = i;
		random_bytes(NULL, side->private_key, WG_KEY_BYTES);
		side->dev = wg_device_new(&ops, side, side->private_key, MTU);
		wg_device_public_key(side->dev, side->public_key);
	}
	for (int i = 0; i < 2; i++) {
		struct wg_endpoint there = address(!i);
		uint8_t addr[4];

		memcpy(addr, ten, sizeof(addr));
		addr[3] = (uint8_t)!i;
		world.sides[i].peer = wg_peer_add(world.sides[i].dev, world.sides[!i].public_key);
		wg_peer_add_allowed_ip(world.sides[i].peer, AF_INET, addr, 32);
		wg_peer_set_endpoint(world.sides[i].peer, &there);
	}
	run(data, size);
	recover();
	for (int i = 0; i < 2; i++)
		wg_device_free(world.sides[i].dev);
	return 0;
}

#include "tests/fuzz/replay.h"
