/* SPDX-License-Identifier: MIT */
/*
 * udp_errors.c - what a datagram socket is told of what became of its datagrams
 *
 * As net/ipv4/udp.c and net/core/skbuff.c have it: an error is SO_ERROR, which the next call that
 * asks returns once, and with IP_RECVERR an item of the error queue, too. The application is woken
 * by a message that says that there is one.
 */
#include <errno.h>
#include <time.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "src/tunnel/keep.h"
#include "src/tunnel/sockets.h"
#include "src/tunnel/udp.h"

enum {
	ICMP4_UNREACHABLE = 3, /* RFC 792 */
	ICMP4_PORT_UNREACHABLE = 3,
	ICMP6_UNREACHABLE = 1, /* RFC 4443 */
	ICMP6_PORT_UNREACHABLE = 4,
	IP4_INTERNETWORK_CONTROL = 0xc0, /* RFC 1812 4.3.2.5 */
	/* Of a datagram's payload: what RFC 1812 4.3.2.3 and RFC 4443 2.4 (c) leave beside two IP headers,
	 * an ICMP and a UDP header */
	QUOTED4_MAX_BYTES = 576 - 20 - 8 - 20 - 8,
	QUOTED6_MAX_BYTES = 1280 - 40 - 8 - 40 - 8,
	NS_PER_S = 1000000000,
};

bool udp_wants_errors(const struct wgw_dgram_sock *u)
{
	return wgw_option_int(&u->sock, IPPROTO_IP, IP_RECVERR, 0) ||
	       wgw_option_int(&u->sock, IPPROTO_IPV6, IPV6_RECVERR, 0);
}

static int64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Puts an error into the queue, if there is room. */
static void enqueue(struct wgw_dgram_sock *u, const struct wgw_error *told, const uint8_t *quoted,
		    size_t len)
{
	struct udp_error *e, **tail = &u->errors;

	if (u->n_errors == UDP_ERRORS_MAX)
		return;
	len = len < WGW_QUOTED_MAX_BYTES ? len : WGW_QUOTED_MAX_BYTES;
	e = malloc(sizeof(*e) + len);
	if (!e)
		return;
	e->next = NULL;
	e->told = *told;
	e->told.time_ns = realtime_ns();
	e->len = len;
	if (len)
		memcpy(e->quoted, quoted, len);
	while (*tail)
		tail = &(*tail)->next;
	*tail = e;
	u->n_errors++;
}

static struct wgw_error error_about(const struct stack_addr *to, int err, uint32_t info,
				    uint8_t origin)
{
	struct wgw_error told = {.head = {.port = to->port, .err = (uint32_t)err, .info = info},
				 .origin = origin};

	memcpy(told.head.ip, to->ip, sizeof(told.head.ip));
	return told;
}

/* Says to the application that there is an error. */
static void wake(struct wgw_dgram_sock *u, const struct wgw_dgram *head)
{
	if (u->raw && !u->held)
		udp_send_mark(u);
	else
		udp_deliver(u, head, NULL, 0, 0);
}

void udp_error(struct wgw_dgram_sock *u, const struct stack_addr *to, const struct stack_error *e)
{
	const bool v4 = stack_addr_is_v4(to), wanted = udp_wants_errors(u);
	const int discover =
		v4 ? wgw_option_int(&u->sock, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT)
		   : wgw_option_int(&u->sock, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_WANT);
	const bool unasked = e->err == EMSGSIZE && discover == IP_PMTUDISC_DONT;
	struct wgw_error told =
		error_about(to, e->err, e->info, v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6);

	if (unasked && v4)
		return;
	if (e->err == EMSGSIZE && !v4 && discover > IPV6_PMTUDISC_PROBE) /* ip6_sk_accept_pmtu() */
		return;
	if (!wanted && !(u->connected && e->fatal && !unasked))
		return;
	told.head.ttl = e->ttl;
	told.head.tos = e->tos;
	memcpy(told.head.local_ip, e->to.ip, sizeof(told.head.local_ip));
	memcpy(told.offender, e->from.ip, sizeof(told.offender));
	told.type = e->type;
	told.code = e->code;
	u->so_error = e->err;
	if (wanted)
		enqueue(u, &told, e->quoted, e->len);
	wake(u, &told.head);
}

void udp_refused(struct wgw_dgram_sock *u, const struct stack_addr *to, int err, uint32_t info)
{
	struct wgw_error told = error_about(to, err, info, SO_EE_ORIGIN_LOCAL);

	u->so_error = err;
	if (udp_wants_errors(u))
		enqueue(u, &told, NULL, 0);
	wake(u, &told.head);
}

void udp_nobody_there(struct wgw_dgram_sock *u, const struct stack_addr *to, const uint8_t *payload,
		      size_t len)
{
	const bool v4 = stack_addr_is_v4(to);
	const size_t most = v4 ? QUOTED4_MAX_BYTES : QUOTED6_MAX_BYTES;
	const struct stack_error error = {
		.err = ECONNREFUSED,
		.fatal = true,
		.type = v4 ? ICMP4_UNREACHABLE : ICMP6_UNREACHABLE,
		.code = v4 ? ICMP4_PORT_UNREACHABLE : ICMP6_PORT_UNREACHABLE,
		.ttl = UDP_TTL,
		.tos = v4 ? IP4_INTERNETWORK_CONTROL : 0,
		.from = *to,
		.to = *to,
		.quoted = payload,
		.len = len < most ? len : most,
	};

	udp_error(u, to, &error);
}

void wgw_udp_too_large(struct wgw_sock *sock, const struct stack_addr *to, uint32_t mtu)
{
	struct wgw_dgram_sock *u = wgw_container(sock, struct wgw_dgram_sock, sock);
	struct wgw_error told = error_about(to, EMSGSIZE, mtu, SO_EE_ORIGIN_LOCAL);

	if (!udp_wants_errors(u))
		return;
	enqueue(u, &told, NULL, 0);
	wake(u, &told.head);
}

int wgw_udp_error(struct wgw_sock *sock)
{
	struct wgw_dgram_sock *u = wgw_container(sock, struct wgw_dgram_sock, sock);
	int err = u->so_error;

	u->so_error = 0;
	return err;
}

static bool is_from_network(const struct udp_error *e)
{
	return e && e->told.origin != SO_EE_ORIGIN_LOCAL;
}

struct udp_error *wgw_udp_next_error(struct wgw_sock *sock)
{
	struct wgw_dgram_sock *u = wgw_container(sock, struct wgw_dgram_sock, sock);
	struct udp_error *e = u->errors;

	if (!e)
		return NULL;
	u->errors = e->next;
	u->n_errors--;
	/* as sock_dequeue_err_skb(): the next one is what SO_ERROR says now */
	if (is_from_network(u->errors))
		u->so_error = (int)u->errors->told.head.err;
	else if (is_from_network(e))
		u->so_error = 0;
	if (u->errors)
		wake(u, &u->errors->told.head);
	return e;
}

void udp_errors_drop(struct wgw_dgram_sock *u)
{
	struct udp_error *e;

	while ((e = u->errors)) {
		u->errors = e->next;
		free(e);
	}
	u->n_errors = 0;
}
