/* SPDX-License-Identifier: MIT */
/*
 * hostile_peers.h - what the peers of hostile.h's connections send, and others in their name
 */
#ifndef TESTS_SIM_HOSTILE_PEERS_H
#define TESTS_SIM_HOSTILE_PEERS_H

#include "tests/sim/hostile_target.h"

static uint8_t *bytes_at(uint32_t seq, size_t len, uint8_t lie)
{
	static uint8_t data[70000];

	for (size_t i = 0; i < len; i++)
		data[i] = byte_at(seq + (uint32_t)i) ^ lie;
	return data;
}

static void send_segment(struct target *t, unsigned int flags, uint32_t seq, uint32_t ack,
			 const uint8_t *options, size_t options_len, size_t len)
{
	const uint8_t *data = bytes_at(seq + ((flags & SYN) != 0), len, 0);
	static uint8_t packet[70100];

	if (flags & SYN) {
		t->syns[t->n_syns % SYNS] = seq;
		if (t->flow)
			t->fitting |= 1ull << t->n_syns % SYNS;
		t->n_syns++;
	}
	give_somehow(packet,
		     peer_packet(packet, &t->p, flags, seq, ack, options, options_len, data, len));
}

/* ---- attacks ---- */

static uint32_t around(uint32_t n)
{
	switch (roll(8)) {
	case 0:
		return n - roll(3000);
	case 1:
		return n + roll(3000);
	case 2:
		return n + roll(600000);
	case 3:
		return n - roll(600000);
	case 4:
		return n + 0x7fffffff - roll(3);
	case 5:
		return roll_all();
	case 6:
		return n + 1;
	default:
		return n;
	}
}

static unsigned int some_window(void)
{
	return once_in(3) ? roll(10) : roll(once_in(3) ? 3000 : 0x10000);
}

static size_t some_options(const struct target *t, uint8_t o[40])
{
	unsigned int blocks = 1 + roll(4);
	size_t len = 4 * (1 + (size_t)roll(9)), i;

	if (once_in(3)) { /* SACK */
		o[0] = o[1] = 1;
		o[2] = 5;
		o[3] = (uint8_t)(2 + 8 * blocks);
		for (i = 0; i < 2 * blocks; i++)
			put_be32(o + 4 + 4 * i, around(t->p.ack - roll(200000)));
		return 4 + 8 * blocks;
	}
	if (!once_in(6))
		return 0;
	for (i = 0; i < len; i++)
		o[i] = (uint8_t)roll(once_in(2) ? 9 : 256);
	return len;
}

static unsigned int some_flags(void)
{
	unsigned int flags = once_in(12) ? roll(256) : ACK;

	flags |= once_in(15) ? FIN : 0;
	flags |= once_in(25) ? SYN : 0;
	flags |= once_in(60) ? RST : 0;
	return flags;
}

static void attack(struct target *t)
{
	uint32_t seq = t->p.seq, ack = t->p.ack;
	uint8_t options[40];
	size_t n = some_options(t, options), len = 0;

	if (once_in(6))
		t->p.window = some_window();
	if (once_in(2))
		len = roll(once_in(20) ? 65000 : 1400);
	if (once_in(4))
		seq = around(seq);
	else if (once_in(3))
		seq += 1400 * roll(30);
	if (once_in(4))
		ack = around(ack);
	else if (once_in(3))
		ack -= roll(100000);
	send_segment(t, some_flags(), seq, ack, options, n, len);
}

/* Somebody else, who has guessed what comes next but not what is acknowledged: other bytes, of
 * which none may be taken (RFC 5961 5), not even with the peer's that follow. */
static void forge(struct target *t)
{
	static uint8_t packet[70100];
	uint32_t off = WINDOW_MAX_BYTES + NEAR_BYTES + roll(1 << 29), seq = t->p.seq;
	size_t len = 1 + roll(1400);

	if (!is_at(t, &t->p.us))
		return;
	if (t->p.ack - t->top + NEAR_BYTES > 2 * NEAR_BYTES) /* one is another connection's */
		return;
	for (unsigned int n = roll(6); n > 0; n--, seq += 100)
		send_segment(t, ACK, seq, t->p.ack, NULL, 0, 100);
	give(packet, peer_packet(packet, &t->p, ACK, seq, t->top + (once_in(2) ? off : -off), NULL,
				 0, bytes_at(seq, len, 0xff), len));
	if (once_in(2))
		send_segment(t, ACK, seq + (uint32_t)len, t->p.ack, NULL, 0, 1 + roll(1400));
}

/* What has left, or looks as if it had */
static size_t quote(const struct target *t, uint8_t *out)
{
	uint8_t tcp[40] = {0};
	size_t len = last.len < 100 ? last.len : 100;

	if (last.data && once_in(3)) {
		memcpy(out, last.data, len);
		return len;
	}
	put_be16(tcp, t->p.us.port);
	put_be16(tcp + 2, t->p.them.port);
	put_be32(tcp + 4, around(t->p.ack - roll(3000)));
	len = wire_ip(out, &t->p.us, &t->p.them, once_in(10) ? roll(256) : IPPROTO_TCP, tcp,
		      20 + roll(20), -1);
	if (once_in(5))
		out[roll((uint32_t)len)] = (uint8_t)roll(256);
	return len;
}

static void send_error(const struct target *t)
{
	uint8_t icmp[8 + 120] = {0}, packet[400];
	size_t len = quote(t, icmp + 8);
	bool v4 = icmp[8] >> 4 == 4;
	struct stack_addr router = addr(v4 ? "10.1.1.1" : "fd00:1::1", 0), us = {0};

	if (v4)
		stack_ip_set_v4(us.ip, icmp + 8 + 12);
	else
		memcpy(us.ip, icmp + 8 + 8, 16);
	if (once_in(8))
		len = roll((uint32_t)len + 1);
	icmp[0] = (uint8_t)(once_in(4) ? roll(256) : v4 ? 3 : 1 + roll(4));
	icmp[1] = (uint8_t)(once_in(2) ? roll(16) : v4 ? 4 : 0);
	put_be32(icmp + 4, once_in(4) ? roll_all() : roll(2000));
	give_somehow(packet,
		     wire_ip(packet, &router, &us, v4 ? (unsigned int)IPPROTO_ICMP : IPPROTO_ICMPV6,
			     icmp, 8 + len, 2));
}

#endif
