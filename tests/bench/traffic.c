/* SPDX-License-Identifier: MIT */
/*
 * traffic.c - small exchanges over TCP, timed
 *
 * usage: traffic serve PORT
 *        traffic pingpong HOST PORT COUNT	one connection, COUNT round trips of one byte
 *        traffic http HOST PORT PATH COUNT	COUNT requests for PATH, one after the other
 *        traffic requests HOST PORT PATH PARALLEL SECONDS	such requests over PARALLEL connections at a time
 *        traffic connections HOST PORT SECONDS PARALLEL	connect, one byte each way, close
 *        traffic open HOST PORT COUNT	opens COUNT connections and keeps them until end of input
 *        traffic start COUNT COMMAND [ARG...]	runs COMMAND COUNT times, from its start to its first line
 *
 * serve answers each byte with the same byte and prints "ready". The others print figures as "name
 * value".
 */
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "tests/programs/common.h"

enum {
	EVENTS = 512,
	PARALLEL_MAX = 1024,
	BACKLOG = 4096,
	REQUESTS_A_CONNECTION = 500 /* nginx ends it at 1000 */
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void watch(int poller, int fd, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};

	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e))
		die("epoll_ctl");
}

static void echo(int fd)
{
	char buf[4096];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || send(fd, buf, (size_t)n, MSG_NOSIGNAL) < 0)
		close(fd);
}

static int serve(const char *port)
{
	struct epoll_event events[EVENTS];
	const int one = 1;
	union address a;
	socklen_t len = parse_address(&a, "::", port);
	int poller = epoll_create1(EPOLL_CLOEXEC), listener = socket(AF_INET6, SOCK_STREAM, 0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (listener < 0 || bind(listener, &a.any, len) || listen(listener, BACKLOG))
		die("listen");
	fcntl(listener, F_SETFL, O_NONBLOCK);
	watch(poller, listener, EPOLLIN);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(poller, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd != listener) {
				echo(fd);
				continue;
			}
			while ((fd = accept(listener, NULL, NULL)) >= 0) {
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				watch(poller, fd, EPOLLIN);
			}
		}
	}
}

static int connected(const union address *a, socklen_t len)
{
	const int one = 1;
	int fd = socket(a->any.sa_family, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, &a->any, len))
		die("connect");
	return fd;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int pingpong(const union address *a, socklen_t len, size_t count)
{
	uint32_t *us = calloc(count ? count : 1, sizeof(*us));
	uint64_t began = now_us();
	int fd = connected(a, len);
	char byte = 'p';

	for (size_t i = 0; i < count; i++) {
		uint64_t start = now_us();

		if (send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1)
			die("exchange");
		if (i == 0) {
			printf("first_byte_us %llu\n", (unsigned long long)(now_us() - began));
			fflush(stdout);
		}
		us[i] = (uint32_t)(now_us() - start);
	}
	qsort(us, count, sizeof(*us), by_size);
	printf("median_us %u\np99_us %u\n", us[count / 2], us[count * 99 / 100]);
	free(us);
	return 0;
}

/* Reads one response, whose length must be declared; returns the length of its body. */
static size_t response(int fd)
{
	char buf[16384];
	size_t have = 0, body;
	const char *end = NULL, *length;

	do {
		ssize_t n = recv(fd, buf + have, sizeof(buf) - 1 - have, 0);

		if (n <= 0)
			die("response");
		have += (size_t)n;
		buf[have] = 0;
		end = strstr(buf, "\r\n\r\n");
	} while (!end);
	length = strcasestr(buf, "\r\nContent-Length: ");
	if (!length || length > end)
		die("no Content-Length");
	body = strtoul(length + 18, NULL, 10);
	for (have -= (size_t)(end + 4 - buf); have < body;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n <= 0)
			die("response");
		have += (size_t)n;
	}
	return body;
}

static int http(const union address *a, socklen_t len, const char *path, size_t count)
{
	uint32_t *us = calloc(count ? count : 1, sizeof(*us));
	char request[256];
	int size =
		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: server\r\n\r\n", path);
	int fd = -1;

	for (size_t i = 0; i < count; i++) {
		uint64_t start;

		if (i % REQUESTS_A_CONNECTION == 0) {
			if (fd >= 0)
				close(fd);
			fd = connected(a, len);
		}
		start = now_us();
		if (send(fd, request, (size_t)size, 0) != size || response(fd) == 0)
			die("request");
		us[i] = (uint32_t)(now_us() - start);
	}
	qsort(us, count, sizeof(*us), by_size);
	printf("median_us %u\np99_us %u\n", us[count / 2], us[count * 99 / 100]);
	free(us);
	return 0;
}

/* What @fd has of a response whose headers come in one piece with at least a byte behind them; @left:
 * what was missing of it. Returns what is missing now. */
static size_t more_of_response(int fd, size_t left)
{
	char buf[16384];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);
	const char *end, *length;

	if (n <= 0)
		die("response");
	if (left > 0) {
		if ((size_t)n > left)
			die("more than was asked for");
		return left - (size_t)n;
	}
	buf[n] = 0;
	end = strstr(buf, "\r\n\r\n");
	length = strcasestr(buf, "\r\nContent-Length: ");
	if (!end || !length || length > end)
		die("no headers");
	left = (size_t)(end + 4 - buf) + strtoul(length + 18, NULL, 10);
	if ((size_t)n > left)
		die("more than was asked for");
	return left - (size_t)n;
}

static int requests(const union address *a, socklen_t len, const char *path, int parallel,
		    int seconds)
{
	static size_t left[PARALLEL_MAX];
	struct epoll_event events[EVENTS];
	char request[256];
	int size =
		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: server\r\n\r\n", path);
	int poller = epoll_create1(EPOLL_CLOEXEC), fds[PARALLEL_MAX];
	unsigned long long done = 0;
	int64_t began;

	parallel = parallel < PARALLEL_MAX ? parallel : PARALLEL_MAX;
	for (int i = 0; i < parallel; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)i};

		fds[i] = connected(a, len);
		if (epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &e))
			die("epoll_ctl");
	}
	began = now_ms();
	for (int i = 0; i < parallel; i++)
		if (send(fds[i], request, (size_t)size, 0) != size)
			die("request");
	while (now_ms() < began + seconds * 1000) {
		int n = epoll_wait(poller, events, EVENTS, 1000);

		for (int k = 0; k < n; k++) {
			uint32_t i = events[k].data.u32;

			left[i] = more_of_response(fds[i], left[i]);
			if (left[i] > 0)
				continue;
			done++;
			if (send(fds[i], request, (size_t)size, 0) != size)
				die("request");
		}
	}
	printf("requests_per_s %.0f\n", (double)done * 1000 / (double)(now_ms() - began));
	return 0;
}

/* One connection of `connections`: connecting, then waiting for its byte. */
struct attempt {
	int fd;
	bool asked;
};

static void begin(struct attempt *t, const union address *a, socklen_t len, short *events)
{
	t->asked = false;
	t->fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (t->fd < 0)
		die("socket");
	if (connect(t->fd, &a->any, len) && errno != EINPROGRESS)
		die("connect");
	*events = POLLOUT;
}

/* One step of @t. Returns 1 when it is complete, -1 when it failed, 0 when it goes on. */
static int step(struct attempt *t, short *events)
{
	char byte = 'c';
	int err;

	if (!t->asked) {
		err = so_error(t->fd);
		if (err) {
			errno = err;
			return -1;
		}
		if (send(t->fd, &byte, 1, MSG_NOSIGNAL) != 1)
			return -1;
		t->asked = true;
		*events = POLLIN;
		return 0;
	}
	return recv(t->fd, &byte, 1, 0) == 1 ? 1 : -1;
}

static int connections(const union address *a, socklen_t len, int seconds, int parallel)
{
	static struct attempt attempts[PARALLEL_MAX];
	static struct pollfd fds[PARALLEL_MAX];
	unsigned long long done = 0, failed = 0;
	int64_t began = now_ms(), until = began + seconds * 1000;

	parallel = parallel < PARALLEL_MAX ? parallel : PARALLEL_MAX;
	for (int i = 0; i < parallel; i++) {
		begin(&attempts[i], a, len, &fds[i].events);
		fds[i].fd = attempts[i].fd;
	}
	while (now_ms() < until) {
		if (poll(fds, (nfds_t)parallel, 1000) < 0)
			die("poll");
		for (int i = 0; i < parallel; i++) {
			int result = fds[i].revents ? step(&attempts[i], &fds[i].events) : 0;

			if (result == 0)
				continue;
			if (result < 0 && failed == 0)
				printf("first_failure %s\n", err_name(errno));
			done += result > 0;
			failed += result < 0;
			close(attempts[i].fd);
			begin(&attempts[i], a, len, &fds[i].events);
			fds[i].fd = attempts[i].fd;
		}
	}
	printf("connections_per_s %.0f\nfailed %llu\n",
	       (double)done * 1000 / (double)(now_ms() - began), failed);
	return 0;
}

static int keep_open(const union address *a, socklen_t len, int count)
{
	char line[16];

	raise_nofile();
	for (int i = 0; i < count; i++)
		connected(a, len);
	printf("open %d\n", count);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 0;
	return 0;
}

/* Microseconds from the start of @command to its first line on standard output. */
static uint32_t first_line_us(char **command)
{
	int out[2], status;
	uint64_t began, heard;
	char buf[256];
	pid_t child;

	if (pipe2(out, O_CLOEXEC))
		die("pipe2");
	began = now_us();
	child = vfork();
	if (child == 0) {
		dup2(out[1], STDOUT_FILENO);
		execvp(command[0], command);
		_exit(127);
	}
	close(out[1]);
	if (child < 0 || read(out[0], buf, sizeof(buf)) <= 0)
		die(command[0]);
	heard = now_us();
	while (read(out[0], buf, sizeof(buf)) > 0)
		;
	close(out[0]);
	if (waitpid(child, &status, 0) != child || status != 0)
		die(command[0]);
	return (uint32_t)(heard - began);
}

static int start(size_t count, char **command)
{
	uint32_t *us = calloc(count ? count : 1, sizeof(*us));

	for (size_t i = 0; i < count; i++)
		us[i] = first_line_us(command);
	qsort(us, count, sizeof(*us), by_size);
	printf("median_us %u\n", us[count / 2]);
	free(us);
	return 0;
}

int main(int argc, char **argv)
{
	union address a;
	socklen_t len;

	raise_nofile();
	if (argc >= 4 && !strcmp(argv[1], "start"))
		return start((size_t)atol(argv[2]), argv + 3);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(argv[2]);
	if (argc < 5)
		return 2;
	len = parse_address(&a, argv[2], argv[3]);
	if (!strcmp(argv[1], "pingpong"))
		return pingpong(&a, len, (size_t)atol(argv[4]));
	if (!strcmp(argv[1], "http") && argc == 6)
		return http(&a, len, argv[4], (size_t)atol(argv[5]));
	if (!strcmp(argv[1], "requests") && argc == 7)
		return requests(&a, len, argv[4], atoi(argv[5]), atoi(argv[6]));
	if (!strcmp(argv[1], "connections") && argc == 6)
		return connections(&a, len, atoi(argv[4]), atoi(argv[5]));
	if (!strcmp(argv[1], "open"))
		return keep_open(&a, len, atoi(argv[4]));
	return 2;
}
