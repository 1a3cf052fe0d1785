/* SPDX-License-Identifier: MIT */
/*
 * hostile_target.h - the connections of hostile.h's stack: what their owners do, and what must hold
 * of what these read and of what leaves
 */
#ifndef TESTS_SIM_HOSTILE_TARGET_H
#define TESTS_SIM_HOSTILE_TARGET_H

#include "tests/sim/hostile_packets.h"

enum {
	TARGETS = 6,
	FAR_PORT = 1000,	    /* the peers' first */
	FAR_PORTS = 3,		    /* of a peer, one at a time */
	SYNS = 64,		    /* kept of those that a target has sent */
	NEAR_BYTES = 1 << 25,	    /* more than can be in flight */
	WINDOW_MAX_BYTES = 1 << 30, /* RFC 7323 2.3 */
};

/**
 * struct target - a connection, and the peer that attacks it
 * @syns:	Numbers of the SYNs it has sent, one of which the stream began with: those that fit
 *		what has been read are set in @fitting
 * @top:	The end of what has left to it; unlike @p.ack, other connections do not change it
 * @read:	Bytes so far
 * @idle:	Its owner does not read
 * @isn:	Where what we send began: to PORT or not, in IPv4 or not, by far port
 * @wrote:	Bytes so far; @shut: and no more
 */
struct target {
	struct peer p;
	struct flow *flow;
	uint32_t syns[SYNS];
	unsigned int n_syns;
	uint64_t fitting;
	uint32_t top, read, isn[2][2][FAR_PORTS];
	uint64_t wrote;
	bool used, idle, shut;
	unsigned int closed;
};

static struct target targets[TARGETS];
static uint64_t answers;	/* ACKs and RSTs out */
static struct wire_packet last; /* that has left */
static struct flow_listener *listener;

/* ---- owners ---- */

/* What every peer sends at @seq */
static uint8_t byte_at(uint32_t seq)
{
	return (uint8_t)(seq * 2654435761u >> 24);
}

static bool fits(uint32_t seq, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] != byte_at(seq + (uint32_t)i))
			return false;
	}
	return true;
}

static void judge(struct target *t, const uint8_t *data, size_t len)
{
	for (unsigned int i = 0; i < SYNS; i++) {
		if ((t->fitting & 1ull << i) && !fits(t->syns[i] + 1 + t->read, data, len))
			t->fitting &= ~(1ull << i);
	}
	ck_assert_msg(t->fitting, "%zu bytes behind %u were never sent there", len, t->read);
	t->read += (uint32_t)len;
}

static void read_all(struct flow *f, struct target *t)
{
	struct iovec iov[4];
	bool fin;
	int n;

	while ((n = flow_recv_iov(f, iov, 4, &fin)) > 0) {
		size_t len = 0;

		for (int i = 0; i < n; i++) {
			judge(t, iov[i].iov_base, iov[i].iov_len);
			len += iov[i].iov_len;
		}
		called++;
		flow_recv_consume(f, len);
	}
}

static void owner_writes(struct target *t)
{
	const uint64_t start = t->wrote;
	const size_t len = roll(once_in(4) ? WRITE_MAX : 3000);

	t->wrote += len; /* it leaves at once */
	t->wrote = start + flow_write(t->flow, written(start), len);
}

static void owner_ends(struct target *t)
{
	static void (*const ways[])(struct flow *) = {flow_orphan, flow_shutdown, flow_close};
	uint32_t way = roll(3);

	t->shut |= way > 0;
	ways[way](t->flow);
}

static void owner_aborts(struct target *t)
{
	struct flow *f = t->flow;

	t->flow = NULL;
	if (f)
		flow_abort(f);
}

/* From within a callback: whatever is allowed there */
static void owner_turns(struct target *t)
{
	called++;
	if (once_in(4))
		owner_writes(t);
	else if (once_in(60))
		owner_ends(t);
	else if (once_in(60))
		owner_aborts(t);
}

static void on_connected(struct flow *f, void *arg)
{
	if (((struct target *)arg)->flow == f)
		owner_turns(arg);
}

static void on_readable(struct flow *f, void *arg)
{
	struct target *t = arg;

	if (!t->idle)
		read_all(f, t);
	owner_turns(t);
}

static void on_closed(struct flow *f, void *arg, int err)
{
	struct target *t = arg;

	(void)err;
	read_all(f, t);
	t->closed++;
	t->flow = NULL;
}

static const struct flow_ops ops = {.connected = on_connected,
				    .readable = on_readable,
				    .writable = on_connected,
				    .closed = on_closed};

static void adopt(struct target *t, struct flow *f)
{
	t->flow = f;
	t->fitting = t->n_syns < SYNS ? (1ull << t->n_syns) - 1 : UINT64_MAX;
	t->read = t->closed = 0;
	t->wrote = 0;
	t->shut = false;
}

static void on_accept(struct flow_listener *l, struct flow *f, void *arg)
{
	struct stack_addr remote;
	struct target *t;

	(void)l;
	(void)arg;
	flow_addrs(f, NULL, &remote);
	if (stack_is_local(h.stack, &remote)) {
		own_accept(f);
		return;
	}
	t = &targets[(remote.port - FAR_PORT) % TARGETS];
	if (t->used && !t->flow && stack_addr_equal(&t->p.them, &remote)) {
		adopt(t, f);
		flow_set_ops(f, &ops, t);
	} else {
		called++;
		flow_abort(f);
	}
}

static const struct flow_listener_ops listener_ops = {.accept = on_accept};

/* ---- what leaves ---- */

/* Whether the connection that has an owner is at our address @us, if any has */
static bool is_at(const struct target *t, const struct stack_addr *us)
{
	struct stack_addr local;

	if (!t->flow)
		return true;
	flow_addrs(t->flow, &local, NULL);
	return stack_addr_equal(&local, us);
}

/* Somebody who has none of the connections */
#define STRANGER4 "10.9.9.8"
#define STRANGER6 "fd00:9::8"

static bool is_stranger(const struct stack_addr *a)
{
	struct stack_addr stranger = addr(stack_addr_is_v4(a) ? STRANGER4 : STRANGER6, a->port);

	return stack_addr_equal(a, &stranger);
}

/* What leaves is what its owner has ordered, of the connection that has one now. */
static void judge_leaving(const struct wire_packet *w)
{
	struct segment g = parse_segment(w);
	struct target *t = &targets[(g.to.port - FAR_PORT) % TARGETS];
	uint32_t *isn = &t->isn[g.from.port == PORT][stack_addr_is_v4(&g.to)]
			       [(g.to.port - FAR_PORT) / TARGETS % FAR_PORTS],
		 at;
	bool theirs = stack_addr_equal(&t->p.them, &g.to);

	if ((g.flags & RST) || is_stranger(&g.to))
		return;
	if (g.flags & SYN)
		*isn = g.seq;
	if (g.len == 0 && !(g.flags & FIN))
		return;
	ck_assert_msg(theirs && t->flow && is_at(t, &g.from),
		      "data or a FIN of a connection that nobody has");
	at = g.seq - *isn - 1;
	ck_assert_msg(at + g.len <= t->wrote, "%u bytes at %u, of %ju", g.len, at,
		      (uintmax_t)t->wrote);
	ck_assert_uint_le(g.len, WRITE_MAX);
	ck_assert_msg(memcmp(g.data, written(at), g.len) == 0, "other bytes than written");
	ck_assert(!(g.flags & FIN) || (t->shut && at + g.len == t->wrote));
}

/* The protocol of a packet, of which @w may be a fragment */
static unsigned int protocol(const struct wire_packet *w)
{
	if (w->data[0] >> 4 == 4)
		return w->data[9];
	return w->data[6] == PROTO_FRAGMENT ? w->data[IP6_HEADER_BYTES] : w->data[6];
}

static void judge_datagram(const struct wire_packet *w); /* hostile_datagrams.h */

static void leaves(const struct wire_packet *w)
{
	if (protocol(w) == IPPROTO_TCP)
		judge_leaving(w);
	else
		judge_datagram(w);
}

static void notice(const struct segment *g)
{
	struct target *t = &targets[(g->to.port - FAR_PORT) % TARGETS];
	uint32_t end = g->seq + g->len + ((g->flags & (SYN | FIN)) != 0);

	answers += g->len == 0 && !(g->flags & (SYN | FIN));
	if (!t->used || (g->flags & RST) || !stack_addr_equal(&t->p.them, &g->to))
		return;
	t->p.us = g->from;
	if (is_at(t, &g->from) && ((g->flags & SYN) || end - t->top < NEAR_BYTES))
		t->top = end;
	if ((int32_t)(end - t->p.ack) > 0 || (g->flags & SYN))
		t->p.ack = end;
	if (g->flags & ACK)
		t->p.seq = g->ack;
}

/* Takes what has left. */
static void absorb(void)
{
	while (h.n_taken < h.n_sent) {
		const struct wire_packet *w = wire_next();
		struct segment g;

		free(last.data);
		last.data = malloc(w->len);
		memcpy(last.data, w->data, last.len = w->len);
		if (protocol(w) != IPPROTO_TCP)
			continue;
		g = parse_segment(w);
		notice(&g);
	}
	h_recycle();
	ck_assert_msg(answers <= given + called, "%ju answers to %ju packets and %ju calls",
		      (uintmax_t)answers, (uintmax_t)given, (uintmax_t)called);
}

#endif
