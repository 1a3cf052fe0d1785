/* SPDX-License-Identifier: MIT */
/*
 * sim_stack.c - two stacks, in virtual time, over a wire with delay, loss, reordering, rate and
 * queue
 *
 * usage: sim_stack [-v] [-k NAME] [SEEDS [FIRST]]
 *
 * lwIP keeps its state in globals, so the program holds the stack twice: once as it is, once with
 * all its symbols renamed far_* (stack/lwip.mk). Both see the same clock; nothing sleeps. Every
 * byte that arrives is compared with what was written. For each scenario (scenarios.h) a line says
 * what it delivers, least and mean over the seeds, and per flow; one fails that is below its bound,
 * which is a share of the rate, or drops too much. Without SEEDS there are three, for a scenario
 * that a part of the seeds may miss more.
 *
 * Some share the wire with senders of other kinds (rivals.h). Then programs write now and then
 * (bursts.h), and connections come and go (lanes.h).
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack/stack.h"
#include "tests/sim/rivals.h"
#include "tests/sim/scenarios.h"

#define EACH_FUNCTION(X)                                                                           \
	X(stack_new)                                                                               \
	X(stack_free)                                                                              \
	X(stack_input)                                                                             \
	X(stack_input_done)                                                                        \
	X(stack_next_deadline)                                                                     \
	X(stack_tick)                                                                              \
	X(stack_stats)                                                                             \
	X(flow_connect)                                                                            \
	X(flow_set_ops)                                                                            \
	X(flow_set_options)                                                                        \
	X(flow_recv_iov)                                                                           \
	X(flow_recv_consume)                                                                       \
	X(flow_send_iov)                                                                           \
	X(flow_send_commit)                                                                        \
	X(flow_listen)                                                                             \
	X(flow_shutdown)                                                                           \
	X(flow_abort)                                                                              \
	X(flow_close)

#define MEMBER(f)  __typeof__(&f) f;
#define FAR(f)	   extern __typeof__(f) far_##f;
#define NEAR_OF(f) .f = f,
#define FAR_OF(f)  .f = far_##f,

EACH_FUNCTION(FAR)

struct api {
	EACH_FUNCTION(MEMBER)
};

static const struct api near_api = {EACH_FUNCTION(NEAR_OF)};
static const struct api far_api = {EACH_FUNCTION(FAR_OF)};

enum {
	MTU = 1420,
	PATTERN = 65536,
	PORT = 5001,
	SEEDS = 3,
	RIVAL_ANSWER = 40,
	NS_PER_US = 1000,
	NS_PER_MS = 1000000
};
#define NS_PER_S 1000000000ull
#define STEP_S	 0.5

/* @rival: not a stack's: it belongs to that stream, as @number */
struct packet {
	uint64_t at, order, number;
	int rival;
	bool to_far;
	size_t len;
	uint8_t data[MTU];
};

struct end {
	const struct api *api;
	struct stack *stack;
	bool is_far, fed;
	uint64_t busy_until; /* of the link that leads away from it */
	uint64_t stall_from, stall_to;
	unsigned int waiting; /* packets in its socket while it pauses */
};

struct stream {
	struct flow *out, *in;
	struct rival *rival;
	uint64_t written, may_write, read, read_at_measure; /* @may_write: bursts.h */
	bool writing;
};

static struct {
	uint64_t now, random, order, dropped;
	const struct scenario *scenario;
	struct end near, far;
	struct packet **heap;
	size_t n, cap;
	struct stream streams[FLOWS_MAX];
	unsigned int accepted;
	bool corrupt;
	uint8_t pattern[2 * PATTERN];
} sim;

/* ---- the world ---- */

static uint64_t random64(void)
{
	sim.random ^= sim.random << 13;
	sim.random ^= sim.random >> 7;
	sim.random ^= sim.random << 17;
	return sim.random;
}

static bool chance(double p)
{
	return p > 0 && (double)(random64() >> 11) / (double)(1ull << 53) < p;
}

static uint64_t sim_now(void *ctx)
{
	(void)ctx;
	return sim.now;
}

static void sim_random(void *ctx, void *buf, size_t len)
{
	uint8_t *p = buf;

	(void)ctx;
	while (len-- > 0)
		*p++ = (uint8_t)(random64() >> 24);
}

static bool sooner(const struct packet *a, const struct packet *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void push(struct packet *p)
{
	size_t i = sim.n++;

	if (sim.n > sim.cap) {
		sim.cap = sim.cap ? 2 * sim.cap : 1024;
		sim.heap = realloc(sim.heap, sim.cap * sizeof(*sim.heap));
	}
	for (; i > 0 && sooner(p, sim.heap[(i - 1) / 2]); i = (i - 1) / 2)
		sim.heap[i] = sim.heap[(i - 1) / 2];
	sim.heap[i] = p;
}

static struct packet *pop(void)
{
	struct packet *top = sim.heap[0], *last = sim.heap[--sim.n];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < sim.n) {
		if (child + 1 < sim.n && sooner(sim.heap[child + 1], sim.heap[child]))
			child++;
		if (!sooner(sim.heap[child], last))
			break;
		sim.heap[i] = sim.heap[child];
		i = child;
	}
	sim.heap[i] = last;
	return top;
}

/* A queue's packets leave at its rate; a policer lets pass at once what its bucket has tokens for,
 * which is full when the link has been free for as long as its bytes take. False: dropped */
static bool passes(struct end *e, const struct path *path, size_t len, uint64_t *leaves)
{
	double ns_per_byte = 8000 / path->rate_mbit;
	uint64_t took = (uint64_t)((double)len * ns_per_byte);
	uint64_t queue = (uint64_t)(path->queue_packets * MTU * ns_per_byte);
	uint64_t bucket = (uint64_t)(path->bucket_bytes * ns_per_byte);

	if (e->busy_until + bucket < sim.now)
		e->busy_until = sim.now - bucket;
	if (bucket > 0 ? e->busy_until + took > sim.now : e->busy_until > sim.now + queue)
		return false;
	e->busy_until += took;
	if (bucket == 0)
		*leaves = e->busy_until;
	return true;
}

/* Queue or policer, loss behind the bottleneck, delay; NULL: it does not arrive */
static struct packet *carry(struct end *e, size_t len)
{
	const struct path *path = e->is_far ? &sim.scenario->acks : &sim.scenario->data;
	uint64_t leaves = sim.now;
	struct packet *p;

	if (path->rate_mbit > 0 && !passes(e, path, len, &leaves)) {
		sim.dropped++;
		return NULL;
	}
	if (chance(path->loss))
		return NULL;
	if (path->hole_bytes > 0 && (double)len > path->hole_bytes &&
	    sim.now >= NS_PER_S + (uint64_t)(path->hole_s * NS_PER_S))
		return NULL;
	p = malloc(sizeof(*p));
	p->at = leaves + (uint64_t)(path->delay_ms * NS_PER_MS);
	if (path->longer_ms > 0 && sim.now >= NS_PER_S + (uint64_t)(path->longer_s * NS_PER_S))
		p->at += (uint64_t)(path->longer_ms * NS_PER_MS);
	if (chance(path->reorder))
		p->at += (uint64_t)(path->reorder_ms * NS_PER_MS);
	if (path->batch_ms > 0) {
		uint64_t batch = (uint64_t)(path->batch_ms * NS_PER_MS);

		p->at = (p->at + batch - 1) / batch * batch;
	}
	p->order = sim.order++;
	p->to_far = !e->is_far;
	p->len = len;
	p->rival = -1;
	push(p);
	return p;
}

/* The network makes another one of it, right behind. */
static void duplicate(const struct packet *p)
{
	struct packet *again = malloc(sizeof(*again));

	*again = *p;
	again->order = sim.order++;
	push(again);
}

static int sim_output(void *ctx, const struct iovec *iov, int n, size_t len)
{
	const struct end *e = ctx;
	const struct path *path = e->is_far ? &sim.scenario->acks : &sim.scenario->data;
	struct packet *p = carry(ctx, len);
	size_t at = 0;
	int i;

	for (i = 0; p && i < n; i++) {
		memcpy(p->data + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	if (p && chance(path->twice))
		duplicate(p);
	return 0;
}

static const struct stack_ops sim_ops = {
	.now = sim_now, .random = sim_random, .output = sim_output};

/* ---- the programs at both ends ---- */

static void write_more(struct flow *f, void *arg)
{
	struct stream *s = arg;
	struct iovec iov[2];

	while (near_api.flow_send_iov(f, iov) > 0) {
		memcpy(iov[0].iov_base, sim.pattern + s->written % PATTERN,
		       iov[0].iov_len < PATTERN ? iov[0].iov_len : PATTERN);
		s->written += iov[0].iov_len;
		near_api.flow_send_commit(f, iov[0].iov_len, true);
	}
}

static void out_closed(struct flow *f, void *arg, int err)
{
	(void)f;
	(void)err;
	((struct stream *)arg)->out = NULL;
}

static void read_all(struct flow *f, void *arg)
{
	struct stream *s = arg;
	struct iovec iov[16];
	bool fin;
	int n, i;

	while ((n = far_api.flow_recv_iov(f, iov, 16, &fin)) > 0) {
		size_t len = 0;

		for (i = 0; i < n; i++) {
			const uint8_t *p = iov[i].iov_base;
			size_t left = iov[i].iov_len;

			while (left > 0) {
				size_t part = left < PATTERN ? left : PATTERN;

				sim.corrupt |=
					memcmp(p, sim.pattern + s->read % PATTERN, part) != 0;
				s->read += part;
				p += part;
				left -= part;
			}
			len += iov[i].iov_len;
		}
		far_api.flow_recv_consume(f, len);
	}
}

static void in_closed(struct flow *f, void *arg, int err)
{
	(void)f;
	(void)err;
	((struct stream *)arg)->in = NULL;
}

static const struct flow_ops out_ops = {
	.connected = write_more, .writable = write_more, .closed = out_closed};
static const struct flow_ops in_ops = {.readable = read_all, .closed = in_closed};

static void accepted(struct flow_listener *l, struct flow *f, void *arg)
{
	struct stream *s = arg;

	(void)l;
	s->in = f;
	far_api.flow_set_ops(f, &in_ops, s);
}

static const struct flow_listener_ops listener_ops = {.accept = accepted};

/* ---- running ---- */

static struct stack_addr address(const char *text, uint16_t port)
{
	struct stack_addr a = {.port = port};

	memcpy(a.ip, stack_v4_prefix, sizeof(stack_v4_prefix));
	inet_pton(AF_INET, text, a.ip + 12);
	return a;
}

static void end_open(struct end *e, const struct api *api, const char *addr, bool is_far)
{
	struct stack_config config = {.n_addrs = 1, .mtu = MTU};

	*e = (struct end){.api = api, .is_far = is_far};
	config.addrs[0] = address(addr, 0);
	e->stack = api->stack_new(&config, &sim_ops, e);
	if (!e->stack)
		abort();
}

static uint64_t random_ms(double mean)
{
	return (uint64_t)((double)(random64() >> 11) / (double)(1ull << 52) * mean * NS_PER_MS);
}

/* When the process runs again that should run at @at: another one has the processor now and
 * then. */
static uint64_t runs_at(struct end *e, uint64_t at)
{
	if (sim.scenario->stall_ms <= 0 || at == UINT64_MAX)
		return at;
	while (e->stall_to <= at) {
		e->stall_from = e->stall_to + random_ms(sim.scenario->run_ms);
		e->stall_to = e->stall_from + random_ms(sim.scenario->stall_ms);
	}
	return at >= e->stall_from ? e->stall_to : at;
}

/* Holds @p until the process of @e runs again, if its socket has room. */
static void overflow_or_wait(struct end *e, struct packet *p)
{
	if (sim.scenario->socket_packets > 0 && e->waiting >= sim.scenario->socket_packets) {
		sim.dropped++;
		free(p);
		return;
	}
	e->waiting++;
	p->at = runs_at(e, sim.now);
	push(p);
}

static void end_rivals(void)
{
	int i;

	for (i = 0; i < FLOWS_MAX; i++) {
		free(sim.streams[i].rival);
		sim.streams[i].rival = NULL;
	}
}

static void rival_packet(const struct packet *p)
{
	struct stream *s = &sim.streams[p->rival];
	struct packet *answer;

	if (!s->rival)
		return;
	if (!p->to_far) {
		rival_answer(s->rival, p->number, sim.now);
		return;
	}
	s->read += RIVAL_DATA;
	answer = carry(&sim.far, RIVAL_ANSWER);
	if (answer) {
		answer->rival = p->rival;
		answer->number = p->number;
	}
}

/* What the rivals may send leaves. Returns when they may again. */
static uint64_t serve_rivals(void)
{
	uint64_t next = UINT64_MAX, number;
	int i;

	for (i = 0; i < FLOWS_MAX; i++) {
		struct rival *r = sim.streams[i].rival;

		while (r && rival_send(r, sim.now, &number)) {
			struct packet *p = carry(&sim.near, RIVAL_BYTES);

			if (p) {
				p->rival = i;
				p->number = number;
			}
		}
		if (r && rival_due(r) < next)
			next = rival_due(r);
	}
	return next;
}

static void deliver(void)
{
	while (sim.n > 0 && sim.heap[0]->at <= sim.now) {
		struct packet *p = pop();
		struct end *e = p->to_far ? &sim.far : &sim.near;

		if (p->rival >= 0) {
			rival_packet(p);
			free(p);
			continue;
		}
		if (runs_at(e, sim.now) > sim.now) {
			overflow_or_wait(e, p);
			continue;
		}
		e->waiting = 0;
		e->api->stack_input(e->stack, p->data, p->len);
		e->fed = true;
		free(p);
	}
}

static void serve(struct end *e)
{
	if (e->fed)
		e->api->stack_input_done(e->stack);
	e->fed = false;
	if (e->api->stack_next_deadline(e->stack) <= sim.now && runs_at(e, sim.now) == sim.now)
		e->api->stack_tick(e->stack);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t wakes_at(struct end *e)
{
	uint64_t due = e->api->stack_next_deadline(e->stack);

	if (due == UINT64_MAX)
		return due;
	return runs_at(e, due > sim.now ? due : sim.now);
}

static void run_until(uint64_t end)
{
	while (sim.now < end) {
		uint64_t next = earlier(wakes_at(&sim.near), wakes_at(&sim.far));

		next = earlier(next, serve_rivals());
		if (sim.n > 0)
			next = earlier(next, sim.heap[0]->at);
		next = earlier(next, end);
		if (next > sim.now)
			sim.now = next;
		deliver();
		serve(&sim.near);
		serve(&sim.far);
	}
}

static void start_stream(unsigned int i)
{
	int sender = sim.scenario->sender[i];
	const struct flow_options options = {.congestion = (enum flow_congestion)sender};
	struct stack_addr to = address("10.0.0.2", (uint16_t)(PORT + i));
	int err;

	if (sender >= RIVALS) {
		sim.streams[i].rival = malloc(sizeof(struct rival));
		rival_open(sim.streams[i].rival, (enum rival_kind)(sender - RIVALS), sim.now);
		return;
	}

	sim.streams[i].out = near_api.flow_connect(sim.near.stack, NULL, &to, &options, &out_ops,
						   &sim.streams[i], &err);
	if (!sim.streams[i].out)
		abort();
}

struct result {
	double mbit[FLOWS_MAX], all, least;
	uint64_t retransmits, dropped;
	bool corrupt;
};

static void begin(const struct scenario *sc, uint64_t seed)
{
	unsigned int i;
	int err;

	memset(&sim, 0, offsetof(__typeof__(sim), pattern));
	sim.scenario = sc;
	sim.now = NS_PER_S;
	sim.random = seed * 0x9e3779b97f4a7c15u + 1;
	for (i = 0; i < PATTERN; i++)
		sim.pattern[i] = sim.pattern[i + PATTERN] = (uint8_t)random64();
	end_open(&sim.near, &near_api, "10.0.0.1", false);
	end_open(&sim.far, &far_api, "10.0.0.2", true);
	for (i = 0; i < sc->n_flows; i++) {
		struct stack_addr at = address("10.0.0.2", (uint16_t)(PORT + i));

		if (!far_api.flow_listen(sim.far.stack, &at, false, 16, &listener_ops,
					 &sim.streams[i], &err))
			abort();
	}
}

static void finish(struct result *r)
{
	struct stack_stats stats;

	near_api.stack_stats(sim.near.stack, &stats);
	r->retransmits = stats.tcp_retransmits;
	r->dropped = sim.dropped;
	r->corrupt = sim.corrupt;
	near_api.stack_free(sim.near.stack);
	far_api.stack_free(sim.far.stack);
	while (sim.n > 0)
		free(pop());
	end_rivals();
	free(sim.heap);
}

static void run(const struct scenario *sc, uint64_t seed, struct result *r, bool verbose)
{
	double t = 0, from = sc->measure_from_s;
	unsigned int i, started = 0;
	uint64_t began;

	begin(sc, seed);
	began = sim.now;
	for (t = 0; t <= sc->seconds; t += STEP_S) {
		for (; started < sc->n_flows && sc->start_s[started] <= t; started++) {
			if (sc->later_s > 0 && started + 1 == sc->n_flows)
				run_until(sim.now + random_ms(sc->later_s * 500));
			start_stream(started);
		}
		if (sc->rivals_end_s > 0 && t == sc->rivals_end_s)
			end_rivals();
		if (t == from)
			for (i = 0; i < sc->n_flows; i++)
				sim.streams[i].read_at_measure = sim.streams[i].read;
		if (verbose) {
			printf("  %5.1f s", t);
			for (i = 0; i < sc->n_flows; i++)
				printf(" %10.2f MB", (double)sim.streams[i].read / 1e6);
			printf("\n");
		}
		if (t < sc->seconds)
			run_until(began + (uint64_t)((t + STEP_S) * NS_PER_S));
	}
	*r = (struct result){.least = 1e9};
	for (i = 0; i < sc->n_flows; i++) {
		const struct stream *s = &sim.streams[i];

		r->mbit[i] =
			(double)(s->read - s->read_at_measure) * 8 / 1e6 / (sc->seconds - from);
		r->all += r->mbit[i];
		r->least = r->mbit[i] < r->least ? r->mbit[i] : r->least;
	}
	finish(r);
}

/* @asked: how many seeds; 0: as many as it takes */
static bool report(const struct scenario *sc, uint64_t first, uint64_t asked, bool verbose)
{
	uint64_t seeds = asked ? asked : sc->seeds ? sc->seeds : SEEDS;
	double least = 1e9, sum = 0, flows[FLOWS_MAX] = {0};
	uint64_t seed, again = 0, dropped = 0, most_dropped = 0, missed = 0;
	bool corrupt = false, good;
	unsigned int i;

	for (seed = first; seed < first + seeds; seed++) {
		struct result r;

		run(sc, seed, &r, verbose);
		least = r.all < least ? r.all : least;
		missed += r.least < sc->bound_one * sc->data.rate_mbit;
		sum += r.all;
		for (i = 0; i < sc->n_flows; i++)
			flows[i] += r.mbit[i] / (double)seeds;
		again += r.retransmits / seeds;
		dropped += r.dropped / seeds;
		most_dropped = r.dropped > most_dropped ? r.dropped : most_dropped;
		corrupt |= r.corrupt;
	}
	good = !corrupt && least >= sc->bound_all * sc->data.rate_mbit &&
	       (double)missed <= sc->may_miss * (double)seeds &&
	       (sc->bound_dropped == 0 || most_dropped <= sc->bound_dropped);
	printf("%-26s %7.1f %7.1f %8llu %8llu  %-4s", sc->name, least, sum / (double)seeds,
	       (unsigned long long)again, (unsigned long long)dropped,
	       corrupt ? "CORRUPT"
	       : good  ? "ok"
		       : "LOW");
	for (i = 0; i < sc->n_flows && sc->n_flows > 1; i++)
		printf(" %6.1f", flows[i]);
	printf("\n");
	fflush(stdout);
	return good;
}

#include "tests/sim/bursts.h"
#include "tests/sim/lanes.h"

int main(int argc, char **argv)
{
	uint64_t numbers[2] = {0, 1}; /* seeds, the first of them */
	const char *only = NULL;
	bool good = true, verbose = false;
	unsigned int n = 0;
	size_t i;
	int a;

	for (a = 1; a < argc; a++) {
		if (strcmp(argv[a], "-v") == 0)
			verbose = true;
		else if (strcmp(argv[a], "-k") == 0 && a + 1 < argc)
			only = argv[++a];
		else if (n < 2)
			numbers[n++] = strtoull(argv[a], NULL, 10);
	}
	if (n > 0 && numbers[0] == 0)
		return EXIT_FAILURE;
	printf("%-26s %7s %7s %8s %8s\n", "Mbit/s of the data", "least", "mean", "resent",
	       "overflow");
	for (i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++)
		if (!only || strstr(scenarios[i].name, only))
			good &= report(&scenarios[i], numbers[1], numbers[0], verbose);
	good &= all_bursts(only, numbers[1], numbers[0]);
	for (i = 0; i < (n > 0 ? numbers[0] : SEEDS) && (!only || strstr("connections", only)); i++)
		good &= come_and_go(numbers[1] + i);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
