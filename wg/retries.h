/* SPDX-License-Identifier: MIT */
/*
 * retries.h - which sources have sent a handshake message about five seconds ago
 */
#ifndef WG_RETRIES_H
#define WG_RETRIES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	WG_RETRIES_SLICES = 16, /* together they reach back further than a retry takes */
	WG_RETRIES_SLICE_MS = 360,
	WG_RETRIES_SLICE_BYTES = 208 * 1024,
	WG_RETRIES_PER_SLICE = 126000, /* noted in one slice; further ones are not */
};

/**
 * struct wg_retries - sets of sources, one for each slice of time
 * @bits:	WG_RETRIES_SLICES Bloom filters; allocated while sources are noted, else NULL
 * @number:	Which slice of time each of them is for
 * @count:	How many were noted in the present slice
 * @noted:	When a source was noted last, ns
 * @hash_key:	Of the hash over sources
 */
struct wg_retries {
	uint8_t *bits;
	uint64_t number[WG_RETRIES_SLICES];
	uint32_t count;
	uint64_t noted;
	uint8_t hash_key[16];
};

/* @hash_key: 16 random bytes. */
void wg_retries_init(struct wg_retries *retries, const uint8_t hash_key[16]);
void wg_retries_free(struct wg_retries *retries);
/* Notes that a handshake message came from @source, AF_INET or AF_INET6, at @now (ns). Returns
 * whether one came from the same address and port as long ago as a retransmission takes. */
bool wg_retries_note(struct wg_retries *retries, const struct sockaddr *source, uint64_t now);
/* Gives the memory back when nothing was noted for a while. True: it is still in use. */
bool wg_retries_collect(struct wg_retries *retries, uint64_t now);

#endif
