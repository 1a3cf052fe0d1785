/* SPDX-License-Identifier: MIT */
/*
 * cookie.c - mac1, mac2 and cookies
 *
 * mac1 proves that the sender knows our public key; without it we stay silent. A cookie is a MAC
 * of the sender's address and port under a secret that changes every two minutes; mac2 proves
 * that the sender received it, hence owns the address. It is asked for under load only
 * (receive.c), so that Diffie-Hellman work cannot be had with forged sources.
 *
 * A cookie reply is encrypted with the offending message's mac1 as additional data. The sending
 * side takes one reply per message sent: a captured reply cannot be used twice to keep an old
 * cookie alive.
 */
#include "wg/cookie.h"

#include <sodium.h>
#include <string.h>

#include "wg/bytes.h"
#include "wg/device.h"
#include "wg/hash.h"
#include "wg/wire.h"

static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == WG_COOKIE_NONCE_BYTES, "nonce");

static void derive(uint8_t key[WG_SYMMETRIC_KEY_BYTES], const char label[8],
		   const uint8_t public_key[WG_PUBLIC_KEY_BYTES])
{
	wg_hash(key, (const struct wg_bytes[]){{label, 8}, {public_key, WG_PUBLIC_KEY_BYTES}}, 2);
}

void wg_cookie_checker_init(struct wg_cookie_checker *checker,
			    const uint8_t own_public[WG_PUBLIC_KEY_BYTES])
{
	sodium_memzero(checker, sizeof(*checker));
	derive(checker->mac1_key, "mac1----", own_public);
	derive(checker->encryption_key, "cookie--", own_public);
}

void wg_cookie_init(struct wg_cookie *cookie, const uint8_t peer_public[WG_PUBLIC_KEY_BYTES])
{
	sodium_memzero(cookie, sizeof(*cookie));
	derive(cookie->mac1_key, "mac1----", peer_public);
	derive(cookie->decryption_key, "cookie--", peer_public);
}

static void compute_mac1(uint8_t mac1[WG_MAC_BYTES], const void *message, size_t len,
			 const uint8_t key[WG_SYMMETRIC_KEY_BYTES])
{
	wg_mac(mac1, key, WG_SYMMETRIC_KEY_BYTES,
	       &(struct wg_bytes){message, len - sizeof(struct wg_message_macs)}, 1);
}

/* mac2 covers the message and mac1. */
static void compute_mac2(uint8_t mac2[WG_MAC_BYTES], const void *message, size_t len,
			 const uint8_t cookie[WG_COOKIE_BYTES])
{
	wg_mac(mac2, cookie, WG_COOKIE_BYTES, &(struct wg_bytes){message, len - WG_MAC_BYTES}, 1);
}

static struct wg_message_macs *macs_of(void *message, size_t len)
{
	return (struct wg_message_macs *)((uint8_t *)message + len -
					  sizeof(struct wg_message_macs));
}

static const struct wg_message_macs *macs_of_const(const void *message, size_t len)
{
	return (const struct wg_message_macs *)((const uint8_t *)message + len -
						sizeof(struct wg_message_macs));
}

void wg_cookie_add_macs(struct wg_cookie *cookie, void *message, size_t len, uint64_t now)
{
	struct wg_message_macs *macs = macs_of(message, len);

	compute_mac1(macs->mac1, message, len, cookie->mac1_key);
	memcpy(cookie->last_mac1, macs->mac1, WG_MAC_BYTES);
	cookie->awaits_reply = true;

	if (cookie->has_cookie &&
	    wg_has_expired(cookie->born, WG_COOKIE_SECRET_MAX_AGE_NS - WG_COOKIE_LATENCY_NS, now)) {
		sodium_memzero(cookie->cookie, WG_COOKIE_BYTES);
		cookie->has_cookie = false;
	}
	if (cookie->has_cookie)
		compute_mac2(macs->mac2, message, len, cookie->cookie);
	else
		memset(macs->mac2, 0, WG_MAC_BYTES);
}

bool wg_cookie_check_mac1(const struct wg_cookie_checker *checker, const void *message, size_t len)
{
	uint8_t mac1[WG_MAC_BYTES];

	compute_mac1(mac1, message, len, checker->mac1_key);
	return sodium_memcmp(mac1, macs_of_const(message, len)->mac1, WG_MAC_BYTES) == 0;
}

bool wg_cookie_has_mac2(const void *message, size_t len)
{
	static const uint8_t none[WG_MAC_BYTES];

	/* no secret: in a flood this is asked of every message, so it had better be quick */
	return memcmp(macs_of_const(message, len)->mac2, none, WG_MAC_BYTES) != 0;
}

/* The cookie for @from: over address and port as they lie in the socket address. */
static void make_cookie(struct wg_device *dev, uint8_t cookie[WG_COOKIE_BYTES],
			const struct wg_endpoint *from)
{
	struct wg_cookie_checker *checker = &dev->cookie_checker;
	uint64_t now = wg_device_now(dev);
	struct wg_bytes in[2];

	if (!checker->has_secret ||
	    wg_has_expired(checker->secret_born, WG_COOKIE_SECRET_MAX_AGE_NS, now)) {
		dev->ops->random(dev->ops_ctx, checker->secret, sizeof(checker->secret));
		checker->secret_born = now;
		checker->has_secret = true;
	}
	if (from->to.sa.sa_family == AF_INET6) {
		in[0] = (struct wg_bytes){&from->to.in6.sin6_addr, 16};
		in[1] = (struct wg_bytes){&from->to.in6.sin6_port, 2};
	} else {
		in[0] = (struct wg_bytes){&from->to.in.sin_addr, 4};
		in[1] = (struct wg_bytes){&from->to.in.sin_port, 2};
	}
	wg_mac(cookie, checker->secret, sizeof(checker->secret), in, 2);
}

bool wg_cookie_check_mac2(struct wg_device *dev, const void *message, size_t len,
			  const struct wg_endpoint *from)
{
	uint8_t cookie[WG_COOKIE_BYTES], mac2[WG_MAC_BYTES];
	bool ok;

	make_cookie(dev, cookie, from);
	compute_mac2(mac2, message, len, cookie);
	ok = sodium_memcmp(mac2, macs_of_const(message, len)->mac2, WG_MAC_BYTES) == 0;
	sodium_memzero(cookie, sizeof(cookie));
	return ok;
}

void wg_cookie_create_reply(struct wg_device *dev, struct wg_message_cookie *reply,
			    const void *message, size_t len, const uint8_t sender[4],
			    const struct wg_endpoint *from)
{
	uint8_t cookie[WG_COOKIE_BYTES];

	wg_wire_set_type(reply->type, WG_MESSAGE_COOKIE);
	memcpy(reply->receiver, sender, sizeof(reply->receiver));
	dev->ops->random(dev->ops_ctx, reply->nonce, sizeof(reply->nonce));
	make_cookie(dev, cookie, from);
	crypto_aead_xchacha20poly1305_ietf_encrypt(
		reply->encrypted_cookie, NULL, cookie, sizeof(cookie),
		macs_of_const(message, len)->mac1, WG_MAC_BYTES, NULL, reply->nonce,
		dev->cookie_checker.encryption_key);
	sodium_memzero(cookie, sizeof(cookie));
}

bool wg_cookie_consume_reply(struct wg_cookie *cookie, const struct wg_message_cookie *reply,
			     uint64_t now)
{
	uint8_t plain[WG_COOKIE_BYTES];
	bool ok;

	if (!cookie->awaits_reply)
		return false;
	ok = crypto_aead_xchacha20poly1305_ietf_decrypt(
		     plain, NULL, NULL, reply->encrypted_cookie, sizeof(reply->encrypted_cookie),
		     cookie->last_mac1, WG_MAC_BYTES, reply->nonce, cookie->decryption_key) == 0;
	if (ok) {
		memcpy(cookie->cookie, plain, sizeof(plain));
		cookie->born = now;
		cookie->has_cookie = true;
		cookie->awaits_reply = false;
	}
	sodium_memzero(plain, sizeof(plain));
	return ok;
}
