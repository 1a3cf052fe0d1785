/* SPDX-License-Identifier: MIT */
/*
 * report.c - the tunnel's state as text, for whoever operates it (src/control/status.h)
 *
 * The engine has no function that gives a private or preshared key back, so no text can hold one.
 */
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/control/status.h"
#include "src/tunnel/core.h"
#include "src/tunnel/peers.h"
#include "src/tunnel/sockets.h"

enum { REASON_BYTES = 200, LABEL_MAX_BYTES = 64, ATTEMPTS_SAID = 2 };

static void put_key(FILE *out, const char *name, const uint8_t key[WG_KEY_BYTES])
{
	char hex[2 * WG_KEY_BYTES + 1];

	fprintf(out, "%s=%s\n", name, sodium_bin2hex(hex, sizeof(hex), key, WG_KEY_BYTES));
}

/** put_text() - a value that came from a file: control characters would break the lines */
static void put_text(FILE *out, const char *name, const char *text)
{
	fprintf(out, "%s=", name);
	for (; *text; text++)
		fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, out);
	fputc('\n', out);
}

/** put_label() - the last part of the source's path without ".conf" */
static void put_label(FILE *out, const char *source)
{
	const char *slash = strrchr(source, '/'), *space = strrchr(source, ' ');
	const char *name = slash ? slash + 1 : space ? space + 1 : source;
	size_t len = strlen(name);

	if (len > 5 && strcmp(name + len - 5, ".conf") == 0)
		len -= 5;
	if (len > LABEL_MAX_BYTES)
		len = LABEL_MAX_BYTES;
	fprintf(out, "label=");
	for (size_t i = 0; i < len; i++)
		fputc((unsigned char)name[i] <= 0x20 || name[i] == 0x7f ? '_' : name[i], out);
	fputc('\n', out);
}

/* ---- peers ---- */

/** judge() - how a peer is, and why it is not up */
static enum wgw_state judge(const struct wgw_peer *p, const struct wg_peer_stats *stats,
			    char reason[REASON_BYTES])
{
	bool ever = stats->last_handshake.tv_sec != 0;
	bool heard = stats->rx_bytes > 0;

	reason[0] = '\0';
	if (wgw_peer_has_rival(p))
		snprintf(reason, REASON_BYTES,
			 "another client uses this private key; give each its own");
	if (stats->has_session)
		return WGW_STATE_UP;
	if (stats->endpoint.to.sa.sa_family == AF_UNSPEC) {
		snprintf(reason, REASON_BYTES, "no endpoint: waits for the peer to begin");
		return WGW_STATE_IDLE;
	}
	if (p->silent_said) {
		snprintf(reason, REASON_BYTES, "%s: %u tries without an answer, %s",
			 ever ? "does not answer any more" : "never answered",
			 stats->handshake_attempts,
			 ever ? "down or unreachable"
			      : "wrong address, port or key, UDP filtered, or it does not know "
				"our key");
		return WGW_STATE_DOWN;
	}
	/* after a pause: no sign yet that anything is wrong */
	if (ever && stats->handshake_attempts == 1) {
		snprintf(reason, REASON_BYTES, "a handshake is under way");
		return WGW_STATE_IDLE;
	}
	if (stats->handshake_attempts > 0) {
		snprintf(reason, REASON_BYTES, "try %u%s", stats->handshake_attempts,
			 stats->handshake_attempts < ATTEMPTS_SAID ? ""
			 : heard				   ? ", no answer lately"
								   : ", no answer so far");
		return WGW_STATE_HANDSHAKING;
	}
	snprintf(reason, REASON_BYTES,
		 ever ? "no traffic since the last session ended" : "nothing was sent to it yet");
	return WGW_STATE_IDLE;
}

static void put_peer_counter(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, "peer_counter=%s %llu\n", name, (unsigned long long)value);
}

static void put_host(FILE *out, const struct wgw_peer_config *config)
{
	const char *host = config->endpoint_host;

	if (host)
		fprintf(out,
			strchr(host, ':') ? "endpoint_host=[%s]:%u\n" : "endpoint_host=%s:%u\n",
			host, config->endpoint_port);
}

static void put_peer(FILE *out, const struct wgw_peer *p)
{
	char text[WGW_ADDR_TEXT_BYTES], route[WGW_ROUTE_TEXT_BYTES], reason[REASON_BYTES];
	struct wg_peer_stats stats;

	wg_peer_stats(p->wg, &stats);
	put_key(out, "public_key", p->config.public_key);
	fprintf(out, "has_preshared_key=%d\nprotocol_version=1\n", p->has_preshared_key);
	if (stats.endpoint.to.sa.sa_family != AF_UNSPEC)
		fprintf(out, "endpoint=%s\n", wgw_endpoint_text(&stats.endpoint, text));
	fprintf(out, "last_handshake_time_sec=%lld\nlast_handshake_time_nsec=%ld\n",
		(long long)stats.last_handshake.tv_sec, stats.last_handshake.tv_nsec);
	fprintf(out, "tx_bytes=%llu\nrx_bytes=%llu\npersistent_keepalive_interval=%u\n",
		(unsigned long long)stats.tx_bytes, (unsigned long long)stats.rx_bytes,
		p->config.keepalive_s);
	for (size_t i = 0; i < p->config.allowed_ips.n; i++)
		fprintf(out, "allowed_ip=%s\n",
			wgw_prefix_text(&p->config.allowed_ips.at[i], text));
	for (size_t i = 0; i < p->config.routes.n; i++)
		fprintf(out, "route=%s\n", wgw_route_text(&p->config.routes.at[i], route));
	if (p->config.name)
		put_text(out, "name", p->config.name);
	put_host(out, &p->config);
	fprintf(out, "candidates=%u\n", p->n);
	fprintf(out, "state=%s\n", wgw_state_word(judge(p, &stats, reason)));
	put_text(out, "reason", reason);
	put_peer_counter(out, "handshakes_total", p->handshakes);
	put_peer_counter(out, "handshake_retries_total", p->retries);
	put_peer_counter(out, "handshakes_given_up_total", p->gave_up);
	put_peer_counter(out, "endpoint_changes_total", p->roamed);
	put_peer_counter(out, "endpoint_resolutions_total", p->resolved);
}

/* ---- the interface ---- */

/** put_state() - the tunnel is as its best peer; the reason is that peer's */
static void put_state(FILE *out, const struct wgw_peers *peers)
{
	char reason[REASON_BYTES], best_reason[REASON_BYTES] = "no peers";
	enum wgw_state best = WGW_STATE_DOWN;
	bool first = true;

	for (const struct wgw_peer *p = wgw_peers_next(peers, NULL); p;
	     p = wgw_peers_next(peers, p)) {
		struct wg_peer_stats stats;
		enum wgw_state state;

		wg_peer_stats(p->wg, &stats);
		state = judge(p, &stats, reason);
		if (!first && state <= best)
			continue;
		first = false;
		best = state;
		memcpy(best_reason, reason, sizeof(reason));
	}
	fprintf(out, "state=%s\n", wgw_state_word(best));
	put_text(out, "reason", best_reason);
}

static uint64_t open_sockets(const struct wgw_sockets *s, const struct wgw_session *session)
{
	for (const struct wgw_quota *q = s ? s->quotas : NULL; q; q = q->next) {
		if (q->session == session)
			return (uint64_t)q->conns + q->dgrams + q->listeners;
	}
	return 0;
}

/** is_told() - what was asked to leave is not: another keeper is to come */
static bool is_told(const struct wgw_session *s)
{
	return s->channel && !s->leaving;
}

static void put_sessions(FILE *out, const struct wgw_core *core)
{
	for (const struct wgw_session *s = core->t.sessions; s; s = s->next) {
		if (is_told(s))
			fprintf(out, "session=%d %s %llu\n", s->pid,
				s->keeper ? "keeper" : "command",
				(unsigned long long)open_sockets(core->t.sockets, s));
	}
}

static void put_counter(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, "counter=%s %llu\n", name, (unsigned long long)value);
}

/** put_counters() - names as they appear in the metrics, after "wgwrap_" */
static void put_counters(FILE *out, const struct wgw_core *core)
{
	struct wg_device_stats wg;
	struct wgw_outer_stats outer = {0};
	struct stack_stats stack = {0};

	wg_device_stats(core->t.wg, &wg);
	if (core->t.outer)
		wgw_outer_stats(core->t.outer, &outer);
	if (core->t.stack)
		stack_stats(core->t.stack, &stack);
	put_counter(out, "refused_destinations_total", core->refused);
	put_counter(out, "dropped_malformed_total", wg.rx_malformed);
	put_counter(out, "dropped_bad_mac_total", wg.rx_bad_mac);
	put_counter(out, "dropped_replayed_total", wg.rx_replayed);
	put_counter(out, "dropped_source_refused_total", wg.rx_source_refused);
	put_counter(out, "dropped_rate_limited_total", wg.rx_rate_limited);
	put_counter(out, "dropped_no_peer_total", wg.tx_no_peer);
	put_counter(out, "dropped_no_endpoint_total", wg.tx_no_endpoint);
	put_counter(out, "dropped_unsent_total", wg.tx_staged_dropped);
	put_counter(out, "dropped_fenced_total", stack.rx_fenced);
	put_counter(out, "dropped_by_kernel_total", outer.tx_dropped);
	put_counter(out, "datagrams_received_total", outer.rx_datagrams);
	put_counter(out, "datagrams_sent_total", outer.tx_datagrams);
	put_counter(out, "packets_received_total", stack.rx_packets);
	put_counter(out, "packets_sent_total", stack.tx_packets);
	put_counter(out, "tcp_retransmits_total", stack.tcp_retransmits);
	put_counter(out, "tcp_connections", stack.tcp_flows);
	put_counter(out, "tcp_listeners", stack.tcp_listeners);
	put_counter(out, "udp_sockets", stack.udp_flows);
}

/** told_by() - the session that says where the configuration comes from: the keeper, else the
 * oldest */
static const struct wgw_session *told_by(const struct wgw_core *core)
{
	const struct wgw_session *found = NULL;

	for (const struct wgw_session *s = core->t.sessions; s; s = s->next) {
		if (is_told(s) && s->policy.name && s->policy.source &&
		    (!found || !found->keeper || s->keeper))
			found = s;
	}
	return found;
}

/** put_source() - others look at it from another directory, and read it again */
static void put_source(FILE *out, const struct wgw_core *core)
{
	const struct wgw_config *config = core->t.boot->config;
	const char *name = config->source ? config->source : "";
	const struct wgw_session *s = told_by(core);

	put_label(out, s ? s->policy.name : name);
	put_text(out, "source", s ? s->policy.source : config->path ? config->path : name);
	for (size_t i = 0; s && i < s->policy.options.n; i++)
		put_text(out, "option", s->policy.options.at[i]);
}

static void put_device(FILE *out, struct wgw_core *core)
{
	const struct wgw_config *config = core->t.boot->config;
	char text[WGW_ADDR_TEXT_BYTES];
	uint8_t key[WG_KEY_BYTES];

	if (core->t.outer)
		fprintf(out, "listen_port=%u\n", wgw_outer_port(core->t.outer));
	if (config->fwmark)
		fprintf(out, "fwmark=%u\n", config->fwmark);
	fprintf(out, "wgwrap_status=%d\n", WGW_STATUS_VERSION);
	put_source(out, core);
	fprintf(out, "pid=%d\nuptime_ms=%llu\nmtu=%u\n", (int)getpid(),
		(unsigned long long)((wgw_clock_ns() - core->started) / WGW_MS_NS),
		core->t.boot->mtu);
	fprintf(out, "encryption=%s\n", wg_device_aead(core->t.wg));
	wg_device_public_key(core->t.wg, key);
	put_key(out, "own_public_key", key);
	for (size_t i = 0; i < config->addresses.n; i++)
		fprintf(out, "address=%s\n", wgw_prefix_text(&config->addresses.at[i], text));
	for (size_t i = 0; i < config->dns.n; i++)
		fprintf(out, "dns=%s\n", wgw_addr_text(&config->dns.at[i].addr, text));
	for (size_t i = 0; i < config->search.n; i++)
		put_text(out, "search", config->search.at[i]);
	put_state(out, core->peers);
	if (core->alive)
		wgw_alive_report(core->alive, out);
	put_sessions(out, core);
	put_counters(out, core);
}

char *wgw_report_state(struct wgw_core *core)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	put_device(out, core);
	for (const struct wgw_peer *p = wgw_peers_next(core->peers, NULL); p;
	     p = wgw_peers_next(core->peers, p))
		put_peer(out, p);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
