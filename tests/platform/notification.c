/* SPDX-License-Identifier: MIT */
/*
 * notification.c - what supervising system calls relies on: a descriptor is given and the call
 * answered in one step; the listener appears in a shared table; it hangs
 * up when nobody has its filter, and calls are ENOSYS when nobody has it
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/platform/expect.h"

enum { SKIPPED = 77 };

/* Reports getppid(2), which is as good as any. Returns the listener. */
static int install(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(*code), .filter = code};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			    &program);
}

/* The child's end: two reported calls, and what they returned as its status. */
static void child(int to)
{
	int listener = install(), got;
	char byte = 'x';

	if (write(to, &listener, sizeof(listener)) != sizeof(listener) || listener < 0)
		_exit(SKIPPED);
	got = (int)syscall(SYS_getppid);
	/* what came is a descriptor that works, in a table that is the child's own */
	if (got < 0 || write(got, &byte, 1) != 1)
		_exit(1);
	_exit(syscall(SYS_getppid) == -1 && errno == ENOSYS ? 0 : 2);
}

int main(void)
{
	struct seccomp_notif_addfd add = {.flags = 1UL << 1 /* SECCOMP_ADDFD_FLAG_SEND */};
	struct seccomp_notif n = {0};
	struct pollfd p;
	int ends[2], gift[2], listener, status;
	char byte = 0;
	pid_t pid;

	EXPECT(pipe(ends) == 0 && pipe(gift) == 0);
	/* a shared table: the listener appears here without being sent */
	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		child(ends[1]);
	EXPECT(pid > 0);
	EXPECT(read(ends[0], &listener, sizeof(listener)) == sizeof(listener));
	if (listener < 0) {
		waitpid(pid, NULL, 0);
		printf("no seccomp listener can be had here\n");
		return SKIPPED;
	}
	EXPECT(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n) == 0);
	EXPECT(n.pid == (unsigned int)pid && n.data.nr == SYS_getppid);
	EXPECT(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id) == 0);
	add.id = n.id;
	add.srcfd = (unsigned int)gift[1];
	EXPECT(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0);
	EXPECT(read(gift[0], &byte, 1) == 1 && byte == 'x');
	/* the call was answered: the notification is no more */
	EXPECT(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id) == -1 && errno == ENOENT);
	memset(&n, 0, sizeof(n));
	EXPECT(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n) == 0);
	EXPECT(close(listener) == 0);
	EXPECT(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);

	/* a listener whose filter nobody has any more */
	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		listener = install();
		_exit(write(ends[1], &listener, sizeof(listener)) != sizeof(listener));
	}
	EXPECT(read(ends[0], &listener, sizeof(listener)) == sizeof(listener) && listener >= 0);
	EXPECT(waitpid(pid, NULL, 0) == pid);
	p = (struct pollfd){.fd = listener};
	EXPECT(poll(&p, 1, 60000) == 1 && (p.revents & POLLHUP));
	return 0;
}
