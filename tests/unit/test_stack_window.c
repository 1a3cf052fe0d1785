/* SPDX-License-Identifier: MIT */
/* test_stack_window.c - how much a peer may send, while all is well and while a hole is open */
#include <malloc.h>

#include "tests/unit/stack_harness.h"

enum { PIECE = 1000, MIB = 1 << 20, SCALE = 9, FLOWS = 80 };

static uint8_t piece[PIECE];

/* The last segment that the stack has sent */
static struct segment last(void)
{
	struct segment g = {0};

	while (h.n_taken < h.n_sent)
		g = wire_segment();
	h_recycle();
	return g;
}

/* Sends behind a hole of one piece as far as the window allows. Returns where it ended. */
static uint32_t send_behind_a_hole(const struct peer *p, uint32_t window)
{
	uint32_t offset;

	for (offset = PIECE; offset + PIECE <= window; offset += PIECE) {
		struct segment g;

		peer_raw(p, ACK, p->seq + offset, p->ack, NULL, 0, piece, PIECE);
		g = last();
		if (g.flags & ACK)
			window = g.window << SCALE;
	}
	return offset;
}

START_TEST(the_window_grows_behind_a_hole)
{
	struct seen s = {0};
	struct peer p;
	uint32_t end;

	peer_accept(&p, PEER4, 80, &s);
	end = send_behind_a_hole(&p, 512 << 10);
	ck_assert_uint_ge(end, 18431u * PIECE); /* pbufs: limits.h */
	ck_assert_uint_eq(s.len, 0);
	peer_send(&p, ACK, piece, PIECE);
	h_pass_ms(100);
	ck_assert_uint_eq(s.len, 18433u * PIECE);
	free(s.data);
}
END_TEST

START_TEST(a_peer_without_scaling_gets_no_more_than_it_can_be_told)
{
	static const uint8_t options[] = {2, 4, 5, 0x64, 1, 1, 4, 2};
	struct peer p = {.them = addr(PEER4, 80), .window = 0xffff, .seq = 1};
	struct seen s = {0};
	struct segment g;

	peer_accept_with(&p, &s, options, sizeof(options));
	for (int i = 0; i < 1000; i++) {
		peer_send(&p, ACK, piece, PIECE);
		g = last();
		if (g.flags & ACK)
			ck_assert_uint_gt(g.window, 60000);
	}
	ck_assert_uint_eq(s.len, 1000u * PIECE);
	free(s.data);
}
END_TEST

/* What waits behind holes counts for the budget as what nobody reads does. */
START_TEST(what_waits_behind_holes_is_bounded_for_all_together)
{
	static struct seen s[FLOWS];
	static struct peer p[FLOWS];
	size_t kept = 0;

	for (uint16_t i = 0; i < FLOWS; i++) {
		peer_accept(&p[i], PEER4, (uint16_t)(80 + i), &s[i]);
		last();
	}
	/* the windows are what the handshakes gave: 512 KiB each, 40 MiB together */
	for (int i = 0; i < FLOWS; i++)
		for (uint32_t offset = PIECE; offset + PIECE <= 512 << 10; offset += PIECE) {
			peer_raw(&p[i], ACK, p[i].seq + offset, p[i].ack, NULL, 0, piece, PIECE);
			last();
		}
	for (int i = 0; i < FLOWS; i++) { /* what fills the first hole is always taken */
		peer_send(&p[i], ACK, piece, PIECE);
		last();
		ck_assert_uint_ge(s[i].len, PIECE);
		kept += s[i].len;
		free(s[i].data);
		s[i].data = NULL;
		s[i].keep = true;
	}
	ck_assert_uint_le(kept, 33u * MIB);
	ck_assert_uint_ge(kept, 31u * MIB);
	/* the budget is free again */
	memset(&s[0], 0, sizeof(s[0]));
	peer_accept(&p[0], PEER6, 80, &s[0]);
	ck_assert_uint_ge(send_behind_a_hole(&p[0], 512 << 10), 8u * MIB);
	peer_send(&p[0], ACK, piece, PIECE);
	ck_assert_uint_ge(s[0].len, 8u * MIB);
	free(s[0].data);
}
END_TEST

START_TEST(what_is_kept_for_the_next_segments_is_given_back)
{
	struct seen s = {0};
	struct peer p;
	size_t before;

	peer_accept(&p, PEER4, 80, &s);
	send_behind_a_hole(&p, 512 << 10);
	peer_send(&p, ACK, piece, PIECE);
	h_pass_ms(100);
	ck_assert_uint_gt(s.len, MIB);
	before = mallinfo2().uordblks;
	stack_trim(h.stack);
	if (before > 0) /* else the allocator is not libc's */
		ck_assert_uint_le(mallinfo2().uordblks + 100 * (size_t)PIECE, before);
	free(s.data);
}
END_TEST

/* One input batch of @n segments in which byte k of the connection is k % 251 */
static void send_batch(struct peer *p, uint32_t *at, int n)
{
	uint8_t segment[20 + PIECE] = {0}, packet[PIECE + 100];

	put_be16(segment, p->them.port);
	put_be16(segment + 2, p->us.port);
	put_be32(segment + 8, p->ack);
	segment[12] = 0x50;
	segment[13] = ACK;
	put_be16(segment + 14, p->window);
	for (int i = 0; i < n; i++) {
		put_be32(segment + 4, p->seq);
		for (int k = 0; k < PIECE; k++)
			segment[20 + k] = (uint8_t)((*at)++ % 251);
		stack_input(h.stack, packet,
			    wire_ip(packet, &p->them, &p->us, IPPROTO_TCP, segment, sizeof(segment),
				    16));
		p->seq += PIECE;
	}
	stack_input_done(h.stack);
	last();
}

/* Reads all that waits. Return: how many bytes */
static size_t read_checked(struct flow *f, uint32_t from)
{
	struct iovec iov;
	size_t len = 0;
	bool fin;

	while (flow_recv_iov(f, &iov, 1, &fin) == 1) {
		const uint8_t *data = iov.iov_base;

		for (size_t k = 0; k < iov.iov_len; k += 7)
			ck_assert_uint_eq(data[k], (from + len + k) % 251);
		len += iov.iov_len;
		flow_recv_consume(f, iov.iov_len);
	}
	return len;
}

/* Batches of every size, read now or later: blocks that are cut to size must leave no holes. */
START_TEST(the_heap_does_not_grow_with_batches_of_odd_sizes)
{
	enum { READERS = 8, ROUNDS = 3000, BATCH_MAX = 40, UNREAD_MAX = 400 * PIECE };
	struct seen s[READERS] = {0};
	struct peer p[READERS];
	uint32_t at[READERS] = {0}, read[READERS] = {0};
	size_t before, unread = 0, most = 0;

	for (uint16_t i = 0; i < READERS; i++) {
		peer_accept(&p[i], PEER4, (uint16_t)(80 + i), &s[i]);
		s[i].keep = true;
	}
	last();
	mallopt(M_TRIM_THRESHOLD, 64 * MIB); /* as the tunnel process has it */
	srandom(1);
	before = mallinfo2().arena;
	for (int round = 0; round < ROUNDS; round++) {
		long i = random() % READERS;
		uint32_t began = at[i];

		send_batch(&p[i], &at[i], random() % 3 ? (int)(random() % BATCH_MAX) + 1 : 1);
		unread += at[i] - began;
		most = unread > most ? unread : most;
		if (at[i] - read[i] < UNREAD_MAX && random() % 8)
			continue;
		unread -= at[i] - read[i];
		read[i] += (uint32_t)read_checked(s[i].flow, read[i]);
		ck_assert_uint_eq(read[i], at[i]);
	}
	ck_assert_uint_le(mallinfo2().arena - before, 2 * most);
}
END_TEST

static void tests(TCase *tc)
{
	tcase_set_timeout(tc, 180);
	tcase_add_test(tc, the_heap_does_not_grow_with_batches_of_odd_sizes);
	tcase_add_test(tc, the_window_grows_behind_a_hole);
	tcase_add_test(tc, a_peer_without_scaling_gets_no_more_than_it_can_be_told);
	tcase_add_test(tc, what_is_kept_for_the_next_segments_is_given_back);
	tcase_add_test(tc, what_waits_behind_holes_is_bounded_for_all_together);
}

int main(void)
{
	return h_run("stack window", tests);
}
