/* SPDX-License-Identifier: MIT */
/*
 * watches.c - the epoll registrations of a descriptor that is given another socket
 *
 * An epoll knows a registration by the open file and the descriptor, so what was registered before
 * dup3() stays with the old file. /proc tells which epolls of this process have the descriptor, for
 * which events and with which data (proc(5), fdinfo): that is taken out before, and put in again
 * afterwards. Only a second connect or listen on one socket needs it, so that it may take its time.
 * Where /proc cannot be read, or there are more than PRE_WATCHES_MAX, registrations are lost.
 */
#include "preload/pre.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "src/repr/raw.h"

enum { DIRECTORY_BYTES = 1024, TEXT_BYTES = 512, PATH_BYTES = 64 };

/* What getdents64(2) gives; libc has it with another name of its own */
struct entry {
	uint64_t inode;
	int64_t offset;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

/** struct text - a file read by lines: @n bytes are in @bytes, the next line begins at @at */
struct text {
	int fd;
	size_t at, n;
	char bytes[TEXT_BYTES];
};

/* The next line without its end, or NULL. What is longer than TEXT_BYTES is cut into several. */
static char *next_line(struct text *t)
{
	char *line, *end;
	ssize_t got;

	for (;;) {
		line = t->bytes + t->at;
		end = memchr(line, '\n', t->n - t->at);
		if (!end && t->n - t->at == TEXT_BYTES - 1)
			end = t->bytes + t->n;
		if (end) {
			*end = '\0';
			t->at = (size_t)(end - t->bytes) + 1;
			t->at = t->at < t->n ? t->at : t->n;
			return line;
		}
		memmove(t->bytes, line, t->n - t->at);
		t->n -= t->at;
		t->at = 0;
		got = wgw_raw_read(t->fd, t->bytes + t->n, TEXT_BYTES - 1 - t->n);
		if (got <= 0)
			return NULL;
		t->n += (size_t)got;
	}
}

/** digit() - what @c counts for in a number; more than any base: it is no digit */
static unsigned int digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	return c >= 'a' && c <= 'f' ? (unsigned int)(c - 'a') + 10 : UINT_MAX;
}

/* The number behind @name in @line, such as "tfd:"; false: there is none. strtoull() has been another
 * symbol since glibc 2.38, one that musl's loader does not find. */
static bool number(const char *line, const char *name, unsigned int base, uint64_t *value)
{
	const char *at = strstr(line, name), *first;

	if (!at)
		return false;
	at += strlen(name);
	while (*at == ' ')
		at++;
	*value = 0;
	for (first = at; digit(*at) < base; at++)
		*value = *value * base + digit(*at);
	return at != first;
}

/* Takes the registration of @fd, whose inode is @inode, out of the epoll @epoll. */
static void take_from(int epoll, int fd, uint64_t inode, struct pre_watches *w)
{
	struct text t = {.at = 0};
	char path[PATH_BYTES];
	uint64_t target, events, data, its_inode;
	char *line;

	snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", epoll);
	t.fd = wgw_raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (t.fd < 0)
		return;
	while (w->n < PRE_WATCHES_MAX && (line = next_line(&t))) {
		if (!number(line, "tfd:", 10, &target) || target != (uint64_t)fd ||
		    !number(line, "events:", 16, &events) || !number(line, "data:", 16, &data) ||
		    !number(line, "ino:", 16, &its_inode) || its_inode != inode)
			continue;
		if (wgw_raw_call(SYS_epoll_ctl, epoll, EPOLL_CTL_DEL, fd, 0, 0, 0) == 0)
			w->of[w->n++] = (struct pre_watch){epoll, (uint32_t)events, data};
	}
	wgw_raw_close(t.fd);
}

static bool is_epoll(int directory, const char *name)
{
	static const char epoll[] = "anon_inode:[eventpoll]";
	char link[sizeof(epoll)];

	return wgw_raw_call(SYS_readlinkat, directory, (long)name, (long)link, sizeof(link), 0,
			    0) == sizeof(epoll) - 1 &&
	       memcmp(link, epoll, sizeof(epoll) - 1) == 0;
}

void pre_watches_take(int fd, struct pre_watches *w)
{
	union {
		struct entry first;
		char bytes[DIRECTORY_BYTES];
	} d;
	const uint64_t inode = wgw_raw_inode(fd);
	int directory = wgw_raw_openat(AT_FDCWD, "/proc/thread-self/fd",
				       O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	long got;

	w->n = 0;
	if (directory < 0)
		return;
	while ((got = wgw_raw_call(SYS_getdents64, directory, (long)d.bytes, sizeof(d), 0, 0, 0)) >
	       0) {
		const struct entry *e;
		uint64_t fd_there;

		for (long at = 0; at < got; at += e->bytes) {
			e = (const struct entry *)(d.bytes + at);
			if (number(e->name, "", 10, &fd_there) && is_epoll(directory, e->name))
				take_from((int)fd_there, fd, inode, w);
		}
	}
	wgw_raw_close(directory);
}

void pre_watches_give(int fd, const struct pre_watches *w)
{
	for (unsigned int i = 0; i < w->n; i++) {
		struct epoll_event event = {.events = w->of[i].events, .data.u64 = w->of[i].data};

		(void)wgw_raw_call(SYS_epoll_ctl, w->of[i].epoll, EPOLL_CTL_ADD, fd, (long)&event,
				   0, 0);
	}
}
