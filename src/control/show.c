/* SPDX-License-Identifier: MIT */
/*
 * show.c - a tunnel's state for people
 *
 * Words, order and units of wg(8)'s show, so that eyes and habits fit; what wgwrap knows besides
 * stands behind what wg knows.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "src/config/values.h"
#include "src/control/show.h"

/** struct style - terminal sequences; all empty without colours */
struct style {
	const char *bold, *red, *green, *yellow, *cyan, *plain;
};

static const struct style colours = {"\033[1m",	 "\033[31m", "\033[32m",
				     "\033[33m", "\033[36m", "\033[0m"};
static const struct style no_colours = {"", "", "", "", "", ""};

const char *wgw_span_text(uint64_t seconds, char buf[WGW_SPAN_BYTES])
{
	static const struct {
		const char *word;
		uint64_t s;
	} units[] = {{"year", UINT64_C(365) * 24 * 3600},
		     {"day", 24 * 3600},
		     {"hour", 3600},
		     {"minute", 60},
		     {"second", 1}};
	size_t n = 0;

	snprintf(buf, WGW_SPAN_BYTES, "0 seconds");
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		uint64_t count = seconds / units[i].s;

		seconds %= units[i].s;
		if (count > 0)
			n += (size_t)snprintf(buf + n, WGW_SPAN_BYTES - n, "%s%" PRIu64 " %s%s",
					      n ? ", " : "", count, units[i].word,
					      count == 1 ? "" : "s");
	}
	return buf;
}

const char *wgw_size_text(uint64_t bytes, char buf[WGW_SIZE_BYTES])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	double size = (double)bytes / 1024;
	size_t i = 0;

	if (bytes < 1024) {
		snprintf(buf, WGW_SIZE_BYTES, "%" PRIu64 " B", bytes);
		return buf;
	}
	for (; size >= 1024 && i < sizeof(units) / sizeof(*units) - 1; i++)
		size /= 1024;
	snprintf(buf, WGW_SIZE_BYTES, "%.2f %s", size, units[i]);
	return buf;
}

static const char *state_colour(const struct style *c, enum wgw_state state)
{
	switch (state) {
	case WGW_STATE_UP:
		return c->green;
	case WGW_STATE_DOWN:
		return c->red;
	default:
		return c->yellow;
	}
}

static void put_name(FILE *out, const struct style *c, const char *name)
{
	fprintf(out, "  %s%s%s: ", c->bold, name, c->plain);
}

static void put_field(FILE *out, const struct style *c, const char *name, const char *value)
{
	put_name(out, c, name);
	fprintf(out, "%s\n", value);
}

static void put_state(FILE *out, const struct style *c, enum wgw_state state, const char *reason)
{
	put_name(out, c, "state");
	fprintf(out, "%s%s%s%s%s\n", state_colour(c, state), wgw_state_word(state), c->plain,
		reason ? ": " : "", reason ? reason : "");
}

static void put_list(FILE *out, const struct style *c, const char *name,
		     const struct wgw_strings *list, const char *none)
{
	if (list->n == 0 && !none)
		return;
	put_name(out, c, name);
	for (size_t i = 0; i < list->n; i++)
		fprintf(out, "%s%s", i ? ", " : "", list->at[i]);
	fprintf(out, "%s\n", list->n ? "" : none);
}

/* ---- peers ---- */

static void put_handshake(FILE *out, const struct style *c, const struct wgw_peer_status *p,
			  time_t now)
{
	char span[WGW_SPAN_BYTES];
	int64_t age = (int64_t)now - (int64_t)p->last_handshake_s;

	if (p->last_handshake_s == 0)
		return;
	put_name(out, c, "latest handshake");
	if (age < 0)
		fprintf(out, "(%sthe clock was set back%s)\n", c->red, c->plain);
	else if (age == 0)
		fprintf(out, "Now\n");
	else
		fprintf(out, "%s ago\n", wgw_span_text((uint64_t)age, span));
}

static void put_transfer(FILE *out, const struct style *c, const struct wgw_peer_status *p)
{
	char in[WGW_SIZE_BYTES], sent[WGW_SIZE_BYTES];

	if (p->rx_bytes == 0 && p->tx_bytes == 0)
		return;
	put_name(out, c, "transfer");
	fprintf(out, "%s received, %s sent\n", wgw_size_text(p->rx_bytes, in),
		wgw_size_text(p->tx_bytes, sent));
}

static void put_peer(FILE *out, const struct style *c, const struct wgw_peer_status *p, time_t now)
{
	char key[WGW_KEY_TEXT_LEN + 1];

	fprintf(out, "\n%s%speer%s: %s%s%s\n", c->yellow, c->bold, c->plain, c->yellow,
		wgw_key_text(p->public_key, key), c->plain);
	if (p->name)
		put_field(out, c, "name", p->name);
	if (p->has_preshared_key)
		put_field(out, c, "preshared key", "(hidden)");
	if (p->endpoint || p->endpoint_host) {
		const char *at = p->endpoint ? p->endpoint : "(unresolved)";
		bool named = p->endpoint_host && strcmp(p->endpoint_host, at) != 0;

		put_name(out, c, "endpoint");
		fprintf(out, "%s%s%s%s\n", at, named ? " (" : "", named ? p->endpoint_host : "",
			named ? ")" : "");
	}
	put_list(out, c, "allowed ips", &p->allowed_ips, "(none)");
	if (p->routes.n > 0)
		put_list(out, c, "routes", &p->routes, "");
	put_handshake(out, c, p, now);
	put_transfer(out, c, p);
	if (p->keepalive_s) {
		char span[WGW_SPAN_BYTES];

		put_name(out, c, "persistent keepalive");
		fprintf(out, "every %s\n", wgw_span_text(p->keepalive_s, span));
	}
	put_state(out, c, p->state, p->reason);
}

static int by_handshake(const void *a, const void *b)
{
	const struct wgw_peer_status *x = *(const struct wgw_peer_status *const *)a;
	const struct wgw_peer_status *y = *(const struct wgw_peer_status *const *)b;

	return (x->last_handshake_s < y->last_handshake_s) -
	       (x->last_handshake_s > y->last_handshake_s);
}

static void put_peers(FILE *out, const struct style *c, const struct wgw_status *s, time_t now)
{
	const struct wgw_peer_status **order = calloc(s->n_peers + 1, sizeof(*order));

	for (size_t i = 0; order && i < s->n_peers; i++)
		order[i] = &s->peers[i];
	if (order && s->n_peers > 1)
		qsort(order, s->n_peers, sizeof(*order), by_handshake);
	for (size_t i = 0; i < s->n_peers; i++)
		put_peer(out, c, order ? order[i] : &s->peers[i], now);
	free(order);
}

bool wgw_show_ready(FILE *out, const struct wgw_status *s)
{
	const char *name = s->label ? s->label : s->name;
	char text[WGW_ALIVE_TEXT_BYTES];

	fprintf(out, "%s: %s%s%s\n", name, wgw_state_word(s->state), s->reason ? ": " : "",
		s->reason ? s->reason : "");
	for (size_t i = 0; i < s->n_alive; i++) {
		if (s->alive[i].late)
			fprintf(out, "%s: %s %s\n", name, s->alive[i].address,
				wgw_alive_text(&s->alive[i], text));
	}
	return wgw_status_is_ready(s);
}

/* ---- the interface ---- */

static void put_sessions(FILE *out, const struct style *c, const struct wgw_status *s)
{
	size_t commands = wgw_status_commands(s);
	int keeper = 0;

	for (size_t i = 0; i < s->n_sessions; i++) {
		if (s->sessions[i].keeper)
			keeper = s->sessions[i].pid;
	}
	put_name(out, c, "sessions");
	fprintf(out, "%zu command%s", commands, commands == 1 ? "" : "s");
	if (keeper)
		fprintf(out, ", kept up by process %d", keeper);
	fputc('\n', out);
}

/** put_drops() - what was dropped, and why; nothing while nothing was */
static void put_drops(FILE *out, const struct style *c, const struct wgw_counters *counters)
{
	static const char prefix[] = "dropped_", suffix[] = "_total";
	bool any = false;

	for (size_t i = 0; i < counters->n; i++) {
		const char *name = counters->at[i].name;
		size_t len = strlen(name);

		if (counters->at[i].value == 0 || strncmp(name, prefix, sizeof(prefix) - 1) != 0 ||
		    len < sizeof(prefix) + sizeof(suffix))
			continue;
		if (!any)
			put_name(out, c, "dropped");
		fprintf(out, "%s%" PRIu64 " ", any ? ", " : "", counters->at[i].value);
		for (const char *at = name + sizeof(prefix) - 1; at < name + len - strlen(suffix);
		     at++)
			fputc(*at == '_' ? ' ' : *at, out);
		any = true;
	}
	if (any)
		fputc('\n', out);
}

static void put_alive(FILE *out, const struct style *c, const struct wgw_status *s)
{
	char text[WGW_ALIVE_TEXT_BYTES];

	for (size_t i = 0; i < s->n_alive; i++) {
		const struct wgw_alive_status *a = &s->alive[i];

		put_name(out, c, "alive");
		fprintf(out, "%s %s%s%s\n", a->address, a->late ? c->red : "",
			wgw_alive_text(a, text), a->late ? c->plain : "");
	}
}

static void put_use(FILE *out, const struct style *c, const struct wgw_status *s)
{
	char span[WGW_SPAN_BYTES];

	put_name(out, c, "connections");
	fprintf(out, "%" PRIu64 " TCP, %" PRIu64 " UDP, %" PRIu64 " listening\n",
		wgw_counter(&s->counters, "tcp_connections"),
		wgw_counter(&s->counters, "udp_sockets"),
		wgw_counter(&s->counters, "tcp_listeners"));
	put_drops(out, c, &s->counters);
	put_name(out, c, "process");
	fprintf(out, "%d, for %s\n", s->pid, wgw_span_text(s->uptime_ms / 1000, span));
}

void wgw_show_tunnel(FILE *out, const struct wgw_status *s, time_t now, bool colour)
{
	const struct style *c = colour ? &colours : &no_colours;
	char key[WGW_KEY_TEXT_LEN + 1];

	fprintf(out, "%s%sinterface%s: %s%s%s\n", c->green, c->bold, c->plain, c->green,
		s->label ? s->label : s->name, c->plain);
	put_field(out, c, "public key", wgw_key_text(s->public_key, key));
	put_field(out, c, "private key", "(hidden)");
	put_name(out, c, "listening port");
	fprintf(out, "%u\n", s->listen_port);
	if (s->fwmark) {
		put_name(out, c, "fwmark");
		fprintf(out, "0x%" PRIx32 "\n", s->fwmark);
	}
	put_state(out, c, s->state, s->reason);
	put_list(out, c, "addresses", &s->addresses, "(none)");
	put_list(out, c, "dns", &s->dns, NULL);
	put_list(out, c, "search domains", &s->search, NULL);
	put_name(out, c, "mtu");
	fprintf(out, "%u\n", s->mtu);
	if (s->encryption)
		put_field(out, c, "encryption", s->encryption);
	put_alive(out, c, s);
	put_sessions(out, c, s);
	put_use(out, c, s);
	if (s->source)
		put_field(out, c, "configuration", s->source);
	put_list(out, c, "options", &s->options, NULL);
	put_field(out, c, "id", s->name);
	put_peers(out, c, s, now);
}
