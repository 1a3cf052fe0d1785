/* SPDX-License-Identifier: MIT */
/* host.h - this machine's clocks and random numbers, as engine and stack ask for them. @ctx is not
 * used. */
#ifndef SRC_BASE_HOST_H
#define SRC_BASE_HOST_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* CLOCK_BOOTTIME in ns. */
uint64_t wgw_host_now(void *ctx);
void wgw_host_realtime(void *ctx, struct timespec *ts);
void wgw_host_random(void *ctx, void *buf, size_t len);

#endif
