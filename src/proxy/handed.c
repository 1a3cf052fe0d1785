/* SPDX-License-Identifier: MIT */
/* handed.c - messages with a descriptor, and with texts, between the front, the TLS process and the
 * tunnel process */
#include "src/proxy/handed.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

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

int proxy_memfd(const char *name, const struct iovec *pieces, int n)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	ssize_t bytes = 0;

	if (fd < 0)
		return -errno;
	for (int i = 0; i < n; i++)
		bytes += (ssize_t)pieces[i].iov_len;
	if (writev(fd, pieces, n) == bytes)
		return fd;
	close(fd);
	return -EIO;
}

char *proxy_memfd_read(int fd, size_t len)
{
	char *text = malloc(len);
	size_t got = 0;

	while (text && got < len) {
		ssize_t n = pread(fd, text + got, len - got, (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int err = n < 0 ? errno : EINVAL;

			sodium_memzero(text, got); /* maybe a part of a key */
			free(text);
			errno = err;
			return NULL;
		}
		got += (size_t)n;
	}
	return text;
}
