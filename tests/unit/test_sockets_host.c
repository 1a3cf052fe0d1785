/* SPDX-License-Identifier: MIT */
/* test_sockets_host.c - datagram sockets that use the host's kernel: loopback, direct, outside */
#include "tests/unit/open_descriptors.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/sockets_datagrams.h"

START_TEST(host_loopback_is_reached_by_a_kernel_socket)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	struct stack_addr to = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, 0};
	socklen_t len = sizeof(sin);
	struct wgw_dgram h;
	char text[64];
	int fd, host = socket(AF_INET, SOCK_DGRAM, 0);

	ck_assert_int_eq(bind(host, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(getsockname(host, (struct sockaddr *)&sin, &len), 0);
	fake_start();
	fd = udp_open();
	to.port = ntohs(sin.sin_port);
	send_to(fd, &to, "direct");
	fake_run(5);
	fake_until(recvfrom(host, text, sizeof(text), MSG_DONTWAIT, (struct sockaddr *)&sin,
			    &len) == 6);
	ck_assert_int_eq(sendto(host, "back", 4, 0, (struct sockaddr *)&sin, len), 4);
	fake_until(receive(fd, &h, text));
	ck_assert_str_eq(text, "back");
	ck_assert_uint_eq(h.port, to.port);
}
END_TEST

/* More than are taken in a turn. */
START_TEST(what_the_host_received_before_a_connect_stays)
{
	enum { MANY = 160 };
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd, host = socket(AF_INET, SOCK_DGRAM, 0);
	struct stack_addr to = loopback4;
	socklen_t len = sizeof(sin);
	struct wgw_dgram h;
	char text[64];
	int n = 0;

	ck_assert_int_eq(bind(host, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(getsockname(host, (struct sockaddr *)&sin, &len), 0);
	to.port = ntohs(sin.sin_port);
	fake_start();
	fd = udp_open();
	send_to(fd, &to, "direct");
	fake_until(recvfrom(host, text, sizeof(text), MSG_DONTWAIT, (struct sockaddr *)&sin,
			    &len) == 6);
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(sendto(host, "back", 4, 0, (struct sockaddr *)&sin, len), 4);
	connected(fd, &app_peer);
	while (receive(fd, &h, text))
		n++;
	ck_assert_int_eq(n, MANY);
	close(host);
}
END_TEST

/* 0: before it has a port, 1: who has sent has one */
START_TEST(bind_that_fails_leaves_no_socket_on_the_host)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	struct stack_addr taken = loopback4;
	socklen_t len = sizeof(sin);
	unsigned int before;
	uint16_t port;
	int fd, host = socket(AF_INET, SOCK_DGRAM, 0);

	ck_assert_int_eq(bind(host, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(getsockname(host, (struct sockaddr *)&sin, &len), 0);
	taken.port = ntohs(sin.sin_port);
	fake_start();
	fd = udp_open();
	if (_i)
		send_to(fd, &taken, "from a port");
	fake_run(5);
	before = open_descriptors();
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(bind_op(fd, &taken, 0, &port), _i ? EINVAL : EADDRINUSE);
	ck_assert_int_eq(bind_op(fd, &loopback4, 0, &port), _i ? EINVAL : 0);
	fake_run(5);
	ck_assert_uint_eq(open_descriptors(), before + !_i);
	close(fd), close(host);
}
END_TEST

START_TEST(host_sees_the_bound_port_if_it_is_free)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	struct stack_addr to = loopback4, any = stack_addr_wildcard(true);
	socklen_t len = sizeof(sin);
	char text[64];
	int fd, host = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);

	ck_assert_int_eq(bind(host, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(bind(other, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(getsockname(host, (struct sockaddr *)&sin, &len), 0);
	to.port = ntohs(sin.sin_port);
	ck_assert_int_eq(getsockname(other, (struct sockaddr *)&sin, &len), 0);
	any.port = ntohs(sin.sin_port);
	fake_start();
	for (int is_free = 0; is_free < 2; is_free++) {
		fd = udp_open();
		ck_assert_uint_eq(bound_to(fd, &any), any.port);
		send_to(fd, &to, "direct");
		fake_until(recvfrom(host, text, sizeof(text), MSG_DONTWAIT, (struct sockaddr *)&sin,
				    &len) == 6);
		ck_assert_int_eq(ntohs(sin.sin_port) == any.port, is_free);
		close(fd);
		if (!is_free)
			close(other);
		fake_run(5);
	}
	close(host);
}
END_TEST

/* A disconnect gives up the port that sending chose: the host sees the one that bind() gets then. */
START_TEST(host_sees_the_port_that_is_bound_after_a_disconnect)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct stack_addr to = loopback4, any = stack_addr_wildcard(true);
	static const struct stack_addr nobody;
	int fd, host = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t len = sizeof(sin);
	uint16_t port;
	char text[64];

	ck_assert_int_eq(bind(host, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(getsockname(host, (struct sockaddr *)&sin, &len), 0);
	to.port = ntohs(sin.sin_port);
	fake_start();
	fd = udp_open();
	send_to(fd, &to, "before");
	fake_until(recv(host, text, sizeof(text), MSG_DONTWAIT) == 6);
	connected(fd, &app_peer);
	connected(fd, &nobody);
	port = bound_to(fd, &any);
	send_to(fd, &to, "after");
	fake_until(recvfrom(host, text, sizeof(text), MSG_DONTWAIT, (struct sockaddr *)&sin,
			    &len) == 5);
	ck_assert_uint_eq(ntohs(sin.sin_port), port);
	close(host);
}
END_TEST

START_TEST(broadcasts_of_the_host_need_the_option)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK | 0xffffff)};
	struct stack_addr to = {{[10] = 0xff, 0xff, 127, 255, 255, 255}, 0};
	socklen_t len = sizeof(sin);
	const int on = 1;
	struct wgw_dgram h;
	char text[64];
	int fd, host = socket(AF_INET, SOCK_DGRAM, 0);

	ck_assert_int_eq(bind(host, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(getsockname(host, (struct sockaddr *)&sin, &len), 0);
	fake_start();
	fd = udp_open();
	to.port = ntohs(sin.sin_port);
	send_to(fd, &to, "without");
	fake_until(receive(fd, &h, text));
	ck_assert_uint_eq(h.err, EACCES);
	ck_assert_uint_eq(h.port, to.port);
	app_set(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	send_to(fd, &to, "with");
	fake_until(recv(host, text, sizeof(text), MSG_DONTWAIT) == 4);
	ck_assert(!receive(fd, &h, text));
	close(host);
}
END_TEST

/* IPv4 that comes to the wildcard of IPv6 is answered from there. 1: IPV6_V6ONLY leaves its port free */
START_TEST(both_families_of_a_program_outside_have_one_port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct stack_addr any = stack_addr_wildcard(false), from = loopback4;
	int fd, peer = socket(AF_INET, SOCK_DGRAM, 0);
	struct wgw_dgram h;
	char text[64];

	fake_start();
	fake_has_apps = true;
	fd = udp_open_with(WGW_BIND_V6 | WGW_BIND_OUTSIDE);
	sin.sin_port = htons(bound_with(fd, &any, _i ? WGW_BIND_V6ONLY : 0));
	if (_i) {
		ck_assert_int_eq(bind(peer, (struct sockaddr *)&sin, sizeof(sin)), 0);
		return;
	}
	ck_assert_int_eq(connect(peer, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(send(peer, "question", 8, 0), 8);
	fake_until(receive(fd, &h, text));
	ck_assert_str_eq(text, "question");
	from.port = h.port;
	send_to(fd, &from, "answer");
	fake_until(recv(peer, text, sizeof(text), MSG_DONTWAIT) == 6);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sockets_host");
	TCase *t = tcase_create("host");

	tcase_set_timeout(t, 180);
	tcase_add_test(t, host_loopback_is_reached_by_a_kernel_socket);
	tcase_add_test(t, what_the_host_received_before_a_connect_stays);
	tcase_add_loop_test(t, bind_that_fails_leaves_no_socket_on_the_host, 0, 2);
	tcase_add_test(t, host_sees_the_bound_port_if_it_is_free);
	tcase_add_test(t, host_sees_the_port_that_is_bound_after_a_disconnect);
	tcase_add_test(t, broadcasts_of_the_host_need_the_option);
	tcase_add_loop_test(t, both_families_of_a_program_outside_have_one_port, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
