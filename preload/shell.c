/* SPDX-License-Identifier: MIT */
/*
 * shell.c - system(3), popen(3)
 *
 * libc starts the shell by itself, with the environment as it is. A program that has cleared its
 * environment gets it repaired for the time of the call, as exec.c does for the others.
 *
 * Meanwhile another thread may read environ, and go on with what it found after the call; one that
 * sets a variable makes libc copy it; and a thread that is cancelled in system() never returns. So
 * the repaired copy is not on the stack, and it is never unmapped: the next call uses it again.
 */
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "preload/pre.h"
#include "src/repr/raw.h"

enum { ENV_MAX = 16384, COPY_MIN_BYTES = 4096 };

/**
 * struct copy - of an environment
 * @next:	In the list of those that no call uses
 * @bytes:	Of all, from this structure on
 * @entries:	A late reader comes to NULL in any case: behind the longest list that was here it is
 *		still there
 */
struct copy {
	struct copy *next;
	size_t bytes;
	char *entries[];
};

static _Atomic(struct copy *) unused;

/* Puts @copy, and those behind it, into the list. */
static void give_back(struct copy *copy)
{
	struct copy *last = copy, *first = atomic_load(&unused);

	if (!copy)
		return;
	while (last->next)
		last = last->next;
	do
		last->next = first;
	while (!atomic_compare_exchange_weak(&unused, &first, copy));
}

/* A copy of at least @bytes, or NULL. All are taken out of the list for it: taking one while others
 * come and go needs more than one comparison. */
static struct copy *take(size_t bytes)
{
	struct copy *all = atomic_exchange(&unused, NULL), **at = &all, *found;
	size_t size = COPY_MIN_BYTES;
	long rc;

	while (*at && (*at)->bytes < bytes)
		at = &(*at)->next;
	found = *at;
	if (found)
		*at = found->next;
	give_back(all);
	if (found)
		return found;
	while (size < bytes)
		size *= 2;
	rc = wgw_raw_call(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rc < 0 && rc > -4096)
		return NULL;
	found = (struct copy *)rc;
	found->bytes = size;
	return found;
}

/** struct repair - of the environment, for a call: @copy in place of @old; NULL: it lacks nothing */
struct repair {
	struct copy *copy;
	char **old;
};

static struct repair begin(void)
{
	struct repair r = {.old = environ};
	struct pre_env lack;
	size_t n = 0, text;

	pre_enter();
	while (r.old && r.old[n])
		n++;
	if (n > ENV_MAX || !pre_env_examine(r.old, &lack))
		return r;
	text = sizeof(*r.copy) + (n + PRE_ENV_MORE) * sizeof(r.copy->entries[0]);
	r.copy = take(text + lack.room);
	if (r.copy) /* else the shell starts without it, as it would have */
		environ = pre_env_repair(r.old, &lack, r.copy->entries,
					 (char *)r.copy + r.copy->bytes - lack.room);
	return r;
}

/* What another thread has set meanwhile is left alone: libc may have freed the old one then, and the
 * new one refers to the copy. */
static void end(const struct repair *r)
{
	if (!r->copy || environ != r->copy->entries)
		return;
	environ = r->old;
	r->copy->next = NULL;
	give_back(r->copy);
}

PRE_EXPORT int system(const char *command)
{
	const struct repair r = begin();
	int status = pre_next.system(command);

	end(&r);
	return status;
}

PRE_EXPORT FILE *popen(const char *command, const char *mode)
{
	const struct repair r = begin();
	FILE *stream = pre_next.popen(command, mode);

	end(&r);
	return stream;
}
