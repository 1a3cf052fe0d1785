/* SPDX-License-Identifier: MIT */
/*
 * probe.c - a handshake with each peer of a file, without a tunnel
 *
 * One engine with the file's key on sockets of its own. A responder moves to where an authenticated
 * initiation came from (whitepaper section 6.1), so this must not run beside a tunnel with the same
 * key. A peer with several addresses is sent its next initiation at the next of them.
 */
#include "src/tunnel/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/host.h"
#include "src/base/loop.h"
#include "src/tunnel/outer.h"

enum { PROGRESS_MS = 1000, MTU_BYTES = 1280 };

/** struct probing - @began: wgw_clock_ns */
struct probing {
	struct wgw_loop *loop;
	struct wgw_outer *outer;
	struct wg_device *wg;
	struct wgw_before flush;
	struct wgw_timer engine, second, end;
	const struct wgw_config *config;
	struct wgw_probe *peers;
	uint64_t began;
	void (*progress)(void *ctx, uint32_t passed_ms, size_t waiting);
	void *ctx;
};

static bool same_place(const struct wg_endpoint *a, const struct wg_endpoint *b)
{
	if (a->to.sa.sa_family != b->to.sa.sa_family)
		return false;
	if (a->to.sa.sa_family == AF_INET)
		return a->to.in.sin_port == b->to.in.sin_port &&
		       a->to.in.sin_addr.s_addr == b->to.in.sin_addr.s_addr;
	return a->to.in6.sin6_port == b->to.in6.sin6_port &&
	       memcmp(&a->to.in6.sin6_addr, &b->to.in6.sin6_addr, sizeof(struct in6_addr)) == 0;
}

static bool is_at(const struct wgw_probe *p, const struct wg_endpoint *place)
{
	for (uint8_t i = 0; i < p->n; i++) {
		if (same_place(&p->at[i], place))
			return true;
	}
	return false;
}

/* ---- sockets ---- */

static void on_received(void *ctx, const struct wg_endpoint *from, uint8_t *buf, size_t len,
			size_t stride, uint8_t tos)
{
	struct probing *q = ctx;

	for (size_t i = 0; i < q->config->n_peers; i++)
		q->peers[i].heard += is_at(&q->peers[i], from);
	wg_device_receive(q->wg, from, buf, len, stride, tos);
}

static void on_failed(void *ctx, const struct wg_endpoint *to, int err)
{
	struct probing *q = ctx;

	for (size_t i = 0; i < q->config->n_peers; i++) {
		if (is_at(&q->peers[i], to))
			q->peers[i].err = err;
	}
}

static const struct wgw_outer_ops outer_ops = {on_received, on_failed};

/* ---- engine ---- */

static void transmit(void *ctx, const struct wg_endpoint *to, const uint8_t *buf, size_t stride,
		     size_t count, size_t last, uint8_t tos)
{
	struct probing *q = ctx;

	wgw_outer_transmit(q->outer, to, buf, stride, count, last, tos);
}

static void deliver(void *ctx, struct wg_peer *from, uint8_t *packet, size_t len)
{
	(void)ctx, (void)from, (void)packet, (void)len;
}

static void on_event(void *ctx, struct wg_peer *peer, enum wg_event event)
{
	struct wgw_probe *p = wg_peer_user(peer);
	struct wg_peer_stats stats;

	(void)ctx;
	wg_peer_stats(peer, &stats);
	if (event == WG_EVENT_HANDSHAKE_DONE) {
		p->answered = true;
		p->rtt_ns = stats.handshake_rtt;
		p->from = stats.endpoint;
	} else if (event == WG_EVENT_HANDSHAKE_RETRY) {
		p->sent++;
		wg_peer_set_endpoint(peer, &p->at[(p->sent - 1) % p->n]);
	}
}

static const struct wg_ops wg_ops = {
	.now = wgw_host_now,
	.realtime = wgw_host_realtime,
	.random = wgw_host_random,
	.transmit = transmit,
	.deliver = deliver,
	.event = on_event,
};

/* 0 or -errno. */
static int add_peers(struct probing *q)
{
	for (size_t i = 0; i < q->config->n_peers; i++) {
		const struct wgw_peer_config *config = &q->config->peers[i];
		struct wgw_probe *p = &q->peers[i];
		struct wg_peer *peer;

		if (p->n == 0)
			continue;
		peer = wg_peer_add(q->wg, config->public_key);
		if (!peer)
			return -EINVAL;
		wg_peer_set_user(peer, p);
		wg_peer_set_preshared_key(peer, config->preshared_key);
		wg_peer_set_endpoint(peer, &p->at[0]);
		p->sent = 1;
		wg_peer_handshake(peer);
	}
	return 0;
}

/* ---- time ---- */

static size_t waiting(const struct probing *q)
{
	size_t n = 0;

	for (size_t i = 0; i < q->config->n_peers; i++)
		n += q->peers[i].n > 0 && !q->peers[i].answered;
	return n;
}

static void on_engine(struct wgw_timer *t)
{
	wg_device_tick(wgw_container(t, struct probing, engine)->wg);
}

static void on_second(struct wgw_timer *t)
{
	struct probing *q = wgw_container(t, struct probing, second);
	uint64_t now = wgw_clock_ns();

	q->progress(q->ctx, (uint32_t)((now - q->began) / WGW_MS_NS), waiting(q));
	wgw_timer_set(q->loop, t, now + PROGRESS_MS * WGW_MS_NS);
}

static void on_end(struct wgw_timer *t)
{
	wgw_loop_stop(wgw_container(t, struct probing, end)->loop);
}

/* With what is flushed the keepalive goes out that confirms a session to its peer. */
static bool before_sleep(struct wgw_before *b)
{
	struct probing *q = wgw_container(b, struct probing, flush);

	wg_device_flush(q->wg);
	wgw_timer_cancel(q->loop, &q->engine);
	if (wg_device_next_deadline(q->wg) != UINT64_MAX)
		wgw_timer_set(q->loop, &q->engine, wg_device_next_deadline(q->wg));
	if (waiting(q) == 0)
		wgw_loop_stop(q->loop);
	return false;
}

/* ---- all of it ---- */

/* 0 or -errno. */
static int begin(struct probing *q, uint16_t port)
{
	const char *warning;
	int err = 0;

	q->loop = wgw_loop_new();
	if (!q->loop)
		return -errno;
	q->outer = wgw_outer_new(q->loop, port, q->config->fwmark, &outer_ops, q, &err, &warning);
	if (!q->outer)
		return -err;
	q->wg = wg_device_new(&wg_ops, q, q->config->private_key, MTU_BYTES);
	return q->wg ? add_peers(q) : -ENOMEM;
}

int wgw_probe_peers(const struct wgw_config *config, uint16_t port, uint32_t ms,
		    struct wgw_probe *peers,
		    void (*progress)(void *ctx, uint32_t passed_ms, size_t waiting), void *ctx)
{
	struct probing q = {
		.config = config,
		.peers = peers,
		.progress = progress,
		.ctx = ctx,
		.began = wgw_clock_ns(),
		.flush.run = before_sleep,
		.engine.due = on_engine,
		.second.due = on_second,
		.end.due = on_end,
	};
	int err = begin(&q, port);

	if (!err && waiting(&q) > 0) {
		wgw_loop_before(q.loop, &q.flush);
		wgw_timer_set(q.loop, &q.end, q.began + ms * WGW_MS_NS);
		if (progress)
			wgw_timer_set(q.loop, &q.second, q.began + PROGRESS_MS * WGW_MS_NS);
		wgw_loop_run(q.loop);
	}
	if (q.outer)
		wgw_outer_free(q.outer);
	if (q.wg)
		wg_device_free(q.wg);
	if (q.loop)
		wgw_loop_free(q.loop);
	return err;
}
