/* SPDX-License-Identifier: MIT */
/*
 * sockets.h - what the files of the application's side share
 *
 * Layers, top down: sockets.c (rendezvous, who is unknown, per-session limits, table by cookie,
 * jobs), op.c (operations), tcp.c (how a connect begins and ends), listen.c, udp.c; below them
 * end.c (our end of an application's stream, with the keeper rule) and the two kinds of far side a
 * connection can have: tcp_flow.c (a connection of the stack) and relay.c (a kernel socket or
 * another application).
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
		16 * 1024 * 1024, /* kept for a slow reader after its connection ended */
	WGW_PORT_BUCKETS = 256,
	WGW_LISTENER_PROBE_MS = 1000, /* how soon a closed listener is noticed; in the tunnel */
	WGW_LISTENER_PROBE_LAST_MS = 32000, /* it is doubled up to this while none changes */
	WGW_BACKLOG_RETRY_MS = 5,	    /* first wait for a full backlog; doubled up to: */
	WGW_BACKLOG_RETRY_LAST_MS = 80,
	WGW_BACKLOG_MS = 60000,		/* and given up after */
	WGW_BACKLOG_WAITING_MAX = 8192, /* connections that wait for one backlog */
};

/* ---- jobs ---- */

/** struct wgw_job - work to be done before the loop sleeps; queued at most once */
struct wgw_job {
	void (*run)(struct wgw_job *j);
	struct wgw_job *next;
	bool queued;
};

/* ---- lists ---- */

struct wgw_link {
	struct wgw_link *prev, *next;
};

static inline void wgw_list_init(struct wgw_link *head)
{
	head->prev = head->next = head;
}

static inline void wgw_list_append(struct wgw_link *head, struct wgw_link *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

/* Of something that is in no list (all zero) too. */
static inline void wgw_list_remove(struct wgw_link *l)
{
	if (!l->next)
		return;
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->prev = l->next = NULL;
}

/* ---- what belongs to one session ---- */

/** struct wgw_quota - what one session has open, @total counts all of it */
struct wgw_quota {
	struct wgw_session *session;
	struct wgw_quota *next;
	unsigned int conns, dgrams, listeners, kept, ops;
	unsigned int total;
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
int wgw_sock_insert(struct wgw_sockets *s, struct wgw_sock *sock);
void wgw_sock_remove(struct wgw_sockets *s, struct wgw_sock *sock);
/* Kernel's cookie and inode of a socket; 0 or -errno. */
int wgw_fd_identity(int fd, uint64_t *cookie, uint64_t *inode);
/* Whether there are no descriptors but the spare ones, which nothing may keep. @q's session is told
 * why it gets none. */
bool wgw_sockets_starved(const struct wgw_sockets *s, struct wgw_quota *q);

/* ---- keep.c: addresses and options of sockets, by cookie ---- */

/**
 * struct wgw_kept - a socket that is not connected and does not listen
 * @link:	In wgw_sockets.kept; @by_port: when bound to the tunnel, in wgw_sockets.bound_ports
 * @local:	What bind() gave; @bound; @promises: how many conversations were told that it may
 *		listen there
 * @fd:		Kernel socket bound to the host's loopback, or -1
 * @flags:	WGW_BIND_*
 */
struct wgw_kept {
	struct wgw_sock sock;
	struct wgw_link link, by_port;
	struct stack_addr local;
	bool bound;
	int fd;
	uint32_t flags;
	unsigned int promises;
};

/* Finds or makes it. NULL: the limit, or the cookie has another role. */
struct wgw_kept *wgw_kept_get(struct wgw_sockets *s, struct wgw_quota *q, uint64_t cookie,
			      uint64_t inode);
void wgw_kept_free(struct wgw_sockets *s, struct wgw_kept *k);
/* Hands its options over to @to and frees it. */
void wgw_kept_become(struct wgw_sockets *s, struct wgw_kept *k, struct wgw_sock *to);
/* Keeps the options of @sock, whose connect has failed: it may be asked for them, and connect
 * again. @sock is not in the table any more, its quota is still there. */
void wgw_kept_again(struct wgw_sockets *s, struct wgw_sock *sock);
int wgw_option_set(struct wgw_sock *sock, int32_t level, int32_t name, const void *value,
		   uint32_t len);
const struct wgw_option *wgw_option_get(const struct wgw_sock *sock, int32_t level, int32_t name);
/* The int that was set, or @otherwise. */
int wgw_option_int(const struct wgw_sock *sock, int32_t level, int32_t name, int otherwise);
void wgw_options_free(struct wgw_sock *sock);
void wgw_options_for_flow(const struct wgw_sock *sock, struct flow_options *out);
/* Whether the kernel gives out what @local names: loopback's ports, all of a program outside of the
 * tunnel. */
bool wgw_bind_is_kernels(const struct wgw_session *session, const struct stack_addr *local,
			 uint32_t flags);
/* bind(2) of a TCP socket; chooses the port when *local has none. 0 or -errno. */
int wgw_kept_bind(struct wgw_sockets *s, struct wgw_kept *k, struct stack_addr *local,
		  uint32_t flags);
/* Whether another socket was told that it may listen where @kept is bound. */
bool wgw_kept_is_promised(struct wgw_sockets *s, const struct wgw_kept *kept);
/* The conversation in which the socket was told that it may listen has ended. */
void wgw_kept_withdrawn(struct wgw_sockets *s, struct wgw_session *session, uint64_t cookie);
/* Chooses a free TCP port of the tunnel when *local has none, or says whether it is free. 0 or
 * -EADDRINUSE. */
int wgw_port_choose(struct wgw_sockets *s, struct stack_addr *local, uint32_t flags);
/* Whether a socket is bound to a TCP port of the tunnel, and neither listens nor is connected. */
bool wgw_port_is_bound(struct wgw_sockets *s, const struct stack_addr *local);
/* Whether sockets with these addresses (and WGW_BIND_* flags) get each other's connections. */
bool wgw_addrs_overlap(const struct stack_addr *a, uint32_t a_flags, const struct stack_addr *b,
		       uint32_t b_flags);
void wgw_keep_session_over(struct wgw_sockets *s, struct wgw_session *session);

/* ---- end.c: our end of an application's stream ---- */

/**
 * struct wgw_end - one stream descriptor that is pumped
 * @watch:	Its descriptor, -1: closed
 * @keeps:	The keeper rule holds (the other end is an application)
 * @hello:	The first byte may be the shim's 'F' (accepted connections)
 * @hello_fd:	The descriptor that came with it, for the owner to take, or -1
 * @keeper_due:	'F' was taken, the plain keeper byte follows
 * @stale:	Bytes at the head of the receive queue that were forwarded already: the
 *		connect record or the keeper
 * @waiting:	New bytes behind those, as many as are known to be there
 * @events:	EPOLLRDHUP, EPOLLHUP, EPOLLERR as far as seen
 * @full:	The last write found no room
 * @drained:	wgw_end_ready said that nothing waits, and nothing has come since
 * @for_room:	EPOLLOUT is asked for; @idle_room: how often in a row in vain
 * @fin_sent:	The FIN was handed over: nothing is kept any more
 */
struct wgw_end {
	struct wgw_watch watch;
	struct wgw_loop *loop;
	int hello_fd;
	size_t stale, waiting;
	uint32_t events;
	bool keeps, hello, keeper_due, full, drained, for_room, fin_sent;
	uint8_t idle_room;
};

void wgw_end_init(struct wgw_end *e, int fd, bool keeps,
		  void (*ready)(struct wgw_watch *, uint32_t));
/* Watches it, once initialised; @for_room: for EPOLLOUT too. 0 or -errno. */
int wgw_end_watch(struct wgw_loop *loop, struct wgw_end *e, bool for_room);
/* Notes what @ready was told. */
void wgw_end_event(struct wgw_end *e, uint32_t events);
/* Bytes that wait and were not forwarded. */
size_t wgw_end_pending(struct wgw_end *e);
/* So many of them as are known to wait, if that is enough for a read; else all, asked anew if
 * anything has come since there was nothing. */
size_t wgw_end_ready(struct wgw_end *e);
/* Reads at most @max waiting bytes (no more than wgw_end_ready said) into @iov and leaves the
 * last of them as keeper. Returns the number put into @iov, or -errno. */
ssize_t wgw_end_read(struct wgw_end *e, const struct iovec *iov, int n, size_t max);
/* Returns bytes taken, 0: full (@full is set), or -errno; -EPIPE: it does not read any more. */
ssize_t wgw_end_write(struct wgw_end *e, const struct iovec *iov, int n);
/* As wgw_end_read and wgw_end_write, by splice(2): the bytes are not copied. @e that is read
 * keeps none, @e that is written is O_NONBLOCK; SIGPIPE is ignored. -EINVAL: the kernel cannot. */
ssize_t wgw_end_to_pipe(struct wgw_end *e, int pipe, size_t max);
ssize_t wgw_end_from_pipe(struct wgw_end *e, int pipe, size_t len);
/* Whether it is too early for a close that the application is to see as a reset: it has not accepted
 * the connection, or its keeper is on its way. An event tells. */
bool wgw_end_keeper_comes(struct wgw_end *e);
/* Hands a FIN over: drops the keeper, then shuts down. */
void wgw_end_finish(struct wgw_end *e);
/* Plain close: a reset at an application when a keeper is there, at a kernel TCP socket when
 * @reset. */
void wgw_end_close(struct wgw_loop *loop, struct wgw_end *e, bool reset);

/* ---- tcp.c ---- */

enum wgw_conn_state {
	WGW_CONN_HELLO,	  /* waits for 'F' and the descriptor */
	WGW_CONN_RECORD,  /* waits for the record */
	WGW_CONN_PENDING, /* the far side connects */
	WGW_CONN_DECIDED, /* outcome known, WGW_TAG_FILLED not yet set */
	WGW_CONN_DELIVER, /* inbound: the application's backlog is full */
	WGW_CONN_OPEN,
	WGW_CONN_DEAD, /* freed in its job */
};

struct wgw_conn;

/** struct wgw_far - the far side of a connection */
struct wgw_far {
	void (*pump)(struct wgw_conn *c);  /* in state OPEN */
	void (*abort)(struct wgw_conn *c); /* RST, no more callbacks */
	void (*options)(struct wgw_conn *c);
};

/**
 * struct wgw_conn - one TCP connection of an application
 * @uid, @pid:	Who has connected @app; @pid 0: a process that is not seen from here
 * @app:	Its stream
 * @dup:	The application's own socket while connecting, else -1
 * @remote:	As the application named it; @local: known with the outcome
 * @by_port:	In wgw_sockets.connected_ports when bind() has chosen its port, with @bind_flags
 * @local_to, @retry_at: a listener of this machine with a full backlog, and when to look again
 * @far, @flow, @far_end: the other side: @flow (tcp_flow.c) or @far_end (relay.c)
 * @connect_err:	Outcome of the connect
 * @err:	What the far side ended with; it may have ended before the outcome was told
 * @far_cookie:	Of another application's socket at @far_end: its options are kept under that
 * @far_over:	The far side has ended, @err says how
 * @tail:	What it had received and the application has not yet taken
 * @lent:	Of a proxy's client: ends with the session
 * @out_fin:	The application's FIN was passed on
 * @discarded:	Bytes came that nobody will read, from the application or to it
 */
struct wgw_conn {
	struct wgw_sock sock;
	struct wgw_sockets *sockets;
	enum wgw_conn_state state;
	struct wgw_job job;
	struct wgw_timer timer;
	struct wgw_link link, pending, unsent, by_port;
	struct wgw_end app;
	int dup;
	uint32_t uid;
	int32_t pid;
	uint32_t flags; /* WGW_CONNECT_* */
	uint32_t bind_flags;
	uint16_t linger_s;
	struct stack_addr remote, local, local_to;
	const struct wgw_far *far;
	struct flow *flow;
	struct wgw_end far_end;
	uint64_t far_cookie;
	struct wgw_listener *listener; /* while state DELIVER, */
	struct wgw_link waiting;       /* in its list */
	int connect_err, err;
	uint64_t started, wait_ns, retry_at;
	uint64_t moved[2]; /* bytes from the application, bytes to it */
	bool far_over, out_fin, discarded[2], counted_unsent, lent;
	uint8_t *tail;
	size_t tail_at, tail_len;
	uint8_t *stash[2]; /* relay.c: read and not yet written, per direction */
	size_t stash_at[2], stash_len[2];
};

void wgw_tcp_accepted(struct wgw_sockets *s, int fd, const struct ucred *cred);
struct wgw_conn *wgw_conn_new(struct wgw_sockets *s);
/* Its end of the application's stream, connected. 0 or -errno; @fd is taken over if 0. */
int wgw_conn_attach(struct wgw_conn *c, int fd);
int wgw_conn_enter(struct wgw_conn *c, struct wgw_quota *q);
void wgw_conn_kick(struct wgw_conn *c);
/* The far side's connect has ended: 0 or errno. */
void wgw_conn_outcome(struct wgw_conn *c, int err);
/* Closes all that it has, the application's end with whatever is unread; the far side must have
 * ended. */
void wgw_conn_drop(struct wgw_conn *c);
void wgw_conn_abort(struct wgw_conn *c);
/* What its options mean at once. */
void wgw_conn_options(struct wgw_conn *c);
/* struct tcp_info of linux/tcp.h into @value (WGW_OPTION_MAX_BYTES). 0 or errno. */
int wgw_conn_tcp_info(struct wgw_conn *c, uint8_t *value, uint32_t *len);
/* Bytes that the application, or the one at the far end, has written and the peer has not
 * acknowledged, and of them those that have not left. */
void wgw_conn_unacked(struct wgw_conn *c, bool far, int bytes[2]);
/* The connection to another application's socket, which it has accepted, or NULL. Looks at all. */
struct wgw_conn *wgw_conn_of_far(struct wgw_sockets *s, uint64_t cookie);
/* The application closed so that TCP sends RST: unread data, or SO_LINGER with 0 s. */
bool wgw_conn_app_reset(const struct wgw_conn *c);
int wgw_label_bind(int fd, const uint8_t *key, const struct wgw_label *label);
void wgw_label_fill(struct wgw_label *label, enum wgw_outcome outcome, int err,
		    const struct stack_addr *local, const struct stack_addr *remote);
void wgw_tcp_init(struct wgw_sockets *s);
/* Connects without an outcome are abandoned. */
void wgw_tcp_session_over(struct wgw_sockets *s, struct wgw_session *session);

/* ---- abandoned.c ---- */

/* The entry that has @local, as bind(2) sees it, or NULL: of those on the host's addresses, for whose
 * ports the kernel decides (@kernels), or of those in the tunnel. */
struct wgw_kept *wgw_kept_conflict(struct wgw_sockets *s, const struct stack_addr *local,
				   uint32_t flags, bool kernels);
/* Finds out whether a process still holds the socket of @kept; if none does, frees it. Calls @done,
 * maybe at once. */
void wgw_kept_recheck(struct wgw_sockets *s, struct wgw_kept *kept,
		      void (*done)(void *arg, bool gone), void *arg);
/* Something may be abandoned in @after_ms. */
void wgw_abandoned_watch(struct wgw_sockets *s, uint32_t after_ms);

/* ---- tcp_flow.c ---- */

/* Starts connecting over the stack. 0 or errno. */
int wgw_flow_start(struct wgw_conn *c, const struct stack_addr *local, const struct stack_addr *to);
/* Makes @c the owner of an accepted flow. */
void wgw_flow_own(struct wgw_conn *c, struct flow *f);
/* Whether its far side is or was a connection of the stack. */
bool wgw_flow_carries(const struct wgw_conn *c);
/* Takes it out of the session's count of unacknowledged writes, when it is in. */
void wgw_flow_unsent_over(struct wgw_conn *c, uint64_t lost_bytes);
void wgw_flow_init(struct wgw_sockets *s);

/* ---- relay.c ---- */

/* Connects a kernel socket to @to; @fd: one that is bound already (taken over), or -1. 0 or errno.
 */
int wgw_relay_start(struct wgw_conn *c, int fd, const struct stack_addr *to);
/* Pumps between the application and @fd, which is connected; @keeps: another application's end. */
int wgw_relay_own(struct wgw_conn *c, int fd, bool keeps);

/* ---- listen.c ---- */

struct wgw_listener;

/* listen(2): @path_fd (taken over) is the O_PATH descriptor of the unix listener; -1: it follows,
 * unless this fails, and the address is this socket's until wgw_kept_withdrawn(). 0 or -errno. */
int wgw_listen_op(struct wgw_sockets *s, struct wgw_quota *q, const struct wgw_op *op, int path_fd);
/* Connects to a listener of an application on this machine: for loopback one of @session on the
 * wildcard, for a tunnel address any. Returns 0 and a connected *fd, or errno: ENOENT: there is
 * none, EAGAIN: its backlog is full. */
int wgw_listen_local(struct wgw_sockets *s, struct wgw_session *session,
		     const struct stack_addr *to, const struct stack_addr *from, int *fd);
/* Closes the listeners that the application has closed; otherwise done from time to time. */
void wgw_listen_look(struct wgw_sockets *s);
/* Closes what the host's loopback has at @port for listeners that the application has closed.
 * Whether there was any. */
bool wgw_listen_reap(struct wgw_sockets *s, uint16_t port);
/* Whether a live listener of any session has the port. */
bool wgw_listen_conflict(struct wgw_sockets *s, const struct stack_addr *local, uint32_t flags);
/* shutdown(2): connections that were not accepted are reset; what remains is a socket that is
 * bound. */
void wgw_listen_shutdown(struct wgw_sock *sock);
void wgw_listen_name(const struct wgw_sock *sock, struct stack_addr *local);
/* Whether it listens on the host, not in the tunnel. */
bool wgw_listen_is_direct(const struct wgw_sock *sock);
/* A connection that waited in state DELIVER waits no more. */
void wgw_listen_waiting_over(struct wgw_conn *c);
void wgw_listen_session_over(struct wgw_sockets *s, struct wgw_session *session);
void wgw_listen_init(struct wgw_sockets *s);

/* ---- accepted.c ---- */

/* The accepted socket has shown itself (@c->app.hello_fd, which is closed): enters it into the table,
 * with what it was told until now. */
void wgw_accepted_identify(struct wgw_conn *c);
/* Looks whether accepted connections can be identified: an operation has named one. */
void wgw_accepted_poke(struct wgw_sockets *s);

/* ---- udp.c ---- */

struct wgw_dgram_sock;
struct udp_error;

/* @fd's first message was @op (WGW_OP_UDP_OPEN). Takes over @fd. */
void wgw_udp_open(struct wgw_sockets *s, struct wgw_quota *q, const struct wgw_op *op, int fd);
/* These return 0 or -errno. */
int wgw_udp_bind(struct wgw_sock *sock, const struct stack_addr *local, uint32_t flags);
/* All-zero @remote: disconnects. Success: stops sending to the application until wgw_udp_go. */
int wgw_udp_connect(struct wgw_sock *sock, const struct stack_addr *remote);
void wgw_udp_requeue(struct wgw_sock *sock, const uint8_t *message, size_t len);
/* Goes on; @raw < 0: as before. */
void wgw_udp_go(struct wgw_sock *sock, int raw);
/* shutdown(2). 0 or -ENOTCONN; it is done in both cases. */
int wgw_udp_shutdown(struct wgw_sock *sock, int how);
/* No process holds it any more. */
void wgw_udp_abandoned(struct wgw_sock *sock);
/* Sockets shut both ways are closed: nobody is left to ask who holds them. */
void wgw_udp_session_over(struct wgw_sockets *s, struct wgw_session *session);
void wgw_udp_names(struct wgw_sock *sock, struct stack_addr *local, struct stack_addr *remote);
/* The pending ICMP error, cleared. */
int wgw_udp_error(struct wgw_sock *sock);
/* Takes the oldest error out of the error queue, NULL: it is empty. The caller frees it. */
struct udp_error *wgw_udp_next_error(struct wgw_sock *sock);
/* The program was told that a datagram to @to is larger than @mtu: an item of the error queue. */
void wgw_udp_too_large(struct wgw_sock *sock, const struct stack_addr *to, uint32_t mtu);
void wgw_udp_options(struct wgw_sock *sock);
/* Sends what applications are to get and is gathered (udp_out.c). */
void wgw_udp_flush(void);

/* ---- op.c ---- */

void wgw_op_accepted(struct wgw_sockets *s, int fd, uint32_t uid);

/* ---- resolver.c ---- */

/* The session's questions are answered with EAI_AGAIN and its channel is closed. */
void wgw_resolver_session_over(struct wgw_tunnel *t, struct wgw_session *s);

/* ---- addresses between us and the kernel ---- */

struct sockaddr_storage;
/* Returns the length of what it wrote. @v4_as_v4: AF_INET for v4-mapped addresses. */
uint32_t wgw_sockaddr_from(const struct stack_addr *a, struct sockaddr_storage *ss);
void wgw_sockaddr_to(const struct sockaddr_storage *ss, struct stack_addr *a);

#endif
