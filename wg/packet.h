/* SPDX-License-Identifier: MIT */
/*
 * packet.h - the little that the engine looks at in inner IP packets
 */
#ifndef WG_PACKET_H
#define WG_PACKET_H

#include <stddef.h>
#include <stdint.h>

/* AF_INET or AF_INET6 of a packet of @len bytes that holds at least the fixed header; else 0. */
int wg_packet_family(const uint8_t *packet, size_t len);
/* The length that the packet's header declares; 0 if it is no packet or claims more than @len. */
size_t wg_packet_declared_len(const uint8_t *packet, size_t len);
/* Addresses in network order; @family as wg_packet_family() returned it. */
const uint8_t *wg_packet_source(const uint8_t *packet, int family);
const uint8_t *wg_packet_destination(const uint8_t *packet, int family);

/* The two ECN bits (RFC 3168). */
uint8_t wg_packet_ecn(const uint8_t *packet, int family);
/* Combines the outer header's ECN bits into the packet (RFC 6040, section 4.2), but never asks for
 * a drop: congestion that the packet cannot carry is left out. Keeps the IPv4 checksum right. */
void wg_packet_decapsulate_ecn(uint8_t *packet, int family, uint8_t outer_tos);

/* @len rounded up for section 5.4.6: to a multiple of WG_PADDING_BYTES, but not past @mtu. */
size_t wg_packet_padded(size_t len, size_t mtu);

#endif
