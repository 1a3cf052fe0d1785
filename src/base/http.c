/* SPDX-License-Identifier: MIT */
/* http.c - loads http-parser */
#include "src/base/http.h"

#include <errno.h>

#include "wg/library.h"

struct wgw_http http_lib;

int wgw_http_load(void)
{
	static const struct wg_symbol symbols[] = {
#define F(name) {#name, &http_lib.name},
		WGW_HTTP_FUNCTIONS(F)
#undef F
			{NULL, NULL},
	};

	return wg_library_load(SONAME_http_parser, symbols) ? 0 : -ELIBACC;
}
