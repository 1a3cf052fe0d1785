/* SPDX-License-Identifier: MIT */
/*
 * storm.c - calls amid signals that come every few milliseconds
 *
 * A call that a signal interrupts is made again, by the kernel or by the program, while what it
 * asked for may have been done already. Linux interrupts only calls that wait; how often is chance.
 * So what is printed is only whether anything went wrong in many rounds.
 */
#include <pthread.h>

#include "behave.h"

enum {
	ROUNDS = 150,
	PERIOD_NS = 3000000,
	STEP_NS = 200,
	LIMIT_MS = 300,
	LATE_MS = 3000,
	END_S = 20,
	FIRST_PORT = 20000,
	MANY = 8,
	FEW = 3,
	THREADS = 4,
	EXIT_STATUS = 7
};

static volatile sig_atomic_t caught;
static timer_t timer;

static void catch (int number)
{
	(void)number;
	caught++;
}

/* Not by SIGALRM, which ends a case that takes too long. */
static void storm(int flags)
{
	struct sigaction act = {.sa_handler = catch, .sa_flags = flags};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec often = {{0, PERIOD_NS}, {0, PERIOD_NS}};

	sigaction(SIGUSR1, &act, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &often, NULL))
		die("timer");
}

static void calm(void)
{
	timer_delete(timer);
}

/* Counts a call that did not return what it must, and says the first one's. */
static int wrong(const char *what, bool good)
{
	static bool said_one;

	if (!good && !said_one) {
		printf("%s: %s\n", what, err_name(errno));
		said_one = true;
	}
	return !good;
}

/* poll is never made again by the kernel. */
static void wait_amid_signals(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t until = now_ms() + LATE_MS;

	while (poll(&p, 1, LATE_MS) < 0 && errno == EINTR && now_ms() < until)
		;
}

CASE(connections)
{
	int n = 0;

	storm(SA_RESTART);
	for (int i = 0; i < ROUNDS; i++) {
		int fd = tcp_socket(false, 0);
		union address peer;
		socklen_t len = sizeof(peer);
		char data[8];

		n += wrong("nodelay", set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1) == 0);
		n += wrong("connect", connect_to(fd, host(false), HELLO_PORT) == 0);
		n += wrong("getpeername", getpeername(fd, &peer.any, &len) == 0);
		n += wrong("nodelay is read", get_int(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
		n += wrong("recv", recv(fd, data, 5, MSG_WAITALL) == 5);
		n += wrong("shutdown", shutdown(fd, SHUT_WR) == 0);
		close(fd);
	}
	calm();
	printf("%d wrong\n", n);
}

CASE(refused_and_again)
{
	int n = 0;

	storm(SA_RESTART);
	for (int i = 0; i < ROUNDS; i++) {
		int fd = tcp_socket(false, 0);

		n += wrong("refused",
			   connect_to(fd, host(false), CLOSED_PORT) < 0 && errno == ECONNREFUSED);
		n += wrong("again", connect_to(fd, host(false), HELLO_PORT) == 0);
		close(fd);
	}
	calm();
	printf("%d wrong\n", n);
}

/* An error is told once: not by a call that nobody has waited for. */
CASE(refused_told_by_option)
{
	int n = 0;

	for (int i = 0; i < 4 * ROUNDS; i++) {
		/* at each moment of the call, once */
		const struct itimerspec soon = {{0, PERIOD_NS}, {0, 1000 + STEP_NS * i}};
		int fd = tcp_socket(false, SOCK_NONBLOCK);
		struct pollfd p = {.fd = fd, .events = POLLOUT};

		n += wrong("connect", connect_to(fd, host(false), CLOSED_PORT) < 0);
		n += wrong("poll", poll(&p, 1, LATE_MS) == 1);
		storm(SA_RESTART);
		timer_settime(timer, 0, &soon, NULL);
		n += wrong("the error", get_int(fd, SOL_SOCKET, SO_ERROR) == ECONNREFUSED);
		calm();
		n += wrong("once", get_int(fd, SOL_SOCKET, SO_ERROR) == 0);
		close(fd);
	}
	printf("%d wrong\n", n);
}

CASE(listeners)
{
	int n = 0;

	storm(SA_RESTART);
	for (int i = 0; i < ROUNDS; i++) {
		int fd = tcp_socket(false, 0), port = FIRST_PORT + i;

		n += wrong("bind", bind_to(fd, "0.0.0.0", port) == 0);
		n += wrong("bind twice", bind_to(fd, "0.0.0.0", port) < 0 && errno == EINVAL);
		n += wrong("listen", listen(fd, 5) == 0);
		n += wrong("shutdown", shutdown(fd, SHUT_RDWR) == 0);
		n += wrong("listen again", listen(fd, 5) == 0);
		n += wrong("the same port", local_port(fd) == port);
		close(fd);
	}
	calm();
	printf("%d wrong\n", n);
}

CASE(datagrams)
{
	int n = 0;

	storm(SA_RESTART);
	for (int i = 0; i < 4 * ROUNDS; i++) {
		int fd = udp_socket(false);
		union address to;
		socklen_t len = make_address(&to, host(false), ECHO_UDP_PORT);
		int number = 2 * i, got = -1;
		struct iovec iov = {&number, sizeof(number)};
		struct msghdr msg = {
			.msg_name = &to, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1};

		n += wrong("sendto", sendto(fd, &number, 4, 0, &to.any, len) == 4);
		wait_amid_signals(fd);
		n += wrong("recvfrom", recvfrom(fd, &got, 4, MSG_DONTWAIT, &to.any, &len) == 4);
		n += wrong("its number", got == number);
		number++;
		n += wrong("sendmsg", sendmsg(fd, &msg, 0) == 4);
		wait_amid_signals(fd);
		iov.iov_base = &got;
		n += wrong("recvmsg", recvmsg(fd, &msg, MSG_DONTWAIT) == 4);
		n += wrong("its number", got == number);
		n += wrong("connect", connect_to(fd, host(false), ECHO_UDP_PORT) == 0);
		n += wrong("another", connect_to(fd, host(false), OTHER_UDP_PORT) == 0);
		close(fd);
	}
	calm();
	printf("%d wrong\n", n);
}

/* MANY messages of a number each, from or into @numbers. */
struct many {
	struct mmsghdr msg[MANY];
	struct iovec iov[MANY];
	union address to;
	int numbers[MANY];
};

static struct many *many_to(socklen_t name_len)
{
	static struct many m;

	memset(m.msg, 0, sizeof(m.msg));
	for (int i = 0; i < MANY; i++) {
		m.iov[i] = (struct iovec){&m.numbers[i], sizeof(m.numbers[i])};
		m.msg[i].msg_hdr = (struct msghdr){.msg_name = name_len ? &m.to : NULL,
						   .msg_namelen = name_len,
						   .msg_iov = &m.iov[i],
						   .msg_iovlen = 1};
	}
	return &m;
}

/* @n of them, from @first on, to the echo server. Returns how many went. */
static int send_many(int fd, int first, int n)
{
	struct many *m;
	union address to;
	socklen_t len = make_address(&to, host(false), ECHO_UDP_PORT);
	int done = 0, rc = 0;

	while (done < n && rc >= 0) {
		m = many_to(len);
		m->to = to;
		for (int i = 0; i < n - done; i++)
			m->numbers[i] = first + done + i;
		rc = sendmmsg(fd, m->msg, (unsigned int)(n - done), 0);
		done += rc > 0 ? rc : 0;
	}
	return done;
}

/* Receives into up to MANY messages, waiting. Sets a bit of *@seen for each number from @first on,
 * and returns how many there were, or -1 for one that was seen before or is none of them. */
static int receive_many(int fd, int first, unsigned int *seen)
{
	struct many *m = many_to(0);
	int n = recvmmsg(fd, m->msg, MANY, 0, NULL);

	/* Linux leaves there what ended its wait for more: ERESTARTSYS */
	get_int(fd, SOL_SOCKET, SO_ERROR);
	for (int i = 0; i < n; i++) {
		unsigned int bit = 1U << ((unsigned int)(m->numbers[i] - first) % 32);

		if (m->msg[i].msg_len != sizeof(int) || m->numbers[i] < first ||
		    m->numbers[i] >= first + MANY || *seen & bit)
			return -1;
		*seen |= bit;
	}
	return n;
}

/* Each number comes back once. A wait for one more ends at a signal. */
static void all_of_many(int rounds, int sent)
{
	int n = 0, late = 0;

	storm(SA_RESTART);
	for (int i = 0; i < rounds; i++) {
		int fd = udp_socket(false), got = 0, rc = 0;
		unsigned int seen = 0;
		int64_t since = now_ms();
		union address from;
		socklen_t len = sizeof(from);
		int number;

		n += wrong("sendmmsg", send_many(fd, MANY * i, sent) == sent);
		while (got < sent && rc >= 0) {
			rc = receive_many(fd, MANY * i, &seen);
			got += rc;
		}
		n += wrong("recvmmsg", got == sent);
		n += wrong("no more", recvfrom(fd, &number, 4, MSG_DONTWAIT, &from.any, &len) < 0 &&
					      errno == EAGAIN);
		late += now_ms() - since > LATE_MS;
		close(fd);
	}
	calm();
	printf("%d wrong, %d late\n", n, late);
}

CASE(many_at_once)
{
	all_of_many(4 * ROUNDS, MANY);
}

CASE(fewer_than_asked_for)
{
	all_of_many(ROUNDS / 3, FEW);
}

/** struct sender - a thread that sends MANY numbers from @first on, on a socket that others use */
struct sender {
	pthread_t thread;
	int fd, first, sent;
};

static void *send_beside_others(void *arg)
{
	struct sender *s = arg;
	union address to;
	socklen_t len = make_address(&to, host(false), ECHO_UDP_PORT);
	struct mmsghdr msg[MANY];
	struct iovec iov[MANY];
	int numbers[MANY], rc = 0;
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
	memset(msg, 0, sizeof(msg));
	for (int i = 0; i < MANY; i++) {
		numbers[i] = s->first + i;
		iov[i] = (struct iovec){&numbers[i], sizeof(numbers[i])};
		msg[i].msg_hdr = (struct msghdr){
			.msg_name = &to, .msg_namelen = len, .msg_iov = &iov[i], .msg_iovlen = 1};
	}
	while (s->sent < MANY && rc >= 0) {
		rc = sendmmsg(s->fd, msg + s->sent, (unsigned int)(MANY - s->sent), 0);
		s->sent += rc > 0 ? rc : 0;
	}
	return NULL;
}

/* The numbers from @first on, one datagram each. Returns how many did not come, or came again. */
static int not_once(int fd, int first, int n)
{
	char seen[THREADS * MANY] = {0};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t until = now_ms() + LATE_MS;
	int number, got = 0, bad = 0;

	while (got < n && now_ms() < until) {
		wait_amid_signals(fd);
		if (recv(fd, &number, sizeof(number), MSG_DONTWAIT) != sizeof(number))
			continue;
		bad += number < first || number >= first + n || seen[number - first]++;
		got++;
	}
	return bad + n - got + (poll(&p, 1, 0) > 0);
}

/* On one connected socket, so that what comes back is the numbers. The signals are the threads'. */
CASE(many_by_threads)
{
	sigset_t signals;
	int n = 0;

	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	storm(SA_RESTART);
	for (int i = 0; i < ROUNDS; i++) {
		struct sender senders[THREADS];
		int fd = udp_socket(false), first = THREADS * MANY * i;

		n += wrong("connect", connect_to(fd, host(false), ECHO_UDP_PORT) == 0);
		for (int j = 0; j < THREADS; j++) {
			senders[j] = (struct sender){.fd = fd, .first = first + MANY * j};
			pthread_create(&senders[j].thread, NULL, send_beside_others, &senders[j]);
		}
		for (int j = 0; j < THREADS; j++) {
			pthread_join(senders[j].thread, NULL);
			n += wrong("sendmmsg", senders[j].sent == MANY);
		}
		n += wrong("each once", not_once(fd, first, THREADS * MANY) == 0);
		close(fd);
	}
	calm();
	printf("%d wrong\n", n);
}

/* A handler without SA_RESTART, and a program that takes another port when bind fails. */
CASE(another_port_after_eintr)
{
	int n = 0;

	storm(0);
	for (int i = 0; i < ROUNDS; i++) {
		union address a;
		socklen_t len;
		int fd, port = 0, rc;

		do
			fd = socket(AF_INET, SOCK_STREAM, 0);
		while (fd < 0 && errno == EINTR);
		do {
			port = port ? port + 1 : FIRST_PORT + 7 * i;
			len = make_address(&a, "0.0.0.0", port);
			rc = bind(fd, &a.any, len);
		} while (rc < 0 && (errno == EINTR || errno == EADDRINUSE));
		/* bound already, before the signal: it says so */
		if (rc < 0 && errno == EINVAL) {
			close(fd);
			continue;
		}
		n += wrong("bind", rc == 0);
		len = sizeof(a);
		do
			rc = getsockname(fd, &a.any, &len);
		while (rc < 0 && errno == EINTR);
		n += wrong("the port", rc == 0 && port_of(&a) == port);
		close(fd);
	}
	calm();
	printf("%d wrong\n", n);
}

/* The server connects @n times to @port, one after the other. Returns the process that asks it to. */
static pid_t callers(int port, int n)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	for (int i = 0; i < n; i++) {
		int control = dial(false, port, "once");
		char data[64];

		while (recv(control, data, sizeof(data), 0) > 0)
			;
		close(control);
	}
	_exit(0);
}

/* Waiting in accept, or in poll and then not any more. */
CASE(accepts)
{
	int n = 0, port, listener = listener_on("0.0.0.0", &port, 64), status = -1;
	pid_t pid = callers(port, 4 * ROUNDS);

	storm(SA_RESTART);
	for (int i = 0; i < 4 * ROUNDS; i++) {
		union address peer = {0};
		socklen_t len = sizeof(peer);
		char data[8];
		int fd;

		fcntl(listener, F_SETFL, i % 2 ? O_NONBLOCK : 0);
		if (i % 2)
			wait_amid_signals(listener);
		fd = accept(listener, &peer.any, &len);
		n += wrong("accept", fd >= 0);
		n += wrong("its address", peer.any.sa_family == AF_INET && len == sizeof(peer.in));
		n += wrong("recv", recv(fd, data, 5, MSG_WAITALL) == 5);
		close(fd);
	}
	waitpid(pid, &status, 0);
	calm();
	printf("%d wrong, callers: %d\n", n, status);
}

/* Processes that come and go beside a connection of ours. */
CASE(children)
{
	int n = 0, ours = server(false, "echo");
	char data[8];

	storm(SA_RESTART);
	for (int i = 0; i < ROUNDS / 3; i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0) {
			int fd = tcp_socket(false, 0);

			if (connect_to(fd, host(false), HELLO_PORT) ||
			    recv(fd, data, 5, MSG_WAITALL) != 5)
				_exit(1);
			execl("/bin/sh", "sh", "-c", "exit 7", NULL);
			_exit(2);
		}
		n += wrong("send", send(ours, "hello", 5, 0) == 5);
		n += wrong("waitpid", waitpid(pid, &status, 0) == pid);
		n += wrong("its status", WIFEXITED(status) && WEXITSTATUS(status) == EXIT_STATUS);
		n += wrong("recv", recv(ours, data, 5, MSG_WAITALL) == 5);
	}
	calm();
	printf("%d wrong\n", n);
}

/* Linux says EINTR when there is a limit, EAGAIN when it is over; it does not wait for ever. */
CASE(limits_end)
{
	struct timeval limit = {0, LIMIT_MS * 1000};
	int udp = udp_socket(false), listener = tcp_socket(false, 0), tcp = tcp_socket(false, 0);
	int64_t since;
	union address from;
	socklen_t len = sizeof(from);
	char data[8];

	bind_to(udp, "0.0.0.0", 0);
	bind_to(listener, "0.0.0.0", 0);
	listen(listener, 1);
	setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(tcp, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	alarm(END_S);
	storm(SA_RESTART);
	since = now_ms();
	printf("recvfrom fails: %d\n", recvfrom(udp, data, sizeof(data), 0, &from.any, &len) < 0);
	printf("accept fails: %d\n", accept(listener, &from.any, &len) < 0);
	printf("connect fails: %d\n", connect_to(tcp, BLACKHOLE4, HELLO_PORT) < 0);
	printf("%s\n", now_ms() - since < LATE_MS ? "in time" : "late");
	calm();
}
