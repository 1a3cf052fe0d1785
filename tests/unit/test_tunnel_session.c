/* SPDX-License-Identifier: MIT */
/*
 * test_tunnel_session.c - a session's channel, seen from the session's side
 *
 * The parts around sessions (application sockets, TCP/IP stack, the process's life) are the fakes
 * below; engine, loop, sessions and policy are the real ones.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netdb.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/tunnel/core.h"

/* ---- fakes ---- */

static unsigned int sessions_over, no_session, has_session;
static bool tunnel_has_v6;

void wgw_sockets_session_over(struct wgw_tunnel *t, struct wgw_session *s)
{
	(void)t;
	(void)s;
	sessions_over++;
}

void wgw_core_no_session(struct wgw_core *core)
{
	(void)core;
	no_session++;
}

void wgw_core_has_session(struct wgw_core *core)
{
	(void)core;
	has_session++;
}

bool stack_is_local(const struct stack *stack, const struct stack_addr *a)
{
	(void)stack;
	(void)a;
	return false;
}

bool stack_source_for(const struct stack *stack, const struct stack_addr *to,
		      struct stack_addr *from)
{
	(void)stack;
	(void)from;
	return stack_addr_is_v4(to) || tunnel_has_v6;
}

static uint64_t op_now(void *ctx)
{
	(void)ctx;
	return wgw_clock_ns();
}

static void op_realtime(void *ctx, struct timespec *ts)
{
	(void)ctx;
	clock_gettime(CLOCK_REALTIME, ts);
}

static void op_random(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	randombytes_buf(buf, len);
}

static unsigned int transmitted;
static struct wg_endpoint transmitted_to;

static void op_transmit(void *ctx, const struct wg_endpoint *to, const uint8_t *buf, size_t stride,
			size_t count, size_t last, uint8_t tos)
{
	(void)ctx;
	(void)buf;
	(void)stride;
	(void)count;
	(void)last;
	(void)tos;
	transmitted++;
	transmitted_to = *to;
}

static void op_deliver(void *ctx, struct wg_peer *from, uint8_t *packet, size_t len)
{
	(void)ctx;
	(void)from;
	(void)packet;
	(void)len;
}

static const struct wg_ops wg_ops = {
	.now = op_now,
	.realtime = op_realtime,
	.random = op_random,
	.transmit = op_transmit,
	.deliver = op_deliver,
};

/* ---- the tunnel ---- */

static const char settings[] = "address 10.0.0.2/32\nlisten-port 0\nmtu 1420\n";
static const char policy[] = "dns-mode tunnel\ndns 10.0.0.53\nsearch corp.example\nverbose 1\n";

static struct wgw_core core;
static struct wgw_tunnel_boot boot;
static struct wgw_peer_config peer_config;
static struct wgw_config config;
static struct wg_endpoint endpoints[1][WGW_ENDPOINTS_MAX];
static uint8_t n_endpoints[1];
static struct wgw_prefix allowed;

static void setup(void)
{
	static uint8_t key[32] = {1};
	int err;

	ck_assert_int_ge(sodium_init(), 0);
	config.n_peers = 1;
	config.peers = &peer_config;
	memset(peer_config.public_key, 0x42, sizeof(peer_config.public_key));
	ck_assert_int_eq(wgw_prefix_parse("10.0.0.0/8", &allowed, NULL), 0);
	peer_config.allowed_ips.at = &allowed;
	peer_config.allowed_ips.n = 1;
	n_endpoints[0] = 2;
	for (size_t i = 0; i < 2; i++) {
		endpoints[0][i].to.in.sin_family = AF_INET;
		endpoints[0][i].to.in.sin_port = htons((uint16_t)(5000 + i));
		endpoints[0][i].to.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	boot.settings = settings;
	boot.config = &config;
	boot.endpoints = endpoints;
	boot.n_endpoints = n_endpoints;
	memset(boot.abstract, 0xab, sizeof(boot.abstract));
	core.t.boot = &boot;
	core.t.loop = wgw_loop_new();
	ck_assert_ptr_nonnull(core.t.loop);
	core.t.wg = wg_device_new(&wg_ops, &core, key, 1420);
	ck_assert_ptr_nonnull(core.t.wg);
	core.peers = wgw_peers_new(&core, &err);
	ck_assert_ptr_nonnull(core.peers);
}

static void teardown(void)
{
	wgw_peers_free(core.peers);
	wg_device_free(core.t.wg);
	wgw_loop_free(core.t.loop);
}

/* ---- the session's side ---- */

static void stop_on_event(struct wgw_watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	wgw_loop_stop(core.t.loop);
}

static void stop_on_time(struct wgw_timer *t)
{
	(void)t;
	wgw_loop_stop(core.t.loop);
}

static void run_for(unsigned int ms)
{
	struct wgw_timer end = {.due = stop_on_time};

	wgw_timer_set(core.t.loop, &end, wgw_clock_ns() + ms * WGW_MS_NS);
	wgw_loop_run(core.t.loop);
	wgw_timer_cancel(core.t.loop, &end);
}

/* Runs the tunnel until it has sent something on @fd. Returns what recv returns. */
static ssize_t next_message(int fd, struct wgw_channel_msg *msg)
{
	struct wgw_watch w = {.fd = fd, .ready = stop_on_event};

	memset(msg, 0, sizeof(*msg));
	ck_assert_int_eq(wgw_loop_add(core.t.loop, &w, EPOLLIN), 0);
	run_for(3000);
	wgw_loop_del(core.t.loop, &w);
	return recv(fd, msg, sizeof(*msg), MSG_DONTWAIT);
}

static void expect(int fd, struct wgw_channel_msg *msg, uint16_t code)
{
	ck_assert_int_gt(next_message(fd, msg), 0);
	ck_assert_uint_eq(msg->magic, WGW_WIRE_MAGIC);
	ck_assert_uint_eq(msg->version, WGW_WIRE_VERSION);
	ck_assert_uint_eq(msg->code, code);
}

static void expect_end(int fd)
{
	struct wgw_channel_msg msg;

	ck_assert_int_eq(next_message(fd, &msg), 0);
}

static int text_fd(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

static int connect_channel(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	wgw_session_adopt(&core.t, pair[0]);
	return pair[1];
}

static void send_fds(int fd, const struct wgw_channel_msg *msg, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)(uintptr_t)msg, sizeof(*msg)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c = &control.align;

	if (n > 0) {
		h.msg_control = control.bytes;
		h.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(fd, &h, MSG_NOSIGNAL), sizeof(*msg));
}

static struct wgw_channel_msg message(uint16_t code)
{
	return (struct wgw_channel_msg){
		.magic = WGW_WIRE_MAGIC, .version = WGW_WIRE_VERSION, .code = code};
}

static const uint8_t token[WGW_TOKEN_BYTES] = {1, 2, 3};

static void send_open(int fd, const char *settings_text, const char *policy_text,
		      const uint8_t *with_token, uint32_t flags)
{
	struct wgw_channel_msg msg = message(WGW_CH_OPEN);
	int fds[2] = {text_fd(settings_text), text_fd(policy_text)};

	memcpy(msg.u.open.token, with_token, WGW_TOKEN_BYTES);
	memset(msg.u.open.label_key, 9, sizeof(msg.u.open.label_key));
	msg.u.open.flags = flags;
	send_fds(fd, &msg, fds, 2);
	close(fds[0]);
	close(fds[1]);
}

/* A channel with an open session. */
static int open_session(const char *policy_text)
{
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	send_open(fd, settings, policy_text, token, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, 0);
	ck_assert_ptr_nonnull(wgw_session_by_token(&core.t, token));
	return fd;
}

static struct stack_addr v4(const char *text, uint16_t port)
{
	struct stack_addr a = {.port = port};

	memcpy(a.ip, stack_v4_prefix, sizeof(stack_v4_prefix));
	ck_assert_int_eq(inet_pton(AF_INET, text, a.ip + 12), 1);
	return a;
}

/* ---- opening ---- */

START_TEST(session_opens_and_hears_the_state)
{
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	send_open(fd, settings, policy, token, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, 0);
	ck_assert_int_eq(msg.u.opened.pid, getpid());
	ck_assert_mem_eq(msg.u.opened.abstract, boot.abstract, WGW_ABSTRACT_BYTES);
	ck_assert_uint_eq(has_session, 1);
	ck_assert_mem_eq(wgw_session_label_key(wgw_session_by_token(&core.t, token)),
			 "\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09", 16);
	/* It wakes the peer, and the state comes when the loop flushes. */
	ck_assert_uint_eq(transmitted, 1);
	ck_assert(core.state_changed);
	wgw_core_tell_state(&core);
	expect(fd, &msg, WGW_CH_STATE);
	ck_assert_uint_eq(msg.u.state.peers, 1);
	ck_assert_uint_eq(msg.u.state.peers_up, 0);
	close(fd);
}
END_TEST

START_TEST(differing_settings_are_refused_and_shown)
{
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	send_open(fd, "address 10.0.0.2/32\nlisten-port 0\nmtu 1300\nzebra\n", policy, token, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, EBUSY);
	ck_assert_str_eq(msg.u.opened.text, "+ mtu 1300\n- mtu 1420\n+ zebra\n");
	ck_assert_ptr_null(wgw_session_by_token(&core.t, token));
	expect_end(fd);
	close(fd);
}
END_TEST

START_TEST(differing_settings_are_cut_at_a_line_when_they_are_many)
{
	static char many[64 * 1024];
	struct wgw_channel_msg msg;
	int fd = connect_channel();
	size_t len;

	for (int i = 0; i < 1000; i++)
		sprintf(many + strlen(many), "peer %04d\n", i);
	send_open(fd, many, policy, token, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, EBUSY);
	len = strnlen(msg.u.opened.text, sizeof(msg.u.opened.text));
	ck_assert_uint_lt(len, sizeof(msg.u.opened.text));
	ck_assert_int_eq(msg.u.opened.text[len - 1], '\n');
	close(fd);
}
END_TEST

START_TEST(join_opens_although_settings_differ)
{
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	send_open(fd, "mtu 1300\n", policy, token, WGW_CH_JOIN);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, 0);
	close(fd);
}
END_TEST

static void open_fails(const char *policy_text, const uint8_t *with_token, int err)
{
	struct wgw_channel_msg msg;
	int fd = connect_channel();

	send_open(fd, settings, policy_text, with_token, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, err);
	expect_end(fd);
	close(fd);
}

START_TEST(bad_openings_are_refused)
{
	static const uint8_t zero[WGW_TOKEN_BYTES];
	int fd;

	open_fails(policy, zero, EINVAL);
	open_fails("direct everything\n", token, EINVAL);
	fd = open_session(policy);
	open_fails(policy, token, EEXIST);
	ck_assert_ptr_nonnull(wgw_session_by_token(&core.t, token));
	close(fd);
}
END_TEST

START_TEST(other_version_is_told_so)
{
	struct wgw_channel_msg msg = message(WGW_CH_OPEN);
	int fd = connect_channel();

	msg.version++;
	send_fds(fd, &msg, NULL, 0);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, EPROTO);
	expect_end(fd);
	close(fd);
}
END_TEST

START_TEST(first_message_must_be_a_whole_open)
{
	struct wgw_channel_msg msg = message(WGW_CH_FLUSH);
	int pipes[2], fd = connect_channel();

	send_fds(fd, &msg, NULL, 0);
	expect_end(fd);
	close(fd);

	fd = connect_channel();
	msg = message(WGW_CH_OPEN); /* without its texts */
	send_fds(fd, &msg, NULL, 0);
	expect_end(fd);
	close(fd);

	fd = connect_channel();
	ck_assert_int_eq(send(fd, "x", 1, 0), 1);
	expect_end(fd);
	close(fd);

	/* A pipe would keep the tunnel process waiting. */
	fd = connect_channel();
	ck_assert_int_eq(pipe(pipes), 0);
	memcpy(msg.u.open.token, token, sizeof(token));
	send_fds(fd, &msg, pipes, 2);
	expect(fd, &msg, WGW_CH_OPENED);
	ck_assert_int_eq(msg.err, EINVAL);
	close(fd);
}
END_TEST

START_TEST(silent_connection_is_dropped)
{
	int fd = connect_channel();

	expect_end(fd);
	close(fd);
}
END_TEST

START_TEST(other_user_is_refused)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(sa_family_t);
	struct wgw_channel_msg msg = message(WGW_CH_OPEN);
	int listener, fd, status;
	pid_t pid;

	if (geteuid() != 0) {
		printf("skipped: only root can be another user, too\n");
		return;
	}
	listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sun, len), 0); /* autobind */
	len = sizeof(sun);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sun, &len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		int fds[2] = {memfd_create("a", 0), memfd_create("b", 0)};

		memcpy(msg.u.open.token, token, sizeof(token));
		if (write(fds[0], settings, strlen(settings)) < 0 || setresuid(65534, 65534, 65534))
			_exit(9);
		fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		if (connect(fd, (struct sockaddr *)&sun, len))
			_exit(8);
		send_fds(fd, &msg, fds, 2);
		_exit(recv(fd, &msg, sizeof(msg), 0) > 0 && msg.code == WGW_CH_OPENED ? msg.err : 7);
	}
	fd = accept(listener, NULL, NULL);
	ck_assert_int_ge(fd, 0);
	wgw_session_adopt(&core.t, fd);
	run_for(300);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), EPERM);
	ck_assert_ptr_null(core.t.sessions);
	close(listener);
}
END_TEST

/* ---- the end ---- */

START_TEST(session_outlives_its_channel_while_something_holds_it)
{
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);

	wgw_session_get(s);
	close(fd);
	run_for(20);
	ck_assert_uint_eq(sessions_over, 1);
	ck_assert_ptr_null(wgw_session_by_token(&core.t, token));
	ck_assert_ptr_eq(core.t.sessions, s);
	ck_assert_uint_eq(no_session, 0);
	wgw_session_say(s, 0, "into the void");
	wgw_session_put(s);
	ck_assert_ptr_null(core.t.sessions);
	ck_assert_uint_eq(no_session, 1);
}
END_TEST

START_TEST(flush_is_answered_when_nothing_is_undelivered)
{
	struct wgw_channel_msg msg = message(WGW_CH_FLUSH);
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);

	send_fds(fd, &msg, NULL, 0);
	expect(fd, &msg, WGW_CH_FLUSHED);
	ck_assert_uint_eq(msg.u.flushed.bytes_lost, 0);

	wgw_session_unsent_begin(s);
	wgw_session_unsent_begin(s);
	msg = message(WGW_CH_FLUSH);
	send_fds(fd, &msg, NULL, 0);
	run_for(20);
	wgw_session_unsent_end(s, 0);
	ck_assert_int_eq(recv(fd, &msg, sizeof(msg), MSG_DONTWAIT), -1);
	wgw_session_unsent_end(s, 700);
	expect(fd, &msg, WGW_CH_FLUSHED);
	ck_assert_uint_eq(msg.u.flushed.bytes_lost, 700);
	ck_assert_uint_eq(msg.u.flushed.flows_failed, 1);
	/* One answer for one question. */
	wgw_session_unsent_begin(s);
	wgw_session_unsent_end(s, 0);
	ck_assert_int_eq(recv(fd, &msg, sizeof(msg), MSG_DONTWAIT), -1);
	close(fd);
}
END_TEST

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

START_TEST(refusal_is_said_once_per_address_and_names_the_option)
{
	int fd = open_session(policy);
	struct wgw_session *s = wgw_session_by_token(&core.t, token);
	struct wgw_channel_msg msg;

	for (uint16_t i = 0; i < 5; i++) {
		struct stack_addr to = v4("192.0.2.7", i);

		ck_assert_int_eq((int)wgw_session_route(s, &to), WGW_ROUTE_REFUSED);
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
			ck_assert_int_eq((int)wgw_session_route(s, &to), WGW_ROUTE_REFUSED);
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

		ck_assert_int_eq((int)wgw_session_route(s, &to), WGW_ROUTE_REFUSED);
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

	ck_assert_int_eq((int)wgw_session_route(s, &inside), WGW_ROUTE_TUNNEL);
	ck_assert_int_eq((int)wgw_session_route(s, &loopback), WGW_ROUTE_DIRECT);
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

static void add_opening(Suite *s)
{
	TCase *c = tcase_create("opening");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 20);
	tcase_add_test(c, session_opens_and_hears_the_state);
	tcase_add_test(c, differing_settings_are_refused_and_shown);
	tcase_add_test(c, differing_settings_are_cut_at_a_line_when_they_are_many);
	tcase_add_test(c, join_opens_although_settings_differ);
	tcase_add_test(c, bad_openings_are_refused);
	tcase_add_test(c, other_version_is_told_so);
	tcase_add_test(c, first_message_must_be_a_whole_open);
	tcase_add_test(c, silent_connection_is_dropped);
	tcase_add_test(c, other_user_is_refused);
	tcase_add_test(c, session_outlives_its_channel_while_something_holds_it);
	tcase_add_test(c, flush_is_answered_when_nothing_is_undelivered);
	suite_add_tcase(s, c);
}

static void add_talking(Suite *s)
{
	TCase *c = tcase_create("talking");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 20);
	tcase_add_test(c, lines_above_the_level_of_the_session_are_kept_from_it);
	tcase_add_test(c, note_before_the_first_session_is_said_to_it_once);
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
	tcase_add_test(c, host_names_are_resolved_by_the_supervisor);
	suite_add_tcase(s, c);
}

int main(void)
{
	Suite *s = suite_create("tunnel_session");
	SRunner *runner;
	int failed;

	add_opening(s);
	add_talking(s);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
