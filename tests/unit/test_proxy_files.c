/* SPDX-License-Identifier: MIT */
/*
 * test_proxy_files.c - texts of keys that a proxy reads: nothing of them stays when reading fails
 *
 * read, pread and sodium_memzero are defined here: the first two fail in the middle when they are
 * told to, the third one notes what was wiped.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "src/proxy/front.h"
#include "src/proxy/handed.h"
#include "tests/unit/run_suite.h"

enum { LINES = 300 };

static const char line[] = "the text of a private key\n";
static const void *read_to, *wiped;
static size_t read_bytes, wiped_bytes;
static bool fails;

static ssize_t partly(int fd, void *buf, size_t n, off_t at)
{
	ssize_t got;

	if (fails && read_bytes > 0) {
		errno = EIO;
		return -1;
	}
	got = syscall(SYS_pread64, fd, buf, fails && n > 1000 ? 1000 : n, at);
	if (!read_to)
		read_to = buf;
	read_bytes += got > 0 ? (size_t)got : 0;
	return got;
}

ssize_t read(int fd, void *buf, size_t n)
{
	return fails ? partly(fd, buf, n, 0) : (ssize_t)syscall(SYS_read, fd, buf, n);
}

ssize_t pread(int fd, void *buf, size_t n, off_t at)
{
	return partly(fd, buf, n, at);
}

void sodium_memzero(void *const at, const size_t n)
{
	wiped = at;
	wiped_bytes = n;
	explicit_bzero(at, n);
}

static char path[64];

static void setup(void)
{
	int fd;

	strcpy(path, "/tmp/wgwrap-test-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	for (int i = 0; i < LINES; i++)
		ck_assert_int_eq(write(fd, line, sizeof(line) - 1), sizeof(line) - 1);
	close(fd);
	read_to = wiped = NULL;
	read_bytes = wiped_bytes = 0;
	fails = false;
}

static void teardown(void)
{
	unlink(path);
}

static void all_was_wiped(void)
{
	ck_assert_uint_eq(read_bytes, 1000);
	ck_assert_ptr_nonnull(read_to);
	ck_assert_ptr_eq(wiped, read_to);
	ck_assert_uint_ge(wiped_bytes, read_bytes);
}

START_TEST(a_file_that_cannot_be_read_to_its_end_is_wiped)
{
	char *text;
	size_t len;

	text = proxy_file_read(path, 1 << 20, true, &len);
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(len, LINES * (sizeof(line) - 1));
	ck_assert_ptr_null(wiped);
	free(text);
	read_to = NULL;
	read_bytes = 0;
	fails = true;
	ck_assert_ptr_null(proxy_file_read(path, 1 << 20, true, &len));
	ck_assert_int_eq(errno, EIO);
	all_was_wiped();
}
END_TEST

START_TEST(a_message_s_text_that_cannot_be_read_to_its_end_is_wiped)
{
	const struct iovec piece = {(void *)(uintptr_t)line, sizeof(line) - 1};
	struct iovec pieces[LINES];
	char *text;
	int fd;

	for (int i = 0; i < LINES; i++)
		pieces[i] = piece;
	fd = proxy_memfd("test", pieces, LINES);
	ck_assert_int_ge(fd, 0);
	text = proxy_memfd_read(fd, LINES * piece.iov_len);
	ck_assert_ptr_nonnull(text);
	ck_assert_mem_eq(text + (LINES - 1) * piece.iov_len, line, piece.iov_len);
	free(text);
	/* more than there is */
	ck_assert_ptr_null(wiped);
	ck_assert_ptr_null(proxy_memfd_read(fd, LINES * piece.iov_len + 1));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_uint_eq(wiped_bytes, LINES * piece.iov_len);
	read_to = NULL;
	read_bytes = 0;
	fails = true;
	ck_assert_ptr_null(proxy_memfd_read(fd, LINES * piece.iov_len));
	ck_assert_int_eq(errno, EIO);
	all_was_wiped();
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy files");
	TCase *tc = tcase_create("files");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_file_that_cannot_be_read_to_its_end_is_wiped);
	tcase_add_test(tc, a_message_s_text_that_cannot_be_read_to_its_end_is_wiped);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
