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

static bool plain(const struct ip_packet *p)
{
	uint8_t flags = p->payload[TCP_FLAGS_AT];

	return p->payload[12] == PLAIN && (flags & ~(TCP_ACK | TCP_PSH)) == 0 && (flags & TCP_ACK);
}

/* Takes over ACK number, window, checksum field (nobody looks at it) and PSH. */
static void renew_header(struct flow *f, const uint8_t *tcp)
{
	uint8_t *h = header_of(f);

	memcpy(h + 8, tcp + 8, 4);
	h[TCP_FLAGS_AT] |= tcp[TCP_FLAGS_AT];
	memcpy(h + 14, tcp + 14, 2);
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
	f->gro_next = get32(p->payload + 4) + (uint32_t)(p->payload_len - TCP_HEADER_BYTES);
	f->gro_segments = 1;
	return true;
}

static bool merge(struct flow *f, const struct ip_packet *p)
{
	size_t len = p->payload_len - TCP_HEADER_BYTES;
	uint32_t ahead = get32(p->payload + 8) - get32(header_of(f) + 8);

	if (get32(p->payload + 4) != f->gro_next || (int32_t)ahead < 0)
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
	memcpy((uint8_t *)f->gro->payload + f->gro->len, p->payload + TCP_HEADER_BYTES, len);
	f->gro->len = f->gro->tot_len = (u16_t)(f->gro->len + len);
	f->gro_next += (uint32_t)len;
	f->gro_segments++;
	renew_header(f, p->payload);
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
	if (!plain(p) || f->state != FLOW_OPEN) {
		gro_flush(f);
		return false;
	}
	if (f->gro && merge(f, p))
		return true;
	gro_flush(f);
	return f->state == FLOW_OPEN && begin(f, p);
}
