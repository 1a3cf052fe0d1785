/* SPDX-License-Identifier: MIT */
/*
 * front.c - `wgwrap [run]`: what the shell started and waits for
 *
 * Order: what can be said without the network comes first (configuration, command), then the tunnel
 * process is found or started, then the handshake is waited for, then the supervisor starts the
 * command. From then on the front only stands for the command towards its caller:
 *
 *   - Signals sent to the front are relayed; the terminal has sent its own to the whole process
 *     group already.
 *   - When the command stops, so does the front, with the same signal, so that the shell gets the
 *     terminal back; when one of them is continued, so is the other.
 *   - It ends as the command did: same status, or by the same signal. Before, it waits until what
 *     the command wrote has been delivered.
 *
 * The front is not dumpable: it has read the private key.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/descriptors.h"
#include "src/base/loop.h"
#include "src/session/command.h"
#include "src/session/inherit.h"
#include "src/session/launch.h"
#include "src/session/program.h"
#include "src/session/run.h"
#include "src/session/say.h"
#include "src/session/supervisor.h"

enum {
	LINGER_MARGIN_MS = 2000, /* the supervisor bounds the wait; this is for its own end */
	IMPATIENT_MS = 250,	 /* an interrupt later than this after the end means: now */
};

/**
 * struct front - the front while the command runs
 * @session:	Socket to the supervisor
 * @signals:	signalfd
 * @supervisor:	Process id
 * @failed:	The supervisor has said why there is no session
 * @ended, @status: The command has ended, with this wait status
 * @deadline:	When the end is no longer waited for, 0: not set
 */
struct front {
	int session, signals;
	pid_t supervisor;
	bool ended, delivered, lost, failed;
	int status;
	uint64_t ended_at, deadline;
};

/** read_config() - reads and parses what -c names; NULL after an error was said */
static struct wgw_config *read_config(const struct wgw_run_options *options)
{
	struct wgw_diag diag = wgw_say_diag();
	struct wgw_config *config = NULL;
	char *source = NULL, *text;
	size_t len;

	text = wgw_config_read(options->config, &len, &source, &diag);
	if (text) {
		config = wgw_config_parse(source, text, len, options->lenient, &diag);
		wgw_config_wipe(text, len);
		if (config && strcmp(options->config, "-") != 0 &&
		    strncmp(options->config, "env:", 4) != 0)
			config->path = realpath(source, NULL);
	}
	free(source);
	if (strcmp(options->config, "-") == 0)
		wgw_null_stdio(STDIN_FILENO, STDIN_FILENO);
	return config;
}

/** wgw_front_refuse_privileged() - wgwrap trusts its environment, so it must not be set-user-ID */
int wgw_front_refuse_privileged(void)
{
	if (!getauxval(AT_SECURE) && getuid() == geteuid() && getgid() == getegid())
		return 0;
	wgw_say(WGW_SAY_ERROR,
		"refuses to run set-user-ID, set-group-ID or with file capabilities");
	return -1;
}

static void end_by_signal(int number)
{
	_exit(128 + number);
}

/** wgw_front_heed_signals() - PID 1 ignores signals without a handler, so a container could not be
 * stopped while a peer is waited for. exec resets handlers. A reader of standard error that has
 * gone and a limit of file sizes are errors of write(2). */
void wgw_front_heed_signals(void)
{
	static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
	struct sigaction end = {.sa_handler = end_by_signal}, old;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	for (size_t i = 0; getpid() == 1 && i < sizeof(numbers) / sizeof(*numbers); i++) {
		if (!sigaction(numbers[i], NULL, &old) && old.sa_handler == SIG_DFL)
			sigaction(numbers[i], &end, NULL);
	}
}

static void send_report(const struct front *f, const struct wgw_report *report)
{
	send(f->session, report, sizeof(*report), MSG_NOSIGNAL);
}

/** stop_like() - stops this process as signal @number stopped the command */
static void stop_like(int number)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t set, pending;

	if (getpid() == 1) /* cannot stop */
		return;
	sigaction(number, &dfl, NULL);
	sigemptyset(&set);
	sigaddset(&set, number);
	raise(number);
	sigprocmask(SIG_UNBLOCK, &set, NULL); /* stops here */
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* an orphaned process group ignores all but SIGSTOP */
	if (number != SIGSTOP && !sigpending(&pending) && !sigismember(&pending, SIGCONT))
		raise(SIGSTOP);
}

/** relay() - hands a signal on, unless the terminal has given it to the command, too */
static void relay(const struct front *f, const struct signalfd_siginfo *info)
{
	struct wgw_report report = {
		.kind = WGW_REPORT_SIGNAL,
		.value = (int)info->ssi_signo,
		.pid = (pid_t)info->ssi_pid,
		.queued = info->ssi_code == SI_QUEUE,
		.payload.sival_ptr = (void *)(uintptr_t)info->ssi_ptr,
	};
	bool sent = info->ssi_code == SI_USER || info->ssi_code == SI_TKILL || report.queued;

	if (info->ssi_signo == SIGCONT && report.pid == f->supervisor)
		return; /* the command runs already (stops.c) */
	/* a terminal that hangs up tells the session leader, which the command would be */
	if (info->ssi_signo == SIGHUP && getsid(0) == getpid())
		sent = true;
	if (f->ended) {
		bool impatient = wgw_clock_ns() - f->ended_at > IMPATIENT_MS * WGW_MS_NS &&
				 (info->ssi_signo == SIGINT || info->ssi_signo == SIGQUIT);

		report.kind = WGW_REPORT_HURRY;
		sent = impatient;
	}
	if (sent)
		send_report(f, &report);
}

/** reap() - collects @which, or -1: any child; as PID 1, not only the supervisor arrives here */
static void reap(struct front *f, pid_t which, int options)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(which, &status, options)) > 0) {
		if (pid != f->supervisor)
			continue;
		f->supervisor = 0;
		f->failed = WIFEXITED(status) && WEXITSTATUS(status) == WGW_RUN_FAILED;
	}
}

static void take_signals(struct front *f)
{
	struct signalfd_siginfo info;

	while (read(f->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(f, -1, WNOHANG);
		else
			relay(f, &info);
	}
}

static bool more_waits(const struct front *f)
{
	char first;

	return recv(f->session, &first, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

static void take_report(struct front *f, uint32_t linger_ms)
{
	struct wgw_report report;
	ssize_t len = recv(f->session, &report, sizeof(report), MSG_DONTWAIT);

	if (len < 0 && errno == EAGAIN)
		return;
	if (len != (ssize_t)sizeof(report)) {
		f->lost = true;
		return;
	}
	switch (report.kind) {
	case WGW_REPORT_STOPPED:
		if (!more_waits(f)) { /* else the command runs again, or is gone */
			stop_like(report.value);
			take_signals(f); /* the SIGCONT comes before the answer (stops.c) */
		}
		send_report(f, &(struct wgw_report){.kind = WGW_REPORT_CONTINUE});
		break;
	case WGW_REPORT_ENDED:
		f->ended = true;
		f->status = report.value;
		f->ended_at = wgw_clock_ns();
		f->deadline =
			f->ended_at + (linger_ms + UINT64_C(1) * LINGER_MARGIN_MS) * WGW_MS_NS;
		break;
	case WGW_REPORT_DELIVERED:
		f->delivered = true;
		break;
	default:
		break;
	}
}

/** stand_for_command() - until the command has ended and its data is delivered */
static void stand_for_command(struct front *f, uint32_t linger_ms)
{
	while (!f->lost && !(f->ended && f->delivered)) {
		struct pollfd p[] = {
			{.fd = f->signals, .events = POLLIN},
			{.fd = f->session, .events = POLLIN},
		};
		uint64_t now = wgw_clock_ns();
		int timeout = -1;

		if (f->deadline && now >= f->deadline)
			return;
		if (f->deadline)
			timeout = (int)((f->deadline - now) / WGW_MS_NS) + 1;
		if (poll(p, 2, timeout) < 0 && errno != EINTR)
			return;
		if (p[0].revents)
			take_signals(f);
		if (p[1].revents)
			take_report(f, linger_ms);
	}
}

/** end_like() - the exit status of wait status @status; a signal is raised again */
static int end_like(int status)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	struct rlimit none = {0, 0};
	int number = WTERMSIG(status);
	sigset_t set;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	setrlimit(RLIMIT_CORE, &none); /* the command's core is the one that matters */
	sigaction(number, &dfl, NULL);
	raise(number);
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return 128 + number; /* PID 1 does not die of its own signals */
}

/** run_session() - forks the supervisor and sees the command through; the exit status */
static int run_session(struct wgw_launch *l, const struct wgw_inherited *in, char **environment,
		       int channel)
{
	struct front f = {0};
	int pair[2];
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	f.signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (f.signals < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		wgw_say(WGW_SAY_ERROR, "cannot start a session: %s", strerror(errno));
		return WGW_RUN_FAILED;
	}
	f.supervisor = fork();
	if (f.supervisor < 0) {
		wgw_say(WGW_SAY_ERROR, "fork: %s", strerror(errno));
		return WGW_RUN_FAILED;
	}
	if (f.supervisor == 0)
		wgw_supervisor_main(l, in, environment, channel, pair[1]);
	f.session = pair[0];
	wgw_null_stdio(STDIN_FILENO, STDOUT_FILENO);
	wgw_close_others((int[]){f.session, f.signals, wgw_say_fd()}, 3);
	l->dir.fd = -1;
	stand_for_command(&f, l->options->linger_ms);
	if (f.ended)
		return end_like(f.status);
	if (f.supervisor)
		reap(&f, f.supervisor, 0);
	if (!f.failed)
		wgw_say(WGW_SAY_ERROR,
			"the session's supervisor was killed; the command has lost its network");
	return WGW_RUN_FAILED;
}

/** run_config() - everything that needs the configuration */
static int run_config(const struct wgw_run_options *options, const struct wgw_inherited *in,
		      struct wgw_config *config, const struct wgw_capture_probe *capture,
		      struct wgw_capture_trial *trial)
{
	struct wgw_launch l;
	char **environment;
	int channel, status = WGW_RUN_FAILED;

	if (wgw_launch_init(&l, options, config))
		goto out;
	l.capture = *capture;
	wgw_environ_warn();
	channel = wgw_launch_channel(&l);
	/* it has ended meanwhile */
	wgw_capture_probe_end(trial);
	if (channel < 0)
		goto out;
	environment = wgw_environ_build(&l);
	if (environment && !wgw_wait_peers(&l, channel))
		status = run_session(&l, in, environment, channel);
	free(environment);
out:
	wgw_launch_free(&l);
	return status;
}

static bool has_sodium(void)
{
	if (sodium_init() >= 0)
		return true;
	wgw_say(WGW_SAY_ERROR, "libsodium does not start");
	return false;
}

int wgw_run(const struct wgw_run_options *options)
{
	struct wgw_capture_trial trial;
	struct wgw_capture_probe capture;
	struct wgw_inherited in;
	struct wgw_config *config;
	char *path;
	int status;

	if (wgw_inherited_take(&in))
		return WGW_RUN_FAILED;
	/* over before anything secret is read; what needs none is done meanwhile */
	wgw_capture_probe_begin(&trial);
	wgw_front_heed_signals();
	if (wgw_say_init(options) || !has_sodium() || wgw_front_refuse_privileged() ||
	    wgw_inherited_check(&in, options) || wgw_capture_choose(options, &trial, &capture))
		return WGW_RUN_FAILED;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	config = read_config(options);
	if (!config)
		return WGW_RUN_FAILED;
	status = wgw_find_command(options->command[0], &capture, &path);
	if (status == 0)
		status = run_config(options, &in, config, &capture, &trial);
	wgw_capture_probe_end(&trial);
	free(path);
	wgw_config_free(config);
	free(in.close);
	free(in.kept);
	return status;
}
