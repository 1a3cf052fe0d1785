/* SPDX-License-Identifier: MIT */
/*
 * test_wg_constant_time.c - comparisons of MACs and keys take the same path whatever they compare
 *
 * The method is ctgrind's: secrets are declared uninitialised to Valgrind's memcheck, which then
 * reports every branch and every address that depends on them. The program starts itself under
 * Valgrind; without it, or in a build with sanitisers, it is skipped.
 *
 * What is compared is ours. The primitives that compute it are libsodium's and libb2's, and run
 * with the same secrets here. Whether a tag is right is public once it is known, so the AEAD's
 * verdict, on which libraries branch, cannot be watched this way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || !__has_include(<valgrind/memcheck.h>)

int main(void)
{
	puts("needs Valgrind's headers, and a build without sanitisers");
	return 77;
}

#else

#include <valgrind/memcheck.h>

#include "tests/unit/test_wg_sim.h"
#include "wg/cookie.h"
#include "wg/device.h"
#include "wg/peer.h"

#define SECRET(place, len) VALGRIND_MAKE_MEM_UNDEFINED(place, len)
#define PUBLIC(place, len) VALGRIND_MAKE_MEM_DEFINED(place, len)

/* Errors reported since @before */
static unsigned int reported(unsigned int before)
{
	return VALGRIND_COUNT_ERRORS - before;
}

START_TEST(mac1)
{
	struct sim *sim = sim_new();
	struct wg_cookie_checker *checker = &sim->nodes[1].dev->cookie_checker;
	unsigned int before = VALGRIND_COUNT_ERRORS;
	struct wg_message_initiation msg;
	bool ok;

	for (int wrong = 0; wrong < 2; wrong++) {
		struct wg_cookie cookie;

		memset(&msg, 1, sizeof(msg));
		wg_cookie_init(&cookie, sim->nodes[1].public_key);
		wg_cookie_add_macs(&cookie, &msg, sizeof(msg), sim->now);
		msg.macs.mac1[0] ^= (uint8_t)wrong;
		SECRET(checker->mac1_key, sizeof(checker->mac1_key));
		ok = wg_cookie_check_mac1(checker, &msg, sizeof(msg));
		PUBLIC(&ok, sizeof(ok));
		PUBLIC(checker->mac1_key, sizeof(checker->mac1_key));
		ck_assert_int_eq(ok, !wrong);
	}
	ck_assert_uint_eq(reported(before), 0);
	sim_free(sim);
}
END_TEST

START_TEST(mac2_and_its_cookie)
{
	struct sim *sim = sim_new();
	struct wg_device *dev = sim->nodes[1].dev;
	struct wg_endpoint from = sim_address(0);
	struct wg_message_initiation msg;
	struct wg_message_cookie reply;
	struct wg_cookie cookie;
	unsigned int before;
	bool ok;

	memset(&msg, 1, sizeof(msg));
	wg_cookie_init(&cookie, sim->nodes[1].public_key);
	wg_cookie_add_macs(&cookie, &msg, sizeof(msg), sim->now);
	wg_cookie_create_reply(dev, &reply, &msg, sizeof(msg), msg.sender, &from);
	ck_assert(wg_cookie_consume_reply(&cookie, &reply, sim->now));
	wg_cookie_add_macs(&cookie, &msg, sizeof(msg), sim->now);
	before = VALGRIND_COUNT_ERRORS;
	for (int wrong = 0; wrong < 2; wrong++) {
		msg.macs.mac2[3] ^= (uint8_t)wrong;
		SECRET(dev->cookie_checker.secret, sizeof(dev->cookie_checker.secret));
		ok = wg_cookie_check_mac2(dev, &msg, sizeof(msg), &from);
		PUBLIC(&ok, sizeof(ok));
		PUBLIC(dev->cookie_checker.secret, sizeof(dev->cookie_checker.secret));
		ck_assert_int_eq(ok, !wrong);
	}
	ck_assert_uint_eq(reported(before), 0);
	sim_free(sim);
}
END_TEST

START_TEST(peer_of_a_public_key)
{
	struct sim *sim = sim_new();
	struct wg_device *dev = sim->nodes[0].dev;
	struct wg_peer *peers[3], *found;
	unsigned int before = VALGRIND_COUNT_ERRORS;

	for (int i = 0; i < 3; i++)
		peers[i] = sim_add_peer(sim, 0, i + 1, false);
	for (int i = 0; i < 4; i++) {
		uint8_t key[32];

		memcpy(key, sim->nodes[i].public_key, sizeof(key));
		for (int k = 0; k < 3; k++)
			SECRET(peers[k]->handshake.remote_static, 32);
		found = wg_peer_by_public_key(dev, key);
		PUBLIC(&found, sizeof(found));
		for (int k = 0; k < 3; k++)
			PUBLIC(peers[k]->handshake.remote_static, 32);
		ck_assert_ptr_eq(found, i ? peers[i - 1] : NULL);
	}
	ck_assert_uint_eq(reported(before), 0);
	sim_free(sim);
}
END_TEST

START_TEST(public_key_of_a_private_one)
{
	uint8_t private_key[32], public_key[32];
	unsigned int before = VALGRIND_COUNT_ERRORS;

	memset(private_key, 0x42, sizeof(private_key));
	SECRET(private_key, sizeof(private_key));
	crypto_scalarmult_curve25519_base(public_key, private_key);
	PUBLIC(public_key, sizeof(public_key));
	ck_assert(!sodium_is_zero(public_key, sizeof(public_key)));
	ck_assert_uint_eq(reported(before), 0);
}
END_TEST

/* The method works: a comparison that stops at the first difference is noticed. */
START_TEST(careless_comparison_is_noticed)
{
	volatile uint8_t mac[16] = {1, 2, 3};
	static const uint8_t other[16] = {1, 2, 4};
	unsigned int before = VALGRIND_COUNT_ERRORS;
	size_t i = 0;

	SECRET((void *)(uintptr_t)mac, sizeof(mac));
	while (i < sizeof(mac) && mac[i] == other[i])
		i++;
	ck_assert_uint_gt(reported(before), 0);
}
END_TEST

static int run_checks(void)
{
	Suite *suite = suite_create("wg_constant_time");
	TCase *t = tcase_create("comparisons");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, mac1);
	tcase_add_test(t, mac2_and_its_cookie);
	tcase_add_test(t, peer_of_a_public_key);
	tcase_add_test(t, public_key_of_a_private_one);
	tcase_add_test(t, careless_comparison_is_noticed);
	suite_add_tcase(suite, t);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}

int main(int argc, char **argv)
{
	setenv("WGWRAP_AEAD", "libsodium", 1);
	if (sodium_init() < 0)
		return 1;
	if (RUNNING_ON_VALGRIND)
		return run_checks();
	if (argc == 1) {
		fflush(stdout);
		execlp("valgrind", "valgrind", "-q", "--log-file=/dev/null", argv[0], "inside",
		       NULL);
	}
	puts("valgrind is not installed");
	return 77;
}

#endif
