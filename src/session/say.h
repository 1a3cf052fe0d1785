/* SPDX-License-Identifier: MIT */
/*
 * say.h - wgwrap's own words
 *
 * Errors that end the run are said by the function that meets them (wgw_say, level 0); its caller
 * only learns that it failed.
 */
#ifndef SRC_SESSION_SAY_H
#define SRC_SESSION_SAY_H

#include "src/config/config.h"
#include "src/session/run.h"

enum { WGW_SAY_ERROR, WGW_SAY_WARNING, WGW_SAY_INFO, WGW_SAY_DEBUG };

/* Takes verbosity, format and file from @options. Returns 0, or -1 after an error was said. */
int wgw_say_init(const struct wgw_run_options *options);
/* One line, "wgwrap: ..." or a JSON object; -q leaves only errors, -v adds WGW_SAY_INFO, -vv
 * WGW_SAY_DEBUG. */
void wgw_say(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Takes what is wrong with a configuration, and says it. */
struct wgw_diag wgw_say_diag(void);
/* A line of a terminal that the next one takes the place of; elsewhere, and with -q, nothing. */
void wgw_say_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Takes it away. */
void wgw_say_progress_end(void);
/* From now on standard error belongs to others: only a log file is still written. */
void wgw_say_detach(void);
/* The descriptor written to, -1: none. It must survive wgw_close_others(). */
int wgw_say_fd(void);

#endif
