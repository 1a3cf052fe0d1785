/* SPDX-License-Identifier: MIT */
/*
 * test_wg_keys.c - private, public and preshared keys: which are taken, and what a change does
 */
#include "tests/unit/test_wg_sim.h"
#include "wg/device.h"
#include "wg/peer.h"

START_TEST(peer_key_of_low_order_is_good_for_nothing)
{
	struct sim *sim = sim_new();
	const uint8_t zero_key[32] = {0}, ten[4] = {10};
	struct wg_peer *peer = wg_peer_add(sim->nodes[0].dev, zero_key);

	ck_assert_ptr_nonnull(peer);
	ck_assert_int_eq(wg_peer_add_allowed_ip(peer, AF_INET, ten, 8), 0);
	wg_peer_set_endpoint(peer, &sim->nodes[1].address);
	sim_send(sim, 0, 1);
	sim_advance(sim, 30 * SIM_S);
	ck_assert_uint_eq(sim->n_datagrams, 0);
	sim_free(sim);
}
END_TEST

START_TEST(preshared_keys_must_agree)
{
	struct wg_peer *p0, *p1;
	struct sim *sim = sim_new_pair(&p0, &p1);
	uint8_t psk[32];

	memset(psk, 9, sizeof(psk));
	wg_peer_set_preshared_key(p0, psk);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(sim->nodes[1].sent[WG_MESSAGE_RESPONSE], 1);
	ck_assert_uint_eq(sim->nodes[0].events[WG_EVENT_HANDSHAKE_DONE], 0);
	wg_peer_set_preshared_key(p1, psk);
	sim_advance(sim, 6 * SIM_S);
	ck_assert_uint_eq(sim->nodes[0].events[WG_EVENT_HANDSHAKE_DONE], 1);
	ck_assert_uint_eq(sim->nodes[1].delivered, 1);

	/* a change concerns the next handshake, not the session */
	psk[0] = 1;
	wg_peer_set_preshared_key(p1, psk);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(sim->nodes[1].delivered, 2);
	sim_advance(sim, 121 * SIM_S);
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(sim->nodes[0].events[WG_EVENT_HANDSHAKE_DONE], 1);
	sim_free(sim);
}
END_TEST

START_TEST(own_key_is_never_a_peer)
{
	struct sim *sim = sim_new();
	struct sim_node *a = &sim->nodes[0];

	ck_assert_ptr_null(wg_peer_add(a->dev, a->public_key));
	ck_assert_ptr_nonnull(sim_add_peer(sim, 0, 1, true));
	ck_assert_ptr_eq(sim_add_peer(sim, 0, 1, true), wg_peer_next(a->dev, NULL));
	wg_device_set_private_key(a->dev, sim->nodes[1].private_key);
	ck_assert_ptr_null(wg_peer_next(a->dev, NULL));
	sim_free(sim);
}
END_TEST

START_TEST(private_key_is_clamped)
{
	struct sim *sim = sim_new();
	uint8_t key[32], expected[32], got[32];

	memset(key, 0xff, sizeof(key));
	wg_device_set_private_key(sim->nodes[0].dev, key);
	ck_assert_uint_eq(sim->nodes[0].dev->private_key[0], 0xf8);
	ck_assert_uint_eq(sim->nodes[0].dev->private_key[31], 0x7f);
	crypto_scalarmult_curve25519_base(expected, key);
	wg_device_public_key(sim->nodes[0].dev, got);
	ck_assert_mem_eq(got, expected, 32);
	sim_free(sim);
}
END_TEST

START_TEST(new_private_key_needs_a_new_session)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];

	sim_send(sim, 0, 1);
	sim_random(a, a->private_key, 32);
	wg_device_set_private_key(a->dev, a->private_key);
	wg_device_public_key(a->dev, a->public_key);
	a->sent[WG_MESSAGE_DATA] = 0;
	sim_send(sim, 0, 1); /* at once, although a handshake was just made */
	ck_assert_uint_eq(a->sent[WG_MESSAGE_DATA], 0);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 2);
	sim_send(sim, 1, 0); /* the old session still receives */
	ck_assert_uint_eq(a->delivered, 1);
	wg_peer_remove(b->dev, wg_peer_next(b->dev, NULL));
	sim_add_peer(sim, 1, 0, false);
	sim_advance(sim, 6 * SIM_S);
	ck_assert_uint_eq(b->delivered, 2);
	sim_free(sim);
}
END_TEST

START_TEST(new_private_key_ends_the_handshake_under_way)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *a = &sim->nodes[0];
	struct sim_datagram *d = sim_catch_initiation(sim, 0);

	ck_assert_ptr_nonnull(wg_index_find(a->dev, wg_get_le32(d->bytes + 4)));
	sim_random(a, a->private_key, 32);
	wg_device_set_private_key(a->dev, a->private_key);
	ck_assert_int_eq(p0->handshake.state, WG_HANDSHAKE_ZEROED);
	ck_assert(sodium_is_zero(p0->handshake.ephemeral_private, 32));
	ck_assert_ptr_null(wg_index_find(a->dev, wg_get_le32(d->bytes + 4)));
	free(d);
	sim_free(sim);
}
END_TEST

START_TEST(removed_peer_leaves_nothing_behind)
{
	struct wg_peer *p0;
	struct sim *sim = sim_new_pair(&p0, NULL);
	struct sim_node *a = &sim->nodes[0];

	sim_send(sim, 0, 1);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(sim_commit(sim, 0, 1, 100, 0), 0);
	wg_peer_stage(p0, "x", 1, 0);
	wg_peer_remove(a->dev, p0);
	sim_settle(sim);
	ck_assert_uint_eq(sim->nodes[1].delivered, 1);
	for (int i = 0; i < WG_INDEX_BUCKETS; i++)
		ck_assert_ptr_null(a->dev->indices.buckets[i]);
	ck_assert_ptr_null(a->dev->allowed_ips.root4);
	sim_send(sim, 1, 0); /* it answers nobody */
	ck_assert_uint_eq(a->delivered, 0);
	sim_free(sim);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wg_keys");
	TCase *t = tcase_create("keys");

	tcase_set_timeout(t, 180);
	tcase_add_test(t, peer_key_of_low_order_is_good_for_nothing);
	tcase_add_test(t, preshared_keys_must_agree);
	tcase_add_test(t, own_key_is_never_a_peer);
	tcase_add_test(t, private_key_is_clamped);
	tcase_add_test(t, new_private_key_needs_a_new_session);
	tcase_add_test(t, new_private_key_ends_the_handshake_under_way);
	tcase_add_test(t, removed_peer_leaves_nothing_behind);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
