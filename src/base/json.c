/* SPDX-License-Identifier: MIT */
/* json.c - text as JSON strings */
#include "src/base/json.h"

#include <string.h>

/** utf8_len() - bytes of the UTF-8 character at @s, 0: it is none (RFC 3629) */
static size_t utf8_len(const unsigned char *s)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4 || (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

size_t wgw_json_char(const char **text, char out[WGW_JSON_CHAR_BYTES])
{
	const unsigned char *s = (const unsigned char *)*text;
	size_t len = utf8_len(s);

	if (*s == '\0')
		return 0;
	*text += len ? len : 1;
	if (*s == '"' || *s == '\\')
		return (size_t)snprintf(out, WGW_JSON_CHAR_BYTES, "\\%c", *s);
	if (*s < 0x20 || *s == 0x7f)
		return (size_t)snprintf(out, WGW_JSON_CHAR_BYTES, "\\u%04x", *s);
	if (len == 0)
		return (size_t)snprintf(out, WGW_JSON_CHAR_BYTES, "\\ufffd");
	memcpy(out, s, len);
	out[len] = '\0';
	return len;
}

void wgw_json_string(FILE *out, const char *text)
{
	char one[WGW_JSON_CHAR_BYTES];

	if (!text) {
		fputs("null", out);
		return;
	}
	fputc('"', out);
	while (wgw_json_char(&text, one))
		fputs(one, out);
	fputc('"', out);
}
