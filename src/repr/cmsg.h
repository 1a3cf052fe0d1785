/* SPDX-License-Identifier: MIT */
/* cmsg.h - ancillary data: descriptors; of datagrams, between programs and struct wgw_dgram */
#ifndef SRC_REPR_CMSG_H
#define SRC_REPR_CMSG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "src/repr/wire.h"

/** union wgw_fd_control - room for one descriptor in SCM_RIGHTS */
union wgw_fd_control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

/* Makes @msg carry @fd. @control must live as long. */
void wgw_cmsg_attach(struct msghdr *msg, union wgw_fd_control *control, int fd);
/* Linux refuses SCM_RIGHTS while the user's processes have more descriptors in flight than
 * RLIMIT_NOFILE (ETOOMANYREFS, unix_attach_fds()); receivers are about to take some. Naps, and says
 * whether to try again: for 2 s. @until: the caller's, 0 at first. */
bool wgw_cmsg_nap(int64_t *until);
/* A program's sendmsg(2) of a @msg with descriptors, with such naps. Returns the bytes sent or -errno,
 * -ENOBUFS when the naps were in vain. */
ssize_t wgw_cmsg_send(int fd, const struct msghdr *msg, int flags);
/* Moves the descriptors that came with @msg to @fds, which has room for @room of them, and closes
 * the others. Returns how many were moved. */
int wgw_cmsg_take(struct msghdr *msg, int *fds, int room);
/* Closes the descriptors that came with @msg. Whether there were any, also one that the kernel
 * dropped because no number was left for it. */
bool wgw_cmsg_drop(struct msghdr *msg);

/* Puts what the program's ancillary data ask for into @head. @any: set when there was something
 * that only a header can carry. 0, or -EINVAL or -EPERM as Linux answers unknown, malformed or
 * privileged items. */
int wgw_cmsg_read(uint64_t tag, const struct msghdr *msg, struct wgw_dgram *head, bool *any);
/* The same of a TCP socket, on which no item has an effect: 0 or -errno as well. */
int wgw_cmsg_check_stream(const struct msghdr *msg);

/** struct wgw_cmsg_out - a program's control buffer while it is filled */
struct wgw_cmsg_out {
	uint8_t *at;
	size_t left;
	bool truncated;
};

/* Appends one item, as the kernel's put_cmsg() does. */
void wgw_cmsg_put(struct wgw_cmsg_out *out, int level, int type, const void *data, size_t len);
/* Appends what the tag asks for, from @head. */
void wgw_cmsg_write(struct wgw_cmsg_out *out, uint64_t tag, const struct wgw_dgram *head);

#endif
