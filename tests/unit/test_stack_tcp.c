/* SPDX-License-Identifier: MIT */
/* test_stack_tcp.c - connections: opening, data both ways, losses, windows */
#include "tests/unit/stack_harness.h"

/* ---- both ends in the stack, through its loop ---- */

static void loop_pair(const char *ip, struct seen *client, struct seen *server)
{
	struct stack_addr to = addr(ip, 0);
	int err;

	memset(client, 0, sizeof(*client));
	memset(server, 0, sizeof(*server));
	server->listener = flow_listen(h.stack, &to, false, 8, &seen_listener_ops, server, &err);
	ck_assert_ptr_nonnull(server->listener);
	to.port = flow_listener_port(server->listener);
	client->flow = flow_connect(h.stack, NULL, &to, NULL, &seen_ops, client, &err);
	ck_assert_ptr_nonnull(client->flow);
	h_settle();
	ck_assert_int_eq(client->connected, 1);
	ck_assert_ptr_nonnull(server->flow);
}

static void loop_bytes(const char *ip)
{
	enum { BYTES = 3 * 1000 * 1000 };
	struct seen client, server;
	uint8_t *data = malloc(BYTES);
	size_t sent = 0, i;

	for (i = 0; i < BYTES; i++)
		data[i] = (uint8_t)(i * 7 + i / 1000);
	loop_pair(ip, &client, &server);
	for (i = 0; i < 10000 && sent < BYTES; i++) {
		sent += flow_write(client.flow, data + sent, BYTES - sent);
		h_pass_ms(1);
	}
	ck_assert_uint_eq(sent, BYTES);
	h_pass_ms(1000);
	ck_assert_uint_eq(server.len, BYTES);
	ck_assert_mem_eq(server.data, data, BYTES);
	ck_assert_uint_eq(flow_unacked(client.flow), 0);

	flow_shutdown(client.flow);
	h_pass_ms(1000);
	ck_assert(server.fin);
	ck_assert_int_eq(client.closed, 0);
	ck_assert_uint_eq(flow_write(server.flow, "answer", 6), 6); /* half closed */
	flow_shutdown(server.flow);
	h_pass_ms(1000);
	ck_assert_uint_eq(client.len, 6);
	ck_assert(client.fin);
	ck_assert_int_eq(client.closed, 1);
	ck_assert_int_eq(client.err, 0);
	ck_assert_int_eq(server.closed, 1);
	ck_assert_int_eq(server.err, 0);
	ck_assert_uint_eq(h.n_sent, 0);
	free(client.data);
	free(server.data);
	free(data);
}

START_TEST(bytes_arrive_in_order_over_ipv4)
{
	loop_bytes(US4);
}
END_TEST

START_TEST(bytes_arrive_in_order_over_ipv6)
{
	loop_bytes(US6);
}
END_TEST

/* ---- opening, against a hand-made peer ---- */

START_TEST(syn_carries_the_options_of_the_interface)
{
	struct stack_addr to = addr(PEER4, 80), to6 = addr(PEER6, 80);
	struct seen s = {0};
	struct segment g;
	int err;

	ck_assert_ptr_nonnull(flow_connect(h.stack, NULL, &to, NULL, &seen_ops, &s, &err));
	g = wire_segment();
	ck_assert_uint_eq(g.flags, SYN);
	ck_assert_uint_eq(g.mss, WIRE_MTU - 40);
	ck_assert_uint_eq(g.scale, 9);
	ck_assert(g.sack_permitted);
	ck_assert_ptr_nonnull(flow_connect(h.stack, NULL, &to6, NULL, &seen_ops, &s, &err));
	ck_assert_uint_eq(wire_segment().mss, WIRE_MTU - 60);
}
END_TEST

/* ---- writing ---- */

/* The sum of a segment is that of its pieces, whatever their lengths and alignments; wire_segment
 * verifies it. */
START_TEST(pieces_of_any_length_make_a_segment_with_the_right_checksum)
{
	static uint8_t data[2048];
	struct seen s = {0};
	struct peer p;
	struct flow *f = peer_accept(&p, PEER4, 80, &s);
	struct segment g;

	h_random(NULL, data, sizeof(data));
	for (size_t piece = 1; piece <= 200; piece++) {
		size_t len = 1 + 3 * piece;

		/* the first leaves alone, the others wait together for its ACK (Nagle) */
		ck_assert_uint_eq(flow_write(f, data, 1), 1);
		ck_assert_uint_eq(wire_segment().len, 1);
		p.ack++;
		for (size_t at = 0; at < 3; at++)
			ck_assert_uint_eq(flow_write(f, data + piece + at * piece, piece), piece);
		ck_assert_uint_eq(flow_write(f, data, 1), 1);
		peer_send(&p, ACK, NULL, 0);
		g = wire_segment();
		ck_assert_uint_eq(g.len, len);
		ck_assert_mem_eq(g.data, data + piece, len - 1);
		p.ack += (uint32_t)len;
		peer_send(&p, ACK, NULL, 0);
		h_recycle();
	}
	flow_abort(f);
}
END_TEST

START_TEST(refused_by_rst)
{
	struct peer p = {.them = addr(PEER4, 81)};
	struct seen s = {0};
	struct segment g;
	int err;

	flow_connect(h.stack, NULL, &p.them, NULL, &seen_ops, &s, &err);
	g = wire_segment();
	p.us = g.from;
	peer_raw(&p, RST | ACK, 0, g.seq, NULL, 0, NULL, 0); /* does not acknowledge the SYN */
	ck_assert_int_eq(s.closed, 0);
	peer_raw(&p, RST | ACK, 0, g.seq + 1, NULL, 0, NULL, 0);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ECONNREFUSED);
	ck_assert_int_eq(s.connected, 0);
}
END_TEST

START_TEST(unanswered_syn_backs_off_and_times_out_as_linux)
{
	struct stack_addr to = addr(PEER4, 80);
	struct seen s = {0};
	int err;

	flow_connect(h.stack, NULL, &to, NULL, &seen_ops, &s, &err);
	h_pass_ms(126000);
	ck_assert_uint_eq(h.n_sent, 7); /* at 0, 1, 3, 7, 15, 31, 63 s */
	ck_assert_int_eq(s.closed, 0);
	h_pass_ms(2000);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ETIMEDOUT);
	ck_assert_uint_eq(h.n_sent, 7);
	ck_assert_uint_eq(stack_next_deadline(h.stack), UINT64_MAX);
}
END_TEST

static bool is_it(void *ctx, const struct stack_addr *remote)
{
	return stack_addr_equal(ctx, remote);
}

START_TEST(a_syn_that_waits_leaves_at_once_when_the_path_is_restored)
{
	struct stack_addr to = addr(PEER4, 80), other = addr(PEER6, 80);
	struct seen s = {0};
	int err;

	flow_connect(h.stack, NULL, &to, NULL, &seen_ops, &s, &err);
	stack_path_restored(h.stack, is_it, &to);
	h_pass_ms(500);
	ck_assert_uint_eq(h.n_sent, 1); /* nothing was lost yet */
	h_pass_ms(7500);
	ck_assert_uint_eq(h.n_sent, 4); /* at 0, 1, 3, 7 s; the next would be at 15 s */
	stack_path_restored(h.stack, is_it, &other);
	h_pass_ms(500);
	ck_assert_uint_eq(h.n_sent, 4);
	stack_path_restored(h.stack, is_it, &to);
	h_pass_ms(200);
	ck_assert_uint_eq(h.n_sent, 5);
	h_pass_ms(5000);
	ck_assert_uint_eq(h.n_sent, 5);
}
END_TEST

START_TEST(data_that_waits_leaves_at_once_when_the_path_is_restored)
{
	struct seen s = {0};
	struct peer p;
	unsigned int n;
	struct flow *f = peer_accept(&p, PEER4, 80, &s);

	ck_assert_uint_eq(flow_write(f, "x", 1), 1);
	h_pass_ms(20000);
	wire_forget();
	n = (unsigned int)h.n_sent;
	h_pass_ms(1000);
	ck_assert_uint_eq(h.n_sent, n);
	stack_path_restored(h.stack, is_it, &p.them);
	h_pass_ms(200);
	ck_assert_uint_eq(h.n_sent, n + 1);
	ck_assert_uint_eq(wire_segment().len, 1);
}
END_TEST

START_TEST(connect_timeout_is_the_callers)
{
	struct flow_options o = {.connect_timeout_ms = 500};
	struct stack_addr to = addr(PEER4, 80);
	struct seen s = {0};
	int err;

	flow_connect(h.stack, NULL, &to, &o, &seen_ops, &s, &err);
	h_pass_ms(490);
	ck_assert_int_eq(s.closed, 0);
	h_pass_ms(30);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ETIMEDOUT);
	o.connect_timeout_ms = 0;
	o.user_timeout_ms = 2000;
	flow_connect(h.stack, NULL, &to, &o, &seen_ops, &s, &err);
	h_pass_ms(2050);
	ck_assert_int_eq(s.closed, 2);
}
END_TEST

START_TEST(local_end_is_as_asked)
{
	struct stack_addr to = addr(PEER4, 80), local = addr(US4B, 5555), got,
			  bad = addr("1.2.3.4", 0);
	struct stack_addr only6 = addr(PEER6, 80);
	struct seen s = {0};
	int err;

	struct flow *f = flow_connect(h.stack, &local, &to, NULL, &seen_ops, &s, &err);

	ck_assert_ptr_nonnull(f);
	flow_addrs(f, &got, NULL);
	ck_assert(stack_addr_equal(&got, &local));
	ck_assert_ptr_null(flow_connect(h.stack, &local, &to, NULL, &seen_ops, &s, &err));
	ck_assert_int_eq(err, EADDRNOTAVAIL); /* the same four-tuple */
	ck_assert_ptr_null(flow_connect(h.stack, &bad, &to, NULL, &seen_ops, &s, &err));
	ck_assert_int_eq(err, EADDRNOTAVAIL);
	ck_assert_ptr_null(flow_connect(h.stack, &local, &only6, NULL, &seen_ops, &s, &err));
	ck_assert_int_eq(err, EADDRNOTAVAIL);
}
END_TEST

/* ---- data ---- */

START_TEST(received_bytes_are_acknowledged_within_40_ms)
{
	struct seen s = {0};
	struct segment g;
	struct peer p;

	peer_accept(&p, PEER4, 80, &s);
	peer_send(&p, ACK, "hello", 5);
	ck_assert_uint_eq(s.len, 5);
	ck_assert_mem_eq(s.data, "hello", 5);
	ck_assert_ptr_null(wire_next());
	h_pass_ms(50);
	g = wire_segment();
	ck_assert_uint_eq(g.flags, ACK);
	ck_assert_uint_eq(g.ack, p.seq);
	ck_assert_uint_eq(stack_next_deadline(h.stack), UINT64_MAX);
	free(s.data);
}
END_TEST

START_TEST(a_lost_segment_is_sent_again_until_the_limit)
{
	struct seen s = {0};
	struct segment g;
	struct peer p;
	struct flow *f;
	int n = 0;

	f = peer_accept(&p, PEER6, 80, &s);
	ck_assert_uint_eq(flow_write(f, "x", 1), 1);
	g = wire_segment();
	ck_assert_uint_eq(g.len, 1);
	ck_assert_uint_eq(flow_unacked(f), 1);
	h_pass_ms(920000);
	ck_assert_int_eq(s.closed, 0);
	while (h.n_taken < h.n_sent) {
		struct segment again = wire_segment();

		ck_assert_uint_eq(again.seq, g.seq);
		ck_assert_uint_eq(again.len, 1);
		n++;
	}
	ck_assert_int_ge(n, 8);
	ck_assert_int_le(n, 60);
	h_pass_ms(10000);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ETIMEDOUT);
}
END_TEST

START_TEST(user_timeout_is_obeyed)
{
	struct flow_options o = {.user_timeout_ms = 3000};
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	flow_set_options(f, &o);
	h_pass_ms(60000); /* idle time does not count */
	flow_write(f, "x", 1);
	h_pass_ms(2900);
	ck_assert_int_eq(s.closed, 0);
	h_pass_ms(200);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ETIMEDOUT);
	ck_assert_uint_eq(s.lost, 1);
}
END_TEST

START_TEST(retransmission_after_an_idle_start_is_prompt)
{
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	h_pass_ms(300000);
	flow_write(f, "x", 1);
	ck_assert_uint_eq(wire_segment().len, 1);
	h_pass_ms(1500);
	ck_assert_ptr_nonnull(wire_next()); /* lwIP alone: after 340 s */
}
END_TEST

START_TEST(an_idle_connection_wakes_nobody)
{
	struct seen s = {0};
	struct peer p;

	peer_accept(&p, PEER4, 80, &s);
	h_pass_ms(2000);
	ck_assert_uint_eq(h_pass_ms(86400000), 0);
	ck_assert_ptr_null(wire_next());
	ck_assert_int_eq(s.closed, 0);
}
END_TEST

START_TEST(keepalive_probes_then_gives_up)
{
	struct flow_options o = {
		.keepalive = true, .keep_idle_s = 10, .keep_interval_s = 2, .keep_count = 3};
	struct seen s = {0};
	struct peer p;
	struct flow *f;

	f = peer_accept(&p, PEER4, 80, &s);
	flow_set_options(f, &o);
	h_pass_ms(9900);
	ck_assert_ptr_null(wire_next());
	h_pass_ms(200);
	ck_assert_uint_eq(wire_segment().seq, p.ack - 1);
	peer_send(&p, ACK, NULL, 0); /* answered: counts from the start */
	h_pass_ms(9900);
	ck_assert_ptr_null(wire_next());
	h_pass_ms(6000);
	ck_assert_uint_eq(h.n_sent - h.n_taken, 3);
	ck_assert_int_eq(s.closed, 0);
	h_pass_ms(1000);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, ETIMEDOUT);
}
END_TEST

/* ---- losses, acknowledgements, windows, sizes ---- */

START_TEST(two_lost_segments_are_repaired_without_a_timeout)
{
	static uint8_t data[1380 * 10];
	struct stack_stats stats;
	struct seen s = {0};
	struct segment g[10];
	struct peer p;
	struct flow *f;
	uint64_t start;
	int i;

	f = peer_accept(&p, PEER4, 80, &s);
	ck_assert_uint_eq(flow_write(f, data, sizeof(data)), sizeof(data));
	for (i = 0; i < 10; i++)
		g[i] = wire_segment(); /* the initial window is ten segments */
	ck_assert_ptr_null(wire_next());
	start = h.now;
	p.ack = g[2].seq; /* 2 and 5 are lost */
	for (i = 0; i < 8; i++)
		peer_send(&p, ACK, NULL, 0);
	ck_assert_uint_eq(wire_segment().seq, g[2].seq);
	p.ack = g[5].seq;
	peer_send(&p, ACK, NULL, 0);
	ck_assert_uint_eq(wire_segment().seq, g[5].seq);
	p.ack = g[9].seq + g[9].len;
	peer_send(&p, ACK, NULL, 0);
	ck_assert_uint_eq(flow_unacked(f), 0);
	ck_assert_uint_eq(h.now, start);
	ck_assert_ptr_null(wire_next());
	stack_stats(h.stack, &stats);
	ck_assert_uint_eq(stats.tcp_retransmits, 2);
}
END_TEST

/* Rounds of 40 ms until an honest receiver has @bytes; every other segment of round @lossy is lost,
 * if there are at least 100. With @slower, round trips grow by as many ms per segment above 100. */
static int transfer(struct peer *p, struct flow *f, size_t bytes, bool lossy, unsigned int slower,
		    size_t *flight)
{
	static uint8_t data[4000000], have[4000001];
	uint32_t base = p->ack, done = 0;
	size_t sent = 0;
	int round;

	memset(have, 0, sizeof(have));
	*flight = 0;
	for (round = 0; round < 1000 && done < bytes; round++) {
		size_t i, of = h.n_sent - h.n_taken;

		*flight = of > *flight ? of : *flight;
		h_pass_ms(40 + (of > 100 ? (of - 100) * slower / 10 : 0));
		of = h.n_sent - h.n_taken;
		for (i = 0; i < of; i++) {
			struct segment g = wire_segment();

			if (lossy && of >= 100 && i % 2)
				continue;
			if (g.len == 0)
				continue;
			memset(have + (g.seq - base), 1, g.len);
			while (have[done])
				done++;
			p->ack = base + done;
			peer_send(p, ACK, NULL, 0);
		}
		lossy = lossy && of < 100;
		sent += flow_write(f, data + sent, bytes - sent);
		if (h.n_sent > WIRE_MAX / 2)
			h_recycle();
	}
	ck_assert_uint_eq(done, bytes);
	return round;
}

START_TEST(many_lost_segments_take_few_round_trips)
{
	struct seen s = {0};
	struct peer p;
	size_t flight;
	int clean, lossy;

	peer_accept(&p, PEER4, 80, &s);
	clean = transfer(&p, s.flow, 600000, false, 0, &flight);
	flow_abort(s.flow);
	wire_forget();
	memset(&s, 0, sizeof(s));
	peer_accept(&p, PEER4, 81, &s);
	lossy = transfer(&p, s.flow, 600000, true, 0, &flight);
	ck_assert_int_gt(lossy, clean);
	ck_assert_int_le(lossy, clean + 30); /* at one hole per round trip: 50 and more */
}
END_TEST

START_TEST(holes_are_reported_by_sack)
{
	struct seen s = {0};
	struct segment g;
	struct peer p;

	peer_accept(&p, PEER4, 80, &s);
	peer_raw(&p, ACK, p.seq + 100, p.ack, NULL, 0, "12345678901234567890", 20);
	g = wire_segment();
	ck_assert_uint_eq(g.ack, p.seq);
	ck_assert_uint_eq(g.n_sack, 2);
	ck_assert_uint_eq(g.sack[0], p.seq + 100);
	ck_assert_uint_eq(g.sack[1], p.seq + 120);
	peer_raw(&p, ACK, p.seq + 120, p.ack, NULL, 0, "1234567890", 10);
	g = wire_segment();
	ck_assert_uint_eq(g.n_sack, 2);
	ck_assert_uint_eq(g.sack[1], p.seq + 130);
	peer_raw(&p, ACK, p.seq + 200, p.ack, NULL, 0, "1234567890", 10);
	g = wire_segment();
	ck_assert_uint_eq(g.n_sack, 4);
	ck_assert_uint_eq(g.sack[0], p.seq + 200); /* the latest first (RFC 2018) */
	ck_assert_uint_eq(g.sack[2], p.seq + 100);
	ck_assert_uint_eq(s.len, 0);
}
END_TEST

START_TEST(the_window_grows_with_a_prompt_reader_only)
{
	static uint8_t data[1000];
	struct seen s = {0};
	struct segment g = {0};
	struct peer p;
	int i, most = 0;

	peer_accept(&p, PEER4, 80, &s);
	for (i = 0; i < 20000; i++) {
		peer_send(&p, ACK, data, sizeof(data));
		while (h.n_taken < h.n_sent) {
			g = wire_segment();
			if ((int)g.window > most)
				most = (int)g.window;
		}
		if (h.n_sent > WIRE_MAX / 2)
			h_recycle();
		s.len = 0;
	}
	ck_assert_int_ge(most << 9, 23 << 20);
	ck_assert_int_le(most << 9, 24 << 20);
	free(s.data);
	flow_abort(s.flow);
	wire_forget();
	memset(&s, 0, sizeof(s));
	s.keep = true;
	peer_accept(&p, PEER6, 80, &s);
	for (i = 0; i < 800; i++)
		peer_send(&p, ACK, data, sizeof(data)); /* more than fits */
	h_pass_ms(100);
	while (h.n_taken < h.n_sent)
		g = wire_segment();
	ck_assert_uint_eq(g.window, 0);
	ck_assert_uint_eq(g.ack - (p.seq - 800000), 524288);
	seen_read(s.flow, &s);
	ck_assert_uint_eq(s.len, 524288);
	while (h.n_taken < h.n_sent)
		g = wire_segment();
	ck_assert_uint_ge(g.window << 9, 131072); /* told at once */
	free(s.data);
}
END_TEST

START_TEST(a_batch_is_acknowledged_once)
{
	static uint8_t data[1000], packet[1100], segment[1020];
	struct seen s = {0};
	struct segment g;
	struct peer p;
	int i;

	peer_accept(&p, PEER4, 80, &s);
	for (i = 0; i < 32; i++) {
		memset(segment, 0, 20);
		put_be16(segment, p.them.port);
		put_be16(segment + 2, p.us.port);
		put_be32(segment + 4, p.seq);
		put_be32(segment + 8, p.ack);
		segment[12] = 0x50;
		segment[13] = ACK;
		put_be16(segment + 14, 1000);
		memcpy(segment + 20, data, sizeof(data));
		stack_input(
			h.stack, packet,
			wire_ip(packet, &p.them, &p.us, IPPROTO_TCP, segment, sizeof(segment), 16));
		p.seq += sizeof(data);
	}
	ck_assert_ptr_null(wire_next());
	stack_input_done(h.stack);
	ck_assert_uint_eq(s.len, 32000);
	g = wire_segment();
	ck_assert_uint_eq(g.ack, p.seq);
	ck_assert_ptr_null(wire_next());
	free(s.data);
}
END_TEST

/* The peer takes everything in order, and nothing is larger than @mss. */
static size_t take_all(struct peer *p, size_t mss, uint8_t *got, bool *fin)
{
	uint32_t base = p->ack;
	int rounds;

	*fin = false;
	for (rounds = 0; rounds < 1000; rounds++) {
		while (h.n_taken < h.n_sent) {
			struct segment g = wire_segment();

			ck_assert_uint_le(g.len, mss);
			if (g.seq != p->ack || (g.len == 0 && !(g.flags & FIN)))
				continue;
			ck_assert(!*fin);
			memcpy(got + (g.seq - base), g.data, g.len);
			p->ack += g.len + (g.flags & FIN);
			*fin = g.flags & FIN;
			peer_send(p, ACK, NULL, 0);
		}
		h_pass_ms(50);
	}
	return p->ack - base - *fin;
}

START_TEST(a_smaller_path_mtu_resegments)
{
	static const char *const peers[] = {PEER4, PEER6};
	static uint8_t data[20000], got[20000];
	size_t i, n;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 11 + i / 256);
	for (n = 0; n < 2; n++) {
		size_t header = n ? 40 : 20;
		struct stack_addr router = addr(n ? "fd00:1::1" : "10.1.1.1", 0);
		struct seen s = {0};
		struct peer p;
		uint8_t icmp[100] = {n ? 2 : 3, n ? 0 : 4}, packet[200];
		const struct wire_packet *w;
		bool fin;

		peer_accept(&p, peers[n], 80, &s);
		flow_write(s.flow, data, sizeof(data));
		flow_shutdown(s.flow);
		w = wire_next();
		if (!n)
			ck_assert_uint_eq(w->data[6], 0x40); /* or no router would tell */
		put_be32(icmp + 4, 1300);
		memcpy(icmp + 8, w->data, header + 20);
		wire_forget();
		wire_input(packet,
			   wire_ip(packet, &router, &p.us, n ? IPPROTO_ICMPV6 : IPPROTO_ICMP, icmp,
				   8 + header + 20, 2));
		memset(got, 0, sizeof(got));
		ck_assert_uint_eq(take_all(&p, 1300 - 20 - header, got, &fin), sizeof(data));
		ck_assert(fin);
		ck_assert_mem_eq(got, data, sizeof(data));
	}
}
END_TEST

START_TEST(a_fin_stays_behind_the_data_when_split)
{
	static uint8_t data[1000], got[1000];
	struct seen s = {0};
	struct peer p;
	bool fin;
	size_t i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	peer_accept(&p, PEER4, 80, &s);
	p.window = 2; /* scaled by 7: 256 bytes */
	peer_send(&p, ACK, NULL, 0);
	peer_send(&p, ACK, "x", 1);
	flow_write(s.flow, data, sizeof(data));
	flow_shutdown(s.flow);
	ck_assert_uint_eq(take_all(&p, 256, got, &fin), sizeof(data));
	ck_assert(fin);
	ck_assert_mem_eq(got, data, sizeof(data));
	free(s.data);
}
END_TEST

START_TEST(small_segments_do_not_hold_a_buffer_each)
{
	struct seen s = {.keep = true};
	struct iovec iov[4000];
	struct peer p;
	bool fin;
	int i;

	peer_accept(&p, PEER4, 80, &s);
	for (i = 0; i < 8000; i++)
		peer_send(&p, ACK, &(char){(char)i}, 1);
	ck_assert_int_le(flow_recv_iov(s.flow, iov, 4000, &fin), 8);
	seen_read(s.flow, &s);
	ck_assert_uint_eq(s.len, 8000);
	for (i = 0; i < 8000; i++)
		ck_assert_uint_eq(s.data[i], (uint8_t)i);
	free(s.data);
}
END_TEST

/* ---- many ---- */

START_TEST(many_connections_come_and_go)
{
	struct stack_stats stats;
	static struct seen s[3000];
	struct peer p;
	int i;

	for (i = 0; i < 3000; i++) {
		peer_accept(&p, i % 2 ? PEER4 : PEER6, (uint16_t)(1 + i / 2), &s[i]);
		if (i % 3 == 0) {
			flow_shutdown(s[i].flow);
			p.ack++;
			peer_send(&p, FIN | ACK, NULL, 0);
			ck_assert_int_eq(s[i].closed, 1);
		}
		wire_forget();
		h_recycle();
	}
	stack_stats(h.stack, &stats);
	ck_assert_uint_eq(stats.tcp_flows, 2000);
	for (i = 0; i < 3000; i++)
		if (s[i].flow)
			flow_abort(s[i].flow);
	stack_stats(h.stack, &stats);
	ck_assert_uint_eq(stats.tcp_flows, 0);
	h_pass_ms(120000);
	ck_assert_uint_eq(stack_next_deadline(h.stack), UINT64_MAX);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, two_lost_segments_are_repaired_without_a_timeout);
	tcase_add_test(tc, many_lost_segments_take_few_round_trips);
	tcase_add_test(tc, holes_are_reported_by_sack);
	tcase_add_test(tc, the_window_grows_with_a_prompt_reader_only);
	tcase_add_test(tc, a_batch_is_acknowledged_once);
	tcase_add_test(tc, a_smaller_path_mtu_resegments);
	tcase_add_test(tc, a_fin_stays_behind_the_data_when_split);
	tcase_add_test(tc, small_segments_do_not_hold_a_buffer_each);
	tcase_add_test(tc, many_connections_come_and_go);
	tcase_add_test(tc, bytes_arrive_in_order_over_ipv4);
	tcase_add_test(tc, bytes_arrive_in_order_over_ipv6);
	tcase_add_test(tc, syn_carries_the_options_of_the_interface);
	tcase_add_test(tc, pieces_of_any_length_make_a_segment_with_the_right_checksum);
	tcase_add_test(tc, refused_by_rst);
	tcase_add_test(tc, unanswered_syn_backs_off_and_times_out_as_linux);
	tcase_add_test(tc, a_syn_that_waits_leaves_at_once_when_the_path_is_restored);
	tcase_add_test(tc, data_that_waits_leaves_at_once_when_the_path_is_restored);
	tcase_add_test(tc, connect_timeout_is_the_callers);
	tcase_add_test(tc, local_end_is_as_asked);
	tcase_add_test(tc, received_bytes_are_acknowledged_within_40_ms);
	tcase_add_test(tc, a_lost_segment_is_sent_again_until_the_limit);
	tcase_add_test(tc, user_timeout_is_obeyed);
	tcase_add_test(tc, retransmission_after_an_idle_start_is_prompt);
	tcase_add_test(tc, an_idle_connection_wakes_nobody);
	tcase_add_test(tc, keepalive_probes_then_gives_up);
}

int main(void)
{
	return h_run("stack tcp", add);
}
