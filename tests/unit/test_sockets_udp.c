/* SPDX-License-Identifier: MIT */
/* test_sockets_udp.c - datagram sockets of applications: shapes, errors, operations */
#include "tests/unit/open_descriptors.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/sockets_datagrams.h"

#include <sys/resource.h>

static const struct stack_addr other_peer = {{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 8}, 53};

START_TEST(datagrams_pass_with_their_addresses)
{
	struct wgw_dgram h;
	char text[64];
	int fd;

	fake_start();
	fd = udp_open();
	send_to(fd, &app_peer, "question");
	send_to(fd, &other_peer, "");
	fake_run(5);
	ck_assert_uint_eq(fake_n_sent, 2);
	ck_assert(stack_addr_equal(&fake_sent[0].to, &app_peer));
	ck_assert_uint_eq(fake_sent[0].len, 8);
	ck_assert_uint_eq(fake_sent[1].len, 0);
	fake_udp_receive(fake_udp_last, &app_peer, "answer", 6);
	fake_udp_receive(fake_udp_last, &other_peer, "", 0);
	fake_run(1);
	ck_assert(receive(fd, &h, text));
	ck_assert_str_eq(text, "answer");
	ck_assert_uint_eq(h.port, 80);
	ck_assert_uint_eq(h.ttl, 60);
	ck_assert_mem_eq(h.ip, app_peer.ip, 16);
	ck_assert(receive(fd, &h, text));
	ck_assert_str_eq(text, "");
	ck_assert(!receive(fd, &h, text));
	close(fd);
	fake_run(5);
	ck_assert(!fake_udp_last->used);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
	ck_assert_uint_eq(fake_session.refs, 0);
}
END_TEST

START_TEST(plain_write_on_an_unconnected_socket_goes_nowhere)
{
	int fd;

	fake_start();
	fd = udp_open();
	ck_assert_int_eq(send(fd, "no header, though long enough to be taken for one......", 55, 0),
			 55);
	fake_run(5);
	ck_assert_uint_eq(fake_n_sent, 0);
}
END_TEST

static int shutdown_op(int fd, int how)
{
	struct wgw_op op = {
		.code = WGW_OP_SHUTDOWN, .cookie = app_cookie(fd), .u.option.len = sizeof(how)};

	memcpy(op.u.option.value, &how, sizeof(how));
	app_op(&op, -1);
	if (how != SHUT_WR)
		ck_assert_int_eq(shutdown(fd, SHUT_RD), 0);
	return op.err;
}

START_TEST(one_direction_shut_shows_the_close_all_the_same)
{
	for (int how = SHUT_RD; how <= SHUT_WR; how++) {
		int fd;

		fake_start();
		fd = udp_open();
		fake_run(5);
		ck_assert_int_eq(shutdown_op(fd, how), ENOTCONN);
		fake_run(5);
		ck_assert(wgw_sockets_busy(&fake_tunnel));
		ck_assert_int_eq(send(fd, "", 0, MSG_NOSIGNAL), how == SHUT_RD ? 0 : -1);
		close(fd);
		fake_run(5);
		ck_assert(!wgw_sockets_busy(&fake_tunnel));
		ck_assert_uint_eq(fake_session.scans, 0);
	}
}
END_TEST

/* A connected socket, shut both ways */
static int start_shut(void)
{
	int fd;

	fake_start();
	fd = udp_open();
	fake_run(5);
	connected(fd, &app_peer);
	ck_assert_int_eq(shutdown_op(fd, SHUT_RDWR), 0);
	return fd;
}

START_TEST(shut_both_ways_it_lives_until_nobody_holds_it)
{
	int fd = start_shut();

	fake_until(fake_session.scans > 0);
	ck_assert(wgw_sockets_busy(&fake_tunnel)); /* somebody holds it, says the supervisor */
	close(fd);
	fake_session.nobody_holds = true;
	fake_until(!wgw_sockets_busy(&fake_tunnel));
	ck_assert_uint_eq(fake_session.refs, 0);
}
END_TEST

START_TEST(shut_both_ways_it_ends_with_its_session)
{
	int fd = start_shut();

	fake_run(5);
	ck_assert(wgw_sockets_busy(&fake_tunnel));
	wgw_sockets_session_over(&fake_tunnel, &fake_session);
	fake_run(5);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
	ck_assert_uint_eq(fake_session.refs, 0);
	close(fd);
}
END_TEST

START_TEST(empty_datagrams_are_not_an_end)
{
	int fd;

	fake_start();
	fd = udp_open();
	fake_run(5);
	connected(fd, &app_peer);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(send(fd, "", 0, 0), 0);
	ck_assert_int_eq(send(fd, "last", 4, 0), 4);
	close(fd);
	fake_run(20);
	ck_assert_uint_eq(fake_n_sent, 101);
	ck_assert_uint_eq(fake_sent[99].len, 0);
	ck_assert_uint_eq(fake_sent[100].len, 4);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
}
END_TEST

/* There is room for more than one where one is expected: CMSG_SPACE is rounded up. */
START_TEST(descriptors_that_come_along_are_closed)
{
	enum { PASSED = 3 };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(PASSED * sizeof(int))];
	} control = {0};
	struct iovec iov = {"x", 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int passed[PASSED], fd;
	unsigned int before;

	fake_start();
	fd = udp_open();
	fake_run(5);
	connected(fd, &app_peer);
	before = open_descriptors();
	for (int i = 0; i < PASSED; i++)
		passed[i] = fd;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(passed));
	memcpy(CMSG_DATA(c), passed, sizeof(passed));
	ck_assert_int_eq(sendmsg(fd, &msg, MSG_NOSIGNAL), 1);
	fake_until(fake_n_sent == 1);
	ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(icmp_error_marks_a_raw_socket_and_so_error_tells)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	char text[64];
	struct iovec iov = {text, sizeof(text)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	struct wgw_op op = {.code = WGW_OP_GETOPT};
	int fd, err;

	fake_start();
	fd = udp_open();
	fake_run(5);
	connected(fd, &app_peer);
	fake_udp_last->ops->error(fake_udp_last, fake_udp_last->arg, &app_peer,
				  &(struct stack_error){.err = EHOSTUNREACH});
	ck_assert_int_eq(recvmsg(fd, &msg, 0), -1); /* not fatal: not told without IP_RECVERR */
	fake_udp_last->ops->error(fake_udp_last, fake_udp_last->arg, &app_peer,
				  &(struct stack_error){.err = ECONNREFUSED, .fatal = true});
	msg.msg_controllen = sizeof(control.buf);
	ck_assert_int_eq(recvmsg(fd, &msg, 0), 0);
	ck_assert_ptr_nonnull(CMSG_FIRSTHDR(&msg));
	for (int i = 0; i < 2; i++) {
		op.code = WGW_OP_GETOPT;
		op.cookie = app_cookie(fd);
		op.u.option.level = SOL_SOCKET;
		op.u.option.name = SO_ERROR;
		ck_assert_int_eq(app_op(&op, -1), 0);
		memcpy(&err, op.u.option.value, sizeof(err));
		ck_assert_int_eq(err, i == 0 ? ECONNREFUSED : 0); /* told once */
	}
}
END_TEST

START_TEST(headed_message_on_a_raw_socket_goes_to_its_address)
{
	struct wgw_dgram h = {.port = other_peer.port};
	struct iovec iov[2] = {{&h, sizeof(h)}, {"aside", 5}};
	int fd;

	fake_start();
	fd = udp_open();
	fake_run(5);
	connected(fd, &app_peer);
	memcpy(h.ip, other_peer.ip, 16);
	begin_header(&h);
	ck_assert_int_gt(writev(fd, iov, 2), 0);
	/* what only looks like it is payload: the other way's preamble, one bit less */
	memcpy(h.preamble, wgw_session_preambles(NULL)->to_app, sizeof(h.preamble));
	ck_assert_int_gt(writev(fd, iov, 2), 0);
	begin_header(&h);
	h.preamble[15] ^= 0x80;
	ck_assert_int_gt(writev(fd, iov, 2), 0);
	begin_header(&h);
	ck_assert_int_eq(write(fd, &h, sizeof(h) - 1), sizeof(h) - 1);
	fake_run(5);
	ck_assert_uint_eq(fake_n_sent, 4);
	ck_assert(stack_addr_equal(&fake_sent[0].to, &other_peer));
	ck_assert_uint_eq(fake_sent[0].len, 5);
	ck_assert(stack_addr_equal(&fake_sent[1].to, &app_peer));
	ck_assert_uint_eq(fake_sent[1].len, sizeof(h) + 5);
	ck_assert(stack_addr_equal(&fake_sent[2].to, &app_peer));
	ck_assert_uint_eq(fake_sent[2].len, sizeof(h) + 5);
	ck_assert(stack_addr_equal(&fake_sent[3].to, &app_peer));
	ck_assert_uint_eq(fake_sent[3].len, sizeof(h) - 1);
}
END_TEST

START_TEST(plain_write_goes_to_the_peer_with_or_without_raw)
{
	struct wgw_op op;
	int fd, talk;

	fake_start();
	fd = udp_open();
	fake_run(5);
	talk = connect_begin(fd, &app_peer, &op);
	connect_end(talk, 0); /* connected, with headers */
	ck_assert_int_eq(write(fd, "plain", 5), 5);
	fake_run(5);
	ck_assert_uint_eq(fake_n_sent, 1);
	ck_assert(stack_addr_equal(&fake_sent[0].to, &app_peer));
	ck_assert_uint_eq(fake_sent[0].len, 5);
}
END_TEST

START_TEST(payload_that_looks_like_a_header_gets_one)
{
	struct wgw_dgram bait = {.port = 1, .err = ECONNREFUSED}, h;
	char text[64];
	int fd;

	fake_start();
	fd = udp_open();
	fake_run(5);
	connected(fd, &app_peer);
	memcpy(bait.preamble, wgw_session_preambles(NULL)->to_app, sizeof(bait.preamble));
	fake_udp_receive(fake_udp_last, &app_peer, &bait, sizeof(bait));
	fake_udp_receive(fake_udp_last, &app_peer, &bait, WGW_PREAMBLE_BYTES - 1);
	fake_run(1);
	ck_assert(receive(fd, &h, text));
	ck_assert_uint_eq(h.err, 0);
	ck_assert_uint_eq(h.port, app_peer.port);
	ck_assert_mem_eq(text, &bait, sizeof(bait));
	ck_assert_int_eq(read(fd, text, sizeof(text)), WGW_PREAMBLE_BYTES - 1);
}
END_TEST

START_TEST(refused_destination_is_told)
{
	struct wgw_dgram h;
	char text[64];
	int fd;

	fake_start();
	fake_session.route = WGW_ROUTE_REFUSED;
	fd = udp_open();
	send_to(fd, &app_peer, "lost");
	fake_run(5);
	ck_assert_uint_eq(fake_n_sent, 0);
	ck_assert(receive(fd, &h, text));
	ck_assert_uint_eq(h.err, ENETUNREACH);
	ck_assert_mem_eq(h.ip, app_peer.ip, 16);
}
END_TEST

START_TEST(refused_destination_is_allowed_by_a_reload)
{
	struct wgw_dgram h;
	char text[64];
	int fd;

	fake_start();
	fake_session.route = WGW_ROUTE_REFUSED;
	fd = udp_open();
	send_to(fd, &app_peer, "lost");
	fake_until(receive(fd, &h, text));
	ck_assert_uint_eq(h.err, ENETUNREACH);
	fake_session.route = WGW_ROUTE_TUNNEL;
	fake_tunnel.changes++;
	send_to(fd, &app_peer, "sent");
	fake_until(fake_n_sent == 1);
	ck_assert_mem_eq(fake_sent[0].bytes, "sent", 4);
}
END_TEST

START_TEST(two_sockets_of_the_session_meet_on_loopback)
{
	static const struct stack_addr loopback = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1},
						   5353};
	struct wgw_op op = {.code = WGW_OP_BIND, .kind = WGW_KIND_UDP};
	struct wgw_dgram h;
	struct stack_addr back;
	char text[64];
	int server, client;

	fake_start();
	server = udp_open();
	fake_run(5);
	op.cookie = app_cookie(server);
	memcpy(op.u.bind.addr.ip, stack_v4_prefix, sizeof(stack_v4_prefix));
	op.u.bind.addr.port = loopback.port;
	ck_assert_int_eq(app_op(&op, -1), 0);
	ck_assert_uint_eq(op.u.name.local.port, loopback.port);
	client = udp_open();
	send_to(client, &loopback, "ping");
	fake_run(5);
	ck_assert(receive(server, &h, text));
	ck_assert_str_eq(text, "ping");
	memcpy(back.ip, h.ip, 16);
	back.port = h.port;
	ck_assert(stack_addr_is_loopback(&back));
	send_to(server, &back, "pong");
	fake_run(5);
	ck_assert(receive(client, &h, text));
	ck_assert_str_eq(text, "pong");
	ck_assert_uint_eq(h.port, loopback.port);
	ck_assert_uint_eq(fake_n_sent, 0);
}
END_TEST

START_TEST(loopback_and_wildcard_meet_with_the_ports_they_are_bound_to)
{
	const struct stack_addr any = stack_addr_wildcard(true);
	struct stack_addr a = loopback4, b = loopback4;
	struct wgw_dgram h;
	char text[64];
	int home, wide;

	fake_start();
	home = udp_open();
	wide = udp_open();
	a.port = bound_to(home, &loopback4);
	b.port = bound_to(wide, &any);
	send_to(home, &b, "there");
	fake_until(receive(wide, &h, text));
	ck_assert_str_eq(text, "there");
	ck_assert_mem_eq(h.ip, a.ip, sizeof(h.ip));
	ck_assert_uint_eq(h.port, a.port);
	send_to(wide, &a, "back");
	fake_until(receive(home, &h, text));
	ck_assert_str_eq(text, "back");
	ck_assert_mem_eq(h.ip, b.ip, sizeof(h.ip));
	ck_assert_uint_eq(h.port, b.port);
	ck_assert_uint_eq(fake_n_sent, 0);
}
END_TEST

/* As Linux, which enters each at the head. 0: wildcard, 1: loopback */
START_TEST(of_sockets_that_share_a_port_the_newest_receives)
{
	struct stack_addr local = _i ? loopback4 : stack_addr_wildcard(true), to = loopback4;
	struct wgw_dgram h;
	char text[64];
	int fd[3], sender;

	fake_start();
	for (int i = 0; i < 3; i++) {
		fd[i] = udp_open();
		local.port = to.port = bound_with(fd[i], &local, WGW_BIND_REUSEADDR);
	}
	sender = udp_open();
	for (int newest = 2; newest >= 0; newest--) {
		send_to(sender, &to, "to one");
		fake_run(5);
		for (int i = 0; i <= newest; i++)
			ck_assert_int_eq(receive(fd[i], &h, text), i == newest);
		close(fd[newest]);
		fake_run(5);
	}
	close(sender);
}
END_TEST

/* ---- operations that are not about datagrams alone ---- */

START_TEST(options_are_kept_by_cookie_and_bounded)
{
	struct wgw_op op = {0};
	int fd = app_stream(), value = 0;

	fake_start();
	for (int i = 0; i < WGW_KEPT_OPTIONS_MAX + 1; i++) {
		op = (struct wgw_op){.code = WGW_OP_SETOPT, .cookie = app_cookie(fd)};
		op.u.option.level = SOL_SOCKET;
		op.u.option.name = 1000 + i;
		op.u.option.len = sizeof(i);
		memcpy(op.u.option.value, &i, sizeof(i));
		ck_assert_int_eq(app_op(&op, -1), i < WGW_KEPT_OPTIONS_MAX ? 0 : ENOBUFS);
	}
	op = (struct wgw_op){.code = WGW_OP_GETOPT, .cookie = app_cookie(fd)};
	op.u.option.level = SOL_SOCKET;
	op.u.option.name = 1007;
	ck_assert_int_eq(app_op(&op, -1), 0);
	memcpy(&value, op.u.option.value, sizeof(value));
	ck_assert_int_eq(value, 7);
	op = (struct wgw_op){.code = WGW_OP_GETOPT, .cookie = app_cookie(fd) + 12345};
	ck_assert_int_eq(app_op(&op, -1), ENOPROTOOPT);
}
END_TEST

START_TEST(what_is_kept_goes_with_its_socket)
{
	struct wgw_op op = {.code = WGW_OP_SETOPT};
	uint64_t inode;
	int fd = app_stream();

	fake_start();
	ck_assert_int_eq(wgw_fd_identity(fd, &op.cookie, &inode), 0);
	op.inode = inode;
	op.u.option.len = 4;
	ck_assert_int_eq(app_op(&op, -1), 0);
	fake_run(2500);
	ck_assert_uint_eq(fake_session.refs, 1); /* held */
	fake_session.nobody_holds = true;
	fake_until(fake_session.refs == 0);
}
END_TEST

START_TEST(session_channel_is_handed_over_unread)
{
	struct wgw_op op = {.magic = WGW_WIRE_MAGIC, .version = WGW_WIRE_VERSION, .code = 64};
	char peek[8];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	fake_start();
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&fake_sequenced, sizeof(sa_family_t) + 6),
			 0);
	ck_assert_int_eq(send(fd, &op, 40, 0), 40);
	fake_run(5);
	ck_assert_int_ge(fake_adopted, 0);
	ck_assert_int_eq(recv(fake_adopted, peek, sizeof(peek), MSG_DONTWAIT), sizeof(peek));
	ck_assert_mem_eq(peek, &op, sizeof(peek));
	ck_assert_uint_eq(fake_tunnel.sockets->unknown_own, 0);
}
END_TEST

START_TEST(nonsense_is_dropped)
{
	static const size_t sizes[] = {
		0, 1, 7, 8, sizeof(struct wgw_op) - 1, sizeof(struct wgw_op), 4000};
	uint8_t bytes[4000];
	char answer;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	fake_start();
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&fake_sequenced, sizeof(sa_family_t) + 6),
			 0);
	memset(bytes, _i % 2 ? 0xff : 0, sizeof(bytes));
	ck_assert_int_ge(send(fd, bytes, sizes[_i / 2], 0), 0);
	fake_run(5);
	ck_assert_int_le(recv(fd, &answer, 1, MSG_DONTWAIT), 0);
	ck_assert_uint_eq(fake_tunnel.sockets->unknown_own, 0);
	ck_assert_uint_eq(fake_session.refs, 0);
}
END_TEST

START_TEST(sockets_without_a_descriptor_are_refused_and_conversations_go_on)
{
	struct rlimit limit, full;
	struct wgw_op op = {.code = WGW_OP_BIND, .kind = WGW_KIND_UDP};
	struct wgw_dgram h;
	char text[64];
	int fd[2], talk;

	fake_start();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int i = 0; i < 2; i++)
		fd[i] = udp_open();
	send_to(fd[0], &app_peer, "early");
	op.cookie = app_cookie(fd[1]);
	talk = app_op_begin(&op, -1);
	full = limit;
	full.rlim_cur = (rlim_t)dup(talk); /* all below are in use */
	close((int)full.rlim_cur);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &full), 0);
	fake_run(400);
	for (int i = 0; i < 2; i++) {
		ck_assert(receive(fd[i], &h, text));
		ck_assert_uint_eq(h.err, ENOBUFS);
		ck_assert_int_eq(recv(fd[i], text, sizeof(text), 0), 0);
	}
	ck_assert_int_eq(recv(talk, &op, sizeof(op), MSG_DONTWAIT), sizeof(op));
	ck_assert_int_eq(op.err, ENOTSOCK);
	ck_assert_uint_eq(fake_session.said, 1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sockets_udp");
	TCase *t = tcase_create("udp");

	tcase_set_timeout(t, 180);
	tcase_add_test(t, datagrams_pass_with_their_addresses);
	tcase_add_test(t, plain_write_on_an_unconnected_socket_goes_nowhere);
	tcase_add_test(t, one_direction_shut_shows_the_close_all_the_same);
	tcase_add_test(t, shut_both_ways_it_lives_until_nobody_holds_it);
	tcase_add_test(t, shut_both_ways_it_ends_with_its_session);
	tcase_add_test(t, empty_datagrams_are_not_an_end);
	tcase_add_test(t, descriptors_that_come_along_are_closed);
	tcase_add_test(t, icmp_error_marks_a_raw_socket_and_so_error_tells);
	tcase_add_test(t, headed_message_on_a_raw_socket_goes_to_its_address);
	tcase_add_test(t, plain_write_goes_to_the_peer_with_or_without_raw);
	tcase_add_test(t, payload_that_looks_like_a_header_gets_one);
	tcase_add_test(t, refused_destination_is_told);
	tcase_add_test(t, refused_destination_is_allowed_by_a_reload);
	tcase_add_test(t, two_sockets_of_the_session_meet_on_loopback);
	tcase_add_test(t, loopback_and_wildcard_meet_with_the_ports_they_are_bound_to);
	tcase_add_loop_test(t, of_sockets_that_share_a_port_the_newest_receives, 0, 2);
	tcase_add_test(t, options_are_kept_by_cookie_and_bounded);
	tcase_add_test(t, what_is_kept_goes_with_its_socket);
	tcase_add_test(t, session_channel_is_handed_over_unread);
	tcase_add_loop_test(t, nonsense_is_dropped, 0, 14);
	tcase_add_test(t, sockets_without_a_descriptor_are_refused_and_conversations_go_on);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
