/* SPDX-License-Identifier: MIT */
/* test_repr_rights.c - descriptors that come with a message: taken, or closed */
#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/repr/cmsg.h"
#include "tests/unit/run_suite.h"

enum { SENT = 3 };

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

int main(void)
{
	Suite *s = suite_create("repr-rights");
	TCase *t = tcase_create("take");

	tcase_add_loop_test(t, what_there_is_room_for_is_taken_and_the_rest_is_closed, 0, SENT + 1);
	suite_add_tcase(s, t);
	return run_suite(s);
}
