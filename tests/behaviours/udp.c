/* SPDX-License-Identifier: MIT */
/* udp.c - datagram sockets */
#include <pthread.h>

#include "behave.h"

#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/uio.h>

static int echo_socket(bool v6)
{
	int fd = udp_socket(v6);

	did("connect", connect_to(fd, host(v6), ECHO_UDP_PORT));
	return fd;
}

/* What arrives, or "nothing" after a while. */
static void receive(int fd, int flags)
{
	union address a;
	socklen_t len = sizeof(a);
	char data[256] = "";
	ssize_t n;

	memset(&a, 0x55, sizeof(a));
	wait_in(fd);
	n = recvfrom(fd, data, sizeof(data) - 1, flags | MSG_DONTWAIT, &a.any, &len);
	if (n < 0)
		printf("recvfrom: %s\n", err_name(errno));
	else
		printf("recvfrom: %zd \"%s\" from %s\n", n, data, address_text(&a, len));
}

static long send_to(int fd, const char *text, int port, const char *data)
{
	union address a;
	socklen_t len = make_address(&a, text, port);

	return sendto(fd, data, strlen(data), 0, &a.any, len);
}

CASE(names)
{
	for (int v6 = 0; v6 < 2; v6++) {
		int fd = udp_socket(v6);

		show_names(fd);
		said("sendto", send_to(fd, host(v6), ECHO_UDP_PORT, "hello"));
		show_names(fd);
		receive(fd, 0);
		did("connect", connect_to(fd, host(v6), ECHO_UDP_PORT));
		show_names(fd);
	}
}

CASE(source_address_trick)
{
	for (int v6 = 0; v6 < 2; v6++) {
		int fd = udp_socket(v6);

		did("connect", connect_to(fd, host(v6), 9));
		show_names(fd);
	}
}

CASE(unconnected)
{
	int fd = udp_socket(false);
	char data[8];

	said("send", send(fd, "x", 1, 0));
	said("sendto", send_to(fd, host(false), ECHO_UDP_PORT, "hello"));
	receive(fd, 0);
	said("nothing more", recv(fd, data, sizeof(data), MSG_DONTWAIT));
	said("port 0", send_to(fd, host(false), 0, "hello"));
	did("shutdown", shutdown(fd, SHUT_RDWR));
	did("listen", listen(fd, 1));
	did("accept", accept(fd, NULL, NULL));
}

CASE(unconnected_read_and_write)
{
	int fd = udp_socket(false);
	char data[64] = "", rest[8] = "";
	struct iovec iov[2] = {{data, 3}, {rest, 7}};

	said("write", write(fd, "x", 1));
	said("sendto", send_to(fd, host(false), ECHO_UDP_PORT, "hello"));
	wait_in(fd);
	said("read", read(fd, data, sizeof(data)));
	printf("%s\n", data);
	said("sendto", send_to(fd, host(false), ECHO_UDP_PORT, "world"));
	wait_in(fd);
	memset(data, 0, sizeof(data));
	said("readv", readv(fd, iov, 2));
	printf("%s|%s\n", data, rest);
	said("writev", writev(fd, iov, 2));
}

CASE(read_through_a_copy)
{
	int fd = udp_socket(false);
	char data[64] = "";

	dup2(fd, 0);
	said("sendto", send_to(fd, host(false), ECHO_UDP_PORT, "hello"));
	wait_in(0);
	said("read", read(0, data, sizeof(data)));
	printf("%s\n", data);
}

CASE(connected)
{
	for (int v6 = 0; v6 < 2; v6++) {
		int fd = echo_socket(v6);
		char data[16] = "";

		show_names(fd);
		said("send", send(fd, "one", 3, 0));
		receive(fd, 0);
		said("write", write(fd, "two", 3));
		wait_in(fd);
		said("read", read(fd, data, sizeof(data)));
		printf("%s\n", data);
		said("sendto elsewhere", send_to(fd, host(v6), BURST_UDP_PORT, "1"));
		did("shutdown", shutdown(fd, SHUT_WR));
	}
}

CASE(connected_filters_sources)
{
	int fd = udp_socket(false), open = udp_socket(false);
	char data[8];

	did("connect", connect_to(fd, host(false), OTHER_UDP_PORT));
	said("send", send(fd, "hello", 5, 0));
	nap_ms(200);
	said("recv", recv(fd, data, sizeof(data), MSG_DONTWAIT));
	said("sendto", send_to(open, host(false), OTHER_UDP_PORT, "hello"));
	receive(open, 0);
}

CASE(reconnect_and_disconnect)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	int fd = udp_socket(false);

	said("send", send_to(fd, host(false), ECHO_UDP_PORT, "first"));
	nap_ms(200);
	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	receive(fd, 0);
	said("send", send(fd, "second", 6, 0));
	nap_ms(200);
	did("connect elsewhere", connect_to(fd, host(false), BURST_UDP_PORT));
	receive(fd, 0);
	said("send", send(fd, "1", 1, 0));
	receive(fd, 0);
	did("disconnect", connect(fd, &none, sizeof(none)));
	show_names(fd);
	said("send", send(fd, "x", 1, 0));
	said("sendto", send_to(fd, host(false), ECHO_UDP_PORT, "third"));
	receive(fd, 0);
	did("disconnect again", connect(fd, &none, sizeof(none)));
	fd = udp_socket(false);
	did("connect to loopback", connect_to(fd, "127.0.0.1", CLOSED_PORT));
	did("disconnect", connect(fd, &none, sizeof(none)));
	show_names(fd);
}

CASE(sizes)
{
	static const size_t sizes[] = {0, 1, 1392, 1393, 8000, 65507, 65508};
	static char data[65536], back[65536];
	struct timeval tv = {3, 0};
	int fd = udp_socket(false);

	connect_to(fd, host(false), ECHO_UDP_PORT);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		ssize_t n;

		memset(data, (int)i + 'a', sizeof(data));
		n = send(fd, data, sizes[i], 0);
		printf("send %zu: %zd %s\n", sizes[i], n, err_name(n < 0 ? errno : 0));
		if (n < 0)
			continue;
		n = recv(fd, back, sizeof(back), 0);
		printf("recv: %zd, equal %d\n", n, n >= 0 && memcmp(data, back, (size_t)n) == 0);
	}
}

CASE(truncation)
{
	for (int connected = 0; connected < 2; connected++) {
		int fd = connected ? echo_socket(false) : udp_socket(false);
		char data[4];
		struct iovec iov = {data, 4};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

		for (int i = 0; i < 4; i++)
			send_to(fd, host(false), ECHO_UDP_PORT, "0123456789");
		nap_ms(200);
		said("peek with trunc", recv(fd, data, 4, MSG_PEEK | MSG_TRUNC));
		said("recv", recv(fd, data, 4, 0));
		said("recv with trunc", recv(fd, data, 4, MSG_TRUNC));
		said("recvmsg", recvmsg(fd, &msg, 0));
		printf("flags %x\n", (unsigned int)msg.msg_flags);
		said("no room at all", recv(fd, NULL, 0, 0));
		said("empty", recv(fd, data, 4, MSG_DONTWAIT));
	}
}

CASE(many_at_once)
{
	int fd = udp_socket(false), connected = udp_socket(false), order = 0;
	struct timeval tv = {2, 0};
	char data[16];

	connect_to(connected, host(false), BURST_UDP_PORT);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(connected, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	send_to(fd, host(false), BURST_UDP_PORT, "100");
	send(connected, "100", 3, 0);
	for (int i = 0; i < 100; i++) {
		ssize_t n = recv(fd, data, sizeof(data) - 1, 0);

		data[n > 0 ? n : 0] = '\0';
		order += n > 0 && atoi(data) == i;
		n = recv(connected, data, sizeof(data) - 1, 0);
		data[n > 0 ? n : 0] = '\0';
		order += n > 0 && atoi(data) == i;
	}
	printf("%d in order\n", order);
}

CASE(mmsg)
{
	enum { N = 5 };
	char out[N][2], in[N][8];
	struct iovec iov[N], iov_in[N];
	struct mmsghdr msgs[N], got[N];
	union address a[N];
	struct timespec limit = {1, 0};
	int n;

	for (int connected = 0; connected < 2; connected++) {
		int fd = connected ? echo_socket(false) : udp_socket(false);

		memset(msgs, 0, sizeof(msgs));
		memset(got, 0, sizeof(got));
		for (int i = 0; i < N; i++) {
			out[i][0] = (char)('a' + i);
			iov[i] = (struct iovec){out[i], 1};
			iov_in[i] = (struct iovec){in[i], sizeof(in[i])};
			msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
			got[i].msg_hdr = (struct msghdr){.msg_name = &a[i],
							 .msg_namelen = sizeof(a[i]),
							 .msg_iov = &iov_in[i],
							 .msg_iovlen = 1};
			if (connected)
				continue;
			msgs[i].msg_hdr.msg_name = &a[i];
			msgs[i].msg_hdr.msg_namelen =
				make_address(&a[i], host(false), ECHO_UDP_PORT);
		}
		said("sendmmsg", sendmmsg(fd, msgs, N, 0));
		nap_ms(200);
		n = recvmmsg(fd, got, N, MSG_WAITFORONE, &limit);
		said("recvmmsg", n);
		for (int i = 0; i < n; i++)
			printf("%u \"%.1s\" from %s\n", got[i].msg_len, in[i],
			       address_text(&a[i], got[i].msg_hdr.msg_namelen));
		said("dontwait", recvmmsg(fd, got, N, MSG_DONTWAIT, NULL));
		said("none", sendmmsg(fd, msgs, 0, 0));
	}
}

CASE(closed_port)
{
	int fd = udp_socket(false), open = udp_socket(false);
	char data[8];

	did("connect", connect_to(fd, host(false), CLOSED_PORT));
	said("send", send(fd, "x", 1, 0));
	nap_ms(200);
	printf("poll says something: %d\n", strcmp(polled(fd, 0), "OUT ") != 0);
	said("recv", recv(fd, data, sizeof(data), MSG_DONTWAIT));
	said("recv", recv(fd, data, sizeof(data), MSG_DONTWAIT));
	said("send", send(fd, "x", 1, 0));
	nap_ms(200);
	printf("SO_ERROR %s, then %s\n", so_error(fd), so_error(fd));
	said("recv", recv(fd, data, sizeof(data), MSG_DONTWAIT));
	said("sendto without connect", send_to(open, host(false), CLOSED_PORT, "x"));
	nap_ms(200);
	said("recv", recv(open, data, sizeof(data), MSG_DONTWAIT));
}

CASE(closed_port_told_by_send)
{
	for (int with_ancillary = 0; with_ancillary < 2; with_ancillary++) {
		int fd = udp_socket(false);
		struct iovec iov = {"x", 1};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

		set_int(fd, IPPROTO_IP, IP_RECVTTL, with_ancillary);
		did("connect", connect_to(fd, host(false), CLOSED_PORT));
		said("send", send(fd, "x", 1, 0));
		nap_ms(200);
		said("send", send(fd, "x", 1, 0));
		printf("poll: %s\n", polled(fd, 0));
		said("write", write(fd, "x", 1));
		nap_ms(200);
		said("write", write(fd, "x", 1));
		printf("SO_ERROR %s\n", so_error(fd));
		said("sendmsg", sendmsg(fd, &msg, 0));
		nap_ms(200);
		said("sendmsg", sendmsg(fd, &msg, 0));
		said("sendmsg", sendmsg(fd, &msg, 0));
		nap_ms(200);
		said("sendto elsewhere", send_to(fd, host(false), ECHO_UDP_PORT, "x"));
		close(fd);
	}
}

CASE(closed_port_told_by_read)
{
	int fd = udp_socket(false);
	char data[8];

	did("connect", connect_to(fd, host(false), CLOSED_PORT));
	said("write", write(fd, "x", 1));
	nap_ms(200);
	said("read", read(fd, data, sizeof(data)));
}

CASE(not_routed)
{
	int fd = udp_socket(false), fd6 = udp_socket(true);

	said("sendto", send_to(fd, UNROUTED4, 9, "x"));
	said("sendto over v6", send_to(fd6, UNROUTED6, 9, "x"));
	did("connect", connect_to(fd, UNROUTED4, 9));
	did("connect over v6", connect_to(fd6, UNROUTED6, 9));
}

CASE(bind_and_receive)
{
	for (int v6 = 0; v6 < 2; v6++) {
		int fd = udp_socket(v6), control;

		did("bind", bind_to(fd, v6 ? "::" : "0.0.0.0", 0));
		show_names(fd);
		control = dial(v6, local_port(fd), "udp");
		receive(fd, 0);
		close(control);
		close(fd);
	}
}

CASE(bind_v4_on_v6)
{
	int fd = udp_socket(true);

	did("bind", bind_to(fd, "::", 0));
	dial(false, local_port(fd), "udp");
	receive(fd, 0);
	said("sendto", send_to(fd, "::ffff:10.77.0.1", ECHO_UDP_PORT, "mapped"));
	receive(fd, 0);
}

CASE(ports_in_use)
{
	int a = udp_socket(false), b = udp_socket(false), c = udp_socket(false);

	did("bind", bind_to(a, "0.0.0.0", 0));
	did("the same port", bind_to(b, "0.0.0.0", local_port(a)));
	did("on an address", bind_to(b, self(false), local_port(a)));
	did("bind again", bind_to(a, "0.0.0.0", 0));
	did("not ours", bind_to(c, "10.77.0.99", 0));
	did("bind", bind_to(c, self(false), 0));
	show_names(c);
	close(a);
	nap_ms(50);
	did("a freed port", bind_to(b, "0.0.0.0", 0));
}

CASE(reuse)
{
	int a = udp_socket(false), b = udp_socket(false);

	set_int(a, SOL_SOCKET, SO_REUSEADDR, 1);
	set_int(b, SOL_SOCKET, SO_REUSEADDR, 1);
	did("bind", bind_to(a, "0.0.0.0", 0));
	did("bind", bind_to(b, "0.0.0.0", local_port(a)));
}

/* Whether @b may share @a's port, as the options are now */
static void share(int name, const char *address)
{
	static const struct {
		int before, after;
	} ways[] = {{0, 0}, {0, 1}, {1, 1}, {1, 0}};

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		int a = udp_socket(false), b = udp_socket(false);

		set_int(a, SOL_SOCKET, name, ways[i].before);
		did("bind", bind_to(a, address, 0));
		set_int(a, SOL_SOCKET, name, ways[i].after);
		set_int(b, SOL_SOCKET, name, 1);
		did("share", bind_to(b, address, local_port(a)));
		close(a);
		close(b);
	}
}

/* ntpd's way with its wildcard socket */
CASE(reuse_said_later)
{
	share(SO_REUSEADDR, "0.0.0.0");
	share(SO_REUSEPORT, "0.0.0.0");
	share(SO_REUSEADDR, "127.0.0.1");
}

/* Whether a port that @a has by sending or connecting to @host may be shared, as the options are */
static void share_unbound(int name, const char *host, bool connects, const char *address)
{
	for (int ways = 0; ways < 4; ways++) {
		int a = udp_socket(false), b = udp_socket(false);

		set_int(a, SOL_SOCKET, name, ways & 1);
		if (connects)
			did("connect", connect_to(a, host, ECHO_UDP_PORT));
		else
			said("sendto", send_to(a, host, ECHO_UDP_PORT, "x"));
		set_int(a, SOL_SOCKET, name, ways >> 1);
		set_int(b, SOL_SOCKET, name, 1);
		did("share", bind_to(b, address, local_port(a)));
		close(a);
		close(b);
	}
}

CASE(reuse_of_a_port_given_by_sending)
{
	for (int connects = 0; connects < 2; connects++) {
		share_unbound(SO_REUSEADDR, host(false), connects, "0.0.0.0");
		share_unbound(SO_REUSEPORT, host(false), connects, "0.0.0.0");
		share_unbound(SO_REUSEADDR, "127.0.0.1", connects, "127.0.0.1");
	}
}

CASE(loopback)
{
	int a = udp_socket(false), b = udp_socket(false);

	did("bind", bind_to(a, "127.0.0.1", 0));
	said("sendto", send_to(b, "127.0.0.1", local_port(a), "local"));
	receive(a, 0);
	did("connect", connect_to(b, "127.0.0.1", local_port(a)));
	show_names(b);
	said("send", send(b, "local", 5, 0));
	receive(a, 0);
}

CASE(loopback_pair)
{
	int a = udp_socket(false), b = udp_socket(false);

	did("bind", bind_to(a, "127.0.0.1", 0));
	did("bind", bind_to(b, "127.0.0.1", 0));
	did("connect", connect_to(a, "127.0.0.1", local_port(b)));
	did("connect", connect_to(b, "127.0.0.1", local_port(a)));
	said("send", send(a, "there", 5, 0));
	receive(b, 0);
	said("send", send(b, "back", 4, 0));
	receive(a, 0);
}

/* Sending gives a socket a port, the same for all destinations. */
CASE(port_given_by_sending)
{
	int a = udp_socket(false);

	did("bind", bind_to(a, "127.0.0.1", 0));
	for (int tunnel_first = 0; tunnel_first < 2; tunnel_first++) {
		int b = udp_socket(false), port;
		union address from;
		socklen_t len = sizeof(from);
		char byte;

		said("sendto", tunnel_first ? send_to(b, host(false), ECHO_UDP_PORT, "x")
					    : send_to(b, "127.0.0.1", local_port(a), "x"));
		port = local_port(b);
		printf("has a port: %d\n", port != 0);
		said("sendto", tunnel_first ? send_to(b, "127.0.0.1", local_port(a), "x")
					    : send_to(b, host(false), ECHO_UDP_PORT, "x"));
		printf("keeps it: %d\n", local_port(b) == port);
		said("recvfrom", recvfrom(a, &byte, 1, 0, &from.any, &len));
		printf("comes from it: %d\n", tunnel_first || ntohs(from.in.sin_port) == port);
	}
}

CASE(own_address)
{
	int a = udp_socket(false), b = udp_socket(false);

	did("bind", bind_to(a, "0.0.0.0", 0));
	said("sendto", send_to(b, self(false), local_port(a), "own"));
	receive(a, 0);
}

CASE(broadcast)
{
	int fd = udp_socket(false);

	said("without the option", send_to(fd, "255.255.255.255", 9, "x"));
	did("set", set_int(fd, SOL_SOCKET, SO_BROADCAST, 1));
	printf("get %d\n", get_int(fd, SOL_SOCKET, SO_BROADCAST));
}

CASE(sendto_arguments)
{
	union address a;
	socklen_t len = make_address(&a, host(false), ECHO_UDP_PORT);
	int fd = udp_socket(false);

	said("too short", sendto(fd, "x", 1, 0, &a.any, 4));
	said("too long", sendto(fd, "x", 1, 0, &a.any, 1000));
	a.any.sa_family = AF_INET6;
	said("another family", sendto(fd, "x", 1, 0, &a.any, sizeof(a.in6)));
	a.any.sa_family = AF_UNSPEC;
	said("no family", sendto(fd, "x", 1, 0, &a.any, len));
	said("oob", send(fd, "x", 1, MSG_OOB));
	wait_in(fd); /* the echo of the last but one */
	said("recv oob", recv(fd, &a, 1, MSG_OOB | MSG_DONTWAIT));
}

CASE(names_longer_than_any)
{
	union {
		union address a;
		uint8_t bytes[256];
	} to = {0};
	struct iovec iov = {"x", 1};
	struct mmsghdr m = {.msg_hdr = {.msg_name = &to,
					.msg_namelen = sizeof(to),
					.msg_iov = &iov,
					.msg_iovlen = 1}};
	int fd = udp_socket(false);

	make_address(&to.a, host(false), ECHO_UDP_PORT);
	said("sendto", sendto(fd, "x", 1, 0, &to.a.any, sizeof(to)));
	if (said("sendmsg", sendmsg(fd, &m.msg_hdr, 0)) == 1)
		receive(fd, 0);
	if (said("sendmmsg", sendmmsg(fd, &m, 1, 0)) == 1)
		receive(fd, 0);
	m.msg_hdr.msg_namelen = (socklen_t)-1;
	said("less than nothing", sendmsg(fd, &m.msg_hdr, 0));
	said("one less than nothing", sendmmsg(fd, &m, 1, 0));
}

CASE(readiness)
{
	int fd = udp_socket(false), n = -1;

	printf("poll: %s\n", polled(fd, 0));
	did("FIONREAD", ioctl(fd, FIONREAD, &n));
	printf("%d\n", n);
	send_to(fd, host(false), ECHO_UDP_PORT, "hello");
	send_to(fd, host(false), ECHO_UDP_PORT, "longer");
	nap_ms(200);
	printf("poll: %s\n", polled(fd, 0));
	did("FIONREAD", ioctl(fd, FIONREAD, &n));
	printf("%d\n", n);
	did("SIOCOUTQ", ioctl(fd, TIOCOUTQ, &n));
	printf("%d\n", n);
}

CASE(receive_timeout)
{
	struct timeval tv = {0, 100000};
	int fd = udp_socket(false);
	char data[8];

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	did("bind", bind_to(fd, "0.0.0.0", 0));
	said("recv", recv(fd, data, sizeof(data), 0));
	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	said("recv", recv(fd, data, sizeof(data), 0));
}

CASE(shutdown_of_reading)
{
	int fd = echo_socket(false);
	char data[8];

	did("shutdown", shutdown(fd, SHUT_RD));
	said("recv", recv(fd, data, sizeof(data), MSG_DONTWAIT));
}

struct shutdown_later {
	int fd, how, err;
};

static void *shut_later(void *arg)
{
	struct shutdown_later *l = arg;

	nap_ms(200);
	l->err = shutdown(l->fd, l->how) ? errno : 0;
	return NULL;
}

/* @call: recv, recvfrom or poll, under way when another thread shuts the socket */
static void shut_while(const char *call, int fd, int how)
{
	struct shutdown_later later = {fd, how, 0};
	pthread_t thread;
	char data[8];

	pthread_create(&thread, NULL, shut_later, &later);
	if (strcmp(call, "recv") == 0)
		said("recv", recv(fd, data, sizeof(data), 0));
	else if (strcmp(call, "recvfrom") == 0)
		said("recvfrom", recvfrom(fd, data, sizeof(data), 0, &(struct sockaddr){0},
					  &(socklen_t){sizeof(struct sockaddr)}));
	else
		said("poll", poll(&(struct pollfd){fd, POLLIN, 0}, 1, 5000));
	pthread_join(thread, NULL);
	printf("shutdown: %s\n", err_name(later.err));
}

/* What a socket says that is shut for reading, or both ways. */
static void show_shut(int fd)
{
	char data[8];

	printf("poll: %s\n", polled(fd, 0));
	said("recv", recvfrom(fd, data, sizeof(data), 0, &(struct sockaddr){0},
			      &(socklen_t){sizeof(struct sockaddr)}));
	said("at once", recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, &(struct sockaddr){0},
				 &(socklen_t){sizeof(struct sockaddr)}));
	printf("error: %s\n", so_error(fd));
	show_names(fd);
}

CASE(shutdown_wakes_waits)
{
	static const char *const calls[] = {"recv", "recvfrom", "poll"};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		shut_while(calls[i], echo_socket(false), SHUT_RD);
		shut_while(calls[i], echo_socket(true), SHUT_RDWR);
		shut_while(calls[i], udp_socket(false), SHUT_RD);
	}
}

CASE(shutdown_and_after)
{
	static const int hows[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
	int fd;

	for (size_t i = 0; i < sizeof(hows) / sizeof(*hows); i++) {
		fd = echo_socket(false);
		send(fd, "queued", 6, 0);
		wait_in(fd);
		did("shutdown", shutdown(fd, hows[i]));
		receive(fd, 0);		/* what was queued */
		if (hows[i] != SHUT_RD) /* the echo would come: known.datagram_after_shutdown */
			said("send", sendto(fd, "x", 1, 0, NULL, 0));
		said("sendto", send_to(fd, host(false), OTHER_UDP_PORT, "x"));
		if (hows[i] == SHUT_WR)
			printf("poll: %s\n", polled(fd, 0));
		else
			show_shut(fd);
		did("again", shutdown(fd, hows[i]));
		did("connect", connect_to(fd, host(false), OTHER_UDP_PORT));
		show_names(fd);
		close(fd);
	}
}

CASE(shutdown_without_a_peer)
{
	static const int hows[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};

	for (size_t i = 0; i < sizeof(hows) / sizeof(*hows); i++) {
		int fd = udp_socket(false);

		did("bind", bind_to(fd, "0.0.0.0", 0));
		did("shutdown", shutdown(fd, hows[i]));
		said("sendto", send_to(fd, host(false), CLOSED_PORT, "x"));
		if (hows[i] != SHUT_WR)
			show_shut(fd);
	}
	did("wrong", shutdown(udp_socket(false), 3));
}

/* An error is told before the end. */
CASE(shutdown_with_an_error)
{
	int fd = udp_socket(false);
	char data[8];

	did("connect", connect_to(fd, host(false), CLOSED_PORT));
	said("send", send(fd, "x", 1, 0));
	nap_ms(200);
	did("shutdown", shutdown(fd, SHUT_RD));
	said("recvfrom", recvfrom(fd, data, sizeof(data), 0, &(struct sockaddr){0},
				  &(socklen_t){sizeof(struct sockaddr)}));
	said("recvfrom", recvfrom(fd, data, sizeof(data), 0, &(struct sockaddr){0},
				  &(socklen_t){sizeof(struct sockaddr)}));
}

/* The port of a socket that was shut both ways is free when it is closed. */
CASE(shutdown_and_the_port)
{
	int fd = udp_socket(false), port;

	did("bind", bind_to(fd, "0.0.0.0", 0));
	port = local_port(fd);
	did("shutdown", shutdown(fd, SHUT_RDWR));
	did("bind another", bind_to(udp_socket(false), "0.0.0.0", port));
	close(fd);
	for (int i = 0; i < 100; i++, nap_ms(100)) {
		fd = udp_socket(false);
		if (bind_to(fd, "0.0.0.0", port) == 0)
			break;
		close(fd);
	}
	printf("free: %d\n", local_port(fd) == port);
}

CASE(fork_shares_the_socket)
{
	int fd = echo_socket(false), status;

	if (fork() == 0) {
		said("child sends", send(fd, "child", 5, 0));
		exit(0);
	}
	wait(&status);
	receive(fd, 0);
}

CASE(threads_small_stack)
{
	int fd = udp_socket(false);

	/* queued datagrams go back when the socket connects: this must not need much stack */
	for (int i = 0; i < 20; i++)
		send_to(fd, host(false), ECHO_UDP_PORT, "queued");
	nap_ms(200);
	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	for (int i = 0; i < 20; i++)
		receive(fd, 0);
}

CASE(recvmmsg_limits)
{
	static const struct timespec limits[] = {{-1, 0}, {0, -1}, {0, 1000000000}, {INT64_MAX, 0}};
	struct mmsghdr m = {0};
	int fd = echo_socket(false);

	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		struct timespec limit = limits[i];

		said("recvmmsg", recvmmsg(fd, &m, 1, MSG_DONTWAIT, &limit));
	}
}

CASE(recvmmsg_tells_the_time_left)
{
	struct timespec limit = {100, 0};
	struct mmsghdr m[2] = {0};
	int fd = echo_socket(false);

	said("nothing", recvmmsg(fd, m, 1, MSG_DONTWAIT, &limit));
	printf("left %ld %ld\n", (long)limit.tv_sec, limit.tv_nsec);
	if (fork() == 0) {
		send(fd, "x", 1, 0);
		nap_ms(1200);
		send(fd, "x", 1, 0);
		_exit(0);
	}
	said("two", recvmmsg(fd, m, 2, 0, &limit));
	printf("left less than 99: %d\n", limit.tv_sec < 99 && limit.tv_sec > 80);
	limit = (struct timespec){0, 0};
	said("send", send(fd, "x", 1, 0));
	said("no time", recvmmsg(fd, m, 2, 0, &limit));
	printf("left %ld %ld\n", (long)limit.tv_sec, limit.tv_nsec);
}
