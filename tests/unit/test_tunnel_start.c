/* SPDX-License-Identifier: MIT */
/*
 * test_tunnel_start.c - a real tunnel process: how it starts, what it looks like, when it ends
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/session/channel.h"
#include "src/tunnel/tunnel.h"
#include "tests/unit/run_suite.h"

static const char file[] = "[Interface]\n"
			   "PrivateKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAUA=\n"
			   "Address = 10.0.0.2/24\n"
			   "[Peer]\n"
			   "PublicKey = AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n"
			   "AllowedIPs = 10.0.0.0/8\n";

static struct wgw_tunnel_boot boot;
static struct wgw_config *config;
static struct wg_endpoint endpoints[1][WGW_ENDPOINTS_MAX];
static uint8_t n_endpoints[1];
static char *settings;
static int ready[2];
static pid_t pid;

static void say(void *ctx, bool is_error, const char *message)
{
	(void)ctx;
	(void)is_error;
	ck_abort_msg("%s", message);
}

/* A listener with a name of the kernel's choice. */
static int listener(int type)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

static void setup(void)
{
	struct wgw_diag diag = {.say = say};

	ck_assert_int_ge(sodium_init(), 0);
	config = wgw_config_parse("test", file, strlen(file), false, &diag);
	ck_assert_ptr_nonnull(config);
	settings = wgw_settings_text(config, 1420, 0);
	boot = (struct wgw_tunnel_boot){
		.config = config,
		.settings = settings,
		.mtu = 1420,
		.endpoints = endpoints,
		.n_endpoints = n_endpoints,
		.stream = {listener(SOCK_STREAM), listener(SOCK_STREAM)},
		.sequenced = {listener(SOCK_SEQPACKET), listener(SOCK_SEQPACKET)},
		.pcap = -1,
		.linger_ms = 200,
	};
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	boot.ready = ready[1];
}

static void teardown(void)
{
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	wgw_config_free(config);
	free(settings);
}

/* Starts the process; @prepare runs in it first. Returns what it reports: "" is success. */
static const char *start(void (*prepare)(void))
{
	static char text[512];
	struct pollfd p = {.fd = ready[0], .events = POLLIN};
	ssize_t n;

	fflush(stdout);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (prepare)
			prepare();
		wgw_tunnel_main(&boot);
	}
	close(ready[1]);
	ck_assert_int_eq(poll(&p, 1, 120000), 1);
	n = read(ready[0], text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	return text;
}

/* The value of @name in /proc/PID/status. */
static void status_value(const char *name, char *out, size_t room)
{
	char path[64], line[256];
	FILE *f;

	out[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			snprintf(out, room, "%s",
				 line + strlen(name) + 1 + strspn(line + strlen(name) + 1, "\t "));
	fclose(f);
	out[strcspn(out, "\n")] = '\0';
}

static long status_number(const char *name)
{
	char text[64];

	status_value(name, text, sizeof(text));
	ck_assert_msg(text[0] != '\0', "no %s", name);
	return strtol(text, NULL, 0);
}

static int text_fd(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

/* Opens a session over the first sequenced listener. Returns its channel. */
static int open_session(void)
{
	struct wgw_channel_msg msg = {
		.magic = WGW_WIRE_MAGIC, .version = WGW_WIRE_VERSION, .code = WGW_CH_OPEN};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = {.bytes = {0}};
	int fds[2] = {text_fd(settings), text_fd("dns-mode refuse\n")};
	struct iovec iov = {&msg, sizeof(msg)};
	struct msghdr h = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	struct sockaddr_un sun;
	socklen_t len = sizeof(sun);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(getsockname(boot.sequenced[0], (struct sockaddr *)&sun, &len), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sun, len), 0);
	control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(fds)),
					 .cmsg_level = SOL_SOCKET,
					 .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.align), fds, sizeof(fds));
	memset(msg.u.open.token, 7, sizeof(msg.u.open.token));
	ck_assert_int_eq(sendmsg(fd, &h, 0), sizeof(msg));
	ck_assert_int_gt(recv(fd, &msg, sizeof(msg), 0), 0);
	ck_assert_uint_eq(msg.code, WGW_CH_OPENED);
	ck_assert_msg(msg.err == 0, "%s: %s", strerror(msg.err), msg.u.opened.text);
	ck_assert_int_eq(msg.u.opened.pid, pid);
	close(fds[0]);
	close(fds[1]);
	return fd;
}

static void expect_exit(int code)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	pid = 0;
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == code, "status %#x", status);
}

/* SIGPIPE and SIGXFSZ alone are ignored; libc's own signals 32 and 33 cannot be set and are as
 * inherited. */
static void assert_dispositions(void)
{
	const uint64_t ignored = UINT64_C(1) << (SIGPIPE - 1) | UINT64_C(1) << (SIGXFSZ - 1);
	char text[64];

	status_value("SigIgn", text, sizeof(text));
	ck_assert_uint_eq(strtoull(text, NULL, 16) & ~UINT64_C(0x180000000), ignored);
}

START_TEST(process_is_a_clean_confined_daemon)
{
	char text[64];

	ck_assert_str_eq(start(NULL), "");
	status_value("Umask", text, sizeof(text));
	ck_assert_str_eq(text, "0077");
	ck_assert_int_eq(status_number("Threads"), 1);
	ck_assert_int_eq(status_number("NoNewPrivs"), 1);
	status_value("SigBlk", text, sizeof(text));
	ck_assert_str_eq(text, "0000000000000000");
	assert_dispositions();
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_eq(status_number("Seccomp"), 2);
#endif
}
END_TEST

static void leave_a_mess(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	signal(SIGHUP, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	umask(0);
	for (int i = 0; i < 100; i++)
		dup(ready[0]);
}

static unsigned int open_descriptors(bool *known)
{
	char path[64];
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		char target[64];

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
		if (readlink(path, target, sizeof(target)) >= 0)
			n++;
		else if (errno == EACCES || errno == EPERM)
			*known = false;
	}
	return n;
}

START_TEST(what_the_parent_left_open_blocked_or_ignored_is_cleaned_up)
{
	char text[64];
	bool known = true;
	unsigned int n;

	ck_assert_str_eq(start(leave_a_mess), "");
	status_value("SigBlk", text, sizeof(text));
	ck_assert_str_eq(text, "0000000000000000");
	assert_dispositions();
	n = open_descriptors(&known);
	if (!known)
		printf("skipped: only root sees the descriptors of a process that cannot be "
		       "dumped\n");
	else
		ck_assert_uint_lt(n, 48); /* of these 18 for handshake messages */
}
END_TEST

static void close_stdio_and_lower_limits(void)
{
	const struct rlimit few = {64, 64};
	int *const fds[] = {&boot.ready, &boot.stream[0], &boot.sequenced[0]};

	/* The descriptors that matter are where /dev/null will be. */
	for (int i = 0; i < 3; i++) {
		dup2(*fds[i], i);
		*fds[i] = i;
	}
	setrlimit(RLIMIT_NOFILE, &few);
}

START_TEST(it_starts_without_stdio_and_with_few_descriptors)
{
	int fd;

	ck_assert_str_eq(start(close_stdio_and_lower_limits), "");
	fd = open_session();
	close(fd);
}
END_TEST

START_TEST(port_in_use_is_reported_in_a_sentence)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const char *text;

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	boot.listen_port = ntohs(in.sin_port);
	text = start(NULL);
	ck_assert_msg(strstr(text, "in use") != NULL, "%s", text);
	expect_exit(1);
}
END_TEST

START_TEST(own_public_key_as_a_peer_is_reported_in_a_sentence)
{
	const char *text;

	crypto_scalarmult_base(config->peers[0].public_key, config->private_key);
	text = start(NULL);
	ck_assert_msg(strstr(text, "public key") != NULL, "%s", text);
	expect_exit(1);
}
END_TEST

START_TEST(it_ends_after_its_last_session_and_the_linger)
{
	int fd;

	ck_assert_str_eq(start(NULL), "");
	fd = open_session();
	usleep(2 * 200 * 1000);
	ck_assert_int_eq(kill(pid, 0), 0);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	close(fd);
	expect_exit(0);
}
END_TEST

START_TEST(idle_process_is_small_and_sleeps)
{
	long before, after = -1;
	int fd;

	ck_assert_str_eq(start(NULL), "");
	fd = open_session();
	for (int tries = 0; tries < 100; tries++) { /* the start has to end first */
		before = after;
		after = status_number("voluntary_ctxt_switches");
		if (after == before)
			break;
		usleep(500 * 1000);
	}
	ck_assert_int_eq(after, before);
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_lt(status_number("VmRSS"), 8 * 1024); /* KiB */
#endif
	close(fd);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tunnel_start");
	TCase *c = tcase_create("process");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 180);
	tcase_add_test(c, process_is_a_clean_confined_daemon);
	tcase_add_test(c, what_the_parent_left_open_blocked_or_ignored_is_cleaned_up);
	tcase_add_test(c, it_starts_without_stdio_and_with_few_descriptors);
	tcase_add_test(c, port_in_use_is_reported_in_a_sentence);
	tcase_add_test(c, own_public_key_as_a_peer_is_reported_in_a_sentence);
	tcase_add_test(c, it_ends_after_its_last_session_and_the_linger);
	tcase_add_test(c, idle_process_is_small_and_sleeps);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
