/* SPDX-License-Identifier: MIT */
/*
 * flows.h - what is open in a tunnel: the text of WGW_CONTROL_FLOWS, read into plain data
 *
 * A line each, words separated by one space:
 *	tcp|udp|icmp PID STATE tunnel|direct LOCAL REMOTE OUT IN AGE_MS
 * PID is the front of the session it belongs to; addresses are ADDRESS:PORT or "-"; OUT and IN are
 * bytes of TCP connections.
 */
#ifndef SRC_CONTROL_FLOWS_H
#define SRC_CONTROL_FLOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WGW_FLOW_WORD_BYTES = 16, WGW_FLOW_ADDRESS_BYTES = 64 };

/** struct wgw_flow - @rate_out, @rate_in: bytes a second, filled in by wgw_flows_compare */
struct wgw_flow {
	char protocol[WGW_FLOW_WORD_BYTES], state[WGW_FLOW_WORD_BYTES];
	int pid;
	bool direct;
	char local[WGW_FLOW_ADDRESS_BYTES], remote[WGW_FLOW_ADDRESS_BYTES];
	uint64_t out, in, age_ms;
	double rate_out, rate_in;
};

struct wgw_flows {
	struct wgw_flow *at;
	size_t n;
};

/* Returns 0, -EINVAL, or -ENOMEM; @out is empty then. */
int wgw_flows_parse(const char *text, struct wgw_flows *out);
void wgw_flows_free(struct wgw_flows *f);
/* Fills in the rates since @before, @seconds ago, and sorts: busy ones first. @before has another order then. */
void wgw_flows_compare(struct wgw_flows *now, struct wgw_flows *before, double seconds);

struct wgw_rundir;
struct wgw_status;
/* What is open in @t; empty when it has ended meanwhile. */
void wgw_flows_of(const struct wgw_rundir *dir, const struct wgw_status *t, struct wgw_flows *out);

/**
 * struct wgw_top_options - options of `wgwrap top`
 * @what:	As in wgw_tunnels_find, NULL: all
 * @seconds:	Between two looks
 * @count:	Of looks, 0: until it is interrupted
 */
struct wgw_top_options {
	const char *what;
	double seconds;
	unsigned int count;
};

/* Shows what is open again and again. Returns an exit status. */
int wgw_top(const struct wgw_top_options *o);

#endif
