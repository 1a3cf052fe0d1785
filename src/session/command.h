/* SPDX-License-Identifier: MIT */
/* command.h - the command: its environment, how strictly it is captured, its start */
#ifndef SRC_SESSION_COMMAND_H
#define SRC_SESSION_COMMAND_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "src/capture/capture.h"
#include "src/session/inherit.h"
#include "src/session/launch.h"
#include "src/session/run.h"

/* ---- environ.c ---- */

enum { WGW_ENVIRON_SESSION = 0 }; /* where WGW_SESSION_ENV is in it */

/* The command's environment: malloc'ed array. NULL after an error was said. */
char **wgw_environ_build(const struct wgw_launch *l);
/* Where the shared object lies, its real path; false after an error was said. */
bool wgw_library_find(char path[PATH_MAX]);
/* Whether programs could load what is at @path: 0, or -errno; -EPERM: its file system is mounted
 * noexec. */
int wgw_library_try(const char *path);
/* In the command's process: what systemd has addressed to wgwrap is for it now. */
void wgw_environ_address(void);
/* Says that a proxy variable points to loopback. */
void wgw_environ_warn(void);

/* ---- level.c ---- */

/* Finds out how the command will be captured, as @options want it. The caller must not hold
 * secrets. Returns 0, or -1 after an error was said. */
int wgw_capture_choose(const struct wgw_run_options *options, struct wgw_capture_trial *trial,
		       struct wgw_capture_probe *probe);

/* ---- command.c ---- */

/* Starts the command as a child. @listener: set to that of the supervised filter, -1: there is
 * none. Returns its process id, or -1 after an error was said. */
pid_t wgw_command_start(const struct wgw_launch *l, const struct wgw_inherited *in,
			char **environment, int *listener);

#endif
