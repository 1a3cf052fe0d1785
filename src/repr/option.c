/* SPDX-License-Identifier: MIT */
/*
 * option.c - getsockopt and setsockopt
 *
 * Theory of operation
 *
 * An option lives in one of four places: on the AF_UNIX socket, where the kernel keeps it with
 * Linux's own semantics (most of SOL_SOCKET); in the tag; at the tunnel process under the socket's
 * cookie; or nowhere, when accepting it is all that a program can observe. option_table.c says
 * which. What is in no table is ENOPROTOOPT.
 *
 * SO_SNDBUF must not reach the AF_UNIX socket: it is what makes a pending connect unwritable, and
 * the record and the keeper are charged to it.
 */
#include "src/repr/repr.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "src/repr/option_table.h"
#include "src/repr/raw.h"

enum {
	TCP_STATE_ESTABLISHED = 1,
	TCP_STATE_SYN_SENT = 2,
	TCP_STATE_CLOSE = 7,
	TCP_STATE_LISTEN = 10,
	CONGESTION_NAME_MAX_BYTES = 16,
	IPV6_MIN_MTU_BYTES = 1280, /* RFC 8200 section 5 */
};

/* ---- get ---- */

static int put_value(const void *from, socklen_t size, void *value, socklen_t *len)
{
	if ((int)*len < 0)
		return -EINVAL;
	if (*len > size)
		*len = size;
	memcpy(value, from, *len);
	return 0;
}

/* An int, as the kernel returns it: IP level options shrink to a byte for small buffers. */
static int put_int(int level, int from, void *value, socklen_t *len)
{
	uint8_t byte = (uint8_t)from;

	if (level == IPPROTO_IP && *len > 0 && *len < sizeof(from) && from >= 0 && from <= 255) {
		*len = 1;
		memcpy(value, &byte, 1);
		return 0;
	}
	return put_value(&from, sizeof(from), value, len);
}

static int get_kept(const struct wgw_repr_session *s, int fd, uint64_t tag,
		    const struct wgw_repr_option *option)
{
	struct wgw_op op;
	int value;

	if (!(tag & WGW_TAG_OPTIONS))
		return option->initial;
	wgw_repr_op_init(s, &op, WGW_OP_GETOPT, fd, tag);
	op.u.option.level = option->level;
	op.u.option.name = option->name;
	if (wgw_repr_op_call(s, &op, -1) < 0 || op.u.option.len != sizeof(value))
		return option->initial;
	memcpy(&value, op.u.option.value, sizeof(value));
	return value;
}

static int get_tcp_info(const struct wgw_repr_session *s, int fd, uint64_t tag, void *value,
			socklen_t *len)
{
	static const uint8_t states[] = {
		[WGW_REPR_NEW] = TCP_STATE_CLOSE,
		[WGW_REPR_LISTENING] = TCP_STATE_LISTEN,
		[WGW_REPR_CONNECTING] = TCP_STATE_SYN_SENT,
		[WGW_REPR_CONNECTED] = TCP_STATE_ESTABLISHED,
		[WGW_REPR_FAILED] = TCP_STATE_CLOSE,
		[WGW_REPR_LOST] = TCP_STATE_CLOSE,
	};
	struct wgw_label label;
	struct tcp_info info = {0};
	struct wgw_op op;
	socklen_t known;

	wgw_repr_op_init(s, &op, WGW_OP_GETOPT, fd, tag);
	op.u.option.level = IPPROTO_TCP;
	op.u.option.name = TCP_INFO;
	if (wgw_repr_op_call(s, &op, -1) == 0) {
		known = op.u.option.len < sizeof(info) ? op.u.option.len : sizeof(info);
		memcpy(&info, op.u.option.value,
		       known < WGW_OPTION_MAX_BYTES ? known : WGW_OPTION_MAX_BYTES);
	} else {
		info.tcpi_state = states[wgw_repr_tcp_state(s, fd, tag, &label)];
	}
	return put_value(&info, sizeof(info), value, len);
}

static int get_mtu(const struct wgw_repr_session *s, int fd, uint64_t tag, int level, void *value,
		   socklen_t *len)
{
	struct wgw_label label;
	struct wgw_op op;
	bool connected = wgw_tag_kind(tag) == WGW_KIND_TCP
				 ? wgw_repr_tcp_state(s, fd, tag, &label) == WGW_REPR_CONNECTED
				 : (tag & WGW_TAG_CONNECTED) != 0;
	int mtu, rc;

	if (!connected)
		return -ENOTCONN;
	wgw_repr_op_init(s, &op, WGW_OP_IFADDRS, fd, tag);
	rc = wgw_repr_op_call(s, &op, -1);
	if (rc < 0)
		return rc;
	mtu = (int)op.u.resolved.ttl;
	return put_int(level, mtu, value, len);
}

static int get_protocol(uint64_t tag)
{
	switch (wgw_tag_kind(tag)) {
	case WGW_KIND_TCP:
		return IPPROTO_TCP;
	case WGW_KIND_UDP:
		return IPPROTO_UDP;
	default:
		return tag & WGW_TAG_V6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	}
}

/* The options of SOL_SOCKET that the AF_UNIX socket would answer wrongly. */
static int get_socket_level(const struct wgw_repr_session *s, int fd, uint64_t tag, int name,
			    void *value, socklen_t *len)
{
	const struct ucred nobody = {0, (uid_t)-1, (gid_t)-1};
	const uint64_t no_pacing = UINT64_MAX;
	bool tcp = wgw_tag_kind(tag) == WGW_KIND_TCP;

	switch (name) {
	case SO_TYPE:
		return put_int(SOL_SOCKET, tcp ? SOCK_STREAM : SOCK_DGRAM, value, len);
	case SO_DOMAIN:
		return put_int(SOL_SOCKET, tag & WGW_TAG_V6 ? AF_INET6 : AF_INET, value, len);
	case SO_PROTOCOL:
		return put_int(SOL_SOCKET, get_protocol(tag), value, len);
	case SO_ERROR:
		return put_int(SOL_SOCKET, wgw_repr_so_error(s, fd, tag), value, len);
	case SO_REUSEPORT:
		return put_int(SOL_SOCKET, tag & WGW_TAG_REUSEPORT ? 1 : 0, value, len);
	case SO_PEERCRED:
		return put_value(&nobody, sizeof(nobody), value, len);
	case SO_MAX_PACING_RATE:
		return put_value(&no_pacing, *len < sizeof(no_pacing) ? 4 : 8, value, len);
	default:
		return wgw_raw_getsockopt(fd, SOL_SOCKET, name, value, len);
	}
}

static int get_in_tag(uint64_t tag, const struct wgw_repr_option *option, void *value,
		      socklen_t *len)
{
	return put_int(option->level, tag & option->bit ? 1 : 0, value, len);
}

static int get_special(const struct wgw_repr_session *s, int fd, uint64_t tag, int level, int name,
		       void *value, socklen_t *len)
{
	static const char congestion[CONGESTION_NAME_MAX_BYTES] = "cubic";

	if (level == IPPROTO_TCP && name == TCP_INFO)
		return get_tcp_info(s, fd, tag, value, len);
	if (level == IPPROTO_TCP && name == TCP_CONGESTION)
		return put_value(congestion, sizeof(congestion), value, len);
	if (level == IPPROTO_IP && name == IP_OPTIONS) {
		*len = 0;
		return 0;
	}
	return get_mtu(s, fd, tag, level, value, len);
}

/* A level that is not for this kind of socket at all; ip_getsockopt() has its own word for it. */
static bool is_foreign_level(uint64_t tag, int level)
{
	return !(tag & WGW_TAG_V6) && level != IPPROTO_IP && level != get_protocol(tag);
}

int wgw_repr_getsockopt(const struct wgw_repr_session *s, int fd, uint64_t tag, int level, int name,
			void *value, socklen_t *len)
{
	const struct wgw_repr_option *option = wgw_repr_option_find(tag, level, name);

	if (!option && level == SOL_SOCKET)
		return get_socket_level(s, fd, tag, name, value, len);
	if (!option)
		return is_foreign_level(tag, level) ? -EOPNOTSUPP : -ENOPROTOOPT;
	switch (option->place) {
	case WGW_REPR_OPTION_TAG:
		return get_in_tag(tag, option, value, len);
	case WGW_REPR_OPTION_KEPT:
		return put_int(level, get_kept(s, fd, tag, option), value, len);
	case WGW_REPR_OPTION_IGNORED:
		return put_int(level, option->initial, value, len);
	case WGW_REPR_OPTION_SPECIAL:
		return get_special(s, fd, tag, level, name, value, len);
	default:
		return -ENOPROTOOPT;
	}
}

/* ---- set ---- */

/* An int from the program; IP level options may come as one byte. */
static int take_int(int level, const void *value, socklen_t len, int *result)
{
	uint8_t byte;

	if (len >= sizeof(*result)) {
		memcpy(result, value, sizeof(*result));
		return 0;
	}
	if (level != IPPROTO_IP || len == 0)
		return -EINVAL;
	memcpy(&byte, value, 1);
	*result = byte;
	return 0;
}

/* Tells the tunnel process. */
static int set_op(const struct wgw_repr_session *s, int fd, uint64_t tag, int level, int name,
		  const void *value, socklen_t len)
{
	struct wgw_op op;
	int rc;

	if (len > WGW_OPTION_MAX_BYTES)
		return -EINVAL;
	wgw_repr_op_init(s, &op, WGW_OP_SETOPT, fd, tag);
	op.u.option.level = level;
	op.u.option.name = name;
	op.u.option.len = len;
	memcpy(op.u.option.value, value, len);
	rc = wgw_repr_op_call(s, &op, -1);
	return rc < 0 ? rc : wgw_repr_tag_change(fd, WGW_TAG_OPTIONS, 0);
}

static bool is_connected(const struct wgw_repr_session *s, int fd, uint64_t tag)
{
	struct wgw_label label;
	enum wgw_repr_tcp_state state;

	if (wgw_tag_kind(tag) != WGW_KIND_TCP)
		return false;
	state = wgw_repr_tcp_state(s, fd, tag, &label);
	return state == WGW_REPR_CONNECTED || state == WGW_REPR_CONNECTING;
}

static int set_in_tag(const struct wgw_repr_session *s, int fd, uint64_t tag,
		      const struct wgw_repr_option *option, int value)
{
	int rc;

	if (option->bit == WGW_TAG_V6ONLY && (tag & (WGW_TAG_BOUND | WGW_TAG_CONNECTED)))
		return -EINVAL;
	if (value && (option->bit & (WGW_TAG_ANCILLARY | WGW_TAG_RECVERR)) &&
	    wgw_tag_kind(tag) != WGW_KIND_TCP) {
		rc = wgw_repr_udp_unraw(s, fd, &tag);
		if (rc < 0)
			return rc;
	}
	rc = value ? wgw_repr_tag_change(fd, option->bit, 0)
		   : wgw_repr_tag_change(fd, 0, option->bit);
	if (rc < 0)
		return rc;
	if (option->bit == WGW_TAG_RECVERR && wgw_tag_kind(tag) == WGW_KIND_TCP)
		return 0;
	if (option->bit != WGW_TAG_RECVERR &&
	    (option->bit != WGW_TAG_NODELAY || !is_connected(s, fd, tag)))
		return 0;
	value = value != 0;
	return set_op(s, fd, tag, option->level, option->name, &value, sizeof(value));
}

/* SO_LINGER and SO_KEEPALIVE are read from the socket at connect; later ones are told. */
static int set_native(const struct wgw_repr_session *s, int fd, uint64_t tag, int name,
		      const void *value, socklen_t len)
{
	int rc = wgw_raw_setsockopt(fd, SOL_SOCKET, name, value, len);

	if (rc == 0 && (name == SO_LINGER || name == SO_KEEPALIVE) && is_connected(s, fd, tag))
		return set_op(s, fd, tag, SOL_SOCKET, name, value, len);
	return rc;
}

static int set_socket_level(const struct wgw_repr_session *s, int fd, uint64_t tag, int name,
			    const void *value, socklen_t len)
{
	int on;

	switch (name) {
	case SO_TYPE:
	case SO_DOMAIN:
	case SO_PROTOCOL:
	case SO_ERROR:
	case SO_ACCEPTCONN:
	case SO_PEERCRED:
	case SO_ATTACH_FILTER: /* would run on our messages, not on the program's datagrams */
	case SO_ATTACH_BPF:
		return -ENOPROTOOPT;
	case SO_BINDTODEVICE:
		return len == 0 || *(const char *)value == '\0' ? 0 : -ENODEV;
	case SO_MAX_PACING_RATE: /* the tag is there */
		return len < sizeof(int) ? -EINVAL : 0;
	case SO_REUSEPORT:
		if (len < sizeof(on))
			return -EINVAL;
		memcpy(&on, value, sizeof(on));
		return on ? wgw_repr_tag_change(fd, WGW_TAG_REUSEPORT, 0)
			  : wgw_repr_tag_change(fd, 0, WGW_TAG_REUSEPORT);
	default:
		return set_native(s, fd, tag, name, value, len);
	}
}

static int set_special(int level, int name, const void *value, socklen_t len)
{
	char congestion[CONGESTION_NAME_MAX_BYTES] = {0};
	int number, rc;

	if (level == IPPROTO_IP && name == IP_OPTIONS)
		return len == 0 ? 0 : -EINVAL;
	if (level == IPPROTO_IPV6 && name == IPV6_MTU) {
		/* The size of fragments; the tunnel's MTU decides that */
		rc = take_int(level, value, len, &number);
		if (rc < 0)
			return rc;
		return number == 0 || number >= IPV6_MIN_MTU_BYTES ? 0 : -EINVAL;
	}
	if (level != IPPROTO_TCP || name != TCP_CONGESTION)
		return -ENOPROTOOPT;
	if (len < 1)
		return -EINVAL;
	memcpy(congestion, value, len < sizeof(congestion) - 1 ? len : sizeof(congestion) - 1);
	return strcmp(congestion, "cubic") == 0 || strcmp(congestion, "reno") == 0 ? 0 : -ENOENT;
}

static int set_kept(const struct wgw_repr_session *s, int fd, uint64_t tag,
		    const struct wgw_repr_option *option, int value)
{
	if (option->name == SO_SNDBUF && option->level == SOL_SOCKET)
		value = value > option->max / 2 ? option->max : 2 * value; /* as the kernel */
	else if (value == -1 && (option->flags & WGW_REPR_OPTION_MINUS_RESETS))
		value = option->initial;
	else if (value < option->min || value > option->max)
		return -EINVAL;
	if (option->level == SOL_SOCKET && value < option->min)
		value = option->min;
	return set_op(s, fd, tag, option->level, option->name, &value, sizeof(value));
}

int wgw_repr_setsockopt(const struct wgw_repr_session *s, int fd, uint64_t tag, int level, int name,
			const void *value, socklen_t len)
{
	const struct wgw_repr_option *option = wgw_repr_option_find(tag, level, name);
	int number = 0;
	int rc;

	if ((int)len < 0)
		return -EINVAL;
	if (!option)
		return level == SOL_SOCKET ? set_socket_level(s, fd, tag, name, value, len)
					   : -ENOPROTOOPT;
	if (option->place == WGW_REPR_OPTION_REFUSED)
		return -option->initial;
	if (option->place == WGW_REPR_OPTION_SPECIAL)
		return set_special(level, name, value, len);
	if (option->place == WGW_REPR_OPTION_IGNORED)
		return 0;
	rc = take_int(level, value, len, &number);
	if (rc < 0)
		return rc;
	return option->place == WGW_REPR_OPTION_TAG ? set_in_tag(s, fd, tag, option, number)
						    : set_kept(s, fd, tag, option, number);
}
