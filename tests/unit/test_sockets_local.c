/* SPDX-License-Identifier: MIT */
/* test_sockets_local.c - connections that do not go through the tunnel: between programs of this machine,
 * and over sockets of the kernel */
#include "src/tunnel/tcp.h"
#include "tests/unit/loop_turns.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/sockets_fake.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>

static const struct stack_addr loopback4 = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, 0};

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

/* As inet_csk_listen_stop(): 0: to loopback, 1: to the tunnel's own address */
START_TEST(shut_listener_resets_connections_of_this_machine_that_wait)
{
	struct stack_addr to = _i ? fake_address : loopback4, to_other = loopback4;
	struct wgw_op op, down = {.code = WGW_OP_SHUTDOWN};
	int fd = app_stream(), taken = app_stream(), waits = app_stream(), c;
	int other = app_stream(), waits_for_other = app_stream();
	char byte;

	fake_start();
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 8, &op), 0);
	ck_assert_int_eq(app_listen(other, &loopback4, 0, 0, 8, &op), 0);
	to_other.port = op.u.name.local.port;
	app_connect_as(waits_for_other, fake_token, &to_other, true);
	to.port = 8080;
	app_connect_as(taken, fake_token, &to, true);
	fake_run(5);
	ck_assert_int_ge(c = app_accept(fd), 0);
	app_connect_as(waits, fake_token, &to, true);
	fake_run(5);
	down.cookie = app_cookie(fd);
	ck_assert_int_eq(app_op(&down, -1), 0);
	ck_assert_int_eq(recv(waits, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	ck_assert_int_eq(send(c, "x", 1, MSG_NOSIGNAL), 1);
	ck_assert_int_eq(fake_recv(taken, &byte, 1), 1);
	ck_assert_int_ge(c = app_accept(other), 0);
	ck_assert_int_eq(send(c, "y", 1, MSG_NOSIGNAL), 1);
	ck_assert_int_eq(fake_recv(waits_for_other, &byte, 1), 1);
}
END_TEST

START_TEST(connects_that_wait_for_a_full_backlog_of_this_machine_ask_ever_less_often)
{
	enum { TURNS = 150, WAIT_MS = 1000 }; /* fake_run() makes some 35, asking each 5 ms 200 */
	static struct turns turns = {.before.run = count_turn};
	struct stack_addr to = loopback4;
	struct wgw_label label;
	struct wgw_op op;
	int fd = app_stream(), client, last = -1, taken = 0;

	fake_start();
	wgw_loop_before(fake_tunnel.loop, &turns.before);
	ck_assert_int_eq(app_listen(fd, &any4, 8080, 0, 1, &op), 0);
	to.port = 8080;
	while (last < 0) {
		client = app_stream();
		app_connect_as(client, fake_token, &to, true);
		fake_run(5);
		if (!app_label(client, &label))
			last = client;
	}
	turns.n = 0;
	fake_run(WAIT_MS);
	ck_assert_uint_lt(turns.n, TURNS);
	fake_until((taken += app_accept(fd) >= 0, app_label(last, &label)));
	ck_assert_int_eq(label.outcome, WGW_OUTCOME_CONNECTED);
	ck_assert_int_gt(taken, 0);
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

/* What a test does when the events of a turn are known, and before the jobs that they made run. */
struct meanwhile {
	struct wgw_timer timer;
	int fd;
};

static void reset_now(struct wgw_timer *t)
{
	static const struct linger now = {.l_onoff = 1};
	int fd = wgw_container(t, struct meanwhile, timer)->fd;

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* The kernel tells it once, here to who passes on what the program has written. */
START_TEST(direct_reset_that_meets_a_write_is_no_end_of_file)
{
	static char much[64 * 1024];
	struct meanwhile m = {.timer.due = reset_now};
	struct stack_addr to;
	int host = host_listener(&to), client = app_stream();
	char buf[8];

	signal(SIGPIPE, SIG_IGN);
	fake_start();
	app_connect_as(client, fake_token, &to, true);
	m.fd = host_accept(host);
	fake_run(5);
	ck_assert_int_eq(send(m.fd, "answer", 6, MSG_NOSIGNAL), 6);
	fake_until(readable(client));
	ck_assert_int_eq(send(client, much, _i ? sizeof(much) : 1, MSG_NOSIGNAL),
			 _i ? sizeof(much) : 1);
	wgw_timer_set(fake_tunnel.loop, &m.timer, wgw_clock_ns());
	ck_assert_int_eq(fake_recv(client, buf, sizeof(buf)), 6);
	ck_assert_int_eq(fake_recv(client, buf, sizeof(buf)), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	fake_until(!wgw_sockets_busy(&fake_tunnel));
}
END_TEST

/* Nothing that is before an urgent byte or behind it is lost, nor waits for ever. */
START_TEST(direct_connection_goes_on_past_an_urgent_byte)
{
	struct stack_addr to;
	int host = host_listener(&to), client = app_stream(), c;
	char got[16];
	size_t at = 0;
	ssize_t r;

	fake_start();
	app_connect_as(client, fake_token, &to, true);
	c = host_accept(host);
	ck_assert_int_eq(send(c, "be", 2, 0), 2);
	ck_assert_int_eq(send(c, "!", 1, MSG_OOB), 1);
	ck_assert_int_eq(send(c, "hind", 4, 0), 4);
	close(c);
	while ((r = fake_recv(client, got + at, sizeof(got) - at)) > 0)
		at += (size_t)r;
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(at, 7);
	ck_assert_mem_eq(got, "be!hind", 7);
}
END_TEST

/* The kernel does not know of it: it is told how long it goes on for nobody. 1: the program has said
 * less. */
START_TEST(direct_connection_of_a_program_that_is_gone_has_an_end)
{
	static const int linux_ms = 325000, own_ms = 1000;
	static char much[64 * 1024];
	struct stack_addr to;
	int host = host_listener(&to), client = app_stream(), ms = -1;
	struct wgw_conn *c;
	socklen_t len = sizeof(ms);

	fake_start();
	app_connect_as(client, fake_token, &to, true);
	host_accept(host);
	fake_run(5);
	if (_i)
		app_set(client, IPPROTO_TCP, TCP_USER_TIMEOUT, &own_ms, sizeof(own_ms));
	c = wgw_container(fake_tunnel.sockets->conns.next, struct wgw_conn, link);
	fake_until((send(client, much, sizeof(much), MSG_NOSIGNAL), c->far_end.full));
	while (send(client, much, sizeof(much), MSG_NOSIGNAL) > 0)
		;
	ck_assert_int_eq(getsockopt(c->far_end.watch.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &len),
			 0);
	ck_assert_int_eq(ms, _i ? own_ms : 0);
	close(client);
	fake_run(5);
	ck_assert(wgw_sockets_busy(&fake_tunnel));
	ck_assert_int_eq(getsockopt(c->far_end.watch.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &len),
			 0);
	ck_assert_int_eq(ms, _i ? own_ms : linux_ms);
	if (_i)
		fake_until(!wgw_sockets_busy(&fake_tunnel));
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

static Suite *suite(void)
{
	Suite *s = suite_create("sockets_local");
	TCase *t = tcase_create("local");

	tcase_set_timeout(t, 180);
	tcase_add_loop_test(t, loopback_reaches_the_sessions_wildcard_listener, 0, 2);
	tcase_add_test(t, linger_of_the_accepted_end_of_a_connection_on_this_machine_counts);
	tcase_add_loop_test(t, both_ends_of_a_connection_on_this_machine_know_what_is_not_taken, 0,
			    2);
	tcase_add_loop_test(t, shut_listener_resets_connections_of_this_machine_that_wait, 0, 2);
	tcase_add_test(t,
		       connects_that_wait_for_a_full_backlog_of_this_machine_ask_ever_less_often);
	tcase_add_loop_test(t, direct_connection_carries_data_fin_and_reset, 0, 3);
	tcase_add_test(t, direct_download_is_whole_after_one_that_was_abandoned);
	tcase_add_loop_test(t, direct_reset_that_meets_a_write_is_no_end_of_file, 0, 2);
	tcase_add_test(t, direct_connection_goes_on_past_an_urgent_byte);
	tcase_add_loop_test(t, direct_connection_of_a_program_that_is_gone_has_an_end, 0, 2);
	tcase_add_test(t, direct_refusal_is_econnrefused);
	tcase_add_test(t, listener_on_loopback_is_the_hosts);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
