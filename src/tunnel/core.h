/* SPDX-License-Identifier: MIT */
/* core.h - what the parts share that know sessions and peers; sockets and names see tunnel.h
 * only */
#ifndef SRC_TUNNEL_CORE_H
#define SRC_TUNNEL_CORE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "src/session/channel.h"
#include "src/tunnel/bulk.h"
#include "src/tunnel/outer.h"
#include "src/tunnel/policy.h"
#include "src/tunnel/tunnel.h"

struct wgw_peers;
struct wgw_route_table;
struct wgw_pcap;
struct wgw_alive;
struct wgw_uapi;
struct wgw_client;

enum {
	WGW_NOTES_MAX = 8,
	WGW_REFUSED_MAX = 128, /* addresses whose refusal is said, per session */
};

/**
 * struct wgw_core - the tunnel process
 * @t:		What all parts see
 * @peers:	The peers' state, peers.c
 * @pcap:	NULL: inner packets are not recorded
 * @input, @flush: first and last work before the loop sleeps
 * @alive:	CheckAlive
 * @uapi:	NULL: it has no socket
 * @engine, @tcpip: deadlines of wg_device_tick and stack_tick
 * @tcpip_due:	When @tcpip is due, 0: it is not set
 * @slept_ns:	Time that the stack does not know of
 * @linger:	Set while no session is left
 * @quiet:	Set after work, to give memory back once it is over
 * @worked:	Datagrams moved when @quiet was set or memory was given back
 * @bulk:	Whether data streams
 * @input_pending: stack_input was called since the last stack_input_done
 * @refused:	Destinations that a session's policy refused
 * @state_changed: sessions are told before the loop sleeps
 * @datagrams_received: from any endpoint
 * @started:	When the process began, wgw_clock_ns
 * @settings:	What sessions have to agree with; boot's until a reload
 * @leaving:	`wgwrap down`: without a session there is nothing to wait for
 * @notes:	Said before there was a session; said to the first one. @note_level of each
 */
struct wgw_core {
	struct wgw_tunnel t;
	struct wgw_peers *peers;
	struct wgw_pcap *pcap;
	struct wgw_alive *alive;
	struct wgw_uapi *uapi;
	struct wgw_before input, flush;
	struct wgw_timer engine, tcpip, linger, quiet;
	uint64_t tcpip_due, slept_ns;
	uint64_t worked;
	struct wgw_bulk bulk;
	bool input_pending;
	uint64_t refused;
	bool state_changed;
	uint32_t datagrams_received;
	uint64_t started;
	char *settings;
	bool leaving;
	char *notes[WGW_NOTES_MAX];
	int note_level[WGW_NOTES_MAX];
	size_t n_notes;
};

static inline struct wgw_core *wgw_core_of(struct wgw_tunnel *t)
{
	return wgw_container(t, struct wgw_core, t);
}

/* ---- tunnel.c ---- */

/* No session is left: starts the linger. A session came: stops it. */
void wgw_core_no_session(struct wgw_core *core);
void wgw_core_has_session(struct wgw_core *core);

/* Sends and receives on another UDP port (-1: the same; 0: any) with another mark (-1: the same).
 * Returns 0 or -errno: then all is as before. */
int wgw_core_move(struct wgw_core *core, int port, int64_t mark);

/* ---- session.c ---- */

/**
 * struct wgw_session - one invocation's session
 * @refs:	The channel, and what sockets.c holds
 * @channel:	NULL: the session is over, its token is unknown; what it wrote is still delivered
 * @unsent:	Counts of wgw_session_unsent_begin
 * @lost_bytes, @flows_failed: what was not deliverable
 * @flushing:	A FLUSH waits for @unsent to be zero
 * @refused:	Addresses whose refusal was said
 * @pid:	Who opened it
 * @keeper:	WGW_CH_KEEPER
 * @leaving:	A keeper that was asked to leave: it keeps nothing up any more
 */
struct wgw_session {
	struct wgw_session *next;
	struct wgw_tunnel *t;
	struct wgw_client *channel;
	unsigned int refs;
	uint8_t token[WGW_TOKEN_BYTES];
	uint8_t label_key[WGW_LABEL_KEY_BYTES];
	struct wgw_preambles preambles;
	struct wgw_policy policy;
	unsigned int unsent;
	uint64_t lost_bytes;
	uint32_t flows_failed;
	bool flushing;
	bool family_said, version_said;
	bool keeper, leaving;
	int32_t pid;
	uint8_t (*refused)[16];
	size_t n_refused;
};

/* Makes a session and adds it to @t's list. Takes @policy over on success. Returns NULL without
 * memory. */
struct wgw_session *wgw_session_new(struct wgw_tunnel *t, struct wgw_client *channel,
				    const uint8_t *token, const uint8_t *label_key,
				    struct wgw_policy *policy);
/* Asks a keeper to leave. */
void wgw_session_dismiss(struct wgw_session *s);
/* The channel closed. */
void wgw_session_over(struct wgw_session *s);
/* The session asked to hear when all is delivered. */
void wgw_session_flush(struct wgw_session *s);
/* One line for every session; kept for the first one when there is none yet. @level as in
 * wgw_session_say. */
void wgw_core_say(struct wgw_core *core, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Tells every session the state, when it differs from what it was told last. */
void wgw_core_tell_state(struct wgw_core *core);
/* Says the kept notes to @s. */
void wgw_core_say_notes(struct wgw_core *core, struct wgw_session *s);

/* ---- client.c ---- */

/* The whole text of the regular file @fd, or NULL and errno (EINVAL: it is none, or too large).
 * malloc'ed, NUL-terminated. */
char *wgw_client_read_text(int fd, size_t *len);
/* Queues @msg, whose code, err and id are set. Dropped when the peer does not read. */
void wgw_client_send(struct wgw_client *c, struct wgw_channel_msg *msg);
/* The same with a descriptor, which stays the caller's. It cannot be queued: when the peer is
 * behind with reading, it does not get this one. */
void wgw_client_send_fd(struct wgw_client *c, struct wgw_channel_msg *msg, int fd);
void wgw_client_tell_state(struct wgw_client *c, const struct wgw_channel_msg *state);

/* ---- questions.c ---- */

/* Ask the session's supervisor. False: the question cannot be put. @done runs once, later; when
 * there is no answer in time, as if the supervisor did not know. */
/* Which of the @n @inodes are held: bit i of @held. */
bool wgw_client_scan(struct wgw_client *c, const uint64_t *inodes, unsigned int n,
		     void (*done)(void *arg, const uint64_t *held), void *arg);
/* Whether @pid belongs to the session's command; @done gets 0, EPERM: it does, or ETIMEDOUT. */
bool wgw_client_whose(struct wgw_client *c, int32_t pid, void (*done)(void *arg, int err),
		      void *arg);
/* What the host's resolver says; @eai: EAI_* or 0. */
bool wgw_client_host_resolve(struct wgw_client *c, const char *name, int family,
			     void (*done)(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n),
			     void *arg);

/* ---- peers.c ---- */

/* Adds the peers of the boot's configuration to the engine. Returns NULL and *err. */
struct wgw_peers *wgw_peers_new(struct wgw_core *core, int *err);
void wgw_peers_free(struct wgw_peers *e);
struct wgw_route_table *wgw_peers_routes(const struct wgw_peers *e);
void wgw_peers_event(struct wgw_peers *e, struct wg_peer *peer, enum wg_event event);
void wgw_peers_send_failed(struct wgw_peers *e, const struct wg_endpoint *to, int err);
/* Starts handshakes with peers that have an endpoint and no session (a bounded number). */
void wgw_peers_wake(struct wgw_peers *e);
/* Fills msg->u.state. */
void wgw_peers_state(const struct wgw_peers *e, struct wgw_channel_msg *msg);

/* ---- report.c ---- */

/* Writes the tunnel's state as src/control/status.h describes it. Returns malloc'ed text, NULL
 * without memory. */
char *wgw_report_state(struct wgw_core *core);
/* The same for what is open: src/control/flows.h. (report_flows.c) */
char *wgw_report_flows(struct wgw_core *core);

/* ---- configure.c ---- */

/* Changes the tunnel by the lines of a set operation. @whole: they are all there is, peers that are
 * not named go. Returns 0 or -errno: -EINVAL and the *line at fault, nothing changed; -EPERM: it
 * would change the interface's key; -EADDRINUSE. */
int wgw_configure(struct wgw_core *core, const char *text, bool whole, unsigned int *line);

/* ---- uapi.c ---- */

/* Serves the cross-platform UAPI on the listener @fd. Returns 0 or -errno. */
int wgw_uapi_init(struct wgw_core *core, int fd);
/* Closes the listener and its connections; nothing to do is allowed. */
void wgw_uapi_free(struct wgw_core *core);

/* ---- control.c ---- */

/* Whether @pid may change the tunnel: wrapped programs may not. @done gets 0, or an errno that
 * means no; it runs inside when there is nobody to ask. */
void wgw_control_authorise(struct wgw_core *core, int32_t pid, void (*done)(void *arg, int err),
			   void *arg);
/* Whether a request changes something. */
bool wgw_control_is_change(const struct wgw_channel_msg *msg);
/* Answers a WGW_CH_CONTROL in @reply. @pid: who asks, a process of our uid. @fds: what came with
 * it, @n of them, not taken over. */
void wgw_control_request(struct wgw_core *core, const struct wgw_channel_msg *msg, int32_t pid,
			 const int *fds, int n, struct wgw_channel_msg *reply);

/* ---- pcap.c ---- */

/* Writes the file's header to @fd, which stays the caller's. NULL and errno. */
struct wgw_pcap *wgw_pcap_new(int fd);
/* Records an inner packet; @iov in @n pieces, @len bytes together. */
void wgw_pcap_packet(struct wgw_pcap *p, const struct iovec *iov, int n, size_t len);
/* Returns 0, or, once, the errno that has ended the recording. */
int wgw_pcap_flush(struct wgw_pcap *p);
void wgw_pcap_free(struct wgw_pcap *p);

/* ---- egress.c ---- */

/* From now on our addresses towards the peers follow the host's routes. Before the sandbox. */
void wgw_egress_follow(struct wgw_core *core);

/* ---- alive.c ---- */

/* Begins to ask the addresses of the configuration's CheckAlive. NULL without memory. */
struct wgw_alive *wgw_alive_new(struct wgw_core *core);
/* The configuration's list or interval has changed. Returns 0 or -ENOMEM. */
int wgw_alive_follow(struct wgw_alive *a);
/* Writes the lines alive= and alive_interval_s= of src/control/status.h. */
void wgw_alive_report(const struct wgw_alive *a, FILE *out);

/* ---- daemon.c ---- */

/* Lets go of everything that came from the user's shell. @boot: a copy whose descriptors may be
 * renumbered */
void wgw_daemon_become(struct wgw_tunnel_boot *boot);

/* ---- sandbox.c ---- */

/* Forbids everything the tunnel process does not need, for good: new privileges, core files,
 * tracing, files, programs, system calls. @say takes a warning for each part that the kernel does
 * not offer. Returns 0, or -errno when a part that always exists failed. */
int wgw_sandbox_enter(void (*say)(void *ctx, const char *warning), void *ctx);

#endif
