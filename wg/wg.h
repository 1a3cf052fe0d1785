/* SPDX-License-Identifier: MIT */
/*
 * wg.h - an embeddable WireGuard engine
 *
 * The engine owns no socket, no thread and no clock. The embedder feeds it datagrams from the
 * network (wg_device_receive), inner packets to send (wg_device_tx_buffer, wg_device_tx_commit,
 * wg_device_flush) and calls wg_device_tick when wg_device_next_deadline has passed. The engine
 * answers through one table of functions, struct wg_ops.
 *
 * One thread may use a device at a time. Several devices may live in one process. The functions
 * of struct wg_ops are called from within wg_device_* and wg_peer_* calls. Of the engine's
 * functions, deliver and event may call wg_device_tx_buffer and wg_device_tx_commit (so that a
 * delivered packet can be answered), event also wg_peer_set_endpoint (so that a retry can go
 * elsewhere), both those that only read; the others may call none.
 *
 * Keys are 32 bytes, little-endian as Curve25519 has them. Times are nanoseconds.
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

/**
 * struct wg_endpoint - where a peer is, and which of our addresses it talks to
 * @to:		Address and port of the peer, family AF_INET or AF_INET6; AF_UNSPEC: none known
 * @from4:	Our address the last authenticated datagram came to, or 0.0.0.0
 * @from6:	The same for IPv6, or ::
 * @ifindex:	Interface the last authenticated datagram came in on, or 0
 */
struct wg_endpoint {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} to;
	union {
		struct in_addr from4;
		struct in6_addr from6;
	};
	uint32_t ifindex;
};

/** enum wg_event - what happened to a peer */
enum wg_event {
	WG_EVENT_HANDSHAKE_DONE,    /* a session was established and confirmed */
	WG_EVENT_HANDSHAKE_RETRY,   /* an initiation got no answer and is about to be sent again */
	WG_EVENT_HANDSHAKE_GAVE_UP, /* the attempts are used up; staged packets were dropped */
	WG_EVENT_ENDPOINT_CHANGED,  /* the peer roamed */
	WG_EVENT_PEER_SILENT, /* data was sent, and a keepalive in answer is overdue; an initiation follows */
	WG_EVENT_SESSION_REPLACED, /* about to: a handshake replaces a session younger than 120 s */
};

/**
 * struct wg_ops - what the embedder provides
 * @now:	Time since boot in ns, counting suspend (CLOCK_BOOTTIME)
 * @realtime:	Wall clock, for the TAI64N timestamp (section 5.1)
 * @random:	Fill @buf with @len bytes of cryptographic randomness
 * @transmit:	Send @count datagrams to @to; they lie @stride bytes apart from @buf on, each
 *		@stride long but the last, which is @last long (1 <= @last <= @stride). @tos is the
 *		outer traffic class (ECN and DSCP). @buf belongs to the engine and is valid
 *		during the call only. @count is at most 64 and the sum at most 65507 bytes, so
 *		that one send with UDP_SEGMENT can carry it.
 * @deliver:	An authenticated inner packet from @from, whose source address the peer may use,
 *		trimmed to its declared length, with the outer ECN bits combined into its own (RFC
 *		6040). @packet is valid and may be changed during the call.
 * @event:	See enum wg_event; may be NULL
 * @choose:	The peer for the outgoing @packet, which a policy prefers to the one whose allowed
 *		IPs hold its destination; NULL: that one. May be NULL
 * @admit:	Whether @packet from @from is taken although its source is outside the peer's allowed
 *		IPs, because it answers what @choose sends there. May be NULL: no
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

/**
 * struct wg_peer_stats - counters and state of a peer
 * @rx_bytes:		Outer bytes of authenticated datagrams, header and tag included
 * @tx_bytes:		The same for sent ones
 * @last_handshake:	Wall clock of the last completed handshake, zero: never
 * @handshake_attempts:	Initiations sent since the last completed handshake
 * @handshake_rtt:	Time between the last initiation that was answered and its answer, ns; 0: none
 * @session_received:	Datagrams taken in the current session
 * @session_missing:	Those that were sent before one of them and have not come: lost, or late
 * @has_session:	A current session exists and is not expired
 * @endpoint:		Copy of the current endpoint
 */
struct wg_peer_stats {
	uint64_t rx_bytes, tx_bytes;
	struct timespec last_handshake;
	unsigned int handshake_attempts;
	uint64_t handshake_rtt;
	uint64_t session_received, session_missing;
	bool has_session;
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

/* Returns a device that uses @ops with @ctx (both must outlive it), or NULL without memory or
 * when no AEAD provider passes its known answers. @private_key is clamped; it is copied.
 * @mtu: inner MTU in bytes, limits padding (section 5.4.6). */
struct wg_device *wg_device_new(const struct wg_ops *ops, void *ctx,
				const uint8_t private_key[WG_KEY_BYTES], uint16_t mtu);
/* Wipes all secrets. Peers and staged packets go with the device. */
void wg_device_free(struct wg_device *dev);

/* Changes the key while running: precomputed secrets are renewed, current sessions stop sending,
 * a peer with the new public key is removed. */
void wg_device_set_private_key(struct wg_device *dev, const uint8_t private_key[WG_KEY_BYTES]);
void wg_device_public_key(const struct wg_device *dev, uint8_t out[WG_KEY_BYTES]);
/* The public key that belongs to @private_key, which is clamped for that. */
void wg_public_key(uint8_t out[WG_KEY_BYTES], const uint8_t private_key[WG_KEY_BYTES]);
void wg_device_stats(const struct wg_device *dev, struct wg_device_stats *out);

/* Takes @len bytes that arrived from @from as datagrams of @stride bytes each, the last maybe
 * shorter (as UDP_GRO hands them over; @stride == @len: one datagram). @tos: outer traffic class.
 * The buffer is decrypted in place. Data is delivered during the call; handshakes are answered at
 * the next wg_device_flush or wg_device_tick, so that they cannot delay data. */
void wg_device_receive(struct wg_device *dev, const struct wg_endpoint *from, uint8_t *buf,
		       size_t len, size_t stride, uint8_t tos);

/* Where the caller writes the next inner packet, room for @len <= mtu bytes; never NULL. */
uint8_t *wg_device_tx_buffer(struct wg_device *dev, size_t len);
/* Queues the @len bytes written to wg_device_tx_buffer. Sealing and sending happen at
 * wg_device_flush, or earlier when the arena is full. Without a session the packet is staged and
 * a handshake is started. Returns 0, or -ENOKEY (no peer for the destination), -EDESTADDRREQ (the
 * peer has no endpoint), -EINVAL (not an IP packet, or longer than the MTU). */
int wg_device_tx_commit(struct wg_device *dev, size_t len);
/* Seals and transmits what was committed, and works on received handshakes. Call it before waiting
 * for events. */
void wg_device_flush(struct wg_device *dev);

/* Time (wg_ops.now) at which wg_device_tick wants to be called; UINT64_MAX: nothing pending. */
uint64_t wg_device_next_deadline(const struct wg_device *dev);
void wg_device_tick(struct wg_device *dev);

/* ---- peers ---- */

/* Adds a peer, or returns the existing one with this key; NULL: out of memory, or the key is our
 * own. The peer belongs to the device. */
struct wg_peer *wg_peer_add(struct wg_device *dev, const uint8_t public_key[WG_KEY_BYTES]);
void wg_peer_remove(struct wg_device *dev, struct wg_peer *peer);
/* First peer, or the one after @prev in order of addition; NULL at the end. */
struct wg_peer *wg_peer_next(const struct wg_device *dev, const struct wg_peer *prev);

/* All zeros: none. Affects the next handshake only. */
void wg_peer_set_preshared_key(struct wg_peer *peer, const uint8_t psk[WG_KEY_BYTES]);
void wg_peer_set_endpoint(struct wg_peer *peer, const struct wg_endpoint *endpoint);
/* Seconds between keepalives, 0: off. Switching it on makes one due at once (wg_device_tick). */
void wg_peer_set_keepalive(struct wg_peer *peer, uint16_t seconds);
/* @family AF_INET or AF_INET6, @addr 4 or 16 bytes in network order, bits behind @prefix_len are
 * cleared. A prefix that another peer has moves to this one. Returns 0, -EINVAL or -ENOMEM. */
int wg_peer_add_allowed_ip(struct wg_peer *peer, int family, const void *addr, uint8_t prefix_len);
void wg_peer_clear_allowed_ips(struct wg_peer *peer);
/* The peer whose allowed IPs hold @addr by longest prefix, or NULL. */
struct wg_peer *wg_peer_by_allowed_ip(const struct wg_device *dev, int family, const void *addr);

/* Starts a handshake now if none was started within the last REKEY_TIMEOUT. */
void wg_peer_handshake(struct wg_peer *peer);
void wg_peer_public_key(const struct wg_peer *peer, uint8_t out[WG_KEY_BYTES]);
void wg_peer_stats(const struct wg_peer *peer, struct wg_peer_stats *out);
/* A word of the embedder's own. */
void wg_peer_set_user(struct wg_peer *peer, void *user);
void *wg_peer_user(const struct wg_peer *peer);

/* Whether all memory that holds keys could be locked (mlock). False: some may reach swap space,
 * because RLIMIT_MEMLOCK is too small. It is left out of core dumps in any case. */
bool wg_secrets_locked(void);
/* Name of the AEAD provider in use: "libsodium", "openssl" or "ipsec-mb". */
const char *wg_aead_provider_name(void);

#endif
