/* SPDX-License-Identifier: MIT */
/*
 * raw.h - the kernel, without libc in between
 *
 * The representation runs inside wrapped programs, where libc's socket functions are our own hooks,
 * and in the supervisor. Both call the kernel through these wrappers: no hook can recurse, errno is
 * not touched, a result is >= 0 or -errno.
 */
#ifndef SRC_REPR_RAW_H
#define SRC_REPR_RAW_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

/* What seccomp filters are told of this architecture (<linux/audit.h>) */
#if defined(__x86_64__)
#define WGW_RAW_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define WGW_RAW_ARCH AUDIT_ARCH_AARCH64
#else
#error "name this architecture for seccomp"
#endif

/*
 * The page from which the preloaded library calls the kernel, in every program at the same address:
 * so the supervised filter can tell its calls from the program's. Just below 2 GB, which
 * programs, heaps, and the shadow memory of sanitisers leave alone on both architectures.
 */
#define WGW_RAW_PAGE_ADDRESS 0x7fff0000
#if defined(__aarch64__)
enum { WGW_RAW_PAGE_BYTES = 65536 }; /* the largest page there */
#else
enum { WGW_RAW_PAGE_BYTES = 4096 };
#endif

/* Moves the system call instruction to that page. Whatever is there already stays, and calls come
 * from where they came from. They are then reported, and the supervisor takes them for the
 * program's: names and TCP work, datagrams do not. Returns whether it moved. Calls nothing but the
 * kernel, so that it can run before the caller's libraries are relocated. */
bool wgw_raw_use_page(void);

/* The instruction where it is in the file: calls from there are reported. As wgw_raw_call. */
long wgw_raw_instruction(long nr, long a, long b, long c, long d, long e, long f);

/* System call @nr. Returns what the kernel returns: -4095..-1 is -errno. */
extern long (*wgw_raw_call)(long nr, long a, long b, long c, long d, long e, long f);

static inline int wgw_raw_socket(int domain, int type, int protocol)
{
	return (int)wgw_raw_call(SYS_socket, domain, type, protocol, 0, 0, 0);
}

static inline int wgw_raw_connect(int fd, const void *addr, socklen_t len)
{
	return (int)wgw_raw_call(SYS_connect, fd, (long)addr, (long)len, 0, 0, 0);
}

static inline int wgw_raw_bind(int fd, const void *addr, socklen_t len)
{
	return (int)wgw_raw_call(SYS_bind, fd, (long)addr, (long)len, 0, 0, 0);
}

static inline int wgw_raw_listen(int fd, int backlog)
{
	return (int)wgw_raw_call(SYS_listen, fd, backlog, 0, 0, 0, 0);
}

static inline int wgw_raw_getsockname(int fd, void *addr, socklen_t *len)
{
	return (int)wgw_raw_call(SYS_getsockname, fd, (long)addr, (long)len, 0, 0, 0);
}

static inline int wgw_raw_getpeername(int fd, void *addr, socklen_t *len)
{
	return (int)wgw_raw_call(SYS_getpeername, fd, (long)addr, (long)len, 0, 0, 0);
}

static inline int wgw_raw_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return (int)wgw_raw_call(SYS_getsockopt, fd, level, name, (long)value, (long)len, 0);
}

static inline int wgw_raw_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return (int)wgw_raw_call(SYS_setsockopt, fd, level, name, (long)value, (long)len, 0);
}

static inline ssize_t wgw_raw_send(int fd, const void *data, size_t len, int flags)
{
	return wgw_raw_call(SYS_sendto, fd, (long)data, (long)len, flags, 0, 0);
}

static inline ssize_t wgw_raw_recv(int fd, void *data, size_t len, int flags)
{
	return wgw_raw_call(SYS_recvfrom, fd, (long)data, (long)len, flags, 0, 0);
}

static inline ssize_t wgw_raw_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return wgw_raw_call(SYS_sendmsg, fd, (long)msg, flags, 0, 0, 0);
}

static inline ssize_t wgw_raw_recvmsg(int fd, struct msghdr *msg, int flags)
{
	return wgw_raw_call(SYS_recvmsg, fd, (long)msg, flags, 0, 0, 0);
}

static inline int wgw_raw_shutdown(int fd, int how)
{
	return (int)wgw_raw_call(SYS_shutdown, fd, how, 0, 0, 0, 0);
}

static inline int wgw_raw_close(int fd)
{
	return (int)wgw_raw_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

static inline int wgw_raw_fcntl(int fd, int command, long arg)
{
	return (int)wgw_raw_call(SYS_fcntl, fd, command, arg, 0, 0, 0);
}

/* @timeout_ms: -1: no limit */
int wgw_raw_poll(struct pollfd *fds, unsigned int n, int timeout_ms);

static inline int wgw_raw_openat(int dir, const char *path, int flags, int mode)
{
	return (int)wgw_raw_call(SYS_openat, dir, (long)path, flags, mode, 0, 0);
}

static inline ssize_t wgw_raw_read(int fd, void *data, size_t len)
{
	return wgw_raw_call(SYS_read, fd, (long)data, (long)len, 0, 0, 0);
}

static inline int wgw_raw_unlinkat(int dir, const char *path)
{
	return (int)wgw_raw_call(SYS_unlinkat, dir, (long)path, 0, 0, 0, 0);
}

static inline int wgw_raw_fchmodat(int dir, const char *path, unsigned int mode)
{
	return (int)wgw_raw_call(SYS_fchmodat, dir, (long)path, (long)mode, 0, 0, 0);
}

static inline ssize_t wgw_raw_getrandom(void *data, size_t len)
{
	return wgw_raw_call(SYS_getrandom, (long)data, (long)len, 0, 0, 0, 0);
}

static inline int wgw_raw_getpid(void)
{
	return (int)wgw_raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

/* st_ino of @fd, 0: none. */
uint64_t wgw_raw_inode(int fd);

/* Monotonic clock in ms. */
int64_t wgw_raw_now_ms(void);

#endif
