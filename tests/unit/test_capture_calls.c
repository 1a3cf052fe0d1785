/* SPDX-License-Identifier: MIT */
/*
 * test_capture_calls.c - supervised system calls: what the filter reports, refuses and lets pass,
 * and how calls are answered
 *
 * A child has the filter and makes plain system calls; this process supervises it and plays the
 * tunnel process.
 */
#include <check.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "src/capture/call.h"
#include "src/capture/capture.h"
#include "src/repr/raw.h"
#include "tests/unit/fake_tunnel.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/supervised_child.h"

static struct fake_tunnel tunnel;

/** struct notes - what child and test tell each other */
static struct notes {
	_Atomic int step;
	int err[16];
} * notes;

static void set_up(void)
{
	sigset_t all;

	sigfillset(&all);
	sigdelset(&all, SIGALRM); /* the time limit of tests */
	sigprocmask(SIG_BLOCK, &all, NULL);
	fake_start(&tunnel);
	notes = mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	ck_assert_ptr_ne(notes, MAP_FAILED);
}

static void tear_down(void)
{
	fake_stop(&tunnel);
	munmap(notes, sizeof(*notes));
}

static struct wgw_capture *supervise(int listener)
{
	const struct wgw_capture_options options = {.session = tunnel.env, .listener = listener};
	struct wgw_capture *capture = wgw_capture_start(&options);

	ck_assert_ptr_nonnull(capture);
	return capture;
}

static int end_of(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static int play_supervised(int (*play)(void))
{
	int listener;
	pid_t pid = begin(play, &listener);

	supervise(listener);
	return end_of(pid);
}

static int err_of(long result)
{
	return result < 0 ? errno : 0;
}

static struct sockaddr_in destination(void)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(443),
				    .sin_addr.s_addr = htonl(0x0a000001)};
}

static int join(int fd)
{
	struct sockaddr_in to = destination();

	return err_of(syscall(SYS_connect, fd, &to, sizeof(to)));
}

static void step_to(int n)
{
	notes->step = n;
}

static void wait_step(int n)
{
	while (notes->step < n)
		usleep(1000);
}

/* ---- the filter ---- */

static int refusals(void)
{
	static const struct {
		long call[4];
		int err;
	} table[] = {
		{{SYS_socket, AF_PACKET, SOCK_RAW, 0}, EAFNOSUPPORT},
		{{SYS_socket, AF_VSOCK, SOCK_STREAM, 0}, EAFNOSUPPORT},
		{{SYS_socket, AF_ALG, SOCK_SEQPACKET, 0}, EAFNOSUPPORT},
		{{SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_GENERIC}, EPROTONOSUPPORT},
		{{SYS_io_uring_setup, 1, 0, 0}, ENOSYS},
		{{SYS_io_uring_enter, -1, 0, 0}, ENOSYS},
		{{SYS_io_uring_register, -1, 0, 0}, ENOSYS},
		{{SYS_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP}, EPERM},
		{{SYS_socket, AF_INET, SOCK_STREAM, IPPROTO_SCTP}, EPROTONOSUPPORT},
#if defined(__x86_64__)
		{{0x40000000 | SYS_socket, AF_INET, SOCK_STREAM, 0}, ENOSYS},
#endif
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const long *c = table[i].call;

		if (err_of(syscall(c[0], c[1], c[2], c[3])) != table[i].err)
			return (int)i + 1;
	}
	return 0;
}

START_TEST(what_could_leave_is_refused)
{
	ck_assert_int_eq(play_supervised(refusals), 0);
}
END_TEST

static int passing(void)
{
	struct timeval limit = {1, 0};
	char byte = 0;
	int pair[2];

	/* nobody answers: what were reported would never return */
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
	    socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) < 0)
		return 1;
	if (setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
		return 2;
	if (send(pair[0], "x", 1, 0) != 1 || recv(pair[1], &byte, 1, 0) != 1)
		return 3;
	if (write(pair[1], "x", 1) != 1 || read(pair[0], &byte, 1) != 1)
		return 4;
	/* the system call page: a socket can be named and connected from there */
	if (!wgw_raw_use_page())
		return 5;
	if (wgw_raw_bind(pair[0], &(struct sockaddr){.sa_family = AF_UNIX}, 2) != 0)
		return 6;
	return 0;
}

START_TEST(data_and_the_exempt_page_are_not_reported)
{
	int listener;
	pid_t pid = begin(passing, &listener);

	ck_assert_int_eq(end_of(pid), 0);
	close(listener);
}
END_TEST

static int create_from_page(void)
{
	if (!wgw_raw_use_page())
		return 1;
	return wgw_raw_socket(AF_INET, SOCK_STREAM, 0) == -ENOSYS ? 0 : 2;
}

START_TEST(without_a_supervisor_no_socket_is_made)
{
	int listener;
	pid_t pid = begin(create_from_page, &listener);

	close(listener);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

/* ---- sockets ---- */

static int identity(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), value;
	socklen_t len = sizeof(value);

	if (fd < 0 || fcntl(fd, F_GETFD) != FD_CLOEXEC || !(fcntl(fd, F_GETFL) & O_NONBLOCK))
		return 1;
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &len) || value != AF_INET6)
		return 2;
	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &len) || value != IPPROTO_TCP)
		return 3;
	value = 1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)))
		return 4;
	value = 0;
	if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len) || value != 1)
		return 5;
	/* the tag lives in this option */
	if (setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &value, sizeof(value)) ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &len) || value != AF_INET6)
		return 6;
	if (err_of(getsockopt(fd, SOL_SOCKET, SO_TYPE, (void *)8, &len)) != EFAULT)
		return 7;
	return 0;
}

START_TEST(a_socket_says_what_the_program_asked_for)
{
	ck_assert_int_eq(play_supervised(identity), 0);
}
END_TEST

static int blocking_connects(void)
{
	struct sockaddr_in name;
	socklen_t len = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (join(fd) != 0)
		return 1;
	if (getpeername(fd, (struct sockaddr *)&name, &len) || name.sin_port != htons(443))
		return 2;
	if (join(fd) != EISCONN)
		return 3;
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (join(fd) != ECONNREFUSED)
		return 4;
	/* once more: the descriptor gets another socket */
	return join(fd) == 0 ? 0 : 5;
}

START_TEST(a_blocking_connect_waits_for_its_outcome)
{
	struct fake_conn one, two, three;
	int listener;
	pid_t pid = begin(blocking_connects, &listener);

	supervise(listener);
	ck_assert(fake_accept(&tunnel, &one));
	ck_assert_int_eq(fake_success_label(&tunnel, &one), 0);
	fake_success_open(&one);
	fake_success_end(&one);
	ck_assert(fake_accept(&tunnel, &two));
	fake_fail(&tunnel, &two, ECONNREFUSED);
	ck_assert(fake_accept(&tunnel, &three));
	ck_assert_int_eq(fake_success_label(&tunnel, &three), 0);
	fake_success_open(&three);
	fake_success_end(&three);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

static void noticed(int number)
{
	(void)number;
}

static int interrupted_connect(void)
{
	struct sigaction act = {.sa_handler = noticed};
	int fd = socket(AF_INET, SOCK_STREAM, 0), err;

	sigaction(SIGUSR1, &act, NULL);
	step_to(1);
	if (join(fd) != EINTR)
		return 1;
	step_to(2);
	/* the first attempt goes on; this one waits for it, and one more signal may come */
	do
		err = join(fd);
	while (err == EINTR);
	return err == 0 ? 0 : 2;
}

START_TEST(a_signal_ends_the_call_and_not_the_connect)
{
	struct fake_conn conn;
	int listener;
	pid_t pid = begin(interrupted_connect, &listener);

	supervise(listener);
	wait_step(1);
	ck_assert(fake_accept(&tunnel, &conn));
	while (notes->step < 2) {
		kill(pid, SIGUSR1);
		usleep(10000);
	}
	usleep(50000);
	ck_assert_int_eq(fake_success_label(&tunnel, &conn), 0);
	fake_success_open(&conn);
	fake_success_end(&conn);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

static int limited(void)
{
	struct timeval limit = {0, 100000};
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char byte;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (join(fd) != EINPROGRESS)
		return 1;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (err_of(recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &len)) != EAGAIN)
		return 2;
	return 0;
}

START_TEST(time_limits_of_the_program_hold)
{
	ck_assert_int_eq(play_supervised(limited), 0);
}
END_TEST

static int waiting_when_left_alone(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	step_to(1);
	if (join(fd) != ENOSYS)
		return 1;
	return err_of(socket(AF_INET, SOCK_STREAM, 0)) == ENOSYS ? 0 : 2;
}

START_TEST(the_end_of_the_supervisor_ends_calls_that_wait)
{
	struct fake_conn conn;
	int listener;
	pid_t supervisor, pid = begin(waiting_when_left_alone, &listener);

	supervisor = fork();
	if (supervisor == 0) {
		supervise(listener);
		for (;;)
			pause();
	}
	close(listener);
	wait_step(1);
	ck_assert(fake_accept(&tunnel, &conn));
	kill(supervisor, SIGKILL);
	waitpid(supervisor, NULL, 0);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

static int other_sockets(void)
{
	struct sockaddr_un resolvers[] = {
		{AF_UNIX, "/var/run/nscd/socket"},
		{AF_UNIX, "/run/systemd/resolve/io.systemd.Resolve"},
		{AF_UNIX, "/run/avahi-daemon/socket"},
	};
	struct sockaddr_un nobody = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
	struct sockaddr_un own = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(sa_family_t);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), accepted;

	for (size_t i = 0; i < sizeof(resolvers) / sizeof(*resolvers); i++) {
		if (err_of(connect(fd, (struct sockaddr *)&resolvers[i], sizeof(resolvers[i]))) !=
		    ECONNREFUSED)
			return 1;
	}
	if (err_of(connect(fd, (struct sockaddr *)&nobody, sizeof(nobody))) != ENOENT)
		return 2;
	if (bind(fd, (struct sockaddr *)&own, len) || listen(fd, 1))
		return 3;
	len = sizeof(own);
	if (getsockname(fd, (struct sockaddr *)&own, &len))
		return 4;
	accepted = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(accepted, (struct sockaddr *)&own, len))
		return 5;
	len = sizeof(own);
	if (accept(fd, (struct sockaddr *)&own, &len) < 0 || own.sun_family != AF_UNIX)
		return 6;
	if (err_of(connect(STDIN_FILENO, (struct sockaddr *)&own, sizeof(own))) != ENOTSOCK ||
	    err_of(connect(-1, (struct sockaddr *)&own, sizeof(own))) != EBADF)
		return 7;
	return 0;
}

START_TEST(other_sockets_are_the_kernels_but_resolvers_are_not_reached)
{
	int null = open("/dev/null", O_RDONLY);

	dup2(null, STDIN_FILENO);
	ck_assert_int_eq(play_supervised(other_sockets), 0);
}
END_TEST

/* An IP socket from outside, put into the child's table before it has the filter. */
static int outside;

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

/* Connects by an address that the kernel can read and other processes cannot (memfd_secret(2)). */
static int join_unseen(int fd, const struct sockaddr_in *to)
{
	int memory = (int)syscall(SYS_memfd_secret, 0);
	struct sockaddr_in *unseen = MAP_FAILED;

	if (memory >= 0 && ftruncate(memory, 4096) == 0)
		unseen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (unseen == MAP_FAILED)
		return EFAULT; /* this kernel has none, or no memory may be locked */
	*unseen = *to;
	return err_of(connect(fd, (struct sockaddr *)unseen, sizeof(*unseen)));
}

static int use_outside(void)
{
	struct sockaddr_in far = destination();
	struct sockaddr_in near = {.sin_family = AF_INET,
				   .sin_port = htons(9),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint8_t name[2 * sizeof(struct sockaddr_storage)] = {0};
	struct iovec iov = {"x", 1};
	const struct msghdr long_name = {
		.msg_name = name, .msg_namelen = sizeof(name), .msg_iov = &iov, .msg_iovlen = 1};

	memcpy(name, &far, sizeof(far));
	if (join(outside) != EACCES ||
	    err_of(sendto(outside, "x", 1, 0, (struct sockaddr *)&far, sizeof(far))) != EACCES ||
	    err_of(sendmsg(outside, &long_name, 0)) != EACCES ||
	    err_of(listen(outside, 1)) != EACCES || join_unseen(outside, &far) != EFAULT)
		return 1;
	return err_of(connect(outside, (struct sockaddr *)&near, sizeof(near))) ? 2 : 0;
}

START_TEST(an_ip_socket_from_outside_reaches_this_machine_only)
{
	outside = socket(AF_INET, SOCK_DGRAM, 0);
	ck_assert_int_ge(outside, 0);
	ck_assert_int_eq(play_supervised(use_outside), 0);
}
END_TEST

static int quiet(void)
{
	return 0;
}

START_TEST(the_listener_says_when_nobody_is_left)
{
	int listener;
	pid_t pid = begin(quiet, &listener);
	struct pollfd p = {.fd = listener};

	ck_assert_int_eq(end_of(pid), 0);
	ck_assert_int_eq(poll(&p, 1, 60000), 1);
	ck_assert(p.revents & POLLHUP);
}
END_TEST

START_TEST(answered_calls_are_counted)
{
	char text[256];
	int listener;
	pid_t pid = begin(identity, &listener);
	struct wgw_capture *capture = supervise(listener);

	wgw_capture_describe(capture, text, sizeof(text));
	ck_assert_int_eq(end_of(pid), 0);
	wgw_capture_describe(capture, text, sizeof(text));
	ck_assert_str_eq(text, "socket 1, getsockopt 5, setsockopt 2");
}
END_TEST

/* A call of this thread, as a notification would tell of it; nobody waits for an answer. */
static long send_once_more(struct wgw_capture *k, int fd, const char *byte, struct wgw_call *c)
{
	*c = (struct wgw_call){.capture = k,
			       .tid = getpid(),
			       .nr = SYS_sendto,
			       .args = {(uint64_t)fd, (uintptr_t)byte, 1},
			       .pidfd = -1,
			       .fd = fd,
			       .what = WGW_SOCKET_OURS,
			       .tag = (uint64_t)WGW_KIND_UDP << WGW_TAG_KIND_SHIFT,
			       .give = -1};
	wgw_busy_lock(c);
	return wgw_call_sendto(c);
}

START_TEST(what_was_sent_is_found_again_however_many_signals_come)
{
	struct wgw_capture k = {.listener = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct wgw_call c;

	/* as if this one had been sent, and then interrupted */
	ck_assert_int_eq(send_once_more(&k, fd, "x", &c), WGW_CALL_GONE);
	c.asked.result = 1;
	wgw_busy_keep_done(&c);
	wgw_busy_over(&c, false);
	wgw_busy_unlock(&c);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(send_once_more(&k, fd, "x", &c), 1);
		ck_assert(c.undo != NULL);
		c.undo(&c);
		wgw_busy_over(&c, false);
		wgw_busy_unlock(&c);
	}
	ck_assert_int_eq(send_once_more(&k, fd, "y", &c), WGW_CALL_GONE);
	wgw_busy_unlock(&c);
	close(fd);
}
END_TEST

/* ---- pidfds that earlier calls have left ---- */

enum { HIGH_NUMBER = 200 }; /* not in the test's own table */

static int ask_for_a_name(void)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	dup2(socket(AF_UNIX, SOCK_STREAM, 0), HIGH_NUMBER);
	wait_step(1);
	return err_of(getsockname(HIGH_NUMBER, (struct sockaddr *)&name, &len));
}

/** asked_with() - the errno of a child's call, when @left is what its thread id has been left with */
static int asked_with(struct wgw_pidfd left)
{
	struct wgw_capture *capture;
	int listener;
	pid_t pid = begin(ask_for_a_name, &listener);

	capture = supervise(listener);
	left.tid = pid;
	pthread_mutex_lock(&capture->lock);
	capture->pidfds[0] = left;
	pthread_mutex_unlock(&capture->lock);
	step_to(1);
	return end_of(pid);
}

START_TEST(a_thread_id_that_is_used_again_is_another_threads)
{
	struct wgw_pidfd dead = {0}, other = {.group = getpid()};
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	dead.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	ck_assert_int_ge(dead.fd, 0);
	ck_assert_int_eq(end_of(pid), 0);
	ck_assert_int_eq(asked_with(dead), 0);
	/* before Linux 6.9: the id's next owner is a thread of another process */
	step_to(0);
	other.fd = (int)syscall(SYS_pidfd_open, other.group, 0);
	ck_assert_int_ge(other.fd, 0);
	ck_assert_int_eq(asked_with(other), 0);
}
END_TEST

START_TEST(a_thread_without_an_id_here_is_not_looked_into)
{
	struct wgw_capture k = {.listener = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct wgw_call c = {.capture = &k, .nr = SYS_connect, .pidfd = -1, .fd = -1};

	ck_assert_int_eq(wgw_target_open(&c), 0);
	ck_assert_int_eq(c.what, WGW_SOCKET_UNKNOWN);
	ck_assert_int_eq(c.pidfd, -1);
	ck_assert_int_eq(c.fd, -1);
}
END_TEST

/* ---- memory beside what is asked for ---- */

enum { PAGE_BYTES = 4096, HEAD_BYTES = sizeof(struct msghdr) };

/** read_at() - the bytes at @page + @at, of a page that has none before and behind it */
static void read_at(const struct wgw_call *c, const uint8_t *page, size_t at)
{
	uint8_t head[HEAD_BYTES] = {0}, copy[WGW_NEAR_BYTES] = {0};
	bool is_there = at + sizeof(head) <= PAGE_BYTES;
	struct wgw_near near;
	struct wgw_pieces in;

	ck_assert_int_eq(wgw_target_read_near(c, (uintptr_t)page + at, head, sizeof(head), &near),
			 is_there ? 0 : -EFAULT);
	if (!is_there) {
		ck_assert_uint_eq(near.len, 0);
		return;
	}
	ck_assert_mem_eq(head, page + at, sizeof(head));
	ck_assert_uint_le(near.from, (uintptr_t)page + at);
	ck_assert_uint_ge(near.from + near.len, (uintptr_t)page + at + sizeof(head));
	/* all of it, and not a byte more, is had from there: nobody has thread id -1 */
	wgw_pieces_begin(&in, &(const struct wgw_call){.tid = -1}, false);
	in.near = &near;
	wgw_pieces_add(&in, near.from, copy, near.len);
	ck_assert_int_eq(wgw_pieces_copy(&in), 0);
	ck_assert_mem_eq(copy, page + (near.from - (uintptr_t)page), near.len);
	for (int beside = -1; beside <= 1; beside += 2) {
		wgw_pieces_begin(&in, &(const struct wgw_call){.tid = -1}, false);
		in.near = &near;
		wgw_pieces_add(&in, near.from + (uint64_t)beside, copy, near.len);
		ck_assert_int_eq(wgw_pieces_copy(&in), -EFAULT);
	}
}

START_TEST(what_is_beside_a_structure_ends_where_the_page_does)
{
	const struct wgw_call c = {.tid = getpid()};
	uint8_t *all = mmap(NULL, (size_t)3 * PAGE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(all, MAP_FAILED);
	for (size_t i = 0; i < PAGE_BYTES; i++)
		all[PAGE_BYTES + i] = (uint8_t)(i * 7 + i / 256);
	ck_assert_int_eq(mprotect(all, PAGE_BYTES, PROT_NONE), 0);
	ck_assert_int_eq(mprotect(all + (size_t)2 * PAGE_BYTES, PAGE_BYTES, PROT_NONE), 0);
	for (size_t at = 0; at < PAGE_BYTES; at++)
		read_at(&c, all + PAGE_BYTES, at);
	munmap(all, (size_t)3 * PAGE_BYTES);
}
END_TEST

/* ---- limits ---- */

START_TEST(few_descriptors_make_few_threads)
{
	enum { A_WAIT = 2, A_CALL = 5 };
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (rlim_t n = limit.rlim_max < 20000 ? limit.rlim_max : 20000; n > 0;
	     n -= n > 200 ? n / 3 : 1) {
		struct wgw_capture *k;
		unsigned int waiting, brief;

		limit = (struct rlimit){n, n};
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		k = supervise(-1);
		waiting = k->waiting_max;
		brief = k->threads_max - waiting;
		ck_assert_uint_ge(waiting, 1);
		ck_assert_uint_ge(brief, 1);
		ck_assert_uint_le((waiting - 1) * A_WAIT + (brief - 1) * A_CALL, n);
	}
}
END_TEST

int main(void)
{
	struct wgw_capture_probe probe;
	struct wgw_capture_trial trial = {0};
	TCase *t = tcase_create("calls");
	Suite *s = suite_create("capture");

	if (wgw_capture_probe(&trial, &probe))
		return 1;
	if (probe.level != WGW_CAPTURE_SUPERVISED || probe.without_getfd) {
		printf("%s\n", probe.why[0] ? probe.why : "pidfd_getfd is refused");
		return 77;
	}
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 180);
	tcase_add_test(t, what_could_leave_is_refused);
	tcase_add_test(t, data_and_the_exempt_page_are_not_reported);
	tcase_add_test(t, without_a_supervisor_no_socket_is_made);
	tcase_add_test(t, a_socket_says_what_the_program_asked_for);
	tcase_add_test(t, a_blocking_connect_waits_for_its_outcome);
	tcase_add_test(t, a_signal_ends_the_call_and_not_the_connect);
	tcase_add_test(t, time_limits_of_the_program_hold);
	tcase_add_test(t, the_end_of_the_supervisor_ends_calls_that_wait);
	tcase_add_test(t, other_sockets_are_the_kernels_but_resolvers_are_not_reached);
	tcase_add_test(t, an_ip_socket_from_outside_reaches_this_machine_only);
	tcase_add_test(t, the_listener_says_when_nobody_is_left);
	tcase_add_test(t, answered_calls_are_counted);
	tcase_add_test(t, what_was_sent_is_found_again_however_many_signals_come);
	tcase_add_test(t, a_thread_id_that_is_used_again_is_another_threads);
	tcase_add_test(t, a_thread_without_an_id_here_is_not_looked_into);
	tcase_add_test(t, what_is_beside_a_structure_ends_where_the_page_does);
	tcase_add_test(t, few_descriptors_make_few_threads);
	suite_add_tcase(s, t);
	return run_suite(s);
}
