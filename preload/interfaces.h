/* SPDX-License-Identifier: MIT */
/* interfaces.h - the network interfaces as wrapped programs see them */
#ifndef PRELOAD_INTERFACES_H
#define PRELOAD_INTERFACES_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "src/repr/wire.h"

enum { PRE_INTERFACES_MAX = 2 };

/** struct pre_address - an address (as in stack/addr.h) and the length of its prefix */
struct pre_address {
	uint8_t ip[16];
	uint8_t bits; /* of an IPv4 address: 0 to 32 */
};

struct pre_interface {
	char name[IFNAMSIZ];
	unsigned int index, flags;
	int mtu;
	uint16_t hardware; /* ARPHRD_* */
	uint32_t n;
	struct pre_address address[WGW_RESOLVED_MAX];
};

/* Fills @out; returns how many there are. */
int pre_interfaces(struct pre_interface out[PRE_INTERFACES_MAX]);
bool pre_interface_is_v4(const struct pre_address *a);
/* Writes the address, or its netmask, as sockaddr_in or sockaddr_in6. Returns its length. */
socklen_t pre_interface_sockaddr(const struct pre_address *a, bool mask, void *sa);

#endif
