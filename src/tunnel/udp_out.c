/* SPDX-License-Identifier: MIT */
/*
 * udp_out.c - datagrams on their way to an application, several in one system call
 *
 * Those of one socket are gathered, in a copy, until the turn's jobs are done, one for another
 * socket comes, or there is no room. What must not overtake them, or must find them delivered, asks
 * for udp_out_flush first. An application that is woken by the first of many is ready to run, and
 * may push us off the processor, once a call instead of once a datagram.
 */
#include <assert.h>
#include <string.h>
#include <sys/socket.h>

#include "src/tunnel/udp.h"

enum {
	OUT_MAX = 64, /* messages */
	OUT_BYTES = 128 * 1024,
};

static_assert(OUT_BYTES >= sizeof(struct wgw_dgram) + UDP_MAX_BYTES, "any message has room");

/* What is gathered for @to, NULL: nothing is */
static struct {
	struct wgw_dgram_sock *to;
	unsigned int n;
	size_t used;
	struct iovec iov[OUT_MAX];
	bool has_sender[OUT_MAX];
	struct wgw_dgram sender[OUT_MAX];
	uint8_t bytes[OUT_BYTES];
} out;

void udp_out_flush(const struct wgw_dgram_sock *of)
{
	struct mmsghdr m[OUT_MAX];

	if (!out.to || (of && of != out.to))
		return;
	for (unsigned int i = 0; i < out.n; i++)
		m[i].msg_hdr = (struct msghdr){.msg_iov = &out.iov[i], .msg_iovlen = 1};
	for (unsigned int i = 0; i < out.n;) {
		int sent =
			sendmmsg(out.to->watch.fd, m + i, out.n - i, MSG_DONTWAIT | MSG_NOSIGNAL);

		for (unsigned int k = i; sent > 0 && k < i + (unsigned int)sent; k++) {
			if (out.has_sender[k])
				udp_senders_add(out.to, &out.sender[k]);
		}
		/* the one that was refused is dropped; by the next one there may be room */
		i += sent > 0 ? (unsigned int)sent : 1;
	}
	out.to = NULL;
	out.n = 0;
	out.used = 0;
}

void wgw_udp_flush(void)
{
	udp_out_flush(NULL);
}

void udp_out_put(struct wgw_dgram_sock *u, const struct iovec *iov, size_t n,
		 const struct wgw_dgram *sender)
{
	size_t len = 0;
	uint8_t *at;

	for (size_t i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (out.to && (out.to != u || out.n == OUT_MAX || out.used + len > sizeof(out.bytes)))
		udp_out_flush(NULL);
	out.to = u;
	at = out.bytes + out.used;
	out.has_sender[out.n] = sender;
	if (sender)
		out.sender[out.n] = *sender;
	out.iov[out.n++] = (struct iovec){at, len};
	out.used += len;
	for (size_t i = 0; i < n; i++) {
		memcpy(at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
}
