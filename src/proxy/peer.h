/* SPDX-License-Identifier: MIT */
/* peer.h - which user of this host a connection on loopback comes from */
#ifndef SRC_PROXY_PEER_H
#define SRC_PROXY_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stack/addr.h"

enum { PROXY_QUIET_S = 60 };

/* A socket for proxy_peer_uid, or -errno. */
int proxy_peer_open(void);
/* Who holds the TCP socket that is bound to @peer and connected to @local. 0, or -errno: -ENOENT:
 * nobody (any more). */
int proxy_peer_uid(int fd, const struct stack_addr *peer, const struct stack_addr *local,
		   uint32_t *uid);
/* Whether this kernel says so: tried with a connection of our own. */
bool proxy_peer_known(void);

/* Both ends of @fd, a connection of TCP. False: it is none, or not any more. */
bool proxy_peer_ends(int fd, struct stack_addr *peer, struct stack_addr *local);

/* The level (WGW_SAY_*) of a line that clients cause, as often as they like: a warning once in
 * PROXY_QUIET_S, else for -v only. *@warned_at: of the last warning, 0 at first. */
int proxy_refusal_level(uint64_t *warned_at);
/* What such a line ends with. */
const char *proxy_refusal_suffix(int level);

/** struct proxy_refusal - a line for the user */
struct proxy_refusal {
	int level;
	char text[192];
};

/* Whether @peer is a connection of our own user or of root; @fd as for proxy_peer_uid. False: *@why
 * is set; @asks_users: the listener is of a kind that takes --users; @warned_at as for
 * proxy_refusal_level. */
bool proxy_peer_may_enter(int fd, const struct stack_addr *peer, const struct stack_addr *local,
			  bool asks_users, uint64_t *warned_at, struct proxy_refusal *why);

#endif
