/* SPDX-License-Identifier: MIT */
/* names.c - looking up host names: numbers, hosts(5), the tunnel process */
#include "preload/names.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "preload/pre.h"
#include "src/repr/repr.h"

static bool read_scope(const char *text, const struct in6_addr *in6, uint32_t *scope)
{
	unsigned long number;
	char *end;

	*scope = (IN6_IS_ADDR_LINKLOCAL(in6) || IN6_IS_ADDR_MC_LINKLOCAL(in6))
			 ? if_nametoindex(text)
			 : 0;
	if (*scope)
		return true;
	number = pre_names_number(text, &end, 10);
	*scope = (uint32_t)number;
	return *text >= '0' && *text <= '9' && !*end && number <= UINT32_MAX;
}

bool pre_names_numeric(const char *text, uint8_t ip[16], uint32_t *scope, bool *bad_scope)
{
	char copy[INET6_ADDRSTRLEN];
	const char *percent = strchr(text, '%');
	size_t len = percent ? (size_t)(percent - text) : strlen(text);
	struct in6_addr in6;
	struct in_addr in;

	*scope = 0;
	*bad_scope = false;
	if (!percent && inet_aton(text, &in)) {
		stack_ip_set_v4(ip, &in);
		return true;
	}
	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (inet_pton(AF_INET6, copy, &in6) != 1)
		return false;
	memcpy(ip, &in6, 16);
	*bad_scope = percent && !read_scope(percent + 1, &in6, scope);
	return !*bad_scope;
}

static int ask_tunnel(const char *name, int family, struct pre_names *names)
{
	struct wgw_op op;
	int eai;

	if (!pre_have_session())
		return EAI_AGAIN;
	eai = wgw_repr_resolve(&pre_session, name, family, 0, &op);
	if (eai)
		return eai;
	for (uint32_t i = 0; i < op.u.resolved.n && names->n < WGW_RESOLVED_MAX; i++)
		memcpy(names->ip[names->n++], op.u.resolved.ip[i], 16);
	memcpy(names->canonical, op.u.resolved.canonical, WGW_NAME_MAX_BYTES);
	return 0;
}

/* What can be reached comes first, then IPv6: what is left of RFC 6724 for the few addresses that
 * hosts(5) has. The tunnel process puts its own in order. */
static int rank(const uint8_t ip[16])
{
	static const uint8_t any[16];
	struct stack_addr addr = {0};

	memcpy(addr.ip, ip, 16);
	if (wgw_repr_may_send(&pre_session, -1, 0, &addr, any, NULL) < 0)
		return 0;
	return stack_addr_is_v4(&addr) ? 1 : 2;
}

static void order(struct pre_names *names)
{
	for (uint32_t i = 1; i < names->n; i++) {
		uint8_t ip[16];
		uint32_t at = i;
		int r = rank(names->ip[i]);

		memcpy(ip, names->ip[i], 16);
		for (; at > 0 && rank(names->ip[at - 1]) < r; at--)
			memcpy(names->ip[at], names->ip[at - 1], 16);
		memcpy(names->ip[at], ip, 16);
	}
}

int pre_names_append(const char *name, int family, struct pre_names *names)
{
	if (!*name)
		return EAI_NONAME;
	if (pre_hosts_find(name, family, names)) {
		if (family == AF_UNSPEC && pre_have_session())
			order(names);
		return 0;
	}
	return ask_tunnel(name, family, names);
}

int pre_names_find(const char *name, int family, struct pre_names *names)
{
	names->n = 0;
	names->canonical[0] = '\0';
	return pre_names_append(name, family, names);
}

int pre_names_host_error(int eai)
{
	switch (eai) {
	case EAI_NONAME:
		return HOST_NOT_FOUND;
	case EAI_NODATA:
		return NO_DATA;
	case EAI_AGAIN:
		return TRY_AGAIN;
	default:
		return NO_RECOVERY;
	}
}
