/* SPDX-License-Identifier: MIT */
/*
 * name.c - getsockname and getpeername
 *
 * A TCP socket that has ended its connect, or was accepted, carries both addresses in its label:
 * one native call and no conversation. What is not in a label is asked for by cookie.
 */
#include "src/repr/repr.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "src/repr/raw.h"

bool wgw_repr_label(const struct wgw_repr_session *s, int fd, bool of_peer, struct wgw_label *label)
{
	struct sockaddr_un un;
	socklen_t len = sizeof(un);
	int rc = of_peer ? wgw_raw_getpeername(fd, &un, &len) : wgw_raw_getsockname(fd, &un, &len);

	if (rc < 0 || len < offsetof(struct sockaddr_un, sun_path))
		return false;
	len -= (socklen_t)offsetof(struct sockaddr_un, sun_path);
	return wgw_label_open(s->label_key, un.sun_path, len, label);
}

int wgw_repr_name_op(const struct wgw_repr_session *s, int fd, uint64_t tag,
		     struct stack_addr *local, struct stack_addr *remote)
{
	struct wgw_op op;
	int rc;

	wgw_repr_op_init(s, &op, WGW_OP_NAME, fd, tag);
	rc = wgw_repr_op_about(s, &op, fd);
	if (rc < 0)
		return rc;
	if (local)
		*local = wgw_repr_from_wire(&op.u.name.local);
	if (remote)
		*remote = wgw_repr_from_wire(&op.u.name.remote);
	return 0;
}

static void label_addr(const uint8_t ip[16], uint16_t port, struct stack_addr *addr)
{
	memcpy(addr->ip, ip, 16);
	addr->port = port;
}

static int tcp_local(const struct wgw_repr_session *s, int fd, uint64_t tag,
		     struct stack_addr *addr)
{
	struct wgw_label label;
	enum wgw_repr_tcp_state state = wgw_repr_tcp_state(s, fd, tag, &label);

	switch (state) {
	case WGW_REPR_CONNECTED:
		label_addr(label.local_ip, label.local_port, addr);
		return 0;
	case WGW_REPR_LISTENING:
		return wgw_repr_name_op(s, fd, tag, addr, NULL);
	case WGW_REPR_FAILED: /* the address is given up, the port is not */
		wgw_repr_addr_any(tag, addr);
		addr->port = label.local_port;
		return 0;
	default:
		/* A connect under way has its address, as Linux chooses it first; else there is no
		 * more than what bind() gave, if that. */
		if (!(tag & WGW_TAG_BOUND || state == WGW_REPR_CONNECTING) ||
		    wgw_repr_name_op(s, fd, tag, addr, NULL) < 0)
			wgw_repr_addr_any(tag, addr);
		return 0;
	}
}

static void addr_any_with_port(uint64_t tag, struct stack_addr *addr)
{
	uint16_t port = addr->port;

	wgw_repr_addr_any(tag, addr);
	addr->port = port;
}

/* The first datagram sent gives a socket its port, so the tag cannot tell that it has none. */
static int datagram_local(const struct wgw_repr_session *s, int fd, uint64_t tag,
			  struct stack_addr *addr)
{
	int rc = wgw_repr_name_op(s, fd, tag, addr, NULL);

	if (rc < 0 && !(tag & (WGW_TAG_BOUND | WGW_TAG_CONNECTED))) {
		wgw_repr_addr_any(tag, addr);
		return 0;
	}
	if (rc == 0 && stack_addr_is_any(addr)) /* of the right family, whatever was said */
		addr_any_with_port(tag, addr);
	return rc;
}

int wgw_repr_getsockname(const struct wgw_repr_session *s, int fd, uint64_t tag, void *sa,
			 socklen_t *len)
{
	struct stack_addr addr;
	int rc = 0;

	if (wgw_tag_kind(tag) == WGW_KIND_TCP)
		rc = tcp_local(s, fd, tag, &addr);
	else
		rc = datagram_local(s, fd, tag, &addr);
	return rc < 0 ? rc : wgw_repr_addr_write(tag, &addr, sa, len);
}

int wgw_repr_getpeername(const struct wgw_repr_session *s, int fd, uint64_t tag, void *sa,
			 socklen_t *len)
{
	struct stack_addr addr;
	struct wgw_label label;
	int rc;

	if (wgw_tag_kind(tag) == WGW_KIND_TCP) {
		/* both directions over: the connection is gone, and with it the name */
		if (wgw_repr_tcp_state(s, fd, tag, &label) != WGW_REPR_CONNECTED ||
		    wgw_repr_hung_up(fd))
			return -ENOTCONN;
		label_addr(label.remote_ip, label.remote_port, &addr);
	} else {
		if (!(tag & WGW_TAG_CONNECTED))
			return -ENOTCONN;
		rc = wgw_repr_name_op(s, fd, tag, NULL, &addr);
		if (rc < 0)
			return rc;
	}
	return wgw_repr_addr_write(tag, &addr, sa, len);
}
