/* SPDX-License-Identifier: MIT */
/* policy.h - what one session may do: its policy text, and where a destination goes by it */
#ifndef SRC_TUNNEL_POLICY_H
#define SRC_TUNNEL_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "src/config/config.h"
#include "src/tunnel/tunnel.h"

enum wgw_policy_dns {
	WGW_POLICY_DNS_REFUSE, /* no name server was given and the tunnel holds a default route */
	WGW_POLICY_DNS_TUNNEL,
	WGW_POLICY_DNS_SYSTEM,
};

enum {
	WGW_POLICY_MAX_BYTES = 1 << 20,
	WGW_POLICY_DNS_MAX = 32,
};

/**
 * struct wgw_policy - the policy text of src/session/channel.h, parsed
 * @dns:	Name servers with their port, in order; @n_dns of them
 * @apps:	The user has written lists of programs: those who say that they are outside are
 *		direct
 * @system_resolvers: Addresses whose port 53 stands for the tunnel's name servers
 * @name, @source: Where its configuration came from, NULL: not told; @options: what it adds to that
 */
struct wgw_policy {
	enum wgw_policy_dns dns_mode;
	struct wgw_prefixes direct;
	struct stack_addr dns[WGW_POLICY_DNS_MAX];
	size_t n_dns;
	struct wgw_strings search;
	struct wgw_prefixes system_resolvers;
	int verbose;
	bool apps;
	char *name, *source;
	struct wgw_strings options;
};

/* Parses @len bytes of @text. Returns 0, -ENOMEM or -EINVAL with *line set to the number of the
 * bad line; @policy is empty then. */
int wgw_policy_parse(const char *text, size_t len, struct wgw_policy *policy, unsigned int *line);
void wgw_policy_free(struct wgw_policy *policy);

/**
 * struct wgw_reach - what the tunnel can carry
 * @peer_allows: Some peer's AllowedIPs hold the address
 * @has_source:	The tunnel has an address of that family
 */
struct wgw_reach {
	bool (*peer_allows)(void *ctx, const struct stack_addr *to);
	bool (*has_source)(void *ctx, const struct stack_addr *to);
	void *ctx;
};

enum wgw_refusal {
	WGW_REFUSAL_NONE,
	WGW_REFUSAL_NO_PEER,   /* in no peer's AllowedIPs */
	WGW_REFUSAL_NO_FAMILY, /* the tunnel has no address of the family */
	WGW_REFUSAL_NO_DNS,    /* the system's resolver, while names are refused */
};

/* Rewrites port 53 of a system resolver in *@to, then decides. */
enum wgw_route wgw_policy_route(const struct wgw_policy *policy, const struct wgw_reach *reach,
				struct stack_addr *to, enum wgw_refusal *why);

#endif
