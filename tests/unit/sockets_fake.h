/* SPDX-License-Identifier: MIT */
/*
 * sockets_fake.h - a session and a stack made of memory, for the tests of the application sockets
 *
 * The code under test is src/tunnel's; what it calls of session.c and of the stack is defined here.
 * A flow is two buffers; the test plays the peer. The application's side uses the same calls as the
 * shim, on real AF_UNIX sockets.
 */
#ifndef TESTS_UNIT_SOCKETS_FAKE_H
#define TESTS_UNIT_SOCKETS_FAKE_H

#ifdef NO_SUITE /* of a fuzzer */
#include "tests/unit/assertions.h"
#else
#include <check.h>
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <sodium.h>

#include "src/session/channel.h"
#include "src/tunnel/sockets.h"

/* no test uses all of it */
#define FAKE __attribute__((unused)) static

/* ---- the session ---- */

struct wgw_session {
	unsigned int refs, unsent, said, scans;
	uint64_t lost;
	bool nobody_holds; /* what a scan answers */
	enum wgw_route route;
	struct stack_addr dns[2];
	size_t n_dns;
	bool system_dns;
	struct wgw_strings search;
};

static struct wgw_session fake_session;
static const uint8_t fake_token[WGW_TOKEN_BYTES] = "0123456789abcdef";
static const uint8_t fake_key[WGW_LABEL_KEY_BYTES] = "fedcba9876543210";
static int fake_adopted = -1;

struct wgw_session *wgw_session_by_token(struct wgw_tunnel *t, const uint8_t *token)
{
	(void)t;
	return memcmp(token, fake_token, WGW_TOKEN_BYTES) == 0 ? &fake_session : NULL;
}

const uint8_t *wgw_session_label_key(const struct wgw_session *s)
{
	(void)s;
	return fake_key;
}

const struct wgw_preambles *wgw_session_preambles(const struct wgw_session *s)
{
	static struct wgw_preambles preambles;

	(void)s;
	wgw_preambles_make(fake_key, &preambles);
	return &preambles;
}

enum wgw_route wgw_session_route(struct wgw_session *s, struct stack_addr *to, uint8_t protocol)
{
	(void)protocol;
	return stack_addr_is_loopback(to) ? WGW_ROUTE_DIRECT : s->route;
}

enum wgw_route wgw_session_route_quiet(struct wgw_session *s, struct stack_addr *to,
				       uint8_t protocol)
{
	return wgw_session_route(s, to, protocol);
}

/* Whether there are lists of programs, and so some that are outside */
static bool fake_has_apps;

bool wgw_session_has_apps(const struct wgw_session *s)
{
	(void)s;
	return fake_has_apps;
}

void wgw_session_say(struct wgw_session *s, int level, const char *format, ...)
{
	(void)level, (void)format;
	s->said++;
}

void wgw_session_say_version(struct wgw_tunnel *t, const uint8_t *token, unsigned int version)
{
	(void)version;
	wgw_session_by_token(t, token)->said++;
}

void wgw_session_get(struct wgw_session *s)
{
	s->refs++;
}

void wgw_session_put(struct wgw_session *s)
{
	s->refs--;
}

void wgw_session_unsent_begin(struct wgw_session *s)
{
	s->unsent++;
}

void wgw_session_unsent_end(struct wgw_session *s, uint64_t lost_bytes)
{
	s->unsent--;
	s->lost += lost_bytes;
}

void wgw_session_scan(struct wgw_session *s, const uint64_t *inodes, unsigned int n,
		      void (*done)(void *arg, const uint64_t *held), void *arg)
{
	uint64_t held[64];

	(void)inodes, (void)n;
	memset(held, s->nobody_holds ? 0 : 0xff, sizeof(held));
	s->scans++;
	done(arg, held);
}

/* What the supervisor keeps: one listener, at most. */
static struct wgw_ch_listener fake_kept_listener;
static int fake_kept_path = -1;

void wgw_session_listener(struct wgw_session *s, const struct wgw_ch_listener *l, int path)
{
	(void)s;
	if (path < 0 && l->cookie != fake_kept_listener.cookie)
		return;
	if (fake_kept_path >= 0)
		close(fake_kept_path);
	fake_kept_listener = *l;
	fake_kept_path = path < 0 ? -1 : fcntl(path, F_DUPFD_CLOEXEC, 0);
}

bool wgw_session_dns_is_system(const struct wgw_session *s)
{
	return s->system_dns;
}

void wgw_session_host_resolve(struct wgw_session *s, const char *name, int family,
			      void (*done)(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n),
			      void *arg)
{
	static const uint8_t ip[1][16] = {{[10] = 0xff, [11] = 0xff, [12] = 192, [15] = 7}};

	(void)s, (void)family;
	done(arg, strcmp(name, "host") == 0 ? 0 : -2, ip, 1);
}

size_t wgw_session_dns(const struct wgw_session *s, const struct stack_addr **servers,
		       const struct wgw_strings **search)
{
	*servers = s->dns;
	*search = &s->search;
	return s->n_dns;
}

void wgw_session_adopt(struct wgw_tunnel *t, int fd)
{
	(void)t;
	fake_adopted = fd;
}

/* ---- the stack ---- */

enum { FAKE_FLOW_BYTES = 65536, FAKE_FLOWS = 64 };

struct flow {
	bool used, more, wants_room, shut, orphan, closed_by_owner, aborted;
	const struct flow_ops *ops;
	void *arg;
	struct stack_addr local, remote;
	uint8_t out[FAKE_FLOW_BYTES], in[FAKE_FLOW_BYTES * 4];
	size_t out_len, out_room, in_at, in_len;
	bool in_fin;
	size_t unacked;
	bool up; /* the test's own */
	uint32_t owner;
	struct flow_options options;
};

static struct flow fake_flows[FAKE_FLOWS];
static struct flow *fake_last; /* what flow_connect made last */

static const struct stack_addr fake_address = {{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2}, 0};

FAKE struct flow *fake_flow_new(const struct stack_addr *remote)
{
	for (size_t i = 0; i < FAKE_FLOWS; i++) {
		struct flow *f = &fake_flows[i];

		if (f->used)
			continue;
		memset(f, 0, sizeof(*f));
		f->used = true;
		f->out_room = FAKE_FLOW_BYTES;
		f->local = fake_address;
		f->local.port = 40000;
		f->remote = *remote;
		return f;
	}
	return NULL;
}

struct flow *flow_connect(struct stack *stack, const struct stack_addr *local,
			  const struct stack_addr *remote, const struct flow_options *options,
			  const struct flow_ops *ops, void *arg, int *err)
{
	struct flow *f = fake_flow_new(remote);

	(void)stack;
	if (!f) {
		*err = ENOBUFS;
		return NULL;
	}
	f->owner = options->owner;
	if (local && local->port)
		f->local.port = local->port;
	f->ops = ops;
	f->arg = arg;
	return fake_last = f;
}

void flow_set_ops(struct flow *f, const struct flow_ops *ops, void *arg)
{
	f->ops = ops;
	f->arg = arg;
}

void flow_set_options(struct flow *f, const struct flow_options *options)
{
	f->options = *options;
}

void flow_addrs(const struct flow *f, struct stack_addr *local, struct stack_addr *remote)
{
	*local = f->local;
	*remote = f->remote;
}

int flow_recv_iov(struct flow *f, struct iovec *iov, int max, bool *fin)
{
	(void)max;
	*fin = f->in_fin && f->in_at == f->in_len;
	if (f->in_at == f->in_len)
		return 0;
	iov[0] = (struct iovec){f->in + f->in_at, f->in_len - f->in_at};
	return 1;
}

void flow_recv_consume(struct flow *f, size_t len)
{
	ck_assert_uint_le(len, f->in_len - f->in_at);
	f->in_at += len;
}

int flow_send_iov(struct flow *f, struct iovec iov[2])
{
	ck_assert(!f->shut);
	if (f->out_len >= f->out_room) {
		f->wants_room = true;
		return 0;
	}
	/* two pieces when there is room for them, to show that both are used */
	iov[0] = (struct iovec){f->out + f->out_len, f->out_room - f->out_len};
	if (iov[0].iov_len < 2)
		return 1;
	iov[0].iov_len = 1;
	iov[1] = (struct iovec){f->out + f->out_len + 1, f->out_room - f->out_len - 1};
	return 2;
}

void flow_send_commit(struct flow *f, size_t len, bool more)
{
	ck_assert_uint_le(len, f->out_room - f->out_len);
	f->out_len += len;
	f->more = more;
	f->unacked += len;
}

size_t flow_unacked(const struct flow *f)
{
	return f->unacked;
}

void flow_shutdown(struct flow *f)
{
	f->shut = true;
}

void flow_orphan(struct flow *f)
{
	f->orphan = true;
}

void flow_close(struct flow *f)
{
	f->shut = true;
	f->closed_by_owner = true;
}

void flow_abort(struct flow *f)
{
	f->aborted = true;
	f->used = false;
}

/* What the peer or the network does. */
FAKE void fake_end(struct flow *f, int err)
{
	f->used = false;
	f->ops->closed(f, f->arg, err);
}

FAKE void fake_receive(struct flow *f, const void *bytes, size_t len)
{
	ck_assert_uint_le(len, sizeof(f->in) - f->in_len);
	memcpy(f->in + f->in_len, bytes, len);
	f->in_len += len;
	f->ops->readable(f, f->arg);
}

FAKE void fake_fin(struct flow *f)
{
	f->in_fin = true;
	f->ops->readable(f, f->arg);
}

bool stack_port_has_flows(const struct stack *stack, uint16_t port)
{
	(void)stack;
	(void)port;
	return false;
}

bool stack_is_local(const struct stack *stack, const struct stack_addr *a)
{
	(void)stack;
	return memcmp(a->ip, fake_address.ip, 16) == 0;
}

static uint16_t fake_path_mtu = 1420;

uint16_t stack_path_mtu(struct stack *stack, const struct stack_addr *to)
{
	(void)stack;
	(void)to;
	return fake_path_mtu;
}

bool stack_source_for(const struct stack *stack, const struct stack_addr *to,
		      struct stack_addr *from)
{
	(void)stack;
	if (!stack_addr_is_v4(to))
		return false;
	*from = fake_address;
	return true;
}

/* listeners: the test calls accept itself */

struct flow_listener {
	bool used;
	struct stack_addr local;
	const struct flow_listener_ops *ops;
	void *arg;
};

static struct flow_listener fake_listener;

static bool fake_listens; /* at every address */

bool flow_listens_at(const struct stack *stack, const struct stack_addr *local)
{
	(void)stack, (void)local;
	return fake_listens;
}

struct flow_listener *flow_listen(struct stack *stack, const struct stack_addr *local, bool v6only,
				  unsigned int backlog, const struct flow_listener_ops *ops,
				  void *arg, int *err)
{
	(void)stack, (void)v6only, (void)backlog;
	if (fake_listener.used) {
		*err = EADDRINUSE;
		return NULL;
	}
	fake_listener = (struct flow_listener){true, *local, ops, arg};
	return &fake_listener;
}

uint16_t flow_listener_port(const struct flow_listener *l)
{
	return l->local.port;
}

void flow_listener_close(struct flow_listener *l)
{
	l->used = false;
}

#include "tests/unit/sockets_fake_udp.h"

/* ---- the tunnel process ---- */

static struct wgw_tunnel fake_tunnel;
static struct wgw_tunnel_boot fake_boot;
static struct wgw_config fake_config;
static struct sockaddr_un fake_stream, fake_sequenced;

FAKE int fake_rendezvous(int type, struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*sun);

	ck_assert_int_ge(fd, 0);
	*sun = (struct sockaddr_un){.sun_family = AF_UNIX};
	/* autobind: an abstract name that nobody has */
	ck_assert_int_eq(bind(fd, (struct sockaddr *)sun, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)sun, &len), 0);
	ck_assert_int_eq(listen(fd, 512), 0);
	return fd;
}

FAKE void fake_start(void)
{
	memset(&fake_session, 0, sizeof(fake_session));
	memset(fake_flows, 0, sizeof(fake_flows));
	memset(fake_udp, 0, sizeof(fake_udp));
	memset(&fake_listener, 0, sizeof(fake_listener));
	fake_n_sent = 0;
	fake_udp_answer = NULL;
	fake_adopted = -1;
	ck_assert_int_ge(sodium_init(), 0);
	fake_boot = (struct wgw_tunnel_boot){.config = &fake_config, .mtu = 1420};
	fake_boot.stream[0] = fake_rendezvous(SOCK_STREAM, &fake_stream);
	fake_boot.sequenced[0] = fake_rendezvous(SOCK_SEQPACKET, &fake_sequenced);
	fake_boot.stream[1] = fake_boot.sequenced[1] = -1;
	fake_tunnel = (struct wgw_tunnel){.loop = wgw_loop_new(), .boot = &fake_boot};
	ck_assert_ptr_nonnull(fake_tunnel.loop);
	ck_assert_int_eq(wgw_sockets_init(&fake_tunnel), 0);
	fake_tunnel.resolver = wgw_resolver_new(&fake_tunnel);
	ck_assert_ptr_nonnull(fake_tunnel.resolver);
}

FAKE void fake_stop(struct wgw_timer *t)
{
	(void)t;
	wgw_loop_stop(fake_tunnel.loop);
}

/*
 * Lets the tunnel process work for @ms, and then for as many turns as what a test does takes: who
 * is kept from running meanwhile has more to do than the time says.
 */
FAKE void fake_run(uint64_t ms)
{
	enum { TURNS = 32 };
	struct wgw_timer timer = {.due = fake_stop};

	wgw_timer_set(fake_tunnel.loop, &timer, wgw_clock_ns() + ms * WGW_MS_NS);
	wgw_loop_run(fake_tunnel.loop);
	for (int i = 0; i < TURNS; i++) {
		wgw_timer_set(fake_tunnel.loop, &timer, wgw_clock_ns());
		wgw_loop_run(fake_tunnel.loop);
	}
}

/* Lets the tunnel process work until @condition, two minutes at most: for what takes several of its
 * timers, one after the other, or the kernel's TCP. */
#define fake_until(condition)                                                                      \
	do {                                                                                       \
		const uint64_t fake_end_ = wgw_clock_ns() + 120 * WGW_SEC_NS;                      \
		bool fake_met_ = false;                                                            \
                                                                                                   \
		while (!(fake_met_ = (condition)) && wgw_clock_ns() < fake_end_)                   \
			fake_run(2);                                                               \
		ck_assert_msg(fake_met_, "never: %s", #condition);                                 \
	} while (0)

/* recv(2) on a socket that does not block, once there is something to read. */
FAKE ssize_t fake_recv(int fd, void *buf, size_t len)
{
	ssize_t r;

	fake_until((r = recv(fd, buf, len, MSG_DONTWAIT)) >= 0 || errno != EAGAIN);
	return r;
}

/* ---- the application, as the shim does it ---- */

FAKE uint64_t app_cookie(int fd)
{
	uint64_t cookie = 0, inode;

	ck_assert_int_eq(wgw_fd_identity(fd, &cookie, &inode), 0);
	return cookie;
}

FAKE void app_tag(int fd, uint64_t more)
{
	uint64_t tag = WGW_TAG_MAGIC | more;

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &tag, sizeof(tag)), 0);
}

FAKE void app_send_with(int fd, const void *bytes, size_t len, int passed)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)bytes, len};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &passed, sizeof(int));
	ck_assert_int_eq(sendmsg(fd, &msg, MSG_NOSIGNAL), (ssize_t)len);
}

FAKE void app_send_fd(int fd, char byte, int passed)
{
	app_send_with(fd, &byte, 1, passed);
}

static const struct stack_addr app_peer = {{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 9}, 80};

/* connect(2) up to EINPROGRESS, on a non-blocking AF_UNIX stream. */
FAKE void app_connect_as(int fd, const uint8_t *token, const struct stack_addr *to, bool filled)
{
	static const int one = 1;
	uint8_t bytes[4096] = {0};
	struct wgw_connect record = {.magic = WGW_WIRE_MAGIC, .version = WGW_WIRE_VERSION};
	size_t at = 0;
	ssize_t r;

	app_tag(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&fake_stream, sizeof(sa_family_t) + 6), 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &one, sizeof(one)), 0);
	app_send_fd(fd, WGW_FD_BYTE, fd);
	memcpy(record.token, token, WGW_TOKEN_BYTES);
	record.cookie = app_cookie(fd);
	memcpy(record.to.ip, to->ip, 16);
	record.to.port = to->port;
	memcpy(bytes, &record, sizeof(record));
	while ((r = send(fd, bytes + (at ? sizeof(record) : 0),
			 sizeof(bytes) - (at ? sizeof(record) : 0), MSG_DONTWAIT | MSG_NOSIGNAL)) >
	       0)
		at += (size_t)r;
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_uint_ge(at, sizeof(record));
	if (filled)
		app_tag(fd, WGW_TAG_FILLED);
}

FAKE int app_stream(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	return fd;
}

FAKE int app_connecting(void)
{
	int fd = app_stream();

	app_connect_as(fd, fake_token, &app_peer, true);
	fake_run(5);
	return fd;
}

/* A connection that is up; *f: its flow. */
FAKE int app_connected(struct flow **f)
{
	int fd = app_connecting();

	*f = fake_last;
	ck_assert_ptr_nonnull(*f);
	(*f)->ops->connected(*f, (*f)->arg);
	fake_run(5);
	return fd;
}

/* The label on the socket itself; false: none. */
FAKE bool app_label(int fd, struct wgw_label *label)
{
	struct sockaddr_un sun;
	socklen_t len = sizeof(sun);

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sun, &len), 0);
	return wgw_label_open(fake_key, sun.sun_path,
			      (uint32_t)(len - offsetof(struct sockaddr_un, sun_path)), label);
}

/* One operation. Returns the number of bytes of the reply in *op. */
FAKE int app_op_begin(struct wgw_op *op, int passed)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&fake_sequenced, sizeof(sa_family_t) + 6),
			 0);
	op->magic = WGW_WIRE_MAGIC;
	op->version = WGW_WIRE_VERSION;
	memcpy(op->token, fake_token, WGW_TOKEN_BYTES);
	if (passed < 0)
		ck_assert_int_eq(send(fd, op, sizeof(*op), MSG_NOSIGNAL), sizeof(*op));
	else
		app_send_with(fd, op, sizeof(*op), passed);
	return fd;
}

FAKE int app_op(struct wgw_op *op, int passed)
{
	int fd = app_op_begin(op, passed);

	fake_run(5);
	ck_assert_int_eq(recv(fd, op, sizeof(*op), MSG_DONTWAIT), sizeof(*op));
	close(fd);
	return op->err;
}

FAKE void app_set(int fd, int level, int name, const void *value, uint32_t len)
{
	struct wgw_op op = {.code = WGW_OP_SETOPT, .cookie = app_cookie(fd)};

	op.u.option.level = level;
	op.u.option.name = name;
	op.u.option.len = len;
	memcpy(op.u.option.value, value, len);
	ck_assert_int_eq(app_op(&op, -1), 0);
}

static const struct stack_addr any4 = {{[10] = 0xff, [11] = 0xff}, 0};

/* socket, bind, listen as the shim does it. Returns the error of WGW_OP_LISTEN; *op: its reply. */
FAKE int app_listen(int fd, const struct stack_addr *local, uint16_t port, uint32_t flags,
		    int backlog, struct wgw_op *op)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/wgwrap-test-XXXXXX";
	int path, err;

	if (local) {
		*op = (struct wgw_op){.code = WGW_OP_BIND, .cookie = app_cookie(fd)};
		memcpy(op->u.bind.addr.ip, local->ip, 16);
		op->u.bind.addr.port = port;
		op->u.bind.flags = flags;
		err = app_op(op, -1);
		if (err)
			return err;
	}
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/l", dir);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(fd, backlog), 0);
	path = open(sun.sun_path, O_PATH | O_CLOEXEC);
	ck_assert_int_ge(path, 0);
	unlink(sun.sun_path);
	rmdir(dir);
	*op = (struct wgw_op){.code = WGW_OP_LISTEN, .cookie = app_cookie(fd)};
	memcpy(op->u.listen.addr.ip, any4.ip, 16);
	op->u.listen.backlog = (uint32_t)backlog;
	op->u.listen.flags = flags;
	err = app_op(op, path);
	close(path);
	return err;
}

/* What the shim sends on a socket that was accepted. */
FAKE void app_hello(int fd)
{
	app_send_fd(fd, WGW_FD_BYTE, fd);
	ck_assert_int_eq(send(fd, "K", 1, 0), 1);
}

/* accept(2) with the shim's hello. */
FAKE int app_accept(int fd)
{
	int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (c >= 0)
		app_hello(c);
	return c;
}

#endif
