/* SPDX-License-Identifier: MIT */
/* cc.h - what lwIP wants to know about the compiler and the platform */
#ifndef STACK_ARCH_CC_H
#define STACK_ARCH_CC_H

#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <stddef.h>
#include <limits.h>
#include <sys/types.h>

#ifndef SSIZE_MAX
#define SSIZE_MAX LONG_MAX /* keeps lwIP from defining ssize_t */
#endif

#define LWIP_PLATFORM_DIAG(x)	((void)0)
#define LWIP_PLATFORM_ASSERT(x) stack_lwip_assert(x, __FILE__, __LINE__)
#define LWIP_RAND()		stack_lwip_rand()
#define LWIP_CHKSUM		stack_lwip_checksum
#define LWIP_CHKSUM_COPY	stack_lwip_checksum_copy
#define lwip_htons(x)		htobe16(x)
#define lwip_htonl(x)		htobe32(x)

/* An invariant of lwIP is broken: nothing in memory can be trusted any more. Nothing that a peer
 * sends may lead here; see README.md. */
_Noreturn void stack_lwip_assert(const char *what, const char *file, int line);
uint32_t stack_lwip_rand(void);
void *stack_lwip_malloc(size_t size);
void stack_lwip_free(void *p);
uint16_t stack_lwip_checksum(const void *data, int len);
uint16_t stack_lwip_checksum_copy(void *to, const void *from, int len);

#endif
