/* SPDX-License-Identifier: MIT */
/*
 * endpoint.c - where the peers are: the host's resolver, asked by the front
 *
 * The order is getaddrinfo's (RFC 6724): addresses without a route come last, so a host without
 * IPv6 begins with IPv4. The tunnel process tries them in turn.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "src/session/launch.h"
#include "src/session/say.h"

/** take_list() - copies addresses of @list; returns how many */
static uint8_t take_list(const struct addrinfo *list, struct wg_endpoint *out)
{
	uint8_t n = 0;

	for (const struct addrinfo *ai = list; ai && n < WGW_ENDPOINTS_MAX; ai = ai->ai_next) {
		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		if (ai->ai_addrlen > sizeof(out[n].to))
			continue;
		memcpy(&out[n].to, ai->ai_addr, ai->ai_addrlen);
		n++;
	}
	return n;
}

static const char *family_text(int family)
{
	return family == AF_INET ? " for IPv4 (-4)" : family == AF_INET6 ? " for IPv6 (-6)" : "";
}

static int resolve_peer(const struct wgw_config *config, const struct wgw_peer_config *peer,
			int family, struct wg_endpoint *out, uint8_t *n)
{
	struct addrinfo hints = {
		.ai_family = family, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char port[8];
	int err;

	snprintf(port, sizeof(port), "%u", peer->endpoint_port);
	err = getaddrinfo(peer->endpoint_host, port, &hints, &list);
	if (err) {
		wgw_say(WGW_SAY_ERROR,
			"%s: endpoint %s of the peer in line %u does not resolve%s: %s",
			config->source, peer->endpoint_host, peer->line, family_text(family),
			err == EAI_SYSTEM ? strerror(errno) : gai_strerror(err));
		return -1;
	}
	*n = take_list(list, out);
	freeaddrinfo(list);
	if (*n == 0) {
		wgw_say(WGW_SAY_ERROR, "%s: endpoint %s of the peer in line %u has no address%s",
			config->source, peer->endpoint_host, peer->line, family_text(family));
		return -1;
	}
	return 0;
}

int wgw_endpoints_resolve(const struct wgw_config *config, int family, struct wgw_endpoints *out)
{
	out->at = calloc(config->n_peers ? config->n_peers : 1, sizeof(*out->at));
	out->n = calloc(config->n_peers ? config->n_peers : 1, sizeof(*out->n));
	if (!out->at || !out->n) {
		wgw_say(WGW_SAY_ERROR, "out of memory");
		return -1;
	}
	for (size_t i = 0; i < config->n_peers; i++) {
		if (config->peers[i].endpoint_host &&
		    resolve_peer(config, &config->peers[i], family, out->at[i], &out->n[i]))
			return -1;
	}
	return 0;
}

void wgw_endpoints_free(struct wgw_endpoints *e)
{
	free(e->at);
	free(e->n);
	e->at = NULL;
	e->n = NULL;
}
