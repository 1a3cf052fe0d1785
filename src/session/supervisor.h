/* SPDX-License-Identifier: MIT */
/* supervisor.h - what the parts of a session's supervisor share */
#ifndef SRC_SESSION_SUPERVISOR_H
#define SRC_SESSION_SUPERVISOR_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "src/capture/capture.h"
#include "src/session/channel.h"
#include "src/session/inherit.h"
#include "src/session/launch.h"

/** struct wgw_report - one message between front and supervisor */
struct wgw_report {
	enum wgw_report_kind {
		/* supervisor to front */
		WGW_REPORT_STOPPED,   /* @value: signal; the command has stopped */
		WGW_REPORT_ENDED,     /* @value: wait status of the command */
		WGW_REPORT_DELIVERED, /* what was written has been delivered, or was given up */
		/* front to supervisor */
		WGW_REPORT_SIGNAL,   /* @value: signal, from @pid, with @payload if @queued */
		WGW_REPORT_CONTINUE, /* the front runs again: one answer to each STOPPED */
		WGW_REPORT_HURRY,    /* do not wait for delivery any longer */
	} kind;
	int value;
	pid_t pid;
	bool queued;
	union sigval payload;
};

enum { WGW_RESOLVERS_MAX = 64 };

/**
 * struct wgw_supervisor - a session's supervisor
 * @channel:	To the tunnel process; -1: it is gone
 * @front:	To the front; -1: it is gone
 * @front_pid:	Its process id
 * @signals:	signalfd of all signals
 * @listener:	Of the supervised filter; -1: there is none, or nobody is left who has it
 * @capture:	Answers what @listener reports; NULL: nothing does
 * @command:	Process id, 0 after it ended
 * @delivered:	The front was told so
 * @stopped:	The command is
 * @stops:	How many STOPPED the front has not answered yet
 * @rouse_at:	When the front is sent the next SIGCONT, 0: none is due (stops.c)
 * @flush_deadline: When FLUSHED is no longer waited for, 0: not waiting
 * @seen:	Sender of the last signal of each number that came to the group, -1: none
 * @held_back:	Signal the front wants forwarded, kept until it is known that it did not go to the
 *		whole group, with @held_until; kind 0 value 0: none
 * @starter, @starter_fd: process that starts the tunnel process again, and its result
 * @restart_at:	When to try again, 0: not due
 * @restarts:	How many in a row, for the back-off
 * @resolvers:	Processes that ask the host's resolver, 0: free
 * @listeners:	What the next tunnel process gets, @n_listeners of them (listeners.c)
 * @leave, @reread: The tunnel process asked a keeper (`wgwrap up`) to end; to read its file again
 */
struct wgw_supervisor {
	struct wgw_launch *launch;
	int channel, front, signals;
	int listener;
	struct wgw_capture *capture;
	pid_t command;
	pid_t front_pid;
	bool delivered, stopped;
	unsigned int stops;
	uint64_t rouse_at;
	uint64_t flush_deadline;
	pid_t seen[NSIG];
	struct wgw_report held_back;
	uint64_t held_until;
	pid_t starter;
	int starter_fd;
	uint64_t restart_at, up_since;
	unsigned int restarts;
	pid_t resolvers[WGW_RESOLVERS_MAX];
	struct wgw_kept_listener *listeners;
	size_t n_listeners;
	bool leave, reread;
};

/* In the supervisor's process: starts the command and serves the session. Does not return.
 * @channel: open; @front: socket to the front. */
_Noreturn void wgw_supervisor_main(struct wgw_launch *l, const struct wgw_inherited *in,
				   char **environment, int channel, int front);
/* Tells the front. A front that is gone is no error. */
void wgw_supervisor_report(struct wgw_supervisor *s, enum wgw_report_kind kind, int value);
/* Delivery has ended, well or not. */
void wgw_supervisor_delivered(struct wgw_supervisor *s);

/* In a child of the supervisor: lets go of the listener and of the front. While anybody holds them,
 * the command waits for answers, and the front for the command. */
void wgw_supervisor_leave(struct wgw_supervisor *s);

/* serve.c: takes one message from the tunnel process; false: the channel is at its end */
bool wgw_serve_channel(struct wgw_supervisor *s);

/* restart.c: the tunnel process is gone; it has been started again, or could not be */
void wgw_restart_plan(struct wgw_supervisor *s);
void wgw_restart_begin(struct wgw_supervisor *s);
void wgw_restart_finish(struct wgw_supervisor *s);

/* listeners.c: the programs' listeners, kept for the next tunnel process. @path is taken over. */
void wgw_listeners_keep(struct wgw_supervisor *s, const struct wgw_ch_listener *what, int path);
void wgw_listeners_drop(struct wgw_supervisor *s, uint64_t cookie);
/* Hands them to the tunnel process that has just been reached. */
void wgw_listeners_return(struct wgw_supervisor *s);

/* relay.c: signals for the command */
void wgw_relay_seen(struct wgw_supervisor *s, int signal, pid_t from);
void wgw_relay_request(struct wgw_supervisor *s, const struct wgw_report *request);
/* Sends what is held back; called when @held_until has passed. */
void wgw_relay_flush(struct wgw_supervisor *s);
/* Whether that is @signal. */
bool wgw_relay_holds(const struct wgw_supervisor *s, int signal);

/* stops.c: front and command stop and run again together */
/* The command has stopped by @signal; it runs again, or has ended. */
void wgw_stops_stopped(struct wgw_supervisor *s, int signal);
void wgw_stops_running(struct wgw_supervisor *s);
/* The front has answered one STOPPED. */
void wgw_stops_answered(struct wgw_supervisor *s);
/* Sends the front SIGCONT; called when @rouse_at has passed. */
void wgw_stops_rouse(struct wgw_supervisor *s);

#endif
