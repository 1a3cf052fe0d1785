/* SPDX-License-Identifier: MIT */
/* test_stack_hostile.c - whatever a peer sends, the process lives and its memory is bounded */
#include <malloc.h>

#include "tests/unit/stack_harness.h"

/* lwIP stops the process when an invariant is broken, and Check reports that as a failure. */

static unsigned int rnd(unsigned int *seed)
{
	return (unsigned int)rand_r(seed);
}

static uint64_t fenced(void)
{
	struct stack_stats stats;

	stack_stats(h.stack, &stats);
	return stats.rx_fenced;
}

static void at(struct peer *p, unsigned int flags, uint32_t offset, const void *data, size_t len)
{
	peer_raw(p, flags, p->seq + offset, p->ack, NULL, 0, data, len);
}

START_TEST(mss_is_taken_from_the_syn_only)
{
	static const uint8_t tiny[] = {2, 4, 0, 1};
	uint8_t data[3000] = {0};
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	p.window = 0;
	at(&p, ACK, 0, NULL, 0);
	ck_assert_uint_eq(flow_write(f, data, sizeof(data)), sizeof(data));
	wire_forget();
	peer_raw(&p, ACK, p.seq, p.ack, tiny, sizeof(tiny), NULL, 0);
	ck_assert_uint_eq(flow_write(f, data, sizeof(data)), sizeof(data));
	p.window = 0xffff;
	at(&p, ACK, 0, NULL, 0);
	h_pass_ms(100);
	ck_assert_uint_gt(wire_segment().len, 1000);
}
END_TEST

START_TEST(an_absurd_mss_is_raised)
{
	static const uint8_t tiny[] = {2, 4, 0, 1};
	struct peer p = {.them = addr(PEER4, 80), .window = 0xffff, .seq = 1};
	uint8_t data[500] = {0};
	struct seen s = {0};
	struct segment g;
	int err;

	s.flow = flow_connect(h.stack, NULL, &p.them, NULL, &seen_ops, &s, &err);
	g = wire_segment();
	p.us = g.from;
	p.ack = g.seq + 1;
	peer_raw(&p, SYN | ACK, p.seq++, p.ack, tiny, sizeof(tiny), NULL, 0);
	ck_assert_uint_eq(wire_segment().flags, ACK);
	flow_write(s.flow, data, sizeof(data));
	ck_assert_uint_ge(wire_segment().len, 64);
}
END_TEST

START_TEST(truncated_options_are_refused)
{
	static const uint8_t bad[][4] = {{1, 1, 1, 2}, {2, 5, 1, 1}, {3, 0, 0, 0}, {5, 1, 1, 1}};
	struct seen s = {0};
	struct peer p;
	size_t i;

	peer_accept(&p, PEER4, 80, &s);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		uint64_t before = fenced();

		peer_raw(&p, ACK, p.seq, p.ack, bad[i], 4, "x", 1);
		ck_assert_uint_eq(fenced(), before + 1);
	}
	ck_assert_uint_eq(s.len, 0);
}
END_TEST

START_TEST(overlapping_segments_beyond_the_window)
{
	static uint8_t data[60000];
	struct seen s = {.keep = true};
	struct peer p;
	uint32_t offset, room;

	peer_accept(&p, PEER4, 80, &s);
	/* Fill the window of a reader who does not read, all but 1000 bytes */
	for (offset = 0; offset < 524288 - 1000; offset += 1000)
		peer_send(&p, ACK, data, 1000);
	room = 524288 - offset;
	at(&p, ACK, 100, data, 100);
	at(&p, ACK, 50, data, room + 1000);	  /* covers it, and beyond the window */
	at(&p, ACK | FIN, 30, data, room + 1000); /* again, with a FIN out there */
	at(&p, ACK, 0, data, 60);
	h_pass_ms(100);
	ck_assert_int_eq(s.closed, 0);
	seen_read(s.flow, &s);
	ck_assert_uint_eq(s.len, 524288);
	ck_assert(!s.fin);
	free(s.data);
}
END_TEST

START_TEST(a_fin_inside_later_data)
{
	static uint8_t data[2000];
	struct seen s = {.keep = true};
	struct peer p;
	uint32_t offset, room;

	peer_accept(&p, PEER4, 80, &s);
	for (offset = 0; offset < 524288 - 1000; offset += 1000)
		peer_send(&p, ACK, data, 1000);
	room = 524288 - offset;
	at(&p, ACK | FIN, room / 2, data, room / 2 - 1); /* ends just inside the window */
	at(&p, ACK, 0, data, room);			 /* fills the window exactly */
	h_pass_ms(100);
	seen_read(s.flow, &s);
	ck_assert_uint_eq(s.len, 524288);
	free(s.data);
}
END_TEST

START_TEST(out_of_order_queue_is_bounded)
{
	struct seen s = {0};
	struct segment g = {0};
	struct peer p;
	uint32_t i;

	peer_accept(&p, PEER4, 80, &s);
	for (i = 1; i <= 20000; i++) {
		at(&p, ACK, i, "x", 1);
		wire_forget();
		h_recycle();
	}
	at(&p, ACK, 0, "x", 1);
	h_pass_ms(100);
	while (h.n_taken < h.n_sent)
		g = wire_segment();
	ck_assert_uint_eq(g.ack - p.seq, 18432 + 1);
	ck_assert_uint_eq(s.len, 18432 + 1);
	free(s.data);
}
END_TEST

START_TEST(a_walk_through_the_out_of_order_queue_ends)
{
	enum { WALK_MAX = 2048, ISLANDS = 3000, NEAR = 1000 }; /* every other byte from the first */
	struct seen s = {0};
	struct peer p;
	uint32_t i;

	peer_accept(&p, PEER4, 80, &s);
	for (i = 1; i <= 2 * ISLANDS; i += 2) {
		at(&p, ACK, i, "x", 1);
		wire_forget();
		h_recycle();
	}
	at(&p, ACK, 2 * NEAR, "x", 1);
	at(&p, ACK, 2 * (WALK_MAX + 100), "x", 1); /* too far: as if lost */
	for (i = 0; i < 2 * ISLANDS; i += 2) {
		if (i == 2 * NEAR || i == 2 * (WALK_MAX + 100))
			continue;
		at(&p, ACK, i, "x", 1);
		wire_forget();
		h_recycle();
	}
	ck_assert_uint_eq(s.len, 2 * (WALK_MAX + 100));
	at(&p, ACK, 2 * (WALK_MAX + 100), "x", 1);
	ck_assert_uint_eq(s.len, 2 * ISLANDS);
	free(s.data);
}
END_TEST

/* Segments of one byte count for the memory that they take. */
START_TEST(small_segments_out_of_order_are_bounded_in_all)
{
	enum { CONNECTIONS = 9, SEGMENTS = 18432 }; /* limits.h: 32 MiB, of 256 bytes each */
	struct seen s[CONNECTIONS] = {0};
	struct peer p[CONNECTIONS];
	int n;

	for (n = 0; n < CONNECTIONS; n++) {
		peer_accept(&p[n], PEER4, (uint16_t)(80 + n), &s[n]);
		for (uint32_t i = 1; i <= SEGMENTS; i++) {
			h.in_batch = i % 100 != 0;
			at(&p[n], ACK, 2 * i - 1, "x", 1);
			wire_forget();
			h_recycle();
		}
		h.in_batch = false;
	}
	at(&p[CONNECTIONS - 1], ACK, 0, "x", 1);
	ck_assert_uint_eq(s[CONNECTIONS - 1].len, 1);
	at(&p[0], ACK, 0, "x", 1);
	ck_assert_uint_eq(s[0].len, 2);
	for (n = 0; n < CONNECTIONS; n++)
		free(s[n].data);
}
END_TEST

START_TEST(a_filled_hole_delivers_everything_once)
{
	enum { BYTES = 200000, SEGMENT = 100 };
	uint8_t *data = malloc(BYTES);
	struct seen s = {0};
	struct peer p;
	int i, order;

	for (i = 0; i < BYTES; i++)
		data[i] = (uint8_t)(i * 31 + i / 251);
	peer_accept(&p, PEER6, 80, &s);
	for (order = 0; order < 2; order++) /* odd ones downwards, then even ones upwards */
		for (i = 0; i < BYTES / SEGMENT / 2; i++) {
			int n = order ? i * 2 : BYTES / SEGMENT - 1 - i * 2;

			if (n != 0)
				at(&p, ACK, (uint32_t)(n * SEGMENT), data + n * SEGMENT, SEGMENT);
		}
	ck_assert_uint_eq(s.len, 0);
	at(&p, ACK, 0, data, SEGMENT);
	h_pass_ms(100);
	ck_assert_uint_eq(s.len, BYTES);
	ck_assert_mem_eq(s.data, data, BYTES);
	free(s.data);
	free(data);
}
END_TEST

START_TEST(an_acknowledged_window_probe)
{
	struct seen s = {0};
	struct segment g;
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	p.window = 0;
	at(&p, ACK, 0, NULL, 0);
	flow_write(f, "x", 1);
	h_pass_ms(300);
	g = wire_segment();
	ck_assert_uint_eq(g.len, 1); /* the probe carries the only byte */
	p.ack++;
	at(&p, ACK, 0, NULL, 0);
	ck_assert_uint_eq(flow_unacked(f), 0);
	wire_forget();
	ck_assert_uint_eq(h_pass_ms(600000), 0);
	ck_assert_int_eq(s.closed, 0);
}
END_TEST

/* The largest window ever told bounds segments; the first ones are built before any is told. */
START_TEST(a_tiny_window_after_a_closed_one)
{
	enum { BYTES = 20000, WINDOW = 2, SMALL = 100, ROUNDS_MAX = 1000 };
	static const uint8_t options[] = {2, 4, 5, 100};
	static uint8_t data[BYTES];
	struct peer p = {.them = addr(PEER4, 80), .seq = 1};
	struct seen s = {0};
	struct segment g;
	size_t written = 0, i, before;

	for (i = 0; i < BYTES; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	peer_accept_with(&p, &s, options, sizeof(options));
	written += flow_write(s.flow, data, 100);
	p.window = WINDOW;
	at(&p, ACK, 0, NULL, 0);
	before = mallinfo2().uordblks;
	written += flow_write(s.flow, data + written, BYTES - written);
	ck_assert_uint_eq(written, BYTES);
	/* a segment per byte takes ten times as much; a sanitizer's malloc does not count */
	ck_assert_uint_le(mallinfo2().uordblks, before + 30 * (size_t)BYTES);
	for (i = 0; i < ROUNDS_MAX && flow_unacked(s.flow) > 0; i++) {
		h_pass_ms(500);
		while (h.n_taken < h.n_sent) {
			g = wire_segment();
			if (g.seq != p.ack)
				continue;
			ck_assert_mem_eq(g.data, data + BYTES - flow_unacked(s.flow), g.len);
			p.ack += g.len;
			p.window = i < SMALL ? WINDOW : 0xffff;
			at(&p, ACK, 0, NULL, 0);
		}
		h_recycle();
	}
	ck_assert_uint_eq(flow_unacked(s.flow), 0);
}
END_TEST

START_TEST(window_probes_back_off_and_go_on_while_answered)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f;
	uint64_t last = 0, gap = 0;
	int i;

	f = peer_accept(&p, PEER4, 80, &s);
	p.window = 0;
	at(&p, ACK, 0, NULL, 0);
	flow_write(f, "abc", 3);
	for (i = 0; i < 20; i++) {
		while (h.n_taken == h.n_sent)
			h_pass_ms(10);
		wire_forget();
		if (last)
			ck_assert_uint_ge(h.now - last + 20000000, gap);
		gap = last ? h.now - last : 0;
		last = h.now;
		at(&p, ACK, 0, NULL, 0);
	}
	ck_assert_uint_ge(gap, UINT64_C(100000000000)); /* 120 s at last */
	ck_assert_int_eq(s.closed, 0);			/* for an hour and more */
}
END_TEST

START_TEST(resets_must_hit_exactly)
{
	struct seen s = {0};
	struct peer p;

	peer_accept(&p, PEER4, 80, &s);
	at(&p, RST, 1, NULL, 0); /* inside the window: challenged (RFC 5961) */
	ck_assert_int_eq(s.closed, 0);
	ck_assert_uint_eq(wire_segment().ack, p.seq);
	at(&p, RST, 0x10000000, NULL, 0);
	ck_assert_int_eq(s.closed, 0);
	at(&p, SYN, 0, NULL, 0);
	ck_assert_int_eq(s.closed, 0);
	at(&p, RST, 0, NULL, 0);
	ck_assert_int_eq(s.closed, 1);
}
END_TEST

/* An honest but lossy receiver: what it gets is what was written. */
START_TEST(queues_keep_their_tails)
{
	enum { BYTES = 400000 };
	uint8_t *data = malloc(BYTES), *got = calloc(1, BYTES), *have = calloc(1, BYTES + 1);
	struct seen s = {0};
	struct peer p;
	struct flow *f;
	uint32_t base;
	size_t sent = 0, done = 0;
	unsigned int seed = 7;
	int rounds;

	for (sent = 0; sent < BYTES; sent++)
		data[sent] = (uint8_t)(sent * 13 + sent / 777);
	sent = 0;
	f = peer_accept(&p, PEER4, 80, &s);
	base = p.ack;
	for (rounds = 0; rounds < 20000 && done < BYTES; rounds++) {
		size_t chunk = 1 + (size_t)rnd(&seed) % 5000;

		sent += flow_write(f, data + sent, chunk < BYTES - sent ? chunk : BYTES - sent);
		while (h.n_taken < h.n_sent) {
			struct segment g = wire_segment();

			if (rnd(&seed) % 100 < 5)
				continue;
			ck_assert_uint_le(g.seq - base + g.len, BYTES);
			memcpy(got + (g.seq - base), g.data, g.len);
			memset(have + (g.seq - base), 1, g.len);
			while (have[done])
				done++;
			p.ack = base + (uint32_t)done;
			if (rnd(&seed) % 100 >= 5)
				at(&p, ACK, 0, NULL, 0);
		}
		h_pass_ms(5);
		if (h.n_sent > WIRE_MAX - 4000)
			h_recycle();
	}
	ck_assert_uint_eq(done, BYTES);
	ck_assert_mem_eq(got, data, BYTES);
	at(&p, ACK, 0, NULL, 0);
	ck_assert_uint_eq(flow_unacked(f), 0);
	free(data);
	free(got);
	free(have);
}
END_TEST

/* Random segments around the connection's place, in every state it gets into. */
START_TEST(random_segments_break_nothing)
{
	static const uint8_t options[][4] = {
		{1, 1, 1, 1}, {2, 4, 0, 1}, {3, 3, 14, 0}, {4, 2, 1, 1}};
	static uint8_t data[3000];
	unsigned int seed = (unsigned int)_i + 1;
	struct seen s = {0};
	struct peer p;
	int i;

	peer_accept(&p, _i % 2 ? PEER4 : PEER6, 80, &s);
	s.keep = _i % 3 == 0;
	for (i = 0; i < 3000 && s.flow; i++) {
		unsigned int flags = rnd(&seed) % 32, o = rnd(&seed) % 4;
		uint32_t near = (uint32_t)(rnd(&seed) % 6000) - 3000;
		uint32_t ack = p.ack + (uint32_t)(rnd(&seed) % 4000) - 2000;

		if (rnd(&seed) % 200)
			flags &= ~(unsigned int)RST;
		if (rnd(&seed) % 20)
			flags &= ~(unsigned int)(FIN | SYN);
		if (rnd(&seed) % 10)
			flags |= ACK;
		p.window = rnd(&seed) % 3 ? rnd(&seed) % 3000 : 0;
		if (rnd(&seed) % 3 == 0)
			flow_write(s.flow, data, 1 + rnd(&seed) % sizeof(data));
		while (h.n_taken < h.n_sent) {
			struct segment g = wire_segment();

			if (!(g.flags & RST) && (int32_t)(g.ack - p.seq) > 0 && (g.flags & ACK))
				p.seq = g.ack;
			if ((int32_t)(g.seq + g.len - p.ack) > 0)
				p.ack = g.seq + g.len;
		}
		peer_raw(&p, flags, p.seq + near, rnd(&seed) % 2 ? p.ack : ack, options[o],
			 rnd(&seed) % 4 ? 0 : 4, data, rnd(&seed) % 2 ? rnd(&seed) % 1300 : 0);
		if (rnd(&seed) % 4 == 0)
			h_pass_ms(1u << rnd(&seed) % 10);
		if (s.flow && rnd(&seed) % 500 == 0)
			flow_shutdown(s.flow);
		if (h.n_sent > WIRE_MAX - 4000)
			h_recycle();
	}
	free(s.data);
}
END_TEST

START_TEST(a_syn_flood_leaves_no_more_than_the_backlog)
{
	struct stack_addr local = addr(US4, 80);
	struct peer p = {.us = addr(US4, 80), .them = addr(PEER4, 0), .window = 1000};
	struct seen s = {0};
	struct stack_stats stats;
	int err, i;

	ck_assert_ptr_nonnull(
		flow_listen(h.stack, &local, false, 16, &seen_listener_ops, &s, &err));
	for (i = 1; i <= 5000; i++) {
		p.them.port = (uint16_t)i;
		peer_raw(&p, SYN, 1, 0, NULL, 0, NULL, 0);
	}
	stack_stats(h.stack, &stats);
	ck_assert_uint_eq(stats.tcp_flows, 16);
	h_pass_ms(30000);
	stack_stats(h.stack, &stats);
	ck_assert_uint_eq(stats.tcp_flows, 0);
	ck_assert_ptr_null(s.flow);
}
END_TEST

START_TEST(initial_sequence_numbers_are_not_predictable)
{
	struct stack_addr to = addr(PEER4, 80);
	struct seen s = {0};
	uint32_t last = 0, small = 0;
	uint16_t ports[8];
	int err, i;

	for (i = 0; i < 8; i++) {
		struct segment g;

		flow_connect(h.stack, NULL, &to, NULL, &seen_ops, &s, &err);
		g = wire_segment();
		ports[i] = g.from.port;
		small += g.seq - last < 1000000 || last - g.seq < 1000000;
		ck_assert(i == 0 || (ports[i] != ports[i - 1] && ports[i] != ports[i - 1] + 1));
		last = g.seq;
	}
	ck_assert_uint_le(small, 1);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, mss_is_taken_from_the_syn_only);
	tcase_add_test(tc, an_absurd_mss_is_raised);
	tcase_add_test(tc, truncated_options_are_refused);
	tcase_add_test(tc, overlapping_segments_beyond_the_window);
	tcase_add_test(tc, a_fin_inside_later_data);
	tcase_add_test(tc, out_of_order_queue_is_bounded);
	tcase_add_test(tc, a_walk_through_the_out_of_order_queue_ends);
	tcase_add_test(tc, small_segments_out_of_order_are_bounded_in_all);
	tcase_add_test(tc, a_filled_hole_delivers_everything_once);
	tcase_add_test(tc, an_acknowledged_window_probe);
	tcase_add_test(tc, a_tiny_window_after_a_closed_one);
	tcase_add_test(tc, window_probes_back_off_and_go_on_while_answered);
	tcase_add_test(tc, resets_must_hit_exactly);
	tcase_add_test(tc, queues_keep_their_tails);
	tcase_add_loop_test(tc, random_segments_break_nothing, 0, 40);
	tcase_add_test(tc, a_syn_flood_leaves_no_more_than_the_backlog);
	tcase_add_test(tc, initial_sequence_numbers_are_not_predictable);
}

int main(void)
{
	return h_run("stack hostile", add);
}
