/* SPDX-License-Identifier: MIT */
/* test_repr_scatter.c - moving bytes within buffers of every division */
#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "src/repr/scatter.h"
#include "tests/unit/run_suite.h"

enum { MOST = 40, GUARD = 0x5a };

/* Buffers of @piece bytes, @room altogether, none touching the next; every third is empty. */
static struct iovec iov[3 * MOST];
static uint8_t place[2 * MOST + 1];

static size_t divide(size_t room, size_t piece)
{
	size_t n = 0, at = 0;

	memset(place, GUARD, sizeof(place));
	for (size_t done = 0; done < room; done += piece) {
		size_t len = room - done < piece ? room - done : piece;

		if (n % 3 == 2)
			iov[n++] = (struct iovec){NULL, 0};
		iov[n++] = (struct iovec){place + at, len};
		at += len + 1;
	}
	return n;
}

static void fill(size_t n, const char *text, size_t len)
{
	for (size_t i = 0; i < n && len; i++) {
		size_t part = iov[i].iov_len < len ? iov[i].iov_len : len;

		if (part)
			memcpy(iov[i].iov_base, text, part);
		text += part;
		len -= part;
	}
}

/* What lies between the buffers was not touched. */
static void check_guards(size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (iov[i].iov_len)
			ck_assert_uint_eq(((uint8_t *)iov[i].iov_base)[iov[i].iov_len], GUARD);
}

static const char text[MOST + 1] = "0123456789abcdefghijklmnopqrstuvwxyzABCD";

static bool all_zero(const char *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (at[i])
			return false;
	return true;
}

/* What follows the first @len bytes is as divide() left it. */
static bool untouched(size_t n, size_t len)
{
	char all[MOST];
	size_t room = wgw_scatter_peek(iov, n, all, sizeof(all));

	for (size_t i = len; i < room; i++)
		if ((uint8_t)all[i] != GUARD)
			return false;
	return true;
}

START_TEST(peek_copies_what_there_is)
{
	char got[MOST];

	for (size_t room = 0; room <= MOST; room++) {
		for (size_t piece = 1; piece <= room + 1; piece++) {
			size_t n = divide(room, piece);

			fill(n, text, room);
			ck_assert_uint_eq(wgw_scatter_room(iov, n), room);
			for (size_t len = 0; len <= MOST; len++) {
				size_t most = len < room ? len : room;

				ck_assert_uint_eq(wgw_scatter_peek(iov, n, got, len), most);
				ck_assert_mem_eq(got, text, most);
			}
		}
	}
}
END_TEST

START_TEST(put_fills_what_room_there_is)
{
	char got[MOST];

	for (size_t room = 0; room <= MOST; room++) {
		for (size_t piece = 1; piece <= room + 1; piece++) {
			for (size_t len = 0; len <= MOST; len++) {
				size_t n = divide(room, piece), most = len < room ? len : room;

				wgw_scatter_put(iov, n, text, len);
				ck_assert_uint_eq(wgw_scatter_peek(iov, n, got, most), most);
				ck_assert_mem_eq(got, text, most);
				check_guards(n);
			}
		}
	}
}
END_TEST

START_TEST(cut_takes_the_front_away)
{
	char got[MOST];

	for (size_t len = 0; len <= MOST; len++) {
		for (size_t piece = 1; piece <= len; piece++) {
			for (size_t by = 0; by <= len + 1; by++) {
				size_t n = divide(MOST, piece), left = len > by ? len - by : 0;

				fill(n, text, len);
				wgw_scatter_cut(iov, n, len, by);
				ck_assert_uint_eq(wgw_scatter_peek(iov, n, got, left), left);
				ck_assert_mem_eq(got, text + (len - left), left);
				wgw_scatter_peek(iov, n, got, len);
				ck_assert(all_zero(got + left, len - left));
				ck_assert(untouched(n, len));
				check_guards(n);
			}
		}
	}
}
END_TEST

START_TEST(push_puts_before_and_drops_the_end)
{
	static const char front[MOST + 1] = "!#$%&()*+,-./:;<=>?@[]^_{|}~!#$%&()*+,-.";
	char got[MOST], want[2 * MOST], given[WGW_SCATTER_MAX_BYTES];

	for (size_t room = 1; room <= MOST; room++) {
		for (size_t piece = 1; piece <= room; piece += 3) {
			for (size_t by = 0; by <= MOST; by++) {
				size_t n = divide(room, piece), len = room - by / 3 % room;
				size_t total = by + len < room ? by + len : room;

				fill(n, text, len);
				memcpy(given, front, by);
				memcpy(want, front, by);
				memcpy(want + by, text, len);
				wgw_scatter_push(iov, n, len, given, by);
				ck_assert_uint_eq(wgw_scatter_peek(iov, n, got, total), total);
				ck_assert_mem_eq(got, want, total);
				check_guards(n);
			}
		}
	}
}
END_TEST

START_TEST(sizes_that_do_not_add_up_are_merely_large)
{
	const struct iovec huge[3] = {
		{place, SIZE_MAX - 4}, {place, SIZE_MAX / 2}, {place, SIZE_MAX}};

	ck_assert_uint_ge(wgw_scatter_room(huge, 3), SIZE_MAX / 2 - 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("repr scatter");
	TCase *tc = tcase_create("scatter");

	tcase_add_test(tc, peek_copies_what_there_is);
	tcase_add_test(tc, put_fills_what_room_there_is);
	tcase_add_test(tc, cut_takes_the_front_away);
	tcase_add_test(tc, push_puts_before_and_drops_the_end);
	tcase_add_test(tc, sizes_that_do_not_add_up_are_merely_large);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
