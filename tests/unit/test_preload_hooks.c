/* SPDX-License-Identifier: MIT */
/*
 * test_preload_hooks.c - the shim inside a program
 *
 * This program starts itself again with the built libwgwrap.so in LD_PRELOAD, as one of the roles
 * below; the test that does so is the tunnel process. A role returns 0 when it saw what it should.
 */
#include <check.h>
#include <dlfcn.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "tests/unit/fake_tunnel.h"
#include "tests/unit/run_suite.h"

extern char **environ;

static char self[256], shim[300];
static struct fake_tunnel tunnel;

#define NEED(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __func__, __LINE__, #condition,  \
				errno);                                                            \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

/* ---- roles: run with the shim ---- */

static struct sockaddr_in server(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(0x0a000001)};
}

static int role_connect(void)
{
	struct sockaddr_in to = server(443), in;
	socklen_t len = sizeof(in);
	char text[8];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int type = 0;
	pid_t child;
	int status;

	NEED(fd >= 0);
	NEED(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	NEED(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	NEED(getpeername(fd, (struct sockaddr *)&in, &len) == 0);
	NEED(in.sin_family == AF_INET && ntohs(in.sin_port) == 443);
	len = sizeof(type);
	NEED(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &type, &len) == 0 && type == AF_INET);
	/* A duplicate in another process is the same socket. */
	child = fork();
	if (child == 0) {
		fd = dup(fd);
		len = sizeof(in);
		if (getsockname(fd, (struct sockaddr *)&in, &len) < 0 ||
		    ntohs(in.sin_port) != 33333)
			_exit(1);
		_exit(write(fd, "child", 5) == 5 ? 0 : 1);
	}
	NEED(waitpid(child, &status, 0) == child && status == 0);
	NEED(recv(fd, text, sizeof(text), 0) == 5 && memcmp(text, "child", 5) == 0);
	NEED(close(fd) == 0);
	return 0;
}

static int role_refused_then_connected(void)
{
	struct sockaddr_in to = server(443);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int flags = fcntl(fd, F_GETFL);

	NEED(connect(fd, (struct sockaddr *)&to, sizeof(to)) == -1 && errno == ECONNREFUSED);
	NEED(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	NEED(fcntl(fd, F_GETFL) == flags);
	return 0;
}

static int role_datagrams(void)
{
	struct sockaddr_in to = server(7), from[2];
	char text[2][8];
	struct iovec iov[2] = {{text[0], 8}, {text[1], 8}};
	struct mmsghdr msgs[2] = {
		{.msg_hdr = {.msg_name = &from[0],
			     .msg_namelen = sizeof(from[0]),
			     .msg_iov = &iov[0],
			     .msg_iovlen = 1}},
		{.msg_hdr = {.msg_name = &from[1],
			     .msg_namelen = sizeof(from[1]),
			     .msg_iov = &iov[1],
			     .msg_iovlen = 1}},
	};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int waiting = -1;

	NEED(sendto(fd, "one", 3, 0, (struct sockaddr *)&to, sizeof(to)) == 3);
	NEED(sendto(fd, "three", 5, 0, (struct sockaddr *)&to, sizeof(to)) == 5);
	NEED(recv(fd, text[0], 8, MSG_PEEK) == 3); /* the parent echoes */
	NEED(ioctl(fd, FIONREAD, &waiting) == 0 && waiting == 3);
	NEED(ioctl(fd, SIOCOUTQ, &waiting) == 0 && waiting == 0);
	NEED(recvmmsg(fd, msgs, 2, 0, NULL) == 2);
	NEED(msgs[0].msg_len == 3 && msgs[1].msg_len == 5);
	NEED(from[1].sin_port == to.sin_port && from[1].sin_addr.s_addr == to.sin_addr.s_addr);
	return 0;
}

static int role_other_families(void)
{
	struct sockaddr_un nscd = {.sun_family = AF_UNIX, .sun_path = "/var/run/nscd/socket"};
	struct sockaddr_un mdns = {.sun_family = AF_UNIX,
				   .sun_path = "/var/run/avahi-daemon/socket"};
	struct sockaddr_nl nl = {.nl_family = AF_NETLINK};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	int pair[2];

	NEED(connect(fd, (struct sockaddr *)&nscd, sizeof(nscd)) == -1 && errno == ECONNREFUSED);
	NEED(connect(fd, (struct sockaddr *)&mdns, sizeof(mdns)) == -1 && errno == ECONNREFUSED);
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	NEED(send(pair[0], "x", 1, 0) == 1);
	fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	NEED(fd >= 0 && bind(fd, (struct sockaddr *)&nl, sizeof(nl)) == 0);
	NEED(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) == -1 && errno == EPERM);
	NEED(getsockname(0xfffff, (struct sockaddr *)&nl, &(socklen_t){sizeof(nl)}) == -1 &&
	     errno == EBADF);
	return 0;
}

static int role_names(void)
{
	struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM}, *list;
	struct sockaddr_in in = server(80);
	char host[64], service[16];
	struct hostent *entry;

	NEED(getaddrinfo("two.example", "80", &hints, &list) == 0);
	NEED(list->ai_family == AF_INET6 && list->ai_next && list->ai_next->ai_family == AF_INET);
	NEED(!list->ai_next->ai_next);
	NEED(strcmp(list->ai_canonname, "canonical.example") == 0);
	freeaddrinfo(list); /* libc's own */
	NEED(getaddrinfo("none.example", "80", &hints, &list) == EAI_NONAME);
	NEED(getnameinfo((struct sockaddr *)&in, sizeof(in), host, sizeof(host), service,
			 sizeof(service), NI_NUMERICSERV) == 0);
	NEED(strcmp(host, "reverse.example") == 0 && strcmp(service, "80") == 0);
	entry = gethostbyname("two.example");
	NEED(entry && entry->h_addrtype == AF_INET && entry->h_length == 4);
	NEED(memcmp(entry->h_addr_list[0], "\x0a\0\0\x05", 4) == 0 && !entry->h_addr_list[1]);
	NEED(!gethostbyname("none.example") && h_errno == HOST_NOT_FOUND);
	return 0;
}

static int role_has_session(void)
{
	return getenv(WGW_SESSION_ENV) && strstr(getenv("LD_PRELOAD"), "libwgwrap.so") ? 0 : 1;
}

static int wait_for(pid_t child)
{
	int status;

	return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}

static int vfork_keeps_the_session(char **argv, char **environment)
{
	pid_t child = vfork();

	if (child == 0) {
		execve(self, argv, environment);
		_exit(127);
	}
	return wait_for(child);
}

static int role_exec_keeps_the_session(void)
{
	char *argv[] = {self, (char *)"has_session", NULL};
	char *other[] = {(char *)"LD_PRELOAD=", (char *)"A=b", NULL}, *none[] = {NULL};
	pid_t child;

	NEED(vfork_keeps_the_session(argv, none) == 0);
	NEED(vfork_keeps_the_session(argv, other) == 0);
	NEED(posix_spawn(&child, self, NULL, NULL, argv, none) == 0);
	NEED(wait_for(child) == 0);
	NEED(posix_spawn(&child, self, NULL, NULL, argv, other) == 0);
	NEED(wait_for(child) == 0);
	clearenv();
	child = fork();
	if (child == 0) {
		execlp(self, self, "has_session", NULL);
		_exit(127);
	}
	return wait_for(child);
}

static int role_refused_without_session(void)
{
	NEED(socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == ENETDOWN);
	NEED(socket(AF_INET6, SOCK_DGRAM, 0) == -1 && errno == ENETDOWN);
	NEED(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
	return 0;
}

static void print_list(const struct addrinfo *list)
{
	char host[64];

	for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
		getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof(host), NULL, 0,
			    NI_NUMERICHOST);
		printf(" %d/%d/%d/%s/%d/%s", ai->ai_family, ai->ai_socktype, ai->ai_protocol, host,
		       ntohs(((const struct sockaddr_in *)ai->ai_addr)->sin_port),
		       ai->ai_canonname ? ai->ai_canonname : "-");
	}
	printf("\n");
}

/* Everything getaddrinfo can decide without asking anyone. */
static int role_print_addrinfo(void)
{
	static const char *const nodes[] = {NULL,    "127.0.0.1", "::1",    "::ffff:1.2.3.4",
					    "1.2.3", "fe80::1%1", "::1%lo", "0x7f000001"};
	static const char *const services[] = {NULL,	 "80",	"http", "0",	"domain",
					       "nosuch", " 80", "",	"70000"};
	static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6, 7};
	static const int types[] = {0, SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET};
	static const int protocols[] = {0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	static const int flags[] = {AI_NUMERICHOST,
				    AI_NUMERICHOST | AI_PASSIVE,
				    AI_NUMERICHOST | AI_CANONNAME,
				    AI_NUMERICHOST | AI_NUMERICSERV,
				    AI_NUMERICHOST | AI_V4MAPPED,
				    0x4000};
	struct addrinfo hints = {0}, *list;

	for (unsigned int i = 0; i < 8 * 9 * 4 * 5 * 4 * 6; i++) {
		unsigned int at = i;
		const char *node = nodes[at % 8], *service = services[(at /= 8) % 9];
		int eai;

		hints.ai_family = families[(at /= 9) % 4];
		hints.ai_socktype = types[(at /= 4) % 5];
		hints.ai_protocol = protocols[(at /= 5) % 4];
		hints.ai_flags = flags[(at /= 4) % 6];
		eai = getaddrinfo(node, service, &hints, &list);
		printf("%s %s %d %d %d %x: %d", node ? node : "-", service ? service : "-",
		       hints.ai_family, hints.ai_socktype, hints.ai_protocol,
		       (unsigned int)hints.ai_flags, eai);
		print_list(eai ? NULL : list);
		if (!eai)
			freeaddrinfo(list);
	}
	return 0;
}

/* ---- a thread that calls a hook while the shim starts ---- */

#define TWO_STARTERS_ENV "WGWRAP_TEST_TWO_STARTERS"

static atomic_int starters;
static atomic_bool is_started;
static pthread_t starter;

static void *call_a_hook(void *arg)
{
	int type;
	socklen_t len = sizeof(type);

	(void)arg;
	getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &len);
	return NULL;
}

/* The shim calls it in the middle of its start: there the first one waits until another is as far,
 * which goes on when the first has finished. */
__attribute__((visibility("default"))) void *dlopen(const char *file, int mode)
{
	void *(*next)(const char *, int);
	void *function = dlsym(RTLD_NEXT, "dlopen");
	int number = getenv(TWO_STARTERS_ENV) ? ++starters : 0;

	if (number == 1 && pthread_create(&starter, NULL, call_a_hook, NULL) == 0) {
		while (starters < 2)
			sched_yield();
	}
	while (number == 2 && !is_started)
		sched_yield();
	memcpy(&next, &function, sizeof(next));
	return next(file, mode);
}

static int role_started_twice(void)
{
	struct sockaddr_un any = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	is_started = true;
	pthread_join(starter, NULL);
	NEED(starters == 2);
	NEED(bind(fd, (struct sockaddr *)&any, sizeof(sa_family_t)) == 0 && listen(fd, 1) == 0);
	NEED(accept(fd, NULL, NULL) == -1 && errno == EAGAIN);
	return role_has_session();
}

static const struct {
	const char *name;
	int (*run)(void);
} roles[] = {
	{"connect", role_connect},
	{"refused_then_connected", role_refused_then_connected},
	{"datagrams", role_datagrams},
	{"other_families", role_other_families},
	{"names", role_names},
	{"has_session", role_has_session},
	{"exec_keeps_the_session", role_exec_keeps_the_session},
	{"refused_without_session", role_refused_without_session},
	{"print_addrinfo", role_print_addrinfo},
	{"started_twice", role_started_twice},
};

/* ---- tests: run without it ---- */

static void set_up(void)
{
	fake_start(&tunnel);
}

static void tear_down(void)
{
	fake_stop(&tunnel);
}

/* Starts a role; @output: where its standard output goes, or -1. */
static pid_t start_role(const char *role, const char *session, bool preload, int output)
{
	pid_t child = fork();

	if (child != 0)
		return child;
	if (output >= 0)
		dup2(output, 1);
	if (preload)
		setenv("LD_PRELOAD", shim, 1);
	if (session)
		setenv(WGW_SESSION_ENV, session, 1);
	else
		unsetenv(WGW_SESSION_ENV);
	execl(self, self, role, NULL);
	_exit(126);
}

static void finish_role(pid_t child)
{
	int status;

	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}

static void echo_five(struct fake_conn *c)
{
	static char buffer[65536];
	ssize_t n;

	ck_assert_int_eq(fake_success_label(&tunnel, c), 0);
	ck_assert_int_eq(fake_success_open(c), 0);
	fake_success_end(c);
	ck_assert_int_eq(recv(c->fd, buffer, (size_t)c->record_bytes, MSG_WAITALL),
			 c->record_bytes);
	n = recv(c->fd, buffer, 5, MSG_WAITALL);
	if (n == 5)
		ck_assert_int_eq(send(c->fd, buffer, 5, MSG_NOSIGNAL), 5);
}

START_TEST(a_program_connects)
{
	pid_t child = start_role("connect", tunnel.env, true, -1);
	struct fake_conn c;

	ck_assert(fake_accept(&tunnel, &c));
	echo_five(&c);
	finish_role(child);
	close(c.fd);
}
END_TEST

START_TEST(a_program_connects_again_after_a_failure)
{
	pid_t child = start_role("refused_then_connected", tunnel.env, true, -1);
	struct fake_conn c;

	ck_assert(fake_accept(&tunnel, &c));
	fake_fail(&tunnel, &c, ECONNREFUSED);
	ck_assert(fake_accept(&tunnel, &c));
	echo_five(&c);
	finish_role(child);
	close(c.fd);
}
END_TEST

START_TEST(a_program_sends_datagrams)
{
	pid_t child = start_role("datagrams", tunnel.env, true, -1);
	char message[128];
	int end = -1;

	while (end < 0) {
		pthread_mutex_lock(&tunnel.lock);
		if (tunnel.socket[0].cookie)
			end = tunnel.socket[0].dgram;
		pthread_mutex_unlock(&tunnel.lock);
		usleep(1000);
	}
	for (int i = 0; i < 2; i++) { /* the destination becomes the source */
		ssize_t n = recv(end, message, sizeof(message), 0);

		ck_assert_int_gt(n, (ssize_t)sizeof(struct wgw_dgram));
		memcpy(message, tunnel.preambles.to_app, WGW_PREAMBLE_BYTES);
		ck_assert_int_eq(send(end, message, (size_t)n, 0), n);
	}
	finish_role(child);
}
END_TEST

START_TEST(simple_roles)
{
	static const char *const names[] = {"other_families", "names", "exec_keeps_the_session"};

	finish_role(start_role(names[_i], tunnel.env, true, -1));
}
END_TEST

START_TEST(a_library_has_a_thread_that_starts_the_shim_too)
{
	setenv(TWO_STARTERS_ENV, "1", 1);
	finish_role(start_role("started_twice", tunnel.env, true, -1));
}
END_TEST

START_TEST(without_a_session_there_is_no_network)
{
	finish_role(start_role("refused_without_session", NULL, true, -1));
	finish_role(start_role("refused_without_session", "1:rubbish", true, -1));
}
END_TEST

static char *output_of(bool preload, size_t *len)
{
	FILE *file = tmpfile();
	char *text;
	long size;

	ck_assert_ptr_nonnull(file);
	finish_role(start_role("print_addrinfo", tunnel.env, preload, fileno(file)));
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	ck_assert_int_gt(size, 0);
	text = malloc((size_t)size + 1);
	rewind(file);
	ck_assert_uint_eq(fread(text, 1, (size_t)size, file), (size_t)size);
	text[size] = '\0';
	fclose(file);
	*len = (size_t)size;
	return text;
}

START_TEST(getaddrinfo_decides_as_libc_does)
{
	size_t native_len, ours_len;
	char *native = output_of(false, &native_len);
	char *ours = output_of(true, &ours_len);
	char *native_at = native, *ours_at = ours;

	for (;;) { /* line by line, for the message */
		char *native_line = strsep(&native_at, "\n");
		char *ours_line = strsep(&ours_at, "\n");

		if (!native_line && !ours_line)
			break;
		ck_assert_str_eq(native_line ? native_line : "", ours_line ? ours_line : "");
	}
	free(native);
	free(ours);
}
END_TEST

static int run_tests(void)
{
	Suite *suite = suite_create("preload hooks");
	TCase *tc = tcase_create("hooks");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 180);
	tcase_add_test(tc, a_program_connects);
	tcase_add_test(tc, a_program_connects_again_after_a_failure);
	tcase_add_test(tc, a_program_sends_datagrams);
	tcase_add_loop_test(tc, simple_roles, 0, 3);
	tcase_add_test(tc, a_library_has_a_thread_that_starts_the_shim_too);
	tcase_add_test(tc, without_a_session_there_is_no_network);
	tcase_add_test(tc, getaddrinfo_decides_as_libc_does);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}

int main(int argc, char **argv)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return 1;
	for (size_t i = 0; argc > 1 && i < sizeof(roles) / sizeof(*roles); i++) {
		if (strcmp(argv[1], roles[i].name) == 0)
			return roles[i].run();
	}
	/* BUILD/tests/unit/this, BUILD/libwgwrap.so */
	strcpy(shim, self);
	for (int i = 0; i < 3 && (slash = strrchr(shim, '/')); i++)
		*slash = '\0';
	strcat(shim, "/libwgwrap.so");
	if (access(shim, R_OK) < 0) {
		printf("skipped: %s is not built\n", shim);
		return 77;
	}
	return run_tests();
}
