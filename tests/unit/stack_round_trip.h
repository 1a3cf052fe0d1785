/* SPDX-License-Identifier: MIT */
/* stack_round_trip.h - a peer that is written by hand and 40 ms of virtual time away */
#ifndef TESTS_STACK_ROUND_TRIP_H
#define TESTS_STACK_ROUND_TRIP_H

#include "stack_harness.h"

enum { MSS = 1380, RTT_MS = 40 };

/* As peer_accept, but the handshake takes a round trip. */
static inline struct flow *peer_connect_with(struct peer *p, struct seen *s,
					     const struct flow_options *options,
					     const uint8_t *tcp_options, size_t len)
{
	struct segment g;
	int err;

	memset(p, 0, sizeof(*p));
	p->them = addr(PEER4, 80);
	p->window = 0xffff;
	p->seq = 5000;
	s->flow = flow_connect(h.stack, NULL, &p->them, options, &seen_ops, s, &err);
	ck_assert_ptr_nonnull(s->flow);
	g = wire_segment();
	p->us = g.from;
	p->ack = g.seq + 1;
	h_pass_ms(RTT_MS);
	peer_raw(p, SYN | ACK, p->seq, p->ack, tcp_options, len, NULL, 0);
	p->seq++;
	wire_forget();
	return s->flow;
}

static inline struct flow *peer_connect(struct peer *p, struct seen *s,
					const struct flow_options *options)
{
	return peer_connect_with(p, s, options, usual_options, sizeof(usual_options));
}

/* An ACK with up to four SACK blocks, given by segment numbers: left, right, left, right ... */
static inline void peer_sack(struct peer *p, uint32_t base, const int *edges, int n)
{
	uint8_t options[4 + 32] = {1, 1, 5, (uint8_t)(2 + 4 * n)};
	int i;

	for (i = 0; i < n; i++)
		put_be32(options + 4 + 4 * i, base + (uint32_t)edges[i] * MSS);
	peer_raw(p, ACK, p->seq, p->ack, options, (size_t)(4 + 4 * n), NULL, 0);
}

/* Which segment, counted from @base, the next packet carries; -1: none */
static inline int next_sent(uint32_t base)
{
	const struct wire_packet *w = wire_next();
	struct segment g;

	if (!w)
		return -1;
	g = parse_segment(w);
	ck_assert_uint_eq((g.seq - base) % MSS, 0);
	return (int)((g.seq - base) / MSS);
}

#endif
