/* SPDX-License-Identifier: MIT */
/* senders.c - datagrams whose sender the program asks for late, or never */
#include "behave.h"

#include <sys/uio.h>

/* A socket to which two others have sent in turns: what each datagram says is its number. */
struct three {
	int fd, sender[2];
};

static long send_number(int fd, int to, int number)
{
	union address a;
	socklen_t len = make_address(&a, "127.0.0.1", local_port(to));
	char text[16];

	return sendto(fd, text, (size_t)snprintf(text, sizeof(text), "%d", number), 0, &a.any, len);
}

static int bound(void)
{
	int fd = udp_socket(false);

	if (bind_to(fd, "127.0.0.1", 0))
		die("bind");
	return fd;
}

static struct three after(int sent)
{
	struct three t = {bound(), {bound(), bound()}};

	for (int i = 0; i < sent; i++)
		said("sendto", send_number(t.sender[i % 2], t.fd, i));
	nap_ms(200);
	return t;
}

static void show_read(int fd)
{
	char data[16] = "";

	wait_in(fd);
	said("read", read(fd, data, sizeof(data) - 1));
	printf("\"%s\"\n", data);
}

static void show_sender(const struct three *t, const union address *a)
{
	int port = port_of(a);

	printf("%s\n", port == local_port(t->sender[0])	  ? "from the first"
		       : port == local_port(t->sender[1]) ? "from the second"
							  : "from elsewhere");
}

static void show_recvfrom(const struct three *t, int flags)
{
	union address a = {0};
	socklen_t len = sizeof(a);
	char data[16] = "";

	wait_in(t->fd);
	said("recvfrom", recvfrom(t->fd, data, sizeof(data) - 1, flags, &a.any, &len));
	printf("\"%s\" from %s\n", data, address_text(&a, len));
	show_sender(t, &a);
}

CASE(never_asked)
{
	struct three t = after(7);
	char data[16] = "", rest[8] = "";
	struct iovec iov[2] = {{data, 1}, {rest, 7}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	show_read(t.fd);
	said("recv", recv(t.fd, data, sizeof(data), MSG_PEEK));
	said("recv", recv(t.fd, data, sizeof(data), 0));
	said("readv", readv(t.fd, iov, 2));
	printf("%.1s|%s\n", data, rest);
	said("recvmsg", recvmsg(t.fd, &msg, MSG_PEEK));
	printf("%.1s|%s, flags %x\n", data, rest, (unsigned int)msg.msg_flags);
	said("recvmsg", recvmsg(t.fd, &msg, 0));
	said("recv", recv(t.fd, NULL, 0, MSG_TRUNC));
	show_read(t.fd);
	show_read(t.fd);
	printf("poll: %s\n", polled(t.fd, 0));
}

CASE(asked_after_reading)
{
	struct three t = after(6);

	show_read(t.fd);
	show_read(t.fd);
	show_read(t.fd);
	show_recvfrom(&t, MSG_PEEK);
	for (int i = 0; i < 3; i++)
		show_recvfrom(&t, 0);
	said("sendto", send_number(t.sender[1], t.fd, 6));
	show_recvfrom(&t, 0);
	printf("poll: %s\n", polled(t.fd, 0));
}

/* What lies there has come before anybody has asked to where. */
CASE(ancillary_data_asked_after_reading)
{
	struct three t = after(3);
	union address a = {0};
	char data[16] = "", control[128];
	struct iovec iov = {data, sizeof(data) - 1};
	struct msghdr msg = {.msg_name = &a,
			     .msg_namelen = sizeof(a),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};

	show_read(t.fd);
	set_int(t.fd, IPPROTO_IP, IP_PKTINFO, 1);
	wait_in(t.fd);
	said("recvmsg", recvmsg(t.fd, &msg, 0));
	show_sender(&t, &a);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		struct in_pktinfo info;
		char text[INET_ADDRSTRLEN];

		memcpy(&info, CMSG_DATA(c), sizeof(info));
		printf("%d/%d: to %s\n", c->cmsg_level, c->cmsg_type,
		       inet_ntop(AF_INET, &info.ipi_addr, text, sizeof(text)));
	}
	show_recvfrom(&t, 0);
}

/* Who asks only in order to connect */
CASE(connected_to_who_came_first)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct three t = after(1);
	union address a = {0};
	socklen_t len = sizeof(a);
	char data[16];

	said("recvfrom", recvfrom(t.fd, data, sizeof(data), MSG_PEEK, &a.any, &len));
	did("connect", connect(t.fd, &a.any, len));
	show_read(t.fd);
	said("write", write(t.fd, "answer", 6));
	show_read(t.sender[0]);
	did("disconnect", connect(t.fd, &none, sizeof(none)));
}

CASE(connected_and_not_asked)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct three t = {udp_socket(false), {bound(), bound()}};

	did("connect", connect_to(t.fd, "127.0.0.1", local_port(t.sender[0])));
	said("sendto", send_number(t.sender[0], t.fd, 0));
	show_read(t.fd);
	did("disconnect", connect(t.fd, &none, sizeof(none))); /* gives the port up */
	did("bind", bind_to(t.fd, "127.0.0.1", 0));
	for (int i = 1; i < 4; i++)
		said("sendto", send_number(t.sender[i % 2], t.fd, i));
	nap_ms(200);
	show_read(t.fd);
	show_recvfrom(&t, 0);
	show_recvfrom(&t, 0);
}

CASE(read_after_asking)
{
	struct three t = after(2);

	show_recvfrom(&t, 0);
	show_read(t.fd);
}
