/* SPDX-License-Identifier: MIT */
/*
 * fuzz_wg_receive.c - datagrams from outside, as they come and as only a peer could make them
 *
 * The input is a list of records: how (1 byte), length (1, in units of 8), stride (1), bytes. What
 * has to be right before the engine looks further is made right, as @how says: nothing, mac1, the
 * seal of transport data under keys that both sides have, or that of a cookie reply. So parsers
 * behind the cryptography are reached, too. The session is there from the beginning.
 *
 * Whatever is received, what is delivered has the inner source that the peer may use and the length
 * that it declares, and the true peer is heard afterwards.
 *
 * With libFuzzer's main (make fuzz), or with that of replay.h.
 */
#include <arpa/inet.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wg/bytes.h"
#include "wg/device.h"
#include "wg/packet.h"
#include "wg/peer.h"
#include "wg/wg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MTU = 1420, BUFFER = 4096 };

enum how { HOW_RAW, HOW_MAC1, HOW_SEALED, HOW_COOKIE, HOW_COUNT };

struct side {
	struct wg_device *dev;
	struct wg_peer *peer;
	struct side *other;
	unsigned int delivered;
	bool deaf; /* what it transmits is lost */
};

static struct {
	uint64_t now, random;
	struct side target, friend;
} world;

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static uint64_t op_now(void *ctx)
{
	(void)ctx;
	return world.now;
}

static void op_realtime(void *ctx, struct timespec *ts)
{
	(void)ctx;
	*ts = (struct timespec){.tv_sec = (time_t)(1700000000 + world.now / WG_NS_PER_S)};
}

static void op_random(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	for (size_t i = 0; i < len; i++) {
		world.random = world.random * 6364136223846793005ULL + 1442695040888963407ULL;
		((uint8_t *)buf)[i] = (uint8_t)(world.random >> 56);
	}
}

static struct wg_endpoint address(uint8_t host)
{
	struct wg_endpoint e = {0};

	e.to.in.sin_family = AF_INET;
	e.to.in.sin_addr.s_addr = htonl(0xc0000200u + host);
	e.to.in.sin_port = htons(51820);
	return e;
}

static void op_transmit(void *ctx, const struct wg_endpoint *to, const uint8_t *buf, size_t stride,
			size_t count, size_t last, uint8_t tos)
{
	static uint8_t copy[65536];
	struct side *side = ctx;
	struct wg_endpoint from = address(1);
	size_t len = (count - 1) * stride + last;

	(void)to;
	if (side->deaf)
		return;
	memcpy(copy, buf, len);
	wg_device_receive(side->other->dev, &from, copy, len, stride, tos);
}

static void op_deliver(void *ctx, struct wg_peer *from, uint8_t *packet, size_t len)
{
	struct side *side = ctx;

	if (from != side->peer || len < 20 || len != wg_packet_declared_len(packet, len))
		fail("a packet that is none was delivered");
	if (packet[0] >> 4 != 4 || memcmp(packet + 12, "\12\0\0\1", 4) != 0)
		fail("a packet from elsewhere was delivered");
	side->delivered++;
}

static const struct wg_ops ops = {.now = op_now,
				  .realtime = op_realtime,
				  .random = op_random,
				  .transmit = op_transmit,
				  .deliver = op_deliver};

static void start(struct side *side, struct side *other, uint8_t key_byte)
{
	uint8_t key[WG_KEY_BYTES];

	memset(key, key_byte, sizeof(key));
	*side = (struct side){.dev = wg_device_new(&ops, side, key, MTU), .other = other};
	if (!side->dev)
		fail("no device");
}

static void meet(struct side *side)
{
	const uint8_t inner[4] = {10, 0, 0, 1};
	struct wg_endpoint e = address(1);
	uint8_t key[WG_KEY_BYTES];

	wg_device_public_key(side->other->dev, key);
	side->peer = wg_peer_add(side->dev, key);
	wg_peer_add_allowed_ip(side->peer, AF_INET, inner, 32);
	wg_peer_set_endpoint(side->peer, &e);
}

/* A packet from the friend to the target; true: it arrived. */
static bool is_heard(void)
{
	static const uint8_t packet[28] = {0x45, 0, 0,	28, 0, 0, 0,  0, 64, 17,
					   0,	 0, 10, 0,  0, 1, 10, 0, 0,  1};
	unsigned int before = world.target.delivered;

	for (int i = 0; i < 40 && world.target.delivered == before; i++) {
		memcpy(wg_device_tx_buffer(world.friend.dev, sizeof(packet)), packet,
		       sizeof(packet));
		wg_device_tx_commit(world.friend.dev, sizeof(packet));
		for (int k = 0; k < 4; k++) {
			wg_device_flush(world.friend.dev);
			wg_device_flush(world.target.dev);
		}
		world.now += WG_NS_PER_S;
		wg_device_tick(world.friend.dev);
		wg_device_tick(world.target.dev);
	}
	return world.target.delivered > before;
}

static void fix_mac1(uint8_t *buf, size_t len)
{
	size_t size = buf[0] == WG_MESSAGE_RESPONSE ? sizeof(struct wg_message_response)
						    : sizeof(struct wg_message_initiation);
	struct wg_cookie cookie;
	uint8_t key[WG_KEY_BYTES];

	if (len < size)
		return;
	memset(buf + 1, 0, 3);
	wg_device_public_key(world.target.dev, key);
	wg_cookie_init(&cookie, key);
	wg_cookie_add_macs(&cookie, buf, size, world.now);
}

/* The bytes behind the header become what the friend has sealed; the counter's low byte is
 * theirs. */
static size_t seal(uint8_t *buf, size_t len)
{
	struct wg_keypair *kp = world.friend.peer->keypairs.current;
	struct wg_message_data *header = (struct wg_message_data *)buf;
	struct wg_aead_job job = {.data = buf + sizeof(*header)};

	if (!kp || len < sizeof(*header))
		return len;
	job.len = len - sizeof(*header);
	job.counter = kp->send_counter++;
	memset(header->type, 0, sizeof(header->type));
	header->type[0] = WG_MESSAGE_DATA;
	wg_put_le32(header->receiver, kp->remote_index);
	wg_put_le64(header->counter, job.counter);
	wg_aead_sodium.seal(NULL, kp->send_key, &job, 1);
	return len + WG_TAG_BYTES;
}

static size_t make_cookie(uint8_t *buf, size_t len)
{
	struct wg_cookie *cookie = &world.target.peer->cookie;
	struct wg_message_cookie *reply = (struct wg_message_cookie *)buf;

	if (len < sizeof(*reply) || !world.target.peer->keypairs.current)
		return len;
	memset(reply->type, 0, sizeof(reply->type));
	reply->type[0] = WG_MESSAGE_COOKIE;
	wg_put_le32(reply->receiver, world.target.peer->keypairs.current->index.value);
	crypto_aead_xchacha20poly1305_ietf_encrypt(reply->encrypted_cookie, NULL, buf, 16,
						   cookie->last_mac1, WG_MAC_BYTES, NULL,
						   reply->nonce, cookie->decryption_key);
	return sizeof(*reply);
}

static void run(const uint8_t *data, size_t size)
{
	static uint8_t buf[BUFFER];

	while (size >= 3) {
		enum how how = (enum how)(data[0] % HOW_COUNT);
		size_t len = (size_t)data[1] * 8, stride = (size_t)data[2] * 8;
		struct wg_endpoint from = address(data[0] >= 128 ? 2 : 1);

		data += 3;
		size -= 3;
		if (len > size)
			len = size;
		memcpy(buf, data, len);
		data += len;
		size -= len;
		if (how == HOW_MAC1)
			fix_mac1(buf, len);
		if (how == HOW_SEALED)
			len = seal(buf, len);
		if (how == HOW_COOKIE)
			len = make_cookie(buf, len);
		if (!len)
			continue;
		wg_device_receive(world.target.dev, &from, buf, len, stride ? stride : len,
				  (uint8_t)size);
		wg_device_flush(world.target.dev);
		world.now += WG_NS_PER_MS;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	memset(&world, 0, sizeof(world));
	world.now = 1000 * WG_NS_PER_S;
	/* libsodium is all code that the sanitisers see */
	setenv("WGWRAP_AEAD", "libsodium", 1);
	if (sodium_init() < 0)
		return 0;
	start(&world.target, &world.friend, 1);
	start(&world.friend, &world.target, 2);
	meet(&world.target);
	meet(&world.friend);
	if (!is_heard())
		fail("no session");
	world.target.deaf = true;
	run(data, size);
	world.target.deaf = false;
	if (!is_heard())
		fail("the peer is not heard any more");
	wg_device_free(world.target.dev);
	wg_device_free(world.friend.dev);
	return 0;
}

#include "tests/fuzz/replay.h"
