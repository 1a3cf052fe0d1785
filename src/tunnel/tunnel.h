/* SPDX-License-Identifier: MIT */
/*
 * tunnel.h - the tunnel process: what starts it and what its parts share
 */
#ifndef SRC_TUNNEL_TUNNEL_H
#define SRC_TUNNEL_TUNNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/loop.h"
#include "src/config/config.h"
#include "src/repr/wire.h"
#include "stack/stack.h"
#include "wg/wg.h"

/* ---- what the front uses ---- */

enum { WGW_ENDPOINTS_MAX = 8, WGW_RENDEZVOUS_BACKLOG = 4096 };

/**
 * struct wgw_tunnel_boot - everything a tunnel process starts from
 * @config:	The file; the tunnel process keeps it (it is a fork)
 * @settings:	wgw_settings_text() of it
 * @mtu:	Inner MTU in bytes, decided
 * @endpoints:	Resolved addresses per peer (index as config->peers), in the order to try
 * @n_endpoints: How many of them, per peer
 * @family:	Of the addresses that the peers' names may have: AF_INET, AF_INET6, AF_UNSPEC
 * @listen_port: UDP port, 0: any
 * @stream, @sequenced: listening AF_UNIX sockets by path, and by abstract name
 * @uapi:	Listening stream socket for the cross-platform UAPI; 0 or -1: none
 * @abstract:	The random part of that name
 * @ready:	Written once: a byte 0 when the process is up, or an error sentence; then closed
 * @pcap:	Descriptor for inner packets in pcap format, or -1
 * @linger_ms:	How long it stays without a session; UINT32_MAX: for ever
 */
struct wgw_tunnel_boot {
	const struct wgw_config *config;
	const char *settings;
	uint16_t mtu;
	struct wg_endpoint (*endpoints)[WGW_ENDPOINTS_MAX];
	uint8_t *n_endpoints;
	int family;
	uint16_t listen_port;
	int stream[2], sequenced[2];
	int uapi;
	uint8_t abstract[WGW_ABSTRACT_BYTES];
	int ready;
	int pcap;
	uint32_t linger_ms;
};

/* Runs the tunnel process in the calling (forked, already detached) process. Does not return. */
_Noreturn void wgw_tunnel_main(const struct wgw_tunnel_boot *boot);

/* The tunnel-wide settings as sorted lines, one fact each; secrets appear as keyed hashes only.
 * malloc'ed. @mtu and @listen_port as decided. */
char *wgw_settings_text(const struct wgw_config *config, uint16_t mtu, uint16_t listen_port);
/* Writes lines that are in one of two such texts only: "- " running, "+ " theirs. Returns their
 * number, also of those that found no @room. */
unsigned int wgw_settings_differ(const char *running, const char *theirs, char *out, size_t room);

/* ---- what its parts share ---- */

struct wgw_session;
struct wgw_outer;   /* outer.c: UDP sockets towards the peers */
struct wgw_sockets; /* sockets.c: rendezvous and all application sockets */
struct wgw_resolver;
struct wgw_proxy; /* src/proxy */
struct wgw_tunnel;
struct wgw_channel_msg;

/**
 * struct wgw_proxy_hooks - what session.c and client.c call of src/proxy
 * @message:	A message of the session that client.c does not know; descriptors that are kept are
 *		set to -1. false: not understood
 * @over:	The session is over: its listeners and clients end
 */
struct wgw_proxy_hooks {
	bool (*message)(struct wgw_tunnel *t, struct wgw_session *s,
			const struct wgw_channel_msg *msg, int *fds, unsigned int n_fds);
	void (*over)(struct wgw_tunnel *t, struct wgw_session *s);
};

/**
 * struct wgw_tunnel - what all parts see
 * @sessions:	List
 * @changes:	How often it was configured anew: an earlier decision of policy may be wrong by now
 * @proxy_hooks: NULL: no proxies
 */
struct wgw_tunnel {
	struct wgw_loop *loop;
	const struct wgw_tunnel_boot *boot;
	struct wg_device *wg;
	struct stack *stack;
	struct wgw_outer *outer;
	struct wgw_sockets *sockets;
	struct wgw_resolver *resolver;
	struct wgw_session *sessions;
	unsigned int changes;
	struct wgw_proxy *proxy;
	const struct wgw_proxy_hooks *proxy_hooks;
};

/* Where a destination goes. */
enum wgw_route {
	WGW_ROUTE_TUNNEL,
	WGW_ROUTE_DIRECT,  /* relayed over a kernel socket of the tunnel process */
	WGW_ROUTE_REFUSED, /* ENETUNREACH, said once per address */
};

/* ---- session.c ---- */

/* The session whose programs carry @token (WGW_TOKEN_BYTES), NULL: there is none. Compared in
 * constant time. */
struct wgw_session *wgw_session_by_token(struct wgw_tunnel *t, const uint8_t *token);
/* Says, once, that a program of the session with @token speaks another @version. */
void wgw_session_say_version(struct wgw_tunnel *t, const uint8_t *token, unsigned int version);
const uint8_t *wgw_session_label_key(const struct wgw_session *s);
const struct wgw_preambles *wgw_session_preambles(const struct wgw_session *s);
/* Decides for @to in @protocol (IPPROTO_TCP, _UDP, _ICMP; 0: whichever). Port 53 of a system
 * resolver's address is rewritten to a tunnel name server in *@to. A refusal is said to the user,
 * with the option that allows it, once per address. */
enum wgw_route wgw_session_route(struct wgw_session *s, struct stack_addr *to, uint8_t protocol);
/* The same; a refusal is not said. */
enum wgw_route wgw_session_route_quiet(struct wgw_session *s, struct stack_addr *to,
				       uint8_t protocol);
/* Whether programs that are outside of the tunnel by the user's lists go directly. */
bool wgw_session_has_apps(const struct wgw_session *s);
/* One line for the user of this session; @level 0 error, 1 warning, 2 info. */
void wgw_session_say(struct wgw_session *s, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Something of the session (connection, listener, socket) exists; the session outlives it. */
void wgw_session_get(struct wgw_session *s);
void wgw_session_put(struct wgw_session *s);
/* Outgoing bytes that a program has written and the peer has not acknowledged: FLUSH waits
 * until all counts are back to zero. @lost: put them down as not deliverable. */
void wgw_session_unsent_begin(struct wgw_session *s);
void wgw_session_unsent_end(struct wgw_session *s, uint64_t lost_bytes);
/* Asks the supervisor which of @inodes its processes still hold. @done gets one bit each (1:
 * held, or unknown because the supervisor is gone or may not look). At most WGW_CH_SCAN_MAX of
 * them; @done runs inside when there is nobody to ask. */
void wgw_session_scan(struct wgw_session *s, const uint64_t *inodes, unsigned int n,
		      void (*done)(void *arg, const uint64_t *held), void *arg);
/* A listener of the session, for its supervisor to keep. @path: O_PATH descriptor, not taken over;
 * -1: it is gone (only @l->cookie counts). Without effect when there is nobody to tell. */
struct wgw_ch_listener;
void wgw_session_listener(struct wgw_session *s, const struct wgw_ch_listener *l, int path);
/* DNS as this session wants it. */
bool wgw_session_dns_is_system(const struct wgw_session *s);
/* Asks the supervisor for the host resolver's answer; @done gets EAI_* and addresses. It runs
 * inside when there is nobody to ask. */
void wgw_session_host_resolve(struct wgw_session *s, const char *name, int family,
			      void (*done)(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n),
			      void *arg);
size_t wgw_session_dns(const struct wgw_session *s, const struct stack_addr **servers,
		       const struct wgw_strings **search);
/* A new SEQPACKET connection whose first message is a channel message: takes over @fd. */
void wgw_session_adopt(struct wgw_tunnel *t, int fd);

/* ---- sockets.c ---- */

/* Starts accepting on the rendezvous. Returns 0 or -errno. */
int wgw_sockets_init(struct wgw_tunnel *t);
/* True while something an application wrote is not delivered, or an application socket is open. */
bool wgw_sockets_busy(const struct wgw_tunnel *t);
/* The session's supervisor is gone: nothing new, listeners closed, the rest runs out. */
void wgw_sockets_session_over(struct wgw_tunnel *t, struct wgw_session *s);
/* A session waits until the peers have all that its programs wrote: it is looked after more often. */
void wgw_sockets_hurry(struct wgw_tunnel *t);
/* A listener that the tunnel process before this one had. @path: O_PATH descriptor, taken over. */
void wgw_sockets_listen_again(struct wgw_tunnel *t, struct wgw_session *s,
			      const struct wgw_ch_listener *l, int path);

/* ---- resolver.c ---- */

/* Loads c-ares, so while files can be opened. NULL: errno. */
struct wgw_resolver *wgw_resolver_new(struct wgw_tunnel *t);
/**
 * struct wgw_query - a name, and what is asked about it
 * @name:	Borrowed for the call
 * @search:	With the session's search domains, until one has an answer
 * @family:	For wgw_resolve: AF_INET, AF_INET6, or AF_UNSPEC: either
 * @class_, @type: For wgw_resolve_raw: of the records (RFC 1035 3.2), host order
 */
struct wgw_query {
	const char *name;
	bool search;
	int family;
	uint16_t class_, type;
};

/* Looks addresses up through the tunnel (or the host) as the session wants. @done, which may run
 * inside, gets an EAI_* code (0: ok), addresses in the order to try, the canonical name and the
 * lowest TTL in s; what they point to is valid while it runs. */
void wgw_resolve(struct wgw_resolver *r, struct wgw_session *s, const struct wgw_query *query,
		 void (*done)(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n,
			      const char *canonical, uint32_t ttl_s),
		 void *arg);
/* Looks the name of an address up. @done gets an EAI_* code and the name. */
void wgw_resolve_reverse(struct wgw_resolver *r, struct wgw_session *s,
			 const struct stack_addr *addr,
			 void (*done)(void *arg, int eai, const char *name), void *arg);
/* Asks for records of any type; @done gets the whole response, of any code. */
void wgw_resolve_raw(struct wgw_resolver *r, struct wgw_session *s, const struct wgw_query *query,
		     void (*done)(void *arg, int eai, const uint8_t *response, size_t len),
		     void *arg);
/* The session's questions are answered with EAI_AGAIN and its channel is closed. */
void wgw_resolver_session_over(struct wgw_tunnel *t, struct wgw_session *s);

#endif
