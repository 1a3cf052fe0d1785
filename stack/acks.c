/* SPDX-License-Identifier: MIT */
/*
 * acks.c - which acknowledgements leave
 *
 * lwIP answers every segment. What costs is the packet, for us, the path and the peer, so one that
 * a later one makes superfluous does not leave:
 *
 *  - Within a batch of input a pure ACK waits for the end of the batch and is replaced by a later
 *    one of the connection that says all that it says, so a batch of n segments is acknowledged
 *    once.
 *  - While a hole is open every segment behind it is answered by a duplicate ACK with SACK blocks.
 *    From the fourth on these wait a twentieth of the round trip, a millisecond at most, for the
 *    next one, as Linux's do (tcp_comp_sack_delay_ns, tcp_comp_sack_nr). The first three leave at
 *    once, for senders that count them.
 *
 * A later ACK says as much if its number or its first block covers the first block of the one that
 * waits: all other blocks were in ACKs that have left. So each block is in the four ACKs or more
 * until as many newer blocks have come, and one ACK that the path loses does not make a sender
 * repeat what is here. What came again is told once (patch 19), so an ACK that tells it is never
 * replaced.
 *
 * A lone segment's ACK waits DELAYED_ACK_TICKS for data that carries it. A peer with Nagle's
 * algorithm keeps its next small message back for that long, so the wait is only where data is
 * likely to come: after ours has left soon after the peer's, until an ACK has waited in vain.
 * Elsewhere a small segment with PSH is acknowledged as soon as it was read, as by Linux
 * (tcp_cleanup_rbuf, inet_csk_in_pingpong_mode).
 *
 * What changes nothing, because it lies outside the windows, is answered ten times in five seconds
 * (RFC 5961 7): the answer may be to an answer.
 *
 * What advances the ACK number, a duplicate ACK without blocks and whatever carries data or flags
 * never waits longer than the batch.
 */
#include "stack/internal.h"

#include "lwip/priv/tcp_priv.h"

#include "stack/lwip_hooks.h"

enum {
	HELD_ACKS_MAX = 44,
	HELD_MAX_NS = 1000 * 1000,
	HELD_RTT_PARTS = 20,
	SACK_AT = TCP_HEADER_BYTES + 2, /* behind two NOPs, as lwIP writes it */
};

/* What a pure ACK says: @blocks are the most recently changed ones, the latest first (RFC 2018
 * 4). @duplicate: of something that came again, too, which was told in front of them (RFC 2883) */
struct ack {
	uint32_t number;
	struct sack_block blocks[SACK_BLOCKS_MAX];
	unsigned int n;
	bool duplicate;
};

/* A segment without data, flags other than ACK, and options other than SACK */
static bool parse(const uint8_t *tcp, size_t len, struct ack *a)
{
	const uint8_t *o = tcp + SACK_AT;

	*a = (struct ack){.number = get32(tcp + TCP_ACK_AT)};
	if (tcp_header_len(tcp) != len || tcp[TCP_FLAGS_AT] != TCP_ACK)
		return false;
	if (len == TCP_HEADER_BYTES)
		return true;
	if (o[-2] != TCP_OPTION_NOP || o[-1] != TCP_OPTION_NOP || o[0] != TCP_OPTION_SACK ||
	    o[1] + (size_t)SACK_AT != len)
		return false;
	for (o += 2; o < tcp + len; o += 8)
		a->blocks[a->n++] = (struct sack_block){get32(o), get32(o + 4)};
	a->duplicate = sacks_tell_duplicate(a->blocks, a->n, a->number);
	if (a->duplicate)
		memmove(a->blocks, a->blocks + 1, --a->n * sizeof(*a->blocks));
	return true;
}

/* Whether @a says all that is news in the @held ACK */
static bool supersedes(const struct ack *a, const struct ack *held)
{
	const struct sack_block *news = held->blocks;

	if (TCP_SEQ_LT(a->number, held->number) || (a->number == held->number && a->n == 0))
		return false;
	if (held->duplicate)
		return false;
	if (held->n == 0 || TCP_SEQ_LEQ(news->right, a->number))
		return true;
	return a->n > 0 && TCP_SEQ_LEQ(a->blocks[0].left, news->left) &&
	       TCP_SEQ_GEQ(a->blocks[0].right, news->right);
}

static void forget(struct flow *f)
{
	f->held_len = 0;
	f->held_due_ns = 0;
}

/** acks_flush() - sends what is held */
void acks_flush(struct flow *f)
{
	struct iovec iov = {f->held, f->held_len};

	if (f->held_len == 0)
		return;
	forget(f);
	if (f->acks_sent <= DUPACKS)
		f->acks_sent++;
	egress_packet(f->stack, &f->remote, &iov, 1, iov.iov_len);
}

static void hold(struct flow *f, const struct ack *a, const struct iovec *iov)
{
	f->held_acks = f->held_len > 0 ? f->held_acks + 1 : 1;
	f->held_late = a->n > 0;
	if (a->number != f->ack_number)
		f->acks_sent = 0;
	f->ack_number = a->number;
	f->held_len = (uint8_t)iov->iov_len;
	memcpy(f->held, iov->iov_base, iov->iov_len);
	demux_touch(f);
}

/** acks_settle() - the batch is over: what is held leaves, or has a time for that */
void acks_settle(struct flow *f)
{
	struct stack *s = f->stack;

	if (f->held_len == 0)
		return;
	if (!f->held_late || f->acks_sent <= DUPACKS || f->held_acks >= HELD_ACKS_MAX) {
		acks_flush(f);
		return;
	}
	if (f->held_due_ns == 0)
		f->held_due_ns = s->now_ns + LWIP_MIN(f->tx.srtt_ns / HELD_RTT_PARTS, HELD_MAX_NS);
	if (f->held_due_ns <= s->now_ns)
		acks_flush(f);
	else
		timers_set(s, f, f->held_due_ns);
}

/** acks_came() - in-order data came, or the connection opens */
void acks_came(struct flow *f, bool small)
{
	f->data_tick = f->tick;
	f->small = small;
}

/** acks_answered() - data leaves */
void acks_answered(struct flow *f)
{
	if (f->tick < f->data_tick + DELAYED_ACK_TICKS)
		f->answers = true;
}

/** acks_unanswered() - an ACK that had waited for data leaves without any */
void acks_unanswered(struct flow *f)
{
	f->answers = false;
}

/** acks_at_once() - the owner has consumed what it has: whether the peer should hear of it now */
bool acks_at_once(const struct flow *f)
{
	return f->small && !f->answers && f->rx_bytes == 0 && (f->pcb->flags & TF_ACK_DELAY);
}

/** stack_challenge_ack() - two ends that disagree on what is sent answer each other's answers */
int stack_challenge_ack(const struct tcp_pcb *pcb)
{
	struct flow *f = pcb->callback_arg;
	uint64_t now = f->stack->now_ns;

	if (f->challenges_ns > now + (uint64_t)(CHALLENGES_AT_ONCE - 1) * CHALLENGE_GAP_NS)
		return 0;
	f->challenges_ns = LWIP_MAX(f->challenges_ns, now) + CHALLENGE_GAP_NS;
	return 1;
}

/** acks_carried() - segments with data leave, with the header @tcp */
void acks_carried(struct flow *f, const uint8_t *tcp)
{
	size_t header_len = stack_addr_is_v4(&f->remote) ? IP4_HEADER_BYTES : IP6_HEADER_BYTES;
	struct ack held;

	if (f->held_len == 0)
		return;
	parse(f->held + header_len, f->held_len - header_len, &held);
	/* a duplicate ACK and SACK blocks say more than data does */
	if (held.n > 0 || held.duplicate || get32(tcp + TCP_ACK_AT) == held.number ||
	    (tcp[TCP_FLAGS_AT] & TCP_RST))
		acks_flush(f);
	else
		forget(f);
}

/**
 * acks_segment() - a TCP segment of the current connection, if any, leaves, or is held back
 * @iov: Its headers, and what follows them if that lies elsewhere: @n pieces, @len bytes in all
 */
void acks_segment(struct stack *s, const struct stack_addr *to, const struct iovec *iov, int n,
		  size_t len, size_t header_len)
{
	struct flow *f = s->current;
	const uint8_t *tcp = (const uint8_t *)iov->iov_base + header_len;
	struct ack a, held;
	bool pure = parse(tcp, len - header_len, &a);

	if (f && f->held_len > 0 && pure) {
		parse(f->held + header_len, f->held_len - header_len, &held);
		if (!supersedes(&a, &held))
			acks_flush(f);
		else if (!s->in_batch)
			forget(f);
	} else if (f) {
		acks_carried(f, tcp);
	}
	if (f && pure && s->in_batch)
		hold(f, &a, iov);
	else
		egress_packet(s, to, iov, n, len);
}
