/* SPDX-License-Identifier: MIT */
/*
 * environ.c - the command's environment: the session, and the shared object in LD_PRELOAD
 *
 * ld.so splits LD_PRELOAD at spaces and colons and expands '$', so a path with one of these is
 * reached through a symbolic link in the runtime directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/repr/apps.h"
#include "src/session/command.h"
#include "src/session/launch.h"
#include "src/session/run.h"
#include "src/session/rundir.h"
#include "src/session/say.h"

#ifndef WGW_LIBDIR
#define WGW_LIBDIR "/usr/local/lib/wgwrap"
#endif
#define LIBRARY "libwgwrap.so"
#define PRELOAD "LD_PRELOAD"

extern char **environ;

/** program_dir() - where this program lies; "" when that cannot be told */
static void program_dir(char dir[PATH_MAX])
{
	ssize_t len = readlink("/proc/self/exe", dir, PATH_MAX - 1);
	char *slash;

	dir[len > 0 ? len : 0] = '\0';
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0'; /* "/" stays */
}

/** link_library() - a link to @path in the runtime directory that ld.so can read; -1 after error */
static int link_library(const struct wgw_rundir *dir, char path[PATH_MAX])
{
	char digits[2 * crypto_generichash_BYTES_MIN + 1], name[64], new[80];
	uint8_t hash[crypto_generichash_BYTES_MIN];

	if (dir->fd < 0 || strpbrk(dir->path, " :$")) {
		wgw_say(WGW_SAY_ERROR,
			"%s: the dynamic linker cannot preload a path with a space, a colon or a "
			"dollar sign; move it, or set WGWRAP_RUNTIME_DIR to a directory of yours",
			path);
		return -1;
	}
	crypto_generichash(hash, sizeof(hash), (const uint8_t *)path, strlen(path), NULL, 0);
	sodium_bin2hex(digits, sizeof(digits), hash, sizeof(hash));
	snprintf(name, sizeof(name), "%.16s.so", digits);
	snprintf(new, sizeof(new), "%s.%d", name, (int)getpid());
	unlinkat(dir->fd, new, 0);
	if (symlinkat(path, dir->fd, new) || renameat(dir->fd, new, dir->fd, name)) {
		wgw_say(WGW_SAY_ERROR, "%s/%s: %s", dir->path, name, strerror(errno));
		return -1;
	}
	snprintf(path, PATH_MAX, "%s/%s", dir->path, name);
	return 0;
}

/** look_in() - whether the shared object is there; @path: its real path */
static bool look_in(const char *directory, const char *below, char path[PATH_MAX])
{
	char tried[PATH_MAX];
	int len = snprintf(tried, sizeof(tried), "%s%s/" LIBRARY, directory, below);

	return len < PATH_MAX && !access(tried, R_OK) && realpath(tried, path);
}

bool wgw_library_find(char path[PATH_MAX])
{
	char own[PATH_MAX];

	program_dir(own);
	if ((own[0] && (look_in(own, "", path) || look_in(own, "/../lib/wgwrap", path))) ||
	    look_in(WGW_LIBDIR, "", path))
		return true;
	if (own[0])
		wgw_say(WGW_SAY_ERROR,
			LIBRARY " is neither in %s nor in ../lib/wgwrap from there nor in %s", own,
			WGW_LIBDIR);
	else
		wgw_say(WGW_SAY_ERROR,
			"without /proc " LIBRARY " is only looked for in %s, and is not there",
			WGW_LIBDIR);
	return false;
}

int wgw_library_try(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = fd < 0 ? -errno : 0;
	void *mapped = MAP_FAILED;

	if (fd >= 0)
		mapped = mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (fd >= 0 && mapped == MAP_FAILED)
		err = -errno;
	if (mapped != MAP_FAILED)
		munmap(mapped, 1);
	if (fd >= 0)
		close(fd);
	return err;
}

/** find_library() - finds libwgwrap.so and a path to it that LD_PRELOAD can carry. -1 after an
 * error was said */
static int find_library(const struct wgw_rundir *dir, char path[PATH_MAX])
{
	if (!wgw_library_find(path))
		return -1;
	return strpbrk(path, " :$") ? link_library(dir, path) : 0;
}

/** is_variable() - whether @entry sets @name */
static bool is_variable(const char *entry, const char *name)
{
	size_t len = strlen(name);

	return strncmp(entry, name, len) == 0 && entry[len] == '=';
}

/** preload_value() - "LD_PRELOAD=" with @library first and without other wgwrap objects */
static char *preload_value(const char *library, const char *old)
{
	size_t size = sizeof(PRELOAD "=") + strlen(library) + (old ? strlen(old) : 0) + 2;
	char *value = malloc(size);
	size_t n;

	if (!value)
		return NULL;
	n = (size_t)snprintf(value, size, PRELOAD "=%s", library);
	while (old && *old) {
		size_t len = strcspn(old, " :");
		const char *end = old + len;
		bool ours =
			(len >= sizeof(LIBRARY) - 1 &&
			 strncmp(end - (sizeof(LIBRARY) - 1), LIBRARY, sizeof(LIBRARY) - 1) == 0) ||
			(len == strlen(library) && strncmp(old, library, len) == 0);

		if (len > 0 && !ours)
			n += (size_t)snprintf(value + n, size - n, ":%.*s", (int)len, old);
		old = *end ? end + 1 : end;
	}
	return value;
}

/** session_value() - "WGWRAP_SESSION=..." as wire.h has it */
static char *session_value(const struct wgw_launch *l)
{
	char token[2 * sizeof(l->token) + 1], label_key[2 * sizeof(l->label_key) + 1];
	char abstract[2 * sizeof(l->abstract) + 1], *value;

	sodium_bin2hex(token, sizeof(token), l->token, sizeof(l->token));
	sodium_bin2hex(label_key, sizeof(label_key), l->label_key, sizeof(l->label_key));
	sodium_bin2hex(abstract, sizeof(abstract), l->abstract, sizeof(l->abstract));
	if (asprintf(&value, WGW_SESSION_ENV "=1:%s:%s:%s:%s", token, label_key, abstract,
		     l->prefix) < 0)
		value = NULL;
	return value;
}

/** apps_value() - "WGWRAP_APPS=..." as src/repr/apps.h has it; NULL: there are no lists */
static char *apps_value(const struct wgw_config *config)
{
	const struct wgw_strings *const lists[] = {&config->allowed_apps, &config->disallowed_apps};
	char *value = NULL;
	size_t size;
	FILE *out;

	if (!config->allowed_apps.n && !config->disallowed_apps.n)
		return NULL;
	out = open_memstream(&value, &size);
	if (!out)
		return NULL;
	fprintf(out, WGW_APPS_ENV "=");
	for (int i = 0; i < 2; i++) {
		for (size_t k = 0; k < lists[i]->n; k++)
			fprintf(out, "%c%s,", i == 0 ? '+' : '-', lists[i]->at[k]);
	}
	if (fclose(out)) {
		free(value);
		return NULL;
	}
	return value;
}

/**
 * addressed - what systemd addresses to one process by its number (sd_listen_fds(3),
 * sd_watchdog_enabled(3))
 *
 * A number that is wgwrap's means its command, which has one only after the fork.
 */
static struct {
	const char *name;
	char text[32];
} addressed[] = {{.name = "LISTEN_PID"}, {.name = "WATCHDOG_PID"}};

/** put_addressed() - takes the variable over when it is one of these and for us */
static char *put_addressed(char *variable)
{
	for (size_t i = 0; i < sizeof(addressed) / sizeof(*addressed); i++) {
		if (is_variable(variable, addressed[i].name) &&
		    atoi(variable + strlen(addressed[i].name) + 1) == (int)getpid()) {
			snprintf(addressed[i].text, sizeof(addressed[i].text), "%s", variable);
			return addressed[i].text;
		}
	}
	return variable;
}

void wgw_environ_address(void)
{
	for (size_t i = 0; i < sizeof(addressed) / sizeof(*addressed); i++) {
		if (addressed[i].text[0])
			snprintf(addressed[i].text, sizeof(addressed[i].text), "%s=%d",
				 addressed[i].name, (int)getpid());
	}
}

char **wgw_environ_build(const struct wgw_launch *l)
{
	const char *config = l->options->config;
	const char *secret = strncmp(config, "env:", 4) == 0 ? config + 4 : NULL;
	bool preload = l->options->capture != WGW_CAPTURE_SUPERVISOR;
	char library[PATH_MAX], **env;
	size_t n = 0, out = 0;

	if (preload && find_library(&l->dir, library))
		return NULL;
	while (environ[n])
		n++;
	env = calloc(n + 4, sizeof(*env));
	if (!env)
		goto memory;
	static_assert(WGW_ENVIRON_SESSION == 0, "comes first");
	env[out++] = session_value(l);
	if (preload)
		env[out++] = preload_value(library, getenv(PRELOAD));
	if (!env[0] || !env[out - 1])
		goto memory;
	env[out] = apps_value(l->config);
	out += env[out] != NULL;
	for (size_t i = 0; i < n; i++) {
		if (is_variable(environ[i], WGW_SESSION_ENV) ||
		    is_variable(environ[i], WGW_APPS_ENV) ||
		    (preload && is_variable(environ[i], PRELOAD)) ||
		    (secret && is_variable(environ[i], secret)))
			continue;
		env[out++] = put_addressed(environ[i]);
	}
	return env;
memory:
	wgw_say(WGW_SAY_ERROR, "out of memory");
	free(env);
	return NULL;
}

/** is_loopback_url() - whether a proxy's address is on this host */
static bool is_loopback_url(const char *url)
{
	const char *scheme = strstr(url, "://"), *at;

	if (scheme)
		url = scheme + 3;
	at = strchr(url, '@');
	if (at)
		url = at + 1;
	return strncmp(url, "127.", 4) == 0 || strncasecmp(url, "localhost", 9) == 0 ||
	       strncmp(url, "[::1]", 5) == 0;
}

void wgw_environ_warn(void)
{
	static const char *const names[] = {"http_proxy",  "https_proxy", "all_proxy",
					    "HTTPS_PROXY", "ALL_PROXY",	  "HTTP_PROXY"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *value = getenv(names[i]);

		if (!value || !is_loopback_url(value))
			continue;
		wgw_say(WGW_SAY_WARNING,
			"%s points to this host, and loopback is outside the tunnel: what goes "
			"through that proxy does too",
			names[i]);
		return;
	}
}
