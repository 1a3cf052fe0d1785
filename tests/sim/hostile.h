/* SPDX-License-Identifier: MIT */
/*
 * hostile.h - a stack whose peers send whatever they like, act by act
 *
 * Six connections at a time, opened from either end. Their peers answer as TCP does, or with
 * numbers, windows, options and lengths around the right ones, or with any; in fragments that are
 * whole, overlap or are too few; with a bit turned over; with ICMP errors about what has left and
 * about what never has. Others forge segments of theirs. Meanwhile the owners write, read or do not,
 * finish, close and abort, also from within callbacks.
 *
 * What must hold: the process lives (lwIP's assertions, sanitizers); what is read is what the peer
 * sent at that place of the stream; what leaves is well-formed (parse_segment), no longer than the
 * MTU, and what the owner wrote at that place; no more ACKs and RSTs leave than there are packets
 * and calls that may cause one; memory has a bound, and all of it comes back; once peers are silent
 * and owners have closed, every connection ends, and says so once.
 *
 * Who includes it decides by roll(), once_in() and roll_all() what happens (by_seed.h's, or a
 * fuzzer's bytes), and which act comes next.
 */
#ifndef TESTS_SIM_HOSTILE_H
#define TESTS_SIM_HOSTILE_H

#include "tests/sim/hostile_peers.h"

enum {
	SILENCE_S = 7200, /* ends what waits for a peer */
	OBEY_ROUNDS_MAX = 40,
	MEMORY_MAX_BYTES = 96 << 20, /* limits.h's two budgets, and blocks around them */
};

/* ---- connections ---- */

static size_t opening_options(uint8_t o[12], unsigned int mss, unsigned int scale)
{
	static const uint8_t like[12] = {2, 4, 0, 0, 1, 3, 3, 0, 1, 1, 4, 2};

	memcpy(o, like, sizeof(like));
	put_be16(o + 2, mss);
	o[7] = (uint8_t)scale;
	return once_in(2) ? sizeof(like) : 8;
}

static struct flow_options some_flow_options(void)
{
	return (struct flow_options){.nodelay = once_in(2),
				     .keepalive = once_in(2),
				     .keep_idle_s = roll(100),
				     .keep_interval_s = roll(20),
				     .keep_count = roll(5),
				     .user_timeout_ms = once_in(2) ? roll(60000) : 0,
				     .tos = (uint8_t)roll(256),
				     .ttl = (uint8_t)roll(256),
				     .congestion = once_in(2) ? FLOW_CUBIC : FLOW_BBR,
				     .owner = roll(3)};
}

/* We connect, and mostly they answer. */
static void open_to(struct target *t)
{
	struct flow_options options = some_flow_options();
	uint8_t o[12];
	size_t n;
	int err;

	adopt(t, flow_connect(h.stack, NULL, &t->p.them, &options, &ops, t, &err));
	called++;
	if (!t->flow) { /* the port waits */
		ck_assert_int_eq(err, EADDRNOTAVAIL);
		t->used = false;
		return;
	}
	absorb();
	if (once_in(8))
		return;
	n = opening_options(o, once_in(2) ? roll(0x10000) : 1380, roll(20));
	send_segment(t, SYN | ACK, roll_all(), t->p.ack, o, n, 0);
}

/* They connect, and mostly go on. */
static void open_from(struct target *t)
{
	uint32_t seq = roll_all();
	uint8_t o[12];
	size_t n = opening_options(o, 1380, 7);

	send_segment(t, SYN, seq, 0, o, n, 0);
	if (!h.in_batch)
		absorb();
	if (!once_in(6))
		send_segment(t, ACK, seq + 1, t->p.ack, NULL, 0, 0);
}

static void begin(struct target *t)
{
	size_t i = (size_t)(t - targets);
	bool v6 = h.mtu >= 1280 && once_in(2);

	called++;
	absorb();
	owner_aborts(t);
	t->used = true;
	t->idle = once_in(3);
	t->p = (struct peer){.us = addr(v6 ? US6 : US4, PORT),
			     .them = addr(v6 ? PEER6 : PEER4,
					  (uint16_t)(FAR_PORT + i + TARGETS * roll(FAR_PORTS))),
			     .window = some_window()};
	if (once_in(2))
		open_to(t);
	else
		open_from(t);
}

static void owner_acts(struct target *t)
{
	struct flow_options options;
	struct flow_info info;

	called++;
	if (once_in(4)) {
		read_all(t->flow, t);
	} else if (once_in(20)) {
		owner_ends(t);
	} else if (once_in(20)) {
		options = some_flow_options();
		flow_set_options(t->flow, &options);
	} else {
		owner_writes(t);
		flow_info(t->flow, &info);
		ck_assert_uint_le(info.acked, t->wrote + t->shut); /* the FIN */
	}
}

static void end_batch(void)
{
	h.in_batch = false;
	stack_input_done(h.stack);
	h_settle();
}

/* The peer goes on as TCP does, for a while, on a path that loses something or not: the owner's
 * bytes leave and are acknowledged. */
static void obey(struct target *t)
{
	unsigned int rounds = roll(OBEY_ROUNDS_MAX), ms = 1 + roll(100);
	uint32_t acked = t->p.ack;
	bool lossy = once_in(2);
	uint8_t sack[12] = {1, 1, 5, 10};

	end_batch();
	t->p.window = 0xffff;
	for (; rounds > 0 && t->flow && is_at(t, &t->p.us); rounds--) {
		called++;
		owner_writes(t);
		h_pass_ms(ms);
		called += ms; /* windows that timers open */
		absorb();
		if (lossy && once_in(4) && t->p.ack - acked > 3000) {
			put_be32(sack + 4, t->p.ack - 1400);
			put_be32(sack + 8, t->p.ack);
			send_segment(t, ACK, t->p.seq, acked, sack, sizeof(sack), 0);
		} else {
			acked = t->p.ack;
			send_segment(t, ACK, t->p.seq, acked, NULL, 0, roll(3) * 500);
		}
		absorb();
	}
}

static void listen_on_port(void)
{
	struct stack_addr any = {.port = PORT};
	int err;

	listener = flow_listen(h.stack, &any, false, 8, &listener_ops, NULL, &err);
	ck_assert_ptr_nonnull(listener);
}

static bool every_path(void *ctx, const struct stack_addr *remote)
{
	(void)ctx, (void)remote;
	return true;
}

/* What the embedder does to a stack now and then */
static void embedder_acts(void)
{
	switch (roll(4)) {
	case 0:
		stack_trim(h.stack);
		break;
	case 1:
		called += TARGETS;
		stack_path_restored(h.stack, every_path, NULL);
		break;
	case 2:
		called += TARGETS; /* half-open connections are reset */
		flow_listener_close(listener);
		listen_on_port();
		break;
	default:
		h.refuses = !h.refuses && once_in(2);
	}
}

/* ---- from the beginning to the end ---- */

static void begin_all(uint16_t mtu, uint64_t random)
{
	memset(targets, 0, sizeof(targets));
	memset(owns, 0, sizeof(owns));
	given = called = answers = 0;
	last = (struct wire_packet){0};
	h_setup_mtu(mtu, random);
	h.leaves = leaves;
	listen_on_port();
}

/* What the stack counts is there no more. */
static void all_is_given_back(void)
{
	struct stack_stats stats;

	stack_tick(h.stack);
	stack_trim(h.stack);
	stack_stats(h.stack, &stats);
	ck_assert_uint_eq(stats.tcp_flows, 0);
	ck_assert_uint_eq(stack_next_deadline(h.stack), UINT64_MAX);
	ck_assert_uint_eq(h.stack->n_flows, 0);
	ck_assert_ptr_null(h.stack->flows);
	ck_assert_uint_eq(h.stack->rx_bytes, 0);
	ck_assert_uint_eq(h.stack->tx_bytes, 0);
	ck_assert_uint_eq(h.stack->n_written, 0);
	ck_assert_uint_eq(h.stack->n_fragment_sets, 0);
	ck_assert_uint_eq(h.stack->loop_len, 0);
	for (unsigned int port = 0; port <= UINT16_MAX; port++)
		ck_assert_uint_eq(h.stack->flows_at[port], 0);
}

/* Everybody is silent, owners close. */
static void end_all(void)
{
	h.refuses = false;
	end_batch();
	for (struct target *t = targets; t < targets + TARGETS; t++) {
		t->shut = true;
		if (t->flow)
			flow_close(t->flow);
	}
	for (struct own *o = owns; o < owns + OWN_MAX; o++) {
		if (o->flow)
			flow_close(o->flow);
	}
	for (unsigned int s = 0; s < SILENCE_S; s += 60) {
		called += 60; /* windows that timers open, keepalives */
		h_pass_ms(60000);
		absorb();
	}
	for (struct target *t = targets; t < targets + TARGETS; t++)
		ck_assert_msg(!t->flow && t->closed <= 1,
			      "a connection is there after two hours, or ended twice");
	for (struct own *o = owns; o < owns + OWN_MAX; o++)
		ck_assert_ptr_null(o->flow);
	all_is_given_back();
	h_teardown();
	free(last.data);
}

#endif
