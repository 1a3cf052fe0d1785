/* SPDX-License-Identifier: MIT */
/*
 * flow.h - connections, listeners and datagram sockets, as this folder sees them
 *
 * What their owners see is in stack.h.
 */
#ifndef STACK_FLOW_H
#define STACK_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stack/packet.h"
#include "stack/sender.h"
#include "stack/stack.h"

struct tcp_pcb;
struct tcp_pcb_listen;
struct pbuf;
struct syn_line;
struct written;

/* States of a connection; lwIP has its own in the pcb. */
enum flow_state {
	FLOW_CONNECTING, /* our SYN is out */
	FLOW_HALF_OPEN,	 /* the peer's SYN is in, ours out */
	FLOW_OPEN,	 /* handshake complete; may be half closed */
	FLOW_OVER,	 /* no pcb any more; closed() is due */
	FLOW_TIME_WAIT,	 /* lwIP answers late segments; closed() is due or has been called */
};

enum flow_event {
	FLOW_EVENT_ACCEPT = 1 << 0,
	FLOW_EVENT_CONNECTED = 1 << 1,
	FLOW_EVENT_READABLE = 1 << 2,
	FLOW_EVENT_WRITABLE = 1 << 3,
	FLOW_EVENT_CLOSED = 1 << 4,
};

/**
 * struct flow - a connection
 * @pcb:	lwIP's side; NULL in FLOW_OVER. callback_arg points back here.
 * @hash_next:	Chain of its bucket (demux.c)
 * @tick:	When the pcb's relative timers were last brought up to date
 * @due, @heap:	Deadline in ns and place in the heap, or 0 (timers.c); @tick_due: in ticks,
 *		of lwIP's timers and our slow ones
 * @ack_due:	A delayed ACK leaves at this tick; 0: none is delayed
 * @give_up:	FLOW_CONNECTING: tick of ETIMEDOUT; FIN_WAIT_2 of a closed flow: its end
 * @progress:	Tick of the last acknowledgement that moved, or of the first unacknowledged byte
 * @gro:	Merged segment of this batch (gro.c), of @gro_segments; @gro_next follows it,
 *		@gro_space is its block's size; @gro_merges: the next one should hold several;
 *		@gro_looped: its packets came from ourselves
 * @ack_wanted:	The end of the batch sends an ACK that lwIP would delay
 * @data_tick:	When data came in order, or the connection opened; @small: its sender may
 *		wait for the ACK; @answers: ours lately left soon after that (acks.c)
 * @rx_head:	In-order pbufs not yet consumed; the first @rx_skip bytes are consumed
 * @rx_room:	Free bytes behind the last one, if that is a block of small segments
 * @rx_space:	Receive window plus unconsumed bytes; grows with a prompt consumer
 * @rx_epoch:	Bytes consumed since @rx_space grew
 * @ooseq_bytes: Of the stack's rx_bytes, what waits out of order in lwIP
 * @unacked:	Bytes committed and not acknowledged, @tx_queued: those still in memory, @tx_total:
 *		all since the beginning, @tx_pushed: those up to the last PSH
 * @written:	Blocks that segments refer to, in their order (written.c)
 * @tx:		The sending half (sender.h); @syn_ns: when our SYN last left, for the first
 *		round trip
 * @rx_total, @rx_segs, @tx_segs: Bytes received in order, packets in and out (flow_info)
 * @syn_line:	Where its SYN waits, or NULL; @syn_turn: it leaves now (syns.c)
 * @path_mtu:	Of the path, as known when the connection opened or learnt since; 0 before
 * @persist_due: Next probe of a closed window; 0: not probing. @persist_shift: back-off
 * @stall_due:	ETIMEDOUT if nothing is acknowledged until then
 * @orphaned:	Tick at which the owner's program had gone; 0: it is there
 * @held:	A pure ACK that a later one may replace, which has replaced @held_acks - 1; it has
 *		blocks, so it may leave after the batch (@held_late), at @held_due_ns, 0: not yet
 *		known (acks.c)
 * @challenges_ns: When all answers to what changes nothing have had their time
 * @ack_number:	Of the last pure ACK, and how many that have left had the same: @acks_sent
 * @want_write:	The owner waits for room; @more_to_write: he did when he last wrote, or said that
 *		there is more
 * @err:	What closed() will say
 * @soft_err:	What ICMP said; replaces ETIMEDOUT
 */
struct flow {
	struct stack *stack;
	struct tcp_pcb *pcb;
	struct flow *hash_next;
	struct stack_addr local, remote;
	enum flow_state state;

	const struct flow_ops *ops;
	void *arg;
	struct flow_listener *listener;
	struct flow *sibling_next,
		**sibling_prev; /* half-open and unaccepted flows of a listener */

	unsigned int events;
	struct flow *ready_next, **ready_prev;
	struct flow *touched_next, **touched_prev;
	struct flow *all_next, **all_prev;
	struct flow *wait_next; /* FIFO of FLOW_TIME_WAIT */

	uint64_t tick, due, tick_due, ack_due, give_up, progress, stall_due, orphaned, persist_due,
		wait_until, data_tick;
	size_t heap;

	struct pbuf *gro;
	uint32_t gro_next, gro_space;
	unsigned int gro_segments;
	bool gro_merges, gro_looped, ack_wanted, small, answers;

	struct pbuf *rx_head, *rx_tail;
	size_t rx_skip, rx_bytes, rx_room, rx_space, rx_epoch, ooseq_bytes;
	uint64_t rx_total;
	uint32_t rx_segs, tx_segs;
	uint16_t path_mtu;

	size_t unacked, tx_queued;
	uint64_t tx_total, tx_pushed;
	struct written *written, *written_last;
	struct sender tx;
	uint64_t syn_ns;
	struct syn_line *syn_line;
	struct flow *syn_next, **syn_prev;
	bool syn_again, syn_turn;
	struct flow_options options;

	uint64_t held_due_ns, challenges_ns;
	uint32_t ack_number;
	uint8_t held[IP6_HEADER_BYTES + TCP_HEADER_BYTES + TCP_OPTIONS_MAX_BYTES];
	bool held_late;
	uint8_t held_len, held_acks, acks_sent, persist_shift;
	int err, soft_err;
	bool rx_fin, shut, owner_gone, want_write, more_to_write, reset_due, dispatching, dead;
};

struct flow_listener {
	struct stack *stack;
	struct tcp_pcb_listen *pcb;
	struct flow_listener *next; /* of the same port bucket */
	struct stack_addr local;
	bool v6only;
	unsigned int backlog, half_open;
	struct flow *flows; /* not yet accepted */
	const struct flow_listener_ops *ops;
	void *arg;
};

struct flow_udp {
	struct stack *stack;
	struct flow_udp *next; /* of the same port bucket */
	struct stack_addr local, remote;
	bool v6only, reuse, connected;
	uint8_t fragments4, fragments6; /* FLOW_* of flow_udp_fragments */
	const struct flow_udp_ops *ops;
	void *arg;
};

struct flow_ping {
	struct stack *stack;
	struct flow_ping *next;
	bool v6;
	uint8_t fragments;
	uint16_t id;
	const struct flow_ping_ops *ops;
	void *arg;
};

#endif
