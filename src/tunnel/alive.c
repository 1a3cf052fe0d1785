/* SPDX-License-Identifier: MIT */
/*
 * alive.c - CheckAlive of wireproxy's files: addresses behind the peers that have to answer echo
 * requests
 *
 * Each is asked every CheckAliveInterval. Whether an answer is late is judged by who asks for the
 * state (wgw_status_is_ready); nothing here depends on it, so a silent address ends nothing.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/tunnel/core.h"

enum { ECHO_BYTES = 24, ECHO4 = 8, ECHO4_REPLY = 0, ECHO6 = 128, ECHO6_REPLY = 129 };

/** struct target - @answered: loop time of its last answer, 0: never */
struct target {
	struct stack_addr addr;
	uint64_t answered;
};

/**
 * struct wgw_alive - all that is asked
 * @ping:	IPv4, IPv6; NULL while no address is of that kind
 * @secret:	In each request: an answer that nobody was asked for has another
 */
struct wgw_alive {
	struct wgw_core *core;
	struct wgw_timer timer;
	struct flow_ping *ping[2];
	uint8_t secret[ECHO_BYTES - 8];
	uint16_t sequence;
	struct target *targets;
	size_t n;
};

static void on_answer(struct flow_ping *p, void *arg, const struct stack_datagram *d)
{
	struct wgw_alive *a = arg;

	(void)p;
	if (d->len != ECHO_BYTES || (d->data[0] != ECHO4_REPLY && d->data[0] != ECHO6_REPLY) ||
	    memcmp(d->data + 8, a->secret, sizeof(a->secret)) != 0)
		return;
	for (size_t i = 0; i < a->n; i++) {
		if (memcmp(a->targets[i].addr.ip, d->from->ip, sizeof(d->from->ip)) == 0)
			a->targets[i].answered = wgw_loop_now(a->core->t.loop);
	}
}

static const struct flow_ping_ops ops = {.received = on_answer};

/** ask() - what cannot be sent is asked again next time, like what is lost */
static void ask(struct wgw_alive *a, const struct target *t)
{
	bool v6 = !stack_addr_is_v4(&t->addr);
	uint8_t icmp[ECHO_BYTES] = {v6 ? ECHO6 : ECHO4};

	if (!a->ping[v6])
		a->ping[v6] = flow_ping_new(a->core->t.stack, v6, 0, &ops, a);
	if (!a->ping[v6])
		return;
	icmp[6] = (uint8_t)(a->sequence >> 8);
	icmp[7] = (uint8_t)a->sequence;
	memcpy(icmp + 8, a->secret, sizeof(a->secret));
	flow_ping_send(a->ping[v6], &t->addr, icmp, sizeof(icmp), 0, 0);
}

static uint64_t interval_ns(const struct wgw_alive *a)
{
	return a->core->t.boot->config->check_alive_s * WGW_SEC_NS;
}

static void on_due(struct wgw_timer *timer)
{
	struct wgw_alive *a = wgw_container(timer, struct wgw_alive, timer);
	struct wgw_loop *loop = a->core->t.loop;

	a->sequence++;
	for (size_t i = 0; i < a->n; i++)
		ask(a, &a->targets[i]);
	wgw_timer_set(loop, timer, wgw_loop_now(loop) + interval_ns(a));
}

static uint64_t answered(const struct wgw_alive *a, const struct stack_addr *addr)
{
	for (size_t i = 0; i < a->n; i++) {
		if (stack_addr_equal(&a->targets[i].addr, addr))
			return a->targets[i].answered;
	}
	return 0;
}

struct wgw_alive *wgw_alive_new(struct wgw_core *core)
{
	struct wgw_alive *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->core = core;
	a->timer.due = on_due;
	randombytes_buf(a->secret, sizeof(a->secret));
	if (wgw_alive_follow(a) == 0)
		return a;
	free(a);
	return NULL;
}

int wgw_alive_follow(struct wgw_alive *a)
{
	const struct wgw_prefixes *list = &a->core->t.boot->config->check_alive;
	struct target *targets = calloc(list->n + 1, sizeof(*targets));
	struct wgw_loop *loop = a->core->t.loop;

	if (!targets)
		return -ENOMEM;
	for (size_t i = 0; i < list->n; i++)
		targets[i] = (struct target){list->at[i].addr, answered(a, &list->at[i].addr)};
	free(a->targets);
	a->targets = targets;
	a->n = list->n;
	if (a->n > 0)
		wgw_timer_set(loop, &a->timer, wgw_loop_now(loop));
	else
		wgw_timer_cancel(loop, &a->timer);
	return 0;
}

void wgw_alive_report(const struct wgw_alive *a, FILE *out)
{
	uint64_t now = wgw_loop_now(a->core->t.loop);
	char text[WGW_ADDR_TEXT_BYTES];

	if (a->n > 0)
		fprintf(out, "alive_interval_s=%u\n", a->core->t.boot->config->check_alive_s);
	for (size_t i = 0; i < a->n; i++) {
		const struct target *t = &a->targets[i];

		fprintf(out, "alive=%s ", wgw_addr_text(&t->addr, text));
		if (t->answered)
			fprintf(out, "%llu\n",
				(unsigned long long)((now - t->answered) / WGW_MS_NS));
		else
			fprintf(out, "never\n");
	}
}
