/* SPDX-License-Identifier: MIT */
/*
 * sandboxed.c - a program that gives up all calls on sockets but those that move data, as sshd does
 *
 * usage: sandboxed ADDRESS prctl|seccomp [read|recv|recvmsg]
 *
 * The last says which calls it keeps: read and write (the default), or recv and send or the like.
 * Connects to port 80, installs a filter that kills the process at any other call on sockets, then
 * asks for /address and prints the answer's last line. A child that it forks does the same on a
 * connection made before.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL(nr)                                                                                   \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1),                                           \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

static struct sock_filter filter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	KILL(SYS_socket),
	KILL(SYS_getsockopt),
	KILL(SYS_setsockopt),
	KILL(SYS_getsockname),
	KILL(SYS_connect),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

/* Those that may be kept, in the order of enum calls. */
static struct sock_filter others[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	KILL(SYS_recvfrom),
	KILL(SYS_sendto),
	KILL(SYS_recvmsg),
	KILL(SYS_sendmsg),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static enum calls { READ, RECV, RECVMSG } kept;

static int install_one(const char *how, struct sock_filter *code, size_t n)
{
	struct sock_fprog program = {(unsigned short)n, code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	if (strcmp(how, "prctl") == 0)
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static int install(const char *how)
{
	enum { LINES = 2 * 2 }; /* of two calls */

	if (kept != READ) { /* the lines of two calls do nothing */
		struct sock_filter *from = others + 1 + (kept == RECV ? 0 : LINES);

		for (int i = 0; i < LINES; i++)
			from[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
							       offsetof(struct seccomp_data, nr));
	}
	if (install_one(how, others, sizeof(others) / sizeof(*others)) < 0)
		return -1;
	return install_one(how, filter, sizeof(filter) / sizeof(*filter));
}

static ssize_t put(int fd, const void *data, size_t len)
{
	struct iovec iov = {(void *)data, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return kept == READ   ? write(fd, data, len)
	       : kept == RECV ? send(fd, data, len, 0)
			      : sendmsg(fd, &msg, 0);
}

static ssize_t take(int fd, void *data, size_t len)
{
	struct iovec iov = {data, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return kept == READ   ? read(fd, data, len)
	       : kept == RECV ? recv(fd, data, len, 0)
			      : recvmsg(fd, &msg, 0);
}

static int ask(int fd)
{
	static const char question[] = "GET /address HTTP/1.0\r\n\r\n";
	char answer[4096], *last;
	size_t used = 0;
	ssize_t n;

	if (put(fd, question, strlen(question)) < 0)
		return -1;
	while (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 20000) == 1) {
		n = take(fd, answer + used, sizeof(answer) - 1 - used);
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	answer[used] = '\0';
	last = strstr(answer, "\r\n\r\n");
	return last ? dprintf(STDOUT_FILENO, "%s", last + 4) : -1;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
	int fd[2], status = 0;

	if (argc < 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	for (int i = 0; i < 2; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (fd[i] < 0 || connect(fd[i], (struct sockaddr *)&to, sizeof(to)) < 0) {
			perror("connect");
			return 1;
		}
	}
	if (argc > 3)
		kept = strcmp(argv[3], "recv") == 0	 ? RECV
		       : strcmp(argv[3], "recvmsg") == 0 ? RECVMSG
							 : READ;
	if (install(argv[2]) < 0) {
		perror("seccomp");
		return 1;
	}
	if (ask(fd[0]) < 0)
		return 1;
	if (fork() == 0)
		_exit(ask(fd[1]) < 0);
	wait(&status);
	return status != 0;
}
