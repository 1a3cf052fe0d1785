/* SPDX-License-Identifier: MIT */
/*
 * routes.c - routes with a protocol or ports, on top of cryptokey routing
 *
 * Cryptokey routing (whitepaper, section 2) is one table read in two directions: a destination's
 * prefix says which peer gets a packet, a source's prefix says which peer may send one. A route
 * with a protocol is read in the same two directions, before that table:
 *
 *   out	a packet whose destination, protocol and destination port it holds goes to its peer;
 *   in	its peer may send packets whose source, protocol and source port it holds, and ICMP errors
 *	about a packet that it sends there; of others the allowed IPs alone decide.
 *
 * So a route lets a peer answer for what is sent to it, and nothing more. Of several routes that
 * hold a packet the one with the longest prefix counts, then the one with fewer ports, then the
 * last.
 *
 * Fragments but the first have no ports. Ours leave one after another, so they follow their first.
 * Of the peers' the first fragments that were let in are remembered, and those that belong to one
 * may come behind it; a datagram whose fragments overtake the first is lost.
 */
#include "src/tunnel/routes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum {
	V4_HEADER_BYTES = 20,
	V6_HEADER_BYTES = 40,
	PORTS_BYTES = 4,
	FRAGMENT_HEADER_BYTES = 8,
	ICMP_HEADER_BYTES = 8,
	V4_MORE_FRAGMENTS = 0x2000,
	V4_OFFSET = 0x1fff,
	V6_MORE_FRAGMENTS = 1,
	V6_OFFSET = 0xfff8,
	ADMITTED_MAX = 32, /* fragmented datagrams that may be under way at once */
};

/** struct packet - what of a packet decides; addresses as struct stack_addr has them, with ports
 * @id:		Of a fragment's datagram
 * @fragment:	It is one
 * @later:	It is not the first: no ports
 * @payload:	Behind the IP headers, @len bytes
 */
struct packet {
	struct stack_addr from, to;
	uint8_t protocol;
	uint32_t id;
	bool fragment, later;
	const uint8_t *payload;
	size_t len;
};

/** struct entry - one route; a table's are in the order in which they are asked */
struct entry {
	struct wgw_peer_route route;
	struct wg_peer *peer;
};

/** struct admitted - a fragmented datagram whose first fragment a route let through */
struct admitted {
	struct stack_addr from, to;
	uint32_t id;
	uint8_t protocol;
	const struct wg_peer *peer;
};

/**
 * struct wgw_route_table
 * @sent:	Where the last fragmented datagram went
 * @admitted:	@next is the oldest
 */
struct wgw_route_table {
	struct entry *at;
	size_t n;
	struct admitted sent;
	struct admitted admitted[ADMITTED_MAX];
	unsigned int next;
};

struct wgw_route_table *wgw_route_table_new(void)
{
	return calloc(1, sizeof(struct wgw_route_table));
}

void wgw_route_table_free(struct wgw_route_table *t)
{
	if (t)
		free(t->at);
	free(t);
}

void wgw_route_table_clear(struct wgw_route_table *t)
{
	free(t->at);
	*t = (struct wgw_route_table){0};
}

/* ---- order ---- */

/** width() - how many ports a route holds */
static unsigned int width(const struct wgw_peer_route *r)
{
	return r->first_port ? r->last_port - r->first_port + 1u : UINT16_MAX + 1u;
}

/** precedes() - whether @a is asked before @b, which was there earlier */
static bool precedes(const struct wgw_peer_route *a, const struct wgw_peer_route *b)
{
	bool v4 = stack_addr_is_v4(&a->to.addr);

	if (v4 != stack_addr_is_v4(&b->to.addr))
		return v4;
	if (a->to.bits != b->to.bits)
		return a->to.bits > b->to.bits;
	if (width(a) != width(b))
		return width(a) < width(b);
	return a->protocol != 0 || b->protocol == 0;
}

int wgw_route_table_add(struct wgw_route_table *t, const struct wgw_peer_route *route,
			struct wg_peer *peer)
{
	struct entry *at = reallocarray(t->at, t->n + 1, sizeof(*at));
	size_t i = 0;

	if (!at)
		return -ENOMEM;
	t->at = at;
	while (i < t->n && !precedes(route, &at[i].route))
		i++;
	memmove(&at[i + 1], &at[i], (t->n - i) * sizeof(*at));
	at[i] = (struct entry){*route, peer};
	t->n++;
	return 0;
}

/* ---- packets ---- */

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static bool read_v4(struct packet *p, const uint8_t *at, size_t len)
{
	size_t header = (size_t)(at[0] & 15) * 4;
	uint16_t fragment = be16(at + 6);

	if (header < V4_HEADER_BYTES || len < header)
		return false;
	stack_ip_set_v4(p->from.ip, at + 12);
	stack_ip_set_v4(p->to.ip, at + 16);
	p->protocol = at[9];
	p->fragment = (fragment & (V4_MORE_FRAGMENTS | V4_OFFSET)) != 0;
	p->later = (fragment & V4_OFFSET) != 0;
	p->id = be16(at + 4);
	p->payload = at + header;
	p->len = len - header;
	return true;
}

/** read_v6() - a fragment header is the only one in front of the payload that is looked behind */
static bool read_v6(struct packet *p, const uint8_t *at, size_t len)
{
	size_t header = V6_HEADER_BYTES;

	if (len < V6_HEADER_BYTES)
		return false;
	memcpy(p->from.ip, at + 8, 16);
	memcpy(p->to.ip, at + 24, 16);
	p->protocol = at[6];
	if (p->protocol == IPPROTO_FRAGMENT) {
		const uint8_t *f = at + header;

		header += FRAGMENT_HEADER_BYTES;
		if (len < header)
			return false;
		p->protocol = f[0];
		p->fragment = (be16(f + 2) & (V6_MORE_FRAGMENTS | V6_OFFSET)) != 0;
		p->later = (be16(f + 2) & V6_OFFSET) != 0;
		p->id = (uint32_t)be16(f + 4) << 16 | be16(f + 6);
	}
	if (p->protocol == IPPROTO_ICMPV6)
		p->protocol = IPPROTO_ICMP;
	p->payload = at + header;
	p->len = len - header;
	return true;
}

/** read_packet() - false: it cannot be read */
static bool read_packet(struct packet *p, const uint8_t *at, size_t len)
{
	memset(p, 0, sizeof(*p));
	if (len < V4_HEADER_BYTES || !(at[0] >> 4 == 4 ? read_v4(p, at, len) : read_v6(p, at, len)))
		return false;
	if (!p->later && (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP)) {
		if (p->len < PORTS_BYTES)
			return false;
		p->from.port = be16(p->payload);
		p->to.port = be16(p->payload + 2);
	}
	return true;
}

static bool same_ip(const struct stack_addr *a, const struct stack_addr *b)
{
	return memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static bool same_datagram(const struct admitted *a, const struct packet *p)
{
	return a->peer && a->id == p->id && a->protocol == p->protocol &&
	       same_ip(&a->from, &p->from) && same_ip(&a->to, &p->to);
}

static void remember(struct admitted *a, const struct packet *p, const struct wg_peer *peer)
{
	*a = (struct admitted){p->from, p->to, p->id, p->protocol, peer};
}

/* ---- deciding ---- */

static bool holds_port(const struct wgw_peer_route *r, uint16_t port)
{
	return !r->first_port || (port >= r->first_port && port <= r->last_port);
}

/** find() - the first route that holds @far in @protocol */
static const struct entry *find(const struct wgw_route_table *t, const struct stack_addr *far,
				uint8_t protocol)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct wgw_peer_route *r = &t->at[i].route;

		if ((!r->protocol || r->protocol == protocol) && holds_port(r, far->port) &&
		    wgw_prefix_contains(&r->to, far))
			return &t->at[i];
	}
	return NULL;
}

bool wgw_route_table_holds(const struct wgw_route_table *t, const struct stack_addr *to,
			   uint8_t protocol)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct wgw_peer_route *r = &t->at[i].route;

		if (protocol && r->protocol && r->protocol != protocol)
			continue;
		if ((!to->port || holds_port(r, to->port)) && wgw_prefix_contains(&r->to, to))
			return true;
	}
	return false;
}

struct wg_peer *wgw_route_table_choose(struct wgw_route_table *t, const uint8_t *packet, size_t len)
{
	const struct entry *e;
	struct packet p;

	if (t->n == 0 || !read_packet(&p, packet, len))
		return NULL;
	if (p.later)
		return same_datagram(&t->sent, &p) ? (struct wg_peer *)(uintptr_t)t->sent.peer
						   : NULL;
	e = find(t, &p.to, p.protocol);
	if (p.fragment)
		remember(&t->sent, &p, e ? e->peer : NULL);
	return e ? e->peer : NULL;
}

/** is_error() - whether an ICMP message quotes a packet (RFC 792, RFC 4443) */
static bool is_error(const struct packet *p)
{
	if (p->protocol != IPPROTO_ICMP || p->fragment || p->len < ICMP_HEADER_BYTES)
		return false;
	if (stack_addr_is_v4(&p->to))
		return p->payload[0] == 3 || p->payload[0] == 11 || p->payload[0] == 12;
	return p->payload[0] >= 1 && p->payload[0] <= 4;
}

bool wgw_route_table_admit(struct wgw_route_table *t, const struct wg_peer *peer,
			   const uint8_t *packet, size_t len)
{
	const struct entry *e;
	struct packet p, quoted;

	if (t->n == 0 || !read_packet(&p, packet, len))
		return false;
	for (unsigned int i = 0; p.later && i < ADMITTED_MAX; i++) {
		if (t->admitted[i].peer == peer && same_datagram(&t->admitted[i], &p))
			return true;
	}
	if (p.later)
		return false;
	e = find(t, &p.from, p.protocol);
	if (e && e->peer == peer) {
		if (p.fragment)
			remember(&t->admitted[t->next++ % ADMITTED_MAX], &p, peer);
		return true;
	}
	if (!is_error(&p) ||
	    !read_packet(&quoted, p.payload + ICMP_HEADER_BYTES, p.len - ICMP_HEADER_BYTES))
		return false;
	e = quoted.later || !same_ip(&quoted.from, &p.to) ? NULL
							  : find(t, &quoted.to, quoted.protocol);
	return e && e->peer == peer;
}
