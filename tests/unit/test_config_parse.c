/* SPDX-License-Identifier: MIT */
/*
 * test_config_parse.c - whole files: what is read from them, what is said about them
 *
 * The wording of messages is pinned by tests/data/config (tests/e2e/check.sh); here are the values
 * that come out, the limits, and that no key ever gets into a message.
 */
#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/config/config.h"
#include "src/config/values.h"
#include "stack/stack.h"
#include "tests/unit/run_suite.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* keys of nobody */
#define PRIVATE	  "KAscCvDzc5jWZzJ3MZLDvL7v3GM1JFMUKAHYXXmG8XY="
#define OWN	  "0feXpnYyys1P5b/5e/WbjuibkCSKuAgFW4YKHeRv+zc=" /* wg pubkey, of PRIVATE */
#define PUBLIC	  "hL2aZAVLwHhzBrVJuYU8MXiGWaCzJO8Wlqq4qLjRTwM="
#define PUBLIC_2  "5FpGliEr5AQFrJMnWx32U2I6G8TEadKDCrqGjhacXlI="
#define PRESHARED "nMhA0sPIgq0STlvgX4yUAF84yRgDLNuRp85RaBK5FG8="

#define INTERFACE "[Interface]\nPrivateKey = " PRIVATE "\nAddress = 10.8.0.2/24\n"
#define PEER	  "[Peer]\nPublicKey = " PUBLIC "\nAllowedIPs = 10.8.0.0/24\n"

/** struct said - everything said about a file */
struct said {
	char *text;
	size_t len;
};

static void add_line(struct said *said, const char *kind, const char *message)
{
	size_t more = strlen(kind) + strlen(message) + 2;

	said->text = realloc(said->text, said->len + more);
	ck_assert_ptr_nonnull(said->text);
	snprintf(said->text + said->len, more, "%s%s\n", kind, message);
	said->len += more - 1;
}

static void say(void *ctx, bool is_error, const char *message)
{
	add_line(ctx, is_error ? "E " : "W ", message);
}

static void note(void *ctx, const char *message)
{
	add_line(ctx, "N ", message);
}

static struct said said;
static struct wgw_diag diag;

static void set_up(void)
{
	said = (struct said){0};
	diag = (struct wgw_diag){.say = say, .note = note, .ctx = &said};
	add_line(&said, "", "");
}

static void tear_down(void)
{
	free(said.text);
}

static struct wgw_config *parse(const char *text)
{
	return wgw_config_parse("f", text, strlen(text), false, &diag);
}

/** good() - parses @text, which has no error */
static struct wgw_config *good(const char *text)
{
	struct wgw_config *config = parse(text);

	ck_assert_msg(config != NULL, "refused:%s", said.text);
	ck_assert_uint_eq(diag.errors, 0);
	return config;
}

static const char *prefix_text(const struct wgw_prefixes *list, size_t i)
{
	static char buf[WGW_ADDR_TEXT_BYTES];

	ck_assert_uint_lt(i, list->n);
	return wgw_prefix_text(&list->at[i], buf);
}

/* ---- values ---- */

START_TEST(every_value_arrives)
{
	struct wgw_config *c =
		good("[Interface]\nPrivateKey = " PRIVATE "\nListenPort = 51820\n"
		     "FwMark = 0x2a\nAddress = 10.8.0.2/24, fd00::2/64\nMTU = 1380\n"
		     "DNS = 10.8.0.1, corp.example\nDNS = fd00::1\n"
		     "#@wgwrap:Direct = 192.0.2.0/24\n#@wgwrap:DNS = system\n"
		     "CheckAlive = 10.8.0.9, fd00::9, 10.8.0.9\nCheckAliveInterval = 3\n"
		     "#@ws:AllowedApps = one, a b\nDisallowedApps = two\n"
		     "\n[Peer]\n# Name = a peer; named\nPublicKey = " PUBLIC "\n"
		     "PresharedKey = " PRESHARED "\nAllowedIPs = 0.0.0.0/0\n"
		     "AllowedIPs = ::/0\nDisallowedIPs = 192.168.0.0/16\n"
		     "Endpoint = [2001:db8::1]:51821\nPersistentKeepalive = 25\n");
	const struct wgw_peer_config *peer = c->peers;
	uint8_t key[WG_KEY_BYTES];

	ck_assert_str_eq(c->source, "f");
	ck_assert_uint_eq(c->listen_port, 51820);
	ck_assert_uint_eq(c->fwmark, 42);
	ck_assert_uint_eq(c->mtu, 1380);
	ck_assert_uint_eq(c->addresses.n, 2);
	ck_assert_str_eq(prefix_text(&c->addresses, 0), "10.8.0.2/24");
	ck_assert_str_eq(prefix_text(&c->addresses, 1), "fd00::2/64");
	ck_assert_uint_eq(c->dns.n, 2);
	ck_assert_str_eq(prefix_text(&c->dns, 1), "fd00::1/128");
	ck_assert_uint_eq(c->dns.at[0].addr.port, 53);
	ck_assert_uint_eq(c->search.n, 1);
	ck_assert_str_eq(c->search.at[0], "corp.example");
	ck_assert_str_eq(prefix_text(&c->direct, 0), "192.0.2.0/24");
	ck_assert(c->dns_system);
	ck_assert_uint_eq(c->check_alive.n, 2);
	ck_assert_str_eq(prefix_text(&c->check_alive, 1), "fd00::9/128");
	ck_assert_uint_eq(c->check_alive_s, 3);
	ck_assert_uint_eq(c->allowed_apps.n, 2);
	ck_assert_str_eq(c->allowed_apps.at[1], "a b");
	ck_assert_str_eq(c->disallowed_apps.at[0], "two");

	ck_assert_uint_eq(c->n_peers, 1);
	ck_assert_uint_eq(peer->line, 16);
	ck_assert_str_eq(peer->name, "a peer; named");
	ck_assert_int_eq(wgw_key_parse(PUBLIC, key), 0);
	ck_assert_mem_eq(peer->public_key, key, sizeof(key));
	ck_assert_int_eq(wgw_key_parse(PRESHARED, key), 0);
	ck_assert_mem_eq(peer->preshared_key, key, sizeof(key));
	ck_assert_uint_eq(peer->allowed_ips.n, 2);
	ck_assert_str_eq(prefix_text(&peer->allowed_ips, 1), "::/0");
	ck_assert_str_eq(prefix_text(&peer->disallowed_ips, 0), "192.168.0.0/16");
	ck_assert_str_eq(peer->endpoint_host, "2001:db8::1");
	ck_assert_uint_eq(peer->endpoint_port, 51821);
	ck_assert_uint_eq(peer->keepalive_s, 25);
	wgw_config_free(c);
}
END_TEST

START_TEST(the_private_key_is_clamped)
{
	struct wgw_config *c =
		good("[Interface]\nAddress = 10.8.0.2\n"
		     "PrivateKey = //////////////////////////////////////////8=\n" PEER);

	ck_assert_uint_eq(c->private_key[0], 0xf8);
	ck_assert_uint_eq(c->private_key[31], 0x7f);
	wgw_config_free(c);
}
END_TEST

START_TEST(the_public_key_is_that_of_the_private_key)
{
	struct wgw_config *c =
		good("[Interface]\nAddress = 10.8.0.2\nPrivateKey = " PRIVATE "\n" PEER);
	uint8_t key[WG_KEY_BYTES];

	ck_assert_int_eq(wgw_key_parse(OWN, key), 0);
	ck_assert_mem_eq(c->public_key, key, sizeof(key));
	wgw_config_free(c);
}
END_TEST

START_TEST(of_repeated_single_values_the_last_counts)
{
	struct wgw_config *c = good(INTERFACE "MTU = 1400\nListenPort = 1\nMTU = 1300\n" PEER
					      "Endpoint = a:1\nPersistentKeepalive = 9\n"
					      "Endpoint = b:2\nPersistentKeepalive = off\n");

	ck_assert_uint_eq(c->mtu, 1300);
	ck_assert_str_eq(c->peers->endpoint_host, "b");
	ck_assert_uint_eq(c->peers->endpoint_port, 2);
	ck_assert_uint_eq(c->peers->keepalive_s, 0);
	wgw_config_free(c);
}
END_TEST

START_TEST(the_last_peer_has_a_prefix_that_two_name)
{
	struct wgw_config *c = good(INTERFACE PEER "# Name = one\n[Peer]\nPublicKey = " PUBLIC_2
						   "\nAllowedIPs = 10.8.0.0/24, 10.9.0.0/24\n");

	ck_assert_uint_eq(c->peers[0].allowed_ips.n, 0);
	ck_assert_uint_eq(c->peers[1].allowed_ips.n, 2);
	ck_assert_ptr_nonnull(strstr(said.text, "the [Peer] of line 8"));
	ck_assert_ptr_nonnull(strstr(said.text, "the [Peer] of line 4 (one)"));
	wgw_config_free(c);
}
END_TEST

START_TEST(a_minus_takes_away_from_its_own_peer_only)
{
	struct wgw_config *c =
		good(INTERFACE PEER "[Peer]\nPublicKey = " PUBLIC_2 "\nAllowedIPs = "
				    "-10.8.0.0/24, +10.9.0.0/24, 10.7.0.0/24, -10.7.0.0/24\n");

	ck_assert_str_eq(prefix_text(&c->peers[0].allowed_ips, 0), "10.8.0.0/24");
	ck_assert_uint_eq(c->peers[1].allowed_ips.n, 1);
	ck_assert_str_eq(prefix_text(&c->peers[1].allowed_ips, 0), "10.9.0.0/24");
	wgw_config_free(c);
}
END_TEST

START_TEST(sections_with_one_key_are_one_peer)
{
	struct wgw_config *c =
		good(INTERFACE PEER "Endpoint = a:1\nPersistentKeepalive = 9\n"
				    "[Peer]\nPublicKey = " PUBLIC_2 "\nAllowedIPs = 10.7.0.0/24\n"
				    "[Peer]\nPublicKey = " PUBLIC "\nAllowedIPs = 10.9.0.0/24\n"
				    "PresharedKey = " PRESHARED "\nEndpoint = b:2\n"
				    "DisallowedIPs = 10.9.1.0/24\n"
				    "[Peer]\nPublicKey = " PUBLIC_2 "\nAllowedIPs = 10.6.0.0/24\n");

	ck_assert_uint_eq(c->n_peers, 2);
	ck_assert_uint_eq(diag.warnings, 2);
	ck_assert_uint_eq(c->peers[0].allowed_ips.n, 2);
	ck_assert_str_eq(prefix_text(&c->peers[0].allowed_ips, 1), "10.9.0.0/24");
	ck_assert_str_eq(prefix_text(&c->peers[0].disallowed_ips, 0), "10.9.1.0/24");
	ck_assert_str_eq(c->peers[0].endpoint_host, "b");
	ck_assert_uint_eq(c->peers[0].keepalive_s, 9);
	ck_assert(!sodium_is_zero(c->peers[0].preshared_key, WG_KEY_BYTES));
	ck_assert_str_eq(prefix_text(&c->peers[1].allowed_ips, 1), "10.6.0.0/24");
	wgw_config_free(c);
}
END_TEST

START_TEST(lenient_parsing_keeps_what_it_understands)
{
	static const char text[] =
		"[Interface]\nColour = red\nPrivateKey = " PRIVATE
		"\n#@wgwrap:Speed = 9\nAddress = 10.8.0.2\n[Whatever]\nMTU = x\n" PEER;
	struct wgw_config *c = wgw_config_parse("f", text, strlen(text), true, &diag);

	ck_assert_msg(c != NULL, "%s", said.text);
	ck_assert_uint_eq(diag.errors, 0);
	ck_assert_uint_eq(diag.warnings, 3);
	ck_assert_uint_eq(c->mtu, 0);
	ck_assert_uint_eq(c->n_peers, 1);
	wgw_config_free(c);
}
END_TEST

/* ---- what is said ---- */

static const struct {
	const char *text;
	const char *message; /* one of the lines, whole */
} messages[] = {
	{"", "E f: [Interface] has no PrivateKey"},
	{"MTU = 1400\n" INTERFACE PEER,
	 "E f:1: 'MTU' stands before the first section ([Interface] or [Peer])"},
	{INTERFACE "#\n\n  # x\nMTU = 9000000\n" PEER,
	 "E f:7: MTU: '9000000' is not a number from 576 to 65495"},
	{INTERFACE "MTU = 575\n" PEER, "E f:4: MTU: '575' is not a number from 576 to 65495"},
	{INTERFACE "MTU = 65496\n" PEER, "E f:4: MTU: '65496' is not a number from 576 to 65495"},
	{INTERFACE "CheckAlive = a.test\n" PEER, "E f:4: CheckAlive: 'a.test' is not an address"},
	{INTERFACE "CheckAliveInterval = 0\n" PEER,
	 "E f:4: CheckAliveInterval: '0' is not a number of seconds from 1 to 65535"},
	{INTERFACE "CheckAliveInterval = 3\n" PEER,
	 "W f: CheckAliveInterval without CheckAlive: nothing is asked"},
	{INTERFACE "mtuu = 1400\n" PEER, "E f:4: 'mtuu': unknown key; did you mean MTU?"},
	{INTERFACE "Endpoint = a:1\n" PEER, "E f:4: Endpoint: this key belongs in [Peer]"},
	{INTERFACE "AllowedIPs\n" PEER, "E f:4: 'AllowedIPs' has no '=': expected KEY = VALUE"},
	{INTERFACE "#@wgwrap:Direct\n" PEER, "E f:4: 'Direct' has no '=': expected KEY = VALUE"},
	{INTERFACE PEER "PostUp = x\n", "E f:7: PostUp: this key belongs in [Interface]"},
	{INTERFACE "PostUp = x # y = z\n" PEER, "N f:4: PostUp: ignored: hooks are never run"},
	{INTERFACE "[Peer\n", "E f:4: unknown section '[Peer'; did you mean [Peer]?"},
	{INTERFACE "[Peer]\n", "E f:4: [Peer] has no PublicKey"},
	{INTERFACE "[Peer]\n" PEER, "E f:4: [Peer] has no PublicKey"},
	{"[Interface]\nPrivateKey = " PRIVATE "\nAddress =\n" PEER,
	 "E f: [Interface] has no Address: add the one the peer expects, as in \"Address = "
	 "10.0.0.2/32\""},
	{"\xff\xfe[\0", "E f: the file is UTF-16; save it as UTF-8"},
	{INTERFACE "Jc = 3\n" PEER, "E f:4: Jc: this file needs AmneziaWG, which is not supported"},
};

START_TEST(messages_name_file_line_and_key)
{
	char line[512];

	wgw_config_free(parse(messages[_i].text));
	snprintf(line, sizeof(line), "\n%s\n", messages[_i].message);
	ck_assert_msg(strstr(said.text, line) != NULL, "expected:%sgot:%s", line, said.text);
}
END_TEST

START_TEST(all_errors_are_said_not_the_first_only)
{
	ck_assert_ptr_null(parse(INTERFACE "MTU = x\nMTU = y\n[Peer]\nAllowedIPs = z, w\n"));
	ck_assert_uint_eq(diag.errors, 5);
}
END_TEST

/* ---- limits ---- */

/** repeated() - @head, then @n lines made from @format and numbers. malloc'ed */
static char *repeated(const char *head, const char *format, unsigned int n, size_t *len)
{
	size_t room = strlen(head) + (size_t)n * (strlen(format) + 16) + 1;
	char *text = malloc(room);

	ck_assert_ptr_nonnull(text);
	*len = (size_t)snprintf(text, room, "%s", head);
	for (unsigned int i = 0; i < n; i++)
		*len += (size_t)snprintf(text + *len, room - *len, format, i >> 8, i & 255);
	return text;
}

START_TEST(addresses_have_a_limit)
{
	size_t len;

	for (unsigned int extra = 0; extra <= 1; extra++) {
		unsigned int n = STACK_ADDRS_MAX - 1 + extra;
		char *text = repeated(INTERFACE, "Address = 10.%u.7.%u\n", n, &len);
		struct wgw_config *c = wgw_config_parse("f", text, len, false, &diag);

		ck_assert_msg((c != NULL) == (extra == 0), "%s", said.text);
		wgw_config_free(c);
		free(text);
	}
}
END_TEST

/** peers() - a file with @n peers. malloc'ed */
static char *peers(unsigned int n, size_t *len)
{
	size_t room = strlen(INTERFACE) + (size_t)n * 100 + 1;
	char *text = malloc(room);

	ck_assert_ptr_nonnull(text);
	*len = (size_t)snprintf(text, room, "%s", INTERFACE);
	for (unsigned int i = 0; i < n; i++) {
		uint8_t key[WG_KEY_BYTES] = {1, (uint8_t)i, (uint8_t)(i >> 8)};
		char key_text[WGW_KEY_TEXT_LEN + 1];

		*len += (size_t)snprintf(text + *len, room - *len,
					 "[Peer]\nPublicKey=%s\nAllowedIPs=10.%u.%u.1\n",
					 wgw_key_text(key, key_text), i >> 8, i & 255);
	}
	return text;
}

START_TEST(peers_have_a_limit)
{
	struct wgw_config *c;
	size_t len;
	char *text = peers(WGW_CONFIG_PEERS_MAX, &len);

	c = wgw_config_parse("f", text, len, false, &diag);
	ck_assert_msg(c != NULL, "%s", said.text);
	ck_assert_uint_eq(c->n_peers, WGW_CONFIG_PEERS_MAX);
	ck_assert_str_eq(prefix_text(&c->peers[WGW_CONFIG_PEERS_MAX - 1].allowed_ips, 0),
			 "10.15.255.1/32");
	wgw_config_free(c);
	free(text);

	text = peers(WGW_CONFIG_PEERS_MAX + 1, &len);
	ck_assert_ptr_null(wgw_config_parse("f", text, len, false, &diag));
	ck_assert_uint_eq(diag.errors, 1);
	free(text);
}
END_TEST

START_TEST(a_list_of_many_thousand_characters_is_read_whole)
{
	enum { N = 4000 };
	size_t len;
	char *text = repeated(INTERFACE "[Peer]\nPublicKey = " PUBLIC "\nAllowedIPs = 10.0.0.0/30",
			      ",\t10.1%u.%u.7/32", N, &len);
	struct wgw_config *c = wgw_config_parse("f", text, len, false, &diag);

	ck_assert_msg(c != NULL, "%s", said.text);
	ck_assert_uint_eq(c->peers->allowed_ips.n, N + 1);
	ck_assert_str_eq(prefix_text(&c->peers->allowed_ips, N), "10.115.159.7/32");
	wgw_config_free(c);
	free(text);
}
END_TEST

START_TEST(values_are_whole_at_every_length)
{
	/* across the length at which one line is not enough for inih */
	for (size_t len = 100; len <= 253; len++) {
		char name[300], text[1000];
		struct wgw_config *c;

		for (size_t i = 0; i < len; i++)
			name[i] = i % 40 == 39 ? '.' : (char)('a' + i % 26);
		name[len] = '\0';
		snprintf(text, sizeof(text), "%sDNS = %s, x\n%sEndpoint = %s:51820\n", INTERFACE,
			 name, PEER, name);
		c = good(text);
		ck_assert_uint_eq(c->search.n, 2);
		ck_assert_str_eq(c->search.at[0], name);
		ck_assert_str_eq(c->search.at[1], "x");
		ck_assert_str_eq(c->peers->endpoint_host, name);
		wgw_config_free(c);
	}
}
END_TEST

START_TEST(words_with_spaces_and_semicolons_are_whole_at_every_length)
{
	static const char pattern[] = "a ;b; c";

	for (size_t len = 100; len <= 600; len++) {
		char app[700], text[1000];
		struct wgw_config *c;

		for (size_t i = 0; i < len; i++)
			app[i] = pattern[i % (sizeof(pattern) - 1)];
		app[0] = app[len - 1] = 'x';
		app[len] = '\0';
		snprintf(text, sizeof(text), "%sAllowedApps = y, %s\n%s", INTERFACE, app, PEER);
		c = good(text);
		ck_assert_uint_eq(c->allowed_apps.n, 2);
		/* white space before a ';' is lost, and only that */
		for (char *at; (at = strstr(app, " ;"));)
			memmove(at, at + 1, strlen(at));
		ck_assert_str_eq(c->allowed_apps.at[1], app);
		wgw_config_free(c);
	}
}
END_TEST

START_TEST(values_above_the_limit_are_errors)
{
	size_t len;
	char *text = repeated(INTERFACE "MTU = ", "%u%u", 1000, &len);

	ck_assert_ptr_null(wgw_config_parse("f", text, len, false, &diag));
	ck_assert_ptr_nonnull(strstr(said.text, "E f:4: MTU: the value is "));
	free(text);
}
END_TEST

START_TEST(names_of_peers_are_cut_and_cleaned)
{
	struct wgw_config *c =
		good(INTERFACE PEER "# Name = \x1b[31m0123456789012345678901234567890123456789"
				    "01234567890123456789012345678901234567890123456789\n");

	ck_assert_uint_eq(strlen(c->peers->name), WGW_CONFIG_NAME_MAX_BYTES);
	ck_assert_mem_eq(c->peers->name, "?[31m0", 6);
	wgw_config_free(c);
}
END_TEST

/* Found by fuzz_config: what is printed reads back as the same. */
START_TEST(a_name_cut_behind_a_blank_has_none_at_its_end)
{
	struct wgw_config *c =
		good(INTERFACE PEER
		     "# Name = 012345678901234567890123456789012345678901234567890123456789"
		     "abc first\n");

	ck_assert_uint_eq(strlen(c->peers->name), WGW_CONFIG_NAME_MAX_BYTES - 1);
	wgw_config_free(c);
}
END_TEST

/* ---- secrets ---- */

static const char with_secrets[] = "[Interface]\nPrivateKey = " PRIVATE "\nAddress = 10.8.0.2\n"
				   "[Peer]\nPublicKey = " PUBLIC "\nPresharedKey = " PRESHARED
				   "\nAllowedIPs = 10.8.0.0/24\nEndpoint = a:1\n";

/** check_no_secret() - nothing that was said holds ten characters of a secret in a row */
static void check_no_secret(const char *text)
{
	static const char *const secrets[] = {PRIVATE, PRESHARED};

	for (size_t i = 0; i < COUNT(secrets); i++) {
		for (size_t at = 0; at + 10 <= WGW_KEY_TEXT_LEN; at++) {
			char part[11];

			snprintf(part, sizeof(part), "%.10s", secrets[i] + at);
			ck_assert_msg(!strstr(said.text, part), "'%s' is in:%sof:\n%s", part,
				      said.text, text);
		}
	}
}

START_TEST(no_slip_puts_a_key_into_a_message)
{
	/* one character of the file is replaced: keys become names, sections, values of other keys
	 */
	static const char slips[] = "\n= #[];,:@";
	size_t errors = 0;

	for (size_t at = 0; at < sizeof(with_secrets) - 1; at++) {
		for (size_t i = 0; i < sizeof(slips) - 1; i++) {
			char text[sizeof(with_secrets)];

			memcpy(text, with_secrets, sizeof(text));
			text[at] = slips[i];
			wgw_config_free(parse(text));
			check_no_secret(text);
			errors += diag.errors;
			tear_down();
			set_up();
		}
	}
	ck_assert_uint_gt(errors, 1000);
}
END_TEST

START_TEST(keys_in_the_wrong_place_are_not_quoted)
{
	static const char *const keys[] = {"PrivateKey", "ListenPort", "FwMark",     "Address",
					   "DNS",	 "MTU",	       "SaveConfig", "Table",
					   "PostUp",	 "Nonsense"};
	static const char *const peer_keys[] = {"PresharedKey",	       "AllowedIPs",	"Endpoint",
						"PersistentKeepalive", "DisallowedIPs", "Nonsense"};
	char text[1000];

	for (size_t i = 0; i < COUNT(keys); i++) {
		snprintf(text, sizeof(text),
			 "%s%s = %sx\n%s%s = %s:1\n%s\n[%s]\n#@wgwrap:Direct = %s\n", INTERFACE,
			 keys[i], PRIVATE, PEER, peer_keys[i % COUNT(peer_keys)], PRESHARED,
			 PRESHARED, PRIVATE, PRIVATE);
		ck_assert_ptr_null(parse(text));
		check_no_secret(text);
	}
}
END_TEST

START_TEST(the_printed_form_is_the_same_configuration_without_secrets)
{
	struct wgw_config *c = good(with_secrets);
	char *printed = NULL, *again = NULL, *at;
	size_t len;
	FILE *out = open_memstream(&printed, &len);
	char text[2000];

	ck_assert_ptr_nonnull(out);
	wgw_config_print(c, out);
	fclose(out);
	wgw_config_free(c);
	ck_assert_ptr_null(strstr(printed, PRIVATE));
	ck_assert_ptr_null(strstr(printed, PRESHARED));

	/* with the secrets put back it reads and prints the same */
	at = strstr(printed, "(hidden)");
	ck_assert_ptr_nonnull(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - printed), printed, PRIVATE, at + 8);
	at = strstr(text, "(hidden)");
	ck_assert_ptr_nonnull(at);
	memmove(at + WGW_KEY_TEXT_LEN, at + 8, strlen(at + 8) + 1);
	memcpy(at, PRESHARED, WGW_KEY_TEXT_LEN);
	c = good(text);
	out = open_memstream(&again, &len);
	ck_assert_ptr_nonnull(out);
	wgw_config_print(c, out);
	fclose(out);
	ck_assert_str_eq(again, printed);
	wgw_config_free(c);
	free(printed);
	free(again);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config parse");
	TCase *tc = tcase_create("files");

	tcase_set_timeout(tc, 180);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, every_value_arrives);
	tcase_add_test(tc, the_private_key_is_clamped);
	tcase_add_test(tc, the_public_key_is_that_of_the_private_key);
	tcase_add_test(tc, of_repeated_single_values_the_last_counts);
	tcase_add_test(tc, the_last_peer_has_a_prefix_that_two_name);
	tcase_add_test(tc, a_minus_takes_away_from_its_own_peer_only);
	tcase_add_test(tc, sections_with_one_key_are_one_peer);
	tcase_add_test(tc, lenient_parsing_keeps_what_it_understands);
	tcase_add_loop_test(tc, messages_name_file_line_and_key, 0, COUNT(messages));
	tcase_add_test(tc, all_errors_are_said_not_the_first_only);
	tcase_add_test(tc, addresses_have_a_limit);
	tcase_add_test(tc, peers_have_a_limit);
	tcase_add_test(tc, a_list_of_many_thousand_characters_is_read_whole);
	tcase_add_test(tc, values_are_whole_at_every_length);
	tcase_add_test(tc, words_with_spaces_and_semicolons_are_whole_at_every_length);
	tcase_add_test(tc, values_above_the_limit_are_errors);
	tcase_add_test(tc, names_of_peers_are_cut_and_cleaned);
	tcase_add_test(tc, a_name_cut_behind_a_blank_has_none_at_its_end);
	tcase_add_test(tc, no_slip_puts_a_key_into_a_message);
	tcase_add_test(tc, keys_in_the_wrong_place_are_not_quoted);
	tcase_add_test(tc, the_printed_form_is_the_same_configuration_without_secrets);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
