/* SPDX-License-Identifier: MIT */
/* test_sockets_listen.c - listeners of applications */
#include "src/tunnel/listen.h"
#include "tests/unit/loop_turns.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/sockets_fake.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

static int64_t looks_in_ms(void)
{
	const struct wgw_timer *timer = &fake_tunnel.sockets->listener_timer;

	return timer->slot ? ((int64_t)timer->deadline - (int64_t)wgw_clock_ns()) / 1000000 : -1;
}

START_TEST(idle_listeners_are_looked_at_ever_less_often)
{
	int fd = app_stream(), direct = app_stream();
	struct wgw_sockets *s;
	struct wgw_op op;

	fake_start();
	s = fake_tunnel.sockets;
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	ck_assert_int_le(looks_in_ms(), WGW_LISTENER_PROBE_MS);
	for (int i = 0; i < 20; i++)
		wgw_listen_look(s);
	ck_assert_int_gt(looks_in_ms(), WGW_LISTENER_PROBE_LAST_MS / 2);
	ck_assert_int_le(looks_in_ms(), WGW_LISTENER_PROBE_LAST_MS);
	/* soon again when one has come, and as long as it is on the host's loopback */
	ck_assert_int_eq(app_listen(direct, &loopback4, 0, 0, 8, &op), 0);
	ck_assert_int_le(looks_in_ms(), WGW_LISTENER_PROBE_MS);
	for (int i = 0; i < 20; i++)
		wgw_listen_look(s);
	ck_assert_int_le(looks_in_ms(), WGW_LISTENER_PROBE_MS);
	/* and when one has gone */
	close(direct);
	wgw_listen_look(s);
	ck_assert_int_le(looks_in_ms(), WGW_LISTENER_PROBE_MS);
	wgw_listen_look(s);
	wgw_listen_look(s);
	ck_assert_int_gt(looks_in_ms(), 2 * WGW_LISTENER_PROBE_MS);
	close(fd);
	wgw_listen_look(s);
	ck_assert_int_eq(looks_in_ms(), -1);
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
	tcase_add_test(t, idle_listeners_are_looked_at_ever_less_often);
	tcase_add_test(t, connections_wait_for_descriptors_without_a_busy_loop);
	tcase_add_test(t, conversations_go_on_one_by_one_without_descriptors);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
