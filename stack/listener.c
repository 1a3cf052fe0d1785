/* SPDX-License-Identifier: MIT */
/*
 * listener.c - incoming connections
 *
 * lwIP makes the half-open pcb; the flow for it is made right after. A listener has at most
 * backlog of them, further SYNs are dropped and the peer repeats them. Established connections are
 * announced from events_dispatch; the callee takes or aborts them there.
 */
#include "stack/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "lwip/priv/tcp_priv.h"

#include "stack/demux.h"

const ip_addr_t ip_addr_any_type = IPADDR_ANY_TYPE_INIT;

static bool is_alive(struct flow_listener *l)
{
	return !l->ops->alive || l->ops->alive(l, l->arg);
}

struct flow_listener *listener_find(struct stack *s, const struct stack_addr *to, bool syn)
{
	struct flow_listener *l, *wildcard = NULL;

	for (l = s->listeners[port_bucket(to->port)]; l; l = l->next) {
		if (!ports_match(&l->local, l->v6only, to) || (syn && !is_alive(l)))
			continue;
		if (!stack_addr_is_any(&l->local))
			return l;
		/* of two wildcards the one of the packet's family */
		if (!wildcard || stack_addr_is_v4(&l->local) == stack_addr_is_v4(to))
			wildcard = l;
	}
	return wildcard;
}

static bool taken(const struct stack *s, const struct stack_addr *local, bool v6only)
{
	const struct flow_listener *l;

	for (l = s->listeners[port_bucket(local->port)]; l; l = l->next)
		if (ports_overlap(&l->local, l->v6only, local, v6only))
			return true;
	return false;
}

bool flow_listens_at(const struct stack *s, const struct stack_addr *local)
{
	const struct flow_listener *l;

	for (l = s->listeners[port_bucket(local->port)]; l; l = l->next)
		if (stack_addr_equal(&l->local, local))
			return true;
	return false;
}

static int choose_port(struct stack *s, struct stack_addr *local, bool v6only)
{
	uint16_t first = ports_random(s);
	unsigned int n;

	if (local->port != 0)
		return flow_listens_at(s, local) ? EADDRINUSE : 0;
	for (n = 0; n < ports_count(); n++) {
		local->port = ports_after(first, n);
		if (!taken(s, local, v6only))
			return 0;
	}
	return EADDRINUSE;
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct flow *f = arg;

	(void)pcb;
	if (err != ERR_OK) /* no memory for a pcb: @arg is not a flow; the peer repeats its SYN */
		return err;
	flow_opened(f);
	if (f->listener)
		f->listener->half_open--;
	events_post(f, FLOW_EVENT_ACCEPT);
	return ERR_OK;
}

static struct tcp_pcb_listen *listen_pcb(uint16_t port)
{
	struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_ANY), *listening = NULL;

	if (!pcb)
		return NULL;
	if (tcp_bind(pcb, IP_ANY_TYPE, port) == ERR_OK)
		listening = tcp_listen(pcb);
	if (listening)
		tcp_accept(listening, on_accept);
	else
		tcp_abandon(pcb, 0);
	demux_clear();
	return (struct tcp_pcb_listen *)listening;
}

struct flow_listener *flow_listen(struct stack *s, const struct stack_addr *local, bool v6only,
				  unsigned int backlog, const struct flow_listener_ops *ops,
				  void *arg, int *err)
{
	struct flow_listener *l = calloc(1, sizeof(*l)), **bucket;

	*err = ENOBUFS;
	if (!l)
		return NULL;
	l->stack = s;
	l->local = *local;
	l->v6only = v6only;
	l->backlog = LWIP_MAX(LWIP_MIN(backlog, LISTENER_BACKLOG_MAX), 1);
	l->ops = ops;
	l->arg = arg;
	*err = ports_check_local(s, local);
	if (*err == 0)
		*err = choose_port(s, &l->local, v6only);
	if (*err == 0) {
		l->pcb = listen_pcb(l->local.port);
		*err = l->pcb ? 0 : ENOBUFS;
	}
	if (*err != 0) {
		free(l);
		return NULL;
	}
	bucket = &s->listeners[port_bucket(l->local.port)];
	l->next = *bucket;
	*bucket = l;
	s->stats.tcp_listeners++;
	return l;
}

uint16_t flow_listener_port(const struct flow_listener *l)
{
	return l->local.port;
}

/* @f is accepted or gone. */
void listener_forget(struct flow *f)
{
	if (f->state == FLOW_HALF_OPEN)
		f->listener->half_open--;
	*f->sibling_prev = f->sibling_next;
	if (f->sibling_next)
		f->sibling_next->sibling_prev = f->sibling_prev;
	f->listener = NULL;
}

/* Unaccepted connections go with their listener, as on Linux. */
void flow_listener_close(struct flow_listener *l)
{
	struct stack *s = l->stack;
	struct flow_listener **at = &s->listeners[port_bucket(l->local.port)];

	while (l->flows)
		flow_abort(l->flows);
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	demux_listener_free(l->pcb);
	s->stats.tcp_listeners--;
	free(l);
}

void listener_input(struct flow_listener *l, const struct ip_packet *p)
{
	struct stack *s = l->stack;
	struct tcp_pcb *pcb;
	struct flow *f;

	if (l->half_open >= l->backlog &&
	    (p->payload[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return;
	pcb = demux_listen(l->pcb, p);
	if (!pcb)
		return;
	f = flow_alloc(s);
	if (f) {
		f->pcb = pcb;
		f->state = FLOW_HALF_OPEN;
		f->local = p->to;
		f->remote = p->from;
		f->local.port = pcb->local_port;
		f->remote.port = pcb->remote_port;
		f->syn_ns = s->now_ns;
	}
	if (!f || demux_insert(s, f) != 0) {
		demux_discard(pcb);
		if (f)
			flow_free(f);
		return;
	}
	s->stats.tcp_flows++;
	l->half_open++;
	f->listener = l;
	f->sibling_next = l->flows;
	f->sibling_prev = &l->flows;
	if (l->flows)
		l->flows->sibling_prev = &f->sibling_next;
	l->flows = f;
	flow_attach(f);
	demux_enter(f);
	demux_leave(f);
}

/* The accept callback of @f, which is established (and may be over again). */
void listener_accept(struct flow *f)
{
	struct flow_listener *l = f->listener;

	if (!l)
		return;
	listener_forget(f);
	l->ops->accept(l, f, l->arg);
}
