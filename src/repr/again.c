/* SPDX-License-Identifier: MIT */
/* again.c - a fresh socket in place of one whose connect has failed or was dissolved, or of a
 * listener that was shut down */
#include "src/repr/repr.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>

#include "src/repr/raw.h"

enum { OPTION_MAX_BYTES = 64 };

/* What the kernel keeps on an AF_UNIX socket for us. Buffer sizes are read doubled; no matter. */
static const int native_options[] = {
	SO_REUSEADDR, SO_KEEPALIVE, SO_LINGER,	 SO_RCVTIMEO,  SO_SNDTIMEO,
	SO_BROADCAST, SO_OOBINLINE, SO_RCVLOWAT, SO_TIMESTAMP,
};

/* Options kept at the tunnel process that are worth carrying over. */
static const struct {
	int level, name;
} kept_options[] = {
	{SOL_SOCKET, SO_SNDBUF},    {SOL_SOCKET, SO_RCVBUF},	     {IPPROTO_IP, IP_TOS},
	{IPPROTO_IP, IP_TTL},	    {IPPROTO_TCP, TCP_KEEPIDLE},     {IPPROTO_TCP, TCP_KEEPINTVL},
	{IPPROTO_TCP, TCP_KEEPCNT}, {IPPROTO_TCP, TCP_USER_TIMEOUT},
};

void wgw_repr_copy_native(int from, int to)
{
	uint8_t value[OPTION_MAX_BYTES];

	for (size_t i = 0; i < sizeof(native_options) / sizeof(*native_options); i++) {
		socklen_t len = sizeof(value);

		if (wgw_raw_getsockopt(from, SOL_SOCKET, native_options[i], value, &len) == 0)
			wgw_raw_setsockopt(to, SOL_SOCKET, native_options[i], value, len);
	}
}

/* 0, or -EMFILE: the tunnel process cannot be asked. */
static int copy_kept(const struct wgw_repr_session *s, int from, uint64_t tag, int to)
{
	struct wgw_op get, set;
	int rc;

	for (size_t i = 0; i < sizeof(kept_options) / sizeof(*kept_options); i++) {
		wgw_repr_op_init(s, &get, WGW_OP_GETOPT, from, tag);
		get.u.option.level = kept_options[i].level;
		get.u.option.name = kept_options[i].name;
		rc = wgw_repr_op_call(s, &get);
		if (rc == -EMFILE)
			return rc;
		if (rc < 0 || get.u.option.len > WGW_OPTION_MAX_BYTES)
			continue;
		wgw_repr_op_init(s, &set, WGW_OP_SETOPT, to, tag);
		set.u.option = get.u.option;
		if (wgw_repr_op_call(s, &set) == 0)
			wgw_repr_tag_change(to, WGW_TAG_OPTIONS, 0);
	}
	return 0;
}

/* Whether @fd may be replaced: it must be over, and the program must know. */
static bool is_over(int fd, uint64_t tag, enum wgw_repr_tcp_state state)
{
	if (tag & (WGW_TAG_DISCONNECTED | WGW_TAG_WAS_LISTENER))
		return true;
	if (!(tag & WGW_TAG_REPORTED) || (state != WGW_REPR_FAILED && state != WGW_REPR_LOST))
		return false;
	if (tag & WGW_TAG_DISSOLVED)
		return true;
	/* As Linux: told by SO_ERROR or recv, so connect() says it once more in its own way */
	wgw_repr_tag_change(fd, WGW_TAG_DISSOLVED, 0);
	return false;
}

/* The address that bind() gave to @fd: in @label, or kept for a listener that was shut down, which
 * gives it up. 0: none, 1: *@local, or -errno. */
static int bound_address(const struct wgw_repr_session *s, int fd, uint64_t tag,
			 const struct wgw_label *label, struct stack_addr *local)
{
	struct wgw_op op;
	int rc;

	if (!(tag & WGW_TAG_BOUND))
		return 0;
	if (!(tag & WGW_TAG_WAS_LISTENER)) {
		local->port = label->local_port;
		memcpy(local->ip, label->local_ip, sizeof(local->ip));
		return local->port != 0;
	}
	rc = wgw_repr_name_op(s, fd, tag, local, NULL);
	if (rc < 0)
		return rc;
	wgw_repr_op_init(s, &op, WGW_OP_SHUTDOWN, fd, tag);
	rc = wgw_repr_op_call(s, &op);
	return rc < 0 ? rc : 1;
}

/* The fresh socket gets the address of the old one. */
static int bind_again(const struct wgw_repr_session *s, int again, uint64_t tag,
		      const struct stack_addr *local)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	uint64_t fresh;
	int rc;

	rc = wgw_repr_addr_write(tag, local, &sa, &len);
	if (rc < 0 || !wgw_repr_tag(again, &fresh))
		return rc < 0 ? rc : -EBADF;
	return wgw_repr_bind(s, again, fresh, &sa, len);
}

int wgw_repr_again(const struct wgw_repr_session *s, int fd, uint64_t tag)
{
	const uint64_t carried = WGW_TAG_V6ONLY | WGW_TAG_NODELAY | WGW_TAG_REUSEPORT |
				 WGW_TAG_RECVERR | WGW_TAG_ANCILLARY | WGW_TAG_CORK |
				 WGW_TAG_LAZY_ACK | WGW_TAG_INHERITED;
	int type = SOCK_STREAM | SOCK_CLOEXEC;
	struct wgw_label label = {.local_port = 0};
	struct stack_addr local;
	enum wgw_repr_tcp_state state;
	int again, rc = 0;

	if (wgw_tag_kind(tag) != WGW_KIND_TCP || !wgw_repr_tag(fd, &tag))
		return -ECONNABORTED;
	state = wgw_repr_tcp_state(s, fd, tag, &label);
	if (!is_over(fd, tag, state))
		return -ECONNABORTED;
	if (wgw_repr_nonblocking(fd))
		type |= SOCK_NONBLOCK;
	again = wgw_repr_socket(s, tag & WGW_TAG_V6 ? AF_INET6 : AF_INET, type, 0);
	if (again < 0)
		return again;
	/* The mark of who made it stays, whoever connects again */
	wgw_repr_tag_change(again, tag & (carried | WGW_TAG_OUTSIDE), WGW_TAG_OUTSIDE);
	wgw_repr_copy_native(fd, again);
	if (tag & WGW_TAG_OPTIONS)
		rc = copy_kept(s, fd, tag, again);
	if (rc == 0)
		rc = bound_address(s, fd, tag, &label, &local);
	if (rc == 1)
		rc = bind_again(s, again, tag, &local);
	if (rc < 0) {
		wgw_raw_close(again);
		return rc;
	}
	return again;
}
