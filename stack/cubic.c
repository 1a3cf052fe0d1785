/* SPDX-License-Identifier: MIT */
/*
 * cubic.c - loss-based congestion control: CUBIC (RFC 9438), with proportional rate reduction
 * (RFC 6937) in recovery and slow start that ends when round trips grow (RFC 9406, without its
 * second phase). Paced at 2 windows per round trip in slow start, 1.2 afterwards, as Linux.
 */
#include "stack/internal.h"

#include "lwip/priv/tcp_priv.h"

enum { ROUND_SAMPLES = 8, MIN_SEGMENTS = 2 };

static uint32_t floor_cwnd(const struct flow *f)
{
	return (uint32_t)MIN_SEGMENTS * f->pcb->mss;
}

static void set_pacing_rate(struct flow *f)
{
	struct sender *t = &f->tx;
	double windows = t->cwnd < t->cubic.ssthresh / 2 ? 2 : 1.2;

	if (t->srtt_ns)
		t->pacing_rate = (uint64_t)(windows * t->cwnd * 1e9 / (double)t->srtt_ns) + 1;
}

/* RFC 9406 4.2 */
static void watch_delay(struct flow *f, const struct rate_sample *rs)
{
	struct cubic *c = &f->tx.cubic;
	uint64_t margin;

	if (rs->any && rs->prior_delivered >= c->round_end) {
		c->round_end = f->tx.delivered;
		c->last_round_rtt_ns = c->round_rtt_ns;
		c->round_rtt_ns = 0;
		c->round_samples = 0;
	}
	if (rs->rtt_ns == 0)
		return;
	if (c->round_rtt_ns == 0 || rs->rtt_ns < c->round_rtt_ns)
		c->round_rtt_ns = rs->rtt_ns;
	c->round_samples++;
	if (c->last_round_rtt_ns == 0 || c->round_samples < ROUND_SAMPLES)
		return;
	margin = LWIP_MAX(LWIP_MIN(c->last_round_rtt_ns / 8, 16ull * NS_PER_MS), 4ull * NS_PER_MS);
	if (c->round_rtt_ns >= c->last_round_rtt_ns + margin)
		c->ssthresh = f->tx.cwnd;
}

static double cube_root(double x)
{
	double y = x > 1 ? x / 3 + 1 : 1;
	int i;

	for (i = 0; i < 40; i++) /* Newton's method */
		y -= (y * y * y - x) / (3 * y * y);
	return y;
}

/* RFC 9438 4: C is 0.4 segments per s^3 */
static void begin_epoch(struct flow *f)
{
	struct cubic *c = &f->tx.cubic;
	double segments;

	c->epoch_ns = f->stack->now_ns;
	c->w_est = f->tx.cwnd;
	c->est_acked = 0;
	c->partial = 0;
	if (f->tx.cwnd >= c->w_max) {
		c->k_ns = 0;
		c->origin = f->tx.cwnd;
		return;
	}
	segments = (double)(c->w_max - f->tx.cwnd) / f->pcb->mss;
	c->k_ns = (uint64_t)(cube_root(segments / 0.4) * 1e9);
	c->origin = c->w_max;
}

static double cubic_window(const struct flow *f, uint64_t after_ns)
{
	const struct cubic *c = &f->tx.cubic;
	double t = ((double)after_ns - (double)c->k_ns) / 1e9;

	return (double)c->origin + 0.4 * t * t * t * f->pcb->mss;
}

static void avoid_congestion(struct flow *f, uint32_t acked)
{
	struct cubic *c = &f->tx.cubic;
	uint32_t cwnd = f->tx.cwnd, mss = f->pcb->mss;
	double target;

	if (c->epoch_ns == 0)
		begin_epoch(f);
	target = cubic_window(f, f->stack->now_ns - c->epoch_ns + f->tx.min_rtt_ns);
	target = LWIP_MIN(LWIP_MAX(target, (double)cwnd), 1.5 * cwnd);
	/* 4.3: at least what Reno would have; alpha is 3 (1 - 0.7) / (1 + 0.7) */
	c->est_acked += acked;
	if ((double)c->est_acked * 0.53 >= c->w_est) {
		c->est_acked = 0;
		c->w_est += mss;
	}
	if (c->w_est > target)
		target = c->w_est;
	c->partial += (uint32_t)((target - cwnd) * acked / cwnd);
	if (c->partial >= mss) {
		f->tx.cwnd += c->partial;
		c->partial = 0;
	}
}

/* RFC 6937: what leaves is in proportion to what arrives, down to ssthresh. */
static void reduce(struct flow *f, const struct rate_sample *rs)
{
	struct cubic *c = &f->tx.cubic;
	uint64_t limit, out;

	c->prr_delivered += rs->acked;
	out = f->tx.sent - c->prr_out;
	if (f->tx.inflight > c->ssthresh) {
		limit = c->prr_delivered * c->ssthresh / LWIP_MAX(c->prr_at_start, 1u);
		limit = limit > out ? limit - out : 0;
	} else {
		limit = LWIP_MAX(c->prr_delivered > out ? c->prr_delivered - out : 0, rs->acked);
		limit = LWIP_MIN(limit + f->pcb->mss, c->ssthresh - f->tx.inflight);
	}
	f->tx.cwnd = f->tx.inflight + (uint32_t)limit;
}

static void cubic_acked(struct flow *f, const struct rate_sample *rs)
{
	struct sender *t = &f->tx;
	bool limited = rs->prior_inflight + rs->acked >= t->cwnd / 2;

	if (t->phase == TX_RECOVERY) {
		reduce(f, rs);
	} else if (t->cwnd < t->cubic.ssthresh) {
		watch_delay(f, rs);
		if (limited)
			t->cwnd += rs->acked;
	} else if (limited && t->app_limited == 0) {
		avoid_congestion(f, rs->acked);
	}
	set_pacing_rate(f);
}

static void note_loss(struct flow *f)
{
	struct cubic *c = &f->tx.cubic;
	uint32_t cwnd = f->tx.cwnd;

	/* 4.7: fast convergence, room for a new flow */
	c->w_max = cwnd < c->w_max ? (uint32_t)(cwnd * 0.85) : cwnd;
	c->ssthresh = LWIP_MAX((uint32_t)(cwnd * 0.7), floor_cwnd(f));
	c->epoch_ns = 0;
}

static void remember(struct flow *f)
{
	struct cubic *c = &f->tx.cubic;

	c->prior_cwnd = f->tx.cwnd;
	c->prior_ssthresh = c->ssthresh;
	c->prior_w_max = c->w_max;
}

static void cubic_congestion(struct flow *f)
{
	struct cubic *c = &f->tx.cubic;

	if (f->tx.refuted)
		remember(f);
	note_loss(f);
	c->prr_delivered = 0;
	c->prr_out = f->tx.sent;
	c->prr_at_start = (uint64_t)f->tx.inflight + f->tx.sacked;
}

static void cubic_timeout(struct flow *f)
{
	struct cubic *c = &f->tx.cubic;

	remember(f);
	note_loss(f);
	c->timed_out = true;
	f->tx.cwnd = f->pcb->mss;
}

static void cubic_undo(struct flow *f)
{
	struct cubic *c = &f->tx.cubic;

	f->tx.cwnd = LWIP_MAX(f->tx.cwnd, c->prior_cwnd);
	c->ssthresh = c->prior_ssthresh;
	c->w_max = c->prior_w_max;
	c->timed_out = false;
	set_pacing_rate(f);
}

static void cubic_recovered(struct flow *f)
{
	struct cubic *c = &f->tx.cubic;

	if (!c->timed_out || f->tx.cwnd > c->ssthresh)
		f->tx.cwnd = c->ssthresh;
	c->timed_out = false;
	set_pacing_rate(f);
}

/* RFC 9438 5.8: time without data does not count. */
static void cubic_restart(struct flow *f)
{
	f->tx.cubic.epoch_ns = 0;
}

static void cubic_lost(struct flow *f, const struct tx_seg *e)
{
	(void)f;
	(void)e;
}

static void cubic_init(struct flow *f)
{
	f->tx.cubic = (struct cubic){.ssthresh = UINT32_MAX / 2};
	f->tx.pacing_rate = 0;
	set_pacing_rate(f);
}

const struct cc_ops cc_cubic = {
	.init = cubic_init,
	.acked = cubic_acked,
	.lost = cubic_lost,
	.congestion = cubic_congestion,
	.timeout = cubic_timeout,
	.undo = cubic_undo,
	.recovered = cubic_recovered,
	.restart = cubic_restart,
};
