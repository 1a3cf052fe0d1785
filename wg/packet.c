/* SPDX-License-Identifier: MIT */
/*
 * packet.c - the little that the engine looks at in inner IP packets
 */
#include "wg/packet.h"

#include <sys/socket.h>

#include "wg/bytes.h"
#include "wg/messages.h"

enum {
	IPV4_HEADER_BYTES = 20,
	IPV4_TOS = 1,
	IPV4_LENGTH = 2,
	IPV4_CHECKSUM = 10,
	IPV4_SOURCE = 12,
	IPV4_DESTINATION = 16,
	IPV6_HEADER_BYTES = 40,
	IPV6_LENGTH = 4,
	IPV6_SOURCE = 8,
	IPV6_DESTINATION = 24,
};

enum { NOT_ECT = 0, ECT_1 = 1, ECT_0 = 2, CE = 3 };

int wg_packet_family(const uint8_t *packet, size_t len)
{
	if (len >= IPV4_HEADER_BYTES && packet[0] >> 4 == 4)
		return AF_INET;
	if (len >= IPV6_HEADER_BYTES && packet[0] >> 4 == 6)
		return AF_INET6;
	return 0;
}

size_t wg_packet_declared_len(const uint8_t *packet, size_t len)
{
	size_t declared;

	switch (wg_packet_family(packet, len)) {
	case AF_INET:
		declared = wg_get_be16(packet + IPV4_LENGTH);
		if (declared < IPV4_HEADER_BYTES)
			return 0;
		break;
	case AF_INET6:
		declared = (size_t)wg_get_be16(packet + IPV6_LENGTH) + IPV6_HEADER_BYTES;
		break;
	default:
		return 0;
	}
	return declared <= len ? declared : 0;
}

const uint8_t *wg_packet_source(const uint8_t *packet, int family)
{
	return packet + (family == AF_INET6 ? IPV6_SOURCE : IPV4_SOURCE);
}

const uint8_t *wg_packet_destination(const uint8_t *packet, int family)
{
	return packet + (family == AF_INET6 ? IPV6_DESTINATION : IPV4_DESTINATION);
}

uint8_t wg_packet_ecn(const uint8_t *packet, int family)
{
	if (family == AF_INET6)
		return packet[1] >> 4 & WG_ECN_MASK;
	return packet[IPV4_TOS] & WG_ECN_MASK;
}

static void set_ecn(uint8_t *packet, int family, uint8_t ecn)
{
	uint16_t before, after;
	uint32_t sum;

	if (family == AF_INET6) {
		packet[1] = (uint8_t)((packet[1] & ~(WG_ECN_MASK << 4)) | ecn << 4);
		return;
	}
	before = wg_get_be16(packet);
	packet[IPV4_TOS] = (uint8_t)((packet[IPV4_TOS] & ~WG_ECN_MASK) | ecn);
	after = wg_get_be16(packet);

	/* RFC 1624, equation 3 */
	sum = (uint16_t)~wg_get_be16(packet + IPV4_CHECKSUM);
	sum += (uint16_t)~before;
	sum += after;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	wg_put_be16(packet + IPV4_CHECKSUM, (uint16_t)~sum);
}

void wg_packet_decapsulate_ecn(uint8_t *packet, int family, uint8_t outer_tos)
{
	uint8_t inner = wg_packet_ecn(packet, family), outer = outer_tos & WG_ECN_MASK;

	if (inner == NOT_ECT || inner == outer)
		return;
	if (outer == CE || (outer == ECT_1 && inner == ECT_0))
		set_ecn(packet, family, outer);
}

size_t wg_packet_padded(size_t len, size_t mtu)
{
	size_t padded = (len + WG_PADDING_BYTES - 1) & ~(size_t)(WG_PADDING_BYTES - 1);

	if (padded > mtu)
		padded = mtu;
	return padded < len ? len : padded;
}
