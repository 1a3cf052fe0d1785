/* SPDX-License-Identifier: MIT */
/*
 * diag.c - messages about a configuration: formatting, quoting without secrets, spelling
 *
 * What must never be quoted is a key, wherever a slip of the user put it (as a key name, an
 * address, a section). Base64 of 32 bytes is 43 letters, digits, '+' and '/' in a row; words of the
 * format and labels of hosts are far shorter. Parts of a key that a line break has torn are the
 * reader's business.
 */
#include "src/config/diag.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
	MESSAGE_BYTES = 1024,
	SECRET_RUN_BYTES = 24, /* this many base64 characters in a row are not shown */
	SHOWN_BYTES = 72,
	WORD_BYTES = 32, /* longer words have no neighbours */
};

void wgw_diag_say(struct wgw_diag *diag, enum wgw_severity severity, const char *format, ...)
{
	char message[MESSAGE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (severity == WGW_NOTE) {
		if (diag->note)
			diag->note(diag->ctx, message);
		return;
	}
	if (severity == WGW_ERROR)
		diag->errors++;
	else
		diag->warnings++;
	if (diag->say)
		diag->say(diag->ctx, severity == WGW_ERROR, message);
}

/** might_be_secret() - whether @text holds a long run of base64 characters */
static bool might_be_secret(const char *text)
{
	unsigned int run = 0;

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		run = isalnum(c) || c == '+' || c == '/' ? run + 1 : 0;
		if (run >= SECRET_RUN_BYTES)
			return true;
	}
	return false;
}

char *wgw_quoted(const char *text, char *buf)
{
	size_t len = strlen(text);
	size_t n = 0;

	if (might_be_secret(text)) {
		snprintf(buf, WGW_QUOTED_BYTES, "(%zu characters, not shown)", len);
		return buf;
	}
	buf[n++] = '\'';
	for (size_t i = 0; i < len && i < SHOWN_BYTES; i++)
		buf[n++] = isprint((unsigned char)text[i]) ? text[i] : '?';
	snprintf(buf + n, WGW_QUOTED_BYTES - n, len > SHOWN_BYTES ? "...'" : "'");
	return buf;
}

/** distance() - edits (insert, delete, replace, swap neighbours) from @a to @b, ignoring case */
static unsigned int distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned int d[WORD_BYTES + 1][WORD_BYTES + 1];

	if (la > WORD_BYTES || lb > WORD_BYTES)
		return WORD_BYTES;
	for (size_t i = 0; i <= la; i++)
		d[i][0] = (unsigned int)i;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= la; i++) {
		for (size_t j = 1; j <= lb; j++) {
			bool same = tolower((unsigned char)a[i - 1]) ==
				    tolower((unsigned char)b[j - 1]);
			unsigned int best = d[i - 1][j - 1] + (same ? 0 : 1);

			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && d[i - 2][j - 2] + 1 < best &&
			    tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 2]) &&
			    tolower((unsigned char)a[i - 2]) == tolower((unsigned char)b[j - 1]))
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[la][lb];
}

const char *wgw_did_you_mean(const char *word, const char *const *words)
{
	const char *best = NULL;
	unsigned int best_distance = (unsigned int)strlen(word) / 3 + 1;

	if (best_distance > 3)
		best_distance = 3;
	for (; *words; words++) {
		unsigned int n = distance(word, *words);

		if (2 * n >= strlen(*words)) /* little of it is left */
			continue;
		if (n < best_distance || (n == best_distance && !best)) {
			best = *words;
			best_distance = n;
		}
	}
	return best;
}
