/* SPDX-License-Identifier: MIT */
/*
 * egress.c - packets on their way out
 *
 * Builds IP headers, fragments datagrams that are larger than the path's MTU and loops packets that are
 * for one of our own addresses. TCP never needs fragments: its segments follow the MTU.
 *
 * Looped packets wait in a queue, because whoever sends is in the middle of something; the queue
 * runs at the end of stack_input_done and stack_tick.
 */
#include "stack/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sodium.h>

/** egress_checksum4() - fills in the checksum of the IPv4 header @h, which has no options */
void egress_checksum4(uint8_t *h)
{
	uint16_t sum;

	put16(h + 10, 0);
	sum = (uint16_t)~checksum_fold(checksum_add(0, h, IP4_HEADER_BYTES));
	memcpy(h + 10, &sum, 2);
}

static size_t header4(uint8_t *h, const struct ip_header *ip, size_t payload_len, uint16_t id,
		      uint16_t fragment)
{
	h[0] = IP4_FIRST_BYTE;
	h[1] = ip->tos;
	put16(h + 2, (uint32_t)(IP4_HEADER_BYTES + payload_len));
	put16(h + 4, id);
	put16(h + 6, fragment);
	h[8] = ip->ttl;
	h[9] = ip->proto;
	memcpy(h + 12, ip->from->ip + 12, 4);
	memcpy(h + 16, ip->to->ip + 12, 4);
	egress_checksum4(h);
	return IP4_HEADER_BYTES;
}

size_t egress_header(uint8_t *h, const struct ip_header *ip, size_t payload_len, uint16_t id,
		     uint16_t fragment)
{
	if (stack_addr_is_v4(ip->to))
		return header4(h, ip, payload_len, id, fragment);
	put32(h, 6u << 28 | (uint32_t)ip->tos << 20);
	put16(h + 4, (uint32_t)payload_len);
	h[6] = ip->proto;
	h[7] = ip->ttl;
	memcpy(h + 8, ip->from->ip, 16);
	memcpy(h + 24, ip->to->ip, 16);
	return IP6_HEADER_BYTES;
}

static int loop_packet(struct stack *s, const struct iovec *iov, int n, size_t len)
{
	struct looped *l;
	size_t at = 0;
	int i;

	if (s->loop_len >= LOOP_PACKETS_MAX)
		return -ENOBUFS;
	l = malloc(sizeof(*l) + len);
	if (!l)
		return -ENOBUFS;
	for (i = 0; i < n; i++) {
		memcpy(l->data + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	l->len = len;
	l->next = NULL;
	*s->loop_tail = l;
	s->loop_tail = &l->next;
	s->loop_len++;
	return 0;
}

int egress_packet(struct stack *s, const struct stack_addr *to, const struct iovec *iov, int n,
		  size_t len)
{
	if (stack_is_local(s, to))
		return loop_packet(s, iov, n, len);
	s->stats.tx_packets++;
	return s->ops->output(s->ctx, iov, n, len);
}

/** egress_room() - where a packet of @len bytes to @to is written */
uint8_t *egress_room(struct stack *s, const struct stack_addr *to, size_t len)
{
	if (s->ops->room && !stack_is_local(s, to))
		return s->ops->room(s->ctx, len);
	return s->packet;
}

/** egress_written() - the packet that was written to egress_room's place leaves */
int egress_written(struct stack *s, const struct stack_addr *to, uint8_t *packet, size_t len)
{
	const struct iovec iov = {packet, len};

	if (packet == s->packet)
		return egress_packet(s, to, &iov, 1, len);
	s->stats.tx_packets++;
	return s->ops->written(s->ctx, packet, len);
}

/* Takes @len bytes from (*iov, *at) on into @out; returns the number of pieces. */
static int slice(const struct iovec **iov, size_t *at, size_t len, struct iovec *out)
{
	int n = 0;

	while (len > 0) {
		size_t take = (*iov)->iov_len - *at;

		if (take > len)
			take = len;
		if (take > 0) {
			out[n].iov_base = (uint8_t *)(*iov)->iov_base + *at;
			out[n++].iov_len = take;
		}
		*at += take;
		len -= take;
		if (*at == (*iov)->iov_len) {
			(*iov)++;
			*at = 0;
		}
	}
	return n;
}

/** struct fragment - @len bytes at @offset of the datagram with @id; @more of it follow */
struct fragment {
	size_t len, offset;
	bool more;
	uint32_t id;
};

/* The bytes of @part are in the @n pieces behind @pieces[0], which is room for the headers. */
static int send_fragment(struct stack *s, const struct ip_header *ip, const struct fragment *part,
			 struct iovec *pieces, int n)
{
	uint8_t header[IP6_HEADER_BYTES + IP6_FRAGMENT_BYTES];
	size_t h;

	if (stack_addr_is_v4(ip->to)) {
		h = egress_header(
			header, ip, part->len, (uint16_t)part->id,
			(uint16_t)(part->offset / 8 | (part->more ? IP4_MORE_FRAGMENTS : 0)));
	} else {
		struct ip_header outer = *ip;

		outer.proto = PROTO_FRAGMENT;
		h = egress_header(header, &outer, part->len + IP6_FRAGMENT_BYTES, 0, 0);
		header[h] = ip->proto;
		header[h + 1] = 0;
		put16(header + h + 2, (uint32_t)part->offset | part->more);
		put32(header + h + 4, part->id);
		h += IP6_FRAGMENT_BYTES;
	}
	pieces[0].iov_base = header;
	pieces[0].iov_len = h;
	return egress_packet(s, ip->to, pieces, n + 1, h + part->len);
}

/*
 * RFC 7739 5.3: identifications for one destination begin somewhere and count on, so that
 * fragments of different datagrams do not meet (RFC 4963), and tell nothing of what goes elsewhere.
 */
static uint32_t next_id(struct stack *s, const struct ip_header *ip)
{
	uint8_t about[16 + 16 + 4 + 1];
	uint64_t hash;

	memcpy(about, ip->from->ip, 16);
	memcpy(about + 16, ip->to->ip, 16);
	memcpy(about + 32, &s->id_salt, 4);
	about[36] = ip->proto;
	crypto_shorthash((unsigned char *)&hash, about, sizeof(about), s->hash_key);
	return (uint32_t)(hash >> 32) + s->ids[hash % DATAGRAM_IDS]++;
}

enum { EGRESS_PIECES_MAX = 64 };

int egress_datagram(struct stack *s, const struct ip_header *ip, const void *head, size_t head_len,
		    const struct iovec *iov, int n)
{
	bool v4 = stack_addr_is_v4(ip->to);
	size_t ip_len = v4 ? IP4_HEADER_BYTES : IP6_HEADER_BYTES;
	struct iovec all[EGRESS_PIECES_MAX + 1], out[EGRESS_PIECES_MAX + 2];
	const struct iovec *at = all;
	size_t len = head_len, offset = 0, in_piece = 0, most;
	size_t mtu = ip->fragments & FLOW_INTERFACE_MTU ? s->mtu : paths_mtu(s, ip->to);
	uint32_t id = 0;
	int i, err = 0;

	if (n > EGRESS_PIECES_MAX)
		return -EMSGSIZE;
	all[0].iov_base = (void *)(uintptr_t)head;
	all[0].iov_len = head_len;
	for (i = 0; i < n; i++) {
		all[i + 1] = iov[i];
		len += iov[i].iov_len;
	}
	if (ip_len + len > mtu && (ip->fragments & FLOW_WHOLE))
		return -EMSGSIZE;
	if (v4 || ip_len + len > mtu)
		id = next_id(s, ip);
	if (ip_len + len <= mtu) {
		uint8_t header[IP6_HEADER_BYTES];

		out[0].iov_base = header;
		out[0].iov_len = egress_header(header, ip, len, (uint16_t)id,
					       ip->fragments & FLOW_DF ? IP4_DONT_FRAGMENT : 0);
		memcpy(out + 1, all, sizeof(*all) * (size_t)(n + 1));
		return egress_packet(s, ip->to, out, n + 2, ip_len + len);
	}
	most = (mtu - ip_len - (v4 ? 0 : IP6_FRAGMENT_BYTES)) & ~(size_t)7;
	while (offset < len && err == 0) {
		size_t left = len - offset;
		const struct fragment part = {.len = left < most ? left : most,
					      .offset = offset,
					      .more = left > most,
					      .id = id};

		err = send_fragment(s, ip, &part, out, slice(&at, &in_piece, part.len, out + 1));
		offset += part.len;
	}
	return err;
}

/** egress_loop_run() - deliver what was sent to ourselves, including what that causes */
void egress_loop_run(struct stack *s)
{
	unsigned int budget = LOOP_PACKETS_MAX;

	while (s->loop && budget-- > 0) {
		struct looped *l = s->loop;

		s->loop = l->next;
		if (!s->loop)
			s->loop_tail = &s->loop;
		s->loop_len--;
		ingress_packet(s, l->data, l->len, true);
		free(l);
	}
}

void egress_loop_free(struct stack *s)
{
	while (s->loop) {
		struct looped *l = s->loop;

		s->loop = l->next;
		free(l);
	}
	s->loop_tail = &s->loop;
	s->loop_len = 0;
}
