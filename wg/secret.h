/* SPDX-License-Identifier: MIT */
/*
 * secret.h - memory for structures that hold keys
 */
#ifndef WG_SECRET_H
#define WG_SECRET_H

#include <stddef.h>

/* Zeroed memory between guard pages, locked (as far as RLIMIT_MEMLOCK allows, see
 * wg_secrets_locked()) and left out of core dumps. NULL: out of memory. */
void *wg_secret_alloc(size_t size);
/* Wipes and frees; NULL is harmless. */
void wg_secret_free(void *p);

#endif
