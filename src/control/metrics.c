/* SPDX-License-Identifier: MIT */
/*
 * metrics.c - tunnels' state as Prometheus text (exposition format 0.0.4)
 *
 * The first three families have names and labels of the exporters that people's dashboards
 * were made for; ours begin with wgwrap_. No key but public ones and no destination is a label.
 */
#include <inttypes.h>
#include <string.h>

#include "src/config/values.h"
#include "src/control/metrics.h"

/** put_label_value() - escaped as the format wants it */
static void put_label_value(FILE *out, const char *text)
{
	for (; text && *text; text++) {
		if (*text == '\\' || *text == '"')
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void put_label(FILE *out, char before, const char *name, const char *value)
{
	fprintf(out, "%c%s=\"", before, name);
	put_label_value(out, value);
	fputc('"', out);
}

static void begin_family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static const char *interface_of(const struct wgw_status *s)
{
	return s->label ? s->label : s->name;
}

/** is_ambiguous() - whether another one of @list has the name of @s, which comes from a file's */
static bool is_ambiguous(const struct wgw_tunnels *list, const struct wgw_status *s)
{
	for (size_t i = 0; i < list->n; i++) {
		if (list->at[i] != s && strcmp(interface_of(list->at[i]), interface_of(s)) == 0)
			return true;
	}
	return false;
}

/** begin_sample() - name and labels of @s, one of @list, which no other sample of the family has;
 * @p NULL: of the interface; @more: another label's name */
static void begin_sample(FILE *out, const char *name, const struct wgw_tunnels *list,
			 const struct wgw_status *s, const struct wgw_peer_status *p,
			 const char *more, const char *value)
{
	char key[WGW_KEY_TEXT_LEN + 1];

	fprintf(out, "%s", name);
	put_label(out, '{', "interface", interface_of(s));
	if (is_ambiguous(list, s))
		put_label(out, ',', "id", s->name);
	if (p) {
		put_label(out, ',', "public_key", wgw_key_text(p->public_key, key));
		put_label(out, ',', "friendly_name", p->name);
	}
	if (more)
		put_label(out, ',', more, value);
	fprintf(out, "} ");
}

static void put_number(FILE *out, uint64_t n)
{
	fprintf(out, "%" PRIu64 "\n", n);
}

/* ---- peers ---- */

static uint64_t sent(const struct wgw_peer_status *p)
{
	return p->tx_bytes;
}

static uint64_t received(const struct wgw_peer_status *p)
{
	return p->rx_bytes;
}

static uint64_t latest_handshake(const struct wgw_peer_status *p)
{
	return p->last_handshake_s;
}

static uint64_t is_up(const struct wgw_peer_status *p)
{
	return p->state == WGW_STATE_UP;
}

static uint64_t handshakes(const struct wgw_peer_status *p)
{
	return wgw_counter(&p->counters, "handshakes_total");
}

static uint64_t retries(const struct wgw_peer_status *p)
{
	return wgw_counter(&p->counters, "handshake_retries_total");
}

static uint64_t given_up(const struct wgw_peer_status *p)
{
	return wgw_counter(&p->counters, "handshakes_given_up_total");
}

static uint64_t endpoint_changes(const struct wgw_peer_status *p)
{
	return wgw_counter(&p->counters, "endpoint_changes_total");
}

static uint64_t resolutions(const struct wgw_peer_status *p)
{
	return wgw_counter(&p->counters, "endpoint_resolutions_total");
}

static const struct {
	const char *name, *type, *help;
	uint64_t (*value)(const struct wgw_peer_status *p);
} peer_families[] = {
	{"wireguard_sent_bytes_total", "counter", "Bytes sent to the peer", sent},
	{"wireguard_received_bytes_total", "counter", "Bytes received from the peer", received},
	{"wireguard_latest_handshake_seconds", "gauge",
	 "Unix time of the last handshake, 0: there was none", latest_handshake},
	{"wgwrap_peer_up", "gauge", "Whether there is a session with the peer", is_up},
	{"wgwrap_handshakes_total", "counter", "Handshakes completed", handshakes},
	{"wgwrap_handshake_retries_total", "counter", "Handshake initiations sent again", retries},
	{"wgwrap_handshakes_given_up_total", "counter", "Times the peer was given up", given_up},
	{"wgwrap_endpoint_changes_total", "counter",
	 "Times the peer was heard from another address", endpoint_changes},
	{"wgwrap_endpoint_resolutions_total", "counter",
	 "Times the endpoint's name was resolved again", resolutions},
};

/* ---- the interface ---- */

static const struct {
	const char *counter, *type, *help;
} device_families[] = {
	{"datagrams_received_total", "counter", "UDP datagrams received"},
	{"datagrams_sent_total", "counter", "UDP datagrams sent"},
	{"packets_received_total", "counter", "Packets received in the tunnel"},
	{"packets_sent_total", "counter", "Packets sent in the tunnel"},
	{"tcp_retransmits_total", "counter", "TCP segments sent again"},
	{"refused_destinations_total", "counter",
	 "Times a destination was refused that no peer carries"},
	{"tcp_connections", "gauge", "TCP connections"},
	{"tcp_listeners", "gauge", "TCP listeners"},
	{"udp_sockets", "gauge", "UDP sockets"},
};

static void put_device_families(FILE *out, const struct wgw_tunnels *list)
{
	char name[WGW_COUNTER_NAME_BYTES + 16];

	for (size_t i = 0; i < sizeof(device_families) / sizeof(*device_families); i++) {
		snprintf(name, sizeof(name), "wgwrap_%s", device_families[i].counter);
		begin_family(out, name, device_families[i].type, device_families[i].help);
		for (size_t k = 0; k < list->n; k++) {
			begin_sample(out, name, list, list->at[k], NULL, NULL, NULL);
			put_number(out,
				   wgw_counter(&list->at[k]->counters, device_families[i].counter));
		}
	}
}

/** put_drops() - counters "dropped_REASON_total" as one family with the reason as a label */
static void put_drops(FILE *out, const struct wgw_tunnels *list)
{
	static const char name[] = "wgwrap_dropped_total", prefix[] = "dropped_",
			  suffix[] = "_total";

	begin_family(out, name, "counter", "Packets and datagrams dropped, by reason");
	for (size_t k = 0; k < list->n; k++) {
		const struct wgw_counters *counters = &list->at[k]->counters;

		for (size_t i = 0; i < counters->n; i++) {
			char reason[WGW_COUNTER_NAME_BYTES];
			size_t len = strlen(counters->at[i].name);

			if (len < strlen(prefix) + strlen(suffix) ||
			    strncmp(counters->at[i].name, prefix, strlen(prefix)) != 0)
				continue;
			snprintf(reason, sizeof(reason), "%.*s",
				 (int)(len - strlen(prefix) - strlen(suffix)),
				 counters->at[i].name + strlen(prefix));
			begin_sample(out, name, list, list->at[k], NULL, "reason", reason);
			put_number(out, counters->at[i].value);
		}
	}
}

static void put_sessions(FILE *out, const struct wgw_tunnels *list)
{
	static const char name[] = "wgwrap_sessions";

	begin_family(out, name, "gauge", "Commands that use the tunnel");
	for (size_t k = 0; k < list->n; k++) {
		begin_sample(out, name, list, list->at[k], NULL, NULL, NULL);
		put_number(out, wgw_status_commands(list->at[k]));
	}
}

static void put_state(FILE *out, const struct wgw_tunnels *list)
{
	begin_family(out, "wgwrap_ready", "gauge", "Whether /readyz says yes");
	for (size_t k = 0; k < list->n; k++) {
		begin_sample(out, "wgwrap_ready", list, list->at[k], NULL, NULL, NULL);
		put_number(out, wgw_status_is_ready(list->at[k]));
	}
	begin_family(out, "wgwrap_uptime_seconds", "gauge", "Age of the tunnel process");
	for (size_t k = 0; k < list->n; k++) {
		begin_sample(out, "wgwrap_uptime_seconds", list, list->at[k], NULL, NULL, NULL);
		fprintf(out, "%.3f\n", (double)list->at[k]->uptime_ms / 1000);
	}
}

void wgw_metrics(FILE *out, const struct wgw_tunnels *list, const char *version)
{
	for (size_t i = 0; i < sizeof(peer_families) / sizeof(*peer_families); i++) {
		begin_family(out, peer_families[i].name, peer_families[i].type,
			     peer_families[i].help);
		for (size_t k = 0; k < list->n; k++) {
			const struct wgw_status *s = list->at[k];

			for (size_t j = 0; j < s->n_peers; j++) {
				begin_sample(out, peer_families[i].name, list, s, &s->peers[j],
					     NULL, NULL);
				put_number(out, peer_families[i].value(&s->peers[j]));
			}
		}
	}
	put_state(out, list);
	put_sessions(out, list);
	put_device_families(out, list);
	put_drops(out, list);
	begin_family(out, "wgwrap_build_info", "gauge", "Always 1");
	fprintf(out, "wgwrap_build_info{version=\"%s\"} 1\n", version);
}
