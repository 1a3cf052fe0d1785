/* SPDX-License-Identifier: MIT */
/*
 * values.c - single values of a configuration: keys, numbers, ports, endpoints
 *
 * What wg(8) takes is taken here, no less: a ListenPort may be the name of a service, an IPv6
 * endpoint may lack its brackets (the last colon ends the host), FwMark may be hexadecimal.
 */
#include "src/config/values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/config/config.h"

enum {
	HOST_NAME_BYTES = 253, /* RFC 1035, section 2.3.4, as text */
	LABEL_BYTES = 63,
	SERVICE_NAME_BYTES = 15, /* RFC 6335, section 5.1 */
};

int wgw_key_parse(const char *text, uint8_t out[WG_KEY_BYTES])
{
	size_t len;

	if (strlen(text) == WGW_KEY_TEXT_LEN &&
	    sodium_base642bin(out, WG_KEY_BYTES, text, WGW_KEY_TEXT_LEN, NULL, &len, NULL,
			      sodium_base64_VARIANT_ORIGINAL) == 0 &&
	    len == WG_KEY_BYTES)
		return 0;
	sodium_memzero(out, WG_KEY_BYTES);
	return -EINVAL;
}

char *wgw_key_text(const uint8_t key[WG_KEY_BYTES], char *buf)
{
	return sodium_bin2base64(buf, WGW_KEY_TEXT_LEN + 1, key, WG_KEY_BYTES,
				 sodium_base64_VARIANT_ORIGINAL);
}

void wgw_key_clamp(uint8_t key[WG_KEY_BYTES])
{
	key[0] &= 248;
	key[31] = (uint8_t)((key[31] & 127) | 64);
}

int wgw_number_parse(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t value = 0;

	if (*text == '\0')
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > max)
			return -EINVAL;
	}
	if (value < min)
		return -EINVAL;
	*out = (uint32_t)value;
	return 0;
}

int wgw_port_parse(const char *text, uint16_t *out)
{
	const struct servent *service;
	uint32_t value;

	if (wgw_number_parse(text, 0, UINT16_MAX, &value) == 0) {
		*out = (uint16_t)value;
		return 0;
	}
	if (!isalpha((unsigned char)*text) || strlen(text) > SERVICE_NAME_BYTES)
		return -EINVAL;
	service = getservbyname(text, "udp");
	if (!service)
		return -EINVAL;
	*out = ntohs((uint16_t)service->s_port);
	return 0;
}

int wgw_fwmark_parse(const char *text, uint32_t *out)
{
	uint64_t value = 0;

	if (strcasecmp(text, "off") == 0) {
		*out = 0;
		return 0;
	}
	if (text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))
		return wgw_number_parse(text, 0, UINT32_MAX, out);
	text += 2;
	if (*text == '\0' || text[strspn(text, "0123456789abcdefABCDEF")] != '\0')
		return -EINVAL;
	for (; *text; text++) {
		int digit = tolower((unsigned char)*text);

		value = value << 4 | (uint64_t)(digit >= 'a' ? digit - 'a' + 10 : digit - '0');
		if (value > UINT32_MAX)
			return -EINVAL;
	}
	*out = (uint32_t)value;
	return 0;
}

bool wgw_is_host_name(const char *text)
{
	size_t label = 0;

	if (strlen(text) > HOST_NAME_BYTES)
		return false;
	for (const char *c = text; *c; c++) {
		if (*c == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
			return false;
		if (++label > LABEL_BYTES)
			return false;
	}
	return label > 0 || text[0] != '\0';
}

/** check_host() - an address of either family, its zone, or a name. Return: NULL or what is
 * wrong */
static const char *check_host(const char *host)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr ip;
	size_t len = strcspn(host, "%");

	if (*host == '\0')
		return "there is no host before the port";
	if (strchr(host, ':')) {
		if (len >= sizeof(address) || (host[len] == '%' && host[len + 1] == '\0'))
			return "it is not an IPv6 address";
		memcpy(address, host, len);
		address[len] = '\0';
		return inet_pton(AF_INET6, address, &ip) == 1 ? NULL : "it is not an IPv6 address";
	}
	if (host[strspn(host, "0123456789.")] == '\0')
		return inet_pton(AF_INET, host, &ip) == 1 ? NULL : "it is not an IPv4 address";
	if (!wgw_is_host_name(host))
		return "it is neither an address nor a host name";
	return NULL;
}

const char *wgw_endpoint_parse(const char *text, char **host, uint16_t *port)
{
	const char *start = text, *end;
	const char *wrong;
	char *copy;

	*host = NULL;
	if (*text == '[') {
		start = text + 1;
		end = strchr(start, ']');
		if (!end || end[1] != ':')
			return "an IPv6 endpoint is written [ADDRESS]:PORT";
	} else {
		end = strrchr(text, ':');
		if (!end)
			return "the port is missing (HOST:PORT)";
	}
	if (wgw_port_parse(*end == ']' ? end + 2 : end + 1, port) < 0 || *port == 0)
		return "the port is not a number from 1 to 65535";
	copy = strndup(start, (size_t)(end - start));
	if (!copy)
		return "out of memory";
	wrong = *text == '[' && !strchr(copy, ':') ? "there is no IPv6 address in the brackets"
						   : check_host(copy);
	if (wrong) {
		free(copy);
		return wrong;
	}
	*host = copy;
	return NULL;
}
