/* SPDX-License-Identifier: MIT */
/* probe.h - a handshake with each peer of a file, without a tunnel: does it answer? */
#ifndef SRC_TUNNEL_PROBE_H
#define SRC_TUNNEL_PROBE_H

#include "src/config/config.h"
#include "src/tunnel/tunnel.h"

/**
 * struct wgw_probe - one peer
 * @at:		Where it may be, tried in turn; @n of them, 0: it is left out
 * @answered:	There was a handshake; with the peer at @from, after @rtt_ns
 * @sent:	Initiations
 * @heard:	Datagrams from one of those addresses, whatever they were
 * @err:	errno of a datagram that could not be sent, 0: none
 */
struct wgw_probe {
	const struct wg_endpoint *at;
	uint8_t n;
	bool answered;
	struct wg_endpoint from;
	uint64_t rtt_ns;
	unsigned int sent, heard;
	int err;
};

/* Tries the peers of @config all at once, for up to @ms. @peers: one for each, with @at and @n set.
 * @port: UDP port to send from, 0: any. @progress is called every second; may be NULL. 0, or -errno
 * when there is no engine or socket (-EADDRINUSE: @port). */
int wgw_probe_peers(const struct wgw_config *config, uint16_t port, uint32_t ms,
		    struct wgw_probe *peers,
		    void (*progress)(void *ctx, uint32_t passed_ms, size_t waiting), void *ctx);

#endif
