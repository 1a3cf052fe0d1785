/* SPDX-License-Identifier: MIT */
/* addr.h - address and port of an inner endpoint, both families in one form */
#ifndef STACK_ADDR_H
#define STACK_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/**
 * struct stack_addr - IP address and port
 * @ip:		16 bytes, network order; IPv4 as ::ffff:a.b.c.d; all zeros: IPv6 wildcard,
 *		::ffff:0.0.0.0: IPv4 wildcard
 * @port:	Host byte order
 */
struct stack_addr {
	uint8_t ip[16];
	uint16_t port;
};

static const uint8_t stack_v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/** stack_ip_is_v4() - whether @ip is an IPv4 address (v4-mapped form, RFC 4291 2.5.5.2) */
static inline bool stack_ip_is_v4(const uint8_t ip[16])
{
	return memcmp(ip, stack_v4_prefix, sizeof(stack_v4_prefix)) == 0;
}

/** stack_ip_set_v4() - @ip becomes the IPv4 address @v4: 4 bytes, network order */
static inline void stack_ip_set_v4(uint8_t ip[16], const void *v4)
{
	memcpy(ip, stack_v4_prefix, sizeof(stack_v4_prefix));
	memcpy(ip + sizeof(stack_v4_prefix), v4, 4);
}

/** stack_addr_is_v4() - whether @a is an IPv4 address */
static inline bool stack_addr_is_v4(const struct stack_addr *a)
{
	return stack_ip_is_v4(a->ip);
}

/** stack_addr_wildcard() - the wildcard of a family, port 0 */
static inline struct stack_addr stack_addr_wildcard(bool v4)
{
	struct stack_addr a = {.port = 0};

	if (v4)
		memcpy(a.ip, stack_v4_prefix, sizeof(stack_v4_prefix));
	return a;
}

/** stack_addr_is_any() - whether @a is the wildcard of its family */
static inline bool stack_addr_is_any(const struct stack_addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->ip, zero, 16) == 0 ||
	       (stack_addr_is_v4(a) && memcmp(a->ip + 12, zero, 4) == 0);
}

/** stack_addr_is_loopback() - whether @a is in 127.0.0.0/8 or is ::1 */
static inline bool stack_addr_is_loopback(const struct stack_addr *a)
{
	static const uint8_t one[16] = {[15] = 1};

	return memcmp(a->ip, one, 16) == 0 || (stack_addr_is_v4(a) && a->ip[12] == 127);
}

/** stack_addr_equal() - same address and port */
static inline bool stack_addr_equal(const struct stack_addr *a, const struct stack_addr *b)
{
	return a->port == b->port && memcmp(a->ip, b->ip, 16) == 0;
}

#endif
