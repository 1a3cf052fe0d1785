/* SPDX-License-Identifier: MIT */
/*
 * test_wg_tables.c - the engine's pure parts: replay window, allowed IPs, rate limiter, packets
 */
#include "tests/unit/test_wg_sim.h"
#include "wg/allowedips.h"
#include "wg/device.h"
#include "wg/packet.h"
#include "wg/peer.h"
#include "wg/ratelimit.h"
#include "wg/replay.h"
#include "wg/retries.h"

#include <errno.h>

/* ---- replay window ---- */

enum { W = WG_COUNTER_WINDOW };
#define R WG_REJECT_AFTER_MESSAGES

static struct wg_replay window;

static void accepted(uint64_t counter)
{
	ck_assert_msg(wg_replay_accept(&window, counter), "%llu refused",
		      (unsigned long long)counter);
}

static void refused(uint64_t counter)
{
	ck_assert_msg(!wg_replay_accept(&window, counter), "%llu accepted",
		      (unsigned long long)counter);
}

static void reset(void)
{
	memset(&window, 0, sizeof(window));
}

START_TEST(replay_accepts_each_counter_once_within_the_window)
{
	const uint64_t l = W + 1;

	ck_assert_uint_eq(W, 8128);
	reset();
	accepted(0);
	accepted(1);
	refused(1);
	accepted(9);
	accepted(8);
	accepted(7);
	refused(7);
	accepted(l);
	accepted(l - 1);
	refused(l - 1);
	accepted(l - 2);
	accepted(2);
	refused(2);
	accepted(l + 16);
	refused(3);
	refused(l + 16);
	accepted(l * 4);
	accepted(l * 4 - (l - 1));
	refused(10);
	refused(l * 4 - l);
	refused(l * 4 - (l + 1));
	accepted(l * 4 - (l - 2));
	refused(l * 4 + 1 - l);
	refused(0);
}
END_TEST

START_TEST(replay_ends_at_the_message_limit)
{
	reset();
	refused(R);
	accepted(R - 1);
	refused(R);
	refused(R - 1);
	accepted(R - 2);
	refused(R + 1);
	refused(R + 2);
	refused(UINT64_MAX);
	refused(R - 2);
	accepted(R - 3);
	refused(0);
}
END_TEST

START_TEST(replay_jumps_over_whole_windows)
{
	static const uint64_t jumps[] = {
		8191, 8192, 8193, 1ULL << 16, 1ULL << 32, (1ULL << 32) + 1, 1ULL << 63};

	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		reset();
		accepted(5);
		accepted(5 + jumps[i]);
		refused(5 + jumps[i]);
		refused(5);
		/* nothing old shines through the ring */
		for (uint64_t back = 1; back <= W; back++)
			accepted(5 + jumps[i] - back);
		refused(5 + jumps[i] - W - 1);
	}
}
END_TEST

START_TEST(replay_in_bulk)
{
	reset();
	for (uint64_t i = 1; i <= W; i++)
		accepted(i);
	accepted(0);
	refused(0);

	reset();
	for (uint64_t i = 2; i <= W + 1; i++)
		accepted(i);
	accepted(1);
	refused(0);

	reset();
	for (uint64_t i = W + 1; i-- > 0;)
		accepted(i);

	reset();
	for (uint64_t i = W + 2; i-- > 1;)
		accepted(i);
	refused(0);

	reset();
	for (uint64_t i = W + 1; i-- > 1;)
		accepted(i);
	accepted(W + 1);
	refused(0);

	reset();
	for (uint64_t i = W + 1; i-- > 1;)
		accepted(i);
	accepted(0);
	accepted(W + 1);
}
END_TEST

/* Against a plain set: every counter at most once, and never one behind the window. */
START_TEST(replay_like_a_set)
{
	enum { SPAN = 1 << 17 };
	static bool seen[SPAN];
	uint64_t greatest = 0, base = 10000;
	struct sim sim = {.random = 42};
	struct sim_node node = {.sim = &sim};
	unsigned int n_accepted = 0, n_refused = 0;

	reset();
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 400000 && base < SPAN - 100; i++, base += i % 4 == 0) {
		uint32_t r;
		uint64_t counter;
		bool fresh;

		sim_random(&node, &r, sizeof(r));
		counter = base + r % 100 - (r >> 8) % 9000;
		fresh = !seen[counter] && counter + W >= greatest;
		ck_assert_int_eq(wg_replay_accept(&window, counter), fresh);
		n_accepted += fresh;
		n_refused += !fresh;
		seen[counter] |= fresh;
		if (fresh && counter > greatest)
			greatest = counter;
	}
	ck_assert_uint_gt(n_refused, 10000);
	ck_assert_uint_gt(n_accepted, 10000);
}
END_TEST

/* ---- allowed IPs ---- */

static struct wg_allowedips table;
static struct wg_peer peers[8]; /* a to h; the table uses their lists only */

static void parse(const char *text, int *family, uint8_t addr[16])
{
	*family = strchr(text, ':') ? AF_INET6 : AF_INET;
	ck_assert_int_eq(inet_pton(*family, text, addr), 1);
}

static void insert(char peer, const char *addr_text, uint8_t len)
{
	uint8_t addr[16];
	int family;

	parse(addr_text, &family, addr);
	ck_assert_int_eq(wg_allowedips_insert(&table, family, addr, len, &peers[peer - 'a']), 0);
}

/* @peer '-': none */
static void finds(const char *addr_text, char peer)
{
	struct wg_peer *found;
	uint8_t addr[16];
	int family;

	parse(addr_text, &family, addr);
	found = wg_allowedips_find(&table, family, addr);
	ck_assert_msg(found == (peer == '-' ? NULL : &peers[peer - 'a']), "%s", addr_text);
}

static void clear(void)
{
	wg_allowedips_free(&table);
	memset(peers, 0, sizeof(peers));
}

static void fill(void)
{
	clear();
	insert('a', "192.168.4.0", 24);
	insert('b', "192.168.4.4", 32);
	insert('c', "192.168.0.0", 16);
	insert('d', "192.95.5.64", 27);
	insert('c', "192.95.5.65", 27); /* the same prefix: moves */
	insert('d', "2607:5300:6000:6b00::c05f:543", 128);
	insert('c', "2607:5300:6000:6b00::", 64);
	insert('e', "0.0.0.0", 0);
	insert('e', "::", 0);
	insert('f', "::", 0);
	insert('g', "2404:6800::", 32);
	insert('h', "2404:6800:4004:800:dead:beef:dead:beef", 64); /* masked */
	insert('a', "2404:6800:4004:800:dead:beef:dead:beef", 128);
	insert('c', "2444:6800:40e4:800:deae:beef:def:beef", 128);
	insert('b', "2444:6800:f0e4:800:eeae:beef::", 98);
	insert('g', "64.15.112.0", 20);
	insert('h', "64.15.123.211", 25);
	insert('a', "10.0.0.0", 25);
	insert('b', "10.0.0.128", 25);
	insert('a', "10.1.0.0", 30);
	insert('b', "10.1.0.4", 30);
	insert('c', "10.1.0.8", 29);
	insert('d', "10.1.0.16", 29);
}

START_TEST(allowed_ips_by_longest_prefix)
{
	fill();
	finds("192.168.4.20", 'a');
	finds("192.168.4.0", 'a');
	finds("192.168.4.4", 'b');
	finds("192.168.200.182", 'c');
	finds("192.95.5.68", 'c');
	finds("192.95.5.96", 'e');
	finds("2607:5300:6000:6b00::c05f:543", 'd');
	finds("2607:5300:6000:6b00::c02e:1ee", 'c');
	finds("2607:5300:6000:6b01::", 'f');
	finds("2404:6800:4004:806::1006", 'g');
	finds("2404:6800:4004:806:0:1234:0:5678", 'g');
	finds("2404:67ff:4004:806:0:1234:0:5678", 'f');
	finds("2404:6801:4004:806:0:1234:0:5678", 'f');
	finds("2404:6800:4004:800:0:1234:0:5678", 'h');
	finds("2404:6800:4004:800:dead:beef:dead:beef", 'a');
	finds("64.15.116.26", 'g');
	finds("64.15.127.3", 'g');
	finds("64.15.123.1", 'g');
	finds("64.15.123.128", 'h');
	finds("64.15.123.129", 'h');
	finds("10.0.0.52", 'a');
	finds("10.0.0.220", 'b');
	finds("10.1.0.2", 'a');
	finds("10.1.0.6", 'b');
	finds("10.1.0.10", 'c');
	finds("10.1.0.20", 'd');
	clear();
}
END_TEST

START_TEST(allowed_ips_of_a_removed_peer_are_gone)
{
	fill();
	insert('a', "1.0.0.0", 32);
	insert('a', "64.0.0.0", 32);
	insert('a', "128.0.0.0", 32);
	insert('a', "192.0.0.0", 32);
	insert('a', "255.0.0.0", 32);
	wg_allowedips_remove_peer(&table, &peers[0]);
	finds("1.0.0.0", 'e');
	finds("64.0.0.0", 'e');
	finds("128.0.0.0", 'e');
	finds("192.0.0.0", 'e');
	finds("255.0.0.0", 'e');
	finds("192.168.4.20", 'c');
	finds("192.168.4.4", 'b');
	finds("2404:6800:4004:800:dead:beef:dead:beef", 'h');
	finds("10.0.0.52", 'e');
	wg_allowedips_remove_peer(&table, &peers[4]);
	finds("10.0.0.52", '-');
	for (int i = 1; i < 8; i++)
		wg_allowedips_remove_peer(&table, &peers[i]);
	ck_assert_ptr_null(table.root4);
	ck_assert_ptr_null(table.root6);
}
END_TEST

START_TEST(allowed_ips_refuses_impossible_prefixes)
{
	uint8_t addr[16] = {0};

	clear();
	ck_assert_int_eq(wg_allowedips_insert(&table, AF_INET, addr, 33, &peers[0]), -EINVAL);
	ck_assert_int_eq(wg_allowedips_insert(&table, AF_INET6, addr, 129, &peers[0]), -EINVAL);
	ck_assert_int_eq(wg_allowedips_insert(&table, AF_UNIX, addr, 8, &peers[0]), -EINVAL);
	ck_assert_ptr_null(table.root4);
}
END_TEST

/* ---- the same against a list that is searched from one end to the other ---- */

enum { N_ROUTES = 600, N_QUERIES = 4000 };

static struct route {
	uint8_t addr[16];
	unsigned int len;
	int peer; /* -1: removed */
} routes[N_ROUTES];

static bool matches(const struct route *r, const uint8_t *addr)
{
	for (unsigned int i = 0; i < r->len; i++)
		if ((r->addr[i / 8] ^ addr[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

static struct wg_peer *find_slowly(const uint8_t *addr)
{
	const struct route *best = NULL;

	for (int i = 0; i < N_ROUTES; i++)
		if (routes[i].peer >= 0 && matches(&routes[i], addr) &&
		    (!best || routes[i].len > best->len))
			best = &routes[i];
	return best ? &peers[best->peer] : NULL;
}

/* @bits: 32 or 128 */
static void compare_with_list(int family, unsigned int bits)
{
	struct sim sim = {.random = bits};
	struct sim_node node = {.sim = &sim};

	clear();
	for (int i = 0; i < N_ROUTES; i++) {
		struct route *r = &routes[i];
		uint8_t dice[3];

		sim_random(&node, r->addr, 16);
		sim_random(&node, dice, sizeof(dice));
		/* most begin like an earlier one, so that they nest and part late */
		if (i && dice[0] % 4)
			memcpy(r->addr, routes[dice[1] % i].addr, dice[0] % (bits / 8));
		r->len = dice[1] % (bits + 1);
		r->peer = dice[2] % 8;
		for (int k = 0; k < i; k++) /* the last one wins */
			if (routes[k].len == r->len && matches(r, routes[k].addr))
				routes[k].peer = -1;
		ck_assert_int_eq(wg_allowedips_insert(&table, family, r->addr, (uint8_t)r->len,
						      &peers[r->peer]),
				 0);
	}
	for (int gone = -1; gone < 8; gone++) {
		if (gone >= 0)
			wg_allowedips_remove_peer(&table, &peers[gone]);
		for (int i = 0; i < N_ROUTES; i++)
			if (routes[i].peer == gone)
				routes[i].peer = -1;
		for (int q = 0; q < N_QUERIES; q++) {
			uint8_t addr[16], dice[2];

			sim_random(&node, addr, sizeof(addr));
			sim_random(&node, dice, sizeof(dice));
			memcpy(addr, routes[q % N_ROUTES].addr, dice[0] % (bits / 8 + 1));
			ck_assert_ptr_eq(wg_allowedips_find(&table, family, addr),
					 find_slowly(addr));
		}
	}
	ck_assert_ptr_null(family == AF_INET ? table.root4 : table.root6);
}

START_TEST(allowed_ips_like_a_list)
{
	compare_with_list(AF_INET, 32);
	compare_with_list(AF_INET6, 128);
}
END_TEST

/* ---- rate limiter ---- */

static struct sockaddr_in source4(uint32_t host)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(host)};
}

static struct sockaddr_in6 source6(uint8_t network, uint8_t host)
{
	struct sockaddr_in6 s = {.sin6_family = AF_INET6};

	s.sin6_addr.s6_addr[0] = 0x20;
	s.sin6_addr.s6_addr[7] = network;
	s.sin6_addr.s6_addr[15] = host;
	return s;
}

START_TEST(rate_is_limited_by_source)
{
	static const struct {
		uint64_t wait_ms;
		bool allowed;
	} steps[] = {{0, true},	 {0, true},  {0, true},	  {0, true}, {0, true}, {0, false},
		     {50, true}, {0, false}, {100, true}, {0, true}, {0, false}};
	struct wg_ratelimit limit;
	struct sockaddr_in a = source4(0x01020304), b = source4(0x01020305);
	struct sockaddr_in6 c = source6(1, 1), d = source6(2, 1);
	uint64_t now = 77;

	wg_ratelimit_init(&limit, (const uint8_t[16]){1});
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		now += steps[i].wait_ms * WG_NS_PER_MS;
		ck_assert_int_eq(wg_ratelimit_allow(&limit, (struct sockaddr *)&a, true, now),
				 steps[i].allowed);
		/* any host of the /64 counts */
		c.sin6_addr.s6_addr[12] = (uint8_t)i;
		ck_assert_int_eq(wg_ratelimit_allow(&limit, (struct sockaddr *)&c, true, now),
				 steps[i].allowed);
		/* the neighbours are not limited by it, only by themselves */
		if (i % 3 == 0) {
			ck_assert(wg_ratelimit_allow(&limit, (struct sockaddr *)&b, true, now));
			ck_assert(wg_ratelimit_allow(&limit, (struct sockaddr *)&d, true, now));
		}
	}
	wg_ratelimit_free(&limit);
}
END_TEST

START_TEST(rate_limiter_remembers_no_more_than_it_may)
{
	struct wg_ratelimit limit;
	struct sockaddr_in s;
	uint64_t now = 0;

	wg_ratelimit_init(&limit, (const uint8_t[16]){2});
	for (uint32_t i = 0; i < WG_RATELIMIT_SOURCES_MAX; i++) {
		s = source4(i);
		ck_assert(wg_ratelimit_allow(&limit, (struct sockaddr *)&s, true, now));
	}
	s = source4(WG_RATELIMIT_SOURCES_MAX);
	ck_assert(!wg_ratelimit_allow(&limit, (struct sockaddr *)&s, true, now));
	wg_ratelimit_collect(&limit, now + WG_NS_PER_S / 2);
	ck_assert(!wg_ratelimit_allow(&limit, (struct sockaddr *)&s, true, now));
	ck_assert_uint_eq(limit.used, WG_RATELIMIT_SOURCES_MAX);
	wg_ratelimit_collect(&limit, now + WG_NS_PER_S);
	ck_assert_uint_eq(limit.used, 0);
	ck_assert_ptr_null(limit.sources);
	ck_assert(wg_ratelimit_allow(&limit, (struct sockaddr *)&s, true, now));
	wg_ratelimit_free(&limit);
}
END_TEST

/* ---- who tried before ---- */

static struct sockaddr_in some_source(uint32_t n)
{
	struct sockaddr_in source = {.sin_family = AF_INET};

	source.sin_addr.s_addr = htonl(0x0b000000 + n * 2654435761U % 0xb0000000);
	source.sin_port = (in_port_t)(n * 40503 >> 8);
	return source;
}

static bool note(struct wg_retries *retries, uint32_t n, uint64_t now)
{
	const struct sockaddr_in source = some_source(n);

	return wg_retries_note(retries, (const struct sockaddr *)&source, now);
}

START_TEST(rate_is_limited_apart_with_and_without_a_cookie)
{
	struct wg_ratelimit limit;
	struct sockaddr_in a = source4(0x01020304);

	wg_ratelimit_init(&limit, (const uint8_t[16]){1});
	for (int i = 0; i < WG_RATELIMIT_BURST; i++)
		ck_assert(wg_ratelimit_allow(&limit, (struct sockaddr *)&a, false, 1));
	ck_assert(!wg_ratelimit_allow(&limit, (struct sockaddr *)&a, false, 1));
	for (int i = 0; i < WG_RATELIMIT_BURST; i++)
		ck_assert(wg_ratelimit_allow(&limit, (struct sockaddr *)&a, true, 1));
	ck_assert(!wg_ratelimit_allow(&limit, (struct sockaddr *)&a, true, 1));
	wg_ratelimit_free(&limit);
}
END_TEST

START_TEST(retries_are_recognised_when_they_are_due)
{
	static const struct {
		uint64_t after_ms;
		bool recognised;
	} cases[] = {{1, false},   {1000, false}, {4000, false}, {4500, false}, {5000, true},
		     {5100, true}, {5333, true},  {6300, false}, {7000, false}, {12000, false}};
	struct wg_retries retries;

	for (uint64_t phase = 0; phase < 2 * WG_RETRIES_SLICE_MS; phase += 7)
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			const uint64_t start = 1000 * SIM_S + phase * SIM_MS;

			wg_retries_init(&retries, (const uint8_t[16]){1});
			ck_assert(!note(&retries, 1, start));
			ck_assert(!note(&retries, 2, start + cases[i].after_ms * SIM_MS));
			ck_assert_int_eq(note(&retries, 1, start + cases[i].after_ms * SIM_MS),
					 cases[i].recognised);
			wg_retries_free(&retries);
		}
	/* soon after boot there is no time before */
	wg_retries_init(&retries, (const uint8_t[16]){1});
	for (uint64_t now = 0; now < 4 * SIM_S; now += SIM_S / 3)
		ck_assert(!note(&retries, 1, now));
	wg_retries_free(&retries);
}
END_TEST

START_TEST(retries_know_address_and_port)
{
	struct wg_retries retries;
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = 7};
	struct sockaddr *source = (struct sockaddr *)&in6;

	wg_retries_init(&retries, (const uint8_t[16]){2});
	ck_assert(!wg_retries_note(&retries, source, 1000 * SIM_S));
	in6.sin6_port = 8;
	ck_assert(!wg_retries_note(&retries, source, 1005 * SIM_S));
	in6.sin6_port = 7;
	in6.sin6_addr.s6_addr[15] = 1;
	ck_assert(!wg_retries_note(&retries, source, 1005 * SIM_S));
	in6.sin6_addr.s6_addr[15] = 0;
	ck_assert(wg_retries_note(&retries, source, 1005 * SIM_S));
	ck_assert(wg_retries_collect(&retries, 1006 * SIM_S));
	ck_assert(!wg_retries_collect(&retries, 1012 * SIM_S));
	ck_assert_ptr_null(retries.bits);
}
END_TEST

/* How many of @per_s made-up sources a second were recognised in the seventh second; and of a
 * hundred that were noted in the second second, with them, how many were when they came again */
static unsigned int mistaken(unsigned int per_s, unsigned int *recognised)
{
	struct wg_retries retries;
	unsigned int found = 0;

	*recognised = 0;
	wg_retries_init(&retries, (const uint8_t[16]){3});
	for (uint32_t i = 0; i < per_s * 7; i++) {
		const uint64_t now = 1000 * SIM_S + i * (SIM_S / per_s);
		const uint32_t real = i % per_s / (per_s / 100);

		found += note(&retries, i, now) && i >= 6 * per_s;
		if (i % (per_s / 100))
			continue;
		if (i / per_s == 1)
			note(&retries, 4000000000U + real, now);
		if (i / per_s == 6)
			*recognised += note(&retries, 4000000000U + real, now);
	}
	wg_retries_free(&retries);
	return found;
}

START_TEST(retries_are_hardly_ever_mistaken)
{
	unsigned int recognised;

	ck_assert_uint_lt(mistaken(200000, &recognised), 200);
	ck_assert_uint_ge(recognised, 99);
	ck_assert_uint_lt(mistaken(350000, &recognised), WG_RECOGNISED_PER_S);
	ck_assert_uint_ge(recognised, 95);
	/* more than fit: a part is noted, and that is recognised */
	ck_assert_uint_lt(mistaken(700000, &recognised), 2 * WG_RECOGNISED_PER_S);
	ck_assert_uint_ge(recognised, 30);
	ck_assert_uint_le(recognised, 70);
}
END_TEST

/* ---- packets ---- */

START_TEST(padding_is_to_16_but_not_past_the_mtu)
{
	static const size_t tests[][3] = {
		/* length, MTU, padded */
		{0, 1420, 0},	    {1, 1420, 16},	{16, 1420, 16},	    {17, 1420, 32},
		{1408, 1420, 1408}, {1409, 1420, 1420}, {1420, 1420, 1420}, {1424, 1420, 1424},
		{5, 0, 5},	    {0, 0, 0}};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		ck_assert_uint_eq(wg_packet_padded(tests[i][0], tests[i][1]), tests[i][2]);
}
END_TEST

START_TEST(declared_length_is_checked)
{
	uint8_t p[100] = {0x45, 0, 0, 60};

	ck_assert_uint_eq(wg_packet_declared_len(p, 100), 60);
	ck_assert_uint_eq(wg_packet_declared_len(p, 60), 60);
	ck_assert_uint_eq(wg_packet_declared_len(p, 59), 0);
	p[3] = 19;
	ck_assert_uint_eq(wg_packet_declared_len(p, 100), 0);
	ck_assert_uint_eq(wg_packet_declared_len(p, 19), 0);
	p[0] = 0x60;
	p[4] = 0;
	p[5] = 20;
	ck_assert_uint_eq(wg_packet_declared_len(p, 100), 60);
	ck_assert_uint_eq(wg_packet_declared_len(p, 59), 0);
	ck_assert_uint_eq(wg_packet_declared_len(p, 39), 0);
	p[4] = 0xff;
	p[5] = 0xff; /* plus the header this passes 16 bits */
	ck_assert_uint_eq(wg_packet_declared_len(p, 100), 0);
	p[0] = 0x55;
	ck_assert_uint_eq(wg_packet_declared_len(p, 100), 0);
	ck_assert_uint_eq(wg_packet_declared_len(p, 0), 0);
}
END_TEST

static uint16_t ipv4_sum(const uint8_t *p)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += wg_get_be16(p + i);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* RFC 6040, figure 4, with "drop" replaced by leaving the packet alone */
START_TEST(ecn_is_combined_by_rfc_6040)
{
	enum { NOT = 0, E1 = 1, E0 = 2, CE = 3 };
	static const uint8_t result[4][4] = {/* by inner, outer */
					     [NOT] = {NOT, NOT, NOT, NOT},
					     [E1] = {E1, E1, E1, CE},
					     [E0] = {E0, E1, E0, CE},
					     [CE] = {CE, CE, CE, CE}};
	uint8_t p[60];

	for (uint8_t inner = 0; inner < 4; inner++)
		for (uint8_t outer = 0; outer < 4; outer++) {
			for (unsigned int id = 0; id < 0x10000; id += 17) {
				sim_packet(p, 60, 0, 1, 9);
				p[1] = 0xb8 | inner;
				wg_put_be16(p + 4, (uint16_t)id);
				wg_put_be16(p + 10, 0);
				wg_put_be16(p + 10, (uint16_t)~ipv4_sum(p));
				wg_packet_decapsulate_ecn(p, AF_INET, 0x88 | outer);
				ck_assert_uint_eq(p[1], 0xb8 | result[inner][outer]);
				ck_assert_uint_eq(ipv4_sum(p), 0xffff);
			}
			memset(p, 0, sizeof(p));
			p[0] = 0x6b;
			p[1] = (uint8_t)(0x85 | inner << 4);
			ck_assert_uint_eq(wg_packet_ecn(p, AF_INET6), inner);
			wg_packet_decapsulate_ecn(p, AF_INET6, outer);
			ck_assert_uint_eq(p[0], 0x6b);
			ck_assert_uint_eq(p[1], 0x85 | result[inner][outer] << 4);
		}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wg_tables");
	TCase *t = tcase_create("tables");

	tcase_set_timeout(t, 180);
	tcase_add_test(t, replay_accepts_each_counter_once_within_the_window);
	tcase_add_test(t, replay_ends_at_the_message_limit);
	tcase_add_test(t, replay_jumps_over_whole_windows);
	tcase_add_test(t, replay_in_bulk);
	tcase_add_test(t, replay_like_a_set);
	tcase_add_test(t, allowed_ips_by_longest_prefix);
	tcase_add_test(t, allowed_ips_of_a_removed_peer_are_gone);
	tcase_add_test(t, allowed_ips_refuses_impossible_prefixes);
	tcase_add_test(t, allowed_ips_like_a_list);
	tcase_add_test(t, rate_is_limited_by_source);
	tcase_add_test(t, rate_is_limited_apart_with_and_without_a_cookie);
	tcase_add_test(t, rate_limiter_remembers_no_more_than_it_may);
	tcase_add_test(t, retries_are_recognised_when_they_are_due);
	tcase_add_test(t, retries_know_address_and_port);
	tcase_add_test(t, retries_are_hardly_ever_mistaken);
	tcase_add_test(t, padding_is_to_16_but_not_past_the_mtu);
	tcase_add_test(t, declared_length_is_checked);
	tcase_add_test(t, ecn_is_combined_by_rfc_6040);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
