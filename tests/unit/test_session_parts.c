/* SPDX-License-Identifier: MIT */
/* test_session_parts.c - filter, inspection of programs, runtime directory, policy, descriptors */
#include <check.h>
#include <elf.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/base/descriptors.h"
#include "src/control/control.h"
#include "src/session/channel.h"
#include "src/session/inherit.h"
#include "src/session/launch.h"
#include "src/session/program.h"
#include "src/session/run.h"
#include "src/session/rundir.h"
#include "tests/unit/run_suite.h"

static char dir[64];

static void setup(void)
{
	strcpy(dir, "/tmp/wgwrap-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "PATH=/usr/bin:/bin; rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

/** path_in() - @name in the test's directory; static storage */
static const char *path_in(const char *name)
{
	static char path[2][PATH_MAX];
	static int turn;

	turn = !turn;
	snprintf(path[turn], PATH_MAX, "%s/%s", dir, name);
	return path[turn];
}

static const char *make_file(const char *name, const void *data, size_t len, mode_t mode)
{
	const char *path = path_in(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

/* ---- filter ---- */

/** under_filter() - errno of @call in a process with the filter; 0: it succeeded */
static int under_filter(long (*call)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (wgw_filter_install())
			_exit(255);
		_exit(call() < 0 ? errno : 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

#define CALL(name, ...)                                                                            \
	static long name(void)                                                                     \
	{                                                                                          \
		return syscall(__VA_ARGS__);                                                       \
	}
CALL(inet_stream, SYS_socket, AF_INET, SOCK_STREAM, 0)
CALL(inet_dgram, SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
CALL(inet_icmp, SYS_socket, AF_INET, SOCK_DGRAM, 1)
CALL(inet_mptcp, SYS_socket, AF_INET, SOCK_STREAM, 262)
CALL(inet6_stream, SYS_socket, AF_INET6, SOCK_STREAM, 0)
CALL(inet_high_bits, SYS_socket, 0x100000000UL | AF_INET, SOCK_STREAM, 0)
CALL(inet6_high_bits, SYS_socket, 0xffffffff00000000UL | AF_INET6, SOCK_STREAM, 0)
CALL(packet, SYS_socket, AF_PACKET, SOCK_RAW, 0)
CALL(vsock, SYS_socket, AF_VSOCK, SOCK_STREAM, 0)
CALL(smc, SYS_socket, 43, SOCK_STREAM, 0)
CALL(unspec, SYS_socket, 0, SOCK_STREAM, 0)
CALL(alg, SYS_socket, AF_ALG, SOCK_SEQPACKET, 0)
CALL(unix_stream, SYS_socket, AF_UNIX, SOCK_STREAM, 0)
CALL(netlink_route, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
CALL(netlink_generic, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_GENERIC)
CALL(io_uring_setup, SYS_io_uring_setup, 1, NULL)
CALL(io_uring_enter, SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0)
CALL(io_uring_register, SYS_io_uring_register, -1, 0, NULL, 0)
CALL(getpid_call, SYS_getpid)

static long no_new_privs_missing(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1;
}

static const struct {
	long (*call)(void);
	int err;
	const char *name;
} filter_cases[] = {
	{inet_stream, EACCES, "AF_INET stream"},
	{inet_dgram, EACCES, "AF_INET datagram"},
	{inet_icmp, EACCES, "ICMP echo"},
	{inet_mptcp, EACCES, "MPTCP"},
	{inet6_stream, EACCES, "AF_INET6 stream"},
	{inet_high_bits, EACCES, "AF_INET with garbage above 32 bits"},
	{inet6_high_bits, EACCES, "AF_INET6 with garbage above 32 bits"},
	{packet, EAFNOSUPPORT, "AF_PACKET"},
	{vsock, EAFNOSUPPORT, "AF_VSOCK"},
	{smc, EAFNOSUPPORT, "AF_SMC"},
	{unspec, EAFNOSUPPORT, "AF_UNSPEC"},
	{alg, EAFNOSUPPORT, "AF_ALG"},
	{netlink_generic, EPROTONOSUPPORT, "generic netlink"},
	{io_uring_setup, ENOSYS, "io_uring_setup"},
	{io_uring_enter, ENOSYS, "io_uring_enter"},
	{io_uring_register, ENOSYS, "io_uring_register"},
	{unix_stream, 0, "AF_UNIX"},
	{netlink_route, 0, "rtnetlink"},
	{getpid_call, 0, "another call"},
	{no_new_privs_missing, 0, "no_new_privs"},
};

START_TEST(filter_decides)
{
	ck_assert_msg(under_filter(filter_cases[_i].call) == filter_cases[_i].err,
		      "%s: errno %d, expected %d", filter_cases[_i].name,
		      under_filter(filter_cases[_i].call), filter_cases[_i].err);
}
END_TEST

#ifdef __x86_64__
static long x32_socket(void)
{
	return syscall(0x40000000 + SYS_socket, AF_INET, SOCK_STREAM, 0);
}

/* socket(2) through the gate of 32-bit programs: number 359 there */
static long i386_socket(void)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(359), "b"(AF_INET), "c"(SOCK_STREAM), "d"(0)
			 : "r8", "r9", "r10", "r11", "memory");
	if (ret >= 0)
		return ret;
	errno = (int)-ret;
	return -1;
}

START_TEST(filter_closes_other_gates)
{
	ck_assert_int_eq(under_filter(x32_socket), ENOSYS);
	ck_assert_int_eq(under_filter(i386_socket), ENOSYS);
}
END_TEST
#endif

/* ---- inspection ---- */

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

/* ---- runtime directory ---- */

/** only_candidate() - makes @path the first directory to be tried */
static void only_candidate(const char *path)
{
	setenv("WGWRAP_RUNTIME_DIR", path, 1);
}

START_TEST(rundir_is_made_private)
{
	struct wgw_rundir rd;
	struct stat st;

	only_candidate(path_in("run"));
	wgw_rundir_open(&rd);
	ck_assert_str_eq(rd.path, path_in("run"));
	ck_assert_int_eq(fstat(rd.fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	close(rd.fd);
	/* one that others may enter is closed to them */
	ck_assert_int_eq(chmod(rd.path, 0755), 0);
	wgw_rundir_open(&rd);
	ck_assert_str_eq(rd.path, path_in("run"));
	ck_assert_int_eq(fstat(rd.fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	close(rd.fd);
}
END_TEST

START_TEST(rundir_refuses_what_is_not_ours)
{
	struct wgw_rundir rd;
	char long_name[128];

	mkdir(path_in("target"), 0700);
	ck_assert_int_eq(symlink(path_in("target"), path_in("link")), 0);
	only_candidate(path_in("link"));
	wgw_rundir_open(&rd);
	ck_assert_str_ne(rd.path, path_in("link"));
	make_file("file", "", 0, 0600);
	only_candidate(path_in("file"));
	wgw_rundir_open(&rd);
	ck_assert_str_ne(rd.path, path_in("file"));
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	only_candidate(path_in(long_name));
	wgw_rundir_open(&rd);
	ck_assert_ptr_null(strstr(rd.path, "xxx"));
	only_candidate("relative");
	wgw_rundir_open(&rd);
	ck_assert_str_ne(rd.path, "relative");
	if (geteuid() == 0) {
		mkdir(path_in("squatted"), 0700);
		ck_assert_int_eq(chown(path_in("squatted"), 1, 1), 0);
		only_candidate(path_in("squatted"));
		wgw_rundir_open(&rd);
		ck_assert_str_ne(rd.path, path_in("squatted"));
	}
}
END_TEST

START_TEST(who_starts_a_moment_after_another_waits)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
	int fd = open(path_in("x.lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(wgw_rundir_start_gap(fd), 0); /* nobody has started */
	ck_assert_int_eq(write(fd, "x", 1), 1);
	for (int i = 0; i < 100 && wgw_rundir_start_gap(fd) == 0; i++) /* kept from running */
		ck_assert_int_eq(futimens(fd, times), 0);
	ck_assert_uint_gt(wgw_rundir_start_gap(fd), 0);
	ck_assert_uint_le(wgw_rundir_start_gap(fd), 30 * 1000 * 1000);
	for (int i = 0; i < 2; i++) { /* long ago, or the clock was set back */
		clock_gettime(CLOCK_REALTIME, &times[1]);
		times[1].tv_sec += i ? 1000 : -1;
		ck_assert_int_eq(futimens(fd, times), 0);
		ck_assert_uint_eq(wgw_rundir_start_gap(fd), 0);
	}
	close(fd);
}
END_TEST

START_TEST(sweep_removes_only_what_is_dead)
{
	static const char dead[] = "00000000000000aa", held[] = "00000000000000bb",
			  own[] = "00000000000000cc";
	static const char *const names[] = {dead, held, own};
	struct wgw_rundir rd;
	int lock;

	only_candidate(path_in("run"));
	wgw_rundir_open(&rd);
	for (size_t i = 0; i < 3; i++) {
		lock = wgw_rundir_lock(&rd, names[i], true);
		ck_assert_int_ge(lock, 0);
		close(lock);
	}
	make_file("run/00000000000000aa.q", "", 0, 0600);
	make_file("run/something.lock", "", 0, 0600);
	lock = wgw_rundir_lock(&rd, held, true);
	/* flock belongs to the open file, so this process is refused like another */
	ck_assert_int_eq(wgw_rundir_lock(&rd, held, false), -EWOULDBLOCK);
	wgw_rundir_sweep(&rd, own);
	ck_assert_int_ne(access(path_in("run/00000000000000aa.lock"), F_OK), 0);
	ck_assert_int_ne(access(path_in("run/00000000000000aa.q"), F_OK), 0);
	ck_assert_int_eq(access(path_in("run/00000000000000bb.lock"), F_OK), 0);
	ck_assert_int_eq(access(path_in("run/00000000000000cc.lock"), F_OK), 0);
	ck_assert_int_eq(access(path_in("run/something.lock"), F_OK), 0);
	close(lock);
	close(rd.fd);
}
END_TEST

/* ---- policy ---- */

/** policy_of() - policy text of a file with @interface lines and @allowed; static storage */
static const char *policy_of(const char *interface, const char *allowed,
			     const struct wgw_run_options *options)
{
	static char kept[8192];
	struct wgw_diag diag = {0};
	struct wgw_config *config;
	char text[1024], *policy;

	snprintf(text, sizeof(text),
		 "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n"
		 "Address = 10.9.0.2/32\n%s\n[Peer]\n"
		 "PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\nAllowedIPs = %s\n",
		 interface, allowed);
	config = wgw_config_parse("test", text, strlen(text), false, &diag);
	ck_assert_ptr_nonnull(config);
	policy = wgw_policy_text(options, config);
	ck_assert_ptr_nonnull(policy);
	snprintf(kept, sizeof(kept), "%s", policy);
	free(policy);
	wgw_config_free(config);
	return kept;
}

#define HAS(text, line)	  ck_assert_msg(strstr(text, line), "'%s' is not in:\n%s", line, text)
#define LACKS(text, line) ck_assert_msg(!strstr(text, line), "'%s' is in:\n%s", line, text)

START_TEST(policy_chooses_dns)
{
	struct wgw_run_options o = {0};
	struct wgw_prefix server;
	const char *p;

	HAS(policy_of("", "10.0.0.0/8", &o), "dns-mode system\n");
	HAS(policy_of("", "0.0.0.0/0", &o), "dns-mode refuse\n");
	HAS(policy_of("", "10.0.0.0/8, ::/0", &o), "dns-mode refuse\n");
	HAS(policy_of("", "0.0.0.0/1, 128.0.0.0/1", &o), "dns-mode refuse\n");
	p = policy_of("DNS = 10.0.0.53, corp.example", "0.0.0.0/0", &o);
	HAS(p, "dns-mode tunnel\ndns 10.0.0.53\nsearch corp.example\n");
	o.dns_mode = WGW_DNS_SYSTEM;
	p = policy_of("DNS = 10.0.0.53", "0.0.0.0/0", &o);
	HAS(p, "dns-mode system\n");
	LACKS(p, "\ndns 10.0.0.53");
	o.dns_mode = WGW_DNS_SERVERS;
	ck_assert_int_eq(wgw_prefix_parse("fd00::53", &server, NULL), 0);
	wgw_prefixes_add(&o.dns, &server);
	p = policy_of("DNS = 10.0.0.53", "0.0.0.0/0", &o);
	HAS(p, "dns-mode tunnel\ndns fd00::53\n");
	LACKS(p, "\ndns 10.0.0.53");
	wgw_prefixes_free(&o.dns);
}
END_TEST

START_TEST(policy_lists_direct_destinations)
{
	struct wgw_run_options o = {.verbosity = -1};
	struct wgw_prefix net;
	const char *p;

	ck_assert_int_eq(wgw_prefix_parse("192.168.7.0/24", &net, NULL), 0);
	wgw_prefixes_add(&o.direct, &net);
	p = policy_of("#@wgwrap:Direct = 172.16.0.0/12", "0.0.0.0/0\nDisallowedIPs = 10.1.0.0/16",
		      &o);
	HAS(p, "direct 127.0.0.0/8\n");
	HAS(p, "direct ::1/128\n");
	HAS(p, "direct 172.16.0.0/12\n");
	HAS(p, "direct 10.1.0.0/16\n");
	HAS(p, "direct 192.168.7.0/24\n");
	HAS(p, "system-resolver 127.0.0.53\n");
	HAS(p, "verbose 0\n");
	o.verbosity = 0;
	HAS(policy_of("", "10.0.0.0/8", &o), "verbose 1\n");
	o.verbosity = 2;
	HAS(policy_of("", "10.0.0.0/8", &o), "verbose 2\n");
	wgw_prefixes_free(&o.direct);
}
END_TEST

/** launch_of() - what starts a tunnel of a file with @interface lines */
static void launch_of(struct wgw_launch *l, const struct wgw_run_options *options,
		      const char *interface)
{
	struct wgw_diag diag = {0};
	char text[1024];

	snprintf(text, sizeof(text),
		 "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n"
		 "Address = 10.9.0.2/32\n%s\n",
		 interface);
	*l = (struct wgw_launch){.options = options, .dir.fd = -1};
	l->config = wgw_config_parse("test", text, strlen(text), false, &diag);
	ck_assert_ptr_nonnull(l->config);
	l->settings = wgw_settings_text(l->config, 1420, l->config->listen_port);
	l->policy = wgw_policy_text(options, l->config);
	l->listen_port = l->config->listen_port;
}

START_TEST(a_reload_changes_settings_and_policy_together)
{
	struct wgw_run_options o = {0};
	struct wgw_launch l, fresh;
	struct wgw_config *old;

	launch_of(&l, &o, "DNS = 10.0.0.53\nListenPort = 1111");
	launch_of(&fresh, &o,
		  "DNS = 10.0.0.54\nListenPort = 2222\n#@wgwrap:Direct = 172.16.0.0/12");
	strcpy(fresh.name, "00000000000000bb");
	old = l.config;
	wgw_launch_follow(&l, &fresh);
	wgw_config_free(old);
	wgw_launch_free(&fresh);
	HAS(l.settings, "2222");
	HAS(l.policy, "dns 10.0.0.54\n");
	LACKS(l.policy, "10.0.0.53");
	HAS(l.policy, "direct 172.16.0.0/12\n");
	ck_assert_str_eq(l.name, "00000000000000bb");
	ck_assert_uint_eq(l.listen_port, 2222);
	wgw_config_free(l.config);
	wgw_launch_free(&l);
}
END_TEST

/* ---- descriptors ---- */

/* The options of @text, a line each, read into @o, give @text again. */
static void options_are_kept(char **lines, size_t n, struct wgw_run_options *o)
{
	ck_assert_int_eq(wgw_options_take(lines, n, o), 0);
	ck_assert(wgw_options_are(lines, n, o));
	for (size_t i = 0; i < n; i++)
		ck_assert(!wgw_options_are(lines, i, o));
	free(o->endpoint_host);
	free(o->routes);
}

START_TEST(options_are_told_and_taken_again)
{
	struct wgw_run_options none = {.listen_port = -1, .family = AF_UNSPEC}, o = none;
	char *all[] = {"--exit-node=the office",
		       "--route=10.0.0.0/8:tcp:1-9=a=b",
		       "--route=::/0=x",
		       "--endpoint=[fd00::1]:5",
		       "--mtu=1280",
		       "--listen-port=0",
		       "--ipv6",
		       "--lenient"};
	char *few[] = {"--endpoint=peer.example:51820", "--ipv4"};
	static char *const bad[] = {"--mtu",
				    "--mtu=x",
				    "--mtu=65536",
				    "--listen-port=-1",
				    "--ipv5",
				    "--endpoint=x",
				    "--exit-nodes=a",
				    "--e=a",
				    "",
				    "="};

	options_are_kept(all, sizeof(all) / sizeof(*all), &o);
	o = none;
	options_are_kept(few, sizeof(few) / sizeof(*few), &o);
	ck_assert(wgw_options_are(NULL, 0, &none));
	ck_assert(!wgw_options_are(few, 2, &none));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		o = none;
		ck_assert_msg(wgw_options_take(&bad[i], 1, &o) == -EINVAL, "%s", bad[i]);
		free(o.endpoint_host);
	}
}
END_TEST

START_TEST(close_others_keeps_what_is_listed)
{
	int fds[6];

	for (int i = 0; i < 6; i++)
		fds[i] = fcntl(0, F_DUPFD, 100 + 10 * i);
	wgw_close_others((int[]){fds[4], -1, fds[1], fds[1]}, 4);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(fcntl(fds[i], F_GETFD) >= 0, i == 1 || i == 4);
	ck_assert_int_ge(fcntl(2, F_GETFD), 0);
}
END_TEST

START_TEST(inherited_sockets_are_found)
{
	int tcp = socket(AF_INET, SOCK_STREAM, 0), local[2];
	static const char *const counts[] = {"2147483647", "4294967296", "99999999999999999999"};
	struct wgw_run_options o = {.keep_fds = &tcp};
	struct wgw_inherited in;
	char pid[16];

	if (tcp < 0)
		return; /* this test itself runs in a tunnel */
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, local), 0);
	ck_assert_int_eq(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0, 1);
	ck_assert_int_eq(wgw_inherited_take(&in), 0);
	ck_assert_int_eq(wgw_inherited_check(&in, &o), 0);
	ck_assert_uint_eq(in.n_close, 1);
	ck_assert_int_eq(in.close[0], tcp);
	free(in.close);
	o.n_keep_fds = 1;
	ck_assert_int_eq(wgw_inherited_take(&in), 0);
	ck_assert_int_eq(wgw_inherited_check(&in, &o), 0);
	ck_assert_uint_eq(in.n_close, 0);
	/* as one of systemd's it would be missed, however many there are said to be */
	o.n_keep_fds = 0;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		setenv("LISTEN_FDS", counts[i], 1);
		ck_assert_int_eq(wgw_inherited_check(&in, &o), -1);
	}
	unsetenv("LISTEN_PID");
	/* on standard input, too */
	ck_assert_int_eq(dup2(tcp, 0), 0);
	ck_assert_int_eq(wgw_inherited_check(&in, &o), -1);
}
END_TEST

START_TEST(message_of_another_version_is_said_with_both_versions)
{
	struct wgw_channel_msg msg;
	char text[512] = "", both[2][32];
	int pair[2], said[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	ck_assert_int_eq(pipe(said), 0);
	ck_assert_int_eq(dup2(said[1], STDERR_FILENO), STDERR_FILENO);
	wgw_channel_prepare(&msg, WGW_CH_OPENED);
	msg.version += 3;
	ck_assert_int_eq(wgw_channel_send(pair[0], &msg, NULL, 0), 0);
	ck_assert_int_eq(wgw_channel_receive(pair[1], &msg, 0), -EPROTO);
	ck_assert_int_gt(read(said[0], text, sizeof(text) - 1), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(both[i], sizeof(both[i]), "version %d", WGW_WIRE_VERSION + 3 * i);
		ck_assert_ptr_nonnull(strstr(text, both[i]));
	}
}
END_TEST

/** answer_once() - a tunnel process of another version, at @name; the listener's process */
static pid_t answer_once(const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), fd;
	struct wgw_channel_msg msg;
	pid_t pid;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s.q", dir, name);
	ck_assert(bind(listener, (void *)&sun, sizeof(sun)) == 0 && listen(listener, 1) == 0);
	pid = fork();
	if (pid == 0) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0 || recv(fd, &msg, sizeof(msg), 0) <= 0)
			_exit(1);
		wgw_channel_prepare(&msg, WGW_CH_OPENED);
		msg.version += 3;
		_exit(wgw_channel_send(fd, &msg, NULL, 0) ? 2 : 0);
	}
	return pid;
}

START_TEST(a_reload_of_another_versions_tunnel_says_so_and_leaves_it)
{
	struct wgw_run_options o = {0};
	struct wgw_launch l;
	char text[1024] = "";
	int said[2], status;
	pid_t pid;

	launch_of(&l, &o, "");
	strcpy(l.name, "00000000000000aa");
	strcpy(l.dir.path, dir);
	pid = answer_once(l.name);
	ck_assert_int_eq(pipe(said), 0);
	ck_assert_int_eq(dup2(said[1], STDERR_FILENO), STDERR_FILENO);
	ck_assert_int_eq(wgw_reload(&l), -1);
	ck_assert_int_gt(read(said[0], text, sizeof(text) - 1), 0);
	HAS(text, "stays as it is");
	LACKS(text, strerror(EPROTO));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	wgw_config_free(l.config);
	wgw_launch_free(&l);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("session-parts");
	TCase *t = tcase_create("parts");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, filter_decides, 0, sizeof(filter_cases) / sizeof(*filter_cases));
#ifdef __x86_64__
	tcase_add_test(t, filter_closes_other_gates);
#endif
	tcase_add_test(t, inspect_tells_programs_apart);
	tcase_add_test(t, inspect_survives_broken_files);
	tcase_add_test(t, inspect_follows_scripts);
	tcase_add_test(t, inspect_refuses_file_capabilities);
	tcase_add_test(t, find_command_has_execvp_statuses);
	tcase_add_test(t, a_supervised_command_need_not_take_the_shared_object);
	tcase_add_test(t, rundir_is_made_private);
	tcase_add_test(t, rundir_refuses_what_is_not_ours);
	tcase_add_test(t, who_starts_a_moment_after_another_waits);
	tcase_add_test(t, sweep_removes_only_what_is_dead);
	tcase_add_test(t, policy_chooses_dns);
	tcase_add_test(t, policy_lists_direct_destinations);
	tcase_add_test(t, a_reload_changes_settings_and_policy_together);
	tcase_add_test(t, options_are_told_and_taken_again);
	tcase_add_test(t, close_others_keeps_what_is_listed);
	tcase_add_test(t, inherited_sockets_are_found);
	tcase_add_test(t, message_of_another_version_is_said_with_both_versions);
	tcase_add_test(t, a_reload_of_another_versions_tunnel_says_so_and_leaves_it);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
