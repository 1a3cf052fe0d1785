/* SPDX-License-Identifier: MIT */
/*
 * gro.c - consecutive segments of a connection become one before lwIP sees them
 *
 * What lwIP costs is per segment, and a batch of input has dozens of one connection. In-order
 * segments without options are copied behind each other into one block, and runs of pure ACKs
 * leave their last one; the connection's segment waits until the batch ends or something else
 * for the connection arrives. Nothing is lost by that: all packets of a batch have the same time,
 * and what counts singly is never merged: options (SACK), duplicate ACKs, SYN, FIN, RST.
 *
 * One that follows what waits is recognised before the fence, as most are (gro_continue).
 *
 * Where several are expected they are put together in a block of GRO_BLOCK_BYTES. One that is not
 * full is read in a moment, if little waits; else what is in it waits in memory of its own size.
 */
#include "stack/internal.h"

#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"

#include "stack/demux.h"

enum { PLAIN = TCP_HEADER_BYTES / 4 << 4 }; /* a header without options, reserved bits unset */

static uint8_t *header_of(struct flow *f)
{
	return f->gro->payload;
}

static size_t waiting_bytes(const struct flow *f)
{
	return f->gro->len - (size_t)TCP_HEADER_BYTES;
}

static bool plain(const uint8_t *tcp)
{
	uint8_t flags = tcp[TCP_FLAGS_AT];

	return tcp[TCP_OFFSET_AT] == PLAIN && (flags & ~(TCP_ACK | TCP_PSH)) == 0 &&
	       (flags & TCP_ACK);
}

/* Takes over ACK number, window, checksum field (nobody looks at it) and PSH. */
static void renew_header(struct flow *f, const uint8_t *tcp)
{
	uint8_t *h = header_of(f);

	memcpy(h + TCP_ACK_AT, tcp + TCP_ACK_AT, 4);
	h[TCP_FLAGS_AT] |= tcp[TCP_FLAGS_AT];
	memcpy(h + TCP_WINDOW_AT, tcp + TCP_WINDOW_AT, 2);
}

/* Whether lwIP would take @tcp's ACK number (patch 13). What it would drop must not be taken along
 * by what follows. */
static bool acceptable(const struct flow *f, const uint8_t *tcp)
{
	const struct tcp_pcb *pcb = f->pcb;

	return TCP_SEQ_BETWEEN(get32(tcp + TCP_ACK_AT), pcb->lastack - pcb->snd_wnd_max,
			       pcb->snd_nxt);
}

static bool begin(struct flow *f, const struct ip_packet *p)
{
	size_t room = p->payload_len;

	if (room > TCP_HEADER_BYTES && f->gro_merges)
		room = LWIP_MAX(room, (size_t)GRO_BLOCK_BYTES);
	f->gro = pbuf_alloc(PBUF_RAW, (u16_t)room, PBUF_RAM);
	if (!f->gro)
		return false;
	memcpy(f->gro->payload, p->payload, p->payload_len);
	f->gro_space = (uint32_t)room;
	f->gro->len = f->gro->tot_len = (u16_t)p->payload_len;
	f->gro_next =
		get32(p->payload + TCP_SEQ_AT) + (uint32_t)(p->payload_len - TCP_HEADER_BYTES);
	f->gro_segments = 1;
	f->gro_looped = p->looped;
	return true;
}

/* May @len bytes behind the header @tcp go behind what waits? */
static bool follows(struct flow *f, const uint8_t *tcp, size_t len)
{
	uint32_t ack = get32(tcp + TCP_ACK_AT), ahead = ack - get32(header_of(f) + TCP_ACK_AT);

	if (get32(tcp + TCP_SEQ_AT) != f->gro_next || (int32_t)ahead < 0)
		return false;
	if (TCP_SEQ_GT(ack, f->pcb->snd_nxt)) /* dropped, and alone (patch 13) */
		return false;
	if (len == 0) {
		if (ahead == 0) /* a duplicate, or a window update */
			return false;
	} else if (waiting_bytes(f) == 0) {
		return false;
	} else if (f->gro->len + len > f->gro_space) {
		f->gro_merges = true;
		return false;
	}
	return true;
}

static uint8_t *end_of(struct flow *f)
{
	return header_of(f) + f->gro->len;
}

/* @len bytes have been copied to end_of(@f); their header was @tcp. */
static void appended(struct flow *f, const uint8_t *tcp, size_t len)
{
	f->gro->len = f->gro->tot_len = (u16_t)(f->gro->len + len);
	f->gro_next += (uint32_t)len;
	f->gro_segments++;
	renew_header(f, tcp);
}

static bool merge(struct flow *f, const struct ip_packet *p)
{
	size_t len = p->payload_len - TCP_HEADER_BYTES;

	if (!follows(f, p->payload, len))
		return false;
	memcpy(end_of(f), p->payload + TCP_HEADER_BYTES, len);
	appended(f, p->payload, len);
	return true;
}

/* What lwIP gets: the block, or, where much waits already and it is not full, what is in it. */
static struct pbuf *fitting(struct flow *f)
{
	const size_t used = f->stack->rx_bytes < GRO_LOOSE_BYTES ? f->gro_space / 8
								 : f->gro_space - f->gro_space / 4;
	struct pbuf *p = f->gro, *smaller;

	if (p->len >= used)
		return p;
	smaller = pbuf_alloc(PBUF_RAW, p->len, PBUF_RAM);
	if (!smaller)
		return p;
	memcpy(smaller->payload, p->payload, p->len);
	pbuf_free(p);
	return smaller;
}

/** gro_flush() - lwIP gets what waits */
void gro_flush(struct flow *f)
{
	struct pbuf *p = f->gro;

	if (!p)
		return;
	if (!f->pcb || f->state == FLOW_TIME_WAIT) {
		gro_drop(f);
		return;
	}
	/* RFC 9293 3.8.6.3: two full segments are acknowledged at once; here, when the batch
	 * ends */
	f->ack_wanted |= f->gro_segments > 1 && waiting_bytes(f) > 0;
	if (f->gro_segments == 1 && f->gro_space >= GRO_BLOCK_BYTES)
		f->gro_merges = false;
	p = fitting(f);
	f->gro = NULL;
	f->tx.n_sacks = 0;
	demux_enter(f);
	demux_segment(p, &f->remote, &f->local);
	demux_leave(f);
}

void gro_drop(struct flow *f)
{
	if (f->gro)
		pbuf_free(f->gro);
	f->gro = NULL;
}

/** gro_take() - keeps @p for the end of the batch; false: it is for lwIP now */
bool gro_take(struct flow *f, const struct ip_packet *p)
{
	if (!plain(p->payload) || f->state != FLOW_OPEN) {
		gro_flush(f);
		return false;
	}
	if (f->gro && merge(f, p))
		return true;
	gro_flush(f);
	return f->state == FLOW_OPEN && acceptable(f, p->payload) && begin(f, p);
}

/* A whole segment between @f's addresses and ports without IP options or extension headers: its
 * TCP header, or NULL. @data: bytes behind it; @sum: of pseudo header and TCP header */
static const uint8_t *segment_of(const struct flow *f, const uint8_t *packet, size_t len,
				 size_t *data, uint64_t *sum)
{
	const bool v4 = stack_addr_is_v4(&f->local);
	const size_t skip = v4 ? 12 : 0, addr_bytes = 16 - skip;
	const size_t header = v4 ? IP4_HEADER_BYTES : IP6_HEADER_BYTES;
	const uint8_t *tcp, *addrs;
	uint8_t rest[8] = {0}; /* of the pseudo header */
	size_t total;

	if (len < header + TCP_HEADER_BYTES)
		return NULL;
	tcp = packet + header;
	addrs = tcp - 2 * addr_bytes;
	if (v4) {
		total = get16(packet + 2);
		if (packet[0] != IP4_FIRST_BYTE || packet[9] != PROTO_TCP ||
		    (get16(packet + 6) & (IP4_MORE_FRAGMENTS | IP4_FRAGMENT_OFFSET)) ||
		    checksum_fold(checksum_add(0, packet, header)) != 0xffff)
			return NULL;
	} else {
		total = header + get16(packet + 4);
		if (packet[0] >> 4 != 6 || packet[6] != PROTO_TCP)
			return NULL;
	}
	if (total > len || total < header + TCP_HEADER_BYTES)
		return NULL;
	if (memcmp(addrs, f->remote.ip + skip, addr_bytes) ||
	    memcmp(addrs + addr_bytes, f->local.ip + skip, addr_bytes) ||
	    get16(tcp) != f->remote.port || get16(tcp + 2) != f->local.port)
		return NULL;
	put32(rest, (uint32_t)(total - header));
	rest[7] = PROTO_TCP;
	*sum = checksum_add(checksum_add(0, rest, sizeof(rest)), addrs,
			    2 * addr_bytes + TCP_HEADER_BYTES);
	*data = total - header - TCP_HEADER_BYTES;
	return tcp;
}

/**
 * gro_continue() - a packet that follows what waits of the connection looked up last
 *
 * So do most packets of a download. Takes some of what ingress_packet takes, with the same effect
 * but one pass over the data: it is summed while it is copied. The fence has let the packet before
 * it pass, which had the same addresses.
 * Return: false: nothing has happened, ingress_packet is to look at it
 */
bool gro_continue(struct stack *s, const uint8_t *packet, size_t len)
{
	struct flow *f = s->last_found;
	const uint8_t *tcp;
	size_t data;
	uint64_t sum;

	if (!f || !f->gro || f->gro_looped || waiting_bytes(f) == 0 || f->state != FLOW_OPEN ||
	    s->rx_bytes >= RX_DROP_BYTES)
		return false;
	tcp = segment_of(f, packet, len, &data, &sum);
	if (!tcp || data == 0 || !plain(tcp) || !follows(f, tcp, data))
		return false;
	sum += checksum_copy(end_of(f), tcp + TCP_HEADER_BYTES, data);
	if (checksum_fold(sum) != 0xffff)
		return false;
	appended(f, tcp, data);
	f->rx_segs++;
	return true;
}
