/* SPDX-License-Identifier: MIT */
/*
 * library.h - shared libraries that are used where they are installed
 *
 * What only the tunnel process, the proxies or their TLS need is loaded by them, not linked: each
 * library costs every start of a program 0.1 ms and more, and both forks on its way. libcrypto costs
 * 0.9 ms and 130 page faults.
 */
#ifndef WG_LIBRARY_H
#define WG_LIBRARY_H

#include <stdbool.h>

/**
 * struct wg_symbol - a function that is wanted of a library
 * @name:	NULL ends a list
 * @at:		Address of the function pointer that gets it
 */
struct wg_symbol {
	const char *name;
	void *at;
};

/* Loads @soname (SONAME_*: what the Makefile has found), for good, and fills in @symbols; false:
 * it, or one of them, is not there. */
bool wg_library_load(const char *soname, const struct wg_symbol *symbols);

#endif
