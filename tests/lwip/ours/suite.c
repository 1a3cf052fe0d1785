/* SPDX-License-Identifier: MIT */
/*
 * suite.c - runs lwIP's own TCP and packet buffer tests with our options
 *
 * What stack/ gives to lwIP is replaced by the least that does nothing: every segment may leave,
 * the allocator is malloc's. Tests that cannot hold are skipped by name, each with its reason; the
 * behaviour that they look for is tested where it is now. A name that no longer exists is an error.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lwip_check.h"

#include "core/test_def.h"
#include "core/test_pbuf.h"
#include "tcp/test_tcp.h"
#include "tcp/test_tcp_oos.h"
#include "tcp/test_tcp_state.h"

#include "lwip/mem.h"
#include "lwip/memp.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/stats.h"

#include "stack/lwip_hooks.h"

#define BY_SENDER                                                                                  \
	"lwIP neither retransmits nor has a congestion window: stack/sender.c (test_stack_sender)"
#define U16 "counts a window in a u16_t; ours is 16 MiB (test_stack_window, sim_stack)"
#define RUNS                                                                                       \
	"expects a segment on the queue for each that came; ours are chained (test_stack_window)"
#define POOLS "expects a pool of 5 connections; ours are bounded by limits.h (test_stack_ports)"

static struct skip {
	const char *name, *why;
	unsigned int met;
} skips[] = {
	{"test_tcp_fast_retx_recover", BY_SENDER, 0},
	{"test_tcp_fast_rexmit_wraparound", BY_SENDER, 0},
	{"test_tcp_rto_rexmit_wraparound", BY_SENDER, 0},
	{"test_tcp_retx_add_to_sent", BY_SENDER, 0},
	{"test_tcp_rto_tracking", BY_SENDER, 0},
	{"test_tcp_rto_timeout", BY_SENDER, 0},
	{"test_tcp_rto_timeout_link_down", BY_SENDER, 0},
	{"test_tcp_tx_full_window_lost_from_unacked", U16, 0},
	{"test_tcp_tx_full_window_lost_from_unsent", U16, 0},
	{"test_tcp_recv_ooseq_overrun_rxwin", RUNS, 0},
	{"test_tcp_recv_ooseq_overrun_rxwin_edge", RUNS, 0},
	{"test_tcp_new_max_num", POOLS, 0},
	{"test_tcp_new_max_num_remove_TIME_WAIT", POOLS, 0},
	{NULL, NULL, 0},
};

/* ---- what stack/ is to lwIP ---- */

_Noreturn void stack_lwip_assert(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

uint32_t stack_lwip_rand(void)
{
	return (uint32_t)rand();
}

void *stack_lwip_malloc(size_t size)
{
	return malloc(size);
}

void stack_lwip_free(void *p)
{
	free(p);
}

uint16_t stack_lwip_checksum(const void *data, int len)
{
	const uint8_t *p = data;
	uint32_t sum = 0;
	int i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] | (uint32_t)p[i + 1] << 8;
	if (i < len)
		sum += p[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint16_t stack_lwip_checksum_copy(void *to, const void *from, int len)
{
	memcpy(to, from, (size_t)len);
	return stack_lwip_checksum(to, len);
}

void tcp_timer_needed(void)
{
}

/* lwIP's own, which the tests know the start of */
u32_t stack_tcp_isn(const ip_addr_t *local, u16_t local_port, const ip_addr_t *remote,
		    u16_t remote_port)
{
	static u32_t iss = 6510;

	(void)local;
	(void)local_port;
	(void)remote;
	(void)remote_port;
	iss += tcp_ticks;
	return iss;
}

u32_t stack_ooseq_max(const struct tcp_pcb *pcb)
{
	(void)pcb;
	return 12288;
}

int stack_challenge_ack(const struct tcp_pcb *pcb)
{
	(void)pcb;
	return 1;
}

void stack_sender_ack(struct tcp_pcb *pcb, u32_t ackno, int empty)
{
	(void)pcb;
	(void)ackno;
	(void)empty;
}

void stack_sender_output(struct tcp_pcb *pcb)
{
	(void)pcb;
}

int stack_sender_may_send(struct tcp_pcb *pcb, u32_t len)
{
	(void)pcb;
	(void)len;
	return 1;
}

/* Nothing is written by reference here (test_stack_train). */
u32_t stack_sender_train_max(struct tcp_pcb *pcb)
{
	return pcb->mss;
}

u32_t stack_sender_train_part(struct tcp_pcb *pcb, u32_t len)
{
	(void)len;
	return pcb->mss;
}

err_t stack_train_output(struct tcp_pcb *pcb, const struct tcp_seg *seg, u32_t from, u16_t len)
{
	(void)pcb;
	(void)seg;
	(void)from;
	(void)len;
	return ERR_IF;
}

void stack_sender_sent(struct tcp_pcb *pcb, struct tcp_seg *seg)
{
	(void)pcb;
	(void)seg;
}

/* ---- the suites ---- */

void lwip_check_ensure_no_alloc(unsigned int skip)
{
	for (int i = 0; i < MEMP_MAX; i++)
		if (!(skip & SKIP_POOL(i)))
			ck_assert_msg(lwip_stats.memp[i]->used == 0, "pool %d has %u entries", i,
				      (unsigned int)lwip_stats.memp[i]->used);
}

static bool skipped(const char *name)
{
	for (struct skip *s = skips; s->name; s++) {
		if (strcmp(s->name, name) != 0)
			continue;
		s->met = 1;
		printf("skipped: %s: %s\n", name, s->why);
		return true;
	}
	return false;
}

Suite *create_suite(const char *name, testfunc *tests, size_t n, SFun setup, SFun teardown)
{
	Suite *suite = suite_create(name);

	for (size_t i = 0; i < n; i++) {
		TCase *tc;

		if (skipped(tests[i]->name))
			continue;
		tc = tcase_create(name);
		tcase_add_checked_fixture(tc, setup, teardown);
		tcase_add_test(tc, tests[i]);
		suite_add_tcase(suite, tc);
	}
	return suite;
}

int main(void)
{
	SRunner *runner;
	int failed;

	mem_init();
	memp_init();
	netif_init();
	tcp_init();
	runner = srunner_create(tcp_suite());
	srunner_add_suite(runner, tcp_oos_suite());
	srunner_add_suite(runner, tcp_state_suite());
	srunner_add_suite(runner, def_suite());
	srunner_add_suite(runner, pbuf_suite());
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	for (const struct skip *s = skips; s->name; s++) {
		if (!s->met) {
			printf("no test is called %s\n", s->name);
			failed++;
		}
	}
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
