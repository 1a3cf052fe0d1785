/* SPDX-License-Identifier: MIT */
/* sockets_datagrams.h - the application's end of a datagram socket, as the shim uses it */
#ifndef TESTS_SOCKETS_DATAGRAMS_H
#define TESTS_SOCKETS_DATAGRAMS_H

#include "tests/unit/sockets_fake.h"

static const struct stack_addr loopback4 = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, 0};

/* socket(AF_INET, SOCK_DGRAM). @flags: of WGW_OP_UDP_OPEN */
FAKE int udp_open_with(uint32_t flags)
{
	struct wgw_op op = {.code = WGW_OP_UDP_OPEN, .kind = WGW_KIND_UDP, .u.open.flags = flags};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&fake_sequenced, sizeof(sa_family_t) + 6),
			 0);
	op.magic = WGW_WIRE_MAGIC;
	op.version = WGW_WIRE_VERSION;
	op.cookie = app_cookie(fd);
	op.inode = 1;
	memcpy(op.token, fake_token, WGW_TOKEN_BYTES);
	ck_assert_int_eq(send(fd, &op, sizeof(op), 0), sizeof(op));
	return fd;
}

FAKE int udp_open(void)
{
	return udp_open_with(0);
}

/* As the application's side begins a header. */
FAKE void begin_header(struct wgw_dgram *h)
{
	memcpy(h->preamble, wgw_session_preambles(NULL)->to_tunnel, sizeof(h->preamble));
}

FAKE void send_to(int fd, const struct stack_addr *to, const char *text)
{
	struct wgw_dgram h = {.port = to->port};
	struct iovec iov[2] = {{&h, sizeof(h)}, {(void *)text, strlen(text)}};

	begin_header(&h);
	memcpy(h.ip, to->ip, 16);
	ck_assert_int_eq(writev(fd, iov, 2), (ssize_t)(sizeof(h) + strlen(text)));
}

/* The next message as header and text; false: none. */
FAKE bool receive(int fd, struct wgw_dgram *h, char text[64])
{
	struct iovec iov[2] = {{h, sizeof(*h)}, {text, 63}};
	ssize_t r = readv(fd, iov, 2);

	memset(text + (r > (ssize_t)sizeof(*h) ? r - (ssize_t)sizeof(*h) : 0), 0, 1);
	return r >= (ssize_t)sizeof(*h) &&
	       wgw_preamble_begins(wgw_session_preambles(NULL)->to_app, h, (size_t)r);
}

/* WGW_OP_UDP_CONNECT up to its reply. */
FAKE int connect_begin(int fd, const struct stack_addr *to, struct wgw_op *op)
{
	int talk;

	*op = (struct wgw_op){.code = WGW_OP_UDP_CONNECT, .cookie = app_cookie(fd)};
	if (to) {
		memcpy(op->u.bind.addr.ip, to->ip, 16);
		op->u.bind.addr.port = to->port;
	}
	talk = app_op_begin(op, -1);
	fake_run(5);
	ck_assert_int_eq(recv(talk, op, sizeof(*op), 0), sizeof(*op));
	return talk;
}

FAKE void connect_end(int talk, uint32_t flags)
{
	struct wgw_op op = {.magic = WGW_WIRE_MAGIC, .code = WGW_OP_GO, .u.open.flags = flags};

	ck_assert_int_eq(send(talk, &op, sizeof(op), 0), sizeof(op));
	close(talk);
	fake_run(5);
}

FAKE void connected(int fd, const struct stack_addr *to)
{
	struct wgw_op op;
	int talk = connect_begin(fd, to, &op);

	ck_assert_int_eq(op.err, 0);
	connect_end(talk, WGW_BIND_RAW);
}

/* WGW_OP_BIND. @port: what it is bound to then */
FAKE int bind_op(int fd, const struct stack_addr *local, uint32_t flags, uint16_t *port)
{
	struct wgw_op op = {.code = WGW_OP_BIND, .kind = WGW_KIND_UDP, .cookie = app_cookie(fd)};
	int err;

	fake_run(5);
	memcpy(op.u.bind.addr.ip, local->ip, sizeof(op.u.bind.addr.ip));
	op.u.bind.addr.port = local->port;
	op.u.bind.flags = flags;
	err = app_op(&op, -1);
	*port = op.u.name.local.port;
	return err;
}

/* bind(2) to @local; the port it has then. */
FAKE uint16_t bound_with(int fd, const struct stack_addr *local, uint32_t flags)
{
	uint16_t port;

	ck_assert_int_eq(bind_op(fd, local, flags, &port), 0);
	return port;
}

FAKE uint16_t bound_to(int fd, const struct stack_addr *local)
{
	return bound_with(fd, local, 0);
}

#endif
