/* SPDX-License-Identifier: MIT */
/* known.c - rows of the ledger in preload/README.md that no other case shows */
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "behave.h"

/* The descriptor has a new socket behind it. */
CASE(duplicate_after_a_second_connect)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd = tcp_socket(false, 0), copy = dup(fd);

	did("connect", connect_to(fd, host(false), CLOSED_PORT));
	did("connect again", connect_to(fd, host(false), HELLO_PORT));
	did("the duplicate's peer", getpeername(copy, (struct sockaddr *)&peer, &len));
}

/* What the tunnel process takes is an edge of OUT; Linux tells only who found the buffer full. */
CASE(edges_of_what_was_sent)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	int fd = server(false, "hold"), ep = epoll_create1(0);

	did("add", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
	nap_ms(100);
	said("writable", epoll_wait(ep, &event, 1, 1000));
	send(fd, "x", 1, 0);
	said("another edge", epoll_wait(ep, &event, 1, 500));
}

CASE(peer_name_after_shutdown_of_both_ways)
{
	int fd = server(false, "hold");

	did("shutdown", shutdown(fd, SHUT_RDWR));
	nap_ms(100);
	show_names(fd);
}

CASE(writev_after_a_reset)
{
	struct iovec iov = {(void *)"x", 1};
	int fd = tcp_socket(false, 0);

	signal(SIGPIPE, SIG_DFL);
	did("connect", connect_to(fd, host(false), RESET_PORT));
	nap_ms(300);
	said("writev", writev(fd, &iov, 1));
}

CASE(attached_filter)
{
	struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, 0xffffffff)};
	struct sock_fprog program = {1, all};

	did("attach",
	    setsockopt(udp_socket(false), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

CASE(datagram_read_by_stdio)
{
	union address a;
	socklen_t len = make_address(&a, host(false), ECHO_UDP_PORT);
	char data[256] = "";
	int fd = udp_socket(false);
	FILE *f = fdopen(fd, "r");

	sendto(fd, "hello\n", 6, 0, &a.any, len);
	wait_in(fd);
	printf("%d\n", fgets(data, sizeof(data), f) && strcmp(data, "hello\n") == 0);
}

/* Another process takes the peer of a socket away, which this one has used, and sends two
 * datagrams to the echo server. */
static int socket_without_its_peer(void)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	union address a;
	socklen_t len = make_address(&a, host(false), ECHO_UDP_PORT);
	int fd = udp_socket(false), status;
	char data[32];

	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	for (int i = 0; i < 2; i++) {
		said("write", write(fd, "x", 1));
		said("read", read(fd, data, sizeof(data)));
	}
	if (fork() == 0) {
		if (connect(fd, &none, sizeof(none)) ||
		    sendto(fd, "the first one of these", 22, 0, &a.any, len) != 22 ||
		    sendto(fd, "the second one of them", 22, 0, &a.any, len) != 22)
			_exit(1);
		_exit(0);
	}
	wait(&status);
	printf("status %x\n", (unsigned int)status);
	return fd;
}

CASE(write_after_another_process_disconnects)
{
	int fd = socket_without_its_peer();
	union address a;
	socklen_t len = sizeof(a);

	said("write", write(fd, "nobody", 6));
	said("getpeername", getpeername(fd, &a.any, &len));
	said("write", write(fd, "nobody", 6));
}

CASE(small_read_after_another_process_disconnects)
{
	int fd = socket_without_its_peer();
	char data[64] = "";

	wait_in(fd);
	said("read", read(fd, data, 32));
	printf("\"%s\"\n", data);
}

CASE(shutdown_of_both_ways_with_linger_zero)
{
	struct linger now = {1, 0};
	int fd = server(false, "watch lingers");

	nap_ms(200);
	did("set", setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	did("shutdown", shutdown(fd, SHUT_RDWR));
	report("lingers");
}

CASE(datagram_after_shutdown)
{
	int fd = udp_socket(false);
	char data[8];

	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	did("shutdown", shutdown(fd, SHUT_RD));
	said("send", send(fd, "x", 1, 0));
	nap_ms(200);
	said("recv", recv(fd, data, sizeof(data), MSG_DONTWAIT));
}

CASE(corked_datagrams)
{
	int fd = udp_socket(false);

	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	said("part", send(fd, "x", 1, MSG_MORE));
	did("cork", set_int(fd, IPPROTO_UDP, 1, 1));
}

CASE(disconnect_without_a_peer)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	int fd = udp_socket(false);

	did("bind", bind_to(fd, "127.0.0.1", 0));
	did("disconnect", connect(fd, &none, sizeof(none)));
	show_names(fd);
}

CASE(broadcast_without_the_option)
{
	int fd = udp_socket(false);
	union address a;
	socklen_t len = make_address(&a, "127.255.255.255", 9);
	char byte;

	said("sendto", sendto(fd, "x", 1, 0, &a.any, len));
	nap_ms(200);
	said("recv", recv(fd, &byte, 1, MSG_DONTWAIT));
}

CASE(obsolete_options)
{
	static const uint8_t no_operation[4] = {1};
	int fd = udp_socket(true), value = 1;

	did("2292PKTINFO", set_int(fd, IPPROTO_IPV6, IPV6_2292PKTINFO, value));
	did("IP options", setsockopt(udp_socket(false), IPPROTO_IP, IP_OPTIONS, no_operation, 4));
}

/* A destination as ancillary data, an address of somebody else, a port that comes with the
 * connection. */
CASE(options_without_effect)
{
	char data[16], control[256];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	int fd = udp_socket(false);

	did("RECVORIGDSTADDR", set_int(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, 1));
	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	said("send", send(fd, "x", 1, 0));
	wait_in(fd);
	said("recvmsg", recvmsg(fd, &msg, 0));
	printf("ancillary data: %d\n", msg.msg_controllen > 0);
	fd = tcp_socket(false, 0);
	did("FREEBIND", set_int(fd, IPPROTO_IP, IP_FREEBIND, 1));
	did("bind", bind_to(fd, "203.0.113.9", 0));
	fd = tcp_socket(false, 0);
	did("BIND_ADDRESS_NO_PORT", set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1));
	did("bind", bind_to(fd, self(false), 0));
	printf("a port: %d\n", local_port(fd) != 0);
}

CASE(poll_of_a_shut_listener)
{
	int port, fd = listener_on("0.0.0.0", &port, 5);

	did("shutdown", shutdown(fd, SHUT_RDWR));
	printf("poll: %s\n", polled(fd, 0));
}

CASE(bad_pointer)
{
	did("connect",
	    connect(tcp_socket(false, 0), (struct sockaddr *)8, sizeof(struct sockaddr_in)));
}

/* What a dump over netlink names: the host's interfaces are not the tunnel's. */
CASE(netlink_links)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg body;
	} request = {{sizeof(request), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {0}};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), tunnels = 0;
	static char buffer[65536];
	bool done = false;

	said("send", send(fd, &request, sizeof(request), 0));
	while (!done) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
		unsigned int left = (unsigned int)n;

		for (struct nlmsghdr *h = (void *)buffer; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left)) {
			unsigned int room = (unsigned int)IFLA_PAYLOAD(h);

			done = done || h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
			if (h->nlmsg_type != RTM_NEWLINK)
				continue;
			for (struct rtattr *a = IFLA_RTA(NLMSG_DATA(h)); RTA_OK(a, room);
			     a = RTA_NEXT(a, room))
				tunnels += a->rta_type == IFLA_IFNAME &&
					   strcmp(RTA_DATA(a), "wg0") == 0;
		}
		if (n <= 0)
			break;
	}
	printf("wg0 is there: %d\n", tunnels > 0);
}
