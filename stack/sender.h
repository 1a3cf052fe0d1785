/* SPDX-License-Identifier: MIT */
/*
 * sender.h - what a connection knows about the data it has sent
 *
 * Files: scoreboard.c (what is in flight), sender.c (acknowledgements, timers, pacing; the hooks in
 * lwIP), recovery.c (which segments are lost, RTO), and one file per congestion controller.
 * Units: bytes, bytes per second, nanoseconds.
 */
#ifndef STACK_SENDER_H
#define STACK_SENDER_H

#include <stdbool.h>
#include <stdint.h>

struct flow;
struct tcp_pcb;
struct tcp_seg;

enum {
	INITIAL_SEGMENTS = 10, /* RFC 6928 */
	DUPACKS = 3,	       /* RFC 5681 3.2: so many duplicate ACKs mean a loss */
};

enum tx_state {
	TX_OUT,	   /* in flight, in the list by time */
	TX_LOST,   /* to be sent again, in the list of lost ones */
	TX_SACKED, /* the peer has it */
};

/**
 * struct tx_seg - a segment that was sent and is not cumulatively acknowledged
 * @prev, @next: Neighbours in the list of its state, indices; 0: none
 * @skip:	TX_SACKED: no index between this one and @skip is in another state
 * @before_ns:	Else, if it was sent again here: the transmission before the last one
 * @sent_ns:	Last transmission. The rest is the connection at that time (draft-cheng-iccrg-
 *		delivery-rate-estimation): @first_sent_ns, @delivered_ns, @delivered, @lost,
 *		@inflight
 * @again:	Sent more than once: its round trip is ambiguous
 * @doubted:	It was taken for lost, and nothing has been heard of it since
 */
struct tx_seg {
	struct tcp_seg *seg;
	uint32_t seq, end;
	uint64_t prev, next;
	union {
		uint64_t skip, before_ns;
	};
	uint64_t sent_ns, first_sent_ns, delivered_ns, delivered, lost;
	uint32_t inflight;
	uint8_t state;
	bool again, app_limited, doubted;
};

struct tx_list {
	uint64_t first, last;
};

/**
 * struct rate_sample - what one acknowledgement tells
 * @rate:	Delivery rate, 0: no valid sample
 * @delivered:	Bytes delivered over the sample's interval, @lost: lost meanwhile
 * @prior_delivered: sender.delivered when the sample's segment was sent
 * @rtt_ns:	0: none
 * @acked, @newly_lost: Bytes delivered and lost by this acknowledgement
 * @inflight:	Bytes in flight when the sample's segment was sent
 * @needless:	What the last timeout took for lost was delivered, and had not been sent again
 * @settled:	Something was heard of what RACK had taken for lost
 * @first, @ack: What this acknowledgement acknowledges
 */
struct rate_sample {
	uint64_t rate, delivered, lost, prior_delivered, prior_lost, prior_ns, send_ns;
	uint64_t rtt_ns;
	uint32_t acked, newly_lost, inflight, prior_inflight, end, first, ack;
	uint64_t sent_ns;
	bool any, app_limited, needless, settled;
};

/* A congestion controller: sets sender.cwnd and sender.pacing_rate. */
struct cc_ops {
	void (*init)(struct flow *f);
	/* Every acknowledgement, after the scoreboard and recovery state are up to date */
	void (*acked)(struct flow *f, const struct rate_sample *rs);
	/* A segment was found lost */
	void (*lost)(struct flow *f, const struct tx_seg *seg);
	/* Recovery begins: first loss of a flight. Undo goes back to here if sender.refuted, else to the
	 * recovery before, which may still turn out needless */
	void (*congestion)(struct flow *f);
	void (*timeout)(struct flow *f);
	/* The last timeout was needless, or the last recovery: all that was taken for lost had arrived */
	void (*undo)(struct flow *f);
	/* All that was in flight when recovery began is acknowledged */
	void (*recovered)(struct flow *f);
	/* Sending starts again after nothing was in flight */
	void (*restart)(struct flow *f);
};

extern const struct cc_ops cc_bbr, cc_cubic;

enum bbr_state {
	BBR_STARTUP,
	BBR_DRAIN,
	BBR_DOWN,
	BBR_CRUISE,
	BBR_REFILL,
	BBR_UP,
	BBR_PROBE_RTT,
};

/**
 * struct bbr_probe - what the last probe has sent, and what has arrived of it
 * @before, @lost_before: Bytes per nanosecond delivered since the probe before, without what that
 *		did, and the share that was lost; @before 0: not known
 * @from, @to:	The values of sender.delivered when its first packet and when the first one after it
 *		left; UINT64_MAX: that is not known, or not of interest
 * @sent, @sent_ns: Bytes sent by this connection before it, and when it began
 * @got, @got_ns: The value of sender.delivered when its first packet had arrived, and when
 * @rate:	At which it was sent, in bytes per nanosecond
 */
struct bbr_probe {
	uint64_t from, to, sent, sent_ns, got, got_ns;
	double rate, before, lost_before;
};

/**
 * struct bbr_before - what undoing a recovery brings back
 * @startup:	Its losses have ended STARTUP
 */
struct bbr_before {
	uint64_t inflight_high, bw_low, inflight_low;
	bool known, lossy, startup;
};

/**
 * struct bbr - see bbr.c
 * @bw_low, @inflight_low: Short-term bounds after excessive loss, @bw_latest, @inflight_latest what
 *		the present round has seen
 * @round_rtt_ns, @last_rtt_ns: Shortest round trip of the present and of the last round
 * @round_bw, @full_bw, @full_bw_rounds: Does the bandwidth still grow?
 * @lossy: The last probe lost too much; @policed: and @bw_low is what it left, until the next one
 * @spell_rounds, @spell_lossy: Rounds between probes since loss was last judged, those that lost
 *		much
 * @spell_delivered, @spell_lost, @spell_ns: Of those since the last probe: what was delivered and
 *		lost, and in which time
 * @round_began_ns: 0: that is not known
 * @has_half:	No less than half of the path, said the last probe
 * @hold_out_ns: Until then loss is not heeded
 */
struct bbr {
	enum bbr_state state;
	uint64_t bw_filter[2], bw_low, bw_latest;
	uint64_t inflight_high, inflight_low, inflight_latest;
	uint64_t min_rtt_ns, min_rtt_at_ns, probe_rtt_min_ns, probe_rtt_min_at_ns;
	uint64_t probe_rtt_done_ns, probe_rtt_round;
	uint64_t round_end, loss_round_end, rounds, round_lost, round_delivered;
	uint64_t round_rtt_ns, last_rtt_ns, up_rtt_ns, round_bw, full_bw, cycle_ns, wait_ns,
		probe_rounds;
	uint64_t up_step, up_acked, hold_out_ns, spell_rounds, spell_lossy;
	uint64_t spell_delivered, spell_lost, spell_ns, round_began_ns;
	struct bbr_probe probe;
	uint64_t extra_start_ns, extra_acked, extra_filter[2];
	struct bbr_before before;
	uint32_t prior_cwnd, lost_end;
	unsigned int full_bw_rounds, up_rounds, extra_rounds, loss_events, far_rounds;
	enum {
		BBR_ACKS_NONE,
		BBR_ACKS_REFILLING,
		BBR_ACKS_STARTING,
		BBR_ACKS_FEEDBACK,
		BBR_ACKS_STOPPING
	} acks;
	bool full_bw_reached, lossy, has_half, policed, round_start, loss_round_start,
		probe_samples, idle_restart;
};

struct cubic {
	uint32_t ssthresh, w_max, w_est;
	uint32_t prior_cwnd, prior_ssthresh, prior_w_max; /* before a loss or timeout */
	uint64_t epoch_ns, k_ns;
	uint32_t origin, est_acked, partial;
	uint64_t prr_delivered, prr_out, prr_at_start;
	uint64_t round_end, round_rtt_ns, last_round_rtt_ns;
	unsigned int round_samples;
	bool timed_out;
};

/**
 * struct trial - do large packets get through? (blackhole.c)
 * @whole:	The MSS, while a smaller one is tried; 0: none is
 * @mss:	The smaller one that was tried last; 0: none was
 * @largest:	Bytes in the largest packet that was delivered since then, a FIN counts
 * @timeouts:	Without progress, since then or since something was acknowledged
 * @suspected:	Smaller ones had been delivered, then large ones timed out, and the first smaller one
 *		has left
 */
struct trial {
	uint16_t whole, mss, largest;
	unsigned int timeouts;
	bool suspected;
};

enum { SACK_BLOCKS_MAX = 4, UNSURE_MAX = 4 };

struct sack_block {
	uint32_t left, right;
};

/**
 * struct sender - the sending half of a connection, from the end of the handshake on
 * @ring:	Segments in flight by sequence number: indices @head to @tail - 1, modulo @cap
 * @by_time:	TX_OUT ones in the order of their last transmission
 * @lost_list:	TX_LOST ones
 * @inflight, @sacked: Bytes in TX_OUT and TX_SACKED
 * @delivered, @lost: Bytes since the connection began
 * @spurious_ns: When a retransmission was last found needless
 * @doubted:	So many segments are; @unsure: those that were then acknowledged, and it is not known
 *		which transmission; @refuted: the last recovery is not undone any more
 * @late_ns:	The longest round trip of one that was taken for lost and was not
 * @duplicates:	Segments that the peer says it had twice, without those that probes have caused
 * @app_limited: The value of @delivered up to which samples are limited by the program; 0: none
 * @backoff:	Timeouts since a round trip was last measured; @stalled: nothing was acknowledged
 *		since the last one; @undone: one was found needless
 * @reneged:	The value of @delivered when all was acknowledged that was in flight when the peer went
 *		back on SACKs, UINT64_MAX: it is not yet. What was sent before tells no rate, since
 *		bytes count twice in it
 * @timer_ns:	Probe (if @timer_is_probe) or retransmission timeout; 0: not running
 * @progress_ns: What the retransmission timeout counts from
 * @reorder_ns:	When RACK has to look again; 0: no need
 * @recover:	Recovery ends when this is acknowledged
 * @probe_end:	Sequence number after the tail loss probe in flight, if @probing
 * @pace_ns:	When all that was sent has left at the pacing rate
 * @resent:	Bytes sent again, of @sent, in @resent_segs segments; @rate: the last valid sample
 * @late:	Sending waited for pacing: if it goes on late, that is made up for
 * @owed_ns:	How much time is to be made up for, until @owed_until_ns
 * @pace_due_ns: Sending waits until then; 0: it does not wait for pacing
 */
struct sender {
	bool on, probing, probe_again, reno, sack_seen, timer_is_probe, reordering_seen, forced,
		late, stalled, undone, refuted;
	enum { TX_OPEN, TX_RECOVERY, TX_TIMEOUT } phase;

	struct tx_seg *ring;
	uint64_t head, tail, cap;
	struct tx_list by_time, lost_list;
	uint32_t inflight, sacked, sacked_segs, high_sent;
	uint64_t delivered, lost, delivered_ns, first_sent_ns, app_limited, reneged;

	struct sack_block sacks[SACK_BLOCKS_MAX];
	unsigned int n_sacks;

	uint64_t srtt_ns, rttvar_ns, min_rtt_ns, min_rtt_at_ns;
	uint64_t rack_sent_ns, rack_rtt_ns;
	uint32_t rack_end, fack, recover, probe_end, reorder_mark;
	unsigned int reorder_mult, reorder_persist, dupacks, partial_acks, backoff;
	unsigned int doubted, n_unsure;
	struct sack_block unsure[UNSURE_MAX];
	uint64_t timer_ns, progress_ns, reorder_ns, spurious_ns, late_ns, duplicates;

	uint32_t cwnd;
	uint64_t pacing_rate, pace_ns, pace_due_ns, owed_ns, owed_until_ns, sent, resent, rate;
	uint32_t resent_segs;
	bool rate_app_limited;
	struct trial trial;
	const struct cc_ops *cc;
	union {
		struct bbr bbr;
		struct cubic cubic;
	};
};

/* Sequence numbers are compared modulo 2^32 (RFC 9293 3.4). */
static inline bool seq_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}
static inline uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}
static inline uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What of a flight may be lost while probing */
enum { LOSS_PARTS = 50 };

/* yield.c: whether BBR heeds loss */
/* More than so many parts of @inflight, and more than may happen to anybody */
bool lost_more_than(const struct flow *f, uint64_t lost, uint64_t inflight, unsigned int parts);
/* Loss is not heeded. */
bool yield_holds_out(const struct flow *f);
void yield_init(struct flow *f);
void yield_restart(struct flow *f);
/* Before bbr.c's counts of the round begin anew */
void yield_round_ends(struct flow *f);
void yield_probe_begins(struct flow *f);
void yield_probe_ends(struct flow *f);
/* After each acknowledgement. True: the probe has arrived, and @probe.before is known. */
bool yield_measure(struct flow *f, const struct rate_sample *rs);
/* The next probe is due: what has become of the loss since the last one */
void yield_judge(struct flow *f);

/* scoreboard.c */
static inline struct tx_seg *board_at(const struct sender *t, uint64_t index)
{
	return &t->ring[index & (t->cap - 1)];
}
static inline uint32_t tx_len(const struct tx_seg *e)
{
	return e->end - e->seq;
}
/* Makes room for @n more; false: no memory. */
bool board_reserve(struct sender *t, uint64_t n);
struct tx_seg *board_push(struct sender *t, struct tcp_seg *seg, uint32_t seq, uint32_t end);
/* @e leaves (again) now: it is the last in the list by time. */
void board_sent(struct sender *t, uint64_t index, uint64_t now_ns);
void board_lose(struct sender *t, uint64_t index);
/* A lost segment is put last in the list of lost ones, which it is not in. */
void board_relist(struct sender *t, uint64_t index);
/* Forgets everything that is in flight. */
void board_clear(struct sender *t);
void board_free(struct sender *t);
/* Frees what waits for the next connection. */
void board_trim(void);
/* Removes what @ack covers, marks what a block covers; calls @delivered for what is new. board_ack:
 * whether any of it was sent more than once. */
typedef void board_delivered(struct flow *f, struct tx_seg *e, struct rate_sample *rs);
bool board_ack(struct flow *f, uint32_t ack, board_delivered *delivered, struct rate_sample *rs);
void board_sack(struct flow *f, const struct sack_block *b, board_delivered *delivered,
		struct rate_sample *rs);
/* What was taken for lost and not sent again is in flight. */
void board_unlose(struct sender *t);
/* The peer has gone back on its SACKs. */
void board_unsack(struct sender *t);

/* recovery.c */
/* A round trip was measured (RFC 6298 2). */
void recovery_rtt(struct sender *t, uint64_t rtt_ns, uint64_t now_ns);
/* The retransmission timeout, in ns, backed off. */
uint64_t recovery_rto(const struct sender *t);
/* The peer has @e: what RACK learns from it. */
void recovery_delivered(struct flow *f, struct tx_seg *e, struct rate_sample *rs);
/* Marks what RACK finds lost and sets reorder_ns. */
void recovery_detect(struct flow *f);
/* Segment @index is lost; the first one of a flight begins recovery. */
void recovery_mark(struct flow *f, uint64_t index);
/* If @rs says that the last timeout was needless, what has not been sent again is in flight. If it
 * settles that the last recovery was, too, it is undone. */
void recovery_undo(struct flow *f, struct rate_sample *rs);
/* The peer had all of @b twice. */
void recovery_duplicate(struct flow *f, const struct sack_block *b, struct rate_sample *rs);
/* A segment was sent again for nothing: reordering takes longer than assumed. */
void recovery_spurious(struct flow *f);

/* blackhole.c: paths that drop large packets silently */
/* At a timeout, before anything else. True: another connection has learnt it. Segments are smaller
 * from now on, all that was in flight waits to be sent anew, and the congestion controller need not
 * hear of it. */
bool blackhole_known(struct flow *f);
/* The same timeout, if not. True: all that was in flight waits in smaller segments. */
bool blackhole_try(struct flow *f);
/* Before the scoreboard hears of it: what was not sent again had arrived, late, as it was; or the
 * smaller one that was to show it has, and a black hole is found. */
void blackhole_acked(struct flow *f, uint32_t ack);
/* All that was in flight at the last timeout is acknowledged. */
void blackhole_recovered(struct flow *f);
/* ICMP says how large packets may be: nothing need be tried. */
void blackhole_told(struct flow *f);
static inline void blackhole_delivered(struct sender *t, const struct tx_seg *e)
{
	if (tx_len(e) > t->trial.largest)
		t->trial.largest = (uint16_t)least(tx_len(e), UINT16_MAX);
}

/* sender.c */
/* The handshake is complete: from here on we send, not lwIP. */
void sender_start(struct flow *f);
/* The pcb is going or in TIME_WAIT: frees the ring, stops the timers. */
void sender_stop(struct flow *f);
/* Whether the first of @n blocks of an ACK for @ack tells what came again: it is below the ACK, or
 * within the second block (RFC 2883 5). */
bool sacks_tell_duplicate(const struct sack_block *b, unsigned int n, uint32_t ack);
/* The SACK option of the segment that lwIP is about to see. */
void sender_note_options(struct flow *f, const uint8_t *options, const uint8_t *end);
/* Next time that sender_timer has something to do; UINT64_MAX: never. */
uint64_t sender_due(const struct flow *f);
/* Between demux_enter and demux_leave. */
void sender_timer(struct flow *f);
/* A backed-off timeout is due now. */
void sender_hurry(struct flow *f);
/* Its owner writes, who had nothing to write before. */
void sender_was_idle(struct flow *f);
/* Everything in flight was put back to be sent again (a smaller MSS). */
void sender_restart(struct flow *f);
/* Bytes that may leave at once at the pacing rate. */
uint32_t sender_quantum(const struct flow *f);
/* Bytes of new data that congestion window and pacing let leave now. */
uint32_t sender_may_leave(const struct flow *f);

#endif
