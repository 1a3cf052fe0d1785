/* SPDX-License-Identifier: MIT */
/*
 * udp.h - datagram sockets of applications: UDP, and ping sockets
 *
 * First what others call (udp.c), then what udp.c and udp_out.c (the application's side),
 * udp_errors.c, udp_net.c (the network's side), udp_local.c and udp_kernel.c share.
 */
#ifndef SRC_TUNNEL_UDP_H
#define SRC_TUNNEL_UDP_H

#include "src/tunnel/sockets.h"

struct wgw_dgram_sock;
struct udp_error;
struct udp_senders;

/* ---- what others call ---- */

/* @fd's first message was @op (WGW_OP_UDP_OPEN). Takes over @fd. */
void wgw_udp_open(struct wgw_sockets *s, struct wgw_quota *q, const struct wgw_op *op, int fd);
/* These return 0 or -errno. */
int wgw_udp_bind(struct wgw_sock *sock, const struct stack_addr *local, uint32_t flags);
/* All-zero @remote: disconnects. Success: stops sending to the application until wgw_udp_go. */
int wgw_udp_connect(struct wgw_sock *sock, const struct stack_addr *remote);
/* @message, header first, was read by a program that cannot use it in the new mode: it comes first
 * after wgw_udp_go(). */
void wgw_udp_requeue(struct wgw_sock *sock, const uint8_t *message, size_t len);
/* Goes on; @raw < 0: as before. */
void wgw_udp_go(struct wgw_sock *sock, int raw);
/* shutdown(2). 0 or -ENOTCONN; it is done in both cases. */
int wgw_udp_shutdown(struct wgw_sock *sock, int how);
/* No process holds it any more. */
void wgw_udp_abandoned(struct wgw_sock *sock);
/* Sockets shut both ways are closed: nobody is left to ask who holds them. */
void wgw_udp_session_over(struct wgw_sockets *s, struct wgw_session *session);
/* @local without a port: it has none yet; @remote all zeros: it is not connected. */
void wgw_udp_names(struct wgw_sock *sock, struct stack_addr *local, struct stack_addr *remote);
/* The pending ICMP error, cleared. */
int wgw_udp_error(struct wgw_sock *sock);
/* Takes the oldest error out of the error queue, NULL: it is empty. The caller frees it. */
struct udp_error *wgw_udp_next_error(struct wgw_sock *sock);
/* The program was told that a datagram to @to is larger than @mtu: an item of the error queue. */
void wgw_udp_too_large(struct wgw_sock *sock, const struct stack_addr *to, uint32_t mtu);
/* What its options say holds for what is sent from now on. */
void wgw_udp_options(struct wgw_sock *sock);
/* Sends what applications are to get and is gathered (udp_out.c). */
void wgw_udp_flush(void);

/* ---- what these files share ---- */

enum {
	UDP_MAX_BYTES = 65536,
	UDP_PER_TURN = 64,		 /* messages of one socket in a turn */
	UDP_DRAIN_MAX = 4096,		 /* more than a socket buffer holds */
	UDP_HELD_MAX_BYTES = 256 * 1024, /* kept while the application changes its mode */
	UDP_ALIASES = 4,		 /* name servers that stand for others */
	UDP_SNDBUF_BYTES = 1024 * 1024,
	UDP_ERRORS_MAX = 64, /* kept for MSG_ERRQUEUE; later ones are dropped */
	UDP_TTL = 64,	     /* net.ipv4.ip_default_ttl */
};

/**
 * struct udp_kept - a datagram that waits for WGW_OP_GO, header first
 * @nth:	Of those that the program has returned without saying who sent them; 0: the header says
 */
struct udp_kept {
	struct udp_kept *next;
	unsigned int nth;
	size_t len; /* of the payload */
	struct wgw_dgram header;
	uint8_t payload[];
};

/** struct udp_queue - datagrams in order; zero it and call udp_queue_init */
struct udp_queue {
	struct udp_kept *head, **tail;
};

/** struct udp_error - an item of the error queue, and @len bytes of what it quotes */
struct udp_error {
	struct udp_error *next;
	size_t len;
	struct wgw_error told;
	uint8_t quoted[];
};

/** struct udp_alias - @asked as the program wrote it, @real where it went */
struct udp_alias {
	struct stack_addr asked, real;
};

/**
 * struct udp_kernel - a kernel socket for direct destinations of one family
 * @connected:	To the peer of its @owner
 * @groups:	It was sent to a group: anybody may answer
 */
struct udp_kernel {
	struct wgw_watch watch;
	struct wgw_dgram_sock *owner;
	bool connected, groups;
};

/**
 * struct wgw_dgram_sock - one UDP or ping socket of an application
 * @watch:	Our end of its SEQPACKET socket
 * @v6:		AF_INET6
 * @outside:	Of a program that is outside of the tunnel
 * @raw:	What its peer sends, without one what anybody sends, is delivered as bare payload
 * @preambles:	The session's, for whose lifetime the quota has it
 * @held:	WGW_OP_UDP_CONNECT is under way: nothing is sent to the application
 * @requeued, @arrived: what it gave back, and what came meanwhile
 * @nameless:	How much of the former is bare payload that came without a peer
 * @senders:	Of such payload (udp_senders.c)
 * @local:	What bind() or the first use chose; @named_ip, @named_port: bind() was told that part, so
 *		it stays with a disconnect
 * @remote:	Connected to
 * @flow, @ping, @kernel: ways to the network, made when first needed
 * @route_to, @route, @route_real: the last decision of policy, as of @route_changes
 * @segment:	UDP_SEGMENT, 0: none
 * @fragments4, @fragments6: FLOW_* of stack/stack.h, as IP_MTU_DISCOVER and its like say
 * @so_error:	ICMP error that was not yet asked for
 * @errors:	With IP_RECVERR: the error queue, @n_errors of them
 * @shut_rd, @shut_wr: shutdown(2)
 * @mute:	In wgw_sockets.mute: both, so our end does not show when it is closed
 * @by_port:	In wgw_sockets.dgram_ports
 */
struct wgw_dgram_sock {
	struct wgw_sock sock;
	struct wgw_sockets *sockets;
	const struct wgw_preambles *preambles;
	struct wgw_link link, by_port, mute;
	struct wgw_watch watch;
	struct wgw_job job;
	uint32_t events;
	enum wgw_kind kind;
	bool v6, v6only, outside, raw, held, connected, shut_rd, shut_wr, dead;
	bool bound, named_ip, named_port;
	uint32_t reuse; /* WGW_BIND_REUSEADDR, WGW_BIND_REUSEPORT */
	uint8_t fragments4, fragments6;
	struct udp_queue requeued, arrived;
	unsigned int nameless;
	struct udp_senders *senders;
	size_t kept_bytes;
	struct stack_addr local, remote;
	struct flow_udp *flow;
	struct flow_ping *ping;
	struct udp_kernel kernel[2]; /* IPv4, IPv6 */
	struct stack_addr route_to, route_real;
	enum wgw_route route;
	unsigned int route_changes;
	bool routed;
	struct udp_alias alias[UDP_ALIASES];
	unsigned int n_alias;
	uint8_t ttl, tos;
	uint16_t segment;
	int so_error;
	struct udp_error *errors;
	unsigned int n_errors;
};

/* ---- udp.c ---- */

/* A datagram for the application. @header->ip is where it came from. */
void udp_deliver(struct wgw_dgram_sock *u, const struct wgw_dgram *header, const struct iovec *iov,
		 int n, size_t len);
/* Closes it if the application has, whose event may be still to come. */
void udp_look(struct wgw_dgram_sock *u);
/* On a RAW socket with a peer: an empty message with a descriptor, which says "ask for SO_ERROR". */
void udp_send_mark(struct wgw_dgram_sock *u);

/* ---- udp_out.c ---- */

/* Sends the @n pieces at @iov, which are copied, to @u's application as one message: at the end of
 * the turn's jobs, or before. What it has no room for is dropped. @sender: to be remembered when it is
 * sent (udp_senders_begin() was true), or NULL. */
void udp_out_put(struct wgw_dgram_sock *u, const struct iovec *iov, size_t n,
		 const struct wgw_dgram *sender);
/* Sends now what was put: of @of, or all with NULL. */
void udp_out_flush(const struct wgw_dgram_sock *of);

/* ---- udp_senders.c: who sent bare payload to a socket without a peer ---- */

/* Makes room for another one. false: there is none. */
bool udp_senders_begin(struct wgw_dgram_sock *u);
/* The message that was just sent to the application came as @header says. */
void udp_senders_add(struct wgw_dgram_sock *u, const struct wgw_dgram *header);
/* The @back-th last message (1: the last one) came as *@header says then. false: that is not known. */
bool udp_senders_find(const struct wgw_dgram_sock *u, unsigned int back, struct wgw_dgram *header);
/* Forgets them. */
void udp_senders_drop(struct wgw_dgram_sock *u);

/* ---- udp_errors.c ---- */

/* Whether the program has set IP_RECVERR or IPV6_RECVERR. */
bool udp_wants_errors(const struct wgw_dgram_sock *u);
/* What the network says of a datagram that was sent to @to. Told as Linux does: to who asked by
 * IP_RECVERR, and fatal errors to connected sockets. */
void udp_error(struct wgw_dgram_sock *u, const struct stack_addr *to, const struct stack_error *e);
/* A datagram to @to was not sent at all, for the reason @err (EMSGSIZE: @info is the MTU, if it is
 * known): told always. */
void udp_refused(struct wgw_dgram_sock *u, const struct stack_addr *to, int err, uint32_t info);
/* Nobody has the port @to of this machine. */
void udp_nobody_there(struct wgw_dgram_sock *u, const struct stack_addr *to, const uint8_t *payload,
		      size_t len);
/* Frees the error queue. */
void udp_errors_drop(struct wgw_dgram_sock *u);

/* ---- udp_local.c ---- */

/* What has a port can be found by it. To be called whenever @local has changed. */
void udp_local_enter(struct wgw_dgram_sock *u);
/* Closes the sockets with @port that their programs have closed: on Linux it is free at once. */
void udp_local_reap(struct wgw_sockets *s, uint16_t port);
/* Whether another socket of the session keeps @u from being bound to @local. */
bool udp_local_is_taken(struct wgw_dgram_sock *u, const struct stack_addr *local);
/* Whether @to is loopback or the tunnel's, and not for ICMP echo. */
bool udp_local_is_here(const struct wgw_dgram_sock *u, const struct stack_addr *to);
/* Whether it is bound on loopback, and so has no port in the tunnel. */
bool udp_local_is_at_home(const struct wgw_dgram_sock *u);
/* Where a datagram to @to, which is here, comes from. @wanted_ip: the address that its ancillary
 * data ask for, or none (all zero, NULL). */
void udp_local_source(const struct wgw_dgram_sock *u, const struct stack_addr *to,
		      const uint8_t *wanted_ip, struct stack_addr *from);
/* The socket that a datagram reaches without leaving this machine, or NULL. */
struct wgw_dgram_sock *udp_local_target(struct wgw_dgram_sock *u, const struct stack_addr *from,
					const struct stack_addr *to);
/* Gives a datagram to @o. @header: ttl, tos */
void udp_local_send(struct wgw_dgram_sock *u, struct wgw_dgram_sock *o,
		    const struct stack_addr *from, const struct stack_addr *to,
		    const struct wgw_dgram *header, const uint8_t *payload, size_t len);

/* ---- udp_net.c ---- */

/* The address by which the program knows @real: that of a name server that stands for another. */
const struct stack_addr *udp_net_known_as(const struct wgw_dgram_sock *u,
					  const struct stack_addr *real);
/* Whether it is connected, and not to @from. */
bool udp_net_is_foreign(const struct wgw_dgram_sock *u, const struct stack_addr *from);

/* Sends one datagram on. @header: destination, source, ttl, tos; @info not 0: in one piece or not
 * at all. */
void udp_net_send(struct wgw_dgram_sock *u, const struct wgw_dgram *header, const uint8_t *payload,
		  size_t len);
int udp_net_bind(struct wgw_dgram_sock *u, const struct stack_addr *local, uint32_t flags);
/* @remote NULL: disconnects. 0 or -errno: then the peer is the one before. */
int udp_net_connect(struct wgw_dgram_sock *u, const struct stack_addr *remote);
void udp_net_close(struct wgw_dgram_sock *u);
/* Options have changed. */
void udp_net_options(struct wgw_dgram_sock *u);

/* ---- udp_kernel.c ----
 *
 * A socket that is made for one which has a port has that port, too, if the host has not given it to
 * somebody else.
 */

/* Sends a datagram to @to, a direct destination, with the ancillary data of @header. What fails is
 * an error of the program's socket. */
void udp_kernel_send(struct wgw_dgram_sock *u, const struct stack_addr *to,
		     const struct wgw_dgram *header, const uint8_t *payload, size_t len);
/* 0 or -errno */
int udp_kernel_bind(struct wgw_dgram_sock *u, const struct stack_addr *local);
/* Takes the name over. */
int udp_kernel_connect(struct wgw_dgram_sock *u, const struct stack_addr *to);
/* The same without the name, if it is not yet connected: @to is the peer. */
void udp_kernel_follow(struct wgw_dgram_sock *u, const struct stack_addr *to);
/* Of those that are connected all but the one that goes to @next, if that is not NULL: it would give its
 * port up. */
void udp_kernel_disconnect(struct wgw_dgram_sock *u, const struct stack_addr *next);
/* Takes what has come. */
void udp_kernel_drain(struct wgw_dgram_sock *u);
void udp_kernel_close(struct wgw_dgram_sock *u);
void udp_kernel_options(struct wgw_dgram_sock *u);
/* Its kernel sockets, if any, share their addresses as it does now. */
void udp_kernel_reuse(const struct wgw_dgram_sock *u);

#endif
