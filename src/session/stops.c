/* SPDX-License-Identifier: MIT */
/*
 * stops.c - front and command stop and run again together
 *
 * The command stops: the front is told STOPPED, stops itself, and answers CONTINUE when it runs
 * again. What another report follows is over: the front answers it without stopping. Who lets them
 * run again decides the rest:
 *
 *   - A shell continues the whole group, or somebody the front alone: the answer comes, and the
 *     command is continued if it is still stopped. The SIGCONT itself comes before the answer, as
 *     other signals to the front do; if it is held back for the command, that is enough: its
 *     handler runs once. An answer to an older STOPPED than the last says nothing about the last.
 *   - Somebody continues the command alone (a debugger, cpulimit), or kills it: the front is sent
 *     SIGCONT until it has answered every STOPPED. One is not enough: the front may not have
 *     stopped yet, and a stop signal discards a pending SIGCONT.
 *
 * As PID 1 of its namespace the front cannot stop, and is told nothing.
 */
#include <unistd.h>

#include "src/base/loop.h"
#include "src/session/supervisor.h"

enum { ROUSE_GAP_MS = 20 };

void wgw_stops_stopped(struct wgw_supervisor *s, int signal)
{
	if (s->front < 0 || s->front_pid == 1)
		return;
	s->stopped = true;
	s->stops++;
	s->rouse_at = 0;
	wgw_supervisor_report(s, WGW_REPORT_STOPPED, signal);
}

void wgw_stops_rouse(struct wgw_supervisor *s)
{
	s->rouse_at = 0;
	/* no longer our parent: it is gone, and the number may be somebody else's */
	if (s->stops == 0 || getppid() != s->front_pid)
		return;
	kill(s->front_pid, SIGCONT);
	s->rouse_at = wgw_clock_ns() + ROUSE_GAP_MS * WGW_MS_NS;
}

void wgw_stops_running(struct wgw_supervisor *s)
{
	s->stopped = false;
	wgw_stops_rouse(s);
}

void wgw_stops_answered(struct wgw_supervisor *s)
{
	if (s->stops == 0 || --s->stops > 0)
		return;
	s->rouse_at = 0;
	if (s->stopped && !wgw_relay_holds(s, SIGCONT))
		kill(s->command, SIGCONT);
}
