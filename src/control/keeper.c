/* SPDX-License-Identifier: MIT */
/*
 * keeper.c - the process that holds a tunnel up: a session without a command
 *
 * It is what a supervisor is to a command: while its channel is open the tunnel process stays; it
 * resolves the peers' names anew when the tunnel process asks, and starts the tunnel process again
 * when that has died. It ends when the tunnel process asks it to (`wgwrap down`, or another keeper
 * has come) or by SIGTERM, SIGINT. It holds the configuration, private key included, to be able to
 * start the tunnel process again, so it is not dumpable.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/control/control.h"

/** reap() - children are those that resolve names and those that start the tunnel process */
static void reap(struct wgw_supervisor *s)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		if (pid == s->starter)
			s->starter = 0;
		for (size_t i = 0; i < WGW_RESOLVERS_MAX; i++) {
			if (s->resolvers[i] == pid)
				s->resolvers[i] = 0;
		}
	}
}

static void take_signals(struct wgw_supervisor *s)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap(s);
			break;
		case SIGHUP:
			s->reread = true;
			break;
		default: /* SIGTERM, SIGINT */
			s->leave = true;
		}
	}
}

/** keep() - tells the tunnel process that this is its keeper; 0 or -errno */
static int keep(int channel)
{
	struct wgw_channel_msg msg;

	wgw_channel_prepare(&msg, WGW_CH_KEEP);
	msg.u.opened.pid = getpid();
	return wgw_channel_send(channel, &msg, NULL, 0);
}

static int until(uint64_t deadline)
{
	uint64_t now = wgw_clock_ns();

	if (!deadline)
		return -1;
	return deadline <= now ? 0 : (int)((deadline - now) / WGW_MS_NS) + 1;
}

/** reread() - takes what the file says now; what is wrong with it leaves all as it was */
static void reread(struct wgw_supervisor *s)
{
	struct wgw_run_options options = *s->launch->options;
	struct wgw_config *config, *old = s->launch->config;
	struct wgw_launch fresh;

	s->reread = false;
	options.config = old->source;
	config = old->source[0] == '/' ? wgw_front_config(&options) : NULL;
	if (!config)
		return;
	if (wgw_launch_init(&fresh, s->launch->options, config) ||
	    strcmp(fresh.name, s->launch->name) != 0) {
		wgw_say(WGW_SAY_ERROR, "%s: the private key has changed: that is another tunnel",
			old->source);
		wgw_config_free(config);
	} else if (wgw_reload(&fresh) == 0) {
		s->launch->config = config;
		s->launch->mtu = fresh.mtu;
		s->launch->listen_port = fresh.listen_port;
		s->launch->peers = fresh.peers;
		free(s->launch->settings);
		s->launch->settings = fresh.settings;
		fresh.settings = NULL;
		wgw_config_free(old);
	} else {
		wgw_config_free(config);
	}
	wgw_launch_free(&fresh);
}

static void serve(struct wgw_supervisor *s)
{
	while (!s->leave) {
		struct pollfd p[] = {
			{.fd = s->signals, .events = POLLIN},
			{.fd = s->channel, .events = POLLIN},
			{.fd = s->starter_fd, .events = POLLIN},
		};

		if (poll(p, sizeof(p) / sizeof(*p), until(s->restart_at)) < 0 && errno != EINTR)
			return;
		if (p[0].revents)
			take_signals(s);
		if (p[1].revents && !wgw_serve_channel(s) && !s->leave)
			wgw_restart_plan(s);
		if (p[2].revents)
			wgw_restart_finish(s);
		if (p[2].revents && s->channel >= 0)
			keep(s->channel);
		if (s->restart_at && s->restart_at <= wgw_clock_ns() && !s->starter)
			wgw_restart_begin(s);
		if (s->reread && s->channel >= 0)
			reread(s);
	}
}

/** heed() - the signals it reads; others have their usual effect */
static int heed(void)
{
	static const int numbers[] = {SIGCHLD, SIGHUP, SIGINT, SIGTERM};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		signal(numbers[i], SIG_DFL);
		sigaddset(&set, numbers[i]);
	}
	sigprocmask(SIG_SETMASK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

_Noreturn void wgw_keeper_main(struct wgw_launch *l, int channel, int said)
{
	struct wgw_supervisor s = {
		.launch = l, .channel = channel, .front = -1, .starter_fd = -1, .delivered = true};
	const unsigned char ok = WGW_EXIT_OK;

	prctl(PR_SET_NAME, "wgwrap-keeper");
	s.signals = heed();
	if (s.signals < 0)
		_exit(WGW_EXIT_RUNTIME);
	s.up_since = wgw_clock_ns();
	if (said >= 0) {
		wgw_say_detach();
		wgw_null_stdio(STDIN_FILENO, STDERR_FILENO);
	}
	wgw_close_others((int[]){channel, s.signals, said, l->dir.fd, wgw_say_fd()}, 5);
	if (chdir("/")) {
		/* it stays where it is */
	}
	if (keep(channel))
		_exit(WGW_EXIT_RUNTIME);
	if (said >= 0) {
		if (write(said, &ok, 1) < 0)
			_exit(WGW_EXIT_RUNTIME);
		close(said);
	}
	serve(&s);
	_exit(WGW_EXIT_OK);
}
