/* SPDX-License-Identifier: MIT */
/*
 * relay.c - which of the front's signals the command gets from the supervisor
 *
 * A signal sent to the front alone is meant for the command. One sent to the whole process group
 * has reached the command already, and a second copy might mean something else to it (many programs
 * exit at once on the second SIGTERM). The supervisor is in the same group, so it knows: what it
 * gets itself, from the same sender, went to the group. The two arrive within microseconds, in any
 * order, so a request is held back for HOLD_MS.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/base/loop.h"
#include "src/session/supervisor.h"

enum { HOLD_MS = 5 };

static void deliver(struct wgw_supervisor *s, const struct wgw_report *request)
{
	if (!s->command)
		return;
	if (request->queued)
		sigqueue(s->command, request->value, request->payload);
	else
		kill(s->command, request->value);
}

void wgw_relay_flush(struct wgw_supervisor *s)
{
	if (s->held_until)
		deliver(s, &s->held_back);
	s->held_until = 0;
}

void wgw_relay_seen(struct wgw_supervisor *s, int signal, pid_t from)
{
	if (s->held_until && s->held_back.value == signal && s->held_back.pid == from)
		s->held_until = 0;
	else if (signal > 0 && signal < NSIG)
		s->seen[signal] = from;
}

bool wgw_relay_holds(const struct wgw_supervisor *s, int signal)
{
	return s->held_until && s->held_back.value == signal;
}

void wgw_relay_request(struct wgw_supervisor *s, const struct wgw_report *request)
{
	int signal = request->value;

	wgw_relay_flush(s);
	if (signal <= 0 || signal >= NSIG)
		return;
	if (s->seen[signal] == request->pid) {
		s->seen[signal] = -1;
		return;
	}
	s->held_back = *request;
	s->held_until = wgw_clock_ns() + HOLD_MS * WGW_MS_NS;
}
