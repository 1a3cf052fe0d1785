/* SPDX-License-Identifier: MIT */
/* test_session_processes.c - who descends from a supervisor, and whether anybody is left */
#include <check.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/session/channel.h"
#include "src/session/processes.h"
#include "tests/unit/run_suite.h"

/* A child that forks a child, says its pid through a pipe, and ends when @lives is false. Both wait
 * to be killed. */
static pid_t family(bool lives, pid_t *grandchild)
{
	int fds[2];
	pid_t child;

	ck_assert_int_eq(pipe(fds), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		pid_t own = fork();

		if (own == 0)
			for (;;)
				pause();
		if (write(fds[1], &own, sizeof(own)) != sizeof(own))
			_exit(1);
		while (lives)
			pause();
		_exit(0);
	}
	ck_assert_int_eq(read(fds[0], grandchild, sizeof(*grandchild)), sizeof(*grandchild));
	close(fds[0]);
	close(fds[1]);
	return child;
}

static void end(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(descendants_are_known_and_strangers_are_not)
{
	pid_t grandchild, child = family(true, &grandchild);

	ck_assert(wgw_is_descendant(child));
	ck_assert(wgw_is_descendant(grandchild));
	ck_assert(wgw_is_descendant(getpid()));
	ck_assert(!wgw_is_descendant(getppid()));
	ck_assert(!wgw_is_descendant(1));
	end(child);
	end(grandchild);
	ck_assert(!wgw_is_descendant(grandchild));
}
END_TEST

/* Which of two sockets a process of the session holds. */
static unsigned int held(int one, int other)
{
	uint64_t bits[WGW_CH_SCAN_MAX / 64], inodes[2];
	const int fds[] = {one, other};
	struct stat st;

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(fstat(fds[i], &st), 0);
		inodes[i] = st.st_ino;
	}
	wgw_scan_sockets(inodes, 2, bits);
	return (unsigned int)bits[0];
}

/* A child that has neither socket, and says the pid of its child, which has @one. */
static pid_t hold(int one, int other, pid_t *grandchild)
{
	int fds[2];
	pid_t child;

	if (pipe(fds) || (child = fork()) < 0)
		return -1;
	if (child == 0) {
		pid_t own;

		close(other);
		own = fork();
		if (own == 0)
			for (;;)
				pause();
		close(one);
		if (write(fds[1], &own, sizeof(own)) != sizeof(own))
			_exit(1);
		for (;;)
			pause();
	}
	return read(fds[0], grandchild, sizeof(*grandchild)) == sizeof(*grandchild) ? child : -1;
}

/* Who asks has both sockets, and is no process of its session. */
START_TEST(sockets_of_descendants_are_held_and_others_are_not)
{
	int one = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0), status;
	pid_t supervisor = fork();

	ck_assert_int_ge(supervisor, 0);
	if (supervisor == 0) {
		unsigned int before = held(one, other), during;
		pid_t grandchild, child = hold(one, other, &grandchild);

		if (child < 0)
			_exit(3);
		during = held(one, other);
		kill(child, SIGKILL);
		kill(grandchild, SIGKILL);
		_exit(before != 0 ? 1 : during != 1 ? 2 : 0);
	}
	ck_assert_int_eq(waitpid(supervisor, &status, 0), supervisor);
	ck_assert_int_eq(status, 0);
	close(one);
	close(other);
}
END_TEST

START_TEST(orphans_are_children_of_the_subreaper)
{
	pid_t grandchild, child = family(false, &grandchild);

	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	ck_assert(wgw_is_descendant(grandchild));
	ck_assert(wgw_has_children(&child, 1));
	end(grandchild);
	ck_assert(!wgw_has_children(&child, 1));
}
END_TEST

START_TEST(excepted_children_do_not_count)
{
	pid_t grandchild, child = family(true, &grandchild);

	ck_assert(wgw_has_children(NULL, 0));
	ck_assert(wgw_has_children(&grandchild, 1));
	ck_assert(!wgw_has_children(&child, 1));
	end(child);
	end(grandchild);
	ck_assert(!wgw_has_children(NULL, 0));
}
END_TEST

static void set_up(void)
{
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
}

int main(void)
{
	Suite *s = suite_create("session processes");
	TCase *t = tcase_create("processes");

	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_add_test(t, descendants_are_known_and_strangers_are_not);
	tcase_add_test(t, sockets_of_descendants_are_held_and_others_are_not);
	tcase_add_test(t, orphans_are_children_of_the_subreaper);
	tcase_add_test(t, excepted_children_do_not_count);
	suite_add_tcase(s, t);
	return run_suite(s);
}
