/* SPDX-License-Identifier: MIT */
/*
 * lwipopts.h - lwIP reduced to a TCP engine for one connection at a time
 *
 * Only tcp*.c and the packet buffers are compiled. IP, UDP and ICMP are ours, so nearly everything
 * is off. Sizes that a peer can drive are bounded here or in limits.h, which is included by our own
 * files only.
 */
#ifndef STACK_LWIPOPTS_H
#define STACK_LWIPOPTS_H

/* --- environment: one thread, our timers, the C library's allocator --- */
#define NO_SYS			       1
#define SYS_LIGHTWEIGHT_PROT	       0
#define LWIP_TIMERS		       0
#define MEM_CUSTOM_ALLOCATOR	       1 /* malloc's (memory.c): only while something is queued */
#define MEM_CUSTOM_MALLOC	       stack_lwip_malloc
#define MEM_CUSTOM_FREE		       stack_lwip_free
#define MEM_CUSTOM_CALLOC(n, size)     NULL /* TCP calls none */
#define MEMP_MEM_MALLOC		       1    /* no fixed pools: limits.h bounds what is allocated */
#define MEM_ALIGNMENT		       8
#define LWIP_STATS		       0
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1 /* they assume pools */

/* --- what is not there --- */
#define LWIP_NETCONN  0
#define LWIP_SOCKET   0
#define LWIP_RAW      0
#define LWIP_UDP      0
#define LWIP_ICMP     0
#define LWIP_ICMP6    0
#define LWIP_ARP      0
#define LWIP_ETHERNET 0
#define LWIP_DHCP     0
#define LWIP_AUTOIP   0
#define LWIP_ACD      0
#define LWIP_IGMP     0
#define LWIP_DNS      0
#define LWIP_ALTCP    0
#define PPP_SUPPORT   0
#define IP_FORWARD    0
#define IP_FRAG	      0 /* TCP never exceeds the MTU */
#define IP_REASSEMBLY 0 /* fragments.c */

/* --- both families, one interface --- */
#define LWIP_IPV4			1
#define LWIP_IPV6			1
#define LWIP_SINGLE_NETIF		1
#define LWIP_IPV6_SCOPES		0
#define LWIP_IPV6_MLD			0
#define LWIP_IPV6_FRAG			0
#define LWIP_IPV6_REASS			0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT	0
#define LWIP_IPV6_AUTOCONFIG		0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS	0 /* a point-to-point interface has no neighbours */
#define LWIP_ND6_TCP_REACHABILITY_HINTS 0
#define LWIP_ND6_ALLOW_RA_UPDATES	0

/* --- checksums: verified at ingress, all at once --- */
#define CHECKSUM_CHECK_TCP    0
#define CHECKSUM_GEN_TCP      1
#define LWIP_CHECKSUM_ON_COPY 1 /* written bytes are summed while they are copied */

/* --- TCP --- */
#define LWIP_TCP		  1
#define TCP_MSS			  8940 /* cap; the MTU decides (9000 - 20 - 20 - 20) */
#define LWIP_WND_SCALE		  1
#define TCP_RCV_SCALE		  9		      /* 65535 << 9 holds TCP_WND */
#define TCP_WND			  ((24U << 20) - 512) /* window.c starts lower */
#define TCP_SND_BUF		  (24U << 20)	      /* flow.c uses less */
#define TCP_SND_QUEUELEN	  65000		      /* pbufs; u16_t */
#define TCP_SNDLOWAT		  (1U << 15)
#define TCP_OVERSIZE		  TCP_MSS
#define LWIP_NETIF_TX_SINGLE_PBUF 1 /* a segment's headers are, and all of it if it is copied */
#define LWIP_TCP_SACK_OUT	  1 /* loss recovery of downloads */
#define LWIP_TCP_MAX_SACK_NUM	  4
#define LWIP_TCP_TIMESTAMPS	  0 /* lwIP only echoes them */
#define TCP_QUEUE_OOSEQ		  1
#define TCP_OWN_SENDER		  1  /* sender.c decides what leaves (patch 09) */
#define TCP_SEG_IN_PBUF		  1  /* one piece of memory each (patch 10), */
#define TCP_REF_IN_PBUF		  1  /* with what refers to the data (patch 11), */
#define PBUF_LINK_HLEN		  72 /* where others have a link header */
#define TCP_TRAINS		  1  /* train.c cuts what is referred to (patch 12) */
#define TCP_OOSEQ_SEGS_MAX(pcb)	  stack_ooseq_max(pcb)	   /* window.c (patch 02) */
#define TCP_CHALLENGE_ACK(pcb)	  stack_challenge_ack(pcb) /* acks.c (patch 13) */
#define TCP_OOSEQ_RUN_PBUFS	  16   /* a run between holes is few segments (patch 02) */
#define TCP_OOSEQ_WALK_MAX	  2048 /* runs, per segment that fills no first hole (patch 15) */
#define TCP_OOSEQ_TIMEOUT	  600U /* x RTO >= 0.2 s: repeats may be 120 s apart (patch 16) */
#define TCP_MIN_MSS		  88   /* about Linux's tcp_min_snd_mss plus options (patch 04) */
#define TCP_LISTEN_BACKLOG	  0    /* u8_t is too small: listener.c counts */
#define LWIP_TCP_KEEPALIVE	  1
#define LWIP_CALLBACK_API	  1
#define SO_REUSE		  0 /* ports.c decides */
#define TCP_TTL			  64

/* The slow timer's tick is 10 ms. demux.c calls it only when a connection is due. */
#define TCP_TMR_INTERVAL  5
#define LWIP_TCP_RTO_TIME 1000 /* RFC 6298 2.1 */
/* demux.c ends a connection by time, as Linux's tcp_retries2, not by this count (u8_t) */
#define TCP_MAXRTX    200
#define TCP_SYNMAXRTX 200
#define TCP_MSL	      30000 /* TIME_WAIT 60 s, as Linux */

#define LWIP_HOOK_FILENAME "stack/lwip_hooks.h"

#endif
