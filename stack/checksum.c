/* SPDX-License-Identifier: MIT */
/*
 * checksum.c - the Internet checksum (RFC 1071)
 *
 * Sums are kept in the machine's byte order: the one's complement sum of swapped words is the
 * swapped sum (RFC 1071 section 2B), so the folded result is stored as it is. All packets
 * are summed once on their way in, most while they are copied (gro.c); what leaves is summed while
 * it is copied, into its segment or out of it.
 */
#include "stack/internal.h"

#include <stdatomic.h>

#include "lwip/opt.h"

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

typedef uint64_t words __attribute__((vector_size(32)));

/* Two versions on x86-64. Which one is asked when there is something to sum, and glibc knows it: an
 * IFUNC and the compiler's own record execute CPUID at the start of every process, which costs
 * 60 us where a hypervisor answers that. */
#if defined(__x86_64__)
#define HAVE_WIDE
#if __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
#define CPU_IS_WIDE() CPU_FEATURE_ACTIVE(AVX2)
#else
#define CPU_IS_WIDE() __builtin_cpu_supports("avx2")
#endif
#endif

/* The sum of @len bytes, a multiple of 64, which are copied to @to unless it is NULL. Each lane
 * adds halves of 32 bits: no carry to propagate. */
static inline __attribute__((always_inline)) uint64_t add_blocks(uint8_t *to, const uint8_t *p,
								 size_t len)
{
	const uint8_t *end = p + len;
	words low = {0}, high = {0}, a, b;

	for (; p < end; p += 64) {
		memcpy(&a, p, sizeof(a));
		memcpy(&b, p + 32, sizeof(b));
		if (to) {
			memcpy(to, &a, sizeof(a));
			memcpy(to + 32, &b, sizeof(b));
			to += 64;
		}
		low += (a & 0xffffffff) + (b & 0xffffffff);
		high += (a >> 32) + (b >> 32);
	}
	low += high;
	return low[0] + low[1] + low[2] + low[3];
}

#ifdef HAVE_WIDE
static bool is_wide(void)
{
	enum { UNKNOWN, NARROW, WIDE };
	static atomic_int known;
	int width = atomic_load_explicit(&known, memory_order_relaxed);

	if (width == UNKNOWN) {
		width = CPU_IS_WIDE() ? WIDE : NARROW;
		atomic_store_explicit(&known, width, memory_order_relaxed);
	}
	return width == WIDE;
}

__attribute__((target("avx2"))) static uint64_t sum_wide(const uint8_t *p, size_t len)
{
	return add_blocks(NULL, p, len);
}

__attribute__((target("avx2"))) static uint64_t copy_wide(uint8_t *to, const uint8_t *p, size_t len)
{
	return add_blocks(to, p, len);
}
#endif

static uint64_t sum_blocks(const uint8_t *p, size_t len)
{
#ifdef HAVE_WIDE
	if (is_wide())
		return sum_wide(p, len);
#endif
	return add_blocks(NULL, p, len);
}

static uint64_t copy_blocks(uint8_t *to, const uint8_t *p, size_t len)
{
#ifdef HAVE_WIDE
	if (is_wide())
		return copy_wide(to, p, len);
#endif
	return add_blocks(to, p, len);
}

/**
 * checksum_add() - sum on
 * @sum:	Sum so far, of an even number of bytes; below 2^48
 * Return: a sum for more of this or for checksum_fold
 */
uint64_t checksum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t low = 0, high = 0;

	if (len >= 64) {
		size_t blocks = len & ~(size_t)63;

		sum += sum_blocks(p, blocks);
		p += blocks;
		len -= blocks;
	}
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t a = load64(p);

		low += a & 0xffffffff;
		high += a >> 32;
	}
	if (len & 4) {
		uint32_t a;

		memcpy(&a, p, sizeof(a));
		low += a;
		p += 4;
	}
	if (len & 2) {
		uint16_t a;

		memcpy(&a, p, sizeof(a));
		low += a;
		p += 2;
	}
	if (len & 1) {
		uint16_t a = 0;

		memcpy(&a, p, 1);
		low += a;
	}
	return sum + low + high;
}

/** checksum_fold() - 16 bits of a sum, not inverted, to be stored in memory order */
uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/** checksum_pseudo() - sum of the pseudo header (RFC 793 3.1, RFC 8200 8.1) */
uint64_t checksum_pseudo(const struct stack_addr *from, const struct stack_addr *to, uint8_t proto,
			 size_t len)
{
	uint8_t rest[8] = {0};
	uint64_t sum;

	put32(rest, (uint32_t)len);
	rest[7] = proto;
	sum = checksum_add(0, rest, sizeof(rest));
	if (stack_addr_is_v4(from)) {
		sum = checksum_add(sum, from->ip + 12, 4);
		return checksum_add(sum, to->ip + 12, 4);
	}
	sum = checksum_add(sum, from->ip, 16);
	return checksum_add(sum, to->ip, 16);
}

/** stack_lwip_checksum() - LWIP_CHKSUM (arch/cc.h) */
uint16_t stack_lwip_checksum(const void *data, int len)
{
	return checksum_fold(checksum_add(0, data, (size_t)len));
}

/** checksum_copy() - the sum of @len bytes, which are copied to @to on the way */
uint64_t checksum_copy(void *to, const void *from, size_t len)
{
	size_t blocks = len & ~(size_t)63, rest = len - blocks;
	const uint8_t *end = (const uint8_t *)from + blocks;
	uint64_t sum = copy_blocks(to, from, blocks);

	memcpy((uint8_t *)to + blocks, end, rest);
	return checksum_add(sum, end, rest);
}

/** stack_lwip_checksum_copy() - LWIP_CHKSUM_COPY (arch/cc.h) */
uint16_t stack_lwip_checksum_copy(void *to, const void *from, int len)
{
	return checksum_fold(checksum_copy(to, from, (size_t)len));
}
