/* SPDX-License-Identifier: MIT */
/*
 * route.c - whether a datagram may go where a program sends it
 *
 * sendto() on a socket without a peer is refused at once on Linux when there is no route. The
 * policy is the tunnel process's: it is asked once for each destination. Only what was allowed is
 * remembered, in a cache that is lost without harm: the policy is asked again for every datagram on
 * its way. The answer tells the MTU, too, for programs that want to know what does not fit.
 */
#include "src/repr/repr.h"

#include <stdatomic.h>
#include <string.h>

enum { SLOTS = 256 };

/* Hashes of destination and source, with the MTU in the lowest 16 bits; 0: empty */
static _Atomic uint64_t allowed[SLOTS];

#define MTU_MASK UINT64_C(0xffff)

static uint64_t mix(uint64_t hash, const uint8_t ip[16])
{
	for (int i = 0; i < 16; i++)
		hash = (hash ^ ip[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
	return hash;
}

/** hash_of() - a route may be of one protocol and some ports; and port 53 may be somebody else's */
static uint64_t hash_of(const struct stack_addr *to, const uint8_t local_ip[16], uint64_t tag)
{
	uint64_t hash = mix(mix(UINT64_C(0xcbf29ce484222325), to->ip), local_ip);

	hash = (hash ^ to->port) * UINT64_C(0x100000001b3);
	hash = (hash ^ wgw_tag_kind(tag)) * UINT64_C(0x100000001b3);
	return hash & ~MTU_MASK;
}

int wgw_repr_may_send(const struct wgw_repr_session *s, int fd, uint64_t tag,
		      const struct stack_addr *to, const uint8_t local_ip[16])
{
	struct stack_addr local = {0};
	struct wgw_op op;
	uint64_t hash, known;
	_Atomic uint64_t *slot;
	int rc;

	if (tag & WGW_TAG_OUTSIDE) /* the host's routes, which the tunnel process does not know */
		return UINT16_MAX;
	hash = hash_of(to, local_ip, tag);
	slot = &allowed[(hash >> 16) % SLOTS];
	known = atomic_load_explicit(slot, memory_order_relaxed);
	if ((known & ~MTU_MASK) == hash && (known & MTU_MASK))
		return (int)(known & MTU_MASK);
	wgw_repr_op_init(s, &op, WGW_OP_ROUTE, fd, tag);
	memcpy(local.ip, local_ip, sizeof(local.ip));
	op.u.name.local = wgw_repr_wire_addr(&local);
	op.u.name.remote = wgw_repr_wire_addr(to);
	rc = wgw_repr_op_call(s, &op, -1);
	if (rc < 0)
		return rc;
	atomic_store_explicit(slot, hash | op.u.name.remote.port, memory_order_relaxed);
	return op.u.name.remote.port;
}
