/* SPDX-License-Identifier: MIT */
/* Paths that take less than the tunnel: who says so, whom it concerns, and for how long */
#include "tests/unit/stack_datagrams.h"

#include "stack/limits.h"

enum { PATH_MTU = 1300, FULL_BYTES = WIRE_MTU - 48 };

static uint8_t text[4000];

static const char *const peers[] = {PEER4, PEER6};

static size_t ip_len(const struct wire_packet *p)
{
	return p->data[0] >> 4 == 4 ? 20 : 40;
}

/* "Too large" from a router, about @p. */
static void too_big(const struct wire_packet *p, uint32_t mtu)
{
	const bool v6 = p->data[0] >> 4 == 6;

	icmp_error(p, v6 ? 2 : 3, v6 ? 0 : 4, mtu);
}

static int send_bytes(struct flow_udp *u, const struct stack_addr *to, size_t len)
{
	struct iovec iov = {text, len};

	return flow_udp_send(u, to, &iov, 1, 0, 0);
}

/* The largest packet that left since the last look, and how many did. */
static size_t largest(unsigned int *n)
{
	const struct wire_packet *p;
	size_t most = 0;

	*n = 0;
	for (; (p = wire_next()); ++*n)
		most = p->len > most ? p->len : most;
	return most;
}

/* A datagram of a full packet to @to leaves in fragments that fit @mtu, or whole if that is the
 * tunnel's. */
static void check_path(struct flow_udp *u, const struct stack_addr *to, size_t mtu)
{
	const size_t whole = FULL_BYTES + (stack_addr_is_v4(to) ? 28 : 48);
	unsigned int n;
	size_t most;

	wire_forget();
	ck_assert_int_eq(send_bytes(u, to, FULL_BYTES), 0);
	most = largest(&n);
	ck_assert_uint_eq(n, mtu < WIRE_MTU ? 2 : 1);
	if (mtu < WIRE_MTU) {
		ck_assert_uint_le(most, mtu);
		ck_assert_uint_gt(most, mtu - 8);
	} else {
		ck_assert_uint_eq(most, whole);
	}
	ck_assert_uint_eq(stack_path_mtu(h.stack, to), mtu);
}

/* A socket connected to @to, of which a router has said that @mtu is the path's. */
static struct flow_udp *told(const struct stack_addr *to, uint32_t mtu, struct datagrams *d)
{
	struct flow_udp *u = udp_open("::", 0, false, d);

	flow_udp_connect(u, to);
	wire_forget();
	ck_assert_int_eq(send_bytes(u, to, FULL_BYTES), 0);
	too_big(wire_next(), mtu);
	return u;
}

START_TEST(a_path_is_known_to_every_socket_and_of_one_destination)
{
	static struct datagrams d, other;

	for (size_t i = 0; i < 2; i++) {
		struct stack_addr to = addr(peers[i], 9), elsewhere = addr(peers[1 - i], 9);
		struct flow_udp *u = told(&to, PATH_MTU, &d), *v = udp_open("::", 0, false, &other);

		ck_assert_int_eq(d.errors, (int)i + 1);
		check_path(u, &to, PATH_MTU);
		to.port = 10;
		check_path(v, &to, PATH_MTU);
		if (i == 0)
			check_path(v, &elsewhere, WIRE_MTU);
		to.ip[15]++;
		check_path(v, &to, WIRE_MTU);
	}
}
END_TEST

START_TEST(fragments_for_the_path_are_fragments_again_for_a_smaller_one)
{
	static struct datagrams d;
	struct stack_addr to = addr(PEER6, 9);
	struct flow_udp *u = told(&to, 1400, &d);

	check_path(u, &to, 1400);
	wire_forget();
	ck_assert_int_eq(send_bytes(u, &to, FULL_BYTES), 0);
	too_big(wire_next(), PATH_MTU); /* quotes a fragment */
	check_path(u, &to, PATH_MTU);
}
END_TEST

START_TEST(what_may_not_be_split_is_refused)
{
	static struct datagrams d;

	for (size_t i = 0; i < 2; i++) {
		struct stack_addr to = addr(peers[i], 9);
		struct flow_udp *u = told(&to, PATH_MTU, &d);
		size_t fits = PATH_MTU - (i ? 48 : 28);

		flow_udp_fragments(u, FLOW_DF | FLOW_WHOLE, FLOW_WHOLE);
		wire_forget();
		ck_assert_int_eq(send_bytes(u, &to, fits + 1), -EMSGSIZE);
		ck_assert_ptr_null(wire_next());
		ck_assert_int_eq(send_bytes(u, &to, fits), 0);
		ck_assert_uint_eq(wire_next()->len, PATH_MTU);
		ck_assert_ptr_null(wire_next());
	}
}
END_TEST

START_TEST(who_probes_goes_by_the_interface)
{
	static struct datagrams d;

	for (size_t i = 0; i < 2; i++) {
		const uint8_t probe = FLOW_DF | FLOW_WHOLE | FLOW_INTERFACE_MTU;
		struct stack_addr to = addr(peers[i], 9);
		struct flow_udp *u = told(&to, PATH_MTU, &d);
		size_t fits = WIRE_MTU - (i ? 48 : 28);

		flow_udp_fragments(u, probe, probe);
		wire_forget();
		ck_assert_int_eq(send_bytes(u, &to, fits), 0);
		ck_assert_uint_eq(wire_next()->len, WIRE_MTU);
		ck_assert_int_eq(send_bytes(u, &to, fits + 1), -EMSGSIZE);
	}
}
END_TEST

START_TEST(a_path_is_forgotten_after_ten_minutes)
{
	static struct datagrams d;
	struct stack_addr to = addr(PEER6, 9);
	struct flow_udp *u = told(&to, PATH_MTU, &d);

	h.now += UINT64_C(599) * 1000000000;
	check_path(u, &to, PATH_MTU);
	h.now += UINT64_C(2) * 1000000000;
	check_path(u, &to, WIRE_MTU);
	told(&to, PATH_MTU, &d);
	check_path(u, &to, PATH_MTU);
}
END_TEST

START_TEST(each_path_has_its_own_ten_minutes)
{
	static struct datagrams d;
	struct stack_addr first = addr(PEER6, 9), second = addr(PEER4, 9);

	told(&first, PATH_MTU, &d);
	h.now += UINT64_C(300) * 1000000000;
	told(&second, PATH_MTU, &d);
	h.now += UINT64_C(301) * 1000000000;
	ck_assert_uint_eq(stack_path_mtu(h.stack, &first), WIRE_MTU);
	ck_assert_uint_eq(stack_path_mtu(h.stack, &second), PATH_MTU);
}
END_TEST

START_TEST(nothing_makes_a_path_larger)
{
	static struct datagrams d;
	struct stack_addr to = addr(PEER6, 9);
	struct flow_udp *u = told(&to, PATH_MTU, &d);

	flow_udp_fragments(u, 0, FLOW_INTERFACE_MTU);
	wire_forget();
	ck_assert_int_eq(send_bytes(u, &to, FULL_BYTES), 0);
	too_big(wire_next(), PATH_MTU + 50);
	flow_udp_fragments(u, 0, 0);
	check_path(u, &to, PATH_MTU);
	told(&to, PATH_MTU - 10, &d);
	check_path(u, &to, PATH_MTU - 10);
}
END_TEST

START_TEST(nothing_makes_a_path_smaller_than_hosts_take)
{
	static struct datagrams d;
	struct stack_addr to4 = addr(PEER4, 9), to6 = addr(PEER6, 9);

	told(&to4, 68, &d);
	ck_assert_uint_eq(stack_path_mtu(h.stack, &to4), 552);
	told(&to6, 1279, &d);
	ck_assert_uint_eq(stack_path_mtu(h.stack, &to6), WIRE_MTU);
	told(&to6, 1280, &d);
	ck_assert_uint_eq(stack_path_mtu(h.stack, &to6), 1280);
}
END_TEST

START_TEST(a_socket_without_a_peer_is_believed_about_what_it_has_sent)
{
	static struct datagrams d;
	static uint8_t forged[1500];

	for (size_t i = 0; i < 2; i++) {
		struct stack_addr to = addr(peers[i], 9);
		struct flow_udp *u = udp_open("::", 5000, false, &d);
		struct wire_packet p = {
			make_udp(forged, i ? US6 : US4, 5000, peers[i], 9, text, FULL_BYTES),
			forged};

		too_big(&p, PATH_MTU);
		ck_assert_uint_eq(stack_path_mtu(h.stack, &to), WIRE_MTU);
		ck_assert_int_eq(send_bytes(u, &to, 500), 0); /* that was not too large */
		too_big(&p, PATH_MTU);
		ck_assert_uint_eq(stack_path_mtu(h.stack, &to), WIRE_MTU);
		wire_forget();
		ck_assert_int_eq(send_bytes(u, &to, FULL_BYTES), 0);
		too_big(wire_next(), PATH_MTU);
		ck_assert_uint_eq(stack_path_mtu(h.stack, &to), PATH_MTU);
		flow_udp_free(u);
	}
}
END_TEST

START_TEST(a_connected_socket_is_believed_about_its_peer)
{
	static struct datagrams d;
	static uint8_t forged[1500];
	struct stack_addr to = addr(PEER4, 9), other = addr("10.8.8.8", 9);
	struct flow_udp *u = udp_open(US4, 5000, false, &d);
	struct wire_packet p = {make_udp(forged, US4, 5000, "10.8.8.8", 9, text, FULL_BYTES),
				forged};

	flow_udp_connect(u, &to);
	too_big(&p, PATH_MTU);
	ck_assert_uint_eq(stack_path_mtu(h.stack, &other), WIRE_MTU);
	p.len = make_udp(forged, US4, 5001, PEER4, 9, text, FULL_BYTES);
	too_big(&p, PATH_MTU);
	ck_assert_uint_eq(stack_path_mtu(h.stack, &to), WIRE_MTU);
}
END_TEST

START_TEST(who_does_not_want_to_hear_of_paths_teaches_none)
{
	static struct datagrams d;
	struct stack_addr to = addr(PEER6, 9);
	struct flow_udp *u = udp_open("::", 0, false, &d);

	flow_udp_connect(u, &to);
	flow_udp_fragments(u, 0, FLOW_INTERFACE_MTU | FLOW_MTU_UNHEARD);
	ck_assert_int_eq(send_bytes(u, &to, FULL_BYTES), 0);
	too_big(wire_next(), PATH_MTU);
	ck_assert_uint_eq(stack_path_mtu(h.stack, &to), WIRE_MTU);
}
END_TEST

START_TEST(echo_requests_teach_and_follow_a_path)
{
	static const struct flow_ping_ops nobody;

	for (size_t i = 0; i < 2; i++) {
		static uint8_t echo[WIRE_MTU - 40];
		struct stack_addr to = addr(peers[i], 0);
		struct flow_ping *g = flow_ping_new(h.stack, i == 1, 0, &nobody, NULL);
		unsigned int n;

		echo[0] = i ? 128 : 8;
		ck_assert_int_eq(flow_ping_send(g, &to, echo, sizeof(echo), 0, 0), 0);
		too_big(wire_next(), PATH_MTU);
		ck_assert_uint_eq(stack_path_mtu(h.stack, &to), PATH_MTU);
		ck_assert_int_eq(flow_ping_send(g, &to, echo, sizeof(echo), 0, 0), 0);
		ck_assert_uint_le(largest(&n), PATH_MTU);
		ck_assert_uint_eq(n, 2);
		flow_ping_fragments(g, FLOW_WHOLE);
		ck_assert_int_eq(flow_ping_send(g, &to, echo, sizeof(echo), 0, 0), -EMSGSIZE);
		flow_ping_free(g);
	}
}
END_TEST

/* ---- connections ---- */

/* The peer connects to a listener on @us; its handshake is complete. */
static void connect_to_us(struct peer *p, const char *us, uint16_t port, const char *them,
			  struct seen *s)
{
	struct stack_addr local = addr(us, port);
	struct segment g;
	int err;

	ck_assert_ptr_nonnull(flow_listen(h.stack, &local, false, 8, &seen_listener_ops, s, &err));
	*p = (struct peer){.us = local, .them = addr(them, 777), .window = 0xffff, .seq = 9000};
	peer_raw(p, SYN, p->seq, 0, usual_options, sizeof(usual_options), NULL, 0);
	g = wire_segment();
	ck_assert_uint_eq(g.mss, PATH_MTU - 20 - (stack_addr_is_v4(&local) ? 20 : 40));
	p->seq++;
	p->ack = g.seq + 1;
	peer_send(p, ACK, NULL, 0);
	ck_assert_ptr_nonnull(s->flow);
}

START_TEST(new_connections_begin_with_what_is_known)
{
	static struct datagrams d;
	static uint8_t data[4000];

	for (size_t i = 0; i < 2; i++) {
		const unsigned int mss = PATH_MTU - 20 - (i ? 40 : 20);
		struct stack_addr to = addr(peers[i], 9);
		struct seen s = {0}, in = {0};
		struct segment g;
		struct peer p;

		told(&to, PATH_MTU, &d);
		wire_forget();
		peer_accept(&p, peers[i], 80, &s);
		ck_assert_uint_eq(parse_segment(&h.sent[h.n_taken - 2]).mss, mss);
		flow_write(s.flow, data, sizeof(data));
		ck_assert_uint_eq(wire_segment().len, mss);
		wire_forget();
		connect_to_us(&p, i ? US6 : US4, (uint16_t)(8000 + i), peers[i], &in);
		flow_write(in.flow, data, sizeof(data));
		g = wire_segment();
		ck_assert_uint_eq(g.len, mss);
	}
}
END_TEST

START_TEST(a_connection_teaches_what_it_learns)
{
	static struct datagrams d;
	static uint8_t data[4000];

	for (size_t i = 0; i < 2; i++) {
		struct stack_addr to = addr(peers[i], 9);
		struct flow_udp *u = udp_open("::", 0, false, &d);
		struct seen s = {0};
		struct wire_packet forged;
		struct peer p;

		peer_accept(&p, peers[i], 80, &s);
		flow_write(s.flow, data, sizeof(data));
		forged = *wire_next();
		wire_forget();
		put_be32(forged.data + ip_len(&forged) + 4, p.ack + 100000);
		too_big(&forged, PATH_MTU); /* nothing of that number is in flight */
		check_path(u, &to, WIRE_MTU);
		put_be32(forged.data + ip_len(&forged) + 4, p.ack);
		too_big(&forged, PATH_MTU);
		check_path(u, &to, PATH_MTU);
	}
}
END_TEST

/* ---- bounds ---- */

START_TEST(the_table_is_bounded_and_the_newest_are_in_it)
{
	enum { MANY = 4 * PATH_SETS * PATH_WAYS, NEWEST = 8 };
	static struct datagrams d;
	struct stack_addr to = addr(PEER6, 9);
	unsigned int known = 0;

	for (int i = 0; i < MANY; i++) {
		put_be16(to.ip + 12, (unsigned int)i);
		flow_udp_free(told(&to, PATH_MTU, &d));
		h.now += 1000000;
		h_recycle();
	}
	for (int i = 0; i < MANY; i++) {
		put_be16(to.ip + 12, (unsigned int)i);
		known += stack_path_mtu(h.stack, &to) == PATH_MTU;
		if (i >= MANY - NEWEST)
			ck_assert_uint_eq(stack_path_mtu(h.stack, &to), PATH_MTU);
	}
	ck_assert_uint_le(known, PATH_SETS * PATH_WAYS);
	ck_assert_uint_ge(known, PATH_SETS * PATH_WAYS / 2);
}
END_TEST

START_TEST(while_nothing_is_known_nothing_is_looked_up)
{
	static struct datagrams d;
	struct stack_addr to = addr(PEER6, 9), other = addr(PEER4, 9);
	struct flow_udp *u = udp_open("::", 0, false, &d);
	unsigned int looks = h.looks;

	ck_assert_int_eq(send_bytes(u, &to, FULL_BYTES), 0);
	ck_assert_int_eq(send_bytes(u, &to, 10), 0);
	ck_assert_uint_eq(h.looks, looks); /* a look-up reads the clock */
	told(&other, PATH_MTU, &d);
	looks = h.looks;
	ck_assert_int_eq(send_bytes(u, &to, 10), 0);
	ck_assert_uint_eq(h.looks, looks + 1);
	h.now += UINT64_C(601) * 1000000000;
	ck_assert_int_eq(send_bytes(u, &to, 10), 0);
	looks = h.looks;
	ck_assert_int_eq(send_bytes(u, &to, 10), 0);
	ck_assert_uint_eq(h.looks, looks);
}
END_TEST

static void tests(TCase *tc)
{
	tcase_add_test(tc, a_path_is_known_to_every_socket_and_of_one_destination);
	tcase_add_test(tc, fragments_for_the_path_are_fragments_again_for_a_smaller_one);
	tcase_add_test(tc, what_may_not_be_split_is_refused);
	tcase_add_test(tc, who_probes_goes_by_the_interface);
	tcase_add_test(tc, a_path_is_forgotten_after_ten_minutes);
	tcase_add_test(tc, each_path_has_its_own_ten_minutes);
	tcase_add_test(tc, nothing_makes_a_path_larger);
	tcase_add_test(tc, nothing_makes_a_path_smaller_than_hosts_take);
	tcase_add_test(tc, a_socket_without_a_peer_is_believed_about_what_it_has_sent);
	tcase_add_test(tc, a_connected_socket_is_believed_about_its_peer);
	tcase_add_test(tc, who_does_not_want_to_hear_of_paths_teaches_none);
	tcase_add_test(tc, echo_requests_teach_and_follow_a_path);
	tcase_add_test(tc, new_connections_begin_with_what_is_known);
	tcase_add_test(tc, a_connection_teaches_what_it_learns);
	tcase_add_test(tc, the_table_is_bounded_and_the_newest_are_in_it);
	tcase_add_test(tc, while_nothing_is_known_nothing_is_looked_up);
}

int main(void)
{
	return h_run("stack paths", tests);
}
