/* SPDX-License-Identifier: MIT */
/*
 * internal.h - the stack itself, and what its files offer each other; nobody else includes it, but
 * for a file's own test, and who counts what is left (tests/sim/hostile.h)
 *
 * packet.h has headers as bytes, flow.h connections, listeners and datagram sockets.
 *
 * Layers, from the wire up: ingress.c and egress.c (packets), fragments.c, then one file per
 * protocol: icmp.c, udp.c, and for TCP demux.c (connections to lwIP and back), flow.c (what the
 * owner of a connection calls) and listener.c. timers.c orders connections by deadline.
 */
#ifndef STACK_INTERNAL_H
#define STACK_INTERNAL_H

#include <sys/types.h>

#include "stack/flow.h"
#include "stack/limits.h"
#include "stack/packet.h"
#include "stack/stack.h"

/* The timers' unit: one slow tick of lwIP (TCP_SLOW_INTERVAL). */
enum { TICK_NS = 10 * 1000 * 1000, TICKS_PER_S = 100 };
enum { NS_PER_MS = 1000 * 1000 };
#define NS_PER_S UINT64_C(1000000000)

struct fragment_set;

/* A packet to ourselves, waiting for its turn */
struct looped {
	struct looped *next;
	size_t len;
	uint8_t data[];
};

/** struct path - to @ip, packets of @mtu bytes at most, until @until_ns (paths.c) */
struct path {
	uint8_t ip[16];
	uint64_t until_ns;
	uint16_t mtu;
};

/**
 * struct syn_line - SYNs of one owner, in order
 * @round:	Its own list of lines
 * @next, @prev: Lines in which somebody waits, in a ring
 */
struct syn_line {
	struct flow *head, **tail;
	struct syn_round *round;
	struct syn_line *next, *prev;
};

/** struct syn_round - lines that take turns; @turn: whose it is, NULL: nobody waits */
struct syn_round {
	struct syn_line lines[SYN_LINES], *turn;
};

/**
 * struct stack - addresses and clock; connections and their queues; listeners and datagram sockets;
 *	packets that wait; what is known of paths; memory for what is to be sent
 */
struct stack {
	const struct stack_ops *ops;
	void *ctx;
	struct stack_addr addrs[STACK_ADDRS_MAX];
	size_t n_addrs;
	uint16_t mtu;
	uint64_t now_ns, tick;
	struct stack_stats stats;

	uint8_t hash_key[16], isn_key[16];
	struct flow **buckets, *last_found;
	size_t n_buckets, n_flows;
	uint32_t flows_at[UINT16_MAX + 1]; /* how many by local port, in every state */
	size_t rx_bytes, tx_bytes; /* of all connections: unread or out of order, unacknowledged */
	struct flow *ready, **ready_tail;
	struct flow *touched;
	struct flow *flows;   /* all of them, in every state */
	struct flow *current; /* between demux_enter and demux_leave */
	struct flow *waiting, **waiting_tail;
	size_t n_waiting;
	struct syn_round syns_first, syns_again;
	uint64_t syns_pace_ns; /* when all that have left have had their turn */
	uint64_t syns_due_ns;  /* next look */
	struct flow **heap;
	size_t heap_len, heap_cap;
	bool in_batch;

	struct flow_listener *listeners[PORT_BUCKETS];
	struct flow_udp *udp[PORT_BUCKETS];
	struct flow_ping *pings;

	struct fragment_set *fragments;
	size_t n_fragment_sets;
	struct looped *loop, **loop_tail;
	size_t loop_len;
	uint32_t id_salt, ids[DATAGRAM_IDS]; /* egress.c */
	uint64_t icmp_tokens_ns;
	struct path paths[PATH_SETS][PATH_WAYS];
	uint64_t paths_until; /* when the last one ends; 0: there is none */
	uint32_t paths_sent[PATH_NOTES];

	const struct flow *last_writer; /* only compared: it may be gone */
	struct written *lent, *spare;	/* written.c: for whoever writes next, for later */
	size_t n_written, n_spare;	/* of all connections, for later */
	uint8_t packet[SEGMENT_PACKET_MAX_BYTES]; /* egress_room, when the embedder has none */
};

/* The one stack of the process: lwIP's callbacks below TCP carry no context. */
extern struct stack *stack_the;

/* memory.c */
/* @size: of a full segment with all that lwIP puts around it. */
void memory_init(size_t size);
/* Frees what is kept for later. */
void memory_trim(void);

/* written.c - memory for what is to be sent: one block is lent to whoever writes */

/* The first one; false: no memory. written_free() frees all that no connection has. */
bool written_init(struct stack *s);
void written_free(struct stack *s);
/* SEND_PIECE_BYTES, the same ones until written_keep */
uint8_t *written_lent(struct stack *s);
/* Whether there is another block, to be lent after written_keep */
bool written_ready(struct stack *s);
/* What is lent is @f's from now on, until written_acked says that its bytes before @end need no
 * memory */
void written_keep(struct flow *f, uint64_t end);
void written_acked(struct flow *f, uint64_t end);
/* Frees what is kept for later. */
void written_trim(struct stack *s);

/* ingress.c */
/* An inner packet, @looped: our own. What is not acceptable is counted and dropped. */
void ingress_packet(struct stack *s, const uint8_t *packet, size_t len, bool looped);

/* fragments.c - true: *whole is a packet of malloc'ed memory *whole_buf */
bool fragments_add(struct stack *s, const struct ip_packet *p, uint8_t **whole, size_t *whole_len);
void fragments_release(uint8_t *whole);
/* Frees what is too old to become whole. */
void fragments_trim(struct stack *s);
void fragments_free(struct stack *s);

/* egress.c */
void egress_checksum4(uint8_t *header);
/* Writes @ip for @payload_len bytes into @header; returns its length. @id, @fragment: IPv4's
 * identification, flags and offset, host order. */
size_t egress_header(uint8_t *header, const struct ip_header *ip, size_t payload_len, uint16_t id,
		     uint16_t fragment);
/* A complete packet leaves, or is looped if it is for us. Returns 0 or -errno. */
int egress_packet(struct stack *s, const struct stack_addr *to, const struct iovec *iov, int n,
		  size_t len);
/* Where a packet of @len bytes to @to, an MTU at most, is written, which egress_written then sends
 * as egress_packet does. Nothing else may be sent in between. */
uint8_t *egress_room(struct stack *s, const struct stack_addr *to, size_t len);
int egress_written(struct stack *s, const struct stack_addr *to, uint8_t *packet, size_t len);
/* A datagram: transport header @head, then @iov. Returns 0 or -errno. */
int egress_datagram(struct stack *s, const struct ip_header *ip, const void *head, size_t head_len,
		    const struct iovec *iov, int n);
/* Delivers what was sent to ourselves. */
void egress_loop_run(struct stack *s);
void egress_loop_free(struct stack *s);

/* paths.c */
/* The MTU towards @to in bytes: the tunnel's, or what a path was found to take. */
uint16_t paths_mtu(struct stack *s, const struct stack_addr *to);
/* ICMP says that @to can be reached by packets of @mtu bytes at most; that it may say so has been
 * checked. */
void paths_learn(struct stack *s, const struct stack_addr *to, uint32_t mtu);
/* A packet with @len bytes behind its IP header goes from our @port (or identifier) to @to; and
 * whether one has that could have been too large. */
void paths_note(struct stack *s, const struct stack_addr *to, uint16_t port, size_t len);
bool paths_noted(struct stack *s, const struct stack_addr *to, uint16_t port);

/* acks.c */
/* A TCP segment of the current connection, @len bytes in @n pieces: all headers, of which IP's is
 * @header_len bytes, are in the first. */
void acks_segment(struct stack *s, const struct stack_addr *to, const struct iovec *iov, int n,
		  size_t len, size_t header_len);
/* Segments with data and the TCP header @tcp leave: what the flow's held ACK says they say, too. */
void acks_carried(struct flow *f, const uint8_t *tcp);
/* Sends the flow's held ACK, if any. */
void acks_flush(struct flow *f);
/* The same at the end of a batch, unless it may wait. */
void acks_settle(struct flow *f);
/* Data came in order, and it ended with a @small segment with PSH: its sender may have more and
 * wait for the ACK. Also when the connection opens. */
void acks_came(struct flow *f, bool small);
/* Data leaves. */
void acks_answered(struct flow *f);
/* An ACK that had waited for data leaves without any. */
void acks_unanswered(struct flow *f);
/* Behind a read: whether the peer should hear of it now. */
bool acks_at_once(const struct flow *f);

/* ports.c */
static inline size_t port_bucket(uint16_t port)
{
	return port % PORT_BUCKETS;
}
/* A random ephemeral port, from which to look for a free one; how many there are; the @n-th after
 * @first, going round. Host order. */
uint16_t ports_random(struct stack *s);
unsigned int ports_count(void);
uint16_t ports_after(uint16_t first, unsigned int n);
/* Whether two bindings of one port exclude each other. */
bool ports_overlap(const struct stack_addr *a, bool a_v6only, const struct stack_addr *b,
		   bool b_v6only);
/* Whether a packet to @to belongs to binding @local. */
bool ports_match(const struct stack_addr *local, bool v6only, const struct stack_addr *to);
/* Checks that @local may be bound: 0 or EADDRNOTAVAIL. */
int ports_check_local(const struct stack *s, const struct stack_addr *local);

/* demux.c */
/* A TCP segment that passed the fence. */
void demux_input(struct stack *s, const struct ip_packet *p);
/* The connection with these addresses, or NULL. */
struct flow *demux_find(struct stack *s, const struct stack_addr *local,
			const struct stack_addr *remote);
/* A connection with both addresses set; room in the timers' heap is made, too. 0 or -ENOBUFS. */
int demux_insert(struct stack *s, struct flow *f);
/* The flow is looked at when the batch ends. */
void demux_touch(struct flow *f);
/* Everything that calls lwIP for a connection stands between these two. They do not nest. */
void demux_enter(struct flow *f);
void demux_leave(struct flow *f);
/* What waits merged goes to lwIP. */
void demux_flush(struct stack *s);
/* The flow's turn in the heap. */
void demux_timer(struct flow *f);
/* Drops the pcb; with an RST if @reset. No callback. */
void demux_drop(struct flow *f, bool reset);
/* The connection ends with @err (0: in order); closed() will be called. */
void demux_end(struct flow *f, int err);
/* Ends TIME_WAITs whose time is over, or @all, or the oldest ones if there are too many. */
void demux_wait_expire(struct stack *s, bool all);
/* Ends the TIME_WAIT of @f for a new connection of ours between the same ends, whose first sequence
 * number would be above the old ones (RFC 1122 4.2.2.13 (1); RFC 6528 lets them grow by 250,000 a
 * second).
 * Returns false, and nothing has happened, if it would not, or if @f is not in TIME_WAIT. */
bool demux_give_way(struct stack *s, struct flow *f);
void demux_untouch(struct flow *f);
/* What was held back for the batch leaves. */
void demux_batch_end(struct stack *s);
/* The tick of s->now_ns; never 0, which means "not set" in a flow's deadlines. */
uint64_t demux_tick_of(const struct stack *s);

/* gro.c */
/* Keeps @p for the end of the batch; false: it is for lwIP now. */
bool gro_take(struct flow *f, const struct ip_packet *p);
/* Takes @packet if it goes on with what waits of the connection looked up last; false: nothing has
 * happened. Comes before the fence. */
bool gro_continue(struct stack *s, const uint8_t *packet, size_t len);
/* lwIP gets what waits; or nobody does. */
void gro_flush(struct flow *f);
void gro_drop(struct flow *f);

/* timers.c: in ns of s->now_ns */
/* @f is due at @due, or earlier if it is in the heap already. */
void timers_set(struct stack *s, struct flow *f, uint64_t due);
void timers_cancel(struct stack *s, struct flow *f);
/* The earliest deadline; UINT64_MAX: none. */
uint64_t timers_next(const struct stack *s);
void timers_run(struct stack *s);

/* syns.c */
void syns_init(struct stack *s);
/* Whether the SYN of the entered flow may leave now; if not, it waits and leaves by itself. */
bool syns_may_send(struct flow *f);
/* The peer has answered @f's SYN. */
void syns_answered(struct flow *f);
/* @f, whose SYN may wait, wants to send none any more. */
void syns_forget(struct flow *f);
/* When syns_run() has something to do, in ns; UINT64_MAX: never */
uint64_t syns_due(const struct stack *s);
/* Those whose turn it is leave. */
void syns_run(struct stack *s);

/* events.c */
/* The owner is told of @events (enum flow_event) when lwIP is left. */
void events_post(struct flow *f, unsigned int events);
void events_unpost(struct flow *f);
/* Runs the callbacks that are due. Only stack_input_done and stack_tick call it. */
void events_dispatch(struct stack *s);

/* window.c */
/* First window, at the end of the handshake. */
void window_open(struct flow *f);
/* The owner has consumed @len bytes. */
void window_consumed(struct flow *f, size_t len);
/* lwIP has been at work for the connection. */
void window_settle(struct flow *f);
/* The connection's lwIP side is gone. */
void window_closed(struct flow *f);

/* flow.c */
/* A flow without addresses, in the stack's list; NULL: no memory. */
struct flow *flow_alloc(struct stack *s);
/* Ends the owner's relation to @f. In TIME_WAIT the rest stays until demux_wait_expire. */
void flow_free(struct flow *f);
/* Makes @f's pcb call back into @f. */
void flow_attach(struct flow *f);
/* The handshake is complete: first windows and round-trip time. */
void flow_opened(struct flow *f);

/* The connection is over with @err; closed() follows once what was received is consumed. */
void flow_finished(struct flow *f, int err);
/* FIN, behind what was committed. */
void flow_send_fin(struct flow *f);
/* What was queued to be sent is gone. */
void flow_tx_dropped(struct flow *f);
/* Something was acknowledged, or has left: the owner may write again. */
void flow_room_made(struct flow *f);
/* Brings the deadlines that are ours, not lwIP's, up to date. */
void flow_timeouts(struct flow *f);
/* Whether one of them has passed, and what closed() says then. */
bool flow_overdue(struct flow *f, int *err);
/* ICMP says @err about a segment of @f with sequence number @seq. */
void flow_icmp_error(struct flow *f, uint32_t seq, int err);
/* All that is not acknowledged waits to be sent in segments of @mss; the scoreboard is the caller's. */
void flow_resegment(struct flow *f, uint32_t mss);
/* ICMP says that it was too big, and what would not be. */
void flow_path_mtu(struct flow *f, uint32_t seq, uint32_t mtu);

/* listener.c */
/* Who takes a segment to @to: an address before a wildcard; @syn: of those that are alive; NULL:
 * nobody. */
struct flow_listener *listener_find(struct stack *s, const struct stack_addr *to, bool syn);
/* @f is accepted or gone. */
void listener_forget(struct flow *f);
/* A segment of no connection, for @l. */
void listener_input(struct flow_listener *l, const struct ip_packet *p);
/* The accept callback of @f, which is established (and may be over again). */
void listener_accept(struct flow *f);

/* udp.c */
void udp_input(struct stack *s, const struct ip_packet *p);
/* Tells the socket that sent from @local to @remote. */
void udp_icmp_error(struct stack *s, const struct stack_addr *local,
		    const struct stack_addr *remote, const struct stack_error *error);

/* icmp.c */
void icmp_input(struct stack *s, const struct ip_packet *p);
/* Port unreachable for @p, rate-limited. */
void icmp_port_unreachable(struct stack *s, const struct ip_packet *p);

/* Reads the clock, once per call from outside. */
void stack_clock(struct stack *s);

#endif
