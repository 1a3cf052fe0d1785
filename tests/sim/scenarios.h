/* SPDX-License-Identifier: MIT */
/* scenarios.h - the paths that sim_stack.c sends over, who sends, and the least that must arrive */
#ifndef TESTS_SIM_SCENARIOS_H
#define TESTS_SIM_SCENARIOS_H

#include <stdint.h>

#include "stack/stack.h"
#include "tests/sim/rivals.h"

enum {
	FLOWS_MAX = 4,
	RIVALS = 100, /* the first of them, among senders */
	RENO = RIVALS + RIVAL_RENO,
	LINUX_BBR = RIVALS + RIVAL_BBR,
};

/* One direction of the wire */
struct path {
	double rate_mbit; /* 0: unlimited */
	unsigned int queue_packets;
	unsigned int bucket_bytes; /* no queue but a policer: a token bucket of that size */
	double delay_ms, loss, reorder, reorder_ms;
	double batch_ms;	    /* what arrives within one leaves the wire together */
	double twice;		    /* that part of it arrives two times */
	double longer_s, longer_ms; /* from then on the delay is so much longer */
	double hole_s, hole_bytes;  /* from then on larger ones are lost; 0: none is */
};

struct scenario {
	const char *name;
	struct path data, acks;
	double stall_ms,
		run_ms; /* both ends: means of pauses of the process, and of what is between */
	unsigned int socket_packets; /* what a pausing process's socket holds; 0: everything */
	unsigned int n_flows, seconds;
	int sender[FLOWS_MAX]; /* enum flow_congestion, or a rival */
	double start_s[FLOWS_MAX], rivals_end_s;
	double later_s; /* the last one begins up to so much later, by seed: less than a step */
	double measure_from_s;
	/* least acceptable goodput: of all flows together, and of the least of them; shares of the
	 * rate */
	double bound_all, bound_one;
	/* in such a part of the seeds, of so many at least, one flow may get less than bound_one */
	double may_miss;
	unsigned int seeds;
	uint64_t bound_dropped; /* more is too much; 0: no bound */
};

#define PATH(rate, queue, ms, share)                                                               \
	.data = {.rate_mbit = (rate),                                                              \
		 .queue_packets = (queue),                                                         \
		 .delay_ms = (ms) / 2.0,                                                           \
		 .loss = (share)},                                                                 \
	.acks = {.delay_ms = (ms) / 2.0}
/* Drops what is faster for longer than its bucket of @bytes lasts */
#define POLICER(rate, bytes, ms)                                                                   \
	.data = {.rate_mbit = (rate), .bucket_bytes = (bytes), .delay_ms = (ms) / 2.0},            \
	.acks = {.delay_ms = (ms) / 2.0}
#define ONE(cc, s) .n_flows = 1, .seconds = (s), .sender = {cc}
#define TWO(a, b, s)                                                                               \
	.n_flows = 2, .seconds = (s), .sender = {a, b}, .start_s = {0, 2}, .measure_from_s = 5

static const struct scenario scenarios[] = {
	{"100M 40ms loss 0", PATH(100, 400, 40, 0), ONE(FLOW_BBR, 10), .bound_all = 0.9},
	{"100M 40ms loss 0.1%", PATH(100, 400, 40, 0.001), ONE(FLOW_BBR, 10), .bound_all = 0.9},
	{"100M 40ms loss 1%", PATH(100, 400, 40, 0.01), ONE(FLOW_BBR, 10), .bound_all = 0.8},
	{"100M 40ms loss 3%", PATH(100, 400, 40, 0.03), ONE(FLOW_BBR, 10), .bound_all = 0.2},
	{"350M 40ms loss 0", PATH(350, 1000, 40, 0), ONE(FLOW_BBR, 10), .bound_all = 0.85},
	{"350M 40ms loss 0.1%", PATH(350, 1000, 40, 0.001), ONE(FLOW_BBR, 10), .bound_all = 0.85},
	{"350M 40ms loss 1%", PATH(350, 1000, 40, 0.01), ONE(FLOW_BBR, 10), .bound_all = 0.8},
	{"100M 200ms loss 0", PATH(100, 1000, 200, 0), ONE(FLOW_BBR, 20), .bound_all = 0.8},
	{"100M 200ms loss 0.1%", PATH(100, 1000, 200, 0.001), ONE(FLOW_BBR, 20), .bound_all = 0.7},
	{"100M 200ms loss 1%", PATH(100, 1000, 200, 0.01), ONE(FLOW_BBR, 20), .bound_all = 0.6},
	{"900M 200ms", PATH(900, 4000, 200, 0), ONE(FLOW_BBR, 8), .bound_all = 0.6},
	{"50M 40ms queue 100", PATH(50, 100, 40, 0), ONE(FLOW_BBR, 10), .bound_all = 0.9},
	{"50M 40ms queue 20", PATH(50, 20, 40, 0), ONE(FLOW_BBR, 10), .bound_all = 0.8},
	{"10M 40ms loss 1%", PATH(10, 100, 40, 0.01), ONE(FLOW_BBR, 10), .bound_all = 0.7},
	{"reordering 1% by 5 ms", PATH(100, 400, 40, 0), ONE(FLOW_BBR, 10), .data.reorder = 0.01,
	 .data.reorder_ms = 5, .bound_all = 0.9},
	{"reordering 20% by 15 ms", PATH(100, 400, 40, 0), ONE(FLOW_BBR, 10), .data.reorder = 0.2,
	 .data.reorder_ms = 15, .bound_all = 0.7},
	{"half are 60 ms late", PATH(100, 400, 40, 0), ONE(FLOW_BBR, 10), .data.reorder = 0.5,
	 .data.reorder_ms = 60, .bound_all = 0.8},
	{"half 45 ms late, loss 1%", PATH(100, 400, 40, 0.01), ONE(FLOW_BBR, 10),
	 .data.reorder = 0.5, .data.reorder_ms = 45, .bound_all = 0.7},
	{"CUBIC, 10% 30 ms late", PATH(100, 400, 40, 0), ONE(FLOW_CUBIC, 10), .data.reorder = 0.1,
	 .data.reorder_ms = 30, .bound_all = 0.8},
	{"CUBIC, half 45 ms late", PATH(100, 400, 40, 0), ONE(FLOW_CUBIC, 10), .data.reorder = 0.5,
	 .data.reorder_ms = 45, .bound_all = 0.8},
	{"CUBIC, all arrive twice", PATH(50, 100, 40, 0), ONE(FLOW_CUBIC, 20), .data.twice = 1,
	 .bound_all = 0.85, .bound_dropped = 2000},
	{"acks lost 10%", PATH(100, 400, 40, 0), ONE(FLOW_BBR, 10), .acks.loss = 0.1,
	 .bound_all = 0.8},
	{"batches of 2 ms", PATH(350, 1000, 40, 0), ONE(FLOW_BBR, 10), .data.batch_ms = 2,
	 .acks.batch_ms = 2, .bound_all = 0.85},
	{"batches of 2 ms, loss 1%", PATH(350, 1000, 40, 0.01), ONE(FLOW_BBR, 10),
	 .data.batch_ms = 2, .acks.batch_ms = 2, .bound_all = 0.8},
	{"busy processors", PATH(350, 1000, 40, 0), ONE(FLOW_BBR, 10), .stall_ms = 5, .run_ms = 5,
	 .bound_all = 0.6},
	{"busy processors, loss 1%", PATH(350, 1000, 40, 0.01), ONE(FLOW_BBR, 10), .stall_ms = 5,
	 .run_ms = 5, .bound_all = 0.5},
	{"very busy, loss 1%", PATH(350, 1000, 40, 0.01), ONE(FLOW_BBR, 10), .stall_ms = 20,
	 .run_ms = 10, .bound_all = 0.7},
	{"sockets overflow", PATH(700, 4000, 40, 0), ONE(FLOW_BBR, 3), .stall_ms = 20, .run_ms = 20,
	 .socket_packets = 180, .bound_all = 0.2},
	{"1G 0.1 ms", PATH(1000, 1000, 0.1, 0), ONE(FLOW_BBR, 3), .bound_all = 0.8},
	{"CUBIC 100M 40ms", PATH(100, 400, 40, 0), ONE(FLOW_CUBIC, 10), .bound_all = 0.85},
	{"CUBIC 100M 40ms 0.1%", PATH(100, 400, 40, 0.001), ONE(FLOW_CUBIC, 10), .bound_all = 0.08},
	{"CUBIC 50M queue 100", PATH(50, 100, 40, 0), ONE(FLOW_CUBIC, 20), .bound_all = 0.85},
	{"100M 40ms, then 1 s longer", PATH(100, 1000, 40, 0), ONE(FLOW_BBR, 40),
	 .data.longer_s = 10, .data.longer_ms = 1000, .measure_from_s = 20, .bound_all = 0.5},
	{"the same, 2 s later", PATH(100, 1000, 40, 0), ONE(FLOW_BBR, 40), .data.longer_s = 12,
	 .data.longer_ms = 1000, .measure_from_s = 24, .bound_all = 0.4},
	{"no packets above 1300", PATH(100, 400, 40, 0), ONE(FLOW_BBR, 10), .data.hole_bytes = 1300,
	 .bound_all = 0.65},
	{"none above 1300, loss 1%", PATH(100, 400, 40, 0.01), ONE(FLOW_BBR, 10),
	 .data.hole_bytes = 1300, .bound_all = 0.5},
	{"none above 1300 after 3 s", PATH(100, 400, 40, 0), ONE(FLOW_BBR, 20), .data.hole_s = 3,
	 .data.hole_bytes = 1300, .bound_all = 0.5},
	{"CUBIC, none above 1300", PATH(100, 400, 40, 0), ONE(FLOW_CUBIC, 20),
	 .data.hole_bytes = 1300, .bound_all = 0.5},
	{"50M, policer of 64 KiB", POLICER(50, 65536, 40), ONE(FLOW_BBR, 20), .bound_all = 0.85,
	 .bound_dropped = 5000},
	{"50M, policer of 610 KiB", POLICER(50, 625000, 40), ONE(FLOW_BBR, 20), .bound_all = 0.9,
	 .bound_dropped = 10500},
	{"the same, loss 1%", POLICER(50, 625000, 40), ONE(FLOW_BBR, 20), .data.loss = 0.01,
	 .bound_all = 0.85, .bound_dropped = 10500},
	{"50M, policer of 2 MB", POLICER(50, 2000000, 40), ONE(FLOW_BBR, 20), .bound_all = 0.9,
	 .bound_dropped = 10000},
	{"policer: BBR, Linux BBR", POLICER(50, 65536, 40), TWO(FLOW_BBR, LINUX_BBR, 40),
	 .bound_all = 0.9, .bound_one = 0.22},
	{"policer: Linux BBR, BBR", POLICER(50, 65536, 40), TWO(LINUX_BBR, FLOW_BBR, 40),
	 .bound_all = 0.9, .bound_one = 0.22},
	{"policer: BBR, BBR", POLICER(50, 65536, 40), TWO(FLOW_BBR, FLOW_BBR, 40), .bound_all = 0.9,
	 .bound_one = 0.3, .bound_dropped = 22000},
	{"50M: BBR, BBR", PATH(50, 100, 40, 0), TWO(FLOW_BBR, FLOW_BBR, 40), .bound_all = 0.9,
	 .bound_one = 0.15},
	{"50M 200ms: BBR, BBR", PATH(50, 880, 200, 0), TWO(FLOW_BBR, FLOW_BBR, 20),
	 .bound_all = 0.85, .bound_one = 0.12},
	{"50M: CUBIC, BBR", PATH(50, 100, 40, 0), TWO(FLOW_CUBIC, FLOW_BBR, 40), .bound_all = 0.9,
	 .bound_one = 0.12},
	{"50M: BBR, CUBIC", PATH(50, 100, 40, 0), TWO(FLOW_BBR, FLOW_CUBIC, 40), .bound_all = 0.9,
	 .bound_one = 0.09},
	{"50M: CUBIC, CUBIC", PATH(50, 100, 40, 0), TWO(FLOW_CUBIC, FLOW_CUBIC, 40),
	 .bound_all = 0.85, .bound_one = 0.2},
	{"50M: Linux BBR, Linux BBR", PATH(50, 100, 40, 0), TWO(LINUX_BBR, LINUX_BBR, 40)},
	{"50M: Linux BBR, Reno", PATH(50, 100, 40, 0), TWO(LINUX_BBR, RENO, 40)},
	{"50M: Reno, Linux BBR", PATH(50, 100, 40, 0), TWO(RENO, LINUX_BBR, 40)},
	{"50M: Reno, Reno", PATH(50, 100, 40, 0), TWO(RENO, RENO, 40)},
	{"50M: BBR, Linux BBR", PATH(50, 100, 40, 0), TWO(FLOW_BBR, LINUX_BBR, 40),
	 .bound_all = 0.9, .bound_one = 0.3},
	{"50M: Linux BBR, BBR", PATH(50, 100, 40, 0), TWO(LINUX_BBR, FLOW_BBR, 40),
	 .bound_all = 0.9, .bound_one = 0.3},
	{"50M: soon after Linux BBR", PATH(50, 100, 40, 0), .n_flows = 2, .seconds = 19,
	 .sender = {LINUX_BBR, FLOW_BBR}, .start_s = {0, 2}, .later_s = 0.5, .measure_from_s = 10,
	 .bound_all = 0.9, .bound_one = 0.28, .may_miss = 0.2, .seeds = 30},
	{"busy: BBR, Linux BBR", PATH(50, 100, 40, 0), TWO(FLOW_BBR, LINUX_BBR, 40), .stall_ms = 20,
	 .run_ms = 40, .bound_all = 0.9, .bound_one = 0.26},
	{"busy: Linux BBR, BBR", PATH(50, 100, 40, 0), TWO(LINUX_BBR, FLOW_BBR, 40), .stall_ms = 20,
	 .run_ms = 40, .bound_all = 0.9, .bound_one = 0.29},
	{"50M: BBR, Reno", PATH(50, 100, 40, 0), TWO(FLOW_BBR, RENO, 40), .bound_all = 0.9,
	 .bound_one = 0.04},
	{"50M: Reno, BBR", PATH(50, 100, 40, 0), TWO(RENO, FLOW_BBR, 40), .bound_all = 0.9,
	 .bound_one = 0.12},
	{"twice: Reno, CUBIC", PATH(50, 100, 40, 0), TWO(RENO, FLOW_CUBIC, 40), .data.twice = 1,
	 .bound_all = 0.85, .bound_one = 0.25},
	{"twice: Reno, BBR", PATH(50, 100, 40, 0), TWO(RENO, FLOW_BBR, 40), .data.twice = 1,
	 .bound_all = 0.85, .bound_one = 0.16},
	{"50M: Linux BBR is gone", PATH(50, 100, 40, 0), .n_flows = 3, .seconds = 90,
	 .sender = {FLOW_BBR, LINUX_BBR, FLOW_BBR}, .start_s = {0, 1, 2}, .rivals_end_s = 20,
	 .measure_from_s = 50, .bound_all = 0.9, .bound_dropped = 15000},
};

#endif
