/* SPDX-License-Identifier: MIT */
/*
 * json.c - tunnels' state as JSON
 *
 * Names of keys are those of wireguard-tools' wg-json where it has them. Every key is always there:
 * a reader need not ask whether it is.
 */
#include <inttypes.h>
#include <string.h>

#include "src/base/json.h"
#include "src/config/values.h"
#include "src/control/show.h"

enum { SCHEMA_VERSION = 1 };

static void put_string(FILE *out, const char *name, const char *text)
{
	fprintf(out, "\"%s\":", name);
	wgw_json_string(out, text);
	fputc(',', out);
}

static void put_texts(FILE *out, const char *name, const struct wgw_strings *list)
{
	fprintf(out, "\"%s\":[", name);
	for (size_t i = 0; i < list->n; i++) {
		if (i)
			fputc(',', out);
		wgw_json_string(out, list->at[i]);
	}
	fprintf(out, "],");
}

static void put_counters(FILE *out, const struct wgw_counters *counters)
{
	fprintf(out, "\"counters\":{");
	for (size_t i = 0; i < counters->n; i++)
		fprintf(out, "%s\"%s\":%" PRIu64, i ? "," : "", counters->at[i].name,
			counters->at[i].value);
	fprintf(out, "}");
}

static void put_peer(FILE *out, const struct wgw_peer_status *p)
{
	char key[WGW_KEY_TEXT_LEN + 1];

	fputc('{', out);
	put_string(out, "publicKey", wgw_key_text(p->public_key, key));
	put_string(out, "name", p->name);
	fprintf(out, "\"hasPresharedKey\":%s,", p->has_preshared_key ? "true" : "false");
	put_string(out, "endpoint", p->endpoint);
	put_string(out, "endpointHost", p->endpoint_host);
	put_texts(out, "allowedIps", &p->allowed_ips);
	put_texts(out, "routes", &p->routes);
	fprintf(out,
		"\"latestHandshake\":%" PRIu64 ",\"transferRx\":%" PRIu64 ",\"transferTx\":%" PRIu64
		",\"persistentKeepalive\":%u,",
		p->last_handshake_s, p->rx_bytes, p->tx_bytes, p->keepalive_s);
	put_string(out, "state", wgw_state_word(p->state));
	put_string(out, "reason", p->reason);
	put_counters(out, &p->counters);
	fputc('}', out);
}

static void put_alive(FILE *out, const struct wgw_status *s)
{
	fprintf(out, "\"checkAlive\":[");
	for (size_t i = 0; i < s->n_alive; i++) {
		const struct wgw_alive_status *a = &s->alive[i];

		fprintf(out, "%s{", i ? "," : "");
		put_string(out, "address", a->address);
		if (a->answered)
			fprintf(out, "\"answeredMsAgo\":%" PRIu64 ",", a->age_ms);
		else
			fprintf(out, "\"answeredMsAgo\":null,");
		fprintf(out, "\"late\":%s}", a->late ? "true" : "false");
	}
	fprintf(out, "],");
}

static void put_tunnel(FILE *out, const struct wgw_status *s)
{
	char key[WGW_KEY_TEXT_LEN + 1];

	fputc('{', out);
	put_string(out, "name", s->label);
	put_string(out, "id", s->name);
	put_string(out, "source", s->source);
	put_texts(out, "options", &s->options);
	put_string(out, "publicKey", wgw_key_text(s->public_key, key));
	fprintf(out, "\"listenPort\":%u,\"fwmark\":%" PRIu32 ",\"mtu\":%u,", s->listen_port,
		s->fwmark, s->mtu);
	put_string(out, "encryption", s->encryption);
	put_texts(out, "addresses", &s->addresses);
	put_texts(out, "dns", &s->dns);
	put_texts(out, "searchDomains", &s->search);
	put_string(out, "state", wgw_state_word(s->state));
	put_string(out, "reason", s->reason);
	put_alive(out, s);
	fprintf(out, "\"pid\":%d,\"uptimeMs\":%" PRIu64 ",\"sessions\":[", s->pid, s->uptime_ms);
	for (size_t i = 0; i < s->n_sessions; i++)
		fprintf(out, "%s{\"pid\":%d,\"keeper\":%s,\"sockets\":%" PRIu64 "}", i ? "," : "",
			s->sessions[i].pid, s->sessions[i].keeper ? "true" : "false",
			s->sessions[i].sockets);
	fprintf(out, "],");
	put_counters(out, &s->counters);
	fprintf(out, ",\"peers\":[");
	for (size_t i = 0; i < s->n_peers; i++) {
		if (i)
			fputc(',', out);
		put_peer(out, &s->peers[i]);
	}
	fprintf(out, "]}");
}

void wgw_show_json(FILE *out, const struct wgw_tunnels *list)
{
	fprintf(out, "{\"schema\":%d,\"tunnels\":[", SCHEMA_VERSION);
	for (size_t i = 0; i < list->n; i++) {
		if (i)
			fputc(',', out);
		put_tunnel(out, list->at[i]);
	}
	fprintf(out, "]}\n");
}
