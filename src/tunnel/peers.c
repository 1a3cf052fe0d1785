/* SPDX-License-Identifier: MIT */
/*
 * peers.c - the peers as seen from outside the engine: where they are, whether they answer
 *
 * A peer may be known by several addresses (a name with A and AAAA records). The engine knows one
 * endpoint; when an initiation gets no answer the next candidate that the host has a route to is
 * tried. A peer that roamed and then fell silent is thereby looked for at its configured address
 * again. When all candidates are used up and the endpoint is a name, it is resolved again, by a
 * session's supervisor, because this process parses no host configuration.
 *
 * The same key in use on two hosts shows as sessions that are lost long before their time, because
 * each host's handshake takes the peer's session away from the other, while the peer's answers
 * arrive in a session that we do not know. One lost session alone can be a network that was down
 * for a moment; together with such datagrams it is said to the user.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/config/values.h"
#include "src/tunnel/core.h"
#include "src/tunnel/peers.h"
#include "src/tunnel/routes.h"

enum {
	WAKE_MAX = 16, /* handshakes started when a session opens */
	PEER_TEXT_BYTES = 160,
	CONFLICT_DATAGRAMS = 2,
};

#define CONFLICT_WINDOW_NS (45 * WGW_SEC_NS)
#define CONFLICT_QUIET_NS  (600 * WGW_SEC_NS)
#define RESOLVE_AGAIN_NS   (15 * WGW_SEC_NS)
#define RESTORED_AGAIN_NS  (5 * WGW_SEC_NS)
#define FAILED_QUIET_NS	   (60 * WGW_SEC_NS)

struct wgw_peers {
	struct wgw_core *core;
	struct wgw_peer *first;
	struct wgw_route_table *routes;
};

static uint64_t now_of(const struct wgw_peers *e)
{
	return wgw_loop_now(e->core->t.loop);
}

/* ---- words ---- */

const char *wgw_endpoint_text(const struct wg_endpoint *endpoint, char *buf)
{
	struct stack_addr a = {.port = ntohs(endpoint->to.in.sin_port)};

	if (endpoint->to.sa.sa_family == AF_INET) {
		stack_ip_set_v4(a.ip, &endpoint->to.in.sin_addr);
	} else {
		memcpy(a.ip, &endpoint->to.in6.sin6_addr, 16);
	}
	return wgw_addr_port_text(&a, buf);
}

/* "peer NAME (ADDRESS:PORT)"; without a name its public key. */
static const char *peer_text(const struct wgw_peer *p, char buf[PEER_TEXT_BYTES])
{
	char key[WGW_KEY_TEXT_LEN + 1];
	char addr[WGW_ADDR_TEXT_BYTES] = "no endpoint";
	struct wg_peer_stats stats;

	wg_peer_stats(p->wg, &stats);
	if (stats.endpoint.to.sa.sa_family != AF_UNSPEC)
		wgw_endpoint_text(&stats.endpoint, addr);
	snprintf(buf, PEER_TEXT_BYTES, "peer %.64s (%s)",
		 p->config.name ? p->config.name : wgw_key_text(p->config.public_key, key), addr);
	return buf;
}

static void peer_free(struct wgw_peer *p)
{
	free(p->config.name);
	free(p->config.endpoint_host);
	wgw_prefixes_free(&p->config.allowed_ips);
	wgw_routes_free(&p->config.routes);
	free(p);
}

/* ---- candidates ---- */

/* Whether the host has a route to @endpoint: asks the kernel, sends nothing. */
static bool has_route(const struct wg_endpoint *endpoint)
{
	bool v4 = endpoint->to.sa.sa_family == AF_INET;
	int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok;

	if (fd < 0)
		return false;
	ok = connect(fd, &endpoint->to.sa,
		     v4 ? sizeof(endpoint->to.in) : sizeof(endpoint->to.in6)) == 0;
	close(fd);
	return ok;
}

static bool same_destination(const struct wg_endpoint *a, const struct wg_endpoint *b)
{
	if (a->to.sa.sa_family != b->to.sa.sa_family || a->to.in.sin_port != b->to.in.sin_port)
		return false;
	if (a->to.sa.sa_family == AF_INET)
		return a->to.in.sin_addr.s_addr == b->to.in.sin_addr.s_addr;
	return memcmp(&a->to.in6.sin6_addr, &b->to.in6.sin6_addr, 16) == 0 &&
	       a->to.in6.sin6_scope_id == b->to.in6.sin6_scope_id;
}

/* Index of the first candidate from @from on, in a circle, that has a route; @from when none. */
static unsigned int routed_from(const struct wgw_peer *p, unsigned int from)
{
	for (unsigned int i = 0; i < p->n; i++)
		if (has_route(&p->candidates[(from + i) % p->n]))
			return (from + i) % p->n;
	return from % p->n;
}

static bool is_name(const char *host)
{
	uint8_t ip[16];

	/* A zone marks a literal, too. */
	return inet_pton(AF_INET, host, ip) != 1 && inet_pton(AF_INET6, host, ip) != 1 &&
	       !strchr(host, '%');
}

static void set_candidate(struct wg_endpoint *out, const uint8_t ip[16], uint16_t port)
{
	memset(out, 0, sizeof(*out));
	if (stack_ip_is_v4(ip)) {
		out->to.in.sin_family = AF_INET;
		out->to.in.sin_port = htons(port);
		memcpy(&out->to.in.sin_addr, ip + 12, 4);
	} else {
		out->to.in6.sin6_family = AF_INET6;
		out->to.in6.sin6_port = htons(port);
		memcpy(&out->to.in6.sin6_addr, ip, 16);
	}
}

/* Whether the last initiation was answered, and what was sent since: then where it is is known. A
 * session alone may be one that the peer has forgotten. */
static bool is_answered(const struct wgw_peer *p)
{
	struct wg_peer_stats stats;

	wg_peer_stats(p->wg, &stats);
	return stats.has_session && stats.handshake_attempts == 0 &&
	       stats.rx_bytes != p->heard_bytes;
}

static void on_resolved(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n)
{
	struct wgw_peer *p = arg;
	struct wg_endpoint list[WGW_ENDPOINTS_MAX];
	struct wg_peer_stats stats;

	p->resolving = false;
	if (p->removed) {
		peer_free(p);
		return;
	}
	if (eai != 0 || n == 0 || is_answered(p))
		return;
	p->resolved++;
	n = n < WGW_ENDPOINTS_MAX ? n : WGW_ENDPOINTS_MAX;
	for (unsigned int i = 0; i < n; i++)
		set_candidate(&list[i], ip[i], p->config.endpoint_port);
	wg_peer_stats(p->wg, &stats);
	if (stats.handshake_attempts == 0) { /* the first initiation is still to come */
		wgw_peer_set_candidates(p, list, n);
		return;
	}
	p->n = n;
	memcpy(p->candidates, list, n * sizeof(*list));
	/* The next retry takes the first of them. */
	p->at = p->n - 1;
}

/* Who resolves names of the host for us: a keeper, or the oldest session. The newest may be one
 * that waits for this very peer, and answers when it has waited. */
static struct wgw_session *who_resolves(struct wgw_peer *p)
{
	struct wgw_session *found = NULL;

	for (struct wgw_session *s = p->owner->core->t.sessions; s; s = s->next) {
		if (s->channel && (!found || !found->keeper))
			found = s;
	}
	return found;
}

/* Asks for the name's addresses again, if there is somebody to ask. */
static void resolve_again(struct wgw_peer *p)
{
	struct wgw_session *s = who_resolves(p);
	uint64_t now = now_of(p->owner);

	if (!s || p->resolving || !p->config.endpoint_host || !is_name(p->config.endpoint_host) ||
	    (p->resolved_at && now - p->resolved_at < RESOLVE_AGAIN_NS))
		return;
	p->resolved_at = now;
	p->resolving = true;
	wgw_session_host_resolve(s, p->config.endpoint_host, p->owner->core->t.boot->family,
				 on_resolved, p);
}

/* The engine is about to send another initiation: where to? Without the sticky source, which may
 * be what is wrong. */
static void try_next(struct wgw_peer *p)
{
	struct wg_endpoint next;

	if (p->n == 0)
		return;
	if (p->at + 1 >= p->n)
		resolve_again(p);
	p->at = routed_from(p, p->at + 1);
	next = p->candidates[p->at];
	wg_peer_set_endpoint(p->wg, &next);
}

/* ---- events ---- */

static void on_replaced(struct wgw_peer *p)
{
	uint64_t now = now_of(p->owner);
	struct wg_device_stats stats;
	struct wg_peer_stats peer;
	uint64_t unknown;
	bool again = p->replaced_at && now - p->replaced_at < CONFLICT_WINDOW_NS;
	char text[PEER_TEXT_BYTES];

	/* Only a session that we had to renew is a sign; a peer may start again as it likes. */
	wg_peer_stats(p->wg, &peer);
	if (peer.handshake_attempts == 0)
		return;
	wg_device_stats(p->owner->core->t.wg, &stats);
	unknown = stats.rx_bad_mac - p->bad_datagrams;
	p->bad_datagrams = stats.rx_bad_mac;
	p->replaced_at = now;
	if (unknown < (again ? 1 : CONFLICT_DATAGRAMS))
		return;
	if (p->conflict_said_at && now - p->conflict_said_at < CONFLICT_QUIET_NS)
		return;
	p->conflict_said_at = now;
	wgw_core_say(
		p->owner->core, 0,
		"%s keeps losing our session: the same private key seems to be in use on another "
		"host or in another program; give each its own key",
		peer_text(p, text));
}

static void on_gave_up(struct wgw_peer *p)
{
	char text[PEER_TEXT_BYTES];

	p->up = false;
	p->gave_up++;
	if (!p->silent_said)
		wgw_core_say(p->owner->core, 1, "%s does not answer; it is tried again when needed",
			     peer_text(p, text));
	p->silent_said = true;
}

static bool is_via(void *ctx, const struct stack_addr *to)
{
	const struct wgw_peer *p = ctx;
	bool v4 = stack_addr_is_v4(to);

	return wg_peer_by_allowed_ip(p->owner->core->t.wg, v4 ? AF_INET : AF_INET6,
				     to->ip + (v4 ? 12 : 0)) == p->wg;
}

/* A handshake that was due because nothing came back ends the silence, but not the waits of
 * connections, which have doubled meanwhile. A peer cannot make us send more often than this. */
static void hurry_connections(struct wgw_peer *p)
{
	struct wgw_tunnel *t = &p->owner->core->t;
	uint64_t now = now_of(p->owner);

	if (!t->stack || (p->restored_at && now - p->restored_at < RESTORED_AGAIN_NS))
		return;
	p->restored_at = now;
	stack_path_restored(t->stack, is_via, p);
}

static void on_done(struct wgw_peer *p)
{
	char text[PEER_TEXT_BYTES];

	p->handshakes++;
	p->up = true;
	hurry_connections(p);
	if (p->silent_said)
		wgw_core_say(p->owner->core, 1, "%s answers again", peer_text(p, text));
	p->silent_said = false;
}

void wgw_peers_event(struct wgw_peers *e, struct wg_peer *peer, enum wg_event event)
{
	struct wgw_peer *p = wg_peer_user(peer);
	struct wg_peer_stats stats;

	if (!p)
		return;
	switch (event) {
	case WG_EVENT_HANDSHAKE_DONE:
		on_done(p);
		break;
	case WG_EVENT_HANDSHAKE_RETRY:
		p->retries++;
		try_next(p);
		break;
	case WG_EVENT_HANDSHAKE_GAVE_UP:
		on_gave_up(p);
		break;
	case WG_EVENT_SESSION_REPLACED:
		on_replaced(p);
		break;
	case WG_EVENT_PEER_SILENT:
		wg_peer_stats(peer, &stats);
		p->heard_bytes = stats.rx_bytes;
		resolve_again(p);
		return;
	case WG_EVENT_ENDPOINT_CHANGED:
		p->roamed++;
		return; /* as often as a peer likes; nobody is told */
	}
	wg_peer_stats(peer, &stats);
	p->attempts = stats.handshake_attempts;
	e->core->state_changed = true;
}

void wgw_peers_send_failed(struct wgw_peers *e, const struct wg_endpoint *to, int err)
{
	uint64_t now = now_of(e);
	char addr[WGW_ADDR_TEXT_BYTES];

	for (struct wgw_peer *p = e->first; p; p = p->next) {
		if (p->n == 0 || !same_destination(&p->candidates[p->at], to))
			continue;
		if (p->failed_said_at && now - p->failed_said_at < FAILED_QUIET_NS)
			return;
		p->failed_said_at = now;
		/* While there are other candidates this one may simply be of the wrong family. */
		wgw_core_say(e->core, p->n > 1 ? 2 : 1, "sending to %s failed: %s%s",
			     wgw_endpoint_text(to, addr), strerror(err),
			     err == EPERM ? " (a firewall on this host?)" : "");
		return;
	}
}

/* ---- state ---- */

void wgw_peers_state(const struct wgw_peers *e, struct wgw_channel_msg *msg)
{
	msg->u.state.peers = msg->u.state.peers_up = msg->u.state.attempts = 0;
	for (const struct wgw_peer *p = e->first; p; p = p->next) {
		msg->u.state.peers += p->n > 0;
		msg->u.state.peers_up += p->n > 0 && p->up;
		if (!p->up && p->attempts > msg->u.state.attempts)
			msg->u.state.attempts = p->attempts;
	}
	msg->u.state.datagrams_received = e->core->datagrams_received;
}

void wgw_peers_wake(struct wgw_peers *e)
{
	unsigned int started = 0;

	for (struct wgw_peer *p = e->first; p; p = p->next) {
		struct wg_peer_stats stats;

		if (p->n == 0)
			continue;
		/* A session ends by age without an event. */
		wg_peer_stats(p->wg, &stats);
		p->up = stats.has_session;
		if (p->up || started++ >= WAKE_MAX)
			continue;
		wg_peer_handshake(p->wg);
		/* It may have moved meanwhile, and somebody waits: known before the first retry. */
		if (p->handshakes > 0)
			resolve_again(p);
	}
}

struct wgw_peer *wgw_peers_next(const struct wgw_peers *e, const struct wgw_peer *prev)
{
	return prev ? prev->next : e->first;
}

struct wgw_peer *wgw_peers_find(const struct wgw_peers *e, const uint8_t public_key[WG_KEY_BYTES])
{
	struct wgw_peer *p = e->first;

	while (p && memcmp(p->config.public_key, public_key, WG_KEY_BYTES) != 0)
		p = p->next;
	return p;
}

bool wgw_peer_has_rival(const struct wgw_peer *p)
{
	return p->conflict_said_at && now_of(p->owner) - p->conflict_said_at < CONFLICT_QUIET_NS;
}

/* ---- changes ---- */

struct wgw_peer *wgw_peers_add(struct wgw_peers *e, const uint8_t public_key[WG_KEY_BYTES])
{
	struct wgw_peer *p = calloc(1, sizeof(*p)), **at = &e->first;

	if (!p)
		return NULL;
	p->owner = e;
	p->wg = wg_peer_add(e->core->t.wg, public_key);
	if (!p->wg) {
		free(p);
		return NULL;
	}
	memcpy(p->config.public_key, public_key, WG_KEY_BYTES);
	wg_peer_set_user(p->wg, p);
	while (*at)
		at = &(*at)->next;
	*at = p;
	return p;
}

void wgw_peers_remove(struct wgw_peer *p)
{
	struct wgw_peer **at = &p->owner->first;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	wgw_peer_unroute_all(p);
	wg_peer_remove(p->owner->core->t.wg, p->wg);
	p->wg = NULL;
	p->owner->core->state_changed = true;
	if (p->resolving)
		p->removed = true;
	else
		peer_free(p);
}

/* Replaces the string at @at by a copy of @text (NULL: none). */
static int set_string(char **at, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

int wgw_peer_set_name(struct wgw_peer *p, const char *name)
{
	return set_string(&p->config.name, name);
}

int wgw_peer_set_host(struct wgw_peer *p, const char *host, uint16_t port)
{
	p->config.endpoint_port = port;
	return set_string(&p->config.endpoint_host, host);
}

void wgw_peer_set_candidates(struct wgw_peer *p, const struct wg_endpoint *list, unsigned int n)
{
	struct wg_peer_stats stats;

	p->n = n < WGW_ENDPOINTS_MAX ? n : WGW_ENDPOINTS_MAX;
	p->at = 0;
	memcpy(p->candidates, list, p->n * sizeof(*list));
	p->owner->core->state_changed = true;
	wg_peer_stats(p->wg, &stats);
	for (unsigned int i = 0; i < p->n; i++) {
		if (same_destination(&p->candidates[i], &stats.endpoint)) {
			p->at = i;
			return;
		}
	}
	if (p->n > 0) {
		p->at = p->n > 1 ? routed_from(p, 0) : 0;
		wg_peer_set_endpoint(p->wg, &p->candidates[p->at]);
	}
}

void wgw_peer_set_preshared_key(struct wgw_peer *p, const uint8_t key[WG_KEY_BYTES])
{
	p->has_preshared_key = !sodium_is_zero(key, WG_KEY_BYTES);
	wg_peer_set_preshared_key(p->wg, key);
}

void wgw_peer_set_keepalive(struct wgw_peer *p, uint16_t seconds)
{
	if (p->config.keepalive_s == seconds)
		return;
	p->config.keepalive_s = seconds;
	wg_peer_set_keepalive(p->wg, seconds);
}

static int allow_in_engine(struct wgw_peer *p, const struct wgw_prefix *prefix)
{
	bool v4 = stack_addr_is_v4(&prefix->addr);

	return wg_peer_add_allowed_ip(p->wg, v4 ? AF_INET : AF_INET6,
				      prefix->addr.ip + (v4 ? 12 : 0), prefix->bits);
}

int wgw_peer_allow(struct wgw_peer *p, const struct wgw_prefix *prefix)
{
	int err;

	for (struct wgw_peer *other = p->owner->first; other; other = other->next)
		wgw_prefixes_remove(&other->config.allowed_ips, prefix);
	err = wgw_prefixes_add(&p->config.allowed_ips, prefix);
	return err ? err : allow_in_engine(p, prefix);
}

int wgw_peer_disallow(struct wgw_peer *p, const struct wgw_prefix *prefix)
{
	int err = 0;

	if (!wgw_prefixes_remove(&p->config.allowed_ips, prefix))
		return 0;
	wg_peer_clear_allowed_ips(p->wg);
	for (size_t i = 0; i < p->config.allowed_ips.n && !err; i++)
		err = allow_in_engine(p, &p->config.allowed_ips.at[i]);
	return err;
}

void wgw_peer_disallow_all(struct wgw_peer *p)
{
	wgw_prefixes_free(&p->config.allowed_ips);
	wg_peer_clear_allowed_ips(p->wg);
}

struct wgw_route_table *wgw_peers_routes(const struct wgw_peers *e)
{
	return e->routes;
}

int wgw_peer_route(struct wgw_peer *p, const struct wgw_peer_route *route)
{
	int err = wgw_routes_add(&p->config.routes, route);

	return err ? err : wgw_route_table_add(p->owner->routes, route, p->wg);
}

void wgw_peer_unroute_all(struct wgw_peer *p)
{
	struct wgw_peers *e = p->owner;

	wgw_routes_free(&p->config.routes);
	wgw_route_table_clear(e->routes);
	for (struct wgw_peer *other = e->first; other; other = other->next)
		for (size_t i = 0; i < other->config.routes.n; i++)
			/* it had room for all of them before */
			wgw_route_table_add(e->routes, &other->config.routes.at[i], other->wg);
}

/* ---- set-up ---- */

static int add_from_boot(struct wgw_peers *e, size_t i)
{
	const struct wgw_tunnel_boot *boot = e->core->t.boot;
	const struct wgw_peer_config *config = &boot->config->peers[i];
	struct wgw_peer *p = wgw_peers_add(e, config->public_key);
	uint8_t own[WG_KEY_BYTES];
	int err;

	wg_device_public_key(e->core->t.wg, own);
	if (!p)
		return memcmp(own, config->public_key, sizeof(own)) == 0 ? -EINVAL : -ENOMEM;
	err = wgw_peer_set_name(p, config->name);
	if (!err)
		err = wgw_peer_set_host(p, config->endpoint_host, config->endpoint_port);
	/* no prefix is claimed twice in a file that was parsed, so none has to move */
	for (size_t k = 0; k < config->allowed_ips.n && !err; k++) {
		err = wgw_prefixes_add(&p->config.allowed_ips, &config->allowed_ips.at[k]);
		if (!err)
			err = allow_in_engine(p, &config->allowed_ips.at[k]);
	}
	for (size_t k = 0; k < config->routes.n && !err; k++)
		err = wgw_peer_route(p, &config->routes.at[k]);
	if (err)
		return err;
	wgw_peer_set_preshared_key(p, config->preshared_key);
	wgw_peer_set_candidates(p, boot->endpoints[i], boot->n_endpoints[i]);
	wgw_peer_set_keepalive(p, config->keepalive_s);
	return 0;
}

struct wgw_peers *wgw_peers_new(struct wgw_core *core, int *err)
{
	struct wgw_peers *e = calloc(1, sizeof(*e));

	*err = ENOMEM;
	if (!e)
		return NULL;
	e->core = core;
	e->routes = wgw_route_table_new();
	if (!e->routes) {
		free(e);
		return NULL;
	}
	for (size_t i = 0; i < core->t.boot->config->n_peers; i++) {
		int rc = add_from_boot(e, i);

		if (rc) {
			*err = -rc;
			wgw_peers_free(e);
			return NULL;
		}
	}
	return e;
}

void wgw_peers_free(struct wgw_peers *e)
{
	while (e && e->first) {
		struct wgw_peer *p = e->first;

		e->first = p->next;
		peer_free(p);
	}
	if (e)
		wgw_route_table_free(e->routes);
	free(e);
}
