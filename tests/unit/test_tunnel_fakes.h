/* SPDX-License-Identifier: MIT */
/*
 * test_tunnel_fakes.h - a tunnel process for tests of sessions, and the session's side of a channel
 *
 * The parts around sessions (application sockets, TCP/IP stack, the process's life) are fakes;
 * engine, loop, sessions and policy are the real ones. Included by one file per test program.
 */
#ifndef TESTS_UNIT_TEST_TUNNEL_FAKES_H
#define TESTS_UNIT_TEST_TUNNEL_FAKES_H

#ifdef NO_SUITE /* of a fuzzer */
#include "tests/unit/assertions.h"
#else
#include <check.h>
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/host.h"
#include "src/tunnel/core.h"

static unsigned int sessions_over, no_session, has_session, hurries;
static struct wgw_ch_listener listened_again;
static bool tunnel_has_v6;

void wgw_sockets_session_over(struct wgw_tunnel *t, struct wgw_session *s)
{
	(void)t;
	(void)s;
	sessions_over++;
}

void wgw_sockets_hurry(struct wgw_tunnel *t)
{
	(void)t;
	hurries++;
}

void wgw_sockets_listen_again(struct wgw_tunnel *t, struct wgw_session *s,
			      const struct wgw_ch_listener *l, int path)
{
	(void)t;
	(void)s;
	listened_again = *l;
	close(path);
}

static bool sockets_busy;

bool wgw_sockets_busy(const struct wgw_tunnel *t)
{
	(void)t;
	return sockets_busy;
}

void wgw_core_no_session(struct wgw_core *core)
{
	(void)core;
	no_session++;
}

void wgw_core_has_session(struct wgw_core *core)
{
	(void)core;
	has_session++;
}

int wgw_core_move(struct wgw_core *core, int port, int64_t mark)
{
	(void)core;
	(void)port;
	(void)mark;
	return 0;
}

char *wgw_report_flows(struct wgw_core *of)
{
	(void)of;
	return NULL;
}

/* Tests that have no alive.c of their own have no core.alive either. */
static unsigned int alive_followed;

int wgw_alive_follow(struct wgw_alive *a)
{
	(void)a;
	alive_followed++;
	return 0;
}

void wgw_alive_report(const struct wgw_alive *a, FILE *out)
{
	(void)a;
	(void)out;
}

bool stack_is_local(const struct stack *stack, const struct stack_addr *a)
{
	(void)stack;
	(void)a;
	return false;
}

bool stack_source_for(const struct stack *stack, const struct stack_addr *to,
		      struct stack_addr *from)
{
	(void)stack;
	(void)from;
	return stack_addr_is_v4(to) || tunnel_has_v6;
}

void stack_path_restored(struct stack *stack,
			 bool (*via)(void *ctx, const struct stack_addr *remote), void *ctx)
{
	(void)stack;
	(void)via;
	(void)ctx;
}

void stack_stats(const struct stack *stack, struct stack_stats *out)
{
	(void)stack;
	memset(out, 0, sizeof(*out));
}

static unsigned int transmitted;
static struct wg_endpoint transmitted_to;

static inline void op_transmit(void *ctx, const struct wg_endpoint *to, const uint8_t *buf,
			       size_t stride, size_t count, size_t last, uint8_t tos)
{
	(void)ctx;
	(void)buf;
	(void)stride;
	(void)count;
	(void)last;
	(void)tos;
	transmitted++;
	transmitted_to = *to;
}

static inline void op_deliver(void *ctx, struct wg_peer *from, uint8_t *packet, size_t len)
{
	(void)ctx;
	(void)from;
	(void)packet;
	(void)len;
}

static const struct wg_ops wg_ops = {
	.now = wgw_host_now,
	.realtime = wgw_host_realtime,
	.random = wgw_host_random,
	.transmit = op_transmit,
	.deliver = op_deliver,
};

/* ---- the tunnel ---- */

static const char settings[] = "address 10.0.0.2/32\nlisten-port 0\nmtu 1420\n";
static const char policy[] = "dns-mode tunnel\ndns 10.0.0.53\nsearch corp.example\nverbose 1\n";

static struct wgw_core core;
static struct wgw_tunnel_boot boot;
static struct wgw_peer_config peer_config;
static struct wgw_config config;
static struct wg_endpoint endpoints[1][WGW_ENDPOINTS_MAX];
static uint8_t n_endpoints[1];
static struct wgw_prefix allowed;

static inline void setup(void)
{
	static uint8_t key[32] = {1};
	int err;

	ck_assert_int_ge(sodium_init(), 0);
	config.n_peers = 1;
	config.peers = &peer_config;
	memset(peer_config.public_key, 0x42, sizeof(peer_config.public_key));
	ck_assert_int_eq(wgw_prefix_parse("10.0.0.0/8", &allowed, NULL), 0);
	peer_config.allowed_ips.at = &allowed;
	peer_config.allowed_ips.n = 1;
	n_endpoints[0] = 2;
	for (size_t i = 0; i < 2; i++) {
		endpoints[0][i].to.in.sin_family = AF_INET;
		endpoints[0][i].to.in.sin_port = htons((uint16_t)(5000 + i));
		endpoints[0][i].to.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	boot.settings = settings;
	boot.config = &config;
	boot.endpoints = endpoints;
	boot.n_endpoints = n_endpoints;
	memset(boot.abstract, 0xab, sizeof(boot.abstract));
	core.t.boot = &boot;
	core.t.loop = wgw_loop_new();
	ck_assert_ptr_nonnull(core.t.loop);
	core.t.wg = wg_device_new(&wg_ops, &core, key, 1420);
	ck_assert_ptr_nonnull(core.t.wg);
	core.peers = wgw_peers_new(&core, &err);
	ck_assert_ptr_nonnull(core.peers);
}

static inline void teardown(void)
{
	wgw_peers_free(core.peers);
	wg_device_free(core.t.wg);
	wgw_loop_free(core.t.loop);
}

/* ---- the session's side ---- */

static inline void stop_on_event(struct wgw_watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	wgw_loop_stop(core.t.loop);
}

static inline void stop_on_time(struct wgw_timer *t)
{
	(void)t;
	wgw_loop_stop(core.t.loop);
}

/* Until somebody stops the loop, or for @ms. */
static inline void run_at_most(unsigned int ms)
{
	struct wgw_timer end = {.due = stop_on_time};

	wgw_timer_set(core.t.loop, &end, wgw_clock_ns() + ms * WGW_MS_NS);
	wgw_loop_run(core.t.loop);
	wgw_timer_cancel(core.t.loop, &end);
}

/*
 * Lets the tunnel process work for @ms, and then for as many turns as what a test does takes: who
 * is kept from running meanwhile has more to do than the time says.
 */
static inline void run_for(unsigned int ms)
{
	enum { TURNS = 32 };

	run_at_most(ms);
	for (int i = 0; i < TURNS; i++)
		run_at_most(0);
}

/* Runs the tunnel until it has sent something on @fd. Returns what recv returns. */
static inline ssize_t next_message(int fd, struct wgw_channel_msg *msg)
{
	struct wgw_watch w = {.fd = fd, .ready = stop_on_event};

	memset(msg, 0, sizeof(*msg));
	ck_assert_int_eq(wgw_loop_add(core.t.loop, &w, EPOLLIN), 0);
	run_at_most(60000);
	wgw_loop_del(core.t.loop, &w);
	return recv(fd, msg, sizeof(*msg), MSG_DONTWAIT);
}

static inline void expect(int fd, struct wgw_channel_msg *msg, uint16_t code)
{
	ck_assert_int_gt(next_message(fd, msg), 0);
	ck_assert_uint_eq(msg->magic, WGW_WIRE_MAGIC);
	ck_assert_uint_eq(msg->version, WGW_WIRE_VERSION);
	ck_assert_uint_eq(msg->code, code);
}

static inline void expect_end(int fd)
{
	struct wgw_channel_msg msg;

	ck_assert_int_eq(next_message(fd, &msg), 0);
}

static inline int text_fd(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

static inline int connect_channel(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	wgw_session_adopt(&core.t, pair[0]);
	return pair[1];
}

static inline void send_fds(int fd, const struct wgw_channel_msg *msg, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)(uintptr_t)msg, sizeof(*msg)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c = &control.align;

	if (n > 0) {
		h.msg_control = control.bytes;
		h.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(fd, &h, MSG_NOSIGNAL), sizeof(*msg));
}

static inline struct wgw_channel_msg message(uint16_t code)
{
	return (struct wgw_channel_msg){
		.magic = WGW_WIRE_MAGIC, .version = WGW_WIRE_VERSION, .code = code};
}

static const uint8_t token[WGW_TOKEN_BYTES] = {1, 2, 3};

static inline void send_open(int fd, const char *settings_text, const char *policy_text,
			     const uint8_t *with_token, uint32_t flags)
{
	struct wgw_channel_msg msg = message(WGW_CH_OPEN);
	int fds[2] = {text_fd(settings_text), text_fd(policy_text)};

	memcpy(msg.u.open.token, with_token, WGW_TOKEN_BYTES);
	memset(msg.u.open.label_key, 9, sizeof(msg.u.open.label_key));
	msg.u.open.flags = flags;
	send_fds(fd, &msg, fds, 2);
	close(fds[0]);
	close(fds[1]);
}

/* A channel with an open session. */
static inline int open_session(const char *policy_text)
{
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	send_open(fd, settings, policy_text, token, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, 0);
	ck_assert_ptr_nonnull(wgw_session_by_token(&core.t, token));
	return fd;
}

static inline struct stack_addr v4(const char *text, uint16_t port)
{
	struct stack_addr a = {.port = port};

	memcpy(a.ip, stack_v4_prefix, sizeof(stack_v4_prefix));
	ck_assert_int_eq(inet_pton(AF_INET, text, a.ip + 12), 1);
	return a;
}

#endif
