/* SPDX-License-Identifier: MIT */
/*
 * probe.c - what this machine lets us do
 *
 * Kernel versions do not tell: containers, Yama and other filters change the answer. So every
 * primitive is tried once, on a child that makes one call of each kind. Some filters kill instead
 * of refusing (systemd's SystemCallFilter=), so under a filter the trying is a child's, too.
 *
 * The first child shares our memory, so that none is copied at every start. When all works with it,
 * that is the answer. Whatever does not work is tried again on a child with memory of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/capture/call.h"
#include "src/repr/raw.h"

enum { ANSWER_MS = 5000, STACK_BYTES = 64 * 1024, STACK_ALIGN_BYTES = 16 };
enum { CHILD_FILTERED = 0, CHILD_FAILED = 1 };

static void degrade(struct wgw_capture_probe *probe, enum wgw_capture_level level, const char *why,
		    int err)
{
	probe->level = level;
	snprintf(probe->why, sizeof(probe->why), "%s (%s)", why, strerror(err));
}

/** wait_status() - of child @pid */
static int wait_status(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return status;
}

/** try_filter() - whether the fail-closed filter can be had: *err is 0, or why not.
 * Return: 0, or -errno when it cannot be tried */
static int try_filter(int *err)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(-wgw_filter_install());
	status = wait_status(pid);
	*err = WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
	return 0;
}

/** child() - installs the filter and makes the calls that are then answered: socket(2), and
 * bind(2) with an address in this child's memory. By bare system calls: errno may be its parent's,
 * too */
static int child(void *arg)
{
	struct sockaddr address = {.sa_family = AF_UNIX};
	int to = (int)(intptr_t)arg, listener, fd;

	wgw_raw_call(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0, 0);
	listener = wgw_filter_hand_over_trial();
	if (wgw_raw_call(SYS_write, to, (long)&listener, sizeof(listener), 0, 0, 0) !=
		    (long)sizeof(listener) ||
	    listener < 0)
		return CHILD_FAILED;
	fd = wgw_raw_socket(AF_INET, SOCK_STREAM, 0);
	return fd < 0 || wgw_raw_bind(fd, &address, sizeof(address)) ? CHILD_FAILED
								     : CHILD_FILTERED;
}

/** next() - waits for a notification; false: errno */
static bool next(int listener, struct seccomp_notif *n)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};

	memset(n, 0, sizeof(*n));
	if (poll(&p, 1, ANSWER_MS) != 1 || !(p.revents & POLLIN)) {
		errno = ETIMEDOUT;
		return false;
	}
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, n) == 0;
}

/** answer_socket() - gives the child a descriptor */
static bool answer_socket(int listener, int fd)
{
	struct seccomp_notif n;
	struct seccomp_notif_addfd add = {.flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t)fd};

	if (!next(listener, &n))
		return false;
	add.id = n.id;
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0;
}

/** look() - takes the child's descriptor and reads its memory; false: errno */
static bool look(const struct seccomp_notif *n, struct wgw_capture_probe *probe)
{
	struct sockaddr address = {0};
	struct wgw_pieces piece;
	int pidfd = (int)syscall(SYS_pidfd_open, n->pid, 0);
	int fd, rc;

	if (pidfd < 0)
		return false;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, (int)n->data.args[0], 0);
	probe->without_getfd = fd < 0;
	if (fd >= 0)
		close(fd);
	close(pidfd);
	/* written back as it was: answers need that */
	wgw_pieces_begin(&piece, NULL, false);
	wgw_pieces_add(&piece, n->data.args[1], &address, sizeof(address));
	rc = wgw_memory_read((pid_t)n->pid, &piece);
	if (rc == 0)
		rc = wgw_memory_write((pid_t)n->pid, &piece);
	errno = -rc;
	return rc == 0 && address.sa_family == AF_UNIX;
}

/** answer_bind() - lets the kernel carry it out */
static bool answer_bind(int listener, struct wgw_capture_probe *probe)
{
	struct seccomp_notif_resp resp = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
	struct seccomp_notif n;

	if (!next(listener, &n) || !look(&n, probe))
		return false;
	resp.id = n.id;
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp) == 0;
}

/** yama_forbids() - whether no process may reach into another: scope 3, and 2 for who has no
 * CAP_SYS_PTRACE. In scope 1 an ancestor may (task_is_descendant() in yama_lsm.c, by real_parent),
 * and the supervisor is one, of daemons too: it is their subreaper. See the kernel's
 * admin-guide/LSM/Yama.rst. */
static bool yama_forbids(void)
{
	int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
	char scope = '0';

	if (fd < 0)
		return false;
	if (read(fd, &scope, 1) != 1)
		scope = '0';
	close(fd);
	return scope >= '2';
}

/** round_trip() - one call of each kind through @listener */
static void round_trip(int listener, struct wgw_capture_probe *probe)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || !answer_socket(listener, fd))
		degrade(probe, WGW_CAPTURE_FILTER, "descriptors cannot be given to a program",
			errno);
	else if (!answer_bind(listener, probe))
		degrade(probe, WGW_CAPTURE_FILTER,
			yama_forbids()
				? "kernel.yama.ptrace_scope forbids to reach a program's memory"
				: "the memory of a program cannot be reached",
			errno);
	if (fd >= 0)
		close(fd);
}

/** start_child() - starts a child whose calls are reported. @memory: CLONE_VM, or 0 for its own.
 * Return: 0, or -errno when there is none. A debugger must not see who shares our memory: it takes
 * its breakpoints out of children that it lets go, and so out of us. */
static int start_child(int memory, struct wgw_capture_trial *t)
{
	_Alignas(STACK_ALIGN_BYTES) static char stack[STACK_BYTES];
	int err;

	if (pipe2(t->pipe, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	t->child =
		clone(child, stack + sizeof(stack),
		      memory | (memory ? CLONE_UNTRACED : 0) | CLONE_FILES | CLONE_PIDFD | SIGCHLD,
		      (void *)(intptr_t)t->pipe[1], &t->pidfd);
	if (t->child > 0)
		return 0;
	err = -errno;
	t->child = 0;
	close(t->pipe[0]);
	close(t->pipe[1]);
	return err;
}

/** await_listener() - the listener of the child, or the -errno that it got */
static int await_listener(struct wgw_capture_trial *t)
{
	/* its end is not seen by the pipe, whose other end is in our table, too */
	struct pollfd p[] = {{.fd = t->pipe[0], .events = POLLIN},
			     {.fd = t->pidfd, .events = POLLIN}};
	int listener;

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	if (read(t->pipe[0], &listener, sizeof(listener)) != (ssize_t)sizeof(listener))
		listener = -EIO;
	close(t->pidfd);
	close(t->pipe[0]);
	close(t->pipe[1]);
	return listener;
}

void wgw_capture_probe_end(struct wgw_capture_trial *t)
{
	if (t->child)
		wait_status(t->child);
	t->child = 0;
}

/** without_listener() - what there is when calls are not reported, because of @why and @reason;
 * 0 or -errno */
static int without_listener(struct wgw_capture_probe *probe, const char *why, int reason)
{
	int refused = 0, err = try_filter(&refused);

	if (err == 0 && refused)
		degrade(probe, WGW_CAPTURE_NONE, "this kernel takes no system call filter",
			refused);
	else if (err == 0)
		degrade(probe, WGW_CAPTURE_FILTER, why, reason);
	return err;
}

/** supervise_child() - answers the child's calls. @refused: the errno that it got instead of a
 * listener, or 0 */
static void supervise_child(struct wgw_capture_trial *t, struct wgw_capture_probe *probe,
			    int *refused)
{
	int listener = await_listener(t);

	*probe = (struct wgw_capture_probe){.level = WGW_CAPTURE_SUPERVISED,
					    .nested = listener == -EBUSY};
	*refused = listener < 0 ? -listener : 0;
	if (listener < 0)
		return;
	wgw_listener_wake_here(listener);
	round_trip(listener, probe);
	close(listener); /* what the child still waits for then fails */
}

static int probe_here(struct wgw_capture_probe *probe)
{
	struct wgw_capture_trial t = {0};
	int refused, err = start_child(0, &t);

	if (err)
		return err;
	supervise_child(&t, probe, &refused);
	wgw_capture_probe_end(&t);
	/* a child less where it is not refused: what reports calls is a filter, too */
	if (!refused)
		return 0;
	return without_listener(probe,
				probe->nested ? "another wgwrap, or something like it, "
						"supervises this process"
					      : "the kernel does not report system calls",
				refused);
}

/* Where all works with it, a child for which no memory is copied is enough. Reading its memory is
 * reading our own, for which the kernel asks no permission; pidfd_getfd(2) needs the same one
 * (PTRACE_MODE_ATTACH_REALCREDS), so that must work, too. The child must not have to change whether
 * we are dumpable. Not under a filter: before Linux 5.16, who dumps core ends all who share its
 * memory. */
void wgw_capture_probe_begin(struct wgw_capture_trial *t)
{
	*t = (struct wgw_capture_trial){0};
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER &&
	    prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1)
		(void)start_child(CLONE_VM, t);
}

/** works_in_our_memory() - whether the child that was begun found all to work. It has told all that
 * it will, and dumpable it has no part in any more, so it need not be waited for here. */
static bool works_in_our_memory(struct wgw_capture_trial *t, struct wgw_capture_probe *probe)
{
	int refused;

	supervise_child(t, probe, &refused);
	if (!refused && probe->level == WGW_CAPTURE_SUPERVISED && !probe->without_getfd)
		return true;
	wgw_capture_probe_end(t);
	return false;
}

/** probe_apart() - in a child, whose end by a signal is an answer, too */
static int probe_apart(struct wgw_capture_probe *probe)
{
	int ends[2], status, err;
	ssize_t n;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pid = fork();
	err = pid < 0 ? -errno : 0;
	if (pid == 0) {
		err = probe_here(probe);
		if (err == 0 && write(ends[1], probe, sizeof(*probe)) != (ssize_t)sizeof(*probe))
			err = -EIO;
		_exit(-err);
	}
	close(ends[1]);
	do
		n = read(ends[0], probe, sizeof(*probe));
	while (n < 0 && errno == EINTR);
	close(ends[0]);
	if (err)
		return err;
	status = wait_status(pid);
	if (n == (ssize_t)sizeof(*probe))
		return 0;
	if (WIFEXITED(status))
		return -WEXITSTATUS(status);
	*probe = (struct wgw_capture_probe){0};
	return without_listener(
		probe, "a filter around wgwrap kills who looks into other processes", EPERM);
}

int wgw_capture_probe(struct wgw_capture_trial *t, struct wgw_capture_probe *probe)
{
	if (!t->child)
		wgw_capture_probe_begin(t);
	if (t->child && works_in_our_memory(t, probe))
		return 0;
	return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER ? probe_apart(probe)
									: probe_here(probe);
}
