/* SPDX-License-Identifier: MIT */
/*
 * peer.c - peers: set-up, endpoint, packets that wait
 */
#include "wg/peer.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "wg/bytes.h"
#include "wg/device.h"
#include "wg/secret.h"
#include "wg/send.h"

/* ---- life ---- */

/* Strangers can ask for any key by sending it to us, and must not learn from the time that takes
 * how much of it is right: all peers are looked at, and no branch depends on what is found. */
struct wg_peer *wg_peer_by_public_key(const struct wg_device *dev,
				      const uint8_t key[WG_PUBLIC_KEY_BYTES])
{
	uintptr_t found = 0;

	for (struct wg_peer *peer = dev->peers; peer; peer = peer->next) {
		unsigned int differs = (unsigned int)sodium_memcmp(peer->handshake.remote_static,
								   key, WG_PUBLIC_KEY_BYTES);

		/* 0 or 1 less 1: all ones where the keys are equal */
		found |= (uintptr_t)peer & ((uintptr_t)(differs & 1) - 1);
	}
	return (struct wg_peer *)found;
}

struct wg_peer *wg_peer_add(struct wg_device *dev, const uint8_t public_key[WG_KEY_BYTES])
{
	struct wg_peer *peer = wg_peer_by_public_key(dev, public_key), **place;

	if (peer || memcmp(public_key, dev->public_key, WG_KEY_BYTES) == 0)
		return peer;
	peer = wg_secret_alloc(sizeof(*peer));
	if (!peer)
		return NULL;
	peer->dev = dev;
	peer->staged_end = &peer->staged;
	memcpy(peer->handshake.remote_static, public_key, WG_KEY_BYTES);
	wg_handshake_precompute(&peer->handshake, dev->private_key);
	wg_cookie_init(&peer->cookie, public_key);
	wg_timers_init(peer);
	for (place = &dev->peers; *place; place = &(*place)->next)
		;
	*place = peer;
	return peer;
}

/* Wipes and frees. The caller unlinks it. */
static void peer_free(struct wg_peer *peer)
{
	struct wg_device *dev = peer->dev;

	wg_send_forget_peer(dev, peer);
	wg_peer_drop_staged(peer);
	wg_handshake_clear(&peer->handshake, dev);
	wg_keypairs_clear(dev, &peer->keypairs);
	wg_allowedips_remove_peer(&dev->allowed_ips, peer);
	wg_secret_free(peer);
}

void wg_peer_remove(struct wg_device *dev, struct wg_peer *peer)
{
	struct wg_peer **place = &dev->peers;

	while (*place != peer)
		place = &(*place)->next;
	*place = peer->next;
	peer_free(peer);
}

struct wg_peer *wg_peer_next(const struct wg_device *dev, const struct wg_peer *prev)
{
	return prev ? prev->next : dev->peers;
}

/* ---- endpoint ---- */

static bool same_place(const struct wg_endpoint *a, const struct wg_endpoint *b)
{
	if (a->to.sa.sa_family != b->to.sa.sa_family)
		return false;
	if (a->to.sa.sa_family == AF_INET6)
		return memcmp(&a->to.in6.sin6_addr, &b->to.in6.sin6_addr, 16) == 0 &&
		       a->to.in6.sin6_port == b->to.in6.sin6_port &&
		       a->to.in6.sin6_scope_id == b->to.in6.sin6_scope_id;
	return a->to.in.sin_addr.s_addr == b->to.in.sin_addr.s_addr &&
	       a->to.in.sin_port == b->to.in.sin_port;
}

void wg_peer_roam(struct wg_peer *peer, const struct wg_endpoint *from)
{
	bool moved = !same_place(&peer->endpoint, from);

	peer->endpoint = *from;
	if (moved)
		wg_peer_event(peer, WG_EVENT_ENDPOINT_CHANGED);
}

void wg_peer_forget_source(struct wg_peer *peer)
{
	memset(&peer->endpoint.from6, 0, sizeof(peer->endpoint.from6));
	peer->endpoint.ifindex = 0;
}

void wg_peer_event(struct wg_peer *peer, enum wg_event event)
{
	if (peer->dev->ops->event)
		peer->dev->ops->event(peer->dev->ops_ctx, peer, event);
}

/* ---- packets that wait ---- */

struct wg_staged *wg_peer_unstage(struct wg_peer *peer)
{
	struct wg_staged *first = peer->staged;

	if (!first)
		return NULL;
	peer->staged = first->next;
	if (!peer->staged)
		peer->staged_end = &peer->staged;
	peer->n_staged--;
	return first;
}

void wg_peer_stage(struct wg_peer *peer, const void *packet, size_t len, uint8_t tos)
{
	struct wg_staged *staged = malloc(sizeof(*staged) + len);

	if (!staged) {
		peer->dev->stats.tx_staged_dropped++;
		return;
	}
	*staged = (struct wg_staged){.len = len, .tos = tos};
	if (len)
		memcpy(staged->packet, packet, len);
	if (peer->n_staged == WG_STAGED_PACKETS_MAX) {
		free(wg_peer_unstage(peer));
		peer->dev->stats.tx_staged_dropped++;
	}
	*peer->staged_end = staged;
	peer->staged_end = &staged->next;
	peer->n_staged++;
}

void wg_peer_drop_staged(struct wg_peer *peer)
{
	struct wg_staged *staged;

	while ((staged = wg_peer_unstage(peer))) {
		peer->dev->stats.tx_staged_dropped += staged->len != 0;
		free(staged);
	}
}

/* ---- settings and state ---- */

void wg_peer_set_preshared_key(struct wg_peer *peer, const uint8_t psk[WG_KEY_BYTES])
{
	memcpy(peer->handshake.psk, psk, WG_KEY_BYTES);
}

void wg_peer_set_endpoint(struct wg_peer *peer, const struct wg_endpoint *endpoint)
{
	bool had_none = !wg_peer_has_endpoint(peer);

	wg_device_refresh_now(peer->dev);
	peer->endpoint = *endpoint;
	/* A keepalive that could not be sent before */
	if (had_none && wg_peer_has_endpoint(peer))
		wg_timers_persistent_now(peer);
}

void wg_peer_set_keepalive(struct wg_peer *peer, uint16_t seconds)
{
	wg_device_refresh_now(peer->dev);
	wg_timers_set_persistent(peer, seconds);
}

int wg_peer_add_allowed_ip(struct wg_peer *peer, int family, const void *addr, uint8_t prefix_len)
{
	return wg_allowedips_insert(&peer->dev->allowed_ips, family, addr, prefix_len, peer);
}

void wg_peer_clear_allowed_ips(struct wg_peer *peer)
{
	wg_allowedips_remove_peer(&peer->dev->allowed_ips, peer);
}

struct wg_peer *wg_peer_by_allowed_ip(const struct wg_device *dev, int family, const void *addr)
{
	return wg_allowedips_find(&dev->allowed_ips, family, addr);
}

void wg_peer_handshake(struct wg_peer *peer)
{
	wg_device_refresh_now(peer->dev);
	wg_send_initiation(peer, false);
}

void wg_peer_keepalive(struct wg_peer *peer)
{
	struct wg_device *dev = peer->dev;

	wg_device_refresh_now(dev);
	if (wg_keypair_may_send(peer->keypairs.current, dev->ops->now(dev->ops_ctx)))
		wg_send_keepalive(peer);
}

void wg_peer_public_key(const struct wg_peer *peer, uint8_t out[WG_KEY_BYTES])
{
	memcpy(out, peer->handshake.remote_static, WG_KEY_BYTES);
}

void wg_peer_stats(const struct wg_peer *peer, struct wg_peer_stats *out)
{
	const struct wg_device *dev = peer->dev;
	const struct wg_keypair *kp = peer->keypairs.current;

	*out = (struct wg_peer_stats){
		.rx_bytes = peer->rx_bytes,
		.tx_bytes = peer->tx_bytes,
		.last_handshake = peer->last_handshake,
		.handshake_attempts = peer->initiations_sent,
		.handshake_rtt = peer->handshake_rtt,
		.session_received = kp ? kp->received : 0,
		.session_missing = kp ? kp->replay.next - kp->received : 0,
		.has_session = wg_keypair_may_send(kp, dev->ops->now(dev->ops_ctx)),
		.endpoint = peer->endpoint,
	};
}

void wg_peer_set_user(struct wg_peer *peer, void *user)
{
	peer->user = user;
}

void *wg_peer_user(const struct wg_peer *peer)
{
	return peer->user;
}
