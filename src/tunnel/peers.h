/* SPDX-License-Identifier: MIT */
/* peers.h - the peers as the tunnel process knows them: what peers.c and what changes peers share
 */
#ifndef SRC_TUNNEL_PEERS_H
#define SRC_TUNNEL_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "src/config/config.h"
#include "src/tunnel/tunnel.h"
#include "wg/wg.h"

struct wgw_peers;

/**
 * struct wgw_peer - what we keep about a peer
 * @config:	Its own copy, without the preshared key; what get=1 tells of allowed IPs and names
 * @has_preshared_key: One is set
 * @candidates:	@n addresses; @at is the one in use
 * @resolving:	Somebody was asked for the name's addresses
 * @removed:	Not a peer any more; goes when the answer has come
 * @restored_at, @resolved_at, @replaced_at, @conflict_said_at, @failed_said_at: times, 0: never
 * @handshakes, @retries, @gave_up, @roamed, @resolved: how often
 * @heard_bytes: What had been received when it fell silent
 * @bad_datagrams: rx_bad_mac of the device when the last replacement was seen
 * @silent_said: The user was told that it does not answer
 */
struct wgw_peer {
	struct wgw_peer *next;
	struct wgw_peers *owner;
	struct wg_peer *wg;
	struct wgw_peer_config config;
	bool has_preshared_key;
	struct wg_endpoint candidates[WGW_ENDPOINTS_MAX];
	unsigned int n, at;
	unsigned int attempts;
	bool up, resolving, removed, silent_said;
	uint64_t restored_at, resolved_at, replaced_at, conflict_said_at, failed_said_at;
	uint64_t heard_bytes, bad_datagrams;
	uint32_t handshakes, retries, gave_up, roamed, resolved;
};

/* In order of addition; NULL @prev: the first. */
struct wgw_peer *wgw_peers_next(const struct wgw_peers *e, const struct wgw_peer *prev);
struct wgw_peer *wgw_peers_find(const struct wgw_peers *e, const uint8_t public_key[WG_KEY_BYTES]);

/* Whether sessions were lost lately to another user of our key. */
bool wgw_peer_has_rival(const struct wgw_peer *p);

/* Adds a peer without anything. NULL: out of memory, or the key is our own. */
struct wgw_peer *wgw_peers_add(struct wgw_peers *e, const uint8_t public_key[WG_KEY_BYTES]);
void wgw_peers_remove(struct wgw_peer *p);
/* The setters copy what they get. @host: as in the file, NULL: forgets the name. */
int wgw_peer_set_name(struct wgw_peer *p, const char *name);
int wgw_peer_set_host(struct wgw_peer *p, const char *host, uint16_t port);
/* At most WGW_ENDPOINTS_MAX of them count. The engine goes on with the address it has when that is
 * among them. */
void wgw_peer_set_candidates(struct wgw_peer *p, const struct wg_endpoint *list, unsigned int n);
void wgw_peer_set_preshared_key(struct wgw_peer *p, const uint8_t key[WG_KEY_BYTES]);
void wgw_peer_set_keepalive(struct wgw_peer *p, uint16_t seconds);
/* A prefix that another peer has moves to this one. Return 0 or -errno. */
int wgw_peer_allow(struct wgw_peer *p, const struct wgw_prefix *prefix);
int wgw_peer_disallow(struct wgw_peer *p, const struct wgw_prefix *prefix);
void wgw_peer_disallow_all(struct wgw_peer *p);
/* Routes with a protocol, src/tunnel/routes.h. Returns 0 or -ENOMEM. */
int wgw_peer_route(struct wgw_peer *p, const struct wgw_peer_route *route);
void wgw_peer_unroute_all(struct wgw_peer *p);

/* "1.2.3.4:51820", @buf of WGW_ADDR_TEXT_BYTES. Returns @buf. */
const char *wgw_endpoint_text(const struct wg_endpoint *endpoint, char *buf);

#endif
