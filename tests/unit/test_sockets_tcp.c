/* SPDX-License-Identifier: MIT */
/* test_sockets_tcp.c - TCP sockets of applications: connect, keeper, FIN, RST, back pressure */
#include "src/tunnel/tcp.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/sockets_fake.h"

#include <signal.h>
#include <sys/wait.h>

enum { ALL = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };

static int watch(int fd)
{
	struct epoll_event ev = {.events = ALL};
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ck_assert_int_ge(ep, 0);
	ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
	return ep;
}

/* The events since the last call, 0: none. */
static uint32_t events(int ep)
{
	struct epoll_event ev;

	return epoll_wait(ep, &ev, 1, 0) == 1 ? ev.events : 0;
}

/* ---- outcome ---- */

START_TEST(success_is_one_out_edge)
{
	struct wgw_label label;
	int fd = app_stream(), ep = watch(fd);

	fake_start();
	ck_assert_uint_eq(events(ep), EPOLLOUT | EPOLLHUP);
	app_connect_as(fd, fake_token, &app_peer, true);
	events(ep); /* between connect and the record */
	fake_run(10);
	ck_assert_uint_eq(events(ep), 0);
	ck_assert(!app_label(fd, &label));
	fake_last->ops->connected(fake_last, fake_last->arg);
	fake_run(10);
	ck_assert_uint_eq(events(ep), EPOLLOUT);
	fake_run(20);
	ck_assert_uint_eq(events(ep), 0);
	ck_assert(app_label(fd, &label));
	ck_assert_int_eq(label.outcome, WGW_OUTCOME_CONNECTED);
	ck_assert_uint_eq(label.local_port, 40000);
	ck_assert_uint_eq(label.remote_port, 80);
	ck_assert_mem_eq(label.remote_ip, app_peer.ip, 16);
}
END_TEST

START_TEST(the_stack_is_told_which_process_connects)
{
	fake_start();
	app_connecting();
	ck_assert_uint_eq(fake_last->owner, (uint32_t)getpid());
}
END_TEST

START_TEST(failure_is_one_event_with_its_errno_in_the_label)
{
	struct wgw_label label;
	int fd, ep;

	fake_start();
	fd = app_connecting();
	ep = watch(fd);
	ck_assert_uint_eq(events(ep), 0);
	fake_end(fake_last, ECONNREFUSED);
	fake_run(10);
	ck_assert_uint_eq(events(ep), EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP);
	ck_assert_uint_eq(events(ep), 0);
	ck_assert(app_label(fd, &label));
	ck_assert_int_eq(label.outcome, WGW_OUTCOME_FAILED);
	ck_assert_int_eq(label.err, ECONNREFUSED);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
	ck_assert_uint_eq(fake_session.refs, 0);
}
END_TEST

START_TEST(refused_route_is_enetunreach)
{
	struct wgw_label label;
	int fd;

	fake_start();
	fake_session.route = WGW_ROUTE_REFUSED;
	fake_last = NULL;
	fd = app_connecting();
	ck_assert_ptr_null(fake_last);
	ck_assert(app_label(fd, &label));
	ck_assert_int_eq(label.err, ENETUNREACH);
}
END_TEST

START_TEST(outcome_waits_until_the_record_is_whole)
{
	struct wgw_label label;
	int fd = app_stream(), ep = watch(fd);

	fake_start();
	app_connect_as(fd, fake_token, &app_peer, false);
	events(ep);
	fake_run(5);
	fake_last->ops->connected(fake_last, fake_last->arg);
	fake_run(20);
	ck_assert(!app_label(fd, &label));
	ck_assert_uint_eq(events(ep), 0);
	app_tag(fd, WGW_TAG_FILLED);
	fake_until(app_label(fd, &label));
	fake_run(5);
	ck_assert_uint_eq(events(ep), EPOLLOUT);
}
END_TEST

START_TEST(unknown_token_is_dropped)
{
	uint8_t other[WGW_TOKEN_BYTES] = {1};
	struct wgw_label label;
	int fd = app_stream();
	char byte;

	fake_start();
	fake_last = NULL;
	app_connect_as(fd, other, &app_peer, true);
	fake_run(10);
	ck_assert_ptr_null(fake_last);
	ck_assert(!app_label(fd, &label));
	ck_assert_int_eq(recv(fd, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	ck_assert_uint_eq(fake_tunnel.sockets->unknown_own, 0);
}
END_TEST

START_TEST(silent_connection_is_dropped_after_a_second)
{
	int fd = app_stream();
	char byte;

	fake_start();
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&fake_stream, sizeof(sa_family_t) + 6), 0);
	fake_run(50);
	ck_assert_uint_eq(fake_tunnel.sockets->unknown_own, 1);
	fake_until(fake_tunnel.sockets->unknown_own == 0);
	ck_assert_int_eq(recv(fd, &byte, 1, 0), 0);
}
END_TEST

START_TEST(cookie_of_another_socket_is_refused)
{
	int fd = app_stream(), other = app_stream();
	struct wgw_connect record = {.magic = WGW_WIRE_MAGIC, .version = WGW_WIRE_VERSION};

	fake_start();
	fake_last = NULL;
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&fake_stream, sizeof(sa_family_t) + 6), 0);
	app_send_fd(fd, WGW_FD_BYTE, fd);
	memcpy(record.token, fake_token, sizeof(record.token));
	record.cookie = app_cookie(other);
	ck_assert_int_eq(send(fd, &record, sizeof(record), 0), sizeof(record));
	fake_run(10);
	ck_assert_ptr_null(fake_last);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
}
END_TEST

START_TEST(session_is_told_of_a_program_with_another_versions_shared_object)
{
	struct wgw_connect record = {.magic = WGW_WIRE_MAGIC, .version = WGW_WIRE_VERSION + 1};
	struct wgw_op op = {.magic = WGW_WIRE_MAGIC, .version = WGW_WIRE_VERSION + 1};
	int fd = app_stream(), talk = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	fake_start();
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&fake_stream, sizeof(sa_family_t) + 6), 0);
	app_send_fd(fd, WGW_FD_BYTE, fd);
	memcpy(record.token, fake_token, sizeof(record.token));
	ck_assert_int_eq(send(fd, &record, sizeof(record), 0), sizeof(record));
	fake_until(fake_session.said == 1);
	op.code = WGW_OP_BIND;
	memcpy(op.token, fake_token, sizeof(op.token));
	ck_assert_int_eq(connect(talk, (struct sockaddr *)&fake_sequenced, sizeof(sa_family_t) + 6),
			 0);
	/* what comes behind the token is nobody's business */
	ck_assert_int_eq(send(talk, &op, offsetof(struct wgw_op, u), MSG_NOSIGNAL),
			 offsetof(struct wgw_op, u));
	fake_until(fake_session.said == 2);
	close(fd), close(talk);
}
END_TEST

START_TEST(abandoned_connect_is_aborted_after_two_misses)
{
	struct flow *f;
	int fd;

	fake_start();
	fd = app_connecting();
	f = fake_last;
	close(fd);
	fake_run(900);
	ck_assert(!f->aborted);
	fake_until(fake_session.scans > 1);
	ck_assert(!f->aborted); /* somebody holds it, says the supervisor */
	fake_session.nobody_holds = true;
	fake_session.scans = 0;
	fake_until(f->aborted);
	ck_assert_uint_eq(fake_session.scans, 2);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
	ck_assert_uint_eq(fake_session.refs, 0);
}
END_TEST

/* ---- data, and the keeper ---- */

/* What the tunnel process has not read is only seen from inside: its end's FIONREAD. */
static int unread(void)
{
	struct wgw_link *l = fake_tunnel.sockets->conns.next;
	int n = 0;

	ck_assert_ptr_ne(l, &fake_tunnel.sockets->conns);
	ck_assert_int_eq(ioctl(wgw_container(l, struct wgw_conn, link)->app.watch.fd, FIONREAD, &n),
			 0);
	return n;
}

START_TEST(data_passes_whole_and_a_byte_is_kept)
{
	static uint8_t sent[60000], got[60000];
	static const size_t sizes[] = {1, 1, 2, 3, 100, 4096, 50000, 1};
	struct flow *f;
	size_t total = 0;
	int fd;

	fake_start();
	randombytes_buf(sent, sizeof(sent));
	fd = app_connected(&f);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ck_assert_int_eq(send(fd, sent + total, sizes[i], MSG_NOSIGNAL), (ssize_t)sizes[i]);
		total += sizes[i];
		fake_run(2);
		ck_assert_uint_eq(f->out_len, total);
		ck_assert_mem_eq(f->out, sent, total);
		ck_assert_int_eq(unread(), 1);
	}
	fake_receive(f, sent, sizeof(sent));
	fake_run(5);
	for (size_t at = 0; at < sizeof(got);) {
		ssize_t r = recv(fd, got + at, sizeof(got) - at, 0);

		if (r < 0)
			fake_run(2);
		else
			at += (size_t)r;
	}
	ck_assert_mem_eq(got, sent, sizeof(got));
}
END_TEST

START_TEST(reset_arrives_after_the_data)
{
	char buf[16];
	struct flow *f;
	int fd;

	fake_start();
	fd = app_connected(&f);
	fake_receive(f, "last words", 10);
	fake_end(f, ECONNRESET);
	fake_run(5);
	ck_assert_int_eq(recv(fd, buf, sizeof(buf), 0), 10);
	ck_assert_int_eq(recv(fd, buf, sizeof(buf), 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
}
END_TEST

/* Both may come in one batch of packets. */
START_TEST(reset_before_the_outcome_was_told_is_no_failed_connect)
{
	struct wgw_label label;
	char buf[16];
	int fd;

	fake_start();
	fd = app_connecting();
	fake_last->ops->connected(fake_last, fake_last->arg);
	fake_receive(fake_last, "bye", 3);
	fake_end(fake_last, ECONNRESET);
	fake_run(10);
	ck_assert(app_label(fd, &label));
	ck_assert_int_eq(label.outcome, WGW_OUTCOME_CONNECTED);
	ck_assert_int_eq(recv(fd, buf, sizeof(buf), 0), 3);
	ck_assert_int_eq(recv(fd, buf, sizeof(buf), 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
}
END_TEST

/* Whatever the connection has seen, the death of the tunnel process is a reset. */
static void killed_after(bool write_first, bool half_close)
{
	int fd = app_stream(), status;
	pid_t pid;
	char buf[16];

	fake_start();
	app_connect_as(fd, fake_token, &app_peer, true);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(fd);
		fake_run(5);
		fake_last->ops->connected(fake_last, fake_last->arg);
		fake_receive(fake_last, "abc", 3);
		fake_run(60000);
		_exit(0);
	}
	for (size_t i = 0; i < 4; i++) /* only the child is the tunnel process */
		close(i < 2 ? fake_boot.stream[i] : fake_boot.sequenced[i - 2]);
	struct pollfd p = {fd, POLLOUT, 0};

	ck_assert_int_eq(poll(&p, 1, 60000), 1);
	if (write_first)
		ck_assert_int_eq(send(fd, "hello", 5, 0), 5);
	if (half_close)
		ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	p.events = POLLIN;
	ck_assert_int_eq(poll(&p, 1, 60000), 1);
	usleep(50000);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(recv(fd, buf, sizeof(buf), 0), 3);
	ck_assert_int_eq(recv(fd, buf, sizeof(buf), 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
}

START_TEST(death_of_the_tunnel_process_is_a_reset)
{
	killed_after(_i & 1, _i & 2);
}
END_TEST

START_TEST(peers_fin_is_end_of_file_and_writing_goes_on)
{
	char buf[16];
	struct flow *f;
	int fd;

	fake_start();
	fd = app_connected(&f);
	fake_receive(f, "bye", 3);
	fake_fin(f);
	fake_run(5);
	ck_assert_int_eq(recv(fd, buf, sizeof(buf), 0), 3);
	ck_assert_int_eq(recv(fd, buf, sizeof(buf), 0), 0);
	ck_assert_int_eq(unread(), 0);
	ck_assert_int_eq(send(fd, "still here", 10, MSG_NOSIGNAL), 10);
	fake_run(5);
	ck_assert_uint_eq(f->out_len, 10);
	ck_assert(!f->shut);
	close(fd);
	fake_run(5);
	ck_assert(f->closed_by_owner);
	f->unacked = 0;
	fake_end(f, 0);
	fake_run(5);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
	ck_assert_uint_eq(fake_session.unsent, 0);
	ck_assert_uint_eq(fake_session.refs, 0);
}
END_TEST

START_TEST(applications_fin_keeps_the_other_direction)
{
	char buf[16];
	struct flow *f;
	int fd;

	fake_start();
	fd = app_connected(&f);
	if (_i == 1)
		ck_assert_int_eq(send(fd, "request", 7, 0), 7);
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	fake_run(5);
	ck_assert(f->shut);
	ck_assert(!f->closed_by_owner);
	ck_assert_uint_eq(f->out_len, _i == 1 ? 7 : 0);
	fake_receive(f, "answer", 6);
	fake_fin(f);
	fake_run(5);
	ck_assert_int_eq(recv(fd, buf, sizeof(buf), 0), 6);
	ck_assert_int_eq(recv(fd, buf, sizeof(buf), 0), 0);
}
END_TEST

START_TEST(close_with_unread_data_is_a_reset)
{
	struct flow *f;
	int fd;

	fake_start();
	fd = app_connected(&f);
	fake_receive(f, "unread", 6);
	fake_run(5);
	close(fd);
	fake_run(5);
	ck_assert(f->aborted);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
}
END_TEST

/* What a test does when the events of a turn are known, and before the jobs that they made run. */
struct meanwhile {
	struct wgw_timer timer;
	struct flow *f;
};

static void receive_a_byte(struct wgw_timer *t)
{
	fake_receive(wgw_container(t, struct meanwhile, timer)->f, "x", 1);
}

START_TEST(data_that_comes_with_the_close_is_a_reset)
{
	struct meanwhile m = {.timer.due = receive_a_byte};
	int fd;

	fake_start();
	fd = app_connected(&m.f);
	close(fd);
	wgw_timer_set(fake_tunnel.loop, &m.timer, wgw_clock_ns());
	fake_run(5);
	ck_assert(m.f->aborted);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
}
END_TEST

START_TEST(linger_that_is_told_before_the_record_arrives_counts)
{
	static const struct linger now = {.l_onoff = 1};
	int fd = app_stream();

	fake_start();
	app_set(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	app_connect_as(fd, fake_token, &app_peer, true);
	fake_run(5);
	fake_last->ops->connected(fake_last, fake_last->arg);
	fake_run(5);
	close(fd);
	fake_run(5);
	ck_assert(fake_last->aborted);
}
END_TEST

START_TEST(slow_reader_gets_all_after_the_connection_ended)
{
	static uint8_t sent[FAKE_FLOW_BYTES * 4], got[FAKE_FLOW_BYTES * 4];
	struct flow *f;
	size_t at = 0;
	ssize_t r;
	int fd, small = 4096;

	fake_start();
	randombytes_buf(sent, sizeof(sent));
	fd = app_connected(&f);
	/* our end's send buffer bounds what the application has not read */
	setsockopt(
		wgw_container(fake_tunnel.sockets->conns.next, struct wgw_conn, link)->app.watch.fd,
		SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	shutdown(fd, SHUT_WR);
	fake_receive(f, sent, sizeof(sent));
	fake_fin(f);
	fake_run(5);
	ck_assert_uint_lt(f->in_at, f->in_len); /* the window stays closed */
	f->unacked = 0;
	fake_end(f, 0);
	while ((r = recv(fd, got + at, sizeof(got) - at, 0)) != 0) {
		if (r < 0) {
			ck_assert_int_eq(errno, EAGAIN);
			fake_run(2);
		} else {
			at += (size_t)r;
		}
		if (at == sizeof(got))
			break;
	}
	ck_assert_uint_eq(at, sizeof(got));
	ck_assert_mem_eq(got, sent, sizeof(got));
	fake_run(5);
	ck_assert_int_eq(recv(fd, got, 1, 0), 0);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
}
END_TEST

/* The stack is rid of what a program does not read when the peer resets, and takes as much again. */
START_TEST(what_waits_after_resets_is_bounded_for_all_of_a_session)
{
	enum { MANY = WGW_TAILS_MAX_BYTES / (FAKE_FLOW_BYTES * 4) * 3 / 2 };
	static uint8_t sent[FAKE_FLOW_BYTES * 4];
	struct wgw_link *conns;
	size_t waits = 0;
	int last = -1, small = 4096;

	fake_start();
	conns = &fake_tunnel.sockets->conns;
	for (int i = 0; i < MANY; i++) {
		struct flow *f;

		last = app_connected(&f);
		setsockopt(wgw_container(conns->prev, struct wgw_conn, link)->app.watch.fd,
			   SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		fake_receive(f, sent, sizeof(sent));
		fake_run(1);
		fake_end(f, ECONNRESET);
		fake_run(1);
	}
	for (struct wgw_link *l = conns->next; l != conns; l = l->next)
		waits += wgw_container(l, struct wgw_conn, link)->tail_len;
	ck_assert_uint_gt(waits, WGW_TAILS_MAX_BYTES / 2);
	ck_assert_uint_le(waits, WGW_TAILS_MAX_BYTES);
	/* one past it: short, and seen to be short */
	while (recv(last, sent, sizeof(sent), 0) > 0)
		fake_run(1);
	ck_assert_int_eq(errno, ECONNRESET);
	while (conns->prev != conns->next) /* which keeps the session's books */
		wgw_conn_drop(wgw_container(conns->prev, struct wgw_conn, link));
	ck_assert_uint_lt(wgw_container(conns->next, struct wgw_conn, link)->sock.quota->tail_bytes,
			  sizeof(sent) + 1);
}
END_TEST

START_TEST(what_a_reset_throws_away_is_not_called_lost)
{
	struct flow *f;
	int fd;

	fake_start();
	fd = app_connected(&f);
	f->out_room = 2;
	ck_assert_int_eq(send(fd, "abcd", 4, 0), 4);
	fake_run(5);
	ck_assert_uint_eq(f->out_len, 2);
	ck_assert_uint_eq(fake_session.unsent, 1);
	if (_i == 0)
		fake_end(f, ECONNRESET);
	else /* unread bytes make it a reset of the program's */
		fake_receive(f, "x", 1);
	fake_run(5);
	close(fd);
	fake_run(5);
	ck_assert_uint_eq(fake_session.unsent, 0);
	ck_assert_uint_eq(fake_session.lost, 0);
}
END_TEST

START_TEST(full_flow_stops_the_application_and_room_goes_on)
{
	static uint8_t bytes[4096];
	struct flow *f;
	size_t put = 0;
	ssize_t r;
	int fd;

	fake_start();
	fd = app_connected(&f);
	f->out_room = 1000;
	for (int i = 0; i < 1000; i++) {
		r = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
		if (r < 0)
			break;
		put += (size_t)r;
		fake_run(1);
	}
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_uint_eq(f->out_len, 1000);
	ck_assert(f->wants_room);
	ck_assert_uint_eq(fake_session.unsent, 1);
	f->out_room = 3000;
	f->ops->writable(f, f->arg);
	fake_run(5);
	ck_assert_uint_eq(f->out_len, 3000);
	/* and what was not delivered is counted when the connection is lost */
	fake_end(f, ETIMEDOUT);
	fake_run(5);
	ck_assert_uint_eq(fake_session.unsent, 0);
	ck_assert_uint_eq(fake_session.lost, put);
}
END_TEST

START_TEST(the_stack_knows_of_a_program_that_is_gone_while_the_flow_is_full)
{
	struct flow *f;
	int fd;

	fake_start();
	fd = app_connected(&f);
	f->out_room = 2;
	ck_assert_int_eq(send(fd, "four", 4, MSG_NOSIGNAL), 4);
	fake_run(5);
	ck_assert_uint_eq(f->out_len, 2);
	ck_assert(f->more);
	ck_assert(!f->orphan);
	close(fd);
	fake_run(5);
	ck_assert(f->orphan);
	ck_assert(!f->closed_by_owner);
	f->out_room = 100;
	f->ops->writable(f, f->arg);
	fake_run(5);
	ck_assert_uint_eq(f->out_len, 4);
	ck_assert(!f->more);
	ck_assert(f->closed_by_owner);
}
END_TEST

START_TEST(what_was_read_before_waits_for_room_and_comes_first)
{
	static uint8_t early[3000];
	struct wgw_sockets *s;
	struct wgw_conn *c;
	struct flow *f;
	int pair[2];

	/* as src/proxy/join.c makes a connection */
	fake_start();
	s = fake_tunnel.sockets;
	for (size_t i = 0; i < sizeof(early); i++)
		early[i] = (uint8_t)(i * 7);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	f = fake_flow_new(&app_peer);
	f->out_room = 0;
	ck_assert(wgw_unknown_take(s, s->own_uid));
	c = wgw_conn_new(s);
	c->uid = s->own_uid;
	c->state = WGW_CONN_OPEN;
	ck_assert_int_eq(wgw_conn_enter(c, wgw_quota_of(s, &fake_session)), 0);
	wgw_unknown_give(s, c->uid);
	wgw_flow_own(c, f);
	c->stash[0] = malloc(sizeof(early));
	memcpy(c->stash[0], early, sizeof(early));
	c->stash_len[0] = sizeof(early);
	ck_assert_int_eq(send(pair[1], "behind", 6, 0), 6);
	ck_assert_int_eq(wgw_conn_attach(c, pair[0]), 0);
	wgw_conn_kick(c);
	fake_run(20);
	ck_assert_uint_eq(f->out_len, 0);
	ck_assert(f->wants_room);
	ck_assert_uint_eq(fake_session.unsent, 1);
	f->out_room = 1000;
	f->ops->writable(f, f->arg);
	fake_run(20);
	ck_assert_uint_eq(f->out_len, 1000);
	f->out_room = FAKE_FLOW_BYTES;
	f->ops->writable(f, f->arg);
	fake_run(20);
	ck_assert_uint_eq(f->out_len, sizeof(early) + 6);
	ck_assert_mem_eq(f->out, early, sizeof(early));
	ck_assert_mem_eq(f->out + sizeof(early), "behind", 6);
	close(pair[1]);
	fake_run(20);
	ck_assert(f->closed_by_owner);
	fake_end(f, 0);
	fake_run(20);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
}
END_TEST

START_TEST(acknowledged_bytes_are_not_unsent)
{
	struct flow *f;
	int fd;

	fake_start();
	fd = app_connected(&f);
	ck_assert_uint_eq(fake_session.unsent, 0);
	ck_assert_int_eq(send(fd, "x", 1, 0), 1);
	fake_run(5);
	ck_assert_uint_eq(fake_session.unsent, 1);
	fake_run(100);
	ck_assert_uint_eq(fake_session.unsent, 1);
	f->unacked = 0;
	fake_until(fake_session.unsent == 0);
}
END_TEST

/* What a command's end waits for. */
START_TEST(who_waits_for_acknowledgements_learns_of_them_soon)
{
	static const uint64_t soon =
		2 * WGW_MS_NS; /* an eighth of what was waited, 1 ms at least */
	struct wgw_timer *timer;
	struct flow *f;
	uint64_t due;
	int fd;

	fake_start();
	timer = &fake_tunnel.sockets->unsent_timer;
	fd = app_connected(&f);
	wgw_sockets_hurry(&fake_tunnel); /* nothing is waited for */
	ck_assert_uint_eq(timer->slot, 0);
	ck_assert_int_eq(send(fd, "x", 1, 0), 1);
	fake_until(fake_session.unsent == 1);
	wgw_sockets_hurry(&fake_tunnel);
	ck_assert_uint_le(timer->deadline, wgw_clock_ns() + soon);
	due = timer->deadline;
	wgw_sockets_hurry(&fake_tunnel); /* who waits, too, does not put it off */
	ck_assert_uint_eq(timer->deadline, due);
	fake_tunnel.sockets->hurry_ns -= 8 * soon;
	timer->due(timer);
	ck_assert_uint_ge(timer->deadline, fake_tunnel.sockets->hurry_ns + 9 * soon);
	f->unacked = 0;
	timer->due(timer);
	ck_assert_uint_eq(fake_session.unsent, 0);
}
END_TEST

START_TEST(shutdown_of_both_ways_while_connecting_aborts)
{
	struct flow *f;
	int fd;

	fake_start();
	fd = app_connecting();
	f = fake_last;
	shutdown(fd, SHUT_RDWR);
	fake_run(5);
	ck_assert(f->aborted);
}
END_TEST

START_TEST(session_over_drops_connects_and_keeps_connections)
{
	struct flow *open, *pending;

	fake_start();
	app_connected(&open);
	app_connecting();
	pending = fake_last;
	wgw_sockets_session_over(&fake_tunnel, &fake_session);
	fake_run(5);
	ck_assert(pending->aborted);
	ck_assert(!open->aborted);
	ck_assert(wgw_sockets_busy(&fake_tunnel));
	fake_end(open, ECONNRESET);
	fake_run(5);
	ck_assert(!wgw_sockets_busy(&fake_tunnel));
	ck_assert_uint_eq(fake_session.refs, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sockets_tcp");
	TCase *t = tcase_create("tcp");

	tcase_set_timeout(t, 180);
	tcase_add_test(t, success_is_one_out_edge);
	tcase_add_test(t, the_stack_is_told_which_process_connects);
	tcase_add_test(t, failure_is_one_event_with_its_errno_in_the_label);
	tcase_add_test(t, refused_route_is_enetunreach);
	tcase_add_test(t, outcome_waits_until_the_record_is_whole);
	tcase_add_test(t, unknown_token_is_dropped);
	tcase_add_test(t, silent_connection_is_dropped_after_a_second);
	tcase_add_test(t, cookie_of_another_socket_is_refused);
	tcase_add_test(t, session_is_told_of_a_program_with_another_versions_shared_object);
	tcase_add_test(t, abandoned_connect_is_aborted_after_two_misses);
	tcase_add_test(t, data_passes_whole_and_a_byte_is_kept);
	tcase_add_test(t, reset_arrives_after_the_data);
	tcase_add_test(t, reset_before_the_outcome_was_told_is_no_failed_connect);
	tcase_add_loop_test(t, death_of_the_tunnel_process_is_a_reset, 0, 4);
	tcase_add_test(t, peers_fin_is_end_of_file_and_writing_goes_on);
	tcase_add_loop_test(t, applications_fin_keeps_the_other_direction, 0, 2);
	tcase_add_test(t, close_with_unread_data_is_a_reset);
	tcase_add_test(t, data_that_comes_with_the_close_is_a_reset);
	tcase_add_test(t, linger_that_is_told_before_the_record_arrives_counts);
	tcase_add_test(t, what_waits_after_resets_is_bounded_for_all_of_a_session);
	tcase_add_test(t, slow_reader_gets_all_after_the_connection_ended);
	tcase_add_loop_test(t, what_a_reset_throws_away_is_not_called_lost, 0, 2);
	tcase_add_test(t, full_flow_stops_the_application_and_room_goes_on);
	tcase_add_test(t, the_stack_knows_of_a_program_that_is_gone_while_the_flow_is_full);
	tcase_add_test(t, what_was_read_before_waits_for_room_and_comes_first);
	tcase_add_test(t, acknowledged_bytes_are_not_unsent);
	tcase_add_test(t, who_waits_for_acknowledgements_learns_of_them_soon);
	tcase_add_test(t, shutdown_of_both_ways_while_connecting_aborts);
	tcase_add_test(t, session_over_drops_connects_and_keeps_connections);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
