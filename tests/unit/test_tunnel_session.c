/* SPDX-License-Identifier: MIT */
/* test_tunnel_session.c - sessions begin and end: opening a channel, being over, delivering the
 * rest */
#include "tests/unit/run_suite.h"
#include <sys/resource.h>

#include "tests/unit/test_tunnel_fakes.h"

/* ---- opening ---- */

START_TEST(session_opens_and_hears_the_state)
{
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	send_open(fd, settings, policy, token, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, 0);
	ck_assert_int_eq(msg.u.opened.pid, getpid());
	ck_assert_mem_eq(msg.u.opened.abstract, boot.abstract, WGW_ABSTRACT_BYTES);
	ck_assert_uint_eq(has_session, 1);
	ck_assert_mem_eq(wgw_session_label_key(wgw_session_by_token(&core.t, token)),
			 "\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09", 16);
	/* It wakes the peer, and the state comes when the loop flushes. */
	ck_assert_uint_eq(transmitted, 1);
	ck_assert(core.state_changed);
	wgw_core_tell_state(&core);
	expect(fd, &msg, WGW_CH_STATE);
	ck_assert_uint_eq(msg.u.state.peers, 1);
	ck_assert_uint_eq(msg.u.state.peers_up, 0);
	close(fd);
}
END_TEST

/* Another session, so that the process is needed. */
static int open_other(void)
{
	static const uint8_t other[WGW_TOKEN_BYTES] = {4, 5, 6};
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	send_open(fd, settings, policy, other, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, 0);
	return fd;
}

START_TEST(differing_settings_are_refused_and_shown)
{
	struct wgw_channel_msg msg;
	int other = open_other(), fd = connect_channel();

	send_open(fd, "address 10.0.0.2/32\nlisten-port 0\nmtu 1300\nzebra\n", policy, token, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, EBUSY);
	ck_assert_str_eq(msg.u.opened.text, "+ mtu 1300\n- mtu 1420\n+ zebra\n");
	ck_assert_ptr_null(wgw_session_by_token(&core.t, token));
	expect_end(fd);
	close(fd);
	close(other);
}
END_TEST

START_TEST(process_that_only_lingers_gives_way_to_other_settings)
{
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	sockets_busy = true;
	send_open(fd, "mtu 1300\n", policy, token, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, EINPROGRESS);
	close(fd);

	sockets_busy = false;
	fd = connect_channel();
	send_open(fd, "mtu 1300\n", policy, token, 0);
	/* Nothing is waited for: giving way is what ends the loop. */
	wgw_loop_run(core.t.loop);
	ck_assert_int_eq(recv(fd, &msg, sizeof(msg), MSG_DONTWAIT), sizeof(msg));
	ck_assert_int_eq(msg.err, EAGAIN);
	close(fd);

	boot.linger_ms = UINT32_MAX; /* meant to stay */
	fd = connect_channel();
	send_open(fd, "mtu 1300\n", policy, token, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, EBUSY);
	close(fd);
}
END_TEST

START_TEST(differing_settings_are_cut_at_a_line_when_they_are_many)
{
	static char many[64 * 1024];
	struct wgw_channel_msg msg;
	int other = open_other(), fd = connect_channel();
	size_t len;

	for (int i = 0; i < 1000; i++)
		sprintf(many + strlen(many), "peer %04d\n", i);
	send_open(fd, many, policy, token, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, EBUSY);
	len = strnlen(msg.u.opened.text, sizeof(msg.u.opened.text));
	ck_assert_uint_lt(len, sizeof(msg.u.opened.text));
	ck_assert_int_eq(msg.u.opened.text[len - 1], '\n');
	close(fd);
	close(other);
}
END_TEST

START_TEST(join_opens_although_settings_differ)
{
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	send_open(fd, "mtu 1300\n", policy, token, WGW_CH_JOIN);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, 0);
	close(fd);
}
END_TEST

static void open_fails(const char *policy_text, const uint8_t *with_token, int err)
{
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	send_open(fd, settings, policy_text, with_token, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, err);
	expect_end(fd);
	close(fd);
}

START_TEST(bad_openings_are_refused)
{
	static const uint8_t zero[WGW_TOKEN_BYTES];
	int fd;

	open_fails(policy, zero, EINVAL);
	open_fails("direct everything\n", token, EINVAL);
	fd = open_session(policy);
	open_fails(policy, token, EEXIST);
	ck_assert_ptr_nonnull(wgw_session_by_token(&core.t, token));
	close(fd);
}
END_TEST

START_TEST(other_version_is_told_so)
{
	struct wgw_channel_msg msg = message(WGW_CH_OPEN);
	int fd = connect_channel();

	msg.version++;
	send_fds(fd, &msg, NULL, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, EPROTO);
	expect_end(fd);
	close(fd);
}
END_TEST

START_TEST(who_comes_when_there_are_no_descriptors_is_told_so)
{
	struct rlimit limit, none = {.rlim_cur = 1};
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none.rlim_max = limit.rlim_max;
	send_open(fd, settings, policy, token, 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(msg.err, EMFILE);
	ck_assert_ptr_nonnull(strstr(msg.u.opened.text, "all of its 1 descriptors"));
	ck_assert_ptr_null(wgw_session_by_token(&core.t, token));
	close(fd);
}
END_TEST

START_TEST(first_message_must_be_a_whole_open)
{
	struct wgw_channel_msg msg = message(WGW_CH_FLUSH);
	int pipes[2], fd = connect_channel();

	send_fds(fd, &msg, NULL, 0);
	expect_end(fd);
	close(fd);

	fd = connect_channel();
	msg = message(WGW_CH_OPEN); /* without its texts */
	send_fds(fd, &msg, NULL, 0);
	expect_end(fd);
	close(fd);

	fd = connect_channel();
	ck_assert_int_eq(send(fd, "x", 1, 0), 1);
	expect_end(fd);
	close(fd);

	/* A pipe would keep the tunnel process waiting. */
	fd = connect_channel();
	ck_assert_int_eq(pipe(pipes), 0);
	memcpy(msg.u.open.token, token, sizeof(token));
	send_fds(fd, &msg, pipes, 2);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, EINVAL);
	close(fd);
}
END_TEST

START_TEST(silent_connection_is_dropped)
{
	int fd = connect_channel();

	expect_end(fd);
	close(fd);
}
END_TEST

START_TEST(other_user_is_refused)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(sa_family_t);
	struct wgw_channel_msg msg = message(WGW_CH_OPEN);
	int listener, fd, status;
	pid_t pid, done;

	if (geteuid() != 0) {
		printf("skipped: only root can be another user, too\n");
		return;
	}
	listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sun, len), 0); /* autobind */
	len = sizeof(sun);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sun, &len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		int fds[2] = {memfd_create("a", 0), memfd_create("b", 0)};

		memcpy(msg.u.open.token, token, sizeof(token));
		if (write(fds[0], settings, strlen(settings)) < 0 || setresuid(65534, 65534, 65534))
			_exit(9);
		fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		if (connect(fd, (struct sockaddr *)&sun, len))
			_exit(8);
		send_fds(fd, &msg, fds, 2);
		_exit(recv(fd, &msg, sizeof(msg), 0) > 0 && msg.code == WGW_CH_OPENED ? msg.err
										      : 7);
	}
	fd = accept(listener, NULL, NULL);
	ck_assert_int_ge(fd, 0);
	wgw_session_adopt(&core.t, fd);
	while ((done = waitpid(pid, &status, WNOHANG)) == 0)
		run_for(5);
	ck_assert_int_eq(done, pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), EPERM);
	ck_assert_ptr_null(core.t.sessions);
	close(listener);
}
END_TEST

/* ---- the end ---- */

START_TEST(session_outlives_its_channel_while_something_holds_it)
{
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);
	struct wgw_channel_msg msg;

	wgw_session_get(s);
	close(fd);
	run_for(20);
	ck_assert_uint_eq(sessions_over, 1);
	ck_assert_ptr_null(wgw_session_by_token(&core.t, token));
	ck_assert_ptr_eq(core.t.sessions, s);
	ck_assert_uint_eq(no_session, 0);
	wgw_session_say(s, 0, "into the void");
	/* nobody uses its settings any more, and others may soon be had */
	fd = connect_channel();
	send_open(fd, "mtu 1300\n", policy, token, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, EINPROGRESS);
	close(fd);
	wgw_session_put(s);
	ck_assert_ptr_null(core.t.sessions);
	ck_assert_uint_eq(no_session, 1);
}
END_TEST

START_TEST(flush_is_answered_when_nothing_is_undelivered)
{
	struct wgw_channel_msg msg = message(WGW_CH_FLUSH);
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);

	send_fds(fd, &msg, NULL, 0);
	expect(fd, &msg, WGW_CH_FLUSHED);
	ck_assert_uint_eq(msg.u.flushed.bytes_lost, 0);

	wgw_session_unsent_begin(s);
	wgw_session_unsent_begin(s);
	msg = message(WGW_CH_FLUSH);
	send_fds(fd, &msg, NULL, 0);
	run_for(20);
	ck_assert_uint_eq(hurries, 2);
	wgw_session_unsent_end(s, 0);
	ck_assert_int_eq(recv(fd, &msg, sizeof(msg), MSG_DONTWAIT), -1);
	wgw_session_unsent_end(s, 700);
	expect(fd, &msg, WGW_CH_FLUSHED);
	ck_assert_uint_eq(msg.u.flushed.bytes_lost, 700);
	ck_assert_uint_eq(msg.u.flushed.flows_failed, 1);
	/* One answer for one question. */
	wgw_session_unsent_begin(s);
	wgw_session_unsent_end(s, 0);
	ck_assert_int_eq(recv(fd, &msg, sizeof(msg), MSG_DONTWAIT), -1);
	close(fd);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tunnel_session");
	TCase *c = tcase_create("life");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 180);
	tcase_add_test(c, session_opens_and_hears_the_state);
	tcase_add_test(c, differing_settings_are_refused_and_shown);
	tcase_add_test(c, process_that_only_lingers_gives_way_to_other_settings);
	tcase_add_test(c, differing_settings_are_cut_at_a_line_when_they_are_many);
	tcase_add_test(c, join_opens_although_settings_differ);
	tcase_add_test(c, bad_openings_are_refused);
	tcase_add_test(c, other_version_is_told_so);
	tcase_add_test(c, who_comes_when_there_are_no_descriptors_is_told_so);
	tcase_add_test(c, first_message_must_be_a_whole_open);
	tcase_add_test(c, silent_connection_is_dropped);
	tcase_add_test(c, other_user_is_refused);
	tcase_add_test(c, session_outlives_its_channel_while_something_holds_it);
	tcase_add_test(c, flush_is_answered_when_nothing_is_undelivered);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
