/* SPDX-License-Identifier: MIT */
/*
 * wait.c - waits for the first handshake, and says what may be wrong when there is none
 *
 * WireGuard is silent towards strangers: a wrong key looks like a dead host. What can be told
 * apart is whether anything comes back at all, be it from a router.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "src/base/loop.h"
#include "src/config/values.h"
#include "src/session/channel.h"
#include "src/session/launch.h"
#include "src/session/say.h"

enum { PROGRESS_MS = 1000, WHO_BYTES = 512 };

/** first_peer() - number of the first one with an endpoint, n_peers: none */
static size_t first_peer(const struct wgw_config *config)
{
	size_t i = 0;

	while (i < config->n_peers && !config->peers[i].endpoint_host)
		i++;
	return i;
}

/** describe_peers() - "HOST:PORT" of the first peer with an endpoint, and whether there are more */
static void describe_peers(const struct wgw_config *config, char *text, size_t size)
{
	size_t i = first_peer(config), n = 0;
	const struct wgw_peer_config *first = &config->peers[i];

	if (i == config->n_peers) {
		snprintf(text, size, "the peer");
		return;
	}
	for (; i < config->n_peers; i++)
		n += config->peers[i].endpoint_host != NULL;
	snprintf(text, size, strchr(first->endpoint_host, ':') ? "%s[%s]:%u" : "%s%s:%u",
		 n > 1 ? "any peer, the first being " : "", first->endpoint_host,
		 first->endpoint_port);
}

/** first_trouble() - wgw_endpoint_trouble of the first peer with an endpoint */
static int first_trouble(const struct wgw_launch *l)
{
	size_t i = first_peer(l->config);
	struct wgw_endpoints found = {NULL, NULL};
	int err = 0;

	if (i < l->config->n_peers &&
	    wgw_endpoints_resolve_one(l->config, i, l->options->family, &found) == 0)
		err = wgw_endpoint_trouble(&found.at[0][0]);
	wgw_endpoints_free(&found);
	return err;
}

static void diagnose(const struct wgw_launch *l, const struct wgw_channel_msg *state)
{
	const bool heard = state->u.state.datagrams_received > 0;
	int trouble = heard ? 0 : first_trouble(l);
	char key[WGW_KEY_TEXT_LEN + 1], who[WHO_BYTES];

	wgw_key_text(l->config->public_key, key);
	describe_peers(l->config, who, sizeof(who));
	if (heard)
		wgw_say(WGW_SAY_ERROR,
			"%s: no handshake with %s in %g s, though something answers there. Likely: "
			"PublicKey or PresharedKey is not that peer's, or the clock of this host "
			"is behind an earlier use of this key. Our public key is %s",
			l->config->source, who, l->options->wait_ms / 1000.0, key);
	else if (trouble == ECONNREFUSED)
		wgw_say(WGW_SAY_ERROR,
			"%s: no answer from %s to our handshake in %g s: the host there says that "
			"nothing listens at this UDP port. Likely: wrong port, or the peer's "
			"WireGuard is down",
			l->config->source, who, l->options->wait_ms / 1000.0);
	else if (trouble)
		wgw_say(WGW_SAY_ERROR,
			"%s: no answer from %s to our handshake in %g s: this host or a router on "
			"the way says: %s. Likely: wrong address, or a route or firewall there",
			l->config->source, who, l->options->wait_ms / 1000.0, strerror(trouble));
	else
		wgw_say(WGW_SAY_ERROR,
			"%s: no answer from %s to our handshake in %g s. Likely: wrong address or "
			"port; UDP is filtered on the way; the peer is down; PublicKey is not its "
			"key; the clock of this host is behind an earlier use of this key, by "
			"another WireGuard program perhaps (some run 27 s ahead); or the peer does "
			"not know our public key %s",
			l->config->source, who, l->options->wait_ms / 1000.0, key);
}

/** say_up() - the tunnel's state, for -v */
static void say_up(const struct wgw_launch *l, const struct wgw_channel_msg *state)
{
	char who[WHO_BYTES];

	describe_peers(l->config, who, sizeof(who));
	wgw_say(WGW_SAY_INFO, "%s: the tunnel is up: %u of %u peers have a session, %s",
		l->config->source, state->u.state.peers_up, state->u.state.peers, who);
}

/** await() - the next message until @deadline; who is waited for is shown meanwhile. Return: as
 * wgw_channel_await */
static int await(const struct wgw_launch *l, int channel, struct wgw_channel_msg *msg,
		 const struct wgw_channel_msg *state, uint64_t deadline)
{
	uint64_t began = deadline - l->options->wait_ms * WGW_MS_NS;
	char who[WHO_BYTES];

	describe_peers(l->config, who, sizeof(who));
	for (;;) {
		uint64_t soon = wgw_clock_ns() + PROGRESS_MS * WGW_MS_NS;
		int err = wgw_channel_await(channel, msg, soon < deadline ? soon : deadline);
		uint64_t now = wgw_clock_ns();

		if (err != -ETIMEDOUT || now >= deadline) {
			wgw_say_progress_end();
			return err;
		}
		wgw_say_progress("waiting for %s: %llu s of %g s, %u handshakes sent, %s", who,
				 (unsigned long long)((now - began) / WGW_SEC_NS),
				 l->options->wait_ms / 1000.0, state->u.state.attempts,
				 state->u.state.datagrams_received ? "something answers"
								   : "no answer");
	}
}

int wgw_wait_peers(const struct wgw_launch *l, int channel)
{
	uint64_t deadline = wgw_clock_ns() + l->options->wait_ms * WGW_MS_NS;
	struct wgw_channel_msg msg, state;

	wgw_channel_prepare(&state, WGW_CH_STATE);
	if (l->options->wait_ms == 0 || l->peers == 0)
		return 0;
	for (;;) {
		int err = await(l, channel, &msg, &state, deadline);

		if (err == -ETIMEDOUT) {
			diagnose(l, &state);
			return -1;
		}
		if (err <= 0) {
			wgw_say(WGW_SAY_ERROR, "the tunnel process ended%s%s", err ? ": " : "",
				err ? strerror(-err) : "");
			return -1;
		}
		if (msg.code == WGW_CH_SAY)
			wgw_channel_print(&msg);
		if (msg.code != WGW_CH_STATE)
			continue;
		state = msg;
		if (state.u.state.peers_up > 0 || state.u.state.peers == 0) {
			say_up(l, &state);
			return 0;
		}
	}
}
