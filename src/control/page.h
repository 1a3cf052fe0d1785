/* SPDX-License-Identifier: MIT */
/* page.h - the status page: what tunnels do, for a browser */
#ifndef SRC_CONTROL_PAGE_H
#define SRC_CONTROL_PAGE_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "src/control/find.h"
#include "src/control/flows.h"

/** struct wgw_page - what it shows. @flows: of each tunnel; @nonce: of this answer's policy */
struct wgw_page {
	const struct wgw_tunnels *tunnels;
	const struct wgw_flows *flows;
	const char *version, *nonce;
	time_t now;
};

enum { WGW_PAGE_NONCE_BYTES = 33, WGW_PAGE_POLICY_BYTES = 256 };

/* Fills @nonce with a word of random hex digits and @policy with the Content-Security-Policy that
 * allows its scripts and styles, and nothing else from anywhere but our own JSON. */
void wgw_page_policy(char nonce[WGW_PAGE_NONCE_BYTES], char policy[WGW_PAGE_POLICY_BYTES]);
/* Writes the document. */
void wgw_page_html(FILE *out, const struct wgw_page *page);

/* Throughput of the last minutes, as far as somebody has looked: nothing is asked for it alone. */
struct wgw_history;
/* NULL without memory; wgw_history_free allows NULL. */
struct wgw_history *wgw_history_new(void);
void wgw_history_free(struct wgw_history *h);
/* Takes a sample, unless there is one from less than a second ago. @now_ms: a clock that only goes
 * forward. */
void wgw_history_take(struct wgw_history *h, const struct wgw_tunnels *tunnels, uint64_t now_ms);
/* Writes what the plot needs: {"tunnels":[{"id":..., "name":..., "state":..., "samples":[[age in
 * ms, bytes received, bytes sent], ...]}]}, the oldest first. */
void wgw_page_json(FILE *out, const struct wgw_tunnels *tunnels, const struct wgw_history *h,
		   uint64_t now_ms);

/* page_assets.c */
extern const char wgw_page_style[], wgw_page_script[];

#endif
