/* SPDX-License-Identifier: MIT */
/* create.c - socket(2) and what keeps, copies and ends a descriptor */
#include "behave.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { ANSWER_S = 20 }; /* and no longer, for what must come */

static const char *new_socket(int domain, int type, int protocol)
{
	int fd = socket(domain, type, protocol);
	const char *result = err_name(fd < 0 ? errno : 0);

	if (fd >= 0)
		close(fd);
	return result;
}

CASE(kinds)
{
	printf("tcp %s, tcp6 %s\n", new_socket(AF_INET, SOCK_STREAM, 0),
	       new_socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP));
	printf("udp %s, udp6 %s\n", new_socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
	       new_socket(AF_INET6, SOCK_DGRAM, 0));
	printf("ping %s, ping6 %s\n", new_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
	       new_socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6));
	printf("unix %s, netlink %s\n", new_socket(AF_UNIX, SOCK_STREAM, 0),
	       new_socket(AF_NETLINK, SOCK_RAW, 0));
}

CASE(refused_kinds)
{
	printf("raw: %s\n", new_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	printf("raw6: %s\n", new_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
	printf("tcp protocol on a datagram: %s\n", new_socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
	printf("udp protocol on a stream: %s\n", new_socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
	printf("type 9: %s\n", new_socket(AF_INET, 9, 0));
	printf("unknown flag: %s\n", new_socket(AF_INET, SOCK_STREAM | 0x10000, 0));
	printf("protocol -1: %s\n", new_socket(AF_INET, SOCK_STREAM, -1));
	printf("protocol 300: %s\n", new_socket(AF_INET, SOCK_STREAM, 300));
	printf("family 99: %s\n", new_socket(99, SOCK_STREAM, 0));
	printf("seqpacket: %s\n", new_socket(AF_INET, SOCK_SEQPACKET, 0));
}

CASE(packet_family)
{
	printf("packet: %s\n", new_socket(AF_PACKET, SOCK_DGRAM, 0));
}

CASE(flags)
{
	for (int i = 0; i < 8; i++) {
		int type = (i & 1 ? SOCK_NONBLOCK : 0) | (i & 2 ? SOCK_CLOEXEC : 0) |
			   (i & 4 ? SOCK_DGRAM : SOCK_STREAM);
		int fd = socket(AF_INET, type, 0);

		printf("%d: nonblock %d cloexec %d\n", i, !!(fcntl(fd, F_GETFL) & O_NONBLOCK),
		       !!(fcntl(fd, F_GETFD) & FD_CLOEXEC));
		close(fd);
	}
}

CASE(what_it_is)
{
	for (int i = 0; i < 4; i++) {
		int fd = socket(i & 1 ? AF_INET6 : AF_INET, i & 2 ? SOCK_DGRAM : SOCK_STREAM, 0);
		struct stat st;

		printf("type %d domain %d protocol %d accepting %d\n",
		       get_int(fd, SOL_SOCKET, SO_TYPE), get_int(fd, SOL_SOCKET, SO_DOMAIN),
		       get_int(fd, SOL_SOCKET, SO_PROTOCOL),
		       get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
		printf("isfdtype %d, S_ISSOCK %d\n", isfdtype(fd, S_IFSOCK),
		       fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode));
		printf("access mode %d\n", fcntl(fd, F_GETFL) & O_ACCMODE);
		close(fd);
	}
}

CASE(lowest_descriptor)
{
	int a = dup(1), fd;

	close(a);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	printf("tcp takes the lowest: %d\n", fd == a);
	close(fd);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	printf("udp takes the lowest: %d\n", fd == a);
	close(fd);
	close(0);
	printf("with standard input closed: %d\n", socket(AF_INET, SOCK_STREAM, 0));
	printf("connect works there: %s\n",
	       connect_to(0, host(false), HELLO_PORT) ? err_name(errno) : "ok");
	read_out(0);
}

CASE(close_twice)
{
	int fd = tcp_socket(false, 0);

	did("close", close(fd));
	did("again", close(fd));
	did("connect", connect_to(fd, host(false), HELLO_PORT));
	did("bind", bind_to(fd, "0.0.0.0", 0));
	did("listen", listen(fd, 1));
	did("accept", accept(fd, NULL, NULL));
	did("send", send(fd, "x", 1, 0));
	did("getsockopt", get_int(fd, SOL_SOCKET, SO_TYPE));
	did("setsockopt", set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1));
	did("shutdown", shutdown(fd, SHUT_RD));
}

CASE(not_a_socket)
{
	union address a;
	socklen_t len = sizeof(a);
	int fd = open("/dev/null", O_RDWR);
	char byte;

	did("connect", connect_to(fd, host(false), HELLO_PORT));
	did("bind", bind_to(fd, "0.0.0.0", 0));
	did("listen", listen(fd, 1));
	did("accept", accept(fd, NULL, NULL));
	did("getsockname", getsockname(fd, &a.any, &len));
	did("getpeername", getpeername(fd, &a.any, &len));
	did("send", send(fd, "x", 1, 0));
	did("recv", recv(fd, &byte, 1, 0));
	did("setsockopt", set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1));
	printf("type: %d\n", get_int(fd, SOL_SOCKET, SO_TYPE));
	did("shutdown", shutdown(fd, SHUT_RD));
}

CASE(dup_family)
{
	int fd = tcp_socket(false, SOCK_CLOEXEC), copies[5];

	copies[0] = dup(fd);
	copies[1] = dup2(fd, 100);
	copies[2] = dup3(fd, 101, O_CLOEXEC);
	copies[3] = fcntl(fd, F_DUPFD, 110);
	copies[4] = fcntl(fd, F_DUPFD_CLOEXEC, 120);
	did("connect", connect_to(copies[3], host(false), HELLO_PORT));
	for (int i = 0; i < 5; i++) {
		printf("copy %d: cloexec %d, type %d\n", i, fcntl(copies[i], F_GETFD),
		       get_int(copies[i], SOL_SOCKET, SO_TYPE));
		close(i == 4 ? fd : copies[i]);
	}
	read_out(copies[4]);
}

CASE(nonblock_is_shared)
{
	int fd = tcp_socket(false, 0), copy = dup(fd);

	fcntl(copy, F_SETFL, O_NONBLOCK);
	printf("nonblock through the copy: %d\n", !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	set_int(copy, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(copy, IPPROTO_TCP, TCP_NODELAY, 1);
	printf("keepalive %d, nodelay %d\n", get_int(fd, SOL_SOCKET, SO_KEEPALIVE),
	       get_int(fd, IPPROTO_TCP, TCP_NODELAY));
}

CASE(dup2_over_a_connection)
{
	int fd = server(false, "watch dup2"), null = open("/dev/null", O_RDWR);

	did("send", send(fd, "four", 4, 0));
	said("dup2", dup2(null, fd) == fd);
	report("dup2");
}

CASE(close_range_ends_connections)
{
	int fd = server(false, "watch closerange");

	did("close_range", close_range((unsigned int)fd, ~0U, 0));
	report("closerange");
	did("connect afterwards", server(false, "echo"));
}

CASE(closefrom_ends_connections)
{
	int fd = server(false, "watch closefrom");

	closefrom(fd);
	report("closefrom");
	did("connect afterwards", server(false, "echo"));
}

CASE(out_of_descriptors)
{
	struct rlimit r = {16, 16};
	int fd, n = 0;

	setrlimit(RLIMIT_NOFILE, &r);
	while ((fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0)
		n = fd;
	printf("the last was %d, then %s\n", n, err_name(errno));
	close(n);
	printf("udp in the last place: %d\n", socket(AF_INET, SOCK_DGRAM, 0) == n);
	printf("one more: %s\n", new_socket(AF_INET, SOCK_DGRAM, 0));
	did("connect without a free descriptor", connect_to(n - 1, host(false), HELLO_PORT));
	read_out(n - 1);
}

/* What asks nobody natively. */
CASE(no_descriptor_left)
{
	int udp = socket(AF_INET, SOCK_DGRAM, 0), connected = socket(AF_INET, SOCK_DGRAM, 0);
	int tcp = server(false, "echo"), refused = tcp_socket(false, 0);
	int listener = tcp_socket(false, 0), shut = tcp_socket(false, 0), value;
	struct rlimit r = {(rlim_t)shut + 1, (rlim_t)shut + 1};
	const struct timeval limit = {ANSWER_S, 0};
	socklen_t len = sizeof(value);
	union address to;
	char data[8];

	setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(connected, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	did("keepalive of a listener", set_int(listener, SOL_SOCKET, SO_KEEPALIVE, 1));
	did("nodelay of a listener", set_int(listener, IPPROTO_TCP, TCP_NODELAY, 1));
	did("listen to shut", listen(shut, 1));
	did("ttl", set_int(tcp, IPPROTO_IP, IP_TTL, 77));
	did("ttl of what is refused", set_int(refused, IPPROTO_IP, IP_TTL, 78));
	did("connect, refused", connect_to(refused, host(false), CLOSED_PORT));
	setrlimit(RLIMIT_NOFILE, &r);
	printf("one more: %s\n", new_socket(AF_INET, SOCK_DGRAM, 0));
	did("nodelay", set_int(tcp, IPPROTO_TCP, TCP_NODELAY, 1));
	did("keepalive", set_int(tcp, SOL_SOCKET, SO_KEEPALIVE, 1));
	did("buffer", set_int(tcp, SOL_SOCKET, SO_SNDBUF, 65536));
	did("type of service", set_int(udp, IPPROTO_IP, IP_TOS, 16));
	printf("ttl is %d\n", get_int(tcp, IPPROTO_IP, IP_TTL));
	did("state", getsockopt(tcp, IPPROTO_TCP, TCP_MAXSEG, &value, &len));
	printf("not connected: %d\n", get_int(udp, IPPROTO_IP, IP_TOS));
	make_address(&to, host(false), ECHO_UDP_PORT);
	said("sendto", sendto(udp, "hello", 5, 0, &to.any, sizeof(to.in)));
	len = sizeof(to);
	said("its answer", recvfrom(udp, data, sizeof(data), 0, &to.any, &len));
	did("connect udp", connect_to(connected, host(false), ECHO_UDP_PORT));
	said("send", send(connected, "world!", 6, 0));
	said("its answer", recv(connected, data, sizeof(data), 0));
	did("shutdown udp", shutdown(connected, SHUT_RD));
	did("connect again", connect_to(refused, host(false), HELLO_PORT));
	printf("its ttl is %d\n", get_int(refused, IPPROTO_IP, IP_TTL));
	read_out(refused);
	did("bind", bind_to(listener, "0.0.0.0", 0));
	did("listen", listen(listener, 5));
	printf("listens: %d\n", get_int(listener, SOL_SOCKET, SO_ACCEPTCONN));
	did("shutdown of a listener", shutdown(shut, SHUT_RDWR));
	did("listen again", listen(shut, 1));
	said("send to a server", send(tcp, "hi", 2, 0));
}

/* Asking to listen takes one, the listener's file another. */
CASE(listen_with_one_descriptor)
{
	int fd = tcp_socket(false, 0);
	struct rlimit r = {(rlim_t)fd + 2, (rlim_t)fd + 2};

	setrlimit(RLIMIT_NOFILE, &r);
	did("bind", bind_to(fd, "0.0.0.0", 0));
	did("listen", listen(fd, 5));
	did("listen once more", listen(fd, 6));
	printf("listens: %d\n", get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
}

CASE(few_descriptors)
{
	struct rlimit r = {64, 64};
	int fd[40], good = 0;

	setrlimit(RLIMIT_NOFILE, &r);
	for (int i = 0; i < 40; i++) {
		fd[i] = tcp_socket(false, 0);
		good += connect_to(fd[i], host(false), HELLO_PORT) == 0;
	}
	printf("%d connected\n", good);
	read_out(fd[39]);
}

CASE(unix_sockets_are_untouched)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0behave-create"};
	socklen_t len = sizeof(sa_family_t) + 1 + 13;
	int pair[2], listener = socket(AF_UNIX, SOCK_STREAM, 0), fd, accepted;
	struct linger linger;
	socklen_t size = sizeof(linger);
	char data[8] = "";

	did("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	printf("domain %d, buffer %d\n", get_int(pair[0], SOL_SOCKET, SO_DOMAIN),
	       get_int(pair[0], SOL_SOCKET, SO_SNDBUF) > 4096);
	did("bind", bind(listener, (struct sockaddr *)&un, len));
	did("listen", listen(listener, 5));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	did("connect", connect(fd, (struct sockaddr *)&un, len));
	accepted = accept(listener, NULL, NULL);
	said("send", send(fd, "hello", 5, 0));
	said("recv", recv(accepted, data, sizeof(data), 0));
	did("linger", getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size));
	did("inet pair", socketpair(AF_INET, SOCK_STREAM, 0, pair));
}
