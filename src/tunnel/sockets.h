/* SPDX-License-Identifier: MIT */
/*
 * sockets.h - the sockets of applications: what all their kinds share
 *
 * Layers, top down: sockets.c (rendezvous, who is unknown, per-session limits, table by cookie,
 * jobs) and op.c (operations); below them the kinds: tcp.h (connections), listen.h (listeners),
 * udp.h (datagram sockets), keep.h (what is not yet any of these); below connections end.h (our end
 * of an application's stream).
 *
 * Nothing is done inside the callbacks of the loop and the stack but noting what happened and
 * queueing the object's job. Jobs run once per turn of the loop, before it sleeps: so each object
 * is served once a turn however many events it had, and it is freed in its job and nowhere else.
 */
#ifndef SRC_TUNNEL_SOCKETS_H
#define SRC_TUNNEL_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "src/base/list.h"
#include "src/base/loop.h"
#include "src/repr/wire.h"
#include "src/tunnel/tunnel.h"
#include "stack/stack.h"

/* Limits. "session" is one invocation of wgwrap; what is one past a limit fails with ENOBUFS. */
enum {
	/* a connection that has not shown its token by then is dropped: more than who is kept from
	 * running, or stopped, takes between two calls */
	WGW_FIRST_MESSAGE_MS = 10000,
	WGW_UNKNOWN_OWN_MAX = 16384, /* such connections of our own uid */
	WGW_UNKNOWN_OTHER_MAX = 64,  /* of each other uid */
	WGW_UNKNOWN_UIDS_MAX = 64,   /* other uids with such connections */
	WGW_CONNS_MAX = 32768,	     /* per session: TCP connections, */
	WGW_DGRAMS_MAX = 8192,	     /* UDP and ping sockets, */
	WGW_LISTENERS_MAX = 1024,    /* listeners, */
	WGW_KEPT_MAX = 16384,	     /* sockets with an address or options before they connect, */
	WGW_OPS_MAX = 2048,	     /* operations under way */
	WGW_UDP_CONNECT_MS = 5000,   /* longest WGW_OP_UDP_CONNECT */
	WGW_KEPT_OPTIONS_MAX = 24,   /* options of one socket */
	WGW_KEPT_OPTION_BYTES = 64,  /* longest value that is kept */
	WGW_ACCEPT_PAUSE_MS = 50,    /* after accept4 failed for want of descriptors */
	WGW_STARVED_SAY_S = 10,	     /* that there are none is said again after so long a pause */
	WGW_DESCRIPTORS_SPARE = 32,  /* kept free for what accepted connections bring with them */
	WGW_FILLED_FIRST_US = 250,   /* first wait for WGW_TAG_FILLED; doubled up to: */
	WGW_FILLED_LAST_MS = 100,
	WGW_ABANDONED_AFTER_MS = 1000, /* age at which a pending connect is looked for */
	WGW_ABANDONED_EVERY_MS = 400,
	WGW_ABANDONED_MISSES = 2,
	WGW_KEPT_SCAN_MS = 2000,
	WGW_PUMP_BYTES = 256 * 1024, /* one connection's share of a turn, each way */
	WGW_TAIL_MAX_BYTES =
		16 * 1024 * 1024, /* kept for a slow reader after its connection ended, */
	WGW_TAILS_MAX_BYTES = 32 * 1024 * 1024, /* and for all of a session */
	WGW_PORT_BUCKETS = 256,
	WGW_LISTENER_PROBE_MS = 1000, /* how soon a closed listener is noticed; in the tunnel */
	WGW_LISTENER_PROBE_LAST_MS = 32000, /* it is doubled up to this while none changes */
	WGW_BACKLOG_RETRY_MS = 5,	    /* first wait for a full backlog; doubled up to: */
	WGW_BACKLOG_RETRY_LAST_MS = 80,	    /* of a listener, with all that wait for it */
	WGW_SYN_RETRY_MS = 1000, /* of each connect on this machine, as Linux's first SYN again */
	WGW_BACKLOG_MS = 60000,	 /* and given up after */
	WGW_BACKLOG_WAITING_MAX = 8192, /* connections that wait for one backlog */
};

/* ---- jobs ---- */

/** struct wgw_job - work to be done before the loop sleeps; queued at most once */
struct wgw_job {
	void (*run)(struct wgw_job *j);
	struct wgw_job *next;
	bool queued;
};

/* ---- what belongs to one session ---- */

/** struct wgw_quota - what one session has open, @total counts all of it; @tail_bytes: of its
 * connections' tails */
struct wgw_quota {
	struct wgw_session *session;
	struct wgw_quota *next;
	unsigned int conns, dgrams, listeners, kept, ops;
	unsigned int total;
	size_t tail_bytes;
	unsigned int scanning; /* questions about inodes that are not answered */
	uint64_t starved_next; /* when it is told again that there are no descriptors */
	bool over;
};

/* ---- sockets by cookie ---- */

enum wgw_role {
	WGW_ROLE_KEPT,	   /* has an address or options, nothing else yet */
	WGW_ROLE_CONN,	   /* struct wgw_conn */
	WGW_ROLE_LISTENER, /* struct wgw_listener */
	WGW_ROLE_DGRAM,	   /* struct wgw_dgram_sock */
};

/** struct wgw_option - a value as setsockopt got it */
struct wgw_option {
	int32_t level, name;
	uint32_t len;
	uint8_t value[WGW_KEPT_OPTION_BYTES];
	struct wgw_option *next;
};

/**
 * struct wgw_sock - one application socket, whatever its role
 * @cookie:	Its SO_COOKIE; 0: not known, not in the table
 * @inode:	Its inode; 0: not known
 * @quota:	Its session, counted in one of the quota's fields (@counted)
 * @misses:	How often in a row no process held it
 * @options:	What the program set, at most WGW_KEPT_OPTIONS_MAX
 */
struct wgw_sock {
	enum wgw_role role;
	uint64_t cookie, inode;
	struct wgw_quota *quota;
	unsigned int *counted;
	unsigned int misses;
	struct wgw_sock *hash_next;
	struct wgw_option *options;
};

struct wgw_acceptor {
	struct wgw_watch watch;
	struct wgw_sockets *sockets;
	bool stream;
};

/** struct wgw_unknown - connections of one other uid that have not shown a token */
struct wgw_unknown {
	uint32_t uid;
	unsigned int n;
};

struct wgw_sockets {
	struct wgw_tunnel *t;
	struct wgw_acceptor acceptors[4];
	bool accept_paused;
	/* given up for a conversation without descriptors, and what it brings; or -1 */
	int spare[2];
	struct wgw_timer accept_timer;
	struct wgw_before before;
	struct wgw_job *jobs, **jobs_tail;
	size_t n_jobs;
	struct wgw_quota *quotas;
	struct wgw_sock **table;
	size_t table_size, table_n;
	rlim_t descriptors_max;
	uint32_t own_uid;
	unsigned int unknown_own;
	struct wgw_unknown unknown[WGW_UNKNOWN_UIDS_MAX];
	unsigned int open;	 /* conns, dgrams and listeners of all sessions */
	struct wgw_link ops;	 /* operations that wait for their first message */
	struct wgw_link pending; /* connects whose outcome is open, oldest first */
	struct wgw_timer abandoned;
	struct wgw_link unsent; /* connections with unacknowledged bytes */
	struct wgw_timer unsent_timer;
	uint64_t hurry_ns; /* when a session last began to wait for that list */
	struct wgw_link dgrams, kept, conns;
	struct wgw_link mute;			     /* datagram sockets that are shut both ways */
	struct wgw_link listeners[WGW_PORT_BUCKETS]; /* by port */
	struct wgw_link dgram_ports[WGW_PORT_BUCKETS];
	struct wgw_link bound_ports[WGW_PORT_BUCKETS];	   /* wgw_kept.by_port */
	struct wgw_link connected_ports[WGW_PORT_BUCKETS]; /* wgw_conn.by_port */
	struct wgw_timer listener_timer;
	uint32_t listener_wait_ms; /* its last time */
	uint64_t kept_next;	   /* when what is kept is next looked through */
	int probe;		   /* finds out whether a listener is alive; see listen.c */
};

/* ---- sockets.c ---- */

/* Queues @j once: it runs before the loop sleeps. */
void wgw_job_queue(struct wgw_sockets *s, struct wgw_job *j);
/* The quota of @session, made when there is none. NULL: no memory, or the session is over. */
struct wgw_quota *wgw_quota_of(struct wgw_sockets *s, struct wgw_session *session);
/* Counts one more in *@count, a field of @q, up to @max. */
bool wgw_quota_take(struct wgw_quota *q, unsigned int *count, unsigned int max);
/* Frees the quota with the last of its objects. */
void wgw_quota_give(struct wgw_sockets *s, struct wgw_quota *q, unsigned int *count);
/* A connection without a token of @uid came or went; false: too many. */
bool wgw_unknown_take(struct wgw_sockets *s, uint32_t uid);
void wgw_unknown_give(struct wgw_sockets *s, uint32_t uid);
/* Table by cookie. A session sees its own sockets only. */
struct wgw_sock *wgw_sock_find(struct wgw_sockets *s, const struct wgw_session *session,
			       uint64_t cookie);
/* Of any session: for a cookie that was read from a descriptor, not told. */
struct wgw_sock *wgw_sock_of_any(struct wgw_sockets *s, uint64_t cookie);
/* 0, also for one without a cookie, which cannot be found; -EEXIST: another one has the cookie. */
int wgw_sock_insert(struct wgw_sockets *s, struct wgw_sock *sock);
void wgw_sock_remove(struct wgw_sockets *s, struct wgw_sock *sock);
/* Kernel's cookie and inode of a socket; 0 or -errno. */
int wgw_fd_identity(int fd, uint64_t *cookie, uint64_t *inode);
/* Whether there are no descriptors but the spare ones, which nothing may keep. @q's session is told
 * why it gets none. */
bool wgw_sockets_starved(const struct wgw_sockets *s, struct wgw_quota *q);

/* ---- op.c ---- */

/* A conversation over the sequenced rendezvous, of a process of @uid that has not shown a token. Takes
 * over @fd. */
void wgw_op_accepted(struct wgw_sockets *s, int fd, uint32_t uid);

#endif
