/* SPDX-License-Identifier: MIT */
/* outer.h - the UDP sockets towards the peers: batches of datagrams out and in */
#ifndef SRC_TUNNEL_OUTER_H
#define SRC_TUNNEL_OUTER_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/loop.h"
#include "wg/wg.h"

struct wgw_outer;

/**
 * struct wgw_outer_ops - what the owner is told
 * @received:	@len bytes from @from, datagrams of @stride bytes each (the last maybe shorter).
 *		@buf may be changed during the call. @tos: outer traffic class
 * @failed:	Sending to @to failed with errno @err; the datagrams were dropped. Told for every
 *		batch: the owner limits what it says. Called from within wgw_outer_transmit.
 */
struct wgw_outer_ops {
	void (*received)(void *ctx, const struct wg_endpoint *from, uint8_t *buf, size_t len,
			 size_t stride, uint8_t tos);
	void (*failed)(void *ctx, const struct wg_endpoint *to, int err);
};

/**
 * struct wgw_outer_stats - what happened on the sockets
 * @rx_calls, @tx_calls: system calls that moved datagrams
 * @rx_datagrams, @tx_datagrams: datagrams moved; @rx_bytes: their bytes
 * @tx_dropped:	Not sent: refused by the kernel, or the backlog was full
 * @gso_refused: Batches that were sent again unsegmented
 */
struct wgw_outer_stats {
	uint64_t rx_calls, rx_datagrams, rx_bytes, tx_calls, tx_datagrams, tx_dropped, gso_refused;
};

/* Opens an IPv4 and an IPv6 socket on one UDP port (host order, 0: any free one) and watches
 * them. A host without one of the families gets the other socket only. @fwmark 0: none. Returns
 * NULL and *err, an errno. *warning is set to a constant sentence when something optional failed,
 * else to NULL. @ops and @ctx must outlive it. */
struct wgw_outer *wgw_outer_new(struct wgw_loop *loop, uint16_t port, uint32_t fwmark,
				const struct wgw_outer_ops *ops, void *ctx, int *err,
				const char **warning);
void wgw_outer_free(struct wgw_outer *outer);

/* As wg_ops.transmit. Never blocks: what the kernel has no room for is kept (bounded) and sent when
 * it has. */
void wgw_outer_transmit(struct wgw_outer *outer, const struct wg_endpoint *to, const uint8_t *buf,
			size_t stride, size_t count, size_t last, uint8_t tos);

/* Gives the memory of receive buffers back that the last bursts have used. */
void wgw_outer_trim(struct wgw_outer *outer);

uint16_t wgw_outer_port(const struct wgw_outer *outer);
void wgw_outer_stats(const struct wgw_outer *outer, struct wgw_outer_stats *out);

#endif
