/* SPDX-License-Identifier: MIT */
/*
 * endpoint.c - where the peers are: the host's resolver, asked by the front
 *
 * The order is getaddrinfo's (RFC 6724): addresses without a route come last, so a host without
 * IPv6 begins with IPv4. The tunnel process tries them in turn.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/session/launch.h"
#include "src/session/say.h"

enum { ICMP_MS = 300 };

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

int wgw_endpoints_resolve_one(const struct wgw_config *config, size_t i, int family,
			      struct wgw_endpoints *out)
{
	struct wgw_config one = *config;

	one.peers = &config->peers[i];
	one.n_peers = 1;
	return wgw_endpoints_resolve(&one, family, out);
}

void wgw_endpoints_free(struct wgw_endpoints *e)
{
	free(e->at);
	free(e->n);
	e->at = NULL;
	e->n = NULL;
}

/* A connected socket is told of ICMP errors, with IP_RECVERR of those, too, that may pass (RFC 1122, section 4.1.3.3). The byte
 * is nothing that WireGuard reads. */
int wgw_endpoint_trouble(const struct wg_endpoint *to)
{
	const bool v4 = to->to.sa.sa_family == AF_INET;
	int fd = socket(to->to.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, err = 0;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char byte = 0;

	if (fd < 0)
		return errno;
	setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, &on,
		   sizeof(on));
	if (connect(fd, &to->to.sa, v4 ? sizeof(to->to.in) : sizeof(to->to.in6)) < 0 ||
	    send(fd, &byte, sizeof(byte), MSG_NOSIGNAL) < 0)
		err = errno;
	else if (poll(&p, 1, ICMP_MS) == 1 && recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) < 0)
		err = errno;
	close(fd);
	return err;
}
