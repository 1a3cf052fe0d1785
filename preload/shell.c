/* SPDX-License-Identifier: MIT */
/*
 * shell.c - system(3), popen(3)
 *
 * libc starts the shell by itself, with the environment as it is. A program that has cleared its
 * environment gets it repaired for the time of the call, as exec.c does for the others.
 */
#include <unistd.h>

#include "preload/pre.h"

enum { ENV_MAX = 16384 };

/* Whether the environment lacks something, what, and how many entries it has. */
static bool is_lacking(struct pre_env *lack, size_t *n)
{
	pre_enter();
	for (*n = 0; environ && environ[*n];)
		++*n;
	return *n <= ENV_MAX && pre_env_examine(environ, lack);
}

PRE_EXPORT int system(const char *command)
{
	struct pre_env lack;
	size_t n;
	bool lacking = is_lacking(&lack, &n);
	char *copy[lacking ? n + PRE_ENV_MORE : 1];
	char text[lacking ? lack.room + 1 : 1];
	char **old = environ;
	int status;

	if (lacking)
		environ = pre_env_repair(old, &lack, copy, text);
	status = pre_next.system(command);
	if (lacking)
		environ = old;
	return status;
}

PRE_EXPORT FILE *popen(const char *command, const char *mode)
{
	struct pre_env lack;
	size_t n;
	bool lacking = is_lacking(&lack, &n);
	char *copy[lacking ? n + PRE_ENV_MORE : 1];
	char text[lacking ? lack.room + 1 : 1];
	char **old = environ;
	FILE *stream;

	if (lacking)
		environ = pre_env_repair(old, &lack, copy, text);
	stream = pre_next.popen(command, mode);
	if (lacking)
		environ = old;
	return stream;
}
