/* SPDX-License-Identifier: MIT */
/* raw.c - the system call instruction, per architecture, and what needs more than one line */
#include "src/repr/raw.h"

#include <sys/mman.h>
#include <sys/stat.h>

/*
 * The instruction has a page to itself, in the file, so that mremap(2) can show it at another
 * address: code that is not from a file may not be allowed.
 */
#if defined(__x86_64__)
__asm__(".pushsection .text.wgw_raw, \"ax\", @progbits\n"
	".balign 4096\n"
	".type wgw_raw_instruction, @function\n"
	".globl wgw_raw_instruction\n"
	".hidden wgw_raw_instruction\n"
	"wgw_raw_instruction:\n"
	"endbr64\n"
	"mov %rdi, %rax\n"
	"mov %rsi, %rdi\n"
	"mov %rdx, %rsi\n"
	"mov %rcx, %rdx\n"
	"mov %r8, %r10\n"
	"mov %r9, %r8\n"
	"mov 8(%rsp), %r9\n"
	"syscall\n"
	"ret\n"
	".size wgw_raw_instruction, . - wgw_raw_instruction\n"
	".balign 4096\n"
	".popsection\n");
#elif defined(__aarch64__)
__asm__(".pushsection .text.wgw_raw, \"ax\", %progbits\n"
	".balign 65536\n"
	".type wgw_raw_instruction, %function\n"
	".globl wgw_raw_instruction\n"
	".hidden wgw_raw_instruction\n"
	"wgw_raw_instruction:\n"
	"hint #34\n" /* bti c */
	"mov x8, x0\n"
	"mov x0, x1\n"
	"mov x1, x2\n"
	"mov x2, x3\n"
	"mov x3, x4\n"
	"mov x4, x5\n"
	"mov x5, x6\n"
	"svc #0\n"
	"ret\n"
	".size wgw_raw_instruction, . - wgw_raw_instruction\n"
	".balign 65536\n"
	".popsection\n");
#else
#error "wgwrap knows the system call conventions of x86-64 and arm64 only"
#endif

long (*wgw_raw_call)(long nr, long a, long b, long c, long d, long e, long f) = wgw_raw_instruction;

bool wgw_raw_use_page(void)
{
	const long page = WGW_RAW_PAGE_BYTES;
	union {
		long address;
		long (*call)(long nr, long a, long b, long c, long d, long e, long f);
	} moved;
	long rc;

	/* what is there already must not be replaced, so the place is taken first */
	rc = wgw_raw_call(SYS_mmap, WGW_RAW_PAGE_ADDRESS, page, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (rc != WGW_RAW_PAGE_ADDRESS)
		return false;
	rc = wgw_raw_call(SYS_mremap, (long)wgw_raw_instruction, page, page,
			  MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, WGW_RAW_PAGE_ADDRESS,
			  0);
	if (rc != WGW_RAW_PAGE_ADDRESS) {
		wgw_raw_call(SYS_munmap, WGW_RAW_PAGE_ADDRESS, page, 0, 0, 0, 0);
		return false;
	}
	moved.address = rc;
	wgw_raw_call = moved.call;
	return true;
}

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
