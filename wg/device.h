/* SPDX-License-Identifier: MIT */
/*
 * device.h - what the parts of the engine share
 */
#ifndef WG_DEVICE_H
#define WG_DEVICE_H

#include "wg/aead.h"
#include "wg/allowedips.h"
#include "wg/cookie.h"
#include "wg/index.h"
#include "wg/messages.h"
#include "wg/ratelimit.h"
#include "wg/retries.h"
#include "wg/wg.h"

enum {
	WG_TX_PACKETS_MAX = 256,       /* committed and not yet sealed */
	WG_TX_ARENA_BYTES = 64 * 1024, /* they lie in here, back to back: one wg_ops.transmit */
	WG_RX_BATCH_MAX = 64,	       /* opened in one call of the AEAD provider */
	WG_SEGMENTS_MAX = 64,	       /* datagrams in one wg_ops.transmit, as UDP_SEGMENT has it */
	WG_SEGMENTS_BYTES_MAX = 65507, /* bytes in one wg_ops.transmit, likewise */
	WG_HANDSHAKES_QUEUED_MAX = 512, /* received and not yet worked on; more are dropped */
	WG_HANDSHAKES_LOAD = WG_HANDSHAKES_QUEUED_MAX / 8, /* from here on we are under load */
	WG_HANDSHAKES_PER_TURN = 8, /* worked on in one wg_device_flush or wg_device_tick */
	/* Under load, in all */
	WG_COOKIES_PER_S = 2000, /* replies */
	WG_COOKIES_BURST = 256,	 /* of these at once */
	/* so many in the queue leave room for those who are worth more than a cookie */
	WG_HANDSHAKES_UNKNOWN_MAX = WG_HANDSHAKES_LOAD + WG_COOKIES_BURST,
	WG_COOKIE_CHECKS_PER_S = 10000, /* looks at mac2 */
	WG_COOKIE_CHECKS_BURST = 512,
	WG_RECOGNISED_PER_S = 2000, /* handshakes without a cookie of who has tried before */
	WG_RECOGNISED_BURST = 64,
};

/**
 * struct wg_tx_packet - a packet in the arena
 * @peer:	Where it goes; NULL: the peer was removed
 * @offset:	Of the datagram in the arena
 * @padded:	Length of the text with padding; the datagram has WG_DATA_OVERHEAD_BYTES more
 * @len:	Length of the inner packet, 0: keepalive
 * @tos:	Outer traffic class
 */
struct wg_tx_packet {
	struct wg_peer *peer;
	size_t offset, padded, len;
	uint8_t tos;
};

/** struct wg_tx - packets that were committed. Datagrams follow each other without gaps. */
struct wg_tx {
	uint8_t *arena;
	size_t used;
	size_t count;
	struct wg_tx_packet packets[WG_TX_PACKETS_MAX];
	struct wg_aead_job jobs[WG_TX_PACKETS_MAX];
};

/** struct wg_rx - transport messages of one session, about to be opened together */
struct wg_rx {
	struct wg_keypair *keypair;
	struct wg_peer *peer;
	size_t count;
	struct wg_aead_job jobs[WG_RX_BATCH_MAX];
};

/**
 * struct wg_queued_handshake - an initiation or response whose mac1 is right
 * @is_proven:	mac2 was right when it came
 * @is_recognised: Its source has tried before, and it was taken for that (see retries.h)
 */
struct wg_queued_handshake {
	struct wg_endpoint from;
	bool is_proven, is_recognised;
	size_t len;
	uint8_t message[WG_HANDSHAKE_BYTES_MAX];
};

/** struct wg_handshake_queue - ring */
struct wg_handshake_queue {
	struct wg_queued_handshake *ring;
	size_t first, count;
};

/**
 * struct wg_device - the engine
 * @now:		wg_ops.now at the beginning of the present call, ns
 * @next_deadline:	Lower bound of what wg_device_tick has to do
 * @cookies, @cookie_checks, @recognised: What may be spent under load
 * @loaded_until:	Handshakes need a cookie until then, ns
 * @collect_at:		When idle sources are forgotten, ns; UINT64_MAX: none are known
 * @mtu:		Largest inner packet
 */
struct wg_device {
	const struct wg_ops *ops;
	void *ops_ctx;
	uint64_t now;
	uint64_t next_deadline;
	uint8_t private_key[WG_PUBLIC_KEY_BYTES];
	uint8_t public_key[WG_PUBLIC_KEY_BYTES];
	size_t mtu;
	struct wg_peer *peers;
	struct wg_allowedips allowed_ips;
	struct wg_index_table indices;
	struct wg_cookie_checker cookie_checker;
	struct wg_ratelimit ratelimit;
	struct wg_retries retries;
	struct wg_budget cookies, cookie_checks, recognised;
	uint64_t loaded_until;
	uint64_t collect_at;
	struct wg_handshake_queue handshakes;
	struct wg_device_stats stats;
	struct wg_aead aead;
	struct wg_tx tx;
	struct wg_rx rx;
};

/* The time of the present call, ns. */
static inline uint64_t wg_device_now(const struct wg_device *dev)
{
	return dev->now;
}

/* Every function that the embedder calls, and that depends on time, begins with this. */
static inline void wg_device_refresh_now(struct wg_device *dev)
{
	dev->now = dev->ops->now(dev->ops_ctx);
}

/* Works on a few of the handshake messages that were received (receive.c). */
void wg_device_work_handshakes(struct wg_device *dev);

/* wg_device_tick has something to do at @when. */
static inline void wg_device_wake_at(struct wg_device *dev, uint64_t when)
{
	if (when < dev->next_deadline)
		dev->next_deadline = when;
}

#endif
