/* SPDX-License-Identifier: MIT */
/*
 * restart.c - starts the tunnel process again after it has died
 *
 * The sockets that programs had are lost (ECONNRESET), their listeners are not (listeners.c); new
 * ones work again. Starting blocks (name look-ups, another session's start), so a child does it and
 * passes the channel back. Token, label key and rendezvous stay, because running programs know
 * them. Back-off: at once, then 1, 2, 4 ... RETRY_MAX_S seconds, from the beginning again once it
 * has lived for STEADY_S.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/loop.h"
#include "src/repr/cmsg.h"
#include "src/session/launch.h"
#include "src/session/say.h"
#include "src/session/supervisor.h"

enum { RETRY_MAX_S = 32, STEADY_S = 60 };

/** struct started - what the child tells, with the channel as SCM_RIGHTS */
struct started {
	pid_t tunnel;
	uint8_t abstract[WGW_ABSTRACT_BYTES];
	char name[WGW_TUNNEL_NAME_BYTES];
	char prefix[WGW_PATH_PREFIX_MAX_BYTES];
};

/** backoff_s() - how long to wait before the next start when @restarts were tried */
static unsigned int backoff_s(unsigned int restarts)
{
	if (restarts == 0)
		return 0;
	return restarts > 5 ? RETRY_MAX_S : 1U << (restarts - 1);
}

void wgw_restart_plan(struct wgw_supervisor *s)
{
	uint64_t now = wgw_clock_ns(), wait_s;

	close(s->channel);
	s->channel = -1;
	s->launch->tunnel = 0;
	if (s->flush_deadline)
		wgw_supervisor_delivered(s);
	if (s->launch->options->no_restart) {
		wgw_say(WGW_SAY_ERROR, "the tunnel process ended; the command's network is gone "
				       "(--no-restart)");
		return;
	}
	if (now - s->up_since > STEADY_S * WGW_SEC_NS)
		s->restarts = 0;
	wait_s = backoff_s(s->restarts++);
	s->restart_at = now + wait_s * WGW_SEC_NS;
	wgw_say(WGW_SAY_ERROR,
		"the tunnel process ended; its connections are lost; starting it again%s",
		wait_s ? " in a while" : "");
}

/** pass_channel() - in the child: hands @channel to the supervisor */
static void pass_channel(const struct wgw_launch *l, int to, int channel)
{
	union wgw_fd_control control;
	struct started started = {.tunnel = l->tunnel};
	struct iovec iov = {.iov_base = &started, .iov_len = sizeof(started)};
	struct msghdr hdr = {.msg_iov = &iov, .msg_iovlen = 1};

	memcpy(started.abstract, l->abstract, sizeof(started.abstract));
	memcpy(started.name, l->name, sizeof(started.name));
	memcpy(started.prefix, l->prefix, sizeof(started.prefix));
	wgw_cmsg_attach(&hdr, &control, channel);
	sendmsg(to, &hdr, MSG_NOSIGNAL);
}

void wgw_restart_begin(struct wgw_supervisor *s)
{
	int pair[2];

	s->restart_at = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		s->restart_at = wgw_clock_ns() + WGW_SEC_NS;
		return;
	}
	s->starter = fork();
	if (s->starter == 0) {
		int channel;

		wgw_supervisor_leave(s);
		s->launch->again = true;
		channel = wgw_launch_channel(s->launch);
		if (channel >= 0)
			pass_channel(s->launch, pair[1], channel);
		_exit(channel < 0);
	}
	close(pair[1]);
	if (s->starter < 0) {
		close(pair[0]);
		s->starter = 0;
		s->restart_at = wgw_clock_ns() + WGW_SEC_NS;
		return;
	}
	s->starter_fd = pair[0];
}

void wgw_restart_finish(struct wgw_supervisor *s)
{
	union wgw_fd_control control;
	struct started started;
	struct iovec iov = {.iov_base = &started, .iov_len = sizeof(started)};
	struct msghdr hdr = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t len = recvmsg(s->starter_fd, &hdr, MSG_CMSG_CLOEXEC);

	close(s->starter_fd);
	s->starter_fd = -1;
	if (len != (ssize_t)sizeof(started) || wgw_cmsg_take(&hdr, &s->channel, 1) != 1) {
		s->restart_at = wgw_clock_ns() + backoff_s(s->restarts++) * WGW_SEC_NS;
		return;
	}
	s->launch->tunnel = started.tunnel;
	memcpy(s->launch->abstract, started.abstract, sizeof(started.abstract));
	memcpy(s->launch->name, started.name, sizeof(started.name));
	memcpy(s->launch->prefix, started.prefix, sizeof(started.prefix));
	s->up_since = wgw_clock_ns();
	wgw_listeners_return(s);
	wgw_say(WGW_SAY_INFO, "the tunnel process runs again");
}
