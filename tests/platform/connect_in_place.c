/* SPDX-License-Identifier: MIT */
/*
 * connect_in_place.c - a full AF_UNIX stream as a connection that is being made
 *
 * An unconnected stream polls as an unconnected TCP socket. Connected with the smallest send buffer
 * and filled, it is not writable; raising the buffer through a duplicate gives one EPOLLOUT edge
 * with what was queued still there; the end of the other side with that unread is IN|OUT|ERR|HUP in
 * one event.
 */
#include <netinet/in.h>
#include <sys/ioctl.h>

#include "tests/platform/expect.h"

static const uint32_t all_over = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP;

/** struct pending - an application's socket, the tunnel's end, and its duplicate of the former */
struct pending {
	int listener, app, tunnel, copy, ep;
	size_t queued;
};

static int pass(int fd)
{
	char byte = 'F';
	struct iovec iov = {&byte, 1};
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

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	return sendmsg(fd, &msg, MSG_DONTWAIT) == 1 ? 0 : -1;
}

static int take(int fd)
{
	char byte;
	struct iovec iov = {&byte, 1};
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	int passed;

	EXPECT(recvmsg(fd, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg));
	memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(passed));
	return passed;
}

/* @early: the descriptor is taken before the record is written, not after */
static void start(struct pending *p, int early)
{
	struct sockaddr_un un;
	socklen_t len;

	p->listener = listener(SOCK_STREAM, 1, &un, &len);
	p->app = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	p->ep = watch(p->app);
	EXPECT(events(p->ep) == (EPOLLOUT | EPOLLHUP));
	set_sndbuf(p->app, 1);
	EXPECT(connect(p->app, (struct sockaddr *)&un, len) == 0);
	EXPECT(pass(p->app) == 0);
	p->tunnel = accept(p->listener, NULL, NULL);
	if (early)
		p->copy = take(p->tunnel);
	p->queued = fill(p->app);
	events(p->ep);
	if (!early)
		p->copy = take(p->tunnel);
	/* Either way nothing more fits: an early write does not get into the record. */
	EXPECT(events(p->ep) == 0);
	EXPECT(send(p->app, "early", 5, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

static void stop(struct pending *p)
{
	close(p->listener);
	close(p->app);
	close(p->ep);
}

static void an_unconnected_stream_polls_as_tcp_does(void)
{
	int tcp = socket(AF_INET, SOCK_STREAM, 0);
	int ep, unix_fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (tcp < 0) {
		printf("no AF_INET sockets here: not compared\n");
	} else {
		ep = watch(tcp);
		EXPECT(events(ep) == (EPOLLOUT | EPOLLHUP));
		close(ep);
		close(tcp);
	}
	ep = watch(unix_fd);
	EXPECT(events(ep) == (EPOLLOUT | EPOLLHUP));
	close(ep);
	close(unix_fd);
}

static void success_is_one_edge(int early)
{
	static char record[65536];
	struct pending p;
	int queued;

	start(&p, early);
	EXPECT(recv(p.tunnel, record, 64, MSG_PEEK) == 64);
	EXPECT(events(p.ep) == 0);
	set_sndbuf(p.copy, 212992);
	EXPECT(events(p.ep) == EPOLLOUT);
	close(p.copy);
	EXPECT(events(p.ep) == 0);
	EXPECT(send(p.app, "hello", 5, 0) == 5);
	EXPECT(ioctl(p.tunnel, FIONREAD, &queued) == 0);
	EXPECT((size_t)queued == p.queued + 5);
	/* All but the last byte, which stays as the keeper; then a FIN. */
	EXPECT(recv(p.tunnel, record, (size_t)queued - 1, 0) == queued - 1);
	EXPECT(send(p.tunnel, "data", 4, 0) == 4);
	events(p.ep);
	EXPECT(recv(p.tunnel, record, 1, 0) == 1);
	EXPECT(shutdown(p.tunnel, SHUT_WR) == 0);
	EXPECT(events(p.ep) & EPOLLRDHUP);
	EXPECT(recv(p.app, record, sizeof(record), 0) == 4);
	EXPECT(recv(p.app, record, sizeof(record), 0) == 0);
	EXPECT(send(p.app, "half", 4, 0) == 4); /* the other half is open */
	close(p.tunnel);
	stop(&p);
}

static void failure_is_one_event(int early)
{
	struct pending p;
	int err = 0;
	socklen_t len = sizeof(err);

	start(&p, early);
	close(p.copy);
	close(p.tunnel);
	EXPECT(events(p.ep) == all_over);
	EXPECT(events(p.ep) == 0);
	EXPECT(getsockopt(p.app, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err == ECONNRESET);
	stop(&p);
}

static void end_with_the_keeper_unread_is_a_reset_after_the_data(void)
{
	static char record[65536];
	struct pending p;
	int queued;

	start(&p, 0);
	set_sndbuf(p.copy, 212992);
	close(p.copy);
	EXPECT(ioctl(p.tunnel, FIONREAD, &queued) == 0);
	EXPECT(recv(p.tunnel, record, (size_t)queued - 1, 0) == queued - 1);
	EXPECT(send(p.tunnel, "data", 4, 0) == 4);
	events(p.ep);
	close(p.tunnel);
	EXPECT(events(p.ep) == all_over);
	EXPECT(recv(p.app, record, sizeof(record), 0) == 4);
	EXPECT(recv(p.app, record, sizeof(record), 0) == -1 && errno == ECONNRESET);
	stop(&p);
}

int main(void)
{
	an_unconnected_stream_polls_as_tcp_does();
	for (int early = 0; early <= 1; early++) {
		success_is_one_edge(early);
		failure_is_one_event(early);
	}
	end_with_the_keeper_unread_is_a_reset_after_the_data();
	return 0;
}
