/* SPDX-License-Identifier: MIT */
/*
 * daemon.c - the tunnel process lets go of everything that came from the user's shell
 *
 * It keeps its listeners, the ready pipe and the recording; signals are as at boot.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/descriptors.h"
#include "src/tunnel/core.h"

/** move_up() - moves *@fd out of the way of 0-2, which will be /dev/null */
static void move_up(int *fd)
{
	if (*fd >= 0 && *fd <= STDERR_FILENO)
		*fd = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/** default_signals() - a reader that is gone and a limit of file sizes are errors of write(2) */
static void default_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, sig == SIGPIPE || sig == SIGXFSZ ? SIG_IGN : SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void wgw_daemon_become(struct wgw_tunnel_boot *boot)
{
	int *const fds[] = {&boot->stream[0],	 &boot->stream[1], &boot->sequenced[0],
			    &boot->sequenced[1], &boot->ready,	   &boot->pcap,
			    &boot->uapi};
	enum { N = sizeof(fds) / sizeof(fds[0]) };
	int keep[N];

	default_signals();
	if (boot->uapi == 0)
		boot->uapi = -1;
	umask(077);
	if (chdir("/") < 0) {
		/* Not even root is searchable: then there is no cwd to hold busy either. */
	}
	for (size_t i = 0; i < N; i++) {
		move_up(fds[i]);
		keep[i] = *fds[i];
	}
	/* The rendezvous is accepted from until nobody waits. Who connects is told the process that
	 * listened last: that is not to be the one that started us. */
	for (size_t i = 0; i < 2; i++) {
		fcntl(boot->stream[i], F_SETFL, O_NONBLOCK);
		fcntl(boot->sequenced[i], F_SETFL, O_NONBLOCK);
		listen(boot->sequenced[i], WGW_RENDEZVOUS_BACKLOG);
	}
	wgw_null_stdio(STDIN_FILENO, STDERR_FILENO);
	wgw_close_others(keep, N);
	raise_descriptor_limit();
	prctl(PR_SET_NAME, "wgwrap-tunnel");
}
