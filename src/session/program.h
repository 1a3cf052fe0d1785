/* SPDX-License-Identifier: MIT */
/* program.h - what kind of file a program is, and whether it can be captured */
#ifndef SRC_SESSION_PROGRAM_H
#define SRC_SESSION_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "src/capture/capture.h"

enum { WGW_SCRIPTS_MAX = 4 }; /* as the kernel's limit of interpreters */

/**
 * struct wgw_program - the file that runs when a program is started
 * @path:	Of the last interpreter when there are @n_scripts of them, else the program's
 * @elf, @elf64, @machine: What its header says, e_machine
 * @read_whole:	Its segments were read: @go, @loader (PT_INTERP; empty: none) are known
 * @is_loader:	It is ld.so itself
 * @setuid, @setgid: Its mode, and whose: @uid, @gid
 * @capabilities: Permitted ones of the file
 */
struct wgw_program {
	char path[PATH_MAX], loader[PATH_MAX];
	unsigned int n_scripts;
	bool elf, elf64, read_whole, go, is_loader, setuid, setgid, capabilities_effective;
	uint16_t machine;
	uid_t uid;
	gid_t gid;
	uint64_t capabilities;
};

/* Reads what the file at @path is. 0, or -errno: it, or an interpreter, cannot be read. */
int wgw_program_read(const char *path, struct wgw_program *p);

/* ---- inspect.c ---- */

enum wgw_obstacle {
	WGW_OBSTACLE_NONE,	 /* or the file cannot be read */
	WGW_OBSTACLE_NO_PRELOAD, /* the shared object does not get into it; the supervisor reaches
				    it */
	WGW_OBSTACLE_MACHINE,	 /* another architecture, whose system calls the filter refuses */
};

/* Finds @file as execvp does and looks at it. 0: may run at @capture's level, *path is malloc'ed.
 * Else the exit status (126, 127) after the reason was said. */
int wgw_find_command(const char *file, const struct wgw_capture_probe *capture, char **path);
/* What is in the way of capturing the program at @path by the shared object; @why: a sentence that
 * begins after its name. */
enum wgw_obstacle wgw_inspect(const char *path, char *why, size_t size);
enum wgw_obstacle wgw_program_judge(const struct wgw_program *p, char *why, size_t size);
/* @file in the directories of PATH: malloc'ed, or NULL with *err */
char *wgw_search_path(const char *file, int *err);

#endif
