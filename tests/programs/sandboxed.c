/* SPDX-License-Identifier: MIT */
/*
 * sandboxed.c - a program that gives up all calls on sockets but read, write and poll, as sshd does
 *
 * usage: sandboxed ADDRESS prctl|seccomp
 *
 * Connects to port 80, installs a filter that kills the process at any other call on sockets, then asks for /address and
 * prints the answer's last line. A child that it forks does the same on a connection made before.
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
	KILL(SYS_sendto),
	KILL(SYS_sendmsg),
	KILL(SYS_recvfrom),
	KILL(SYS_recvmsg),
	KILL(SYS_connect),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static int install(const char *how)
{
	struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	if (strcmp(how, "prctl") == 0)
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static int ask(int fd)
{
	static const char question[] = "GET /address HTTP/1.0\r\n\r\n";
	char answer[4096], *last;
	size_t used = 0;
	ssize_t n;

	if (write(fd, question, strlen(question)) < 0)
		return -1;
	while (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 20000) == 1) {
		n = read(fd, answer + used, sizeof(answer) - 1 - used);
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
