/* SPDX-License-Identifier: MIT */
/*
 * service.c - listeners of a session: where proxies begin and end
 *
 * A listener is a socket that the session's front has opened and passed over the channel with what
 * it is for (WGW_CH_PROXY); this process opens none. Where clients speak TLS it is the socket over
 * which the TLS process hands the connections that it has accepted. It lives until the front says
 * stop or the session is over; its clients then run out, or are dropped when the session is over.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/http.h"
#include "src/proxy/handed.h"
#include "src/proxy/internal.h"
#include "src/proxy/peer.h"

/* ---- mixed: the first byte decides ---- */

static void mixed_run(struct proxy_client *c)
{
	if (c->in_len == 0) {
		if (c->in_end)
			proxy_client_drop(c, false);
		return;
	}
	c->protocol = c->in[0] == 4 || c->in[0] == 5 ? &proxy_socks : &proxy_http;
	c->protocol->run(c);
}

static const struct proxy_protocol mixed = {.run = mixed_run};

/* ---- one destination ---- */

static void forward_run(struct proxy_client *c)
{
	if (c->dial || c->known)
		return;
	c->target = c->service->target;
	proxy_client_dial(c);
}

/* Tells `wgwrap nc` how its connect ended. */
static void tell_stdio(struct proxy_client *c, enum proxy_result r)
{
	struct proxy_service *v = c->service;
	struct wgw_channel_msg msg = {.code = WGW_CH_PROXIED, .id = v->id, .err = (int32_t)r};

	snprintf(msg.u.say.text, sizeof(msg.u.say.text), "%s", proxy_result_text(r));
	if (v->session->channel)
		wgw_client_send(v->session->channel, &msg);
}

static void forward_dialled(struct proxy_client *c, enum proxy_result r, struct proxy_far *far)
{
	if (c->service->kind == WGW_PROXY_STDIO)
		tell_stdio(c, r);
	if (r == PROXY_OK)
		proxy_client_join(c, far);
	else
		proxy_client_drop(c, true);
}

static const struct proxy_protocol forward = {.run = forward_run, .dialled = forward_dialled};

/* ---- words ---- */

void proxy_say_result(struct proxy_service *v, const char *from, const struct proxy_target *to,
		      enum proxy_result r)
{
	const char *colon = strchr(to->name, ':');

	wgw_session_say(v->session, 2, "proxy: %s to %s%s%s:%u: %s", from, colon ? "[" : "",
			to->name, colon ? "]" : "", to->addr.port, proxy_result_text(r));
}

/* ---- life ---- */

void proxy_service_get(struct proxy_service *v)
{
	v->refs++;
}

void proxy_service_put(struct proxy_service *v)
{
	if (--v->refs > 0)
		return;
	proxy_users_free(&v->users);
	if (v->diag >= 0)
		close(v->diag);
	wgw_session_put(v->session);
	free(v);
}

static void service_close(struct proxy_service *v)
{
	struct wgw_loop *loop = v->proxy->t->loop;

	wgw_list_remove(&v->link);
	wgw_timer_cancel(loop, &v->pause);
	if (v->watch.fd >= 0) {
		wgw_loop_del(loop, &v->watch);
		close(v->watch.fd);
		v->watch.fd = -1;
	}
	if (v->listener)
		flow_listener_close(v->listener);
	v->listener = NULL;
	proxy_udp_stop(v);
	proxy_service_put(v);
}

/* ---- accepting ---- */

static const struct proxy_protocol *const protocols[] = {
	[WGW_PROXY_MIXED] = &mixed,	[WGW_PROXY_SOCKS] = &proxy_socks,
	[WGW_PROXY_HTTP] = &proxy_http, [WGW_PROXY_TCP] = &forward,
	[WGW_PROXY_SNI] = &proxy_sni,	[WGW_PROXY_STDIO] = &forward,
};

static void pause_accept(struct proxy_service *v, uint64_t ms)
{
	if (!v->pause.slot)
		wgw_timer_set(v->proxy->t->loop, &v->pause, wgw_clock_ns() + ms * WGW_MS_NS);
}

/* On loopback without users: our own user's connections only, and root's. */
static bool may_enter(struct proxy_service *v, int fd)
{
	struct stack_addr peer, local;
	struct proxy_refusal why;

	if (v->diag < 0)
		return true;
	if (!proxy_peer_ends(fd, &peer, &local))
		return false;
	if (proxy_peer_may_enter(v->diag, &peer, &local, proxy_asks_users(v->kind),
				 &v->uid_warned_at, &why))
		return true;
	wgw_session_say(v->session, why.level, "%s", why.text);
	return false;
}

/* Takes one connection of the kernel's backlog. 0 or -errno. */
static int accept_one(struct proxy_service *v)
{
	int fd = accept4(v->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (may_enter(v, fd))
		proxy_client_new(v, fd, protocols[v->kind]);
	else
		close(fd);
	return 0;
}

/* Whether there is a number for one more descriptor. */
static bool has_descriptor(int any)
{
	int fd = fcntl(any, F_DUPFD_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* The same of those that the TLS process has accepted, and has let enter. A descriptor for which
 * there is no number is lost with its message, so that is looked at before. */
static int take_handed(struct proxy_service *v)
{
	struct proxy_handed handed;
	ssize_t len;
	int fd;

	if (!has_descriptor(v->watch.fd))
		return -EMFILE;
	len = proxy_fd_receive(v->watch.fd, &handed, sizeof(handed), &fd);
	if (len <= 0) /* 0: nobody is left who could hand anything */
		return len < 0 ? (int)len : -EAGAIN;
	if (fd < 0)
		return -EMFILE;
	if (len != sizeof(handed))
		close(fd);
	else if (handed.tls)
		proxy_client_own(v, fd, protocols[v->kind], &handed.peer);
	else
		proxy_client_new(v, fd, protocols[v->kind]);
	return 0;
}

static void accept_all(struct proxy_service *v)
{
	for (int n = 0; v->watch.fd >= 0; n++) {
		struct proxy_client *spare = NULL;
		int err;

		if (n == PROXY_ACCEPT_TURN) { /* there may be more than can be looked at */
			pause_accept(v, 0);
			return;
		}
		if (v->unknown >= PROXY_UNKNOWN_MAX) {
			spare = proxy_client_spare(v);
			if (!spare) { /* the backlog holds the others */
				pause_accept(v, PROXY_ACCEPT_PAUSE_MS);
				return;
			}
		}
		err = v->handed ? take_handed(v) : accept_one(v);
		if (err == -EAGAIN)
			return;
		if (spare && v->unknown > PROXY_UNKNOWN_MAX)
			proxy_client_give_way(spare);
		if (err && err != -EINTR && err != -ECONNABORTED) {
			/* no descriptors: some have to close first */
			pause_accept(v, PROXY_ACCEPT_PAUSE_MS);
			return;
		}
	}
}

static void on_listener(struct wgw_watch *w, uint32_t events)
{
	(void)events;
	accept_all(wgw_container(w, struct proxy_service, watch));
}

static void on_pause(struct wgw_timer *timer)
{
	accept_all(wgw_container(timer, struct proxy_service, pause));
}

/* ---- messages of the front ---- */

/* Reads the users' hashes. 0 or errno. */
static int take_users(struct proxy_service *v, const struct wgw_channel_msg *msg, int fd)
{
	size_t n = msg->u.proxy.n_users, bytes = n * PROXY_USER_HASH_BYTES;
	struct stat st;

	memcpy(v->users.key, msg->u.proxy.user_key, sizeof(v->users.key));
	if (n == 0)
		return 0;
	if (n > PROXY_USERS_MAX || fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return EINVAL;
	v->users.at = malloc(bytes);
	if (!v->users.at)
		return ENOMEM;
	v->users.n = n;
	return pread(fd, v->users.at, bytes, 0) == (ssize_t)bytes ? 0 : EINVAL;
}

static bool has_target(enum wgw_proxy_kind kind)
{
	return kind == WGW_PROXY_TCP || kind == WGW_PROXY_UDP || kind == WGW_PROXY_REMOTE_TCP ||
	       kind == WGW_PROXY_REMOTE_UDP || kind == WGW_PROXY_STDIO;
}

static struct proxy_service *service_new(struct wgw_session *s, const struct wgw_channel_msg *msg,
					 int users_fd, int *err)
{
	struct proxy_service *v = calloc(1, sizeof(*v));
	const char *host = msg->u.proxy.target_host;

	*err = ENOMEM;
	if (!v)
		return NULL;
	v->proxy = s->t->proxy;
	wgw_list_init(&v->unheard);
	v->refs = 1;
	v->kind = (enum wgw_proxy_kind)msg->u.proxy.kind;
	v->id = msg->id;
	v->watch = (struct wgw_watch){-1, on_listener};
	v->pause.due = on_pause;
	v->diag = -1;
	v->idle_s = msg->u.proxy.idle_s;
	v->dial.family = msg->u.proxy.family;
	v->dial.first = msg->u.proxy.first;
	v->dial.connect_ms = msg->u.proxy.connect_ms;
	v->dial.host = v->kind == WGW_PROXY_REMOTE_TCP || v->kind == WGW_PROXY_REMOTE_UDP;
	v->session = s;
	wgw_session_get(s);
	*err = take_users(v, msg, users_fd);
	if (!*err && has_target(v->kind) &&
	    proxy_target_set(&v->target, host, strnlen(host, sizeof(msg->u.proxy.target_host)),
			     msg->u.proxy.target_port) < 0)
		*err = EINVAL;
	if (!*err)
		return v;
	proxy_service_put(v);
	return NULL;
}

static bool listens(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) == 0 && value;
}

/* Takes *@socket over when it succeeds. 0 or errno. */
static int service_start(struct proxy_service *v, const struct wgw_channel_msg *msg, int *socket)
{
	struct stack_addr at = {.port = msg->u.proxy.listen_port};
	int err = 0;

	memcpy(at.ip, msg->u.proxy.listen_ip, sizeof(at.ip));
	if (v->kind == WGW_PROXY_REMOTE_TCP)
		return proxy_remote_start(v, &at);
	if (v->kind == WGW_PROXY_REMOTE_UDP)
		return proxy_udp_start(v, &at);
	if (v->kind == WGW_PROXY_UDP) {
		v->watch.fd = *socket;
		err = proxy_udp_start(v, NULL);
		if (err)
			v->watch.fd = -1;
		else
			*socket = -1;
		return err;
	}
	if (v->kind == WGW_PROXY_STDIO) {
		proxy_client_own(v, *socket, protocols[v->kind], NULL);
		*socket = -1;
		return 0;
	}
	if ((size_t)v->kind >= sizeof(protocols) / sizeof(*protocols) || !protocols[v->kind])
		return EPROTONOSUPPORT;
	v->watch.fd = *socket;
	v->handed = !listens(*socket);
	err = -wgw_loop_add(v->proxy->t->loop, &v->watch, EPOLLIN | EPOLLET);
	if (err)
		v->watch.fd = -1;
	else
		*socket = -1;
	return err;
}

static struct proxy_service *service_find(const struct wgw_session *s, uint32_t id)
{
	struct wgw_link *l = s->t->proxy->services.next;

	for (; l != &s->t->proxy->services; l = l->next) {
		struct proxy_service *v = wgw_container(l, struct proxy_service, link);

		if (v->session == s && v->id == id)
			return v;
	}
	return NULL;
}

/* Other users for a listener that is there. 0 or errno. */
static int change_users(struct proxy_service *v, const struct wgw_channel_msg *msg, int fd)
{
	struct proxy_users old = v->users;
	int err;

	v->users = (struct proxy_users){0};
	err = take_users(v, msg, fd);
	if (err) {
		proxy_users_free(&v->users);
		v->users = old;
	} else {
		proxy_users_free(&old);
	}
	return err;
}

static void take_listener(struct wgw_session *s, const struct wgw_channel_msg *msg, int *fds,
			  unsigned int n_fds)
{
	struct wgw_channel_msg reply = {.code = WGW_CH_PROXIED, .id = msg->id};
	unsigned int with_users = msg->u.proxy.n_users > 0;
	unsigned int with_socket = msg->u.proxy.kind != WGW_PROXY_REMOTE_TCP &&
				   msg->u.proxy.kind != WGW_PROXY_REMOTE_UDP;
	struct proxy_service *v = service_find(s, msg->id);
	unsigned int with_diag = !with_users && msg->u.proxy.check_uid;
	int err = n_fds == with_socket + with_users + with_diag ? 0 : EINVAL;

	if (v) {
		reply.err = n_fds == 1 && with_users ? change_users(v, msg, fds[0]) : EINVAL;
		wgw_client_send(s->channel, &reply);
		return;
	}
	if (!err)
		v = service_new(s, msg, with_users ? fds[with_socket] : -1, &err);
	if (!err && with_diag) {
		v->diag = fds[with_socket];
		fds[with_socket] = -1;
	}
	if (!err)
		err = service_start(v, msg, &fds[0]);
	if (!err)
		wgw_list_append(&s->t->proxy->services, &v->link);
	else if (v)
		proxy_service_put(v);
	reply.err = err;
	if (err || v->kind != WGW_PROXY_STDIO) /* that one is answered by its connect */
		wgw_client_send(s->channel, &reply);
}

static void close_services(struct wgw_proxy *p, const struct wgw_session *s)
{
	struct wgw_link *l = p->services.next;

	while (l != &p->services) {
		struct proxy_service *v = wgw_container(l, struct proxy_service, link);

		l = l->next;
		if (v->session == s)
			service_close(v);
	}
}

/* ---- the end of a session's proxies ---- */

/** struct stop - waits until no connection of a session is left */
struct stop {
	struct wgw_timer timer;
	struct wgw_session *session;
};

static bool has_connections(const struct wgw_session *s)
{
	const struct wgw_link *l = s->t->proxy->clients.next;
	const struct wgw_quota *q = s->t->sockets->quotas;

	for (; l != &s->t->proxy->clients; l = l->next) {
		if (wgw_container(l, struct proxy_client, link)->service->session == s)
			return true;
	}
	for (l = s->t->proxy->remotes.next; l != &s->t->proxy->remotes; l = l->next) {
		if (proxy_remote_session(l) == s)
			return true;
	}
	while (q && q->session != s)
		q = q->next;
	return q && q->conns > 0;
}

static void stop_due(struct wgw_timer *timer)
{
	struct stop *stop = wgw_container(timer, struct stop, timer);
	struct wgw_session *s = stop->session;
	struct wgw_channel_msg msg = {.code = WGW_CH_PROXY_STOPPED};

	if (s->channel && has_connections(s)) {
		wgw_timer_set(s->t->loop, timer, wgw_clock_ns() + PROXY_STOP_EVERY_MS * WGW_MS_NS);
		return;
	}
	if (s->channel)
		wgw_client_send(s->channel, &msg);
	free(stop);
	wgw_session_put(s);
}

static void stop_begin(struct wgw_session *s)
{
	struct stop *stop = calloc(1, sizeof(*stop));

	if (!stop)
		return;
	stop->timer.due = stop_due;
	stop->session = s;
	wgw_session_get(s);
	wgw_timer_set(s->t->loop, &stop->timer, 0);
}

static bool proxy_message(struct wgw_tunnel *t, struct wgw_session *s,
			  const struct wgw_channel_msg *msg, int *fds, unsigned int n_fds)
{
	switch (msg->code) {
	case WGW_CH_PROXY:
		take_listener(s, msg, fds, n_fds);
		return true;
	case WGW_CH_PROXY_STOP:
		close_services(t->proxy, s);
		stop_begin(s);
		return true;
	default:
		return false;
	}
}

static void proxy_session_over(struct wgw_tunnel *t, struct wgw_session *s)
{
	struct wgw_link *l = t->proxy->clients.next;

	close_services(t->proxy, s);
	proxy_remote_session_over(t->proxy, s);
	while (l != &t->proxy->clients) {
		struct proxy_client *c = wgw_container(l, struct proxy_client, link);

		l = l->next;
		if (c->service->session == s)
			proxy_client_drop(c, true);
	}
}

static const struct wgw_proxy_hooks hooks = {.message = proxy_message, .over = proxy_session_over};

int wgw_proxy_init(struct wgw_tunnel *t)
{
	struct wgw_proxy *p = calloc(1, sizeof(*p));
	int err = p ? wgw_http_load() : -ENOMEM;

	if (err) {
		free(p);
		return err;
	}
	p->t = t;
	wgw_list_init(&p->services);
	wgw_list_init(&p->clients);
	wgw_list_init(&p->remotes);
	randombytes_buf(p->hash_key, sizeof(p->hash_key));
	t->proxy = p;
	t->proxy_hooks = &hooks;
	return 0;
}
