/* SPDX-License-Identifier: MIT */
/*
 * tunnel.c - the tunnel process: its start, its end, and the glue of its parts
 *
 * Data flow, one thread, one loop:
 *
 *	outer sockets --datagrams--> engine --inner packets--> TCP/IP stack --> sockets.c
 *	outer sockets <--batches---- engine <--inner packets-- TCP/IP stack <-- sockets.c
 *
 * Packets are copied once on each way, at the border of the stack: stack_input takes the engine's
 * buffer, and output() writes the stack's pieces into the engine's arena, where they are sealed in
 * place and from where they are sent.
 *
 * Nothing is flushed while events are dispatched. Before the loop sleeps the before hooks run in
 * this order: the stack sees the end of its input batch (merged segments, ACKs), sockets.c moves
 * bytes, the engine seals and sends everything, and the deadlines of stack and engine become
 * timers. Hence batches are as large as a turn's work, and nothing is left behind when the process
 * sleeps.
 *
 * Start: the process is a fork of the front, so it first becomes a clean daemon; then it makes
 * everything that needs files, then it closes the sandbox, then it says that it is ready. Nobody is
 * waiting for a process that could not start: the reason goes to boot->ready.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/host.h"
#include "src/proxy/proxy.h"
#include "src/tunnel/core.h"
#include "src/tunnel/keep.h"
#include "src/tunnel/routes.h"

enum {
	FIRST_SESSION_MS = 10000, /* a front that started us and died is not waited for longer */
	BUSY_AGAIN_MS = 1000,
	QUIET_MS = 5000,
	QUIET_DATAGRAMS = 256, /* fewer than that within QUIET_MS is quiet */
	HEAP_KEPT_BYTES = 64 << 20,
};

/* ---- engine and stack ---- */

#define OVERSLEPT_NS WGW_SEC_NS

static void wg_transmit(void *ctx, const struct wg_endpoint *to, const uint8_t *buf, size_t stride,
			size_t count, size_t last, uint8_t tos)
{
	struct wgw_core *core = ctx;

	wgw_outer_transmit(core->t.outer, to, buf, stride, count, last, tos);
}

static void wg_deliver(void *ctx, struct wg_peer *from, uint8_t *packet, size_t len)
{
	struct wgw_core *core = ctx;

	(void)from;
	if (core->pcap) {
		const struct iovec iov = {packet, len};

		wgw_pcap_packet(core->pcap, &iov, 1, len);
	}
	stack_input(core->t.stack, packet, len);
	core->input_pending = true;
}

static void wg_event(void *ctx, struct wg_peer *peer, enum wg_event event)
{
	struct wgw_core *core = ctx;

	if (core->peers)
		wgw_peers_event(core->peers, peer, event);
}

static struct wg_peer *wg_choose(void *ctx, const uint8_t *packet, size_t len)
{
	struct wgw_core *core = ctx;

	return wgw_route_table_choose(wgw_peers_routes(core->peers), packet, len);
}

static bool wg_admit(void *ctx, const struct wg_peer *from, const uint8_t *packet, size_t len)
{
	struct wgw_core *core = ctx;

	return wgw_route_table_admit(wgw_peers_routes(core->peers), from, packet, len);
}

static const struct wg_ops wg_ops = {
	.now = wgw_host_now,
	.realtime = wgw_host_realtime,
	.random = wgw_host_random,
	.transmit = wg_transmit,
	.deliver = wg_deliver,
	.event = wg_event,
	.choose = wg_choose,
	.admit = wg_admit,
};

static int stack_output(void *ctx, const struct iovec *iov, int n, size_t len)
{
	struct wgw_core *core = ctx;
	uint8_t *at;

	if (len > core->t.boot->mtu)
		return -EMSGSIZE;
	at = wg_device_tx_buffer(core->t.wg, len);
	for (int i = 0; i < n; i++) {
		memcpy(at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	if (core->pcap)
		wgw_pcap_packet(core->pcap, iov, n, len);
	return wg_device_tx_commit(core->t.wg, len);
}

static uint8_t *stack_room(void *ctx, size_t len)
{
	struct wgw_core *core = ctx;

	return wg_device_tx_buffer(core->t.wg, len);
}

static int stack_written(void *ctx, uint8_t *packet, size_t len)
{
	struct wgw_core *core = ctx;

	if (core->pcap) {
		const struct iovec iov = {packet, len};

		wgw_pcap_packet(core->pcap, &iov, 1, len);
	}
	return wg_device_tx_commit(core->t.wg, len);
}

static bool port_is_bound(void *ctx, const struct stack_addr *local)
{
	struct wgw_core *core = ctx;

	return core->t.sockets && wgw_port_is_bound(core->t.sockets, local);
}

/* The stack's time stands still while nothing can run, as TCP's does in Linux: keepalives,
 * retransmissions and connects do not time out in a suspend, or while this process is stopped. The
 * engine's goes on, because its peers' does. */
static uint64_t stack_now(void *ctx)
{
	struct wgw_core *core = ctx;
	uint64_t now = wgw_clock_ns();

	if (core->tcpip_due && now > core->tcpip_due + OVERSLEPT_NS) {
		core->slept_ns += now - core->tcpip_due;
		core->tcpip_due = now;
	}
	return now - core->slept_ns;
}

static void set_deadline(struct wgw_loop *loop, struct wgw_timer *t, uint64_t deadline)
{
	if (deadline == UINT64_MAX)
		wgw_timer_cancel(loop, t);
	else
		wgw_timer_set(loop, t, deadline);
}

static void set_tcpip_deadline(struct wgw_core *core)
{
	uint64_t deadline = stack_next_deadline(core->t.stack);

	core->tcpip_due = 0;
	if (deadline && deadline != UINT64_MAX)
		core->tcpip_due = deadline += core->slept_ns;
	set_deadline(core->t.loop, &core->tcpip, deadline);
}

static const struct stack_ops stack_ops = {
	.now = stack_now,
	.random = wgw_host_random,
	.output = stack_output,
	.room = stack_room,
	.written = stack_written,
	.port_is_bound = port_is_bound,
};

static void outer_received(void *ctx, const struct wg_endpoint *from, uint8_t *buf, size_t len,
			   size_t stride, uint8_t tos)
{
	struct wgw_core *core = ctx;

	if (core->datagrams_received++ == 0)
		core->state_changed = true;
	wg_device_receive(core->t.wg, from, buf, len, stride, tos);
}

static void outer_failed(void *ctx, const struct wg_endpoint *to, int err)
{
	struct wgw_core *core = ctx;

	if (core->peers)
		wgw_peers_send_failed(core->peers, to, err);
}

static const struct wgw_outer_ops outer_ops = {
	.received = outer_received,
	.failed = outer_failed,
};

/* ---- the loop's hooks ---- */

static void on_engine(struct wgw_timer *t)
{
	struct wgw_core *core = wgw_container(t, struct wgw_core, engine);

	wg_device_tick(core->t.wg);
}

static void on_tcpip(struct wgw_timer *t)
{
	struct wgw_core *core = wgw_container(t, struct wgw_core, tcpip);

	stack_tick(core->t.stack);
}

static bool before_input(struct wgw_before *b)
{
	struct wgw_core *core = wgw_container(b, struct wgw_core, input);

	if (core->input_pending) {
		core->input_pending = false;
		stack_input_done(core->t.stack);
	}
	return false;
}

static uint64_t work_done(struct wgw_core *core)
{
	struct wgw_outer_stats stats;

	wgw_outer_stats(core->t.outer, &stats);
	return stats.rx_datagrams + stats.tx_datagrams;
}

/* One wake-up after work, another when the connections that it closed have left TIME_WAIT, none
 * while there is nothing to do. */
static void watch_for_quiet(struct wgw_core *core)
{
	uint64_t work = work_done(core);
	uint64_t then = wgw_loop_now(core->t.loop) + QUIET_MS * WGW_MS_NS;
	bool soon = core->quiet.slot && core->quiet.deadline <= then;

	if (soon || work - core->worked < QUIET_DATAGRAMS)
		return;
	core->worked = work;
	wgw_timer_set(core->t.loop, &core->quiet, then);
}

static void on_quiet(struct wgw_timer *t)
{
	struct wgw_core *core = wgw_container(t, struct wgw_core, quiet);
	uint64_t work = work_done(core);
	uint32_t more_ms;

	if (work - core->worked >= QUIET_DATAGRAMS) {
		watch_for_quiet(core);
		return;
	}
	core->worked = work;
	wgw_outer_trim(core->t.outer);
	more_ms = stack_trim(core->t.stack);
	malloc_trim(0);
	if (more_ms > 0)
		wgw_timer_set(core->t.loop, t, wgw_loop_now(core->t.loop) + more_ms * WGW_MS_NS);
}

static void flush_recording(struct wgw_core *core)
{
	int err = wgw_pcap_flush(core->pcap);

	if (err)
		wgw_core_say(core, 1, "--pcap: %s: nothing more is recorded", strerror(err));
}

static void rest_in_bulk(struct wgw_core *core)
{
	struct wgw_outer_stats outer;
	struct stack_stats stack;
	struct wgw_moved moved;

	wgw_outer_stats(core->t.outer, &outer);
	stack_stats(core->t.stack, &stack);
	moved = (struct wgw_moved){outer.rx_bytes, stack.tcp_committed, stack.tcp_turns};
	wgw_loop_rest(core->t.loop, wgw_bulk_rest_ns(&core->bulk, &moved));
}

static bool before_flush(struct wgw_before *b)
{
	struct wgw_core *core = wgw_container(b, struct wgw_core, flush);

	wg_device_flush(core->t.wg);
	if (core->pcap)
		flush_recording(core);
	if (core->state_changed)
		wgw_core_tell_state(core);
	watch_for_quiet(core);
	set_deadline(core->t.loop, &core->engine, wg_device_next_deadline(core->t.wg));
	set_tcpip_deadline(core);
	rest_in_bulk(core);
	return false;
}

/* ---- the outer sockets may move ---- */

static int open_outer(struct wgw_core *core, uint16_t port, uint32_t mark)
{
	const char *warning;
	int err;

	core->t.outer = wgw_outer_new(core->t.loop, port, mark, &outer_ops, core, &err, &warning);
	if (!core->t.outer)
		return -err;
	if (warning)
		wgw_core_say(core, 1, "%s", warning);
	return 0;
}

int wgw_core_move(struct wgw_core *core, int port, int64_t mark)
{
	struct wgw_config *config = (struct wgw_config *)(uintptr_t)core->t.boot->config;
	uint16_t old = wgw_outer_port(core->t.outer);
	uint32_t new_mark = mark < 0 ? config->fwmark : (uint32_t)mark;
	int err;

	/* a port that anybody chose is as good as another one */
	if ((port <= 0 || port == old) && new_mark == config->fwmark)
		return 0;
	wgw_outer_free(core->t.outer);
	err = open_outer(core, port <= 0 ? old : (uint16_t)port, new_mark);
	if (err) {
		if (open_outer(core, old, config->fwmark) && open_outer(core, 0, config->fwmark))
			wgw_loop_stop(core->t.loop);
		return err;
	}
	config->fwmark = new_mark;
	return 0;
}

/* ---- staying and leaving ---- */

static void linger_for(struct wgw_core *core, uint64_t ms)
{
	wgw_timer_set(core->t.loop, &core->linger, wgw_loop_now(core->t.loop) + ms * WGW_MS_NS);
}

void wgw_core_no_session(struct wgw_core *core)
{
	if (core->leaving)
		linger_for(core, 0);
	else if (core->t.boot->linger_ms != UINT32_MAX)
		linger_for(core, core->t.boot->linger_ms);
}

void wgw_core_has_session(struct wgw_core *core)
{
	wgw_timer_cancel(core->t.loop, &core->linger);
}

static void on_linger(struct wgw_timer *t)
{
	struct wgw_core *core = wgw_container(t, struct wgw_core, linger);

	if (core->t.sessions)
		return;
	if (wgw_sockets_busy(&core->t))
		linger_for(core, BUSY_AGAIN_MS);
	else
		wgw_loop_stop(core->t.loop);
}

/* ---- start ---- */

/* Reports why the process cannot start, and ends it. */
static _Noreturn void fail(const struct wgw_tunnel_boot *boot, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static _Noreturn void fail(const struct wgw_tunnel_boot *boot, const char *format, ...)
{
	char text[WGW_CH_TEXT_MAX_BYTES];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (write(boot->ready, text, strlen(text)) < 0) {
		/* The front is gone; nobody else to tell. */
	}
	_exit(1);
}

static void warn(void *ctx, const char *warning)
{
	wgw_core_say(ctx, 1, "%s", warning);
}

static void start_stack(struct wgw_core *core)
{
	const struct wgw_tunnel_boot *boot = core->t.boot;
	const struct wgw_prefixes *addresses = &boot->config->addresses;
	struct stack_config config = {.mtu = boot->mtu};

	for (size_t i = 0; i < addresses->n && i < STACK_ADDRS_MAX; i++)
		config.addrs[config.n_addrs++] = addresses->at[i].addr;
	core->t.stack = stack_new(&config, &stack_ops, core);
	if (!core->t.stack)
		fail(boot, "the TCP/IP stack cannot start with these addresses and MTU %u: %s",
		     boot->mtu, strerror(errno));
}

static void start_outer(struct wgw_core *core)
{
	const struct wgw_tunnel_boot *boot = core->t.boot;
	const char *warning;
	int err;

	core->t.outer = wgw_outer_new(core->t.loop, boot->listen_port, boot->config->fwmark,
				      &outer_ops, core, &err, &warning);
	if (!core->t.outer && err == EADDRINUSE)
		fail(boot, "UDP port %u is in use (another WireGuard interface?)",
		     boot->listen_port);
	if (!core->t.outer)
		fail(boot, "no UDP socket: %s", strerror(err));
	if (warning)
		warn(core, warning);
}

/* The engine has its own copies; these are of no use any more. */
static void wipe_config_keys(const struct wgw_config *config)
{
	struct wgw_config *own = (struct wgw_config *)(uintptr_t)config;

	sodium_memzero(own->private_key, sizeof(own->private_key));
	for (size_t i = 0; i < own->n_peers; i++)
		sodium_memzero(own->peers[i].preshared_key, WG_KEY_BYTES);
}

static void start_engine(struct wgw_core *core)
{
	const struct wgw_tunnel_boot *boot = core->t.boot;
	int err;

	core->t.wg = wg_device_new(&wg_ops, core, boot->config->private_key, boot->mtu);
	if (!core->t.wg)
		fail(boot, "the WireGuard engine cannot start: %s", strerror(ENOMEM));
	core->peers = wgw_peers_new(core, &err);
	if (!core->peers)
		fail(boot, "a peer cannot be added: %s%s", strerror(err),
		     err == EINVAL ? " (its public key is our own)" : "");
	wipe_config_keys(boot->config);
	if (!wg_secrets_locked())
		warn(core,
		     "RLIMIT_MEMLOCK is too low to lock the keys in memory: they may reach swap");
}

static void start_sockets(struct wgw_core *core)
{
	int err;

	err = wgw_sockets_init(&core->t);
	/* Its hook runs after the jobs, which ask it. */
	core->t.resolver = wgw_resolver_new(&core->t);
	if (!core->t.resolver)
		fail(core->t.boot, "the resolver (c-ares) cannot start: %s", strerror(errno));
	if (err)
		fail(core->t.boot, "application sockets: %s", strerror(-err));
	err = wgw_proxy_init(&core->t);
	if (err)
		fail(core->t.boot, "proxies (http-parser): %s", strerror(-err));
	if (core->t.boot->uapi >= 0) {
		fcntl(core->t.boot->uapi, F_SETFL, O_NONBLOCK);
		err = wgw_uapi_init(core, core->t.boot->uapi);
	}
	if (err)
		fail(core->t.boot, "the UAPI's socket: %s", strerror(-err));
}

static void start(struct wgw_core *core)
{
	const struct wgw_tunnel_boot *boot = core->t.boot;
	int err;

	core->engine.due = on_engine;
	core->tcpip.due = on_tcpip;
	core->linger.due = on_linger;
	core->quiet.due = on_quiet;
	core->input.run = before_input;
	core->flush.run = before_flush;
	core->t.loop = wgw_loop_new();
	if (!core->t.loop)
		fail(boot, "no event loop: %s", strerror(errno));
	wgw_loop_before(core->t.loop, &core->input);
	if (boot->pcap >= 0)
		core->pcap = wgw_pcap_new(boot->pcap);
	start_outer(core);
	start_engine(core);
	wgw_egress_follow(core);
	start_stack(core);
	core->alive = wgw_alive_new(core);
	if (!core->alive)
		fail(boot, "out of memory");
	start_sockets(core);
	wgw_loop_before(core->t.loop, &core->flush);
	if (boot->linger_ms != UINT32_MAX)
		linger_for(core,
			   boot->linger_ms > FIRST_SESSION_MS ? boot->linger_ms : FIRST_SESSION_MS);
	err = wgw_sandbox_enter(warn, core);
	if (err)
		fail(boot, "the sandbox (libseccomp) cannot be closed: %s", strerror(-err));
}

static void stop(struct wgw_core *core)
{
	/* Before the listeners go with the process: who finds them closed may want the same port.
	 */
	wgw_outer_free(core->t.outer);
	wgw_uapi_free(core);
	wg_device_free(core->t.wg);
	wgw_pcap_free(core->pcap);
}

_Noreturn void wgw_tunnel_main(const struct wgw_tunnel_boot *boot)
{
	struct wgw_tunnel_boot own = *boot;
	struct wgw_core *core;
	const char up = '\0';

	wgw_daemon_become(&own);
	if (sodium_init() < 0)
		fail(&own, "libsodium cannot start");
	core = calloc(1, sizeof(*core));
	if (!core)
		fail(&own, "out of memory");
	core->t.boot = &own;
	core->started = wgw_clock_ns();
	/* While there is work the heap keeps what it has; on_quiet gives it back. */
	mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
	start(core);
	if (write(own.ready, &up, 1) < 0) {
		/* The front is gone. Another one may come; else the linger ends us. */
	}
	close(own.ready);
	wgw_loop_run(core->t.loop);
	stop(core);
	_exit(0);
}
