/* SPDX-License-Identifier: MIT */
/*
 * ingress.c - the fence: no packet gets further that is not well-formed and for us
 *
 * The tunnel's peer has authenticated the outer packet, but who wrote the inner one is unknown.
 * Checked here, once, for all protocols: versions and lengths, that the destination is one of our
 * addresses and the source a unicast address that is not (land attack), checksums of header,
 * TCP, UDP and ICMP, lengths of the TCP header and of its options. IPv4 options are dropped with
 * their packet; IPv6 hop-by-hop and destination options are skipped; routing headers with segments
 * left are refused (RFC 5095). Fragments go to fragments.c and come back whole, through this fence
 * again.
 */
#include "stack/internal.h"

enum {
	IP6_HOP_BY_HOP = 0,
	IP6_ROUTING = 43,
	IP6_DESTINATION = 60,
};

static bool parse4(const uint8_t *h, size_t len, struct ip_packet *p, bool *fragment)
{
	size_t total;

	if (len < IP4_HEADER_BYTES || h[0] != IP4_FIRST_BYTE)
		return false;
	total = get16(h + 2);
	if (total < IP4_HEADER_BYTES || total > len)
		return false;
	if (checksum_fold(checksum_add(0, h, IP4_HEADER_BYTES)) != 0xffff)
		return false;
	p->start = h;
	p->len = total;
	p->payload = h + IP4_HEADER_BYTES;
	p->payload_len = total - IP4_HEADER_BYTES;
	p->tos = h[1];
	p->ttl = h[8];
	p->proto = h[9];
	p->v6 = false;
	stack_ip_set_v4(p->from.ip, h + 12);
	stack_ip_set_v4(p->to.ip, h + 16);
	*fragment = (get16(h + 6) & (IP4_MORE_FRAGMENTS | IP4_FRAGMENT_OFFSET)) != 0;
	return true;
}

/* Skips extension headers: @at is the first header after the fixed one, of type @next. */
static bool skip6(const uint8_t *end, const uint8_t **at, uint8_t *next, bool *fragment)
{
	int n;

	for (n = 0; n < IP6_EXTENSION_HEADERS_MAX; n++) {
		size_t len;

		switch (*next) {
		case PROTO_FRAGMENT:
			*fragment = true;
			return end - *at >= IP6_FRAGMENT_BYTES;
		case IP6_HOP_BY_HOP:
			if (n > 0)
				return false;
			break;
		case IP6_ROUTING:
			if (end - *at < 8 || (*at)[3] != 0)
				return false;
			break;
		case IP6_DESTINATION:
			break;
		default:
			return true;
		}
		if (end - *at < 8)
			return false;
		len = ((size_t)(*at)[1] + 1) * 8;
		if ((size_t)(end - *at) < len)
			return false;
		*next = (*at)[0];
		*at += len;
	}
	return false;
}

static bool parse6(const uint8_t *h, size_t len, struct ip_packet *p, bool *fragment)
{
	size_t total;

	if (len < IP6_HEADER_BYTES)
		return false;
	total = IP6_HEADER_BYTES + (size_t)get16(h + 4);
	if (total > len)
		return false;
	p->start = h;
	p->len = total;
	p->payload = h + IP6_HEADER_BYTES;
	p->proto = h[6];
	p->tos = (uint8_t)(get16(h) >> 4);
	p->ttl = h[7];
	p->v6 = true;
	memcpy(p->from.ip, h + 8, 16);
	memcpy(p->to.ip, h + 24, 16);
	*fragment = false;
	/* an IPv4-mapped address on the wire would pass for IPv4 (RFC 4942 2.2) */
	if (stack_addr_is_v4(&p->from) || stack_addr_is_v4(&p->to))
		return false;
	if (!skip6(h + total, &p->payload, &p->proto, fragment))
		return false;
	p->payload_len = (size_t)(h + total - p->payload);
	return true;
}

/* Finds the transport header behind IPv6 extension headers; false: drop it. */
static bool parse(const uint8_t *packet, size_t len, struct ip_packet *p, bool *fragment)
{
	if (len < 1)
		return false;
	if (packet[0] >> 4 == 4)
		return parse4(packet, len, p, fragment);
	return packet[0] >> 4 == 6 && parse6(packet, len, p, fragment);
}

/* Sources that no packet from outside can have. */
static bool martian(const struct stack *s, const struct ip_packet *p)
{
	const struct stack_addr *a = &p->from;

	if (p->looped)
		return false;
	if (stack_addr_is_any(a) || stack_addr_is_loopback(a) || stack_is_local(s, a))
		return true;
	if (p->v6)
		return a->ip[0] == 0xff;
	return a->ip[12] == 0 || a->ip[12] >= 224;
}

static bool options_sound(const uint8_t *o, const uint8_t *end)
{
	while (o < end && *o != TCP_OPTION_END) {
		if (*o == TCP_OPTION_NOP) {
			o++;
			continue;
		}
		if (end - o < 2 || o[1] < 2 || o[1] > end - o)
			return false;
		o += o[1];
	}
	return true;
}

static bool tcp_sound(const struct ip_packet *p)
{
	size_t header;

	if (p->payload_len < TCP_HEADER_BYTES)
		return false;
	header = tcp_header_len(p->payload);
	if (header < TCP_HEADER_BYTES || header > p->payload_len)
		return false;
	if (get16(p->payload) == 0 || get16(p->payload + 2) == 0)
		return false;
	return options_sound(p->payload + TCP_HEADER_BYTES, p->payload + header);
}

static bool checksum_right(const struct ip_packet *p)
{
	uint64_t sum;

	if (p->looped)
		return true;
	if (p->proto == PROTO_ICMP)
		sum = 0;
	else
		sum = checksum_pseudo(&p->from, &p->to, p->proto, p->payload_len);
	return checksum_fold(checksum_add(sum, p->payload, p->payload_len)) == 0xffff;
}

/* UDP's own length may be shorter than the packet's; the rest is padding. */
static bool udp_sound(struct ip_packet *p)
{
	size_t len;

	if (p->payload_len < UDP_HEADER_BYTES)
		return false;
	len = get16(p->payload + 4);
	if (len < UDP_HEADER_BYTES || len > p->payload_len)
		return false;
	p->payload_len = len;
	if (get16(p->payload + 6) == 0) /* RFC 768: none; RFC 8200 8.1: not with IPv6 */
		return !p->v6;
	return checksum_right(p);
}

static bool deliver(struct stack *s, struct ip_packet *p)
{
	switch (p->proto) {
	case PROTO_TCP:
		if (!tcp_sound(p) || !checksum_right(p))
			return false;
		demux_input(s, p);
		return true;
	case PROTO_UDP:
		if (!udp_sound(p))
			return false;
		udp_input(s, p);
		return true;
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		if (p->v6 != (p->proto == PROTO_ICMPV6) || p->payload_len < ICMP_HEADER_BYTES ||
		    !checksum_right(p))
			return false;
		icmp_input(s, p);
		return true;
	default:
		return false;
	}
}

static bool accepted(struct stack *s, const uint8_t *packet, size_t len, bool looped, bool whole)
{
	struct ip_packet p = {.looped = looped};
	bool fragment, ok;
	uint8_t *all;
	size_t all_len;

	if (!parse(packet, len, &p, &fragment))
		return false;
	if (!stack_is_local(s, &p.to) || martian(s, &p))
		return false;
	if (!fragment)
		return deliver(s, &p);
	if (whole || !fragments_add(s, &p, &all, &all_len))
		return !whole;
	ok = accepted(s, all, all_len, looped, true);
	fragments_release(all);
	return ok;
}

/** ingress_packet() - an inner packet; what is not acceptable is counted and dropped silently */
void ingress_packet(struct stack *s, const uint8_t *packet, size_t len, bool looped)
{
	if (!looped)
		s->stats.rx_packets++;
	if (!looped && gro_continue(s, packet, len))
		return;
	if (!accepted(s, packet, len, looped, false))
		s->stats.rx_fenced++;
}
