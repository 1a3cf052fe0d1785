/* SPDX-License-Identifier: MIT */
/* process.c - fork, exec, descriptors that travel, environments that are cleared */
#define BEHAVE_NO_MAIN
#include "behave.h"

#include <pthread.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

extern char **environ;

/* What a started program does: connects, or uses descriptor 3. */
static int as_child(const char *what)
{
	char data[16] = "";
	ssize_t n;
	int fd;

	setvbuf(stdout, NULL, _IONBF, 0);
	if (strcmp(what, "connect") == 0) {
		fd = tcp_socket(false, 0);
		printf("child connects: %s\n",
		       connect_to(fd, "10.77.0.1", HELLO_PORT) ? err_name(errno) : "ok");
		return 0;
	}
	fd = strcmp(what, "stdin") ? 3 : 0;
	printf("child: type %d domain %d\n", get_int(fd, SOL_SOCKET, SO_TYPE),
	       get_int(fd, SOL_SOCKET, SO_DOMAIN));
	if (get_int(fd, SOL_SOCKET, SO_TYPE) < 0)
		return 0;
	show_names(fd);
	said("child sends", send(fd, "hello", 5, 0));
	wait_in(fd);
	n = strcmp(what, "stdin") ? recv(fd, data, 5, 0) : read(fd, data, sizeof(data));
	printf("child receives: %zd %s\n", n, data);
	return 0;
}

static void wait_child(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	printf("status %x\n", (unsigned int)status);
}

static char program[4096];

static const char *own_path(void)
{
	program[readlink("/proc/self/exe", program, sizeof(program) - 1)] = '\0';
	return program;
}

/* Runs this program as @what by @way, with an empty environment when @cleared. */
static void start(const char *way, const char *what, bool cleared)
{
	char *argv[] = {(char *)own_path(), (char *)"child", (char *)what, NULL};
	char *nothing[] = {(char *)"LC_ALL=C", NULL};
	char **env = cleared ? nothing : environ;
	pid_t pid = 0;
	int rc;

	fflush(stdout);
	if (strcmp(way, "posix_spawn") == 0) {
		rc = posix_spawn(&pid, program, NULL, NULL, argv, env);
		if (rc) /* the child is printing */
			printf("posix_spawn: %s\n", err_name(rc));
	} else if (strcmp(way, "posix_spawnp") == 0) {
		rc = posix_spawnp(&pid, program, NULL, NULL, argv, env);
		if (rc) /* the child is printing */
			printf("posix_spawnp: %s\n", err_name(rc));
	} else if (strcmp(way, "vfork") == 0) {
		pid = vfork();
		if (pid == 0) {
			execve(program, argv, env);
			_exit(99);
		}
	} else {
		pid = fork();
		if (pid == 0) {
			if (strcmp(way, "execve") == 0)
				execve(program, argv, env);
			else if (strcmp(way, "execv") == 0)
				execv(program, argv);
			else if (strcmp(way, "execvp") == 0)
				execvp(program, argv);
			else if (strcmp(way, "execvpe") == 0)
				execvpe(program, argv, env);
			else if (strcmp(way, "execl") == 0)
				execl(program, program, "child", what, NULL);
			else if (strcmp(way, "execle") == 0)
				execle(program, program, "child", what, NULL, env);
			else if (strcmp(way, "execlp") == 0)
				execlp(program, program, "child", what, NULL);
			else if (strcmp(way, "fexecve") == 0)
				fexecve(open(program, O_RDONLY), argv, env);
			else if (strcmp(way, "execveat") == 0)
				execveat(AT_FDCWD, program, argv, env, 0);
			else if (strcmp(way, "syscall") == 0)
				syscall(SYS_execve, program, argv, env);
			_exit(98);
		}
	}
	wait_child(pid);
}

CASE(exec_family)
{
	static const char *const ways[] = {"execve", "execv",  "execvp",  "execvpe",  "execl",
					   "execle", "execlp", "fexecve", "execveat", "syscall"};

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		printf("%s\n", ways[i]);
		start(ways[i], "connect", false);
	}
}

CASE(cleared_environment)
{
	static const char *const ways[] = {"execve",	   "execvpe",  "execle",
					   "fexecve",	   "execveat", "posix_spawn",
					   "posix_spawnp", "vfork",    "syscall"};

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		printf("%s\n", ways[i]);
		start(ways[i], "connect", true);
	}
}

CASE(cleared_by_clearenv)
{
	char command[4200];
	FILE *out;
	char line[128];

	clearenv();
	start("execv", "connect", false);
	snprintf(command, sizeof(command), "exec %s child connect", own_path());
	fflush(stdout);
	printf("system: %d\n", system(command));
	out = popen(command, "r");
	while (out && fgets(line, sizeof(line), out))
		printf("popen: %s", line);
	printf("pclose: %d\n", pclose(out));
	printf("environment still empty: %d\n", !environ || !environ[0]);
}

/* What a thread with this stack leaves there is written over. */
static void *write_over(void *arg)
{
	volatile char all[32 * 1024];

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (char)0x55;
	return arg;
}

static void run_over_stack(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, write_over, NULL) == 0)
		pthread_join(thread, NULL);
}

/* In the environment from @at on. */
static const char *is_kept(char **at)
{
	while (at && *at && strcmp(*at, "KEPT=yes") != 0)
		at++;
	return at && *at ? "kept" : "lost";
}

enum { TOLD = 8, TELLS = 9 };

static void *start_shell(void *arg)
{
	printf("system: %d\n", system("echo >&9; read line <&8"));
	return arg;
}

/** begin_shell() - in a thread, with an environment of one entry; it waits for a line in *@tell */
static pthread_t begin_shell(int *tell)
{
	static char *kept[] = {"KEPT=yes", NULL};
	int to[2], from[2];
	pthread_t thread;
	char line;

	environ = kept;
	if (pipe(to) || pipe(from))
		die("pipe");
	dup2(to[0], TOLD);
	dup2(from[1], TELLS);
	fflush(stdout);
	if (pthread_create(&thread, NULL, start_shell, NULL) || read(from[0], &line, 1) != 1)
		die("thread");
	*tell = to[1];
	return thread;
}

CASE(environment_seen_during_system)
{
	char **volatile seen;
	pthread_t thread;
	int tell;

	thread = begin_shell(&tell);
	seen = environ;
	if (write(tell, "\n", 1) != 1)
		die("write");
	pthread_join(thread, NULL);
	run_over_stack();
	printf("what was seen: %s\n", is_kept(seen));
	printf("environ: %s, entries %d\n", is_kept(environ), environ[1] != NULL);
}

CASE(environment_set_during_system)
{
	pthread_t thread;
	int tell;

	thread = begin_shell(&tell);
	did("setenv", setenv("SET", "yes", 1));
	if (write(tell, "\n", 1) != 1)
		die("write");
	pthread_join(thread, NULL);
	run_over_stack();
	printf("environ: %s, SET=%s\n", is_kept(environ), getenv("SET") ? getenv("SET") : "");
}

CASE(environment_after_system_was_cancelled)
{
	pthread_t thread;
	int tell;

	thread = begin_shell(&tell);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	run_over_stack();
	printf("environ: %s\n", is_kept(environ));
	printf("system: %d\n", system("exit 3"));
}

/** struct shells - exit statuses, as wait(2) gives them */
struct shells {
	int system, popen, execl, execlp, execle;
};

static int status_of(pid_t child)
{
	int status = -1;

	waitpid(child, &status, 0);
	return status;
}

static void *start_shells(void *arg)
{
	char *const envp[] = {"STATUS=7", NULL};
	struct shells *s = arg;
	FILE *out;
	pid_t child;

	s->system = system("exit 3");
	out = popen("exit 4", "r");
	s->popen = out ? pclose(out) : -1;
	child = fork();
	if (child == 0)
		_exit(execl("/bin/sh", "sh", "-c", "exit 5", NULL));
	s->execl = status_of(child);
	child = fork();
	if (child == 0)
		_exit(execlp("sh", "sh", "-c", "exit 6", NULL));
	s->execlp = status_of(child);
	child = fork();
	if (child == 0)
		_exit(execle("/bin/sh", "sh", "-c", "exit $STATUS", NULL, envp));
	s->execle = status_of(child);
	return NULL;
}

CASE(started_by_a_thread_with_the_least_stack)
{
	struct shells s = {0};
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, (size_t)sysconf(_SC_THREAD_STACK_MIN));
	fflush(stdout);
	if (pthread_create(&thread, &attr, start_shells, &s) == 0)
		pthread_join(thread, NULL);
	printf("system %x, popen %x, execl %x, execlp %x, execle %x\n", s.system, s.popen, s.execl,
	       s.execlp, s.execle);
}

CASE(env_i)
{
	char command[4200];

	snprintf(command, sizeof(command), "env -i %s child connect", own_path());
	fflush(stdout);
	printf("system: %d\n", system(command));
	snprintf(command, sizeof(command), "env -i sh -c 'env -u LD_PRELOAD %s child connect'",
		 own_path());
	printf("nested: %d\n", system(command));
}

CASE(inherited_connection)
{
	int fd = server(false, "echo");

	dup2(fd, 3);
	start("execve", "use", false);
	start("vfork", "use", true);
	dup2(fd, 0);
	start("posix_spawn", "stdin", false);
}

CASE(inherited_datagram_socket)
{
	int fd = udp_socket(false);

	connect_to(fd, host(false), ECHO_UDP_PORT);
	dup2(fd, 3);
	start("execve", "use", false);
	dup2(fd, 0);
	start("posix_spawn", "stdin", true);
}

CASE(close_on_exec)
{
	int fd = tcp_socket(false, SOCK_CLOEXEC);

	dup3(fd, 3, O_CLOEXEC);
	start("execve", "use", false);
}

/* ---- fork ---- */

CASE(fork_shares_a_connection)
{
	int fd = server(false, "sink");
	char answer[64] = "";
	pid_t pid = fork();

	if (pid == 0) {
		for (int i = 0; i < 100; i++)
			send(fd, "childchild", 10, 0);
		_exit(0);
	}
	for (int i = 0; i < 100; i++)
		send(fd, "parentpare", 10, 0);
	wait_child(pid);
	shutdown(fd, SHUT_WR);
	recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL);
	printf("%s\n", answer);
}

CASE(fork_keeps_it_open)
{
	int fd = server(false, "echo");
	char data[8] = "";
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		close(fd);
		_exit(0);
	}
	wait_child(pid);
	said("send", send(fd, "hello", 5, 0));
	said("recv", recv(fd, data, 5, MSG_WAITALL));
}

CASE(connect_in_the_child)
{
	int fd = tcp_socket(false, 0);
	pid_t pid = fork();

	if (pid == 0)
		_exit(connect_to(fd, host(false), HELLO_PORT) != 0);
	wait_child(pid);
	show_names(fd);
	did("connect in the parent", connect_to(fd, host(false), HELLO_PORT));
	read_out(fd);
}

CASE(listener_in_the_child)
{
	int port, listener = listener_on("0.0.0.0", &port, 5), fd;
	char data[8] = "";
	pid_t pid = fork();

	if (pid == 0) {
		fd = accept(listener, NULL, NULL);
		recv(fd, data, 5, MSG_WAITALL);
		_exit(strcmp(data, "hello") != 0);
	}
	close(listener);
	dial(false, port, "hello");
	wait_child(pid);
}

CASE(daemon_keeps_its_network)
{
	int results[2];
	char result = 'x';

	did("pipe", pipe(results));
	if (fork() == 0) {
		setsid();
		if (fork())
			_exit(0);
		nap_ms(100);
		result = connect_to(tcp_socket(false, 0), host(false), HELLO_PORT) ? 'n' : 'y';
		(void)!write(results[1], &result, 1);
		_exit(0);
	}
	(void)!read(results[0], &result, 1);
	printf("%c\n", result);
}

/* ---- passing descriptors ---- */

static void send_fd(int to, int fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)"x", 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	said("pass", sendmsg(to, &msg, 0));
}

static int receive_fd(int from)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	int fd = -1;

	said("receive", recvmsg(from, &msg, 0));
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	return fd;
}

CASE(pass_a_connection)
{
	int pair[2], fd;
	char data[8] = "";
	pid_t pid;

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	pid = fork();
	if (pid == 0) {
		fclose(stdout);
		send_fd(pair[1], server(false, "echo"));
		_exit(0);
	}
	fd = receive_fd(pair[0]);
	wait_child(pid);
	show_names(fd);
	said("send", send(fd, "hello", 5, 0));
	said("recv", recv(fd, data, 5, MSG_WAITALL));
}

CASE(pass_a_listener_and_a_datagram_socket)
{
	int pair[2], listener, udp, port;
	char data[8] = "";
	pid_t pid;

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	pid = fork();
	if (pid == 0) {
		udp = udp_socket(false);
		bind_to(udp, "0.0.0.0", 0);
		fclose(stdout);
		send_fd(pair[1], listener_on("0.0.0.0", &port, 5));
		send_fd(pair[1], udp);
		_exit(0);
	}
	listener = receive_fd(pair[0]);
	udp = receive_fd(pair[0]);
	wait_child(pid);
	dial(false, local_port(listener), "hello");
	said("accepted", accept(listener, NULL, NULL) >= 0);
	dial(false, local_port(udp), "udp");
	wait_in(udp);
	said("read", read(udp, data, sizeof(data)));
}

CASE(pass_while_connecting)
{
	int pair[2], fd = tcp_socket(false, SOCK_NONBLOCK);
	struct pollfd p;

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	connect_to(fd, host(false), HELLO_PORT);
	send_fd(pair[1], fd);
	close(fd);
	fd = receive_fd(pair[0]);
	p = (struct pollfd){.fd = fd, .events = POLLOUT};
	said("poll", poll(&p, 1, 60000));
	printf("SO_ERROR %s\n", so_error(fd));
	fcntl(fd, F_SETFL, 0);
	read_out(fd);
}

/* ---- by number ---- */

CASE(raw_numbers)
{
	union address a;
	socklen_t len = make_address(&a, host(false), HELLO_PORT);
	char data[8] = "";
	long fd;

	fd = syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	said("socket", fd >= 0);
	did("connect", syscall(SYS_connect, fd, &a, len));
	said("read", syscall(SYS_read, fd, data, 5));
	printf("%s\n", data);
	did("close", syscall(SYS_close, fd));
	said("getpid", syscall(SYS_getpid) == getpid());
	said("gettid", syscall(SYS_gettid) == getpid());
	fd = syscall(SYS_memfd_create, "x", 0);
	said("memfd", fd >= 0);
	said("getrandom", syscall(SYS_getrandom, data, 4, 0));
	did("unknown", syscall(99999));
	did("bad descriptor", syscall(SYS_close, 999));
}

/* What lies at a number is known from before, and a file lay there. */
CASE(raw_duplicate)
{
	int fd = udp_socket(false), file = memfd_create("x", 0);
	union address a;
	socklen_t len = make_address(&a, host(false), ECHO_UDP_PORT);
	char data[8] = "";

	said("file", read(file, data, sizeof(data)));
	close(file);
	said("same number", syscall(SYS_fcntl, fd, F_DUPFD, file) == file);
	said("sendto", sendto(fd, "hello", 5, 0, &a.any, len));
	wait_in(file);
	said("read", read(file, data, sizeof(data)));
	printf("%.5s\n", data);
}

CASE(io_uring)
{
	char parameters[256] = {0};
	long fd = syscall(SYS_io_uring_setup, 4, parameters);

	printf("%s\n", fd >= 0 ? "there" : "not there");
}

CASE(standard_descriptors_closed)
{
	int out = dup(1), fd;

	fflush(stdout);
	close(0);
	close(1);
	close(2);
	fd = tcp_socket(false, 0);
	dprintf(out, "descriptor %d, connect %s\n", fd,
		connect_to(fd, host(false), HELLO_PORT) ? err_name(errno) : "ok");
	dprintf(out, "udp %d\n", udp_socket(false));
	dprintf(out, "next %d\n", dup(out));
	dup2(out, 1);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "child") == 0)
		return as_child(argv[2]);
	return run_cases(argc - 1, argv + 1);
}
