/* SPDX-License-Identifier: MIT */
/* rundir.h - the user's runtime directory, where tunnel processes are found */
#ifndef SRC_SESSION_RUNDIR_H
#define SRC_SESSION_RUNDIR_H

#include <stdbool.h>
#include <stdint.h>

#include "src/repr/wire.h"

struct sockaddr_un;

enum { WGW_RUNDIR_BYTES = WGW_PATH_PREFIX_MAX_BYTES - WGW_TUNNEL_NAME_BYTES };

/**
 * struct wgw_rundir - the user's runtime directory
 * @fd:		O_DIRECTORY descriptor; -1: none could be had
 * @path:	Absolute; "" without a directory
 */
struct wgw_rundir {
	int fd;
	char path[WGW_RUNDIR_BYTES];
};

/* Opens the first of these that works, creating it: $WGWRAP_RUNTIME_DIR, $XDG_RUNTIME_DIR/wgwrap,
 * /run/user/UID/wgwrap, /dev/shm/wgwrap-UID, /tmp/wgwrap-UID. When none does, @fd is -1 and the
 * reasons are said. */
void wgw_rundir_open(struct wgw_rundir *dir);
/* Takes the lock <name>.lock. @wait: else -EWOULDBLOCK when it is taken. The descriptor, which
 * holds the lock until it is closed, or -errno. */
int wgw_rundir_lock(const struct wgw_rundir *dir, const char *name, bool wait);
/* How long the next tunnel process has to wait, in ns: one that started a moment ago has sent an
 * initiation, and peers drop another one that comes too soon. @lock: of its name, held and not yet
 * written. */
uint64_t wgw_rundir_start_gap(int lock);
/* Gives the rendezvous @from the name @to, whose lock the caller holds as @lock. */
void wgw_rundir_rename(const struct wgw_rundir *dir, const char *from, const char *to, int lock);
/* Removes what dead tunnel processes other than @name have left. */
void wgw_rundir_sweep(const struct wgw_rundir *dir, const char *name);
/* Whether @sun's path is a socket of this user at which nobody listens: left behind by a process
 * that was killed. */
bool wgw_unix_is_stale(const struct sockaddr_un *sun);

#endif
