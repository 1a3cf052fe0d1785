/* SPDX-License-Identifier: MIT */
/*
 * egress.c - by which of the host's interfaces datagrams leave to the peers
 *
 * Answers leave from the address that the peer wrote to (outer.c). When the host's routes change
 * that address may have become the wrong one: gone, or another interface's than the one that now
 * leads to the peer, where networks drop what has a foreign source. So the kernel tells when routes
 * change (rtnetlink(7)), and is asked for the way to each peer. An address that does not belong
 * there any more is forgotten, as the kernel's driver does for each packet
 * (drivers/net/wireguard/socket.c; another interface only over IPv4), and the peer gets an empty
 * packet, so that it knows our new address also when only it has something to say.
 *
 * The sandbox allows no netlink socket, so two are opened before: one that is told, and one that
 * asks, whose answers are there when sending returns. A host that gives us none keeps what else
 * there is: the kernel refuses an address that is gone, and a handshake without an answer is sent
 * again without one.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/tunnel/core.h"
#include "src/tunnel/peers.h"

/* Changes come in groups, and a router may have thousands in a second. */
#define SETTLE_NS (100 * WGW_MS_NS)
#define AGAIN_NS  (2 * WGW_SEC_NS)

/* Nothing tells that the empty packet has arrived: a route may still be missing, a router may not
 * answer yet, and what is on its way to the old address makes that one count again. So a peer that
 * was not heard at the new address gets a few. */
enum { LOOKS = 4 };

enum { EVENT_BYTES = 512, EVENTS_MAX = 512, ANSWER_BYTES = 4096 };

/**
 * struct wgw_egress - the two sockets
 * @told:	Of changes
 * @asks:	Not watched
 * @timer:	When the peers' ways are looked at; @waits: it is set; @looked_at: when they were last;
 *		@looks: how often they still are, while some have moved
 */
struct wgw_egress {
	struct wgw_core *core;
	struct wgw_watch told;
	int asks;
	struct wgw_timer timer;
	bool waits;
	unsigned int looks;
	uint64_t looked_at;
};

/** struct question - RTM_GETROUTE for one destination, one source and a mark */
struct question {
	struct nlmsghdr header;
	struct rtmsg route;
	uint8_t attributes[3 * RTA_SPACE(16)];
};

static void attach(struct question *q, unsigned short type, const void *data, size_t len)
{
	struct rtattr a = {.rta_len = (unsigned short)RTA_LENGTH(len), .rta_type = type};
	uint8_t *at = (uint8_t *)q + q->header.nlmsg_len;

	memcpy(at, &a, sizeof(a));
	memcpy(at + RTA_LENGTH(0), data, len);
	q->header.nlmsg_len += (uint32_t)RTA_SPACE(len);
}

/* The kernel's words for an address that is not the host's (-EINVAL in older ones), and no route. */
static bool is_no_way(int err)
{
	return err == -EINVAL || err == -ENETUNREACH || err == -EHOSTUNREACH;
}

/* The interface that the answer names, -ENETUNREACH: there is no way; 0: it says neither. @type:
 * RTN_LOCAL and so on, of an interface */
static int read_answer(const struct nlmsghdr *h, size_t n, unsigned char *type)
{
	const struct rtmsg *route = NLMSG_DATA(h);
	const struct nlmsgerr *refusal = NLMSG_DATA(h);
	const struct rtattr *a;
	unsigned int left;
	int index = 0;

	if (!NLMSG_OK(h, n))
		return 0;
	if (h->nlmsg_type == NLMSG_ERROR && h->nlmsg_len >= NLMSG_LENGTH(sizeof(*refusal)))
		return is_no_way(refusal->error) ? -ENETUNREACH : 0;
	if (h->nlmsg_type != RTM_NEWROUTE || h->nlmsg_len < NLMSG_LENGTH(sizeof(*route)))
		return 0;
	*type = route->rtm_type;
	left = (unsigned int)RTM_PAYLOAD(h);
	for (a = RTM_RTA(route); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == RTA_OIF && RTA_PAYLOAD(a) >= sizeof(index))
			memcpy(&index, RTA_DATA(a), sizeof(index));
	}
	return index;
}

static bool has_source(const struct wg_endpoint *e)
{
	static const struct in6_addr none;

	return e->to.sa.sa_family == AF_INET ? e->from4.s_addr != 0
					     : memcmp(&e->from6, &none, sizeof(none)) != 0;
}

/* By which interface datagrams leave to @to, from @from unless that is NULL: addresses of @family.
 * Returns what read_answer does. */
static int ask(const struct wgw_egress *g, int family, const void *to, const void *from,
	       unsigned char *type)
{
	size_t len = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	uint32_t mark = g->core->t.boot->config->fwmark;
	struct question q = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(q.route)),
			   .nlmsg_type = RTM_GETROUTE,
			   .nlmsg_flags = NLM_F_REQUEST},
		.route = {.rtm_family = (unsigned char)family,
			  .rtm_dst_len = (unsigned char)(len * 8),
			  .rtm_src_len = (unsigned char)(from ? len * 8 : 0)},
	};
	union {
		struct nlmsghdr header;
		char bytes[ANSWER_BYTES];
	} answer;
	ssize_t n;

	attach(&q, RTA_DST, to, len);
	if (from)
		attach(&q, RTA_SRC, from, len);
	if (mark)
		attach(&q, RTA_MARK, &mark, sizeof(mark));
	/* what an earlier question has left */
	while (recv(g->asks, &answer, sizeof(answer), MSG_DONTWAIT) > 0)
		;
	if (send(g->asks, &q, q.header.nlmsg_len, MSG_DONTWAIT) < 0)
		return 0;
	n = recv(g->asks, &answer, sizeof(answer), MSG_DONTWAIT);
	return n < 0 ? 0 : read_answer(&answer.header, (size_t)n, type);
}

/* The same for @e, from the source it has, if it has one */
static int way_to(const struct wgw_egress *g, const struct wg_endpoint *e)
{
	int family = e->to.sa.sa_family;
	unsigned char type;

	return ask(g, family,
		   family == AF_INET ? (const void *)&e->to.in.sin_addr
				     : (const void *)&e->to.in6.sin6_addr,
		   has_source(e) ? &e->from6 : NULL, &type);
}

/* Whether the source of @e is the host's no more. Over IPv6 the way from such a one is told, too. */
static bool source_is_gone(const struct wgw_egress *g, const struct wg_endpoint *e)
{
	unsigned char type;
	int index;

	if (e->to.sa.sa_family != AF_INET6)
		return false;
	index = ask(g, AF_INET6, &e->from6, NULL, &type);
	return index == -ENETUNREACH || (index > 0 && type != RTN_LOCAL);
}

/* Returns whether @p may not know where we are. */
static bool follow(const struct wgw_egress *g, const struct wgw_peer *p)
{
	struct wg_peer_stats stats;
	struct wg_endpoint *e = &stats.endpoint;
	int index;

	wg_peer_stats(p->wg, &stats);
	if (!stats.has_session || e->to.sa.sa_family == AF_UNSPEC ||
	    (e->to.sa.sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&e->to.in6.sin6_addr)))
		return false;
	if (has_source(e)) {
		index = way_to(g, e);
		if (!source_is_gone(g, e) &&
		    (index == 0 || (index > 0 && (uint32_t)index == e->ifindex)))
			return false;
		memset(&e->from6, 0, sizeof(e->from6));
		e->ifindex = 0;
	}
	if (way_to(g, e) <= 0)
		return false; /* until another change */
	wg_peer_set_endpoint(p->wg, e);
	wg_peer_keepalive(p->wg);
	return true;
}

static void look_at(struct wgw_egress *g, uint64_t due)
{
	if (g->waits)
		return;
	g->waits = true;
	wgw_timer_set(g->core->t.loop, &g->timer, due);
}

/* What they say is not looked at; more than there was room for (ENOBUFS) is a change, too. */
static void take_events(struct wgw_egress *g)
{
	char event[EVENT_BYTES];

	for (unsigned int i = 0; i < EVENTS_MAX; i++) {
		if (recv(g->told.fd, event, sizeof(event), MSG_DONTWAIT) < 0 && errno == EAGAIN)
			break;
	}
}

static void on_settled(struct wgw_timer *timer)
{
	struct wgw_egress *g = wgw_container(timer, struct wgw_egress, timer);
	bool moved = false;

	g->waits = false;
	g->looked_at = wgw_loop_now(g->core->t.loop);
	take_events(g);
	for (struct wgw_peer *p = wgw_peers_next(g->core->peers, NULL); p;
	     p = wgw_peers_next(g->core->peers, p))
		moved |= follow(g, p);
	wgw_loop_mod(g->core->t.loop, &g->told, EPOLLIN);
	if (moved && g->looks > 0 && --g->looks > 0)
		look_at(g, g->looked_at + AGAIN_NS);
}

/* Until the peers' ways are looked at more changes need not wake us. */
static void on_told(struct wgw_watch *w, uint32_t events)
{
	struct wgw_egress *g = wgw_container(w, struct wgw_egress, told);
	uint64_t due = wgw_loop_now(g->core->t.loop) + SETTLE_NS;

	(void)events;
	take_events(g);
	wgw_loop_mod(g->core->t.loop, w, 0);
	if (g->looked_at && due < g->looked_at + AGAIN_NS)
		due = g->looked_at + AGAIN_NS;
	g->looks = LOOKS;
	look_at(g, due);
}

static int open_netlink(uint32_t groups)
{
	struct sockaddr_nl local = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&local, sizeof(local))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void wgw_egress_follow(struct wgw_core *core)
{
	struct wgw_egress *g;

	/* in another session the way is the outer tunnel's, whatever the host's routes are */
	if (getenv(WGW_SESSION_ENV))
		return;
	g = calloc(1, sizeof(*g));
	if (!g)
		return;
	g->core = core;
	g->told.ready = on_told;
	g->timer.due = on_settled;
	g->told.fd = open_netlink(RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE);
	g->asks = open_netlink(0);
	if (g->told.fd >= 0 && g->asks >= 0 && wgw_loop_add(core->t.loop, &g->told, EPOLLIN) == 0)
		return; /* for as long as the process */
	if (g->told.fd >= 0)
		close(g->told.fd);
	if (g->asks >= 0)
		close(g->asks);
	free(g);
}
