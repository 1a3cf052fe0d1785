/* SPDX-License-Identifier: MIT */
/*
 * kind.c - what a descriptor was when it was last looked at, so that read and write need not ask
 *
 * A hint, not a table. Saying "ours" wrongly is harmless: whoever acts on it reads the tag, or
 * meets an error and reads it then. Saying "other" wrongly would show a program the header of a
 * datagram; so whatever can put a socket of ours at a number says so here: socket, accept, the dup
 * family, and descriptors that are received. "Other" is stored only by who has just looked, never
 * by a copy: a child of vfork shares this memory and not its descriptors.
 */
#include <stdatomic.h>

#include "preload/pre.h"

enum { KINDS = 65536 }; /* larger numbers are looked at each time */

static _Atomic uint8_t kinds[KINDS];
static atomic_bool ask_no_more;

void pre_kind_set(int fd, enum pre_kind kind)
{
	if (fd >= 0 && fd < KINDS)
		atomic_store_explicit(&kinds[fd], (uint8_t)kind, memory_order_relaxed);
}

void pre_kind_copy(int from, int to)
{
	enum pre_kind kind = PRE_KIND_UNKNOWN;

	if (from >= 0 && from < KINDS)
		kind = atomic_load_explicit(&kinds[from], memory_order_relaxed);
	pre_kind_set(to, kind == PRE_KIND_OTHER ? PRE_KIND_UNKNOWN : kind);
}

void pre_kind_received(const struct msghdr *msg)
{
	struct msghdr copy = *msg;
	int fd;

	if (!msg->msg_control)
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c; c = CMSG_NXTHDR(&copy, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(fd) <= c->cmsg_len; at += sizeof(fd)) {
			__builtin_memcpy(&fd, (const uint8_t *)c + at, sizeof(fd));
			pre_kind_set(fd, PRE_KIND_UNKNOWN);
		}
	}
}

void pre_kind_ask_no_more(void)
{
	atomic_store_explicit(&ask_no_more, true, memory_order_relaxed);
}

bool pre_kind_is_bare(int fd, bool surely)
{
	enum pre_kind kind = PRE_KIND_UNKNOWN;

	if (!atomic_load_explicit(&ask_no_more, memory_order_relaxed))
		return false;
	if (fd >= 0 && fd < KINDS)
		kind = atomic_load_explicit(&kinds[fd], memory_order_relaxed);
	return surely ? kind == PRE_KIND_STREAM : kind != PRE_KIND_DATAGRAM;
}

enum pre_kind pre_kind(int fd)
{
	enum pre_kind kind = PRE_KIND_UNKNOWN;
	uint64_t tag;

	if (fd >= 0 && fd < KINDS)
		kind = atomic_load_explicit(&kinds[fd], memory_order_relaxed);
	if (atomic_load_explicit(&ask_no_more, memory_order_relaxed))
		return kind == PRE_KIND_DATAGRAM ? kind : PRE_KIND_OTHER;
	if (kind != PRE_KIND_UNKNOWN)
		return kind;
	/* pre_ours() stores it when it is */
	if (pre_ours(fd, &tag))
		return wgw_tag_kind(tag) == WGW_KIND_TCP ? PRE_KIND_STREAM : PRE_KIND_DATAGRAM;
	pre_kind_set(fd, PRE_KIND_OTHER);
	return PRE_KIND_OTHER;
}
