/* SPDX-License-Identifier: MIT */
/* test_repr_tcp.c - in-place connect, its outcomes as programs see them, and listeners */
#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "src/repr/option_table.h"
#include "tests/unit/repr_fixture.h"
#include "tests/unit/run_suite.h"

static struct sockaddr_in to_v4(void)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(443),
				    .sin_addr.s_addr = htonl(0x0a000001)};
}

static int tcp_socket(int flags)
{
	int fd = wgw_repr_socket(&session, AF_INET, SOCK_STREAM | flags, 0);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static int connect_to(int fd)
{
	struct sockaddr_in in = to_v4();

	return wgw_repr_connect(&session, fd, tag_of(fd), &in, sizeof(in));
}

static int so_error(int fd)
{
	return wgw_repr_so_error(&session, fd, tag_of(fd));
}

static int watch(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ck_assert_int_ge(ep, 0);
	ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
	return ep;
}

/* The events since the last call; 0: none. */
static uint32_t events(int ep)
{
	struct epoll_event ev = {0};

	return epoll_wait(ep, &ev, 1, 0) == 1 ? ev.events : 0;
}

START_TEST(success_is_exactly_one_writable_edge)
{
	int fd = tcp_socket(SOCK_NONBLOCK);
	int ep = watch(fd);
	struct fake_conn c;

	ck_assert_uint_eq(events(ep), EPOLLOUT | EPOLLHUP); /* as an unconnected TCP socket */
	ck_assert_int_eq(connect_to(fd), -EINPROGRESS);
	ck_assert_uint_eq(events(ep), 0);
	ck_assert_int_eq(connect_to(fd), -EALREADY);
	ck_assert(fake_accept(&tunnel, &c));
	ck_assert_uint_eq(events(ep), 0);
	ck_assert_int_eq(so_error(fd), 0);
	ck_assert_int_eq(fake_success_label(&tunnel, &c), 0);
	ck_assert_uint_eq(events(ep), 0);
	ck_assert_int_eq(fake_success_open(&c), 0);
	ck_assert_uint_eq(events(ep), EPOLLOUT);
	fake_success_end(&c);
	ck_assert_uint_eq(events(ep), 0);
	ck_assert_int_eq(so_error(fd), 0);
	ck_assert_int_eq(connect_to(fd), 0); /* the first call after a success */
	ck_assert_int_eq(connect_to(fd), -EISCONN);
	close(ep);
	close(fd);
	close(c.fd);
}
END_TEST

START_TEST(record_says_where_to_and_how)
{
	int fd = tcp_socket(SOCK_NONBLOCK);
	struct linger linger = {1, 7};
	int on = 1;
	struct fake_conn c;

	ck_assert_int_eq(wgw_repr_setsockopt(&session, fd, tag_of(fd), IPPROTO_TCP, TCP_NODELAY,
					     &on, sizeof(on)),
			 0);
	ck_assert_int_eq(wgw_repr_setsockopt(&session, fd, tag_of(fd), SOL_SOCKET, SO_LINGER,
					     &linger, sizeof(linger)),
			 0);
	ck_assert_int_eq(connect_to(fd), -EINPROGRESS);
	ck_assert(fake_accept(&tunnel, &c));
	ck_assert_uint_eq(c.record.magic, WGW_WIRE_MAGIC);
	ck_assert_mem_eq(c.record.token, tunnel.token, WGW_TOKEN_BYTES);
	ck_assert_uint_eq(c.record.flags, WGW_CONNECT_NODELAY | WGW_CONNECT_LINGER);
	ck_assert_uint_eq(c.record.linger_s, 7);
	ck_assert_uint_eq(c.record.to.port, 443);
	ck_assert_mem_eq(c.record.to.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01", 16);
	ck_assert_uint_eq(c.record.cookie, wgw_repr_cookie(c.dup));
	ck_assert_int_eq(c.record.pid, getpid());
	ck_assert(tag_of(c.dup) & WGW_TAG_FILLED);
	close(c.fd);
	close(c.dup);
	close(fd);
}
END_TEST

START_TEST(failure_is_one_event_and_the_true_errno_once)
{
	int fd = tcp_socket(SOCK_NONBLOCK);
	int ep = watch(fd);
	struct fake_conn c;

	events(ep);
	ck_assert_int_eq(connect_to(fd), -EINPROGRESS);
	ck_assert(fake_accept(&tunnel, &c));
	fake_fail(&tunnel, &c, ECONNREFUSED);
	ck_assert_uint_eq(events(ep), EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP);
	ck_assert_uint_eq(events(ep), 0);
	ck_assert_int_eq(so_error(fd), ECONNREFUSED);
	ck_assert_int_eq(so_error(fd), 0);
	ck_assert_int_eq(connect_to(fd), -ECONNABORTED);
	close(ep);
	close(fd);
}
END_TEST

START_TEST(failure_is_told_by_connect_too)
{
	int fd = tcp_socket(SOCK_NONBLOCK);
	struct fake_conn c;

	ck_assert_int_eq(connect_to(fd), -EINPROGRESS);
	ck_assert(fake_accept(&tunnel, &c));
	fake_fail(&tunnel, &c, ETIMEDOUT);
	ck_assert_int_eq(connect_to(fd), -ETIMEDOUT);
	ck_assert_int_eq(so_error(fd), 0);
	close(fd);
}
END_TEST

START_TEST(failure_is_told_by_recv_too)
{
	int fd = tcp_socket(SOCK_NONBLOCK);
	struct fake_conn c;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	ck_assert_int_eq(connect_to(fd), -EINPROGRESS);
	ck_assert_int_eq(wgw_repr_recvmsg(&session, fd, tag_of(fd), &msg, 0), -EAGAIN);
	ck_assert(fake_accept(&tunnel, &c));
	fake_fail(&tunnel, &c, EHOSTUNREACH);
	ck_assert_int_eq(wgw_repr_recvmsg(&session, fd, tag_of(fd), &msg, 0), -EHOSTUNREACH);
	ck_assert_int_eq(so_error(fd), 0);
	close(fd);
}
END_TEST

START_TEST(tunnel_death_before_the_outcome_is_an_error)
{
	int fd = tcp_socket(SOCK_NONBLOCK);
	struct fake_conn c;

	ck_assert_int_eq(connect_to(fd), -EINPROGRESS);
	ck_assert(fake_accept(&tunnel, &c));
	close(c.fd);
	close(c.dup);
	ck_assert_int_eq(so_error(fd), ENETDOWN);
	close(fd);
}
END_TEST

START_TEST(no_tunnel_process_is_netdown)
{
	struct wgw_repr_session nowhere = session;
	struct sockaddr_in in = to_v4();
	int fd;

	strcpy(nowhere.path, "/nonexistent/t");
	memset(nowhere.abstract, 'e', sizeof(nowhere.abstract) - 1);
	fd = wgw_repr_socket(&nowhere, AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(wgw_repr_connect(&nowhere, fd, tag_of(fd), &in, sizeof(in)), -ENETDOWN);
	close(fd);
	ck_assert_int_eq(wgw_repr_socket(&nowhere, AF_INET, SOCK_DGRAM, 0), -ENETDOWN);
}
END_TEST

/* Another user's listener at @name; -1: we may not become another user. */
static int strangers_listener(const struct sockaddr_un *name, socklen_t len)
{
	const uid_t nobody = 65534;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (const struct sockaddr *)name, len), 0);
	if (geteuid() != 0 || seteuid(nobody)) {
		close(fd);
		return -1;
	}
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(seteuid(0), 0);
	return fd;
}

START_TEST(a_stranger_at_the_tunnels_name_gets_nothing)
{
	struct wgw_repr_session s = session;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in = to_v4();
	int fd, listener, theirs;
	char byte;

	strcpy(s.path, "/nonexistent/t");
	memset(s.abstract, 'f', sizeof(s.abstract) - 1);
	snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, WGW_ABSTRACT_PREFIX "%s.s", s.abstract);
	listener = strangers_listener(&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
						       strlen(un.sun_path + 1)));
	if (listener < 0) {
		printf("skipped: only root can be another user, too\n");
		return;
	}
	fd = wgw_repr_socket(&s, AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(wgw_repr_connect(&s, fd, tag_of(fd), &in, sizeof(in)), -ENETDOWN);
	ck_assert_int_eq(send(fd, "secret", 6, MSG_NOSIGNAL), -1);
	theirs = accept(listener, NULL, NULL);
	ck_assert_int_ge(theirs, 0);
	ck_assert_int_eq(recv(theirs, &byte, 1, MSG_DONTWAIT), 0);
	close(theirs);
	close(listener);
	close(fd);
}
END_TEST

static _Atomic bool looked_at; /* a connection may end */

/* Plays one outcome for a blocking connect. */
static void *play_outcome(void *arg)
{
	int err = *(int *)arg;
	struct fake_conn c;

	if (!fake_accept(&tunnel, &c))
		return NULL;
	usleep(20000);
	if (err) {
		fake_fail(&tunnel, &c, err);
		return NULL;
	}
	fake_success_label(&tunnel, &c);
	fake_success_open(&c);
	fake_success_end(&c);
	while (!looked_at)
		usleep(1000);
	close(c.fd);
	return NULL;
}

START_TEST(blocking_connect_waits_for_the_outcome)
{
	static const int outcomes[] = {0, ECONNREFUSED, ENETUNREACH};
	int err = outcomes[_i];
	pthread_t player;
	int fd = tcp_socket(0);

	looked_at = false;
	pthread_create(&player, NULL, play_outcome, &err);
	ck_assert_int_eq(connect_to(fd), -err);
	ck_assert_int_eq(connect_to(fd), err ? -ECONNABORTED : -EISCONN);
	looked_at = true;
	pthread_join(player, NULL);
	close(fd);
}
END_TEST

START_TEST(blocking_connect_keeps_the_send_time_limit)
{
	struct timeval limit = {0, 50000};
	int fd = tcp_socket(0);
	uint64_t tag;

	ck_assert(wgw_repr_tag(fd, &tag));
	ck_assert_int_eq(wgw_repr_setsockopt(&session, fd, tag, SOL_SOCKET, SO_SNDTIMEO, &limit,
					     sizeof(limit)),
			 0);
	ck_assert_int_eq(connect_to(fd), -EINPROGRESS);
	close(fd);
}
END_TEST

static _Atomic unsigned int alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

/* A signal, again and again: the first may come before what it is for. Check's own handlers, which
 * do not ask for SA_RESTART, are out of the way. */
static void arm(int flags)
{
	struct sigaction act = {.sa_handler = on_alarm, .sa_flags = flags};
	struct itimerval timer = {.it_value = {0, 30000}, .it_interval = {0, 30000}};

	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void disarm(void)
{
	struct sigaction act = {.sa_handler = SIG_IGN};
	struct itimerval timer = {0};

	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

START_TEST(signal_without_restart_interrupts_connect)
{
	int fd = tcp_socket(0);

	arm(0);
	ck_assert_int_eq(connect_to(fd), -EINTR);
	disarm();
	close(fd);
}
END_TEST

/* Success, but only after signals */
static void *play_outcome_after_alarms(void *arg)
{
	enum { ALARMS = 3, PATIENCE_MS = 60000 };
	unsigned int seen = alarms;

	for (int ms = 0; ms < PATIENCE_MS && alarms - seen < ALARMS; ms++)
		usleep(1000);
	return play_outcome(arg);
}

static void end_at_fault(int sig)
{
	(void)sig;
	_exit(1);
}

/* Nor does it matter that faults have a handler, as sanitizers and runtimes install it. */
START_TEST(signal_with_restart_does_not)
{
	struct sigaction fault = {.sa_handler = end_at_fault};
	int err = 0;
	pthread_t player;
	sigset_t alarm_only;
	int fd = tcp_socket(0);

	sigaction(SIGBUS, &fault, NULL);
	arm(SA_RESTART);
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm_only, NULL);
	looked_at = false;
	pthread_create(&player, NULL, play_outcome_after_alarms, &err);
	pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
	ck_assert_int_eq(connect_to(fd), 0);
	ck_assert_uint_gt(alarms, 0);
	looked_at = true;
	pthread_join(player, NULL);
	disarm();
	close(fd);
}
END_TEST

/* Room in the tunnel process's backlog is waited for, in spite of signals. */
START_TEST(no_signal_interrupts_a_connect_that_does_not_block)
{
	enum { BACKLOG_MAX = 1000 };
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(un);
	int waiting[BACKLOG_MAX], n = 0, fd = tcp_socket(SOCK_NONBLOCK);

	ck_assert_int_eq(getsockname(tunnel.stream, (struct sockaddr *)&un, &len), 0);
	do {
		ck_assert_int_lt(n, BACKLOG_MAX);
		waiting[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	} while (connect(waiting[n++], (struct sockaddr *)&un, len) == 0);
	ck_assert_int_eq(errno, EAGAIN);
	arm(0);
	ck_assert_int_eq(connect_to(fd), -ENOBUFS); /* after 2 s */
	ck_assert_uint_gt(alarms, 0);
	disarm();
	while (n > 0)
		close(waiting[--n]);
	close(fd);
}
END_TEST

START_TEST(names_come_from_the_label_without_a_conversation)
{
	int fd = tcp_socket(SOCK_NONBLOCK);
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	struct fake_conn c;
	unsigned int ops;

	ck_assert_int_eq(wgw_repr_getsockname(&session, fd, tag_of(fd), &in, &len), 0);
	ck_assert_uint_eq(in.sin_port, 0);
	ck_assert_uint_eq(in.sin_addr.s_addr, 0);
	ck_assert_int_eq(wgw_repr_getpeername(&session, fd, tag_of(fd), &in, &len), -ENOTCONN);
	ck_assert_int_eq(connect_to(fd), -EINPROGRESS);
	ck_assert_int_eq(wgw_repr_getpeername(&session, fd, tag_of(fd), &in, &len), -ENOTCONN);
	ck_assert(fake_accept(&tunnel, &c));
	fake_success_label(&tunnel, &c);
	fake_success_open(&c);
	fake_success_end(&c);
	ops = tunnel.ops;
	len = sizeof(in);
	ck_assert_int_eq(wgw_repr_getsockname(&session, fd, tag_of(fd), &in, &len), 0);
	ck_assert_uint_eq(len, sizeof(in));
	ck_assert_uint_eq(ntohs(in.sin_port), 33333);
	ck_assert_uint_eq(ntohl(in.sin_addr.s_addr), 0x0a000002);
	len = 6; /* truncated as Linux does */
	memset(&in, 0, sizeof(in));
	ck_assert_int_eq(wgw_repr_getpeername(&session, fd, tag_of(fd), &in, &len), 0);
	ck_assert_uint_eq(len, sizeof(in));
	ck_assert_uint_eq(ntohs(in.sin_port), 443);
	ck_assert_uint_eq(ntohl(in.sin_addr.s_addr), 0x0a000000);
	ck_assert_uint_eq(tunnel.ops, ops);
	close(fd);
	close(c.fd);
}
END_TEST

START_TEST(data_follows_the_record)
{
	int fd = tcp_socket(SOCK_NONBLOCK);
	struct fake_conn c;
	char buffer[8192];
	int queued;

	ck_assert_int_eq(connect_to(fd), -EINPROGRESS);
	ck_assert_int_eq(write(fd, "early", 5), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert(fake_accept(&tunnel, &c));
	ck_assert_int_eq(write(fd, "early", 5), -1); /* nor when the descriptor has been taken */
	ck_assert_int_eq(errno, EAGAIN);
	fake_success_label(&tunnel, &c);
	fake_success_open(&c);
	fake_success_end(&c);
	ck_assert_int_eq(write(fd, "hello", 5), 5);
	ck_assert_int_eq(ioctl(c.fd, FIONREAD, &queued), 0);
	ck_assert_int_eq(queued, c.record_bytes + 5);
	ck_assert_int_eq(recv(c.fd, buffer, (size_t)queued, 0), queued);
	ck_assert_mem_eq(buffer + c.record_bytes, "hello", 5);
	close(fd);
	close(c.fd);
}
END_TEST

START_TEST(close_with_the_keeper_unread_is_a_reset)
{
	int fd = tcp_socket(SOCK_NONBLOCK);
	struct fake_conn c;
	char buffer[8];

	ck_assert_int_eq(connect_to(fd), -EINPROGRESS);
	ck_assert(fake_accept(&tunnel, &c));
	fake_success_label(&tunnel, &c);
	fake_success_open(&c);
	fake_success_end(&c);
	ck_assert_int_eq(send(c.fd, "last", 4, 0), 4);
	close(c.fd);
	ck_assert_int_eq(read(fd, buffer, sizeof(buffer)), 4);
	ck_assert_int_eq(read(fd, buffer, sizeof(buffer)), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(fd);
}
END_TEST

START_TEST(addresses_are_checked_as_linux_does)
{
	struct sockaddr_in in = to_v4();
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(1)};
	int fd = tcp_socket(0);
	int fd6 = wgw_repr_socket(&session, AF_INET6, SOCK_STREAM, 0);

	ck_assert_int_eq(wgw_repr_connect(&session, fd, tag_of(fd), &in, sizeof(in) - 1), -EINVAL);
	ck_assert_int_eq(wgw_repr_connect(&session, fd, tag_of(fd), &in, 1), -EINVAL);
	ck_assert_int_eq(wgw_repr_connect(&session, fd, tag_of(fd), &in6, sizeof(in6)),
			 -EAFNOSUPPORT);
	ck_assert_int_eq(wgw_repr_connect(&session, fd6, tag_of(fd6), &in6, 20), -EINVAL);
	ck_assert_int_eq(wgw_repr_bind(&session, fd, tag_of(fd), &in, 4), -EINVAL);
	ck_assert_int_eq(wgw_repr_bind(&session, fd, tag_of(fd), &in6, sizeof(in6)), -EAFNOSUPPORT);
	close(fd);
	close(fd6);
}
END_TEST

START_TEST(creation_is_checked_as_linux_does)
{
	ck_assert_int_eq(wgw_repr_socket(&session, AF_INET, SOCK_RAW, IPPROTO_ICMP), -EPERM);
	ck_assert_int_eq(wgw_repr_socket(&session, AF_INET, SOCK_SEQPACKET, 0), -ESOCKTNOSUPPORT);
	ck_assert_int_eq(wgw_repr_socket(&session, AF_INET, SOCK_STREAM, IPPROTO_UDP),
			 -EPROTONOSUPPORT);
	ck_assert_int_eq(wgw_repr_socket(&session, AF_INET, SOCK_STREAM, -1), -EINVAL);
	ck_assert_int_eq(wgw_repr_socket(&session, AF_INET, SOCK_STREAM | 0x100000, 0), -EINVAL);
	ck_assert_int_eq(wgw_repr_socket(&session, AF_INET6, SOCK_DGRAM, IPPROTO_ICMP),
			 -EPROTONOSUPPORT);
}
END_TEST

/* The tunnel process's part of an inbound connection: a labelled socket that connects. */
static int inbound(int listener)
{
	struct wgw_label label = {
		.outcome = WGW_OUTCOME_ACCEPTED, .local_port = 8080, .remote_port = 50000};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(label.local_ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x02", 16);
	memcpy(label.remote_ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x63", 16);
	ck_assert_int_eq(fake_label(&tunnel, fd, &label), 0);
	snprintf(un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d", listener);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

START_TEST(listener_gets_connections_with_their_peers)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(8080)};
	int fd = wgw_repr_socket(&session, AF_INET6, SOCK_STREAM, 0);
	socklen_t len = sizeof(in6);
	struct fake_socket *known;
	struct stack_addr peer;
	int theirs, ours, dup;
	char byte;

	ck_assert_int_eq(wgw_repr_bind(&session, fd, tag_of(fd), &in6, sizeof(in6)), 0);
	ck_assert_int_eq(wgw_repr_bind(&session, fd, tag_of(fd), &in6, sizeof(in6)), -EINVAL);
	ck_assert_int_eq(wgw_repr_listen(&session, fd, tag_of(fd), 5), 0);
	ck_assert_int_eq(wgw_repr_listen(&session, fd, tag_of(fd), 9), 0); /* twice is allowed */
	ck_assert_int_eq(wgw_repr_getsockname(&session, fd, tag_of(fd), &in6, &len), 0);
	ck_assert_uint_eq(ntohs(in6.sin6_port), 8080);
	known = fake_socket(&tunnel, wgw_repr_cookie(fd));
	theirs = inbound(known->listener);
	ours = accept(fd, NULL, NULL);
	ck_assert_int_ge(ours, 0);
	ck_assert_int_eq(wgw_repr_accepted(&session, ours, tag_of(fd), &peer), 0);
	ck_assert_uint_eq(peer.port, 50000);
	len = sizeof(in6);
	ck_assert_int_eq(wgw_repr_getpeername(&session, ours, tag_of(ours), &in6, &len), 0);
	ck_assert_mem_eq(&in6.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x63", 16);
	ck_assert_int_eq(connect_to(ours), -EISCONN);
	/* the descriptor, then the keeper */
	dup = fake_take_fd(theirs);
	ck_assert_int_ge(dup, 0);
	ck_assert_uint_eq(wgw_repr_cookie(dup), wgw_repr_cookie(ours));
	ck_assert_int_eq(read(theirs, &byte, 1), 1);
	ck_assert_int_eq(byte, WGW_KEEPER_BYTE);
	close(dup);
	close(theirs);
	close(ours);
	close(fd);
}
END_TEST

/* A connection that a program has accepted; *@theirs: the tunnel process's end. */
static int accepted_by(int listener, int *theirs)
{
	struct stack_addr peer;
	int ours;

	*theirs = inbound(fake_socket(&tunnel, wgw_repr_cookie(listener))->listener);
	ours = accept(listener, NULL, NULL);
	ck_assert_int_ge(ours, 0);
	ck_assert_int_eq(wgw_repr_accepted(&session, ours, tag_of(listener), &peer), 0);
	return ours;
}

/* What the tunnel process knows of an option, as a program's own int. */
static int told_of(int fd, int level, int name)
{
	int value;
	const struct wgw_repr_option option = {.level = level, .name = name, .initial = -1};

	ck_assert_int_eq(wgw_repr_option_kept(&session, fd, tag_of(fd), &option, &value), 0);
	return value;
}

/* 0: set before listen(), 1: after */
START_TEST(listener_tells_what_connections_inherit)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(8080)};
	int fd = wgw_repr_socket(&session, AF_INET6, SOCK_STREAM, 0), one = 1;

	ck_assert_int_eq(wgw_repr_bind(&session, fd, tag_of(fd), &in6, sizeof(in6)), 0);
	if (_i)
		ck_assert_int_eq(wgw_repr_listen(&session, fd, tag_of(fd), 5), 0);
	ck_assert_int_eq(wgw_repr_setsockopt(&session, fd, tag_of(fd), IPPROTO_TCP, TCP_NODELAY,
					     &one, sizeof(one)),
			 0);
	ck_assert_int_eq(wgw_repr_setsockopt(&session, fd, tag_of(fd), SOL_SOCKET, SO_KEEPALIVE,
					     &one, sizeof(one)),
			 0);
	if (!_i)
		ck_assert_int_eq(wgw_repr_listen(&session, fd, tag_of(fd), 5), 0);
	ck_assert_int_eq(told_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	ck_assert_int_eq(told_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	close(fd);
}
END_TEST

START_TEST(nodelay_of_an_accepted_socket_is_told_once_it_is_known)
{
	static const int on = 1, off = 0, least = 0;
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(8080)};
	int fd = wgw_repr_socket(&session, AF_INET6, SOCK_STREAM, 0), theirs, ours;

	ck_assert_int_eq(wgw_repr_bind(&session, fd, tag_of(fd), &in6, sizeof(in6)), 0);
	ck_assert_int_eq(wgw_repr_listen(&session, fd, tag_of(fd), 5), 0);
	ours = accepted_by(fd, &theirs);
	ck_assert_int_eq(wgw_repr_setsockopt(&session, ours, tag_of(ours), IPPROTO_TCP, TCP_NODELAY,
					     &on, sizeof(on)),
			 0);
	ck_assert(tag_of(ours) & WGW_TAG_NODELAY);
	ck_assert_int_eq(told_of(ours, IPPROTO_TCP, TCP_NODELAY), -1);
	setsockopt(ours, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)); /* as it marks it */
	ck_assert_int_eq(wgw_repr_setsockopt(&session, ours, tag_of(ours), IPPROTO_TCP, TCP_NODELAY,
					     &off, sizeof(off)),
			 0);
	ck_assert(!(tag_of(ours) & WGW_TAG_NODELAY));
	ck_assert_int_eq(told_of(ours, IPPROTO_TCP, TCP_NODELAY), 0);
	close(theirs);
	close(ours);
	close(fd);
}
END_TEST

START_TEST(a_connection_from_elsewhere_is_not_accepted)
{
	int fd = tcp_socket(0);
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct stack_addr peer;
	int stranger = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ours;

	ck_assert_int_eq(wgw_repr_listen(&session, fd, tag_of(fd), 5), 0);
	snprintf(un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d",
		 fake_socket(&tunnel, wgw_repr_cookie(fd))->listener);
	ck_assert_int_eq(connect(stranger, (struct sockaddr *)&un, sizeof(un)), 0);
	ours = accept(fd, NULL, NULL);
	ck_assert_int_eq(wgw_repr_accepted(&session, ours, tag_of(fd), &peer), -ECONNABORTED);
	close(ours);
	close(stranger);
	close(fd);
}
END_TEST

/* The conversation with the tunnel process takes two, one at each end. */
START_TEST(listen_without_a_descriptor_for_its_file_can_be_tried_again)
{
	int fd = tcp_socket(0), spare[2] = {dup(fd), dup(fd)};
	struct rlimit before, few;

	getrlimit(RLIMIT_NOFILE, &before);
	few = (struct rlimit){(rlim_t)spare[1] + 1, before.rlim_max};
	close(spare[0]);
	close(spare[1]);
	setrlimit(RLIMIT_NOFILE, &few);
	ck_assert_int_eq(wgw_repr_listen(&session, fd, tag_of(fd), 5), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &before);
	ck_assert_int_eq(wgw_repr_listen(&session, fd, tag_of(fd), 5), 0);
	close(fd);
}
END_TEST

START_TEST(bind_and_listen_report_the_tunnels_errno)
{
	struct sockaddr_in in = to_v4();
	int fd = tcp_socket(0);

	tunnel.fail_next = EADDRINUSE;
	ck_assert_int_eq(wgw_repr_bind(&session, fd, tag_of(fd), &in, sizeof(in)), -EADDRINUSE);
	ck_assert(!(tag_of(fd) & WGW_TAG_BOUND));
	ck_assert_int_eq(wgw_repr_bind(&session, fd, tag_of(fd), &in, sizeof(in)), 0);
	tunnel.fail_next = EADDRNOTAVAIL;
	ck_assert_int_eq(wgw_repr_listen(&session, fd, tag_of(fd), 1), -EADDRNOTAVAIL);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("repr tcp");
	TCase *tc = tcase_create("tcp");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 180);
	tcase_add_test(tc, success_is_exactly_one_writable_edge);
	tcase_add_test(tc, record_says_where_to_and_how);
	tcase_add_test(tc, failure_is_one_event_and_the_true_errno_once);
	tcase_add_test(tc, failure_is_told_by_connect_too);
	tcase_add_test(tc, failure_is_told_by_recv_too);
	tcase_add_test(tc, tunnel_death_before_the_outcome_is_an_error);
	tcase_add_test(tc, no_tunnel_process_is_netdown);
	tcase_add_test(tc, a_stranger_at_the_tunnels_name_gets_nothing);
	tcase_add_loop_test(tc, blocking_connect_waits_for_the_outcome, 0, 3);
	tcase_add_test(tc, blocking_connect_keeps_the_send_time_limit);
	tcase_add_test(tc, signal_without_restart_interrupts_connect);
	tcase_add_test(tc, signal_with_restart_does_not);
	tcase_add_test(tc, no_signal_interrupts_a_connect_that_does_not_block);
	tcase_add_test(tc, names_come_from_the_label_without_a_conversation);
	tcase_add_test(tc, data_follows_the_record);
	tcase_add_test(tc, close_with_the_keeper_unread_is_a_reset);
	tcase_add_test(tc, addresses_are_checked_as_linux_does);
	tcase_add_test(tc, creation_is_checked_as_linux_does);
	tcase_add_test(tc, listener_gets_connections_with_their_peers);
	tcase_add_loop_test(tc, listener_tells_what_connections_inherit, 0, 2);
	tcase_add_test(tc, nodelay_of_an_accepted_socket_is_told_once_it_is_known);
	tcase_add_test(tc, a_connection_from_elsewhere_is_not_accepted);
	tcase_add_test(tc, listen_without_a_descriptor_for_its_file_can_be_tried_again);
	tcase_add_test(tc, bind_and_listen_report_the_tunnels_errno);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
