/* SPDX-License-Identifier: MIT */
/*
 * option_get.c - getsockopt
 *
 * SO_TYPE and its like, which the AF_UNIX socket would answer wrongly, TCP_INFO and the segment
 * size; the rest is as option_table.c says.
 */
#include "src/repr/repr.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "src/repr/option_table.h"
#include "src/repr/peer_cache.h"
#include "src/repr/raw.h"

enum {
	TCP_STATE_ESTABLISHED = 1,
	TCP_STATE_SYN_SENT = 2,
	TCP_STATE_CLOSE = 7,
	TCP_STATE_LISTEN = 10,
	TCP_STATE_CLOSE_WAIT = 8,
	V4_HEADERS_BYTES = 40, /* IP and TCP, without options */
	V6_HEADERS_BYTES = 60,
	MAXSEG_UNCONNECTED_BYTES = 536,
};

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

/* Bytes that were set, of an option that the tunnel process keeps. @value stays when there are
 * none. 0, or -EMFILE: it cannot be asked. */
static int get_bytes(const struct wgw_repr_session *s, int fd, uint64_t tag, int level, int name,
		     void *value, size_t size)
{
	struct wgw_op op;
	int rc;

	if (!(tag & WGW_TAG_OPTIONS))
		return 0;
	wgw_repr_op_init(s, &op, WGW_OP_GETOPT, fd, tag);
	op.u.option.level = level;
	op.u.option.name = name;
	rc = wgw_repr_op_call(s, &op);
	if (rc == 0 && op.u.option.len == size)
		memcpy(value, op.u.option.value, size);
	return rc == -EMFILE ? rc : 0;
}

int wgw_repr_option_kept(const struct wgw_repr_session *s, int fd, uint64_t tag,
			 const struct wgw_repr_option *option, int *value)
{
	*value = option->initial;
	return get_bytes(s, fd, tag, option->level, option->name, value, sizeof(*value));
}

/* The tunnel's. */
static int interface_mtu(const struct wgw_repr_session *s)
{
	struct wgw_op op;
	int rc;

	wgw_repr_op_init(s, &op, WGW_OP_IFADDRS, -1, 0);
	rc = wgw_repr_op_call(s, &op);
	return rc < 0 ? rc : (int)op.u.resolved.ttl;
}

/* What fits into a segment to the peer in @label. */
static int max_segment(const struct wgw_label *label, int mtu)
{
	struct stack_addr peer = {0};

	memcpy(peer.ip, label->remote_ip, sizeof(peer.ip));
	return mtu - (stack_addr_is_v4(&peer) ? V4_HEADERS_BYTES : V6_HEADERS_BYTES);
}

/* The state by what the AF_UNIX socket shows of it. */
static uint8_t tcp_info_state(enum wgw_repr_tcp_state state, int fd)
{
	static const uint8_t states[] = {
		[WGW_REPR_NEW] = TCP_STATE_CLOSE,
		[WGW_REPR_LISTENING] = TCP_STATE_LISTEN,
		[WGW_REPR_CONNECTING] = TCP_STATE_SYN_SENT,
		[WGW_REPR_CONNECTED] = TCP_STATE_ESTABLISHED,
		[WGW_REPR_FAILED] = TCP_STATE_CLOSE,
		[WGW_REPR_LOST] = TCP_STATE_CLOSE,
	};
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	if (state != WGW_REPR_CONNECTED || wgw_raw_poll(&p, 1, 0) != 1)
		return states[state];
	if (p.revents & POLLHUP)
		return TCP_STATE_CLOSE;
	return p.revents & POLLRDHUP ? TCP_STATE_CLOSE_WAIT : states[state];
}

/* What a connection looks like that nothing is known about: Linux's own first values. */
static void fill_tcp_info(struct tcp_info *info, int segment, int mtu)
{
	enum { INITIAL_WINDOW = 10, RTO_US = 200000, RTT_US = 1000, REORDERING = 3 };

	info->tcpi_snd_mss = info->tcpi_rcv_mss = info->tcpi_advmss = (uint32_t)segment;
	info->tcpi_pmtu = (uint32_t)mtu;
	info->tcpi_rto = RTO_US + RTT_US;
	info->tcpi_rtt = RTT_US;
	info->tcpi_rttvar = RTT_US / 2;
	info->tcpi_snd_cwnd = INITIAL_WINDOW;
	info->tcpi_snd_ssthresh = INT32_MAX;
	info->tcpi_reordering = REORDERING;
	info->tcpi_rcv_space = (uint32_t)(INITIAL_WINDOW * segment);
}

/* The tunnel process's numbers where it has a connection: another program on this machine at
 * the far end leaves the state only. */
static int get_tcp_info(const struct wgw_repr_session *s, int fd, uint64_t tag, void *value,
			socklen_t *len)
{
	struct wgw_label label;
	struct tcp_info head = {0};
	enum wgw_repr_tcp_state state = wgw_repr_tcp_state(s, fd, tag, &label);
	struct wgw_op op;
	int rc = -ENOTCONN;

	wgw_repr_op_init(s, &op, WGW_OP_GETOPT, fd, tag);
	op.u.option.level = IPPROTO_TCP;
	op.u.option.name = TCP_INFO;
	if (state == WGW_REPR_CONNECTED)
		rc = wgw_repr_op_call(s, &op);
	if (rc == -EMFILE)
		return rc;
	if (rc == 0 && op.u.option.len >= sizeof(head) &&
	    op.u.option.len <= sizeof(op.u.option.value))
		return put_value(op.u.option.value, op.u.option.len, value, len);
	memset(op.u.option.value, 0, sizeof(op.u.option.value));
	if (state == WGW_REPR_CONNECTED)
		fill_tcp_info(&head, max_segment(&label, interface_mtu(s)), interface_mtu(s));
	head.tcpi_state = tcp_info_state(state, fd);
	memcpy(op.u.option.value, &head, sizeof(head));
	return put_value(op.u.option.value, WGW_TCP_INFO_BYTES, value, len);
}

/* The segment size that the connection uses, which the peer and the path may have made smaller;
 * -EMFILE. */
static int connected_segment(const struct wgw_repr_session *s, int fd, uint64_t tag,
			     const struct wgw_label *label)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);
	int rc = get_tcp_info(s, fd, tag, &info, &len);

	if (rc == -EMFILE)
		return rc;
	if (rc == 0 && info.tcpi_snd_mss)
		return (int)info.tcpi_snd_mss;
	return max_segment(label, interface_mtu(s));
}

static int connected_mtu(const struct wgw_repr_session *s, int fd, uint64_t tag)
{
	static const uint8_t any[16];
	struct wgw_repr_mtus mtus;
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);
	struct wgw_label label;
	struct stack_addr peer;
	int rc;

	if (wgw_tag_kind(tag) == WGW_KIND_TCP) {
		if (wgw_repr_tcp_state(s, fd, tag, &label) != WGW_REPR_CONNECTED)
			return -ENOTCONN;
		rc = get_tcp_info(s, fd, tag, &info, &len);
		return rc < 0 ? rc : (int)info.tcpi_pmtu;
	}
	if (!(tag & WGW_TAG_CONNECTED))
		return -ENOTCONN;
	rc = wgw_repr_peer(s, fd, tag, &peer);
	if (rc < 0)
		return rc;
	wgw_repr_mtus_forget();
	rc = wgw_repr_may_send(s, fd, tag, &peer, any, &mtus);
	return rc == 0 && mtus.path != UINT16_MAX ? mtus.path : interface_mtu(s);
}

static int get_mtu(const struct wgw_repr_session *s, int fd, uint64_t tag, int level, void *value,
		   socklen_t *len)
{
	int mtu = connected_mtu(s, fd, tag);

	return mtu < 0 ? mtu : put_int(level, mtu, value, len);
}

static int get_max_segment(const struct wgw_repr_session *s, int fd, uint64_t tag, void *value,
			   socklen_t *len)
{
	struct wgw_label label;
	int size = 0, rc = 0;

	if (wgw_repr_tcp_state(s, fd, tag, &label) == WGW_REPR_CONNECTED)
		size = rc = connected_segment(s, fd, tag, &label);
	else
		rc = get_bytes(s, fd, tag, IPPROTO_TCP, TCP_MAXSEG, &size, sizeof(size));
	if (rc < 0)
		return rc;
	if (!size)
		size = MAXSEG_UNCONNECTED_BYTES;
	return put_int(IPPROTO_TCP, size, value, len);
}

int wgw_repr_unacked(const struct wgw_repr_session *s, int fd, uint64_t tag, bool unsent)
{
	struct wgw_label label;
	struct wgw_op op;
	int bytes[2], rc;

	if (tag & WGW_TAG_LISTENING)
		return -EINVAL;
	if (wgw_tag_kind(tag) != WGW_KIND_TCP ||
	    wgw_repr_tcp_state(s, fd, tag, &label) != WGW_REPR_CONNECTED)
		return 0;
	wgw_repr_op_init(s, &op, WGW_OP_GETOPT, fd, tag);
	op.u.option.level = IPPROTO_TCP;
	op.u.option.name = WGW_OPTION_UNACKED;
	rc = wgw_repr_op_call(s, &op);
	if (rc < 0 || op.u.option.len != sizeof(bytes))
		return rc == -EMFILE ? rc : 0;
	memcpy(bytes, op.u.option.value, sizeof(bytes));
	return bytes[unsent];
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

/* As getpeername(), but a short buffer is an error: sk_getsockopt(). */
static int get_peer_name(const struct wgw_repr_session *s, int fd, uint64_t tag, void *value,
			 socklen_t *len)
{
	struct sockaddr_storage sa;
	socklen_t size = sizeof(sa);
	int rc = wgw_repr_getpeername(s, fd, tag, &sa, &size);

	if (rc < 0)
		return -ENOTCONN;
	return size < *len ? -EINVAL : put_value(&sa, size, value, len);
}

/* The options of SOL_SOCKET that the AF_UNIX socket would answer wrongly. */
static int get_socket_level(const struct wgw_repr_session *s, int fd, uint64_t tag, int name,
			    void *value, socklen_t *len)
{
	const struct ucred nobody = {0, (uid_t)-1, (gid_t)-1};
	char device[WGW_REPR_DEVICE_NAME_MAX_BYTES] = "";
	uint64_t pacing = UINT64_MAX; /* none */
	int rc;
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
	case SO_ACCEPTCONN:
		return put_int(SOL_SOCKET, tcp && (tag & WGW_TAG_LISTENING) ? 1 : 0, value, len);
	case SO_PEERCRED:
		return put_value(&nobody, sizeof(nobody), value, len);
	case SO_PEERNAME:
		return get_peer_name(s, fd, tag, value, len);
	case SO_MAX_PACING_RATE:
		rc = get_bytes(s, fd, tag, SOL_SOCKET, name, &pacing, sizeof(pacing));
		if (rc < 0)
			return rc;
		if (*len < sizeof(pacing)) {
			const uint32_t low = pacing > UINT32_MAX ? UINT32_MAX : (uint32_t)pacing;

			return put_value(&low, sizeof(low), value, len);
		}
		return put_value(&pacing, sizeof(pacing), value, len);
	case SO_BINDTODEVICE:
		rc = get_bytes(s, fd, tag, SOL_SOCKET, name, device, sizeof(device));
		if (rc < 0)
			return rc;
		if (!device[0]) {
			*len = 0;
			return 0;
		}
		return *len < sizeof(device)
			       ? -EINVAL
			       : put_value(device, (socklen_t)strlen(device) + 1, value, len);
	default:
		return wgw_raw_getsockopt(fd, SOL_SOCKET, name, value, len);
	}
}

/* A bit that is set says the opposite of @initial. */
static int get_in_tag(uint64_t tag, const struct wgw_repr_option *option, void *value,
		      socklen_t *len)
{
	bool on = ((tag & option->bit) != 0) != (option->initial != 0);

	return put_int(option->level, on ? 1 : 0, value, len);
}

static int get_special(const struct wgw_repr_session *s, int fd, uint64_t tag, int level, int name,
		       void *value, socklen_t *len)
{
	char congestion[WGW_REPR_CONGESTION_NAME_MAX_BYTES] = WGW_REPR_CONGESTION_INITIAL;
	int rc;

	if (level == IPPROTO_TCP && name == TCP_INFO)
		return get_tcp_info(s, fd, tag, value, len);
	if (level == IPPROTO_TCP && name == TCP_MAXSEG)
		return get_max_segment(s, fd, tag, value, len);
	if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
		rc = get_bytes(s, fd, tag, level, name, congestion, sizeof(congestion));
		return rc < 0 ? rc : put_value(congestion, sizeof(congestion), value, len);
	}
	if (level == IPPROTO_IP && (name == IP_OPTIONS || name == IP_PKTOPTIONS)) {
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
	int kept, rc;

	if (!option && level == SOL_SOCKET)
		return get_socket_level(s, fd, tag, name, value, len);
	if (!option)
		return is_foreign_level(tag, level) ? -EOPNOTSUPP : -ENOPROTOOPT;
	switch (option->place) {
	case WGW_REPR_OPTION_TAG:
		return get_in_tag(tag, option, value, len);
	case WGW_REPR_OPTION_KEPT:
		rc = wgw_repr_option_kept(s, fd, tag, option, &kept);
		return rc < 0 ? rc : put_int(level, kept, value, len);
	case WGW_REPR_OPTION_SPECIAL:
		return get_special(s, fd, tag, level, name, value, len);
	default:
		return option->initial < 0 ? option->initial
					   : put_int(level, option->initial, value, len);
	}
}
