/* SPDX-License-Identifier: MIT */
/*
 * route.c - routes: what goes to a peer besides or before its allowed IPs
 *
 * A route without protocol and ports is an allowed IP written in another place. One with them is a
 * rule that src/tunnel/routes.c applies before the allowed IPs.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/config/config.h"
#include "src/config/values.h"

static const struct {
	const char *name;
	uint8_t protocol;
} protocols[] = {{"any", 0}, {"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"icmp", IPPROTO_ICMP}};

enum { PROTOCOLS = sizeof(protocols) / sizeof(*protocols) };

/** take_word() - copies what precedes the next @end. Return: where the rest begins, NULL: too
 * long */
static const char *take_word(const char *text, char end, char *out, size_t room)
{
	size_t len = strcspn(text, (char[]){end, '\0'});

	if (len >= room)
		return NULL;
	memcpy(out, text, len);
	out[len] = '\0';
	return text + len;
}

/** take_prefix() - the CIDR block at the start of @text: an IPv6 one has colons of its own, which
 * end at its slash or at a bracket. Return: where the rest begins, or NULL */
static const char *take_prefix(const char *text, struct wgw_prefix *out)
{
	char word[WGW_ADDR_TEXT_BYTES];
	const char *slash = strchr(text, '/'), *rest;

	if (*text == '[') {
		rest = take_word(text + 1, ']', word, sizeof(word));
		if (!rest || *rest != ']')
			return NULL;
		rest++;
		if (*rest == '/') {
			size_t len = strlen(word);

			rest = take_word(rest, ':', word + len, sizeof(word) - len);
		}
	} else if (slash) {
		size_t len = (size_t)(slash - text) + strcspn(slash, ":");

		if (len >= sizeof(word))
			return NULL;
		memcpy(word, text, len);
		word[len] = '\0';
		rest = text + len;
	} else {
		/* an address of IPv6 without brackets has nothing behind it */
		rest = take_word(text, strchr(text, '.') ? ':' : '\0', word, sizeof(word));
	}
	return rest && wgw_prefix_parse(word, out, NULL) == 0 ? rest : NULL;
}

static const char *take_protocol(const char *word, struct wgw_peer_route *out)
{
	for (size_t i = 0; i < PROTOCOLS; i++) {
		if (strcasecmp(word, protocols[i].name) == 0) {
			out->protocol = protocols[i].protocol;
			return NULL;
		}
	}
	return "the protocol is not tcp, udp, icmp or any";
}

static const char *take_ports(const char *text, struct wgw_peer_route *out)
{
	static const char *const wrong =
		"the port is not one from 1 to 65535, or a range like 8000-8099";
	char word[8];
	uint32_t first, last;
	const char *rest = take_word(text, '-', word, sizeof(word));

	if (!rest || wgw_number_parse(word, 1, UINT16_MAX, &first) < 0)
		return wrong;
	last = first;
	if (*rest && wgw_number_parse(rest + 1, first, UINT16_MAX, &last) < 0)
		return wrong;
	if (out->protocol == IPPROTO_ICMP)
		return "icmp has no ports";
	out->first_port = (uint16_t)first;
	out->last_port = (uint16_t)last;
	return NULL;
}

const char *wgw_route_parse(const char *text, struct wgw_peer_route *out)
{
	const char *rest = take_prefix(text, &out->to), *wrong;
	char word[8];

	out->protocol = 0;
	out->first_port = out->last_port = 0;
	if (!rest || (*rest && *rest != ':'))
		return "not like 10.0.0.0/8, 10.0.0.0/8:tcp or 10.0.0.0/8:tcp:443";
	if (!*rest)
		return NULL;
	rest = take_word(rest + 1, ':', word, sizeof(word));
	wrong = take_protocol(rest ? word : "", out);
	if (wrong || !*rest)
		return wrong;
	return take_ports(rest + 1, out);
}

bool wgw_route_is_prefix(const struct wgw_peer_route *route)
{
	return route->protocol == 0 && route->first_port == 0;
}

char *wgw_route_text(const struct wgw_peer_route *route, char *buf)
{
	const char *name = "any";
	size_t len;

	wgw_prefix_text(&route->to, buf);
	if (wgw_route_is_prefix(route))
		return buf;
	for (size_t i = 0; i < PROTOCOLS; i++) {
		if (protocols[i].protocol == route->protocol)
			name = protocols[i].name;
	}
	len = strlen(buf);
	len += (size_t)snprintf(buf + len, WGW_ROUTE_TEXT_BYTES - len, ":%s", name);
	if (route->first_port)
		len += (size_t)snprintf(buf + len, WGW_ROUTE_TEXT_BYTES - len, ":%u",
					(unsigned int)route->first_port);
	if (route->last_port != route->first_port)
		snprintf(buf + len, WGW_ROUTE_TEXT_BYTES - len, "-%u",
			 (unsigned int)route->last_port);
	return buf;
}

bool wgw_route_equal(const struct wgw_peer_route *a, const struct wgw_peer_route *b)
{
	return wgw_prefix_equal(&a->to, &b->to) && a->protocol == b->protocol &&
	       a->first_port == b->first_port && a->last_port == b->last_port;
}

int wgw_routes_add(struct wgw_routes *list, const struct wgw_peer_route *route)
{
	struct wgw_peer_route *at;

	for (size_t i = 0; i < list->n; i++) {
		if (wgw_route_equal(&list->at[i], route))
			return 0;
	}
	at = reallocarray(list->at, list->n + 1, sizeof(*at));
	if (!at)
		return -ENOMEM;
	at[list->n++] = *route;
	list->at = at;
	return 0;
}

void wgw_routes_free(struct wgw_routes *list)
{
	free(list->at);
	*list = (struct wgw_routes){0};
}
