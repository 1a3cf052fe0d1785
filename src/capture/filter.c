/* SPDX-License-Identifier: MIT */
/*
 * filter.c - the system call filters, installed before exec
 *
 * Without an IP socket nothing can leave, so what matters is making one. Both filters answer:
 *
 *   another architecture's entry (int 0x80), x32	ENOSYS
 *   io_uring_setup, _enter, _register			ENOSYS: its socket operations bypass filters
 *   socket(AF_UNIX), socket(AF_NETLINK, NETLINK_ROUTE)	allowed
 *   socket(AF_NETLINK, others)				EPROTONOSUPPORT
 *   socket(any other family)				EAFNOSUPPORT
 *   socket(AF_INET, AF_INET6)				EACCES, or reported to the supervisor
 *   socketpair(any family but AF_UNIX)			EOPNOTSUPP, as of nearly all
 *
 * The supervised filter also reports the calls that mean something else on our sockets than on
 * AF_UNIX sockets: addresses, names and options. It leaves alone whatever moves data without an
 * address, and all calls that the preloaded library makes from its own page (raw.h), which
 * knows what it does. Making a socket is never exempt.
 *
 * The kernel takes family, protocol, level and option as int, so only their low halves count; a
 * comparison of all 64 bits could be walked around. Inherited by fork and exec, cannot be removed.
 *
 * System calls that are not looked at are allowed by their number alone: the kernel then answers
 * them from a bitmap, without running the filter.
 */
#include <asm/socket.h>
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/capture/capture.h"
#include "src/repr/raw.h"

#if __BYTE_ORDER != __LITTLE_ENDIAN
#error "load_low takes the first half of an argument"
#endif

enum { X32_BIT = 0x40000000, CODE_MAX = 256 };

/** struct program - a filter while it is written */
struct program {
	struct sock_filter code[CODE_MAX];
	unsigned short n;
};

static void add(struct program *p, struct sock_filter statement)
{
	if (p->n == CODE_MAX)
		abort();
	p->code[p->n++] = statement;
}

static void load(struct program *p, size_t offset)
{
	add(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void load_low(struct program *p, unsigned int argument)
{
	load(p, offsetof(struct seccomp_data, args[argument]));
}

static void load_high(struct program *p, unsigned int argument)
{
	load(p, offsetof(struct seccomp_data, args[argument]) + sizeof(uint32_t));
}

static void answer(struct program *p, uint32_t action)
{
	add(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

static uint32_t fail(int err)
{
	return SECCOMP_RET_ERRNO | (uint32_t)err;
}

/** answer_if() - when the accumulator is @value */
static void answer_if(struct program *p, uint32_t value, uint32_t action)
{
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
	answer(p, action);
}

static void answer_unless(struct program *p, uint32_t value, uint32_t action)
{
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0));
	answer(p, action);
}

/** answer_if_any() - when the accumulator is one of the @n @values; they share the answer, as every
 * statement is compiled at each start */
static void answer_if_any(struct program *p, const uint32_t *values, uint8_t n, uint32_t action)
{
	for (uint8_t i = 0; i < n; i++) {
		bool last = i == n - 1;

		add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, values[i],
						    (uint8_t)(n - 1 - i), last ? 1 : 0));
	}
	answer(p, action);
}

/** call() - opens the part about system call @nr, which must end with an answer; to close_call() */
static unsigned short call(struct program *p, uint32_t nr)
{
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 0));
	return (unsigned short)(p->n - 1);
}

static void close_call(struct program *p, unsigned short at)
{
	p->code[at].jf = (uint8_t)(p->n - at - 1);
}

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/** gates() - ways around a filter that looks at system call numbers */
static void gates(struct program *p)
{
	static const uint32_t rings[] = {__NR_io_uring_setup, __NR_io_uring_enter,
					 __NR_io_uring_register};

	load(p, offsetof(struct seccomp_data, arch));
	answer_unless(p, WGW_RAW_ARCH, fail(ENOSYS));
	load(p, offsetof(struct seccomp_data, nr));
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1));
	answer(p, fail(ENOSYS));
	answer_if_any(p, rings, COUNT(rings), fail(ENOSYS));
}

/** creation() - socket(2), socketpair(2). @ip: what IP sockets get */
static void creation(struct program *p, uint32_t ip)
{
	static const uint32_t families[] = {AF_INET, AF_INET6};
	unsigned short at = call(p, __NR_socket);

	load_low(p, 0);
	answer_if(p, AF_UNIX, SECCOMP_RET_ALLOW);
	answer_if_any(p, families, COUNT(families), ip);
	answer_unless(p, AF_NETLINK, fail(EAFNOSUPPORT));
	load_low(p, 2);
	answer_if(p, NETLINK_ROUTE, SECCOMP_RET_ALLOW);
	answer(p, fail(EPROTONOSUPPORT));
	close_call(p, at);
	/* AF_TIPC has pairs, and each of one can send to other hosts */
	at = call(p, __NR_socketpair);
	load_low(p, 0);
	answer_if(p, AF_UNIX, SECCOMP_RET_ALLOW);
	answer(p, fail(EOPNOTSUPP));
	close_call(p, at);
}

/** exempt_page() - the preloaded library's own calls are allowed */
static void exempt_page(struct program *p)
{
	const size_t at = offsetof(struct seccomp_data, instruction_pointer);

	load(p, at + sizeof(uint32_t));
	/* over the next four when it is not below 4 GB */
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4));
	load(p, at);
	add(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K,
					    ~((uint32_t)WGW_RAW_PAGE_BYTES - 1)));
	answer_if(p, WGW_RAW_PAGE_ADDRESS, SECCOMP_RET_ALLOW);
}

/** report_unless_null() - the end of a part: reported when pointer @argument is not NULL */
static void report_unless_null(struct program *p, unsigned int argument)
{
	load_low(p, argument);
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0));
	answer(p, SECCOMP_RET_USER_NOTIF);
	load_high(p, argument);
	answer_if(p, 0, SECCOMP_RET_ALLOW);
	answer(p, SECCOMP_RET_USER_NOTIF);
}

/** report_transfer() - sendto(2), recvfrom(2): reported with an address, or flags that mean
 * something else on AF_UNIX */
static void report_transfer(struct program *p, uint32_t nr)
{
	unsigned short at = call(p, nr);

	load_low(p, 3);
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K,
					    MSG_OOB | MSG_ERRQUEUE | MSG_FASTOPEN, 0, 1));
	answer(p, SECCOMP_RET_USER_NOTIF);
	report_unless_null(p, 4);
	close_call(p, at);
}

/** report_accept() - accept(2), accept4(2): not reported when the preloaded library calls libc,
 * whose wait is a cancellation point: it gives no address, and this address for its length, which
 * the kernel then does not look at */
static void report_accept(struct program *p)
{
	unsigned short at;

	/* to what follows the next one */
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_accept, 1, 0));
	at = call(p, __NR_accept4);
	load_high(p, 2);
	answer_unless(p, 0, SECCOMP_RET_USER_NOTIF);
	load_low(p, 2);
	answer_unless(p, WGW_RAW_PAGE_ADDRESS, SECCOMP_RET_USER_NOTIF);
	report_unless_null(p, 1);
	close_call(p, at);
}

/** report_options() - reported outside SOL_SOCKET, and for the @n of @names inside */
static void report_options(struct program *p, uint32_t nr, const uint32_t *names, uint8_t n)
{
	unsigned short at = call(p, nr);

	load_low(p, 1);
	answer_unless(p, SOL_SOCKET, SECCOMP_RET_USER_NOTIF);
	load_low(p, 2);
	answer_if_any(p, names, n, SECCOMP_RET_USER_NOTIF);
	answer(p, SECCOMP_RET_ALLOW);
	close_call(p, at);
}

/* Most calls on sockets have numbers in a row, which begin with socket(2). */
#if defined(__x86_64__)
enum { ROW_FIRST = __NR_socket, ROW_LAST = __NR_getsockopt };
#else
enum { ROW_FIRST = __NR_socket, ROW_LAST = __NR_recvmsg };
#endif
#define IN_ROW(call) (__NR_##call > ROW_FIRST && __NR_##call <= ROW_LAST)
static_assert(IN_ROW(connect) && IN_ROW(bind) && IN_ROW(listen) && IN_ROW(getsockname) &&
		      IN_ROW(getpeername) && IN_ROW(shutdown) && IN_ROW(sendmsg) &&
		      IN_ROW(recvmsg) && IN_ROW(accept) && IN_ROW(sendto) && IN_ROW(recvfrom) &&
		      IN_ROW(getsockopt) && IN_ROW(setsockopt),
	      "they are looked at");
static_assert(__NR_accept4 > ROW_LAST && __NR_sendmmsg > ROW_LAST && __NR_recvmmsg > ROW_LAST,
	      "they are looked at");

/** report_sockets() - what means something else on our sockets than on AF_UNIX sockets; ends with an
 * answer */
static void report_sockets(struct program *p)
{
	/* their meaning cannot be seen in their arguments */
	static const uint32_t always[] = {
		__NR_connect,  __NR_bind,    __NR_listen,  __NR_getsockname, __NR_getpeername,
		__NR_shutdown, __NR_sendmsg, __NR_recvmsg, __NR_sendmmsg,    __NR_recvmmsg};
	static const uint32_t got[] = {SO_ERROR,	   SO_TYPE,	SO_DOMAIN,     SO_PROTOCOL,
				       SO_REUSEPORT,	   SO_SNDBUF,	SO_RCVBUF,     SO_PEERCRED,
				       SO_MAX_PACING_RATE, SO_PEERNAME, SO_PEERGROUPS, SO_PASSCRED,
				       SO_ACCEPTCONN};
	static const uint32_t set[] = {SO_SNDBUF,	 SO_SNDBUFFORCE,  SO_REUSEPORT,
				       SO_LINGER,	 SO_KEEPALIVE,	  SO_ZEROCOPY,
				       SO_BINDTODEVICE,	 SO_INCOMING_CPU, SO_MAX_PACING_RATE,
				       SO_ATTACH_FILTER, SO_ATTACH_BPF,	  SO_RCVBUF,
				       SO_RCVBUFFORCE,	 SO_PASSCRED,	  SO_REUSEADDR};

	exempt_page(p);
	load(p, offsetof(struct seccomp_data, nr));
	answer_if_any(p, always, COUNT(always), SECCOMP_RET_USER_NOTIF);
	report_accept(p);
	report_transfer(p, __NR_sendto);
	report_transfer(p, __NR_recvfrom);
	report_options(p, __NR_getsockopt, got, COUNT(got));
	report_options(p, __NR_setsockopt, set, COUNT(set));
	answer(p, SECCOMP_RET_ALLOW);
}

/** reports() - ends with an answer. By number first: the kernel tries every number when it takes
 * the filter, and compiles each statement */
static void reports(struct program *p)
{
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, ROW_FIRST, 1, 0));
	answer(p, SECCOMP_RET_ALLOW);
	/* each over those behind it and the answer */
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, ROW_LAST, 0, 4));
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_accept4, 3, 0));
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_sendmmsg, 2, 0));
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_recvmmsg, 1, 0));
	answer(p, SECCOMP_RET_ALLOW);
	report_sockets(p);
}

/** install() - by bare system calls: the caller may share its memory, errno too, with its parent */
static int install(const struct program *p, unsigned long flags)
{
	struct sock_fprog program = {.len = p->n, .filter = (struct sock_filter *)p->code};
	long rc = wgw_raw_call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0);

	if (rc < 0)
		return (int)rc;
	/* without the flag, kernels before 5.16 slow the whole program down (speculation) */
	rc = wgw_raw_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  (long)(flags | SECCOMP_FILTER_FLAG_SPEC_ALLOW), (long)&program, 0, 0, 0);
	if (rc < 0)
		rc = wgw_raw_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (long)flags, (long)&program,
				  0, 0, 0);
	return (int)rc;
}

int wgw_filter_install(void)
{
	struct program p = {.n = 0};

	gates(&p);
	creation(&p, fail(EACCES));
	answer(&p, SECCOMP_RET_ALLOW);
	return install(&p, 0);
}

/** install_supervised() - the filter that reports, or for @trial one call of each kind of it; its
 * listener or -errno */
static int install_supervised(bool trial)
{
	struct program p = {.n = 0};

	gates(&p);
	creation(&p, SECCOMP_RET_USER_NOTIF);
	if (trial) {
		answer_if(&p, __NR_bind, SECCOMP_RET_USER_NOTIF);
		answer(&p, SECCOMP_RET_ALLOW);
	} else {
		reports(&p);
	}
	return install(&p, SECCOMP_FILTER_FLAG_NEW_LISTENER);
}

/** own_table() - ends the sharing of descriptors with the parent. Not by unshare(2), which
 * containers refuse */
static int own_table(void)
{
	if (wgw_raw_call(SYS_close_range, UINT_MAX, UINT_MAX, CLOSE_RANGE_UNSHARE, 0, 0, 0) == 0)
		return 0;
	return (int)wgw_raw_call(SYS_unshare, CLONE_FILES, 0, 0, 0, 0, 0);
}

static int hand_over(bool trial)
{
	int listener = install_supervised(trial);
	int err;

	if (listener < 0)
		return listener;
	err = own_table();
	if (err)
		return err;
	wgw_raw_close(listener);
	return listener;
}

int wgw_filter_hand_over(void)
{
	return hand_over(false);
}

int wgw_filter_hand_over_trial(void)
{
	return hand_over(true);
}
