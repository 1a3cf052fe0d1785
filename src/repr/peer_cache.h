/* SPDX-License-Identifier: MIT */
/* peer_cache.h - the peers of connected datagram sockets, so that not every recvfrom asks for them
 */
#ifndef SRC_REPR_PEER_CACHE_H
#define SRC_REPR_PEER_CACHE_H

#include "src/repr/repr.h"

/* The peer of a connected datagram socket. 0 or -errno. */
int wgw_repr_peer(const struct wgw_repr_session *s, int fd, uint64_t tag, struct stack_addr *peer);

#endif
