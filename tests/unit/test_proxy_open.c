/* SPDX-License-Identifier: MIT */
/*
 * test_proxy_open.c - where listeners listen on hosts that are not as this one is
 *
 * getaddrinfo and bind are defined here: the first knows a localhost of both families, the second
 * fails for IPv6 addresses when it is told to.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/proxy/front.h"
#include "tests/unit/run_suite.h"

static bool no_ipv6;
static int failed_binds;

static struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
static struct sockaddr_in v4 = {.sin_family = AF_INET};
static struct addrinfo list[] = {
	{.ai_family = AF_INET6,
	 .ai_addr = (void *)&v6,
	 .ai_addrlen = sizeof(v6),
	 .ai_next = &list[1]},
	{.ai_family = AF_INET, .ai_addr = (void *)&v4, .ai_addrlen = sizeof(v4)},
};

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **out)
{
	(void)port, (void)hints;
	v6.sin6_addr = host ? in6addr_loopback : in6addr_any;
	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	list[0].ai_next = host ? &list[1] : NULL;
	*out = list;
	return 0;
}

void freeaddrinfo(struct addrinfo *at)
{
	(void)at;
}

int bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	if (no_ipv6 && sa->sa_family == AF_INET6) {
		failed_binds++;
		errno = EADDRNOTAVAIL;
		return -1;
	}
	return (int)syscall(SYS_bind, fd, sa, len);
}

static int next_descriptor(void)
{
	int fd = dup(STDERR_FILENO);

	ck_assert_int_ge(fd, 0);
	close(fd);
	return fd;
}

static void opens_at(const char *host, const char *name, bool loopback)
{
	struct wgw_proxy_options o = {.allow_open = true};
	struct wgw_proxy_spec s = {.kind = WGW_PROXY_SOCKS, .host = (char *)(uintptr_t)host};
	struct proxy_socket out;
	int before = next_descriptor();

	ck_assert_int_eq(proxy_open(&o, &s, &out), 0);
	ck_assert_msg(strncmp(out.name, name, strlen(name)) == 0, "%s", out.name);
	ck_assert_int_eq(out.loopback, loopback);
	proxy_close(&s, &out);
	ck_assert_int_eq(next_descriptor(), before);
}

START_TEST(a_name_of_both_families_is_its_ipv4_address)
{
	opens_at("localhost", "127.0.0.1:", true);
}
END_TEST

START_TEST(every_address_is_ipv4_s_where_there_is_no_ipv6)
{
	no_ipv6 = true;
	opens_at("*", "0.0.0.0:", false);
	ck_assert_int_eq(failed_binds, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy open");
	TCase *tc = tcase_create("open");

	tcase_add_test(tc, a_name_of_both_families_is_its_ipv4_address);
	tcase_add_test(tc, every_address_is_ipv4_s_where_there_is_no_ipv6);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
