/* SPDX-License-Identifier: MIT */
/* memory_used.h - how much memory malloc has given, to the byte */
#ifndef TESTS_SIM_MEMORY_USED_H
#define TESTS_SIM_MEMORY_USED_H

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_SANITIZER 1
#elif defined(__has_feature)
#define WITH_SANITIZER __has_feature(address_sanitizer)
#else
#define WITH_SANITIZER 0
#endif

/* What glibc's malloc keeps per thread counts as given, unless it keeps nothing. */
#define KEEP_NOTHING "glibc.malloc.tcache_count=0"

static inline bool keeps_nothing(void)
{
	const char *tunables = getenv("GLIBC_TUNABLES");

	return tunables && strstr(tunables, KEEP_NOTHING);
}

#if WITH_SANITIZER
/* sanitizer/allocator_interface.h, which comes with clang only */
size_t __sanitizer_get_current_allocated_bytes(void);

static inline size_t memory_used(void)
{
	return __sanitizer_get_current_allocated_bytes();
}
#else
/* Bytes that malloc has given; 0: not known */
static inline size_t memory_used(void)
{
	return keeps_nothing() ? mallinfo2().uordblks : 0;
}
#endif

#endif
