/* SPDX-License-Identifier: MIT */
/* listen.h - listeners of applications, in the tunnel or on the host's loopback */
#ifndef SRC_TUNNEL_LISTEN_H
#define SRC_TUNNEL_LISTEN_H

#include "src/tunnel/sockets.h"

struct wgw_conn;
struct wgw_listener;

/* listen(2): @path_fd (taken over) is the O_PATH descriptor of the unix listener; -1: it follows,
 * unless this fails, and the address is this socket's until wgw_kept_withdrawn(). 0 or -errno. */
int wgw_listen_op(struct wgw_sockets *s, struct wgw_quota *q, const struct wgw_op *op, int path_fd);
/* Connects to a listener of an application on this machine: for loopback one of @session on the
 * wildcard, for a tunnel address any. Returns 0, a connected *fd and the listener's cookie, *gives_out,
 * or errno: ENOENT: there is none, EAGAIN: its backlog is full. */
int wgw_listen_local(struct wgw_sockets *s, struct wgw_session *session,
		     const struct stack_addr *to, const struct stack_addr *from, int *fd,
		     uint64_t *gives_out);
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

#endif
