/* SPDX-License-Identifier: MIT */
/*
 * test_wg_link.c - hours of virtual time over links that lose, repeat and reorder
 */
#include "tests/unit/test_wg_sim.h"

/** struct link - per cent of datagrams that meet each fate */
struct link {
	unsigned int lost, repeated, delayed;
};

/* A delayed datagram comes after the next one that is delayed. */
static bool bad_link(struct sim *sim, struct sim_node *from, struct sim_datagram *d)
{
	const struct link *link = sim->filter_arg;
	struct sim_datagram *late;
	uint32_t dice;

	sim_random(from, &dice, sizeof(dice));
	dice %= 100;
	if (dice < link->lost)
		return false;
	if (dice < link->lost + link->repeated) {
		sim_queue(sim, sim_copy(d));
		return true;
	}
	if (dice >= link->lost + link->repeated + link->delayed)
		return true;
	late = sim->kept;
	sim->kept = sim_copy(d);
	if (late)
		sim_queue(sim, late);
	return false;
}

/* Two hours in which both sides send every second; what arrives of it, in per cent. */
static unsigned int two_hours(const struct link *link, uint64_t seed)
{
	enum { SECONDS = 7200 };
	struct link copy = *link;
	struct sim *sim = sim_new();
	unsigned int percent, delivered;

	sim->random = seed;
	sim_add_peer(sim, 0, 1, true);
	sim_add_peer(sim, 1, 0, true);
	sim->filter = bad_link;
	sim->filter_arg = &copy;
	for (int i = 0; i < SECONDS; i++) {
		sim->n_datagrams = 0;
		sim_send(sim, 0, 1);
		sim_send(sim, 1, 0);
		sim_advance(sim, SIM_S);
	}
	for (int i = 0; i < 2; i++) {
		/* repeated datagrams are not repeated packets */
		ck_assert_uint_le(sim->nodes[i].delivered, SECONDS);
		/* nobody renews more often than the limiter of 5 s allows */
		ck_assert_uint_le(sim->nodes[i].sent[WG_MESSAGE_INITIATION], SECONDS / 5 + 1);
		ck_assert_uint_ge(sim->nodes[i].events[WG_EVENT_HANDSHAKE_DONE], SECONDS / 180);
	}
	delivered = sim->nodes[0].delivered + sim->nodes[1].delivered;
	percent = delivered * 100 / (2 * SECONDS);
	sim_free(sim);
	return percent;
}

START_TEST(good_link_loses_nothing)
{
	const struct link link = {0, 0, 0};

	ck_assert_uint_eq(two_hours(&link, (uint64_t)_i), 100);
}
END_TEST

START_TEST(repeating_link_loses_nothing)
{
	const struct link link = {0, 30, 0};

	ck_assert_uint_eq(two_hours(&link, (uint64_t)_i), 100);
}
END_TEST

/* The engine must not add much to what the link loses; packets that wait for a session even make
 * up for some of it. */
START_TEST(lossy_link_loses_its_share)
{
	const struct link link = {20, 5, 0};
	unsigned int percent = two_hours(&link, (uint64_t)_i);

	ck_assert_uint_ge(percent, 77);
	ck_assert_uint_le(percent, 83);
}
END_TEST

START_TEST(terrible_link_still_works)
{
	const struct link link = {50, 10, 20};

	ck_assert_uint_ge(two_hours(&link, (uint64_t)_i), 40);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wg_link");
	TCase *t = tcase_create("links");

	tcase_set_timeout(t, 180);
	tcase_add_loop_test(t, good_link_loses_nothing, 1, 3);
	tcase_add_loop_test(t, repeating_link_loses_nothing, 1, 3);
	tcase_add_loop_test(t, lossy_link_loses_its_share, 1, 5);
	tcase_add_loop_test(t, terrible_link_still_works, 1, 5);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
