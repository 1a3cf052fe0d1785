/* SPDX-License-Identifier: MIT */
/*
 * flow.c - a TCP connection, as its owner sees it
 *
 * Received segments stay in lwIP's buffers, in order, until they are consumed; what was written is
 * in segments at once, or where segments refer to (written.c), so a connection that has nothing
 * queued costs about 800 bytes.
 *
 * What may be committed follows the congestion window, so that a slow path does not hide behind
 * megabytes of accepted bytes. What may be received is window.c's.
 *
 * lwIP's callbacks only note what happened (events.c says why).
 */
#include "stack/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"

#include "stack/demux.h"
#include "stack/lwip_port.h"

/* ---- life ---- */

struct flow *flow_alloc(struct stack *s)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->stack = s;
	f->tick = s->tick;
	f->all_next = s->flows;
	f->all_prev = &s->flows;
	if (s->flows)
		s->flows->all_prev = &f->all_next;
	s->flows = f;
	return f;
}

static void release_memory(struct flow *f)
{
	*f->all_prev = f->all_next;
	if (f->all_next)
		f->all_next->all_prev = f->all_prev;
	free(f);
}

static void drop_received(struct flow *f)
{
	if (f->rx_head)
		pbuf_free(f->rx_head);
	f->rx_head = f->rx_tail = NULL;
	f->stack->rx_bytes -= f->rx_bytes;
	f->rx_bytes = f->rx_skip = f->rx_room = 0;
}

/* Ends the owner's relation to @f. In TIME_WAIT the rest stays until demux_wait_expire. */
void flow_free(struct flow *f)
{
	events_unpost(f);
	drop_received(f);
	if (f->state == FLOW_TIME_WAIT) {
		f->ops = NULL;
		f->dead = false;
		return;
	}
	demux_untouch(f);
	timers_cancel(f->stack, f);
	sender_stop(f);
	release_memory(f);
}

void flow_finished(struct flow *f, int err)
{
	f->err = err;
	if (err == 0) /* else flow_unacked says within closed() how much was lost */
		f->unacked = 0;
	f->want_write = false;
	if (err != 0 || f->rx_bytes == 0 || f->owner_gone)
		events_post(f, FLOW_EVENT_CLOSED);
}

void flow_set_ops(struct flow *f, const struct flow_ops *ops, void *arg)
{
	f->ops = ops;
	f->arg = arg;
}

void flow_addrs(const struct flow *f, struct stack_addr *local, struct stack_addr *remote)
{
	if (local)
		*local = f->local;
	if (remote)
		*remote = f->remote;
}

static void apply_options(struct flow *f)
{
	const struct flow_options *o = &f->options;
	struct tcp_pcb *pcb = f->pcb;

	pcb->ttl = o->ttl ? o->ttl : TCP_TTL;
	pcb->tos = o->tos;
	if (o->nodelay)
		tcp_nagle_disable(pcb);
	else
		tcp_nagle_enable(pcb);
	if (o->keepalive)
		ip_set_option(pcb, SOF_KEEPALIVE);
	else
		ip_reset_option(pcb, SOF_KEEPALIVE);
	pcb->keep_idle = o->keep_idle_s ? o->keep_idle_s * 1000 : TCP_KEEPIDLE_DEFAULT;
	pcb->keep_intvl = o->keep_interval_s ? o->keep_interval_s * 1000 : TCP_KEEPINTVL_DEFAULT;
	pcb->keep_cnt = o->keep_count ? o->keep_count : TCP_KEEPCNT_DEFAULT;
}

void flow_set_options(struct flow *f, const struct flow_options *options)
{
	f->options = *options;
	if (!f->pcb || f->state == FLOW_TIME_WAIT)
		return;
	stack_clock(f->stack);
	demux_enter(f);
	apply_options(f);
	tcp_output(f->pcb); /* what Nagle held back */
	demux_leave(f);
}

/* ---- what lwIP tells ---- */

static void link_tail(struct flow *f, struct pbuf *first, struct pbuf *last)
{
	if (f->rx_head)
		f->rx_tail->next = first;
	else
		f->rx_head = first;
	f->rx_tail = last;
	f->rx_room = 0;
}

/* Copies a small segment behind others that wait, so that it does not hold a buffer of its own. */
static bool coalesce(struct flow *f, const struct pbuf *p)
{
	struct pbuf *block;

	if (!f->rx_head || p->next || p->len > RX_COALESCE_BYTES)
		return false;
	if (f->rx_room < p->len) {
		block = pbuf_alloc(PBUF_RAW, RX_BLOCK_BYTES, PBUF_RAM);
		if (!block)
			return false;
		block->len = block->tot_len = 0;
		link_tail(f, block, block);
		f->rx_room = RX_BLOCK_BYTES;
	}
	memcpy((uint8_t *)f->rx_tail->payload + f->rx_tail->len, p->payload, p->len);
	f->rx_tail->len = (u16_t)(f->rx_tail->len + p->len);
	f->rx_room -= p->len;
	return true;
}

/* Takes over @p, a chain. */
static void append(struct flow *f, struct pbuf *p)
{
	struct pbuf *last = p;
	size_t len = p->len;

	for (; last->next; last = last->next)
		len += last->next->len;
	f->rx_bytes += len;
	f->rx_total += len;
	f->stack->rx_bytes += len;
	if (coalesce(f, p))
		pbuf_free(p);
	else
		link_tail(f, p, last);
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct flow *f = arg;

	(void)err;
	if (!p) {
		f->rx_fin = true;
		events_post(f, FLOW_EVENT_READABLE);
		return ERR_OK;
	}
	if (f->owner_gone) { /* RFC 2525 2.17: nobody will read this */
		pbuf_free(p);
		f->reset_due = true;
		return ERR_OK;
	}
	acks_came(f, (p->flags & PBUF_FLAG_PUSH) && p->tot_len < pcb->mss);
	append(f, p);
	events_post(f, FLOW_EVENT_READABLE);
	return ERR_OK;
}

static size_t send_room(const struct flow *f);
static bool pressed(const struct stack *s);

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	struct flow *f = arg;

	(void)pcb;
	f->unacked -= len <= f->unacked ? len : f->unacked;
	len = (u16_t)LWIP_MIN(len, f->tx_queued);
	f->tx_queued -= len;
	f->stack->tx_bytes -= len;
	written_acked(f, f->tx_total - f->tx_queued);
	f->progress = f->tick;
	return ERR_OK;
}

/* Something was acknowledged, or has left. A little room is not worth the calls; with nothing in
 * flight, when no more acknowledgements come, there is always enough. */
void flow_room_made(struct flow *f)
{
	if (!f->want_write ||
	    send_room(f) < (pressed(f->stack) ? TX_SPACE_PRESSED_BYTES / 2 : SEND_ROOM_MIN_BYTES))
		return;
	f->want_write = false;
	events_post(f, FLOW_EVENT_WRITABLE);
}

void flow_tx_dropped(struct flow *f)
{
	f->stack->tx_bytes -= f->tx_queued;
	f->tx_queued = 0;
	written_acked(f, UINT64_MAX);
}

static int errno_of(const struct flow *f, err_t err)
{
	switch (err) {
	case ERR_CLSD:
		return 0;
	case ERR_RST:
		return f->state == FLOW_CONNECTING ? ECONNREFUSED : ECONNRESET;
	case ERR_MEM:
	case ERR_BUF:
		return ENOBUFS;
	default: /* ERR_ABRT: retransmissions or probes went unanswered */
		return f->soft_err ? f->soft_err : ETIMEDOUT;
	}
}

/* lwIP frees the pcb after this. */
static void on_error(void *arg, err_t err)
{
	struct flow *f = arg;
	int e = errno_of(f, err);

	if (e == ECONNREFUSED)
		syns_answered(f);
	demux_gone(f);
	demux_end(f, e);
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct flow *f = arg;

	(void)pcb;
	(void)err;
	flow_opened(f);
	events_post(f, FLOW_EVENT_CONNECTED);
	return ERR_OK;
}

void flow_attach(struct flow *f)
{
	struct tcp_pcb *pcb = f->pcb;

	tcp_arg(pcb, f);
	tcp_recv(pcb, on_recv);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_error);
}

/* First round-trip time (RFC 6298 2.2) and first windows. From here on sender.c sends. */
void flow_opened(struct flow *f)
{
	if (f->state == FLOW_CONNECTING)
		syns_answered(f);
	f->state = FLOW_OPEN;
	f->give_up = 0;
	f->soft_err = 0;
	if (f->syn_ns != 0 && !f->syn_again)
		recovery_rtt(&f->tx, f->stack->now_ns - f->syn_ns, f->stack->now_ns);
	f->path_mtu = paths_mtu(f->stack, &f->remote);
	acks_came(f, false);
	sender_start(f);
	window_open(f);
}

/* ---- deadlines ---- */

/* How long nothing need be acknowledged: tcp_write_timeout(), tcp_probe_timer() in Linux's
 * net/ipv4/tcp_timer.c. */
static uint64_t stall_due(const struct flow *f)
{
	uint64_t heard = f->tick - (u32_t)((u32_t)f->tick - f->pcb->tmr);
	uint64_t user_ms = f->options.user_timeout_ms, from = f->progress, limit_s, due, user_due;
	bool probing = f->pcb->persist_backoff > 0;

	if (f->orphaned) {
		from = LWIP_MAX(from, f->orphaned);
		limit_s = probing ? ORPHAN_PROBED_S : ORPHAN_TIMEOUT_S;
	} else {
		if (probing) /* an answered probe is a sign of life */
			from = LWIP_MAX(from, heard);
		limit_s = RETRANSMIT_TIMEOUT_S;
	}
	due = from + limit_s * TICKS_PER_S;
	if (user_ms == 0)
		return due;
	user_due = f->progress + user_ms * TICKS_PER_S / 1000 + 1;
	return f->orphaned && probing ? LWIP_MIN(due, user_due) : user_due;
}

void flow_timeouts(struct flow *f)
{
	const struct tcp_pcb *pcb = f->pcb;

	if (f->state == FLOW_CONNECTING)
		return;
	if (pcb->state != FIN_WAIT_2 || !f->owner_gone)
		f->give_up = 0;
	else if (f->give_up == 0)
		f->give_up = f->tick + FIN_WAIT2_TIMEOUT_S * TICKS_PER_S;
	if (!pcb->unsent && !pcb->unacked) {
		f->stall_due = 0;
		return;
	}
	if (f->stall_due == 0)
		f->progress = f->tick;
	f->stall_due = stall_due(f);
}

bool flow_overdue(struct flow *f, int *err)
{
	uint64_t now = f->stack->tick;

	if (f->give_up && f->give_up <= now) {
		*err = f->state != FLOW_CONNECTING ? 0 : f->soft_err ? f->soft_err : ETIMEDOUT;
		return true;
	}
	flow_timeouts(f);
	*err = f->soft_err ? f->soft_err : ETIMEDOUT;
	return f->stall_due && f->stall_due <= now;
}

/* RFC 1122 4.2.3.9, RFC 5927: while connecting an error is final, as Linux has it; afterwards it
 * only explains a timeout. @seq must be in flight, else anybody could send it. */
void flow_icmp_error(struct flow *f, uint32_t seq, int err)
{
	const struct tcp_pcb *pcb = f->pcb;

	if (f->state == FLOW_TIME_WAIT || !TCP_SEQ_BETWEEN(seq, pcb->lastack, pcb->snd_nxt))
		return;
	if (f->state == FLOW_CONNECTING) {
		demux_drop(f, false);
		demux_end(f, err);
	} else {
		f->soft_err = err;
	}
}

void flow_resegment(struct flow *f, uint32_t mss)
{
	struct tcp_pcb *pcb = f->pcb;

	pcb->mss = (u16_t)mss;
	pcb->unsent_oversize = 0;
	tcp_rexmit_rto_prepare(pcb);
	tcp_clear_flags(pcb, TF_RTO);
}

/* RFC 1191, RFC 8201: what is in flight and too large leaves again in smaller segments. */
void flow_path_mtu(struct flow *f, uint32_t seq, uint32_t mtu)
{
	bool v4 = stack_addr_is_v4(&f->remote);
	uint32_t floor = v4 ? PATH_MTU4_MIN_BYTES : IP6_MTU_MIN_BYTES, mss;
	struct tcp_pcb *pcb = f->pcb;

	mtu = LWIP_MAX(mtu, floor);
	mss = mtu - TCP_HEADER_BYTES - (v4 ? IP4_HEADER_BYTES : IP6_HEADER_BYTES);
	if (f->state != FLOW_OPEN || mss >= LWIP_MAX(pcb->mss, f->tx.trial.whole) ||
	    !TCP_SEQ_BETWEEN(seq, pcb->lastack, pcb->snd_nxt))
		return;
	paths_learn(f->stack, &f->remote, mtu);
	demux_enter(f);
	blackhole_told(f);
	f->path_mtu = (uint16_t)mtu;
	flow_resegment(f, mss);
	sender_restart(f);
	tcp_output(pcb);
	demux_leave(f);
}

/* ---- connecting ---- */

/* As Linux, which skips ports that a socket has by bind(2): who bound it may want to connect. */
static bool is_bound(const struct stack *s, const struct stack_addr *local)
{
	return s->ops->port_is_bound && s->ops->port_is_bound(s->ctx, local);
}

static int choose_local(struct stack *s, const struct stack_addr *want,
			const struct stack_addr *remote, struct stack_addr *local)
{
	struct flow *old;
	unsigned int tries;
	uint16_t first;

	if (!stack_source_for(s, remote, local))
		return ENETUNREACH;
	local->port = 0;
	if (want && !stack_addr_is_any(want)) {
		if (stack_addr_is_v4(want) != stack_addr_is_v4(remote))
			return EADDRNOTAVAIL;
		if (!stack_is_local(s, want))
			return EADDRNOTAVAIL;
		memcpy(local->ip, want->ip, sizeof(local->ip));
	}
	if (want && want->port != 0) {
		local->port = want->port;
		old = demux_find(s, local, remote);
		return old && !demux_give_way(s, old) ? EADDRNOTAVAIL : 0;
	}
	first = ports_random(s);
	for (tries = 0; tries < ports_count(); tries++) {
		local->port = ports_after(first, tries);
		if (!demux_find(s, local, remote) && !listener_find(s, local, false) &&
		    !is_bound(s, local))
			return 0;
	}
	return EADDRNOTAVAIL;
}

/* Lets lwIP send the SYN. */
static int start(struct flow *f)
{
	ip_addr_t remote;
	err_t err;

	demux_begin(f);
	f->stack->stats.tcp_flows++;
	f->pcb = tcp_new_ip_type(stack_addr_is_v4(&f->remote) ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6);
	if (!f->pcb) {
		demux_abandon(f);
		return ENOBUFS;
	}
	lwip_port_addr(&f->local, &f->pcb->local_ip);
	f->pcb->local_port = f->local.port;
	lwip_port_addr(&f->remote, &remote);
	flow_attach(f);
	apply_options(f);
	err = tcp_connect(f->pcb, &remote, f->remote.port, on_connected);
	if (err == ERR_OK) {
		demux_leave(f);
		return 0;
	}
	demux_abandon(f);
	return ENOBUFS;
}

struct flow *flow_connect(struct stack *s, const struct stack_addr *local,
			  const struct stack_addr *remote, const struct flow_options *options,
			  const struct flow_ops *ops, void *arg, int *err)
{
	static const struct flow_options none;
	uint32_t timeout_ms = CONNECT_TIMEOUT_MS;
	struct flow *f;

	stack_clock(s);
	f = flow_alloc(s);
	*err = ENOBUFS;
	if (!f)
		return NULL;
	f->state = FLOW_CONNECTING;
	f->remote = *remote;
	f->ops = ops;
	f->arg = arg;
	f->options = options ? *options : none;
	if (f->options.connect_timeout_ms)
		timeout_ms = f->options.connect_timeout_ms;
	else if (f->options.user_timeout_ms) /* as Linux: it bounds the handshake, too */
		timeout_ms = LWIP_MIN(timeout_ms, f->options.user_timeout_ms);
	f->give_up = s->tick + timeout_ms / (1000 / TICKS_PER_S);
	*err = choose_local(s, local, remote, &f->local);
	if (*err == 0)
		*err = -demux_insert(s, f);
	if (*err == 0)
		*err = start(f);
	if (*err == 0)
		return f;
	flow_free(f);
	return NULL;
}

/* ---- receiving ---- */

int flow_recv_iov(struct flow *f, struct iovec *iov, int max, bool *fin)
{
	struct pbuf *p = f->rx_head;
	size_t skip = f->rx_skip;
	int n = 0;

	for (; p && n < max; p = p->next, skip = 0) {
		if (p->len == skip)
			continue;
		iov[n].iov_base = (uint8_t *)p->payload + skip;
		iov[n++].iov_len = p->len - skip;
	}
	*fin = n == 0 && f->rx_fin;
	return n;
}

/* Frees what was consumed from the head of the queue. */
static void release(struct flow *f, size_t len)
{
	f->rx_bytes -= len;
	f->stack->rx_bytes -= len;
	len += f->rx_skip;
	while (f->rx_head && len >= f->rx_head->len) {
		struct pbuf *p = f->rx_head;

		len -= p->len;
		f->rx_head = p->next;
		p->next = NULL;
		pbuf_free(p);
	}
	f->rx_skip = len;
	if (!f->rx_head) {
		f->rx_tail = NULL;
		f->rx_skip = f->rx_room = 0;
	}
}

void flow_recv_consume(struct flow *f, size_t len)
{
	assert(len <= f->rx_bytes);
	release(f, len);
	if (f->pcb && f->state == FLOW_OPEN && !f->rx_fin) {
		stack_clock(f->stack);
		demux_enter(f);
		window_consumed(f, len);
		demux_leave(f);
	}
	if ((f->state == FLOW_OVER || f->state == FLOW_TIME_WAIT) && f->rx_bytes == 0 && f->ops &&
	    !f->dead && f->err == 0)
		events_post(f, FLOW_EVENT_CLOSED);
}

/* ---- sending ---- */

static bool pressed(const struct stack *s)
{
	return LWIP_MAX(s->tx_bytes, s->n_written * SEND_PIECE_BYTES) >= TX_TOTAL_BYTES;
}

/* What fills a last segment that is not full and, behind it, whole ones, out of @len bytes */
static size_t whole_segments(const struct flow *f, size_t len)
{
	const struct tcp_pcb *pcb = f->pcb;
	size_t fill = pcb->unsent_oversize;

	return len > fill ? len - (len - fill) % pcb->mss : 0;
}

/* As many packets as fit one UDP_SEGMENT message: what is left of a piece would be a message and a
 * system call more. Never too few, and with IPv6's headers hardly ever too many. Of packets
 * below 1 KiB a message takes 64, a piece what its memory holds. */
static size_t piece_max(size_t mss)
{
	return SEND_MESSAGE_BYTES / (mss + SEND_PACKET_OVERHEAD_BYTES) * mss;
}

static size_t send_room(const struct flow *f)
{
	const struct tcp_pcb *pcb = f->pcb;
	uint32_t unsent;
	size_t limit, ahead;

	if (!pcb || f->state != FLOW_OPEN || f->shut ||
	    pcb->snd_queuelen > TCP_SND_QUEUELEN / 4 * 3)
		return 0;
	/* what the peer has beyond a hole is in our memory, but not in flight */
	limit = LWIP_MAX((size_t)f->tx.cwnd * 3 + f->tx.sacked, TX_SPACE_MIN_BYTES);
	if (pressed(f->stack))
		limit = TX_SPACE_PRESSED_BYTES;
	limit = LWIP_MIN(limit, TCP_SND_BUF);
	if (f->unacked >= limit)
		return 0;
	limit = LWIP_MIN(limit - f->unacked, pcb->snd_buf);
	/* what cannot leave yet waits with the owner: here it would be cold when its turn comes */
	unsent = pcb->snd_lbb - pcb->snd_nxt;
	ahead = TX_AHEAD_BYTES + (size_t)sender_may_leave(f);
	if (unsent >= ahead)
		return 0;
	limit = LWIP_MIN(limit, ahead - unsent);
	/* a peer with a tiny MSS must not make lwIP's queue overflow */
	limit = LWIP_MIN(limit, (size_t)(TCP_SND_QUEUELEN / 4) * LWIP_MIN(pcb->mss, 64));
	return LWIP_MIN(limit, piece_max(pcb->mss));
}

int flow_send_iov(struct flow *f, struct iovec iov[2])
{
	size_t room = send_room(f);

	f->want_write = room == 0;
	f->more_to_write |= room == 0;
	if (room == 0)
		return 0;
	iov[0].iov_base = written_lent(f->stack);
	iov[0].iov_len = room >= SEND_REFER_BYTES ? whole_segments(f, room) : room;
	return 1;
}

/* Segments for the @len bytes that are lent: whole ones refer to them, if they are many. */
static err_t write_segments(struct flow *f, size_t len, bool push)
{
	const uint8_t *data = written_lent(f->stack);
	u8_t more = push ? 0 : TCP_WRITE_FLAG_MORE;
	size_t whole = 0;
	err_t err = ERR_OK;

	if (len >= SEND_REFER_BYTES && written_ready(f->stack))
		whole = whole_segments(f, len);
	if (whole > 0)
		err = tcp_write(f->pcb, data, (u16_t)whole,
				whole < len ? TCP_WRITE_FLAG_MORE : more);
	if (err == ERR_OK && whole > 0)
		written_keep(f, f->tx_total + whole);
	if (err == ERR_OK && whole < len)
		err = tcp_write(f->pcb, data + whole, (u16_t)(len - whole),
				TCP_WRITE_FLAG_COPY | more);
	return err;
}

/* Peers that wait for PSH get one at half of their window, as from Linux (forced_push in
 * net/ipv4/tcp.c). One behind each piece would end what a peer's GRO can merge. */
static bool push_due(const struct flow *f, size_t len)
{
	return f->tx_total + len - f->tx_pushed > f->pcb->snd_wnd_max / 2;
}

void flow_send_commit(struct flow *f, size_t len, bool more)
{
	bool push;
	err_t err;

	if (len == 0 || !f->pcb)
		return;
	assert(len <= SEND_PIECE_BYTES);
	stack_clock(f->stack);
	demux_enter(f);
	if (!f->more_to_write)
		sender_was_idle(f);
	f->more_to_write = more;
	push = !more || push_due(f, len);
	err = write_segments(f, len, push);
	if (err == ERR_OK) {
		f->tx_total += len;
		f->tx_pushed = push ? f->tx_total : f->tx_pushed;
		f->unacked += len;
		f->tx_queued += len;
		f->stack->tx_bytes += len;
		f->stack->stats.tcp_committed += len;
		f->stack->stats.tcp_turns += f->stack->last_writer != f;
		f->stack->last_writer = f;
		acks_answered(f);
		tcp_output(f->pcb);
	}
	demux_leave(f);
	if (err != ERR_OK && f->pcb) { /* no memory: the bytes are lost, so is the connection */
		demux_drop(f, true);
		demux_end(f, ENOBUFS);
	}
}

static bool fin_unacked(const struct flow *f)
{
	if (!f->shut || !f->pcb)
		return false;
	switch (f->pcb->state) {
	case FIN_WAIT_2:
	case TIME_WAIT:
		return false;
	default:
		return true;
	}
}

size_t flow_unacked(const struct flow *f)
{
	return f->unacked + fin_unacked(f);
}

/* ---- ending ---- */

/** flow_send_fin() - after what was committed; the connection is open */
void flow_send_fin(struct flow *f)
{
	demux_enter(f);
	tcp_shutdown(f->pcb, 0, 1);
	demux_leave(f);
}

void flow_shutdown(struct flow *f)
{
	if (f->shut)
		return;
	f->shut = true;
	f->want_write = false;
	if (!f->pcb || f->state != FLOW_OPEN) /* events.c does it when it is open */
		return;
	stack_clock(f->stack);
	flow_send_fin(f);
}

/* Deadlines are set anew on the way out of lwIP. */
static void orphan(struct flow *f)
{
	f->orphaned = f->orphaned ? f->orphaned : f->stack->tick;
	if (f->state != FLOW_OPEN)
		return;
	demux_enter(f);
	demux_leave(f);
}

void flow_orphan(struct flow *f)
{
	if (f->orphaned)
		return;
	stack_clock(f->stack);
	orphan(f);
}

void flow_close(struct flow *f)
{
	bool unread = f->rx_bytes > 0;

	if (f->owner_gone)
		return;
	f->owner_gone = true;
	drop_received(f);
	stack_clock(f->stack);
	if (f->state == FLOW_OVER || f->state == FLOW_TIME_WAIT) {
		events_post(f, FLOW_EVENT_CLOSED);
		return;
	}
	if (f->state == FLOW_OPEN && !unread) {
		flow_shutdown(f);
		orphan(f);
		return;
	}
	demux_drop(f, f->state == FLOW_OPEN);
	demux_end(f, ECONNRESET);
}

void flow_abort(struct flow *f)
{
	stack_clock(f->stack);
	if (f->listener)
		listener_forget(f);
	if (f->state != FLOW_TIME_WAIT)
		demux_drop(f, f->state == FLOW_OPEN || f->state == FLOW_HALF_OPEN);
	f->dead = true;
	if (!f->dispatching)
		flow_free(f);
}
