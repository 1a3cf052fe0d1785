/* SPDX-License-Identifier: MIT */
/*
 * doctor_peers.c - "wgwrap doctor -c CONF": do the peers answer, and if not, where to look
 *
 * WireGuard is silent towards strangers, so most mistakes look like a host that is down. Told apart
 * is what can be: nothing could be sent, the port is closed, a router refuses, something answers but
 * not to this key, silence.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "cmd/doctor.h"
#include "src/base/loop.h"
#include "src/config/values.h"
#include "src/session/launch.h"
#include "src/session/run.h"
#include "src/session/say.h"
#include "src/tunnel/peers.h"
#include "src/tunnel/probe.h"

/** put_peer() - the beginning of a peer's line: what it is called and where it is said to be */
static void put_peer(const struct wgw_peer_config *peer)
{
	char key[WGW_KEY_TEXT_LEN + 1];

	printf("%-14s%s", "peer", peer->name ? peer->name : wgw_key_text(peer->public_key, key));
	if (peer->endpoint_host)
		printf(strchr(peer->endpoint_host, ':') ? " at [%s]:%u" : " at %s:%u",
		       peer->endpoint_host, peer->endpoint_port);
}

static void tell(const char *text)
{
	printf("%-14s%s\n", "", text);
}

/** tell_silence() - what is left when nothing comes back */
static void tell_silence(const struct wgw_config *config)
{
	char key[WGW_KEY_TEXT_LEN + 1], now[32] = "";
	time_t at = time(NULL);
	struct tm tm;

	if (gmtime_r(&at, &tm))
		strftime(now, sizeof(now), "%Y-%m-%d %H:%M:%S UTC", &tm);
	tell("nothing comes back, as from a host that is down. Look at");
	tell("- Endpoint: is it the address and the port that the peer listens on?");
	tell("- firewalls and networks on the way: does UDP pass, there and back?");
	tell("- PublicKey: is it the peer's? It does not answer to another");
	printf("%-14s- the peer: does it know our public key %s?\n", "",
	       wgw_key_text(config->public_key, key));
	printf("%-14s- the clock: is it %s? Behind an earlier use of this key it is ignored\n", "",
	       now);
}

/** tell_trouble() - what wgw_endpoint_trouble found where nothing answers */
static void tell_trouble(const struct wgw_config *config, int err)
{
	if (err == ECONNREFUSED) {
		tell("the host there says that nothing listens at this UDP port. Look at");
		tell("- Endpoint: is the port the peer's ListenPort?");
		tell("- the peer: is its WireGuard up?");
	} else if (err) {
		printf("%-14sthis host or a router on the way says: %s. Look at\n", "",
		       strerror(err));
		tell("- Endpoint: is it the address of the peer?");
		tell("- routes and firewalls on the way");
	} else {
		tell_silence(config);
	}
}

/** tell_outcome() - Return: whether the peer answered */
static bool tell_outcome(const struct wgw_config *config, const struct wgw_peer_config *peer,
			 const struct wgw_probe *p, uint32_t wait_ms)
{
	char where[WGW_ADDR_TEXT_BYTES];

	put_peer(peer);
	if (p->answered) {
		printf(": answers, in %.1f ms (%s)\n", (double)p->rtt_ns / WGW_MS_NS,
		       wgw_endpoint_text(&p->from, where));
		return true;
	}
	printf(": no handshake in %g s, %u tried\n", wait_ms / 1000.0, p->sent);
	if (p->heard > 0) {
		tell("something answers there, but not what fits these keys. Look at");
		tell("- PresharedKey: is it the same at both ends?");
		tell("- PublicKey: is it that of the peer at this endpoint?");
	} else if (p->err) {
		printf("%-14snothing could be sent there: %s. Look at this host's network and "
		       "firewall\n",
		       "", strerror(p->err));
	} else {
		tell_trouble(config, wgw_endpoint_trouble(&p->at[0]));
	}
	return false;
}

/* ---- trying ---- */

static void progress(void *ctx, uint32_t passed_ms, size_t waiting)
{
	const uint32_t *wait_ms = ctx;

	wgw_say_progress("waiting for %zu peer%s: %u s of %g s", waiting, waiting == 1 ? "" : "s",
			 passed_ms / 1000, *wait_ms / 1000.0);
}

/** tell_all() - Return: exit status */
static int tell_all(const struct wgw_launch *l, const struct wgw_probe *probes)
{
	const struct wgw_config *config = l->config;
	int status = WGW_EXIT_OK;

	for (size_t i = 0; i < config->n_peers; i++) {
		const struct wgw_peer_config *peer = &config->peers[i];

		if (probes[i].n > 0) {
			if (!tell_outcome(config, peer, &probes[i], l->options->wait_ms))
				status = WGW_EXIT_NO_HANDSHAKE;
			continue;
		}
		put_peer(peer);
		if (!peer->endpoint_host) {
			printf(": not tried: it has no Endpoint, so it has to begin\n");
		} else {
			printf(": not tried: its name has no address\n");
			status = WGW_EXIT_NO_HANDSHAKE;
		}
	}
	return status;
}

/** try_all() - Return: exit status */
static int try_all(const struct wgw_launch *l)
{
	const struct wgw_config *config = l->config;
	struct wgw_endpoints *endpoints = calloc(config->n_peers, sizeof(*endpoints));
	struct wgw_probe *probes = calloc(config->n_peers, sizeof(*probes));
	uint32_t wait_ms = l->options->wait_ms;
	int err = -ENOMEM, status = WGW_EXIT_RUNTIME;

	if (endpoints && probes) {
		for (size_t i = 0; i < config->n_peers; i++) {
			if (wgw_endpoints_resolve_one(config, i, l->options->family,
						      &endpoints[i]) == 0) {
				probes[i].at = endpoints[i].at[0];
				probes[i].n = endpoints[i].n[0];
			}
		}
		err = wgw_probe_peers(config, l->listen_port, wait_ms, probes, progress, &wait_ms);
		wgw_say_progress_end();
	}
	if (!err)
		status = tell_all(l, probes);
	else if (err == -EADDRINUSE)
		cmd_say("UDP port %u (ListenPort) is in use: does another WireGuard interface run "
			"with this file?",
			l->listen_port);
	else
		cmd_say("the peers cannot be tried: %s", strerror(-err));
	for (size_t i = 0; endpoints && i < config->n_peers; i++)
		wgw_endpoints_free(&endpoints[i]);
	free(endpoints);
	free(probes);
	return status;
}

int doctor_peers(const struct wgw_run_options *options, struct wgw_config *config)
{
	struct wgw_launch l;
	int status = WGW_EXIT_OK;

	if (options->wait_ms == 0 || config->n_peers == 0)
		return WGW_EXIT_OK;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (wgw_launch_init(&l, options, config))
		status = WGW_EXIT_RUNTIME;
	else if (wgw_launch_is_taken(&l, l.name))
		printf("%-14snot tried: a tunnel with this key runs, and would lose its peers to "
		       "a second client; \"wgwrap show\" tells how they are\n",
		       "peers");
	else
		status = try_all(&l);
	wgw_launch_free(&l);
	return status;
}
