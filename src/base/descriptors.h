/* SPDX-License-Identifier: MIT */
/* descriptors.h - what a process holds of those it was started with */
#ifndef SRC_BASE_DESCRIPTORS_H
#define SRC_BASE_DESCRIPTORS_H

#include <stddef.h>

enum {
	WGW_STDIO = 3,		       /* standard descriptors: 0, 1, 2 */
	WGW_DESCRIPTORS_MAX = 1 << 20, /* where numbers are tried one by one: Linux's fs.nr_open */
};

/* Closes every descriptor but the @n of @keep (-1 entries are allowed) and the standard ones. */
void wgw_close_others(const int *keep, size_t n);
/* Puts /dev/null on the standard descriptors from @first to @last. */
void wgw_null_stdio(int first, int last);

#endif
