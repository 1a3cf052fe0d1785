/* SPDX-License-Identifier: MIT */
/* apps.h - which programs of a session use the tunnel: AllowedApps and DisallowedApps */
#ifndef SRC_REPR_APPS_H
#define SRC_REPR_APPS_H

#include <stdbool.h>

/*
 * Environment variable WGWRAP_APPS: the entries, separated by commas, each with its list before it:
 * '+' AllowedApps, '-' DisallowedApps. It is only there when the user has written such lists.
 */
#define WGW_APPS_ENV "WGWRAP_APPS"

/*
 * Whether the program at path @exe is outside of the tunnel by @lists. An entry with a slash is a
 * path, or a directory when it ends with one; any other is the name of an executable file. Who is
 * in both lists is outside.
 */
bool wgw_apps_outside(const char *lists, const char *exe);

#endif
