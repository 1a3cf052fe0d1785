/* SPDX-License-Identifier: MIT */
/* test_stack_memory.c - what all connections together may hold */
#include "tests/unit/stack_harness.h"

START_TEST(what_nobody_reads_is_bounded_over_all_connections)
{
	enum { FLOWS = 100, CHUNK = 1000 };
	static struct seen s[FLOWS];
	static uint8_t chunk[CHUNK];
	size_t total = 0;
	struct peer p;
	int i, k;

	memset(s, 0, sizeof(s));
	for (i = 0; i < FLOWS; i++) {
		s[i].keep = true;
		peer_accept(&p, PEER4, (uint16_t)(1000 + i), &s[i]);
		for (k = 0; k < 524288 / CHUNK; k++)
			peer_send(&p, ACK, chunk, CHUNK);
		wire_forget();
		h_recycle();
	}
	for (i = 0; i < FLOWS; i++) {
		seen_read(s[i].flow, &s[i]);
		total += s[i].len;
		free(s[i].data);
	}
	ck_assert_uint_gt(total, 16 << 20);
	ck_assert_uint_lt(total, 33 << 20); /* RX_DROP_BYTES */
}
END_TEST

START_TEST(what_waits_to_be_sent_is_bounded_over_all_connections)
{
	enum { FLOWS = 800 };
	static uint8_t data[400 * 1380];
	static struct seen s[FLOWS];
	size_t total = 0;
	struct peer p;
	int i;

	memset(s, 0, sizeof(s));
	for (i = 0; i < FLOWS; i++) {
		size_t written;

		peer_accept(&p, PEER4, (uint16_t)(1000 + i), &s[i]);
		written = flow_write(s[i].flow, data, sizeof(data));
		ck_assert_uint_gt(written, 0); /* everybody gets on */
		total += written;
		wire_forget();
		h_recycle();
	}
	ck_assert_uint_gt(total, 20 << 20);
	ck_assert_uint_lt(total, (26 << 20) + FLOWS * (16 << 10)); /* TX_TOTAL_BYTES */
	for (i = 0; i < FLOWS; i++)
		flow_abort(s[i].flow);
	wire_forget();
	memset(s, 0, sizeof(*s));
	peer_accept(&p, PEER4, 80, &s[0]); /* and all of it is given back */
	ck_assert_uint_gt(flow_write(s[0].flow, data, sizeof(data)),
			  32 << 10); /* TX_SPACE_PRESSED_BYTES would be less */
}
END_TEST

START_TEST(a_stack_that_cannot_be_says_why)
{
	struct stack_config c = {.n_addrs = 1, .mtu = WIRE_MTU};

	c.addrs[0] = addr(US4, 0);
	errno = 0;
	ck_assert_ptr_null(stack_new(&c, &h_ops, NULL));
	ck_assert_int_eq(errno, EBUSY);
	h_teardown();
	c.mtu = 10;
	ck_assert_ptr_null(stack_new(&c, &h_ops, NULL));
	ck_assert_int_eq(errno, EINVAL);
	h_setup();
}
END_TEST

static void tests(TCase *tc)
{
	tcase_add_test(tc, a_stack_that_cannot_be_says_why);
	tcase_add_test(tc, what_nobody_reads_is_bounded_over_all_connections);
	tcase_add_test(tc, what_waits_to_be_sent_is_bounded_over_all_connections);
}

int main(void)
{
	return h_run("stack memory", tests);
}
