/* SPDX-License-Identifier: MIT */
/* test_sockets_listen.c - listeners of applications, and connections that stay on this machine */
#include "tests/unit/loop_turns.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/sockets_fake.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const struct stack_addr loopback4 = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, 0};

/* A connection of app_peer comes in. */
static struct flow *inbound(uint16_t port)
{
	struct flow *f = fake_flow_new(&app_peer);

	f->local.port = port;
	f->ops = NULL;
	fake_listener.ops->accept(&fake_listener, f, fake_listener.arg);
	return f;
}

START_TEST(inbound_connection_has_the_peers_address)
{
	struct sockaddr_un sun;
	socklen_t len = sizeof(sun);
	struct wgw_label label;
	struct wgw_op op;
	struct flow *f;
	char buf[16];
	int fd = app_stream(), c;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	ck_assert_uint_eq(op.u.name.local.port, 8080);
	ck_assert(fake_listener.used);
	f = inbound(8080);
	fake_run(5);
	c = app_accept(fd);
	ck_assert_int_ge(c, 0);
	ck_assert_int_eq(getpeername(c, (struct sockaddr *)&sun, &len), 0);
	ck_assert(wgw_label_open(fake_key, sun.sun_path,
				 (uint32_t)(len - offsetof(struct sockaddr_un, sun_path)), &label));
	ck_assert_int_eq(label.outcome, WGW_OUTCOME_ACCEPTED);
	ck_assert_mem_eq(label.remote_ip, app_peer.ip, 16);
	ck_assert_uint_eq(label.local_port, 8080);
	fake_receive(f, "request", 7);
	ck_assert_int_eq(send(c, "answer", 6, 0), 6);
	fake_run(5);
	ck_assert_uint_eq(f->out_len, 6); /* the hello is not data */
	ck_assert_mem_eq(f->out, "answer", 6);
	ck_assert_int_eq(recv(c, buf, sizeof(buf), 0), 7);
	/* a reset of a connection that the application never wrote on is a reset too */
	fake_end(f, ECONNRESET);
	fake_run(5);
	ck_assert_int_eq(recv(c, buf, sizeof(buf), 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
}
END_TEST

/* A descriptor of a file that is somebody else's than ours; -1: there is none, as in a user namespace
 * with one user. */
static int path_of_another_user(void)
{
	char name[] = "/tmp/wgwrap-test-XXXXXX";
	int path = open("/", O_PATH | O_CLOEXEC), fd;
	struct stat st;

	ck_assert_int_eq(fstat(path, &st), 0);
	if (st.st_uid != geteuid())
		return path;
	close(path);
	fd = mkstemp(name);
	ck_assert_int_ge(fd, 0);
	path = fchown(fd, 65534, 65534) == 0 ? open(name, O_PATH | O_CLOEXEC) : -1;
	unlink(name);
	close(fd);
	return path;
}

/* Who has changed its uid could else have a tunnel process of root's connect to root's sockets. */
START_TEST(program_of_another_user_names_listeners_of_its_own_only)
{
	struct wgw_op op;
	int fd = app_stream(), path = path_of_another_user();

	if (path < 0) {
		printf("skipped: there is no other user here\n");
		close(fd);
		return;
	}
	fake_start();
	fake_tunnel.sockets->own_uid = getuid() + 1;
	op = (struct wgw_op){.code = WGW_OP_LISTEN, .cookie = app_cookie(fd)};
	memcpy(op.u.listen.addr.ip, any4.ip, 16);
	ck_assert_int_eq(app_op(&op, path), EACCES);
	ck_assert(!fake_listener.used);
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	ck_assert(fake_listener.used);
	close(path);
}
END_TEST

START_TEST(next_tunnel_process_takes_the_listener_over)
{
	struct wgw_op op;
	int fd = app_stream(), path;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	ck_assert_int_ge(fake_kept_path, 0);
	path = fake_kept_path;
	fake_kept_path = -1;
	fake_start();
	ck_assert(!fake_listener.used);
	wgw_sockets_listen_again(&fake_tunnel, &fake_session, &fake_kept_listener, path);
	ck_assert(fake_listener.used);
	inbound(8080);
	fake_run(5);
	ck_assert_int_ge(app_accept(fd), 0);
	op = (struct wgw_op){.code = WGW_OP_NAME, .cookie = app_cookie(fd)};
	ck_assert_int_eq(app_op(&op, -1), 0);
	ck_assert_uint_eq(op.u.name.local.port, 8080);
	/* and tells its session when the program closes it */
	ck_assert_int_ge(fake_kept_path, 0);
	close(fd);
	fake_until(fake_kept_path == -1);
	ck_assert(!fake_listener.used);
}
END_TEST

START_TEST(reset_before_the_first_write_is_seen_after_a_hooked_accept)
{
	struct wgw_op op;
	struct flow *f;
	char byte;
	int fd = app_stream(), c;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	f = inbound(8080);
	fake_run(5);
	c = app_accept(fd);
	fake_run(5);
	fake_end(f, ECONNRESET);
	fake_run(5);
	ck_assert_int_eq(recv(c, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
}
END_TEST

/* _i: from the tunnel, from the host, from a program of this session */
START_TEST(reset_before_accept_is_seen_after_it)
{
	static const struct linger now = {.l_onoff = 1};
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	struct stack_addr to = loopback4;
	struct wgw_op op;
	struct flow *f;
	char buf[16];
	int fd = app_stream(), peer, c;

	fake_start();
	ck_assert_int_eq(app_listen(fd, _i == 1 ? &loopback4 : &any4, 0, 0, 8, &op), 0);
	to.port = op.u.name.local.port;
	if (_i == 0) {
		f = inbound(to.port);
		fake_receive(f, "hello", 5);
		fake_run(5);
		fake_end(f, ECONNRESET);
	} else if (_i == 1) {
		peer = socket(AF_INET, SOCK_STREAM, 0);
		sin.sin_port = htons(to.port);
		ck_assert_int_eq(connect(peer, (struct sockaddr *)&sin, sizeof(sin)), 0);
		ck_assert_int_eq(send(peer, "hello", 5, 0), 5);
		setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(peer);
	} else {
		peer = app_stream();
		app_connect_as(peer, fake_token, &to, true);
		fake_run(5);
		app_set(peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		ck_assert_int_eq(send(peer, "hello", 5, MSG_NOSIGNAL), 5);
		close(peer);
	}
	fake_run(20);
	c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(c, 0);
	fake_run(5);
	app_send_fd(c, WGW_FD_BYTE, c);
	fake_run(5);
	ck_assert_int_eq(send(c, "K", 1, MSG_NOSIGNAL), 1); /* who accepts is let finish */
	ck_assert_int_eq(fake_recv(c, buf, sizeof(buf)), 5);
	ck_assert_int_eq(fake_recv(c, buf, sizeof(buf)), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(c);
	close(fd);
	fake_until(!wgw_sockets_busy(&fake_tunnel));
}
END_TEST

/* Both programs are this session's: the connection is known by the socket that connected. */
START_TEST(linger_of_the_accepted_end_of_a_connection_on_this_machine_counts)
{
	static const struct linger now = {.l_onoff = 1};
	struct stack_addr to = loopback4;
	struct wgw_op op;
	char buf[16];
	int fd = app_stream(), peer = app_stream(), c;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	to.port = 8080;
	app_connect_as(peer, fake_token, &to, true);
	fake_run(5);
	ck_assert_int_ge(c = app_accept(fd), 0);
	app_set(c, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	ck_assert_int_eq(send(c, "hello", 5, 0), 5);
	close(c);
	ck_assert_int_eq(fake_recv(peer, buf, sizeof(buf)), 5);
	ck_assert_int_eq(fake_recv(peer, buf, sizeof(buf)), -1);
	ck_assert_int_eq(errno, ECONNRESET);
}
END_TEST

/* What SIOCOUTQ asks. */
static int unacked(int fd)
{
	struct wgw_op op = {.code = WGW_OP_GETOPT, .cookie = app_cookie(fd)};
	int bytes[2] = {-1, -1};

	op.u.option.level = IPPROTO_TCP;
	op.u.option.name = WGW_OPTION_UNACKED;
	ck_assert_int_eq(app_op(&op, -1), 0);
	memcpy(bytes, op.u.option.value, sizeof(bytes));
	ck_assert_int_eq(bytes[0], bytes[1]);
	return bytes[0];
}

START_TEST(both_ends_of_a_connection_on_this_machine_know_what_is_not_taken)
{
	static char much[512 * 1024];
	struct stack_addr to = loopback4;
	struct wgw_op op;
	int fd = app_stream(), peer = app_stream(), c, from, towards, taken = 0;
	ssize_t n;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	to.port = 8080;
	app_connect_as(peer, fake_token, &to, true);
	fake_run(5);
	ck_assert_int_ge(c = app_accept(fd), 0);
	fake_run(5);
	from = _i ? c : peer;
	towards = _i ? peer : c;
	ck_assert_int_eq(unacked(from), 0);
	for (int i = 0; i < 32; i++) {
		n = send(from, much, sizeof(much), MSG_DONTWAIT | MSG_NOSIGNAL);
		taken += n > 0 ? (int)n : 0;
		fake_run(5);
	}
	ck_assert_int_gt(unacked(from), 0);
	ck_assert_int_lt(unacked(from), taken); /* the rest has arrived */
	ck_assert_int_eq(unacked(towards), 0);
	while (taken > 0) {
		n = fake_recv(towards, much, sizeof(much));
		ck_assert_int_gt(n, 0);
		taken -= (int)n;
	}
	fake_run(5);
	ck_assert_int_eq(unacked(from), 0);
}
END_TEST

START_TEST(unhooked_accept_loses_no_byte)
{
	struct wgw_op op;
	struct flow *f;
	int fd = app_stream(), c;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	f = inbound(8080);
	fake_run(5);
	c = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
	ck_assert_int_eq(send(c, "FKdata", 6, 0), 6);
	fake_run(5);
	ck_assert_uint_eq(f->out_len, 6);
	ck_assert_mem_eq(f->out, "FKdata", 6);
}
END_TEST

START_TEST(full_backlog_waits_and_is_delivered)
{
	struct wgw_op op;
	int fd = app_stream(), n = 0;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 1, &op), 0);
	for (int i = 0; i < 20; i++)
		inbound(8080);
	fake_run(20);
	for (int i = 0; i < 50 && n < 20; i++) {
		while (app_accept(fd) >= 0)
			n++;
		fake_run(100);
	}
	ck_assert_int_eq(n, 20);
}
END_TEST

START_TEST(shut_listener_leaves_a_bound_socket)
{
	struct wgw_op op, down = {.code = WGW_OP_SHUTDOWN}, name = {.code = WGW_OP_NAME};
	int fd = app_stream(), other = app_stream();
	struct flow *f;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	f = inbound(8080);
	fake_run(5);
	down.cookie = name.cookie = app_cookie(fd);
	ck_assert_int_eq(app_op(&down, -1), 0);
	ck_assert(!fake_listener.used);
	ck_assert(f->aborted); /* it was in the backlog */
	ck_assert_int_eq(app_op(&name, -1), 0);
	ck_assert_uint_eq(name.u.name.local.port, 8080);
	ck_assert_int_eq(app_listen(other, &any4, 8080, 0, 8, &op), EADDRINUSE);
	down.code = WGW_OP_SHUTDOWN;
	ck_assert_int_eq(app_op(&down, -1), 0); /* gives the address up */
	ck_assert_int_eq(app_listen(other, &any4, 8080, 0, 8, &op), 0);
}
END_TEST

START_TEST(port_of_a_closed_listener_takes_no_syn)
{
	struct wgw_op op;
	int a = app_stream(), b = app_stream(), copy;

	fake_start();
	ck_assert_int_eq(app_listen(a, &any4, 8080, WGW_BIND_REUSEPORT, 8, &op), 0);
	ck_assert_int_eq(app_listen(b, &any4, 8080, WGW_BIND_REUSEPORT, 8, &op), 0);
	ck_assert(fake_listener.ops->alive(&fake_listener, fake_listener.arg));
	copy = dup(a);
	close(a);
	close(b);
	ck_assert(fake_listener.ops->alive(&fake_listener, fake_listener.arg));
	close(copy);
	ck_assert(!fake_listener.ops->alive(&fake_listener, fake_listener.arg));
	fake_run(10);
	ck_assert(!fake_listener.used);
}
END_TEST

/* Closed between its SYN and its last ACK. */
START_TEST(connection_to_a_closed_listener_is_reset)
{
	struct wgw_op op;
	struct flow *f;
	int fd = app_stream();

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	close(fd);
	f = inbound(8080);
	fake_run(10);
	ck_assert(f->aborted);
	ck_assert(!fake_listener.used);
	ck_assert_uint_eq(fake_session.refs, 0);
}
END_TEST

START_TEST(reuseport_listeners_take_turns)
{
	struct wgw_op op;
	int a = app_stream(), b = app_stream(), n[2] = {0};

	fake_start();
	ck_assert_int_eq(app_listen(a, &any4, 8080, WGW_BIND_REUSEPORT, 8, &op), 0);
	ck_assert_int_eq(app_listen(b, &any4, 8080, WGW_BIND_REUSEPORT, 8, &op), 0);
	for (int i = 0; i < 8; i++)
		inbound(8080);
	fake_run(10);
	while (app_accept(a) >= 0)
		n[0]++;
	while (app_accept(b) >= 0)
		n[1]++;
	ck_assert_int_eq(n[0], 4);
	ck_assert_int_eq(n[1], 4);
	close(a); /* the other goes on alone */
	fake_run(1200);
	ck_assert(fake_listener.used);
	inbound(8080);
	fake_run(10);
	ck_assert_int_ge(app_accept(b), 0);
}
END_TEST

START_TEST(connections_inherit_what_their_listener_was_told)
{
	static const struct linger now = {1, 0};
	static const int one = 1;
	int fd = app_stream(), c;
	struct wgw_op op;
	struct flow *f;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	app_set(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	app_set(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	f = inbound(8080);
	fake_run(5);
	ck_assert(f->options.nodelay);
	c = app_accept(fd);
	ck_assert_int_ge(c, 0);
	fake_run(5);
	close(c);
	fake_run(5);
	ck_assert(f->aborted);
}
END_TEST

/* 0: before the tunnel process knows the socket, 1: by an operation as well */
START_TEST(what_a_program_sets_before_its_socket_is_known_needs_no_operation)
{
	static const int one = 1;
	socklen_t len = sizeof(int);
	struct wgw_op op;
	struct flow *f;
	int fd = app_stream(), c, bytes = 0;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	f = inbound(8080);
	fake_run(5);
	ck_assert_int_ge(c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), 0);
	app_tag(c, _i ? 0 : WGW_TAG_NODELAY);
	ck_assert_int_eq(getsockopt(c, SOL_SOCKET, SO_RCVBUF, &bytes, &len), 0);
	ck_assert_int_ge(bytes, WGW_KNOWN_RCVBUF_BYTES);
	app_hello(c);
	fake_run(5);
	ck_assert_int_eq(f->options.nodelay, !_i);
	ck_assert_int_eq(getsockopt(c, SOL_SOCKET, SO_RCVBUF, &bytes, &len), 0);
	ck_assert_int_lt(bytes, WGW_KNOWN_RCVBUF_BYTES);
	if (_i)
		app_set(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ck_assert(f->options.nodelay);
}
END_TEST

START_TEST(what_a_program_takes_back_before_its_socket_is_known_is_not_inherited)
{
	static const int one = 1;
	struct wgw_op op;
	struct flow *f;
	int fd = app_stream(), c;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	app_set(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	f = inbound(8080);
	fake_run(5);
	ck_assert(f->options.nodelay);
	ck_assert_int_ge(c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), 0);
	app_tag(c, 0);
	app_hello(c);
	fake_run(5);
	ck_assert(!f->options.nodelay);
}
END_TEST

START_TEST(loopback_reaches_the_sessions_wildcard_listener)
{
	struct stack_addr to = loopback4;
	struct wgw_label label;
	struct wgw_op op;
	char buf[16];
	int fd = app_stream(), client = app_stream(), c;

	fake_start();
	fake_last = NULL;
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	to.port = 8080;
	app_connect_as(client, fake_token, &to, true);
	fake_run(10);
	ck_assert(app_label(client, &label));
	ck_assert_int_eq(label.outcome, WGW_OUTCOME_CONNECTED);
	ck_assert_ptr_null(fake_last);
	c = app_accept(fd);
	ck_assert_int_ge(c, 0);
	ck_assert_int_eq(send(client, "request", 7, 0), 7);
	fake_run(5);
	ck_assert_int_eq(recv(c, buf, sizeof(buf), 0), 7);
	ck_assert_int_eq(send(c, "answer", 6, 0), 6);
	fake_run(5);
	if (_i == 0) {
		close(c);
		fake_run(5);
		ck_assert_int_eq(recv(client, buf, sizeof(buf), 0), 6);
		ck_assert_int_eq(recv(client, buf, sizeof(buf), 0), 0);
		close(client);
	} else { /* closed with the answer unread: a reset at the server */
		close(client);
		fake_run(5);
		ck_assert_int_eq(recv(c, buf, sizeof(buf), 0), -1);
		ck_assert_int_eq(errno, ECONNRESET);
		close(c);
	}
	close(fd);
	fake_until(!wgw_sockets_busy(&fake_tunnel));
	ck_assert_uint_eq(fake_session.refs, 0);
}
END_TEST

/* ---- the host's loopback ---- */

static int host_listener(struct stack_addr *at)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*at = loopback4;
	at->port = ntohs(sin.sin_port);
	return fd;
}

/* The connection that the tunnel process makes. */
static int host_accept(int host)
{
	struct pollfd p = {host, POLLIN, 0};
	int c;

	fake_until(poll(&p, 1, 0) == 1);
	c = accept4(host, NULL, NULL, SOCK_NONBLOCK);
	ck_assert_int_ge(c, 0);
	return c;
}

static bool readable(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0) == 1;
}

START_TEST(direct_connection_carries_data_fin_and_reset)
{
	static const struct linger now = {.l_onoff = 1};
	static uint8_t sent[200000], got[200000];
	struct stack_addr to;
	size_t put = 0, at = 0;
	int host = host_listener(&to), client = app_stream(), c;
	char byte;

	fake_start();
	randombytes_buf(sent, sizeof(sent));
	app_connect_as(client, fake_token, &to, true);
	c = host_accept(host);
	while (at < sizeof(got)) {
		ssize_t r =
			put < sizeof(sent) ? send(client, sent + put, sizeof(sent) - put, 0) : 0;

		put += r > 0 ? (size_t)r : 0;
		fake_run(1);
		r = recv(c, got + at, 1000, 0); /* slowly: the stash is used */
		at += r > 0 ? (size_t)r : 0;
	}
	ck_assert_mem_eq(sent, got, sizeof(got));
	if (_i == 0) {
		shutdown(client, SHUT_WR);
		ck_assert_int_eq(fake_recv(c, &byte, 1), 0);
		ck_assert_int_eq(send(c, "x", 1, MSG_NOSIGNAL), 1);
		close(c);
		ck_assert_int_eq(fake_recv(client, &byte, 1), 1);
		ck_assert_int_eq(fake_recv(client, &byte, 1), 0);
	} else if (_i == 1) {
		ck_assert_int_eq(send(c, "x", 1, MSG_NOSIGNAL), 1);
		fake_until(readable(client));
		setsockopt(c, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(c);
		ck_assert_int_eq(fake_recv(client, &byte, 1), 1);
		ck_assert_int_eq(fake_recv(client, &byte, 1), -1);
		ck_assert_int_eq(errno, ECONNRESET);
	} else {
		ck_assert_int_eq(send(c, "x", 1, MSG_NOSIGNAL), 1);
		fake_until(readable(client));
		close(client); /* with a byte unread */
		ck_assert_int_eq(fake_recv(c, &byte, 1), -1);
		ck_assert_int_eq(errno, ECONNRESET);
	}
	fake_until(!wgw_sockets_busy(&fake_tunnel));
}
END_TEST

/* Large pieces are spliced; what the application has no room for, and what nobody will read, leaves
 * the pipe again. */
START_TEST(direct_download_is_whole_after_one_that_was_abandoned)
{
	enum { SIZE = 2 << 20, ABANDONED_AT = 700000, PIECE = 37001 };
	static uint8_t sent[SIZE], got[SIZE];
	struct stack_addr to;
	int host = host_listener(&to);

	signal(SIGPIPE, SIG_IGN); /* as the tunnel process does */
	fake_start();
	randombytes_buf(sent, sizeof(sent));
	for (int round = 0; round < 3; round++) {
		size_t put = 0, at = 0, end = round ? SIZE : ABANDONED_AT;
		int client = app_stream(), c;

		app_connect_as(client, fake_token, &to, true);
		c = host_accept(host);
		while (at < end) {
			ssize_t r = send(c, sent + put, SIZE - put, MSG_NOSIGNAL);

			put += r > 0 ? (size_t)r : 0;
			fake_run(1);
			r = recv(client, got + at, SIZE - at < PIECE ? SIZE - at : PIECE,
				 MSG_DONTWAIT);
			at += r > 0 ? (size_t)r : 0;
		}
		ck_assert_mem_eq(sent, got, end);
		shutdown(client, SHUT_RD); /* more comes, and is dropped */
		fake_run(5);
		(void)!send(c, sent, PIECE, MSG_NOSIGNAL);
		fake_run(5);
		close(client);
		fake_until((send(c, sent, SIZE, MSG_NOSIGNAL), !wgw_sockets_busy(&fake_tunnel)));
		close(c);
	}
}
END_TEST

START_TEST(direct_refusal_is_econnrefused)
{
	struct wgw_label label;
	struct stack_addr to;
	int host = host_listener(&to), client = app_stream();

	fake_start();
	close(host);
	app_connect_as(client, fake_token, &to, true);
	fake_until(app_label(client, &label));
	ck_assert_int_eq(label.outcome, WGW_OUTCOME_FAILED);
	ck_assert_int_eq(label.err, ECONNREFUSED);
}
END_TEST

START_TEST(listener_on_loopback_is_the_hosts)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	struct wgw_op op;
	char buf[8];
	int fd = app_stream(), host = socket(AF_INET, SOCK_STREAM, 0), c;
	int late = socket(AF_INET, SOCK_STREAM, 0);

	fake_start();
	ck_assert_int_eq(app_listen(fd, &loopback4, 0, 0, 8, &op), 0);
	ck_assert(!fake_listener.used);
	sin.sin_port = htons(op.u.name.local.port);
	ck_assert_int_eq(connect(host, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(send(host, "hello", 5, 0), 5);
	fake_until((c = app_accept(fd)) >= 0);
	ck_assert_int_eq(fake_recv(c, buf, sizeof(buf)), 5);
	close(c);
	close(fd);
	/* who connects before it is known to be closed is reset */
	ck_assert_int_eq(connect(late, (struct sockaddr *)&sin, sizeof(sin)), 0);
	fake_until(!wgw_sockets_busy(&fake_tunnel));
	ck_assert_int_eq(recv(host, buf, sizeof(buf), 0), 0);
	ck_assert_int_eq(recv(late, buf, sizeof(buf), 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
}
END_TEST

START_TEST(connections_wait_for_descriptors_without_a_busy_loop)
{
	enum { TURNS = 1000 }; /* ten times of what fake_run() and pauses make */
	static struct turns turns = {.before.run = count_turn};
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	struct rlimit limit, none;
	struct wgw_op op;
	int fd = app_stream(), host = socket(AF_INET, SOCK_STREAM, 0), c;

	fake_start();
	wgw_loop_before(fake_tunnel.loop, &turns.before);
	ck_assert_int_eq(app_listen(fd, &loopback4, 0, 0, 8, &op), 0);
	sin.sin_port = htons(op.u.name.local.port);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(connect(host, (struct sockaddr *)&sin, sizeof(sin)), 0);
	turns.n = 0;
	fake_run(500);
	ck_assert_uint_lt(turns.n, TURNS);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	fake_until((c = app_accept(fd)) >= 0);
	close(c);
	close(host);
}
END_TEST

START_TEST(conversations_go_on_one_by_one_without_descriptors)
{
	struct rlimit limit, full;
	struct wgw_op op = {.code = WGW_OP_NAME, .kind = WGW_KIND_TCP};
	int talk[2];

	fake_start();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int i = 0; i < 2; i++)
		talk[i] = app_op_begin(&op, -1);
	full = limit;
	full.rlim_cur = (rlim_t)dup(talk[0]); /* all below are in use */
	close((int)full.rlim_cur);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &full), 0);
	for (int i = 0; i < 2; i++) {
		fake_run(200);
		ck_assert_int_eq(recv(talk[i], &op, sizeof(op), MSG_DONTWAIT), sizeof(op));
		shutdown(talk[i], SHUT_RDWR);
	}
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sockets_listen");
	TCase *t = tcase_create("listen");

	tcase_set_timeout(t, 180);
	tcase_add_test(t, inbound_connection_has_the_peers_address);
	tcase_add_test(t, program_of_another_user_names_listeners_of_its_own_only);
	tcase_add_test(t, next_tunnel_process_takes_the_listener_over);
	tcase_add_test(t, reset_before_the_first_write_is_seen_after_a_hooked_accept);
	tcase_add_loop_test(t, reset_before_accept_is_seen_after_it, 0, 3);
	tcase_add_test(t, linger_of_the_accepted_end_of_a_connection_on_this_machine_counts);
	tcase_add_loop_test(t, both_ends_of_a_connection_on_this_machine_know_what_is_not_taken, 0,
			    2);
	tcase_add_test(t, unhooked_accept_loses_no_byte);
	tcase_add_test(t, full_backlog_waits_and_is_delivered);
	tcase_add_test(t, shut_listener_leaves_a_bound_socket);
	tcase_add_test(t, port_of_a_closed_listener_takes_no_syn);
	tcase_add_test(t, connection_to_a_closed_listener_is_reset);
	tcase_add_test(t, reuseport_listeners_take_turns);
	tcase_add_test(t, connections_inherit_what_their_listener_was_told);
	tcase_add_loop_test(t, what_a_program_sets_before_its_socket_is_known_needs_no_operation, 0,
			    2);
	tcase_add_test(t, what_a_program_takes_back_before_its_socket_is_known_is_not_inherited);
	tcase_add_loop_test(t, loopback_reaches_the_sessions_wildcard_listener, 0, 2);
	tcase_add_loop_test(t, direct_connection_carries_data_fin_and_reset, 0, 3);
	tcase_add_test(t, direct_download_is_whole_after_one_that_was_abandoned);
	tcase_add_test(t, direct_refusal_is_econnrefused);
	tcase_add_test(t, listener_on_loopback_is_the_hosts);
	tcase_add_test(t, connections_wait_for_descriptors_without_a_busy_loop);
	tcase_add_test(t, conversations_go_on_one_by_one_without_descriptors);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
