/* SPDX-License-Identifier: MIT */
/*
 * listed_options.c - a program whose filter lists the socket options it may ask for, as Chromium's
 *
 * usage: listed_options some|all prctl|seccomp
 *
 * Asks the kernel for filters as programs do, then installs one that traps getsockopt but for
 * SO_TYPE (some), or SO_TYPE and all other options (all). After that it sends itself descriptors
 * over pairs of AF_UNIX sockets, by sendmsg and recvmsg, and prints the family of each, as
 * getsockname tells it: a socket of another such pair and, with all, an IPv4 socket.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OPTION = 2 }; /* of the arguments */

static int install(bool any, bool by_prctl)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsockopt, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[OPTION])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_TYPE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, any ? SECCOMP_RET_ALLOW : SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	if (by_prctl) {
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) != -1 || errno != EFAULT)
			return -1;
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	}
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, NULL) != -1 ||
	    errno != EFAULT)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
			    &program);
}

/* The descriptor that comes out when @fd goes in, or -1. */
static int pass(const int pair[2], int fd)
{
	char byte = 'x';
	struct iovec iov = {&byte, 1};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(fd)),
			      .cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(pair[0], &msg, MSG_NOSIGNAL) != 1)
		return -1;
	msg.msg_controllen = sizeof(control);
	if (recvmsg(pair[1], &msg, MSG_CMSG_CLOEXEC) != 1 || byte != 'x')
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static int show(const int pair[2], int fd)
{
	struct sockaddr_storage name = {0};
	socklen_t len = sizeof(name);
	int got = pass(pair, fd);

	if (got < 0 || getsockname(got, (struct sockaddr *)&name, &len) < 0) {
		perror("a descriptor");
		return -1;
	}
	printf("%s\n", name.ss_family == AF_INET   ? "AF_INET"
		       : name.ss_family == AF_UNIX ? "AF_UNIX"
						   : "another family");
	return fflush(stdout);
}

int main(int argc, char **argv)
{
	const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
	int pairs[3][2], ip = socket(AF_INET, SOCK_DGRAM, 0);
	bool any;

	if (argc < 3 || ip < 0)
		return 2;
	any = strcmp(argv[1], "all") == 0;
	for (int i = 0; i < 3; i++) {
		if (socketpair(AF_UNIX, types[i], 0, pairs[i]) < 0)
			return 1;
	}
	if (install(any, strcmp(argv[2], "prctl") == 0) < 0) {
		perror("seccomp");
		return 1;
	}
	for (int i = 0; i < 3; i++) {
		if (show(pairs[i], pairs[(i + 1) % 3][0]) < 0 || (any && show(pairs[i], ip) < 0))
			return 1;
	}
	return 0;
}
