/* SPDX-License-Identifier: MIT */
/*
 * kind.c - what a descriptor was when it was last looked at, so that read and write need not ask
 *
 * A hint, not a table. Saying "ours" wrongly is harmless: whoever acts on it reads the tag, or
 * meets an error and reads it then. Saying "other" wrongly would show a program the header of a
 * datagram; so whatever can put a socket of ours at a number says so here: socket, accept, the dup
 * family, and descriptors that are received. "Other" is stored only by who has just looked, never
 * by a copy: a child of vfork shares this memory and not its descriptors. Nor is it stored if
 * something was said of the number since before the look: another thread may have closed it and
 * made a socket there. So each entry counts what was said.
 *
 * Saying "connected" wrongly is harmless to who receives, for messages say themselves whether they
 * have a header. What is sent to a socket without a peer would be dropped untold, so "connected" is
 * stored by who has just looked, too, and forgotten for all numbers when a socket in this process
 * ceases to be it. Another process that shares the socket can do that unseen: the ledger has it.
 */
#include <stdatomic.h>

#include "preload/pre.h"

enum { KINDS = 65536 }; /* larger numbers are looked at each time */

/* Of each number the kind, and above its bits how often pre_kind_set() was called, which may wrap */
#define KIND_MASK 7u
#define SAID_ONE  (KIND_MASK + 1)

static _Atomic uint16_t entries[KINDS];
static atomic_bool ask_no_more, may_not_ask;
static _Atomic uint32_t changes;

static bool is_kept(int fd)
{
	return fd >= 0 && fd < KINDS;
}

unsigned pre_kind_entry(int fd)
{
	return is_kept(fd) ? atomic_load_explicit(&entries[fd], memory_order_relaxed) : 0;
}

static enum pre_kind last_kind(int fd)
{
	return pre_kind_entry(fd) & KIND_MASK;
}

/* False: the entry is not @before any more, but what *@before says now. */
static bool replace(int fd, uint16_t *before, unsigned entry)
{
	return atomic_compare_exchange_strong_explicit(&entries[fd], before, (uint16_t)entry,
						       memory_order_relaxed, memory_order_relaxed);
}

void pre_kind_set(int fd, enum pre_kind kind)
{
	uint16_t entry = (uint16_t)pre_kind_entry(fd);

	while (is_kept(fd) && !replace(fd, &entry, (entry & ~KIND_MASK) + SAID_ONE + kind))
		;
}

void pre_kind_is_other(int fd, unsigned before)
{
	uint16_t entry = (uint16_t)before;

	if (is_kept(fd))
		replace(fd, &entry, (before & ~KIND_MASK) | PRE_KIND_OTHER);
}

/* As pre_kind_set(), by who has looked: that puts nothing at the number. */
static void store(int fd, enum pre_kind kind)
{
	uint16_t entry = (uint16_t)pre_kind_entry(fd);

	while (is_kept(fd) && (entry & KIND_MASK) != kind &&
	       !replace(fd, &entry, (entry & ~KIND_MASK) | kind))
		;
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

	store(fd, kind);
	if (kind < PRE_KIND_CONNECTED)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(&changes) != since)
		store(fd, PRE_KIND_DATAGRAM);
}

/* Some descriptor of this process, perhaps several numbers, is no longer what it was. */
static void forget_connected(void)
{
	atomic_fetch_add(&changes, 1);
	atomic_thread_fence(memory_order_seq_cst);
	for (int fd = 0; fd < KINDS; fd++) {
		if (last_kind(fd) >= PRE_KIND_CONNECTED)
			store(fd, PRE_KIND_DATAGRAM);
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
	enum pre_kind kind = last_kind(from);

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
	return atomic_load_explicit(&may_not_ask, memory_order_relaxed) &&
	       last_kind(fd) <= PRE_KIND_OTHER;
}

bool pre_kind_is_bare(int fd, bool surely)
{
	enum pre_kind kind = last_kind(fd);

	if (!atomic_load_explicit(&ask_no_more, memory_order_relaxed))
		return false;
	return surely ? kind == PRE_KIND_STREAM : kind < PRE_KIND_DATAGRAM;
}

enum pre_kind pre_kind(int fd)
{
	unsigned before = pre_kind_entry(fd);
	enum pre_kind kind = before & KIND_MASK;
	uint64_t tag;

	if (atomic_load_explicit(&ask_no_more, memory_order_relaxed))
		return kind >= PRE_KIND_DATAGRAM ? kind : PRE_KIND_OTHER;
	if (kind != PRE_KIND_UNKNOWN)
		return kind;
	/* pre_ours() stores it when it is */
	if (pre_ours(fd, &tag))
		return wgw_tag_kind(tag) == WGW_KIND_TCP ? PRE_KIND_STREAM : PRE_KIND_DATAGRAM;
	pre_kind_is_other(fd, before);
	return PRE_KIND_OTHER;
}
