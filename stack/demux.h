/* SPDX-License-Identifier: MIT */
/* demux.h - the part of demux.c that speaks lwIP, for flow.c and listener.c */
#ifndef STACK_DEMUX_H
#define STACK_DEMUX_H

#include "stack/internal.h"

struct tcp_pcb;
struct tcp_pcb_listen;

/* Hands the segment to lwIP, which sees the lists as they are. Takes over @p. */
void demux_segment(struct pbuf *p, const struct stack_addr *from, const struct stack_addr *to);
/* Offers the segment to the listener. Returns the half-open connection, or NULL. */
struct tcp_pcb *demux_listen(struct tcp_pcb_listen *l, const struct ip_packet *p);
/* A half-open pcb of demux_listen's that nobody can take. */
void demux_discard(struct tcp_pcb *pcb);
void demux_listener_free(struct tcp_pcb_listen *l);
/* Empties lwIP's lists after making a pcb. */
void demux_clear(void);
/* lwIP has freed the flow's pcb. */
void demux_gone(struct flow *f);
/* A pcb from outside, just made: lwIP's lists are set as after demux_enter. */
void demux_begin(struct flow *f);
/* Undoes demux_begin. */
void demux_abandon(struct flow *f);

#endif
