/* SPDX-License-Identifier: MIT */
/* show.h - a tunnel's state, written for people and for programs */
#ifndef SRC_CONTROL_SHOW_H
#define SRC_CONTROL_SHOW_H

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "src/control/find.h"
#include "src/control/status.h"

/* For people: as `wg show` lays it out, with what wgwrap knows besides. @now: wall clock. Peers in
 * order of their last handshake. */
void wgw_show_tunnel(FILE *out, const struct wgw_status *s, time_t now, bool colour);

/* The columns of `wg show NAME dump`, with @prefix those of `wg show all dump`. Instead of a
 * private key there is always (hidden), of a preshared one (none) or (hidden). */
void wgw_show_dump(FILE *out, const struct wgw_status *s, bool prefix);

/* One of the fields of `wg show NAME FIELD`; false: there is no such field. */
bool wgw_show_field(FILE *out, const struct wgw_status *s, const char *field, bool prefix);
bool wgw_show_is_field(const char *word);

/* One line, "NAME: STATE: reason", and one for each address of CheckAlive that is late. Returns
 * wgw_status_is_ready(). */
bool wgw_show_ready(FILE *out, const struct wgw_status *s);

/* One JSON object with all tunnels: see cmd/wgwrap-show.schema.json. */
void wgw_show_json(FILE *out, const struct wgw_tunnels *list);

/* "3 minutes, 2 seconds" of @seconds in @buf; "1.50 KiB" of bytes. Return @buf. */
enum { WGW_SPAN_BYTES = 96, WGW_SIZE_BYTES = 32 };
const char *wgw_span_text(uint64_t seconds, char buf[WGW_SPAN_BYTES]);
const char *wgw_size_text(uint64_t bytes, char buf[WGW_SIZE_BYTES]);

#endif
