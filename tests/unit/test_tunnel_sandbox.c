/* SPDX-License-Identifier: MIT */
/*
 * test_tunnel_sandbox.c - what the tunnel process can and cannot do after it closed its sandbox
 *
 * Each test confines a child of its own, for good. Check's own calls would be refused in there, so
 * the child says what is wrong on stdout and exits with 1.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/tunnel/core.h"
#include "tests/unit/run_suite.h"
#include "wg/aead.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static char warned[256];

static void warn(void *ctx, const char *warning)
{
	(void)ctx;
	snprintf(warned, sizeof(warned), "%s", warning);
	printf("sandbox: %s\n", warning);
}

#define expect(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #condition,         \
			       strerror(errno));                                                   \
			fflush(stdout);                                                            \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

#define refused(call)                                                                              \
	do {                                                                                       \
		errno = 0;                                                                         \
		expect((intptr_t)(call) == -1);                                                    \
		expect(errno == EPERM || errno == EACCES);                                         \
	} while (0)

static void enter(void)
{
	expect(wgw_sandbox_enter(warn, NULL) == 0);
}

/* Runs @body in a child, in an empty directory, and expects it to return. It may leave "file". */
static void in_child(void (*body)(void))
{
	char dir[] = "/tmp/wgwrap-test-XXXXXX";
	int status;
	pid_t pid;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	fflush(stdout);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		body();
		fflush(stdout);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	unlink("file");
	ck_assert_int_eq(rmdir(dir), 0);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child: status %#x", status);
}

static void no_file_can_be_opened_made_or_removed(void)
{
	int fd = open("file", O_CREAT | O_RDWR, 0600);

	expect(fd >= 0);
	enter();
	refused(open("/etc/passwd", O_RDONLY));
	refused(open("/proc/self/mem", O_RDWR));
	refused(open("file", O_RDONLY));
	refused(open("new", O_CREAT | O_WRONLY, 0600));
	refused(unlink("file"));
	refused(mkdir("new", 0700));
	/* What was open stays usable. */
	expect(write(fd, "x", 1) == 1);
	close(fd);
}

static void no_program_can_be_started_and_no_process_touched(void)
{
	char *const argv[] = {(char *)(uintptr_t) "true", NULL};
	const pid_t parent = getppid();
	struct rlimit limit;

	enter();
	refused(fork());
	refused(execv("/bin/true", argv));
	refused(kill(parent, 0));
	refused(syscall(SYS_tgkill, parent, parent, 0));
	refused(syscall(SYS_prlimit64, parent, RLIMIT_NOFILE, NULL, &limit));
	refused(ptrace(PTRACE_ATTACH, parent, NULL, NULL));
	refused(setuid(0));
	refused(chroot("/"));
	refused(prctl(PR_SET_DUMPABLE, 1));
}

/* Whether Landlock keeps signals and abstract names apart: Linux 6.12. */
static bool has_scopes(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < 6)
		printf("skipped: Landlock has no scopes here (ABI %ld)\n", abi);
	return abi >= 6;
}

/* A process that tells whether it has got a signal: a byte on @ask, and 0 or 1 comes on @answer. */
static pid_t start_other(int ask[2], int answer[2])
{
	sigset_t watched, pending;
	uint8_t got;
	pid_t pid;

	sigemptyset(&watched);
	sigaddset(&watched, SIGUSR1);
	expect(pipe(ask) == 0);
	expect(pipe(answer) == 0);
	expect(sigprocmask(SIG_BLOCK, &watched, NULL) == 0);
	pid = fork();
	expect(pid >= 0);
	if (pid > 0)
		return pid;
	close(ask[1]);
	if (read(ask[0], &got, 1) == 1 && sigpending(&pending) == 0) {
		got = (uint8_t)sigismember(&pending, SIGUSR1);
		(void)!write(answer[1], &got, 1);
	}
	_exit(0);
}

/* A descriptor can tell any process of the user, by any signal, that it is readable. */
static void no_signal_reaches_another_process(void)
{
	int pair[2], ask[2], answer[2];
	uint8_t got = 0;
	pid_t other;

	if (!has_scopes())
		return;
	other = start_other(ask, answer);
	expect(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	enter();
	expect(fcntl(pair[0], F_SETOWN, other) == 0);
	expect(fcntl(pair[0], F_SETSIG, SIGUSR1) == 0);
	expect(fcntl(pair[0], F_SETFL, O_ASYNC) == 0);
	expect(send(pair[1], "x", 1, MSG_NOSIGNAL) == 1);
	expect(write(ask[1], "?", 1) == 1);
	expect(read(answer[0], &got, 1) == 1);
	expect(got == 0);
}

/* Desktops have services there that start programs. */
static void no_abstract_name_can_be_connected_to(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd;
	socklen_t len = sizeof(sa_family_t);

	if (!has_scopes())
		return;
	/* an address of two bytes: the kernel finds a name */
	expect(bind(listener, (struct sockaddr *)&sun, len) == 0);
	expect(listen(listener, 5) == 0);
	len = sizeof(sun);
	expect(getsockname(listener, (struct sockaddr *)&sun, &len) == 0);
	enter();
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	expect(fd >= 0);
	refused(connect(fd, (struct sockaddr *)&sun, len));
}

static void no_code_can_be_added(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	expect(page != MAP_FAILED);
	enter();
	refused(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0));
	refused(mprotect(page, 4096, PROT_READ | PROT_EXEC));
	expect(mprotect(page, 4096, PROT_READ) == 0);
}

static void only_the_socket_families_in_use_can_be_made(void)
{
	enter();
	refused(socket(AF_NETLINK, SOCK_RAW, 0));
	refused(socket(AF_PACKET, SOCK_RAW, 0));
	refused(socket(AF_VSOCK, SOCK_STREAM, 0));
	expect(socket(AF_INET, SOCK_DGRAM, 0) >= 0);
	expect(socket(AF_UNIX, SOCK_SEQPACKET, 0) >= 0);
}

static void it_cannot_be_dumped(void)
{
	struct rlimit core_limit;

	enter();
	expect(getrlimit(RLIMIT_CORE, &core_limit) == 0);
	expect(core_limit.rlim_cur == 0);
	expect(core_limit.rlim_max == 0);
}

static void flags_are_set_where_there_is_no_filter(void)
{
	enter();
	if (!SANITIZED)
		return; /* prctl is refused then, see above */
	expect(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	expect(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
}

/* As a kernel without CONFIG_SECCOMP_FILTER answers, or who stands in for one. */
static void hide_seccomp(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_SECCOMP, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = {sizeof(code) / sizeof(code[0]), code};

	expect(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	expect(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

static void where_no_filter_can_be_loaded_it_is_said(void)
{
	hide_seccomp();
	enter();
	expect(strstr(warned, "no seccomp filters") != NULL);
	expect(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
}

/* The application's listener is reached through an O_PATH descriptor. */
static void listener_behind_a_descriptor_can_be_connected_to(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int listener, path, fd;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "file");
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	expect(bind(listener, (struct sockaddr *)&sun, sizeof(sun)) == 0);
	expect(listen(listener, 5) == 0);
	path = open(sun.sun_path, O_PATH | O_CLOEXEC);
	expect(path >= 0);
	unlink(sun.sun_path);
	enter();
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	expect(fd >= 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "/proc/self/fd/%d", path);
	expect(connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0);
	expect(accept4(listener, NULL, NULL, SOCK_CLOEXEC) >= 0);
}

static void daily_work_goes_on(void)
{
	struct wgw_loop *loop;
	char buf[8] = "";
	int pair[2], waiting = 0;
	void *p;

	enter();
	loop = wgw_loop_new();
	expect(loop != NULL);
	wgw_loop_free(loop);
	p = malloc(1 << 24);
	expect(p != NULL);
	memset(p, 1, 1 << 24);
	free(p);
	expect(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	expect(send(pair[0], "abc", 3, MSG_NOSIGNAL) == 3);
	expect(ioctl(pair[1], FIONREAD, &waiting) == 0);
	expect(waiting == 3);
	expect(recv(pair[1], buf, sizeof(buf), 0) == 3);
	expect(fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0);
	expect(shutdown(pair[0], SHUT_WR) == 0);
	expect(wgw_clock_ns() > 0);
}

/* Whether @body, in a child of its own, ends with 0. */
static bool ends_well(void (*body)(const struct wg_aead_provider *),
		      const struct wg_aead_provider *provider)
{
	pid_t pid = fork();
	int status;

	expect(pid >= 0);
	if (pid == 0) {
		body(provider);
		_exit(0);
	}
	expect(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void be_usable(const struct wg_aead_provider *provider)
{
	_exit(wg_aead_check(provider) ? 0 : 1);
}

static void take_over(const struct wg_aead_provider *provider)
{
	const uint8_t key[WG_SYMMETRIC_KEY_BYTES] = {1};
	uint8_t buf[16 + WG_TAG_BYTES] = {0};
	struct wg_aead_job job = {.data = buf, .len = 16};
	struct wg_aead aead;

	setenv("WGWRAP_AEAD", provider->name, 1);
	expect(wg_aead_init(&aead));
	enter();
	for (; job.counter < WG_AEAD_FIRST_PACKETS; job.counter++)
		wg_aead_seal(&aead, key, &job, 1);
	expect(strcmp(aead.provider->name, provider->name) == 0);
}

static void provider_is_made_ready(void)
{
	for (size_t i = 0; wg_aead_providers[i]; i++)
		if (ends_well(be_usable, wg_aead_providers[i]))
			expect(ends_well(take_over, wg_aead_providers[i]));
}

/* ---- as tests ---- */

static const struct {
	const char *name;
	void (*body)(void);
	bool by_filter; /* refused by seccomp, which sanitizer builds go without */
} tests[] = {
	{"no_file_can_be_opened_made_or_removed", no_file_can_be_opened_made_or_removed, false},
	{"no_program_can_be_started_and_no_process_touched",
	 no_program_can_be_started_and_no_process_touched, true},
	{"no_signal_reaches_another_process", no_signal_reaches_another_process, false},
	{"no_abstract_name_can_be_connected_to", no_abstract_name_can_be_connected_to, false},
	{"no_code_can_be_added", no_code_can_be_added, true},
	{"only_the_socket_families_in_use_can_be_made", only_the_socket_families_in_use_can_be_made,
	 true},
	{"it_cannot_be_dumped", it_cannot_be_dumped, false},
	{"flags_are_set_where_there_is_no_filter", flags_are_set_where_there_is_no_filter, false},
	{"where_no_filter_can_be_loaded_it_is_said", where_no_filter_can_be_loaded_it_is_said,
	 true},
	{"listener_behind_a_descriptor_can_be_connected_to",
	 listener_behind_a_descriptor_can_be_connected_to, false},
	{"daily_work_goes_on", daily_work_goes_on, false},
	{"provider_is_made_ready", provider_is_made_ready, false},
};

START_TEST(sandbox)
{
	if (SANITIZED && tests[_i].by_filter)
		printf("skipped in a sanitizer build: %s\n", tests[_i].name);
	else
		in_child(tests[_i].body);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tunnel_sandbox");
	TCase *c = tcase_create("sandbox");

	tcase_set_timeout(c, 180);
	tcase_add_loop_test(c, sandbox, 0, (int)(sizeof(tests) / sizeof(tests[0])));
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
