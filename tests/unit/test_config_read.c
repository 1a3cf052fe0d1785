/* SPDX-License-Identifier: MIT */
/* test_config_read.c - where the text of a configuration comes from, and what stays behind */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/config/config.h"
#include "tests/unit/run_suite.h"

#define TEXT "[Interface]\nAddress = 10.8.0.2\n"

static char dir[] = "/tmp/test_config_read.XXXXXX";
static char said[512];
static struct wgw_diag diag;
static char *text, *source;
static size_t len;

static void say(void *ctx, bool is_error, const char *message)
{
	(void)ctx;
	snprintf(said, sizeof(said), "%s%s", is_error ? "E " : "W ", message);
}

static void make_directory(const char *path)
{
	ck_assert_msg(mkdir(path, 0700) == 0 || errno == EEXIST, "mkdir %s", path);
}

static void put_file(const char *path, const char *content, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

/* each test is a process of its own with a directory of its own */
static void set_up(void)
{
	text = source = NULL;
	strcpy(strrchr(dir, '.'), ".XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_eq(setenv("HOME", dir, 1), 0);
	ck_assert_int_eq(unsetenv("XDG_CONFIG_HOME"), 0);
	said[0] = '\0';
	diag = (struct wgw_diag){.say = say};
}

static void tear_down(void)
{
	char command[PATH_MAX + 16];

	wgw_config_wipe(text, len);
	free(source);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void read_it(const char *what)
{
	text = wgw_config_read(what, &len, &source, &diag);
}

/** check_read() - the text came from @from, and nothing was said */
static void check_read(const char *from)
{
	ck_assert_msg(text != NULL, "%s", said);
	ck_assert_uint_eq(len, strlen(TEXT));
	ck_assert_str_eq(text, TEXT);
	ck_assert_str_eq(source, from);
	ck_assert_str_eq(said, "");
}

static void check_error(const char *message)
{
	ck_assert_ptr_null(text);
	ck_assert_ptr_null(source);
	ck_assert_str_eq(said, message);
	ck_assert_uint_eq(diag.errors, 1);
}

START_TEST(an_environment_variable_is_wiped_where_it_lies)
{
	char *value;

	ck_assert_int_eq(setenv("TEST_CONFIG", TEXT, 1), 0);
	value = getenv("TEST_CONFIG");
	read_it("env:TEST_CONFIG");
	check_read("environment variable TEST_CONFIG");
	for (size_t i = 0; i < strlen(TEXT); i++)
		ck_assert_int_eq(value[i], 0);
	ck_assert_ptr_null(getenv("TEST_CONFIG"));
}
END_TEST

START_TEST(an_empty_environment_variable_is_an_error)
{
	ck_assert_int_eq(setenv("TEST_CONFIG", "", 1), 0);
	read_it("env:TEST_CONFIG");
	check_error("E environment variable TEST_CONFIG is empty");
}
END_TEST

START_TEST(a_file_of_that_name_comes_before_a_name)
{
	make_directory(".config");
	make_directory(".config/wgwrap");
	put_file(".config/wgwrap/office.conf", "other", 0600);
	put_file("office", TEXT, 0600);
	read_it("office");
	check_read("office");
}
END_TEST

START_TEST(a_directory_does_not_hide_a_name)
{
	char path[PATH_MAX];

	make_directory(".config");
	make_directory(".config/wgwrap");
	make_directory("office");
	put_file(".config/wgwrap/office.conf", TEXT, 0600);
	read_it("office");
	snprintf(path, sizeof(path), "%s/.config/wgwrap/office.conf", dir);
	check_read(path);
}
END_TEST

START_TEST(xdg_config_home_comes_before_home)
{
	char path[PATH_MAX];

	make_directory(".config");
	make_directory(".config/wgwrap");
	put_file(".config/wgwrap/office.conf", "other", 0600);
	make_directory("xdg");
	make_directory("xdg/wgwrap");
	put_file("xdg/wgwrap/office.conf", TEXT, 0600);
	snprintf(path, sizeof(path), "%s/xdg", dir);
	ck_assert_int_eq(setenv("XDG_CONFIG_HOME", path, 1), 0);
	read_it("office");
	strcat(path, "/wgwrap/office.conf");
	check_read(path);
}
END_TEST

START_TEST(what_has_a_slash_or_an_extension_is_no_name)
{
	make_directory(".config");
	make_directory(".config/wgwrap");
	put_file(".config/wgwrap/office.conf.conf", TEXT, 0600);
	read_it("office.conf");
	check_error("E office.conf: no such file");
	diag.errors = 0;
	read_it("./office");
	check_error("E ./office: no such file");
}
END_TEST

START_TEST(a_directory_is_an_error)
{
	make_directory("a.conf");
	read_it("a.conf");
	check_error("E cannot read a.conf: Is a directory");
}
END_TEST

static const struct {
	mode_t directory, file;
} closed[] = {{0700, 0604}, {0701, 0640}, {0704, 0604}};

START_TEST(files_that_others_cannot_reach_are_not_warned_about)
{
	ck_assert_int_eq(chmod(".", closed[_i].directory), 0);
	put_file("a.conf", TEXT, closed[_i].file);
	read_it("a.conf");
	check_read("a.conf");
}
END_TEST

START_TEST(world_accessible_files_are_warned_about)
{
	ck_assert_int_eq(chmod(".", 0701), 0);
	put_file("a.conf", TEXT, 0604);
	read_it("a.conf");
	ck_assert_ptr_nonnull(text);
	ck_assert_str_eq(said, "W a.conf is world accessible: try chmod 600");
	ck_assert_uint_eq(diag.errors, 0);
}
END_TEST

START_TEST(a_pipe_is_read_to_its_end_in_whatever_pieces)
{
	int ends[2];
	pid_t pid;
	char path[64];

	ck_assert_int_eq(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		for (const char *c = TEXT; *c; c++) {
			if (write(ends[1], c, 1) != 1)
				_exit(1);
			usleep(100);
		}
		_exit(0);
	}
	close(ends[1]);
	snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
	read_it(path);
	check_read(path);
	close(ends[0]);
}
END_TEST

START_TEST(size_has_a_limit)
{
	int fd = open("a.conf", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, WGW_CONFIG_MAX_BYTES), 0);
	read_it("a.conf");
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(len, WGW_CONFIG_MAX_BYTES);
	ck_assert_int_eq(text[len], '\0');
	wgw_config_wipe(text, len);
	free(source);
	ck_assert_int_eq(ftruncate(fd, WGW_CONFIG_MAX_BYTES + 1), 0);
	read_it("a.conf");
	check_error("E a.conf: larger than 4194304 bytes");
	close(fd);
}
END_TEST

START_TEST(without_a_home_the_password_file_says_where_it_is)
{
	const char *wanted;

	ck_assert_int_eq(unsetenv("HOME"), 0);
	read_it("no-such-name-anywhere");
	ck_assert_ptr_null(text);
	/* a container's user may have no entry there */
	wanted = getpwuid(getuid()) ? "E no-such-name-anywhere: no such file, nor /"
				    : "E no-such-name-anywhere: no such file";
	ck_assert_msg(strncmp(said, wanted, strlen(wanted)) == 0, "%s", said);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config read");
	TCase *tc = tcase_create("sources");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, an_environment_variable_is_wiped_where_it_lies);
	tcase_add_test(tc, an_empty_environment_variable_is_an_error);
	tcase_add_test(tc, a_file_of_that_name_comes_before_a_name);
	tcase_add_test(tc, a_directory_does_not_hide_a_name);
	tcase_add_test(tc, xdg_config_home_comes_before_home);
	tcase_add_test(tc, what_has_a_slash_or_an_extension_is_no_name);
	tcase_add_test(tc, a_directory_is_an_error);
	tcase_add_loop_test(tc, files_that_others_cannot_reach_are_not_warned_about, 0,
			    sizeof(closed) / sizeof(*closed));
	tcase_add_test(tc, world_accessible_files_are_warned_about);
	tcase_add_test(tc, a_pipe_is_read_to_its_end_in_whatever_pieces);
	tcase_add_test(tc, size_has_a_limit);
	tcase_add_test(tc, without_a_home_the_password_file_says_where_it_is);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
