/* SPDX-License-Identifier: MIT */
/* test_sockets_order.c - datagram sockets of applications: order, across connect(2), and what gets lost */
#include "tests/unit/run_suite.h"
#include "tests/unit/sockets_datagrams.h"

#include "src/tunnel/udp.h"

static const struct stack_addr other_peer = {{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 8}, 53};

static void requeue(int talk, const struct wgw_dgram *h, const char *text)
{
	struct wgw_op op = {.magic = WGW_WIRE_MAGIC, .code = WGW_OP_REQUEUE};
	struct iovec iov[3] = {
		{&op, sizeof(op)}, {(void *)h, sizeof(*h)}, {(void *)text, strlen(text)}};

	ck_assert_int_gt(writev(talk, iov, 3), 0);
}

START_TEST(what_was_written_before_connect_goes_to_where_it_was_addressed)
{
	struct wgw_op op;
	int fd, talk;

	fake_start();
	fd = udp_open();
	fake_run(5);
	send_to(fd, &other_peer, "before");
	talk = connect_begin(fd, &app_peer, &op); /* both are seen in one turn */
	ck_assert_int_eq(op.err, 0);
	ck_assert_mem_eq(op.u.name.remote.ip, app_peer.ip, 16);
	ck_assert_mem_eq(op.u.name.local.ip, fake_address.ip, 16);
	ck_assert_uint_ne(op.u.name.local.port, 0);
	connect_end(talk, WGW_BIND_RAW);
	ck_assert_int_eq(send(fd, "after", 5, 0), 5);
	fake_run(5);
	ck_assert_uint_eq(fake_n_sent, 2);
	ck_assert(stack_addr_equal(&fake_sent[0].to, &other_peer));
	ck_assert(stack_addr_equal(&fake_sent[1].to, &app_peer));
	ck_assert_mem_eq(fake_sent[1].bytes, "after", 5);
}
END_TEST

/* The tunnel process may see the first datagram of the new mode before WGW_OP_GO. */
START_TEST(write_right_after_connect_has_the_new_shape)
{
	struct wgw_op op,
		go = {.magic = WGW_WIRE_MAGIC, .code = WGW_OP_GO, .u.open.flags = WGW_BIND_RAW};
	int fd, talk;

	fake_start();
	fd = udp_open();
	fake_run(5);
	talk = connect_begin(fd, &app_peer, &op);
	if (_i == 0)
		ck_assert_int_eq(send(talk, &go, sizeof(go), 0), sizeof(go));
	ck_assert_int_eq(send(fd, "first", 5, 0), 5);
	if (_i == 1) {
		fake_run(5);
		ck_assert_int_eq(send(talk, &go, sizeof(go), 0), sizeof(go));
	}
	close(talk);
	fake_run(5);
	ck_assert_uint_eq(fake_n_sent, 1);
	ck_assert_uint_eq(fake_sent[0].len, 5);
	close(fd);
	fake_run(5);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
}
END_TEST

/* 0: by policy, 1: by the kernel, which wants SO_BROADCAST for it */
START_TEST(failed_connect_leaves_the_peer_as_it_is)
{
	static const struct stack_addr broadcast = {
		{[10] = 0xff, [11] = 0xff, [12] = 127, [13] = 255, [14] = 255, [15] = 255}, 9};
	struct wgw_op op;
	int fd;

	fake_start();
	fd = udp_open();
	fake_run(5);
	connected(fd, &app_peer);
	fake_session.route = _i ? WGW_ROUTE_TUNNEL : WGW_ROUTE_REFUSED;
	close(connect_begin(fd, _i ? &broadcast : &other_peer, &op));
	ck_assert_int_ne(op.err, 0);
	fake_session.route = WGW_ROUTE_TUNNEL;
	ck_assert_int_eq(write(fd, "on", 2), 2);
	fake_run(5);
	ck_assert_uint_eq(fake_n_sent, 1);
	ck_assert_mem_eq(fake_sent[0].to.ip, app_peer.ip, 16);
	op = (struct wgw_op){.code = WGW_OP_NAME, .cookie = app_cookie(fd)};
	ck_assert_int_eq(app_op(&op, -1), 0);
	ck_assert_uint_eq(op.u.name.remote.port, app_peer.port);
}
END_TEST

START_TEST(received_order_is_kept_across_connect)
{
	struct wgw_dgram h, first = {.port = 80};
	char text[64];
	struct wgw_op op;
	int fd, talk;

	fake_start();
	fd = udp_open();
	send_to(fd, &app_peer, "question");
	fake_run(5);
	fake_udp_receive(fake_udp_last, &app_peer, "one", 3);
	talk = connect_begin(fd, &app_peer, &op);
	fake_udp_receive(fake_udp_last, &app_peer, "two", 3);
	ck_assert(receive(fd, &h, text));
	ck_assert_str_eq(text, "one");
	ck_assert(!receive(fd, &h, text)); /* nothing is sent meanwhile */
	memcpy(first.ip, app_peer.ip, 16);
	requeue(talk, &first, "one");
	connect_end(talk, WGW_BIND_RAW);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 3);
	ck_assert_mem_eq(text, "one", 3);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 3);
	ck_assert_mem_eq(text, "two", 3);
}
END_TEST

/* A socket that is RAW without a peer, to which @app_peer and @other_peer have sent in turns; the first
 * @read of the @n are read. */
static int bare_socket(int n, int n_read)
{
	int fd = udp_open_with(WGW_BIND_RAW);
	char text[2] = "a", got[8];

	send_to(fd, &app_peer, "question");
	fake_run(5);
	for (int i = 0; i < n; i++, text[0]++)
		fake_udp_receive(fake_udp_last, i % 2 ? &other_peer : &app_peer, text, 1);
	fake_run(5);
	for (int i = 0; i < n_read; i++) {
		ck_assert_int_eq(recv(fd, got, sizeof(got), 0), 1);
		ck_assert_int_eq(got[0], 'a' + i);
	}
	return fd;
}

/* Gives back what is unread, as bare as it came; how many that were. */
static int requeue_bare(int fd, int talk)
{
	static const struct wgw_dgram nameless;
	static char text[4096];
	int n = 0;

	for (ssize_t len; (len = recv(fd, text, sizeof(text) - 1, 0)) >= 0; n++) {
		text[len] = '\0';
		requeue(talk, &nameless, text);
		if (n % 8 == 7) /* the conversation holds only so many */
			fake_run(1);
	}
	return n;
}

static void expect_from(int fd, const struct stack_addr *sender, const char *expected)
{
	struct wgw_dgram h;
	char text[64];

	ck_assert(receive(fd, &h, text));
	ck_assert_str_eq(text, expected);
	ck_assert_mem_eq(h.ip, sender->ip, 16);
	ck_assert_uint_eq(h.port, sender->port);
}

START_TEST(who_sent_bare_payload_is_known_when_it_is_asked)
{
	struct wgw_dgram h;
	char text[64];
	struct wgw_op op;
	int fd, talk;

	fake_start();
	fd = bare_socket(5, 2);
	op = (struct wgw_op){.code = WGW_OP_NAME, .cookie = app_cookie(fd)};
	ck_assert_int_eq(app_op(&op, -1), 0);
	talk = connect_begin(fd, NULL, &op);
	ck_assert_int_eq(op.err, 0);
	ck_assert_uint_ne(op.u.name.local.port, 0); /* it keeps its port */
	fake_udp_receive(fake_udp_last, &app_peer, "later", 5);
	ck_assert_int_eq(requeue_bare(fd, talk), 3);
	connect_end(talk, 0);
	expect_from(fd, &app_peer, "c");
	expect_from(fd, &other_peer, "d");
	expect_from(fd, &app_peer, "e");
	expect_from(fd, &app_peer, "later");
	ck_assert(!receive(fd, &h, text));
}
END_TEST

/* Some have no room at the application, some of what it gives back has none here. */
START_TEST(what_is_dropped_changes_nobodys_name)
{
	enum { SENT = 1000, BYTES = 2000, FIRST_PORT = 1000 };
	struct stack_addr from = app_peer;
	char big[BYTES], text[64];
	struct wgw_dgram h;
	struct wgw_op op;
	int fd, talk, n;

	fake_start();
	fd = bare_socket(0, 0);
	memset(big, 'x', sizeof(big));
	for (int i = 0; i < SENT; i++) {
		from.port = (uint16_t)(FIRST_PORT + i);
		fake_udp_receive(fake_udp_last, &from, big, sizeof(big));
	}
	fake_run(1);
	talk = connect_begin(fd, NULL, &op);
	n = requeue_bare(fd, talk);
	ck_assert_int_gt(n, UDP_HELD_MAX_BYTES / BYTES);
	ck_assert_int_lt(n, SENT);
	connect_end(talk, 0);
	for (n = 0; receive(fd, &h, text); n++)
		ck_assert_int_eq(h.port, FIRST_PORT + n);
	ck_assert_int_gt(n, 100);
}
END_TEST

/* The conversation ends without WGW_OP_GO: payload stays bare, and is known all the same. */
START_TEST(who_sent_is_known_after_a_question_that_was_broken_off)
{
	struct wgw_op op;
	int fd, talk;

	fake_start();
	fd = bare_socket(3, 1);
	talk = connect_begin(fd, NULL, &op);
	ck_assert_int_eq(requeue_bare(fd, talk), 2);
	close(talk);
	fake_run(5);
	talk = connect_begin(fd, NULL, &op);
	ck_assert_int_eq(requeue_bare(fd, talk), 2);
	connect_end(talk, 0);
	expect_from(fd, &other_peer, "b");
	expect_from(fd, &app_peer, "c");
}
END_TEST

/* What is unread when it connects: the peer's stays, what others have sent is dropped. */
START_TEST(bare_payload_of_the_new_peer_stays)
{
	struct wgw_op op;
	char text[8];
	int fd, talk;

	fake_start();
	fd = bare_socket(4, 0);
	talk = connect_begin(fd, &other_peer, &op);
	ck_assert_int_eq(requeue_bare(fd, talk), 4);
	connect_end(talk, WGW_BIND_RAW);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 1);
	ck_assert_int_eq(text[0], 'b');
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 1);
	ck_assert_int_eq(text[0], 'd');
	ck_assert_int_lt(recv(fd, text, sizeof(text), 0), 0);
}
END_TEST

/* A program that claims to have read less than it was sent learns no names that are not there. */
START_TEST(more_is_given_back_than_was_sent)
{
	static const struct wgw_dgram nameless;
	struct wgw_dgram h;
	char text[64];
	struct wgw_op op;
	int fd, talk;

	fake_start();
	fd = bare_socket(1, 0);
	talk = connect_begin(fd, NULL, &op);
	requeue(talk, &nameless, "made up");
	ck_assert_int_eq(requeue_bare(fd, talk), 1);
	connect_end(talk, 0);
	expect_from(fd, &app_peer, "a");
	ck_assert(!receive(fd, &h, text));
}
END_TEST

/* A socket whose question has left, and the tunnel's side of it. */
static int udp_asked(struct wgw_sock **sock)
{
	int fd = udp_open();

	send_to(fd, &app_peer, "question");
	fake_run(5);
	*sock = wgw_sock_find(fake_tunnel.sockets, &fake_session, app_cookie(fd));
	ck_assert_ptr_nonnull(*sock);
	return fd;
}

/* What has come is there for the program to take back when it is told that it is connected. */
START_TEST(nothing_is_under_way_when_connect_is_answered)
{
	struct wgw_sock *sock;
	struct wgw_dgram h;
	char text[64];
	int fd;

	fake_start();
	fd = udp_asked(&sock);
	fake_udp_receive(fake_udp_last, &app_peer, "answer", 6);
	ck_assert_int_eq(wgw_udp_connect(sock, &app_peer), 0);
	ck_assert(receive(fd, &h, text));
	ck_assert_str_eq(text, "answer");
}
END_TEST

/* connect(2) is over when the conversation ends. */
START_TEST(what_was_put_back_is_there_when_connect_is_over)
{
	struct wgw_dgram first = {.port = 80};
	struct wgw_sock *sock;
	struct wgw_op op;
	char text[64];
	int fd, talk;

	fake_start();
	fd = udp_asked(&sock);
	talk = connect_begin(fd, &app_peer, &op);
	memcpy(first.ip, app_peer.ip, 16);
	requeue(talk, &first, "one");
	fake_run(5);
	fake_udp_receive(fake_udp_last, &app_peer, "two", 3);
	wgw_udp_go(sock, 1);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 3);
	ck_assert_mem_eq(text, "one", 3);
	ck_assert_int_eq(recv(fd, text, sizeof(text), 0), 3);
	ck_assert_mem_eq(text, "two", 3);
	close(talk);
}
END_TEST

/* Ends the loop in its second turn from now. */
static int turns;

static bool end_second_turn(struct wgw_before *b)
{
	(void)b;
	if (++turns == 2)
		wgw_loop_stop(fake_tunnel.loop);
	return false;
}

START_TEST(a_program_that_puts_back_without_end_does_not_hold_the_loop)
{
	enum { MANY = 2 * UDP_PER_TURN };
	static const int room = 1024 * 1024;
	static struct wgw_before before = {.run = end_second_turn};
	struct wgw_op op, go = {.magic = WGW_WIRE_MAGIC, .code = WGW_OP_GO};
	struct wgw_dgram h, first = {.port = 80};
	char text[64];
	int fd, talk, n = 0;

	fake_start();
	fd = udp_open();
	talk = connect_begin(fd, &app_peer, &op);
	setsockopt(talk, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	memcpy(first.ip, app_peer.ip, 16);
	for (int i = 0; i < MANY; i++)
		requeue(talk, &first, "again");
	ck_assert_int_eq(send(talk, &go, sizeof(go), 0), sizeof(go));
	wgw_loop_before(fake_tunnel.loop, &before);
	wgw_loop_run(fake_tunnel.loop); /* one hears of it, two works on it */
	ck_assert(!receive(fd, &h, text));
	fake_run(5);
	while (receive(fd, &h, text))
		n++;
	ck_assert_int_eq(n, MANY);
	close(talk);
}
END_TEST

static void come(struct flow_udp *flow, int number, size_t len)
{
	static uint8_t payload[UDP_MAX_BYTES];

	payload[0] = (uint8_t)number;
	fake_udp_receive(flow, &app_peer, payload, len);
}

/* The number of the next datagram, which has @len bytes, or any with 0; -1: there is none. */
static int next_number(int fd, size_t len)
{
	static uint8_t message[sizeof(struct wgw_dgram) + UDP_MAX_BYTES];
	ssize_t r = recv(fd, message, sizeof(message), MSG_DONTWAIT);

	if (r < 0)
		return -1;
	if (len)
		ck_assert_int_eq(r, (ssize_t)(sizeof(struct wgw_dgram) + len));
	return message[sizeof(struct wgw_dgram)];
}

/* 0: one socket after the other, more than one system call takes; 1: large ones, fewer of which have
 * room in it; 2: in turns */
START_TEST(many_datagrams_of_a_turn_arrive_in_their_order)
{
	static const size_t lens[] = {100, 20000, 100};
	const int many = _i == 1 ? 50 : 150;
	struct flow_udp *flow[2];
	int fd[2];

	fake_start();
	for (int i = 0; i < 2; i++) {
		fd[i] = udp_open();
		send_to(fd[i], &app_peer, "");
		fake_run(5);
		flow[i] = fake_udp_last;
	}
	for (int i = 0; i < 2 * many; i++)
		come(flow[_i == 2 ? i % 2 : i / many], i, lens[_i] - (size_t)i % 7);
	fake_run(1);
	for (int i = 0; i < 2 * many; i++) {
		const int from = fd[_i == 2 ? i % 2 : i / many];

		ck_assert_int_eq(next_number(from, lens[_i] - (size_t)i % 7), (uint8_t)i);
	}
	ck_assert_int_eq(next_number(fd[0], 0), -1);
	ck_assert_int_eq(next_number(fd[1], 0), -1);
}
END_TEST

START_TEST(who_does_not_read_loses_what_has_no_room_and_nothing_else)
{
	enum { TOO_MANY = 4000, BYTES = 2000, A_NUMBER = 77 };
	int fd, n = 0;

	fake_start();
	fd = udp_open();
	send_to(fd, &app_peer, "");
	fake_run(5);
	for (int i = 0; i < TOO_MANY; i++)
		come(fake_udp_last, i, BYTES);
	fake_run(1);
	while (next_number(fd, BYTES) == (uint8_t)n)
		n++;
	ck_assert_int_eq(next_number(fd, 0), -1);
	ck_assert_int_gt(n, 200);
	ck_assert_int_lt(n, TOO_MANY);
	come(fake_udp_last, A_NUMBER, BYTES);
	fake_run(1);
	ck_assert_int_eq(next_number(fd, BYTES), A_NUMBER);
}
END_TEST

/* The kernel tells first that the other end went without reading: ECONNRESET. */
START_TEST(what_was_sent_before_a_close_that_leaves_something_unread_goes_on)
{
	int fd;

	fake_start();
	fd = udp_open();
	send_to(fd, &app_peer, "first");
	fake_run(5);
	come(fake_udp_last, 1, 1);
	fake_run(1);
	send_to(fd, &app_peer, "last");
	close(fd);
	fake_run(5);
	ck_assert_uint_eq(fake_n_sent, 2);
	ck_assert(!fake_udp_last->used);
}
END_TEST

START_TEST(broken_off_connect_does_not_silence_the_socket)
{
	struct wgw_dgram h;
	char text[64];
	struct wgw_op op;
	int fd, talk;

	fake_start();
	fd = udp_open();
	fake_run(5);
	talk = connect_begin(fd, &app_peer, &op);
	fake_udp_receive(fake_udp_last, &app_peer, "kept", 4);
	close(talk);
	fake_run(5);
	ck_assert(receive(fd, &h, text));
	ck_assert_str_eq(text, "kept");
}
END_TEST

START_TEST(held_datagrams_are_bounded)
{
	static uint8_t big[1024];
	char text[sizeof(struct wgw_dgram) + sizeof(big)];
	struct wgw_op op;
	unsigned int n = 0;
	int fd, talk;

	fake_start();
	fd = udp_open();
	fake_run(5);
	talk = connect_begin(fd, &app_peer, &op);
	for (int i = 0; i < 2000; i++)
		fake_udp_receive(fake_udp_last, &app_peer, big, sizeof(big));
	connect_end(talk, WGW_BIND_RAW);
	while (recv(fd, text, sizeof(text), 0) > 0)
		n++;
	ck_assert_uint_gt(n, 50);
	ck_assert_uint_le(n, 256);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sockets_order");
	TCase *t = tcase_create("udp");

	tcase_set_timeout(t, 180);
	tcase_add_test(t, what_was_written_before_connect_goes_to_where_it_was_addressed);
	tcase_add_loop_test(t, write_right_after_connect_has_the_new_shape, 0, 2);
	tcase_add_loop_test(t, failed_connect_leaves_the_peer_as_it_is, 0, 2);
	tcase_add_test(t, received_order_is_kept_across_connect);
	tcase_add_test(t, nothing_is_under_way_when_connect_is_answered);
	tcase_add_test(t, what_was_put_back_is_there_when_connect_is_over);
	tcase_add_test(t, a_program_that_puts_back_without_end_does_not_hold_the_loop);
	tcase_add_loop_test(t, many_datagrams_of_a_turn_arrive_in_their_order, 0, 3);
	tcase_add_test(t, who_does_not_read_loses_what_has_no_room_and_nothing_else);
	tcase_add_test(t, what_was_sent_before_a_close_that_leaves_something_unread_goes_on);
	tcase_add_test(t, broken_off_connect_does_not_silence_the_socket);
	tcase_add_test(t, held_datagrams_are_bounded);
	tcase_add_test(t, who_sent_bare_payload_is_known_when_it_is_asked);
	tcase_add_test(t, what_is_dropped_changes_nobodys_name);
	tcase_add_test(t, who_sent_is_known_after_a_question_that_was_broken_off);
	tcase_add_test(t, bare_payload_of_the_new_peer_stays);
	tcase_add_test(t, more_is_given_back_than_was_sent);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
