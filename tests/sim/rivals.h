/* SPDX-License-Identifier: MIT */
/*
 * rivals.h - other senders, reduced to how they share a bottleneck
 *
 * Packets of one size by number, each answered by one acknowledgement. The path keeps their order,
 * so what is three numbers below an answered one is lost; it is sent again under a new number, and
 * every packet that arrives counts as data.
 *
 *  - Reno: RFC 5681, one halving a flight.
 *  - BBR version 1, what Linux calls bbr, after draft-cardwell-iccrg-bbr-congestion-control-00:
 *    eight phases of a round trip at 1.25, 0.75 and six times 1 of the greatest rate of ten rounds,
 *    twice the product in flight, losses heeded for one round only. It leaves in bursts, as
 *    Linux's does: they overflow a full queue where single packets find room.
 */
#ifndef TEST_SIM_RIVALS_H
#define TEST_SIM_RIVALS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum rival_kind { RIVAL_RENO, RIVAL_BBR };

enum {
	RIVAL_BYTES = 1420,
	RIVAL_DATA = 1368,
	RIVAL_RING = 1 << 14,
	RIVAL_BW_ROUNDS = 10,
	RIVAL_PHASES = 8,
	RIVAL_DUPACKS = 3,
	RIVAL_CWND_MIN = 4,
	RIVAL_BURST_MIN = 2,
};

#define RIVAL_RTO_MIN_NS    200000000ull
#define RIVAL_PROBE_RTT_NS  200000000ull
#define RIVAL_MIN_RTT_NS    10000000000ull
#define RIVAL_FIRST_RATE    (10 * 2.885 / 0.04) /* the first window in 40 ms */
#define RIVAL_STARTUP_GAIN  2.885
#define RIVAL_QUANTUM_RATIO 0.001 /* a burst: a millisecond's, RIVAL_BURST_MIN at least */

struct rival_packet {
	uint64_t sent_ns, delivered, delivered_ns, first_sent_ns;
	bool answered;
};

enum rival_state { RIVAL_STARTUP, RIVAL_DRAIN, RIVAL_PROBE_BW, RIVAL_PROBE_RTT };

/**
 * struct rival - one sender; in packets, packets per second, nanoseconds
 * @head, @tail: The least number that is neither answered nor lost, the next one
 * @recover:	Losses below belong to a flight that was answered for already
 * @burst, @owed_ns: What has left since pace_ns was set, and the time that it takes at the pacing
 *		rate
 * @rates:	The greatest delivery rate of each of the last rounds
 */
struct rival {
	enum rival_kind kind;
	struct rival_packet ring[RIVAL_RING];
	uint64_t head, tail, inflight, recover, delivered, delivered_ns, first_sent_ns, progress_ns;
	uint64_t lost;
	double cwnd, ssthresh, srtt_ns, owed_ns;

	enum rival_state state;
	double rates[RIVAL_BW_ROUNDS], full_rate, prior_cwnd;
	uint64_t pace_ns, rounds, round_end, min_rtt_ns, min_rtt_at_ns, phase_ns, probe_done_ns;
	uint64_t conserve_until;
	unsigned int phase, full_rounds, burst;
	bool conserve, filled;
};

static inline double rival_most(double a, double b)
{
	return a > b ? a : b;
}

static inline void rival_open(struct rival *r, enum rival_kind kind, uint64_t now)
{
	memset(r, 0, sizeof(*r));
	r->kind = kind;
	r->cwnd = 10;
	r->ssthresh = 1e9;
	r->progress_ns = r->delivered_ns = r->first_sent_ns = r->pace_ns = now;
}

static inline double rival_rate(const struct rival *r)
{
	double most = 0;
	int i;

	for (i = 0; i < RIVAL_BW_ROUNDS; i++)
		most = rival_most(most, r->rates[i]);
	return most;
}

/* Rate times the shortest round trip */
static inline double rival_product(const struct rival *r)
{
	return rival_rate(r) * (double)r->min_rtt_ns / 1e9;
}

static inline double rival_pacing_gain(const struct rival *r)
{
	if (r->state == RIVAL_STARTUP)
		return RIVAL_STARTUP_GAIN;
	if (r->state == RIVAL_DRAIN)
		return 1 / RIVAL_STARTUP_GAIN;
	if (r->state == RIVAL_PROBE_RTT)
		return 1;
	return r->phase == 0 ? 1.25 : r->phase == 1 ? 0.75 : 1;
}

/* When the next packet may leave; UINT64_MAX: not before an answer. A timeout is also a reason to
 * ask. */
static inline uint64_t rival_due(const struct rival *r)
{
	uint64_t timeout = r->progress_ns + (uint64_t)r->srtt_ns + RIVAL_RTO_MIN_NS;

	if ((double)r->inflight < r->cwnd)
		return r->kind == RIVAL_BBR ? r->pace_ns : 0;
	return timeout;
}

static inline void rival_timeout(struct rival *r, uint64_t now)
{
	r->lost += r->inflight;
	r->ssthresh = rival_most(r->cwnd / 2, 2);
	r->prior_cwnd = rival_most(r->prior_cwnd, r->cwnd);
	r->cwnd = 1;
	r->head = r->recover = r->tail;
	r->inflight = 0;
	r->progress_ns = now;
}

/* True: a packet leaves now, with *@number. */
static inline bool rival_send(struct rival *r, uint64_t now, uint64_t *number)
{
	struct rival_packet *p = &r->ring[r->tail % RIVAL_RING];
	double rate = rival_rate(r);

	if (r->inflight > 0 && now >= r->progress_ns + (uint64_t)r->srtt_ns + RIVAL_RTO_MIN_NS)
		rival_timeout(r, now);
	if ((double)r->inflight >= r->cwnd || rival_due(r) > now || r->tail - r->head >= RIVAL_RING)
		return false;
	if (r->inflight == 0)
		r->progress_ns = r->delivered_ns = r->first_sent_ns = now;
	*p = (struct rival_packet){.sent_ns = now,
				   .delivered = r->delivered,
				   .delivered_ns = r->delivered_ns,
				   .first_sent_ns = r->first_sent_ns};
	if (rate <= 0)
		rate = RIVAL_FIRST_RATE / RIVAL_STARTUP_GAIN;
	if (r->pace_ns < now)
		r->pace_ns = now;
	r->owed_ns += 1e9 / (rate * rival_pacing_gain(r));
	if (++r->burst >= RIVAL_BURST_MIN && r->owed_ns >= 1e9 * RIVAL_QUANTUM_RATIO) {
		r->pace_ns += (uint64_t)r->owed_ns;
		r->owed_ns = 0;
		r->burst = 0;
	}
	*number = r->tail++;
	r->inflight++;
	return true;
}

/* ---- Reno ---- */

static inline void rival_reno(struct rival *r, uint64_t number, unsigned int lost)
{
	if (lost > 0 && r->head > r->recover) {
		r->ssthresh = rival_most(r->cwnd / 2, 2);
		r->cwnd = r->ssthresh;
		r->recover = r->tail;
	} else if (number >= r->recover) {
		r->cwnd += r->cwnd < r->ssthresh ? 1 : 1 / r->cwnd;
	}
}

/* ---- BBR ---- */

static inline void rival_round(struct rival *r, const struct rival_packet *p, double rate)
{
	bool starts = p->delivered >= r->round_end;

	if (starts) {
		r->rounds++;
		r->round_end = r->delivered;
		r->rates[r->rounds % RIVAL_BW_ROUNDS] = 0;
	}
	r->rates[r->rounds % RIVAL_BW_ROUNDS] =
		rival_most(r->rates[r->rounds % RIVAL_BW_ROUNDS], rate);
	if (!starts || r->filled)
		return;
	if (rival_rate(r) >= r->full_rate * 1.25) {
		r->full_rate = rival_rate(r);
		r->full_rounds = 0;
	} else if (++r->full_rounds >= 3) {
		r->filled = true;
	}
}

static inline void rival_cycle(struct rival *r, uint64_t now, unsigned int lost)
{
	bool long_enough = now - r->phase_ns > r->min_rtt_ns;
	double product = rival_product(r);

	if (r->state == RIVAL_STARTUP && r->filled)
		r->state = RIVAL_DRAIN;
	if (r->state == RIVAL_DRAIN && (double)r->inflight <= product) {
		r->state = RIVAL_PROBE_BW;
		r->phase = 2 + (unsigned int)(now / 1000 % (RIVAL_PHASES - 2));
		r->phase_ns = now;
	}
	if (r->state != RIVAL_PROBE_BW)
		return;
	if (r->phase == 0)
		long_enough = long_enough && (lost > 0 || (double)r->inflight >= 1.25 * product);
	else if (r->phase == 1)
		long_enough = long_enough || (double)r->inflight <= product;
	if (long_enough) {
		r->phase = (r->phase + 1) % RIVAL_PHASES;
		r->phase_ns = now;
	}
}

static inline void rival_probe_rtt(struct rival *r, uint64_t rtt, uint64_t now)
{
	bool expired = r->min_rtt_ns && now > r->min_rtt_at_ns + RIVAL_MIN_RTT_NS;

	if (r->min_rtt_ns == 0 || rtt <= r->min_rtt_ns || expired) {
		r->min_rtt_ns = rtt;
		r->min_rtt_at_ns = now;
	}
	if (expired && r->state != RIVAL_PROBE_RTT) {
		r->state = RIVAL_PROBE_RTT;
		r->prior_cwnd = rival_most(r->prior_cwnd, r->cwnd);
		r->probe_done_ns = 0;
	}
	if (r->state != RIVAL_PROBE_RTT)
		return;
	if (r->probe_done_ns == 0 && r->inflight <= RIVAL_CWND_MIN)
		r->probe_done_ns = now + RIVAL_PROBE_RTT_NS;
	if (r->probe_done_ns == 0 || now < r->probe_done_ns)
		return;
	r->min_rtt_at_ns = now;
	r->cwnd = rival_most(r->cwnd, r->prior_cwnd);
	r->prior_cwnd = 0;
	r->state = r->filled ? RIVAL_PROBE_BW : RIVAL_STARTUP;
	r->phase = 2 + (unsigned int)(now / 1000 % (RIVAL_PHASES - 2));
	r->phase_ns = now;
}

static inline void rival_bbr_cwnd(struct rival *r, unsigned int lost)
{
	double gain = r->state == RIVAL_PROBE_BW ? 2 : RIVAL_STARTUP_GAIN, target;
	double quantum = rival_most(rival_rate(r) * RIVAL_QUANTUM_RATIO, RIVAL_BURST_MIN);

	if (lost > 0) {
		r->cwnd = rival_most(r->cwnd - lost, 1);
		if (r->head > r->recover) { /* a flight's first loss: one round of conservation */
			r->prior_cwnd = rival_most(r->prior_cwnd, r->cwnd + lost);
			r->conserve = true;
			r->cwnd = (double)r->inflight + 1;
			r->conserve_until = r->delivered + r->inflight;
			r->recover = r->tail;
		}
	}
	if (r->conserve && r->delivered >= r->conserve_until)
		r->conserve = false;
	if (r->head > r->recover && r->prior_cwnd > 0 && r->state != RIVAL_PROBE_RTT) {
		r->cwnd = rival_most(r->cwnd, r->prior_cwnd); /* recovered */
		r->prior_cwnd = 0;
	}
	target = gain * rival_product(r) + 3 * quantum;
	if (r->conserve)
		r->cwnd = rival_most(r->cwnd, (double)r->inflight + 1);
	else if (!r->filled)
		r->cwnd += 1;
	else
		r->cwnd = r->cwnd + 1 < target ? r->cwnd + 1 : target;
	if (r->state == RIVAL_PROBE_RTT && r->cwnd > RIVAL_CWND_MIN)
		r->cwnd = RIVAL_CWND_MIN;
}

static inline void rival_bbr(struct rival *r, const struct rival_packet *p, unsigned int lost,
			     uint64_t now)
{
	uint64_t by_sending = p->sent_ns - p->first_sent_ns, by_answers = now - p->delivered_ns;
	uint64_t interval = by_sending > by_answers ? by_sending : by_answers;

	r->first_sent_ns = p->sent_ns;
	if (interval > 0)
		rival_round(r, p, (double)(r->delivered - p->delivered) * 1e9 / (double)interval);
	rival_cycle(r, now, lost);
	rival_probe_rtt(r, now - p->sent_ns, now);
	rival_bbr_cwnd(r, lost);
}

/* Packet @number has arrived, says an answer. */
static inline void rival_answer(struct rival *r, uint64_t number, uint64_t now)
{
	struct rival_packet *p = &r->ring[number % RIVAL_RING];
	unsigned int lost = 0;

	if (number < r->head || number >= r->tail || p->answered)
		return;
	p->answered = true;
	r->progress_ns = r->delivered_ns = now;
	r->delivered++;
	r->inflight--;
	r->srtt_ns += ((double)(now - p->sent_ns) - r->srtt_ns) / (r->srtt_ns > 0 ? 8 : 1);
	for (; r->head < r->tail; r->head++) {
		if (r->ring[r->head % RIVAL_RING].answered)
			continue;
		if (r->head + RIVAL_DUPACKS > number)
			break;
		lost++;
		r->inflight--;
		r->lost++;
	}
	if (r->kind == RIVAL_RENO)
		rival_reno(r, number, lost);
	else
		rival_bbr(r, p, lost, now);
}

#endif
