/* SPDX-License-Identifier: MIT */
/* test_repr_seal.c - labels: the cipher against libsodium's SipHash, and what is not a label */
#include <check.h>
#include <sodium.h>
#include <string.h>

#include "src/repr/repr.h"
#include "tests/unit/run_suite.h"

static const uint8_t key[WGW_LABEL_KEY_BYTES] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3};
static const uint8_t nonce[WGW_LABEL_NONCE_BYTES] = {2, 7, 1, 8, 2, 8, 1, 8};
enum { SEALED_AT = 1 + 4 + WGW_LABEL_NONCE_BYTES };

static struct wgw_label example(void)
{
	struct wgw_label label = {
		.outcome = WGW_OUTCOME_CONNECTED, .local_port = 40000, .remote_port = 443};

	memset(label.local_ip, 0x11, sizeof(label.local_ip));
	memset(label.remote_ip, 0x22, sizeof(label.remote_ip));
	return label;
}

START_TEST(key_stream_is_siphash_of_nonce_and_block)
{
	struct wgw_label label = example();
	uint8_t name[WGW_LABEL_NAME_BYTES], plain[sizeof(label)], input[16], stream[8];

	wgw_label_seal(key, nonce, &label, name);
	memcpy(plain, &label, sizeof(label));
	for (uint64_t block = 0; block < sizeof(label) / 8; block++) {
		memcpy(input, nonce, 8);
		memcpy(input + 8, &block, 8);
		ck_assert_int_eq(crypto_shorthash(stream, input, sizeof(input), key), 0);
		for (int i = 0; i < 8; i++)
			ck_assert_uint_eq(name[SEALED_AT + 8 * block + (uint64_t)i],
					  plain[8 * block + (uint64_t)i] ^ stream[i]);
	}
}
END_TEST

START_TEST(preambles_are_siphash_of_blocks_that_no_label_has)
{
	struct wgw_preambles preambles;
	uint8_t want[8];

	wgw_preambles_make(key, &preambles);
	for (uint64_t i = 0; i < 2 * WGW_PREAMBLE_BYTES / 8; i++) {
		const uint64_t input[2] = {i / 2, 256 + i % 2};
		const uint8_t *got = i / 2 ? preambles.to_app : preambles.to_tunnel;

		ck_assert_int_eq(crypto_shorthash(want, (const uint8_t *)input, sizeof(input), key),
				 0);
		ck_assert_mem_eq(got + 8 * (i % 2), want, sizeof(want));
	}
}
END_TEST

START_TEST(a_preamble_is_compared_in_full)
{
	uint8_t message[WGW_PREAMBLE_BYTES];
	struct wgw_preambles p;

	wgw_preambles_make(key, &p);
	for (unsigned int bit = 0; bit < 8 * sizeof(message); bit++) {
		memcpy(message, p.to_app, sizeof(message));
		ck_assert(wgw_preamble_begins(p.to_app, message, sizeof(message)));
		ck_assert(!wgw_preamble_begins(p.to_app, message, sizeof(message) - 1));
		message[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ck_assert(!wgw_preamble_begins(p.to_app, message, sizeof(message)));
	}
}
END_TEST

START_TEST(a_label_opens_to_what_was_sealed)
{
	struct wgw_label label = example(), opened;
	uint8_t name[WGW_LABEL_NAME_BYTES];

	wgw_label_seal(key, nonce, &label, name);
	ck_assert(wgw_label_open(key, name, sizeof(name), &opened));
	ck_assert_mem_eq(&opened, &label, sizeof(label));
	ck_assert_uint_eq(name[0], 0); /* abstract */
}
END_TEST

START_TEST(what_is_not_a_label_does_not_open)
{
	struct wgw_label label = example(), opened;
	uint8_t name[WGW_LABEL_NAME_BYTES + 1] = {0}, other[WGW_LABEL_KEY_BYTES];

	wgw_label_seal(key, nonce, &label, name);
	ck_assert(!wgw_label_open(key, name, WGW_LABEL_NAME_BYTES - 1, &opened));
	ck_assert(!wgw_label_open(key, name, WGW_LABEL_NAME_BYTES + 1, &opened));
	memcpy(other, key, sizeof(other));
	other[0] ^= 1;
	ck_assert(!wgw_label_open(other, name, WGW_LABEL_NAME_BYTES, &opened));
	name[1] = 'x';
	ck_assert(!wgw_label_open(key, name, WGW_LABEL_NAME_BYTES, &opened));
}
END_TEST

#define HEX_16 "000102030405060708090a0b0c0d0e0f"

START_TEST(session_variable_is_read_or_refused_whole)
{
	static const char *const bad[] = {
		"",
		"2:" HEX_16 ":" HEX_16 ":" HEX_16 ":/p",
		"1:" HEX_16 ":" HEX_16 ":" HEX_16,
		"1:" HEX_16 ":" HEX_16 ":/p",
		"1:" HEX_16 ":000102030405060708090a0b0c0d0e0G:" HEX_16 ":/p",
		"1:" HEX_16 "00:" HEX_16 ":" HEX_16 ":/p",
	};
	struct wgw_repr_session s;
	char text[512];

	ck_assert(wgw_repr_session_parse(&s, "1:" HEX_16 ":" HEX_16 ":" HEX_16 ":/run/a:b c"));
	ck_assert_str_eq(s.path, "/run/a:b c");
	ck_assert_str_eq(s.abstract, HEX_16);
	ck_assert_uint_eq(s.token[15], 15);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert(!wgw_repr_session_parse(&s, bad[i]));
	for (int extra = 0; extra <= 1; extra++) { /* the longest path, and one more */
		int len = WGW_PATH_PREFIX_MAX_BYTES + extra;

		snprintf(text, sizeof(text), "1:" HEX_16 ":" HEX_16 ":" HEX_16 ":%0*d", len, 0);
		ck_assert_int_eq(wgw_repr_session_parse(&s, text), !extra);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("repr seal");
	TCase *tc = tcase_create("seal");

	tcase_add_test(tc, key_stream_is_siphash_of_nonce_and_block);
	tcase_add_test(tc, preambles_are_siphash_of_blocks_that_no_label_has);
	tcase_add_test(tc, a_preamble_is_compared_in_full);
	tcase_add_test(tc, a_label_opens_to_what_was_sealed);
	tcase_add_test(tc, what_is_not_a_label_does_not_open);
	tcase_add_test(tc, session_variable_is_read_or_refused_whole);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
