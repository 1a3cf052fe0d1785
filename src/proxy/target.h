/* SPDX-License-Identifier: MIT */
/* target.h - where a client of a proxy wants to go: an address or a name, and a port */
#ifndef SRC_PROXY_TARGET_H
#define SRC_PROXY_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "stack/addr.h"

enum { PROXY_NAME_BYTES = 256 };

/**
 * struct proxy_target - a destination
 * @is_name:	@name is to be resolved in the tunnel; else @addr.ip is it
 * @absolute:	The name was written with a final dot: no search domain is tried
 * @addr:	The port is always here
 * @name:	Without the final dot, NUL-terminated; of an address: its text
 */
struct proxy_target {
	bool is_name, absolute;
	struct stack_addr addr;
	char name[PROXY_NAME_BYTES];
};

/* Takes @len bytes: an IPv4 or IPv6 address, with or without brackets, or a name (passed on as it
 * is: IDNA is the client's business). Returns 0 or -EINVAL: empty, too long, or with bytes that no
 * name has (controls, blanks, '/', '@', ':'). */
int proxy_target_set(struct proxy_target *t, const char *host, size_t len, uint16_t port);
/* Sets an address. */
void proxy_target_set_addr(struct proxy_target *t, const struct stack_addr *addr);
/* Takes "HOST:PORT", "[V6]:PORT", or without a port where @default_port is not 0. 0 or -EINVAL. */
int proxy_target_parse(struct proxy_target *t, const char *text, size_t len, uint16_t default_port);

#endif
