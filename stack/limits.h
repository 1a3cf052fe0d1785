/* SPDX-License-Identifier: MIT */
/* limits.h - everything that the network or a program can make grow, in one place */
#ifndef STACK_LIMITS_H
#define STACK_LIMITS_H

enum {
	PORT_BUCKETS = 1024,
	SEND_PIECE_BYTES = 64 * 1024 - 1, /* one flow_send_iov; tcp_write takes a u16_t */
	/* What a packet has besides its data, where it is sealed: IPv4's, TCP's and WireGuard's */
	SEND_PACKET_OVERHEAD_BYTES = 72,
	SEND_MESSAGE_BYTES = 65507, /* UDP over IPv4 */
	/* Less than this is copied into segments; more stays where it was written (written.c) */
	SEND_REFER_BYTES = 24 * 1024,
	SEGMENT_PACKET_MAX_BYTES = 9000,   /* headers and TCP_MSS (lwipopts.h) */
	SEND_KEPT_BYTES = 2 * 1024 * 1024, /* free blocks of SEND_PIECE_BYTES */

	/* Receive window: starts here, grows up to TCP_WND while the consumer keeps up
	 * (window.c) */
	RX_SPACE_START_BYTES = 512 * 1024,
	OOSEQ_PBUFS_MAX = 18432, /* of a connection: TCP_WND in segments of 1380 bytes */
	OOSEQ_LEAST_BYTES = 256, /* what one of them counts for in the bounds below */
	MEMORY_KEPT_BYTES = 3 * 1024 * 1024, /* free segments (memory.c) */
	GRO_BLOCK_BYTES = 32 * 1024,	     /* segments of a batch that become one */
	GRO_KEPT_BYTES = 1024 * 1024,	     /* free blocks of that size (memory.c) */
	GRO_LOOSE_BYTES = 512 * 1024,	     /* unread in all, while blocks need not be full */
	/* Received bytes of all connections that are unread or out of order. Above the first,
	 * windows neither grow nor open, and new ones are 64 KiB; above the second, data for who
	 * does not read and what is out of order is dropped as if lost */
	RX_TOTAL_BYTES = 16 * 1024 * 1024,
	RX_DROP_BYTES = 32 * 1024 * 1024,
	/* Small segments are copied together so that they do not pin a buffer each */
	RX_COALESCE_BYTES = 256,
	RX_BLOCK_BYTES = 2048,

	/* Committed and unacknowledged bytes of a connection: this, or 3 * cwnd, up to
	 * TCP_SND_BUF */
	TX_SPACE_MIN_BYTES = 128 * 1024,
	/* Committed bytes that have not left yet */
	TX_AHEAD_BYTES = 32 * 1024,
	SEND_ROOM_MIN_BYTES = 32 * 1024, /* less does not make a full connection writable */
	/* Those of all connections; above, each has the space below */
	TX_TOTAL_BYTES = 26 * 1024 * 1024,
	TX_SPACE_PRESSED_BYTES = 16 * 1024,

	/* SYNs: so many leave together, the others one by one, repeats slower (syns.c) */
	SYNS_AT_ONCE = 64,
	SYN_GAP_NS = 125 * 1000,
	SYN_REPEAT_GAP_NS = 400 * 1000,
	SYN_LINES = 64, /* owners with the same remainder wait in one line */

	/* Answers of a connection to segments that change nothing: so many at once, then one per
	 * gap (acks.c; RFC 5961 7: ten in 5 s) */
	CHALLENGES_AT_ONCE = 10,
	CHALLENGE_GAP_NS = 500 * 1000 * 1000,

	FLOWS_MAX = 65536,
	TIME_WAIT_MAX = 4096,
	LISTENER_BACKLOG_MAX = 4096,

	DATAGRAM_IDS = 512, /* counters of IP identifications; destinations share them (egress.c) */

	FRAGMENT_SETS_MAX = 64,	  /* half of them of one source */
	FRAGMENT_PIECES_MAX = 64, /* per datagram */
	FRAGMENT_TIMEOUT_S = 30,  /* Linux: ipfrag_time */

	LOOP_PACKETS_MAX = 4096,
	LOOP_ROUNDS_MAX = 8, /* per stack_input_done; the rest is due at once */

	ICMP_ERRORS_PER_S = 100,
	ICMP_ERRORS_BURST = 50,

	IP6_EXTENSION_HEADERS_MAX = 8,

	/* No ICMP makes segments smaller than these: Linux's min_pmtu, RFC 8200 5 */
	PATH_MTU4_MIN_BYTES = 552,
	IP6_MTU_MIN_BYTES = 1280,

	/* Paths that take less than the tunnel, and datagrams that could tell of one (paths.c) */
	PATH_SETS = 64,
	PATH_WAYS = 4,
	PATH_NOTES = 1024,
	PATH_MTU_LIFE_S = 600, /* RFC 1191 6.3, RFC 8201 5.3; Linux: mtu_expires */
};

/* Least and first retransmission timeout, Linux's values; ticks of 10 ms */
enum {
	RTO_MIN_TICKS = 20,
	RTO_MAX_TICKS = 12000,
	SYN_RTO_TICKS = 100,
	DELAYED_ACK_TICKS = 4,
};

enum {
	CONNECT_TIMEOUT_MS = 127000, /* tcp_syn_retries 6 */
	RETRANSMIT_TIMEOUT_S = 925,  /* tcp_retries2 15 */
	/* The program has gone (tcp_orphan_retries): 8 retransmissions; a window that stays closed,
	 * until probes are 120 s apart */
	ORPHAN_TIMEOUT_S = 102,
	ORPHAN_PROBED_S = 325,
	FIN_WAIT2_TIMEOUT_S = 60, /* tcp_fin_timeout */
};

#endif
