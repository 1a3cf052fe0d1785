/* SPDX-License-Identifier: MIT */
/* test_session_parts.c - runtime directory, policy, options, descriptors, other versions */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/descriptors.h"
#include "src/control/control.h"
#include "src/session/channel.h"
#include "src/session/inherit.h"
#include "src/session/launch.h"
#include "src/session/notify.h"
#include "src/session/run.h"
#include "src/session/rundir.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/session_files.h"

/* ---- watchdog ---- */

static uint64_t watchdog_of(const char *usec, const char *pid)
{
	setenv("WATCHDOG_USEC", usec, 1);
	setenv("WATCHDOG_PID", pid, 1);
	return wgw_notify_watchdog_ns();
}

/* sd_watchdog_enabled(3): within half of the time, and by the process that is named only */
START_TEST(watchdog_is_told_in_half_of_its_time)
{
	char self[16];

	snprintf(self, sizeof(self), "%d", (int)getpid());
	ck_assert_uint_eq(watchdog_of("60000000", self), UINT64_C(30000000000));
	ck_assert_uint_eq(watchdog_of("60000000", "1"), 0);
	ck_assert_uint_eq(watchdog_of("0", self), 0);
	ck_assert_uint_eq(watchdog_of("", self), 0);
	ck_assert_uint_eq(watchdog_of("60000000s", self), 0);
	/* two hours have more microseconds than 32 bits hold */
	ck_assert_uint_gt(watchdog_of("7200000000", self), 0);
	ck_assert_uint_le(watchdog_of("7200000000", self), UINT64_C(3600000000000));
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	ck_assert_uint_eq(wgw_notify_watchdog_ns(), 0);
}
END_TEST

/* ---- runtime directory ---- */

/** only_candidate() - makes @path the first directory to be tried */
static void only_candidate(const char *path)
{
	setenv("WGWRAP_RUNTIME_DIR", path, 1);
}

START_TEST(rundir_is_made_private)
{
	struct wgw_rundir rd;
	struct stat st;

	only_candidate(path_in("run"));
	wgw_rundir_open(&rd);
	ck_assert_str_eq(rd.path, path_in("run"));
	ck_assert_int_eq(fstat(rd.fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	close(rd.fd);
	/* one that others may enter is closed to them */
	ck_assert_int_eq(chmod(rd.path, 0755), 0);
	wgw_rundir_open(&rd);
	ck_assert_str_eq(rd.path, path_in("run"));
	ck_assert_int_eq(fstat(rd.fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	close(rd.fd);
}
END_TEST

START_TEST(rundir_leaves_what_is_everybodys)
{
	static const mode_t modes[] = {01777, 0777, 01755};
	struct wgw_rundir rd;
	struct stat st;

	ck_assert_int_eq(mkdir(path_in("tmp"), 0700), 0);
	ck_assert_int_eq(chmod(path_in("tmp"), modes[_i]), 0);
	only_candidate(path_in("tmp"));
	wgw_rundir_open(&rd);
	ck_assert_str_ne(rd.path, path_in("tmp"));
	ck_assert_int_eq(stat(path_in("tmp"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, modes[_i]);
	if (rd.fd >= 0)
		close(rd.fd);
}
END_TEST

START_TEST(rundir_refuses_what_is_not_ours)
{
	struct wgw_rundir rd;
	char long_name[128];

	mkdir(path_in("target"), 0700);
	ck_assert_int_eq(symlink(path_in("target"), path_in("link")), 0);
	only_candidate(path_in("link"));
	wgw_rundir_open(&rd);
	ck_assert_str_ne(rd.path, path_in("link"));
	make_file("file", "", 0, 0600);
	only_candidate(path_in("file"));
	wgw_rundir_open(&rd);
	ck_assert_str_ne(rd.path, path_in("file"));
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	only_candidate(path_in(long_name));
	wgw_rundir_open(&rd);
	ck_assert_ptr_null(strstr(rd.path, "xxx"));
	only_candidate("relative");
	wgw_rundir_open(&rd);
	ck_assert_str_ne(rd.path, "relative");
	if (geteuid() == 0) {
		mkdir(path_in("squatted"), 0700);
		ck_assert_int_eq(chown(path_in("squatted"), 1, 1), 0);
		only_candidate(path_in("squatted"));
		wgw_rundir_open(&rd);
		ck_assert_str_ne(rd.path, path_in("squatted"));
	}
}
END_TEST

START_TEST(who_starts_a_moment_after_another_waits)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
	int fd = open(path_in("x.lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(wgw_rundir_start_gap(fd), 0); /* nobody has started */
	ck_assert_int_eq(write(fd, "x", 1), 1);
	for (int i = 0; i < 100 && wgw_rundir_start_gap(fd) == 0; i++) /* kept from running */
		ck_assert_int_eq(futimens(fd, times), 0);
	ck_assert_uint_gt(wgw_rundir_start_gap(fd), 0);
	ck_assert_uint_le(wgw_rundir_start_gap(fd), 30 * 1000 * 1000);
	for (int i = 0; i < 2; i++) { /* long ago, or the clock was set back */
		clock_gettime(CLOCK_REALTIME, &times[1]);
		times[1].tv_sec += i ? 1000 : -1;
		ck_assert_int_eq(futimens(fd, times), 0);
		ck_assert_uint_eq(wgw_rundir_start_gap(fd), 0);
	}
	close(fd);
}
END_TEST

START_TEST(sweep_removes_only_what_is_dead)
{
	static const char dead[] = "00000000000000aa", held[] = "00000000000000bb",
			  own[] = "00000000000000cc";
	static const char *const names[] = {dead, held, own};
	struct wgw_rundir rd;
	int lock;

	only_candidate(path_in("run"));
	wgw_rundir_open(&rd);
	for (size_t i = 0; i < 3; i++) {
		lock = wgw_rundir_lock(&rd, names[i], true);
		ck_assert_int_ge(lock, 0);
		close(lock);
	}
	make_file("run/00000000000000aa.q", "", 0, 0600);
	make_file("run/something.lock", "", 0, 0600);
	lock = wgw_rundir_lock(&rd, held, true);
	/* flock belongs to the open file, so this process is refused like another */
	ck_assert_int_eq(wgw_rundir_lock(&rd, held, false), -EWOULDBLOCK);
	wgw_rundir_sweep(&rd, own);
	ck_assert_int_ne(access(path_in("run/00000000000000aa.lock"), F_OK), 0);
	ck_assert_int_ne(access(path_in("run/00000000000000aa.q"), F_OK), 0);
	ck_assert_int_eq(access(path_in("run/00000000000000bb.lock"), F_OK), 0);
	ck_assert_int_eq(access(path_in("run/00000000000000cc.lock"), F_OK), 0);
	ck_assert_int_eq(access(path_in("run/something.lock"), F_OK), 0);
	close(lock);
	close(rd.fd);
}
END_TEST

/* ---- policy ---- */

/** policy_of() - policy text of a file with @interface lines and @allowed; static storage */
static const char *policy_of(const char *interface, const char *allowed,
			     const struct wgw_run_options *options)
{
	static char kept[8192];
	struct wgw_diag diag = {0};
	struct wgw_config *config;
	char text[1024], *policy;

	snprintf(text, sizeof(text),
		 "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n"
		 "Address = 10.9.0.2/32\n%s\n[Peer]\n"
		 "PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\nAllowedIPs = %s\n",
		 interface, allowed);
	config = wgw_config_parse("test", text, strlen(text), false, &diag);
	ck_assert_ptr_nonnull(config);
	policy = wgw_policy_text(options, config);
	ck_assert_ptr_nonnull(policy);
	snprintf(kept, sizeof(kept), "%s", policy);
	free(policy);
	wgw_config_free(config);
	return kept;
}

#define HAS(text, line)	  ck_assert_msg(strstr(text, line), "'%s' is not in:\n%s", line, text)
#define LACKS(text, line) ck_assert_msg(!strstr(text, line), "'%s' is in:\n%s", line, text)

START_TEST(policy_chooses_dns)
{
	struct wgw_run_options o = {0};
	struct wgw_prefix server;
	const char *p;

	HAS(policy_of("", "10.0.0.0/8", &o), "dns-mode system\n");
	HAS(policy_of("", "0.0.0.0/0", &o), "dns-mode refuse\n");
	HAS(policy_of("", "10.0.0.0/8, ::/0", &o), "dns-mode refuse\n");
	HAS(policy_of("", "0.0.0.0/1, 128.0.0.0/1", &o), "dns-mode refuse\n");
	p = policy_of("DNS = 10.0.0.53, corp.example", "0.0.0.0/0", &o);
	HAS(p, "dns-mode tunnel\ndns 10.0.0.53\nsearch corp.example\n");
	o.dns_mode = WGW_DNS_SYSTEM;
	p = policy_of("DNS = 10.0.0.53", "0.0.0.0/0", &o);
	HAS(p, "dns-mode system\n");
	LACKS(p, "\ndns 10.0.0.53");
	o.dns_mode = WGW_DNS_SERVERS;
	ck_assert_int_eq(wgw_prefix_parse("fd00::53", &server, NULL), 0);
	wgw_prefixes_add(&o.dns, &server);
	p = policy_of("DNS = 10.0.0.53", "0.0.0.0/0", &o);
	HAS(p, "dns-mode tunnel\ndns fd00::53\n");
	LACKS(p, "\ndns 10.0.0.53");
	wgw_prefixes_free(&o.dns);
}
END_TEST

START_TEST(policy_lists_direct_destinations)
{
	struct wgw_run_options o = {.verbosity = -1};
	struct wgw_prefix net;
	const char *p;

	ck_assert_int_eq(wgw_prefix_parse("192.168.7.0/24", &net, NULL), 0);
	wgw_prefixes_add(&o.direct, &net);
	p = policy_of("#@wgwrap:Direct = 172.16.0.0/12", "0.0.0.0/0\nDisallowedIPs = 10.1.0.0/16",
		      &o);
	HAS(p, "direct 127.0.0.0/8\n");
	HAS(p, "direct ::1/128\n");
	HAS(p, "direct 172.16.0.0/12\n");
	HAS(p, "direct 10.1.0.0/16\n");
	HAS(p, "direct 192.168.7.0/24\n");
	HAS(p, "system-resolver 127.0.0.53\n");
	HAS(p, "verbose 0\n");
	o.verbosity = 0;
	HAS(policy_of("", "10.0.0.0/8", &o), "verbose 1\n");
	o.verbosity = 2;
	HAS(policy_of("", "10.0.0.0/8", &o), "verbose 2\n");
	wgw_prefixes_free(&o.direct);
}
END_TEST

/** host_resolvers_are() - puts @text in the place of the host's resolv.conf, for this process. False: it
 * may not, which is said */
static bool host_resolvers_are(const char *text)
{
	const char *file = make_file("resolv.conf", text, strlen(text), 0600);

	if ((unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS)) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount(file, "/etc/resolv.conf", NULL, MS_BIND, NULL)) {
		printf("skipped: resolv.conf cannot be another here: %s\n", strerror(errno));
		return false;
	}
	return true;
}

/* What a program asks that reads resolv.conf itself: resolv.conf(5), nameserver */
START_TEST(policy_lists_the_hosts_resolvers)
{
	static const struct {
		const char *file;
		bool first, loopback;
	} cases[] = {
		{"nameserver 192.0.2.53\nnameserver fe80::53%eth0\n", true, false},
		{"search example.com\noptions edns0\n", false, true},
		{"nameserver nonsense\n", false, true},
	};
	const struct wgw_run_options o = {0};
	const char *p;

	if (!host_resolvers_are(cases[_i].file))
		return;
	p = policy_of("", "10.0.0.0/8", &o);
	HAS(p, "system-resolver 127.0.0.53\nsystem-resolver 127.0.0.54\n");
	ck_assert(!strstr(p, "system-resolver 192.0.2.53\nsystem-resolver fe80::53\n") !=
		  cases[_i].first);
	ck_assert(!strstr(p, "system-resolver 127.0.0.1\n") != cases[_i].loopback);
}
END_TEST

/** launch_of() - what starts a tunnel of a file with @interface lines */
static void launch_of(struct wgw_launch *l, const struct wgw_run_options *options,
		      const char *interface)
{
	struct wgw_diag diag = {0};
	char text[1024];

	snprintf(text, sizeof(text),
		 "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n"
		 "Address = 10.9.0.2/32\n%s\n",
		 interface);
	*l = (struct wgw_launch){.options = options, .dir.fd = -1};
	l->config = wgw_config_parse("test", text, strlen(text), false, &diag);
	ck_assert_ptr_nonnull(l->config);
	l->settings = wgw_settings_text(l->config, 1420, l->config->listen_port);
	l->policy = wgw_policy_text(options, l->config);
	l->listen_port = l->config->listen_port;
}

START_TEST(a_reload_changes_settings_and_policy_together)
{
	struct wgw_run_options o = {0};
	struct wgw_launch l, fresh;
	struct wgw_config *old;

	launch_of(&l, &o, "DNS = 10.0.0.53\nListenPort = 1111");
	launch_of(&fresh, &o,
		  "DNS = 10.0.0.54\nListenPort = 2222\n#@wgwrap:Direct = 172.16.0.0/12");
	strcpy(fresh.name, "00000000000000bb");
	old = l.config;
	wgw_launch_follow(&l, &fresh);
	wgw_config_free(old);
	wgw_launch_free(&fresh);
	HAS(l.settings, "2222");
	HAS(l.policy, "dns 10.0.0.54\n");
	LACKS(l.policy, "10.0.0.53");
	HAS(l.policy, "direct 172.16.0.0/12\n");
	ck_assert_str_eq(l.name, "00000000000000bb");
	ck_assert_uint_eq(l.listen_port, 2222);
	wgw_config_free(l.config);
	wgw_launch_free(&l);
}
END_TEST

/* ---- descriptors ---- */

/* The options of @text, a line each, read into @o, give @text again. */
static void options_are_kept(char **lines, size_t n, struct wgw_run_options *o)
{
	ck_assert_int_eq(wgw_options_take(lines, n, o), 0);
	ck_assert(wgw_options_are(lines, n, o));
	for (size_t i = 0; i < n; i++)
		ck_assert(!wgw_options_are(lines, i, o));
	free(o->endpoint_host);
	free(o->routes);
}

START_TEST(options_are_told_and_taken_again)
{
	struct wgw_run_options none = {.listen_port = -1, .family = AF_UNSPEC}, o = none;
	char *all[] = {"--exit-node=the office",
		       "--route=10.0.0.0/8:tcp:1-9=a=b",
		       "--route=::/0=x",
		       "--endpoint=[fd00::1]:5",
		       "--mtu=1280",
		       "--listen-port=0",
		       "--ipv6",
		       "--lenient"};
	char *few[] = {"--endpoint=peer.example:51820", "--ipv4"};
	static char *const bad[] = {"--mtu",
				    "--mtu=x",
				    "--mtu=65536",
				    "--listen-port=-1",
				    "--ipv5",
				    "--endpoint=x",
				    "--exit-nodes=a",
				    "--e=a",
				    "",
				    "="};

	options_are_kept(all, sizeof(all) / sizeof(*all), &o);
	o = none;
	options_are_kept(few, sizeof(few) / sizeof(*few), &o);
	ck_assert(wgw_options_are(NULL, 0, &none));
	ck_assert(!wgw_options_are(few, 2, &none));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		o = none;
		ck_assert_msg(wgw_options_take(&bad[i], 1, &o) == -EINVAL, "%s", bad[i]);
		free(o.endpoint_host);
	}
}
END_TEST

START_TEST(close_others_keeps_what_is_listed)
{
	int fds[6];

	for (int i = 0; i < 6; i++)
		fds[i] = fcntl(0, F_DUPFD, 100 + 10 * i);
	wgw_close_others((int[]){fds[4], -1, fds[1], fds[1]}, 4);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(fcntl(fds[i], F_GETFD) >= 0, i == 1 || i == 4);
	ck_assert_int_ge(fcntl(2, F_GETFD), 0);
}
END_TEST

START_TEST(inherited_sockets_are_found)
{
	int tcp = socket(AF_INET, SOCK_STREAM, 0), local[2];
	static const char *const counts[] = {"2147483647", "4294967296", "99999999999999999999"};
	struct wgw_run_options o = {.keep_fds = &tcp};
	struct wgw_inherited in;
	char pid[16];

	if (tcp < 0)
		return; /* this test itself runs in a tunnel */
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, local), 0);
	ck_assert_int_eq(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0, 1);
	ck_assert_int_eq(wgw_inherited_take(&in), 0);
	ck_assert_int_eq(wgw_inherited_check(&in, &o), 0);
	ck_assert_uint_eq(in.n_close, 1);
	ck_assert_int_eq(in.close[0], tcp);
	free(in.close);
	o.n_keep_fds = 1;
	ck_assert_int_eq(wgw_inherited_take(&in), 0);
	ck_assert_int_eq(wgw_inherited_check(&in, &o), 0);
	ck_assert_uint_eq(in.n_close, 0);
	/* as one of systemd's it would be missed, however many there are said to be */
	o.n_keep_fds = 0;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		setenv("LISTEN_FDS", counts[i], 1);
		ck_assert_int_eq(wgw_inherited_check(&in, &o), -1);
	}
	unsetenv("LISTEN_PID");
	/* on standard input, too */
	ck_assert_int_eq(dup2(tcp, 0), 0);
	ck_assert_int_eq(wgw_inherited_check(&in, &o), -1);
}
END_TEST

START_TEST(message_of_another_version_is_said_with_both_versions)
{
	struct wgw_channel_msg msg;
	char text[512] = "", both[2][32];
	int pair[2], said[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	ck_assert_int_eq(pipe(said), 0);
	ck_assert_int_eq(dup2(said[1], STDERR_FILENO), STDERR_FILENO);
	wgw_channel_prepare(&msg, WGW_CH_OPENED);
	msg.version += 3;
	ck_assert_int_eq(wgw_channel_send(pair[0], &msg, NULL, 0), 0);
	ck_assert_int_eq(wgw_channel_receive(pair[1], &msg, 0), -EPROTO);
	ck_assert_int_gt(read(said[0], text, sizeof(text) - 1), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(both[i], sizeof(both[i]), "version %d", WGW_WIRE_VERSION + 3 * i);
		ck_assert_ptr_nonnull(strstr(text, both[i]));
	}
}
END_TEST

/** answer_once() - a tunnel process of another version, at @name; the listener's process */
static pid_t answer_once(const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), fd;
	struct wgw_channel_msg msg;
	pid_t pid;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s.q", dir, name);
	ck_assert(bind(listener, (void *)&sun, sizeof(sun)) == 0 && listen(listener, 1) == 0);
	pid = fork();
	if (pid == 0) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0 || recv(fd, &msg, sizeof(msg), 0) <= 0)
			_exit(1);
		wgw_channel_prepare(&msg, WGW_CH_OPENED);
		msg.version += 3;
		_exit(wgw_channel_send(fd, &msg, NULL, 0) ? 2 : 0);
	}
	return pid;
}

START_TEST(a_reload_of_another_versions_tunnel_says_so_and_leaves_it)
{
	struct wgw_run_options o = {0};
	struct wgw_launch l;
	char text[1024] = "";
	int said[2], status;
	pid_t pid;

	launch_of(&l, &o, "");
	strcpy(l.name, "00000000000000aa");
	strcpy(l.dir.path, dir);
	pid = answer_once(l.name);
	ck_assert_int_eq(pipe(said), 0);
	ck_assert_int_eq(dup2(said[1], STDERR_FILENO), STDERR_FILENO);
	ck_assert_int_eq(wgw_reload(&l), -1);
	ck_assert_int_gt(read(said[0], text, sizeof(text) - 1), 0);
	HAS(text, "stays as it is");
	LACKS(text, strerror(EPROTO));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	wgw_config_free(l.config);
	wgw_launch_free(&l);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("session-parts");
	TCase *t = tcase_create("parts");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, watchdog_is_told_in_half_of_its_time);
	tcase_add_test(t, rundir_is_made_private);
	tcase_add_loop_test(t, rundir_leaves_what_is_everybodys, 0, 3);
	tcase_add_test(t, rundir_refuses_what_is_not_ours);
	tcase_add_test(t, who_starts_a_moment_after_another_waits);
	tcase_add_test(t, sweep_removes_only_what_is_dead);
	tcase_add_test(t, policy_chooses_dns);
	tcase_add_test(t, policy_lists_direct_destinations);
	tcase_add_loop_test(t, policy_lists_the_hosts_resolvers, 0, 3);
	tcase_add_test(t, a_reload_changes_settings_and_policy_together);
	tcase_add_test(t, options_are_told_and_taken_again);
	tcase_add_test(t, close_others_keeps_what_is_listed);
	tcase_add_test(t, inherited_sockets_are_found);
	tcase_add_test(t, message_of_another_version_is_said_with_both_versions);
	tcase_add_test(t, a_reload_of_another_versions_tunnel_says_so_and_leaves_it);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
