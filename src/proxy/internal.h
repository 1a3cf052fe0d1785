/* SPDX-License-Identifier: MIT */
/*
 * internal.h - what the files of the tunnel process's proxies share
 *
 * Layers, top down: service.c (listeners of a session), client.c (one accepted connection), the
 * protocols spoken on it (socks_server.c, http_server.c), dial.c (from a destination to a
 * connection), far.c (a connection in the tunnel, or beside it where --direct allows that), join.c
 * (hands both over to the pump of src/tunnel).
 *
 * As in src/tunnel, callbacks of the loop, the stack and the resolver note what happened and queue
 * the object's job; the work is done in jobs, and objects are freed there.
 */
#ifndef SRC_PROXY_INTERNAL_H
#define SRC_PROXY_INTERNAL_H

#include "src/proxy/proxy.h"
#include "src/proxy/target.h"
#include "src/tunnel/core.h"
#include "src/tunnel/end.h"
#include "src/tunnel/sockets.h"

/* Limits; what is one past them waits or is refused. */
enum {
	PROXY_HANDSHAKE_MS = 10000,	  /* for a request to be whole */
	PROXY_CONNECT_MS = 30000,	  /* default of a connect */
	PROXY_STAGGER_MS = 250,		  /* RFC 8305 section 5 */
	PROXY_CANDIDATES_MAX = 8,	  /* addresses of one name that are tried */
	PROXY_UNKNOWN_MAX = 1024,	  /* connections of a listener without a whole request */
	PROXY_PATIENCE_MS = 1000,	  /* then it may have to give way to a new one */
	PROXY_HEAD_MAX_BYTES = 64 * 1024, /* of a request, or an HTTP response's head */
	PROXY_OUT_BYTES = 1024,		  /* replies that wait for room */
	PROXY_BIND_MS = 120000,		  /* BIND waits so long for its connection */
	PROXY_BAD_USER_MS = 300,	  /* before a wrong password is answered */
	PROXY_ACCEPT_PAUSE_MS = 50,
	PROXY_ACCEPT_TURN = 256, /* connections of a listener before others have their turn */
	PROXY_STOP_EVERY_MS = 50,
	PROXY_UDP_IDLE_S = 300,		    /* of an association */
	PROXY_UDP_WAITING_MAX = 32,	    /* datagrams of an association whose name is resolved */
	PROXY_UDP_SENDERS_MAX = 1024,	    /* of a forward; the oldest is forgotten */
	PROXY_WINNERS = 256,		    /* names whose good address is remembered */
	PROXY_TAIL_MAX_BYTES = 1024 * 1024, /* kept of a connection that has ended */
};

/* ---- how a connect ends ---- */

enum proxy_result {
	PROXY_OK,
	PROXY_REFUSED,	 /* RST */
	PROXY_RESET,	 /* after it was there */
	PROXY_TIMEOUT,	 /* nobody answers */
	PROXY_DOWN,	 /* the same, and no peer has a session */
	PROXY_NO_HOST,	 /* ICMP host unreachable */
	PROXY_NO_ROUTE,	 /* in no AllowedIPs, or no tunnel address of the family */
	PROXY_FORBIDDEN, /* loopback, link-local, multicast */
	PROXY_NO_NAME,	 /* the name has no address */
	PROXY_NO_DNS,	 /* the name servers do not answer */
	PROXY_LIMIT,	 /* memory, descriptors, ports */
	PROXY_RESULTS,
};

/* A clause for logs and error pages. */
const char *proxy_result_text(enum proxy_result r);
enum proxy_result proxy_result_of(const struct wgw_tunnel *t, int err);
/* Of a resolver's answer without addresses; 0: there are none. */
enum proxy_result proxy_result_of_eai(int eai);

/* ---- far.c: a connection to a destination ---- */

enum proxy_far_state {
	PROXY_FAR_CONNECTING,
	PROXY_FAR_OPEN,
	PROXY_FAR_OVER, /* @err; what was received before can still be read */
};

/**
 * struct proxy_far - a connection
 * @flow:	Of the stack, or NULL
 * @watch:	Kernel socket (direct destinations), fd -1: none
 * @full:	The last write found no room
 * @changed:	Called with @arg when there is news; notes it only
 * @tail:	What @flow had received when it ended
 */
struct proxy_far {
	struct wgw_tunnel *t;
	enum proxy_far_state state;
	struct flow *flow;
	struct wgw_watch watch;
	struct stack_addr local, remote;
	int err;
	bool full;
	void (*changed)(void *arg);
	void *arg;
	uint8_t *tail;
	size_t tail_at, tail_len;
};

/* Starts connecting to @to: over the stack, @direct by a kernel socket, at the tunnel's own
 * addresses to a wrapped program's listener. NULL and *err (errno). */
struct proxy_far *proxy_far_connect(struct wgw_session *session, const struct stack_addr *to,
				    bool direct, uint32_t timeout_ms, void (*changed)(void *arg),
				    void *arg, int *err);
/* Owns @f, which a listener accepted (inside its accept callback). NULL: no memory, @f aborted. */
struct proxy_far *proxy_far_accepted(struct wgw_tunnel *t, struct flow *f,
				     void (*changed)(void *arg), void *arg);
void proxy_far_set_owner(struct proxy_far *far, void (*changed)(void *arg), void *arg);
/* Bytes read into @buf; 0 with *fin set: the end. */
size_t proxy_far_read(struct proxy_far *far, void *buf, size_t max, bool *fin);
/* Bytes taken. */
size_t proxy_far_write(struct proxy_far *far, const void *buf, size_t len);
/* Frees it but for its kernel socket, which is returned (or -1). */
int proxy_far_release(struct proxy_far *far);
/* Frees it; @reset: RST, else what was written is still delivered. NULL is allowed. */
void proxy_far_free(struct proxy_far *far, bool reset);

/* ---- dial.c: from a destination to a connection ---- */

/**
 * struct proxy_dial_options
 * @family:	AF_INET, AF_INET6 or AF_UNSPEC
 * @first:	The family whose addresses are tried first, AF_UNSPEC: as the resolver has them
 * @connect_ms:	For all of it
 * @host:	The destination is one of this host, named by the user: kernel sockets only
 */
struct proxy_dial_options {
	int family, first;
	uint32_t connect_ms;
	bool host;
};

struct proxy_dial;
/* Resolves, chooses and connects for @session. @done is called later, once, never inside: with a
 * connection that it owns, or a result. NULL: no memory. */
struct proxy_dial *proxy_dial(struct wgw_session *session, const struct proxy_target *to,
			      const struct proxy_dial_options *options,
			      void (*done)(void *arg, enum proxy_result r, struct proxy_far *far),
			      void *arg);
/* @done will not be called. */
void proxy_dial_cancel(struct proxy_dial *d);
/* Whether and where @to may be reached by a client of a proxy. PROXY_OK and *direct, or why not.
 * @quiet: the user is not told of a refusal. */
enum proxy_result proxy_route(struct wgw_session *session, struct stack_addr *to, uint8_t protocol,
			      bool quiet, bool *direct);

/* ---- service.c: listeners ---- */

struct proxy_remembered {
	uint64_t name; /* keyed hash */
	uint8_t ip[16];
};

/** struct wgw_proxy - all proxies of the tunnel process */
struct wgw_proxy {
	struct wgw_tunnel *t;
	struct wgw_link services, clients, remotes;
	uint8_t hash_key[16];
	struct proxy_remembered winners[PROXY_WINNERS];
};

/**
 * struct proxy_service - a listener of a session
 * @refs:	The list of services, and clients
 * @watch:	Its listening or UDP socket; fd -1: closed, or none
 * @unheard:	Its clients without a whole request, the oldest first; @unknown of them
 * @handed:	@watch.fd brings connections that the TLS process has accepted (handed.h)
 * @diag:	Tells whose a client on loopback is (peer.h), -1: everybody may
 * @uid_warned_at, @user_warned_at: when the user was told of a refused user of this host, of a
 *		wrong password
 * @listener:	Of -R, else NULL
 * @forward:	Of datagrams, else NULL
 */
struct proxy_service {
	struct wgw_link link;
	struct wgw_proxy *proxy;
	struct wgw_session *session;
	unsigned int refs, unknown;
	struct wgw_link unheard;
	enum wgw_proxy_kind kind;
	struct wgw_watch watch;
	bool handed;
	struct wgw_timer pause;
	int diag;
	uint64_t uid_warned_at, user_warned_at;
	struct flow_listener *listener;
	struct proxy_udp_forward *forward;
	struct proxy_target target;
	struct proxy_dial_options dial;
	struct proxy_users users;
	uint32_t idle_s;
	uint32_t id;
};

/* Counts a user of @v; the last put frees it. */
void proxy_service_get(struct proxy_service *v);
void proxy_service_put(struct proxy_service *v);
/* A line for the user about one connection. @level as wgw_session_say. */
void proxy_say_result(struct proxy_service *v, const char *from, const struct proxy_target *to,
		      enum proxy_result r);

/* ---- client.c: an accepted connection before it is joined ---- */

struct proxy_client;

/** struct proxy_protocol - what is spoken on a connection
 * @run:	Called in the client's job: bytes or the end arrived, or time is up
 * @dialled:	The connect that was asked for has ended; it owns @far
 * @free:	Frees @state
 */
struct proxy_protocol {
	void (*run)(struct proxy_client *c);
	void (*dialled)(struct proxy_client *c, enum proxy_result r, struct proxy_far *far);
	void (*free)(struct proxy_client *c);
};

/**
 * struct proxy_client - one connection of a client
 * @end:	Its socket; keeps when the other end is one of our own processes
 * @tls:	That is the TLS process: what the client sends is encrypted on its way
 * @in:		What was read and not yet used, @in_len bytes
 * @in_end:	Its end of file was seen, after @in
 * @out:	Replies that wait for room
 * @closing:	Is closed once @out is written
 * @known:	Its request was whole; @unheard: else its place among those that wait, since
 *		@since_ns
 * @late:	The timer has run; @delayed: it is the protocol's
 * @state:	The protocol's own
 */
struct proxy_client {
	struct wgw_link link, unheard;
	uint64_t since_ns;
	struct proxy_service *service;
	struct wgw_end end;
	struct wgw_job job;
	struct wgw_timer timer;
	struct stack_addr peer;
	bool unix_peer, tls;
	uint8_t *in;
	size_t in_len, in_cap, in_max;
	bool in_end, out_full, closing, known, late, delayed, broken, dead, readable;
	uint8_t out[PROXY_OUT_BYTES];
	size_t out_at, out_len;
	const struct proxy_protocol *protocol;
	void *state;
	struct proxy_dial *dial;
	struct proxy_target target;
};

/* Takes @fd over, a client's socket. */
void proxy_client_new(struct proxy_service *v, int fd, const struct proxy_protocol *protocol);
/* The same of a socket whose other end is our own process's, with a keeper in both queues; @from:
 * the client behind the TLS process, NULL: it is our own front. */
void proxy_client_own(struct proxy_service *v, int fd, const struct proxy_protocol *protocol,
		      const struct stack_addr *from);
void proxy_client_kick(struct proxy_client *c);
/* Drops the first @n bytes of @in. */
void proxy_client_consume(struct proxy_client *c, size_t n);
/* Sends a reply. A client that does not read its replies is dropped. */
void proxy_client_reply(struct proxy_client *c, const void *bytes, size_t n);
/* Writes now what there is room for, behind all replies. Bytes taken. */
size_t proxy_client_write(struct proxy_client *c, const void *bytes, size_t n);
/* Closes after the replies were written. */
void proxy_client_finish(struct proxy_client *c);
/* Closes at once. @reset: with RST. */
void proxy_client_drop(struct proxy_client *c, bool reset);
/* Runs the protocol again after @ms, with @late set. */
void proxy_client_delay(struct proxy_client *c, uint32_t ms);
/* That is over: the time for a request begins anew. */
void proxy_client_undelay(struct proxy_client *c);
/* The one that @v has waited for the longest, when it has had its time; or NULL. */
struct proxy_client *proxy_client_spare(struct proxy_service *v);
/* Drops @c, for which there is no room any more. */
void proxy_client_give_way(struct proxy_client *c);
/* The request is whole: no time limit any more. */
void proxy_client_known(struct proxy_client *c);
/* Connects to c->target; the protocol's dialled() is told. */
void proxy_client_dial(struct proxy_client *c);
/* From now on bytes are pumped between the client and @far. Frees @c, owns @far. */
void proxy_client_join(struct proxy_client *c, struct proxy_far *far);
/* Tells the user of a wrong user name or password. */
void proxy_client_wrong_user(struct proxy_client *c);

extern const struct proxy_protocol proxy_socks, proxy_http, proxy_sni;

/* ---- remote.c: -R ---- */

/* Listens in the tunnel. 0 or errno. */
int proxy_remote_start(struct proxy_service *v, const struct stack_addr *at);
/* Whose @l, an element of wgw_proxy.remotes, is. */
const struct wgw_session *proxy_remote_session(const struct wgw_link *l);
void proxy_remote_session_over(struct wgw_proxy *p, const struct wgw_session *s);

/* ---- udp_assoc.c: UDP ASSOCIATE of SOCKS 5 ---- */

struct proxy_assoc;
/* For the client behind @c, who wants to send from port @from->port (0: not said). *@bound: where
 * to. NULL and *err (errno). It ends with @c, in whose protocol's free() it is freed. */
struct proxy_assoc *proxy_assoc_new(struct proxy_client *c, const struct stack_addr *from,
				    struct stack_addr *bound, int *err);
void proxy_assoc_free(struct proxy_assoc *a);

/* ---- udp_forward.c: datagrams to one destination ---- */

/* @at: where to listen in the tunnel (REMOTE_UDP). 0 or errno. */
int proxy_udp_start(struct proxy_service *v, const struct stack_addr *at);
void proxy_udp_stop(struct proxy_service *v);

/* ---- join.c ---- */

/* Connects to a wrapped program's listener at @to, one of the tunnel's own addresses. Returns 0,
 * *local and *fd, a socket whose other end is pumped; or errno. */
int proxy_own(struct wgw_session *session, const struct stack_addr *to, struct stack_addr *local,
	      int *fd);
/**
 * struct proxy_near - the client's end of what is pumped
 * @fd:		A socket
 * @keeps:	The other end of it is our own process's
 * @stale:	Bytes at the head of its queue that were read already (peeked at), or the keeper; 0
 *		when more waits than was read
 * @lent:	It ends with the session
 */
struct proxy_near {
	int fd;
	bool keeps;
	size_t stale;
	bool lent;
};

/* Pumps between @near and @far; what is @early was read of @near and goes to @far first. Takes fd
 * and @far over, also when it fails. 0 or errno. */
int proxy_join(struct wgw_session *session, const struct proxy_near *near, struct proxy_far *far,
	       const void *early, size_t early_len);

#endif
