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
#include <time.h>
#include <unistd.h>

#include "src/base/descriptors.h"
#include "src/control/control.h"
#include "src/proxy/proxy.h"
#include "src/session/notify.h"
#include "src/session/say.h"
#include "src/session/supervisor.h"

enum { HEALTH_AGAIN_S = 1 };

/** reap() - children are those that resolve names, those that start the tunnel process, and
 * @health */
static void reap(struct wgw_supervisor *s, struct wgw_keeper_health *health)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		if (pid == s->starter)
			s->starter = 0;
		if (pid == health->pid) {
			wgw_say(WGW_SAY_WARNING, "the process that serves health ended; it is "
						 "started again");
			health->pid = 0;
			health->again_at = wgw_clock_ns() + HEALTH_AGAIN_S * WGW_SEC_NS;
		}
		for (size_t i = 0; i < WGW_RESOLVERS_MAX; i++) {
			if (s->resolvers[i] == pid)
				s->resolvers[i] = 0;
		}
	}
}

static void take_signals(struct wgw_supervisor *s, struct wgw_keeper_health *health)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap(s, health);
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

/** take_file() - takes what the file says now; what is wrong with it leaves all as it was. If the
 * tunnel process has just died the next one begins with that. */
static void take_file(struct wgw_supervisor *s)
{
	struct wgw_run_options options = *s->launch->options;
	struct wgw_config *config, *old = s->launch->config;
	struct wgw_launch fresh;
	int err;

	options.config = old->path;
	if (!old->path) {
		wgw_say(WGW_SAY_WARNING,
			"the tunnel's configuration came from %s: there is no file to read again",
			old->source);
		return;
	}
	config = wgw_proxy_tunnel(&options, false);
	if (!config)
		return;
	if (wgw_launch_init(&fresh, s->launch->options, config)) {
		wgw_config_free(config);
		return;
	}
	memcpy(fresh.running, s->launch->name, sizeof(fresh.running));
	err = wgw_reload(&fresh);
	if (err == 0 || err == -ENOTCONN) {
		wgw_launch_follow(s->launch, &fresh);
		wgw_config_free(old);
	} else {
		wgw_config_free(config);
	}
	wgw_launch_free(&fresh);
}

static void reread(struct wgw_supervisor *s)
{
	char lines[64];
	struct timespec now;

	s->reread = false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(lines, sizeof(lines), "RELOADING=1\nMONOTONIC_USEC=%llu",
		 (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
	wgw_notify(lines);
	take_file(s);
	wgw_notify("READY=1");
}

/** feed_watchdog() - when the tunnel process answers */
static void feed_watchdog(const struct wgw_supervisor *s)
{
	int fd = wgw_control_connect(&s->launch->dir, s->launch->name);
	struct wgw_status *status = fd < 0 ? NULL : wgw_control_status(fd);

	if (status)
		wgw_notify("WATCHDOG=1");
	wgw_status_free(status);
	if (fd >= 0)
		close(fd);
}

/** earlier() - of two deadlines, of which 0 is none */
static uint64_t earlier(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return a | b;
	return a < b ? a : b;
}

/** start_health() - a child that answers /livez and the like for the tunnel called @name; it ends
 * with the keeper. Return: its process id, or 0 */
static pid_t start_health(const struct wgw_keeper_health *health, const char *name)
{
	struct wgw_health_options options = health->options;
	pid_t keeper = getpid(), pid = health->fd < 0 ? -1 : fork();
	sigset_t none;

	if (pid != 0)
		return pid > 0 ? pid : 0;
	options.what = name;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != keeper)
		_exit(WGW_EXIT_RUNTIME);
	prctl(PR_SET_NAME, "wgwrap-health");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	wgw_close_others((int[]){health->fd, wgw_say_fd()}, 2);
	_exit(wgw_health_serve(&options, health->fd));
}

/** follow_name() - the tunnel has another name when its key was changed. Who serves health is
 * killed, not asked to end: it would unlink the unix socket, which its successor goes on listening
 * on */
static void follow_name(const struct wgw_supervisor *s, struct wgw_keeper_health *health,
			char name[WGW_TUNNEL_NAME_BYTES])
{
	if (strcmp(s->launch->name, name) == 0)
		return;
	memcpy(name, s->launch->name, WGW_TUNNEL_NAME_BYTES);
	if (health->pid)
		kill(health->pid, SIGKILL);
	health->again_at = 0;
	health->pid = start_health(health, name);
}

/** keep_health() - who serves health may have been killed, by hand or for memory */
static void keep_health(struct wgw_keeper_health *health, const char *name)
{
	if (!health->again_at || health->again_at > wgw_clock_ns())
		return;
	health->again_at = 0;
	health->pid = start_health(health, name);
	if (!health->pid)
		health->again_at = wgw_clock_ns() + HEALTH_AGAIN_S * WGW_SEC_NS;
}

/** next_due() - 0: nothing is */
static uint64_t next_due(const struct wgw_supervisor *s, const struct wgw_keeper_health *health,
			 uint64_t watchdog_at)
{
	return earlier(earlier(s->restart_at, watchdog_at), health->again_at);
}

static void serve(struct wgw_supervisor *s, struct wgw_keeper_health *health)
{
	char name[WGW_TUNNEL_NAME_BYTES];
	uint64_t every = wgw_notify_watchdog_ns(), watchdog_at = every ? wgw_clock_ns() : 0;

	memcpy(name, s->launch->name, sizeof(name));
	while (!s->leave) {
		struct pollfd p[] = {
			{.fd = s->signals, .events = POLLIN},
			{.fd = s->channel, .events = POLLIN},
			{.fd = s->starter_fd, .events = POLLIN},
		};

		if (poll(p, sizeof(p) / sizeof(*p), until(next_due(s, health, watchdog_at))) < 0 &&
		    errno != EINTR)
			return;
		if (p[0].revents)
			take_signals(s, health);
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
		follow_name(s, health, name);
		keep_health(health, name);
		if (watchdog_at && watchdog_at <= wgw_clock_ns()) {
			feed_watchdog(s);
			watchdog_at = wgw_clock_ns() + every;
		}
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

_Noreturn void wgw_keeper_main(struct wgw_launch *l, int channel, int said,
			       struct wgw_keeper_health *health)
{
	struct wgw_supervisor s = {
		.launch = l, .channel = channel, .front = -1, .starter_fd = -1, .delivered = true};
	const unsigned char ok = WGW_EXIT_OK;

	prctl(PR_SET_NAME, "wgwrap-keeper");
	s.signals = heed();
	if (s.signals < 0)
		_exit(WGW_EXIT_RUNTIME);
	s.up_since = wgw_clock_ns();
	l->open_flags = WGW_CH_KEEPER;
	if (said >= 0) {
		wgw_say_detach();
		wgw_null_stdio(STDIN_FILENO, STDERR_FILENO);
	}
	health->pid = start_health(health, l->name);
	wgw_close_others((int[]){channel, s.signals, said, l->dir.fd, wgw_say_fd(), health->fd}, 6);
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
	wgw_notify("READY=1\nSTATUS=The tunnel is up.");
	serve(&s, health);
	wgw_notify("STOPPING=1");
	_exit(WGW_EXIT_OK);
}
