/* SPDX-License-Identifier: MIT */
/* nameinfo.c - getnameinfo(3) */
#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "preload/names.h"
#include "preload/pre.h"

enum {
	SERVICE_BUFFER_BYTES = 1024,
	NUMBER_BYTES = 12,
	KNOWN_FLAGS = NI_NUMERICHOST | NI_NUMERICSERV | NI_NOFQDN | NI_NAMEREQD | NI_DGRAM |
		      0x0020 | 0x0040 | 0x0080 | 0x0100, /* IDN */
};

static int put(const char *text, char *out, socklen_t size)
{
	size_t len = strlen(text) + 1;

	if (len > size)
		return EAI_OVERFLOW;
	memcpy(out, text, len);
	return 0;
}

static void write_number(unsigned int value, char text[NUMBER_BYTES])
{
	char reversed[NUMBER_BYTES];
	size_t n = 0;

	do
		reversed[n++] = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	for (size_t i = 0; i < n; i++)
		text[i] = reversed[n - 1 - i];
	text[n] = '\0';
}

static int put_service(uint16_t port, char *out, socklen_t size, int flags)
{
	char buffer[SERVICE_BUFFER_BYTES], number[NUMBER_BYTES];
	struct servent entry, *found = NULL;

	if (!(flags & NI_NUMERICSERV) &&
	    getservbyport_r(htons(port), flags & NI_DGRAM ? "udp" : "tcp", &entry, buffer,
			    sizeof(buffer), &found) == 0 &&
	    found)
		return put(found->s_name, out, size);
	write_number(port, number);
	return put(number, out, size);
}

static int put_numeric(const struct sockaddr *sa, char *out, socklen_t size)
{
	char text[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE + NUMBER_BYTES];
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	size_t len;

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
		return put(text, out, size);
	}
	memcpy(&in6, sa, sizeof(in6));
	inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text));
	if (in6.sin6_scope_id) {
		len = strlen(text);
		text[len++] = '%';
		if (!(IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr) ||
		      IN6_IS_ADDR_MC_LINKLOCAL(&in6.sin6_addr)) ||
		    !if_indextoname(in6.sin6_scope_id, text + len))
			write_number(in6.sin6_scope_id, text + len);
	}
	return put(text, out, size);
}

/* Cuts this host's own domain off. */
static void cut_domain(char *name)
{
	char own[WGW_NAME_MAX_BYTES];
	const char *domain;
	char *dot = strchr(name, '.');

	if (!dot || gethostname(own, sizeof(own)) < 0)
		return;
	own[sizeof(own) - 1] = '\0';
	domain = strchr(own, '.');
	if (domain && strcmp(domain, dot) == 0)
		*dot = '\0';
}

static int put_host(const struct sockaddr *sa, socklen_t sa_len, char *out, socklen_t size,
		    int flags)
{
	uint64_t tag = sa->sa_family == AF_INET6 ? WGW_TAG_V6 : 0;
	char name[WGW_NAME_MAX_BYTES];
	struct stack_addr addr;
	int eai = EAI_NONAME;

	if (flags & NI_NUMERICHOST)
		return flags & NI_NAMEREQD ? EAI_NONAME : put_numeric(sa, out, size);
	if (wgw_repr_addr_read(tag, sa, sa_len, &addr) < 0)
		return EAI_FAMILY;
	if (pre_hosts_reverse(addr.ip, name))
		eai = 0;
	else if (pre_have_session())
		eai = wgw_repr_reverse(&pre_session, &addr, name);
	if (eai == 0) {
		if (flags & NI_NOFQDN)
			cut_domain(name);
		return put(name, out, size);
	}
	if (flags & NI_NAMEREQD)
		return EAI_NONAME;
	return eai == EAI_AGAIN ? EAI_AGAIN : put_numeric(sa, out, size);
}

PRE_EXPORT int getnameinfo(const struct sockaddr *restrict sa, socklen_t sa_len,
			   char *restrict host, socklen_t host_size, char *restrict service,
			   socklen_t service_size, int flags)
{
	socklen_t least;
	uint16_t port;
	int eai;

	pre_enter();
	if (flags & ~KNOWN_FLAGS)
		return EAI_BADFLAGS;
	if (!sa || sa_len < sizeof(sa_family_t))
		return EAI_FAMILY;
	if (sa->sa_family == AF_UNIX)
		return pre_next.getnameinfo(sa, sa_len, host, host_size, service, service_size,
					    flags);
	if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)
		return EAI_FAMILY;
	least = sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	if (sa_len < least)
		return EAI_FAMILY;
	if ((!host || !host_size) && (!service || !service_size))
		return EAI_NONAME;
	memcpy(&port, (const char *)sa + 2, sizeof(port)); /* in the same place in both */
	eai = host && host_size ? put_host(sa, sa_len, host, host_size, flags) : 0;
	if (eai == 0 && service && service_size)
		eai = put_service(ntohs(port), service, service_size, flags);
	return eai;
}
