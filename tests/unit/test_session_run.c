/* SPDX-License-Identifier: MIT */
/*
 * test_session_run.c - wgw_run as its caller sees it, with a tunnel process that carries nothing
 *
 * wgw_run looks for libwgwrap.so next to the program. So the test runs from a temporary directory
 * (main copies it there), where some shared object of the system stands for it.
 */
#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "src/session/launch.h"
#include "src/session/run.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/session_fake.h"

static const char *dir; /* where this program runs from */
static struct wgw_run_options options;
static char config[PATH_MAX];
static pid_t front;

static const char file_text[] =
	"[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n"
	"Address = 10.9.0.2/32\n[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n"
	"AllowedIPs = 10.9.0.0/24\nEndpoint = 127.0.0.1:51820\n";

static const char *path_in(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], PATH_MAX, "%s/%s", dir, name);
	return path[turn];
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

/** text_of() - contents of @path, "" when it is not there; static storage */
static const char *text_of(const char *path)
{
	static char text[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void setup(void)
{
	static int round;
	char run[32];

	fake_setup();
	snprintf(run, sizeof(run), "run-%d-%d", (int)getpid(), round++);
	setenv("WGWRAP_RUNTIME_DIR", path_in(run), 1);
	snprintf(config, sizeof(config), "%s", path_in("peer.conf"));
	write_text(config, file_text);
	options = (struct wgw_run_options){
		.config = config, .wait_ms = 60000, .linger_ms = 60000, .listen_port = -1};
	unlink(path_in("out"));
	unlink(path_in("err"));
	unlink(path_in("note"));
	unlink(path_in("note.go"));
	setenv("NOTE", path_in("note"), 1);
}

/** start() - wgw_run of @argv in a process group of its own, output in files */
static void start(char **argv)
{
	front = fork();
	ck_assert_int_ge(front, 0);
	if (front == 0) {
		setpgid(0, 0);
		dup2(open(path_in("out"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), 1);
		dup2(open(path_in("err"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), 2);
		options.command = argv;
		_exit(wgw_run(&options));
	}
	setpgid(front, front);
}

static void start_shell(const char *script)
{
	start((char *[]){"sh", "-c", (char *)(uintptr_t)script, NULL});
}

static int finish(void)
{
	int status;

	ck_assert_int_eq(waitpid(front, &status, 0), front);
	return status;
}

static int shell(const char *script)
{
	start_shell(script);
	return finish();
}

#define EXITS(status, code)                                                                        \
	do {                                                                                       \
		int got_ = (status);                                                               \
		ck_assert_msg(WIFEXITED(got_) && WEXITSTATUS(got_) == (code),                      \
			      "wait status %#x, expected exit %d; %s", (unsigned int)got_, (code), \
			      text_of(path_in("err")));                                            \
	} while (0)
#define SAYS(word)                                                                                 \
	ck_assert_msg(strstr(text_of(path_in("err")), (word)), "'%s' is not in: %s", (word),       \
		      text_of(path_in("err")))
/* waits up to a minute; what has been true once may be over when it is looked at again */
#define EVENTUALLY(condition)                                                                      \
	do {                                                                                       \
		int left_ = 3000;                                                                  \
		while (!(condition) && left_-- > 0)                                                \
			usleep(20000);                                                             \
		ck_assert_msg(left_ >= 0, "never: " #condition "; %s", text_of(path_in("err")));   \
	} while (0)

/* ---- the end of the command ---- */

START_TEST(status_is_the_commands)
{
	EXITS(shell("exit 0"), 0);
	EXITS(shell("exit 7"), 7);
	EXITS(shell("exit 255"), 255);
	ck_assert_str_eq(text_of(path_in("err")), "");
}
END_TEST

START_TEST(signal_is_raised_again)
{
	static const int signals[] = {SIGTERM, SIGKILL, SIGSEGV, SIGINT, SIGUSR1};
	char script[32];
	int status;

	snprintf(script, sizeof(script), "kill -%d $$", signals[_i]);
	status = shell(script);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == signals[_i], "wait status %#x",
		      (unsigned int)status);
	ck_assert(!WCOREDUMP(status));
}
END_TEST

START_TEST(what_cannot_be_executed_has_env_statuses)
{
	start((char *[]){"no-such-command-here", NULL});
	EXITS(finish(), 127);
	start((char *[]){"/etc/passwd", NULL});
	EXITS(finish(), 126);
	start((char *[]){(char *)(uintptr_t)dir, NULL});
	EXITS(finish(), 126);
	ck_assert_int_eq(seen->boots, 0);
}
END_TEST

START_TEST(front_waits_for_delivery)
{
	fake.flush_ms = 400;
	EXITS(shell("exit 3"), 3);
	ck_assert_int_eq(seen->flushed, 1);
}
END_TEST

START_TEST(delivery_is_bounded_by_linger)
{
	fake.flush_ms = NEVER;
	options.linger_ms = 200;
	EXITS(shell("exit 3"), 3);
	SAYS("--linger");
	ck_assert_int_eq(seen->flushed, 0);
}
END_TEST

START_TEST(the_session_is_over_before_the_front)
{
	int status;

	start_shell("echo up >$NOTE; until [ -e $NOTE.go ]; do sleep 0.05; done; exit 4");
	EVENTUALLY(strchr(text_of(path_in("note")), '\n'));
	kill(front, SIGSTOP);
	ck_assert_int_eq(waitpid(front, &status, WUNTRACED), front);
	write_text(path_in("note.go"), "");
	EVENTUALLY(seen->channels == 0);
	kill(front, SIGCONT);
	EXITS(finish(), 4);
}
END_TEST

START_TEST(daemons_keep_their_session)
{
	EXITS(shell("(trap '' HUP; until [ -e $NOTE.go ]; do sleep 0.05; done; echo gone >>$NOTE) "
		    ">/dev/null 2>&1 & exit 0"),
	      0);
	ck_assert_str_eq(text_of(path_in("note")), "");
	ck_assert_int_eq(seen->channels, 1);
	write_text(path_in("note.go"), "");
	EVENTUALLY(text_of(path_in("note"))[0]);
	EVENTUALLY(seen->channels == 0);
}
END_TEST

START_TEST(killing_the_front_kills_the_command)
{
	pid_t command;

	start_shell("echo $$ > $NOTE; exec sleep 300");
	EVENTUALLY(strchr(text_of(path_in("note")), '\n'));
	command = atoi(text_of(path_in("note")));
	kill(front, SIGKILL);
	finish();
	EVENTUALLY(kill(command, 0) < 0 && errno == ESRCH);
	EVENTUALLY(seen->channels == 0);
}
END_TEST

START_TEST(killing_the_supervisor_is_said)
{
	char name[64];

	start_shell("echo $PPID > $NOTE; exec sleep 300");
	EVENTUALLY(strchr(text_of(path_in("note")), '\n'));
	snprintf(name, sizeof(name), "/proc/%d/comm", atoi(text_of(path_in("note"))));
	EVENTUALLY(strcmp(text_of(name), "wgwrap-session\n") == 0);
	kill(atoi(text_of(path_in("note"))), SIGKILL);
	EXITS(finish(), 125);
	SAYS("supervisor was killed");
}
END_TEST

/* ---- what the command finds ---- */

START_TEST(command_gets_the_session)
{
	char token[2 * WGW_TOKEN_BYTES + 1], expected[256], *at;
	const char *out;

	setenv("LD_PRELOAD", "/lib/x/libwgwrap.so:", 1);
	setenv("WGWRAP_SESSION", "1:of:an:outer:session", 1);
	EXITS(shell("echo \"$WGWRAP_SESSION\"; echo \"$LD_PRELOAD\"; env | grep -c LD_PRELOAD="),
	      0);
	at = token;
	for (size_t i = 0; i < WGW_TOKEN_BYTES; i++)
		at += sprintf(at, "%02x", seen->token[i]);
	out = text_of(path_in("out"));
	snprintf(expected, sizeof(expected), "1:%s:", token);
	ck_assert_msg(strncmp(out, expected, strlen(expected)) == 0, "%s", out);
	ck_assert_msg(strstr(out, getenv("WGWRAP_RUNTIME_DIR")), "%s", out);
	snprintf(expected, sizeof(expected), "\n%s/libwgwrap.so\n1\n", dir);
	ck_assert_msg(strstr(out, expected), "'%s' is not in: %s", expected, out);
}
END_TEST

START_TEST(config_variable_does_not_reach_the_command)
{
	setenv("PEER_CONF", file_text, 1);
	options.config = "env:PEER_CONF";
	EXITS(shell("test -z \"${PEER_CONF+set}\" && ! grep -qa yAnz5TF /proc/$PPID/environ"), 0);
}
END_TEST

/** probe() - @argv run with a signal state of its own, natively or wrapped; output in a file */
static void probe(char **argv, bool wrapped)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;
	int status;
	pid_t pid = fork();

	if (pid > 0) {
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		EXITS(status, 0);
		return;
	}
	sigaction(SIGHUP, &ignore, NULL);
	sigaction(SIGCHLD, &ignore, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_SETMASK, &set, NULL);
	dup2(open(path_in(wrapped ? "wrapped" : "native"), O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
	options.command = argv;
	if (wrapped)
		_exit(wgw_run(&options));
	execvp(argv[0], argv);
	_exit(127);
}

START_TEST(signal_state_is_unchanged)
{
	char *argv[] = {"grep", "^Sig[BI]", "/proc/self/status", NULL}, native[512];

	probe(argv, false);
	snprintf(native, sizeof(native), "%.500s", text_of(path_in("native")));
	ck_assert_ptr_nonnull(strstr(native, "SigBlk"));
	probe(argv, true);
	ck_assert_str_eq(text_of(path_in("wrapped")), native);
}
END_TEST

START_TEST(descriptors_are_unchanged)
{
	char *argv[] = {"sh", "-c", "cd /proc/self/fd; echo *", NULL}, native[512];
	int extra = fcntl(0, F_DUPFD, 77);

	probe(argv, false);
	snprintf(native, sizeof(native), "%.500s", text_of(path_in("native")));
	ck_assert_ptr_nonnull(strstr(native, " 77"));
	probe(argv, true);
	ck_assert_str_eq(text_of(path_in("wrapped")), native);
	close(extra);
}
END_TEST

START_TEST(closed_stdio_stays_closed)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		for (int fd = 0; fd < 3; fd++)
			close(fd);
		options.command = (char *[]){
			"sh", "-c",
			"for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && exit 1; done; exit 5", NULL};
		_exit(wgw_run(&options));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	EXITS(status, 5);
}
END_TEST

START_TEST(readers_see_the_end_when_the_command_closes)
{
	char buf[16];
	int out[2];

	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	front = fork();
	if (front == 0) {
		dup2(out[1], 1);
		close(out[0]);
		close(out[1]);
		options.command = (char *[]){"sh", "-c", "exec >&-; sleep 300", NULL};
		_exit(wgw_run(&options));
	}
	close(out[1]);
	alarm(100); /* a reader that waits for the sleep is the failure */
	ck_assert_int_eq(read(out[0], buf, sizeof(buf)), 0);
	alarm(0);
	kill(front, SIGTERM);
	ck_assert_int_eq(WTERMSIG(finish()), SIGTERM);
}
END_TEST

/* ---- signals and job control ---- */

static const char count_script[] = "trap 'echo usr1 >> $NOTE' USR1; trap 'exit 4' TERM; "
				   "echo ready >> $NOTE; while :; do sleep 0.05; done";

START_TEST(signal_to_the_front_reaches_the_command)
{
	start_shell(count_script);
	EVENTUALLY(strstr(text_of(path_in("note")), "ready"));
	kill(front, SIGUSR1);
	EVENTUALLY(strstr(text_of(path_in("note")), "usr1"));
	kill(front, SIGTERM);
	EXITS(finish(), 4);
	ck_assert_str_eq(text_of(path_in("note")), "ready\nusr1\n");
}
END_TEST

START_TEST(signal_to_the_group_is_not_doubled)
{
	start_shell(count_script);
	EVENTUALLY(strstr(text_of(path_in("note")), "ready"));
	kill(-front, SIGUSR1);
	EVENTUALLY(strstr(text_of(path_in("note")), "usr1"));
	usleep(200000); /* a second copy would come within milliseconds */
	kill(front, SIGTERM);
	EXITS(finish(), 4);
	ck_assert_str_eq(text_of(path_in("note")), "ready\nusr1\n");
}
END_TEST

START_TEST(front_stops_and_continues_with_the_command)
{
	static const int signals[] = {SIGSTOP, SIGTSTP};
	char script[64];
	int status;

	snprintf(script, sizeof(script), "kill -%d $$; exit 6", signals[_i]);
	start_shell(script);
	ck_assert_int_eq(waitpid(front, &status, WUNTRACED), front);
	ck_assert_msg(WIFSTOPPED(status) && WSTOPSIG(status) == signals[_i], "wait status %#x",
		      (unsigned int)status);
	kill(front, SIGCONT);
	EXITS(finish(), 6);
}
END_TEST

static char state_of(pid_t pid)
{
	char name[64];
	const char *text;

	snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
	text = strrchr(text_of(name), ')');
	return text ? text[2] : '-';
}

/** start_stopped() - @script, which says its process id in $NOTE, is stopped, and the front with
 * it; that number */
static pid_t start_stopped(const char *script)
{
	pid_t command;
	int status;

	start_shell(script);
	EVENTUALLY(strchr(text_of(path_in("note")), '\n'));
	command = atoi(text_of(path_in("note")));
	kill(command, SIGSTOP);
	ck_assert_int_eq(waitpid(front, &status, WUNTRACED), front);
	ck_assert(WIFSTOPPED(status));
	return command;
}

static const char loop_script[] =
	"trap 'exit 6' TERM; echo $$ >$NOTE; while :; do sleep 0.02; done";

START_TEST(front_is_continued_with_the_command)
{
	pid_t command = start_stopped(loop_script);

	kill(command, SIGCONT);
	EVENTUALLY(state_of(front) == 'S');
	kill(command, SIGTERM);
	EXITS(finish(), 6);
}
END_TEST

START_TEST(front_ends_with_a_command_killed_while_stopped)
{
	kill(start_stopped(loop_script), SIGKILL);
	ck_assert_int_eq(WTERMSIG(finish()), SIGKILL);
}
END_TEST

START_TEST(a_continued_command_gets_one_sigcont)
{
	/* wait(1) runs a trap at once: of two signals that do not come together each counts */
	pid_t command =
		start_stopped("trap 'echo cont >>$NOTE' CONT; trap 'kill $!; exit 6' TERM;"
			      "sleep 60 & echo $$ >$NOTE; while kill -0 $!; do wait $!; done");
	char expected[32];

	snprintf(expected, sizeof(expected), "%d\ncont\n", (int)command);
	kill(_i ? -front : front, SIGCONT); /* the front alone, the group */
	EVENTUALLY(strstr(text_of(path_in("note")), "cont"));
	usleep(200000); /* a second one would come within milliseconds */
	ck_assert_str_eq(text_of(path_in("note")), expected);
	kill(command, SIGTERM);
	EXITS(finish(), 6);
}
END_TEST

START_TEST(many_stops_leave_front_and_command_in_one_state)
{
	pid_t command = start_stopped(loop_script);

	/* as cpulimit does */
	for (int i = 0; i < 200; i++) {
		kill(command, SIGCONT);
		usleep((useconds_t)(i % 5) * 1000);
		kill(command, SIGSTOP);
		usleep((useconds_t)(i % 7) * 500);
	}
	EVENTUALLY(state_of(front) == 'T' && state_of(command) == 'T');
	kill(-front, SIGCONT); /* as the shell's fg does */
	EVENTUALLY(state_of(front) == 'S' && state_of(command) != 'T');
	kill(command, SIGTERM);
	EXITS(finish(), 6);
}
END_TEST

/* ---- the tunnel process ---- */

START_TEST(sessions_share_a_tunnel_process)
{
	pid_t first;

	start_shell("exec sleep 300");
	first = front;
	EVENTUALLY(seen->opens == 1);
	EXITS(shell("exit 0"), 0);
	ck_assert_int_eq(seen->opens, 2);
	ck_assert_int_eq(seen->boots, 1);
	front = first;
	kill(front, SIGTERM);
	ck_assert_int_eq(WTERMSIG(finish()), SIGTERM);
}
END_TEST

START_TEST(other_settings_are_refused)
{
	fake.open_err = EBUSY;
	EXITS(shell("exit 0"), 125);
	SAYS("--join");
	SAYS("mtu 1420 is not mtu 1300");
}
END_TEST

START_TEST(failed_start_says_why)
{
	fake.boot_fails = true;
	EXITS(shell("exit 0"), 125);
	SAYS("wgwrap: no socket for the tunnel");
}
END_TEST

/* A UDP socket on loopback that never answers; *@port is its port. */
static int silent_socket(uint16_t *port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*port = ntohs(sin.sin_port);
	return fd;
}

START_TEST(silent_peer_is_diagnosed)
{
	int fd;

	fake.peer_silent = true;
	options.wait_ms = 200;
	options.endpoint_host = "127.0.0.1";
	fd = silent_socket(&options.endpoint_port);
	EXITS(shell("exit 0"), 125);
	SAYS("no answer from 127.0.0.1:");
	/* whose silence has the same look: timestamps before the greatest one it has seen */
	SAYS("clock of this host is behind");
	/* the public key of file_text's private key: what the peer has to know */
	SAYS("HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=");
	EVENTUALLY(seen->ends == 1);
	fake.datagrams = 4;
	EXITS(shell("exit 0"), 125);
	SAYS("something answers");
	options.wait_ms = 0;
	EXITS(shell("exit 9"), 9);
	close(fd);
}
END_TEST

/* what ICMP says of the endpoint, or this host does: 255.255.255.255 is refused to who does not ask for broadcasts */
START_TEST(refusing_peer_is_diagnosed)
{
	fake.peer_silent = true;
	options.wait_ms = 200;
	options.endpoint_host = "127.0.0.1";
	close(silent_socket(&options.endpoint_port));
	EXITS(shell("exit 0"), 125);
	SAYS("the host there says that nothing listens at this UDP port");
	options.endpoint_host = "255.255.255.255";
	EXITS(shell("exit 0"), 125);
	SAYS("this host or a router on the way says: ");
}
END_TEST

START_TEST(bad_endpoint_is_named)
{
	options.endpoint_host = "no-such-host.invalid";
	options.endpoint_port = 1;
	EXITS(shell("exit 0"), 125);
	SAYS("no-such-host.invalid");
	SAYS("does not resolve");
}
END_TEST

START_TEST(dead_tunnel_process_is_started_again)
{
	uint8_t token[WGW_TOKEN_BYTES], abstract[WGW_ABSTRACT_BYTES];

	start_shell("exec sleep 300");
	EVENTUALLY(seen->opens == 1);
	memcpy(token, seen->token, sizeof(token));
	memcpy(abstract, seen->abstract, sizeof(abstract));
	kill(seen->pid, SIGKILL);
	EVENTUALLY(seen->opens == 2);
	ck_assert_mem_eq(seen->token, token, sizeof(token));
	ck_assert_mem_eq(seen->abstract, abstract, sizeof(abstract));
	SAYS("the tunnel process ended");
	kill(front, SIGTERM);
	ck_assert_int_eq(WTERMSIG(finish()), SIGTERM);
	EVENTUALLY(seen->ends == 1);
}
END_TEST

START_TEST(no_restart_leaves_it_dead)
{
	options.no_restart = true;
	start_shell("until grep -q -e --no-restart ${NOTE%note}err; do sleep 0.05; done; exit 2");
	EVENTUALLY(seen->opens == 1);
	kill(seen->pid, SIGKILL);
	EXITS(finish(), 2);
	ck_assert_int_eq(seen->boots, 1);
	SAYS("--no-restart");
}
END_TEST

START_TEST(supervisor_answers_questions)
{
	int pair[2];
	struct stat st;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(fstat(pair[0], &st), 0);
	fake.ask = true;
	fake.inode[0] = st.st_ino;
	fake.inode[1] = UINT64_MAX;
	start_shell("exec sleep 300");
	EVENTUALLY(seen->scanned == 1 && seen->resolved == 1);
	ck_assert_uint_eq(seen->held & 3, 1);
	ck_assert_int_eq(seen->eai, 0);
	ck_assert_uint_ge(seen->n_addresses, 1);
	kill(front, SIGTERM);
	finish();
}
END_TEST

START_TEST(without_runtime_directory_the_tunnel_is_not_shared)
{
	/* what must hold here is that abstract names alone do */
	struct wgw_launch l = {.dir.fd = -1, .options = &options};
	struct wgw_diag diag = {0};
	int channel;

	l.config = wgw_config_parse("test", file_text, strlen(file_text), false, &diag);
	ck_assert_ptr_nonnull(l.config);
	l.settings = l.policy = "";
	channel = wgw_launch_channel(&l);
	ck_assert_int_ge(channel, 0);
	ck_assert_int_eq(wgw_channel_connect("", l.abstract) >= 0, 1);
	wgw_config_free(l.config);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("session-run");
	TCase *t = tcase_create("run");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_set_timeout(t, 180);
	tcase_add_test(t, status_is_the_commands);
	tcase_add_loop_test(t, signal_is_raised_again, 0, 5);
	tcase_add_test(t, what_cannot_be_executed_has_env_statuses);
	tcase_add_test(t, front_waits_for_delivery);
	tcase_add_test(t, delivery_is_bounded_by_linger);
	tcase_add_test(t, the_session_is_over_before_the_front);
	tcase_add_test(t, daemons_keep_their_session);
	tcase_add_test(t, killing_the_front_kills_the_command);
	tcase_add_test(t, killing_the_supervisor_is_said);
	tcase_add_test(t, command_gets_the_session);
	tcase_add_test(t, config_variable_does_not_reach_the_command);
	tcase_add_test(t, signal_state_is_unchanged);
	tcase_add_test(t, descriptors_are_unchanged);
	tcase_add_test(t, closed_stdio_stays_closed);
	tcase_add_test(t, readers_see_the_end_when_the_command_closes);
	tcase_add_test(t, signal_to_the_front_reaches_the_command);
	tcase_add_test(t, signal_to_the_group_is_not_doubled);
	tcase_add_loop_test(t, front_stops_and_continues_with_the_command, 0, 2);
	tcase_add_test(t, front_is_continued_with_the_command);
	tcase_add_test(t, front_ends_with_a_command_killed_while_stopped);
	tcase_add_loop_test(t, a_continued_command_gets_one_sigcont, 0, 2);
	tcase_add_test(t, many_stops_leave_front_and_command_in_one_state);
	tcase_add_test(t, sessions_share_a_tunnel_process);
	tcase_add_test(t, other_settings_are_refused);
	tcase_add_test(t, failed_start_says_why);
	tcase_add_test(t, silent_peer_is_diagnosed);
	tcase_add_test(t, refusing_peer_is_diagnosed);
	tcase_add_test(t, bad_endpoint_is_named);
	tcase_add_test(t, dead_tunnel_process_is_started_again);
	tcase_add_test(t, no_restart_leaves_it_dead);
	tcase_add_test(t, supervisor_answers_questions);
	tcase_add_test(t, without_runtime_directory_the_tunnel_is_not_shared);
	suite_add_tcase(s, t);
	return s;
}

/** move_to_temporary_directory() - starts this program again from there; its own name is argv[1] */
static void move_to_temporary_directory(char *self)
{
	char at[] = "/tmp/wgwrap-test-XXXXXX", command[PATH_MAX];

	if (!mkdtemp(at))
		exit(1);
	snprintf(command, sizeof(command),
		 "cp /proc/%d/exe %s/test && cp \"$(sed -n 's/.* \\(\\/.*libsodium.*\\)/\\1/p' "
		 "/proc/%d/maps | head -1)\" %s/libwgwrap.so",
		 (int)getpid(), at, (int)getpid(), at);
	if (system(command) == 0) {
		snprintf(command, sizeof(command), "%s/test", at);
		execv(command, (char *[]){self, at, NULL});
	}
	exit(1);
}

int main(int argc, char **argv)
{
	char command[PATH_MAX];
	int failed;

	if (argc < 2)
		move_to_temporary_directory(argv[0]);
	dir = argv[1];
	failed = run_suite(suite());
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command))
		failed++;
	return failed != 0;
}
