/* SPDX-License-Identifier: MIT */
/* end.h - our end of an application's stream, with the keeper rule (src/repr/wire.h) */
#ifndef SRC_TUNNEL_END_H
#define SRC_TUNNEL_END_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "src/base/loop.h"

/**
 * struct wgw_end - one stream descriptor that is pumped
 * @watch:	Its descriptor, -1: closed
 * @keeps:	The keeper rule holds (the other end is an application)
 * @hello:	The first byte may be the shim's 'F' (accepted connections)
 * @hello_fd:	The descriptor that came with it, for the owner to take, or -1
 * @keeper_due:	'F' was taken, the plain keeper byte follows
 * @stale:	Bytes at the head of the receive queue that were forwarded already: the
 *		connect record or the keeper
 * @waiting:	New bytes behind those, as many as are known to be there
 * @events:	EPOLLRDHUP, EPOLLHUP, EPOLLERR as far as seen
 * @full:	The last write found no room
 * @drained:	Nothing waited when wgw_end_ready asked, or all that did was read, and no event has
 *		come since
 * @for_room:	EPOLLOUT is asked for; @idle_room: how often in a row in vain
 * @fin_sent:	The FIN was handed over: nothing is kept any more
 */
struct wgw_end {
	struct wgw_watch watch;
	struct wgw_loop *loop;
	int hello_fd;
	size_t stale, waiting;
	uint32_t events;
	bool keeps, hello, keeper_due, full, drained, for_room, fin_sent;
	uint8_t idle_room;
};

/* An end that is not watched yet, around @fd, which wgw_end_close() closes. @keeps: the last
 * byte that was read is kept (the keeper rule of wire.h). @ready: what the loop calls. */
void wgw_end_init(struct wgw_end *e, int fd, bool keeps,
		  void (*ready)(struct wgw_watch *, uint32_t));
/* Watches it, once initialised; @for_room: for EPOLLOUT too. 0 or -errno. */
int wgw_end_watch(struct wgw_loop *loop, struct wgw_end *e, bool for_room);
/* Notes what @ready was told. */
void wgw_end_event(struct wgw_end *e, uint32_t events);
/* Bytes that wait and were not forwarded. */
size_t wgw_end_pending(struct wgw_end *e);
/* So many of them as are known to wait, if that is enough for a read; else all, asked anew if
 * anything has come since there was nothing. What is to be read of them is read in the same
 * callback: @drained is not true of bytes whose event came in between. */
size_t wgw_end_ready(struct wgw_end *e);
/* Reads at most @max waiting bytes (no more than wgw_end_ready said) into @iov and leaves the
 * last of them as keeper. Returns the number put into @iov, or -errno. */
ssize_t wgw_end_read(struct wgw_end *e, const struct iovec *iov, int n, size_t max);
/* Returns bytes taken, 0: full (@full is set), or -errno; -EPIPE: it does not read any more. */
ssize_t wgw_end_write(struct wgw_end *e, const struct iovec *iov, int n);
/* As wgw_end_read and wgw_end_write, by splice(2): the bytes are not copied. @e that is read
 * keeps none, @e that is written is O_NONBLOCK; SIGPIPE is ignored. -EINVAL: the kernel cannot. */
ssize_t wgw_end_to_pipe(struct wgw_end *e, int pipe, size_t max);
ssize_t wgw_end_from_pipe(struct wgw_end *e, int pipe, size_t len);
/* Whether it is too early for a close that the application is to see as a reset: it has not accepted
 * the connection, or its keeper is on its way. An event tells. */
bool wgw_end_keeper_comes(struct wgw_end *e);
/* Hands a FIN over: drops the keeper, then shuts down. */
void wgw_end_finish(struct wgw_end *e);
/* Plain close: a reset at an application when a keeper is there, at a kernel TCP socket when
 * @reset. */
void wgw_end_close(struct wgw_loop *loop, struct wgw_end *e, bool reset);

#endif
