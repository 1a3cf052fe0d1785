/* SPDX-License-Identifier: MIT */
/* scatter.h - bytes in a program's buffers */
#ifndef SRC_REPR_SCATTER_H
#define SRC_REPR_SCATTER_H

#include <stddef.h>
#include <sys/uio.h>

/* Room in the @n buffers; more than any message is long when it does not fit a size_t. */
size_t wgw_scatter_room(const struct iovec *iov, size_t n);
/* Copies the first @len bytes of the @n buffers to @out. Returns how many there were. */
size_t wgw_scatter_peek(const struct iovec *iov, size_t n, void *out, size_t len);
/* Copies @len bytes into the @n buffers, as many as there is room for. */
void wgw_scatter_put(const struct iovec *iov, size_t n, const void *data, size_t len);
/* Takes the first @by of the @len bytes in the buffers away: the others move to the front, zeros
 * take the place of the last ones. */
void wgw_scatter_cut(const struct iovec *iov, size_t n, size_t len, size_t by);
/* Puts the @by bytes at @front (WGW_SCATTER_MAX_BYTES at most; overwritten) before the @len bytes
 * in the buffers. What has no room any more is dropped. */
enum { WGW_SCATTER_MAX_BYTES = 64 };
void wgw_scatter_push(const struct iovec *iov, size_t n, size_t len, void *front, size_t by);

#endif
