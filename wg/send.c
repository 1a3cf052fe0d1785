/* SPDX-License-Identifier: MIT */
/*
 * send.c - everything that leaves the device
 *
 * Inner packets are written straight to the place in the arena where they are sealed and sent
 * from. Datagrams follow each other without gaps there, so that a row of equal lengths, the last
 * one maybe shorter, is already what UDP_SEGMENT wants. A packet is copied only when it has to wait
 * for a session.
 *
 * As long as a peer has staged packets, committed ones go behind them (invariant STAGED). Nonces
 * are handed out here, one after the other, before anything is sealed.
 */
#include "wg/send.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wg/bytes.h"
#include "wg/device.h"
#include "wg/packet.h"
#include "wg/peer.h"
#include "wg/wire.h"

/* ---- handshake messages ---- */

static void transmit_one(struct wg_peer *peer, const void *buf, size_t len, uint8_t tos)
{
	struct wg_device *dev = peer->dev;

	peer->tx_bytes += len;
	dev->ops->transmit(dev->ops_ctx, &peer->endpoint, buf, len, 1, len, tos);
}

/* The last initiation got no answer. Our own address may be what no longer works; the peer's is
 * for the embedder to look up anew. */
static void note_silence(struct wg_peer *peer)
{
	wg_peer_forget_source(peer);
	wg_peer_event(peer, WG_EVENT_HANDSHAKE_RETRY);
}

void wg_send_initiation(struct wg_peer *peer, bool is_retry)
{
	struct wg_device *dev = peer->dev;
	uint64_t now = wg_device_now(dev);
	struct wg_message_initiation msg;

	if (!is_retry)
		peer->timers.attempts = 0;
	if (now < peer->initiation_allowed_at)
		return;
	/* Packets that go on coming may be faster than the retransmission timer. */
	if (is_retry || wg_timers_awaits_response(peer))
		note_silence(peer);
	if (!wg_peer_has_endpoint(peer)) {
		dev->stats.tx_no_endpoint++;
		return;
	}
	peer->initiation_allowed_at = now + WG_REKEY_TIMEOUT_NS;
	if (!wg_handshake_create_initiation(peer, &msg))
		return;
	wg_cookie_add_macs(&peer->cookie, &msg, sizeof(msg), now);
	peer->initiations_sent++;
	wg_timers_any_authenticated_traversal(peer);
	wg_timers_any_authenticated_sent(peer);
	transmit_one(peer, &msg, sizeof(msg), WG_HANDSHAKE_TOS);
	wg_timers_handshake_initiated(peer);
}

void wg_send_response(struct wg_peer *peer)
{
	uint64_t now = wg_device_now(peer->dev);
	struct wg_message_response msg;

	peer->initiation_allowed_at = now + WG_REKEY_TIMEOUT_NS;
	if (!wg_handshake_create_response(peer, &msg))
		return;
	wg_cookie_add_macs(&peer->cookie, &msg, sizeof(msg), now);
	if (!wg_handshake_begin_session(peer))
		return;
	wg_timers_session_derived(peer);
	wg_timers_any_authenticated_traversal(peer);
	wg_timers_any_authenticated_sent(peer);
	transmit_one(peer, &msg, sizeof(msg), WG_HANDSHAKE_TOS);
}

void wg_send_cookie_reply(struct wg_device *dev, const struct wg_endpoint *to, const void *message,
			  size_t len, const uint8_t sender[4])
{
	struct wg_message_cookie reply;

	wg_cookie_create_reply(dev, &reply, message, len, sender, to);
	dev->ops->transmit(dev->ops_ctx, to, (const uint8_t *)&reply, sizeof(reply), 1,
			   sizeof(reply), 0);
}

/* ---- the arena ---- */

static size_t datagram_len(const struct wg_tx_packet *packet)
{
	return packet->padded + WG_DATA_OVERHEAD_BYTES;
}

static uint8_t *datagram_of(struct wg_tx *tx, const struct wg_tx_packet *packet)
{
	return tx->arena + packet->offset;
}

static uint8_t *text_of(struct wg_tx *tx, const struct wg_tx_packet *packet)
{
	return datagram_of(tx, packet) + sizeof(struct wg_message_data);
}

static bool has_room(const struct wg_device *dev, size_t len)
{
	return dev->tx.count < WG_TX_PACKETS_MAX &&
	       dev->tx.used + wg_packet_padded(len, dev->mtu) + WG_DATA_OVERHEAD_BYTES <=
		       WG_TX_ARENA_BYTES;
}

/* Where the text of the next packet goes */
static uint8_t *next_text(struct wg_device *dev)
{
	return dev->tx.arena + dev->tx.used + sizeof(struct wg_message_data);
}

/* Takes the @len bytes at next_text() as a packet for @peer. */
static void append(struct wg_device *dev, struct wg_peer *peer, size_t len, uint8_t tos)
{
	struct wg_tx *tx = &dev->tx;
	struct wg_tx_packet *packet = &tx->packets[tx->count++];

	*packet = (struct wg_tx_packet){.peer = peer,
					.offset = tx->used,
					.padded = wg_packet_padded(len, dev->mtu),
					.len = len,
					.tos = tos};
	memset(text_of(tx, packet) + len, 0, packet->padded - len);
	tx->used += datagram_len(packet);
}

/* Writes the headers, hands out the nonces and encrypts. */
static void seal(struct wg_device *dev, struct wg_keypair *kp, size_t first, size_t count)
{
	struct wg_tx *tx = &dev->tx;

	for (size_t i = 0; i < count; i++) {
		const struct wg_tx_packet *packet = &tx->packets[first + i];
		struct wg_message_data *header = (struct wg_message_data *)datagram_of(tx, packet);

		tx->jobs[i] = (struct wg_aead_job){.data = text_of(tx, packet),
						   .len = packet->padded,
						   .counter = kp->send_counter++};
		wg_wire_set_type(header->type, WG_MESSAGE_DATA);
		wg_put_le32(header->receiver, kp->remote_index);
		wg_put_le64(header->counter, tx->jobs[i].counter);
	}
	wg_aead_seal(&dev->aead, kp->send_key, tx->jobs, count);
}

/* How many of the packets from @first on fit one wg_ops.transmit */
static size_t segments(const struct wg_tx *tx, size_t first, size_t count)
{
	const struct wg_tx_packet *packet = &tx->packets[first];
	size_t stride = datagram_len(packet), total = stride, n = 1;

	while (n < count && n < WG_SEGMENTS_MAX) {
		size_t len = datagram_len(packet + n);

		if (len > stride || total + len > WG_SEGMENTS_BYTES_MAX ||
		    packet[n].tos != packet->tos)
			break;
		total += len;
		n++;
		if (len < stride)
			break;
	}
	return n;
}

static void transmit(struct wg_peer *peer, size_t first, size_t count)
{
	struct wg_device *dev = peer->dev;
	struct wg_tx *tx = &dev->tx;

	while (count) {
		size_t n = segments(tx, first, count);
		const struct wg_tx_packet *packet = &tx->packets[first];
		const struct wg_tx_packet *last = packet + n - 1;

		peer->tx_bytes += last->offset + datagram_len(last) - packet->offset;
		dev->ops->transmit(dev->ops_ctx, &peer->endpoint, datagram_of(tx, packet),
				   datagram_len(packet), n, datagram_len(last), packet->tos);
		first += n;
		count -= n;
	}
}

/* The initiator renews a session by age, either side by use (section 6.2). */
static void keep_key_fresh(struct wg_peer *peer, const struct wg_keypair *kp)
{
	if (kp->send_counter > WG_REKEY_AFTER_MESSAGES ||
	    (kp->is_initiator &&
	     wg_has_expired(kp->born, WG_REKEY_AFTER_TIME_NS, wg_device_now(peer->dev))))
		wg_send_initiation(peer, false);
}

static void seal_and_transmit(struct wg_peer *peer, struct wg_keypair *kp, size_t first,
			      size_t count)
{
	bool has_data = false;

	seal(peer->dev, kp, first, count);
	for (size_t i = 0; i < count; i++)
		has_data |= peer->dev->tx.packets[first + i].len != 0;
	wg_timers_any_authenticated_traversal(peer);
	wg_timers_any_authenticated_sent(peer);
	transmit(peer, first, count);
	if (has_data)
		wg_timers_data_sent(peer);
	keep_key_fresh(peer, kp);
}

/* How many of @count packets the current session may carry now */
static size_t sendable(const struct wg_peer *peer, size_t count)
{
	const struct wg_keypair *kp = peer->keypairs.current;

	if (!wg_keypair_may_send(kp, wg_device_now(peer->dev)))
		return 0;
	if (count > WG_REJECT_AFTER_MESSAGES - kp->send_counter)
		count = (size_t)(WG_REJECT_AFTER_MESSAGES - kp->send_counter);
	return count;
}

/* A row of committed packets for one peer */
static void send_row(struct wg_peer *peer, size_t first, size_t count)
{
	struct wg_device *dev = peer->dev;
	size_t n;

	if (!wg_peer_has_endpoint(peer)) {
		dev->stats.tx_no_endpoint += count;
		return;
	}
	n = peer->staged ? 0 : sendable(peer, count);
	if (n)
		seal_and_transmit(peer, peer->keypairs.current, first, n);
	for (size_t i = first + n; i < first + count; i++) {
		const struct wg_tx_packet *packet = &dev->tx.packets[i];

		wg_peer_stage(peer, text_of(&dev->tx, packet), packet->len, packet->tos);
	}
	if (n < count)
		wg_send_initiation(peer, false);
}

void wg_send_committed(struct wg_device *dev)
{
	struct wg_tx *tx = &dev->tx;

	for (size_t first = 0, n; first < tx->count; first += n) {
		struct wg_peer *peer = tx->packets[first].peer;

		for (n = 1; first + n < tx->count && tx->packets[first + n].peer == peer; n++)
			;
		if (peer)
			send_row(peer, first, n);
	}
	tx->used = 0;
	tx->count = 0;
}

void wg_send_forget_peer(struct wg_device *dev, const struct wg_peer *peer)
{
	for (size_t i = 0; i < dev->tx.count; i++)
		if (dev->tx.packets[i].peer == peer)
			dev->tx.packets[i].peer = NULL;
}

/* ---- staged packets ---- */

/* Moves staged packets to the arena, as many as fit and the session may carry. */
static size_t unstage_some(struct wg_peer *peer)
{
	struct wg_device *dev = peer->dev;
	size_t limit = sendable(peer, peer->n_staged);

	while (dev->tx.count < limit && has_room(dev, peer->staged->len)) {
		struct wg_staged *staged = wg_peer_unstage(peer);

		memcpy(next_text(dev), staged->packet, staged->len);
		append(dev, peer, staged->len, staged->tos);
		free(staged);
	}
	return dev->tx.count;
}

void wg_send_staged(struct wg_peer *peer)
{
	struct wg_device *dev = peer->dev;
	size_t n;

	/* Empties the arena; what is in there for this peer is younger and goes behind (STAGED). */
	wg_send_committed(dev);
	if (!wg_peer_has_endpoint(peer))
		return;
	while (peer->staged && (n = unstage_some(peer)) > 0) {
		seal_and_transmit(peer, peer->keypairs.current, 0, n);
		dev->tx.used = 0;
		dev->tx.count = 0;
	}
	if (peer->staged)
		wg_send_initiation(peer, false);
}

void wg_send_keepalive(struct wg_peer *peer)
{
	if (!wg_peer_has_endpoint(peer))
		return;
	if (!peer->staged)
		wg_peer_stage(peer, NULL, 0, 0);
	wg_send_staged(peer);
}

/* ---- what the embedder calls ---- */

uint8_t *wg_device_tx_buffer(struct wg_device *dev, size_t len)
{
	if (!has_room(dev, len < dev->mtu ? len : dev->mtu)) {
		wg_device_refresh_now(dev);
		wg_send_committed(dev);
	}
	return next_text(dev);
}

int wg_device_tx_commit(struct wg_device *dev, size_t len)
{
	const uint8_t *packet = next_text(dev);
	int family = len <= dev->mtu && has_room(dev, len) ? wg_packet_family(packet, len) : 0;
	struct wg_peer *peer;

	if (!family)
		return -EINVAL;
	peer = dev->ops->choose ? dev->ops->choose(dev->ops_ctx, packet, len) : NULL;
	if (!peer)
		peer = wg_allowedips_find(&dev->allowed_ips, family,
					  wg_packet_destination(packet, family));
	if (!peer) {
		dev->stats.tx_no_peer++;
		return -ENOKEY;
	}
	if (!wg_peer_has_endpoint(peer)) {
		dev->stats.tx_no_endpoint++;
		return -EDESTADDRREQ;
	}
	append(dev, peer, len, wg_packet_ecn(packet, family));
	return 0;
}

void wg_device_flush(struct wg_device *dev)
{
	wg_device_refresh_now(dev);
	wg_device_work_handshakes(dev);
	wg_send_committed(dev);
}
