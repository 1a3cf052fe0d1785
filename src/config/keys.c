/* SPDX-License-Identifier: MIT */
/*
 * keys.c - the keys a file may hold, and what each does
 *
 * One table names every key of wg(8), wg-quick(8), WireSock, AmneziaWG and of our own, where it
 * may stand and how it is written. A key that is not in it is an error. Keys without meaning here
 * (Table, hooks, ...) are taken note of; keys that change the bytes on the wire in a way that the
 * engine does not know are errors, because no handshake would ever complete.
 */
#include "src/config/keys.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/config/parser.h"
#include "src/config/values.h"
#include "stack/stack.h"

enum { KEEPALIVE_MAX_S = 65535 };

/* ---- keys ---- */

/** set_secret() - a key in base64 that may not be zero unless @zero_ok */
static bool set_secret(struct wgw_parser *p, const struct wgw_key *key, const char *value,
		       uint8_t out[WG_KEY_BYTES], bool zero_ok)
{
	size_t len = strlen(value);

	if (len != WGW_KEY_TEXT_LEN) {
		wgw_parser_say(p, WGW_ERROR, key,
			       "a key is %d characters of base64 (32 bytes), this has %zu",
			       WGW_KEY_TEXT_LEN, len);
		return false;
	}
	if (wgw_key_parse(value, out) < 0) {
		wgw_parser_say(p, WGW_ERROR, key, "not valid base64 of 32 bytes");
		return false;
	}
	if (!zero_ok && sodium_is_zero(out, WG_KEY_BYTES)) {
		wgw_parser_say(p, WGW_ERROR, key, "the key is all zeros");
		return false;
	}
	return true;
}

static void set_private_key(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	p->private_key_line = p->reader.line;
	if (set_secret(p, key, value, p->config->private_key, false))
		wgw_key_clamp(p->config->private_key);
}

static void set_public_key(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	p->public_key_seen = true;
	set_secret(p, key, value, wgw_parser_peer(p)->public_key, false);
}

static void set_preshared_key(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	set_secret(p, key, value, wgw_parser_peer(p)->preshared_key, true);
}

/* ---- numbers ---- */

static void set_listen_port(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	char quoted[WGW_QUOTED_BYTES];

	if (wgw_port_parse(value, &p->config->listen_port) < 0)
		wgw_parser_say(p, WGW_ERROR, key, "%s is not a port (0 to 65535)",
			       wgw_quoted(value, quoted));
}

static void set_fwmark(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	char quoted[WGW_QUOTED_BYTES];

	if (wgw_fwmark_parse(value, &p->config->fwmark) < 0)
		wgw_parser_say(p, WGW_ERROR, key, "%s is not 'off' or a 32-bit number",
			       wgw_quoted(value, quoted));
}

static void set_mtu(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	char quoted[WGW_QUOTED_BYTES];
	uint32_t mtu;

	if (wgw_number_parse(value, WGW_CONFIG_MTU_MIN_BYTES, WG_MTU_MAX_BYTES, &mtu) < 0)
		wgw_parser_say(p, WGW_ERROR, key, "%s is not a number from %d to %d",
			       wgw_quoted(value, quoted), WGW_CONFIG_MTU_MIN_BYTES,
			       WG_MTU_MAX_BYTES);
	else
		p->config->mtu = (uint16_t)mtu;
}

static void set_keepalive(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	char quoted[WGW_QUOTED_BYTES];
	uint32_t seconds = 0;

	if (strcasecmp(value, "off") != 0 &&
	    wgw_number_parse(value, 0, KEEPALIVE_MAX_S, &seconds) < 0)
		wgw_parser_say(p, WGW_ERROR, key,
			       "%s is not 'off' or a number of seconds from 0 to %d",
			       wgw_quoted(value, quoted), KEEPALIVE_MAX_S);
	else
		wgw_parser_peer(p)->keepalive_s = (uint16_t)seconds;
}

static void set_save_config(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	char quoted[WGW_QUOTED_BYTES];

	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		wgw_parser_say(p, WGW_ERROR, key, "%s is not 'true' or 'false'",
			       wgw_quoted(value, quoted));
	else
		wgw_parser_say(p, WGW_NOTE, key, "ignored: the file is never written");
}

/* ---- addresses and names ---- */

/** add_prefix() - an element of a list of CIDR blocks */
static void add_prefix(struct wgw_parser *p, const struct wgw_key *key, const char *value,
		       struct wgw_prefixes *list)
{
	char quoted[WGW_QUOTED_BYTES], text[WGW_ADDR_TEXT_BYTES];
	struct wgw_prefix prefix;
	bool masked;

	if (wgw_prefix_parse(value, &prefix, &masked) < 0) {
		wgw_parser_say(p, WGW_ERROR, key, "%s is not an address or a CIDR block",
			       wgw_quoted(value, quoted));
		return;
	}
	if (masked)
		wgw_parser_say(p, WGW_WARNING, key, "%s has host bits set, read as %s",
			       wgw_quoted(value, quoted), wgw_prefix_text(&prefix, text));
	if (wgw_prefixes_add(list, &prefix) < 0)
		p->out_of_memory = true;
}

static void set_address(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	struct wgw_prefixes *list = &p->config->addresses;
	char quoted[WGW_QUOTED_BYTES];
	struct wgw_prefix prefix;

	p->address_seen = true;
	if (wgw_address_parse(value, &prefix) < 0 || stack_addr_is_any(&prefix.addr)) {
		wgw_parser_say(p, WGW_ERROR, key,
			       "%s is not an address, with or without a prefix length",
			       wgw_quoted(value, quoted));
		return;
	}
	for (size_t i = 0; i < list->n; i++) {
		if (stack_addr_equal(&list->at[i].addr, &prefix.addr))
			return;
	}
	if (list->n == STACK_ADDRS_MAX)
		wgw_parser_say(p, WGW_ERROR, key, "more than %d addresses", STACK_ADDRS_MAX);
	else if (wgw_prefixes_add(list, &prefix) < 0)
		p->out_of_memory = true;
}

/** add_claim() - the current peer is to have @prefix, or (@removes) no longer */
static void add_claim(struct wgw_parser *p, const struct wgw_prefix *prefix, bool removes)
{
	const struct wgw_claim claim = {
		.prefix = *prefix,
		.peer = p->config->n_peers - 1,
		.line = p->reader.line,
		.removes = removes,
	};

	if (wgw_claims_add(&p->claims, &claim) < 0)
		p->out_of_memory = true;
}

static void set_allowed_ips(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	struct wgw_prefixes one = {0};

	add_prefix(p, key, value + (*value == '-' || *value == '+'), &one);
	/* wg(8) since 1.0.20250521: '-' takes a prefix away from the peer */
	if (one.n == 1)
		add_claim(p, &one.at[0], *value == '-');
	wgw_prefixes_free(&one);
}

/** set_route() - WrapGuard's key. Without a protocol it says what AllowedIPs says */
static void set_route(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	char quoted[WGW_QUOTED_BYTES];
	struct wgw_peer_route route;
	const char *wrong = wgw_route_parse(value, &route);

	if (wrong)
		wgw_parser_say(p, WGW_ERROR, key, "%s: %s", wgw_quoted(value, quoted), wrong);
	else if (wgw_route_is_prefix(&route))
		add_claim(p, &route.to, false);
	else if (wgw_routes_add(&wgw_parser_peer(p)->routes, &route) < 0)
		p->out_of_memory = true;
}

static void set_disallowed_ips(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	add_prefix(p, key, value, &wgw_parser_peer(p)->disallowed_ips);
}

static void set_direct(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	add_prefix(p, key, value, &p->config->direct);
}

static void set_check_alive(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	struct wgw_prefixes *list = &p->config->check_alive;
	char quoted[WGW_QUOTED_BYTES];
	struct wgw_prefix one;

	if (strchr(value, '/') || wgw_address_parse(value, &one) < 0 ||
	    stack_addr_is_any(&one.addr))
		wgw_parser_say(p, WGW_ERROR, key, "%s is not an address",
			       wgw_quoted(value, quoted));
	else if (list->n == WGW_CONFIG_ALIVE_MAX)
		wgw_parser_say(p, WGW_ERROR, key, "more than %d addresses", WGW_CONFIG_ALIVE_MAX);
	else if (wgw_prefixes_longest(list, &one.addr) < 0 && wgw_prefixes_add(list, &one) < 0)
		p->out_of_memory = true;
}

static void set_check_alive_interval(struct wgw_parser *p, const struct wgw_key *key,
				     const char *value)
{
	char quoted[WGW_QUOTED_BYTES];
	uint32_t seconds = 0;

	if (wgw_number_parse(value, 1, UINT16_MAX, &seconds) < 0)
		wgw_parser_say(p, WGW_ERROR, key, "%s is not a number of seconds from 1 to %d",
			       wgw_quoted(value, quoted), UINT16_MAX);
	p->config->check_alive_s = (uint16_t)seconds;
}

/** set_dns() - what is made of digits and dots or has a colon is a server, all else a search
 * domain, as wg-quick(8) sorts them */
static void set_dns(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	bool is_server = strchr(value, ':') || value[strspn(value, "0123456789.")] == '\0';
	char quoted[WGW_QUOTED_BYTES];
	struct wgw_prefix server;
	int r;

	if (!is_server) {
		if (!wgw_is_host_name(value)) {
			wgw_parser_say(p, WGW_ERROR, key,
				       "%s is neither an address nor a search domain",
				       wgw_quoted(value, quoted));
			return;
		}
		r = wgw_strings_add(&p->config->search, value);
	} else {
		if (strchr(value, '/') || wgw_address_parse(value, &server) < 0) {
			wgw_parser_say(p, WGW_ERROR, key, "%s is not an address",
				       wgw_quoted(value, quoted));
			return;
		}
		server.addr.port = WGW_DNS_PORT;
		r = wgw_prefixes_add(&p->config->dns, &server);
	}
	if (r < 0)
		p->out_of_memory = true;
}

static void set_dns_source(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	char quoted[WGW_QUOTED_BYTES];

	if (strcasecmp(value, "system") == 0)
		p->config->dns_system = true;
	else if (strcasecmp(value, "tunnel") == 0)
		p->config->dns_system = false;
	else
		wgw_parser_say(p, WGW_ERROR, key, "%s is not 'system' or 'tunnel'",
			       wgw_quoted(value, quoted));
}

static void set_endpoint(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	struct wgw_peer_config *peer = wgw_parser_peer(p);
	char quoted[WGW_QUOTED_BYTES];
	const char *wrong;
	uint16_t port;
	char *host;

	wrong = wgw_endpoint_parse(value, &host, &port);
	if (wrong) {
		wgw_parser_say(p, WGW_ERROR, key, "%s: %s", wgw_quoted(value, quoted), wrong);
		return;
	}
	free(peer->endpoint_host);
	peer->endpoint_host = host;
	peer->endpoint_port = port;
}

/* ---- relatives ---- */

static void add_string(struct wgw_parser *p, const char *value, struct wgw_strings *list)
{
	if (wgw_strings_add(list, value) < 0)
		p->out_of_memory = true;
}

/** set_allowed_apps() - a file made for Windows names programs that are not here, and so sends all
 * of them around the tunnel: that must not go unnoticed */
static void set_allowed_apps(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	if (p->config->allowed_apps.n == 0)
		wgw_parser_say(p, WGW_WARNING, key,
			       "programs that are not listed are connected outside the tunnel");
	add_string(p, value, &p->config->allowed_apps);
}

static void set_disallowed_apps(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	if (p->config->disallowed_apps.n == 0)
		wgw_parser_say(p, WGW_NOTE, key,
			       "programs that are listed are connected outside the tunnel");
	add_string(p, value, &p->config->disallowed_apps);
}

static void take_note(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	(void)value;
	wgw_parser_say(p, WGW_NOTE, key, "%s", key->remark);
}

static void take_warning(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	(void)value;
	wgw_parser_say(p, WGW_WARNING, key, "%s", key->remark);
}

/** refuse_amnezia() - AmneziaWG's keys change the wire; their neutral values are plain WireGuard.
 * @key->remark: the neutral value */
static void refuse_amnezia(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	if (*value && strcasecmp(value, key->remark) == 0) {
		wgw_parser_say(p, WGW_NOTE, key, "ignored: the value is plain WireGuard's");
		return;
	}
	if (!p->amnezia)
		wgw_parser_say(p, WGW_ERROR, key,
			       "this file needs AmneziaWG, which is not supported");
	p->amnezia = true;
}

/** refuse_reserved() - the reserved header bytes some servers want; zeros are plain WireGuard */
static void refuse_reserved(struct wgw_parser *p, const struct wgw_key *key, const char *value)
{
	if (value[strspn(value, "[]0,")] == '\0' || strcmp(value, "AAAA") == 0)
		wgw_parser_say(p, WGW_NOTE, key, "ignored: the value is plain WireGuard's");
	else
		wgw_parser_say(
			p, WGW_WARNING, key,
			"ignored: reserved bytes are sent as zeros, which some servers refuse");
}

/* ---- the table ---- */

#define NO_HOOKS    "ignored: hooks are never run"
#define NO_MEANING  "ignored: it has no meaning here"
#define NO_WINDOWS  "ignored: it is for Windows"
#define ANY_SECTION (WGW_INTERFACE | WGW_PEER)
#define ANY_WS	    (WGW_BARE | WGW_PRAGMA_WS)

#define NOTE(key, where, how, shape, why)                                                          \
	{                                                                                          \
		key, where, how, shape, take_note, why                                             \
	}
#define AMNEZIA(key, where, neutral)                                                               \
	{                                                                                          \
		key, where, WGW_BARE, WGW_EMPTY, refuse_amnezia, neutral                           \
	}
#define WINDOWS(key)                                                                               \
	{                                                                                          \
		key, WGW_INTERFACE, ANY_WS, WGW_EMPTY | WGW_SPACES, take_note, NO_WINDOWS          \
	}

static const struct wgw_key keys[] = {
	/* wg(8) */
	{"AllowedIPs", WGW_PEER, WGW_BARE, WGW_LIST | WGW_EMPTY, set_allowed_ips, NULL},
	{"PrivateKey", WGW_INTERFACE, WGW_BARE, WGW_SECRET, set_private_key, NULL},
	{"ListenPort", WGW_INTERFACE, WGW_BARE, 0, set_listen_port, NULL},
	{"FwMark", WGW_INTERFACE, WGW_BARE, 0, set_fwmark, NULL},
	{"PublicKey", WGW_PEER, WGW_BARE, 0, set_public_key, NULL},
	{"PresharedKey", WGW_PEER, WGW_BARE, WGW_SECRET, set_preshared_key, NULL},
	{"Endpoint", WGW_PEER, WGW_BARE, 0, set_endpoint, NULL},
	{"PersistentKeepalive", WGW_PEER, WGW_BARE, 0, set_keepalive, NULL},

	/* wg-quick(8) */
	{"Address", WGW_INTERFACE, WGW_BARE, WGW_LIST | WGW_EMPTY, set_address, NULL},
	{"DNS", WGW_INTERFACE, WGW_BARE, WGW_LIST | WGW_EMPTY, set_dns, NULL},
	{"MTU", WGW_INTERFACE, WGW_BARE, 0, set_mtu, NULL},
	NOTE("Table", WGW_INTERFACE, WGW_BARE, WGW_EMPTY, "ignored: AllowedIPs alone route here"),
	{"SaveConfig", WGW_INTERFACE, WGW_BARE, 0, set_save_config, NULL},
	NOTE("PreUp", WGW_INTERFACE, ANY_WS, WGW_EMPTY | WGW_UNREAD, NO_HOOKS),
	NOTE("PostUp", WGW_INTERFACE, ANY_WS, WGW_EMPTY | WGW_UNREAD, NO_HOOKS),
	NOTE("PreDown", WGW_INTERFACE, ANY_WS, WGW_EMPTY | WGW_UNREAD, NO_HOOKS),
	NOTE("PostDown", WGW_INTERFACE, ANY_WS, WGW_EMPTY | WGW_UNREAD, NO_HOOKS),

	/* our own */
	{"Direct", ANY_SECTION, WGW_PRAGMA, WGW_LIST | WGW_EMPTY, set_direct, NULL},
	{"DNS", ANY_SECTION, WGW_PRAGMA, 0, set_dns_source, NULL},
	/* bare it is WrapGuard's */
	{"Route", WGW_PEER, WGW_BARE | WGW_PRAGMA, WGW_LIST | WGW_EMPTY, set_route, NULL},

	/* wireproxy */
	{"CheckAlive", WGW_INTERFACE, WGW_BARE, WGW_LIST | WGW_EMPTY, set_check_alive, NULL},
	{"CheckAliveInterval", WGW_INTERFACE, WGW_BARE, 0, set_check_alive_interval, NULL},

	/* WireSock */
	{"AllowedApps", ANY_SECTION, ANY_WS, WGW_LIST | WGW_EMPTY | WGW_SPACES, set_allowed_apps,
	 NULL},
	{"DisallowedApps", ANY_SECTION, ANY_WS, WGW_LIST | WGW_EMPTY | WGW_SPACES,
	 set_disallowed_apps, NULL},
	{"DisallowedIPs", WGW_PEER, ANY_WS, WGW_LIST | WGW_EMPTY, set_disallowed_ips, NULL},
	{"Socks5Proxy", ANY_SECTION, ANY_WS, WGW_EMPTY, take_warning,
	 "not supported: datagrams go to the endpoint themselves"},
	NOTE("Socks5ProxyUsername", ANY_SECTION, ANY_WS, WGW_EMPTY | WGW_UNREAD, NO_MEANING),
	NOTE("Socks5ProxyPassword", ANY_SECTION, ANY_WS, WGW_EMPTY | WGW_UNREAD, NO_MEANING),
	NOTE("Socks5ProxyAllTraffic", ANY_SECTION, ANY_WS, WGW_EMPTY, NO_MEANING),
	WINDOWS("VirtualAdapterMode"),
	WINDOWS("BypassLanTraffic"),
	WINDOWS("ScriptExecTimeout"),
	WINDOWS("EnableDefaultGateway"),
	WINDOWS("Id"),
	WINDOWS("Ip"),
	WINDOWS("Ib"),
	WINDOWS("Jd"),

	/* others that speak WireGuard's own protocol */
	{"Reserved", ANY_SECTION, WGW_BARE, WGW_EMPTY, refuse_reserved, NULL},

	/* AmneziaWG, with the values that leave WireGuard as it is */
	AMNEZIA("Jc", WGW_INTERFACE, "0"),
	AMNEZIA("Jmin", WGW_INTERFACE, "0"),
	AMNEZIA("Jmax", WGW_INTERFACE, "0"),
	AMNEZIA("S1", WGW_INTERFACE, "0"),
	AMNEZIA("S2", WGW_INTERFACE, "0"),
	AMNEZIA("S3", WGW_INTERFACE, "0"),
	AMNEZIA("S4", WGW_INTERFACE, "0"),
	AMNEZIA("H1", WGW_INTERFACE, "1"),
	AMNEZIA("H2", WGW_INTERFACE, "2"),
	AMNEZIA("H3", WGW_INTERFACE, "3"),
	AMNEZIA("H4", WGW_INTERFACE, "4"),
	AMNEZIA("I1", WGW_INTERFACE, ""),
	AMNEZIA("I2", WGW_INTERFACE, ""),
	AMNEZIA("I3", WGW_INTERFACE, ""),
	AMNEZIA("I4", WGW_INTERFACE, ""),
	AMNEZIA("I5", WGW_INTERFACE, ""),
	AMNEZIA("HeaderProtectionKey", WGW_INTERFACE, ""),
	AMNEZIA("ContentPaddingAddition", WGW_INTERFACE, "0"),
	AMNEZIA("RekeyAfterTime", WGW_INTERFACE, "120"),
	AMNEZIA("RekeyTimeout", WGW_INTERFACE, "5"),
	AMNEZIA("RejectAfterTime", WGW_INTERFACE, "180"),
	AMNEZIA("KeepaliveTimeout", WGW_INTERFACE, "10"),
	AMNEZIA("MaxHandshakeAttempts", WGW_INTERFACE, "18"),
	AMNEZIA("RandomTrailers", WGW_INTERFACE, "off"),
	AMNEZIA("DisableCookies", WGW_INTERFACE, "off"),
	AMNEZIA("AdvancedSecurity", WGW_PEER, "off"),
};

enum { KEYS = sizeof(keys) / sizeof(*keys) };
static_assert((int)KEYS <= (int)WGW_KEYS_MAX, "WGW_KEYS_MAX bounds the table");

const struct wgw_key *wgw_key_find(const char *name, enum wgw_section section,
				   enum wgw_spelling spelling)
{
	for (size_t i = 0; i < KEYS; i++) {
		if ((keys[i].sections & section) && (keys[i].spellings & spelling) &&
		    strcasecmp(keys[i].name, name) == 0)
			return &keys[i];
	}
	return NULL;
}

const char *const *wgw_key_names(enum wgw_section section, enum wgw_spelling spelling,
				 const char **buf)
{
	size_t n = 0;

	for (size_t i = 0; i < KEYS; i++) {
		if ((keys[i].sections & section) && (keys[i].spellings & spelling) &&
		    !keys[i].remark)
			buf[n++] = keys[i].name;
	}
	buf[n] = NULL;
	return buf;
}

const char *wgw_spelling_prefix(enum wgw_spelling spelling)
{
	return spelling == WGW_PRAGMA ? "#@wgwrap:" : spelling == WGW_PRAGMA_WS ? "#@ws:" : "";
}

const char *wgw_spelling_tag(enum wgw_spelling spelling)
{
	return spelling == WGW_PRAGMA ? "@wgwrap." : spelling == WGW_PRAGMA_WS ? "@ws." : "";
}
