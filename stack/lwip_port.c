/* SPDX-License-Identifier: MIT */
/*
 * lwip_port.c - what lwIP's TCP expects below and around it
 *
 * lwIP's IP, netif, ND6 and ICMP code is not compiled (lwip.mk), so no parser of it is reachable;
 * its TCP asks for a route, for an MTU and for a packet to be sent, and that is here. There is one
 * interface, everything is reached through it, and connections have their local address set
 * before they send, so nothing is ever chosen here.
 */
#include "stack/internal.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "lwip/ip.h"
#include "lwip/nd6.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"

#include "stack/lwip_hooks.h"
#include "stack/lwip_port.h"

struct ip_globals ip_data;
const ip_addr_t ip_addr_any = IPADDR4_INIT(IPADDR_ANY);

static struct netif interface;

_Noreturn void stack_lwip_assert(const char *what, const char *file, int line)
{
	fprintf(stderr, "wgwrap: lwIP: %s (%s:%d)\n", what, file, line);
	abort();
}

uint32_t stack_lwip_rand(void)
{
	uint32_t r;

	stack_the->ops->random(stack_the->ctx, &r, sizeof(r));
	return r;
}

void lwip_port_init(uint16_t mtu)
{
	interface.mtu = mtu;
}

/* What tcp_input reads about the packet besides the segment. */
void lwip_port_current(const struct stack_addr *from, const struct stack_addr *to)
{
	ip_data.current_netif = &interface;
	ip_data.current_input_netif = &interface;
	lwip_port_addr(from, &ip_data.current_iphdr_src);
	lwip_port_addr(to, &ip_data.current_iphdr_dest);
}

void lwip_port_addr(const struct stack_addr *from, ip_addr_t *to)
{
	memset(to, 0, sizeof(*to));
	if (stack_addr_is_v4(from)) {
		IP_SET_TYPE(to, IPADDR_TYPE_V4);
		memcpy(&ip_2_ip4(to)->addr, from->ip + 12, 4);
	} else {
		IP_SET_TYPE(to, IPADDR_TYPE_V6);
		memcpy(ip_2_ip6(to)->addr, from->ip, 16);
	}
}

static void addr_from(const ip_addr_t *from, uint16_t port, struct stack_addr *to)
{
	if (IP_IS_V4(from)) {
		stack_ip_set_v4(to->ip, &ip_2_ip4(from)->addr);
	} else {
		memcpy(to->ip, ip_2_ip6(from)->addr, 16);
	}
	to->port = port;
}

/* lwIP sizes segments by the interface's MTU when it has asked here: RFC 1191 6.4 */
struct netif *ip4_route(const ip4_addr_t *to)
{
	struct stack_addr addr = {0};

	stack_ip_set_v4(addr.ip, &to->addr);
	interface.mtu = paths_mtu(stack_the, &addr);
	return &interface;
}

struct netif *ip6_route(const ip6_addr_t *from, const ip6_addr_t *to)
{
	(void)from;
	(void)to;
	return &interface;
}

struct netif *netif_get_by_index(u8_t index)
{
	(void)index;
	return &interface;
}

const ip_addr_t *ip6_select_source_address(struct netif *netif, const ip6_addr_t *to)
{
	(void)netif;
	(void)to;
	return NULL;
}

u16_t nd6_get_destination_mtu(const ip6_addr_t *to, struct netif *netif)
{
	struct stack_addr addr = {0};

	(void)netif;
	memcpy(addr.ip, to->addr, sizeof(addr.ip));
	return paths_mtu(stack_the, &addr);
}

u8_t ip4_addr_isbroadcast_u32(u32_t addr, const struct netif *netif)
{
	(void)addr;
	(void)netif;
	return 0; /* ingress.c lets only our unicast addresses through */
}

void tcp_timer_needed(void)
{
}

/* Counts what is sent again and times the SYN; lwIP advances snd_nxt only afterwards. */
static void note_segment(struct stack *s, const struct pbuf *p)
{
	const uint8_t *tcp = p->payload;
	struct flow *f = s->current;

	if (!f || !f->pcb)
		return;
	f->tx_segs++;
	if (tcp[TCP_FLAGS_AT] & TCP_SYN) {
		f->syn_again = f->syn_ns != 0;
		f->syn_ns = s->now_ns;
	}
	if (p->tot_len > tcp_header_len(tcp) && f->pcb->persist_backoff == 0)
		s->stats.tcp_retransmits += TCP_SEQ_LT(get32(tcp + TCP_SEQ_AT), f->pcb->snd_nxt);
}

/* Prepends the IP header to the segment and sends it. The pbuf stays the caller's. */
static err_t output(struct pbuf *p, const struct stack_addr *from, const struct stack_addr *to,
		    u8_t ttl, u8_t tos, u8_t proto)
{
	const struct ip_header ip = {
		.from = from, .to = to, .proto = proto, .ttl = ttl, .tos = tos};
	struct stack *s = stack_the;
	size_t header_len = stack_addr_is_v4(to) ? IP4_HEADER_BYTES : IP6_HEADER_BYTES;
	size_t segment_len = p->tot_len;
	struct iovec iov[2];
	int n = 1;

	LWIP_ASSERT("a segment is two pieces at most", !p->next || !p->next->next);
	note_segment(s, p);
	if (pbuf_add_header(p, header_len))
		return ERR_BUF;
	/* RFC 6864: what is no fragment may have any. The connection's tells nothing of others */
	egress_header(p->payload, &ip, segment_len, s->current ? (uint16_t)s->current->tx_segs : 0,
		      IP4_DONT_FRAGMENT);
	iov[0] = (struct iovec){p->payload, p->len};
	if (p->next)
		iov[n++] = (struct iovec){p->next->payload, p->next->len};
	/* What cannot be sent is lost, as on any network: the timers repeat it */
	acks_segment(s, to, iov, n, p->tot_len, header_len);
	return ERR_OK;
}

err_t ip4_output_if(struct pbuf *p, const ip4_addr_t *src, const ip4_addr_t *dst, u8_t ttl,
		    u8_t tos, u8_t proto, struct netif *netif)
{
	struct stack_addr from, to;

	(void)netif;
	stack_ip_set_v4(from.ip, &src->addr);
	stack_ip_set_v4(to.ip, &dst->addr);
	return output(p, &from, &to, ttl, tos, proto);
}

err_t ip6_output_if(struct pbuf *p, const ip6_addr_t *src, const ip6_addr_t *dst, u8_t hl, u8_t tc,
		    u8_t nexth, struct netif *netif)
{
	struct stack_addr from, to;

	(void)netif;
	memcpy(from.ip, src->addr, 16);
	memcpy(to.ip, dst->addr, 16);
	return output(p, &from, &to, hl, tc, nexth);
}

/* RFC 6528: ISN = M + F(four-tuple, secret); M counts 4 us. */
u32_t stack_tcp_isn(const ip_addr_t *local, u16_t local_port, const ip_addr_t *remote,
		    u16_t remote_port)
{
	struct {
		struct stack_addr local, remote;
	} tuple;
	uint64_t hash;

	memset(&tuple, 0, sizeof(tuple));
	addr_from(local, local_port, &tuple.local);
	addr_from(remote, remote_port, &tuple.remote);
	crypto_shorthash((unsigned char *)&hash, (const unsigned char *)&tuple, sizeof(tuple),
			 stack_the->isn_key);
	return (u32_t)(hash + stack_the->now_ns / 4000);
}
