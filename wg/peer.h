/* SPDX-License-Identifier: MIT */
/*
 * peer.h - all that is known of a peer
 */
#ifndef WG_PEER_H
#define WG_PEER_H

#include "wg/cookie.h"
#include "wg/handshake.h"
#include "wg/keypair.h"
#include "wg/timers.h"
#include "wg/wg.h"

struct wg_allowedips_node;

/** struct wg_staged - an inner packet that waits for a session */
struct wg_staged {
	struct wg_staged *next;
	size_t len; /* 0: keepalive */
	uint8_t tos;
	uint8_t packet[];
};

/**
 * struct wg_peer - a peer
 * @next:			In the device's list, in order of addition
 * @handshake:			Also holds the public and preshared keys
 * @endpoint:			AF_UNSPEC: none known
 * @allowed_ips:		List kept by allowedips.c
 * @staged, @staged_end:	Queue; @staged_end points to where the next one goes
 * @n_staged:			At most WG_STAGED_PACKETS_MAX
 * @initiation_allowed_at:	ns; initiations and responses of ours push it by REKEY_TIMEOUT
 * @handshake_rtt:		From the last initiation that was answered to its answer, ns
 * @initiations_sent:		Since the last completed handshake
 * @sent_lastminute_initiation:	The session was renewed on receiving, once is enough
 */
struct wg_peer {
	struct wg_device *dev;
	struct wg_peer *next;
	struct wg_handshake handshake;
	struct wg_cookie cookie;
	struct wg_keypairs keypairs;
	struct wg_timers timers;
	struct wg_endpoint endpoint;
	struct wg_allowedips_node *allowed_ips;
	struct wg_staged *staged, **staged_end;
	unsigned int n_staged;
	uint64_t initiation_allowed_at;
	uint64_t handshake_rtt;
	unsigned int initiations_sent;
	bool sent_lastminute_initiation;
	uint64_t rx_bytes, tx_bytes;
	struct timespec last_handshake;
	void *user;
};

static inline bool wg_peer_has_endpoint(const struct wg_peer *peer)
{
	return peer->endpoint.to.sa.sa_family != AF_UNSPEC;
}

/* The peer with that key, or NULL; compares in constant time. */
struct wg_peer *wg_peer_by_public_key(const struct wg_device *dev,
				      const uint8_t key[WG_PUBLIC_KEY_BYTES]);
/* An authenticated datagram came from @from: the peer is there now. */
void wg_peer_roam(struct wg_peer *peer, const struct wg_endpoint *from);
/* Lets the kernel choose our source address again. */
void wg_peer_forget_source(struct wg_peer *peer);
void wg_peer_event(struct wg_peer *peer, enum wg_event event);

/* Copies a packet to the end of the queue; a full queue loses its oldest. Without memory the
 * packet is lost. Both count as tx_staged_dropped. */
void wg_peer_stage(struct wg_peer *peer, const void *packet, size_t len, uint8_t tos);
/* Takes the first, which the caller frees; NULL: empty. */
struct wg_staged *wg_peer_unstage(struct wg_peer *peer);
/* Drops all and counts them. */
void wg_peer_drop_staged(struct wg_peer *peer);

#endif
