/* SPDX-License-Identifier: MIT */
/*
 * tls_front.c - the front's side of TLS: which listeners speak it, their certificates, the TLS
 * process
 *
 * --tls-cert and --tls-key, or CertFile and KeyFile of wireproxy's [http]. The files are read here,
 * as the users' file is, and their text goes to the TLS process (tls.h), which judges it. When that
 * process dies its connections are lost; another takes its place, with the same listening sockets.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/descriptors.h"
#include "src/base/loop.h"
#include "src/proxy/front.h"
#include "src/proxy/handed.h"
#include "src/proxy/tls.h"
#include "src/session/say.h"

enum { ANSWER_MS = 10000, RETRY_FIRST_S = 1, RETRY_MAX_S = 32, STEADY_S = 60 };

bool proxy_speaks_tls(const struct wgw_proxy_spec *s)
{
	return s->tls_cert != NULL;
}

/* ---- which listeners ---- */

static bool may_speak_tls(const struct wgw_proxy_spec *s)
{
	return proxy_asks_users(s->kind) && !s->path;
}

int proxy_tls_prepare(struct wgw_proxy_options *o)
{
	size_t n = 0;

	if (!o->tls_cert)
		return 0;
	for (size_t i = 0; i < o->n; i++) {
		struct wgw_proxy_spec *s = &o->specs[i];

		if (may_speak_tls(s) && !s->tls_cert) {
			s->tls_cert = strdup(o->tls_cert);
			s->tls_key = strdup(o->tls_key ? o->tls_key : o->tls_cert);
			if (!s->tls_cert || !s->tls_key) {
				wgw_say(WGW_SAY_ERROR, "out of memory");
				return -1;
			}
		}
		n += proxy_speaks_tls(s);
	}
	if (n > 0)
		return 0;
	wgw_say(WGW_SAY_ERROR, "--tls-cert: there is no listener for SOCKS or HTTP at an address");
	return -1;
}

/* ---- certificates ---- */

/* Sends @order with both texts. 0 or -errno. */
static int send_order(const struct proxy_front *f, struct proxy_tls_order *order, char *cert,
		      char *key)
{
	const struct iovec pieces[] = {{cert, order->cert_len}, {key, order->key_len}};
	int fd = proxy_memfd("wgwrap-certificate", pieces, 2), err;

	if (fd < 0)
		return fd;
	err = proxy_fd_send(f->tls.control, order, sizeof(*order), fd);
	close(fd);
	return err;
}

/* Waits for the answer to the last order until @deadline. False: there is none. */
static bool await_answer(const struct proxy_front *f, uint64_t deadline,
			 struct proxy_tls_answer *answer)
{
	uint64_t now;
	struct pollfd p = {.fd = f->tls.control, .events = POLLIN};
	int fd, n;

	while ((now = wgw_clock_ns()) < deadline) {
		n = poll(&p, 1, (int)((deadline - now) / WGW_MS_NS) + 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 ||
		    proxy_fd_receive(p.fd, answer, sizeof(*answer), &fd) != sizeof(*answer))
			return false;
		if (answer->serial == f->tls.orders)
			return true;
	}
	return false;
}

/* What became of a certificate; SILENT: nobody answers, and nobody will for the next one. */
enum verdict { TAKEN, REFUSED, SILENT };

/* Says what the answer is. */
static enum verdict take_verdict(const struct proxy_front *f, const struct wgw_proxy_spec *s,
				 uint64_t deadline)
{
	struct proxy_tls_answer answer;
	const char *file;

	if (!await_answer(f, deadline, &answer)) {
		wgw_say(WGW_SAY_ERROR, "the TLS process does not answer");
		return SILENT;
	}
	file = answer.about_key ? s->tls_key : s->tls_cert;
	answer.text[sizeof(answer.text) - 1] = '\0';
	if (answer.err == ENOSYS)
		wgw_say(WGW_SAY_ERROR, "there is no TLS: %s", answer.text);
	else if (answer.err)
		wgw_say(WGW_SAY_ERROR, "%s: %s", file,
			answer.text[0] ? answer.text : strerror(answer.err));
	else if (answer.text[0])
		wgw_say(WGW_SAY_WARNING, "%s: %s", file, answer.text);
	return answer.err ? REFUSED : TAKEN;
}

static char *read_file(const char *path, bool secret, size_t *len)
{
	char *text = proxy_file_read(path, PROXY_TLS_FILE_MAX_BYTES, secret, len);

	if (!text)
		wgw_say(WGW_SAY_ERROR, "%s: %s", path, strerror(errno));
	return text;
}

static void wipe(char *text, size_t len)
{
	if (text)
		sodium_memzero(text, len);
	free(text);
}

/* Gives the TLS process what the @nth of its listeners, spec @s, shows to clients. */
static enum verdict give_certificate(struct proxy_front *f, uint32_t nth,
				     const struct wgw_proxy_spec *s, uint64_t deadline)
{
	size_t cert_len, key_len = 0;
	char *cert = read_file(s->tls_cert, false, &cert_len), *key = NULL;
	int err = -1;

	if (cert)
		key = read_file(s->tls_key, true, &key_len);
	if (key) {
		struct proxy_tls_order order = {.listener = nth,
						.serial = ++f->tls.orders,
						.cert_len = (uint32_t)cert_len,
						.key_len = (uint32_t)key_len};

		err = send_order(f, &order, cert, key);
		if (err)
			wgw_say(WGW_SAY_ERROR, "the TLS process: %s", strerror(-err));
	}
	wipe(key, key_len);
	wipe(cert, cert_len); /* both may be one file */
	return err ? REFUSED : take_verdict(f, s, deadline);
}

/* 0, or -1 after an error was said. All answers together are waited for as long as one: nothing
 * else is done meanwhile. */
static int give_certificates(struct proxy_front *f)
{
	uint64_t deadline = wgw_clock_ns() + ANSWER_MS * WGW_MS_NS;
	enum verdict v = TAKEN;
	uint32_t nth = 0;
	int err = 0;

	for (size_t i = 0; i < f->options->n && v != SILENT; i++) {
		if (!proxy_speaks_tls(&f->options->specs[i]))
			continue;
		v = give_certificate(f, nth++, &f->options->specs[i], deadline);
		err = v == TAKEN ? err : -1;
	}
	return err;
}

int proxy_tls_reload(struct proxy_front *f)
{
	return f->tls.pid > 0 ? give_certificates(f) : 0;
}

/* ---- the process ---- */

#ifdef WGW_HAVE_TLS
/* In the child: nothing of the front's secrets stays. */
static void forget(struct proxy_front *f)
{
	wgw_config_free(f->config);
	if (f->launch.settings || f->launch.policy)
		wgw_launch_free(&f->launch);
	for (size_t i = 0; i < f->options->n; i++)
		proxy_users_free(&f->options->specs[i].users);
}

static int run_child(struct proxy_front *f, int control)
{
	struct proxy_tls_listener listeners[WGW_PROXY_LISTENERS_MAX];
	int keep[2 * WGW_PROXY_LISTENERS_MAX + 2];
	size_t n = 0, n_keep = 0;

	for (size_t i = 0; i < f->options->n; i++) {
		const struct proxy_socket *socket = &f->sockets[i];

		if (!proxy_speaks_tls(&f->options->specs[i]))
			continue;
		listeners[n++] = (struct proxy_tls_listener){
			.fd = socket->fd,
			.hand = socket->hand[0],
			.plain = f->options->specs[i].kind == WGW_PROXY_MIXED && socket->loopback,
			.shared = socket->shared && f->can_tell_users,
		};
		keep[n_keep++] = socket->fd;
		keep[n_keep++] = socket->hand[0];
	}
	keep[n_keep++] = control;
	keep[n_keep++] = wgw_say_fd();
	wgw_null_stdio(STDIN_FILENO, STDOUT_FILENO);
	wgw_close_others(keep, n_keep);
	forget(f);
	return proxy_tls_main(control, listeners, n);
}
#else
static int run_child(struct proxy_front *f, int control)
{
	(void)f, (void)control;
	return 1;
}
#endif

static bool is_built_in(void)
{
#ifdef WGW_HAVE_TLS
	return true;
#else
	return false;
#endif
}

/* A pair for each listener over which its connections go to the tunnel process. 0 or -errno. */
static int make_hands(struct proxy_front *f, size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < f->options->n; i++) {
		int *hand = f->sockets[i].hand;

		if (!proxy_speaks_tls(&f->options->specs[i]))
			continue;
		(*n)++;
		if (hand[0] < 0 &&
		    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, hand) < 0)
			return -errno;
	}
	return 0;
}

static int start_process(struct proxy_front *f)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	f->tls.pid = fork();
	if (f->tls.pid == 0)
		_exit(run_child(f, pair[1]));
	close(pair[1]);
	if (f->tls.pid < 0) {
		close(pair[0]);
		f->tls.pid = 0;
		return -errno;
	}
	f->tls.control = pair[0];
	f->tls.since = wgw_clock_ns();
	return 0;
}

int proxy_tls_start(struct proxy_front *f)
{
	size_t n;
	int err = make_hands(f, &n);

	f->tls.restart_at = 0;
	if (n == 0)
		return 0;
	if (!is_built_in()) {
		wgw_say(WGW_SAY_ERROR, "this wgwrap was built without TLS: libssl-dev was missing");
		return WGW_EXIT_CONFIG;
	}
	if (!err)
		err = start_process(f);
	if (err) {
		wgw_say(WGW_SAY_ERROR, "cannot start the TLS process: %s", strerror(-err));
		return WGW_EXIT_RUNTIME;
	}
	return give_certificates(f) ? WGW_EXIT_CONFIG : 0;
}

void proxy_tls_stop(struct proxy_front *f)
{
	if (f->tls.control >= 0)
		shutdown(f->tls.control, SHUT_RDWR);
	f->tls.stopping = true;
	f->tls.restart_at = 0;
}

void proxy_tls_ended(struct proxy_front *f, int status)
{
	uint64_t now = wgw_clock_ns();

	close(f->tls.control);
	f->tls.control = -1;
	f->tls.pid = 0;
	if (f->tls.stopping)
		return;
	if (now - f->tls.since > STEADY_S * WGW_SEC_NS || !f->tls.retry_s)
		f->tls.retry_s = RETRY_FIRST_S;
	else if (f->tls.retry_s < RETRY_MAX_S)
		f->tls.retry_s *= 2;
	f->tls.restart_at = now + f->tls.retry_s * WGW_SEC_NS;
	wgw_say(WGW_SAY_ERROR,
		"the TLS process ended (%s %d); its connections are lost; it starts again in %u s",
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), f->tls.retry_s);
}

void proxy_tls_restart(struct proxy_front *f)
{
	if (proxy_tls_start(f) == 0)
		return;
	/* without a certificate it accepts nothing: end it, and try again */
	if (f->tls.pid > 0)
		kill(f->tls.pid, SIGKILL);
	else
		f->tls.restart_at = wgw_clock_ns() + RETRY_MAX_S * WGW_SEC_NS;
}
