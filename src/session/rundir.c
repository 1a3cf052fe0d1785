/* SPDX-License-Identifier: MIT */
/*
 * rundir.c - the user's runtime directory: sockets and locks of the tunnel processes
 *
 * Whoever can write there could pose as the tunnel process. So it is a directory of our own, mode
 * 0700, and what counts is checked on the descriptor, not on the path: another user may have
 * put something else there first (/tmp, /dev/shm). One of ours that others may enter is closed to
 * them; one where everybody may write is everybody's, like /tmp for root, and is left alone.
 *
 * A tunnel process cannot remove its sockets (it is sandboxed), so whoever starts the next one
 * sweeps: what is not listened on and not locked is dead. A lock file may be swept between another
 * process's open and flock; so a lock counts only if the file still has its name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "src/base/loop.h"
#include "src/session/channel.h"
#include "src/session/rundir.h"
#include "src/session/say.h"

enum {
	REASON_BYTES = 160,
	/* Peers take 50 initiations a second (wg/messages.h), the first one of a process comes when
	 * it has started, and the file's time may be a tick of the kernel's behind */
	START_GAP_MS = 30,
};

/** try_dir() - makes and opens @path. Returns the descriptor, or -1 with @reason */
static int try_dir(const char *path, char reason[REASON_BYTES])
{
	struct stat st;
	int fd;

	if (mkdir(path, 0700) && errno != EEXIST) {
		snprintf(reason, REASON_BYTES, "%s", strerror(errno));
		return -1;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		snprintf(reason, REASON_BYTES, "%s",
			 errno == ENOTDIR || errno == ELOOP ? "not a directory" : strerror(errno));
		return -1;
	}
	if (fstat(fd, &st))
		snprintf(reason, REASON_BYTES, "%s", strerror(errno));
	else if (st.st_uid != geteuid())
		snprintf(reason, REASON_BYTES, "belongs to user %u", (unsigned int)st.st_uid);
	else if (st.st_mode & (S_ISVTX | S_IWOTH))
		snprintf(reason, REASON_BYTES, "everybody may write there");
	else if ((st.st_mode & 077) && fchmod(fd, 0700))
		snprintf(reason, REASON_BYTES, "others may enter it");
	else if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS))
		snprintf(reason, REASON_BYTES, "%s", strerror(errno));
	else
		return fd;
	close(fd);
	return -1;
}

/** consider() - tries @format with @part filled in; a line of reasons grows in @why */
static bool consider(struct wgw_rundir *dir, char *why, size_t size, const char *format,
		     const char *part)
{
	char path[PATH_MAX], reason[REASON_BYTES];
	size_t n = strlen(why);
	int len;

	if (!part || part[0] == '\0' || (format[0] == '%' && part[0] != '/'))
		return false;
	len = snprintf(path, sizeof(path), format, part);
	if (len >= WGW_RUNDIR_BYTES)
		snprintf(reason, sizeof(reason), "name is too long for a socket");
	else
		dir->fd = try_dir(path, reason);
	if (dir->fd >= 0) {
		memcpy(dir->path, path, (size_t)len + 1);
		return true;
	}
	snprintf(why + n, size - n, "%s%s: %s", n ? "; " : "", path, reason);
	wgw_say(WGW_SAY_DEBUG, "runtime directory %s cannot be used: %s", path, reason);
	return false;
}

void wgw_rundir_open(struct wgw_rundir *dir)
{
	char uid[16], why[1024] = "";

	memset(dir, 0, sizeof(*dir));
	dir->fd = -1;
	snprintf(uid, sizeof(uid), "%u", (unsigned int)geteuid());
	if (consider(dir, why, sizeof(why), "%s", getenv("WGWRAP_RUNTIME_DIR")) ||
	    consider(dir, why, sizeof(why), "%s/wgwrap", getenv("XDG_RUNTIME_DIR")) ||
	    consider(dir, why, sizeof(why), "/run/user/%s/wgwrap", uid) ||
	    consider(dir, why, sizeof(why), "/dev/shm/wgwrap-%s", uid) ||
	    consider(dir, why, sizeof(why), "/tmp/wgwrap-%s", uid))
		return;
	wgw_say(WGW_SAY_WARNING,
		"no runtime directory, so this command gets a tunnel of its own (%s)", why);
}

/** is_current() - whether @fd is what @file names */
static bool is_current(int dir, const char *file, int fd)
{
	struct stat a, b;

	return !fstat(fd, &a) && !fstatat(dir, file, &b, AT_SYMLINK_NOFOLLOW) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int wgw_rundir_lock(const struct wgw_rundir *dir, const char *name, bool wait)
{
	char file[WGW_TUNNEL_NAME_BYTES + 8];

	snprintf(file, sizeof(file), "%s.lock", name);
	for (;;) {
		int fd = openat(dir->fd, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		int err;

		if (fd < 0)
			return -errno;
		do
			err = flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) ? -errno : 0;
		while (err == -EINTR);
		if (!err && is_current(dir->fd, file, fd))
			return fd;
		close(fd);
		if (err)
			return err;
	}
}

uint64_t wgw_rundir_start_gap(int lock)
{
	struct timespec now;
	struct stat st;
	int64_t age;

	/* who starts a process writes the lock; without a start the file is empty */
	if (fstat(lock, &st) || st.st_size == 0 || clock_gettime(CLOCK_REALTIME, &now) ||
	    now.tv_sec > st.st_mtim.tv_sec + 1)
		return 0;
	age = (int64_t)(now.tv_sec - st.st_mtim.tv_sec) * (int64_t)WGW_SEC_NS + now.tv_nsec -
	      st.st_mtim.tv_nsec;
	if (age < 0 || age >= START_GAP_MS * (int64_t)WGW_MS_NS)
		return 0;
	return START_GAP_MS * WGW_MS_NS - (uint64_t)age;
}

/** sweep_one() - removes the files of @name if its tunnel process is dead */
static void sweep_one(const struct wgw_rundir *dir, const char *name)
{
	static const char *const kinds[] = {"s", "q", "sock", "lock"};
	char path[WGW_PATH_PREFIX_MAX_BYTES], file[WGW_TUNNEL_NAME_BYTES + 8];
	int lock = wgw_rundir_lock(dir, name, false), fd;

	if (lock < 0)
		return;
	snprintf(path, sizeof(path), "%s/%s", dir->path, name);
	fd = wgw_channel_connect(path, NULL);
	if (fd == -ECONNREFUSED || fd == -ENOENT) {
		for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
			snprintf(file, sizeof(file), "%s.%s", name, kinds[i]);
			unlinkat(dir->fd, file, 0);
		}
	}
	if (fd >= 0)
		close(fd);
	close(lock);
}

/** copy_lock() - the random part of the abstract names, which stay */
static void copy_lock(const struct wgw_rundir *dir, const char *from, int lock)
{
	uint8_t abstract[WGW_ABSTRACT_BYTES];
	char file[WGW_TUNNEL_NAME_BYTES + 8];
	int old;

	snprintf(file, sizeof(file), "%s.lock", from);
	old = openat(dir->fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (old >= 0 && pread(old, abstract, sizeof(abstract), 0) == (ssize_t)sizeof(abstract) &&
	    pwrite(lock, abstract, sizeof(abstract), 0) < 0)
		wgw_say(WGW_SAY_WARNING, "%s: %s", file, strerror(errno));
	if (old >= 0)
		close(old);
}

void wgw_rundir_rename(const struct wgw_rundir *dir, const char *from, const char *to, int lock)
{
	/* .q is last: by it others find the tunnel */
	static const char *const kinds[] = {"s", "sock", "q"};
	char old[WGW_TUNNEL_NAME_BYTES + 8], new[WGW_TUNNEL_NAME_BYTES + 8];

	copy_lock(dir, from, lock);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		snprintf(old, sizeof(old), "%s.%s", from, kinds[i]);
		snprintf(new, sizeof(new), "%s.%s", to, kinds[i]);
		if (renameat(dir->fd, old, dir->fd, new))
			wgw_say(WGW_SAY_WARNING, "%s: %s", old, strerror(errno));
	}
	sweep_one(dir, from);
}

void wgw_rundir_sweep(const struct wgw_rundir *dir, const char *name)
{
	const size_t digits = WGW_TUNNEL_NAME_BYTES - 1;
	DIR *list = opendir(dir->path);
	struct dirent *entry;

	while (list && (entry = readdir(list))) {
		char found[WGW_TUNNEL_NAME_BYTES];

		if (strspn(entry->d_name, "0123456789abcdef") != digits ||
		    strcmp(entry->d_name + digits, ".lock") != 0)
			continue;
		memcpy(found, entry->d_name, digits);
		found[digits] = '\0';
		if (strcmp(found, name) != 0)
			sweep_one(dir, found);
	}
	if (list)
		closedir(list);
}

bool wgw_unix_is_stale(const struct sockaddr_un *sun)
{
	struct stat st;
	int fd, err;

	if (lstat(sun->sun_path, &st) || !S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = fd >= 0 && connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) ? errno : 0;
	if (fd >= 0)
		close(fd);
	return err == ECONNREFUSED;
}
