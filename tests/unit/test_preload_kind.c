/* SPDX-License-Identifier: MIT */
/*
 * test_preload_kind.c - what the shim remembers of a descriptor, when another thread is faster
 *
 * The file is included for its look at a descriptor, which is played here; the other thread does
 * its part within the look.
 */
#include <check.h>

#include "preload/kind.c"
#include "src/repr/wire.h"
#include "tests/unit/run_suite.h"

enum { FD = 5, BEYOND = KINDS };

static uint64_t found;		/* 0: the descriptor is none of ours */
static void (*meanwhile)(void); /* before the look returns; once */
static int looks;

bool pre_ours(int fd, uint64_t *tag)
{
	uint32_t since = pre_kind_changes();
	const uint64_t was = found;
	void (*then)(void) = meanwhile;

	looks++;
	meanwhile = NULL;
	if (then)
		then();
	*tag = was;
	if (was)
		pre_kind_saw(fd, was, since);
	return was != 0;
}

static uint64_t tag_of(enum wgw_kind kind)
{
	return WGW_TAG_RAW | WGW_TAG_CONNECTED | (uint64_t)kind << WGW_TAG_KIND_SHIFT;
}

static void another_makes_a_socket(void)
{
	pre_kind_set(FD, PRE_KIND_DATAGRAM);
}

static void another_receives_a_descriptor(void)
{
	pre_kind_set(FD, PRE_KIND_UNKNOWN);
}

static void another_disconnects(void)
{
	found = tag_of(WGW_KIND_UDP) & ~WGW_TAG_CONNECTED;
	pre_kind_changed(FD, tag_of(WGW_KIND_UDP));
}

START_TEST(what_is_none_of_ours_is_looked_at_once)
{
	ck_assert_int_eq(pre_kind(FD), PRE_KIND_OTHER);
	ck_assert_int_eq(pre_kind(FD), PRE_KIND_OTHER);
	ck_assert_int_eq(looks, 1);
	ck_assert_int_eq(pre_kind(BEYOND), PRE_KIND_OTHER);
	ck_assert_int_eq(pre_kind(BEYOND), PRE_KIND_OTHER);
	ck_assert_int_eq(looks, 3);
}
END_TEST

START_TEST(a_socket_made_during_the_look_is_not_forgotten)
{
	meanwhile = another_makes_a_socket;
	pre_kind(FD);
	ck_assert_int_eq(pre_kind(FD), PRE_KIND_DATAGRAM);
}
END_TEST

START_TEST(a_descriptor_received_during_the_look_is_looked_at_again)
{
	meanwhile = another_receives_a_descriptor;
	ck_assert_int_eq(pre_kind(FD), PRE_KIND_OTHER);
	found = tag_of(WGW_KIND_TCP);
	ck_assert_int_eq(pre_kind(FD), PRE_KIND_STREAM);
}
END_TEST

/* The number was a socket's of ours before, and becomes one again: the kind alone is the same. */
START_TEST(a_socket_made_anew_during_the_look_is_not_forgotten)
{
	unsigned before;

	pre_kind_set(FD, PRE_KIND_DATAGRAM);
	before = pre_kind_entry(FD);
	another_makes_a_socket();
	pre_kind_is_other(FD, before);
	ck_assert_int_eq(pre_kind(FD), PRE_KIND_DATAGRAM);
	pre_kind_is_other(FD, pre_kind_entry(FD));
	ck_assert_int_eq(pre_kind(FD), PRE_KIND_OTHER);
}
END_TEST

START_TEST(a_peer_lost_during_the_look_is_not_remembered)
{
	uint64_t tag;

	found = tag_of(WGW_KIND_UDP);
	ck_assert(pre_ours(FD, &tag));
	ck_assert_int_eq(pre_kind(FD), PRE_KIND_CONNECTED);
	meanwhile = another_disconnects;
	ck_assert(pre_ours(FD, &tag));
	ck_assert_int_eq(pre_kind(FD), PRE_KIND_DATAGRAM);
}
END_TEST

START_TEST(a_duplicate_is_ours_but_never_another)
{
	pre_kind_set(FD, PRE_KIND_STREAM);
	pre_kind_copy(FD, FD + 1);
	ck_assert_int_eq(pre_kind(FD + 1), PRE_KIND_STREAM);
	pre_kind_set(FD, PRE_KIND_UNKNOWN);
	ck_assert_int_eq(pre_kind(FD), PRE_KIND_OTHER);
	found = tag_of(WGW_KIND_UDP) & ~WGW_TAG_RAW;
	pre_kind_copy(FD, FD + 1);
	ck_assert_int_eq(pre_kind(FD + 1), PRE_KIND_DATAGRAM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("preload kind");
	TCase *tc = tcase_create("kind");

	tcase_add_test(tc, what_is_none_of_ours_is_looked_at_once);
	tcase_add_test(tc, a_socket_made_during_the_look_is_not_forgotten);
	tcase_add_test(tc, a_descriptor_received_during_the_look_is_looked_at_again);
	tcase_add_test(tc, a_socket_made_anew_during_the_look_is_not_forgotten);
	tcase_add_test(tc, a_peer_lost_during_the_look_is_not_remembered);
	tcase_add_test(tc, a_duplicate_is_ours_but_never_another);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
