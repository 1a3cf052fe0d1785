/* SPDX-License-Identifier: MIT */
/* test_capture_filter.c - what the filter lets pass, and with which errno it refuses the rest */
#include <check.h>
#include <errno.h>
#include <linux/netlink.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/capture/capture.h"
#include "tests/unit/run_suite.h"

/** under_filter() - errno of @call in a process with the filter; 0: it succeeded */
static int under_filter(long (*call)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (wgw_filter_install())
			_exit(255);
		_exit(call() < 0 ? errno : 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

#define CALL(name, ...)                                                                            \
	static long name(void)                                                                     \
	{                                                                                          \
		return syscall(__VA_ARGS__);                                                       \
	}
CALL(inet_stream, SYS_socket, AF_INET, SOCK_STREAM, 0)
CALL(inet_dgram, SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
CALL(inet_icmp, SYS_socket, AF_INET, SOCK_DGRAM, 1)
CALL(inet_mptcp, SYS_socket, AF_INET, SOCK_STREAM, 262)
CALL(inet6_stream, SYS_socket, AF_INET6, SOCK_STREAM, 0)
CALL(inet_high_bits, SYS_socket, 0x100000000UL | AF_INET, SOCK_STREAM, 0)
CALL(inet6_high_bits, SYS_socket, 0xffffffff00000000UL | AF_INET6, SOCK_STREAM, 0)
CALL(packet, SYS_socket, AF_PACKET, SOCK_RAW, 0)
CALL(vsock, SYS_socket, AF_VSOCK, SOCK_STREAM, 0)
CALL(smc, SYS_socket, 43, SOCK_STREAM, 0)
CALL(unspec, SYS_socket, 0, SOCK_STREAM, 0)
CALL(alg, SYS_socket, AF_ALG, SOCK_SEQPACKET, 0)
CALL(unix_stream, SYS_socket, AF_UNIX, SOCK_STREAM, 0)
CALL(netlink_route, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
CALL(netlink_generic, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_GENERIC)
static int pair[2];
CALL(unix_pair, SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair)
CALL(inet_pair, SYS_socketpair, AF_INET, SOCK_STREAM, 0, pair)
CALL(tipc_pair, SYS_socketpair, AF_TIPC, SOCK_SEQPACKET, 0, pair)
CALL(tipc_pair_high_bits, SYS_socketpair, 0x100000000UL | AF_TIPC, SOCK_SEQPACKET, 0, pair)
CALL(io_uring_setup, SYS_io_uring_setup, 1, NULL)
CALL(io_uring_enter, SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0)
CALL(io_uring_register, SYS_io_uring_register, -1, 0, NULL, 0)
CALL(getpid_call, SYS_getpid)

static long no_new_privs_missing(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1;
}

static const struct {
	long (*call)(void);
	int err;
	const char *name;
} filter_cases[] = {
	{inet_stream, EACCES, "AF_INET stream"},
	{inet_dgram, EACCES, "AF_INET datagram"},
	{inet_icmp, EACCES, "ICMP echo"},
	{inet_mptcp, EACCES, "MPTCP"},
	{inet6_stream, EACCES, "AF_INET6 stream"},
	{inet_high_bits, EACCES, "AF_INET with garbage above 32 bits"},
	{inet6_high_bits, EACCES, "AF_INET6 with garbage above 32 bits"},
	{packet, EAFNOSUPPORT, "AF_PACKET"},
	{vsock, EAFNOSUPPORT, "AF_VSOCK"},
	{smc, EAFNOSUPPORT, "AF_SMC"},
	{unspec, EAFNOSUPPORT, "AF_UNSPEC"},
	{alg, EAFNOSUPPORT, "AF_ALG"},
	{netlink_generic, EPROTONOSUPPORT, "generic netlink"},
	{io_uring_setup, ENOSYS, "io_uring_setup"},
	{io_uring_enter, ENOSYS, "io_uring_enter"},
	{io_uring_register, ENOSYS, "io_uring_register"},
	{inet_pair, EOPNOTSUPP, "a pair of AF_INET"},
	{tipc_pair, EOPNOTSUPP, "a pair of AF_TIPC"},
	{tipc_pair_high_bits, EOPNOTSUPP, "a pair of AF_TIPC with garbage above 32 bits"},
	{unix_pair, 0, "a pair of AF_UNIX"},
	{unix_stream, 0, "AF_UNIX"},
	{netlink_route, 0, "rtnetlink"},
	{getpid_call, 0, "another call"},
	{no_new_privs_missing, 0, "no_new_privs"},
};

START_TEST(filter_decides)
{
	ck_assert_msg(under_filter(filter_cases[_i].call) == filter_cases[_i].err,
		      "%s: errno %d, expected %d", filter_cases[_i].name,
		      under_filter(filter_cases[_i].call), filter_cases[_i].err);
}
END_TEST

#ifdef __x86_64__
static long x32_socket(void)
{
	return syscall(0x40000000 + SYS_socket, AF_INET, SOCK_STREAM, 0);
}

/* socket(2) through the gate of 32-bit programs: number 359 there */
static long i386_socket(void)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(359), "b"(AF_INET), "c"(SOCK_STREAM), "d"(0)
			 : "r8", "r9", "r10", "r11", "memory");
	if (ret >= 0)
		return ret;
	errno = (int)-ret;
	return -1;
}

START_TEST(filter_closes_other_gates)
{
	ck_assert_int_eq(under_filter(x32_socket), ENOSYS);
	ck_assert_int_eq(under_filter(i386_socket), ENOSYS);
}
END_TEST
#endif

static Suite *suite(void)
{
	Suite *s = suite_create("capture-filter");
	TCase *t = tcase_create("filter");

	tcase_add_loop_test(t, filter_decides, 0, sizeof(filter_cases) / sizeof(*filter_cases));
#ifdef __x86_64__
	tcase_add_test(t, filter_closes_other_gates);
#endif
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
