/* SPDX-License-Identifier: MIT */
/*
 * memory.c - preloaded into wgwrap: one allocation that fails
 *
 * WGWRAP_TEST_NO_MEMORY says which, counted from 1 in each program that is executed; the file
 * WGWRAP_TEST_REFUSED is made when it comes to that. Without a sanitizer and with glibc only:
 * others have allocators of their own behind the same names.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

#define EXPORT __attribute__((visibility("default")))

static _Atomic long count;
static long which;
static const char *refused;

__attribute__((constructor)) static void begin(void)
{
	const char *value = getenv("WGWRAP_TEST_NO_MEMORY");

	refused = getenv("WGWRAP_TEST_REFUSED");
	which = value && refused ? atol(value) : 0;
}

static int fails(void)
{
	if (!which || ++count != which)
		return 0;
	close(open(refused, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	errno = ENOMEM;
	return 1;
}

EXPORT void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

EXPORT void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

EXPORT void *realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}

EXPORT void *reallocarray(void *old, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, bytes);
}
