/* SPDX-License-Identifier: MIT */
/*
 * static_adversary.c - odd ways to a socket, each tried once: descriptors made by somebody else,
 * programs without a file, filters and debuggers of its own, an address that changes while it is
 * looked at
 *
 * usage: static_adversary ADDRESS PORT; each way ends with an exchange with the echo server there
 *        static_adversary ADDRESS PORT steal PID N: takes descriptor N of process PID, an
 *        unconnected TCP socket
 * Prints "tunnel" where the exchange worked, else the errno of the call that did not.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "common.h"

static union address to;
static socklen_t to_len;
static char **arguments;

/* Sends and receives over @fd, which is connected. 0 or errno */
static int exchange(int fd)
{
	char text[8] = "";

	if (write(fd, "echo", 4) != 4)
		return errno;
	for (int got = 0; got < 4;) {
		ssize_t n = read(fd, text + got, (size_t)(4 - got));

		if (n <= 0)
			return n ? errno : EPIPE;
		got += (int)n;
	}
	return memcmp(text, "echo", 4) ? EPROTO : 0;
}

static int use(int fd)
{
	int err;

	if (fd < 0)
		return errno;
	err = connect(fd, &to.any, to_len) ? errno : exchange(fd);
	close(fd);
	return err;
}

static int plain_socket(void)
{
	return (int)syscall(SYS_socket, to.any.sa_family, SOCK_STREAM, 0);
}

static void say(const char *what, int err)
{
	printf("%s: %s\n", what, err ? err_name(err) : "tunnel");
	fflush(stdout);
}

static int status_of(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

static int shared_fd;

static int make_in_shared_table(void *unused)
{
	(void)unused;
	shared_fd = plain_socket();
	return shared_fd < 0 || connect(shared_fd, &to.any, to_len) ? errno : 0;
}

/* A process that shares the descriptors makes the socket, this one uses it. */
static int shared_table(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	int err = status_of(clone(make_in_shared_table, stack + sizeof(stack),
				  CLONE_FILES | CLONE_VM | SIGCHLD, NULL));

	return err ? err : exchange(shared_fd);
}

static int forked(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		_exit(use(plain_socket()));
	return status_of(pid);
}

/* A filter of its own allows everything; a listener of its own cannot be had. */
static int own_filter(void)
{
	struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_filter notify[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)};
	struct sock_fprog allow = {1, code}, listen_to = {1, notify};
	pid_t pid = fork();

	if (pid)
		return status_of(pid);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &allow))
		_exit(errno);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		    &listen_to) >= 0)
		_exit(EEXIST);
	_exit(use(plain_socket()));
}

/* This program once more, from memory. */
static int from_memory(void)
{
	int memory = memfd_create("program", 0), file = open("/proc/self/exe", O_RDONLY);
	char *argv[] = {arguments[0], arguments[1], arguments[2], "plain", NULL}, *env[] = {NULL};
	char data[65536];
	ssize_t n;
	pid_t pid;

	while ((n = read(file, data, sizeof(data))) > 0) {
		if (write(memory, data, (size_t)n) != n)
			return errno;
	}
	close(file);
	pid = fork();
	if (pid == 0) {
		fexecve(memory, argv, env);
		_exit(errno);
	}
	close(memory);
	return status_of(pid);
}

#if defined(__x86_64__)
/* A debugger makes its child call socket() where it meant getppid(). */
static int debugged(void)
{
	struct user_regs_struct regs;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int fd;

		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP))
			_exit(errno);
		fd = (int)syscall(SYS_getppid, to.any.sa_family, SOCK_STREAM, 0);
		_exit(use(fd));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return errno;
	while (WIFSTOPPED(status)) {
		if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0 && regs.orig_rax == SYS_getppid &&
		    regs.rax == (unsigned long)-ENOSYS) {
			regs.orig_rax = SYS_socket;
			ptrace(PTRACE_SETREGS, pid, NULL, &regs);
			ptrace(PTRACE_CONT, pid, NULL, NULL);
		} else {
			ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
		}
		if (waitpid(pid, &status, 0) != pid)
			return errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}
#endif

static _Atomic int stop;
static union address changing;

/* Changes the destination as fast as it can: inside, outside. */
static void *change(void *unused)
{
	union address outside;

	(void)unused;
	parse_address(&outside, "192.0.2.1", arguments[2]);
	while (!stop) {
		changing = outside;
		changing = to;
	}
	return NULL;
}

/* 0: every connect was the tunnel's or refused */
static int raced(void)
{
	pthread_t thread;
	int err = 0;

	changing = to;
	if (pthread_create(&thread, NULL, change, NULL))
		return EAGAIN;
	for (int i = 0; i < 300 && err == 0; i++) {
		int fd = plain_socket();

		/* 192.0.2.1 is not reachable through the tunnel; half an address of each is
		 * nowhere */
		if (connect(fd, &changing.any, to_len) == 0)
			err = exchange(fd);
		else if (errno != ENETUNREACH && errno != ECONNREFUSED)
			err = errno;
		close(fd);
	}
	stop = 1;
	pthread_join(thread, NULL);
	return err;
}

/* As root of a namespace of its own. Where that cannot be had, it says nothing of the network. */
static int own_namespace(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 &&
		    syscall(SYS_socket, AF_PACKET, SOCK_RAW, 0) >= 0)
			_exit(EEXIST);
		_exit(use(plain_socket()));
	}
	return status_of(pid);
}

static void steal(pid_t pid, int number)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), fd;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, number);
	fd = open(path, O_RDWR);
	say("opened in /proc", fd < 0 ? errno : use(fd));
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	say("taken by pidfd_getfd", fd < 0 ? errno : use(fd));
}

int main(int argc, char **argv)
{
	int pair[2];

	if (argc < 3)
		return 2;
	arguments = argv;
	to_len = parse_address(&to, argv[1], argv[2]);
	if (argc == 4)
		return use(plain_socket());
	if (argc == 6) {
		steal(atoi(argv[4]), atoi(argv[5]));
		return 0;
	}
	say("by system call", use(plain_socket()));
	say("in a vfork", forked());
	say("in a shared table", shared_table());
	say("with a filter of its own", own_filter());
	say("from memory", from_memory());
#if defined(__x86_64__)
	say("by a debugger", debugged());
#endif
	say("in a namespace of its own", own_namespace());
	say("with an address that changes", raced());
	say("as a pair", socketpair(AF_INET, SOCK_STREAM, 0, pair) ? errno : use(pair[0]));
	return 0;
}
