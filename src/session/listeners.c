/* SPDX-License-Identifier: MIT */
/*
 * listeners.c - listening sockets of the session's programs, kept over the end of a tunnel process
 *
 * A program sees that its connections are lost, and connects again. Of a listener it would see
 * nothing: accept() just never returns. So the supervisor keeps what a tunnel process needs to know
 * of each: its address and an O_PATH descriptor of the unix listener (src/tunnel/listen.c). The
 * descriptor is not the socket: the program's close still ends it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/session/channel.h"
#include "src/session/supervisor.h"

/** struct wgw_kept_listener - @path: its O_PATH descriptor */
struct wgw_kept_listener {
	struct wgw_ch_listener what;
	int path;
};

void wgw_listeners_drop(struct wgw_supervisor *s, uint64_t cookie)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		if (s->listeners[i].what.cookie != cookie)
			continue;
		close(s->listeners[i].path);
		s->listeners[i] = s->listeners[--s->n_listeners];
		return;
	}
}

void wgw_listeners_keep(struct wgw_supervisor *s, const struct wgw_ch_listener *what, int path)
{
	struct wgw_kept_listener *more;

	wgw_listeners_drop(s, what->cookie);
	more = reallocarray(s->listeners, s->n_listeners + 1, sizeof(*more));
	if (!more) {
		close(path);
		return;
	}
	s->listeners = more;
	more[s->n_listeners++] = (struct wgw_kept_listener){*what, path};
}

void wgw_listeners_return(struct wgw_supervisor *s)
{
	struct wgw_channel_msg msg;

	wgw_channel_prepare(&msg, WGW_CH_RELISTEN);
	for (size_t i = 0; i < s->n_listeners; i++) {
		msg.u.listener = s->listeners[i].what;
		if (wgw_channel_send(s->channel, &msg, &s->listeners[i].path, 1))
			return; /* the end of the channel is seen where it is read */
	}
}
