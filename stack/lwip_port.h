/* SPDX-License-Identifier: MIT */
/* lwip_port.h - addresses and the current packet, as lwIP has them */
#ifndef STACK_LWIP_PORT_H
#define STACK_LWIP_PORT_H

#include "lwip/ip_addr.h"

#include "stack/internal.h"

/* @mtu: of the interface, in bytes. */
void lwip_port_init(uint16_t mtu);
/* Source and destination of the packet that tcp_input is about to see. */
void lwip_port_current(const struct stack_addr *from, const struct stack_addr *to);
/* The address in lwIP's form; ports are left out. */
void lwip_port_addr(const struct stack_addr *from, ip_addr_t *to);

#endif
