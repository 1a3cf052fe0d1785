/* SPDX-License-Identifier: MIT */
/*
 * test_wg_device.c - devices that talk to each other: sessions, data, routing, roaming, keys
 */
#include "tests/unit/test_wg_sim.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "wg/aead.h"
#include "wg/peer.h"

START_TEST(first_packet_makes_a_session_and_arrives)
{
	struct wg_peer *p0, *p1;
	struct sim *sim = sim_new_pair(&p0, &p1);
	struct sim_node *a = &sim->nodes[0], *b = &sim->nodes[1];
	struct wg_peer_stats stats;
	uint8_t expected[100];

	sim_send(sim, 0, 1);
	ck_assert_uint_eq(b->delivered, 1);
	ck_assert_uint_eq(b->last_len, 100);
	sim_packet(expected, 100, 0, 1, 0x5a);
	ck_assert_mem_eq(b->last, expected, 100);
	ck_assert_ptr_eq(b->last_from, p1);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 1);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 1);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_DATA], 1);
	ck_assert_uint_eq(a->sent_keepalives, 0);
	ck_assert_uint_eq(a->events[WG_EVENT_HANDSHAKE_DONE], 1);
	ck_assert_uint_eq(b->events[WG_EVENT_HANDSHAKE_DONE], 1);

	wg_peer_stats(p0, &stats);
	ck_assert(stats.has_session);
	ck_assert_uint_eq(stats.handshake_attempts, 0);
	ck_assert_uint_eq(stats.tx_bytes, 148 + 112 + 32);
	ck_assert_uint_eq(stats.rx_bytes, 92);
	ck_assert_int_ge(stats.last_handshake.tv_sec, 1700000000);
	wg_peer_stats(p1, &stats);
	ck_assert_uint_eq(stats.rx_bytes, 148 + 112 + 32);
	sim_free(sim);
}
END_TEST

START_TEST(an_empty_packet_on_request_needs_a_session)
{
	struct wg_peer *p0, *p1;
	struct sim *sim = sim_new_pair(&p0, &p1);
	struct sim_node *a = &sim->nodes[0];

	wg_peer_keepalive(p0);
	ck_assert_uint_eq(a->sent[WG_MESSAGE_INITIATION], 0);
	sim_send(sim, 0, 1);
	wg_peer_keepalive(p0);
	ck_assert_uint_eq(a->sent_keepalives, 1);
	sim_free(sim);
}
END_TEST

START_TEST(responder_answers_over_the_same_session)
{
	struct sim *sim = sim_new_pair(NULL, NULL);

	sim->nodes[1].echo = true;
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(sim->nodes[0].delivered, 1);
	ck_assert_uint_eq(sim->nodes[1].sent[WG_MESSAGE_INITIATION], 0);
	sim_free(sim);
}
END_TEST

START_TEST(responder_waits_for_confirmation)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *b = &sim->nodes[1];
	struct wg_endpoint nowhere = sim_address(200);
	struct wg_peer *p1 = wg_peer_next(b->dev, NULL);

	wg_peer_handshake(wg_peer_next(sim->nodes[0].dev, NULL));
	/* the initiation only */
	wg_device_receive(b->dev, &sim->queue->from, sim->queue->bytes, sim->queue->len,
			  sim->queue->len, 0);
	sim_drop_all(sim);
	wg_device_flush(b->dev);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_RESPONSE], 1);
	wg_peer_set_endpoint(p1, &nowhere);
	ck_assert_int_eq(sim_commit(sim, 1, 0, 100, 1), 0);
	wg_device_flush(b->dev);
	ck_assert_uint_eq(b->sent[WG_MESSAGE_DATA], 0);
	sim_free(sim);
}
END_TEST

START_TEST(packets_keep_their_order_across_the_handshake)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *b = &sim->nodes[1];

	for (uint8_t i = 0; i < 10; i++)
		ck_assert_int_eq(sim_commit(sim, 0, 1, 100, i), 0);
	wg_device_flush(sim->nodes[0].dev);
	for (uint8_t i = 10; i < 20; i++)
		ck_assert_int_eq(sim_commit(sim, 0, 1, 100, i), 0);
	sim_settle(sim);
	ck_assert_uint_eq(b->delivered, 20);
	ck_assert_uint_eq(b->last[50], 19);
	sim_free(sim);
}
END_TEST

/* Gives node @i the datagrams under way, and takes what it answers as those under way. */
static void pass_on(struct sim *sim, int i)
{
	struct sim_datagram *d = sim->queue, *next;

	sim->queue = NULL;
	sim->end = &sim->queue;
	for (; d; d = next) {
		next = d->next;
		wg_device_receive(sim->nodes[i].dev, &d->from, d->bytes, d->len, d->len, d->tos);
		free(d);
	}
}

START_TEST(committed_packets_go_behind_staged_ones)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *b = &sim->nodes[1];

	ck_assert_int_eq(sim_commit(sim, 0, 1, 100, 1), 0);
	wg_device_flush(sim->nodes[0].dev);
	pass_on(sim, 1);
	wg_device_flush(b->dev);
	ck_assert_int_eq(sim_commit(sim, 0, 1, 100, 2), 0);
	pass_on(sim, 0);
	wg_device_flush(sim->nodes[0].dev); /* the session begins with both packets there */
	sim_settle(sim);
	ck_assert_uint_eq(b->delivered, 2);
	ck_assert_uint_eq(b->last[50], 2);
	sim_free(sim);
}
END_TEST

START_TEST(padding_is_zero)
{
	struct wg_peer *p1;
	struct sim *sim = sim_new_pair(NULL, &p1);

	ck_assert_int_eq(sim_commit(sim, 0, 1, SIM_MTU, 0xff), 0); /* dirt in the arena */
	sim_settle(sim);
	for (size_t len = 20; len <= SIM_MTU; len++) {
		size_t padded = len > 1408 ? SIM_MTU : (len + 15) / 16 * 16;
		struct wg_aead_job job = {.len = padded};
		struct sim_datagram *d;

		ck_assert_int_eq(sim_commit(sim, 0, 1, len, 0xff), 0);
		wg_device_flush(sim->nodes[0].dev);
		d = sim->queue;
		ck_assert_uint_eq(d->len, padded + WG_OVERHEAD_BYTES);
		job.data = d->bytes + 16;
		job.counter = wg_get_le64(d->bytes + 8);
		wg_aead_sodium.open(NULL, p1->keypairs.current->receive_key, &job, 1);
		ck_assert(job.ok);
		ck_assert_uint_eq(job.data[len - 1], len > 20 ? 0xff : 2);
		ck_assert(sodium_is_zero(job.data + len, padded - len));
		sim_drop_all(sim);
	}
	sim_free(sim);
}
END_TEST

START_TEST(several_peers_get_their_own)
{
	struct sim *sim = sim_new();
	struct wg_peer_stats stats;

	for (int i = 1; i < SIM_NODES; i++) {
		sim_add_peer(sim, 0, i, true);
		sim_add_peer(sim, i, 0, false);
		sim->nodes[i].echo = true;
	}
	for (int round = 0; round < 3; round++) {
		for (uint8_t k = 0; k < 30; k++)
			ck_assert_int_eq(sim_commit(sim, 0, 1 + k % 3, 100U + k, k), 0);
		sim_settle(sim);
	}
	for (int i = 1; i < SIM_NODES; i++) {
		ck_assert_uint_eq(sim->nodes[i].delivered, 30);
		ck_assert_int_eq(sim->nodes[i].last[50], 27 + i - 1);
	}
	ck_assert_uint_eq(sim->nodes[0].delivered, 90);
	for (struct wg_peer *p = NULL; (p = wg_peer_next(sim->nodes[0].dev, p));) {
		wg_peer_stats(p, &stats);
		ck_assert(stats.has_session);
	}
	sim_free(sim);
}
END_TEST

START_TEST(ipv6_crosses_the_tunnel)
{
	struct wg_peer *p0, *p1;
	struct sim *sim = sim_new_pair(&p0, &p1);
	const uint8_t net0[16] = {0xfd, 0, 1}, net1[16] = {0xfd, 0, 2};
	uint8_t *p;

	ck_assert_int_eq(wg_peer_add_allowed_ip(p0, AF_INET6, net1, 48), 0);
	ck_assert_int_eq(wg_peer_add_allowed_ip(p1, AF_INET6, net0, 48), 0);
	ck_assert_ptr_eq(wg_peer_by_allowed_ip(sim->nodes[0].dev, AF_INET6, net1), p0);
	p = wg_device_tx_buffer(sim->nodes[0].dev, 70);
	memset(p, 7, 70);
	p[0] = 0x60;
	wg_put_be16(p + 4, 30);
	memcpy(p + 8, net0, 16);
	memcpy(p + 24, net1, 16);
	ck_assert_int_eq(wg_device_tx_commit(sim->nodes[0].dev, 70), 0);
	sim_settle(sim);
	ck_assert_uint_eq(sim->nodes[1].delivered, 1);
	ck_assert_uint_eq(sim->nodes[1].last_len, 70);
	sim_free(sim);
}
END_TEST

START_TEST(full_staged_queue_drops_the_oldest)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct wg_device_stats stats;

	for (int i = 0; i < WG_STAGED_PACKETS_MAX + 7; i++)
		ck_assert_int_eq(sim_commit(sim, 0, 1, 100, (uint8_t)i), 0);
	sim_settle(sim);
	ck_assert_uint_eq(sim->nodes[1].delivered, WG_STAGED_PACKETS_MAX);
	ck_assert_uint_eq(sim->nodes[1].last[50], WG_STAGED_PACKETS_MAX + 6);
	wg_device_stats(sim->nodes[0].dev, &stats);
	ck_assert_uint_eq(stats.tx_staged_dropped, 7);
	sim_free(sim);
}
END_TEST

START_TEST(equal_packets_leave_in_one_call)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *a = &sim->nodes[0];

	sim_send(sim, 0, 1);
	a->transmits = 0;
	for (int i = 0; i < 30; i++)
		ck_assert_int_eq(sim_commit(sim, 0, 1, SIM_MTU, 1), 0);
	ck_assert_int_eq(sim_commit(sim, 0, 1, 60, 1), 0);
	sim_settle(sim);
	ck_assert_uint_eq(a->transmits, 1);
	ck_assert_uint_eq(a->largest_transmit, 31);
	ck_assert_uint_eq(sim->nodes[1].delivered, 32);

	/* a longer one begins a new row; no row is longer than UDP_SEGMENT takes */
	a->transmits = 0;
	ck_assert_int_eq(sim_commit(sim, 0, 1, 60, 1), 0);
	ck_assert_int_eq(sim_commit(sim, 0, 1, SIM_MTU, 1), 0);
	sim_settle(sim);
	ck_assert_uint_eq(a->transmits, 2);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(sim_commit(sim, 0, 1, 100, 1), 0);
	sim_settle(sim);
	ck_assert_uint_eq(a->largest_transmit, 64);
	ck_assert_uint_eq(sim->nodes[1].delivered, 234);
	sim_free(sim);
}
END_TEST

START_TEST(more_than_the_arena_holds_is_sent_early)
{
	struct sim *sim = sim_new_pair(NULL, NULL);

	sim_send(sim, 0, 1);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(sim_commit(sim, 0, 1, SIM_MTU, 1), 0);
	sim_settle(sim);
	ck_assert_uint_eq(sim->nodes[1].delivered, 1001);
	sim_free(sim);
}
END_TEST

START_TEST(a_gro_buffer_is_split)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct sim_node *b = &sim->nodes[1];
	uint8_t buf[5 * 132];
	size_t len = 0;
	struct sim_datagram *d;

	sim_send(sim, 0, 1);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(sim_commit(sim, 0, 1, 90, (uint8_t)i), 0);
	ck_assert_int_eq(sim_commit(sim, 0, 1, 40, 4), 0);
	wg_device_flush(sim->nodes[0].dev);
	for (d = sim->queue; d; d = d->next) {
		memcpy(buf + len, d->bytes, d->len);
		len += d->len;
	}
	ck_assert_uint_eq(len, 4 * 128 + 80);
	wg_device_receive(b->dev, &sim->queue->from, buf, len, 128, 0);
	ck_assert_uint_eq(b->delivered, 6);
	ck_assert_uint_eq(b->last_len, 40);
	sim_free(sim);
}
END_TEST

START_TEST(refuses_what_it_cannot_send)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct wg_device *a = sim->nodes[0].dev, *b = sim->nodes[1].dev;
	struct wg_device_stats stats;
	uint8_t *p;

	ck_assert_int_eq(sim_commit(sim, 0, 3, 100, 0), -ENOKEY);
	ck_assert_int_eq(sim_commit(sim, 1, 0, 100, 0), -EDESTADDRREQ);
	p = wg_device_tx_buffer(a, 100);
	memset(p, 0, 100);
	ck_assert_int_eq(wg_device_tx_commit(a, 100), -EINVAL);
	sim_packet(p, 100, 0, 1, 0);
	ck_assert_int_eq(wg_device_tx_commit(a, 19), -EINVAL);
	sim_packet(wg_device_tx_buffer(a, SIM_MTU), SIM_MTU, 0, 1, 0);
	ck_assert_int_eq(wg_device_tx_commit(a, SIM_MTU + 1), -EINVAL);
	ck_assert_int_eq(wg_device_tx_commit(a, SIM_MTU), 0);
	/* more than wg_device_tx_buffer made room for */
	for (int i = 0; i < 1000; i++)
		wg_device_tx_commit(a, 20);
	wg_device_stats(a, &stats);
	ck_assert_uint_eq(stats.tx_no_peer, 1);
	wg_device_stats(b, &stats);
	ck_assert_uint_eq(stats.tx_no_endpoint, 1);
	sim_free(sim);
}
END_TEST

/* ---- locked memory ---- */

START_TEST(keys_are_locked_where_the_limit_allows)
{
	struct rlimit limit;
	struct sim *sim;

	ck_assert_int_eq(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	sim = sim_new_pair(NULL, NULL);
	if (limit.rlim_cur >= 1 << 20)
		ck_assert(wg_secrets_locked());
	sim_free(sim);
}
END_TEST

START_TEST(works_where_nothing_can_be_locked)
{
	struct rlimit none = {0, 0};
	struct sim *sim;

	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
	/* root may lock nevertheless */
	if (geteuid() == 0 && seteuid(65534) != 0)
		return;
	sim = sim_new_pair(NULL, NULL);
	if (mlock(&none, sizeof(none)) != 0) /* AddressSanitizer's always succeeds */
		ck_assert(!wg_secrets_locked());
	sim_send(sim, 0, 1);
	ck_assert_uint_eq(sim->nodes[1].delivered, 1);
	sim_free(sim);
	/* LeakSanitizer wants to look at the process when it ends */
	ck_assert_int_eq(seteuid(getuid()), 0);
	ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
}
END_TEST

static bool lose_every_third(struct sim *sim, struct sim_node *from, struct sim_datagram *d)
{
	(void)from;
	return d->bytes[0] != WG_MESSAGE_DATA || ++*(unsigned int *)sim->filter_arg % 3;
}

START_TEST(statistics_tell_loss_and_round_trip)
{
	struct wg_peer *p0, *p1;
	struct sim *sim = sim_new_pair(&p0, &p1);
	struct wg_peer_stats stats;
	unsigned int n = 0;

	wg_peer_stats(p0, &stats);
	ck_assert_uint_eq(stats.handshake_rtt, 0);
	ck_assert_uint_eq(stats.session_received + stats.session_missing, 0);
	ck_assert_int_eq(sim_commit(sim, 0, 1, 100, 1), 0);
	wg_device_flush(sim->nodes[0].dev);
	sim->now += 70 * SIM_MS;
	sim_settle(sim);
	wg_peer_stats(p0, &stats);
	ck_assert_uint_eq(stats.handshake_rtt, 70 * SIM_MS);
	wg_peer_stats(p1, &stats);
	ck_assert_uint_eq(stats.handshake_rtt, 0);
	ck_assert_uint_eq(stats.session_received, 1);
	sim->filter = lose_every_third;
	sim->filter_arg = &n;
	for (int i = 0; i < 31; i++)
		sim_send(sim, 0, 1);
	wg_peer_stats(p1, &stats);
	ck_assert_uint_eq(stats.session_received, 1 + 31 - 10);
	ck_assert_uint_eq(stats.session_missing, 10);
	sim_free(sim);
}
END_TEST

START_TEST(public_key_without_a_device)
{
	struct sim *sim = sim_new();
	uint8_t key[32];

	sim->nodes[0].private_key[0] |= 7; /* not clamped */
	wg_public_key(key, sim->nodes[0].private_key);
	ck_assert_mem_eq(key, sim->nodes[0].public_key, 32);
	sim_free(sim);
}
END_TEST

/* ---- traffic class ---- */

static bool mark_ce(struct sim *sim, struct sim_node *from, struct sim_datagram *d)
{
	(void)from;
	sim_keep(sim, d);
	d->tos |= 3;
	return true;
}

START_TEST(ecn_crosses_the_tunnel_and_dscp_does_not)
{
	struct sim *sim = sim_new_pair(NULL, NULL);
	struct wg_device *a = sim->nodes[0].dev;
	struct sim_datagram *d;
	uint8_t *p;

	sim->filter = mark_ce;
	wg_peer_handshake(wg_peer_next(a, NULL));
	ck_assert_uint_eq(sim->kept->tos, WG_HANDSHAKE_TOS);
	sim_give(&sim->nodes[1], &sim->nodes[0].address, sim->kept);
	wg_device_flush(sim->nodes[1].dev);
	ck_assert_uint_eq(sim->kept->bytes[0], WG_MESSAGE_RESPONSE);
	ck_assert_uint_eq(sim->kept->tos, WG_HANDSHAKE_TOS);
	sim_settle(sim);
	p = wg_device_tx_buffer(a, 100);
	sim_packet(p, 100, 0, 1, 0);
	p[1] = 0xb8 | 2; /* EF, ECT(0) */
	ck_assert_int_eq(wg_device_tx_commit(a, 100), 0);
	wg_device_flush(a);
	ck_assert_uint_eq(sim->kept->tos, 2);
	sim_settle(sim);
	ck_assert_uint_eq(sim->nodes[1].last[1], 0xb8 | 3);

	/* equal lengths, unequal marks */
	sim->filter = NULL;
	for (uint8_t ecn = 0; ecn < 4; ecn++) {
		p = wg_device_tx_buffer(a, 100);
		sim_packet(p, 100, 0, 1, 0);
		p[1] = ecn;
		ck_assert_int_eq(wg_device_tx_commit(a, 100), 0);
	}
	wg_device_flush(a);
	d = sim->queue;
	for (uint8_t ecn = 0; ecn < 4; ecn++, d = d->next)
		ck_assert_uint_eq(d->tos, ecn);
	sim_free(sim);
}
END_TEST

START_TEST(a_device_says_which_library_encrypts)
{
	struct wg_peer *p0, *p1;
	struct sim *sim = sim_new_pair(&p0, &p1);

	ck_assert_str_eq(wg_device_aead(sim->nodes[0].dev), "libsodium");
	for (int i = 0; i < WG_AEAD_FIRST_PACKETS; i++)
		sim_send(sim, 0, 1);
	ck_assert_str_eq(wg_device_aead(sim->nodes[0].dev), wg_aead_provider_name());
	sim_free(sim);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wg_device");
	TCase *t = tcase_create("data");

	tcase_add_test(t, first_packet_makes_a_session_and_arrives);
	tcase_add_test(t, an_empty_packet_on_request_needs_a_session);
	tcase_add_test(t, responder_answers_over_the_same_session);
	tcase_add_test(t, responder_waits_for_confirmation);
	tcase_add_test(t, packets_keep_their_order_across_the_handshake);
	tcase_add_test(t, committed_packets_go_behind_staged_ones);
	tcase_add_test(t, padding_is_zero);
	tcase_add_test(t, several_peers_get_their_own);
	tcase_add_test(t, ipv6_crosses_the_tunnel);
	tcase_add_test(t, full_staged_queue_drops_the_oldest);
	tcase_add_test(t, equal_packets_leave_in_one_call);
	tcase_add_test(t, more_than_the_arena_holds_is_sent_early);
	tcase_add_test(t, a_gro_buffer_is_split);
	tcase_add_test(t, keys_are_locked_where_the_limit_allows);
	tcase_add_test(t, works_where_nothing_can_be_locked);
	tcase_add_test(t, refuses_what_it_cannot_send);
	tcase_add_test(t, statistics_tell_loss_and_round_trip);
	tcase_add_test(t, public_key_without_a_device);
	tcase_add_test(t, ecn_crosses_the_tunnel_and_dscp_does_not);
	tcase_add_test(t, a_device_says_which_library_encrypts);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
