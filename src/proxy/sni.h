/* SPDX-License-Identifier: MIT */
/* sni.h - the server name in a TLS ClientHello */
#ifndef SRC_PROXY_SNI_H
#define SRC_PROXY_SNI_H

#include <stddef.h>
#include <stdint.h>

enum { SNI_HELLO_MAX_BYTES = 60 * 1024 };

/* Looks at the first @len bytes of a connection. @scratch has room for @len bytes and keeps *@name.
 * Returns 1 and the name, 0: more bytes are needed, -ENOENT: there is no name, -EPROTO: no TLS. */
int sni_parse(const uint8_t *b, size_t len, uint8_t *scratch, const char **name, size_t *name_len);

#endif
