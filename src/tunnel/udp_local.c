/* SPDX-License-Identifier: MIT */
/*
 * udp_local.c - datagram sockets of applications: those of this machine
 *
 * Theory of operation
 *
 * Linux has one space of ports. Here those of the wildcard and of the tunnel's addresses are the
 * stack's, those of loopback the kernel's. To each other the sockets of a session are on one host
 * all the same: each that has a port is found here by it, wherever the port is from, and what one
 * sends to another of them passes neither the stack nor the kernel. So both see the names that they
 * were told.
 *
 * Loopback leads to sockets of the same session, the tunnel's addresses to those of every session.
 * Where several match, the one is taken that Linux would take (compute_score() in net/ipv4/udp.c),
 * of equal ones the newest: udp_lib_get_port() enters each at the head.
 */
#include <netinet/in.h>
#include <string.h>

#include "src/tunnel/keep.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/udp.h"

static struct wgw_link *bucket(struct wgw_sockets *s, uint16_t port)
{
	return &s->dgram_ports[port % WGW_PORT_BUCKETS];
}

static uint32_t bind_flags(const struct wgw_dgram_sock *u)
{
	return u->v6only ? WGW_BIND_V6ONLY : 0;
}

void udp_local_enter(struct wgw_dgram_sock *u)
{
	if (u->kind != WGW_KIND_UDP)
		return;
	wgw_list_remove(&u->by_port);
	if (u->local.port)
		wgw_list_append(bucket(u->sockets, u->local.port), &u->by_port);
}

void udp_local_reap(struct wgw_sockets *s, uint16_t port)
{
	struct wgw_link *head = bucket(s, port), *next;

	for (struct wgw_link *at = head->next; at != head; at = next) {
		struct wgw_dgram_sock *o = wgw_container(at, struct wgw_dgram_sock, by_port);

		next = at->next;
		if (o->local.port == port)
			udp_look(o);
	}
}

bool udp_local_is_taken(struct wgw_dgram_sock *u, const struct stack_addr *local)
{
	const struct wgw_link *head = bucket(u->sockets, local->port);

	for (const struct wgw_link *at = head->next; at != head; at = at->next) {
		const struct wgw_dgram_sock *o =
			wgw_container(at, const struct wgw_dgram_sock, by_port);

		if (o != u && o->sock.quota == u->sock.quota && o->outside == u->outside &&
		    !(o->reuse & u->reuse) &&
		    wgw_addrs_overlap(local, bind_flags(u), &o->local, bind_flags(o)))
			return true;
	}
	return false;
}

bool udp_local_is_at_home(const struct wgw_dgram_sock *u)
{
	return u->kind == WGW_KIND_UDP && u->bound && stack_addr_is_loopback(&u->local);
}

bool udp_local_is_here(const struct wgw_dgram_sock *u, const struct stack_addr *to)
{
	return u->kind == WGW_KIND_UDP &&
	       (stack_addr_is_loopback(to) || stack_is_local(u->sockets->t->stack, to));
}

void udp_local_source(const struct wgw_dgram_sock *u, const struct stack_addr *to,
		      const uint8_t *wanted_ip, struct stack_addr *from)
{
	static const struct stack_addr loopback = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1},
						   0};
	const bool v4 = stack_addr_is_v4(to);
	struct stack_addr wanted = {0};

	if (wanted_ip)
		memcpy(wanted.ip, wanted_ip, sizeof(wanted.ip));
	if (stack_addr_is_v4(&wanted) == v4 && udp_local_is_here(u, &wanted))
		*from = wanted;
	else if (stack_addr_is_v4(&u->local) == v4 && !stack_addr_is_any(&u->local))
		*from = u->local;
	else /* the preferred source of 127.0.0.0/8, or of an address of our own */
		*from = v4 && stack_addr_is_loopback(to) ? loopback : *to;
	from->port = u->local.port;
}

/* How well @o fits a datagram from @from to @to, 0: not at all. */
static int score(const struct wgw_dgram_sock *o, const struct stack_addr *from,
		 const struct stack_addr *to)
{
	int points = 1;

	if (!wgw_addrs_overlap(to, 0, &o->local, bind_flags(o)))
		return 0;
	if (!stack_addr_is_any(&o->local))
		points += 4;
	else if (stack_addr_is_v4(&o->local) == stack_addr_is_v4(to))
		points += 1;
	if (o->connected)
		points += stack_addr_equal(&o->remote, from) ? 8 : -points;
	return points;
}

struct wgw_dgram_sock *udp_local_target(struct wgw_dgram_sock *u, const struct stack_addr *from,
					const struct stack_addr *to)
{
	struct wgw_link *head = bucket(u->sockets, to->port);
	const bool loopback = stack_addr_is_loopback(to);
	struct wgw_dgram_sock *best = NULL;
	int best_score = 0;

	for (struct wgw_link *at = head->next; at != head; at = at->next) {
		struct wgw_dgram_sock *o = wgw_container(at, struct wgw_dgram_sock, by_port);
		int points;

		if (loopback ? o->sock.quota != u->sock.quota : o->outside)
			continue;
		points = score(o, from, to);
		if (points && points >= best_score) {
			best = o;
			best_score = points;
		}
	}
	return best;
}

void udp_local_send(struct wgw_dgram_sock *u, struct wgw_dgram_sock *o,
		    const struct stack_addr *from, const struct stack_addr *to,
		    const struct wgw_dgram *header, const uint8_t *payload, size_t len)
{
	const uint8_t ttl = header->ttl ? header->ttl : u->ttl;
	struct iovec iov = {(void *)payload, len};
	struct wgw_dgram h = {.port = from->port,
			      .ttl = ttl ? ttl : UDP_TTL,
			      .tos = header->tos ? header->tos : u->tos};

	memcpy(h.ip, from->ip, sizeof(h.ip));
	memcpy(h.local_ip, to->ip, sizeof(h.local_ip));
	udp_deliver(o, &h, &iov, 1, len);
}
