/* SPDX-License-Identifier: MIT */
/* tcp.c - connect(2) on TCP sockets: outcomes, states, names */
#include "behave.h"

#include <sys/time.h>

/* ---- outcomes ---- */

CASE(connect_blocking)
{
	for (int v6 = 0; v6 < 2; v6++) {
		int fd = tcp_socket(v6, 0);

		show_names(fd);
		did("connect", connect_to(fd, host(v6), HELLO_PORT));
		show_names(fd);
		did("again", connect_to(fd, host(v6), HELLO_PORT));
		read_out(fd);
		close(fd);
	}
}

CASE(connect_nonblocking)
{
	int fd = tcp_socket(false, SOCK_NONBLOCK);
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	did("connect", connect_to(fd, host(false), COMMAND_PORT));
	said("poll", poll(&p, 1, 60000));
	printf("events: %s, SO_ERROR %s\n", events_text((unsigned short)p.revents), so_error(fd));
	did("the first connect after it", connect_to(fd, host(false), COMMAND_PORT));
	did("the second", connect_to(fd, host(false), COMMAND_PORT));
	show_names(fd);
}

CASE(connect_pending)
{
	int fd = tcp_socket(false, SOCK_NONBLOCK);
	char byte;

	did("connect", connect_to(fd, BLACKHOLE4, 9));
	did("again", connect_to(fd, BLACKHOLE4, 9));
	printf("poll: %s\n", polled(fd, 100));
	printf("SO_ERROR %s\n", so_error(fd));
	said("send", send(fd, "x", 1, 0));
	said("recv", recv(fd, &byte, 1, 0));
	did("listen", listen(fd, 1));
	union address a;
	socklen_t len = sizeof(a);
	did("getpeername", getpeername(fd, &a.any, &len));
	did("close", close(fd));
}

/* Linux chooses the address before it sends the SYN. */
CASE(name_while_connecting)
{
	int listener = tcp_socket(false, 0), fd = tcp_socket(false, SOCK_NONBLOCK), port;
	union address a;
	socklen_t len = sizeof(a);

	did("connect", connect_to(fd, BLACKHOLE4, 9));
	did("getsockname", getsockname(fd, &a.any, &len));
	printf("to the network: %s\n", address_text(&a, len));
	did("bind", bind_to(listener, "0.0.0.0", 0));
	did("listen", listen(listener, 1));
	fd = tcp_socket(false, SOCK_NONBLOCK);
	connect_to(fd, "127.0.0.1", local_port(listener));
	len = sizeof(a);
	did("getsockname", getsockname(fd, &a.any, &len));
	printf("to a listener here: %s\n", address_text(&a, len));
	port = local_port(fd);
	wait_for(fd, POLLOUT);
	printf("stays: %d\n", local_port(fd) == port);
}

CASE(connect_refused)
{
	for (int v6 = 0; v6 < 2; v6++) {
		int fd = tcp_socket(v6, 0);
		char byte;

		did("connect", connect_to(fd, host(v6), CLOSED_PORT));
		printf("SO_ERROR %s\n", so_error(fd));
		show_names(fd);
		said("send", send(fd, "x", 1, 0));
		said("recv", recv(fd, &byte, 1, 0));
		did("connect again", connect_to(fd, host(v6), CLOSED_PORT));
		did("and to an open port", connect_to(fd, host(v6), HELLO_PORT));
		read_out(fd);
		close(fd);
	}
}

CASE(connect_refused_nonblocking)
{
	int fd = tcp_socket(false, SOCK_NONBLOCK);

	did("connect", connect_to(fd, host(false), CLOSED_PORT));
	wait_in(fd);
	printf("poll: %s\n", polled(fd, 0));
	printf("SO_ERROR %s, then %s\n", so_error(fd), so_error(fd));
	printf("poll: %s\n", polled(fd, 0));
}

CASE(refused_told_by_connect)
{
	int fd = tcp_socket(false, SOCK_NONBLOCK);

	connect_to(fd, host(false), CLOSED_PORT);
	wait_in(fd);
	did("the next connect", connect_to(fd, host(false), CLOSED_PORT));
	printf("SO_ERROR %s\n", so_error(fd));
}

CASE(refused_told_by_recv)
{
	int fd = tcp_socket(false, SOCK_NONBLOCK);
	char byte;

	connect_to(fd, host(false), CLOSED_PORT);
	wait_in(fd);
	said("recv", recv(fd, &byte, 1, 0));
	said("recv", recv(fd, &byte, 1, 0));
	printf("SO_ERROR %s\n", so_error(fd));
}

CASE(refused_told_by_send)
{
	int fd = tcp_socket(false, SOCK_NONBLOCK);

	connect_to(fd, host(false), CLOSED_PORT);
	wait_in(fd);
	said("send", send(fd, "x", 1, MSG_NOSIGNAL));
	said("send", send(fd, "x", 1, MSG_NOSIGNAL));
}

CASE(refused_told_by_read)
{
	int fd = tcp_socket(false, SOCK_NONBLOCK);
	char byte;

	connect_to(fd, host(false), CLOSED_PORT);
	wait_in(fd);
	said("read", read(fd, &byte, 1));
}

CASE(refused_told_by_write)
{
	int fd = tcp_socket(false, SOCK_NONBLOCK);

	connect_to(fd, host(false), CLOSED_PORT);
	wait_in(fd);
	said("write", write(fd, "x", 1));
}

CASE(aborted_once_after_so_error)
{
	int fd = tcp_socket(false, SOCK_NONBLOCK);

	connect_to(fd, host(false), CLOSED_PORT);
	wait_in(fd);
	printf("SO_ERROR %s\n", so_error(fd));
	did("connect", connect_to(fd, host(false), HELLO_PORT));
}

CASE(not_routed)
{
	int fd = tcp_socket(false, 0);

	did("connect", connect_to(fd, UNROUTED4, 80));
	printf("SO_ERROR %s\n", so_error(fd));
	did("elsewhere", connect_to(fd, host(false), HELLO_PORT));
	read_out(fd);
	close(fd);
	fd = tcp_socket(true, 0);
	did("connect over v6", connect_to(fd, UNROUTED6, 80));
	close(fd);
}

CASE(not_routed_nonblocking)
{
	int fd = tcp_socket(true, SOCK_NONBLOCK);
	int err = connect_to(fd, UNROUTED6, 80) ? errno : 0;

	/* Happy eyeballs: at once, or as soon as one looks */
	if (err == EINPROGRESS) {
		wait_in(fd);
		err = get_int(fd, SOL_SOCKET, SO_ERROR);
	}
	printf("outcome: %s\n", err_name(err));
}

CASE(connect_to_the_wildcard)
{
	int port, listener = listener_on("0.0.0.0", &port, 5), fd = tcp_socket(false, 0);

	did("connect to 0.0.0.0", connect_to(fd, "0.0.0.0", port));
	said("accepted", accept(listener, NULL, NULL) >= 0);
	union address a;
	socklen_t len = sizeof(a);
	getpeername(fd, &a.any, &len);
	printf("peer: %s\n", address_text(&a, len));
}

CASE(timeout_bounds_connect)
{
	struct timeval tv = {0, 200000};
	int fd = tcp_socket(false, 0);
	int64_t began = now_ms();

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	did("connect", connect_to(fd, BLACKHOLE4, 9));
	printf("in time: %d\n", now_ms() - began < 20000);
	did("again", connect_to(fd, BLACKHOLE4, 9));
}

static void nothing(int sig)
{
	(void)sig;
}

CASE(signal_interrupts_connect)
{
	struct sigaction act = {.sa_handler = nothing};
	int fd = tcp_socket(false, 0);

	sigaction(SIGALRM, &act, NULL);
	ualarm(200000, 200000); /* the first may come before connect() */
	did("connect", connect_to(fd, BLACKHOLE4, 9));
	ualarm(0, 0);
	did("again", (fcntl(fd, F_SETFL, O_NONBLOCK), connect_to(fd, BLACKHOLE4, 9)));
}

CASE(syncnt_bounds_connect)
{
	int fd = tcp_socket(false, 0);

	set_int(fd, IPPROTO_TCP, TCP_SYNCNT, 1);
	did("connect", connect_to(fd, BLACKHOLE4, 9));
	printf("SO_ERROR %s\n", so_error(fd));
}

CASE(user_timeout_bounds_connect)
{
	int fd = tcp_socket(false, 0);

	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1500);
	did("connect", connect_to(fd, BLACKHOLE4, 9));
}

/* ---- arguments ---- */

CASE(connect_arguments)
{
	union address a;
	socklen_t len = make_address(&a, host(false), HELLO_PORT);
	int fd = tcp_socket(false, 0), fd6 = tcp_socket(true, 0);

	did("length 0", connect(fd, &a.any, 0));
	did("length 1", connect(fd, &a.any, 1));
	did("too short", connect(fd, &a.any, len - 1));
	did("too long", connect(fd, &a.any, 500));
	a.any.sa_family = AF_UNIX;
	did("another family", connect(fd, &a.any, len));
	a.any.sa_family = AF_INET6;
	did("v6 on a v4 socket", connect(fd, &a.any, sizeof(a.in6)));
	len = make_address(&a, host(false), HELLO_PORT);
	did("v4 on a v6 socket", connect(fd6, &a.any, len));
	len = make_address(&a, host(true), HELLO_PORT);
	did("v6, too short", connect(fd6, &a.any, 20));
	did("v6, without scope", connect(fd6, &a.any, 24));
	a.any.sa_family = AF_UNSPEC;
	did("nothing to disconnect", connect(fd, &a.any, sizeof(a)));
	len = make_address(&a, host(false), HELLO_PORT);
	did("a larger length", connect(fd, &a.any, sizeof(a)));
}

CASE(broadcast_and_multicast)
{
	int fd = tcp_socket(false, 0);

	did("broadcast", connect_to(fd, "255.255.255.255", 80));
	close(fd);
	fd = tcp_socket(false, 0);
	did("multicast", connect_to(fd, "224.0.0.1", 80));
	close(fd);
	fd = tcp_socket(true, 0);
	did("multicast over v6", connect_to(fd, "ff02::1", 80));
}

CASE(mapped_addresses)
{
	char text[64];
	int fd = tcp_socket(true, 0), on = 1;

	snprintf(text, sizeof(text), "::ffff:%s", host(false));
	did("connect", connect_to(fd, text, HELLO_PORT));
	show_names(fd);
	read_out(fd);
	close(fd);
	fd = tcp_socket(true, 0);
	did("v6only", setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)));
	did("connect", connect_to(fd, text, HELLO_PORT));
}

/* ---- disconnecting, connecting again ---- */

static int disconnect(int fd)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	return connect(fd, &none, sizeof(none));
}

CASE(disconnect_and_reconnect)
{
	int fd = server(false, "watch disconnect");

	did("send", send(fd, "four", 4, 0));
	nap_ms(100);
	did("disconnect", disconnect(fd));
	show_names(fd);
	report("disconnect");
	did("connect", connect_to(fd, host(false), HELLO_PORT));
	read_out(fd);
}

CASE(disconnect_pending)
{
	int fd = tcp_socket(false, SOCK_NONBLOCK);

	did("connect", connect_to(fd, BLACKHOLE4, 9));
	did("disconnect", disconnect(fd));
	fcntl(fd, F_SETFL, 0);
	did("connect", connect_to(fd, host(false), HELLO_PORT));
	read_out(fd);
}

CASE(bound_connects_again)
{
	int fd = tcp_socket(false, 0);

	did("bind", bind_to(fd, self(false), 0));
	did("connect", connect_to(fd, host(false), CLOSED_PORT));
	did("connect", connect_to(fd, host(false), HELLO_PORT));
	show_names(fd);
	read_out(fd);
}

CASE(source_port_and_address)
{
	char seen[80] = "", mine[80];
	int fd = tcp_socket(false, 0);
	ssize_t n;

	did("bind", bind_to(fd, self(false), 0));
	show_names(fd);
	did("connect", connect_to(fd, host(false), COMMAND_PORT));
	did("ask", send(fd, "whoami\n", 7, 0));
	n = recv(fd, seen, sizeof(seen) - 1, 0);
	snprintf(mine, sizeof(mine), "%s %d", self(false), local_port(fd));
	printf("answered %d, the server sees what getsockname says: %d\n", n > 0,
	       !strcmp(seen, mine));
}

static int socket_that_shares(int on)
{
	int fd = tcp_socket(false, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return fd;
}

CASE(bound_port_stays_with_the_connection)
{
	for (int i = 0; i < 4; i++) {
		int share = i / 2, fd = socket_that_shares(share), port;

		did("bind", bind_to(fd, i % 2 ? self(false) : "0.0.0.0", 0));
		port = local_port(fd);
		did("connect", connect_to(fd, host(false), HELLO_PORT));
		did("another on the wildcard", bind_to(socket_that_shares(share), "0.0.0.0", port));
		did("another on the address",
		    bind_to(socket_that_shares(share), self(false), port));
		did("another on loopback", bind_to(socket_that_shares(share), "127.0.0.1", port));
		did("another that does not share",
		    bind_to(socket_that_shares(0), self(false), port));
	}
}

/* As tests do that look for a free port */
CASE(port_of_a_closed_socket_on_loopback)
{
	for (int i = 0; i < 3; i++) {
		int listener = tcp_socket(false, 0), seen = tcp_socket(false, 0),
		    fd = tcp_socket(false, 0), port;

		did("bind", bind_to(listener, "127.0.0.1", 0));
		did("listen", listen(listener, 1));
		did("bind", bind_to(seen, "127.0.0.1", 0));
		port = local_port(seen);
		close(seen);
		did("bind", bind_to(fd, "0.0.0.0", port));
		did("connect", connect_to(fd, "127.0.0.1", local_port(listener)));
		printf("keeps its port: %d\n", local_port(fd) == port);
		close(fd);
		close(listener);
	}
}

/* Ports of connections that are over but wait are not chosen: the same destination would refuse
 * them. */
CASE(chosen_port_of_no_old_connection)
{
	int failed = 0;

	for (int i = 0; i < 1500; i++) {
		int fd = tcp_socket(false, 0);

		if (connect_to(fd, host(false), COMMAND_PORT))
			die("connect");
		close(fd);
	}
	nap_ms(200);
	for (int i = 0; i < 100; i++) {
		int fd = tcp_socket(false, 0);

		if (bind_to(fd, self(false), 0) || connect_to(fd, host(false), COMMAND_PORT))
			failed++;
		close(fd);
	}
	printf("failed: %d of 100\n", failed);
}

CASE(foreign_source)
{
	int fd = tcp_socket(false, 0);

	did("bind to another's address", bind_to(fd, "192.0.2.77", 0));
	did("bind to loopback", bind_to(fd, "127.0.0.1", 0));
	did("bind again", bind_to(fd, self(false), 0));
	did("bind after connect", (fd = server(false, "echo"), bind_to(fd, self(false), 0)));
}

CASE(self_connect_to_own_address)
{
	int port, listener = listener_on("0.0.0.0", &port, 5), fd = tcp_socket(false, 0), accepted;
	union address a;
	socklen_t len = sizeof(a);

	did("connect", connect_to(fd, self(false), port));
	accepted = accept(listener, &a.any, &len);
	printf("from %s\n", address_text(&a, len));
	show_names(accepted);
	said("send", send(fd, "hello", 5, 0));
	shutdown(fd, SHUT_WR);
	read_out(accepted);
}

/* ---- fast open ---- */

CASE(fastopen_sendto)
{
	union address a;
	socklen_t len = make_address(&a, host(false), COMMAND_PORT);
	int fd = tcp_socket(false, 0);

	said("sendto", sendto(fd, "fin 3\n", 6, MSG_FASTOPEN, &a.any, len));
	read_out(fd);
	close(fd);
	fd = tcp_socket(false, 0);
	len = make_address(&a, host(false), CLOSED_PORT);
	said("sendto, refused", sendto(fd, "fin 3\n", 6, MSG_FASTOPEN, &a.any, len));
	said("without an address", send(tcp_socket(false, 0), "x", 1, MSG_FASTOPEN));
}

CASE(fastopen_sendmsg)
{
	union address a;
	struct iovec iov = {(void *)"fin 3\n", 6};
	struct msghdr msg = {.msg_name = &a, .msg_iov = &iov, .msg_iovlen = 1};
	int fd = tcp_socket(false, 0);

	msg.msg_namelen = make_address(&a, host(false), COMMAND_PORT);
	said("sendmsg", sendmsg(fd, &msg, MSG_FASTOPEN));
	read_out(fd);
}

CASE(fastopen_nonblocking)
{
	union address a;
	socklen_t len = make_address(&a, host(false), COMMAND_PORT);
	int fd = tcp_socket(false, SOCK_NONBLOCK);
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	said("sendto", sendto(fd, "fin 3\n", 6, MSG_FASTOPEN, &a.any, len));
	poll(&p, 1, 60000);
	said("send", send(fd, "fin 3\n", 6, 0));
	fcntl(fd, F_SETFL, 0);
	read_out(fd);
}

CASE(fastopen_connect_option)
{
	int fd = tcp_socket(false, 0);

	did("set", set_int(fd, IPPROTO_TCP, 30 /* TCP_FASTOPEN_CONNECT */, 1));
	printf("get %d\n", get_int(fd, IPPROTO_TCP, 30));
	did("connect", connect_to(fd, host(false), COMMAND_PORT));
	said("send", send(fd, "fin 3\n", 6, 0));
	read_out(fd);
}

CASE(hundred_at_once)
{
	int fd[100], good = 0;

	for (int i = 0; i < 100; i++) {
		fd[i] = tcp_socket(i & 1, SOCK_NONBLOCK);
		if (connect_to(fd[i], host(i & 1), HELLO_PORT) && errno != EINPROGRESS)
			printf("connect %d: %s\n", i, err_name(errno));
	}
	for (int i = 0; i < 100; i++) {
		char data[8];

		wait_in(fd[i]);
		good += recv(fd[i], data, sizeof(data), 0) == 5;
	}
	printf("%d good\n", good);
}
