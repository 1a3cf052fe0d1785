/* SPDX-License-Identifier: MIT */
/* tls_process.h - what the TLS process's files share: tls.c (listeners), tls_conn.c
 * (connections) */
#ifndef SRC_PROXY_TLS_PROCESS_H
#define SRC_PROXY_TLS_PROCESS_H

#include "src/base/list.h"
#include "src/base/loop.h"
#include "src/proxy/tls.h"
#include "src/proxy/tls_openssl.h"

enum {
	TLS_PAUSE_MS = 50,     /* until there may be descriptors and memory again */
	TLS_ACCEPT_TURN = 256, /* connections of a listener before others have their turn */
};

struct tls_conn;

/**
 * struct tls_process - all of it
 * @conns:	Connections
 * @due:	Those that have something to do before the loop sleeps
 * @unusable:	Why there is no TLS, or NULL
 */
struct tls_process {
	struct wgw_loop *loop;
	struct wgw_watch control;
	struct wgw_before before;
	struct wgw_link conns;
	struct tls_conn *due, **due_tail;
	struct tls_service *services;
	size_t n;
	bool stopping;
	const char *unusable;
};

/**
 * struct tls_service - a listener
 * @ctx:	NULL: there is no certificate yet, nothing is accepted
 * @diag:	Tells whose a client is (peer.h), -1: everybody may
 * @warned_at:	When the user was told of one who may not
 * @unknown:	Its connections that were not handed over
 * @silent:	Those of them whose clients are waited for, the oldest first
 * @waiting:	Those for which the pair has no room
 */
struct tls_service {
	struct tls_process *process;
	struct wgw_watch watch, hand;
	struct wgw_timer pause;
	SSL_CTX *ctx;
	bool plain;
	int diag;
	uint64_t warned_at;
	unsigned int unknown;
	struct wgw_link silent, waiting;
};

/* Takes @fd over, an accepted connection from @peer. */
void tls_conn_new(struct tls_service *s, int fd, const struct stack_addr *peer);
/* The one whose client @s has waited for the longest, when it has had its time; or NULL. */
struct tls_conn *tls_conn_spare(struct tls_service *s);
/* Drops @c, for which there is no room any more. */
void tls_conn_give_way(struct tls_conn *c);
/* Tries again to hand over those that wait. */
void tls_conn_hand_waiting(struct tls_service *s);
/* Does what is due. Returns whether something is again. */
bool tls_conn_run_due(struct tls_process *p);
/* Drops the connections that were not handed over. */
void tls_conn_drop_unknown(struct tls_process *p);

#endif
