/* SPDX-License-Identifier: MIT */
/*
 * filter.c - the fail-closed system call filter, installed before exec
 *
 * Without an IP socket nothing can leave, so it is enough to refuse making one. The shared object
 * makes AF_UNIX sockets instead; whatever it does not reach (raw system calls, static programs
 * started later) meets an errno:
 *
 *   another architecture's entry (int 0x80), x32	ENOSYS
 *   io_uring_setup, _enter, _register			ENOSYS: its socket operations bypass filters
 *   socket(AF_INET, AF_INET6)				EACCES
 *   socket(AF_UNIX), socket(AF_NETLINK, NETLINK_ROUTE)	allowed
 *   socket(AF_NETLINK, others)				EPROTONOSUPPORT
 *   socket(any other family)				EAFNOSUPPORT
 *
 * The kernel takes family and protocol as int, so only their low halves count; a comparison of all
 * 64 bits could be walked around. Inherited by fork and exec, cannot be removed.
 */
#include <endian.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/session/session.h"

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "name this architecture for seccomp"
#endif
#if __BYTE_ORDER != __LITTLE_ENDIAN
#error "ARG_LOW takes the first half of an argument"
#endif

#define LOAD(field)   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ARG_LOW(n)    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, (value))
#define FAIL(err)     RETURN(SECCOMP_RET_ERRNO | (err))
/* the next statement runs only when the accumulator is (is not, is at least) @value */
#define WHEN(value)	     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1)
#define UNLESS(value)	     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 1, 0)
#define WHEN_AT_LEAST(value) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (value), 0, 1)

enum { X32_BIT = 0x40000000 };

int wgw_filter_install(void)
{
	/* a condition and what it guards in one line */
	/* clang-format off */
	struct sock_filter code[] = {
		LOAD(arch),
		UNLESS(OUR_ARCH), FAIL(ENOSYS),
		LOAD(nr),
		WHEN_AT_LEAST(X32_BIT), FAIL(ENOSYS),
		WHEN(__NR_io_uring_setup), FAIL(ENOSYS),
		WHEN(__NR_io_uring_enter), FAIL(ENOSYS),
		WHEN(__NR_io_uring_register), FAIL(ENOSYS),
		UNLESS(__NR_socket), RETURN(SECCOMP_RET_ALLOW),
		ARG_LOW(0),
		WHEN(AF_UNIX), RETURN(SECCOMP_RET_ALLOW),
		WHEN(AF_INET), FAIL(EACCES),
		WHEN(AF_INET6), FAIL(EACCES),
		UNLESS(AF_NETLINK), FAIL(EAFNOSUPPORT),
		ARG_LOW(2),
		WHEN(NETLINK_ROUTE), RETURN(SECCOMP_RET_ALLOW),
		FAIL(EPROTONOSUPPORT),
	};
	/* clang-format on */
	struct sock_fprog program = {.len = sizeof(code) / sizeof(*code), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	/* without the flag, kernels before 5.16 slow the whole program down (speculation) */
	if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		     &program))
		return 0;
	if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		return 0;
	return -errno;
}
