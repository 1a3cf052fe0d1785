/* SPDX-License-Identifier: MIT */
/*
 * test_wg_timers.c - what happens when: retries, keepalives, renewal, expiry (section 6)
 */
#include "tests/unit/test_wg_sim.h"
#include "wg/device.h"
#include "wg/peer.h"

/* ---- two nodes that know each other, where only a has b's endpoint ---- */

static struct sim *sim;
static struct sim_node *a, *b;
static struct wg_peer *p0, *p1; /* b at a, a at b */

static void setup(void)
{
	sim = sim_new_pair(&p0, &p1);
	a = &sim->nodes[0];
	b = &sim->nodes[1];
}

static void teardown(void)
{
	sim_free(sim);
}

/* From now on @filter decides what is lost, of what @node sends; NULL: nothing is. */
static void lose(bool (*filter)(struct sim *, struct sim_node *, struct sim_datagram *),
		 struct sim_node *node)
{
	sim->filter = filter;
	sim->filter_arg = node;
}

START_TEST(initiation_is_retried_20_times_then_given_up)
{
	struct wg_peer_stats stats;
	struct wg_device_stats device_stats;
	uint64_t start = sim->now;

	lose(sim_lose_all, NULL);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 1);
	for (unsigned int n = 2; n <= 20; n++) {
		sim_advance(sim, 4999 * SIM_MS);
		ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], n - 1);
		while (a->sent[WG_MESSAGE_INITIATION] < n) {
			sim_advance(sim, SIM_MS);
			ck_assert_uint_le(sim->now - start,
					  n * (5000 + WG_TIMER_JITTER_MS) * SIM_MS);
		}
	}
	wg_peer_stats(p0, &stats);
	ck_assert_uint_eq(stats.handshake_attempts, 20);
	ck_assert(!stats.has_session);
	ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_RETRY], 19);
	sim_advance(sim, 60 * SIM_S);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 20);
	ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_GAVE_UP], 1);
	wg_device_stats(a->dev, &device_stats);
	ck_assert_uint_eq(device_stats.tx_staged_dropped, 1);

	/* what is left of the attempt does not stay for ever */
	ck_assert_int_eq(p0->handshake.state, WG_HANDSHAKE_CREATED_INITIATION);
	sim_advance(sim, 540 * SIM_S);
	ck_assert_int_eq(p0->handshake.state, WG_HANDSHAKE_ZEROED);
	ck_assert(sodium_is_zero(p0->handshake.ephemeral_private, 32));

	/* a new packet begins a new attempt */
	lose(NULL, NULL);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(b->delivered, 1);
}
END_TEST

START_TEST(retries_are_jittered)
{
	uint64_t shortest = UINT64_MAX, longest = 0, last = sim->now;

	lose(sim_lose_all, NULL);
	sim_send(sim, 0, 1);
	for (unsigned int n = 2; n <= 20; n++) {
		while (a->sent[WG_MESSAGE_INITIATION] < n)
			sim_advance(sim, SIM_MS);
		if (sim->now - last < shortest)
			shortest = sim->now - last;
		if (sim->now - last > longest)
			longest = sim->now - last;
		last = sim->now;
	}
	ck_assert_uint_gt(longest - shortest, 50 * SIM_MS);
	ck_assert_uint_le(longest, (5000 + WG_TIMER_JITTER_MS + 1) * SIM_MS);
}
END_TEST

START_TEST(more_packets_do_not_mean_more_initiations)
{
	lose(sim_lose_all, NULL);
	for (int i = 0; i < 49; i++) {
		sim_send(sim, 0, 1);
		wg_peer_handshake(p0);
		sim_advance(sim, 100 * SIM_MS);
	}
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 1);
}
END_TEST

/* The embedder looks the peer's name up anew on this event, and packets must not keep it away. */
START_TEST(silence_is_told_although_packets_go_on_coming)
{
	lose(sim_lose_all, NULL);
	p0->endpoint.ifindex = 7;
	for (int i = 0; i <= 200; i++) {
		sim_send(sim, 0, 1);
		sim_advance(sim, 100 * SIM_MS);
		ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_RETRY],
				  a->sent[WG_MESSAGE_INITIATION] - 1);
	}
	ck_assert_uint_ge(a->sent[WG_MESSAGE_INITIATION], 4);
	ck_assert_uint_eq(p0->endpoint.ifindex, 0);
}
END_TEST

START_TEST(response_counts_as_an_initiation)
{
	lose(sim_lose_from, b);
	wg_peer_handshake(p0);
	sim_settle(sim);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 1);
	lose(sim_lose_all, NULL);
	sim_send(sim, 1, 0);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_INITIATION], 0);
	sim->now += 5 * SIM_S;
	sim_send(sim, 1, 0);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_INITIATION], 1);
}
END_TEST

START_TEST(attempt_survives_a_response_between)
{
	wg_peer_set_endpoint(p1, &a->address);
	lose(sim_lose_from, a);
	sim_send(sim, 0, 1);
	sim_advance(sim, 3 * SIM_S);
	wg_peer_handshake(p1);
	sim_settle(sim);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_RESPONSE], 1);
	lose(sim_lose_all, NULL);
	sim_advance(sim, 4900 * SIM_MS);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 1);
	sim_advance(sim, 500 * SIM_MS);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 2);
}
END_TEST

START_TEST(lost_response_is_repaired_by_a_retry)
{
	lose(sim_lose_from, b);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(b->delivered, 0);
	lose(NULL, NULL);
	sim_advance(sim, 6 * SIM_S);
	ck_assert_uint_eq(b->delivered, 1);
}
END_TEST

START_TEST(passive_keepalive_after_10_s)
{
	sim_send(sim, 0, 1);
	sim_advance(sim, 9999 * SIM_MS);
	ck_assert_uint_eq(b->sent_keepalives, 0);
	sim_advance(sim, 2 * SIM_MS);
	ck_assert_uint_eq(b->sent_keepalives, 1);
	/* keepalives are not answered by keepalives */
	sim_advance(sim, 100 * SIM_S);
	ck_assert_uint_eq(b->sent_keepalives, 1);
	ck_assert_uint_eq(a->sent_keepalives, 0);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 1);
}
END_TEST

START_TEST(passive_keepalive_is_saved_by_data)
{
	sim_send(sim, 0, 1);
	sim_advance(sim, 5 * SIM_S);
	sim_send(sim, 1, 0);
	sim_advance(sim, 9 * SIM_S);
	ck_assert_uint_eq(b->sent_keepalives, 0);
}
END_TEST

START_TEST(passive_keepalive_is_repeated_for_more_data)
{
	sim_send(sim, 0, 1);
	sim_advance(sim, 2 * SIM_S);
	sim_send(sim, 0, 1); /* while the timer is armed */
	sim_advance(sim, 8100 * SIM_MS);
	ck_assert_uint_eq(b->sent_keepalives, 1);
	sim_advance(sim, 10 * SIM_S);
	ck_assert_uint_eq(b->sent_keepalives, 2);
	sim_advance(sim, 30 * SIM_S);
	ck_assert_uint_eq(b->sent_keepalives, 2);
}
END_TEST

START_TEST(unanswered_data_starts_a_handshake_after_15_s)
{
	sim_send(sim, 0, 1);
	sim_advance(sim, 12 * SIM_S);
	p0->endpoint.ifindex = 7;
	lose(sim_lose_all, NULL);
	sim_send(sim, 0, 1);
	sim_advance(sim, 8 * SIM_S);
	sim_send(sim, 0, 1); /* the first unanswered packet counts, not the last */
	sim_advance(sim, 3900 * SIM_MS);
	ck_assert_uint_eq(a->events[WG_EVENT_PEER_SILENT], 0);
	sim_advance(sim, 3000 * SIM_MS);
	/* a keepalive is overdue: who resolves names has time until the initiation */
	ck_assert_uint_eq(a->events[WG_EVENT_PEER_SILENT], 1);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 1);
	ck_assert_uint_eq(p0->endpoint.ifindex, 7);
	sim_advance(sim, 500 * SIM_MS);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 2);
	/* our own address may be what no longer works */
	ck_assert_uint_eq(p0->endpoint.ifindex, 0);
}
END_TEST

START_TEST(unanswered_data_waits_a_little_more_or_less)
{
	uint64_t shortest = UINT64_MAX, longest = 0;

	for (uint64_t seed = 1; seed <= 10; seed++) {
		uint64_t waits;

		teardown();
		setup();
		sim->random = seed;
		sim_send(sim, 0, 1);
		waits = p0->timers.due[WG_TIMER_NEW_HANDSHAKE] - sim->now;
		ck_assert_uint_ge(waits, 15 * SIM_S);
		ck_assert_uint_le(waits, 15 * SIM_S + WG_TIMER_JITTER_MS * SIM_MS);
		shortest = waits < shortest ? waits : shortest;
		longest = waits > longest ? waits : longest;
	}
	ck_assert_uint_gt(longest - shortest, 50 * SIM_MS);
}
END_TEST

START_TEST(new_packets_begin_a_new_attempt)
{
	lose(sim_lose_all, NULL);
	sim_send(sim, 0, 1);
	sim_advance(sim, 60 * SIM_S);
	sim_send(sim, 0, 1);
	sim_advance(sim, 90 * SIM_S);
	ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_GAVE_UP], 0);
	sim_advance(sim, 30 * SIM_S);
	ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_GAVE_UP], 1);
}
END_TEST

START_TEST(giving_up_ends_a_passive_keepalive)
{
	sim_send(sim, 0, 1);
	sim_advance(sim, 15 * SIM_S);
	lose(sim_lose_initiations, a);
	wg_peer_handshake(p0);
	while (a->sent[WG_MESSAGE_INITIATION] < 21)
		sim_advance(sim, SIM_S);
	sim_send(sim, 1, 0); /* in the old session */
	ck_assert_uint_ne(p0->timers.due[WG_TIMER_KEEPALIVE], WG_TIMER_OFF);
	ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_GAVE_UP], 0);
	sim_advance(sim, 6 * SIM_S);
	ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_GAVE_UP], 1);
	ck_assert_uint_eq(p0->timers.due[WG_TIMER_KEEPALIVE], WG_TIMER_OFF);
}
END_TEST

/* All timers of node 0 are due at once; what erases keys must not erase the handshake that begins
 * then. */
START_TEST(the_handshake_after_a_long_sleep_needs_no_second_try)
{
	sim_send(sim, 0, 1);
	sim->now += 3600 * SIM_S;
	wg_device_tick(a->dev);
	sim_settle(sim);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 2);
	ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_DONE], 2);
}
END_TEST

START_TEST(a_peer_that_sends_keepalives_is_not_silent)
{
	for (int i = 0; i < 10; i++) {
		sim_send(sim, 0, 1);
		sim_advance(sim, 9 * SIM_S);
	}
	sim_advance(sim, 60 * SIM_S);
	ck_assert_uint_eq(a->events[WG_EVENT_PEER_SILENT], 0);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 1);
}
END_TEST

/* "Authenticated" are handshakes, too. */
START_TEST(handshake_proves_that_the_peer_lives)
{
	sim_send(sim, 0, 1);
	sim_advance(sim, 6 * SIM_S);
	lose(sim_lose_from, b);
	sim_send(sim, 1, 0);
	ck_assert_uint_ne(p1->timers.due[WG_TIMER_NEW_HANDSHAKE], WG_TIMER_OFF);
	wg_peer_handshake(p0);
	sim_settle(sim);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 2);
	ck_assert_uint_eq(p1->timers.due[WG_TIMER_NEW_HANDSHAKE], WG_TIMER_OFF);
}
END_TEST

START_TEST(initiator_renews_by_sending_after_120_s)
{
	sim_send(sim, 0, 1);
	sim_advance(sim, 119 * SIM_S);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 1);
	sim_advance(sim, SIM_S);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 2);
	ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_DONE], 2);
	ck_assert_uint_eq(b->events[WG_EVENT_HANDSHAKE_DONE], 2);
	ck_assert_uint_eq(b->delivered, 3);
	/* in time, so nobody is told about a session that was replaced */
	ck_assert_uint_eq(a->events[WG_EVENT_SESSION_REPLACED], 0);
}
END_TEST

START_TEST(responder_never_renews_by_age)
{
	sim_send(sim, 0, 1);
	lose(sim_lose_initiations, a); /* the initiator's renewal */
	for (int i = 0; i < 17; i++) {
		sim_advance(sim, 10 * SIM_S);
		sim_send(sim, 1, 0);
		sim_send(sim, 0, 1);
	}
	ck_assert_uint_eq(b->delivered, 18);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_INITIATION], 0);
}
END_TEST

START_TEST(initiator_renews_by_receiving_after_165_s_once)
{
	sim_send(sim, 0, 1);
	sim_advance(sim, 164 * SIM_S);
	sim_send(sim, 1, 0);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 1);
	lose(sim_lose_from, a);
	sim_advance(sim, 1 * SIM_S);
	sim_send(sim, 1, 0);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 2);
	p0->timers.due[WG_TIMER_RETRANSMIT] = WG_TIMER_OFF;
	sim_advance(sim, 6 * SIM_S);
	sim_send(sim, 1, 0);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 2);
}
END_TEST

START_TEST(initiator_renews_each_session_by_receiving)
{
	sim_send(sim, 0, 1);
	for (unsigned int n = 2; n < 6; n++) {
		sim_advance(sim, 166 * SIM_S);
		sim_send(sim, 1, 0);
		ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_DONE], n);
	}
}
END_TEST

START_TEST(session_is_dead_after_180_s)
{
	struct wg_peer_stats stats;

	sim_send(sim, 0, 1);
	sim_advance(sim, 179 * SIM_S);
	wg_peer_stats(p1, &stats);
	ck_assert(stats.has_session);
	lose(sim_lose_from, a); /* the renewal that the packet brings about */
	sim_send(sim, 1, 0);
	ck_assert_uint_eq(a->delivered, 1);
	sim_advance(sim, SIM_S);
	wg_peer_stats(p1, &stats);
	ck_assert(!stats.has_session);
	b->sent[WG_MESSAGE_DATA] = 0;
	sim_send(sim, 1, 0);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_DATA], 0);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_INITIATION], 1);
}
END_TEST

static bool keep_data(struct sim *world, struct sim_node *from, struct sim_datagram *d)
{
	(void)from;
	if (d->bytes[0] == WG_MESSAGE_DATA && !world->kept)
		sim_keep(world, d);
	return !world->kept;
}

START_TEST(expired_session_receives_nothing)
{
	sim_send(sim, 0, 1);
	lose(keep_data, NULL);
	sim_send(sim, 0, 1);
	ck_assert_ptr_nonnull(sim->kept);
	lose(sim_lose_all, NULL);
	sim_advance(sim, 179 * SIM_S);
	lose(NULL, NULL);
	sim->now += 1 * SIM_S;
	sim_queue(sim, sim_copy(sim->kept));
	sim_settle(sim);
	ck_assert_uint_eq(b->delivered, 1);
	/* one second earlier it would have been taken */
	sim->now -= 1 * SIM_S;
	sim_queue(sim, sim_copy(sim->kept));
	sim_settle(sim);
	ck_assert_uint_eq(b->delivered, 2);
}
END_TEST

START_TEST(keys_are_wiped_after_540_s)
{
	struct wg_index *index;
	uint32_t value;

	sim_send(sim, 0, 1);
	value = p0->keypairs.current->index.value;
	index = wg_index_find(a->dev, value);
	ck_assert_ptr_eq(index, &p0->keypairs.current->index);
	lose(sim_lose_all, NULL);
	sim_advance(sim, 539 * SIM_S);
	ck_assert_ptr_nonnull(p0->keypairs.current);
	sim_advance(sim, 2 * SIM_S);
	ck_assert_ptr_null(p0->keypairs.current);
	ck_assert(sodium_is_zero((const uint8_t *)p0->keypairs.slots, sizeof(p0->keypairs.slots)));
	ck_assert_ptr_null(wg_index_find(a->dev, value));
	ck_assert_int_eq(p0->handshake.state, WG_HANDSHAKE_ZEROED);
}
END_TEST

START_TEST(handshake_secrets_are_wiped_once_a_session_begins)
{
	struct wg_peer *const both[] = {p0, p1};

	sim_send(sim, 0, 1);
	for (int i = 0; i < 2; i++) {
		const struct wg_handshake *hs = &both[i]->handshake;

		ck_assert(sodium_is_zero((const uint8_t *)&hs->transcript, sizeof(hs->transcript)));
		ck_assert(sodium_is_zero(hs->ephemeral_private, 32));
		ck_assert(sodium_is_zero(hs->remote_ephemeral, 32));
		ck_assert_int_eq(hs->state, WG_HANDSHAKE_ZEROED);
		ck_assert_int_eq(hs->index.kind, WG_INDEX_UNUSED);
	}
}
END_TEST

START_TEST(persistent_keepalive_keeps_its_interval)
{
	wg_peer_set_keepalive(p0, 25);
	sim_advance(sim, 0); /* at once */
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 1);
	ck_assert_uint_eq(a->sent_keepalives, 1);
	sim_advance(sim, 24 * SIM_S);
	ck_assert_uint_eq(a->sent_keepalives, 1);
	sim_advance(sim, 1 * SIM_S);
	ck_assert_uint_eq(a->sent_keepalives, 2);
	/* traffic in either direction puts it off */
	sim_advance(sim, 20 * SIM_S);
	sim_send(sim, 1, 0);
	sim_advance(sim, 6 * SIM_S);
	ck_assert_uint_eq(a->sent_keepalives, 2);
	wg_peer_set_keepalive(p0, 0);
	sim_advance(sim, 100 * SIM_S);
	ck_assert_uint_le(a->sent_keepalives, 3); /* the passive one for the packet above */
}
END_TEST

START_TEST(persistent_keepalive_goes_on_for_ever)
{
	wg_peer_set_keepalive(p0, 25);
	lose(sim_lose_all, NULL);
	sim_advance(sim, 3600 * SIM_S); /* given up many times */
	ck_assert_uint_gt(a->events[WG_EVENT_HANDSHAKE_GAVE_UP], 5);
	ck_assert_uint_le(a->sent[WG_MESSAGE_INITIATION], 720);
	lose(NULL, NULL);
	sim_advance(sim, 31 * SIM_S);
	ck_assert_uint_eq(b->events[WG_EVENT_HANDSHAKE_DONE], 1);
	/* an hour of idling stays cheap, and the session stays */
	a->sent[WG_MESSAGE_INITIATION] = 0;
	sim_advance(sim, 3600 * SIM_S);
	ck_assert_uint_ge(a->sent[WG_MESSAGE_INITIATION], 3600 / 150);
	ck_assert_uint_le(a->sent[WG_MESSAGE_INITIATION], 3600 / 119);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_INITIATION], 0);
}
END_TEST

/* It falls due when a response was just sent, so that there can be neither a packet nor an
 * initiation. */
START_TEST(persistent_keepalive_comes_back_after_a_response)
{
	struct sim_datagram *d = sim_catch_initiation(sim, 0);

	wg_peer_set_keepalive(p1, 3);
	sim_give(b, &a->address, d);
	free(d);
	wg_device_flush(b->dev);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 1);
	sim_drop_all(sim);
	lose(sim_lose_all, NULL);
	sim_advance(sim, 7 * SIM_S);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_INITIATION], 1);
}
END_TEST

START_TEST(persistent_keepalive_waits_for_an_endpoint)
{
	memset(&p0->endpoint, 0, sizeof(p0->endpoint));
	wg_peer_set_keepalive(p0, 25);
	sim_advance(sim, 60 * SIM_S);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 0);
	wg_peer_set_endpoint(p0, &b->address);
	sim_advance(sim, 0);
	ck_assert_uint_eq(a->sent_keepalives, 1);
}
END_TEST

START_TEST(both_sides_idle_stay_quiet)
{
	sim_send(sim, 0, 1);
	sim_advance(sim, 20 * SIM_S);
	sim->n_datagrams = 0;
	sim_advance(sim, 3600 * SIM_S);
	ck_assert_uint_eq(sim->n_datagrams, 0);
	ck_assert_uint_eq(wg_device_next_deadline(a->dev), UINT64_MAX);
	ck_assert_uint_eq(wg_device_next_deadline(b->dev), UINT64_MAX);
}
END_TEST

START_TEST(crossed_initiations_settle)
{
	struct wg_peer_stats s0, s1;

	wg_peer_set_endpoint(p1, &a->address);
	ck_assert_int_eq(sim_commit(sim, 0, 1, 100, 1), 0);
	ck_assert_int_eq(sim_commit(sim, 1, 0, 100, 2), 0);
	wg_device_flush(a->dev);
	wg_device_flush(b->dev);
	sim_settle(sim);
	sim_advance(sim, 20 * SIM_S);
	ck_assert_uint_eq(a->delivered, 1);
	ck_assert_uint_eq(b->delivered, 1);
	wg_peer_stats(p0, &s0);
	wg_peer_stats(p1, &s1);
	ck_assert(s0.has_session);
	ck_assert(s1.has_session);
	ck_assert_uint_le(a->sent[WG_MESSAGE_INITIATION], 3);
	ck_assert_uint_le(b->sent[WG_MESSAGE_INITIATION], 3);
}
END_TEST

START_TEST(session_ends_at_its_message_limits)
{
	struct wg_peer_stats stats;

	sim_send(sim, 0, 1);
	sim_advance(sim, 6 * SIM_S);
	p0->keypairs.current->send_counter = WG_REKEY_AFTER_MESSAGES;
	lose(sim_lose_from, b);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 2);
	ck_assert_uint_eq(b->delivered, 2);

	/* of five packets two may still go; the others wait for new keys and keep their order */
	p0->keypairs.current->send_counter = WG_REJECT_AFTER_MESSAGES - 2;
	for (uint8_t i = 0; i < 5; i++)
		ck_assert_int_eq(sim_commit(sim, 0, 1, 100, i), 0);
	sim_settle(sim);
	ck_assert_uint_eq(b->delivered, 4);
	ck_assert_uint_eq(b->last[50], 1);
	ck_assert_uint_eq(p0->n_staged, 3);
	wg_peer_stats(p0, &stats);
	ck_assert(!stats.has_session);
	lose(NULL, NULL);
	sim_advance(sim, 6 * SIM_S);
	ck_assert_uint_eq(b->delivered, 7);
	ck_assert_uint_eq(b->last[50], 4);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wg_timers");
	TCase *t = tcase_create("timers");

	tcase_set_timeout(t, 180);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, initiation_is_retried_20_times_then_given_up);
	tcase_add_test(t, retries_are_jittered);
	tcase_add_test(t, more_packets_do_not_mean_more_initiations);
	tcase_add_test(t, silence_is_told_although_packets_go_on_coming);
	tcase_add_test(t, response_counts_as_an_initiation);
	tcase_add_test(t, attempt_survives_a_response_between);
	tcase_add_test(t, lost_response_is_repaired_by_a_retry);
	tcase_add_test(t, passive_keepalive_after_10_s);
	tcase_add_test(t, passive_keepalive_is_saved_by_data);
	tcase_add_test(t, passive_keepalive_is_repeated_for_more_data);
	tcase_add_test(t, unanswered_data_starts_a_handshake_after_15_s);
	tcase_add_test(t, unanswered_data_waits_a_little_more_or_less);
	tcase_add_test(t, new_packets_begin_a_new_attempt);
	tcase_add_test(t, giving_up_ends_a_passive_keepalive);
	tcase_add_test(t, the_handshake_after_a_long_sleep_needs_no_second_try);
	tcase_add_test(t, a_peer_that_sends_keepalives_is_not_silent);
	tcase_add_test(t, handshake_proves_that_the_peer_lives);
	tcase_add_test(t, initiator_renews_by_sending_after_120_s);
	tcase_add_test(t, responder_never_renews_by_age);
	tcase_add_test(t, initiator_renews_by_receiving_after_165_s_once);
	tcase_add_test(t, initiator_renews_each_session_by_receiving);
	tcase_add_test(t, session_is_dead_after_180_s);
	tcase_add_test(t, expired_session_receives_nothing);
	tcase_add_test(t, keys_are_wiped_after_540_s);
	tcase_add_test(t, handshake_secrets_are_wiped_once_a_session_begins);
	tcase_add_test(t, persistent_keepalive_keeps_its_interval);
	tcase_add_test(t, persistent_keepalive_goes_on_for_ever);
	tcase_add_test(t, persistent_keepalive_comes_back_after_a_response);
	tcase_add_test(t, persistent_keepalive_waits_for_an_endpoint);
	tcase_add_test(t, both_sides_idle_stay_quiet);
	tcase_add_test(t, crossed_initiations_settle);
	tcase_add_test(t, session_ends_at_its_message_limits);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
