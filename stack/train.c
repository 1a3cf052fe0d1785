/* SPDX-License-Identifier: MIT */
/*
 * train.c - segments that leave as several packets (patch 12)
 *
 * A segment that refers to written memory (written.c) may be longer than the MSS: one record is
 * queued, found and freed instead of many. Here it is cut by the MSS and each packet is written
 * to where it is sealed; the data is summed while it is copied there.
 *
 * What is in flight is counted in packets all the same (scoreboard.c), and any packet of a train
 * can be lost and leave again alone. How long trains are follows the pacing rate, so that they do
 * not make bursts longer than pacing wants them: see stack_sender_train_max.
 */
#include "stack/internal.h"

#include <assert.h>

#include "lwip/priv/tcp_priv.h"

#include "stack/lwip_hooks.h"

static_assert(IP6_HEADER_BYTES + TCP_HEADER_BYTES + TCP_MSS <= SEGMENT_PACKET_MAX_BYTES,
	      "egress_room lends that much");

/* The packet with the @len bytes at @data and the header @tcp; @sum: of the pseudo header, without
 * the length */
static void send_packet(struct flow *f, uint64_t sum, const uint8_t *tcp, const uint8_t *data,
			uint16_t len)
{
	const struct tcp_pcb *pcb = f->pcb;
	const struct ip_header ip = {.from = &f->local,
				     .to = &f->remote,
				     .proto = PROTO_TCP,
				     .ttl = pcb->ttl,
				     .tos = pcb->tos};
	struct stack *s = f->stack;
	size_t segment_len = TCP_HEADER_BYTES + (size_t)len, packet_len;
	uint8_t *packet, *at;
	uint16_t folded;

	packet_len =
		segment_len + (stack_addr_is_v4(&f->remote) ? IP4_HEADER_BYTES : IP6_HEADER_BYTES);
	packet = egress_room(s, &f->remote, packet_len);
	at = packet +
	     egress_header(packet, &ip, segment_len, (uint16_t)f->tx_segs, IP4_DONT_FRAGMENT);
	memcpy(at, tcp, TCP_HEADER_BYTES);
	sum += lwip_htons((uint16_t)segment_len);
	sum = checksum_add(sum, tcp, TCP_HEADER_BYTES);
	sum += checksum_copy(at + TCP_HEADER_BYTES, data, len);
	folded = (uint16_t)~checksum_fold(sum);
	memcpy(at + TCP_CHECKSUM_AT, &folded, sizeof(folded));

	f->tx_segs++;
	if (seq_before(get32(tcp + TCP_SEQ_AT), pcb->snd_nxt) && pcb->persist_backoff == 0)
		s->stats.tcp_retransmits++;
	/* What cannot be sent is lost, as on any network: the timers repeat it */
	egress_written(s, &f->remote, packet, packet_len);
}

err_t stack_train_output(struct tcp_pcb *pcb, const struct tcp_seg *seg, u32_t from, u16_t len)
{
	struct flow *f = pcb->callback_arg;
	uint32_t first = lwip_ntohl(seg->tcphdr->seqno), end = first + seg->len;
	uint64_t sum = checksum_pseudo(&f->local, &f->remote, PROTO_TCP, 0);
	const uint8_t *data = TCP_PBUF_REF(seg->p)->payload;
	uint8_t tcp[TCP_HEADER_BYTES], flags, last;

	memcpy(tcp, seg->tcphdr, sizeof(tcp)); /* data has no options: no timestamps */
	put16(tcp + TCP_CHECKSUM_AT, 0);
	flags = tcp[TCP_FLAGS_AT];
	last = flags & (TCP_FIN | TCP_PSH);
	acks_carried(f, tcp);
	do {
		uint16_t n = len < pcb->mss ? len : pcb->mss;

		put32(tcp + TCP_SEQ_AT, from);
		tcp[TCP_FLAGS_AT] = from + n == end ? flags : (uint8_t)(flags & ~last);
		send_packet(f, sum, tcp, data + (from - first), n);
		from += n;
		len = (uint16_t)(len - n);
	} while (len > 0);
	return ERR_OK;
}
