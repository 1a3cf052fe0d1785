/* SPDX-License-Identifier: MIT */
/*
 * hostile_datagrams.h - hostile.h's stack has datagram sockets and pings, and gets packets of any
 * protocol
 *
 * What must hold: a datagram that leaves was sent, whole and unchanged, in fragments if it is
 * longer than the MTU; no more ICMP leaves than there are packets and pings.
 */
#ifndef TESTS_SIM_HOSTILE_DATAGRAMS_H
#define TESTS_SIM_HOSTILE_DATAGRAMS_H

#include "tests/sim/hostile.h"

enum {
	SOCKETS = 6,
	PINGS = 2,
	UDP_PORT = 5000,
	DATAGRAM_MAX = 65535,
};

static struct flow_udp *sockets[SOCKETS];
static struct flow_ping *pings[PINGS];
static uint64_t pinged, icmp_left; /* datagrams */
/* While one is sent: what it consists of, and how much of that has left */
static struct {
	const uint8_t *data; /* with its UDP header, whose checksum is not known; NULL: none is */
	size_t len, left;
} ordered;

/* Offset in the datagram, from *@payload on; *@more: it goes on */
static size_t fragment_offset(const struct wire_packet *w, const uint8_t **payload, bool *more)
{
	const uint8_t *p = w->data;

	if (p[0] >> 4 == 4) {
		*payload = p + IP4_HEADER_BYTES;
		*more = be16(p + 6) & IP4_MORE_FRAGMENTS;
		return (be16(p + 6) & (unsigned int)IP4_FRAGMENT_OFFSET) * 8;
	}
	*payload = p + IP6_HEADER_BYTES;
	*more = false;
	if (p[6] != PROTO_FRAGMENT)
		return 0;
	*payload += IP6_FRAGMENT_BYTES;
	*more = p[IP6_HEADER_BYTES + 3] & 1;
	return be16(p + IP6_HEADER_BYTES + 2) & 0xfff8;
}

static void judge_ip(const struct wire_packet *w)
{
	ck_assert_uint_le(w->len, h.mtu);
	if (w->data[0] >> 4 == 4) {
		ck_assert_uint_eq(be16(w->data + 2), w->len);
		ck_assert_uint_eq(sum16(0, w->data, IP4_HEADER_BYTES), 0xffff);
	} else {
		ck_assert_uint_eq(w->data[0] >> 4, 6);
		ck_assert_uint_eq(be16(w->data + 4) + (size_t)IP6_HEADER_BYTES, w->len);
	}
}

static void judge_udp(const struct wire_packet *w)
{
	bool more;
	const uint8_t *payload;
	size_t at = fragment_offset(w, &payload, &more);
	size_t len = (size_t)(w->data + w->len - payload);

	ck_assert_msg(ordered.data != NULL, "a datagram that nobody has sent");
	ck_assert_uint_eq(at, ordered.left);
	ck_assert_uint_le(at + len, ordered.len);
	ck_assert(more == (at + len < ordered.len));
	if (at == 0) /* ports and length; the sum is its receiver's to check */
		ck_assert(memcmp(payload, ordered.data, 6) == 0);
	for (size_t i = at == 0 ? UDP_HEADER_BYTES : 0; i < len; i++)
		ck_assert(payload[i] == ordered.data[at + i]);
	if (at == 0 && !more)
		ck_assert_uint_eq(sum16(pseudo_sum(w->data, IPPROTO_UDP, len), payload, len),
				  0xffff);
	ordered.left += len;
}

static void judge_icmp(const struct wire_packet *w)
{
	bool more, v6 = w->data[0] >> 4 == 6;
	const uint8_t *payload;
	size_t at = fragment_offset(w, &payload, &more);
	size_t len = (size_t)(w->data + w->len - payload);

	icmp_left += at == 0;
	ck_assert_msg(icmp_left <= given + pinged, "%ju ICMP packets", (uintmax_t)icmp_left);
	if (at == 0 && !more)
		ck_assert_uint_eq(
			sum16(v6 ? pseudo_sum(w->data, IPPROTO_ICMPV6, len) : 0, payload, len),
			0xffff);
}

static void judge_datagram(const struct wire_packet *w)
{
	judge_ip(w);
	if (protocol(w) == IPPROTO_UDP) {
		judge_udp(w);
		return;
	}
	ck_assert_uint_eq(protocol(w), w->data[0] >> 4 == 4 ? PROTO_ICMP : PROTO_ICMPV6);
	judge_icmp(w);
}

/* ---- sockets ---- */

static void socket_close(unsigned int i)
{
	struct flow_udp *u = sockets[i];

	sockets[i] = NULL;
	if (u)
		flow_udp_free(u);
}

/* Where to: a peer's port, one of ours, or an address of the other family */
static struct stack_addr some_remote(void)
{
	uint16_t port = (uint16_t)(UDP_PORT + roll(4));

	switch (roll(4)) {
	case 0:
		return own_addr(port);
	case 1:
		return addr(PEER6, port);
	default:
		return addr(PEER4, port);
	}
}

static void socket_send(struct flow_udp *u)
{
	static uint8_t datagram[UDP_HEADER_BYTES + DATAGRAM_MAX];
	struct stack_addr to = some_remote(), local;
	size_t len = roll(once_in(8) ? DATAGRAM_MAX + 1 : 1700), first = roll((uint32_t)len + 1);
	const struct iovec iov[2] = {
		{datagram + UDP_HEADER_BYTES, first},
		{datagram + UDP_HEADER_BYTES + first, len - first},
	};
	int err;

	flow_udp_local(u, &local);
	put_be16(datagram, local.port);
	put_be16(datagram + 2, to.port);
	put_be16(datagram + 4, (unsigned int)(UDP_HEADER_BYTES + len) & 0xffff);
	for (size_t i = 0; i < len; i++)
		datagram[UDP_HEADER_BYTES + i] = byte_at((uint32_t)(i + len));
	ordered.data = datagram;
	ordered.len = UDP_HEADER_BYTES + len;
	ordered.left = 0;
	err = flow_udp_send(u, &to, iov, 2, (uint8_t)roll(256), (uint8_t)roll(256));
	ck_assert(err == 0 || err == -EMSGSIZE || err == -ENETUNREACH || err == -ENOBUFS);
	if (err == 0 && !stack_is_local(h.stack, &to))
		ck_assert_uint_eq(ordered.left, ordered.len);
	ordered.data = NULL;
}

/* For a sanitizer that watches it */
static void read_through(const void *bytes, size_t len)
{
	ck_assert_uint_le(sum16(0, bytes, len), 0xffff);
}

static void socket_received(struct flow_udp *u, void *arg, const struct stack_datagram *d)
{
	ck_assert(stack_is_local(h.stack, d->to));
	ck_assert_uint_le(d->len, DATAGRAM_MAX);
	read_through(d->data, d->len);
	if (once_in(8))
		socket_close((unsigned int)((struct flow_udp **)arg - sockets));
	else if (once_in(8))
		socket_send(u);
}

static void check_error(const struct stack_error *error)
{
	ck_assert_int_lt(0, error->err);
	ck_assert(error->err == EMSGSIZE || error->info == 0);
	ck_assert(stack_is_local(h.stack, &error->to));
	read_through(error->quoted, error->len);
}

static void socket_failed(struct flow_udp *u, void *arg, const struct stack_addr *to,
			  const struct stack_error *error)
{
	(void)u;
	(void)to;
	check_error(error);
	if (once_in(4))
		socket_close((unsigned int)((struct flow_udp **)arg - sockets));
}

static const struct flow_udp_ops socket_ops = {.received = socket_received, .error = socket_failed};

static void socket_open(unsigned int i)
{
	static const char *const at[] = {"0.0.0.0", "::", US4, US4B, US6};
	struct stack_addr local =
		addr(at[roll(5)], once_in(4) ? 0 : (uint16_t)(UDP_PORT + roll(4)));
	struct stack_addr remote = some_remote();
	int err;

	sockets[i] = flow_udp_new(h.stack, &local, once_in(2), once_in(2), &socket_ops, &sockets[i],
				  &err);
	if (sockets[i] && once_in(2))
		flow_udp_connect(sockets[i], &remote);
}

static void socket_acts(void)
{
	unsigned int i = roll(SOCKETS);

	if (!sockets[i])
		socket_open(i);
	else if (once_in(12))
		socket_close(i);
	else
		socket_send(sockets[i]);
}

/* ---- pings ---- */

static void ping_received(struct flow_ping *p, void *arg, const struct stack_datagram *d)
{
	ck_assert_uint_le(ICMP_HEADER_BYTES, d->len);
	ck_assert_uint_eq(be16(d->data + 4), flow_ping_id(p));
	read_through(d->data, d->len);
	if (once_in(8)) {
		*(struct flow_ping **)arg = NULL;
		flow_ping_free(p);
	}
}

static void ping_failed(struct flow_ping *p, void *arg, const struct stack_addr *to,
			const struct stack_error *error)
{
	(void)to;
	check_error(error);
	ck_assert_uint_le(ICMP_HEADER_BYTES, error->len);
	ck_assert_uint_eq(be16(error->quoted + 4), flow_ping_id(p));
	if (once_in(8)) {
		*(struct flow_ping **)arg = NULL;
		flow_ping_free(p);
	}
}

static const struct flow_ping_ops ping_ops = {.received = ping_received, .error = ping_failed};

static void ping_acts(void)
{
	static uint8_t icmp[DATAGRAM_MAX];
	unsigned int i = roll(PINGS);
	struct stack_addr to = some_remote();
	int err;

	if (!pings[i]) {
		pings[i] = flow_ping_new(h.stack, i == 1, 0, &ping_ops, &pings[i]);
		return;
	}
	icmp[0] = i == 1 ? 128 : 8;
	pinged++;
	err = flow_ping_send(pings[i], &to, icmp, roll(once_in(8) ? DATAGRAM_MAX + 1 : 1700),
			     (uint8_t)roll(256), (uint8_t)roll(256));
	ck_assert(err <= 0);
}

/* ---- what comes in ---- */

/* A datagram to a port that may have a socket, or an echo request or reply */
static void send_datagram(void)
{
	static uint8_t payload[DATAGRAM_MAX], packet[70100];
	bool v6 = h.mtu >= IP6_MTU_MIN_BYTES && once_in(3), udp = once_in(2);
	struct stack_addr to = addr(v6 ? US6 : once_in(2) ? US4 : US4B, 0);
	struct stack_addr from = addr(v6 ? PEER6 : PEER4, 0);
	size_t len = 8 + roll(once_in(8) ? 65000 : 1400);
	struct flow_ping *p = pings[v6];

	memset(payload, 0, 8);
	if (udp) {
		put_be16(payload, UDP_PORT + roll(4));
		put_be16(payload + 2, UDP_PORT + roll(4));
		put_be16(payload + 4, (unsigned int)(once_in(12) ? roll(0x10000) : len));
	} else {
		payload[0] = (uint8_t)(once_in(2) ? (v6 ? 128 : 8) : (v6 ? 129 : 0));
		put_be16(payload + 4, p && !once_in(8) ? flow_ping_id(p) : roll(0x10000));
	}
	give_somehow(packet, wire_ip(packet, &from, &to,
				     udp  ? (unsigned int)IPPROTO_UDP
				     : v6 ? (unsigned int)IPPROTO_ICMPV6
					  : (unsigned int)IPPROTO_ICMP,
				     payload, len, udp ? 6 : 2));
}

/* Any bytes: as they are, or behind an IP header that is right, with a right checksum */
static void send_anything(void)
{
	static const struct {
		unsigned int proto;
		int check_at;
	} kinds[] = {{IPPROTO_TCP, 16},	   {IPPROTO_UDP, 6}, {IPPROTO_ICMP, 2},
		     {IPPROTO_ICMPV6, 2},  {0, -1},	     {43, -1},
		     {PROTO_FRAGMENT, -1}, {59, -1},	     {60, -1}};
	unsigned int kind = roll(sizeof(kinds) / sizeof(*kinds));
	bool v6 = h.mtu >= IP6_MTU_MIN_BYTES && once_in(2);
	struct stack_addr from = addr(v6 ? STRANGER6 : STRANGER4, 0), to = addr(v6 ? US6 : US4, 0);
	uint8_t bytes[96], packet[200 + 8 * 64];
	size_t len = roll(sizeof(bytes));
	int check_at = kinds[kind].check_at;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)roll(256);
	if (once_in(4)) {
		give(bytes, len);
		return;
	}
	if (check_at >= 0 && len >= (size_t)check_at + 2)
		put_be16(bytes + check_at, 0);
	else
		check_at = -1;
	give(packet, wire_ip(packet, &from, &to, kinds[kind].proto, bytes, len, check_at));
}

/* ---- all acts ---- */

enum act {
	ACT_BEGIN,
	ACT_OWNER,
	ACT_OWN,
	ACT_SOCKET,
	ACT_PING,
	ACT_EMBEDDER,
	ACT_PASS,
	ACT_BATCH,
	ACT_OBEY,
	ACT_ATTACK,
	ACT_FORGE,
	ACT_ERROR,
	ACT_DATAGRAM,
	ACT_ANYTHING,
	ACTS,
};

static void end_batch_or_begin(void)
{
	if (h.in_batch)
		end_batch();
	else
		h.in_batch = true;
}

static void act(enum act what, struct target *t)
{
	if (!t->used && what >= ACT_OBEY)
		what = ACT_BEGIN;
	switch (what) {
	case ACT_BEGIN:
		begin(t);
		break;
	case ACT_OWNER:
		if (t->flow)
			owner_acts(t);
		break;
	case ACT_OWN:
		own_act();
		break;
	case ACT_SOCKET:
		socket_acts();
		break;
	case ACT_PING:
		ping_acts();
		break;
	case ACT_EMBEDDER:
		embedder_acts();
		break;
	case ACT_PASS:
		h_pass_ms(1u << roll(once_in(10) ? 16 : 9));
		break;
	case ACT_BATCH:
		end_batch_or_begin();
		break;
	case ACT_OBEY:
		obey(t);
		break;
	case ACT_FORGE:
		forge(t);
		break;
	case ACT_ERROR:
		send_error(t);
		break;
	case ACT_DATAGRAM:
		send_datagram();
		break;
	case ACT_ANYTHING:
		send_anything();
		break;
	default:
		attack(t);
	}
	if (!h.in_batch)
		absorb();
}

static void begin_acts(uint16_t mtu, uint64_t random)
{
	memset(sockets, 0, sizeof(sockets));
	memset(pings, 0, sizeof(pings));
	pinged = icmp_left = 0;
	begin_all(mtu, random);
}

static void end_acts(void)
{
	end_batch();
	for (unsigned int i = 0; i < SOCKETS; i++)
		socket_close(i);
	for (unsigned int i = 0; i < PINGS; i++) {
		if (pings[i])
			flow_ping_free(pings[i]);
	}
	end_all();
}

#endif
