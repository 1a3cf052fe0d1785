/* SPDX-License-Identifier: MIT */
/* handed.h - connections that the TLS process hands to the tunnel process; messages with a
 * descriptor, and with texts */
#ifndef SRC_PROXY_HANDED_H
#define SRC_PROXY_HANDED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "stack/addr.h"

/**
 * struct proxy_handed - one message on a listener's SEQPACKET pair; SCM_RIGHTS: the connection
 * @tls:	The descriptor is one end of a socket pair with a keeper in both queues
 *		(src/tunnel/end.c): the TLS process moves bytes between its other end and the
 *		client. Else it is the client's
 * @peer:	The client's address
 */
struct proxy_handed {
	uint32_t tls;
	struct stack_addr peer;
};

/* One message with @fd, which stays the caller's; -1: without. 0 or -errno (-EAGAIN). */
int proxy_fd_send(int socket, const void *message, size_t len, int fd);
/* One message of up to @len bytes; *@fd is the descriptor that came along, close-on-exec, or -1.
 * Bytes received, 0: the other side has closed, or -errno. */
ssize_t proxy_fd_receive(int socket, void *message, size_t len, int *fd);

/* A memory file with the @n @pieces, to go with a message; or -errno. */
struct iovec;
int proxy_memfd(const char *name, const struct iovec *pieces, int n);
/* The first @len bytes of such a file, @len > 0: malloc'ed, the caller wipes what is secret. NULL
 * and errno; then nothing of it stays in memory. */
char *proxy_memfd_read(int fd, size_t len);

#endif
