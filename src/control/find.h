/* SPDX-License-Identifier: MIT */
/* find.h - the running tunnels of this user, and which of them is meant */
#ifndef SRC_CONTROL_FIND_H
#define SRC_CONTROL_FIND_H

#include <stddef.h>

#include "src/control/status.h"

struct wgw_rundir;

/** struct wgw_tunnels - running tunnels, sorted by label; how many more did not answer */
struct wgw_tunnels {
	struct wgw_status **at;
	size_t n, silent;
};

/* Connects to the tunnel process called @name in @dir; a descriptor or -errno. Says nothing. */
int wgw_control_connect(const struct wgw_rundir *dir, const char name[WGW_TUNNEL_NAME_BYTES]);
/* All that run in @dir; says who does not answer. Returns 0, or -1: cannot ask, which is said. */
int wgw_tunnels_list(const struct wgw_rundir *dir, struct wgw_tunnels *out);
/* All that run in this user's runtime directory, which is opened for that. Returns as before. */
int wgw_tunnels_running(struct wgw_tunnels *out);
void wgw_tunnels_free(struct wgw_tunnels *list);
/* Which of @list @what means: a label, the first digits of a name, or what -c takes (then by its
 * key). Returns an exit status: WGW_EXIT_OK and *found, WGW_EXIT_NOT_RUNNING, WGW_EXIT_USAGE (more
 * than one), WGW_EXIT_RUNTIME (it may be one that does not answer). NULL means the only one. */
int wgw_tunnels_find(const struct wgw_tunnels *list, const char *what, struct wgw_status **found);

#endif
