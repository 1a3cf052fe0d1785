/* SPDX-License-Identifier: MIT */
/*
 * static_reused.c - sockets that are closed while a thread waits in a call on them, or right after
 * such a call was interrupted; their numbers and addresses are used again at once. Built statically
 *
 * usage: static_reused ECHO-ADDRESS ECHO-PORT BLACKHOLE-ADDRESS ROUNDS
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common.h"

enum {
	PAIRS = 6,	      /* of a thread that waits and one that closes */
	INTERRUPTED_MS = 200, /* long enough that nobody looks closely any more */
	LATE_MS = 60000,
	SETTLED_MS = 100, /* by then the supervisor, too, has come to the call, and to its socket */
};

enum kind { IN_ACCEPT, IN_RECVFROM, IN_CONNECT, KINDS };

/** struct waiter - a thread in a call on @fd, and what the call said */
struct waiter {
	enum kind kind;
	int fd;
	_Atomic int tid;
	long result;
	int err;
	union address from;
	socklen_t len;
};

static union address echo, nowhere;
static socklen_t echo_len;
static int rounds, wrong;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Counts what is not as it must be, and says the first. */
static bool check(const char *what, bool good)
{
	int err = errno;

	pthread_mutex_lock(&lock);
	if (!good && wrong++ == 0)
		printf("%s: %s\n", what, err_name(err));
	pthread_mutex_unlock(&lock);
	return good;
}

static void catch (int number)
{
	(void)number;
}

static long call(enum kind kind, int fd, union address *from, socklen_t *len)
{
	char data[8];

	*len = sizeof(*from);
	if (kind == IN_ACCEPT)
		return accept(fd, &from->any, len);
	if (kind == IN_RECVFROM)
		return recvfrom(fd, data, sizeof(data), 0, &from->any, len);
	return connect(fd, &nowhere.any, echo_len);
}

static void *wait_in_call(void *arg)
{
	struct waiter *w = arg;

	w->tid = (int)syscall(SYS_gettid);
	w->result = call(w->kind, w->fd, &w->from, &w->len);
	w->err = errno;
	return NULL;
}

/* Whether thread @tid of process @pid has come to its call, as /proc says. */
static bool is_in_call(pid_t pid, int tid, enum kind kind)
{
	static const int numbers[KINDS] = {SYS_accept, SYS_recvfrom, SYS_connect};
	char path[64], text[64], *end;
	ssize_t n = -1;
	long number;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", (int)pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	number = strtol(text, &end, 10);
	return end != text && number == numbers[kind];
}

static void until_in_call(pid_t pid, const _Atomic int *tid, enum kind kind)
{
	int64_t until = now_ms() + LATE_MS;

	while (!*tid || !is_in_call(pid, *tid, kind)) {
		if (!check("it comes to its call", now_ms() < until))
			return;
		sleep_ms(1);
	}
	sleep_ms(SETTLED_MS);
}

static int bound_socket(enum kind kind, uint16_t port)
{
	int fd = socket(AF_INET, kind == IN_RECVFROM ? SOCK_DGRAM : SOCK_STREAM, 0), on = 1;
	union address any;
	socklen_t len = parse_address(&any, "0.0.0.0", "0");

	any.in.sin_port = port;
	/* what was accepted before is in TIME_WAIT */
	if (kind == IN_ACCEPT)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (kind != IN_CONNECT)
		check("bind", bind(fd, &any.any, len) == 0);
	if (kind == IN_ACCEPT)
		check("listen", listen(fd, 5) == 0);
	return fd;
}

static uint16_t port_of(int fd)
{
	union address a;
	socklen_t len = sizeof(a);

	check("getsockname", getsockname(fd, &a.any, &len) == 0);
	return a.in.sin_port;
}

static void talk(int fd)
{
	char data[5];
	ssize_t n = 1;

	check("write", write(fd, "hello", sizeof(data)) == sizeof(data));
	for (size_t have = 0; have < sizeof(data) && n > 0; have += (size_t)n)
		n = read(fd, data + have, sizeof(data) - have);
	check("read", n > 0);
}

/* Something else gets the number. */
static int use_number(int number, bool at_once)
{
	int fresh;

	if (at_once) {
		fresh = socket(AF_INET, SOCK_STREAM, 0);
		check("dup2", dup2(fresh, number) == number);
		close(fresh);
	} else {
		close(number);
		number = socket(AF_INET, SOCK_STREAM, 0);
	}
	if (check("connect", connect(number, &echo.any, echo_len) == 0))
		talk(number);
	return number;
}

/* The socket is there for as long as the call waits; then it is gone, and the port is free. */
static void serve_accept(struct waiter *w, pthread_t thread, const union address *to)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char byte = 'x';

	check("a connect that is accepted", connect(fd, &to->any, echo_len) == 0);
	pthread_join(thread, NULL);
	errno = w->err;
	if (check("accept", w->result >= 0)) {
		check("its address", w->from.in.sin_port == port_of(fd));
		check("its byte", write(fd, &byte, 1) == 1 && read((int)w->result, &byte, 1) == 1);
		close((int)w->result);
	}
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	check("nobody listens", connect(fd, &to->any, echo_len) < 0 && errno == ECONNREFUSED);
	close(fd);
}

static void serve_recvfrom(struct waiter *w, pthread_t thread, const union address *to)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	check("sendto", sendto(fd, "abc", 3, 0, &to->any, echo_len) == 3);
	pthread_join(thread, NULL);
	errno = w->err;
	check("recvfrom", w->result == 3);
	close(fd);
}

static void close_under_call(unsigned int *seed)
{
	struct waiter w = {.kind = (enum kind)(rand_r(seed) % KINDS)};
	int fd = bound_socket(w.kind, 0);
	bool at_once = rand_r(seed) % 2;
	union address to;
	uint16_t port = w.kind == IN_CONNECT ? 0 : port_of(fd);
	pthread_t thread;

	w.fd = fd;
	pthread_create(&thread, NULL, wait_in_call, &w);
	until_in_call(getpid(), &w.tid, w.kind);
	fd = use_number(fd, at_once);
	parse_address(&to, "127.0.0.1", "0");
	to.in.sin_port = port;
	if (w.kind == IN_ACCEPT) {
		serve_accept(&w, thread, &to);
	} else if (w.kind == IN_RECVFROM) {
		serve_recvfrom(&w, thread, &to);
	} else {
		pthread_kill(thread, SIGUSR1);
		pthread_join(thread, NULL);
		errno = w.err;
		check("connect to nowhere", w.result < 0 && w.err == EINTR);
	}
	close(fd);
	if (w.kind != IN_CONNECT)
		close(bound_socket(w.kind, port));
}

/* A signal ends the call; the thread closes the socket and takes its address for another. */
static void *interrupted(void *arg)
{
	struct waiter *w = arg;
	uint16_t port;

	w->fd = bound_socket(w->kind, 0);
	port = port_of(w->fd);
	wait_in_call(w);
	errno = w->err;
	check("a call is interrupted", w->result < 0 && w->err == EINTR);
	close(w->fd);
	close(bound_socket(w->kind, port));
	return NULL;
}

static void interrupt_all(void)
{
	struct waiter waiters[2] = {{.kind = IN_ACCEPT}, {.kind = IN_RECVFROM}};
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, interrupted, &waiters[i]);
	for (int i = 0; i < 2; i++)
		until_in_call(getpid(), &waiters[i].tid, waiters[i].kind);
	sleep_ms(INTERRUPTED_MS);
	for (int i = 0; i < 2; i++)
		pthread_kill(threads[i], SIGUSR1);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

/* A process that is killed in the call has left its address by the time its end is told. */
static void kill_in_call(enum kind kind)
{
	int fd = bound_socket(kind, 0);
	uint16_t port = port_of(fd);
	union address from;
	socklen_t len;
	_Atomic int tid;
	pid_t pid = fork();

	if (pid == 0) {
		call(kind, fd, &from, &len);
		_exit(0);
	}
	close(fd);
	tid = pid;
	until_in_call(pid, &tid, kind);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(bound_socket(kind, port));
}

static void *work(void *arg)
{
	unsigned int seed = (unsigned int)(intptr_t)arg;

	for (int i = 0; i < rounds; i++)
		close_under_call(&seed);
	return NULL;
}

static void say(const char *what)
{
	printf("%s: %d wrong\n", what, wrong);
	wrong = 0;
}

int main(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = catch};
	pthread_t threads[PAIRS];

	if (argc != 5)
		return 2;
	sigaction(SIGUSR1, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	echo_len = parse_address(&echo, argv[1], argv[2]);
	parse_address(&nowhere, argv[3], argv[2]);
	rounds = atoi(argv[4]);
	interrupt_all();
	say("interrupted");
	for (int i = 0; i < 2 * rounds; i++)
		kill_in_call(i % 2 ? IN_ACCEPT : IN_RECVFROM);
	say("killed");
	for (int i = 0; i < PAIRS; i++)
		pthread_create(&threads[i], NULL, work, (void *)(intptr_t)(i + 1));
	for (int i = 0; i < PAIRS; i++)
		pthread_join(threads[i], NULL);
	say("closed under a call");
	return 0;
}
