/* SPDX-License-Identifier: MIT */
/*
 * dump.c - a tunnel's state for scripts written for `wg show NAME dump` and `wg show NAME FIELD`
 *
 * Keys that wg(8) would print are never known here: (hidden).
 */
#include <inttypes.h>
#include <string.h>

#include "src/config/values.h"
#include "src/control/show.h"

static void put_prefix(FILE *out, const struct wgw_status *s, bool prefix)
{
	if (prefix)
		fprintf(out, "%s\t", s->label ? s->label : s->name);
}

static void put_allowed_ips(FILE *out, const struct wgw_peer_status *p, char separator)
{
	for (size_t i = 0; i < p->allowed_ips.n; i++) {
		if (i)
			fputc(separator, out);
		fprintf(out, "%s", p->allowed_ips.at[i]);
	}
	if (p->allowed_ips.n == 0)
		fprintf(out, "(none)");
}

static void put_keepalive(FILE *out, const struct wgw_peer_status *p)
{
	if (p->keepalive_s)
		fprintf(out, "%u\n", p->keepalive_s);
	else
		fprintf(out, "off\n");
}

static void put_fwmark(FILE *out, const struct wgw_status *s)
{
	if (s->fwmark)
		fprintf(out, "0x%" PRIx32 "\n", s->fwmark);
	else
		fprintf(out, "off\n");
}

void wgw_show_dump(FILE *out, const struct wgw_status *s, bool prefix)
{
	char key[WGW_KEY_TEXT_LEN + 1];

	put_prefix(out, s, prefix);
	fprintf(out, "(hidden)\t%s\t%u\t", wgw_key_text(s->public_key, key), s->listen_port);
	put_fwmark(out, s);
	for (size_t i = 0; i < s->n_peers; i++) {
		const struct wgw_peer_status *p = &s->peers[i];

		put_prefix(out, s, prefix);
		fprintf(out, "%s\t%s\t%s\t", wgw_key_text(p->public_key, key),
			p->has_preshared_key ? "(hidden)" : "(none)",
			p->endpoint ? p->endpoint : "(none)");
		put_allowed_ips(out, p, ',');
		fprintf(out, "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t", p->last_handshake_s,
			p->rx_bytes, p->tx_bytes);
		put_keepalive(out, p);
	}
}

/* ---- single fields ---- */

enum field {
	PUBLIC_KEY,
	PRIVATE_KEY,
	LISTEN_PORT,
	FWMARK,
	PEERS, /* from here on: one line a peer */
	PRESHARED_KEYS,
	ENDPOINTS,
	ALLOWED_IPS,
	LATEST_HANDSHAKES,
	TRANSFER,
	PERSISTENT_KEEPALIVE,
	FIELDS,
};

static const char *const field_words[FIELDS] = {
	[PUBLIC_KEY] = "public-key",
	[PRIVATE_KEY] = "private-key",
	[LISTEN_PORT] = "listen-port",
	[FWMARK] = "fwmark",
	[PEERS] = "peers",
	[PRESHARED_KEYS] = "preshared-keys",
	[ENDPOINTS] = "endpoints",
	[ALLOWED_IPS] = "allowed-ips",
	[LATEST_HANDSHAKES] = "latest-handshakes",
	[TRANSFER] = "transfer",
	[PERSISTENT_KEEPALIVE] = "persistent-keepalive",
};

static unsigned int find_field(const char *word)
{
	unsigned int i = 0;

	while (i < FIELDS && strcmp(word, field_words[i]) != 0)
		i++;
	return i;
}

bool wgw_show_is_field(const char *word)
{
	return find_field(word) < FIELDS;
}

static void put_device_field(FILE *out, const struct wgw_status *s, enum field field)
{
	char key[WGW_KEY_TEXT_LEN + 1];

	switch (field) {
	case PUBLIC_KEY:
		fprintf(out, "%s\n", wgw_key_text(s->public_key, key));
		break;
	case PRIVATE_KEY:
		fprintf(out, "(hidden)\n");
		break;
	case LISTEN_PORT:
		fprintf(out, "%u\n", s->listen_port);
		break;
	default:
		put_fwmark(out, s);
	}
}

static void put_peer_field(FILE *out, const struct wgw_peer_status *p, enum field field)
{
	switch (field) {
	case PRESHARED_KEYS:
		fprintf(out, "%s\n", p->has_preshared_key ? "(hidden)" : "(none)");
		break;
	case ENDPOINTS:
		fprintf(out, "%s\n", p->endpoint ? p->endpoint : "(none)");
		break;
	case ALLOWED_IPS:
		put_allowed_ips(out, p, ' ');
		fputc('\n', out);
		break;
	case LATEST_HANDSHAKES:
		fprintf(out, "%" PRIu64 "\n", p->last_handshake_s);
		break;
	case TRANSFER:
		fprintf(out, "%" PRIu64 "\t%" PRIu64 "\n", p->rx_bytes, p->tx_bytes);
		break;
	default:
		put_keepalive(out, p);
	}
}

bool wgw_show_field(FILE *out, const struct wgw_status *s, const char *word, bool prefix)
{
	enum field field = find_field(word);
	char key[WGW_KEY_TEXT_LEN + 1];

	if (field == FIELDS)
		return false;
	if (field < PEERS) {
		put_prefix(out, s, prefix);
		put_device_field(out, s, field);
		return true;
	}
	for (size_t i = 0; i < s->n_peers; i++) {
		put_prefix(out, s, prefix);
		fprintf(out, "%s%c", wgw_key_text(s->peers[i].public_key, key),
			field == PEERS ? '\n' : '\t');
		if (field != PEERS)
			put_peer_field(out, &s->peers[i], field);
	}
	return true;
}
