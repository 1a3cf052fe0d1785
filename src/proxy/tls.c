/* SPDX-License-Identifier: MIT */
/*
 * tls.c - the TLS process: accepts the connections of listeners that speak TLS
 *
 * Theory of operation
 *
 *   client ──TLS──> TLS process ──socket pair──> tunnel process
 *
 * It stands beside the tunnel process, not in it, because that one is shared, runs already when a
 * proxy with TLS is started, and then can open neither libssl nor a file; so keys of certificates
 * and keys of tunnels are never in one process either. It is forked by the front, loads libssl,
 * gets certificates as text, and is sandboxed as the tunnel process is before it accepts anything.
 *
 * A connection is handed over (handed.h) when its handshake is done: until then the tunnel process
 * knows nothing of it. On a listener that takes both, one that does not begin with a TLS handshake
 * is handed over as it is.
 *
 * Callbacks of the loop note what happened and queue the connection; it is served once, before the
 * loop sleeps, and freed there and nowhere else.
 */
#ifdef WGW_HAVE_TLS

#include "src/proxy/tls.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/proxy/handed.h"
#include "src/proxy/peer.h"
#include "src/proxy/tls_process.h"
#include "src/session/say.h"
#include "src/tunnel/core.h"

/* ---- accepting ---- */

static void pause_service(struct tls_service *s, uint64_t ms)
{
	if (!s->pause.slot)
		wgw_timer_set(s->process->loop, &s->pause, wgw_clock_ns() + ms * WGW_MS_NS);
}

static bool may_enter(struct tls_service *s, const struct stack_addr *peer,
		      const struct stack_addr *local)
{
	struct proxy_refusal why;

	if (s->diag < 0 || proxy_peer_may_enter(s->diag, peer, local, true, &s->warned_at, &why))
		return true;
	wgw_say(why.level, "%s", why.text);
	return false;
}

/* Takes one connection of the kernel's backlog. 0 or -errno. */
static int accept_one(struct tls_service *s)
{
	int fd = accept4(s->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct stack_addr peer, local;

	if (fd < 0)
		return -errno;
	if (proxy_peer_ends(fd, &peer, &local) && may_enter(s, &peer, &local))
		tls_conn_new(s, fd, &peer);
	else
		close(fd);
	return 0;
}

static void accept_all(struct tls_service *s)
{
	for (int n = 0; s->ctx && !s->process->stopping; n++) {
		struct tls_conn *spare = NULL;
		int err;

		if (n == TLS_ACCEPT_TURN) { /* there may be more than can be looked at */
			pause_service(s, 0);
			return;
		}
		if (s->unknown >= PROXY_TLS_UNKNOWN_MAX) {
			spare = tls_conn_spare(s);
			if (!spare) { /* the backlog holds the others */
				pause_service(s, TLS_PAUSE_MS);
				return;
			}
		}
		err = accept_one(s);
		if (err == -EAGAIN)
			return;
		if (spare && s->unknown > PROXY_TLS_UNKNOWN_MAX)
			tls_conn_give_way(spare);
		if (err && err != -EINTR && err != -ECONNABORTED) {
			/* no descriptors: some have to close first */
			pause_service(s, TLS_PAUSE_MS);
			return;
		}
	}
}

static void on_listener(struct wgw_watch *w, uint32_t events)
{
	(void)events;
	accept_all(wgw_container(w, struct tls_service, watch));
}

static void on_hand(struct wgw_watch *w, uint32_t events)
{
	(void)events;
	tls_conn_hand_waiting(wgw_container(w, struct tls_service, hand));
}

static void on_pause(struct wgw_timer *timer)
{
	struct tls_service *s = wgw_container(timer, struct tls_service, pause);

	tls_conn_hand_waiting(s);
	accept_all(s);
}

/* ---- certificates ---- */

static void take_certificate(struct tls_service *s, const struct proxy_tls_order *order, int fd,
			     struct proxy_tls_answer *answer)
{
	size_t len = (size_t)order->cert_len + order->key_len;
	struct proxy_tls_verdict verdict;
	char *text = len > 0 ? proxy_memfd_read(fd, len) : NULL;
	SSL_CTX *ctx;

	answer->err = EINVAL;
	if (!text) {
		snprintf(answer->text, sizeof(answer->text), "it is empty, or cannot be read");
		return;
	}
	ctx = proxy_tls_context(text, order->cert_len, text + order->cert_len, order->key_len,
				&verdict);
	sodium_memzero(text, len);
	free(text);
	answer->about_key = verdict.file == PROXY_TLS_KEY;
	snprintf(answer->text, sizeof(answer->text), "%s", verdict.text);
	if (!ctx)
		return;
	answer->err = 0;
	ossl.SSL_CTX_free(s->ctx); /* connections that use it hold on to it */
	s->ctx = ctx;
	accept_all(s);
}

static void take_order(struct tls_process *p, const struct proxy_tls_order *order, int fd)
{
	struct proxy_tls_answer answer = {.err = ENOSYS, .serial = order->serial};

	if (p->unusable)
		snprintf(answer.text, sizeof(answer.text), "%s", p->unusable);
	else if (order->listener >= p->n || fd < 0 || order->cert_len > PROXY_TLS_FILE_MAX_BYTES ||
		 order->key_len > PROXY_TLS_FILE_MAX_BYTES)
		answer.err = EINVAL;
	else
		take_certificate(&p->services[order->listener], order, fd, &answer);
	proxy_fd_send(p->control.fd, &answer, sizeof(answer), -1);
}

/* ---- the front ---- */

static void stop(struct tls_process *p)
{
	p->stopping = true;
	wgw_loop_del(p->loop, &p->control);
	for (size_t i = 0; i < p->n; i++) {
		struct tls_service *s = &p->services[i];

		wgw_loop_del(p->loop, &s->watch);
		close(s->watch.fd);
		wgw_timer_cancel(p->loop, &s->pause);
	}
	tls_conn_drop_unknown(p);
}

static void on_control(struct wgw_watch *w, uint32_t events)
{
	struct tls_process *p = wgw_container(w, struct tls_process, control);
	struct proxy_tls_order order;
	ssize_t len;
	int fd;

	(void)events;
	len = proxy_fd_receive(w->fd, &order, sizeof(order), &fd);
	if (len == sizeof(order))
		take_order(p, &order, fd);
	if (fd >= 0)
		close(fd);
	if (len == 0 || (len < 0 && len != -EAGAIN))
		stop(p);
}

static bool before_sleep(struct wgw_before *b)
{
	struct tls_process *p = wgw_container(b, struct tls_process, before);
	bool again = tls_conn_run_due(p);

	if (p->stopping && p->conns.next == &p->conns)
		wgw_loop_stop(p->loop);
	return again;
}

/* ---- beginning ---- */

static void say_warning(void *ctx, const char *warning)
{
	(void)ctx;
	wgw_say(WGW_SAY_WARNING, "TLS: %s", warning);
}

/* Signals to the group are the front's, which lets connections end; a reader that is gone and a
 * limit of file sizes are errors of write(2). */
static void set_signals(void)
{
	static const int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGXFSZ};
	sigset_t none;

	for (int n = 1; n < NSIG; n++)
		signal(n, SIG_DFL);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int add_service(struct tls_process *p, struct tls_service *s,
		       const struct proxy_tls_listener *l)
{
	int err, diag = l->shared ? proxy_peer_open() : -1;

	if (l->shared && diag < 0)
		return diag;
	*s = (struct tls_service){
		.process = p,
		.watch = {l->fd, on_listener},
		.hand = {l->hand, on_hand},
		.pause.due = on_pause,
		.plain = l->plain,
		.diag = diag,
	};
	wgw_list_init(&s->silent);
	wgw_list_init(&s->waiting);
	err = wgw_loop_add(p->loop, &s->watch, EPOLLIN | EPOLLET);
	return err ? err : wgw_loop_add(p->loop, &s->hand, EPOLLOUT | EPOLLET);
}

int proxy_tls_main(int control, const struct proxy_tls_listener *listeners, size_t n)
{
	static struct tls_process p; /* in reach for a leak checker, whenever it ends */
	int err = 0;

	set_signals();
	raise_descriptor_limit();
	prctl(PR_SET_NAME, "wgwrap-tls");
	p = (struct tls_process){
		.control = {control, on_control},
		.before.run = before_sleep,
		.n = n,
		.unusable = proxy_tls_load(),
		.loop = wgw_loop_new(),
		.services = calloc(n, sizeof(*p.services)),
	};
	if (!p.loop || !p.services)
		return 1;
	wgw_list_init(&p.conns);
	p.due_tail = &p.due;
	for (size_t i = 0; i < n && !err; i++)
		err = add_service(&p, &p.services[i], &listeners[i]);
	if (!err)
		err = wgw_loop_add(p.loop, &p.control, EPOLLIN);
	if (!err)
		err = wgw_sandbox_enter(say_warning, NULL);
	if (err) {
		wgw_say(WGW_SAY_ERROR, "the TLS process cannot start: %s", strerror(-err));
		return 1;
	}
	wgw_loop_before(p.loop, &p.before);
	wgw_loop_run(p.loop);
	return 0;
}

#endif
