/* SPDX-License-Identifier: MIT */
/* test_config_values.c - keys, numbers, ports, marks, endpoints, CIDR blocks: tables of
 * expectations */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/config/config.h"
#include "src/config/diag.h"
#include "src/config/values.h"
#include "tests/unit/run_suite.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- keys ---- */

START_TEST(key_text_is_reversible)
{
	uint8_t key[WG_KEY_BYTES], back[WG_KEY_BYTES];
	char text[WGW_KEY_TEXT_LEN + 1];

	for (unsigned int i = 0; i < WG_KEY_BYTES; i++)
		key[i] = (uint8_t)(i * 37 + 201);
	ck_assert_str_eq(wgw_key_text(key, text), text);
	ck_assert_uint_eq(strlen(text), WGW_KEY_TEXT_LEN);
	ck_assert_int_eq(wgw_key_parse(text, back), 0);
	ck_assert_mem_eq(key, back, WG_KEY_BYTES);
}
END_TEST

static const char *const not_keys[] = {
	"",
	"=",
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",	 /* no padding */
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",	 /* 33 bytes */
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",	 /* 31 bytes */
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",	 /* bits behind the last byte */
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=A", /* more */
	"AAAAAAAAAAAAAAAAAAAA-AAAAAAAAAAAAAAAAAAAAAA=",	 /* of the URL alphabet */
	"AAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAAAA=",
	"AAAAAAAAAAAAAAAAAAAA\nAAAAAAAAAAAAAAAAAAAAAA=",
};

START_TEST(what_is_no_key_is_refused_and_leaves_zeros)
{
	static const uint8_t zero[WG_KEY_BYTES];
	uint8_t key[WG_KEY_BYTES];

	memset(key, 0xaa, sizeof(key));
	ck_assert_msg(wgw_key_parse(not_keys[_i], key) == -EINVAL, "'%s' was taken", not_keys[_i]);
	ck_assert_mem_eq(key, zero, sizeof(key));
}
END_TEST

/* ---- numbers ---- */

static const struct {
	const char *text;
	int result; /* -1: refused */
} ports[] = {
	{"0", 0},
	{"1", 1},
	{"65535", 65535},
	{"00080", 80},
	{"65536", -1},
	{"4294967297", -1},
	{"18446744073709551617", -1},
	{"", -1},
	{"-1", -1},
	{"+1", -1},
	{"1 ", -1},
	{" 1", -1},
	{"0x50", -1},
	{"1e3", -1},
	{"no-such-service", -1},
};

START_TEST(ports_are_decimal_and_16_bits_wide)
{
	uint16_t port = 7;
	int r = wgw_port_parse(ports[_i].text, &port);

	if (ports[_i].result < 0) {
		ck_assert_msg(r == -EINVAL, "'%s' was taken", ports[_i].text);
		ck_assert_uint_eq(port, 7);
	} else {
		ck_assert_msg(r == 0, "'%s' was refused", ports[_i].text);
		ck_assert_int_eq(port, ports[_i].result);
	}
}
END_TEST

static const struct {
	const char *text;
	int64_t result;
} marks[] = {
	{"off", 0},
	{"OFF", 0},
	{"0", 0},
	{"42", 42},
	{"0x2A", 42},
	{"0Xffffffff", 0xffffffff},
	{"4294967295", 0xffffffff},
	{"0x100000000", -1},
	{"4294967296", -1},
	{"0x", -1},
	{"0xg", -1},
	{"2a", -1},
	{"", -1},
	{"-1", -1},
};

START_TEST(marks_are_decimal_hexadecimal_or_off)
{
	uint32_t mark = 7;
	int r = wgw_fwmark_parse(marks[_i].text, &mark);

	if (marks[_i].result < 0) {
		ck_assert_msg(r == -EINVAL, "'%s' was taken", marks[_i].text);
	} else {
		ck_assert_msg(r == 0, "'%s' was refused", marks[_i].text);
		ck_assert_int_eq(mark, marks[_i].result);
	}
}
END_TEST

/* ---- endpoints ---- */

static const struct {
	const char *text, *host; /* host NULL: refused */
	uint16_t port;
} endpoints[] = {
	{"192.0.2.1:51820", "192.0.2.1", 51820},
	{"[2001:db8::1]:1", "2001:db8::1", 1},
	{"[fe80::1%eth0]:65535", "fe80::1%eth0", 65535},
	{"2001:db8::1:51820", "2001:db8::1", 51820}, /* as wg(8): the last colon */
	{"vpn.example.com:443", "vpn.example.com", 443},
	{"vpn.example.com.:443", "vpn.example.com.", 443},
	{"host_with-both:1", "host_with-both", 1},
	{"1and1.example:1", "1and1.example", 1},
	{"", NULL, 0},
	{":", NULL, 0},
	{":51820", NULL, 0},
	{"192.0.2.1", NULL, 0},
	{"192.0.2.1:", NULL, 0},
	{"192.0.2.1:0", NULL, 0},
	{"192.0.2.1:65536", NULL, 0},
	{"192.0.2.256:1", NULL, 0},
	{"192.0.2:1", NULL, 0},
	{"[]:1", NULL, 0},
	{"[::1]", NULL, 0},
	{"[::1]1", NULL, 0},
	{"[::1:1", NULL, 0},
	{"[192.0.2.1]:1", NULL, 0},
	{"[name]:1", NULL, 0},
	{"[::g]:1", NULL, 0},
	{"[fe80::1%]:1", NULL, 0},
	{"fe80::1%:1", NULL, 0},
	{".:1", NULL, 0},
	{".a:1", NULL, 0},
	{"a..b:1", NULL, 0},
	{"a b:1", NULL, 0},
	{"a/b:1", NULL, 0},
	{"b\xc3\xbc"
	 "cher.example:1",
	 NULL, 0},
};

START_TEST(endpoints_are_taken_apart)
{
	const char *text = endpoints[_i].text, *wrong;
	char *host;
	uint16_t port;

	wrong = wgw_endpoint_parse(text, &host, &port);
	if (!endpoints[_i].host) {
		ck_assert_msg(wrong != NULL, "'%s' was taken", text);
		ck_assert_ptr_null(host);
		return;
	}
	ck_assert_msg(!wrong, "'%s': %s", text, wrong);
	ck_assert_str_eq(host, endpoints[_i].host);
	ck_assert_uint_eq(port, endpoints[_i].port);
	free(host);
}
END_TEST

/** name_of() - a host name of labels of @label bytes, @len bytes in all */
static void name_of(char *buf, size_t label, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = i % (label + 1) == label ? '.' : 'a';
	buf[len] = '\0';
}

START_TEST(host_names_have_the_limits_of_the_dns)
{
	char name[300];

	name_of(name, 63, 63);
	ck_assert(wgw_is_host_name(name));
	name_of(name, 64, 64);
	ck_assert(!wgw_is_host_name(name));
	name_of(name, 60, 253);
	ck_assert(wgw_is_host_name(name));
	name_of(name, 60, 254);
	ck_assert(!wgw_is_host_name(name));
}
END_TEST

/* ---- CIDR blocks ---- */

static const struct {
	const char *text, *as_prefix, *as_address; /* NULL: refused */
} prefixes[] = {
	{"10.0.0.0/8", "10.0.0.0/8", "10.0.0.0/8"},
	{"10.1.2.3/8", "10.0.0.0/8", "10.1.2.3/8"},
	{"10.1.2.3", "10.1.2.3/32", "10.1.2.3/32"},
	{"255.255.255.255/31", "255.255.255.254/31", "255.255.255.255/31"},
	{"0.0.0.0/0", "0.0.0.0/0", "0.0.0.0/0"},
	{"1.2.3.4/0", "0.0.0.0/0", "1.2.3.4/0"},
	{"::/0", "::/0", "::/0"},
	{"fd00::1", "fd00::1/128", "fd00::1/128"},
	{"fd00::ffff/127", "fd00::fffe/127", "fd00::ffff/127"},
	{"2001:DB8::1/33", "2001:db8::/33", "2001:db8::1/33"},
	{"10.0.0.0/33", NULL, NULL},
	{"fd00::/129", NULL, NULL},
	{"10.0.0.0/", NULL, NULL},
	{"10.0.0.0/-1", NULL, NULL},
	{"10.0.0.0/8/8", NULL, NULL},
	{"10.0.0.0/0008", NULL, NULL},
	{"10.0.0.0/256", NULL, NULL},
	{"10.0.0.0/4294967304", NULL, NULL},
	{"10.0.0.0/255.0.0.0", NULL, NULL},
	{"10.0.0/8", NULL, NULL},
	{"010.0.0.1", NULL, NULL},
	{"::ffff:1.2.3.4", NULL, NULL}, /* cannot be told from 1.2.3.4 in this form */
	{"fe80::1%eth0", NULL, NULL},
	{"[fd00::1]", NULL, NULL},
	{"/8", NULL, NULL},
	{"", NULL, NULL},
	{"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555555", NULL, NULL},
};

START_TEST(prefixes_are_read_and_printed)
{
	const char *text = prefixes[_i].text;
	char buf[WGW_ADDR_TEXT_BYTES];
	struct wgw_prefix prefix;
	bool masked = false;

	if (!prefixes[_i].as_prefix) {
		ck_assert_msg(wgw_prefix_parse(text, &prefix, NULL) == -EINVAL, "'%s'", text);
		ck_assert_msg(wgw_address_parse(text, &prefix) == -EINVAL, "'%s'", text);
		return;
	}
	ck_assert_msg(wgw_prefix_parse(text, &prefix, &masked) == 0, "'%s'", text);
	ck_assert_str_eq(wgw_prefix_text(&prefix, buf), prefixes[_i].as_prefix);
	ck_assert_msg(masked == (strcmp(prefixes[_i].as_prefix, prefixes[_i].as_address) != 0),
		      "'%s': masked is %d", text, masked);
	ck_assert_int_eq(wgw_address_parse(text, &prefix), 0);
	ck_assert_str_eq(wgw_prefix_text(&prefix, buf), prefixes[_i].as_address);
}
END_TEST

static struct stack_addr addr(const char *text)
{
	struct wgw_prefix prefix;

	ck_assert_int_eq(wgw_prefix_parse(text, &prefix, NULL), 0);
	return prefix.addr;
}

static const struct {
	const char *prefix, *addr;
	bool holds;
} members[] = {
	{"10.0.0.0/8", "10.255.255.255", true},
	{"10.0.0.0/8", "11.0.0.0", false},
	{"10.0.0.0/9", "10.127.0.1", true},
	{"10.0.0.0/9", "10.128.0.1", false},
	{"0.0.0.0/0", "255.1.2.3", true},
	{"0.0.0.0/0", "fd00::1", false},
	{"::/0", "fd00::1", true},
	{"::/0", "1.2.3.4", false},
	{"1.2.3.4", "1.2.3.4", true},
	{"1.2.3.4", "1.2.3.5", false},
	{"fd00::/65", "fd00::7fff:0:0:1", true},
	{"fd00::/65", "fd00::8000:0:0:1", false},
	{"fd00::1", "fd00::1", true},
	{"fd00::1", "fd00::3", false},
};

START_TEST(a_prefix_holds_its_own_family_only)
{
	struct wgw_prefix prefix;
	struct stack_addr a = addr(members[_i].addr);

	ck_assert_int_eq(wgw_prefix_parse(members[_i].prefix, &prefix, NULL), 0);
	ck_assert_msg(wgw_prefix_contains(&prefix, &a) == members[_i].holds, "%s in %s",
		      members[_i].addr, members[_i].prefix);
}
END_TEST

START_TEST(the_longest_prefix_counts)
{
	static const char *const texts[] = {"10.0.0.0/8", "0.0.0.0/0", "10.1.0.0/16", "fd00::/8"};
	struct wgw_prefixes list = {0};
	struct stack_addr a;

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct wgw_prefix prefix;

		ck_assert_int_eq(wgw_prefix_parse(texts[i], &prefix, NULL), 0);
		ck_assert_int_eq(wgw_prefixes_add(&list, &prefix), 0);
	}
	a = addr("10.1.2.3");
	ck_assert_int_eq(wgw_prefixes_longest(&list, &a), 16);
	a = addr("10.2.2.3");
	ck_assert_int_eq(wgw_prefixes_longest(&list, &a), 8);
	a = addr("9.2.2.3");
	ck_assert_int_eq(wgw_prefixes_longest(&list, &a), 0);
	a = addr("fd00::1");
	ck_assert_int_eq(wgw_prefixes_longest(&list, &a), 8);
	a = addr("2001:db8::1");
	ck_assert_int_eq(wgw_prefixes_longest(&list, &a), -1);
	wgw_prefixes_free(&list);
	ck_assert_uint_eq(list.n, 0);
}
END_TEST

START_TEST(addresses_are_printed_with_their_port)
{
	char buf[WGW_ADDR_TEXT_BYTES];
	struct stack_addr a = addr("192.0.2.1");

	a.port = 80;
	ck_assert_str_eq(wgw_addr_port_text(&a, buf), "192.0.2.1:80");
	a = addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	a.port = 65535;
	ck_assert_str_eq(wgw_addr_port_text(&a, buf),
			 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}
END_TEST

/* ---- messages ---- */

START_TEST(long_runs_of_base64_are_not_quoted)
{
	char buf[WGW_QUOTED_BYTES];

	ck_assert_str_eq(wgw_quoted("PersistentKeepalive", buf), "'PersistentKeepalive'");
	ck_assert_str_eq(wgw_quoted("a\x1b[31m\xff", buf), "'a?[31m?'");
	ck_assert_str_eq(wgw_quoted("", buf), "''");
	ck_assert_str_eq(wgw_quoted("abcdefghijklmnopqrstuvw", buf), "'abcdefghijklmnopqrstuvw'");
	ck_assert_str_eq(wgw_quoted("x: abcdefghijklmnopqrstuv+/", buf),
			 "(27 characters, not shown)");
}
END_TEST

START_TEST(long_text_is_cut)
{
	char text[1001], buf[WGW_QUOTED_BYTES];

	memset(text, '.', 1000);
	text[1000] = '\0';
	ck_assert_uint_lt(strlen(wgw_quoted(text, buf)), WGW_QUOTED_BYTES);
	ck_assert_str_eq(buf + strlen(buf) - 5, "....'");
}
END_TEST

START_TEST(near_misses_have_a_suggestion)
{
	static const char *const words[] = {"Address", "AllowedIPs", "DNS", "MTU", "run", NULL};

	ck_assert_str_eq(wgw_did_you_mean("Adress", words), "Address");
	ck_assert_str_eq(wgw_did_you_mean("addresses", words), "Address");
	ck_assert_str_eq(wgw_did_you_mean("AllowedIP", words), "AllowedIPs");
	ck_assert_str_eq(wgw_did_you_mean("mut", words), "MTU");
	ck_assert_ptr_null(wgw_did_you_mean("Frobnicate", words));
	ck_assert_ptr_null(wgw_did_you_mean("true", words));
	ck_assert_ptr_null(wgw_did_you_mean("", words));
	ck_assert_ptr_null(wgw_did_you_mean("AllowedIPsAllowedIPsAllowedIPsAllowedIPs", words));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config values");
	TCase *tc = tcase_create("values");

	tcase_add_test(tc, key_text_is_reversible);
	tcase_add_loop_test(tc, what_is_no_key_is_refused_and_leaves_zeros, 0, COUNT(not_keys));
	tcase_add_loop_test(tc, ports_are_decimal_and_16_bits_wide, 0, COUNT(ports));
	tcase_add_loop_test(tc, marks_are_decimal_hexadecimal_or_off, 0, COUNT(marks));
	tcase_add_loop_test(tc, endpoints_are_taken_apart, 0, COUNT(endpoints));
	tcase_add_test(tc, host_names_have_the_limits_of_the_dns);
	tcase_add_loop_test(tc, prefixes_are_read_and_printed, 0, COUNT(prefixes));
	tcase_add_loop_test(tc, a_prefix_holds_its_own_family_only, 0, COUNT(members));
	tcase_add_test(tc, the_longest_prefix_counts);
	tcase_add_test(tc, addresses_are_printed_with_their_port);
	tcase_add_test(tc, long_runs_of_base64_are_not_quoted);
	tcase_add_test(tc, long_text_is_cut);
	tcase_add_test(tc, near_misses_have_a_suggestion);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
