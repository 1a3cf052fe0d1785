/* SPDX-License-Identifier: MIT */
/*
 * test_wg_attack.c - what others may send us: replays, forgeries, foreign addresses, roaming
 */
#include "tests/unit/test_wg_sim.h"
#include "wg/device.h"
#include "wg/peer.h"
#include "wg/send.h"

/* ---- data ---- */

START_TEST(replayed_data_is_refused_and_moves_nothing)
{
	struct wg_peer *p1;
	struct sim *sim = sim_new_pair(NULL, &p1);
	struct sim_node *b = &sim->nodes[1];
	struct wg_endpoint elsewhere = sim_address(99);
	struct wg_device_stats stats;
	struct sim_datagram *d;
	uint64_t rx_bytes;

	sim_send(sim, 0, 1);
	d = sim_catch_data(sim, 0, 1);
	sim_give(b, &d->from, d);
	ck_assert_uint_eq(b->delivered, 2);
	rx_bytes = p1->rx_bytes;
	sim_give(b, &elsewhere, d);
	ck_assert_uint_eq(b->delivered, 2);
	ck_assert(sim_is_at(p1, &sim->nodes[0].address));
	ck_assert_uint_eq(p1->rx_bytes, rx_bytes);
	wg_device_stats(b->dev, &stats);
	ck_assert_uint_eq(stats.rx_replayed, 1);
	free(d);
	sim_free(sim);
}
END_TEST

START_TEST(replayed_keepalive_is_refused)
{
	struct wg_peer *p1;
	struct sim *sim = sim_new_pair(NULL, &p1);
	struct wg_device_stats stats;
	struct sim_datagram *d;

	sim_send(sim, 0, 1);
	sim_send(sim, 1, 0);
	sim->nodes[0].sim->now += 10 * SIM_S;
	wg_device_tick(sim->nodes[0].dev);
	d = sim_catch(sim);
	ck_assert_uint_eq(d->len, WG_OVERHEAD_BYTES);
	sim_give(&sim->nodes[1], &d->from, d);
	sim_give(&sim->nodes[1], &d->from, d);
	wg_device_stats(sim->nodes[1].dev, &stats);
	ck_assert_uint_eq(stats.rx_replayed, 1);
	ck_assert_uint_eq(sim->nodes[1].delivered, 1);
	free(d);
	sim_free(sim);
}
END_TEST

START_TEST(changed_data_is_refused_and_moves_nothing)
{
	struct wg_peer *p1;
	struct sim *sim = sim_new_pair(NULL, &p1);
	struct sim_node *b = &sim->nodes[1];
	struct wg_endpoint elsewhere = sim_address(99);
	struct wg_timers timers;
	struct sim_datagram *d;

	sim_send(sim, 0, 1);
	d = sim_catch_data(sim, 0, 1);
	timers = p1->timers;
	for (size_t i = 0; i < d->len; i++) {
		d->bytes[i] ^= 0x10;
		sim_give(b, &elsewhere, d);
		d->bytes[i] ^= 0x10;
	}
	d->len--;
	sim_give(b, &elsewhere, d);
	ck_assert_uint_eq(b->delivered, 1);
	ck_assert(sim_is_at(p1, &sim->nodes[0].address));
	ck_assert_mem_eq(&p1->timers, &timers, sizeof(timers));
	/* none of that used up the counter */
	d->len++;
	sim_give(b, &d->from, d);
	ck_assert_uint_eq(b->delivered, 2);
	free(d);
	sim_free(sim);
}
END_TEST

START_TEST(wrong_sizes_and_types_are_malformed)
{
	static const struct {
		uint8_t type[4];
		size_t len;
	} bad[] = {
		{{1, 0, 0, 0}, 147}, {{1, 0, 0, 0}, 149}, {{2, 0, 0, 0}, 91},  {{2, 0, 0, 0}, 93},
		{{3, 0, 0, 0}, 63},  {{3, 0, 0, 0}, 65},  {{4, 0, 0, 0}, 31},  {{0, 0, 0, 0}, 148},
		{{5, 0, 0, 0}, 148}, {{1, 1, 0, 0}, 148}, {{1, 0, 0, 1}, 148}, {{4, 0, 1, 0}, 100},
		{{4, 0, 0, 0}, 3},   {{4, 0, 0, 0}, 1},
	};
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct wg_endpoint from = sim_address(5);
	struct wg_device_stats stats;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t buf[200] = {0};

		memcpy(buf, bad[i].type, 4);
		wg_device_receive(sim->nodes[1].dev, &from, buf, bad[i].len, bad[i].len, 0);
		wg_device_stats(sim->nodes[1].dev, &stats);
		ck_assert_uint_eq(stats.rx_malformed, i + 1);
	}
	ck_assert_uint_eq(sim->nodes[1].dev->handshakes.count, 0);
	sim_free(sim);
}
END_TEST

START_TEST(foreign_source_is_refused_but_proves_life)
{
	struct wg_peer *p1;
	struct sim *sim = sim_new_pair(NULL, &p1);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];
	struct wg_device_stats stats;

	sim_send(sim, 0, 1);
	sim_send(sim, 1, 0);
	ck_assert_uint_ne(p1->timers.due[WG_TIMER_NEW_HANDSHAKE], WG_TIMER_OFF);
	sim_packet(wg_device_tx_buffer(a->dev, 100), 100, 2, 1, 0); /* from 10.0.0.3 */
	ck_assert_int_eq(wg_device_tx_commit(a->dev, 100), 0);
	sim_settle(sim);
	ck_assert_uint_eq(b->delivered, 1);
	wg_device_stats(b->dev, &stats);
	ck_assert_uint_eq(stats.rx_source_refused, 1);
	ck_assert_uint_eq(p1->timers.due[WG_TIMER_NEW_HANDSHAKE], WG_TIMER_OFF);
	sim_free(sim);
}
END_TEST

START_TEST(longest_prefix_decides_over_the_source)
{
	struct sim *sim = sim_new();
	struct sim_node *b = &sim->nodes[1];
	struct wg_peer *p0;
	const uint8_t ten[4] = {10};

	sim_add_peer(sim, 0, 1, true);
	p0 = sim_add_peer(sim, 1, 0, false);
	ck_assert_int_eq(wg_peer_add_allowed_ip(p0, AF_INET, ten, 8), 0);
	sim_packet(wg_device_tx_buffer(sim->nodes[0].dev, 100), 100, 2, 1, 0);
	ck_assert_int_eq(wg_device_tx_commit(sim->nodes[0].dev, 100), 0);
	sim_settle(sim);
	ck_assert_uint_eq(b->delivered, 1); /* inside 10.0.0.0/8 */
	sim_add_peer(sim, 1, 2, false);	    /* who owns 10.0.0.3/32 */
	sim_packet(wg_device_tx_buffer(sim->nodes[0].dev, 100), 100, 2, 1, 0);
	ck_assert_int_eq(wg_device_tx_commit(sim->nodes[0].dev, 100), 0);
	sim_settle(sim);
	ck_assert_uint_eq(b->delivered, 1);
	sim_free(sim);
}
END_TEST

static struct wg_peer *chosen;
static bool admits;

static struct wg_peer *choose(void *ctx, const uint8_t *packet, size_t len)
{
	(void)ctx;
	(void)packet;
	(void)len;
	return chosen;
}

static bool admit(void *ctx, const struct wg_peer *from, const uint8_t *packet, size_t len)
{
	(void)ctx;
	(void)packet;
	(void)len;
	return admits && from == chosen;
}

/* A packet as of node 1 from node 2 to node 0 */
static void send_as_1(struct sim *sim)
{
	struct wg_device *dev = sim->nodes[2].dev;

	sim_packet(wg_device_tx_buffer(dev, 100), 100, 1, 0, 0);
	ck_assert_int_eq(wg_device_tx_commit(dev, 100), 0);
	sim_settle(sim);
}

START_TEST(embedder_may_choose_a_peer_and_admit_its_answers)
{
	struct wg_ops ops = sim_ops;
	struct sim *sim = sim_new();
	struct sim_node *a = &sim->nodes[0];
	struct wg_device_stats stats;
	struct wg_peer *p2;

	ops.choose = choose;
	ops.admit = admit;
	wg_device_free(a->dev);
	a->dev = wg_device_new(&ops, a, a->private_key, SIM_MTU);
	sim_add_peer(sim, 0, 1, true);
	p2 = sim_add_peer(sim, 0, 2, true);
	sim_add_peer(sim, 1, 0, false);
	sim_add_peer(sim, 2, 0, false);

	sim_send(sim, 0, 1);
	ck_assert_uint_eq(sim->nodes[1].delivered, 1);
	chosen = p2;
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(sim->nodes[1].delivered, 1);
	ck_assert_uint_eq(sim->nodes[2].delivered, 1);

	send_as_1(sim);
	wg_device_stats(a->dev, &stats);
	ck_assert_uint_eq(stats.rx_source_refused, 1);
	ck_assert_uint_eq(a->delivered, 0);
	admits = true;
	send_as_1(sim);
	ck_assert_uint_eq(a->delivered, 1);
	ck_assert_ptr_eq(a->last_from, p2);
	sim_free(sim);
}
END_TEST

START_TEST(odd_contents_are_not_delivered)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *b = &sim->nodes[1];
	struct wg_device_stats stats;
	uint8_t p[64];

	sim_send(sim, 0, 1);
	for (unsigned int i = 0; i < 5; i++) {
		sim_packet(p, sizeof(p), 0, 1, 0);
		if (i == 0)
			p[0] = 0x00; /* no IP version */
		if (i == 1)
			wg_put_be16(p + 2, 65); /* longer than what came */
		if (i == 2)
			wg_put_be16(p + 2, 19); /* shorter than its header */
		if (i == 3)
			p[0] = 0x60, p[4] = 0xff, p[5] = 0xff; /* plus the header wraps 16 bits */
		wg_peer_stage(p0, p, sizeof(p), 0);
		wg_send_staged(p0);
		sim_settle(sim);
		wg_device_stats(b->dev, &stats);
		ck_assert_uint_eq(stats.rx_malformed, i < 4 ? i + 1 : 4);
	}
	ck_assert_uint_eq(b->delivered, 2);
	sim_free(sim);
}
END_TEST

/* ---- handshakes ---- */

START_TEST(replayed_initiation_is_ignored)
{
	struct wg_peer *p1;
	struct sim *sim = sim_new_pair(NULL, &p1);
	struct sim_node *b = &sim->nodes[1];
	struct wg_endpoint elsewhere = sim_address(99);
	struct sim_datagram *d = sim_catch_initiation(sim, 0);

	sim_give(b, &d->from, d);
	wg_device_flush(b->dev);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 1);
	sim->now += SIM_S;
	sim_give(b, &elsewhere, d);
	wg_device_flush(b->dev);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 1);
	ck_assert(sim_is_at(p1, &sim->nodes[0].address));
	free(d);
	sim_free(sim);
}
END_TEST

START_TEST(older_initiation_is_ignored)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *b = &sim->nodes[1];
	struct sim_datagram *older = sim_catch_initiation(sim, 0), *newer;

	sim->now += 5 * SIM_S;
	newer = sim_catch_initiation(sim, 0);
	sim_give(b, &newer->from, newer);
	wg_device_flush(b->dev);
	sim->now += SIM_S;
	sim_give(b, &older->from, older);
	wg_device_flush(b->dev);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 1);
	free(older);
	free(newer);
	sim_free(sim);
}
END_TEST

START_TEST(one_initiation_per_peer_and_20_ms)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *b = &sim->nodes[1];

	for (int i = 0; i < 3; i++) {
		struct sim_datagram *d;

		p0->initiation_allowed_at = 0;
		sim->wall.tv_sec++; /* each has a later timestamp */
		d = sim_catch_initiation(sim, 0);
		sim_give(b, &d->from, d);
		wg_device_flush(b->dev);
		free(d);
		sim_drop_all(sim);
		sim->now += 12 * SIM_MS;
	}
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 2); /* at 0 and 24 ms */
	sim_free(sim);
}
END_TEST

START_TEST(initiations_go_on_after_the_clock_is_set_back)
{
	struct sim *sim = sim_new_pair(NULL, NULL);

	sim_send(sim, 0, 1);
	sim->wall.tv_sec -= 86400;
	sim_advance(sim, 121 * SIM_S);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(sim->nodes[1].events[WG_EVENT_HANDSHAKE_DONE], 2);
	sim_free(sim);
}
END_TEST

START_TEST(unknown_initiator_gets_no_answer)
{
	struct sim *sim = sim_new();
	struct wg_device_stats stats;

	sim_add_peer(sim, 0, 1, true);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(sim->nodes[1].sent[WG_MESSAGE_RESPONSE], 0);
	wg_device_stats(sim->nodes[1].dev, &stats);
	ck_assert_uint_eq(stats.rx_bad_mac, 1);
	sim_free(sim);
}
END_TEST

/* mac1 can be made by anybody who knows the public key, so it is right in all of these. */
START_TEST(forged_handshakes_disturb_nothing)
{
	struct wg_peer *p0, *p1;
	struct sim *sim = sim_new_pair(&p0, &p1);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];
	struct wg_endpoint elsewhere = sim_address(99);
	struct sim_datagram *initiation = sim_catch_initiation(sim, 0), *response;
	struct wg_cookie macs;

	/* the responder is about to begin one, too */
	wg_peer_set_endpoint(p1, &a->address);
	wg_peer_handshake(p1);
	sim_drop_all(sim);
	wg_cookie_init(&macs, b->public_key);
	for (size_t i = 8; i < 148 - 32; i += 5) {
		struct sim_datagram *bad = sim_copy(initiation);

		bad->bytes[i] ^= 1;
		wg_cookie_add_macs(&macs, bad->bytes, bad->len, sim->now);
		sim_give(b, &elsewhere, bad);
		wg_device_flush(b->dev);
		free(bad);
	}
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 0);
	ck_assert_int_eq(p1->handshake.state, WG_HANDSHAKE_CREATED_INITIATION);
	ck_assert(sim_is_at(p1, &a->address));
	sim_give(b, &initiation->from, initiation);
	wg_device_flush(b->dev);
	response = sim_catch(sim);

	wg_cookie_init(&macs, a->public_key);
	for (size_t i = 12; i < 92 - 32; i++) {
		struct sim_datagram *bad = sim_copy(response);

		bad->bytes[i] ^= 1;
		wg_cookie_add_macs(&macs, bad->bytes, bad->len, sim->now);
		sim_give(a, &elsewhere, bad);
		wg_device_flush(a->dev);
		free(bad);
	}
	ck_assert_int_eq(p0->handshake.state, WG_HANDSHAKE_CREATED_INITIATION);
	ck_assert(sim_is_at(p0, &b->address));
	sim_give(a, &response->from, response);
	wg_device_flush(a->dev);
	ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_DONE], 1);
	/* a second response to the same initiation finds nobody */
	sim_give(a, &elsewhere, response);
	wg_device_flush(a->dev);
	ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_DONE], 1);
	ck_assert(sim_is_at(p0, &b->address));
	free(initiation);
	free(response);
	sim_free(sim);
}
END_TEST

/* ---- roaming ---- */

START_TEST(peer_is_followed_where_it_authentically_is)
{
	struct wg_peer *p1;
	struct sim *sim = sim_new_pair(NULL, &p1);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];

	sim_send(sim, 0, 1);
	ck_assert_uint_eq(b->events[WG_EVENT_ENDPOINT_CHANGED], 1); /* from: not known */
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(b->events[WG_EVENT_ENDPOINT_CHANGED], 1);
	a->address = sim_address(42);
	a->address.to.in.sin_port = htons(1234);
	a->address.ifindex = 3;
	sim_send(sim, 0, 1);
	ck_assert(sim_is_at(p1, &a->address));
	ck_assert_uint_eq(p1->endpoint.ifindex, 3);
	ck_assert_uint_eq(b->events[WG_EVENT_ENDPOINT_CHANGED], 2);
	sim_send(sim, 1, 0);
	ck_assert_uint_eq(a->delivered, 1);
	sim_free(sim);
}
END_TEST

START_TEST(retry_forgets_our_own_address)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct wg_endpoint e = sim->nodes[1].address;

	e.from4.s_addr = htonl(0x0a090807);
	e.ifindex = 7;
	e.to.in.sin_addr.s_addr = htonl(0xc6336401); /* nobody */
	wg_peer_set_endpoint(p0, &e);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(p0->endpoint.ifindex, 7);
	sim_advance(sim, 6 * SIM_S);
	ck_assert_uint_eq(p0->endpoint.ifindex, 0);
	ck_assert_uint_eq(p0->endpoint.from4.s_addr, 0);
	ck_assert_uint_eq(p0->endpoint.to.in.sin_addr.s_addr, htonl(0xc6336401));
	sim_free(sim);
}
END_TEST

/* ---- anything ---- */

/* Authentic datagrams, changed at random, cut, repeated and mixed: nothing may crash, and nothing
 * that was changed may be delivered. */
START_TEST(randomly_changed_messages_do_nothing)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *b = &sim->nodes[1];
	unsigned int delivered;

	sim_send(sim, 0, 1);
	delivered = b->delivered;
	for (int i = 0; i < 20000; i++) {
		struct sim_datagram *d;
		uint8_t dice[8];

		sim_random(b, dice, sizeof(dice));
		if (i % 500 == 0) {
			sim_advance(sim, 6 * SIM_S);
			sim_keep(sim, (d = sim_catch_initiation(sim, 0)));
			free(d);
		} else if (i % 500 == 250) {
			sim_advance(sim, 6 * SIM_S); /* the retry makes a new session */
			sim_keep(sim, (d = sim_catch_data(sim, 0, 1)));
			free(d);
		}
		d = sim_copy(sim->kept);
		d->bytes[dice[0] % d->len] ^= (uint8_t)(dice[1] | 1);
		if (dice[2] < 40)
			d->len = dice[3] % (d->len + 1);
		if (d->len)
			wg_device_receive(b->dev, &d->from, d->bytes, d->len,
					  dice[4] < 20 ? dice[5] + 1U : d->len, dice[6]);
		free(d);
		wg_device_flush(b->dev);
		sim_drop_all(sim);
		sim->n_datagrams = 0;
	}
	ck_assert_uint_eq(b->delivered, delivered);
	sim_free(sim);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wg_attack");
	TCase *t = tcase_create("attacks");

	tcase_set_timeout(t, 180);
	tcase_add_test(t, replayed_data_is_refused_and_moves_nothing);
	tcase_add_test(t, replayed_keepalive_is_refused);
	tcase_add_test(t, changed_data_is_refused_and_moves_nothing);
	tcase_add_test(t, wrong_sizes_and_types_are_malformed);
	tcase_add_test(t, foreign_source_is_refused_but_proves_life);
	tcase_add_test(t, longest_prefix_decides_over_the_source);
	tcase_add_test(t, embedder_may_choose_a_peer_and_admit_its_answers);
	tcase_add_test(t, odd_contents_are_not_delivered);
	tcase_add_test(t, replayed_initiation_is_ignored);
	tcase_add_test(t, older_initiation_is_ignored);
	tcase_add_test(t, one_initiation_per_peer_and_20_ms);
	tcase_add_test(t, initiations_go_on_after_the_clock_is_set_back);
	tcase_add_test(t, unknown_initiator_gets_no_answer);
	tcase_add_test(t, forged_handshakes_disturb_nothing);
	tcase_add_test(t, peer_is_followed_where_it_authentically_is);
	tcase_add_test(t, retry_forgets_our_own_address);
	tcase_add_test(t, randomly_changed_messages_do_nothing);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
