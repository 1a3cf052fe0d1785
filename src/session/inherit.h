/* SPDX-License-Identifier: MIT */
/* inherit.h - descriptors and signals the command must find as they were */
#ifndef SRC_SESSION_INHERIT_H
#define SRC_SESSION_INHERIT_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "src/session/run.h"

/**
 * struct wgw_inherited - what the process was started with
 * @stdio_closed:	Bit n: descriptor n (0-2) was closed
 * @mask, @chld, @pipe, @xfsz: Signal mask and the dispositions of SIGCHLD, SIGPIPE, SIGXFSZ
 * @file_size:	RLIMIT_FSIZE
 * @close, @n_close:	Inherited IP sockets that the command must not get
 * @kept, @n_kept:	inodes of those that it gets all the same (--keep-fd)
 */
struct wgw_inherited {
	unsigned int stdio_closed;
	sigset_t mask;
	struct sigaction chld, pipe, xfsz;
	struct rlimit file_size;
	int *close;
	size_t n_close;
	uint64_t *kept;
	size_t n_kept;
};

/* To be called before anything is opened: occupies closed standard descriptors and makes
 * children waitable. Returns 0, or -1 after an error was said. */
int wgw_inherited_take(struct wgw_inherited *in);
/* Finds inherited IP sockets. -1 after an error was said: one of them would be missed. */
int wgw_inherited_check(struct wgw_inherited *in, const struct wgw_run_options *options);
/* In the command's process, right before exec: gives back what take changed. */
void wgw_inherited_restore(const struct wgw_inherited *in);

#endif
