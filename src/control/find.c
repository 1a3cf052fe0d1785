/* SPDX-License-Identifier: MIT */
/*
 * find.c - the running tunnels of this user, and which of them is meant
 *
 * Every tunnel process has a rendezvous in the runtime directory; whatever answers there runs. So
 * there is no list that could be out of date.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/control/control.h"
#include "src/proxy/proxy.h"
#include "src/session/rundir.h"
#include "src/session/say.h"

enum { DIGITS = WGW_TUNNEL_NAME_BYTES - 1, DIGITS_MIN = 4 };

int wgw_control_connect(const struct wgw_rundir *dir, const char name[WGW_TUNNEL_NAME_BYTES])
{
	char prefix[WGW_PATH_PREFIX_MAX_BYTES];

	snprintf(prefix, sizeof(prefix), "%s/%s", dir->path, name);
	return wgw_channel_connect(prefix, NULL);
}

static int compare(const void *a, const void *b)
{
	const struct wgw_status *x = *(struct wgw_status *const *)a;
	const struct wgw_status *y = *(struct wgw_status *const *)b;
	int d = strcmp(x->label ? x->label : "", y->label ? y->label : "");

	return d ? d : strcmp(x->name, y->name);
}

/* Whether it was this process that lacked something, so nothing is known of the tunnel. */
static bool is_our_lack(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS;
}

/* Adds the tunnel called @name if it answers. Returns 0 or -errno. */
static int add(const struct wgw_rundir *dir, const char name[WGW_TUNNEL_NAME_BYTES],
	       struct wgw_tunnels *list)
{
	int fd = wgw_control_connect(dir, name);
	struct wgw_status *status, **at;
	char whom[64];
	int err;

	if (fd < 0)
		return is_our_lack(-fd) ? fd : 0;
	status = wgw_control_status(fd);
	err = status ? 0 : errno;
	if (err && !is_our_lack(err) && err != ECONNRESET && err != EPIPE) {
		wgw_channel_whom(fd, whom, sizeof(whom));
		wgw_say(WGW_SAY_WARNING, "tunnel %s (%s) does not answer: %s", name, whom,
			strerror(err));
		list->silent++;
	}
	close(fd);
	if (!status)
		return is_our_lack(err) ? -err : 0;
	memcpy(status->name, name, WGW_TUNNEL_NAME_BYTES);
	at = reallocarray(list->at, list->n + 1, sizeof(struct wgw_status *));
	if (!at) {
		wgw_status_free(status);
		return -ENOMEM;
	}
	list->at = at;
	at[list->n++] = status;
	return 0;
}

int wgw_tunnels_list(const struct wgw_rundir *dir, struct wgw_tunnels *out)
{
	DIR *d = dir->fd >= 0 ? opendir(dir->path) : NULL;
	struct dirent *entry;
	int err = dir->fd >= 0 && !d && errno != ENOENT ? -errno : 0;

	memset(out, 0, sizeof(*out));
	while (d && !err && (entry = readdir(d))) {
		char name[WGW_TUNNEL_NAME_BYTES];

		if (strspn(entry->d_name, "0123456789abcdef") != DIGITS ||
		    strcmp(entry->d_name + DIGITS, ".q") != 0)
			continue;
		memcpy(name, entry->d_name, DIGITS);
		name[DIGITS] = '\0';
		err = add(dir, name, out);
	}
	if (d)
		closedir(d);
	if (err) {
		wgw_say(WGW_SAY_ERROR, "%s: cannot ask the tunnels there: %s", dir->path,
			strerror(-err));
		wgw_tunnels_free(out);
		return -1;
	}
	if (out->n > 1)
		qsort(out->at, out->n, sizeof(struct wgw_status *), compare);
	return 0;
}

int wgw_tunnels_running(struct wgw_tunnels *out)
{
	struct wgw_rundir dir;
	int err;

	wgw_rundir_open(&dir);
	err = wgw_tunnels_list(&dir, out);
	if (dir.fd >= 0)
		close(dir.fd);
	return err;
}

void wgw_tunnels_free(struct wgw_tunnels *list)
{
	for (size_t i = 0; i < list->n; i++)
		wgw_status_free(list->at[i]);
	free(list->at);
	memset(list, 0, sizeof(*list));
}

/* ---- which one ---- */

/* The public key of the configuration called @what. */
static bool key_of_config(const char *what, uint8_t key[WG_KEY_BYTES])
{
	const struct wgw_run_options as = {.config = what, .lenient = true};
	struct wgw_config *config = wgw_proxy_tunnel(&as, true);

	if (config)
		memcpy(key, config->public_key, WG_KEY_BYTES);
	wgw_config_free(config);
	return config != NULL;
}

/** struct wanted - how @what may mean a tunnel; tried one after the other */
struct wanted {
	const char *what;
	uint8_t key[WG_KEY_BYTES];
};

static bool by_label(const struct wgw_status *s, const struct wanted *w)
{
	return s->label && strcmp(s->label, w->what) == 0;
}

static bool by_name(const struct wgw_status *s, const struct wanted *w)
{
	size_t len = strlen(w->what);

	return len >= DIGITS_MIN && strncmp(s->name, w->what, len) == 0;
}

static bool by_key(const struct wgw_status *s, const struct wanted *w)
{
	return memcmp(s->public_key, w->key, WG_KEY_BYTES) == 0;
}

static bool any(const struct wgw_status *s, const struct wanted *w)
{
	(void)s;
	(void)w;
	return true;
}

/* How many of @list @matches, *found is the first. */
static size_t count(const struct wgw_tunnels *list,
		    bool (*matches)(const struct wgw_status *, const struct wanted *),
		    const struct wanted *w, struct wgw_status **found)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		if (!matches(list->at[i], w))
			continue;
		if (n++ == 0)
			*found = list->at[i];
	}
	return n;
}

int wgw_tunnels_find(const struct wgw_tunnels *list, const char *what, struct wgw_status **found)
{
	struct wanted w = {.what = what};
	size_t n;

	if (!what) {
		n = count(list, any, &w, found);
		if (n > 0)
			n += list->silent;
	} else {
		n = count(list, by_label, &w, found);
		if (n == 0)
			n = count(list, by_name, &w, found);
		if (n == 0 && list->n > 0 && key_of_config(what, w.key))
			n = count(list, by_key, &w, found);
	}
	if (n == 1)
		return WGW_EXIT_OK;
	if (n > 1) {
		wgw_say(WGW_SAY_ERROR, "%zu tunnels %s%s; name one by its ID (wgwrap list)", n,
			what ? "are called " : "are running", what ? what : "");
		return WGW_EXIT_USAGE;
	}
	if (list->silent > 0) {
		wgw_say(WGW_SAY_ERROR, "%s%sno such tunnel answers", what ? what : "",
			what ? ": " : "");
		return WGW_EXIT_RUNTIME;
	}
	if (what)
		wgw_say(WGW_SAY_ERROR, "%s: no such tunnel is running", what);
	else
		wgw_say(WGW_SAY_ERROR, "no tunnel is running");
	return WGW_EXIT_NOT_RUNNING;
}
