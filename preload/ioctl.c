/* SPDX-License-Identifier: MIT */
/*
 * ioctl.c - ioctl(2): what an AF_UNIX socket would answer wrongly
 *
 * FIONREAD of a UDP socket is the size of the next datagram; the kernel would count all that are
 * queued, headers included. SIOCOUTQ would count memory, not bytes.
 */
#include "preload/pre.h"

#include <linux/sockios.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "src/repr/raw.h"

static int next_datagram(int fd, uint64_t tag)
{
	ssize_t n = wgw_raw_recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
	ssize_t head = tag & WGW_TAG_RAW ? 0 : (ssize_t)sizeof(struct wgw_dgram);

	return n > head ? (int)(n - head) : 0;
}

static int put(void *arg, int value)
{
	if (!arg)
		return (int)pre_result(-EFAULT);
	memcpy(arg, &value, sizeof(value));
	return 0;
}

PRE_EXPORT int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	uint64_t tag;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == FIONREAD && pre_ours(fd, &tag) && wgw_tag_kind(tag) != WGW_KIND_TCP)
		return put(arg, next_datagram(fd, tag));
	if ((request == SIOCOUTQ || request == SIOCOUTQNSD) && pre_ours(fd, &tag))
		return put(arg, 0);
	pre_enter();
	return pre_next.ioctl(fd, request, arg);
}
