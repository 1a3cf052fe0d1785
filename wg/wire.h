/* SPDX-License-Identifier: MIT */
/*
 * wire.h - how messages are told apart on the wire
 *
 * The only place that knows the literal type words. Parsing and MACs elsewhere take the kind from
 * here and lengths from messages.h, so that another wire format can be put in at this seam.
 */
#ifndef WG_WIRE_H
#define WG_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "wg/bytes.h"
#include "wg/messages.h"

static inline void wg_wire_set_type(uint8_t type[4], enum wg_message_type kind)
{
	wg_put_le32(type, (uint32_t)kind);
}

/**
 * wg_wire_kind() - what a datagram is
 * @datagram:	As received
 * @len:	Its length in bytes
 *
 * Return: its type if the type word (with its three zero bytes) and the length for that type are
 * right, else WG_MESSAGE_INVALID.
 */
static inline enum wg_message_type wg_wire_kind(const uint8_t *datagram, size_t len)
{
	if (len < sizeof(uint32_t))
		return WG_MESSAGE_INVALID;
	switch (wg_get_le32(datagram)) {
	case WG_MESSAGE_DATA:
		return len >= WG_DATA_OVERHEAD_BYTES ? WG_MESSAGE_DATA : WG_MESSAGE_INVALID;
	case WG_MESSAGE_INITIATION:
		return len == sizeof(struct wg_message_initiation) ? WG_MESSAGE_INITIATION
								   : WG_MESSAGE_INVALID;
	case WG_MESSAGE_RESPONSE:
		return len == sizeof(struct wg_message_response) ? WG_MESSAGE_RESPONSE
								 : WG_MESSAGE_INVALID;
	case WG_MESSAGE_COOKIE:
		return len == sizeof(struct wg_message_cookie) ? WG_MESSAGE_COOKIE
							       : WG_MESSAGE_INVALID;
	default:
		return WG_MESSAGE_INVALID;
	}
}

#endif
