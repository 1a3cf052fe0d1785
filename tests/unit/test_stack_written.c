/* SPDX-License-Identifier: MIT */
/*
 * test_stack_written.c - what was written stays as it was until it is acknowledged
 *
 * Little is copied into segments, of much whole segments refer to the block that was lent
 * (stack/written.c). So whoever is lent memory next must be lent another, and each is given back.
 */
#include "stack_harness.h"

#include <limits.h>

enum {
	MUCH = 40000, /* more than SEND_REFER_BYTES, less than what waits at most */
	LITTLE = 1000,
	STREAM = 400000,
	ROUNDS_MAX = 4000,
};

static uint8_t data[STREAM], got[STREAM];

static void fill(void)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	memset(got, 0, sizeof(got));
}

/* Whoever is lent memory may write into all of it, whether that is committed or not. */
static size_t lend_and_write(struct flow *f, const uint8_t *from, size_t len)
{
	struct iovec iov[2];

	if (flow_send_iov(f, iov) == 0)
		return 0;
	memset(iov[0].iov_base, 0xee, iov[0].iov_len);
	len = len < iov[0].iov_len ? len : iov[0].iov_len;
	memcpy(iov[0].iov_base, from, len);
	flow_send_commit(f, len, false);
	return len;
}

/* Takes what is sent until @len bytes have come. Returns the flags of all packets, those of the last
 * one in *@last. */
static unsigned int flags_sent(struct peer *p, size_t len, unsigned int *last)
{
	unsigned int all = 0;

	for (int round = 0; len > 0 && round < ROUNDS_MAX; round++) {
		while (h.n_taken < h.n_sent) {
			struct segment g = wire_segment();

			ck_assert_uint_le(g.len, len);
			len -= g.len;
			p->ack += g.len;
			*last = g.flags;
			all |= g.flags;
		}
		h_recycle();
		peer_send(p, ACK, NULL, 0);
		h_pass_ms(1);
	}
	ck_assert_uint_eq(len, 0);
	return all;
}

static size_t commit(struct flow *f, size_t len, bool more)
{
	struct iovec iov[2];

	ck_assert_int_gt(flow_send_iov(f, iov), 0);
	len = len < iov[0].iov_len ? len : iov[0].iov_len;
	memcpy(iov[0].iov_base, data, len);
	flow_send_commit(f, len, more);
	return len;
}

static const uint8_t *lent(struct flow *f)
{
	struct iovec iov[2];

	ck_assert_int_gt(flow_send_iov(f, iov), 0);
	return iov[0].iov_base;
}

/**
 * struct sink - a peer that takes what comes, in any order
 * @has:  By byte of the stream
 * @n:	  Segments that have come; each @lose'th of them is lost
 * @longest: Bytes in one of them
 * @base: Sequence number of the first byte
 */
static struct sink {
	bool has[STREAM + 1];
	size_t in_order, longest;
	unsigned int n, lose;
	uint32_t base;
} sink;

static void take_sent(struct peer *p)
{
	while (h.n_taken < h.n_sent) {
		struct segment g = wire_segment();
		size_t at = g.seq - sink.base;

		if (g.len == 0 || ++sink.n % sink.lose == 0)
			continue;
		ck_assert_uint_le(at + g.len, STREAM);
		sink.longest = g.len > sink.longest ? g.len : sink.longest;
		memcpy(got + at, g.data, g.len);
		memset(sink.has + at, true, g.len);
		while (sink.has[sink.in_order])
			sink.in_order++;
		p->ack = sink.base + (uint32_t)sink.in_order;
		peer_send(p, ACK, NULL, 0);
	}
	h_recycle();
}

/* Pieces of every kind in every order; a stranger's small ones go through the same memory. */
static void stream_through(const char *them)
{
	static const size_t pieces[] = {1,    MUCH,  LITTLE, 24576, 24575, 1380, MUCH, 65535,
					3001, 65535, 65535,  27601, 13,	   1381, MUCH, 65535};
	struct seen s = {0}, other = {0};
	struct peer p, q;
	size_t written = 0;
	int round;

	fill();
	memset(&sink, 0, sizeof(sink));
	sink.lose = 9;
	peer_accept(&p, them, 80, &s);
	peer_accept(&q, them, 81, &other);
	wire_forget();
	sink.base = p.ack;
	for (round = 0; sink.in_order < STREAM && round < ROUNDS_MAX; round++) {
		size_t piece = pieces[(size_t)round % (sizeof(pieces) / sizeof(*pieces))];

		piece = piece < STREAM - written ? piece : STREAM - written;
		if (piece > 0)
			written += lend_and_write(s.flow, data + written, piece);
		take_sent(&p);
		h_pass_ms(5);
		take_sent(&p);
		if (round % 16 == 0) {
			lend_and_write(other.flow, data, 10);
			while (h.n_taken < h.n_sent)
				q.ack = wire_segment().seq + 10;
			peer_send(&q, ACK, NULL, 0);
		}
	}
	ck_assert_uint_eq(sink.in_order, STREAM);
	ck_assert_mem_eq(got, data, STREAM);
	ck_assert_uint_eq(flow_unacked(s.flow), 0);
}

START_TEST(what_is_written_arrives_whatever_the_pieces)
{
	stream_through(PEER4);
}
END_TEST

START_TEST(what_is_written_arrives_over_ipv6_too)
{
	stream_through(PEER6);
}
END_TEST

/* A connection that may send much: the most that is offered to its owner at once, in full packets
 * of @mss bytes */
static size_t packets_offered(const char *them, uint16_t mss)
{
	uint8_t options[sizeof(usual_options)];
	struct seen s = {0};
	struct peer p;
	size_t written = 0, most = 0;
	int round;

	fill();
	memset(&sink, 0, sizeof(sink));
	sink.lose = UINT_MAX;
	memcpy(options, usual_options, sizeof(options));
	put_be16(options + 2, mss);
	p = (struct peer){.them = addr(them, 80), .window = 0xffff, .seq = 5000};
	peer_accept_with(&p, &s, options, sizeof(options));
	wire_forget();
	sink.base = p.ack;
	for (round = 0; sink.in_order < STREAM && round < ROUNDS_MAX; round++) {
		struct iovec iov[2];

		if (flow_send_iov(s.flow, iov) > 0 && iov[0].iov_len > most)
			most = iov[0].iov_len;
		if (written < STREAM)
			written += lend_and_write(s.flow, data + written, STREAM - written);
		take_sent(&p);
		h_pass_ms(5);
		take_sent(&p);
	}
	ck_assert_uint_eq(sink.in_order, STREAM);
	ck_assert_uint_eq(most % sink.longest, 0);
	return most / sink.longest;
}

/* Each takes 1420 bytes and 32 of WireGuard's; UDP over IPv4 carries 65507. */
START_TEST(what_is_offered_at_once_fits_one_message)
{
	ck_assert_uint_eq(packets_offered(PEER4, WIRE_MTU - 40), 65507 / (WIRE_MTU + 32));
}
END_TEST

START_TEST(what_is_offered_at_once_fits_one_message_over_ipv6_too)
{
	ck_assert_uint_eq(packets_offered(PEER6, WIRE_MTU - 60), 65507 / (WIRE_MTU + 32));
}
END_TEST

START_TEST(what_is_offered_at_once_fits_one_message_to_the_byte)
{
	ck_assert_uint_eq(packets_offered(PEER4, 1322), 46); /* 47 take 65518 */
}
END_TEST

START_TEST(what_segments_refer_to_is_not_lent_again)
{
	struct seen s = {0};
	struct peer p;
	const uint8_t *first;

	fill();
	peer_accept(&p, PEER4, 80, &s);
	first = lent(s.flow);
	ck_assert_uint_eq(lend_and_write(s.flow, data, LITTLE), LITTLE);
	ck_assert_ptr_eq(lent(s.flow), first); /* it was copied */
	ck_assert_uint_eq(lend_and_write(s.flow, data, MUCH), MUCH);
	ck_assert_ptr_ne(lent(s.flow), first);
}
END_TEST

static uint64_t turns(void)
{
	struct stack_stats stats;

	stack_stats(h.stack, &stats);
	return stats.tcp_turns;
}

/* RFC 9293 3.9.1, MUST-61. In the middle it would end what the peer's GRO merges. */
START_TEST(push_is_behind_the_last_that_the_owner_has)
{
	static const size_t lengths[] = {LITTLE, MUCH};
	struct seen s = {0};
	struct peer p;

	fill();
	peer_accept(&p, PEER4, 80, &s);
	wire_forget();
	flow_set_options(s.flow, &(struct flow_options){.nodelay = true});
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		size_t len = commit(s.flow, lengths[i], true);
		unsigned int last = 0;

		ck_assert_uint_eq(len, lengths[i]);
		ck_assert_uint_eq(flags_sent(&p, len, &last) & PSH, 0);
		len = commit(s.flow, lengths[i], false);
		flags_sent(&p, len, &last);
		ck_assert_uint_eq(last & PSH, PSH);
	}
}
END_TEST

START_TEST(push_is_in_each_half_of_a_window)
{
	enum { WINDOW = 0x4000, PIECES = 100 };
	struct seen s = {0};
	struct peer p = {.them = addr(PEER4, 80), .window = WINDOW, .seq = 5000};
	unsigned int last, pushes = 0;
	size_t silent = 0;

	fill();
	peer_accept_with(&p, &s, NULL, 0);
	wire_forget();
	flow_set_options(s.flow, &(struct flow_options){.nodelay = true});
	for (int i = 0; i < PIECES; i++) {
		ck_assert_uint_eq(commit(s.flow, LITTLE, true), LITTLE);
		flags_sent(&p, LITTLE, &last);
		silent = last & PSH ? 0 : silent + LITTLE;
		pushes += (last & PSH) != 0;
		ck_assert_uint_le(silent, WINDOW / 2);
	}
	ck_assert_uint_eq(pushes, PIECES / (WINDOW / 2 / LITTLE + 1));
}
END_TEST

START_TEST(taking_turns_is_counted)
{
	struct seen a = {0}, b = {0};
	struct peer p, q;

	fill();
	peer_accept(&p, PEER4, 80, &a);
	peer_accept(&q, PEER4, 81, &b);
	ck_assert_uint_eq(turns(), 0);
	lend_and_write(a.flow, data, LITTLE);
	lend_and_write(a.flow, data, LITTLE);
	ck_assert_uint_eq(turns(), 1);
	lend_and_write(b.flow, data, LITTLE);
	ck_assert_uint_eq(turns(), 2);
	lend_and_write(b.flow, data, LITTLE);
	lend_and_write(a.flow, data, LITTLE);
	ck_assert_uint_eq(turns(), 3);
}
END_TEST

/* What is not given back counts for ever, and leaves little room to everybody (TX_TOTAL_BYTES). */
START_TEST(what_is_acknowledged_is_given_back)
{
	struct seen s = {0};
	struct peer p;
	int round;

	fill();
	peer_accept(&p, PEER4, 80, &s);
	for (round = 0; round < 1000; round++) {
		ck_assert_uint_eq(lend_and_write(s.flow, data, MUCH), MUCH);
		while (flow_unacked(s.flow) > 0) {
			while (h.n_taken < h.n_sent) {
				struct segment g = wire_segment();

				p.ack = g.seq + g.len;
			}
			h_recycle();
			peer_send(&p, ACK, NULL, 0);
			h_pass_ms(1);
		}
	}
	stack_trim(h.stack);
	ck_assert_uint_eq(lend_and_write(s.flow, data, MUCH), MUCH);
}
END_TEST

START_TEST(what_a_lost_connection_had_written_is_given_back)
{
	int round;

	fill();
	for (round = 0; round < 1000; round++) {
		struct seen s = {0};
		struct peer p;

		peer_accept(&p, PEER4, (uint16_t)(1000 + round), &s);
		ck_assert_uint_eq(lend_and_write(s.flow, data, MUCH), MUCH);
		if (round % 2) {
			flow_abort(s.flow);
		} else {
			peer_send(&p, RST, NULL, 0);
			ck_assert_int_eq(s.err, ECONNRESET);
			ck_assert_uint_eq(s.lost, MUCH);
		}
		wire_forget();
		h_recycle();
	}
}
END_TEST

/* Blocks that are not full count as what they are in memory, so that many cannot take more than
 * they may. */
START_TEST(blocks_that_are_not_full_count_whole)
{
	enum { FLOWS = 900, LEAST = 24576 };
	static struct seen s[FLOWS];
	size_t total = 0;
	int i;

	fill();
	memset(s, 0, sizeof(s));
	for (i = 0; i < FLOWS; i++) {
		struct peer p;

		peer_accept(&p, PEER4, (uint16_t)(1000 + i), &s[i]);
		total += lend_and_write(s[i].flow, data, LEAST);
		wire_forget();
		h_recycle();
	}
	ck_assert_uint_gt(total, 400 * LEAST);
	ck_assert_uint_lt(total, 450 * LEAST + FLOWS * (16 << 10));
	ck_assert_uint_le(lend_and_write(s[0].flow, data, MUCH), 16 << 10);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, what_is_written_arrives_whatever_the_pieces);
	tcase_add_test(tc, what_is_written_arrives_over_ipv6_too);
	tcase_add_test(tc, what_is_offered_at_once_fits_one_message);
	tcase_add_test(tc, what_is_offered_at_once_fits_one_message_over_ipv6_too);
	tcase_add_test(tc, what_is_offered_at_once_fits_one_message_to_the_byte);
	tcase_add_test(tc, what_segments_refer_to_is_not_lent_again);
	tcase_add_test(tc, push_is_behind_the_last_that_the_owner_has);
	tcase_add_test(tc, push_is_in_each_half_of_a_window);
	tcase_add_test(tc, taking_turns_is_counted);
	tcase_add_test(tc, what_is_acknowledged_is_given_back);
	tcase_add_test(tc, what_a_lost_connection_had_written_is_given_back);
	tcase_add_test(tc, blocks_that_are_not_full_count_whole);
}

int main(void)
{
	return h_run("stack written", add);
}
