/* SPDX-License-Identifier: MIT */
/*
 * fuzz_capture.c - the supervisor, and a program that means harm with the arguments of its calls
 *
 * The input is a script for a child that has the filter, and whose calls a supervisor of this
 * process answers: pointers to the ends of pages, to where nothing is, to memory that may only be
 * read; lengths that lie; lists of buffers of any number. Meanwhile threads of the child change that
 * memory and make calls of their own, signals interrupt it, processes that it forks end or execute
 * another program during a call. The tunnel process is tests/unit/fake_tunnel.h's; it connects and
 * refuses.
 *
 * The child comes to the script's end, and gets a socket then; what it was given ends where it had
 * said (unless its memory was being changed); this process has no more descriptors than before, but
 * for the few that are kept for a while.
 *
 * Other threads and signals come when they come: what one run finds the next need not. With
 * libFuzzer's main (make fuzz), or with that of replay.h.
 */
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#define NO_SUITE
#define FAKE_SOCKETS 256 /* with a descriptor or two each */
#include "tests/unit/open_descriptors.h"
#include "tests/unit/fake_tunnel.h"
#include "tests/unit/supervised_child.h"

#include "src/capture/call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum {
	CALLS_MAX = 40,
	SCRIPT_MAX = 4096,
	PAGE = 4096,
	ARENA = 2 * PAGE, /* behind it nothing can be read or written */
	SOCKETS = 6,
	CANARY_BYTES = 64,
	CANARY = 0xc5,
	INTERRUPT_US = 1500,
	END_MS = 300000, /* of one script */
	KEPT_MAX = 64,	 /* descriptors that calls leave for the next ones */
};

enum call_of_script {
	CALL_SOCKET,
	CALL_CONNECT,
	CALL_BIND,
	CALL_LISTEN,
	CALL_ACCEPT,
	CALL_NAME,
	CALL_SHUTDOWN,
	CALL_GETSOCKOPT,
	CALL_SETSOCKOPT,
	CALL_SENDTO,
	CALL_SENDMSG,
	CALL_SENDMMSG,
	CALL_RECVFROM,
	CALL_RECVMSG,
	CALL_RECVMMSG,
	CALL_CLOSE,
	CALL_FILL,
	CALL_FORK,
	CALLS,
};

/**
 * struct shared - between us and the child
 * @turn:	Odd: the child runs the script. 0: it has not begun yet
 * @over:	One more turn, and it ends
 * @works:	What its last socket(2) said
 */
static struct shared {
	_Atomic uint32_t turn;
	_Atomic bool over;
	int works;
	size_t len;
	uint8_t script[SCRIPT_MAX];
} * shared;

/** struct reader - of a script, or of the part of it that a thread has */
struct reader {
	const uint8_t *at, *end;
};

static struct fake_tunnel tunnel;
static pid_t child;

/* ---- in the child ---- */

static struct {
	uint8_t *arena, *read_only;
	_Atomic int socket[SOCKETS];
	int pair[2]; /* not of IP; that it is bound would make files */
	int file;
	_Atomic bool over;
	bool threads;
} world;

static uint32_t next(struct reader *r, unsigned int n)
{
	uint32_t value = 0;

	while (n-- > 0 && r->at < r->end)
		value = value << 8 | *r->at++;
	return value;
}

/* Somewhere in the arena, at its end, or where nothing good is */
static uintptr_t next_pointer(struct reader *r)
{
	uint32_t how = next(r, 1);

	switch (how % 8) {
	case 0:
		return (uintptr_t)world.arena + ARENA - next(r, 1);
	case 1:
		return (uintptr_t)world.arena + PAGE - next(r, 1);
	case 2:
		return how & 8	  ? 0
		       : how & 16 ? UINTPTR_MAX
		       : how & 32 ? UINTPTR_MAX << 47
				  : (uintptr_t)world.read_only + next(r, 1);
	default:
		return (uintptr_t)world.arena + next(r, 2) % ARENA;
	}
}

static uint64_t next_length(struct reader *r)
{
	static const uint64_t some[] = {
		0,     1,      2,	  15,	    16,		28,	   127,	       128,
		129,   1023,   1024,	  1025,	    4096,	65507,	   65508,      65535,
		65536, 262144, INT32_MAX, 1U << 31, UINT32_MAX, INT64_MAX, UINT64_MAX, 56};
	uint32_t which = next(r, 1);

	return which < 0x80 ? which : some[which % (sizeof(some) / sizeof(*some))];
}

static int a_socket(uint32_t who)
{
	switch (who) {
	case 0xff:
		return -1;
	case 0xfe:
		return world.file;
	case 0xfd:
		return world.pair[0];
	default:
		return world.socket[who % SOCKETS];
	}
}

static bool in_arena(uintptr_t p, uint64_t len)
{
	uintptr_t first = (uintptr_t)world.arena;

	return p >= first && p < first + ARENA && len <= first + ARENA - p;
}

/* Behind @len bytes at @p, unless others change them. How many there are */
static size_t set_canary(uintptr_t p, uint64_t len)
{
	size_t left;

	if (world.threads || !in_arena(p, len))
		return 0;
	left = (uintptr_t)world.arena + ARENA - p - len;
	left = left < CANARY_BYTES ? left : CANARY_BYTES;
	memset((void *)(p + len), CANARY, left);
	return left;
}

static void check_canary(uintptr_t p, uint64_t len, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(((const uint8_t *)p)[len + i], CANARY);
}

static void put(uintptr_t to, const void *from, size_t len)
{
	if (in_arena(to, len))
		memcpy((void *)to, from, len);
}

static struct iovec next_buffer(struct reader *r)
{
	void *p = (void *)next_pointer(r);

	return (struct iovec){p, next_length(r)};
}

/* A struct msghdr, and perhaps its list, somewhere. @at: where it is */
static void next_head(struct reader *r, uintptr_t at)
{
	struct msghdr h = {0};
	uint32_t n = next(r, 1);
	uintptr_t list = next_pointer(r);

	h.msg_name = n & 0x80 ? (void *)next_pointer(r) : NULL;
	h.msg_namelen = n & 0x80 ? (socklen_t)next_length(r) : 0;
	h.msg_control = n & 0x40 ? (void *)next_pointer(r) : NULL;
	h.msg_controllen = n & 0x40 ? next_length(r) : 0;
	h.msg_iov = (void *)list;
	h.msg_iovlen = (n & 0x3f) < 0x30 ? n & 7 : next_length(r);
	for (uint32_t i = 0; i < (n & 7); i++) {
		struct iovec v = next_buffer(r);

		put(list + i * sizeof(v), &v, sizeof(v));
	}
	put(at, &h, sizeof(h));
}

static int next_flags(struct reader *r)
{
	uint32_t f = next(r, 1);

	/* mostly without waiting; else until a signal comes */
	return (int)((f & 1 ? 0 : MSG_DONTWAIT) | (f & 2 ? MSG_PEEK : 0) | (f & 4 ? MSG_TRUNC : 0) |
		     (f & 8 ? MSG_ERRQUEUE : 0) | (f & 16 ? MSG_FASTOPEN : 0) |
		     (f & 32 ? MSG_OOB : 0) | (f & 64 ? MSG_WAITFORONE : 0) | MSG_NOSIGNAL);
}

static void make_socket(struct reader *r, uint32_t who)
{
	uint32_t how = next(r, 1);
	int type = how & 4 ? SOCK_STREAM : SOCK_DGRAM, protocol = how & 0x80 ? (int)next(r, 1) : 0;
	long fd = syscall(SYS_socket, how & 1 ? AF_INET6 : AF_INET,
			  type | (how & 8 ? SOCK_NONBLOCK : 0), protocol);
	int old = atomic_exchange(&world.socket[who % SOCKETS], (int)fd);

	if (old >= 0)
		close(old);
}

/* Calls that fill a buffer and say in another place how much */
static void call_that_tells(struct reader *r, enum call_of_script what, int fd)
{
	uintptr_t buffer = next_pointer(r), len_at = next_pointer(r);
	int32_t len = (int32_t)next_length(r);
	uint32_t how = next(r, 1);
	size_t n = 0;
	long rc;

	/* the length may lie behind the buffer */
	if (len_at + sizeof(len) <= buffer && len >= 0)
		n = set_canary(buffer, (uint32_t)len);
	put(len_at, &len, sizeof(len));
	if (what == CALL_ACCEPT)
		rc = syscall(SYS_accept4, fd, buffer, len_at, how & 1 ? SOCK_NONBLOCK : 0);
	else if (what == CALL_GETSOCKOPT)
		rc = syscall(SYS_getsockopt, fd, next(r, 1), how & 0x3f, buffer, len_at);
	else
		rc = syscall(how & 1 ? SYS_getsockname : SYS_getpeername, fd, buffer, len_at);
	if (what == CALL_ACCEPT && rc >= 0)
		close((int)rc);
	check_canary(buffer, (uint32_t)len, n);
}

static void set_option(struct reader *r, int fd, uintptr_t p, uint64_t len)
{
	uint32_t level = next(r, 1), name = next(r, 1) & 0x3f;

	syscall(SYS_setsockopt, fd, level, name, p, len);
}

static void send_to(struct reader *r, int fd, uintptr_t p, uint64_t len)
{
	int flags = next_flags(r);
	uintptr_t name = next_pointer(r);
	uint64_t name_len = next_length(r);

	syscall(SYS_sendto, fd, p, len, flags, name, name_len);
}

static void call_with_buffer(struct reader *r, enum call_of_script what, int fd)
{
	uintptr_t p = next_pointer(r);
	uint64_t len = next_length(r);

	if (what == CALL_CONNECT)
		syscall(SYS_connect, fd, p, len);
	else if (what == CALL_BIND)
		syscall(SYS_bind, fd == world.pair[0] ? world.file : fd, p, len);
	else if (what == CALL_SETSOCKOPT)
		set_option(r, fd, p, len);
	else if (what == CALL_SENDTO)
		send_to(r, fd, p, len);
}

static void receive_from(struct reader *r, int fd)
{
	uintptr_t buffer = next_pointer(r), name = next_pointer(r), len_at = next_pointer(r);
	uint64_t len = next_length(r);
	int32_t name_len = (int32_t)next_length(r);
	size_t n = 0;

	if (name + sizeof(struct sockaddr_storage) <= buffer && len_at + sizeof(int) <= buffer)
		n = set_canary(buffer, len);
	put(len_at, &name_len, sizeof(name_len));
	syscall(SYS_recvfrom, fd, buffer, len, next_flags(r), name, len_at);
	check_canary(buffer, len, n);
}

static void call_with_messages(struct reader *r, enum call_of_script what, int fd)
{
	uintptr_t at = next_pointer(r);
	uint32_t n = what == CALL_SENDMSG || what == CALL_RECVMSG ? 1 : next(r, 1);
	uint32_t claimed = n & 0x80 ? (uint32_t)next_length(r) : n % 12;
	struct timespec limit = {0, 1000000};
	int flags = next_flags(r);

	for (uint32_t i = 0; i < 12 && i < n % 12; i++)
		next_head(r, at + i * sizeof(struct mmsghdr));
	if (what == CALL_SENDMSG)
		syscall(SYS_sendmsg, fd, at, flags);
	else if (what == CALL_RECVMSG)
		syscall(SYS_recvmsg, fd, at, flags);
	else if (what == CALL_SENDMMSG)
		syscall(SYS_sendmmsg, fd, at, claimed, flags);
	else
		syscall(SYS_recvmmsg, fd, at, claimed, flags, n & 1 ? &limit : NULL);
}

/* The arena gets addresses, and bytes of the script */
static void fill(struct reader *r)
{
	uint32_t port = next(r, 1), host = next(r, 1);
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(0x0a000000 | host)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons(443),
				   .sin6_addr = {.s6_addr = {0xfd, [15] = 1}}};
	uintptr_t p = next_pointer(r);
	uint32_t how = next(r, 1);

	if (how & 1)
		put(p, &in, sizeof(in));
	else if (how & 2)
		put(p, &in6, sizeof(in6));
	else
		for (uint32_t i = 0; i < how >> 2 && r->at < r->end; i++)
			put(p + i, r->at++, 1);
}

static void run(struct reader *r, bool first);

static void on_alarm(int number)
{
	(void)number; /* EINTR */
}

static void interrupts(bool on)
{
	struct itimerval timer = {.it_interval = {0, on ? INTERRUPT_US : 0},
				  .it_value = {0, on ? INTERRUPT_US : 0}};

	setitimer(ITIMER_REAL, &timer, NULL);
}

/* A process that ends, is killed or becomes another during a call */
static void fork_one(struct reader *r)
{
	uint32_t how = next(r, 1);
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		char *const none[] = {NULL};

		struct itimerval soon = {.it_value = {0, 100 * (1 + (long)(how >> 3))}};

		interrupts(true);
		if (how & 1) {
			signal(SIGALRM, SIG_DFL);
			setitimer(ITIMER_REAL, &soon, NULL);
		}
		run(r, false);
		if (how & 2)
			execve("/bin/true", none, none);
		_exit(0);
	}
	if (pid < 0)
		return;
	if (how & 4)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

static void one_call(struct reader *r, uint32_t what, uint32_t who, bool first)
{
	switch (what) {
	case CALL_SOCKET:
		make_socket(r, who);
		break;
	case CALL_LISTEN:
		syscall(SYS_listen, a_socket(who), next(r, 1));
		break;
	case CALL_SHUTDOWN:
		syscall(SYS_shutdown, a_socket(who), next(r, 1) % 4);
		break;
	case CALL_ACCEPT:
	case CALL_NAME:
	case CALL_GETSOCKOPT:
		call_that_tells(r, what, a_socket(who));
		break;
	case CALL_CONNECT:
	case CALL_BIND:
	case CALL_SETSOCKOPT:
	case CALL_SENDTO:
		call_with_buffer(r, what, a_socket(who));
		break;
	case CALL_RECVFROM:
		receive_from(r, a_socket(who));
		break;
	case CALL_SENDMSG:
	case CALL_SENDMMSG:
	case CALL_RECVMSG:
	case CALL_RECVMMSG:
		call_with_messages(r, what, a_socket(who));
		break;
	case CALL_CLOSE:
		close(atomic_exchange(&world.socket[who % SOCKETS], -1));
		break;
	case CALL_FILL:
		fill(r);
		break;
	case CALL_FORK:
		if (first && !world.threads)
			fork_one(r);
		break;
	}
}

/* @first: of the thread that has the whole script */
static void run(struct reader *r, bool first)
{
	for (int i = 0; i < CALLS_MAX && r->at < r->end; i++) {
		uint32_t what = next(r, 1) % CALLS, who = next(r, 1);

		one_call(r, what, who, first);
	}
}

/* Other calls at the same sockets, and another one at each turn: it ends when the first one does */
static void *second_thread(void *script)
{
	while (!world.over) {
		struct reader r = *(struct reader *)script;

		run(&r, false);
		sched_yield();
	}
	return NULL;
}

/* The arena is not what it was a moment ago */
static void *changer(void *script)
{
	const struct reader *r = script;
	size_t len = (size_t)(r->end - r->at);

	for (size_t i = 0; !world.over; i++) {
		world.arena[i * 61 % ARENA] = len ? r->at[i % len] : 0;
		if (i % 512 == 0)
			sched_yield();
	}
	return NULL;
}

static void play_one(void)
{
	struct reader whole = {shared->script, shared->script + shared->len}, part = whole;
	uint32_t how = next(&whole, 1);
	pthread_t thread[2];
	unsigned int n = 0;
	long fd;

	memset(world.arena, 0, ARENA);
	world.over = false;
	world.threads = how & 3;
	for (int i = 0; i < SOCKETS; i++)
		world.socket[i] = -1;
	world.file = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, world.pair))
		_exit(97);
	part.at += shared->len / 2;
	if (how & 1)
		n += pthread_create(&thread[n], NULL, changer, &part) == 0;
	if (how & 2)
		n += pthread_create(&thread[n], NULL, second_thread, &part) == 0;
	interrupts(true);
	run(&whole, true);
	interrupts(false);
	world.over = true;
	/* who is in a call that waits */
	for (unsigned int i = 0; i < n; i++) {
		while (pthread_tryjoin_np(thread[i], NULL)) {
			pthread_kill(thread[i], SIGALRM);
			usleep(200);
		}
	}
	for (int i = 0; i < SOCKETS; i++)
		if (world.socket[i] >= 0)
			close(world.socket[i]);
	fd = syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0);
	shared->works = fd < 0 ? errno : 0;
	close_range(3, UINT32_MAX, 0);
}

static void wait_while(uint32_t turn)
{
	while (shared->turn == turn)
		syscall(SYS_futex, &shared->turn, FUTEX_WAIT, turn, NULL, NULL, 0);
}

static void next_turn(void)
{
	shared->turn++;
	syscall(SYS_futex, &shared->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int play(void)
{
	struct sigaction act = {.sa_handler = on_alarm};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 1);
	sigaction(SIGALRM, &act, NULL);
	while (!shared->over) {
		wait_while(shared->turn & ~1U);
		play_one();
		next_turn();
	}
	return 0;
}

/* The filter's descriptor is taken over before: what is closed here is the child's alone */
static int play_alone(void)
{
	if (unshare(CLONE_FILES) || close_range(3, UINT32_MAX, 0))
		return 98;
	return play();
}

/* ---- the supervisor's process ---- */

static bool wait_for_bytes(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 20) == 1;
}

/* A connection comes to the tunnel process: it is up, refused or dropped, as @how says */
static void take_connection(uint8_t how)
{
	struct fake_conn c = {.fd = accept4(tunnel.stream, NULL, NULL, SOCK_CLOEXEC), .dup = -1};
	uint64_t tag = 0;
	socklen_t len = sizeof(tag);

	if (c.fd < 0)
		return;
	if (how & 3 && wait_for_bytes(c.fd))
		c.dup = fake_take_fd(c.fd);
	for (int i = 0; c.dup >= 0 && i < 20 && !(tag & WGW_TAG_FILLED); i++) {
		getsockopt(c.dup, SOL_SOCKET, SO_MAX_PACING_RATE, &tag, &len);
		if (!(tag & WGW_TAG_FILLED))
			usleep(500);
	}
	if (c.dup >= 0 && how & 1)
		fake_label(&tunnel, c.dup,
			   &(struct wgw_label){.outcome = WGW_OUTCOME_FAILED, .err = ECONNREFUSED});
	else if (c.dup >= 0 && fake_success_label(&tunnel, &c) == 0)
		fake_success_open(&c);
	if (c.dup >= 0)
		close(c.dup);
	close(c.fd);
}

static void forget_sockets(void)
{
	pthread_mutex_lock(&tunnel.lock);
	for (int i = 0; i < FAKE_SOCKETS; i++)
		fake_forget(&tunnel.socket[i]);
	memset(tunnel.option, 0, sizeof(tunnel.option));
	pthread_mutex_unlock(&tunnel.lock);
}

/* What was kept for calls that were interrupted goes after some seconds */
static void check_descriptors(void)
{
	static unsigned int first;
	unsigned int n = open_descriptors();

	if (!first)
		first = n;
	for (int s = 0; s < 1200 && n > first + KEPT_MAX; s++) {
		usleep(100000);
		forget_sockets(); /* of conversations that had not been looked at */
		n = open_descriptors();
	}
	ck_assert_uint_le(n, first + KEPT_MAX);
}

static void end(void)
{
	shared->over = true;
	next_turn();
	waitpid(child, NULL, 0);
	fake_stop(&tunnel);
}

static void begin_once(void)
{
	sigset_t all, before;
	int listener;
	struct wgw_capture_options options = {.session = tunnel.env};

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	world.arena = mmap(NULL, ARENA + 2 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(shared != MAP_FAILED && world.arena != MAP_FAILED);
	world.read_only = world.arena + ARENA + PAGE;
	mprotect(world.arena + ARENA, PAGE, PROT_NONE);
	mprotect(world.read_only, PAGE, PROT_READ);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	child = begin(play_alone, &listener);
	fake_start(&tunnel);
	tunnel.forgets = true;
	atexit(end);
	fcntl(tunnel.stream, F_SETFL, O_NONBLOCK);
	options.listener = listener;
	ck_assert_ptr_nonnull(wgw_capture_start(&options));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Nothing is tried where a supervisor cannot be had. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct wgw_capture_trial trial = {0};
	struct wgw_capture_probe probe;

	(void)argc;
	(void)argv;
	ck_assert_int_eq(wgw_capture_probe(&trial, &probe), 0);
	wgw_capture_probe_end(&trial);
	if (probe.level != WGW_CAPTURE_SUPERVISED || probe.without_getfd) {
		printf("skipped: %s\n", probe.why[0] ? probe.why : "pidfd_getfd is refused");
		exit(0);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct timespec now;
	int64_t until;
	uint32_t turn;

	if (!child)
		begin_once();
	if (size > SCRIPT_MAX)
		size = SCRIPT_MAX;
	memcpy(shared->script, data, size);
	shared->len = size;
	turn = shared->turn + 1;
	next_turn();
	clock_gettime(CLOCK_MONOTONIC, &now);
	until = now.tv_sec * 1000 + END_MS;
	for (uint8_t how = 1; shared->turn == turn; how++) {
		struct pollfd p = {.fd = tunnel.stream, .events = POLLIN};

		if (poll(&p, 1, 1) == 1)
			take_connection(how);
		clock_gettime(CLOCK_MONOTONIC, &now);
		ck_assert_msg(now.tv_sec * 1000 < until, "the program hangs");
		ck_assert_msg(waitpid(child, NULL, WNOHANG) == 0, "the program has ended");
	}
	ck_assert_int_eq(shared->works, 0);
	forget_sockets();
	check_descriptors();
	return 0;
}

#include "tests/fuzz/replay.h"
