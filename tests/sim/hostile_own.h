/* SPDX-License-Identifier: MIT */
/*
 * hostile_own.h - what owners of connections write, and connections of hostile.h's stack to itself:
 * each end reads what the other has written
 */
#ifndef TESTS_SIM_HOSTILE_OWN_H
#define TESTS_SIM_HOSTILE_OWN_H

#define WIRE_MAX (1 << 16)
#include "stack/internal.h"
#include "tests/unit/stack_harness.h"

enum {
	PORT = 80, /* where we listen */
	OWN_MAX = 8,
	WRITE_MAX = 65000,
	PATTERN = 1 << 16, /* what owners write repeats itself */
};

static uint64_t called; /* by owners */

/* What every owner writes from the @at-th byte on: WRITE_MAX bytes */
static const uint8_t *written(uint64_t at)
{
	static uint8_t pattern[PATTERN + WRITE_MAX];

	if (pattern[1] == 0) {
		for (uint32_t i = 0; i < sizeof(pattern); i++)
			pattern[i] = (uint8_t)((i % PATTERN + 1) * 2654435761u >> 24);
	}
	return pattern + at % PATTERN;
}

/** struct own - an end of such a connection; @flow: NULL if it is free */
struct own {
	struct flow *flow;
	uint64_t wrote, read;
};

static struct own owns[OWN_MAX];

static void own_readable(struct flow *f, void *arg)
{
	struct own *o = arg;
	struct iovec iov[4];
	bool fin;
	int n;

	while ((n = flow_recv_iov(f, iov, 4, &fin)) > 0) {
		size_t len = 0;

		for (int i = 0; i < n; i++) {
			ck_assert_uint_le(iov[i].iov_len, WRITE_MAX);
			ck_assert(memcmp(iov[i].iov_base, written(o->read + len), iov[i].iov_len) ==
				  0);
			len += iov[i].iov_len;
		}
		o->read += len;
		flow_recv_consume(f, len);
	}
	if (fin)
		flow_close(f);
	else if (once_in(2))
		o->wrote += flow_write(f, written(o->wrote), roll(1000));
}

static void own_closed(struct flow *f, void *arg, int err)
{
	(void)f;
	(void)err;
	((struct own *)arg)->flow = NULL;
}

static const struct flow_ops own_ops = {.readable = own_readable, .closed = own_closed};

static struct own *own_free(void)
{
	for (struct own *o = owns; o < owns + OWN_MAX; o++) {
		if (!o->flow) {
			*o = (struct own){0};
			return o;
		}
	}
	return NULL;
}

static void own_accept(struct flow *f)
{
	struct own *o = own_free();

	called++;
	if (!o) {
		flow_abort(f);
		return;
	}
	o->flow = f;
	flow_set_ops(f, &own_ops, o);
}

/* One of our addresses, of either family */
static struct stack_addr own_addr(uint16_t port)
{
	static const char *const all[] = {US4, US4B, US6};

	return addr(all[roll(h.mtu < IP6_MTU_MIN_BYTES ? 2 : 3)], port);
}

static void own_act(void)
{
	struct own *o = &owns[roll(OWN_MAX)];
	struct stack_addr from = own_addr(once_in(2) ? 0 : (uint16_t)(PORT + roll(2))),
			  to = own_addr((uint16_t)(PORT + roll(3)));
	int err;

	called++;
	if (!o->flow) {
		*o = (struct own){0};
		o->flow = flow_connect(h.stack, once_in(2) ? &from : NULL, &to, NULL, &own_ops, o,
				       &err);
	} else if (once_in(8)) {
		flow_close(o->flow);
	} else if (once_in(8)) {
		flow_abort(o->flow);
		o->flow = NULL;
	} else {
		o->wrote += flow_write(o->flow, written(o->wrote), roll(WRITE_MAX));
	}
}

#endif
