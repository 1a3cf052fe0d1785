/* SPDX-License-Identifier: MIT */
/*
 * values.h - single values of a configuration: keys, numbers, ports, endpoints
 */
#ifndef SRC_CONFIG_VALUES_H
#define SRC_CONFIG_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "wg/wg.h"

/* Length of a key in base64, without the final NUL. */
enum { WGW_KEY_TEXT_LEN = 44 };

/* Base64 of WG_KEY_BYTES bytes, exactly as wg(8) writes it, in time that depends on the length of
 * @text only. Returns 0, or -EINVAL and zeros in @out. */
int wgw_key_parse(const char *text, uint8_t out[WG_KEY_BYTES]);
/* The reverse; @buf of WGW_KEY_TEXT_LEN + 1 bytes. Returns @buf. */
char *wgw_key_text(const uint8_t key[WG_KEY_BYTES], char *buf);
/* Makes 32 random bytes a Curve25519 private key (RFC 7748, section 5). */
void wgw_key_clamp(uint8_t key[WG_KEY_BYTES]);

/* Decimal digits only, @min to @max. Returns 0 or -EINVAL (out of range too). */
int wgw_number_parse(const char *text, uint32_t min, uint32_t max, uint32_t *out);
/* 0 to 65535, or the name of a UDP service, as getaddrinfo takes it. Host order. Returns 0 or
 * -EINVAL. */
int wgw_port_parse(const char *text, uint16_t *out);
/* "off", decimal or 0x and hexadecimal digits. Returns 0 or -EINVAL. */
int wgw_fwmark_parse(const char *text, uint32_t *out);
/* Letters, digits, '-' and '_' in labels of 1 to 63 bytes, 253 in all; a final dot is allowed. */
bool wgw_is_host_name(const char *text);

#endif
