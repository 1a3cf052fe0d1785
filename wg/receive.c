/* SPDX-License-Identifier: MIT */
/*
 * receive.c - everything that arrives at the device
 *
 * Transport messages that follow each other in one session are opened together, then looked at one
 * by one: tag, replay, session and timers, and only then what is inside.
 *
 * Initiations and responses cost Diffie-Hellman work, hence they wait in a queue until the data of
 * this turn is done (wg_device_flush, wg_device_tick) and only a few are worked on each turn. When
 * an eighth of the queue is full we are under load, and remain so for a second: then a sender must
 * show with a cookie that it owns its address, and is limited by it.
 *
 * A flood may bring more than can be sent cookies without neglecting data. So under load the queue
 * is entered by those who have a cookie, by those who seem to have tried five seconds ago
 * (retries.h) and, of all others, by as many as get cookies in that time. The second kind is served
 * without a cookie, for its next try would come another five seconds later. What each kind may cost
 * is limited, and where mac1 or mac2 would have to be computed for nothing it is not.
 */
#include <string.h>

#include "wg/bytes.h"
#include "wg/device.h"
#include "wg/packet.h"
#include "wg/peer.h"
#include "wg/send.h"
#include "wg/wire.h"

/* ---- transport data ---- */

/* The initiator of a session renews it in time even if it only receives (section 6.2). */
static void keep_key_fresh(struct wg_peer *peer)
{
	const struct wg_keypair *kp = peer->keypairs.current;
	uint64_t now = wg_device_now(peer->dev);

	if (peer->sent_lastminute_initiation || !kp || !kp->can_send || !kp->is_initiator ||
	    !wg_has_expired(kp->born,
			    WG_REJECT_AFTER_TIME_NS - WG_KEEPALIVE_TIMEOUT_NS - WG_REKEY_TIMEOUT_NS,
			    now))
		return;
	peer->sent_lastminute_initiation = true;
	wg_send_initiation(peer, false);
}

/* A session is about to be replaced: says so if it was young. */
static void note_replacement(struct wg_peer *peer)
{
	const struct wg_keypair *kp = peer->keypairs.current;

	if (kp && kp->can_send &&
	    !wg_has_expired(kp->born, WG_REKEY_AFTER_TIME_NS, wg_device_now(peer->dev)))
		wg_peer_event(peer, WG_EVENT_SESSION_REPLACED);
}

/* Authenticated packets came in session @kp, @n_data of them not empty. */
static void session_received(struct wg_peer *peer, struct wg_keypair *kp,
			     const struct wg_endpoint *from, unsigned int n_data)
{
	wg_peer_roam(peer, from);
	if (kp == peer->keypairs.next) {
		note_replacement(peer);
		wg_keypairs_confirm(&peer->keypairs, kp);
		wg_timers_handshake_complete(peer);
		wg_send_staged(peer);
	}
	keep_key_fresh(peer);
	wg_timers_any_authenticated_received(peer);
	wg_timers_any_authenticated_traversal(peer);
	wg_timers_data_received(peer, n_data);
}

/* Takes what is inside an authenticated message. */
static void deliver(struct wg_peer *peer, uint8_t *packet, size_t len, uint8_t tos)
{
	struct wg_device *dev = peer->dev;
	size_t declared = wg_packet_declared_len(packet, len);
	int family;

	if (!declared) {
		dev->stats.rx_malformed++;
		return;
	}
	family = wg_packet_family(packet, len);
	if (wg_allowedips_find(&dev->allowed_ips, family, wg_packet_source(packet, family)) !=
		    peer &&
	    !(dev->ops->admit && dev->ops->admit(dev->ops_ctx, peer, packet, declared))) {
		dev->stats.rx_source_refused++;
		return;
	}
	wg_packet_decapsulate_ecn(packet, family, tos);
	dev->ops->deliver(dev->ops_ctx, peer, packet, declared);
}

/* Opens the batch and takes what is authentic and new. */
static void open_batch(struct wg_device *dev, const struct wg_endpoint *from, uint8_t tos)
{
	struct wg_rx *rx = &dev->rx;
	struct wg_peer *peer = rx->peer;
	size_t n_good = 0;
	unsigned int n_data = 0;

	if (!rx->count)
		return;
	wg_aead_open(&dev->aead, rx->keypair->receive_key, rx->jobs, rx->count);
	for (size_t i = 0; i < rx->count; i++) {
		struct wg_aead_job *job = &rx->jobs[i];

		if (!job->ok) {
			dev->stats.rx_bad_mac++;
			continue;
		}
		if (!wg_replay_accept(&rx->keypair->replay, job->counter)) {
			dev->stats.rx_replayed++;
			continue;
		}
		rx->keypair->received++;
		peer->rx_bytes += job->len + WG_DATA_OVERHEAD_BYTES;
		n_data += job->len != 0;
		rx->jobs[n_good++] = *job;
	}
	if (n_good)
		session_received(peer, rx->keypair, from, n_data);
	for (size_t i = 0; i < n_good; i++)
		if (rx->jobs[i].len)
			deliver(peer, rx->jobs[i].data, rx->jobs[i].len, tos);
	rx->count = 0;
}

/* Adds a transport message to the batch, after opening one of another session. */
static void receive_data(struct wg_device *dev, const struct wg_endpoint *from, uint8_t *buf,
			 size_t len, uint8_t tos)
{
	const struct wg_message_data *header = (const struct wg_message_data *)buf;
	struct wg_index *index = wg_index_find(dev, wg_get_le32(header->receiver));
	struct wg_rx *rx = &dev->rx;
	struct wg_keypair *kp;

	if (!index || index->kind != WG_INDEX_KEYPAIR) {
		dev->stats.rx_bad_mac++;
		return;
	}
	kp = wg_keypair_of_index(index);
	if (!wg_keypair_may_receive(kp, wg_device_now(dev))) {
		dev->stats.rx_bad_mac++;
		return;
	}
	if (rx->count && (rx->keypair != kp || rx->count == WG_RX_BATCH_MAX))
		open_batch(dev, from, tos); /* drops no session, see wg_keypairs_confirm() */
	rx->keypair = kp;
	rx->peer = index->peer;
	rx->jobs[rx->count++] = (struct wg_aead_job){.data = buf + sizeof(*header),
						     .len = len - WG_DATA_OVERHEAD_BYTES,
						     .counter = wg_get_le64(header->counter)};
}

/* ---- handshake messages ---- */

static void receive_cookie(struct wg_device *dev, const struct wg_message_cookie *reply)
{
	struct wg_index *index = wg_index_find(dev, wg_get_le32(reply->receiver));

	/* Whether the handshake has ended by now does not matter. No timer, no roaming: a cookie
	 * reply says nothing about the session. */
	if (!index || !wg_cookie_consume_reply(&index->peer->cookie, reply, wg_device_now(dev)))
		dev->stats.rx_bad_mac++;
}

static bool is_under_load(struct wg_device *dev)
{
	uint64_t now = wg_device_now(dev);

	if (dev->handshakes.count >= WG_HANDSHAKES_LOAD)
		dev->loaded_until = now + WG_NS_PER_S;
	return now < dev->loaded_until;
}

/* The first collection of sources that became known now */
static void collect_later(struct wg_device *dev)
{
	if (dev->collect_at != UINT64_MAX)
		return;
	dev->collect_at = wg_device_now(dev) + WG_NS_PER_S;
	wg_device_wake_at(dev, dev->collect_at);
}

/* Whether @from, which has tried before, may be served for that. */
static bool may_be_recognised(struct wg_device *dev, const struct wg_endpoint *from)
{
	uint64_t now = wg_device_now(dev);

	return wg_budget_has(&dev->recognised, WG_RECOGNISED_PER_S, WG_RECOGNISED_BURST, now) &&
	       wg_ratelimit_allow(&dev->ratelimit, &from->to.sa, false, now);
}

/* Whether a message may enter the queue under load; its mac1 is looked at only then. */
static bool may_queue(struct wg_device *dev, const struct wg_endpoint *from, const uint8_t *buf,
		      size_t len, bool *is_recognised)
{
	uint64_t now = wg_device_now(dev);

	*is_recognised =
		wg_retries_note(&dev->retries, &from->to.sa, now) && may_be_recognised(dev, from);
	collect_later(dev);
	if (*is_recognised)
		return true;
	if (wg_cookie_has_mac2(buf, len) &&
	    wg_budget_has(&dev->cookie_checks, WG_COOKIE_CHECKS_PER_S, WG_COOKIE_CHECKS_BURST, now))
		return true;
	if (dev->handshakes.count < WG_HANDSHAKES_UNKNOWN_MAX &&
	    wg_budget_has(&dev->cookies, WG_COOKIES_PER_S, WG_COOKIES_BURST, now))
		return true;
	/* What is refused here is load, too. */
	dev->loaded_until = now + WG_NS_PER_S;
	return false;
}

/* Whether a message whose mac1 is right is one of those that the queue is for. */
static bool is_worth_queueing(struct wg_device *dev, const struct wg_endpoint *from,
			      const uint8_t *buf, size_t len, bool is_recognised, bool *is_proven)
{
	uint64_t now = wg_device_now(dev);

	*is_proven = wg_cookie_has_mac2(buf, len) &&
		     wg_budget_take(&dev->cookie_checks, WG_COOKIE_CHECKS_PER_S,
				    WG_COOKIE_CHECKS_BURST, now) &&
		     wg_cookie_check_mac2(dev, buf, len, from);
	if (*is_proven)
		return true;
	if (is_recognised)
		return wg_budget_take(&dev->recognised, WG_RECOGNISED_PER_S, WG_RECOGNISED_BURST,
				      now);
	return dev->handshakes.count < WG_HANDSHAKES_UNKNOWN_MAX &&
	       wg_budget_take(&dev->cookies, WG_COOKIES_PER_S, WG_COOKIES_BURST, now);
}

static void queue_handshake(struct wg_device *dev, const struct wg_endpoint *from,
			    const uint8_t *buf, size_t len)
{
	struct wg_handshake_queue *queue = &dev->handshakes;
	bool under_load = is_under_load(dev), is_recognised = false, is_proven = false;
	struct wg_queued_handshake *item;

	if (under_load && !may_queue(dev, from, buf, len, &is_recognised)) {
		dev->stats.rx_rate_limited++;
		return;
	}
	if (!wg_cookie_check_mac1(&dev->cookie_checker, buf, len)) {
		dev->stats.rx_bad_mac++;
		return;
	}
	if (queue->count == WG_HANDSHAKES_QUEUED_MAX ||
	    (under_load && !is_worth_queueing(dev, from, buf, len, is_recognised, &is_proven))) {
		dev->stats.rx_rate_limited++;
		return;
	}
	item = &queue->ring[(queue->first + queue->count++) % WG_HANDSHAKES_QUEUED_MAX];
	item->from = *from;
	item->is_proven = is_proven;
	item->is_recognised = is_recognised && !is_proven;
	item->len = len;
	memcpy(item->message, buf, len);
	wg_device_wake_at(dev, wg_device_now(dev));
}

/* Whether a handshake message may cost us work now. Else it got a cookie reply, or silence. */
static bool admit(struct wg_device *dev, const struct wg_queued_handshake *item)
{
	const uint8_t *sender = item->message + sizeof(uint32_t); /* the same place in both */

	if (!is_under_load(dev) || item->is_recognised)
		return true;
	if (!item->is_proven && !wg_cookie_check_mac2(dev, item->message, item->len, &item->from)) {
		wg_send_cookie_reply(dev, &item->from, item->message, item->len, sender);
		return false;
	}
	if (!wg_ratelimit_allow(&dev->ratelimit, &item->from.to.sa, true, wg_device_now(dev))) {
		dev->stats.rx_rate_limited++;
		return false;
	}
	collect_later(dev);
	return true;
}

static void authenticated_handshake(struct wg_peer *peer, const struct wg_queued_handshake *item)
{
	peer->rx_bytes += item->len;
	wg_timers_any_authenticated_received(peer);
	wg_timers_any_authenticated_traversal(peer);
	wg_peer_roam(peer, &item->from);
}

static bool take_initiation(struct wg_device *dev, struct wg_queued_handshake *item)
{
	struct wg_peer *peer =
		wg_handshake_consume_initiation(dev, (struct wg_message_initiation *)item->message);

	if (!peer)
		return false;
	authenticated_handshake(peer, item);
	wg_send_response(peer);
	return true;
}

static bool take_response(struct wg_device *dev, struct wg_queued_handshake *item)
{
	struct wg_peer *peer =
		wg_handshake_consume_response(dev, (struct wg_message_response *)item->message);

	if (!peer)
		return false;
	/* Initiations push the limit by that much; a response of ours would have ended the
	 * handshake. */
	peer->handshake_rtt =
		wg_device_now(dev) + WG_REKEY_TIMEOUT_NS - peer->initiation_allowed_at;
	authenticated_handshake(peer, item);
	note_replacement(peer);
	if (!wg_handshake_begin_session(peer))
		return true;
	wg_timers_session_derived(peer);
	wg_timers_handshake_complete(peer);
	/* The responder waits for this before it sends. */
	wg_send_keepalive(peer);
	return true;
}

void wg_device_work_handshakes(struct wg_device *dev)
{
	struct wg_handshake_queue *queue = &dev->handshakes;

	for (int i = 0; i < WG_HANDSHAKES_PER_TURN && queue->count; i++) {
		struct wg_queued_handshake *item = &queue->ring[queue->first];
		bool ok = true;

		if (admit(dev, item)) {
			if (wg_wire_kind(item->message, item->len) == WG_MESSAGE_INITIATION)
				ok = take_initiation(dev, item);
			else
				ok = take_response(dev, item);
		}
		if (!ok)
			dev->stats.rx_bad_mac++;
		queue->first = (queue->first + 1) % WG_HANDSHAKES_QUEUED_MAX;
		queue->count--;
	}
}

/* ---- what the embedder calls ---- */

void wg_device_receive(struct wg_device *dev, const struct wg_endpoint *from, uint8_t *buf,
		       size_t len, size_t stride, uint8_t tos)
{
	wg_device_refresh_now(dev);
	for (size_t n; len; buf += n, len -= n) {
		n = stride && stride < len ? stride : len;
		switch (wg_wire_kind(buf, n)) {
		case WG_MESSAGE_DATA:
			receive_data(dev, from, buf, n, tos);
			break;
		case WG_MESSAGE_INITIATION:
		case WG_MESSAGE_RESPONSE:
			queue_handshake(dev, from, buf, n);
			break;
		case WG_MESSAGE_COOKIE:
			receive_cookie(dev, (const struct wg_message_cookie *)buf);
			break;
		case WG_MESSAGE_INVALID:
			dev->stats.rx_malformed++;
			break;
		}
	}
	open_batch(dev, from, tos);
}
