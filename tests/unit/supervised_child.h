/* SPDX-License-Identifier: MIT */
/* supervised_child.h - a program whose calls the test answers */
#ifndef TESTS_UNIT_SUPERVISED_CHILD_H
#define TESTS_UNIT_SUPERVISED_CHILD_H

#ifdef NO_SUITE /* of a fuzzer */
#include "tests/unit/assertions.h"
#else
#include <check.h>
#endif
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/capture/capture.h"

/** begin() - runs @play in a child with the supervised filter. Its process id; *listener: ours */
static pid_t begin(int (*play)(void), int *listener)
{
	int ends[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		alarm(0);
		*listener = wgw_filter_hand_over();
		if (write(ends[1], listener, sizeof(*listener)) < 0 || *listener < 0)
			_exit(99);
		_exit(play());
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(read(ends[0], listener, sizeof(*listener)), sizeof(*listener));
	close(ends[0]);
	close(ends[1]);
	ck_assert_int_ge(*listener, 0);
	return pid;
}

#endif
