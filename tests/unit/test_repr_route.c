/* SPDX-License-Identifier: MIT */
/* test_repr_route.c - how large a datagram may be, by what the tunnel process says of its path */
#include <check.h>
#include <netinet/in.h>

#include "tests/unit/repr_fixture.h"
#include "tests/unit/run_suite.h"

enum { TUNNEL_FITS = 1420 - 28, PATH_MTU = 1300, PATH_FITS = PATH_MTU - 28 };

static uint8_t text[2000];

static int open_udp(int discover)
{
	int fd = wgw_repr_socket(&session, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(wgw_repr_setsockopt(&session, fd, tag_of(fd), IPPROTO_IP, IP_MTU_DISCOVER,
					     &discover, sizeof(discover)),
			 0);
	return fd;
}

static ssize_t send_bytes(int fd, size_t len)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(0x0a000001)};
	struct iovec iov = {text, len};
	struct msghdr msg = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1};

	return wgw_repr_sendmsg(&session, fd, tag_of(fd), &msg, 0);
}

START_TEST(what_the_path_does_not_take_is_refused)
{
	int fd = open_udp(IP_PMTUDISC_DO);

	tunnel.path_mtu = PATH_MTU;
	ck_assert_int_eq(send_bytes(fd, PATH_FITS), PATH_FITS);
	ck_assert_int_eq(send_bytes(fd, PATH_FITS + 1), -EMSGSIZE);
	close(fd);
}
END_TEST

START_TEST(who_probes_or_takes_fragments_is_not_refused)
{
	static const int modes[] = {IP_PMTUDISC_DONT, IP_PMTUDISC_WANT, IP_PMTUDISC_PROBE,
				    IP_PMTUDISC_INTERFACE, IP_PMTUDISC_OMIT};

	tunnel.path_mtu = PATH_MTU;
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		const bool whole =
			modes[i] == IP_PMTUDISC_PROBE || modes[i] == IP_PMTUDISC_INTERFACE;
		int fd = open_udp(modes[i]);

		ck_assert_int_eq(send_bytes(fd, TUNNEL_FITS), TUNNEL_FITS);
		ck_assert_int_eq(send_bytes(fd, TUNNEL_FITS + 1),
				 whole ? -EMSGSIZE : TUNNEL_FITS + 1);
		close(fd);
	}
}
END_TEST

START_TEST(a_path_is_asked_for_anew)
{
	int fd = open_udp(IP_PMTUDISC_DO);

	ck_assert_int_eq(send_bytes(fd, TUNNEL_FITS), TUNNEL_FITS);
	tunnel.path_mtu = PATH_MTU;
	wgw_repr_mtus_forget();
	ck_assert_int_eq(send_bytes(fd, TUNNEL_FITS), -EMSGSIZE);
	tunnel.path_mtu = 0;
	usleep(300000); /* longer than it is remembered */
	ck_assert_int_eq(send_bytes(fd, TUNNEL_FITS), TUNNEL_FITS);
	close(fd);
}
END_TEST

START_TEST(what_fits_every_path_is_asked_for_once)
{
	int whole = open_udp(IP_PMTUDISC_DO), split = open_udp(IP_PMTUDISC_WANT);
	unsigned int asked;

	ck_assert_int_eq(send_bytes(whole, 1), 1);
	asked = tunnel.routes_asked;
	usleep(300000);
	wgw_repr_mtus_forget();
	ck_assert_int_eq(send_bytes(whole, 1232), 1232);
	ck_assert_int_eq(send_bytes(split, sizeof(text)), sizeof(text));
	ck_assert_uint_eq(tunnel.routes_asked, asked);
	close(whole);
	close(split);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("repr route");
	TCase *tc = tcase_create("route");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 180);
	tcase_add_test(tc, what_the_path_does_not_take_is_refused);
	tcase_add_test(tc, who_probes_or_takes_fragments_is_not_refused);
	tcase_add_test(tc, a_path_is_asked_for_anew);
	tcase_add_test(tc, what_fits_every_path_is_asked_for_once);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
