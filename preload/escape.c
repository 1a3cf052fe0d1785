/* SPDX-License-Identifier: MIT */
/*
 * escape.c - syscall(2), prctl(2), and libc's other names for what is hooked
 *
 * Programs call the kernel by number for what their libc lacks, and some for sockets. The latter go
 * the way of the function of that name; everything else is passed on as it is.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "preload/pre.h"
#include "src/repr/raw.h"

/** struct call - the six arguments of a system call */
struct call {
	long a, b, c, d, e, f;
};

/* Calls on sockets. false: it is none. */
static bool socket_call(long nr, const struct call *k, long *result)
{
	int fd = (int)k->a;

	switch (nr) {
	case SYS_socket:
		*result = socket(fd, (int)k->b, (int)k->c);
		return true;
	case SYS_connect:
		*result = connect(fd, (void *)k->b, (socklen_t)k->c);
		return true;
	case SYS_bind:
		*result = bind(fd, (void *)k->b, (socklen_t)k->c);
		return true;
	case SYS_listen:
		*result = listen(fd, (int)k->b);
		return true;
#ifdef SYS_accept
	case SYS_accept:
		*result = accept(fd, (void *)k->b, (void *)k->c);
		return true;
#endif
	case SYS_accept4:
		*result = accept4(fd, (void *)k->b, (void *)k->c, (int)k->d);
		return true;
	case SYS_getsockname:
		*result = getsockname(fd, (void *)k->b, (void *)k->c);
		return true;
	case SYS_getpeername:
		*result = getpeername(fd, (void *)k->b, (void *)k->c);
		return true;
	case SYS_getsockopt:
		*result = getsockopt(fd, (int)k->b, (int)k->c, (void *)k->d, (void *)k->e);
		return true;
	case SYS_setsockopt:
		*result = setsockopt(fd, (int)k->b, (int)k->c, (void *)k->d, (socklen_t)k->e);
		return true;
	case SYS_shutdown:
		*result = shutdown(fd, (int)k->b);
		return true;
	default:
		return false;
	}
}

/* Calls that move data, and those that make descriptors. false: it is none. */
static bool data_call(long nr, const struct call *k, long *result)
{
	int fd = (int)k->a;

	switch (nr) {
	case SYS_sendto:
		*result = sendto(fd, (void *)k->b, (size_t)k->c, (int)k->d, (void *)k->e,
				 (socklen_t)k->f);
		return true;
	case SYS_recvfrom:
		*result = recvfrom(fd, (void *)k->b, (size_t)k->c, (int)k->d, (void *)k->e,
				   (void *)k->f);
		return true;
	case SYS_sendmsg:
		*result = sendmsg(fd, (void *)k->b, (int)k->c);
		return true;
	case SYS_recvmsg:
		*result = recvmsg(fd, (void *)k->b, (int)k->c);
		return true;
	case SYS_sendmmsg:
		*result = sendmmsg(fd, (void *)k->b, (unsigned int)k->c, (int)k->d);
		return true;
	case SYS_recvmmsg:
		*result = recvmmsg(fd, (void *)k->b, (unsigned int)k->c, (int)k->d, (void *)k->e);
		return true;
	case SYS_read:
		*result = read(fd, (void *)k->b, (size_t)k->c);
		return true;
	case SYS_write:
		*result = write(fd, (void *)k->b, (size_t)k->c);
		return true;
	case SYS_readv:
		*result = readv(fd, (void *)k->b, (int)k->c);
		return true;
	case SYS_writev:
		*result = writev(fd, (void *)k->b, (int)k->c);
		return true;
	case SYS_ioctl:
		*result = ioctl(fd, (unsigned long)k->b, k->c);
		return true;
	case SYS_execve:
		*result = execve((char *)k->a, (void *)k->b, (void *)k->c);
		return true;
	default:
		return false;
	}
}

/*
 * Sandboxes of programs (sshd's, for one) end a process at the first call that is not on their
 * list, and read and write are on it while getsockopt and sendto are not. Failed attempts count,
 * too: they come before the one that succeeds. Others (Chromium's) let sendmsg and recvmsg through,
 * and getsockopt with the options that they list, of which ours is none.
 */
static void notice_filter(long nr, const struct call *k)
{
	const bool by_prctl = nr == SYS_prctl && k->a == PR_SET_SECCOMP;

	if (!by_prctl && (nr != SYS_seccomp ||
			  (k->a != SECCOMP_SET_MODE_FILTER && k->a != SECCOMP_SET_MODE_STRICT)))
		return;
	pre_kind_ask_no_more();
	if (by_prctl ? k->b != SECCOMP_MODE_FILTER : k->a != SECCOMP_SET_MODE_FILTER)
		return;
	/* before the call, which may bind the other threads, too */
	if (pre_filter_forbids_asking((const struct sock_fprog *)k->c))
		pre_kind_may_not_ask();
}

PRE_EXPORT int prctl(int option, ...)
{
	struct call k = {.a = option};
	va_list args;

	va_start(args, option);
	k.b = va_arg(args, long);
	k.c = va_arg(args, long);
	k.d = va_arg(args, long);
	k.e = va_arg(args, long);
	va_end(args);
	notice_filter(SYS_prctl, &k);
	return (int)pre_result(wgw_raw_call(SYS_prctl, k.a, k.b, k.c, k.d, k.e, 0));
}

PRE_EXPORT long syscall(long nr, ...)
{
	struct call k;
	va_list args;
	long result;

	va_start(args, nr);
	k.a = va_arg(args, long);
	k.b = va_arg(args, long);
	k.c = va_arg(args, long);
	k.d = va_arg(args, long);
	k.e = va_arg(args, long);
	k.f = va_arg(args, long);
	va_end(args);
	if (pre_started() && (socket_call(nr, &k, &result) || data_call(nr, &k, &result)))
		return result;
	notice_filter(nr, &k);
	result = wgw_raw_call(nr, k.a, k.b, k.c, k.d, k.e, k.f);
	if (result < 0 && result > -4096) {
		errno = (int)-result;
		return -1;
	}
	if (nr == SYS_pidfd_getfd || nr == SYS_dup || nr == SYS_dup3 ||
	    (nr == SYS_fcntl && (k.b == F_DUPFD || k.b == F_DUPFD_CLOEXEC)))
		pre_kind_set((int)result, PRE_KIND_UNKNOWN);
#ifdef SYS_dup2
	if (nr == SYS_dup2)
		pre_kind_set((int)result, PRE_KIND_UNKNOWN);
#endif
	return result;
}

/* ---- other names ---- */

PRE_EXPORT int __connect(int fd, const struct sockaddr *addr, socklen_t len);
PRE_EXPORT ssize_t __send(int fd, const void *data, size_t len, int flags);

int __connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	return connect(fd, addr, len);
}

ssize_t __send(int fd, const void *data, size_t len, int flags)
{
	return send(fd, data, len, flags);
}
