/* SPDX-License-Identifier: MIT */
/* raw.c - the system call instruction, per architecture, and what needs more than one line */
#include "src/repr/raw.h"

#include <sys/stat.h>

#if defined(__x86_64__)

long wgw_raw_call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#elif defined(__aarch64__)

long wgw_raw_call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

#else
#error "wgwrap knows the system call conventions of x86-64 and arm64 only"
#endif

int wgw_raw_poll(struct pollfd *fds, unsigned int n, int timeout_ms)
{
	struct timespec ts = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};

	return (int)wgw_raw_call(SYS_ppoll, (long)fds, (long)n, timeout_ms < 0 ? 0 : (long)&ts, 0,
				 0, 0);
}

int64_t wgw_raw_now_ms(void)
{
	struct timespec ts = {0};

	wgw_raw_call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&ts, 0, 0, 0, 0);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

uint64_t wgw_raw_inode(int fd)
{
	struct stat st; /* the kernel's own layout on both architectures */

	return wgw_raw_call(SYS_fstat, fd, (long)&st, 0, 0, 0, 0) < 0 ? 0 : st.st_ino;
}
