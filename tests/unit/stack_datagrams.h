/* SPDX-License-Identifier: MIT */
/* stack_datagrams.h - a datagram socket that remembers, and datagrams, fragments and ICMP errors */
#ifndef TESTS_STACK_DATAGRAMS_H
#define TESTS_STACK_DATAGRAMS_H

#include "tests/unit/stack_harness.h"

struct datagrams {
	int n, errors, err;
	uint32_t info;
	size_t len;
	uint8_t data[70000];
	struct stack_addr from, to, about;
	struct stack_error error;
	size_t quoted;
};

static void received(struct flow_udp *u, void *arg, const struct stack_datagram *came)
{
	struct datagrams *d = arg;

	(void)u;
	ck_assert_uint_le(came->len, sizeof(d->data));
	memcpy(d->data, came->data, came->len);
	d->len = came->len;
	d->from = *came->from;
	d->to = *came->to;
	d->n++;
}

static void failed(struct flow_udp *u, void *arg, const struct stack_addr *to,
		   const struct stack_error *error)
{
	struct datagrams *d = arg;

	(void)u;
	d->about = *to;
	d->error = *error;
	d->quoted = error->len < sizeof(d->data) ? error->len : sizeof(d->data);
	memcpy(d->data, error->quoted, d->quoted);
	d->err = error->err;
	d->info = error->info;
	d->errors++;
}

static const struct flow_udp_ops udp_ops = {.received = received, .error = failed};

static inline struct flow_udp *udp_open(const char *ip, uint16_t port, bool v6only,
					struct datagrams *d)
{
	struct stack_addr local = addr(ip, port);
	int err = 0;
	struct flow_udp *u = flow_udp_new(h.stack, &local, v6only, false, &udp_ops, d, &err);

	ck_assert_msg(u != NULL, "flow_udp_new: %s", strerror(err));
	return u;
}

static inline size_t make_udp(uint8_t *packet, const char *from, uint16_t from_port, const char *to,
			      uint16_t to_port, const void *data, size_t len)
{
	static uint8_t udp[70000];
	struct stack_addr f = addr(from, 0), t = addr(to, 0);

	put_be16(udp, from_port);
	put_be16(udp + 2, to_port);
	put_be16(udp + 4, (unsigned int)(8 + len));
	put_be16(udp + 6, 0);
	memcpy(udp + 8, data, len);
	return wire_ip(packet, &f, &t, IPPROTO_UDP, udp, 8 + len, 6);
}

static inline void udp_to_us(const char *from, const char *to, uint16_t port, const void *data,
			     size_t len)
{
	static uint8_t packet[70100];

	wire_input(packet, make_udp(packet, from, 53, to, port, data, len));
}

static inline void fragment4(const uint8_t *packet, size_t len, size_t from, size_t to,
			     unsigned int id)
{
	uint8_t out[2000];

	memcpy(out, packet, 20);
	memcpy(out + 20, packet + 20 + from, to - from);
	put_be16(out + 2, (unsigned int)(20 + to - from));
	put_be16(out + 4, id);
	put_be16(out + 6, (unsigned int)(from / 8) | (to < len - 20 ? 0x2000 : 0));
	put_be16(out + 10, 0);
	put_be16(out + 10, ~sum16(0, out, 20) & 0xffff);
	wire_input(out, 20 + to - from);
}

static inline void fragment6(const uint8_t *packet, size_t len, size_t from, size_t to, uint32_t id)
{
	uint8_t out[2000];

	memcpy(out, packet, 40);
	put_be16(out + 4, (unsigned int)(8 + to - from));
	out[6] = 44;
	out[40] = packet[6];
	out[41] = 0;
	put_be16(out + 42, (unsigned int)from | (to < len - 40));
	put_be32(out + 44, id);
	memcpy(out + 48, packet + 40 + from, to - from);
	wire_input(out, 48 + to - from);
}

/* An ICMP error about a packet that the stack sent. */
static inline void icmp_error(const struct wire_packet *about, unsigned int type, unsigned int code,
			      uint32_t rest)
{
	bool v6 = about->data[0] >> 4 == 6;
	struct stack_addr from = addr(v6 ? "fd00:1::1" : "10.1.1.1", 0),
			  to = addr(v6 ? US6 : US4, 0);
	size_t quoted = about->len < 500 ? about->len : 500;
	uint8_t icmp[600] = {(uint8_t)type, (uint8_t)code}, packet[700];

	put_be32(icmp + 4, rest);
	memcpy(icmp + 8, about->data, quoted);
	wire_input(packet, wire_ip(packet, &from, &to, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, icmp,
				   8 + quoted, 2));
}

#endif
