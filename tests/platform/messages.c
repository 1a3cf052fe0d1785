/* SPDX-License-Identifier: MIT */
/*
 * messages.c - SEQPACKET as a carrier of datagrams
 *
 * Borders and empty messages are kept; MSG_TRUNC tells the full length; the largest UDP payload
 * fits; a descriptor attached to a message marks it, and a plain read of it leaks nothing; the end
 * of the other side is 0 with POLLHUP, told apart from an empty message by that.
 */
#include <poll.h>
#include <sys/ioctl.h>

#include "tests/platform/expect.h"

enum { UDP_MAX_BYTES = 65507 };

static void borders(int a, int b)
{
	char text[16];

	EXPECT(send(a, "one", 3, 0) == 3);
	EXPECT(send(a, "", 0, 0) == 0);
	EXPECT(send(a, "three", 5, 0) == 5);
	EXPECT(recv(b, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT) == 3);
	EXPECT(recv(b, text, 2, MSG_TRUNC) == 3);
	EXPECT(recv(b, text, sizeof(text), 0) == 0);
	EXPECT(recv(b, text, sizeof(text), 0) == 5);
	EXPECT(recv(b, text, sizeof(text), MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

static void largest(int a, int b)
{
	static char payload[UDP_MAX_BYTES];

	set_sndbuf(a, 1 << 20);
	EXPECT(send(a, payload, sizeof(payload), 0) == UDP_MAX_BYTES);
	EXPECT(recv(b, payload, sizeof(payload), 0) == UDP_MAX_BYTES);
}

static void marked(int a, int b)
{
	struct iovec iov = {(void *)"x", 1};
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS,
			      .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	int pipe_fd[2];
	char byte;

	EXPECT(pipe(pipe_fd) == 0);
	memcpy(CMSG_DATA(&control.head), &pipe_fd[1], sizeof(int));
	EXPECT(sendmsg(a, &msg, 0) == 1);
	close(pipe_fd[1]);
	EXPECT(read(b, &byte, 1) == 1);
	EXPECT(read(pipe_fd[0], &byte, 1) == 0); /* nobody has the other end any more */
	close(pipe_fd[0]);
	msg.msg_iovlen = 0; /* an empty message can be marked too */
	memcpy(CMSG_DATA(&control.head), &a, sizeof(int));
	EXPECT(sendmsg(a, &msg, 0) == 0);
	memset(&control, 0, sizeof(control));
	EXPECT(recvmsg(b, &msg, MSG_DONTWAIT) == 0);
	EXPECT(CMSG_FIRSTHDR(&msg) && CMSG_FIRSTHDR(&msg)->cmsg_type == SCM_RIGHTS);
	memcpy(&pipe_fd[0], CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	close(pipe_fd[0]);
}

static void the_end(int a, int b)
{
	struct pollfd p = {.fd = b};
	char byte;

	EXPECT(send(a, "", 0, 0) == 0);
	EXPECT(recv(b, &byte, 1, 0) == 0);
	EXPECT(poll(&p, 1, 0) == 0);
	close(a);
	EXPECT(recv(b, &byte, 1, 0) == 0);
	EXPECT(poll(&p, 1, 0) == 1 && (p.revents & POLLHUP));
	EXPECT(send(b, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
}

int main(void)
{
	int pair[2];

	EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	borders(pair[0], pair[1]);
	largest(pair[0], pair[1]);
	marked(pair[0], pair[1]);
	the_end(pair[0], pair[1]);
	return 0;
}
