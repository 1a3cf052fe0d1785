/* SPDX-License-Identifier: MIT */
/*
 * wg.h - an embeddable WireGuard engine, without a socket, a thread or a clock of its own
 *
 * The embedder hands in what arrived (wg_device_receive) and what is to be sent
 * (wg_device_tx_buffer, wg_device_tx_commit, wg_device_flush), and calls wg_device_tick when
 * wg_device_next_deadline has passed. The engine answers from within, through struct wg_ops.
 *
 * One thread may use a device at a time; a process may have several devices. Keys are 32 bytes,
 * little-endian as Curve25519 has them. Times are nanoseconds, addresses in network order.
 */
#ifndef WG_WG_H
#define WG_WG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum {
	WG_KEY_BYTES = 32,
	WG_OVERHEAD_BYTES = 32,		   /* data header and authentication tag, section 5.4.6 */
	WG_MTU_MAX_BYTES = 65535 - 8 - 32, /* largest inner packet an outer datagram can carry */
};

struct wg_device;
struct wg_peer;

/** struct wg_endpoint - where a peer is, and where the last authenticated datagram of it came to */
struct wg_endpoint {
	union {
		struct sockaddr sa; /* AF_INET, AF_INET6 or AF_UNSPEC: not known */
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} to;
	union {
		struct in_addr from4; /* address of ours, of the same family; all zeros: any */
		struct in6_addr from6;
	};
	uint32_t ifindex; /* interface, 0: any */
};

/** enum wg_event - what happened to a peer */
enum wg_event {
	WG_EVENT_HANDSHAKE_DONE,    /* a session was established and confirmed */
	WG_EVENT_HANDSHAKE_RETRY,   /* an initiation got no answer and is about to be sent again */
	WG_EVENT_HANDSHAKE_GAVE_UP, /* the attempts are used up; staged packets were dropped */
	WG_EVENT_ENDPOINT_CHANGED,  /* the peer roamed */
	WG_EVENT_PEER_SILENT, /* a keepalive in answer to data is overdue; an initiation follows */
	WG_EVENT_SESSION_REPLACED, /* about to: a handshake replaces a session younger than 120 s */
};

/**
 * struct wg_ops - what the embedder provides; event, choose and admit may be NULL
 *
 * Of the engine's functions, deliver and event may call wg_device_tx_buffer and wg_device_tx_commit
 * (to answer a packet), event also wg_peer_set_endpoint (to try elsewhere), both those that only
 * read; the others may call none. What is pointed to is valid during the call.
 *
 * @now:	Time since boot, counting suspend (CLOCK_BOOTTIME)
 * @realtime:	Wall clock, for the TAI64N timestamp (section 5.1)
 * @random:	Fills @buf with cryptographic randomness
 * @transmit:	Sends @count datagrams of @stride bytes, the last of @last (1 to @stride), which lie
 *		one behind the other in @buf: at most 64 and 65507 bytes, as UDP_SEGMENT takes them.
 *		@tos: outer traffic class (ECN and DSCP)
 * @deliver:	Takes an authenticated inner packet, whose source @from may use, trimmed to its
 *		declared length, with the outer ECN bits combined into its own (RFC 6040). It may be
 *		changed.
 * @event:	See enum wg_event
 * @choose:	The peer for an outgoing packet, if a policy has one; NULL: by allowed IPs
 * @admit:	Whether a packet from outside the peer's allowed IPs is taken, as an answer to what
 *		@choose sends there
 */
struct wg_ops {
	uint64_t (*now)(void *ctx);
	void (*realtime)(void *ctx, struct timespec *ts);
	void (*random)(void *ctx, void *buf, size_t len);
	void (*transmit)(void *ctx, const struct wg_endpoint *to, const uint8_t *buf, size_t stride,
			 size_t count, size_t last, uint8_t tos);
	void (*deliver)(void *ctx, struct wg_peer *from, uint8_t *packet, size_t len);
	void (*event)(void *ctx, struct wg_peer *peer, enum wg_event event);
	struct wg_peer *(*choose)(void *ctx, const uint8_t *packet, size_t len);
	bool (*admit)(void *ctx, const struct wg_peer *from, const uint8_t *packet, size_t len);
};

/** struct wg_peer_stats - counters and state of a peer */
struct wg_peer_stats {
	uint64_t rx_bytes, tx_bytes;	 /* of authenticated datagrams, header and tag included */
	struct timespec last_handshake;	 /* wall clock of the last completed one; zero: never */
	unsigned int handshake_attempts; /* initiations sent since then */
	uint64_t handshake_rtt;	   /* from the last answered initiation to its answer; 0: none */
	uint64_t session_received; /* datagrams taken in the current session */
	uint64_t session_missing;  /* sent before one of these, but not received: lost, or late */
	bool has_session;	   /* a current session exists and is not expired */
	struct wg_endpoint endpoint;
};

/** struct wg_device_stats - why datagrams and packets were dropped */
struct wg_device_stats {
	uint64_t rx_malformed;	    /* wrong length or type */
	uint64_t rx_bad_mac;	    /* mac1 or tag wrong, or unknown index */
	uint64_t rx_replayed;	    /* counter already seen or too old */
	uint64_t rx_source_refused; /* inner source outside the peer's allowed IPs */
	uint64_t rx_rate_limited;   /* handshakes refused under load */
	uint64_t tx_no_peer;	    /* no peer's allowed IPs hold the destination */
	uint64_t tx_no_endpoint;    /* the peer has no known endpoint */
	uint64_t tx_staged_dropped; /* pushed out of a full staged queue, or given up */
};

/* ---- device ---- */

/* @ops and @ctx must outlive the device; @private_key is copied and clamped; @mtu: inner, bytes,
 * limits padding (section 5.4.6). NULL: out of memory. */
struct wg_device *wg_device_new(const struct wg_ops *ops, void *ctx,
				const uint8_t private_key[WG_KEY_BYTES], uint16_t mtu);
/* Wipes all secrets. Peers and staged packets go with the device. */
void wg_device_free(struct wg_device *dev);

/* While running: sessions stop sending, so that the next packet starts a handshake; a peer with the
 * new public key is removed. */
void wg_device_set_private_key(struct wg_device *dev, const uint8_t private_key[WG_KEY_BYTES]);
void wg_device_public_key(const struct wg_device *dev, uint8_t out[WG_KEY_BYTES]);
/* The public key that belongs to any private one. */
void wg_public_key(uint8_t out[WG_KEY_BYTES], const uint8_t private_key[WG_KEY_BYTES]);
void wg_device_stats(const struct wg_device *dev, struct wg_device_stats *out);
/* Name of the AEAD provider that does @dev's next packet. */
const char *wg_device_aead(const struct wg_device *dev);

/* Takes @len bytes from @from: datagrams of @stride bytes each, the last maybe shorter, as UDP_GRO
 * has them. @buf is decrypted in place. Data is delivered now; handshakes are answered at the next
 * flush or tick, so that they cannot delay it. @tos: outer traffic class. */
void wg_device_receive(struct wg_device *dev, const struct wg_endpoint *from, uint8_t *buf,
		       size_t len, size_t stride, uint8_t tos);

/* Where the next inner packet, of @len <= mtu bytes, is to be written; never NULL. */
uint8_t *wg_device_tx_buffer(struct wg_device *dev, size_t len);
/* Queues it for wg_device_flush, or for when no more fit. Without a session it is staged, and a
 * handshake starts. Returns 0, -ENOKEY (no peer for the destination), -EDESTADDRREQ (the peer has
 * no endpoint) or -EINVAL (not an IP packet, or too long). */
int wg_device_tx_commit(struct wg_device *dev, size_t len);
/* Seals and transmits what was queued, and works on received handshakes: before each wait. */
void wg_device_flush(struct wg_device *dev);

/* When (wg_ops.now) wg_device_tick wants to be called; UINT64_MAX: nothing is pending. */
uint64_t wg_device_next_deadline(const struct wg_device *dev);
void wg_device_tick(struct wg_device *dev);

/* ---- peers, which belong to the device ---- */

/* Adds a peer, or returns the one with this key. NULL: out of memory, or the key is our own. */
struct wg_peer *wg_peer_add(struct wg_device *dev, const uint8_t public_key[WG_KEY_BYTES]);
void wg_peer_remove(struct wg_device *dev, struct wg_peer *peer);
/* The one after @prev, NULL: the first, in order of addition; NULL at the end. */
struct wg_peer *wg_peer_next(const struct wg_device *dev, const struct wg_peer *prev);

/* For the next handshake on; all zeros: none. */
void wg_peer_set_preshared_key(struct wg_peer *peer, const uint8_t psk[WG_KEY_BYTES]);
void wg_peer_set_endpoint(struct wg_peer *peer, const struct wg_endpoint *endpoint);
/* Persistent keepalive, 0: off. Switching it on makes one due at once (wg_device_tick). */
void wg_peer_set_keepalive(struct wg_peer *peer, uint16_t seconds);
/* @addr: 4 or 16 bytes; bits behind @prefix_len are cleared. A prefix that another peer has moves
 * to this one. Returns 0, -EINVAL or -ENOMEM. */
int wg_peer_add_allowed_ip(struct wg_peer *peer, int family, const void *addr, uint8_t prefix_len);
void wg_peer_clear_allowed_ips(struct wg_peer *peer);
/* The peer whose allowed IPs hold @addr by longest prefix, or NULL. */
struct wg_peer *wg_peer_by_allowed_ip(const struct wg_device *dev, int family, const void *addr);

/* Starts a handshake, unless one was started within the last 5 s. */
void wg_peer_handshake(struct wg_peer *peer);
/* Sends an empty packet, or what waits, if there is a session to send it in: the peer learns where
 * we are. */
void wg_peer_keepalive(struct wg_peer *peer);
void wg_peer_public_key(const struct wg_peer *peer, uint8_t out[WG_KEY_BYTES]);
void wg_peer_stats(const struct wg_peer *peer, struct wg_peer_stats *out);
/* A word of the embedder's own. */
void wg_peer_set_user(struct wg_peer *peer, void *user);
void *wg_peer_user(const struct wg_peer *peer);

/* ---- process ---- */

/* Whether all memory that holds keys is locked; else RLIMIT_MEMLOCK is too small, and some may
 * reach swap space. Core dumps leave it out in any case. */
bool wg_secrets_locked(void);
/* Name of the AEAD provider of this process, "libsodium", "openssl" or "ipsec-mb": for all but a
 * device's first packets, which libsodium does. */
const char *wg_aead_provider_name(void);

#endif
