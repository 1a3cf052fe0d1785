/* SPDX-License-Identifier: MIT */
/* names.h - looking up host names: numbers, hosts(5), the tunnel process */
#ifndef PRELOAD_NAMES_H
#define PRELOAD_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "src/repr/wire.h"

/** struct pre_names - addresses of a name (as in stack/addr.h), in the order to try */
struct pre_names {
	uint32_t n;
	uint8_t ip[WGW_RESOLVED_MAX][16];
	char canonical[WGW_NAME_MAX_BYTES]; /* empty: the name itself */
};

/* C's strtoul by the symbol that each libc has: with the headers of glibc 2.38 and later the plain
 * name stands for another one, which musl's has not, and its loader would end the program. */
unsigned long pre_names_number(const char *text, char **end, int base) __asm__("strtoul");
/* Reads an address as inet_aton and inet_pton do. @scope: of "fe80::1%eth0", else 0. @bad_scope:
 * false is returned for the scope's sake only. */
bool pre_names_numeric(const char *text, uint8_t ip[16], uint32_t *scope, bool *bad_scope);
/* Addresses of @name. @family: AF_UNSPEC, AF_INET, AF_INET6. Returns 0 or an EAI_* code. */
int pre_names_find(const char *name, int family, struct pre_names *names);
/* The same, added behind what @names has. */
int pre_names_append(const char *name, int family, struct pre_names *names);

/* The h_errno of an EAI_* code. */
int pre_names_host_error(int eai);

/* hosts.c: appends what hosts(5) says; false: nothing. */
bool pre_hosts_find(const char *name, int family, struct pre_names *names);
/* hosts.c: the first name of @ip. */
bool pre_hosts_reverse(const uint8_t ip[16], char name[WGW_NAME_MAX_BYTES]);

#endif
