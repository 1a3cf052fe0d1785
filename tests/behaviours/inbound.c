/* SPDX-License-Identifier: MIT */
/* inbound.c - bind(2), listen(2), accept(2): servers, reached by server.c's dial */
#include "behave.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/time.h>

/* ---- bind ---- */

CASE(bind_names)
{
	static const char *const wildcard[] = {"0.0.0.0", "::"};

	for (int v6 = 0; v6 < 2; v6++) {
		int fd = tcp_socket(v6, 0);

		did("bind", bind_to(fd, wildcard[v6], 0));
		show_names(fd);
		did("listen", listen(fd, 5));
		show_names(fd);
		printf("accepting %d\n", get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
		did("listen again", listen(fd, 10));
		did("bind again", bind_to(fd, wildcard[v6], 0));
		did("connect", connect_to(fd, host(v6), HELLO_PORT));
		close(fd);
		fd = tcp_socket(v6, 0);
		did("bind to an address", bind_to(fd, self(v6), 0));
		show_names(fd);
		close(fd);
	}
}

CASE(bind_arguments)
{
	union address a;
	socklen_t len = make_address(&a, "0.0.0.0", 0);
	int fd = tcp_socket(false, 0), fd6 = tcp_socket(true, 0);

	did("too short", bind(fd, &a.any, 4));
	did("too long", bind(fd, &a.any, 1000));
	a.any.sa_family = AF_UNIX;
	did("another family", bind(fd, &a.any, len));
	a.any.sa_family = AF_UNSPEC;
	did("the wildcard without a family", bind(fd, &a.any, len));
	make_address(&a, self(false), 0);
	did("v4 on a v6 socket", bind(fd6, &a.any, sizeof(a.in6)));
	did("v4 on a v6 socket, by its own length", bind(fd6, &a.any, sizeof(a.in)));
	fd = tcp_socket(false, 0);
	a.any.sa_family = AF_UNSPEC;
	did("an address without a family", bind(fd, &a.any, len));
	did("not ours", bind_to(fd, "10.77.0.99", 0));
	did("not ours, v6", bind_to(fd6, "fd77::99", 0));
}

CASE(privileged_port)
{
	did("bind to port 88", bind_to(tcp_socket(false, 0), "0.0.0.0", 88));
}

CASE(port_in_use)
{
	int port, fd = listener_on("0.0.0.0", &port, 5), other = tcp_socket(false, 0);

	did("the same port", bind_to(other, "0.0.0.0", port));
	did("on an address", bind_to(other, self(false), port));
	set_int(other, SOL_SOCKET, SO_REUSEADDR, 1);
	did("with SO_REUSEADDR", bind_to(other, "0.0.0.0", port));
	close(fd);
	did("after the close", bind_to(other, "0.0.0.0", port));
	did("listen", listen(other, 1));
}

/* Whether two may share a port, as the options are now: of the first, at its bind and afterwards; and
 * that it is free when they are closed */
static void share(int name, const char *address)
{
	static const struct {
		int before, after, last;
	} ways[] = {{0, 0, 0}, {0, 1, 1}, {1, 1, 1}, {1, 0, 0}, {0, 1, 0}};

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		int a = tcp_socket(false, 0), b = tcp_socket(false, 0), c = tcp_socket(false, 0);
		int port;

		set_int(a, SOL_SOCKET, name, ways[i].before);
		did("bind", bind_to(a, address, 0));
		port = local_port(a);
		set_int(a, SOL_SOCKET, name, ways[i].after);
		set_int(a, SOL_SOCKET, name, ways[i].last);
		set_int(b, SOL_SOCKET, name, 1);
		set_int(c, SOL_SOCKET, name, 1);
		did("share", bind_to(b, address, port));
		close(a);
		close(b);
		did("alone", bind_to(c, address, port));
		close(c);
	}
}

CASE(reuse_said_later)
{
	share(SO_REUSEADDR, "0.0.0.0");
	share(SO_REUSEPORT, "0.0.0.0");
	share(SO_REUSEADDR, "127.0.0.1");
	share(SO_REUSEPORT, "127.0.0.1");
}

CASE(in_use_at_listen)
{
	int port, a = tcp_socket(false, 0), b = tcp_socket(false, 0);

	set_int(a, SOL_SOCKET, SO_REUSEADDR, 1);
	set_int(b, SOL_SOCKET, SO_REUSEADDR, 1);
	did("bind", bind_to(a, "0.0.0.0", 0));
	port = local_port(a);
	did("bind", bind_to(b, "0.0.0.0", port));
	did("listen", listen(a, 1));
	did("listen", listen(b, 1));
}

/* Who may not listen is a socket like any other. */
CASE(after_in_use_at_listen)
{
	static const char *const ips[] = {"0.0.0.0", "127.0.0.1"};
	struct epoll_event event = {.events = EPOLLIN};

	for (size_t i = 0; i < 2 * sizeof(ips) / sizeof(*ips); i++) {
		int first = tcp_socket(false, 0), second = tcp_socket(false, 0), port;
		int ep = epoll_create1(0);

		set_int(first, SOL_SOCKET, SO_REUSEADDR, 1);
		set_int(second, SOL_SOCKET, SO_REUSEADDR, 1);
		did("bind", bind_to(first, ips[i / 2], 0));
		port = local_port(first);
		did("bind", bind_to(second, ips[i / 2], port));
		did("add", epoll_ctl(ep, EPOLL_CTL_ADD, second, &event));
		did("listen", listen(first, 5));
		did("listen", listen(second, 5));
		did("accept", accept(second, NULL, NULL));
		printf("poll %s, listens %d, error %d\n", polled(second, 0),
		       get_int(second, SOL_SOCKET, SO_ACCEPTCONN),
		       get_int(second, SOL_SOCKET, SO_ERROR));
		did("bind elsewhere", bind_to(second, ips[i / 2], 0));
		did("listen again", listen(second, 5));
		printf("the same port %d\n", local_port(second) == port);
		close(first);
		if (i % 2) {
			first = listener_on("127.0.0.1", &port, 5);
			did("connect", connect_to(second, "127.0.0.1", port));
		} else {
			did("listen when it is free", listen(second, 5));
			first = tcp_socket(false, 0);
			did("connect", connect_to(first, "127.0.0.1", port));
			said("epoll_wait", epoll_wait(ep, &event, 1, 1000));
			printf("accepted %d\n", accept(second, NULL, NULL) >= 0);
		}
		close(first);
		close(second);
		close(ep);
	}
}

CASE(reuseport)
{
	int port, a = tcp_socket(false, 0), b = tcp_socket(false, 0), c = tcp_socket(false, 0);

	did("set", set_int(a, SOL_SOCKET, SO_REUSEPORT, 1));
	did("set", set_int(b, SOL_SOCKET, SO_REUSEPORT, 1));
	printf("get %d\n", get_int(a, SOL_SOCKET, SO_REUSEPORT));
	did("bind", bind_to(a, "0.0.0.0", 0));
	port = local_port(a);
	did("bind", bind_to(b, "0.0.0.0", port));
	did("without it", bind_to(c, "0.0.0.0", port));
	did("listen", listen(a, 5));
	did("listen", listen(b, 5));
}

CASE(distinct_ports)
{
	int a, b, fd = listener_on("0.0.0.0", &a, 1), other = listener_on("0.0.0.0", &b, 1);

	printf("distinct: %d\n", fd != other && a != b);
}

CASE(wildcards_of_both_families)
{
	int on = 1, port, fd = tcp_socket(true, 0), other = tcp_socket(false, 0);

	did("bind ::", bind_to(fd, "::", 0));
	port = local_port(fd);
	did("bind 0.0.0.0", bind_to(other, "0.0.0.0", port));
	close(fd);
	fd = tcp_socket(true, 0);
	did("v6only", setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)));
	did("bind ::", bind_to(fd, "::", port));
	did("bind 0.0.0.0", bind_to(other, "0.0.0.0", port));
	did("v6only after bind", setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)));
}

CASE(listen_without_bind)
{
	int fd = tcp_socket(false, 0);

	did("listen", listen(fd, 5));
	show_names(fd);
	did("on a datagram socket", listen(udp_socket(false), 5));
	did("while connected", listen(server(false, "echo"), 5));
}

/* ---- accept ---- */

/* What the caller of @listener saw. */
static void report_caller(int listener)
{
	char id[32];

	snprintf(id, sizeof(id), "dialled-%d", local_port(listener));
	report(id);
}

static void serve_one(int listener, int v6)
{
	union address a;
	socklen_t len = sizeof(a);
	int control, fd;
	char answer[32] = "";

	control = dial(v6, local_port(listener), "hello");
	fd = accept(listener, &a.any, &len);
	said("accepted", fd >= 0);
	printf("from %s\n", address_text(&a, len));
	show_names(fd);
	printf("the caller: %zd %s\n", recv(control, answer, 9, MSG_WAITALL), answer);
	said("recv", recv(fd, answer, 5, MSG_WAITALL));
	said("send", send(fd, "answer", 6, 0));
	close(fd);
	report_caller(listener);
}

CASE(accept_v4)
{
	int port;

	serve_one(listener_on("0.0.0.0", &port, 5), 0);
}

CASE(accept_v6)
{
	int port;

	serve_one(listener_on("::", &port, 5), 1);
}

CASE(accept_v4_on_v6)
{
	int port;

	serve_one(listener_on("::", &port, 5), 0);
}

CASE(accept_on_an_address)
{
	int port;

	serve_one(listener_on(self(false), &port, 5), 0);
}

CASE(nobody_listens)
{
	static const char *const ips[] = {"0.0.0.0", "::"};
	char answer[32] = "";
	int port, fd, control;

	for (size_t i = 0; i < sizeof(ips) / sizeof(*ips); i++) {
		fd = listener_on(ips[i], &port, 5);
		close(fd);
		control = dial(false, port, "hello");
		printf("the caller: %zd %s\n", recv(control, answer, 31, 0), answer);
		fd = tcp_socket(i == 1, 0);
		did("bind", bind_to(fd, ips[i], port));
		did("listen", listen(fd, 5));
		dial(false, port, "hello");
		wait_in(fd);
		said("accept", accept(fd, NULL, NULL) >= 0);
	}
}

/* The next copy of a server has its descriptor when the first one closes its own. */
CASE(nobody_listens_after_the_last_close)
{
	char answer[32] = "";
	int port, fd = listener_on("0.0.0.0", &port, 5), copy = dup(fd), control;

	close(fd);
	dial(false, port, "hello");
	wait_in(copy);
	said("accept", accept(copy, NULL, NULL) >= 0);
	close(copy);
	control = dial(false, port, "hello");
	printf("the caller: %zd %s\n", recv(control, answer, 31, 0), answer);
}

CASE(nobody_listens_on_loopback)
{
	static const char *const ips[] = {"0.0.0.0", "127.0.0.1"};
	union address a;
	socklen_t len;
	int port, fd;

	for (size_t i = 0; i < sizeof(ips) / sizeof(*ips); i++) {
		fd = listener_on(ips[i], &port, 5);
		close(fd);
		len = make_address(&a, "127.0.0.1", port);
		did("connect", connect(tcp_socket(false, 0), &a.any, len));
	}
}

CASE(loopback_is_not_reached)
{
	char answer[32] = "";
	int port, control;

	listener_on("127.0.0.1", &port, 5);
	control = dial(false, port, "hello");
	printf("the caller: %zd %s\n", recv(control, answer, 31, 0), answer);
}

CASE(accept_flags)
{
	int port, listener = listener_on("0.0.0.0", &port, 5), fd;

	fcntl(listener, F_SETFL, O_NONBLOCK);
	said("nobody yet", accept(listener, NULL, NULL));
	dial(false, port, "hello");
	wait_in(listener);
	fd = accept(listener, NULL, NULL);
	printf("accept: nonblock %d cloexec %d\n", !!(fcntl(fd, F_GETFL) & O_NONBLOCK),
	       !!(fcntl(fd, F_GETFD) & FD_CLOEXEC));
	dial(false, port, "hello");
	wait_in(listener);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	printf("accept4: nonblock %d cloexec %d\n", !!(fcntl(fd, F_GETFL) & O_NONBLOCK),
	       !!(fcntl(fd, F_GETFD) & FD_CLOEXEC));
	said("bad flags", accept4(listener, NULL, NULL, 0x10000));
}

CASE(accept_truncates_the_address)
{
	union address a;
	socklen_t len = 4;
	int port, listener = listener_on("0.0.0.0", &port, 5);

	memset(&a, 0x55, sizeof(a));
	dial(false, port, "hello");
	said("accepted", accept(listener, &a.any, &len) >= 0);
	printf("length %u, family %d, byte 4 %x\n", len, a.any.sa_family, ((uint8_t *)&a)[4]);
}

CASE(accept_inherits_options)
{
	struct linger linger = {0};
	socklen_t len = sizeof(linger);
	int port, listener = tcp_socket(false, 0), fd;

	set_int(listener, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(listener, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(listener, SOL_SOCKET, SO_REUSEADDR, 1);
	set_int(listener, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	set_int(listener, IPPROTO_IP, IP_TOS, 0x10);
	setsockopt(listener, SOL_SOCKET, SO_LINGER, &(struct linger){1, 3}, sizeof(linger));
	did("bind", bind_to(listener, "0.0.0.0", 0));
	did("listen", listen(listener, 5));
	port = local_port(listener);
	dial(false, port, "hello");
	fd = accept(listener, NULL, NULL);
	printf("keepalive %d nodelay %d reuseaddr %d keepidle %d tos %d\n",
	       get_int(fd, SOL_SOCKET, SO_KEEPALIVE), get_int(fd, IPPROTO_TCP, TCP_NODELAY),
	       get_int(fd, SOL_SOCKET, SO_REUSEADDR), get_int(fd, IPPROTO_TCP, TCP_KEEPIDLE),
	       get_int(fd, IPPROTO_IP, IP_TOS));
	getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len);
	printf("linger %d %d, accepting %d\n", linger.l_onoff, linger.l_linger,
	       get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
}

CASE(accept_inherits_a_reset)
{
	const struct linger now = {1, 0};

	for (int later = 0; later < 2; later++) { /* set before listen(), and after */
		int listener = tcp_socket(false, 0), fd;
		char hello[5];

		if (!later)
			setsockopt(listener, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		did("bind", bind_to(listener, "0.0.0.0", 0));
		did("listen", listen(listener, 5));
		if (later)
			setsockopt(listener, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		dial(false, local_port(listener), "hello");
		fd = accept(listener, NULL, NULL);
		said("recv", recv(fd, hello, sizeof(hello), MSG_WAITALL));
		close(fd);
		report_caller(listener);
		close(listener);
	}
}

CASE(accepted_states)
{
	int port, listener = listener_on("0.0.0.0", &port, 5), fd;
	char byte;

	dial(false, port, "hello");
	fd = accept(listener, NULL, NULL);
	did("connect", connect_to(fd, host(false), HELLO_PORT));
	did("bind", bind_to(fd, "0.0.0.0", 0));
	did("listen", listen(fd, 1));
	did("accept", accept(fd, NULL, NULL));
	printf("SO_ERROR %s\n", so_error(fd));
	did("recv on the listener", recv(listener, &byte, 1, 0));
	did("send on the listener", send(listener, "x", 1, MSG_NOSIGNAL));
	printf("poll of the listener: %s\n", polled(listener, 0));
	wait_in(fd);
	printf("poll: %s\n", polled(fd, 0));
}

CASE(shutdown_of_a_listener)
{
	int port, listener = listener_on("0.0.0.0", &port, 5);

	did("shutdown", shutdown(listener, SHUT_RDWR));
	did("accept", accept(listener, NULL, NULL));
}

/* A listener on a port that was asked for by number. */
static int listener_at(const char *ip, int *port)
{
	int first = listener_on(ip, port, 5), fd = tcp_socket(strchr(ip, ':') != NULL, 0);

	close(first);
	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (bind_to(fd, ip, *port) || listen(fd, 5))
		die("listen");
	return fd;
}

static void show_shut_listener(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	did("TCP_INFO", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	printf("state %d, accepts %d, error %s\n", info.tcpi_state,
	       get_int(fd, SOL_SOCKET, SO_ACCEPTCONN), so_error(fd));
	did("accept", accept(fd, NULL, NULL));
	did("shutdown", shutdown(fd, SHUT_RD));
	show_names(fd);
}

CASE(shutdown_ends_a_listener)
{
	static const int hows[] = {SHUT_RD, SHUT_RDWR};
	char answer[32] = "";
	int port, fd, control;

	for (size_t i = 0; i < sizeof(hows) / sizeof(*hows); i++) {
		fd = listener_at(i ? "::" : "0.0.0.0", &port);
		control = dial(i, port, "hello"); /* waits in the backlog */
		wait_in(fd);
		did("shutdown", shutdown(fd, hows[i]));
		show_shut_listener(fd);
		printf("who waited: %zd\n", recv(control, answer, 31, 0));
		control = dial(i, port, "hello");
		printf("the next: %zd %s\n", recv(control, answer, 31, 0), answer);
		close(fd);
	}
}

/* Servers that start again: the port is free when the listener is closed. */
CASE(closed_and_bound_again)
{
	static const char *const ips[] = {"0.0.0.0", "::", "127.0.0.1"};
	int port;

	for (size_t i = 0; i < sizeof(ips) / sizeof(*ips); i++) {
		int fd = listener_on(ips[i], &port, 5);

		close(fd);
		fd = tcp_socket(strchr(ips[i], ':') != NULL, 0);
		did("bind", bind_to(fd, ips[i], port));
		did("listen", listen(fd, 5));
		close(fd);
	}
}

/* How programs find a port for a server that they start. */
CASE(found_free_and_bound_again)
{
	static const char *const ips[] = {"0.0.0.0", "::", "127.0.0.1", "::1"};

	for (size_t i = 0; i < sizeof(ips) / sizeof(*ips); i++) {
		bool v6 = strchr(ips[i], ':') != NULL;
		int fd = tcp_socket(v6, 0), port, other;

		did("bind", bind_to(fd, ips[i], 0));
		port = local_port(fd);
		other = tcp_socket(v6, 0);
		did("bind while it is held", bind_to(other, ips[i], port));
		close(fd);
		did("bind", bind_to(other, ips[i], port));
		did("listen", listen(other, 5));
		close(other);
	}
}

CASE(shutdown_and_listen_again)
{
	static const char *const ips[] = {"0.0.0.0", "::", "127.0.0.1"};
	int port, fd, conn, client;

	for (size_t i = 0; i < sizeof(ips) / sizeof(*ips); i++) {
		fd = listener_at(ips[i], &port);
		did("shutdown", shutdown(fd, SHUT_RDWR));
		did("listen", listen(fd, 5));
		printf("the same port %d, accepts %d\n", local_port(fd) == port,
		       get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
		show_names(fd);
		client = i < 2 ? dial(i, port, "hello") : tcp_socket(false, 0);
		if (i == 2)
			did("connect", connect_to(client, ips[i], port));
		wait_in(fd);
		conn = accept(fd, NULL, NULL);
		printf("accepted %d\n", conn >= 0);
		close(fd);
	}
}

CASE(shutdown_and_connect)
{
	int port, fd = listener_at("0.0.0.0", &port);

	did("shutdown", shutdown(fd, SHUT_RDWR));
	did("connect", connect_to(fd, host(false), HELLO_PORT));
	printf("the same port %d\n", local_port(fd) == port);
	read_out(fd);
}

CASE(shutdown_of_a_listeners_writing)
{
	int port, fd = listener_at("0.0.0.0", &port);

	did("shutdown", shutdown(fd, SHUT_WR));
	printf("poll: %s, accepts %d\n", polled(fd, 0), get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
	dial(false, port, "hello");
	wait_in(fd);
	printf("accepted %d\n", accept(fd, NULL, NULL) >= 0);
}

CASE(reset_on_an_accepted_socket)
{
	int port, listener = listener_on("0.0.0.0", &port, 5), fd;

	dial(false, port, "rst");
	fd = accept(listener, NULL, NULL);
	read_out(fd);
	printf("poll: %s\n", polled(fd, 0));
}

CASE(accept_timeout)
{
	struct timeval tv = {0, 100000};
	int port, listener = listener_on("0.0.0.0", &port, 5);

	setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	said("accept", accept(listener, NULL, NULL));
}

static void nothing(int sig)
{
	(void)sig;
}

CASE(accept_interrupted)
{
	struct sigaction act = {.sa_handler = nothing};
	int port, listener = listener_on("0.0.0.0", &port, 5);

	sigaction(SIGALRM, &act, NULL);
	ualarm(100000, 100000); /* the first may come before accept() */
	said("accept", accept(listener, NULL, NULL));
	ualarm(0, 0);
}

/* A handler with SA_RESTART, as of a runtime that preempts its threads or waits for children. */
CASE(bind_amid_signals)
{
	enum { BINDS = 300, EVERY_US = 1000 };
	struct sigaction act = {.sa_handler = nothing, .sa_flags = SA_RESTART};
	const struct itimerval often = {{0, EVERY_US}, {0, EVERY_US}}, never = {0};
	int bound[2] = {0};

	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < BINDS; i++) {
		for (int udp = 0; udp < 2; udp++) {
			int fd = udp ? udp_socket(false) : tcp_socket(false, 0);

			bound[udp] += bind_to(fd, "0.0.0.0", 0) == 0;
			close(fd);
		}
	}
	setitimer(ITIMER_REAL, &never, NULL);
	printf("bound: %d, %d\n", bound[0], bound[1]);
}

/* ---- several acceptors ---- */

CASE(prefork)
{
	int port, listener = listener_on("0.0.0.0", &port, 16), results[2], served[4] = {0};
	char worker, answer[8];

	setpgid(0, 0); /* for the kill() at the end */
	did("pipe", pipe(results));
	for (int i = 0; i < 4; i++) {
		if (fork() == 0) {
			for (;;) {
				int fd = accept(listener, NULL, NULL);

				worker = (char)i;
				recv(fd, answer, 5, MSG_WAITALL);
				(void)!write(results[1], &worker, 1);
				close(fd);
			}
		}
	}
	for (int i = 0; i < 12; i++)
		dial(false, port, "hello");
	for (int i = 0; i < 12; i++) {
		(void)!read(results[0], &worker, 1);
		served[(int)worker]++;
	}
	printf("%d served\n", served[0] + served[1] + served[2] + served[3]);
	kill(0, SIGKILL);
}

CASE(epoll_of_a_listener)
{
	int port, listener = listener_on("0.0.0.0", &port, 16), ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.fd = listener};

	fcntl(listener, F_SETFL, O_NONBLOCK);
	did("add", epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev));
	printf("before: %d\n", epoll_wait(ep, &ev, 1, 50));
	dial(false, port, "hello");
	printf("then: %d\n", epoll_wait(ep, &ev, 1, 60000));
	said("accepted", accept(listener, NULL, NULL) >= 0);
	said("no more", accept(listener, NULL, NULL));
	printf("after: %d\n", epoll_wait(ep, &ev, 1, 50));
}

static void *close_soon(void *arg)
{
	nap_ms(100);
	shutdown(*(int *)arg, SHUT_RDWR);
	return NULL;
}

CASE(shutdown_wakes_accept)
{
	int port, listener = listener_on("0.0.0.0", &port, 16);
	pthread_t thread;

	pthread_create(&thread, NULL, close_soon, &listener);
	did("accept", accept(listener, NULL, NULL));
	pthread_join(thread, NULL);
}

CASE(loopback_servers)
{
	static const char *const addresses[] = {"127.0.0.1", "::1"};

	for (int v6 = 0; v6 < 2; v6++) {
		int port, listener = listener_on(addresses[v6], &port, 5), fd = tcp_socket(v6, 0);
		union address a;
		socklen_t len = sizeof(a);
		int accepted;

		show_names(listener);
		did("connect", connect_to(fd, addresses[v6], port));
		accepted = accept(listener, &a.any, &len);
		printf("from %s\n", address_text(&a, len));
		show_names(fd);
		show_names(accepted);
		said("send", send(accepted, "hello", 5, 0));
		close(accepted);
		read_out(fd);
		close(listener);
		close(fd);
		fd = tcp_socket(v6, 0);
		did("connect to nobody", connect_to(fd, addresses[v6], port));
	}
}

CASE(wildcard_reached_by_loopback)
{
	int port, listener = listener_on("::", &port, 5), fd = tcp_socket(false, 0), accepted;

	did("connect", connect_to(fd, "127.0.0.1", port));
	accepted = accept(listener, NULL, NULL);
	show_names(accepted);
	said("send", send(accepted, "hello", 5, 0));
	close(accepted);
	read_out(fd);
}

CASE(bound_port_seen_at_home)
{
	static const char *const from[] = {"0.0.0.0", "127.0.0.1", "0.0.0.0", "127.0.0.1"};

	for (int i = 0; i < 4; i++) {
		const char *at = i < 2 ? "0.0.0.0" : "127.0.0.1";
		int port, listener = listener_on(at, &port, 5), fd = tcp_socket(false, 0);
		union address a = {0};
		socklen_t len = sizeof(a);
		int bound, accepted;

		did("bind", bind_to(fd, from[i], 0));
		bound = local_port(fd);
		did("connect", connect_to(fd, "127.0.0.1", port));
		accepted = accept(listener, &a.any, &len);
		printf("the port is the same: %d %d\n", ntohs(a.in.sin_port) == bound,
		       local_port(fd) == bound);
		close(accepted);
	}
}

CASE(bindresvport_call)
{
	struct sockaddr_in in = {.sin_family = AF_INET};

	did("bindresvport", bindresvport(tcp_socket(false, 0), &in));
}
