/* SPDX-License-Identifier: MIT */
/*
 * read.c - where a configuration comes from: a path, a NAME, standard input, the environment
 *
 * The text holds keys, so every copy of it that is made here is wiped: the buffer when it grows,
 * the variable of the environment after it was read.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/config/config.h"
#include "src/config/diag.h"

enum { FIRST_READ_BYTES = 16 * 1024 };

static const char env_prefix[] = "env:";
static const char system_dir[] = "/etc/wireguard";

void wgw_config_wipe(char *text, size_t len)
{
	if (!text)
		return;
	sodium_memzero(text, len);
	free(text);
}

/**
 * read_all() - everything up to the end of @fd
 *
 * Return: malloc'ed text, NUL-terminated behind its *@len bytes; NULL and errno (EFBIG: more than
 * WGW_CONFIG_MAX_BYTES)
 */
static char *read_all(int fd, size_t *len)
{
	size_t room = FIRST_READ_BYTES, n = 0;
	char *text = malloc(room);
	int error = ENOMEM;

	while (text) {
		ssize_t r = read(fd, text + n, room - n - 1);

		if (r < 0 && errno == EINTR)
			continue;
		error = errno;
		if (r < 0)
			break;
		n += (size_t)r;
		error = EFBIG;
		if (n > WGW_CONFIG_MAX_BYTES)
			break;
		if (r == 0) {
			text[n] = '\0';
			*len = n;
			return text;
		}
		if (n == room - 1) {
			char *larger = malloc(2 * room);

			error = ENOMEM;
			if (!larger)
				break;
			memcpy(larger, text, n);
			wgw_config_wipe(text, room);
			text = larger;
			room *= 2;
		}
	}
	wgw_config_wipe(text, text ? room : 0);
	errno = error;
	return NULL;
}

/** warn_access() - when others can use the file and search its directory. wg-quick(8) says the
 * same, but not of directories that can be searched and not listed. */
static void warn_access(int fd, const char *path, struct wgw_diag *diag)
{
	char copy[PATH_MAX];
	struct stat file, dir;

	if (fstat(fd, &file) < 0 || !S_ISREG(file.st_mode) || strlen(path) >= sizeof(copy))
		return;
	memcpy(copy, path, strlen(path) + 1);
	if (stat(dirname(copy), &dir) < 0)
		return;
	if ((file.st_mode & S_IRWXO) && (dir.st_mode & S_IXOTH))
		wgw_diag_say(diag, WGW_WARNING, "%s is world accessible: try chmod 600", path);
}

/** said() - says why @path could not be read. Return: NULL */
static char *said(const char *path, int error, struct wgw_diag *diag)
{
	if (error == EFBIG)
		wgw_diag_say(diag, WGW_ERROR, "%s: larger than %d bytes", path,
			     WGW_CONFIG_MAX_BYTES);
	else
		wgw_diag_say(diag, WGW_ERROR, "cannot read %s: %s", path, strerror(error));
	return NULL;
}

/** read_fd() - reads and closes @fd */
static char *read_fd(int fd, const char *path, size_t *len, struct wgw_diag *diag)
{
	char *text;
	int error;

	warn_access(fd, path, diag);
	text = read_all(fd, len);
	error = errno;
	close(fd);
	return text ? text : said(path, error, diag);
}

/** read_env() - the value of @name, which is then gone from the environment and from memory */
static char *read_env(const char *name, size_t *len, struct wgw_diag *diag)
{
	char *value = getenv(name);
	char *text;

	if (!value || !*value) {
		wgw_diag_say(diag, WGW_ERROR, "environment variable %s is %s", name,
			     value ? "empty" : "not set");
		return NULL;
	}
	*len = strlen(value);
	text = strdup(value);
	sodium_memzero(value, *len);
	unsetenv(name);
	if (!text)
		wgw_diag_say(diag, WGW_ERROR, "environment variable %s: out of memory", name);
	return text;
}

/** is_name() - whether @what can be a NAME: no path, no extension of its own */
static bool is_name(const char *what)
{
	const char *dot = strrchr(what, '.');

	return !strchr(what, '/') && *what && *what != '.' && !(dot && strcmp(dot, ".conf") == 0);
}

/** user_dir() - where the user's own files are. Return: @buf, or NULL when there is no home */
static const char *user_dir(char *buf, size_t size)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	const struct passwd *user;

	if (config && *config == '/') {
		snprintf(buf, size, "%s/wgwrap", config);
		return buf;
	}
	if (!home || *home != '/') {
		user = getpwuid(getuid());
		home = user ? user->pw_dir : NULL;
	}
	if (!home || *home != '/')
		return NULL;
	snprintf(buf, size, "%s/.config/wgwrap", home);
	return buf;
}

/** is_directory() - a directory of that name does not stand in the way of a NAME */
static bool is_directory(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

/**
 * find_file() - opens what @what names
 * @path:	Where it was found, or where the failure was; PATH_MAX bytes
 *
 * Return: descriptor, or -errno; -ENOENT: nowhere
 */
static int find_file(const char *what, char *path)
{
	char user[PATH_MAX / 2];
	const char *dirs[] = {NULL, user_dir(user, sizeof(user)), system_dir};
	size_t n = is_name(what) ? sizeof(dirs) / sizeof(*dirs) : 1;

	for (size_t i = 0; i < n; i++) {
		int fd, len;

		if (i > 0 && !dirs[i])
			continue;
		len = i == 0 ? snprintf(path, PATH_MAX, "%s", what)
			     : snprintf(path, PATH_MAX, "%s/%s.conf", dirs[i], what);
		if (len >= PATH_MAX)
			return -ENAMETOOLONG;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd >= 0 && n > 1 && is_directory(fd)) {
			close(fd);
			continue;
		}
		if (fd >= 0)
			return fd;
		if (errno == EACCES && i > 0 && access(dirs[i], X_OK) < 0)
			continue;
		if (errno != ENOENT && errno != ENOTDIR)
			return -errno;
	}
	snprintf(path, PATH_MAX, "%s", what);
	return -ENOENT;
}

/** say_not_found() - with the places that were looked at */
static void say_not_found(const char *what, struct wgw_diag *diag)
{
	char user[PATH_MAX / 2], own[PATH_MAX] = "", shared[PATH_MAX] = "";
	const char *dir = user_dir(user, sizeof(user));

	if (is_name(what) && dir)
		snprintf(own, sizeof(own), ", nor %s/%.255s.conf", dir, what);
	/* it is root's alone on most systems */
	if (is_name(what) && access(system_dir, X_OK) < 0 && errno == EACCES)
		snprintf(shared, sizeof(shared), "; %s may not be searched", system_dir);
	else if (is_name(what))
		snprintf(shared, sizeof(shared), ", nor %s/%.255s.conf", system_dir, what);
	wgw_diag_say(diag, WGW_ERROR, "%s: no such file%s%s", what, own, shared);
}

/** read_file() - a path or a NAME. *@source: where it was found */
static char *read_file(const char *what, size_t *len, char **source, struct wgw_diag *diag)
{
	char path[PATH_MAX];
	int fd = find_file(what, path);

	if (fd == -ENOENT) {
		say_not_found(what, diag);
		return NULL;
	}
	if (fd < 0)
		return said(path, -fd, diag);
	*source = strdup(path);
	return read_fd(fd, path, len, diag);
}

char *wgw_config_read(const char *what, size_t *len, char **source, struct wgw_diag *diag)
{
	char *text;

	*source = NULL;
	if (strcmp(what, "-") == 0) {
		*source = strdup("standard input");
		text = read_all(STDIN_FILENO, len);
		if (!text)
			said("standard input", errno, diag);
	} else if (strncmp(what, env_prefix, strlen(env_prefix)) == 0) {
		const char *name = what + strlen(env_prefix);

		if (asprintf(source, "environment variable %s", name) < 0)
			*source = NULL;
		text = read_env(name, len, diag);
	} else {
		text = read_file(what, len, source, diag);
	}
	if (text && !*source) {
		wgw_diag_say(diag, WGW_ERROR, "%s: out of memory", what);
		wgw_config_wipe(text, *len);
		text = NULL;
	}
	if (!text) {
		free(*source);
		*source = NULL;
	}
	return text;
}
