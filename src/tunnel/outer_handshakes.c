/* SPDX-License-Identifier: MIT */
/*
 * outer_handshakes.c - sockets of their own for handshake messages, so that a flood leaves data
 * alone
 *
 * They share the port of the family's first socket (SO_REUSEPORT). A classic BPF program tells the
 * kernel which of them a datagram is for: transport data stays with the first, initiations are
 * divided by their source's address among eight, and what is left has one. So a flood overflows its
 * own buffers, what it overflows with costs us nothing, and what is no initiation passes by it.
 * Eight buffers of the size that every kernel grants hold what comes while others use the
 * processor.
 *
 * While many come, they are looked at every other millisecond, so that a flood is read in large
 * batches, and for no more than half of the time. Who is real is recognised by trying twice from
 * one address (wg/retries.h). Hence, if not all can be read, some addresses had better be read
 * always than all sometimes: the sockets are emptied in one order for some time, and then in
 * another. Which addresses share a socket depends on random numbers.
 */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sodium.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "src/tunnel/outer_internal.h"

enum {
	MESSAGES = OUTER_RECEIVE_MAX,
	MESSAGE_BYTES = 1024,
	OTHER_ROUNDS = 4, /* calls for what is no initiation, before initiations get their turn */
	INITIATION_ROUNDS =
		16, /* calls for the initiations of one socket; its buffer holds fewer */
	REST_MS = 2,
	ORDER_S = 16,	       /* longer than three tries of one initiator */
	BUFFER_BYTES = 212992, /* net.core.rmem_max since long */
	INITIATION_TYPE = 1,   /* first bytes of messages */
	DATA_TYPE = 4,
};

#define CREDIT_MAX_NS (10 * (int64_t)WGW_MS_NS)

/* ---- opening ---- */

/* Numbers of the sockets, in the order in which they are bound */
enum { TO_DATA, TO_OTHER, TO_INITIATIONS };

/* Initiations go by the hash of two words of the IP header: an IPv4 source and the destination,
 * which is ours, or the network of 64 bits of an IPv6 source. */
static int attach_divider(int fd, int family)
{
	uint32_t words = (uint32_t)SKF_NET_OFF + (family == AF_INET ? 12 : 8);
	uint32_t factors[2] = {randombytes_random() | 1, randombytes_random() | 1};
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DATA_TYPE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, TO_DATA),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, INITIATION_TYPE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, TO_OTHER),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, words),
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, factors[0]),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, words + 4),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, factors[1]),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32 - INITIATION_SOCKETS_LOG),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, TO_INITIATIONS),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	const struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program));
}

/* Returns a socket that shares @port and is watched, or -1. */
static int open_one(struct outer_socket *s, uint16_t port)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int fd = socket(s->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);

	if (fd < 0)
		return -1;
	outer_set_options(s, fd);
	outer_set_int(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
	outer_set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (outer_bind(fd, s->family, &port) == 0 &&
	    epoll_ctl(s->handshakes.watch.fd, EPOLL_CTL_ADD, fd, &ev) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool open_all(struct outer_socket *s, uint16_t port)
{
	struct outer_handshakes *h = &s->handshakes;

	h->watch.fd = epoll_create1(EPOLL_CLOEXEC);
	if (h->watch.fd < 0)
		return false;
	h->other = open_one(s, port);
	if (h->other < 0)
		return false;
	for (int i = 0; i < OUTER_INITIATION_SOCKETS; i++) {
		h->initiations[i] = open_one(s, port);
		if (h->initiations[i] < 0)
			return false;
	}
	return attach_divider(h->other, s->family) == 0;
}

static void close_all(struct outer_handshakes *h)
{
	for (int i = 0; i < OUTER_INITIATION_SOCKETS; i++)
		if (h->initiations[i] >= 0)
			close(h->initiations[i]);
	if (h->other >= 0)
		close(h->other);
	if (h->watch.fd >= 0)
		close(h->watch.fd);
}

void outer_handshakes_open(struct outer_socket *s, uint16_t port)
{
	if (s->watch.fd < 0)
		return;
	outer_set_int(s->watch.fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (open_all(s, port))
		return;
	close_all(&s->handshakes);
	outer_handshakes_init(s);
	outer_set_int(s->watch.fd, SOL_SOCKET, SO_REUSEPORT, 0);
}

void outer_handshakes_close(struct outer_socket *s)
{
	struct outer_handshakes *h = &s->handshakes;

	if (h->watch.fd >= 0)
		wgw_loop_del(s->outer->loop, &h->watch);
	wgw_timer_cancel(s->outer->loop, &h->rest);
	close_all(h);
}

/* ---- receiving ---- */

static int64_t processor_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * (int64_t)WGW_SEC_NS + ts.tv_nsec;
}

/* Half of the time that has passed, up to a limit */
static void add_credit(struct outer_handshakes *h, uint64_t now)
{
	uint64_t gained = (now - h->credited_at) / 2;

	h->credited_at = now;
	if (gained < (uint64_t)(CREDIT_MAX_NS - h->credit))
		h->credit += (int64_t)gained;
	else
		h->credit = CREDIT_MAX_NS;
}

/* Receives from one socket until it is empty, or @rounds times. Returns how many came. */
static unsigned int drain(struct outer_socket *s, int fd, unsigned int rounds)
{
	unsigned int n, sum = 0;

	do {
		n = outer_receive(s, fd, MESSAGES, MESSAGE_BYTES);
		sum += n;
	} while (n == MESSAGES && --rounds);
	return sum;
}

/* Whether so many came that more will in a moment */
static bool receive_all(struct outer_socket *s)
{
	struct outer_handshakes *h = &s->handshakes;
	uint64_t now = wgw_loop_now(s->outer->loop);
	size_t first = now / (ORDER_S * WGW_SEC_NS);
	int64_t before = processor_ns();
	unsigned int n;

	add_credit(h, now);
	n = drain(s, h->other, OTHER_ROUNDS);
	for (size_t i = 0; i < OUTER_INITIATION_SOCKETS && h->credit > 0; i++) {
		int64_t after;

		n += drain(s, h->initiations[(first + i) % OUTER_INITIATION_SOCKETS],
			   INITIATION_ROUNDS);
		after = processor_ns();
		h->credit -= after - before;
		before = after;
	}
	return n >= MESSAGES / 2 || h->credit <= 0;
}

static void rest(struct outer_socket *s)
{
	struct wgw_loop *loop = s->outer->loop;

	wgw_timer_set(loop, &s->handshakes.rest, wgw_loop_now(loop) + REST_MS * WGW_MS_NS);
}

static void on_handshakes(struct wgw_watch *w, uint32_t events)
{
	struct outer_socket *s = wgw_container(w, struct outer_socket, handshakes.watch);

	(void)events;
	if (receive_all(s) && wgw_loop_mod(s->outer->loop, w, 0) == 0)
		rest(s);
}

static void on_rested(struct wgw_timer *t)
{
	struct outer_socket *s = wgw_container(t, struct outer_socket, handshakes.rest);

	if (receive_all(s))
		rest(s);
	else
		wgw_loop_mod(s->outer->loop, &s->handshakes.watch, EPOLLIN);
}

void outer_handshakes_init(struct outer_socket *s)
{
	struct outer_handshakes *h = &s->handshakes;

	h->watch.fd = h->other = -1;
	for (int i = 0; i < OUTER_INITIATION_SOCKETS; i++)
		h->initiations[i] = -1;
	h->watch.ready = on_handshakes;
	h->rest.due = on_rested;
	h->credit = CREDIT_MAX_NS;
}
