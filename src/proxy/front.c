/* SPDX-License-Identifier: MIT */
/*
 * front.c - `wgwrap proxy`: opens the listeners, hands them to the tunnel process, and stays
 *
 * The front is its session's supervisor, too, but for a command: it answers the tunnel process's
 * questions (names of the host's resolver) and starts it again when it dies. The listening sockets
 * stay open here, so that a tunnel process that was started again gets the same ones and no client
 * is refused meanwhile.
 *
 * SIGINT, SIGTERM (and SIGHUP, unless there are files to be read again: users, certificates):
 * nothing new is accepted; what is open may end within --linger, a second signal ends it at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/descriptors.h"
#include "src/base/loop.h"
#include "src/proxy/front.h"
#include "src/proxy/handed.h"
#include "src/proxy/peer.h"
#include "src/session/notify.h"
#include "src/session/say.h"

#define DEFAULT_LISTENER "1080"

/* ---- listeners to the tunnel process ---- */

/* A memory file with the hashes, or -errno. */
static int users_memfd(const struct proxy_users *users)
{
	const struct iovec hashes = {users->at, users->n * PROXY_USER_HASH_BYTES};

	return proxy_memfd("wgwrap-users", &hashes, 1);
}

int proxy_front_send(const struct proxy_front *f, size_t i, int fd)
{
	const struct wgw_proxy_spec *s = &f->options->specs[i];
	struct wgw_channel_msg msg;
	int fds[2], err = 0;
	unsigned int n = 0;

	wgw_channel_prepare(&msg, WGW_CH_PROXY);
	msg.id = (uint32_t)i;
	msg.u.proxy.kind = s->kind;
	msg.u.proxy.family = f->options->family;
	msg.u.proxy.first = f->options->first;
	msg.u.proxy.connect_ms = f->options->connect_ms;
	msg.u.proxy.idle_s = s->idle_s;
	msg.u.proxy.target_port = s->target_port;
	memcpy(msg.u.proxy.listen_ip, f->sockets[i].at.ip, sizeof(msg.u.proxy.listen_ip));
	msg.u.proxy.listen_port = f->sockets[i].at.port;
	if (s->target_host)
		snprintf(msg.u.proxy.target_host, sizeof(msg.u.proxy.target_host), "%s",
			 s->target_host);
	if (fd >= 0)
		fds[n++] = fd;
	if (s->users.n > 0) {
		msg.u.proxy.n_users = (uint32_t)s->users.n;
		memcpy(msg.u.proxy.user_key, s->users.key, sizeof(msg.u.proxy.user_key));
		fds[n] = users_memfd(&s->users);
		err = fds[n] < 0 ? fds[n] : 0;
		n++;
	}
	/* where clients speak TLS its process looks at whose they are */
	if (f->sockets[i].shared && f->can_tell_users && !proxy_speaks_tls(s)) {
		msg.u.proxy.check_uid = 1;
		fds[n] = proxy_peer_open();
		err = fds[n] < 0 ? fds[n] : 0;
		n++;
	}
	if (!err)
		err = wgw_channel_send(f->session.channel, &msg, fds, n);
	if (n > (fd >= 0) && fds[n - 1] >= 0)
		close(fds[n - 1]);
	return err;
}

static void send_all(struct proxy_front *f)
{
	f->answered = 0;
	for (size_t i = 0; i < f->options->n; i++) {
		const struct wgw_proxy_spec *s = &f->options->specs[i];
		const struct proxy_socket *socket = &f->sockets[i];
		int err = 0;

		if (s->kind != WGW_PROXY_STDIO)
			err = proxy_front_send(f, i,
					       proxy_speaks_tls(s) ? socket->hand[1] : socket->fd);
		if (err)
			wgw_say(WGW_SAY_ERROR, "%s: %s", f->sockets[i].name, strerror(-err));
		f->failed |= err != 0;
	}
}

/* The tunnel process gets the users of the changed file for its listeners. */
static void reload_users(struct proxy_front *f)
{
	if (proxy_users_read(f->options))
		return; /* the old ones stay */
	for (size_t i = 0; i < f->options->n; i++) {
		if (f->options->specs[i].users_from_file && f->session.channel >= 0)
			proxy_front_send(f, i, -1);
	}
	wgw_say(WGW_SAY_INFO, "%s was read again", f->options->users_file);
}

/* Files that can be read again while listeners are open. */
static bool can_reload(const struct proxy_front *f)
{
	bool tls = false;

	for (size_t i = 0; i < f->options->n; i++)
		tls |= proxy_speaks_tls(&f->options->specs[i]);
	return tls || f->options->users_file;
}

static void reload(struct proxy_front *f)
{
	f->reload = false;
	if (f->options->users_file)
		reload_users(f);
	if (f->tls.pid > 0 && proxy_tls_reload(f) == 0)
		wgw_say(WGW_SAY_INFO, "the certificates were read again");
}

/* ---- messages ---- */

static const char *kind_text(enum wgw_proxy_kind kind)
{
	static const char *const texts[] = {
		[WGW_PROXY_MIXED] = "SOCKS and HTTP",
		[WGW_PROXY_SOCKS] = "SOCKS",
		[WGW_PROXY_HTTP] = "HTTP",
		[WGW_PROXY_TCP] = "TCP forward",
		[WGW_PROXY_UDP] = "UDP forward",
		[WGW_PROXY_REMOTE_TCP] = "TCP forward from the tunnel",
		[WGW_PROXY_REMOTE_UDP] = "UDP forward from the tunnel",
		[WGW_PROXY_SNI] = "TLS by server name",
		[WGW_PROXY_STDIO] = "standard input and output",
	};

	return texts[kind];
}

static void take_answer(struct proxy_front *f, const struct wgw_channel_msg *msg)
{
	const struct wgw_proxy_spec *s;

	if (msg->id >= f->options->n)
		return;
	s = &f->options->specs[msg->id];
	f->answered++;
	if (s->kind == WGW_PROXY_STDIO) {
		f->result = msg->err;
		snprintf(f->reason, sizeof(f->reason), "%s", msg->u.say.text);
	} else if (msg->err) {
		wgw_say(WGW_SAY_ERROR, "%s (%s): %s", f->sockets[msg->id].name, kind_text(s->kind),
			strerror(msg->err));
		f->failed = true;
	} else if (f->answered <= f->options->n) { /* else: a change of its users */
		/* a port that was chosen must be told */
		wgw_say(s->port || s->path ? WGW_SAY_INFO : WGW_SAY_WARNING,
			"listening on %s (%s%s)", f->sockets[msg->id].name, kind_text(s->kind),
			proxy_speaks_tls(s) ? " over TLS" : "");
	}
	if (f->answered == f->options->n && !f->failed)
		wgw_notify("READY=1");
}

/* False: the channel has ended. */
static bool take_message(struct proxy_front *f)
{
	struct wgw_channel_msg msg;
	ssize_t len = recv(f->session.channel, &msg, sizeof(msg), MSG_PEEK | MSG_DONTWAIT);

	if (len < (ssize_t)offsetof(struct wgw_channel_msg, u) ||
	    (msg.code != WGW_CH_PROXIED && msg.code != WGW_CH_PROXY_STOPPED))
		return wgw_serve_channel(&f->session);
	if (wgw_channel_receive(f->session.channel, &msg, MSG_DONTWAIT) <= 0)
		return false;
	if (msg.code == WGW_CH_PROXIED)
		take_answer(f, &msg);
	else
		f->stopped = true;
	return true;
}

/* ---- signals ---- */

static void stop(struct proxy_front *f)
{
	uint32_t linger_ms = f->launch.options->linger_ms;
	struct wgw_channel_msg msg;

	if (f->stopping) {
		f->stopped = f->cut = true;
		return;
	}
	f->stopping = true;
	wgw_notify("STOPPING=1");
	proxy_tls_stop(f);
	for (size_t i = 0; i < f->options->n; i++)
		proxy_close(&f->options->specs[i], &f->sockets[i]);
	f->deadline = wgw_clock_ns() + linger_ms * WGW_MS_NS;
	wgw_channel_prepare(&msg, WGW_CH_PROXY_STOP);
	if (f->session.channel < 0 || wgw_channel_send(f->session.channel, &msg, NULL, 0))
		f->stopped = true;
}

static void reap(struct proxy_front *f)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == f->tls.pid)
			proxy_tls_ended(f, status);
		if (pid == f->session.starter)
			f->session.starter = 0;
		for (size_t i = 0; i < WGW_RESOLVERS_MAX; i++) {
			if (f->session.resolvers[i] == pid)
				f->session.resolvers[i] = 0;
		}
	}
}

static void take_signals(struct proxy_front *f)
{
	struct signalfd_siginfo info;

	while (read(f->session.signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(f);
		else if (info.ssi_signo == SIGHUP && can_reload(f))
			f->reload = true;
		else
			stop(f);
	}
}

static int open_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaddset(&set, numbers[i]);
	sigaction(SIGCHLD, &dfl, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- beginning, turns, end ---- */

/* Whether users of this host can be told apart, where that matters. */
static void check_kernel(struct proxy_front *f)
{
	bool matters = false, all_ask = true;

	for (size_t i = 0; i < f->options->n; i++) {
		if (!f->sockets[i].shared)
			continue;
		matters = true;
		all_ask &= proxy_asks_users(f->options->specs[i].kind);
	}
	f->can_tell_users = matters && proxy_peer_known();
	if (matters && !f->can_tell_users)
		wgw_say(WGW_SAY_WARNING,
			"this kernel does not tell whose a connection on loopback is: every user "
			"of this host can use the proxy; %sa unix socket keeps them out",
			all_ask ? "--users FILE or " : "");
}

/* Everything up to the open channel. 0, or an exit status after an error was said. */
static int proxy_front_begin(struct proxy_front *f, struct wgw_proxy_options *o)
{
	int status;

	*f = (struct proxy_front){.options = o, .result = -1};
	f->session = (struct wgw_supervisor){.channel = -1,
					     .front = -1,
					     .signals = -1,
					     .starter_fd = -1,
					     .launch = &f->launch,
					     .up_since = wgw_clock_ns()};
	f->launch.dir.fd = -1;
	f->tls.control = -1;
	wgw_front_heed_signals();
	if (wgw_say_init(&o->run) || wgw_front_refuse_privileged())
		return WGW_EXIT_RUNTIME;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	f->config = proxy_config_read(o);
	if (!f->config)
		return WGW_EXIT_CONFIG;
	if (o->n == 0 && wgw_proxy_add_listener(o, WGW_PROXY_MIXED, DEFAULT_LISTENER))
		return WGW_EXIT_RUNTIME;
	if (proxy_users_read(o) || proxy_tls_prepare(o))
		return WGW_EXIT_CONFIG;
	f->sockets = calloc(o->n, sizeof(*f->sockets));
	if (!f->sockets)
		return WGW_EXIT_RUNTIME;
	for (size_t i = 0; i < o->n; i++)
		f->sockets[i] = (struct proxy_socket){.fd = -1, .hand = {-1, -1}};
	for (size_t i = 0; i < o->n; i++) {
		if (proxy_open(o, &o->specs[i], &f->sockets[i]))
			return WGW_EXIT_RUNTIME;
	}
	check_kernel(f);
	status = proxy_tls_start(f);
	if (status)
		return status;
	if (wgw_launch_init(&f->launch, &o->run, f->config))
		return WGW_EXIT_RUNTIME;
	f->session.channel = wgw_launch_channel(&f->launch);
	if (f->session.channel < 0)
		return WGW_EXIT_RUNTIME;
	if (wgw_wait_peers(&f->launch, f->session.channel))
		return WGW_EXIT_NO_HANDSHAKE;
	f->session.signals = open_signals();
	reap(f); /* who has ended before */
	return f->session.signals < 0 ? WGW_EXIT_RUNTIME : 0;
}

/* ms until something is due, -1: nothing */
static int next_timeout(const struct proxy_front *f)
{
	uint64_t now = wgw_clock_ns(), at = f->deadline;
	const uint64_t others[] = {f->session.restart_at, f->tls.restart_at};

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		if (others[i] && (!at || others[i] < at))
			at = others[i];
	}
	if (!at)
		return -1;
	return at <= now ? 0 : (int)((at - now) / WGW_MS_NS) + 1;
}

void proxy_front_turn(struct proxy_front *f, struct pollfd *extra, size_t n)
{
	struct wgw_supervisor *s = &f->session;
	struct pollfd p[8] = {
		{.fd = s->signals, .events = POLLIN},
		{.fd = s->channel, .events = POLLIN},
		{.fd = s->starter_fd, .events = POLLIN},
	};

	for (size_t i = 0; i < n; i++)
		p[3 + i] = extra[i];
	if (poll(p, 3 + n, next_timeout(f)) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		extra[i] = p[3 + i];
	if (p[0].revents)
		take_signals(f);
	if (p[1].revents && s->channel >= 0 && !take_message(f))
		wgw_restart_plan(s);
	if (p[2].revents) {
		wgw_restart_finish(s);
		if (s->channel >= 0)
			send_all(f);
	}
	if (s->restart_at && s->restart_at <= wgw_clock_ns() && !s->starter)
		wgw_restart_begin(s);
	if (f->tls.restart_at && f->tls.restart_at <= wgw_clock_ns())
		proxy_tls_restart(f);
	if (f->reload)
		reload(f);
	/* --no-restart */
	if (s->channel < 0 && !s->restart_at && !s->starter && s->starter_fd < 0)
		f->failed = true;
	if (f->deadline && f->deadline <= wgw_clock_ns())
		f->stopped = f->cut = true;
}

static void proxy_front_end(struct proxy_front *f)
{
	for (size_t i = 0; f->sockets && i < f->options->n; i++)
		proxy_close(&f->options->specs[i], &f->sockets[i]);
	free(f->sockets);
	if (f->session.channel >= 0)
		close(f->session.channel);
	if (f->session.signals >= 0)
		close(f->session.signals);
	if (f->tls.control >= 0) /* the rest of it is over when the session is */
		close(f->tls.control);
	if (f->launch.settings || f->launch.policy)
		wgw_launch_free(&f->launch);
	wgw_config_free(f->config);
}

/* ---- wgwrap proxy ---- */

int wgw_proxy_run(struct wgw_proxy_options *o)
{
	struct proxy_front f;
	int status;

	status = proxy_front_begin(&f, o);
	if (status == 0)
		send_all(&f);
	for (size_t i = 0; status == 0 && i < o->n && !f.failed; i++) {
		if (o->specs[i].kind == WGW_PROXY_STDIO) {
			status = proxy_stdio_run(&f, i);
			/* listeners go on alone; who started this sees the end of its output */
			if (o->n > 1) {
				status = 0;
				wgw_null_stdio(STDIN_FILENO, STDOUT_FILENO);
			} else {
				f.stopped = true;
			}
		}
	}
	while (status == 0 && !f.failed && (!f.stopped || (f.tls.pid > 0 && !f.cut)))
		proxy_front_turn(&f, NULL, 0);
	if (f.failed)
		status = WGW_EXIT_RUNTIME;
	proxy_front_end(&f);
	return status;
}
