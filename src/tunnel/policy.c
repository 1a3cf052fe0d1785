/* SPDX-License-Identifier: MIT */
/*
 * policy.c - one session's policy: parsing its text, deciding where a destination goes
 *
 * The order of decisions is a promise to the user: what is written down as direct goes direct; else
 * what a peer is allowed to carry goes into the tunnel; everything else is refused. Nothing here
 * falls back to the host's network.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/tunnel/policy.h"

/* ---- parsing ---- */

static int add_prefix(struct wgw_prefixes *list, const char *text)
{
	struct wgw_prefix prefix;
	int err = wgw_prefix_parse(text, &prefix, NULL);

	return err ? err : wgw_prefixes_add(list, &prefix);
}

static int set_direct(struct wgw_policy *p, const char *value)
{
	return add_prefix(&p->direct, value);
}

static int set_system_resolver(struct wgw_policy *p, const char *value)
{
	return add_prefix(&p->system_resolvers, value);
}

static int set_dns(struct wgw_policy *p, const char *value)
{
	struct wgw_prefix prefix;
	int err = wgw_address_parse(value, &prefix);

	if (err)
		return err;
	if (p->n_dns == WGW_POLICY_DNS_MAX)
		return -EINVAL;
	p->dns[p->n_dns] = prefix.addr;
	p->dns[p->n_dns++].port = WGW_DNS_PORT;
	return 0;
}

static int set_search(struct wgw_policy *p, const char *value)
{
	return wgw_strings_add(&p->search, value);
}

static int set_dns_mode(struct wgw_policy *p, const char *value)
{
	if (strcmp(value, "tunnel") == 0)
		p->dns_mode = WGW_POLICY_DNS_TUNNEL;
	else if (strcmp(value, "system") == 0)
		p->dns_mode = WGW_POLICY_DNS_SYSTEM;
	else if (strcmp(value, "refuse") == 0)
		p->dns_mode = WGW_POLICY_DNS_REFUSE;
	else
		return -EINVAL;
	return 0;
}

static int set_verbose(struct wgw_policy *p, const char *value)
{
	if (value[0] < '0' || value[0] > '2' || value[1] != '\0')
		return -EINVAL;
	p->verbose = value[0] - '0';
	return 0;
}

static int set_apps(struct wgw_policy *p, const char *value)
{
	p->apps = strcmp(value, "1") == 0;
	return p->apps ? 0 : -EINVAL;
}

static int set_string(char **at, const char *value)
{
	free(*at);
	*at = strdup(value);
	return *at ? 0 : -ENOMEM;
}

static int set_name(struct wgw_policy *p, const char *value)
{
	return set_string(&p->name, value);
}

static int set_source(struct wgw_policy *p, const char *value)
{
	return set_string(&p->source, value);
}

static int set_option(struct wgw_policy *p, const char *value)
{
	return wgw_strings_add(&p->options, value);
}

static const struct {
	const char *name;
	int (*set)(struct wgw_policy *p, const char *value);
} keys[] = {
	{"apps", set_apps},	    {"direct", set_direct},
	{"dns-mode", set_dns_mode}, {"dns", set_dns},
	{"name", set_name},	    {"option", set_option},
	{"search", set_search},	    {"source", set_source},
	{"verbose", set_verbose},   {"system-resolver", set_system_resolver},
};

/* Takes a line "KEY VALUE" apart, in place. */
static int parse_line(struct wgw_policy *p, char *line)
{
	char *value = strchr(line, ' ');

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(line, keys[i].name) == 0)
			return keys[i].set(p, value);
	return -EINVAL;
}

int wgw_policy_parse(const char *text, size_t len, struct wgw_policy *policy, unsigned int *line)
{
	char *copy = NULL, *at, *end;
	int err = 0;

	memset(policy, 0, sizeof(*policy));
	*line = 0;
	if (len > WGW_POLICY_MAX_BYTES || memchr(text, '\0', len))
		return -EINVAL;
	copy = strndup(text, len);
	if (!copy)
		return -ENOMEM;
	for (at = copy; at && *at && !err; at = end) {
		end = strchr(at, '\n');
		if (end)
			*end++ = '\0';
		++*line;
		if (*at)
			err = parse_line(policy, at);
	}
	free(copy);
	if (err)
		wgw_policy_free(policy);
	return err;
}

void wgw_policy_free(struct wgw_policy *policy)
{
	wgw_prefixes_free(&policy->direct);
	wgw_prefixes_free(&policy->system_resolvers);
	wgw_strings_free(&policy->search);
	wgw_strings_free(&policy->options);
	free(policy->name);
	free(policy->source);
	memset(policy, 0, sizeof(*policy));
}

/* ---- deciding ---- */

/* The first name server of @to's family, else the first. */
static const struct stack_addr *server_for(const struct wgw_policy *p, const struct stack_addr *to)
{
	for (size_t i = 0; i < p->n_dns; i++)
		if (stack_addr_is_v4(&p->dns[i]) == stack_addr_is_v4(to))
			return &p->dns[i];
	return &p->dns[0];
}

enum wgw_route wgw_policy_route(const struct wgw_policy *policy, const struct wgw_reach *reach,
				struct stack_addr *to, enum wgw_refusal *why)
{
	*why = WGW_REFUSAL_NONE;
	if (to->port == WGW_DNS_PORT && wgw_prefixes_longest(&policy->system_resolvers, to) >= 0) {
		if (policy->dns_mode == WGW_POLICY_DNS_SYSTEM)
			return WGW_ROUTE_DIRECT;
		if (policy->dns_mode == WGW_POLICY_DNS_REFUSE || policy->n_dns == 0) {
			*why = WGW_REFUSAL_NO_DNS;
			return WGW_ROUTE_REFUSED;
		}
		*to = *server_for(policy, to);
	}
	/* The wildcard as a destination means this host (Linux does so, too). */
	if (stack_addr_is_loopback(to) || stack_addr_is_any(to) ||
	    wgw_prefixes_longest(&policy->direct, to) >= 0)
		return WGW_ROUTE_DIRECT;
	if (!reach->has_source(reach->ctx, to)) {
		*why = WGW_REFUSAL_NO_FAMILY;
		return WGW_ROUTE_REFUSED;
	}
	if (reach->peer_allows(reach->ctx, to))
		return WGW_ROUTE_TUNNEL;
	*why = WGW_REFUSAL_NO_PEER;
	return WGW_ROUTE_REFUSED;
}
