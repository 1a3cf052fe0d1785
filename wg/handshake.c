/* SPDX-License-Identifier: MIT */
/*
 * handshake.c - WireGuard's handshake messages, and how they become a session
 *
 * Messages are consumed into locals; a peer's state changes only when the message proved
 * authentic, so that a forged one cannot disturb a handshake under way. A message is consumed,
 * answered and turned into keys in one go: nothing can come between.
 */
#include "wg/handshake.h"

#include <sodium.h>
#include <string.h>

#include "wg/bytes.h"
#include "wg/device.h"
#include "wg/peer.h"
#include "wg/wire.h"

static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

/* Timestamps are multiples of this: the greatest power of two not above 1 s / INITIATIONS_PER_S */
enum { TICK_NS = 1 << 24 };
static_assert(TICK_NS <= WG_NS_PER_S / WG_INITIATIONS_PER_S &&
		      2 * (uint64_t)TICK_NS > WG_NS_PER_S / WG_INITIATIONS_PER_S,
	      "no coarser than the initiations themselves may be");
#define TAI64_EPOCH 0x400000000000000aULL /* of 1970, with the ten leap seconds of 1972 */

static void put_be64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

static void put_be32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

void wg_handshake_timestamp(uint8_t out[WG_TIMESTAMP_BYTES], const struct timespec *ts)
{
	put_be64(out, TAI64_EPOCH + (uint64_t)ts->tv_sec);
	put_be32(out + 8, (uint32_t)ts->tv_nsec & ~(uint32_t)(TICK_NS - 1));
}

/* One tick later */
static void advance_timestamp(uint8_t stamp[WG_TIMESTAMP_BYTES])
{
	uint64_t seconds;
	uint32_t ns;

	memcpy(&seconds, stamp, sizeof(seconds));
	memcpy(&ns, stamp + 8, sizeof(ns));
	seconds = be64toh(seconds);
	ns = be32toh(ns) + TICK_NS;
	if (ns >= WG_NS_PER_S) {
		ns = 0;
		seconds++;
	}
	put_be64(stamp, seconds);
	put_be32(stamp + 8, ns);
}

/*
 * The wall clock, or one tick after what was sent last if the clock was set back: the responder
 * would take a smaller or equal one for a replay.
 */
static void next_timestamp(struct wg_peer *peer, uint8_t stamp[WG_TIMESTAMP_BYTES])
{
	struct wg_handshake *hs = &peer->handshake;
	struct timespec ts;

	peer->dev->ops->realtime(peer->dev->ops_ctx, &ts);
	wg_handshake_timestamp(stamp, &ts);
	if (memcmp(stamp, hs->sent_timestamp, WG_TIMESTAMP_BYTES) <= 0) {
		memcpy(stamp, hs->sent_timestamp, WG_TIMESTAMP_BYTES);
		advance_timestamp(stamp);
	}
	memcpy(hs->sent_timestamp, stamp, WG_TIMESTAMP_BYTES);
}

void wg_handshake_precompute(struct wg_handshake *hs,
			     const uint8_t own_private[WG_PUBLIC_KEY_BYTES])
{
	/* All zeros for a key of low order; using it fails then. */
	wg_noise_dh(hs->static_static, own_private, hs->remote_static);
}

/* Wipes what belongs to one handshake only. */
static void wipe(struct wg_handshake *hs)
{
	sodium_memzero(&hs->transcript, sizeof(hs->transcript));
	sodium_memzero(hs->ephemeral_private, sizeof(hs->ephemeral_private));
	sodium_memzero(hs->remote_ephemeral, sizeof(hs->remote_ephemeral));
	hs->remote_index = 0;
	hs->state = WG_HANDSHAKE_ZEROED;
}

void wg_handshake_clear(struct wg_handshake *hs, struct wg_device *dev)
{
	wg_index_remove(dev, &hs->index);
	wipe(hs);
}

/* A private key, clamped, from the embedder's randomness */
static void make_ephemeral(struct wg_device *dev, uint8_t key[WG_PUBLIC_KEY_BYTES])
{
	dev->ops->random(dev->ops_ctx, key, WG_PUBLIC_KEY_BYTES);
	wg_noise_clamp(key);
}

static struct wg_noise_first first_of(struct wg_message_initiation *msg)
{
	return (struct wg_noise_first){.ephemeral = msg->ephemeral,
				       .encrypted_static = msg->encrypted_static,
				       .encrypted_payload = msg->encrypted_timestamp,
				       .payload_len = WG_TIMESTAMP_BYTES};
}

static struct wg_noise_second second_of(struct wg_message_response *msg)
{
	return (struct wg_noise_second){.ephemeral = msg->ephemeral,
					.encrypted_payload = msg->encrypted_nothing,
					.payload_len = 0};
}

bool wg_handshake_create_initiation(struct wg_peer *peer, struct wg_message_initiation *msg)
{
	struct wg_device *dev = peer->dev;
	struct wg_handshake *hs = &peer->handshake;
	const struct wg_noise_first parts = first_of(msg);
	uint8_t timestamp[WG_TIMESTAMP_BYTES];

	wg_handshake_clear(hs, dev);
	memset(msg, 0, sizeof(*msg));
	wg_wire_set_type(msg->type, WG_MESSAGE_INITIATION);
	make_ephemeral(dev, hs->ephemeral_private);
	next_timestamp(peer, timestamp);
	wg_noise_transcript_init(&hs->transcript, identifier, sizeof(identifier) - 1,
				 hs->remote_static);
	if (!wg_noise_write_first(&hs->transcript, &parts, hs->ephemeral_private, dev->public_key,
				  hs->remote_static, hs->static_static, timestamp)) {
		wipe(hs);
		return false;
	}
	wg_index_insert(dev, &hs->index, peer, WG_INDEX_HANDSHAKE);
	wg_put_le32(msg->sender, hs->index.value);
	hs->state = WG_HANDSHAKE_CREATED_INITIATION;
	return true;
}

/* Reads the message into @transcript, and checks that it is new. */
static struct wg_peer *read_initiation(struct wg_device *dev, struct wg_message_initiation *msg,
				       struct wg_noise_transcript *transcript,
				       uint8_t timestamp[WG_TIMESTAMP_BYTES])
{
	const struct wg_noise_first parts = first_of(msg);
	uint8_t initiator[WG_PUBLIC_KEY_BYTES], key[WG_SYMMETRIC_KEY_BYTES];
	struct wg_peer *peer = NULL;

	wg_noise_transcript_init(transcript, identifier, sizeof(identifier) - 1, dev->public_key);
	if (!wg_noise_read_first_static(transcript, &parts, dev->private_key, initiator, key))
		goto out;
	peer = wg_peer_by_public_key(dev, initiator);
	if (!peer)
		goto out;
	if (!wg_noise_read_first_payload(transcript, &parts, peer->handshake.static_static, key,
					 timestamp) ||
	    memcmp(timestamp, peer->handshake.latest_timestamp, WG_TIMESTAMP_BYTES) <= 0 ||
	    wg_device_now(dev) < peer->handshake.consume_allowed_at)
		peer = NULL;
out:
	sodium_memzero(key, sizeof(key));
	sodium_memzero(initiator, sizeof(initiator));
	return peer;
}

struct wg_peer *wg_handshake_consume_initiation(struct wg_device *dev,
						struct wg_message_initiation *msg)
{
	struct wg_noise_transcript transcript;
	uint8_t timestamp[WG_TIMESTAMP_BYTES];
	struct wg_peer *peer = read_initiation(dev, msg, &transcript, timestamp);
	struct wg_handshake *hs;

	if (peer) {
		hs = &peer->handshake;
		wg_handshake_clear(hs, dev);
		hs->transcript = transcript;
		memcpy(hs->remote_ephemeral, msg->ephemeral, WG_PUBLIC_KEY_BYTES);
		memcpy(hs->latest_timestamp, timestamp, WG_TIMESTAMP_BYTES);
		hs->consume_allowed_at = wg_device_now(dev) + WG_NS_PER_S / WG_INITIATIONS_PER_S;
		hs->remote_index = wg_get_le32(msg->sender);
		hs->state = WG_HANDSHAKE_CONSUMED_INITIATION;
	}
	sodium_memzero(&transcript, sizeof(transcript));
	return peer;
}

bool wg_handshake_create_response(struct wg_peer *peer, struct wg_message_response *msg)
{
	struct wg_device *dev = peer->dev;
	struct wg_handshake *hs = &peer->handshake;
	const struct wg_noise_second parts = second_of(msg);
	uint8_t ephemeral_private[WG_PUBLIC_KEY_BYTES];
	bool ok;

	if (hs->state != WG_HANDSHAKE_CONSUMED_INITIATION)
		return false;
	memset(msg, 0, sizeof(*msg));
	wg_wire_set_type(msg->type, WG_MESSAGE_RESPONSE);
	wg_put_le32(msg->receiver, hs->remote_index);
	make_ephemeral(dev, ephemeral_private);
	ok = wg_noise_write_second(&hs->transcript, &parts, ephemeral_private, hs->remote_ephemeral,
				   hs->remote_static, hs->psk, NULL);
	sodium_memzero(ephemeral_private, sizeof(ephemeral_private));
	if (!ok) {
		wg_handshake_clear(hs, dev);
		return false;
	}
	wg_index_insert(dev, &hs->index, peer, WG_INDEX_HANDSHAKE);
	wg_put_le32(msg->sender, hs->index.value);
	hs->state = WG_HANDSHAKE_CREATED_RESPONSE;
	return true;
}

struct wg_peer *wg_handshake_consume_response(struct wg_device *dev,
					      struct wg_message_response *msg)
{
	struct wg_index *index = wg_index_find(dev, wg_get_le32(msg->receiver));
	const struct wg_noise_second parts = second_of(msg);
	struct wg_noise_transcript transcript;
	struct wg_peer *peer;
	struct wg_handshake *hs;

	if (!index || index->kind != WG_INDEX_HANDSHAKE)
		return NULL;
	peer = index->peer;
	hs = &peer->handshake;
	if (hs->state != WG_HANDSHAKE_CREATED_INITIATION)
		return NULL;

	transcript = hs->transcript;
	if (wg_noise_read_second(&transcript, &parts, hs->ephemeral_private, dev->private_key,
				 hs->psk, NULL)) {
		hs->transcript = transcript;
		hs->remote_index = wg_get_le32(msg->sender);
		hs->state = WG_HANDSHAKE_CONSUMED_RESPONSE;
	} else {
		peer = NULL;
	}
	sodium_memzero(&transcript, sizeof(transcript));
	return peer;
}

bool wg_handshake_begin_session(struct wg_peer *peer)
{
	struct wg_device *dev = peer->dev;
	struct wg_handshake *hs = &peer->handshake;
	struct wg_keypair *kp;

	if (hs->state != WG_HANDSHAKE_CONSUMED_RESPONSE &&
	    hs->state != WG_HANDSHAKE_CREATED_RESPONSE)
		return false;
	kp = wg_keypairs_free_slot(&peer->keypairs);
	kp->is_initiator = hs->state == WG_HANDSHAKE_CONSUMED_RESPONSE;
	if (kp->is_initiator)
		wg_noise_split(&hs->transcript, kp->send_key, kp->receive_key);
	else
		wg_noise_split(&hs->transcript, kp->receive_key, kp->send_key);
	kp->can_send = true;
	kp->born = wg_device_now(dev);
	kp->remote_index = hs->remote_index;
	wg_index_replace(dev, &hs->index, &kp->index, WG_INDEX_KEYPAIR);
	wipe(hs);
	wg_keypairs_add(dev, &peer->keypairs, kp);
	return true;
}
