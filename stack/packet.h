/* SPDX-License-Identifier: MIT */
/* packet.h - IP, TCP, UDP and ICMP headers as bytes: numbers, fields, checksums */
#ifndef STACK_PACKET_H
#define STACK_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stack/addr.h"

enum {
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_FRAGMENT = 44, /* IPv6's fragment header */
	PROTO_ICMPV6 = 58,
};

enum {
	IP4_HEADER_BYTES = 20,
	IP6_HEADER_BYTES = 40,
	UDP_HEADER_BYTES = 8,
	TCP_HEADER_BYTES = 20,
	TCP_OPTIONS_MAX_BYTES = 40,
	ICMP_HEADER_BYTES = 8,
	IP6_FRAGMENT_BYTES = 8,
};

enum {
	IP4_FIRST_BYTE = 0x45, /* version 4, a header of 20 bytes */
	/* Flags and offset in units of 8 bytes, host order */
	IP4_DONT_FRAGMENT = 0x4000,
	IP4_MORE_FRAGMENTS = 0x2000,
	IP4_FRAGMENT_OFFSET = 0x1fff,
	TTL_DEFAULT = 64, /* Linux's ip_default_ttl */
};

/* Offsets of fields in a TCP header (RFC 9293 3.1); kinds of options (RFC 2018 3) */
enum {
	TCP_SEQ_AT = 4,
	TCP_ACK_AT = 8,
	TCP_OFFSET_AT = 12, /* its high four bits: the header's length in units of 4 bytes */
	TCP_FLAGS_AT = 13,
	TCP_WINDOW_AT = 14,
	TCP_CHECKSUM_AT = 16,
};
enum { TCP_OPTION_END = 0, TCP_OPTION_NOP = 1, TCP_OPTION_SACK = 5 };

/**
 * struct ip_packet - a whole, validated inner packet
 * @from, @to:	Addresses, ports 0
 * @start, @len: From the IP header on
 * @payload, @payload_len: From the transport header on
 * @looped:	Sent by ourselves
 */
struct ip_packet {
	struct stack_addr from, to;
	const uint8_t *start, *payload;
	size_t len, payload_len;
	uint8_t proto, ttl, tos;
	bool v6, looped;
};

/**
 * struct ip_header - what leaves says in its IP header
 * @proto:	Of what follows it
 * @fragments:	FLOW_*: what becomes of a datagram that is larger than the MTU
 */
struct ip_header {
	const struct stack_addr *from, *to;
	uint8_t proto, ttl, tos, fragments;
};

/* checksum.c - Internet checksum (RFC 1071) in memory order, not inverted until the end */
uint64_t checksum_add(uint64_t sum, const void *data, size_t len);
uint64_t checksum_copy(void *to, const void *from, size_t len);
uint16_t checksum_fold(uint64_t sum);
uint64_t checksum_pseudo(const struct stack_addr *from, const struct stack_addr *to, uint8_t proto,
			 size_t len);

static inline void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)((unsigned int)p[0] << 8 | p[1]);
}

static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* Header and options, in bytes; ingress.c has checked that they are there. */
static inline size_t tcp_header_len(const uint8_t *tcp)
{
	return (size_t)(tcp[TCP_OFFSET_AT] >> 4) * 4;
}

#endif
