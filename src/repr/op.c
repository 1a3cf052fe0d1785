/* SPDX-License-Identifier: MIT */
/* op.c - conversations with the tunnel process: one connection, one request, one reply */
#include "src/repr/repr.h"

#include <errno.h>
#include <string.h>

#include "src/repr/cmsg.h"
#include "src/repr/raw.h"

void wgw_repr_op_init(const struct wgw_repr_session *s, struct wgw_op *op, enum wgw_op_code code,
		      int fd, uint64_t tag)
{
	memset(op, 0, sizeof(*op));
	op->magic = WGW_WIRE_MAGIC;
	op->version = WGW_WIRE_VERSION;
	op->code = (uint16_t)code;
	op->kind = (uint8_t)wgw_tag_kind(tag);
	op->cookie = fd >= 0 ? wgw_repr_cookie(fd) : 0;
	op->inode = fd >= 0 ? wgw_raw_inode(fd) : 0;
	memcpy(op->token, s->token, sizeof(op->token));
}

int wgw_repr_op_open(const struct wgw_repr_session *s)
{
	int fd = wgw_raw_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return fd;
	do
		rc = wgw_repr_rendezvous(s, fd, 'q');
	while (rc == -EINTR);
	if (rc < 0) {
		wgw_raw_close(fd);
		return rc;
	}
	return fd;
}

int wgw_repr_op_send(int conversation, const struct wgw_op *op, const void *tail, size_t tail_len,
		     int pass)
{
	struct iovec iov[2] = {{(void *)op, sizeof(*op)}, {(void *)tail, tail_len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = tail_len ? 2 : 1};
	union wgw_fd_control control;
	ssize_t n;

	if (pass >= 0)
		wgw_cmsg_attach(&msg, &control, pass);
	n = wgw_cmsg_send(conversation, &msg, MSG_NOSIGNAL);
	if (n == -EPIPE || n == -ECONNRESET)
		return -ENETDOWN;
	return n < 0 ? (int)n : 0;
}

ssize_t wgw_repr_op_recv(int conversation, struct wgw_op *op, void *tail, size_t tail_len)
{
	uint16_t code = op->code;
	struct iovec iov[2] = {{op, sizeof(*op)}, {tail, tail_len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = tail_len ? 2 : 1};
	ssize_t n;

	do
		n = wgw_raw_recvmsg(conversation, &msg, MSG_CMSG_CLOEXEC | MSG_TRUNC);
	while (n == -EINTR);
	if (n == 0 || n == -ECONNRESET)
		return -ENETDOWN;
	if (n < 0)
		return n;
	if ((size_t)n < sizeof(*op) || op->magic != WGW_WIRE_MAGIC || op->code != code)
		return -EPROTO;
	return n - (ssize_t)sizeof(*op);
}

ssize_t wgw_repr_op_ask(const struct wgw_repr_session *s, struct wgw_op *op, void *tail,
			size_t size)
{
	int conversation = wgw_repr_op_open(s);
	ssize_t n;

	if (conversation < 0)
		return conversation;
	n = wgw_repr_op_send(conversation, op, NULL, 0, -1);
	if (n == 0)
		n = wgw_repr_op_recv(conversation, op, tail, size);
	wgw_raw_close(conversation);
	return n;
}

int wgw_repr_op_call(const struct wgw_repr_session *s, struct wgw_op *op)
{
	int conversation = wgw_repr_op_open(s);
	ssize_t n;

	if (conversation < 0)
		return conversation;
	n = wgw_repr_op_send(conversation, op, NULL, 0, -1);
	if (n == 0)
		n = wgw_repr_op_recv(conversation, op, NULL, 0);
	wgw_raw_close(conversation);
	if (n < 0)
		return (int)n;
	return op->err > 0 ? -op->err : 0;
}

int wgw_repr_op_about(const struct wgw_repr_session *s, struct wgw_op *op, int fd)
{
	int rc = wgw_repr_op_call(s, op);

	return rc == -ENOTSOCK ? wgw_repr_dgram_lost(s, fd) : rc;
}

int wgw_repr_pass_self(int fd)
{
	char byte = WGW_FD_BYTE;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union wgw_fd_control control;
	ssize_t n;

	wgw_cmsg_attach(&msg, &control, fd);
	n = wgw_cmsg_send(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n == 1 ? 0 : n == -ENOBUFS ? -ENOBUFS : -ENETDOWN;
}
