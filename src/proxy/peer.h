/* SPDX-License-Identifier: MIT */
/* peer.h - which user of this host a connection on loopback comes from */
#ifndef SRC_PROXY_PEER_H
#define SRC_PROXY_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "stack/addr.h"

/* A socket for proxy_peer_uid, or -errno. */
int proxy_peer_open(void);
/* Who holds the TCP socket that is bound to @peer and connected to @local. 0, or -errno: -ENOENT:
 * nobody (any more). */
int proxy_peer_uid(int fd, const struct stack_addr *peer, const struct stack_addr *local,
		   uint32_t *uid);
/* Whether this kernel says so: tried with a connection of our own. */
bool proxy_peer_known(void);

#endif
