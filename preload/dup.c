/* SPDX-License-Identifier: MIT */
/*
 * dup.c - dup(2), dup2(2), dup3(2), fcntl(2)
 *
 * They are the kernel's: tag, label and mode are the socket's and not the descriptor's. Only the
 * hint about what lies at a number (kind.c) is kept in step.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include "preload/pre.h"
#include "src/repr/raw.h"

static int copied(int from, int to)
{
	if (to >= 0)
		pre_kind_copy(from, to);
	return to;
}

PRE_EXPORT int dup(int fd)
{
	return copied(fd, (int)pre_result(wgw_raw_call(SYS_dup, fd, 0, 0, 0, 0, 0)));
}

PRE_EXPORT int dup3(int fd, int to, int flags)
{
	return copied(fd, (int)pre_result(wgw_raw_call(SYS_dup3, fd, to, flags, 0, 0, 0)));
}

/* arm64 has no dup2, and dup3 refuses equal numbers. */
PRE_EXPORT int dup2(int fd, int to)
{
	if (fd == to)
		return wgw_raw_fcntl(fd, F_GETFD, 0) < 0 ? (int)pre_result(-EBADF) : to;
	return dup3(fd, to, 0);
}

PRE_EXPORT int __dup2(int fd, int to);
int __dup2(int fd, int to)
{
	return dup2(fd, to);
}

/* Before the start fcntl is the system call; so it is afterwards, but for what libc does for
 * itself: F_GETOWN may be negative, locks wait and can be cancelled. */
static int pre_fcntl(int (*next)(int, int, ...), int fd, int command, void *arg)
{
	int result;

	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		return copied(fd, (int)pre_result(wgw_raw_fcntl(fd, command, (long)arg)));
	if (!pre_started()) {
		result = wgw_raw_fcntl(fd, command, (long)arg);
		return (int)pre_result(result);
	}
	return next(fd, command, arg);
}

#define FCNTL_LIKE(function, next)                                                                 \
	PRE_EXPORT int function(int fd, int command, ...);                                         \
	int function(int fd, int command, ...)                                                     \
	{                                                                                          \
		va_list args;                                                                      \
		void *arg;                                                                         \
                                                                                                   \
		va_start(args, command);                                                           \
		arg = va_arg(args, void *);                                                        \
		va_end(args);                                                                      \
		return pre_fcntl(pre_next.next, fd, command, arg);                                 \
	}

FCNTL_LIKE(fcntl, fcntl)
FCNTL_LIKE(fcntl64, fcntl64)
FCNTL_LIKE(__fcntl, fcntl)
