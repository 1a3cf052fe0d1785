/* SPDX-License-Identifier: MIT */
/* socks.c - the messages of SOCKS 5, 4 and 4a */
#include <errno.h>
#include <string.h>

#include "src/proxy/socks.h"

enum { ATYP_IPV4 = 1, ATYP_NAME = 3, ATYP_IPV6 = 4 };

static uint16_t get16(const uint8_t *b)
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

static void put16(uint8_t *b, uint16_t v)
{
	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

ssize_t socks5_parse_greeting(const uint8_t *b, size_t len, uint32_t *methods)
{
	if (len >= 1 && b[0] != SOCKS5_VERSION)
		return -EPROTO;
	if (len < 2 || len < 2 + (size_t)b[1])
		return 0;
	*methods = 0;
	for (size_t i = 0; i < b[1]; i++)
		if (b[2 + i] < 32)
			*methods |= UINT32_C(1) << b[2 + i];
	return 2 + b[1];
}

ssize_t socks5_parse_credentials(const uint8_t *b, size_t len, struct socks5_credentials *out)
{
	size_t name_len, password_len;

	if (len >= 1 && b[0] != 1)
		return -EPROTO;
	if (len < 2)
		return 0;
	name_len = b[1];
	if (name_len == 0)
		return -EPROTO;
	if (len < 3 + name_len)
		return 0;
	password_len = b[2 + name_len];
	if (len < 3 + name_len + password_len)
		return 0;
	*out = (struct socks5_credentials){
		.name = b + 2,
		.name_len = name_len,
		.password = b + 3 + name_len,
		.password_len = password_len,
	};
	return (ssize_t)(3 + name_len + password_len);
}

/* Address type, address and port at @b. Length, 0: not whole, -EPROTO: unknown type, -EINVAL: whole
 * but no address (*@used has its length). */
static ssize_t parse_address(const uint8_t *b, size_t len, struct proxy_target *out, size_t *used)
{
	struct stack_addr a = {0};

	if (len < 2)
		return 0;
	switch (b[0]) {
	case ATYP_IPV4:
		*used = 1 + 4 + 2;
		if (len < *used)
			return 0;
		stack_ip_set_v4(a.ip, b + 1);
		break;
	case ATYP_IPV6:
		*used = 1 + 16 + 2;
		if (len < *used)
			return 0;
		memcpy(a.ip, b + 1, 16);
		break;
	case ATYP_NAME:
		*used = 2 + (size_t)b[1] + 2;
		if (len < *used)
			return 0;
		if (proxy_target_set(out, (const char *)b + 2, b[1], get16(b + *used - 2)) < 0)
			return -EINVAL;
		return (ssize_t)*used;
	default:
		return -EPROTO;
	}
	a.port = get16(b + *used - 2);
	proxy_target_set_addr(out, &a);
	return (ssize_t)*used;
}

ssize_t socks5_parse_request(const uint8_t *b, size_t len, struct socks_request *out)
{
	size_t used = 0;
	ssize_t r;

	if (len >= 1 && b[0] != SOCKS5_VERSION)
		return -EPROTO;
	if (len < 4)
		return 0;
	memset(out, 0, sizeof(*out));
	out->command = b[1];
	r = parse_address(b + 3, len - 3, &out->target, &used);
	if (r == -EPROTO) {
		out->code = SOCKS5_BAD_ADDRESS_TYPE;
		return 4; /* how long it is nobody knows: the connection ends here */
	}
	if (r == 0)
		return 0;
	if (out->command < SOCKS_CONNECT || out->command > SOCKS_UDP_ASSOCIATE)
		out->code = SOCKS5_BAD_COMMAND;
	else if (r < 0)
		out->code = SOCKS5_HOST_UNREACHABLE; /* no such name can exist */
	else if (out->command == SOCKS_CONNECT && out->target.addr.port == 0)
		out->code = SOCKS5_FAILED;
	return (ssize_t)(3 + used);
}

ssize_t socks5_parse_udp(const uint8_t *b, size_t len, struct proxy_target *out, uint8_t *fragment)
{
	size_t used = 0;

	if (len < 4 || b[0] != 0 || b[1] != 0)
		return -EPROTO;
	*fragment = b[2];
	if (parse_address(b + 3, len - 3, out, &used) <= 0 || out->addr.port == 0)
		return -EPROTO;
	return (ssize_t)(3 + used);
}

/* Length of the NUL-terminated text at @b, -EAGAIN: no NUL yet, -EPROTO: too long. */
static ssize_t text_len(const uint8_t *b, size_t len)
{
	const uint8_t *nul = memchr(b, '\0', len);

	if (!nul)
		return len > SOCKS4_TEXT_MAX_BYTES ? -EPROTO : -EAGAIN;
	return nul - b > SOCKS4_TEXT_MAX_BYTES ? -EPROTO : nul - b;
}

ssize_t socks4_parse_request(const uint8_t *b, size_t len, struct socks_request *out)
{
	struct stack_addr a = {0};
	size_t at = 8;
	ssize_t n;

	if (len >= 1 && b[0] != SOCKS4_VERSION)
		return -EPROTO;
	if (len < at)
		return 0;
	memset(out, 0, sizeof(*out));
	out->command = b[1];
	n = text_len(b + at, len - at);
	if (n < 0)
		return n == -EAGAIN ? 0 : n;
	at += (size_t)n + 1;
	a.port = get16(b + 2);
	if (b[4] == 0 && b[5] == 0 && b[6] == 0 && b[7] != 0) {
		n = text_len(b + at, len - at);
		if (n < 0)
			return n == -EAGAIN ? 0 : n;
		if (proxy_target_set(&out->target, (const char *)b + at, (size_t)n, a.port) < 0)
			out->code = SOCKS5_HOST_UNREACHABLE;
		at += (size_t)n + 1;
	} else {
		stack_ip_set_v4(a.ip, b + 4);
		proxy_target_set_addr(&out->target, &a);
	}
	if (out->command != SOCKS_CONNECT && out->command != SOCKS_BIND)
		out->code = SOCKS5_BAD_COMMAND;
	else if (out->command == SOCKS_CONNECT && a.port == 0)
		out->code = SOCKS5_FAILED;
	return (ssize_t)at;
}

/* Address type, address, port. Returns their length. */
static size_t put_address(uint8_t *out, const struct stack_addr *a)
{
	bool v4 = stack_addr_is_v4(a);
	size_t n = v4 ? 4 : 16;

	out[0] = v4 ? ATYP_IPV4 : ATYP_IPV6;
	memcpy(out + 1, v4 ? a->ip + 12 : a->ip, n);
	put16(out + 1 + n, a->port);
	return 1 + n + 2;
}

size_t socks5_put_reply(uint8_t out[SOCKS5_REPLY_MAX_BYTES], enum socks5_code code,
			const struct stack_addr *bound)
{
	const struct stack_addr any = stack_addr_wildcard(true);

	out[0] = SOCKS5_VERSION;
	out[1] = (uint8_t)code;
	out[2] = 0;
	return 3 + put_address(out + 3, bound ? bound : &any);
}

size_t socks5_put_udp(uint8_t out[SOCKS5_UDP_HEADER_MAX_BYTES], const struct stack_addr *from)
{
	memset(out, 0, 3);
	return 3 + put_address(out + 3, from);
}

size_t socks4_put_reply(uint8_t out[SOCKS4_REPLY_BYTES], enum socks4_code code,
			const struct stack_addr *bound)
{
	memset(out, 0, SOCKS4_REPLY_BYTES);
	out[1] = (uint8_t)code;
	if (bound && stack_addr_is_v4(bound)) {
		put16(out + 2, bound->port);
		memcpy(out + 4, bound->ip + 12, 4);
	}
	return SOCKS4_REPLY_BYTES;
}
