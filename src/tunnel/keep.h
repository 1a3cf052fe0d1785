/* SPDX-License-Identifier: MIT */
/* keep.h - addresses and options of sockets that are not connected and do not listen: keep.c; which
 * of them, and of pending connects, nobody holds any more: abandoned.c */
#ifndef SRC_TUNNEL_KEEP_H
#define SRC_TUNNEL_KEEP_H

#include "src/tunnel/sockets.h"

/**
 * struct wgw_kept - a socket that is not connected and does not listen
 * @link:	In wgw_sockets.kept; @by_port: when bound to the tunnel, in wgw_sockets.bound_ports
 * @local:	What bind() gave; @bound; @promises: how many conversations were told that it may
 *		listen there
 * @fd:		Kernel socket bound to the host's loopback, or -1
 * @flags:	WGW_BIND_*; @shared: WGW_BIND_REUSEPORT was one when it was bound
 */
struct wgw_kept {
	struct wgw_sock sock;
	struct wgw_link link, by_port;
	struct stack_addr local;
	bool bound, shared;
	int fd;
	uint32_t flags;
	unsigned int promises;
};

/* Finds or makes it. NULL: the limit, or the cookie has another role. */
struct wgw_kept *wgw_kept_get(struct wgw_sockets *s, struct wgw_quota *q, uint64_t cookie,
			      uint64_t inode);
/* The socket is gone: closes what the kernel has bound for it. */
void wgw_kept_free(struct wgw_sockets *s, struct wgw_kept *k);
/* @name, SO_REUSEADDR or SO_REUSEPORT, is set to the int at @value after the bind: whether another
 * may be bound there. false: it is another option. */
bool wgw_kept_reuse(struct wgw_kept *k, int32_t name, const void *value);
/* Hands its options over to @to and frees it. */
void wgw_kept_become(struct wgw_sockets *s, struct wgw_kept *k, struct wgw_sock *to);
/* Keeps the options of @sock, whose connect has failed: it may be asked for them, and connect
 * again. @sock is not in the table any more, its quota is still there. */
void wgw_kept_again(struct wgw_sockets *s, struct wgw_sock *sock);
/* Keeps a copy of @len bytes. 0, -EINVAL: more than WGW_KEPT_OPTION_BYTES, -ENOBUFS: more than
 * WGW_KEPT_OPTIONS_MAX, or -ENOMEM. */
int wgw_option_set(struct wgw_sock *sock, int32_t level, int32_t name, const void *value,
		   uint32_t len);
/* NULL: the program has not set it. */
const struct wgw_option *wgw_option_get(const struct wgw_sock *sock, int32_t level, int32_t name);
/* The int that was set, or @otherwise. */
int wgw_option_int(const struct wgw_sock *sock, int32_t level, int32_t name, int otherwise);
void wgw_options_free(struct wgw_sock *sock);
/* Those that concern the stack, as it takes them; what was not set is 0. */
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
/* The entry that has @local, as bind(2) sees it, or NULL: of those on the host's addresses, for whose
 * ports the kernel decides (@kernels), or of those in the tunnel. */
struct wgw_kept *wgw_kept_conflict(struct wgw_sockets *s, const struct stack_addr *local,
				   uint32_t flags, bool kernels);
/* Forgets the sockets of @session. */
void wgw_keep_session_over(struct wgw_sockets *s, struct wgw_session *session);

/* ---- abandoned.c ---- */

/* Finds out whether a process still holds the socket of @kept; if none does, frees it. Calls @done,
 * maybe at once. */
void wgw_kept_recheck(struct wgw_sockets *s, struct wgw_kept *kept,
		      void (*done)(void *arg, bool gone), void *arg);
/* Something may be abandoned in @after_ms. */
void wgw_abandoned_watch(struct wgw_sockets *s, uint32_t after_ms);

#endif
