/* SPDX-License-Identifier: MIT */
/* test_control_uapi.c - WireGuard's cross-platform UAPI on a socket of the running tunnel */
#include <malloc.h>
#include <sys/resource.h>

#include "tests/unit/control_fixture.h"
#include "tests/unit/loop_turns.h"
#include "tests/unit/run_suite.h"

static int uapi_connect(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(sun);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sun, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(listen(listener, 4), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sun, &len), 0);
	ck_assert_int_eq(wgw_uapi_init(&core, listener), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sun, len), 0);
	return fd;
}

static void uapi_send(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What has come within a moment. */
static const char *uapi_answer(int fd)
{
	static char text[16384];
	ssize_t n;

	run_for(50);
	n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	text[n > 0 ? n : 0] = '\0';
	return n == 0 ? "closed" : text;
}

START_TEST(operations_may_come_byte_by_byte_and_several_at_once)
{
	static const char one[] = "set=1\npublic_key=" KEY_B "\n\n";
	int fd = uapi_connect();

	for (const char *at = one; *at; at++) {
		ck_assert_int_eq(send(fd, at, 1, MSG_NOSIGNAL), 1);
		if (at - one < 20)
			run_for(1);
	}
	ck_assert_str_eq(uapi_answer(fd), "errno=0\n\n");
	uapi_send(fd, "set=1\npublic_key=" KEY_B "\nremove=true\n\nset=1\nbogus=1\n\nset=1\n\n");
	ck_assert_str_eq(uapi_answer(fd), "errno=0\n\nerrno=-22\n\nerrno=0\n\n");
	ck_assert_ptr_null(peer(0x43));
	uapi_send(fd, "get=1\n\n");
	ck_assert_ptr_nonnull(strstr(uapi_answer(fd), "\npublic_key=" KEY_A "\n"));
	uapi_send(fd, "get=2\n\n");
	ck_assert_str_eq(uapi_answer(fd), "closed");
	close(fd);
}
END_TEST

/* What stands behind a NUL byte is neither read nor lost in silence. */
START_TEST(a_nul_byte_is_no_part_of_an_operation)
{
	static const char set[] = "set=1\npublic_key=" KEY_B "\n\0bogus=1\n\n";
	int fd = uapi_connect();

	ck_assert_int_eq(send(fd, set, sizeof(set) - 1, MSG_NOSIGNAL), sizeof(set) - 1);
	ck_assert_str_eq(uapi_answer(fd), "closed");
	ck_assert_ptr_null(peer(0x43));
	close(fd);
}
END_TEST

START_TEST(the_uapi_leaves_nothing_behind)
{
	enum { ROUNDS = 20 }; /* malloc keeps some of what was freed, and calls it used */
	size_t before = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int fd = uapi_connect();

		uapi_send(fd, "get=1\n\nset=1\nhalf");
		uapi_answer(fd);
		wgw_uapi_free(&core);
		ck_assert_str_eq(uapi_answer(fd), "closed");
		wgw_uapi_free(&core);
		close(fd);
		if (i == ROUNDS / 2)
			before = mallinfo2().uordblks;
	}
	ck_assert_uint_eq(mallinfo2().uordblks, before);
}
END_TEST

START_TEST(the_uapi_waits_for_descriptors_without_a_busy_loop)
{
	enum { TURNS = 1000 }; /* ten times of what run_for() and pauses make */
	static struct turns turns = {.before.run = count_turn};
	struct rlimit limit, none;
	int fd = uapi_connect();

	wgw_loop_before(core.t.loop, &turns.before);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	run_for(500);
	ck_assert_uint_lt(turns.n, TURNS);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	run_for(200); /* several pauses */
	uapi_send(fd, "set=1\n\n");
	ck_assert_str_eq(uapi_answer(fd), "errno=0\n\n");
	close(fd);
}
END_TEST

START_TEST(the_uapi_asks_the_sessions_before_it_changes_anything)
{
	int command = open_session(policy), fd = uapi_connect();

	uapi_send(fd, "set=1\npublic_key=" KEY_B "\n\nget=1\n\n");
	ck_assert_str_eq(uapi_answer(fd), "");
	answer_whose(command, EPERM);
	ck_assert_int_eq(strncmp(uapi_answer(fd), "errno=-1\n\n", 10), 0);
	ck_assert_ptr_null(peer(0x43));
	uapi_send(fd, "set=1\npublic_key=" KEY_B "\n\n");
	run_for(20);
	close(fd); /* does not wait for the answer */
	run_for(20);
	answer_whose(command, 0);
	run_for(20);
	ck_assert_ptr_nonnull(peer(0x43));
	close(command);
	run_for(20);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("control_uapi");
	TCase *c = tcase_create("uapi");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 180);
	tcase_add_test(c, operations_may_come_byte_by_byte_and_several_at_once);
	tcase_add_test(c, the_uapi_waits_for_descriptors_without_a_busy_loop);
	tcase_add_test(c, the_uapi_asks_the_sessions_before_it_changes_anything);
	tcase_add_test(c, a_nul_byte_is_no_part_of_an_operation);
	tcase_add_test(c, the_uapi_leaves_nothing_behind);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
