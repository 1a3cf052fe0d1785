/* SPDX-License-Identifier: MIT */
/* stack.c - one stack: its interface's properties, its clock and what drives it */
#include "stack/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "stack/lwip_port.h"

struct stack *stack_the;

enum {
	BUCKETS_AT_FIRST = 64,
	SEGMENT_EXTRA_BYTES = 160, /* struct pbuf and room for headers, all of them rounded up */
};

static bool config_valid(const struct stack_config *c)
{
	size_t i;

	if (c->n_addrs == 0 || c->n_addrs > STACK_ADDRS_MAX || c->mtu < STACK_MTU_MIN_BYTES)
		return false;
	for (i = 0; i < c->n_addrs; i++) {
		if (stack_addr_is_any(&c->addrs[i]))
			return false;
		if (!stack_addr_is_v4(&c->addrs[i]) && c->mtu < IP6_MTU_MIN_BYTES)
			return false;
	}
	return true;
}

struct stack *stack_new(const struct stack_config *config, const struct stack_ops *ops, void *ctx)
{
	struct stack *s;

	if (stack_the || !config_valid(config)) {
		errno = stack_the ? EBUSY : EINVAL;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->buckets = calloc(BUCKETS_AT_FIRST, sizeof(*s->buckets));
	if (!s->buckets || !written_init(s)) {
		free(s->buckets);
		free(s);
		return NULL;
	}
	s->n_buckets = BUCKETS_AT_FIRST;
	s->ops = ops;
	s->ctx = ctx;
	memcpy(s->addrs, config->addrs, sizeof(s->addrs));
	s->n_addrs = config->n_addrs;
	s->mtu = config->mtu;
	ops->random(ctx, s->hash_key, sizeof(s->hash_key));
	ops->random(ctx, s->isn_key, sizeof(s->isn_key));
	ops->random(ctx, &s->id_salt, sizeof(s->id_salt));
	s->ready_tail = &s->ready;
	s->waiting_tail = &s->waiting;
	s->loop_tail = &s->loop;
	syns_init(s);
	stack_the = s;
	stack_clock(s);
	lwip_port_init(config->mtu);
	memory_init(config->mtu + (size_t)SEGMENT_EXTRA_BYTES);
	return s;
}

/* Aborts every connection without telling anybody, then frees what is left. */
void stack_free(struct stack *s)
{
	struct flow *f;
	size_t i;

	if (!s)
		return;
	stack_clock(s);
	for (i = 0; i < PORT_BUCKETS; i++) {
		while (s->listeners[i])
			flow_listener_close(s->listeners[i]);
		while (s->udp[i])
			flow_udp_free(s->udp[i]);
	}
	while (s->pings)
		flow_ping_free(s->pings);
	for (f = s->waiting; f; f = f->wait_next)
		flow_free(f);
	demux_wait_expire(s, true);
	while (s->flows)
		flow_abort(s->flows);
	fragments_free(s);
	egress_loop_free(s);
	free(s->heap);
	free(s->buckets);
	memory_trim();
	board_trim();
	written_free(s);
	stack_the = NULL;
	free(s);
}

void stack_clock(struct stack *s)
{
	s->now_ns = s->ops->now(s->ctx);
	s->tick = demux_tick_of(s);
}

void stack_input(struct stack *s, const uint8_t *packet, size_t len)
{
	if (!s->in_batch)
		stack_clock(s);
	s->in_batch = true;
	ingress_packet(s, packet, len, false);
}

/* What input and timers caused: callbacks, packets to ourselves, held ACKs. */
static void settle(struct stack *s)
{
	unsigned int rounds = LOOP_ROUNDS_MAX;

	demux_flush(s);
	do {
		events_dispatch(s);
		egress_loop_run(s);
		demux_flush(s);
	} while ((s->ready || s->loop) && --rounds > 0);
	demux_batch_end(s);
	demux_wait_expire(s, false);
}

void stack_input_done(struct stack *s)
{
	stack_clock(s);
	settle(s);
}

uint64_t stack_next_deadline(const struct stack *s)
{
	if (s->ready || s->loop || s->touched)
		return 0;
	return timers_next(s) < syns_due(s) ? timers_next(s) : syns_due(s);
}

void stack_tick(struct stack *s)
{
	stack_clock(s);
	timers_run(s);
	syns_run(s);
	settle(s);
}

bool stack_source_for(const struct stack *s, const struct stack_addr *to, struct stack_addr *from)
{
	size_t i;

	if (stack_is_local(s, to)) {
		*from = *to;
		from->port = 0;
		return true;
	}
	for (i = 0; i < s->n_addrs; i++) {
		if (stack_addr_is_v4(&s->addrs[i]) != stack_addr_is_v4(to))
			continue;
		*from = s->addrs[i];
		from->port = 0;
		return true;
	}
	return false;
}

bool stack_is_local(const struct stack *s, const struct stack_addr *a)
{
	size_t i;

	for (i = 0; i < s->n_addrs; i++)
		if (memcmp(s->addrs[i].ip, a->ip, sizeof(a->ip)) == 0)
			return true;
	return false;
}

uint16_t stack_path_mtu(struct stack *s, const struct stack_addr *to)
{
	return paths_mtu(s, to);
}

uint32_t stack_trim(struct stack *s)
{
	stack_clock(s);
	demux_wait_expire(s, false);
	fragments_trim(s);
	memory_trim();
	board_trim();
	written_trim(s);
	return s->waiting ? 2 * TCP_MSL : 0;
}

void stack_stats(const struct stack *s, struct stack_stats *out)
{
	*out = s->stats;
}
