/* SPDX-License-Identifier: MIT */
/*
 * direct.c - calls on other sockets, past the supervised filter
 *
 * The filter cannot see what a descriptor is, so libc's calls on AF_UNIX and netlink sockets are
 * reported, too, and cost a round trip to the supervisor; where it may not look into the process
 * (not dumpable, or a container that refuses pidfd_getfd) they even fail. So they are
 * made from the exempt page here, when the next definition of the function is libc's. IP sockets,
 * which can only have come from outside, still go to libc: the supervisor decides about them. So
 * does what cannot be asked, where a filter of the program's own forbids it (kind.c).
 *
 * What may wait stays with libc, whose functions are cancellation points, as soon as it has to
 * wait.
 */
#include "preload/pre.h"

#include <dlfcn.h>
#include <string.h>

#include "src/repr/raw.h"

#define LIBC "libc.so.6"

static struct pre_next libc;

/* Whether @fd is an IP socket, or may be one. */
static bool is_ip(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	if (pre_kind_is_past_asking(fd))
		return true;
	return wgw_raw_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       (domain == AF_INET || domain == AF_INET6);
}

static int direct_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	if (is_ip(fd))
		return libc.connect(fd, addr, len);
	return (int)pre_result(wgw_raw_connect(fd, addr, len));
}

static int direct_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	if (is_ip(fd))
		return libc.bind(fd, addr, len);
	return (int)pre_result(wgw_raw_bind(fd, addr, len));
}

static int direct_listen(int fd, int backlog)
{
	if (is_ip(fd))
		return libc.listen(fd, backlog);
	return (int)pre_result(wgw_raw_listen(fd, backlog));
}

/* An accept with this for an address is not reported; the kernel does not look at it. */
static int direct_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	int accepted, rc;

	if (is_ip(fd) || (addr && !len))
		return libc.accept4(fd, addr, len, flags);
	accepted = libc.accept4(fd, NULL, (socklen_t *)WGW_RAW_PAGE_ADDRESS, flags);
	if (accepted < 0 || !addr)
		return accepted;
	rc = wgw_raw_getpeername(accepted, addr, len);
	if (rc == -ENOTCONN) { /* gone already; it had no name that matters */
		*len = 0;
		rc = 0;
	}
	if (rc < 0)
		wgw_raw_close(accepted);
	return rc < 0 ? (int)pre_result(rc) : accepted;
}

static int direct_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	return direct_accept4(fd, addr, len, 0);
}

static int direct_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	return (int)pre_result(wgw_raw_getsockname(fd, addr, len));
}

static int direct_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	return (int)pre_result(wgw_raw_getpeername(fd, addr, len));
}

static int direct_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return (int)pre_result(wgw_raw_getsockopt(fd, level, name, value, len));
}

static int direct_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return (int)pre_result(wgw_raw_setsockopt(fd, level, name, value, len));
}

static int direct_shutdown(int fd, int how)
{
	return (int)pre_result(wgw_raw_shutdown(fd, how));
}

static ssize_t direct_sendto(int fd, const void *data, size_t len, int flags,
			     const struct sockaddr *addr, socklen_t addr_len)
{
	if (!addr || is_ip(fd))
		return libc.sendto(fd, data, len, flags, addr, addr_len);
	return pre_result(wgw_raw_call(SYS_sendto, fd, (long)data, (long)len, flags, (long)addr,
				       (long)addr_len));
}

static ssize_t direct_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	/* Without an address it does no more than writev, which is not reported either. */
	const bool is_plain = !msg->msg_name && pre_kind_is_past_asking(fd);

	if (!is_plain && is_ip(fd))
		return libc.sendmsg(fd, msg, flags);
	return pre_result(wgw_raw_sendmsg(fd, msg, flags));
}

static int direct_sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	if (is_ip(fd))
		return libc.sendmmsg(fd, msgs, n, flags);
	return (int)pre_result(wgw_raw_call(SYS_sendmmsg, fd, (long)msgs, (long)n, flags, 0, 0));
}

static ssize_t direct_recvfrom(int fd, void *data, size_t len, int flags, struct sockaddr *addr,
			       socklen_t *addr_len)
{
	long n;

	if (!addr || (flags & MSG_WAITALL))
		return libc.recvfrom(fd, data, len, flags, addr, addr_len);
	n = wgw_raw_call(SYS_recvfrom, fd, (long)data, (long)len, flags | MSG_DONTWAIT, (long)addr,
			 (long)addr_len);
	if (n == -EAGAIN && !(flags & MSG_DONTWAIT))
		return libc.recvfrom(fd, data, len, flags, addr, addr_len);
	return pre_result(n);
}

static ssize_t direct_recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n;

	if (flags & MSG_WAITALL)
		return libc.recvmsg(fd, msg, flags);
	n = wgw_raw_recvmsg(fd, msg, flags | MSG_DONTWAIT);
	if (n == -EAGAIN && !(flags & MSG_DONTWAIT) && !wgw_repr_nonblocking(fd))
		return libc.recvmsg(fd, msg, flags);
	return pre_result(n);
}

#define DIRECT(function)                                                                           \
	{                                                                                          \
#function, offsetof(struct pre_next, function), (void *)direct_##function          \
	}

static const struct {
	const char *name;
	size_t slot;
	void *function;
} direct[] = {
	DIRECT(connect),    DIRECT(bind),	 DIRECT(listen),      DIRECT(accept),
	DIRECT(accept4),    DIRECT(getsockname), DIRECT(getpeername), DIRECT(getsockopt),
	DIRECT(setsockopt), DIRECT(shutdown),	 DIRECT(sendto),      DIRECT(sendmsg),
	DIRECT(sendmmsg),   DIRECT(recvfrom),	 DIRECT(recvmsg),
};

void pre_go_direct(struct pre_next *next)
{
	void *handle = dlopen(LIBC, RTLD_LAZY | RTLD_NOLOAD);

	libc = *next;
	for (size_t i = 0; handle && i < sizeof(direct) / sizeof(*direct); i++) {
		char *slot = (char *)next + direct[i].slot;
		void *theirs = dlsym(handle, direct[i].name);

		/* another preloaded library keeps its place in the chain */
		if (theirs && memcmp(slot, &theirs, sizeof(theirs)) == 0)
			memcpy(slot, &direct[i].function, sizeof(void *));
	}
	if (handle)
		dlclose(handle);
}
