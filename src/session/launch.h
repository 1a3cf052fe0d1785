/* SPDX-License-Identifier: MIT */
/* launch.h - the tunnel process: what it is told, how it is found or started */
#ifndef SRC_SESSION_LAUNCH_H
#define SRC_SESSION_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "src/capture/capture.h"
#include "src/config/config.h"
#include "src/session/run.h"
#include "src/session/rundir.h"
#include "src/tunnel/tunnel.h"

/* ---- launch.c ---- */

/**
 * struct wgw_launch - what is needed to reach or start the tunnel process, at the first time and
 *	again when it has died
 * @prefix:	Path prefix of the rendezvous; "": abstract names only, tunnel not shared
 * @name:	Identifies user, network namespace, enclosing session and key
 * @running:	Of a reload: the name until then, when the key is another; "": @name
 * @abstract:	Random part of the abstract names; @has_abstract: chosen already
 * @capture:	How the command is captured
 * @tunnel:	Process id of the tunnel process reached; @booted: it was started for this
 * @again:	Not the first time
 * @open_flags:	WGW_CH_*, besides what @options ask for
 * @busy:	NULL, or what to do when a tunnel with other settings runs: 0: try again, -1: an
 *		error was said
 */
struct wgw_launch {
	const struct wgw_run_options *options;
	struct wgw_config *config;
	struct wgw_rundir dir;
	char prefix[WGW_PATH_PREFIX_MAX_BYTES];
	char name[WGW_TUNNEL_NAME_BYTES];
	char running[WGW_TUNNEL_NAME_BYTES];
	uint8_t abstract[WGW_ABSTRACT_BYTES];
	bool has_abstract;
	bool again, booted;
	uint8_t token[WGW_TOKEN_BYTES];
	uint8_t label_key[WGW_LABEL_KEY_BYTES];
	uint16_t mtu, listen_port;
	char *settings;
	char *policy;
	struct wgw_capture_probe capture;
	pid_t tunnel;
	uint32_t peers;
	uint32_t open_flags;
	int (*busy)(struct wgw_launch *l);
};

/* Fills @l: identity, token, texts. Returns 0, or -1 after an error was said. */
int wgw_launch_init(struct wgw_launch *l, const struct wgw_run_options *options,
		    struct wgw_config *config);
/* Finds or starts the tunnel process and opens a channel. Returns it, or -1 after an error. */
int wgw_launch_channel(struct wgw_launch *l);
void wgw_launch_free(struct wgw_launch *l);
/* The running tunnel was changed to what @fresh says: so is what starts it again. @l lets go of its
 * configuration, which is the caller's, and takes that of @fresh. */
void wgw_launch_follow(struct wgw_launch *l, struct wgw_launch *fresh);
/* Whether a tunnel process answers by @name. */
bool wgw_launch_is_taken(const struct wgw_launch *l, const char *name);
/* The running tunnel was given the private key of @public_key: it gets the name that goes with it,
 * unless it has that by now. */
void wgw_launch_rename(struct wgw_launch *l, const uint8_t public_key[WG_KEY_BYTES]);

/* boot.c: makes the listeners and starts a tunnel process; returns when it is up. The caller holds
 * the lock. 0, or -1 after an error was said. */
int wgw_boot_tunnel(struct wgw_launch *l);

/* ---- wait.c ---- */

/* Waits for a handshake, as --wait says. 0, or -1 after a diagnosis was said. */
int wgw_wait_peers(const struct wgw_launch *l, int channel);

/* ---- what it is told: endpoint.c, policy.c ---- */

/**
 * struct wgw_endpoints - addresses of all peers, as struct wgw_tunnel_boot wants them
 */
struct wgw_endpoints {
	struct wg_endpoint (*at)[WGW_ENDPOINTS_MAX];
	uint8_t *n;
};

/* Asks the host's resolver. @family restricts. Returns 0, or -1 after an error that names the
 * host. wgw_endpoints_free accepts what either leaves. */
int wgw_endpoints_resolve(const struct wgw_config *config, int family, struct wgw_endpoints *out);
void wgw_endpoints_free(struct wgw_endpoints *e);
/* The same for the peer with the number @i alone, which is the first in @out. */
int wgw_endpoints_resolve_one(const struct wgw_config *config, size_t i, int family,
			      struct wgw_endpoints *out);
/* What this host and ICMP tell within a moment of a datagram to @to. 0: nothing; ECONNREFUSED: no one
 * listens at the port; else an errno of this host or of a router on the way. */
int wgw_endpoint_trouble(const struct wg_endpoint *to);

/* The policy lines of channel.h, malloc'ed; NULL without memory. */
char *wgw_policy_text(const struct wgw_run_options *options, const struct wgw_config *config);

/* options.c: the options that are the tunnel's, as lines of the policy text. */
void wgw_options_put(FILE *out, const struct wgw_run_options *o);
/* Takes @n of them, without "option ", into @o, which borrows the texts but endpoint_host. 0 or
 * -errno. */
int wgw_options_take(char *const *lines, size_t n, struct wgw_run_options *o);
/* Whether @o has these and no others. */
bool wgw_options_are(char *const *lines, size_t n, const struct wgw_run_options *o);

/* routes.c: gives destinations to peers as --exit-node and --route ask. 0, or -1 after an error
 * that names the option and the peer was said. */
int wgw_routes_apply(const struct wgw_run_options *options, struct wgw_config *config);

#endif
