/* SPDX-License-Identifier: MIT */
/* test_sockets_ports.c - who has a port: bind, listen, and connects that come from where bind said */
#include "tests/unit/run_suite.h"
#include "tests/unit/sockets_fake.h"

#include <netinet/in.h>

static const struct stack_addr loopback4 = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, 0};

START_TEST(closed_listener_frees_its_port)
{
	struct wgw_op op;
	int fd = app_stream(), again = app_stream(), third = app_stream();

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	ck_assert_int_eq(app_listen(third, &any4, 8080, 0, 8, &op), EADDRINUSE);
	close(fd);
	/* at once for a server that starts again, within a second in any case */
	ck_assert_int_eq(app_listen(again, &any4, 8080, 0, 8, &op), 0);
	close(again);
	fake_until(!fake_listener.used && !wgw_sockets_busy(&fake_tunnel));
}
END_TEST

/* What the shim asks before it makes a listener of the socket. Return: errno or 0; *talk: the
 * conversation, which goes on */
static int may_listen(int fd, int *talk)
{
	struct wgw_op op = {.code = WGW_OP_LISTEN, .cookie = app_cookie(fd)};

	memcpy(op.u.listen.addr.ip, any4.ip, 16);
	op.u.listen.flags = WGW_BIND_REUSEADDR;
	op.u.listen.backlog = 5;
	*talk = app_op_begin(&op, -1);
	fake_run(5);
	ck_assert_int_eq(recv(*talk, &op, sizeof(op), MSG_DONTWAIT), sizeof(op));
	return op.err;
}

static int bind_to(int fd, const struct stack_addr *local, uint16_t port)
{
	struct wgw_op op = {.code = WGW_OP_BIND, .cookie = app_cookie(fd), .inode = 1};

	memcpy(op.u.bind.addr.ip, local->ip, 16);
	op.u.bind.addr.port = port;
	op.u.bind.flags = WGW_BIND_REUSEADDR;
	return app_op(&op, -1);
}

START_TEST(who_is_told_that_it_may_listen_is_the_only_one)
{
	int fd[3], *first = &fd[0], *second = &fd[1], *third = &fd[2], talk[2], other;
	struct wgw_op op;

	fake_start();
	for (int i = 0; i < 3; i++) {
		fd[i] = app_stream();
		ck_assert_int_eq(bind_to(fd[i], &any4, i < 2 ? 8080 : 8081), 0);
	}
	ck_assert_int_eq(may_listen(*first, &talk[0]), 0);
	ck_assert_int_eq(may_listen(*first, &talk[1]), 0); /* by another process */
	ck_assert_int_eq(may_listen(*second, &other), EADDRINUSE);
	close(talk[1]);
	ck_assert_int_eq(may_listen(*second, &other), EADDRINUSE);
	ck_assert_int_eq(app_listen(*first, NULL, 0, WGW_BIND_REUSEADDR, 5, &op), 0);
	ck_assert_int_eq(may_listen(*second, &other), EADDRINUSE);
	close(*first);
	ck_assert_int_eq(may_listen(*second, &other), 0);
	fake_listens = true; /* a forward of a proxy */
	ck_assert_int_eq(may_listen(*third, &other), EADDRINUSE);
	fake_listens = false;
}
END_TEST

/* A connect of the host to its own port @port: whether somebody listens. */
static bool host_listens(uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;

	close(fd);
	return is;
}

START_TEST(who_ends_before_it_listens_leaves_nothing)
{
	int fd = app_stream(), host = app_stream(), other = app_stream(), talk[2], again;
	struct wgw_op name = {.code = WGW_OP_NAME, .cookie = app_cookie(host)};

	fake_start();
	ck_assert_int_eq(bind_to(fd, &any4, 8080), 0);
	ck_assert_int_eq(bind_to(other, &any4, 8080), 0);
	ck_assert_int_eq(bind_to(host, &loopback4, 0), 0);
	ck_assert_int_eq(app_op(&name, -1), 0);
	ck_assert_int_eq(may_listen(fd, &talk[0]), 0);
	ck_assert_int_eq(may_listen(host, &talk[1]), 0);
	ck_assert_int_eq(may_listen(other, &again), EADDRINUSE);
	ck_assert(host_listens(name.u.name.local.port));
	/* the supervisor says that nobody has these; then it is not asked any more */
	fake_session.nobody_holds = true;
	close(fd), close(host);
	close(talk[0]), close(talk[1]);
	fake_run(5);
	fake_session.nobody_holds = false;
	ck_assert_int_eq(may_listen(other, &again), 0);
	ck_assert(!host_listens(name.u.name.local.port));
}
END_TEST

/* A port that the kernel has chosen is given back when its listener is shut. */
START_TEST(who_ends_before_it_listens_leaves_the_socket_to_another_process_as_it_was)
{
	int host = app_stream(), talk;
	uint16_t port;
	struct wgw_op name = {.code = WGW_OP_NAME, .cookie = app_cookie(host)}, op;

	fake_start();
	ck_assert_int_eq(bind_to(host, &loopback4, 0), 0);
	ck_assert_int_eq(app_op(&name, -1), 0);
	port = name.u.name.local.port;
	ck_assert_int_eq(may_listen(host, &talk), 0);
	ck_assert(host_listens(port));
	close(talk);
	fake_run(5);
	ck_assert(!host_listens(port));
	ck_assert_int_eq(may_listen(host, &talk), 0);
	ck_assert_int_eq(app_listen(host, NULL, 0, WGW_BIND_REUSEADDR, 5, &op), 0);
	ck_assert_uint_eq(op.u.name.local.port, port);
	ck_assert(host_listens(port));
	close(host), close(talk);
}
END_TEST

/* Its question and its end are one event. 0: the question is known by then, 1: both are new */
START_TEST(who_ends_with_the_question_whether_it_may_listen_leaves_nothing)
{
	struct wgw_op op = {.magic = WGW_WIRE_MAGIC, .version = WGW_WIRE_VERSION};
	int fd = app_stream(), talk = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	fake_start();
	ck_assert_int_eq(bind_to(fd, &any4, 8080), 0);
	op.code = WGW_OP_LISTEN;
	op.cookie = app_cookie(fd);
	memcpy(op.token, fake_token, WGW_TOKEN_BYTES);
	ck_assert_int_eq(connect(talk, (struct sockaddr *)&fake_sequenced, sizeof(sa_family_t) + 6),
			 0);
	if (_i)
		fake_run(5);
	ck_assert_int_eq(send(talk, &op, sizeof(op), MSG_NOSIGNAL), sizeof(op));
	if (!_i)
		fake_run(5);
	fake_session.nobody_holds = true;
	close(talk), close(fd);
	fake_until(fake_session.refs == 0);
}
END_TEST

START_TEST(bind_follows_linux)
{
	static const struct stack_addr foreign = {
		{[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 168, [15] = 1}, 0};
	struct wgw_op op = {.code = WGW_OP_BIND};
	int fd = app_stream();

	fake_start();
	op.cookie = app_cookie(fd);
	memcpy(op.u.bind.addr.ip, foreign.ip, 16);
	ck_assert_int_eq(app_op(&op, -1), EADDRNOTAVAIL);
	op.code = WGW_OP_BIND;
	memset(&op.u, 0, sizeof(op.u));
	memcpy(op.u.bind.addr.ip, fake_address.ip, 16);
	ck_assert_int_eq(app_op(&op, -1), 0);
	ck_assert_uint_ge(op.u.name.local.port, 32768);
	op.code = WGW_OP_BIND;
	memset(&op.u, 0, sizeof(op.u));
	memcpy(op.u.bind.addr.ip, fake_address.ip, 16);
	ck_assert_int_eq(app_op(&op, -1), EINVAL); /* bound already */
	/* and a connect comes from there */
	op.code = WGW_OP_NAME;
	ck_assert_int_eq(app_op(&op, -1), 0);
	app_connect_as(fd, fake_token, &app_peer, true);
	fake_run(5);
	ck_assert_uint_eq(fake_last->local.port, op.u.name.local.port);
}
END_TEST

/* A socket bound to @local; its port. */
static uint16_t app_bind(int fd, const struct stack_addr *local)
{
	struct wgw_op op = {.code = WGW_OP_BIND, .cookie = app_cookie(fd)};

	memcpy(op.u.bind.addr.ip, local->ip, 16);
	ck_assert_int_eq(app_op(&op, -1), 0);
	return op.u.name.local.port;
}

START_TEST(port_stays_with_the_socket_that_has_connected_from_it)
{
	int fd = app_stream(), other = app_stream();
	struct wgw_label label;
	uint16_t port;

	fake_start();
	port = app_bind(fd, &any4);
	app_connect_as(fd, fake_token, &app_peer, true);
	fake_run(5);
	fake_last->ops->connected(fake_last, fake_last->arg);
	fake_until(app_label(fd, &label));
	ck_assert_int_eq(bind_to(other, &any4, port), EADDRINUSE);
	ck_assert_int_eq(bind_to(other, &fake_address, port), EADDRINUSE);
	close(fd);
	fake_run(5);
	ck_assert_int_eq(bind_to(other, &any4, port), 0);
}
END_TEST

/* Whether this process has a socket of the host at @port. */
static bool has_host_socket(uint16_t port)
{
	enum { DESCRIPTORS = 256 };
	struct sockaddr_in sin;

	for (int fd = 0; fd < DESCRIPTORS; fd++) {
		socklen_t len = sizeof(sin);

		if (getsockname(fd, (struct sockaddr *)&sin, &len) == 0 &&
		    sin.sin_family == AF_INET && sin.sin_port == htons(port))
			return true;
	}
	return false;
}

/* 0: to the session's own listener, 1: into the tunnel, 2: nowhere */
START_TEST(port_of_the_host_is_given_up_by_a_connect_that_does_not_use_it)
{
	struct stack_addr to = _i == 0 ? loopback4 : app_peer;
	struct wgw_label label;
	struct wgw_op op;
	int fd = app_stream(), client = app_stream();
	uint16_t port;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	port = app_bind(client, &loopback4);
	ck_assert(has_host_socket(port));
	fake_session.route = _i == 2 ? WGW_ROUTE_REFUSED : WGW_ROUTE_TUNNEL;
	to.port = 8080;
	app_connect_as(client, fake_token, &to, true);
	fake_until(app_label(client, &label));
	ck_assert_int_eq(label.err, _i == 0 ? 0 : _i == 1 ? EINVAL : ENETUNREACH);
	ck_assert(!has_host_socket(port));
}
END_TEST

/* 0: the wildcard, 1: an address */
START_TEST(connection_to_ourselves_comes_from_the_port_that_is_bound)
{
	const struct stack_addr *bound = _i ? &fake_address : &any4;
	struct stack_addr to = loopback4;
	struct sockaddr_un sun;
	socklen_t len = sizeof(sun);
	struct wgw_label label;
	struct wgw_op op;
	int fd = app_stream(), client = app_stream(), c;
	uint16_t port;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	port = app_bind(client, bound);
	to.port = 8080;
	app_connect_as(client, fake_token, &to, true);
	fake_until((c = app_accept(fd)) >= 0);
	ck_assert_int_eq(getpeername(c, (struct sockaddr *)&sun, &len), 0);
	ck_assert(wgw_label_open(fake_key, sun.sun_path,
				 (uint32_t)(len - offsetof(struct sockaddr_un, sun_path)), &label));
	ck_assert_uint_eq(label.remote_port, port);
	ck_assert_mem_eq(label.remote_ip, _i ? fake_address.ip : loopback4.ip, 16);
	fake_until(app_label(client, &label));
	ck_assert_uint_eq(label.local_port, port);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sockets_ports");
	TCase *t = tcase_create("ports");

	tcase_set_timeout(t, 180);
	tcase_add_test(t, closed_listener_frees_its_port);
	tcase_add_test(t, who_is_told_that_it_may_listen_is_the_only_one);
	tcase_add_test(t, who_ends_before_it_listens_leaves_nothing);
	tcase_add_test(t,
		       who_ends_before_it_listens_leaves_the_socket_to_another_process_as_it_was);
	tcase_add_loop_test(t, who_ends_with_the_question_whether_it_may_listen_leaves_nothing, 0,
			    2);
	tcase_add_test(t, bind_follows_linux);
	tcase_add_test(t, port_stays_with_the_socket_that_has_connected_from_it);
	tcase_add_loop_test(t, port_of_the_host_is_given_up_by_a_connect_that_does_not_use_it, 0,
			    3);
	tcase_add_loop_test(t, connection_to_ourselves_comes_from_the_port_that_is_bound, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
