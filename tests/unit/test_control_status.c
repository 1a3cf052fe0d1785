/* SPDX-License-Identifier: MIT */
/* test_control_status.c - a tunnel's state: read, and written for people and for programs */
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/control/flows.h"
#include "src/control/metrics.h"
#include "src/base/json.h"
#include "src/control/show.h"
#include "tests/unit/run_suite.h"

#define KEY_A  "0101010101010101010101010101010101010101010101010101010101010101"
#define KEY_B  "0202020202020202020202020202020202020202020202020202020202020202"
#define TEXT_A "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define TEXT_B "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="

static const char text[] = "listen_port=51820\n"
			   "fwmark=4660\n"
			   "wgwrap_status=1\n"
			   "label=office\n"
			   "source=/home/u/office.conf\n"
			   "pid=77\n"
			   "uptime_ms=61500\n"
			   "mtu=1420\n"
			   "encryption=openssl\n"
			   "own_public_key=" KEY_A "\n"
			   "address=10.0.0.2/24\n"
			   "address=fd00::2/64\n"
			   "state=up\n"
			   "reason=\n"
			   "alive_interval_s=3\n"
			   "alive=10.0.0.9 5000\n"
			   "alive=fd00::9 0\n"
			   "session=12 command 3\n"
			   "session=13 keeper 0\n"
			   "counter=dropped_bad_mac_total 4\n"
			   "counter=tcp_connections 2\n"
			   "a_key_of_the_future=whatever\n"
			   "public_key=" KEY_A "\n"
			   "has_preshared_key=1\n"
			   "endpoint=[2001:db8::1]:51820\n"
			   "last_handshake_time_sec=1700000000\n"
			   "tx_bytes=1024\n"
			   "rx_bytes=1023\n"
			   "persistent_keepalive_interval=25\n"
			   "allowed_ip=10.0.0.0/8\n"
			   "allowed_ip=fd00::/8\n"
			   "name=gate \"1\"\\\n"
			   "endpoint_host=gate.example:51820\n"
			   "state=up\n"
			   "reason=\n"
			   "peer_counter=handshakes_total 9\n"
			   "public_key=" KEY_B "\n"
			   "has_preshared_key=0\n"
			   "last_handshake_time_sec=0\n"
			   "tx_bytes=0\n"
			   "rx_bytes=0\n"
			   "persistent_keepalive_interval=0\n"
			   "state=down\n"
			   "reason=never answered\n";

static struct wgw_status *parse(const char *from)
{
	char *copy = strdup(from);
	unsigned int line;
	struct wgw_status *s = wgw_status_parse(copy, &line);

	free(copy);
	ck_assert_msg(s != NULL, "line %u", line);
	strcpy(s->name, "0123456789abcdef");
	return s;
}

/* What @write writes, malloc'ed. */
static char *written(void (*write)(FILE *out, const struct wgw_status *s),
		     const struct wgw_status *s)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	ck_assert_ptr_nonnull(f);
	write(f, s);
	ck_assert_int_eq(fclose(f), 0);
	return out;
}

START_TEST(all_values_are_read_and_unknown_keys_passed_over)
{
	struct wgw_status *s = parse(text);

	ck_assert_str_eq(s->label, "office");
	ck_assert_str_eq(s->source, "/home/u/office.conf");
	ck_assert_ptr_null(s->reason);
	ck_assert_int_eq(s->pid, 77);
	ck_assert_uint_eq(s->uptime_ms, 61500);
	ck_assert_uint_eq(s->mtu, 1420);
	ck_assert_str_eq(s->encryption, "openssl");
	ck_assert_uint_eq(s->listen_port, 51820);
	ck_assert_uint_eq(s->fwmark, 0x1234);
	ck_assert_uint_eq(s->public_key[31], 1);
	ck_assert_uint_eq(s->addresses.n, 2);
	ck_assert_str_eq(s->addresses.at[1], "fd00::2/64");
	ck_assert_int_eq(s->state, WGW_STATE_UP);
	ck_assert_uint_eq(s->n_sessions, 2);
	ck_assert(!s->sessions[0].keeper && s->sessions[1].keeper);
	ck_assert_uint_eq(s->sessions[0].sockets, 3);
	ck_assert_uint_eq(wgw_counter(&s->counters, "dropped_bad_mac_total"), 4);
	ck_assert_uint_eq(wgw_counter(&s->counters, "nothing"), 0);
	ck_assert_uint_eq(s->n_peers, 2);
	ck_assert(s->peers[0].has_preshared_key && !s->peers[1].has_preshared_key);
	ck_assert_str_eq(s->peers[0].endpoint, "[2001:db8::1]:51820");
	ck_assert_ptr_null(s->peers[1].endpoint);
	ck_assert_uint_eq(s->peers[0].keepalive_s, 25);
	ck_assert_uint_eq(s->peers[0].allowed_ips.n, 2);
	ck_assert_int_eq(s->peers[1].state, WGW_STATE_DOWN);
	ck_assert_str_eq(s->peers[1].reason, "never answered");
	ck_assert_uint_eq(s->n_alive, 2);
	ck_assert_str_eq(s->alive[1].address, "fd00::9");
	ck_assert(wgw_status_is_ready(s));
	wgw_status_free(s);
}
END_TEST

START_TEST(an_address_that_answers_late_or_never_is_not_ready)
{
	static const struct {
		const char *text, *words;
		bool ready;
	} cases[] = {
		{"state=up\nalive_interval_s=3\nalive=1.1.1.1 5000\n",
		 "answered an echo request 5 s ago (CheckAlive)", true},
		{"state=up\nalive_interval_s=3\nalive=1.1.1.1 5001\n",
		 "last answered an echo request 5 s ago (CheckAlive)", false},
		{"state=up\nalive_interval_s=3\nalive=1.1.1.1 never\nalive=1.1.1.2 0\n",
		 "never answered an echo request (CheckAlive)", false},
		{"state=down\nalive_interval_s=3\nalive=1.1.1.1 1\n",
		 "answered an echo request 0 s ago (CheckAlive)", false},
	};
	char words[WGW_ALIVE_TEXT_BYTES];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct wgw_status *s = parse(cases[i].text);

		ck_assert_str_eq(wgw_alive_text(&s->alive[0], words), cases[i].words);
		ck_assert_int_eq(wgw_status_is_ready(s), cases[i].ready);
		wgw_status_free(s);
	}
}
END_TEST

static const struct {
	const char *text;
	unsigned int line;
} mistakes[] = {
	{"listen_port=65536\n", 1},
	{"listen_port=-1\n", 1},
	{"listen_port=\n", 1},
	{"mtu=1x\n", 1},
	{"label=a\nno equals sign\n", 2},
	{"alive=1.1.1.1\n", 1},
	{"alive=1.1.1.1 -\n", 1},
	{"own_public_key=00\n", 1},
	{"own_public_key=zz" KEY_A "\n", 1},
	{"public_key=" KEY_A "00\n", 1},
	{"state=splendid\n", 1},
	{"session=1 command\n", 1},
	{"session=x command 1\n", 1},
	{"counter=name\n", 1},
	{"counter=name x\n", 1},
	{"counter=a_name_that_is_longer_than_any_counter_has 1\n", 1},
	{"public_key=" KEY_A "\nrx_bytes=18446744073709551616\n", 2},
	{"public_key=" KEY_A "\nhas_preshared_key=2\n", 2},
};

START_TEST(a_mistake_is_found_in_its_line)
{
	char *copy = strdup(mistakes[_i].text);
	unsigned int line = 0;

	ck_assert_ptr_null(wgw_status_parse(copy, &line));
	ck_assert_uint_eq(line, mistakes[_i].line);
	free(copy);
}
END_TEST

/* ---- for people ---- */

static void show(FILE *out, const struct wgw_status *s)
{
	wgw_show_tunnel(out, s, 1700000072, false);
}

START_TEST(show_has_the_layout_of_wg)
{
	struct wgw_status *s = parse(text);
	char *out = written(show, s);
	static const char *const lines[] = {
		"interface: office\n  public key: " TEXT_A "\n  private key: (hidden)\n"
		"  listening port: 51820\n  fwmark: 0x1234\n  state: up\n",
		"  mtu: 1420\n  encryption: openssl\n",
		"  sessions: 1 command, kept up by process 13\n",
		"  dropped: 4 bad mac\n",
		"  process: 77, for 1 minute, 1 second\n",
		"\npeer: " TEXT_A "\n  name: gate \"1\"\\\n  preshared key: (hidden)\n"
		"  endpoint: [2001:db8::1]:51820 (gate.example:51820)\n"
		"  allowed ips: 10.0.0.0/8, fd00::/8\n"
		"  latest handshake: 1 minute, 12 seconds ago\n"
		"  transfer: 1023 B received, 1.00 KiB sent\n"
		"  persistent keepalive: every 25 seconds\n  state: up\n",
		"\npeer: " TEXT_B "\n  allowed ips: (none)\n  state: down: never answered\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		ck_assert_msg(strstr(out, lines[i]) != NULL, "no \"%s\" in:\n%s", lines[i], out);
	ck_assert_ptr_null(strchr(out, '\033'));
	free(out);
	wgw_status_free(s);
}
END_TEST

START_TEST(peers_are_shown_in_the_order_of_their_handshakes)
{
	char *later = strdup(text);
	char *at = strstr(later, "last_handshake_time_sec=0");
	struct wgw_status *s;
	char *out;

	memcpy(at, "last_handshake_time_sec=9", 25);
	s = parse(later);
	s->peers[1].last_handshake_s = 1700000050;
	out = written(show, s);
	ck_assert(strstr(out, "peer: " TEXT_B) < strstr(out, "peer: " TEXT_A));
	free(out);
	free(later);
	wgw_status_free(s);
}
END_TEST

START_TEST(spans_and_sizes_are_worded_as_wg_words_them)
{
	char buf[WGW_SPAN_BYTES], size[WGW_SIZE_BYTES];

	ck_assert_str_eq(wgw_span_text(0, buf), "0 seconds");
	ck_assert_str_eq(wgw_span_text(1, buf), "1 second");
	ck_assert_str_eq(wgw_span_text(3600, buf), "1 hour");
	ck_assert_str_eq(wgw_span_text(31536000 + 2 * 86400 + 61, buf),
			 "1 year, 2 days, 1 minute, 1 second");
	ck_assert_uint_lt(strlen(wgw_span_text(UINT64_MAX, buf)), WGW_SPAN_BYTES);
	ck_assert_str_eq(wgw_size_text(1023, size), "1023 B");
	ck_assert_str_eq(wgw_size_text(1024, size), "1.00 KiB");
	ck_assert_str_eq(wgw_size_text(UINT64_C(3) << 29, size), "1.50 GiB");
	ck_assert_uint_lt(strlen(wgw_size_text(UINT64_MAX, size)), WGW_SIZE_BYTES);
}
END_TEST

/* ---- for programs ---- */

static void dump(FILE *out, const struct wgw_status *s)
{
	wgw_show_dump(out, s, false);
}

static void dump_all(FILE *out, const struct wgw_status *s)
{
	wgw_show_dump(out, s, true);
}

START_TEST(dump_has_the_columns_of_wg)
{
	struct wgw_status *s = parse(text);
	char *out = written(dump, s);

	ck_assert_str_eq(out, "(hidden)\t" TEXT_A "\t51820\t0x1234\n" TEXT_A
			      "\t(hidden)\t[2001:db8::1]:51820\t10.0.0.0/8,fd00::/8\t1700000000\t"
			      "1023\t1024\t25\n" TEXT_B "\t(none)\t(none)\t(none)\t0\t0\t0\toff\n");
	free(out);
	out = written(dump_all, s);
	ck_assert_int_eq(strncmp(out, "office\t(hidden)\t", 16), 0);
	free(out);
	wgw_status_free(s);
}
END_TEST

static void json(FILE *out, const struct wgw_status *s)
{
	struct wgw_status *one = (struct wgw_status *)(uintptr_t)s;

	wgw_show_json(out, &(struct wgw_tunnels){.at = &one, .n = 1});
}

START_TEST(json_has_every_key_and_escapes)
{
	struct wgw_status *s = parse(text);
	char *out = written(json, s);

	ck_assert_ptr_nonnull(strstr(out, "\"name\":\"gate \\\"1\\\"\\\\\""));
	ck_assert_ptr_nonnull(strstr(out, "\"reason\":null"));
	ck_assert_ptr_nonnull(strstr(out, "\"persistentKeepalive\":0"));
	ck_assert_ptr_nonnull(strstr(out, "\"allowedIps\":[]"));
	ck_assert_ptr_nonnull(strstr(out, "\"encryption\":\"openssl\""));
	free(out);
	wgw_status_free(s);
}
END_TEST

static const struct {
	const char *text, *json;
} strings[] = {
	{"plain", "\"plain\""},
	{"", "\"\""},
	{"a\tb\x01\x7f", "\"a\\u0009b\\u0001\\u007f\""},
	{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
	{"\xff", "\"\\ufffd\""},
	{"\xc3", "\"\\ufffd\""},		       /* cut off */
	{"\xc0\xaf", "\"\\ufffd\\ufffd\""},	       /* overlong */
	{"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""}, /* surrogate */
	{"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
};

START_TEST(json_strings_are_utf8)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	wgw_json_string(f, strings[_i].text);
	fclose(f);
	ck_assert_str_eq(out, strings[_i].json);
	free(out);
}
END_TEST

static void metrics(FILE *out, const struct wgw_status *s)
{
	struct wgw_status *one = (struct wgw_status *)(uintptr_t)s;

	wgw_metrics(out, &(struct wgw_tunnels){.at = &one, .n = 1}, "1.2.3");
}

START_TEST(metrics_have_the_exporters_names_and_escape_labels)
{
	struct wgw_status *s = parse(text);
	char *out = written(metrics, s);
	static const char *const lines[] = {
		"# TYPE wireguard_sent_bytes_total counter\nwireguard_sent_bytes_total{interface="
		"\"office\",public_key=\"" TEXT_A "\",friendly_name=\"gate \\\"1\\\"\\\\\"} 1024\n",
		"\nwireguard_latest_handshake_seconds{interface=\"office\",public_key=\"" TEXT_B
		"\",friendly_name=\"\"} 0\n",
		"\nwgwrap_dropped_total{interface=\"office\",reason=\"bad_mac\"} 4\n",
		"\nwgwrap_tcp_connections{interface=\"office\"} 2\n",
		"\nwgwrap_sessions{interface=\"office\"} 1\n",
		"\nwgwrap_uptime_seconds{interface=\"office\"} 61.500\n",
		"\nwgwrap_build_info{version=\"1.2.3\"} 1\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		ck_assert_msg(strstr(out, lines[i]) != NULL, "no \"%s\" in:\n%s", lines[i], out);
	free(out);
	wgw_status_free(s);
}
END_TEST

static void metrics_of_two(FILE *out, const struct wgw_status *s)
{
	struct wgw_status *two[] = {(struct wgw_status *)(uintptr_t)s, parse(text)};

	strcpy(two[1]->name, "fedcba9876543210");
	wgw_metrics(out, &(struct wgw_tunnels){.at = two, .n = 2}, "1.2.3");
	wgw_status_free(two[1]);
}

/* Prometheus drops the second of two samples with the same labels. */
START_TEST(tunnels_of_files_with_one_name_have_metrics_of_their_own)
{
	struct wgw_status *s = parse(text);
	char *out = written(metrics_of_two, s), *next;
	unsigned int samples = 0;

	for (char *line = out; line; line = next) {
		char series[256];

		next = strchr(line, '\n');
		next = next ? next + 1 : NULL;
		if (*line == '#' || *line == '\0')
			continue;
		snprintf(series, sizeof(series), "\n%.*s", (int)(strcspn(line, "}") + 1), line);
		ck_assert_msg(!next || !strstr(next - 1, series), "twice: %s", series + 1);
		samples++;
	}
	ck_assert_uint_gt(samples, 2);
	ck_assert_ptr_nonnull(
		strstr(out, "\nwgwrap_ready{interface=\"office\",id=\"fedcba9876543210\"} "));
	free(out);
	wgw_status_free(s);
}
END_TEST

/* ---- flows ---- */

START_TEST(flows_are_read_and_rated_busiest_first)
{
	struct wgw_flows before, now;

	ck_assert_int_eq(wgw_flows_parse("tcp 1 open tunnel 10.0.0.2:1 10.0.0.1:80 100 1000 500\n"
					 "tcp 1 open direct 127.0.0.1:2 127.0.0.1:80 0 0 500\n",
					 &before),
			 0);
	ck_assert_int_eq(wgw_flows_parse("udp 2 open tunnel 10.0.0.2:53 - 0 0 0\n"
					 "tcp 1 open tunnel 10.0.0.2:1 10.0.0.1:80 300 5000 2500\n"
					 "tcp 3 open tunnel 10.0.0.2:9 10.0.0.1:81 8000 0 1000\n",
					 &now),
			 0);
	ck_assert(before.at[1].direct);
	wgw_flows_compare(&now, &before, 2.0);
	ck_assert_str_eq(now.at[0].local, "10.0.0.2:9"); /* new: since it began */
	ck_assert(now.at[0].rate_out > 7999 && now.at[0].rate_out < 8001);
	ck_assert(now.at[1].rate_out > 99 && now.at[1].rate_out < 101);
	ck_assert(now.at[1].rate_in > 1999 && now.at[1].rate_in < 2001);
	ck_assert_str_eq(now.at[2].protocol, "udp");
	wgw_flows_free(&before);
	wgw_flows_free(&now);
}
END_TEST

/* To look at each for each would take a minute and more. */
START_TEST(each_of_very_many_flows_is_found)
{
	enum { FLOWS = 100000 };
	struct wgw_flow *then = calloc(FLOWS, sizeof(*then)), *at = calloc(FLOWS, sizeof(*at));
	struct wgw_flows before = {.at = then, .n = FLOWS}, now = {.at = at, .n = FLOWS};

	ck_assert(then && at);
	for (size_t i = 0; i < FLOWS; i++) {
		snprintf(at[i].local, sizeof(at[i].local), "10.0.0.2:%zu", i * 7919 % FLOWS);
		at[i].in = 1 + i;
		then[FLOWS - 1 - i] = at[i];
		at[i].in += at[i].in; /* as much again in a second */
	}
	wgw_flows_compare(&now, &before, 1.0);
	for (uint32_t i = 0; i < FLOWS; i++) {
		double moved = FLOWS - i;

		ck_assert(now.at[i].rate_in > moved - 0.5 && now.at[i].rate_in < moved + 0.5);
	}
	wgw_flows_free(&before);
	wgw_flows_free(&now);
}
END_TEST

START_TEST(of_flows_with_the_same_ends_one_is_found_that_has_moved_no_more)
{
	const char *earlier = "tcp 1 open tunnel 10.0.0.2:1 10.0.0.1:80 900 900 9000\n"
			      "tcp 1 open tunnel 10.0.0.2:1 10.0.0.1:80 100 100 500\n";
	struct wgw_flows before, now;

	ck_assert_int_eq(wgw_flows_parse(earlier, &before), 0);
	ck_assert_int_eq(
		wgw_flows_parse("tcp 1 open tunnel 10.0.0.2:1 10.0.0.1:80 300 100 1500\n", &now),
		0);
	wgw_flows_compare(&now, &before, 1.0);
	ck_assert(now.at[0].rate_out > 199 && now.at[0].rate_out < 201);
	wgw_flows_free(&before);
	wgw_flows_free(&now);
}
END_TEST

static const char *const bad_flows[] = {
	"tcp 1 open tunnel a b 1 2\n",
	"tcp x open tunnel a b 1 2 3\n",
	"tcp 1 open tunnel a b 1 2 3 4\n",
	"\n",
	"tcp 1 a_word_that_is_too_long tunnel a b 1 2 3\n",
};

START_TEST(a_line_that_is_no_flow_is_an_error)
{
	struct wgw_flows f;

	ck_assert_int_eq(wgw_flows_parse(bad_flows[_i], &f), -EINVAL);
	ck_assert_uint_eq(f.n, 0);
}
END_TEST

START_TEST(whose_a_connection_is_is_known_until_its_client_closes_it)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr *any = _i ? (struct sockaddr *)&in6 : (struct sockaddr *)&in;
	socklen_t len = _i ? sizeof(in6) : sizeof(in);
	int listener = socket(any->sa_family, SOCK_STREAM, 0);
	int client = socket(any->sa_family, SOCK_STREAM, 0), server;
	uint32_t uid = geteuid() + 1;
	char byte;

	if (listener < 0 || bind(listener, any, len))
		return; /* in a tunnel, or without IPv6 */
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, any, &len), 0);
	ck_assert_int_eq(connect(client, any, len), 0);
	server = accept(listener, NULL, NULL);
	ck_assert(wgw_loopback_peer_uid(server, &uid));
	ck_assert_uint_eq(uid, geteuid());
	close(client);
	ck_assert_int_eq(read(server, &byte, 1), 0);
	ck_assert(!wgw_loopback_peer_uid(server, &uid));
	close(server);
	close(listener);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("control_status");
	TCase *c = tcase_create("state"), *many = tcase_create("many");

	tcase_add_test(c, all_values_are_read_and_unknown_keys_passed_over);
	tcase_add_test(c, an_address_that_answers_late_or_never_is_not_ready);
	tcase_add_loop_test(c, a_mistake_is_found_in_its_line, 0,
			    sizeof(mistakes) / sizeof(*mistakes));
	tcase_add_test(c, show_has_the_layout_of_wg);
	tcase_add_test(c, peers_are_shown_in_the_order_of_their_handshakes);
	tcase_add_test(c, spans_and_sizes_are_worded_as_wg_words_them);
	tcase_add_test(c, dump_has_the_columns_of_wg);
	tcase_add_test(c, json_has_every_key_and_escapes);
	tcase_add_loop_test(c, json_strings_are_utf8, 0, sizeof(strings) / sizeof(*strings));
	tcase_add_test(c, metrics_have_the_exporters_names_and_escape_labels);
	tcase_add_test(c, tunnels_of_files_with_one_name_have_metrics_of_their_own);
	tcase_add_test(c, flows_are_read_and_rated_busiest_first);
	tcase_add_test(c, of_flows_with_the_same_ends_one_is_found_that_has_moved_no_more);
	tcase_add_loop_test(c, a_line_that_is_no_flow_is_an_error, 0,
			    sizeof(bad_flows) / sizeof(*bad_flows));
	tcase_add_loop_test(c, whose_a_connection_is_is_known_until_its_client_closes_it, 0, 2);
	suite_add_tcase(s, c);
	tcase_add_test(many, each_of_very_many_flows_is_found);
	tcase_set_timeout(many, 20);
	suite_add_tcase(s, many);
	return s;
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	return run_suite(suite());
}
