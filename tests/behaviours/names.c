/* SPDX-License-Identifier: MIT */
/* names.c - host names, services, interfaces. The name server is tests/e2e/lib/dnsd.py */
#include "behave.h"

#include <arpa/nameser.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <resolv.h>
#include <sys/ioctl.h>

static const char *eai_name(int eai)
{
	static char text[32];

	switch (eai) {
	case 0:
		return "ok";
	case EAI_BADFLAGS:
		return "BADFLAGS";
	case EAI_NONAME:
		return "NONAME";
	case EAI_AGAIN:
		return "AGAIN";
	case EAI_FAIL:
		return "FAIL";
	case EAI_FAMILY:
		return "FAMILY";
	case EAI_SOCKTYPE:
		return "SOCKTYPE";
	case EAI_SERVICE:
		return "SERVICE";
	case EAI_NODATA:
		return "NODATA";
	case EAI_ADDRFAMILY:
		return "ADDRFAMILY";
	case EAI_OVERFLOW:
		return "OVERFLOW";
	case EAI_SYSTEM:
		return "SYSTEM";
	default:
		snprintf(text, sizeof(text), "%d", eai);
		return text;
	}
}

static void show_list(const struct addrinfo *list)
{
	for (const struct addrinfo *a = list; a; a = a->ai_next)
		printf("  %s type %d protocol %d flags %x%s%s\n",
		       address_text((const union address *)a->ai_addr, a->ai_addrlen),
		       a->ai_socktype, a->ai_protocol, (unsigned int)a->ai_flags,
		       a->ai_canonname ? " canonical " : "",
		       a->ai_canonname ? a->ai_canonname : "");
}

static void ask(const char *node, const char *service, int family, int type, int flags)
{
	struct addrinfo hints = {.ai_family = family, .ai_socktype = type, .ai_flags = flags};
	struct addrinfo *list = NULL;
	int eai = getaddrinfo(node, service, &hints, &list);

	printf("%s %s family %d type %d flags %x: %s\n", node ? node : "-", service ? service : "-",
	       family, type, (unsigned int)flags, eai_name(eai));
	show_list(list);
	if (list)
		freeaddrinfo(list);
}

CASE(getaddrinfo_dns)
{
	ask("web.test", "80", AF_INET, SOCK_STREAM, 0);
	ask("web.test", "80", AF_INET6, SOCK_STREAM, 0);
	ask("v4.test", NULL, AF_UNSPEC, SOCK_STREAM, 0);
	ask("v6.test", NULL, AF_UNSPEC, SOCK_DGRAM, 0);
	ask("alias.test", NULL, AF_INET, SOCK_STREAM, AI_CANONNAME);
	ask("web.test", NULL, AF_INET, SOCK_STREAM, AI_CANONNAME);
	ask("Web.TEST", NULL, AF_INET, SOCK_STREAM, AI_CANONNAME);
	ask("web.test", "http", AF_INET, 0, 0);
	ask("WEB.Test.", NULL, AF_INET, SOCK_STREAM, 0);
}

CASE(getaddrinfo_both_families)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	int v4 = 0, v6 = 0;

	printf("%s\n", eai_name(getaddrinfo("web.test", "80", &hints, &list)));
	for (struct addrinfo *a = list; a; a = a->ai_next) {
		v4 += a->ai_family == AF_INET;
		v6 += a->ai_family == AF_INET6;
	}
	printf("%d and %d\n", v4, v6);
}

/* glibc's table, with and without a DNS query; 10.77.0.1 and fd77::1 are both within reach. */
CASE(getaddrinfo_order)
{
	ask("order.test", "80", AF_UNSPEC, SOCK_STREAM, 0);
	ask("hosts.test", "80", AF_UNSPEC, SOCK_STREAM, 0);
}

CASE(getaddrinfo_order_by_prefix)
{
	ask("prefix.test", "80", AF_UNSPEC, SOCK_STREAM, 0);
}

CASE(getaddrinfo_many)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list = NULL;
	int n = 0;

	printf("%s\n", eai_name(getaddrinfo("long.test", "80", &hints, &list)));
	for (struct addrinfo *a = list; a; a = a->ai_next)
		n++;
	printf("%d addresses\n", n);
}

CASE(getaddrinfo_search)
{
	ask("web", NULL, AF_INET, SOCK_STREAM, 0);
	ask("web", NULL, AF_INET, SOCK_STREAM, AI_CANONNAME);
	ask("nothing", NULL, AF_INET, SOCK_STREAM, 0);
}

CASE(getaddrinfo_failures)
{
	ask("nothing.test", NULL, AF_UNSPEC, SOCK_STREAM, 0);
	ask("v4.test", NULL, AF_INET6, SOCK_STREAM, 0);
	ask("v6.test", NULL, AF_INET, SOCK_STREAM, 0);
	ask("", NULL, AF_UNSPEC, SOCK_STREAM, 0);
	ask("bad name", NULL, AF_UNSPEC, SOCK_STREAM, 0);
	ask("web.test", "no-such-service", AF_INET, SOCK_STREAM, 0);
	ask("web.test", "http", AF_INET, SOCK_RAW, 0);
	ask(NULL, NULL, AF_UNSPEC, SOCK_STREAM, 0);
	ask("web.test", NULL, 99, SOCK_STREAM, 0);
	ask("web.test", NULL, AF_INET, 77, 0);
	ask("web.test", NULL, AF_INET, SOCK_STREAM, 0x40000000);
	ask(NULL, "80", AF_INET, SOCK_STREAM, AI_CANONNAME);
	ask("web.test", "http", AF_INET, SOCK_STREAM, AI_NUMERICSERV);
	ask("web.test", "80", AF_INET, SOCK_STREAM, AI_NUMERICHOST);
}

CASE(getaddrinfo_numbers)
{
	ask("10.1.2.3", "80", AF_UNSPEC, SOCK_STREAM, 0);
	ask("10.1", "80", AF_UNSPEC, SOCK_STREAM, AI_NUMERICHOST);
	ask("0x0a010203", "80", AF_INET, SOCK_STREAM, AI_NUMERICHOST);
	ask("fd77::9", "443", AF_UNSPEC, 0, AI_NUMERICHOST | AI_NUMERICSERV);
	ask("::ffff:10.1.2.3", "1", AF_INET6, SOCK_STREAM, 0);
	ask("::ffff:10.1.2.3", "1", AF_INET, SOCK_STREAM, 0);
	ask("10.1.2.3", "1", AF_INET6, SOCK_STREAM, 0);
	ask("10.1.2.3", "1", AF_INET6, SOCK_STREAM, AI_V4MAPPED);
	ask("fd77::9", "1", AF_INET, SOCK_STREAM, 0);
	ask("10.1.2.3", NULL, AF_UNSPEC, SOCK_STREAM, AI_CANONNAME);
	ask("10.1.2.3", "99999", AF_INET, SOCK_STREAM, 0);
	ask("10.1.2.3", "-1", AF_INET, SOCK_STREAM, 0);
	ask("fe80::1%lo", "1", AF_INET6, SOCK_STREAM, 0);
	ask("fe80::1%nothing", "1", AF_INET6, SOCK_STREAM, 0);
	ask("fe80::1%4294967295", "1", AF_INET6, SOCK_STREAM, 0);
	ask("fe80::1%4294967297", "1", AF_INET6, SOCK_STREAM, 0);
}

CASE(getaddrinfo_local)
{
	ask(NULL, "80", AF_UNSPEC, SOCK_STREAM, 0);
	ask(NULL, "80", AF_UNSPEC, SOCK_STREAM, AI_PASSIVE);
	ask(NULL, "ssh", AF_INET, 0, AI_PASSIVE);
	ask("localhost", "80", AF_INET, SOCK_STREAM, 0);
	ask("localhost", "80", AF_INET6, SOCK_STREAM, 0);
}

CASE(getaddrinfo_hosts)
{
	ask("hosts.test", NULL, AF_INET, SOCK_STREAM, 0);
	ask("hosts.test", NULL, AF_INET6, SOCK_STREAM, 0);
	ask("hosts-alias", NULL, AF_INET, SOCK_STREAM, AI_CANONNAME);
	ask("HOSTS.TEST", NULL, AF_INET, SOCK_STREAM, 0);
	ask("only4.hosts.test", NULL, AF_INET, SOCK_STREAM, 0);
	ask("only6.hosts.test", NULL, AF_UNSPEC, SOCK_STREAM, 0);
}

CASE(getaddrinfo_mapped)
{
	ask("v4.test", "1", AF_INET6, SOCK_STREAM, AI_V4MAPPED);
	ask("web.test", "1", AF_INET6, SOCK_STREAM, AI_V4MAPPED);
	ask("v4.test", "1", AF_INET6, SOCK_STREAM, AI_V4MAPPED | AI_ALL);
	ask("web.test", "1", AF_INET, SOCK_STREAM, AI_ADDRCONFIG);
	ask("web.test", "1", AF_INET6, SOCK_STREAM, AI_ADDRCONFIG);
}

CASE(getaddrinfo_without_hints)
{
	struct addrinfo *list = NULL;

	printf("%s\n", eai_name(getaddrinfo("10.1.2.3", "80", NULL, &list)));
	show_list(list);
}

CASE(getaddrinfo_a_waits)
{
	struct gaicb one = {.ar_name = "web.test"}, two = {.ar_name = "nothing.test"};
	struct gaicb *list[] = {&one, NULL, &two};

	printf("%s\n", eai_name(getaddrinfo_a(GAI_WAIT, list, 3, NULL)));
	printf("%s %s\n", eai_name(gai_error(&one)), eai_name(gai_error(&two)));
	printf("result %d\n", one.ar_result != NULL);
}

CASE(getaddrinfo_a_later)
{
	struct gaicb one = {.ar_name = "web.test"};
	struct gaicb *list[] = {&one};
	const struct gaicb *wait[] = {&one};
	struct sigevent none = {.sigev_notify = SIGEV_NONE};

	printf("%s\n", eai_name(getaddrinfo_a(GAI_NOWAIT, list, 1, &none)));
	while (gai_error(&one) == EAI_INPROGRESS)
		gai_suspend(wait, 1, NULL);
	printf("%s result %d\n", eai_name(gai_error(&one)), one.ar_result != NULL);
}

/* ---- the older calls ---- */

static void show_host(const struct hostent *h)
{
	char ip[INET6_ADDRSTRLEN];

	if (!h) {
		printf("none, h_errno %d\n", h_errno);
		return;
	}
	printf("%s family %d length %d:", h->h_name, h->h_addrtype, h->h_length);
	for (int i = 0; h->h_addr_list[i]; i++)
		printf(" %s", inet_ntop(h->h_addrtype, h->h_addr_list[i], ip, sizeof(ip)));
	printf("\n");
}

CASE(gethostbyname_calls)
{
	show_host(gethostbyname("v4.test"));
	show_host(gethostbyname("alias.test"));
	show_host(gethostbyname("nothing.test"));
	show_host(gethostbyname("v6.test"));
	show_host(gethostbyname("10.1.2.3"));
	show_host(gethostbyname("hosts.test"));
	show_host(gethostbyname2("v6.test", AF_INET6));
	show_host(gethostbyname2("fd77::9", AF_INET6));
}

CASE(gethostbyname_small_buffer)
{
	struct hostent h, *result;
	char buffer[16];
	int err = 0;

	printf("%s\n",
	       err_name(gethostbyname_r("v4.test", &h, buffer, sizeof(buffer), &result, &err)));
	printf("result %d h_errno %d\n", result != NULL, err);
}

CASE(gethostbyaddr_calls)
{
	struct in_addr known = {.s_addr = inet_addr("10.9.0.1")};
	struct in_addr hosts = {.s_addr = inet_addr("10.77.0.1")};
	struct in_addr unknown = {.s_addr = inet_addr("10.9.0.99")};

	show_host(gethostbyaddr(&known, sizeof(known), AF_INET));
	show_host(gethostbyaddr(&hosts, sizeof(hosts), AF_INET));
	show_host(gethostbyaddr(&unknown, sizeof(unknown), AF_INET));
}

static void name_of(const char *ip, int port, int flags, socklen_t size)
{
	union address a;
	socklen_t len = make_address(&a, ip, port);
	char host_name[256] = "", service[64] = "";
	int eai = getnameinfo(&a.any, len, host_name, size, service, sizeof(service), flags);

	printf("%s flags %x: %s \"%s\" \"%s\"\n", ip, (unsigned int)flags, eai_name(eai), host_name,
	       service);
}

CASE(getnameinfo_call)
{
	name_of("10.9.0.1", 80, 0, 256);
	name_of("10.9.0.1", 80, NI_NUMERICHOST, 256);
	name_of("10.9.0.1", 80, NI_NUMERICHOST | NI_NUMERICSERV, 256);
	name_of("10.9.0.99", 80, 0, 256);
	name_of("10.9.0.99", 80, NI_NAMEREQD, 256);
	name_of("10.77.0.1", 53, NI_DGRAM, 256);
	name_of("10.9.0.1", 80, NI_NUMERICHOST, 4);
	name_of("fd77::9", 54321, NI_NUMERICHOST, 256);
	name_of("127.0.0.1", 22, 0, 256);
	name_of("10.9.0.1", 80, 0x4000, 256);
}

CASE(res_calls)
{
	unsigned char answer[8192], query[512];
	int n, q;

	n = res_query("web.test", ns_c_in, ns_t_a, answer, sizeof(answer));
	printf("a: %d, answers %d\n", n > 12, n > 12 ? answer[7] : -1);
	n = res_query("big.test", ns_c_in, ns_t_txt, answer, sizeof(answer));
	printf("txt: %d, answers %d\n", n > 4000, n > 12 ? answer[7] : -1);
	n = res_query("nothing.test", ns_c_in, ns_t_a, answer, sizeof(answer));
	printf("nothing: %d h_errno %d\n", n, h_errno);
	n = res_query("v4.test", ns_c_in, ns_t_mx, answer, sizeof(answer));
	printf("no data: %d h_errno %d\n", n, h_errno);
	q = res_mkquery(ns_o_query, "web.test", ns_c_in, ns_t_aaaa, NULL, 0, NULL, query,
			sizeof(query));
	n = res_send(query, q, answer, sizeof(answer));
	printf("sent: %d, same id %d, answers %d\n", n > 12, memcmp(query, answer, 2) == 0,
	       n > 12 ? answer[7] : -1);
}

CASE(res_search_call)
{
	unsigned char answer[8192];
	static const char *const names[] = {"web",     "web.test",    "web.", "web.test.",
					    "nothing", "a.b.nothing", "v4"};
	int n;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		h_errno = 0;
		n = res_search(names[i], ns_c_in, ns_t_a, answer, sizeof(answer));
		printf("%s: %d, h_errno %d\n", names[i], n > 12, n > 12 ? 0 : h_errno);
	}
	n = res_query("web", ns_c_in, ns_t_a, answer, sizeof(answer));
	printf("without search: %d, h_errno %d\n", n, h_errno);
	n = res_search("v4", ns_c_in, ns_t_mx, answer, sizeof(answer));
	printf("no data: %d, h_errno %d\n", n, h_errno);
}

/* The length is the answer's, so that the caller comes again with more room. */
CASE(res_answer_larger_than_the_buffer)
{
	unsigned char answer[8192], query[512];
	int n, q, whole = res_query("big.test", ns_c_in, ns_t_txt, answer, sizeof(answer));

	n = res_query("big.test", ns_c_in, ns_t_txt, answer, 512);
	printf("query: whole %d, truncated %d\n", n == whole, answer[2] >> 1 & 1);
	n = res_search("big", ns_c_in, ns_t_txt, answer, 512);
	printf("search: whole %d, truncated %d\n", n == whole, answer[2] >> 1 & 1);
	q = res_mkquery(ns_o_query, "big.test", ns_c_in, ns_t_txt, NULL, 0, NULL, query,
			sizeof(query));
	n = res_send(query, q, answer, 512);
	printf("send: whole %d, truncated %d\n", n == whole, answer[2] >> 1 & 1);
}

/* A query with an unusual header: recursion is not desired. */
CASE(res_send_keeps_the_question)
{
	unsigned char query[512], answer[512] = {0};
	int q = res_mkquery(ns_o_query, "web.test", ns_c_in, ns_t_a, NULL, 0, NULL, query,
			    sizeof(query));
	int n;

	query[2] &= (unsigned char)~1; /* RD */
	n = res_send(query, q, answer, sizeof(answer));
	printf("sent %d, recursion desired %d\n", n > 12, answer[2] & 1);
}

CASE(dns_by_hand)
{
	/* to the system's resolver, as dig and Go do: an A query for web.test */
	static const unsigned char query[] = {0x12, 0x34, 1,   0, 0,   1,   0,	 0, 0,
					      0,    0,	  0,   3, 'w', 'e', 'b', 4, 't',
					      'e',  's',  't', 0, 0,   1,   0,	 1};
	unsigned char answer[512];
	int fd = udp_socket(false);

	did("connect", connect_to(fd, "10.77.0.1", 53));
	said("send", send(fd, query, sizeof(query), 0));
	wait_in(fd);
	said("recv", recv(fd, answer, sizeof(answer), MSG_DONTWAIT));
	printf("same id %d, answers %d\n", memcmp(answer, query, 2) == 0, answer[7]);
}

CASE(services)
{
	struct servent *s = getservbyname("http", "tcp");
	struct protoent *p = getprotobyname("tcp");

	printf("http %d, tcp %d\n", s ? ntohs((uint16_t)s->s_port) : -1, p ? p->p_proto : -1);
}

/* ---- interfaces ---- */

CASE(interfaces)
{
	struct ifaddrs *list = NULL;
	char ip[INET6_ADDRSTRLEN], mask[INET6_ADDRSTRLEN];

	did("getifaddrs", getifaddrs(&list));
	for (struct ifaddrs *i = list; i; i = i->ifa_next) {
		const union address *a = (const union address *)i->ifa_addr;
		const union address *m = (const union address *)i->ifa_netmask;
		unsigned int flags = i->ifa_flags & (IFF_UP | IFF_RUNNING | IFF_LOOPBACK);

		if (a->any.sa_family == AF_PACKET)
			printf("%s link flags %x\n", i->ifa_name, flags);
		else if (a->any.sa_family == AF_INET)
			printf("%s %s/%s flags %x\n", i->ifa_name,
			       inet_ntop(AF_INET, &a->in.sin_addr, ip, sizeof(ip)),
			       inet_ntop(AF_INET, &m->in.sin_addr, mask, sizeof(mask)), flags);
		else if (!IN6_IS_ADDR_LINKLOCAL(&a->in6.sin6_addr))
			printf("%s %s/%s flags %x\n", i->ifa_name,
			       inet_ntop(AF_INET6, &a->in6.sin6_addr, ip, sizeof(ip)),
			       inet_ntop(AF_INET6, &m->in6.sin6_addr, mask, sizeof(mask)), flags);
	}
	freeifaddrs(list);
}

CASE(interface_names)
{
	struct if_nameindex *list = if_nameindex();
	char name[IF_NAMESIZE] = "";

	for (int i = 0; list && list[i].if_index; i++)
		printf("%d %s\n", list[i].if_index > 0, list[i].if_name);
	if_freenameindex(list);
	printf("lo %d, wg0 %d\n", if_nametoindex("lo"), if_nametoindex("wg0") > 1);
	printf("nothing %u %s\n", if_nametoindex("nothing9"), err_name(errno));
	printf("1 is %s, back %d\n", if_indextoname(1, name),
	       if_indextoname(if_nametoindex("wg0"), name) != NULL);
	printf("999 is %d %s\n", if_indextoname(999, name) != NULL, err_name(errno));
}

CASE(interface_ioctls)
{
	struct ifreq r[8];
	struct ifconf conf = {.ifc_len = sizeof(r), .ifc_req = r};
	struct ifreq one = {0};
	int fd = udp_socket(false);

	did("SIOCGIFCONF", ioctl(fd, SIOCGIFCONF, &conf));
	for (int i = 0; i < conf.ifc_len / (int)sizeof(*r); i++)
		printf("%s %s\n", r[i].ifr_name,
		       inet_ntoa(((struct sockaddr_in *)&r[i].ifr_addr)->sin_addr));
	strcpy(one.ifr_name, "wg0");
	did("SIOCGIFADDR", ioctl(fd, SIOCGIFADDR, &one));
	printf("%s\n", inet_ntoa(((struct sockaddr_in *)&one.ifr_addr)->sin_addr));
	did("SIOCGIFNETMASK", ioctl(fd, SIOCGIFNETMASK, &one));
	printf("%s\n", inet_ntoa(((struct sockaddr_in *)&one.ifr_addr)->sin_addr));
	did("SIOCGIFMTU", ioctl(fd, SIOCGIFMTU, &one));
	printf("%d\n", one.ifr_mtu);
	did("SIOCGIFFLAGS", ioctl(fd, SIOCGIFFLAGS, &one));
	printf("up %d\n", (one.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING));
	did("SIOCGIFINDEX", ioctl(fd, SIOCGIFINDEX, &one));
	printf("%d\n", one.ifr_ifindex > 1);
	strcpy(one.ifr_name, "nothing9");
	did("unknown", ioctl(fd, SIOCGIFADDR, &one));
}

/* What the kernel lists, by netlink or any other way, can be asked for here; the oracle is a socket
 * that is not an IP one. */
CASE(interfaces_that_the_kernel_lists)
{
	int fd = udp_socket(false), other = socket(AF_UNIX, SOCK_DGRAM, 0), listed = 0, unknown = 0;

	for (int index = 1; index < 64; index++) {
		struct ifreq kernels = {.ifr_ifindex = index}, ours = {.ifr_ifindex = index};
		struct ifreq address;

		if (ioctl(other, SIOCGIFNAME, &kernels))
			continue;
		listed++;
		address = kernels;
		if (ioctl(fd, SIOCGIFNAME, &ours) || ioctl(fd, SIOCGIFFLAGS, &kernels))
			unknown++;
		else if (ioctl(fd, SIOCGIFADDR, &address) && errno != EADDRNOTAVAIL)
			unknown++;
	}
	printf("any: %d, of these unknown: %d\n", listed > 0, unknown);
}
