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

#include <arpa/inet.h>
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
	TCP_STATE_CLOSE_WAIT = 8,
	CONGESTION_NAME_MAX_BYTES = 16,
	DEVICE_NAME_MAX_BYTES = 16,
	V4_HEADERS_BYTES = 40, /* IP and TCP, without options */
	V6_HEADERS_BYTES = 60,
	MAXSEG_UNCONNECTED_BYTES = 536,
	IPV6_MIN_MTU_BYTES = 1280, /* RFC 8200 section 5 */
};

/* Newer than some libc headers. */
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

#define CONGESTION_INITIAL "cubic"

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

/* Bytes that were set, of an option that the tunnel process keeps. @value stays when there are none. */
static bool get_bytes(const struct wgw_repr_session *s, int fd, uint64_t tag, int level, int name,
		      void *value, size_t size)
{
	struct wgw_op op;

	if (!(tag & WGW_TAG_OPTIONS))
		return false;
	wgw_repr_op_init(s, &op, WGW_OP_GETOPT, fd, tag);
	op.u.option.level = level;
	op.u.option.name = name;
	if (wgw_repr_op_call(s, &op, -1) < 0 || op.u.option.len != size)
		return false;
	memcpy(value, op.u.option.value, size);
	return true;
}

/* The tunnel's, which every path has. */
static int interface_mtu(const struct wgw_repr_session *s)
{
	struct wgw_op op;
	int rc;

	wgw_repr_op_init(s, &op, WGW_OP_IFADDRS, -1, 0);
	rc = wgw_repr_op_call(s, &op, -1);
	return rc < 0 ? rc : (int)op.u.resolved.ttl;
}

static int get_mtu(const struct wgw_repr_session *s, int fd, uint64_t tag, int level, void *value,
		   socklen_t *len)
{
	struct wgw_label label;
	bool connected = wgw_tag_kind(tag) == WGW_KIND_TCP
				 ? wgw_repr_tcp_state(s, fd, tag, &label) == WGW_REPR_CONNECTED
				 : (tag & WGW_TAG_CONNECTED) != 0;
	int mtu = connected ? interface_mtu(s) : -ENOTCONN;

	return mtu < 0 ? mtu : put_int(level, mtu, value, len);
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

/* The tunnel process's numbers where it has a connection: another program on this machine at the far end
 * leaves the state only. */
static int get_tcp_info(const struct wgw_repr_session *s, int fd, uint64_t tag, void *value,
			socklen_t *len)
{
	struct wgw_label label;
	struct tcp_info head = {0};
	enum wgw_repr_tcp_state state = wgw_repr_tcp_state(s, fd, tag, &label);
	struct wgw_op op;

	wgw_repr_op_init(s, &op, WGW_OP_GETOPT, fd, tag);
	op.u.option.level = IPPROTO_TCP;
	op.u.option.name = TCP_INFO;
	if (state == WGW_REPR_CONNECTED && wgw_repr_op_call(s, &op, -1) == 0 &&
	    op.u.option.len >= sizeof(head) && op.u.option.len <= sizeof(op.u.option.value))
		return put_value(op.u.option.value, op.u.option.len, value, len);
	memset(op.u.option.value, 0, sizeof(op.u.option.value));
	if (state == WGW_REPR_CONNECTED)
		fill_tcp_info(&head, max_segment(&label, interface_mtu(s)), interface_mtu(s));
	head.tcpi_state = tcp_info_state(state, fd);
	memcpy(op.u.option.value, &head, sizeof(head));
	return put_value(op.u.option.value, WGW_TCP_INFO_BYTES, value, len);
}

/* The segment size that the connection uses, which the peer and the path may have made smaller. */
static int connected_segment(const struct wgw_repr_session *s, int fd, uint64_t tag,
			     const struct wgw_label *label)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (get_tcp_info(s, fd, tag, &info, &len) == 0 && info.tcpi_snd_mss)
		return (int)info.tcpi_snd_mss;
	return max_segment(label, interface_mtu(s));
}

static int get_max_segment(const struct wgw_repr_session *s, int fd, uint64_t tag, void *value,
			   socklen_t *len)
{
	struct wgw_label label;
	int size = 0;

	if (wgw_repr_tcp_state(s, fd, tag, &label) == WGW_REPR_CONNECTED)
		size = connected_segment(s, fd, tag, &label);
	else
		get_bytes(s, fd, tag, IPPROTO_TCP, TCP_MAXSEG, &size, sizeof(size));
	if (!size)
		size = MAXSEG_UNCONNECTED_BYTES;
	return put_int(IPPROTO_TCP, size, value, len);
}

int wgw_repr_unacked(const struct wgw_repr_session *s, int fd, uint64_t tag, bool unsent)
{
	struct wgw_label label;
	struct wgw_op op;
	int bytes[2];

	if (tag & WGW_TAG_LISTENING)
		return -EINVAL;
	if (wgw_tag_kind(tag) != WGW_KIND_TCP ||
	    wgw_repr_tcp_state(s, fd, tag, &label) != WGW_REPR_CONNECTED)
		return 0;
	wgw_repr_op_init(s, &op, WGW_OP_GETOPT, fd, tag);
	op.u.option.level = IPPROTO_TCP;
	op.u.option.name = WGW_OPTION_UNACKED;
	if (wgw_repr_op_call(s, &op, -1) < 0 || op.u.option.len != sizeof(bytes))
		return 0;
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
	char device[DEVICE_NAME_MAX_BYTES];
	uint64_t pacing = UINT64_MAX; /* none */
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
		get_bytes(s, fd, tag, SOL_SOCKET, name, &pacing, sizeof(pacing));
		if (*len < sizeof(pacing)) {
			const uint32_t low = pacing > UINT32_MAX ? UINT32_MAX : (uint32_t)pacing;

			return put_value(&low, sizeof(low), value, len);
		}
		return put_value(&pacing, sizeof(pacing), value, len);
	case SO_BINDTODEVICE:
		if (!get_bytes(s, fd, tag, SOL_SOCKET, name, device, sizeof(device)) ||
		    !device[0]) {
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
	char congestion[CONGESTION_NAME_MAX_BYTES] = CONGESTION_INITIAL;

	if (level == IPPROTO_TCP && name == TCP_INFO)
		return get_tcp_info(s, fd, tag, value, len);
	if (level == IPPROTO_TCP && name == TCP_MAXSEG)
		return get_max_segment(s, fd, tag, value, len);
	if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
		get_bytes(s, fd, tag, level, name, congestion, sizeof(congestion));
		return put_value(congestion, sizeof(congestion), value, len);
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
		return option->initial < 0 ? option->initial
					   : put_int(level, option->initial, value, len);
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
	bool set = (value != 0) != (option->initial != 0);
	int rc;

	if (option->bit == WGW_TAG_V6ONLY && (tag & (WGW_TAG_BOUND | WGW_TAG_CONNECTED)))
		return -EINVAL;
	if (value && (option->bit & (WGW_TAG_ANCILLARY | WGW_TAG_RECVERR)) &&
	    wgw_tag_kind(tag) != WGW_KIND_TCP) {
		rc = wgw_repr_udp_unraw(s, fd, &tag);
		if (rc < 0)
			return rc;
	}
	rc = set ? wgw_repr_tag_change(fd, option->bit, 0)
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

	/* SO_REUSEADDR alone is what every server sets: not worth a copy for each connection */
	if (rc == 0 && name != SO_REUSEADDR && wgw_tag_kind(tag) == WGW_KIND_TCP &&
	    !(tag & WGW_TAG_INHERITED))
		rc = wgw_repr_tag_change(fd, WGW_TAG_INHERITED, 0);
	if (rc == 0 && (name == SO_LINGER || name == SO_KEEPALIVE) && is_connected(s, fd, tag))
		return set_op(s, fd, tag, SOL_SOCKET, name, value, len);
	return rc;
}

/* There is one interface beside the loopback, and every socket is on it. */
static int set_device(const struct wgw_repr_session *s, int fd, uint64_t tag, const void *value,
		      socklen_t len)
{
	char name[DEVICE_NAME_MAX_BYTES] = {0};

	memcpy(name, value, len < sizeof(name) - 1 ? len : sizeof(name) - 1);
	if (name[0] && strcmp(name, WGW_REPR_INTERFACE) != 0)
		return -ENODEV;
	return set_op(s, fd, tag, SOL_SOCKET, SO_BINDTODEVICE, name, sizeof(name));
}

static int set_pacing(const struct wgw_repr_session *s, int fd, uint64_t tag, const void *value,
		      socklen_t len)
{
	uint64_t rate;
	uint32_t low;

	if (len < sizeof(low))
		return -EINVAL;
	memcpy(&low, value, sizeof(low));
	rate = low == UINT32_MAX ? UINT64_MAX : low;
	if (len >= sizeof(rate))
		memcpy(&rate, value, sizeof(rate));
	return set_op(s, fd, tag, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
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
		return set_device(s, fd, tag, value, len);
	case SO_MAX_PACING_RATE: /* the tag is there */
		return set_pacing(s, fd, tag, value, len);
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

/* The names that every kernel has; what is used is the stack's own. */
static int set_congestion(const struct wgw_repr_session *s, int fd, uint64_t tag, const void *value,
			  socklen_t len)
{
	char name[CONGESTION_NAME_MAX_BYTES] = {0};

	if (len < 1)
		return -EINVAL;
	memcpy(name, value, len < sizeof(name) - 1 ? len : sizeof(name) - 1);
	if (strcmp(name, CONGESTION_INITIAL) != 0 && strcmp(name, "reno") != 0)
		return -ENOENT;
	return set_op(s, fd, tag, IPPROTO_TCP, TCP_CONGESTION, name, sizeof(name));
}

static int set_max_segment(const struct wgw_repr_session *s, int fd, uint64_t tag,
			   const struct wgw_repr_option *option, const void *value, socklen_t len)
{
	int number;

	if (take_int(IPPROTO_TCP, value, len, &number) < 0 ||
	    (number && (number < option->min || number > option->max)))
		return -EINVAL;
	return set_op(s, fd, tag, IPPROTO_TCP, TCP_MAXSEG, &number, sizeof(number));
}

static int set_special(const struct wgw_repr_session *s, int fd, uint64_t tag,
		       const struct wgw_repr_option *option, const void *value, socklen_t len)
{
	int number, rc;

	if (option->level == IPPROTO_IP && option->name == IP_OPTIONS)
		return len == 0 ? 0 : -EINVAL;
	if (option->level == IPPROTO_IPV6 && option->name == IPV6_MTU) {
		/* The size of fragments; the tunnel's MTU decides that */
		rc = take_int(option->level, value, len, &number);
		if (rc < 0)
			return rc;
		return number == 0 || number >= IPV6_MIN_MTU_BYTES ? 0 : -EINVAL;
	}
	if (option->level == IPPROTO_TCP && option->name == TCP_CONGESTION)
		return set_congestion(s, fd, tag, value, len);
	if (option->level == IPPROTO_TCP && option->name == TCP_MAXSEG)
		return set_max_segment(s, fd, tag, option, value, len);
	return -ENOPROTOOPT;
}

static bool forbids_fragments(const struct wgw_repr_session *s, int fd, uint64_t tag, int level,
			      int name)
{
	int value = get_kept(s, fd, tag, wgw_repr_option_find(tag, level, name));

	if (name == IPV6_DONTFRAG && level == IPPROTO_IPV6)
		return value != 0;
	/* the same numbers for both: ip_sk_ignore_df() */
	return value >= IP_PMTUDISC_DO && value != IP_PMTUDISC_OMIT;
}

/* An option that decides whether there may be fragments has changed. */
static int set_dont_fragment(const struct wgw_repr_session *s, int fd, uint64_t tag, uint64_t bit)
{
	bool on = bit == WGW_TAG_DONTFRAG4
			  ? forbids_fragments(s, fd, tag, IPPROTO_IP, IP_MTU_DISCOVER)
			  : forbids_fragments(s, fd, tag, IPPROTO_IPV6, IPV6_MTU_DISCOVER) ||
				    forbids_fragments(s, fd, tag, IPPROTO_IPV6, IPV6_DONTFRAG);

	return on ? wgw_repr_tag_change(fd, bit, 0) : wgw_repr_tag_change(fd, 0, bit);
}

/* Twice what was asked for; a negative number is a large one: sock_setsockopt(). */
static int buffer_size(const struct wgw_repr_option *option, int value)
{
	if (value < 0 || value > option->max / 2)
		return option->max;
	return 2 * value < option->min ? option->min : 2 * value;
}

/* The time until a SYN+ACK was sent often enough to wait @seconds: secs_to_retrans() of net/ipv4/tcp.c and
 * its reverse. */
static int defer_seconds(int seconds)
{
	enum { FIRST_RTO_S = 1, RTO_MAX_S = 120, RETRIES_MAX = 255 };
	int rto = FIRST_RTO_S, total = FIRST_RTO_S;

	if (seconds <= 0)
		return 0;
	for (int retries = 1; total < seconds && retries < RETRIES_MAX; retries++) {
		rto = 2 * rto < RTO_MAX_S ? 2 * rto : RTO_MAX_S;
		total += rto;
	}
	return total;
}

/* What do_tcp_setsockopt() makes of values that it does not refuse. */
static int tcp_value(const struct wgw_repr_option *option, int value)
{
	enum { FIN_TIMEOUT_MAX_S = 120, WINDOW_CLAMP_MIN_BYTES = 1152 };

	switch (option->name) {
	case TCP_DEFER_ACCEPT:
		return defer_seconds(value);
	case TCP_LINGER2:
		if (value <= 0)
			return value < 0 ? -1 : option->initial;
		return value < FIN_TIMEOUT_MAX_S ? value : FIN_TIMEOUT_MAX_S;
	case TCP_WINDOW_CLAMP:
		return value && value < WINDOW_CLAMP_MIN_BYTES ? WINDOW_CLAMP_MIN_BYTES : value;
	default:
		return value;
	}
}

/* Of a range, two ports in one int, the first is not above the last; an interface is one of ours. 0 or
 * -errno. */
static int check_ip(const struct wgw_repr_option *option, int value)
{
	uint32_t first = (uint32_t)value & UINT16_MAX, last = (uint32_t)value >> 16;

	if (option->level == IPPROTO_IP && option->name == IP_LOCAL_PORT_RANGE)
		return first && last && first > last ? -EINVAL : 0;
	if (option->name == (option->level == IPPROTO_IP ? IP_UNICAST_IF : IPV6_UNICAST_IF))
		return ntohl((uint32_t)value) > WGW_REPR_INTERFACE_INDEX ? -EADDRNOTAVAIL : 0;
	return 0;
}

/* Replaces *@value by what Linux makes of it. 0 or -errno. */
static int check_kept(uint64_t tag, const struct wgw_repr_option *option, int *value)
{
	const int ecn = 3;
	bool tcp = wgw_tag_kind(tag) == WGW_KIND_TCP;

	if (option->level == SOL_SOCKET && (option->name == SO_SNDBUF || option->name == SO_RCVBUF))
		*value = buffer_size(option, *value);
	else if (*value == -1 && (option->flags & WGW_REPR_OPTION_MINUS_RESETS))
		*value = option->initial;
	else if (option->flags & WGW_REPR_OPTION_BOOL)
		*value = *value != 0;
	else if (option->flags & WGW_REPR_OPTION_OCTET)
		*value &= tcp ? UINT8_MAX & ~ecn : UINT8_MAX;
	else if (*value > option->max && (option->flags & WGW_REPR_OPTION_CLAMPED))
		*value = option->max;
	else if (*value < option->min || *value > option->max)
		return option->refusal ? -option->refusal : -EINVAL;
	else if (option->level == IPPROTO_TCP)
		*value = tcp_value(option, *value);
	else if (tcp && option->level == IPPROTO_IPV6 && option->name == IPV6_TCLASS)
		*value &= ~ecn;
	return option->level == SOL_SOCKET ? 0 : check_ip(option, *value);
}

static int set_kept(const struct wgw_repr_session *s, int fd, uint64_t tag,
		    const struct wgw_repr_option *option, int value)
{
	int rc;

	rc = check_kept(tag, option, &value);
	if (rc < 0)
		return rc;
	rc = set_op(s, fd, tag, option->level, option->name, &value, sizeof(value));
	if (rc < 0 || !option->bit || wgw_tag_kind(tag) == WGW_KIND_TCP)
		return rc;
	return set_dont_fragment(s, fd, tag | WGW_TAG_OPTIONS, option->bit);
}

static int refuse(const struct wgw_repr_option *option, const void *value, socklen_t len)
{
	int number;

	if ((int)len < option->min)
		return -EINVAL;
	if ((option->flags & WGW_REPR_OPTION_OFF) &&
	    take_int(option->level, value, len, &number) == 0 && number == 0)
		return 0;
	return -option->refusal;
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
		return refuse(option, value, len);
	if (option->place == WGW_REPR_OPTION_SPECIAL)
		return set_special(s, fd, tag, option, value, len);
	if (option->place == WGW_REPR_OPTION_IGNORED && option->max == 0)
		return 0;
	rc = take_int(level, value, len, &number);
	if (rc < 0)
		return rc;
	if (option->place == WGW_REPR_OPTION_IGNORED)
		return number < option->min || number > option->max ? -EINVAL : 0;
	return option->place == WGW_REPR_OPTION_TAG ? set_in_tag(s, fd, tag, option, number)
						    : set_kept(s, fd, tag, option, number);
}
