/* SPDX-License-Identifier: MIT */
/* ready.c - poll(2), select(2), epoll(7), and threads that wait */
#include "behave.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>

static const char *epoll_text(int ep, int ms)
{
	struct epoll_event ev;
	int n = epoll_wait(ep, &ev, 1, ms);

	return n < 0 ? err_name(errno) : n == 0 ? "none" : events_text(ev.events);
}

static int watching(int fd, unsigned int events)
{
	struct epoll_event ev = {.events = events, .data.fd = fd};
	int ep = epoll_create1(0);

	did("add", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	return ep;
}

CASE(new_sockets)
{
	printf("tcp %s\n", polled(tcp_socket(false, 0), 0));
	printf("tcp6 %s\n", polled(tcp_socket(true, 0), 0));
	printf("udp %s\n", polled(udp_socket(false), 0));
}

CASE(epoll_before_connect)
{
	int fd = tcp_socket(false, SOCK_NONBLOCK);
	int ep = watching(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);

	printf("unconnected: %s\n", epoll_text(ep, 0));
	printf("once: %s\n", epoll_text(ep, 0));
	did("connect", connect_to(fd, host(false), COMMAND_PORT));
	printf("connected: %s\n", epoll_text(ep, 60000));
	printf("more: %s\n", epoll_text(ep, 200));
	said("send", send(fd, "fin 3\n", 6, 0));
	wait_for(fd, POLLRDHUP);
	nap_ms(300); /* the wake-up for the FIN has come, too */
	printf("data and FIN: %s\n", epoll_text(ep, 60000));
	printf("more: %s\n", epoll_text(ep, 100));
}

CASE(epoll_after_connect)
{
	int fd = tcp_socket(false, SOCK_NONBLOCK), ep;

	did("connect", connect_to(fd, host(false), COMMAND_PORT));
	ep = watching(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	printf("connected: %s\n", epoll_text(ep, 60000));
	printf("more: %s\n", epoll_text(ep, 200));
}

CASE(epoll_refused)
{
	int fd = tcp_socket(false, SOCK_NONBLOCK), ep;

	did("connect", connect_to(fd, host(false), CLOSED_PORT));
	ep = watching(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	/* An AF_UNIX socket wakes for the hang-up and again for the room that it frees: as one, if
	 * not looked at between the two */
	wait_in(fd);
	nap_ms(300);
	printf("refused: %s\n", epoll_text(ep, 60000));
	printf("more: %s\n", epoll_text(ep, 200));
}

CASE(epoll_level)
{
	int fd = server(false, "echo"), ep = watching(fd, EPOLLIN);
	char byte;

	printf("idle: %s\n", epoll_text(ep, 50));
	send(fd, "ab", 2, 0);
	printf("data: %s\n", epoll_text(ep, 60000));
	nap_ms(50);
	recv(fd, &byte, 1, 0);
	printf("one byte less: %s\n", epoll_text(ep, 50));
	recv(fd, &byte, 1, 0);
	printf("empty: %s\n", epoll_text(ep, 50));
}

CASE(epoll_oneshot)
{
	int fd = server(false, "echo"), ep = watching(fd, EPOLLIN | EPOLLONESHOT);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};

	send(fd, "ab", 2, 0);
	printf("data: %s\n", epoll_text(ep, 60000));
	printf("again: %s\n", epoll_text(ep, 50));
	did("rearm", epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev));
	printf("data: %s\n", epoll_text(ep, 60000));
}

CASE(epoll_edges_of_data)
{
	int fd = server(false, "echo"), ep = watching(fd, EPOLLIN | EPOLLET);
	char data[8];

	send(fd, "ab", 2, 0);
	printf("first: %s\n", epoll_text(ep, 60000));
	nap_ms(100);
	printf("nothing new: %s\n", epoll_text(ep, 50));
	send(fd, "cd", 2, 0);
	printf("more: %s\n", epoll_text(ep, 60000));
	said("recv", recv(fd, data, 8, 0));
}

CASE(epoll_follows_the_description)
{
	int fd = server(false, "echo"), copy = dup(fd), ep = watching(fd, EPOLLIN);
	struct epoll_event ev = {.events = EPOLLIN};

	did("add twice", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	close(fd);
	send(copy, "x", 1, 0);
	printf("after the close of one: %s\n", epoll_text(ep, 60000));
}

static void show_events(const char *when, int ep)
{
	struct epoll_event ev[4];
	int n = epoll_wait(ep, ev, 4, 10000);

	printf("%s: %d", when, n);
	for (int i = 0; i < n; i++)
		printf(", %s%s data %llx", ev[i].events & EPOLLIN ? "in" : "",
		       ev[i].events & EPOLLOUT ? "out" : "", (unsigned long long)ev[i].data.u64);
	printf("\n");
}

/* Two epolls, one with another descriptor before and behind it, and with more than 32 bits of data */
CASE(epoll_after_a_second_connect)
{
	struct epoll_event out = {.events = EPOLLOUT, .data.u64 = 0xfedcba9876543210},
			   in = {.events = EPOLLIN | EPOLLET, .data.u64 = 7},
			   none = {.events = 0, .data.u64 = 9};
	int before = tcp_socket(false, 0), fd = tcp_socket(false, 0), behind = tcp_socket(false, 0);
	int first = epoll_create1(0), second = epoll_create1(0);

	did("add", epoll_ctl(first, EPOLL_CTL_ADD, before, &none));
	did("add", epoll_ctl(first, EPOLL_CTL_ADD, fd, &out));
	did("add", epoll_ctl(first, EPOLL_CTL_ADD, behind, &none));
	did("add", epoll_ctl(second, EPOLL_CTL_ADD, fd, &in));
	close(before);
	close(behind);
	did("connect", connect_to(fd, host(false), CLOSED_PORT));
	did("connect again", connect_to(fd, host(false), HELLO_PORT));
	show_events("writable", first);
	wait_in(fd);
	show_events("readable", second);
	did("add twice", epoll_ctl(second, EPOLL_CTL_ADD, fd, &in));
	did("change", epoll_ctl(first, EPOLL_CTL_MOD, fd, &in));
	show_events("changed", first);
}

CASE(select_call)
{
	int fd = server(false, "echo");
	fd_set in, out;
	struct timeval tv = {60, 0};

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	printf("select: %d, in %d, out %d\n", select(fd + 1, &in, &out, NULL, &tv),
	       !!FD_ISSET(fd, &in), !!FD_ISSET(fd, &out));
	send(fd, "x", 1, 0);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	printf("select: %d, in %d\n", select(fd + 1, &in, NULL, NULL, &tv), !!FD_ISSET(fd, &in));
}

CASE(poll_of_many_states)
{
	int listener, port, fd = server(false, "echo");

	printf("connected: %s\n", polled(fd, 0));
	listener = listener_on("0.0.0.0", &port, 5);
	printf("listening: %s\n", polled(listener, 0));
	send(fd, "x", 1, 0);
	wait_in(fd);
	printf("data: %s\n", polled(fd, 0));
	shutdown(fd, SHUT_WR);
	wait_for(fd, 0);
	printf("both ends shut: %s\n", polled(fd, 0));
}

static void on_io(int sig)
{
	(void)sig;
	printf("SIGIO\n");
}

CASE(signal_driven)
{
	int fd = server(false, "echo");

	signal(SIGIO, on_io);
	did("owner", fcntl(fd, F_SETOWN, getpid()));
	did("async", fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	printf("owner is this process: %d\n", fcntl(fd, F_GETOWN) == getpid());
	signal(SIGIO, SIG_IGN);
}

/* ---- threads ---- */

struct job {
	int fd;
	ssize_t result;
	int err;
};

static void *receive(void *arg)
{
	struct job *j = arg;
	char byte;

	j->result = recv(j->fd, &byte, 1, 0);
	j->err = errno;
	return NULL;
}

CASE(shutdown_wakes_recv)
{
	struct job j = {.fd = server(false, "hold")};
	pthread_t thread;

	pthread_create(&thread, NULL, receive, &j);
	nap_ms(100);
	did("shutdown", shutdown(j.fd, SHUT_RDWR));
	pthread_join(thread, NULL);
	printf("recv: %zd\n", j.result);
}

CASE(close_does_not_wake_recv)
{
	struct job j = {.fd = server(false, "later 300")};
	pthread_t thread;
	int copy = dup(j.fd);

	pthread_create(&thread, NULL, receive, &j);
	nap_ms(100);
	close(j.fd);
	shutdown(copy, SHUT_WR);
	pthread_join(thread, NULL);
	printf("recv: %zd\n", j.result);
}

static void *exchange(void *arg)
{
	long *good = arg;

	for (int i = 0; i < 25; i++) {
		int fd = server(false, "echo");
		char data[8];

		send(fd, "hello", 5, 0);
		*good += recv(fd, data, 5, MSG_WAITALL) == 5;
		close(fd);
	}
	return NULL;
}

CASE(eight_threads)
{
	pthread_t thread[8];
	long good[8] = {0}, total = 0;

	for (int i = 0; i < 8; i++)
		pthread_create(&thread[i], NULL, exchange, &good[i]);
	for (int i = 0; i < 8; i++) {
		pthread_join(thread[i], NULL);
		total += good[i];
	}
	printf("%ld exchanges\n", total);
}

static void *wait_for_ever(void *arg)
{
	char byte;

	recv(*(int *)arg, &byte, 1, 0);
	return NULL;
}

CASE(cancellation)
{
	int fd = server(false, "hold");
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, wait_for_ever, &fd);
	nap_ms(100);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	printf("cancelled: %d\n", result == PTHREAD_CANCELED);
}

static void *send_for_ever(void *arg)
{
	static char data[1 << 16];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	while (sendmsg(*(int *)arg, &msg, MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

static void *receive_several_for_ever(void *arg)
{
	char data[16];
	struct iovec iov = {data, sizeof(data)};
	struct mmsghdr message = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};

	recvmmsg(*(int *)arg, &message, 1, 0, NULL);
	return NULL;
}

static void show_cancelled(const char *call, void *(*run)(void *), int fd)
{
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, run, &fd);
	nap_ms(500);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	printf("%s: cancelled %d\n", call, result == PTHREAD_CANCELED);
}

CASE(cancelled_messages)
{
	show_cancelled("sendmsg", send_for_ever, server(false, "hold"));
	show_cancelled("recvmmsg", receive_several_for_ever, udp_socket(false));
}

static void *connect_for_ever(void *arg)
{
	(void)arg;
	connect_to(tcp_socket(false, 0), BLACKHOLE4, 9);
	return NULL;
}

CASE(cancelled_connect)
{
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, connect_for_ever, NULL);
	nap_ms(100);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	printf("cancelled: %d\n", result == PTHREAD_CANCELED);
}

static void nothing(int sig)
{
	(void)sig;
}

CASE(signal_interrupts_recv)
{
	struct sigaction act = {.sa_handler = nothing};
	int fd = server(false, "later 600");
	char byte;

	sigaction(SIGALRM, &act, NULL);
	ualarm(100000, 100000); /* the first may come before recv() */
	said("recv", recv(fd, &byte, 1, 0));
	act.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &act, NULL);
	ualarm(100000, 0);
	shutdown(fd, SHUT_WR);
	said("recv restarted", recv(fd, &byte, 1, 0));
}

CASE(signal_storm)
{
	struct sigaction act = {.sa_handler = nothing, .sa_flags = SA_RESTART};
	int good = 0;

	sigaction(SIGALRM, &act, NULL);
	ualarm(500, 500);
	for (int i = 0; i < 50; i++) {
		int fd = tcp_socket(false, 0);
		char data[8];

		if (connect_to(fd, host(false), HELLO_PORT) == 0)
			good += recv(fd, data, 5, MSG_WAITALL) == 5;
		close(fd);
	}
	ualarm(0, 0);
	printf("%d good\n", good);
}

static int handler_fd;

static void in_handler(int sig)
{
	(void)sig;
	handler_fd = tcp_socket(false, 0);
	if (connect_to(handler_fd, host(false), HELLO_PORT))
		handler_fd = -1;
}

CASE(connect_in_a_signal_handler)
{
	char data[8];

	signal(SIGUSR1, in_handler);
	raise(SIGUSR1);
	said("recv", recv(handler_fd, data, 5, MSG_WAITALL));
}
