/* SPDX-License-Identifier: MIT */
/*
 * target.c - memory and descriptors of the program that waits
 *
 * Both are reached through the thread id of the notification. An id may be used again when its
 * thread has gone, so every look is followed by wgw_call_valid() before anything is done with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/capture/call.h"
#include "src/repr/apps.h"
#include "src/repr/raw.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

enum { PAGE_MIN_BYTES = 4096 };

/** group_of() - the process that thread @tid belongs to, -1: gone */
static pid_t group_of(pid_t tid)
{
	char path[32], text[1024], *at;
	int fd, group;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, "\nTgid:");
	return at && sscanf(at, "\nTgid: %d", &group) == 1 ? group : -1;
}

/** open_pidfd() - of the thread itself where the kernel can (6.9), else of its process */
static void open_pidfd(struct wgw_call *c)
{
	c->group = 0;
	c->pidfd = (int)syscall(SYS_pidfd_open, c->tid, PIDFD_THREAD);
	if (c->pidfd >= 0 || errno != EINVAL)
		return;
	c->group = group_of(c->tid);
	c->pidfd = c->group < 0 ? -1 : (int)syscall(SYS_pidfd_open, c->group, 0);
}

/** take_pidfd() - one that an earlier call of the same thread has left. Whether it still is of that
 * thread shows when it is used: an id is not used again while the pidfd's owner has it, and of who
 * has it no more pidfd_getfd() says ESRCH. A process keeps its id, but its threads need not. */
static bool take_pidfd(struct wgw_call *c)
{
	struct wgw_capture *k = c->capture;
	bool found = false;

	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < WGW_PIDFDS_MAX && !found; i++) {
		if (k->pidfds[i].tid != c->tid)
			continue;
		found = true;
		c->pidfd = k->pidfds[i].fd;
		c->group = k->pidfds[i].group;
		k->pidfds[i].tid = 0;
	}
	pthread_mutex_unlock(&k->lock);
	if (found && c->group && syscall(SYS_tgkill, c->group, c->tid, 0) && errno == ESRCH) {
		close(c->pidfd);
		found = false;
	}
	return found;
}

/** leave_pidfd() - in place of the one that was left longest ago */
static void leave_pidfd(struct wgw_call *c)
{
	struct wgw_capture *k = c->capture;
	struct wgw_pidfd *place, old;

	pthread_mutex_lock(&k->lock);
	place = &k->pidfds[k->next_pidfd++ % WGW_PIDFDS_MAX];
	for (size_t i = 0; i < WGW_PIDFDS_MAX; i++) {
		if (!k->pidfds[i].tid)
			place = &k->pidfds[i];
	}
	old = *place;
	*place = (struct wgw_pidfd){.tid = c->tid, .group = c->group, .fd = c->pidfd};
	pthread_mutex_unlock(&k->lock);
	if (old.tid)
		close(old.fd);
}

static bool is_kept(const struct wgw_capture *k, int fd)
{
	uint64_t inode = wgw_raw_inode(fd);

	for (size_t i = 0; i < k->n_kept; i++) {
		if (k->kept[i] == inode)
			return true;
	}
	return false;
}

/** adopt() - a connection that the program accepted without our help becomes ours */
static bool adopt(struct wgw_call *c)
{
	struct wgw_label label;
	uint64_t tag =
		WGW_TAG_MAGIC | WGW_TAG_ACCEPTED | wgw_tag_mark(c->capture->session.label_key);

	if (!wgw_repr_label(&c->capture->session, c->fd, true, &label) ||
	    label.outcome != WGW_OUTCOME_ACCEPTED)
		return false;
	if (label.v6)
		tag |= WGW_TAG_V6;
	return wgw_repr_tag_change(c->fd, tag, 0) == 0 && wgw_repr_tag(c->fd, &c->tag);
}

static enum wgw_socket_class classify(struct wgw_call *c)
{
	int domain;
	socklen_t len = sizeof(domain);

	if (wgw_repr_tag(c->fd, &c->tag))
		return wgw_tag_has_mark(c->tag, c->capture->session.label_key) ? WGW_SOCKET_OURS
									       : WGW_SOCKET_OTHER;
	if (wgw_raw_getsockopt(c->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return WGW_SOCKET_OTHER;
	if (domain == AF_UNIX)
		return adopt(c) ? WGW_SOCKET_OURS : WGW_SOCKET_OTHER;
	if (domain == AF_NETLINK || is_kept(c->capture, c->fd))
		return WGW_SOCKET_OTHER;
	return WGW_SOCKET_IP;
}

/** look() - what @c->fd is. Its turn is taken first: the call before this one may change the tag, and
 * take that back */
static void look(struct wgw_call *c)
{
	wgw_busy_lock(c);
	c->what = classify(c);
	if (c->what != WGW_SOCKET_OURS)
		wgw_busy_unlock(c);
}

/** get_descriptor() - sets @c->pidfd and @c->fd; or -1 with errno */
static void get_descriptor(struct wgw_call *c)
{
	bool again = take_pidfd(c);

	if (!again)
		open_pidfd(c);
	if (c->pidfd < 0)
		return;
	c->fd = (int)syscall(SYS_pidfd_getfd, c->pidfd, (int)c->args[0], 0);
	if (c->fd >= 0 || !again || errno != ESRCH)
		return;
	close(c->pidfd);
	open_pidfd(c);
	if (c->pidfd >= 0)
		c->fd = (int)syscall(SYS_pidfd_getfd, c->pidfd, (int)c->args[0], 0);
}

int wgw_target_open(struct wgw_call *c)
{
	if (c->tid == 0) { /* a process that has gone to a PID namespace which is not below ours */
		c->what = WGW_SOCKET_UNKNOWN;
		return 0;
	}
	get_descriptor(c);
	if (c->pidfd < 0)
		return -errno;
	if (c->fd >= 0) {
		look(c);
		return 0;
	}
	if (errno != EPERM && errno != ENOSYS && errno != EACCES)
		return -errno;
	c->what = WGW_SOCKET_UNKNOWN;
	if (c->capture->copies)
		c->fd = wgw_copies_find(c->capture->copies, c->tid, (int)c->args[0], &c->what);
	if (c->fd >= 0)
		look(c);
	return 0;
}

bool wgw_target_is_there(const struct wgw_call *c)
{
	char path[64], target[64];
	unsigned long long inode;
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)c->tid, (int)c->args[0]);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return errno != ENOENT;
	target[len] = '\0';
	return sscanf(target, "socket:[%llu]", &inode) == 1 && inode == wgw_raw_inode(c->fd);
}

void wgw_target_close(struct wgw_call *c)
{
	if (c->fd >= 0)
		close(c->fd);
	if (c->pidfd >= 0 && !c->capture->copies)
		leave_pidfd(c);
	else if (c->pidfd >= 0)
		close(c->pidfd); /* nothing would show that it is another's */
	c->fd = c->pidfd = -1;
}

bool wgw_target_is_outside(const struct wgw_call *c)
{
	char path[32], exe[PATH_MAX];
	ssize_t len;

	if (!c->capture->apps)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)c->tid);
	len = readlink(path, exe, sizeof(exe) - 1);
	if (len < 0 || !wgw_call_valid(c))
		return false; /* in the tunnel when in doubt */
	exe[len] = '\0';
	return wgw_apps_outside(c->capture->apps, exe);
}

void wgw_pieces_begin(struct wgw_pieces *p, const struct wgw_call *c, bool write)
{
	p->c = c;
	p->near = NULL;
	p->write = write;
	p->failed = false;
	p->n = 0;
}

/* Nothing is written for a call that a signal has ended: its buffers are then used for something
 * else. The answer does not reach the program either, so what was done is kept or taken back. */
int wgw_pieces_copy(struct wgw_pieces *p)
{
	if (p->n > 0 && !p->failed) {
		if (p->write)
			p->failed = !wgw_call_valid(p->c) || wgw_memory_write(p->c->tid, p);
		else
			p->failed = wgw_memory_read(p->c->tid, p) != 0;
	}
	p->n = 0;
	return p->failed ? -EFAULT : 0;
}

/** find_near() - the place in @near of @len bytes from @there on, NULL: not all of them are in it */
static const void *find_near(const struct wgw_near *near, uint64_t there, size_t len)
{
	if (!near || there < near->from || there - near->from > near->len ||
	    len > near->len - (there - near->from))
		return NULL;
	return near->bytes + (there - near->from);
}

void wgw_pieces_add(struct wgw_pieces *p, uint64_t there, const void *here, size_t len)
{
	const void *copy = find_near(p->near, there, len);

	if (len == 0)
		return;
	if (copy) {
		memcpy((void *)here, copy, len);
		return;
	}
	if (p->n == WGW_PIECES_MAX)
		wgw_pieces_copy(p);
	p->here[p->n] = (struct iovec){(void *)here, len};
	p->there[p->n] = (struct iovec){(void *)(uintptr_t)there, len};
	p->n++;
}

int wgw_target_read(const struct wgw_call *c, uint64_t from, void *to, size_t len)
{
	struct wgw_pieces p;

	wgw_pieces_begin(&p, c, false);
	wgw_pieces_add(&p, from, to, len);
	return wgw_pieces_copy(&p);
}

/* A page is there, or not, as a whole: what is around the bytes in it is as readable as they are. */
int wgw_target_read_near(const struct wgw_call *c, uint64_t from, void *to, size_t len,
			 struct wgw_near *near)
{
	uint64_t page = from & ~(uint64_t)(PAGE_MIN_BYTES - 1), end = page + PAGE_MIN_BYTES;
	size_t around = (sizeof(near->bytes) - len) / 2;
	int rc;

	near->len = 0;
	if (len > end - from)
		return wgw_target_read(c, from, to, len);
	near->from = from - page > around ? from - around : page;
	if (end - near->from > sizeof(near->bytes))
		end = near->from + sizeof(near->bytes);
	rc = wgw_target_read(c, near->from, near->bytes, (size_t)(end - near->from));
	if (rc)
		return rc;
	near->len = (size_t)(end - near->from);
	memcpy(to, near->bytes + (from - near->from), len);
	return 0;
}

int wgw_target_write(const struct wgw_call *c, uint64_t to, const void *from, size_t len)
{
	struct wgw_pieces p;

	wgw_pieces_begin(&p, c, true);
	wgw_pieces_add(&p, to, from, len);
	return wgw_pieces_copy(&p);
}

int wgw_pieces_add_address(struct wgw_pieces *p, uint64_t to, uint64_t to_len, const void *address,
			   const socklen_t *len)
{
	socklen_t room = 0;
	int rc = wgw_target_read(p->c, to_len, &room, sizeof(room));

	if (rc == 0 && (int)room < 0)
		rc = -EINVAL;
	if (rc)
		return rc;
	wgw_pieces_add(p, to, address, room < *len ? room : *len);
	wgw_pieces_add(p, to_len, len, sizeof(*len));
	return 0;
}

int wgw_target_write_address(const struct wgw_call *c, uint64_t to, uint64_t to_len,
			     const void *address, socklen_t len)
{
	struct wgw_pieces p;
	int rc;

	wgw_pieces_begin(&p, c, true);
	rc = wgw_pieces_add_address(&p, to, to_len, address, &len);
	return rc ? rc : wgw_pieces_copy(&p);
}
