/* SPDX-License-Identifier: MIT */
/* test_tunnel_policy.c - a session's policy: its text, and where destinations go by it */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/tunnel/policy.h"
#include "tests/unit/run_suite.h"

static struct stack_addr addr(const char *text)
{
	struct stack_addr a = {.port = 80};
	char copy[64], *port = strrchr(strcpy(copy, text), '#');

	if (port) {
		*port++ = '\0';
		a.port = (uint16_t)atoi(port);
	}
	if (inet_pton(AF_INET, copy, a.ip + 12) == 1)
		memcpy(a.ip, stack_v4_prefix, sizeof(stack_v4_prefix));
	else
		ck_assert_int_eq(inet_pton(AF_INET6, copy, a.ip), 1);
	return a;
}

static struct wgw_policy parse(const char *text)
{
	struct wgw_policy p;
	unsigned int line;

	ck_assert_int_eq(wgw_policy_parse(text, strlen(text), &p, &line), 0);
	return p;
}

/** struct tunnel - what the fake tunnel carries */
struct tunnel {
	struct wgw_prefixes allowed;
	bool v4, v6;
};

static bool peer_allows(void *ctx, const struct stack_addr *to)
{
	struct tunnel *t = ctx;

	return wgw_prefixes_longest(&t->allowed, to) >= 0;
}

static bool has_source(void *ctx, const struct stack_addr *to)
{
	struct tunnel *t = ctx;

	return stack_addr_is_v4(to) ? t->v4 : t->v6;
}

static void allow(struct tunnel *t, const char *text)
{
	struct wgw_prefix p;

	ck_assert_int_eq(wgw_prefix_parse(text, &p, NULL), 0);
	ck_assert_int_eq(wgw_prefixes_add(&t->allowed, &p), 0);
}

enum { T = WGW_ROUTE_TUNNEL, D = WGW_ROUTE_DIRECT, R = WGW_ROUTE_REFUSED };

static const struct {
	const char *to;
	int route;
	enum wgw_refusal why;
	const char *rewritten; /* NULL: unchanged */
} table[] = {
	{"127.0.0.1", D, WGW_REFUSAL_NONE, NULL},
	{"127.255.255.254", D, WGW_REFUSAL_NONE, NULL},
	{"::1", D, WGW_REFUSAL_NONE, NULL},
	{"0.0.0.0", D, WGW_REFUSAL_NONE, NULL},
	{"::", D, WGW_REFUSAL_NONE, NULL},
	{"128.0.0.1", R, WGW_REFUSAL_NO_PEER, NULL},
	{"10.1.2.3", T, WGW_REFUSAL_NONE, NULL},
	{"10.255.255.255", T, WGW_REFUSAL_NONE, NULL},
	{"11.0.0.0", R, WGW_REFUSAL_NO_PEER, NULL},
	{"9.255.255.255", R, WGW_REFUSAL_NO_PEER, NULL},
	/* direct wins over the tunnel, whichever prefix is longer */
	{"10.9.0.1", D, WGW_REFUSAL_NONE, NULL},
	{"10.9.1.1", D, WGW_REFUSAL_NONE, NULL},
	{"10.10.0.1", T, WGW_REFUSAL_NONE, NULL},
	{"192.168.1.200", D, WGW_REFUSAL_NONE, NULL},
	{"fd00::5", T, WGW_REFUSAL_NONE, NULL},
	{"fd01::5", R, WGW_REFUSAL_NO_PEER, NULL},
	{"2001:db8::1", D, WGW_REFUSAL_NONE, NULL},
	/* port 53 of the system's resolvers, and of nobody else */
	{"127.0.0.53#53", T, WGW_REFUSAL_NONE, "10.0.0.53#53"},
	{"192.168.1.1#53", T, WGW_REFUSAL_NONE, "10.0.0.53#53"},
	{"fe80::53#53", T, WGW_REFUSAL_NONE, "fd00::53#53"},
	{"127.0.0.53#5353", D, WGW_REFUSAL_NONE, NULL},
	{"192.168.1.1#54", D, WGW_REFUSAL_NONE, NULL},
	{"9.9.9.9#53", R, WGW_REFUSAL_NO_PEER, NULL},
	{"10.1.1.1#53", T, WGW_REFUSAL_NONE, NULL},
};

static const char full_policy[] = "direct 10.9.0.0/16\n"
				  "direct 192.168.1.0/24\n"
				  "direct 2001:db8::/32\n"
				  "dns-mode tunnel\n"
				  "dns 10.0.0.53\n"
				  "dns fd00::53\n"
				  "name my office.conf\n"
				  "option --exit-node=office gateway\n"
				  "option --ipv4\n"
				  "source /etc/my office.conf\n"
				  "search corp.example\n"
				  "system-resolver 127.0.0.53\n"
				  "system-resolver 192.168.1.1\n"
				  "system-resolver fe80::53\n"
				  "verbose 1\n";

START_TEST(destinations_go_where_the_table_says)
{
	struct wgw_policy p = parse(full_policy);
	struct tunnel t = {.v4 = true, .v6 = true};
	const struct wgw_reach reach = {peer_allows, has_source, &t};

	allow(&t, "10.0.0.0/8");
	allow(&t, "10.9.1.0/24");
	allow(&t, "fd00::/16");
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct stack_addr to = addr(table[i].to);
		struct stack_addr want =
			addr(table[i].rewritten ? table[i].rewritten : table[i].to);
		enum wgw_refusal why;
		int route = (int)wgw_policy_route(&p, &reach, &to, &why);

		ck_assert_msg(route == table[i].route, "%s: route %d", table[i].to, route);
		ck_assert_msg(why == table[i].why, "%s: why %d", table[i].to, (int)why);
		ck_assert_msg(stack_addr_equal(&to, &want), "%s: rewritten wrongly", table[i].to);
	}
	wgw_prefixes_free(&t.allowed);
	wgw_policy_free(&p);
}
END_TEST

START_TEST(ipv6_with_an_ipv4_tunnel_is_refused_even_if_a_peer_allows_it)
{
	struct wgw_policy p = parse("");
	struct tunnel t = {.v4 = true};
	const struct wgw_reach reach = {peer_allows, has_source, &t};
	struct stack_addr to = addr("2001:db8::1");
	enum wgw_refusal why;

	allow(&t, "0.0.0.0/0");
	allow(&t, "::/0");
	ck_assert_int_eq((int)wgw_policy_route(&p, &reach, &to, &why), R);
	ck_assert_int_eq(why, WGW_REFUSAL_NO_FAMILY);
	to = addr("192.0.2.1");
	ck_assert_int_eq((int)wgw_policy_route(&p, &reach, &to, &why), T);
	wgw_prefixes_free(&t.allowed);
	wgw_policy_free(&p);
}
END_TEST

static void check_resolver(const char *text, int route, enum wgw_refusal want)
{
	struct wgw_policy p = parse(text);
	struct tunnel t = {.v4 = true};
	const struct wgw_reach reach = {peer_allows, has_source, &t};
	struct stack_addr to = addr("127.0.0.53#53"), same = to;
	enum wgw_refusal why;

	allow(&t, "0.0.0.0/0");
	ck_assert_int_eq((int)wgw_policy_route(&p, &reach, &to, &why), route);
	ck_assert_int_eq(why, want);
	ck_assert(stack_addr_equal(&to, &same));
	wgw_prefixes_free(&t.allowed);
	wgw_policy_free(&p);
}

START_TEST(system_resolver_is_refused_or_direct_as_the_dns_mode_says)
{
	check_resolver("dns-mode refuse\nsystem-resolver 127.0.0.53\n", R, WGW_REFUSAL_NO_DNS);
	check_resolver("dns-mode system\nsystem-resolver 127.0.0.53\n", D, WGW_REFUSAL_NONE);
	/* A tunnel mode without a server must not let the query out. */
	check_resolver("dns-mode tunnel\nsystem-resolver 127.0.0.53\n", R, WGW_REFUSAL_NO_DNS);
}
END_TEST

START_TEST(server_of_the_other_family_serves_when_there_is_no_other)
{
	struct wgw_policy p = parse("dns-mode tunnel\ndns 10.0.0.53\nsystem-resolver fe80::1\n");
	struct tunnel t = {.v4 = true, .v6 = true};
	const struct wgw_reach reach = {peer_allows, has_source, &t};
	struct stack_addr to = addr("fe80::1#53"), want = addr("10.0.0.53#53");
	enum wgw_refusal why;

	allow(&t, "10.0.0.0/8");
	ck_assert_int_eq((int)wgw_policy_route(&p, &reach, &to, &why), T);
	ck_assert(stack_addr_equal(&to, &want));
	wgw_prefixes_free(&t.allowed);
	wgw_policy_free(&p);
}
END_TEST

START_TEST(text_is_parsed_in_order)
{
	struct wgw_policy p = parse(full_policy);
	struct stack_addr first = addr("10.0.0.53#53"), second = addr("fd00::53#53");

	ck_assert_uint_eq(p.direct.n, 3);
	ck_assert_uint_eq(p.n_dns, 2);
	ck_assert(stack_addr_equal(&p.dns[0], &first));
	ck_assert(stack_addr_equal(&p.dns[1], &second));
	ck_assert_uint_eq(p.search.n, 1);
	ck_assert_str_eq(p.search.at[0], "corp.example");
	ck_assert_uint_eq(p.system_resolvers.n, 3);
	ck_assert_int_eq(p.dns_mode, WGW_POLICY_DNS_TUNNEL);
	ck_assert_int_eq(p.verbose, 1);
	ck_assert_str_eq(p.name, "my office.conf");
	ck_assert_str_eq(p.source, "/etc/my office.conf");
	ck_assert_uint_eq(p.options.n, 2);
	ck_assert_str_eq(p.options.at[0], "--exit-node=office gateway");
	ck_assert_str_eq(p.options.at[1], "--ipv4");
	wgw_policy_free(&p);
}
END_TEST

START_TEST(bad_lines_are_named)
{
	static const char *const bad[] = {
		"nonsense 1\n",		"direct\n",
		"direct 10.0.0.0/33\n", "direct hello\n",
		"dns 10.0.0\n",		"dns-mode maybe\n",
		"verbose 3\n",		"verbose -1\n",
		"verbose 11\n",		"system-resolver ::1::2\n",
		" direct 1.1.1.1\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[128];
		struct wgw_policy p;
		unsigned int line = 0;

		snprintf(text, sizeof(text), "direct 10.0.0.0/8\nsearch a\n%s", bad[i]);
		ck_assert_msg(wgw_policy_parse(text, strlen(text), &p, &line) == -EINVAL,
			      "accepted: %s", bad[i]);
		ck_assert_uint_eq(line, 3);
		ck_assert_uint_eq(p.direct.n, 0);
	}
}
END_TEST

START_TEST(limits_hold_at_the_limit_and_not_one_past_it)
{
	char text[64 * (WGW_POLICY_DNS_MAX + 1)] = "";
	struct wgw_policy p;
	unsigned int line;

	for (int i = 0; i < WGW_POLICY_DNS_MAX; i++)
		sprintf(text + strlen(text), "dns 10.0.0.%d\n", i + 1);
	ck_assert_int_eq(wgw_policy_parse(text, strlen(text), &p, &line), 0);
	wgw_policy_free(&p);
	strcat(text, "dns 10.1.0.1\n");
	ck_assert_int_eq(wgw_policy_parse(text, strlen(text), &p, &line), -EINVAL);
	ck_assert_uint_eq(line, WGW_POLICY_DNS_MAX + 1);
	ck_assert_int_eq(wgw_policy_parse("search a\0b", 10, &p, &line), -EINVAL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tunnel_policy");
	TCase *c = tcase_create("policy");

	tcase_add_test(c, destinations_go_where_the_table_says);
	tcase_add_test(c, ipv6_with_an_ipv4_tunnel_is_refused_even_if_a_peer_allows_it);
	tcase_add_test(c, system_resolver_is_refused_or_direct_as_the_dns_mode_says);
	tcase_add_test(c, server_of_the_other_family_serves_when_there_is_no_other);
	tcase_add_test(c, text_is_parsed_in_order);
	tcase_add_test(c, bad_lines_are_named);
	tcase_add_test(c, limits_hold_at_the_limit_and_not_one_past_it);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
