/* SPDX-License-Identifier: MIT */
/*
 * addrinfo.c - getaddrinfo(3)
 *
 * libc's own would send its queries around our hooks (and into the filter). Numeric names and
 * services are read here, hosts(5) by hosts.c, and everything else is asked of the tunnel process.
 *
 * Results are made of malloc'ed blocks laid out as glibc lays them out, one per entry with the
 * address behind it, because they are freed by libc's freeaddrinfo. This and netdb.c are the only
 * places of the shim that allocate: their callers' own functions are defined to.
 */
#include "preload/pre.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "preload/names.h"

enum {
	KNOWN_FLAGS = AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST | AI_V4MAPPED | AI_ALL |
		      AI_ADDRCONFIG | AI_NUMERICSERV | 0x0040 | 0x0080 | 0x0100 | 0x0200, /* IDN */
	SERVICE_BUFFER_BYTES = 1024,
};

struct socket_type {
	int type, protocol;
	const char *name; /* in services(5) */
};

static const struct socket_type socket_types[] = {
	{SOCK_STREAM, IPPROTO_TCP, "tcp"},
	{SOCK_DGRAM, IPPROTO_UDP, "udp"},
	{SOCK_RAW, 0, NULL},
};
enum { SOCKET_TYPES = sizeof(socket_types) / sizeof(*socket_types) };

/**
 * struct answer - a result list while it grows
 * @port:	Host order, per socket type; -1: the service does not exist for it
 */
struct answer {
	struct addrinfo hints;
	struct addrinfo *first;
	struct addrinfo **last;
	int port[SOCKET_TYPES];
	uint32_t scope;
	const char *canonical;
};

static bool type_wanted(const struct addrinfo *hints, const struct socket_type *t)
{
	if (hints->ai_socktype && hints->ai_socktype != t->type)
		return false;
	if (t->type == SOCK_RAW)
		return true;
	return !hints->ai_protocol || hints->ai_protocol == t->protocol;
}

/* A number, or -1. */
static int read_port(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end ? (int)(value & 0xffff) : -1;
}

static int find_services(struct answer *a, const char *service)
{
	char buffer[SERVICE_BUFFER_BYTES];
	struct servent entry, *found;
	int number = service ? read_port(service) : 0;
	bool any = false;

	if (service && number < 0 && (a->hints.ai_flags & AI_NUMERICSERV))
		return EAI_NONAME;
	for (int i = 0; i < SOCKET_TYPES; i++) {
		a->port[i] = -1;
		if (!type_wanted(&a->hints, &socket_types[i]))
			continue;
		if (number >= 0) {
			a->port[i] = number;
		} else if (socket_types[i].name &&
			   getservbyname_r(service, socket_types[i].name, &entry, buffer,
					   sizeof(buffer), &found) == 0 &&
			   found) {
			a->port[i] = ntohs((uint16_t)entry.s_port);
		}
		any |= a->port[i] >= 0;
	}
	if (any)
		return 0;
	return a->hints.ai_socktype || a->hints.ai_protocol ? EAI_SOCKTYPE : EAI_SERVICE;
}

/* Appends one entry. */
static int append(struct answer *a, int which, const struct stack_addr *addr, bool as_v6)
{
	size_t size = as_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	struct addrinfo *ai = malloc(sizeof(*ai) + size);
	socklen_t len = (socklen_t)size;

	if (!ai)
		return EAI_MEMORY;
	memset(ai, 0, sizeof(*ai) + size);
	ai->ai_flags = a->hints.ai_flags;
	ai->ai_family = as_v6 ? AF_INET6 : AF_INET;
	ai->ai_socktype = socket_types[which].type;
	ai->ai_protocol = socket_types[which].protocol ? socket_types[which].protocol
						       : a->hints.ai_protocol;
	ai->ai_addrlen = len;
	ai->ai_addr = (struct sockaddr *)(ai + 1);
	wgw_repr_addr_write(as_v6 ? WGW_TAG_V6 : 0, addr, ai->ai_addr, &len);
	if (as_v6)
		((struct sockaddr_in6 *)ai->ai_addr)->sin6_scope_id = a->scope;
	*a->last = ai;
	a->last = &ai->ai_next;
	return 0;
}

/* Appends an address once for each socket type, as the family asked for allows. */
static int add_address(struct answer *a, const uint8_t ip[16])
{
	struct stack_addr addr = {0};
	bool v4;
	int eai = 0;

	memcpy(addr.ip, ip, 16);
	v4 = stack_addr_is_v4(&addr);
	if (a->hints.ai_family == AF_INET && !v4)
		return 0;
	for (int i = 0; i < SOCKET_TYPES && eai == 0; i++) {
		if (a->port[i] < 0)
			continue;
		addr.port = (uint16_t)a->port[i];
		eai = append(a, i, &addr, !v4 || a->hints.ai_family == AF_INET6);
	}
	return eai;
}

static bool family_takes(const struct answer *a, const struct stack_addr *addr)
{
	int family = a->hints.ai_family;

	if (family == AF_UNSPEC)
		return true;
	if (stack_addr_is_v4(addr))
		return family == AF_INET || (a->hints.ai_flags & AI_V4MAPPED);
	return family == AF_INET6;
}

/* No node: the wildcard to listen on, or this host to connect to. */
static int add_local(struct answer *a)
{
	static const uint8_t v6_any[16], v6_this[16] = {[15] = 1};
	uint8_t v4[16] = {0};
	bool passive = a->hints.ai_flags & AI_PASSIVE;
	int eai = 0;

	memcpy(v4, stack_v4_prefix, sizeof(stack_v4_prefix));
	if (!passive) {
		v4[12] = 127;
		v4[15] = 1;
	}
	/* glibc's order: the IPv4 wildcard first, the IPv6 loopback first */
	if (passive && a->hints.ai_family != AF_INET6)
		eai = add_address(a, v4);
	if (eai == 0 && a->hints.ai_family != AF_INET)
		eai = add_address(a, passive ? v6_any : v6_this);
	if (eai == 0 && !passive && a->hints.ai_family != AF_INET6)
		eai = add_address(a, v4);
	return eai;
}

static int add_resolved(struct answer *a, struct pre_names *names, const char *node)
{
	int family = a->hints.ai_family;
	int eai = pre_names_find(node, family, names);

	if (eai && family == AF_INET6 && (a->hints.ai_flags & AI_V4MAPPED))
		eai = pre_names_find(node, AF_INET, names);
	else if (eai == 0 && family == AF_INET6 && (a->hints.ai_flags & AI_V4MAPPED) &&
		 (a->hints.ai_flags & AI_ALL))
		pre_names_append(node, AF_INET, names);
	if (eai)
		return eai;
	for (uint32_t i = 0; i < names->n && eai == 0; i++)
		eai = add_address(a, names->ip[i]);
	a->canonical = names->canonical[0] ? names->canonical : node;
	return eai;
}

static int add_node(struct answer *a, struct pre_names *names, const char *node)
{
	struct stack_addr addr = {0};

	a->canonical = node;
	if (pre_names_numeric(node, addr.ip, &a->scope))
		return family_takes(a, &addr) ? add_address(a, addr.ip) : EAI_ADDRFAMILY;
	if (a->hints.ai_flags & AI_NUMERICHOST)
		return EAI_NONAME;
	return add_resolved(a, names, node);
}

static int check_hints(const struct addrinfo *hints, const char *node)
{
	if (hints->ai_flags & ~KNOWN_FLAGS)
		return EAI_BADFLAGS;
	if ((hints->ai_flags & AI_CANONNAME) && !node)
		return EAI_BADFLAGS;
	if (hints->ai_family != AF_UNSPEC && hints->ai_family != AF_INET &&
	    hints->ai_family != AF_INET6)
		return EAI_FAMILY;
	for (int i = 0; i < SOCKET_TYPES; i++) {
		if (type_wanted(hints, &socket_types[i]))
			return 0;
	}
	return EAI_SOCKTYPE;
}

static int fill_answer(struct answer *a, const char *node)
{
	struct pre_names names = {.n = 0};
	int eai = node ? add_node(a, &names, node) : add_local(a);

	if (eai == 0 && !a->first)
		return EAI_NODATA;
	if (eai == 0 && (a->hints.ai_flags & AI_CANONNAME)) {
		a->first->ai_canonname = strdup(a->canonical);
		if (!a->first->ai_canonname)
			return EAI_MEMORY;
	}
	return eai;
}

PRE_EXPORT int getaddrinfo(const char *restrict node, const char *restrict service,
			   const struct addrinfo *restrict hints, struct addrinfo **restrict result)
{
	struct answer a = {.hints = {.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG}};
	int eai;

	pre_enter();
	if (node && strcmp(node, "*") == 0)
		node = NULL;
	if (service && strcmp(service, "*") == 0)
		service = NULL;
	if (!node && !service)
		return EAI_NONAME;
	if (hints)
		a.hints = *hints;
	a.last = &a.first;
	eai = check_hints(&a.hints, node);
	if (eai == 0)
		eai = find_services(&a, service);
	if (eai == 0)
		eai = fill_answer(&a, node);
	if (eai) {
		if (a.first)
			freeaddrinfo(a.first);
		return eai;
	}
	*result = a.first;
	return 0;
}
