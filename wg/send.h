/* SPDX-License-Identifier: MIT */
/*
 * send.h - everything that leaves the device
 */
#ifndef WG_SEND_H
#define WG_SEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wg_device;
struct wg_endpoint;
struct wg_peer;

/* Starts a handshake, unless an initiation or response was sent to the peer within REKEY_TIMEOUT.
 * @is_retry: of the present attempt; else a new attempt begins. */
void wg_send_initiation(struct wg_peer *peer, bool is_retry);
/* Answers the initiation that was consumed, and derives the session. */
void wg_send_response(struct wg_peer *peer);
/* Answers a handshake @message of @len bytes, whose sender index is @sender, with a cookie. */
void wg_send_cookie_reply(struct wg_device *dev, const struct wg_endpoint *to, const void *message,
			  size_t len, const uint8_t sender[4]);
/* Sends what is staged, or an empty packet if nothing is; starts a handshake if it must. */
void wg_send_keepalive(struct wg_peer *peer);
/* Sends what is staged, and starts a handshake if it cannot. */
void wg_send_staged(struct wg_peer *peer);
/* Seals and sends what was committed, or stages it. */
void wg_send_committed(struct wg_device *dev);
/* What was committed for @peer is not sent. */
void wg_send_forget_peer(struct wg_device *dev, const struct wg_peer *peer);

#endif
