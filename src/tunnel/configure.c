/* SPDX-License-Identifier: MIT */
/*
 * configure.c - changes of a running tunnel: the set operation of WireGuard's cross-platform UAPI
 *
 * Lines key=value, first of the interface, then of peers, each of which begins with public_key.
 * The text is read twice: the first time nothing is changed, so that what has a mistake changes
 * nothing at all. Besides the protocol's keys a peer may have ours, which the reload of a file
 * uses:
 *
 *   name=TEXT		as in "# Name ="
 *   endpoint_host=HOST:PORT	what is resolved again when the peer falls silent
 *   route=ROUTE		may be repeated: "#@wgwrap:Route =" with a protocol;
 *				replace_routes=true
 *   candidate=ADDRESS:PORT	may be repeated: all its addresses, in the order to try
 *
 * and the interface, in a whole file: alive_interval=SECONDS, and, repeated, alive=ADDRESS,
 * dns=ADDRESS and search=NAME, which are told to those who ask: which servers a session asks is its
 * own.
 *
 * Connections live on: the TCP/IP stack sees nothing of this. A peer's session stays until it is
 * renewed; a new preshared key counts from the next handshake on. A new private_key ends sending in
 * all sessions, and the next packet makes a new one. As the key is what a tunnel is known by,
 * sessions are told the new one (WGW_CH_KEYED): they can rename its rendezvous, this process
 * cannot.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/config/values.h"
#include "src/tunnel/core.h"
#include "src/tunnel/peers.h"

enum { LINE_BYTES = 1024 };

/**
 * struct change - the state of one reading
 * @apply:	The second reading
 * @whole:	Peers that are not named go
 * @in_peers:	The first public_key has come
 * @skip:	update_only, and there is no such peer
 * @peer:	The current one, with @apply only
 * @n_candidates: of the current peer
 * @alive, @alive_s: what is to answer, with @apply only; how often
 * @dns, @search: Name servers and search domains, with @apply only
 * @keyed:	The interface has another key than before
 */
struct change {
	struct wgw_core *core;
	bool apply, whole, in_peers, skip, keyed;
	uint8_t key[WG_KEY_BYTES];
	struct wgw_peer *peer;
	bool update_only, remove;
	struct wg_endpoint candidates[WGW_ENDPOINTS_MAX];
	unsigned int n_candidates;
	int port;     /* -1: unchanged */
	int64_t mark; /* -1: unchanged */
	uint8_t (*named)[WG_KEY_BYTES];
	size_t n_named;
	struct wgw_prefixes alive, dns;
	struct wgw_strings search;
	uint32_t alive_s;
};

/* ---- values ---- */

static int key_value(const char *value, uint8_t key[WG_KEY_BYTES])
{
	size_t len;

	if (strlen(value) != 2 * WG_KEY_BYTES ||
	    sodium_hex2bin(key, WG_KEY_BYTES, value, strlen(value), NULL, &len, NULL) != 0)
		return -EINVAL;
	return len == WG_KEY_BYTES ? 0 : -EINVAL;
}

static int true_value(const char *value)
{
	return strcmp(value, "true") == 0 ? 0 : -EINVAL;
}

/* "1.2.3.4:5", "[fe80::1%3]:5" with a zone; names are not resolved here. */
static int endpoint_value(const char *value, struct wg_endpoint *out)
{
	char *host, *zone;
	uint16_t port;
	uint32_t scope = 0;
	int err = 0;

	if (wgw_endpoint_parse(value, &host, &port))
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	zone = strchr(host, '%');
	if (zone) {
		*zone++ = '\0';
		scope = if_nametoindex(zone);
		err = scope ? 0 : wgw_number_parse(zone, 0, UINT32_MAX, &scope);
	}
	if (!err && inet_pton(AF_INET, host, &out->to.in.sin_addr) == 1) {
		out->to.in.sin_family = AF_INET;
		out->to.in.sin_port = htons(port);
	} else if (!err && inet_pton(AF_INET6, host, &out->to.in6.sin6_addr) == 1) {
		out->to.in6.sin6_family = AF_INET6;
		out->to.in6.sin6_port = htons(port);
		out->to.in6.sin6_scope_id = scope;
	} else {
		err = -EINVAL;
	}
	free(host);
	return err;
}

/* ---- the interface ---- */

static void change_key(struct change *c, const uint8_t private[WG_KEY_BYTES])
{
	uint8_t public[WG_KEY_BYTES], own[WG_KEY_BYTES];
	struct wgw_peer *self;

	wg_public_key(public, private);
	wg_device_public_key(c->core->t.wg, own);
	if (memcmp(public, own, sizeof(own)) == 0)
		return;
	/* the engine would remove it by itself, but not what we know of it */
	self = wgw_peers_find(c->core->peers, public);
	if (self)
		wgw_peers_remove(self);
	wg_device_set_private_key(c->core->t.wg, private);
	c->keyed = true;
}

/* All zeros, by which the protocol takes the key away, is refused: a tunnel has one. */
static int device_key(struct change *c, const char *value)
{
	uint8_t private[WG_KEY_BYTES];
	int err = key_value(value, private);

	if (!err && sodium_is_zero(private, sizeof(private)))
		err = -EINVAL;
	if (!err && c->apply)
		change_key(c, private);
	sodium_memzero(private, sizeof(private));
	return err;
}

static void remove_all(struct change *c)
{
	struct wgw_peer *p;

	while ((p = wgw_peers_next(c->core->peers, NULL)))
		wgw_peers_remove(p);
}

static int address_line(struct change *c, struct wgw_prefixes *list, const char *value)
{
	struct wgw_prefix one;
	int err = wgw_address_parse(value, &one);

	return err || !c->apply ? err : wgw_prefixes_add(list, &one);
}

static int search_line(struct change *c, const char *name)
{
	if (!*name)
		return -EINVAL;
	return c->apply ? wgw_strings_add(&c->search, name) : 0;
}

/* The second reading is over. */
static int change_lists(struct change *c)
{
	struct wgw_config *config = (struct wgw_config *)(uintptr_t)c->core->t.boot->config;

	if (!c->whole)
		return 0;
	wgw_prefixes_free(&config->dns);
	config->dns = c->dns;
	c->dns = (struct wgw_prefixes){0};
	wgw_strings_free(&config->search);
	config->search = c->search;
	c->search = (struct wgw_strings){0};
	if (!c->core->alive)
		return 0;
	wgw_prefixes_free(&config->check_alive);
	config->check_alive = c->alive;
	config->check_alive_s = (uint16_t)c->alive_s;
	c->alive = (struct wgw_prefixes){0};
	return wgw_alive_follow(c->core->alive);
}

static int device_line(struct change *c, const char *name, const char *value)
{
	uint32_t n;
	int err;

	if (strcmp(name, "private_key") == 0)
		return device_key(c, value);
	if (strcmp(name, "listen_port") == 0) {
		err = wgw_number_parse(value, 0, UINT16_MAX, &n);
		c->port = (int)n;
		return err;
	}
	if (strcmp(name, "fwmark") == 0) {
		err = wgw_number_parse(value, 0, UINT32_MAX, &n);
		c->mark = n;
		return err;
	}
	if (c->whole && strcmp(name, "alive") == 0)
		return address_line(c, &c->alive, value);
	if (c->whole && strcmp(name, "dns") == 0)
		return address_line(c, &c->dns, value);
	if (c->whole && strcmp(name, "search") == 0)
		return search_line(c, value);
	if (c->whole && strcmp(name, "alive_interval") == 0)
		return wgw_number_parse(value, 0, UINT16_MAX, &c->alive_s);
	if (strcmp(name, "replace_peers") == 0) {
		err = true_value(value);
		if (!err && c->apply)
			remove_all(c);
		return err;
	}
	return -EINVAL;
}

/* ---- peers ---- */

/* The current peer, added when it is to be; NULL: it is passed over. *err: it cannot be added. */
static struct wgw_peer *current(struct change *c, int *err)
{
	if (!c->peer && !c->skip) {
		c->peer = wgw_peers_find(c->core->peers, c->key);
		if (!c->peer && !c->update_only) {
			c->peer = wgw_peers_add(c->core->peers, c->key);
			*err = c->peer ? 0 : -ENOMEM;
		}
		c->skip = !c->peer;
	}
	return c->peer;
}

/* What was collected of the peer that ends here. */
static int end_peer(struct change *c)
{
	int err = 0;
	struct wgw_peer *p = c->in_peers && c->apply && !c->remove ? current(c, &err) : NULL;

	if (p && c->n_candidates > 0)
		wgw_peer_set_candidates(p, c->candidates, c->n_candidates);
	if (c->in_peers && c->apply && c->remove) {
		p = wgw_peers_find(c->core->peers, c->key);
		if (p)
			wgw_peers_remove(p);
	}
	return err;
}

static int begin_peer(struct change *c, const char *value)
{
	int err = end_peer(c);
	uint8_t own[WG_KEY_BYTES];

	c->in_peers = true;
	c->peer = NULL;
	c->update_only = c->remove = false;
	c->n_candidates = 0;
	err = err ? err : key_value(value, c->key);
	/* a peer with our own key is passed over, as in the kernel */
	wg_device_public_key(c->core->t.wg, own);
	c->skip = memcmp(own, c->key, sizeof(own)) == 0;
	if (!err && c->whole && c->apply) {
		uint8_t(*named)[WG_KEY_BYTES] =
			reallocarray(c->named, c->n_named + 1, sizeof(*named));

		if (!named)
			return -ENOMEM;
		c->named = named;
		memcpy(named[c->n_named++], c->key, WG_KEY_BYTES);
	}
	return err;
}

static int allowed_ip(struct change *c, const char *value)
{
	struct wgw_prefix prefix;
	struct wgw_peer *p;
	bool minus = *value == '-';
	int err;

	if (*value == '+' || *value == '-')
		value++;
	err = wgw_prefix_parse(value, &prefix, NULL);
	p = !err && c->apply ? current(c, &err) : NULL;
	if (!p)
		return err;
	return minus ? wgw_peer_disallow(p, &prefix) : wgw_peer_allow(p, &prefix);
}

static int host_line(struct change *c, const char *value)
{
	struct wgw_peer *p;
	uint16_t port = 0;
	char *host = NULL;
	int err = 0;

	/* empty: the peer has no name any more */
	if (*value && wgw_endpoint_parse(value, &host, &port))
		return -EINVAL;
	p = c->apply ? current(c, &err) : NULL;
	if (p)
		err = wgw_peer_set_host(p, host, port);
	free(host);
	return err;
}

static int endpoint_line(struct change *c, const char *value)
{
	if (c->n_candidates == WGW_ENDPOINTS_MAX)
		return 0;
	return endpoint_value(value, &c->candidates[c->n_candidates++]);
}

static int preshared_key(struct change *c, const char *value)
{
	uint8_t key[WG_KEY_BYTES];
	int err = key_value(value, key);
	struct wgw_peer *p = !err && c->apply ? current(c, &err) : NULL;

	if (p)
		wgw_peer_set_preshared_key(p, key);
	sodium_memzero(key, sizeof(key));
	return err;
}

static int keepalive(struct change *c, const char *value)
{
	uint32_t seconds;
	int err = wgw_number_parse(value, 0, UINT16_MAX, &seconds);
	struct wgw_peer *p = !err && c->apply ? current(c, &err) : NULL;

	if (p)
		wgw_peer_set_keepalive(p, (uint16_t)seconds);
	return err;
}

static int replace_allowed_ips(struct change *c, const char *value)
{
	int err = true_value(value);
	struct wgw_peer *p = !err && c->apply ? current(c, &err) : NULL;

	if (p)
		wgw_peer_disallow_all(p);
	return err;
}

static int replace_routes(struct change *c, const char *value)
{
	int err = true_value(value);
	struct wgw_peer *p = !err && c->apply ? current(c, &err) : NULL;

	if (p)
		wgw_peer_unroute_all(p);
	return err;
}

static int route_line(struct change *c, const char *value)
{
	struct wgw_peer_route route;
	struct wgw_peer *p;
	int err = 0;

	if (wgw_route_parse(value, &route) || wgw_route_is_prefix(&route))
		return -EINVAL;
	p = c->apply ? current(c, &err) : NULL;
	return p ? wgw_peer_route(p, &route) : err;
}

static int update_only(struct change *c, const char *value)
{
	c->update_only = true;
	return true_value(value);
}

static int remove_line(struct change *c, const char *value)
{
	c->remove = true;
	return true_value(value);
}

static int protocol_version(struct change *c, const char *value)
{
	(void)c;
	return strcmp(value, "1") == 0 ? 0 : -EINVAL;
}

static int name_line(struct change *c, const char *value)
{
	int err = 0;
	struct wgw_peer *p = c->apply ? current(c, &err) : NULL;

	return p ? wgw_peer_set_name(p, *value ? value : NULL) : err;
}

static const struct {
	const char *name;
	int (*take)(struct change *c, const char *value);
} peer_lines[] = {
	{"allowed_ip", allowed_ip},
	{"candidate", endpoint_line},
	{"endpoint", endpoint_line},
	{"endpoint_host", host_line},
	{"name", name_line},
	{"persistent_keepalive_interval", keepalive},
	{"preshared_key", preshared_key},
	{"protocol_version", protocol_version},
	{"public_key", begin_peer},
	{"remove", remove_line},
	{"replace_allowed_ips", replace_allowed_ips},
	{"replace_routes", replace_routes},
	{"route", route_line},
	{"update_only", update_only},
};

static int take_line(struct change *c, const char *name, const char *value)
{
	if (!c->in_peers && strcmp(name, "public_key") != 0)
		return device_line(c, name, value);
	for (size_t i = 0; i < sizeof(peer_lines) / sizeof(*peer_lines); i++) {
		if (strcmp(name, peer_lines[i].name) == 0)
			return peer_lines[i].take(c, value);
	}
	return -EINVAL;
}

/* ---- readings ---- */

/* One reading. Returns 0 or -errno and the number of the line at fault. */
static int read_lines(struct change *c, const char *text, unsigned int *line_number)
{
	char line[LINE_BYTES];
	int err = 0;

	*line_number = 0;
	while (*text && !err) {
		size_t len = strcspn(text, "\n");
		char *value;

		(*line_number)++;
		if (len >= sizeof(line)) {
			err = -EINVAL;
			break;
		}
		memcpy(line, text, len);
		line[len] = '\0';
		text += len + (text[len] == '\n');
		if (len == 0)
			continue;
		value = strchr(line, '=');
		if (value)
			*value++ = '\0';
		err = value ? take_line(c, line, value) : -EINVAL;
	}
	sodium_memzero(line, sizeof(line));
	return err ? err : end_peer(c);
}

static void remove_unnamed(struct change *c)
{
	struct wgw_peer *p = wgw_peers_next(c->core->peers, NULL);

	while (p) {
		struct wgw_peer *next = wgw_peers_next(c->core->peers, p);
		bool named = false;

		for (size_t i = 0; i < c->n_named && !named; i++)
			named = memcmp(c->named[i], p->config.public_key, WG_KEY_BYTES) == 0;
		if (!named)
			wgw_peers_remove(p);
		p = next;
	}
}

static void tell_key(struct wgw_core *core)
{
	struct wgw_channel_msg msg = {.code = WGW_CH_KEYED};

	wg_device_public_key(core->t.wg, msg.u.keyed.public_key);
	for (struct wgw_session *s = core->t.sessions; s; s = s->next) {
		if (s->channel)
			wgw_client_send(s->channel, &msg);
	}
}

int wgw_configure(struct wgw_core *core, const char *text, bool whole, unsigned int *line)
{
	struct change c = {.core = core, .whole = whole, .port = -1, .mark = -1};
	int err = read_lines(&c, text, line);

	if (err)
		return err;
	/* the port may be taken: before anything that cannot fail */
	err = wgw_core_move(core, c.port, c.mark);
	if (err) {
		*line = 0;
		return err;
	}
	c = (struct change){.core = core, .whole = whole, .apply = true, .port = -1, .mark = -1};
	err = read_lines(&c, text, line);
	if (!err && whole)
		remove_unnamed(&c);
	err = err ? err : change_lists(&c);
	wgw_prefixes_free(&c.alive);
	wgw_prefixes_free(&c.dns);
	wgw_strings_free(&c.search);
	free(c.named);
	if (c.keyed)
		tell_key(core);
	core->t.changes++;
	core->state_changed = true;
	wgw_peers_wake(core->peers);
	return err;
}
