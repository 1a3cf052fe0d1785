/* SPDX-License-Identifier: MIT */
/* processes.h - what /proc says about descendants */
#ifndef SRC_SESSION_PROCESSES_H
#define SRC_SESSION_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Sets bit i of @held when a descendant of this process holds socket inode @inode[i], or when
 * that cannot be known. */
void wgw_scan_sockets(const uint64_t *inode, unsigned int n, uint64_t *held);
/* Whether @pid descends from this process, or cannot be known not to. */
bool wgw_is_descendant(pid_t pid);
/* Whether @pid has been stopped, by a signal or by who traces it. */
bool wgw_is_stopped(pid_t pid);
/* Whether this process has children other than the @n of @but. */
bool wgw_has_children(const pid_t *but, size_t n);

#endif
