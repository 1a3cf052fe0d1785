/* SPDX-License-Identifier: MIT */
/*
 * burst.c - many non-blocking connects at once
 *
 * usage: burst HOST PORT COUNT finish|abandon
 *
 * Prints "ready", waits for a line on standard input, starts COUNT connects. finish: polls until
 * each has its outcome; abandon: closes all after 100 ms, prints "closed" and waits for another
 * line. Prints how often each outcome occurred.
 */
#include "common.h"

enum { ERRNO_MAX = 134, PATIENCE_MS = 130000 };

static unsigned int outcomes[ERRNO_MAX];

static void count(int err)
{
	outcomes[err >= 0 && err < ERRNO_MAX ? err : ERRNO_MAX - 1]++;
}

static void report(const char *what)
{
	for (int err = 0; err < ERRNO_MAX; err++)
		if (outcomes[err])
			printf("%s %s %u\n", what, err_name(err), outcomes[err]);
	memset(outcomes, 0, sizeof(outcomes));
	fflush(stdout);
}

static void finish(struct pollfd *fds, unsigned int n)
{
	int64_t until = now_ms() + PATIENCE_MS;
	unsigned int left = n;

	while (left && now_ms() < until) {
		if (poll(fds, n, 1000) < 0)
			die("poll");
		for (unsigned int i = 0; i < n; i++) {
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			count(so_error(fds[i].fd));
			fds[i].fd = -1;
			left--;
		}
	}
	report("outcome");
	printf("pending %u\n", left);
}

int main(int argc, char **argv)
{
	unsigned int n, started = 0;
	struct pollfd *fds;
	union address a;
	char line[16];
	socklen_t len;

	if (argc < 5)
		return 2;
	len = parse_address(&a, argv[1], argv[2]);
	n = (unsigned int)atoi(argv[3]);
	if (raise_nofile() < n + 16) {
		printf("descriptor limit\n");
		return 77;
	}
	fds = calloc(n, sizeof(*fds));
	if (!fds)
		return 2;
	printf("ready\n");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 2;
	for (unsigned int i = 0; i < n; i++) {
		int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
		int err = fd < 0 || connect(fd, &a.any, len) ? errno : 0;

		count(err);
		fds[i] = (struct pollfd){.fd = -1, .events = POLLOUT};
		if (!err || err == EINPROGRESS)
			fds[started++].fd = fd;
		else if (fd >= 0)
			close(fd);
	}
	report("start");
	if (!strcmp(argv[4], "finish")) {
		finish(fds, started);
		return 0;
	}
	sleep_ms(100);
	for (unsigned int i = 0; i < started; i++)
		close(fds[i].fd);
	printf("closed\n");
	fflush(stdout);
	return fgets(line, sizeof(line), stdin) ? 0 : 2;
}
