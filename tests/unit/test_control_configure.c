/* SPDX-License-Identifier: MIT */
/*
 * test_control_configure.c - changes of a running tunnel: set operations, the UAPI's socket, and
 *	requests over the channel
 */
#include <malloc.h>
#include <sys/resource.h>

#include "tests/unit/loop_turns.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/test_tunnel_fakes.h"

#include "src/tunnel/peers.h"

#define KEY_B "4343434343434343434343434343434343434343434343434343434343434343"
#define KEY_A "4242424242424242424242424242424242424242424242424242424242424242"

static int set(const char *text)
{
	unsigned int line;

	return wgw_configure(&core, text, false, &line);
}

static struct wgw_peer *peer(uint8_t byte)
{
	uint8_t key[WG_KEY_BYTES];

	memset(key, byte, sizeof(key));
	return wgw_peers_find(core.peers, key);
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

/* ---- requests over the channel ---- */

static struct wgw_channel_msg ask(int fd, enum wgw_control_verb verb, const int *fds, size_t n)
{
	struct wgw_channel_msg msg = message(WGW_CH_CONTROL);

	msg.u.control.verb = verb;
	send_fds(fd, &msg, fds, n);
	expect(fd, &msg, WGW_CH_CONTROLLED);
	ck_assert_uint_eq(msg.u.control.verb, verb);
	return msg;
}

START_TEST(state_is_written_into_the_askers_file)
{
	char text[8192] = "";
	int fd = connect_channel(), file = text_fd("");

	ck_assert_int_eq(ask(fd, WGW_CONTROL_GET, &file, 1).err, 0);
	ck_assert_int_gt(pread(file, text, sizeof(text) - 1, 0), 0);
	ck_assert_ptr_nonnull(strstr(text, "\npublic_key=" KEY_A "\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nallowed_ip=10.0.0.0/8\n"));
	ck_assert_ptr_null(strstr(text, "private_key"));
	ck_assert_ptr_null(strstr(text, "\npreshared_key"));
	close(file);
	close(fd);
	run_for(20);
}
END_TEST

START_TEST(another_version_may_look_and_end_but_not_change)
{
	const enum wgw_control_verb shared[] = {WGW_CONTROL_GET, WGW_CONTROL_FLOWS,
						WGW_CONTROL_DOWN};
	int fd = connect_channel(), file = text_fd("");
	struct wgw_channel_msg msg;

	for (size_t i = 0; i < sizeof(shared) / sizeof(*shared); i++) {
		msg = message(WGW_CH_CONTROL);
		msg.version = (uint16_t)(WGW_WIRE_VERSION + 1);
		msg.u.control.verb = shared[i];
		send_fds(fd, &msg, &file, 1);
		expect(fd, &msg, WGW_CH_CONTROLLED);
		ck_assert_uint_eq(msg.u.control.verb, shared[i]);
		if (shared[i] != WGW_CONTROL_FLOWS) /* there are none in this test's process */
			ck_assert_int_eq(msg.err, 0);
	}
	msg = message(WGW_CH_CONTROL);
	msg.version = (uint16_t)(WGW_WIRE_VERSION - 1);
	msg.u.control.verb = WGW_CONTROL_SET;
	send_fds(fd, &msg, &file, 1);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, EPROTO);
	ck_assert_uint_eq(msg.version, WGW_WIRE_VERSION);
	close(file);
	close(fd);
	run_for(20);
}
END_TEST

START_TEST(a_pipe_instead_of_a_file_is_refused)
{
	int fd = connect_channel(), ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(ask(fd, WGW_CONTROL_GET, &ends[1], 1).err, EINVAL);
	ck_assert_int_eq(ask(fd, WGW_CONTROL_SET, &ends[0], 1).err, EINVAL);
	ck_assert_int_eq(ask(fd, WGW_CONTROL_GET, NULL, 0).err, EINVAL);
	ck_assert_int_eq(ask(fd, 999, NULL, 0).err, EOPNOTSUPP);
	close(ends[0]);
	close(ends[1]);
	close(fd);
	run_for(20);
}
END_TEST

START_TEST(reload_refuses_what_cannot_change_and_tells_keepers_of_the_rest)
{
	struct wgw_channel_msg msg = message(WGW_CH_KEEP), reply;
	int keeper = open_session(policy), fd = connect_channel();
	int fds[2] = {text_fd("public_key=" KEY_A "\n"), text_fd("address 10.0.0.9/32\n")};

	msg.u.opened.pid = 4711;
	send_fds(keeper, &msg, NULL, 0);
	reply = ask(fd, WGW_CONTROL_RELOAD, fds, 2);
	ck_assert_int_eq(reply.err, EBUSY);
	ck_assert_ptr_nonnull(strstr(reply.u.control.text, "+ address 10.0.0.9/32"));
	close(fds[1]);
	fds[1] = text_fd("address 10.0.0.2/32\nlisten-port 0\nmtu 1420\npeer x\n");
	reply = ask(fd, WGW_CONTROL_RELOAD, fds, 2);
	ck_assert_int_eq(reply.err, 0);
	ck_assert_uint_eq(reply.u.control.value, 1);
	expect(keeper, &msg, WGW_CH_REREAD);
	/* the same again is no news */
	ck_assert_uint_eq(ask(fd, WGW_CONTROL_RELOAD, fds, 2).u.control.value, 0);
	close(fds[0]);
	close(fds[1]);
	close(fd);
	close(keeper);
	run_for(20);
}
END_TEST

/* The session says whether the asker, which is us, is its program. */
static void answer_whose(int session, int err)
{
	struct wgw_channel_msg msg;

	expect(session, &msg, WGW_CH_WHOSE);
	ck_assert_int_eq(msg.u.opened.pid, getpid());
	msg.code = WGW_CH_WHOSE_IS;
	msg.err = err;
	send_fds(session, &msg, NULL, 0);
}

START_TEST(a_program_of_a_session_may_look_but_change_nothing)
{
	struct wgw_channel_msg msg = message(WGW_CH_CONTROL);
	int command = open_session(policy), fd = connect_channel();
	int lines = text_fd("public_key=" KEY_B "\n"), file = text_fd("");

	ck_assert_int_eq(ask(fd, WGW_CONTROL_GET, &file, 1).err, 0);
	msg.u.control.verb = WGW_CONTROL_SET;
	send_fds(fd, &msg, &lines, 1);
	answer_whose(command, EPERM);
	expect(fd, &msg, WGW_CH_CONTROLLED);
	ck_assert_int_eq(msg.err, EPERM);
	ck_assert_ptr_null(peer(0x43));
	/* nor when nobody can say */
	msg = message(WGW_CH_CONTROL);
	msg.u.control.verb = WGW_CONTROL_SET;
	send_fds(fd, &msg, &lines, 1);
	expect(command, &msg, WGW_CH_WHOSE);
	expect(fd, &msg, WGW_CH_CONTROLLED);
	ck_assert_int_eq(msg.err, ETIMEDOUT);
	ck_assert_ptr_null(peer(0x43));
	/* but when the session has ended meanwhile */
	msg = message(WGW_CH_CONTROL);
	msg.u.control.verb = WGW_CONTROL_SET;
	send_fds(fd, &msg, &lines, 1);
	expect(command, &msg, WGW_CH_WHOSE);
	close(command);
	expect(fd, &msg, WGW_CH_CONTROLLED);
	ck_assert_int_eq(msg.err, 0);
	ck_assert_ptr_nonnull(peer(0x43));
	close(file);
	close(lines);
	close(fd);
	run_for(20);
}
END_TEST

START_TEST(an_asker_may_go_before_the_sessions_have_answered)
{
	struct wgw_channel_msg msg = message(WGW_CH_CONTROL);
	int command = open_session(policy), fd = connect_channel();
	int lines = text_fd("public_key=" KEY_B "\n");

	msg.u.control.verb = WGW_CONTROL_SET;
	send_fds(fd, &msg, &lines, 1);
	send_fds(fd, &msg, &lines, 1); /* one at a time */
	expect(fd, &msg, WGW_CH_CONTROLLED);
	ck_assert_int_eq(msg.err, EBUSY);
	close(fd);
	run_for(20);
	answer_whose(command, 0);
	run_for(20);
	ck_assert_ptr_nonnull(peer(0x43));
	close(lines);
	close(command);
	run_for(20);
}
END_TEST

/* ---- the UAPI's socket ---- */

static int uapi_connect(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(sun);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sun, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(listen(listener, 4), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sun, &len), 0);
	ck_assert_int_eq(wgw_uapi_init(&core, listener), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sun, len), 0);
	return fd;
}

static void uapi_send(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What has come within a moment. */
static const char *uapi_answer(int fd)
{
	static char text[16384];
	ssize_t n;

	run_for(50);
	n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	text[n > 0 ? n : 0] = '\0';
	return n == 0 ? "closed" : text;
}

START_TEST(operations_may_come_byte_by_byte_and_several_at_once)
{
	static const char one[] = "set=1\npublic_key=" KEY_B "\n\n";
	int fd = uapi_connect();

	for (const char *at = one; *at; at++) {
		ck_assert_int_eq(send(fd, at, 1, MSG_NOSIGNAL), 1);
		if (at - one < 20)
			run_for(1);
	}
	ck_assert_str_eq(uapi_answer(fd), "errno=0\n\n");
	uapi_send(fd, "set=1\npublic_key=" KEY_B "\nremove=true\n\nset=1\nbogus=1\n\nset=1\n\n");
	ck_assert_str_eq(uapi_answer(fd), "errno=0\n\nerrno=-22\n\nerrno=0\n\n");
	ck_assert_ptr_null(peer(0x43));
	uapi_send(fd, "get=1\n\n");
	ck_assert_ptr_nonnull(strstr(uapi_answer(fd), "\npublic_key=" KEY_A "\n"));
	uapi_send(fd, "get=2\n\n");
	ck_assert_str_eq(uapi_answer(fd), "closed");
	close(fd);
}
END_TEST

START_TEST(the_uapi_leaves_nothing_behind)
{
	enum { ROUNDS = 20 }; /* malloc keeps some of what was freed, and calls it used */
	size_t before = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int fd = uapi_connect();

		uapi_send(fd, "get=1\n\nset=1\nhalf");
		uapi_answer(fd);
		wgw_uapi_free(&core);
		ck_assert_str_eq(uapi_answer(fd), "closed");
		wgw_uapi_free(&core);
		close(fd);
		if (i == ROUNDS / 2)
			before = mallinfo2().uordblks;
	}
	ck_assert_uint_eq(mallinfo2().uordblks, before);
}
END_TEST

START_TEST(the_uapi_waits_for_descriptors_without_a_busy_loop)
{
	enum { TURNS = 1000 }; /* ten times of what run_for() and pauses make */
	static struct turns turns = {.before.run = count_turn};
	struct rlimit limit, none;
	int fd = uapi_connect();

	wgw_loop_before(core.t.loop, &turns.before);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	run_for(500);
	ck_assert_uint_lt(turns.n, TURNS);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	run_for(200); /* several pauses */
	uapi_send(fd, "set=1\n\n");
	ck_assert_str_eq(uapi_answer(fd), "errno=0\n\n");
	close(fd);
}
END_TEST

START_TEST(the_uapi_asks_the_sessions_before_it_changes_anything)
{
	int command = open_session(policy), fd = uapi_connect();

	uapi_send(fd, "set=1\npublic_key=" KEY_B "\n\nget=1\n\n");
	ck_assert_str_eq(uapi_answer(fd), "");
	answer_whose(command, EPERM);
	ck_assert_int_eq(strncmp(uapi_answer(fd), "errno=-1\n\n", 10), 0);
	ck_assert_ptr_null(peer(0x43));
	uapi_send(fd, "set=1\npublic_key=" KEY_B "\n\n");
	run_for(20);
	close(fd); /* does not wait for the answer */
	run_for(20);
	answer_whose(command, 0);
	run_for(20);
	ck_assert_ptr_nonnull(peer(0x43));
	close(command);
	run_for(20);
}
END_TEST

START_TEST(down_asks_the_keeper_to_leave_and_counts_the_others)
{
	static const uint8_t other_token[WGW_TOKEN_BYTES] = {9};
	struct wgw_channel_msg msg = message(WGW_CH_KEEP);
	int keeper = open_session(policy), command = connect_channel(), fd = connect_channel();

	send_fds(keeper, &msg, NULL, 0);
	send_open(command, settings, policy, other_token, 0);
	expect(command, &msg, WGW_CH_OPENED);
	msg = message(WGW_CH_CONTROL);
	msg.u.control.verb = WGW_CONTROL_DOWN;
	send_fds(fd, &msg, NULL, 0);
	answer_whose(command, 0);
	expect(fd, &msg, WGW_CH_CONTROLLED);
	ck_assert_int_eq(msg.err, 0);
	ck_assert_uint_eq(msg.u.control.value, 1);
	expect(keeper, &msg, WGW_CH_LEAVE);
	close(fd);
	close(command);
	close(keeper);
	run_for(20);
}
END_TEST

/* Behind what else is told: the state. */
static void expect_soon(int fd, struct wgw_channel_msg *msg, uint16_t code)
{
	do
		ck_assert_int_gt(next_message(fd, msg), 0);
	while (msg->code == WGW_CH_STATE);
	ck_assert_uint_eq(msg->code, code);
}

/* Opens the session of a keeper whose tunnel process was started again. */
static int keeper_that_is_back(void)
{
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	send_open(fd, settings, policy, token, WGW_CH_JOIN | WGW_CH_KEEPER);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, 0);
	return fd;
}

START_TEST(down_before_the_keeper_is_back_is_meant_for_it_too)
{
	struct wgw_channel_msg msg = message(WGW_CH_KEEP);
	int fd = connect_channel(), keeper;

	ck_assert_uint_eq(ask(fd, WGW_CONTROL_DOWN, NULL, 0).u.control.value, 0);
	keeper = keeper_that_is_back();
	expect_soon(keeper, &msg, WGW_CH_LEAVE);
	/* it has not read that yet, and keeps nothing up all the same */
	msg = message(WGW_CH_KEEP);
	send_fds(keeper, &msg, NULL, 0);
	run_for(20);
	ck_assert(core.leaving);
	close(keeper);
	close(fd);
	run_for(20);
}
END_TEST

START_TEST(a_keeper_that_is_back_leaves_the_tunnel_to_a_newer_one)
{
	static const uint8_t other_token[WGW_TOKEN_BYTES] = {9};
	struct wgw_channel_msg msg;
	int newer = connect_channel(), keeper;

	send_open(newer, settings, policy, other_token, 0);
	expect(newer, &msg, WGW_CH_OPENED);
	msg = message(WGW_CH_KEEP);
	send_fds(newer, &msg, NULL, 0);
	run_for(20);
	keeper = keeper_that_is_back();
	expect_soon(keeper, &msg, WGW_CH_LEAVE);
	msg = message(WGW_CH_KEEP);
	send_fds(keeper, &msg, NULL, 0);
	run_for(20);
	while (recv(newer, &msg, sizeof(msg), MSG_DONTWAIT) > 0)
		ck_assert_uint_ne(msg.code, WGW_CH_LEAVE);
	close(keeper);
	close(newer);
	run_for(20);
}
END_TEST

START_TEST(a_keeper_that_is_back_is_one_before_it_says_so)
{
	struct wgw_channel_msg msg;
	int keeper = keeper_that_is_back(), fd = connect_channel();

	ck_assert_uint_eq(ask(fd, WGW_CONTROL_DOWN, NULL, 0).u.control.value, 0);
	expect_soon(keeper, &msg, WGW_CH_LEAVE);
	close(keeper);
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
	tcase_add_test(c, state_is_written_into_the_askers_file);
	tcase_add_test(c, another_version_may_look_and_end_but_not_change);
	tcase_add_test(c, a_pipe_instead_of_a_file_is_refused);
	tcase_add_test(c, reload_refuses_what_cannot_change_and_tells_keepers_of_the_rest);
	tcase_add_test(c, a_program_of_a_session_may_look_but_change_nothing);
	tcase_add_test(c, an_asker_may_go_before_the_sessions_have_answered);
	tcase_add_test(c, operations_may_come_byte_by_byte_and_several_at_once);
	tcase_add_test(c, the_uapi_waits_for_descriptors_without_a_busy_loop);
	tcase_add_test(c, the_uapi_asks_the_sessions_before_it_changes_anything);
	tcase_add_test(c, the_uapi_leaves_nothing_behind);
	tcase_add_test(c, down_asks_the_keeper_to_leave_and_counts_the_others);
	tcase_add_test(c, down_before_the_keeper_is_back_is_meant_for_it_too);
	tcase_add_test(c, a_keeper_that_is_back_leaves_the_tunnel_to_a_newer_one);
	tcase_add_test(c, a_keeper_that_is_back_is_one_before_it_says_so);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
