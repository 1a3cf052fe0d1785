/* SPDX-License-Identifier: MIT */
/* test_control_requests.c - what may be asked of a running tunnel over the channel, and who may; its keeper */
#include "tests/unit/control_fixture.h"
#include "tests/unit/run_suite.h"

static struct wgw_channel_msg ask(int fd, enum wgw_control_verb verb, const int *fds, size_t n)
{
	struct wgw_channel_msg msg = message(WGW_CH_CONTROL);

	msg.u.control.verb = verb;
	send_fds(fd, &msg, fds, n);
	expect(fd, &msg, WGW_CH_CONTROLLED);
	ck_assert_uint_eq(msg.u.control.verb, verb);
	return msg;
}

START_TEST(state_is_written_into_the_askers_file)
{
	char text[8192] = "";
	int fd = connect_channel(), file = text_fd("");

	ck_assert_int_eq(ask(fd, WGW_CONTROL_GET, &file, 1).err, 0);
	ck_assert_int_gt(pread(file, text, sizeof(text) - 1, 0), 0);
	ck_assert_ptr_nonnull(strstr(text, "\npublic_key=" KEY_A "\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nallowed_ip=10.0.0.0/8\n"));
	ck_assert_ptr_null(strstr(text, "private_key"));
	ck_assert_ptr_null(strstr(text, "\npreshared_key"));
	close(file);
	close(fd);
	run_for(20);
}
END_TEST

START_TEST(another_version_may_look_and_end_but_not_change)
{
	const enum wgw_control_verb shared[] = {WGW_CONTROL_GET, WGW_CONTROL_FLOWS,
						WGW_CONTROL_DOWN};
	int fd = connect_channel(), file = text_fd("");
	struct wgw_channel_msg msg;

	for (size_t i = 0; i < sizeof(shared) / sizeof(*shared); i++) {
		msg = message(WGW_CH_CONTROL);
		msg.version = (uint16_t)(WGW_WIRE_VERSION + 1);
		msg.u.control.verb = shared[i];
		send_fds(fd, &msg, &file, 1);
		expect(fd, &msg, WGW_CH_CONTROLLED);
		ck_assert_uint_eq(msg.u.control.verb, shared[i]);
		if (shared[i] != WGW_CONTROL_FLOWS) /* there are none in this test's process */
			ck_assert_int_eq(msg.err, 0);
	}
	msg = message(WGW_CH_CONTROL);
	msg.version = (uint16_t)(WGW_WIRE_VERSION - 1);
	msg.u.control.verb = WGW_CONTROL_SET;
	send_fds(fd, &msg, &file, 1);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, EPROTO);
	ck_assert_uint_eq(msg.version, WGW_WIRE_VERSION);
	close(file);
	close(fd);
	run_for(20);
}
END_TEST

START_TEST(a_pipe_instead_of_a_file_is_refused)
{
	int fd = connect_channel(), ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(ask(fd, WGW_CONTROL_GET, &ends[1], 1).err, EINVAL);
	ck_assert_int_eq(ask(fd, WGW_CONTROL_SET, &ends[0], 1).err, EINVAL);
	ck_assert_int_eq(ask(fd, WGW_CONTROL_GET, NULL, 0).err, EINVAL);
	ck_assert_int_eq(ask(fd, 999, NULL, 0).err, EOPNOTSUPP);
	close(ends[0]);
	close(ends[1]);
	close(fd);
	run_for(20);
}
END_TEST

START_TEST(reload_refuses_what_cannot_change_and_tells_keepers_of_the_rest)
{
	struct wgw_channel_msg msg = message(WGW_CH_KEEP), reply;
	int keeper = open_session(policy), fd = connect_channel();
	int fds[2] = {text_fd("public_key=" KEY_A "\n"), text_fd("address 10.0.0.9/32\n")};

	msg.u.opened.pid = 4711;
	send_fds(keeper, &msg, NULL, 0);
	reply = ask(fd, WGW_CONTROL_RELOAD, fds, 2);
	ck_assert_int_eq(reply.err, EBUSY);
	ck_assert_ptr_nonnull(strstr(reply.u.control.text, "+ address 10.0.0.9/32"));
	close(fds[1]);
	fds[1] = text_fd("address 10.0.0.2/32\nlisten-port 0\nmtu 1420\npeer x\n");
	reply = ask(fd, WGW_CONTROL_RELOAD, fds, 2);
	ck_assert_int_eq(reply.err, 0);
	ck_assert_uint_eq(reply.u.control.value, 1);
	expect(keeper, &msg, WGW_CH_REREAD);
	/* the same again is no news */
	ck_assert_uint_eq(ask(fd, WGW_CONTROL_RELOAD, fds, 2).u.control.value, 0);
	close(fds[0]);
	close(fds[1]);
	close(fd);
	close(keeper);
	run_for(20);
}
END_TEST

START_TEST(a_program_of_a_session_may_look_but_change_nothing)
{
	struct wgw_channel_msg msg = message(WGW_CH_CONTROL);
	int command = open_session(policy), fd = connect_channel();
	int lines = text_fd("public_key=" KEY_B "\n"), file = text_fd("");

	ck_assert_int_eq(ask(fd, WGW_CONTROL_GET, &file, 1).err, 0);
	msg.u.control.verb = WGW_CONTROL_SET;
	send_fds(fd, &msg, &lines, 1);
	answer_whose(command, EPERM);
	expect(fd, &msg, WGW_CH_CONTROLLED);
	ck_assert_int_eq(msg.err, EPERM);
	ck_assert_ptr_null(peer(0x43));
	/* nor when nobody can say */
	msg = message(WGW_CH_CONTROL);
	msg.u.control.verb = WGW_CONTROL_SET;
	send_fds(fd, &msg, &lines, 1);
	expect(command, &msg, WGW_CH_WHOSE);
	expect(fd, &msg, WGW_CH_CONTROLLED);
	ck_assert_int_eq(msg.err, ETIMEDOUT);
	ck_assert_ptr_null(peer(0x43));
	/* but when the session has ended meanwhile */
	msg = message(WGW_CH_CONTROL);
	msg.u.control.verb = WGW_CONTROL_SET;
	send_fds(fd, &msg, &lines, 1);
	expect(command, &msg, WGW_CH_WHOSE);
	close(command);
	expect(fd, &msg, WGW_CH_CONTROLLED);
	ck_assert_int_eq(msg.err, 0);
	ck_assert_ptr_nonnull(peer(0x43));
	close(file);
	close(lines);
	close(fd);
	run_for(20);
}
END_TEST

START_TEST(an_asker_may_go_before_the_sessions_have_answered)
{
	struct wgw_channel_msg msg = message(WGW_CH_CONTROL);
	int command = open_session(policy), fd = connect_channel();
	int lines = text_fd("public_key=" KEY_B "\n");

	msg.u.control.verb = WGW_CONTROL_SET;
	send_fds(fd, &msg, &lines, 1);
	send_fds(fd, &msg, &lines, 1); /* one at a time */
	expect(fd, &msg, WGW_CH_CONTROLLED);
	ck_assert_int_eq(msg.err, EBUSY);
	close(fd);
	run_for(20);
	answer_whose(command, 0);
	run_for(20);
	ck_assert_ptr_nonnull(peer(0x43));
	close(lines);
	close(command);
	run_for(20);
}
END_TEST

START_TEST(down_asks_the_keeper_to_leave_and_counts_the_others)
{
	static const uint8_t other_token[WGW_TOKEN_BYTES] = {9};
	struct wgw_channel_msg msg = message(WGW_CH_KEEP);
	int keeper = open_session(policy), command = connect_channel(), fd = connect_channel();

	send_fds(keeper, &msg, NULL, 0);
	send_open(command, settings, policy, other_token, 0);
	expect(command, &msg, WGW_CH_OPENED);
	msg = message(WGW_CH_CONTROL);
	msg.u.control.verb = WGW_CONTROL_DOWN;
	send_fds(fd, &msg, NULL, 0);
	answer_whose(command, 0);
	expect(fd, &msg, WGW_CH_CONTROLLED);
	ck_assert_int_eq(msg.err, 0);
	ck_assert_uint_eq(msg.u.control.value, 1);
	expect(keeper, &msg, WGW_CH_LEAVE);
	close(fd);
	close(command);
	close(keeper);
	run_for(20);
}
END_TEST

/* Behind what else is told: the state. */
static void expect_soon(int fd, struct wgw_channel_msg *msg, uint16_t code)
{
	do
		ck_assert_int_gt(next_message(fd, msg), 0);
	while (msg->code == WGW_CH_STATE);
	ck_assert_uint_eq(msg->code, code);
}

/* Opens the session of a keeper whose tunnel process was started again. */
static int keeper_that_is_back(void)
{
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	send_open(fd, settings, policy, token, WGW_CH_JOIN | WGW_CH_KEEPER);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, 0);
	return fd;
}

START_TEST(down_before_the_keeper_is_back_is_meant_for_it_too)
{
	struct wgw_channel_msg msg = message(WGW_CH_KEEP);
	int fd = connect_channel(), keeper;

	ck_assert_uint_eq(ask(fd, WGW_CONTROL_DOWN, NULL, 0).u.control.value, 0);
	keeper = keeper_that_is_back();
	expect_soon(keeper, &msg, WGW_CH_LEAVE);
	/* it has not read that yet, and keeps nothing up all the same */
	msg = message(WGW_CH_KEEP);
	send_fds(keeper, &msg, NULL, 0);
	run_for(20);
	ck_assert(core.leaving);
	close(keeper);
	close(fd);
	run_for(20);
}
END_TEST

START_TEST(a_keeper_that_is_back_leaves_the_tunnel_to_a_newer_one)
{
	static const uint8_t other_token[WGW_TOKEN_BYTES] = {9};
	struct wgw_channel_msg msg;
	int newer = connect_channel(), keeper;

	send_open(newer, settings, policy, other_token, 0);
	expect(newer, &msg, WGW_CH_OPENED);
	msg = message(WGW_CH_KEEP);
	send_fds(newer, &msg, NULL, 0);
	run_for(20);
	keeper = keeper_that_is_back();
	expect_soon(keeper, &msg, WGW_CH_LEAVE);
	msg = message(WGW_CH_KEEP);
	send_fds(keeper, &msg, NULL, 0);
	run_for(20);
	while (recv(newer, &msg, sizeof(msg), MSG_DONTWAIT) > 0)
		ck_assert_uint_ne(msg.code, WGW_CH_LEAVE);
	close(keeper);
	close(newer);
	run_for(20);
}
END_TEST

START_TEST(a_keeper_that_is_back_is_one_before_it_says_so)
{
	struct wgw_channel_msg msg;
	int keeper = keeper_that_is_back(), fd = connect_channel();

	ck_assert_uint_eq(ask(fd, WGW_CONTROL_DOWN, NULL, 0).u.control.value, 0);
	expect_soon(keeper, &msg, WGW_CH_LEAVE);
	close(keeper);
	close(fd);
	run_for(20);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("control_requests");
	TCase *c = tcase_create("requests");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 180);
	tcase_add_test(c, state_is_written_into_the_askers_file);
	tcase_add_test(c, another_version_may_look_and_end_but_not_change);
	tcase_add_test(c, a_pipe_instead_of_a_file_is_refused);
	tcase_add_test(c, reload_refuses_what_cannot_change_and_tells_keepers_of_the_rest);
	tcase_add_test(c, a_program_of_a_session_may_look_but_change_nothing);
	tcase_add_test(c, an_asker_may_go_before_the_sessions_have_answered);
	tcase_add_test(c, down_asks_the_keeper_to_leave_and_counts_the_others);
	tcase_add_test(c, down_before_the_keeper_is_back_is_meant_for_it_too);
	tcase_add_test(c, a_keeper_that_is_back_leaves_the_tunnel_to_a_newer_one);
	tcase_add_test(c, a_keeper_that_is_back_is_one_before_it_says_so);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
