/* SPDX-License-Identifier: MIT */
/* test_session_programs.c - which programs can be captured, and how a command is found */
#include <check.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "src/session/program.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/session_files.h"

/** struct image - a program file with one segment and what it points to */
struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	char data[32];
};

static struct image make_image(uint32_t type, const char *data, size_t len)
{
	struct image im = {
		.eh = {.e_phoff = sizeof(Elf64_Ehdr),
		       .e_phentsize = sizeof(Elf64_Phdr),
		       .e_phnum = 1,
		       .e_type = ET_EXEC},
		.ph = {.p_type = type, .p_offset = offsetof(struct image, data), .p_filesz = len}};

	memcpy(im.eh.e_ident, ELFMAG, SELFMAG);
	im.eh.e_ident[EI_CLASS] = ELFCLASS64;
#ifdef __x86_64__
	im.eh.e_machine = EM_X86_64;
#else
	im.eh.e_machine = EM_AARCH64;
#endif
	memcpy(im.data, data, len);
	return im;
}

/** refusal() - what wgw_inspect says about an image, "" when nothing; static storage */
static const char *refusal(const struct image *im)
{
	static char why[512];

	why[0] = '\0';
	if (!wgw_inspect(make_file("program", im, sizeof(*im), 0755), why, sizeof(why)))
		why[0] = '\0';
	return why;
}

START_TEST(inspect_tells_programs_apart)
{
	static const char glibc[] = "/lib64/ld-linux-x86-64.so.2",
			  musl[] = "/lib/ld-musl-x86_64.so.1";
	static const char go[] = "\4\0\0\0\4\0\0\0\4\0\0\0Go\0\0abcd",
			  gnu[] = "\4\0\0\0\4\0\0\0\3\0\0\0GNU\0";
	struct image im = make_image(PT_INTERP, glibc, sizeof(glibc));

	ck_assert_str_eq(refusal(&im), "");
	im.eh.e_machine = EM_386;
	im.eh.e_ident[EI_CLASS] = ELFCLASS32;
	ck_assert_ptr_nonnull(strstr(refusal(&im), "another architecture"));
	im = make_image(PT_LOAD, "", 1);
	ck_assert_ptr_nonnull(strstr(refusal(&im), "statically linked"));
	im = make_image(PT_INTERP, musl, sizeof(musl));
	ck_assert_ptr_nonnull(strstr(refusal(&im), "another C library"));
	im = make_image(PT_NOTE, go, sizeof(go) - 1);
	ck_assert_ptr_nonnull(strstr(refusal(&im), "Go program"));
	im = make_image(PT_NOTE, gnu, sizeof(gnu) - 1);
	ck_assert_ptr_nonnull(strstr(refusal(&im), "statically linked"));
}
END_TEST

START_TEST(inspect_survives_broken_files)
{
	struct image im = make_image(PT_NOTE, "\xff\xff\xff\xff\xff\xff\xff\xff", 8), cut;
	char why[512];

	refusal(&im);
	im.ph.p_offset = UINT64_MAX - 3;
	refusal(&im);
	im.eh.e_phoff = UINT64_MAX - 8;
	refusal(&im);
	im.eh.e_phnum = 0xffff;
	refusal(&im);
	for (size_t len = 0; len < sizeof(cut); len++) {
		cut = make_image(PT_INTERP, "/x", 3);
		wgw_inspect(make_file("cut", &cut, len, 0755), why, sizeof(why));
	}
	ck_assert(!wgw_inspect(path_in("missing"), why, sizeof(why)));
	ck_assert(!wgw_inspect(make_file("loop", "#!", 2, 0755), why, sizeof(why)));
}
END_TEST

START_TEST(inspect_follows_scripts)
{
	struct image im = make_image(PT_LOAD, "", 1);
	char script[PATH_MAX], why[512];
	int len;

	make_file("static", &im, sizeof(im), 0755);
	len = snprintf(script, sizeof(script), "#! %s/static -x\necho\n", dir);
	ck_assert(wgw_inspect(make_file("script", script, (size_t)len, 0755), why, sizeof(why)));
	ck_assert_ptr_nonnull(strstr(why, "statically linked"));
	ck_assert(!wgw_inspect(make_file("plain", "#!/bin/sh\n", 10, 0755), why, sizeof(why)));
	/* a script that is its own interpreter */
	len = snprintf(script, sizeof(script), "#!%s/self\n", dir);
	ck_assert(!wgw_inspect(make_file("self", script, (size_t)len, 0755), why, sizeof(why)));
}
END_TEST

/** refused_for() - whether a user with @uid is refused the file, with @word in the reason */
static bool refused_for(uid_t uid, const char *path, const char *word)
{
	char why[512];
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
			_exit(2);
		_exit(wgw_inspect(path, why, sizeof(why)) && strstr(why, word) ? 1 : 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
	return WEXITSTATUS(status) == 1;
}

START_TEST(inspect_refuses_file_capabilities)
{
	/* version 2, effective; CAP_NET_RAW permitted */
	static const uint32_t with_effective[] = {0x02000001, 1U << 13, 0, 0, 0};
	static const uint32_t without[] = {0x02000000, 1U << 13, 0, 0, 0};
	static const char glibc[] = "/lib64/ld-linux-x86-64.so.2";
	struct image im = make_image(PT_INTERP, glibc, sizeof(glibc));
	const char *path;

	if (geteuid() != 0) {
		printf("# not root: no set-user-ID file can be made here\n");
		return;
	}
	ck_assert_int_eq(chmod(dir, 0755), 0);
	path = make_file("program", &im, sizeof(im), 06755);
	ck_assert(!refused_for(65534, path, ""));
	path = make_file("program", &im, sizeof(im), 0755);
	ck_assert(!refused_for(65534, path, ""));
	if (setxattr(path, "security.capability", with_effective, sizeof(with_effective), 0)) {
		printf("# no file capabilities here: %s\n", strerror(errno));
		return;
	}
	ck_assert(refused_for(65534, path, "file capabilities"));
	ck_assert(!refused_for(0, path, "file capabilities"));
	ck_assert_int_eq(setxattr(path, "security.capability", without, sizeof(without), 0), 0);
	ck_assert(!refused_for(65534, path, "file capabilities"));
}
END_TEST

static const struct wgw_capture_probe filtered = {.level = WGW_CAPTURE_FILTER};
static const struct wgw_capture_probe supervised = {.level = WGW_CAPTURE_SUPERVISED};

START_TEST(find_command_has_execvp_statuses)
{
	char *path;

	setenv("PATH", dir, 1);
	ck_assert_int_eq(wgw_find_command("nothing-there", &filtered, &path), 127);
	ck_assert_int_eq(wgw_find_command("", &filtered, &path), 127);
	ck_assert_int_eq(wgw_find_command("/no/such/file", &filtered, &path), 127);
	ck_assert_int_eq(wgw_find_command(dir, &filtered, &path), 126);
	make_file("plain", "#!/bin/sh\n", 10, 0644);
	ck_assert_int_eq(wgw_find_command("plain", &filtered, &path), 126);
	make_file("plain", "#!/bin/sh\n", 10, 0755);
	ck_assert_int_eq(wgw_find_command("plain", &filtered, &path), 0);
	ck_assert_str_eq(path, path_in("plain"));
	free(path);
}
END_TEST

START_TEST(a_supervised_command_need_not_take_the_shared_object)
{
	struct image im = make_image(PT_LOAD, "", 1);
	char *path;

	setenv("PATH", dir, 1);
	make_file("static", &im, sizeof(im), 0755);
	ck_assert_int_eq(wgw_find_command("static", &filtered, &path), 126);
	ck_assert_int_eq(wgw_find_command("static", &supervised, &path), 0);
	free(path);
	im.eh.e_machine = EM_386;
	im.eh.e_ident[EI_CLASS] = ELFCLASS32;
	make_file("other", &im, sizeof(im), 0755);
	ck_assert_int_eq(wgw_find_command("other", &supervised, &path), 126);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("session-programs");
	TCase *t = tcase_create("programs");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, inspect_tells_programs_apart);
	tcase_add_test(t, inspect_survives_broken_files);
	tcase_add_test(t, inspect_follows_scripts);
	tcase_add_test(t, inspect_refuses_file_capabilities);
	tcase_add_test(t, find_command_has_execvp_statuses);
	tcase_add_test(t, a_supervised_command_need_not_take_the_shared_object);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
