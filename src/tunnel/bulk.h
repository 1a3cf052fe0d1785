/* SPDX-License-Identifier: MIT */
/* bulk.h - when the loop rests between two turns, so that the next one moves more */
#ifndef WGW_TUNNEL_BULK_H
#define WGW_TUNNEL_BULK_H

#include <stdint.h>

enum {
	WGW_BULK_MIN_BYTES = 16 << 10, /* a turn of a bulk transfer moves so much */
	/* from so much on it needs no rest to be worth the wake-up */
	WGW_BULK_MAX_BYTES = 256 << 10,
	WGW_BULK_TURNS = 4, /* so many of them are one */
	WGW_BULK_REST_US = 200,
};

/**
 * struct wgw_moved - what was moved since the process began
 * @received:	Bytes from the outer sockets
 * @written:	Bytes that programs wrote to connections through the tunnel
 * @writers:	How often it was another connection than the last time
 */
struct wgw_moved {
	uint64_t received, written, writers;
};

/**
 * struct wgw_bulk - state, all zero at first
 * @before:	The turn before this one
 * @receiving:	Turns that received much since anything was written, WGW_BULK_TURNS at most
 * @writing:	Turns in which several wrote much since little was written, likewise
 */
struct wgw_bulk {
	struct wgw_moved before;
	unsigned int receiving, writing;
};

/** wgw_bulk_rest_ns() - to be asked at the end of each turn: how long to rest, 0: not at all */
uint64_t wgw_bulk_rest_ns(struct wgw_bulk *b, const struct wgw_moved *moved);

#endif
