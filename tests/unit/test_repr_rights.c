/* SPDX-License-Identifier: MIT */
/* test_repr_rights.c - descriptors that come with a message: taken, or closed; sent when many are in
 * flight */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/repr/cmsg.h"
#include "tests/unit/run_suite.h"

enum {
	SENT = 3,
	FIRST_USER = 40000, /* one of these is this process's alone and has none in flight */
	USERS = 20000,
	IN_FLIGHT_MOST = 300, /* of ours: far below the usual 1,024 of the user's other processes */
	AT_ONCE = 253,	      /* SCM_MAX_FD */
	TAKEN_AFTER_MS = 100,
};

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/** pass() - @n descriptors through a socket; what wgw_cmsg_take() returns for @room of them */
static int pass(int n, int *fds, int room)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(SENT * sizeof(int))];
	} control = {0};
	const int sent[SENT] = {STDIN_FILENO, STDIN_FILENO, STDIN_FILENO};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	int ends[2], taken;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	if (n > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
		memcpy(CMSG_DATA(&control.head), sent, (size_t)n * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(ends[0], &msg, 0), 1);
	msg.msg_control = &control;
	msg.msg_controllen = sizeof(control);
	ck_assert_int_eq(recvmsg(ends[1], &msg, MSG_CMSG_CLOEXEC), 1);
	taken = wgw_cmsg_take(&msg, fds, room);
	close(ends[0]);
	close(ends[1]);
	return taken;
}

START_TEST(what_there_is_room_for_is_taken_and_the_rest_is_closed)
{
	int fds[SENT] = {-1, -1, -1}, before = count_descriptors();
	int taken = _i < 2 ? _i : 2;

	ck_assert_int_eq(pass(_i, fds, 2), taken);
	ck_assert_int_eq(count_descriptors(), before + taken);
	for (int i = 0; i < SENT; i++)
		ck_assert_int_eq(fds[i] >= 0, i < taken);
	for (int i = 0; i < taken; i++)
		ck_assert_int_eq(close(fds[i]), 0);
}
END_TEST

/** become_limited() - who has privileges has no limit. In a user namespace without that user nobody
 * has them */
static void become_limited(void)
{
	const uid_t uid = FIRST_USER + (uid_t)getpid() % USERS;

	if (geteuid() == 0 && setresuid(uid, uid, uid))
		ck_assert_int_eq(errno, EINVAL);
}

/** fill() - puts more descriptors in flight towards @to than we may have there */
static void fill(int to)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(AT_ONCE * sizeof(int))];
	} control = {0};
	const struct rlimit limit = {IN_FLIGHT_MOST, IN_FLIGHT_MOST};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	int sent = 0;

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	become_limited();
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(AT_ONCE * sizeof(int)); /* all 0: standard input */
	while (sendmsg(to, &msg, MSG_DONTWAIT) == 1)
		ck_assert_int_le(++sent, IN_FLIGHT_MOST / AT_ONCE + 1);
	ck_assert_int_eq(errno, ETOOMANYREFS);
}

/** send_one() - through a socket of its own */
static ssize_t send_one(void)
{
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union wgw_fd_control control;
	int ends[2];
	ssize_t n;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	wgw_cmsg_attach(&msg, &control, STDIN_FILENO);
	n = wgw_cmsg_send(ends[0], &msg, MSG_NOSIGNAL);
	close(ends[0]);
	close(ends[1]);
	return n;
}

START_TEST(a_descriptor_waits_while_too_many_are_in_flight)
{
	int ends[2], status;
	pid_t taker;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	fill(ends[0]);
	taker = fork();
	ck_assert_int_ge(taker, 0);
	if (taker == 0) {
		usleep(TAKEN_AFTER_MS * 1000);
		_exit(0);
	}
	close(ends[1]);
	close(ends[0]);
	ck_assert_int_eq(send_one(), 1);
	ck_assert_int_eq(waitpid(taker, &status, 0), taker);
}
END_TEST

START_TEST(it_does_not_wait_for_ever)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	fill(ends[0]);
	ck_assert_int_eq(send_one(), -ENOBUFS);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("repr-rights");
	TCase *t = tcase_create("take");

	tcase_add_test(t, a_descriptor_waits_while_too_many_are_in_flight);
	tcase_add_test(t, it_does_not_wait_for_ever);
	tcase_add_loop_test(t, what_there_is_room_for_is_taken_and_the_rest_is_closed, 0, SENT + 1);
	suite_add_tcase(s, t);
	return run_suite(s);
}
