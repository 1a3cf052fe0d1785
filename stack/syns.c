/* SPDX-License-Identifier: MIT */
/*
 * syns.c - when a SYN leaves
 *
 * Nothing clocks the SYNs of a program that starts thousands of connections at once, or while this
 * process does not run, nor their repeats 1, 3, 7 s later. As one burst they overflow a socket
 * buffer on the way (Linux's default holds 277 small datagrams), and those that are lost leave as
 * one burst again. So after SYNS_AT_ONCE the others leave one per SYN_GAP_NS, a millisecond's worth
 * per wake-up. Who starts fewer waits for nothing, nor who has fewer than SYNS_AT_ONCE unanswered
 * at a time, at any rate.
 *
 * A repeat says that one was lost or that nobody answers, so they leave slower, and behind first
 * ones: to connect elsewhere does not take longer while thousands wait for a host that is down.
 *
 * Those who have to wait take turns, one SYN each: how long a connect waits beside another
 * program's thousands depends on how many programs there are, not connects. flow_options.owner
 * tells them apart; SYN_LINES lines are enough for that in most cases, and bound what is kept.
 *
 * A SYN that waits stays in lwIP's queue, its timer stopped, and its connection in a line of one of
 * the stack's two rounds.
 */
#include "stack/internal.h"

#include "lwip/priv/tcp_priv.h"

enum { WAKE_NS = 1000 * 1000 };

static bool take_turn(struct stack *s, const struct syn_round *r)
{
	if (s->syns_pace_ns > s->now_ns + (uint64_t)(SYNS_AT_ONCE - 1) * SYN_GAP_NS)
		return false;
	s->syns_pace_ns = LWIP_MAX(s->syns_pace_ns, s->now_ns) +
			  (r == &s->syns_first ? SYN_GAP_NS : SYN_REPEAT_GAP_NS);
	return true;
}

/* @l, which was empty, has its turn when all others have had theirs. */
static void join_round(struct syn_line *l)
{
	struct syn_round *r = l->round;

	if (!r->turn) {
		r->turn = l->next = l->prev = l;
		return;
	}
	l->next = r->turn;
	l->prev = r->turn->prev;
	l->prev->next = l->next->prev = l;
}

/* @l is empty. */
static void leave_round(struct syn_line *l)
{
	struct syn_round *r = l->round;

	if (r->turn == l)
		r->turn = l->next == l ? NULL : l->next;
	l->prev->next = l->next;
	l->next->prev = l->prev;
}

static void queue(struct flow *f, struct syn_round *r)
{
	struct syn_line *l = &r->lines[f->options.owner % SYN_LINES];
	struct stack *s = f->stack;

	if (syns_due(s) == UINT64_MAX)
		s->syns_due_ns = s->now_ns + WAKE_NS;
	if (!l->head)
		join_round(l);
	f->syn_line = l;
	f->syn_next = NULL;
	f->syn_prev = l->tail;
	*l->tail = f;
	l->tail = &f->syn_next;
	f->pcb->rtime = -1; /* lwIP starts it when the SYN has left */
}

static void init_round(struct syn_round *r)
{
	for (size_t i = 0; i < SYN_LINES; i++) {
		r->lines[i].tail = &r->lines[i].head;
		r->lines[i].round = r;
	}
}

void syns_init(struct stack *s)
{
	init_round(&s->syns_first);
	init_round(&s->syns_again);
}

/** syns_may_send() - whether the SYN of @f, which is entered, may leave now; if not, it waits for
 * its turn */
bool syns_may_send(struct flow *f)
{
	struct stack *s = f->stack;
	struct syn_round *r = f->syn_ns ? &s->syns_again : &s->syns_first;

	if (f->syn_turn)
		return true;
	if (f->syn_line)
		return false;
	if (!r->turn && take_turn(s, r))
		return true;
	queue(f, r);
	return false;
}

/** syns_forget() - @f, which may wait, waits no longer */
void syns_forget(struct flow *f)
{
	struct syn_line *l = f->syn_line;

	if (!l)
		return;
	*f->syn_prev = f->syn_next;
	if (f->syn_next)
		f->syn_next->syn_prev = f->syn_prev;
	else
		l->tail = f->syn_prev;
	f->syn_line = NULL;
	if (!l->head)
		leave_round(l);
}

/** syns_answered() - who answers promptly is not paced: while nobody waits the turn is free
 * again */
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
	return s->syns_first.turn || s->syns_again.turn ? s->syns_due_ns : UINT64_MAX;
}

/** syns_run() - those whose turn it is leave */
void syns_run(struct stack *s)
{
	struct syn_round *r;
	struct flow *f;

	if (syns_due(s) > s->now_ns)
		return;
	for (;;) {
		r = s->syns_first.turn ? &s->syns_first : &s->syns_again;
		if (!r->turn || !take_turn(s, r))
			break;
		f = r->turn->head;
		r->turn = r->turn->next;
		syns_forget(f);
		demux_enter(f);
		f->syn_turn = true;
		tcp_output(f->pcb);
		f->syn_turn = false;
		demux_leave(f);
	}
	s->syns_due_ns = s->now_ns + WAKE_NS;
}
