/* SPDX-License-Identifier: MIT */
/* session_files.h - a directory for one test, and files in it */
#ifndef TESTS_UNIT_SESSION_FILES_H
#define TESTS_UNIT_SESSION_FILES_H

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static inline void setup(void)
{
	strcpy(dir, "/tmp/wgwrap-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static inline void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "PATH=/usr/bin:/bin; rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

/** path_in() - @name in the test's directory; static storage */
static inline const char *path_in(const char *name)
{
	static char path[2][PATH_MAX];
	static int turn;

	turn = !turn;
	snprintf(path[turn], PATH_MAX, "%s/%s", dir, name);
	return path[turn];
}

/* Makes a file of @len bytes; its path, as path_in() returns it. */
static inline const char *make_file(const char *name, const void *data, size_t len, mode_t mode)
{
	const char *path = path_in(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

#endif
