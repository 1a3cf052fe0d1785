/* SPDX-License-Identifier: MIT */
/*
 * settings.c - the tunnel-wide settings as text, to see whether two invocations agree
 *
 * One fact a line, sorted, so that two texts are compared line by line and what differs can be
 * shown to the user. No line holds a secret: the interface appears by its public key, a preshared
 * key as a hash keyed with the private key, which nobody can search without that key.
 *
 * What belongs to a session (DNS, search domains, direct prefixes, app lists) is not here.
 */
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/config/values.h"
#include "src/tunnel/tunnel.h"

enum { HASH_BYTES = 16 };

/** struct lines - growing list; @failed: out of memory at some point */
struct lines {
	char **at;
	size_t n, room;
	bool failed;
};

static void add(struct lines *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct lines *l, const char *format, ...)
{
	va_list ap;
	char *line;

	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		char **at = reallocarray(l->at, room, sizeof(*at));

		if (!at) {
			l->failed = true;
			return;
		}
		l->at = at;
		l->room = room;
	}
	va_start(ap, format);
	if (vasprintf(&line, format, ap) < 0)
		l->failed = true;
	else
		l->at[l->n++] = line;
	va_end(ap);
}

static void add_preshared_key(struct lines *l, const struct wgw_config *config,
			      const struct wgw_peer_config *peer, const char *name)
{
	static const char label[] = "wgwrap settings: preshared key";
	char text[2 * HASH_BYTES + 1];
	uint8_t hash[HASH_BYTES];
	crypto_generichash_state state;

	if (sodium_is_zero(peer->preshared_key, WG_KEY_BYTES))
		return;
	crypto_generichash_init(&state, config->private_key, WG_KEY_BYTES, sizeof(hash));
	crypto_generichash_update(&state, (const uint8_t *)label, sizeof(label));
	crypto_generichash_update(&state, peer->public_key, WG_KEY_BYTES);
	crypto_generichash_update(&state, peer->preshared_key, WG_KEY_BYTES);
	crypto_generichash_final(&state, hash, sizeof(hash));
	sodium_memzero(&state, sizeof(state));
	add(l, "peer %s preshared-key hash %s", name,
	    sodium_bin2hex(text, sizeof(text), hash, sizeof(hash)));
}

static void add_peer(struct lines *l, const struct wgw_config *config,
		     const struct wgw_peer_config *peer)
{
	char name[WGW_KEY_TEXT_LEN + 1], text[WGW_ADDR_TEXT_BYTES], route[WGW_ROUTE_TEXT_BYTES];

	wgw_key_text(peer->public_key, name);
	add(l, "peer %s", name);
	for (size_t i = 0; i < peer->allowed_ips.n; i++)
		add(l, "peer %s allowed-ips %s", name,
		    wgw_prefix_text(&peer->allowed_ips.at[i], text));
	for (size_t i = 0; i < peer->routes.n; i++)
		add(l, "peer %s route %s", name, wgw_route_text(&peer->routes.at[i], route));
	if (peer->endpoint_host)
		add(l, "peer %s endpoint %s port %u", name, peer->endpoint_host,
		    peer->endpoint_port);
	if (peer->keepalive_s)
		add(l, "peer %s persistent-keepalive %u", name, peer->keepalive_s);
	add_preshared_key(l, config, peer, name);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The sorted lines in one text, duplicates once. NULL without memory. */
static char *join(struct lines *l)
{
	size_t len = 1;
	char *text, *at;

	qsort(l->at, l->n, sizeof(*l->at), compare);
	for (size_t i = 0; i < l->n; i++)
		len += strlen(l->at[i]) + 1;
	text = malloc(len);
	if (!text)
		return NULL;
	at = text;
	for (size_t i = 0; i < l->n; i++) {
		if (i > 0 && strcmp(l->at[i], l->at[i - 1]) == 0)
			continue;
		at = stpcpy(at, l->at[i]);
		*at++ = '\n';
	}
	*at = '\0';
	return text;
}

char *wgw_settings_text(const struct wgw_config *config, uint16_t mtu, uint16_t listen_port)
{
	struct lines l = {0};
	char text[WGW_ADDR_TEXT_BYTES], name[WGW_KEY_TEXT_LEN + 1];
	char *out = NULL;

	add(&l, "interface %s", wgw_key_text(config->public_key, name));
	for (size_t i = 0; i < config->addresses.n; i++)
		add(&l, "address %s", wgw_prefix_text(&config->addresses.at[i], text));
	add(&l, "mtu %u", mtu);
	add(&l, "listen-port %u", listen_port);
	if (config->fwmark)
		add(&l, "fwmark %u", config->fwmark);
	for (size_t i = 0; i < config->check_alive.n; i++)
		add(&l, "check-alive %s every %u s",
		    wgw_addr_text(&config->check_alive.at[i].addr, text), config->check_alive_s);
	for (size_t i = 0; i < config->n_peers; i++)
		add_peer(&l, config, &config->peers[i]);
	if (!l.failed)
		out = join(&l);
	for (size_t i = 0; i < l.n; i++)
		free(l.at[i]);
	free(l.at);
	return out;
}

/* Length of the line at @text, without its newline. */
static size_t line_len(const char *text)
{
	return strcspn(text, "\n");
}

static const char *line_next(const char *text)
{
	text += line_len(text);
	return *text ? text + 1 : text;
}

static int line_compare(const char *a, const char *b)
{
	size_t la = line_len(a), lb = line_len(b);
	int d = strncmp(a, b, la < lb ? la : lb);

	return d ? d : (la > lb) - (la < lb);
}

unsigned int wgw_settings_differ(const char *running, const char *theirs, char *out, size_t room)
{
	unsigned int n = 0;

	out[0] = '\0';
	while (*running || *theirs) {
		int d = !*running ? 1 : !*theirs ? -1 : line_compare(running, theirs);
		const char *line = d < 0 ? running : theirs;
		size_t len = line_len(line) + 3;

		if (d != 0) {
			if (len < room) {
				snprintf(out, room, "%c %.*s\n", d < 0 ? '-' : '+',
					 (int)line_len(line), line);
				out += len;
				room -= len;
			}
			n++;
		}
		if (d <= 0)
			running = line_next(running);
		if (d >= 0)
			theirs = line_next(theirs);
	}
	return n;
}
