/* SPDX-License-Identifier: MIT */
/*
 * aead.c - what encryption alone costs with each provider
 *
 * usage: aead
 *
 * One line a provider that is usable here, the default one first: "NAME SEAL OPEN", CPU seconds per
 * 10^9 bytes of what a connection carries. The packets are those of a bulk transfer: full segments
 * at an MTU of 1420, in batches of 45, which is what one UDP_SEGMENT message takes. The median of
 * SLICES short ones counts, as of the transfers that this is compared with: a virtual machine's
 * processor is not equally fast from one moment to the next.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wg/aead.h"

enum {
	PACKET_BYTES = 1420,
	PAYLOAD_BYTES = 1380, /* less the headers of IPv4 and TCP */
	BATCH = 45,
	BATCHES = 200,
	SLICES = 9,
};

static uint8_t memory[BATCH][PACKET_BYTES + WG_TAG_BYTES];
static struct wg_aead_job jobs[BATCH];

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double batch_s(const struct wg_aead *aead, const uint8_t *key, bool seal)
{
	double began = cpu_s();

	(seal ? aead->provider->seal : aead->provider->open)(aead->ctx, key, jobs, BATCH);
	return cpu_s() - began;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *slices)
{
	qsort(slices, SLICES, sizeof(*slices), compare);
	return slices[SLICES / 2];
}

/* Seconds per 10^9 bytes of payload: sealing and opening */
static void measure(const struct wg_aead *aead, double cost[2])
{
	static const uint8_t key[WG_SYMMETRIC_KEY_BYTES] = {1};
	double seal[SLICES] = {0}, open[SLICES] = {0};
	const double slice_bytes = (double)PAYLOAD_BYTES * BATCH * BATCHES;

	for (int slice = 0; slice < SLICES; slice++) {
		for (int i = 0; i < BATCHES; i++) {
			seal[slice] += batch_s(aead, key, true);
			open[slice] += batch_s(aead, key, false);
		}
	}
	cost[0] = median(seal) * 1e9 / slice_bytes;
	cost[1] = median(open) * 1e9 / slice_bytes;
}

int main(void)
{
	for (int i = 0; i < BATCH; i++)
		jobs[i] = (struct wg_aead_job){
			.data = memory[i], .len = PACKET_BYTES, .counter = (uint64_t)i};
	for (size_t i = 0; wg_aead_providers[i]; i++) {
		struct wg_aead aead = {.provider = wg_aead_providers[i]};
		double cost[2];

		if (!wg_aead_check(aead.provider))
			continue;
		aead.ctx = aead.provider->create();
		if (!aead.ctx)
			continue;
		measure(&aead, cost);
		printf("%s %.3f %.3f\n", aead.provider->name, cost[0], cost[1]);
		wg_aead_free(&aead);
	}
	return 0;
}
