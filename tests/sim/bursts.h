/* SPDX-License-Identifier: MIT */
/*
 * bursts.h - a program that writes a burst now and then, a video's frames or answers: part of
 * sim_stack.c
 *
 * The table says how long bursts take from being written to having been read, on the average and at
 * most, once the connection is some seconds old. Whoever takes the little that is written for all
 * that the path carries needs the whole time between two bursts for each.
 */
#ifndef TESTS_SIM_BURSTS_H
#define TESTS_SIM_BURSTS_H

enum { BURSTS_S = 30, BURSTS_MEASURE_FROM_S = 5 };

struct bursts {
	struct scenario path;
	size_t bytes;
	unsigned int every_ms, bound_ms;
};

static const struct bursts bursts[] = {
	{{"20 KB / 33 ms, 40 ms", PATH(100, 400, 40, 0)}, 20000, 33, 32},
	{{"20 KB / 40 ms, 40 ms", PATH(100, 400, 40, 0)}, 20000, 40, 32},
	{{"100 KB / 100 ms, 40 ms", PATH(100, 400, 40, 0)}, 100000, 100, 45},
	{{"100 KB / 200 ms, loss 1%", PATH(100, 1000, 200, 0.01)}, 100000, 200, 280},
	{{"1 MB / 1 s, 40 ms", PATH(100, 400, 40, 0)}, 1000000, 1000, 160},
	{{"1 MB / 1 s, 200 ms", PATH(100, 1000, 200, 0)}, 1000000, 1000, 220},
	{{"1 MB / 1 s, loss 1%", PATH(100, 1000, 200, 0.01)}, 1000000, 1000, 480},
};

static void burst_write(struct flow *f, void *arg)
{
	struct stream *s = arg;
	struct iovec iov[2];

	while (s->written < s->may_write && near_api.flow_send_iov(f, iov) > 0) {
		uint64_t n = earlier(earlier(iov[0].iov_len, PATTERN), s->may_write - s->written);

		memcpy(iov[0].iov_base, sim.pattern + s->written % PATTERN, n);
		s->written += n;
		near_api.flow_send_commit(f, n, s->written < s->may_write);
	}
}

static const struct flow_ops burst_ops = {
	.connected = burst_write, .writable = burst_write, .closed = out_closed};

/* False: they took too long, or something else arrived. */
static bool run_bursts(const struct bursts *b, uint64_t seed, double *sum, double *most)
{
	static const struct flow_options options = {.nodelay = true};
	struct stack_addr to = address("10.0.0.2", PORT);
	struct stream *s = &sim.streams[0];
	uint64_t began, every = (uint64_t)b->every_ms * NS_PER_MS;
	unsigned int written = 0, read = 0, n = BURSTS_S * 1000 / b->every_ms, counted = 0;
	struct scenario path = b->path;
	struct result r;
	double ms, all = 0;
	int err;

	path.n_flows = 1;
	begin(&path, seed);
	s->out = near_api.flow_connect(sim.near.stack, NULL, &to, &options, &burst_ops, s, &err);
	if (!s->out)
		abort();
	run_until(sim.now + NS_PER_S);
	began = sim.now;
	while (read < n && s->out && sim.now < began + 2 * BURSTS_S * NS_PER_S) {
		run_until(sim.now + NS_PER_MS);
		for (; written < n && sim.now >= began + written * every; written++)
			s->may_write += b->bytes;
		burst_write(s->out, s);
		for (; read < written && s->read >= (read + 1) * b->bytes; read++) {
			if (read * every < BURSTS_MEASURE_FROM_S * NS_PER_S)
				continue;
			ms = (double)(sim.now - began - read * every) / NS_PER_MS;
			all += ms;
			counted++;
			*most = ms > *most ? ms : *most;
		}
	}
	finish(&r);
	*sum += all / (counted ? counted : 1);
	return read == n && !r.corrupt && all <= (double)counted * b->bound_ms;
}

/* @asked: how many seeds; 0: as many as it takes */
static bool report_bursts(const struct bursts *b, uint64_t first, uint64_t asked)
{
	uint64_t seeds = asked ? asked : SEEDS, seed;
	double sum = 0, most = 0;
	bool good = true;

	for (seed = first; seed < first + seeds; seed++)
		good &= run_bursts(b, seed, &sum, &most);
	printf("%-26s %7.0f %7.0f %20s\n", b->path.name, sum / (double)seeds, most,
	       good ? "ok" : "SLOW");
	fflush(stdout);
	return good;
}

static bool all_bursts(const char *only, uint64_t first, uint64_t asked)
{
	bool good = true;
	size_t i;

	printf("%-26s %7s %7s\n", "ms from write to read", "mean", "most");
	for (i = 0; i < sizeof(bursts) / sizeof(*bursts); i++)
		if (!only || strstr(bursts[i].path.name, only))
			good &= report_bursts(&bursts[i], first, asked);
	return good;
}

#endif
