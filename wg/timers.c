/* SPDX-License-Identifier: MIT */
/*
 * timers.c - when a peer's handshakes, keepalives and key erasure are due
 *
 * Six deadlines a peer. Arming one also moves the device's next deadline forward; that is a lower
 * bound, so cancelling needs no search, and a tick that finds nothing due computes it anew.
 */
#include "wg/timers.h"

#include "wg/device.h"
#include "wg/handshake.h"
#include "wg/peer.h"
#include "wg/send.h"

static bool is_armed(const struct wg_peer *peer, enum wg_timer timer)
{
	return peer->timers.due[timer] != WG_TIMER_OFF;
}

static void arm(struct wg_peer *peer, enum wg_timer timer, uint64_t after)
{
	uint64_t due = wg_device_now(peer->dev) + after;

	peer->timers.due[timer] = due;
	wg_device_wake_at(peer->dev, due);
}

static void cancel(struct wg_peer *peer, enum wg_timer timer)
{
	peer->timers.due[timer] = WG_TIMER_OFF;
}

static void draw_jitter(struct wg_peer *peer)
{
	uint32_t r;

	peer->dev->ops->random(peer->dev->ops_ctx, &r, sizeof(r));
	peer->timers.jitter = r % (WG_TIMER_JITTER_MS + 1) * WG_NS_PER_MS;
}

void wg_timers_init(struct wg_peer *peer)
{
	draw_jitter(peer);
	for (int i = 0; i < WG_TIMER_COUNT; i++)
		cancel(peer, (enum wg_timer)i);
}

void wg_timers_data_sent(struct wg_peer *peer)
{
	if (is_armed(peer, WG_TIMER_NEW_HANDSHAKE))
		return;
	arm(peer, WG_TIMER_SILENCE, WG_KEEPALIVE_TIMEOUT_NS + WG_SILENCE_MARGIN_NS);
	arm(peer, WG_TIMER_NEW_HANDSHAKE,
	    WG_KEEPALIVE_TIMEOUT_NS + WG_REKEY_TIMEOUT_NS + peer->timers.jitter);
}

void wg_timers_data_received(struct wg_peer *peer, unsigned int count)
{
	if (count && !is_armed(peer, WG_TIMER_KEEPALIVE)) {
		arm(peer, WG_TIMER_KEEPALIVE, WG_KEEPALIVE_TIMEOUT_NS);
		count--;
	}
	if (count)
		peer->timers.needs_another_keepalive = true;
}

void wg_timers_any_authenticated_sent(struct wg_peer *peer)
{
	cancel(peer, WG_TIMER_KEEPALIVE);
}

void wg_timers_any_authenticated_received(struct wg_peer *peer)
{
	cancel(peer, WG_TIMER_SILENCE);
	cancel(peer, WG_TIMER_NEW_HANDSHAKE);
}

void wg_timers_any_authenticated_traversal(struct wg_peer *peer)
{
	if (peer->timers.persistent_s)
		arm(peer, WG_TIMER_PERSISTENT, peer->timers.persistent_s * WG_NS_PER_S);
}

void wg_timers_handshake_initiated(struct wg_peer *peer)
{
	draw_jitter(peer);
	arm(peer, WG_TIMER_RETRANSMIT, WG_REKEY_TIMEOUT_NS + peer->timers.jitter);
}

void wg_timers_handshake_complete(struct wg_peer *peer)
{
	struct wg_device *dev = peer->dev;

	cancel(peer, WG_TIMER_RETRANSMIT);
	peer->timers.attempts = 0;
	peer->sent_lastminute_initiation = false;
	peer->initiations_sent = 0;
	dev->ops->realtime(dev->ops_ctx, &peer->last_handshake);
	wg_peer_event(peer, WG_EVENT_HANDSHAKE_DONE);
}

void wg_timers_session_derived(struct wg_peer *peer)
{
	arm(peer, WG_TIMER_ZERO_KEYS, WG_ZERO_KEYS_AFTER_NS);
}

void wg_timers_set_persistent(struct wg_peer *peer, uint16_t seconds)
{
	bool was_off = peer->timers.persistent_s == 0;

	peer->timers.persistent_s = seconds;
	if (!seconds)
		cancel(peer, WG_TIMER_PERSISTENT);
	else if (was_off)
		wg_timers_persistent_now(peer);
}

bool wg_timers_awaits_response(const struct wg_peer *peer)
{
	return is_armed(peer, WG_TIMER_RETRANSMIT);
}

void wg_timers_persistent_now(struct wg_peer *peer)
{
	if (peer->timers.persistent_s)
		arm(peer, WG_TIMER_PERSISTENT, 0);
}

/* ---- what happens when they are due ---- */

static void give_up(struct wg_peer *peer)
{
	cancel(peer, WG_TIMER_KEEPALIVE);
	wg_peer_drop_staged(peer);
	/* Old keys must not outlive a peer that stays away. */
	if (!is_armed(peer, WG_TIMER_ZERO_KEYS))
		arm(peer, WG_TIMER_ZERO_KEYS, WG_ZERO_KEYS_AFTER_NS);
	wg_peer_event(peer, WG_EVENT_HANDSHAKE_GAVE_UP);
}

static void run_retransmit(struct wg_peer *peer)
{
	uint64_t allowed_at = peer->initiation_allowed_at;

	if (peer->timers.attempts > WG_REKEY_ATTEMPT_MAX) {
		give_up(peer);
		return;
	}
	/* A response of ours came between; the attempt must not end with that. */
	if (wg_device_now(peer->dev) < allowed_at) {
		arm(peer, WG_TIMER_RETRANSMIT, allowed_at - wg_device_now(peer->dev));
		return;
	}
	peer->timers.attempts++;
	wg_send_initiation(peer, true);
}

static void run_keepalive(struct wg_peer *peer)
{
	wg_send_keepalive(peer);
	if (peer->timers.needs_another_keepalive) {
		peer->timers.needs_another_keepalive = false;
		arm(peer, WG_TIMER_KEEPALIVE, WG_KEEPALIVE_TIMEOUT_NS);
	}
}

/* A living peer has sent a keepalive by now. */
static void run_silence(struct wg_peer *peer)
{
	wg_peer_event(peer, WG_EVENT_PEER_SILENT);
}

static void run_new_handshake(struct wg_peer *peer)
{
	wg_peer_forget_source(peer);
	wg_send_initiation(peer, false);
}

static void run_zero_keys(struct wg_peer *peer)
{
	wg_handshake_clear(&peer->handshake, peer->dev);
	wg_keypairs_clear(peer->dev, &peer->keypairs);
}

static void run_persistent(struct wg_peer *peer)
{
	/* Sending arms it anew; when nothing can be sent yet, it still has to come back. */
	wg_timers_any_authenticated_traversal(peer);
	wg_send_keepalive(peer);
}

void wg_timers_run(struct wg_peer *peer)
{
	static void (*const actions[WG_TIMER_COUNT])(struct wg_peer *) = {
		[WG_TIMER_RETRANSMIT] = run_retransmit,
		[WG_TIMER_KEEPALIVE] = run_keepalive,
		[WG_TIMER_SILENCE] = run_silence,
		[WG_TIMER_NEW_HANDSHAKE] = run_new_handshake,
		[WG_TIMER_ZERO_KEYS] = run_zero_keys,
		[WG_TIMER_PERSISTENT] = run_persistent,
	};

	for (int i = 0; i < WG_TIMER_COUNT; i++) {
		if (peer->timers.due[i] > wg_device_now(peer->dev))
			continue;
		cancel(peer, (enum wg_timer)i);
		actions[i](peer);
	}
}

uint64_t wg_timers_next(const struct wg_peer *peer)
{
	uint64_t next = WG_TIMER_OFF;

	for (int i = 0; i < WG_TIMER_COUNT; i++)
		if (peer->timers.due[i] < next)
			next = peer->timers.due[i];
	return next;
}
