/* SPDX-License-Identifier: MIT */
/*
 * aead.c - what encryption alone costs with each provider
 *
 * usage: aead
 *
 * One line a provider that is usable here, the default one first: "NAME SEAL OPEN", CPU seconds per
 * 10^9 bytes of what a connection carries. The packets are those of a bulk transfer: full segments
 * at an MTU of 1420, in batches of 45, which is what one UDP_SEGMENT message takes. The best of
 * ROUNDS short slices counts: nothing else ran in it.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "wg/aead.h"

enum {
	PACKET_BYTES = 1420,
	PAYLOAD_BYTES = 1380, /* less the headers of IPv4 and TCP */
	BATCH = 45,
	BATCHES = 200,
	ROUNDS = 25,
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

/* Best slices, in seconds per 10^9 bytes of payload: sealing and opening */
static void measure(const struct wg_aead *aead, double best[2])
{
	static const uint8_t key[WG_SYMMETRIC_KEY_BYTES] = {1};

	for (int round = 0; round < ROUNDS; round++) {
		double seal = 0, open = 0;

		for (int i = 0; i < BATCHES; i++) {
			seal += batch_s(aead, key, true);
			open += batch_s(aead, key, false);
		}
		best[0] = round == 0 || seal < best[0] ? seal : best[0];
		best[1] = round == 0 || open < best[1] ? open : best[1];
	}
	for (int i = 0; i < 2; i++)
		best[i] *= 1e9 / ((double)PAYLOAD_BYTES * BATCH * BATCHES);
}

int main(void)
{
	for (int i = 0; i < BATCH; i++)
		jobs[i] = (struct wg_aead_job){
			.data = memory[i], .len = PACKET_BYTES, .counter = (uint64_t)i};
	for (size_t i = 0; wg_aead_providers[i]; i++) {
		struct wg_aead aead = {.provider = wg_aead_providers[i]};
		double best[2] = {0};

		if (!wg_aead_check(aead.provider))
			continue;
		aead.ctx = aead.provider->create();
		if (!aead.ctx)
			continue;
		measure(&aead, best);
		printf("%s %.3f %.3f\n", aead.provider->name, best[0], best[1]);
		wg_aead_free(&aead);
	}
	return 0;
}
