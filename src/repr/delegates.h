/* SPDX-License-Identifier: MIT */
/* delegates.h - local services that use the network for whoever asks them */
#ifndef SRC_REPR_DELEGATES_H
#define SRC_REPR_DELEGATES_H

#include <stdbool.h>
#include <sys/socket.h>

/* Whether @address is the AF_UNIX socket of a service that resolves names outside the tunnel: nscd,
 * systemd-resolved, avahi-daemon, which asks the local network. Programs are told that nobody listens there, and ask the DNS. */
bool wgw_is_delegate(const void *address, socklen_t len);

#endif
