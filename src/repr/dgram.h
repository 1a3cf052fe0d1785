/* SPDX-License-Identifier: MIT */
/* dgram.h - what dgram.c (out, TCP) and dgram_in.c (in) share */
#ifndef SRC_REPR_DGRAM_H
#define SRC_REPR_DGRAM_H

#include "src/repr/repr.h"

/* Whether the program has shut this direction (WGW_TAG_SHUT_*), or else the tunnel process is gone.
 * The tag is read again: the shutdown may have come while we waited. */
bool wgw_dgram_is_shut(int fd, uint64_t direction);
/* recvmsg(2) on a datagram socket, without MSG_ERRQUEUE. */
ssize_t wgw_dgram_recv(const struct wgw_repr_session *s, int fd, uint64_t tag, struct msghdr *msg,
		       int flags);

#endif
