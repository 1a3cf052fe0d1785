/* SPDX-License-Identifier: MIT */
/*
 * test_wg_cookie.c - mac1, mac2, cookies and the rate limit under load (5.3, 5.4.4, 5.4.7)
 */
#include "tests/unit/test_wg_sim.h"
#include "wg/cookie.h"
#include "wg/device.h"
#include "wg/peer.h"

/* ---- the macs and cookies themselves ---- */

/** struct macs - both sides: @checker of node 0, @cookie as its peer has it */
struct macs {
	struct sim *sim;
	struct wg_device *dev;
	struct wg_cookie cookie;
	struct wg_endpoint from;
};

static struct macs macs_new(void)
{
	struct macs m = {.sim = sim_new()};

	m.dev = m.sim->nodes[0].dev;
	m.from = sim_address(1);
	wg_cookie_init(&m.cookie, m.sim->nodes[0].public_key);
	return m;
}

/* Gets a cookie: @message was refused. */
static void get_cookie(struct macs *m, const uint8_t *message, size_t len)
{
	struct wg_message_cookie reply;

	wg_cookie_create_reply(m->dev, &reply, message, len, message + 4, &m->from);
	ck_assert_mem_eq(reply.receiver, message + 4, 4);
	ck_assert(wg_cookie_consume_reply(&m->cookie, &reply, m->sim->now));
}

START_TEST(macs_of_every_length)
{
	struct macs m = macs_new();
	uint8_t message[256];

	for (size_t len = 64; len <= 224; len += 16) {
		wg_cookie_init(&m.cookie, m.sim->nodes[0].public_key);
		memset(message, (int)len, sizeof(message));
		wg_cookie_add_macs(&m.cookie, message, len, m.sim->now);
		ck_assert(wg_cookie_check_mac1(&m.dev->cookie_checker, message, len));
		ck_assert(!wg_cookie_check_mac2(m.dev, message, len, &m.from));
		ck_assert(sodium_is_zero(message + len - 16, 16));

		get_cookie(&m, message, len);
		wg_cookie_add_macs(&m.cookie, message, len, m.sim->now);
		ck_assert(wg_cookie_check_mac1(&m.dev->cookie_checker, message, len));
		ck_assert(wg_cookie_check_mac2(m.dev, message, len, &m.from));
		for (size_t i = 0; i < len; i++) {
			message[i] ^= 0x20;
			if (i < len - 16)
				ck_assert(!wg_cookie_check_mac1(&m.dev->cookie_checker, message,
								len));
			ck_assert(!wg_cookie_check_mac2(m.dev, message, len, &m.from));
			message[i] ^= 0x20;
		}
	}
	sim_free(m.sim);
}
END_TEST

START_TEST(cookie_is_bound_to_address_and_port)
{
	struct macs m = macs_new();
	struct wg_endpoint other = m.from, six = {0};
	uint8_t message[148] = {1};

	wg_cookie_add_macs(&m.cookie, message, sizeof(message), m.sim->now);
	get_cookie(&m, message, sizeof(message));
	wg_cookie_add_macs(&m.cookie, message, sizeof(message), m.sim->now);
	ck_assert(wg_cookie_check_mac2(m.dev, message, sizeof(message), &m.from));
	other.to.in.sin_port ^= htons(1);
	ck_assert(!wg_cookie_check_mac2(m.dev, message, sizeof(message), &other));
	other = m.from;
	other.to.in.sin_addr.s_addr ^= htonl(1);
	ck_assert(!wg_cookie_check_mac2(m.dev, message, sizeof(message), &other));

	six.to.in6.sin6_family = AF_INET6;
	six.to.in6.sin6_port = htons(5);
	six.to.in6.sin6_addr.s6_addr[15] = 1;
	m.from = six;
	wg_cookie_add_macs(&m.cookie, message, sizeof(message), m.sim->now);
	get_cookie(&m, message, sizeof(message));
	wg_cookie_add_macs(&m.cookie, message, sizeof(message), m.sim->now);
	ck_assert(wg_cookie_check_mac2(m.dev, message, sizeof(message), &six));
	for (int i = 0; i < 16; i++) {
		other = six;
		other.to.in6.sin6_addr.s6_addr[i] ^= 4;
		ck_assert(!wg_cookie_check_mac2(m.dev, message, sizeof(message), &other));
	}
	sim_free(m.sim);
}
END_TEST

START_TEST(cookie_reply_counts_once_and_unchanged)
{
	struct macs m = macs_new();
	struct wg_message_cookie reply, bad;
	uint8_t message[148] = {1};

	wg_cookie_add_macs(&m.cookie, message, sizeof(message), m.sim->now);
	wg_cookie_create_reply(m.dev, &reply, message, sizeof(message), message + 4, &m.from);
	for (size_t i = 8; i < sizeof(reply); i++) {
		bad = reply;
		((uint8_t *)&bad)[i] ^= 1;
		ck_assert(!wg_cookie_consume_reply(&m.cookie, &bad, m.sim->now));
	}
	ck_assert(wg_cookie_consume_reply(&m.cookie, &reply, m.sim->now));
	ck_assert(!wg_cookie_consume_reply(&m.cookie, &reply, m.sim->now));

	/* an old reply does not answer a new message */
	message[20] ^= 1;
	wg_cookie_add_macs(&m.cookie, message, sizeof(message), m.sim->now);
	ck_assert(!wg_cookie_consume_reply(&m.cookie, &reply, m.sim->now));
	sim_free(m.sim);
}
END_TEST

START_TEST(cookie_ages)
{
	struct macs m = macs_new();
	uint8_t message[148] = {1};
	uint64_t got_at;

	wg_cookie_add_macs(&m.cookie, message, sizeof(message), m.sim->now);
	get_cookie(&m, message, sizeof(message));
	got_at = m.sim->now;
	m.sim->now = got_at + 115 * SIM_S - 1;
	wg_cookie_add_macs(&m.cookie, message, sizeof(message), m.sim->now);
	ck_assert(!sodium_is_zero(message + sizeof(message) - 16, 16));
	m.sim->now = got_at + 115 * SIM_S;
	wg_cookie_add_macs(&m.cookie, message, sizeof(message), m.sim->now);
	ck_assert(sodium_is_zero(message + sizeof(message) - 16, 16));
	ck_assert(sodium_is_zero(m.cookie.cookie, sizeof(m.cookie.cookie)));
	sim_free(m.sim);
}
END_TEST

START_TEST(cookie_secret_changes_every_120_s)
{
	struct macs m = macs_new();
	uint8_t message[148] = {1};
	uint64_t got_at = m.sim->now;

	wg_cookie_add_macs(&m.cookie, message, sizeof(message), m.sim->now);
	get_cookie(&m, message, sizeof(message));
	wg_cookie_add_macs(&m.cookie, message, sizeof(message), m.sim->now);
	m.sim->now = got_at + 120 * SIM_S - 1;
	wg_device_tick(m.dev);
	ck_assert(wg_cookie_check_mac2(m.dev, message, sizeof(message), &m.from));
	m.sim->now = got_at + 120 * SIM_S;
	wg_device_tick(m.dev);
	ck_assert(!wg_cookie_check_mac2(m.dev, message, sizeof(message), &m.from));
	sim_free(m.sim);
}
END_TEST

/* ---- under load ---- */

/* Puts node @i under load with @count initiations that have a right mac1 and nothing else, from
 * sources of which hardly any comes twice. */
static void flood(struct sim *sim, int i, unsigned int count)
{
	struct sim_node *node = &sim->nodes[i];
	struct wg_message_initiation msg;
	struct wg_endpoint from = sim_address(77);
	struct wg_cookie cookie;

	wg_cookie_init(&cookie, node->public_key);
	while (count--) {
		sim_random(node, &from.to.in.sin_addr, 4);
		sim_random(node, &from.to.in.sin_port, 2);
		sim_random(node, &msg, sizeof(msg));
		wg_put_le32(msg.type, WG_MESSAGE_INITIATION);
		wg_cookie_add_macs(&cookie, &msg, sizeof(msg), sim->now);
		wg_device_receive(node->dev, &from, (uint8_t *)&msg, sizeof(msg), sizeof(msg), 0);
	}
}

START_TEST(without_load_no_cookies)
{
	struct sim *sim = sim_new_pair(NULL, NULL);

	flood(sim, 1, WG_HANDSHAKES_LOAD - 1);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(sim->nodes[1].sent[WG_MESSAGE_COOKIE], 0);
	sim_free(sim);
}
END_TEST

START_TEST(under_load_a_cookie_is_needed_and_helps)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];

	flood(sim, 1, WG_HANDSHAKES_LOAD);
	sim_send(sim, 0, 1);
	sim_advance(sim, 0); /* works off the queue */
	/* each of the flood and the initiation of a got one */
	ck_assert_uint_eq(b->sent[WG_MESSAGE_COOKIE], WG_HANDSHAKES_LOAD + 1);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 0);
	ck_assert_uint_eq(b->dev->handshakes.count, 0);
	ck_assert(p0->cookie.has_cookie);

	/* the retry has mac2 and is served although load goes on */
	while (a->sent[WG_MESSAGE_INITIATION] < 2) {
		flood(sim, 1, WG_HANDSHAKES_LOAD);
		sim_advance(sim, 100 * SIM_MS);
	}
	sim_advance(sim, 0);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 1);
	ck_assert_uint_eq(b->delivered, 1);
	sim_free(sim);
}
END_TEST

static bool keep_initiation(struct sim *sim, struct sim_node *from, struct sim_datagram *d)
{
	if (from == &sim->nodes[0] && d->bytes[0] == WG_MESSAGE_INITIATION)
		sim_keep(sim, d);
	return true;
}

/* The network had doubled the initiation: one copy was answered, the other met load. */
START_TEST(cookie_reply_counts_also_when_its_handshake_has_become_a_session)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];
	struct wg_message_cookie reply;

	sim->filter = keep_initiation;
	sim_send(sim, 0, 1);
	sim_advance(sim, 0);
	ck_assert_uint_eq(b->delivered, 1);
	ck_assert_ptr_nonnull(sim->kept);
	wg_cookie_create_reply(b->dev, &reply, sim->kept->bytes, sim->kept->len,
			       sim->kept->bytes + 4, &a->address);
	wg_device_receive(a->dev, &b->address, (uint8_t *)&reply, sizeof(reply), sizeof(reply), 0);
	ck_assert(p0->cookie.has_cookie);
	sim_free(sim);
}
END_TEST

START_TEST(load_lasts_a_second)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *b = &sim->nodes[1];

	flood(sim, 1, WG_HANDSHAKES_LOAD);
	sim_advance(sim, 999 * SIM_MS);
	wg_peer_handshake(wg_peer_next(sim->nodes[0].dev, NULL));
	sim_settle(sim);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 0);
	sim_free(sim);

	sim = sim_new_pair(NULL, NULL);
	flood(sim, 1, WG_HANDSHAKES_LOAD);
	sim_advance(sim, 1000 * SIM_MS);
	wg_peer_handshake(wg_peer_next(sim->nodes[0].dev, NULL));
	sim_settle(sim);
	ck_assert_uint_eq(sim->nodes[1].sent[WG_MESSAGE_RESPONSE], 1);
	sim_free(sim);
}
END_TEST

START_TEST(a_cookie_does_not_lift_the_rate_limit)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];
	struct wg_device_stats stats;
	struct wg_message_initiation msg;

	flood(sim, 1, WG_HANDSHAKES_LOAD);
	sim_send(sim, 0, 1);
	sim_advance(sim, 0);
	ck_assert(p0->cookie.has_cookie);
	flood(sim, 1, WG_HANDSHAKES_LOAD);
	for (int i = 0; i < 9; i++) {
		ck_assert(wg_handshake_create_initiation(p0, &msg));
		wg_cookie_add_macs(&p0->cookie, &msg, sizeof(msg), sim->now);
		wg_device_receive(b->dev, &a->address, (uint8_t *)&msg, sizeof(msg), sizeof(msg),
				  0);
	}
	sim_advance(sim, 0);
	wg_device_stats(b->dev, &stats);
	ck_assert_uint_eq(stats.rx_rate_limited, 9 - WG_RATELIMIT_BURST);
	/* sources are forgotten in time */
	ck_assert_uint_eq(b->dev->ratelimit.used, 1);
	sim->filter = NULL;
	sim_advance(sim, 3 * SIM_S);
	ck_assert_uint_eq(b->dev->ratelimit.used, 0);
	sim_free(sim);
}
END_TEST

START_TEST(flood_neither_stops_data_nor_grows)
{
	enum { QUEUED = WG_HANDSHAKES_LOAD + WG_COOKIES_BURST };
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *b = &sim->nodes[1];
	struct wg_endpoint nowhere = sim_address(200);
	uint8_t wrong[148] = {WG_MESSAGE_INITIATION};
	struct wg_device_stats stats;

	sim_send(sim, 0, 1);
	flood(sim, 1, 3 * WG_HANDSHAKES_QUEUED_MAX);
	ck_assert_uint_eq(b->dev->handshakes.count, QUEUED);
	wg_device_stats(b->dev, &stats);
	ck_assert_uint_eq(stats.rx_rate_limited, 3 * WG_HANDSHAKES_QUEUED_MAX - QUEUED);
	/* what gets no cookie any more costs not even a look at its mac1 */
	wg_device_receive(b->dev, &nowhere, wrong, sizeof(wrong), sizeof(wrong), 0);
	wg_device_stats(b->dev, &stats);
	ck_assert_uint_eq(stats.rx_rate_limited, 3 * WG_HANDSHAKES_QUEUED_MAX - QUEUED + 1);
	ck_assert_uint_eq(stats.rx_bad_mac, 0);
	/* data passes before any of the queue is worked on */
	ck_assert_int_eq(sim_commit(sim, 0, 1, 100, 1), 0);
	wg_device_flush(sim->nodes[0].dev);
	wg_device_receive(b->dev, &sim->queue->from, sim->queue->bytes, sim->queue->len,
			  sim->queue->len, 0);
	ck_assert_uint_eq(b->delivered, 2);
	ck_assert_uint_eq(b->dev->handshakes.count, QUEUED);
	/* and a turn works on a few only */
	wg_device_flush(b->dev);
	ck_assert_uint_eq(b->dev->handshakes.count, QUEUED - WG_HANDSHAKES_PER_TURN);
	wg_device_tick(b->dev);
	ck_assert_uint_eq(b->dev->handshakes.count, QUEUED - 2 * WG_HANDSHAKES_PER_TURN);
	ck_assert_uint_le(wg_device_next_deadline(b->dev), sim->now); /* and goes on at once */
	sim_free(sim);
}
END_TEST

/* Floods node 1 for @ns, with far more than gets cookies. */
static void flood_for(struct sim *sim, uint64_t ns)
{
	for (uint64_t end = sim->now + ns; sim->now < end;) {
		flood(sim, 1, 100);
		sim->n_datagrams = 0;
		sim_advance(sim, 5 * SIM_MS);
	}
}

static bool no_cookie_for_0(struct sim *sim, struct sim_node *from, struct sim_datagram *d)
{
	(void)from;
	return d->bytes[0] != WG_MESSAGE_COOKIE ||
	       d->to.to.in.sin_addr.s_addr != sim->nodes[0].address.to.in.sin_addr.s_addr;
}

/* It gets no cookie, by the flood or by the link, and no answer at first. */
START_TEST(who_tries_again_is_told_from_the_flood)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];

	sim->filter = no_cookie_for_0;
	flood_for(sim, 500 * SIM_MS);
	sim_send(sim, 0, 1);
	flood_for(sim, 4900 * SIM_MS);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 1);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 0);
	flood_for(sim, 600 * SIM_MS);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 2);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 1);
	ck_assert_uint_eq(b->delivered, 1);
	/* the memory of sources goes when the flood has gone */
	ck_assert_ptr_nonnull(b->dev->retries.bits);
	sim_advance(sim, 10 * SIM_S);
	ck_assert_ptr_null(b->dev->retries.bits);
	sim_free(sim);
}
END_TEST

/* An initiation to node @i with a right mac1, garbage besides, from @host and @port. @mac2: which
 * is wrong */
static void garbage_from(struct sim *sim, int i, uint32_t host, uint16_t port, bool mac2)
{
	struct sim_node *node = &sim->nodes[i];
	struct wg_endpoint from = sim_address(77);
	struct wg_message_initiation msg;
	struct wg_cookie cookie;

	wg_cookie_init(&cookie, node->public_key);
	from.to.in.sin_addr.s_addr = htonl(host);
	from.to.in.sin_port = htons(port);
	sim_random(node, &msg, sizeof(msg));
	wg_put_le32(msg.type, WG_MESSAGE_INITIATION);
	wg_cookie_add_macs(&cookie, &msg, sizeof(msg), sim->now);
	if (mac2)
		sim_random(node, msg.macs.mac2, sizeof(msg.macs.mac2));
	wg_device_receive(node->dev, &from, (uint8_t *)&msg, sizeof(msg), sizeof(msg), 0);
}

/* How many messages that are garbage were worked on */
static uint64_t garbage_served(struct sim *sim, int i)
{
	struct wg_device_stats stats;

	wg_device_stats(sim->nodes[i].dev, &stats);
	return stats.rx_bad_mac;
}

/* Who makes up the same sources again at the right time */
START_TEST(repeated_sources_cost_no_more_than_their_budget)
{
	enum { SOURCES = 6000 };
	struct sim *sim = sim_new_pair(NULL, NULL);
	uint64_t before;

	flood(sim, 1, WG_HANDSHAKES_LOAD + WG_COOKIES_BURST + 1);
	for (int round = 0; round < 2; round++) {
		before = garbage_served(sim, 1);
		for (uint32_t n = 0; n < SOURCES; n++) {
			garbage_from(sim, 1, 0x14000000 + n, 1000, false);
			sim->n_datagrams = 0;
			if (n % 6 == 0)
				sim_advance(sim, SIM_MS);
		}
		if (round == 0) {
			ck_assert_uint_eq(garbage_served(sim, 1), before);
			flood_for(sim, 4100 * SIM_MS);
		}
	}
	ck_assert_uint_gt(garbage_served(sim, 1) - before, WG_RECOGNISED_PER_S * 3 / 4);
	ck_assert_uint_le(garbage_served(sim, 1) - before,
			  WG_RECOGNISED_PER_S * 5 / 4 + WG_RECOGNISED_BURST);
	sim_free(sim);
}
END_TEST

/* Nor does one address, from however many ports, take the others' share. */
START_TEST(repeated_sources_are_limited_by_address)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];
	uint64_t before, end;

	sim->filter = no_cookie_for_0;
	flood(sim, 1, WG_HANDSHAKES_LOAD);
	for (end = sim->now + 5 * SIM_S; sim->now < end; sim_advance(sim, SIM_MS)) {
		garbage_from(sim, 1, 0x14000000, (uint16_t)(sim->now / SIM_MS % 400), false);
		flood(sim, 1, 2);
		sim->n_datagrams = 0;
	}
	before = garbage_served(sim, 1);
	sim_send(sim, 0, 1);
	for (end = sim->now + 6 * SIM_S; sim->now < end; sim_advance(sim, SIM_MS)) {
		for (uint16_t port = 0; port < 4; port++)
			garbage_from(sim, 1, 0x14000000,
				     (uint16_t)((sim->now / SIM_MS * 4 + port) % 400), false);
		if (sim->now + SIM_S < end)
			flood(sim, 1, 2);
		sim->n_datagrams = 0;
	}
	ck_assert_uint_gt(garbage_served(sim, 1) - before, 5 * WG_RATELIMIT_PER_S);
	ck_assert_uint_le(garbage_served(sim, 1) - before,
			  6 * WG_RATELIMIT_PER_S + WG_RATELIMIT_BURST);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 2);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 1);
	sim_free(sim);
}
END_TEST

/* Anybody can try again in another's name; that one's cookie is good for as much as before. */
START_TEST(who_has_a_cookie_is_not_limited_by_what_others_send_in_its_name)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];
	const uint32_t host = ntohl(a->address.to.in.sin_addr.s_addr);
	struct wg_message_initiation msg;
	uint64_t before;

	flood(sim, 1, WG_HANDSHAKES_LOAD);
	sim_send(sim, 0, 1);
	sim_advance(sim, 0);
	ck_assert(p0->cookie.has_cookie);
	for (uint16_t port = 1; port <= 2 * WG_RATELIMIT_BURST; port++)
		garbage_from(sim, 1, host, port, false);
	flood_for(sim, 4985 * SIM_MS);
	before = garbage_served(sim, 1);
	for (uint16_t port = 1; port <= 2 * WG_RATELIMIT_BURST; port++)
		garbage_from(sim, 1, host, port, false);
	sim_advance(sim, 0);
	ck_assert_uint_eq(garbage_served(sim, 1) - before, WG_RATELIMIT_BURST);

	flood(sim, 1, WG_HANDSHAKES_LOAD);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 0);
	ck_assert(wg_handshake_create_initiation(p0, &msg));
	wg_cookie_add_macs(&p0->cookie, &msg, sizeof(msg), sim->now);
	wg_device_receive(b->dev, &a->address, (uint8_t *)&msg, sizeof(msg), sizeof(msg), 0);
	sim_advance(sim, 0);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 1);
	sim_free(sim);
}
END_TEST

/* Those who are sent a cookie only leave room in the queue, however slowly that is worked on. */
START_TEST(queue_has_room_for_who_has_a_cookie)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];
	struct wg_message_initiation msg;

	flood(sim, 1, WG_HANDSHAKES_LOAD);
	sim_send(sim, 0, 1);
	sim_advance(sim, 0);
	ck_assert(p0->cookie.has_cookie);
	for (int i = 0; i < 10; i++) {
		flood(sim, 1, WG_HANDSHAKES_QUEUED_MAX);
		sim->now += 100 * SIM_MS;
	}
	ck_assert_uint_eq(b->dev->handshakes.count, WG_HANDSHAKES_UNKNOWN_MAX);
	ck_assert(wg_handshake_create_initiation(p0, &msg));
	wg_cookie_add_macs(&p0->cookie, &msg, sizeof(msg), sim->now);
	wg_device_receive(b->dev, &a->address, (uint8_t *)&msg, sizeof(msg), sizeof(msg), 0);
	ck_assert_uint_eq(b->dev->handshakes.count, WG_HANDSHAKES_UNKNOWN_MAX + 1);
	sim_advance(sim, 0);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 1);
	sim_free(sim);
}
END_TEST

/* Looking at mac2 costs, so who makes that up, too, gets it looked at for some messages only. */
START_TEST(made_up_mac2_keep_out_nobody)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];
	uint32_t host = 0x14000000;

	sim->filter = no_cookie_for_0;
	flood(sim, 1, WG_HANDSHAKES_LOAD);
	sim_send(sim, 0, 1);
	for (uint64_t end = sim->now + 5400 * SIM_MS; sim->now < end; sim_advance(sim, SIM_MS)) {
		for (int i = 0; i < 40; i++)
			garbage_from(sim, 1, host++, 1000, true);
		sim->n_datagrams = 0;
		ck_assert_uint_le(b->dev->handshakes.count, WG_HANDSHAKES_UNKNOWN_MAX);
	}
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 2);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 1);
	sim_free(sim);
}
END_TEST

START_TEST(wrong_mac1_is_met_with_silence)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *b = &sim->nodes[1];
	struct wg_device_stats stats;

	flood(sim, 1, WG_HANDSHAKES_LOAD);
	wg_peer_handshake(wg_peer_next(sim->nodes[0].dev, NULL));
	for (size_t i = 4; i < 148 - 16; i++) {
		struct sim_datagram *d = sim_copy(sim->queue);

		d->bytes[i] ^= 1;
		wg_device_receive(b->dev, &d->from, d->bytes, d->len, d->len, 0);
		free(d);
	}
	ck_assert_uint_eq(b->dev->handshakes.count, WG_HANDSHAKES_LOAD);
	wg_device_stats(b->dev, &stats);
	ck_assert_uint_eq(stats.rx_bad_mac, 148 - 16 - 4);
	sim_free(sim);
}
END_TEST

static bool keep_cookie(struct sim *sim, struct sim_node *from, struct sim_datagram *d)
{
	if (d->bytes[0] == WG_MESSAGE_COOKIE && from == &sim->nodes[1])
		sim_keep(sim, d);
	return true;
}

START_TEST(cookie_reply_moves_no_endpoint_and_no_timer)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *a = &sim->nodes[0];
	struct wg_endpoint elsewhere = sim_address(99), before;
	struct wg_timers timers;

	flood(sim, 1, WG_HANDSHAKES_LOAD);
	sim->filter = keep_cookie;
	wg_peer_handshake(p0);
	/* the reply is held back and comes from elsewhere */
	while (!sim->kept || memcmp(&sim->kept->to.to.in.sin_addr, &a->address.to.in.sin_addr, 4)) {
		struct sim_datagram *d = sim->queue;

		if (d) {
			sim->queue = d->next;
			if (!sim->queue)
				sim->end = &sim->queue;
			if (d->bytes[0] == WG_MESSAGE_INITIATION)
				wg_device_receive(sim->nodes[1].dev, &d->from, d->bytes, d->len,
						  d->len, 0);
			free(d);
		}
		wg_device_flush(sim->nodes[1].dev);
	}
	before = p0->endpoint;
	timers = p0->timers;
	wg_device_receive(a->dev, &elsewhere, sim->kept->bytes, sim->kept->len, sim->kept->len, 0);
	ck_assert(p0->cookie.has_cookie);
	ck_assert_mem_eq(&p0->endpoint, &before, sizeof(before));
	ck_assert_mem_eq(&p0->timers, &timers, sizeof(timers));
	ck_assert_uint_eq(a->events[WG_EVENT_ENDPOINT_CHANGED], 0);
	/* the cookie is for the retry, in its time (section 6.6) */
	wg_device_flush(a->dev);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 1);
	sim_free(sim);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wg_cookie");
	TCase *t = tcase_create("cookies");

	tcase_set_timeout(t, 180);
	tcase_add_test(t, macs_of_every_length);
	tcase_add_test(t, cookie_is_bound_to_address_and_port);
	tcase_add_test(t, cookie_reply_counts_once_and_unchanged);
	tcase_add_test(t, cookie_ages);
	tcase_add_test(t, cookie_secret_changes_every_120_s);
	tcase_add_test(t, without_load_no_cookies);
	tcase_add_test(t, under_load_a_cookie_is_needed_and_helps);
	tcase_add_test(t, cookie_reply_counts_also_when_its_handshake_has_become_a_session);
	tcase_add_test(t, load_lasts_a_second);
	tcase_add_test(t, a_cookie_does_not_lift_the_rate_limit);
	tcase_add_test(t, flood_neither_stops_data_nor_grows);
	tcase_add_test(t, who_tries_again_is_told_from_the_flood);
	tcase_add_test(t, repeated_sources_cost_no_more_than_their_budget);
	tcase_add_test(t, repeated_sources_are_limited_by_address);
	tcase_add_test(t, made_up_mac2_keep_out_nobody);
	tcase_add_test(t, who_has_a_cookie_is_not_limited_by_what_others_send_in_its_name);
	tcase_add_test(t, queue_has_room_for_who_has_a_cookie);
	tcase_add_test(t, wrong_mac1_is_met_with_silence);
	tcase_add_test(t, cookie_reply_moves_no_endpoint_and_no_timer);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
