/* SPDX-License-Identifier: MIT */
/*
 * apps.c - which programs of a session use the tunnel
 *
 * WireSock's meaning: with AllowedApps only those use it, without the list all do; DisallowedApps
 * never do. Programs are known by their executable file: a script is its interpreter.
 */
#include "src/repr/apps.h"

#include <stddef.h>
#include <string.h>

static bool matches(const char *entry, size_t len, const char *exe)
{
	const char *name = strrchr(exe, '/');

	if (len == 0)
		return false;
	if (entry[len - 1] == '/')
		return strncmp(exe, entry, len) == 0;
	if (!memchr(entry, '/', len) && name)
		exe = name + 1;
	return strlen(exe) == len && memcmp(exe, entry, len) == 0;
}

bool wgw_apps_outside(const char *lists, const char *exe)
{
	bool any_allowed = false, allowed = false, disallowed = false;

	while (*lists) {
		size_t len = strcspn(lists, ",");

		if (*lists == '+') {
			any_allowed = true;
			allowed |= matches(lists + 1, len - 1, exe);
		} else if (*lists == '-') {
			disallowed |= matches(lists + 1, len - 1, exe);
		}
		lists += len + (lists[len] == ',');
	}
	return disallowed || (any_allowed && !allowed);
}
