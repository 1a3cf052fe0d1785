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
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "src/session/command.h"
#include "src/session/inherit.h"
#include "src/session/launch.h"
#include "src/session/program.h"
#include "src/session/run.h"
#include "src/session/say.h"

enum { STACK_BYTES = 64 * 1024, STACK_ALIGN_BYTES = 16 };

_Noreturn static void refuse(int err)
{
	wgw_say(WGW_SAY_ERROR, "cannot install the system call filter: %s", strerror(-err));
	_exit(WGW_RUN_FAILED);
}

_Noreturn static void isolate_failed(const char *what)
{
	wgw_say(WGW_SAY_ERROR, "--isolate: %s: %s", what, strerror(errno));
	_exit(WGW_RUN_FAILED);
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

/** say_not_found() - or what runs it is not: the loader of a program, the interpreter of a script */
static void say_not_found(const char *command)
{
	int err = 0;
	char *path = strchr(command, '/') ? strdup(command) : wgw_search_path(command, &err);
	struct wgw_program p;

	if (path && !access(path, F_OK))
		err = wgw_program_read(path, &p);
	else
		err = -EACCES;
	if (err == -ENOENT || (!err && p.loader[0]))
		wgw_say(WGW_SAY_ERROR, "%s: %s, which is to run it, is not there", command,
			p.loader[0] ? p.loader : p.path);
	else
		wgw_say(WGW_SAY_ERROR, "%s: command not found", command);
	free(path);
}

_Noreturn static void become(const struct wgw_run_options *options, const struct wgw_inherited *in,
			     char **environment)
{
	int err;

	wgw_inherited_restore(in);
	wgw_environ_address();
	execvpe(options->command[0], options->command, environment);
	err = errno;
	if (err == ENOENT)
		say_not_found(options->command[0]);
	else
		wgw_say(WGW_SAY_ERROR, "%s: %s", options->command[0], strerror(err));
	_exit(err == ENOENT ? WGW_RUN_NOT_FOUND : WGW_RUN_NOT_EXECUTABLE);
}

/** hand_over() - in the child: installs the filter and tells the listener's number */
static void hand_over(int to)
{
	int listener = wgw_filter_hand_over();

	if (listener < 0)
		refuse(listener);
	if (write(to, &listener, sizeof(listener)) != (ssize_t)sizeof(listener))
		_exit(WGW_RUN_FAILED);
}

/** struct start - what the child of start_supervised() is made of */
struct start {
	const struct wgw_launch *launch;
	const struct wgw_inherited *in;
	char **environment;
	int to;
};

static int supervised_child(void *arg)
{
	const struct start *s = arg;

	if (s->launch->options->isolate)
		isolate(s->launch);
	hand_over(s->to);
	become(s->launch->options, s->in, s->environment);
}

/** clone_child() - as vfork(2), returns when the child has become the command or has failed. Until
 * then it runs in our memory, on a part of our stack: our pages are not copied for a few calls. Only
 * isolate() needs a copy, as it forgets the keys. The child, or -1 with errno. */
static pid_t clone_child(struct start *start)
{
	const struct wgw_run_options *options = start->launch->options;
	int flags = CLONE_FILES | CLONE_VFORK | SIGCHLD | (options->isolate ? 0 : CLONE_VM);
	size_t argc = 0;

	/* execvpe(3) has them on the stack once more when a shell has to run the file */
	while (options->command[argc])
		argc++;

	char stack[STACK_BYTES + argc * sizeof(*options->command)];
	uintptr_t top = (uintptr_t)(stack + sizeof(stack));

	return clone(supervised_child, (void *)(top - top % STACK_ALIGN_BYTES), flags, start);
}

static pid_t start_supervised(const struct wgw_launch *l, const struct wgw_inherited *in,
			      char **environment, int *listener)
{
	struct start start = {l, in, environment, -1};
	int ends[2], err;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -1;
	start.to = ends[1];
	pid = clone_child(&start);
	err = errno;
	if (read(ends[0], listener, sizeof(*listener)) != (ssize_t)sizeof(*listener))
		*listener = -1; /* the child has said why, and has ended */
	close(ends[0]);
	close(ends[1]);
	errno = err;
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
