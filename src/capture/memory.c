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

int wgw_memory_read(pid_t tid, uint64_t from, void *to, size_t len)
{
	struct iovec local = {to, len}, remote = {(void *)(uintptr_t)from, len};
	ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);
	int fd;

	if (is_refused(n)) {
		fd = open_memory(tid, O_RDONLY);
		if (fd < 0)
			return -errno;
		n = pread(fd, to, len, (off_t)from);
		close(fd);
	}
	return n == (ssize_t)len ? 0 : -EFAULT;
}

int wgw_memory_write(pid_t tid, uint64_t to, const void *from, size_t len)
{
	struct iovec local = {(void *)from, len}, remote = {(void *)(uintptr_t)to, len};
	ssize_t n = process_vm_writev(tid, &local, 1, &remote, 1, 0);
	int fd;

	if (is_refused(n)) {
		fd = open_memory(tid, O_WRONLY);
		if (fd < 0)
			return -errno;
		n = pwrite(fd, from, len, (off_t)to);
		close(fd);
	}
	return n == (ssize_t)len ? 0 : -EFAULT;
}
