/* SPDX-License-Identifier: MIT */
/* test_tunnel_client.c - what passes over an open channel: words, state, questions */
#include <fcntl.h>
#include <sys/resource.h>

#include "tests/unit/run_suite.h"
#include "tests/unit/test_tunnel_fakes.h"

/* ---- words ---- */

static unsigned int lines_waiting(int fd, const char *with)
{
	struct wgw_channel_msg msg;
	unsigned int n = 0;

	while (recv(fd, &msg, sizeof(msg), MSG_DONTWAIT) > 0)
		n += msg.code == WGW_CH_SAY && strstr(msg.u.say.text, with);
	return n;
}

START_TEST(lines_above_the_level_of_the_session_are_kept_from_it)
{
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);

	wgw_session_say(s, 0, "line %d", 1);
	wgw_session_say(s, 1, "line %d", 2);
	wgw_session_say(s, 2, "line %d", 3);
	ck_assert_uint_eq(lines_waiting(fd, "line"), 2);
	close(fd);
}
END_TEST

START_TEST(note_before_the_first_session_is_said_to_it_once)
{
	int fd;

	wgw_core_say(&core, 1, "early %s", "note");
	fd = open_session(policy);
	ck_assert_uint_eq(lines_waiting(fd, "early note"), 1);
	close(fd);
	run_for(20);
	fd = open_session(policy);
	ck_assert_uint_eq(lines_waiting(fd, "early note"), 0);
	close(fd);
}
END_TEST

START_TEST(another_version_is_said_once_with_both_versions)
{
	static const uint8_t unknown[WGW_TOKEN_BYTES];
	int fd = open_session(policy);
	char both[64];

	snprintf(both, sizeof(both), "session version %d:", WGW_WIRE_VERSION);
	wgw_session_say_version(&core.t, unknown, WGW_WIRE_VERSION + 1);
	ck_assert_uint_eq(lines_waiting(fd, both), 0);
	for (int i = 0; i < 3; i++)
		wgw_session_say_version(&core.t, token, 4711);
	ck_assert_uint_eq(lines_waiting(fd, both), 1);
	close(fd);
}
END_TEST

START_TEST(refusal_is_said_once_per_address_and_names_the_option)
{
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);
	struct wgw_channel_msg msg;

	for (uint16_t i = 0; i < 5; i++) {
		struct stack_addr to = v4("192.0.2.7", i);

		ck_assert_int_eq((int)wgw_session_route(s, &to, 0), WGW_ROUTE_REFUSED);
	}
	ck_assert_int_gt(recv(fd, &msg, sizeof(msg), MSG_DONTWAIT), 0);
	ck_assert_ptr_nonnull(strstr(msg.u.say.text, "192.0.2.7"));
	ck_assert_ptr_nonnull(strstr(msg.u.say.text, "--direct 192.0.2.7"));
	ck_assert_int_eq(recv(fd, &msg, sizeof(msg), MSG_DONTWAIT), -1);
	close(fd);
}
END_TEST

START_TEST(memory_of_refusals_is_bounded)
{
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);
	unsigned int said = 0;

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 2 * WGW_REFUSED_MAX; i++) {
			char text[32];
			struct stack_addr to;

			snprintf(text, sizeof(text), "192.0.%d.%d", i / 200, i % 200);
			to = v4(text, 1);
			ck_assert_int_eq((int)wgw_session_route(s, &to, 0), WGW_ROUTE_REFUSED);
			said += lines_waiting(fd, "--direct");
		}
	}
	ck_assert_uint_eq(said, WGW_REFUSED_MAX);
	close(fd);
}
END_TEST

START_TEST(missing_family_is_said_once)
{
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);

	for (uint8_t i = 0; i < 5; i++) {
		struct stack_addr to = {.ip = {0x20, 0x01, [15] = i}, .port = 443};

		ck_assert_int_eq((int)wgw_session_route(s, &to, 0), WGW_ROUTE_REFUSED);
	}
	ck_assert_uint_eq(lines_waiting(fd, "no IPv6 address"), 1);
	close(fd);
}
END_TEST

START_TEST(allowed_destination_goes_into_the_tunnel)
{
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);
	struct stack_addr inside = v4("10.9.9.9", 80), loopback = v4("127.0.0.1", 80);

	ck_assert_int_eq((int)wgw_session_route(s, &inside, 0), WGW_ROUTE_TUNNEL);
	ck_assert_int_eq((int)wgw_session_route(s, &loopback, 0), WGW_ROUTE_DIRECT);
	ck_assert_uint_eq(lines_waiting(fd, ""), 0);
	close(fd);
}
END_TEST

START_TEST(dns_is_as_the_policy_says)
{
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);
	const struct stack_addr want = v4("10.0.0.53", 53);
	const struct stack_addr *servers;
	const struct wgw_strings *search;

	ck_assert(!wgw_session_dns_is_system(s));
	ck_assert_uint_eq(wgw_session_dns(s, &servers, &search), 1);
	ck_assert(stack_addr_equal(&servers[0], &want));
	ck_assert_uint_eq(search->n, 1);
	close(fd);
	run_for(20);
	fd = open_session("dns-mode system\ndns 10.0.0.53\n");
	s = wgw_session_by_token(&core.t, token);
	ck_assert(wgw_session_dns_is_system(s));
	ck_assert_uint_eq(wgw_session_dns(s, &servers, &search), 0);
	close(fd);
}
END_TEST

/* A reader that sleeps must cost neither the loop nor memory without bound. */
START_TEST(session_that_does_not_read_loses_lines_but_not_answers)
{
	struct wgw_channel_msg msg = message(WGW_CH_FLUSH);
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);
	unsigned int lines = 0;
	bool flushed = false;

	for (int i = 0; i < 5000; i++)
		wgw_session_say(s, 0, "line %d", i);
	send_fds(fd, &msg, NULL, 0);
	run_for(20);
	while (!flushed) {
		ck_assert_int_gt(next_message(fd, &msg), 0);
		lines += msg.code == WGW_CH_SAY;
		flushed = msg.code == WGW_CH_FLUSHED;
	}
	ck_assert_uint_gt(lines, 10);
	ck_assert_uint_lt(lines, 5000);
	close(fd);
}
END_TEST

/* ---- state ---- */

START_TEST(state_is_told_when_it_changes_and_only_then)
{
	struct wgw_channel_msg msg;
	int fd = open_session(policy);

	wgw_core_tell_state(&core);
	expect(fd, &msg, WGW_CH_STATE);
	wgw_core_tell_state(&core);
	ck_assert_int_eq(recv(fd, &msg, sizeof(msg), MSG_DONTWAIT), -1);
	core.datagrams_received = 1;
	wgw_core_tell_state(&core);
	expect(fd, &msg, WGW_CH_STATE);
	ck_assert_uint_eq(msg.u.state.datagrams_received, 1);
	core.datagrams_received = 2;
	wgw_core_tell_state(&core);
	ck_assert_int_eq(recv(fd, &msg, sizeof(msg), MSG_DONTWAIT), -1);
	wgw_peers_event(core.peers, wg_peer_next(core.t.wg, NULL), WG_EVENT_HANDSHAKE_DONE);
	ck_assert(core.state_changed);
	wgw_core_tell_state(&core);
	expect(fd, &msg, WGW_CH_STATE);
	ck_assert_uint_eq(msg.u.state.peers_up, 1);
	close(fd);
}
END_TEST

START_TEST(unanswered_handshake_goes_to_the_next_endpoint_in_a_circle)
{
	struct wg_peer *peer = wg_peer_next(core.t.wg, NULL);
	struct wg_peer_stats stats;
	uint16_t ports[4];

	for (size_t i = 0; i < 4; i++) {
		wg_peer_stats(peer, &stats);
		ports[i] = ntohs(stats.endpoint.to.in.sin_port);
		wgw_peers_event(core.peers, peer, WG_EVENT_HANDSHAKE_RETRY);
	}
	ck_assert_uint_eq(ports[0], 5000);
	ck_assert_uint_eq(ports[1], 5001);
	ck_assert_uint_eq(ports[2], 5000);
	ck_assert_uint_eq(ports[3], 5001);
}
END_TEST

/* ---- questions ---- */

static uint64_t held[WGW_CH_SCAN_MAX / 64];
static unsigned int scans_done;

static void scanned(void *arg, const uint64_t *bits)
{
	(void)arg;
	memcpy(held, bits, sizeof(held));
	scans_done++;
}

START_TEST(scan_is_answered_by_the_supervisor)
{
	static const uint64_t inodes[] = {11, 22, 33};
	struct wgw_channel_msg msg, answer = message(WGW_CH_SCANNED);
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);

	wgw_session_scan(s, inodes, 3, scanned, NULL);
	expect(fd, &msg, WGW_CH_SCAN);
	ck_assert_uint_eq(msg.u.scan.n, 3);
	ck_assert_mem_eq(msg.u.scan.inode, inodes, sizeof(inodes));
	answer.id = msg.id + 1; /* not ours */
	send_fds(fd, &answer, NULL, 0);
	run_for(20);
	ck_assert_uint_eq(scans_done, 0);
	answer.id = msg.id;
	answer.u.scan.held[0] = 5;
	send_fds(fd, &answer, NULL, 0);
	send_fds(fd, &answer, NULL, 0); /* a second answer means nothing */
	run_for(20);
	ck_assert_uint_eq(scans_done, 1);
	ck_assert_uint_eq(held[0], 5);
	close(fd);
}
END_TEST

START_TEST(scan_without_supervisor_says_that_all_are_held)
{
	static const uint64_t inodes[] = {11};
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);

	wgw_session_get(s);
	wgw_session_scan(s, inodes, 1, scanned, NULL);
	close(fd);
	run_for(20);
	ck_assert_uint_eq(scans_done, 1);
	ck_assert_uint_eq(held[0] & 1, 1);
	held[0] = 0;
	wgw_session_scan(s, inodes, 1, scanned, NULL);
	ck_assert_uint_eq(scans_done, 2);
	ck_assert_uint_eq(held[0] & 1, 1);
	wgw_session_put(s);
}
END_TEST

START_TEST(listener_is_kept_by_the_supervisor_and_comes_back)
{
	const struct wgw_ch_listener what = {.cookie = 7, .local.port = 80};
	struct wgw_channel_msg msg, again = message(WGW_CH_RELISTEN);
	int fd = open_session(policy), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);

	wgw_session_listener(s, &what, null);
	expect(fd, &msg, WGW_CH_LISTENER);
	ck_assert_uint_eq(msg.u.listener.cookie, 7);
	wgw_session_listener(s, &what, -1);
	expect(fd, &msg, WGW_CH_LISTENER_GONE);
	ck_assert_uint_eq(msg.u.listener.cookie, 7);
	again.u.listener = what;
	send_fds(fd, &again, &null, 1);
	run_for(20);
	ck_assert_uint_eq(listened_again.cookie, 7);
	ck_assert_uint_eq(listened_again.local.port, 80);
	/* without the descriptor it is not the protocol */
	send_fds(fd, &again, NULL, 0);
	expect_end(fd);
	close(null);
	close(fd);
}
END_TEST

START_TEST(listener_without_room_for_its_descriptor_costs_the_session_nothing_else)
{
	struct wgw_channel_msg again = message(WGW_CH_RELISTEN), flush = message(WGW_CH_FLUSH), msg;
	int fd = open_session(policy), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct rlimit limit, full;

	again.u.listener = (struct wgw_ch_listener){.cookie = 7, .local.port = 8080};
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	full = limit;
	full.rlim_cur = (rlim_t)dup(null); /* all below are in use */
	close((int)full.rlim_cur);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &full), 0);
	send_fds(fd, &again, &null, 1);
	run_for(20);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_eq(listened_again.cookie, 0);
	ck_assert_uint_eq(lines_waiting(fd, "cannot listen on port 8080 again: Too many"), 1);
	send_fds(fd, &flush, NULL, 0);
	expect(fd, &msg, WGW_CH_FLUSHED);
	close(null);
	close(fd);
}
END_TEST

static int eai_got = -1;
static uint32_t n_got;
static uint8_t first_got[16];

static void resolved(void *arg, int eai, const uint8_t (*ip)[16], uint32_t n)
{
	(void)arg;
	eai_got = eai;
	n_got = n;
	if (n > 0)
		memcpy(first_got, ip[0], 16);
}

START_TEST(host_names_are_resolved_by_the_supervisor)
{
	struct wgw_channel_msg msg, answer = message(WGW_CH_HOST_RESOLVED);
	const struct stack_addr want = v4("192.0.2.9", 0);
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);

	wgw_session_host_resolve(s, "intranet", AF_INET, resolved, NULL);
	expect(fd, &msg, WGW_CH_HOST_RESOLVE);
	ck_assert_str_eq(msg.u.host.name, "intranet");
	ck_assert_int_eq(msg.u.host.family, AF_INET);
	answer.id = msg.id;
	answer.u.host.n = 4000000; /* more than there is room for */
	memcpy(answer.u.host.ip[0], want.ip, 16);
	send_fds(fd, &answer, NULL, 0);
	run_for(20);
	ck_assert_int_eq(eai_got, 0);
	ck_assert_uint_eq(n_got, WGW_CH_HOST_MAX);
	ck_assert_mem_eq(first_got, want.ip, 16);
	wgw_session_host_resolve(s, "intranet", AF_INET, resolved, NULL);
	close(fd);
	run_for(20);
	ck_assert_int_eq(eai_got, EAI_AGAIN);
	ck_assert_uint_eq(n_got, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tunnel_client");
	TCase *c = tcase_create("channel");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 180);
	tcase_add_test(c, lines_above_the_level_of_the_session_are_kept_from_it);
	tcase_add_test(c, note_before_the_first_session_is_said_to_it_once);
	tcase_add_test(c, another_version_is_said_once_with_both_versions);
	tcase_add_test(c, refusal_is_said_once_per_address_and_names_the_option);
	tcase_add_test(c, memory_of_refusals_is_bounded);
	tcase_add_test(c, missing_family_is_said_once);
	tcase_add_test(c, allowed_destination_goes_into_the_tunnel);
	tcase_add_test(c, dns_is_as_the_policy_says);
	tcase_add_test(c, session_that_does_not_read_loses_lines_but_not_answers);
	tcase_add_test(c, state_is_told_when_it_changes_and_only_then);
	tcase_add_test(c, unanswered_handshake_goes_to_the_next_endpoint_in_a_circle);
	tcase_add_test(c, scan_is_answered_by_the_supervisor);
	tcase_add_test(c, scan_without_supervisor_says_that_all_are_held);
	tcase_add_test(c, listener_is_kept_by_the_supervisor_and_comes_back);
	tcase_add_test(c, listener_without_room_for_its_descriptor_costs_the_session_nothing_else);
	tcase_add_test(c, host_names_are_resolved_by_the_supervisor);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
