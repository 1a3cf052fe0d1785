/* SPDX-License-Identifier: MIT */
/* spec.c - listeners and forwards as they are written on a command line */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/config/values.h"
#include "src/proxy/front.h"

enum { FIELDS_MAX = 5 };

struct field {
	const char *at;
	size_t len;
};

struct wgw_proxy_spec *proxy_spec_new(struct wgw_proxy_options *o, enum wgw_proxy_kind kind)
{
	struct wgw_proxy_spec *specs;

	if (o->n >= WGW_PROXY_LISTENERS_MAX)
		return NULL;
	specs = reallocarray(o->specs, o->n + 1, sizeof(*specs));
	if (!specs)
		return NULL;
	o->specs = specs;
	specs[o->n] = (struct wgw_proxy_spec){.kind = kind, .idle_s = PROXY_IDLE_DEFAULT_S};
	return &specs[o->n++];
}

void wgw_proxy_options_free(struct wgw_proxy_options *o)
{
	for (size_t i = 0; i < o->n; i++) {
		free(o->specs[i].host);
		free(o->specs[i].path);
		free(o->specs[i].target_host);
		free(o->specs[i].tls_cert);
		free(o->specs[i].tls_key);
		proxy_users_free(&o->specs[i].users);
	}
	free(o->specs);
	o->specs = NULL;
	o->n = 0;
}

/* Without brackets. NULL: no memory. */
static char *host_of(const struct field *f)
{
	if (f->len >= 2 && f->at[0] == '[' && f->at[f->len - 1] == ']')
		return strndup(f->at + 1, f->len - 2);
	return strndup(f->at, f->len);
}

static bool port_of(const struct field *f, uint32_t min, uint16_t *port)
{
	char text[8];
	uint32_t value;

	if (f->len == 0 || f->len >= sizeof(text))
		return false;
	memcpy(text, f->at, f->len);
	text[f->len] = '\0';
	if (wgw_number_parse(text, min, UINT16_MAX, &value) < 0)
		return false;
	*port = (uint16_t)value;
	return true;
}

/* Splits at colons outside brackets. Returns the number of fields, 0: too many, or a bracket is
 * open. */
static size_t split(const char *text, struct field out[FIELDS_MAX])
{
	size_t n = 0;

	while (n < FIELDS_MAX) {
		const char *end = text;

		if (*end == '[')
			end = strchr(end, ']');
		if (!end)
			return 0;
		end += strcspn(end, ":");
		out[n++] = (struct field){text, (size_t)(end - text)};
		if (!*end)
			return n;
		text = end + 1;
	}
	return 0;
}

/* "unix:PATH" or "/PATH": the path; else NULL. */
static const char *path_of(const char *text)
{
	if (strncmp(text, "unix:", 5) == 0)
		return text + 5;
	return *text == '/' ? text : NULL;
}

const char *wgw_proxy_add_listener(struct wgw_proxy_options *o, enum wgw_proxy_kind kind,
				   const char *text)
{
	struct field f[FIELDS_MAX];
	struct wgw_proxy_spec *s = proxy_spec_new(o, kind);
	const char *path = path_of(text);
	size_t n;

	if (!s)
		return "too many listeners";
	if (path) {
		s->path = *path ? strdup(path) : NULL;
		return s->path ? NULL : "a path is missing";
	}
	n = split(text, f);
	if (n < 1 || n > 2 || !port_of(&f[n - 1], 0, &s->port))
		return "not [ADDRESS:]PORT or a path (an IPv6 address needs brackets)";
	if (n == 2 && f[0].len > 0)
		s->host = host_of(&f[0]);
	else if (n == 2)
		s->host = strdup("*");
	return n == 2 && !s->host ? "out of memory" : NULL;
}

/* ---- forwards ---- */

enum { TCP = 1, UDP = 2 };

/* "tcp", "udp", "TCP,UDP": a set. 0: something else. */
static unsigned int protocols_of(const struct field *f)
{
	const char *at = f->at, *end = f->at + f->len;
	unsigned int set = 0;

	while (at < end) {
		size_t len = 0;

		while (at + len < end && at[len] != ',')
			len++;
		if (len != 3)
			return 0;
		if (strncasecmp(at, "tcp", 3) == 0)
			set |= TCP;
		else if (strncasecmp(at, "udp", 3) == 0)
			set |= UDP;
		else
			return 0;
		at += len + (at + len < end);
	}
	return set;
}

static bool is_loopback(const char *host)
{
	struct wgw_prefix p;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	return wgw_address_parse(host, &p) == 0 && stack_addr_is_loopback(&p.addr);
}

/* @f: [bind,] port, host, port. */
static const char *add_one(struct wgw_proxy_options *o, enum wgw_proxy_kind kind,
			   const struct field *f, size_t n, const char *path)
{
	static const char syntax[] = "not [ADDRESS:]PORT:HOST:PORT[:tcp,udp] (IPv6 in brackets)";
	struct wgw_proxy_spec *s = proxy_spec_new(o, kind);
	const struct field *host = &f[n - 2], *port = &f[n - 1];

	if (!s)
		return "too many listeners";
	if (host->len == 0 || !port_of(port, 1, &s->target_port))
		return syntax;
	s->target_host = host_of(host);
	if (s->target_host && (kind == WGW_PROXY_TCP || kind == WGW_PROXY_UDP) &&
	    is_loopback(s->target_host))
		return "the destination is in the tunnel, where there is no loopback (-R goes to "
		       "this host)";
	if (path) {
		s->path = strndup(path, f[0].len);
	} else if (!port_of(&f[n - 3], 0, &s->port)) {
		return syntax;
	} else if (n == 4) {
		s->host = f[0].len > 0 ? host_of(&f[0]) : strdup("*");
	}
	return s->target_host && (s->path || s->host || n == 3) ? NULL : "out of memory";
}

const char *wgw_proxy_add_forward(struct wgw_proxy_options *o, bool remote, const char *text)
{
	struct field f[FIELDS_MAX];
	size_t n = split(text, f);
	const char *path = *text == '/' ? text : NULL;
	unsigned int set = n > 3 ? protocols_of(&f[n - 1]) : 0;
	const char *wrong = NULL;

	if (set)
		n--;
	else
		set = TCP;
	if (n < 3 || n > 4 || (path && (n != 3 || remote || set != TCP)))
		return "not [ADDRESS:]PORT:HOST:PORT[:tcp,udp] (IPv6 in brackets)";
	if (set & TCP)
		wrong = add_one(o, remote ? WGW_PROXY_REMOTE_TCP : WGW_PROXY_TCP, f, n, path);
	if (!wrong && set & UDP)
		wrong = add_one(o, remote ? WGW_PROXY_REMOTE_UDP : WGW_PROXY_UDP, f, n, path);
	return wrong;
}

const char *wgw_proxy_add_stdio(struct wgw_proxy_options *o, const char *host, const char *port)
{
	const struct field h = {host, strlen(host)}, p = {port, strlen(port)};
	struct wgw_proxy_spec *s = proxy_spec_new(o, WGW_PROXY_STDIO);

	if (!s || h.len == 0 || !port_of(&p, 1, &s->target_port))
		return "not a host and a port";
	s->target_host = host_of(&h);
	return s->target_host ? NULL : "out of memory";
}
