/* SPDX-License-Identifier: MIT */
/* Paths that drop large packets and do not say so (stack/blackhole.c) */
#include "tests/unit/stack_datagrams.h"

#include "stack/limits.h"

enum { STEP_MS = 10, TRAIN_BYTES = 40000, COPIED_BYTES = 9000, FULL_V4 = WIRE_MTU - 40 };

static const char *const peers[] = {PEER4, PEER6};
static uint8_t data[TRAIN_BYTES];

/**
 * struct road - what becomes of packets to a peer, 10 ms away
 * @takes:	Larger ones are lost; @down_ns: all are until then; @late_ns: all wait until then
 * @largest:	Of the packets with data, arrived or not, since somebody set it to 0
 * @head, @least_head: The last packet that began where the peer waits, and the smallest of them
 */
struct road {
	size_t takes, largest, head, least_head;
	uint64_t down_ns, late_ns;
	bool have[TRAIN_BYTES + 1], fin;
	uint32_t base;
};

static void arrives(struct road *r, struct peer *p, const struct segment *g)
{
	uint32_t at = g->seq - r->base;

	if (g->len == 0 && !(g->flags & FIN))
		return;
	ck_assert_uint_le(at + g->len, TRAIN_BYTES);
	ck_assert_mem_eq(g->data, data + at, g->len);
	memset(r->have + at, 1, g->len);
	while (r->have[p->ack - r->base])
		p->ack++;
	if (g->flags & FIN && p->ack == g->seq + g->len && !r->fin) {
		r->fin = true;
		p->ack++;
	}
	peer_send(p, ACK, NULL, 0);
}

/* Time passes, and the peer answers. */
static void drive(struct road *r, struct peer *p, unsigned int ms)
{
	unsigned int passed;

	for (passed = 0; passed < ms; passed += STEP_MS) {
		while (h.n_taken < h.n_sent && h.now >= r->late_ns) {
			const struct wire_packet *w = wire_next();
			struct segment g = parse_segment(w);

			if (g.len > 0)
				r->largest = w->len > r->largest ? w->len : r->largest;
			if (g.len > 0 && g.seq == p->ack) {
				r->head = w->len;
				if (r->least_head == 0 || w->len < r->least_head)
					r->least_head = w->len;
			}
			if (w->len <= r->takes && h.now >= r->down_ns)
				arrives(r, p, &g);
		}
		h_pass_ms(STEP_MS);
	}
}

static void open_road_with(struct road *r, struct peer *p, struct seen *s, const char *to,
			   uint16_t port, size_t takes, const struct flow_options *options)
{
	size_t i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	memset(r, 0, sizeof(*r));
	memset(s, 0, sizeof(*s));
	*p = (struct peer){
		.them = addr(to, port), .window = 0xffff, .seq = 5000, .our_options = options};
	peer_accept_with(p, s, usual_options, sizeof(usual_options));
	r->takes = takes;
	r->base = p->ack;
}

static void open_road(struct road *r, struct peer *p, struct seen *s, const char *to, uint16_t port,
		      size_t takes)
{
	open_road_with(r, p, s, to, port, takes, NULL);
}

static void check_found(const char *to, size_t bytes, size_t takes, uint16_t mtu,
			unsigned int within_ms)
{
	static struct road r;
	struct stack_addr at = addr(to, 0);
	struct seen s;
	struct peer p;

	open_road(&r, &p, &s, to, 80, takes);
	ck_assert_uint_eq(flow_write(s.flow, data, bytes), bytes);
	flow_shutdown(s.flow);
	drive(&r, &p, within_ms);
	ck_assert_uint_eq(p.ack - r.base, bytes + 1);
	ck_assert(r.fin);
	ck_assert_uint_eq(stack_path_mtu(h.stack, &at), mtu);
	open_road(&r, &p, &s, to, 81, takes);
	flow_write(s.flow, data, bytes);
	drive(&r, &p, 200);
	ck_assert_uint_gt(p.ack, r.base);
	ck_assert_uint_le(r.largest, mtu);
}

START_TEST(a_path_that_drops_large_packets_is_found_out)
{
	check_found(peers[_i], TRAIN_BYTES, 1300, 1280, 5000);
}
END_TEST

START_TEST(what_was_copied_into_segments_gets_through)
{
	size_t first = 600;
	static struct road r;
	struct seen s;
	struct peer p;

	open_road(&r, &p, &s, peers[_i], 80, 1300);
	ck_assert_uint_eq(flow_write(s.flow, data, first), first);
	drive(&r, &p, 100);
	ck_assert_uint_eq(p.ack - r.base, first);
	while (first < COPIED_BYTES) /* writes so small that they do not stay where they are */
		first += flow_write(s.flow, data + first, 300);
	drive(&r, &p, 4000);
	ck_assert_uint_eq(p.ack - r.base, first);
}
END_TEST

START_TEST(a_path_that_takes_still_less_is_found_out)
{
	check_found(PEER4, TRAIN_BYTES, 1000, PATH_MTU4_MIN_BYTES, 12000);
}
END_TEST

START_TEST(ipv6_is_not_tried_with_less_than_its_links_take)
{
	static struct road r;
	struct seen s;
	struct peer p;

	open_road(&r, &p, &s, PEER6, 80, 1200);
	flow_write(s.flow, data, sizeof(data));
	drive(&r, &p, 20000);
	ck_assert_uint_eq(p.ack, r.base);
	ck_assert_uint_eq(r.least_head, IP6_MTU_MIN_BYTES);
}
END_TEST

START_TEST(one_packet_with_a_fin_gets_through)
{
	size_t bytes;

	for (bytes = 1239; bytes <= FULL_V4; bytes++) {
		static struct road r;
		struct seen s;
		struct peer p;

		open_road(&r, &p, &s, PEER4, (uint16_t)bytes, 1280);
		ck_assert_uint_eq(flow_write(s.flow, data, bytes), bytes);
		flow_shutdown(s.flow);
		drive(&r, &p, 2000);
		ck_assert_uint_eq(p.ack - r.base, bytes + 1);
		h_recycle();
	}
}
END_TEST

/** ends_with_large_ones() - the rest of the train behind its first @sent bytes travels in packets as
 * large as ever; ends @f */
static void ends_with_large_ones(struct road *r, struct peer *p, struct flow *f, size_t sent)
{
	struct stack_addr at = addr(PEER4, 0);

	r->largest = 0;
	flow_write(f, data + sent, TRAIN_BYTES - sent);
	drive(r, p, 1000);
	ck_assert_uint_eq(p->ack - r->base, TRAIN_BYTES);
	ck_assert_uint_eq(r->largest, WIRE_MTU);
	ck_assert_uint_eq(stack_path_mtu(h.stack, &at), WIRE_MTU);
	flow_abort(f);
	wire_forget();
	h_recycle();
}

/* However long it is, and whether or not large packets have got through before */
START_TEST(after_an_outage_packets_are_as_large_as_before)
{
	size_t before = _i ? 5000 : 0, sent = before, half = TRAIN_BYTES / 2;
	unsigned int ms;

	for (ms = 300; ms < 20000; ms += 390) {
		static struct road r;
		struct seen s;
		struct peer p;

		open_road(&r, &p, &s, PEER4, (uint16_t)ms, WIRE_MTU);
		if (before)
			ck_assert_uint_eq(flow_write(s.flow, data, before), before);
		drive(&r, &p, 500);
		ck_assert_uint_eq(p.ack - r.base, before);
		r.down_ns = h.now + ms * UINT64_C(1000000);
		sent = before + flow_write(s.flow, data + before, half - before);
		drive(&r, &p, 3 * ms + 2000);
		ck_assert_uint_eq(p.ack - r.base, sent);
		ends_with_large_ones(&r, &p, s.flow, sent);
	}
}
END_TEST

/* However long the second one is, whether the first was tried with the smallest packets, and whether
 * what is sent in the second is lost or late */
START_TEST(two_outages_leave_packets_as_large_as_before)
{
	unsigned int ms, half = TRAIN_BYTES / 2;

	for (ms = 300; ms < 20000; ms += 390) {
		static struct road r;
		struct seen s;
		struct peer p;
		size_t sent;

		open_road(&r, &p, &s, PEER4, (uint16_t)ms, WIRE_MTU);
		r.down_ns = h.now + (_i & 1 ? 3 : 10) * UINT64_C(1000000000);
		sent = flow_write(s.flow, data, half);
		drive(&r, &p, 30000);
		ck_assert_uint_eq(p.ack - r.base, sent);
		ck_assert_uint_lt(r.head, WIRE_MTU); /* no large one has arrived */
		*(_i & 2 ? &r.late_ns : &r.down_ns) = h.now + ms * UINT64_C(1000000);
		sent += flow_write(s.flow, data + sent, TRAIN_BYTES - 4000 - sent);
		drive(&r, &p, 3 * ms + 2000);
		ck_assert_uint_eq(p.ack - r.base, sent);
		ends_with_large_ones(&r, &p, s.flow, sent);
	}
}
END_TEST

START_TEST(what_comes_late_leaves_packets_as_large_as_before)
{
	struct stack_addr at = addr(PEER4, 0);
	unsigned int ms;

	for (ms = 300; ms < 4000; ms += 90) {
		static struct road r;
		struct seen s;
		struct peer p;
		size_t sent;

		open_road(&r, &p, &s, PEER4, (uint16_t)ms, WIRE_MTU);
		r.late_ns = h.now + ms * UINT64_C(1000000);
		sent = flow_write(s.flow, data, TRAIN_BYTES / 2);
		drive(&r, &p, 2 * ms + 2000);
		ck_assert_uint_eq(p.ack - r.base, sent);
		r.largest = 0;
		flow_write(s.flow, data + sent, TRAIN_BYTES - sent);
		flow_shutdown(s.flow);
		drive(&r, &p, 1000);
		ck_assert_uint_eq(p.ack - r.base, TRAIN_BYTES + 1);
		ck_assert_uint_eq(r.largest, WIRE_MTU);
		ck_assert_uint_eq(stack_path_mtu(h.stack, &at), WIRE_MTU);
		flow_abort(s.flow);
		wire_forget();
		h_recycle();
	}
}
END_TEST

/* What arrives behind the large ones after the trial tells of a loss before the timeout does. */
START_TEST(a_black_hole_leaves_the_congestion_window_as_it_was)
{
	const struct flow_options options = {.congestion = _i ? FLOW_CUBIC : FLOW_BBR,
					     .nodelay = true};
	static struct road r;
	struct flow_info info;
	struct seen s;
	struct peer p;
	size_t sent = 20000;
	int i;

	open_road_with(&r, &p, &s, PEER4, 80, 1300, &options);
	ck_assert_uint_eq(flow_write(s.flow, data, sent), sent);
	drive(&r, &p, 2000);
	ck_assert_uint_eq(p.ack - r.base, sent);
	sent += flow_write(s.flow, data + sent, FULL_V4);
	for (i = 0; i < 4; i++) {
		drive(&r, &p, STEP_MS);
		sent += flow_write(s.flow, data + sent, 100);
	}
	drive(&r, &p, 3000);
	ck_assert_uint_eq(p.ack - r.base, sent);
	flow_info(s.flow, &info);
	ck_assert_uint_eq(info.mtu, 1280);
	ck_assert_uint_lt(info.cwnd, 20 * FULL_V4);
}
END_TEST

START_TEST(what_icmp_says_ends_the_trial)
{
	static struct road r;
	struct stack_addr at = addr(peers[_i], 0);
	struct wire_packet first;
	struct seen s;
	struct peer p;

	open_road(&r, &p, &s, peers[_i], 80, 0);
	flow_write(s.flow, data, sizeof(data));
	first = h.sent[h.n_taken];
	while (r.head != IP6_MTU_MIN_BYTES) {
		drive(&r, &p, STEP_MS);
		ck_assert_uint_lt(h.now, UINT64_C(10000000000));
	}
	r.largest = 0;
	r.takes = 1400;
	icmp_error(&first, _i ? 2 : 3, _i ? 0 : 4, 1400);
	drive(&r, &p, 2000);
	ck_assert_uint_eq(p.ack - r.base, sizeof(data));
	ck_assert_uint_eq(r.largest, 1400);
	ck_assert_uint_eq(stack_path_mtu(h.stack, &at), 1400);
}
END_TEST

START_TEST(an_open_connection_follows_what_another_one_has_learnt)
{
	static struct road r, other;
	struct seen s, t;
	struct peer p, q;

	open_road(&other, &q, &t, peers[_i], 81, WIRE_MTU);
	open_road(&r, &p, &s, peers[_i], 80, 1300);
	flow_write(s.flow, data, sizeof(data));
	icmp_error(wire_next(), _i ? 2 : 3, _i ? 0 : 4, 1300);
	drive(&r, &p, 1000);
	ck_assert_uint_eq(p.ack - r.base, sizeof(data));
	other.takes = 1300;
	flow_write(t.flow, data, sizeof(data));
	drive(&other, &q, 1500);
	ck_assert_uint_eq(q.ack - other.base, sizeof(data));
	ck_assert_uint_gt(other.largest, 1300); /* it had not been told */
	other.largest = 0;
	h_pass_ms(5000);
	ck_assert_uint_le(other.largest, 1300);
}
END_TEST

static void tests(TCase *tc)
{
	tcase_add_loop_test(tc, a_path_that_drops_large_packets_is_found_out, 0, 2);
	tcase_add_loop_test(tc, what_was_copied_into_segments_gets_through, 0, 2);
	tcase_add_test(tc, a_path_that_takes_still_less_is_found_out);
	tcase_add_test(tc, ipv6_is_not_tried_with_less_than_its_links_take);
	tcase_add_test(tc, one_packet_with_a_fin_gets_through);
	tcase_add_loop_test(tc, after_an_outage_packets_are_as_large_as_before, 0, 2);
	tcase_add_loop_test(tc, two_outages_leave_packets_as_large_as_before, 0, 4);
	tcase_add_test(tc, what_comes_late_leaves_packets_as_large_as_before);
	tcase_add_loop_test(tc, a_black_hole_leaves_the_congestion_window_as_it_was, 0, 2);
	tcase_add_loop_test(tc, what_icmp_says_ends_the_trial, 0, 2);
	tcase_add_loop_test(tc, an_open_connection_follows_what_another_one_has_learnt, 0, 2);
}

int main(void)
{
	return h_run("stack blackhole", tests);
}
