/* SPDX-License-Identifier: MIT */
/*
 * test_stack_sequence.c - which segments count, and are answered (RFC 9293 3.10.7.4, RFC 5961)
 *
 * What lies outside the windows is of another connection, late, or forged: it changes nothing, and
 * how often it is answered has a limit.
 */
#include "tests/unit/stack_harness.h"

enum {
	MSS = 1380,
	WINDOW_SCALE = 7,	  /* of usual_options */
	RX_WINDOW = 512 * 1024,	  /* limits.h, before it grows */
	ANSWERS_AT_ONCE = 10,	  /* limits.h */
	ANSWERS_MAX = 2 * 10 + 2, /* in the 5 s after those */
	FLOOD = 1000,
};

static uint8_t data[RX_WINDOW];

/* What has left since: its number, and the last one in @last */
static unsigned int sent(struct segment *last)
{
	unsigned int n;

	for (n = 0; h.n_taken < h.n_sent; n++)
		*last = wire_segment();
	h_recycle();
	return n;
}

static void discard(void)
{
	struct segment g;

	sent(&g);
}

static struct flow *established(struct peer *p, struct seen *s)
{
	peer_accept(p, PEER4, 80, s);
	discard();
	return s->flow;
}

static void send_ack(const struct peer *p, uint32_t seq, uint32_t ack, unsigned int window)
{
	struct peer other = *p;

	other.window = window;
	peer_raw(&other, ACK, seq, ack, NULL, 0, NULL, 0);
}

/* @n segments as fast as they come, then for five seconds */
static void flood(const struct peer *p, unsigned int flags, uint32_t seq, uint32_t ack)
{
	struct segment g = {0};
	unsigned int n;
	int i;

	discard();
	for (i = 0; i < FLOOD; i++)
		peer_raw(p, flags, seq, ack, NULL, 0, NULL, 0);
	ck_assert_uint_eq(sent(&g), ANSWERS_AT_ONCE);
	ck_assert_uint_eq(g.flags, ACK);
	ck_assert_uint_eq(g.ack, p->seq);
	ck_assert_uint_eq(g.seq, p->ack);
	for (i = 0, n = 0; i < FLOOD; i++) {
		h_pass_ms(5);
		peer_raw(p, flags, seq, ack, NULL, 0, NULL, 0);
		n += sent(&g);
	}
	ck_assert_uint_ge(n, ANSWERS_AT_ONCE - 1);
	ck_assert_uint_le(n, ANSWERS_MAX);
	h_pass_ms(60000);
	discard();
}

START_TEST(an_ack_of_what_was_never_sent_changes_nothing)
{
	struct seen s = {0};
	struct segment g;
	struct peer p;
	struct flow *f = established(&p, &s);

	send_ack(&p, p.seq, p.ack + 100000, 0);
	ck_assert_uint_eq(sent(&g), 1);
	ck_assert_uint_eq(g.flags, ACK);
	ck_assert_uint_eq(g.seq, p.ack);
	ck_assert_uint_eq(flow_write(f, data, 2 * MSS), 2 * MSS);
	ck_assert_uint_eq(sent(&g), 2);
	/* a window that shrinks is believed: it is no older than what came before */
	p.ack += MSS;
	send_ack(&p, p.seq, p.ack, MSS >> WINDOW_SCALE);
	flow_write(f, data, 4 * MSS);
	h_settle();
	discard();
	p.ack += MSS;
	send_ack(&p, p.seq, p.ack, (2 * MSS >> WINDOW_SCALE) + 1);
	ck_assert_uint_eq(sent(&g), 2);
	ck_assert_uint_eq(g.seq + g.len, p.ack + 2 * MSS);
}
END_TEST

START_TEST(its_data_does_not_count_either)
{
	struct seen s = {0};
	struct segment g;
	struct peer p;

	established(&p, &s);
	peer_raw(&p, ACK, p.seq, p.ack + 1, NULL, 0, "forged", 6);
	ck_assert_uint_eq(sent(&g), 1);
	ck_assert_uint_eq(g.ack, p.seq);
	ck_assert_uint_eq(s.len, 0);
	peer_raw(&p, ACK, p.seq, p.ack, NULL, 0, "right", 5);
	ck_assert_uint_eq(s.len, 5);
	free(s.data);
}
END_TEST

/* RFC 5961 5.2: no older than the largest window that the peer has told */
START_TEST(an_ack_that_is_too_old_changes_nothing)
{
	uint32_t oldest;
	struct seen s = {0};
	struct segment g;
	struct peer p;

	established(&p, &s);
	oldest = p.ack - (p.window << WINDOW_SCALE);
	send_ack(&p, p.seq, p.ack, p.window); /* the SYN's was not scaled */
	peer_raw(&p, ACK, p.seq, oldest - 1, NULL, 0, "forged", 6);
	ck_assert_uint_eq(sent(&g), 1);
	ck_assert_uint_eq(g.ack, p.seq);
	ck_assert_uint_eq(s.len, 0);
	peer_raw(&p, ACK, p.seq, oldest, NULL, 0, "late", 4);
	ck_assert_uint_eq(s.len, 4);
	free(s.data);
}
END_TEST

START_TEST(an_old_ack_does_not_tell_the_window)
{
	struct seen s = {0};
	struct segment g;
	struct peer p;
	struct flow *f = established(&p, &s);

	flow_write(f, data, MSS);
	discard();
	p.ack += MSS;
	send_ack(&p, p.seq, p.ack, p.window);
	send_ack(&p, p.seq + 1, p.ack - 1, 0);
	flow_write(f, data, MSS);
	ck_assert_uint_eq(sent(&g), 1);
	ck_assert_uint_eq(g.len, MSS);
}
END_TEST

START_TEST(what_is_outside_of_the_window_changes_nothing)
{
	static const uint32_t places[] = {RX_WINDOW + 2, 0x40000000, 0x7fffffff, 0xc0000000};
	struct seen s = {0};
	struct segment g;
	struct peer p;
	struct flow *f = established(&p, &s);

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		flow_write(f, data, MSS);
		discard();
		send_ack(&p, p.seq + places[i], p.ack + MSS, 0);
		ck_assert_uint_eq(sent(&g), 1);
		ck_assert_uint_eq(g.ack, p.seq);
		ck_assert_uint_eq(flow_unacked(f), MSS);
		p.ack += MSS;
		send_ack(&p, p.seq, p.ack, p.window);
		ck_assert_uint_eq(flow_unacked(f), 0);
	}
	flow_write(f, data, MSS);
	ck_assert_uint_eq(sent(&g), 1);
	ck_assert_uint_eq(g.len, MSS);
}
END_TEST

/* RFC 9293 3.10.7.4, fifth: an ACK number that nobody checks makes data easy to forge. */
START_TEST(data_without_an_ack_does_not_count)
{
	struct seen s = {0};
	struct segment g;
	struct peer p;

	established(&p, &s);
	peer_raw(&p, 0, p.seq, 0, NULL, 0, "forged", 6);
	peer_raw(&p, PSH | FIN, p.seq, 0, NULL, 0, "forged", 6);
	ck_assert_uint_eq(sent(&g), 0);
	ck_assert_uint_eq(s.len, 0);
	ck_assert(!s.fin);
	peer_raw(&p, ACK, p.seq, p.ack, NULL, 0, "right", 5);
	ck_assert_uint_eq(s.len, 5);
	free(s.data);
}
END_TEST

START_TEST(answers_to_what_does_not_count_are_limited)
{
	struct seen s = {0};
	struct peer p;

	established(&p, &s);
	flood(&p, ACK, p.seq, p.ack + 1);
	flood(&p, ACK, p.seq, p.ack - 0x40000000);
	flood(&p, ACK, p.seq + 0x40000000, p.ack);
	flood(&p, ACK, p.seq - 1, p.ack);
	flood(&p, RST, p.seq + 1, p.ack);
	flood(&p, SYN, p.seq, 0);
	flood(&p, SYN | ACK, p.seq - 1, p.ack);
	ck_assert_int_eq(s.closed, 0);
}
END_TEST

START_TEST(in_a_batch_too)
{
	struct seen s = {0};
	struct segment g;
	struct peer p;
	unsigned int n = 0;

	established(&p, &s);
	for (int i = 0; i < FLOOD; i++) {
		h.in_batch = true;
		for (int k = 0; k < 8; k++)
			send_ack(&p, p.seq, p.ack + 1, 0);
		h.in_batch = false;
		stack_input_done(h.stack);
		h_settle();
		n += sent(&g);
	}
	ck_assert_uint_eq(n, ANSWERS_AT_ONCE);
}
END_TEST

/* Data that has come before comes again because its ACK was lost: all are answered. */
START_TEST(what_is_sent_again_is_answered_each_time)
{
	struct seen s = {0};
	struct segment g;
	struct peer p;

	established(&p, &s);
	peer_send(&p, ACK, "once", 4);
	h_pass_ms(100);
	discard();
	for (int i = 0; i < FLOOD; i++) {
		peer_raw(&p, ACK, p.seq - 4, p.ack, NULL, 0, "once", 4);
		ck_assert_uint_eq(sent(&g), 1);
		ck_assert_uint_eq(g.ack, p.seq);
	}
	ck_assert_uint_eq(s.len, 4);
	free(s.data);
}
END_TEST

/* Who has probed a closed window has sent a byte beyond it. What it says of its own window counts,
 * or two ends that wait for each other would wait for ever. */
START_TEST(an_ack_behind_a_probe_of_our_closed_window_counts)
{
	struct seen s = {.keep = true};
	struct segment g;
	struct peer p;
	struct flow *f = established(&p, &s);

	for (uint32_t i = 0; i < RX_WINDOW; i += 1024)
		peer_send(&p, ACK, data, 1024);
	discard();
	flow_write(f, data, MSS);
	discard();
	p.ack += MSS;
	p.window = 0;
	send_ack(&p, p.seq, p.ack, p.window);
	ck_assert_uint_eq(flow_unacked(f), 0);
	flow_write(f, data, MSS);
	discard();
	peer_raw(&p, ACK, p.seq, p.ack, NULL, 0, "p", 1);
	ck_assert_uint_eq(sent(&g), 1);
	ck_assert_uint_eq(g.ack, p.seq);
	ck_assert_uint_eq(g.window, 0);
	send_ack(&p, p.seq + 1, p.ack, 0xffff);
	ck_assert_uint_ge(sent(&g), 1);
	ck_assert_uint_eq(g.len, MSS);
	free(s.data);
}
END_TEST

/* Each of two ends writes and does not read, until both windows are closed. */
START_TEST(two_closed_windows_do_not_talk_without_end)
{
	enum { SECONDS = 10, PACKETS_MAX = 40, PIECE = 1024, ROUNDS = RX_WINDOW / PIECE + 2 };
	static struct seen server;
	struct seen client = {.keep = true};
	struct stack_addr to = addr(US4B, 80);
	struct flow_info info;
	uint32_t before;
	int err, round;

	memset(&server, 0, sizeof(server));
	server.keep = true;
	server.listener = flow_listen(h.stack, &to, false, 8, &seen_listener_ops, &server, &err);
	client.flow = flow_connect(h.stack, NULL, &to, NULL, &seen_ops, &client, &err);
	h_pass_ms(10);
	for (round = 0; round < ROUNDS; round++) {
		flow_write(client.flow, data, PIECE);
		flow_write(server.flow, data, PIECE);
		h_pass_ms(100);
	}
	flow_info(server.flow, &info);
	ck_assert_uint_eq(info.window, 0);
	flow_info(client.flow, &info);
	ck_assert_uint_eq(info.window, 0);
	before = info.segments_out;
	h_pass_ms(SECONDS * 1000);
	flow_info(client.flow, &info);
	ck_assert_uint_le(info.segments_out - before, PACKETS_MAX);
	/* and they find back */
	client.keep = server.keep = false;
	seen_read(server.flow, &server);
	seen_read(client.flow, &client);
	h_pass_ms(200000);
	ck_assert_uint_eq(flow_unacked(client.flow), 0);
	ck_assert_uint_eq(flow_unacked(server.flow), 0);
	free(client.data);
	free(server.data);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, an_ack_of_what_was_never_sent_changes_nothing);
	tcase_add_test(tc, its_data_does_not_count_either);
	tcase_add_test(tc, an_ack_that_is_too_old_changes_nothing);
	tcase_add_test(tc, an_old_ack_does_not_tell_the_window);
	tcase_add_test(tc, what_is_outside_of_the_window_changes_nothing);
	tcase_add_test(tc, data_without_an_ack_does_not_count);
	tcase_add_test(tc, answers_to_what_does_not_count_are_limited);
	tcase_add_test(tc, in_a_batch_too);
	tcase_add_test(tc, what_is_sent_again_is_answered_each_time);
	tcase_add_test(tc, an_ack_behind_a_probe_of_our_closed_window_counts);
	tcase_add_test(tc, two_closed_windows_do_not_talk_without_end);
}

int main(void)
{
	return h_run("stack sequence", add);
}
