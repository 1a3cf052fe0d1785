/* SPDX-License-Identifier: MIT */
/*
 * option_set.c - setsockopt
 *
 * What Linux makes of a value is done here, so that it reads back as there. SO_SNDBUF must not
 * reach the AF_UNIX socket: it is what makes a pending connect unwritable, and the record and the
 * keeper are charged to it.
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
	IPV6_MIN_MTU_BYTES = 1280, /* RFC 8200 section 5 */
};

/* Newer than some libc headers. */
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

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
	rc = wgw_repr_op_about(s, &op, fd);
	return rc < 0 ? rc : wgw_repr_tag_change(fd, WGW_TAG_OPTIONS, 0);
}

/* Whether the tunnel process has a connection that an option is for, or a listener whose
 * connections inherit it. */
static bool is_told_at_once(const struct wgw_repr_session *s, int fd, uint64_t tag)
{
	struct wgw_label label;
	enum wgw_repr_tcp_state state;

	if (wgw_tag_kind(tag) != WGW_KIND_TCP)
		return false;
	state = wgw_repr_tcp_state(s, fd, tag, &label);
	return state == WGW_REPR_CONNECTED || state == WGW_REPR_CONNECTING ||
	       state == WGW_REPR_LISTENING;
}

int wgw_repr_tell_inherited(const struct wgw_repr_session *s, int fd, uint64_t tag)
{
	static const int one = 1;
	struct linger linger = {0};
	socklen_t len = sizeof(linger);
	int on = 0, rc = 0;

	if (tag & WGW_TAG_NODELAY)
		rc = set_op(s, fd, tag, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!(tag & WGW_TAG_INHERITED)) /* the others are as they are at first */
		return rc;
	if (rc == 0 && wgw_raw_getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 &&
	    linger.l_onoff)
		rc = set_op(s, fd, tag, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	len = sizeof(on);
	if (rc == 0 && wgw_raw_getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len) == 0 && on)
		rc = set_op(s, fd, tag, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	return rc;
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
	if (option->bit == WGW_TAG_NODELAY && (tag & WGW_TAG_ACCEPTED) && !wgw_repr_is_known(fd))
		return 0;
	if (option->bit != WGW_TAG_RECVERR &&
	    (option->bit != WGW_TAG_NODELAY || !is_told_at_once(s, fd, tag)))
		return 0;
	value = value != 0;
	return set_op(s, fd, tag, option->level, option->name, &value, sizeof(value));
}

/* SO_REUSEADDR or SO_REUSEPORT is set. A TCP bind brings what was set before it; later it counts
 * when another socket binds. A UDP socket may have its port by sending, of which nobody here knows.
 */
static int tell_reuse(const struct wgw_repr_session *s, int fd, uint64_t tag, int name, int on)
{
	bool is_tcp = wgw_tag_kind(tag) == WGW_KIND_TCP;

	if (is_tcp && (!(tag & WGW_TAG_BOUND) || tag & (WGW_TAG_FILLED | WGW_TAG_LISTENING)))
		return 0;
	if (!is_tcp && wgw_tag_kind(tag) != WGW_KIND_UDP)
		return 0;
	on = on != 0;
	return set_op(s, fd, tag, SOL_SOCKET, name, &on, sizeof(on));
}

/* SO_LINGER and SO_KEEPALIVE are read from the socket at connect and listen; later ones are
 * told. */
static int set_native(const struct wgw_repr_session *s, int fd, uint64_t tag, int name,
		      const void *value, socklen_t len)
{
	int rc = wgw_raw_setsockopt(fd, SOL_SOCKET, name, value, len), on;

	if (rc == 0 && name == SO_REUSEADDR) {
		memcpy(&on, value, sizeof(on)); /* the kernel takes nothing shorter */
		return tell_reuse(s, fd, tag, name, on);
	}
	/* SO_REUSEADDR alone is what every server sets: not worth a copy for each connection */
	if (rc == 0 && wgw_tag_kind(tag) == WGW_KIND_TCP && !(tag & WGW_TAG_INHERITED))
		rc = wgw_repr_tag_change(fd, WGW_TAG_INHERITED, 0);
	if (rc == 0 && (name == SO_LINGER || name == SO_KEEPALIVE) && is_told_at_once(s, fd, tag))
		return set_op(s, fd, tag, SOL_SOCKET, name, value, len);
	return rc;
}

/* There is one interface beside the loopback, and every socket is on it. */
static int set_device(const struct wgw_repr_session *s, int fd, uint64_t tag, const void *value,
		      socklen_t len)
{
	char name[WGW_REPR_DEVICE_NAME_MAX_BYTES] = {0};

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
	int on, rc;

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
		rc = on ? wgw_repr_tag_change(fd, WGW_TAG_REUSEPORT, 0)
			: wgw_repr_tag_change(fd, 0, WGW_TAG_REUSEPORT);
		return rc < 0 ? rc : tell_reuse(s, fd, tag, name, on);
	default:
		return set_native(s, fd, tag, name, value, len);
	}
}

/* The names that every kernel has; what is used is the stack's own. */
static int set_congestion(const struct wgw_repr_session *s, int fd, uint64_t tag, const void *value,
			  socklen_t len)
{
	char name[WGW_REPR_CONGESTION_NAME_MAX_BYTES] = {0};

	if (len < 1)
		return -EINVAL;
	memcpy(name, value, len < sizeof(name) - 1 ? len : sizeof(name) - 1);
	if (strcmp(name, WGW_REPR_CONGESTION_INITIAL) != 0 && strcmp(name, "reno") != 0)
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

static int kept(const struct wgw_repr_session *s, int fd, uint64_t tag, int level, int name)
{
	int value;

	wgw_repr_option_kept(s, fd, tag, wgw_repr_option_find(tag, level, name), &value);
	return value;
}

/* An option that decides whether there may be fragments, WGW_TAG_DONTFRAG4 or 6, has changed. */
static int set_fragments(const struct wgw_repr_session *s, int fd, uint64_t tag, uint64_t bit)
{
	const bool v4 = bit == WGW_TAG_DONTFRAG4;
	const uint64_t probe = v4 ? WGW_TAG_PROBE4 : WGW_TAG_PROBE6;
	const int discover = v4 ? kept(s, fd, tag, IPPROTO_IP, IP_MTU_DISCOVER)
				: kept(s, fd, tag, IPPROTO_IPV6, IPV6_MTU_DISCOVER);
	uint64_t now = 0;

	/* the same numbers for both: ip_sk_ignore_df(), ip_sk_use_pmtu() */
	if (discover >= IP_PMTUDISC_DO && discover != IP_PMTUDISC_OMIT)
		now |= bit;
	if (discover >= IP_PMTUDISC_PROBE)
		now |= probe;
	if (!v4 && kept(s, fd, tag, IPPROTO_IPV6, IPV6_DONTFRAG))
		now |= bit;
	return wgw_repr_tag_change(fd, now, (bit | probe) & ~now);
}

/*
 * Twice what was asked for; a negative number is a large one: sock_setsockopt(). How much there is
 * at most is the machine's (net.core.rmem_max, net.core.wmem_max), so a new socket is asked: the
 * program's own buffer is in use. TCP's send buffer has an effect, which stays bounded.
 */
static int buffer_size(const struct wgw_repr_option *option, bool tcp, int value)
{
	int fd = tcp && option->name == SO_SNDBUF
			 ? -1
			 : wgw_raw_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int size = value;
	socklen_t len = sizeof(size);
	bool known = fd >= 0 &&
		     wgw_raw_setsockopt(fd, SOL_SOCKET, option->name, &size, sizeof(size)) == 0 &&
		     wgw_raw_getsockopt(fd, SOL_SOCKET, option->name, &size, &len) == 0;

	if (fd >= 0)
		wgw_raw_close(fd);
	if (known)
		return size;
	if (value < 0 || value > option->max / 2)
		return option->max;
	return 2 * value < option->min ? option->min : 2 * value;
}

/* The time until a SYN+ACK was sent often enough to wait @seconds: secs_to_retrans() of
 * net/ipv4/tcp.c and its reverse. */
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

/* Of a range, two ports in one int, the first is not above the last; an interface is one of
 * ours. 0 or -errno. */
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
		*value = buffer_size(option, tcp, *value);
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
	return set_fragments(s, fd, tag | WGW_TAG_OPTIONS, option->bit);
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
		return (int)len < option->min ? -EINVAL : 0;
	rc = take_int(level, value, len, &number);
	if (rc < 0)
		return rc;
	if (option->place == WGW_REPR_OPTION_IGNORED)
		return number < option->min || number > option->max ? -EINVAL : 0;
	return option->place == WGW_REPR_OPTION_TAG ? set_in_tag(s, fd, tag, option, number)
						    : set_kept(s, fd, tag, option, number);
}
