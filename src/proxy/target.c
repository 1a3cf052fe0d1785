/* SPDX-License-Identifier: MIT */
/* target.c - where a client of a proxy wants to go */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "src/config/config.h"
#include "src/proxy/target.h"

static_assert((int)PROXY_NAME_BYTES >= (int)WGW_ADDR_TEXT_BYTES,
	      "an address fits where a name does");

void proxy_target_set_addr(struct proxy_target *t, const struct stack_addr *addr)
{
	t->is_name = t->absolute = false;
	t->addr = *addr;
	wgw_addr_text(addr, t->name);
}

/* Bytes that cannot be in a name, so that what is logged and asked for is what was meant. */
static bool is_odd(uint8_t c)
{
	return c <= ' ' || c == 0x7f || strchr("/@:[]\\\"<>", c) != NULL;
}

int proxy_target_set(struct proxy_target *t, const char *host, size_t len, uint16_t port)
{
	struct stack_addr a = {.port = port};

	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
		if (!memchr(host, ':', len))
			return -EINVAL;
	}
	if (len == 0 || len >= PROXY_NAME_BYTES || memchr(host, '\0', len))
		return -EINVAL;
	memcpy(t->name, host, len);
	t->name[len] = '\0';
	if (inet_pton(AF_INET, t->name, a.ip + 12) == 1) {
		memcpy(a.ip, stack_v4_prefix, sizeof(stack_v4_prefix));
		proxy_target_set_addr(t, &a);
		return 0;
	}
	if (inet_pton(AF_INET6, t->name, a.ip) == 1) {
		proxy_target_set_addr(t, &a);
		return 0;
	}
	t->absolute = len > 1 && t->name[len - 1] == '.';
	if (t->absolute)
		t->name[--len] = '\0';
	for (size_t i = 0; i < len; i++) {
		if (is_odd((uint8_t)t->name[i]))
			return -EINVAL;
	}
	if (t->name[0] == '.')
		return -EINVAL;
	t->is_name = true;
	t->addr = (struct stack_addr){.port = port};
	return 0;
}

static int port_from(const char *text, size_t len, uint16_t *port)
{
	unsigned int value = 0;

	if (len == 0 || len > 5)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (unsigned int)(text[i] - '0');
	}
	if (value == 0 || value > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

int proxy_target_parse(struct proxy_target *t, const char *text, size_t len, uint16_t default_port)
{
	size_t host_len = len;
	uint16_t port = default_port;

	if (len > 0 && text[0] == '[') {
		const char *end = memchr(text, ']', len);

		if (!end)
			return -EINVAL;
		host_len = (size_t)(end - text) + 1;
	} else {
		const char *colon = memchr(text, ':', len);

		if (colon)
			host_len = (size_t)(colon - text);
	}
	if (host_len < len && (text[host_len] != ':' ||
			       port_from(text + host_len + 1, len - host_len - 1, &port) < 0))
		return -EINVAL;
	return port ? proxy_target_set(t, text, host_len, port) : -EINVAL;
}
