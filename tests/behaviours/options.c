/* SPDX-License-Identifier: MIT */
/* options.c - getsockopt(2) and setsockopt(2) */
#include "behave.h"

#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef TCP_NOTSENT_LOWAT
#define TCP_NOTSENT_LOWAT 25
#endif

struct row {
	const char *name;
	int level, option, value;
};

#define ROW(level, option, value)                                                                  \
	{                                                                                          \
#option, level, option, value                                                      \
	}

/* Reads, sets, reads. */
static void go_through(int fd, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int before = get_int(fd, rows[i].level, rows[i].option);
		int rc = set_int(fd, rows[i].level, rows[i].option, rows[i].value);
		const char *set = err_name(rc ? errno : 0);

		printf("%s: %d, set %d: %s, %d\n", rows[i].name, before, rows[i].value, set,
		       get_int(fd, rows[i].level, rows[i].option));
	}
}

#define GO_THROUGH(fd, rows) go_through(fd, rows, sizeof(rows) / sizeof(*(rows)))

static const struct row socket_rows[] = {
	ROW(SOL_SOCKET, SO_REUSEADDR, 1),    ROW(SOL_SOCKET, SO_REUSEPORT, 1),
	ROW(SOL_SOCKET, SO_KEEPALIVE, 1),    ROW(SOL_SOCKET, SO_BROADCAST, 1),
	ROW(SOL_SOCKET, SO_DONTROUTE, 1),    ROW(SOL_SOCKET, SO_OOBINLINE, 1),
	ROW(SOL_SOCKET, SO_PRIORITY, 4),     ROW(SOL_SOCKET, SO_RCVLOWAT, 3),
	ROW(SOL_SOCKET, SO_TIMESTAMP, 1),    ROW(SOL_SOCKET, SO_TYPE, 1),
	ROW(SOL_SOCKET, SO_ERROR, 1),	     ROW(SOL_SOCKET, SO_DOMAIN, 1),
	ROW(SOL_SOCKET, SO_ACCEPTCONN, 1),   ROW(SOL_SOCKET, SO_MARK, 0),
	ROW(SOL_SOCKET, SO_NO_CHECK, 1),     ROW(SOL_SOCKET, SO_RXQ_OVFL, 1),
	ROW(SOL_SOCKET, SO_INCOMING_CPU, 0), ROW(SOL_SOCKET, 999, 1),
	ROW(SOL_SOCKET, SO_SNDBUF, 20000),   ROW(SOL_SOCKET, SO_SNDBUF, 1),
	ROW(SOL_SOCKET, SO_RCVBUF, 20000),   ROW(SOL_SOCKET, SO_RCVBUF, 1),
	ROW(SOL_SOCKET, SO_SNDBUF, 1 << 30), ROW(SOL_SOCKET, SO_RCVBUF, 1 << 30),
};

CASE(socket_level_udp)
{
	GO_THROUGH(udp_socket(false), socket_rows);
}

CASE(socket_level_tcp)
{
	/* a TCP socket's buffers start with other sizes, which sysctls choose */
	go_through(tcp_socket(false, 0), socket_rows,
		   sizeof(socket_rows) / sizeof(*socket_rows) - 6);
}

CASE(buffer_sizes_tcp)
{
	int fd = tcp_socket(false, 0);

	did("send buffer", set_int(fd, SOL_SOCKET, SO_SNDBUF, 30000));
	did("receive buffer", set_int(fd, SOL_SOCKET, SO_RCVBUF, 30000));
	printf("%d %d\n", get_int(fd, SOL_SOCKET, SO_SNDBUF), get_int(fd, SOL_SOCKET, SO_RCVBUF));
	did("connect", connect_to(fd, host(false), HELLO_PORT));
	printf("%d %d\n", get_int(fd, SOL_SOCKET, SO_SNDBUF), get_int(fd, SOL_SOCKET, SO_RCVBUF));
	read_out(fd);
}

CASE(buffer_sizes_initial)
{
	int fd = tcp_socket(false, 0);

	printf("%d %d\n", get_int(fd, SOL_SOCKET, SO_SNDBUF), get_int(fd, SOL_SOCKET, SO_RCVBUF));
}

CASE(tcp_level)
{
	static const struct row rows[] = {
		ROW(IPPROTO_TCP, TCP_NODELAY, 1),
		ROW(IPPROTO_TCP, TCP_CORK, 1),
		ROW(IPPROTO_TCP, TCP_KEEPIDLE, 60),
		ROW(IPPROTO_TCP, TCP_KEEPIDLE, 0),
		ROW(IPPROTO_TCP, TCP_KEEPINTVL, 20),
		ROW(IPPROTO_TCP, TCP_KEEPINTVL, 40000),
		ROW(IPPROTO_TCP, TCP_KEEPCNT, 4),
		ROW(IPPROTO_TCP, TCP_KEEPCNT, 200),
		ROW(IPPROTO_TCP, TCP_SYNCNT, 3),
		ROW(IPPROTO_TCP, TCP_SYNCNT, 0),
		ROW(IPPROTO_TCP, TCP_DEFER_ACCEPT, 0),
		ROW(IPPROTO_TCP, TCP_USER_TIMEOUT, 5000),
		ROW(IPPROTO_TCP, TCP_USER_TIMEOUT, -1),
		ROW(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384),
		ROW(IPPROTO_TCP, TCP_QUICKACK, 1),
		ROW(IPPROTO_TCP, TCP_LINGER2, 30),
		ROW(IPPROTO_TCP, TCP_REPAIR, 1),
		ROW(IPPROTO_TCP, 9999, 1),
		ROW(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1),
	};

	GO_THROUGH(tcp_socket(false, 0), rows);
	GO_THROUGH(udp_socket(false), rows);
}

CASE(cork_and_quickack)
{
	int fd = server(false, "echo");

	did("cork", set_int(fd, IPPROTO_TCP, TCP_CORK, 1));
	printf("%d\n", get_int(fd, IPPROTO_TCP, TCP_CORK));
	did("uncork", set_int(fd, IPPROTO_TCP, TCP_CORK, 0));
	did("quickack", set_int(fd, IPPROTO_TCP, TCP_QUICKACK, 0));
	printf("%d\n", get_int(fd, IPPROTO_TCP, TCP_QUICKACK));
}

CASE(defer_accept_and_fastopen)
{
	int fd = tcp_socket(false, 0);

	did("defer", set_int(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1));
	printf("%d\n", get_int(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0);
	did("bind", bind_to(fd, "0.0.0.0", 0));
	did("listen", listen(fd, 5));
	did("fastopen", set_int(fd, IPPROTO_TCP, TCP_FASTOPEN, 5));
	printf("%d\n", get_int(fd, IPPROTO_TCP, TCP_FASTOPEN));
}

CASE(max_segment)
{
	int fd = tcp_socket(false, 0);

	printf("unconnected %d\n", get_int(fd, IPPROTO_TCP, TCP_MAXSEG));
	did("set", set_int(fd, IPPROTO_TCP, TCP_MAXSEG, 1000));
	did("too small", set_int(fd, IPPROTO_TCP, TCP_MAXSEG, 10));
	fd = server(false, "echo");
	printf("connected, plausible: %d\n", get_int(fd, IPPROTO_TCP, TCP_MAXSEG) > 1200 &&
						     get_int(fd, IPPROTO_TCP, TCP_MAXSEG) <= 1380);
}

CASE(upper_layer_protocol)
{
	int fd = server(false, "echo");

	did("tls", setsockopt(fd, IPPROTO_TCP, TCP_ULP, "no-such", 7));
}

CASE(congestion)
{
	char name[16] = "";
	socklen_t len = sizeof(name);
	int fd = tcp_socket(false, 0);

	did("get", getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len));
	printf("length %u, named %d\n", len, name[0] != '\0');
	did("reno", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	len = sizeof(name);
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len);
	printf("%s\n", name);
	did("unknown", setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nothing", 7));
}

/* What a measurement may be, from @low on and below @end. */
static bool within(uint64_t value, uint64_t low, uint64_t end)
{
	return low <= value && value < end;
}

CASE(tcp_info)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int fd = tcp_socket(false, 0), port;

	did("get", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	printf("length %u state %d\n", len, info.tcpi_state);
	fd = listener_on("0.0.0.0", &port, 7);
	len = sizeof(info);
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	printf("listening: state %d\n", info.tcpi_state);
	fd = server(false, "echo");
	send(fd, "hello", 5, 0);
	wait_in(fd);
	len = sizeof(info);
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	printf("connected: state %d, mss %d, rtt %d, rto %d, cwnd %d, pmtu %d\n", info.tcpi_state,
	       within(info.tcpi_snd_mss, 501, 1500), within(info.tcpi_rtt, 1, 5000000),
	       within(info.tcpi_rto, 1000, 60000000), within(info.tcpi_snd_cwnd, 1, 100000),
	       info.tcpi_pmtu == 1420);
	len = 8;
	did("a short buffer", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	printf("length %u\n", len);
	shutdown(fd, SHUT_WR);
	nap_ms(300);
	len = sizeof(info);
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	printf("both shut, not established: %d\n", info.tcpi_state != 1);
}

/* netinet/tcp.h's struct tcp_info ends before these: offsets of include/uapi/linux/tcp.h. */
enum {
	INFO_BYTES_ACKED_AT = 120,
	INFO_BYTES_RECEIVED_AT = 128,
	INFO_MIN_RTT_AT = 148,
	INFO_BYTES_SENT_AT = 200,
	INFO_BYTES_RETRANS_AT = 208,
};

static unsigned long long info_u64(const uint8_t *info, size_t at)
{
	uint64_t value;

	memcpy(&value, info + at, sizeof(value));
	return value;
}

/* What a transfer leaves in the measurements. */
CASE(tcp_info_measures)
{
	static char data[200000];
	uint8_t raw[512] = {0};
	socklen_t len = sizeof(raw);
	struct tcp_info info;
	uint32_t min_rtt;
	int fd = server(false, "echo");
	size_t sent = 0, got = 0;

	while (got < sizeof(data)) {
		size_t left = sizeof(data) - sent;
		ssize_t n = send(fd, data + sent, left < 20000 ? left : 20000, MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		n = recv(fd, data, sizeof(data), sent < sizeof(data) ? MSG_DONTWAIT : 0);
		if (n == 0)
			break;
		got += n > 0 ? (size_t)n : 0;
	}
	printf("echoed %zu\n", got);
	nap_ms(300);
	did("get", getsockopt(fd, IPPROTO_TCP, TCP_INFO, raw, &len));
	printf("the longer struct: %d\n", len >= 224);
	memcpy(&info, raw, sizeof(info));
	memcpy(&min_rtt, raw + INFO_MIN_RTT_AT, sizeof(min_rtt));
	printf("received %llu\n", info_u64(raw, INFO_BYTES_RECEIVED_AT));
	printf("acknowledged all: %d\n",
	       within(info_u64(raw, INFO_BYTES_ACKED_AT), sizeof(data), sizeof(data) + 10));
	printf("sent, without repetitions: %llu\n",
	       info_u64(raw, INFO_BYTES_SENT_AT) - info_u64(raw, INFO_BYTES_RETRANS_AT));
	printf("nothing in flight: %d\n", info.tcpi_unacked == 0 && info.tcpi_lost == 0);
	printf("rtt %d, rttvar %d, min %d\n", within(info.tcpi_rtt, 1, 2000000),
	       within(info.tcpi_rttvar, 1, 2000000), within(min_rtt, 1, 1000001));
	printf("rto above rtt: %d\n", info.tcpi_rto >= 200000 && info.tcpi_rto > info.tcpi_rtt);
	printf("window at least the first one: %d\n", info.tcpi_snd_cwnd >= 10);
	printf("segment %d pmtu %u\n", within(info.tcpi_snd_mss, 1361, 1381), info.tcpi_pmtu);
	printf("segment is TCP_MAXSEG: %d\n",
	       get_int(fd, IPPROTO_TCP, TCP_MAXSEG) == (int)info.tcpi_snd_mss);
	printf("state %d, loss state %d, retransmits %d\n", info.tcpi_state, info.tcpi_ca_state,
	       info.tcpi_retransmits);
}

/* A peer that does not read: what it has not acknowledged is counted. */
CASE(unacknowledged_bytes)
{
	static char data[65536];
	int fd = server(false, "hold"), n = -1, unsent = -1;

	for (bool more = true; more; nap_ms(200)) { /* until the peer's buffers are full, too */
		for (more = false; send(fd, data, sizeof(data), MSG_DONTWAIT) > 0;)
			more = true;
	}
	did("SIOCOUTQ", ioctl(fd, SIOCOUTQ, &n));
	printf("much: %d\n", n > 10000);
	did("SIOCOUTQNSD", ioctl(fd, SIOCOUTQNSD, &unsent));
	printf("some of it has not left: %d\n", unsent > 0 && unsent <= n);
}

CASE(tcp_info_of_an_accepted_connection)
{
	int port, fd = listener_on("0.0.0.0", &port, 5), conn;
	struct tcp_info info;
	socklen_t len = sizeof(info);

	dial(false, port, "close");
	conn = accept(fd, NULL, NULL);
	did("accept", conn);
	wait_in(conn);
	nap_ms(100);
	did("get", getsockopt(conn, IPPROTO_TCP, TCP_INFO, &info, &len));
	printf("state %d, segment %d, rtt %d\n", info.tcpi_state,
	       within(info.tcpi_snd_mss, 1361, 1381), info.tcpi_rtt > 0);
}

static const struct row ip_rows[] = {
	ROW(IPPROTO_IP, IP_TOS, 0x10),
	ROW(IPPROTO_IP, IP_TTL, 33),
	ROW(IPPROTO_IP, IP_TTL, 0),
	ROW(IPPROTO_IP, IP_TTL, 300),
	ROW(IPPROTO_IP, IP_TTL, -1),
	ROW(IPPROTO_IP, IP_RECVERR, 1),
	ROW(IPPROTO_IP, IP_PKTINFO, 1),
	ROW(IPPROTO_IP, IP_RECVTTL, 1),
	ROW(IPPROTO_IP, IP_RECVTOS, 1),
	ROW(IPPROTO_IP, IP_MTU_DISCOVER, 2),
	ROW(IPPROTO_IP, IP_MTU_DISCOVER, 9),
	ROW(IPPROTO_IP, IP_FREEBIND, 1),
	ROW(IPPROTO_IP, IP_MTU, 1),
	ROW(IPPROTO_IP, IP_HDRINCL, 1),
	ROW(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1),
	ROW(IPPROTO_IP, IP_TRANSPARENT, 1),
	ROW(IPPROTO_IP, IP_MINTTL, 3),
	ROW(IPPROTO_IP, 999, 1),
};

CASE(ip_level)
{
	GO_THROUGH(tcp_socket(false, 0), ip_rows);
	GO_THROUGH(udp_socket(false), ip_rows);
}

CASE(ipv6_level)
{
	static const struct row rows[] = {
		ROW(IPPROTO_IPV6, IPV6_V6ONLY, 1),
		ROW(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 33),
		ROW(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 300),
		ROW(IPPROTO_IPV6, IPV6_TCLASS, 0x20),
		ROW(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1),
		ROW(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1),
		ROW(IPPROTO_IPV6, IPV6_RECVTCLASS, 1),
		ROW(IPPROTO_IPV6, IPV6_RECVERR, 1),
		ROW(IPPROTO_IPV6, IPV6_MTU_DISCOVER, 2),
		ROW(IPPROTO_IPV6, IPV6_DONTFRAG, 1),
		ROW(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 5),
		ROW(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0),
		ROW(IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 1),
		ROW(IPPROTO_IPV6, 999, 1),
		ROW(IPPROTO_IP, IP_TOS, 0x10),
		ROW(IPPROTO_IP, IP_TTL, 33),
	};

	GO_THROUGH(tcp_socket(true, 0), rows);
	GO_THROUGH(udp_socket(true), rows);
	GO_THROUGH(tcp_socket(false, 0), rows);
}

CASE(path_mtu)
{
	int fd = udp_socket(false);

	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	printf("udp %d\n", get_int(fd, IPPROTO_IP, IP_MTU));
	fd = server(false, "echo");
	printf("tcp %d\n", get_int(fd, IPPROTO_IP, IP_MTU));
	fd = server(true, "echo");
	printf("tcp6 %d\n", get_int(fd, IPPROTO_IPV6, IPV6_MTU));
}

CASE(timeouts)
{
	struct timeval tv = {2, 500000}, back = {0};
	socklen_t len = sizeof(back);
	int fd = tcp_socket(false, 0);

	did("receive", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	did("send", setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &back, &len);
	printf("%ld.%06ld length %u\n", back.tv_sec, back.tv_usec, len);
	tv.tv_usec = 1000000;
	did("bad", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	did("short", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, 4));
}

CASE(linger)
{
	struct linger on = {1, 7}, back = {0};
	socklen_t len = sizeof(back);
	int fd = tcp_socket(false, 0);

	did("set", setsockopt(fd, SOL_SOCKET, SO_LINGER, &on, sizeof(on)));
	getsockopt(fd, SOL_SOCKET, SO_LINGER, &back, &len);
	printf("%d %d length %u\n", back.l_onoff, back.l_linger, len);
	did("short", setsockopt(fd, SOL_SOCKET, SO_LINGER, &on, 4));
}

CASE(arguments)
{
	char byte = 1, big[64];
	socklen_t len = 1;
	int fd = tcp_socket(false, 0), value = 0;

	did("short set", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &byte, 1));
	did("short set of IP", setsockopt(fd, IPPROTO_IP, IP_TTL, &byte, 1));
	did("short set of TCP", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &byte, 1));
	did("long set", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, big, sizeof(big)));
	did("short get", getsockopt(fd, SOL_SOCKET, SO_TYPE, &byte, &len));
	printf("length %u\n", len);
	did("short get of IP", getsockopt(fd, IPPROTO_IP, IP_TTL, &byte, &len));
	printf("length %u value %d\n", len, byte);
	len = sizeof(big);
	did("long get", getsockopt(fd, SOL_SOCKET, SO_TYPE, big, &len));
	printf("length %u\n", len);
	len = (socklen_t)-1;
	did("negative get", getsockopt(fd, SOL_SOCKET, SO_TYPE, big, &len));
	did("negative set", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, (socklen_t)-1));
	did("unknown level", set_int(fd, 250, 1, 1));
	printf("get of it: %d\n", get_int(fd, 250, 1));
	did("udp level on tcp", set_int(fd, IPPROTO_UDP, 1, 1));
	did("tcp level on udp", set_int(udp_socket(false), IPPROTO_TCP, TCP_NODELAY, 1));
	did("no buffer", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, NULL, 4));
}

CASE(devices)
{
	char name[IFNAMSIZ] = "";
	socklen_t len = sizeof(name);
	int fd = tcp_socket(false, 0);

	did("none", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
	did("an unknown one", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nothing9", 8));
	did("get", getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len));
	printf("\"%s\" %u\n", name, len);
}

CASE(bind_to_the_tunnel)
{
	int fd = tcp_socket(false, 0);

	did("to wg0", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "wg0", 3));
	did("connect", connect_to(fd, host(false), HELLO_PORT));
}

CASE(pacing)
{
	unsigned int rate = 100000;
	socklen_t len = sizeof(rate);
	int fd = server(false, "echo");
	char data[8];

	did("set", setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate)));
	did("get", getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &len));
	said("send", send(fd, "hello", 5, 0));
	said("recv", recv(fd, data, 5, MSG_WAITALL));
	show_names(fd);
}

CASE(pacing_is_read_back)
{
	unsigned int rate = 100000;
	socklen_t len = sizeof(rate);
	int fd = tcp_socket(false, 0);

	setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
	rate = 0;
	getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &len);
	printf("%u, length %u\n", rate, len);
}

CASE(filters)
{
	did("detach", setsockopt(udp_socket(false), SOL_SOCKET, SO_DETACH_FILTER, &(int){0}, 4));
}

CASE(multicast)
{
	struct ip_mreq group = {.imr_multiaddr.s_addr = inet_addr("239.1.2.3")};
	static const struct row rows[] = {
		ROW(IPPROTO_IP, IP_MULTICAST_TTL, 5),
		ROW(IPPROTO_IP, IP_MULTICAST_LOOP, 0),
		ROW(IPPROTO_IP, IP_MULTICAST_ALL, 0),
	};
	int fd = udp_socket(false);

	GO_THROUGH(fd, rows);
	did("leave", setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof(group)));
}

CASE(multicast_join)
{
	struct ip_mreq group = {.imr_multiaddr.s_addr = inet_addr("239.1.2.3")};
	int fd = udp_socket(false);

	group.imr_interface.s_addr = inet_addr(self(false));
	did("join", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)));
}

CASE(options_survive_connect)
{
	int fd = tcp_socket(false, 0);

	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 50);
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(fd, IPPROTO_IP, IP_TOS, 8);
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 9000);
	did("connect", connect_to(fd, host(false), COMMAND_PORT));
	printf("%d %d %d %d %d\n", get_int(fd, SOL_SOCKET, SO_KEEPALIVE),
	       get_int(fd, IPPROTO_TCP, TCP_KEEPIDLE), get_int(fd, IPPROTO_TCP, TCP_NODELAY),
	       get_int(fd, IPPROTO_IP, IP_TOS), get_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT));
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 40);
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 0);
	printf("%d %d\n", get_int(fd, IPPROTO_TCP, TCP_KEEPIDLE),
	       get_int(fd, IPPROTO_TCP, TCP_NODELAY));
}

CASE(ioctls)
{
	int fd = server(false, "echo"), n = -1, on = 1;

	did("FIONREAD", ioctl(fd, FIONREAD, &n));
	printf("%d\n", n);
	send(fd, "hello", 5, 0);
	wait_in(fd);
	nap_ms(50);
	did("FIONREAD", ioctl(fd, FIONREAD, &n));
	printf("%d\n", n);
	did("SIOCOUTQ", ioctl(fd, SIOCOUTQ, &n));
	printf("%d\n", n);
	did("SIOCOUTQNSD", ioctl(fd, SIOCOUTQNSD, &n));
	printf("%d\n", n);
	did("FIONBIO", ioctl(fd, FIONBIO, &on));
	printf("nonblock %d\n", !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	did("FIOASYNC", ioctl(fd, FIOASYNC, &on));
	did("FIOCLEX", ioctl(fd, FIOCLEX));
	printf("cloexec %d\n", fcntl(fd, F_GETFD));
	did("TCGETS", ioctl(fd, 0x5401, &n));
	did("unknown", ioctl(fd, 0x7fff1234, &n));
}

CASE(ioctl_of_a_new_socket)
{
	int fd = tcp_socket(false, 0), n = -1;

	did("FIONREAD", ioctl(fd, FIONREAD, &n));
	printf("%d\n", n);
	did("SIOCOUTQ", ioctl(fd, SIOCOUTQ, &n));
	printf("%d\n", n);
}

CASE(peer_credentials)
{
	struct ucred cred = {1, 1, 1};
	socklen_t len = sizeof(cred);
	int fd = server(false, "echo");

	did("get", getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	printf("%d %d %d\n", cred.pid, (int)cred.uid, (int)cred.gid);
}

CASE(cookies_differ)
{
	uint64_t a = 0, b = 0;
	socklen_t len = sizeof(a);

	did("get", getsockopt(tcp_socket(false, 0), SOL_SOCKET, SO_COOKIE, &a, &len));
	getsockopt(tcp_socket(false, 0), SOL_SOCKET, SO_COOKIE, &b, &len);
	printf("differ %d\n", a != b);
}

/* What the kernel takes as true, programs set to other numbers than 1. */
CASE(any_number_is_true)
{
	static const struct {
		int level, name;
	} options[] = {
		{IPPROTO_IP, IP_FREEBIND},	 {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
		{IPPROTO_IP, IP_MULTICAST_LOOP}, {IPPROTO_IPV6, IPV6_DONTFRAG},
		{IPPROTO_IPV6, IPV6_FREEBIND},
	};
	int fd = udp_socket(true);

	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		did("set to 7", set_int(fd, options[i].level, options[i].name, 7));
		said("get", get_int(fd, options[i].level, options[i].name));
		did("set to 0", set_int(fd, options[i].level, options[i].name, 0));
		said("get", get_int(fd, options[i].level, options[i].name));
	}
}

CASE(sizes_of_queues_without_a_connection)
{
	int port, n = -1, fd = listener_on("0.0.0.0", &port, 5);

	did("SIOCOUTQ of a listener", ioctl(fd, SIOCOUTQ, &n));
	fd = tcp_socket(false, SOCK_NONBLOCK);
	did("connect", connect_to(fd, BLACKHOLE4, 80));
	did("SIOCOUTQ while connecting", ioctl(fd, SIOCOUTQ, &n));
	printf("%d bytes\n", n);
}
