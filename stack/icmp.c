/* SPDX-License-Identifier: MIT */
/*
 * icmp.c - ICMP and ICMPv6: echo both ways, and errors to whom they concern
 *
 * Echo requests to us are answered. Errors quote the packet that caused them; they count only if
 * that packet is from us and not to us, its ports (and for TCP its sequence number, RFC 5927) are
 * those of something that exists, and an MTU that they tell is possible. Nothing else of ICMPv6 is
 * looked at: a point-to-point interface has no neighbours, routers or groups. What we send of our
 * own accord is rate-limited.
 */
#include "stack/internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
	ICMP4_ECHO_REPLY = 0,
	ICMP4_UNREACHABLE = 3,
	ICMP4_PORT_UNREACHABLE = 3, /* a code of the former */
	ICMP4_ECHO = 8,
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_REASSEMBLY_TIME = 1, /* a code of the former */
	ICMP4_PARAMETER_PROBLEM = 12,
	ICMP6_UNREACHABLE = 1,
	ICMP6_PORT_UNREACHABLE = 4, /* a code of the former */
	ICMP6_TOO_BIG = 2,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_PARAMETER_PROBLEM = 4,
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
};

/* An error with its IP header and what it quotes */
enum {
	ICMP4_ERROR_MAX_BYTES = 576,	 /* RFC 1812 4.3.2.3 */
	ICMP6_ERROR_MAX_BYTES = 1280,	 /* RFC 4443 2.4 (c) */
	IP4_INTERNETWORK_CONTROL = 0xc0, /* precedence of errors, RFC 1812 4.3.2.5 */
	IP4_TOS_MASK = 0x1e,		 /* which have the datagram's type of service */
};

/** struct meaning - what Linux makes of an error: struct stack_error */
struct meaning {
	int err;
	bool fatal;
};

/* Linux's icmp_err_convert, and what icmp_unreach() tells nobody; too big is fatal to datagrams, as
 * __udp4_lib_err() has it. */
static struct meaning error4(uint8_t type, uint8_t code)
{
	static const struct meaning unreachable[] = {
		{ENETUNREACH, false},  {EHOSTUNREACH, false}, {ENOPROTOOPT, true},
		{ECONNREFUSED, true},  {EMSGSIZE, true},      {EOPNOTSUPP, false},
		{ENETUNREACH, true},   {EHOSTDOWN, true},     {ENONET, true},
		{ENETUNREACH, true},   {EHOSTUNREACH, true},  {ENETUNREACH, false},
		{EHOSTUNREACH, false}, {EHOSTUNREACH, true},  {EHOSTUNREACH, true},
		{EHOSTUNREACH, true},
	};

	if (type == ICMP4_TIME_EXCEEDED && code != ICMP4_REASSEMBLY_TIME)
		return (struct meaning){EHOSTUNREACH, false};
	if (type == ICMP4_PARAMETER_PROBLEM)
		return (struct meaning){EPROTO, true};
	if (type != ICMP4_UNREACHABLE || code >= sizeof(unreachable) / sizeof(*unreachable))
		return (struct meaning){0};
	return unreachable[code];
}

/* Linux's tab_unreach, and icmpv6_err_convert() */
static struct meaning error6(uint8_t type, uint8_t code)
{
	static const struct meaning unreachable[] = {
		{ENETUNREACH, false}, {EACCES, true}, {EHOSTUNREACH, false}, {EHOSTUNREACH, false},
		{ECONNREFUSED, true}, {EACCES, true}, {EACCES, true},
	};

	if (type == ICMP6_TIME_EXCEEDED)
		return (struct meaning){EHOSTUNREACH, false};
	if (type == ICMP6_TOO_BIG)
		return (struct meaning){EMSGSIZE, true};
	if (type == ICMP6_UNREACHABLE && code < sizeof(unreachable) / sizeof(*unreachable))
		return unreachable[code];
	if (type == ICMP6_UNREACHABLE || type == ICMP6_PARAMETER_PROBLEM)
		return (struct meaning){EPROTO, true};
	return (struct meaning){0};
}

/* @ip: without the protocol, which its addresses tell. The checksum of @icmp is filled in. */
static int send_icmp(struct stack *s, struct ip_header ip, uint8_t *icmp, size_t len)
{
	bool v6 = !stack_addr_is_v4(ip.to);
	uint64_t sum;
	uint16_t check;

	ip.proto = v6 ? PROTO_ICMPV6 : PROTO_ICMP;
	sum = v6 ? checksum_pseudo(ip.from, ip.to, ip.proto, len) : 0;
	put16(icmp + 2, 0);
	check = (uint16_t)~checksum_fold(checksum_add(sum, icmp, len));
	memcpy(icmp + 2, &check, 2);
	return egress_datagram(s, &ip, icmp, len, NULL, 0);
}

/* A token bucket, in nanoseconds of credit. */
static bool may_send(struct stack *s)
{
	const uint64_t cost = NS_PER_S / ICMP_ERRORS_PER_S;
	uint64_t floor =
		s->now_ns > cost * ICMP_ERRORS_BURST ? s->now_ns - cost * ICMP_ERRORS_BURST : 0;

	if (s->icmp_tokens_ns < floor)
		s->icmp_tokens_ns = floor;
	if (s->icmp_tokens_ns + cost > s->now_ns)
		return false;
	s->icmp_tokens_ns += cost;
	return true;
}

void icmp_port_unreachable(struct stack *s, const struct ip_packet *p)
{
	size_t most = p->v6 ? ICMP6_ERROR_MAX_BYTES - IP6_HEADER_BYTES - ICMP_HEADER_BYTES
			    : ICMP4_ERROR_MAX_BYTES - IP4_HEADER_BYTES - ICMP_HEADER_BYTES;
	size_t quoted = p->len < most ? p->len : most;
	uint8_t icmp[ICMP6_ERROR_MAX_BYTES] = {0};
	struct ip_header ip = {.from = &p->to, .to = &p->from, .ttl = TTL_DEFAULT};

	if (!may_send(s))
		return;
	if (!p->v6)
		ip.tos = IP4_INTERNETWORK_CONTROL | (p->tos & IP4_TOS_MASK);
	icmp[0] = p->v6 ? ICMP6_UNREACHABLE : ICMP4_UNREACHABLE;
	icmp[1] = p->v6 ? ICMP6_PORT_UNREACHABLE : ICMP4_PORT_UNREACHABLE;
	memcpy(icmp + ICMP_HEADER_BYTES, p->start, quoted);
	send_icmp(s, ip, icmp, ICMP_HEADER_BYTES + quoted);
}

static void answer_echo(struct stack *s, const struct ip_packet *p)
{
	const struct ip_header ip = {
		.from = &p->to, .to = &p->from, .ttl = TTL_DEFAULT, .tos = p->tos};
	uint8_t *icmp = malloc(p->payload_len);

	if (!icmp)
		return;
	memcpy(icmp, p->payload, p->payload_len);
	icmp[0] = p->v6 ? ICMP6_ECHO_REPLY : ICMP4_ECHO_REPLY;
	send_icmp(s, ip, icmp, p->payload_len);
	free(icmp);
}

static struct flow_ping *find_ping(struct stack *s, bool v6, uint16_t id)
{
	struct flow_ping *g = s->pings;

	while (g && !(g->v6 == v6 && g->id == id))
		g = g->next;
	return g;
}

/* The quoted packet is cut short, so its lengths are not those of its header. */
static bool parse_quote(const struct ip_packet *icmp, struct ip_packet *q)
{
	const uint8_t *h = icmp->payload + ICMP_HEADER_BYTES;
	size_t len = icmp->payload_len - ICMP_HEADER_BYTES;
	size_t header = icmp->v6 ? IP6_HEADER_BYTES : IP4_HEADER_BYTES;

	memset(q, 0, sizeof(*q));
	if (len < header + 8)
		return false;
	if (icmp->v6) {
		if (h[0] >> 4 != 6)
			return false;
		memcpy(q->from.ip, h + 8, 16);
		memcpy(q->to.ip, h + 24, 16);
		q->proto = h[6];
		if (q->proto == PROTO_FRAGMENT) { /* a datagram of ours that left in fragments */
			if (len < header + IP6_FRAGMENT_BYTES + 8 || get16(h + header + 2) > 7)
				return false;
			q->proto = h[header];
			header += IP6_FRAGMENT_BYTES;
		}
	} else {
		if (h[0] != IP4_FIRST_BYTE || (get16(h + 6) & IP4_FRAGMENT_OFFSET) != 0)
			return false;
		stack_ip_set_v4(q->from.ip, h + 12);
		stack_ip_set_v4(q->to.ip, h + 16);
		q->proto = h[9];
	}
	q->start = h;
	q->len = len;
	q->payload = h + header;
	q->payload_len = len - header;
	q->v6 = icmp->v6;
	return true;
}

static uint32_t reported_mtu(const struct ip_packet *p)
{
	return p->v6 ? get32(p->payload + 4) : get16(p->payload + 6);
}

/* What did not take the quoted packet takes less (RFC 1191 3), and all of IPv6's links take 1280
 * bytes (RFC 8201 4). */
static bool mtu_credible(const struct ip_packet *p, const struct ip_packet *quoted)
{
	uint32_t mtu = reported_mtu(p);

	if (quoted->v6)
		return mtu >= IP6_MTU_MIN_BYTES &&
		       mtu < IP6_HEADER_BYTES + (uint32_t)get16(quoted->start + 4);
	return mtu < get16(quoted->start + 2);
}

static void ping_error(struct stack *s, const struct ip_packet *quoted, struct stack_error *e)
{
	struct flow_ping *g = find_ping(s, quoted->v6, get16(quoted->payload + 4));

	if (!g || quoted->payload[0] != (quoted->v6 ? ICMP6_ECHO : ICMP4_ECHO))
		return;
	if (e->err == EMSGSIZE && !(g->fragments & FLOW_MTU_UNHEARD) &&
	    paths_noted(g->stack, &quoted->to, g->id))
		paths_learn(g->stack, &quoted->to, e->info);
	if (!g->ops->error)
		return;
	e->quoted = quoted->payload;
	e->len = quoted->payload_len;
	g->ops->error(g, g->arg, &quoted->to, e);
}

static void error_input(struct stack *s, const struct ip_packet *p, struct meaning m)
{
	struct stack_error e = {.err = m.err,
				.fatal = m.fatal,
				.type = p->payload[0],
				.code = p->payload[1],
				.ttl = p->ttl,
				.tos = p->tos,
				.from = p->from,
				.to = p->to};
	struct ip_packet q;
	struct flow *f;

	if (!parse_quote(p, &q) || memcmp(q.from.ip, p->to.ip, sizeof(q.from.ip)) != 0)
		return;
	if (!p->looped && stack_is_local(s, &q.to)) /* that never left */
		return;
	if (e.err == EMSGSIZE && !mtu_credible(p, &q))
		return;
	e.info = e.err == EMSGSIZE ? reported_mtu(p) : 0;
	switch (q.proto) {
	case PROTO_TCP:
		q.from.port = get16(q.payload);
		q.to.port = get16(q.payload + 2);
		f = demux_find(s, &q.from, &q.to);
		if (f && e.err == EMSGSIZE)
			flow_path_mtu(f, get32(q.payload + 4), e.info);
		else if (f)
			flow_icmp_error(f, get32(q.payload + 4), e.err);
		break;
	case PROTO_UDP:
		q.from.port = get16(q.payload);
		q.to.port = get16(q.payload + 2);
		e.quoted = q.payload + UDP_HEADER_BYTES;
		e.len = q.payload_len - UDP_HEADER_BYTES;
		udp_icmp_error(s, &q.from, &q.to, &e);
		break;
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		ping_error(s, &q, &e);
		break;
	}
}

static void take_reply(struct stack *s, const struct ip_packet *p)
{
	const struct stack_datagram d = {.data = p->payload,
					 .len = p->payload_len,
					 .from = &p->from,
					 .to = &p->to,
					 .ttl = p->ttl,
					 .tos = p->tos};
	struct flow_ping *g = find_ping(s, p->v6, get16(p->payload + 4));

	if (g && g->ops->received)
		g->ops->received(g, g->arg, &d);
}

void icmp_input(struct stack *s, const struct ip_packet *p)
{
	uint8_t type = p->payload[0], code = p->payload[1];
	struct meaning m;

	if (type == (p->v6 ? ICMP6_ECHO : ICMP4_ECHO)) {
		answer_echo(s, p);
		return;
	}
	if (type == (p->v6 ? ICMP6_ECHO_REPLY : ICMP4_ECHO_REPLY)) {
		take_reply(s, p);
		return;
	}
	m = p->v6 ? error6(type, code) : error4(type, code);
	if (m.err)
		error_input(s, p, m);
}

/* ---- sockets ---- */

struct flow_ping *flow_ping_new(struct stack *s, bool v6, uint16_t id,
				const struct flow_ping_ops *ops, void *arg)
{
	struct flow_ping *g = calloc(1, sizeof(*g));
	unsigned int tries;

	if (!g)
		return NULL;
	g->stack = s;
	g->v6 = v6;
	g->ops = ops;
	g->arg = arg;
	g->id = id;
	if (id == 0)
		s->ops->random(s->ctx, &g->id, sizeof(g->id));
	for (tries = 0; id == 0 && (g->id == 0 || find_ping(s, v6, g->id)); tries++, g->id++) {
		if (tries > UINT16_MAX) {
			free(g);
			return NULL;
		}
	}
	g->next = s->pings;
	s->pings = g;
	return g;
}

void flow_ping_free(struct flow_ping *g)
{
	struct flow_ping **at = &g->stack->pings;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	free(g);
}

uint16_t flow_ping_id(const struct flow_ping *g)
{
	return g->id;
}

void flow_ping_fragments(struct flow_ping *g, uint8_t how)
{
	g->fragments = how;
}

int flow_ping_send(struct flow_ping *g, const struct stack_addr *to, const uint8_t *icmp,
		   size_t len, uint8_t ttl, uint8_t tos)
{
	struct stack *s = g->stack;
	struct stack_addr from, target = *to;
	const struct ip_header ip = {.from = &from,
				     .to = to,
				     .ttl = ttl ? ttl : TTL_DEFAULT,
				     .tos = tos,
				     .fragments = g->fragments};
	uint8_t *copy;
	int err;

	if (len < ICMP_HEADER_BYTES || stack_addr_is_v4(to) == g->v6)
		return -EINVAL;
	if (icmp[0] != (g->v6 ? ICMP6_ECHO : ICMP4_ECHO) || icmp[1] != 0)
		return -EINVAL;
	if (len > UINT16_MAX - IP4_HEADER_BYTES)
		return -EMSGSIZE;
	if (!stack_source_for(s, to, &from))
		return -ENETUNREACH;
	copy = malloc(len);
	if (!copy)
		return -ENOBUFS;
	memcpy(copy, icmp, len);
	put16(copy + 4, g->id);
	target.port = 0;
	paths_note(s, &target, g->id, len);
	err = send_icmp(s, ip, copy, len);
	free(copy);
	return err;
}
