/* SPDX-License-Identifier: MIT */
/*
 * rundir.c - the user's runtime directory: sockets and locks of the tunnel processes
 *
 * Whoever can write there could pose as the tunnel process. So it is a directory of our own, mode
 * 0700, and what counts is checked on the descriptor, not on the path: another user may have
 * put something else there first (/tmp, /dev/shm).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/session/session.h"

enum { REASON_BYTES = 160 };

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
	wgw_say(WGW_SAY_INFO, "runtime directory %s cannot be used: %s", path, reason);
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
	wgw_say(WGW_SAY_WARNING, "no runtime directory, so this command gets a tunnel of its own (%s)",
		why);
}
