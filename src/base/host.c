/* SPDX-License-Identifier: MIT */
/* host.c - this machine's clocks and random numbers, as engine and stack ask for them */
#include "src/base/host.h"

#include <sodium.h>

#include "src/base/loop.h"

uint64_t wgw_host_now(void *ctx)
{
	(void)ctx;
	return wgw_clock_ns();
}

void wgw_host_realtime(void *ctx, struct timespec *ts)
{
	(void)ctx;
	clock_gettime(CLOCK_REALTIME, ts);
}

void wgw_host_random(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	randombytes_buf(buf, len);
}
