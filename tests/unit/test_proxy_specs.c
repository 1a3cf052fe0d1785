/* SPDX-License-Identifier: MIT */
/* test_proxy_specs.c - listeners and forwards as they are written; wireproxy's files */
#include <check.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "src/proxy/front.h"
#include "tests/unit/run_suite.h"

static const struct {
	const char *text, *host, *path;
	uint16_t port;
	bool bad;
} listeners[] = {
	{"1080", NULL, NULL, 1080, false},
	{"0", NULL, NULL, 0, false},
	{"127.0.0.1:1", "127.0.0.1", NULL, 1, false},
	{"[::1]:65535", "::1", NULL, 65535, false},
	{":80", "*", NULL, 80, false},
	{"*:80", "*", NULL, 80, false},
	{"localhost:80", "localhost", NULL, 80, false},
	{"unix:a.sock", NULL, "a.sock", 0, false},
	{"/run/a:b.sock", NULL, "/run/a:b.sock", 0, false},
	{"unix:", NULL, NULL, 0, true},
	{"", NULL, NULL, 0, true},
	{"x", NULL, NULL, 0, true},
	{"65536", NULL, NULL, 0, true},
	{"-1", NULL, NULL, 0, true},
	{"::1:80", NULL, NULL, 0, true},
	{"[::1:80", NULL, NULL, 0, true},
	{"a:b", NULL, NULL, 0, true},
};

START_TEST(listeners_as_they_are_written)
{
	struct wgw_proxy_options o = {0};
	const char *wrong = wgw_proxy_add_listener(&o, WGW_PROXY_SOCKS, listeners[_i].text);

	ck_assert_msg((wrong != NULL) == listeners[_i].bad, "%s", listeners[_i].text);
	if (!wrong) {
		ck_assert_uint_eq(o.n, 1);
		ck_assert_pstr_eq(o.specs[0].host, listeners[_i].host);
		ck_assert_pstr_eq(o.specs[0].path, listeners[_i].path);
		ck_assert_uint_eq(o.specs[0].port, listeners[_i].port);
	}
	wgw_proxy_options_free(&o);
}
END_TEST

static const struct {
	const char *text;
	bool remote;
	size_t n; /* 0: refused */
	const char *host, *target;
	uint16_t port, target_port;
	enum wgw_proxy_kind kind;
} forwards[] = {
	{"80:h:81", false, 1, NULL, "h", 80, 81, WGW_PROXY_TCP},
	{"80:h:81", true, 1, NULL, "h", 80, 81, WGW_PROXY_REMOTE_TCP},
	{"a:80:h:81", false, 1, "a", "h", 80, 81, WGW_PROXY_TCP},
	{":80:h:81", false, 1, "*", "h", 80, 81, WGW_PROXY_TCP},
	{"[::1]:80:[fd00::1]:81", false, 1, "::1", "fd00::1", 80, 81, WGW_PROXY_TCP},
	{"127.0.0.1:8080:192.168.4.1:80:TCP", false, 1, "127.0.0.1", "192.168.4.1", 8080, 80,
	 WGW_PROXY_TCP},
	{"8080:192.168.4.1:80:UDP", false, 1, NULL, "192.168.4.1", 8080, 80, WGW_PROXY_UDP},
	{"8080:192.168.4.1:80:tcp,udp", false, 2, NULL, "192.168.4.1", 8080, 80, WGW_PROXY_TCP},
	{"8080:localhost:80:udp", true, 1, NULL, "localhost", 8080, 80, WGW_PROXY_REMOTE_UDP},
	{"/s:h:80", false, 1, NULL, "h", 0, 80, WGW_PROXY_TCP},
	{"/s:h:80", true, 0, NULL, NULL, 0, 0, 0},
	{"/s:h:80:udp", false, 0, NULL, NULL, 0, 0, 0},
	{"80:localhost:80", false, 0, NULL, NULL, 0, 0, 0},
	{"80:[::1]:80", false, 0, NULL, NULL, 0, 0, 0},
	{"80:h", false, 0, NULL, NULL, 0, 0, 0},
	{"80:h:0", false, 0, NULL, NULL, 0, 0, 0},
	{"80::80", false, 0, NULL, NULL, 0, 0, 0},
	{"x:h:80", false, 0, NULL, NULL, 0, 0, 0},
	{"80:h:80:sctp", false, 0, NULL, NULL, 0, 0, 0},
	{"80:h:80:tcp,", false, 1, NULL, "h", 80, 80, WGW_PROXY_TCP},
	{"80:h:80:tcp,x", false, 0, NULL, NULL, 0, 0, 0},
	{"a:80:h:80:tcp:x", false, 0, NULL, NULL, 0, 0, 0},
};

START_TEST(forwards_as_they_are_written)
{
	struct wgw_proxy_options o = {0};
	const char *wrong = wgw_proxy_add_forward(&o, forwards[_i].remote, forwards[_i].text);

	ck_assert_msg((wrong != NULL) == (forwards[_i].n == 0), "%s", forwards[_i].text);
	if (!wrong) {
		ck_assert_uint_eq(o.n, forwards[_i].n);
		ck_assert_pstr_eq(o.specs[0].host, forwards[_i].host);
		ck_assert_pstr_eq(o.specs[0].target_host, forwards[_i].target);
		ck_assert_uint_eq(o.specs[0].port, forwards[_i].port);
		ck_assert_uint_eq(o.specs[0].target_port, forwards[_i].target_port);
		ck_assert_int_eq(o.specs[0].kind, forwards[_i].kind);
	}
	wgw_proxy_options_free(&o);
}
END_TEST

/* ---- wireproxy's files ---- */

static char said[4096];

static void say(void *ctx, bool is_error, const char *message)
{
	size_t n = strlen(said);

	(void)ctx, (void)is_error;
	snprintf(said + n, sizeof(said) - n, "%s\n", message);
}

static int split(const char *text, struct wgw_proxy_options *o, char **wg, char **path)
{
	struct wgw_diag diag = {.say = say};

	said[0] = '\0';
	memset(o, 0, sizeof(*o));
	return proxy_wireproxy_split("/etc/dir/f.conf", text, strlen(text), o, wg, path, &diag);
}

START_TEST(a_plain_file_is_left_as_it_is)
{
	static const char text[] =
		"# c\n[Interface]\nPrivateKey = $x\nPostUp = $(which ip) rule\n\n[Peer]\n"
		"AllowedIPs = ::/0\n";
	struct wgw_proxy_options o;
	char *wg, *path;

	ck_assert_int_eq(setenv("x", "key", 1), 0);
	ck_assert_int_eq(split(text, &o, &wg, &path), 0); /* 0: the caller uses the text itself */
	ck_assert_uint_eq(o.n, 0);
	ck_assert_ptr_null(path);
	free(wg);
	wgw_proxy_options_free(&o);
}
END_TEST

START_TEST(sections_become_listeners_and_lines_stay_where_they_are)
{
	static const char text[] =
		"[Interface]\nprivatekey = $SECRET # c\nCheckAlive = 1.1.1.1\n[Peer]\n"
		"AllowedIPs = ::/0\n[socks5]\nbindaddress = 127.0.0.1:1 # c\n"
		"Username = u\nPassword = \"p # ; q\"\n[Peer]\nPublicKey = k\n"
		"[SNI]\nBindAddress = [::1]:443\n[Resolve]\nResolveStrategy = IPv6\n";
	struct wgw_proxy_options o;
	char *wg, *path;

	ck_assert_int_eq(setenv("SECRET", "k=", 1), 0);
	ck_assert_int_eq(split(text, &o, &wg, &path), 1);
	ck_assert_str_eq(wg, "[Interface]\nprivatekey = k=\nCheckAlive = "
			     "1.1.1.1\n[Peer]\nAllowedIPs = ::/0\n\n\n\n\n"
			     "[Peer]\nPublicKey = k\nAllowedIPs = 0.0.0.0/0, ::/0\n\n\n\n\n");
	ck_assert_uint_eq(o.n, 2);
	ck_assert_int_eq(o.specs[0].kind, WGW_PROXY_SOCKS);
	ck_assert_str_eq(o.specs[0].host, "127.0.0.1");
	ck_assert(proxy_users_check(&o.specs[0].users, "u", 1, "p # ; q", 7));
	ck_assert(!proxy_users_check(&o.specs[0].users, "u", 1, "p", 1));
	ck_assert_int_eq(o.specs[1].kind, WGW_PROXY_SNI);
	ck_assert_uint_eq(o.specs[1].users.n, 0);
	ck_assert_int_eq(o.first, AF_INET6);
	free(wg);
	wgw_proxy_options_free(&o);
}
END_TEST

START_TEST(a_nul_byte_is_said_and_does_not_end_the_file)
{
	static const char text[] = "[Interface]\n[Socks5]\nBindAddress = 1\n\0\n[Peer]\n";
	struct wgw_diag diag = {.say = say};
	struct wgw_proxy_options o = {0};
	char *wg, *path;

	said[0] = '\0';
	ck_assert_int_eq(
		proxy_wireproxy_split("f.conf", text, sizeof(text) - 1, &o, &wg, &path, &diag), -1);
	ck_assert_msg(strstr(said, "f.conf:4: a NUL byte") != NULL, "%s", said);
	free(wg);
	wgw_proxy_options_free(&o);
}
END_TEST

/* Lists of the tunnel's may be long; what is in a proxy's section does not get out of it. */
START_TEST(values_up_to_their_limit)
{
	enum { LONG = 4096 };
	char text[LONG + 256], value[LONG + 1], *wg, *path;
	struct wgw_proxy_options o;

	memset(value, ',', LONG);
	value[LONG] = '\0';
	snprintf(text, sizeof(text), "[Peer]\nAllowedIPs = %s\n[SNI]\nBindAddress = 1\n", value);
	ck_assert_int_eq(split(text, &o, &wg, &path), 1);
	ck_assert_ptr_nonnull(strstr(wg, value));
	ck_assert_ptr_null(strstr(wg, "0.0.0.0/0"));
	free(wg);
	wgw_proxy_options_free(&o);
	snprintf(text, sizeof(text), "[Peer]\n[SNI]\nBindAddress = 1\nAllowedIPs = %s\n", value);
	ck_assert_int_eq(split(text, &o, &wg, &path), -1);
	ck_assert_msg(strstr(said, "f.conf:4: [SNI] 'AllowedIPs': too long") != NULL, "%s", said);
	ck_assert_ptr_null(strstr(wg, value));
	free(wg);
	wgw_proxy_options_free(&o);
}
END_TEST

START_TEST(another_file_is_found_beside_the_first)
{
	static const struct {
		const char *text, *path;
	} cases[] = {
		{"WGConfig = a.conf\n[http]\nBindAddress = 1\n", "/etc/dir/a.conf"},
		{"wgconfig=/b/c.conf # c\n", "/b/c.conf"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct wgw_proxy_options o;
		char *wg, *path;

		ck_assert_int_eq(split(cases[i].text, &o, &wg, &path), 1);
		ck_assert_str_eq(path, cases[i].path);
		free(wg);
		free(path);
		wgw_proxy_options_free(&o);
	}
}
END_TEST

START_TEST(certificates_of_http_sections)
{
	static const char text[] = "[http]\nBindAddress = 1\nCertFile = no.crt\nKeyFile = /no.key\n"
				   "[http]\nBindAddress = 2\n";
	struct wgw_proxy_options o;
	char *wg, *path;

	ck_assert_int_eq(split(text, &o, &wg, &path), 1);
	ck_assert_uint_eq(o.n, 2);
	ck_assert_str_eq(o.specs[0].tls_cert, "no.crt"); /* it is not beside the file */
	ck_assert_str_eq(o.specs[0].tls_key, "/no.key");
	ck_assert(proxy_speaks_tls(&o.specs[0]));
	ck_assert(!proxy_speaks_tls(&o.specs[1]));
	free(wg);
	wgw_proxy_options_free(&o);
}
END_TEST

START_TEST(which_listeners_get_the_certificate_of_the_command_line)
{
	struct wgw_proxy_options o = {.tls_cert = "c"};

	ck_assert_ptr_null(wgw_proxy_add_listener(&o, WGW_PROXY_SNI, "1"));
	ck_assert_ptr_null(wgw_proxy_add_listener(&o, WGW_PROXY_MIXED, "unix:s"));
	ck_assert_ptr_null(wgw_proxy_add_forward(&o, false, "1:a:1"));
	ck_assert_int_eq(proxy_tls_prepare(&o), -1); /* none may speak TLS */
	ck_assert_ptr_null(wgw_proxy_add_listener(&o, WGW_PROXY_MIXED, "1"));
	ck_assert_ptr_null(wgw_proxy_add_listener(&o, WGW_PROXY_SOCKS, "2"));
	ck_assert_ptr_null(wgw_proxy_add_listener(&o, WGW_PROXY_HTTP, "3"));
	o.specs[5].tls_cert = strdup("own");
	o.specs[5].tls_key = strdup("key");
	ck_assert_int_eq(proxy_tls_prepare(&o), 0);
	for (size_t i = 0; i < 3; i++)
		ck_assert(!proxy_speaks_tls(&o.specs[i]));
	for (size_t i = 3; i < 5; i++) {
		ck_assert_str_eq(o.specs[i].tls_cert, "c");
		ck_assert_str_eq(o.specs[i].tls_key, "c");
	}
	ck_assert_str_eq(o.specs[5].tls_cert, "own");
	wgw_proxy_options_free(&o);
}
END_TEST

START_TEST(what_is_wrong_is_said_without_secrets)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
		{"\n[Socks5]\nPassword = hunter2\n[Peer]\n",
		 "f.conf:2: [Socks5] has no BindAddress"},
		{"[Socks5]\nBindAddress = hunter2\n", "BindAddress"},
		{"[Socks5]\nhunter2hunter2hunter2hunter2hunter2hunter2h = 1\n", "no key"},
		{"[Socks5]\nBindAddress = 1\nPassword = $hunter2\n", "Password"},
		{"\n\n[STDIOTunnel]\n\n\n", "f.conf:3: [STDIOTunnel] Target: is missing"},
		{"[http]\nBindAddress = 1\nKeyFile = hunter2\n", "belong together"},
		{"[Socks5]\nBindAddress = 1\nKeyFile = hunter2\n", "no key 'KeyFile'"},
		{"[TCPServerTunnel]\nListenPort = 0\nTarget = a:1\n", "ListenPort"},
		{"[UDPProxyTunnel]\nBindAddress = 1\nTarget = a:1\nInactivityTimeout = x\n",
		 "Inactivity"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct wgw_proxy_options o;
		char *wg, *path;

		ck_assert_int_eq(split(cases[i].text, &o, &wg, &path), -1);
		ck_assert_msg(strstr(said, cases[i].said) && strstr(said, "f.conf:"), "%s", said);
		ck_assert_ptr_null(strstr(said, "hunter2"));
		free(wg);
		free(path);
		wgw_proxy_options_free(&o);
	}
}
END_TEST

/* go-ini, which wireproxy reads with, takes ':' and these quotes, and stops at a line that is no key.
 * Passed over, it could be the password of a port that is open then. */
START_TEST(a_line_of_a_section_is_a_key_or_said_to_be_none)
{
	static const char text[] = "[Socks5]\nBindAddress = 127.0.0.1:1\nUsername: 'u'\n"
				   "Password: `a=b:#c`\n";
	static const char *const others[] = {"hunter2", "Password hunter2", "\"hunter2\""};
	struct wgw_proxy_options o;
	char bad[128], *wg, *path;

	ck_assert_int_eq(split(text, &o, &wg, &path), 1);
	ck_assert_str_eq(o.specs[0].host, "127.0.0.1");
	ck_assert(proxy_users_check(&o.specs[0].users, "u", 1, "a=b:#c", 6));
	free(wg);
	wgw_proxy_options_free(&o);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		snprintf(bad, sizeof(bad), "[Socks5]\nBindAddress = 1\n# c\n; c\n\n%s\n",
			 others[i]);
		ck_assert_int_eq(split(bad, &o, &wg, &path), -1);
		ck_assert_msg(strstr(said, "f.conf:6: [Socks5] ") != NULL, "%s", said);
		ck_assert_ptr_null(strstr(said, "hunter2"));
		free(wg);
		wgw_proxy_options_free(&o);
	}
}
END_TEST

/* A port that is thought to have a password must not be open: as all keys, those are of the
 * sections only that heed them. */
START_TEST(keys_of_other_sections_are_refused)
{
	static const struct {
		const char *section, *key;
	} cases[] = {
		{"[TCPClientTunnel]\nBindAddress = 1\nTarget = a:1\n", "Username"},
		{"[UDPProxyTunnel]\nBindAddress = 1\nTarget = a:1\n", "Password"},
		{"[SNI]\nBindAddress = 1\n", "Username"},
		{"[SNI]\nBindAddress = 1\n", "Target"},
		{"[TCPServerTunnel]\nListenPort = 1\nTarget = a:1\n", "BindAddress"},
		{"[Socks5]\nBindAddress = 1\n", "ListenPort"},
		{"[Socks5]\nBindAddress = 1\n", "InactivityTimeout"},
		{"[Socks5]\nBindAddress = 1\n", "CertFile"},
		{"[Resolve]\n", "BindAddress"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct wgw_proxy_options o;
		char text[256], *wg, *path;

		snprintf(text, sizeof(text), "%s%s = 1\n", cases[i].section, cases[i].key);
		ck_assert_int_eq(split(text, &o, &wg, &path), -1);
		snprintf(text, sizeof(text), "has no key '%s'", cases[i].key);
		ck_assert_msg(strstr(said, text) != NULL, "%s: %s", cases[i].section, said);
		free(wg);
		wgw_proxy_options_free(&o);
	}
}
END_TEST

START_TEST(there_are_only_so_many_listeners)
{
	struct wgw_proxy_options o = {0};

	for (int i = 0; i < WGW_PROXY_LISTENERS_MAX; i++)
		ck_assert_ptr_null(wgw_proxy_add_listener(&o, WGW_PROXY_HTTP, "1"));
	ck_assert_ptr_nonnull(wgw_proxy_add_listener(&o, WGW_PROXY_HTTP, "1"));
	ck_assert_ptr_nonnull(wgw_proxy_add_forward(&o, false, "1:a:1"));
	ck_assert_ptr_nonnull(wgw_proxy_add_stdio(&o, "a", "1"));
	wgw_proxy_options_free(&o);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy specs");
	TCase *tc = tcase_create("specs");

	if (sodium_init() < 0)
		return 1;
	tcase_add_loop_test(tc, listeners_as_they_are_written, 0,
			    sizeof(listeners) / sizeof(*listeners));
	tcase_add_loop_test(tc, forwards_as_they_are_written, 0,
			    sizeof(forwards) / sizeof(*forwards));
	tcase_add_test(tc, a_plain_file_is_left_as_it_is);
	tcase_add_test(tc, sections_become_listeners_and_lines_stay_where_they_are);
	tcase_add_test(tc, a_nul_byte_is_said_and_does_not_end_the_file);
	tcase_add_test(tc, values_up_to_their_limit);
	tcase_add_test(tc, another_file_is_found_beside_the_first);
	tcase_add_test(tc, certificates_of_http_sections);
	tcase_add_test(tc, which_listeners_get_the_certificate_of_the_command_line);
	tcase_add_test(tc, what_is_wrong_is_said_without_secrets);
	tcase_add_test(tc, a_line_of_a_section_is_a_key_or_said_to_be_none);
	tcase_add_test(tc, keys_of_other_sections_are_refused);
	tcase_add_test(tc, there_are_only_so_many_listeners);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
