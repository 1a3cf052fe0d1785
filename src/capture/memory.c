/* SPDX-License-Identifier: MIT */
/*
 * memory.c - reads and writes the memory of a program
 *
 * By process_vm_readv(2) and process_vm_writev(2); where a container's filter refuses those (Docker
 * before 23), through /proc/TID/mem, which asks for the same permission. That one also writes where
 * the program itself could not: it gets its answer instead of EFAULT.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "src/capture/call.h"

static int open_memory(pid_t tid, int how)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)tid);
	return open(path, how | O_CLOEXEC);
}

/** is_refused() - whether a filter may be the reason, and not the program or its pointer */
static bool is_refused(ssize_t n)
{
	return n < 0 && (errno == EPERM || errno == ENOSYS || errno == EACCES);
}

/** one_by_one() - through /proc/TID/mem. 0 or -errno */
static int one_by_one(pid_t tid, const struct wgw_pieces *p, bool write)
{
	int fd = open_memory(tid, write ? O_WRONLY : O_RDONLY);
	bool whole = true;

	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < p->n && whole; i++) {
		const struct iovec *here = &p->here[i];
		off_t there = (off_t)(uintptr_t)p->there[i].iov_base;
		ssize_t n = write ? pwrite(fd, here->iov_base, here->iov_len, there)
				  : pread(fd, here->iov_base, here->iov_len, there);

		whole = n == (ssize_t)here->iov_len;
	}
	close(fd);
	return whole ? 0 : -EFAULT;
}

static ssize_t total(const struct wgw_pieces *p)
{
	size_t sum = 0;

	for (size_t i = 0; i < p->n; i++)
		sum += p->here[i].iov_len;
	return (ssize_t)sum;
}

int wgw_memory_read(pid_t tid, const struct wgw_pieces *p)
{
	ssize_t n = process_vm_readv(tid, p->here, p->n, p->there, p->n, 0);

	if (is_refused(n))
		return one_by_one(tid, p, false);
	return n == total(p) ? 0 : -EFAULT;
}

int wgw_memory_write(pid_t tid, const struct wgw_pieces *p)
{
	ssize_t n = process_vm_writev(tid, p->here, p->n, p->there, p->n, 0);

	if (is_refused(n))
		return one_by_one(tid, p, true);
	return n == total(p) ? 0 : -EFAULT;
}
