/* SPDX-License-Identifier: MIT */
/*
 * test_repr_option.c - socket options as programs see them
 *
 * Where the kernel lets us make real IP sockets, it is the oracle: what an untouched socket returns
 * must be what ours returns.
 */
#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "tests/unit/repr_fixture.h"
#include "tests/unit/run_suite.h"

static int set_int(int fd, int level, int name, int value)
{
	return wgw_repr_setsockopt(&session, fd, tag_of(fd), level, name, &value, sizeof(value));
}

static int get_int(int fd, int level, int name)
{
	int value = -12345;
	socklen_t len = sizeof(value);
	int rc = wgw_repr_getsockopt(&session, fd, tag_of(fd), level, name, &value, &len);

	return rc < 0 ? rc : value;
}

struct oracle_case {
	int domain, type, level, name;
};

static const struct oracle_case oracle_cases[] = {
	{AF_INET, SOCK_STREAM, SOL_SOCKET, SO_TYPE},
	{AF_INET6, SOCK_DGRAM, SOL_SOCKET, SO_TYPE},
	{AF_INET, SOCK_STREAM, SOL_SOCKET, SO_DOMAIN},
	{AF_INET6, SOCK_STREAM, SOL_SOCKET, SO_DOMAIN},
	{AF_INET, SOCK_STREAM, SOL_SOCKET, SO_PROTOCOL},
	{AF_INET, SOCK_DGRAM, SOL_SOCKET, SO_PROTOCOL},
	{AF_INET, SOCK_STREAM, SOL_SOCKET, SO_ERROR},
	{AF_INET, SOCK_STREAM, SOL_SOCKET, SO_ACCEPTCONN},
	{AF_INET, SOCK_STREAM, SOL_SOCKET, SO_REUSEADDR},
	{AF_INET, SOCK_STREAM, SOL_SOCKET, SO_REUSEPORT},
	{AF_INET, SOCK_STREAM, SOL_SOCKET, SO_KEEPALIVE},
	{AF_INET, SOCK_DGRAM, SOL_SOCKET, SO_BROADCAST},
	{AF_INET, SOCK_STREAM, SOL_SOCKET, SO_RCVLOWAT},
	{AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_NODELAY},
	{AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_MAXSEG},
	{AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_CORK},
	{AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_KEEPIDLE},
	{AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_KEEPINTVL},
	{AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_KEEPCNT},
	{AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_SYNCNT},
	{AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_LINGER2},
	{AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_USER_TIMEOUT},
	{AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_QUICKACK},
	{AF_INET, SOCK_STREAM, IPPROTO_TCP, 9999},
	{AF_INET, SOCK_DGRAM, IPPROTO_TCP, TCP_NODELAY},
	{AF_INET, SOCK_STREAM, IPPROTO_IP, IP_TOS},
	{AF_INET, SOCK_STREAM, IPPROTO_IP, IP_TTL},
	{AF_INET, SOCK_DGRAM, IPPROTO_IP, IP_PKTINFO},
	{AF_INET, SOCK_DGRAM, IPPROTO_IP, IP_RECVERR},
	{AF_INET, SOCK_DGRAM, IPPROTO_IP, IP_MTU_DISCOVER},
	{AF_INET, SOCK_DGRAM, IPPROTO_IP, IP_MTU},
	{AF_INET, SOCK_DGRAM, IPPROTO_IP, IP_FREEBIND},
	{AF_INET, SOCK_DGRAM, IPPROTO_IP, IP_MULTICAST_TTL},
	{AF_INET, SOCK_DGRAM, IPPROTO_IP, IP_MULTICAST_LOOP},
	{AF_INET6, SOCK_STREAM, IPPROTO_IPV6, IPV6_V6ONLY},
	{AF_INET6, SOCK_STREAM, IPPROTO_IPV6, IPV6_UNICAST_HOPS},
	{AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_RECVPKTINFO},
	{AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_MULTICAST_LOOP},
	{AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_TCLASS},
	{AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_MTU_DISCOVER},
};
enum { ORACLE_CASES = sizeof(oracle_cases) / sizeof(*oracle_cases) };

START_TEST(untouched_sockets_answer_as_the_kernels)
{
	const struct oracle_case *c = &oracle_cases[_i];
	int native = socket(c->domain, c->type, 0);
	int expected = -12345;
	socklen_t len = sizeof(expected);
	int fd;

	if (native < 0) {
		printf("no IP sockets of family %d here: not compared\n", c->domain);
		return;
	}
	if (getsockopt(native, c->level, c->name, &expected, &len) < 0)
		expected = -errno;
	fd = wgw_repr_socket(&session, c->domain, c->type, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_msg(get_int(fd, c->level, c->name) == expected,
		      "level %d option %d: ours %d, the kernel's %d", c->level, c->name,
		      get_int(fd, c->level, c->name), expected);
	close(native);
	close(fd);
}
END_TEST

START_TEST(what_is_set_is_read_back)
{
	static const struct {
		int level, name, value;
	} cases[] = {
		{IPPROTO_TCP, TCP_NODELAY, 1},	 {IPPROTO_TCP, TCP_KEEPIDLE, 33},
		{IPPROTO_TCP, TCP_KEEPCNT, 127}, {IPPROTO_IP, IP_TOS, 16},
		{SOL_SOCKET, SO_REUSEPORT, 1},	 {SOL_SOCKET, SO_KEEPALIVE, 1},
		{SOL_SOCKET, SO_REUSEADDR, 1},
	};
	int fd = wgw_repr_socket(&session, AF_INET, SOCK_STREAM, 0);

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_assert_int_eq(set_int(fd, cases[i].level, cases[i].name, cases[i].value), 0);
		ck_assert_int_eq(get_int(fd, cases[i].level, cases[i].name), cases[i].value);
	}
	ck_assert_int_eq(set_int(fd, SOL_SOCKET, SO_SNDBUF, 50000), 0);
	ck_assert_int_eq(get_int(fd, SOL_SOCKET, SO_SNDBUF), 100000); /* doubled, as Linux does */
	close(fd);
}
END_TEST

static int kernels_int(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, name, &value, &len), 0);
	return value;
}

/* The machine says how large buffers may be: the kernel's own sockets are the oracle. */
START_TEST(largest_buffers_are_the_machines)
{
	static const int sizes[] = {-1, 0, 1, 425984, 1 << 20, INT32_MAX};
	int udp = wgw_repr_socket(&session, AF_INET, SOCK_DGRAM, 0);
	int tcp = wgw_repr_socket(&session, AF_INET, SOCK_STREAM, 0);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		int kernels = socket(AF_UNIX, SOCK_DGRAM, 0);
		int value = sizes[i];

		ck_assert_int_eq(setsockopt(kernels, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)),
				 0);
		ck_assert_int_eq(setsockopt(kernels, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value)),
				 0);
		ck_assert_int_eq(set_int(udp, SOL_SOCKET, SO_RCVBUF, value), 0);
		ck_assert_int_eq(set_int(udp, SOL_SOCKET, SO_SNDBUF, value), 0);
		ck_assert_int_eq(set_int(tcp, SOL_SOCKET, SO_RCVBUF, value), 0);
		ck_assert_int_eq(get_int(udp, SOL_SOCKET, SO_RCVBUF),
				 kernels_int(kernels, SO_RCVBUF));
		ck_assert_int_eq(get_int(udp, SOL_SOCKET, SO_SNDBUF),
				 kernels_int(kernels, SO_SNDBUF));
		ck_assert_int_eq(get_int(tcp, SOL_SOCKET, SO_RCVBUF),
				 kernels_int(kernels, SO_RCVBUF));
		close(kernels);
	}
	close(udp);
	close(tcp);
}
END_TEST

/* The kernel would do it for root; the receive buffer is our mark (WGW_KNOWN_RCVBUF_BYTES). */
START_TEST(nobody_has_a_right_to_larger_buffers)
{
	int fd = wgw_repr_socket(&session, AF_INET, SOCK_STREAM, 0);
	int before = kernels_int(fd, SO_RCVBUF);

	ck_assert_int_eq(set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20), -EPERM);
	ck_assert_int_eq(set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, 1 << 20), -EPERM);
	ck_assert_int_eq(kernels_int(fd, SO_RCVBUF), before);
	close(fd);
}
END_TEST

START_TEST(send_buffer_of_a_pending_connect_is_not_touched)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {1}};
	int fd = wgw_repr_socket(&session, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	ck_assert_int_eq(wgw_repr_connect(&session, fd, tag_of(fd), &to, sizeof(to)), -EINPROGRESS);
	ck_assert_int_eq(set_int(fd, SOL_SOCKET, SO_SNDBUF, 1 << 20), 0);
	ck_assert_int_eq(poll(&p, 1, 0), 0); /* still connecting */
	close(fd);
}
END_TEST

START_TEST(limits_and_one_past_them)
{
	int fd = wgw_repr_socket(&session, AF_INET, SOCK_STREAM, 0);
	int fd6 = wgw_repr_socket(&session, AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	char byte = 1;

	ck_assert_int_eq(set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 128), -EINVAL);
	ck_assert_int_eq(set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 0), -EINVAL);
	ck_assert_int_eq(set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 32768), -EINVAL);
	ck_assert_int_eq(set_int(fd, IPPROTO_IP, IP_TTL, 256), -EINVAL);
	ck_assert_int_eq(set_int(fd, IPPROTO_IP, IP_TTL, 255), 0);
	ck_assert_int_eq(set_int(fd, IPPROTO_IP, IP_TTL, -1), 0); /* the default again */
	ck_assert_int_eq(get_int(fd, IPPROTO_IP, IP_TTL), 64);
	ck_assert_int_eq(
		wgw_repr_setsockopt(&session, fd, tag_of(fd), IPPROTO_TCP, TCP_NODELAY, &byte, 1),
		-EINVAL);
	ck_assert_int_eq(
		wgw_repr_setsockopt(&session, fd, tag_of(fd), IPPROTO_IP, IP_TOS, &byte, 1), 0);
	ck_assert_int_eq(set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1), -ENOPROTOOPT);
	ck_assert_int_eq(set_int(fd, IPPROTO_TCP, 31 /* TCP_ULP */, 0), -ENOENT);
	ck_assert_int_eq(set_int(fd, IPPROTO_IPV6, IPV6_MTU, 1280), -ENOPROTOOPT);
	ck_assert_int_eq(set_int(fd6, IPPROTO_IPV6, IPV6_MTU, 1280), 0);
	ck_assert_int_eq(set_int(fd6, IPPROTO_IPV6, IPV6_MTU, 1279), -EINVAL);
	ck_assert_int_eq(set_int(fd6, IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
	ck_assert_int_eq(get_int(fd6, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	ck_assert_int_eq(wgw_repr_bind(&session, fd6, tag_of(fd6), &any, sizeof(any)), 0);
	ck_assert_int_eq(set_int(fd6, IPPROTO_IPV6, IPV6_V6ONLY, 0), -EINVAL);
	close(fd);
	close(fd6);
}
END_TEST

START_TEST(pacing_rate_does_not_reach_the_tag)
{
	int fd = wgw_repr_socket(&session, AF_INET, SOCK_STREAM, 0);
	uint64_t before = tag_of(fd), rate = 125000;
	socklen_t len = sizeof(rate);

	ck_assert_int_eq(wgw_repr_setsockopt(&session, fd, before, SOL_SOCKET, SO_MAX_PACING_RATE,
					     &rate, sizeof(rate)),
			 0);
	ck_assert_uint_eq(tag_of(fd), before | WGW_TAG_OPTIONS); /* and nothing else */
	ck_assert_int_eq(wgw_repr_getsockopt(&session, fd, tag_of(fd), SOL_SOCKET,
					     SO_MAX_PACING_RATE, &rate, &len),
			 0);
	ck_assert_uint_eq(rate, 125000);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("repr option");
	TCase *tc = tcase_create("option");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 180);
	tcase_add_loop_test(tc, untouched_sockets_answer_as_the_kernels, 0, ORACLE_CASES);
	tcase_add_test(tc, what_is_set_is_read_back);
	tcase_add_test(tc, send_buffer_of_a_pending_connect_is_not_touched);
	tcase_add_test(tc, largest_buffers_are_the_machines);
	tcase_add_test(tc, nobody_has_a_right_to_larger_buffers);
	tcase_add_test(tc, limits_and_one_past_them);
	tcase_add_test(tc, pacing_rate_does_not_reach_the_tag);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
