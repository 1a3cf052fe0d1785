/* SPDX-License-Identifier: MIT */
/*
 * bbr.c - congestion control by a model of the path
 *
 * Follows draft-ietf-ccwg-bbr (BBRv3): the bottleneck's bandwidth is the greatest delivery rate of
 * the last two probing cycles, the path's delay the least round trip of 10 s; data leaves at the
 * bandwidth and about two products of both may be in flight. Once in 2 to 3 s, or sooner on short
 * paths, so that loss-based flows get their share, the model is probed:
 *
 *   STARTUP -> DRAIN -> DOWN -> CRUISE -> REFILL -> UP -> DOWN ...
 *
 * DOWN is a little slower and empties the queue, UP is faster. PROBE_RTT: half a product for 200
 * ms, if no low round trip was seen for 5 s.
 *
 * Loss of more than 2 % of a flight while probing bounds what may be in flight (inflight_high).
 *
 * Where this differs from the draft:
 *
 *  - Rounds that lose no more than those 2 % do not lower the short-term bounds. With random loss
 *    each round would set the bandwidth to what it has delivered, a little less than it sent: 60
 *    rounds at 1 % halve it.
 *  - Without a queue, rounds that lose little raise those bounds by an eighth; the next probe is 8
 *    rounds away if the last one lost little, and no headroom is left then.
 *  - While the shortest round trip of a round is as short as ever there is no queue that could
 *    overflow, so loss is not taken for congestion up to a quarter (radio links, receivers that
 *    sleep); above, it is, for the sake of tiny queues.
 *  - A round at a probe's end that lost a larger share than those before the probe did, without a
 *    queue, has met a policer (check_policer): it tells the bandwidth until the next probe, 2 to
 *    3 s later.
 *  - A probe ends when the queue has grown, not when it has some length.
 *  - When all round trips of two rounds are so long that neither what we have in flight nor a
 *    delayed ACK explains them, the shortest one is looked for at once, and if it is as long the
 *    path is another: STARTUP. With the draft's 10 s of patience the window of the short path
 *    makes the two cycles that remember the bandwidth forget it. Until that is known, age alone
 *    does not replace the least round trip.
 *  - What leaves in PROBE_RTT counts as limited by the application in STARTUP only. Else the cycle
 *    that ends with it remembers an older bandwidth for a round longer, and two flows through a
 *    short queue lose twice as much.
 *  - Who yields to a flow that does not heed loss starves: yield.c says when loss is not heeded.
 */
#include "stack/internal.h"

#include "lwip/priv/tcp_priv.h"

enum {
	PROBE_RTT_MS = 200,
	STARTUP_PERCENT = 277, /* of the bandwidth: 4 ln 2 */
	MARGIN_PERCENT = 99,   /* 1 % for our headers */
	FULL_BW_ROUNDS = 3,
	STARTUP_LOSS_EVENTS = 6,
	LOSS_PARTS_NO_QUEUE = 4,
	QUEUE_NS = NS_PER_MS, /* round trips longer than the least by this and a 32nd: a queue */
	MIN_SEGMENTS = 4,
	COEXIST_ROUNDS = 63,
	CLEAN_ROUNDS = 8,
	EXTRA_ROUNDS = 5,
	FAR_ROUNDS = 2,
	POLICED_PERCENT = 6, /* what a quarter of the path, a quarter faster, adds to the whole */
};

/* What the draft calls MinRTTFilterLen and ProbeRTTInterval */
#define MIN_RTT_WINDOW_NS     (10 * NS_PER_S)
#define PROBE_RTT_INTERVAL_NS (5 * NS_PER_S)
#define FAR_NS		      (250 * NS_PER_MS)
#define UNLIMITED	      UINT64_MAX

/* ---- the model ---- */

static uint64_t max_bw(const struct bbr *b)
{
	return most(b->bw_filter[0], b->bw_filter[1]);
}

static uint64_t bw(const struct bbr *b)
{
	return least(max_bw(b), b->bw_low);
}

static uint32_t first_cwnd(const struct flow *f)
{
	return (uint32_t)INITIAL_SEGMENTS * f->pcb->mss;
}

/* Bandwidth-delay product times @percent */
static uint64_t bdp(const struct flow *f, uint64_t bandwidth, unsigned int percent)
{
	const struct bbr *b = &f->tx.bbr;

	if (b->min_rtt_ns == 0 || bandwidth == 0)
		return first_cwnd(f);
	return (uint64_t)((double)bandwidth * (double)b->min_rtt_ns / 1e9 * percent / 100);
}

/* What must be in flight for @bdp_bytes to be in the path, with what waits in hosts for its turn */
static uint64_t quantised(const struct flow *f, uint64_t bdp_bytes)
{
	uint64_t inflight = most(bdp_bytes, 3ull * sender_quantum(f));

	inflight = most(inflight, (uint64_t)MIN_SEGMENTS * f->pcb->mss);
	if (f->tx.bbr.state == BBR_UP)
		inflight += 2u * f->pcb->mss;
	return inflight;
}

static uint64_t inflight_at(const struct flow *f, unsigned int percent)
{
	return quantised(f, bdp(f, max_bw(&f->tx.bbr), percent));
}

/* The bound, or 85 % of it if the last probe lost too much: room for others */
static uint64_t with_headroom(const struct flow *f)
{
	const struct bbr *b = &f->tx.bbr;

	if (b->inflight_high == UNLIMITED || !b->lossy)
		return b->inflight_high;
	return most(b->inflight_high - b->inflight_high / 7, (uint64_t)MIN_SEGMENTS * f->pcb->mss);
}

/* The shortest round trip of a round says so: single ones are late for many reasons. */
static bool queue_seen(const struct bbr *b)
{
	return b->last_rtt_ns >= b->min_rtt_ns + b->min_rtt_ns / 32 + QUEUE_NS;
}

static bool too_many_lost(const struct flow *f, uint64_t lost, uint64_t inflight)
{
	unsigned int parts = queue_seen(&f->tx.bbr) ? LOSS_PARTS : LOSS_PARTS_NO_QUEUE;

	return !yield_holds_out(f) && lost_more_than(f, lost, inflight, parts);
}

static bool in_probe_bw(const struct bbr *b)
{
	return b->state >= BBR_DOWN && b->state <= BBR_UP;
}

static unsigned int pacing_percent(const struct bbr *b)
{
	switch (b->state) {
	case BBR_STARTUP:
		return STARTUP_PERCENT;
	case BBR_DRAIN:
		return 35;
	case BBR_DOWN:
		return 90;
	case BBR_UP:
		return 125;
	default:
		return 100;
	}
}

static unsigned int cwnd_percent(const struct bbr *b)
{
	switch (b->state) {
	case BBR_UP:
		return 225;
	case BBR_PROBE_RTT:
		return 50;
	default:
		return 200;
	}
}

/* ---- states ---- */

static void reset_signals(struct bbr *b)
{
	b->round_lost = b->round_delivered = 0;
	b->loss_events = 0;
	b->bw_latest = b->inflight_latest = 0;
}

static void reset_short_term(struct bbr *b)
{
	b->bw_low = b->inflight_low = UNLIMITED;
	b->policed = false;
}

static void start_round(struct flow *f)
{
	f->tx.bbr.round_end = f->tx.delivered;
}

static void start_down(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;
	uint32_t r;

	if (b->state == BBR_UP)
		yield_probe_ends(f);
	reset_signals(b);
	b->up_step = UNLIMITED;
	f->stack->ops->random(f->stack->ctx, &r, sizeof(r));
	b->probe_rounds = r & 1;
	b->wait_ns = 2 * NS_PER_S + (uint64_t)(r >> 1) % NS_PER_S;
	b->cycle_ns = f->stack->now_ns;
	b->acks = BBR_ACKS_STOPPING;
	start_round(f);
	b->state = BBR_DOWN;
}

static void start_refill(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;

	yield_judge(f);
	reset_short_term(b);
	b->up_rounds = 0;
	b->up_acked = 0;
	b->acks = BBR_ACKS_REFILLING;
	start_round(f);
	b->state = BBR_REFILL;
}

/* How much must be acknowledged for inflight_high to grow by a segment: doubles its growth each
 * round */
static void raise_slope(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;
	uint64_t growth = (uint64_t)f->pcb->mss << b->up_rounds;

	if (b->up_rounds < 30)
		b->up_rounds++;
	b->up_step = most((uint64_t)f->tx.cwnd * f->pcb->mss / growth, 1);
}

static void start_up(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;

	yield_probe_begins(f);
	b->acks = BBR_ACKS_STARTING;
	start_round(f);
	b->full_bw = 0;
	b->full_bw_rounds = 0;
	b->up_rtt_ns = f->tx.srtt_ns;
	b->cycle_ns = f->stack->now_ns;
	b->state = BBR_UP;
	raise_slope(f);
}

/* ---- loss ---- */

static void inflight_too_high(struct flow *f, uint64_t inflight, bool app_limited)
{
	struct bbr *b = &f->tx.bbr;
	uint64_t target = least(bdp(f, bw(b), 100), f->tx.cwnd);

	b->probe_samples = false;
	b->lossy = true;
	if (!app_limited)
		b->inflight_high = most(inflight, target * 7 / 10);
	if (b->state == BBR_UP)
		start_down(f);
}

/* At which flight the loss began to be too much */
static uint64_t inflight_before_loss(const struct tx_seg *e, uint64_t lost)
{
	uint64_t len = tx_len(e), inflight = e->inflight - len, before = lost - len, allowed;

	allowed = inflight / LOSS_PARTS;
	if (allowed <= before)
		return inflight;
	return inflight + (allowed - before) * LOSS_PARTS / (LOSS_PARTS - 1);
}

static void bbr_lost(struct flow *f, const struct tx_seg *e)
{
	struct bbr *b = &f->tx.bbr;
	uint64_t lost = f->tx.lost - e->lost;

	b->round_lost += tx_len(e);
	if (e->seq != b->lost_end)
		b->loss_events++; /* neighbours are one: a full queue drops rows of them */
	b->lost_end = e->end;
	if (b->probe_samples && too_many_lost(f, lost, e->inflight))
		inflight_too_high(f, inflight_before_loss(e, lost), e->app_limited);
}

/* ---- what an acknowledgement changes ---- */

static void update_round(struct flow *f, const struct rate_sample *rs)
{
	struct bbr *b = &f->tx.bbr;

	b->round_start = rs->any && rs->prior_delivered >= b->round_end;
	if (b->round_start) {
		start_round(f);
		b->rounds++;
		b->probe_rounds++;
	}
	b->loss_round_start = rs->any && rs->prior_delivered >= b->loss_round_end;
	if (b->loss_round_start)
		b->loss_round_end = f->tx.delivered;
	if (rs->rtt_ns)
		b->round_rtt_ns = least(b->round_rtt_ns, rs->rtt_ns);
	b->round_bw = most(b->round_bw, rs->rate);
	b->bw_latest = most(b->bw_latest, rs->rate);
	b->inflight_latest = most(b->inflight_latest, rs->delivered);
	b->round_delivered += rs->acked;
}

static void lower_short_term(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;

	if (b->state == BBR_STARTUP || b->state == BBR_REFILL || b->state == BBR_UP)
		return;
	if (b->bw_low == UNLIMITED)
		b->bw_low = max_bw(b);
	if (b->inflight_low == UNLIMITED)
		b->inflight_low = f->tx.cwnd;
	b->bw_low = most(b->bw_latest, b->bw_low * 7 / 10);
	b->inflight_low = most(b->inflight_latest, b->inflight_low * 7 / 10);
}

/* A round that lost little gives some of it back. */
static void raise_short_term(struct bbr *b)
{
	if (b->bw_low == UNLIMITED || b->policed)
		return;
	b->bw_low += b->bw_low / 8;
	b->inflight_low += b->inflight_low / 8;
	if (b->bw_low >= max_bw(b))
		reset_short_term(b);
}

static void check_startup_loss(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;

	if (b->state != BBR_STARTUP || b->loss_events < STARTUP_LOSS_EVENTS)
		return;
	b->full_bw_reached = true;
	b->before.startup = true;
	b->inflight_high = most(bdp(f, max_bw(b), 100), b->inflight_latest);
}

/* A round trip that neither the two products that we have in flight nor an ACK's delay explains */
static bool too_far(const struct bbr *b, uint64_t rtt_ns)
{
	return rtt_ns > 2 * b->min_rtt_ns + FAR_NS;
}

static void note_round_trip(struct bbr *b, const struct rate_sample *rs)
{
	if (b->round_rtt_ns == UNLIMITED)
		return;
	b->last_rtt_ns = b->round_rtt_ns;
	b->round_rtt_ns = UNLIMITED;
	if (!too_far(b, b->last_rtt_ns))
		b->far_rounds = 0;
	else if (b->far_rounds < FAR_ROUNDS && !rs->app_limited && b->state != BBR_PROBE_RTT)
		b->far_rounds++;
}

static void update_signals(struct flow *f, const struct rate_sample *rs)
{
	struct bbr *b = &f->tx.bbr;

	if (rs->rate > 0 && (rs->rate >= max_bw(b) || !rs->app_limited))
		b->bw_filter[1] = most(b->bw_filter[1], rs->rate);
	if (!b->loss_round_start)
		return;
	if (too_many_lost(f, b->round_lost, b->round_delivered + b->round_lost)) {
		lower_short_term(f);
		check_startup_loss(f);
	} else if (!queue_seen(b)) {
		raise_short_term(b);
	}
	yield_round_ends(f);
	reset_signals(b);
	b->bw_latest = rs->rate;
	b->inflight_latest = rs->delivered;
	note_round_trip(b, rs);
}

/* What a probe sends more is lost at a policer, all of it as soon as the bucket is empty: what then
 * arrives is the bandwidth, greater rates were the bucket's. Random loss takes the same share of
 * any rate. */
static void check_policer(struct flow *f, const struct rate_sample *rs)
{
	struct bbr *b = &f->tx.bbr;
	uint64_t sent = rs->delivered + rs->lost, before = (uint64_t)(b->probe.before * 1e9);
	double kept_before = 1 - b->probe.lost_before;

	if (queue_seen(b) || rs->rate == 0 || rs->app_limited ||
	    !lost_more_than(f, rs->lost, sent, LOSS_PARTS) ||
	    (double)rs->delivered * (100 + POLICED_PERCENT) >= (double)sent * kept_before * 100)
		return;
	b->policed = b->lossy = true;
	b->bw_low = least(max_bw(b), most(rs->rate, before));
	b->bw_filter[0] = b->bw_filter[1] = b->bw_low;
}

/* Acknowledgements that come in bursts: how much more than the bandwidth accounts for */
static void update_extra(struct flow *f, const struct rate_sample *rs)
{
	struct bbr *b = &f->tx.bbr;
	uint64_t now = f->stack->now_ns, expected, extra;

	if (b->round_start && ++b->extra_rounds >= EXTRA_ROUNDS) {
		b->extra_rounds = 0;
		b->extra_filter[0] = b->extra_filter[1];
		b->extra_filter[1] = 0;
	}
	expected = (uint64_t)((double)bw(b) * (double)(now - b->extra_start_ns) / 1e9);
	if (b->extra_acked <= expected) {
		b->extra_acked = 0;
		b->extra_start_ns = now;
		expected = 0;
	}
	b->extra_acked += rs->acked;
	extra = least(b->extra_acked - expected, f->tx.cwnd);
	b->extra_filter[1] = most(b->extra_filter[1], extra);
}

static void check_full_bw(struct flow *f, const struct rate_sample *rs)
{
	struct bbr *b = &f->tx.bbr;

	if (!b->round_start || rs->app_limited)
		return;
	if (b->round_bw >= b->full_bw + b->full_bw / 4) {
		b->full_bw = b->round_bw;
		b->full_bw_rounds = 0;
	} else if (++b->full_bw_rounds >= FULL_BW_ROUNDS && b->state == BBR_STARTUP) {
		b->full_bw_reached = true;
	}
	b->round_bw = 0;
}

/* ---- probing for bandwidth ---- */

static void probe_upward(struct flow *f, const struct rate_sample *rs)
{
	struct bbr *b = &f->tx.bbr;

	if (rs->prior_inflight + rs->acked < f->tx.cwnd || f->tx.cwnd < b->inflight_high)
		return; /* the bound is not what holds us back */
	b->up_acked += rs->acked;
	if (b->up_acked >= b->up_step) {
		uint64_t steps = b->up_acked / b->up_step;

		b->up_acked -= steps * b->up_step;
		b->inflight_high += steps * f->pcb->mss;
	}
	if (b->round_start)
		raise_slope(f);
}

static void adapt_upper_bounds(struct flow *f, const struct rate_sample *rs)
{
	struct bbr *b = &f->tx.bbr;

	if (b->acks == BBR_ACKS_STARTING && b->round_start)
		b->acks = BBR_ACKS_FEEDBACK;
	if (b->acks == BBR_ACKS_STOPPING && b->round_start) {
		if (in_probe_bw(b) && !rs->app_limited) {
			b->bw_filter[0] = b->bw_filter[1];
			b->bw_filter[1] = 0;
		}
		b->acks = BBR_ACKS_NONE;
		b->probe_samples = false;
	}
	if (b->probe_samples && too_many_lost(f, rs->lost, rs->inflight)) {
		inflight_too_high(f, rs->inflight, rs->app_limited);
		return;
	}
	if (b->inflight_high == UNLIMITED || !rs->any)
		return;
	if (rs->inflight > b->inflight_high)
		b->inflight_high = rs->inflight;
	if (b->state == BBR_UP)
		probe_upward(f, rs);
}

/* Soon if the last time did no harm: what the path has to offer changes. */
static bool time_to_probe(const struct flow *f)
{
	const struct bbr *b = &f->tx.bbr;
	uint64_t rounds = least(bdp(f, bw(b), 100) / f->pcb->mss, COEXIST_ROUNDS);

	if ((!b->lossy && !queue_seen(b)) || yield_holds_out(f))
		rounds = least(rounds, CLEAN_ROUNDS);
	return f->stack->now_ns - b->cycle_ns > b->wait_ns || b->probe_rounds >= most(rounds, 1);
}

/* A queue has grown, or the bandwidth has not for three rounds (the peer's window, the program).
 * While neither is so there is more to be had, and the next round is a quarter faster again. It is
 * the queue's growth that counts, not its length: a flow with a small share probes longer than one
 * with a big one. */
static bool probed_enough(const struct flow *f)
{
	const struct bbr *b = &f->tx.bbr;
	uint64_t queue = b->min_rtt_ns / 8 + QUEUE_NS;

	if (f->stack->now_ns - b->cycle_ns <= b->min_rtt_ns)
		return false;
	if (b->full_bw_rounds >= FULL_BW_ROUNDS)
		return true;
	return f->tx.srtt_ns >= b->up_rtt_ns + queue;
}

static void update_cycle(struct flow *f, const struct rate_sample *rs)
{
	struct bbr *b = &f->tx.bbr;

	adapt_upper_bounds(f, rs);
	switch (b->state) {
	case BBR_DOWN:
		if (time_to_probe(f))
			start_refill(f);
		else if (rs->prior_inflight <= least(inflight_at(f, 100), with_headroom(f)))
			b->state = BBR_CRUISE;
		break;
	case BBR_CRUISE:
		if (time_to_probe(f))
			start_refill(f);
		break;
	case BBR_REFILL:
		if (b->round_start) {
			b->probe_samples = true;
			start_up(f);
		}
		break;
	case BBR_UP:
		if (probed_enough(f)) {
			b->lossy = false;
			start_down(f);
		}
		break;
	default:
		break;
	}
}

static void check_startup_done(struct flow *f, const struct rate_sample *rs)
{
	struct bbr *b = &f->tx.bbr;

	check_full_bw(f, rs);
	if (b->state == BBR_STARTUP && b->full_bw_reached)
		b->state = BBR_DRAIN;
	if (b->state == BBR_DRAIN && f->tx.inflight <= inflight_at(f, 100))
		start_down(f);
}

/* ---- probing for the round trip ---- */

static void leave_probe_rtt(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;

	b->probe_rtt_min_at_ns = f->stack->now_ns;
	f->tx.cwnd = (uint32_t)most(f->tx.cwnd, b->prior_cwnd);
	if (!b->policed || !b->full_bw_reached)
		reset_short_term(b);
	if (!b->full_bw_reached) {
		b->state = BBR_STARTUP;
		return;
	}
	start_down(f);
	b->state = BBR_CRUISE;
}

/* Nor does a queue: with little of ours in flight it was no shorter. The path is another one. */
static void start_anew(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;

	b->min_rtt_ns = b->probe_rtt_min_ns;
	b->min_rtt_at_ns = f->stack->now_ns;
	b->inflight_high = UNLIMITED;
	b->full_bw_reached = false;
	b->full_bw = 0;
	b->full_bw_rounds = 0;
}

static uint64_t probe_rtt_cwnd(const struct flow *f)
{
	return most(bdp(f, bw(&f->tx.bbr), 50), (uint64_t)MIN_SEGMENTS * f->pcb->mss);
}

static void run_probe_rtt(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;
	uint64_t now = f->stack->now_ns;

	if (!b->full_bw_reached) /* that what leaves now is no faster does not mean so */
		f->tx.app_limited = f->tx.delivered + most(f->tx.inflight, 1);
	if (b->probe_rtt_done_ns == 0) {
		if (f->tx.inflight > probe_rtt_cwnd(f))
			return;
		b->probe_rtt_done_ns = now + PROBE_RTT_MS * (uint64_t)NS_PER_MS;
		b->probe_rtt_round = b->rounds;
		start_round(f);
	} else if (now > b->probe_rtt_done_ns && b->rounds > b->probe_rtt_round) {
		if (too_far(b, b->probe_rtt_min_ns))
			start_anew(f);
		leave_probe_rtt(f);
	}
}

static void update_min_rtt(struct flow *f, const struct rate_sample *rs)
{
	struct bbr *b = &f->tx.bbr;
	uint64_t now = f->stack->now_ns;
	bool far = rs->rtt_ns && b->far_rounds == FAR_ROUNDS;
	bool expired = far || now > b->probe_rtt_min_at_ns + PROBE_RTT_INTERVAL_NS;
	bool begins = expired && b->state != BBR_PROBE_RTT && !b->idle_restart && b->rounds > 0;
	bool probing = begins || b->state == BBR_PROBE_RTT;

	if (rs->rtt_ns &&
	    (b->probe_rtt_min_ns == 0 || rs->rtt_ns < b->probe_rtt_min_ns || expired)) {
		b->probe_rtt_min_ns = rs->rtt_ns;
		b->probe_rtt_min_at_ns = now;
	}
	if (b->min_rtt_ns == 0 || b->probe_rtt_min_ns < b->min_rtt_ns ||
	    (now > b->min_rtt_at_ns + MIN_RTT_WINDOW_NS &&
	     !(probing && too_far(b, b->probe_rtt_min_ns)))) { /* in the end start_anew */
		b->min_rtt_ns = b->probe_rtt_min_ns;
		b->min_rtt_at_ns = b->probe_rtt_min_at_ns;
	}
	if (begins) {
		if (far)
			b->far_rounds++; /* looked for: not again until a round trip is short */
		b->prior_cwnd = f->tx.cwnd;
		b->probe_rtt_done_ns = 0;
		b->acks = BBR_ACKS_STOPPING;
		b->state = BBR_PROBE_RTT;
		start_round(f);
	}
	if (b->state == BBR_PROBE_RTT)
		run_probe_rtt(f);
	if (rs->acked > 0)
		b->idle_restart = false;
}

/* ---- what follows from it ---- */

static void set_pacing_rate(struct flow *f)
{
	const struct bbr *b = &f->tx.bbr;
	uint64_t rate = bw(b) / 100 * pacing_percent(b) / 100 * MARGIN_PERCENT;

	if (rate > 0 && (b->full_bw_reached || rate > f->tx.pacing_rate))
		f->tx.pacing_rate = rate;
}

static uint64_t bound(const struct flow *f)
{
	const struct bbr *b = &f->tx.bbr;
	uint64_t cap = UNLIMITED;

	if (in_probe_bw(b) && b->state != BBR_CRUISE)
		cap = b->inflight_high;
	else if (b->state == BBR_CRUISE || b->state == BBR_PROBE_RTT)
		cap = with_headroom(f);
	cap = least(cap, b->inflight_low);
	return most(cap, (uint64_t)MIN_SEGMENTS * f->pcb->mss);
}

static void set_cwnd(struct flow *f, const struct rate_sample *rs)
{
	struct bbr *b = &f->tx.bbr;
	uint64_t target, cwnd = f->tx.cwnd;

	if (f->tx.phase == TX_TIMEOUT) { /* slow start up to what was lost */
		f->tx.cwnd += rs->acked;
		return;
	}
	target = bdp(f, bw(b), cwnd_percent(b)) + most(b->extra_filter[0], b->extra_filter[1]);
	target = quantised(f, target);
	if (b->full_bw_reached)
		cwnd = least(cwnd + rs->acked, target);
	else if (cwnd < target || f->tx.delivered < first_cwnd(f))
		cwnd += rs->acked;
	cwnd = most(cwnd, (uint64_t)MIN_SEGMENTS * f->pcb->mss);
	if (b->state == BBR_PROBE_RTT)
		cwnd = least(cwnd, probe_rtt_cwnd(f));
	f->tx.cwnd = (uint32_t)least(least(cwnd, bound(f)), UINT32_MAX / 4);
}

static void bbr_acked(struct flow *f, const struct rate_sample *rs)
{
	update_round(f, rs);
	if (yield_measure(f, rs))
		check_policer(f, rs);
	update_signals(f, rs);
	update_extra(f, rs);
	check_startup_done(f, rs);
	if (f->tx.bbr.full_bw_reached)
		update_cycle(f, rs);
	update_min_rtt(f, rs);
	set_pacing_rate(f);
	set_cwnd(f, rs);
}

/* Lost segments are counted one by one. */
static void bbr_congestion(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;

	if (f->tx.refuted)
		b->before = (struct bbr_before){.inflight_high = b->inflight_high,
						.bw_low = b->bw_low,
						.inflight_low = b->inflight_low,
						.known = true,
						.lossy = b->lossy};
}

static void bbr_timeout(struct flow *f)
{
	f->tx.bbr.prior_cwnd = (uint32_t)most(f->tx.bbr.prior_cwnd, f->tx.cwnd);
	f->tx.cwnd = f->pcb->mss;
	f->tx.bbr.before.known = false;
}

static void bbr_recovered(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;

	if (b->state != BBR_PROBE_RTT)
		f->tx.cwnd = (uint32_t)most(f->tx.cwnd, b->prior_cwnd);
	b->prior_cwnd = 0;
}

/* As the draft's BBRHandleSpuriousLossDetection */
static void bbr_undo(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;
	const struct bbr_before *before = &b->before;

	bbr_recovered(f);
	if (!before->known)
		return;
	b->before.known = false;
	b->round_lost = b->full_bw = 0;
	b->loss_events = b->full_bw_rounds = 0;
	b->bw_low = most(b->bw_low, before->bw_low);
	b->inflight_low = most(b->inflight_low, before->inflight_low);
	b->inflight_high = most(b->inflight_high, before->inflight_high);
	b->lossy = b->lossy && before->lossy;
	if (before->startup) {
		b->full_bw_reached = false;
		if (b->state != BBR_PROBE_RTT)
			b->state = BBR_STARTUP;
	}
}

/* After idling the bandwidth is known: no burst, no slow start. */
static void bbr_restart(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;

	if (f->tx.app_limited == 0)
		return;
	b->idle_restart = true;
	yield_restart(f);
	b->extra_start_ns = f->stack->now_ns;
	b->extra_acked = 0;
	if (in_probe_bw(b))
		f->tx.pacing_rate = most(bw(b) / 100 * MARGIN_PERCENT, 1);
	else if (b->state == BBR_PROBE_RTT && b->probe_rtt_done_ns &&
		 f->stack->now_ns > b->probe_rtt_done_ns)
		leave_probe_rtt(f);
}

static void bbr_init(struct flow *f)
{
	struct bbr *b = &f->tx.bbr;
	uint64_t rtt = f->tx.srtt_ns ? f->tx.srtt_ns : NS_PER_MS;

	memset(b, 0, sizeof(*b));
	b->inflight_high = UNLIMITED;
	yield_init(f);
	reset_short_term(b);
	b->min_rtt_ns = b->probe_rtt_min_ns = f->tx.srtt_ns;
	b->min_rtt_at_ns = b->probe_rtt_min_at_ns = b->extra_start_ns = f->stack->now_ns;
	b->round_rtt_ns = UNLIMITED;
	b->last_rtt_ns = b->min_rtt_ns;
	b->state = BBR_STARTUP;
	f->tx.pacing_rate = first_cwnd(f) * NS_PER_S / rtt / 100 * STARTUP_PERCENT;
}

const struct cc_ops cc_bbr = {
	.init = bbr_init,
	.acked = bbr_acked,
	.lost = bbr_lost,
	.congestion = bbr_congestion,
	.timeout = bbr_timeout,
	.undo = bbr_undo,
	.recovered = bbr_recovered,
	.restart = bbr_restart,
};
