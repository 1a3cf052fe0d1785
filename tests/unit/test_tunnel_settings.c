/* SPDX-License-Identifier: MIT */
/* test_tunnel_settings.c - the text by which two invocations see whether they agree */
#include <check.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "src/tunnel/tunnel.h"
#include "tests/unit/run_suite.h"

static const char base[] = "[Interface]\n"
			   "PrivateKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAUA=\n"
			   "Address = 10.0.0.2/24, fd00::2/64\n"
			   "[Peer]\n"
			   "PublicKey = AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n"
			   "PresharedKey = AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\n"
			   "Endpoint = vpn.example.net:51820\n"
			   "AllowedIPs = 10.0.0.0/8, fd00::/16\n";

static void say(void *ctx, bool is_error, const char *message)
{
	(void)ctx;
	(void)is_error;
	ck_abort_msg("%s", message);
}

static char *settings_of(const char *text, uint16_t mtu, uint16_t port)
{
	struct wgw_diag diag = {.say = say};
	struct wgw_config *config = wgw_config_parse("test", text, strlen(text), false, &diag);
	char *out;

	ck_assert_ptr_nonnull(config);
	out = wgw_settings_text(config, mtu, port);
	ck_assert_ptr_nonnull(out);
	wgw_config_free(config);
	return out;
}

/* Replaces @from in @text. malloc'ed. */
static char *changed(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *out = malloc(strlen(text) + strlen(to) + 1);

	ck_assert_ptr_nonnull(at);
	ck_assert_ptr_nonnull(out);
	memcpy(out, text, (size_t)(at - text));
	strcpy(out + (at - text), to);
	strcat(out, at + strlen(from));
	return out;
}

START_TEST(lines_are_sorted_and_end_with_a_newline)
{
	char *text = settings_of(base, 1420, 0);
	char *previous = NULL;

	ck_assert_int_eq(text[strlen(text) - 1], '\n');
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (previous)
			ck_assert_str_lt(previous, line);
		previous = line;
	}
	ck_assert_ptr_nonnull(previous);
	free(text);
}
END_TEST

/* Each of these makes another tunnel. */
static const struct {
	const char *from, *to;
} differences[] = {
	{"AQEBAQEB", "AQEBAQEC"},
	{"10.0.0.2/24", "10.0.0.3/24"},
	{"fd00::2/64", "fd00::2/128"},
	{"AgICAgIC", "AgICAgID"},
	{"AwMDAwMD", "AwMDAwME"},
	{"vpn.example.net", "vpn2.example.net"},
	{":51820", ":51821"},
	{"10.0.0.0/8", "10.0.0.0/9"},
	{"AllowedIPs", "PersistentKeepalive = 25\nAllowedIPs"},
	{"[Peer]", "FwMark = 7\n[Peer]"},
};

START_TEST(every_setting_of_the_tunnel_makes_a_difference)
{
	char *ours = settings_of(base, 1420, 0);

	for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++) {
		char *file = changed(base, differences[i].from, differences[i].to);
		char *theirs = settings_of(file, 1420, 0);

		ck_assert_msg(strcmp(ours, theirs) != 0, "%s does not count", differences[i].to);
		free(theirs);
		free(file);
	}
	free(ours);
}
END_TEST

START_TEST(mtu_and_port_count_as_decided_not_as_written)
{
	char *file = changed(base, "[Peer]", "MTU = 1300\nListenPort = 5000\n[Peer]");
	char *a = settings_of(base, 1300, 5000), *b = settings_of(file, 1300, 5000);
	char *c = settings_of(base, 1301, 5000), *d = settings_of(base, 1300, 5001);

	ck_assert_str_eq(a, b);
	ck_assert_str_ne(a, c);
	ck_assert_str_ne(a, d);
	free(a);
	free(b);
	free(c);
	free(d);
	free(file);
}
END_TEST

START_TEST(order_comments_and_what_belongs_to_a_session_do_not_count)
{
	char *ours = settings_of(base, 1420, 0);
	char *swapped = changed(base, "10.0.0.0/8, fd00::/16", "fd00::/16,10.0.0.0/8 # both");
	char *file = changed(swapped, "[Peer]", "DNS = 10.0.0.1, corp.example\n[Peer]");
	char *theirs = settings_of(file, 1420, 0);

	ck_assert_str_eq(ours, theirs);
	free(ours);
	free(theirs);
	free(swapped);
	free(file);
}
END_TEST

START_TEST(no_secret_appears)
{
	char *text = settings_of(base, 1420, 0);

	ck_assert_ptr_null(strstr(text, "AQEBAQEB"));
	ck_assert_ptr_null(strstr(text, "AwMDAwMD"));
	ck_assert_ptr_null(strstr(text, "01010101"));
	ck_assert_ptr_null(strstr(text, "03030303"));
	ck_assert_ptr_nonnull(strstr(text, "preshared-key hash "));
	ck_assert_ptr_nonnull(strstr(text, "AgICAgIC"));
	free(text);
}
END_TEST

/* Who guesses the preshared key cannot check the guess without the private key. */
START_TEST(hash_of_the_preshared_key_depends_on_the_private_key)
{
	char *file = changed(base, "AQEBAQEB", "AQEBAQEC");
	char *a = settings_of(base, 1420, 0), *b = settings_of(file, 1420, 0);
	const char *ha = strstr(a, "hash "), *hb = strstr(b, "hash ");

	ck_assert_ptr_nonnull(ha);
	ck_assert_ptr_nonnull(hb);
	ck_assert_int_ne(strncmp(ha, hb, 5 + 32), 0);
	free(a);
	free(b);
	free(file);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tunnel_settings");
	TCase *c = tcase_create("text");

	tcase_add_test(c, lines_are_sorted_and_end_with_a_newline);
	tcase_add_test(c, every_setting_of_the_tunnel_makes_a_difference);
	tcase_add_test(c, mtu_and_port_count_as_decided_not_as_written);
	tcase_add_test(c, order_comments_and_what_belongs_to_a_session_do_not_count);
	tcase_add_test(c, no_secret_appears);
	tcase_add_test(c, hash_of_the_preshared_key_depends_on_the_private_key);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	return run_suite(suite());
}
