/* SPDX-License-Identifier: MIT */
/*
 * boot.c - starts a tunnel process: a fork, not an exec, so that the key never leaves memory
 *
 * A child makes a session of its own (setsid) and forks the tunnel process, which so can never get
 * a terminal and is nobody's job. When the ready pipe brings a zero byte it is up; anything else is
 * a sentence that says why not.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/loop.h"
#include "src/session/channel.h"
#include "src/session/launch.h"
#include "src/session/say.h"

enum {
	READY_TIMEOUT_MS = 15000,
	IDLE_LINGER_MS = 1000, /* a tunnel process without sessions waits so long for the next */
	NAME_ATTEMPTS = 20,
	NAME_GAP_MS = 25,
	DESCRIPTORS = 32, /* with which a tunnel process does something useful */
};

/** listen_at() - a listener of @type at @sun; the descriptor or -errno */
static int listen_at(int type, const struct sockaddr_un *sun, socklen_t len)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;
	mode_t old;

	if (fd < 0)
		return -errno;
	old = umask(0177);
	err = bind(fd, (const struct sockaddr *)sun, len) || listen(fd, WGW_RENDEZVOUS_BACKLOG)
		      ? -errno
		      : 0;
	umask(old);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/** listen_paths() - the two rendezvous in the runtime directory, and the UAPI's socket; 0 or
 * -errno */
static int listen_paths(const struct wgw_launch *l, struct wgw_tunnel_boot *boot)
{
	struct sockaddr_un sun;
	socklen_t len = wgw_rendezvous_path(&sun, l->prefix, 's');

	unlink(sun.sun_path);
	boot->stream[0] = listen_at(SOCK_STREAM, &sun, len);
	if (boot->stream[0] < 0)
		return boot->stream[0];
	len = wgw_rendezvous_path(&sun, l->prefix, 'q');
	unlink(sun.sun_path);
	boot->sequenced[0] = listen_at(SOCK_SEQPACKET, &sun, len);
	if (boot->sequenced[0] < 0)
		return boot->sequenced[0];
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s.sock", l->prefix);
	unlink(sun.sun_path);
	boot->uapi = listen_at(SOCK_STREAM, &sun, sizeof(sun));
	return boot->uapi < 0 ? boot->uapi : 0;
}

/** listen_abstract() - the two abstract names; 0 or -errno */
static int listen_abstract(const struct wgw_launch *l, struct wgw_tunnel_boot *boot)
{
	struct sockaddr_un sun;
	socklen_t len = wgw_rendezvous_abstract(&sun, l->abstract, 's');

	boot->stream[1] = listen_at(SOCK_STREAM, &sun, len);
	if (boot->stream[1] < 0)
		return boot->stream[1];
	len = wgw_rendezvous_abstract(&sun, l->abstract, 'q');
	boot->sequenced[1] = listen_at(SOCK_SEQPACKET, &sun, len);
	if (boot->sequenced[1] >= 0)
		return 0;
	close(boot->stream[1]);
	boot->stream[1] = -1;
	return boot->sequenced[1];
}

/** make_listeners() - all four. An abstract name that is kept is waited for, because a tunnel
 * process that just ended may still hold it. 0, or -1 after an error was said */
static int make_listeners(struct wgw_launch *l, struct wgw_tunnel_boot *boot)
{
	const struct timespec gap = {.tv_nsec = NAME_GAP_MS * (long)WGW_MS_NS};
	int err = l->prefix[0] ? listen_paths(l, boot) : 0;

	if (err) {
		wgw_say(WGW_SAY_ERROR, "%s: %s", l->prefix, strerror(-err));
		return -1;
	}
	for (int i = 0; i < NAME_ATTEMPTS; i++) {
		if (!l->has_abstract)
			randombytes_buf(l->abstract, sizeof(l->abstract));
		err = listen_abstract(l, boot);
		if (err != -EADDRINUSE)
			break;
		nanosleep(&gap, NULL);
		if (i == NAME_ATTEMPTS - 2)
			l->has_abstract = false;
	}
	if (err) {
		wgw_say(WGW_SAY_ERROR, "abstract socket name: %s", strerror(-err));
		return -1;
	}
	memcpy(boot->abstract, l->abstract, sizeof(l->abstract));
	return 0;
}

static void close_listeners(const struct wgw_tunnel_boot *boot)
{
	for (int i = 0; i < 2; i++) {
		if (boot->stream[i] >= 0)
			close(boot->stream[i]);
		if (boot->sequenced[i] >= 0)
			close(boot->sequenced[i]);
	}
	if (boot->uapi >= 0)
		close(boot->uapi);
}

/** is_traced_by_us() - whether a debugger, or strace, of our own user is attached to us */
static bool is_traced_by_us(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	int tracer = 0;
	struct stat st;

	while (f && tracer == 0 && fgets(line, sizeof(line), f))
		sscanf(line, "TracerPid: %d", &tracer);
	if (f)
		fclose(f);
	snprintf(line, sizeof(line), "/proc/%d", tracer);
	return tracer != 0 && stat(line, &st) == 0 && st.st_uid == geteuid();
}

/**
 * fork_visible() - fork(2), which a debugger of ours is shown
 *
 * A debugger takes its breakpoints out of the children that it lets go, or they die of them. For
 * that it has to look into them, and into copies of a process that cannot be dumped only root's may
 * look (PTRACE_PEEKDATA, ptrace_access_vm() in the kernel). So this process can be dumped while it
 * forks, if the debugger is the user's. The user's other processes may open its memory then; as a
 * rule they could as well make the debugger do it. Nothing smaller serves: the copy is stopped, and
 * looked into, before its first instruction, with the flag that it has from here.
 */
static pid_t fork_visible(void)
{
	int dumpable = is_traced_by_us() ? prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) : 1;
	pid_t pid;

	if (dumpable == 0)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	pid = fork();
	if (dumpable == 0)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return pid;
}

/** fork_tunnel() - forks twice; 0 or -errno. Does not return in the tunnel process. */
static int fork_tunnel(const struct wgw_tunnel_boot *boot)
{
	pid_t child = fork_visible();
	int status;

	if (child < 0)
		return -errno;
	if (child == 0) {
		pid_t tunnel;

		setsid();
		tunnel = fork();
		if (tunnel == 0)
			wgw_tunnel_main(boot);
		_exit(tunnel < 0);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? 0 : -EAGAIN;
}

/** await_ready() - reads the verdict; 0, or -1 after an error was said */
static int await_ready(int fd)
{
	uint64_t deadline = wgw_clock_ns() + READY_TIMEOUT_MS * WGW_MS_NS;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char text[1024];
	size_t n = 0;

	for (;;) {
		uint64_t now = wgw_clock_ns();
		ssize_t got;

		if (now >= deadline) {
			wgw_say(WGW_SAY_ERROR, "the tunnel process does not get ready");
			return -1;
		}
		if (poll(&p, 1, (int)((deadline - now) / WGW_MS_NS) + 1) <= 0)
			continue;
		got = read(fd, text + n, sizeof(text) - 1 - n);
		if (got <= 0)
			break;
		if (n == 0 && text[0] == '\0')
			return 0;
		n += (size_t)got;
	}
	text[n] = '\0';
	wgw_say(WGW_SAY_ERROR, "%s", n ? text : "the tunnel process ended while it was starting");
	return -1;
}

/** open_pcap() - the file of --pcap; -1 also without one, *failed after an error was said */
static int open_pcap(const struct wgw_launch *l, bool *failed)
{
	const char *path = l->options->pcap;
	int fd;

	*failed = false;
	if (!path)
		return -1;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (l->again ? O_APPEND : O_TRUNC), 0600);
	if (fd < 0) {
		wgw_say(WGW_SAY_ERROR, "--pcap %s: %s", path, strerror(errno));
		*failed = true;
	}
	return fd;
}

/** start() - forks the tunnel process and waits until it is up */
static int start(struct wgw_tunnel_boot *boot)
{
	int ready[2], err;

	if (pipe2(ready, O_CLOEXEC)) {
		wgw_say(WGW_SAY_ERROR, "pipe: %s", strerror(errno));
		return -1;
	}
	boot->ready = ready[1];
	err = fork_tunnel(boot);
	close(ready[1]);
	if (err)
		wgw_say(WGW_SAY_ERROR, "cannot start a tunnel process: %s", strerror(-err));
	else
		err = await_ready(ready[0]);
	close(ready[0]);
	return err ? -1 : 0;
}

/** check_descriptors() - the tunnel process raises its limit to the hard one. -1 after an error was
 * said */
static int check_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_max >= DESCRIPTORS)
		return 0;
	wgw_say(WGW_SAY_ERROR, "the tunnel process needs %d descriptors; ulimit -n allows %llu",
		DESCRIPTORS, (unsigned long long)limit.rlim_max);
	return -1;
}

int wgw_boot_tunnel(struct wgw_launch *l)
{
	struct wgw_endpoints endpoints = {0};
	struct wgw_tunnel_boot boot = {
		.config = l->config,
		.settings = l->settings,
		.mtu = l->mtu,
		.listen_port = l->listen_port,
		.family = l->options->family,
		.stream = {-1, -1},
		.sequenced = {-1, -1},
		.uapi = -1,
		.ready = -1,
		.linger_ms = IDLE_LINGER_MS,
	};
	bool failed;
	int err = check_descriptors();

	if (!err)
		err = wgw_endpoints_resolve(l->config, l->options->family, &endpoints);
	if (err)
		goto out;
	boot.endpoints = endpoints.at;
	boot.n_endpoints = endpoints.n;
	boot.pcap = open_pcap(l, &failed);
	err = failed ? -1 : make_listeners(l, &boot);
	if (err == 0)
		err = start(&boot);
	if (boot.pcap >= 0)
		close(boot.pcap);
	close_listeners(&boot);
out:
	wgw_endpoints_free(&endpoints);
	return err;
}
