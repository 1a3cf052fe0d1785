/* SPDX-License-Identifier: MIT */
/* lwip_hooks.h - where lwIP calls us */
#ifndef STACK_LWIP_HOOKS_H
#define STACK_LWIP_HOOKS_H

#include "lwip/ip_addr.h"

/* RFC 6528: a keyed hash of the four-tuple plus a clock */
u32_t stack_tcp_isn(const ip_addr_t *local, u16_t local_port, const ip_addr_t *remote,
		    u16_t remote_port);
#define LWIP_HOOK_TCP_ISN(local, lport, remote, rport) stack_tcp_isn(local, lport, remote, rport)

#endif
