/* SPDX-License-Identifier: MIT */
/*
 * inspect.c - can this program be captured? Asked before exec, because a sentence helps more than
 * an EACCES from socket(2) later
 *
 * The shared object gets into a program through ld.so. It does not into: statically linked
 * programs (no PT_INTERP), programs of another architecture or C library, programs whose file
 * capabilities make ld.so ignore LD_PRELOAD (AT_SECURE). Go's runtime makes system calls without
 * libc, however it is linked. Scripts are what their #! line names.
 *
 * Set-user-ID and set-group-ID programs run as their caller under no_new_privs, and are then
 * captured like any other: ping and traceroute need no more, sudo cannot work. Which of them it is,
 * is not known here; so there is a warning.
 *
 * What cannot be read, or is started later by the command, is not looked at: the filter stays.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/session/program.h"
#include "src/session/run.h"
#include "src/session/say.h"

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#else
#error "name this architecture's ELF machine"
#endif

/** is_foreign_libc() - whether the shared object, linked as we are, cannot be loaded there */
static bool is_foreign_libc(const char *interpreter)
{
#ifdef __GLIBC__
	return strstr(interpreter, "/ld-musl-") != NULL;
#else
	return strstr(interpreter, "/ld-linux-") != NULL;
#endif
}

/** judge() - what is in the way of capturing @p, the program itself */
static enum wgw_obstacle judge(const struct wgw_program *p, char *why, size_t size)
{
	if (p->elf && p->capabilities_effective && getuid() != 0) {
		snprintf(why, size,
			 "has file capabilities, so the dynamic linker ignores LD_PRELOAD; "
			 "a copy without them works");
		return WGW_OBSTACLE_NO_PRELOAD;
	}
	if (p->elf && (!p->elf64 || p->machine != OUR_MACHINE)) {
		snprintf(why, size, "is a program for another architecture (%s, machine %u)",
			 p->elf64 ? "64 bit" : "32 bit", p->machine);
		return WGW_OBSTACLE_MACHINE;
	}
	if (!p->read_whole)
		return WGW_OBSTACLE_NONE;
	if (p->go)
		snprintf(why, size, "is a Go program, whose system calls do not pass through libc");
	else if (!p->loader[0] && !p->is_loader)
		snprintf(why, size, "is statically linked");
	else if (is_foreign_libc(p->loader))
		snprintf(why, size, "is linked with another C library (%s)", p->loader);
	else
		return WGW_OBSTACLE_NONE;
	return WGW_OBSTACLE_NO_PRELOAD;
}

enum wgw_obstacle wgw_program_judge(const struct wgw_program *p, char *why, size_t size)
{
	char inner[PATH_MAX];
	enum wgw_obstacle obstacle =
		judge(p, p->n_scripts ? inner : why, p->n_scripts ? sizeof(inner) : size);

	if (obstacle != WGW_OBSTACLE_NONE && p->n_scripts)
		snprintf(why, size, "is a script whose interpreter %s %s", p->path, inner);
	return obstacle;
}

enum wgw_obstacle wgw_inspect(const char *path, char *why, size_t size)
{
	struct wgw_program p;

	return wgw_program_read(path, &p) ? WGW_OBSTACLE_NONE : wgw_program_judge(&p, why, size);
}

/** candidate() - whether @path may be executed; keeps the errno that matters in *err */
static bool candidate(const char *path, int *err)
{
	struct stat st;

	if (stat(path, &st)) {
		if (errno != ENOENT && errno != ENOTDIR)
			*err = errno;
		return false;
	}
	if (S_ISDIR(st.st_mode))
		*err = EISDIR;
	else if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS))
		*err = errno;
	else
		return true;
	return false;
}

char *wgw_search_path(const char *file, int *err)
{
	const char *list = getenv("PATH");

	if (!list)
		list = "/bin:/usr/bin"; /* as execvp */
	for (;;) {
		size_t len = strcspn(list, ":");
		char *path;

		if (asprintf(&path, "%.*s%s%s", (int)len, list, len ? "/" : "", file) < 0) {
			*err = ENOMEM;
			return NULL;
		}
		if (candidate(path, err))
			return path;
		free(path);
		if (list[len] == '\0')
			return NULL;
		list += len + 1;
	}
}

/** warn_of_privilege() - programs like sudo do not say what it is that stands in their way */
static void warn_of_privilege(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & S_ISUID) && st.st_uid != geteuid())
		wgw_say(WGW_SAY_WARNING,
			"%s is set-user-ID, but programs in a tunnel gain no privileges; if it "
			"needs them, let it start wgwrap instead",
			path);
}

int wgw_find_command(const char *file, const struct wgw_capture_probe *capture, char **path)
{
	enum wgw_obstacle obstacle;
	int err = ENOENT;
	char why[PATH_MAX + 256];

	*path = NULL;
	if (strchr(file, '/')) {
		if (candidate(file, &err)) {
			*path = strdup(file);
			err = ENOMEM;
		}
	} else if (file[0]) {
		*path = wgw_search_path(file, &err);
	}
	if (!*path) {
		wgw_say(WGW_SAY_ERROR, "%s: %s", file,
			err == ENOENT ? "command not found" : strerror(err));
		return err == ENOENT ? WGW_RUN_NOT_FOUND : WGW_RUN_NOT_EXECUTABLE;
	}
	obstacle = wgw_inspect(*path, why, sizeof(why));
	/* the supervisor captures what the shared object does not reach */
	if (obstacle == WGW_OBSTACLE_NONE ||
	    (obstacle == WGW_OBSTACLE_NO_PRELOAD && capture->level == WGW_CAPTURE_SUPERVISED)) {
		warn_of_privilege(*path);
		return 0;
	}
	if (obstacle == WGW_OBSTACLE_NO_PRELOAD)
		wgw_say(WGW_SAY_ERROR,
			"%s %s: it cannot be run in the tunnel without a supervisor (%s)", *path,
			why, capture->why[0] ? capture->why : "--capture");
	else
		wgw_say(WGW_SAY_ERROR, "%s %s: it cannot be run in the tunnel", *path, why);
	free(*path);
	*path = NULL;
	return WGW_RUN_NOT_EXECUTABLE;
}
