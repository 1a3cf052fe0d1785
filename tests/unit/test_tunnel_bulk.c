/* SPDX-License-Identifier: MIT */
/*
 * test_tunnel_bulk.c - the loop rests between turns of bulk transfers, and of nothing else
 */
#include <stdbool.h>

#include "src/tunnel/bulk.h"
#include "tests/unit/run_suite.h"

enum {
	REST_NS = WGW_BULK_REST_US * 1000,
	MUCH = WGW_BULK_MIN_BYTES,
	LITTLE = WGW_BULK_MIN_BYTES - 1,
	SO_MUCH = WGW_BULK_MAX_BYTES,
};

static struct wgw_bulk bulk;
static struct wgw_moved moved;

static void begin(void)
{
	bulk = (struct wgw_bulk){0};
	moved = (struct wgw_moved){0};
}

/* A turn that moves that; how long the rest behind it is */
static uint64_t turn(uint64_t received, uint64_t written, uint64_t writers)
{
	moved.received += received;
	moved.written += written;
	moved.writers += writers;
	return wgw_bulk_rest_ns(&bulk, &moved);
}

/* Turns up to and with the first that is followed by a rest */
static void until_rest(uint64_t received, uint64_t written, uint64_t writers)
{
	for (int i = 1; i < WGW_BULK_TURNS; i++)
		ck_assert_uint_eq(turn(received, written, writers), 0);
	ck_assert_uint_eq(turn(received, written, writers), REST_NS);
}

START_TEST(downloads_rest_from_the_fourth_turn_on)
{
	until_rest(MUCH, 0, 0);
	ck_assert_uint_eq(turn(MUCH, 0, 0), REST_NS);
	ck_assert_uint_eq(turn(SO_MUCH - 1, 0, 0), REST_NS);
}
END_TEST

START_TEST(little_and_very_much_received_needs_no_rest)
{
	until_rest(MUCH, 0, 0);
	ck_assert_uint_eq(turn(LITTLE, 0, 0), 0);
	ck_assert_uint_eq(turn(SO_MUCH, 0, 0), 0);
	ck_assert_uint_eq(turn(0, 0, 0), 0);
	ck_assert_uint_eq(turn(MUCH, 0, 0), REST_NS);
}
END_TEST

START_TEST(whoever_writes_ends_the_rests_of_downloads)
{
	until_rest(MUCH, 0, 0);
	ck_assert_uint_eq(turn(MUCH, 1, 0), 0);
	until_rest(MUCH, 0, 0);
	ck_assert_uint_eq(turn(MUCH, MUCH, 1), 0);
	until_rest(MUCH, 0, 0);
}
END_TEST

START_TEST(several_uploads_rest_from_the_fourth_turn_on)
{
	until_rest(0, MUCH, 1);
	ck_assert_uint_eq(turn(0, SO_MUCH - 1, 2), REST_NS);
	/* acknowledgements alone */
	ck_assert_uint_eq(turn(LITTLE, 0, 0), 0);
	ck_assert_uint_eq(turn(LITTLE, MUCH, 1), REST_NS);
	ck_assert_uint_eq(turn(0, SO_MUCH, 8), 0);
	ck_assert_uint_eq(turn(0, MUCH, 1), REST_NS);
}
END_TEST

START_TEST(one_upload_alone_never_rests)
{
	/* the first turn is another's than what was before */
	ck_assert_uint_eq(turn(0, MUCH, 1), 0);
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(turn(LITTLE, MUCH, 0), 0);
	/* nor when others have just stopped */
	begin();
	until_rest(0, MUCH, 1);
	ck_assert_uint_eq(turn(0, MUCH, 0), 0);
}
END_TEST

START_TEST(who_writes_little_ends_the_rests_of_uploads)
{
	until_rest(0, MUCH, 1);
	ck_assert_uint_eq(turn(0, LITTLE, 1), 0);
	until_rest(0, MUCH, 1);
	ck_assert_uint_eq(turn(0, 1, 0), 0);
	until_rest(0, MUCH, 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tunnel_bulk");
	TCase *c = tcase_create("bulk");

	tcase_add_checked_fixture(c, begin, NULL);
	tcase_add_test(c, downloads_rest_from_the_fourth_turn_on);
	tcase_add_test(c, little_and_very_much_received_needs_no_rest);
	tcase_add_test(c, whoever_writes_ends_the_rests_of_downloads);
	tcase_add_test(c, several_uploads_rest_from_the_fourth_turn_on);
	tcase_add_test(c, one_upload_alone_never_rests);
	tcase_add_test(c, who_writes_little_ends_the_rests_of_uploads);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
