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
static int open_pidfd(pid_t tid)
{
	int fd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);
	pid_t group;

	if (fd >= 0 || errno != EINVAL)
		return fd;
	group = group_of(tid);
	return group < 0 ? -1 : (int)syscall(SYS_pidfd_open, group, 0);
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

int wgw_target_open(struct wgw_call *c)
{
	c->pidfd = open_pidfd(c->tid);
	if (c->pidfd < 0)
		return -errno;
	c->fd = (int)syscall(SYS_pidfd_getfd, c->pidfd, (int)c->args[0], 0);
	if (c->fd >= 0) {
		c->what = classify(c);
		return 0;
	}
	if (errno != EPERM && errno != ENOSYS && errno != EACCES)
		return -errno;
	c->what = WGW_SOCKET_UNKNOWN;
	if (c->capture->copies)
		c->fd = wgw_copies_find(c->capture->copies, c->tid, (int)c->args[0], &c->what);
	if (c->fd >= 0)
		c->what = classify(c);
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
	if (c->pidfd >= 0)
		close(c->pidfd);
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

int wgw_target_read(const struct wgw_call *c, uint64_t from, void *to, size_t len)
{
	return len == 0 || wgw_memory_read(c->tid, from, to, len) == 0 ? 0 : -EFAULT;
}

/* Nothing is written for a call that a signal has ended: its buffers are then used for something
 * else. The answer does not reach the program either, so what was done is kept or taken back. */
int wgw_target_write(const struct wgw_call *c, uint64_t to, const void *from, size_t len)
{
	if (!wgw_call_valid(c))
		return -EFAULT;
	return len == 0 || wgw_memory_write(c->tid, to, from, len) == 0 ? 0 : -EFAULT;
}

int wgw_target_write_address(const struct wgw_call *c, uint64_t to, uint64_t to_len,
			     const void *address, socklen_t len)
{
	socklen_t room;
	int rc = wgw_target_read(c, to_len, &room, sizeof(room));

	if (rc == 0 && (int)room < 0)
		rc = -EINVAL;
	if (rc == 0)
		rc = wgw_target_write(c, to, address, room < len ? room : len);
	return rc ? rc : wgw_target_write(c, to_len, &len, sizeof(len));
}
