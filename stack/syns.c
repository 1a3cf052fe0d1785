/* SPDX-License-Identifier: MIT */
/*
 * syns.c - when a SYN leaves
 *
 * Nothing clocks the SYNs of a program that starts thousands of connections at once, or while this process does
 * not run, nor their repeats 1, 3, 7 s later. As one burst they overflow a socket buffer on the way (Linux's
 * default holds 277 small datagrams), and those that are lost leave as one burst again. So after SYNS_AT_ONCE the
 * others leave one per SYN_GAP_NS, a millisecond's worth per wake-up. Who starts fewer waits for nothing, nor who
 * has fewer than SYNS_AT_ONCE unanswered at a time, at any rate.
 *
 * A repeat says that one was lost or that nobody answers, so they leave slower, and behind first ones: to
 * connect elsewhere does not take longer while thousands wait for a host that is down.
 *
 * A SYN that waits stays in lwIP's queue, its timer stopped, and its connection in one of the stack's two lists.
 */
#include "stack/internal.h"

#include "lwip/priv/tcp_priv.h"

enum { WAKE_NS = 1000 * 1000 };

static bool take_turn(struct stack *s, const struct syn_list *l)
{
	if (s->syns_pace_ns > s->now_ns + (uint64_t)(SYNS_AT_ONCE - 1) * SYN_GAP_NS)
		return false;
	s->syns_pace_ns = LWIP_MAX(s->syns_pace_ns, s->now_ns) +
			  (l == &s->syns_first ? SYN_GAP_NS : SYN_REPEAT_GAP_NS);
	return true;
}

static void queue(struct flow *f, struct syn_list *l)
{
	struct stack *s = f->stack;

	if (syns_due(s) == UINT64_MAX)
		s->syns_due_ns = s->now_ns + WAKE_NS;
	f->syn_list = l;
	f->syn_next = NULL;
	f->syn_prev = l->tail;
	*l->tail = f;
	l->tail = &f->syn_next;
	f->pcb->rtime = -1; /* lwIP starts it when the SYN has left */
}

void syns_init(struct stack *s)
{
	s->syns_first.tail = &s->syns_first.head;
	s->syns_again.tail = &s->syns_again.head;
}

/** syns_may_send() - whether the SYN of @f, which is entered, may leave now; if not, it waits for its turn */
bool syns_may_send(struct flow *f)
{
	struct stack *s = f->stack;
	struct syn_list *l = f->syn_ns ? &s->syns_again : &s->syns_first;

	if (f->syn_turn)
		return true;
	if (f->syn_list)
		return false;
	if (!l->head && take_turn(s, l))
		return true;
	queue(f, l);
	return false;
}

/** syns_forget() - @f, which may wait, waits no longer */
void syns_forget(struct flow *f)
{
	if (!f->syn_list)
		return;
	*f->syn_prev = f->syn_next;
	if (f->syn_next)
		f->syn_next->syn_prev = f->syn_prev;
	else
		f->syn_list->tail = f->syn_prev;
	f->syn_list = NULL;
}

/** syns_answered() - who answers promptly is not paced: while nobody waits the turn is free again */
void syns_answered(struct flow *f)
{
	struct stack *s = f->stack;

	syns_forget(f);
	if (syns_due(s) == UINT64_MAX)
		s->syns_pace_ns -= SYN_GAP_NS;
}

/** syns_due() - when syns_run() has something to do, in ns; UINT64_MAX: never */
uint64_t syns_due(const struct stack *s)
{
	return s->syns_first.head || s->syns_again.head ? s->syns_due_ns : UINT64_MAX;
}

/** syns_run() - those whose turn it is leave */
void syns_run(struct stack *s)
{
	struct syn_list *l;
	struct flow *f;

	if (syns_due(s) > s->now_ns)
		return;
	for (;;) {
		l = s->syns_first.head ? &s->syns_first : &s->syns_again;
		f = l->head;
		if (!f || !take_turn(s, l))
			break;
		syns_forget(f);
		demux_enter(f);
		f->syn_turn = true;
		tcp_output(f->pcb);
		f->syn_turn = false;
		demux_leave(f);
	}
	s->syns_due_ns = s->now_ns + WAKE_NS;
}
