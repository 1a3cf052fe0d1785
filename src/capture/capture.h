/* SPDX-License-Identifier: MIT */
/*
 * capture.h - system calls that do not come from the preloaded library
 *
 * See README.md for the theory of operation. The filter goes into the command before exec; the
 * supervisor answers what it reports.
 */
#ifndef SRC_CAPTURE_CAPTURE_H
#define SRC_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum wgw_capture_level {
	WGW_CAPTURE_NONE,	/* the kernel takes no filter: nothing holds programs back */
	WGW_CAPTURE_FILTER,	/* preloaded programs are captured, others have no IP sockets */
	WGW_CAPTURE_SUPERVISED, /* other programs are captured, too */
};

/* ---- filter.c ---- */

/* Installs the fail-closed filter in the calling thread, for good: IP sockets are refused. 0 or
 * -errno. */
int wgw_filter_install(void);
/* Installs the filter that reports instead of refusing, in a child made with CLONE_FILES, which has
 * a table of its own afterwards and may share its parent's memory. Returns the listener
 * (close-on-exec), which is in the parent's table and not in the child's, or -errno; -EBUSY: this
 * process is supervised already. */
int wgw_filter_hand_over(void);
/* The same, but of what is reported only socket(2) and bind(2) are: a fifth of the filter, which
 * the kernel compiles anew at each start. */
int wgw_filter_hand_over_trial(void);

/* ---- probe.c ---- */

/**
 * struct wgw_capture_probe - what this machine offers
 * @level:	The best level
 * @why:	Why it is not the next better one, a sentence without its end; "" for the best
 * @without_getfd: pidfd_getfd is refused
 * @nested:	This process is supervised by another wgwrap, or by something like it
 */
struct wgw_capture_probe {
	enum wgw_capture_level level;
	char why[200];
	bool without_getfd;
	bool nested;
};

/**
 * struct wgw_capture_trial - a probe that is under way
 * @child:	Its child, which shares our memory; 0: there is none (any more)
 * @pidfd, @pipe: that child, and where it tells its listener's number
 */
struct wgw_capture_trial {
	pid_t child;
	int pidfd, pipe[2];
};

/*
 * Tries every primitive once in a child. The caller must not hold secrets from the beginning to the
 * end of wgw_capture_probe(): the child is dumpable. Descriptors 0 to 2 must be open.
 * wgw_capture_probe_begin() starts the child, which works beside us; without it, and in all cases
 * in which it cannot, wgw_capture_probe() does, which waits for what it finds. @trial: zeroed, or
 * begun. Returns 0, or -errno: there is no child to try on. wgw_capture_probe_end() waits for the
 * child's end, which is near by then.
 */
void wgw_capture_probe_begin(struct wgw_capture_trial *trial);
int wgw_capture_probe(struct wgw_capture_trial *trial, struct wgw_capture_probe *probe);
void wgw_capture_probe_end(struct wgw_capture_trial *trial);

/* ---- listener.c ---- */

/* Sets bit i of @held when a process of the session holds socket @inode[i], or when that cannot be
 * known; at most WGW_CAPTURE_SCAN_MAX of them. */
typedef void wgw_capture_scan(const uint64_t *inode, unsigned int n, uint64_t *held);
enum { WGW_CAPTURE_SCAN_MAX = 512 };

/**
 * struct wgw_capture_options - how to supervise
 * @session:	Value of WGW_SESSION_ENV
 * @apps:	Value of WGW_APPS_ENV, NULL: there are no lists
 * @listener:	From wgw_filter_hand_over; owned from here on
 * @kept, @n_kept: inodes of IP sockets that the user lets the command have
 * @without_getfd: As in struct wgw_capture_probe; @scan is needed then
 */
struct wgw_capture_options {
	const char *session;
	const char *apps;
	int listener;
	const uint64_t *kept;
	size_t n_kept;
	bool without_getfd;
	wgw_capture_scan *scan;
};

struct wgw_capture;

/* Starts answering, in threads of this process. All signals must be blocked. NULL with errno. */
struct wgw_capture *wgw_capture_start(const struct wgw_capture_options *options);
/* Writes how many calls of which kind were answered; "" when there were none. */
void wgw_capture_describe(const struct wgw_capture *k, char *text, size_t size);

#endif
