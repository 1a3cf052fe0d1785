/* SPDX-License-Identifier: MIT */
/*
 * epoll_edges.c - the edges that a non-blocking connect gives
 *
 * usage: epoll_edges HOST PORT MILLISECONDS
 *
 * Calls epoll_wait without pause until there is an edge, and that long behind the last one, so that
 * each step on the way is seen as an edge of its own. The events of the unconnected socket are not
 * part of it: it is added after connect().
 */
#include <sys/epoll.h>

#include "common.h"

enum { PATIENCE_MS = 60000 };

int main(int argc, char **argv)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	union address a;
	socklen_t len;
	int64_t until;
	int fd, ep, err;

	if (argc < 4)
		return 2;
	len = parse_address(&a, argv[1], argv[2]);
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0 || ep < 0)
		die("set-up");
	err = connect(fd, &a.any, len) ? errno : 0;
	printf("connect: %s\n", err_name(err));
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e))
		die("epoll_ctl");
	until = now_ms() + PATIENCE_MS;
	while (now_ms() < until) {
		if (epoll_wait(ep, &e, 1, 1) == 1) {
			until = now_ms() + atoi(argv[3]);
			printf("edge: %s%s%s%s%s\n", e.events & EPOLLIN ? "IN " : "",
			       e.events & EPOLLOUT ? "OUT " : "", e.events & EPOLLERR ? "ERR " : "",
			       e.events & EPOLLHUP ? "HUP " : "",
			       e.events & EPOLLRDHUP ? "RDHUP " : "");
		}
	}
	printf("SO_ERROR: %s\n", err_name(so_error(fd)));
	return 0;
}
