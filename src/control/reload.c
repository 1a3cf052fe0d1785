/* SPDX-License-Identifier: MIT */
/*
 * reload.c - brings a running tunnel to what its file says now
 *
 * The whole file goes over as a set operation (src/tunnel/configure.c), endpoints resolved anew;
 * the tunnel process takes from it what differs. Sessions with the peers and all connections
 * stay; a new private key needs new sessions, and gives the tunnel another name. What the TCP/IP
 * stack was made with, addresses and MTU, cannot change.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/control/control.h"
#include "src/session/say.h"

enum { HEX_BYTES = 2 * WG_KEY_BYTES + 1 };

static void put_key(FILE *out, const char *name, const uint8_t key[WG_KEY_BYTES])
{
	char hex[HEX_BYTES];

	fprintf(out, "%s=%s\n", name, sodium_bin2hex(hex, sizeof(hex), key, WG_KEY_BYTES));
	sodium_memzero(hex, sizeof(hex));
}

static void put_candidate(FILE *out, const struct wg_endpoint *e)
{
	char text[INET6_ADDRSTRLEN];

	if (e->to.sa.sa_family == AF_INET)
		fprintf(out, "candidate=%s:%u\n",
			inet_ntop(AF_INET, &e->to.in.sin_addr, text, sizeof(text)),
			ntohs(e->to.in.sin_port));
	else if (e->to.in6.sin6_scope_id)
		fprintf(out, "candidate=[%s%%%u]:%u\n",
			inet_ntop(AF_INET6, &e->to.in6.sin6_addr, text, sizeof(text)),
			e->to.in6.sin6_scope_id, ntohs(e->to.in6.sin6_port));
	else
		fprintf(out, "candidate=[%s]:%u\n",
			inet_ntop(AF_INET6, &e->to.in6.sin6_addr, text, sizeof(text)),
			ntohs(e->to.in6.sin6_port));
}

static void put_peer(FILE *out, const struct wgw_peer_config *p,
		     const struct wg_endpoint *endpoints, uint8_t n)
{
	char text[WGW_ADDR_TEXT_BYTES], route[WGW_ROUTE_TEXT_BYTES];

	put_key(out, "public_key", p->public_key);
	put_key(out, "preshared_key", p->preshared_key);
	fprintf(out, "name=%s\npersistent_keepalive_interval=%u\nreplace_allowed_ips=true\n",
		p->name ? p->name : "", p->keepalive_s);
	for (size_t i = 0; i < p->allowed_ips.n; i++)
		fprintf(out, "allowed_ip=%s\n", wgw_prefix_text(&p->allowed_ips.at[i], text));
	fprintf(out, "replace_routes=true\n");
	for (size_t i = 0; i < p->routes.n; i++)
		fprintf(out, "route=%s\n", wgw_route_text(&p->routes.at[i], route));
	if (!p->endpoint_host)
		fprintf(out, "endpoint_host=\n");
	else
		fprintf(out,
			strchr(p->endpoint_host, ':') ? "endpoint_host=[%s]:%u\n"
						      : "endpoint_host=%s:%u\n",
			p->endpoint_host, p->endpoint_port);
	for (uint8_t i = 0; i < n; i++)
		put_candidate(out, &endpoints[i]);
}

/* Writes the set operation into a new memory file; its descriptor or -errno. */
static int set_file(const struct wgw_launch *l, const struct wgw_endpoints *endpoints)
{
	int fd = memfd_create("wgwrap-set", MFD_CLOEXEC), copy, err;
	char text[WGW_ADDR_TEXT_BYTES];
	/* unbuffered: no copy of a key stays in stdio's memory */
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	if (!out) {
		err = errno;
		if (fd >= 0)
			close(fd);
		return -err;
	}
	setvbuf(out, NULL, _IONBF, 0);
	put_key(out, "private_key", l->config->private_key);
	fprintf(out, "listen_port=%u\nfwmark=%u\n", l->listen_port, l->config->fwmark);
	fprintf(out, "alive_interval=%u\n", l->config->check_alive_s);
	for (size_t i = 0; i < l->config->check_alive.n; i++)
		fprintf(out, "alive=%s\n", wgw_addr_text(&l->config->check_alive.at[i].addr, text));
	for (size_t i = 0; i < l->config->dns.n; i++)
		fprintf(out, "dns=%s\n", wgw_addr_text(&l->config->dns.at[i].addr, text));
	for (size_t i = 0; i < l->config->search.n; i++)
		fprintf(out, "search=%s\n", l->config->search.at[i]);
	for (size_t i = 0; i < l->config->n_peers; i++)
		put_peer(out, &l->config->peers[i], endpoints->at[i], endpoints->n[i]);
	copy = ferror(out) ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	err = ferror(out) ? EIO : errno;
	fclose(out);
	return copy < 0 ? -err : copy;
}

static int settings_file(const struct wgw_launch *l)
{
	size_t len = strlen(l->settings);
	int fd = memfd_create("wgwrap-settings", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, l->settings, len) == (ssize_t)len)
		return fd;
	close(fd);
	return -EIO;
}

static void say_refusal(const struct wgw_launch *l, const struct wgw_channel_msg *reply)
{
	const char *text = reply->u.control.text;
	int len = (int)strlen(text);

	while (len > 0 && text[len - 1] == '\n')
		len--;
	if (reply->err == EBUSY)
		wgw_say(WGW_SAY_ERROR,
			"%s: addresses and MTU cannot change while the tunnel runs: \"wgwrap "
			"down\", then \"wgwrap up\". What differs (- running, + file):\n%.*s",
			l->config->source, len, text);
	else if (reply->err == ENODATA)
		wgw_say(WGW_SAY_ERROR,
			"%s has no [Peer], and the running tunnel has: is the file whole? The "
			"tunnel stays as it is; \"wgwrap down\" ends it",
			l->config->source);
	else
		wgw_say(WGW_SAY_ERROR, "%s: the running tunnel refuses: %s%s%s", l->config->source,
			strerror(reply->err), len ? ": " : "", text);
}

/* Asks over @fd. Returns 0, or as wgw_reload after an error was said. */
static int ask(const struct wgw_launch *l, int fd, const int fds[2])
{
	struct wgw_channel_msg reply;
	int err = wgw_control_ask(fd, WGW_CONTROL_RELOAD, fds, 2, &reply);

	if (err == -EPROTO) {
		wgw_say(WGW_SAY_ERROR,
			"%s: it stays as it is; \"wgwrap down\" and \"wgwrap up\" begin one of "
			"this version",
			l->config->source);
		return -1;
	}
	if (err) {
		wgw_say(WGW_SAY_ERROR, "the tunnel process does not answer: %s", strerror(-err));
		return err == -ETIMEDOUT ? -1 : -ENOTCONN;
	}
	if (reply.err) {
		say_refusal(l, &reply);
		return -1;
	}
	if (reply.u.control.value)
		wgw_say(WGW_SAY_INFO, "%s: the running tunnel was changed", l->config->source);
	return 0;
}

/* Asks the tunnel called @name. Returns 0, or as wgw_reload after an error was said. */
static int ask_by_name(const struct wgw_launch *l, const char *name, const int fds[2])
{
	int fd = wgw_control_connect(&l->dir, name), err;

	if (fd < 0) {
		wgw_say(WGW_SAY_ERROR, "the tunnel process cannot be reached: %s", strerror(-fd));
		return -ENOTCONN;
	}
	err = ask(l, fd, fds);
	close(fd);
	return err;
}

/* Its key becomes another. While the new name is locked nobody starts a tunnel of that name. */
static int ask_and_rename(struct wgw_launch *l, const int fds[2])
{
	int lock = wgw_rundir_lock(&l->dir, l->name, true), err = -1;

	if (lock < 0) {
		wgw_say(WGW_SAY_ERROR, "%s.lock: %s", l->prefix, strerror(-lock));
		return -1;
	}
	if (wgw_launch_is_taken(l, l->name))
		wgw_say(WGW_SAY_ERROR, "%s: a tunnel with the new private key runs already",
			l->config->source);
	else
		err = ask_by_name(l, l->running, fds);
	if (!err)
		wgw_rundir_rename(&l->dir, l->running, l->name, lock);
	close(lock);
	return err;
}

int wgw_reload(struct wgw_launch *l)
{
	struct wgw_endpoints endpoints = {0};
	int fds[2] = {-1, -1}, err = -1;

	if (wgw_endpoints_resolve(l->config, l->options->family, &endpoints))
		goto out;
	fds[0] = set_file(l, &endpoints);
	fds[1] = settings_file(l);
	if (fds[0] < 0 || fds[1] < 0) {
		wgw_say(WGW_SAY_ERROR, "no memory file: %s",
			strerror(fds[0] < 0 ? -fds[0] : -fds[1]));
		goto out;
	}
	if (l->running[0] && strcmp(l->running, l->name) != 0)
		err = ask_and_rename(l, fds);
	else
		err = ask_by_name(l, l->name, fds);
	if (!err)
		l->running[0] = '\0';
out:
	wgw_endpoints_free(&endpoints);
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	return err;
}
