/* SPDX-License-Identifier: MIT */
/*
 * events.c - callbacks of connections, outside of lwIP
 *
 * lwIP's callbacks and the functions that owners call only note events; the owners' callbacks run
 * from events_dispatch, when no lwIP code is on the call stack and all its lists are empty. So a
 * callback may do anything to any connection, and abort, close and free need no special cases.
 */
#include "stack/internal.h"

#include <stddef.h>

void events_post(struct flow *f, unsigned int events)
{
	struct stack *s = f->stack;

	f->events |= events;
	if (f->ready_prev)
		return;
	f->ready_next = NULL;
	f->ready_prev = s->ready_tail;
	*s->ready_tail = f;
	s->ready_tail = &f->ready_next;
}

void events_unpost(struct flow *f)
{
	f->events = 0;
	if (!f->ready_prev)
		return;
	*f->ready_prev = f->ready_next;
	if (f->ready_next)
		f->ready_next->ready_prev = f->ready_prev;
	else
		f->stack->ready_tail = f->ready_prev;
	f->ready_prev = NULL;
}

/* The connection's last callback, then its end, unless lwIP still needs it for TIME_WAIT. */
static void tell_closed(struct flow *f)
{
	const struct flow_ops *ops = f->ops;

	if (f->listener)
		listener_forget(f);
	if (ops && ops->closed)
		ops->closed(f, f->arg, f->err);
	f->dead = true;
}

static void tell(struct flow *f, unsigned int events)
{
	if (events & FLOW_EVENT_ACCEPT)
		listener_accept(f);
	if ((events & FLOW_EVENT_CONNECTED) && f->shut && f->state == FLOW_OPEN)
		flow_send_fin(f);
	if ((events & FLOW_EVENT_CONNECTED) && !f->dead && f->ops && f->ops->connected)
		f->ops->connected(f, f->arg);
	if ((events & FLOW_EVENT_READABLE) && !f->dead && !f->owner_gone && f->ops &&
	    f->ops->readable)
		f->ops->readable(f, f->arg);
	if ((events & FLOW_EVENT_WRITABLE) && !f->dead && !f->owner_gone && f->ops &&
	    f->ops->writable)
		f->ops->writable(f, f->arg);
	if ((events & FLOW_EVENT_CLOSED) && !f->dead)
		tell_closed(f);
}

void events_dispatch(struct stack *s)
{
	while (s->ready) {
		struct flow *f = s->ready;
		unsigned int events = f->events;

		events_unpost(f);
		f->dispatching = true;
		tell(f, events);
		f->dispatching = false;
		if (f->dead)
			flow_free(f);
	}
}
