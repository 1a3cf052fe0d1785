/* SPDX-License-Identifier: MIT */
/*
 * wireproxy.c - configuration files of wireproxy, as they are
 *
 * Such a file is a wg-quick file with further sections ([Socks5], [http], [TCPClientTunnel],
 * [TCPServerTunnel], [UDPProxyTunnel], [STDIOTunnel], [SNI], [Resolve]), or has these alone and
 * names the other by "WGConfig = PATH". It is taken apart here: the lines of [Interface] and [Peer]
 * go to the parser of such files, the others blanked so that line numbers stay; sections become
 * listeners.
 *
 * What wireproxy does and wg-quick does not: a value "$NAME" is the environment variable's, "$$" at
 * its beginning is "$"; in its own sections a key may end with ':', and a value be in any quotes of
 * go-ini, with which it reads; a [Peer] without AllowedIPs gets everything; [Resolve] says which
 * family is tried first, not which alone.
 */
#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/descriptors.h"
#include "src/config/diag.h"
#include "src/config/values.h"
#include "src/proxy/front.h"
#include "src/proxy/target.h"
#include "src/session/say.h"

enum section_kind {
	SEC_ROOT,
	SEC_INTERFACE,
	SEC_PEER,
	SEC_SOCKS5,
	SEC_HTTP,
	SEC_TCP_CLIENT,
	SEC_TCP_SERVER,
	SEC_UDP,
	SEC_STDIO,
	SEC_SNI,
	SEC_RESOLVE,
	SEC_OTHER, /* left to the parser, which says that it is unknown */
};

/* Sets of sections: what listens on this host, has a destination, may ask for users */
#define SECTION(kind) (1u << (kind))
enum {
	LISTENS = SECTION(SEC_SOCKS5) | SECTION(SEC_HTTP) | SECTION(SEC_TCP_CLIENT) |
		  SECTION(SEC_UDP) | SECTION(SEC_SNI),
	AIMS = SECTION(SEC_TCP_CLIENT) | SECTION(SEC_TCP_SERVER) | SECTION(SEC_UDP) |
	       SECTION(SEC_STDIO),
	ASKS = SECTION(SEC_SOCKS5) | SECTION(SEC_HTTP),
};

static const struct {
	const char *name;
	enum section_kind kind;
} sections[] = {
	{"Interface", SEC_INTERFACE},
	{"Peer", SEC_PEER},
	{"Socks5", SEC_SOCKS5},
	{"http", SEC_HTTP},
	{"TCPClientTunnel", SEC_TCP_CLIENT},
	{"TCPServerTunnel", SEC_TCP_SERVER},
	{"UDPProxyTunnel", SEC_UDP},
	{"STDIOTunnel", SEC_STDIO},
	{"SNI", SEC_SNI},
	{"Resolve", SEC_RESOLVE},
};

enum { VALUE_MAX_BYTES = 4096 };

/**
 * struct splitter - state while a file is taken apart
 * @foreign:	It has a section or a key of wireproxy's
 * @wg:		What is left, @wg_len bytes; wiped when it grows
 * @kind, @section_line, @name: the section that the line is in, and its values so far
 * @allowed_seen: In the current [Peer]
 */
struct splitter {
	const char *source;
	struct wgw_diag *diag;
	struct wgw_proxy_options *options;
	bool foreign, failed, allowed_seen, peer_open;
	char *wg;
	size_t wg_len, wg_room;
	char *path;
	unsigned int line, section_line;
	enum section_kind kind;
	const char *name;
	char *bind, *target, *port, *user, *password, *idle, *cert, *key;
};

/* Whose lines are for the parser of such files. */
static bool is_wg(enum section_kind kind)
{
	return kind <= SEC_PEER || kind == SEC_OTHER;
}

static void put(struct splitter *s, const char *bytes, size_t n)
{
	if (s->wg_len + n >= s->wg_room) {
		size_t room = 2 * (s->wg_len + n) + 1024;
		char *larger = malloc(room);

		if (!larger) {
			s->failed = true;
			return;
		}
		memcpy(larger, s->wg ? s->wg : "", s->wg_len);
		wgw_config_wipe(s->wg, s->wg_len);
		s->wg = larger;
		s->wg_room = room;
	}
	memcpy(s->wg + s->wg_len, bytes, n);
	s->wg_len += n;
}

static void put_text(struct splitter *s, const char *text)
{
	put(s, text, strlen(text));
}

static void bad(struct splitter *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void bad(struct splitter *s, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	wgw_diag_say(s->diag, WGW_ERROR, "%s:%u: %s", s->source, s->line, text);
	s->failed = true;
}

/* ---- sections become listeners ---- */

/* Path of a file that @source names, beside @source when it is relative. */
static char *beside(const char *source, const char *path)
{
	const char *slash = strrchr(source, '/');
	char *out = NULL;

	if (path[0] == '/' || !slash)
		return strdup(path);
	return asprintf(&out, "%.*s/%s", (int)(slash - source), source, path) < 0 ? NULL : out;
}

static void wipe(char **text)
{
	if (*text)
		sodium_memzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

static void forget(struct splitter *s)
{
	char **const all[] = {&s->bind,	    &s->target, &s->port, &s->user,
			      &s->password, &s->idle,	&s->cert, &s->key};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		wipe(all[i]);
}

static enum wgw_proxy_kind kind_of(enum section_kind kind)
{
	switch (kind) {
	case SEC_SOCKS5:
		return WGW_PROXY_SOCKS;
	case SEC_HTTP:
		return WGW_PROXY_HTTP;
	case SEC_TCP_CLIENT:
		return WGW_PROXY_TCP;
	case SEC_TCP_SERVER:
		return WGW_PROXY_REMOTE_TCP;
	case SEC_UDP:
		return WGW_PROXY_UDP;
	case SEC_STDIO:
		return WGW_PROXY_STDIO;
	default:
		return WGW_PROXY_SNI;
	}
}

static bool set_target(struct splitter *s, struct wgw_proxy_spec *spec)
{
	const char *wrong =
		s->target ? wgw_endpoint_parse(s->target, &spec->target_host, &spec->target_port)
			  : "is missing";

	if (wrong)
		bad(s, "[%s] Target: %s", s->name, wrong);
	return !wrong;
}

static void set_users(struct splitter *s, struct wgw_proxy_spec *spec)
{
	const char *password = s->password ? s->password : "";

	if (!s->user || !*s->user)
		return;
	randombytes_buf(spec->users.key, sizeof(spec->users.key));
	if (strlen(s->user) > PROXY_USER_MAX_BYTES || strlen(password) > PROXY_USER_MAX_BYTES ||
	    proxy_users_add(&spec->users, s->user, strlen(s->user), password, strlen(password)))
		bad(s, "[%s] Username, Password: too long", s->name);
}

/* A path of the section: beside the file, or where wireproxy looks for it, in the working
 * directory. */
static char *path_of(const struct splitter *s, const char *path)
{
	char *near = beside(s->source, path);

	if (near && access(near, F_OK) < 0) {
		free(near);
		near = strdup(path);
	}
	return near;
}

static void set_tls(struct splitter *s, struct wgw_proxy_spec *spec)
{
	if (!s->cert && !s->key)
		return;
	if (!s->cert || !s->key) {
		bad(s, "[%s] CertFile and KeyFile belong together", s->name);
		return;
	}
	spec->tls_cert = path_of(s, s->cert);
	spec->tls_key = path_of(s, s->key);
	s->failed |= !spec->tls_cert || !spec->tls_key;
}

static void add_listener(struct splitter *s)
{
	bool listens = SECTION(s->kind) & LISTENS, aims = SECTION(s->kind) & AIMS;
	struct wgw_proxy_spec *spec;
	const char *wrong = NULL;
	uint32_t idle;

	if (!listens && !aims)
		return;
	if (listens && !s->bind) {
		bad(s, "[%s] has no BindAddress", s->name);
		return;
	}
	if (listens)
		wrong = wgw_proxy_add_listener(s->options, kind_of(s->kind), s->bind);
	else if (!proxy_spec_new(s->options, kind_of(s->kind)))
		wrong = "too many listeners";
	if (wrong) {
		bad(s, "[%s] BindAddress: %s", s->name, wrong);
		return;
	}
	spec = &s->options->specs[s->options->n - 1];
	spec->idle_s = 0; /* wireproxy's default: a sender is never forgotten */
	if (aims && !set_target(s, spec))
		return;
	if (s->kind == SEC_TCP_SERVER &&
	    (!s->port || wgw_port_parse(s->port, &spec->port) < 0 || spec->port == 0))
		bad(s, "[%s] ListenPort: a port is needed", s->name);
	if (s->idle && wgw_number_parse(s->idle, 0, UINT16_MAX, &idle) < 0)
		bad(s, "[%s] InactivityTimeout: not a number of seconds", s->name);
	else if (s->idle)
		spec->idle_s = idle;
	set_users(s, spec);
	set_tls(s, spec);
}

/* The section is whole: what is wrong with all of it is said of its first line. */
static void end_section(struct splitter *s)
{
	unsigned int line = s->line;

	s->line = s->section_line;
	add_listener(s);
	s->line = line;
	forget(s);
}

/* A preference, there: names without such an address are reached at the others. */
static void set_strategy(struct splitter *s, const char *value)
{
	if (strcasecmp(value, "ipv4") == 0)
		s->options->first = AF_INET;
	else if (strcasecmp(value, "ipv6") == 0)
		s->options->first = AF_INET6;
	else if (strcasecmp(value, "auto") != 0)
		bad(s, "[Resolve] ResolveStrategy: not auto, ipv4 or ipv6");
}

/* ---- keys ---- */

static void keep(struct splitter *s, char **where, const char *value)
{
	wipe(where);
	*where = strdup(value);
	s->failed |= !*where;
}

/* A key of a section of wireproxy's own. */
static void take_key(struct splitter *s, const char *key, const char *value)
{
	const struct {
		const char *name;
		char **where;
		unsigned int sections;
	} keys[] = {
		{"BindAddress", &s->bind, LISTENS},
		{"Target", &s->target, AIMS},
		{"ListenPort", &s->port, SECTION(SEC_TCP_SERVER)},
		{"Username", &s->user, ASKS},
		{"Password", &s->password, ASKS},
		{"InactivityTimeout", &s->idle, SECTION(SEC_UDP)},
		{"CertFile", &s->cert, SECTION(SEC_HTTP)},
		{"KeyFile", &s->key, SECTION(SEC_HTTP)},
	};
	char quoted[WGW_QUOTED_BYTES];

	if (s->kind == SEC_RESOLVE && strcasecmp(key, "ResolveStrategy") == 0) {
		set_strategy(s, value);
		return;
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (strcasecmp(key, keys[i].name) == 0 && SECTION(s->kind) & keys[i].sections) {
			keep(s, keys[i].where, value);
			return;
		}
	}
	bad(s, "[%s] has no key %s", s->name, wgw_quoted(key, quoted));
}

/* Expands "$NAME". False after an error was said. */
static bool expand(struct splitter *s, const char *key, char *value)
{
	const char *found;

	if (value[0] != '$')
		return true;
	if (value[1] == '$') {
		memmove(value, value + 1, strlen(value));
		return true;
	}
	found = getenv(value + 1);
	if (!found || strlen(found) >= VALUE_MAX_BYTES) {
		/* not by its name: it may be a password that begins with "$" */
		bad(s, "%.40s: the environment variable that it names is not set", key);
		return false;
	}
	strcpy(value, found);
	return true;
}

/* Everything that a [Peer] of a wireproxy file has without saying it. */
static void end_peer(struct splitter *s)
{
	if (s->peer_open && !s->allowed_seen)
		put_text(s, "AllowedIPs = 0.0.0.0/0, ::/0\n");
	s->peer_open = false;
}

static void begin_section(struct splitter *s, const char *name, size_t len, const char *line,
			  size_t line_len)
{
	end_section(s);
	end_peer(s);
	s->kind = SEC_OTHER;
	s->section_line = s->line;
	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++) {
		if (strlen(sections[i].name) == len &&
		    strncasecmp(sections[i].name, name, len) == 0) {
			s->kind = sections[i].kind;
			s->name = sections[i].name;
		}
	}
	if (s->kind == SEC_PEER) {
		s->peer_open = true;
		s->allowed_seen = false;
	}
	if (is_wg(s->kind))
		put(s, line, line_len);
	else
		s->foreign = true;
	put_text(s, "\n");
}

/* A hook is the shell's, and is not run: its "$" too. */
static bool is_hook(const char *key)
{
	return strcasecmp(key, "PreUp") == 0 || strcasecmp(key, "PostUp") == 0 ||
	       strcasecmp(key, "PreDown") == 0 || strcasecmp(key, "PostDown") == 0;
}

/* A "key = value" of [Interface], [Peer] or no section; @raw: the whole line. */
static void take_wg_key(struct splitter *s, const char *key, char *value, const char *raw,
			size_t raw_len)
{
	if (s->kind == SEC_ROOT && strcasecmp(key, "WGConfig") == 0) {
		s->foreign = true;
		keep(s, &s->path, value);
	} else if (value[0] == '$' && !is_hook(key)) {
		if (expand(s, key, value)) {
			put_text(s, key);
			put_text(s, " = ");
			put_text(s, value);
		}
		sodium_memzero(value, strlen(value));
	} else {
		put(s, raw, raw_len);
	}
	put_text(s, "\n");
}

/* ---- lines ---- */

static void trim(const char **at, size_t *len)
{
	while (*len > 0 && strchr(" \t\r", **at))
		(*at)++, (*len)--;
	while (*len > 0 && strchr(" \t\r", (*at)[*len - 1]))
		(*len)--;
}

/* @own: in a section of wireproxy's, where there are other quotes, too */
static bool is_quoted(const char *at, size_t len, bool own)
{
	return len >= 2 && at[0] == at[len - 1] && strchr(own ? "\"'`" : "\"", at[0]);
}

/* Where the key of a line ends, NULL: it has none. */
static const char *key_end(const char *at, size_t len, bool own)
{
	for (size_t i = 0; i < len; i++) {
		if (at[i] == '=' || (own && at[i] == ':'))
			return at + i;
	}
	return NULL;
}

/* Length without a comment; ';' begins one in wireproxy's sections only. */
static size_t uncommented(const char *at, size_t len, bool semicolon)
{
	size_t n = 0;

	while (n < len && at[n] != '#' && !(semicolon && at[n] == ';'))
		n++;
	return n;
}

static void take_line(struct splitter *s, const char *raw, size_t raw_len)
{
	const char *at = raw, *eq, *value_at;
	char value[VALUE_MAX_BYTES], key[64], quoted[WGW_QUOTED_BYTES];
	size_t len = raw_len, key_len, value_len;
	bool own = !is_wg(s->kind), comment;

	trim(&at, &len);
	if (len > 1 && at[0] == '[' && memchr(at, ']', len)) {
		begin_section(s, at + 1, (size_t)((const char *)memchr(at, ']', len) - at) - 1, raw,
			      raw_len);
		return;
	}
	comment = len == 0 || at[0] == '#' || (at[0] == ';' && s->kind > SEC_PEER);
	eq = comment ? NULL : key_end(at, len, own);
	if (!eq) {
		/* not the line itself: it may hold a password */
		if (!comment && own)
			bad(s, "[%s] neither \"KEY = VALUE\" nor a comment", s->name);
		put(s, raw, own ? 0 : raw_len); /* pragmas are comments and stay */
		put_text(s, "\n");
		return;
	}
	key_len = (size_t)(eq - at);
	value_at = eq + 1;
	value_len = len - key_len - 1;
	trim(&at, &key_len);
	trim(&value_at, &value_len);
	if (!is_quoted(value_at, value_len, own))
		value_len = uncommented(value_at, value_len, s->kind > SEC_PEER);
	trim(&value_at, &value_len);
	snprintf(key, sizeof(key), "%.*s", (int)key_len, at); /* no known one is longer */
	s->allowed_seen |= strcasecmp(key, "AllowedIPs") == 0;
	if (value_len >= sizeof(value)) {
		if (is_wg(s->kind))
			put(s, raw, raw_len); /* a list */
		else
			bad(s, "[%s] %s: too long", s->name, wgw_quoted(key, quoted));
		put_text(s, "\n");
		return;
	}
	if (own && is_quoted(value_at, value_len, own))
		value_at++, value_len -= 2;
	memcpy(value, value_at, value_len);
	value[value_len] = '\0';
	if (is_wg(s->kind)) {
		take_wg_key(s, key, value, raw, raw_len);
	} else {
		if (expand(s, key, value))
			take_key(s, key, value);
		put_text(s, "\n");
	}
	sodium_memzero(value, sizeof(value));
}

int proxy_wireproxy_split(const char *source, const char *text, size_t len,
			  struct wgw_proxy_options *o, char **wg, char **path,
			  struct wgw_diag *diag)
{
	struct splitter s = {.source = source, .diag = diag, .options = o, .name = ""};
	const char *at = text, *end = text + len;

	*wg = *path = NULL;
	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((lf ? lf : end) - at);

		s.line++;
		if (memchr(at, '\0', n)) {
			bad(&s, "a NUL byte: this is not a text file");
			break;
		}
		take_line(&s, at, n);
		at = lf ? lf + 1 : end;
	}
	end_section(&s);
	end_peer(&s);
	put(&s, "", 1);
	if (s.path)
		*path = beside(source, s.path);
	s.failed |= s.path && !*path;
	free(s.path);
	*wg = s.wg;
	return s.failed ? -1 : s.foreign;
}

/* ---- the file of -c ---- */

static void say_nothing(void *ctx, bool is_error, const char *message)
{
	(void)ctx, (void)is_error, (void)message;
}

/* Where others can read it again: the outer file, of two. */
static void set_path(struct wgw_config *config, const char *what, const char *source)
{
	if (!config || strcmp(what, "-") == 0 || strncmp(what, "env:", 4) == 0)
		return;
	free(config->path);
	config->path = realpath(source, NULL);
}

/* Reads and parses @what, adding its listeners to @o. @inner: another file names it. */
static struct wgw_config *read_file(struct wgw_proxy_options *o, const char *what, bool inner,
				    struct wgw_diag *diag)
{
	struct wgw_config *config = NULL;
	char *source = NULL, *text, *wg = NULL, *path = NULL;
	size_t len;
	int kind = -1;

	text = wgw_config_read(what, &len, &source, diag);
	if (text)
		kind = proxy_wireproxy_split(source, text, len, o, &wg, &path, diag);
	if (kind >= 0 && path && inner)
		wgw_diag_say(diag, WGW_ERROR, "%s: WGConfig in a file that WGConfig names", source);
	else if (kind >= 0 && path)
		config = read_file(o, path, true, diag);
	else if (kind > 0 || (kind == 0 && inner))
		config = wgw_config_parse(source, wg, strlen(wg), o->run.lenient, diag);
	else if (kind == 0)
		config = wgw_config_parse(source, text, len, o->run.lenient, diag);
	set_path(config, what, source);
	if (wg)
		wgw_config_wipe(wg, strlen(wg));
	if (text)
		wgw_config_wipe(text, len);
	free(path);
	free(source);
	return config;
}

struct wgw_config *proxy_config_read(struct wgw_proxy_options *o)
{
	struct wgw_diag diag = wgw_say_diag();
	struct wgw_config *config = read_file(o, o->run.config, false, &diag);

	if (strcmp(o->run.config, "-") == 0)
		wgw_null_stdio(STDIN_FILENO, STDIN_FILENO);
	return config;
}

struct wgw_config *wgw_proxy_tunnel(const struct wgw_run_options *run, bool quiet)
{
	struct wgw_proxy_options scratch = {.run = *run};
	struct wgw_diag diag = quiet ? (struct wgw_diag){.say = say_nothing} : wgw_say_diag();
	struct wgw_config *config = read_file(&scratch, run->config, false, &diag);

	if (config && scratch.n > 0 && !quiet)
		wgw_say(WGW_SAY_INFO, "%s: what it says of proxies is for \"wgwrap proxy\"",
			config->path ? config->path : run->config);
	if (strcmp(run->config, "-") == 0)
		wgw_null_stdio(STDIN_FILENO, STDIN_FILENO);
	wgw_proxy_options_free(&scratch);
	return config;
}
