/* SPDX-License-Identifier: MIT */
/*
 * static_spawn.c - starts a program many times by vfork and posix_spawn, or leaves a daemon behind;
 * built statically
 *
 * usage: static_spawn storm COUNT PROGRAM [ARG...]: prints how many ended with status 0
 *        static_spawn daemon PROGRAM [ARG...]: a double-forked one begins when its parent has ended
 */
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common.h"

enum { AT_ONCE = 20 };

extern char **environ;

static pid_t start(int number, char **argv)
{
	pid_t pid;

	if (number % 2) {
		if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ))
			die("posix_spawn");
		return pid;
	}
	pid = vfork();
	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	return pid;
}

static void storm(int count, char **argv)
{
	int running = 0, good = 0, status;

	for (int i = 0; i < count || running; i++) {
		if (i < count) {
			start(i, argv);
			running++;
		}
		if (running < AT_ONCE && i < count)
			continue;
		if (wait(&status) > 0) {
			running--;
			good += status == 0;
		}
	}
	printf("%d of %d\n", good, count);
}

static void leave(char **argv)
{
	pid_t parent = getpid();

	if (fork())
		_exit(0);
	setsid();
	if (fork())
		_exit(0);
	while (kill(parent, 0) == 0)
		sleep_ms(10);
	sleep_ms(500);
	execv(argv[0], argv);
	die(argv[0]);
}

int main(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[1], "storm") == 0)
		storm(atoi(argv[2]), argv + 3);
	else if (argc > 2 && strcmp(argv[1], "daemon") == 0)
		leave(argv + 2);
	else
		return 2;
	return 0;
}
