/* SPDX-License-Identifier: MIT */
/* test_tunnel_routes.c - routes with a protocol: their text, which one counts, what a peer may
 * send */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "src/tunnel/routes.h"
#include "tests/unit/run_suite.h"

enum { PACKET_BYTES = 128 };

/* Never looked into. */
static int peers[3];
#define PEER(n) ((struct wg_peer *)(void *)&peers[n])
#define A	PEER(0)
#define B	PEER(1)
#define C	PEER(2)

static struct wgw_peer_route route(const char *text)
{
	struct wgw_peer_route r;

	ck_assert_ptr_null(wgw_route_parse(text, &r));
	return r;
}

static struct wgw_route_table *table(const char *const texts[], struct wg_peer *const to[],
				     size_t n)
{
	struct wgw_route_table *t = wgw_route_table_new();

	for (size_t i = 0; i < n; i++) {
		struct wgw_peer_route r = route(texts[i]);

		ck_assert_int_eq(wgw_route_table_add(t, &r, to[i]), 0);
	}
	return t;
}

/** packet() - of @protocol. @offset: of a fragment in units of 8 bytes, -1: of none. Return:
 * length */
static size_t packet(uint8_t *p, const char *from, const char *to, uint8_t protocol,
		     uint16_t from_port, uint16_t to_port, int offset, uint16_t id)
{
	const uint16_t ports[2] = {htons(from_port), htons(to_port)};
	uint8_t *at = p;

	memset(p, 0, PACKET_BYTES);
	if (!strchr(from, ':')) {
		p[0] = 0x45;
		p[9] = protocol;
		p[4] = (uint8_t)(id >> 8);
		p[5] = (uint8_t)id;
		p[6] = offset >= 0 ? 0x20 : 0; /* more fragments */
		p[7] = (uint8_t)(offset > 0 ? offset : 0);
		inet_pton(AF_INET, from, p + 12);
		inet_pton(AF_INET, to, p + 16);
		at += 20;
	} else {
		p[0] = 0x60;
		p[6] = offset >= 0 ? IPPROTO_FRAGMENT : protocol;
		inet_pton(AF_INET6, from, p + 8);
		inet_pton(AF_INET6, to, p + 24);
		at += 40;
		if (offset >= 0) {
			at[0] = protocol;
			at[3] = (uint8_t)(offset * 8 | 1);
			at[6] = (uint8_t)(id >> 8);
			at[7] = (uint8_t)id;
			at += 8;
		}
	}
	if (offset <= 0)
		memcpy(at, ports, sizeof(ports));
	return (size_t)(at - p) + 8;
}

static struct wg_peer *choose(struct wgw_route_table *t, const char *to, uint8_t protocol,
			      uint16_t port)
{
	uint8_t p[PACKET_BYTES];
	size_t len = packet(p, strchr(to, ':') ? "fd00::2" : "10.0.0.2", to, protocol, 40000, port,
			    -1, 0);

	return wgw_route_table_choose(t, p, len);
}

static bool admit(struct wgw_route_table *t, const struct wg_peer *peer, const char *from,
		  uint8_t protocol, uint16_t port)
{
	uint8_t p[PACKET_BYTES];
	size_t len = packet(p, from, strchr(from, ':') ? "fd00::2" : "10.0.0.2", protocol, port,
			    40000, -1, 0);

	return wgw_route_table_admit(t, peer, p, len);
}

START_TEST(texts_are_read_and_written)
{
	static const struct {
		const char *text, *as;
	} good[] = {
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"10.1.2.3", "10.1.2.3/32"},
		{"10.1.2.3/8:tcp", "10.0.0.0/8:tcp"},
		{"10.1.2.3:UDP:53", "10.1.2.3/32:udp:53"},
		{"0.0.0.0/0:any:8000-8099", "0.0.0.0/0:any:8000-8099"},
		{"10.0.0.0/8:any", "10.0.0.0/8"},
		{"10.0.0.0/8:icmp", "10.0.0.0/8:icmp"},
		{"fd00::/8", "fd00::/8"},
		{"fd00::1", "fd00::1/128"},
		{"fd00::/8:tcp:443", "fd00::/8:tcp:443"},
		{"[fd00::1]:tcp:65535", "fd00::1/128:tcp:65535"},
		{"[fd00::]/8:udp", "fd00::/8:udp"},
	};
	static const char *const bad[] = {
		"",
		"10.0.0.0/33",
		"10.0.0.0/8:",
		"10.0.0.0/8:sctp",
		"[fd00::1",
		"10.0.0.0/8:tcp:",
		"10.0.0.0/8:tcp:0",
		"10.0.0.0/8:tcp:65536",
		"10.0.0.0/8x",
		"10.0.0.0/8:tcp:9-8",
		"10.0.0.0/8:icmp:1",
		"10.0.0.0/8:tcp:1-2-3",
		"[fd00::1]tcp",
		"10.0.0.0/8:tcptcptcp",
		"x:tcp",
	};
	char text[WGW_ROUTE_TEXT_BYTES];

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct wgw_peer_route r = route(good[i].text), again;

		ck_assert_str_eq(wgw_route_text(&r, text), good[i].as);
		again = route(text);
		ck_assert(wgw_route_equal(&r, &again));
		ck_assert_int_eq(wgw_route_is_prefix(&r),
				 strchr(good[i].as, '/') && !strpbrk(strchr(good[i].as, '/'), ":"));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct wgw_peer_route r;

		ck_assert_msg(wgw_route_parse(bad[i], &r) != NULL, "'%s' was taken", bad[i]);
	}
}
END_TEST

START_TEST(the_longest_prefix_counts_then_the_fewest_ports_then_the_last)
{
	struct wgw_route_table *t =
		table((const char *[]){"10.0.0.0/8:tcp", "10.1.0.0/16:any:80", "10.0.0.0/8:tcp:443",
				       "10.0.0.0/8:udp", "10.0.0.0/8:udp", "fd00::/8:tcp:443"},
		      (struct wg_peer *[]){A, B, C, A, B, C}, 6);
	struct stack_addr to = {.port = 80};

	ck_assert_ptr_eq(choose(t, "10.2.0.1", IPPROTO_TCP, 80), A);
	ck_assert_ptr_eq(choose(t, "10.1.0.1", IPPROTO_TCP, 80), B);
	ck_assert_ptr_eq(choose(t, "10.1.0.1", IPPROTO_UDP, 80), B);
	ck_assert_ptr_eq(choose(t, "10.1.0.1", IPPROTO_TCP, 443), C);
	ck_assert_ptr_eq(choose(t, "10.1.0.1", IPPROTO_UDP, 443), B);
	ck_assert_ptr_eq(choose(t, "fd00::1", IPPROTO_TCP, 443), C);
	ck_assert_ptr_null(choose(t, "fd00::1", IPPROTO_TCP, 444));
	ck_assert_ptr_null(choose(t, "11.0.0.1", IPPROTO_TCP, 443));
	ck_assert_ptr_null(choose(t, "10.0.0.1", IPPROTO_ICMP, 443));
	inet_pton(AF_INET6, "fd00::1", to.ip);
	ck_assert(!wgw_route_table_holds(t, &to, 0));
	to.port = 443;
	ck_assert(wgw_route_table_holds(t, &to, 0));
	ck_assert(wgw_route_table_holds(t, &to, IPPROTO_TCP));
	ck_assert(!wgw_route_table_holds(t, &to, IPPROTO_UDP));
	wgw_route_table_clear(t);
	ck_assert(!wgw_route_table_holds(t, &to, 0));
	ck_assert_ptr_null(choose(t, "10.1.0.1", IPPROTO_TCP, 80));
	wgw_route_table_free(t);
}
END_TEST

START_TEST(a_peer_may_send_what_answers_its_route_only)
{
	struct wgw_route_table *t = table(
		(const char *[]){"10.0.0.0/8:tcp:443", "10.0.0.0/8:udp", "10.9.0.0/16:tcp:443"},
		(struct wg_peer *[]){A, A, B}, 3);

	ck_assert(admit(t, A, "10.0.0.1", IPPROTO_TCP, 443));
	ck_assert(admit(t, A, "10.0.0.1", IPPROTO_UDP, 1));
	ck_assert(!admit(t, A, "10.0.0.1", IPPROTO_TCP, 442));
	ck_assert(!admit(t, A, "11.0.0.1", IPPROTO_TCP, 443));
	ck_assert(!admit(t, A, "10.0.0.1", IPPROTO_ICMP, 443));
	ck_assert(!admit(t, B, "10.0.0.1", IPPROTO_TCP, 443));
	ck_assert(!admit(t, A, "10.9.0.1", IPPROTO_TCP, 443));
	ck_assert(admit(t, B, "10.9.0.1", IPPROTO_TCP, 443));
	wgw_route_table_free(t);
}
END_TEST

START_TEST(fragments_follow_their_first)
{
	struct wgw_route_table *t = table((const char *[]){"10.0.0.0/8:udp:53", "fd00::/8:udp:53"},
					  (struct wg_peer *[]){A, B}, 2);
	uint8_t p[PACKET_BYTES];
	size_t len;

	for (int v6 = 0; v6 < 2; v6++) {
		const char *us = v6 ? "fd00::2" : "10.0.0.2", *them = v6 ? "fd00::1" : "10.0.0.1";
		struct wg_peer *peer = v6 ? B : A, *other = v6 ? A : B;

		len = packet(p, us, them, IPPROTO_UDP, 1, 53, 0, 7);
		ck_assert_ptr_eq(wgw_route_table_choose(t, p, len), peer);
		len = packet(p, us, them, IPPROTO_UDP, 0, 0, 3, 7);
		ck_assert_ptr_eq(wgw_route_table_choose(t, p, len), peer);
		len = packet(p, us, them, IPPROTO_UDP, 0, 0, 3, 8);
		ck_assert_ptr_null(wgw_route_table_choose(t, p, len));
		/* one that no route holds is not taken for the last that one held */
		len = packet(p, us, them, IPPROTO_UDP, 1, 54, 0, 7);
		ck_assert_ptr_null(wgw_route_table_choose(t, p, len));
		len = packet(p, us, them, IPPROTO_UDP, 0, 0, 3, 7);
		ck_assert_ptr_null(wgw_route_table_choose(t, p, len));

		ck_assert(!wgw_route_table_admit(t, peer, p,
						 packet(p, them, us, IPPROTO_UDP, 0, 0, 3, 9)));
		ck_assert(wgw_route_table_admit(t, peer, p,
						packet(p, them, us, IPPROTO_UDP, 53, 1, 0, 9)));
		ck_assert(wgw_route_table_admit(t, peer, p,
						packet(p, them, us, IPPROTO_UDP, 0, 0, 3, 9)));
		ck_assert(!wgw_route_table_admit(t, other, p,
						 packet(p, them, us, IPPROTO_UDP, 0, 0, 3, 9)));
		ck_assert(!wgw_route_table_admit(t, peer, p,
						 packet(p, them, us, IPPROTO_UDP, 0, 0, 3, 10)));
	}
	wgw_route_table_free(t);
}
END_TEST

START_TEST(icmp_errors_about_what_a_route_sends_are_let_in)
{
	struct wgw_route_table *t =
		table((const char *[]){"10.0.0.0/8:udp:53"}, (struct wg_peer *[]){A}, 1);
	uint8_t p[2 * PACKET_BYTES], quoted[PACKET_BYTES];
	size_t len = packet(quoted, "10.0.0.2", "10.0.0.1", IPPROTO_UDP, 9, 53, -1, 0);

	/* a router's, about a packet of ours */
	packet(p, "172.16.0.1", "10.0.0.2", IPPROTO_ICMP, 0, 0, -1, 0);
	p[20] = 3;
	memcpy(p + 28, quoted, len);
	ck_assert(wgw_route_table_admit(t, A, p, 28 + len));
	ck_assert(!wgw_route_table_admit(t, B, p, 28 + len));
	ck_assert(!wgw_route_table_admit(t, A, p, 28 + 19));
	p[20] = 8; /* an echo request is no error */
	ck_assert(!wgw_route_table_admit(t, A, p, 28 + len));
	p[20] = 3;
	packet(p + 28, "10.0.0.2", "10.0.0.1", IPPROTO_UDP, 9, 54, -1, 0);
	ck_assert(!wgw_route_table_admit(t, A, p, 28 + len));
	packet(p + 28, "10.0.0.3", "10.0.0.1", IPPROTO_UDP, 9, 53, -1, 0);
	ck_assert_msg(!wgw_route_table_admit(t, A, p, 28 + len), "about a packet that is not ours");
	wgw_route_table_free(t);
}
END_TEST

START_TEST(packets_that_are_cut_short_belong_to_no_route)
{
	struct wgw_route_table *t =
		table((const char *[]){"0.0.0.0/0:tcp", "::/0:tcp"}, (struct wg_peer *[]){A, A}, 2);
	uint8_t p[PACKET_BYTES];

	for (int v6 = 0; v6 < 2; v6++) {
		size_t headers = v6 ? 40 : 20;

		for (size_t len = 0; len < headers + 4; len++) {
			packet(p, v6 ? "fd00::2" : "10.0.0.2", v6 ? "fd00::1" : "10.0.0.1",
			       IPPROTO_TCP, 1, 2, -1, 0);
			ck_assert_ptr_null(wgw_route_table_choose(t, p, len));
			ck_assert(!wgw_route_table_admit(t, A, p, len));
		}
	}
	packet(p, "10.0.0.2", "10.0.0.1", IPPROTO_TCP, 1, 2, -1, 0);
	p[0] = 0x4f;
	ck_assert_ptr_null(wgw_route_table_choose(t, p, 60));
	wgw_route_table_free(t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tunnel_routes");
	TCase *c = tcase_create("routes");

	tcase_add_test(c, texts_are_read_and_written);
	tcase_add_test(c, the_longest_prefix_counts_then_the_fewest_ports_then_the_last);
	tcase_add_test(c, a_peer_may_send_what_answers_its_route_only);
	tcase_add_test(c, fragments_follow_their_first);
	tcase_add_test(c, icmp_errors_about_what_a_route_sends_are_let_in);
	tcase_add_test(c, packets_that_are_cut_short_belong_to_no_route);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
