/* SPDX-License-Identifier: MIT */
/* sockaddr.h - addresses between us and the kernel */
#ifndef SRC_BASE_SOCKADDR_H
#define SRC_BASE_SOCKADDR_H

#include <sys/socket.h>

#include "stack/addr.h"

/* Writes @a into @ss: AF_INET for IPv4, else AF_INET6 without scope and flow label. Returns the
 * length. */
socklen_t wgw_sockaddr_from(const struct stack_addr *a, struct sockaddr_storage *ss);
/* @ss: AF_INET or AF_INET6. */
void wgw_sockaddr_to(const struct sockaddr_storage *ss, struct stack_addr *a);

#endif
