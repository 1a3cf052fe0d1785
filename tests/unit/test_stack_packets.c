/* SPDX-License-Identifier: MIT */
/* test_stack_packets.c - the fence, fragments, datagrams, echo and ICMP errors */
#include "tests/unit/stack_datagrams.h"

static uint64_t fenced(void)
{
	struct stack_stats stats;

	stack_stats(h.stack, &stats);
	return stats.rx_fenced;
}

/* ---- the fence ---- */

START_TEST(malformed_packets_are_dropped)
{
	static struct datagrams d;
	uint8_t good[100], bad[200];
	size_t len, i;
	static const struct {
		const char *what;
		size_t at;
		uint8_t value;
		bool fix_sum;
	} cases[] = {
		{"version 5", 0, 0x55, true},
		{"options", 0, 0x46, true},
		{"header length 4", 0, 0x44, true},
		{"total length 0", 3, 0, true},
		{"total beyond the end", 3, 90, true},
		{"header checksum", 10, 1, false},
		{"not to us", 19, 9, true},
		{"source is us", 15, 0, false},
		{"UDP length 7", 25, 7, true},
		{"UDP length too long", 25, 99, true},
		{"data", 29, 0xee, true},
		{"protocol", 9, 99, true},
	};

	udp_open("0.0.0.0", 1000, false, &d);
	len = make_udp(good, PEER4, 53, US4, 1000, "data", 4);
	wire_input(good, len);
	ck_assert_int_eq(d.n, 1);
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t before = fenced();

		memcpy(bad, good, len);
		bad[cases[i].at] = cases[i].value;
		if (cases[i].fix_sum) {
			put_be16(bad + 10, 0);
			put_be16(bad + 10, ~sum16(0, bad, 20) & 0xffff);
		}
		wire_input(bad, len);
		ck_assert_msg(d.n == 1, "%s was delivered", cases[i].what);
		ck_assert_msg(fenced() == before + 1, "%s was not counted", cases[i].what);
	}
	for (i = 0; i < len; i++)
		wire_input(good, i);
	ck_assert_int_eq(d.n, 1);
}
END_TEST

START_TEST(martian_sources_are_dropped)
{
	static const char *const from4[] = {US4,	 US4B,	      "0.0.0.0",
					    "127.0.0.1", "224.0.0.1", "255.255.255.255"};
	static const char *const from6[] = {US6, "::", "::1", "ff02::1"};
	static struct datagrams d;
	size_t i;

	udp_open("::", 1000, false, &d);
	for (i = 0; i < 6; i++)
		udp_to_us(from4[i], US4, 1000, "x", 1);
	for (i = 0; i < 4; i++)
		udp_to_us(from6[i], US6, 1000, "x", 1);
	ck_assert_int_eq(d.n, 0);
	ck_assert_uint_eq(fenced(), 10);
	udp_to_us(PEER4, US4, 1000, "x", 1);
	udp_to_us(PEER6, US6, 1000, "x", 1);
	ck_assert_int_eq(d.n, 2);
}
END_TEST

static size_t with_extension(uint8_t *out, const uint8_t *packet, size_t len, uint8_t type,
			     const uint8_t *header, size_t header_len)
{
	memcpy(out, packet, 40);
	memcpy(out + 40, header, header_len);
	out[40] = packet[6];
	out[6] = type;
	memcpy(out + 40 + header_len, packet + 40, len - 40);
	put_be16(out + 4, (unsigned int)(len - 40 + header_len));
	return len + header_len;
}

START_TEST(extension_headers_are_skipped_or_refused)
{
	static const uint8_t pad[8] = {0, 0, 1, 4}, route_used[8] = {0, 0, 0, 0},
			     route[8] = {0, 0, 0, 1}, beyond[8] = {0, 200};
	static struct datagrams d;
	uint8_t packet[200], out[300], twice[400];
	size_t len, n;

	udp_open(US6, 1000, false, &d);
	len = make_udp(packet, PEER6, 53, US6, 1000, "data", 4);
	wire_input(out, with_extension(out, packet, len, 60, pad, 8));
	ck_assert_int_eq(d.n, 1);
	wire_input(out, with_extension(out, packet, len, 43, route_used, 8));
	ck_assert_int_eq(d.n, 2);
	n = with_extension(out, packet, len, 60, pad, 8);
	wire_input(twice, with_extension(twice, out, n, 0, pad, 8));
	ck_assert_int_eq(d.n, 3);
	wire_input(out, with_extension(out, packet, len, 43, route, 8));
	wire_input(out, with_extension(out, packet, len, 60, beyond, 8));
	n = with_extension(out, packet, len, 0, pad, 8); /* hop-by-hop must be first */
	wire_input(twice, with_extension(twice, out, n, 60, pad, 8));
	ck_assert_int_eq(d.n, 3);
	ck_assert_uint_eq(fenced(), 3);
}
END_TEST

/* ---- fragments ---- */

START_TEST(fragments_are_put_together_in_any_order)
{
	static struct datagrams d;
	static uint8_t data[5000], packet[6000];
	size_t len, i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 3);
	udp_open("::", 1000, false, &d);
	len = make_udp(packet, PEER4, 53, US4, 1000, data, sizeof(data));
	for (i = 0; i < 5; i++) {
		size_t n = (size_t[]){4, 1, 3, 0, 2}[i];

		fragment4(packet, len, n * 1016, n == 4 ? len - 20 : (n + 1) * 1016, 77);
		ck_assert_int_eq(d.n, i == 4);
	}
	ck_assert_uint_eq(d.len, sizeof(data));
	ck_assert_mem_eq(d.data, data, sizeof(data));
	len = make_udp(packet, PEER6, 53, US6, 1000, data, sizeof(data));
	for (i = 0; i < 5; i++) {
		size_t n = (size_t[]){2, 0, 3, 4, 1}[i];

		fragment6(packet, len, n * 1016, n == 4 ? len - 40 : (n + 1) * 1016, 99);
		fragment6(packet, len, n * 1016, n == 4 ? len - 40 : (n + 1) * 1016, 99);
	}
	ck_assert_int_eq(d.n, 2);
	ck_assert_mem_eq(d.data, data, sizeof(data));
}
END_TEST

START_TEST(overlapping_fragments_end_the_datagram)
{
	static struct datagrams d;
	static uint8_t data[3000], packet[4000];
	size_t len;

	udp_open("::", 1000, false, &d);
	len = make_udp(packet, PEER4, 53, US4, 1000, data, sizeof(data));
	fragment4(packet, len, 0, 1000, 5);
	fragment4(packet, len, 992, 2000, 5);
	fragment4(packet, len, 1000, 2000, 5);
	fragment4(packet, len, 2000, len - 20, 5);
	ck_assert_int_eq(d.n, 0);
}
END_TEST

START_TEST(old_and_surplus_fragments_are_given_up)
{
	static struct datagrams d;
	static uint8_t data[2000], packet[3000];
	size_t len;
	unsigned int id;

	udp_open("::", 1000, false, &d);
	len = make_udp(packet, PEER4, 53, US4, 1000, data, sizeof(data));
	fragment4(packet, len, 0, 1000, 1);
	h_pass_ms(31000);
	fragment4(packet, len, 1000, len - 20, 1); /* too late */
	ck_assert_int_eq(d.n, 0);
	for (id = 100; id < 100 + 33; id++)
		fragment4(packet, len, 0, 1000, id);
	fragment4(packet, len, 1000, len - 20, 100); /* the source's oldest had to go */
	ck_assert_int_eq(d.n, 0);
	fragment4(packet, len, 1000, len - 20, 132);
	ck_assert_int_eq(d.n, 1);
}
END_TEST

START_TEST(large_datagrams_leave_in_fragments)
{
	static const char *const peers[] = {PEER4, PEER6};
	static uint8_t data[9000];
	static struct datagrams d;
	size_t i, n;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 5 + i / 256);
	for (n = 0; n < 2; n++) {
		struct stack_addr to = addr(peers[n], 9);
		struct iovec iov[] = {{data, 4001}, {data + 4001, 4999}};
		struct flow_udp *u = udp_open(n ? US6 : US4, 1000, false, &d);
		size_t header = n ? 48 : 20, total = 0;
		const struct wire_packet *p;
		uint8_t whole[9100];

		ck_assert_int_eq(flow_udp_send(u, &to, iov, 2, 0, 0), 0);
		while ((p = wire_next())) {
			size_t offset =
				n ? be16(p->data + 42) & 0xfff8 : (be16(p->data + 6) & 0x1fff) * 8u;

			ck_assert_uint_le(p->len, WIRE_MTU);
			memcpy(whole + 40 + offset, p->data + header, p->len - header);
			total += p->len - header;
			if (!n)
				memcpy(whole + 20, p->data, 20);
			else
				memcpy(whole, p->data, 40);
		}
		ck_assert_uint_eq(total, 9008);
		ck_assert_mem_eq(whole + 48, data, sizeof(data));
		ck_assert_uint_eq(sum16(pseudo_sum(n ? whole : whole + 20, IPPROTO_UDP, total),
					whole + 40, total),
				  0xffff);
		flow_udp_free(u);
	}
}
END_TEST

static unsigned int id_of_datagram(struct flow_udp *u, const char *peer)
{
	struct stack_addr to = addr(peer, 9);
	struct iovec iov = {(void *)(uintptr_t) "x", 1};
	const struct wire_packet *p;

	ck_assert_int_eq(flow_udp_send(u, &to, &iov, 1, 0, 0), 0);
	p = wire_next();
	ck_assert_ptr_nonnull(p);
	return be16(p->data + 4);
}

START_TEST(identifications_count_for_each_destination)
{
	static struct datagrams d;
	struct flow_udp *u = udp_open(US4, 1000, false, &d);
	unsigned int first = id_of_datagram(u, PEER4), other, i;
	struct seen s = {0};
	struct peer p;

	for (i = 0; i < 100; i++) /* what goes elsewhere */
		other = id_of_datagram(u, "10.8.8.8");
	peer_accept(&p, PEER4, 80, &s);
	for (i = 0; i < 100; i++)
		flow_write(s.flow, "x", 1);
	wire_forget();
	ck_assert_uint_eq(id_of_datagram(u, PEER4), (first + 1) & 0xffff);
	ck_assert_uint_eq(id_of_datagram(u, "10.8.8.8"), (other + 1) & 0xffff);
}
END_TEST

/* ---- datagram sockets ---- */

START_TEST(the_most_specific_socket_receives)
{
	static struct datagrams wild, bound, connected;
	struct stack_addr peer = addr(PEER4, 53);
	struct stack_addr local = addr(US4, 1000);
	struct flow_udp *c;
	int err;

	flow_udp_new(h.stack, &(struct stack_addr){.port = 1000}, false, true, &udp_ops, &wild,
		     &err);
	flow_udp_new(h.stack, &local, false, true, &udp_ops, &bound, &err);
	c = flow_udp_new(h.stack, &local, false, true, &udp_ops, &connected, &err);
	ck_assert_ptr_nonnull(c);
	flow_udp_connect(c, &peer);
	udp_to_us(PEER4, US4, 1000, "1", 1);
	ck_assert_int_eq(connected.n, 1);
	udp_to_us("10.9.9.8", US4, 1000, "2", 1);
	ck_assert_int_eq(bound.n, 1);
	udp_to_us(PEER4, US4B, 1000, "3", 1);
	ck_assert_int_eq(wild.n, 1);
	ck_assert(stack_addr_equal(&wild.from, &peer));
	udp_to_us(PEER6, US6, 1000, "4", 1);
	ck_assert_int_eq(wild.n, 2);
}
END_TEST

START_TEST(addresses_in_use_are_refused)
{
	static struct datagrams d;
	struct stack_addr any6 = {.port = 2000}, any4 = addr("0.0.0.0", 2000),
			  other = addr("1.2.3.4", 2001);
	int err;

	ck_assert_ptr_nonnull(flow_udp_new(h.stack, &any6, true, false, &udp_ops, &d, &err));
	ck_assert_ptr_nonnull(flow_udp_new(h.stack, &any4, false, false, &udp_ops, &d, &err));
	ck_assert_ptr_null(flow_udp_new(h.stack, &any4, false, false, &udp_ops, &d, &err));
	ck_assert_int_eq(err, EADDRINUSE);
	ck_assert_ptr_null(flow_udp_new(h.stack, &other, false, false, &udp_ops, &d, &err));
	ck_assert_int_eq(err, EADDRNOTAVAIL);
	any4.port = any6.port = 2002;
	ck_assert_ptr_nonnull(flow_udp_new(h.stack, &any6, false, false, &udp_ops, &d, &err));
	ck_assert_ptr_null(flow_udp_new(h.stack, &any4, false, false, &udp_ops, &d, &err));
	ck_assert_int_eq(err, EADDRINUSE);
}
END_TEST

START_TEST(sending_fails_as_on_linux)
{
	static uint8_t big[65535];
	static struct datagrams d;
	struct flow_udp *u = udp_open(US4, 0, false, &d);
	struct stack_addr to6 = addr(PEER6, 9), to4 = addr(PEER4, 9);
	struct iovec iov = {big, 65508};

	ck_assert_int_eq(flow_udp_send(u, &to4, &iov, 1, 0, 0), -EMSGSIZE);
	iov.iov_len = 10;
	ck_assert_int_eq(flow_udp_send(u, &to6, &iov, 1, 0, 0), -ENETUNREACH);
	ck_assert_int_eq(flow_udp_send(u, &to4, &iov, 1, 33, 0x10), 0);
	ck_assert_uint_eq(h.sent[0].data[8], 33);
	ck_assert_uint_eq(h.sent[0].data[1], 0x10);
}
END_TEST

START_TEST(routers_may_make_fragments_unless_the_owner_says_otherwise)
{
	static struct datagrams d;
	static const uint8_t echo[16] = {8};
	struct flow_udp *u = udp_open(US4, 0, false, &d);
	struct flow_ping *g = flow_ping_new(h.stack, false, 0, NULL, NULL);
	struct stack_addr to = addr(PEER4, 9);
	struct iovec iov = {"x", 1};

	for (int whole = 0; whole < 2; whole++) {
		flow_udp_fragments(u, whole ? FLOW_DF : 0, 0);
		flow_ping_fragments(g, whole ? FLOW_DF : 0);
		ck_assert_int_eq(flow_udp_send(u, &to, &iov, 1, 0, 0), 0);
		ck_assert_uint_eq(be16(wire_next()->data + 6), whole ? 0x4000 : 0);
		ck_assert_int_eq(flow_ping_send(g, &to, echo, sizeof(echo), 0, 0), 0);
		ck_assert_uint_eq(be16(wire_next()->data + 6), whole ? 0x4000 : 0);
	}
	flow_ping_free(g);
}
END_TEST

START_TEST(a_closed_port_answers_and_not_too_often)
{
	int i;

	udp_to_us(PEER4, US4, 4242, "x", 1);
	ck_assert_uint_eq(h.n_sent, 1);
	ck_assert_uint_eq(h.sent[0].data[1], 0xc0); /* RFC 1812 4.3.2.5 */
	ck_assert_uint_eq(h.sent[0].data[20], 3);
	ck_assert_uint_eq(h.sent[0].data[21], 3);
	ck_assert_uint_eq(sum16(0, h.sent[0].data + 20, h.sent[0].len - 20), 0xffff);
	udp_to_us(PEER6, US6, 4242, "x", 1);
	ck_assert_uint_eq(h.sent[1].data[40], 1);
	ck_assert_uint_eq(h.sent[1].data[41], 4);
	for (i = 0; i < 1000; i++)
		udp_to_us(PEER4, US4, 4242, "x", 1);
	ck_assert_uint_le(h.n_sent, 52);
	h_pass_ms(1000);
	udp_to_us(PEER4, US4, 4242, "x", 1);
	ck_assert_uint_gt(h.n_sent, 40);
}
END_TEST

/* ---- ICMP ---- */

START_TEST(icmp_errors_reach_the_datagram_socket)
{
	static const struct {
		const char *peer;
		unsigned int type, code;
		int err;
		bool fatal;
	} cases[] = {
		{PEER4, 3, 3, ECONNREFUSED, true},
		{PEER4, 3, 1, EHOSTUNREACH, false},
		{PEER4, 3, 0, ENETUNREACH, false},
		{"10.9.9.8", 3, 4, EMSGSIZE, true}, /* what goes there is smaller from then on */
		{PEER4, 3, 2, ENOPROTOOPT, true},
		{PEER4, 3, 5, EOPNOTSUPP, false},
		{PEER4, 3, 7, EHOSTDOWN, true},
		{PEER4, 3, 13, EHOSTUNREACH, true},
		{PEER4, 11, 0, EHOSTUNREACH, false},
		{PEER6, 1, 4, ECONNREFUSED, true},
		{PEER6, 1, 0, ENETUNREACH, false},
		{PEER6, 1, 3, EHOSTUNREACH, false},
		{PEER6, 1, 1, EACCES, true},
		{"fd00:9::8", 2, 0, EMSGSIZE, true},
		{PEER6, 3, 0, EHOSTUNREACH, false},
		{PEER4, 12, 0, EPROTO, true},
		{PEER6, 4, 1, EPROTO, true},
		{PEER6, 1, 7, EPROTO, true},
		{PEER4, 11, 1, 0, false},
		{PEER4, 3, 16, 0, false},
	};
	struct flow_udp *u;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		static struct datagrams d;
		struct stack_addr to = addr(cases[i].peer, 9);
		static uint8_t question[1350] = "?"; /* larger than the MTU that is told */
		bool v4 = stack_addr_is_v4(&to);
		struct iovec iov = {question, sizeof(question)};

		memset(&d, 0, sizeof(d));
		u = udp_open("::", 1000, false, &d);
		ck_assert_int_eq(flow_udp_send(u, &to, &iov, 1, 0, 0), 0);
		icmp_error(wire_next(), cases[i].type, cases[i].code, 1300);
		ck_assert_int_eq(d.errors, cases[i].err != 0);
		if (!cases[i].err) {
			flow_udp_free(u);
			continue;
		}
		ck_assert_int_eq(d.err, cases[i].err);
		ck_assert(stack_addr_equal(&d.about, &to));
		ck_assert_int_eq(d.error.fatal, cases[i].fatal);
		ck_assert_uint_eq(d.error.type, cases[i].type);
		ck_assert_uint_eq(d.error.code, cases[i].code);
		ck_assert_mem_eq(d.error.from.ip, addr(v4 ? "10.1.1.1" : "fd00:1::1", 0).ip, 16);
		ck_assert_mem_eq(d.error.to.ip, addr(v4 ? US4 : US6, 0).ip, 16);
		ck_assert_uint_eq(d.quoted, 500u - (v4 ? 28 : 48));
		ck_assert_mem_eq(d.data, question, d.quoted);
		if (cases[i].err == EMSGSIZE)
			ck_assert_uint_eq(d.info, 1300);
		flow_udp_free(u);
	}
}
END_TEST

START_TEST(icmp_errors_end_a_connect_only)
{
	static const struct {
		const char *peer;
		unsigned int type, code;
		int err;
	} cases[] = {
		{PEER4, 3, 1, EHOSTUNREACH}, {PEER4, 3, 0, ENETUNREACH},
		{PEER4, 3, 2, ENOPROTOOPT},  {PEER4, 3, 13, EHOSTUNREACH},
		{PEER6, 1, 0, ENETUNREACH},  {PEER6, 1, 3, EHOSTUNREACH},
		{PEER6, 1, 4, ECONNREFUSED}, {PEER6, 1, 1, EACCES},
	};
	struct seen s = {0};
	struct peer p;
	size_t i;
	int err;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct stack_addr to = addr(cases[i].peer, 80);
		struct wire_packet wrong;

		memset(&s, 0, sizeof(s));
		flow_connect(h.stack, NULL, &to, NULL, &seen_ops, &s, &err);
		wrong.len = h.sent[h.n_taken].len;
		wrong.data = malloc(wrong.len);
		memcpy(wrong.data, h.sent[h.n_taken].data, wrong.len);
		wrong.data[(wrong.data[0] >> 4 == 4 ? 20 : 40) + 4] ^= 0x40; /* sequence number */
		icmp_error(&wrong, cases[i].type, cases[i].code, 0);
		free(wrong.data);
		ck_assert_int_eq(s.closed, 0);
		icmp_error(wire_next(), cases[i].type, cases[i].code, 0);
		ck_assert_int_eq(s.closed, 1);
		ck_assert_int_eq(s.err, cases[i].err);
	}
	memset(&s, 0, sizeof(s));
	peer_accept(&p, PEER4, 80, &s);
	flow_write(s.flow, "x", 1);
	icmp_error(wire_next(), 3, 1, 0);
	ck_assert_int_eq(s.closed, 0); /* soft, until it times out */
	h_pass_ms(930000);
	ck_assert_int_eq(s.closed, 1);
	ck_assert_int_eq(s.err, EHOSTUNREACH);
}
END_TEST

START_TEST(echo_requests_are_answered)
{
	uint8_t icmp[108] = {8, 0}, packet[200];
	struct stack_addr us = addr(US4, 0), them = addr(PEER4, 0);
	struct stack_addr us6 = addr(US6, 0), them6 = addr(PEER6, 0);
	const struct wire_packet *p;

	put_be16(icmp + 4, 77);
	memset(icmp + 8, 0xab, 100);
	wire_input(packet, wire_ip(packet, &them, &us, IPPROTO_ICMP, icmp, sizeof(icmp), 2));
	p = wire_next();
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(p->data[20], 0);
	ck_assert_mem_eq(p->data + 24, icmp + 4, sizeof(icmp) - 4);
	ck_assert_uint_eq(sum16(0, p->data + 20, p->len - 20), 0xffff);
	icmp[0] = 128;
	put_be16(icmp + 2, 0);
	wire_input(packet, wire_ip(packet, &them6, &us6, IPPROTO_ICMPV6, icmp, sizeof(icmp), 2));
	p = wire_next();
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(p->data[40], 129);
	ck_assert_uint_eq(
		sum16(pseudo_sum(p->data, IPPROTO_ICMPV6, p->len - 40), p->data + 40, p->len - 40),
		0xffff);
}
END_TEST

struct echoes {
	int n, err;
	uint8_t data[200];
	size_t len;
	struct stack_addr about, by;
};

static void echoed(struct flow_ping *g, void *arg, const struct stack_datagram *d)
{
	struct echoes *e = arg;

	(void)g;
	memcpy(e->data, d->data, d->len);
	e->len = d->len;
	e->err = 0;
	e->n++;
}

static void not_echoed(struct flow_ping *g, void *arg, const struct stack_addr *to,
		       const struct stack_error *error)
{
	struct echoes *e = arg;

	(void)g;
	e->about = *to;
	e->by = error->from;
	memcpy(e->data, error->quoted, error->len);
	e->len = error->len;
	e->err = error->err;
	e->n++;
}

static const struct flow_ping_ops ping_ops = {.received = echoed, .error = not_echoed};

START_TEST(ping_gets_its_own_reply)
{
	struct echoes a = {0}, b = {0};
	struct flow_ping *pa = flow_ping_new(h.stack, false, 0, &ping_ops, &a);
	struct flow_ping *pb = flow_ping_new(h.stack, false, 0, &ping_ops, &b);
	struct stack_addr to = addr(PEER4, 0), us = addr(US4, 0);
	uint8_t icmp[16] = {8, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3}, packet[100], reply[16];
	const struct wire_packet *p;

	ck_assert_uint_ne(flow_ping_id(pa), flow_ping_id(pb));
	ck_assert_int_eq(flow_ping_send(pa, &to, icmp, sizeof(icmp), 7, 0), 0);
	p = wire_next();
	ck_assert_uint_eq(p->data[8], 7);
	ck_assert_uint_eq(be16(p->data + 24), flow_ping_id(pa));
	ck_assert_uint_eq(sum16(0, p->data + 20, p->len - 20), 0xffff);
	memcpy(reply, p->data + 20, 16);
	reply[0] = 0;
	put_be16(reply + 2, 0);
	wire_input(packet, wire_ip(packet, &to, &us, IPPROTO_ICMP, reply, sizeof(reply), 2));
	ck_assert_int_eq(a.n, 1);
	ck_assert_int_eq(b.n, 0);
	ck_assert_int_eq(a.err, 0);
	ck_assert_mem_eq(a.data + 6, icmp + 6, 10);
	ck_assert_int_eq(flow_ping_send(pb, &to, icmp, sizeof(icmp), 0, 0), 0);
	icmp_error(wire_next(), 11, 0, 0);
	ck_assert_int_eq(b.n, 1);
	ck_assert_int_eq(b.err, EHOSTUNREACH);
	ck_assert(stack_addr_equal(&b.about, &to));
	ck_assert(stack_addr_equal(
		&b.by, &(struct stack_addr){{[10] = 0xff, [11] = 0xff, [12] = 10, 1, 1, 1}, 0}));
	ck_assert_mem_eq(b.data + 6, icmp + 6, 10);
	icmp[0] = 13;
	ck_assert_int_eq(flow_ping_send(pa, &to, icmp, sizeof(icmp), 0, 0), -EINVAL);
}
END_TEST

/* ---- to ourselves ---- */

START_TEST(datagrams_to_ourselves_are_looped)
{
	static struct datagrams a, b;
	struct flow_udp *u = udp_open(US4, 1000, false, &a), *v = udp_open(US4B, 2000, false, &b);
	struct stack_addr to = addr(US4B, 2000);
	static uint8_t data[4000];
	struct iovec iov = {data, sizeof(data)};

	ck_assert_int_eq(flow_udp_send(u, &to, &iov, 1, 0, 0), 0);
	h_settle();
	ck_assert_int_eq(b.n, 1);
	ck_assert_uint_eq(b.len, sizeof(data));
	ck_assert_uint_eq(h.n_sent, 0);
	flow_udp_free(v);
	ck_assert_int_eq(flow_udp_send(u, &to, &iov, 1, 0, 0), 0);
	h_settle();
	ck_assert_int_eq(a.errors, 1);
	ck_assert_int_eq(a.err, ECONNREFUSED);
}
END_TEST

/* ---- any packet ---- */

enum { GOOD_PACKETS = 12, GOOD_BYTES = 2000 };

/** struct corpus - good packets of every kind */
struct corpus {
	uint8_t packet[GOOD_PACKETS][GOOD_BYTES];
	size_t len[GOOD_PACKETS], n;
};

/* Errors about what was sent. */
static void add_errors(struct corpus *c)
{
	for (size_t i = 0; i < 3; i++) {
		const struct wire_packet *w = &h.sent[i];
		bool v6 = w->data[0] >> 4 == 6;
		struct stack_addr from = addr(v6 ? "fd00:1::1" : "10.1.1.1", 0),
				  us = addr(v6 ? US6 : US4, 0);
		uint8_t icmp[200] = {v6 ? 1 : 3, (uint8_t)(v6 ? 4 : 3)};

		memcpy(icmp + 8, w->data, w->len);
		c->len[c->n] = wire_ip(c->packet[c->n], &from, &us,
				       v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, icmp, 8 + w->len, 2);
		c->n++;
	}
}

/* Datagrams, and the same as fragments of which the second never comes. */
static void add_datagrams(struct corpus *c)
{
	static const uint8_t data[1000];
	size_t first = c->n;

	c->len[c->n] = make_udp(c->packet[c->n], PEER4, 53, US4, 1000, data, 1000);
	c->n++;
	c->len[c->n] = make_udp(c->packet[c->n], PEER6, 53, US6, 1000, data, 10);
	c->n++;
	for (size_t i = 0; i < 2; i++) {
		memcpy(c->packet[c->n], c->packet[first + i], c->len[first + i]);
		c->len[c->n] = c->len[first + i];
		if (i == 0)
			put_be16(c->packet[c->n] + 6, 0x2000);
		else
			c->packet[c->n][6] = 44;
		c->n++;
	}
}

static void add_syn(struct corpus *c)
{
	struct stack_addr from = addr(PEER4, 5000), to = addr(US4, 80);
	uint8_t tcp[20 + sizeof(usual_options)] = {[12] = 0x80, [13] = SYN};

	put_be16(tcp, from.port);
	put_be16(tcp + 2, to.port);
	memcpy(tcp + 20, usual_options, sizeof(usual_options));
	c->len[c->n] = wire_ip(c->packet[c->n], &from, &to, IPPROTO_TCP, tcp, sizeof(tcp), 16);
	c->n++;
}

/* Changes some bytes, the length sometimes; the IPv4 header's checksum is made right again. */
static size_t spoil(uint8_t *bad, size_t len, unsigned int *seed)
{
	int changes = rand_r(seed) % 4;

	while (changes-- > 0)
		bad[(size_t)rand_r(seed) % (rand_r(seed) % 2 ? len : 64)] = (uint8_t)rand_r(seed);
	if (rand_r(seed) % 8 == 0)
		len = (size_t)rand_r(seed) % (len + 1);
	if (len >= 20 && bad[0] == 0x45) {
		put_be16(bad + 10, 0);
		put_be16(bad + 10, ~sum16(0, bad, 20) & 0xffff);
	}
	return len;
}

START_TEST(random_packets_break_nothing)
{
	static const uint8_t question[] = "question";
	struct stack_addr to4 = addr(PEER4, 9), to6 = addr(PEER6, 9), local = {.port = 80};
	struct iovec iov = {(void *)(uintptr_t)question, 8};
	static struct datagrams d;
	static struct corpus good;
	static uint8_t bad[GOOD_BYTES];
	unsigned int seed = (unsigned int)_i + 1;
	struct seen s = {0};
	struct flow_udp *u;
	int err;

	ck_assert_ptr_nonnull(flow_listen(h.stack, &local, false, 8, &seen_listener_ops, &s, &err));
	u = udp_open("::", 1000, false, &d);
	flow_udp_send(u, &to4, &iov, 1, 0, 0);
	flow_udp_send(u, &to6, &iov, 1, 0, 0);
	flow_connect(h.stack, NULL, &to4, NULL, &seen_ops, &s, &err);
	add_errors(&good);
	add_datagrams(&good);
	add_syn(&good);
	for (int round = 0; round < 5000; round++) {
		size_t which = (size_t)rand_r(&seed) % good.n;

		memcpy(bad, good.packet[which], good.len[which]);
		wire_input(bad, spoil(bad, good.len[which], &seed));
		if (h.n_sent > WIRE_MAX - 100) {
			wire_forget();
			h_recycle();
		}
		if (round % 100 == 0)
			h_pass_ms(1000);
	}
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_loop_test(tc, random_packets_break_nothing, 0, 10);
	tcase_add_test(tc, malformed_packets_are_dropped);
	tcase_add_test(tc, martian_sources_are_dropped);
	tcase_add_test(tc, extension_headers_are_skipped_or_refused);
	tcase_add_test(tc, fragments_are_put_together_in_any_order);
	tcase_add_test(tc, overlapping_fragments_end_the_datagram);
	tcase_add_test(tc, old_and_surplus_fragments_are_given_up);
	tcase_add_test(tc, large_datagrams_leave_in_fragments);
	tcase_add_test(tc, identifications_count_for_each_destination);
	tcase_add_test(tc, the_most_specific_socket_receives);
	tcase_add_test(tc, addresses_in_use_are_refused);
	tcase_add_test(tc, sending_fails_as_on_linux);
	tcase_add_test(tc, a_closed_port_answers_and_not_too_often);
	tcase_add_test(tc, routers_may_make_fragments_unless_the_owner_says_otherwise);
	tcase_add_test(tc, icmp_errors_reach_the_datagram_socket);
	tcase_add_test(tc, icmp_errors_end_a_connect_only);
	tcase_add_test(tc, echo_requests_are_answered);
	tcase_add_test(tc, ping_gets_its_own_reply);
	tcase_add_test(tc, datagrams_to_ourselves_are_looped);
}

int main(void)
{
	return h_run("stack packets", add);
}
