/* SPDX-License-Identifier: MIT */
/*
 * lwipopts.h - our options, and what lwIP's own suite stands on
 *
 * Its tests bring interfaces of their own and read lwIP's statistics.
 */
#ifndef TESTS_LWIP_OURS_LWIPOPTS_H
#define TESTS_LWIP_OURS_LWIPOPTS_H

#include "stack/lwipopts.h"

#undef LWIP_STATS
#define LWIP_STATS	  1
#define MEM_STATS	  1
#define MEMP_STATS	  1
#define PBUF_POOL_BUFSIZE 600 /* they want chains; ours follows TCP_MSS and is not used */
#undef LWIP_TIMERS
#define LWIP_TIMERS 1 /* the tests name its pool */
#undef LWIP_ICMP6
#define LWIP_ICMP6 1 /* lwIP's IPv6, which stack/ does without, calls it */
#undef LWIP_SINGLE_NETIF
#define LWIP_SINGLE_NETIF 0
#define LWIP_MEM_ILLEGAL_FREE(msg)

#endif
