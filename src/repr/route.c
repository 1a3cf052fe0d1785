/* SPDX-License-Identifier: MIT */
/*
 * route.c - whether a datagram may go where a program sends it, and how large it may be
 *
 * sendto() on a socket without a peer is refused at once on Linux when there is no route. The
 * policy is the tunnel process's: it is asked once for each destination. Only what was allowed is
 * remembered, in a cache that is lost without harm: the policy is asked again for every datagram on
 * its way.
 *
 * MTUs change: what is remembered of them is used for a tenth of a second only, for programs that
 * send nothing larger than a path takes; and not at all after one of this program's datagrams was
 * too large. What leaves in between is refused by the tunnel process.
 */
#include "src/repr/repr.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum {
	SLOTS = 256,
	MTU_SHIFT = 32,
	MTUS_HOLD_MS = 100,
	MS_PER_S = 1000,
	NS_PER_MS = 1000000,
};

/*
 * @allowed: a hash of destination and source, and in the lowest 16 bits the tunnel's MTU; 0: empty
 * @path: the same hash's highest 16 bits, 16 bits of the path's MTU, and when that was asked for, in
 * ms; 0: not known
 */
static struct {
	_Atomic uint64_t allowed, path;
} slots[SLOTS];

#define MTU_MASK UINT64_C(0xffff)
#define HASH_TOP (MTU_MASK << 48)

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

static uint32_t now_ms(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)(now.tv_sec * MS_PER_S + now.tv_nsec / NS_PER_MS);
}

/* What is remembered. false: it must be asked for. */
static bool look_up(size_t slot, uint64_t hash, struct wgw_repr_mtus *mtus)
{
	uint64_t allowed = atomic_load_explicit(&slots[slot].allowed, memory_order_relaxed), path;

	if ((allowed & ~MTU_MASK) != hash || !(allowed & MTU_MASK))
		return false;
	if (!mtus)
		return true;
	path = atomic_load_explicit(&slots[slot].path, memory_order_relaxed);
	if (((path ^ hash) & HASH_TOP) || now_ms() - (uint32_t)path >= MTUS_HOLD_MS)
		return false;
	mtus->tunnel = (uint16_t)(allowed & MTU_MASK);
	mtus->path = (uint16_t)(path >> MTU_SHIFT & MTU_MASK);
	return mtus->path != 0;
}

static void store(size_t slot, uint64_t hash, const struct wgw_repr_mtus *mtus)
{
	uint64_t path = (hash & HASH_TOP) | (uint64_t)mtus->path << MTU_SHIFT | now_ms();

	atomic_store_explicit(&slots[slot].path, path, memory_order_relaxed);
	atomic_store_explicit(&slots[slot].allowed, hash | mtus->tunnel, memory_order_relaxed);
}

void wgw_repr_mtus_forget(void)
{
	for (size_t i = 0; i < SLOTS; i++)
		atomic_store_explicit(&slots[i].path, 0, memory_order_relaxed);
}

int wgw_repr_may_send(const struct wgw_repr_session *s, int fd, uint64_t tag,
		      const struct stack_addr *to, const uint8_t local_ip[16],
		      struct wgw_repr_mtus *mtus)
{
	struct wgw_repr_mtus told = {UINT16_MAX, UINT16_MAX};
	struct stack_addr local = {0};
	struct wgw_op op;
	uint64_t hash;
	size_t slot;
	int rc;

	if (mtus)
		*mtus = told;
	if (tag & WGW_TAG_OUTSIDE) /* the host's routes, which the tunnel process does not know */
		return 0;
	hash = hash_of(to, local_ip, tag);
	slot = (hash >> 16) % SLOTS;
	if (look_up(slot, hash, mtus))
		return 0;
	wgw_repr_op_init(s, &op, WGW_OP_ROUTE, fd, tag);
	memcpy(local.ip, local_ip, sizeof(local.ip));
	op.u.name.local = wgw_repr_wire_addr(&local);
	op.u.name.remote = wgw_repr_wire_addr(to);
	rc = wgw_repr_op_call(s, &op);
	if (rc < 0)
		return rc;
	told = (struct wgw_repr_mtus){op.u.name.remote.port, op.u.name.remote.reserved};
	store(slot, hash, &told);
	if (mtus)
		*mtus = told;
	return 0;
}
