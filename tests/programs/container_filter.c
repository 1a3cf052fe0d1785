/* SPDX-License-Identifier: MIT */
/*
 * container_filter.c - runs a program under what matters here of the system call filter that Docker
 * and podman give containers without capabilities
 *
 * usage: container_filter [-k] PROGRAM [ARG...]
 *	-k	what looks into other processes is not refused but killed, as by systemd's SystemCallFilter=
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "common.h"

#define ANSWER(nr, action)                                                                         \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), BPF_STMT(BPF_RET | BPF_K, action)
#define REFUSE(nr, err) ANSWER(nr, SECCOMP_RET_ERRNO | (err))

int main(int argc, char **argv)
{
	int kills = argc > 1 && strcmp(argv[1], "-k") == 0;
	unsigned int look = kills ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ANSWER(SYS_pidfd_getfd, look),
		/* Docker before 23 */
		ANSWER(SYS_process_vm_readv, look),
		ANSWER(SYS_process_vm_writev, look),
		REFUSE(SYS_unshare, EPERM),
		REFUSE(SYS_setns, EPERM),
		REFUSE(SYS_mount, EPERM),
		REFUSE(SYS_io_uring_setup, EPERM),
		REFUSE(SYS_keyctl, EPERM),
		REFUSE(SYS_bpf, EPERM),
		REFUSE(SYS_userfaultfd, EPERM),
		/* so that the arguments, which hold flags, are visible */
		REFUSE(SYS_clone3, ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(*code), .filter = code};

	argv += 1 + kills;
	if (!*argv)
		return 2;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		die("seccomp");
	execvp(argv[0], argv);
	die(argv[0]);
}
