/* SPDX-License-Identifier: MIT */
/* routes.h - routes with a protocol or ports: which peer gets a packet before allowed IPs are
 * asked */
#ifndef SRC_TUNNEL_ROUTES_H
#define SRC_TUNNEL_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/config/config.h"

struct wg_peer;
struct wgw_route_table;

/* NULL without memory. */
struct wgw_route_table *wgw_route_table_new(void);
void wgw_route_table_free(struct wgw_route_table *t);

/* Forgets all routes. */
void wgw_route_table_clear(struct wgw_route_table *t);
/* Adds a route to @peer; of routes that are equal the last counts. Returns 0 or -ENOMEM. */
int wgw_route_table_add(struct wgw_route_table *t, const struct wgw_peer_route *route,
			struct wg_peer *peer);

/* Whether some route holds @to's address and, if it has one, its port, in @protocol (0: in
 * some). */
bool wgw_route_table_holds(const struct wgw_route_table *t, const struct stack_addr *to,
			   uint8_t protocol);
/* The peer of an outgoing IP packet of @len bytes, or NULL: no route holds it. */
struct wg_peer *wgw_route_table_choose(struct wgw_route_table *t, const uint8_t *packet,
				       size_t len);
/* Whether @packet, which came from @peer with a source outside its allowed IPs, answers what a
 * route sends there. */
bool wgw_route_table_admit(struct wgw_route_table *t, const struct wg_peer *peer,
			   const uint8_t *packet, size_t len);

#endif
