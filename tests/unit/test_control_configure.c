/* SPDX-License-Identifier: MIT */
/* test_control_configure.c - changes of a running tunnel: set operations */
#include "tests/unit/control_fixture.h"
#include "tests/unit/run_suite.h"

static int set(const char *text)
{
	unsigned int line;

	return wgw_configure(&core, text, false, &line);
}

/* Whose packets @address is in the engine, as the first byte of the peer's key; 0: nobody's. */
static uint8_t owner_of(const char *address)
{
	uint8_t ip[4], key[WG_KEY_BYTES];
	struct wg_peer *p;

	ck_assert_int_eq(inet_pton(AF_INET, address, ip), 1);
	p = wg_peer_by_allowed_ip(core.t.wg, AF_INET, ip);
	if (!p)
		return 0;
	wg_peer_public_key(p, key);
	return key[0];
}

START_TEST(a_peer_is_added_changed_and_removed)
{
	ck_assert_int_eq(set("public_key=" KEY_B "\n"
			     "preshared_key=" KEY_A "\n"
			     "endpoint=[::1]:4000\n"
			     "persistent_keepalive_interval=25\n"
			     "protocol_version=1\n"
			     "replace_allowed_ips=true\n"
			     "allowed_ip=10.1.0.0/16\n"
			     "allowed_ip=fd00::/8\n"),
			 0);
	ck_assert_ptr_nonnull(peer(0x43));
	ck_assert(peer(0x43)->has_preshared_key);
	ck_assert_uint_eq(peer(0x43)->config.keepalive_s, 25);
	ck_assert_uint_eq(peer(0x43)->n, 1);
	ck_assert_uint_eq(owner_of("10.1.2.3"), 0x43);
	ck_assert_uint_eq(owner_of("10.2.2.3"), 0x42);
	ck_assert_int_eq(set("public_key=" KEY_B "\nremove=true\n"), 0);
	ck_assert_ptr_null(peer(0x43));
	ck_assert_uint_eq(owner_of("10.1.2.3"), 0x42);
}
END_TEST

START_TEST(a_prefix_moves_to_the_peer_that_claims_it_last)
{
	const unsigned int changes = core.t.changes;

	ck_assert_int_eq(set("public_key=" KEY_B "\nallowed_ip=10.0.0.0/8\n"), 0);
	ck_assert_uint_eq(owner_of("10.1.2.3"), 0x43);
	ck_assert_uint_eq(peer(0x42)->config.allowed_ips.n, 0);
	ck_assert_uint_ne(core.t.changes, changes); /* who has asked before asks again */
	ck_assert_int_eq(set("public_key=" KEY_B "\nallowed_ip=-10.0.0.0/8\n"), 0);
	ck_assert_uint_eq(owner_of("10.1.2.3"), 0);
}
END_TEST

START_TEST(one_prefix_goes_and_the_others_stay)
{
	ck_assert_int_eq(
		set("public_key=" KEY_B "\nallowed_ip=+10.1.0.0/16\nallowed_ip=10.2.0.0/16\n"), 0);
	ck_assert_int_eq(set("public_key=" KEY_B "\nallowed_ip=-10.1.0.0/16\n"), 0);
	ck_assert_uint_eq(owner_of("10.1.0.1"), 0x42);
	ck_assert_uint_eq(owner_of("10.2.0.1"), 0x43);
}
END_TEST

START_TEST(update_only_adds_nobody)
{
	ck_assert_int_eq(set("public_key=" KEY_B "\nupdate_only=true\nallowed_ip=10.1.0.0/16\n"),
			 0);
	ck_assert_ptr_null(peer(0x43));
	ck_assert_int_eq(
		set("public_key=" KEY_A "\nupdate_only=true\npersistent_keepalive_interval=5\n"),
		0);
	ck_assert_uint_eq(peer(0x42)->config.keepalive_s, 5);
}
END_TEST

START_TEST(replace_peers_removes_those_that_were)
{
	ck_assert_int_eq(set("replace_peers=true\npublic_key=" KEY_B "\n"), 0);
	ck_assert_ptr_null(peer(0x42));
	ck_assert_ptr_nonnull(peer(0x43));
}
END_TEST

START_TEST(a_whole_file_keeps_the_peers_it_names_as_they_are)
{
	struct wgw_peer *before = peer(0x42);
	unsigned int line;

	ck_assert_int_eq(set("public_key=" KEY_B "\n"), 0);
	ck_assert_int_eq(wgw_configure(&core, "public_key=" KEY_A "\nname=gate\n", true, &line), 0);
	ck_assert_ptr_eq(peer(0x42), before);
	ck_assert_str_eq(before->config.name, "gate");
	ck_assert_ptr_null(peer(0x43));
}
END_TEST

START_TEST(a_whole_file_says_who_is_to_answer_and_the_name_servers)
{
	const struct wgw_config *own = core.t.boot->config;
	unsigned int line, before = alive_followed;

	core.alive = (struct wgw_alive *)&line; /* only whether there is one counts */
	ck_assert_int_eq(
		wgw_configure(&core,
			      "alive_interval=2\nalive=1.1.1.1\nalive=fd00::9\ndns=1.1.1.2\n", true,
			      &line),
		0);
	ck_assert_uint_eq(own->check_alive.n, 2);
	ck_assert_uint_eq(own->check_alive_s, 2);
	ck_assert_uint_eq(own->dns.n, 1);
	ck_assert_int_eq(wgw_configure(&core, "alive=no\n", true, &line), -EINVAL);
	ck_assert_int_eq(set("alive=1.1.1.1\n"), -EINVAL);
	ck_assert_int_eq(set("dns=1.1.1.1\n"), -EINVAL);
	ck_assert_uint_eq(own->check_alive.n, 2);
	ck_assert_int_eq(wgw_configure(&core, "alive_interval=5\n", true, &line), 0);
	ck_assert_uint_eq(own->check_alive.n, 0);
	ck_assert_uint_eq(alive_followed - before, 2);
	core.alive = NULL;
}
END_TEST

START_TEST(a_peer_goes_on_with_its_address_when_that_is_still_a_candidate)
{
	struct wg_peer_stats stats;

	ck_assert_int_eq(set("public_key=" KEY_A "\nendpoint=127.0.0.9:9\n"), 0);
	ck_assert_int_eq(set("public_key=" KEY_A "\ncandidate=127.0.0.8:9\ncandidate=127.0.0.9:9\n"
			     "endpoint_host=gate.example:9\n"),
			 0);
	wg_peer_stats(peer(0x42)->wg, &stats);
	ck_assert_uint_eq(ntohl(stats.endpoint.to.in.sin_addr.s_addr), 0x7f000009);
	ck_assert_uint_eq(peer(0x42)->n, 2);
	ck_assert_str_eq(peer(0x42)->config.endpoint_host, "gate.example");
}
END_TEST

static const struct {
	const char *text;
	unsigned int line;
	int err;
} mistakes[] = {
	{"bogus=1\n", 1, -EINVAL},
	{"no equals sign\n", 1, -EINVAL},
	{"listen_port=65536\n", 1, -EINVAL},
	{"replace_peers=yes\n", 1, -EINVAL},
	{"protocol_version=1\n", 1, -EINVAL}, /* of which peer? */
	{"public_key=00\n", 1, -EINVAL},
	{"public_key=" KEY_A "00\n", 1, -EINVAL},
	{"public_key=" KEY_A "\nlisten_port=1\n", 2, -EINVAL},
	{"public_key=" KEY_A "\nallowed_ip=10.0.0.0/33\n", 2, -EINVAL},
	{"public_key=" KEY_A "\nendpoint=host.example:1\n", 2, -EINVAL},
	{"public_key=" KEY_A "\nendpoint=1.2.3.4:0\n", 2, -EINVAL},
	{"public_key=" KEY_A "\npersistent_keepalive_interval=off\n", 2, -EINVAL},
	{"public_key=" KEY_A "\nprotocol_version=2\n", 2, -EINVAL},
	{"public_key=" KEY_A "\nremove=false\n", 2, -EINVAL},
	{"private_key=" KEY_B "00\n", 1, -EINVAL},
	{"private_key=0000000000000000000000000000000000000000000000000000000000000000\n", 1,
	 -EINVAL},
	{"public_key=" KEY_A "\nprivate_key=" KEY_B "\n", 2, -EINVAL},
};

START_TEST(a_mistake_anywhere_changes_nothing)
{
	char text[1024];
	unsigned int line = 0;

	/* what comes before it is in order */
	snprintf(text, sizeof(text), "%s", mistakes[_i].text);
	ck_assert_int_eq(wgw_configure(&core, text, false, &line), mistakes[_i].err);
	ck_assert_uint_eq(line, mistakes[_i].line);
	snprintf(text, sizeof(text), "replace_peers=true\npublic_key=" KEY_B "\n%sbogus=1\n",
		 mistakes[_i].text);
	ck_assert_int_ne(wgw_configure(&core, text, false, &line), 0);
	ck_assert_ptr_nonnull(peer(0x42));
	ck_assert_ptr_null(peer(0x43));
	ck_assert_uint_eq(owner_of("10.1.2.3"), 0x42);
}
END_TEST

START_TEST(a_long_line_is_a_mistake)
{
	char text[4096] = "public_key=" KEY_A "\nname=";

	memset(text + strlen(text), 'n', 2000);
	ck_assert_int_eq(set(text), -EINVAL);
}
END_TEST

START_TEST(our_own_key_as_a_peer_is_passed_over)
{
	uint8_t own[WG_KEY_BYTES];
	char hex[2 * WG_KEY_BYTES + 1], text[256];

	wg_device_public_key(core.t.wg, own);
	sodium_bin2hex(hex, sizeof(hex), own, sizeof(own));
	snprintf(text, sizeof(text), "public_key=%s\nallowed_ip=10.0.0.0/8\n", hex);
	ck_assert_int_eq(set(text), 0);
	ck_assert_uint_eq(owner_of("10.1.2.3"), 0x42);
}
END_TEST

START_TEST(a_new_private_key_is_taken_and_told)
{
	uint8_t private[WG_KEY_BYTES], public[WG_KEY_BYTES], own[WG_KEY_BYTES],
		before[WG_KEY_BYTES];
	struct wgw_channel_msg msg;
	int fd = open_session(policy);

	wg_device_public_key(core.t.wg, before);
	memset(private, 0x43, sizeof(private));
	wg_public_key(public, private);
	/* what has a mistake further down changes nothing */
	ck_assert_int_eq(set("private_key=" KEY_B "\nbogus=1\n"), -EINVAL);
	wg_device_public_key(core.t.wg, own);
	ck_assert_mem_eq(own, before, sizeof(own));
	ck_assert_int_eq(set("private_key=" KEY_B "\n"), 0);
	wg_device_public_key(core.t.wg, own);
	ck_assert_mem_eq(own, public, sizeof(own));
	expect(fd, &msg, WGW_CH_KEYED);
	ck_assert_mem_eq(msg.u.keyed.public_key, public, sizeof(public));
	ck_assert_ptr_nonnull(peer(0x42));
	/* the same again is no change */
	ck_assert_int_eq(set("private_key=" KEY_B "\n"), 0);
	run_for(20);
	while (recv(fd, &msg, sizeof(msg), MSG_DONTWAIT) > 0)
		ck_assert_int_ne(msg.code, WGW_CH_KEYED);
	close(fd);
}
END_TEST

START_TEST(a_peer_whose_key_becomes_ours_goes)
{
	uint8_t private[WG_KEY_BYTES], public[WG_KEY_BYTES];
	char hex[2 * WG_KEY_BYTES + 1], text[512];

	memset(private, 0x43, sizeof(private));
	wg_public_key(public, private);
	sodium_bin2hex(hex, sizeof(hex), public, sizeof(public));
	snprintf(text, sizeof(text), "public_key=%s\nallowed_ip=10.1.0.0/16\n", hex);
	ck_assert_int_eq(set(text), 0);
	ck_assert_uint_eq(owner_of("10.1.2.3"), public[0]);
	snprintf(text, sizeof(text),
		 "private_key=" KEY_B "\npublic_key=%s\nallowed_ip=10.3.0.0/16\n", hex);
	ck_assert_int_eq(set(text), 0);
	ck_assert_ptr_null(wgw_peers_find(core.peers, public));
	ck_assert_uint_eq(owner_of("10.1.2.3"), 0x42);
}
END_TEST

START_TEST(a_peer_may_go_while_its_name_is_being_resolved)
{
	struct wgw_channel_msg msg;
	int fd = open_session(policy);

	ck_assert_int_eq(
		set("public_key=" KEY_B "\nendpoint=127.0.0.1:9\nendpoint_host=gate.example:9\n"),
		0);
	/* the only candidate is used up: the next retry asks */
	wgw_peers_event(core.peers, peer(0x43)->wg, WG_EVENT_HANDSHAKE_RETRY);
	expect(fd, &msg, WGW_CH_HOST_RESOLVE);
	ck_assert_str_eq(msg.u.host.name, "gate.example");
	ck_assert_int_eq(set("public_key=" KEY_B "\nremove=true\n"), 0);
	msg.code = WGW_CH_HOST_RESOLVED;
	msg.u.host.n = 1;
	send_fds(fd, &msg, NULL, 0);
	run_for(50);
	ck_assert_ptr_null(peer(0x43));
	close(fd);
	run_for(20);
}
END_TEST

START_TEST(a_silent_peers_name_is_resolved_before_the_next_initiation)
{
	struct wgw_channel_msg msg;
	struct wg_peer_stats stats;
	int fd = open_session(policy);

	ck_assert_int_eq(
		set("public_key=" KEY_B "\nendpoint=127.0.0.1:9\nendpoint_host=gate.example:9\n"),
		0);
	wgw_peers_event(core.peers, peer(0x43)->wg, WG_EVENT_PEER_SILENT);
	expect(fd, &msg, WGW_CH_HOST_RESOLVE);
	ck_assert_str_eq(msg.u.host.name, "gate.example");
	msg.code = WGW_CH_HOST_RESOLVED;
	msg.u.host.eai = 0;
	msg.u.host.n = 1;
	memcpy(msg.u.host.ip[0], stack_v4_prefix, 12);
	memcpy(msg.u.host.ip[0] + 12, (uint8_t[]){127, 0, 0, 2}, 4);
	send_fds(fd, &msg, NULL, 0);
	run_for(50);
	/* an initiation is under way already: the change of the file sent it */
	wgw_peers_event(core.peers, peer(0x43)->wg, WG_EVENT_HANDSHAKE_RETRY);
	wg_peer_stats(peer(0x43)->wg, &stats);
	ck_assert_uint_eq(stats.endpoint.to.in.sin_addr.s_addr, htonl(INADDR_LOOPBACK + 1));
	ck_assert_uint_eq(peer(0x43)->n, 1);
	ck_assert_uint_eq(peer(0x43)->resolved, 1);
	close(fd);
	run_for(20);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("control_configure");
	TCase *c = tcase_create("changes");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 180);
	tcase_add_test(c, a_peer_is_added_changed_and_removed);
	tcase_add_test(c, a_prefix_moves_to_the_peer_that_claims_it_last);
	tcase_add_test(c, one_prefix_goes_and_the_others_stay);
	tcase_add_test(c, update_only_adds_nobody);
	tcase_add_test(c, replace_peers_removes_those_that_were);
	tcase_add_test(c, a_whole_file_keeps_the_peers_it_names_as_they_are);
	tcase_add_test(c, a_whole_file_says_who_is_to_answer_and_the_name_servers);
	tcase_add_test(c, a_peer_goes_on_with_its_address_when_that_is_still_a_candidate);
	tcase_add_loop_test(c, a_mistake_anywhere_changes_nothing, 0,
			    sizeof(mistakes) / sizeof(*mistakes));
	tcase_add_test(c, a_long_line_is_a_mistake);
	tcase_add_test(c, our_own_key_as_a_peer_is_passed_over);
	tcase_add_test(c, a_new_private_key_is_taken_and_told);
	tcase_add_test(c, a_peer_whose_key_becomes_ours_goes);
	tcase_add_test(c, a_peer_may_go_while_its_name_is_being_resolved);
	tcase_add_test(c, a_silent_peers_name_is_resolved_before_the_next_initiation);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
