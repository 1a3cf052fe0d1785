/* SPDX-License-Identifier: MIT */
/*
 * client.c - the tunnel process's end of a session's channel (src/session/channel.h)
 *
 * States: new (nothing received yet; closed after OPEN_TIMEOUT_NS), open (has a session), closing
 * (the peer hung up, broke the protocol or does not read). A channel is freed only in on_ready and
 * on the open timer, never while somebody sends through it: a failed send marks it as closing and
 * the timer ends it in the next turn.
 *
 * Who may open: processes of our own uid, by SO_PEERCRED; the token in the OPEN message is theirs
 * to choose and authorises everything later. Nothing that is sent here holds a key.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/repr/cmsg.h"
#include "src/tunnel/client.h"

enum {
	OPEN_FDS = 2,	  /* settings, policy */
	QUEUE_MAX = 256,  /* messages waiting for a reader */
	READ_ROUNDS = 16, /* messages per turn */
	TEXT_FILE_MAX_BYTES = 8 << 20,
};

#define OPEN_TIMEOUT_NS (1 * WGW_SEC_NS)

/** struct queued - a message that did not fit into the socket */
struct queued {
	struct queued *next;
	struct wgw_channel_msg msg;
};

/** struct change - a control request that waits for leave; @client NULL: it has gone */
struct change {
	struct wgw_client *client;
	struct wgw_core *core;
	struct wgw_channel_msg msg;
	int32_t pid;
	int fds[OPEN_FDS], n_fds;
};

/* ---- end ---- */

static void client_free(struct wgw_client *c)
{
	struct wgw_session *s = c->session;

	wgw_loop_del(c->t->loop, &c->watch);
	close(c->watch.fd);
	wgw_timer_cancel(c->t->loop, &c->end);
	/* From here on the session asks nothing through us. */
	if (s)
		s->channel = NULL;
	wgw_questions_end(c);
	if (c->change)
		c->change->client = NULL;
	while (c->queue) {
		struct queued *q = c->queue;

		c->queue = q->next;
		free(q);
	}
	free(c);
	if (s)
		wgw_session_over(s);
}

static void on_end(struct wgw_timer *t)
{
	client_free(wgw_container(t, struct wgw_client, end));
}

/* Ends the channel in the next turn: callers may still hold it. */
static void client_close_soon(struct wgw_client *c)
{
	c->closing = true;
	wgw_timer_set(c->t->loop, &c->end, 0);
}

/* ---- sending ---- */

/* Returns false when the socket has no room. */
static bool send_now(struct wgw_client *c, const struct wgw_channel_msg *msg)
{
	ssize_t n;

	do
		n = send(c->watch.fd, msg, sizeof(*msg), MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0)
		client_close_soon(c);
	return true;
}

static void drain_queue(struct wgw_client *c)
{
	while (c->queue && send_now(c, &c->queue->msg)) {
		struct queued *q = c->queue;

		c->queue = q->next;
		c->n_queued--;
		free(q);
	}
	if (!c->queue) {
		c->queue_end = &c->queue;
		wgw_loop_mod(c->t->loop, &c->watch, EPOLLIN);
	}
}

void wgw_client_send(struct wgw_client *c, struct wgw_channel_msg *msg)
{
	struct queued *q;

	msg->magic = WGW_WIRE_MAGIC;
	msg->version = WGW_WIRE_VERSION;
	if (c->closing || (!c->queue && send_now(c, msg)))
		return;
	/* Lines for the user may get lost; a session that reads nothing at all is given up. */
	if (msg->code == WGW_CH_SAY && c->n_queued >= QUEUE_MAX / 2)
		return;
	q = c->n_queued < QUEUE_MAX ? malloc(sizeof(*q)) : NULL;
	if (!q) {
		client_close_soon(c);
		return;
	}
	if (!c->queue)
		wgw_loop_mod(c->t->loop, &c->watch, EPOLLIN | EPOLLOUT);
	q->next = NULL;
	q->msg = *msg;
	*c->queue_end = q;
	c->queue_end = &q->next;
	c->n_queued++;
}

void wgw_client_send_fd(struct wgw_client *c, struct wgw_channel_msg *msg, int fd)
{
	union wgw_fd_control control;
	struct iovec iov = {msg, sizeof(*msg)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	msg->magic = WGW_WIRE_MAGIC;
	msg->version = WGW_WIRE_VERSION;
	wgw_cmsg_attach(&h, &control, fd);
	if (c->closing || c->queue)
		return;
	if (sendmsg(c->watch.fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EPIPE)
		client_close_soon(c);
}

void wgw_client_tell_state(struct wgw_client *c, const struct wgw_channel_msg *state)
{
	struct wgw_channel_msg msg = *state;
	bool heard = state->u.state.datagrams_received != 0;
	bool heard_before = c->state.u.state.datagrams_received != 0;

	/* The number of datagrams alone is no news, that something answers is. */
	if (c->state_told && state->u.state.peers == c->state.u.state.peers &&
	    state->u.state.peers_up == c->state.u.state.peers_up &&
	    state->u.state.attempts == c->state.u.state.attempts && heard == heard_before)
		return;
	c->state = *state;
	c->state_told = true;
	wgw_client_send(c, &msg);
}

/* ---- opening ---- */

char *wgw_client_read_text(int fd, size_t *len)
{
	struct stat st;
	char *text;
	size_t at = 0;

	/* A pipe could keep us waiting. */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 0 ||
	    st.st_size > TEXT_FILE_MAX_BYTES) {
		errno = EINVAL;
		return NULL;
	}
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return NULL;
	while (at < (size_t)st.st_size) {
		ssize_t n = pread(fd, text + at, (size_t)st.st_size - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	text[at] = '\0';
	*len = at;
	return text;
}

/* Whether a process of our uid is at the other end of @fd; which one. */
static bool own_uid(int fd, int32_t *pid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	*pid = cred.pid;
	return cred.uid == geteuid();
}

/* A new keeper takes the place of those before. */
static void become_keeper(struct wgw_session *keeper)
{
	if (keeper->leaving)
		return;
	keeper->keeper = true;
	wgw_core_of(keeper->t)->leaving = false;
	for (struct wgw_session *s = keeper->t->sessions; s; s = s->next) {
		if (s != keeper && s->keeper && s->channel && !s->leaving)
			wgw_session_dismiss(s);
	}
}

/* A keeper of the tunnel process before this one is back. Who asked for the end may have found this
 * process before it did, and so may a keeper that is newer. */
static void keeper_returns(struct wgw_session *keeper)
{
	bool late = wgw_core_of(keeper->t)->leaving;

	for (struct wgw_session *s = keeper->t->sessions; s; s = s->next)
		late = late || (s != keeper && s->keeper && s->channel && !s->leaving);
	keeper->keeper = true;
	if (late)
		wgw_session_dismiss(keeper);
}

/* A process that only lingers makes room for one with other settings. */
static bool gives_way(struct wgw_tunnel *t)
{
	if (t->sessions || wgw_sockets_busy(t) || t->boot->linger_ms == UINT32_MAX)
		return false;
	wgw_loop_stop(t->loop);
	return true;
}

/* Whether somebody uses the tunnel with its settings, or is to find it so. Else what is left is to
 * be delivered, and ends. */
static bool is_used(const struct wgw_tunnel *t)
{
	for (const struct wgw_session *s = t->sessions; s; s = s->next)
		if (s->channel)
			return true;
	return t->boot->linger_ms == UINT32_MAX;
}

/* Checks an OPEN and makes the session. Returns 0 or an errno, with a text in @reply. */
static int open_session(struct wgw_client *c, const struct wgw_channel_msg *msg,
			const int fds[OPEN_FDS], struct wgw_channel_msg *reply)
{
	char *settings = NULL, *policy_text = NULL;
	char *why = reply->u.opened.text;
	const size_t room = sizeof(reply->u.opened.text);
	const struct wgw_core *core = wgw_core_of(c->t);
	const char *running = core->settings ? core->settings : c->t->boot->settings;
	struct wgw_policy policy;
	size_t settings_len, policy_len;
	unsigned int line;
	int32_t pid;
	int err;

	if (!own_uid(c->watch.fd, &pid)) {
		snprintf(why, room, "the tunnel process belongs to another user");
		return EPERM;
	}
	if (sodium_is_zero(msg->u.open.token, WGW_TOKEN_BYTES))
		return EINVAL;
	if (wgw_session_by_token(c->t, msg->u.open.token))
		return EEXIST;
	settings = wgw_client_read_text(fds[0], &settings_len);
	policy_text = settings ? wgw_client_read_text(fds[1], &policy_len) : NULL;
	if (!settings || !policy_text) {
		err = errno;
		if (err == EINVAL)
			snprintf(why, room, "settings or policy unreadable");
		goto out;
	}
	if (!(msg->u.open.flags & WGW_CH_JOIN) &&
	    wgw_settings_differ(running, settings, why, room) > 0) {
		err = gives_way(c->t) ? EAGAIN : is_used(c->t) ? EBUSY : EINPROGRESS;
		goto out;
	}
	why[0] = '\0';
	err = -wgw_policy_parse(policy_text, policy_len, &policy, &line);
	if (err) {
		if (err == EINVAL)
			snprintf(why, room, "policy line %u is not understood", line);
		goto out;
	}
	c->session = wgw_session_new(c->t, c, msg->u.open.token, msg->u.open.label_key, &policy);
	if (!c->session) {
		wgw_policy_free(&policy);
		err = ENOMEM;
		goto out;
	}
	c->session->pid = pid;
out:
	free(settings);
	free(policy_text);
	return err;
}

static void handle_open(struct wgw_client *c, const struct wgw_channel_msg *msg,
			const int fds[OPEN_FDS])
{
	struct wgw_channel_msg reply = {.code = WGW_CH_OPENED};
	struct wgw_core *core = wgw_core_of(c->t);

	reply.err = open_session(c, msg, fds, &reply);
	memcpy(reply.u.opened.abstract, c->t->boot->abstract, WGW_ABSTRACT_BYTES);
	reply.u.opened.pid = (int32_t)getpid();
	if (reply.err) {
		wgw_client_send(c, &reply);
		client_close_soon(c);
		return;
	}
	wgw_timer_cancel(c->t->loop, &c->end);
	wgw_client_send(c, &reply);
	if (msg->u.open.flags & WGW_CH_KEEPER)
		keeper_returns(c->session);
	wgw_core_say_notes(core, c->session);
	wgw_peers_wake(core->peers);
	core->state_changed = true;
}

/* ---- control ---- */

/* The inquiry is over: 0, or an errno that means no. */
static void on_authorised(void *arg, int err)
{
	struct change *h = arg;
	struct wgw_channel_msg reply = {.code = WGW_CH_CONTROLLED, .id = h->msg.id, .err = err};

	reply.u.control.verb = h->msg.u.control.verb;
	if (err)
		snprintf(reply.u.control.text, sizeof(reply.u.control.text), "%s",
			 err == EPERM ? "programs in the tunnel cannot change it"
				      : "a session does not say whether this is its program");
	else
		wgw_control_request(h->core, &h->msg, h->pid, h->fds, h->n_fds, &reply);
	for (int i = 0; i < h->n_fds; i++)
		close(h->fds[i]);
	if (h->client) {
		h->client->change = NULL;
		wgw_client_send(h->client, &reply);
	}
	free(h);
}

/* A request that changes something: first, whether the asker may. One at a time. */
static bool begin_change(struct wgw_client *c, const struct wgw_channel_msg *msg, int32_t pid,
			 const int *fds, int n_fds)
{
	struct change *h = c->change ? NULL : calloc(1, sizeof(*h));

	if (!h)
		return false;
	h->client = c;
	h->core = wgw_core_of(c->t);
	h->msg = *msg;
	h->pid = pid;
	for (int i = 0; i < n_fds; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);

		if (fd >= 0)
			h->fds[h->n_fds++] = fd;
	}
	c->change = h;
	wgw_control_authorise(h->core, pid, on_authorised, h);
	return true;
}

static void handle_control(struct wgw_client *c, const struct wgw_channel_msg *msg, const int *fds,
			   int n_fds)
{
	struct wgw_channel_msg reply = {.code = WGW_CH_CONTROLLED, .id = msg->id};
	int32_t pid;

	/* from now on it may ask as often and as late as it likes */
	wgw_timer_cancel(c->t->loop, &c->end);
	reply.u.control.verb = msg->u.control.verb;
	if (!own_uid(c->watch.fd, &pid)) {
		reply.err = EPERM;
		snprintf(reply.u.control.text, sizeof(reply.u.control.text),
			 "the tunnel process belongs to another user");
		wgw_client_send(c, &reply);
		client_close_soon(c);
		return;
	}
	if (!wgw_control_is_change(msg))
		wgw_control_request(wgw_core_of(c->t), msg, pid, fds, n_fds, &reply);
	else if (begin_change(c, msg, pid, fds, n_fds))
		return;
	else
		reply.err = EBUSY;
	wgw_client_send(c, &reply);
}

/* ---- receiving ---- */

/* What wgwrap of any version may ask: what was begun before an upgrade can be looked at, and ended. */
static bool is_of_any_version(const struct wgw_client *c, const struct wgw_channel_msg *msg)
{
	return !c->session && msg->code == WGW_CH_CONTROL &&
	       (!wgw_control_is_change(msg) || msg->u.control.verb == WGW_CONTROL_DOWN);
}

/* A listener of before comes back. @lost: there was no room for its descriptor, so that this listener
 * is over, and the session's other sockets are not. Returns false when it is not the protocol. */
static bool listen_again(struct wgw_client *c, const struct wgw_channel_msg *msg, int *fds,
			 int n_fds, bool lost)
{
	if (lost) {
		wgw_session_say(c->session, 1, "cannot listen on port %u again: %s",
				msg->u.listener.local.port, strerror(EMFILE));
		return true;
	}
	if (n_fds != 1)
		return false;
	wgw_sockets_listen_again(c->t, c->session, &msg->u.listener, fds[0]);
	fds[0] = -1;
	return true;
}

/* @lost: the kernel has dropped descriptors. Returns false when the channel is to end. */
static bool handle(struct wgw_client *c, const struct wgw_channel_msg *msg, int *fds, int n_fds,
		   bool lost)
{
	if (msg->magic != WGW_WIRE_MAGIC)
		return false;
	if (msg->version != WGW_WIRE_VERSION && !is_of_any_version(c, msg)) {
		/* of it the other version can read which one ours is */
		struct wgw_channel_msg reply = {.code = WGW_CH_OPENED, .err = EPROTO};

		wgw_client_send(c, &reply);
		return false;
	}
	if (!c->session && msg->code == WGW_CH_CONTROL) {
		handle_control(c, msg, fds, n_fds);
		return true;
	}
	if (!c->session) {
		if (msg->code != WGW_CH_OPEN || n_fds != OPEN_FDS)
			return false;
		handle_open(c, msg, fds);
		return true;
	}
	switch (msg->code) {
	case WGW_CH_KEEP:
		c->session->pid = msg->u.opened.pid;
		become_keeper(c->session);
		return true;
	case WGW_CH_FLUSH:
		wgw_sockets_hurry(c->t);
		wgw_session_flush(c->session);
		return true;
	case WGW_CH_WHOSE_IS:
	case WGW_CH_SCANNED:
	case WGW_CH_HOST_RESOLVED:
		wgw_questions_answer(c, msg);
		return true;
	case WGW_CH_RELISTEN:
		return listen_again(c, msg, fds, n_fds, lost);
	default:
		return c->t->proxy_hooks &&
		       c->t->proxy_hooks->message(c->t, c->session, msg, fds, (unsigned int)n_fds);
	}
}

/* The kernel has dropped what came with a message: there was no room for it. */
static void refuse_without_descriptors(struct wgw_client *c)
{
	struct wgw_channel_msg reply = {.code = WGW_CH_OPENED, .err = EMFILE};
	struct rlimit limit = {0};

	getrlimit(RLIMIT_NOFILE, &limit);
	snprintf(
		reply.u.opened.text, sizeof(reply.u.opened.text),
		"all of its %llu descriptors are in use (its limit is the hard one, ulimit -Hn, of "
		"where it was started)",
		(unsigned long long)limit.rlim_cur);
	wgw_client_send(c, &reply);
}

/* Takes one message. Returns 1, 0 when none waits, -1 at the end of the channel. */
static int receive(struct wgw_client *c)
{
	struct wgw_channel_msg msg = {0};
	struct iovec iov = {&msg, sizeof(msg)};
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct msghdr h = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(c->watch.fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fds[OPEN_FDS], n_fds;
	bool lost, ok;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	n_fds = wgw_cmsg_take(&h, fds, OPEN_FDS);
	lost = h.msg_flags & MSG_CTRUNC && n_fds < OPEN_FDS;
	if (lost && !c->session)
		refuse_without_descriptors(c);
	/* What a shorter message leaves out reads as zero. */
	ok = n >= (ssize_t)offsetof(struct wgw_channel_msg, u) && !(h.msg_flags & MSG_TRUNC) &&
	     handle(c, &msg, fds, n_fds, lost);
	for (int i = 0; i < n_fds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	sodium_memzero(&msg.u.open, sizeof(msg.u.open));
	return ok ? 1 : -1;
}

static void on_ready(struct wgw_watch *w, uint32_t events)
{
	struct wgw_client *c = wgw_container(w, struct wgw_client, watch);

	if (c->closing)
		return;
	if (events & EPOLLOUT)
		drain_queue(c);
	for (int i = 0; i < READ_ROUNDS && !c->closing; i++) {
		int got = receive(c);

		if (got < 0)
			client_close_soon(c);
		if (got <= 0)
			return;
	}
}

void wgw_session_adopt(struct wgw_tunnel *t, int fd)
{
	struct wgw_client *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	c->t = t;
	c->watch.fd = fd;
	c->watch.ready = on_ready;
	c->end.due = on_end;
	c->queue_end = &c->queue;
	if (wgw_loop_add(t->loop, &c->watch, EPOLLIN) < 0) {
		close(fd);
		free(c);
		return;
	}
	wgw_timer_set(t->loop, &c->end, wgw_loop_now(t->loop) + OPEN_TIMEOUT_NS);
}
