/* SPDX-License-Identifier: MIT */
/*
 * diag.h - how the configuration's code says things
 *
 * Nothing that might be a key may get into a message: text from the file passes wgw_quoted first.
 */
#ifndef SRC_CONFIG_DIAG_H
#define SRC_CONFIG_DIAG_H

#include <stdarg.h>

#include "src/config/config.h"

enum wgw_severity { WGW_NOTE, WGW_WARNING, WGW_ERROR };

/* Formats one message, hands it to @diag and counts it. */
void wgw_diag_say(struct wgw_diag *diag, enum wgw_severity severity, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* @text in quotes for a message: cut to one short line, unprintable bytes as '?'. What might be a
 * key or a part of one is replaced by its length. @buf of WGW_QUOTED_BYTES; returns @buf. */
enum { WGW_QUOTED_BYTES = 96 };
char *wgw_quoted(const char *text, char *buf);

/* The word of @words (NULL-terminated) that @word was probably meant to be, or NULL. Case does
 * not count. */
const char *wgw_did_you_mean(const char *word, const char *const *words);

#endif
