/* SPDX-License-Identifier: MIT */
/*
 * up.c - `wgwrap up` and `wgwrap down`
 *
 * A tunnel that stays is one with a session that has no command: its keeper (keeper.c). So "up"
 * does what run does until the handshake, and "down" asks the keeper to leave; the tunnel process
 * ends with its last session as always.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/control/control.h"
#include "src/proxy/proxy.h"
#include "src/session/say.h"

enum { DOWN_TIMEOUT_S = 15, DOWN_LOOK_MS = 20 };

/* ---- up ---- */

/** start_keeper() - forks it off and waits for its word. Return: exit status */
static int start_keeper(struct wgw_launch *l, int channel, struct wgw_keeper_health *health)
{
	unsigned char status;
	int said[2];
	pid_t pid;

	if (pipe2(said, O_CLOEXEC)) {
		wgw_say(WGW_SAY_ERROR, "pipe: %s", strerror(errno));
		return WGW_EXIT_RUNTIME;
	}
	pid = fork();
	if (pid == 0) {
		setsid();
		/* twice, so that it can never get a terminal and is nobody's child */
		if (fork() == 0)
			wgw_keeper_main(l, channel, said[1], health);
		_exit(0);
	}
	close(said[1]);
	if (pid < 0) {
		wgw_say(WGW_SAY_ERROR, "fork: %s", strerror(errno));
		close(said[0]);
		return WGW_EXIT_RUNTIME;
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (read(said[0], &status, 1) != 1) {
		wgw_say(WGW_SAY_ERROR, "the process that keeps the tunnel up ended");
		status = WGW_EXIT_RUNTIME;
	}
	close(said[0]);
	return status;
}

static bool has_keeper(const struct wgw_status *tunnel)
{
	for (size_t i = 0; tunnel && i < tunnel->n_sessions; i++) {
		if (tunnel->sessions[i].keeper)
			return true;
	}
	return false;
}

/** struct kept - whether the tunnel has a keeper already, which then stays; with the options of
 * this command and its file? Or its process does not answer, which has been said */
struct kept {
	bool is, same_options, same_file, silent;
};

static void say_silent(const char *what, int fd)
{
	char whom[64];

	wgw_channel_whom(fd, whom, sizeof(whom));
	wgw_say(WGW_SAY_ERROR, "%s: the tunnel process (%s) does not answer", what, whom);
}

static struct kept look(const struct wgw_launch *l)
{
	int fd = wgw_control_connect(&l->dir, l->name);
	struct wgw_status *status = fd < 0 ? NULL : wgw_control_status(fd);
	struct kept kept = {.is = has_keeper(status)};

	kept.silent = fd >= 0 && !status && errno == ETIMEDOUT;
	if (kept.silent)
		say_silent(l->config->source, fd);
	kept.same_options =
		kept.is && wgw_options_are(status->options.at, status->options.n, l->options);
	kept.same_file = kept.is && l->config->path && status->source &&
			 strcmp(status->source, l->config->path) == 0;
	wgw_status_free(status);
	if (fd >= 0)
		close(fd);
	return kept;
}

/** refuse_file() - another file's settings would stay until its keeper reads its own again */
static int refuse_file(struct wgw_launch *l)
{
	wgw_say(WGW_SAY_ERROR,
		"%s: a tunnel with this key is up from another file, which says something else "
		"(\"wgwrap show\" tells which); \"wgwrap down\" it first",
		l->config->source);
	return -1;
}

/** bring_up() - Return: exit status */
static int bring_up(const struct wgw_up_options *options, struct wgw_launch *l)
{
	struct wgw_keeper_health health = {.options = options->health, .fd = -1};
	/* a reload knows its tunnel; one that has the new key already is another */
	bool knows = options->foreground || options->reload;
	struct kept kept = knows ? (struct kept){0} : look(l);
	int channel, status = WGW_EXIT_OK;

	if (kept.silent)
		return WGW_EXIT_RUNTIME;
	/* its keeper would bring back what it was told */
	if (kept.is && !kept.same_options) {
		wgw_say(WGW_SAY_ERROR,
			"%s is up already, with other options (\"wgwrap show\" tells them); "
			"\"wgwrap "
			"reload\" keeps those, \"wgwrap down\" first takes these",
			l->config->source);
		return WGW_EXIT_RUNTIME;
	}
	if (health.options.address && kept.is) {
		wgw_say(WGW_SAY_WARNING,
			"%s is up already, and --health is taken when it comes up; see \"wgwrap "
			"health --listen\", or \"wgwrap down\" first",
			l->config->source);
	} else if (health.options.address) {
		health.fd = wgw_health_listen(&health.options);
		if (health.fd < 0)
			return WGW_EXIT_RUNTIME;
	}
	l->busy = kept.is && !kept.same_file ? refuse_file : wgw_reload;
	if (options->reload && wgw_reload(l))
		return WGW_EXIT_RUNTIME;
	channel = wgw_launch_channel(l);
	if (channel < 0)
		return WGW_EXIT_RUNTIME;
	if (wgw_wait_peers(l, channel))
		status = WGW_EXIT_NO_HANDSHAKE;
	else if (options->foreground)
		wgw_keeper_main(l, channel, -1, &health);
	else if (!options->reload && !look(l).is)
		status = start_keeper(l, channel, &health);
	close(channel);
	if (health.fd >= 0)
		close(health.fd);
	return status;
}

int wgw_up(const struct wgw_up_options *options)
{
	struct wgw_config *config;
	struct wgw_launch l;
	int status;

	wgw_front_heed_signals();
	if (wgw_say_init(&options->run) || wgw_front_refuse_privileged())
		return WGW_EXIT_RUNTIME;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	config = wgw_proxy_tunnel(&options->run, false);
	if (!config)
		return WGW_EXIT_CONFIG;
	if (options->reload && config->mtu == 0)
		config->mtu = options->running_mtu;
	status = wgw_launch_init(&l, &options->run, config) ? WGW_EXIT_RUNTIME : WGW_EXIT_OK;
	if (status == WGW_EXIT_OK && !l.prefix[0]) {
		wgw_say(WGW_SAY_ERROR, "nobody could find a tunnel without a runtime directory; "
				       "set WGWRAP_RUNTIME_DIR");
		status = WGW_EXIT_RUNTIME;
	}
	if (options->running_name)
		memcpy(l.running, options->running_name, sizeof(l.running));
	if (status == WGW_EXIT_OK)
		status = bring_up(options, &l);
	wgw_launch_free(&l);
	wgw_config_free(config);
	return status;
}

/* ---- reload ---- */

int wgw_reload_running(const char *what)
{
	struct wgw_up_options options = {.run = {.listen_port = -1, .family = AF_UNSPEC},
					 .reload = true};
	struct wgw_tunnels list;
	struct wgw_status *tunnel;
	int status;

	if (wgw_tunnels_running(&list))
		return WGW_EXIT_RUNTIME;
	status = wgw_tunnels_find(&list, what, &tunnel);
	if (status == WGW_EXIT_OK && tunnel->source[0] != '/') {
		wgw_say(WGW_SAY_ERROR, "%s cannot be read again: it came from %s", tunnel->label,
			tunnel->source);
		status = WGW_EXIT_RUNTIME;
	}
	if (status == WGW_EXIT_OK) {
		status = WGW_EXIT_RUNTIME;
		options.run.config = tunnel->source;
		options.running_mtu = tunnel->mtu;
		options.running_name = tunnel->name;
		if (wgw_options_take(tunnel->options.at, tunnel->options.n, &options.run))
			wgw_say(WGW_SAY_ERROR,
				"%s: the running tunnel has options that this "
				"version of wgwrap does not know",
				tunnel->label);
		else
			status = wgw_up(&options);
	}
	free(options.run.endpoint_host);
	free(options.run.routes);
	wgw_tunnels_free(&list);
	return status;
}

/* ---- down ---- */

static void say_used(const struct wgw_status *tunnel, bool kept, size_t n)
{
	wgw_say(WGW_SAY_WARNING,
		"%s: %s; %zu running command%s still use%s it, and it ends with %s", tunnel->label,
		kept ? "not kept up any more" : "is not kept up by \"wgwrap up\"", n,
		n == 1 ? "" : "s", n == 1 ? "s" : "", n == 1 ? "it" : "them");
}

/** say_not_ended() - why, as far as can be seen. @tunnel: as it was; @answers: its process still
 * does. Return: exit status */
static int say_not_ended(const struct wgw_status *tunnel, bool answers)
{
	int keeper = 0;

	for (size_t i = 0; i < tunnel->n_sessions; i++) {
		if (tunnel->sessions[i].keeper && !kill(tunnel->sessions[i].pid, 0))
			keeper = tunnel->sessions[i].pid;
	}
	if (!answers)
		wgw_say(WGW_SAY_ERROR, "%s: process %d was told to end, and does not answer",
			tunnel->label, tunnel->pid);
	else if (keeper)
		wgw_say(WGW_SAY_ERROR,
			"%s: process %d, which keeps it up, was told to end, and has not (is it "
			"stopped?); the tunnel ends with it",
			tunnel->label, keeper);
	else
		wgw_say(WGW_SAY_ERROR,
			"%s: still delivering what was written; it ends when that is done "
			"(process %d)",
			tunnel->label, tunnel->pid);
	return WGW_EXIT_RUNTIME;
}

/** await_end() - until nobody listens any more, or commands use it: the sessions of a tunnel
 * process that was just started again come one after the other. Return: exit status */
static int await_end(const struct wgw_rundir *dir, const struct wgw_status *tunnel)
{
	const struct timespec gap = {.tv_nsec = DOWN_LOOK_MS * (long)WGW_MS_NS};
	uint64_t deadline = wgw_clock_ns() + DOWN_TIMEOUT_S * WGW_SEC_NS;
	bool answers = false;

	while (wgw_clock_ns() < deadline) {
		int fd = wgw_control_connect(dir, tunnel->name);
		struct wgw_status *now;
		size_t used;

		if (fd < 0)
			return WGW_EXIT_OK;
		now = wgw_control_status(fd);
		used = now ? wgw_status_commands(now) : 0;
		answers = now != NULL;
		wgw_status_free(now);
		close(fd);
		if (used > 0) {
			say_used(tunnel, true, used);
			return WGW_EXIT_OK;
		}
		nanosleep(&gap, NULL);
	}
	return say_not_ended(tunnel, answers);
}

static int down_one(const struct wgw_rundir *dir, const struct wgw_status *tunnel)
{
	struct wgw_channel_msg reply;
	bool kept = has_keeper(tunnel);
	int fd = wgw_control_connect(dir, tunnel->name), err = fd;

	if (fd >= 0) {
		err = wgw_control_ask(fd, WGW_CONTROL_DOWN, NULL, 0, &reply);
		if (err == -ETIMEDOUT)
			say_silent(tunnel->label, fd);
		close(fd);
	}
	if (err == -ETIMEDOUT)
		return WGW_EXIT_RUNTIME;
	if (err == -ECONNREFUSED || err == -ECONNRESET || err == -EPIPE)
		return WGW_EXIT_OK; /* it has ended meanwhile */
	if (err < 0 || reply.err) {
		bool says = err == 0 && reply.u.control.text[0];

		wgw_say(WGW_SAY_ERROR, "%s: %s", tunnel->label,
			says ? reply.u.control.text : strerror(err < 0 ? -err : reply.err));
		return WGW_EXIT_RUNTIME;
	}
	if (reply.u.control.value == 0)
		return await_end(dir, tunnel);
	say_used(tunnel, kept, reply.u.control.value);
	return kept ? WGW_EXIT_OK : WGW_EXIT_RUNTIME;
}

int wgw_down(const char *what)
{
	struct wgw_tunnels list;
	struct wgw_status *tunnel;
	struct wgw_rundir dir;
	int status;

	wgw_rundir_open(&dir);
	if (wgw_tunnels_list(&dir, &list))
		return WGW_EXIT_RUNTIME;
	status = wgw_tunnels_find(&list, what, &tunnel);
	if (status == WGW_EXIT_OK)
		status = down_one(&dir, tunnel);
	wgw_tunnels_free(&list);
	if (dir.fd >= 0)
		close(dir.fd);
	return status;
}
