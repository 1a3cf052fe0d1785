/* SPDX-License-Identifier: MIT */
/*
 * socks.h - the messages of SOCKS 5 (RFC 1928, 1929) and SOCKS 4 and 4a, as bytes
 *
 * Parsers take what has arrived and return how many bytes the message has, 0 when it is not whole
 * yet, or -EPROTO. They look at no byte behind the message.
 */
#ifndef SRC_PROXY_SOCKS_H
#define SRC_PROXY_SOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "src/proxy/target.h"

enum {
	SOCKS4_VERSION = 4,
	SOCKS5_VERSION = 5,
	SOCKS5_REPLY_MAX_BYTES = 22,
	SOCKS4_REPLY_BYTES = 8,
	SOCKS5_UDP_HEADER_MAX_BYTES = 4 + 1 + 255 + 2,
	SOCKS4_TEXT_MAX_BYTES = 255, /* user id, name: neither has a limit of its own */
};

enum socks_command {
	SOCKS_CONNECT = 1,
	SOCKS_BIND = 2,
	SOCKS_UDP_ASSOCIATE = 3,
};

enum socks5_method {
	SOCKS5_NO_AUTH = 0,
	SOCKS5_USER_PASS = 2,
	SOCKS5_NO_METHOD = 255,
};

enum socks5_code {
	SOCKS5_OK = 0,
	SOCKS5_FAILED = 1,
	SOCKS5_NOT_ALLOWED = 2,
	SOCKS5_NET_UNREACHABLE = 3,
	SOCKS5_HOST_UNREACHABLE = 4,
	SOCKS5_REFUSED = 5,
	SOCKS5_TTL_EXPIRED = 6,
	SOCKS5_BAD_COMMAND = 7,
	SOCKS5_BAD_ADDRESS_TYPE = 8,
};

enum socks4_code {
	SOCKS4_GRANTED = 90,
	SOCKS4_FAILED = 91,
};

/** struct socks_request - @code: SOCKS5_OK, or what to reply at once; @target is not set then */
struct socks_request {
	uint8_t command;
	uint8_t code;
	struct proxy_target target;
};

/** struct socks5_credentials - they point into the message */
struct socks5_credentials {
	const uint8_t *name, *password;
	size_t name_len, password_len;
};

/* *@methods: bit n is set when method n (0-31) is offered. */
ssize_t socks5_parse_greeting(const uint8_t *b, size_t len, uint32_t *methods);
ssize_t socks5_parse_credentials(const uint8_t *b, size_t len, struct socks5_credentials *out);
ssize_t socks5_parse_request(const uint8_t *b, size_t len, struct socks_request *out);
/* The header of a datagram: RSV, FRAG, address. *@fragment as it is. -EPROTO: drop it. */
ssize_t socks5_parse_udp(const uint8_t *b, size_t len, struct proxy_target *out, uint8_t *fragment);
/* SOCKS 4, or 4a by an address 0.0.0.x; the user id is skipped. */
ssize_t socks4_parse_request(const uint8_t *b, size_t len, struct socks_request *out);

/* These return the length of what they wrote. The address of @bound has its own family; NULL:
 * 0.0.0.0:0. */
size_t socks5_put_reply(uint8_t out[SOCKS5_REPLY_MAX_BYTES], enum socks5_code code,
			const struct stack_addr *bound);
size_t socks5_put_udp(uint8_t out[SOCKS5_UDP_HEADER_MAX_BYTES], const struct stack_addr *from);
size_t socks4_put_reply(uint8_t out[SOCKS4_REPLY_BYTES], enum socks4_code code,
			const struct stack_addr *bound);

#endif
