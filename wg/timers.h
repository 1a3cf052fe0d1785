/* SPDX-License-Identifier: MIT */
/*
 * timers.h - when a peer's handshakes, keepalives and key erasure are due (section 6)
 *
 * The first part is the contract: whoever sends or receives calls these at the named moments, and
 * the protocol's timing follows. "Authenticated" means that the tag and the replay check passed;
 * what is inside the packet makes no difference.
 */
#ifndef WG_TIMERS_H
#define WG_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

struct wg_device;
struct wg_peer;

/* Those that are due at once, after a suspend, run in this order: what is too old goes before
 * anything new begins. */
enum wg_timer {
	WG_TIMER_ZERO_KEYS,	/* the last session is three lifetimes old */
	WG_TIMER_RETRANSMIT,	/* an initiation got no response */
	WG_TIMER_KEEPALIVE,	/* data was received and nothing sent since */
	WG_TIMER_SILENCE,	/* data was sent and nothing received since: the embedder is told */
	WG_TIMER_NEW_HANDSHAKE, /* the same, and a little later */
	WG_TIMER_PERSISTENT,	/* persistent keepalive */
	WG_TIMER_COUNT,
};

#define WG_TIMER_OFF UINT64_MAX

/**
 * struct wg_timers - of one peer
 * @due:			Times in ns by enum wg_timer, WG_TIMER_OFF: not armed
 * @jitter:			ns; keeps two peers from repeating themselves in step. Drawn anew with
 *				each initiation, not with each packet that arms a timer
 * @persistent_s:		Seconds between persistent keepalives, 0: off
 * @attempts:			Retransmissions of the present attempt
 * @needs_another_keepalive:	Data came while WG_TIMER_KEEPALIVE was armed
 */
struct wg_timers {
	uint64_t due[WG_TIMER_COUNT], jitter;
	uint16_t persistent_s;
	unsigned int attempts;
	bool needs_another_keepalive;
};

/* No timer is armed. */
void wg_timers_init(struct wg_peer *peer);

/* After an authenticated data packet (not a keepalive) was sent. */
void wg_timers_data_sent(struct wg_peer *peer);
/* After @count authenticated data packets (not keepalives) were received. */
void wg_timers_data_received(struct wg_peer *peer, unsigned int count);
/* Before any authenticated packet is sent: keepalive, data or handshake. */
void wg_timers_any_authenticated_sent(struct wg_peer *peer);
/* After any authenticated packet was received: keepalive, data or handshake. */
void wg_timers_any_authenticated_received(struct wg_peer *peer);
/* Before any authenticated packet is sent and after any was received. */
void wg_timers_any_authenticated_traversal(struct wg_peer *peer);
/* After an initiation was sent. */
void wg_timers_handshake_initiated(struct wg_peer *peer);
/* After a response was received, or a session was confirmed by the first packet of it. */
void wg_timers_handshake_complete(struct wg_peer *peer);
/* After keys of a session were derived, on either side. */
void wg_timers_session_derived(struct wg_peer *peer);

/* Seconds between persistent keepalives, 0: off. */
void wg_timers_set_persistent(struct wg_peer *peer, uint16_t seconds);
/* Makes a persistent keepalive due now, if they are on. */
void wg_timers_persistent_now(struct wg_peer *peer);

/* Whether an initiation was sent and neither answered nor given up. */
bool wg_timers_awaits_response(const struct wg_peer *peer);

/* Does what is due now. */
void wg_timers_run(struct wg_peer *peer);
/* Time of the first of @peer's timers, WG_TIMER_OFF: none. */
uint64_t wg_timers_next(const struct wg_peer *peer);

#endif
