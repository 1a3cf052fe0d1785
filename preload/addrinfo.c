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

/* A row of glibc's table. */
struct socket_type {
	int type, protocol;
	bool any_protocol; /* no services either */
	bool implied;	   /* when neither type nor protocol is asked for */
	const char *name;  /* in services(5) */
};

static const struct socket_type socket_types[] = {
	{SOCK_STREAM, IPPROTO_TCP, false, true, "tcp"},
	{SOCK_DGRAM, IPPROTO_UDP, false, true, "udp"},
	{SOCK_DCCP, IPPROTO_DCCP, false, false, "dccp"},
	{SOCK_DGRAM, IPPROTO_UDPLITE, false, false, "udplite"},
	{SOCK_STREAM, IPPROTO_SCTP, false, false, "sctp"},
	{SOCK_SEQPACKET, IPPROTO_SCTP, false, false, "sctp"},
	{SOCK_RAW, 0, true, true, "raw"},
};
enum { SOCKET_TYPES = sizeof(socket_types) / sizeof(*socket_types) };

/** struct endpoint - one kind of socket that the caller can open */
struct endpoint {
	int type, protocol;
	uint16_t port;
};

/**
 * struct answer - a result list while it grows
 * @endpoint:	What each address is listed for
 */
struct answer {
	struct addrinfo hints;
	struct addrinfo *first;
	struct addrinfo **last;
	struct endpoint endpoint[SOCKET_TYPES];
	int n_endpoints;
	uint32_t scope;
	const char *canonical;
};

/* ---- services ---- */

static bool row_matches(const struct addrinfo *hints, const struct socket_type *t)
{
	if (hints->ai_socktype && hints->ai_socktype != t->type)
		return false;
	return !hints->ai_protocol || t->any_protocol || hints->ai_protocol == t->protocol;
}

static void add_endpoint(struct answer *a, const struct socket_type *t, uint16_t port)
{
	a->endpoint[a->n_endpoints++] = (struct endpoint){
		t->type, t->any_protocol ? a->hints.ai_protocol : t->protocol, port};
}

static bool add_named(struct answer *a, const struct socket_type *t, const char *service)
{
	char buffer[SERVICE_BUFFER_BYTES];
	struct servent entry, *found = NULL;

	if (t->any_protocol ||
	    getservbyname_r(service, t->name, &entry, buffer, sizeof(buffer), &found) != 0 ||
	    !found)
		return false;
	add_endpoint(a, t, ntohs((uint16_t)entry.s_port));
	return true;
}

/* One row serves when the caller asks for a type or a protocol: the first that matches. */
static int one_endpoint(struct answer *a, const char *service, bool numeric, uint16_t port)
{
	for (int i = 0; i < SOCKET_TYPES; i++) {
		const struct socket_type *t = &socket_types[i];

		if (!row_matches(&a->hints, t))
			continue;
		if (service && t->any_protocol)
			return EAI_SERVICE;
		if (!service || numeric)
			add_endpoint(a, t, port);
		else if (!add_named(a, t, service))
			return EAI_SERVICE;
		return 0;
	}
	return a->hints.ai_socktype ? EAI_SOCKTYPE : EAI_SERVICE;
}

static int find_endpoints(struct answer *a, const char *service)
{
	char *end;
	uint16_t port = service ? (uint16_t)pre_names_number(service, &end, 10) : 0;
	bool numeric = service && !*end && (int)pre_names_number(service, NULL, 10) >= 0;

	if (a->hints.ai_family != AF_UNSPEC && a->hints.ai_family != AF_INET &&
	    a->hints.ai_family != AF_INET6)
		return EAI_FAMILY;
	if (service && !numeric && (a->hints.ai_flags & AI_NUMERICSERV))
		return EAI_NONAME;
	if (a->hints.ai_socktype || a->hints.ai_protocol)
		return one_endpoint(a, service, numeric, port);
	for (int i = 0; i < SOCKET_TYPES; i++) {
		if (service && !numeric)
			add_named(a, &socket_types[i], service);
		else if (socket_types[i].implied)
			add_endpoint(a, &socket_types[i], port);
	}
	return a->n_endpoints ? 0 : EAI_SERVICE;
}

/* ---- addresses ---- */

/* Appends one entry. */
static int append(struct answer *a, const struct endpoint *e, struct stack_addr *addr, bool as_v6)
{
	size_t size = as_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	struct addrinfo *ai = malloc(sizeof(*ai) + size);
	socklen_t len = (socklen_t)size;

	if (!ai)
		return EAI_MEMORY;
	memset(ai, 0, sizeof(*ai) + size);
	ai->ai_flags = a->hints.ai_flags;
	ai->ai_family = as_v6 ? AF_INET6 : AF_INET;
	ai->ai_socktype = e->type;
	ai->ai_protocol = e->protocol;
	addr->port = e->port;
	ai->ai_addrlen = len;
	ai->ai_addr = (struct sockaddr *)(ai + 1);
	wgw_repr_addr_write(as_v6 ? WGW_TAG_V6 : 0, addr, ai->ai_addr, &len);
	if (as_v6)
		((struct sockaddr_in6 *)ai->ai_addr)->sin6_scope_id = a->scope;
	*a->last = ai;
	a->last = &ai->ai_next;
	return 0;
}

/* Appends an address, once for each kind of socket. */
static int add_address(struct answer *a, const uint8_t ip[16], bool as_v6)
{
	struct stack_addr addr = {0};
	int eai = 0;

	memcpy(addr.ip, ip, 16);
	for (int i = 0; i < a->n_endpoints && eai == 0; i++)
		eai = append(a, &a->endpoint[i], &addr, as_v6);
	return eai;
}

/* Appends what a look-up gave, as the family asked for allows. */
static int add_found(struct answer *a, const uint8_t ip[16])
{
	bool v4 = stack_ip_is_v4(ip);

	if (a->hints.ai_family == AF_INET && !v4)
		return 0;
	return add_address(a, ip, !v4 || a->hints.ai_family == AF_INET6);
}

/* A number: -1 when @node is none. */
static int add_numeric(struct answer *a, const char *node)
{
	int family = a->hints.ai_family;
	bool dotted, scoped;
	uint8_t ip[16];

	if (!pre_names_numeric(node, ip, &a->scope, &scoped))
		return !scoped ? -1 : family == AF_INET ? EAI_ADDRFAMILY : EAI_NONAME;
	dotted = !strchr(node, ':');
	if (dotted && family == AF_INET6 && !(a->hints.ai_flags & AI_V4MAPPED))
		return EAI_ADDRFAMILY;
	if (!dotted && family == AF_INET && !stack_ip_is_v4(ip))
		return EAI_ADDRFAMILY;
	return add_address(a, ip, family == AF_INET6 || (!dotted && family != AF_INET));
}

/* No node: the wildcard to listen on, or this host to connect to. */
static int add_local(struct answer *a)
{
	static const uint8_t v6_any[16], v6_this[16] = {[15] = 1};
	bool passive = a->hints.ai_flags & AI_PASSIVE;
	const struct in_addr in = {htonl(passive ? INADDR_ANY : INADDR_LOOPBACK)};
	uint8_t v4[16];
	int eai = 0;

	stack_ip_set_v4(v4, &in);
	/* glibc's order: the IPv4 wildcard first, the IPv6 loopback first */
	if (passive && a->hints.ai_family != AF_INET6)
		eai = add_address(a, v4, false);
	if (eai == 0 && a->hints.ai_family != AF_INET)
		eai = add_address(a, passive ? v6_any : v6_this, true);
	if (eai == 0 && !passive && a->hints.ai_family != AF_INET6)
		eai = add_address(a, v4, false);
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
		eai = add_found(a, names->ip[i]);
	a->canonical = names->canonical[0] ? names->canonical : node;
	return eai;
}

static int add_node(struct answer *a, struct pre_names *names, const char *node)
{
	int eai = add_numeric(a, node);

	a->canonical = node;
	if (eai != -1)
		return eai;
	if (a->hints.ai_flags & AI_NUMERICHOST)
		return EAI_NONAME;
	return add_resolved(a, names, node);
}

static int check_flags(const struct addrinfo *hints, const char *node)
{
	if (hints->ai_flags & ~KNOWN_FLAGS)
		return EAI_BADFLAGS;
	return (hints->ai_flags & AI_CANONNAME) && !node ? EAI_BADFLAGS : 0;
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
	eai = check_flags(&a.hints, node);
	if (eai == 0)
		eai = find_endpoints(&a, service && *service ? service : NULL);
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
