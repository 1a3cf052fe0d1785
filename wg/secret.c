/* SPDX-License-Identifier: MIT */
/*
 * secret.c - memory for structures that hold keys: libsodium's guarded allocations
 *
 * Device and peers are made of it; sessions live inside their peer. So it is asked for when peers
 * are configured, and not in the middle of a handshake.
 */
#include "wg/secret.h"

#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

#include "wg/wg.h"

/* sodium_malloc() puts the end of the object at the end of a page. */
enum { ALIGNMENT_BYTES = 64 };

static atomic_bool lock_failed;

void *wg_secret_alloc(size_t size)
{
	void *p;

	size = (size + ALIGNMENT_BYTES - 1) & ~(size_t)(ALIGNMENT_BYTES - 1);
	p = sodium_init() < 0 ? NULL : sodium_malloc(size);
	if (!p)
		return NULL;
	/* sodium_malloc() has tried this and keeps the answer to itself. */
	if (sodium_mlock(p, size) != 0)
		atomic_store(&lock_failed, true);
	memset(p, 0, size);
	return p;
}

void wg_secret_free(void *p)
{
	sodium_free(p);
}

bool wg_secrets_locked(void)
{
	return !atomic_load(&lock_failed);
}
