/* SPDX-License-Identifier: MIT */
/* json.h - text as JSON strings */
#ifndef SRC_BASE_JSON_H
#define SRC_BASE_JSON_H

#include <stddef.h>
#include <stdio.h>

/* The longest escape, NUL included. */
enum { WGW_JSON_CHAR_BYTES = 7 };

/* Writes the character at *@text as it stands inside a JSON string (RFC 8259 7), NUL-terminated,
 * and moves *@text behind it; what is not UTF-8 becomes U+FFFD, byte by byte. Returns the length
 * written, 0 at the end of the text. */
size_t wgw_json_char(const char **text, char out[WGW_JSON_CHAR_BYTES]);
/* A JSON string with its quotes; NULL is written as null. */
void wgw_json_string(FILE *out, const char *text);

#endif
