/* SPDX-License-Identifier: MIT */
/*
 * raw_syscalls.c - asks the kernel for sockets without going through libc
 *
 * Prints one line for each kind: the errno, or "CREATED". Nothing may be created but AF_UNIX and
 * netlink.
 */
#include <linux/if_packet.h>
#include <sys/syscall.h>

#include "common.h"

static long raw_syscall3(long number, long a, long b, long c)
{
#if defined(__x86_64__)
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	return x0;
#else
#error "an architecture we do not know"
#endif
}

static void attempt(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? err_name((int)-result) : "CREATED");
	if (result >= 0)
		close((int)result);
}

int main(void)
{
	static char io_uring_params[256];

	attempt("inet stream", raw_syscall3(SYS_socket, AF_INET, SOCK_STREAM, 0));
	attempt("inet6 stream", raw_syscall3(SYS_socket, AF_INET6, SOCK_STREAM, 0));
	attempt("inet dgram", raw_syscall3(SYS_socket, AF_INET, SOCK_DGRAM, 0));
	attempt("inet6 dgram", raw_syscall3(SYS_socket, AF_INET6, SOCK_DGRAM, 0));
	attempt("inet icmp", raw_syscall3(SYS_socket, AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
	attempt("inet raw", raw_syscall3(SYS_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP));
	attempt("inet mptcp", raw_syscall3(SYS_socket, AF_INET, SOCK_STREAM, 262));
	attempt("inet sctp", raw_syscall3(SYS_socket, AF_INET, SOCK_STREAM, IPPROTO_SCTP));
	attempt("packet", raw_syscall3(SYS_socket, AF_PACKET, SOCK_DGRAM, 0));
	attempt("vsock", raw_syscall3(SYS_socket, AF_VSOCK, SOCK_STREAM, 0));
	attempt("xdp", raw_syscall3(SYS_socket, AF_XDP, SOCK_RAW, 0));
	attempt("high bits", raw_syscall3(SYS_socket, (long)0x100000000 | AF_INET, SOCK_STREAM, 0));
	attempt("io_uring", raw_syscall3(SYS_io_uring_setup, 4, (long)io_uring_params, 0));
#if defined(__x86_64__)
	attempt("x32 socket", raw_syscall3(0x40000000 | SYS_socket, AF_INET, SOCK_STREAM, 0));
#endif
	return 0;
}
