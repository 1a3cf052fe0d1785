/* SPDX-License-Identifier: MIT */
/* test_stack_gro.c - packets that go on with the one before take a shorter way, to the same end */
#include "tests/unit/stack_harness.h"

enum { BYTES = 700, SEGMENTS = 4, PADDING = 40 };

/**
 * struct change - how one packet differs from what it should be
 * @bits:	Flipped in the byte @at; @sums: checksums are right nevertheless
 * @longer:	Bytes of padding behind it; negative: it is cut
 */
struct change {
	size_t at;
	uint8_t bits;
	int longer;
	bool sums;
};

struct outcome {
	struct stack_stats stats;
	struct flow_info info;
	uint64_t sent;
	size_t len;
	bool fin;
	int closed, err;
	uint8_t data[SEGMENTS * BYTES];
};

static uint64_t hash(uint64_t sum, const uint8_t *p, size_t len)
{
	while (len-- > 0)
		sum = (sum ^ *p++) * UINT64_C(1099511628211);
	return sum;
}

static void compute_sums(uint8_t *packet, size_t len)
{
	const bool v4 = packet[0] >> 4 == 4;
	uint8_t *tcp = packet + (v4 ? 20 : 40);
	const size_t tcp_len = len - (size_t)(tcp - packet);

	if (v4) {
		put_be16(packet + 10, 0);
		put_be16(packet + 10, ~sum16(0, packet, 20) & 0xffff);
	}
	put_be16(tcp + 16, 0);
	put_be16(tcp + 16, ~sum16(pseudo_sum(packet, IPPROTO_TCP, tcp_len), tcp, tcp_len) & 0xffff);
}

/* Segment @i of the transfer */
static size_t make(uint8_t *packet, const struct peer *p, unsigned int i)
{
	uint8_t segment[20 + BYTES] = {0};

	put_be16(segment, p->them.port);
	put_be16(segment + 2, p->us.port);
	put_be32(segment + 4, p->seq + i * BYTES);
	put_be32(segment + 8, p->ack);
	segment[12] = 0x50;
	segment[13] = ACK;
	put_be16(segment + 14, p->window);
	for (size_t k = 0; k < BYTES; k++)
		segment[20 + k] = (uint8_t)(i * 31 + k * 7);
	return wire_ip(packet, &p->them, &p->us, IPPROTO_TCP, segment, sizeof(segment), 16);
}

/* Looks up no connection, and nobody answers it: the next packet takes the long way. */
static void distract(const struct peer *p)
{
	struct peer stranger = *p;

	stranger.them.port++;
	peer_raw(&stranger, RST, 1, 1, NULL, 0, NULL, 0);
}

/* Segments in one batch, the third of them changed; @alone: each behind a distraction */
static void transfer(const char *them, const struct change *c, bool alone, struct outcome *o)
{
	uint8_t packet[2 * WIRE_MTU] = {0};
	struct seen s = {0};
	struct peer p;

	h_teardown();
	h_setup();
	peer_accept(&p, them, 80, &s);
	h.in_batch = true;
	for (unsigned int i = 0; i < SEGMENTS; i++) {
		size_t len = make(packet, &p, i);

		if (i == 2) {
			packet[c->at] ^= c->bits;
			if (c->sums)
				compute_sums(packet, len);
			len = (size_t)((int)len + c->longer);
		}
		if (alone)
			distract(&p);
		wire_input(packet, len);
	}
	for (unsigned int i = 0; !alone && i < SEGMENTS; i++)
		distract(&p);
	stack_input_done(h.stack);
	h_pass_ms(50);
	memset(o, 0, sizeof(*o));
	o->len = s.len;
	o->fin = s.fin;
	o->closed = s.closed;
	o->err = s.err;
	ck_assert_uint_le(s.len, sizeof(o->data));
	if (s.len)
		memcpy(o->data, s.data, s.len);
	stack_stats(h.stack, &o->stats);
	if (s.flow)
		flow_info(s.flow, &o->info);
	for (size_t i = 0; i < h.n_sent; i++)
		o->sent = hash(o->sent, h.sent[i].data, h.sent[i].len);
	free(s.data);
}

static void compare(const char *them, const struct change *c)
{
	static struct outcome together, alone;

	transfer(them, c, false, &together);
	transfer(them, c, true, &alone);
	ck_assert_msg(memcmp(&together, &alone, sizeof(alone)) == 0,
		      "byte %zu changed by %02x, %+d bytes, sums %d: %zu and %zu bytes arrived",
		      c->at, c->bits, c->longer, c->sums, together.len, alone.len);
}

static void compare_all(const char *them)
{
	const size_t headers = strchr(them, ':') ? 60 : 40;

	for (size_t at = 0; at < headers + 8; at++)
		for (unsigned int bit = 0; bit < 8; bit++)
			for (int sums = 0; sums < 2; sums++)
				compare(them, &(struct change){at, (uint8_t)(1u << bit), 0, sums});
	for (int longer = -(int)headers - BYTES; longer <= PADDING; longer++)
		compare(them, &(struct change){0, 0, longer, false});
}

START_TEST(the_short_way_takes_what_the_long_one_does)
{
	compare_all(PEER4);
}
END_TEST

START_TEST(the_short_way_takes_what_the_long_one_does_over_ipv6)
{
	compare_all(PEER6);
}
END_TEST

/* A batch of SEGMENTS, of which @which has @ack for its ACK number */
static void batch_with_ack(struct peer *p, unsigned int which, uint32_t ack)
{
	h.in_batch = true;
	for (unsigned int i = 0; i < SEGMENTS; i++) {
		uint8_t packet[WIRE_MTU];
		size_t len = make(packet, p, i);

		if (i == which) {
			put_be32(packet + 20 + 8, ack);
			compute_sums(packet, len);
		}
		wire_input(packet, len);
	}
	stack_input_done(h.stack);
}

/* RFC 9293 3.10.7.4 drops it, and nothing with it. */
START_TEST(who_acknowledges_what_was_never_sent_is_dropped_alone)
{
	struct seen s = {0};
	struct peer p;

	peer_accept(&p, PEER4, 80, &s);
	batch_with_ack(&p, SEGMENTS - 1, p.ack + 100000);
	ck_assert_uint_eq(s.len, (SEGMENTS - 1) * BYTES);
	free(s.data);
}
END_TEST

/* RFC 5961 5.2 drops it, and what follows does not take it along. */
START_TEST(who_acknowledges_what_is_older_than_any_window_is_dropped)
{
	struct seen s = {0};
	struct peer p;

	peer_accept(&p, PEER4, 80, &s);
	batch_with_ack(&p, SEGMENTS, 0); /* from now on segments are put together */
	p.seq += SEGMENTS * BYTES;
	batch_with_ack(&p, 0, p.ack - (1u << 30));
	ck_assert_uint_eq(s.len, SEGMENTS * BYTES);
	free(s.data);
}
END_TEST

START_TEST(a_batch_becomes_one_piece_and_one_ack)
{
	static uint8_t packet[1500], segment[20 + 1000];
	struct seen s = {.keep = true};
	struct iovec iov[16];
	struct peer p;
	struct flow *f = peer_accept(&p, PEER4, 80, &s);
	bool fin;
	int i, n, batch;

	for (batch = 0; batch < 4; batch++) { /* blocks learn how large batches are */
		for (i = 0; i < 20; i++) {
			size_t len;

			memset(segment, 0, 20);
			put_be16(segment, p.them.port);
			put_be16(segment + 2, p.us.port);
			put_be32(segment + 4, p.seq);
			put_be32(segment + 8, p.ack);
			segment[12] = 0x50;
			segment[13] = ACK;
			put_be16(segment + 14, p.window);
			memset(segment + 20, batch * 20 + i, 1000);
			len = wire_ip(packet, &p.them, &p.us, IPPROTO_TCP, segment, sizeof(segment),
				      16);
			stack_input(h.stack, packet, len);
			p.seq += 1000;
		}
		stack_input_done(h.stack);
		h_settle();
	}
	ck_assert_uint_eq(h.n_sent - h.n_taken, 4);
	while (h.n_taken < h.n_sent)
		ck_assert_uint_le(wire_segment().ack, p.seq);
	n = flow_recv_iov(f, iov, 16, &fin);
	ck_assert_int_lt(n, 13);
	ck_assert_uint_ge(iov[n - 1].iov_len, 20000);
	seen_read(f, &s);
	ck_assert_uint_eq(s.len, 80000);
	for (i = 0; i < 80; i++)
		ck_assert_int_eq(s.data[i * 1000], i);
	free(s.data);
}
END_TEST

static void tests(TCase *tc)
{
	tcase_add_test(tc, a_batch_becomes_one_piece_and_one_ack);
	tcase_add_test(tc, the_short_way_takes_what_the_long_one_does);
	tcase_add_test(tc, the_short_way_takes_what_the_long_one_does_over_ipv6);
	tcase_add_test(tc, who_acknowledges_what_was_never_sent_is_dropped_alone);
	tcase_add_test(tc, who_acknowledges_what_is_older_than_any_window_is_dropped);
}

int main(void)
{
	return h_run("stack gro", tests);
}
