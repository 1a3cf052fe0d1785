/* SPDX-License-Identifier: MIT */
/* calls.c - entry points that the other files do not use: second names, rare calls, rare ways to
 * them */
#include <arpa/nameser.h>
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <resolv.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "behave.h"

/* libc's own second names of public functions; no header has them. */
int __close(int fd);
int __connect(int fd, const struct sockaddr *addr, socklen_t len);
ssize_t __send(int fd, const void *data, size_t len, int flags);

static void exchange(int fd)
{
	char data[8] = "";

	said("write", write(fd, "hello", 5));
	wait_in(fd);
	said("read", read(fd, data, sizeof(data)));
	printf("\"%.5s\"\n", data);
}

/* ---- creation and lifetime ---- */

CASE(second_names)
{
	union address a;
	socklen_t len = make_address(&a, host(false), COMMAND_PORT);
	char data[8] = "";
	int fd = tcp_socket(false, 0);

	did("__connect", __connect(fd, &a.any, len));
	said("__send", __send(fd, "watch second\nx", 14, 0));
	did("__close", __close(fd));
	did("again", __close(fd));
	report("second");
	fd = server(false, "echo");
	said("send", send(fd, "hello", 5, 0));
	wait_in(fd);
	said("__read", recv(fd, data, sizeof(data), 0));
}

CASE(fcntl_of_large_files)
{
	int fd = server(false, "echo"), copy;

	copy = fcntl64(fd, F_DUPFD_CLOEXEC, 100);
	printf("copy %d, close on exec %d\n", copy, fcntl64(copy, F_GETFD) & FD_CLOEXEC);
	did("set", fcntl64(copy, F_SETFL, O_NONBLOCK));
	printf("nonblocking %d\n", (fcntl64(fd, F_GETFL) & O_NONBLOCK) != 0);
	did("own", fcntl64(fd, F_SETOWN, getpid()));
	printf("own %d\n", fcntl64(fd, F_GETOWN) == getpid());
	exchange(copy);
}

static int in_clone(void *arg)
{
	ssize_t n = send(*(int *)arg, "hello", 5, 0);

	close(*(int *)arg);
	syscall(SYS_exit, n != 5);
	return 0;
}

/* A child that shares memory, with and without sharing the descriptors. */
CASE(cloned_children)
{
	static char stack[2][65536];
	const int flags[] = {CLONE_VM, CLONE_VM | CLONE_FILES};

	for (int i = 0; i < 2; i++) {
		int fd = server(false, "echo"), status = -1;
		char data[8] = "";
		pid_t pid = clone(in_clone, stack[i] + sizeof(stack[i]), flags[i] | SIGCHLD, &fd);

		waitpid(pid, &status, 0);
		printf("status %x\n", (unsigned int)status);
		if (i == 0)
			wait_in(fd);
		said("recv", recv(fd, data, sizeof(data), MSG_DONTWAIT));
	}
}

CASE(end_without_exit_handlers)
{
	pid_t pid = fork();

	if (pid == 0) {
		static char block[200000];
		int fd = server(false, "watch _Exit");

		_Exit(send(fd, block, sizeof(block), 0) != (ssize_t)sizeof(block));
	}
	waitpid(pid, NULL, 0);
	report("_Exit");
}

/* ---- data ---- */

CASE(positions)
{
	char data[8] = "";
	struct iovec out = {(void *)"hello", 5}, in = {data, sizeof(data)};
	int fd = server(false, "echo");

	said("pwritev", pwritev(fd, &out, 1, 0));
	said("preadv", preadv(fd, &in, 1, 0));
	said("pwritev2", pwritev2(fd, &out, 1, -1, 0));
	wait_in(fd);
	said("preadv2", preadv2(fd, &in, 1, -1, 0));
	printf("\"%s\"\n", data);
}

CASE(pipes)
{
	int fd = server(false, "echo"), one[2], two[2];
	struct iovec iov = {(void *)"hello", 5};
	char data[8] = "";
	loff_t at = 0;

	did("pipe", pipe(one));
	did("pipe", pipe(two));
	said("vmsplice", vmsplice(one[1], &iov, 1, 0));
	said("splice out", splice(one[0], NULL, fd, NULL, 5, 0));
	wait_in(fd);
	said("splice in", splice(fd, NULL, one[1], NULL, sizeof(data), 0));
	said("tee", tee(one[0], two[1], 5, 0));
	said("read", read(two[0], data, sizeof(data)));
	printf("\"%s\"\n", data);
	said("copy_file_range", copy_file_range(fd, NULL, one[1], NULL, 1, 0));
	said("tee of a socket", tee(fd, one[1], 1, 0));
	said("splice with a position", splice(fd, &at, one[1], NULL, 1, SPLICE_F_NONBLOCK));
}

CASE(out_of_band_mark)
{
	int fd = server(false, "echo");

	exchange(fd);
	said("sockatmark", sockatmark(fd));
}

CASE(mark_of_a_datagram_socket)
{
	said("sockatmark", sockatmark(udp_socket(false)));
}

CASE(fioasync)
{
	int fd = server(false, "echo"), on = 1;

	did("on", ioctl(fd, FIOASYNC, &on));
	printf("%d\n", (fcntl(fd, F_GETFL) & O_ASYNC) != 0);
	on = 0;
	did("off", ioctl(fd, FIOASYNC, &on));
	did("FIOCLEX", ioctl(fd, FIOCLEX));
	printf("%d\n", fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* ---- names ---- */

static void show(int rc, const struct hostent *h, int error)
{
	printf("%s: %s, h_errno %d\n", err_name(rc), h ? h->h_name : "none", h ? 0 : error);
}

CASE(reentrant_hosts)
{
	struct hostent room, *h = NULL;
	char buffer[2048];
	struct in_addr four;
	int error = 0, rc;

	rc = gethostbyname2_r("web.test", AF_INET6, &room, buffer, sizeof(buffer), &h, &error);
	show(rc, h, error);
	h_errno = 0;
	rc = gethostbyname2_r("nothing.test", AF_INET, &room, buffer, sizeof(buffer), &h, &error);
	show(0, h, error);
	printf("h_errno of the thread: %d\n", h_errno);
	rc = gethostbyname2_r("web.test", AF_INET, &room, buffer, 8, &h, &error);
	printf("small: %s\n", err_name(rc));
	inet_pton(AF_INET, "10.77.0.1", &four);
	rc = gethostbyaddr_r(&four, sizeof(four), AF_INET, &room, buffer, sizeof(buffer), &h,
			     &error);
	show(rc, h, error);
	inet_pton(AF_INET, "10.77.9.9", &four);
	h_errno = 0;
	rc = gethostbyaddr_r(&four, sizeof(four), AF_INET, &room, buffer, sizeof(buffer), &h,
			     &error);
	show(0, h, error);
	printf("h_errno of the thread: %d\n", h_errno);
}

CASE(resolver_by_parts)
{
	unsigned char query[512], answer[1024];
	int n;

	did("res_init", res_init());
	n = res_mkquery(QUERY, "web.test", C_IN, ns_t_a, NULL, 0, NULL, query, sizeof(query));
	printf("query of %d bytes\n", n);
	n = res_send(query, n, answer, sizeof(answer));
	printf("answer: %d, records %d\n", n > 12, n > 12 ? answer[6] << 8 | answer[7] : -1);
	n = res_querydomain("web", "test", C_IN, ns_t_a, answer, sizeof(answer));
	printf("querydomain: %d\n", n > 0);
	n = res_query("nothing.test", C_IN, ns_t_a, answer, sizeof(answer));
	printf("nothing: %d, h_errno %d\n", n > 0, h_errno);
}

CASE(asynchronous_names)
{
	struct gaicb one = {.ar_name = "web.test"};
	struct gaicb *list[] = {&one};
	const struct gaicb *wait[] = {&one};
	struct timespec limit = {10, 0};
	int rc = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);

	printf("start %d\n", rc);
	while (gai_error(&one) == EAI_INPROGRESS && gai_suspend(wait, 1, &limit) != EAI_AGAIN)
		;
	printf("error %d, result %d\n", gai_error(&one), one.ar_result != NULL);
	printf("cancel %d\n", gai_cancel(&one) == EAI_ALLDONE);
}

/* Databases that do not go over the network. */
CASE(other_databases)
{
	struct netent *n = getnetbyname("loopback");

	printf("net %d\n", n != NULL);
	sethostent(0);
	printf("first host %d\n", gethostent() != NULL);
	endhostent();
}

/* ---- hatches ---- */

static int found_socket(void *found)
{
	int (*make)(int, int, int);
	int fd;

	memcpy(&make, &found, sizeof(found));
	if (!found)
		return -1;
	fd = make(AF_INET, SOCK_STREAM, 0);
	did("connect", connect_to(fd, host(false), HELLO_PORT));
	read_out(fd);
	return fd;
}

CASE(symbols_by_version)
{
	void *found = dlvsym(RTLD_DEFAULT, "socket", "GLIBC_2.2.5");

	found_socket(found ? found : dlvsym(RTLD_DEFAULT, "socket", "GLIBC_2.17"));
	found_socket(dlsym(RTLD_NEXT, "socket"));
}

/* An object that binds to what it depends on itself, past what was preloaded. */
CASE(deep_binding)
{
	void *object = dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);

	printf("loaded %d\n", object != NULL);
	if (!object)
		return;
	found_socket(dlsym(object, "socket"));
	did("dlclose", dlclose(object));
}

CASE(namespaces)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	did("setns", setns(fd, CLONE_NEWNET));
	did("unshare", unshare(CLONE_NEWNET));
}

/* A filter of the program's own: it forbids what read and write have no use for. */
CASE(own_filter)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsockopt, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog filter = {sizeof(code) / sizeof(*code), code};
	int fd = server(false, "echo");

	did("no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	did("seccomp", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
	exchange(fd);
	did("close", close(fd));
}

CASE(more_messages_than_one_call_takes)
{
	enum { N = 1100 };
	struct mmsghdr msgs[N] = {0};
	struct iovec iov = {(void *)"x", 1};
	int fd = udp_socket(false), to = udp_socket(false);
	union address a;
	socklen_t len = sizeof(a);

	make_address(&a, "127.0.0.1", 0);
	said("bind", bind(to, &a.any, len));
	getsockname(to, &a.any, &len);
	for (int i = 0; i < N; i++)
		msgs[i].msg_hdr = (struct msghdr){
			.msg_name = &a, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1};
	said("sendmmsg", sendmmsg(fd, msgs, N, 0));
	printf("%u, %u\n", msgs[N - 77].msg_len, msgs[N - 76].msg_len);
}

/* Every symbol is bound before the first call. */
CASE(bound_at_start)
{
	char path[4096] = "";
	char *argv[] = {path, (char *)"second_names", NULL};
	int status = -1;
	pid_t pid;

	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		die("readlink");
	setenv("LD_BIND_NOW", "1", 1);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		execv(path, argv);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	printf("status %x\n", (unsigned int)status);
}
