/* SPDX-License-Identifier: MIT */
/*
 * sandbox.c - what the tunnel process may still do once it parses packets from outside
 *
 * It talks over sockets and the descriptors it has; it opens no file, starts no program, looks into
 * no process. In layers, so that one missing layer leaves the others:
 *
 *  - no new privileges, not dumpable (no core file, no ptrace, no /proc/PID/mem by the same user)
 *  - Landlock: all file system rights are handled and none is granted. Descriptors that are open
 *    already (pcap) go on working; so does connecting to AF_UNIX sockets by path. From Linux 6.12
 *    on also: no signal to another process, no connection to an abstract AF_UNIX name
 *  - seccomp: a list of allowed system calls. Others fail with EPERM instead of killing the
 * process: a library's harmless attempt to read a file in /etc must not end everybody's connections
 *
 * With WGWRAP_SANDBOX_LOG in the environment refused system calls appear in the kernel's log.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/tunnel/core.h"
#include "wg/library.h"

/* The sanitizers' runtimes need more system calls than the product: such builds go without seccomp.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* ---- seccomp ---- */

/* libseccomp is loaded by the processes that go into the sandbox, and by no other (wg/library.h):
 * functions are called as scmp.seccomp_init(...). */
#define SCMP_FUNCTIONS(F)                                                                          \
	F(seccomp_attr_set)                                                                        \
	F(seccomp_init)                                                                            \
	F(seccomp_load)                                                                            \
	F(seccomp_release)                                                                         \
	F(seccomp_rule_add)

static struct {
#define F(name) __typeof__(name) *name;
	SCMP_FUNCTIONS(F)
#undef F
} scmp;

static bool load_library(void)
{
	static const struct wg_symbol symbols[] = {
#define F(name) {#name, &scmp.name},
		SCMP_FUNCTIONS(F)
#undef F
			{NULL, NULL},
	};

	return wg_library_load(SONAME_seccomp, symbols);
}

static const int allowed[] = {
	/* the loop */
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(eventfd2),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(restart_syscall),
	/* sockets; socket() itself by family, below */
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(bind),
	SCMP_SYS(connect),
	SCMP_SYS(listen),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(shutdown),
	/* open descriptors */
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(splice),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(dup),
	SCMP_SYS(dup3),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(fstatfs),
	SCMP_SYS(lseek),
	SCMP_SYS(ioctl),
	SCMP_SYS(pipe2),
	/* memory; without PROT_EXEC, below */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(mlock),
	SCMP_SYS(mlock2),
	SCMP_SYS(munlock),
	SCMP_SYS(futex),
	SCMP_SYS(membarrier),
	/* itself */
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getrandom),
	SCMP_SYS(getrusage),
	SCMP_SYS(sysinfo),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(uname),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* What the application's sockets, the outer and the direct ones are. Netlink is not among them. */
static const int socket_families[] = {AF_UNIX, AF_INET, AF_INET6};

static int add_rules(scmp_filter_ctx ctx)
{
	int err = 0;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && !err; i++) {
		/* Negative: this architecture has no such system call. */
		if (allowed[i] >= 0)
			err = scmp.seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	}
	for (size_t i = 0; i < sizeof(socket_families) / sizeof(socket_families[0]) && !err; i++) {
		uint64_t family = (uint64_t)socket_families[i];

		err = scmp.seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
					    SCMP_A0(SCMP_CMP_EQ, family, 0));
		if (!err)
			err = scmp.seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
						    SCMP_A0(SCMP_CMP_EQ, family, 0));
	}
	/* how glibc asks for fstat */
	if (!err)
		err = scmp.seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
					    SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH, 0));
	/* of itself only: other processes of the user have signals and limits, too */
	if (!err)
		err = scmp.seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
					    SCMP_A0(SCMP_CMP_EQ, (uint64_t)getpid(), 0));
	if (!err)
		err = scmp.seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
					    SCMP_A0(SCMP_CMP_EQ, 0, 0));
	if (!err)
		err = scmp.seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
					    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!err)
		err = scmp.seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
					    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return err;
}

/* Without CONFIG_SECCOMP_FILTER the mode is EINVAL; with it the missing filter is EFAULT (prctl(2)). */
static bool kernel_has_filters(void)
{
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) < 0 && errno != EINVAL;
}

static int load_filter(void)
{
	scmp_filter_ctx ctx = scmp.seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err;

	if (!ctx)
		return -ENOMEM;
	/* A binary search instead of a chain of comparisons: it runs on every system call. */
	scmp.seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	/* else whatever the kernel says comes as ECANCELED (seccomp_load(3)) */
	scmp.seccomp_attr_set(ctx, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (getenv("WGWRAP_SANDBOX_LOG"))
		scmp.seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
	err = add_rules(ctx);
	if (!err)
		err = scmp.seccomp_load(ctx);
	scmp.seccomp_release(ctx);
	return err;
}

/* ---- Landlock ---- */

/* Rights by ABI version; a kernel refuses those it does not know. */
static uint64_t landlock_rights(long abi)
{
	uint64_t rights = (UINT64_C(1) << 13) - 1; /* ABI 1: EXECUTE .. MAKE_SYM */

	if (abi >= 2)
		rights |= UINT64_C(1) << 13; /* REFER */
	if (abi >= 3)
		rights |= UINT64_C(1) << 14; /* TRUNCATE */
	if (abi >= 5)
		rights |= UINT64_C(1) << 15; /* IOCTL_DEV */
	return rights;
}

/** struct ruleset - struct landlock_ruleset_attr of ABI 6, which is newer than some headers */
struct ruleset {
	uint64_t files, ports, scoped;
};

/* What stays among processes with these restrictions. A process in another session of wgwrap's
 * meets the outer tunnel process by its abstract name where the path does not serve. */
static uint64_t landlock_scopes(void)
{
	const uint64_t abstract_unix_sockets = UINT64_C(1) << 0, signals = UINT64_C(1) << 1;

	return signals | (getenv(WGW_SESSION_ENV) ? 0 : abstract_unix_sockets);
}

/* Returns 0, or -errno: -ENOSYS and -EOPNOTSUPP when the kernel has no Landlock. */
static int restrict_files_and_signals(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset rules = {.scoped = landlock_scopes()};
	long fd;
	int err = 0;

	if (abi < 0)
		return -errno;
	rules.files = landlock_rights(abi);
	fd = syscall(SYS_landlock_create_ruleset, &rules,
		     abi >= 6 ? sizeof(rules) : sizeof(rules.files), 0);
	if (fd < 0)
		return -errno;
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		err = -errno;
	close((int)fd);
	return err;
}

/* ---- all of it ---- */

int wgw_sandbox_enter(void (*say)(void *ctx, const char *warning), void *ctx)
{
	const struct rlimit none = {0, 0};
	int err;

	/* while files can be opened */
	if (!SANITIZED && !load_library())
		return -ELIBACC;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	setrlimit(RLIMIT_CORE, &none);
	err = restrict_files_and_signals();
	if (err && err != -ENOSYS && err != -EOPNOTSUPP)
		say(ctx, "Landlock refused; wgwrap's processes run with seccomp alone");
	if (SANITIZED)
		return 0;
	if (!kernel_has_filters()) {
		say(ctx, "the kernel has no seccomp filters; wgwrap's processes run without");
		return 0;
	}
	return load_filter();
}
