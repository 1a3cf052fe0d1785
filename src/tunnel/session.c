/* SPDX-License-Identifier: MIT */
/*
 * session.c - sessions: tokens, policy, what is still to be delivered, what the user is told
 *
 * A session begins with a channel (client.c) and is over when the channel closes. From then on its
 * token is unknown, so nothing new can come from it, but the object lives until the last
 * connection that holds it has ended: what a program wrote before it exited is still delivered.
 *
 * Invariant: a session is in t->sessions from wgw_session_new to its last wgw_session_put; the
 * list being empty means that nothing of any session is left, and starts the linger.
 */
#include <errno.h>
#include <netdb.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/tunnel/core.h"
#include "src/tunnel/routes.h"

/* ---- life ---- */

struct wgw_session *wgw_session_new(struct wgw_tunnel *t, struct wgw_client *channel,
				    const uint8_t *token, const uint8_t *label_key,
				    struct wgw_policy *policy)
{
	struct wgw_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->t = t;
	s->channel = channel;
	s->refs = 1;
	memcpy(s->token, token, sizeof(s->token));
	memcpy(s->label_key, label_key, sizeof(s->label_key));
	wgw_preambles_make(label_key, &s->preambles);
	s->policy = *policy;
	memset(policy, 0, sizeof(*policy));
	s->next = t->sessions;
	t->sessions = s;
	wgw_core_has_session(wgw_core_of(t));
	return s;
}

static void session_free(struct wgw_session *s)
{
	struct wgw_tunnel *t = s->t;
	struct wgw_session **at = &t->sessions;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	wgw_policy_free(&s->policy);
	free(s->refused);
	sodium_memzero(s, sizeof(*s));
	free(s);
	if (!t->sessions)
		wgw_core_no_session(wgw_core_of(t));
}

void wgw_session_get(struct wgw_session *s)
{
	s->refs++;
}

void wgw_session_put(struct wgw_session *s)
{
	if (--s->refs == 0)
		session_free(s);
}

void wgw_session_over(struct wgw_session *s)
{
	s->channel = NULL;
	if (s->t->proxy_hooks)
		s->t->proxy_hooks->over(s->t, s);
	wgw_sockets_session_over(s->t, s);
	wgw_session_put(s);
}

void wgw_session_dismiss(struct wgw_session *s)
{
	struct wgw_channel_msg msg = {.code = WGW_CH_LEAVE};

	s->leaving = true;
	wgw_client_send(s->channel, &msg);
}

struct wgw_session *wgw_session_by_token(struct wgw_tunnel *t, const uint8_t *token)
{
	for (struct wgw_session *s = t->sessions; s; s = s->next)
		if (s->channel && sodium_memcmp(s->token, token, sizeof(s->token)) == 0)
			return s;
	return NULL;
}

const uint8_t *wgw_session_label_key(const struct wgw_session *s)
{
	return s->label_key;
}

const struct wgw_preambles *wgw_session_preambles(const struct wgw_session *s)
{
	return &s->preambles;
}

/* ---- delivery ---- */

static void tell_flushed(struct wgw_session *s)
{
	struct wgw_channel_msg msg = {.code = WGW_CH_FLUSHED};

	if (!s->flushing || s->unsent > 0 || !s->channel)
		return;
	s->flushing = false;
	msg.u.flushed.bytes_lost = s->lost_bytes;
	msg.u.flushed.flows_failed = s->flows_failed;
	wgw_client_send(s->channel, &msg);
}

void wgw_session_unsent_begin(struct wgw_session *s)
{
	s->unsent++;
}

void wgw_session_unsent_end(struct wgw_session *s, uint64_t lost_bytes)
{
	if (lost_bytes) {
		s->lost_bytes += lost_bytes;
		s->flows_failed++;
	}
	s->unsent--;
	tell_flushed(s);
}

void wgw_session_flush(struct wgw_session *s)
{
	s->flushing = true;
	tell_flushed(s);
}

/* ---- words for the user ---- */

static void send_line(struct wgw_session *s, int level, const char *line)
{
	struct wgw_channel_msg msg = {.code = WGW_CH_SAY};

	if (!s->channel || level > s->policy.verbose)
		return;
	msg.u.say.level = level;
	snprintf(msg.u.say.text, sizeof(msg.u.say.text), "%s", line);
	wgw_client_send(s->channel, &msg);
}

void wgw_session_say(struct wgw_session *s, int level, const char *format, ...)
{
	char line[WGW_CH_TEXT_MAX_BYTES];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	send_line(s, level, line);
}

void wgw_session_say_version(struct wgw_tunnel *t, const uint8_t *token, unsigned int version)
{
	struct wgw_session *s = wgw_session_by_token(t, token);

	if (!s || s->version_said)
		return;
	s->version_said = true;
	wgw_session_say(
		s, 0,
		"a program has the shared object of another version of wgwrap, which speaks "
		"version %u of the protocol to the tunnel process, this session version %d: its "
		"sockets fail with ENETDOWN; start the command again to use the new version",
		version, WGW_WIRE_VERSION);
}

void wgw_core_say(struct wgw_core *core, int level, const char *format, ...)
{
	char line[WGW_CH_TEXT_MAX_BYTES];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	for (struct wgw_session *s = core->t.sessions; s; s = s->next)
		send_line(s, level, line);
	if (core->t.sessions || core->n_notes == WGW_NOTES_MAX)
		return;
	core->notes[core->n_notes] = strdup(line);
	if (core->notes[core->n_notes])
		core->note_level[core->n_notes++] = level;
}

void wgw_core_say_notes(struct wgw_core *core, struct wgw_session *s)
{
	for (size_t i = 0; i < core->n_notes; i++) {
		send_line(s, core->note_level[i], core->notes[i]);
		free(core->notes[i]);
	}
	core->n_notes = 0;
}

void wgw_core_tell_state(struct wgw_core *core)
{
	struct wgw_channel_msg msg = {.code = WGW_CH_STATE};

	core->state_changed = false;
	wgw_peers_state(core->peers, &msg);
	for (struct wgw_session *s = core->t.sessions; s; s = s->next)
		if (s->channel)
			wgw_client_tell_state(s->channel, &msg);
}

/* ---- routing ---- */

/** struct asked - what a decision is for, besides the address. @protocol as in wgw_session_route */
struct asked {
	struct wgw_tunnel *t;
	uint8_t protocol;
};

static bool peer_allows(void *ctx, const struct stack_addr *to)
{
	const struct asked *asked = ctx;
	struct wgw_tunnel *t = asked->t;

	if (t->stack && stack_is_local(t->stack, to))
		return true;
	if (wgw_route_table_holds(wgw_peers_routes(wgw_core_of(t)->peers), to, asked->protocol))
		return true;
	if (stack_addr_is_v4(to))
		return wg_peer_by_allowed_ip(t->wg, AF_INET, to->ip + 12) != NULL;
	return wg_peer_by_allowed_ip(t->wg, AF_INET6, to->ip) != NULL;
}

static bool has_source(void *ctx, const struct stack_addr *to)
{
	const struct asked *asked = ctx;
	struct stack_addr from;

	return stack_source_for(asked->t->stack, to, &from);
}

/* Whether the refusal of @ip is to be said; remembers it. */
static bool first_refusal(struct wgw_session *s, const uint8_t ip[16])
{
	for (size_t i = 0; i < s->n_refused; i++)
		if (memcmp(s->refused[i], ip, 16) == 0)
			return false;
	if (s->n_refused == WGW_REFUSED_MAX)
		return false;
	if (!s->refused)
		s->refused = calloc(WGW_REFUSED_MAX, sizeof(*s->refused));
	if (!s->refused)
		return false;
	memcpy(s->refused[s->n_refused++], ip, 16);
	return true;
}

static void say_refusal(struct wgw_session *s, const struct stack_addr *to, enum wgw_refusal why)
{
	char addr[WGW_ADDR_TEXT_BYTES];
	const char *family = stack_addr_is_v4(to) ? "IPv4" : "IPv6";

	if (why == WGW_REFUSAL_NO_FAMILY) {
		/* Every name with an AAAA record leads here: once is enough. */
		if (!s->family_said)
			wgw_session_say(
				s, 0,
				"%s refused: the tunnel has no %s address; add one to "
				"Address =, or allow it outside the tunnel with --direct %s "
				"(said for the first such destination only)",
				wgw_addr_text(to, addr), family, addr);
		s->family_said = true;
		return;
	}
	if (!first_refusal(s, to->ip))
		return;
	wgw_addr_text(to, addr);
	if (why == WGW_REFUSAL_NO_DNS)
		wgw_session_say(
			s, 0,
			"name server %s refused: the file has no DNS = and the tunnel holds a "
			"default route; use --dns ADDR, or --dns system",
			addr);
	else
		wgw_session_say(
			s, 0,
			"%s refused: no peer's AllowedIPs hold it; add it there, or allow it "
			"outside the tunnel with --direct %s",
			addr, addr);
	if (s->n_refused == WGW_REFUSED_MAX)
		wgw_session_say(s, 0, "further refused destinations are not listed");
}

enum wgw_route wgw_session_route_quiet(struct wgw_session *s, struct stack_addr *to,
				       uint8_t protocol)
{
	struct asked asked = {s->t, protocol};
	const struct wgw_reach reach = {peer_allows, has_source, &asked};
	enum wgw_refusal why;

	return wgw_policy_route(&s->policy, &reach, to, &why);
}

bool wgw_session_has_apps(const struct wgw_session *s)
{
	return s->policy.apps;
}

enum wgw_route wgw_session_route(struct wgw_session *s, struct stack_addr *to, uint8_t protocol)
{
	struct asked asked = {s->t, protocol};
	const struct wgw_reach reach = {peer_allows, has_source, &asked};
	enum wgw_refusal why;
	enum wgw_route route = wgw_policy_route(&s->policy, &reach, to, &why);

	if (route == WGW_ROUTE_REFUSED) {
		wgw_core_of(s->t)->refused++;
		say_refusal(s, to, why);
	}
	return route;
}

/* ---- names ---- */

bool wgw_session_dns_is_system(const struct wgw_session *s)
{
	return s->policy.dns_mode == WGW_POLICY_DNS_SYSTEM;
}

size_t wgw_session_dns(const struct wgw_session *s, const struct stack_addr **servers,
		       const struct wgw_strings **search)
{
	*servers = s->policy.dns;
	*search = &s->policy.search;
	return s->policy.dns_mode == WGW_POLICY_DNS_TUNNEL ? s->policy.n_dns : 0;
}

/* ---- questions to the supervisor ---- */

void wgw_session_scan(struct wgw_session *s, const uint64_t *inodes, unsigned int n,
		      void (*done)(void *arg, const uint64_t *held), void *arg)
{
	static const uint64_t all[WGW_CH_SCAN_MAX / 64] = {
		UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
		UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
	};

	if (!s->channel || !wgw_client_scan(s->channel, inodes, n, done, arg))
		done(arg, all);
}

void wgw_session_listener(struct wgw_session *s, const struct wgw_ch_listener *l, int path)
{
	struct wgw_channel_msg msg = {
		.code = path < 0 ? WGW_CH_LISTENER_GONE : WGW_CH_LISTENER,
		.u.listener = *l,
	};

	if (!s->channel)
		return;
	if (path < 0)
		wgw_client_send(s->channel, &msg);
	else
		wgw_client_send_fd(s->channel, &msg, path);
}

void wgw_session_host_resolve(struct wgw_session *s, const char *name, int family,
			      void (*done)(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n),
			      void *arg)
{
	if (!s->channel || !wgw_client_host_resolve(s->channel, name, family, done, arg))
		done(arg, EAI_AGAIN, NULL, 0);
}
