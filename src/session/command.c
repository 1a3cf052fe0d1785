/* SPDX-License-Identifier: MIT */
/*
 * command.c - the last steps between the supervisor and the command
 *
 * The listener of the supervised filter appears in the child, whose calls nobody answers yet. So
 * the child cannot send it; it is made with the parent's table of descriptors, where the listener
 * then is, and takes a table of its own afterwards. No right to trace is needed for that.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/session/session.h"

_Noreturn static void refuse(int err)
{
	wgw_say(WGW_SAY_ERROR, "this kernel does not take the system call filter: %s",
		strerror(-err));
	_exit(WGW_EXIT_FAILED);
}

_Noreturn static void isolate_failed(const char *what)
{
	wgw_say(WGW_SAY_ERROR, "--isolate: %s: %s", what, strerror(errno));
	_exit(WGW_EXIT_FAILED);
}

static void write_map(const char *path, unsigned int id)
{
	char text[32];
	int fd = open(path, O_WRONLY | O_CLOEXEC), len;

	len = snprintf(text, sizeof(text), "%u %u 1\n", id, id);
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		isolate_failed("its ids cannot be kept");
	close(fd);
}

/** isolate() - in the child: an empty network namespace, for --isolate. With a user namespace where
 * that is needed; the ids stay what they are */
static void isolate(const struct wgw_launch *l)
{
	unsigned int uid = geteuid(), gid = getegid();
	int fd;

	if (unshare(CLONE_NEWNET) == 0)
		return;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		isolate_failed("no network namespace can be had");
	/* only a dumpable process may write its maps, so the keys are forgotten first */
	wgw_config_free(l->config);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "deny", 4) != 4)
		isolate_failed("its groups cannot be kept");
	close(fd);
	write_map("/proc/self/uid_map", uid);
	write_map("/proc/self/gid_map", gid);
}

_Noreturn static void become(const struct wgw_run_options *options, const struct wgw_inherited *in,
			     char **environment)
{
	int err;

	wgw_inherited_restore(in);
	wgw_environ_address();
	execvpe(options->command[0], options->command, environment);
	err = errno;
	wgw_say(WGW_SAY_ERROR, "%s: %s", options->command[0],
		err == ENOENT ? "command not found" : strerror(err));
	_exit(err == ENOENT ? WGW_EXIT_NOT_FOUND : WGW_EXIT_NOT_EXECUTABLE);
}

/** hand_over() - in the child: installs the filter and tells the listener's number */
static void hand_over(int to)
{
	int listener = wgw_filter_hand_over();

	if (listener < 0)
		refuse(listener);
	if (write(to, &listener, sizeof(listener)) != (ssize_t)sizeof(listener))
		_exit(WGW_EXIT_FAILED);
}

static pid_t start_supervised(const struct wgw_launch *l, const struct wgw_inherited *in,
			      char **environment, int *listener)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -1;
	/* as vfork(2), this returns when the child has become the command or has failed */
	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		if (l->options->isolate)
			isolate(l);
		hand_over(ends[1]);
		become(l->options, in, environment);
	}
	if (read(ends[0], listener, sizeof(*listener)) != (ssize_t)sizeof(*listener))
		*listener = -1; /* the child has said why, and has ended */
	close(ends[0]);
	close(ends[1]);
	return pid;
}

static pid_t start_filtered(const struct wgw_launch *l, const struct wgw_inherited *in,
			    char **environment)
{
	pid_t pid = fork();
	int err;

	if (pid)
		return pid;
	if (l->options->isolate)
		isolate(l);
	/* privileges would make ld.so ignore the shared object */
	if (l->capture.level == WGW_CAPTURE_NONE)
		err = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
	else
		err = wgw_filter_install();
	if (err)
		refuse(err);
	become(l->options, in, environment);
}

pid_t wgw_command_start(const struct wgw_launch *l, const struct wgw_inherited *in,
			char **environment, int *listener)
{
	pid_t pid;

	*listener = -1;
	if (l->capture.level == WGW_CAPTURE_SUPERVISED)
		pid = start_supervised(l, in, environment, listener);
	else
		pid = start_filtered(l, in, environment);
	if (pid < 0)
		wgw_say(WGW_SAY_ERROR, "cannot start the command: %s", strerror(errno));
	return pid;
}
