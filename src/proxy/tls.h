/* SPDX-License-Identifier: MIT */
/*
 * tls.h - TLS between clients and listeners: what the front and the TLS process say to each other
 *
 * They share a SEQPACKET pair. The front sends a certificate with its key for each listener, again
 * when the files have changed; each is answered. When the front has closed its end, or shut it
 * down, no connection is accepted any more, and the TLS process ends with the last it has.
 */
#ifndef SRC_PROXY_TLS_H
#define SRC_PROXY_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROXY_TLS_FILE_MAX_BYTES = 1 << 20,
	PROXY_TLS_UNKNOWN_MAX = 1024,	/* of a listener, which the tunnel process does not have */
	PROXY_TLS_HANDSHAKE_MS = 10000, /* for the handshake to be over */
	PROXY_TLS_PATIENCE_MS = 1000,	/* then it may have to give way to a new connection */
	PROXY_TLS_LAST_MS = 10000,	/* for a client to go that has got everything */
	PROXY_TLS_UNREAD_MS = 300000,	/* without reading, when the rest is all there is */
	PROXY_TLS_PUMP_BYTES = 256 * 1024, /* one connection's share of a turn, each way */
};

/**
 * struct proxy_tls_order - of the front, with a memfd: the certificate's file, then the key's
 * @listener:	Index into what proxy_tls_main() got
 * @serial:	Comes back with the answer: the front does not wait for ever, and one may be late
 */
struct proxy_tls_order {
	uint32_t listener, serial;
	uint32_t cert_len, key_len;
};

/**
 * struct proxy_tls_answer - to the order @serial
 * @err:	errno; 0: the listener uses the certificate from now on; ENOSYS: there is no libssl
 * @about_key:	@text is about the key's file, else about the certificate's
 * @text:	Why not, or a warning, or ""
 */
struct proxy_tls_answer {
	int32_t err;
	uint32_t serial, about_key;
	char text[256];
};

/**
 * struct proxy_tls_listener - a listening socket of the TLS process
 * @fd:		The socket
 * @hand:	Our end of the SEQPACKET pair to the tunnel process
 * @plain:	Clients that begin without TLS are handed over as they are
 * @shared:	Other users of this host are kept out (peer.h)
 */
struct proxy_tls_listener {
	int fd, hand;
	bool plain, shared;
};

/* Serves the @n of @listeners until the front lets go of @control. An exit status. */
int proxy_tls_main(int control, const struct proxy_tls_listener *listeners, size_t n);

#endif
