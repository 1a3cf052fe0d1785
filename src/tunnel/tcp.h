/* SPDX-License-Identifier: MIT */
/*
 * tcp.h - TCP connections of applications
 *
 * tcp.c is how one begins and ends, whatever its far side is: tcp_flow.c (a connection of the
 * stack) or relay.c (a kernel socket, or another application). accepted.c is for those that a
 * listener gave out, tcp_info.c tells how one fares.
 */
#ifndef SRC_TUNNEL_TCP_H
#define SRC_TUNNEL_TCP_H

#include "src/tunnel/end.h"
#include "src/tunnel/sockets.h"

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
 * @gives_out:	Cookie of the listener whose program accepts or has accepted it, or 0
 * @far_cookie:	Of another application's socket at @far_end: its options are kept under that
 * @far_over:	The far side has ended, @err says how
 * @tail:	What it had received and the application has not yet taken
 * @lent:	Of a proxy's client: ends with the session
 * @out_fin:	The application's FIN was passed on
 * @discarded:	Bytes came that nobody will read, from the application or to it
 * @orphan:	The application has closed, and the kernel's TCP was told how long to go on
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
	uint64_t far_cookie, gives_out;
	struct wgw_listener *listener; /* while state DELIVER, */
	struct wgw_link waiting;       /* in its list */
	int connect_err, err;
	uint64_t started, wait_ns, retry_at;
	uint64_t moved[2]; /* bytes from the application, bytes to it */
	bool far_over, out_fin, discarded[2], counted_unsent, lent, orphan;
	uint8_t *tail;
	size_t tail_at, tail_len;
	uint8_t *stash[2]; /* relay.c: read and not yet written, per direction */
	size_t stash_at[2], stash_len[2];
};

/* A connection to the stream rendezvous, of a process that has not shown a token. Takes over @fd. */
void wgw_tcp_accepted(struct wgw_sockets *s, int fd, const struct ucred *cred);
/* One without ends and session, in state HELLO. NULL: no memory. It frees itself after
 * wgw_conn_drop(). */
struct wgw_conn *wgw_conn_new(struct wgw_sockets *s);
/* Its end of the application's stream, connected. 0 or -errno; @fd is taken over if 0. */
int wgw_conn_attach(struct wgw_conn *c, int fd);
/* Puts it under its session. 0 or ENOBUFS: the session has too many. */
int wgw_conn_enter(struct wgw_conn *c, struct wgw_quota *q);
/* Queues its job: something has happened to it. */
void wgw_conn_kick(struct wgw_conn *c);
/* The far side's connect has ended: 0 or errno. */
void wgw_conn_outcome(struct wgw_conn *c, int err);
/* Closes all that it has, the application's end with whatever is unread; the far side must have
 * ended. */
void wgw_conn_drop(struct wgw_conn *c);
/* The same, after it has ended the far side with a reset. */
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
/* Binds a label, sealed with the session's @key (WGW_LABEL_KEY_BYTES), as the name of @fd, an AF_UNIX
 * socket without one. 0 or -errno. */
int wgw_label_bind(int fd, const uint8_t *key, const struct wgw_label *label);
/* @err: errno of the connect, 0 if it has succeeded */
void wgw_label_fill(struct wgw_label *label, enum wgw_outcome outcome, int err,
		    const struct stack_addr *local, const struct stack_addr *remote);
void wgw_tcp_init(struct wgw_sockets *s);
/* Connects without an outcome are abandoned. */
void wgw_tcp_session_over(struct wgw_sockets *s, struct wgw_session *session);

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

/* ---- accepted.c ---- */

/* The accepted socket has shown itself (@c->app.hello_fd, which is closed): enters it into the table,
 * with what it was told until now. */
void wgw_accepted_identify(struct wgw_conn *c);
/* Looks whether accepted connections can be identified: an operation has named one. */
void wgw_accepted_poke(struct wgw_sockets *s);

#endif
