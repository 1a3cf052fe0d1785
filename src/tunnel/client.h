/* SPDX-License-Identifier: MIT */
/* client.h - the tunnel process's end of a session's channel, as client.c and questions.c share
 * it */
#ifndef SRC_TUNNEL_CLIENT_H
#define SRC_TUNNEL_CLIENT_H

#include "src/tunnel/core.h"

struct queued;
struct change;

/** struct wgw_questions - what the supervisor was asked and has not answered */
struct wgw_questions {
	struct question *first;
	unsigned int n;
	uint32_t last_id;
};

struct wgw_client {
	struct wgw_watch watch;
	struct wgw_timer end; /* new: too late; closing: now */
	struct wgw_tunnel *t;
	struct wgw_session *session;
	struct queued *queue, **queue_end;
	unsigned int n_queued;
	struct wgw_questions questions;
	struct change *change;
	bool closing, state_told;
	struct wgw_channel_msg state;
};

/* ---- questions.c: what only the supervisor knows ---- */

/* Takes an answer. One that nobody waits for any more is dropped. */
void wgw_questions_answer(struct wgw_client *c, const struct wgw_channel_msg *msg);
/* The session is over, with all its processes: answers what is still open. */
void wgw_questions_end(struct wgw_client *c);

#endif
