/* SPDX-License-Identifier: MIT */
/*
 * prefix.c - CIDR blocks and addresses, as text and as sets
 *
 * Both families share one form: IPv4 is held as ::ffff:a.b.c.d (stack/addr.h), and a prefix's
 * family is its address's. Therefore an IPv6 prefix inside ::ffff:0:0/96 cannot be told from an
 * IPv4 one and is refused; such addresses never appear on a wire (RFC 4291, section 2.5.5.2).
 */
#include "src/config/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { V4_BITS = 32, V6_BITS = 128, V4_SHIFT_BITS = V6_BITS - V4_BITS };

/** bits_in_v6() - length of @prefix counted in its 128-bit form */
static unsigned int bits_in_v6(const struct wgw_prefix *prefix)
{
	return prefix->bits + (stack_addr_is_v4(&prefix->addr) ? (unsigned int)V4_SHIFT_BITS : 0u);
}

/** parse_bits() - 1 to 3 digits, at most @max. Return: 0 or -EINVAL */
static int parse_bits(const char *text, unsigned int max, uint8_t *out)
{
	unsigned int value = 0;
	size_t digits = strspn(text, "0123456789");

	if (digits < 1 || digits > 3 || text[digits] != '\0')
		return -EINVAL;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (unsigned int)(text[i] - '0');
	if (value > max)
		return -EINVAL;
	*out = (uint8_t)value;
	return 0;
}

/** clear_host_bits() - zeroes what is behind the prefix. Return: whether anything was set */
static bool clear_host_bits(struct wgw_prefix *prefix)
{
	unsigned int bits = bits_in_v6(prefix);
	bool changed = false;

	for (unsigned int i = bits / 8; i < sizeof(prefix->addr.ip); i++) {
		unsigned int keep = i == bits / 8 ? 0xff00u >> (bits % 8) & 0xff : 0;

		changed |= (prefix->addr.ip[i] & ~keep) != 0;
		prefix->addr.ip[i] = (uint8_t)(prefix->addr.ip[i] & keep);
	}
	return changed;
}

int wgw_address_parse(const char *text, struct wgw_prefix *out)
{
	struct wgw_prefix p = {0};
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned int max = V4_BITS;

	if (len >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, p.addr.ip + sizeof(stack_v4_prefix)) == 1) {
		memcpy(p.addr.ip, stack_v4_prefix, sizeof(stack_v4_prefix));
	} else if (inet_pton(AF_INET6, address, p.addr.ip) == 1) {
		max = V6_BITS;
	} else {
		return -EINVAL;
	}
	p.bits = (uint8_t)max;
	if (slash && parse_bits(slash + 1, max, &p.bits) < 0)
		return -EINVAL;
	if (max == V6_BITS && stack_addr_is_v4(&p.addr))
		return -EINVAL;
	*out = p;
	return 0;
}

int wgw_prefix_parse(const char *text, struct wgw_prefix *out, bool *masked)
{
	bool changed;

	if (wgw_address_parse(text, out) < 0)
		return -EINVAL;
	changed = clear_host_bits(out);
	if (masked)
		*masked = changed;
	return 0;
}

bool wgw_prefix_contains(const struct wgw_prefix *prefix, const struct stack_addr *addr)
{
	unsigned int bits = bits_in_v6(prefix);
	unsigned int bytes = bits / 8, rest = bits % 8;

	if (stack_addr_is_v4(&prefix->addr) != stack_addr_is_v4(addr))
		return false;
	if (memcmp(prefix->addr.ip, addr->ip, bytes) != 0)
		return false;
	return rest == 0 || (prefix->addr.ip[bytes] ^ addr->ip[bytes]) >> (8 - rest) == 0;
}

int wgw_prefixes_longest(const struct wgw_prefixes *list, const struct stack_addr *addr)
{
	int longest = -1;

	for (size_t i = 0; i < list->n; i++) {
		if (list->at[i].bits > longest && wgw_prefix_contains(&list->at[i], addr))
			longest = list->at[i].bits;
	}
	return longest;
}

int wgw_prefixes_add(struct wgw_prefixes *list, const struct wgw_prefix *prefix)
{
	/* room doubles whenever the count reaches a power of two */
	if ((list->n & (list->n - 1)) == 0) {
		size_t room = list->n ? 2 * list->n : 1;
		struct wgw_prefix *at = reallocarray(list->at, room, sizeof(*at));

		if (!at)
			return -ENOMEM;
		list->at = at;
	}
	list->at[list->n++] = *prefix;
	return 0;
}

bool wgw_prefix_equal(const struct wgw_prefix *a, const struct wgw_prefix *b)
{
	return a->bits == b->bits && memcmp(a->addr.ip, b->addr.ip, sizeof(a->addr.ip)) == 0 &&
	       stack_addr_is_v4(&a->addr) == stack_addr_is_v4(&b->addr);
}

bool wgw_prefixes_remove(struct wgw_prefixes *list, const struct wgw_prefix *prefix)
{
	for (size_t i = 0; i < list->n; i++) {
		if (!wgw_prefix_equal(&list->at[i], prefix))
			continue;
		list->n--;
		memmove(&list->at[i], &list->at[i + 1], (list->n - i) * sizeof(*list->at));
		return true;
	}
	return false;
}

void wgw_prefixes_free(struct wgw_prefixes *list)
{
	free(list->at);
	*list = (struct wgw_prefixes){0};
}

char *wgw_addr_text(const struct stack_addr *addr, char *buf)
{
	if (stack_addr_is_v4(addr))
		inet_ntop(AF_INET, addr->ip + sizeof(stack_v4_prefix), buf, WGW_ADDR_TEXT_BYTES);
	else
		inet_ntop(AF_INET6, addr->ip, buf, WGW_ADDR_TEXT_BYTES);
	return buf;
}

char *wgw_addr_port_text(const struct stack_addr *addr, char *buf)
{
	char ip[WGW_ADDR_TEXT_BYTES];

	wgw_addr_text(addr, ip);
	snprintf(buf, WGW_ADDR_TEXT_BYTES, stack_addr_is_v4(addr) ? "%.46s:%u" : "[%.46s]:%u", ip,
		 (unsigned int)addr->port);
	return buf;
}

char *wgw_prefix_text(const struct wgw_prefix *prefix, char *buf)
{
	char ip[WGW_ADDR_TEXT_BYTES];

	wgw_addr_text(&prefix->addr, ip);
	snprintf(buf, WGW_ADDR_TEXT_BYTES, "%.46s/%u", ip, (unsigned int)prefix->bits);
	return buf;
}
