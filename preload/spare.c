/* SPDX-License-Identifier: MIT */
/*
 * spare.c - calls of a program that has no descriptor to spare, or no place for a file
 *
 * Most operations ask the tunnel process, which takes a descriptor for a moment, and listen() makes
 * a file for as long; Linux needs neither. A supervisor has descriptors of its own, and the root and
 * the uid that the session began with: the same call, made from outside of the exempt page, is
 * reported and answered there, as it is for programs without this library.
 */
#include "preload/pre.h"

#include "src/repr/raw.h"

/* The kernel alone would say AF_UNIX of our socket, a supervisor says what the program made. */
static bool is_supervised(int fd)
{
	int domain = AF_UNIX;
	socklen_t len = sizeof(domain);

	return wgw_raw_instruction(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, (long)&domain,
				   (long)&len, 0) == 0 &&
	       domain != AF_UNIX;
}

long pre_spare(long rc, long nr, int fd, long b, long c, long d, long e, long f)
{
	if (rc != -EMFILE || !is_supervised(fd))
		return rc;
	return wgw_raw_instruction(nr, fd, b, c, d, e, f);
}

int pre_spare_listen(int rc, int fd, int backlog)
{
	bool no_place = rc == -EACCES || rc == -ENOENT || rc == -EROFS;

	if ((rc != -EMFILE && !no_place) || !is_supervised(fd))
		return rc;
	return (int)wgw_raw_instruction(SYS_listen, fd, backlog, 0, 0, 0, 0);
}
