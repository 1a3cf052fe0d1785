/* SPDX-License-Identifier: MIT */
/* notify.h - tells systemd how the service is (sd_notify(3)) */
#ifndef SRC_SESSION_NOTIFY_H
#define SRC_SESSION_NOTIFY_H

#include <stdint.h>

/* "READY=1", "STATUS=...", several with newlines between them. Without systemd: nothing. */
void wgw_notify(const char *lines);
/* How often "WATCHDOG=1" is to be told by this process, in ns; 0: never. */
uint64_t wgw_notify_watchdog_ns(void);

#endif
