/* SPDX-License-Identifier: MIT */
/* test_stack_forged.c - fragments and ICMP errors from who wants to harm others */
#include <malloc.h>

#include "tests/unit/stack_datagrams.h"

START_TEST(a_source_does_not_displace_the_fragments_of_others)
{
	static struct datagrams d;
	static uint8_t data[2000], packet[3000], flood[3000];
	size_t len;
	unsigned int id;

	udp_open("::", 1000, false, &d);
	len = make_udp(packet, PEER4, 53, US4, 1000, data, sizeof(data));
	fragment4(packet, len, 0, 1000, 1);
	make_udp(flood, "10.9.9.8", 53, US4, 1000, data, sizeof(data));
	for (id = 100; id < 1000; id++)
		fragment4(flood, len, 0, 1000, id);
	fragment4(packet, len, 1000, len - 20, 1);
	ck_assert_int_eq(d.n, 1);
	fragment4(packet, len, 0, 1000, 2);
	for (id = 0; id < 64; id++) { /* all of them together do */
		char from[32];

		snprintf(from, sizeof(from), "10.8.0.%u", id + 1);
		make_udp(flood, from, 53, US4, 1000, data, sizeof(data));
		fragment4(flood, len, 0, 1000, 1);
	}
	fragment4(packet, len, 1000, len - 20, 2);
	ck_assert_int_eq(d.n, 1);
}
END_TEST

START_TEST(fragments_that_are_too_old_are_given_back)
{
	enum { FLOOD = 32, PIECE = 1400, KEPT = 8 /* by malloc, per thread */ };
	static struct datagrams d;
	static uint8_t data[2000], packet[3000];
	size_t len, before;

	udp_open("::", 1000, false, &d);
	len = make_udp(packet, PEER4, 53, US4, 1000, data, sizeof(data));
	for (unsigned int id = 0; id < FLOOD; id++)
		fragment4(packet, len, 0, PIECE, id);
	h_pass_ms(20000);
	make_udp(packet, "10.9.9.8", 53, US4, 1000, data, sizeof(data));
	fragment4(packet, len, 0, PIECE, 1);
	stack_trim(h.stack);
	before = mallinfo2().uordblks;
	h_pass_ms(11000);
	stack_trim(h.stack);
	if (before > 0) /* else the allocator is not libc's */
		ck_assert_uint_le(mallinfo2().uordblks + (FLOOD - KEPT) * (size_t)PIECE, before);
	fragment4(packet, len, PIECE, len - 20, 1);
	ck_assert_int_eq(d.n, 1);
}
END_TEST

/* RFC 6946: an atomic fragment is neither part of a datagram in pieces nor its end. */
START_TEST(the_only_fragment_is_a_datagram_of_its_own)
{
	static struct datagrams d;
	static uint8_t data[2000], packet[3000], small[200];
	size_t len, small_len;

	udp_open("::", 1000, false, &d);
	len = make_udp(packet, PEER6, 53, US6, 1000, data, sizeof(data));
	small_len = make_udp(small, PEER6, 53, US6, 1000, "x", 1);
	fragment6(packet, len, 0, 1000, 7);
	fragment6(small, small_len, 0, small_len - 40, 7);
	ck_assert_int_eq(d.n, 1);
	ck_assert_uint_eq(d.len, 1);
	fragment6(packet, len, 1000, len - 40, 7);
	ck_assert_int_eq(d.n, 2);
	ck_assert_uint_eq(d.len, sizeof(data));
}
END_TEST

START_TEST(impossible_mtus_are_ignored)
{
	static const struct {
		const char *peer;
		size_t len;
		uint32_t mtu;
		int errors;
	} cases[] = {
		{PEER4, 1350, 1378, 0},	 {PEER4, 1350, 1377, 1}, {PEER4, 100, 0, 1},
		{PEER4, 100, 0xffff, 0}, {PEER6, 1350, 1398, 0}, {PEER6, 1350, 1397, 1},
		{PEER6, 1350, 1280, 1},	 {PEER6, 1350, 1279, 0}, {PEER6, 1350, UINT32_MAX, 0},
	};
	static uint8_t question[1350];
	static struct datagrams d;
	struct flow_udp *u = udp_open("::", 1000, false, &d);

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct stack_addr to = addr(cases[i].peer, 9);
		struct iovec iov = {question, cases[i].len};
		bool v4 = stack_addr_is_v4(&to);

		d.errors = 0;
		ck_assert_int_eq(flow_udp_send(u, &to, &iov, 1, 0, 0), 0);
		icmp_error(wire_next(), v4 ? 3 : 2, v4 ? 4 : 0, cases[i].mtu);
		ck_assert_msg(d.errors == cases[i].errors, "%s %u", cases[i].peer, cases[i].mtu);
	}
}
END_TEST

/* What we send to ourselves does not leave: nobody else can have seen it. */
START_TEST(errors_about_our_own_traffic_are_ignored)
{
	static struct datagrams d;
	struct stack_addr peer = addr(PEER4, 9);
	struct wire_packet quoted = {.data = malloc(100)};

	udp_open(US4, 1000, false, &d);
	quoted.len = make_udp(quoted.data, US4, 1000, US4B, 9, "question", 8);
	icmp_error(&quoted, 3, 3, 0);
	ck_assert_int_eq(d.errors, 0);
	quoted.len = make_udp(quoted.data, US4, 1000, PEER4, 9, "question", 8);
	icmp_error(&quoted, 3, 3, 0);
	ck_assert_int_eq(d.errors, 1);
	ck_assert(stack_addr_equal(&d.about, &peer));
	free(quoted.data);
}
END_TEST

START_TEST(errors_about_a_datagram_in_fragments_reach_the_socket)
{
	static const char *const peers[] = {PEER4, PEER6};
	static uint8_t question[3000];
	struct iovec iov = {question, sizeof(question)};
	static struct datagrams d;
	struct flow_udp *u = udp_open("::", 1000, false, &d);

	for (int i = 0; i < 2; i++) {
		struct stack_addr to = addr(peers[i], 9);

		ck_assert_int_eq(flow_udp_send(u, &to, &iov, 1, 0, 0), 0);
		icmp_error(wire_next(), i ? 1 : 3, i ? 4 : 3, 0);
		ck_assert_int_eq(d.errors, i + 1);
		icmp_error(wire_next(), i ? 1 : 3, i ? 4 : 3, 0); /* no ports in it */
		ck_assert_int_eq(d.errors, i + 1);
		ck_assert(stack_addr_equal(&d.about, &to));
		wire_forget();
	}
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, a_source_does_not_displace_the_fragments_of_others);
	tcase_add_test(tc, fragments_that_are_too_old_are_given_back);
	tcase_add_test(tc, the_only_fragment_is_a_datagram_of_its_own);
	tcase_add_test(tc, impossible_mtus_are_ignored);
	tcase_add_test(tc, errors_about_our_own_traffic_are_ignored);
	tcase_add_test(tc, errors_about_a_datagram_in_fragments_reach_the_socket);
}

int main(void)
{
	return h_run("stack forged", add);
}
