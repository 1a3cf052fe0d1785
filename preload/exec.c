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

/* Our entry, then the program's own. */
static void merge_preload(struct pre_env *r, const char *kept, const char *theirs)
{
	size_t kept_len = strlen(kept);
	size_t theirs_len = strlen(theirs);

	if (!theirs_len || kept_len + 1 + theirs_len + 1 > sizeof(r->merged)) {
		r->preload = kept;
		return;
	}
	memcpy(r->merged, kept, kept_len);
	r->merged[kept_len] = ':';
	memcpy(r->merged + kept_len + 1, theirs, theirs_len + 1);
	r->preload = r->merged;
}

/* Finds out what must change. false: nothing. */
static bool examine(char *const env[], struct pre_env *r)
{
	const char *session = pre_kept_session();
	const char *preload = pre_kept_preload();

	r->session = session;
	r->apps = pre_kept_apps();
	r->preload = preload;
	r->preload_at = SIZE_MAX;
	for (size_t i = 0; env && env[i]; i++) {
		if (starts_with(env[i], SESSION_IS))
			r->session = NULL;
		if (starts_with(env[i], WGW_APPS_ENV "="))
			r->apps = NULL;
		if (!preload || !starts_with(env[i], PRELOAD_IS))
			continue;
		r->preload_at = i;
		if (strstr(env[i], SHIM_FILE))
			r->preload = NULL;
		else
			merge_preload(r, preload, env[i] + sizeof(PRELOAD_IS) - 1);
	}
	return r->session || r->apps || r->preload;
}

/* Writes the repaired copy of @env to @out, which has room for PRE_ENV_MORE more. */
static void apply(char *const env[], const struct pre_env *r, char **out)
{
	size_t n = 0;

	for (size_t i = 0; env && env[i]; i++)
		out[n++] = r->preload && i == r->preload_at ? (char *)r->preload : env[i];
	if (r->preload && r->preload_at == SIZE_MAX)
		out[n++] = (char *)r->preload;
	if (r->session)
		out[n++] = (char *)r->session;
	if (r->apps)
		out[n++] = (char *)r->apps;
	out[n] = NULL;
}

bool pre_env_is_lacking(char *const env[])
{
	struct pre_env r;

	return examine(env, &r);
}

char **pre_env_repair(char *const env[], struct pre_env *r, char **out)
{
	examine(env, r);
	apply(env, r, out);
	return out;
}

/* Declares `env`, the environment to pass on: @given, repaired if need be. */
#define REPAIRED_ENV(given)                                                                        \
	struct pre_env repair;                                                                     \
	size_t n_env = count(given);                                                               \
	bool change = n_env <= ENV_MAX && (pre_enter(), examine(given, &repair));                  \
	char *copy[change ? n_env + PRE_ENV_MORE : 1];                                             \
	char *const *env = given;                                                                  \
	if (change) {                                                                              \
		apply(given, &repair, copy);                                                       \
		env = copy;                                                                        \
	}

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

/* Collects the arguments after @first, up to NULL. Their number, or SIZE_MAX: too many. */
static size_t collect(va_list args, const char *first, char **argv)
{
	size_t n = 0;

	for (const char *arg = first; arg; arg = va_arg(args, const char *)) {
		if (n == ARGS_MAX)
			return SIZE_MAX;
		argv[n++] = (char *)arg;
	}
	argv[n] = NULL;
	return n;
}

PRE_EXPORT int execl(const char *path, const char *arg, ...)
{
	char *argv[ARGS_MAX + 1];
	va_list args;
	size_t n;

	va_start(args, arg);
	n = collect(args, arg, argv);
	va_end(args);
	return n == SIZE_MAX ? (int)pre_result(-E2BIG) : execv(path, argv);
}

PRE_EXPORT int execlp(const char *file, const char *arg, ...)
{
	char *argv[ARGS_MAX + 1];
	va_list args;
	size_t n;

	va_start(args, arg);
	n = collect(args, arg, argv);
	va_end(args);
	return n == SIZE_MAX ? (int)pre_result(-E2BIG) : execvp(file, argv);
}

PRE_EXPORT int execle(const char *path, const char *arg, ...)
{
	char *argv[ARGS_MAX + 1];
	char *const *envp;
	va_list args;
	size_t n;

	va_start(args, arg);
	n = collect(args, arg, argv);
	envp = va_arg(args, char *const *);
	va_end(args);
	return n == SIZE_MAX ? (int)pre_result(-E2BIG) : execve(path, argv, envp);
}
