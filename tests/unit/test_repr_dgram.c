/* SPDX-License-Identifier: MIT */
/* test_repr_dgram.c - datagrams with and without headers, and the change between the two */
#include <check.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include "tests/unit/repr_fixture.h"
#include "tests/unit/run_suite.h"

static int udp_socket(int domain)
{
	int fd = wgw_repr_socket(&session, domain, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static struct sockaddr_in peer_addr(void)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(0x0a000001)};
}

/* Our end of the socket; waits until the fake has taken it. */
static int tunnel_end(int fd)
{
	int end = -1;

	for (int i = 0; i < 60000 && end < 0; i++) {
		pthread_mutex_lock(&tunnel.lock);
		end = fake_socket(&tunnel, wgw_repr_cookie(fd))->dgram;
		pthread_mutex_unlock(&tunnel.lock);
		if (end < 0)
			usleep(1000);
	}
	ck_assert_int_ge(end, 0);
	return end;
}

static ssize_t send_to(int fd, const char *text, const struct sockaddr_in *to)
{
	struct iovec iov = {(void *)text, strlen(text)};
	struct msghdr msg = {.msg_name = (void *)to,
			     .msg_namelen = to ? sizeof(*to) : 0,
			     .msg_iov = &iov,
			     .msg_iovlen = 1};

	return wgw_repr_sendmsg(&session, fd, tag_of(fd), &msg, 0);
}

static ssize_t recv_from(int fd, char *text, size_t size, struct sockaddr_in *from, int flags)
{
	struct iovec iov = {text, size};
	struct msghdr msg = {.msg_name = from,
			     .msg_namelen = from ? sizeof(*from) : 0,
			     .msg_iov = &iov,
			     .msg_iovlen = 1};

	return wgw_repr_recvmsg(&session, fd, tag_of(fd), &msg, flags);
}

/* What the tunnel process sends to a socket without WGW_TAG_RAW. */
static void deliver(int end, const char *text, uint8_t last, uint16_t port, uint32_t err)
{
	struct wgw_dgram head = {.port = port, .ttl = 61, .tos = 2, .err = err};
	struct iovec iov[2] = {{&head, sizeof(head)}, {(void *)text, strlen(text)}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	memcpy(head.preamble, session.preambles.to_app, sizeof(head.preamble));
	memcpy(head.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0", 15);
	head.ip[15] = last;
	memcpy(head.local_ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x02", 16);
	ck_assert_int_eq(sendmsg(end, &msg, 0), (ssize_t)(sizeof(head) + strlen(text)));
}

static int connect_udp(int fd, const struct sockaddr_in *to)
{
	return wgw_repr_connect(&session, fd, tag_of(fd), to, sizeof(*to));
}

START_TEST(unconnected_datagrams_carry_addresses)
{
	struct sockaddr_in to = peer_addr(), from;
	struct {
		struct wgw_dgram head;
		char text[16];
	} got;
	char text[16];
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);

	ck_assert_int_eq(send_to(fd, "ask", NULL), -EDESTADDRREQ);
	ck_assert_int_eq(send_to(fd, "ask", &to), 3);
	ck_assert_int_eq(recv(end, &got, sizeof(got), 0), (ssize_t)sizeof(got.head) + 3);
	ck_assert_mem_eq(got.head.preamble, session.preambles.to_tunnel, WGW_PREAMBLE_BYTES);
	ck_assert_uint_eq(got.head.port, 53);
	ck_assert_mem_eq(got.head.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01", 16);
	ck_assert_mem_eq(got.text, "ask", 3);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), &from, 0), -EAGAIN);
	deliver(end, "answer", 7, 5353, 0);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), &from, MSG_PEEK), 6);
	ck_assert_int_eq(recv_from(fd, text, 2, &from, MSG_TRUNC), 6); /* the full length */
	ck_assert_mem_eq(text, "an", 2);
	ck_assert_uint_eq(ntohs(from.sin_port), 5353);
	ck_assert_uint_eq(ntohl(from.sin_addr.s_addr), 0x0a000007);
	deliver(end, "", 7, 5353, 0);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), &from, 0), 0);
	close(fd);
}
END_TEST

START_TEST(connected_sockets_are_bare_payload)
{
	struct sockaddr_in to = peer_addr(), from;
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);
	unsigned int ops;
	char text[16];

	ck_assert_int_eq(connect_udp(fd, &to), 0);
	ck_assert(tag_of(fd) & WGW_TAG_RAW);
	ck_assert_int_eq(write(fd, "plain", 5), 5);
	ck_assert_int_eq(recv(end, text, sizeof(text), 0), 5);
	ck_assert_int_eq(send(end, "reply", 5, 0), 5);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 5);
	ck_assert_int_eq(send(end, "one", 3, 0), 3);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), &from, 0), 3);
	ck_assert_uint_eq(ntohs(from.sin_port), 53);
	ops = tunnel.ops; /* the peer is remembered now */
	ck_assert_int_eq(send(end, "two", 3, 0), 3);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), &from, 0), 3);
	ck_assert_uint_eq(ntohl(from.sin_addr.s_addr), 0x0a000001);
	ck_assert_int_eq(send_to(fd, "x", &to), 1); /* to the peer itself: still bare */
	ck_assert_int_eq(recv(end, text, sizeof(text), 0), 1);
	ck_assert_uint_eq(tunnel.ops, ops);
	close(fd);
}
END_TEST

START_TEST(a_new_peer_is_not_taken_from_the_cache)
{
	struct sockaddr_in to = peer_addr(), from;
	socklen_t len = sizeof(from);
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);
	char text[16];

	for (uint16_t port = 100; port < 103; port++) {
		to.sin_port = htons(port);
		ck_assert_int_eq(connect_udp(fd, &to), 0);
		ck_assert_int_eq(send(end, "r", 1, 0), 1);
		ck_assert_int_eq(recv_from(fd, text, sizeof(text), &from, 0), 1);
		ck_assert_uint_eq(ntohs(from.sin_port), port);
	}
	ck_assert_int_eq(wgw_repr_getpeername(&session, fd, tag_of(fd), &from, &len), 0);
	ck_assert_uint_eq(ntohs(from.sin_port), 102);
	close(fd);
}
END_TEST

START_TEST(what_is_queued_at_connect_is_read_bare_and_in_order)
{
	struct sockaddr_in to = peer_addr();
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);
	char text[16];

	deliver(end, "first", 1, 53, 0);
	deliver(end, "second", 1, 53, 0);
	ck_assert_int_eq(connect_udp(fd, &to), 0);
	/* The fake sends them again before it takes the lock off. */
	pthread_mutex_lock(&tunnel.lock);
	ck_assert_uint_eq(tunnel.requeued, 2);
	pthread_mutex_unlock(&tunnel.lock);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 5);
	ck_assert_mem_eq(text, "first", 5);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 6);
	ck_assert_mem_eq(text, "second", 6);
	close(fd);
}
END_TEST

START_TEST(another_destination_on_a_connected_socket_has_a_header)
{
	struct sockaddr_in to = peer_addr(), other = peer_addr();
	struct {
		struct wgw_dgram head;
		char text[16];
	} got;
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);

	other.sin_port = htons(54);
	ck_assert_int_eq(connect_udp(fd, &to), 0);
	ck_assert_int_eq(send_to(fd, "other", &other), 5);
	ck_assert(tag_of(fd) & WGW_TAG_RAW);
	ck_assert_int_eq(recv(end, &got, sizeof(got), 0), (ssize_t)sizeof(got.head) + 5);
	ck_assert_mem_eq(got.head.preamble, session.preambles.to_tunnel, WGW_PREAMBLE_BYTES);
	ck_assert_uint_eq(got.head.port, 54);
	ck_assert_int_eq(send_to(fd, "peer", NULL), 4);
	ck_assert_int_eq(recv(end, &got, sizeof(got), 0), 4);
	close(fd);
}
END_TEST

START_TEST(asking_who_sends_ends_bare_payload_without_a_peer)
{
	struct wgw_repr_session supervisor = session;
	struct sockaddr_in from;
	unsigned int ops;
	char text[16];
	int fd, end;

	supervisor.bare = true;
	fd = wgw_repr_socket(&supervisor, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	end = tunnel_end(fd);
	ops = tunnel.ops;
	ck_assert_int_eq(send(end, "one", 3, 0), 3);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), NULL, 0), 3);
	ck_assert_uint_eq(tunnel.ops, ops);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), &from, 0), -EAGAIN);
	ck_assert(!(tag_of(fd) & (WGW_TAG_RAW | WGW_TAG_CONNECTED)));
	deliver(end, "two", 7, 5353, 0);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), &from, 0), 3);
	ck_assert_uint_eq(ntohs(from.sin_port), 5353);
	close(fd);
}
END_TEST

START_TEST(asking_for_ancillary_data_ends_bare_payload)
{
	struct sockaddr_in to = peer_addr(), from;
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);
	int on = 1;
	char text[16];

	ck_assert_int_eq(connect_udp(fd, &to), 0);
	ck_assert_int_eq(send(end, "queued", 6, 0), 6);
	ck_assert_int_eq(wgw_repr_setsockopt(&session, fd, tag_of(fd), IPPROTO_IP, IP_RECVTTL, &on,
					     sizeof(on)),
			 0);
	ck_assert(!(tag_of(fd) & WGW_TAG_RAW));
	ck_assert(tag_of(fd) & WGW_TAG_CONNECTED);
	pthread_mutex_lock(&tunnel.lock);
	ck_assert_uint_eq(tunnel.requeued, 1);
	ck_assert(!tunnel.raw);
	pthread_mutex_unlock(&tunnel.lock);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), &from, 0), 6);
	ck_assert_mem_eq(text, "queued", 6);
	ck_assert_uint_eq(ntohs(from.sin_port), 53); /* the peer, though it came bare */
	close(fd);
}
END_TEST

START_TEST(disconnect_brings_addresses_back)
{
	struct sockaddr_in to = peer_addr();
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	int fd = udp_socket(AF_INET);

	tunnel_end(fd);
	ck_assert_int_eq(connect_udp(fd, &to), 0);
	ck_assert_int_eq(wgw_repr_connect(&session, fd, tag_of(fd), &none, sizeof(none)), 0);
	ck_assert(!(tag_of(fd) & (WGW_TAG_RAW | WGW_TAG_CONNECTED)));
	ck_assert_int_eq(send_to(fd, "ask", NULL), -EDESTADDRREQ);
	close(fd);
}
END_TEST

START_TEST(a_refused_connect_leaves_the_socket_as_it_was)
{
	struct sockaddr_in to = peer_addr();
	int fd = udp_socket(AF_INET);
	uint64_t before;

	tunnel_end(fd);
	before = tag_of(fd);
	tunnel.fail_next = ENETUNREACH;
	ck_assert_int_eq(connect_udp(fd, &to), -ENETUNREACH);
	ck_assert_uint_eq(tag_of(fd), before);
	close(fd);
}
END_TEST

START_TEST(port_unreachable_is_connection_refused)
{
	struct sockaddr_in to = peer_addr();
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS,
			      .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct msghdr mark = {.msg_control = &control, .msg_controllen = sizeof(control)};
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);
	char text[16];

	ck_assert_int_eq(connect_udp(fd, &to), 0);
	memcpy(CMSG_DATA(&control.head), &end, sizeof(end));
	tunnel.error_next = ECONNREFUSED;
	ck_assert_int_eq(sendmsg(end, &mark, 0), 0);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), NULL, 0), -ECONNREFUSED);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), NULL, 0), -EAGAIN);
	close(fd);
}
END_TEST

START_TEST(errors_of_unconnected_sockets_are_told_only_with_recverr)
{
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);
	int on = 1;
	char text[16];

	deliver(end, "", 1, 53, ECONNREFUSED);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), NULL, 0), -EAGAIN);
	ck_assert_int_eq(wgw_repr_setsockopt(&session, fd, tag_of(fd), IPPROTO_IP, IP_RECVERR, &on,
					     sizeof(on)),
			 0);
	tunnel.error_next = ECONNREFUSED;
	deliver(end, "", 1, 53, ECONNREFUSED);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), NULL, 0), -ECONNREFUSED);
	/* told meanwhile by SO_ERROR or the error queue: not again */
	deliver(end, "", 1, 53, ECONNREFUSED);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), NULL, 0), -EAGAIN);
	close(fd);
}
END_TEST

START_TEST(tunnel_death_is_netdown_and_not_an_empty_datagram)
{
	struct sockaddr_in to = peer_addr();
	int fd = udp_socket(AF_INET);
	int connected = udp_socket(AF_INET);
	char text[16];

	ck_assert_int_eq(connect_udp(connected, &to), 0);
	shutdown(tunnel_end(fd), SHUT_RDWR);
	shutdown(tunnel_end(connected), SHUT_RDWR);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), NULL, 0), -ENETDOWN);
	ck_assert_int_eq(send_to(fd, "x", &to), -ENETDOWN);
	ck_assert_int_eq(recv_from(connected, text, sizeof(text), NULL, 0), -ENETDOWN);
	close(fd);
	close(connected);
}
END_TEST

START_TEST(tunnel_without_room_is_enobufs)
{
	struct sockaddr_in to = peer_addr();
	int fd = udp_socket(AF_INET), end = tunnel_end(fd);
	struct wgw_dgram head = {.err = ENOBUFS};
	char text[16];

	memcpy(head.preamble, session.preambles.to_app, sizeof(head.preamble));
	ck_assert_int_eq(send(end, &head, sizeof(head), 0), sizeof(head));
	shutdown(end, SHUT_RDWR);
	tunnel.fail_next = ENOTSOCK;
	ck_assert_int_eq(wgw_repr_bind(&session, fd, tag_of(fd), &to, sizeof(to)), -ENOBUFS);
	tunnel.fail_next = ENOTSOCK;
	ck_assert_int_eq(connect_udp(fd, &to), -ENOBUFS);
	ck_assert_int_eq(send_to(fd, "x", &to), -ENOBUFS);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), NULL, 0), -ENOBUFS);
	ck_assert_int_eq(send_to(fd, "x", &to), -ENETDOWN);
	close(fd);
}
END_TEST

START_TEST(ancillary_data_go_both_ways)
{
	struct sockaddr_in to = peer_addr();
	struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(0x0a000009)};
	char control[256] = {0}, text[16];
	struct iovec iov = {text, 4};
	struct msghdr msg = {.msg_name = &to,
			     .msg_namelen = sizeof(to),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = CMSG_SPACE(sizeof(info))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	struct {
		struct wgw_dgram head;
		char text[16];
	} got;
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);
	int on = 1, ttl = 0;

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	ck_assert_int_eq(wgw_repr_sendmsg(&session, fd, tag_of(fd), &msg, 0), 4);
	ck_assert_int_eq(recv(end, &got, sizeof(got), 0), (ssize_t)sizeof(got.head) + 4);
	ck_assert_uint_eq(got.head.local_ip[15], 9);
	c->cmsg_level = IPPROTO_UDP; /* UDP_SEGMENT */
	c->cmsg_type = 103;
	ck_assert_int_eq(wgw_repr_sendmsg(&session, fd, tag_of(fd), &msg, 0), -EINVAL);
	ck_assert_int_eq(wgw_repr_setsockopt(&session, fd, tag_of(fd), IPPROTO_IP, IP_PKTINFO, &on,
					     sizeof(on)),
			 0);
	ck_assert_int_eq(wgw_repr_setsockopt(&session, fd, tag_of(fd), IPPROTO_IP, IP_RECVTTL, &on,
					     sizeof(on)),
			 0);
	/* Asked for before connect: the socket keeps its headers. */
	ck_assert_int_eq(connect_udp(fd, &to), 0);
	ck_assert(!(tag_of(fd) & WGW_TAG_RAW));
	deliver(end, "data", 1, 53, 0);
	msg.msg_controllen = sizeof(control);
	ck_assert_int_eq(wgw_repr_recvmsg(&session, fd, tag_of(fd), &msg, 0), 4);
	memset(&info, 0, sizeof(info));
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_type == IP_PKTINFO)
			memcpy(&info, CMSG_DATA(c), sizeof(info));
		if (c->cmsg_type == IP_TTL)
			memcpy(&ttl, CMSG_DATA(c), sizeof(ttl));
	}
	ck_assert_uint_eq(ntohl(info.ipi_addr.s_addr), 0x0a000002);
	ck_assert_int_eq(ttl, 61);
	deliver(end, "data", 1, 53, 0);
	msg.msg_controllen = 4; /* no room */
	ck_assert_int_eq(wgw_repr_recvmsg(&session, fd, tag_of(fd), &msg, 0), 4);
	ck_assert(msg.msg_flags & MSG_CTRUNC);
	close(fd);
}
END_TEST

START_TEST(largest_datagram_and_one_byte_more)
{
	static char payload[65508];
	static char got[65508 + sizeof(struct wgw_dgram)];
	struct sockaddr_in to = peer_addr();
	struct iovec iov = {payload, 65507};
	struct msghdr msg = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1};
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);

	ck_assert_int_eq(wgw_repr_sendmsg(&session, fd, tag_of(fd), &msg, 0), 65507);
	ck_assert_int_eq(recv(end, got, sizeof(got), 0), 65507 + (ssize_t)sizeof(struct wgw_dgram));
	iov.iov_len = 65508;
	ck_assert_int_eq(wgw_repr_sendmsg(&session, fd, tag_of(fd), &msg, 0), -EMSGSIZE);
	close(fd);
}
END_TEST

/* ---- what another process changes while this one does not look ---- */

static void disconnect(int fd)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};

	ck_assert_int_eq(wgw_repr_connect(&session, fd, tag_of(fd), &none, sizeof(none)), 0);
}

/* Receives by @tag into buffers of @piece bytes, @room altogether; terminates the text. */
static ssize_t recv_pieces(int fd, uint64_t tag, char *text, size_t room, size_t piece,
			   struct msghdr *msg)
{
	static struct iovec iov[256];
	size_t n = 0;

	for (size_t at = 0; at < room; at += piece)
		iov[n++] = (struct iovec){text + at, room - at < piece ? room - at : piece};
	msg->msg_iov = iov;
	msg->msg_iovlen = n;
	text[room] = '\0';
	return wgw_repr_recvmsg(&session, fd, tag, msg, 0);
}

START_TEST(a_header_that_was_not_expected_is_seen)
{
	static const char *const payload =
		"0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQ"
		"RSTUVWXYZ";
	const size_t len = strlen(payload);
	struct sockaddr_in to = peer_addr(), from;
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);
	uint64_t old;

	ck_assert_int_eq(connect_udp(fd, &to), 0);
	old = tag_of(fd);
	disconnect(fd);
	for (size_t room = 1; room <= len + 2; room++) {
		for (size_t piece = 1; piece <= room; piece += 7) {
			char text[128];
			struct msghdr msg = {.msg_name = &from, .msg_namelen = sizeof(from)};
			size_t got = room < len ? room : len;

			deliver(end, payload, 7, 5353, 0);
			ck_assert_int_eq(recv_pieces(fd, old, text, room, piece, &msg),
					 (ssize_t)got);
			ck_assert_mem_eq(text, payload, got);
			ck_assert_int_eq(msg.msg_flags, room < len ? MSG_TRUNC : 0);
			ck_assert_uint_eq(ntohs(from.sin_port), 5353);
		}
	}
	close(fd);
}
END_TEST

START_TEST(bare_payload_that_was_not_expected_is_seen)
{
	char payload[160], text[200];
	struct sockaddr_in to = peer_addr(), from;
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);
	uint64_t old = tag_of(fd);

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (char)('!' + i % 90);
	ck_assert_int_eq(connect_udp(fd, &to), 0);
	for (size_t len = 0; len <= sizeof(payload); len += 8) {
		for (size_t room = 1; room < sizeof(text); room += 13) {
			struct msghdr msg = {.msg_name = &from, .msg_namelen = sizeof(from)};
			size_t got = room < len ? room : len;

			ck_assert_int_eq(send(end, payload, len, 0), (ssize_t)len);
			ck_assert_int_eq(recv_pieces(fd, old, text, room, 11, &msg), (ssize_t)got);
			ck_assert_mem_eq(text, payload, got);
			ck_assert_int_eq(msg.msg_flags, room < len ? MSG_TRUNC : 0);
			ck_assert_uint_eq(ntohs(from.sin_port), 53); /* the peer */
		}
	}
	/* without a peer nobody can say where it is from */
	disconnect(fd);
	ck_assert_int_eq(send(end, "stray", 5, 0), 5);
	ck_assert_int_eq(recv_from(fd, text, sizeof(text), &from, 0), -EAGAIN);
	close(fd);
}
END_TEST

/* ---- without asking ---- */

static unsigned int asked;

static bool ask(int fd, uint64_t *tag)
{
	asked++;
	return wgw_repr_tag(fd, tag);
}

static ssize_t recv_unasked(int fd, char *text, size_t room)
{
	return wgw_repr_recv_unasked(&session, fd, &(struct iovec){text, room}, 1, MSG_DONTWAIT,
				     ask);
}

static ssize_t send_unasked(int fd, const char *text)
{
	return wgw_repr_send_unasked(&session, fd, &(struct iovec){(void *)text, strlen(text)}, 1,
				     MSG_DONTWAIT, ask);
}

static void send_mark(int end)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS,
			      .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct msghdr mark = {.msg_control = &control, .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.head), &end, sizeof(end));
	ck_assert_int_eq(sendmsg(end, &mark, 0), 0);
}

START_TEST(a_connected_socket_needs_no_question)
{
	struct sockaddr_in to = peer_addr();
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);
	char text[64];

	asked = 0;
	ck_assert_int_eq(connect_udp(fd, &to), 0);
	ck_assert_int_eq(send_unasked(fd, "plain"), 5);
	ck_assert_int_eq(recv(end, text, sizeof(text), 0), 5);
	ck_assert_int_eq(recv_unasked(fd, text, sizeof(text)), -EAGAIN);
	ck_assert_int_eq(send(end, "a reply of some length", 22, 0), 22);
	ck_assert_int_eq(recv_unasked(fd, text, 20), 20); /* cut as natively */
	ck_assert_int_eq(send(end, "", 0, 0), 0);
	ck_assert_int_eq(recv_unasked(fd, text, sizeof(text)), 0);
	ck_assert_uint_eq(asked, 0);
	tunnel.error_next = ECONNREFUSED;
	send_mark(end);
	ck_assert_int_eq(recv_unasked(fd, text, sizeof(text)), -ECONNREFUSED);
	send_mark(end); /* told meanwhile by SO_ERROR */
	ck_assert_int_eq(recv_unasked(fd, text, sizeof(text)), -EAGAIN);
	shutdown(end, SHUT_RDWR);
	ck_assert_int_eq(recv_unasked(fd, text, sizeof(text)), -ENETDOWN);
	ck_assert_int_eq(send_unasked(fd, "x"), -ENETDOWN);
	close(fd);
}
END_TEST

START_TEST(an_error_is_seen_without_a_free_descriptor)
{
	struct sockaddr_in to = peer_addr();
	struct rlimit few = {0}, before;
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);
	char text[64];

	ck_assert_int_eq(connect_udp(fd, &to), 0);
	tunnel.error_next = ECONNREFUSED;
	send_mark(end);
	getrlimit(RLIMIT_NOFILE, &before);
	few.rlim_max = before.rlim_max;
	setrlimit(RLIMIT_NOFILE, &few);
	/* asking which error needs one; the datagram it is not */
	ck_assert_int_eq(recv_unasked(fd, text, sizeof(text)), -EAGAIN);
	setrlimit(RLIMIT_NOFILE, &before);
	close(fd);
}
END_TEST

START_TEST(unasked_a_header_is_seen_and_nothing_is_cut_untold)
{
	static const char payload[] = "sixteen bytes at least";
	const ssize_t len = sizeof(payload) - 1;
	struct sockaddr_in to = peer_addr();
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);
	char text[256];

	ck_assert_int_eq(connect_udp(fd, &to), 0);
	disconnect(fd);
	asked = 0;
	deliver(end, payload, 7, 5353, 0);
	ck_assert_int_eq(recv_unasked(fd, text, sizeof(text)), len);
	ck_assert_mem_eq(text, payload, (size_t)len);
	ck_assert_uint_eq(asked, 1);
	for (size_t room = WGW_PREAMBLE_BYTES; room <= sizeof(struct wgw_dgram) + sizeof(payload);
	     room++) {
		bool whole = room >= sizeof(struct wgw_dgram) + (size_t)len;
		ssize_t here = (ssize_t)room < len ? (ssize_t)room : len;

		deliver(end, payload, 7, 5353, 0);
		deliver(end, "and another of that kind", 7, 5353, 0);
		ck_assert_int_eq(recv_unasked(fd, text, room), whole		    ? len
							       : (ssize_t)room < 24 ? (ssize_t)room
										    : 24);
		ck_assert_mem_eq(text, whole ? payload : "and another of that kind", (size_t)here);
		while (recv_from(fd, text, sizeof(text), NULL, MSG_DONTWAIT) >= 0)
			;
	}
	deliver(end, "", 7, 5353, ECONNREFUSED); /* without a peer it is not told */
	ck_assert_int_eq(recv_unasked(fd, text, sizeof(text)), -EAGAIN);
	close(fd);
}
END_TEST

START_TEST(unasked_nothing_is_taken_from_a_stranger)
{
	struct wgw_dgram bait = {.port = 1};
	char text[128];
	int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}, pair[2];

	memcpy(bait.preamble, session.preambles.to_app, sizeof(bait.preamble));
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(socketpair(AF_UNIX, types[i], 0, pair), 0);
		ck_assert_int_eq(send(pair[1], &bait, sizeof(bait), 0), sizeof(bait));
		ck_assert_int_eq(recv_unasked(pair[0], text, sizeof(text)), sizeof(bait));
		ck_assert_mem_eq(text, &bait, sizeof(bait));
		ck_assert_int_eq(send(pair[1], "twenty bytes to read", 20, 0), 20);
		ck_assert_int_eq(recv_unasked(pair[0], text, 16), 16);
		ck_assert_int_eq(recv(pair[0], text, sizeof(text), MSG_DONTWAIT),
				 types[i] == SOCK_STREAM ? 4 : -1);
		ck_assert_int_eq(send_unasked(pair[0], "mine"), 4);
		ck_assert_int_eq(recv(pair[1], text, sizeof(text), 0), 4);
		close(pair[1]);
		if (types[i] == SOCK_STREAM) {
			ck_assert_int_eq(recv_unasked(pair[0], text, sizeof(text)), 0);
			ck_assert_int_eq(send_unasked(pair[0], "late"), -EPIPE);
		}
		close(pair[0]);
	}
	ck_assert_int_eq(pipe(pair), 0);
	ck_assert_int_eq(write(pair[1], "piped", 5), 5);
	ck_assert_int_eq(recv_unasked(pair[0], text, sizeof(text)), -ENOTSOCK);
	ck_assert_int_eq(send_unasked(pair[1], "x"), -ENOTSOCK);
	ck_assert_int_eq(read(pair[0], text, sizeof(text)), 5);
	close(pair[0]);
	close(pair[1]);
	ck_assert_int_eq(recv_unasked(pair[0], text, sizeof(text)), -EBADF);
}
END_TEST

START_TEST(what_cannot_go_bare_is_told)
{
	static char payload[65508];
	struct wgw_dgram bait = {.port = 1};
	struct sockaddr_in to = peer_addr();
	struct iovec iov[2] = {{&bait, 10}, {(uint8_t *)&bait + 10, sizeof(bait) - 10}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	struct {
		struct wgw_dgram head;
		char text[128];
	} got;
	int fd = udp_socket(AF_INET);
	int end = tunnel_end(fd);

	memcpy(bait.preamble, session.preambles.to_tunnel, sizeof(bait.preamble));
	ck_assert(!wgw_repr_is_sent_unasked(&session, iov, 2, false));
	ck_assert(wgw_repr_is_sent_unasked(&session, iov, 1, false));
	ck_assert_int_eq(connect_udp(fd, &to), 0);
	ck_assert_int_eq(wgw_repr_sendmsg(&session, fd, tag_of(fd), &msg, 0), sizeof(bait));
	ck_assert_int_eq(recv(end, &got, sizeof(got), 0), 2 * sizeof(bait));
	ck_assert_uint_eq(got.head.port, 53);
	ck_assert_mem_eq(got.text, &bait, sizeof(bait));
	iov[0] = (struct iovec){payload, 65507};
	ck_assert(wgw_repr_is_sent_unasked(&session, iov, 1, false));
	ck_assert(!wgw_repr_is_sent_unasked(&session, iov, 1, true));
	iov[0].iov_len = 65508;
	ck_assert(!wgw_repr_is_sent_unasked(&session, iov, 1, false));
	iov[0].iov_len = 1232;
	ck_assert(wgw_repr_is_sent_unasked(&session, iov, 1, true));
	iov[0].iov_len = 1233;
	ck_assert(!wgw_repr_is_sent_unasked(&session, iov, 1, true));
	close(fd);
}
END_TEST

START_TEST(names_of_datagram_sockets)
{
	struct sockaddr_in to = peer_addr(), in;
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	socklen_t len = sizeof(in);
	int fd = udp_socket(AF_INET);
	int fd6 = udp_socket(AF_INET6);

	ck_assert_int_eq(wgw_repr_getsockname(&session, fd, tag_of(fd), &in, &len), 0);
	ck_assert_uint_eq(in.sin_port, 0);
	ck_assert_int_eq(wgw_repr_getpeername(&session, fd, tag_of(fd), &in, &len), -ENOTCONN);
	ck_assert_int_eq(connect_udp(fd, &to), 0);
	ck_assert_int_eq(wgw_repr_getsockname(&session, fd, tag_of(fd), &in, &len), 0);
	ck_assert_uint_ne(in.sin_port, 0);
	ck_assert_int_eq(wgw_repr_bind(&session, fd6, tag_of(fd6), &in6, sizeof(in6)), 0);
	len = sizeof(in6);
	ck_assert_int_eq(wgw_repr_getsockname(&session, fd6, tag_of(fd6), &in6, &len), 0);
	ck_assert_uint_ne(in6.sin6_port, 0);
	close(fd);
	close(fd6);
}
END_TEST

START_TEST(an_unknown_token_gets_no_answer)
{
	struct wgw_repr_session other = session;
	struct stack_addr addr;
	int fd = udp_socket(AF_INET);

	other.token[0] ^= 1;
	ck_assert_int_eq(wgw_repr_name_op(&other, fd, tag_of(fd), &addr, NULL), -ENETDOWN);
	ck_assert_uint_eq(tunnel.bad_tokens, 1);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("repr dgram");
	TCase *tc = tcase_create("dgram");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 180);
	tcase_add_test(tc, unconnected_datagrams_carry_addresses);
	tcase_add_test(tc, connected_sockets_are_bare_payload);
	tcase_add_test(tc, a_new_peer_is_not_taken_from_the_cache);
	tcase_add_test(tc, what_is_queued_at_connect_is_read_bare_and_in_order);
	tcase_add_test(tc, another_destination_on_a_connected_socket_has_a_header);
	tcase_add_test(tc, asking_who_sends_ends_bare_payload_without_a_peer);
	tcase_add_test(tc, asking_for_ancillary_data_ends_bare_payload);
	tcase_add_test(tc, disconnect_brings_addresses_back);
	tcase_add_test(tc, a_refused_connect_leaves_the_socket_as_it_was);
	tcase_add_test(tc, port_unreachable_is_connection_refused);
	tcase_add_test(tc, errors_of_unconnected_sockets_are_told_only_with_recverr);
	tcase_add_test(tc, tunnel_death_is_netdown_and_not_an_empty_datagram);
	tcase_add_test(tc, tunnel_without_room_is_enobufs);
	tcase_add_test(tc, ancillary_data_go_both_ways);
	tcase_add_test(tc, largest_datagram_and_one_byte_more);
	tcase_add_test(tc, a_header_that_was_not_expected_is_seen);
	tcase_add_test(tc, bare_payload_that_was_not_expected_is_seen);
	tcase_add_test(tc, a_connected_socket_needs_no_question);
	tcase_add_test(tc, an_error_is_seen_without_a_free_descriptor);
	tcase_add_test(tc, unasked_a_header_is_seen_and_nothing_is_cut_untold);
	tcase_add_test(tc, unasked_nothing_is_taken_from_a_stranger);
	tcase_add_test(tc, what_cannot_go_bare_is_told);
	tcase_add_test(tc, names_of_datagram_sockets);
	tcase_add_test(tc, an_unknown_token_gets_no_answer);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
