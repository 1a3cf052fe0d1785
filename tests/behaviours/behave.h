/* SPDX-License-Identifier: MIT */
/*
 * behave.h - a program of named cases, each of which prints what it observes of sockets
 *
 * A case is a function that prints. It runs in a child of its own with a time limit, so a crash, a
 * hang or a changed signal disposition is an observation too. Run natively and wrapped, a case must
 * print the same; what Linux itself does in two ways is not printed.
 *
 *	usage: PROGRAM [CASE]
 *
 * The environment says where server.c runs (BEHAVE_HOST4, BEHAVE_HOST6) and which addresses the
 * program has itself (BEHAVE_SELF4, BEHAVE_SELF6). They are the same in both runs.
 */
#ifndef TESTS_BEHAVIOURS_BEHAVE_H
#define TESTS_BEHAVIOURS_BEHAVE_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	CASES_MAX = 64,
	CASE_LIMIT_S = 120,
	HANG_UP_MS = 2000,
	COMMAND_PORT = 7000,
	HELLO_PORT = 7001,
	RESET_PORT = 7002,
	ECHO_UDP_PORT = 7003,
	OTHER_UDP_PORT = 7004,
	BURST_UDP_PORT = 7006,
	CLOSED_PORT = 7009,
};

#define BLACKHOLE4 "10.77.1.1"
#define UNROUTED4  "203.0.113.1"
#define UNROUTED6  "2001:db8:77::1"

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage storage;
};

struct behave_case {
	const char *name;
	void (*run)(void);
};

static struct behave_case behave_cases[CASES_MAX];
static int behave_n_cases;

/* Defines a case. They run in the order of the file. */
#define CASE(case_name)                                                                            \
	static void case_name(void);                                                               \
	__attribute__((constructor)) static void add_##case_name(void)                             \
	{                                                                                          \
		behave_cases[behave_n_cases++] = (struct behave_case){#case_name, case_name};      \
	}                                                                                          \
	static void case_name(void)

static inline const char *err_name(int err)
{
	const char *name = strerrorname_np(err);

	return err ? (name ? name : "unknown") : "0";
}

/* Prints "what: RESULT" for a call that returns -1 and errno. Returns the result. */
static inline long said(const char *what, long result)
{
	int err = errno;

	if (result < 0)
		printf("%s: %s\n", what, err_name(err));
	else
		printf("%s: %ld\n", what, result);
	errno = err;
	return result;
}

/* The same for calls whose result is only success. */
static inline int did(const char *what, long result)
{
	int err = errno;

	printf("%s: %s\n", what, result < 0 ? err_name(err) : "ok");
	errno = err;
	return (int)result;
}

__attribute__((noreturn)) static inline void die(const char *what)
{
	printf("cannot go on, %s: %s\n", what, err_name(errno));
	exit(1);
}

static inline const char *host(bool v6)
{
	const char *text = getenv(v6 ? "BEHAVE_HOST6" : "BEHAVE_HOST4");

	return text ? text : v6 ? "::1" : "127.0.0.1";
}

static inline const char *self(bool v6)
{
	const char *text = getenv(v6 ? "BEHAVE_SELF6" : "BEHAVE_SELF4");

	return text ? text : v6 ? "::1" : "127.0.0.1";
}

static inline socklen_t make_address(union address *a, const char *text, int port)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, text, &a->in.sin_addr) == 1) {
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons((uint16_t)port);
		return sizeof(a->in);
	}
	if (inet_pton(AF_INET6, text, &a->in6.sin6_addr) != 1) {
		printf("%s is no address\n", text);
		exit(2);
	}
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_port = htons((uint16_t)port);
	return sizeof(a->in6);
}

static inline int port_of(const union address *a)
{
	return ntohs(a->any.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port);
}

/* "family address port"; ports of the ephemeral range are "some". */
static inline const char *address_text(const union address *a, socklen_t len)
{
	static char text[2][128];
	static int turn;
	char ip[INET6_ADDRSTRLEN] = "?", *out = text[turn ^= 1];
	int port = port_of(a);

	if (a->any.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->in.sin_addr, ip, sizeof(ip));
	else if (a->any.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &a->in6.sin6_addr, ip, sizeof(ip));
	snprintf(out, sizeof(text[0]), "%s/%u %s ", ip, (unsigned int)len,
		 a->any.sa_family == AF_INET	? "v4"
		 : a->any.sa_family == AF_INET6 ? "v6"
						: "other");
	snprintf(out + strlen(out), sizeof(text[0]) - strlen(out), port >= 10000 ? "some" : "%d",
		 port);
	return out;
}

static inline void show_names(int fd)
{
	union address a = {0};
	socklen_t len = sizeof(a);
	int rc = getsockname(fd, &a.any, &len);

	printf("sockname: %s\n", rc ? err_name(errno) : address_text(&a, len));
	len = sizeof(a);
	rc = getpeername(fd, &a.any, &len);
	printf("peername: %s\n", rc ? err_name(errno) : address_text(&a, len));
}

static inline int local_port(int fd)
{
	union address a = {0};
	socklen_t len = sizeof(a);

	if (getsockname(fd, &a.any, &len))
		die("getsockname");
	return port_of(&a);
}

static inline int get_int(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, level, name, &value, &len))
		return -errno;
	return value;
}

static inline int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static inline const char *so_error(int fd)
{
	int err = get_int(fd, SOL_SOCKET, SO_ERROR);

	return err_name(err < 0 ? -err : err);
}

static inline void nap_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static inline int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline const char *events_text(unsigned int events)
{
	static char text[2][64];
	static int turn;
	char *out = text[turn ^= 1];

	snprintf(out, sizeof(text[0]), "%s%s%s%s%s%s", events & POLLIN ? "IN " : "",
		 events & POLLPRI ? "PRI " : "", events & POLLOUT ? "OUT " : "",
		 events & POLLERR ? "ERR " : "", events & POLLHUP ? "HUP " : "",
		 events & POLLRDHUP ? "RDHUP " : "");
	return *out ? out : "nothing";
}

/* What poll() says of @fd at once, or within @ms. After a hang-up room to write may follow a moment later
 * (the ledger): not so with a listener, which never has any. */
static inline const char *polled(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP | POLLPRI};
	int n = poll(&p, 1, ms);

	for (int i = 0; i < HANG_UP_MS && n == 1 && (p.revents & (POLLHUP | POLLOUT)) == POLLHUP;
	     i++) {
		nap_ms(1);
		n = poll(&p, 1, 0);
	}
	return n < 0 ? err_name(errno) : events_text((unsigned short)p.revents);
}

/* Waits until poll() says one of @events of @fd, or an error or hang-up, which it says unasked. */
static inline void wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	if (poll(&p, 1, 60000) != 1)
		printf("nothing within 60 s\n");
}

/* Waits until @fd is readable (or over). */
static inline void wait_in(int fd)
{
	wait_for(fd, POLLIN | POLLRDHUP);
}

static inline int tcp_socket(bool v6, int flags)
{
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | flags, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static inline int udp_socket(bool v6)
{
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static inline int connect_to(int fd, const char *text, int port)
{
	union address a;
	socklen_t len = make_address(&a, text, port);

	return connect(fd, &a.any, len);
}

static inline int bind_to(int fd, const char *text, int port)
{
	union address a;
	socklen_t len = make_address(&a, text, port);

	return bind(fd, &a.any, len);
}

/* A connection to server.c, which was told @command. */
static inline int server(bool v6, const char *command)
{
	int fd = tcp_socket(v6, 0);
	char line[128];
	int len = snprintf(line, sizeof(line), "%s\n", command);

	if (connect_to(fd, host(v6), COMMAND_PORT))
		die("connect to the server");
	if (send(fd, line, (size_t)len, 0) != len)
		die("send to the server");
	return fd;
}

/* Reads up to the end, and prints what came and how it ended. */
static inline void read_out(int fd)
{
	char data[4096];
	size_t total = 0;
	ssize_t n;

	while ((n = recv(fd, data, sizeof(data), 0)) > 0) {
		if (total < 64 && n < 64)
			printf("read: %.*s\n", (int)n, data);
		total += (size_t)n;
	}
	printf("%zu bytes, then %s\n", total, n ? err_name(errno) : "end of file");
}

/* Asks the server how connection @id ended on its side. */
static inline void report(const char *id)
{
	char line[64], answer[128];
	ssize_t n;
	int fd;

	snprintf(line, sizeof(line), "report %s", id);
	fd = server(false, line);
	n = recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL);
	printf("the server saw: %.*s\n", n > 0 ? (int)n : 0, answer);
	close(fd);
}

/* A listener on @text; returns it, its port in *port. */
static inline int listener_on(const char *text, int *port, int backlog)
{
	int fd = tcp_socket(strchr(text, ':') != NULL, 0);

	if (bind_to(fd, text, 0))
		die("bind");
	if (listen(fd, backlog))
		die("listen");
	*port = local_port(fd);
	return fd;
}

/* Makes the server connect to @port of ours and do @how; returns the control connection. */
static inline int dial(bool v6, int port, const char *how)
{
	char line[64];

	snprintf(line, sizeof(line), "dial %d %s", port, how);
	return server(v6, line);
}

static pid_t behave_running;

static void end_case(int number)
{
	(void)number;
	kill(behave_running, SIGKILL);
}

/* The limit is kept twice: a case may use its alarm otherwise, and then its parent ends it. */
static void run_case(const struct behave_case *c)
{
	int status;
	pid_t pid;

	printf("== %s\n", c->name);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		alarm(CASE_LIMIT_S);
		signal(SIGPIPE, SIG_IGN);
		c->run();
		exit(0);
	}
	behave_running = pid;
	signal(SIGALRM, end_case);
	alarm(CASE_LIMIT_S + 1);
	waitpid(pid, &status, 0);
	alarm(0);
	signal(SIGALRM, SIG_DFL);
	if (WIFSIGNALED(status))
		printf("ended by SIG%s\n", sigabbrev_np(WTERMSIG(status)));
	else if (WEXITSTATUS(status))
		printf("exit status %d\n", WEXITSTATUS(status));
	fflush(stdout);
}

/* Runs those cases that are named, or all. */
static int run_cases(int n_names, char **names)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < behave_n_cases; i++) {
		bool wanted = n_names == 0;

		for (int j = 0; j < n_names; j++)
			wanted |= strcmp(names[j], behave_cases[i].name) == 0;
		if (wanted)
			run_case(&behave_cases[i]);
	}
	return 0;
}

/* A program that is run by its own cases defines BEHAVE_NO_MAIN. */
#ifndef BEHAVE_NO_MAIN
int main(int argc, char **argv)
{
	return run_cases(argc - 1, argv + 1);
}
#endif

#endif
