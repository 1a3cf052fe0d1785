/* SPDX-License-Identifier: MIT */
/*
 * lanes.h - connections that come and go in every way that there is, over a wire that loses: part
 * of sim_stack.c
 *
 * Each must deliver all or say why not, and in the end nothing may be left, not even a timer.
 */
#ifndef TEST_SIM_LANES_H
#define TEST_SIM_LANES_H

enum { LANES = 16, ROUNDS = 50, LENGTH_MAX = 60000, QUIET_S = 300 };

enum ending {
	NEAR_FIRST,   /* near closes when it has written, far at the end of input */
	FAR_FIRST,    /* far closes when it has everything, near at the end of input */
	BOTH_AT_ONCE, /* near as above, far as soon as it has accepted */
	NEAR_ABORTS,  /* with RST, which may be lost: keepalive finds that out */
	ENDINGS
};

/* One connection after the other, on a port of its own */
static struct lane {
	struct flow *out, *in;
	enum ending ending;
	size_t length, written, read;
	unsigned int rounds, ends;
	bool broken;
} lanes[LANES];

static void lane_write(struct flow *f, void *arg)
{
	struct lane *l = arg;
	struct iovec iov[2];

	while (l->written < l->length && near_api.flow_send_iov(f, iov) > 0) {
		size_t n = l->length - l->written;

		n = n < iov[0].iov_len ? n : iov[0].iov_len;
		memcpy(iov[0].iov_base, sim.pattern + l->written, n);
		l->written += n;
		near_api.flow_send_commit(f, n, l->written < l->length);
	}
	if (l->written < l->length)
		return;
	if (l->ending == NEAR_ABORTS) {
		near_api.flow_abort(f);
		l->out = NULL;
		l->ends++;
	} else if (l->ending != FAR_FIRST) {
		near_api.flow_shutdown(f);
	}
}

static void lane_end_of_input(struct flow *f, void *arg)
{
	const struct lane *l = arg;
	struct iovec iov;
	bool fin;

	if (near_api.flow_recv_iov(f, &iov, 1, &fin) == 0 && fin && l->written == l->length)
		near_api.flow_shutdown(f);
}

static void lane_read(struct flow *f, void *arg)
{
	struct lane *l = arg;
	struct iovec iov;
	bool fin;

	while (far_api.flow_recv_iov(f, &iov, 1, &fin) > 0) {
		l->broken |= memcmp(iov.iov_base, sim.pattern + l->read, iov.iov_len) != 0;
		l->read += iov.iov_len;
		far_api.flow_recv_consume(f, iov.iov_len);
	}
	if (fin || (l->ending == FAR_FIRST && l->read == l->length))
		far_api.flow_shutdown(f);
}

static void lane_out_closed(struct flow *f, void *arg, int err)
{
	struct lane *l = arg;

	(void)f;
	l->broken |= err != 0;
	l->out = NULL;
	l->ends++;
}

static void lane_in_closed(struct flow *f, void *arg, int err)
{
	struct lane *l = arg;

	(void)f;
	l->broken |= (err != 0) != (l->ending == NEAR_ABORTS);
	l->broken |= l->ending != NEAR_ABORTS && l->read != l->length;
	l->in = NULL;
	l->ends++;
}

static const struct flow_ops lane_out = {.connected = lane_write,
					 .writable = lane_write,
					 .readable = lane_end_of_input,
					 .closed = lane_out_closed};
static const struct flow_ops lane_in = {.readable = lane_read, .closed = lane_in_closed};

static void lane_accept(struct flow_listener *listener, struct flow *f, void *arg)
{
	static const struct flow_options watched = {
		.keepalive = true, .keep_idle_s = 20, .keep_interval_s = 2, .keep_count = 5};
	struct lane *l = arg;

	(void)listener;
	l->in = f;
	far_api.flow_set_ops(f, &lane_in, l);
	far_api.flow_set_options(f, &watched);
	if (l->ending == BOTH_AT_ONCE)
		far_api.flow_shutdown(f);
}

static bool lane_start(struct lane *l)
{
	struct stack_addr to = address("10.0.0.2", (uint16_t)(PORT + (l - lanes)));
	int err;

	l->ending = (enum ending)(random64() % ENDINGS);
	l->length = 1 + random64() % LENGTH_MAX;
	l->written = l->read = 0;
	l->ends = 0;
	l->rounds++;
	l->out = near_api.flow_connect(sim.near.stack, NULL, &to, NULL, &lane_out, l, &err);
	return l->out;
}

/* No connection, no TIME_WAIT that anybody would have to be woken for */
static bool nothing_left(const struct end *e)
{
	struct stack_stats stats;

	e->api->stack_stats(e->stack, &stats);
	return stats.tcp_flows == 0 && e->api->stack_next_deadline(e->stack) == UINT64_MAX;
}

static bool come_and_go(uint64_t seed)
{
	static const struct scenario sc = {"connections", PATH(100, 1000, 20, 0.03),
					   .acks.loss = 0.03, .data.reorder = 0.02,
					   .data.reorder_ms = 8};
	bool good = true;
	struct result r;
	int i, err;

	begin(&sc, seed);
	memset(lanes, 0, sizeof(lanes));
	for (i = 0; i < LANES; i++) {
		struct stack_addr at = address("10.0.0.2", (uint16_t)(PORT + i));
		static const struct flow_listener_ops ops = {.accept = lane_accept};

		if (!far_api.flow_listen(sim.far.stack, &at, false, 16, &ops, &lanes[i], &err))
			abort();
		good &= lane_start(&lanes[i]);
	}
	while (good) {
		bool done = true;

		run_until(sim.now + NS_PER_S / 10);
		for (i = 0; i < LANES; i++) {
			good &= !lanes[i].broken && sim.now < 10000 * NS_PER_S;
			if (lanes[i].ends == 2 && lanes[i].rounds < ROUNDS)
				good &= lane_start(&lanes[i]);
			done &= lanes[i].ends == 2;
		}
		if (done)
			break;
	}
	run_until(sim.now + QUIET_S * NS_PER_S);
	good &= nothing_left(&sim.near) && nothing_left(&sim.far);
	printf("%d connections that come and go, in %.0f s: %s\n", LANES * ROUNDS,
	       (double)(sim.now / NS_PER_S) - QUIET_S, good ? "ok" : "BROKEN");
	finish(&r);
	return good;
}

#endif
