/* SPDX-License-Identifier: MIT */
/*
 * scatter.c - moving what was received within a program's buffers
 *
 * A message that came in the form that was not expected has its header in the program's buffers, or
 * payload where the header was to go. That is rare, so these are simple rather than fast.
 */
#include "src/repr/scatter.h"

#include <stdint.h>
#include <string.h>

/* A place in the buffers */
struct cursor {
	const struct iovec *iov;
	size_t n, at;
};

/* The bytes that follow in one piece, 0: no more. */
static size_t piece(struct cursor *c)
{
	while (c->n && c->at == c->iov->iov_len) {
		c->iov++;
		c->n--;
		c->at = 0;
	}
	return c->n ? c->iov->iov_len - c->at : 0;
}

static uint8_t *place(const struct cursor *c)
{
	return (uint8_t *)c->iov->iov_base + c->at;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t wgw_scatter_room(const struct iovec *iov, size_t n)
{
	size_t room = 0;

	for (size_t i = 0; i < n; i++)
		room += least(iov[i].iov_len, SIZE_MAX / 2 - room);
	return room;
}

size_t wgw_scatter_peek(const struct iovec *iov, size_t n, void *out, size_t len)
{
	struct cursor c = {iov, n, 0};
	size_t done = 0, part;

	while ((part = least(piece(&c), len - done))) {
		memcpy((uint8_t *)out + done, place(&c), part);
		done += part;
		c.at += part;
	}
	return done;
}

void wgw_scatter_put(const struct iovec *iov, size_t n, const void *data, size_t len)
{
	struct cursor c = {iov, n, 0};
	size_t done = 0, part;

	while ((part = least(piece(&c), len - done))) {
		memcpy(place(&c), (const uint8_t *)data + done, part);
		done += part;
		c.at += part;
	}
}

void wgw_scatter_cut(const struct iovec *iov, size_t n, size_t len, size_t by)
{
	struct cursor to = {iov, n, 0}, from = {iov, n, 0};
	size_t skip = by, left = len > by ? len - by : 0, part;

	while ((part = least(piece(&from), skip))) {
		from.at += part;
		skip -= part;
	}
	while ((part = least(least(piece(&to), piece(&from)), left))) {
		memmove(place(&to), place(&from), part);
		to.at += part;
		from.at += part;
		left -= part;
	}
	for (left = least(by, len); (part = least(piece(&to), left)); left -= part) {
		memset(place(&to), 0, part);
		to.at += part;
	}
}

void wgw_scatter_push(const struct iovec *iov, size_t n, size_t len, void *front, size_t by)
{
	struct cursor c = {iov, n, 0};
	uint8_t *wait = front, kept[WGW_SCATTER_MAX_BYTES];
	size_t left = len + by, part;

	/* @wait has the @by bytes that come next; those that they displace go behind them */
	while (by && (part = least(least(piece(&c), by), left))) {
		memcpy(kept, place(&c), part);
		memcpy(place(&c), wait, part);
		memmove(wait, wait + part, by - part);
		memcpy(wait + by - part, kept, part);
		c.at += part;
		left -= part;
	}
}
