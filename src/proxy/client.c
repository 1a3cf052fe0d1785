/* SPDX-License-Identifier: MIT */
/*
 * client.c - one accepted connection, from its first byte until it is joined to its destination
 *
 * Bytes are read into a growing buffer of at most PROXY_HEAD_MAX_BYTES and used from its head; what
 * comes behind a request (early data, pipelined messages) stays there and goes with the connection
 * when it is joined. What was used may have been a password, and is wiped.
 *
 * A client that does not finish its request in PROXY_HANDSHAKE_MS is dropped; where there are
 * PROXY_UNKNOWN_MAX of them the oldest gives way to a new one after PROXY_PATIENCE_MS. One that
 * goes away while its connect is under way calls it off.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/sockaddr.h"
#include "src/proxy/internal.h"
#include "src/proxy/peer.h"

enum { IN_FIRST_BYTES = 1024, KEEP_IDLE_S = 60 };

void proxy_client_kick(struct proxy_client *c)
{
	wgw_job_queue(c->service->proxy->t->sockets, &c->job);
}

static void free_input(uint8_t *in, size_t cap)
{
	if (in)
		sodium_memzero(in, cap);
	free(in);
}

static void client_free(struct proxy_client *c)
{
	if (c->protocol->free)
		c->protocol->free(c);
	proxy_service_put(c->service);
	free_input(c->in, c->in_cap);
	free(c);
}

static void set_known(struct proxy_client *c)
{
	if (c->known)
		return;
	c->known = true;
	c->service->unknown--;
	wgw_list_remove(&c->unheard);
}

/* Everything but the memory, which goes in the job. */
static void client_end(struct proxy_client *c)
{
	struct wgw_loop *loop = c->service->proxy->t->loop;

	if (c->end.watch.fd >= 0)
		wgw_loop_del(loop, &c->end.watch);
	wgw_timer_cancel(loop, &c->timer);
	wgw_list_remove(&c->link);
	if (c->dial)
		proxy_dial_cancel(c->dial);
	c->dial = NULL;
	set_known(c);
	c->dead = true;
	proxy_client_kick(c);
}

void proxy_client_drop(struct proxy_client *c, bool reset)
{
	if (c->dead)
		return;
	if (c->end.keeps && !reset)
		wgw_end_finish(&c->end);
	wgw_end_close(c->service->proxy->t->loop, &c->end, reset);
	client_end(c);
}

/* ---- bytes ---- */

void proxy_client_consume(struct proxy_client *c, size_t n)
{
	c->in_len -= n;
	memmove(c->in, c->in + n, c->in_len);
	sodium_memzero(c->in + c->in_len, n);
}

static bool grow(struct proxy_client *c)
{
	size_t cap = c->in_cap ? c->in_cap * 4 : IN_FIRST_BYTES;
	uint8_t *in;

	if (c->in_cap >= c->in_max)
		return false;
	cap = cap < c->in_max ? cap : c->in_max;
	in = malloc(cap); /* realloc would leave the old one as it is */
	if (!in)
		return false;
	if (c->in_len > 0)
		memcpy(in, c->in, c->in_len);
	free_input(c->in, c->in_cap);
	c->in = in;
	c->in_cap = cap;
	return true;
}

/* As recv(2) has it; the keeper of a socket that has one stays unread. */
static ssize_t receive(struct proxy_client *c, void *to, size_t room)
{
	struct iovec iov = {to, room};
	bool fin = c->end.events & (EPOLLRDHUP | EPOLLHUP); /* before what it is behind */
	size_t waiting;
	ssize_t r = 0;

	if (!c->end.keeps)
		return recv(c->end.watch.fd, to, room, MSG_DONTWAIT);
	waiting = wgw_end_pending(&c->end);
	if (waiting > 0)
		r = wgw_end_read(&c->end, &iov, 1, waiting < room ? waiting : room);
	else if (fin)
		return 0;
	errno = r < 0 ? (int)-r : EAGAIN;
	return r > 0 ? r : -1;
}

/* Reads all that waits and fits. */
static void take_input(struct proxy_client *c)
{
	while (!c->in_end && c->readable) {
		ssize_t r;

		if (c->in_len == c->in_cap && !grow(c))
			return; /* full: what waits is read when there is room */
		r = receive(c, c->in + c->in_len, c->in_cap - c->in_len);
		if (r > 0) {
			c->in_len += (size_t)r;
			continue;
		}
		if (r < 0 && errno == EINTR)
			continue;
		c->readable = false;
		c->in_end = r == 0;
		c->broken = r < 0 && errno != EAGAIN;
	}
}

static void flush(struct proxy_client *c)
{
	while (c->out_at < c->out_len && !c->out_full) {
		ssize_t r = send(c->end.watch.fd, c->out + c->out_at, c->out_len - c->out_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		c->out_full = r < 0;
		c->broken = r < 0 && errno != EAGAIN;
		if (r > 0)
			c->out_at += (size_t)r;
	}
	if (c->out_at == c->out_len)
		c->out_at = c->out_len = 0;
}

void proxy_client_reply(struct proxy_client *c, const void *bytes, size_t n)
{
	if (c->dead)
		return;
	if (c->out_len + n > sizeof(c->out)) {
		proxy_client_drop(c, true);
		return;
	}
	memcpy(c->out + c->out_len, bytes, n);
	c->out_len += n;
	flush(c);
}

size_t proxy_client_write(struct proxy_client *c, const void *bytes, size_t n)
{
	ssize_t r;

	if (c->dead || c->out_len > 0 || c->out_full || n == 0)
		return 0;
	r = send(c->end.watch.fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (r >= 0)
		return (size_t)r;
	if (errno == EAGAIN) {
		c->out_full = true;
	} else if (errno != EINTR) {
		c->broken = true;
		proxy_client_kick(c);
	}
	return 0;
}

/* With bytes unread a close would be a reset that overtakes the reply; hence shutdown first, and
 * the client has a moment to read it and go. */
void proxy_client_finish(struct proxy_client *c)
{
	if (c->dead)
		return;
	c->closing = true;
	c->late = false;
	wgw_timer_set(c->service->proxy->t->loop, &c->timer,
		      wgw_clock_ns() + PROXY_HANDSHAKE_MS * WGW_MS_NS);
	proxy_client_kick(c);
}

static void finish_run(struct proxy_client *c)
{
	flush(c);
	if (c->out_len > 0 && !c->late && !c->broken)
		return;
	wgw_end_finish(&c->end);
	for (size_t dropped = 0; dropped < WGW_PUMP_BYTES; dropped += c->in_len) {
		c->in_len = 0;
		take_input(c);
		if (c->in_len < c->in_cap || c->in_len == 0)
			break;
	}
	if (c->readable && !c->in_end && !c->broken)
		proxy_client_kick(c); /* others have their turn first */
	if (c->in_end || c->broken || c->late)
		proxy_client_drop(c, false);
}

/* ---- events ---- */

static void client_run(struct wgw_job *j)
{
	struct proxy_client *c = wgw_container(j, struct proxy_client, job);

	if (c->dead) {
		client_free(c);
		return;
	}
	if (c->closing) {
		finish_run(c);
		return;
	}
	take_input(c);
	flush(c);
	if (c->broken || (c->late && !c->known && !c->delayed)) {
		proxy_client_drop(c, c->late);
		return;
	}
	c->protocol->run(c);
}

static void client_ready(struct wgw_watch *w, uint32_t events)
{
	struct proxy_client *c = wgw_container(w, struct proxy_client, end.watch);

	c->end.events |= events & (EPOLLRDHUP | EPOLLHUP);
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->readable = true;
	if (events & EPOLLOUT)
		c->out_full = false;
	if (events & EPOLLERR)
		c->broken = true;
	proxy_client_kick(c);
}

static void client_due(struct wgw_timer *timer)
{
	struct proxy_client *c = wgw_container(timer, struct proxy_client, timer);

	c->late = true;
	proxy_client_kick(c);
}

void proxy_client_delay(struct proxy_client *c, uint32_t ms)
{
	c->delayed = true;
	c->late = false;
	wgw_timer_set(c->service->proxy->t->loop, &c->timer, wgw_clock_ns() + ms * WGW_MS_NS);
}

void proxy_client_undelay(struct proxy_client *c)
{
	c->delayed = c->late = false;
	if (!c->known && !c->closing)
		wgw_timer_set(c->service->proxy->t->loop, &c->timer,
			      wgw_clock_ns() + PROXY_HANDSHAKE_MS * WGW_MS_NS);
}

/* ---- too many ---- */

/* Whether it is the client that is waited for, not this process. */
static bool is_silent(struct proxy_client *c)
{
	uint8_t byte;

	if (c->closing)
		return true;
	if (c->job.queued)
		return false;
	if (c->end.keeps)
		return wgw_end_pending(&c->end) == 0;
	return recv(c->end.watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

struct proxy_client *proxy_client_spare(struct proxy_service *v)
{
	struct proxy_client *oldest;

	if (v->unheard.next == &v->unheard)
		return NULL;
	oldest = wgw_container(v->unheard.next, struct proxy_client, unheard);
	if (wgw_clock_ns() - oldest->since_ns < PROXY_PATIENCE_MS * WGW_MS_NS)
		return NULL;
	return is_silent(oldest) ? oldest : NULL;
}

void proxy_client_give_way(struct proxy_client *c)
{
	proxy_client_drop(c, !c->closing); /* who is being answered gets the answer */
}

/* ---- connecting ---- */

void proxy_client_known(struct proxy_client *c)
{
	if (c->known)
		return;
	set_known(c);
	c->late = false;
	wgw_timer_cancel(c->service->proxy->t->loop, &c->timer);
}

/* "127.0.0.1:4000" or "a unix socket"; @buf of WGW_ADDR_TEXT_BYTES. */
static const char *name_of(const struct proxy_client *c, char *buf)
{
	return c->unix_peer ? "a unix socket" : wgw_addr_port_text(&c->peer, buf);
}

void proxy_client_wrong_user(struct proxy_client *c)
{
	int level = proxy_refusal_level(&c->service->user_warned_at);
	char name[WGW_ADDR_TEXT_BYTES];

	wgw_session_say(c->service->session, level, "proxy: wrong user name or password from %s%s",
			name_of(c, name), proxy_refusal_suffix(level));
}

static void on_dialled(void *arg, enum proxy_result r, struct proxy_far *far)
{
	struct proxy_client *c = arg;
	char name[WGW_ADDR_TEXT_BYTES];

	c->dial = NULL;
	proxy_say_result(c->service, name_of(c, name), &c->target, r);
	c->protocol->dialled(c, r, far);
}

void proxy_client_dial(struct proxy_client *c)
{
	proxy_client_known(c);
	c->dial = proxy_dial(c->service->session, &c->target, &c->service->dial, on_dialled, c);
	if (!c->dial)
		c->protocol->dialled(c, PROXY_LIMIT, NULL);
}

void proxy_client_join(struct proxy_client *c, struct proxy_far *far)
{
	const struct proxy_near near = {.fd = c->end.watch.fd,
					.keeps = c->end.keeps,
					.stale = c->end.stale,
					.lent = !c->end.keeps || c->tls};
	int err;

	if (c->out_len > 0) { /* the reply comes first; a fresh socket has room for it */
		proxy_far_free(far, true);
		proxy_client_drop(c, true);
		return;
	}
	client_end(c);
	c->end.watch.fd = -1;
	err = proxy_join(c->service->session, &near, far, c->in, c->in_len);
	if (err)
		wgw_session_say(c->service->session, 1, "a connection was dropped: %s",
				strerror(err));
}

/* ---- beginning ---- */

static void options(struct proxy_client *c)
{
	static const int one = 1, idle = KEEP_IDLE_S;
	int fd = c->end.watch.fd;

	c->unix_peer = true;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);

		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
		if (getpeername(fd, (struct sockaddr *)&ss, &len) == 0)
			wgw_sockaddr_to(&ss, &c->peer);
		c->unix_peer = false;
	}
}

/* A client with @fd, which is closed when there is none. */
static struct proxy_client *client_new(struct proxy_service *v, int fd,
				       const struct proxy_protocol *protocol, bool keeps)
{
	struct wgw_tunnel *t = v->proxy->t;
	struct proxy_client *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
	c->service = v;
	c->protocol = protocol;
	c->job.run = client_run;
	c->timer.due = client_due;
	c->in_max = PROXY_HEAD_MAX_BYTES;
	c->readable = true;
	wgw_end_init(&c->end, fd, keeps, client_ready);
	c->end.stale = keeps;
	if (wgw_loop_add(t->loop, &c->end.watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0) {
		close(fd);
		free(c);
		return NULL;
	}
	proxy_service_get(v);
	v->unknown++;
	wgw_list_append(&v->unheard, &c->unheard);
	wgw_list_append(&v->proxy->clients, &c->link);
	c->since_ns = wgw_clock_ns();
	wgw_timer_set(t->loop, &c->timer, c->since_ns + PROXY_HANDSHAKE_MS * WGW_MS_NS);
	proxy_client_kick(c);
	return c;
}

void proxy_client_new(struct proxy_service *v, int fd, const struct proxy_protocol *protocol)
{
	struct proxy_client *c = client_new(v, fd, protocol, false);

	if (c)
		options(c);
}

void proxy_client_own(struct proxy_service *v, int fd, const struct proxy_protocol *protocol,
		      const struct stack_addr *from)
{
	struct proxy_client *c = client_new(v, fd, protocol, true);

	if (!c)
		return;
	c->unix_peer = !from;
	c->tls = from != NULL;
	if (from)
		c->peer = *from;
}
