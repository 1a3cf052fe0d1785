/* SPDX-License-Identifier: MIT */
/*
 * policy.c - what this session may do, as the lines that channel.h describes
 *
 * Loopback is direct; names go to the DNS = servers; without them a split tunnel asks the host's
 * resolver, and a tunnel that holds a default route refuses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/session/launch.h"
#include "src/session/run.h"

static void put_prefixes(FILE *out, const struct wgw_prefixes *list)
{
	char text[WGW_ADDR_TEXT_BYTES];

	for (size_t i = 0; i < list->n; i++)
		fprintf(out, "direct %s\n", wgw_prefix_text(&list->at[i], text));
}

/** put_line() - of a text that may be anything, so not as a line of its own */
static void put_line(FILE *out, const char *name, const char *text)
{
	fprintf(out, "%s ", name);
	for (; text && *text; text++)
		fputc(*text == '\n' ? '?' : *text, out);
	fputc('\n', out);
}

static void put_servers(FILE *out, const struct wgw_prefixes *list)
{
	char text[WGW_ADDR_TEXT_BYTES];

	for (size_t i = 0; i < list->n; i++)
		fprintf(out, "dns %s\n", wgw_addr_text(&list->at[i].addr, text));
}

static void put_dns(FILE *out, const struct wgw_run_options *options,
		    const struct wgw_config *config)
{
	if (options->dns_mode == WGW_DNS_SERVERS) {
		fprintf(out, "dns-mode tunnel\n");
		put_servers(out, &options->dns);
	} else if (options->dns_mode == WGW_DNS_SYSTEM || config->dns_system) {
		fprintf(out, "dns-mode system\n");
	} else if (config->dns.n > 0) {
		fprintf(out, "dns-mode tunnel\n");
		put_servers(out, &config->dns);
	} else {
		fprintf(out, "dns-mode %s\n",
			wgw_config_has_default_route(config) ? "refuse" : "system");
	}
	for (size_t i = 0; i < config->search.n; i++)
		fprintf(out, "search %s\n", config->search.at[i]);
}

/** put_system_resolvers() - name servers of resolv.conf(5), and those that are always there */
static void put_system_resolvers(FILE *out)
{
	FILE *in = fopen("/etc/resolv.conf", "re");
	struct wgw_prefix server;
	char line[512], word[80], text[WGW_ADDR_TEXT_BYTES];
	bool named = false;

	/* systemd-resolved's */
	fprintf(out, "system-resolver 127.0.0.53\nsystem-resolver 127.0.0.54\n");
	while (in && fgets(line, sizeof(line), in)) {
		char *zone;

		if (sscanf(line, " nameserver %79s", word) != 1)
			continue;
		zone = strchr(word, '%');
		if (zone)
			*zone = '\0';
		if (wgw_address_parse(word, &server))
			continue;
		fprintf(out, "system-resolver %s\n", wgw_addr_text(&server.addr, text));
		named = true;
	}
	/* whom resolvers ask when none is named */
	if (!named)
		fprintf(out, "system-resolver 127.0.0.1\n");
	if (in)
		fclose(in);
}

char *wgw_policy_text(const struct wgw_run_options *options, const struct wgw_config *config)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fprintf(out, "direct 127.0.0.0/8\ndirect ::1/128\n");
	put_prefixes(out, &config->direct);
	for (size_t i = 0; i < config->n_peers; i++)
		put_prefixes(out, &config->peers[i].disallowed_ips);
	put_prefixes(out, &options->direct);
	if (config->allowed_apps.n || config->disallowed_apps.n)
		fprintf(out, "apps 1\n");
	put_dns(out, options, config);
	put_system_resolvers(out);
	put_line(out, "name", config->source);
	put_line(out, "source", config->path ? config->path : config->source);
	wgw_options_put(out, options);
	/* the highest level of wgw_say that the session hears */
	fprintf(out, "verbose %d\n", options->verbosity > 1 ? 2 : options->verbosity + 1);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
