/* SPDX-License-Identifier: MIT */
/*
 * resolver.c - names, through the tunnel or by the host
 *
 * Theory of operation
 *
 * One c-ares channel per session, with the session's servers and search domains, over flows of our
 * stack (resolver_io.c). Answers are shared by sessions that ask the same servers the same way
 * (resolver_cache.c) and ordered by RFC 6724 (resolver_order.c). With --dns system the session's
 * supervisor asks the host's resolver instead: this process reads no files and parses no answers of
 * the host.
 *
 * hosts(5), numeric names and AI_ADDRCONFIG are libc's business and are done in the shim, which can
 * read files; what arrives here is a name for DNS. c-ares is told everything, so that it reads no
 * resolv.conf and no environment.
 *
 * Errors are EAI_* codes as glibc's getaddrinfo gives them: a server that fails or is silent is
 * EAI_AGAIN, a name without addresses EAI_NODATA, no such name EAI_NONAME.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "src/base/sockaddr.h"
#include "src/tunnel/resolver.h"
#include "wg/library.h"

struct dns_cares cares;

/* ---- channels ---- */

void dns_channel_dirty(struct dns_channel *ch)
{
	ch->dirty = true;
	ch->resolver->dirty = true;
}

static void channel_due(struct wgw_timer *timer)
{
	struct dns_channel *ch = wgw_container(timer, struct dns_channel, timer);

	ch->timeout = true;
	dns_channel_dirty(ch);
}

static void channel_arm(struct dns_channel *ch)
{
	struct wgw_loop *loop = ch->resolver->t->loop;
	struct timeval tv;

	if (!cares.ares_timeout(ch->ares, NULL, &tv)) {
		wgw_timer_cancel(loop, &ch->timer);
		return;
	}
	wgw_timer_set(loop, &ch->timer,
		      wgw_clock_ns() + (uint64_t)tv.tv_sec * WGW_SEC_NS +
			      (uint64_t)tv.tv_usec * 1000 + WGW_MS_NS);
}

static bool run_channels(struct wgw_before *b)
{
	struct wgw_resolver *r = wgw_container(b, struct wgw_resolver, before);

	if (!r->dirty)
		return false;
	r->dirty = false;
	for (struct dns_channel *ch = r->channels; ch; ch = ch->next) {
		if (!ch->dirty)
			continue;
		ch->dirty = false;
		dns_channel_process(ch);
		if (ch->timeout) {
			ch->timeout = false;
			cares.ares_process_fd(ch->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
		}
		channel_arm(ch);
	}
	return true;
}

/* Servers at the same address are not the same for who reaches them another way. */
static uint64_t hash_set(struct wgw_session *s, const struct stack_addr *servers, size_t n,
			 const struct wgw_strings *search)
{
	uint8_t out[crypto_generichash_BYTES_MIN];
	crypto_generichash_state st;
	uint64_t hash;

	crypto_generichash_init(&st, NULL, 0, crypto_generichash_BYTES_MIN);
	for (size_t i = 0; i < n; i++) {
		struct stack_addr to = servers[i];
		uint8_t way = (uint8_t)wgw_session_route_quiet(s, &to, IPPROTO_UDP);

		crypto_generichash_update(&st, to.ip, sizeof(to.ip));
		crypto_generichash_update(&st, (const uint8_t *)&to.port, sizeof(to.port));
		crypto_generichash_update(&st, &way, sizeof(way));
	}
	for (size_t i = 0; i < search->n; i++)
		crypto_generichash_update(&st, (const uint8_t *)search->at[i],
					  strlen(search->at[i]) + 1);
	crypto_generichash_final(&st, out, sizeof(out));
	memcpy(&hash, out, sizeof(hash));
	return hash;
}

static int set_servers(ares_channel ares, const struct stack_addr *servers, size_t n)
{
	struct ares_addr_port_node nodes[DNS_SERVERS_MAX];

	n = n < DNS_SERVERS_MAX ? n : DNS_SERVERS_MAX;
	memset(nodes, 0, sizeof(nodes));
	for (size_t i = 0; i < n; i++) {
		int port = servers[i].port ? servers[i].port : WGW_DNS_PORT;

		nodes[i].next = i + 1 < n ? &nodes[i + 1] : NULL;
		nodes[i].udp_port = nodes[i].tcp_port = port;
		if (stack_addr_is_v4(&servers[i])) {
			nodes[i].family = AF_INET;
			memcpy(&nodes[i].addr.addr4, servers[i].ip + 12, 4);
		} else {
			nodes[i].family = AF_INET6;
			memcpy(&nodes[i].addr.addr6, servers[i].ip, 16);
		}
	}
	return cares.ares_set_servers_ports(ares, nodes);
}

/* Everything that c-ares would otherwise look for in files and the environment is set. */
static int channel_init(struct dns_channel *ch, const struct wgw_strings *search)
{
	static char lookups[] = "b"; /* DNS only */
	struct ares_options o = {
		.flags = ARES_FLAG_EDNS | ARES_FLAG_NOALIASES | ARES_FLAG_STAYOPEN,
		.ednspsz = DNS_EDNS_BYTES,
		.timeout = DNS_TIMEOUT_MS,
		.tries = DNS_TRIES,
		.ndots = 1,
		.lookups = lookups,
		.domains = search->at,
		.ndomains = (int)search->n,
		.sock_state_cb = dns_socket_interest,
		.sock_state_cb_data = ch,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
		   ARES_OPT_NDOTS | ARES_OPT_LOOKUPS | ARES_OPT_DOMAINS | ARES_OPT_SORTLIST |
		   ARES_OPT_SERVERS | ARES_OPT_NOROTATE | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE
	/* A TTL counts while the machine sleeps, for our cache; for the one of c-ares 1.31 it does not. */
	mask |= ARES_OPT_QUERY_CACHE;
	o.qcache_max_ttl = 0;
#endif
	int status = cares.ares_init_options(&ch->ares, &o, mask);

	if (status == ARES_SUCCESS)
		cares.ares_set_socket_functions(ch->ares, &dns_socket_functions, ch);
	return status;
}

static struct dns_channel *channel_of(struct wgw_resolver *r, struct wgw_session *s)
{
	const struct stack_addr *servers;
	const struct wgw_strings *search;
	struct dns_channel *ch;
	size_t n;

	for (ch = r->channels; ch; ch = ch->next) {
		if (ch->session == s)
			return ch;
	}
	n = wgw_session_dns(s, &servers, &search);
	if (n == 0 || !(ch = calloc(1, sizeof(*ch))))
		return NULL;
	ch->resolver = r;
	ch->session = s;
	ch->timer.due = channel_due;
	ch->set = hash_set(s, servers, n, search);
	if (channel_init(ch, search) != ARES_SUCCESS) {
		free(ch);
		return NULL;
	}
	if (set_servers(ch->ares, servers, n) != ARES_SUCCESS) {
		cares.ares_destroy(ch->ares);
		free(ch);
		return NULL;
	}
	ch->next = r->channels;
	r->channels = ch;
	return ch;
}

void wgw_resolver_session_over(struct wgw_tunnel *t, struct wgw_session *s)
{
	struct dns_channel **at, *ch;

	if (!t->resolver)
		return;
	at = &t->resolver->channels;
	while (*at && (*at)->session != s)
		at = &(*at)->next;
	ch = *at;
	if (!ch)
		return;
	*at = ch->next;
	cares.ares_destroy(ch->ares); /* open questions are answered with EAI_AGAIN */
	wgw_timer_cancel(t->loop, &ch->timer);
	free(ch);
}

/* ---- results ---- */

static int eai_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return 0;
	case ARES_ENOTFOUND:
	case ARES_EBADNAME:
		return EAI_NONAME;
	case ARES_ENODATA:
		return EAI_NODATA;
	case ARES_ENOMEM:
		return EAI_MEMORY;
	case ARES_EBADFAMILY:
		return EAI_FAMILY;
	case ARES_EFORMERR:
	case ARES_EBADRESP:
	case ARES_ENOTIMP:
	case ARES_EREFUSED:
		return EAI_FAIL;
	default:
		return EAI_AGAIN;
	}
}

/** struct lookup - a wgw_resolve under way; @query.name is @name */
struct lookup {
	struct dns_channel *channel;
	struct wgw_query query;
	char name[WGW_NAME_MAX_BYTES];
	void (*done)(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n, const char *canonical,
		     uint32_t ttl_s);
	void *arg;
};

static void copy_name(char out[WGW_NAME_MAX_BYTES], const char *name)
{
	size_t len = strnlen(name, WGW_NAME_MAX_BYTES - 1);

	memcpy(out, name, len);
	out[len] = '\0';
}

static void answer_from(const struct ares_addrinfo *info, struct dns_answer *a)
{
	const struct ares_addrinfo_cname *cname = info->cnames;

	memset(a, 0, sizeof(*a));
	a->ttl_s = UINT32_MAX;
	copy_name(a->canonical, info->name ? info->name : "");
	for (; cname; cname = cname->next) {
		copy_name(a->canonical, cname->name);
		a->ttl_s = (uint32_t)cname->ttl < a->ttl_s ? (uint32_t)cname->ttl : a->ttl_s;
	}
	for (const struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
		struct sockaddr_storage ss = {0};
		struct stack_addr addr;

		if (a->n == WGW_RESOLVED_MAX || n->ai_addrlen > sizeof(ss))
			break;
		memcpy(&ss, n->ai_addr, n->ai_addrlen);
		wgw_sockaddr_to(&ss, &addr);
		memcpy(a->ip[a->n++], addr.ip, 16);
		a->ttl_s = (uint32_t)n->ai_ttl < a->ttl_s ? (uint32_t)n->ai_ttl : a->ttl_s;
	}
	if (a->ttl_s == UINT32_MAX)
		a->ttl_s = 0;
}

static void on_addrinfo(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct lookup *q = arg;
	struct dns_answer a;
	int eai = eai_of(status);

	(void)timeouts;
	if (eai == 0) {
		struct wgw_resolver *r = q->channel->resolver;

		answer_from(info, &a);
		dns_order(r->t->stack, &a);
		dns_cache_put(r->cache, q->channel->set, &q->query, wgw_clock_ns(), &a);
		q->done(q->arg, a.n ? 0 : EAI_NODATA, a.ip, a.n, a.canonical, a.ttl_s);
	} else {
		q->done(q->arg, eai, NULL, 0, NULL, 0);
	}
	cares.ares_freeaddrinfo(info);
	free(q);
}

/* ---- the host's resolver ---- */

static void on_host(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n)
{
	struct lookup *q = arg;

	q->done(q->arg, eai, ip, n, eai ? NULL : q->name, 0);
	free(q);
}

/* ---- what others call ---- */

static void no_servers(struct wgw_session *s)
{
	wgw_session_say(s, 0,
			"no name server: the file has no DNS =; use --dns ADDRESS or --dns system");
}

void wgw_resolve(struct wgw_resolver *r, struct wgw_session *s, const struct wgw_query *query,
		 void (*done)(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n,
			      const char *canonical, uint32_t ttl_s),
		 void *arg)
{
	struct ares_addrinfo_hints hints = {.ai_family = query->family, .ai_flags = ARES_AI_NOSORT};
	bool system = wgw_session_dns_is_system(s);
	struct dns_channel *ch = system ? NULL : channel_of(r, s);
	char asked[WGW_NAME_MAX_BYTES + 1];
	const struct stack_addr *servers;
	const struct wgw_strings *domains;
	const struct dns_answer *known;
	const char *name = query->name;
	struct lookup *q;
	uint32_t ttl_s;
	size_t len = strlen(name);

	if (!ch && !system) {
		bool none = wgw_session_dns(s, &servers, &domains) == 0;

		if (none)
			no_servers(s);
		done(arg, none ? EAI_AGAIN : EAI_MEMORY, NULL, 0, NULL, 0);
		return;
	}
	known = ch ? dns_cache_get(r->cache, ch->set, query, wgw_clock_ns(), &ttl_s) : NULL;
	if (known) {
		/* who asked first may have written it in another case, and a server answers as it is asked */
		done(arg, 0, known->ip, known->n,
		     strcasecmp(known->canonical, name) == 0 ? name : known->canonical, ttl_s);
		return;
	}
	if (len == 0 || len >= WGW_NAME_MAX_BYTES) {
		done(arg, EAI_NONAME, NULL, 0, NULL, 0);
		return;
	}
	q = calloc(1, sizeof(*q));
	if (!q) {
		done(arg, EAI_MEMORY, NULL, 0, NULL, 0);
		return;
	}
	*q = (struct lookup){.channel = ch, .query = *query, .done = done, .arg = arg};
	copy_name(q->name, name);
	q->query.name = q->name;
	if (system) {
		wgw_session_host_resolve(s, name, query->family, on_host, q);
		return;
	}
	memcpy(asked, name, len + 1);
	if (!query->search && asked[len - 1] != '.')
		strcpy(asked + len, "."); /* c-ares: as it is only */
	cares.ares_getaddrinfo(ch->ares, asked, NULL, &hints, on_addrinfo, q);
	dns_channel_dirty(ch);
}

/** struct reverse - a wgw_resolve_reverse under way */
struct reverse {
	void (*done)(void *arg, int eai, const char *name);
	void *arg;
};

static void on_hostent(void *arg, int status, int timeouts, struct hostent *h)
{
	struct reverse *q = arg;

	(void)timeouts;
	q->done(q->arg, eai_of(status), status == ARES_SUCCESS ? h->h_name : NULL);
	free(q);
}

void wgw_resolve_reverse(struct wgw_resolver *r, struct wgw_session *s,
			 const struct stack_addr *addr,
			 void (*done)(void *arg, int eai, const char *name), void *arg)
{
	bool v4 = stack_addr_is_v4(addr), system = wgw_session_dns_is_system(s);
	struct dns_channel *ch = system ? NULL : channel_of(r, s);
	struct reverse *q = ch ? malloc(sizeof(*q)) : NULL;

	if (!q) {
		/* The host's resolver is asked for addresses only. "No such name" is what lets
		 * getnameinfo() answer with the number. */
		done(arg, system ? EAI_NONAME : EAI_AGAIN, NULL);
		return;
	}
	*q = (struct reverse){done, arg};
	cares.ares_gethostbyaddr(ch->ares, v4 ? addr->ip + 12 : addr->ip, v4 ? 4 : 16,
				 v4 ? AF_INET : AF_INET6, on_hostent, q);
	dns_channel_dirty(ch);
}

/** struct raw - a wgw_resolve_raw under way */
struct raw {
	void (*done)(void *arg, int eai, const uint8_t *response, size_t len);
	void *arg;
};

/* A response of any code is an answer: the asker reads its code. */
static void on_raw(void *arg, int status, int timeouts, unsigned char *response, int len)
{
	struct raw *q = arg;
	bool got = response && len > 0;

	(void)timeouts;
	q->done(q->arg, got ? 0 : eai_of(status ? status : ARES_ENODATA), got ? response : NULL,
		got ? (size_t)len : 0);
	free(q);
}

void wgw_resolve_raw(struct wgw_resolver *r, struct wgw_session *s, const struct wgw_query *query,
		     void (*done)(void *arg, int eai, const uint8_t *response, size_t len),
		     void *arg)
{
	struct dns_channel *ch = wgw_session_dns_is_system(s) ? NULL : channel_of(r, s);
	struct raw *q = ch ? malloc(sizeof(*q)) : NULL;

	if (!q) {
		done(arg, EAI_AGAIN, NULL, 0);
		return;
	}
	*q = (struct raw){done, arg};
	(query->search ? cares.ares_search : cares.ares_query)(ch->ares, query->name, query->class_,
							       query->type, on_raw, q);
	dns_channel_dirty(ch);
}

/* false: errno */
static bool load_cares(void)
{
	static const struct wg_symbol symbols[] = {
#define F(name) {#name, &cares.name},
		DNS_CARES_FUNCTIONS(F)
#undef F
			{NULL, NULL},
	};

	errno = ELIBACC;
	return wg_library_load(SONAME_cares, symbols);
}

struct wgw_resolver *wgw_resolver_new(struct wgw_tunnel *t)
{
	struct wgw_resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->t = t;
	r->cache = dns_cache_new();
	if (!r->cache || !load_cares() ||
	    cares.ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(r->cache);
		free(r);
		return NULL;
	}
	r->before.run = run_channels;
	wgw_loop_before(t->loop, &r->before);
	return r;
}
