/* SPDX-License-Identifier: MIT */
/* resolver.h - what the files of the resolver share */
#ifndef SRC_TUNNEL_RESOLVER_H
#define SRC_TUNNEL_RESOLVER_H

/* From 1.28 on c-ares calls deprecated what 1.18, which Debian 12 has, knows no other name for. */
#define CARES_NO_DEPRECATED
#include <ares.h>

#include "src/base/loop.h"
#include "src/tunnel/tunnel.h"

enum {
	DNS_SERVERS_MAX = 16,  /* of a session; more are not asked */
	DNS_TIMEOUT_MS = 2000, /* first try; c-ares doubles it */
	DNS_TRIES = 3,
	DNS_EDNS_BYTES = 1232, /* fits the smallest IPv6 path, dnsflagday.net/2020 */
	DNS_SOCKETS_MAX = 64,  /* of one session's channel */
	DNS_QUEUED_MAX = 64,   /* datagrams of one socket that wait for c-ares */
	DNS_CACHE_SLOTS = 1024,
	DNS_CACHE_TTL_MAX_S = 300,
};

/** struct dns_answer - addresses of a name, in the order to try */
struct dns_answer {
	uint32_t n, ttl_s;
	char canonical[WGW_NAME_MAX_BYTES];
	uint8_t ip[WGW_RESOLVED_MAX][16];
};

/* c-ares is loaded by the process that resolves, and by no other (wg/library.h): functions are
 * called as cares.ares_query(...). */
#define DNS_CARES_FUNCTIONS(F)                                                                     \
	F(ares_destroy)                                                                            \
	F(ares_freeaddrinfo)                                                                       \
	F(ares_getaddrinfo)                                                                        \
	F(ares_gethostbyaddr)                                                                      \
	F(ares_init_options)                                                                       \
	F(ares_library_init)                                                                       \
	F(ares_process_fd)                                                                         \
	F(ares_query)                                                                              \
	F(ares_search)                                                                             \
	F(ares_set_servers_ports)                                                                  \
	F(ares_set_socket_functions)                                                               \
	F(ares_timeout)

struct dns_cares {
#define F(name) __typeof__(name) *name;
	DNS_CARES_FUNCTIONS(F)
#undef F
};

extern struct dns_cares cares;

struct dns_socket;

/** struct wgw_resolver - all channels of the process */
struct wgw_resolver {
	struct wgw_tunnel *t;
	struct dns_channel *channels;
	struct dns_cache *cache;
	struct wgw_before before;
	bool dirty;
};

/**
 * struct dns_channel - one session's c-ares channel and the sockets under it
 * @set:	Hash of servers, the ways to them and search domains: sessions with the same one
 *		share answers
 * @dirty:	Something arrived, or a timeout is due
 */
struct dns_channel {
	struct dns_channel *next;
	struct wgw_resolver *resolver;
	struct wgw_session *session;
	ares_channel ares;
	uint64_t set;
	struct dns_socket *sockets;
	unsigned int n_sockets;
	struct wgw_timer timer;
	bool dirty, timeout;
};

/* ---- resolver_io.c: sockets for c-ares ---- */

extern const struct ares_socket_functions dns_socket_functions; /* user data: dns_channel */
/* c-ares's ares_sock_state_cb: what it wants to hear of @fd; @arg: dns_channel. */
void dns_socket_interest(void *arg, ares_socket_t fd, int readable, int writable);
/* Lets c-ares work on all that is ready. */
void dns_channel_process(struct dns_channel *ch);
void dns_channel_dirty(struct dns_channel *ch);

/* ---- resolver_order.c ---- */

/* Sorts by the rules of RFC 6724 that an address list alone can decide. */
void dns_order(const struct stack *stack, struct dns_answer *answer);

/* ---- resolver_cache.c ---- */

struct dns_cache;

/* NULL without memory. */
struct dns_cache *dns_cache_new(void);
/* The answer to @query among sessions of the same @set (dns_channel), or NULL; *ttl_s: how long it
 * will be one. It is the cache's, until the next dns_cache_put(). */
const struct dns_answer *dns_cache_get(struct dns_cache *c, uint64_t set,
				       const struct wgw_query *query, uint64_t now_ns,
				       uint32_t *ttl_s);
/* Keeps a copy of @answer for as long as its TTL says, if it has addresses. */
void dns_cache_put(struct dns_cache *c, uint64_t set, const struct wgw_query *query,
		   uint64_t now_ns, const struct dns_answer *answer);

#endif
