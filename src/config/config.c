/* SPDX-License-Identifier: MIT */
/* config.c - a configuration as a whole: what it holds, how it is shown, its end */
#include "src/config/config.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "src/config/values.h"

int wgw_strings_add(struct wgw_strings *list, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	if ((list->n & (list->n - 1)) == 0) {
		char **at = reallocarray(list->at, list->n ? 2 * list->n : 1, sizeof(*at));

		if (!at) {
			free(copy);
			return -ENOMEM;
		}
		list->at = at;
	}
	list->at[list->n++] = copy;
	return 0;
}

void wgw_strings_free(struct wgw_strings *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->at[i]);
	free(list->at);
	*list = (struct wgw_strings){0};
}

bool wgw_config_has_default_route(const struct wgw_config *config)
{
	for (size_t i = 0; i < config->n_peers; i++) {
		const struct wgw_prefixes *allowed = &config->peers[i].allowed_ips;

		for (size_t k = 0; k < allowed->n; k++) {
			if (allowed->at[k].bits <= WGW_HALF_BITS)
				return true;
		}
	}
	return false;
}

void wgw_config_free(struct wgw_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->n_peers; i++) {
		struct wgw_peer_config *peer = &config->peers[i];

		free(peer->name);
		free(peer->endpoint_host);
		wgw_prefixes_free(&peer->allowed_ips);
		wgw_routes_free(&peer->routes);
		wgw_prefixes_free(&peer->disallowed_ips);
		sodium_memzero(peer, sizeof(*peer));
	}
	free(config->peers);
	free(config->source);
	free(config->path);
	wgw_prefixes_free(&config->addresses);
	wgw_prefixes_free(&config->dns);
	wgw_prefixes_free(&config->check_alive);
	wgw_prefixes_free(&config->direct);
	wgw_strings_free(&config->search);
	wgw_strings_free(&config->allowed_apps);
	wgw_strings_free(&config->disallowed_apps);
	sodium_memzero(config, sizeof(*config));
	free(config);
}

/* ---- printing ---- */

/** print_prefixes() - "KEY = a, b"; nothing for an empty list */
static void print_prefixes(FILE *out, const char *key, const struct wgw_prefixes *list)
{
	char text[WGW_ADDR_TEXT_BYTES];

	for (size_t i = 0; i < list->n; i++)
		fprintf(out, "%s%s", i ? ", " : key, wgw_prefix_text(&list->at[i], text));
	if (list->n)
		fputc('\n', out);
}

/** print_routes() - one a line */
static void print_routes(FILE *out, const struct wgw_routes *list)
{
	char text[WGW_ROUTE_TEXT_BYTES];

	for (size_t i = 0; i < list->n; i++)
		fprintf(out, "#@wgwrap:Route = %s\n", wgw_route_text(&list->at[i], text));
}

static void print_strings(FILE *out, const char *key, const struct wgw_strings *list)
{
	for (size_t i = 0; i < list->n; i++)
		fprintf(out, "%s%s", i ? ", " : key, list->at[i]);
	if (list->n)
		fputc('\n', out);
}

/** print_dns() - servers and search domains share a key */
static void print_dns(FILE *out, const struct wgw_config *config)
{
	char text[WGW_ADDR_TEXT_BYTES];
	const char *before = "DNS = ";

	for (size_t i = 0; i < config->dns.n; i++, before = ", ")
		fprintf(out, "%s%s", before, wgw_addr_text(&config->dns.at[i].addr, text));
	for (size_t i = 0; i < config->search.n; i++, before = ", ")
		fprintf(out, "%s%s", before, config->search.at[i]);
	if (config->dns.n || config->search.n)
		fputc('\n', out);
}

static void print_alive(FILE *out, const struct wgw_config *config)
{
	char text[WGW_ADDR_TEXT_BYTES];

	for (size_t i = 0; i < config->check_alive.n; i++)
		fprintf(out, "%s%s", i ? ", " : "CheckAlive = ",
			wgw_addr_text(&config->check_alive.at[i].addr, text));
	if (config->check_alive.n)
		fprintf(out, "\nCheckAliveInterval = %u\n", (unsigned int)config->check_alive_s);
}

static void print_interface(FILE *out, const struct wgw_config *config)
{
	char text[WGW_KEY_TEXT_LEN + 1];

	fputs("[Interface]\n", out);
	fprintf(out, "# PublicKey = %s\n", wgw_key_text(config->public_key, text));
	fputs("PrivateKey = (hidden)\n", out);
	if (config->listen_port)
		fprintf(out, "ListenPort = %u\n", (unsigned int)config->listen_port);
	if (config->fwmark)
		fprintf(out, "FwMark = 0x%x\n", config->fwmark);
	print_prefixes(out, "Address = ", &config->addresses);
	print_dns(out, config);
	if (config->mtu)
		fprintf(out, "MTU = %u\n", (unsigned int)config->mtu);
	print_alive(out, config);
	print_prefixes(out, "#@wgwrap:Direct = ", &config->direct);
	if (config->dns_system)
		fputs("#@wgwrap:DNS = system\n", out);
	print_strings(out, "#@ws:AllowedApps = ", &config->allowed_apps);
	print_strings(out, "#@ws:DisallowedApps = ", &config->disallowed_apps);
}

static void print_peer(FILE *out, const struct wgw_peer_config *peer)
{
	bool brackets = peer->endpoint_host && strchr(peer->endpoint_host, ':');
	char text[WGW_KEY_TEXT_LEN + 1];

	fputs("\n[Peer]\n", out);
	if (peer->name)
		fprintf(out, "# Name = %s\n", peer->name);
	fprintf(out, "PublicKey = %s\n", wgw_key_text(peer->public_key, text));
	if (!sodium_is_zero(peer->preshared_key, WG_KEY_BYTES))
		fputs("PresharedKey = (hidden)\n", out);
	print_prefixes(out, "AllowedIPs = ", &peer->allowed_ips);
	print_routes(out, &peer->routes);
	print_prefixes(out, "#@ws:DisallowedIPs = ", &peer->disallowed_ips);
	if (peer->endpoint_host)
		fprintf(out, "Endpoint = %s%s%s:%u\n", brackets ? "[" : "", peer->endpoint_host,
			brackets ? "]" : "", (unsigned int)peer->endpoint_port);
	if (peer->keepalive_s)
		fprintf(out, "PersistentKeepalive = %u\n", (unsigned int)peer->keepalive_s);
}

void wgw_config_print(const struct wgw_config *config, FILE *out)
{
	print_interface(out, config);
	for (size_t i = 0; i < config->n_peers; i++)
		print_peer(out, &config->peers[i]);
}
