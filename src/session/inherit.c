/* SPDX-License-Identifier: MIT */
/*
 * inherit.c - what wgwrap was started with, and how the command gets it unchanged
 *
 * Descriptors 0-2 that are closed would be taken by the first thing wgwrap opens, and a message
 * would end up in it. They are occupied while wgwrap runs and closed again for the command.
 *
 * An IP socket that is inherited reaches the network outside the tunnel without socket(2), so the
 * filter does not see it. The command does not get it. Where it would obviously be missed
 * (standard descriptors, socket activation) the run is refused instead, unless --keep-fd says
 * that it may stay.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/descriptors.h"
#include "src/session/inherit.h"
#include "src/session/run.h"
#include "src/session/say.h"

enum { ACTIVATION_FIRST = 3 }; /* SD_LISTEN_FDS_START */

int wgw_inherited_take(struct wgw_inherited *in)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};

	memset(in, 0, sizeof(*in));
	for (int fd = 0; fd < WGW_STDIO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		/* the lowest free descriptor is fd: those below are open */
		if (open("/dev/null", O_RDWR) != fd && open("/", O_PATH | O_DIRECTORY) != fd) {
			wgw_say(WGW_SAY_ERROR, "cannot occupy closed descriptor %d: %s", fd,
				strerror(errno));
			return -1;
		}
		in->stdio_closed |= 1U << fd;
	}
	if (sigprocmask(SIG_BLOCK, NULL, &in->mask) || sigaction(SIGCHLD, &dfl, &in->chld) ||
	    sigaction(SIGPIPE, NULL, &in->pipe) || sigaction(SIGXFSZ, NULL, &in->xfsz) ||
	    getrlimit(RLIMIT_FSIZE, &in->file_size)) {
		wgw_say(WGW_SAY_ERROR, "signals: %s", strerror(errno));
		return -1;
	}
	return 0;
}

void wgw_inherited_restore(const struct wgw_inherited *in)
{
	for (size_t i = 0; i < in->n_close; i++)
		close(in->close[i]);
	for (int fd = 0; fd < WGW_STDIO; fd++) {
		if (in->stdio_closed & 1U << fd)
			close(fd);
	}
	setrlimit(RLIMIT_FSIZE, &in->file_size);
	sigaction(SIGCHLD, &in->chld, NULL);
	sigaction(SIGPIPE, &in->pipe, NULL);
	sigaction(SIGXFSZ, &in->xfsz, NULL);
	sigprocmask(SIG_SETMASK, &in->mask, NULL);
}

/** is_network() - whether @fd would survive exec and is a socket that leaves this machine */
static bool is_network(int fd)
{
	int flags = fcntl(fd, F_GETFD), domain;
	socklen_t len = sizeof(domain);

	if (flags < 0 || (flags & FD_CLOEXEC))
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len))
		return false;
	return domain != AF_UNIX && domain != AF_NETLINK;
}

static bool is_kept(int fd, const struct wgw_run_options *options)
{
	for (unsigned int i = 0; i < options->n_keep_fds; i++) {
		if (options->keep_fds[i] == fd)
			return true;
	}
	return false;
}

/** number() - of the environment; 0: there is none, or it is no such number. One that is too large
 * counts as the largest */
static long number(const char *name)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 10) : 0;
}

/** is_activation() - whether @fd is one of those of sd_listen_fds(3) for this process */
static bool is_activation(int fd)
{
	return number("LISTEN_PID") == (long)getpid() && fd >= ACTIVATION_FIRST &&
	       fd - ACTIVATION_FIRST < number("LISTEN_FDS");
}

/** keep() - remembers that the command may have @fd; -1: no memory */
static int keep(struct wgw_inherited *in, int fd)
{
	uint64_t *more = realloc(in->kept, (in->n_kept + 1) * sizeof(*more));
	struct stat st;

	if (!more || fstat(fd, &st)) {
		in->kept = more ? more : in->kept;
		wgw_say(WGW_SAY_ERROR, "descriptor %d: %s", fd, strerror(errno));
		return -1;
	}
	in->kept = more;
	in->kept[in->n_kept++] = st.st_ino;
	return 0;
}

/** check_one() - puts @fd on the list when the command must not have it; -1: refused */
static int check_one(struct wgw_inherited *in, int fd, const struct wgw_run_options *options)
{
	int *more;

	if (!is_network(fd))
		return 0;
	if (is_kept(fd, options))
		return keep(in, fd);
	if (fd < WGW_STDIO || is_activation(fd)) {
		wgw_say(WGW_SAY_ERROR,
			"descriptor %d is an inherited IP socket, which is not in the tunnel; "
			"--keep-fd %d lets the command have it all the same",
			fd, fd);
		return -1;
	}
	more = realloc(in->close, (in->n_close + 1) * sizeof(*more));
	if (!more) {
		wgw_say(WGW_SAY_ERROR, "out of memory");
		return -1;
	}
	in->close = more;
	in->close[in->n_close++] = fd;
	wgw_say(WGW_SAY_WARNING,
		"descriptor %d is an inherited IP socket; the command does not get it (--keep-fd "
		"%d)",
		fd, fd);
	return 0;
}

int wgw_inherited_check(struct wgw_inherited *in, const struct wgw_run_options *options)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	struct rlimit limit;
	int err = 0;

	if (dir) {
		while (!err && (entry = readdir(dir))) {
			if (entry->d_name[0] != '.')
				err = check_one(in, atoi(entry->d_name), options);
		}
		closedir(dir);
		return err;
	}
	/* without /proc: every number there may be */
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_max > WGW_DESCRIPTORS_MAX)
		limit.rlim_max = WGW_DESCRIPTORS_MAX;
	for (int fd = 0; !err && fd < (int)limit.rlim_max; fd++)
		err = check_one(in, fd, options);
	return err;
}
