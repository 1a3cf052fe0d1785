/* SPDX-License-Identifier: MIT */
/* tag.c - the tag on a socket, and addresses as programs write them */
#include "src/repr/repr.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>

#include "src/repr/raw.h"

enum { SIN6_MIN_BYTES = 24 }; /* without the scope: RFC 2133, as Linux still takes it */

bool wgw_repr_tag(int fd, uint64_t *tag)
{
	socklen_t len = sizeof(*tag);
	uint64_t value = 0;

	if (fd < 0 || wgw_raw_getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &value, &len) < 0 ||
	    len != sizeof(value) || !wgw_tag_is_ours(value))
		return false;
	*tag = value;
	return true;
}

int wgw_repr_tag_put(int fd, uint64_t tag)
{
	return wgw_raw_setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &tag, sizeof(tag));
}

int wgw_repr_tag_change(int fd, uint64_t set, uint64_t clear)
{
	uint64_t tag;

	if (!wgw_repr_tag(fd, &tag))
		tag = 0;
	return wgw_repr_tag_put(fd, (tag & ~clear) | set);
}

uint64_t wgw_repr_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	wgw_raw_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len);
	return cookie;
}

bool wgw_repr_is_known(int fd)
{
	int bytes = 0;
	socklen_t len = sizeof(bytes);

	atomic_thread_fence(memory_order_seq_cst); /* between the tag and the mark: wire.h */
	return wgw_raw_getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len) < 0 ||
	       bytes < WGW_KNOWN_RCVBUF_BYTES;
}

bool wgw_repr_nonblocking(int fd)
{
	int flags = wgw_raw_fcntl(fd, F_GETFL, 0);

	return flags >= 0 && (flags & O_NONBLOCK);
}

int wgw_repr_limit_ms(int fd, int option)
{
	struct timeval tv = {0};
	socklen_t len = sizeof(tv);
	int64_t ms;

	if (wgw_raw_getsockopt(fd, SOL_SOCKET, option, &tv, &len) < 0 ||
	    (tv.tv_sec == 0 && tv.tv_usec == 0))
		return -1;
	ms = (int64_t)tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000;
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

bool wgw_repr_hung_up(int fd)
{
	struct pollfd p = {.fd = fd};

	return wgw_raw_poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

static void read_v4(const void *sa, struct stack_addr *addr)
{
	struct sockaddr_in in;

	memcpy(&in, sa, sizeof(in));
	stack_ip_set_v4(addr->ip, &in.sin_addr);
	addr->port = ntohs(in.sin_port);
}

int wgw_repr_addr_read(uint64_t tag, const void *sa, socklen_t len, struct stack_addr *addr)
{
	struct sockaddr_in6 in6 = {0};
	sa_family_t family;

	if (len < sizeof(struct sockaddr_in) || len > sizeof(struct sockaddr_storage))
		return -EINVAL;
	memcpy(&family, sa, sizeof(family));
	if (!(tag & WGW_TAG_V6)) {
		if (family != AF_INET)
			return -EAFNOSUPPORT;
		read_v4(sa, addr);
		return 0;
	}
	if (family == AF_INET && wgw_tag_kind(tag) == WGW_KIND_UDP) {
		if (tag & WGW_TAG_V6ONLY)
			return -ENETUNREACH;
		read_v4(sa, addr);
		return 0;
	}
	if (len < SIN6_MIN_BYTES)
		return -EINVAL;
	if (family != AF_INET6)
		return -EAFNOSUPPORT;
	memcpy(&in6, sa, SIN6_MIN_BYTES);
	memcpy(addr->ip, &in6.sin6_addr, 16);
	addr->port = ntohs(in6.sin6_port);
	if ((tag & WGW_TAG_V6ONLY) && stack_addr_is_v4(addr))
		return -ENETUNREACH;
	return 0;
}

static int copy_out(const void *from, socklen_t size, void *sa, socklen_t *len)
{
	if ((int)*len < 0)
		return -EINVAL;
	memcpy(sa, from, *len < size ? *len : size);
	*len = size;
	return 0;
}

int wgw_repr_addr_write(uint64_t tag, const struct stack_addr *addr, void *sa, socklen_t *len)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};

	if (tag & WGW_TAG_V6) {
		memcpy(&in6.sin6_addr, addr->ip, 16);
		return copy_out(&in6, sizeof(in6), sa, len);
	}
	memcpy(&in.sin_addr, addr->ip + 12, 4);
	return copy_out(&in, sizeof(in), sa, len);
}

void wgw_repr_addr_any(uint64_t tag, struct stack_addr *addr)
{
	*addr = stack_addr_wildcard(!(tag & WGW_TAG_V6));
}

struct wgw_wire_addr wgw_repr_wire_addr(const struct stack_addr *addr)
{
	struct wgw_wire_addr wire = {.port = addr->port};

	memcpy(wire.ip, addr->ip, 16);
	return wire;
}

struct stack_addr wgw_repr_from_wire(const struct wgw_wire_addr *wire)
{
	struct stack_addr addr = {.port = wire->port};

	memcpy(addr.ip, wire->ip, 16);
	return addr;
}
