/* SPDX-License-Identifier: MIT */
/*
 * control.h - operating running tunnels: finding them, asking them, keeping them up
 *
 * Functions that fail have said why (wgw_say), unless their comment says otherwise.
 */
#ifndef SRC_CONTROL_CONTROL_H
#define SRC_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/control/find.h"
#include "src/control/metrics.h"
#include "src/control/status.h"
#include "src/session/channel.h"
#include "src/session/launch.h"
#include "src/session/run.h"

/* ---- request.c ---- */

/* Sends a request over @fd and waits for the answer. Returns 0 and *reply, whose err is
 * the tunnel's word, or -errno. Says nothing. */
int wgw_control_ask(int fd, enum wgw_control_verb verb, const int *fds, unsigned int n,
		    struct wgw_channel_msg *reply);
/* The state of the tunnel behind @fd. NULL and errno. Says nothing. */
struct wgw_status *wgw_control_status(int fd);

/* ---- signals.c ---- */

/* Blocks SIGINT and SIGTERM: a descriptor that they make readable, or -1, and then they end the process. */
int wgw_end_signals(void);

/* ---- up.c, keeper.c ---- */

/**
 * struct wgw_up_options - options of `wgwrap up`
 * @run:	What they share with run; the command is unused
 * @foreground:	The keeper stays this process
 * @health:	Served by a child of the keeper when its address is not NULL
 * @reload:	The tunnel runs: its endpoints are resolved again in any case
 * @running_mtu: With @reload: the MTU when the file says none
 * @running_name: With @reload: its ID, which is not the file's when the private key is another
 */
struct wgw_up_options {
	struct wgw_run_options run;
	bool foreground, reload;
	uint16_t running_mtu;
	const char *running_name;
	struct wgw_health_options health;
};

/* Starts a tunnel that stays without commands, or changes the running one to what its file says
 * now. Returns an exit status. */
int wgw_up(const struct wgw_up_options *options);
/* Ends what wgw_up began. @what as in wgw_tunnels_find. Returns an exit status. */
int wgw_down(const char *what);

/* Like wgw_up for the file a running tunnel was started from, @what as in wgw_tunnels_find. */
int wgw_reload_running(const char *what);

/* reload.c: brings the running tunnel to what @l says. Returns 0, -ENOTCONN: no tunnel process runs,
 * or -1: it stays as it is. */
int wgw_reload(struct wgw_launch *l);

/** struct wgw_keeper_health - the listener of `wgwrap up --health`, @fd -1: there is none; @pid:
 * who serves it, 0: nobody; @again_at: when somebody shall again, 0: not due */
struct wgw_keeper_health {
	struct wgw_health_options options;
	int fd;
	pid_t pid;
	uint64_t again_at;
};

/* The process that holds a tunnel up. @said: written once: an exit status as one byte; closed.
 * -1: it stays in the foreground. Does not return. */
_Noreturn void wgw_keeper_main(struct wgw_launch *l, int channel, int said,
			       struct wgw_keeper_health *health);

#endif
