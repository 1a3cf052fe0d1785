/* SPDX-License-Identifier: MIT */
/*
 * kind.c - what a descriptor was when it was last looked at, so that read and write need not ask
 *
 * A hint, not a table. Saying "ours" wrongly is harmless: whoever acts on it reads the tag, or
 * meets an error and reads it then. Saying "other" wrongly would show a program the header of a
 * datagram; so whatever can put a socket of ours at a number says so here: socket, accept, the dup
 * family, and descriptors that are received. "Other" is stored only by who has just looked, never
 * by a copy: a child of vfork shares this memory and not its descriptors.
 *
 * Saying "connected" wrongly is harmless to who receives, for messages say themselves whether they
 * have a header. What is sent to a socket without a peer would be dropped untold, so "connected" is
 * stored by who has just looked, too, and forgotten for all numbers when a socket in this process
 * ceases to be it. Another process that shares the socket can do that unseen: the ledger has it.
 */
#include <stdatomic.h>

#include "preload/pre.h"

enum { KINDS = 65536 }; /* larger numbers are looked at each time */

static _Atomic uint8_t kinds[KINDS];
static atomic_bool ask_no_more, may_not_ask;
static _Atomic uint32_t changes;

void pre_kind_set(int fd, enum pre_kind kind)
{
	if (fd >= 0 && fd < KINDS)
		atomic_store_explicit(&kinds[fd], (uint8_t)kind, memory_order_relaxed);
}

static enum pre_kind kind_of(uint64_t tag)
{
	if (wgw_tag_kind(tag) == WGW_KIND_TCP)
		return PRE_KIND_STREAM;
	if (wgw_tag_kind(tag) != WGW_KIND_UDP || !(tag & WGW_TAG_RAW) || !(tag & WGW_TAG_CONNECTED))
		return PRE_KIND_DATAGRAM;
	return tag & (WGW_TAG_DONTFRAG4 | WGW_TAG_DONTFRAG6) ? PRE_KIND_CONNECTED_DONTFRAG
							     : PRE_KIND_CONNECTED;
}

uint32_t pre_kind_changes(void)
{
	return atomic_load(&changes);
}

/* Another thread may have changed the socket since its tag was read. It counts, then looks for
 * what is to be forgotten; this stores, then looks at the count: one of the two finds the
 * other. */
void pre_kind_saw(int fd, uint64_t tag, uint32_t since)
{
	enum pre_kind kind = kind_of(tag);

	pre_kind_set(fd, kind);
	if (kind < PRE_KIND_CONNECTED)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(&changes) != since)
		pre_kind_set(fd, PRE_KIND_DATAGRAM);
}

/* Some descriptor of this process, perhaps several numbers, is no longer what it was. */
static void forget_connected(void)
{
	atomic_fetch_add(&changes, 1);
	atomic_thread_fence(memory_order_seq_cst);
	for (int fd = 0; fd < KINDS; fd++) {
		if (atomic_load_explicit(&kinds[fd], memory_order_relaxed) >= PRE_KIND_CONNECTED)
			atomic_store_explicit(&kinds[fd], PRE_KIND_DATAGRAM, memory_order_relaxed);
	}
}

void pre_kind_changed(int fd, uint64_t tag)
{
	const uint64_t known =
		WGW_TAG_RAW | WGW_TAG_CONNECTED | WGW_TAG_DONTFRAG4 | WGW_TAG_DONTFRAG6;
	uint64_t now = 0;

	if (wgw_tag_kind(tag) == WGW_KIND_TCP)
		return;
	pre_ours(fd, &now);
	if ((tag & WGW_TAG_RAW) && ((tag ^ now) & known))
		forget_connected();
}

void pre_kind_copy(int from, int to)
{
	enum pre_kind kind = PRE_KIND_UNKNOWN;

	if (from >= 0 && from < KINDS)
		kind = atomic_load_explicit(&kinds[from], memory_order_relaxed);
	if (kind == PRE_KIND_OTHER)
		kind = PRE_KIND_UNKNOWN;
	else if (kind >= PRE_KIND_CONNECTED)
		kind = PRE_KIND_DATAGRAM;
	pre_kind_set(to, kind);
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

void pre_kind_may_not_ask(void)
{
	atomic_store_explicit(&may_not_ask, true, memory_order_relaxed);
}

bool pre_kind_is_past_asking(int fd)
{
	enum pre_kind kind = PRE_KIND_UNKNOWN;

	if (!atomic_load_explicit(&may_not_ask, memory_order_relaxed))
		return false;
	if (fd >= 0 && fd < KINDS)
		kind = atomic_load_explicit(&kinds[fd], memory_order_relaxed);
	return kind <= PRE_KIND_OTHER;
}

bool pre_kind_is_bare(int fd, bool surely)
{
	enum pre_kind kind = PRE_KIND_UNKNOWN;

	if (!atomic_load_explicit(&ask_no_more, memory_order_relaxed))
		return false;
	if (fd >= 0 && fd < KINDS)
		kind = atomic_load_explicit(&kinds[fd], memory_order_relaxed);
	return surely ? kind == PRE_KIND_STREAM : kind < PRE_KIND_DATAGRAM;
}

enum pre_kind pre_kind(int fd)
{
	enum pre_kind kind = PRE_KIND_UNKNOWN;
	uint64_t tag;

	if (fd >= 0 && fd < KINDS)
		kind = atomic_load_explicit(&kinds[fd], memory_order_relaxed);
	if (atomic_load_explicit(&ask_no_more, memory_order_relaxed))
		return kind >= PRE_KIND_DATAGRAM ? kind : PRE_KIND_OTHER;
	if (kind != PRE_KIND_UNKNOWN)
		return kind;
	/* pre_ours() stores it when it is */
	if (pre_ours(fd, &tag))
		return wgw_tag_kind(tag) == WGW_KIND_TCP ? PRE_KIND_STREAM : PRE_KIND_DATAGRAM;
	pre_kind_set(fd, PRE_KIND_OTHER);
	return PRE_KIND_OTHER;
}
