/* SPDX-License-Identifier: MIT */
/* metrics.h - tunnels' state as Prometheus text, and over HTTP */
#ifndef SRC_CONTROL_METRICS_H
#define SRC_CONTROL_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "src/control/find.h"

/* All families, one sample a tunnel or peer. */
void wgw_metrics(FILE *out, const struct wgw_tunnels *list, const char *version);

/**
 * struct wgw_health_options - what the HTTP listener serves
 * @what:	As in wgw_tunnels_find; NULL: all tunnels
 * @address:	ADDRESS:PORT, or a path for a unix socket
 * @any_user:	Other users of this host may ask, too
 * @any_address: So may other hosts
 * @version:	Of wgwrap
 */
struct wgw_health_options {
	const char *what, *address, *version;
	bool any_user, any_address;
};

/* Opens the listener. A descriptor, or -1 after an error was said. */
int wgw_health_listen(const struct wgw_health_options *o);
/* Serves /livez, /readyz and /metrics on @fd until a signal ends the process. Returns an exit
 * status. */
int wgw_health_serve(const struct wgw_health_options *o, int fd);

/* The uid of the process at the other end of the loopback TCP connection @fd (getpeername). False:
 * it is not known. */
bool wgw_loopback_peer_uid(int fd, uint32_t *uid);

#endif
