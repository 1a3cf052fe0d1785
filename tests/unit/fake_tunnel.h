/* SPDX-License-Identifier: MIT */
/*
 * fake_tunnel.h - a tunnel process for tests: the other side of src/repr/wire.h, without a tunnel
 *
 * A thread answers operations from small tables. The stream side is played by the test itself, step
 * by step, so that it can look at the application's socket after each one.
 */
#ifndef TESTS_UNIT_FAKE_TUNNEL_H
#define TESTS_UNIT_FAKE_TUNNEL_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/repr/wire.h"

#ifndef FAKE_SOCKETS
#define FAKE_SOCKETS 16
#endif
enum { FAKE_OPTIONS = 16, FAKE_MESSAGES = 16, FAKE_SNDBUF = 212992 };

struct fake_socket { /* what is known under a cookie */
	uint64_t cookie;
	struct wgw_wire_addr local, remote;
	int listener; /* O_PATH */
	int dgram;    /* our end of a datagram socket */
	uint8_t shut;
};

struct fake_tunnel {
	char path[64];
	char env[512];
	int stream, sequenced;
	pthread_t thread;
	pthread_mutex_t lock;
	uint8_t token[WGW_TOKEN_BYTES], key[WGW_LABEL_KEY_BYTES];
	struct wgw_preambles preambles;
	struct fake_socket socket[FAKE_SOCKETS];
	struct {
		uint64_t cookie;
		int32_t level, name;
		uint32_t len;
		uint8_t value[WGW_OPTION_MAX_BYTES];
	} option[FAKE_OPTIONS];
	int fail_next;	  /* errno for the next BIND, LISTEN or UDP_CONNECT */
	bool forgets;	  /* an older socket when there is no room; else the test ends */
	unsigned int ops; /* conversations so far */
	unsigned int bad_tokens;
	unsigned int requeued;
	unsigned int routes_asked;
	uint16_t path_mtu; /* 0: the tunnel's */
	int error_next;	   /* SO_ERROR of a datagram socket */
	bool raw;	   /* what the last GO said */
	uint32_t nonce;
};

static inline void fake_hex(char *out, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sprintf(out + 2 * i, "%02x", bytes[i]);
}

static inline int fake_listen(const char *path, const char *suffix, int type)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s%s", path, suffix);
	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(fd, 64) < 0) {
		perror("fake tunnel: rendezvous");
		exit(99);
	}
	return fd;
}

/* Closes what the entry has. Call with the lock held. */
static inline void fake_forget(struct fake_socket *k)
{
	if (k->cookie && k->dgram >= 0)
		close(k->dgram);
	if (k->cookie && k->listener >= 0)
		close(k->listener);
	*k = (struct fake_socket){.dgram = -1, .listener = -1};
}

/* The entry of @cookie, made if there is none. Call with the lock held. */
static inline struct fake_socket *fake_socket(struct fake_tunnel *t, uint64_t cookie)
{
	struct fake_socket *empty = NULL;

	for (int i = 0; i < FAKE_SOCKETS; i++) {
		if (t->socket[i].cookie == cookie)
			return &t->socket[i];
		if (!t->socket[i].cookie && !empty)
			empty = &t->socket[i];
	}
	if (!empty && !t->forgets)
		abort();
	if (!empty) {
		static unsigned int turn;

		empty = &t->socket[turn++ % FAKE_SOCKETS];
		fake_forget(empty);
	}
	empty->cookie = cookie;
	empty->listener = empty->dgram = -1;
	return empty;
}

static inline void fake_reserve(struct fake_tunnel *t, struct fake_socket *k,
				const struct wgw_wire_addr *addr)
{
	k->local = *addr;
	if (!k->local.port)
		k->local.port = (uint16_t)(40000 + (k - t->socket));
}

static inline void fake_option(struct fake_tunnel *t, struct wgw_op *op)
{
	if (op->code == WGW_OP_GETOPT && op->u.option.level == SOL_SOCKET &&
	    op->u.option.name == SO_ERROR) {
		op->u.option.len = sizeof(t->error_next);
		memcpy(op->u.option.value, &t->error_next, sizeof(t->error_next));
		t->error_next = 0;
		return;
	}
	for (int i = 0; i < FAKE_OPTIONS; i++) {
		bool free_slot = !t->option[i].cookie && op->code == WGW_OP_SETOPT;

		if (!free_slot && (t->option[i].cookie != op->cookie ||
				   t->option[i].level != op->u.option.level ||
				   t->option[i].name != op->u.option.name))
			continue;
		if (op->code == WGW_OP_SETOPT) {
			t->option[i].cookie = op->cookie;
			t->option[i].level = op->u.option.level;
			t->option[i].name = op->u.option.name;
			t->option[i].len = op->u.option.len;
			memcpy(t->option[i].value, op->u.option.value, op->u.option.len);
		} else {
			op->u.option.len = t->option[i].len;
			memcpy(op->u.option.value, t->option[i].value, t->option[i].len);
		}
		return;
	}
	op->err = op->code == WGW_OP_SETOPT ? ENOSPC : ENOENT;
}

/* After the reply to UDP_CONNECT: takes what comes back and sends it again, in the new form. */
static inline void fake_finish_connect(struct fake_tunnel *t, struct fake_socket *k, int fd)
{
	static uint8_t message[FAKE_MESSAGES][sizeof(struct wgw_op) + 2048];
	ssize_t len[FAKE_MESSAGES];
	int n = 0;
	bool go = false;
	struct wgw_op *op;

	while (n < FAKE_MESSAGES) {
		len[n] = recv(fd, message[n], sizeof(message[n]), 0);
		op = (struct wgw_op *)message[n];
		if (len[n] < (ssize_t)sizeof(*op) || op->code != WGW_OP_REQUEUE)
			break;
		n++;
	}
	if (n < FAKE_MESSAGES && len[n] == (ssize_t)sizeof(*op) && op->code == WGW_OP_GO) {
		go = true;
		t->raw = op->u.open.flags & WGW_BIND_RAW;
	}
	t->requeued += (unsigned int)n;
	for (int i = 0; go && i < n; i++) {
		size_t skip = sizeof(struct wgw_op);

		memcpy(message[i] + skip, t->preambles.to_app, sizeof(t->preambles.to_app));
		if (t->raw)
			skip += sizeof(struct wgw_dgram);
		send(k->dgram, message[i] + skip, (size_t)len[i] - skip, MSG_NOSIGNAL);
	}
}

/* Bind, listen and UDP's connect give @k its names; returns 0 or an errno. */
static inline int fake_name_socket(struct fake_tunnel *t, struct fake_socket *k,
				   const struct wgw_op *op, int passed)
{
	int fail = t->fail_next;

	t->fail_next = 0;
	if (fail)
		return fail;
	if (op->code == WGW_OP_BIND)
		fake_reserve(t, k, &op->u.bind.addr);
	if (op->code == WGW_OP_LISTEN && !k->local.port)
		fake_reserve(t, k, &op->u.listen.addr);
	if (op->code == WGW_OP_LISTEN && passed >= 0) {
		if (k->listener >= 0)
			close(k->listener);
		k->listener = fcntl(passed, F_DUPFD_CLOEXEC, 0);
	}
	if (op->code == WGW_OP_UDP_CONNECT) {
		k->remote = op->u.bind.addr;
		if (!k->local.port)
			fake_reserve(t, k, &(struct wgw_wire_addr){.ip = {[15] = 9}});
	}
	return 0;
}

/* The addresses of two.example, of the families asked for; no other name has any. */
static inline void fake_resolve(const struct wgw_op *op, struct wgw_op *out)
{
	memset(&out->u, 0, sizeof(out->u));
	out->err = strcmp(op->u.resolve.name, "two.example") == 0 ? 0 : -2; /* EAI_NONAME */
	if (op->u.resolve.family != AF_INET)
		out->u.resolved.ip[out->u.resolved.n++][15] = 7;
	if (op->u.resolve.family != AF_INET6) {
		uint8_t *ip = out->u.resolved.ip[out->u.resolved.n++];

		memcpy(ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x00\x00\x05", 16);
	}
	strcpy(out->u.resolved.canonical, "canonical.example");
}

static inline void fake_answer(struct fake_tunnel *t, struct wgw_op *op, int fd, int passed)
{
	struct fake_socket *k = fake_socket(t, op->cookie);
	struct wgw_op out = *op;

	switch (op->code) {
	case WGW_OP_BIND:
	case WGW_OP_LISTEN:
	case WGW_OP_UDP_CONNECT:
		out.err = fake_name_socket(t, k, op, passed);
		if (out.err)
			break;
		out.u.name.local = k->local;
		out.u.name.remote = k->remote;
		break;
	case WGW_OP_NAME:
		out.u.name.local = k->local;
		out.u.name.remote = k->remote;
		break;
	case WGW_OP_SETOPT:
	case WGW_OP_GETOPT:
		fake_option(t, &out);
		break;
	case WGW_OP_SHUTDOWN:
		k->shut = (uint8_t)(op->u.option.value[0] + 1);
		break;
	case WGW_OP_RESOLVE:
		fake_resolve(op, &out);
		break;
	case WGW_OP_REVERSE:
		memset(&out.u, 0, sizeof(out.u));
		strcpy(out.u.resolved.canonical, "reverse.example");
		break;
	case WGW_OP_IFADDRS:
		memset(&out.u, 0, sizeof(out.u));
		out.u.resolved.ttl = 1420;
		break;
	case WGW_OP_ROUTE:
		t->routes_asked++;
		out.u.name.remote.port = 1420;
		out.u.name.remote.reserved = t->path_mtu ? t->path_mtu : 1420;
		break;
	default:
		out.err = EPROTO;
	}
	send(fd, &out, sizeof(out), MSG_NOSIGNAL);
	if (op->code == WGW_OP_UDP_CONNECT && !out.err)
		fake_finish_connect(t, k, fd);
}

/* The next request on @fd, and what came with it in *passed. False: none */
static inline bool fake_receive(int fd, struct wgw_op *op, int *passed)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {op, sizeof(*op)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};

	*passed = -1;
	if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(*op))
		return false;
	if (CMSG_FIRSTHDR(&msg))
		memcpy(passed, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(*passed));
	return true;
}

/* Serves the request that waits on @fd. Whether the conversation goes on: who may listen does so
 * next. */
static inline bool fake_converse(struct fake_tunnel *t, int fd)
{
	bool more = false;
	struct wgw_op op;
	int passed;

	if (!fake_receive(fd, &op, &passed)) {
		close(fd);
		return false;
	}
	pthread_mutex_lock(&t->lock);
	t->ops++;
	if (memcmp(op.token, t->token, sizeof(op.token)) != 0) {
		t->bad_tokens++;
		close(fd);
	} else if (op.code == WGW_OP_UDP_OPEN) {
		if (fake_socket(t, op.cookie)->dgram >= 0)
			close(fake_socket(t, op.cookie)->dgram);
		fake_socket(t, op.cookie)->dgram = fd;
	} else {
		fake_answer(t, &op, fd, passed);
		more = op.code == WGW_OP_LISTEN && passed < 0;
		if (!more)
			close(fd);
	}
	pthread_mutex_unlock(&t->lock);
	if (passed >= 0)
		close(passed);
	return more;
}

static inline void *fake_serve(void *arg)
{
	struct fake_tunnel *t = arg;
	struct pollfd p[2] = {{.fd = t->sequenced, .events = POLLIN}, {.fd = -1, .events = POLLIN}};

	for (;;) {
		int fd;

		poll(p, 2, -1);
		if (p[1].fd >= 0 && p[1].revents) {
			fd = p[1].fd;
			p[1].fd = fake_converse(t, fd) ? fd : -1;
			continue;
		}
		fd = accept(t->sequenced, NULL, NULL);
		if (fd < 0)
			return NULL;
		if (fake_converse(t, fd)) {
			if (p[1].fd >= 0)
				close(p[1].fd);
			p[1].fd = fd;
		}
	}
}

static inline void fake_start(struct fake_tunnel *t)
{
	char token[2 * WGW_TOKEN_BYTES + 1], key[2 * WGW_LABEL_KEY_BYTES + 1];
	const char *tmp = getenv("TMPDIR");

	memset(t, 0, sizeof(*t));
	for (int i = 0; i < WGW_TOKEN_BYTES; i++)
		t->token[i] = (uint8_t)(i * 7 + 1);
	for (int i = 0; i < WGW_LABEL_KEY_BYTES; i++)
		t->key[i] = (uint8_t)(i * 11 + 3);
	snprintf(t->path, sizeof(t->path), "%.30s/wgwrap-test-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(t->path)) {
		perror("fake tunnel: mkdtemp");
		exit(99);
	}
	strcat(t->path, "/t");
	t->stream = fake_listen(t->path, ".s", SOCK_STREAM);
	t->sequenced = fake_listen(t->path, ".q", SOCK_SEQPACKET);
	fake_hex(token, t->token, sizeof(t->token));
	wgw_preambles_make(t->key, &t->preambles);
	fake_hex(key, t->key, sizeof(t->key));
	snprintf(t->env, sizeof(t->env), "1:%s:%s:%032d:%s", token, key, 0, t->path);
	pthread_mutex_init(&t->lock, NULL);
	pthread_create(&t->thread, NULL, fake_serve, t);
}

static inline void fake_stop(struct fake_tunnel *t)
{
	char path[80];

	shutdown(t->sequenced, SHUT_RDWR);
	pthread_join(t->thread, NULL);
	close(t->sequenced);
	close(t->stream);
	for (int i = 0; i < FAKE_SOCKETS; i++)
		fake_forget(&t->socket[i]);
	snprintf(path, sizeof(path), "%s.s", t->path);
	unlink(path);
	snprintf(path, sizeof(path), "%s.q", t->path);
	unlink(path);
	t->path[strlen(t->path) - 2] = '\0';
	rmdir(t->path);
}

/* ---- the stream side, played by the test ---- */

/** struct fake_conn - a connection the tunnel process has: @dup is the application's own socket */
struct fake_conn {
	int fd, dup;
	int record_bytes;
	struct wgw_connect record;
};

/* Takes the byte with the descriptor. Returns the descriptor or -1. */
static inline int fake_take_fd(int fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	int passed;

	if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) != 1 || byte != WGW_FD_BYTE || !CMSG_FIRSTHDR(&msg))
		return -1;
	memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(passed));
	return passed;
}

/* The record is whole: only then may the outcome come. */
static inline bool fake_wait_filled(int dup)
{
	uint64_t tag = 0;
	socklen_t len = sizeof(tag);

	for (int i = 0; i < 60000; i++) {
		if (getsockopt(dup, SOL_SOCKET, SO_MAX_PACING_RATE, &tag, &len) == 0 &&
		    (tag & WGW_TAG_FILLED))
			return true;
		usleep(1000);
	}
	return false;
}

static inline bool fake_accept(struct fake_tunnel *t, struct fake_conn *c)
{
	c->fd = accept(t->stream, NULL, NULL);
	if (c->fd < 0)
		return false;
	c->dup = fake_take_fd(c->fd);
	return c->dup >= 0 && fake_wait_filled(c->dup) &&
	       recv(c->fd, &c->record, sizeof(c->record), MSG_PEEK | MSG_WAITALL) ==
		       (ssize_t)sizeof(c->record);
}

static inline void fake_name(struct fake_tunnel *t, const struct wgw_label *label,
			     struct sockaddr_un *un)
{
	uint8_t nonce[WGW_LABEL_NONCE_BYTES] = {0};

	t->nonce++;
	memcpy(nonce, &t->nonce, sizeof(t->nonce));
	un->sun_family = AF_UNIX;
	wgw_label_seal(t->key, nonce, label, (uint8_t *)un->sun_path);
}

static inline int fake_label(struct fake_tunnel *t, int fd, const struct wgw_label *label)
{
	struct sockaddr_un un;

	fake_name(t, label, &un);
	return bind(fd, (struct sockaddr *)&un,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + WGW_LABEL_NAME_BYTES));
}

/* The three steps of a success, so that a test can look in between. */
static inline int fake_success_label(struct fake_tunnel *t, struct fake_conn *c)
{
	struct wgw_label label = {.outcome = WGW_OUTCOME_CONNECTED,
				  .local_port = 33333,
				  .remote_port = c->record.to.port};

	memcpy(label.local_ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x00\x00\x02", 16);
	memcpy(label.remote_ip, c->record.to.ip, 16);
	if (ioctl(c->fd, FIONREAD, &c->record_bytes) < 0)
		return -1;
	return fake_label(t, c->dup, &label);
}

static inline int fake_success_open(struct fake_conn *c)
{
	int size = FAKE_SNDBUF;

	return setsockopt(c->dup, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static inline void fake_success_end(struct fake_conn *c)
{
	close(c->dup);
	c->dup = -1;
}

static inline void fake_fail(struct fake_tunnel *t, struct fake_conn *c, int err)
{
	struct wgw_label label = {.outcome = WGW_OUTCOME_FAILED, .err = (uint8_t)err};

	fake_label(t, c->dup, &label);
	close(c->fd);
	close(c->dup);
}

#endif
