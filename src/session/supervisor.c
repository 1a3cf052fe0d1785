/* SPDX-License-Identifier: MIT */
/*
 * supervisor.c - the session's own process between front and command
 *
 * It is the parent of the command and, as a subreaper, of whatever the command leaves behind. It
 * holds the channel: while that is open the tunnel process serves the session. It lives until the
 * command has ended, what was written is delivered, the front is gone and no process is left; so
 * daemons keep their network, and their names when the tunnel process has to be started again.
 *
 * It must not be noticed: it is in the command's process group but all signals are blocked and
 * read from a descriptor; it does not hold the command's standard input and output, so that a
 * reader sees the end when the command closes them; when the front goes, it lets go of standard
 * error.
 *
 * When the front vanishes before the command has ended, somebody killed it with SIGKILL and meant
 * the command, which gets the same.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/descriptors.h"
#include "src/base/loop.h"
#include "src/repr/apps.h"
#include "src/session/channel.h"
#include "src/session/command.h"
#include "src/session/inherit.h"
#include "src/session/launch.h"
#include "src/session/processes.h"
#include "src/session/run.h"
#include "src/session/say.h"
#include "src/session/supervisor.h"

void wgw_supervisor_report(struct wgw_supervisor *s, enum wgw_report_kind kind, int value)
{
	struct wgw_report report = {.kind = kind, .value = value};

	if (s->front >= 0)
		send(s->front, &report, sizeof(report), MSG_NOSIGNAL);
}

/** is_alone() - no process is left below us that could use the session */
static bool is_alone(struct wgw_supervisor *s)
{
	struct pollfd p = {.fd = s->listener}; /* hangs up when nobody has the filter any more */
	pid_t but[WGW_RESOLVERS_MAX + 2];
	size_t n = 0;

	if (s->listener >= 0 && poll(&p, 1, 0) > 0)
		s->listener = -1;
	if (s->listener >= 0)
		return false;
	but[n++] = s->starter;
	but[n++] = s->launch->tunnel;
	for (size_t i = 0; i < WGW_RESOLVERS_MAX; i++)
		but[n++] = s->resolvers[i];
	return !wgw_has_children(but, n);
}

/* The session is over before the front is, if nobody is left who could use it: who starts another
 * command behind it need not share the tunnel process's settings with this one. */
void wgw_supervisor_delivered(struct wgw_supervisor *s)
{
	if (s->command || s->delivered)
		return;
	s->flush_deadline = 0;
	s->delivered = true;
	if (s->channel >= 0 && is_alone(s)) {
		close(s->channel);
		s->channel = -1;
	}
	wgw_supervisor_report(s, WGW_REPORT_DELIVERED, 0);
}

static void say_answered(const struct wgw_supervisor *s)
{
	char text[512];

	if (!s->capture)
		return;
	wgw_capture_describe(s->capture, text, sizeof(text));
	wgw_say(WGW_SAY_DEBUG, "system calls answered: %s", text[0] ? text : "none");
}

/** command_ended() - reports and asks the tunnel process to deliver what was written */
static void command_ended(struct wgw_supervisor *s, int status)
{
	uint32_t linger_ms = s->launch->options->linger_ms;
	struct wgw_channel_msg msg;

	s->command = 0;
	wgw_stops_running(s);
	say_answered(s);
	wgw_supervisor_report(s, WGW_REPORT_ENDED, status);
	wgw_channel_prepare(&msg, WGW_CH_FLUSH);
	if (linger_ms == 0 || s->channel < 0 || wgw_channel_send(s->channel, &msg, NULL, 0))
		wgw_supervisor_delivered(s);
	else
		s->flush_deadline = wgw_clock_ns() + linger_ms * WGW_MS_NS;
}

static void linger_over(struct wgw_supervisor *s)
{
	wgw_say(WGW_SAY_WARNING,
		"not all that the command wrote was delivered within %u ms (--linger)",
		s->launch->options->linger_ms);
	wgw_supervisor_delivered(s);
}

/** reap() - collects children that ended, stopped or run again */
static void reap(struct wgw_supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
		if (pid == s->command && WIFSTOPPED(status))
			wgw_stops_stopped(s, WSTOPSIG(status));
		if (pid == s->command && WIFCONTINUED(status))
			wgw_stops_running(s);
		if (WIFSTOPPED(status) || WIFCONTINUED(status))
			continue;
		if (pid == s->command)
			command_ended(s, status);
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
		if (info.ssi_signo == SIGCHLD)
			reap(s);
		else
			wgw_relay_seen(s, (int)info.ssi_signo, (pid_t)info.ssi_pid);
	}
}

/** front_gone() - from here on nobody waits for us */
static void front_gone(struct wgw_supervisor *s)
{
	close(s->front);
	s->front = -1;
	s->rouse_at = 0;
	if (s->command)
		kill(s->command, SIGKILL);
	wgw_say_detach();
	wgw_null_stdio(STDERR_FILENO, STDERR_FILENO);
}

static void take_front(struct wgw_supervisor *s)
{
	struct wgw_report report;
	ssize_t len = recv(s->front, &report, sizeof(report), MSG_DONTWAIT);

	if (len < 0 && errno == EAGAIN)
		return;
	if (len != (ssize_t)sizeof(report)) {
		front_gone(s);
		return;
	}
	if (report.kind == WGW_REPORT_SIGNAL) {
		wgw_relay_request(s, &report);
	} else if (report.kind == WGW_REPORT_CONTINUE) {
		reap(s); /* a SIGCONT to the whole group has reached the command already */
		wgw_stops_answered(s);
	} else if (report.kind == WGW_REPORT_HURRY) {
		wgw_supervisor_delivered(s);
	}
}

/** is_over() - nobody is left who could use the session */
static bool is_over(struct wgw_supervisor *s)
{
	return !s->command && s->delivered && s->front < 0 && is_alone(s);
}

/** next_timeout() - ms until the first deadline, -1: none */
static int next_timeout(const struct wgw_supervisor *s)
{
	const uint64_t deadlines[] = {s->flush_deadline, s->held_until, s->restart_at, s->rouse_at};
	uint64_t now = wgw_clock_ns(), first = 0;

	for (size_t i = 0; i < sizeof(deadlines) / sizeof(*deadlines); i++) {
		if (deadlines[i] && (!first || deadlines[i] < first))
			first = deadlines[i];
	}
	if (!first)
		return -1;
	if (first <= now)
		return 0;
	first = (first - now) / WGW_MS_NS + 1;
	return first > INT_MAX ? INT_MAX : (int)first;
}

static void run_timers(struct wgw_supervisor *s)
{
	uint64_t now = wgw_clock_ns();

	if (s->held_until && s->held_until <= now)
		wgw_relay_flush(s);
	if (s->rouse_at && s->rouse_at <= now)
		wgw_stops_rouse(s);
	if (s->flush_deadline && s->flush_deadline <= now)
		linger_over(s);
	if (s->restart_at && s->restart_at <= now && !s->starter && !is_over(s))
		wgw_restart_begin(s);
}

_Noreturn static void serve(struct wgw_supervisor *s)
{
	while (!is_over(s)) {
		struct pollfd p[] = {
			{.fd = s->signals, .events = POLLIN},
			{.fd = s->front, .events = POLLIN},
			{.fd = s->channel, .events = POLLIN},
			{.fd = s->starter_fd, .events = POLLIN},
			{.fd = s->listener}, /* hangs up when nobody has the filter any more */
		};

		if (poll(p, sizeof(p) / sizeof(*p), next_timeout(s)) < 0 && errno != EINTR)
			_exit(1);
		/* signals first: a request of the front is judged by what the group got */
		if (p[0].revents)
			take_signals(s);
		if (p[1].revents)
			take_front(s);
		if (p[2].revents && !wgw_serve_channel(s))
			wgw_restart_plan(s);
		if (p[3].revents)
			wgw_restart_finish(s);
		if (p[4].revents)
			s->listener = -1;
		run_timers(s);
	}
	_exit(0);
}

static_assert((int)WGW_CAPTURE_SCAN_MAX == (int)WGW_CH_SCAN_MAX, "one function scans for both");

void wgw_supervisor_leave(struct wgw_supervisor *s)
{
	if (s->listener >= 0)
		close(s->listener);
	s->listener = -1;
	if (s->front >= 0)
		close(s->front);
	s->front = -1;
}

/** value_of() - a variable of the command's environment, NULL: it is not there */
static const char *value_of(char **environment, const char *name)
{
	size_t len = strlen(name);

	for (; *environment; environment++) {
		if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
			return *environment + len + 1;
	}
	return NULL;
}

/** supervise() - answers the calls that the filter reports */
static void supervise(struct wgw_supervisor *s, const struct wgw_inherited *in, char **environment)
{
	struct wgw_capture_options options = {
		.session = environment[WGW_ENVIRON_SESSION] + sizeof(WGW_SESSION_ENV "=") - 1,
		.apps = value_of(environment, WGW_APPS_ENV),
		.listener = s->listener,
		.kept = in->kept,
		.n_kept = in->n_kept,
		.without_getfd = s->launch->capture.without_getfd,
		.scan = wgw_scan_sockets,
	};

	s->capture = wgw_capture_start(&options);
	if (s->capture)
		return;
	/* pthread_create() says EAGAIN for want of memory, too */
	wgw_say(WGW_SAY_ERROR, "cannot supervise the command: %s",
		errno == EAGAIN ? "no thread can be made: too many processes (ulimit -u), or too "
				  "little memory"
				: strerror(errno));
	kill(s->command, SIGKILL);
	_exit(WGW_RUN_FAILED);
}

_Noreturn void wgw_supervisor_main(struct wgw_launch *l, const struct wgw_inherited *in,
				   char **environment, int channel, int front)
{
	struct wgw_supervisor s = {.launch = l,
				   .channel = channel,
				   .front = front,
				   .front_pid = getppid(),
				   .listener = -1,
				   .starter_fd = -1};
	sigset_t all;

	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	for (size_t i = 0; i < NSIG; i++)
		s.seen[i] = -1;
	s.signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.signals < 0) {
		wgw_say(WGW_SAY_ERROR, "cannot start the command: %s", strerror(errno));
		_exit(WGW_RUN_FAILED);
	}
	s.command = wgw_command_start(l, in, environment, &s.listener);
	if (s.command < 0)
		_exit(WGW_RUN_FAILED);
	prctl(PR_SET_NAME, "wgwrap-session");
	s.up_since = wgw_clock_ns();
	wgw_null_stdio(STDIN_FILENO, STDOUT_FILENO);
	wgw_close_others((int[]){channel, front, s.signals, s.listener, l->dir.fd, wgw_say_fd()},
			 6);
	if (s.listener >= 0)
		supervise(&s, in, environment);
	if (chdir("/")) {
		/* it stays where it is */
	}
	serve(&s);
}
