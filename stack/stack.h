/* SPDX-License-Identifier: MIT */
/*
 * stack.h - a TCP/IP stack for one tunnel: TCP, UDP and ICMP echo over lwIP
 *
 * What others call. Packets come in through stack_input and leave through stack_ops.output; the
 * sockets' side is struct flow (a TCP connection), struct flow_listener, struct flow_udp and
 * struct flow_ping. lwIP keeps global state, so a process has one stack. Nothing here touches a
 * descriptor or a clock: time enters through stack_ops.now.
 *
 * Callbacks of connections and listeners run inside stack_input_done and stack_tick, never inside a
 * flow_* call (which may make stack_next_deadline become now); those of UDP and ICMP run inside
 * stack_input, stack_input_done and stack_tick. They may call any function of this header on any
 * object, except free the stack or feed it; freeing the object the callback is about is allowed.
 * stack_ops.output must not call back.
 */
#ifndef STACK_STACK_H
#define STACK_STACK_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "stack/addr.h"

struct stack;
struct flow;
struct flow_listener;
struct flow_udp;
struct flow_ping;

enum {
	STACK_ADDRS_MAX = 16,	   /* tunnel addresses */
	STACK_MTU_MIN_BYTES = 576, /* RFC 791; 1280 with IPv6 inside */
};

/**
 * struct stack_ops - what the embedder provides
 * @now:	Monotonic time in ns
 * @random:	Cryptographic randomness
 * @output:	An inner packet of @len bytes in @n pieces, valid during the call only.
 *		Returns 0 or a negative errno; the packet is dropped then.
 * @room:	Where the next inner packet, of @len bytes, the MTU at most, is to be written; never
 *		NULL. It and @written save a copy; both may be NULL
 * @written:	Takes the packet of @len bytes at @packet, which @room returned, as @output does.
 *		Nothing is output in between
 * @port_is_bound: Whether the embedder has promised the port of @local to somebody: no connection
 *		is given it as its ephemeral one. May be NULL
 */
struct stack_ops {
	uint64_t (*now)(void *ctx);
	void (*random)(void *ctx, void *buf, size_t len);
	int (*output)(void *ctx, const struct iovec *iov, int n, size_t len);
	uint8_t *(*room)(void *ctx, size_t len);
	int (*written)(void *ctx, uint8_t *packet, size_t len);
	bool (*port_is_bound)(void *ctx, const struct stack_addr *local);
};

/**
 * struct stack_config - fixed properties of the tunnel's interface
 * @addrs:	Our addresses (ports ignored), @n_addrs of them
 * @mtu:	Inner MTU in bytes
 */
struct stack_config {
	struct stack_addr addrs[STACK_ADDRS_MAX];
	size_t n_addrs;
	uint16_t mtu;
};

/* Returns the stack, or NULL and errno: EBUSY (second one in the process), EINVAL (bad configuration)
 * or ENOMEM. @ops and @ctx must outlive it. */
struct stack *stack_new(const struct stack_config *config, const struct stack_ops *ops, void *ctx);
void stack_free(struct stack *stack);

/* Takes one inner packet. It passes the ingress fence first; the bytes are copied. */
void stack_input(struct stack *stack, const uint8_t *packet, size_t len);
/* Call after a batch of stack_input: hands merged segments to lwIP and sends pending ACKs. */
void stack_input_done(struct stack *stack);

/* stack_ops.now at which stack_tick wants to be called; UINT64_MAX: nothing to time. */
uint64_t stack_next_deadline(const struct stack *stack);
void stack_tick(struct stack *stack);

/* Our address that a packet to @to would carry; false: no address of that family. */
bool stack_source_for(const struct stack *stack, const struct stack_addr *to,
		      struct stack_addr *from);
/* Whether @a (port ignored) is one of our addresses. */
bool stack_is_local(const struct stack *stack, const struct stack_addr *a);
/* Whether a TCP connection has the local @port, in any state up to the end of TIME_WAIT. */
bool stack_port_has_flows(const struct stack *stack, uint16_t port);

/* The largest packet to @to, in bytes: the MTU, or what ICMP said of the path in the last ten minutes. */
uint16_t stack_path_mtu(struct stack *stack, const struct stack_addr *to);

/* Gives back memory that is only kept to be faster next time, and that of TIME_WAITs which are over.
 * Return: in how many ms the TIME_WAITs of now will be over, 0: there are none. */
uint32_t stack_trim(struct stack *stack);
/* The path to remote ends that @via says true of works again after it did not: connections that
 * wait for a backed-off retransmission send at once (RFC 6069's reason: the loss was not
 * congestion). */
void stack_path_restored(struct stack *stack,
			 bool (*via)(void *ctx, const struct stack_addr *remote), void *ctx);

struct stack_stats {
	uint64_t rx_packets, tx_packets, rx_fenced, tcp_retransmits;
	uint64_t tcp_committed; /* bytes of flow_send_commit */
	uint64_t tcp_turns;	/* how often another connection than the last one committed */
	unsigned int tcp_flows, tcp_listeners, udp_flows;
};
void stack_stats(const struct stack *stack, struct stack_stats *out);

/* ---- TCP ---- */

/**
 * struct flow_ops - what happens to a connection. Any may be NULL.
 * @connected:	The handshake is complete (outgoing connections)
 * @readable:	Bytes or the peer's FIN wait in flow_recv_iov
 * @writable:	Room appeared after flow_send_iov had given none
 * @closed:	The last callback. The connection is over: @err is 0 after both sides have
 *		finished and all we sent is acknowledged, or ECONNREFUSED, ECONNRESET, ETIMEDOUT,
 *		EHOSTUNREACH, ENETUNREACH, ENOBUFS. Received bytes not yet consumed remain
 *		readable until the callback returns. @f is freed on return.
 */
struct flow_ops {
	void (*connected)(struct flow *f, void *arg);
	void (*readable)(struct flow *f, void *arg);
	void (*writable)(struct flow *f, void *arg);
	void (*closed)(struct flow *f, void *arg, int err);
};

/* How much may be in flight: a model of the path (the default), or loss-based */
enum flow_congestion { FLOW_BBR, FLOW_CUBIC };

/**
 * struct flow_options - what a program may set on its socket
 * @nodelay:	TCP_NODELAY
 * @keepalive:	SO_KEEPALIVE; idle, interval in s and count as TCP_KEEP*, 0: Linux's defaults
 * @user_timeout_ms: TCP_USER_TIMEOUT, 0: off
 * @tos, @ttl:	IP_TOS, IP_TTL; @ttl 0: 64
 * @connect_timeout_ms: Of flow_connect, 0: Linux's default (127 s)
 * @congestion: TCP_CONGESTION; read when the connection is established
 * @owner:	Any number: where SYNs have to wait, owners take turns (syns.c)
 */
struct flow_options {
	bool nodelay, keepalive;
	uint32_t keep_idle_s, keep_interval_s, keep_count;
	uint32_t user_timeout_ms;
	uint8_t tos, ttl;
	uint32_t connect_timeout_ms;
	enum flow_congestion congestion;
	uint32_t owner;
};

/* Starts connecting. @local: NULL, or a tunnel address and/or port to come from. @options: NULL for
 * the defaults. On failure returns NULL and sets *err to EADDRNOTAVAIL (address not ours, or no
 * free port towards @remote), ENETUNREACH (no address of that family) or ENOBUFS. */
struct flow *flow_connect(struct stack *stack, const struct stack_addr *local,
			  const struct stack_addr *remote, const struct flow_options *options,
			  const struct flow_ops *ops, void *arg, int *err);
/* Gives an accepted flow its owner; to be called within flow_listener's accept callback. */
void flow_set_ops(struct flow *f, const struct flow_ops *ops, void *arg);
void flow_set_options(struct flow *f, const struct flow_options *options);
void flow_addrs(const struct flow *f, struct stack_addr *local, struct stack_addr *remote);

/* Views of received, unconsumed bytes: fills at most @max pieces, returns their number. 0 with
 * *fin set: the peer has finished. */
int flow_recv_iov(struct flow *f, struct iovec *iov, int max, bool *fin);
/* Consumes @len bytes; opens the receive window by as much (batched). */
void flow_recv_consume(struct flow *f, size_t len);
/* Free space to write outgoing bytes into: at most two pieces, returns their number (0: full, or
 * not connected). The space is lent until the next flow_send_iov, of whichever flow. */
int flow_send_iov(struct flow *f, struct iovec iov[2]);
/* Takes @len bytes written into flow_send_iov's pieces and sends what the windows allow. @more: the
 * owner already has bytes that follow, so these need no PSH (RFC 9293 3.9.1, MUST-61). */
void flow_send_commit(struct flow *f, size_t len, bool more);
/* Bytes accepted but not yet acknowledged by the peer, our FIN counted as one. Within closed() with
 * an error: what was lost. */
size_t flow_unacked(const struct flow *f);
/**
 * struct flow_info - what is known about a connection; times in ns, 0: not measured
 * @state:	As in Linux's include/net/tcp_states.h: 1 ESTABLISHED, 2 SYN_SENT, ...
 * @loss:	0: none under repair, 1: fast recovery, 2: after a timeout
 * @sack:	The peer has sent SACKs
 * @app_limited: The last sample of @delivery_rate was limited by the owner
 * @mss:	Bytes of data in a full segment that we send; @mtu: of the path, as far as known
 * @cwnd, @ssthresh: Bytes; @ssthresh UINT32_MAX: the controller has none
 * @inflight, @sacked, @lost: Bytes sent and not cumulatively acknowledged, by what is known of them
 * @window:	What the peer may send, @peer_window: what we may
 * @not_sent:	Bytes committed that have not left
 * @sent, @resent, @acked, @received: Bytes since the connection began, repetitions in the first two
 * @segments_*:	Packets with the connection's ports, @resent_segments: data that left again
 */
struct flow_info {
	uint8_t state, loss, backoff, send_scale, receive_scale;
	bool sack, scaling, app_limited;
	uint32_t mss, mtu, cwnd, ssthresh, peer_window, window;
	uint32_t inflight, sacked, lost, not_sent, reordering;
	uint64_t srtt_ns, rttvar_ns, min_rtt_ns, rto_ns;
	uint64_t pacing_rate, delivery_rate; /* bytes/s */
	uint64_t sent, resent, acked, received;
	uint32_t resent_segments, segments_out, segments_in;
};
void flow_info(const struct flow *f, struct flow_info *out);

/* Sends FIN after what was committed; receiving goes on. */
void flow_shutdown(struct flow *f);
/* The owner's program is gone, though not all it wrote is committed: who makes no progress is given
 * up sooner, also while it answers probes of its closed window, as Linux gives orphans up. */
void flow_orphan(struct flow *f);
/* The owner is gone, as flow_orphan() says: like shutdown, later data is answered with RST as Linux
 * does. Unconsumed received bytes: RST at once (RFC 2525 2.17). closed() still comes, exactly
 * once. */
void flow_close(struct flow *f);
/* RST; closed() does not come, @f is freed. */
void flow_abort(struct flow *f);

/**
 * struct flow_listener_ops
 * @accept:	A connection is established; the callee takes it by flow_set_ops, or flow_abort()s
 *		it. Data may follow at once.
 * @alive:	May be NULL. Asked at each SYN: false is as if @l were not there. It closes nothing.
 */
struct flow_listener_ops {
	void (*accept)(struct flow_listener *l, struct flow *f, void *arg);
	bool (*alive)(struct flow_listener *l, void *arg);
};
/* @local: wildcard or tunnel address; port 0: one is chosen. An IPv6 wildcard without @v6only
 * also takes IPv4. Of listeners that overlap (whether they may is the caller's to know,
 * SO_REUSEPORT) an address comes before a wildcard, the connection's own family before the other.
 * At most @backlog half-open connections. *err: EADDRINUSE (the same address and port),
 * EADDRNOTAVAIL, ENOBUFS. */
struct flow_listener *flow_listen(struct stack *stack, const struct stack_addr *local, bool v6only,
				  unsigned int backlog, const struct flow_listener_ops *ops,
				  void *arg, int *err);
/* Whether flow_listen() would say EADDRINUSE: something listens at exactly @local. */
bool flow_listens_at(const struct stack *stack, const struct stack_addr *local);
uint16_t flow_listener_port(const struct flow_listener *l);
void flow_listener_close(struct flow_listener *l);

/* ---- UDP ---- */

/**
 * struct stack_error - an ICMP error about a datagram that we sent
 * @err:	What Linux makes of it (icmp_err_convert, tab_unreach)
 * @fatal:	Linux tells it to a connected socket without IP_RECVERR, too
 * @type, @code: As ICMP or ICMPv6 has them
 * @ttl, @tos:	Of the packet that brought it
 * @info:	EMSGSIZE: the path's MTU in bytes, else 0
 * @from, @to:	Who says so, and to which of our addresses; without ports
 * @quoted, @len: What is quoted of the datagram: what follows its UDP header; of an echo request,
 *		from its ICMP header on. Valid during the call only.
 */
struct stack_error {
	int err;
	bool fatal;
	uint8_t type, code, ttl, tos;
	uint32_t info;
	struct stack_addr from, to;
	const uint8_t *quoted;
	size_t len;
};

/**
 * struct stack_datagram - what came to a datagram socket; valid during the call only
 * @data, @len:	UDP: the payload. ICMP echo: the reply, from the ICMP header on
 * @from, @to:	Whose it is, and our address; ICMP echo: without ports
 */
struct stack_datagram {
	const uint8_t *data;
	size_t len;
	const struct stack_addr *from, *to;
	uint8_t ttl, tos;
};

/**
 * struct flow_udp_ops
 * @received:	A datagram came
 * @error:	ICMP says what became of a datagram that we sent to @to
 */
struct flow_udp_ops {
	void (*received)(struct flow_udp *u, void *arg, const struct stack_datagram *d);
	void (*error)(struct flow_udp *u, void *arg, const struct stack_addr *to,
		      const struct stack_error *error);
};
/* A socket bound to @local (wildcard or tunnel address, port 0: chosen). @v6only as in
 * flow_listen; @reuse: SO_REUSEADDR/SO_REUSEPORT was set. NULL and *err as flow_listen. */
struct flow_udp *flow_udp_new(struct stack *stack, const struct stack_addr *local, bool v6only,
			      bool reuse, const struct flow_udp_ops *ops, void *arg, int *err);
/* @reuse has changed; it counts when another socket asks for the address. */
void flow_udp_reuse(struct flow_udp *u, bool reuse);
void flow_udp_free(struct flow_udp *u);
void flow_udp_local(const struct flow_udp *u, struct stack_addr *local);
/* Only datagrams from @remote are received from now on; NULL: from anybody. */
void flow_udp_connect(struct flow_udp *u, const struct stack_addr *remote);
/* What becomes of datagrams that are larger than a path's MTU, by family. 0, as at first: we make
 * fragments for what is known of the path, and IPv4's routers may, too. */
enum {
	FLOW_DF = 1 << 0,	     /* IPv4's routers may not (RFC 791) */
	FLOW_WHOLE = 1 << 1,	     /* we do not: -EMSGSIZE */
	FLOW_INTERFACE_MTU = 1 << 2, /* the MTU is the tunnel's, whatever the path's is */
	FLOW_MTU_UNHEARD = 1 << 3,   /* what ICMP says of them is not remembered */
};
void flow_udp_fragments(struct flow_udp *u, uint8_t v4, uint8_t v6);
/* Returns 0 or -EMSGSIZE, -ENETUNREACH, -ENOBUFS. */
int flow_udp_send(struct flow_udp *u, const struct stack_addr *to, const struct iovec *iov, int n,
		  uint8_t ttl, uint8_t tos);

/* ---- ICMP echo ---- */

struct flow_ping_ops {
	/* A reply, its identifier as the program sent it. */
	void (*received)(struct flow_ping *p, void *arg, const struct stack_datagram *d);
	/* As of struct flow_udp_ops; @to has no port. */
	void (*error)(struct flow_ping *p, void *arg, const struct stack_addr *to,
		      const struct stack_error *error);
};
/* @v6: ICMPv6. @id: the identifier (Linux: the "port"; of several with it the newest receives, as
 * net/ipv4/ping.c has it), 0: the stack chooses one that nobody has; flow_ping_id tells it. */
struct flow_ping *flow_ping_new(struct stack *stack, bool v6, uint16_t id,
				const struct flow_ping_ops *ops, void *arg);
void flow_ping_free(struct flow_ping *p);
uint16_t flow_ping_id(const struct flow_ping *p);
/* As flow_udp_fragments */
void flow_ping_fragments(struct flow_ping *p, uint8_t how);
/* @icmp: an echo request, header included; identifier and checksum are filled in. Returns 0 or
 * -EINVAL (not an echo request), -ENETUNREACH, -EMSGSIZE, -ENOBUFS. */
int flow_ping_send(struct flow_ping *p, const struct stack_addr *to, const uint8_t *icmp,
		   size_t len, uint8_t ttl, uint8_t tos);

#endif
