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

#include "src/tunnel/core.h"

enum {
	WAKE_MAX = 16, /* handshakes started when a session opens */
	PEER_TEXT_BYTES = 160,
	CONFLICT_DATAGRAMS = 2,
};

#define CONFLICT_WINDOW_NS (45 * WGW_SEC_NS)
#define CONFLICT_QUIET_NS  (600 * WGW_SEC_NS)
#define RESOLVE_AGAIN_NS   (60 * WGW_SEC_NS)
#define FAILED_QUIET_NS	   (60 * WGW_SEC_NS)

/**
 * struct peer_state - what we keep about a peer
 * @candidates:	@n addresses; @at is the one in use
 * @resolving:	The supervisor was asked for the name's addresses
 * @resolved_at, @replaced_at, @conflict_said_at, @failed_said_at: times, 0: never
 * @bad_datagrams: rx_bad_mac of the device when the last replacement was seen
 * @silent_said: The user was told that it does not answer
 */
struct peer_state {
	struct wgw_peers *owner;
	struct wg_peer *peer;
	const struct wgw_peer_config *config;
	struct wg_endpoint candidates[WGW_ENDPOINTS_MAX];
	unsigned int n, at;
	unsigned int attempts;
	bool up, resolving, silent_said;
	uint64_t resolved_at, replaced_at, conflict_said_at, failed_said_at;
	uint64_t bad_datagrams;
};

struct wgw_peers {
	struct wgw_core *core;
	size_t n;
	uint32_t with_endpoint, up;
	struct peer_state peers[];
};

static uint64_t now_of(const struct wgw_peers *e)
{
	return wgw_loop_now(e->core->t.loop);
}

/* ---- words ---- */

static const char *endpoint_text(const struct wg_endpoint *endpoint, char *buf)
{
	struct stack_addr a = {.port = ntohs(endpoint->to.in.sin_port)};

	if (endpoint->to.sa.sa_family == AF_INET) {
		memcpy(a.ip, stack_v4_prefix, sizeof(stack_v4_prefix));
		memcpy(a.ip + 12, &endpoint->to.in.sin_addr, 4);
	} else {
		memcpy(a.ip, &endpoint->to.in6.sin6_addr, 16);
	}
	return wgw_addr_port_text(&a, buf);
}

/* "peer NAME (ADDRESS:PORT)"; without a name the first characters of its public key, as wg(8)'s
 * users know it. */
static const char *peer_text(const struct peer_state *p, char buf[PEER_TEXT_BYTES])
{
	char key[sodium_base64_ENCODED_LEN(WG_KEY_BYTES, sodium_base64_VARIANT_ORIGINAL)];
	char addr[WGW_ADDR_TEXT_BYTES] = "no endpoint";
	struct wg_peer_stats stats;

	wg_peer_stats(p->peer, &stats);
	if (stats.endpoint.to.sa.sa_family != AF_UNSPEC)
		endpoint_text(&stats.endpoint, addr);
	sodium_bin2base64(key, sizeof(key), p->config->public_key, WG_KEY_BYTES,
			  sodium_base64_VARIANT_ORIGINAL);
	snprintf(buf, PEER_TEXT_BYTES, "peer %.64s (%s)", p->config->name ? p->config->name : key,
		 addr);
	return buf;
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
static unsigned int routed_from(const struct peer_state *p, unsigned int from)
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
	if (memcmp(ip, stack_v4_prefix, sizeof(stack_v4_prefix)) == 0) {
		out->to.in.sin_family = AF_INET;
		out->to.in.sin_port = htons(port);
		memcpy(&out->to.in.sin_addr, ip + 12, 4);
	} else {
		out->to.in6.sin6_family = AF_INET6;
		out->to.in6.sin6_port = htons(port);
		memcpy(&out->to.in6.sin6_addr, ip, 16);
	}
}

static void on_resolved(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n)
{
	struct peer_state *p = arg;

	p->resolving = false;
	if (eai != 0 || n == 0 || p->up)
		return;
	p->n = n < WGW_ENDPOINTS_MAX ? n : WGW_ENDPOINTS_MAX;
	for (unsigned int i = 0; i < p->n; i++)
		set_candidate(&p->candidates[i], ip[i], p->config->endpoint_port);
	/* The next retry takes the first of them. */
	p->at = p->n - 1;
}

/* Asks for the name's addresses again, if there is somebody to ask. */
static void resolve_again(struct peer_state *p)
{
	struct wgw_session *s = p->owner->core->t.sessions;
	uint64_t now = now_of(p->owner);

	while (s && !s->channel)
		s = s->next;
	if (!s || p->resolving || !p->config->endpoint_host || !is_name(p->config->endpoint_host) ||
	    (p->resolved_at && now - p->resolved_at < RESOLVE_AGAIN_NS))
		return;
	p->resolved_at = now;
	p->resolving = true;
	wgw_session_host_resolve(s, p->config->endpoint_host, AF_UNSPEC, on_resolved, p);
}

/* The engine is about to send another initiation: where to? Without the sticky source, which may
 * be what is wrong. */
static void try_next(struct peer_state *p)
{
	struct wg_endpoint next;

	if (p->n == 0)
		return;
	if (p->at + 1 >= p->n)
		resolve_again(p);
	p->at = routed_from(p, p->at + 1);
	next = p->candidates[p->at];
	wg_peer_set_endpoint(p->peer, &next);
}

/* ---- events ---- */

static void set_up(struct peer_state *p, bool up)
{
	if (p->up == up)
		return;
	p->up = up;
	if (p->n > 0)
		p->owner->up += up ? 1u : (uint32_t)-1;
}

static void on_replaced(struct peer_state *p)
{
	uint64_t now = now_of(p->owner);
	struct wg_device_stats stats;
	struct wg_peer_stats peer;
	uint64_t unknown;
	bool again = p->replaced_at && now - p->replaced_at < CONFLICT_WINDOW_NS;
	char text[PEER_TEXT_BYTES];

	/* Only a session that we had to renew is a sign; a peer may start again as it likes. */
	wg_peer_stats(p->peer, &peer);
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

static void on_gave_up(struct peer_state *p)
{
	char text[PEER_TEXT_BYTES];

	set_up(p, false);
	if (!p->silent_said)
		wgw_core_say(p->owner->core, 1, "%s does not answer; it is tried again when needed",
			     peer_text(p, text));
	p->silent_said = true;
}

static void on_done(struct peer_state *p)
{
	char text[PEER_TEXT_BYTES];

	set_up(p, true);
	if (p->silent_said)
		wgw_core_say(p->owner->core, 1, "%s answers again", peer_text(p, text));
	p->silent_said = false;
}

void wgw_peers_event(struct wgw_peers *e, struct wg_peer *peer, enum wg_event event)
{
	struct peer_state *p = wg_peer_user(peer);
	struct wg_peer_stats stats;

	if (!p)
		return;
	switch (event) {
	case WG_EVENT_HANDSHAKE_DONE:
		on_done(p);
		break;
	case WG_EVENT_HANDSHAKE_RETRY:
		try_next(p);
		break;
	case WG_EVENT_HANDSHAKE_GAVE_UP:
		on_gave_up(p);
		break;
	case WG_EVENT_SESSION_REPLACED:
		on_replaced(p);
		break;
	case WG_EVENT_ENDPOINT_CHANGED:
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

	for (size_t i = 0; i < e->n; i++) {
		struct peer_state *p = &e->peers[i];

		if (p->n == 0 || !same_destination(&p->candidates[p->at], to))
			continue;
		if (p->failed_said_at && now - p->failed_said_at < FAILED_QUIET_NS)
			return;
		p->failed_said_at = now;
		/* While there are other candidates this one may simply be of the wrong family. */
		wgw_core_say(e->core, p->n > 1 ? 2 : 1, "sending to %s failed: %s%s",
			     endpoint_text(to, addr), strerror(err),
			     err == EPERM ? " (a firewall on this host?)" : "");
		return;
	}
}

/* ---- state ---- */

void wgw_peers_state(const struct wgw_peers *e, struct wgw_channel_msg *msg)
{
	uint32_t attempts = 0;

	for (size_t i = 0; i < e->n; i++)
		if (!e->peers[i].up && e->peers[i].attempts > attempts)
			attempts = e->peers[i].attempts;
	msg->u.state.peers = e->with_endpoint;
	msg->u.state.peers_up = e->up;
	msg->u.state.attempts = attempts;
	msg->u.state.datagrams_received = e->core->datagrams_received;
}

void wgw_peers_wake(struct wgw_peers *e)
{
	unsigned int started = 0;

	for (size_t i = 0; i < e->n; i++) {
		struct peer_state *p = &e->peers[i];
		struct wg_peer_stats stats;

		if (p->n == 0)
			continue;
		/* A session ends by age without an event. */
		wg_peer_stats(p->peer, &stats);
		set_up(p, stats.has_session);
		if (!p->up && started++ < WAKE_MAX)
			wg_peer_handshake(p->peer);
	}
}

/* ---- set-up ---- */

static int add_peer(struct wgw_peers *e, size_t i)
{
	const struct wgw_tunnel_boot *boot = e->core->t.boot;
	const struct wgw_peer_config *config = &boot->config->peers[i];
	struct peer_state *p = &e->peers[i];

	p->owner = e;
	p->config = config;
	p->peer = wg_peer_add(e->core->t.wg, config->public_key);
	if (!p->peer)
		return -EINVAL;
	wg_peer_set_user(p->peer, p);
	wg_peer_set_preshared_key(p->peer, config->preshared_key);
	for (size_t k = 0; k < config->allowed_ips.n; k++) {
		const struct wgw_prefix *prefix = &config->allowed_ips.at[k];
		bool v4 = stack_addr_is_v4(&prefix->addr);
		int err = wg_peer_add_allowed_ip(p->peer, v4 ? AF_INET : AF_INET6,
						 prefix->addr.ip + (v4 ? 12 : 0), prefix->bits);

		if (err)
			return err;
	}
	p->n = boot->n_endpoints[i];
	memcpy(p->candidates, boot->endpoints[i], sizeof(p->candidates));
	if (p->n > 0) {
		e->with_endpoint++;
		p->at = p->n > 1 ? routed_from(p, 0) : 0;
		wg_peer_set_endpoint(p->peer, &p->candidates[p->at]);
	}
	wg_peer_set_keepalive(p->peer, config->keepalive_s);
	return 0;
}

struct wgw_peers *wgw_peers_new(struct wgw_core *core, int *err)
{
	size_t n = core->t.boot->config->n_peers;
	struct wgw_peers *e = calloc(1, sizeof(*e) + n * sizeof(e->peers[0]));

	*err = ENOMEM;
	if (!e)
		return NULL;
	e->core = core;
	e->n = n;
	for (size_t i = 0; i < n; i++) {
		int rc = add_peer(e, i);

		if (rc) {
			*err = -rc;
			free(e);
			return NULL;
		}
	}
	return e;
}

void wgw_peers_free(struct wgw_peers *e)
{
	free(e);
}
