/* SPDX-License-Identifier: MIT */
/* lwip_hooks.h - where lwIP calls us */
#ifndef STACK_LWIP_HOOKS_H
#define STACK_LWIP_HOOKS_H

#include "lwip/ip_addr.h"

/* RFC 6528: a keyed hash of the four-tuple plus a clock */
u32_t stack_tcp_isn(const ip_addr_t *local, u16_t local_port, const ip_addr_t *remote,
		    u16_t remote_port);
#define LWIP_HOOK_TCP_ISN(local, lport, remote, rport) stack_tcp_isn(local, lport, remote, rport)

struct tcp_pcb;
struct tcp_seg;

/* window.c: how many pbufs may wait out of order (patch 02) */
u32_t stack_ooseq_max(const struct tcp_pcb *pcb);

/* acks.c: whether a segment that changes nothing is answered; the answer counts (patch 13) */
int stack_challenge_ack(const struct tcp_pcb *pcb);

/* sender.c (patch 09) */
/* An acknowledgement of @ack, before lwIP takes what it covers off its queues. @empty: the segment
 * has no data and changes no window, so it may be a duplicate (RFC 5681 2). */
void stack_sender_ack(struct tcp_pcb *pcb, u32_t ack, int empty);
/* tcp_output begins: lost segments go first. */
void stack_sender_output(struct tcp_pcb *pcb);
/* Whether a new segment of @len bytes may leave. */
int stack_sender_may_send(struct tcp_pcb *pcb, u32_t len);
/* It has left. */
void stack_sender_sent(struct tcp_pcb *pcb, struct tcp_seg *seg);
#define TCP_SENDER_ACK(pcb, ack, empty) stack_sender_ack(pcb, ack, empty)
#define TCP_SENDER_OUTPUT(pcb)		stack_sender_output(pcb)
#define TCP_SENDER_MAY_SEND(pcb, len)	stack_sender_may_send(pcb, len)
#define TCP_SENDER_SENT(pcb, seg)	stack_sender_sent(pcb, seg)

/* Patch 12 */
/* sender.c: most bytes of one segment that refers to its data */
u32_t stack_sender_train_max(struct tcp_pcb *pcb);
/* How many of @len bytes, of which may_send admits a packet, may leave at once */
u32_t stack_sender_train_part(struct tcp_pcb *pcb, u32_t len);
/* train.c: @len bytes of it from sequence number @from on leave, cut by the MSS. */
err_t stack_train_output(struct tcp_pcb *pcb, const struct tcp_seg *seg, u32_t from, u16_t len);
#define TCP_TRAIN_MAX(pcb)		      stack_sender_train_max(pcb)
#define TCP_TRAIN_PART(pcb, len)	      stack_sender_train_part(pcb, len)
#define TCP_TRAIN_OUTPUT(pcb, seg, from, len) stack_train_output(pcb, seg, from, len)

#endif
