/* SPDX-License-Identifier: MIT */
/*
 * cookie.h - mac1, mac2 and cookies (section 5.4.4, 5.4.7)
 */
#ifndef WG_COOKIE_H
#define WG_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wg/messages.h"

struct wg_device;
struct wg_endpoint;

/**
 * struct wg_cookie_checker - the receiving side: what we demand of handshakes sent to us
 * @mac1_key:		HASH("mac1----" || our public key)
 * @encryption_key:	HASH("cookie--" || our public key), for cookies we hand out
 * @secret:		Cookies are MACs with it
 * @secret_born:	ns; a secret serves for WG_COOKIE_SECRET_MAX_AGE_NS
 * @has_secret:		Until the first load there is none
 */
struct wg_cookie_checker {
	uint8_t mac1_key[WG_SYMMETRIC_KEY_BYTES];
	uint8_t encryption_key[WG_SYMMETRIC_KEY_BYTES];
	uint8_t secret[WG_HASH_BYTES];
	uint64_t secret_born;
	bool has_secret;
};

/**
 * struct wg_cookie - the sending side: what a peer demands of handshakes we send
 * @mac1_key:		HASH("mac1----" || the peer's public key)
 * @decryption_key:	HASH("cookie--" || the peer's public key)
 * @cookie:		Valid while @has_cookie and younger than its age allows
 * @born:		When the cookie arrived, ns
 * @last_mac1:		Of the last handshake message sent; authenticates a cookie reply
 * @awaits_reply:	@last_mac1 was sent and not yet answered by a cookie reply
 */
struct wg_cookie {
	uint8_t mac1_key[WG_SYMMETRIC_KEY_BYTES];
	uint8_t decryption_key[WG_SYMMETRIC_KEY_BYTES];
	uint8_t cookie[WG_COOKIE_BYTES];
	uint64_t born;
	uint8_t last_mac1[WG_MAC_BYTES];
	bool has_cookie;
	bool awaits_reply;
};

/* Both forget any cookie or secret they had. */
void wg_cookie_checker_init(struct wg_cookie_checker *checker,
			    const uint8_t own_public[WG_PUBLIC_KEY_BYTES]);
void wg_cookie_init(struct wg_cookie *cookie, const uint8_t peer_public[WG_PUBLIC_KEY_BYTES]);

/* Fills in the macs at the end of the @len bytes of @message. */
void wg_cookie_add_macs(struct wg_cookie *cookie, void *message, size_t len, uint64_t now);

/* Whether the message is meant for us by somebody who knows our public key. */
bool wg_cookie_check_mac1(const struct wg_cookie_checker *checker, const void *message, size_t len);
/* Whether there is a mac2 at all, right or wrong. */
bool wg_cookie_has_mac2(const void *message, size_t len);
/* Whether the sender has got a fresh cookie of ours at the address it sends from. */
bool wg_cookie_check_mac2(struct wg_device *dev, const void *message, size_t len,
			  const struct wg_endpoint *from);

/* Makes the reply to @message, whose sender index is @sender (as it lies in the message). */
void wg_cookie_create_reply(struct wg_device *dev, struct wg_message_cookie *reply,
			    const void *message, size_t len, const uint8_t sender[4],
			    const struct wg_endpoint *from);
/* Takes the cookie out of a reply; false: not an answer to our last message. */
bool wg_cookie_consume_reply(struct wg_cookie *cookie, const struct wg_message_cookie *reply,
			     uint64_t now);

#endif
