/* SPDX-License-Identifier: MIT */
/*
 * exec.c - programs that start programs with another environment
 *
 * A child without LD_PRELOAD or WGW_SESSION_ENV would not leak (the filter refuses its IP sockets)
 * but would have no network. So both are put back: the session as it was at the start, and the shim
 * in front of whatever LD_PRELOAD the program sets. env -i, sudo-like cleaners and launchers that
 * build their own environment then work. Children of vfork come through here: only the stack is
 * written.
 */
#include "preload/pre.h"
#include "src/repr/apps.h"

#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum {
	ENV_MAX = 16384, /* entries; a longer environment is passed as it is */
	ARGS_MAX = 4096, /* of the execl family */
};

#define SHIM_FILE  "libwgwrap.so"
#define PRELOAD_IS "LD_PRELOAD="
#define SESSION_IS WGW_SESSION_ENV "="

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static size_t count(char *const list[])
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

/* Whether @entry, an LD_PRELOAD, names the shim: by its file's name, or as the first in @kept does, which
 * may be a link of another name (src/session/environ.c). */
static bool names_shim(const char *entry, const char *kept)
{
	const char *first = kept + sizeof(PRELOAD_IS) - 1;

	return strstr(entry, SHIM_FILE) ||
	       memmem(entry, strlen(entry), first, strcspn(first, " :"));
}

/* Our entry takes the place of the program's own, in front of what that names. */
static void join_preload(struct pre_env *r, const char *kept, const char *theirs)
{
	size_t room = strlen(kept) + 1 + strlen(theirs) + 1;

	r->preload = kept;
	r->theirs = *theirs && room <= PRE_PRELOAD_MAX_BYTES ? theirs : NULL;
	r->room = r->theirs ? room : 0;
}

bool pre_env_examine(char *const env[], struct pre_env *r)
{
	const char *session = pre_kept_session();
	const char *preload = pre_kept_preload();

	r->session = session;
	r->apps = pre_kept_apps();
	r->preload = preload;
	r->theirs = NULL;
	r->preload_at = SIZE_MAX;
	r->room = 0;
	for (size_t i = 0; env && env[i]; i++) {
		if (starts_with(env[i], SESSION_IS))
			r->session = NULL;
		if (starts_with(env[i], WGW_APPS_ENV "="))
			r->apps = NULL;
		if (!preload || !starts_with(env[i], PRELOAD_IS))
			continue;
		r->preload_at = i;
		if (names_shim(env[i], preload))
			r->preload = NULL;
		else
			join_preload(r, preload, env[i] + sizeof(PRELOAD_IS) - 1);
	}
	return r->session || r->apps || r->preload;
}

char **pre_env_repair(char *const env[], const struct pre_env *r, char **out, char *text)
{
	char *preload = (char *)r->preload;
	size_t n = 0;

	if (r->preload && r->theirs) {
		size_t kept = strlen(r->preload);

		memcpy(text, r->preload, kept);
		text[kept] = ':';
		memcpy(text + kept + 1, r->theirs, r->room - kept - 1);
		preload = text;
	}
	for (size_t i = 0; env && env[i]; i++)
		out[n++] = preload && i == r->preload_at ? preload : env[i];
	if (preload && r->preload_at == SIZE_MAX)
		out[n++] = preload;
	if (r->session)
		out[n++] = (char *)r->session;
	if (r->apps)
		out[n++] = (char *)r->apps;
	out[n] = NULL;
	return out;
}

/* Declares `env`, the environment to pass on: @given, repaired if need be. */
#define REPAIRED_ENV(given)                                                                        \
	struct pre_env repair;                                                                     \
	size_t n_env = count(given);                                                               \
	bool change = n_env <= ENV_MAX && (pre_enter(), pre_env_examine(given, &repair));          \
	char *copy[change ? n_env + PRE_ENV_MORE : 1];                                             \
	char text[change ? repair.room + 1 : 1];                                                   \
	char *const *env = change ? pre_env_repair(given, &repair, copy, text) : given;

PRE_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	REPAIRED_ENV(envp)
	return pre_next.execve(path, argv, env);
}

PRE_EXPORT int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

PRE_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	REPAIRED_ENV(envp)
	return pre_next.execvpe(file, argv, env);
}

PRE_EXPORT int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

PRE_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	REPAIRED_ENV(envp)
	return pre_next.fexecve(fd, argv, env);
}

PRE_EXPORT int posix_spawn(pid_t *restrict pid, const char *restrict path,
			   const posix_spawn_file_actions_t *actions,
			   const posix_spawnattr_t *restrict attr, char *const argv[restrict],
			   char *const envp[restrict])
{
	REPAIRED_ENV(envp)
	return pre_next.posix_spawn(pid, path, actions, attr, argv, env);
}

PRE_EXPORT int posix_spawnp(pid_t *restrict pid, const char *restrict file,
			    const posix_spawn_file_actions_t *actions,
			    const posix_spawnattr_t *restrict attr, char *const argv[restrict],
			    char *const envp[restrict])
{
	REPAIRED_ENV(envp)
	return pre_next.posix_spawnp(pid, file, actions, attr, argv, env);
}

/* ---- the list forms ---- */

/* How many arguments there are from @first on, up to NULL; ARGS_MAX + 1: too many. */
static size_t count_args(va_list *args, const char *first)
{
	size_t n = 0;

	for (const char *arg = first; arg && n <= ARGS_MAX; arg = va_arg(*args, const char *))
		n++;
	return n;
}

/* Writes them to @argv, NULL included. What is behind them is next in @args. */
static void collect(va_list *args, const char *first, char **argv)
{
	for (const char *arg = first; arg; arg = va_arg(*args, const char *))
		*argv++ = (char *)arg;
	*argv = NULL;
}

/* Declares `argv`, the arguments from @first on, which takes no more of the stack than they need:
 * a thread may have little. `args` is behind them then. */
#define LISTED_ARGS(first)                                                                         \
	va_list args;                                                                              \
	size_t n_args;                                                                             \
	va_start(args, first);                                                                     \
	n_args = count_args(&args, first);                                                         \
	va_end(args);                                                                              \
	if (n_args > ARGS_MAX)                                                                     \
		return (int)pre_result(-E2BIG);                                                    \
	char *argv[n_args + 1];                                                                    \
	va_start(args, first);                                                                     \
	collect(&args, first, argv);

PRE_EXPORT int execl(const char *path, const char *arg, ...)
{
	LISTED_ARGS(arg)
	va_end(args);
	return execv(path, argv);
}

PRE_EXPORT int execlp(const char *file, const char *arg, ...)
{
	LISTED_ARGS(arg)
	va_end(args);
	return execvp(file, argv);
}

PRE_EXPORT int execle(const char *path, const char *arg, ...)
{
	char *const *envp;

	LISTED_ARGS(arg)
	envp = va_arg(args, char *const *);
	va_end(args);
	return execve(path, argv, envp);
}
