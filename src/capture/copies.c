/* SPDX-License-Identifier: MIT */
/*
 * copies.c - descriptors of programs where pidfd_getfd(2) is refused, as in Docker's default
 * profile
 *
 * What a program got from us we can keep a copy of, and find again by the inode of the program's
 * descriptor, which /proc tells. What it did not get from us is not one of our sockets, as long as
 * /proc says that it is no IP socket.
 *
 * A copy keeps the socket open after the program has closed it. So a thread looks again and again
 * which of them anybody still holds; ends of connections are seen that much later.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "src/capture/call.h"
#include "src/repr/raw.h"

enum { SWEEP_MS = 100 };

/** struct copy - @given: the program has it, or had it */
struct copy {
	uint64_t inode;
	bool given;
	int fd;
};

struct wgw_copies {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	wgw_capture_scan *scan;
	struct copy *at;
	size_t n, room;
};

void wgw_copies_add(struct wgw_copies *k, int fd)
{
	struct copy copy = {.inode = wgw_raw_inode(fd), .fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)};

	if (copy.fd < 0)
		return; /* calls on it then fail */
	pthread_mutex_lock(&k->lock);
	if (k->n == k->room) {
		size_t room = k->room ? 2 * k->room : 64;
		struct copy *more = reallocarray(k->at, room, sizeof(*more));

		if (!more) {
			pthread_mutex_unlock(&k->lock);
			close(copy.fd);
			return;
		}
		k->at = more;
		k->room = room;
	}
	k->at[k->n++] = copy;
	pthread_cond_signal(&k->filled);
	pthread_mutex_unlock(&k->lock);
}

/** names_inode() - whether a word of /proc/@tid/net/@table is @inode */
static bool names_inode(pid_t tid, const char *table, uint64_t inode)
{
	char path[64], line[512], wanted[32];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)tid, table);
	snprintf(wanted, sizeof(wanted), " %" PRIu64, inode);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, wanted);
		size_t len = strlen(wanted);

		found = at && (at[len] == ' ' || at[len] == '\n');
	}
	if (f)
		fclose(f);
	return found;
}

static enum wgw_socket_class class_of(pid_t tid, const struct stat *st)
{
	if (!S_ISSOCK(st->st_mode) || names_inode(tid, "unix", st->st_ino) ||
	    names_inode(tid, "netlink", st->st_ino))
		return WGW_SOCKET_OTHER;
	return WGW_SOCKET_UNKNOWN;
}

int wgw_copies_find(struct wgw_copies *k, pid_t tid, int number, enum wgw_socket_class *what)
{
	char path[64];
	struct stat st;
	int fd = -1;

	*what = WGW_SOCKET_UNKNOWN;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)tid, number);
	if (stat(path, &st)) {
		if (errno == ENOENT)
			*what = WGW_SOCKET_OTHER; /* no such descriptor: the kernel says so */
		return -1;
	}
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < k->n && fd < 0; i++) {
		if (k->at[i].inode == st.st_ino)
			fd = fcntl(k->at[i].fd, F_DUPFD_CLOEXEC, 0);
	}
	pthread_mutex_unlock(&k->lock);
	if (fd < 0)
		*what = class_of(tid, &st);
	return fd;
}

void wgw_copies_given(struct wgw_copies *k, int fd)
{
	uint64_t inode = wgw_raw_inode(fd);

	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < k->n; i++) {
		if (k->at[i].inode == inode)
			k->at[i].given = true;
	}
	pthread_mutex_unlock(&k->lock);
}

/** list() - the next inodes from *@at on that programs got; how many */
static unsigned int list(struct wgw_copies *k, size_t *at, uint64_t *inode)
{
	unsigned int n = 0;

	pthread_mutex_lock(&k->lock);
	for (; *at < k->n && n < WGW_CAPTURE_SCAN_MAX; ++*at) {
		if (k->at[*at].given)
			inode[n++] = k->at[*at].inode;
	}
	pthread_mutex_unlock(&k->lock);
	return n;
}

/** drop() - closes the copies of @inode */
static void drop(struct wgw_copies *k, uint64_t inode)
{
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < k->n; i++) {
		if (k->at[i].inode != inode)
			continue;
		close(k->at[i].fd);
		k->at[i--] = k->at[--k->n];
	}
	pthread_mutex_unlock(&k->lock);
}

void wgw_copies_sweep(struct wgw_copies *k)
{
	uint64_t inode[WGW_CAPTURE_SCAN_MAX], held[WGW_CAPTURE_SCAN_MAX / 64];
	size_t at = 0;
	unsigned int n;

	while ((n = list(k, &at, inode)) > 0) {
		k->scan(inode, n, held);
		for (unsigned int i = 0; i < n; i++) {
			if (!(held[i / 64] & UINT64_C(1) << i % 64))
				drop(k, inode[i]);
		}
	}
}

static void *sweep(void *arg)
{
	const struct timespec pause = {0, SWEEP_MS * 1000000L};
	struct wgw_copies *k = arg;

	for (;;) {
		pthread_mutex_lock(&k->lock);
		while (k->n == 0)
			pthread_cond_wait(&k->filled, &k->lock);
		pthread_mutex_unlock(&k->lock);
		nanosleep(&pause, NULL);
		wgw_copies_sweep(k);
	}
	return NULL;
}

struct wgw_copies *wgw_copies_start(wgw_capture_scan *scan)
{
	struct wgw_copies *k = calloc(1, sizeof(*k));
	pthread_t thread;
	int err;

	if (!k)
		return NULL;
	k->scan = scan;
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->filled, NULL);
	err = pthread_create(&thread, NULL, sweep, k);
	if (err == 0)
		return k;
	free(k);
	errno = err;
	return NULL;
}
