/* SPDX-License-Identifier: MIT */
/*
 * ports.c - local addresses and ports
 *
 * Ephemeral ports are random (RFC 6056 algorithm 1) in Linux's default range. For outgoing
 * connections a port is taken if the four-tuple is, not if the port is used at all.
 */
#include "stack/internal.h"

#include <errno.h>

enum { EPHEMERAL_FIRST = 32768, EPHEMERAL_LAST = 60999 };

/** ports_count() - how many ephemeral ports there are */
unsigned int ports_count(void)
{
	return EPHEMERAL_LAST - EPHEMERAL_FIRST + 1;
}

/** ports_after() - the @n-th ephemeral port after @first, going round */
uint16_t ports_after(uint16_t first, unsigned int n)
{
	return (uint16_t)(EPHEMERAL_FIRST + (first - EPHEMERAL_FIRST + n) % ports_count());
}

/** ports_random() - where to start looking for a free one */
uint16_t ports_random(struct stack *s)
{
	uint32_t r;

	s->ops->random(s->ctx, &r, sizeof(r));
	return (uint16_t)(EPHEMERAL_FIRST + r % ports_count());
}

bool ports_overlap(const struct stack_addr *a, bool a_v6only, const struct stack_addr *b,
		   bool b_v6only)
{
	bool a4 = stack_addr_is_v4(a), b4 = stack_addr_is_v4(b);

	if (a->port != b->port)
		return false;
	if (memcmp(a->ip, b->ip, sizeof(a->ip)) == 0)
		return true;
	if (a4 != b4) /* an IPv6 wildcard holds IPv4 too, unless v6only */
		return a4 ? stack_addr_is_any(b) && !b_v6only : stack_addr_is_any(a) && !a_v6only;
	return stack_addr_is_any(a) || stack_addr_is_any(b);
}

bool ports_match(const struct stack_addr *local, bool v6only, const struct stack_addr *to)
{
	if (local->port != to->port)
		return false;
	if (memcmp(local->ip, to->ip, sizeof(to->ip)) == 0)
		return true;
	if (!stack_addr_is_any(local))
		return false;
	return stack_addr_is_v4(local) == stack_addr_is_v4(to) ||
	       (!stack_addr_is_v4(local) && !v6only);
}

int ports_check_local(const struct stack *s, const struct stack_addr *local)
{
	return stack_addr_is_any(local) || stack_is_local(s, local) ? 0 : EADDRNOTAVAIL;
}

bool stack_port_has_flows(const struct stack *s, uint16_t port)
{
	return s->flows_at[port] != 0;
}
