/* SPDX-License-Identifier: MIT */
/*
 * outer_nodes.h - two engines on loopback, for the tests of the outer UDP sockets
 *
 * sendmmsg, socket and bind are defined here and pass calls on to the kernel, so that its refusals
 * can be had without the networks that cause them; clock_gettime, so that time passes as wanted.
 */
#ifndef TESTS_UNIT_OUTER_NODES_H
#define TESTS_UNIT_OUTER_NODES_H

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/base/host.h"
#include "src/base/loop.h"
#include "src/tunnel/outer_internal.h"
#include "wg/messages.h"

enum { MTU = 1420, PACKET = 1300, IP_HEADER = 20 };

/* ---- the kernel's refusals ---- */

/* Returns 0 to pass the call on, or an errno. May lower *n. */
static int (*refuse)(struct mmsghdr *m, unsigned int *n);
static unsigned int sends, refusals;

static bool has_control(const struct msghdr *h, int level, int type)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c;
	     c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)h, c))
		if (c->cmsg_level == level && c->cmsg_type == type)
			return true;
	return false;
}

int sendmmsg(int fd, struct mmsghdr *m, unsigned int n, int flags)
{
	int err = refuse ? refuse(m, &n) : 0;

	sends++;
	if (err) {
		refusals++;
		errno = err;
		return -1;
	}
	return (int)syscall(SYS_sendmmsg, fd, m, n, flags);
}

static int missing_family;
static int sockets[64]; /* those that were made last */
static size_t n_sockets;

int socket(int domain, int type, int protocol)
{
	int fd;

	if (missing_family && domain == missing_family) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	fd = (int)syscall(SYS_socket, domain, type, protocol);
	sockets[n_sockets++ % 64] = fd;
	return fd;
}

static unsigned int taken_ports; /* IPv6 ports that will turn out to be in use */

int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	if (addr->sa_family == AF_INET6 && taken_ports > 0) {
		taken_ports--;
		errno = EADDRINUSE;
		return -1;
	}
	return (int)syscall(SYS_bind, fd, addr, len);
}

static long processor_step;    /* ns that pass each time somebody asks; 0: the true ones */
static uint64_t stopped_at_ns; /* what the clock says; 0: the true time */

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	static long passed;

	if (clock == CLOCK_BOOTTIME && stopped_at_ns > 0) {
		*ts = (struct timespec){(time_t)(stopped_at_ns / WGW_SEC_NS),
					(long)(stopped_at_ns % WGW_SEC_NS)};
		return 0;
	}
	if (clock != CLOCK_THREAD_CPUTIME_ID || processor_step == 0)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	passed += processor_step;
	*ts = (struct timespec){passed / 1000000000, passed % 1000000000};
	return 0;
}

/* ---- two nodes ---- */

/**
 * struct node - an engine with its outer sockets
 * @first_socket: Its first one's place in sockets[]: IPv4, IPv6, then those for handshakes of each
 * @got:	Inner packets delivered; @order: the numbers they carry were rising
 */
struct node {
	size_t first_socket;
	struct wgw_outer *outer;
	struct wg_device *wg;
	struct wg_peer *peer;
	struct wg_endpoint seen;
	uint8_t tos;
	unsigned int got, failed, last;
	int failed_with;
	bool order;
	/* datagrams are not for the engine, they carry numbers themselves, at BARE_NUMBER */
	bool bare;
};

enum { BARE_NUMBER = 4 };

static struct wgw_loop *loop;
static struct node a, b;
static struct wgw_before flush;
static struct wgw_timer deadline;
static unsigned int wanted;

static void op_transmit(void *ctx, const struct wg_endpoint *to, const uint8_t *buf, size_t stride,
			size_t count, size_t last, uint8_t tos)
{
	struct node *n = ctx;

	wgw_outer_transmit(n->outer, to, buf, stride, count, last, tos);
}

static void op_deliver(void *ctx, struct wg_peer *from, uint8_t *packet, size_t len)
{
	struct node *n = ctx;
	unsigned int number;

	(void)from;
	ck_assert_uint_ge(len, IP_HEADER + sizeof(number));
	memcpy(&number, packet + IP_HEADER, sizeof(number));
	if (n->got > 0 && number <= n->last)
		n->order = false;
	n->last = number;
	if (++n->got == wanted)
		wgw_loop_stop(loop);
}

static const struct wg_ops wg_ops = {
	.now = wgw_host_now,
	.realtime = wgw_host_realtime,
	.random = wgw_host_random,
	.transmit = op_transmit,
	.deliver = op_deliver,
};

static void take_bare(struct node *n, const uint8_t *buf, size_t len, size_t stride)
{
	for (size_t at = 0; at < len; at += stride) {
		unsigned int number;

		memcpy(&number, buf + at + BARE_NUMBER, sizeof(number));
		if (number != n->got)
			n->order = false;
		if (++n->got == wanted)
			wgw_loop_stop(loop);
	}
}

static void received(void *ctx, const struct wg_endpoint *from, uint8_t *buf, size_t len,
		     size_t stride, uint8_t tos)
{
	struct node *n = ctx;

	n->seen = *from;
	n->tos = tos;
	if (n->bare) {
		take_bare(n, buf, len, stride);
		return;
	}
	wg_device_receive(n->wg, from, buf, len, stride, tos);
}

static void failed(void *ctx, const struct wg_endpoint *to, int err)
{
	struct node *n = ctx;

	(void)to;
	n->failed++;
	n->failed_with = err;
}

static const struct wgw_outer_ops outer_ops = {.received = received, .failed = failed};

static bool run_flush(struct wgw_before *x)
{
	(void)x;
	wg_device_flush(a.wg);
	wg_device_flush(b.wg);
	return false;
}

static void too_late(struct wgw_timer *t)
{
	(void)t;
	wgw_loop_stop(loop);
}

static bool outer_has(const struct wgw_outer *o, int family)
{
	return (family == AF_INET ? o->v4.watch.fd : o->v6.watch.fd) >= 0;
}

static struct wg_endpoint loopback(int family, uint16_t port)
{
	struct wg_endpoint e = {0};

	if (family == AF_INET) {
		e.to.in.sin_family = AF_INET;
		e.to.in.sin_port = htons(port);
		e.to.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else {
		e.to.in6.sin6_family = AF_INET6;
		e.to.in6.sin6_port = htons(port);
		e.to.in6.sin6_addr = in6addr_loopback;
	}
	return e;
}

static void node_open(struct node *n, const uint8_t key[32])
{
	const char *warning;
	int err = 0;

	memset(n, 0, sizeof(*n));
	n->order = true;
	n->first_socket = n_sockets;
	n->outer = wgw_outer_new(loop, 0, 0, &outer_ops, n, &err, &warning);
	ck_assert_msg(n->outer != NULL, "%s", strerror(err));
	ck_assert_ptr_null(warning);
	n->wg = wg_device_new(&wg_ops, n, key, MTU);
	ck_assert_ptr_nonnull(n->wg);
}

static void node_meet(struct node *n, struct node *other)
{
	static const uint8_t any[4];
	uint8_t key[32];

	wg_device_public_key(other->wg, key);
	n->peer = wg_peer_add(n->wg, key);
	ck_assert_ptr_nonnull(n->peer);
	ck_assert_int_eq(wg_peer_add_allowed_ip(n->peer, AF_INET, any, 0), 0);
}

static void setup(void)
{
	uint8_t key[32];
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);

	ck_assert_int_ge(sodium_init(), 0);
	processor_step = 0;
	stopped_at_ns = 0;
	loop = wgw_loop_new();
	ck_assert_ptr_nonnull(loop);
	memset(key, 1, sizeof(key));
	node_open(&a, key);
	memset(key, 2, sizeof(key));
	node_open(&b, key);
	node_meet(&a, &b);
	node_meet(&b, &a);
	flush.run = run_flush;
	wgw_loop_before(loop, &flush);
	deadline.due = too_late;
}

static void teardown(void)
{
	wgw_outer_free(a.outer);
	wgw_outer_free(b.outer);
	wg_device_free(a.wg);
	wg_device_free(b.wg);
	wgw_loop_free(loop);
}

static void commit(struct node *n, unsigned int number, uint8_t tos)
{
	uint8_t *p = wg_device_tx_buffer(n->wg, PACKET);

	memset(p, 0, PACKET);
	p[0] = 0x45;
	p[1] = tos;
	p[2] = PACKET >> 8;
	p[3] = PACKET & 255;
	p[12] = p[16] = 10; /* from 10.0.0.0 to 10.0.0.0 */
	memcpy(p + IP_HEADER, &number, sizeof(number));
	ck_assert_int_eq(wg_device_tx_commit(n->wg, PACKET), 0);
}

/* Until what was sent to loopback before is where it is for. The kernel may be late with it; it
 * keeps the order of what one processor sends, which is all that the test runs on (setup). */
static void settle(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t len = sizeof(in);
	char byte = 0;
	/* not one of those that are counted */
	int fd = (int)syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	ck_assert_int_eq(sendto(fd, &byte, 1, 0, (struct sockaddr *)&in, len), 1);
	ck_assert_int_eq(recv(fd, &byte, 1, 0), 1);
	close(fd);
}

/* Runs until @other has @count packets in all, or a generous time has passed. */
static void run_until(unsigned int count)
{
	wanted = count;
	wgw_timer_set(loop, &deadline, wgw_clock_ns() + 10 * WGW_SEC_NS);
	wgw_loop_run(loop);
}

/* Runs one turn: what is ready is dealt with, and the timers that are due. */
static void run_turn(void)
{
	wanted = UINT_MAX;
	wgw_timer_set(loop, &deadline, wgw_clock_ns());
	wgw_loop_run(loop);
}

/* A session from a to b, so that what follows is data only. */
static void make_session(int family)
{
	const struct wg_endpoint to = loopback(family, wgw_outer_port(b.outer));

	wg_peer_set_endpoint(a.peer, &to);
	commit(&a, 0, 0);
	run_until(1);
	ck_assert_uint_eq(b.got, 1);
}

static void send_numbers(unsigned int from, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		commit(&a, from + i, 0);
}

#endif
