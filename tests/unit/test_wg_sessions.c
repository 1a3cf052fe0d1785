/* SPDX-License-Identifier: MIT */
/*
 * test_wg_sessions.c - how handshakes become sessions: states, slots and indices
 */
#include "tests/unit/test_wg_sim.h"
#include "wg/aead.h"
#include "wg/device.h"
#include "wg/peer.h"

/* ---- states ---- */

START_TEST(each_step_of_a_handshake_needs_the_one_before)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];
	struct sim_datagram *initiation = sim_catch_initiation(sim, 0), *response;
	struct wg_message_response msg;

	sim_give(b, &a->address, initiation);
	wg_device_flush(b->dev);
	response = sim_catch(sim);
	for (int state = WG_HANDSHAKE_ZEROED; state <= WG_HANDSHAKE_CONSUMED_RESPONSE; state++) {
		if (state == WG_HANDSHAKE_CREATED_INITIATION)
			continue;
		p0->handshake.state = (enum wg_handshake_state)state;
		if (state != WG_HANDSHAKE_CONSUMED_INITIATION)
			ck_assert(!wg_handshake_create_response(p0, &msg));
		if (state < WG_HANDSHAKE_CREATED_RESPONSE)
			ck_assert(!wg_handshake_begin_session(p0));
		/* authentic, and for the right index */
		sim_give(a, &b->address, response);
		wg_device_flush(a->dev);
		ck_assert_int_eq((int)p0->handshake.state, state);
		ck_assert_ptr_null(p0->keypairs.current);
	}
	p0->handshake.state = WG_HANDSHAKE_CREATED_INITIATION;
	sim_give(a, &b->address, response);
	wg_device_flush(a->dev);
	ck_assert_ptr_nonnull(p0->keypairs.current);
	free(initiation);
	free(response);
	sim_free(sim);
}
END_TEST

/* ---- the three slots ---- */

START_TEST(unconfirmed_sessions_cannot_push_out_the_current_one)
{
	struct wg_peer *p0, *p1;
	struct sim *sim = sim_new_pair(&p0, &p1);
	struct sim_node *b = &sim->nodes[1];
	const struct wg_keypair *current;

	sim_send(sim, 0, 1);
	current = p1->keypairs.current;
	for (int i = 0; i < 5; i++) {
		struct sim_datagram *d;

		sim_advance(sim, 5 * SIM_S);
		sim_drop_all(sim);
		d = sim_catch_initiation(sim, 0);
		sim_give(b, &d->from, d);
		wg_device_flush(b->dev);
		sim_drop_all(sim);
		free(d);
		p0->timers.due[WG_TIMER_RETRANSMIT] = WG_TIMER_OFF;
		ck_assert_ptr_eq(p1->keypairs.current, current);
		ck_assert_ptr_nonnull(p1->keypairs.next);
	}
	sim_send(sim, 1, 0);
	ck_assert_uint_eq(sim->nodes[0].delivered, 1);
	sim_free(sim);
}
END_TEST

START_TEST(index_kinds_are_not_confused)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *a = &sim->nodes[0];
	struct wg_device_stats stats;
	struct sim_datagram *d = sim_catch_initiation(sim, 0);
	uint8_t buf[148] = {WG_MESSAGE_DATA};
	struct wg_cookie macs;

	/* data to the index of a handshake */
	memcpy(buf + 4, d->bytes + 4, 4);
	wg_device_receive(a->dev, &d->from, buf, 100, 100, 0);
	wg_device_stats(a->dev, &stats);
	ck_assert_uint_eq(stats.rx_bad_mac, 1);
	sim_queue(sim, d);
	sim_settle(sim);
	/* an authentic response, but to the index of the session: that is not part of what the
	 * transcript protects */
	sim_advance(sim, 5 * SIM_S);
	d = sim_catch_initiation(sim, 0);
	sim_give(&sim->nodes[1], &d->from, d);
	wg_device_flush(sim->nodes[1].dev);
	free(d);
	d = sim_catch(sim);
	memcpy(buf, d->bytes, d->len);
	wg_put_le32(buf + 8, p0->keypairs.current->index.value);
	wg_cookie_init(&macs, a->public_key);
	wg_cookie_add_macs(&macs, buf, d->len, sim->now);
	wg_device_receive(a->dev, &d->from, buf, d->len, d->len, 0);
	wg_device_flush(a->dev);
	wg_device_stats(a->dev, &stats);
	ck_assert_uint_eq(stats.rx_bad_mac, 2);
	ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_DONE], 1);
	sim_queue(sim, d);
	sim_settle(sim);
	ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_DONE], 2);
	sim_free(sim);
}
END_TEST

static unsigned int count_indices(struct wg_device *dev)
{
	unsigned int n = 0;

	for (int i = 0; i < WG_INDEX_BUCKETS; i++)
		for (struct wg_index *x = dev->indices.buckets[i]; x; x = x->next) {
			ck_assert_ptr_eq(wg_index_find(dev, x->value), x);
			n++;
		}
	return n;
}

START_TEST(indices_are_never_shared_and_do_not_pile_up)
{
	struct wg_peer *both[2];
	struct sim *sim = sim_new_pair(&both[0], &both[1]);

	for (int i = 0; i < 50; i++) {
		sim_send(sim, 0, 1);
		sim_advance(sim, 121 * SIM_S);
	}
	/* current and previous session, and none on a node that never talked */
	ck_assert_uint_eq(count_indices(sim->nodes[0].dev), 2);
	ck_assert_uint_eq(count_indices(sim->nodes[1].dev), 2);
	ck_assert_uint_eq(count_indices(sim->nodes[2].dev), 0);
	for (int i = 0; i < 2 * WG_KEYPAIR_SLOTS; i++) {
		const struct wg_keypairs *all = &both[i / WG_KEYPAIR_SLOTS]->keypairs;
		const struct wg_keypair *kp = &all->slots[i % WG_KEYPAIR_SLOTS];

		ck_assert_ptr_nonnull(all->current);
		ck_assert_ptr_nonnull(all->previous);
		if (kp != all->current && kp != all->previous)
			ck_assert(sodium_is_zero((const uint8_t *)kp, sizeof(*kp)));
	}
	sim_free(sim);
}
END_TEST

static bool no_data(struct sim *sim, struct sim_node *from, struct sim_datagram *d)
{
	(void)sim;
	(void)from;
	return d->bytes[0] != WG_MESSAGE_DATA;
}

/* Of sessions in one buffer the oldest is over, the newest gets confirmed, the middle goes on. */
START_TEST(sessions_may_mix_in_a_buffer)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *b = &sim->nodes[1];
	struct wg_device_stats stats;
	struct sim_datagram *d[4];
	uint8_t buf[4 * 144];

	sim_send(sim, 0, 1);
	d[0] = sim_catch_data(sim, 0, 1);
	d[2] = sim_catch_data(sim, 0, 1);
	sim_advance(sim, 6 * SIM_S);
	wg_peer_handshake(wg_peer_next(sim->nodes[0].dev, NULL));
	sim_settle(sim);
	d[3] = sim_catch_data(sim, 0, 1);
	sim_advance(sim, 6 * SIM_S);
	d[1] = sim_catch_initiation(sim, 0);
	sim_queue(sim, d[1]);
	sim->filter = no_data; /* what would confirm it */
	sim_settle(sim);
	sim->filter = NULL;
	d[1] = sim_catch_data(sim, 0, 1);
	for (int i = 0; i < 4; i++) {
		ck_assert_uint_eq(d[i]->len, 144);
		memcpy(buf + i * 144, d[i]->bytes, 144);
		free(d[i]);
	}
	ck_assert_uint_eq(b->delivered, 1);
	wg_device_receive(b->dev, &sim->nodes[0].address, buf, sizeof(buf), 144, 0);
	ck_assert_uint_eq(b->delivered, 3);
	wg_device_stats(b->dev, &stats);
	ck_assert_uint_eq(stats.rx_bad_mac, 2);
	ck_assert_uint_eq(b->events[WG_EVENT_HANDSHAKE_DONE], 3);
	/* all of them were young */
	ck_assert_uint_eq(b->events[WG_EVENT_SESSION_REPLACED], 2);
	ck_assert_uint_eq(sim->nodes[0].events[WG_EVENT_SESSION_REPLACED], 2);
	sim_free(sim);
}
END_TEST

/* A renewal does not lose what is under way in either direction. */
START_TEST(packets_of_the_session_before_still_arrive)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];
	struct sim_datagram *there, *back;

	sim_send(sim, 0, 1);
	there = sim_catch_data(sim, 0, 1);
	back = sim_catch_data(sim, 1, 0);
	sim_advance(sim, 121 * SIM_S);
	sim_send(sim, 0, 1);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(b->events[WG_EVENT_HANDSHAKE_DONE], 2);
	ck_assert_uint_eq(b->delivered, 3);
	sim_give(b, &a->address, there);
	sim_give(a, &b->address, back);
	ck_assert_uint_eq(b->delivered, 4);
	ck_assert_uint_eq(a->delivered, 1);
	free(there);
	free(back);
	sim_free(sim);
}
END_TEST

/* b begins a session that a does not see confirmed; then a begins one whose confirmation b does not
 * see. b goes on with its own, which a must have kept. */
START_TEST(unconfirmed_session_becomes_the_previous_one)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new();
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];
	struct sim_datagram *d;

	p0 = sim_add_peer(sim, 0, 1, true);
	sim_add_peer(sim, 1, 0, true);
	d = sim_catch_initiation(sim, 1);
	sim_give(a, &b->address, d);
	free(d);
	wg_device_flush(a->dev);
	d = sim_catch(sim);
	sim_give(b, &a->address, d);
	free(d);
	wg_device_flush(b->dev);
	sim_drop_all(sim);
	ck_assert_ptr_nonnull(p0->keypairs.next);

	sim->now += 5 * SIM_S;
	d = sim_catch_initiation(sim, 0);
	sim_give(b, &a->address, d);
	free(d);
	wg_device_flush(b->dev);
	d = sim_catch(sim);
	sim_give(a, &b->address, d);
	free(d);
	wg_device_flush(a->dev);
	sim_drop_all(sim);
	ck_assert_ptr_null(p0->keypairs.next);
	ck_assert_ptr_nonnull(p0->keypairs.previous);
	d = sim_catch_data(sim, 1, 0);
	sim_give(a, &b->address, d);
	ck_assert_uint_eq(a->delivered, 1);
	free(d);
	sim_free(sim);
}
END_TEST

/* ---- indices ---- */

static uint32_t draws[] = {7, 7, 7, 9};
static size_t n_drawn;

static void draw(void *ctx, void *buf, size_t len)
{
	if (len == sizeof(draws[0]) && n_drawn < sizeof(draws) / sizeof(draws[0]))
		memcpy(buf, &draws[n_drawn++], len);
	else
		sim_random(ctx, buf, len);
}

START_TEST(index_that_is_taken_is_drawn_again)
{
	struct sim *sim = sim_new();
	struct wg_ops ops = sim_ops;
	struct wg_index one = {0}, other = {0};
	struct wg_device *dev;

	ops.random = draw;
	dev = wg_device_new(&ops, &sim->nodes[0], sim->nodes[0].private_key, SIM_MTU);
	wg_index_insert(dev, &one, NULL, WG_INDEX_HANDSHAKE);
	wg_index_insert(dev, &other, NULL, WG_INDEX_KEYPAIR);
	ck_assert_uint_eq(n_drawn, 4);
	ck_assert_ptr_eq(wg_index_find(dev, 7), &one);
	ck_assert_ptr_eq(wg_index_find(dev, 9), &other);
	wg_index_remove(dev, &one);
	ck_assert_ptr_null(wg_index_find(dev, 7));
	wg_index_remove(dev, &other);
	wg_device_free(dev);
	sim_free(sim);
}
END_TEST

/* Nobody can count handshakes or peers by them: each bit is set in about half of them. */
START_TEST(indices_look_random)
{
	enum { N = 200 };
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	unsigned int ones[32] = {0};

	for (int i = 0; i < N; i++) {
		struct sim_datagram *d;

		p0->initiation_allowed_at = 0;
		d = sim_catch_initiation(sim, 0);
		for (int bit = 0; bit < 32; bit++)
			ones[bit] += wg_get_le32(d->bytes + 4) >> bit & 1;
		free(d);
	}
	for (int bit = 0; bit < 32; bit++) {
		ck_assert_uint_gt(ones[bit], N / 4);
		ck_assert_uint_lt(ones[bit], N - N / 4);
	}
	sim_free(sim);
}
END_TEST

/* Were the index of a handshake taken for that of a session, the keys would be what lies beside
 * it. */
START_TEST(handshake_is_never_taken_for_a_session)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *a = &sim->nodes[0];
	struct sim_datagram *d = sim_catch_initiation(sim, 0);
	const struct wg_keypair *wrong = wg_keypair_of_index(&p0->handshake.index);
	uint8_t buf[WG_OVERHEAD_BYTES + 32] = {WG_MESSAGE_DATA};
	struct wg_aead_job job = {.data = buf + 16, .len = 32};
	struct wg_device_stats stats;

	memcpy(buf + 4, d->bytes + 4, 4);
	wg_aead_sodium.seal(NULL, wrong->receive_key, &job, 1);
	wg_device_receive(a->dev, &sim->nodes[1].address, buf, sizeof(buf), sizeof(buf), 0);
	wg_device_stats(a->dev, &stats);
	ck_assert_uint_eq(stats.rx_bad_mac, 1);
	ck_assert_uint_eq(p0->rx_bytes, 0);
	free(d);
	sim_free(sim);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wg_sessions");
	TCase *t = tcase_create("sessions");

	tcase_set_timeout(t, 180);
	tcase_add_test(t, each_step_of_a_handshake_needs_the_one_before);
	tcase_add_test(t, unconfirmed_sessions_cannot_push_out_the_current_one);
	tcase_add_test(t, sessions_may_mix_in_a_buffer);
	tcase_add_test(t, packets_of_the_session_before_still_arrive);
	tcase_add_test(t, unconfirmed_session_becomes_the_previous_one);
	tcase_add_test(t, index_kinds_are_not_confused);
	tcase_add_test(t, indices_are_never_shared_and_do_not_pile_up);
	tcase_add_test(t, index_that_is_taken_is_drawn_again);
	tcase_add_test(t, indices_look_random);
	tcase_add_test(t, handshake_is_never_taken_for_a_session);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
