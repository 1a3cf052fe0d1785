/* SPDX-License-Identifier: MIT */
/* handed.c - messages with a descriptor between the front, the TLS process and the tunnel process */
#include "src/proxy/handed.h"

#include <errno.h>
#include <sys/socket.h>

#include "src/repr/cmsg.h"

int proxy_fd_send(int socket, const void *message, size_t len, int fd)
{
	union wgw_fd_control control;
	struct iovec iov = {(void *)(uintptr_t)message, len};
	struct msghdr hdr = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (fd >= 0)
		wgw_cmsg_attach(&hdr, &control, fd);
	do
		sent = sendmsg(socket, &hdr, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

ssize_t proxy_fd_receive(int socket, void *message, size_t len, int *fd)
{
	union wgw_fd_control control;
	struct iovec iov = {message, len};
	struct msghdr hdr = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t got;

	*fd = -1;
	do
		got = recvmsg(socket, &hdr, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	wgw_cmsg_take(&hdr, fd, 1);
	return got;
}
