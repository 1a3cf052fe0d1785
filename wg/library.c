/* SPDX-License-Identifier: MIT */
/* library.c - shared libraries that are used where they are installed */
#include "wg/library.h"

#include <dlfcn.h>
#include <string.h>

bool wg_library_load(const char *soname, const struct wg_symbol *symbols)
{
	void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return false;
	for (; symbols->name; symbols++) {
		void *found = dlsym(library, symbols->name);

		if (!found)
			return false;
		/* ISO C has no conversion from a data pointer to a function pointer; POSIX has. */
		memcpy(symbols->at, &found, sizeof(found));
	}
	return true;
}
