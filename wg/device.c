/* SPDX-License-Identifier: MIT */
/*
 * device.c - the device: life, keys, deadlines
 */
#include "wg/device.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "wg/bytes.h"
#include "wg/peer.h"
#include "wg/secret.h"
#include "wg/send.h"

void wg_public_key(uint8_t out[WG_KEY_BYTES], const uint8_t private_key[WG_KEY_BYTES])
{
	crypto_scalarmult_curve25519_base(out, private_key); /* clamps a copy */
}

/* Sets both keys and what depends on them alone. */
static void set_identity(struct wg_device *dev, const uint8_t private_key[WG_KEY_BYTES])
{
	memcpy(dev->private_key, private_key, WG_KEY_BYTES);
	wg_noise_clamp(dev->private_key);
	wg_public_key(dev->public_key, dev->private_key);
	wg_cookie_checker_init(&dev->cookie_checker, dev->public_key);
}

struct wg_device *wg_device_new(const struct wg_ops *ops, void *ctx,
				const uint8_t private_key[WG_KEY_BYTES], uint16_t mtu)
{
	struct wg_device *dev = wg_secret_alloc(sizeof(*dev));
	uint8_t hash_key[sizeof(dev->ratelimit.hash_key)];

	if (!dev)
		return NULL;
	dev->ops = ops;
	dev->ops_ctx = ctx;
	dev->mtu = mtu < WG_MTU_MAX_BYTES ? mtu : WG_MTU_MAX_BYTES;
	dev->next_deadline = UINT64_MAX;
	dev->collect_at = UINT64_MAX;
	dev->tx.arena = malloc(WG_TX_ARENA_BYTES);
	dev->handshakes.ring = calloc(WG_HANDSHAKES_QUEUED_MAX, sizeof(*dev->handshakes.ring));
	if (!dev->tx.arena || !dev->handshakes.ring || !wg_aead_init(&dev->aead)) {
		wg_device_free(dev);
		return NULL;
	}
	set_identity(dev, private_key);
	ops->random(ctx, hash_key, sizeof(hash_key));
	wg_ratelimit_init(&dev->ratelimit, hash_key);
	wg_retries_init(&dev->retries, hash_key);
	wg_device_refresh_now(dev);
	return dev;
}

void wg_device_free(struct wg_device *dev)
{
	if (!dev)
		return;
	while (dev->peers)
		wg_peer_remove(dev, dev->peers);
	wg_allowedips_free(&dev->allowed_ips);
	wg_ratelimit_free(&dev->ratelimit);
	wg_retries_free(&dev->retries);
	wg_aead_free(&dev->aead);
	if (dev->tx.arena)
		sodium_memzero(dev->tx.arena, WG_TX_ARENA_BYTES);
	free(dev->tx.arena);
	free(dev->handshakes.ring);
	wg_secret_free(dev);
}

void wg_device_set_private_key(struct wg_device *dev, const uint8_t private_key[WG_KEY_BYTES])
{
	struct wg_peer *self;

	wg_device_refresh_now(dev);
	set_identity(dev, private_key);
	self = wg_peer_by_public_key(dev, dev->public_key);
	if (self)
		wg_peer_remove(dev, self);
	for (struct wg_peer *peer = dev->peers; peer; peer = peer->next) {
		wg_handshake_clear(&peer->handshake, dev);
		wg_handshake_precompute(&peer->handshake, dev->private_key);
		wg_keypairs_stop_sending(&peer->keypairs);
		peer->initiation_allowed_at = 0;
	}
}

void wg_device_public_key(const struct wg_device *dev, uint8_t out[WG_KEY_BYTES])
{
	memcpy(out, dev->public_key, WG_KEY_BYTES);
}

void wg_device_stats(const struct wg_device *dev, struct wg_device_stats *out)
{
	*out = dev->stats;
}

const char *wg_device_aead(const struct wg_device *dev)
{
	return dev->aead.provider->name;
}

uint64_t wg_device_next_deadline(const struct wg_device *dev)
{
	return dev->next_deadline;
}

static void collect_sources(struct wg_device *dev)
{
	bool in_use;

	if (dev->collect_at > wg_device_now(dev))
		return;
	wg_ratelimit_collect(&dev->ratelimit, wg_device_now(dev));
	in_use = wg_retries_collect(&dev->retries, wg_device_now(dev)) || dev->ratelimit.used;
	dev->collect_at = in_use ? wg_device_now(dev) + WG_NS_PER_S : UINT64_MAX;
}

void wg_device_tick(struct wg_device *dev)
{
	wg_device_refresh_now(dev);
	dev->next_deadline = UINT64_MAX;
	wg_device_work_handshakes(dev);
	for (struct wg_peer *peer = dev->peers; peer; peer = peer->next)
		wg_timers_run(peer);
	collect_sources(dev);
	wg_send_committed(dev);

	if (dev->handshakes.count)
		wg_device_wake_at(dev, wg_device_now(dev));
	wg_device_wake_at(dev, dev->collect_at);
	for (struct wg_peer *peer = dev->peers; peer; peer = peer->next)
		wg_device_wake_at(dev, wg_timers_next(peer));
}
