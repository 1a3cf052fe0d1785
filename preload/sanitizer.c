/* SPDX-License-Identifier: MIT */
/*
 * sanitizer.c - lets programs with AddressSanitizer start behind a preloaded object
 *
 * libasan ends the program when another shared object comes before it, which a preloaded one always
 * does. It needs to be before libc only. This function is how a program changes the runtime's
 * defaults; a program that has one itself keeps its own, and $ASAN_OPTIONS overrules both. There is
 * no header that declares it.
 */
#include "preload/pre.h"

PRE_EXPORT const char *__asan_default_options(void);

PRE_EXPORT const char *__asan_default_options(void)
{
	return "verify_asan_link_order=0";
}
