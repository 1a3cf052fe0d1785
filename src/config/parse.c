/* SPDX-License-Identifier: MIT */
/*
 * parse.c - from the text of a wg-quick file to a configuration
 *
 * inih splits lines into keys and values, the reader (reader.c) gives it lines it can take, the
 * table of keys (keys.c) says what each means. Here is what concerns the file as a whole: sections,
 * values in parts, and the checks at the end. All errors of a file are said, not the first only.
 */
#include <errno.h>
#include <ini.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/config/parser.h"
#include "src/config/values.h"

enum {
	VALUE_MAX_BYTES = 1024, /* of one value, or one element of a list */
	SAY_BYTES = 512,
	MTU_V6_MIN_BYTES = 1280, /* RFC 8200, section 5 */
	STACK_WIPE_BYTES = 4096, /* inih keeps its line on the stack */
};

struct wgw_peer_config *wgw_parser_peer(struct wgw_parser *p)
{
	return &p->config->peers[p->config->n_peers - 1];
}

void wgw_parser_say(struct wgw_parser *p, enum wgw_severity severity, const struct wgw_key *key,
		    const char *format, ...)
{
	char text[SAY_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	wgw_diag_say(p->diag, severity, "%s:%u: %s: %s", p->config->source, p->reader.line,
		     key->name, text);
}

/* ---- sections ---- */

/** end_section() - what must be complete when a [Peer] ends */
static void end_section(struct wgw_parser *p)
{
	struct wgw_peer_config *peer;

	/* without memory nothing was read, the key's line neither */
	if (p->config->n_peers == 0 || p->public_key_seen || p->out_of_memory)
		return;
	p->public_key_seen = true; /* said once */
	peer = wgw_parser_peer(p);
	wgw_diag_say(p->diag, WGW_ERROR, "%s:%u: [Peer] has no PublicKey", p->config->source,
		     peer->line);
}

/** grow_peers() - room for one more, nothing secret left behind. Return: 0 or -ENOMEM */
static int grow_peers(struct wgw_parser *p)
{
	struct wgw_config *config = p->config;
	size_t room = p->peer_room ? 2 * p->peer_room : 4;
	struct wgw_peer_config *peers;

	if (config->n_peers < p->peer_room)
		return 0;
	peers = calloc(room, sizeof(*peers));
	if (!peers)
		return -ENOMEM;
	if (config->n_peers > 0) {
		memcpy(peers, config->peers, config->n_peers * sizeof(*peers));
		sodium_memzero(config->peers, config->n_peers * sizeof(*peers));
	}
	free(config->peers);
	config->peers = peers;
	p->peer_room = room;
	return 0;
}

/** begin_section() - @number: the reader's count */
static void begin_section(struct wgw_parser *p, unsigned int number)
{
	end_section(p);
	p->section_number = number;
	if (p->reader.section != WGW_PEER)
		return;
	if (p->config->n_peers == WGW_CONFIG_PEERS_MAX) {
		if (!p->too_many_peers)
			wgw_diag_say(p->diag, WGW_ERROR, "%s:%u: more than %d peers",
				     p->config->source, p->reader.line, WGW_CONFIG_PEERS_MAX);
		p->too_many_peers = true;
		return;
	}
	if (grow_peers(p) < 0) {
		p->out_of_memory = true;
		return;
	}
	p->config->n_peers++;
	p->public_key_seen = false;
	wgw_parser_peer(p)->line = p->reader.line;
}

/** name_peer() - from a comment */
static void name_peer(struct wgw_parser *p, const char *value)
{
	struct wgw_peer_config *peer = wgw_parser_peer(p);
	char *name = strndup(value, WGW_CONFIG_NAME_MAX_BYTES);

	if (!name) {
		p->out_of_memory = true;
		return;
	}
	for (char *c = name; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	/* the cut may have come behind a blank */
	for (size_t len = strlen(name); len > 0 && name[len - 1] == ' ';)
		name[--len] = '\0';
	free(peer->name);
	peer->name = name;
}

/* ---- settings ---- */

/** quoted_key() - a key for a message, as it was written. @buf: WGW_QUOTED_BYTES */
static char *quoted_key(const struct wgw_parser *p, const char *name, enum wgw_spelling spelling,
			char *buf)
{
	char text[WGW_QUOTED_BYTES];

	snprintf(text, sizeof(text), "%s%s", wgw_spelling_prefix(spelling), name);
	return wgw_reader_quoted(&p->reader, text, buf);
}

/** unknown_key() - @name: without its tag */
static void unknown_key(struct wgw_parser *p, const char *name, enum wgw_spelling spelling)
{
	static const enum wgw_section sections[] = {WGW_INTERFACE, WGW_PEER};
	char quoted[WGW_QUOTED_BYTES];
	const char *names[WGW_KEYS_MAX + 1];
	const char *prefix = wgw_spelling_prefix(spelling);
	enum wgw_section section = p->reader.section;
	const char *meant;

	/* WireSock has more keys than are of use here */
	if (spelling == WGW_PRAGMA_WS) {
		wgw_diag_say(p->diag, WGW_NOTE, "%s:%u: %s%s: ignored", p->config->source,
			     p->reader.line, prefix, name);
		return;
	}
	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++) {
		if (wgw_key_find(name, sections[i], spelling)) {
			wgw_diag_say(p->diag, p->lenient ? WGW_WARNING : WGW_ERROR,
				     "%s:%u: %s: this key belongs in [%s]", p->config->source,
				     p->reader.line, name,
				     sections[i] == WGW_PEER ? "Peer" : "Interface");
			return;
		}
	}
	meant = wgw_did_you_mean(name, wgw_key_names(section, spelling, names));
	wgw_diag_say(p->diag, p->lenient ? WGW_WARNING : WGW_ERROR,
		     "%s:%u: %s: unknown key%s%s%s%s", p->config->source, p->reader.line,
		     quoted_key(p, name, spelling, quoted), meant ? "; did you mean " : "",
		     meant ? prefix : "", meant ? meant : "", meant ? "?" : "");
}

/** untag() - takes a key's tag off. Return: how the key was written */
static enum wgw_spelling untag(const char **name)
{
	static const enum wgw_spelling tagged[] = {WGW_PRAGMA, WGW_PRAGMA_WS};

	for (size_t i = 0; i < sizeof(tagged) / sizeof(*tagged); i++) {
		const char *tag = wgw_spelling_tag(tagged[i]);

		if (strncmp(*name, tag, strlen(tag)) == 0) {
			*name += strlen(tag);
			return tagged[i];
		}
	}
	return WGW_BARE;
}

/** set() - one setting that is complete */
static void set(struct wgw_parser *p, const char *name, const char *value)
{
	enum wgw_spelling spelling = untag(&name);
	const struct wgw_key *key;

	key = wgw_key_find(name, p->reader.section, spelling);
	if (!key) {
		unknown_key(p, name, spelling);
		return;
	}
	if (strlen(value) >= VALUE_MAX_BYTES) {
		wgw_parser_say(p, WGW_ERROR, key, "the value is %zu characters long",
			       strlen(value));
		return;
	}
	if (*value == '\0' && (key->shape & WGW_LIST)) {
		if (!p->reader.single)
			wgw_parser_say(p, WGW_WARNING, key,
				       "the list has an empty element (a comma too many)");
		return;
	}
	if (*value == '\0' && !(key->shape & WGW_EMPTY)) {
		wgw_parser_say(p, WGW_ERROR, key, "there is no value");
		return;
	}
	key->set(p, key, value);
}

/** before_sections() - a key that stands before any section */
static void before_sections(struct wgw_parser *p, const char *name)
{
	enum wgw_spelling spelling = untag(&name);
	char quoted[WGW_QUOTED_BYTES];

	wgw_diag_say(p->diag, WGW_ERROR,
		     "%s:%u: %s stands before the first section ([Interface] or [Peer])",
		     p->config->source, p->reader.line, quoted_key(p, name, spelling, quoted));
}

/** append() - one more part of a value. Return: 0 or -ENOMEM */
static int append(struct wgw_parser *p, const char *part)
{
	size_t len = strlen(part);

	if (p->value_bytes + len + 1 > p->value_room) {
		size_t room = 2 * (p->value_bytes + len + 1);
		char *value = malloc(room);

		if (!value)
			return -ENOMEM;
		if (p->value) {
			memcpy(value, p->value, p->value_bytes);
			sodium_memzero(p->value, p->value_room);
		}
		free(p->value);
		p->value = value;
		p->value_room = room;
	}
	memcpy(p->value + p->value_bytes, part, len + 1);
	p->value_bytes += len;
	return 0;
}

/** handle() - inih's handler: one value, or a part of one. Return: 1, go on */
static int handle(void *arg, const char *section, const char *name, const char *value)
{
	struct wgw_parser *p = arg;
	unsigned int kind, number;

	if (*section == '\0' || sscanf(section, "%u %u", &kind, &number) != 2) {
		before_sections(p, name);
		return 1;
	}
	if (number != p->section_number)
		begin_section(p, number);
	if (append(p, value) < 0)
		p->out_of_memory = true;
	if (p->reader.more || p->out_of_memory || p->too_many_peers)
		return 1;
	if (strcmp(name, WGW_READER_NAME) == 0)
		name_peer(p, p->value);
	else if (strcmp(name, WGW_READER_BEGIN) != 0)
		set(p, name, p->value);
	sodium_memzero(p->value, p->value_bytes);
	p->value_bytes = 0;
	return 1;
}

/* ---- the file as a whole ---- */

/** check_bytes() - whether this is text at all. Return: bytes to skip at the start, or -EINVAL */
static int check_bytes(const char *source, const char *text, size_t len, struct wgw_diag *diag)
{
	const char *nul;
	unsigned int line = 1;

	if (len > WGW_CONFIG_MAX_BYTES) {
		wgw_diag_say(diag, WGW_ERROR, "%s: larger than %d bytes", source,
			     WGW_CONFIG_MAX_BYTES);
		return -EINVAL;
	}
	if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0)) {
		wgw_diag_say(diag, WGW_ERROR, "%s: the file is UTF-16; save it as UTF-8", source);
		return -EINVAL;
	}
	nul = memchr(text, '\0', len);
	if (nul) {
		for (const char *c = text; c < nul; c++)
			line += *c == '\n';
		wgw_diag_say(diag, WGW_ERROR, "%s:%u: a NUL byte: this is not a text file", source,
			     line);
		return -EINVAL;
	}
	if (len < 3 || memcmp(text, "\xef\xbb\xbf", 3) != 0)
		return 0;
	wgw_diag_say(diag, WGW_WARNING,
		     "%s:1: begins with a byte order mark, for which wg-quick refuses it", source);
	return 3;
}

/** move_peer() - adds what @from says to @to; later settings win. @from is emptied. Return: 0 or
 * -ENOMEM */
static int move_peer(struct wgw_peer_config *to, struct wgw_peer_config *from)
{
	int err = 0;

	if (from->name) {
		free(to->name);
		to->name = from->name;
	}
	if (from->endpoint_host) {
		free(to->endpoint_host);
		to->endpoint_host = from->endpoint_host;
		to->endpoint_port = from->endpoint_port;
	}
	if (!sodium_is_zero(from->preshared_key, WG_KEY_BYTES))
		memcpy(to->preshared_key, from->preshared_key, WG_KEY_BYTES);
	if (from->keepalive_s)
		to->keepalive_s = from->keepalive_s;
	for (size_t i = 0; i < from->disallowed_ips.n && !err; i++)
		err = wgw_prefixes_add(&to->disallowed_ips, &from->disallowed_ips.at[i]);
	for (size_t i = 0; i < from->routes.n && !err; i++)
		err = wgw_routes_add(&to->routes, &from->routes.at[i]);
	wgw_prefixes_free(&from->disallowed_ips);
	wgw_routes_free(&from->routes);
	sodium_memzero(from, sizeof(*from));
	return err;
}

/** find_peer() - the first of the first @n peers with @key, or @n; no key (after an error) is
 * nobody's */
static size_t find_peer(const struct wgw_config *config, size_t n, const uint8_t *key)
{
	for (size_t i = 0; i < n && !sodium_is_zero(key, WG_KEY_BYTES); i++) {
		if (memcmp(config->peers[i].public_key, key, WG_KEY_BYTES) == 0)
			return i;
	}
	return n;
}

/** merge_peers() - sections with one public key are one peer. Return: 0 or -ENOMEM */
static int merge_peers(struct wgw_parser *p)
{
	struct wgw_config *config = p->config;
	size_t *moved = calloc(config->n_peers + 1, sizeof(*moved));
	size_t kept = 0;

	if (!moved)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_peers; i++) {
		struct wgw_peer_config *peer = &config->peers[i], *same;

		moved[i] = find_peer(config, kept, peer->public_key);
		same = &config->peers[moved[i]];
		if (moved[i] == kept) {
			kept++;
			if (same != peer) {
				*same = *peer;
				sodium_memzero(peer, sizeof(*peer));
			}
			continue;
		}
		wgw_diag_say(p->diag, WGW_WARNING,
			     "%s:%u: [Peer] has the PublicKey of the one of line %u: they are "
			     "merged",
			     config->source, peer->line, same->line);
		if (move_peer(same, peer) < 0)
			p->out_of_memory = true;
	}
	config->n_peers = kept;
	for (size_t i = 0; i < p->claims.n; i++)
		p->claims.at[i].peer = moved[p->claims.at[i].peer];
	free(moved);
	return p->out_of_memory ? -ENOMEM : 0;
}

/** check_interface() - what must be there, and what is odd */
static void check_interface(struct wgw_parser *p)
{
	struct wgw_config *config = p->config;
	bool has_v6 = false;

	if (!p->private_key_line)
		wgw_diag_say(p->diag, WGW_ERROR, "%s: [Interface] has no PrivateKey",
			     config->source);
	if (!p->address_seen)
		wgw_diag_say(p->diag, WGW_ERROR,
			     "%s: [Interface] has no Address: add the one the peer expects, as in "
			     "\"Address = 10.0.0.2/32\"",
			     config->source);
	if (config->check_alive_s && config->check_alive.n == 0)
		wgw_diag_say(p->diag, WGW_WARNING,
			     "%s: CheckAliveInterval without CheckAlive: nothing is asked",
			     config->source);
	if (!config->check_alive_s)
		config->check_alive_s = WGW_CONFIG_ALIVE_S;
	for (size_t i = 0; i < config->addresses.n; i++)
		has_v6 |= !stack_addr_is_v4(&config->addresses.at[i].addr);
	if (has_v6 && config->mtu && config->mtu < MTU_V6_MIN_BYTES)
		wgw_diag_say(p->diag, WGW_WARNING,
			     "%s: MTU %u is below IPv6's minimum of %d; large IPv6 packets will "
			     "not pass",
			     config->source, (unsigned int)config->mtu, MTU_V6_MIN_BYTES);
}

/** check_peers() - each [Peer] against the interface and by itself */
static void check_peers(struct wgw_parser *p)
{
	struct wgw_config *config = p->config;

	if (crypto_scalarmult_base(config->public_key, config->private_key) != 0)
		return;
	if (config->n_peers == 0)
		wgw_diag_say(p->diag, WGW_WARNING, "%s: no [Peer]: nothing can be reached",
			     config->source);
	for (size_t i = 0; i < config->n_peers; i++) {
		const struct wgw_peer_config *peer = &config->peers[i];

		if (memcmp(peer->public_key, config->public_key, WG_KEY_BYTES) == 0)
			wgw_diag_say(p->diag, WGW_ERROR,
				     "%s:%u: [Peer] has this file's own key: PublicKey is the "
				     "other side's",
				     config->source, peer->line);
		if (peer->allowed_ips.n == 0 && peer->routes.n == 0)
			wgw_diag_say(p->diag, WGW_WARNING,
				     "%s:%u: [Peer] has no AllowedIPs: nothing is sent to it",
				     config->source, peer->line);
	}
}

/** check_use() - what is right as a file but of little use without options or luck */
static void check_use(struct wgw_parser *p)
{
	const struct wgw_config *config = p->config;
	bool endpoint = false;

	for (size_t i = 0; i < config->n_peers; i++)
		endpoint |= config->peers[i].endpoint_host != NULL;
	if (wgw_config_has_default_route(config) && config->dns.n == 0 && !config->dns_system)
		wgw_diag_say(p->diag, WGW_NOTE,
			     "%s: the tunnel holds the default route and there is no DNS server: "
			     "names need --dns",
			     config->source);
	if (config->n_peers && !endpoint && !config->listen_port)
		wgw_diag_say(p->diag, WGW_NOTE,
			     "%s: no Endpoint and no ListenPort: the two sides cannot find each "
			     "other",
			     config->source);
}

/** finish() - the checks at the end of the file */
static void finish(struct wgw_parser *p)
{
	end_section(p);
	if (p->out_of_memory || merge_peers(p) < 0 ||
	    wgw_claims_settle(&p->claims, p->config, p->diag) < 0) {
		wgw_diag_say(p->diag, WGW_ERROR, "%s: out of memory", p->config->source);
		return;
	}
	check_interface(p);
	if (p->diag->errors == p->errors_before)
		check_peers(p);
	if (p->diag->errors == p->errors_before)
		check_use(p);
}

struct wgw_config *wgw_config_parse(const char *source, const char *text, size_t len, bool lenient,
				    struct wgw_diag *diag)
{
	struct wgw_parser p = {.diag = diag, .lenient = lenient, .errors_before = diag->errors};
	int skip = check_bytes(source, text, len, diag);

	if (skip < 0)
		return NULL;
	p.config = calloc(1, sizeof(*p.config));
	if (p.config)
		p.config->source = strdup(source);
	if (!p.config || !p.config->source ||
	    wgw_reader_init(&p.reader, source, text + skip, len - (size_t)skip, lenient, diag) <
		    0) {
		wgw_diag_say(diag, WGW_ERROR, "%s: out of memory", source);
	} else {
		ini_parse_stream(wgw_reader_line, &p.reader, handle, &p);
		sodium_stackzero(STACK_WIPE_BYTES);
		finish(&p);
	}
	wgw_reader_done(&p.reader);
	free(p.claims.at);
	if (p.value)
		sodium_memzero(p.value, p.value_room);
	free(p.value);
	if (diag->errors == p.errors_before)
		return p.config;
	wgw_config_free(p.config);
	return NULL;
}
