/* SPDX-License-Identifier: MIT */
/*
 * http.h - http-parser, loaded by the processes that parse HTTP and by no other (wg/library.h)
 *
 * Functions are called as http_lib.http_parser_init(...).
 */
#ifndef SRC_BASE_HTTP_H
#define SRC_BASE_HTTP_H

#include <http_parser.h>

#define WGW_HTTP_FUNCTIONS(F)                                                                      \
	F(http_errno_description)                                                                  \
	F(http_method_str)                                                                         \
	F(http_parser_execute)                                                                     \
	F(http_parser_init)                                                                        \
	F(http_parser_pause)                                                                       \
	F(http_should_keep_alive)

struct wgw_http {
#define F(name) __typeof__(name) *name;
	WGW_HTTP_FUNCTIONS(F)
#undef F
};

extern struct wgw_http http_lib;

/* For all later calls, while files can be opened. 0, or -ELIBACC: it is not installed. */
int wgw_http_load(void);

#endif
